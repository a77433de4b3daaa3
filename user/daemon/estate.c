/* SPDX-License-Identifier: MIT */
#include "user/daemon/estate.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/daemon/bpf.h"
#include "user/daemon/estate_record.h"
#include "user/daemon/keeper_run.h"
#include "user/daemon/lanes.h"
#include "user/daemon/links.h"
#include "user/daemon/log.h"
#include "user/daemon/ports.h"
#include "user/daemon/rule_change.h"
#include "user/daemon/run_directory.h"
#include "user/daemon/service.h"

/* ----- what lanes are made of ----- */

static uint64_t mixed(uint64_t hash, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ p[i]) * 0x100000001b3; /* FNV-1a */
	return hash;
}

/* Settings that a lane cannot follow while it runs, as one number to compare. */
static uint64_t made_of(const struct mr_settings *s)
{
	const struct mr_settings_lanes *l = &s->lanes;
	const uint64_t lanes[] = { l->frames,	 l->frame_bytes, l->huge_pages,	  l->connections,
				   l->half_open, l->time_wait,	 l->message_bytes };
	uint64_t hash = mixed(0xcbf29ce484222325, lanes, sizeof(lanes));

	for (unsigned int i = 0; i < s->n_interfaces; i++) {
		const uint64_t how[] = { s->interfaces[i].mode, s->interfaces[i].bind };

		hash = mixed(hash, how, sizeof(how));
	}
	if (s->user)
		hash = mixed(hash, s->user, strlen(s->user));
	return mixed(hash, s->pin_directory, strlen(s->pin_directory));
}

/* ----- what is held ----- */

int mr_estate_take(struct mr_daemon *d, const char *name)
{
	for (int i = 0; i < d->n_held; i++)
		if (!strcmp(d->held[i].name, name)) {
			int fd = d->held[i].fd;

			d->held[i].fd = -1;
			return fd;
		}
	return -1;
}

static const char *name_of(char name[MR_HELD_NAME], const char *what, uint32_t number,
			   const char *part)
{
	snprintf(name, MR_HELD_NAME, "%.8s%u.%.16s", what, number, part);
	return name;
}

static int take_of(struct mr_daemon *d, const char *what, uint32_t number, const char *part)
{
	char name[MR_HELD_NAME];

	return mr_estate_take(d, name_of(name, what, number, part));
}

static void let_go(struct mr_daemon *d)
{
	for (int i = 0; i < d->n_held; i++)
		mr_close_fd(&d->held[i].fd);
	free(d->held);
	d->held = NULL;
	d->n_held = 0;
}

/* Nothing of it is of use: the lanes are ended as those of which nothing is held. */
static void drop(struct mr_daemon *d)
{
	let_go(d);
	mr_keeper_end(d->keeper);
	d->keeper = -1;
	mr_service_forget();
	if (d->record)
		munmap(d->record, sizeof(*d->record));
	d->record = NULL;
	mr_close_fd(&d->record_fd);
	d->adopting = false;
}

static int open_record(struct mr_daemon *d)
{
	const struct mr_estate_record *r;
	struct stat st;

	d->record_fd = mr_estate_take(d, "record");
	if (d->record_fd < 0 || fstat(d->record_fd, &st) < 0 ||
	    st.st_size < (off_t)MR_ESTATE_HEAD_BYTES)
		return -ENOENT;
	r = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, d->record_fd, 0);
	if (r == MAP_FAILED)
		return -errno;
	if (r->magic == MR_ESTATE_MAGIC && r->version == MR_ESTATE_VERSION &&
	    r->bytes == sizeof(*r) && st.st_size == (off_t)sizeof(*r) && r->current < 2) {
		d->record = (struct mr_estate_record *)r;
		return 0;
	}
	munmap((void *)r, (size_t)st.st_size);
	return -EPROTO;
}

