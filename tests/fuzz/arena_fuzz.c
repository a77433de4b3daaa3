/* SPDX-License-Identifier: MIT */
/*
 * An arena is written by a lane and read by others. The first byte chooses: a header as anybody may
 * have left it, which must be refused or stay inside the file; or records as a hostile lane may
 * write them, of which /v1/conns must make JSON, page by page, and /v1/traces, too.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/control.h"
#include "tests/fuzz/fuzz.h"
#include "user/daemon/api.h"
#include "user/daemon/sent.h"

/* ----- headers ----- */

static void check_areas(const struct mr_arena *a)
{
	for (unsigned int i = 0; i < MR_AREA_COUNT; i++) {
		uint32_t count = 0;
		const uint8_t *p = mr_arena_area(a, i, &count);
		const struct mr_arena_header *h = (const void *)a->base;
		uint64_t bytes = (uint64_t)count * h->area[i].record_bytes;

		if (!p)
			continue;
		FUZZ_CHECK(p >= a->base && (uint64_t)(p - a->base) <= a->bytes);
		FUZZ_CHECK(bytes <= a->bytes - (uint64_t)(p - a->base));
		if (bytes) {
			FUZZ_CHECK(((volatile const uint8_t *)p)[0] + 1 > 0);
			FUZZ_CHECK(((volatile const uint8_t *)p)[bytes - 1] + 1 > 0);
		}
	}
}

/* Some words of a good header changed; some of them once more while the arena is mapped. */
static void change_header(struct mr_arena_header *h, struct fuzz_in *in, unsigned int n)
{
	while (in->len && n--) {
		size_t at = fuzz_u8(in) * 4u;
		uint32_t v = fuzz_u32(in);

		if (at + sizeof(v) <= sizeof(*h))
			memcpy((uint8_t *)h + at, &v, sizeof(v));
	}
}

static void attach(struct fuzz_in *in)
{
	static const struct mr_arena_sizes sizes = {
		.frames = 64,
		.frame_bytes = 2048,
		.conns = 4,
		.half_open = 16,
		.time_wait = 16,
		.sessions = 16,
		.message_bytes = 1 << 13,
	};
	struct mr_arena a = { 0 }, made;
	unsigned int n = fuzz_u8(in) % 8;
	bool huge;
	int fd;

	FUZZ_CHECK(!mr_arena_create("fuzz", &sizes, false, &fd, &huge));
	FUZZ_CHECK(!mr_arena_map(&made, fd, true));
	change_header((void *)made.base, in, n);
	if (mr_arena_map(&a, fd, false) == 0) {
		check_areas(&a);
		change_header((void *)made.base, in, 8);
		check_areas(&a);
		mr_arena_unmap(&a);
	} else {
		FUZZ_CHECK(!a.base);
	}
	mr_arena_unmap(&made);
	close(fd);
}

/* ----- records ----- */

static void fill_area(struct control *k, uint32_t lane, enum mr_arena_area area, struct fuzz_in *in)
{
	const struct mr_arena_area_record *r = &k->lanes[lane].layout.area[area];
	uint8_t *p = k->arena[lane].base + r->offset;
	uint32_t index = fuzz_u8(in) % r->count;
	size_t len;
	const uint8_t *bytes = fuzz_take(in, fuzz_u16(in) % 2048, &len);
	size_t room = (size_t)(r->count - index) * r->record_bytes;

	if (len)
		memcpy(p + (size_t)index * r->record_bytes, bytes, len < room ? len : room);
}

static void list(struct control *k, struct mr_conns_query q)
{
	for (unsigned int pages = 0; pages < 2 * CONTROL_CONNS + 100; pages++) {
		size_t bytes = 0;
		char *text = mr_json_conns(&k->c, &q, &bytes);
		json_error_t error;
		json_t *o, *next;

		FUZZ_CHECK(text && strlen(text) == bytes);
		o = json_loads(text, JSON_REJECT_DUPLICATES, &error);
		FUZZ_CHECK(o);
		next = json_object_get(o, "next");
		FUZZ_CHECK(next);
		free(text);
		if (!json_is_string(next) ||
		    sscanf(json_string_value(next), "%u.%u.%u", &q.after_lane, &q.after_kind,
			   &q.after_index) != 3) {
			json_decref(o);
			return;
		}
		json_decref(o);
	}
	FUZZ_CHECK(!"pages without end");
}

