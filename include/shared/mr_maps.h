/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/*
 * Records of the BPF maps, for the XDP program and for user space. Map names
 * carry the ABI major ("mr1_"); records are padded by hand, so that equal
 * geometry means equal layout. New fields go into the padding or a new map.
 *
 * Includes nothing: define the __u8 .. __u64 types first (vmlinux.h in BPF,
 * <linux/types.h> in user space).
 *
 * map           type, entries                    key               value
 * mr1_abi       ARRAY 1                          u32               struct mr_abi
 * mr1_cfg       ARRAY 1                          u32               struct mr_config
 * mr1_if        HASH MR_MAX_INTERFACES           u32 ifindex       struct mr_interface
 * mr1_near      ARRAY MR_NEAR_INTERFACES         u32 mr_near()     struct mr_interface
 * mr1_xsk       XSKMAP MR_MAX_SLOTS              u32 slot          XSK descriptor
 * mr1_beat      ARRAY|MMAPABLE MR_MAX_SLOTS      u32 slot          struct mr_beat
 * mr1_rules     ARRAY_OF_MAPS 2                  u32 parity        one rule generation:
 *   (inner)     HASH any                         struct mr_rule_key struct mr_rule
 * mr1_field     ARRAY_OF_MAPS 2                  u32 parity        what the fields of frames say:
 *   (inner)     LPM_TRIE any                     struct mr_field_key u32 class
 * mr1_class     ARRAY_OF_MAPS 2                  u32 parity        the rules that it fits:
 *   (inner)     ARRAY|INNER_MAP any              u32 class         struct mr_rule_set
 * mr1_order     ARRAY_OF_MAPS 2                  u32 parity        the rules, first ones first:
 *   (inner)     ARRAY|INNER_MAP any              u32 place         struct mr_rule
 * mr1_met       PERCPU_ARRAY MR_MAX_MET          u32 hash          struct mr_met
 * mr1_known     PERCPU_ARRAY MR_MAX_KNOWN        u32 hash          struct mr_known
 * mr1_local     HASH MR_MAX_LOCAL                struct mr_local_key struct mr_local
 * mr1_kflow     LRU_HASH MR_MAX_KERNEL_FLOWS     struct mr_flow_key struct mr_kernel_flow
 * mr1_kflows    ARRAY 1                          u32               struct mr_kernel_flows
 * mr1_verdict   PERCPU_ARRAY MR_VERDICTS_FIRST   u32 verdict       struct mr_count
 * mr1_verdict2  PERCPU_ARRAY MR_VERDICTS_SECOND  u32 verdict less  struct mr_count
 *                                                MR_VERDICTS_FIRST
 * mr1_rstat     PERCPU_ARRAY MR_MAX_RULES        u32 rule id       struct mr_count
 * mr1_lane      ARRAY|MMAPABLE MR_MAX_SLOTS      u32 slot          struct mr_lane_stats (mr_lane.h)
 * mr1_full      ARRAY|MMAPABLE MR_MAX_SLOTS      u32 slot          struct mr_full (mr_full.h)
 * mr1_tap       ARRAY|MMAPABLE 1                 u32               struct mr_tap
 * mr1_tapring   ARRAY_OF_MAPS 1                  u32               of whoever captures:
 *   (inner)     RINGBUF of any size                                struct mr_tap_frame, bytes
 *
 * mr_guard.h has the guard's.
 *
 * A slot is one receive queue of one interface: mr_interface.slot_base + queue.
 */
#ifndef MR_MAPS_H
#define MR_MAPS_H

#include "mr_endian.h"

enum {
	MR_ABI_MAGIC = 0x4d524142, /* "MRAB" */
	MR_ABI_MAJOR = 1,
	MR_ABI_MINOR = 3,

	MR_MAX_INTERFACES = 64,
	MR_NEAR_INTERFACES = 8,
	MR_MAX_SLOTS = 1024,
	MR_MAX_RULES = 4096,
	MR_RULE_WORDS = MR_MAX_RULES / 64,
	MR_MAX_KNOWN = 512,
	MR_MAX_MET = 1024,
	MR_MAX_LOCAL = 1024,
	MR_MAX_KERNEL_FLOWS = 65536,
};

struct mr_abi {
	__u32 magic;
	__u16 major;
	__u16 minor;
	__u32 n_verdicts;
	__u32 pad;
};

/*
 * How the rules of a generation are looked up: in mr1_rules, by those of the four shapes of a key
 * that any rule has; or, with MR_SHAPE_CLASSES, by their classes, of which these fields matter
 * beside protocol, port and destination.
 */
