/* SPDX-License-Identifier: MIT */
/*
 * What the daemon and a worker say to each other, over a SOCK_SEQPACKET pair that the worker
 * finds as descriptor MR_WORKER_FD. One record is one message: a struct of the table below,
 * starting with struct mr_message. Both sides check type and length and drop, with a log line,
 * what they do not know.
 *
 *   daemon -> worker			worker -> daemon
 *   HELLO (first, with descriptors)	MAPPED (only with MR_HELLO_GO), READY (serving)
 *   PATH_ANSWER			PATH_ASK
 *   LISTEN_ANSWER			LISTEN_ASK, UNLISTEN
 *   LISTENER, UNLISTENER (to every lane)
 *   STOP (reset all and end), LEAVE	STOPPED
 *   DRAIN, RESUME, CAPTURE
 *   SYN (also behind READY)
 *   RULES (with a descriptor)		RULES_ANSWER (behind READY too), RULE_ENDED
 *
 * A worker whose socket closes (the daemon died) goes on serving.
 */
#ifndef MR_WORKER_H
#define MR_WORKER_H

#include <stdint.h>

#include "mr_endian.h"

enum {
	MR_WORKER_FD = 3,
	MR_WORKER_VERSION = 7,
	MR_WORKER_MAGIC = 0x4d52574b,
	MR_MAX_LANES = 64,
	MR_RULE_NAME_BYTES = 32,
	MR_RULES_WORDS = 160, /* of an answer */
	MR_APP_NAME_BYTES = 32,
	MR_MAX_DIRECTORIES = 32,
	MR_PATHS = 4096,
	MR_MTU_ROUTES = 64,
	MR_OWN_ADDRESSES = 64,
	MR_SYN_ACK_RETRIES_MOST = 8,
	MR_RSS_KEY_BYTES = 64,
	MR_RSS_ENTRIES = 2048,
};

enum mr_message_type {
	MR_MSG_HELLO = 1,
	MR_MSG_READY,
	MR_MSG_PATH_ASK,
	MR_MSG_PATH_ANSWER,
	MR_MSG_LISTEN_ASK,
	MR_MSG_LISTEN_ANSWER,
	MR_MSG_UNLISTEN,
	MR_MSG_LISTENER,
	MR_MSG_UNLISTENER,
	MR_MSG_STOP,
	MR_MSG_STOPPED,
	MR_MSG_LEAVE,  /* end behind the turn; another worker goes on with what is left */
	MR_MSG_DRAIN,  /* open nothing more, stop when nothing is open any more */
	MR_MSG_RESUME, /* DRAIN was not meant */
	MR_MSG_SYN,    /* when the XDP program is to answer SYNs, from now on */
	MR_MSG_RULES,  /* other rules from now on */
	MR_MSG_RULES_ANSWER,
	MR_MSG_RULE_ENDED, /* one that leaves has no connection here any more */
	MR_MSG_CAPTURE,	   /* copy what is sent (mr_sent.h), for a while */
	MR_MSG_MAPPED,	   /* the rings are: the socket may be bound */
};

struct mr_message {
	uint32_t magic;
	uint16_t type;	/* enum mr_message_type */
	uint16_t bytes; /* of the whole record */
};

/*
 * Descriptors that come with HELLO, in this order; a missing one is marked in mr_hello.fds and
 * takes no place.
 */
enum mr_hello_fd {
	MR_HELLO_XSK,	   /* AF_XDP socket, its rings made; bound, unless MR_HELLO_GO comes too */
	MR_HELLO_ARENA,	   /* struct mr_arena_header, laid out by the daemon */
	MR_HELLO_CONFIG,   /* struct mr_lane_config, read only */
	MR_HELLO_MAILBOX,  /* struct mr_mailbox_header: shared by all lanes of an interface */
	MR_HELLO_PATHS,	   /* struct mr_path_table, read only */
	MR_HELLO_BEAT_MAP, /* BPF map mr1_beat, to be mapped */
	MR_HELLO_LANE_MAP, /* BPF map mr1_lane, to be mapped */
	MR_HELLO_FULL_MAP, /* BPF map mr1_full, to be mapped */
	MR_HELLO_CAPTURE,  /* pcapng file to append to, optional */
	MR_HELLO_GO,	   /* eventfd, optional: the socket is bound once it reads enum mr_go */
	MR_HELLO_DOORBELL, /* eventfd of lane 0; lane i at MR_HELLO_DOORBELL + i */
	MR_HELLO_DIRECTORY = MR_HELLO_DOORBELL + MR_MAX_LANES,
	MR_HELLO_FD_COUNT = MR_HELLO_DIRECTORY + MR_MAX_DIRECTORIES,
};

