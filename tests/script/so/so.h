/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the shared object that packetdrill loads: one lane, its wire, a virtual
 * clock, and sockets over them.
 *
 *	socket calls --- sockets.c, options.c, events.c --- application "script" --- lane
 *	netdev_send, netdev_receive --- wire.c --- other end of the in-memory wire ---^
 *	usleep, gettimeofday --- clock.c
 *
 * One lock guards everything. The thread that made the object is the main thread: only its calls
 * move the clock. Others may wait in a blocking call; the main thread sees when such a call can go
 * on, and touches neither clock nor lane before it has returned and its caller has read the time.
 */
#ifndef MR_SCRIPT_SO_H
#define MR_SCRIPT_SO_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <linux/tcp.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "user/lane/lane.h"
#include "user/port/memory.h"

#include "shared/mr_arena.h"

enum {
	SO_LISTENERS = 16, /* rules, one for each socket that may listen at a time */
	SO_FRAMES = 8192,  /* of the lane */
	SO_FRAME_BYTES = 2048,
	SO_INJECT_FRAMES = 128, /* of the wire's other end */
	SO_ACCEPT_MAX = 4096,
	SO_WATCHES = 64, /* descriptors of one epoll set */
	SO_NOTICES = 64, /* sends with MSG_ZEROCOPY that are not acknowledged yet */
};

#define SO_US	 1000ull
#define SO_MS	 1000000ull
#define SO_S	 1000000000ull
#define SO_NEVER UINT64_MAX

enum so_kind {
	SO_FRESH, /* socket() */
	SO_LISTENING,
	SO_CONNECTING,
	SO_CONNECTED,
	SO_DEAD, /* the connection is gone; the descriptor is not */
	SO_EPOLL,
};

/* A descriptor of an epoll set. */
struct so_watch {
	int fd; /* -1: free */
	struct epoll_event event;
	uint64_t seen; /* wake_gen when it was last reported (EPOLLET) */
	bool disabled; /* EPOLLONESHOT */
};

/* A socket, or an epoll set. `fd` is a real descriptor, so that its number is nobody else's. */
struct so_sock {
	struct so_sock *next;
	enum so_kind kind;
	int fd; /* -1: waits in an accept queue */
	int domain;
	bool nonblock;
	mr_conn_id conn;
	int error;	     /* pending, as sk_err */
	struct mr_conn last; /* the block, when it ended */
	bool ended_by_peer;  /* FIN had come when it ended */
	bool shut_rd, shut_wr;
	bool open_told;	   /* a call has said that the connect is done */
	uint64_t wake_gen; /* counts what a waiter on Linux would be woken for */
	bool no_space;	   /* a write met a full buffer */
	uint32_t seen_rcv_nxt, seen_snd_nxt, seen_snd_una;

	/* for TCP_INFO */
	bool syn_text; /* the SYN brought text that was taken */
	uint64_t looked_ns, text_out_ns, text_in_ns, ack_in_ns;
	enum so_spent { SO_IDLE, SO_BUSY, SO_WINDOW, SO_ROOM, SO_SPENT_COUNT } spends;
	uint64_t spent_ns[SO_SPENT_COUNT];

	/* bound address */
	bool bound;
	uint8_t local[16];
	uint16_t local_port;

	/* listening */
	uint32_t rule;
	uint32_t backlog;
	struct so_sock *queue; /* established, to be accepted; in order, linked by queue_next */
	struct so_sock *queue_next;
	uint32_t n_queue;

	/* a read in progress */
	uint8_t *read_to;
	size_t read_want, read_done;

	/* unread text of a connection that was reset: Linux's readers still get it */
	uint8_t *kept;
	size_t n_kept;

	/* bytes held back by TCP_CORK and MSG_MORE */
	uint8_t *held;
	size_t n_held;
	uint64_t held_until;

	/* MSG_ZEROCOPY: the lane copies, and tells so when the bytes are acknowledged */
	bool zerocopy;
	uint32_t n_notices, next_notice;
	struct {
		uint32_t id;
		uint64_t end; /* in the stream of bytes written */
	} notice[SO_NOTICES];
	bool has_notice; /* to be read: lo to hi */
	uint32_t notice_lo, notice_hi;
	uint64_t n_written;

	/* options */
	bool cork, nodelay, keepalive, linger_on, inq, reuse;
	int linger_s;
	uint32_t sndbuf, rcvbuf; /* 0: default */
	uint32_t keep_idle, keep_interval, keep_count;
	uint32_t user_timeout, maxseg, notsent_lowat, linger2, syncnt, defer_accept, fastopen;
	uint32_t mark, priority, tos, quickack, rcvlowat, window_clamp;
	uint64_t max_pacing;
	uint8_t cc; /* enum mr_cc_algorithm */

