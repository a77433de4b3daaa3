// SPDX-License-Identifier: MIT
/*
 * mr-load's transport without a protocol: the floor. It sends frames of the size and shape that a
 * lane sends for the same bytes (Ethernet, IPv4, TCP with timestamps, a request), as many at a time
 * in flight, and takes what bench/peers/xsk_reflect.c sends back. Nothing is acknowledged, nothing
 * is sent again: a lost frame is an error. A connection is a source port.
 */
#include <errno.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/load/addresses.h"
#include "bench/load/load.h"
#include "bench/load/pace.h"
#include "bench/xsk.h"

enum {
	FRAMES = 65536,
	FRAME_BYTES = 2048,
	RING = 16384, /* more than connections: nothing is lost here */
	BURST = 64,
	PORT_LO = 1024,
	PORTS = 65536 - PORT_LO,
	OPTION_BYTES = 12, /* NOP, NOP, timestamps */
	PAYLOAD_MOST = 1448,
};

struct header {
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t options[OPTION_BYTES];
} __attribute__((packed));

struct raw {
	struct bench_xsk xsk;
	uint8_t *frames;
	uint64_t *free; /* addresses of frames that nobody has */
	uint32_t n_free;
	struct mr_span out[RING]; /* not yet given to the transmit ring */
	uint32_t n_out;
	unsigned long n_opened;
	struct header template;
	struct pace pace;
};

static struct raw *raw_of(struct load *l)
{
	return l->transport;
}

/* ----- start ----- */

static int make_template(struct load *l, struct raw *r)
{
	const struct sockaddr_in *to = (const void *)&l->opt.endpoint[0].addr;
	struct header *h = &r->template;
	struct load_addresses local;

	if (to->sin_family != AF_INET || l->opt.n_endpoints != 1 || l->opt.connections > PORTS) {
		fprintf(stderr, "mr-load: --via raw: one IPv4 reflector, at most %d connections\n",
			PORTS);
		return -1;
	}
	if (load_addresses_of(&local, l->opt.interface, 1) < 0 ||
	    load_mac_of(l->opt.interface, h->eth.h_source) < 0 ||
	    load_mac_of_neighbour(l->opt.interface, to->sin_addr, h->eth.h_dest) < 0)
		return -1;
	h->eth.h_proto = htons(ETH_P_IP);
	h->ip = (struct iphdr){ .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP };
	h->ip.saddr = local.addr[0].s_addr;
	h->ip.daddr = to->sin_addr.s_addr;
	h->tcp = (struct tcphdr){ .dest = to->sin_port,
				  .doff = (sizeof(struct tcphdr) + OPTION_BYTES) / 4,
				  .ack = 1,
				  .psh = 1,
				  .window = 0xffff };
	memset(h->options, 1, 2);
	h->options[2] = 8;
	h->options[3] = 10;
	return 0;
}

static void refill(struct raw *r)
{
	uint32_t n = r->xsk.port->ops->fill_room(r->xsk.port);

	if (n > r->n_free / 2) /* the other half is for sending */
		n = r->n_free / 2;
	n = r->xsk.port->ops->fill(r->xsk.port, r->free + r->n_free - n, n);
	r->n_free -= n;
}

static int raw_start(struct load *l)
{
	struct raw *r = calloc(1, sizeof(*r));
	struct bench_xsk_options o = {
		.interface = l->opt.interface,
		.queue = (uint32_t)l->opt.queue,
		.port_lo = PORT_LO,
		.port_hi = UINT16_MAX,
		.umem_bytes = (uint64_t)FRAMES * FRAME_BYTES,
		.frame_bytes = FRAME_BYTES,
		.ring = RING,
	};

	l->transport = r;
	if (!r)
		return -1;
	r->xsk.fd = -1;
	pace_init(&r->pace, &l->opt);
	r->free = malloc(FRAMES * sizeof(*r->free));
	r->frames = bench_xsk_frames(FRAMES, FRAME_BYTES);
	o.umem = r->frames;
	if (!r->free || !r->frames || make_template(l, r) < 0 ||
	    bench_xsk_open(&r->xsk, &o, "mr-load") < 0)
		return -1;
	for (uint32_t i = 0; i < FRAMES; i++)
		r->free[r->n_free++] = (uint64_t)i * FRAME_BYTES;
	refill(r);
	return 0;
}

