/* SPDX-License-Identifier: MIT */
#include "user/daemon/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "user/daemon/adopt.h"
#include "user/daemon/attach.h"
#include "user/daemon/attach_way.h"
#include "user/daemon/bpf.h"
#include "user/daemon/log.h"

static const char *const names[MR_PROGRAM_SECTIONS] = { "mr_xdp", "mr_xdp_frags" };
static const char *const endings[MR_PROGRAM_SECTIONS] = { "xdp", "xdp_frags" };

/* A loaded build: descriptors, and what people see of it. */
struct build {
	int fd[MR_PROGRAM_SECTIONS];
	struct mr_program_facts facts;
};

static void close_both(int fd[MR_PROGRAM_SECTIONS])
{
	for (int i = 0; i < MR_PROGRAM_SECTIONS; i++)
		mr_close_fd(&fd[i]);
}

static void pin_path(const struct mr_daemon *d, const char *role, int section, char path[128])
{
	snprintf(path, 128, "%s/%s_%s", d->settings.pin_directory, role, endings[section]);
}

static void unpin(const struct mr_daemon *d, const char *role)
{
	char path[128];

	for (int i = 0; i < MR_PROGRAM_SECTIONS; i++) {
		pin_path(d, role, i, path);
		unlink(path);
	}
}

/* So that the way back is there for a daemon after us, too. */
static void pin(const struct mr_daemon *d, const char *role, const int fd[MR_PROGRAM_SECTIONS])
{
	char path[128];

	unpin(d, role);
	for (int i = 0; i < MR_PROGRAM_SECTIONS; i++) {
		pin_path(d, role, i, path);
		if (fd[i] >= 0 && bpf_obj_pin(fd[i], path) < 0)
			mr_warn("%s: cannot be pinned: %s", path, strerror(errno));
	}
}

static int describe(int fd, int section, struct mr_program_facts *f)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	f->there = true;
	f->id[section] = info.id;
	for (int i = 0; i < BPF_TAG_SIZE; i++)
		snprintf(f->tag[section] + 2 * i, 3, "%02x", info.tag[i]);
	return 0;
}

/* ----- the previous programs of a daemon before us ----- */

static bool uses_our_maps(const struct mr_daemon *d, int program)
{
	uint32_t ids[MR_PROGRAM_MAPS], len = sizeof(struct bpf_map_info);
	struct bpf_map_info info = { 0 };
	char name[16];
	int n = mr_program_maps(program, name, ids);

	if (bpf_obj_get_info_by_fd(d->bpf.map[MR_MAP_VERDICT], &info, &len) < 0)
		return false;
	for (int i = 0; i < n; i++)
		if (ids[i] == info.id)
			return true;
	return false;
}

static void find_previous(struct mr_daemon *d)
{
	struct mr_program_facts *f = &d->programs->previous;
	char path[128];
	bool good = true;

	for (int i = 0; i < MR_PROGRAM_SECTIONS; i++) {
		pin_path(d, "previous", i, path);
		d->bpf.previous[i] = bpf_obj_get(path);
		good = good && d->bpf.previous[i] >= 0 && uses_our_maps(d, d->bpf.previous[i]) &&
		       describe(d->bpf.previous[i], i, f) == 0;
	}
	if (good) {
		snprintf(f->path, sizeof(f->path), "pinned by a daemon before");
		return;
	}
	*f = (struct mr_program_facts){ 0 };
	close_both(d->bpf.previous);
	unpin(d, "previous");
}

/* ----- opening and closing ----- */

static int take_programs(const struct bpf_object *o, struct build *b, char *words, size_t room)
{
	int err = 0;

	for (int i = 0; i < MR_PROGRAM_SECTIONS; i++)
		b->fd[i] = -1;
	for (int i = 0; !err && i < MR_PROGRAM_SECTIONS; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(o, names[i]);

		b->fd[i] = p ? fcntl(bpf_program__fd(p), F_DUPFD_CLOEXEC, 3) : -1;
		err = b->fd[i] < 0 ? -EINVAL : describe(b->fd[i], i, &b->facts);
		if (err)
			snprintf(words, room, "has no program %s; install it again", names[i]);
	}
	if (err)
		close_both(b->fd);
	b->facts.loaded = time(NULL);
	return err;
}

