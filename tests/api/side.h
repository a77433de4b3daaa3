/* SPDX-License-Identifier: MIT */
/*
 * One scenario of readiness, played on two sides: by the library, and by epoll(7) over sockets of
 * the kernel with no library in between. Each side writes down what every step gave; the two
 * records are to be equal, event by event.
 */
#ifndef TESTS_API_SIDE_H
#define TESTS_API_SIDE_H

#include "tests/api/world.h"

enum { SIDE_SETS = 2, RECORD_BYTES = 8192 };

struct side {
	bool is_raw;
	struct world *w;
	struct sockaddr_in address;
	struct mr_set *set[SIDE_SETS];
	int ep[SIDE_SETS];
	char record[RECORD_BYTES];
	size_t len;
};

void side_open(struct side *d, struct world *w, bool is_raw);
void side_close(struct side *d);

/** side_note() - a line of the record */
void side_note(struct side *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

int side_socket(struct side *d, bool of_client);
int side_listen(struct side *d);
int side_connect(struct side *d, int fd);
int side_accept(struct side *d, int listener);
void side_pair(struct side *d, int *client, int *server);
ssize_t side_send(struct side *d, bool of_client, int fd, const char *text);
ssize_t side_recv(struct side *d, bool of_client, int fd, size_t len);
void side_shutdown(struct side *d, bool of_client, int fd, int how);
void side_end(struct side *d, bool of_client, int fd);
void side_abort(struct side *d, bool of_client, int fd);

/** side_settle() - until all of @events hold for @fd of the server */
void side_settle(struct side *d, int fd, short events);

/** side_change() - epoll_ctl(2) on set @i, and a line of what it gave; @tag stands for the socket
 */
void side_change(struct side *d, int i, int op, int fd, uint32_t events, int tag);
void side_change_kernel(struct side *d, int i, int op, int fd, uint32_t events, int tag);

/** side_wait() - epoll_wait(2), nothing written down */
int side_wait(struct side *d, int i, struct epoll_event *e, int most, int timeout_ms);

/**
 * side_look() - wait for @want events of set @i and write them down by tag; 0: what is there now
 * @most:	at a time
 */
void side_look(struct side *d, int i, int most, int want);

int side_poll(struct side *d, struct pollfd *fds, nfds_t n, int timeout_ms);
int side_select(struct side *d, int n, fd_set *in, fd_set *out, fd_set *except,
		struct timeval *timeout);
int side_set_fd(struct side *d, int i);

#endif