	struct so_watch *watch; /* of an epoll set */
};

/* A thread that waits: for a condition, or for a time. */
struct so_waiter {
	struct so_waiter *next;
	bool (*can_go)(void *arg);
	void *arg;
	uint64_t deadline;
	bool going;
};

/* A packet that the lane sent. */
struct so_packet {
	struct so_packet *next;
	uint64_t sent_ns;
	uint32_t len;
	uint8_t bytes[];
};

struct so {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t main_thread;
	bool closing;

	struct mr_memory_wire *wire;
	struct mr_arena arena;
	int arena_fd;
	struct mr_lane_config config;
	struct mr_lane_rule rule[SO_LISTENERS];
	struct mr_lane_stats stats;
	struct mr_path_table *paths;
	struct mr_lane_setup setup;
	struct mr_lane *lane;
	uint8_t local4[16], local6[16]; /* source addresses of active opens */
	uint8_t cc, ecn;		/* of new sockets: enum mr_cc_algorithm, enum mr_ecn_mode */
	uint32_t sndbuf;		/* bytes that a socket takes, unless SO_SNDBUF says else */
	uint32_t options_off;		/* of TCP: struct mr_tcp_config */
	uint32_t answer_ms;		/* the same */
	uint32_t syn_linear;		/* the same */
	bool no_ecn_option, keep_ect;	/* the same */
	bool sysctls;			/* to be taken over with the first socket */

	uint8_t *inject; /* frames of the wire's other end */
	uint32_t inject_next;
	struct so_packet *first, **last;

	struct so_sock *socks;
	struct so_waiter *waiters;
	unsigned int n_going; /* threads that were let go and have not read the time yet */
};

/* ----- clock.c ----- */

/** so_now() - virtual nanoseconds */
uint64_t so_now(const struct so *s);

/** so_run() - turns of the lane until it has nothing to do, then let waiters go that can */
void so_run(struct so *s);

/** so_advance() - move the clock to @to_ns, running every timer on the way; main thread */
void so_advance(struct so *s, uint64_t to_ns);

/** so_next() - when something happens by itself, SO_NEVER: nothing will */
uint64_t so_next(const struct so *s);

/** so_settle() - the main thread waits for threads that were let go; no-op in others */
void so_settle(struct so *s);

/** so_read_time() - a thread that was let go has read the time: the clock may move again */
void so_read_time(struct so *s);

/**
 * so_wait() - until @can_go says so
 * @deadline:	virtual ns, SO_NEVER: none
 *
 * In the main thread it moves the clock itself. Return: true, or false: time is over
 */
bool so_wait(struct so *s, bool (*can_go)(void *arg), void *arg, uint64_t deadline);

/** so_lock() - take the lock and settle; so_unlock() gives it back. errno stays */
void so_lock(struct so *s);
void so_unlock(struct so *s);

/* ----- wire.c ----- */

/** so_wire_init() - wire and its other end; 0 or -errno */
int so_wire_init(struct so *s);
void so_wire_fini(struct so *s);
int so_netdev_send(void *u, const void *ip, size_t n);
int so_netdev_receive(void *u, void *buf, size_t *n, long long *time_us);

/* ----- entry.c ----- */

/** so_set() - one of so_flags, for the lane to come; false: no such name, or no such value */
bool so_set(struct so *s, const char *name, const char *value);

/* ----- sysctl.c ----- */

/** so_take_sysctls() - what the kernel is set to, for the lane; once */
void so_take_sysctls(struct so *s);

/** so_configure_tcp() - settings of the lane that no configuration has */
void so_configure_tcp(struct so *s);

/** so_set_sysctl() - one of net.ipv4.*, known or not, for the lane to come; false: none of them */
bool so_set_sysctl(struct so *s, const char *name, const char *value);

/* ----- program.c ----- */

/** so_program_init() - take the program's calls that its table has not; fini: no more */
void so_program_init(struct so *s);
void so_program_fini(const struct so *s);

/* ----- sockets.c ----- */

extern const struct mr_app so_app;

/** so_sock_of() - the socket of a descriptor, or NULL with errno EBADF */
struct so_sock *so_sock_of(struct so *s, int fd);

/** so_conn_of() - the connection block of a socket, NULL: it has none (any more) */
struct mr_conn *so_conn_of(const struct so *s, const struct so_sock *k);

/** so_sock_new() - a socket with a descriptor, or NULL with errno */
struct so_sock *so_sock_new(struct so *s, enum so_kind kind, int domain);
void so_sock_free(struct so *s, struct so_sock *k);

