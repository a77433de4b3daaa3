/* SPDX-License-Identifier: MIT */
#include "tests/sim/segment.h"

#include <string.h>

enum {
	ETH = 14,
	KIND_END = 0,
	KIND_NOP = 1,
	KIND_MSS = 2,
	KIND_SHIFT = 3,
	KIND_SACK = 4,
	KIND_TS = 8,
	KIND_FAST_OPEN = 34,
	URG = 0x20,
	CWR = 0x80,
	ACC_ECN1 = 174,
};

static uint32_t add_up(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i + 1 < len; i += 2)
		sum += sim_load16(p + i);
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint16_t tcp_sum(const struct sim_seg *s)
{
	uint32_t sum = 6 + s->tcp_len;

	sum = s->ipv6 ? add_up(s->ip + 8, 32, sum) : add_up(s->ip + 12, 8, sum);
	return fold(add_up(s->tcp, s->tcp_len, sum));
}

static bool read_option(struct sim_seg *s, uint8_t *p, uint32_t len)
{
	if (p[0] == ACC_ECN1)
		for (s->n_counters = 0; s->n_counters < 3 && 5u + 3 * s->n_counters <= len;
		     s->n_counters++)
			s->counter[s->n_counters] = sim_load32(p + 1 + 3 * s->n_counters) &
						    0xffffff;
	if (p[0] == KIND_MSS && len == 4) {
		s->mss = sim_load16(p + 2);
	} else if (p[0] == KIND_SHIFT && len == 3) {
		s->has_shift = true;
		s->shift = p[2];
	} else if (p[0] == KIND_TS && len == 10) {
		s->has_ts = true;
		s->ts = p;
		s->ts_val = sim_load32(p + 2);
		s->ts_ecr = sim_load32(p + 6);
	} else if (p[0] == KIND_SACK && len == 2) {
		s->sack = true;
	} else if (p[0] == KIND_FAST_OPEN) {
		s->fast_open_bytes = (uint8_t)(len - 2);
		if (len >= 10)
			s->fast_open = (uint64_t)sim_load32(p + 2) << 32 | sim_load32(p + 6);
	}
	return true;
}

static bool each_option(struct sim_seg *s, bool (*fn)(struct sim_seg *s, uint8_t *p, uint32_t len))
{
	uint8_t *end = s->text;

	for (uint8_t *p = s->tcp + 20; p < end;) {
		if (*p == KIND_END)
			return true;
		if (*p == KIND_NOP) {
			p++;
			continue;
		}
		if (p + 1 >= end || p[1] < 2 || p + p[1] > end)
			return false;
		if (!fn(s, p, p[1]))
			return false;
		p += p[1];
	}
	return true;
}

/* The last byte of both families' addresses is 1 for the client, 2 for the server. */
static bool parse_ip(struct sim_seg *s, uint8_t *frame, uint32_t len)
{
	uint32_t header = 20;

	s->ip = frame + ETH;
	s->ipv6 = sim_load16(frame + 12) == 0x86dd;
	if (s->ipv6) {
		if (len < ETH + 40 || s->ip[6] != 6)
			return false;
		header = 40;
		s->ip_len = 40u + sim_load16(s->ip + 4);
		s->client_side = s->ip[23] == 1;
		s->tos = (uint8_t)(s->ip[0] << 4 | s->ip[1] >> 4);
		s->ttl = s->ip[7];
	} else {
		if (len < ETH + 20 || sim_load16(frame + 12) != 0x0800 || s->ip[0] != 0x45 ||
		    s->ip[9] != 6)
			return false;
		s->ip_len = sim_load16(s->ip + 2);
		s->client_side = s->ip[15] == 1;
		s->tos = s->ip[1];
		s->ttl = s->ip[8];
	}
	if (ETH + s->ip_len > len || s->ip_len < header + 20)
		return false;
	s->tcp = s->ip + header;
	s->tcp_len = s->ip_len - header;
	return true;
}

bool sim_seg_parse(struct sim_seg *s, uint8_t *frame, uint32_t len)
{
	uint32_t offset;

	memset(s, 0, sizeof(*s));
	if (len < ETH || !parse_ip(s, frame, len))
		return false;
	offset = (uint32_t)(s->tcp[12] >> 4) * 4;
	if (offset < 20 || offset > s->tcp_len)
		return false;
	s->sport = sim_load16(s->tcp);
	s->dport = sim_load16(s->tcp + 2);
	s->seq = sim_load32(s->tcp + 4);
	s->ack = sim_load32(s->tcp + 8);
	s->flags = s->tcp[13];
	s->ace = (uint8_t)((s->tcp[12] & 1) << 2 | s->flags >> 6);
	s->wnd = sim_load16(s->tcp + 14);
	s->urgent = sim_load16(s->tcp + 18);
	s->text = s->tcp + offset;
	s->text_len = s->tcp_len - offset;
	return each_option(s, read_option);
}

