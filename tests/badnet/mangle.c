/* SPDX-License-Identifier: MIT */
#include <netinet/in.h>

#include "mangle.h"

enum {
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_ARP = 0x0806,
	ETHERTYPE_VLAN = 0x8100,
	ETHERTYPE_IPV6 = 0x86dd,
	ETHERTYPE_QINQ = 0x88a8,
	ETHERTYPE_LOCAL = 0x88b5,
	MAC_HEADER = 14,
	TCP_SYN = 0x02,
};

const char *const mr_match_names[MR_MATCH_COUNT] = { "any", "arp", "tcp", "syn", "data", "local" };

/* Offsets from the start of the frame; each is at most its end. 0: there is none. */
struct layout {
	uint16_t ethertype;
	uint8_t version; /* 4, 6 or 0 */
	uint8_t protocol;
	size_t ip, ip_header; /* ip_header: bytes, of IPv4 */
	size_t l4, data, end; /* end: of the IP packet, without padding */
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void read_ipv4(struct layout *l, const uint8_t *f, size_t len)
{
	const uint8_t *ip = f + l->ip;
	size_t header, total;

	if (len - l->ip < 20 || ip[0] >> 4 != 4)
		return;
	header = (size_t)(ip[0] & 15) * 4;
	total = get16(ip + 2);
	if (header < 20 || total < header || total > len - l->ip)
		return;
	l->version = 4;
	l->ip_header = header;
	l->end = l->ip + total;
	if (get16(ip + 6) & 0x1fff)
		return; /* not the first fragment */
	l->protocol = ip[9];
	l->l4 = l->ip + header;
}

/* Extension headers are not read over: their packets have no layer 4 here. */
static void read_ipv6(struct layout *l, const uint8_t *f, size_t len)
{
	const uint8_t *ip = f + l->ip;
	size_t payload;

	if (len - l->ip < 40 || ip[0] >> 4 != 6)
		return;
	payload = get16(ip + 4);
	if (payload > len - l->ip - 40)
		return;
	l->version = 6;
	l->protocol = ip[6];
	l->l4 = l->ip + 40;
	l->end = l->l4 + payload;
}

static void read_l4(struct layout *l, const uint8_t *f)
{
	size_t room = l->l4 ? l->end - l->l4 : 0, header = 0;

	if (l->protocol == IPPROTO_TCP && room >= 20)
		header = (size_t)(f[l->l4 + 12] >> 4) * 4;
	else if (l->protocol == IPPROTO_UDP && room >= 8)
		header = 8;
	if (header < 8 || header > room || (l->protocol == IPPROTO_TCP && header < 20))
		l->l4 = 0;
	else
		l->data = l->l4 + header;
}

static struct layout read_layout(const uint8_t *f, size_t len)
{
	struct layout l = { 0 };
	size_t at = 12;

	while (len >= at + 2) {
		l.ethertype = get16(f + at);
		if (l.ethertype != ETHERTYPE_VLAN && l.ethertype != ETHERTYPE_QINQ)
			break;
		at += 4;
	}
	l.ip = at + 2;
	if (len < l.ip)
		return (struct layout){ .end = len };
	l.end = len;
	if (l.ethertype == ETHERTYPE_IPV4)
		read_ipv4(&l, f, len);
	else if (l.ethertype == ETHERTYPE_IPV6)
		read_ipv6(&l, f, len);
	read_l4(&l, f);
	return l;
}

bool mr_frame_matches(enum mr_match m, const uint8_t *frame, size_t len)
{
	struct layout l;

	if (m == MR_MATCH_ANY)
		return true;
	l = read_layout(frame, len);
	if (m == MR_MATCH_ARP)
		return l.ethertype == ETHERTYPE_ARP;
	if (m == MR_MATCH_LOCAL)
		return l.ethertype == ETHERTYPE_LOCAL;
	if (!l.l4 || l.protocol != IPPROTO_TCP)
		return false;
	if (m == MR_MATCH_SYN)
		return frame[l.l4 + 13] & TCP_SYN;
	return m == MR_MATCH_TCP || l.data < l.end;
}

/* ----- checksums, RFC 1071 ----- */

static uint32_t add(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += get16(p + i);
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

static void repair_ipv4(uint8_t *f, const struct layout *l)
{
	uint8_t *ip = f + l->ip;

	if (l->version != 4)
		return;
	put16(ip + 10, 0);
	put16(ip + 10, fold(add(0, ip, l->ip_header)));
}

static void repair_l4(uint8_t *f, const struct layout *l)
{
	size_t at = l->l4 + (l->protocol == IPPROTO_TCP ? 16 : 6), len = l->end - l->l4;
	const uint8_t *ip = f + l->ip;
	uint32_t sum = (uint32_t)len + l->protocol;
	uint16_t made;

	if (!l->l4)
		return;
	if (l->protocol == IPPROTO_UDP && !get16(f + at))
		return; /* RFC 768: none was made */
	sum = l->version == 4 ? add(sum, ip + 12, 8) : add(sum, ip + 8, 32);
	put16(f + at, 0);
	made = fold(add(sum, f + l->l4, len));
	put16(f + at, !made && l->protocol == IPPROTO_UDP ? 0xffff : made);
}

static bool is_checksum(const struct layout *l, size_t at)
{
	size_t l4 = l->l4 + (l->protocol == IPPROTO_TCP ? 16 : 6);

	if (l->version == 4 && (at == l->ip + 10 || at == l->ip + 11))
		return true;
	return l->l4 && (at == l4 || at == l4 + 1);
}

/* ----- damage ----- */

static void range_of(const struct layout *l, enum mr_corrupt_where where, size_t *from, size_t *to)
{
	switch (where) {
	case MR_CORRUPT_ANY:
		*from = MAC_HEADER;
		*to = l->end;
		return;
	case MR_CORRUPT_HDR:
		*from = l->version ? l->ip : 0;
		*to = l->l4 ? l->data : l->version ? l->end : 0;
		return;
	case MR_CORRUPT_L4:
		*from = l->l4;
		*to = l->l4 ? l->end : 0;
		return;
	case MR_CORRUPT_DATA:
		*from = l->l4 ? l->data : 0;
		*to = l->l4 ? l->end : 0;
		return;
	}
}

bool mr_frame_corrupt(uint8_t *frame, size_t len, enum mr_corrupt_where where, bool repair,
		      uint64_t salt)
{
	struct layout l = read_layout(frame, len);
	size_t from = 0, to = 0, at;

	range_of(&l, where, &from, &to);
	if (from >= to)
		return false;
	at = from + (size_t)((salt >> 8) % (to - from));
	for (size_t i = 0; repair && is_checksum(&l, at) && i < 4; i++)
		at = at + 1 < to ? at + 1 : from;
	if (repair && is_checksum(&l, at))
		return false;
	frame[at] ^= (uint8_t)(1u << (salt & 7));
	if (repair) {
		repair_ipv4(frame, &l);
		repair_l4(frame, &l);
	}
	return true;
}

size_t mr_frame_cut(size_t len, uint64_t salt)
{
	return len > MAC_HEADER ? MAC_HEADER + (size_t)((salt >> 8) % (len - MAC_HEADER)) : len;
}

bool mr_frame_mark_ce(uint8_t *frame, size_t len)
{
	struct layout l = read_layout(frame, len);
	uint8_t *ip = frame + l.ip;

	if (l.version == 4 && ip[1] & 3) {
		ip[1] |= 3;
		repair_ipv4(frame, &l);
		return true;
	}
	if (l.version == 6 && ip[1] & 0x30) {
		ip[1] |= 0x30;
		return true;
	}
	return false;
}
