/* SPDX-License-Identifier: MIT */
/*
 * A server of TLV messages: whatever comes with tag 1 goes back with tag 2.
 *
 *	message_server [ADDRESS] PORT
 *
 * The backend is the environment's MILLRACE_BACKEND: "kernel" without it. It says the port that it
 * listens on (0: any that is free) in its first line, and ends with SIGTERM or SIGINT.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/message.h>

enum { REQUEST = 1, REPLY = 2 };

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static enum mr_message_verdict on_message(struct mr_peer *p, uint64_t tag, const uint8_t *value,
					  size_t len, void *arg)
{
	(void)arg;
	if (tag != REQUEST) {
		mr_peer_close(p);
		return MR_MESSAGE_DONE;
	}
	/* a client that does not read its replies is not read from either */
	return mr_message_send(p, REPLY, value, len) ? MR_MESSAGE_AGAIN : MR_MESSAGE_DONE;
}

static void on_writable(struct mr_peer *p, void *arg)
{
	(void)arg;
	mr_peer_resume(p);
}

static void on_close(struct mr_peer *p, enum mr_peer_reason reason, int error, void *arg)
{
	(void)p;
	(void)arg;
	if (reason != MR_PEER_CLOSED_THERE)
		fprintf(stderr, "a client went: %s%s%s\n", mr_peer_reason_text(reason),
			error ? ": " : "", error ? strerror(error) : "");
}

int main(int argc, char **argv)
{
	const struct mr_message_handlers handlers = { .on_message = on_message,
						      .on_writable = on_writable,
						      .on_close = on_close };
	struct mr_message_options options = mr_message_options_default();
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	struct mr_message_server *server;
	struct mr_context *context;
	struct mr_loop *loop;
	char error[256];
	int err;

	if (argc < 2 || argc > 3 || !inet_aton(argc == 3 ? argv[1] : "127.0.0.1", &addr.sin_addr)) {
		fprintf(stderr, "usage: message_server [ADDRESS] PORT\n");
		return 2;
	}
	addr.sin_port = htons((uint16_t)atoi(argv[argc - 1]));
	if (mr_context_open(NULL, &context, error, sizeof(error))) {
		fprintf(stderr, "message_server: %s\n", error);
		return 1;
	}
	err = mr_loop_new(context, &loop);
	if (!err)
		err = mr_message_listen(loop, (struct sockaddr *)&addr, sizeof(addr), &handlers,
					&options, NULL, &server);
	if (err) {
		fprintf(stderr, "message_server: %s\n", strerror(-err));
		return 1;
	}
	mr_message_server_address(server, (struct sockaddr *)&addr, &len);
	printf("port %d\n", ntohs(addr.sin_port));
	fflush(stdout);
	signal(SIGTERM, end);
	signal(SIGINT, end);
	while (!ended)
		mr_loop_run(loop, 200);
	mr_loop_free(loop);
	mr_context_close(context);
	return 0;
}
