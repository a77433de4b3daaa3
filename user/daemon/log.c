/* SPDX-License-Identifier: MIT */
#include "user/daemon/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_BYTES = 1024,
	KINDS = 64,	  /* of lines that are counted at a time */
	KIND_LINES = 200, /* of a kind within KIND_S: 64 lanes may say something each */
	KIND_S = 10,
};

/* Lines of one place in the source, known by its format. */
struct kind {
	const char *fmt;
	time_t since;
	unsigned int lines;
	uint64_t left_out;
};

static struct {
	bool debug;
	bool syslog;
	bool journal;
	struct kind kinds[KINDS];
} log_to;

/* systemd.exec(5): standard error is the journal if JOURNAL_STREAM is its device and inode. A
 * daemon that was started from a shell of a service inherits the variable, not the stream. */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;
	char rest;

	return stream && sscanf(stream, "%ju:%ju%c", &device, &inode, &rest) == 2 &&
	       fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void mr_log_init(bool debug)
{
	log_to.debug = debug;
	log_to.journal = is_journal(STDERR_FILENO);
}

void mr_log_to_syslog(void)
{
	openlog("millraced", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	log_to.syslog = true;
}

void mr_log_reopen(void)
{
	if (log_to.syslog)
		mr_log_to_syslog();
}

/* One record is one line, whatever a peer or a worker put into its words. */
static void make_printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = ' ';
}

/* One write() a line, so that lines of several processes never mix. */
static void write_line(enum mr_log_level level, const char *line)
{
	char out[LINE_BYTES + 16];
	int n;

	if (log_to.journal)
		n = snprintf(out, sizeof(out), "<%d>%s\n", (int)level, line);
	else
		n = snprintf(out, sizeof(out), "millraced: %s\n", line);
	if (n > 0 && write(STDERR_FILENO, out, (size_t)n) < 0)
		return; /* nobody left to tell */
}

static void write_out(enum mr_log_level level, const char *line)
{
	if (log_to.syslog)
		syslog((int)level, "%s", line);
	else
		write_line(level, line);
}

static time_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* The count of lines like this one; another kind gives way when there are too many. */
static struct kind *kind_of(const char *fmt)
{
	struct kind *k = &log_to.kinds[((uintptr_t)fmt >> 4) % KINDS];

	if (k->fmt != fmt)
		*k = (struct kind){ .fmt = fmt, .since = now_s() };
	return k;
}

/*
 * May another line of this kind be written? What peers, clients and workers cause may come as often
 * as they please; the disk and whoever reads the log are spared. Errors are always written.
 */
static bool is_allowed(enum mr_log_level level, const char *fmt)
{
	struct kind *k = kind_of(fmt);
	time_t now = now_s();
	char words[96];

	if (now - k->since >= KIND_S) {
		if (k->left_out) {
			snprintf(words, sizeof(words),
				 "log: %" PRIu64 " lines like the next one were left out",
				 k->left_out);
			write_out(level, words);
		}
		k->since = now;
		k->lines = 0;
		k->left_out = 0;
	}
	if (k->lines++ < KIND_LINES || level <= MR_LOG_ERROR)
		return true;
	k->left_out++;
	return false;
}

void mr_log(enum mr_log_level level, const char *fmt, ...)
{
	char line[LINE_BYTES];
	va_list args;

	if ((level == MR_LOG_DEBUG && !log_to.debug) || !is_allowed(level, fmt))
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	make_printable(line);
	write_out(level, line);
}
