/* SPDX-License-Identifier: MIT */
/*
 * Layout, rings and sleep of a channel.
 *
 * Sleep: whoever put records exchanges the other end's word for 0 and rings when it was 1; whoever
 * is about to sleep exchanges its own for 1 and looks for records once more. All exchanges of a
 * word have one order, and each sees what was done before the one in front of it: either the writer
 * finds the 1, or the sleeper, coming later, finds the record. So no record waits for a sleeper.
 */
#include "user/attach/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the parts begin. */
struct layout {
	uint64_t command, event, receive_slot, send_slot, receive, send, total;
};

static bool is_power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

static bool are_in_range(const struct mr_attach_sizes *s)
{
	return is_power_of_two(s->commands) && s->commands <= MR_ATTACH_RING_MOST &&
	       is_power_of_two(s->events) && s->events <= MR_ATTACH_RING_MOST &&
	       s->receive_buffers && s->receive_buffers <= MR_ATTACH_BUFFERS_MOST &&
	       s->send_buffers && s->send_buffers <= MR_ATTACH_BUFFERS_MOST &&
	       s->buffer_bytes >= MR_ATTACH_BUFFER_LEAST &&
	       s->buffer_bytes <= MR_ATTACH_BUFFER_MOST && s->buffer_bytes % 64 == 0;
}

static uint64_t behind(uint64_t at, uint64_t count, uint64_t each)
{
	return (at + count * each + MR_ATTACH_PAGE - 1) & ~(uint64_t)(MR_ATTACH_PAGE - 1);
}

static struct layout layout_of(const struct mr_attach_sizes *s)
{
	struct layout l = { .command = MR_ATTACH_PAGE };

	l.event = behind(l.command, s->commands, sizeof(struct mr_attach_record));
	l.receive_slot = behind(l.event, s->events, sizeof(struct mr_attach_record));
	l.send_slot = behind(l.receive_slot, s->receive_buffers, sizeof(struct mr_attach_slot));
	l.receive = behind(l.send_slot, s->send_buffers, sizeof(struct mr_attach_slot));
	l.send = behind(l.receive, s->receive_buffers, s->buffer_bytes);
	l.total = behind(l.send, s->send_buffers, s->buffer_bytes);
	return l;
}

struct mr_attach_sizes mr_channel_sizes_default(void)
{
	return (struct mr_attach_sizes){
		.commands = 1024,
		.events = 32768,
		.receive_buffers = 2048,
		.send_buffers = 2048,
		.buffer_bytes = 2048,
	};
}

uint64_t mr_channel_bytes(const struct mr_attach_sizes *sizes)
{
	return are_in_range(sizes) ? layout_of(sizes).total : 0;
}

static int write_header(int fd, const struct mr_attach_sizes *sizes, uint32_t lane, uint64_t bytes)
{
	struct mr_attach_header h = {
		.magic = MR_ATTACH_MAGIC,
		.layout = MR_ATTACH_LAYOUT,
		.lane = lane,
		.sizes = *sizes,
		.total_bytes = bytes,
	};

	return pwrite(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) ? 0 : -ENOMEM;
}