/* Also of a record whose layout is another one. */
static bool was_handed_over(int record_fd)
{
	uint32_t word;

	return pread(record_fd, &word, sizeof(word),
		     offsetof(struct mr_estate_record, handed_over)) == sizeof(word) &&
	       word == MR_ESTATE_HANDED_OVER;
}

static int fetch(struct mr_daemon *d)
{
	int n;

	d->held = calloc(MR_HELD_MOST, sizeof(*d->held));
	if (!d->held)
		return -ENOMEM;
	d->keeper = mr_keeper_connect(d->settings.run_directory);
	n = d->keeper < 0 ? d->keeper : mr_keeper_fetch(d->keeper, d->held);
	if (n == -ETIMEDOUT)
		return n;
	if (n < 0) {
		mr_keeper_kill(d->keeper);
		mr_close_fd(&d->keeper);
	}
	if (n <= 0)
		n = mr_service_held(d->held);
	else
		mr_service_held(NULL); /* the same once more: a queue would never be given back */
	d->n_held = n;
	return n;
}

int mr_estate_find(struct mr_daemon *d)
{
	int n = fetch(d), err = 0;

	if (n == -ENOMEM)
		return mr_fail(d, n, "out of memory");
	if (n > 0 && !d->fresh) {
		err = open_record(d);
		d->handed_over = was_handed_over(d->record_fd);
	}
	if (err == -EPROTO && d->handed_over) {
		mr_info("lanes of another version of millraced run; they are ended");
		err = -ENOENT;
	}
	/* Not to be taken up now, and not to be ended either. */
	d->adopting = !d->fresh && (n == -ETIMEDOUT || (n > 0 && (!err || err == -EPROTO)));
	if (!d->adopting)
		drop(d);
	else if (n == -ETIMEDOUT)
		return mr_fail(d, n,
			       "%s/keeper: the process that holds the lanes' descriptors does not "
			       "answer; was it stopped? pkill -CONT -x " MR_KEEPER_NAME
			       ", or end the lanes with millraced --fresh",
			       d->settings.run_directory);
	else if (err)
		return mr_fail(d, err,
			       "%s: lanes run that a millraced of another version started; start "
			       "that one again, or end them with millraced --fresh",
			       d->settings.run_directory);
	return 0;
}

/* ----- is it ours to take up? ----- */

static const struct mr_estate_body *body_of(const struct mr_daemon *d)
{
	return &d->record->body[d->record->current];
}

static bool is_there(const struct mr_daemon *d, const struct mr_estate_lane *e)
{
	for (uint32_t i = 0; i < d->n_links; i++)
		if (!strcmp(d->links[i].name, e->name))
			return d->links[i].ifindex == e->ifindex;
	return true; /* not the interface is missing, the configuration has it no more */
}

/* The lane that the configuration has in this slot; lanes are numbered by it. */
static bool is_same(const struct mr_daemon *d, uint32_t slot, const struct mr_estate_lane *e)
{
	for (uint32_t i = 0; i < d->n_links; i++) {
		const struct mr_link *l = &d->links[i];

		if (slot >= l->slot_base && slot < l->slot_base + l->n_queues)
			return !strcmp(l->name, e->name) && e->index == slot - l->slot_base;
	}
	return false;
}

static int other_lanes(struct mr_daemon *d, const struct mr_estate_lane *e)
{
	return mr_fail(
		d, -EINVAL,
		"%s queue %u: a lane runs there that the configuration has not, or elsewhere; "
		"start with the interfaces and queues it was started with, or end it with "
		"millraced --fresh",
		e->name, e->index);
}

/* A restart that was asked for: what the configuration says now is what is wanted. */
static bool is_changed(const struct mr_daemon *d, const struct mr_estate_body *b)
{
	if (b->n_lanes != d->n_lanes || b->made_of != made_of(&d->settings))
		return true;
	for (uint32_t i = 0; i < b->n_lanes; i++)
		if (!is_same(d, i, &b->lane[i]))
			return true;
	return false;
}

