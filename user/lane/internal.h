/* SPDX-License-Identifier: MIT */
/* Between the files of user/lane. */
#ifndef MR_LANE_INTERNAL_H
#define MR_LANE_INTERNAL_H

#include "user/frame/frames.h"
#include "user/frame/messages.h"
#include "user/frame/traces.h"
#include "user/lane/known.h"
#include "user/lane/lane.h"
#include "user/lane/sources.h"
#include "user/lane/table.h"
#include "user/lane/wheel.h"
#include "user/tcp/fast_open.h"
#include "user/tcp/tcp.h"
#include "user/tlv/heartbeat.h"
#include "user/tlv/reader.h"

enum {
	BATCH = MR_HAND_BATCH,
	HALF_LISTS = 10,  /* half-open records by SYN-ACKs sent: equal time-outs in each */
	PATH_WAITS = 256, /* active opens that wait for a path at a time */
	PATH_HINTS = 256,
	PATH_DOUBTS = 64, /* connections whose next hop is asked for at a time */
	LISTENERS_MAX = MR_LISTENERS,
	LANE_SHIFT = 26, /* of the lane's number in a connection id */
};

/* mr_conn.flags of a connection that is offered no text. */
#define LANE_NOT_READING                                                                           \
	(MR_CONN_PAUSED | MR_CONN_BLOCKED | MR_CONN_ORPHAN | MR_CONN_CLOSE_ASKED |                 \
	 MR_CONN_ABORT_ASKED | MR_CONN_SHUT_RD)

/* One rule of the configuration, ready to be used; without an application: a free number. */
struct lane_rule {
	const struct mr_lane_rule *config;
	const struct mr_app *app;
	char *name;  /* the application may keep it */
	void *state; /* of the application for this rule */
	uint32_t app_index;
	struct mr_tlv_format format;
	bool plain_messages; /* TLV in the default layout, without check */
	struct mr_heartbeat_config heartbeat;
	uint32_t shortest_ms; /* the shortest limit of the heartbeat, 0: none is on */
	bool failed;	      /* the application refused to start */
	bool told;	      /* it leaves, and the daemon knows that nothing is left of it */
	uint32_t half_open;   /* connections of this rule that are not accepted yet */
	uint32_t conns;	      /* and those that are */
};

/* Rules in the order of their places; of each port the first and one behind the last of its own. */
struct rule_index {
	struct lane_rule **rule;
	struct rules_of_port {
		uint16_t first, end; /* equal: none */
	} * of_port;
};

/* A port that an application listens on; the lane that asked owns it. */
struct listener {
	bool used;
	bool asked; /* the daemon has not answered yet */
	uint8_t addr[16];
	uint16_t port;
	uint32_t owner_lane;
	mr_conn_id conn; /* that asked, on the owner's lane */
	uint32_t rule;	 /* of that connection */
	uint32_t backlog;
	uint32_t n_half;
	uint32_t n_waiting; /* established, never accepted */
	void (*answer)(struct mr_host *h, mr_conn_id c, int error);
};

/* First in first out, linked by the records' own `next`. */
struct fifo {
	uint32_t head;
	uint32_t tail;
};

struct mr_lane {
	struct mr_tcp tcp; /* first: its callbacks find the lane */
	struct mr_tcp_config tcp_config;
	struct mr_lane_setup s;
	struct mr_port *port;
	struct mr_lane_stats *stats;
	struct mr_frames frames;
	struct mr_messages messages;
	struct mr_table table;
	struct mr_wheel wheel;
	struct mr_siphash_key hash_key;
	uint64_t now_ns;

	/* connection blocks and records */
	struct mr_arena_header *header;
	struct mr_conn *conns;
	uint32_t n_conns;
	uint32_t free_conn;
	struct mr_half_open *halves;
	uint32_t n_halves;
	uint32_t free_half;
	uint32_t n_half_open; /* of this worker: the count in stats is for others to read */
	struct fifo half_list[HALF_LISTS];
	struct mr_time_wait *waits;
	uint32_t n_waits;
	uint32_t free_wait;
	struct fifo wait_list;
	struct mr_session *sessions;
	uint32_t n_sessions;
	uint32_t free_session;
	struct mr_actives actives;
	uint8_t *states;      /* of applications, hand->state_bytes each, by connection */
	uint32_t state_bytes; /* as the applications of the rules want it */
	struct mr_traces traces;
	struct mr_pmtu_cache pmtu;
	struct mr_hand *hand; /* what is being changed: see lane_hold() */

