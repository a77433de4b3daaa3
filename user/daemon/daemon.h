/* SPDX-License-Identifier: MIT */
/*
 * What the daemon holds. The privileged parent fills it in at start; the unprivileged child
 * inherits a copy by fork, with the descriptors that it may keep. The child asks the parent for
 * the little that needs privilege (request.h).
 */
#ifndef MR_DAEMON_H
#define MR_DAEMON_H

#include <linux/types.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/mr_arena.h"
#include "shared/mr_guard.h"
#include "shared/mr_full.h"
#include "shared/mr_lane.h"
#include "shared/mr_maps.h"
#include "shared/mr_worker.h"
#include "user/daemon/config.h"
#include "user/daemon/programs.h"

#define MR_VERSION "0.1.0"

enum {
	MR_WORDS = 160, /* of a reason kept for people */
};

/* The maps, in the order of mr_maps.h. */
#define MR_MAPS(M)                                                                                 \
	M(ABI, "mr1_abi")                                                                          \
	M(CFG, "mr1_cfg")                                                                          \
	M(IF, "mr1_if")                                                                            \
	M(NEAR, "mr1_near")                                                                        \
	M(XSK, "mr1_xsk")                                                                          \
	M(BEAT, "mr1_beat")                                                                        \
	M(RULES, "mr1_rules")                                                                      \
	M(FIELD, "mr1_field")                                                                      \
	M(CLASS, "mr1_class")                                                                      \
	M(ORDER, "mr1_order")                                                                      \
	M(MET, "mr1_met")                                                                          \
	M(KNOWN, "mr1_known")                                                                      \
	M(LOCAL, "mr1_local")                                                                      \
	M(KFLOW, "mr1_kflow")                                                                      \
	M(KFLOWS, "mr1_kflows")                                                                    \
	M(VERDICT, "mr1_verdict")                                                                  \
	M(VERDICT2, "mr1_verdict2")                                                                \
	M(RSTAT, "mr1_rstat")                                                                      \
	M(LANE, "mr1_lane")                                                                        \
	M(FULL, "mr1_full")                                                                        \
	M(TAP, "mr1_tap")                                                                          \
	M(TAPRING, "mr1_tapring")                                                                  \
	M(BLOCK4, "mr1_block4")                                                                    \
	M(BLOCK6, "mr1_block6")                                                                    \
	M(GUARD, "mr1_guard")                                                                      \
	M(GSTATE, "mr1_gstate")                                                                    \
	M(GRULE, "mr1_grule")                                                                      \
	M(GSTAT, "mr1_gstat")                                                                      \
	M(GRSTAT, "mr1_grstat")                                                                    \
	M(SECRET, "mr1_secret")

enum mr_map {
#define M(name, text) MR_MAP_##name,
	MR_MAPS(M)
#undef M
		MR_MAP_COUNT
};

struct bpf_object;
struct xdp_program;
struct mr_held;
struct mr_estate_record;
struct mr_guard_changes;
struct mr_guard_room;
struct mr_rule_change;
struct mr_rules_room;

/* What the kernel wants the maps in the slots of a map of maps to be like. */
struct mr_inner {
	uint32_t type, flags, key_bytes, value_bytes;
	uint32_t key_type, value_type; /* of their BTF */
};

/* The loaded object; bpf.c. */
struct mr_bpf {
	struct bpf_object *object;
	int program[2];			     /* sections xdp and xdp.frags; programs.c */
	int previous[2];		     /* those before them, -1: none */
	int map[MR_MAP_COUNT];		     /* parent's, writable; -1 in the child */
	int reader[MR_MAP_COUNT];	     /* read only, for the child; -1: none */
	struct mr_inner inner[MR_MAP_COUNT]; /* of maps of maps */
	struct mr_generation generation;
	int active;	     /* its map of mr1_rules; parent only, -1: none yet */
	bool has_classes[2]; /* by parity: mr1_field, mr1_class and mr1_order may have a map too */
	const struct mr_beat *beats;	   /* mapped, MR_MAX_SLOTS */
	const struct mr_lane_stats *lanes; /* mapped, MR_MAX_SLOTS */
	int pin_lock;			   /* the pin directory, flock()ed */
	uint32_t former_beats;		   /* id of the stale pin's mr1_beat, 0: none */
	uint32_t adopted[MR_MAP_COUNT];	   /* ids of the maps of a program that we adopt, 0: ours */
	uint32_t n_cpus;		   /* possible CPUs: width of per-CPU values */
};

enum mr_section {
	MR_SECTION_XDP,
	MR_SECTION_FRAGS,
};

