/* SPDX-License-Identifier: MIT */
#include "user/daemon/pins.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "user/daemon/bpf.h"
#include "user/daemon/estate.h"
#include "user/daemon/log.h"

#define BPF_MOUNT "/sys/fs/bpf"

enum {
	BPFFS_MAGIC = 0xcafe4a11,
};

static bool is_bpffs(const char *path)
{
	struct statfs s;

	return statfs(path, &s) == 0 && (unsigned long)s.f_type == BPFFS_MAGIC;
}

static void parent_of(const char *path, char parent[128])
{
	snprintf(parent, 128, "%s", path);
	char *slash = strrchr(parent, '/');

	*(slash == parent ? slash + 1 : slash) = '\0';
}

/* As iproute2 does it: a BPF file system appears at its usual place when it is needed. */
static int find_bpffs(struct mr_daemon *d)
{
	const char *pins = d->settings.pin_directory;
	char parent[128];

	parent_of(pins, parent);
	if (is_bpffs(parent) || is_bpffs(pins))
		return 0;
	if (!strncmp(pins, BPF_MOUNT "/", sizeof(BPF_MOUNT)) && !is_bpffs(BPF_MOUNT)) {
		if (mount("bpf", BPF_MOUNT, "bpf", 0, "mode=0700") < 0)
			return mr_fail(d, -errno,
				       "%s: no BPF file system there, and none can be mounted: %s; "
				       "mount -t bpf bpf " BPF_MOUNT,
				       pins, strerror(errno));
		mr_info("%s: mounted a BPF file system", BPF_MOUNT);
	}
	if (is_bpffs(parent))
		return 0;
	return mr_fail(d, -EINVAL,
		       "pin_directory %s: %s is not on a BPF file system; mount -t bpf bpf %s, or "
		       "choose a directory just below " BPF_MOUNT,
		       pins, parent, parent);
}

static int lock_pins(struct mr_daemon *d)
{
	const char *pins = d->settings.pin_directory;

	if (mkdir(pins, 0700) < 0 && errno != EEXIST)
		return mr_fail(d, -errno, "pin_directory %s: cannot be made: %s", pins,
			       strerror(errno));
	d->bpf.pin_lock = open(pins, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->bpf.pin_lock < 0)
		return mr_fail(d, -errno, "pin_directory %s: %s", pins, strerror(errno));
	if (flock(d->bpf.pin_lock, LOCK_EX | LOCK_NB) < 0) {
		mr_close_fd(&d->bpf.pin_lock);
		return mr_fail(
			d, -EBUSY,
			"pin_directory %s: another millraced uses it; stop that one, or give "
			"this one a pin_directory of its own",
			pins);
	}
	return 0;
}

void mr_pin_path(const struct mr_daemon *d, enum mr_map map, char path[MR_PIN_PATH])
{
	snprintf(path, MR_PIN_PATH, "%s/%s", d->settings.pin_directory, mr_bpf_map_name(map));
}

/* Remembered, to know a program of that daemon again: attach.c. */
static void note_former(struct mr_daemon *d)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	char path[MR_PIN_PATH];
	int fd;

	mr_pin_path(d, MR_MAP_BEAT, path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0)
		d->bpf.former_beats = info.id;
	close(fd);
}

/* The directory's lock is ours, so its pins are of a daemon that is no more. */
static void remove_pins(struct mr_daemon *d)
{
	char path[MR_PIN_PATH];

	for (unsigned int i = 0; i < MR_MAP_COUNT; i++) {
		mr_pin_path(d, (enum mr_map)i, path);
		unlink(path);
	}
}

int mr_pins_open(struct mr_daemon *d)
{
	int err = find_bpffs(d);

	if (!err)
		err = lock_pins(d);
	if (err)
		return err;
	note_former(d);
	if (d->adopting)
		return mr_estate_maps(d);
	remove_pins(d);
	return 0;
}

void mr_pins_remove(struct mr_daemon *d)
{
	remove_pins(d);
	rmdir(d->settings.pin_directory);
}

void mr_pins_close(struct mr_daemon *d)
{
	mr_close_fd(&d->bpf.pin_lock);
}
