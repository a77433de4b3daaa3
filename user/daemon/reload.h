/* SPDX-License-Identifier: MIT */
/*
 * The configuration file, read again while the daemon serves (SIGHUP, POST /v1/config/reload).
 * Rules, mode and guard become those of the file, in one step and as rules change at run time
 * (rule_change.h), or nothing changes. What was added at run time stays beside the file's rules
 * unless it clashes with one; what was changed of the guard stays laid over the file's. Settings
 * that cannot change while lanes run are named and left as they are. Parent only.
 */
#ifndef MR_DAEMON_RELOAD_H
#define MR_DAEMON_RELOAD_H

#include <stdbool.h>

#include "user/daemon/daemon.h"

enum {
	MR_RELOAD_WORDS = 1024,
};

/* What came of the last one: the parent writes it before its note, the child reads it behind. */
struct mr_reload_shown {
	char error[MR_CONFIG_ERROR_BYTES]; /* "": it is in force */
	char left[MR_RELOAD_WORDS];	   /* settings that are others in the file, ", " between */
	char dropped[MR_RELOAD_WORDS];	   /* rules added at run time that clashed */
	uint32_t rules;
};

/** mr_reload_room() - start: memory to show it in; 0 or -errno with @d->error */
int mr_reload_room(struct mr_daemon *d);

/** mr_reload() - begin; MR_NOTE_RELOADED tells the child what came of it, now or later */
void mr_reload(struct mr_daemon *d);

/** mr_reload_tick() - begin one that SIGHUP asked for (@d->reload_wanted), when nothing else runs
 */
void mr_reload_tick(struct mr_daemon *d);

/** mr_reload_ended() - rule_change.c: it is in force (@words "") or refused, and all is as before
 */
void mr_reload_ended(struct mr_daemon *d, const char *words);

/** mr_reload_differences() - settings that need a restart and differ; @out "" when none does */
void mr_reload_differences(const struct mr_settings *now, const struct mr_settings *file,
			   char out[MR_RELOAD_WORDS]);

#endif