int mr_estate_check(struct mr_daemon *d)
{
	const struct mr_estate_body *b;

	d->made_of = made_of(&d->settings);
	if (!d->adopting)
		return 0;
	b = body_of(d);
	if (d->handed_over && is_changed(d, b)) {
		mr_info("interfaces, queues or sizes of lanes have changed; lanes are ended and "
			"made "
			"anew");
		drop(d);
		return 0;
	}
	d->made_of = b->made_of;
	for (uint32_t i = 0; i < b->n_lanes; i++)
		if (!is_there(d, &b->lane[i])) {
			mr_warn("%s: is another interface than that of the lanes that run; they "
				"are ended",
				b->lane[i].name);
			drop(d);
			return 0;
		}
	for (uint32_t i = 0; i < b->n_lanes; i++)
		if (!is_same(d, i, &b->lane[i]))
			return other_lanes(d, &b->lane[i]);
	if (b->n_lanes != d->n_lanes)
		return mr_fail(d, -EINVAL,
			       "%u lanes run, the configuration has %u; start with the interfaces "
			       "and queues they were started with, or end them with millraced "
			       "--fresh",
			       b->n_lanes, d->n_lanes);
	for (uint32_t i = 0; i < d->n_links; i++) {
		struct mr_link *l = &d->links[i];

		mr_links_fit(l, b->lane[l->first_lane].frame_bytes);
		l->queues = b->lane[l->first_lane].queues;
		l->former_program = take_of(d, "link", i, "former");
		l->former_native = b->former_native[i];
	}
	memcpy(d->isn_secret, b->isn_secret, sizeof(d->isn_secret));
	memcpy(d->hash_secret, b->hash_secret, sizeof(d->hash_secret));
	memcpy(d->fast_open_secret, b->fast_open_secret, sizeof(d->fast_open_secret));
	d->worker_log[0] = mr_estate_take(d, "log.read");
	d->worker_log[1] = mr_estate_take(d, "log.write");
	return 0;
}

/* ----- taking it up ----- */

int mr_estate_maps(struct mr_daemon *d)
{
	if (!d->adopting || d->bpf.former_beats == body_of(d)->beats)
		return 0;
	return mr_fail(d, -ENOENT,
		       "pin_directory %s: the maps of the lanes that run are not there; end them "
		       "with millraced --fresh",
		       d->settings.pin_directory);
}

int mr_estate_link(struct mr_daemon *d, struct mr_link *l)
{
	uint32_t i = (uint32_t)(l - d->links);
	void *table;

	l->mailbox = take_of(d, "link", i, "mailbox");
	l->paths = take_of(d, "link", i, "paths");
	l->paths_reader = l->paths < 0 ? -1 : mr_memory_reader(l->paths);
	if (l->mailbox < 0 || l->paths_reader < 0)
		return mr_fail(d, -ENOENT,
			       "%s: memory of the lanes that run is missing; end them with "
			       "millraced --fresh",
			       l->name);
	table = mmap(NULL, sizeof(*l->path_table), PROT_READ | PROT_WRITE, MAP_SHARED, l->paths, 0);
	if (table == MAP_FAILED)
		return mr_fail(d, -errno, "%s: paths: %s", l->name, strerror(errno));
	l->path_table = table;
	return 0;
}

static bool is_xdp_socket(int fd)
{
	socklen_t len = sizeof(int);
	int domain = 0;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_XDP;
}

static bool has_bytes(int fd, uint64_t bytes)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (uint64_t)st.st_size == bytes;
}

/* A worker whose pidfd we have not cannot be told from another process: it is none. */
static void take_worker(struct mr_daemon *d, struct mr_lane *l, const struct mr_estate_lane *e)
{
	l->socket = take_of(d, "lane", l->slot, "socket");
	l->pidfd = take_of(d, "lane", l->slot, "pidfd");
	if (e->pid > 0 && l->pidfd >= 0 && l->socket >= 0) {
		l->pid = e->pid;
		l->adopted = true;
		return;
	}
	mr_close_fd(&l->socket);
	mr_close_fd(&l->pidfd);
}

