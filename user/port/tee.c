/* SPDX-License-Identifier: MIT */
/*
 * A tee: hands every call on to the port below and notes the frames that pass in a pcapng file
 * (draft-ietf-opsawg-pcapng): a section header, one interface, an enhanced packet block a frame.
 * Blocks are in the byte order of this machine, as the format wants it; all are multiples of four
 * bytes. A file that several tees have appended to is a file of several sections.
 */
#include "user/port/tee.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_ENHANCED_PACKET = 6,

	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINKTYPE_ETHERNET = 1,

	OPTION_END = 0,
	OPTION_SHB_USERAPPL = 4,
	OPTION_IF_NAME = 2,
	OPTION_IF_TSRESOL = 9,
	OPTION_EPB_FLAGS = 2,

	TSRESOL_NANOSECONDS = 9, /* stamps are in units of 10^-9 s */

	FLAG_INBOUND = 1, /* lowest two bits of epb_flags */
	FLAG_OUTBOUND = 2,

	BUFFER_BYTES = 1 << 18,
	PACKET_OVERHEAD = 64, /* at least what a packet block has beside the frame */
	NAME_MAX_BYTES = 64,
};

struct tee {
	struct mr_port port;
	struct mr_port *below;
	const uint8_t *umem;
	int fd;
	int error; /* 0, or -errno that ended the recording */
	uint64_t (*clock_ns)(void *arg);
	void *clock_arg;
	uint32_t used; /* of buffer */
	uint8_t buffer[BUFFER_BYTES];
};

static struct tee *tee_of(struct mr_port *p)
{
	return (struct tee *)p; /* its first member */
}

static const struct tee *const_tee_of(const struct mr_port *p)
{
	return (const struct tee *)p;
}

/* ----- writing blocks ----- */

static void write_out(struct tee *t)
{
	uint32_t done = 0;

	while (done < t->used && !t->error) {
		ssize_t n = write(t->fd, t->buffer + done, t->used - done);

		if (n >= 0)
			done += (uint32_t)n;
		else if (errno != EINTR)
			t->error = -errno;
	}
	t->used = 0;
}

static void put(struct tee *t, const void *bytes, uint32_t len)
{
	memcpy(t->buffer + t->used, bytes, len);
	t->used += len;
}

static void put_padded(struct tee *t, const void *bytes, uint32_t len)
{
	static const uint8_t zeros[4];

	put(t, bytes, len);
	put(t, zeros, -len & 3);
}

static void put_u32(struct tee *t, uint32_t v)
{
	put(t, &v, sizeof(v));
}

static void put_u16(struct tee *t, uint16_t v)
{
	put(t, &v, sizeof(v));
}

static void put_option(struct tee *t, uint16_t code, const void *value, uint16_t len)
{
	put_u16(t, code);
	put_u16(t, len);
	put_padded(t, value, len);
}

static void put_end_of_options(struct tee *t)
{
	put_u16(t, OPTION_END);
	put_u16(t, 0);
}

/* Type and length; the length is known when the block ends. */
static uint32_t begin_block(struct tee *t, uint32_t type)
{
	uint32_t start = t->used;

	put_u32(t, type);
	put_u32(t, 0);
	return start;
}

static void end_block(struct tee *t, uint32_t start)
{
	uint32_t len = t->used + 4 - start;

	put_u32(t, len);
	memcpy(t->buffer + start + 4, &len, sizeof(len));
}

/* pcapng 4.1: version 1.0, length of the section not known. */
static void put_section(struct tee *t)
{
	static const char program[] = "millrace";
	uint32_t start = begin_block(t, BLOCK_SECTION);

	put_u32(t, BYTE_ORDER_MAGIC);
	put_u16(t, 1);
	put_u16(t, 0);
	put_u32(t, UINT32_MAX);
	put_u32(t, UINT32_MAX);
	put_option(t, OPTION_SHB_USERAPPL, program, sizeof(program) - 1);
	put_end_of_options(t);
	end_block(t, start);
}

/* pcapng 4.2: link type, reserved, no snap length. */
static void put_interface(struct tee *t, const char *ifname)
{
	static const uint8_t resolution = TSRESOL_NANOSECONDS;
	uint32_t start = begin_block(t, BLOCK_INTERFACE);

	put_u16(t, LINKTYPE_ETHERNET);
	put_u16(t, 0);
	put_u32(t, 0);
	put_option(t, OPTION_IF_NAME, ifname, (uint16_t)strnlen(ifname, NAME_MAX_BYTES));
	put_option(t, OPTION_IF_TSRESOL, &resolution, sizeof(resolution));
	put_end_of_options(t);
	end_block(t, start);
}

