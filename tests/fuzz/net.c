/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/net.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

enum {
	PEER_FRAMES = 64,
	RING = 64,
	TURNS_MAX = 5000, /* until the lane must have become idle */
	STEPS_MAX = 200000,
};

static const uint32_t mark = 0xfa11b0da;

static uint8_t *umem_of(const struct net *n)
{
	return mr_arena_area(&n->arena, MR_AREA_FRAMES, NULL);
}

/*
 * A frame's first bytes are nobody's: headers end behind them, and what is received begins behind
 * the headroom. They are marked, since the sanitizers see no borders between frames.
 */
static void mark_frames(const struct net *n)
{
	for (uint32_t i = 0; i < NET_FRAMES; i++)
		memcpy(umem_of(n) + i * NET_FRAME_BYTES, &mark, sizeof(mark));
}

static void check_marks(const struct net *n)
{
	for (uint32_t i = 0; i < NET_FRAMES; i++)
		FUZZ_CHECK(!memcmp(umem_of(n) + i * NET_FRAME_BYTES, &mark, sizeof(mark)));
}

static uint64_t clock_ns(void *arg)
{
	return mr_memory_now(((struct net *)arg)->wire);
}

uint32_t net_now_ms(const struct net *n)
{
	return (uint32_t)(mr_memory_now(n->wire) / 1000000);
}

/* ----- what the lane sends ----- */

static void hear_syn(struct net_conn *c, const struct mr_segment *seg)
{
	c->lane_port = mr_be16(seg->tuple.local_port);
	c->lane_shift = c->shifts && seg->options.has_window_scale ? seg->options.window_shift : 0;
	c->timestamps = seg->options.has_timestamps;
	c->rcv_nxt = seg->seq;
	c->una = seg->seq + 1;
}

static void hear(struct net *n, struct net_conn *c, const struct mr_segment *seg)
{
	uint32_t end = seg->seq + mr_segment_length(seg);

	c->heard++;
	if (seg->flags & MR_SYN)
		hear_syn(c, seg);
	c->reset |= (seg->flags & MR_RST) != 0;
	if (!(seg->flags & MR_RST)) {
		c->rcv_nxt = mr_seq_max(c->rcv_nxt, end);
		if (seg->flags & MR_ACK) {
			c->acked = seg->ack;
			c->edge = seg->ack +
				  ((uint32_t)seg->wnd << (seg->flags & MR_SYN ? 0 : c->lane_shift));
		}
		if (seg->options.has_timestamps)
			c->ts_recent = seg->options.ts_val;
	}
	if (n->seen)
		n->seen(n, c, seg);
}

/* Nothing goes on to anybody; every frame must be one that a peer would take. */
static unsigned int watch(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			  uint64_t *delay_ns)
{
	struct net *n = arg;
	struct mr_icmp_error icmp;
	struct mr_segment seg;
	unsigned int i;
	int drop;

	(void)delay_ns;
	if (from != 0)
		return 1;
	if (mr_frame_parse(frame, *len, &seg, &icmp, &drop) != MR_KIND_TCP) {
		/* a reply goes where the peer said, and it may have said nonsense: not beyond IP */
		FUZZ_CHECK(drop == MR_DROP_IP_DESTINATION || drop == MR_DROP_IP_SOURCE);
		return 0;
	}
	/* parsed as if it had come to us: the local end is the peer */
	i = (unsigned int)mr_be16(seg.tuple.local_port) - NET_PORTS;
	if (i < NET_CONNS && mr_is_ipv4(seg.tuple.local) == !(i % 2)) {
		struct mr_be16 port = seg.tuple.local_port;

		seg.tuple.local_port = seg.tuple.remote_port;
		seg.tuple.remote_port = port;
		hear(n, &n->conn[i], &seg);
	}
	return 0;
}

/* ----- set-up ----- */

static void fill_path(struct mr_path *p, int family)
{
	p->state = MR_PATH_VALID;
	p->mtu = 1500;
	memcpy(p->remote, frame_peer_addr[family], 16);
	memcpy(p->local, frame_lane_addr[family], 16);
	memcpy(p->next_hop_mac, frame_peer_mac, 6);
	memcpy(p->own_mac, frame_lane_mac, 6);
}

