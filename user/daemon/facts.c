/* SPDX-License-Identifier: MIT */
/* What lanes and links are now, in the words of the control API. */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "user/daemon/api.h"

const char *mr_address_text(const uint8_t addr[16], char *out)
{
	const struct in6_addr *a = (const struct in6_addr *)addr;

	if (IN6_IS_ADDR_UNSPECIFIED(a))
		return strcpy(out, "any");
	if (IN6_IS_ADDR_V4MAPPED(a))
		inet_ntop(AF_INET, addr + 12, out, INET_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, addr, out, INET6_ADDRSTRLEN);
	return out;
}

void mr_lane_stats_read(const struct mr_child *c, uint32_t lane, struct mr_lane_stats *out)
{
	const struct mr_lane_stats *s = &c->d->bpf.lanes[c->d->lanes[lane].slot];
	const uint64_t *from = (const uint64_t *)s;
	uint64_t *to = (uint64_t *)out;

	/* The lane writes each number on its own; so each is read on its own. */
	for (size_t i = 0; i < sizeof(*out) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

const char *mr_lane_state_text(const struct mr_child *c, uint32_t lane)
{
	if (mr_lane_link(c->d, &c->d->lanes[lane])->gone || c->d->lanes[lane].absent)
		return "off";
	switch (c->wards[lane].state) {
	case MR_WORKER_DEAD:
		return "dead";
	case MR_WORKER_ASKED:
	case MR_WORKER_STARTING:
		return "starting";
	case MR_WORKER_SERVING:
		if (c->wards[lane].stale)
			return "stale";
		return c->wards[lane].drain ? "draining" : "serving";
	case MR_WORKER_STOPPING:
		return "stopping";
	case MR_WORKER_DRAINED:
		return "drained";
	}
	return "off";
}

const char *mr_link_text(const struct mr_link *k)
{
	if (k->gone)
		return "gone";
	if (!k->up)
		return "down";
	if (k->backup)
		return "backup";
	return k->now_named[0] ? "renamed" : "up";
}

const char *mr_lane_beat(const struct mr_child *c, uint32_t lane, uint64_t *age_ns)
{
	const struct mr_settings *s = &c->d->settings;
	const struct mr_beat *b = &c->d->bpf.beats[c->d->lanes[lane].slot];
	uint64_t beat = __atomic_load_n(&b->beat_ns, __ATOMIC_RELAXED), now = mr_now_ns();

	*age_ns = beat && now > beat ? now - beat : 0;
	if (!beat || beat > now ||
	    c->d->lanes[lane].absent) /* that one is the daemon's: queues.h */
		return "none";
	if (*age_ns <= s->stale_ms * 1000000ull)
		return "fresh";
	return *age_ns <= s->grace_ms * 1000000ull ? "stale" : "gone";
}

const char *mr_link_attach_text(const struct mr_link *k)
{
	if (k->taken_off)
		return "none";
	return k->native ? "native" : "generic";
}

const char *mr_lane_bind_text(const struct mr_lane *l)
{
	return l->zero_copy ? "zero-copy" : "copy";
}

const char *mr_lane_why(const struct mr_child *c, uint32_t lane)
{
	const struct mr_lane *l = &c->d->lanes[lane];
	const struct mr_link *k = mr_lane_link(c->d, l);

	if (l->absent)
		return "the interface has no such queue now";
	if (k->taken_off)
		return k->foreign ? "another XDP program stands where ours was"
				  : "somebody took the XDP program off";
	return k->attach_why[0] ? k->attach_why : l->bind_why;
}

const char *mr_ports_text(uint16_t lo, uint16_t hi, char out[16])
{
	out[0] = '\0';
	if (hi)
		snprintf(out, 16, "%u-%u", lo, hi);
	return out;
}

const char *mr_lower(const char *name)
{
	static char out[64];
	size_t i;

	for (i = 0; i < sizeof(out) - 1 && name[i]; i++)
		out[i] = (char)tolower((unsigned char)name[i]);
	out[i] = '\0';
	return out;
}
