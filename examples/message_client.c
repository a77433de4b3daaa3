/* SPDX-License-Identifier: MIT */
/*
 * A client of message_server: asks N times, checks every reply, and says how long they took. It
 * comes back when the server was away, and asks again what was not answered.
 *
 *	message_client ADDRESS PORT N
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <millrace/message.h>

enum { REQUEST = 1, REPLY = 2 };

struct client {
	struct mr_loop *loop;
	struct mr_peer *peer;
	long wanted, answered, repeated;
	int wrong;
};

static void ask(struct client *c);

static void on_reply(struct mr_peer *p, int error, const uint8_t *value, size_t len, void *arg)
{
	struct client *c = arg;

	(void)p;
	if (error) {
		c->repeated++;
	} else {
		c->wrong += len != sizeof(c->answered) || memcmp(value, &c->answered, len) != 0;
		c->answered++;
	}
	if (c->answered == c->wanted)
		mr_loop_stop(c->loop);
	else
		ask(c);
}

static void ask(struct client *c)
{
	if (mr_message_request(c->peer, REQUEST, &c->answered, sizeof(c->answered), REPLY, 5000,
			       on_reply, c)) {
		c->wrong++;
		mr_loop_stop(c->loop);
	}
}

static enum mr_message_verdict on_message(struct mr_peer *p, uint64_t tag, const uint8_t *value,
					  size_t len, void *arg)
{
	struct client *c = arg;

	(void)p;
	(void)tag;
	(void)value;
	(void)len;
	c->wrong++; /* nobody asked for it */
	return MR_MESSAGE_DONE;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
	const struct mr_message_handlers handlers = { .on_message = on_message };
	struct mr_message_options options = mr_message_options_default();
	struct sockaddr_in addr = { .sin_family = AF_INET };
	struct client c = { .wanted = argc == 4 ? atol(argv[3]) : 0 };
	struct mr_context *context;
	uint64_t begin = now_us();
	char error[256];
	int err;

	if (c.wanted < 1 || !inet_aton(argv[1], &addr.sin_addr)) {
		fprintf(stderr, "usage: message_client ADDRESS PORT N\n");
		return 2;
	}
	addr.sin_port = htons((uint16_t)atoi(argv[2]));
	if (mr_context_open(NULL, &context, error, sizeof(error))) {
		fprintf(stderr, "message_client: %s\n", error);
		return 1;
	}
	options.reconnect = true;
	err = mr_loop_new(context, &c.loop);
	if (!err)
		err = mr_message_connect(c.loop, (struct sockaddr *)&addr, sizeof(addr), &handlers,
					 &options, &c, &c.peer);
	if (err) {
		fprintf(stderr, "message_client: %s\n", strerror(-err));
		return 1;
	}
	ask(&c);
	mr_loop_run(c.loop, 60000);
	printf("replies=%ld wrong=%d repeated=%ld us_each=%.1f\n", c.answered, c.wrong, c.repeated,
	       (double)(now_us() - begin) / (double)(c.answered ? c.answered : 1));
	err = c.wrong || c.answered != c.wanted;
	mr_peer_close(c.peer);
	mr_loop_run(c.loop, 0);
	mr_loop_free(c.loop);
	mr_context_close(context);
	return err;
}
