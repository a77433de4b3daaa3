/* SPDX-License-Identifier: MIT */
#include "tests/bpf/frames.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

enum {
	ETH_BYTES = 14,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	TCP_BYTES = 20,
	UDP_BYTES = 8,
	ICMP_BYTES = 8,
};

static uint8_t *append(struct frame *f, size_t bytes)
{
	uint8_t *p = f->bytes + f->len;

	assert(f->len + bytes <= sizeof(f->bytes));
	memset(p, 0, bytes);
	f->len += bytes;
	return p;
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint8_t family_of(const struct packet *p)
{
	return p->family ? p->family : 4;
}

static uint8_t protocol_of(const struct packet *p)
{
	if (p->protocol)
		return p->protocol;
	if (p->icmp_type)
		return family_of(p) == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	return IPPROTO_TCP;
}

const char *packet_source(const struct packet *p)
{
	if (p->source)
		return p->source;
	return family_of(p) == 6 ? "2001:db8::1" : "192.0.2.1";
}

const char *packet_destination(const struct packet *p)
{
	if (p->destination)
		return p->destination;
	return family_of(p) == 6 ? "2001:db8::2" : "192.0.2.2";
}

void address_bytes(uint8_t out[16], const char *text)
{
	memset(out, 0, 16);
	if (!text)
		return;
	if (inet_pton(AF_INET6, text, out) == 1)
		return;
	assert(inet_pton(AF_INET, text, out + 12) == 1);
	out[10] = 0xff;
	out[11] = 0xff;
}

static void put_ethernet(struct frame *f, const struct packet *p)
{
	uint16_t type = family_of(p) == 6 ? 0x86dd : 0x0800;
	uint8_t *eth = append(f, ETH_BYTES);
	uint8_t *type_at = eth + 12;

	memcpy(eth, "\x02\0\0\0\0\x02\x02\0\0\0\0\x01", 12);
	if (p->ethertype)
		type = p->ethertype;
	for (unsigned int i = 0; i < p->n_tags; i++) {
		uint8_t *tag = append(f, 4);

		put16(type_at, p->tpid[i] ? p->tpid[i] : 0x8100);
		put16(tag, p->tci[i]);
		type_at = tag + 2;
	}
	put16(type_at, type);
}

/* What follows Ethernet, or what an ICMP error quotes: lengths are right, whatever it holds. */
static void put_ip(struct frame *f, const struct packet *p);

static void put_tcp(struct frame *f, const struct packet *p)
{
	uint8_t doff = p->doff ? p->doff : 5;
	uint8_t *tcp = append(f, doff > 5 ? doff * 4u : TCP_BYTES);

	put16(tcp, p->sport ? p->sport : TEST_PEER_PORT);
	put16(tcp + 2, p->dport ? p->dport : TEST_PORT);
	tcp[12] = (uint8_t)(doff << 4);
	tcp[13] = p->flags ? p->flags : ACK;
	memset(tcp + TCP_BYTES, 1, doff > 5 ? (doff - 5u) * 4u : 0); /* NOP */
}

static void put_udp(struct frame *f, const struct packet *p)
{
	uint8_t *udp = append(f, UDP_BYTES);

	put16(udp, p->sport ? p->sport : TEST_PEER_PORT);
	put16(udp + 2, p->dport ? p->dport : TEST_PORT);
	put16(udp + 4, (uint16_t)(UDP_BYTES + p->payload));
}

static void put_icmp(struct frame *f, const struct packet *p)
{
	uint8_t *icmp = append(f, ICMP_BYTES);
	struct frame inner = { .len = 0 };
	size_t bytes;

	icmp[0] = p->icmp_type;
	if (!p->quoted)
		return;
	put_ip(&inner, p->quoted);
	bytes = inner.transport + (p->quoted_bytes ? p->quoted_bytes : 8);
	if (bytes > inner.len)
		bytes = inner.len;
	memcpy(append(f, bytes), inner.bytes, bytes);
}

static void put_transport(struct frame *f, const struct packet *p)
{
	if (protocol_of(p) == IPPROTO_TCP)
		put_tcp(f, p);
	else if (protocol_of(p) == IPPROTO_UDP)
		put_udp(f, p);
	else if (p->icmp_type)
		put_icmp(f, p);
	memset(append(f, p->payload), 'x', p->payload);
}

static void put_ipv4(struct frame *f, const struct packet *p)
{
	uint8_t ihl = p->ihl ? p->ihl : 5;
	uint8_t *ip = append(f, ihl > 5 ? ihl * 4u : IPV4_BYTES);
	uint8_t addr[16];

	ip[0] = (uint8_t)(0x40 | ihl);
	put16(ip + 6, p->fragment);
	ip[8] = 64;
	ip[9] = protocol_of(p);
	address_bytes(addr, packet_source(p));
	memcpy(ip + 12, addr + 12, 4);
	address_bytes(addr, packet_destination(p));
	memcpy(ip + 16, addr + 12, 4);
	memset(ip + IPV4_BYTES, 1, ihl > 5 ? (ihl - 5u) * 4u : 0); /* NOP */
	f->transport = f->len;
	put_transport(f, p);
	put16(ip + 2, (uint16_t)(f->bytes + f->len - ip));
}

static void put_extension(struct frame *f, const struct extension *e, uint8_t next)
{
	uint8_t *h = append(f, e->kind == FRAGMENT ? 8 : 8u + e->units * 8u);

	h[0] = next;
	h[1] = e->units;
	if (e->kind == FRAGMENT)
		put16(h + 2, e->fragment);
	if (e->kind == ROUTING)
		h[3] = e->segments_left;
}

static void put_ipv6(struct frame *f, const struct packet *p)
{
	uint8_t *ip = append(f, IPV6_BYTES);

	ip[0] = 0x60;
	ip[6] = p->n_extensions ? p->extension[0].kind : protocol_of(p);
	ip[7] = 64;
	address_bytes(ip + 8, packet_source(p));
	address_bytes(ip + 24, packet_destination(p));
	for (unsigned int i = 0; i < p->n_extensions; i++)
		put_extension(f, &p->extension[i],
			      i + 1 < p->n_extensions ? p->extension[i + 1].kind : protocol_of(p));
	f->transport = f->len;
	put_transport(f, p);
	put16(ip + 4, (uint16_t)(f->bytes + f->len - ip - IPV6_BYTES));
}

static void put_ip(struct frame *f, const struct packet *p)
{
	if (family_of(p) == 6)
		put_ipv6(f, p);
	else
		put_ipv4(f, p);
}

struct frame frame_build(const struct packet *p)
{
	struct frame f = { .family = family_of(p) };

	put_ethernet(&f, p);
	f.ip = f.len;
	put_ip(&f, p);
	append(&f, p->padding);
	return f;
}

void frame_set16(struct frame *f, size_t offset, uint16_t value)
{
	assert(offset + 2 <= f->len);
	put16(f->bytes + offset, value);
}

void frame_set_ip_length(struct frame *f, uint16_t bytes)
{
	if (f->family == 6)
		frame_set16(f, f->ip + 4, bytes);
	else
		frame_set16(f, f->ip + 2, (uint16_t)(bytes + (f->bytes[f->ip] & 15u) * 4u));
}

struct frame frame_cut(const struct frame *f, size_t len)
{
	struct frame cut = *f;

	if (len < cut.len)
		cut.len = len;
	return cut;
}

struct frame frame_cut_honest(const struct frame *f, size_t len)
{
	size_t header = f->family == 6 ? IPV6_BYTES : (f->bytes[f->ip] & 15u) * 4u;
	struct frame cut = frame_cut(f, len);

	if (cut.len >= f->ip + header)
		frame_set_ip_length(&cut, (uint16_t)(cut.len - f->ip - header));
	return cut;
}

static const struct packet quoted_ipv4 = { .source = "192.0.2.2",
					   .destination = "192.0.2.1",
					   .sport = TEST_PORT,
					   .dport = TEST_PEER_PORT };
static const struct packet quoted_ipv6 = { .family = 6,
					   .source = "2001:db8::2",
					   .destination = "2001:db8::1",
					   .sport = TEST_PORT,
					   .dport = TEST_PEER_PORT };

const struct template templates[] = {
	{ "IPv4 TCP", { .payload = 100 } },
	{ "IPv4 TCP, options in both headers", { .ihl = 15, .doff = 15, .payload = 20 } },
	{ "IPv4 UDP", { .protocol = IPPROTO_UDP, .payload = 100 } },
	{ "IPv4 TCP in one tag", { .n_tags = 1, .tci = { 10 }, .payload = 90 } },
	{ "IPv4 TCP in two tags",
	  { .n_tags = 2, .tpid = { 0x88a8, 0x8100 }, .tci = { 20, 10 }, .payload = 90 } },
	{ "IPv4 first fragment", { .fragment = 0x2000, .payload = 96 } },
	{ "IPv4 later fragment", { .fragment = 0x2010, .payload = 96 } },
	{ "ICMP error",
	  { .icmp_type = 3, .quoted = &quoted_ipv4, .quoted_bytes = 28, .padding = 60 } },
	{ "IPv6 TCP", { .family = 6, .payload = 70 } },
	{ "IPv6 UDP in a tag",
	  { .family = 6, .protocol = IPPROTO_UDP, .n_tags = 1, .tci = { 10 }, .payload = 70 } },
	{ "IPv6 TCP behind extension headers",
	  { .family = 6,
	    .n_extensions = 4,
	    .extension = { { .kind = HOP_BY_HOP },
			   { .kind = DESTINATION, .units = 1 },
			   { .kind = ROUTING, .units = 2 },
			   { .kind = FRAGMENT } },
	    .payload = 20 } },
	{ "IPv6 first fragment",
	  { .family = 6,
	    .n_extensions = 1,
	    .extension = { { .kind = FRAGMENT, .fragment = 1 } },
	    .payload = 60 } },
	{ "ICMPv6 error",
	  { .family = 6,
	    .icmp_type = 2,
	    .quoted = &quoted_ipv6,
	    .quoted_bytes = 28,
	    .padding = 20 } },
	{ "ARP", { .ethertype = 0x0806, .payload = 100 } },
};

const size_t n_templates = sizeof(templates) / sizeof(templates[0]);