	/* connections that want something in this turn, and those that wait for room */
	struct fifo ready;
	struct fifo waiting;

	/* rules and listeners */
	struct lane_rule *rules;
	struct mr_ip_settings *ip; /* of each rule, for TCP */
	uint32_t n_rules;
	uint32_t n_leaving; /* of them, not told yet */
	struct rule_index rule_index;
	struct listener listener[LISTENERS_MAX];
	uint32_t n_listeners;

	/* overrun by SYNs: overrun.c */
	uint64_t overrun_ns;	   /* when it was looked at last */
	uint64_t overrun_answered; /* SYNs answered by then */
	bool overrun_wanted;	   /* the program may answer SYNs */
	uint32_t overrun_at;	   /* half-open records: more of them are an overrun */
	uint32_t overrun_calm_s;
	uint32_t n_full;	  /* sources that the XDP program is told of */
	uint64_t overrun_calm_ns; /* since when it is calm; 0: it is not */

	struct mr_sources sources;

	/* Fast Open */
	struct mr_fast_open_cache fast_open_cache;
	uint32_t fast_open_pending;
	uint32_t fast_open_reset_ms[MR_FAST_OPEN_PENDING_MOST]; /* ring of what was reset */
	uint32_t fast_open_reset_from, fast_open_resets;

	/* transmit: hand->out is collected, then given to the port */
	uint32_t tx_room;
	bool tx_refused; /* the kernel left frames in the ring */
	uint16_t ip_id;
	uint8_t mac[6];

	uint64_t n_texts; /* frames with text received */

	/* of the batch that is being received */
	uint32_t recycled[BATCH]; /* frames that nobody kept, for the fill ring */
	uint32_t n_recycled;
	uint32_t answers[BATCH]; /* connections whose text was read: they may send behind it */
	uint32_t n_answers;

	/* active opens */
	mr_conn_id path_wait[PATH_WAITS];
	uint32_t n_path_waits;
	mr_conn_id path_doubt[PATH_DOUBTS]; /* 0: free */
	uint32_t next_doubt;
	struct path_hint {
		uint8_t remote[16];
		uint32_t index; /* in the path table */
		bool used;
	} path_hint[PATH_HINTS];

	/* the path table's head, when it was last read */
	uint32_t paths_seq;
	bool draining;	      /* nobody listens any more: mr_lane_drain() */
	uint32_t follow_next; /* connections from here on have not followed it yet */
	uint32_t n_mtu_routes;
	struct mr_mtu_route mtu_route[MR_MTU_ROUTES];
	uint32_t n_addresses;
	struct mr_own_address address[MR_OWN_ADDRESSES];

	struct known_flows known;
	/* copies of what is sent: sent.c */
	struct mr_sent *sent;
	uint64_t sent_until_ns; /* 0: none are made */
	uint32_t sent_copy;	/* bytes of each frame */

	struct lane_attached *attached; /* channels of programs; NULL: there never was one */

	uint64_t statistics_ns;	 /* when XDP_STATISTICS was read */
	uint64_t limbo_until_ns; /* until when frames of a dead worker may still complete */
};

static inline struct mr_lane *lane_of(struct mr_tcp *t)
{
	return (struct mr_lane *)(void *)t;
}

static inline uint32_t conn_index(const struct mr_lane *l, const struct mr_conn *c)
{
	return (uint32_t)(c - l->conns);
}

/* Generation, lane and index: ids of one daemon's lanes never meet. */
static inline mr_conn_id conn_id(const struct mr_lane *l, const struct mr_conn *c)
{
	return (uint64_t)c->generation << 32 | l->s.lane << LANE_SHIFT | (conn_index(l, c) + 1);
}

static inline struct lane_rule *rule_of(struct mr_lane *l, const struct mr_conn *c)
{
	return &l->rules[c->rule];
}

