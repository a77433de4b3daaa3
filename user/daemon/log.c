/* SPDX-License-Identifier: MIT */
#include "user/daemon/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum {
	LINE_BYTES = 1024,
};

static struct {
	bool debug;
	bool syslog;
	bool journal;
} log_to;

void mr_log_init(bool debug)
{
	log_to.debug = debug;
	log_to.journal = getenv("JOURNAL_STREAM") != NULL && !isatty(STDERR_FILENO);
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

void mr_log(enum mr_log_level level, const char *fmt, ...)
{
	char line[LINE_BYTES];
	va_list args;

	if (level == MR_LOG_DEBUG && !log_to.debug)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	make_printable(line);
	if (log_to.syslog)
		syslog((int)level, "%s", line);
	else
		write_line(level, line);
}
