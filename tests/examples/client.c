/* SPDX-License-Identifier: MIT */
/*
 * client ADDRESS PORT CONNECTIONS ROUNDS: open all connections, keep all of them open while each
 * sends a message and wants it back, as many times as there are rounds, then end them. 0 rounds:
 * each sends its message and its end at once, for servers that serve one after the other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { MESSAGE = 64, PATIENCE_S = 60 };

static void give_up(const char *what, int i)
{
	printf("client: connection %d: %s: %s\n", i, what, strerror(errno));
	exit(1);
}

/* The server may only be starting. */
static int connect_once(const struct sockaddr_in *to)
{
	struct timeval limit = { .tv_sec = PATIENCE_S };
	int fd, tries;

	for (tries = 0; tries < PATIENCE_S * 50; tries++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (fd < 0)
			return -1;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		if (!connect(fd, (const struct sockaddr *)to, sizeof(*to)))
			return fd;
		close(fd);
		if (errno != ECONNREFUSED)
			return -1;
		usleep(20000);
	}
	return -1;
}

static void fill(char *message, int i, int round)
{
	memset(message, 'a' + i % 26, MESSAGE);
	snprintf(message, MESSAGE, "connection %d round %d", i, round);
}

static void send_message(int fd, int i, int round)
{
	char message[MESSAGE];

	fill(message, i, round);
	if (send(fd, message, MESSAGE, MSG_NOSIGNAL) != MESSAGE)
		give_up("send", i);
}

static void want_message(int fd, int i, int round)
{
	char wanted[MESSAGE], got[MESSAGE];

	fill(wanted, i, round);
	errno = 0;
	if (recv(fd, got, MESSAGE, MSG_WAITALL) != MESSAGE)
		give_up("receive", i);
	if (memcmp(wanted, got, MESSAGE))
		give_up("another message came back", i);
}

static void want_end(int fd, int i)
{
	char byte;

	errno = 0;
	if (recv(fd, &byte, 1, 0))
		give_up("no end", i);
	close(fd);
}

static void play(const int *fd, int n, int rounds)
{
	int i, round;

	for (round = 0; round < (rounds ? rounds : 1); round++) {
		for (i = 0; i < n; i++) {
			send_message(fd[i], i, round);
			if (!rounds)
				shutdown(fd[i], SHUT_WR);
		}
		for (i = 0; i < n; i++)
			want_message(fd[i], i, round);
	}
	for (i = 0; i < n && rounds; i++)
		shutdown(fd[i], SHUT_WR);
	for (i = 0; i < n; i++)
		want_end(fd[i], i);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct rlimit most;
	int n = argc == 5 ? atoi(argv[3]) : 0;
	int i, *fd = calloc((size_t)n + 1, sizeof(*fd));

	if (argc != 5 || !fd || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	if (!getrlimit(RLIMIT_NOFILE, &most)) {
		most.rlim_cur = most.rlim_max;
		setrlimit(RLIMIT_NOFILE, &most);
	}
	for (i = 0; i < n; i++) {
		fd[i] = connect_once(&to);
		if (fd[i] < 0)
			give_up("connect", i);
	}
	play(fd, n, atoi(argv[4]));
	printf("client: ok connections=%d\n", n);
	free(fd);
	return 0;
}