/*
 * Of IPv4 addresses the prefix says nothing: the twelve bytes that differ, in the order in which
 * they stand in an arriving frame. Big-endian hosts may number them otherwise: nothing but this
 * host's tables sees it.
 */
static inline uint64_t lane_hash_ipv4(const struct mr_lane *l, const uint8_t *remote,
				      const uint8_t *local, struct mr_be16 remote_port,
				      struct mr_be16 local_port)
{
	uint32_t from, to;

	__builtin_memcpy(&from, remote, sizeof(from));
	__builtin_memcpy(&to, local, sizeof(to));
	return mr_siphash13_12(&l->hash_key, (uint64_t)to << 32 | from,
			       (uint32_t)local_port.raw << 16 | remote_port.raw);
}

/*
 * From now on @i is the connection in hand, until the next one is, or none (MR_NONE): a worker that
 * takes over drops it, and believes all others. Everything that changes a connection comes behind
 * this, in the order of the program: fences for the compiler, none for the CPU.
 */
static inline void lane_hold(struct mr_lane *l, uint32_t i)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*(volatile uint32_t *)&l->hand->conn = i;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* The same for the records beside it. */
static inline void lane_hold_in(uint32_t *place, uint32_t i)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*(volatile uint32_t *)place = i;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* rebuild.c: the arena of an earlier worker */
void lane_hand_clear(struct mr_hand *h);
bool lane_rebuild(struct mr_lane *l);
void lane_reset_all(struct mr_lane *l);

/* lane.c */
void lane_beat(struct mr_lane *l);

/* records.c: blocks and records, their free lists and their places in the table */
void lane_records_init(struct mr_lane *l);
void lane_records_clear(struct mr_lane *l);
struct mr_conn *lane_conn_take(struct mr_lane *l);
void lane_conn_give(struct mr_lane *l, struct mr_conn *c);
struct mr_conn *lane_conn_find(struct mr_lane *l, mr_conn_id id);
uint64_t lane_hash(const struct mr_lane *l, const struct mr_tuple *tuple);
bool lane_matches(void *arg, uint32_t entry, const void *key);
uint64_t lane_hash_of(void *arg, uint32_t entry);
uint32_t lane_half_take(struct mr_lane *l);
void lane_half_give(struct mr_lane *l, uint32_t i);
void lane_half_remove(struct mr_lane *l, uint32_t i);
void lane_half_list(struct mr_lane *l, uint32_t i);
void lane_half_unlist(struct mr_lane *l, uint32_t i);
void lane_wait_add(struct mr_lane *l, struct mr_conn *c);
void lane_wait_forget(struct mr_lane *l, uint32_t i);
void lane_wait_restarted(struct mr_lane *l, uint32_t i);
uint32_t lane_expire_waits(struct mr_lane *l, bool one_for_sure);
struct mr_session *lane_session(struct mr_lane *l, struct mr_conn *c);
struct mr_session *lane_session_take(struct mr_lane *l, struct mr_conn *c);
void lane_session_give_if_idle(struct mr_lane *l, struct mr_conn *c);
void lane_session_give(struct mr_lane *l, struct mr_conn *c);
void lane_state_take(struct mr_lane *l, struct mr_conn *c);
void *lane_state_at(const struct mr_lane *l, uint32_t i);
void lane_wait_append(struct mr_lane *l, uint32_t i);
bool lane_wait_is_dead(const struct mr_time_wait *w);

/* receive.c: frames in */
unsigned int lane_receive(struct mr_lane *l);
void lane_frame_arrives(struct mr_lane *l, uint32_t frame, uint32_t offset, uint32_t len,
			const struct mr_mail *mail);
void lane_refill(struct mr_lane *l);

/* open.c: passive opens, half-open and TIME-WAIT records */
void lane_half_arrives(struct mr_lane *l, uint32_t i, const struct mr_segment *seg, uint64_t hash,
		       uint32_t frame, bool *kept, int *drop);
bool lane_syn_arrives(struct mr_lane *l, const struct mr_segment *seg, uint64_t hash,
		      uint32_t frame, bool *kept, const uint32_t *used, int *drop);
