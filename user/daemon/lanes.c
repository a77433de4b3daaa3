/* SPDX-License-Identifier: MIT */
#include "user/daemon/lanes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/daemon/bpf.h"
#include "user/daemon/estate.h"
#include "user/daemon/log.h"
#include "user/daemon/queues.h"
#include "user/daemon/sockets.h"
#include "user/frame/arena.h"

enum {
	RING_MOST = 16384,
	RING_LEAST = 64,
	HUGE_PAGE = 2 << 20,
};

int mr_memory_make(const char *name, uint64_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int mr_memory_reader(int fd)
{
	char path[32];
	int reader;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	return reader < 0 ? -errno : reader;
}

static int open_mailbox(struct mr_daemon *d, struct mr_link *l)
{
	struct mr_mailbox_header *h;

	l->mailbox = mr_memory_make("mr-mailbox", MR_MAILBOX_BYTES(l->n_queues));
	if (l->mailbox < 0)
		return mr_fail(d, l->mailbox, "%s: no memory for mailboxes: %s", l->name,
			       strerror(-l->mailbox));
	h = mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED, l->mailbox, 0);
	if (h == MAP_FAILED)
		return mr_fail(d, -errno, "%s: mailbox: %s", l->name, strerror(errno));
	h->n_lanes = l->n_queues;
	munmap(h, sizeof(*h));
	return 0;
}

static int open_paths(struct mr_daemon *d, struct mr_link *l)
{
	struct mr_path_table *t;

	l->paths = mr_memory_make("mr-paths", sizeof(struct mr_path_table));
	l->paths_reader = l->paths < 0 ? l->paths : mr_memory_reader(l->paths);
	if (l->paths_reader < 0)
		return mr_fail(d, l->paths_reader, "%s: no memory for paths: %s", l->name,
			       strerror(-l->paths_reader));
	t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED, l->paths, 0);
	if (t == MAP_FAILED)
		return mr_fail(d, -errno, "%s: paths: %s", l->name, strerror(errno));
	t->link_up = l->up;
	t->mtu = l->lane_mtu;
	memcpy(t->mac, l->mac, sizeof(t->mac));
	l->path_table = t;
	return 0;
}

static int open_link(struct mr_daemon *d, struct mr_link *l)
{
	int err;

	if (d->adopting)
		return mr_estate_link(d, l);
	err = open_mailbox(d, l);
	return err ? err : open_paths(d, l);
}

static struct mr_arena_sizes arena_sizes(const struct mr_daemon *d, const struct mr_link *k)
{
	const struct mr_settings_lanes *s = &d->settings.lanes;

	return (struct mr_arena_sizes){
		.frames = s->frames,
		.frame_bytes = k->frame_bytes,
		.conns = s->connections,
		.half_open = s->half_open,
		.time_wait = s->time_wait,
		.sessions = s->connections, /* touched only when used */
		.message_bytes = s->message_bytes,
	};
}

static uint32_t clamp(uint32_t v, uint32_t lo, uint32_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

static void size_rings(const struct mr_daemon *d, struct mr_xsk_sizes *r)
{
	uint32_t quarter = clamp(d->settings.lanes.frames / 4, RING_LEAST, RING_MOST);

	*r = (struct mr_xsk_sizes){
		.rx = quarter, .tx = quarter, .completion = quarter, .fill = 2 * quarter
	};
}

static int open_arena(struct mr_daemon *d, struct mr_lane *l)
{
	const struct mr_link *k = mr_lane_link(d, l);
	struct mr_arena_sizes sizes = arena_sizes(d, k);
	struct mr_arena a;
	char name[64];
	int err;

	snprintf(name, sizeof(name), "mr-arena-%s-%u", k->name, l->index);
	err = mr_arena_create(name, &sizes, d->settings.lanes.huge_pages, &l->arena, &l->huge);
	if (!err)
		err = mr_arena_map(&a, l->arena, true);
	if (err)
		return mr_fail(d, err,
			       "%s queue %u: no memory for the arena: %s; make lanes smaller",
			       k->name, l->index, strerror(-err));
	memcpy(&l->layout, a.base, sizeof(l->layout));
	l->arena_reader = mr_memory_reader(l->arena);
	size_rings(d, &l->rings);
	err = l->arena_reader < 0
		      ? l->arena_reader
		      : mr_socket_open(d, l, a.base + l->layout.area[MR_AREA_FRAMES].offset);
	/* The kernel keeps the pages of the UMEM; the parent has no use for the bytes. */
	mr_arena_unmap(&a);
	return err;
}

static uint32_t count_prefixes(const struct mr_settings *s)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < s->n_rules; i++)
		n += s->rules[i].match.source.n + s->rules[i].match.destination.n;
	return n;
}