enum mr_rule_shape {
	MR_SHAPE_ADDR_VLAN = 1 << 0, /* address and VLAN given */
	MR_SHAPE_ADDR = 1 << 1,	     /* any VLAN */
	MR_SHAPE_VLAN = 1 << 2,	     /* any address */
	MR_SHAPE_ANY = 1 << 3,	     /* any address, any VLAN */
	MR_SHAPE_CLASSES = 1 << 4,   /* mr1_field, mr1_class, mr1_order */
	MR_SHAPE_SOURCES = 1 << 5,
	MR_SHAPE_VLANS = 1 << 6,
	MR_SHAPE_INTERFACES = 1 << 7,
};

/*
 * What a loader keeps to, so that the program may rely on it. Loaders of minor 0 promise nothing:
 * the field was padding.
 */
enum mr_promise {
	/*
	 * As long as the maps live, the number counts up, and no other set of rules has it: the
	 * program may remember what it found (mr1_known). Not to be given on PREEMPT_RT, where one
	 * run may come between the stores of another on the same CPU.
	 */
	MR_PROMISE_NUMBER = 1 << 0,
	MR_PROMISE_NEAR = 1 << 1, /* mr1_near says nothing else than mr1_if */
};

/*
 * The active rule generation in one aligned 64-bit word: the program reads it
 * at once, so it never mixes two generations. Zero shapes: no rules.
 */
struct mr_generation {
	__u32 number;  /* counts up, shown to people */
	__u8 parity;   /* which inner maps are active */
	__u8 shapes;   /* OR of enum mr_rule_shape */
	__u8 promises; /* OR of enum mr_promise */
	__u8 mode;     /* enum mr_mode */
};

/* What becomes of what the rules say. */
enum mr_mode {
	MR_MODE_ENFORCE = 0, /* it is done */
	MR_MODE_MONITOR = 1, /* it is counted, and every frame passes */
	MR_MODE_BYPASS = 2,  /* nobody asks: every frame passes */
};

struct mr_interface {
	__u32 slot_base;
	__u16 n_queues;
	__u16 pad;
	__u16 port_lo; /* ports of the lanes' active opens, host order; */
	__u16 port_hi; /* inclusive; both 0: none */
	__u32 ifindex; /* whose record it is; in mr1_near, 0: nobody's */
};

struct mr_config {
	struct mr_generation generation;
	__u64 stale_ns; /* heartbeat older than this: stale */
	__u64 grace_ns; /* older than this: gone */
};

/*
 * The place of an interface in mr1_near, where the program finds records of mr1_if once more,
 * without hashing. Of interfaces that share a place one has it; the others are found in mr1_if. A
 * loader that changes the one changes the other.
 */
static inline __u32 mr_near(__u32 ifindex)
{
	return ifindex % MR_NEAR_INTERFACES;
}

/*
 * Beat, epoch and what SYN-ACKs say are written by the lane that serves the slot and read by the
 * program; the count of SYNs is the program's. So is the time, its own note: the coarse clock
 * stands still between two ticks, so it is read once.
 */
struct mr_beat {
	__u64 beat_ns; /* CLOCK_MONOTONIC of the last beat; 0: no lane yet */
	__u32 epoch;   /* worker generation */
	__u32 syn;     /* OR of enum mr_syn_flag (mr_guard.h); what follows it is of SYN-ACKs */
	__u64 tick;    /* jiffies when now_ns was read */
	__u64 now_ns;  /* CLOCK_MONOTONIC_COARSE then: may be one tick old already, not ahead */
	__u32 syn_ts_offset; /* added to the milliseconds of the clock in timestamps */
	__u16 syn_window;
	__u16 syn_mss4; /* offered to IPv4 peers */
	__u16 syn_mss6;
	__u8 syn_shift;	     /* of our window */
	__u8 pad[5];	     /* a cache line a lane */
	__u64 syns_answered; /* by the program, since the map was made */
	__u64 syn_rounds;    /* how often a lane asked for answers, since the map was made */
};

enum {
	MR_VLAN_ANY = -1, /* in mr_rule_key.vlan */
};

/*
 * addr: IPv4 as ::ffff:a.b.c.d, any address as zeros.
 * vlan: 0 untagged (or priority tag), one tag: its VID, two tags:
 *	 outer VID << 16 | inner VID, MR_VLAN_ANY.
 */
struct mr_rule_key {
	__u8 addr[16];
	__u32 vlan;
	struct mr_be16 port; /* destination port */
	__u8 protocol;	     /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 family;	     /* 4 or 6 */
};

enum mr_rule_action {
	MR_ACTION_STEER = 0,
	MR_ACTION_PASS = 1,
	MR_ACTION_DROP = 2,
	MR_ACTION_KEEP = 3, /* a rule that steered and is gone: its connections go on, new ones are
			       the kernel's */
};

enum mr_rule_fallback {
	MR_FALLBACK_NONE = 0,	/* stale lane: queue new connections for it all the same */
	MR_FALLBACK_KERNEL = 1, /* stale lane: new connections go to the kernel */
};