static void raw_stop(struct load *l)
{
	struct raw *r = raw_of(l);

	if (!r)
		return;
	bench_xsk_close(&r->xsk);
	if (r->frames)
		munmap(r->frames, (size_t)FRAMES * FRAME_BYTES);
	free(r->free);
	free(r);
	l->transport = NULL;
}

/* ----- frames ----- */

static int raw_connect(struct load *l, struct conn *c)
{
	(void)l, (void)c;
	return 0; /* there is nothing to open: wait() says so */
}

static void raw_close(struct load *l, struct conn *c)
{
	(void)l, (void)c;
}

static void write_frame(struct raw *r, uint8_t *frame, const struct conn *c, const uint8_t *data,
			size_t len)
{
	struct header *h = (struct header *)(void *)frame;

	*h = r->template;
	h->ip.tot_len = htons((uint16_t)(sizeof(*h) - sizeof(h->eth) + len));
	h->tcp.source = htons((uint16_t)(PORT_LO + c->index));
	h->tcp.seq = htonl((uint32_t)c->sent);
	memcpy(frame + sizeof(*h), data, len);
}

static int64_t raw_send(struct load *l, struct conn *c, const uint8_t *data, size_t len)
{
	struct raw *r = raw_of(l);
	size_t done = 0;

	while (done < len) {
		size_t n = len - done < PAYLOAD_MOST ? len - done : PAYLOAD_MOST;
		uint64_t addr;

		if (!r->n_free || r->n_out == RING)
			return -ENOBUFS;
		addr = r->free[--r->n_free];
		write_frame(r, r->frames + addr, c, data + done, n);
		r->out[r->n_out++] =
			(struct mr_span){ .addr = addr,
					  .len = (uint32_t)(sizeof(struct header) + n) };
		done += n;
	}
	return (int64_t)done;
}

static void transmit(struct raw *r)
{
	const struct mr_port_ops *ops = r->xsk.port->ops;

	bench_xsk_transmit(&r->xsk, r->out, &r->n_out);
	r->n_free += ops->complete(r->xsk.port, r->free + r->n_free, FRAMES - r->n_free);
}

static void take(struct load *l, struct raw *r, const struct mr_span *s)
{
	const uint8_t *frame = r->frames + s->addr;
	const struct header *h = (const void *)frame;
	uint32_t index;

	if (s->len < sizeof(*h))
		return;
	index = ntohs(h->tcp.dest) - (uint32_t)PORT_LO;
	if (index < l->n_begun && l->conn[index].state == CONN_OPEN)
		load_received(l, &l->conn[index], frame + sizeof(*h), s->len - sizeof(*h));
}

/* Did any wait? */
static bool open_waiting(struct load *l, struct raw *r)
{
	unsigned long before = r->n_opened;

	while (r->n_opened < l->n_begun)
		load_opened(l, &l->conn[r->n_opened++]);
	return r->n_opened > before;
}

static int raw_wait(struct load *l, uint64_t now_ns, uint64_t until_ns)
{
	struct raw *r = raw_of(l);
	struct mr_span in[BURST];
	uint32_t n;

	if (open_waiting(l, r))
		return 0;
	n = r->xsk.port->ops->receive(r->xsk.port, in, BURST);
	for (uint32_t i = 0; i < n; i++) {
		take(l, r, &in[i]);
		r->free[r->n_free++] = in[i].addr / FRAME_BYTES * FRAME_BYTES;
	}
	if (r->n_out || r->xsk.port->ops->needs_kick(r->xsk.port)) {
		transmit(r);
		n++;
	}
	if (n) {
		refill(r);
		pace_note(&r->pace, n, now_ns);
	} else {
		pace_idle(&r->pace, r->xsk.fd, now_ns, until_ns);
	}
	return 0;
}

const struct load_transport load_via_raw = {
	.name = "raw",
	.needs_interface = true,
	.start = raw_start,
	.stop = raw_stop,
	.connect = raw_connect,
	.send = raw_send,
	.close = raw_close,
	.wait = raw_wait,
};
