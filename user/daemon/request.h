/* SPDX-License-Identifier: MIT */
/*
 * What the unprivileged child may ask of the privileged parent, over a SOCK_SEQPACKET pair. The
 * list is all there is; the parent checks each request against the configuration that it loaded
 * itself, whatever the child says.
 *
 * request	checked against				answer
 * SPAWN	lane exists and has no worker		pid, epoch, and the worker's socket
 * KILL		lane exists and has a worker		(the exit is told by EXITED)
 * LOCAL_ADD	address stands on that interface, a VLAN or bond of it	-
 * LOCAL_DELETE	address stands there no more		-
 * NEIGHBOUR	interface of ours or VLAN on it, unicast	-
 * LISTEN	a rule with drill, address local, port free	error
 * UNLISTEN	lane owns the listener			-
 * LINK_GONE	-					-
 * LINK_BACK	an interface has the link's name	(a new child)
 * QUEUES	the interface's queues are others now	(a new child)
 * BONDS	-					(a new child)
 * DRAIN	lane exists				-
 * RELEASE	lane exists and has no worker		-
 * GUARD	each change of the shared memory	error
 * RULES	each rule of the shared memory	error, words; or the lanes are to be asked
 * RULES_AGREED	a change is under way		error, words
 * RULES_REFUSED	a change is under way		error, words
 * RULES_ENDED	only what leaves is forgotten	error
 * SERVING	-					-
 * FAILED	-					-
 * UPGRADE	a file of root's alone, ABI and maps as ours	error, words
 * ROLLBACK	there is a program before the current one	error, words
 * PROBE	lane exists				error, words: does the worker program fit
 * it?
 */
#ifndef MR_DAEMON_REQUEST_H
#define MR_DAEMON_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "user/daemon/daemon.h"

struct mr_daemon;
struct mr_dynamic;

enum mr_request_type {
	MR_REQUEST_SPAWN = 1,
	MR_REQUEST_KILL,
	MR_REQUEST_LOCAL_ADD,
	MR_REQUEST_LOCAL_DELETE,
	MR_REQUEST_NEIGHBOUR,
	MR_REQUEST_LISTEN,
	MR_REQUEST_UNLISTEN,
	MR_REQUEST_SERVING, /* all lanes serve: the start is complete */
	MR_REQUEST_FAILED,  /* a lane does not come up; words say why */
	MR_REQUEST_UPGRADE, /* words: path of an object, or "" */
	MR_REQUEST_ROLLBACK,
	MR_REQUEST_PROBE,
	MR_REQUEST_LINK_GONE, /* the interface of the lane was deleted */
	MR_REQUEST_LINK_BACK, /* one with its name is there again */
	MR_REQUEST_RULES,     /* ruleset.h */
	MR_REQUEST_QUEUES,    /* those of the lane's interface may have changed */
	MR_REQUEST_BONDS,     /* slaves may have come, gone, or another be active */
	MR_REQUEST_RELEASE,   /* the lane was drained: its queue is not needed */
	MR_REQUEST_DRAIN,     /* to be known after our end: drain.h */
	MR_REQUEST_GUARD,     /* guard_keep.h */
	MR_REQUEST_RULES_AGREED,
	MR_REQUEST_RULES_REFUSED, /* words: why */
	MR_REQUEST_RULES_ENDED,
};

/* child -> parent */
struct mr_request {
	uint32_t type;
	uint32_t lane;	  /* index in mr_daemon.lanes */
	uint32_t ifindex; /* LOCAL_*, NEIGHBOUR */
	uint16_t port;	  /* LISTEN, UNLISTEN */
	uint16_t fresh;	  /* SPAWN: what the last worker left is not to be believed */
	uint16_t drain;	  /* DRAIN: whether it is to, until @cookie (ns) or for ever */
	uint8_t addr[16]; /* v4 mapped */
	uint64_t cookie;  /* comes back */
	char words[256];  /* FAILED, UPGRADE, RULES_REFUSED */
};

enum mr_note_type {
	MR_NOTE_SPAWNED = 1, /* error, pid, epoch; one descriptor when error is 0 */
	MR_NOTE_EXITED,	     /* status; its dynamic listeners are gone */
	MR_NOTE_LISTENING,   /* error, cookie, addr, port, rule_id */
	MR_NOTE_UNLISTENED,  /* addr, port: removed */
	MR_NOTE_BACKGROUND, /* log to syslog from now on; a descriptor of /dev/null comes with it */
	MR_NOTE_STOPPING,
	MR_NOTE_PROGRAM, /* error, words: what became of UPGRADE or ROLLBACK */
	MR_NOTE_PROBED,	 /* error, words */
	MR_NOTE_RULES,	 /* error, words, generation; 0: those of the shared memory are in force */
	MR_NOTE_GUARD,	 /* error, generation */
	MR_NOTE_RULES_ASKED, /* cookie: the serial that every lane is to agree to */
};

/* parent -> child */
struct mr_note {
	uint32_t type;
	uint32_t lane;
	int32_t error;
	int32_t pid;
	uint32_t epoch;
	int32_t status;
	uint64_t cookie;
	uint8_t addr[16];
	uint16_t port;
	uint16_t rule_id;
	uint32_t generation; /* of the rules, now */
	char words[MR_WORDS];
};

/* ----- the parent's side: requests.c ----- */

enum {
	MR_REQUESTS_A_TURN = 64, /* so that a child that never stops asking keeps nobody waiting */
};

/**
 * mr_requests_read() - take what the child asks for, at most MR_REQUESTS_A_TURN
 * @socket:	the parent's end; not waited for
 * @serve:	called with each; what has another size than a request is dropped
 *
 * Return: false when the child's end is closed
 */
bool mr_requests_read(int socket, void (*serve)(void *arg, struct mr_request *q), void *arg);

/** mr_request_serve() - check a request of the child, do it, answer it; @q->lane is in range */
void mr_request_serve(struct mr_daemon *d, const struct mr_request *q);

/** mr_note_send() - tell the child, with descriptor @fd unless it is -1 (stays the caller's) */
void mr_note_send(struct mr_daemon *d, const struct mr_note *n, int fd);

/** mr_note_unlistened() - tell the child that a listener is gone */
void mr_note_unlistened(struct mr_daemon *d, const struct mr_dynamic *y);

#endif
