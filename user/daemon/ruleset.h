/* SPDX-License-Identifier: MIT */
/*
 * The rules that are in force, as a whole: those that steer, those that pass or drop, and the mode.
 * A set is a list; the settings hold it by number, for lanes and connections know steering rules by
 * theirs. In shared memory it goes between child and parent, and from a daemon to the next one.
 */
#ifndef MR_DAEMON_RULESET_H
#define MR_DAEMON_RULESET_H

#include "user/daemon/daemon.h"

struct mr_ruleset {
	struct mr_settings_rule *list;
	unsigned int n;
	enum mr_mode mode;
	uint16_t last_filter; /* number given last to one that passes or drops */
	uint64_t file;	      /* mr_ruleset_digest() of the rules as the file has them */
};

/* A set as bytes; in list[], pointers mean nothing, numbers of prefixes do. */
struct mr_rules_room {
	uint32_t n, mode;
	uint32_t last_filter, pad;
	uint64_t file;
	uint64_t directory[MR_MAX_DIRECTORIES]; /* digests of their paths */
	uint64_t ended[MR_RULE_WORDS];		/* child: rules that leave without connections */
	struct mr_settings_rule list[MR_RULES_MOST];
	struct mr_net prefix[MR_PREFIXES_MOST];
};

/** mr_ruleset_room() - make the shared memory, before the child is forked; 0 or -errno */
int mr_ruleset_room(struct mr_daemon *d);

/** mr_ruleset_lay() - put a set into a room; 0 or -E2BIG */
int mr_ruleset_lay(struct mr_rules_room *room, const struct mr_settings *s,
		   const struct mr_ruleset *f);

/**
 * mr_ruleset_take() - a copy of what lies in a room, checked as words of a stranger
 * @s:		the settings that it is for: interfaces, directories, limits
 * @whole:	with numbers and states; else every rule is live, and its number is to be found
 *
 * Rules whose interface or directory @s has not, or whose port is its lanes', are left out of a
 * whole set, with a warning.
 *
 * Return: 0, or -errno with @f empty; -EINVAL for what should not lie there
 */
int mr_ruleset_take(const struct mr_rules_room *room, const struct mr_settings *s, bool whole,
		    struct mr_ruleset *f);

/** mr_ruleset_copy() - those of the settings; @leaving: those that leave too; 0 or -ENOMEM */
int mr_ruleset_copy(struct mr_ruleset *f, const struct mr_settings *s, bool leaving);

/** mr_ruleset_add() - a copy of @r at the end; 0 or -ENOMEM with @f as it was */
int mr_ruleset_add(struct mr_ruleset *f, const struct mr_settings_rule *r);

/**
 * mr_ruleset_number() - give each rule of @next its number, when @now is in force
 *
 * A rule of the same name keeps its number; one that steers does so if it names the same frames and
 * serves as before, for its connections stay what they are. Steering rules that are no more in
 * @next are added to it: they leave.
 *
 * Return: 0, -ENOMEM, or -ENOSPC: there are too many
 */
int mr_ruleset_number(struct mr_ruleset *next, const struct mr_ruleset *now);

/** mr_ruleset_install() - @f into the settings in place of theirs; 0, or -ENOMEM with both as
 * before */
int mr_ruleset_install(struct mr_settings *s, struct mr_ruleset *f);

/** mr_ruleset_follow() - limits of the guard go with the names of rules; @was: before */
void mr_ruleset_follow(struct mr_settings *s, const struct mr_settings *was);

/** mr_ruleset_follow_file() - so do those of a file, to the numbers that its rules have in @next */
void mr_ruleset_follow_file(struct mr_settings *file, const struct mr_settings *next);

/** mr_ruleset_swap() - what of two settings is rules changes places */
void mr_ruleset_swap(struct mr_settings *a, struct mr_settings *b);

/** mr_ruleset_find() - a live rule by its name, or NULL */
struct mr_settings_rule *mr_ruleset_find(const struct mr_ruleset *f, const char *name);

/** mr_rule_leave() - it takes no new connections from now on, and comes behind all others */
void mr_rule_leave(struct mr_settings_rule *r);

/** mr_rule_serves_alike() - are its connections served in the same way? */
bool mr_rule_serves_alike(const struct mr_lane_rule *a, const struct mr_lane_rule *b);

/** mr_ruleset_digest() - says whether rules and mode of two settings are the same */
uint64_t mr_ruleset_digest(const struct mr_settings *s);

void mr_ruleset_free(struct mr_ruleset *f);

#endif
