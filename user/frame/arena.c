/* SPDX-License-Identifier: MIT */
/*
 * The arena of a lane: a sealed memfd, sparse, so that a page costs memory only once it is used.
 *
 * Page 0 holds struct mr_arena_header; behind it the areas lie in the order of enum mr_arena_area,
 * each on a page of its own (on a huge page, when the file has those). A file whose header was
 * written by somebody else is believed only as far as it fits: mr_arena_map() checks the whole
 * header once, mr_arena_area() checks the one record that it uses each time, from a private copy.
 */
#define _GNU_SOURCE 1 /* memfd_create */

#include "user/frame/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
	FRAMES_MIN = 64,
	FRAMES_MAX = 1 << 20,
	RECORDS_MIN = 16,
	RECORDS_MAX = 1 << 26,
	HUGE_PAGE = 2 << 20,
	SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
};

/* Blocks of the message store at most, so that their number is an index. */
#define MESSAGE_BLOCKS_MAX (1ull << 28)

static bool is_power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

static bool is_count(uint32_t n, uint32_t min)
{
	return n >= min && n <= RECORDS_MAX;
}

static bool are_sizes_valid(const struct mr_arena_sizes *s)
{
	uint64_t blocks = s->message_bytes / MR_MESSAGE_BLOCK;

	return is_power_of_two(s->frames) && s->frames >= FRAMES_MIN && s->frames <= FRAMES_MAX &&
	       (s->frame_bytes == 2048 || s->frame_bytes == 4096) && is_count(s->conns, 1) &&
	       is_count(s->half_open, RECORDS_MIN) && is_count(s->time_wait, RECORDS_MIN) &&
	       is_count(s->sessions, RECORDS_MIN) && is_power_of_two(s->message_bytes) &&
	       blocks >= 1 && blocks <= MESSAGE_BLOCKS_MAX;
}

static uint64_t round_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) / align * align;
}

/* The areas one behind the other. The UMEM must start on a page of this machine (af_xdp.rst). */
static void lay_out(struct mr_arena_header *h, const struct mr_arena_sizes *s, uint64_t align)
{
	const uint32_t blocks = (uint32_t)(s->message_bytes / MR_MESSAGE_BLOCK);
	const struct {
		uint32_t count, record_bytes;
	} wanted[MR_AREA_COUNT] = {
		[MR_AREA_FRAMES] = { s->frames, s->frame_bytes },
		[MR_AREA_FRAME_RECORDS] = { s->frames, sizeof(struct mr_frame) },
		[MR_AREA_CONNS] = { s->conns, sizeof(struct mr_conn) },
		[MR_AREA_HALF_OPEN] = { s->half_open, sizeof(struct mr_half_open) },
		[MR_AREA_TIME_WAIT] = { s->time_wait, sizeof(struct mr_time_wait) },
		[MR_AREA_SESSIONS] = { s->sessions, sizeof(struct mr_session) },
		[MR_AREA_ACTIVE] = { s->conns, sizeof(struct mr_active) }, /* sparse */
		[MR_AREA_MESSAGES] = { blocks, MR_MESSAGE_BLOCK },
		[MR_AREA_MESSAGE_MAP] = { blocks, 1 },
		[MR_AREA_APP_STATES] = { s->conns, MR_APP_STATE_BYTES }, /* sparse */
		[MR_AREA_HAND] = { 1, sizeof(struct mr_hand) },
		[MR_AREA_TRACES] = { MR_TRACES, sizeof(struct mr_trace) },
		[MR_AREA_SENT] = { 1, sizeof(struct mr_sent) }, /* sparse */
	};
	uint64_t offset = round_up(sizeof(*h), align);

	*h = (struct mr_arena_header){ .magic = MR_ARENA_MAGIC, .layout = MR_ARENA_LAYOUT };
	for (unsigned int i = 0; i < MR_AREA_COUNT; i++) {
		struct mr_arena_area_record *a = &h->area[i];

		a->offset = offset;
		a->count = wanted[i].count;
		a->record_bytes = wanted[i].record_bytes;
		a->bytes = round_up((uint64_t)a->count * a->record_bytes, align);
		offset += a->bytes;
	}
	h->total_bytes = offset;
}

/* By a mapping, as hugetlbfs knows no write(). */
static int write_header(int fd, const struct mr_arena_header *h, uint64_t page_bytes)
{
	void *page = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (page == MAP_FAILED)
		return -errno;
	memcpy(page, h, sizeof(*h));
	munmap(page, page_bytes);
	return 0;
}

/*
 * One try, on pages of one kind. Huge pages are taken now, all of them: a promise of pages that are
 * not there would be a SIGBUS later.
 */
