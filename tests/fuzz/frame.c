/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/frame.h"

#include <netinet/in.h>
#include <string.h>

const uint8_t frame_lane_mac[6] = { 2, 0, 0, 0, 0, 2 };
const uint8_t frame_peer_mac[6] = { 2, 0, 0, 0, 0, 1 };
const uint8_t frame_lane_addr[2][16] = {
	{ [10] = 0xff, 0xff, 192, 0, 2, 2 },
	{ 0x20, 0x01, 0x0d, 0xb8, [15] = 2 },
};
const uint8_t frame_peer_addr[2][16] = {
	{ [10] = 0xff, 0xff, 192, 0, 2, 1 },
	{ 0x20, 0x01, 0x0d, 0xb8, [15] = 1 },
};

static uint8_t *put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, v >> 16), v);
}

static uint8_t *put(uint8_t *p, const void *bytes, size_t len)
{
	if (len)
		memcpy(p, bytes, len);
	return p + len;
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

/* ----- checksums (RFC 1071), by the book ----- */

static uint32_t sum_of(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += (uint32_t)p[i] << (i % 2 ? 0 : 8);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* @addresses: both, one behind the other, as they stand in the IP header */
static void sign(uint8_t *p, size_t len, size_t at, uint32_t sum)
{
	put16(p + at, 0);
	put16(p + at, fold(sum_of(p, len, sum)));
}

static void repair_payload(uint8_t *p, size_t len, uint8_t protocol, const uint8_t *addresses,
			   size_t addresses_len)
{
	uint32_t pseudo = sum_of(addresses, addresses_len, protocol + (uint32_t)len);

	if (protocol == IPPROTO_TCP && len >= 18)
		sign(p, len, 16, pseudo);
	else if (protocol == IPPROTO_ICMPV6 && len >= 4)
		sign(p, len, 2, pseudo);
	else if (protocol == IPPROTO_ICMP && len >= 4)
		sign(p, len, 2, 0);
}

static void repair_ipv4(uint8_t *p, size_t len)
{
	size_t header = (p[0] & 15u) * 4, total;

	if (len < 20 || header < 20 || header > len)
		return;
	total = get16(p + 2);
	sign(p, header, 10, 0);
	if (total >= header && total <= len)
		repair_payload(p + header, total - header, p[9], p + 12, 8);
}

static void repair_ipv6(uint8_t *p, size_t len)
{
	size_t at = 40, end;
	uint8_t next;

	if (len < 40)
		return;
	end = 40 + get16(p + 4);
	next = p[6];
	while (end <= len && end - at >= 8 &&
	       (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
		next == IPPROTO_FRAGMENT)) {
		size_t bytes = next == IPPROTO_FRAGMENT ? 8 : 8 + p[at + 1] * 8u;

		next = p[at];
		at += bytes;
		if (at > end)
			return;
	}
	if (end <= len && at <= end)
		repair_payload(p + at, end - at, next, p + 8, 32);
}

void frame_repair(uint8_t *frame, size_t len)
{
	size_t at = 12;

	while (at + 6 <= len && (get16(frame + at) == 0x8100 || get16(frame + at) == 0x88a8))
		at += 4;
	if (at + 3 > len)
		return;
	at += 2;
	if (frame[at] >> 4 == 4)
		repair_ipv4(frame + at, len - at);
	else if (frame[at] >> 4 == 6)
		repair_ipv6(frame + at, len - at);
}

/* ----- building ----- */

static uint8_t *put_ethernet(uint8_t *p, uint16_t vlan, bool back, bool ipv6)
{
	p = put(p, back ? frame_peer_mac : frame_lane_mac, 6);
	p = put(p, back ? frame_lane_mac : frame_peer_mac, 6);
	if (vlan)
		p = put16(put16(p, 0x8100), vlan);
	return put16(p, ipv6 ? 0x86dd : 0x0800);
}

static uint8_t *put_ipv4(uint8_t *p, const struct frame_segment *s, uint8_t protocol, size_t len)
{
	size_t options = s->ip_extras % 4 * 4u;

	*p++ = (uint8_t)(0x40 | (20 + options) / 4);
	*p++ = s->ecn & 3;
	p = put16(p, (uint32_t)(20 + options + len));
	p = put32(p, 0x00014000);
	*p++ = 64;
	*p++ = protocol;
	p = put16(p, 0);
	p = put(p, (s->back ? frame_lane_addr : frame_peer_addr)[0] + 12, 4);
	p = put(p, (s->back ? frame_peer_addr : frame_lane_addr)[0] + 12, 4);
	memset(p, 1, options);
	return p + options;
}

static uint8_t *put_ipv6(uint8_t *p, const struct frame_segment *s, uint8_t protocol, size_t len)
{
	uint8_t extras = s->ip_extras % 4;

	p = put32(p, 6u << 28 | (uint32_t)(s->ecn & 3) << 20);
	p = put16(p, (uint32_t)(extras * 8 + len));
	*p++ = extras ? IPPROTO_HOPOPTS : protocol;
	*p++ = 64;
	p = put(p, (s->back ? frame_lane_addr : frame_peer_addr)[1], 16);
	p = put(p, (s->back ? frame_peer_addr : frame_lane_addr)[1], 16);
	for (uint8_t i = 0; i < extras; i++) {
		*p++ = i + 1 < extras ? IPPROTO_DSTOPTS : protocol;
		*p++ = 0;
		p = put(p, (const uint8_t[]){ 1, 4, 0, 0, 0, 0 }, 6); /* PadN */
	}
	return p;
}

static uint8_t *put_ip(uint8_t *p, const struct frame_segment *s, uint8_t protocol, size_t len)
{
	return s->ipv6 ? put_ipv6(p, s, protocol, len) : put_ipv4(p, s, protocol, len);
}

static size_t tcp_bytes(const struct frame_segment *s)
{
	return 20 + (s->options_len + 3u) / 4 * 4 + s->text_len;
}

static uint8_t *put_tcp(uint8_t *p, const struct frame_segment *s)
{
	size_t padding = (4 - s->options_len % 4u) % 4;

	p = put16(put16(p, s->from), s->to);
	p = put32(put32(p, s->seq), s->ack);
	*p++ = (uint8_t)((20 + s->options_len + padding) / 4 << 4 | (s->ecn >> 2 & 1));
	*p++ = s->flags;
	p = put16(put16(put16(p, s->wnd), 0), s->urgent);
	p = put(p, s->options, s->options_len);
	memset(p, 0, padding);
	return put(p + padding, s->text, s->text_len);
}

size_t frame_build(uint8_t *out, const struct frame_segment *s)
{
	uint8_t *p = put_ethernet(out, s->vlan, s->back, s->ipv6);

	p = put_tcp(put_ip(p, s, IPPROTO_TCP, tcp_bytes(s)), s);
	frame_repair(out, (size_t)(p - out));
	return (size_t)(p - out);
}

size_t frame_build_icmp(uint8_t *out, const struct frame_segment *quoted, uint8_t type,
			uint8_t code, uint32_t rest, size_t quote)
{
	struct frame_segment outer = { .ipv6 = quoted->ipv6, .vlan = quoted->vlan };
	struct frame_segment inner = *quoted;
	uint8_t packet[FRAME_MAX], *p;
	size_t len;

	inner.back = true;
	inner.vlan = 0;
	len = frame_build(packet, &inner) - 14;
	if (quote > len)
		quote = len;
	p = put_ethernet(out, outer.vlan, false, outer.ipv6);
	p = put_ip(p, &outer, outer.ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8 + quote);
	*p++ = type;
	*p++ = code;
	p = put32(put16(p, 0), rest);
	p = put(p, packet + 14, quote);
	frame_repair(out, (size_t)(p - out));
	return (size_t)(p - out);
}