static void describe(const struct mr_daemon *d, const struct mr_lane *l, struct mr_lane_config *c)
{
	const struct mr_settings *s = &d->settings;
	const struct mr_link *k = mr_lane_link(d, l);

	*c = (struct mr_lane_config){
		.version = MR_WORKER_VERSION,
		.n_rules = s->n_rules,
		.isn_secret = { d->isn_secret[0], d->isn_secret[1] },
		.hash_secret = { d->hash_secret[0], d->hash_secret[1] },
		.port_lo = l->port_lo,
		.port_hi = l->port_hi,
		.mtu = k->lane_mtu,
		.nagle = s->tcp.nagle,
		.receive_buffer = s->lanes.receive_buffer,
		.send_buffer = s->lanes.send_buffer,
		.busy_poll_us = s->lanes.busy_poll_us,
		.coalesce_us = s->lanes.coalesce_us,
		.user_timeout_ms = s->tcp.user_timeout_ms,
		.time_wait_ms = s->tcp.time_wait_ms,
		.fin_wait_ms = s->tcp.fin_wait_ms,
		.delayed_ack_ms = s->tcp.delayed_ack_ms,
		.mtu_probing = s->tcp.mtu_probing,
		.beat_ms = s->stale_ms * 2 / 5,
		.keepalive = s->tcp.keepalive,
		.open = s->tcp.open,
		.rss = k->rss,
		.queue = l->index,
		.cpu = l->cpu,
		.n_prefixes = count_prefixes(s),
		.rules_serial = d->rules_serial,
	};
	if (c->open.syn_answers == MR_SYN_ANSWERS_AUTO)
		c->open.syn_answers = k->is_veth ? MR_SYN_ANSWERS_OFF : MR_SYN_ANSWERS_ON;
	c->open.fast_open_secret[0] = d->fast_open_secret[0];
	c->open.fast_open_secret[1] = d->fast_open_secret[1];
	memcpy(c->mac, k->mac, sizeof(c->mac));
}

static int compare_places(const void *a, const void *b)
{
	const struct mr_settings_rule *p = *(const struct mr_settings_rule *const *)a;
	const struct mr_settings_rule *q = *(const struct mr_settings_rule *const *)b;
	int c = mr_match_compare(&p->match, &q->match);

	return c ? c : (p > q) - (p < q);
}

/* The place of each rule among those that steer, by its number; the caller's to free, or NULL. */
static uint16_t *places(const struct mr_settings *s)
{
	const struct mr_settings_rule **order = calloc(s->n_rules + 1, sizeof(*order));
	uint16_t *place = calloc(s->n_rules + 1, sizeof(*place));

	if (!order || !place) {
		free(order);
		free(place);
		return NULL;
	}
	for (unsigned int i = 0; i < s->n_rules; i++)
		order[i] = &s->rules[i];
	qsort(order, s->n_rules, sizeof(*order), compare_places);
	for (unsigned int i = 0; i < s->n_rules; i++)
		place[order[i] - s->rules] = (uint16_t)i;
	free(order);
	return place;
}

static struct mr_lane_prefixes locate(const struct mr_prefixes *s, uint32_t *at)
{
	struct mr_lane_prefixes p = { .first = *at, .n = s->n, .given = s->given };

	*at += s->n;
	return p;
}

static bool write_whole(int fd, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	while (bytes) {
		ssize_t n = write(fd, p, bytes);

		if (n <= 0)
			return false;
		p += n;
		bytes -= (size_t)n;
	}
	return true;
}

