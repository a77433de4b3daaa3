/* SPDX-License-Identifier: MIT */
/*
 * Applications inside a lane.
 *
 * A lane calls an application back in its own turn, to completion, in the one
 * thread of the lane. A callback must not block: its time is measured, and a
 * call over 1 ms is counted against the application. What an application may
 * do to a connection is declared here; nothing else of the lane is visible.
 *
 * A connection is named by an id that is never used twice while a lane lives;
 * a call with the id of a connection that is gone returns -ENOTCONN and changes
 * nothing. Ids, not pointers, may be kept between callbacks.
 *
 * All functions are called only from inside a callback of the same lane.
 */
#ifndef MILLRACE_APP_H
#define MILLRACE_APP_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <netinet/in.h>

struct mr_host; /* the lane, as its applications see it */
struct mr_app_args;

/* A connection's name: 0 names none. */
typedef uint64_t mr_conn_id;

/* What a message or byte callback tells the lane. */
enum mr_app_verdict {
	MR_APP_DONE = 0,   /* consumed; go on */
	MR_APP_AGAIN = 1,  /* not consumed: offer the same again after mr_resume() or
			    * when there is room to send again; the window closes meanwhile */
	MR_APP_CLOSED = 2, /* the callback closed or aborted the connection */
};

/**
 * struct mr_app - an application that the lane can call
 * @name:	as the configuration names it
 * @messages:	true: a TLV application, @message is called; false: bytes
 * @conn_bytes:	size of the per-connection state that mr_conn_state() gives;
 *		zeroed at open, freed after @closed. 0: none; 256 at most. The bytes outlive
 *		the worker: no pointers. A connection that was being served when its worker
 *		was killed is reset, and @closed is not called for it
 * @start:	once a lane and rule, before any connection; @args is the rule's own
 *		settings, valid until @stop. Returns 0 or -errno with
 *		nothing started. May be NULL
 * @stop:	once, when the lane ends, or the rule and its last connection. May be NULL
 * @open:	the handshake is done. May be NULL
 * @bytes:	in-order bytes at @data, a view that is valid until return; *@used
 *		is how many were consumed, 0 to @len. Fewer than @len means
 *		MR_APP_AGAIN for the rest
 * @message:	one whole TLV message; @value is a view that is valid until return
 * @writable:	there is room again after mr_send() or mr_reserve() gave less than
 *		was wanted. May be NULL
 * @peer_shutdown: the peer sent FIN and everything before it was consumed; the
 *		other direction stays open until mr_close() or mr_shutdown(). When that was
 *		shut down and acknowledged already, @closed comes instead.
 *		May be NULL: then the lane calls mr_close() when all is sent
 * @urgent:	the peer says that bytes ahead are urgent: mr_urgent() tells how many. They come
 *		in line, as all others. May be NULL
 * @timer:	the time of mr_timer() has come. May be NULL
 * @closed:	the connection is gone, @reason says why (enum mr_close_reason,
 *		words by mr_close_reason_text()); the id is dead after return.
 *		Called once for every @open and every mr_connect() that returned an id
 */
struct mr_app {
	const char *name;
	bool messages;
	size_t conn_bytes;
	int (*start)(struct mr_host *h, const struct mr_app_args *args, void **rule_state);
	void (*stop)(struct mr_host *h, void *rule_state);
	void (*open)(struct mr_host *h, mr_conn_id c);
	enum mr_app_verdict (*bytes)(struct mr_host *h, mr_conn_id c, const uint8_t *data,
				     size_t len, size_t *used);
	enum mr_app_verdict (*message)(struct mr_host *h, mr_conn_id c, uint64_t tag,
				       const uint8_t *value, size_t len);
	void (*writable)(struct mr_host *h, mr_conn_id c);
	void (*peer_shutdown)(struct mr_host *h, mr_conn_id c);
	void (*urgent)(struct mr_host *h, mr_conn_id c);
	void (*timer)(struct mr_host *h, mr_conn_id c);
	void (*closed)(struct mr_host *h, mr_conn_id c, int reason);
};

/**
 * struct mr_app_args - what a rule gives its application
 * @rule_name:	the rule's name, for messages
 * @directory:	a directory that the application may write, opened by the daemon, or -1
 * @lane:	number of the lane, unique among the lanes of one daemon
 */
