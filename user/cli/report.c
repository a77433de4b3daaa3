/* SPDX-License-Identifier: MIT */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/cli/report.h"

struct mr_report {
	struct archive *a;
	struct mr_mask *mask;
	char *file;
	int fd;
	int err;
	unsigned int n;
};

static void fail(struct mr_report *r)
{
	if (!r->err)
		r->err = archive_errno(r->a) > 0 ? -archive_errno(r->a) : -EIO;
}

struct mr_report *mr_report_open(const char *file, struct mr_mask *mask, char *why)
{
	struct mr_report *r = calloc(1, sizeof(*r));

	if (!r) {
		snprintf(why, 256, "out of memory");
		return NULL;
	}
	r->fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (r->fd < 0) {
		snprintf(why, 256, "%.180s: cannot be made: %s%s", file, strerror(errno),
			 errno == EEXIST ? "; name another file" : "");
		free(r);
		return NULL;
	}
	r->mask = mask;
	r->file = strdup(file);
	r->a = archive_write_new();
	if (!r->a || archive_write_add_filter_gzip(r->a) != ARCHIVE_OK ||
	    archive_write_set_format_ustar(r->a) != ARCHIVE_OK ||
	    archive_write_open_fd(r->a, r->fd) != ARCHIVE_OK)
		r->err = -ENOMEM;
	return r;
}

static void write_entry(struct mr_report *r, const char *name, const char *text, size_t bytes)
{
	struct archive_entry *e = archive_entry_new();
	char path[256];

	if (!e) {
		r->err = -ENOMEM;
		return;
	}
	snprintf(path, sizeof(path), "millrace-doctor/%s", name);
	archive_entry_set_pathname(e, path);
	archive_entry_set_size(e, (la_int64_t)bytes);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_mtime(e, time(NULL), 0);
	if (archive_write_header(r->a, e) != ARCHIVE_OK ||
	    archive_write_data(r->a, text, bytes) != (la_ssize_t)bytes)
		fail(r);
	archive_entry_free(e);
	r->n++;
}

void mr_report_add(struct mr_report *r, const char *name, const char *text)
{
	char *masked = r->mask ? mr_mask_text(r->mask, text) : NULL;

	if (r->mask && !masked)
		r->err = -ENOMEM; /* rather no report than one that tells */
	if (!r->err)
		write_entry(r, name, masked ? masked : text, strlen(masked ? masked : text));
	free(masked);
}

int mr_report_close(struct mr_report *r, unsigned int *n)
{
	int err;

	if (!r->err && archive_write_close(r->a) != ARCHIVE_OK)
		fail(r);
	archive_write_free(r->a);
	if (close(r->fd) < 0 && !r->err)
		r->err = -errno;
	if (r->err)
		unlink(r->file);
	err = r->err;
	*n = r->n;
	free(r->file);
	free(r);
	return err;
}
