/* SPDX-License-Identifier: MIT */
#include "user/daemon/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/daemon/bpf.h"
#include "user/daemon/log.h"

enum {
	MAPS_MOST = 64,
	MTU_XDP = 3498, /* above it drivers want a program that takes frames in pieces */
};

/* What stands on the interface before us. */
enum former {
	NOTHING,
	FOREIGN,
	PARKED, /* our object, attached by hand: its maps are empty */
	DEAD,	/* ours, of a daemon that died */
	ALIVE,	/* ours, of another daemon that serves */
};

struct standing {
	uint32_t id;
	bool native;
	int fd;
	char name[BPF_OBJ_NAME_LEN];
};

static int query(const struct mr_link *l, struct standing *s)
{
	struct bpf_xdp_query_opts opts;
	int err;

	memset(&opts, 0, sizeof(opts)); /* libbpf wants zeros in the padding too */
	opts.sz = sizeof(opts);
	err = bpf_xdp_query((int)l->ifindex, 0, &opts);
	*s = (struct standing){ .fd = -1 };
	if (err)
		return err;
	s->id = opts.prog_id ? opts.prog_id : opts.drv_prog_id;
	if (!s->id)
		s->id = opts.skb_prog_id ? opts.skb_prog_id : opts.hw_prog_id;
	s->native = opts.attach_mode != XDP_ATTACHED_SKB;
	return 0;
}

static bool is_named_ours(const char *name)
{
	return !strcmp(name, "mr_xdp") || !strcmp(name, "mr_xdp_frags");
}