/* One interface of the configuration. */
struct mr_link {
	const struct mr_settings_interface *settings;
	const char *name;
	uint32_t ifindex;
	uint8_t mac[6];
	uint32_t mtu;
	bool up, gone;
	bool is_veth;
	/* slaves of bonds; bonds.c. The bond's name is that of the settings */
	char slave_name[IFNAMSIZ];
	uint32_t bond_ifindex;	  /* 0: no slave */
	bool backup;		  /* its frames are the kernel's, which drops them */
	char now_named[IFNAMSIZ]; /* it was renamed, "": it was not; child */
	bool taken_off;		  /* our program stands there no more; child */
	char why_gone[MR_WORDS];  /* why it is not taken again although it is back; parent */
	uint32_t n_queues;	  /* that have a lane, or will when they are there */
	uint32_t queues;	  /* that it has now; queues.c */
	struct mr_rss_settings rss;
	uint32_t slot_base;
	uint32_t first_lane; /* index in mr_daemon.lanes */
	uint32_t frame_bytes;
	uint32_t lane_mtu; /* what a frame can hold, at most the MTU */
	uint32_t room;	   /* what a frame can hold */
	/* attached program; attach.c */
	bool attached;
	bool native;
	enum mr_section section;
	uint32_t program_id;
	int former_program; /* foreign program that force replaced, put back at the end; -1: none */
	bool former_native;
	char attach_why[MR_WORDS];
	int held;			/* attach: link: the bpf_link, -1: none */
	struct xdp_program *dispatched; /* attach: libxdp: what the dispatcher calls, else NULL */
	/* shared memory */
	int mailbox;
	int paths;	  /* writable */
	int paths_reader; /* for lanes */
	struct mr_path_table *path_table;
};

/* One lane: everything that outlives its worker. */
struct mr_lane {
	uint32_t link;	/* index in mr_daemon.links */
	uint32_t index; /* among the lanes of its link; also its queue */
	uint32_t slot;
	int32_t cpu; /* -1: any */
	uint16_t port_lo, port_hi;
	/* arena and socket */
	int arena;
	int arena_reader;
	struct mr_arena_header layout; /* as made: what the arena says of itself is never asked */
	bool huge;
	int xsk;
	struct mr_xsk_sizes rings;
	bool zero_copy;
	char bind_why[MR_WORDS];
	int config;
	int next_config; /* with rules that it is asked about, -1: none */
	int doorbell;
	int capture;
	/* the worker that runs now */
	pid_t pid;	  /* 0: none */
	int pidfd;	  /* of it or of the last one; parent only */
	int socket;	  /* our end of its pair, -1: none */
	bool other_rules; /* connections of the last one have rules that are others now */
	bool outdated;	  /* it runs with another configuration than @config */
	bool adopted;	  /* a daemon before us started it: not our child */
	uint32_t epoch;
	uint32_t restarts;
	int last_status; /* of waitpid() */
	bool has_exited;
	bool fresh;   /* the next worker resets what the last one left */
	bool absent;  /* its queue is not there: nothing is open but the doorbell; queues.c */
	bool drain;   /* it is to open nothing more, and to end: drain.h */
	bool drained; /* its worker was, and its queue is given back */
	uint64_t drain_until_ns; /* what is left then is reset; 0: never */
};

enum {
	MR_STATUS_UNKNOWN =
		-1, /* in last_status: how an adopted worker ended only its parent knew */
};

/* A listener that an application asked for; the parent's truth. */
struct mr_dynamic {
	bool used;
	uint32_t lane; /* index in mr_daemon.lanes */
	uint8_t addr[16];
	uint16_t port;
	uint16_t rule_id;
	int reserved; /* the bound socket */
};

