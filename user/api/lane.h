/* SPDX-License-Identifier: MIT */
/*
 * Sockets over channels (shared/mr_attach.h): what the backends "lane" and "wire" are made of. They
 * differ in their door: how one waits for a lane, and what time it is.
 *
 * One lock a context. Each call first takes the events that came, so a socket's readiness is what
 * its fields say. Who has to wait sleeps at the door, one thread at a time; others wait for that
 * one. Answers of a lane name a socket by its pointer, which stays while any is owed.
 */
#ifndef MR_API_LANE_H
#define MR_API_LANE_H

#include <pthread.h>
#include <semaphore.h>

#include "shared/mr_arena.h"
#include "user/api/backend.h"
#include "user/attach/channel.h"

enum {
	LANE_CHANNELS = 64,
	LANE_SIGNALS = 16,
	LANE_LOOKS = 100,	    /* for the lock, before sleeping for it */
	LANE_SEND_BYTES = 64 << 10, /* of a socket that the lane has not copied yet */
	LANE_FOREVER_MS = -1,
};

#define LANE_NEVER UINT64_MAX

struct lane_context;
struct lane_sock;

/**
 * struct lane_door - what the two backends do in their own way
 * @now_ns:	their clock
 * @settle:	let happen what happens without time; may do nothing
 * @sleep:	until something came, @until_ns, a signal, or @kernel_fd (-1: none) is readable; it
 *		gives the lock up meanwhile
 * @rouse:	another thread did something: end the sleep, when its end was not to be seen before
 * @ring:	commands were put into the channel
 * @close:	give back what the backend made
 */
struct lane_door {
	uint64_t (*now_ns)(struct lane_context *x);
	void (*settle)(struct lane_context *x);
	void (*sleep)(struct lane_context *x, uint64_t until_ns, int kernel_fd);
	void (*rouse)(struct lane_context *x);
	void (*ring)(struct lane_context *x, unsigned int channel);
	void (*close)(struct lane_context *x);
};

/* Received text that is not read yet. */
struct lane_piece {
	struct lane_piece *next;
	uint32_t buffer; /* of the channel; MR_NONE: behind this record, on the heap */
	uint32_t offset, len;
	uint8_t bytes[];
};

struct lane_link {
	struct mr_channel c;
	unsigned int number;
	bool serves, connects;	      /* what is listened on, and opened, over it */
	struct lane_piece *piece;     /* by receive buffer */
	uint32_t held;		      /* receive buffers that the program has */
	struct mr_attach_record back; /* RETURN that is being filled */
	uint32_t *free_send;
	uint32_t n_free_send;
	struct lane_sock **send_owner;
	uint32_t *send_len;
	struct lane_sock **sock; /* by index of the connection */
	uint32_t n_socks;
};

enum lane_state {
	LANE_FRESH,
	LANE_LISTENS,
	LANE_CONNECTING,
	LANE_OPEN,
	LANE_GONE, /* it was connected, or failed to be */
};

/* What options say, as they were set. */
struct lane_options {
	int keepalive, keep_idle, keep_interval, keep_count;
	int nodelay, cork, quick_ack, user_timeout_ms, defer_s;
	int reuse_address, reuse_port, receive_bytes, send_bytes;
	struct linger linger;
	struct timeval receive_timeout, send_timeout;
};

struct lane_sock {
	struct lane_context *x;
	int fd; /* -1: the program has none (any more) */
	int domain;
	enum lane_state state;
	bool blocking, bound, was_open;
	bool eof, shut_read, shut_write, want_space;
	int error;
	unsigned int calls; /* inside which it is used */
	unsigned int owed;  /* answers */
	struct lane_link *link;
	uint64_t conn; /* 0: it has none (any more) */
	struct mr_attach_end_points end;
	struct lane_options o;

	struct lane_piece *first, **last;
	uint64_t unread;
	uint32_t untold; /* read, and not said so yet */

	uint32_t lent, held; /* bytes and buffers that the lane has of it */
	uint32_t corked;     /* buffer that is being filled, MR_NONE: none */
	uint32_t corked_len;

	/* a listener, and who waits there */
	uint64_t id;
	struct lane_sock *next_listener;
	struct lane_sock *listener, *queue, *queue_next;
	uint32_t waiting;
	int backlog;
	struct mr_attach_figures figures;
	uint32_t half_open;

	struct lane_entry *entries;
};

/* A socket in a set. */
struct lane_entry {
	struct lane_sock *s;
	struct lane_set *set;
	struct epoll_event event; /* EPOLLERR and EPOLLHUP in it, but when it is disarmed */
	bool ready;
	struct lane_entry *next_of_sock, *next_of_set;
	struct lane_entry *next_ready, *prev_ready;
};

struct lane_set {
	struct mr_set set;
	struct lane_entry *entries;
	struct lane_entry *ready, *ready_last;
	int kernel; /* epoll descriptor of those of the kernel, -1: none were added */
	int watch;  /* mr_set_fd(), -1: nobody asked */
	int bell;   /* eventfd in it */
	bool rung;
	struct lane_set *next;
};