void lane_halves_drop(struct mr_lane *l, const uint8_t addr[16], uint16_t port);
bool lane_source_is_full(const struct mr_lane *l, const uint8_t remote[16]);
void lane_half_forget(struct mr_lane *l, uint32_t i);
bool lane_accept_is_full(struct mr_lane *l, const struct mr_conn *c);
bool lane_accept_overflow(struct mr_lane *l, const struct mr_segment *seg, int *drop);
void lane_limit_to_route(struct mr_lane *l, struct mr_conn *c);
uint32_t lane_expire_records(struct mr_lane *l);
uint32_t lane_next_record_ms(const struct mr_lane *l);

/* cookies.c: passive opens without a record */
void lane_cookie_send(struct mr_lane *l, const struct mr_segment *seg, const struct lane_rule *rule,
		      const uint32_t *used, int *drop);
bool lane_cookie_check(struct mr_lane *l, const struct mr_segment *seg, uint64_t hash,
		       struct mr_half_open *half);
void lane_cookie_note(struct mr_lane *l);
void lane_cookie_open(struct mr_lane *l, const struct mr_half_open *half,
		      const struct mr_segment *seg, uint64_t hash, uint32_t frame, bool *kept,
		      int *drop);
/* Are there other lanes that a flow may belong to? */
static inline bool lane_has_others(const struct mr_lane *l)
{
	return l->s.mailbox && l->s.n_lanes > 1;
}

bool lane_cookies_are_about(const struct mr_lane *l);
void lane_cookie_failed(struct mr_lane *l, const struct mr_segment *seg);

/* attached.c, attached_conn.c: programs, by channels */
extern const struct mr_app lane_attached_app;
enum attached_answer {
	ATTACHED_OPEN, /* somebody listens, or the rule is no program's */
	ATTACHED_FULL,
	ATTACHED_NOBODY,
};
enum attached_answer lane_attached_answer(struct mr_lane *l, const struct lane_rule *r,
					  const uint8_t local[16], uint16_t port);
void lane_attached_promise(struct mr_lane *l, const struct mr_conn *c);
unsigned int lane_attached_look(struct mr_lane *l);
void lane_attached_tell(struct mr_lane *l);
bool lane_attached_waits(const struct mr_lane *l);
bool lane_attached_doze(struct mr_lane *l);
void lane_attached_wake(struct mr_lane *l);
void lane_attached_fini(struct mr_lane *l);

/* overrun.c: SYNs that the XDP program answers */
void lane_overrun_init(struct mr_lane *l);
void lane_overrun_begin(struct mr_lane *l);
void lane_overrun_look(struct mr_lane *l);

/* full.c: sources at their limit, for the XDP program */
void lane_full_init(struct mr_lane *l);
void lane_full_note(struct mr_lane *l, const uint8_t remote[16]); /* a SYN of it was refused */
void lane_source_sub(struct mr_lane *l, const uint8_t remote[16], enum mr_source_count which);

/* fast_open.c: text in SYNs */
bool lane_fast_open(struct mr_lane *l, const struct mr_segment *seg, uint64_t hash,
		    const struct lane_rule *rule, uint32_t frame, bool *kept);
void lane_fast_open_over(struct mr_lane *l, struct mr_conn *c);

/* listeners.c: rules and asked listeners */
int lane_rules_init(struct mr_lane *l, char *error, size_t error_bytes);
int lane_rule_start(struct mr_lane *l, struct lane_rule *r, char *error, size_t error_bytes);
void lane_rule_stop(struct mr_lane *l, struct lane_rule *r);
void lane_rules_fini(struct mr_lane *l);

/* rules.c */
int lane_rule_index_make(struct rule_index *x, struct lane_rule *rules, uint32_t n);
void lane_rule_index_free(struct rule_index *x);
struct lane_rule *lane_rule_for(struct mr_lane *l, const struct mr_segment *seg);
bool lane_rule_serves(const struct mr_lane *l, const struct mr_lane_rule *r, const uint8_t addr[16],
		      uint16_t port);

/* change.c: rules that change while the lane runs */
void lane_rules_leave(struct mr_lane *l);

/* Does it take new connections? */
static inline bool lane_rule_is_live(const struct lane_rule *r)
{
	return r->app && r->config->state == MR_RULE_LIVE;
}

