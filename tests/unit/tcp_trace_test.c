/* SPDX-License-Identifier: MIT */
/*
 * The trace of a connection: which events it holds, when it is archived, and that the archive in
 * the arena goes on whatever a generation before left there.
 */
#include "tests/unit/rfc_words.h"

#include <string.h>

#include "user/frame/traces.h"

static struct mr_trace archive[MR_TRACES];
static struct mr_traces traces;
static uint8_t text[4 * RFC_MSS];

static struct mr_conn *start(struct rfc *f)
{
	memset(archive, 0, sizeof(archive));
	mr_traces_init(&traces, archive, MR_TRACES);
	rfc_init(f);
	f->tcp.traces = &traces;
	return rfc_conn_in(f, MR_ESTABLISHED);
}

static const struct mr_trace *archived(uint32_t number)
{
	const struct mr_trace *r = &archive[number % MR_TRACES];

	assert_int_equal(r->number, number);
	return r;
}

static const struct mr_trace_event *last_event(const struct mr_trace *r)
{
	assert_in_range(r->n_events, 1, MR_TRACE_EVENTS);
	return &r->event[r->n_events - 1];
}

static void reset_by_peer(struct rfc *f, struct mr_conn *c)
{
	rfc_arrives(f, c, &(struct rfc_in){ .flags = MR_RST, .seq = c->rcv_nxt });
}

static uint32_t events_of(const struct rfc *f, const struct mr_conn *c)
{
	const struct mr_active *a = mr_active_peek(&f->actives, c);

	return a ? a->n_traced : 0;
}

static void text_that_goes_well_leaves_no_trace(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	uint32_t before = events_of(&f, c);

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(rfc_send(&f, c, "x", 1), 1);
		rfc_advance(&f, c, 5);
		ack(&f, c, c->snd_nxt);
	}
	assert_int_equal(events_of(&f, c), before);
	assert_int_equal(traces.last, 0);
	rfc_fini(&f);
}

/* Archived with the first timeout; the second is added to the same, and so is the end. */
static void timeouts_are_archived_in_one_trace(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	const struct mr_trace *r;

	(void)state;
	rfc_send(&f, c, text, 10);
	rfc_advance(&f, c, 1000);
	r = archived(1);
	assert_int_equal(last_event(r)->kind, MR_TRACE_TIMEOUT);
	assert_int_equal(last_event(r)->detail, 1);
	assert_int_equal(last_event(r)->value, 1000);
	assert_int_equal(last_event(r)->sent, 1);
	assert_memory_equal(r->remote, c->remote, 16);
	assert_int_equal(r->remote_port.raw, c->remote_port.raw);
	rfc_advance(&f, c, 2000);
	assert_int_equal(last_event(r)->detail, 2);
	assert_int_equal(last_event(r)->value, 2000);
	reset_by_peer(&f, c);
	assert_int_equal(r->event[r->n_events - 2].kind, MR_TRACE_RESET_IN);
	assert_int_equal(last_event(r)->kind, MR_TRACE_CLOSED);
	assert_int_equal(last_event(r)->detail, MR_CLOSE_RESET_BY_PEER);
	assert_int_equal(traces.last, 1);
	rfc_fini(&f);
}

/* One that has no record of active connections gets one for it. */
static void reset_of_an_idle_connection_is_archived(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);

	(void)state;
	mr_active_give(&f.actives, c);
	reset_by_peer(&f, c);
	assert_int_equal(archived(1)->n_events, 2);
	rfc_fini(&f);
}

static void our_own_reset_is_archived(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	const struct mr_trace *r;

	(void)state;
	mr_tcp_abort_call(&f.tcp, c, MR_CLOSE_ABORTED);
	r = archived(1);
	assert_int_equal(r->event[r->n_events - 2].kind, MR_TRACE_RESET_OUT);
	assert_int_equal(last_event(r)->detail, MR_CLOSE_ABORTED);
	rfc_fini(&f);
}

static void closed_window_is_an_event_that_is_not_archived(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	const struct mr_active *a;

	(void)state;
	rfc_send(&f, c, text, 10);
	ack(&f, c, c->snd_nxt);
	rfc_arrives(
		&f, c,
		&(struct rfc_in){
			.flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una, .zero_wnd = true });
	rfc_send(&f, c, text, 10);
	a = mr_active_peek(&f.actives, c);
	assert_non_null(a);
	assert_int_equal(a->trace[a->n_traced - 1].kind, MR_TRACE_WINDOW_CLOSED);
	assert_int_equal(a->trace[a->n_traced - 1].value, 10);
	rfc_arrives(&f, c,
		    &(struct rfc_in){
			    .flags = MR_ACK, .seq = c->rcv_nxt, .ack = c->snd_una, .wnd = 5000 });
	assert_int_equal(a->trace[a->n_traced - 1].kind, MR_TRACE_WINDOW_OPENED);
	assert_int_equal(traces.last, 0);
	rfc_fini(&f);
}