static int create(const char *name, const struct mr_arena_sizes *sizes, bool huge, int *fd)
{
	const uint64_t page = huge ? HUGE_PAGE : (uint64_t)sysconf(_SC_PAGESIZE);
	struct mr_arena_header h;
	int err;

	lay_out(&h, sizes, page > MR_ARENA_PAGE ? page : MR_ARENA_PAGE);
	*fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING |
					 (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
	if (*fd < 0)
		return -errno;
	if (ftruncate(*fd, (off_t)h.total_bytes) < 0)
		goto undo_memfd;
	if (huge && fallocate(*fd, 0, 0, (off_t)h.total_bytes) < 0)
		goto undo_memfd;
	err = write_header(*fd, &h, page);
	if (err < 0) {
		errno = -err;
		goto undo_memfd;
	}
	if (fcntl(*fd, F_ADD_SEALS, SEALS) < 0)
		goto undo_memfd;
	return 0;

undo_memfd:
	err = -errno;
	close(*fd);
	*fd = -1;
	return err;
}

int mr_arena_create(const char *name, const struct mr_arena_sizes *sizes, bool huge, int *fd,
		    bool *got_huge)
{
	*fd = -1;
	*got_huge = false;
	if (!are_sizes_valid(sizes))
		return -EINVAL;
	if (huge && create(name, sizes, true, fd) == 0) {
		*got_huge = true;
		return 0;
	}
	return create(name, sizes, false, fd);
}

/* Does a record of the area measure what this program thinks it does? */
static bool is_record_bytes(enum mr_arena_area area, uint32_t bytes)
{
	switch (area) {
	case MR_AREA_FRAMES:
		return bytes == 2048 || bytes == 4096;
	case MR_AREA_FRAME_RECORDS:
		return bytes == sizeof(struct mr_frame);
	case MR_AREA_CONNS:
		return bytes == sizeof(struct mr_conn);
	case MR_AREA_HALF_OPEN:
		return bytes == sizeof(struct mr_half_open);
	case MR_AREA_TIME_WAIT:
		return bytes == sizeof(struct mr_time_wait);
	case MR_AREA_SESSIONS:
		return bytes == sizeof(struct mr_session);
	case MR_AREA_ACTIVE:
		return bytes == sizeof(struct mr_active);
	case MR_AREA_MESSAGES:
		return bytes == MR_MESSAGE_BLOCK;
	case MR_AREA_MESSAGE_MAP:
		return bytes == 1;
	case MR_AREA_APP_STATES:
		return bytes == MR_APP_STATE_BYTES;
	case MR_AREA_HAND:
		return bytes == sizeof(struct mr_hand);
	case MR_AREA_TRACES:
		return bytes == sizeof(struct mr_trace);
	case MR_AREA_SENT:
		return bytes == sizeof(struct mr_sent);
	case MR_AREA_COUNT:
		break;
	}
	return false;
}

/* Inside a file of @total bytes, behind its header, with room for every record? */
static bool is_area_valid(const struct mr_arena_area_record *a, enum mr_arena_area area,
			  uint64_t total)
{
	return is_record_bytes(area, a->record_bytes) && a->count <= MR_NONE &&
	       a->offset % MR_ARENA_PAGE == 0 && a->offset >= sizeof(struct mr_arena_header) &&
	       a->offset <= total && a->bytes <= total - a->offset &&
	       (uint64_t)a->count * a->record_bytes <= a->bytes;
}

static int check_header(const struct mr_arena_header *h, uint64_t file_bytes)
{
	uint64_t end = sizeof(*h);

	if (h->magic != MR_ARENA_MAGIC)
		return -EBADMSG;
	if (h->layout != MR_ARENA_LAYOUT)
		return -EPROTO;
	if (h->total_bytes != file_bytes)
		return -EBADMSG;
	for (unsigned int i = 0; i < MR_AREA_COUNT; i++) {
		if (!is_area_valid(&h->area[i], i, file_bytes) || h->area[i].offset < end)
			return -EBADMSG;
		end = h->area[i].offset + h->area[i].bytes;
	}
	if (h->area[MR_AREA_FRAMES].count != h->area[MR_AREA_FRAME_RECORDS].count ||
	    h->area[MR_AREA_MESSAGES].count != h->area[MR_AREA_MESSAGE_MAP].count ||
	    h->area[MR_AREA_ACTIVE].count < h->area[MR_AREA_CONNS].count ||
	    h->area[MR_AREA_APP_STATES].count < h->area[MR_AREA_CONNS].count ||
	    h->area[MR_AREA_HAND].count < 1 || h->area[MR_AREA_TRACES].count != MR_TRACES)
		return -EBADMSG;
	return 0;
}

/* A file that may shrink would be a SIGBUS for who maps it. */
static int check_file(int fd, struct stat *st, bool *huge)
{
	struct statfs fs;
	int seals;

	if (fstat(fd, st) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode) || st->st_size < (off_t)sizeof(struct mr_arena_header))
		return -EBADMSG;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return -EBADMSG;
	*huge = fs.f_type == HUGETLBFS_MAGIC;
	return 0;
}

int mr_arena_map(struct mr_arena *a, int fd, bool writable)
{
	struct mr_arena_header h;
	struct stat st;
	bool huge = false;
	void *base;
	int err;

	err = check_file(fd, &st, &huge);
	if (err < 0)
		return err;
	base = mmap(NULL, (size_t)st.st_size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED,
		    fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	memcpy(&h, base, sizeof(h));
	err = check_header(&h, (uint64_t)st.st_size);
	if (err < 0) {
		munmap(base, (size_t)st.st_size);
		return err;
	}
	*a = (struct mr_arena){ .base = base, .bytes = (uint64_t)st.st_size, .huge = huge };
	return 0;
}

void mr_arena_unmap(struct mr_arena *a)
{
	if (a->base)
		munmap(a->base, a->bytes);
	*a = (struct mr_arena){ 0 };
}

void *mr_arena_area(const struct mr_arena *a, enum mr_arena_area area, uint32_t *count)
{
	const struct mr_arena_header *h = (const void *)a->base;
	struct mr_arena_area_record r;

	/* The owner of the arena may write it while we read: check and use one copy. */
	r.offset = __atomic_load_n(&h->area[area].offset, __ATOMIC_RELAXED);
	r.bytes = __atomic_load_n(&h->area[area].bytes, __ATOMIC_RELAXED);
	r.count = __atomic_load_n(&h->area[area].count, __ATOMIC_RELAXED);
	r.record_bytes = __atomic_load_n(&h->area[area].record_bytes, __ATOMIC_RELAXED);
	if (!is_area_valid(&r, area, a->bytes))
		return NULL;
	if (count)
		*count = r.count;
	return a->base + r.offset;
}