static void *map_config(int fd, size_t *bytes)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct mr_lane_config))
		return MAP_FAILED;
	*bytes = (size_t)st.st_size;
	p = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	return p;
}

/* Connections know rules by their number: rules may only have come behind them. */
static bool has_other_rules(const struct mr_lane_config *o, const struct mr_lane_config *n)
{
	const struct mr_lane_rule *was = (const struct mr_lane_rule *)(o + 1);
	const struct mr_lane_rule *is = (const struct mr_lane_rule *)(n + 1);

	if (o->n_rules > n->n_rules)
		return true;
	for (uint32_t i = 0; i < o->n_rules; i++)
		if (was[i].state != MR_RULE_FREE &&
		    (is[i].state == MR_RULE_FREE || !mr_rule_serves_alike(&was[i], &is[i])))
			return true;
	return false;
}

/* Its worker runs with the old one: is that the same but for what a lane follows by itself? */
static void compare_configs(struct mr_lane *l, int old_fd, int new_fd)
{
	size_t old_bytes = 0, new_bytes = 0;
	struct mr_lane_config *o = map_config(old_fd, &old_bytes);
	const struct mr_lane_config *n = map_config(new_fd, &new_bytes);

	l->outdated = l->other_rules = true;
	if (o != MAP_FAILED && n != MAP_FAILED &&
	    old_bytes >= sizeof(*o) + (uint64_t)o->n_rules * sizeof(struct mr_lane_rule)) {
		l->other_rules = has_other_rules(o, n);
		o->mtu = n->mtu;
		o->rss = n->rss;
		memcpy(o->mac, n->mac, sizeof(o->mac));
		o->n_rules = n->n_rules; /* the rules it is told of */
		o->n_prefixes = n->n_prefixes;
		o->rules_serial = n->rules_serial;
		l->outdated = l->other_rules || memcmp(o, n, sizeof(*n)) != 0;
	}
	if (o != MAP_FAILED)
		munmap(o, old_bytes);
	if (n != MAP_FAILED)
		munmap((void *)n, new_bytes);
}

/* The configuration may have changed since: its worker knows the old one. */
static int take_config(struct mr_daemon *d, struct mr_lane *l)
{
	int held = take_of(d, "lane", l->slot, "config"), err = mr_lane_configure(d, l);

	if (!err)
		compare_configs(l, held, l->config);
	/* a restart that was asked for puts the installed worker in place, too */
	l->outdated |= d->handed_over;
	mr_close_fd(&held);
	return err;
}

/* What says nothing of descriptors. */
static void take_facts(struct mr_lane *l, const struct mr_estate_lane *e)
{
	l->layout = e->layout;
	l->rings = e->rings;
	l->zero_copy = e->zero_copy;
	l->huge = e->huge;
	l->epoch = e->epoch;
	l->restarts = e->restarts;
	l->has_exited = e->has_exited;
	l->last_status = e->last_status;
	l->absent = e->absent;
	l->drain = e->drain;
	l->drain_until_ns = e->drain_until_ns;
	l->drained = e->drained;
	l->bound = e->bound;
	l->port_lo = e->port_lo;
	l->port_hi = e->port_hi;
	memcpy(l->bind_why, e->bind_why, sizeof(l->bind_why));
}