/*
 * Where a bound socket cannot be mapped (Linux before 6.4) it is bound only when the worker has
 * said MAPPED. It is a new one then, its rings empty. The worker touches neither rings nor arena
 * before this comes.
 */
enum mr_go {
	MR_GO_COPY = 1,
	MR_GO_ZERO_COPY,
};

struct mr_hello {
	struct mr_message head;
	uint32_t version;
	uint32_t lane; /* 0 to n_lanes - 1, among the lanes of its interface */
	uint32_t n_lanes;
	uint32_t slot; /* key in mr1_beat and mr1_lane */
	uint32_t ifindex;
	uint32_t queue;
	uint32_t epoch;	    /* worker generation of this lane, from 1 */
	uint32_t zero_copy; /* 1: bound zero-copy; 0 if it is bound later */
	uint32_t fresh;	    /* 1: reset what an earlier worker left, do not go on with it */
	uint32_t rx_size, tx_size, fill_size, completion_size; /* ring entries */
	uint8_t fds[MR_HELLO_FD_COUNT];			       /* 1: sent */
};

/* The value layout of TLV rules; include/millrace/tlv.h explains it. */
struct mr_tlv_settings {
	uint8_t tag_bytes;
	uint8_t length_bytes;
	uint8_t little_endian;
	uint8_t length_has_header;
	uint32_t max_bytes;
	uint8_t check; /* enum mr_tlv_check */
	uint8_t pad[7];
};

/** mr_tlv_check_names() - words of enum mr_tlv_check in its order, NULL at the end */
static inline const char *const *mr_tlv_check_names(void)
{
	static const char *const names[] = { "none", "crc32c", 0 };

	return names;
}

/* 0 in a time: off. */
struct mr_heartbeat_settings {
	uint64_t ping_tag;
	uint64_t pong_tag;
	uint32_t has_ping;
	uint32_t idle_ms;
	uint32_t partial_ms;
	uint32_t ping_ms;
	uint32_t pong_ms;
	uint32_t handler_ms;
	uint32_t send_ms;
	uint32_t pad;
};

/* Leading bits of an address; v4 mapped, so that IPv4 has 96 bits more. */
struct mr_net {
	uint8_t addr[16]; /* zeros behind the bits */
	uint8_t bits;	  /* 0 to 128; IPv4: 96 + prefix length */
	uint8_t family;	  /* 4 or 6: a mapped address of an IPv6 packet is not IPv4 */
	uint8_t pad[2];
};

/** mr_net_fits() - is @addr of @family inside? */
static inline int mr_net_fits(const struct mr_net *p, const uint8_t addr[16], uint8_t family)
{
	uint8_t whole = p->bits / 8, rest = (uint8_t)(0xff00 >> p->bits % 8);

	return p->family == family && !__builtin_memcmp(addr, p->addr, whole) &&
	       (!rest || !((addr[whole] ^ p->addr[whole]) & rest));
}

/* Prefixes of a rule, in the list behind the rules; `given` and none: nothing fits. */
struct mr_lane_prefixes {
	uint32_t first, n;
	uint8_t given; /* 0: any address */
	uint8_t pad[3];
};

enum mr_lane_rule_state {
	MR_RULE_LIVE = 0,
	MR_RULE_LEAVING, /* takes no new connections; those that stand go on */
	MR_RULE_FREE,	 /* none: its number waits for another rule */
};

