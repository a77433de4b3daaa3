// SPDX-License-Identifier: MIT
/*
 * The network device: IP packets to and from the lane, which sees Ethernet. A packet that is larger
 * than the link takes is cut into segments, as a sender's offload would have been.
 */
#include "tests/script/so/so.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/wire/checksum.h"
#include "user/wire/segment.h"

enum {
	LANE_END = 0,
	SCRIPT_END = 1,
	RING = 1024,
	PATIENCE_S = 24 * 3600, /* of virtual time, for a packet that never comes */
	TCP = 6,
	IPV4_MIN = 20,
	IPV6_MIN = 40,
};

static const uint8_t lane_mac[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t script_mac[6] = { 2, 0, 0, 0, 0, 1 };

/* Every frame that the lane sends ends here: nothing reaches the other end's receive ring. */
static unsigned int take(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			 uint64_t *delay_ns)
{
	struct so *s = arg;
	struct so_packet *p;
	uint32_t n = *len - MR_ETH_BYTES;

	(void)delay_ns;
	if (from != LANE_END)
		return 1;
	if (*len <= MR_ETH_BYTES)
		return 0;
	p = malloc(sizeof(*p) + n);
	if (!p)
		return 0;
	*p = (struct so_packet){ .sent_ns = so_now(s), .len = n };
	memcpy(p->bytes, frame + MR_ETH_BYTES, n);
	*s->last = p;
	s->last = &p->next;
	return 0;
}

int so_wire_init(struct so *s)
{
	struct mr_memory_end ends[2] = {
		[LANE_END] = { .umem = mr_arena_area(&s->arena, MR_AREA_FRAMES, NULL),
			       .umem_bytes = (uint64_t)SO_FRAMES * SO_FRAME_BYTES,
			       .frame_bytes = SO_FRAME_BYTES,
			       .ring_size = RING },
		[SCRIPT_END] = { .umem_bytes = (uint64_t)SO_INJECT_FRAMES * SO_FRAME_BYTES,
				 .frame_bytes = SO_FRAME_BYTES,
				 .ring_size = RING },
	};

	s->last = &s->first;
	s->inject = calloc(SO_INJECT_FRAMES, SO_FRAME_BYTES);
	if (!s->inject)
		return -ENOMEM;
	ends[SCRIPT_END].umem = s->inject;
	s->wire = mr_memory_new(ends, 0);
	if (!s->wire)
		return -ENOMEM;
	mr_memory_set_fate(s->wire, take, s);
	return 0;
}

void so_wire_fini(struct so *s)
{
	while (s->first) {
		struct so_packet *p = s->first;

		s->first = p->next;
		free(p);
	}
	if (s->wire)
		mr_memory_free(s->wire);
	free(s->inject);
}

/* ----- into the lane ----- */

static int put_frame(struct so *s, const uint8_t *ip, size_t n)
{
	struct mr_port *port = mr_memory_port(s->wire, SCRIPT_END);
	uint64_t addr = (uint64_t)(s->inject_next++ % SO_INJECT_FRAMES) * SO_FRAME_BYTES;
	struct mr_span span = { .addr = addr, .len = (uint32_t)(MR_ETH_BYTES + n) };
	uint8_t *to = s->inject + addr;
	uint64_t done;
	bool again;

	if (MR_ETH_BYTES + n > SO_FRAME_BYTES - 256)
		return -EMSGSIZE;
	memcpy(to, lane_mac, 6);
	memcpy(to + 6, script_mac, 6);
	to[12] = ip[0] >> 4 == 4 ? 0x08 : 0x86;
	to[13] = ip[0] >> 4 == 4 ? 0x00 : 0xdd;
	memcpy(to + MR_ETH_BYTES, ip, n);
	if (port->ops->transmit(port, &span, 1) != 1)
		return -ENOBUFS;
	port->ops->kick(port, &again);
	while (port->ops->complete(port, &done, 1))
		;
	return 0;
}

static uint32_t load32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void store32(uint8_t *p, uint32_t v)
{
	store16(p, v >> 16);
	store16(p + 2, v);
}

/* Lengths and checksums of a segment that was cut: @ip_head and @headers bytes, then the text. */
static void finish_segment(uint8_t *ip, size_t ip_head, size_t n)
{
	uint8_t local[16] = { [10] = 0xff, 0xff }, remote[16] = { [10] = 0xff, 0xff };
	uint8_t *tcp = ip + ip_head;
	uint16_t sum;

	if (ip[0] >> 4 == 4) {
		store16(ip + 2, (uint32_t)n);
		memset(ip + 10, 0, 2);
		sum = mr_checksum_fold(mr_checksum_partial(ip, ip_head, 0));
		memcpy(ip + 10, &sum, 2);
		memcpy(local + 12, ip + 12, 4);
		memcpy(remote + 12, ip + 16, 4);
	} else {
		store16(ip + 4, (uint32_t)(n - ip_head));
		memcpy(local, ip + 8, 16);
		memcpy(remote, ip + 24, 16);
	}
	memset(tcp + 16, 0, 2);
	sum = mr_checksum_fold(mr_checksum_partial(
		tcp, n - ip_head, mr_checksum_pseudo(local, remote, TCP, (uint32_t)(n - ip_head))));
	memcpy(tcp + 16, &sum, 2);
}

/* One segment of a packet that is too large: @at, @len of its text. */
static int put_piece(struct so *s, const uint8_t *ip, size_t ip_head, size_t headers, size_t text,
		     size_t at, size_t len)
{
	uint8_t piece[SO_FRAME_BYTES];
	uint8_t *tcp = piece + ip_head;

	memcpy(piece, ip, headers);
	memcpy(piece + headers, ip + headers + at, len);
	store32(tcp + 4, load32(ip + ip_head + 4) + (uint32_t)at);
	if (at + len < text)
		tcp[13] &= (uint8_t) ~(MR_FIN | MR_PSH);
	if (at)
		tcp[13] &= (uint8_t)~MR_CWR;
	finish_segment(piece, ip_head, headers + len);
	return put_frame(s, piece, headers + len);
}

static int put_segments(struct so *s, const uint8_t *ip, size_t n)
{
	size_t ip_head = ip[0] >> 4 == 4 ? (ip[0] & 15u) * 4 : IPV6_MIN;
	uint8_t protocol = ip[0] >> 4 == 4 ? ip[9] : ip[6];
	size_t headers, text, most;

	if (protocol != TCP || n < ip_head + MR_TCP_BYTES)
		return -EMSGSIZE;
	headers = ip_head + (ip[ip_head + 12] >> 4) * 4u;
	if (headers >= n || headers > s->config.mtu)
		return -EMSGSIZE;
	text = n - headers;
	most = s->config.mtu - headers;
	for (size_t at = 0; at < text; at += most) {
		size_t len = text - at < most ? text - at : most;
		int error = put_piece(s, ip, ip_head, headers, text, at, len);

		if (error)
			return error;
	}
	return 0;
}

/* The address that packets come to is ours: active opens start from it. */
static void learn_local(struct so *s, const uint8_t *ip, size_t n)
{
	if (ip[0] >> 4 == 4 && n >= IPV4_MIN)
		memcpy(s->local4 + 12, ip + 16, 4);
	else if (ip[0] >> 4 == 6 && n >= IPV6_MIN)
		memcpy(s->local6, ip + 24, 16);
}

static bool is_reset(const uint8_t *ip, size_t n)
{
	size_t ip_head = ip[0] >> 4 == 4 ? (ip[0] & 15u) * 4 : IPV6_MIN;

	return n >= ip_head + MR_TCP_BYTES && (ip[0] >> 4 == 4 ? ip[9] : ip[6]) == TCP &&
	       ip[ip_head + 13] & MR_RST;
}

int so_netdev_send(void *u, const void *ip, size_t n)
{
	struct so *s = u;
	int error;

	if (!n) {
		errno = EINVAL;
		return -1;
	}
	so_lock(s);
	so_run(s); /* timers that are due come before the packet */
	learn_local(s, ip, n);
	if (is_reset(ip, n))
		so_keep_text(s);
	if (n <= s->config.mtu)
		error = put_frame(s, ip, n);
	else
		error = put_segments(s, ip, n);
	so_run(s);
	so_unlock(s);
	if (!error)
		return 0;
	errno = -error;
	return -1;
}

/* ----- out of the lane ----- */

int so_netdev_receive(void *u, void *buf, size_t *n, long long *time_us)
{
	struct so *s = u;
	struct so_packet *p;
	uint64_t end;

	so_lock(s);
	so_run(s);
	so_settle(s);
	end = so_now(s) + PATIENCE_S * SO_S;
	while (!s->first && so_next(s) <= end)
		so_advance(s, so_next(s) > so_now(s) ? so_next(s) : so_now(s) + SO_US);
	p = s->first;
	if (!p) {
		*n = 0;
		so_unlock(s);
		return 0;
	}
	s->first = p->next;
	if (!s->first)
		s->last = &s->first;
	so_unlock(s);
	*n = p->len < *n ? p->len : *n;
	memcpy(buf, p->bytes, *n);
	*time_us = (long long)(p->sent_ns / SO_US);
	free(p);
	return 0;
}