int mr_programs_open(struct mr_daemon *d)
{
	struct build b = { .facts = { .major = MR_ABI_MAJOR, .minor = MR_ABI_MINOR } };
	char words[MR_WORDS];
	int err = take_programs(d->bpf.object, &b, words, sizeof(words));

	if (err)
		return mr_fail(d, err, "%s: %s", d->object_path, words);
	d->programs = mmap(NULL, sizeof(*d->programs), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (d->programs == MAP_FAILED) {
		d->programs = NULL;
		close_both(b.fd);
		return mr_fail(d, -ENOMEM, "out of memory");
	}
	memcpy(d->bpf.program, b.fd, sizeof(b.fd));
	snprintf(b.facts.path, sizeof(b.facts.path), "%s", d->object_path);
	d->programs->current = d->current = b.facts;
	find_previous(d);
	d->previous = d->programs->previous;
	pin(d, "program", d->bpf.program);
	return 0;
}

void mr_programs_close(struct mr_daemon *d)
{
	if (!d->programs)
		return;
	unpin(d, "program");
	unpin(d, "previous");
	close_both(d->bpf.program);
	close_both(d->bpf.previous);
	munmap(d->programs, sizeof(*d->programs));
	d->programs = NULL;
}

/* ----- loading another build ----- */

static bool is_same_layout(const struct bpf_map *a, const struct bpf_map *b)
{
	return bpf_map__type(a) == bpf_map__type(b) &&
	       bpf_map__key_size(a) == bpf_map__key_size(b) &&
	       bpf_map__value_size(a) == bpf_map__value_size(b) &&
	       bpf_map__max_entries(a) == bpf_map__max_entries(b) &&
	       bpf_map__map_flags(a) == bpf_map__map_flags(b);
}

static bool has_same_inner(const struct mr_daemon *d, struct bpf_map *m)
{
	const struct bpf_map *inner = bpf_map__inner_map(m);

	for (unsigned int i = 0; inner && i < MR_MAP_COUNT; i++) {
		const struct mr_inner *ours = &d->bpf.inner[i];

		if (!strcmp(mr_bpf_map_name((enum mr_map)i), bpf_map__name(m)))
			return (uint32_t)bpf_map__type(inner) == ours->type &&
			       bpf_map__key_size(inner) == ours->key_bytes &&
			       bpf_map__value_size(inner) == ours->value_bytes &&
			       bpf_map__map_flags(inner) == ours->flags;
	}
	return !inner;
}

/* Each map of the new object is one of ours, and each of ours is in it. */
static int share_maps(const struct mr_daemon *d, struct bpf_object *o, char *words, size_t room)
{
	unsigned int shared = 0;
	struct bpf_map *m;

	bpf_object__for_each_map(m, o)
	{
		const char *name = bpf_map__name(m);
		struct bpf_map *ours = bpf_object__find_map_by_name(d->bpf.object, name);

		if (!ours || !is_same_layout(ours, m) || !has_same_inner(d, m)) {
			snprintf(words, room,
				 "map %s is not as this millraced knows it; restart the millraced "
				 "of its release instead",
				 name);
			return -EPROTO;
		}
		bpf_map__set_pin_path(m, NULL);
		if (bpf_map__reuse_fd(m, bpf_map__fd(ours)) < 0) {
			snprintf(words, room, "map %s cannot be used: %s", name, strerror(errno));
			return -errno;
		}
		shared++;
	}
	if (shared == MR_MAP_COUNT)
		return 0;
	snprintf(words, room, "has %u of the %d maps; restart the millraced of its release instead",
		 shared, MR_MAP_COUNT);
	return -EPROTO;
}

static int load_object(struct mr_daemon *d, const struct mr_object_file *file, struct build *b,
		       char *words, size_t room)
{
	struct bpf_object *o = bpf_object__open_mem(file->bytes, file->len, NULL);
	int err;

	if (!o) {
		snprintf(words, room, "cannot be read: %s", mr_bpf_words());
		return -EINVAL;
	}
	err = share_maps(d, o, words, room);
	if (!err) {
		err = bpf_object__load(o);
		if (err)
			snprintf(words, room, "the kernel refuses to load it: %s (%.100s)",
				 strerror(-err), mr_bpf_words());
	}
	if (!err)
		err = take_programs(o, b, words, room);
	bpf_object__close(o);
	return err;
}

static int load_build(struct mr_daemon *d, const char *path, struct build *b, char *words,
		      size_t room)
{
	struct mr_object_file file;
	int err = mr_object_read(path, &file, words, room);
	char why[MR_WORDS];

	if (err)
		return err;
	b->facts.major = file.abi.major;
	b->facts.minor = file.abi.minor;
	snprintf(b->facts.path, sizeof(b->facts.path), "%s", path);
	mr_bpf_words();
	err = load_object(d, &file, b, why, sizeof(why));
	if (err)
		snprintf(words, room, "%.100s: %s", path, why);
	mr_object_free(&file);
	return err;
}

/* ----- the exchange ----- */

bool mr_programs_is_known(const struct mr_programs_shown *p, uint32_t id)
{
	for (int i = 0; i < MR_PROGRAM_SECTIONS; i++)
		if (p->current.id[i] == id || p->previous.id[i] == id)
			return true;
	return false;
}

/* The program that stands on @l; ours, or the operator's that was adopted. The caller's. */
static int standing_fd(const struct mr_daemon *d, const struct mr_link *l)
{
	if (l->program_id == d->current.id[l->section])
		return fcntl(d->bpf.program[l->section], F_DUPFD_CLOEXEC, 3);
	return bpf_prog_get_fd_by_id(l->program_id);
}

static bool has_program(const struct mr_link *l)
{
	return l->program_id && !l->gone;
}

static int exchange_link(struct mr_daemon *d, struct mr_link *l, int program, char *words,
			 size_t room)
{
	int expected = standing_fd(d, l);
	int err = expected < 0 ? -ENOENT : mr_attach_way(l)->replace(d, l, program, expected);

	if (err)
		snprintf(words, room,
			 "%s: program %u is not there any more, or cannot be exchanged: %s; see ip "
			 "link show dev %s, and restart millraced",
			 l->name, l->program_id, strerror(-err), l->name);
	mr_close_fd(&expected);
	return err;
}

/* Undo: the first @n links have @b's programs and get back the current ones. */
static void exchange_back(struct mr_daemon *d, const struct build *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct mr_link *l = &d->links[i];
		int err = 0;

		if (has_program(l))
			err = mr_attach_way(l)->replace(d, l, d->bpf.program[l->section],
							b->fd[l->section]);
		if (err)
			mr_error("%s: keeps program %u: %s", l->name, b->facts.id[l->section],
				 strerror(-err));
	}
}