struct mr_lane_rule {
	char name[MR_RULE_NAME_BYTES];
	char app[MR_APP_NAME_BYTES];
	uint8_t addr[16]; /* local address, v4 mapped; zeros: any */
	uint32_t vlan;	  /* as struct mr_rule_key */
	uint16_t port;	  /* the first one, host order */
	uint16_t rule_id;
	uint8_t protocol;
	uint8_t any_family; /* any address: IPv4 and IPv6 */
	uint8_t family;	    /* 4, 6; 0 with any_family */
	uint8_t nodelay;
	uint8_t ttl;  /* of IP packets, 1 to 255 */
	uint8_t dscp; /* RFC 2474, 0 to 63 */
	uint8_t cc;   /* enum mr_cc_algorithm */
	uint8_t ecn;  /* enum mr_ecn_mode */
	uint32_t backlog;
	int32_t directory; /* 0 to MR_MAX_DIRECTORIES - 1, or -1 */
	struct mr_tlv_settings tlv;
	struct mr_heartbeat_settings heartbeat;
	uint16_t port_hi;  /* the last one; below `port`: there is just that one */
	uint16_t place;	   /* among the rules: of several that fit the lowest place holds */
	uint8_t elsewhere; /* 1: it is for another interface */
	uint8_t state;	   /* enum mr_lane_rule_state */
	uint8_t pad[2];
	struct mr_lane_prefixes source, destination; /* a given destination: `addr` has no say */
};

/** mr_lane_rule_port_hi() - the last port */
static inline uint16_t mr_lane_rule_port_hi(const struct mr_lane_rule *r)
{
	return r->port_hi > r->port ? r->port_hi : r->port;
}

/* How segment sizes are found without the word of a router (RFC 4821). */
enum mr_mtu_probing {
	MR_MTU_PROBING_OFF = 0,
	MR_MTU_PROBING_BLACK_HOLE, /* only when full segments are never acknowledged */
	MR_MTU_PROBING_ON,	   /* begin small, search upwards */
};

/* Keepalive, as RFC 9293 3.8.4 and Linux's net.ipv4.tcp_keepalive_*. */
struct mr_keepalive_settings {
	uint32_t enabled; /* for every connection; off by default (MUST-25) */
	uint32_t idle_s;
	uint32_t interval_s;
	uint32_t count;
};

enum mr_syn_cookies {
	MR_SYN_COOKIES_OFF = 0,
	MR_SYN_COOKIES_AUTO, /* when half-open connections find no room */
	MR_SYN_COOKIES_ALWAYS,
};

/* What becomes of a final ACK that finds the accept queue full. */
enum mr_overflow {
	MR_OVERFLOW_DROP = 0, /* the peer sends again */
	MR_OVERFLOW_RESET,
};

/* RFC 7413; 0: off */
enum {
	MR_FAST_OPEN_SERVER = 1 << 0,
	MR_FAST_OPEN_CLIENT = 1 << 1,
	MR_FAST_OPEN_PENDING_MOST = 1024,
};

/* Whether the XDP program answers the SYNs of a lane that is overrun by them. */
enum mr_syn_answers {
	MR_SYN_ANSWERS_OFF = 0,
	MR_SYN_ANSWERS_AUTO, /* but for veth, whose other end may not hear what XDP sends; a lane's
				configuration has one of the others */
	MR_SYN_ANSWERS_ON,
};

/* From when and until when it does. */
enum {
	MR_SYN_AT_LEAST = 1, /* per cent of a lane's half-open records in use */
	MR_SYN_AT_MOST = 100,
	MR_SYN_AT_DEFAULT = 50,
	MR_SYN_CALM_DEFAULT_S = 3,
	MR_SYN_CALM_MOST_S = 3600,
};

/* How connections are opened. */
struct mr_open_settings {
	uint8_t syn_cookies;	      /* enum mr_syn_cookies */
	uint8_t overflow;	      /* enum mr_overflow */
	uint8_t syn_ack_retries;      /* after the first SYN-ACK, at most MR_SYN_ACK_RETRIES_MOST */
	uint8_t fast_open;	      /* MR_FAST_OPEN_SERVER, MR_FAST_OPEN_CLIENT */
	uint32_t fast_open_pending;   /* of a lane, at most MR_FAST_OPEN_PENDING_MOST */
	uint32_t source_connections;  /* that one source may have with a lane; 0: any number */
	uint32_t source_half_open;    /* of them not established yet */
	uint32_t syn_answers;	      /* enum mr_syn_answers */
	uint32_t syn_at_percent;      /* MR_SYN_AT_LEAST to MR_SYN_AT_MOST */
	uint32_t syn_calm_s;	      /* 1 to MR_SYN_CALM_MOST_S */
	uint64_t fast_open_secret[2]; /* SipHash key, the same for every lane of the daemon */
};