/* Rules, then their prefixes, as struct mr_lane_config has it. */
static bool write_rules(const struct mr_daemon *d, const struct mr_lane *l, int fd)
{
	const struct mr_settings *s = &d->settings;
	const char *name = mr_lane_link(d, l)->name;
	uint16_t *place = places(s);
	bool ok = place != NULL;
	uint32_t at = 0;

	for (unsigned int i = 0; ok && i < s->n_rules; i++) {
		const struct mr_match *m = &s->rules[i].match;
		struct mr_lane_rule r = s->rules[i].lane;

		r.place = place[i];
		r.elsewhere = m->interface[0] && strcmp(m->interface, name);
		r.source = locate(&m->source, &at);
		r.destination = locate(&m->destination, &at);
		ok = write_whole(fd, &r, sizeof(r));
	}
	for (unsigned int i = 0; ok && i < s->n_rules; i++) {
		const struct mr_match *m = &s->rules[i].match;

		ok = write_whole(fd, m->source.list, m->source.n * sizeof(*m->source.list)) &&
		     write_whole(fd, m->destination.list,
				 m->destination.n * sizeof(*m->destination.list));
	}
	free(place);
	return ok;
}

int mr_lane_describe(const struct mr_daemon *d, const struct mr_lane *l)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	struct mr_lane_config c;
	int fd = memfd_create("mr-config", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	if (fd < 0)
		return -errno;
	describe(d, l, &c);
	if (write_whole(fd, &c, sizeof(c)) && write_rules(d, l, fd) &&
	    fcntl(fd, F_ADD_SEALS, seals) == 0)
		return fd;
	err = errno ? -errno : -ENOMEM;
	close(fd);
	return err;
}

int mr_lane_configure(struct mr_daemon *d, struct mr_lane *l)
{
	int fd = mr_lane_describe(d, l);

	if (fd < 0)
		return mr_fail(d, fd, "lane configuration: %s", strerror(-fd));
	mr_close_fd(&l->config);
	l->config = fd;
	return 0;
}

static int open_capture(struct mr_daemon *d, struct mr_lane *l)
{
	const char *directory = d->settings.lanes.capture_directory;
	char path[192];

	if (!directory)
		return 0;
	snprintf(path, sizeof(path), "%s/lane-%s-%u.pcapng", directory, mr_lane_link(d, l)->name,
		 l->index);
	l->capture = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (l->capture < 0)
		return mr_fail(d, -errno, "%s: cannot be written: %s", path, strerror(errno));
	return 0;
}

/* Of an absent one the others know the doorbell: they need no word when it comes. */
static int open_lane(struct mr_daemon *d, struct mr_lane *l)
{
	int err = 0;

	if (d->adopting)
		return mr_estate_lane(d, l);
	if (!l->absent)
		err = open_arena(d, l);
	if (!err && !l->absent)
		err = mr_lane_configure(d, l);
	if (!err && !l->absent)
		err = open_capture(d, l);
	if (err)
		return err;
	l->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->doorbell < 0)
		return mr_fail(d, -errno, "doorbell: %s", strerror(errno));
	return 0;
}

/* An even part of the interface's range for each lane that it has now. */
static void share_ports(const struct mr_daemon *d, const struct mr_link *k, struct mr_lane *l)
{
	const struct mr_settings_lanes *s = &d->settings.lanes;
	uint32_t n = s->port_hi ? (uint32_t)(s->port_hi - s->port_lo + 1) : 0;
	uint32_t lanes = k->queues < k->n_queues ? k->queues : k->n_queues;
	uint32_t first = n * l->index / lanes, end = n * (l->index + 1) / lanes;

	if (first == end || l->absent || k->bond_ifindex)
		return;
	l->port_lo = (uint16_t)(s->port_lo + first);
	l->port_hi = (uint16_t)(s->port_lo + end - 1);
}

/* Those whose queue comes later get none: the others have connections from all of them. */
static void share_all_ports(struct mr_daemon *d)
{
	for (uint32_t i = 0; i < d->n_lanes; i++) {
		struct mr_lane *l = &d->lanes[i];
		const struct mr_link *k = mr_lane_link(d, l);

		share_ports(d, k, l);
		if (d->settings.lanes.port_hi && !l->port_hi && !l->absent && !k->bond_ifindex)
			mr_warn("%s queue %u: lanes.ports leaves it no port; it opens no "
				"connections",
				k->name, l->index);
	}
}