struct mr_daemon {
	struct mr_settings settings;
	char directory[256]; /* of our own executable */
	char worker_path[320];
	char object_path[320];
	char error[512]; /* why the start failed, one line */
	bool foreground;
	uint64_t started_ns;  /* CLOCK_MONOTONIC */
	int64_t started_wall; /* seconds since 1970 */
	struct mr_bpf bpf;
	struct mr_program_facts current, previous; /* of bpf.program, bpf.previous; parent */
	uint32_t exchanges;
	struct mr_programs_shown *programs; /* the same for the child to read */
	struct mr_link *links;
	uint32_t n_links;
	struct mr_lane *lanes;
	uint32_t n_lanes;
	struct mr_dynamic dynamic[MR_MAX_DYNAMIC];
	int directories[MR_MAX_DIRECTORIES];
	struct mr_guard_room *guard_room;	/* guard_keep.h; shared with the child */
	struct mr_settings_guard guard;		/* what holds: the settings' and the changes */
	struct mr_guard_changes *guard_changes; /* guard_changes.h; made at run time */
	int guard_kept;				/* memory with the changes; parent, -1: none */
	struct mr_rules_room *rules_room;	/* ruleset.h; what the child wants */
	struct mr_rules_room *rules_shown;	/* and what the parent has done */
	struct mr_rule_change *change;		/* that lanes are asked about, or NULL; parent */
	uint32_t rules_serial;			/* of what lanes were told of rules last */
	int rules_kept;				/* a room with the rules, for the next daemon */
	struct mr_reserved *reserved;		/* ports.h: of the rules */
	uint32_t n_reserved;
	char *sysctl_before; /* net.ipv4.ip_local_reserved_ports as it was, NULL: untouched */
	uint64_t isn_secret[2];
	uint64_t hash_secret[2];
	uint64_t fast_open_secret[2];
	int lock;
	int control;	   /* listening control socket */
	int http;	   /* the same on loopback, -1: off */
	int worker_log[2]; /* pipe for the workers' stderr in the background, else -1 */
	pid_t parent;
	pid_t child;
	int child_socket; /* SOCK_SEQPACKET, each side's own end */
	uint64_t *pulse;  /* that the child counts up: pulse.h */
	bool stopping;
	bool renew_child; /* it has to know descriptors that are new; parent */
	/* what outlives us, and what a daemon before us left; parent only, estate.c */
	bool fresh;	   /* it is not wanted */
	bool adopting;	   /* lanes that run are taken up */
	bool handed_over;  /* they were left to us on purpose */
	bool handing_over; /* we leave them so */
	uint64_t made_of;  /* which settings they were made of */
	int keeper;	   /* connection, -1: none */
	int record_fd;
	struct mr_estate_record *record;
	struct mr_held *held; /* until taken */
	int n_held;
};

/** mr_link_is() - is that its index, or its bond's? */
static inline bool mr_link_is(const struct mr_link *l, uint32_t ifindex)
{
	return l->ifindex == ifindex || (l->bond_ifindex && l->bond_ifindex == ifindex);
}

/**
 * mr_fail() - keep the line that says why the start failed
 *
 * Return: @err, for "return mr_fail(d, -ENOENT, ...)"
 */
int mr_fail(struct mr_daemon *d, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** mr_now_ns() - CLOCK_MONOTONIC, the clock of beats */
uint64_t mr_now_ns(void);

/** mr_close_fd() - close *@fd unless it is negative; *@fd becomes -1 */
void mr_close_fd(int *fd);

/** mr_lane_link() - the interface of a lane */
static inline struct mr_link *mr_lane_link(const struct mr_daemon *d, const struct mr_lane *l)
{
	return &d->links[l->link];
}

/**
 * mr_lane_next() - the first lane from @i on that people know of; @d->n_lanes: there is none
 *
 * Those that wait for a queue that never was there are nobody's business.
 */
static inline uint32_t mr_lane_next(const struct mr_daemon *d, uint32_t i)
{
	while (i < d->n_lanes && d->lanes[i].absent && !d->lanes[i].epoch)
		i++;
	return i;
}

/** mr_lanes_there() - lanes whose queue is there */
static inline uint32_t mr_lanes_there(const struct mr_daemon *d)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < d->n_lanes; i++)
		n += !d->lanes[i].absent;
	return n;
}

/** mr_lane_rule_text() - an address for people: "any", IPv4 or IPv6; @out of 46 bytes at least */
const char *mr_address_text(const uint8_t addr[16], char *out);

/* ----- start.c, stop.c: the parent's life ----- */

/**
 * mr_daemon_start() - everything that needs privilege, in reading order
 *
 * Return: 0, or -errno with @d->error filled in; mr_daemon_stop() undoes what was done either way
 */
int mr_daemon_start(struct mr_daemon *d);

/** mr_daemon_stop() - workers ended, program detached, pins and sockets gone: as it was before */
void mr_daemon_stop(struct mr_daemon *d);

/** mr_daemon_leave() - after a failed start: the lanes that ran before it go on as they did */
void mr_daemon_leave(struct mr_daemon *d);

/**
 * mr_parent_serve() - run until SIGTERM, SIGINT or a start-up that fails
 * @started:	called once, when all lanes serve
 *
 * Return: 0 after an orderly end, -errno with @d->error when lanes did not come up
 */
int mr_parent_serve(struct mr_daemon *d, void (*started)(void *arg), void *arg);

#endif