/*
 * How the NIC spreads what arrives over its queues: Toeplitz hash of addresses (and ports), the low
 * bits of which are a place in the table. Zero entries: it does not say, or spreads otherwise.
 */
struct mr_rss_settings {
	uint16_t entries; /* power of two */
	uint16_t key_bytes;
	uint8_t ipv4_ports; /* TCP over IPv4: hash the ports too */
	uint8_t ipv6_ports;
	uint8_t pad[2];
	uint8_t key[MR_RSS_KEY_BYTES];
	uint8_t queue[MR_RSS_ENTRIES];
};

/* The config memfd: this record, n_rules of struct mr_lane_rule, n_prefixes of struct mr_net. */
struct mr_lane_config {
	uint32_t version; /* MR_WORKER_VERSION */
	uint32_t n_rules;
	uint64_t isn_secret[2]; /* SipHash keys, the same for every lane of the daemon */
	uint64_t hash_secret[2];
	uint16_t port_lo, port_hi; /* this lane's ports for active opens, inclusive; 0: none */
	uint32_t mtu;		   /* of the interface when the lane was made */
	uint8_t mac[6];		   /* of the interface */
	uint16_t nagle;		   /* 1: on unless a rule or an application says nodelay */
	uint32_t receive_buffer;   /* bytes a connection may hold unread */
	uint32_t send_buffer;	   /* bytes a connection may have queued */
	uint32_t busy_poll_us;	   /* look for frames so long after the last work before sleeping */
	uint32_t coalesce_us;	   /* while they come in bursts: let them gather so long; 0: off */
	uint32_t user_timeout_ms;  /* RFC 9293 3.10.8; 0: give up after R2 alone */
	uint32_t time_wait_ms;	   /* 2 MSL */
	uint32_t fin_wait_ms;	   /* FIN-WAIT-2 of connections that the application closed */
	uint32_t delayed_ack_ms;
	uint32_t beat_ms; /* longest time between two heartbeats */
	struct mr_keepalive_settings keepalive;
	struct mr_open_settings open;
	struct mr_rss_settings rss; /* of the interface when the lane was made */
	uint32_t queue;		    /* of this lane */
	int32_t cpu;		    /* CPU to run on, -1: any */
	uint32_t mtu_probing;	    /* enum mr_mtu_probing */
	uint32_t n_prefixes;
	uint32_t rules_serial; /* of the rules, as MR_MSG_RULES has it */
	uint32_t pad;
};

/* ----- paths: written by the daemon, read by lanes ----- */

enum mr_path_state {
	MR_PATH_FREE = 0,
	MR_PATH_RESOLVING,
	MR_PATH_VALID,
	MR_PATH_UNREACHABLE,
};

/* Even seq: stable; a reader copies between two equal even readings. */
struct mr_path {
	uint32_t seq;
	uint32_t state;	    /* enum mr_path_state */
	uint8_t remote[16]; /* key, v4 mapped */
	uint8_t local[16];  /* source address that the route prefers */
	uint8_t next_hop_mac[6];
	uint8_t own_mac[6];
	uint16_t vlan[2]; /* TCI of outer and inner tag, 0: none */
	uint32_t mtu;
};

/* A route of this host over the interface. */
struct mr_mtu_route {
	uint8_t prefix[16]; /* v4 mapped */
	uint8_t bits;	    /* 0 to 128; IPv4: 96 + prefix length */
	uint8_t pad[3];
	uint32_t mtu; /* 0: the interface's */
};

/* An address of the interface or of a VLAN on it. */
struct mr_own_address {
	uint8_t addr[16];
	uint8_t broadcast[16]; /* of its network; IPv6: none, all zero */
};