/** so_look() - note what the last turns brought to each socket */
void so_look(struct so *s);

/** so_send_room() - bytes that a write would take now */
size_t so_send_room(const struct so *s, const struct so_sock *k);

/** so_hold_until() - what TCP_CORK holds leaves then: Linux's 200 ms and a round trip */
uint64_t so_hold_until(const struct so *s, const struct so_sock *k);

/** so_flush() - send what is held back, whole segments alone or @all */
void so_flush(struct so *s, struct so_sock *k, bool all);

/**
 * so_connect_with() - connect and send in one (MSG_FASTOPEN)
 *
 * Return: bytes queued, 0: the peer's cookie is not known, it is asked for; -errno
 */
ssize_t so_connect_with(struct so *s, struct so_sock *k, const struct sockaddr *addr, socklen_t len,
			const void *text, size_t n);

/** so_wait_open() - until a connect is over, either way; false: interrupted */
bool so_wait_open(struct so *s, struct so_sock *k);

int so_socket(void *u, int domain, int type, int protocol);
int so_bind(void *u, int fd, const struct sockaddr *addr, socklen_t len);
int so_listen(void *u, int fd, int backlog);
int so_accept(void *u, int fd, struct sockaddr *addr, socklen_t *len);
int so_connect(void *u, int fd, const struct sockaddr *addr, socklen_t len);
int so_close(void *u, int fd);
int so_shutdown(void *u, int fd, int how);

/* ----- bytes.c ----- */

/** so_unread() - bytes that a read finds */
size_t so_unread(const struct so *s, const struct so_sock *k);

/** so_keep_text() - copy what every socket has not read: a reset takes it from the lane */
void so_keep_text(struct so *s);

ssize_t so_read(void *u, int fd, void *buf, size_t n);
ssize_t so_readv(void *u, int fd, const struct iovec *iov, int n);
ssize_t so_recv(void *u, int fd, void *buf, size_t n, int flags);
ssize_t so_recvfrom(void *u, int fd, void *buf, size_t n, int flags, struct sockaddr *from,
		    socklen_t *len);
ssize_t so_recvmsg(void *u, int fd, struct msghdr *msg, int flags);
ssize_t so_write(void *u, int fd, const void *buf, size_t n);
ssize_t so_writev(void *u, int fd, const struct iovec *iov, int n);
ssize_t so_send(void *u, int fd, const void *buf, size_t n, int flags);
ssize_t so_sendto(void *u, int fd, const void *buf, size_t n, int flags, const struct sockaddr *to,
		  socklen_t len);
ssize_t so_sendmsg(void *u, int fd, const struct msghdr *msg, int flags);
int so_splice(void *u, int from, loff_t *off_from, int to, loff_t *off_to, size_t n,
	      unsigned int flags);

/* ----- options.c ----- */
int so_getsockopt(void *u, int fd, int level, int name, void *value, socklen_t *len);
int so_setsockopt(void *u, int fd, int level, int name, const void *value, socklen_t len);
int so_fcntl(void *u, int fd, int cmd, ...);
int so_ioctl(void *u, int fd, unsigned long request, ...);

/** so_apply_options() - what a socket's options say to its connection, when it begins */
void so_apply_options(struct so *s, struct so_sock *k);

/* ----- info.c ----- */

/*
 * TCP_INFO as kernels of today give it: behind what the headers of Debian 12 know.
 */
struct so_tcp_info {
	struct tcp_info known;
	uint32_t rcv_wnd, rehash;
	uint16_t total_rto, total_rto_recoveries;
	uint32_t total_rto_time;
	uint32_t received_ce;
	uint32_t delivered_bytes[3]; /* ECT(1), ECT(0), CE */
	uint32_t received_bytes[3];
};

/** so_info() - what TCP_INFO says */
void so_info(struct so *s, const struct so_sock *k, struct so_tcp_info *info);

/** so_info_look() - note when what came and left, and what the time went into, after a turn */
void so_info_look(struct so *s, struct so_sock *k, struct mr_conn *c);

/* ----- events.c ----- */

/** so_events() - what poll() would say: EPOLLIN and others */
uint32_t so_events(const struct so *s, const struct so_sock *k);
int so_poll(void *u, struct pollfd *fds, nfds_t n, int timeout_ms);
int so_epoll_create(void *u, int size);
int so_epoll_ctl(void *u, int epfd, int op, int fd, struct epoll_event *event);
int so_epoll_wait(void *u, int epfd, struct epoll_event *events, int max, int timeout_ms);

#endif
