/* SPDX-License-Identifier: MIT */
/*
 * attach: libxdp. The program is one of several that libxdp's dispatcher calls in turn. For that
 * the kernel must let it replace a function of the dispatcher (program type ext, freplace), so the
 * object is loaded once more by libxdp, over the same pinned maps. Where the kernel refuses, libxdp
 * attaches a single program without a word: that is found out before and after, and said.
 */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "user/daemon/attach_way.h"
#include "user/daemon/log.h"

static const char *const sections[] = { "xdp", "xdp.frags" };

static bool is_refused(int err)
{
	return err == -EPERM || err == -EACCES;
}

/*
 * A program that replaces nothing: a kernel that knows and allows the type asks what it is to
 * replace (EINVAL); one that refuses the type says so (EPERM), whatever it replaces.
 */
static int load_replacement(void)
{
	const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_EXT, "mr_probe", "GPL", pass,
			       sizeof(pass) / sizeof(pass[0]), NULL);
	int err = fd < 0 ? -errno : 0;

	mr_close_fd(&fd);
	return is_refused(err) ? err : 0;
}

int mr_attach_probe_libxdp(struct mr_daemon *d, const struct mr_link *l)
{
	int err = load_replacement();

	if (!err)
		return 0;
	return mr_fail(d, err,
		       "%s: attach: libxdp needs programs that replace functions of a dispatcher "
		       "(freplace), which this kernel refuses: %s; set attach: netlink or link, or "
		       "run a kernel that lets root load BPF programs of type ext",
		       l->name, strerror(-err));
}

static bool is_named_ours(const struct xdp_program *p)
{
	const char *name = xdp_program__name(p);

	return name && (!strcmp(name, "mr_xdp") || !strcmp(name, "mr_xdp_frags"));
}

/* The daemon's directory lock is ours, so what looks like ours is of one that is no more. */
static void take_out_leftovers(const struct mr_link *l, struct xdp_multiprog *mp)
{
	for (struct xdp_program *p = xdp_multiprog__next_prog(NULL, mp); p;
	     p = xdp_multiprog__next_prog(p, mp)) {
		int err;

		if (!is_named_ours(p))
			continue;
		err = xdp_program__detach(p, (int)l->ifindex, xdp_multiprog__attach_mode(mp), 0);
		if (err)
			mr_warn("%s: a program of ours in the dispatcher cannot be taken out: %s",
				l->name, strerror(-err));
		return; /* the dispatcher was built anew: this list is of the last one */
	}
}

bool mr_attach_is_dispatcher(struct mr_daemon *d, struct mr_link *l)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex((int)l->ifindex);
	bool is;

	(void)d;
	if (libxdp_get_error(mp))
		return false;
	is = !xdp_multiprog__is_legacy(mp);
	if (is)
		take_out_leftovers(l, mp);
	xdp_multiprog__close(mp);
	return is;
}

/* Did it go into a dispatcher, or did libxdp put it there alone? */
static int check_dispatched(const struct mr_link *l)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex((int)l->ifindex);
	int err = (int)libxdp_get_error(mp);

	if (err)
		return err;
	err = xdp_multiprog__is_legacy(mp) ? -EOPNOTSUPP : 0;
	xdp_multiprog__close(mp);
	return err;
}

static struct bpf_object *open_again(const struct mr_daemon *d)
{
	struct bpf_object_open_opts opts;

	memset(&opts, 0, sizeof(opts)); /* libbpf wants zeros in the padding too */
	opts.sz = sizeof(opts);
	opts.pin_root_path = d->settings.pin_directory;
	return bpf_object__open_file(d->object_path, &opts);
}

static int detach(struct mr_daemon *d, struct mr_link *l, int program)
{
	int err;

	(void)d;
	(void)program;
	if (!l->dispatched)
		return 0;
	err = xdp_program__detach(l->dispatched, (int)l->ifindex,
				  l->native ? XDP_MODE_NATIVE : XDP_MODE_SKB, 0);
	xdp_program__close(l->dispatched);
	l->dispatched = NULL;
	return err;
}

static int attach(struct mr_daemon *d, struct mr_link *l, int program, bool native)
{
	struct bpf_object *object = open_again(d);
	int err;

	(void)program;
	if (!object)
		return -errno;
	l->dispatched = xdp_program__from_bpf_obj(object, sections[l->section]);
	err = (int)libxdp_get_error(l->dispatched);
	if (err) {
		l->dispatched = NULL;
		bpf_object__close(object);
		return err;
	}
	err = xdp_program__attach(l->dispatched, (int)l->ifindex,
				  native ? XDP_MODE_NATIVE : XDP_MODE_SKB, 0);
	if (err) {
		xdp_program__close(l->dispatched);
		l->dispatched = NULL;
		return err;
	}
	l->native = native;
	err = check_dispatched(l);
	if (err)
		detach(d, l, program);
	return err;
}

static int replace(struct mr_daemon *d, struct mr_link *l, int program, int expected)
{
	(void)d;
	(void)l;
	(void)program;
	(void)expected;
	return -EOPNOTSUPP; /* the dispatcher has a program of libxdp's loading: programs.c says so
			     */
}

const struct mr_attach_way mr_attach_by_libxdp = {
	.attach = attach,
	.replace = replace,
	.detach = detach,
};