int mr_channel_create(const struct mr_attach_sizes *sizes, uint32_t lane, int *fd)
{
	uint64_t bytes = mr_channel_bytes(sizes);
	int err, made;

	if (!bytes)
		return -EINVAL;
	made = memfd_create("millrace-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (made < 0)
		return -errno;
	err = ftruncate(made, (off_t)bytes) < 0 ? -errno : write_header(made, sizes, lane, bytes);
	if (!err && fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		err = -errno;
	if (err) {
		close(made);
		return err;
	}
	*fd = made;
	return 0;
}

/* A memfd that may shrink would kill whoever reads it behind its end. */
static bool is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && seals & F_SEAL_SHRINK;
}

static void set_up(struct mr_channel *c, const struct layout *l, enum mr_channel_end end)
{
	uint8_t *base = (uint8_t *)c->header;
	struct mr_attach_record *command = (void *)(base + l->command);
	struct mr_attach_record *event = (void *)(base + l->event);
	bool lane = end == MR_CHANNEL_LANE;

	c->out = lane ? event : command;
	c->in = lane ? command : event;
	c->out_ring = lane ? &c->header->event : &c->header->command;
	c->in_ring = lane ? &c->header->command : &c->header->event;
	c->out_size = lane ? c->sizes.events : c->sizes.commands;
	c->in_size = lane ? c->sizes.commands : c->sizes.events;
	c->own_sleeps = lane ? &c->header->lane_sleeps.value : &c->header->program.value;
	c->other_sleeps = lane ? &c->header->program.value : &c->header->lane_sleeps.value;
	c->receive_slot = (void *)(base + l->receive_slot);
	c->send_slot = (void *)(base + l->send_slot);
	c->receive = base + l->receive;
	c->send = base + l->send;
	c->produced = __atomic_load_n(&c->out_ring->producer, __ATOMIC_ACQUIRE);
	c->consumed = __atomic_load_n(&c->in_ring->consumer, __ATOMIC_ACQUIRE);
}

int mr_channel_open(struct mr_channel *c, int fd, enum mr_channel_end end)
{
	struct mr_attach_header *h;
	struct mr_channel made = { 0 };
	struct layout l;
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size < MR_ATTACH_PAGE || !is_sealed(fd))
		return -EPROTO;
	made.bytes = (uint64_t)st.st_size;
	h = mmap(NULL, made.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (h == MAP_FAILED)
		return -ENOMEM;
	made.header = h;
	/* one copy, which nobody writes between the check and the use */
	__builtin_memcpy(&made.sizes, (const void *)&h->sizes, sizeof(made.sizes));
	__asm__ volatile("" ::: "memory");
	if (h->magic != MR_ATTACH_MAGIC || h->layout != MR_ATTACH_LAYOUT ||
	    mr_channel_bytes(&made.sizes) != made.bytes) {
		munmap(h, made.bytes);
		return -EPROTO;
	}
	l = layout_of(&made.sizes);
	set_up(&made, &l, end);
	*c = made;
	return 0;
}

void mr_channel_close(struct mr_channel *c)
{
	if (c->header)
		munmap(c->header, c->bytes);
	*c = (struct mr_channel){ 0 };
}

uint32_t mr_channel_room(const struct mr_channel *c)
{
	/* Acquire: the other end's reads of the records are done before they are written over. */
	uint32_t used = c->produced - __atomic_load_n(&c->out_ring->consumer, __ATOMIC_ACQUIRE);

	return used < c->out_size ? c->out_size - used : 0;
}

bool mr_channel_put(struct mr_channel *c, const struct mr_attach_record *r)
{
	if (!mr_channel_room(c))
		return false;
	c->out[c->produced & (c->out_size - 1)] = *r;
	c->produced++;
	/* Release: the record is whole, and what it tells of was done, before it is seen. */
	__atomic_store_n(&c->out_ring->producer, c->produced, __ATOMIC_RELEASE);
	return true;
}

int mr_channel_peek(const struct mr_channel *c, struct mr_attach_record *r)
{
	/* Acquire: pairs with the release in mr_channel_put(). */
	uint32_t n = __atomic_load_n(&c->in_ring->producer, __ATOMIC_ACQUIRE) - c->consumed;

	if (!n)
		return 0;
	if (n > c->in_size)
		return -EPROTO;
	*r = c->in[c->consumed & (c->in_size - 1)];
	/* The copy is what is looked at, whatever the other end writes from now on. */
	__asm__ volatile("" ::: "memory");
	return 1;
}

void mr_channel_done(struct mr_channel *c)
{
	c->consumed++;
	/* Release: our copy is made before the place is written over. */
	__atomic_store_n(&c->in_ring->consumer, c->consumed, __ATOMIC_RELEASE);
}

bool mr_channel_doze(struct mr_channel *c)
{
	__atomic_exchange_n(c->own_sleeps, 1, __ATOMIC_ACQ_REL);
	return __atomic_load_n(&c->in_ring->producer, __ATOMIC_ACQUIRE) == c->consumed;
}

void mr_channel_wake(struct mr_channel *c)
{
	__atomic_exchange_n(c->own_sleeps, 0, __ATOMIC_ACQ_REL);
}

bool mr_channel_must_ring(struct mr_channel *c)
{
	return __atomic_exchange_n(c->other_sleeps, 0, __ATOMIC_ACQ_REL);
}
