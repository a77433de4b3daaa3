/* SPDX-License-Identifier: MIT */
#include "user/wire/pcapng.h"

#include <string.h>

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_STATISTICS = 5,
	BLOCK_ENHANCED_PACKET = 6,

	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINKTYPE_ETHERNET = 1,

	OPTION_END = 0,
	OPTION_COMMENT = 1,
	OPTION_SHB_USERAPPL = 4,
	OPTION_IF_NAME = 2,
	OPTION_IF_TSRESOL = 9,
	OPTION_IF_FILTER = 11,
	OPTION_EPB_FLAGS = 2,
	OPTION_EPB_QUEUE = 6,
	OPTION_EPB_VERDICT = 7,
	OPTION_ISB_IFRECV = 4,
	OPTION_ISB_IFDROP = 5,

	TSRESOL_NANOSECONDS = 9, /* stamps are in units of 10^-9 s */
	FILTER_OF_LIBPCAP = 0,
	VERDICT_LINUX_EBPF_XDP = 2,
};

static uint16_t text_bytes(const char *text)
{
	return text ? (uint16_t)strnlen(text, MR_PCAPNG_TEXT_MOST) : 0;
}

static bool has_room(const struct mr_pcapng *p, uint32_t bytes)
{
	return p->room - p->used >= MR_PCAPNG_OVERHEAD &&
	       p->room - p->used - MR_PCAPNG_OVERHEAD >= bytes;
}

static void put(struct mr_pcapng *p, const void *bytes, uint32_t len)
{
	memcpy(p->bytes + p->used, bytes, len);
	p->used += len;
}

static void put_padding(struct mr_pcapng *p, uint32_t len)
{
	static const uint8_t zeros[4];

	put(p, zeros, -len & 3);
}

static void put_u32(struct mr_pcapng *p, uint32_t v)
{
	put(p, &v, sizeof(v));
}

static void put_u16(struct mr_pcapng *p, uint16_t v)
{
	put(p, &v, sizeof(v));
}

/* Stamps are the upper half, then the lower one, in any byte order. */
static void put_time(struct mr_pcapng *p, uint64_t time_ns)
{
	put_u32(p, (uint32_t)(time_ns >> 32));
	put_u32(p, (uint32_t)time_ns);
}

static void put_option(struct mr_pcapng *p, uint16_t code, const void *value, uint16_t len)
{
	put_u16(p, code);
	put_u16(p, len);
	put(p, value, len);
	put_padding(p, len);
}

/* One whose value is a byte that says what follows. */
static void put_typed_option(struct mr_pcapng *p, uint16_t code, uint8_t type, const void *value,
			     uint16_t len)
{
	put_u16(p, code);
	put_u16(p, (uint16_t)(1 + len));
	put(p, &type, 1);
	put(p, value, len);
	put_padding(p, 1u + len);
}

static void put_end_of_options(struct mr_pcapng *p)
{
	put_u16(p, OPTION_END);
	put_u16(p, 0);
}

/* Type and length; the length is known when the block ends. */
static uint32_t begin_block(struct mr_pcapng *p, uint32_t type)
{
	uint32_t start = p->used;

	put_u32(p, type);
	put_u32(p, 0);
	return start;
}

static void end_block(struct mr_pcapng *p, uint32_t start)
{
	uint32_t len = p->used + 4 - start;

	put_u32(p, len);
	memcpy(p->bytes + start + 4, &len, sizeof(len));
}

/* pcapng 4.1: version 1.0, length of the section not known. */
bool mr_pcapng_section(struct mr_pcapng *p, const char *program)
{
	uint32_t start;

	if (!has_room(p, text_bytes(program)))
		return false;
	start = begin_block(p, BLOCK_SECTION);
	put_u32(p, BYTE_ORDER_MAGIC);
	put_u16(p, 1);
	put_u16(p, 0);
	put_u32(p, UINT32_MAX);
	put_u32(p, UINT32_MAX);
	put_option(p, OPTION_SHB_USERAPPL, program, text_bytes(program));
	put_end_of_options(p);
	end_block(p, start);
	return true;
}

/* pcapng 4.2: link type, reserved, snap length. */
bool mr_pcapng_interface(struct mr_pcapng *p, const char *name, uint32_t snaplen,
			 const char *filter)
{
	static const uint8_t resolution = TSRESOL_NANOSECONDS;
	uint32_t start;

	if (!has_room(p, (uint32_t)text_bytes(name) + text_bytes(filter)))
		return false;
	start = begin_block(p, BLOCK_INTERFACE);
	put_u16(p, LINKTYPE_ETHERNET);
	put_u16(p, 0);
	put_u32(p, snaplen);
	put_option(p, OPTION_IF_NAME, name, text_bytes(name));
	put_option(p, OPTION_IF_TSRESOL, &resolution, sizeof(resolution));
	if (filter)
		put_typed_option(p, OPTION_IF_FILTER, FILTER_OF_LIBPCAP, filter,
				 text_bytes(filter));
	put_end_of_options(p);
	end_block(p, start);
	return true;
}

static void put_packet_options(struct mr_pcapng *p, const struct mr_pcapng_packet *k)
{
	uint32_t flags = k->direction;

	if (text_bytes(k->comment))
		put_option(p, OPTION_COMMENT, k->comment, text_bytes(k->comment));
	if (flags)
		put_option(p, OPTION_EPB_FLAGS, &flags, sizeof(flags));
	if (k->has_queue)
		put_option(p, OPTION_EPB_QUEUE, &k->queue, sizeof(k->queue));
	if (k->has_xdp_action)
		put_typed_option(p, OPTION_EPB_VERDICT, VERDICT_LINUX_EBPF_XDP, &k->xdp_action,
				 sizeof(k->xdp_action));
	put_end_of_options(p);
}

/* pcapng 4.3. */
bool mr_pcapng_packet(struct mr_pcapng *p, const struct mr_pcapng_packet *k)
{
	uint32_t start;

	if (k->captured > p->room || !has_room(p, k->captured + text_bytes(k->comment)))
		return false;
	start = begin_block(p, BLOCK_ENHANCED_PACKET);
	put_u32(p, k->interface);
	put_time(p, k->time_ns);
	put_u32(p, k->captured);
	put_u32(p, k->original);
	put(p, k->bytes, k->captured);
	put_padding(p, k->captured);
	put_packet_options(p, k);
	end_block(p, start);
	return true;
}

/* pcapng 4.6. */
bool mr_pcapng_statistics(struct mr_pcapng *p, uint32_t interface, uint64_t time_ns,
			  uint64_t received, uint64_t lost)
{
	uint32_t start;

	if (!has_room(p, 0))
		return false;
	start = begin_block(p, BLOCK_STATISTICS);
	put_u32(p, interface);
	put_time(p, time_ns);
	put_option(p, OPTION_ISB_IFRECV, &received, sizeof(received));
	put_option(p, OPTION_ISB_IFDROP, &lost, sizeof(lost));
	put_end_of_options(p);
	end_block(p, start);
	return true;
}
