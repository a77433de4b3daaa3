/* SPDX-License-Identifier: MIT */
#include "user/daemon/recover.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/daemon/attach.h"
#include "user/daemon/attach_way.h"
#include "user/daemon/bonds.h"
#include "user/daemon/bpf.h"
#include "user/daemon/estate.h"
#include "user/daemon/lanes.h"
#include "user/daemon/links.h"
#include "user/daemon/log.h"
#include "user/daemon/queues.h"

/* Local addresses that lanes of this interface opened connections from. */
static void forget_locals(struct mr_daemon *d, uint32_t ifindex)
{
	struct mr_local_key key, next;
	int fd = d->bpf.map[MR_MAP_LOCAL];
	bool more = bpf_map_get_next_key(fd, NULL, &next) == 0;

	while (more) {
		struct mr_local v;

		key = next;
		more = bpf_map_get_next_key(fd, &key, &next) == 0;
		if (bpf_map_lookup_elem(fd, &key, &v) == 0 && v.ifindex == ifindex)
			bpf_map_delete_elem(fd, &key);
	}
}

void mr_link_leave(struct mr_daemon *d, struct mr_link *l)
{
	if (l->gone)
		return;
	l->gone = true;
	l->up = false;
	l->why_gone[0] = '\0';
	for (uint32_t i = 0; i < l->n_queues; i++) {
		struct mr_lane *lane = &d->lanes[l->first_lane + i];

		mr_worker_kill(lane);
		mr_close_fd(&lane->xsk);
	}
	mr_bpf_interface_forget(d, l);
	forget_locals(d, l->ifindex);
	if (l->attached) /* the kernel has taken it off: what is ours of it ends */
		mr_attach_way(l)->detach(d, l, d->bpf.program[l->section]);
	l->attached = false;
	l->program_id = 0;
	mr_close_fd(&l->former_program);
}

/* One that is to open nothing has nothing to end: its connections went with the interface. */
static int reopen(struct mr_daemon *d, struct mr_lane *lane)
{
	int err = lane->absent ? 0 : mr_lane_reopen(d, lane);

	if (!err && lane->drain)
		mr_queues_release(d, lane);
	return err;
}

static bool any_worker(const struct mr_daemon *d, const struct mr_link *l)
{
	for (uint32_t i = 0; i < l->n_queues; i++)
		if (d->lanes[l->first_lane + i].pid > 0)
			return true;
	return false;
}

/* In order; each fails with d->error. */
static int take(struct mr_daemon *d, struct mr_link *l)
{
	int err = mr_links_find_again(d, l);

	if (!err)
		err = mr_attach(d, l);
	if (!err)
		mr_queues_settle(d, l);
	for (uint32_t i = 0; !err && i < l->n_queues; i++)
		err = reopen(d, &d->lanes[l->first_lane + i]);
	if (!err)
		err = mr_links_locals(d);
	return err ? err : mr_bpf_interface(d, l);
}

void mr_link_take_again(struct mr_daemon *d, struct mr_link *l)
{
	if (!l->gone || any_worker(d, l) || !mr_bonds_may_serve(d, l))
		return;
	d->error[0] = '\0';
	if (take(d, l) == 0) {
		l->gone = false;
		l->why_gone[0] = '\0';
		d->renew_child = true;
		mr_estate_deposit(d);
		mr_info("%s: interface is back, index %u; its lanes start again", l->name,
			l->ifindex);
	} else {
		if (strncmp(l->why_gone, d->error, sizeof(l->why_gone) - 1) != 0)
			mr_warn("%s; its lanes wait", d->error);
		snprintf(l->why_gone, sizeof(l->why_gone), "%.*s", MR_WORDS - 1, d->error);
		mr_detach(d, l);
		mr_bpf_interface_forget(d, l);
	}
	d->error[0] = '\0';
}
