/* SPDX-License-Identifier: MIT */
#include "user/daemon/standing.h"

#include "user/daemon/log.h"
#include "user/daemon/programs.h"

enum {
	DOUBT_MS = 500,
};

static bool is_ours(const struct mr_child *c, const struct mr_link *k, uint32_t id)
{
	if (k->settings->by != MR_ATTACH_BY_NETLINK || !id || id == k->program_id)
		return true;
	return c->d->programs && mr_programs_is_known(c->d->programs, id);
}

/* @foreign: what stands there instead, 0: nothing */
static void taken_off(struct mr_link *k, uint32_t foreign)
{
	if (foreign)
		mr_error("%s: somebody took our XDP program off, program %u stands there; lanes "
			 "get nothing, their connections will end (ip link set dev %s xdp off, "
			 "and restart millraced)",
			 k->name, foreign, k->name);
	else if (!k->taken_off)
		mr_error("%s: somebody took our XDP program off; everything goes to the kernel, "
			 "which resets the lanes' connections (restart millraced)",
			 k->name);
	k->taken_off = true;
	k->foreign = foreign;
}

static void is_there(struct mr_link *k)
{
	if (k->taken_off)
		mr_info("%s: an XDP program is attached again", k->name);
	k->taken_off = false;
	k->foreign = 0;
}

void mr_standing_news(struct mr_child *c, struct mr_link *k, const struct mr_netlink_link *l)
{
	bool told = l->program && (l->program == k->foreign || l->program == k->doubted);

	if (!l->no_program && !is_ours(c, k, l->program)) {
		if (!told) {
			k->doubted = l->program;
			k->doubted_ns = mr_now_ns();
		}
		return;
	}
	k->doubted = 0;
	if (l->no_program)
		taken_off(k, 0);
	else
		is_there(k);
}

void mr_standing_tick(struct mr_child *c, struct mr_link *k, uint64_t now)
{
	uint32_t id = k->doubted;

	if (!id || now < k->doubted_ns + DOUBT_MS * 1000000ull)
		return;
	k->doubted = 0;
	if (k->gone)
		return;
	if (is_ours(c, k, id))
		is_there(k);
	else
		taken_off(k, id);
}
