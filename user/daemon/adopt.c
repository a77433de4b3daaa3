/* SPDX-License-Identifier: MIT */
#include "user/daemon/adopt.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "user/daemon/attach.h"
#include "user/daemon/attach_way.h"
#include "user/daemon/bpf.h"
#include "user/daemon/log.h"

int mr_program_maps(int fd, char name[16], uint32_t ids[MR_PROGRAM_MAPS])
{
	struct bpf_prog_info info = { .nr_map_ids = MR_PROGRAM_MAPS, .map_ids = (uintptr_t)ids };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	snprintf(name, 16, "%s", info.name);
	return info.nr_map_ids < MR_PROGRAM_MAPS ? (int)info.nr_map_ids : MR_PROGRAM_MAPS;
}

#define GLOBALS "/sys/fs/bpf/xdp/globals/"

/* Maps that the program does not use, so that its list does not have them. */
static bool is_for_user_space(enum mr_map map)
{
	return map == MR_MAP_ABI || map == MR_MAP_LANE;
}

/* Where ip(8) pins the maps of what it attaches; -ENOENT: not there. */
static int map_pinned(const char *name, struct bpf_map_info *info)
{
	uint32_t len = sizeof(*info);
	char path[96];
	int fd;

	snprintf(path, sizeof(path), GLOBALS "%s", name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -ENOENT;
	*info = (struct bpf_map_info){ 0 };
	if (bpf_obj_get_info_by_fd(fd, info, &len) == 0)
		return fd;
	close(fd);
	return -ENOENT;
}

/* The map of that name among @ids; -ENOENT: none. */
static int map_named(const char *name, const uint32_t *ids, int n, struct bpf_map_info *info)
{
	for (int i = 0; i < n; i++) {
		int fd = mr_map_by_id(ids[i], info);

		if (fd >= 0 && !strcmp(info->name, name))
			return fd;
		mr_close_fd(&fd);
	}
	return -ENOENT;
}

/* One that the program does not use: from ip(8)'s pins, if those are of this program's maps. */
static int map_beside(const char *name, const uint32_t *ids, int n, struct bpf_map_info *info)
{
	const char *witness = mr_bpf_map_name(MR_MAP_VERDICT);
	struct bpf_map_info used, pinned;
	int a = map_named(witness, ids, n, &used), b = map_pinned(witness, &pinned);
	bool same = a >= 0 && b >= 0 && used.id == pinned.id;

	mr_close_fd(&a);
	mr_close_fd(&b);
	return same ? map_pinned(name, info) : -ENOENT;
}

static bool is_laid_out_as(const struct bpf_map *ours, const struct bpf_map_info *there)
{
	return bpf_map__type(ours) == there->type && bpf_map__key_size(ours) == there->key_size &&
	       bpf_map__value_size(ours) == there->value_size &&
	       bpf_map__max_entries(ours) == there->max_entries &&
	       bpf_map__map_flags(ours) == there->map_flags;
}

/* What a daemon has written of its layout; a map that none had yet is zeros. */
static bool is_of_our_abi(int fd)
{
	struct mr_abi abi;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(fd, &zero, &abi) < 0)
		return false;
	return !abi.magic || (abi.magic == MR_ABI_MAGIC && abi.major == MR_ABI_MAJOR &&
			      abi.minor == MR_ABI_MINOR);
}

static int take_map(struct mr_daemon *d, const struct mr_link *l, enum mr_map map,
		    const uint32_t *ids, int n)
{
	const char *name = mr_bpf_map_name(map);
	struct bpf_map *ours = bpf_object__find_map_by_name(d->bpf.object, name);
	struct bpf_map_info info;
	int err = 0, fd;

	if (!ours)
		return 0; /* open_maps() says it */
	fd = map_named(name, ids, n, &info);
	if (fd < 0 && is_for_user_space(map)) {
		fd = map_beside(name, ids, n, &info);
		if (fd < 0)
			return 0; /* nobody has it: the loader makes one */
	}
	if (fd < 0)
		err = mr_fail(d, -ENOENT,
			      "%s: the attached program has no map %s: it is of another release; "
			      "attach %s instead, or set attach: netlink",
			      l->name, name, d->object_path);
	else if (!is_laid_out_as(ours, &info) || (map == MR_MAP_ABI && !is_of_our_abi(fd)))
		err = mr_fail(d, -EINVAL,
			      "%s: map %s of the attached program is not laid out as this "
			      "millraced knows it; attach %s instead, or set attach: netlink",
			      l->name, name, d->object_path);
	else if (d->bpf.adopted[map] && d->bpf.adopted[map] != info.id)
		err = mr_fail(d, -EXDEV,
			      "%s: its program has maps of its own; programs to be adopted share "
			      "them: attach both from the same file, with the same pins",
			      l->name);
	else if (bpf_map__reuse_fd(ours, fd) < 0)
		err = mr_fail(d, -errno, "%s: map %s cannot be used: %s", l->name, name,
			      strerror(errno));
	else
		d->bpf.adopted[map] = info.id;
	mr_close_fd(&fd);
	return err;
}

static int take_maps(struct mr_daemon *d, const struct mr_link *l)
{
	uint32_t ids[MR_PROGRAM_MAPS];
	struct mr_standing s;
	int n, err = mr_attach_find_ours(d, l, &s);

	if (err)
		return err;
	n = mr_program_maps(s.fd, s.name, ids);
	if (n < 0)
		err = mr_fail(d, n, "%s: XDP program %u cannot be looked at: %s", l->name, s.id,
			      strerror(-n));
	for (unsigned int i = 0; !err && i < MR_MAP_COUNT; i++)
		err = take_map(d, l, (enum mr_map)i, ids, n);
	mr_close_fd(&s.fd);
	return err;
}

int mr_adopt_maps(struct mr_daemon *d)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < d->n_links; i++)
		if (d->links[i].settings->by == MR_ATTACH_BY_ADOPT)
			err = take_maps(d, &d->links[i]);
	return err;
}

int mr_adopt_generation(struct mr_daemon *d)
{
	struct mr_config config;
	uint32_t zero = 0;

	if (!d->bpf.adopted[MR_MAP_CFG])
		return 0;
	if (bpf_map_lookup_elem(d->bpf.map[MR_MAP_CFG], &zero, &config) < 0)
		return mr_fail(d, -errno, "mr1_cfg: cannot be read: %s", strerror(errno));
	d->bpf.generation.number = config.generation.number;
	d->bpf.generation.parity = config.generation.parity;
	d->bpf.has_classes[0] = d->bpf.has_classes[1] = true; /* perhaps */
	return 0;
}
