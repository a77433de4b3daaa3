/* SPDX-License-Identifier: MIT */
/*
 * A tee: hands every call on to the port below and notes the frames that pass in a pcapng file: a
 * section header, one interface, a packet block a frame. A file that several tees have appended to
 * is a file of several sections.
 */
#include "user/port/tee.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/wire/pcapng.h"

enum {
	BUFFER_BYTES = 1 << 18,
};

struct tee {
	struct mr_port port;
	struct mr_port *below;
	const uint8_t *umem;
	int fd;
	int error; /* 0, or -errno that ended the recording */
	uint64_t (*clock_ns)(void *arg);
	void *clock_arg;
	struct mr_pcapng blocks; /* in buffer */
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

/* ----- what is written ----- */

static void write_out(struct tee *t)
{
	uint32_t done = 0;

	while (done < t->blocks.used && !t->error) {
		ssize_t n = write(t->fd, t->buffer + done, t->blocks.used - done);

		if (n >= 0)
			done += (uint32_t)n;
		else if (errno != EINTR)
			t->error = -errno;
	}
	t->blocks.used = 0;
}

/* A frame is never longer than the buffer: it lies in one frame of the UMEM. */
static void put_packet(struct tee *t, const struct mr_span *s, uint64_t now_ns,
		       enum mr_pcapng_direction direction)
{
	const struct mr_pcapng_packet packet = {
		.time_ns = now_ns,
		.bytes = t->umem + s->addr,
		.captured = s->len,
		.original = s->len,
		.direction = direction,
	};

	if (mr_pcapng_packet(&t->blocks, &packet))
		return;
	write_out(t);
	mr_pcapng_packet(&t->blocks, &packet);
}

static void record(struct tee *t, const struct mr_span *spans, uint32_t n,
		   enum mr_pcapng_direction direction)
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

	record(t, spans, n, MR_PCAPNG_INBOUND);
	return n;
}

/* Noted before they are queued: afterwards they are the kernel's. */
static uint32_t tee_transmit(struct mr_port *p, const struct mr_span *spans, uint32_t n)
{
	struct tee *t = tee_of(p);
	uint32_t room = t->below->ops->transmit_room(t->below);

	if (n > room)
		n = room;
	record(t, spans, n, MR_PCAPNG_OUTBOUND);
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
	t->port = (struct mr_port){ &tee_ops, below->rx_done, below->tx_index };
	t->below = below;
	t->umem = umem;
	t->fd = fd;
	t->error = 0;
	t->clock_ns = clock_ns;
	t->clock_arg = clock_arg;
	t->blocks = (struct mr_pcapng){ .bytes = t->buffer, .room = sizeof(t->buffer) };
	mr_pcapng_section(&t->blocks, "millrace");
	mr_pcapng_interface(&t->blocks, ifname, 0, NULL);
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