static void prepare(struct mr_daemon *d, uint32_t link, uint32_t queue, uint32_t n)
{
	const struct mr_settings_lanes *s = &d->settings.lanes;
	struct mr_lane *l = &d->lanes[n];

	*l = (struct mr_lane){
		.link = link,
		.index = queue,
		.slot = n,
		.cpu = -1,
		.arena = -1,
		.arena_reader = -1,
		.xsk = -1,
		.go = -1,
		.config = -1,
		.next_config = -1,
		.doorbell = -1,
		.capture = -1,
		.socket = -1,
		.pidfd = -1,
	};
	if (s->n_cpus)
		l->cpu = (int32_t)s->cpus[n % s->n_cpus];
}

int mr_lanes_prepare(struct mr_daemon *d)
{
	uint32_t n = 0;

	d->lanes = calloc(d->n_lanes, sizeof(*d->lanes));
	if (!d->lanes)
		return mr_fail(d, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < d->n_links; i++)
		for (uint32_t q = 0; q < d->links[i].n_queues; q++)
			prepare(d, i, q, n++);
	if (d->adopting) /* the secrets that the lanes have */
		return 0;
	if (getrandom(d->isn_secret, sizeof(d->isn_secret), 0) != sizeof(d->isn_secret) ||
	    getrandom(d->hash_secret, sizeof(d->hash_secret), 0) != sizeof(d->hash_secret) ||
	    getrandom(d->fast_open_secret, sizeof(d->fast_open_secret), 0) !=
		    sizeof(d->fast_open_secret))
		return mr_fail(d, -errno, "random secrets: %s", strerror(errno));
	return 0;
}

/* Directories of applications: made for the lanes' user where they are missing. */
static int open_directories(struct mr_daemon *d)
{
	for (unsigned int i = 0; i < d->settings.n_directories; i++) {
		const char *path = d->settings.directories[i];
		bool made = mkdir(path, 0750) == 0;

		if (!made && errno != EEXIST)
			return mr_fail(d, -errno, "directory %s: cannot be made: %s", path,
				       strerror(errno));
		d->directories[i] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (d->directories[i] < 0)
			return mr_fail(d, -errno, "directory %s: %s", path, strerror(errno));
		if (made && fchown(d->directories[i], d->settings.uid, d->settings.gid) < 0)
			return mr_fail(d, -errno, "directory %s: cannot be given to user %s: %s",
				       path, d->settings.user, strerror(errno));
	}
	return 0;
}

int mr_lanes_open(struct mr_daemon *d)
{
	int err = open_directories(d);

	for (uint32_t i = 0; !err && i < d->n_links; i++)
		err = open_link(d, &d->links[i]);
	for (uint32_t i = 0; !err && !d->adopting && i < d->n_links; i++)
		mr_queues_settle(d, &d->links[i]);
	if (!d->adopting)
		share_all_ports(d);
	for (uint32_t i = 0; !err && i < d->n_lanes; i++)
		err = open_lane(d, &d->lanes[i]);
	if (d->adopting)
		mr_sockets_look(d);
	for (uint32_t i = 0; !err && d->adopting && i < d->n_links; i++)
		mr_queues_look(d, &d->links[i]); /* they may have changed while nobody looked */
	return err;
}

int mr_lanes_add(struct mr_daemon *d, struct mr_link *l)
{
	uint32_t n = d->n_lanes + l->n_queues;
	struct mr_lane *lanes = realloc(d->lanes, n * sizeof(*lanes));
	int err;

	if (!lanes)
		return mr_fail(d, -ENOMEM, "out of memory");
	d->lanes = lanes;
	err = open_mailbox(d, l);
	if (!err)
		err = open_paths(d, l);
	if (err)
		return err;
	for (uint32_t q = 0; q < l->n_queues; q++) {
		struct mr_lane *lane = &d->lanes[d->n_lanes + q];

		prepare(d, (uint32_t)(l - d->links), q, d->n_lanes + q);
		lane->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (lane->doorbell < 0)
			return mr_fail(d, -errno, "doorbell: %s", strerror(errno));
	}
	d->n_lanes = n;
	return 0;
}

