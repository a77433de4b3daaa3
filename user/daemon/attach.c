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

#include "user/daemon/adopt.h"
#include "user/daemon/attach_way.h"
#include "user/daemon/bpf.h"
#include "user/daemon/estate.h"
#include "user/daemon/guard.h"
#include "user/daemon/log.h"

enum {
	MTU_XDP = 3498, /* above it drivers want a program that takes frames in pieces */
};

/* What stands on the interface before us. */
enum former {
	NOTHING,
	FOREIGN,
	PARKED, /* our object, attached by hand: its maps are empty */
	DEAD,	/* ours, of a daemon that died */
	ALIVE,	/* ours, of another daemon that serves */
	KEPT,	/* this daemon's: the interface took it along where it went */
};

int mr_attach_query(const struct mr_link *l, struct mr_standing *s)
{
	struct bpf_xdp_query_opts opts;
	int err;

	memset(&opts, 0, sizeof(opts)); /* libbpf wants zeros in the padding too */
	opts.sz = sizeof(opts);
	err = bpf_xdp_query((int)l->ifindex, 0, &opts);
	*s = (struct mr_standing){ .fd = -1 };
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

int mr_map_by_id(uint32_t id, struct bpf_map_info *info)
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

/*
 * Ours by its name: whose, is told by its maps. A daemon that was killed as it started had nothing
 * in mr1_if yet either, but its maps are the pinned ones.
 */
static enum former judge_ours(const struct mr_daemon *d, const uint32_t *ids, int n)
{
	enum former verdict = FOREIGN;
	bool parked = false, pinned = false;

	for (int i = 0; i < n; i++) {
		struct bpf_map_info info;
		int fd = mr_map_by_id(ids[i], &info);

		if (fd < 0)
			continue;
		if (!strcmp(info.name, "mr1_if"))
			parked |= !has_entries(fd);
		if (!strcmp(info.name, "mr1_beat"))
			verdict = info.id != d->bpf.former_beats && beats(fd) ? ALIVE : DEAD;
		pinned |= info.id == d->bpf.former_beats;
		close(fd);
	}
	return parked && !pinned ? PARKED : verdict;
}

static uint32_t id_of(int program)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(program, &info, &len) == 0 ? info.id : 0;
}

static int identify(struct mr_daemon *d, const struct mr_link *l, struct mr_standing *s,
		    enum former *verdict)
{
	uint32_t ids[MR_PROGRAM_MAPS];
	int n;

	*verdict = NOTHING;
	if (!s->id)
		return 0;
	if (s->id == id_of(d->bpf.program[MR_SECTION_XDP]) ||
	    s->id == id_of(d->bpf.program[MR_SECTION_FRAGS])) {
		*verdict = KEPT;
		return 0;
	}
	s->fd = mr_estate_program(d, s->id, s->name);
	if (s->fd >= 0) {
		*verdict = DEAD;
		return 0;
	}
	s->fd = bpf_prog_get_fd_by_id(s->id);
	n = s->fd < 0 ? -errno : mr_program_maps(s->fd, s->name, ids);
	if (n < 0)
		return mr_fail(d, n,
			       "%s: XDP program %u is attached and cannot be looked at: %s; "
			       "give CAP_SYS_ADMIN, or take it off: ip link set dev %s xdp off",
			       l->name, s->id, strerror(-n), l->name);
	*verdict = is_named_ours(s->name) ? judge_ours(d, ids, n) : FOREIGN;
	return 0;
}

/* ----- attach: netlink ----- */

