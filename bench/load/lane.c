// SPDX-License-Identifier: MIT
/*
 * mr-load's transport over Millrace's own client side: a lane in this process, on an AF_XDP socket
 * of its own, with the steering program on the interface. What the daemon does for a worker's lane
 * (arena, socket, path table) is done here, as far as a client needs it: the servers are
 * neighbours, the local addresses are those of the interface and take turns.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/addresses.h"
#include "bench/load/load.h"
#include "bench/load/pace.h"
#include "bench/xsk.h"
#include "user/lane/lane.h"

enum {
	FRAMES = 65536,
	FRAME_BYTES = 2048,
	RING = 16384, /* more than connections: nothing is lost here */
	MTU = 1500,
	PORT_LO = 1024,
	PORT_HI = 65535,
	TIME_WAIT_MS = 100, /* the veth pair delays nothing for long */
	TIME_WAITS = 1 << 17,
	BUFFER_BYTES = 1 << 20,
	ABORT_BATCH = 512,
	ABORT_TURNS = 1000,
	BEAT_MS = 20,
};

struct lane {
	int arena_fd;
	struct mr_arena arena;
	struct bench_xsk xsk;
	struct mr_lane_config config;
	struct mr_lane_rule rule;
	struct mr_lane_stats stats;
	struct mr_path_table *paths; /* path i leads to endpoint i */
	struct load_addresses local;
	unsigned long next_source;
	struct pace pace;
	struct mr_lane *lane;
};

/* The application's bytes of a connection. */
struct client {
	struct load *l;
	struct conn *c;
};

static struct lane *lane_of(struct load *l)
{
	return l->transport;
}

/* ----- the application ----- */

static void on_open(struct mr_host *h, mr_conn_id id)
{
	struct client *s = mr_conn_state(h, id);

	load_opened(s->l, s->c);
}

static enum mr_app_verdict on_bytes(struct mr_host *h, mr_conn_id id, const uint8_t *data,
				    size_t len, size_t *used)
{
	struct client *s = mr_conn_state(h, id);
	struct conn *c = s->c;

	*used = len;
	load_received(s->l, c, data, len);
	return c->id == id && c->state == CONN_OPEN ? MR_APP_DONE : MR_APP_CLOSED;
}

static void on_writable(struct mr_host *h, mr_conn_id id)
{
	struct client *s = mr_conn_state(h, id);

	load_writable(s->l, s->c);
}

static void on_closed(struct mr_host *h, mr_conn_id id, int reason)
{
	struct client *s = mr_conn_state(h, id);

	/* not if the load closed it: it may have opened another one by now */
	if (s->c->id == id && (s->c->state == CONN_OPEN || s->c->state == CONN_CONNECTING))
		load_failed(s->l, s->c, "%s",
			    reason == MR_CLOSE_DONE ? "closed by the server"
						    : mr_close_reason_text(reason));
}

static const struct mr_app load_app = {
	.name = "mr-load",
	.conn_bytes = sizeof(struct client),
	.open = on_open,
	.bytes = on_bytes,
	.writable = on_writable,
	.closed = on_closed,
};

/* ----- start ----- */

static uint64_t clock_ns(void *arg)
{
	(void)arg;
	return load_clock_ns();
}

static void map_address(uint8_t out[16], struct in_addr in)
{
	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	memcpy(out + 12, &in, 4);
}

static int make_paths(struct load *l, struct lane *n)
{
	struct mr_path_table *t = calloc(1, sizeof(*t));

	n->paths = t;
	if (!t || load_mac_of(l->opt.interface, t->mac) < 0 ||
	    load_addresses_of(&n->local, l->opt.interface, l->opt.sources) < 0)
		return -1;
	t->seq = 2;
	t->link_up = 1;
	t->mtu = MTU;
	for (unsigned int i = 0; i < l->opt.n_endpoints; i++) {
		const struct sockaddr_in *to = (const void *)&l->opt.endpoint[i].addr;
		struct mr_path *p = &t->path[i];

		if (to->sin_family != AF_INET) {
			fprintf(stderr, "mr-load: %s: --via lane knows IPv4 only\n",
				l->opt.endpoint[i].text);
			return -1;
		}
		if (load_mac_of_neighbour(l->opt.interface, to->sin_addr, p->next_hop_mac) < 0)
			return -1;
		p->state = MR_PATH_VALID;
		p->mtu = MTU;
		map_address(p->remote, to->sin_addr);
		memcpy(p->own_mac, t->mac, sizeof(p->own_mac));
	}
	memcpy(n->config.mac, t->mac, sizeof(n->config.mac));
	return 0;
}

