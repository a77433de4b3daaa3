/* SPDX-License-Identifier: MIT */
/*
 * The unprivileged child: one thread, one epoll loop. It supervises the lanes, follows rtnetlink
 * for their path tables, and answers the control API. Everything that reaches it from a lane or a
 * client is checked; nothing of it can end the child.
 */
#ifndef MR_DAEMON_CHILD_H
#define MR_DAEMON_CHILD_H

#include <stdint.h>

#include "user/daemon/api_wait.h"
#include "user/daemon/clients.h"
#include "user/daemon/daemon.h"
#include "user/daemon/request.h"

enum {
	MR_SPAWNS_AT_ONCE = 16,
	MR_LISTENS_AT_ONCE = 32,
};

struct mr_change;
struct mr_child;
struct mr_paths;
struct MHD_Daemon;

/* A descriptor in the loop; embedded in what it belongs to. */
struct mr_watch {
	int fd;
	void (*ready)(struct mr_child *c, struct mr_watch *w);
};

enum mr_worker_state {
	MR_WORKER_DEAD,	    /* waits for its restart */
	MR_WORKER_ASKED,    /* the parent was asked to start it */
	MR_WORKER_STARTING, /* runs, has not said READY */
	MR_WORKER_SERVING,
	MR_WORKER_STOPPING,
	MR_WORKER_DRAINED, /* ended as it was asked to, and is not started again */
};

/* What the child knows of a lane's worker, beside struct mr_lane. */
struct mr_ward {
	struct mr_watch watch; /* the worker's socket; first member */
	uint32_t lane;
	enum mr_worker_state state;
	uint64_t since_ns;    /* of the state */
	uint64_t next_try_ns; /* when DEAD */
	uint32_t backoff_ms;
	uint32_t failures; /* ends before READY, in a row */
	bool killed;	   /* for its silence; the exit is to come */
	bool leaving;	   /* asked to, for another to go on */
	/* drain.c */
	bool drain;		 /* asked to open nothing more, and to end */
	uint64_t drain_until_ns; /* what is left then is reset; 0: never */
	uint32_t drain_reset;	 /* connections that were */
	/* sent.c */
	uint64_t sent_until_ns; /* its worker copies what it sends; 0: it does not */
	uint64_t sent_since_ns; /* the worker that was told is the one of then: `since_ns` */
	uint32_t sent_copy;
	/* beats.c */
	bool stale;	 /* serving, and its heartbeat is older than stale_ms */
	uint32_t stales; /* how often it became so */
	uint32_t stale_looks;
	uint64_t looked_ns;
	uint64_t stale_logged_ns;
	bool waits_words; /* the log has said that it is late */
	uint32_t bad;	  /* messages that made no sense; the log has the first few */
	/* agree.c */
	uint32_t rules_serial;	       /* of the rules that it has, as far as it said */
	uint64_t ended[MR_RULE_WORDS]; /* rules that leave and have no connection there */
};

/* Lanes get another worker, one after the other. api_lane.c */
struct mr_restart {
	struct mr_api_wait wait;
	uint32_t lane, last; /* now, and at the end */
	bool left;	     /* the old worker was asked to leave */
	uint64_t since_ns;
};

/* Lanes are asked about rules: agree.c */
struct mr_agree {
	bool asked;
	uint32_t serial;
	uint64_t since_ns;
	bool ended; /* lanes have said so of some rule, and the parent has not been told */
};

