/* SPDX-License-Identifier: MIT */
#include "tests/lane/raw.h"

#include <stdlib.h>
#include <string.h>

#include "user/lane/internal.h"

static unsigned int watch(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			  uint64_t *delay_ns)
{
	struct raw *r = arg;
	struct mr_icmp_error icmp;
	struct mr_segment seg;
	int drop;

	(void)delay_ns;
	if (from != PAIR_SERVER || mr_frame_parse(frame, *len, &seg, &icmp, &drop) != MR_KIND_TCP ||
	    mr_be16(seg.tuple.local_port) < RAW_PORTS)
		return 1;
	r->n++;
	r->syn_acks += (seg.flags & (MR_SYN | MR_ACK)) == (MR_SYN | MR_ACK);
	r->resets += (seg.flags & MR_RST) != 0;
	r->others += !(seg.flags & (MR_SYN | MR_RST));
	r->last = seg;
	r->last_ns = mr_memory_now(r->pair->wire);
	return 0;
}

void raw_init(struct raw *r, struct pair *p)
{
	*r = (struct raw){ .pair = p };
	mr_memory_set_fate(p->wire, watch, r);
}

void raw_forget(struct raw *r)
{
	*r = (struct raw){ .pair = r->pair };
}

void raw_frame(struct raw *r, const void *frame, uint32_t len)
{
	struct mr_lane *client = r->pair->end[PAIR_CLIENT].lane;
	uint32_t i = mr_frame_take(&client->frames, MR_FRAME_CTL, true);
	struct mr_span span = { .addr = mr_frame_addr(&client->frames, i), .len = len };
	bool again;

	if (i == MR_NONE)
		abort();
	memcpy(mr_frame_bytes_at(&client->frames, i), frame, len);
	client->frames.record[i].in_tx = 1;
	if (client->port->ops->transmit(client->port, &span, 1) != 1)
		abort();
	client->port->ops->kick(client->port, &again);
}

void raw_segment(struct raw *r, uint16_t from, uint16_t to, const struct mr_segment_out *out,
		 const void *text, uint32_t len)
{
	const struct mr_path *path = &r->pair->end[PAIR_CLIENT].paths->path[0];
	struct mr_tuple tuple = { .local_port = mr_to_be16(from), .remote_port = mr_to_be16(to) };
	struct mr_link link = { .vlan = { 0, 0 } };
	uint8_t buffer[MR_HEADERS_MAX + 2048];
	size_t headers;

	memcpy(tuple.local, path->local, 16);
	memcpy(tuple.remote, path->remote, 16);
	memcpy(link.own_mac, path->own_mac, 6);
	memcpy(link.peer_mac, path->next_hop_mac, 6);
	if (len)
		memcpy(buffer + MR_HEADERS_MAX, text, len);
	headers = mr_segment_push(buffer + MR_HEADERS_MAX, len, &tuple, &link, out, 1);
	raw_frame(r, buffer + MR_HEADERS_MAX - headers, (uint32_t)headers + len);
}

void raw_run(struct raw *r, uint32_t ms)
{
	pair_run(r->pair, ms, NULL, NULL);
}

void raw_reset(struct raw *r, uint16_t from, uint16_t to, uint32_t seq)
{
	struct mr_segment_out rst = { .seq = seq, .flags = MR_RST };

	raw_segment(r, from, to, &rst, NULL, 0);
	raw_run(r, 1);
}

bool raw_syn(struct raw *r, uint16_t from, uint16_t to, uint32_t isn)
{
	struct mr_segment_out syn = {
		.seq = isn, .wnd = 60000, .flags = MR_SYN, .options = { .mss = 1460 }
	};
	uint32_t before = r->syn_acks;

	raw_segment(r, from, to, &syn, NULL, 0);
	raw_run(r, 1);
	return r->syn_acks > before;
}

void raw_ack(struct raw *r, uint16_t from, uint16_t to, uint32_t seq, const void *text,
	     uint32_t len)
{
	struct mr_segment_out ack = { .seq = seq,
				      .ack = r->last.seq + mr_segment_length(&r->last),
				      .wnd = 60000,
				      .flags = MR_ACK };

	raw_segment(r, from, to, &ack, text, len);
	raw_run(r, 1);
}
