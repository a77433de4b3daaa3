/* SPDX-License-Identifier: MIT */
/*
 * What was changed of the guard while the daemon runs, told apart from what the configuration
 * says: changes are kept as what differs from it, and laid over it (mr_guard_merge()). So they
 * also hold over a configuration that is read again, and a daemon that takes up lanes takes up
 * the changes with them (guard_keep.c).
 *
 * The child works changes out and lays them into memory that both processes see; the parent
 * copies and checks them as it would any words of the child.
 */
#ifndef MR_DAEMON_GUARD_CHANGES_H
#define MR_DAEMON_GUARD_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "user/daemon/config.h"

enum {
	MR_GUARD_LIMIT_CHANGES = 2 * MR_MAX_GUARD_LIMITS, /* all others, and all of the file gone */
	MR_GUARD_WORDS = MR_BLOCK_ERROR_BYTES,
};

/* The limits of a rule; without any: those of the configuration are gone. */
struct mr_guard_rule_change {
	char rule[MR_RULE_NAME_BYTES];
	struct mr_guard_rate packets, syns;
};

/* When the XDP program answers SYNs. */
struct mr_guard_syn {
	uint32_t answers;    /* enum mr_syn_answers */
	uint32_t at_percent; /* of a lane's half-open records in use: from here on */
	uint32_t calm_s;     /* until this long after it became calm */
};

/* All but the block lists. */
struct mr_guard_few {
	uint32_t n_limits, n_rules;
	struct mr_guard_limit limit[MR_GUARD_LIMIT_CHANGES]; /* without a rate: gone */
	struct mr_guard_rule_change rule[MR_RULES_MOST];
	uint32_t has_syn;
	struct mr_guard_syn syn;
};

struct mr_guard_changes {
	struct mr_blocks blocks; /* sorted; MR_BLOCK_NONE: gone */
	struct mr_guard_few few;
};

/** mr_syn_answer_names() - of enum mr_syn_answers, as the file spells them; NULL at the end */
const char *const *mr_syn_answer_names(void);

/** mr_guard_changes_copy() - @to is not looked at; 0, or -ENOMEM with nothing in it */
int mr_guard_changes_copy(struct mr_guard_changes *to, const struct mr_guard_changes *from);

/** mr_guard_changes_free() - what it owns, not the record; it is empty then */
void mr_guard_changes_free(struct mr_guard_changes *g);

/** mr_guard_changes_check() - could the functions below have made it? 0 or -EINVAL */
int mr_guard_changes_check(const struct mr_guard_changes *g);

/**
 * mr_guard_merge() - what holds: what the configuration says with the changes over it
 * @out:	not looked at; the caller's, to be freed with mr_guard_fini(); empty on error
 *
 * Changes for rules that are not there change nothing.
 *
 * Return: 0, -ENOMEM, or -E2BIG: more prefixes or limits than fit
 */
int mr_guard_merge(const struct mr_settings *s, const struct mr_guard_changes *g,
		   struct mr_settings_guard *out);

void mr_guard_fini(struct mr_settings_guard *g);

/** mr_guard_syn() - the same of when SYNs are answered */
struct mr_guard_syn mr_guard_syn(const struct mr_settings *s, const struct mr_guard_changes *g);

/* ----- single changes; @g is as before on error, @words then say why, with the cure ----- */

/**
 * mr_guard_blocks_add() - prefixes on the list, in place of what it has of the same prefix
 * @items:	sorted
 *
 * Return: 0, -ENOMEM, or -E2BIG
 */
int mr_guard_blocks_add(struct mr_guard_changes *g, const struct mr_blocks *config,
			const struct mr_blocks *items, char words[MR_GUARD_WORDS]);

/** mr_guard_blocks_delete() - off the list; -ENOENT: one of them is not there, or is the other kind
 */
int mr_guard_blocks_delete(struct mr_guard_changes *g, const struct mr_blocks *config,
			   const struct mr_blocks *items, char words[MR_GUARD_WORDS]);

/** mr_guard_blocks_load() - just these are the list */
int mr_guard_blocks_load(struct mr_guard_changes *g, const struct mr_blocks *config,
			 const struct mr_blocks *items, char words[MR_GUARD_WORDS]);

/**
 * mr_guard_limit_set() - the limit of sources of its prefix lengths
 * @limit:	without a rate: it is taken away
 *
 * Return: 0, -E2BIG, or -ENOENT: there is none to be taken away
 */
int mr_guard_limit_set(struct mr_guard_changes *g, const struct mr_settings *s,
		       const struct mr_guard_limit *limit, char words[MR_GUARD_WORDS]);

/** mr_guard_rule_set() - the same of a rule that steers; -ENOENT also when it is not there */
int mr_guard_rule_set(struct mr_guard_changes *g, const struct mr_settings *s,
		      const struct mr_guard_rule_change *change, char words[MR_GUARD_WORDS]);

/** mr_guard_syn_set() - -EINVAL: the configuration has switched cookies off */
int mr_guard_syn_set(struct mr_guard_changes *g, const struct mr_settings *s,
		     const struct mr_guard_syn *syn, char words[MR_GUARD_WORDS]);

/* ----- which of what holds was changed, for those who show it ----- */

bool mr_guard_limit_changed(const struct mr_guard_changes *g, const struct mr_guard_limit *limit);
bool mr_guard_rule_changed(const struct mr_guard_changes *g, const char *rule);

#endif
