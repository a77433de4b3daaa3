/* SPDX-License-Identifier: MIT */
#include "user/daemon/guard_keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/daemon/estate.h"
#include "user/daemon/log.h"

enum {
	KEPT_MAGIC = 0x4d52474b,
	KEPT_VERSION = 1, /* raise it with any change of struct mr_guard_few or mr_block_item */
};

struct mr_guard_room {
	struct mr_guard_few few;
	uint32_t n_blocks;
	struct mr_block_item block[MR_MAX_BLOCKS];
};

/* In the memory that is kept; blocks behind it. */
struct kept {
	uint32_t magic, version, n_blocks, few_bytes;
	struct mr_guard_few few;
};

void mr_guard_lay(struct mr_daemon *d, const struct mr_guard_changes *g)
{
	struct mr_guard_room *room = d->guard_room;

	room->few = g->few;
	room->n_blocks = g->blocks.n;
	if (g->blocks.n)
		memcpy(room->block, g->blocks.item, g->blocks.n * sizeof(*room->block));
}

/* Both from memory that others write: first copied, then looked at. */
static int copy(struct mr_guard_changes *g, const struct mr_guard_few *few,
		const struct mr_block_item *block, uint32_t n)
{
	struct mr_blocks from = { (struct mr_block_item *)block, n, n };
	int err;

	g->few = *few;
	err = mr_blocks_copy(&g->blocks, &from);
	if (!err)
		err = mr_guard_changes_check(g);
	if (err)
		mr_guard_changes_free(g);
	return err;
}

int mr_guard_take(struct mr_daemon *d, struct mr_guard_changes *g)
{
	uint32_t n = *(const volatile uint32_t *)&d->guard_room->n_blocks;

	memset(g, 0, sizeof(*g));
	if (n > MR_MAX_BLOCKS)
		return -EINVAL;
	return copy(g, &d->guard_room->few, d->guard_room->block, n);
}

static bool is_ours(const struct kept *k, size_t bytes)
{
	return bytes >= sizeof(*k) && k->magic == KEPT_MAGIC && k->version == KEPT_VERSION &&
	       k->few_bytes == sizeof(k->few) && k->n_blocks <= MR_MAX_BLOCKS &&
	       bytes == sizeof(*k) + k->n_blocks * sizeof(struct mr_block_item);
}

static int take_up(struct mr_daemon *d, int fd)
{
	const struct kept *k;
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0)
		return -errno;
	k = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (k == MAP_FAILED)
		return -errno;
	err = is_ours(k, (size_t)st.st_size)
		      ? copy(d->guard_changes, &k->few, (const struct mr_block_item *)(k + 1),
			     k->n_blocks)
		      : -EPROTO;
	munmap((void *)k, (size_t)st.st_size);
	return err;
}

int mr_guard_keep_open(struct mr_daemon *d)
{
	int fd = mr_estate_guard(d), err = 0;
	/* Pages that nobody writes cost nothing. */
	void *p = mmap(NULL, sizeof(struct mr_guard_room), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	d->guard_changes = calloc(1, sizeof(*d->guard_changes));
	if (p == MAP_FAILED || !d->guard_changes)
		return mr_fail(d, -ENOMEM, "guard: no memory to change it");
	d->guard_room = p;
	if (fd >= 0)
		err = take_up(d, fd);
	if (err)
		mr_warn("guard: what was changed at run time is not taken up: %s; make the changes "
			"again",
			err == -EPROTO ? "another version kept it" : strerror(-err));
	d->guard_kept = fd;
	return 0;
}

void mr_guard_keep_close(struct mr_daemon *d)
{
	if (d->guard_changes)
		mr_guard_changes_free(d->guard_changes);
	free(d->guard_changes);
	d->guard_changes = NULL;
	mr_guard_fini(&d->guard);
	mr_close_fd(&d->guard_kept);
}

static bool write_kept(int fd, const struct mr_guard_changes *g)
{
	const size_t bytes = sizeof(struct kept) + g->blocks.n * sizeof(struct mr_block_item);
	struct kept *k;

	if (ftruncate(fd, (off_t)bytes) < 0)
		return false;
	k = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (k == MAP_FAILED)
		return false;
	k->magic = KEPT_MAGIC;
	k->version = KEPT_VERSION;
	k->n_blocks = g->blocks.n;
	k->few_bytes = sizeof(k->few);
	k->few = g->few;
	if (g->blocks.n)
		memcpy(k + 1, g->blocks.item, g->blocks.n * sizeof(struct mr_block_item));
	munmap(k, bytes);
	return true;
}

/* Memory of its own for each: what is in keeping is always whole. */
void mr_guard_keep(struct mr_daemon *d)
{
	int fd = memfd_create("mr-guard", MFD_CLOEXEC);

	if (fd >= 0 && !write_kept(fd, d->guard_changes))
		mr_close_fd(&fd);
	if (fd < 0) {
		mr_warn("guard: changes are not kept for another daemon: %s", strerror(errno));
		return;
	}
	mr_close_fd(&d->guard_kept);
	d->guard_kept = fd;
	mr_estate_guard_keep(d);
}
