/* SPDX-License-Identifier: MIT */
#include "user/api/timers.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

uint64_t api_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct api_timer *timer_at(const struct api_timers *t, int place)
{
	return t->at[place - 1];
}

static void put(struct api_timers *t, int place, struct api_timer *timer)
{
	t->at[place - 1] = timer;
	timer->place = place;
}

/* Move @timer from the free @place to where it belongs. */
static void settle(struct api_timers *t, int place, struct api_timer *timer)
{
	for (; place > 1 && timer_at(t, place / 2)->due_ns > timer->due_ns; place /= 2)
		put(t, place, timer_at(t, place / 2));
	for (int child = 2 * place; child <= t->n; child = 2 * place) {
		if (child < t->n && timer_at(t, child + 1)->due_ns < timer_at(t, child)->due_ns)
			child++;
		if (timer_at(t, child)->due_ns >= timer->due_ns)
			break;
		put(t, place, timer_at(t, child));
		place = child;
	}
	put(t, place, timer);
}

int api_timer_set(struct api_timers *t, struct api_timer *timer, uint64_t due_ns)
{
	if (!timer->place && t->n == t->room) {
		int room = t->room ? 2 * t->room : 16;
		struct api_timer **at =
			reallocarray(t->at, (size_t)room, sizeof(struct api_timer *));

		if (!at)
			return -ENOMEM;
		t->at = at;
		t->room = room;
	}
	timer->due_ns = due_ns;
	settle(t, timer->place ? timer->place : ++t->n, timer);
	return 0;
}

void api_timer_clear(struct api_timers *t, struct api_timer *timer)
{
	struct api_timer *last;
	int place = timer->place;

	if (!place)
		return;
	timer->place = 0;
	last = timer_at(t, t->n--);
	if (last != timer)
		settle(t, place, last);
}

struct api_timer *api_timer_due(struct api_timers *t, uint64_t now_ns)
{
	struct api_timer *timer = t->n ? timer_at(t, 1) : NULL;

	if (!timer || timer->due_ns > now_ns)
		return NULL;
	api_timer_clear(t, timer);
	return timer;
}

int api_timers_wait_ms(const struct api_timers *t, int most_ms)
{
	uint64_t now, ms;

	if (!t->n)
		return most_ms;
	now = api_now_ns();
	ms = timer_at(t, 1)->due_ns <= now ? 0 : (timer_at(t, 1)->due_ns - now + 999999) / 1000000;
	if (most_ms >= 0 && (uint64_t)most_ms < ms)
		return most_ms;
	return (int)(ms < 1 << 30 ? ms : 1 << 30);
}

void api_timers_free(struct api_timers *t)
{
	free(t->at);
	*t = (struct api_timers){ 0 };
}
