/* SPDX-License-Identifier: MIT */
/* Points in time that something waits for: a binary heap of nodes that stand in their owners. */
#ifndef MR_API_TIMERS_H
#define MR_API_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

/* A node; one that is all zero bytes is not set. */
struct api_timer {
	uint64_t due_ns; /* CLOCK_MONOTONIC */
	int place;	 /* in the heap, from 1 on; 0: not set */
};

struct api_timers {
	struct api_timer **at;
	int n, room;
};

#define API_TIMER_OWNER(timer, type, member)                                                       \
	((type *)(void *)((char *)(timer) - __builtin_offsetof(type, member)))

uint64_t api_now_ns(void);

/** api_timer_set() - for @due_ns, instead of what it was set for. Return: 0, -ENOMEM: not set */
int api_timer_set(struct api_timers *t, struct api_timer *timer, uint64_t due_ns);
void api_timer_clear(struct api_timers *t, struct api_timer *timer);

/** api_timer_due() - take the earliest that is due at @now_ns, or NULL */
struct api_timer *api_timer_due(struct api_timers *t, uint64_t now_ns);

/** api_timers_wait_ms() - how long to sleep, @most_ms at most; -1: for ever */
int api_timers_wait_ms(const struct api_timers *t, int most_ms);

/** api_timers_free() - the heap; nodes stay their owners' */
void api_timers_free(struct api_timers *t);

#endif