/* pcapng 4.3. A frame is never longer than the buffer: it lies in one frame of the UMEM. */
static void put_packet(struct tee *t, const struct mr_span *s, uint64_t now_ns, uint32_t direction)
{
	uint32_t start;

	if (s->len > BUFFER_BYTES - PACKET_OVERHEAD)
		return;
	if (t->used + s->len + PACKET_OVERHEAD > BUFFER_BYTES)
		write_out(t);
	start = begin_block(t, BLOCK_ENHANCED_PACKET);
	put_u32(t, 0); /* interface */
	put_u32(t, (uint32_t)(now_ns >> 32));
	put_u32(t, (uint32_t)now_ns);
	put_u32(t, s->len);
	put_u32(t, s->len);
	put_padded(t, t->umem + s->addr, s->len);
	put_option(t, OPTION_EPB_FLAGS, &direction, sizeof(direction));
	put_end_of_options(t);
	end_block(t, start);
}

static void record(struct tee *t, const struct mr_span *spans, uint32_t n, uint32_t direction)
{
	uint64_t now_ns;

	if (t->error || n == 0)
		return;
	now_ns = t->clock_ns(t->clock_arg);
	for (uint32_t i = 0; i < n; i++)
		put_packet(t, &spans[i], now_ns, direction);
}

/* ----- the port ----- */

static uint32_t tee_receive(struct mr_port *p, struct mr_span *spans, uint32_t max)
{
	struct tee *t = tee_of(p);
	uint32_t n = t->below->ops->receive(t->below, spans, max);

	record(t, spans, n, FLAG_INBOUND);
	return n;
}

/* Noted before they are queued: afterwards they are the kernel's. */
static uint32_t tee_transmit(struct mr_port *p, const struct mr_span *spans, uint32_t n)
{
	struct tee *t = tee_of(p);
	uint32_t room = t->below->ops->transmit_room(t->below);

	if (n > room)
		n = room;
	record(t, spans, n, FLAG_OUTBOUND);
	return t->below->ops->transmit(t->below, spans, n);
}

static uint32_t tee_fill(struct mr_port *p, const uint64_t *addrs, uint32_t n)
{
	struct mr_port *below = tee_of(p)->below;

	return below->ops->fill(below, addrs, n);
}

static uint32_t tee_fill_room(struct mr_port *p)
{
	struct mr_port *below = tee_of(p)->below;

	return below->ops->fill_room(below);
}

static uint32_t tee_transmit_room(struct mr_port *p)
{
	struct mr_port *below = tee_of(p)->below;

	return below->ops->transmit_room(below);
}

static uint32_t tee_complete(struct mr_port *p, uint64_t *addrs, uint32_t max)
{
	struct mr_port *below = tee_of(p)->below;

	return below->ops->complete(below, addrs, max);
}

static uint32_t tee_kick(struct mr_port *p, bool *again)
{
	struct mr_port *below = tee_of(p)->below;

	return below->ops->kick(below, again);
}

static bool tee_needs_kick(const struct mr_port *p)
{
	const struct mr_port *below = const_tee_of(p)->below;

	return below->ops->needs_kick(below);
}

static int tee_poll_fd(const struct mr_port *p)
{
	const struct mr_port *below = const_tee_of(p)->below;

	return below->ops->poll_fd(below);
}

static bool tee_wants_wakeup(const struct mr_port *p)
{
	const struct mr_port *below = const_tee_of(p)->below;

	return below->ops->wants_wakeup(below);
}

static void tee_statistics(struct mr_port *p, struct mr_port_statistics *s)
{
	struct mr_port *below = tee_of(p)->below;

	below->ops->statistics(below, s);
}

static void tee_close(struct mr_port *p)
{
	struct tee *t = tee_of(p);

	mr_tee_flush(p);
	t->below->ops->close(t->below);
	free(t);
}

static const struct mr_port_ops tee_ops = {
	.receive = tee_receive,
	.fill = tee_fill,
	.fill_room = tee_fill_room,
	.transmit = tee_transmit,
	.transmit_room = tee_transmit_room,
	.complete = tee_complete,
	.kick = tee_kick,
	.needs_kick = tee_needs_kick,
	.poll_fd = tee_poll_fd,
	.wants_wakeup = tee_wants_wakeup,
	.statistics = tee_statistics,
	.close = tee_close,
};

struct mr_port *mr_tee_new(struct mr_port *below, const uint8_t *umem, int fd, const char *ifname,
			   uint64_t (*clock_ns)(void *arg), void *clock_arg)
{
	struct tee *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	t->port.ops = &tee_ops;
	t->below = below;
	t->umem = umem;
	t->fd = fd;
	t->error = 0;
	t->clock_ns = clock_ns;
	t->clock_arg = clock_arg;
	t->used = 0;
	put_section(t);
	put_interface(t, ifname);
	return &t->port;
}

int mr_tee_flush(struct mr_port *p)
{
	struct tee *t = tee_of(p);

	write_out(t);
	return t->error;
}

int mr_tee_error(const struct mr_port *p)
{
	return const_tee_of(p)->error;
}