int mr_estate_lane(struct mr_daemon *d, struct mr_lane *l)
{
	const struct mr_estate_lane *e = &body_of(d)->lane[l->slot];
	int err;

	l->arena = take_of(d, "lane", l->slot, "arena");
	l->xsk = take_of(d, "lane", l->slot, "xsk");
	l->doorbell = take_of(d, "lane", l->slot, "doorbell");
	l->capture = take_of(d, "lane", l->slot, "capture");
	take_facts(l, e);
	if (!is_xdp_socket(l->xsk))
		mr_close_fd(&l->xsk);
	if (l->absent)
		mr_close_fd(&l->arena);
	if (l->absent && l->doorbell >= 0)
		return 0;
	if (l->arena < 0 || l->doorbell < 0 || (l->xsk < 0 && !l->drained) ||
	    !has_bytes(l->arena, l->layout.total_bytes))
		return mr_fail(d, -ENOENT,
			       "%s queue %u: something of the lane that runs is missing; end it "
			       "with millraced --fresh",
			       e->name, e->index);
	l->arena_reader = mr_memory_reader(l->arena);
	if (l->arena_reader < 0)
		return mr_fail(d, l->arena_reader, "%s queue %u: arena: %s", e->name, e->index,
			       strerror(-l->arena_reader));
	take_worker(d, l, e);
	err = take_config(d, l);
	if (!err && mr_rules_tell(d, l))
		l->outdated = true;
	return err || l->drained ? err : mr_bpf_socket(d, l);
}

int mr_estate_program(struct mr_daemon *d, uint32_t id, char name[16])
{
	for (int i = 0; i < d->n_held; i++) {
		struct bpf_prog_info info = { 0 };
		uint32_t len = sizeof(info);

		if (strncmp(d->held[i].name, "program", 7) != 0 || d->held[i].fd < 0 ||
		    bpf_obj_get_info_by_fd(d->held[i].fd, &info, &len) < 0 || info.id != id)
			continue;
		memcpy(name, info.name, 16);
		name[15] = '\0';
		return fcntl(d->held[i].fd, F_DUPFD_CLOEXEC, 3);
	}
	return -1;
}

int mr_estate_rules(struct mr_daemon *d)
{
	struct mr_config config;
	uint32_t zero = 0, parity, id;
	uint8_t promises = d->bpf.generation.promises;

	if (!d->adopting)
		return 0;
	if (bpf_map_lookup_elem(d->bpf.map[MR_MAP_CFG], &zero, &config) < 0)
		return mr_fail(d, -errno, "mr1_cfg: cannot be read: %s", strerror(errno));
	d->bpf.generation = config.generation;
	d->bpf.generation.promises = promises;
	parity = config.generation.parity;
	if (bpf_map_lookup_elem(d->bpf.map[MR_MAP_RULES], &parity, &id) == 0)
		d->bpf.active = bpf_map_get_fd_by_id(id);
	/* Which slots have classes is not known; what is not there costs nothing to take away. */
	d->bpf.has_classes[0] = d->bpf.has_classes[1] = true;
	return 0;
}

int mr_estate_listeners(struct mr_daemon *d)
{
	if (!d->adopting)
		return 0;
	memcpy(d->dynamic, body_of(d)->dynamic, sizeof(d->dynamic));
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++) {
		struct mr_dynamic *y = &d->dynamic[i];

		if (!y->used)
			continue;
		y->reserved = mr_port_reserve(y->addr, y->port);
		y->rule_id = (uint16_t)(MR_DYNAMIC_FIRST + i);
		if (y->reserved < 0)
			mr_warn("port %u of an application: another program took it meanwhile: %s",
				y->port, strerror(-y->reserved));
	}
	return 0;
}

int mr_estate_guard(struct mr_daemon *d)
{
	return d->adopting ? mr_estate_take(d, "guard") : -1;
}

/* ----- leaving it ----- */

static void write_lane(const struct mr_daemon *d, const struct mr_lane *l, struct mr_estate_lane *e)
{
	const struct mr_link *k = mr_lane_link(d, l);

	*e = (struct mr_estate_lane){
		.ifindex = k->ifindex,
		.index = l->index,
		.frame_bytes = k->frame_bytes,
		.epoch = l->epoch,
		.restarts = l->restarts,
		.last_status = l->last_status,
		.pid = l->pid,
		.has_exited = l->has_exited,
		.huge = l->huge,
		.zero_copy = l->zero_copy,
		.absent = l->absent,
		.drain = l->drain,
		.drain_until_ns = l->drain_until_ns,
		.drained = l->drained,
		.bound = l->bound,
		.port_lo = l->port_lo,
		.port_hi = l->port_hi,
		.queues = k->queues,
		.rings = l->rings,
		.layout = l->layout,
	};
	snprintf(e->name, sizeof(e->name), "%s", k->name);
	memcpy(e->bind_why, l->bind_why, sizeof(e->bind_why));
}