static void make_wire(struct net *n)
{
	struct mr_memory_end ends[2] = {
		{
			.umem = umem_of(n),
			.umem_bytes = NET_FRAMES * NET_FRAME_BYTES,
			.frame_bytes = NET_FRAME_BYTES,
			.ring_size = RING,
		},
		{
			.umem_bytes = PEER_FRAMES * NET_FRAME_BYTES,
			.frame_bytes = NET_FRAME_BYTES,
			.ring_size = RING,
		},
	};

	n->umem = malloc(ends[1].umem_bytes);
	FUZZ_CHECK(n->umem);
	ends[1].umem = n->umem;
	n->wire = mr_memory_new(ends, 0);
	FUZZ_CHECK(n->wire);
	mr_memory_set_fate(n->wire, watch, n);
}

void net_init(struct net *n, const struct net_options *o)
{
	struct mr_arena_sizes sizes = {
		.frames = NET_FRAMES,
		.frame_bytes = NET_FRAME_BYTES,
		.conns = o->conns,
		.half_open = 16,
		.time_wait = 16,
		.sessions = 16,
		.message_bytes = 1 << 16,
	};
	bool huge;

	memset(n, 0, sizeof(*n));
	FUZZ_CHECK(!mr_arena_create("fuzz", &sizes, false, &n->arena_fd, &huge));
	FUZZ_CHECK(!mr_arena_map(&n->arena, n->arena_fd, true));
	n->config = (struct mr_lane_config){
		.version = MR_WORKER_VERSION,
		.isn_secret = { 1, 2 },
		.hash_secret = { 3, 4 },
		.port_lo = NET_LANE_PORT_LO,
		.port_hi = NET_LANE_PORT_LO + 99,
		.mtu = 1500,
		.nagle = o->nagle,
		.receive_buffer = o->receive_buffer,
		.send_buffer = 16 << 10,
		.user_timeout_ms = 20000,
		.time_wait_ms = 2000,
		.fin_wait_ms = 2000,
		.delayed_ack_ms = 40,
		.beat_ms = 20,
		.keepalive = { 1, 5, 1, 3 },
		.cpu = -1,
	};
	memcpy(n->config.mac, frame_lane_mac, 6);
	n->paths = calloc(1, sizeof(*n->paths));
	FUZZ_CHECK(n->paths);
	n->paths->mtu = 1500;
	n->paths->link_up = 1;
	memcpy(n->paths->mac, frame_lane_mac, 6);
	fill_path(&n->paths->path[0], 0);
	fill_path(&n->paths->path[1], 1);
	mark_frames(n);
	make_wire(n);
}

struct mr_lane_rule *net_rule(struct net *n, const char *app, uint16_t port)
{
	struct mr_lane_rule *r = &n->rule[n->config.n_rules];

	FUZZ_CHECK(n->config.n_rules < NET_RULES);
	*r = (struct mr_lane_rule){
		.vlan = (uint32_t)MR_VLAN_ANY,
		.port = port,
		.rule_id = (uint16_t)n->config.n_rules++,
		.protocol = 6,
		.any_family = 1,
		.backlog = 16,
		.directory = -1,
		.tlv = { .tag_bytes = 2, .length_bytes = 4, .max_bytes = 1 << 15 },
	};
	snprintf(r->name, sizeof(r->name), "%s-%u", app, port);
	snprintf(r->app, sizeof(r->app), "%s", app);
	return r;
}

static int ask_path(void *arg, const uint8_t remote[16])
{
	struct net *n = arg;

	memcpy(n->asked, remote, 16);
	n->has_asked = true;
	return 0;
}

static int ask_listen(void *arg, uint64_t cookie, const uint8_t addr[16], uint16_t port)
{
	struct net *n = arg;

	(void)addr, (void)port;
	n->cookie = cookie;
	n->has_cookie = true;
	return 0;
}

static int ask_unlisten(void *arg, const uint8_t addr[16], uint16_t port)
{
	(void)arg, (void)addr, (void)port;
	return 0;
}