struct listener *lane_listener_for(struct mr_lane *l, const struct mr_segment *seg);
struct listener *lane_listener_at(struct mr_lane *l, const uint8_t addr[16], uint16_t port);
int lane_listen(struct mr_lane *l, struct mr_conn *c, uint16_t port, unsigned int backlog,
		void (*answer)(struct mr_host *h, mr_conn_id c, int error));
void lane_listener_drop(struct mr_lane *l, struct mr_conn *c);

/* transmit.c: frames out */
extern const struct mr_tcp_ops lane_tcp_ops;
void lane_sent_copy(struct mr_lane *l, const struct mr_span *spans, uint32_t n);
void lane_transmit_begin(struct mr_lane *l);
void lane_transmit_flush(struct mr_lane *l);
bool lane_transmit_end(struct mr_lane *l);
uint32_t lane_complete(struct mr_lane *l);

/* ready.c: connections that want something */
void lane_ready(struct mr_lane *l, struct mr_conn *c);
unsigned int lane_run_ready(struct mr_lane *l);
void lane_run_answers(struct mr_lane *l);
void lane_timer_fires(void *arg, struct mr_conn *c);
void lane_arm(struct mr_lane *l, struct mr_conn *c);
void lane_conn_event(struct mr_tcp *t, struct mr_conn *c, enum mr_tcp_event event);

/* deliver.c: bytes and messages to applications */
void lane_deliver(struct mr_lane *l, struct mr_conn *c);
bool lane_read_held(struct mr_lane *l, struct mr_conn *c, uint32_t frame);
void lane_call_open(struct mr_lane *l, struct mr_conn *c);
void lane_call_urgent(struct mr_lane *l, struct mr_conn *c);
void lane_call_writable(struct mr_lane *l, struct mr_conn *c);
void lane_call_closed(struct mr_lane *l, struct mr_conn *c);
void lane_call_timer(struct mr_lane *l, struct mr_conn *c);
void lane_callback_begin(struct mr_lane *l, uint64_t *start);
void lane_callback_end(struct mr_lane *l, const struct lane_rule *r, uint64_t start);

/* heartbeat.c: limits of the message layer */
void lane_heartbeat_due(struct mr_lane *l, struct mr_conn *c);
void lane_heartbeat_look(struct mr_lane *l, struct mr_conn *c);
int lane_send_message(struct mr_lane *l, struct mr_conn *c, uint64_t tag, const void *value,
		      size_t len);

/* mailbox.c: frames between lanes */
unsigned int lane_mail_receive(struct mr_lane *l);
bool lane_mail_send(struct mr_lane *l, uint32_t to, enum mr_mail_kind kind, const uint8_t *frame,
		    uint32_t len, uint32_t origin, uint32_t hops, bool opens);
bool lane_mail_waits(const struct mr_lane *l);

/* flows.c: the table, and which lane has a flow */
void lane_flow_insert(struct mr_lane *l, uint64_t hash, uint32_t entry);
void lane_flow_remove(struct mr_lane *l, uint64_t hash, uint32_t entry);
uint32_t lane_flow_next(const struct mr_lane *l, uint64_t hash, uint32_t origin);
uint32_t lane_flow_claim(struct mr_lane *l, uint64_t hash);
void lane_flow_release(struct mr_lane *l, uint64_t hash, uint32_t lane);
void lane_flow_ended(struct mr_lane *l, uint64_t hash);
bool lane_flow_ended_lately(const struct mr_lane *l, uint64_t hash);

/* ports.c: local ports of active opens */
bool lane_port_choose(struct mr_lane *l, struct mr_tuple *tuple);

/* connect.c: active opens and paths */
int lane_connect(struct mr_lane *l, uint32_t rule, const struct sockaddr *local,
		 const struct sockaddr *remote, const void *text, size_t *len, mr_conn_id *id);
uint32_t lane_route_mtu(const struct mr_lane *l, const uint8_t remote[16]);
bool lane_is_broadcast(const struct mr_lane *l, const uint8_t addr[16]);
void lane_path_doubt(struct mr_lane *l, struct mr_conn *c);
uint32_t lane_follow_paths(struct mr_lane *l);
void lane_path_wait_over(struct mr_lane *l, struct mr_conn *c);

#endif