bool sim_seg_sums_are_good(const struct sim_seg *s)
{
	return tcp_sum(s) == 0 && (s->ipv6 || fold(add_up(s->ip, 20, 0)) == 0);
}

void sim_seg_repair(struct sim_seg *s)
{
	if (!s->ipv6) {
		sim_store16(s->ip + 10, 0);
		sim_store16(s->ip + 10, fold(add_up(s->ip, 20, 0)));
	}
	sim_store16(s->tcp + 16, 0);
	sim_store16(s->tcp + 16, tcp_sum(s));
}

void sim_seg_put(struct sim_seg *s, uint32_t seq, uint32_t ack, uint8_t flags)
{
	sim_store32(s->tcp + 4, seq);
	sim_store32(s->tcp + 8, ack);
	s->tcp[13] = flags;
}

static void set_text_len(struct sim_seg *s, uint32_t len)
{
	s->ip_len -= s->text_len - len;
	s->tcp_len -= s->text_len - len;
	s->text_len = len;
	sim_store16(s->ip + (s->ipv6 ? 4 : 2), s->ipv6 ? s->ip_len - 40 : s->ip_len);
	sim_seg_repair(s);
}

uint32_t sim_seg_cut(struct sim_seg *s, uint8_t *frame, uint32_t *len, uint32_t keep, uint8_t *rest)
{
	uint32_t rest_len = *len - keep;
	struct sim_seg second;

	memcpy(rest, frame, *len);
	sim_seg_parse(&second, rest, *len);
	memmove(second.text, second.text + keep, second.text_len - keep);
	sim_seg_put(&second, s->seq + keep, s->ack, s->flags & (uint8_t)~CWR); /* with the first */
	if (s->flags & URG) { /* the pointer counts from the segment's first byte */
		uint32_t left = s->urgent > keep ? s->urgent - keep : 0;

		sim_store16(second.tcp + 18, left);
		if (!left)
			second.tcp[13] &= (uint8_t)~URG;
	}
	set_text_len(&second, second.text_len - keep);
	sim_seg_put(s, s->seq, s->ack, s->flags & (uint8_t)~0x09); /* FIN and PSH end the text */
	*len -= s->text_len - keep;
	set_text_len(s, keep);
	return rest_len;
}

void sim_seg_mark(struct sim_seg *s)
{
	s->ip[1] |= s->ipv6 ? 0x30 : 0x03;
	sim_seg_repair(s);
}

void sim_seg_strip(struct sim_seg *s, uint64_t kinds)
{
	uint8_t *end = s->text;

	for (uint8_t *p = s->tcp + 20; p < end && *p != KIND_END;) {
		uint32_t n = *p == KIND_NOP ? 1 : p[1];

		if (*p < 64 && kinds >> *p & 1)
			memset(p, KIND_NOP, n);
		p += n;
	}
	sim_seg_repair(s);
}

static uint32_t too_big_v4(const struct sim_seg *s, uint32_t mtu, uint8_t *ip)
{
	uint8_t *icmp = ip + 20;

	memset(ip, 0, 28);
	ip[0] = 0x45;
	sim_store16(ip + 2, 20 + 8 + 28);
	ip[8] = 64;
	ip[9] = 1;
	memcpy(ip + 12, s->ip + 16, 4);
	memcpy(ip + 16, s->ip + 12, 4);
	sim_store16(ip + 10, fold(add_up(ip, 20, 0)));
	icmp[0] = 3;
	icmp[1] = 4;
	sim_store16(icmp + 6, mtu);
	memcpy(icmp + 8, s->ip, 28);
	sim_store16(icmp + 2, fold(add_up(icmp, 36, 0)));
	return ETH + 20 + 8 + 28;
}

static uint32_t too_big_v6(const struct sim_seg *s, uint32_t mtu, uint8_t *ip)
{
	uint32_t quoted = 40 + s->tcp_len < 1000 ? 40 + s->tcp_len : 1000;
	uint8_t *icmp = ip + 40;

	memset(ip, 0, 48);
	ip[0] = 0x60;
	sim_store16(ip + 4, 8 + quoted);
	ip[6] = 58;
	ip[7] = 64;
	memcpy(ip + 8, s->ip + 24, 16);
	memcpy(ip + 24, s->ip + 8, 16);
	icmp[0] = 2;
	sim_store32(icmp + 4, mtu);
	memcpy(icmp + 8, s->ip, quoted);
	sim_store16(icmp + 2, fold(add_up(icmp, 8 + quoted, add_up(ip + 8, 32, 58 + 8 + quoted))));
	return ETH + 40 + 8 + quoted;
}

uint32_t sim_seg_too_big(const struct sim_seg *s, const uint8_t *frame, uint32_t mtu, uint8_t *out)
{
	memcpy(out, frame + 6, 6);
	memcpy(out + 6, frame, 6);
	memcpy(out + 12, frame + 12, 2);
	return s->ipv6 ? too_big_v6(s, mtu, out + ETH) : too_big_v4(s, mtu, out + ETH);
}
