/* SPDX-License-Identifier: MIT */
/* The arena: layout (include/shared/mr_arena.h), seals, and headers that lie. */
#define _GNU_SOURCE 1 /* memfd_create */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/frame/arena.h"

static const struct mr_arena_sizes usual = {
	.frames = 4096,
	.frame_bytes = 2048,
	.conns = 1000,
	.half_open = 100,
	.time_wait = 200,
	.sessions = 50,
	.message_bytes = 1 << 20,
};

static int create(const struct mr_arena_sizes *s)
{
	bool huge = true;
	int fd = -1;

	assert_int_equal(mr_arena_create("test", s, false, &fd, &huge), 0);
	assert_true(fd >= 0);
	assert_false(huge);
	return fd;
}

static void created_arena_has_every_area_in_order(void **state)
{
	const uint32_t want[][2] = {
		[MR_AREA_FRAMES] = { 4096, 2048 },
		[MR_AREA_FRAME_RECORDS] = { 4096, 48 },
		[MR_AREA_CONNS] = { 1000, 256 },
		[MR_AREA_HALF_OPEN] = { 100, 80 },
		[MR_AREA_TIME_WAIT] = { 200, 64 },
		[MR_AREA_SESSIONS] = { 50, 64 },
		[MR_AREA_ACTIVE] = { 1000, sizeof(struct mr_active) },
		[MR_AREA_MESSAGES] = { 256, 4096 },
		[MR_AREA_MESSAGE_MAP] = { 256, 1 },
		[MR_AREA_APP_STATES] = { 1000, MR_APP_STATE_BYTES },
		[MR_AREA_HAND] = { 1, sizeof(struct mr_hand) },
		[MR_AREA_TRACES] = { 256, 320 },
		[MR_AREA_SENT] = { 1, sizeof(struct mr_sent) },
	};
	int fd = create(&usual);
	struct mr_arena a;
	uint8_t *end;

	(void)state;
	assert_int_equal(mr_arena_map(&a, fd, true), 0);
	end = a.base + sizeof(struct mr_arena_header);
	for (unsigned int i = 0; i < MR_AREA_COUNT; i++) {
		uint32_t count = 0;
		uint8_t *area = mr_arena_area(&a, i, &count);

		assert_non_null(area);
		assert_int_equal(count, want[i][0]);
		assert_true(area >= end);
		assert_int_equal((uintptr_t)area % MR_ARENA_PAGE, 0);
		end = area + (size_t)want[i][0] * want[i][1];
	}
	assert_true(end <= a.base + a.bytes);
	mr_arena_unmap(&a);
	assert_null(a.base);
	close(fd);
}

static void new_arena_is_zero_and_costs_no_memory(void **state)
{
	struct mr_arena_sizes big = usual;
	struct mr_arena a;
	struct stat st;
	uint32_t count;
	int fd;
	const struct mr_conn *conns;

	(void)state;
	big.conns = 1 << 22; /* 1 GiB of blocks */
	fd = create(&big);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size > 1 << 30);
	assert_true(st.st_blocks * 512 <= 1 << 20);
	assert_int_equal(mr_arena_map(&a, fd, false), 0);
	conns = mr_arena_area(&a, MR_AREA_CONNS, &count);
	assert_int_equal(conns[0].state, MR_CLOSED);
	assert_int_equal(conns[count - 1].state, MR_CLOSED);
	mr_arena_unmap(&a);
	close(fd);
}

static void two_mappings_share_their_bytes(void **state)
{
	int fd = create(&usual);
	struct mr_arena a, b;

	(void)state;
	assert_int_equal(mr_arena_map(&a, fd, true), 0);
	assert_int_equal(mr_arena_map(&b, fd, false), 0);
	strcpy(mr_arena_area(&a, MR_AREA_MESSAGES, NULL), "written once");
	assert_string_equal(mr_arena_area(&b, MR_AREA_MESSAGES, NULL), "written once");
	mr_arena_unmap(&a);
	mr_arena_unmap(&b);
	close(fd);
}