static int exchange_all(struct mr_daemon *d, const struct build *b, char *words, size_t room)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < d->n_links; i++) {
		if (!has_program(&d->links[i]))
			continue;
		err = exchange_link(d, &d->links[i], b->fd[d->links[i].section], words, room);
		if (err)
			break;
	}
	if (err) {
		exchange_back(d, b, i);
		return err;
	}
	for (i = 0; i < d->n_links; i++)
		if (has_program(&d->links[i]))
			d->links[i].program_id = b->facts.id[d->links[i].section];
	return 0;
}

static int can_exchange(const struct mr_daemon *d, char *words, size_t room)
{
	for (uint32_t i = 0; i < d->n_links; i++)
		if (d->links[i].settings->by == MR_ATTACH_BY_LIBXDP) {
			snprintf(words, room,
				 "%s: a program in libxdp's dispatcher is not exchanged; restart "
				 "millraced, or set attach: netlink or link",
				 d->links[i].name);
			return -EOPNOTSUPP;
		}
	return 0;
}

/* The current programs become the previous ones, whose descriptors are others' now. */
static void make_current(struct mr_daemon *d, const struct build *b)
{
	memcpy(d->bpf.previous, d->bpf.program, sizeof(b->fd));
	memcpy(d->bpf.program, b->fd, sizeof(b->fd));
	d->previous = d->current;
	d->current = b->facts;
	pin(d, "previous", d->bpf.previous);
	pin(d, "program", d->bpf.program);
	d->programs->current = d->current;
	d->programs->previous = d->previous;
	d->programs->exchanges = ++d->exchanges;
}

int mr_programs_upgrade(struct mr_daemon *d, const char *path, char *words, size_t room)
{
	struct build b = { 0 };
	int err = can_exchange(d, words, room);

	if (!err)
		err = load_build(d, path[0] ? path : d->object_path, &b, words, room);
	if (err)
		return err;
	err = exchange_all(d, &b, words, room);
	if (err) {
		close_both(b.fd);
		return err;
	}
	close_both(d->bpf.previous);
	make_current(d, &b);
	mr_info("XDP program %u of %s in place of %u, ABI %u.%u", d->current.id[0], d->current.path,
		d->previous.id[0], d->current.major, d->current.minor);
	return 0;
}

int mr_programs_rollback(struct mr_daemon *d, char *words, size_t room)
{
	struct build b = { .facts = d->previous };
	int err = can_exchange(d, words, room);

	if (!err && !d->previous.there) {
		snprintf(words, room,
			 "there is no program before the current one; it was never "
			 "upgraded");
		err = -ENOENT;
	}
	memcpy(b.fd, d->bpf.previous, sizeof(b.fd));
	if (!err)
		err = exchange_all(d, &b, words, room);
	if (err)
		return err;
	make_current(d, &b);
	mr_info("XDP program %u of %s is back in place of %u", d->current.id[0], d->current.path,
		d->previous.id[0]);
	return 0;
}