/*
 * `mtu_route` is for peers that no path was asked for: routes that have an MTU of their own, and
 * those without one inside them, the longest prefixes first; the first that fits counts. Usually
 * there is none.
 */
struct mr_path_table {
	uint32_t seq; /* of the fields up to `path`, as in struct mr_path */
	uint32_t link_up;
	uint32_t mtu;
	uint8_t mac[6];
	uint16_t pad;
	uint32_t n_mtu_routes;
	struct mr_mtu_route mtu_route[MR_MTU_ROUTES];
	uint32_t n_addresses;
	struct mr_own_address address[MR_OWN_ADDRESSES];
	struct mr_path path[MR_PATHS];
};

/** mr_mtu_route_fits() - does it lead to @addr? ::/0 does not to IPv4 */
static inline int mr_mtu_route_fits(const struct mr_mtu_route *r, const uint8_t addr[16])
{
	static const uint8_t v4[12] = { [10] = 0xff, [11] = 0xff };
	uint8_t whole = r->bits / 8, rest = (uint8_t)(0xff00 >> r->bits % 8);

	if (r->bits > 128 || (r->bits < 96 && !__builtin_memcmp(addr, v4, sizeof(v4))))
		return 0;
	return !__builtin_memcmp(addr, r->prefix, whole) &&
	       (!rest || !((addr[whole] ^ r->prefix[whole]) & rest));
}

struct mr_path_ask {
	struct mr_message head;
	uint8_t remote[16];
};

struct mr_path_answer {
	struct mr_message head;
	uint8_t remote[16];
	int32_t index; /* in the path table, or -errno */
	uint32_t pad;
};

/* ----- listeners that applications ask for ----- */

struct mr_listen_ask {
	struct mr_message head;
	uint64_t cookie; /* comes back in the answer */
	uint8_t addr[16];
	uint16_t port;
	uint16_t pad[3];
};

struct mr_listen_answer {
	struct mr_message head;
	uint64_t cookie;
	int32_t error; /* 0 or -errno */
	uint32_t pad;
};

/* UNLISTEN, LISTENER, UNLISTENER */
struct mr_listener_message {
	struct mr_message head;
	uint8_t addr[16];
	uint16_t port;
	uint16_t lane; /* that owns the listener */
	uint32_t pad;
};

struct mr_syn_message {
	struct mr_message head;
	uint32_t answers;    /* MR_SYN_ANSWERS_OFF or MR_SYN_ANSWERS_ON */
	uint32_t at_percent; /* as struct mr_open_settings */
	uint32_t calm_s;
	uint32_t pad;
};

/* ----- rules that change while the lane runs ----- */

/*
 * RULES, with one descriptor: a configuration as that of HELLO, of which only the rules count.
 * Connections know their rule by its number, so a number that is in use stays its rule's. The lane
 * takes all of it or nothing, and says which.
 */
struct mr_rules_message {
	struct mr_message head;
	uint32_t serial; /* comes back in the answer */
	uint32_t pad;
};

struct mr_rules_answer {
	struct mr_message head;
	uint32_t serial; /* behind READY: of the configuration that came with HELLO */
	int32_t error;	 /* 0 or -errno */
	char words[MR_RULES_WORDS];
};

struct mr_rule_ended {
	struct mr_message head;
	uint32_t serial; /* of the rules that it is one of */
	uint32_t rule_id;
};

/* CAPTURE */
struct mr_capture_message {
	struct mr_message head;
	uint32_t copy_bytes; /* of each frame */
	uint32_t pad;
	uint64_t until_ns; /* CLOCK_MONOTONIC; another message makes it longer */
};

/* MAPPED, READY, STOP, LEAVE, STOPPED, DRAIN, RESUME are a struct mr_message alone. */

/* ----- mailbox between the lanes of one interface ----- */

enum {
	MR_MAIL_SLOTS = 64,
	MR_MAIL_BYTES = 4032, /* largest frame that can be handed over */
	MR_MAIL_CLAIMS = 1 << 16,
	MR_MAIL_ENDED = 1 << 12,
	MR_MAIL_FLOWS = 1 << 20, /* counters of each lane */
};