static void created_arena_is_sealed_and_close_on_exec(void **state)
{
	int fd = create(&usual);
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(ftruncate(fd, st.st_size - 4096) < 0);
	assert_int_equal(errno, EPERM);
	assert_true(ftruncate(fd, st.st_size + 4096) < 0);
	assert_int_equal(errno, EPERM);
	assert_true(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0);
	assert_int_equal(errno, EPERM);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static void sizes_out_of_range_are_refused(void **state)
{
	struct mr_arena_sizes bad[] = {
		usual, usual, usual, usual, usual, usual, usual,
		usual, usual, usual, usual, usual, usual,
	};

	(void)state;
	bad[0].frames = 32;
	bad[1].frames = 2 << 20;
	bad[2].frames = 4095;
	bad[3].frame_bytes = 1024;
	bad[4].frame_bytes = 8192;
	bad[5].conns = 0;
	bad[6].conns = (1 << 26) + 1;
	bad[7].half_open = 15;
	bad[8].time_wait = 15;
	bad[9].sessions = 15;
	bad[10].message_bytes = 0;
	bad[11].message_bytes = 2048;
	bad[12].message_bytes = 3 * 4096;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bool huge;
		int fd;

		assert_int_equal(mr_arena_create("test", &bad[i], false, &fd, &huge), -EINVAL);
		assert_int_equal(fd, -1);
	}
}

static long free_huge_pages(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	long pages = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "HugePages_Free: %ld", &pages) == 1)
			break;
	if (f)
		fclose(f);
	return pages;
}

/* With or without huge pages on this machine: an arena that can be written to its last byte. */
static void huge_arena_is_there_or_falls_back(void **state)
{
	bool huge = false;
	struct mr_arena a;
	int fd;

	(void)state;
	assert_int_equal(mr_arena_create("test", &usual, true, &fd, &huge), 0);
	if (free_huge_pages() == 0)
		assert_false(huge);
	assert_int_equal(mr_arena_map(&a, fd, true), 0);
	assert_int_equal(a.huge, huge);
	if (huge)
		assert_int_equal((uintptr_t)mr_arena_area(&a, MR_AREA_FRAMES, NULL) % (2 << 20), 0);
	a.base[a.bytes - 1] = 1;
	mr_arena_unmap(&a);
	close(fd);
}

/* ----- headers that somebody else has written ----- */

struct hostile {
	int fd;
	struct mr_arena_header *h;
	size_t bytes;
};

static void hostile_open(struct hostile *x)
{
	struct stat st;

	x->fd = create(&usual);
	assert_int_equal(fstat(x->fd, &st), 0);
	x->bytes = (size_t)st.st_size;
	x->h = mmap(NULL, x->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, x->fd, 0);
	assert_ptr_not_equal(x->h, MAP_FAILED);
}

static void hostile_close(struct hostile *x)
{
	munmap(x->h, x->bytes);
	close(x->fd);
}

static void expect_map(struct hostile *x, int want)
{
	struct mr_arena a = { 0 };
	int err = mr_arena_map(&a, x->fd, false);

	assert_int_equal(err, want);
	if (err == 0)
		mr_arena_unmap(&a);
	else
		assert_null(a.base);
}

static void wrong_magic_is_no_arena(void **state)
{
	struct hostile x;

	(void)state;
	hostile_open(&x);
	x.h->magic++;
	expect_map(&x, -EBADMSG);
	hostile_close(&x);
}

static void other_layout_is_another_protocol(void **state)
{
	struct hostile x;

	(void)state;
	hostile_open(&x);
	x.h->layout++;
	expect_map(&x, -EPROTO);
	hostile_close(&x);
}

static void total_that_is_not_the_files_size_is_refused(void **state)
{
	struct hostile x;

	(void)state;
	hostile_open(&x);
	x.h->total_bytes -= 4096;
	expect_map(&x, -EBADMSG);
	x.h->total_bytes += 8192;
	expect_map(&x, -EBADMSG);
	hostile_close(&x);
}

/* Each field of each area, made a lie; the arena maps again once it is put right. */
static void area_that_does_not_fit_is_refused(void **state)
{
	struct hostile x;

	(void)state;
	hostile_open(&x);
	for (unsigned int i = 0; i < MR_AREA_COUNT; i++) {
		struct mr_arena_area_record *r = &x.h->area[i], saved = *r;
		const struct mr_arena_area_record lies[] = {
			{ x.bytes, saved.bytes, saved.count, saved.record_bytes },
			{ UINT64_MAX - 4095, saved.bytes, saved.count, saved.record_bytes },
			{ saved.offset + 1, saved.bytes, saved.count, saved.record_bytes },
			{ 0, saved.bytes, saved.count, saved.record_bytes },
			{ saved.offset, UINT64_MAX, saved.count, saved.record_bytes },
			{ saved.offset, x.bytes, saved.count, saved.record_bytes },
			{ saved.offset, saved.bytes, UINT32_MAX, saved.record_bytes },
			{ saved.offset, saved.bytes, 1u << 27, saved.record_bytes },
			{ saved.offset, saved.bytes, saved.count, saved.record_bytes * 2 + 1 },
			{ saved.offset, saved.bytes, saved.count, 0 },
			{ saved.offset, 16, saved.count, saved.record_bytes },
		};

		for (size_t n = 0; n < sizeof(lies) / sizeof(lies[0]); n++) {
			*r = lies[n];
			expect_map(&x, -EBADMSG);
		}
		*r = saved;
		expect_map(&x, 0);
	}
	hostile_close(&x);
}

