/* SPDX-License-Identifier: MIT */
#include "user/daemon/queues.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/daemon/attach.h"
#include "user/daemon/bpf.h"
#include "user/daemon/estate.h"
#include "user/daemon/genetlink.h"
#include "user/daemon/lanes.h"
#include "user/daemon/log.h"

/* ----- how many ----- */

static bool read_channels(int socket, const char *name, struct ethtool_channels *c)
{
	struct ifreq r = { .ifr_data = (char *)c };

	*c = (struct ethtool_channels){ .cmd = ETHTOOL_GCHANNELS };
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	return ioctl(socket, SIOCETHTOOL, &r) == 0;
}

/* /sys may be of another network namespace than ours: is the interface there the same? */
static bool is_in_sysfs(const char *name, uint32_t ifindex)
{
	char path[80];
	uint32_t there = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/ifindex", name);
	in = fopen(path, "re");
	if (!in)
		return false;
	if (fscanf(in, "%u", &there) != 1)
		there = 0;
	fclose(in);
	return there == ifindex;
}

static uint32_t count_in_sysfs(const char *name)
{
	const struct dirent *e;
	char path[80];
	uint32_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/queues", name);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		n += !strncmp(e->d_name, "rx-", 3);
	if (dir)
		closedir(dir);
	return n;
}

uint32_t mr_queues_count(int socket, const char *name, uint32_t ifindex)
{
	struct ethtool_channels c;
	uint32_t said = read_channels(socket, name, &c) ? c.combined_count + c.rx_count : 0;
	int known = mr_genetlink_rx_queues(ifindex); /* 0: the interface is down */

	if (known <= 0)
		known = is_in_sysfs(name, ifindex) ? (int)count_in_sysfs(name) : 0;
	if ((uint32_t)known > said)
		said = (uint32_t)known;
	return said ? said : 1;
}

uint32_t mr_queues_most(int socket, const char *name)
{
	struct ethtool_channels c;

	if (!read_channels(socket, name, &c))
		return 0;
	return c.max_combined > c.max_rx ? c.max_combined : c.max_rx;
}

/* By the name that it has now, which may be another one than ours. */
static uint32_t count(const struct mr_link *l)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[IF_NAMESIZE];
	uint32_t n = l->queues;

	if (fd >= 0 && if_indextoname(l->ifindex, name))
		n = mr_queues_count(fd, name, l->ifindex);

	mr_close_fd(&fd);
	return n;
}

/* ----- lanes and their queues ----- */

static struct mr_lane *lane_at(const struct mr_daemon *d, const struct mr_link *l, uint32_t queue)
{
	return &d->lanes[l->first_lane + queue];
}

/* To the lanes: which of them may have a flow, or mail. Those that were there may have some yet. */
static void tell_lanes(const struct mr_link *l)
{
	struct mr_mailbox_header *h;
	uint32_t n = l->queues < l->n_queues ? l->queues : l->n_queues;

	h = mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED, l->mailbox, 0);
	if (h == MAP_FAILED)
		return; /* they look at all of them then */
	if (n > __atomic_load_n(&h->n_there, __ATOMIC_RELAXED))
		__atomic_store_n(&h->n_there, n, __ATOMIC_RELAXED);
	munmap(h, sizeof(*h));
}

static void tell_unserved(const struct mr_link *l)
{
	if (l->queues > l->n_queues)
		mr_warn("%s: %u of %u receive queues have a lane; connections on the others go to "
			"the kernel (ethtool -L %s combined %u, or queues: all and a restart)",
			l->name, l->n_queues, l->queues, l->name, l->n_queues);
}

void mr_queues_settle(struct mr_daemon *d, struct mr_link *l)
{
	uint32_t before = l->queues;

	l->queues = count(l);
	if (l->queues != before)
		mr_info("%s: %u receive queues since the program is attached, %u before", l->name,
			l->queues, before);
	if (l->queues > before)
		tell_unserved(l);
	for (uint32_t i = 0; i < l->n_queues; i++)
		lane_at(d, l, i)->absent = i >= l->queues;
	if (l->mailbox >= 0)
		tell_lanes(l);
}

static void open_new(struct mr_daemon *d, struct mr_link *l)
{
	for (uint32_t i = 0; i < l->n_queues && i < l->queues; i++) {
		struct mr_lane *lane = lane_at(d, l, i);

		if (!lane->absent)
			continue;
		d->error[0] = '\0';
		if (mr_lane_reopen(d, lane) == 0)
			lane->absent = false;
		else
			mr_error("%s; what comes to this queue goes to the kernel", d->error);
		d->error[0] = '\0';
	}
}

/* The kernel keeps queues that have a socket: so these were drained, or a driver did as it liked.
 */
static void leave_old(struct mr_daemon *d, struct mr_link *l)
{
	for (uint32_t i = l->queues; i < l->n_queues; i++) {
		struct mr_lane *lane = lane_at(d, l, i);

		if (lane->drained) { /* as it was meant: when the queue comes again, so does it */
			lane->absent = true;
			lane->drain = false;
		}
		if (!lane->absent)
			mr_warn("%s queue %u: is not there any more; its lane keeps the "
				"connections "
				"that it has, as the others hand them over; drain it",
				l->name, i);
		lane->drained = false;
	}
}

void mr_queues_look(struct mr_daemon *d, struct mr_link *l)
{
	uint32_t before = l->queues, now = l->gone ? before : count(l);

	if (now == before)
		return;
	l->queues = now;
	mr_info("%s: %u receive queues now, %u before", l->name, now, before);
	tell_unserved(l);
	tell_lanes(l);
	open_new(d, l);
	if (now > before && mr_attach_spread(d, l))
		mr_warn("%s: the XDP program does not run on the new queues; ip link set dev %s "
			"down, and up again",
			l->name, l->name);
	leave_old(d, l);
	mr_estate_note(d);
	d->renew_child = true;
}

static int any_socket(const struct mr_daemon *d, const struct mr_link *l)
{
	for (uint32_t i = 0; i < l->n_queues; i++)
		if (lane_at(d, l, i)->xsk >= 0)
			return lane_at(d, l, i)->xsk;
	return -1;
}

int mr_queues_beat(struct mr_daemon *d)
{
	struct mr_beat beat = { .beat_ns = mr_now_ns() };
	bool any = false;

	for (uint32_t i = 0; i < d->n_lanes; i++) {
		const struct mr_lane *l = &d->lanes[i];
		const struct mr_link *k = mr_lane_link(d, l);
		int socket = any_socket(d, k);

		if (!l->absent || k->gone || l->index < k->queues || socket < 0)
			continue;
		any = true;
		bpf_map_update_elem(d->bpf.map[MR_MAP_XSK], &l->slot, &socket, BPF_ANY);
		bpf_map_update_elem(d->bpf.map[MR_MAP_BEAT], &l->slot, &beat, BPF_ANY);
	}
	return any ? MR_QUEUES_BEAT_MS : -1;
}

void mr_queues_release(struct mr_daemon *d, struct mr_lane *l)
{
	if (l->pid > 0 || l->absent || l->xsk < 0)
		return;
	l->drained = true;
	mr_close_fd(&l->xsk);
	mr_estate_lane_made(d, l);
}
