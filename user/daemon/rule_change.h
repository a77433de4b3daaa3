/* SPDX-License-Identifier: MIT */
/*
 * Rules that change while lanes run, the parent's part. The order: ports are bound; the lanes learn
 * the new rules beside the old ones, and each agrees or refuses (agree.c); the next generation is
 * published; the lanes learn which rules leave; those without connections are forgotten. Whatever
 * fails up to the generation leaves all as it was. Before lanes are asked, the new rules stand in
 * keeping as rules that leave, so that a daemon that takes over knows each number that a connection
 * may have.
 */
#ifndef MR_DAEMON_RULE_CHANGE_H
#define MR_DAEMON_RULE_CHANGE_H

#include "user/daemon/ruleset.h"

/** mr_rules_adopt() - start: the rules that a daemon before us had, as far as they go on; 0 */
int mr_rules_adopt(struct mr_daemon *d);

/** mr_rules_keep() - start: the rules as they are, for the next daemon; 0, a warning otherwise */
int mr_rules_keep(struct mr_daemon *d);

/** mr_rules_tell() - a lane's worker that we did not start learns the rules; 0 or -errno */
int mr_rules_tell(struct mr_daemon *d, const struct mr_lane *l);

/**
 * mr_rules_change() - begin a change; the child is told what comes of it
 * @live:	all rules that are to be, without numbers; given
 *
 * MR_NOTE_RULES when it is in force or refused, now or when the lanes have agreed.
 */
void mr_rules_change(struct mr_daemon *d, struct mr_ruleset *live);

/**
 * mr_rules_reload() - rules, mode and guard as a file has them, in one change
 * @file:	checked, its directories numbered as ours; given
 *
 * What was added at run time and clashes with the file is dropped and named in d->reload_shown.
 * mr_reload_ended() tells what came of it. No change is under way.
 */
void mr_rules_reload(struct mr_daemon *d, struct mr_settings *file);

/** mr_rules_agreed() - all lanes have; mr_rules_refused() - one has not, for the reason @words */
void mr_rules_agreed(struct mr_daemon *d);
void mr_rules_refused(struct mr_daemon *d, const char *words);

/** mr_rules_ended() - those that the child says have no connections are forgotten */
void mr_rules_ended(struct mr_daemon *d);

/** mr_rules_child_ended() - nobody asks the lanes any more: back; _started(): they tell it again */
void mr_rules_child_ended(struct mr_daemon *d);
void mr_rules_child_started(struct mr_daemon *d);

/** mr_rules_end() - what all of this holds */
void mr_rules_end(struct mr_daemon *d);

#endif