struct mr_child {
	struct mr_daemon *d;
	int epoll;
	struct mr_watch parent;
	struct mr_watch worker_log;
	struct mr_watch api;
	struct mr_watch web;
	struct mr_watch channels; /* channels.c */
	struct mr_ward *wards;
	struct mr_paths *paths;
	struct MHD_Daemon *http;
	struct MHD_Daemon *web_http; /* on loopback; NULL: off */
	struct mr_clients web_clients;
	struct mr_clients clients;	 /* of http */
	struct mr_api_wait program_wait; /* for an exchange of the XDP program: api_program.c */
	struct mr_restart restart;
	struct mr_dynamic dynamic[MR_MAX_DYNAMIC]; /* the child's list of listeners */
	unsigned int spawns_asked;  /* requests that the parent has not answered yet: few at a */
	unsigned int listens_asked; /* time, so that neither side ever waits for the other */
	struct mr_change *changes;  /* requests of that kind, changes.c */
	struct mr_change *change;   /* of the rules, that the parent was asked for; NULL: none */
	struct mr_agree agree;
	bool start_reported;
	bool stopping;
};

/**
 * mr_child_run() - the child's whole life, after fork
 * @started:	the daemon has reported its start already (this is a restart)
 *
 * Return: exit status
 */
int mr_child_run(struct mr_daemon *d, bool started);

/** mr_child_watch() - put a descriptor into the loop; it stays its owner's */
int mr_child_watch(struct mr_child *c, struct mr_watch *w);

/** mr_child_unwatch() - take it out; before it is closed */
void mr_child_unwatch(struct mr_child *c, struct mr_watch *w);

/** mr_child_ask() - send a request to the parent */
void mr_child_ask(struct mr_child *c, const struct mr_request *q);

/* ----- supervise.c ----- */

/** mr_supervise_init() - take over the lanes as the parent left them */
int mr_supervise_init(struct mr_child *c);

/** mr_supervise_tick() - restarts that are due, workers that are silent */
void mr_supervise_tick(struct mr_child *c, uint64_t now);

/** mr_supervise_note() - something the parent tells of a lane; @fd its socket or -1, given */
void mr_supervise_note(struct mr_child *c, const struct mr_note *n, int fd);

/** mr_ward_send() - a message to a lane's worker; lost when its socket is full or gone */
void mr_ward_send(struct mr_child *c, uint32_t lane, const void *message, size_t bytes);

/** mr_exit_words() - how a process ended, for people; @out of 48 bytes */
const char *mr_exit_words(int status, char *out);

/* ----- listeners.c ----- */

/** mr_listeners_ask(), _unlisten(): a lane wants a port, or no longer */
void mr_listeners_ask(struct mr_child *c, uint32_t lane, const struct mr_listen_ask *m);
void mr_listeners_unlisten(struct mr_child *c, uint32_t lane, const struct mr_listener_message *m);

/** mr_listeners_note() - the parent's answer, or news of a listener that went */
void mr_listeners_note(struct mr_child *c, const struct mr_note *n);

/** mr_listeners_greet() - tell a new worker of the listeners of its interface */
void mr_listeners_greet(struct mr_child *c, uint32_t lane);

/* ----- changes_guard.c ----- */

/** mr_guard_tell() - tell a lane when the XDP program is to answer SYNs */
void mr_guard_tell(struct mr_child *c, uint32_t lane);

/* ----- agree.c ----- */

/** mr_agree_ask() - the lanes were told rules, @serial: the parent waits for what they say */
void mr_agree_ask(struct mr_child *c, uint32_t serial);

/** mr_agree_over() - it does so no more */
void mr_agree_over(struct mr_child *c);

/** mr_agree_answer(), mr_agree_rule_ended() - what a worker says */
void mr_agree_answer(struct mr_child *c, struct mr_ward *w, const struct mr_rules_answer *m);
void mr_agree_rule_ended(struct mr_child *c, struct mr_ward *w, const struct mr_rule_ended *m);

/** mr_agree_forget() - a lane has another worker, or none */
void mr_agree_forget(struct mr_ward *w);

/** mr_agree_tick() - have all answered? Has one had time enough? */
void mr_agree_tick(struct mr_child *c, uint64_t now);

/* ----- seccomp.c ----- */

/** mr_seccomp_child() - allow what the child needs and nothing else; 0 or -errno */
int mr_seccomp_child(void);

#endif
