/* SPDX-License-Identifier: MIT */
/* Frames for the tests of user/wire/, made without any of its code. */
#ifndef MR_TEST_WIRE_FRAMES_H
#define MR_TEST_WIRE_FRAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct frame {
	uint8_t b[2048];
	size_t len;
	size_t ip;   /* offset of the IP header */
	size_t next; /* offset of the byte that names the next protocol */
	size_t l4;   /* offset of what IP carries, behind extension headers */
	bool v6;
};

static const uint8_t mac_own[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t mac_peer[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t v4_own[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };
static const uint8_t v4_peer[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
static const uint8_t v6_own[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 };
static const uint8_t v6_peer[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

static inline void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* RFC 1071 as its text says it: 16-bit words in network order, one by one. */
static inline uint32_t naive_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static inline void frame_append(struct frame *f, const void *bytes, size_t len)
{
	if (len)
		memcpy(f->b + f->len, bytes, len);
	f->len += len;
}

static inline void frame_start(struct frame *f, bool v6, unsigned int tags)
{
	static const unsigned int tci[2] = { 0x2000 | 200, 100 };
	uint8_t tag[4];

	memset(f, 0, sizeof(*f));
	f->v6 = v6;
	frame_append(f, mac_own, 6);
	frame_append(f, mac_peer, 6);
	for (unsigned int i = 0; i < tags; i++) {
		put16(tag, i == 0 && tags > 1 ? 0x88a8 : 0x8100);
		put16(tag + 2, tci[i % 2]);
		frame_append(f, tag, 4);
	}
	put16(tag, v6 ? 0x86dd : 0x0800);
	frame_append(f, tag, 2);
	f->ip = f->len;
	f->len += v6 ? 40 : 20;
	f->l4 = f->len;
	if (v6) {
		f->b[f->ip] = 0x60;
		f->b[f->ip + 7] = 64;
		f->next = f->ip + 6;
		memcpy(f->b + f->ip + 8, v6_peer, 16);
		memcpy(f->b + f->ip + 24, v6_own, 16);
	} else {
		f->b[f->ip] = 0x45;
		f->b[f->ip + 6] = 0x40;
		f->b[f->ip + 8] = 64;
		f->next = f->ip + 9;
		memcpy(f->b + f->ip + 12, v4_peer + 12, 4);
		memcpy(f->b + f->ip + 16, v4_own + 12, 4);
	}
}

/* An IPv6 extension header; its first byte is set when the next header comes. */
static inline void frame_extension(struct frame *f, uint8_t kind, const void *bytes, size_t len)
{
	f->b[f->next] = kind;
	f->next = f->len;
	frame_append(f, bytes, len);
	f->l4 = f->len;
}

static inline void frame_ipv4_options(struct frame *f, const void *bytes, size_t len)
{
	f->b[f->ip] = (uint8_t)(0x45 + len / 4);
	frame_append(f, bytes, len);
	f->l4 = f->len;
}

/* Lengths and checksums of what stands there; the offsets must be right. */
static inline void frame_seal(struct frame *f)
{
	uint8_t *ip = f->b + f->ip, *l4 = f->b + f->l4, pseudo[4] = { 0 };
	size_t l4_len = f->len - f->l4;
	uint8_t protocol = f->b[f->next];
	size_t at = protocol == 6 ? 16 : 2;
	uint32_t sum;

	if (f->v6) {
		put16(ip + 4, (unsigned int)(f->len - f->ip - 40));
		sum = naive_sum(ip + 8, 32, 0);
	} else {
		put16(ip + 2, (unsigned int)(f->len - f->ip));
		put16(ip + 10, 0);
		put16(ip + 10, ~naive_sum(ip, (ip[0] & 15u) * 4, 0) & 0xffff);
		sum = naive_sum(ip + 12, 8, 0);
	}
	if (l4_len < at + 2 || (protocol != 6 && protocol != 1 && protocol != 58))
		return;
	pseudo[1] = protocol;
	put16(pseudo + 2, (unsigned int)l4_len);
	sum = protocol == 1 ? 0 : naive_sum(pseudo, 4, sum);
	put16(l4 + at, 0);
	put16(l4 + at, ~naive_sum(l4, l4_len, sum) & 0xffff);
}

static inline void frame_tcp(struct frame *f, const void *options, size_t options_len,
			     const void *text, size_t text_len)
{
	uint8_t tcp[20] = { 0 };

	put16(tcp, 40001);
	put16(tcp + 2, 7000);
	put32(tcp + 4, 0x01020304);
	put32(tcp + 8, 0xa0b0c0d0);
	tcp[12] = (uint8_t)((20 + options_len) / 4 << 4);
	tcp[13] = 0x18;
	put16(tcp + 14, 8000);
	f->b[f->next] = 6;
	f->l4 = f->len;
	frame_append(f, tcp, 20);
	frame_append(f, options, options_len);
	frame_append(f, text, text_len);
	frame_seal(f);
}

static inline void frame_icmp(struct frame *f, uint8_t type, uint8_t code, uint32_t rest,
			      const void *quoted, size_t quoted_len)
{
	uint8_t icmp[8] = { type, code };

	put32(icmp + 4, rest);
	f->b[f->next] = f->v6 ? 58 : 1;
	f->l4 = f->len;
	frame_append(f, icmp, 8);
	frame_append(f, quoted, quoted_len);
	frame_seal(f);
}

#endif
