/* SPDX-License-Identifier: MIT */
/*
 * Behind every public function of sockets and sets stands one of the same shape here: the context
 * names its backend, and the public function is one call through this table. What is said in
 * include/millrace holds here too; arguments that no backend could take are refused before.
 */
#ifndef MR_API_BACKEND_H
#define MR_API_BACKEND_H

#include <millrace/context.h>
#include <millrace/set.h>
#include <millrace/sock.h>

/* A backend's context and set begin with these. */
struct mr_context {
	const struct mr_backend *backend;
};

struct mr_set {
	struct mr_context *context;
};

/* @open gets what stands behind the colon of "name:...", or NULL. */
struct mr_backend {
	const char *name;
	int (*open)(const char *where, struct mr_context **out, char *error, size_t error_bytes);
	void (*close)(struct mr_context *x);

	int (*sock_open)(struct mr_context *x, int domain, int type, int protocol);
	int (*sock_bind)(struct mr_context *x, int fd, const struct sockaddr *addr, socklen_t len);
	int (*sock_listen)(struct mr_context *x, int fd, int backlog);
	int (*sock_accept)(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len,
			   int flags);
	int (*sock_connect)(struct mr_context *x, int fd, const struct sockaddr *addr,
			    socklen_t len);
	ssize_t (*sock_sendv)(struct mr_context *x, int fd, const struct iovec *iov, int n,
			      int flags);
	ssize_t (*sock_recvv)(struct mr_context *x, int fd, const struct iovec *iov, int n,
			      int flags);
	int (*sock_shutdown)(struct mr_context *x, int fd, int how);
	int (*sock_close)(struct mr_context *x, int fd);
	int (*sock_abort)(struct mr_context *x, int fd);
	int (*sock_blocking)(struct mr_context *x, int fd, bool on);
	int (*sock_set_option)(struct mr_context *x, int fd, int level, int name, const void *value,
			       socklen_t len);
	int (*sock_option)(struct mr_context *x, int fd, int level, int name, void *value,
			   socklen_t *len);
	int (*sock_name)(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len);
	int (*sock_peer)(struct mr_context *x, int fd, struct sockaddr *addr, socklen_t *len);
	int (*sock_queues)(struct mr_context *x, int fd, struct mr_sock_queues *out);

	int (*set_new)(struct mr_context *x, struct mr_set **out);
	void (*set_free)(struct mr_set *s);
	/* @op: EPOLL_CTL_ADD, _MOD, _DEL; @kernel: @fd is the kernel's */
	int (*set_change)(struct mr_set *s, int op, int fd, bool kernel,
			  const struct epoll_event *event);
	int (*set_wait)(struct mr_set *s, struct epoll_event *events, int most, int timeout_ms);
	int (*set_fd)(struct mr_set *s);
	int (*poll)(struct mr_context *x, struct pollfd *fds, nfds_t n, int timeout_ms);
};

extern const struct mr_backend mr_backend_kernel;
extern const struct mr_backend mr_backend_lane;
extern const struct mr_backend mr_backend_wire;

#endif
