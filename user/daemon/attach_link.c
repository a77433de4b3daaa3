/* SPDX-License-Identifier: MIT */
/*
 * attach: link. The program hangs on a bpf_link that is pinned beside the maps: `ip link ... xdp`
 * can neither replace it nor take it off, and it outlives a daemon that is killed. The next one
 * takes the link from its pin and exchanges the program, so that there is one at every instant.
 */
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/daemon/attach_way.h"
#include "user/daemon/log.h"

#define PREFIX "link_"

enum {
	PATH_BYTES =
		192, /* pin directory, prefix, and a name of which each byte is written as %xx */
};

/* BPF file systems take no dots in names; interfaces may have some. */
static void pin_name(const char *interface, char out[PATH_BYTES])
{
	size_t at = (size_t)snprintf(out, PATH_BYTES, PREFIX);

	for (const char *p = interface; *p && at + 4 < PATH_BYTES; p++)
		at += (size_t)snprintf(out + at, PATH_BYTES - at,
				       *p == '.' || *p == '%' ? "%%%02x" : "%c", (unsigned char)*p);
}

static void pin_path(const struct mr_daemon *d, const struct mr_link *l, char out[PATH_BYTES])
{
	char name[PATH_BYTES];

	pin_name(l->name, name);
	snprintf(out, PATH_BYTES, "%s/%.90s", d->settings.pin_directory, name);
}

static int pin(const struct mr_daemon *d, struct mr_link *l)
{
	char path[PATH_BYTES];

	pin_path(d, l, path);
	if (bpf_obj_pin(l->held, path) == 0)
		return 0;
	if (errno == EEXIST && unlink(path) == 0 && bpf_obj_pin(l->held, path) == 0)
		return 0;
	return -errno;
}

static int attach(struct mr_daemon *d, struct mr_link *l, int program, bool native)
{
	struct bpf_link_create_opts opts;
	int err;

	memset(&opts, 0, sizeof(opts)); /* libbpf wants zeros in the padding too */
	opts.sz = sizeof(opts);
	opts.flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
	l->held = bpf_link_create(program, (int)l->ifindex, BPF_XDP, &opts);
	if (l->held < 0) {
		l->held = -1;
		return -errno;
	}
	err = pin(d, l);
	if (err)
		mr_close_fd(&l->held);
	return err;
}

static int replace(struct mr_daemon *d, struct mr_link *l, int program, int expected)
{
	struct bpf_link_update_opts opts;

	(void)d;
	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.flags = BPF_F_REPLACE;
	opts.old_prog_fd = (uint32_t)expected;
	return bpf_link_update(l->held, program, &opts) < 0 ? -errno : 0;
}

void mr_attach_drop_link(struct mr_daemon *d, struct mr_link *l)
{
	char path[PATH_BYTES];

	pin_path(d, l, path);
	unlink(path);
	mr_close_fd(&l->held);
}

static int detach(struct mr_daemon *d, struct mr_link *l, int program)
{
	int err = 0;

	(void)program;
	/* Said aloud: somebody may hold a descriptor of the link too. */
	if (l->held >= 0 && bpf_link_detach(l->held) < 0)
		err = -errno;
	mr_attach_drop_link(d, l);
	return err;
}

const struct mr_attach_way mr_attach_by_link = {
	.attach = attach,
	.replace = replace,
	.detach = detach,
};

bool mr_attach_take_link(struct mr_daemon *d, struct mr_link *l)
{
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);
	char path[PATH_BYTES];

	pin_path(d, l, path);
	l->held = bpf_obj_get(path);
	if (l->held < 0) {
		l->held = -1;
		return false;
	}
	if (bpf_obj_get_info_by_fd(l->held, &info, &len) == 0 && info.type == BPF_LINK_TYPE_XDP &&
	    info.xdp.ifindex == l->ifindex)
		return true;
	mr_attach_drop_link(d, l);
	return false;
}

static bool is_held(const struct mr_daemon *d, const char *name)
{
	char mine[PATH_BYTES];

	for (uint32_t i = 0; i < d->n_links; i++) {
		pin_name(d->links[i].name, mine);
		if (d->links[i].held >= 0 && !strcmp(mine, name))
			return true;
	}
	return false;
}

void mr_attach_sweep_links(struct mr_daemon *d)
{
	DIR *directory = opendir(d->settings.pin_directory);
	char path[512];
	struct dirent *e;

	if (!directory)
		return;
	while ((e = readdir(directory)))
		if (!strncmp(e->d_name, PREFIX, strlen(PREFIX)) && !is_held(d, e->d_name)) {
			snprintf(path, sizeof(path), "%s/%s", d->settings.pin_directory, e->d_name);
			if (unlink(path) == 0)
				mr_info("%s: ended, the configuration holds nothing by it any more",
					path);
		}
	closedir(directory);
}