/* Positions of any kind: what comes is a part of the ring, and its end is where it says. */
static void read_sent(struct control *k, struct fuzz_in *in)
{
	static uint8_t out[MR_SENT_PIECE];
	struct mr_sent *s = mr_arena_area(&k->arena[0], MR_AREA_SENT, NULL);
	struct mr_sent_answer a;
	uint64_t after;
	size_t n;

	s->head = (uint64_t)fuzz_u32(in) << (fuzz_u8(in) % 33);
	s->writing = s->head + fuzz_u16(in);
	after = s->head - fuzz_u32(in) % (2 * MR_SENT_BYTES);
	n = mr_sent_piece(&k->lanes[0], fuzz_u8(in) % 4 ? after : UINT64_MAX, &a, out);
	FUZZ_CHECK(n <= sizeof(out) && a.next - a.from == n && a.head == s->head);
	FUZZ_CHECK(a.from <= a.head && a.head - a.from <= MR_SENT_BYTES);
}

static json_t *archived(struct control *k, const char *id, size_t want)
{
	size_t bytes = 0, n = 0;
	char *text = mr_json_traces(&k->c, id, true, &bytes, &n);
	json_error_t error;
	json_t *o;

	FUZZ_CHECK(text && strlen(text) == bytes);
	o = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	FUZZ_CHECK(o && json_array_size(json_object_get(o, "traces")) == n);
	FUZZ_CHECK(n == want || want == SIZE_MAX);
	free(text);
	return o;
}

/* Archived ones, and those of connections; the one of an id is among them all. */
static void list_traces(struct control *k, struct fuzz_in *in)
{
	struct mr_conns_query q;
	json_t *all = archived(k, NULL, SIZE_MAX);
	const json_t *first = json_array_get(json_object_get(all, "traces"), 0);
	const char *id = json_string_value(json_object_get(first, "id"));

	if (id)
		json_decref(archived(k, id, 1));
	json_decref(all);
	read_sent(k, in);
	mr_conns_query_traces(&q);
	q.events = true;
	q.min_events = fuzz_u8(in) % 2;
	q.limit = 1 + fuzz_u8(in) % 64;
	list(k, q);
}

/* Borrowed records that name the connections that name them: without help no input gets there. */
static void lend_records(struct control *k, uint32_t lane, struct fuzz_in *in)
{
	struct mr_conn *conn = mr_arena_area(&k->arena[lane], MR_AREA_CONNS, NULL);
	struct mr_active *active = mr_arena_area(&k->arena[lane], MR_AREA_ACTIVE, NULL);
	uint32_t n = fuzz_u8(in) % 8;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = fuzz_u8(in) % CONTROL_CONNS;

		conn[at].active = fuzz_u8(in) % CONTROL_CONNS;
		active[conn[at].active].owner = at;
		active[conn[at].active].trace_writes &= ~(uint32_t)(n > 4);
	}
}

static void read_records(struct control *k, struct fuzz_in *in)
{
	uint32_t counts[MR_MAX_RULES] = { 0 };
	struct mr_conns_query q = { .lane = UINT32_MAX, .limit = 1, .state = -1, .port = -1 };
	uint8_t how = fuzz_u8(in);

	q.limit = 1 + how % 64;
	if (how & 64)
		q.state = fuzz_u8(in) % MR_TCP_STATE_COUNT;
	for (uint32_t i = 0; i < CONTROL_LANES; i++) {
		fill_area(k, i, MR_AREA_CONNS, in);
		fill_area(k, i, MR_AREA_HALF_OPEN, in);
		fill_area(k, i, MR_AREA_TIME_WAIT, in);
		fill_area(k, i, MR_AREA_SESSIONS, in);
		fill_area(k, i, MR_AREA_ACTIVE, in);
		fill_area(k, i, MR_AREA_TRACES, in);
		lend_records(k, i, in);
	}
	list(k, q);
	list_traces(k, in);
	read_sent(k, in);
	mr_conns_count(&k->c, counts);
	for (uint32_t i = 0; i < CONTROL_LANES; i++)
		for (int area = MR_AREA_CONNS; area <= MR_AREA_TRACES; area++) {
			if (area > MR_AREA_ACTIVE && area < MR_AREA_TRACES)
				continue;
			const struct mr_arena_area_record *r = &k->lanes[i].layout.area[area];

			memset(k->arena[i].base + r->offset, 0, r->bytes);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct control *k;
	struct fuzz_in in = { data, len };

	if (!k) {
		k = malloc(sizeof(*k));
		FUZZ_CHECK(k);
		control_init(k);
	}
	if (fuzz_u8(&in) % 2)
		read_records(k, &in);
	else
		attach(&in);
	return 0;
}