int mr_lane_reopen(struct mr_daemon *d, struct mr_lane *l)
{
	int err;

	mr_close_fd(&l->xsk);
	mr_close_fd(&l->arena);
	mr_close_fd(&l->arena_reader);
	mr_close_fd(&l->config);
	l->drained = false;
	err = open_arena(d, l);
	if (!err)
		err = mr_lane_configure(d, l);
	if (!err && l->capture < 0)
		err = open_capture(d, l);
	if (!err)
		mr_estate_lane_made(d, l);
	return err;
}

void mr_lane_header_restore(const struct mr_lane *l)
{
	size_t bytes = l->huge ? HUGE_PAGE : sizeof(struct mr_arena_header);
	struct mr_arena_header *h =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, l->arena, 0);
	uint32_t conns_used;

	if (h == MAP_FAILED) {
		mr_warn("lane in slot %u: its arena cannot be mapped: %s", l->slot,
			strerror(errno));
		return;
	}
	conns_used = h->conns_used; /* their peers are reset; the worker checks it */
	*h = l->layout;
	h->epoch = l->epoch;
	h->conns_used = conns_used;
	munmap(h, bytes);
}

/* The rings that held them are no more, and no index of theirs says what was handed over. */
static void forget_held(const struct mr_lane *l, const struct mr_arena *a)
{
	const struct mr_arena_area_record *area = &l->layout.area[MR_AREA_FRAME_RECORDS];
	struct mr_frame *r = (struct mr_frame *)(void *)(a->base + area->offset);
	struct mr_hand *h =
		(struct mr_hand *)(void *)(a->base + l->layout.area[MR_AREA_HAND].offset);

	h->n_out = 0;
	for (uint32_t i = 0; i < area->count; i++) {
		r[i].in_tx = 0;
		if (r[i].state == MR_FRAME_FILL)
			r[i].state = MR_FRAME_CTL; /* in nobody's hands: the next worker frees it */
	}
}

int mr_lane_rebind(struct mr_daemon *d, struct mr_lane *l)
{
	struct mr_arena a = { .base = MAP_FAILED };
	int old = -1, err;

	/* It leaves mr1_xsk when the new one stands there: to an empty place the kernel would
	 * answer what comes meanwhile, by RST. */
	if (mr_socket_is_spent(d, l))
		old = l->xsk;
	else
		mr_close_fd(&l->xsk);
	a.base = mmap(NULL, l->layout.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, l->arena, 0);
	if (a.base == MAP_FAILED)
		return mr_fail(d, -errno, "%s queue %u: arena: %s", mr_lane_link(d, l)->name,
			       l->index, strerror(errno));
	err = mr_socket_open(d, l, a.base + l->layout.area[MR_AREA_FRAMES].offset);
	if (!err)
		forget_held(l, &a);
	munmap(a.base, l->layout.total_bytes);
	if (err) {
		l->xsk = old;
		l->spoilt = old >= 0;
		return err;
	}
	mr_close_fd(&old);
	l->drained = false;
	mr_estate_lane_made(d, l);
	return 0;
}

static void close_lane(struct mr_lane *l)
{
	mr_close_fd(&l->xsk);
	mr_close_fd(&l->go);
	mr_close_fd(&l->arena);
	mr_close_fd(&l->arena_reader);
	mr_close_fd(&l->config);
	mr_close_fd(&l->next_config);
	mr_close_fd(&l->capture);
	mr_close_fd(&l->doorbell);
	mr_close_fd(&l->socket);
	mr_close_fd(&l->pidfd);
}

void mr_lanes_close(struct mr_daemon *d)
{
	for (uint32_t i = 0; d->lanes && i < d->n_lanes; i++)
		close_lane(&d->lanes[i]);
	for (uint32_t i = 0; i < d->n_links; i++) {
		struct mr_link *l = &d->links[i];

		mr_close_fd(&l->mailbox);
		mr_close_fd(&l->paths);
		mr_close_fd(&l->paths_reader);
		if (l->path_table)
			munmap(l->path_table, sizeof(*l->path_table));
		l->path_table = NULL;
	}
	for (unsigned int i = 0; i < MR_MAX_DIRECTORIES; i++)
		mr_close_fd(&d->directories[i]);
}