static int make_arena(struct load *l, struct lane *n)
{
	unsigned long conns = l->opt.connections;
	const struct mr_arena_sizes sizes = {
		.frames = FRAMES,
		.frame_bytes = FRAME_BYTES,
		.conns = (uint32_t)(2 * conns + 1024), /* closing ones keep theirs for a while */
		.half_open = 16,
		.time_wait = TIME_WAITS,
		.sessions = 1024,
		.message_bytes = 1 << 20,
	};
	bool huge;
	int err = mr_arena_create("mr-load", &sizes, false, &n->arena_fd, &huge);

	if (!err)
		err = mr_arena_map(&n->arena, n->arena_fd, true);
	if (err)
		fprintf(stderr, "mr-load: memory of the lane: %s\n", strerror(-err));
	return err ? -1 : 0;
}

static void configure(struct load *l, struct lane *n)
{
	n->config.version = MR_WORKER_VERSION;
	n->config.n_rules = 1;
	n->config.port_lo = PORT_LO;
	n->config.port_hi = PORT_HI;
	n->config.mtu = MTU;
	n->config.receive_buffer = BUFFER_BYTES;
	n->config.send_buffer = BUFFER_BYTES;
	n->config.time_wait_ms = TIME_WAIT_MS;
	n->config.fin_wait_ms = 1000;
	n->config.delayed_ack_ms = 40;
	n->config.beat_ms = BEAT_MS;
	n->config.queue = (uint32_t)l->opt.queue;
	n->config.cpu = -1;
	if (getrandom(n->config.isn_secret, sizeof(n->config.isn_secret), 0) < 0 ||
	    getrandom(n->config.hash_secret, sizeof(n->config.hash_secret), 0) < 0)
		fprintf(stderr, "mr-load: random numbers: %s; goes on with fixed ones\n",
			strerror(errno));
	n->rule = (struct mr_lane_rule){
		.name = "load",
		.app = "mr-load",
		.vlan = (uint32_t)MR_VLAN_ANY,
		.protocol = IPPROTO_TCP,
		.any_family = 1,
		.nodelay = 1,
		.backlog = 16,
		.directory = -1,
		.ttl = 64,
		.tlv = { .tag_bytes = 2, .length_bytes = 4, .max_bytes = LOAD_MAX_VALUE },
	};
}

static int open_port(struct load *l, struct lane *n)
{
	uint32_t frames;
	const struct bench_xsk_options o = {
		.interface = l->opt.interface,
		.queue = (uint32_t)l->opt.queue,
		.port_lo = PORT_LO,
		.port_hi = PORT_HI,
		.umem = mr_arena_area(&n->arena, MR_AREA_FRAMES, &frames),
		.umem_bytes = (uint64_t)FRAMES * FRAME_BYTES,
		.frame_bytes = FRAME_BYTES,
		.ring = RING,
	};

	return bench_xsk_open(&n->xsk, &o, "mr-load");
}

static int make_lane(struct load *l, struct lane *n)
{
	static const struct mr_app *const apps[] = { &load_app };
	const struct mr_lane_setup setup = {
		.arena = &n->arena,
		.port = n->xsk.port,
		.config = &n->config,
		.rules = &n->rule,
		.stats = &n->stats,
		.paths = n->paths,
		.apps = apps,
		.n_apps = 1,
		.clock_ns = clock_ns,
		.zero_copy = n->xsk.zero_copy,
		.n_lanes = 1,
		.epoch = 1,
	};
	char error[256];

	n->lane = mr_lane_new(&setup, error, sizeof(error));
	if (!n->lane) {
		fprintf(stderr, "mr-load: lane: %s\n", error);
		return -1;
	}
	for (unsigned int i = 0; i < l->opt.n_endpoints; i++)
		mr_lane_path_answer(n->lane, n->paths->path[i].remote, (int)i);
	return 0;
}