struct mr_app_args {
	const char *rule_name;
	int directory;
	unsigned int lane;
};

/** mr_conn_state() - the application's own bytes of @c, zeroed at open
 *
 * Return: @conn_bytes bytes, valid until @closed returned, or NULL when @c is gone or
 * the application asked for none
 */
void *mr_conn_state(struct mr_host *h, mr_conn_id c);

/** mr_rule_state() - what the application's @start stored for the rule of @c, or NULL */
void *mr_rule_state(struct mr_host *h, mr_conn_id c);

/** mr_now_ms() - the turn's clock reading, CLOCK_MONOTONIC in milliseconds */
uint64_t mr_now_ms(const struct mr_host *h);

/**
 * mr_send() - queue bytes for sending
 * @buf:	bytes; copied, the caller keeps @buf
 *
 * Segments leave in the same turn's transmit stage.
 *
 * Return: bytes queued, 0 to @len (fewer: @writable is called when there is room), or
 *	   -EPIPE	after mr_shutdown(SHUT_WR), nothing queued
 *	   -ENOTCONN	@c is gone or not yet open, nothing queued
 */
int64_t mr_send(struct mr_host *h, mr_conn_id c, const void *buf, size_t len);

/**
 * mr_urge() - everything queued so far is urgent (RFC 9293 3.8.5)
 *
 * Segments carry the pointer until the peer has acknowledged it. New protocols should not use the
 * mechanism (SHLD-13). Return: 0, or -EPIPE, -ENOTCONN as mr_send()
 */
int mr_urge(struct mr_host *h, mr_conn_id c);

/** mr_urgent() - unread bytes up to the end of the peer's urgent ones, 0: none are ahead */
size_t mr_urgent(struct mr_host *h, mr_conn_id c);

/** mr_send_room() - bytes that mr_send() or mr_send_message() would take now */
size_t mr_send_room(struct mr_host *h, mr_conn_id c);

/**
 * mr_reserve() - the free bytes behind what is queued, to be written in place
 * @room:	out: how many bytes may be written at the returned address, at least 1
 *
 * The bytes lie in the frame that will be sent: no copy. mr_commit() queues
 * the first of them; without it nothing is queued. No other sending call may
 * stand between the two.
 *
 * Return: address, or NULL when there is no room (@writable is called later) or @c is gone
 */
void *mr_reserve(struct mr_host *h, mr_conn_id c, size_t *room);

/** mr_commit() - queue the first @len bytes of the last mr_reserve(); @len up to its room */
int mr_commit(struct mr_host *h, mr_conn_id c, size_t len);

/**
 * mr_send_message() - queue one TLV message in the rule's format
 *
 * All or nothing: a message is never queued in part.
 *
 * Return: 0, or
 *	   -EAGAIN	not enough room now; @writable is called later
 *	   -EMSGSIZE	@tag or @len do not fit the format, or the message would never fit
 *			the send buffer
 *	   -EPIPE, -ENOTCONN	as mr_send()
 */
int mr_send_message(struct mr_host *h, mr_conn_id c, uint64_t tag, const void *value, size_t len);

/** mr_resume() - offer again what @bytes or @message left with MR_APP_AGAIN, in this turn */
int mr_resume(struct mr_host *h, mr_conn_id c);

/**
 * mr_pause() - stop or go on offering received bytes
 *
 * While paused nothing is offered and the window closes; off offers in this turn.
 */
int mr_pause(struct mr_host *h, mr_conn_id c, bool on);

/**
 * mr_shutdown() - end one direction, as shutdown(2)
 * @how:	SHUT_RD: unread and later data is answered with RST;
 *		SHUT_WR: FIN after what is queued; SHUT_RDWR: both
 *
 * The connection stays until mr_close(). Return: 0 or -ENOTCONN
 */
int mr_shutdown(struct mr_host *h, mr_conn_id c, int how);

/**
 * mr_close() - give the connection back
 *
 * What is queued is still sent, then FIN (RFC 9293 3.10.4). Bytes that the
 * application left unread make it an RST instead (RFC 9293 SHLD-3, RFC 2525 2.17).
 * @closed follows, at the earliest after the running callback.
 */