void net_open(struct net *n, const struct net_options *o)
{
	static const struct mr_lane_asks asks = { .path = ask_path,
						  .listen = ask_listen,
						  .unlisten = ask_unlisten };
	static const struct mr_app *all[32];
	static int directories[MR_MAX_DIRECTORIES]; /* none, as of a worker without `store` */
	unsigned int n_apps;
	const struct mr_app *const *builtin = mr_builtin_apps(&n_apps);
	struct mr_lane_setup setup = {
		.arena = &n->arena,
		.port = mr_memory_port(n->wire, 0),
		.config = &n->config,
		.rules = n->rule,
		.directories = directories,
		.stats = &n->stats,
		.paths = n->paths,
		.apps = all,
		.asks = &asks,
		.asks_arg = n,
		.clock_ns = clock_ns,
		.clock_arg = n,
		.n_lanes = 1,
		.epoch = 1,
	};
	char error[256] = "";

	memset(directories, 0xff, sizeof(directories));
	memcpy(all, builtin, n_apps * sizeof(all[0]));
	if (o->app)
		all[n_apps++] = o->app;
	setup.n_apps = n_apps;
	if (o->n_lanes > 1) {
		n->mailbox = calloc(1, MR_MAILBOX_BYTES(o->n_lanes));
		FUZZ_CHECK(n->mailbox);
		n->mailbox->n_lanes = o->n_lanes;
		setup.mailbox = n->mailbox;
		setup.n_lanes = o->n_lanes;
	}
	n->lane = mr_lane_new(&setup, error, sizeof(error));
	FUZZ_CHECK(n->lane && !error[0]);
	net_turns(n);
}

/* ----- what the peer sends ----- */

void net_frame(struct net *n, const uint8_t *frame, size_t len)
{
	struct mr_port *p = mr_memory_port(n->wire, 1);
	struct mr_span span = { .len = (uint32_t)len };
	uint64_t addr;
	bool again;

	if (!len || len > FRAME_MAX)
		return;
	memcpy(n->umem, frame, len);
	FUZZ_CHECK(p->ops->transmit(p, &span, 1) == 1);
	p->ops->kick(p, &again);
	FUZZ_CHECK(p->ops->complete(p, &addr, 1) == 1);
}

struct frame_segment net_segment(const struct net *n, unsigned int i)
{
	const struct net_conn *c = &n->conn[i];

	return (struct frame_segment){
		.ipv6 = i % 2,
		.vlan = c->vlan,
		.from = (uint16_t)(NET_PORTS + i),
		.to = c->lane_port,
		.seq = c->snd_nxt,
		.ack = c->rcv_nxt,
		.wnd = 32000,
		.flags = MR_ACK,
	};
}

void net_send(struct net *n, const struct frame_segment *s)
{
	uint8_t frame[FRAME_MAX];

	net_frame(n, frame, frame_build(frame, s));
}

/* ----- time ----- */

static uint64_t frames_counted(const struct net *n)
{
	uint64_t sum = 0;

#define F(name, field, text) sum += n->stats.frames.field;
	MR_FRAME_STATES(F)
#undef F
	return sum;
}

uint64_t net_held(const struct net *n)
{
	return frames_counted(n) - n->stats.frames.free - n->stats.frames.fill;
}

void net_turns(struct net *n)
{
	unsigned int turns = 0;

	do {
		FUZZ_CHECK(turns++ < TURNS_MAX);
	} while (mr_lane_turn(n->lane));
	FUZZ_CHECK(frames_counted(n) == NET_FRAMES);
	FUZZ_CHECK(!n->stats.frames.hand);
}

void net_run(struct net *n, uint32_t ms)
{
	uint64_t end = mr_memory_now(n->wire) + ms * 1000000ull;
	unsigned int steps = 0;

	net_turns(n);
	while (mr_memory_now(n->wire) < end) {
		uint64_t now = mr_memory_now(n->wire), next = mr_lane_next_ns(n->lane);

		next = next < now + 100000 ? now + 100000 : next;
		next = next > end ? end : next;
		mr_memory_advance(n->wire, next - now);
		net_turns(n);
		FUZZ_CHECK(steps++ < STEPS_MAX);
	}
}

void net_close(struct net *n)
{
	check_marks(n);
	mr_lane_free(n->lane);
	mr_memory_free(n->wire);
	mr_arena_unmap(&n->arena);
	close(n->arena_fd);
	free(n->umem);
	free(n->paths);
	free(n->mailbox);
}