static int lane_start(struct load *l)
{
	struct lane *n = calloc(1, sizeof(*n));

	l->transport = n;
	if (!n)
		return -1;
	n->arena_fd = -1;
	n->xsk.fd = -1;
	pace_init(&n->pace, &l->opt);
	configure(l, n);
	if (make_paths(l, n) < 0 || make_arena(l, n) < 0 || open_port(l, n) < 0)
		return -1;
	return make_lane(l, n);
}

/* RST for every one that stands, as many at a time as leave at once: the server shall know. */
static void abort_all(struct load *l, struct lane *n)
{
	unsigned long batch = 0;

	for (unsigned long i = 0; i < l->n_begun; i++) {
		if (l->conn[i].state != CONN_OPEN)
			continue;
		l->conn[i].state = CONN_CLOSED;
		mr_abort(mr_lane_host(n->lane), l->conn[i].id);
		if (++batch % ABORT_BATCH == 0)
			for (int t = 0; t < ABORT_TURNS && mr_lane_turn(n->lane); t++)
				;
	}
	for (int t = 0; t < ABORT_TURNS && mr_lane_turn(n->lane); t++)
		;
}

static void lane_stop(struct load *l)
{
	struct lane *n = lane_of(l);

	if (!n)
		return;
	if (n->lane) {
		abort_all(l, n);
		mr_lane_free(n->lane);
	}
	bench_xsk_close(&n->xsk);
	if (n->arena.base)
		mr_arena_unmap(&n->arena);
	if (n->arena_fd >= 0)
		close(n->arena_fd);
	free(n->paths);
	free(n);
	l->transport = NULL;
}

/* ----- connections ----- */

static int lane_connect(struct load *l, struct conn *c)
{
	const struct endpoint *e = load_endpoint(l, c);
	struct lane *n = lane_of(l);
	struct mr_path *path = &n->paths->path[e - l->opt.endpoint];
	struct client *s;
	mr_conn_id id;
	int err;

	/* the path table is ours, and read at once: the next address is this connection's */
	map_address(path->local, n->local.addr[n->next_source++ % n->local.n]);
	err = mr_lane_connect(n->lane, 0, (const struct sockaddr *)&e->addr, &id);
	if (err)
		return err;
	c->id = id;
	s = mr_conn_state(mr_lane_host(n->lane), id);
	s->l = l;
	s->c = c;
	return 0;
}

static int64_t lane_send(struct load *l, struct conn *c, const uint8_t *data, size_t len)
{
	return mr_send(mr_lane_host(lane_of(l)->lane), c->id, data, len);
}

static void lane_close(struct load *l, struct conn *c)
{
	if (lane_of(l)->lane)
		mr_close(mr_lane_host(lane_of(l)->lane), c->id);
}

/* Whether the client was at fault for something that a server is charged with. */
static void lane_counters(const struct load *l)
{
	const struct lane *n = l->transport;
	struct mr_port_statistics x;

	n->xsk.port->ops->statistics(n->xsk.port, &x);
	printf(", \"retransmits\": %llu, \"retransmit_timeouts\": %llu, \"tx_ring_full\": %llu"
	       ", \"no_frame\": %llu, \"xsk_dropped\": %llu, \"xsk_ring_full\": %llu"
	       ", \"xsk_fill_empty\": %llu",
	       n->stats.retransmits, n->stats.retransmit_timeouts, n->stats.tx_ring_full,
	       n->stats.drop.no_frame, (unsigned long long)x.rx_dropped,
	       (unsigned long long)x.rx_ring_full, (unsigned long long)x.fill_empty);
}

static int lane_wait(struct load *l, uint64_t now_ns, uint64_t until_ns)
{
	struct lane *n = lane_of(l);
	uint64_t frames = n->stats.rx_frames, most;

	if (mr_lane_turn(n->lane)) {
		pace_note(&n->pace, (uint32_t)(n->stats.rx_frames - frames), now_ns);
		return 0;
	}
	most = now_ns + mr_lane_sleep_ms(n->lane) * 1000000ull;
	pace_idle(&n->pace, n->xsk.fd, now_ns, until_ns < most ? until_ns : most);
	return 0;
}

const struct load_transport load_via_lane = {
	.name = "lane",
	.needs_interface = true,
	.start = lane_start,
	.stop = lane_stop,
	.connect = lane_connect,
	.send = lane_send,
	.close = lane_close,
	.counters = lane_counters,
	.wait = lane_wait,
};