struct mr_rule {
	__u32 rule_id; /* 0 to MR_MAX_RULES - 1, key of mr1_rstat */
	__u8 action;   /* enum mr_rule_action */
	__u8 fallback; /* enum mr_rule_fallback */
	__u16 pad;
};

/*
 * One field of a frame, or the leading bits of it, in network order; what is behind them is zero.
 *
 * SOURCE, DESTINATION	an address as struct mr_rule_key has it, with its family
 * PORT			protocol, then destination port
 * VLAN			as struct mr_rule_key has it, in host order: all of it or nothing
 * INTERFACE		ifindex, in host order: all of it or nothing
 *
 * A trie has an entry without data for each field and family that the program looks up.
 */
enum mr_field {
	MR_FIELD_SOURCE = 1,
	MR_FIELD_DESTINATION,
	MR_FIELD_PORT,
	MR_FIELD_VLAN,
	MR_FIELD_INTERFACE,
};

struct mr_field_key {
	__u32 bits;  /* from field on */
	__u8 field;  /* enum mr_field */
	__u8 family; /* 4 or 6; 0 where no address is */
	__u8 pad[2];
	__u8 data[16];
};

/* mr_field_key.bits with so many bytes of data */
#define MR_FIELD_BITS(bytes) (32 + 8 * (bytes))

/* Places in the order of a generation's rules, a bit each; a bit of `words`: that word is not 0. */
struct mr_rule_set {
	__u64 words;
	__u64 rules[MR_RULE_WORDS];
};

/*
 * What a CPU found out about the frames that it saw last, so that it looks for their rule but
 * once. The program's own: nobody else writes here. An entry is about what generation and key
 * say; generation 0: empty. Frames that a rule names and others do not drive each other out.
 */
struct mr_known {
	__u64 hit_generation; /* struct mr_generation as a word */
	struct mr_rule_key hit;
	struct mr_rule rule; /* that names hit */
	__u64 miss_generation;
	struct mr_rule_key miss; /* no rule names it */
};

/* The same where source or interface matter too; a generation has the one or the other. */
struct mr_met {
	__u64 generation;
	struct mr_rule_key key;
	__u8 saddr[16];
	__u32 ifindex;
	__u32 is_named; /* 0: no rule names it */
	struct mr_rule rule;
};

/* A local address from which lanes open connections (v4 as ::ffff:a.b.c.d). */
struct mr_local_key {
	__u8 addr[16];
};

struct mr_local {
	__u32 ifindex;
	__u32 pad;
};

struct mr_flow_key {
	__u8 saddr[16];
	__u8 daddr[16];
	struct mr_be16 sport;
	struct mr_be16 dport;
	__u8 protocol;
	__u8 pad[3];
};

struct mr_kernel_flow {
	__u64 last_ns;
	__u32 rule_id;
	__u32 pad;
};

/* How many flows were ever left to the kernel; 0 saves the look-up. */
struct mr_kernel_flows {
	__u64 inserted;
};

struct mr_count {
	__u64 packets;
	__u64 bytes;
};

enum {
	MR_TAP_COPY_MOST = 16384 - 48, /* bytes of a frame that a capture can have */
	MR_TAP_RING_TEMPLATE = 65536,  /* bytes; a capture's own ring may have any size */
};

/*
 * Whether somebody captures frames, and what of them. The capturer puts a ring of its own into
 * mr1_tapring and writes here through a mapping: owner by compare-and-swap, until_ns last. It keeps
 * until_ns ahead of the clock; when it dies the time passes, and the program clears the word.
 */
struct mr_tap {
	__u64 until_ns;	  /* CLOCK_MONOTONIC; 0: nobody captures */
	__u64 owner;	  /* a number that no other capturer has; 0: nobody */
	__u32 ifindex;	  /* frames of this interface alone; 0: of all */
	__u32 copy_bytes; /* at most so many of each, up to MR_TAP_COPY_MOST */
	__u32 wake_bytes; /* wake the reader when so many wait in the ring */
	__u32 pad;
	__u64 lost;	   /* frames that found no room; counted by the program */
	__u64 reserved[3]; /* a cache line */
};

/* A frame in the ring; `copied` bytes of it follow. */
struct mr_tap_frame {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 ifindex;
	__u32 queue;
	__u32 frame_bytes;
	__u32 copied;
	__u32 rule_id; /* MR_TAP_NONE: no rule names it, or none was looked for */
	__u32 slot;    /* of its lane; MR_TAP_NONE: it is for none */
	__u16 verdict; /* enum mr_verdict */
	__u16 action;  /* enum xdp_action */
	__u32 pad[3];
};

#define MR_TAP_NONE 0xffffffffu

#endif