static uint32_t mode_flag(bool native)
{
	return native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

static int netlink_attach(struct mr_daemon *d, struct mr_link *l, int program, bool native)
{
	(void)d;
	return bpf_xdp_attach((int)l->ifindex, program,
			      mode_flag(native) | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);
}

static int netlink_replace(struct mr_daemon *d, struct mr_link *l, int program, int expected)
{
	struct bpf_xdp_attach_opts opts;

	(void)d;
	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.old_prog_fd = expected;
	return bpf_xdp_attach((int)l->ifindex, program, mode_flag(l->native) | XDP_FLAGS_REPLACE,
			      &opts);
}

static int take_off(const struct mr_link *l, int program, bool native)
{
	struct bpf_xdp_attach_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.old_prog_fd = program;
	return bpf_xdp_detach((int)l->ifindex, mode_flag(native) | XDP_FLAGS_REPLACE, &opts);
}

static int netlink_detach(struct mr_daemon *d, struct mr_link *l, int program)
{
	(void)d;
	return take_off(l, program, l->native);
}

const struct mr_attach_way mr_attach_by_netlink = {
	.attach = netlink_attach,
	.replace = netlink_replace,
	.detach = netlink_detach,
};

const struct mr_attach_way *mr_attach_way(const struct mr_link *l)
{
	switch (l->settings->by) {
	case MR_ATTACH_BY_LINK:
		return &mr_attach_by_link;
	case MR_ATTACH_BY_LIBXDP:
		return &mr_attach_by_libxdp;
	case MR_ATTACH_BY_NETLINK:
	case MR_ATTACH_BY_ADOPT:
		break;
	}
	return &mr_attach_by_netlink;
}

/* ----- what stands there before us ----- */

static int refuse(struct mr_daemon *d, const struct mr_link *l, const struct mr_standing *s,
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

int mr_attach_find_ours(struct mr_daemon *d, const struct mr_link *l, struct mr_standing *s)
{
	enum former verdict;
	int err = mr_attach_query(l, s);

	if (err)
		return mr_fail(d, err, "%s: cannot be asked for its XDP program: %s", l->name,
			       strerror(-err));
	err = identify(d, l, s, &verdict);
	if (!err && verdict == NOTHING)
		err = mr_fail(d, -ENOENT,
			      "%s: attach: adopt, but no XDP program is attached; ip link set dev "
			      "%s xdp obj %s sec xdp, or set attach: netlink",
			      l->name, l->name, d->object_path);
	else if (!err && verdict == FOREIGN)
		err = mr_fail(d, -EINVAL,
			      "%s: attach: adopt, but XDP program %s, id %u, is not Millrace's; "
			      "take it off (ip link set dev %s xdp off) and attach %s",
			      l->name, s->name[0] ? s->name : "without a name", s->id, l->name,
			      d->object_path);
	else if (!err && verdict == ALIVE)
		err = refuse(d, l, s, verdict);
	if (err)
		mr_close_fd(&s->fd);
	return err;
}

/* Clear the place. What is not ours to lose is kept, to be put back. */
static int clear_place(struct mr_daemon *d, struct mr_link *l, struct mr_standing *s,
		       enum former verdict)
{
	int err;

	if (verdict == NOTHING)
		return 0;
	if (l->held >= 0) {
		mr_attach_drop_link(d, l);
		err = 0;
	} else {
		err = take_off(l, s->fd, s->native);
	}
	if (err)
		return mr_fail(d, err, "%s: XDP program %s, id %u, cannot be taken off: %s",
			       l->name, s->name, s->id,
			       err == -EBUSY ? "a bpf_link holds it; see bpftool link, and end "
					       "the program that has it"
					     : mr_bpf_words());
	mr_info("%s: took off XDP program %s, id %u%s", l->name, s->name, s->id,
		verdict == DEAD ? ", of a millraced that died" : "");
	if (verdict == FOREIGN || verdict == PARKED) {
		l->former_program = s->fd;
		l->former_native = s->native;
		s->fd = -1;
	}
	return 0;
}

/* What the interface really has now. */
static int read_back(struct mr_daemon *d, struct mr_link *l, bool native)
{
	uint32_t id = id_of(d->bpf.program[l->section]);
	struct mr_standing s;
	int err = mr_attach_query(l, &s);

	if (l->settings->by == MR_ATTACH_BY_LIBXDP) /* the dispatcher stands there */
		return err;
	if (!err && (!id || s.id != id || s.native != native))
		err = -EBUSY;
	l->program_id = id;
	l->native = native;
	return err;
}

static int try_rung(struct mr_daemon *d, struct mr_link *l, bool native, enum mr_section section)
{
	int err;

	l->section = section;
	mr_bpf_words();
	err = mr_attach_way(l)->attach(d, l, d->bpf.program[section], native);
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

static enum mr_section native_section(const struct mr_link *l)
{
	return l->mtu > MTU_XDP ? MR_SECTION_FRAGS : MR_SECTION_XDP;
}

static int climb(struct mr_daemon *d, struct mr_link *l)
{
	enum mr_attach_mode mode = l->settings->mode;
	int err = -EOPNOTSUPP;

	if (mode != MR_ATTACH_GENERIC)
		err = try_rung(d, l, true, native_section(l));
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

/*
 * The program of a daemon that died is exchanged at one instant where its mode is the one we want
 * and it is held as we would hold it, so that no frame goes past both. With lanes that run it keeps
 * its mode: a moment without any would end their connections. False: it is in the way.
 */
static bool succeed(struct mr_daemon *d, struct mr_link *l, const struct mr_standing *s)
{
	enum mr_attach_mode mode = l->settings->mode;
	enum mr_section section = s->native ? native_section(l) : MR_SECTION_XDP;

	if (!d->adopting && (s->native ? mode == MR_ATTACH_GENERIC : mode != MR_ATTACH_GENERIC))
		return false;
	if (l->settings->by != (l->held >= 0 ? MR_ATTACH_BY_LINK : MR_ATTACH_BY_NETLINK))
		return false;
	l->section = section;
	l->native = s->native;
	if (mr_attach_way(l)->replace(d, l, d->bpf.program[section], s->fd))
		return false;
	l->attached = true;
	mr_info("%s: took over from XDP program %s, id %u, of a millraced that died", l->name,
		s->name, s->id);
	if (!s->native)
		snprintf(l->attach_why, sizeof(l->attach_why), "native: %s",
			 mode == MR_ATTACH_GENERIC ? "the configuration says mode: generic"
						   : "the lanes ran in generic mode");
	return read_back(d, l, s->native) == 0;
}

/* An interface that was moved to another namespace and back has it still. Return: 1 or -errno */
static int go_on(struct mr_daemon *d, struct mr_link *l, const struct mr_standing *s)
{
	int err;

	l->section = s->id == id_of(d->bpf.program[MR_SECTION_FRAGS]) ? MR_SECTION_FRAGS
								      : MR_SECTION_XDP;
	l->attached = true;
	err = read_back(d, l, s->native);
	return err ? mr_fail(d, err, "%s: XDP program %u cannot be looked at: %s", l->name, s->id,
			     strerror(-err))
		   : 1;
}

/* Return: 0 (the place is free), 1 (ours stands there now), -errno with @d->error */
static int make_room(struct mr_daemon *d, struct mr_link *l)
{
	struct mr_standing s;
	enum former verdict;
	int err = mr_attach_query(l, &s);

	if (err)
		return mr_fail(d, err, "%s: cannot be asked for its XDP program: %s", l->name,
			       strerror(-err));
	err = identify(d, l, &s, &verdict);
	if (!err && l->settings->by == MR_ATTACH_BY_LIBXDP && verdict == FOREIGN &&
	    mr_attach_is_dispatcher(d, l))
		verdict = NOTHING; /* beside its programs */
	else if (!err && verdict == KEPT)
		return go_on(d, l, &s);
	else if (!err && (verdict == ALIVE || (verdict == FOREIGN && !l->settings->force)))
		err = refuse(d, l, &s, verdict);
	if (!err)
		mr_attach_take_link(d, l);
	if (!err && verdict == DEAD && succeed(d, l, &s))
		err = 1;
	else if (!err)
		err = clear_place(d, l, &s, verdict);
	mr_close_fd(&s.fd);
	return err;
}

/*
 * Linux 6.13, and 6.12 in its later releases, lets no program that changes frames stand in for a
 * function that does not; dispatchers of before say nothing of the kind about theirs.
 */
static const char *cure(const struct mr_link *l, int err)
{
	if (l->settings->by == MR_ATTACH_BY_LIBXDP && err == -EINVAL)
		return "this kernel's dispatcher takes programs that change frames only from a "
		       "libxdp of mid-2025 or later: set attach: netlink or link, or install one";
	return l->settings->mode == MR_ATTACH_NATIVE ? "allow generic with mode: auto"
						     : "see millrace check";
}

static int put_there(struct mr_daemon *d, struct mr_link *l)
{
	int err = 0;

	if (l->settings->by == MR_ATTACH_BY_ADOPT)
		return mr_attach_adopt(d, l);
	if (l->settings->by == MR_ATTACH_BY_LIBXDP)
		err = mr_attach_probe_libxdp(d, l);
	if (!err)
		err = make_room(d, l);
	if (err)
		return err < 0 ? err : 0;
	err = climb(d, l);
	if (err)
		return mr_fail(d, err, "%s: XDP program cannot be attached, mode %s: %s; %s",
			       l->name, mr_attach_mode_name(l->settings->mode),
			       l->attach_why[0] ? l->attach_why : strerror(-err), cure(l, err));
	return 0;
}

int mr_attach_adopt(struct mr_daemon *d, struct mr_link *l)
{
	enum mr_attach_mode mode = l->settings->mode;
	struct mr_standing s;
	int err = mr_attach_find_ours(d, l, &s);

	if (err)
		return err;
	mr_close_fd(&s.fd);
	if (mode != MR_ATTACH_AUTO && s.native != (mode == MR_ATTACH_NATIVE))
		return mr_fail(d, -EINVAL,
			       "%s: XDP program %u is attached in %s mode, the configuration says "
			       "mode: %s; attach it so, or set mode: auto",
			       l->name, s.id, s.native ? "native" : "generic",
			       mr_attach_mode_name(mode));
	l->native = s.native;
	l->program_id = s.id;
	l->section = strcmp(s.name, "mr_xdp") ? MR_SECTION_FRAGS : MR_SECTION_XDP;
	if (!s.native)
		snprintf(l->attach_why, sizeof(l->attach_why),
			 "native: the operator attached it in generic mode");
	return 0;
}

int mr_attach(struct mr_daemon *d, struct mr_link *l)
{
	int err = put_there(d, l);

	if (err)
		return err;
	mr_info("%s: XDP program %u %s by %s, %s mode, section %s%s%s", l->name, l->program_id,
		l->settings->by == MR_ATTACH_BY_ADOPT ? "adopted, attached" : "attached",
		l->settings->by == MR_ATTACH_BY_ADOPT ? "the operator"
						      : mr_attach_by_name(l->settings->by),
		l->native ? "native" : "generic",
		l->section == MR_SECTION_FRAGS ? "xdp.frags" : "xdp", l->attach_why[0] ? ", " : "",
		l->attach_why);
	return 0;
}

int mr_attach_spread(struct mr_daemon *d, struct mr_link *l)
{
	const struct mr_attach_way *way = mr_attach_way(l);
	int own = d->bpf.program[l->section], other = d->bpf.program[!l->section], err;

	if (!l->native || !mr_guard_is_veth(l->name))
		return 0;
	if (!l->attached || l->settings->by == MR_ATTACH_BY_LIBXDP)
		return -EOPNOTSUPP; /* not ours to exchange */
	err = way->replace(d, l, other, own);
	return err ? err : way->replace(d, l, own, other);
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

	if (l->settings->by == MR_ATTACH_BY_ADOPT && l->program_id) {
		mr_bpf_interface_forget(d, l);
		mr_info("%s: left XDP program %u to the operator; it passes everything", l->name,
			l->program_id);
	}
	if (l->attached) {
		err = mr_attach_way(l)->detach(d, l, d->bpf.program[l->section]);
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