static uint32_t beats_id(const struct mr_daemon *d)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(d->bpf.map[MR_MAP_BEAT], &info, &len) == 0 ? info.id : 0;
}

static void write_body(const struct mr_daemon *d, struct mr_estate_body *b)
{
	*b = (struct mr_estate_body){
		.n_lanes = d->n_lanes,
		.beats = beats_id(d),
		.made_of = d->made_of,
	};
	memcpy(b->isn_secret, d->isn_secret, sizeof(b->isn_secret));
	memcpy(b->hash_secret, d->hash_secret, sizeof(b->hash_secret));
	memcpy(b->fast_open_secret, d->fast_open_secret, sizeof(b->fast_open_secret));
	memcpy(b->dynamic, d->dynamic, sizeof(b->dynamic));
	for (uint32_t i = 0; i < d->n_links; i++)
		b->former_native[i] = d->links[i].former_native;
	for (uint32_t i = 0; i < d->n_lanes; i++)
		write_lane(d, &d->lanes[i], &b->lane[i]);
}

/* A SIGKILL in the middle leaves the body from before. */
void mr_estate_note(struct mr_daemon *d)
{
	struct mr_estate_record *r = d->record;

	if (!r)
		return;
	write_body(d, &r->body[!r->current]);
	/* Release: the body is whole when it counts; whoever reads comes after our end. */
	__atomic_store_n(&r->current, !r->current, __ATOMIC_RELEASE);
}