/* A thread that waits. */
struct lane_waiter {
	sem_t bell;
	const void *on; /* socket or set; NULL: anything */
	uint64_t until_ns;
	bool woken, at_the_door;
	struct lane_waiter *next;
};

struct lane_context {
	struct mr_context context;
	const struct lane_door *door;
	pthread_mutex_t lock;
	unsigned int wanting; /* threads that stand before the lock */
	struct lane_waiter *waiters;
	struct lane_waiter *spare;		  /* those that nobody waits with */
	struct lane_waiter *signal[LANE_SIGNALS]; /* when the lock is given up */
	unsigned int n_signals;
	struct lane_waiter *sleeper; /* who stands at the door, and until when */
	uint64_t sleep_until_ns;
	bool dozes;
	bool interrupted; /* by a signal */
	uint64_t changes; /* counted, for those who are about to wait */
	struct lane_link *link[LANE_CHANNELS];
	unsigned int n_links, next_link;
	struct lane_sock **fd;
	unsigned int n_fds;
	struct lane_sock *listeners;
	struct lane_set *sets;
	uint64_t next_id;
};

static inline struct lane_context *lane_of(struct mr_context *x)
{
	return (struct lane_context *)(void *)x;
}

/* lane_context.c */
int lane_context_init(struct lane_context *x, const struct mr_backend *backend,
		      const struct lane_door *door);
int lane_context_add(struct lane_context *x, int memory, bool serves, bool connects);
void lane_context_fini(struct lane_context *x);
void lane_context_close(struct mr_context *context);
struct lane_sock *lane_enter(struct lane_context *x, int fd);
int lane_leave(struct lane_context *x, struct lane_sock *s, int result);
void lane_lock(struct lane_context *x);
void lane_unlock(struct lane_context *x);
bool lane_others_want(const struct lane_context *x);
void lane_command(struct lane_context *x, struct lane_link *k, const struct mr_attach_record *r);
int lane_wait(struct lane_context *x, const void *on, uint64_t until_ns, int kernel_fd);
void lane_wake_one(struct lane_context *x, const void *on);
uint64_t lane_until(struct lane_context *x, const struct timeval *t);
uint64_t lane_until_ms(struct lane_context *x, int timeout_ms);
void lane_take_events(struct lane_context *x);
void lane_wake(struct lane_sock *s, uint32_t key);
void lane_piece_free(struct lane_context *x, struct lane_link *k, struct lane_piece *p);
void lane_returns_flush(struct lane_context *x, struct lane_link *k);

/* lane_sock.c */
struct lane_sock *lane_sock_new(struct lane_context *x, int domain);
void lane_sock_done(struct lane_sock *s);
int lane_fd_give(struct lane_context *x, struct lane_sock *s);
void lane_accept_next(struct lane_sock *s);
void lane_forget(struct lane_sock *s);
int lane_sock_open(struct mr_context *x, int domain, int type, int protocol);
int lane_sock_bind(struct mr_context *x, int fd, const struct sockaddr *addr, socklen_t len);
int lane_sock_listen(struct mr_context *x, int fd, int backlog);
int lane_sock_accept(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len,
		     int flags);
int lane_sock_connect(struct mr_context *x, int fd, const struct sockaddr *addr, socklen_t len);
int lane_sock_shutdown(struct mr_context *x, int fd, int how);
int lane_sock_close(struct mr_context *x, int fd);
int lane_sock_abort(struct mr_context *x, int fd);
int lane_sock_blocking(struct mr_context *x, int fd, bool on);
void lane_close_locked(struct lane_sock *s, bool abort);

/* lane_data.c */
ssize_t lane_sock_sendv(struct mr_context *x, int fd, const struct iovec *iov, int n, int flags);
ssize_t lane_sock_recvv(struct mr_context *x, int fd, const struct iovec *iov, int n, int flags);
bool lane_is_writable(const struct lane_sock *s);
void lane_cork_flush(struct lane_sock *s);
void lane_tell_read(struct lane_sock *s);

/* lane_option.c */
void lane_options_default(struct lane_options *o);
void lane_options_apply(struct lane_sock *s);
int lane_sock_set_option(struct mr_context *x, int fd, int level, int name, const void *value,
			 socklen_t len);
int lane_sock_option(struct mr_context *x, int fd, int level, int name, void *value,
		     socklen_t *len);
int lane_sock_name(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len);
int lane_sock_peer(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len);
int lane_sock_queues(struct mr_context *x, int fd, struct mr_sock_queues *out);
void lane_name_write(const struct lane_sock *s, bool remote, struct sockaddr *addr, socklen_t *len);

/* lane_set.c */
uint32_t lane_mask(struct lane_sock *s);
void lane_entries_drop(struct lane_sock *s);
void lane_entry_wake(struct lane_entry *e);
int lane_set_new(struct mr_context *x, struct mr_set **out);
void lane_set_free(struct mr_set *s);
int lane_set_change(struct mr_set *s, int op, int fd, bool kernel, const struct epoll_event *event);
int lane_set_wait(struct mr_set *s, struct epoll_event *events, int most, int timeout_ms);
int lane_set_fd(struct mr_set *s);
int lane_poll(struct mr_context *x, struct pollfd *fds, nfds_t n, int timeout_ms);

#endif
