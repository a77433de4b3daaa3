/* SPDX-License-Identifier: MIT */
/*
 * store: each value becomes a record at the end of the file of its tag. The
 * record and the rules for readers are in docs/apps.md.
 *
 * Several lanes, and several processes, append to the same files without knowing
 * of each other: a record is one writev() on an O_APPEND descriptor, which a local
 * file system does not mix with another. Only a full disk (or a limit) makes it
 * write a part. Another lane may already stand behind that part, so it cannot be
 * completed, and cutting the file could cut the other's record. Instead the part's
 * own header is changed so that it covers just what is there, with connection
 * id 0: readers skip it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <endian.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "user/apps/apps.h"
#include "user/apps/store.h"

struct store_file {
	uint64_t tag;
	uint64_t last_use;
	int fd; /* -1: not open */
};

struct store {
	int directory; /* the daemon's, not ours to close */
	uint64_t uses;
	struct mr_store_errors errors;
	struct store_file files[MR_STORE_FILES_OPEN];
};

static int store_start(struct mr_host *h, const struct mr_app_args *args, void **rule_state)
{
	struct store *s;
	unsigned int i;

	(void)h;
	if (args->directory < 0)
		return -ENOTDIR;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->directory = args->directory;
	for (i = 0; i < MR_STORE_FILES_OPEN; i++)
		s->files[i].fd = -1;
	*rule_state = s;
	return 0;
}

static void close_file(struct store_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	*f = (struct store_file){ .fd = -1 };
}

static void store_stop(struct mr_host *h, void *rule_state)
{
	struct store *s = rule_state;
	unsigned int i;

	(void)h;
	for (i = 0; i < MR_STORE_FILES_OPEN; i++)
		close_file(&s->files[i]);
	free(s);
}

/* The tag's open file, else the slot to open it in: a free one (never used), or the oldest. */
static struct store_file *find_file(struct store *s, uint64_t tag)
{
	struct store_file *oldest = &s->files[0];
	unsigned int i;

	for (i = 0; i < MR_STORE_FILES_OPEN; i++) {
		struct store_file *f = &s->files[i];

		if (f->fd >= 0 && f->tag == tag)
			return f;
		if (f->last_use < oldest->last_use)
			oldest = f;
	}
	close_file(oldest);
	return oldest;
}

/* Never a link to elsewhere, nor one that waits for a reader as a FIFO would. */
static int open_file(struct store *s, struct store_file *f, uint64_t tag)
{
	char name[sizeof("tag-18446744073709551615.bin")];

	snprintf(name, sizeof(name), "tag-%" PRIu64 ".bin", tag);
	f->fd = openat(s->directory, name,
		       O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
	if (f->fd < 0)
		return -errno;
	f->tag = tag;
	return 0;
}

static void make_header(uint8_t header[MR_STORE_RECORD_HEADER], uint64_t id, uint32_t len)
{
	uint64_t id_be = htobe64(id);
	uint32_t len_be = htobe32(len);

	memcpy(header, &id_be, sizeof(id_be));
	memcpy(header + sizeof(id_be), &len_be, sizeof(len_be));
}

/* pwrite() appends while O_APPEND is set (BUGS in pwrite(2)); the file is this lane's own. */
static int write_at(int fd, off_t at, const void *data, size_t len)
{
	int flags = fcntl(fd, F_GETFL);
	ssize_t n;

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_APPEND) < 0)
		return -errno;
	n = pwrite(fd, data, len, at);
	if (fcntl(fd, F_SETFL, flags) < 0)
		return -errno;
	return n == (ssize_t)len ? 0 : -EIO;
}

/*
 * Undo a record of which only the first @written bytes are in the file. Less than
 * a header is cut off, which is safe only while nobody else stands behind it.
 */
static int undo_part(int fd, size_t written)
{
	uint8_t header[MR_STORE_RECORD_HEADER];
	off_t end = lseek(fd, 0, SEEK_CUR); /* after an append: the end of what it wrote */
	off_t start = end - (off_t)written;

	if (end < 0)
		return -errno;
	if (written >= sizeof(header)) {
		make_header(header, 0, (uint32_t)(written - sizeof(header)));
		return write_at(fd, start, header, sizeof(header));
	}
	if (lseek(fd, 0, SEEK_END) != end)
		return -EBUSY;
	return ftruncate(fd, start) ? -errno : 0;
}

static int append_record(struct store *s, int fd, mr_conn_id c, const uint8_t *value, size_t len)
{
	uint8_t header[MR_STORE_RECORD_HEADER];
	struct iovec parts[] = {
		{ .iov_base = header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)value, .iov_len = len },
	};
	ssize_t n;

	make_header(header, c, (uint32_t)len);
	do {
		n = writev(fd, parts, 2);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n == sizeof(header) + len)
		return 0;
	if (n > 0 && undo_part(fd, (size_t)n))
		s->errors.torn++;
	return -ENOSPC;
}

static int store_value(struct store *s, mr_conn_id c, uint64_t tag, const uint8_t *value,
		       size_t len)
{
	struct store_file *f = find_file(s, tag);
	int err = 0;

	if (f->fd < 0)
		err = open_file(s, f, tag);
	if (!err)
		err = append_record(s, f->fd, c, value, len);
	if (err) {
		close_file(f); /* the next message of this tag opens it anew */
		return err;
	}
	f->last_use = ++s->uses;
	return 0;
}

static enum mr_app_verdict store_message(struct mr_host *h, mr_conn_id c, uint64_t tag,
					 const uint8_t *value, size_t len)
{
	struct store *s = mr_rule_state(h, c);
	int err = store_value(s, c, tag, value, len);

	if (!err)
		return MR_APP_DONE;
	s->errors.count++;
	s->errors.last = -err;
	s->errors.last_tag = tag;
	mr_abort(h, c);
	return MR_APP_CLOSED;
}

const struct mr_store_errors *mr_store_errors(const void *rule_state)
{
	const struct store *s = rule_state;

	return &s->errors;
}

const struct mr_app mr_app_store = {
	.name = "store",
	.messages = true,
	.start = store_start,
	.stop = store_stop,
	.message = store_message,
};
