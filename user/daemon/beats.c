/* SPDX-License-Identifier: MIT */
/*
 * Heartbeats as the supervision sees them: the same two limits by which the XDP program judges.
 * Behind stale_ms a lane is stale: that is counted and said, and it may come back. Behind grace_ms
 * the program has given everything to the kernel, which resets the peers: what the worker knows is
 * worth nothing any more, so it is killed and replaced.
 */
#include "user/daemon/beats.h"

#include "user/daemon/log.h"

enum {
	LOG_MS = 1000, /* of a lane that is stale again and again, one line in so long */
	LOOK_MS = 20,  /* looks at a stale lane that count are so far apart */
};

static uint64_t ns(uint32_t ms)
{
	return ms * 1000000ull;
}

static uint32_t ms(uint64_t n)
{
	return (uint32_t)(n / 1000000);
}

/* When the lane's worker last gave a sign of life. */
static uint64_t last_sign(const struct mr_child *c, const struct mr_ward *w)
{
	const struct mr_lane *l = &c->d->lanes[w->lane];
	const struct mr_beat *b = &c->d->bpf.beats[l->slot];
	uint64_t beat = __atomic_load_n(&b->beat_ns, __ATOMIC_RELAXED);

	/* One that lies ahead of the clock was never a worker's in order: it is none. */
	if (__atomic_load_n(&b->epoch, __ATOMIC_RELAXED) != l->epoch || beat > mr_now_ns())
		beat = 0;
	return beat > w->since_ns ? beat : w->since_ns;
}

static void becomes_stale(struct mr_child *c, struct mr_ward *w, uint64_t now, uint64_t age)
{
	const struct mr_lane *l = &c->d->lanes[w->lane];

	w->stale = true;
	w->stales++;
	w->stale_looks = 0;
	w->looked_ns = now;
	if (now < w->stale_logged_ns + ns(LOG_MS))
		return;
	w->stale_logged_ns = now;
	mr_warn("%s queue %u: worker %d gives no heartbeat for %u ms: stale, %u times so far",
		mr_lane_link(c->d, l)->name, l->index, (int)l->pid, ms(age), w->stales);
}

/* How long we ourselves have seen it silent: a machine that stood still tells nothing of a lane. */
static uint32_t seen_ms(struct mr_ward *w, uint64_t now)
{
	if (now >= w->looked_ns + ns(LOOK_MS)) {
		w->looked_ns = now;
		w->stale_looks++;
	}
	return w->stale_looks * LOOK_MS;
}

static void kill_silent(struct mr_child *c, struct mr_ward *w, uint64_t age)
{
	const struct mr_lane *l = &c->d->lanes[w->lane];
	struct mr_request q = { .type = MR_REQUEST_KILL, .lane = w->lane };

	w->killed = true;
	mr_warn("%s queue %u: worker %d gives no heartbeat for %u ms: killed",
		mr_lane_link(c->d, l)->name, l->index, (int)l->pid, ms(age));
	mr_child_ask(c, &q);
}

void mr_beats_look(struct mr_child *c, struct mr_ward *w, uint32_t limit_ms, uint64_t now)
{
	const struct mr_settings *s = &c->d->settings;
	uint64_t last = last_sign(c, w), age = now > last ? now - last : 0;

	if (w->state != MR_WORKER_SERVING || age <= ns(s->stale_ms))
		w->stale = false;
	else if (!w->stale)
		becomes_stale(c, w, now, age);
	if (!w->killed && age > ns(limit_ms) && (!w->stale || seen_ms(w, now) >= limit_ms / 4))
		kill_silent(c, w, age);
}

int mr_beats_wait_ms(const struct mr_child *c, int most)
{
	uint64_t now = mr_now_ns(), first = now + ns((uint32_t)most);

	for (uint32_t i = 0; i < c->d->n_lanes; i++) {
		const struct mr_ward *w = &c->wards[i];
		uint64_t due = last_sign(c, w) + ns(c->d->settings.stale_ms) + 1;

		if (w->state == MR_WORKER_SERVING && !w->stale && due < first)
			first = due;
	}
	return first > now ? (int)((first - now + 999999) / 1000000) : 0;
}