static void areas_that_overlap_are_refused(void **state)
{
	struct hostile x;

	(void)state;
	hostile_open(&x);
	x.h->area[MR_AREA_CONNS].offset = x.h->area[MR_AREA_FRAME_RECORDS].offset;
	expect_map(&x, -EBADMSG);
	hostile_close(&x);
}

static void counts_that_must_agree_and_do_not_are_refused(void **state)
{
	struct hostile x;

	(void)state;
	hostile_open(&x);
	x.h->area[MR_AREA_FRAME_RECORDS].count--;
	expect_map(&x, -EBADMSG);
	x.h->area[MR_AREA_FRAME_RECORDS].count++;
	x.h->area[MR_AREA_MESSAGE_MAP].count--;
	expect_map(&x, -EBADMSG);
	hostile_close(&x);
}

static void header_that_changes_after_mapping_gives_no_area(void **state)
{
	struct hostile x;
	struct mr_arena a;
	uint32_t count = 7;

	(void)state;
	hostile_open(&x);
	assert_int_equal(mr_arena_map(&a, x.fd, false), 0);
	x.h->area[MR_AREA_CONNS].count = 1u << 30;
	assert_null(mr_arena_area(&a, MR_AREA_CONNS, &count));
	assert_int_equal(count, 7);
	x.h->area[MR_AREA_TIME_WAIT].offset = UINT64_MAX & ~4095ull;
	assert_null(mr_arena_area(&a, MR_AREA_TIME_WAIT, NULL));
	assert_non_null(mr_arena_area(&a, MR_AREA_SESSIONS, &count));
	mr_arena_unmap(&a);
	hostile_close(&x);
}

/* A file that could be cut while it is mapped would kill its reader by SIGBUS. */
static void file_without_seals_is_refused(void **state)
{
	struct mr_arena a = { 0 };
	struct hostile x;
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	hostile_open(&x);
	assert_int_equal(ftruncate(fd, (off_t)x.bytes), 0);
	assert_int_equal(pwrite(fd, x.h, sizeof(*x.h), 0), sizeof(*x.h));
	assert_int_equal(mr_arena_map(&a, fd, false), -EBADMSG);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(mr_arena_map(&a, fd, false), 0);
	mr_arena_unmap(&a);
	close(fd);
	hostile_close(&x);
}

static void files_that_are_no_arenas_are_refused(void **state)
{
	struct mr_arena a;
	int fd, pipes[2];

	(void)state;
	assert_int_equal(mr_arena_map(&a, -1, false), -EBADF);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(mr_arena_map(&a, pipes[0], false), -EBADMSG);
	close(pipes[0]);
	close(pipes[1]);
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(mr_arena_map(&a, fd, false), -EBADMSG);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(mr_arena_map(&a, fd, false), -EBADMSG);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(created_arena_has_every_area_in_order),
		cmocka_unit_test(new_arena_is_zero_and_costs_no_memory),
		cmocka_unit_test(two_mappings_share_their_bytes),
		cmocka_unit_test(created_arena_is_sealed_and_close_on_exec),
		cmocka_unit_test(sizes_out_of_range_are_refused),
		cmocka_unit_test(huge_arena_is_there_or_falls_back),
		cmocka_unit_test(wrong_magic_is_no_arena),
		cmocka_unit_test(other_layout_is_another_protocol),
		cmocka_unit_test(total_that_is_not_the_files_size_is_refused),
		cmocka_unit_test(area_that_does_not_fit_is_refused),
		cmocka_unit_test(areas_that_overlap_are_refused),
		cmocka_unit_test(counts_that_must_agree_and_do_not_are_refused),
		cmocka_unit_test(header_that_changes_after_mapping_gives_no_area),
		cmocka_unit_test(file_without_seals_is_refused),
		cmocka_unit_test(files_that_are_no_arenas_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
