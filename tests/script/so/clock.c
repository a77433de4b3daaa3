// SPDX-License-Identifier: MIT
/* The virtual clock, and threads that wait on it. */
#include "tests/script/so/so.h"

#include <errno.h>
#include <time.h>

enum {
	TURNS_MAX = 100000, /* a lane that never rests is a fault, not a reason to hang */
	GUARD_MS = 2000,    /* real time that a thread has for reading the clock */
	HORIZON_S = 600,    /* how far a call of the main thread that blocks moves the clock */
};

static __thread bool was_let_go;

uint64_t so_now(const struct so *s)
{
	return mr_memory_now(s->wire);
}

void so_lock(struct so *s)
{
	int saved = errno;

	pthread_mutex_lock(&s->lock);
	so_settle(s);
	errno = saved;
}

void so_unlock(struct so *s)
{
	int saved = errno;

	pthread_mutex_unlock(&s->lock);
	errno = saved;
}

static bool is_main(const struct so *s)
{
	return pthread_equal(pthread_self(), s->main_thread);
}

void so_settle(struct so *s)
{
	struct timespec until;

	if (!is_main(s) || !s->n_going)
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += GUARD_MS / 1000;
	while (s->n_going)
		if (pthread_cond_timedwait(&s->changed, &s->lock, &until))
			s->n_going = 0; /* it never asks for the time: not our caller's way */
}

void so_read_time(struct so *s)
{
	if (!was_let_go)
		return;
	was_let_go = false;
	if (s->n_going)
		s->n_going--;
	pthread_cond_broadcast(&s->changed);
}

/* Waiters whose condition holds, or whose time is over, go. */
static void let_go(struct so *s)
{
	for (struct so_waiter *w = s->waiters; w; w = w->next) {
		if (w->going || !(s->closing || w->can_go(w->arg) || w->deadline <= so_now(s)))
			continue;
		w->going = true;
		s->n_going++;
	}
	if (s->n_going)
		pthread_cond_broadcast(&s->changed);
}

void so_run(struct so *s)
{
	for (int i = 0; i < TURNS_MAX; i++)
		if (!mr_lane_turn(s->lane))
			break;
	so_look(s);
	for (struct so_sock *k = s->socks; k; k = k->next)
		if (k->n_held && k->held_until <= so_now(s)) {
			so_flush(s, k, true);
			mr_lane_turn(s->lane);
		}
	let_go(s);
}

uint64_t so_next(const struct so *s)
{
	uint64_t next = mr_lane_next_ns(s->lane);

	for (const struct so_waiter *w = s->waiters; w; w = w->next)
		if (!w->going && w->deadline < next)
			next = w->deadline;
	for (const struct so_sock *k = s->socks; k; k = k->next)
		if (k->n_held && k->held_until < next)
			next = k->held_until;
	return next;
}

void so_advance(struct so *s, uint64_t to_ns)
{
	for (;;) {
		uint64_t now = so_now(s);
		uint64_t next = so_next(s);

		if (next > to_ns) {
			if (to_ns > now)
				mr_memory_advance(s->wire, to_ns - now);
			return;
		}
		/* a timer is due that the last turn did not run: it is at its millisecond's end */
		mr_memory_advance(s->wire, next > now ? next - now : SO_US);
		so_run(s);
		so_settle(s);
	}
}

/* The main thread blocks: nobody else will move the clock. */
static bool wait_alone(struct so *s, bool (*can_go)(void *arg), void *arg, uint64_t deadline)
{
	uint64_t end = so_now(s) + HORIZON_S * SO_S;

	if (deadline < end)
		end = deadline;
	while (!can_go(arg)) {
		uint64_t next = so_next(s);

		if (next > end) {
			if (deadline != SO_NEVER)
				so_advance(s, end);
			return can_go(arg);
		}
		so_advance(s, next > so_now(s) ? next : so_now(s) + SO_US);
	}
	return true;
}

bool so_wait(struct so *s, bool (*can_go)(void *arg), void *arg, uint64_t deadline)
{
	struct so_waiter w = { .can_go = can_go, .arg = arg, .deadline = deadline };
	struct so_waiter **at;

	if (can_go(arg))
		return true;
	if (deadline <= so_now(s))
		return false;
	if (is_main(s))
		return wait_alone(s, can_go, arg, deadline);
	if (was_let_go) /* it goes on waiting: the clock may move */
		so_read_time(s);
	w.next = s->waiters;
	s->waiters = &w;
	pthread_cond_broadcast(&s->changed);
	while (!w.going)
		pthread_cond_wait(&s->changed, &s->lock);
	for (at = &s->waiters; *at != &w; at = &(*at)->next)
		;
	*at = w.next;
	was_let_go = true;
	return !s->closing && can_go(arg);
}