/* What the receiver shall do with the frame. */
enum mr_mail_kind {
	MR_MAIL_FLOW = 1, /* whose is it? unknown: ask the next lane, the last one answers */
	MR_MAIL_YOURS,	  /* nobody else knows it, or the port is yours: take it */
	MR_MAIL_HERE,	  /* as if it had arrived on your queue: you are opening its flow */
};

struct mr_mail {
	uint16_t kind; /* enum mr_mail_kind */
	uint16_t len;
	uint16_t origin; /* lane where the frame arrived */
	uint16_t hops;
	uint32_t pad[14];
	uint8_t frame[MR_MAIL_BYTES];
};

/* One ring a pair of lanes: one producer, one consumer. */
struct mr_mail_ring {
	uint32_t producer;
	uint32_t pad1[15];
	uint32_t consumer;
	uint32_t pad2[15];
	struct mr_mail mail[MR_MAIL_SLOTS];
};

/*
 * Header, then n_lanes * n_lanes rings: ring [to * n_lanes + from]. `asleep[i]` is set by lane i
 * before it sleeps; who puts mail into its rings then writes its doorbell.
 *
 * Behind the rings each lane counts what it has: flow h stands in counter h % MR_MAIL_FLOWS of its
 * lane, from before its first answer until its last record is gone, TIME-WAIT included. Only that
 * lane writes there. 0 is certain: the lane has no such flow; what is above may be another flow's.
 *
 * `claim[h]`: lane + 1 that is about to open a flow of hash h. `ended[h]`: hash and time of a flow
 * that ended in order.
 */
struct mr_mailbox_header {
	uint32_t n_lanes;
	uint32_t cookie_ms; /* when a lane last sent a SYN cookie; 0: never */
	uint32_t n_there; /* lanes from here on never had a queue; 0: all may have. The daemon's */
	uint32_t pad[13];
	struct {
		uint32_t value;
		uint32_t pad[15];
	} asleep[MR_MAX_LANES];
	uint8_t claim[MR_MAIL_CLAIMS];
	uint64_t ended[MR_MAIL_ENDED];
};

#define MR_MAILBOX_FLOWS(n_lanes, lane)                                                            \
	(sizeof(struct mr_mailbox_header) +                                                        \
	 (uint64_t)(n_lanes) * (n_lanes) * sizeof(struct mr_mail_ring) +                           \
	 (uint64_t)(lane)*MR_MAIL_FLOWS)

#define MR_MAILBOX_BYTES(n_lanes) MR_MAILBOX_FLOWS(n_lanes, n_lanes)

/** mr_mailbox_lanes() - how many of the lanes may have flows and mail */
static inline uint32_t mr_mailbox_lanes(const struct mr_mailbox_header *h, uint32_t n_lanes)
{
	uint32_t n = __atomic_load_n(&h->n_there, __ATOMIC_RELAXED);

	return n && n < n_lanes ? n : n_lanes;
}

/** mr_mailbox_flows() - the counters of a lane */
static inline uint8_t *mr_mailbox_flows(struct mr_mailbox_header *h, uint32_t n_lanes,
					uint32_t lane)
{
	return (uint8_t *)h + MR_MAILBOX_FLOWS(n_lanes, lane);
}

/** mr_mailbox_unclaim() - a lane's worker is gone, and with it what it was about to open */
static inline void mr_mailbox_unclaim(struct mr_mailbox_header *h, uint32_t lane)
{
	for (uint32_t i = 0; i < MR_MAIL_CLAIMS; i++)
		if (__atomic_load_n(&h->claim[i], __ATOMIC_RELAXED) == (uint8_t)(lane + 1))
			__atomic_store_n(&h->claim[i], 0, __ATOMIC_RELAXED);
}

/** mr_mailbox_forget() - the same, and what it had */
static inline void mr_mailbox_forget(struct mr_mailbox_header *h, uint32_t n_lanes, uint32_t lane)
{
	__builtin_memset(mr_mailbox_flows(h, n_lanes, lane), 0, MR_MAIL_FLOWS);
	mr_mailbox_unclaim(h, lane);
}

#endif