static int map_by_id(uint32_t id, struct bpf_map_info *info)
{
	uint32_t len = sizeof(*info);
	int fd = bpf_map_get_fd_by_id(id);

	if (fd < 0)
		return fd;
	*info = (struct bpf_map_info){ 0 };
	if (bpf_obj_get_info_by_fd(fd, info, &len) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool has_entries(int map)
{
	uint32_t key;

	return bpf_map_get_next_key(map, NULL, &key) == 0;
}

static bool beats(int map)
{
	uint64_t now = mr_now_ns();

	for (uint32_t slot = 0; slot < MR_MAX_SLOTS; slot++) {
		struct mr_beat b;

		if (bpf_map_lookup_elem(map, &slot, &b) == 0 && b.beat_ns &&
		    now - b.beat_ns < 3000000000ull)
			return true;
	}
	return false;
}

/* Ours by its name: whose, is told by its maps. */
static enum former judge_ours(const struct mr_daemon *d, const uint32_t *ids, uint32_t n)
{
	enum former verdict = FOREIGN;

	for (uint32_t i = 0; i < n; i++) {
		struct bpf_map_info info;
		int fd = map_by_id(ids[i], &info);

		if (fd < 0)
			continue;
		if (!strcmp(info.name, "mr1_if") && !has_entries(fd)) {
			close(fd);
			return PARKED;
		}
		if (!strcmp(info.name, "mr1_beat"))
			verdict = info.id != d->bpf.former_beats && beats(fd) ? ALIVE : DEAD;
		close(fd);
	}
	return verdict;
}

static int identify(struct mr_daemon *d, const struct mr_link *l, struct standing *s,
		    enum former *verdict)
{
	uint32_t ids[MAPS_MOST];
	struct bpf_prog_info info = { .nr_map_ids = MAPS_MOST, .map_ids = (uintptr_t)ids };
	uint32_t len = sizeof(info);

	*verdict = NOTHING;
	if (!s->id)
		return 0;
	s->fd = bpf_prog_get_fd_by_id(s->id);
	if (s->fd < 0 || bpf_obj_get_info_by_fd(s->fd, &info, &len) < 0)
		return mr_fail(d, -errno,
			       "%s: XDP program %u is attached and cannot be looked at: %s; "
			       "give CAP_SYS_ADMIN, or take it off: ip link set dev %s xdp off",
			       l->name, s->id, strerror(errno), l->name);
	snprintf(s->name, sizeof(s->name), "%s", info.name);
	*verdict = FOREIGN;
	if (is_named_ours(s->name))
		*verdict = judge_ours(d, ids,
				      info.nr_map_ids < MAPS_MOST ? info.nr_map_ids : MAPS_MOST);
	return 0;
}

static uint32_t mode_flag(bool native)
{
	return native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

static int take_off(const struct mr_link *l, int program, bool native)
{
	struct bpf_xdp_attach_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.old_prog_fd = program;
	return bpf_xdp_detach((int)l->ifindex, mode_flag(native) | XDP_FLAGS_REPLACE, &opts);
}

static int refuse(struct mr_daemon *d, const struct mr_link *l, const struct standing *s,
		  enum former verdict)
{
	if (verdict == ALIVE)
		return mr_fail(
			d, -EBUSY,
			"%s: another millraced serves it with XDP program %u; stop that one, "
			"or remove the interface from one of the configurations",
			l->name, s->id);
	return mr_fail(d, -EBUSY,
		       "%s: foreign XDP program %s, id %u, is attached; take it off "
		       "(ip link set dev %s xdp off) or set force: true to replace it meanwhile",
		       l->name, s->name[0] ? s->name : "without a name", s->id, l->name);
}

/* Clear the place. What is not ours to lose is kept, to be put back. */
static int make_room(struct mr_daemon *d, struct mr_link *l)
{
	struct standing s;
	enum former verdict;
	int err = query(l, &s);

	if (err)
		return mr_fail(d, err, "%s: cannot be asked for its XDP program: %s", l->name,
			       strerror(-err));
	err = identify(d, l, &s, &verdict);
	if (!err && (verdict == ALIVE || (verdict == FOREIGN && !l->settings->force)))
		err = refuse(d, l, &s, verdict);
	if (!err && verdict != NOTHING) {
		err = take_off(l, s.fd, s.native);
		if (err)
			err = mr_fail(d, err, "%s: XDP program %s, id %u, cannot be taken off: %s",
				      l->name, s.name, s.id, mr_bpf_words());
		else
			mr_info("%s: took off XDP program %s, id %u%s", l->name, s.name, s.id,
				verdict == DEAD ? ", of a millraced that died" : "");
	}
	if (!err && (verdict == FOREIGN || verdict == PARKED)) {
		l->former_program = s.fd;
		l->former_native = s.native;
		return 0;
	}
	mr_close_fd(&s.fd);
	return err;
}

/* What the interface really has now. */
static int read_back(struct mr_daemon *d, struct mr_link *l, bool native)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	struct standing s;
	int err = query(l, &s);

	if (!err && bpf_obj_get_info_by_fd(d->bpf.program[l->section], &info, &len) < 0)
		err = -errno;
	if (!err && (s.id != info.id || s.native != native))
		err = -EBUSY;
	l->program_id = info.id;
	l->native = native;
	return err;
}

static int try_rung(struct mr_daemon *d, struct mr_link *l, bool native, enum mr_section section)
{
	uint32_t flags = mode_flag(native) | XDP_FLAGS_UPDATE_IF_NOEXIST;
	int err;

	l->section = section;
	mr_bpf_words();
	err = bpf_xdp_attach((int)l->ifindex, d->bpf.program[section], flags, NULL);
	if (err)
		return err;
	l->attached = true;
	return read_back(d, l, native);
}

static void note_why(struct mr_link *l, const char *rung, int err)
{
	const char *said = mr_bpf_words();

	if (!l->attach_why[0])
		snprintf(l->attach_why, sizeof(l->attach_why), "%s: %.100s", rung,
			 said[0] ? said : strerror(-err));
}

static int climb(struct mr_daemon *d, struct mr_link *l)
{
	enum mr_attach_mode mode = l->settings->mode;
	bool large = l->mtu > MTU_XDP;
	int err = -EOPNOTSUPP;

	if (mode != MR_ATTACH_GENERIC && !large)
		err = try_rung(d, l, true, MR_SECTION_XDP);
	else if (mode != MR_ATTACH_GENERIC)
		err = try_rung(d, l, true, MR_SECTION_FRAGS);
	if (!err)
		return 0;
	if (mode == MR_ATTACH_GENERIC)
		snprintf(l->attach_why, sizeof(l->attach_why),
			 "native: the configuration says mode: generic");
	else
		note_why(l, "native", err);
	if (err == -EBUSY || err == -EEXIST || mode == MR_ATTACH_NATIVE)
		return err;
	return try_rung(d, l, false, MR_SECTION_XDP);
}

/* Our program that the lanes' frames come by now; -1: it is not there. */
static int standing_ours(struct mr_daemon *d, struct mr_link *l, struct standing *s)
{
	enum former verdict;

	if (query(l, s) || identify(d, l, s, &verdict) || verdict != DEAD) {
		mr_close_fd(&s->fd);
		return -ENOENT;
	}
	l->section = strcmp(s->name, "mr_xdp_frags") ? MR_SECTION_XDP : MR_SECTION_FRAGS;
	return 0;
}

/* In place of the program of a daemon that died, with the same maps: no frame sees neither. */
static int succeed(struct mr_daemon *d, struct mr_link *l)
{
	struct bpf_xdp_attach_opts opts;
	struct standing s;
	int err = standing_ours(d, l, &s);

	if (err)
		return err;
	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.old_prog_fd = s.fd;
	err = bpf_xdp_attach((int)l->ifindex, d->bpf.program[l->section],
			     mode_flag(s.native) | XDP_FLAGS_REPLACE, &opts);
	mr_close_fd(&s.fd);
	if (!err)
		err = read_back(d, l, s.native);
	l->attached = !err;
	if (!err)
		mr_info("%s: XDP program %u takes the place of %u", l->name, l->program_id, s.id);
	return err;
}

int mr_attach(struct mr_daemon *d, struct mr_link *l)
{
	int err;

	if (d->adopting && succeed(d, l) == 0)
		return 0;
	err = make_room(d, l);

	if (err)
		return err;
	err = climb(d, l);
	if (err)
		return mr_fail(d, err, "%s: XDP program cannot be attached, mode %s: %s; %s",
			       l->name, mr_attach_mode_name(l->settings->mode),
			       l->attach_why[0] ? l->attach_why : strerror(-err),
			       l->settings->mode == MR_ATTACH_NATIVE
				       ? "allow generic with mode: auto"
				       : "see millrace check");
	mr_info("%s: XDP program %u attached, %s mode, section %s%s%s", l->name, l->program_id,
		l->native ? "native" : "generic",
		l->section == MR_SECTION_FRAGS ? "xdp.frags" : "xdp", l->attach_why[0] ? ", " : "",
		l->attach_why);
	return 0;
}

static void put_back(struct mr_link *l)
{
	int err = bpf_xdp_attach((int)l->ifindex, l->former_program,
				 mode_flag(l->former_native) | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);

	if (err)
		mr_warn("%s: the XDP program that was there cannot be put back: %s", l->name,
			strerror(-err));
	else
		mr_info("%s: put back the XDP program that was there", l->name);
}

void mr_detach(struct mr_daemon *d, struct mr_link *l)
{
	int err = 0;

	if (l->attached) {
		err = take_off(l, d->bpf.program[l->section], l->native);
		l->attached = false;
		if (err && err != -ENODEV)
			mr_warn("%s: our XDP program was not there any more: %s", l->name,
				strerror(-err));
		else if (!err)
			mr_info("%s: XDP program detached", l->name);
	}
	if (l->former_program >= 0 && !err)
		put_back(l);
	mr_close_fd(&l->former_program);
}
