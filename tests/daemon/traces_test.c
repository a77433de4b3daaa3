/* SPDX-License-Identifier: MIT */
/*
 * Traces are read while the lane writes them: what is told is what stood there at one time, of one
 * connection. The lane's own code writes; it has its turn before any read that a test chooses, and
 * in a thread of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/daemon/traces_writer.h"
#include "user/daemon/traces.h"

enum {
	CONNS = 8,
	INDEX = WRITER_INDEX,
	READS = 5, /* that a live trace takes: block, lock, record, lock, block */
	LOOKS = 20000,
};

/* A lane's side and the daemon's side of one arena. */
struct fixture {
	struct mr_lane lane;
	struct mr_arena arena;
	struct writer w;
};

/* Before read number `before` of those to come `act` is called. */
static struct {
	int before;
	void (*act)(struct writer *w);
	struct writer *w;
} meanwhile;

ssize_t __real_pread(int fd, void *buf, size_t bytes, off_t at);
ssize_t __wrap_pread(int fd, void *buf, size_t bytes, off_t at);

ssize_t __wrap_pread(int fd, void *buf, size_t bytes, off_t at)
{
	if (meanwhile.before && --meanwhile.before == 0)
		meanwhile.act(meanwhile.w);
	return __real_pread(fd, buf, bytes, at);
}

static int set_up(void **state)
{
	static const struct mr_arena_sizes sizes = {
		.frames = 64,
		.frame_bytes = 2048,
		.conns = CONNS,
		.half_open = 16,
		.time_wait = 16,
		.sessions = 16,
		.message_bytes = 1 << 13,
	};
	struct fixture *f = calloc(1, sizeof(*f));
	bool huge;

	if (!f || mr_arena_create("test", &sizes, false, &f->lane.arena_reader, &huge) < 0 ||
	    mr_arena_map(&f->arena, f->lane.arena_reader, true) < 0)
		return -1;
	memcpy(&f->lane.layout, f->arena.base, sizeof(f->lane.layout));
	meanwhile.w = &f->w;
	*state = f;
	return writer_init(&f->w, &f->arena) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	meanwhile.before = 0;
	writer_fini(&f->w);
	mr_arena_unmap(&f->arena);
	close(f->lane.arena_reader);
	free(f);
	return 0;
}

/* ----- what must hold of all that is told ----- */

/* The last events up to n_total, one behind the other, all of the connection that it names. */
static bool is_whole(const struct mr_trace *r)
{
	uint32_t last = r->generation * WRITER_NUMBERS + r->n_total;
	bool whole = r->conn == INDEX && r->remote[15] == (uint8_t)r->generation &&
		     mr_be16(r->remote_port) == (uint16_t)r->generation &&
		     r->n_events == (r->n_total < MR_TRACE_EVENTS ? r->n_total : MR_TRACE_EVENTS);

	for (uint32_t i = 0; whole && i < r->n_events; i++)
		whole = writer_is_event(&r->event[i], last - r->n_events + 1 + i);
	return whole;
}

/* ----- one step at a time ----- */

static void connection_that_stands_tells_its_last_events(void **state)
{
	struct fixture *f = *state;
	struct mr_trace r;

	assert_true(mr_trace_live(&f->lane, INDEX, &r));
	assert_int_equal(r.n_events, 0);
	assert_int_equal(r.number, 0);
	for (uint32_t n = 1; n < 3 * MR_TRACE_EVENTS; n++) {
		writer_note(&f->w);
		assert_true(mr_trace_live(&f->lane, INDEX, &r));
		assert_int_equal(r.n_total, n);
		assert_int_equal(r.number, 1);
		assert_true(is_whole(&r));
	}
	mr_active_give(&f->w.actives, f->w.conn);
	assert_true(mr_trace_live(&f->lane, INDEX, &r));
	assert_int_equal(r.n_events, 0);
	f->w.conn->state = MR_CLOSED;
	assert_false(mr_trace_live(&f->lane, INDEX, &r));
	assert_false(mr_trace_live(&f->lane, CONNS, &r));
}

/* Whatever happens between two reads, what comes is the one or the other. */
static void lane_that_writes_between_two_reads_is_read_again(void **state)
{
	static void (*const acts[])(struct writer * w) = { writer_note, writer_note_many,
							   writer_next };
	struct fixture *f = *state;
	struct mr_trace r;

	writer_note_many(&f->w);
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
		for (int before = 1; before <= READS; before++) {
			meanwhile.act = acts[i];
			meanwhile.before = before;
			assert_true(mr_trace_live(&f->lane, INDEX, &r));
			assert_int_equal(meanwhile.before, 0);
			assert_true(is_whole(&r));
			/* written behind the second look at the lock it may be the one before */
			if (before < 4)
				assert_int_equal(r.generation * WRITER_NUMBERS + r.n_total, f->w.n);
		}
}