static int make_record(struct mr_daemon *d)
{
	void *p;

	d->record_fd = mr_memory_make("mr-estate", sizeof(*d->record));
	if (d->record_fd < 0)
		return d->record_fd;
	p = mmap(NULL, sizeof(*d->record), PROT_READ | PROT_WRITE, MAP_SHARED, d->record_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	d->record = p;
	d->record->magic = MR_ESTATE_MAGIC;
	d->record->version = MR_ESTATE_VERSION;
	d->record->bytes = sizeof(*d->record);
	return 0;
}

/* To the keeper, and to the service manager if there is one. */
static int keep(struct mr_daemon *d, const char *name, int fd)
{
	int err;

	if (fd < 0)
		return 0;
	mr_service_keep(name, fd);
	err = mr_keeper_put(d->keeper, name, fd);
	if (err) /* its end is read, and another takes its place */
		mr_keeper_kill(d->keeper);
	return err;
}

static int keep_of(struct mr_daemon *d, const char *what, uint32_t number, const char *part, int fd)
{
	char name[MR_HELD_NAME];

	return keep(d, name_of(name, what, number, part), fd);
}

static int keep_programs(struct mr_daemon *d)
{
	int err = keep(d, "program.xdp", d->bpf.program[MR_SECTION_XDP]);

	return err ? err : keep(d, "program.frags", d->bpf.program[MR_SECTION_FRAGS]);
}

static int keep_link(struct mr_daemon *d, uint32_t i)
{
	const struct mr_link *l = &d->links[i];
	int err = keep_of(d, "link", i, "mailbox", l->mailbox);

	if (!err)
		err = keep_of(d, "link", i, "paths", l->paths);
	return err ? err : keep_of(d, "link", i, "former", l->former_program);
}

static int keep_worker(struct mr_daemon *d, const struct mr_lane *l)
{
	int err = keep_of(d, "lane", l->slot, "socket", l->socket);

	return err ? err : keep_of(d, "lane", l->slot, "pidfd", l->pidfd);
}

/* What is closed must not live on in keeping: a descriptor that does no harm takes its place. */
static int instead(const struct mr_lane *l, int fd)
{
	return fd >= 0 ? fd : l->doorbell;
}

static int keep_lane(struct mr_daemon *d, const struct mr_lane *l)
{
	int err = keep_of(d, "lane", l->slot, "arena", instead(l, l->arena));

	if (!err)
		err = keep_of(d, "lane", l->slot, "xsk", instead(l, l->xsk));
	if (!err)
		err = keep_of(d, "lane", l->slot, "config", l->config);
	if (!err)
		err = keep_of(d, "lane", l->slot, "doorbell", l->doorbell);
	if (!err)
		err = keep_of(d, "lane", l->slot, "capture", l->capture);
	return err ? err : keep_worker(d, l);
}

/* The record last: without it the rest is nothing. */
static int keep_all(struct mr_daemon *d)
{
	int err = keep(d, "log.read", d->worker_log[0]);

	if (!err)
		err = keep(d, "log.write", d->worker_log[1]);
	if (!err)
		err = keep(d, "guard", d->guard_kept);
	if (!err)
		err = keep_programs(d);
	for (uint32_t i = 0; !err && i < d->n_links; i++)
		err = keep_link(d, i);
	if (!err)
		err = keep(d, MR_ESTATE_RULES, d->rules_kept);
	for (uint32_t i = 0; !err && i < d->n_lanes; i++)
		err = keep_lane(d, &d->lanes[i]);
	return err ? err : keep(d, "record", d->record_fd);
}

int mr_estate_deposit(struct mr_daemon *d)
{
	int err = d->record ? 0 : make_record(d);

	if (!err)
		d->record->handed_over = 0;
	let_go(d);
	if (!err && d->keeper < 0)
		d->keeper = mr_keeper_start(d->settings.run_directory);
	if (!err && d->keeper < 0)
		err = d->keeper;
	mr_estate_note(d);
	if (!err)
		err = keep_all(d);
	if (err) {
		mr_close_fd(&d->keeper);
		mr_warn("no keeper for the lanes' descriptors: %s; the lanes will not outlive this "
			"daemon",
			strerror(-err));
	}
	return 0;
}

void mr_estate_worker(struct mr_daemon *d, const struct mr_lane *l)
{
	bool was_kept = d->keeper >= 0;

	mr_estate_note(d);
	if (keep_worker(d, l) && was_kept)
		mr_estate_keeper_spoke(d);
}

static void keep_or_begin_again(struct mr_daemon *d, const char *name, int fd)
{
	if (d->keeper >= 0 && keep(d, name, fd))
		mr_estate_keeper_spoke(d);
}

void mr_estate_rules_kept(struct mr_daemon *d)
{
	keep_or_begin_again(d, MR_ESTATE_RULES, d->rules_kept);
}

void mr_estate_config(struct mr_daemon *d, const struct mr_lane *l)
{
	char name[MR_HELD_NAME];

	keep_or_begin_again(d, name_of(name, "lane", l->slot, "config"), l->config);
}

void mr_estate_lane_made(struct mr_daemon *d, const struct mr_lane *l)
{
	mr_estate_note(d);
	keep_lane(d, l);
}

void mr_estate_programs(struct mr_daemon *d)
{
	keep_programs(d);
}

void mr_estate_guard_keep(struct mr_daemon *d)
{
	keep(d, "guard", d->guard_kept);
}

void mr_estate_keeper_spoke(struct mr_daemon *d)
{
	mr_close_fd(&d->keeper);
	mr_warn("the keeper of the lanes' descriptors ended; another takes its place");
	mr_estate_deposit(d);
}

bool mr_estate_hand_over(struct mr_daemon *d)
{
	if (!d->handing_over)
		return false;
	if (!d->record || d->keeper < 0) {
		mr_warn("there is no keeper for the lanes' descriptors: lanes end with this "
			"daemon");
		return false;
	}
	mr_estate_note(d);
	d->record->handed_over = MR_ESTATE_HANDED_OVER;
	return true;
}

void mr_estate_end(struct mr_daemon *d)
{
	drop(d);
}
