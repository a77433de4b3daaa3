/* SPDX-License-Identifier: MIT */
#include "user/daemon/sockets.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "user/daemon/bpf.h"
#include "user/daemon/log.h"

bool mr_sockets_are_renewed(const struct mr_daemon *d)
{
	return d->settings.lanes.renew_sockets || d->maps_bound == MR_MAPS_BOUND_NOT;
}

const char *mr_sockets_text(const struct mr_daemon *d)
{
	return mr_sockets_are_renewed(d) ? "renewed" : "kept";
}

bool mr_socket_is_spent(const struct mr_daemon *d, const struct mr_lane *l)
{
	return l->xsk >= 0 && (l->spoilt || (l->bound && mr_sockets_are_renewed(d)));
}

static void find_out(struct mr_daemon *d, int bound_fd)
{
	if (d->maps_bound != MR_MAPS_BOUND_UNKNOWN)
		return;
	d->maps_bound = mr_xsk_can_map_bound(bound_fd) ? MR_MAPS_BOUND : MR_MAPS_BOUND_NOT;
	if (d->maps_bound == MR_MAPS_BOUND_NOT)
		mr_info("this kernel maps no rings of a bound AF_XDP socket (Linux 6.4 and later "
			"do): each worker gets a new socket, and frames on their way are lost when "
			"one is replaced");
}

/* A daemon that dies between record and keeper leaves the record of another socket: one that cannot
 * be mapped is bound, whatever it says. */
void mr_sockets_look(struct mr_daemon *d)
{
	for (uint32_t i = 0; i < d->n_lanes; i++) {
		struct mr_lane *l = &d->lanes[i];

		if (l->xsk < 0)
			continue;
		l->bound = l->bound || !mr_xsk_can_map_bound(l->xsk);
		if (l->bound)
			find_out(d, l->xsk);
	}
}

static struct mr_xsk_setup setup_of(const struct mr_daemon *d, const struct mr_lane *l)
{
	const struct mr_link *k = mr_lane_link(d, l);

	return (struct mr_xsk_setup){
		.umem_bytes = l->layout.area[MR_AREA_FRAMES].bytes,
		.frame_bytes = k->frame_bytes,
		.ifindex = k->ifindex,
		.queue = l->index,
		.sizes = l->rings,
		.bind = k->native ? k->settings->bind : MR_XSK_COPY,
	};
}

static int refused(struct mr_daemon *d, const struct mr_lane *l, const struct mr_xsk_setup *s,
		   int err)
{
	return mr_fail(d, err, "%s queue %u: no AF_XDP socket: %s%s", mr_lane_link(d, l)->name,
		       l->index, s->why[0] ? s->why : strerror(-err),
		       s->bind == MR_XSK_ZERO_COPY ? "; allow copy with bind: auto" : "");
}

static int make_socket(struct mr_daemon *d, struct mr_lane *l, void *umem)
{
	struct mr_xsk_setup s = setup_of(d, l);

	s.umem = umem;
	l->bound = l->zero_copy = l->spoilt = false;
	l->bind_why[0] = '\0';
	l->xsk = mr_xsk_make(&s);
	return l->xsk < 0 ? refused(d, l, &s, l->xsk) : 0;
}

static int bind_socket(struct mr_daemon *d, struct mr_lane *l)
{
	struct mr_xsk_setup s = setup_of(d, l);
	int err = mr_xsk_bind(l->xsk, &s);

	if (err)
		return refused(d, l, &s, err);
	l->bound = true;
	l->zero_copy = s.zero_copy;
	snprintf(l->bind_why, sizeof(l->bind_why), "%s",
		 mr_lane_link(d, l)->native ? s.why : "zero-copy: needs a program in native mode");
	return 0;
}

int mr_socket_open(struct mr_daemon *d, struct mr_lane *l, void *umem)
{
	int err = make_socket(d, l, umem);

	if (!err && !mr_sockets_are_renewed(d)) {
		err = bind_socket(d, l);
		if (!err)
			find_out(d, l->xsk);
		if (!err && mr_sockets_are_renewed(d)) {
			mr_close_fd(&l->xsk);
			err = make_socket(d, l, umem);
		}
	}
	if (!err)
		err = mr_bpf_socket(d, l);
	if (err)
		mr_close_fd(&l->xsk);
	return err;
}

int mr_socket_bind(struct mr_daemon *d, struct mr_lane *l)
{
	int err = bind_socket(d, l);

	l->spoilt = err != 0;
	if (err)
		return err;
	eventfd_write(l->go, l->zero_copy ? MR_GO_ZERO_COPY : MR_GO_COPY);
	mr_close_fd(&l->go);
	return 0;
}
