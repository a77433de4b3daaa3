/* SPDX-License-Identifier: MIT */
/*
 * Both ends of a channel in threads of their own, under ThreadSanitizer: records go there and
 * back, and each side sleeps on its eventfd whenever it finds nothing. A wake-up that is lost stops
 * both for ever, which the test's own time limit would tell.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "user/attach/channel.h"

enum {
	RECORDS = 20000,
};

static const struct mr_attach_sizes small = {
	.commands = 8,
	.events = 16,
	.receive_buffers = 1,
	.send_buffers = 4,
	.buffer_bytes = 256,
};

struct side {
	struct mr_channel c;
	int own_bell, other_bell;
	uint64_t wrong, sleeps;
};

static void ring(struct side *s)
{
	const uint64_t one = 1;

	if (mr_channel_must_ring(&s->c) && write(s->other_bell, &one, sizeof(one)) < 0)
		s->wrong++;
}

static void sleep_until_rung(struct side *s)
{
	uint64_t n;

	if (mr_channel_doze(&s->c)) {
		s->sleeps++;
		if (read(s->own_bell, &n, sizeof(n)) < 0)
			s->wrong++;
	}
	mr_channel_wake(&s->c);
}

/* The lane: gives back what came, with the bytes of the buffer added up. */
static void *lane(void *arg)
{
	struct side *s = arg;
	struct mr_attach_record r;

	for (uint64_t next = 0; next < RECORDS;) {
		if (mr_channel_peek(&s->c, &r) != 1) {
			sleep_until_rung(s);
			continue;
		}
		s->wrong += r.user != next++;
		r.value = *mr_channel_send_at(&s->c, r.part.buffer);
		mr_channel_done(&s->c);
		s->wrong += !mr_channel_put(&s->c, &r); /* no more are out than it has room for */
		ring(s);
	}
	return NULL;
}

static void take_answers(struct side *s, uint64_t *back)
{
	struct mr_attach_record r;

	while (mr_channel_peek(&s->c, &r) == 1) {
		s->wrong += r.user != *back || r.value != (uint8_t)(*back * 7);
		mr_channel_done(&s->c);
		(*back)++;
	}
}

static void *program(void *arg)
{
	struct side *s = arg;
	uint64_t sent = 0, back = 0;

	while (back < RECORDS) {
		while (sent < RECORDS && sent - back < small.send_buffers) {
			struct mr_attach_record r = { .op = MR_ATTACH_SEND, .user = sent };

			r.part.buffer = (uint32_t)(sent % small.send_buffers);
			*mr_channel_send_at(&s->c, r.part.buffer) = (uint8_t)(sent * 7);
			s->wrong += !mr_channel_put(&s->c, &r);
			ring(s);
			sent++;
		}
		take_answers(s, &back);
		if (back < RECORDS && sent - back == small.send_buffers)
			sleep_until_rung(s);
	}
	return NULL;
}

static void no_record_and_no_wake_up_is_lost(void **state)
{
	struct side side[2] = { 0 };
	pthread_t thread[2];
	int fd;

	(void)state;
	assert_int_equal(mr_channel_create(&small, 0, &fd), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mr_channel_open(&side[i].c, fd,
						 i ? MR_CHANNEL_PROGRAM : MR_CHANNEL_LANE),
				 0);
		side[i].own_bell = eventfd(0, EFD_CLOEXEC);
		assert_true(side[i].own_bell >= 0);
	}
	side[0].other_bell = side[1].own_bell;
	side[1].other_bell = side[0].own_bell;
	assert_int_equal(pthread_create(&thread[0], NULL, lane, &side[0]), 0);
	assert_int_equal(pthread_create(&thread[1], NULL, program, &side[1]), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(side[i].wrong, 0);
		mr_channel_close(&side[i].c);
		close(side[i].own_bell);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_record_and_no_wake_up_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