int mr_close(struct mr_host *h, mr_conn_id c);

/** mr_abort() - RST now, everything queued is dropped (RFC 9293 3.10.5) */
int mr_abort(struct mr_host *h, mr_conn_id c);

/** mr_nodelay() - Nagle's algorithm off or on again (RFC 9293 3.7.4); on is the default of lanes */
int mr_nodelay(struct mr_host *h, mr_conn_id c, bool on);

/** mr_keepalive() - probe after @idle_s idle seconds (0: off), every @interval_s, @count times */
int mr_keepalive(struct mr_host *h, mr_conn_id c, unsigned int idle_s, unsigned int interval_s,
		 unsigned int count);

/**
 * mr_user_timeout() - abort when nothing was acknowledged for @ms, or the window stayed closed so
 *		       long (RFC 9293 3.10.8); 0: what the configuration says
 */
int mr_user_timeout(struct mr_host *h, mr_conn_id c, unsigned int ms);

/** mr_timer() - call @timer once after @ms; a later call replaces it, 0 cancels */
int mr_timer(struct mr_host *h, mr_conn_id c, unsigned int ms);

/**
 * mr_connect() - open a connection from this lane (RFC 9293 3.10.1, active)
 * @remote:	IPv4 or IPv6 address and port
 * @opened:	out: the new connection's id
 *
 * The application of @c (a connection whose rule names it) serves the new
 * connection too: @open is called when it is established, @closed otherwise.
 * mr_conn_state() of the new id may be written at once.
 *
 * Return: 0, or -ENOBUFS (no connection block is free, or too many opens wait for a path), -EINVAL
 *	   (not an address that can be connected to), nothing opened. A path that is not found and
 *	   ports that are used up are told by @closed
 */
int mr_connect(struct mr_host *h, mr_conn_id c, const struct sockaddr *remote, mr_conn_id *opened);

/**
 * mr_connect_from() - mr_connect() from an address of this host (RFC 9293 MUST-43)
 * @local:	an address of the lane's interface or of a VLAN on it; its port is 0, for the lane
 *		chooses one. NULL: the address that the route prefers, as mr_connect()
 *
 * Return: as mr_connect(); -EADDRNOTAVAIL: the interface does not have @local, it is not among the
 *	   64 addresses of the interface that the lane is told of, or the lane has not read them
 *	   yet (in its first turns); nothing opened
 */
int mr_connect_from(struct mr_host *h, mr_conn_id c, const struct sockaddr *local,
		    const struct sockaddr *remote, mr_conn_id *opened);

/**
 * mr_connect_with() - mr_connect() with bytes to be sent first
 * @buf:	bytes; copied
 *
 * The first of them go with the SYN when TCP Fast Open (RFC 7413) is configured and the
 * destination's cookie is known; the peer may then see them twice, when the network doubles the
 * SYN: not for requests that must not be repeated. All others follow the handshake.
 *
 * Return: bytes queued, 0 to @len (fewer: @writable follows @open), or as mr_connect()
 */
int64_t mr_connect_with(struct mr_host *h, mr_conn_id c, const struct sockaddr *remote,
			const void *buf, size_t len, mr_conn_id *opened);

/**
 * mr_listen() - listen on another port of the address of @c, for as long as @c lives
 * @backlog:	connections that may wait for mr_accept(), 1 to 65535
 *
 * The daemon reserves and steers the port; @listening is called with the
 * answer, 0 or -errno, later. There is no accept call yet: a listener holds
 * its backlog, which is what it is for.
 *
 * Return: 0 (asked) or -ENOTCONN, -EALREADY (one listener a connection)
 */
int mr_listen(struct mr_host *h, mr_conn_id c, uint16_t port, unsigned int backlog,
	      void (*listening)(struct mr_host *h, mr_conn_id c, int error));

/** mr_close_errno() - the errno of kernel sockets for a close reason, 0 for an orderly end */
int mr_close_errno(int reason);

/** mr_close_reason_text() - words for a close reason, never NULL */
const char *mr_close_reason_text(int reason);

/** mr_builtin_apps() - the applications built in; @n out: how many */
const struct mr_app *const *mr_builtin_apps(unsigned int *n);

#endif