/* The last sixteen, oldest first, and how many there were. */
static void many_events_keep_the_last_ones(void **state)
{
	struct rfc f;
	struct mr_conn *c = start(&f);
	struct mr_active *a;
	const struct mr_trace *r;

	(void)state;
	rfc_send(&f, c, text, 10);
	a = mr_active_peek(&f.actives, c);
	for (uint32_t i = 0; i < MR_TRACE_EVENTS + 5; i++)
		a->trace[a->n_traced++ % MR_TRACE_EVENTS] =
			(struct mr_trace_event){ .kind = MR_TRACE_STATE, .value = i };
	rfc_advance(&f, c, 1000);
	r = archived(1);
	assert_int_equal(r->n_events, MR_TRACE_EVENTS);
	assert_int_equal(r->n_total, a->n_traced);
	for (uint32_t i = 0; i + 1 < MR_TRACE_EVENTS; i++)
		assert_int_equal(r->event[i].value, i + 6);
	assert_int_equal(last_event(r)->kind, MR_TRACE_TIMEOUT);
	rfc_fini(&f);
}

/* ----- the archive ----- */

static void archive_goes_on_behind_what_stands_there(void **state)
{
	struct mr_conn c = { .generation = 7 };
	struct mr_active a = { .n_traced = 1 };

	(void)state;
	memset(archive, 0, sizeof(archive));
	mr_traces_init(&traces, archive, MR_TRACES);
	for (uint32_t i = 1; i <= MR_TRACES + 10; i++)
		assert_int_equal(mr_traces_put(&traces, 0, i, &c, &a), i);
	mr_traces_init(&traces, archive, MR_TRACES);
	assert_int_equal(mr_traces_put(&traces, 0, 5, &c, &a), MR_TRACES + 11);
	assert_int_equal(archived(MR_TRACES + 11)->conn, 5);
}

/* A trace that others have driven out is begun anew, theirs is left alone. */
static void place_of_another_is_not_overwritten(void **state)
{
	struct mr_conn c = { .generation = 7 };
	struct mr_active a = { .n_traced = 1 };
	uint32_t mine;

	(void)state;
	memset(archive, 0, sizeof(archive));
	mr_traces_init(&traces, archive, MR_TRACES);
	mine = mr_traces_put(&traces, 0, 1, &c, &a);
	assert_int_equal(mr_traces_put(&traces, mine, 1, &c, &a), mine);
	for (uint32_t i = 0; i < MR_TRACES; i++)
		mr_traces_put(&traces, 0, 2, &c, &a);
	assert_int_equal(mr_traces_put(&traces, mine, 1, &c, &a), MR_TRACES + 2);
	assert_int_equal(archived(MR_TRACES + 1)->conn, 2);
}

static void garbage_in_the_archive_harms_nothing(void **state)
{
	struct mr_conn c = { 0 };
	struct mr_active a = { .n_traced = 1 };
	uint32_t number;

	(void)state;
	memset(archive, 0xff, sizeof(archive));
	mr_traces_init(&traces, archive, MR_TRACES);
	number = mr_traces_put(&traces, 0, 1, &c, &a);
	assert_int_not_equal(number, 0);
	assert_int_equal(archived(number)->conn, 1);
	for (int i = 0; i < 3; i++)
		assert_int_not_equal(mr_traces_put(&traces, 0, 1, &c, &a), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_that_goes_well_leaves_no_trace),
		cmocka_unit_test(timeouts_are_archived_in_one_trace),
		cmocka_unit_test(reset_of_an_idle_connection_is_archived),
		cmocka_unit_test(our_own_reset_is_archived),
		cmocka_unit_test(closed_window_is_an_event_that_is_not_archived),
		cmocka_unit_test(many_events_keep_the_last_ones),
		cmocka_unit_test(archive_goes_on_behind_what_stands_there),
		cmocka_unit_test(place_of_another_is_not_overwritten),
		cmocka_unit_test(garbage_in_the_archive_harms_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
