/* SPDX-License-Identifier: MIT */
/*
 * Backend "kernel": sockets of this host's kernel and epoll(7).
 *
 * A socket is the kernel's descriptor, and a call is the kernel's call: it blocks there, so that
 * one waiter of many is woken and nothing costs a system call more than by hand. What the library
 * adds is a word for each descriptor, which says whether it is a socket of this context and how
 * many calls stand in it. So mr_sock_close() can end the calls of other threads: it marks the
 * word, wakes them by shutdown(2), and gives the descriptor back to the kernel only when the last
 * of them has left. A number that was given out again is never touched by a call on the old one.
 */
#ifndef MR_API_KERNEL_H
#define MR_API_KERNEL_H

#include <pthread.h>
#include <stdatomic.h>

#include "user/api/backend.h"

enum {
	KERNEL_CHUNK = 1024, /* words are made by so many */
	KERNEL_CHUNKS = 1024,
};

/* The word of a descriptor: calls that read or accept, calls that send or connect, what it is. */
#define KERNEL_READER  UINT64_C(1)
#define KERNEL_READERS UINT64_C(0xfffff)
#define KERNEL_WRITER  (UINT64_C(1) << 20)
#define KERNEL_WRITERS (KERNEL_READERS << 20)
#define KERNEL_CALLS   (KERNEL_READERS | KERNEL_WRITERS)
#define KERNEL_OPEN    (UINT64_C(1) << 40)
#define KERNEL_CLOSING (UINT64_C(1) << 41)

struct kernel_set {
	struct mr_set set;
	int fd;
	bool inherited; /* by fork: the parent's, too */
	struct kernel_set *next;
};

/**
 * struct kernel_context - a context of this backend
 * @words:	by descriptor; chunks are made as they are wanted and stay
 * @lock:	before @sets and @words' chunks, and for @left
 * @left:	the last call has left a descriptor that is closing
 * @forked:	another process may hold the same sockets: closing takes none of them out of sets
 * @next:	all contexts of this process, for fork
 */
struct kernel_context {
	struct mr_context context;
	_Atomic(_Atomic uint64_t *) words[KERNEL_CHUNKS];
	pthread_mutex_t lock;
	pthread_cond_t left;
	struct kernel_set *sets;
	_Atomic bool forked;
	struct kernel_context *next;
};

static inline struct kernel_context *kernel_of(struct mr_context *x)
{
	return (struct kernel_context *)x;
}

static inline struct kernel_set *kernel_set_of(struct mr_set *s)
{
	return (struct kernel_set *)s;
}

/**
 * kernel_hold() - a call on @fd begins
 * @as:		KERNEL_READER or KERNEL_WRITER
 *
 * Return: 0, to be followed by kernel_release(), or -EBADF
 */
int kernel_hold(struct kernel_context *x, int fd, uint64_t as);
void kernel_release(struct kernel_context *x, int fd, uint64_t as);

/** kernel_is_closing() - does mr_sock_close() wait for the calls on @fd, which the caller holds? */
bool kernel_is_closing(struct kernel_context *x, int fd);

/**
 * kernel_adopt() - @fd is a socket of @x from now on
 *
 * Return: @fd, or -ENOMEM, -EMFILE with @fd closed
 */
int kernel_adopt(struct kernel_context *x, int fd);

/** kernel_take() - @fd is no socket of @x any more, and no call stands in it. Return: 0, -EBADF */
int kernel_take(struct kernel_context *x, int fd);

int kernel_sock_open(struct mr_context *x, int domain, int type, int protocol);
int kernel_sock_bind(struct mr_context *x, int fd, const struct sockaddr *addr, socklen_t len);
int kernel_sock_listen(struct mr_context *x, int fd, int backlog);
int kernel_sock_accept(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len,
		       int flags);
int kernel_sock_connect(struct mr_context *x, int fd, const struct sockaddr *addr, socklen_t len);
ssize_t kernel_sock_sendv(struct mr_context *x, int fd, const struct iovec *iov, int n, int flags);
ssize_t kernel_sock_recvv(struct mr_context *x, int fd, const struct iovec *iov, int n, int flags);
int kernel_sock_shutdown(struct mr_context *x, int fd, int how);
int kernel_sock_close(struct mr_context *x, int fd);
int kernel_sock_abort(struct mr_context *x, int fd);
int kernel_sock_blocking(struct mr_context *x, int fd, bool on);
int kernel_sock_set_option(struct mr_context *x, int fd, int level, int name, const void *value,
			   socklen_t len);
int kernel_sock_option(struct mr_context *x, int fd, int level, int name, void *value,
		       socklen_t *len);
int kernel_sock_name(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len);
int kernel_sock_peer(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len);
int kernel_sock_queues(struct mr_context *x, int fd, struct mr_sock_queues *out);

/** kernel_half_open() - handshakes of a local port that are not done, as sock_diag(7) lists them */
uint32_t kernel_half_open(uint16_t port);

int kernel_set_new(struct mr_context *x, struct mr_set **out);
void kernel_set_free(struct mr_set *s);
int kernel_set_change(struct mr_set *s, int op, int fd, bool kernel,
		      const struct epoll_event *event);
int kernel_set_wait(struct mr_set *s, struct epoll_event *events, int most, int timeout_ms);
int kernel_set_fd(struct mr_set *s);
int kernel_poll(struct mr_context *x, struct pollfd *fds, nfds_t n, int timeout_ms);

/** kernel_sets_forget() - take @fd out of all sets, when the kernel would not: others hold it */
void kernel_sets_forget(struct kernel_context *x, int fd);

#endif