static void archive_that_is_written_between_two_reads_is_read_again(void **state)
{
	struct fixture *f = *state;
	struct mr_trace r;

	writer_note_many(&f->w);
	for (int before = 1; before <= 3; before++) {
		meanwhile.act = writer_note_many;
		meanwhile.before = before;
		assert_true(mr_trace_archived(&f->lane, 1, &r));
		assert_int_equal(meanwhile.before, 0);
		assert_true(is_whole(&r));
		assert_int_equal(r.number, 1);
	}
	assert_false(mr_trace_archived(&f->lane, 0, &r));
	assert_false(mr_trace_archived(&f->lane, 2, &r));
	assert_false(mr_trace_archived(&f->lane, MR_TRACES, &r));
}

/* It ends while it is read: nothing is told, or what stood there before. */
static void connection_that_ends_meanwhile_is_not_mixed_with_nothing(void **state)
{
	struct fixture *f = *state;
	struct mr_trace r;

	for (int before = 1; before <= READS; before++) {
		writer_open(&f->w, (uint32_t)before);
		writer_note_many(&f->w);
		meanwhile.act = writer_end;
		meanwhile.before = before;
		assert_false(mr_trace_live(&f->lane, INDEX, &r));
	}
}

/* A worker that was killed in the middle of a record: told to nobody until it is written anew. */
static void record_that_was_left_half_written_is_not_told(void **state)
{
	struct fixture *f = *state;
	struct mr_active *a = mr_active_peek(&f->w.actives, f->w.conn);
	struct mr_trace *archive = mr_arena_area(&f->arena, MR_AREA_TRACES, NULL), r;

	writer_note(&f->w);
	mr_trace_write(&a->trace_writes);
	a->trace[0].time_ms = 77;
	assert_false(mr_trace_live(&f->lane, INDEX, &r));
	assert_true(mr_trace_archived(&f->lane, 1, &r));
	mr_trace_write(&archive[1].writes);
	archive[1].event[0].time_ms = 77;
	assert_false(mr_trace_archived(&f->lane, 1, &r));
	for (int i = 0; i < MR_TRACE_EVENTS; i++)
		writer_note(&f->w);
	assert_true(mr_trace_live(&f->lane, INDEX, &r));
	assert_true(is_whole(&r));
	assert_true(mr_trace_archived(&f->lane, 1, &r));
	assert_true(is_whole(&r));
}

/* What a lane must not write: an index behind the records, one of another connection. */
static void record_that_is_not_the_connections_is_not_told(void **state)
{
	struct fixture *f = *state;
	struct mr_trace r;

	writer_note(&f->w);
	f->w.conn[1] = *f->w.conn;
	assert_false(mr_trace_live(&f->lane, INDEX + 1, &r));
	f->w.conn->active = CONNS;
	assert_false(mr_trace_live(&f->lane, INDEX, &r));
	f->w.conn->active = MR_NONE - 1;
	assert_false(mr_trace_live(&f->lane, INDEX, &r));
}

/* ----- a lane that works meanwhile ----- */

struct worker {
	struct writer *w;
	bool ended;
};

/* Events in bursts, now and then another connection; a while of quiet, so that readers succeed. */
static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned int seed = 1;

	for (uint32_t i = 1; !__atomic_load_n(&w->ended, __ATOMIC_RELAXED); i++) {
		if (i % 64 == 0)
			writer_next(w->w);
		writer_note(w->w);
		for (int quiet = rand_r(&seed) % 4096; quiet > 0; quiet--)
			__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void nothing_torn_is_told_while_a_lane_writes(void **state)
{
	struct fixture *f = *state;
	struct worker w = { .w = &f->w };
	uint32_t told = 0, torn = 0;
	struct mr_trace r;
	pthread_t thread;

	writer_note(&f->w);
	assert_int_equal(pthread_create(&thread, NULL, work, &w), 0);
	for (uint32_t i = 0; i < LOOKS; i++) {
		if (mr_trace_live(&f->lane, INDEX, &r)) {
			torn += !is_whole(&r);
			told++;
		}
		if (mr_trace_archived(&f->lane, i % MR_TRACES, &r))
			torn += !is_whole(&r);
	}
	__atomic_store_n(&w.ended, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(torn, 0);
	assert_true(told > 0);
	assert_true(mr_trace_live(&f->lane, INDEX, &r));
	assert_int_equal(r.generation * WRITER_NUMBERS + r.n_total, f->w.n);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(connection_that_stands_tells_its_last_events),
		CASE(lane_that_writes_between_two_reads_is_read_again),
		CASE(archive_that_is_written_between_two_reads_is_read_again),
		CASE(connection_that_ends_meanwhile_is_not_mixed_with_nothing),
		CASE(record_that_was_left_half_written_is_not_told),
		CASE(record_that_is_not_the_connections_is_not_told),
		CASE(nothing_torn_is_told_while_a_lane_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
