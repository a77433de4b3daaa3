/* SPDX-License-Identifier: MIT */
/*
 * The daemon's log: object first, then the fact, then numbers with units. To stderr until the
 * daemon goes into the background, then to syslog(3); with the journal's priority prefix when
 * stderr is the journal. Of lines
 * from one place in the source 200 are written in ten seconds, then they are counted; errors
 * always.
 */
#ifndef MR_DAEMON_LOG_H
#define MR_DAEMON_LOG_H

#include <stdbool.h>
#include <stdarg.h>

enum mr_log_level {
	MR_LOG_ERROR = 3, /* we cannot do our work; values as LOG_ERR .. LOG_DEBUG */
	MR_LOG_WARN = 4,  /* we lost something */
	MR_LOG_INFO = 6,  /* start, stop, a link */
	MR_LOG_DEBUG = 7, /* the rest; only with -d */
};

/** mr_log_init() - @debug: debug lines too; writes to stderr until mr_log_to_syslog() */
void mr_log_init(bool debug);

/** mr_log_to_syslog() - from now on to syslog(3), connected at once */
void mr_log_to_syslog(void);

/** mr_log_reopen() - connect to syslog again, after its descriptor was closed */
void mr_log_reopen(void);

/** mr_log() - one line; a line feed at the end is added, those inside become spaces */
void mr_log(enum mr_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define mr_error(...) mr_log(MR_LOG_ERROR, __VA_ARGS__)
#define mr_warn(...)  mr_log(MR_LOG_WARN, __VA_ARGS__)
#define mr_info(...)  mr_log(MR_LOG_INFO, __VA_ARGS__)
#define mr_debug(...) mr_log(MR_LOG_DEBUG, __VA_ARGS__)

#endif
