/* SPDX-License-Identifier: MIT */
/* Sets of address prefixes, as rules name them: from words, from files, without doubles. */
#ifndef MR_DAEMON_PREFIXES_H
#define MR_DAEMON_PREFIXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/mr_worker.h"

enum {
	MR_PREFIXES_MOST = 1 << 20, /* of one set */
	MR_PREFIX_WORDS = 160,	    /* of an error */
};

/* Sorted, and none lies in another, once mr_prefixes_finish() was called. */
struct mr_prefixes {
	struct mr_net *list;
	uint32_t n, room;
	bool given;	/* not: any address; given and n is 0: no address */
	uint16_t width; /* 0: any; 1 + bits of the widest */
};

/**
 * mr_net_parse() - "192.0.2.0/24", "2001:db8::/32", an address alone
 *
 * Return: 0, or -EINVAL with @why, in words, unless it is NULL
 */
int mr_net_parse(const char *text, struct mr_net *out, char why[MR_PREFIX_WORDS]);

/** mr_net_is_sound() - is it as mr_net_parse() makes them? Of records that others wrote */
bool mr_net_is_sound(const struct mr_net *p);

/** mr_net_text() - the same for people; @out of 64 bytes */
const char *mr_net_text(const struct mr_net *p, char out[64]);

/** mr_prefixes_add() - one more; 0, -ENOMEM or -E2BIG */
int mr_prefixes_add(struct mr_prefixes *s, const struct mr_net *p);

/** mr_prefixes_words() - those of a text, between commas or blanks; -EINVAL with @why */
int mr_prefixes_words(struct mr_prefixes *s, const char *text, char why[MR_PREFIX_WORDS]);

/**
 * mr_prefixes_file() - one a line; empty lines, and what follows a # or ;, are left out
 *
 * Return: 0, or -errno with @why: the line, what is wrong and the cure
 */
int mr_prefixes_file(struct mr_prefixes *s, const char *path, char why[MR_PREFIX_WORDS]);

/** mr_prefixes_finish() - sort, drop what lies in another one, note the widest */
void mr_prefixes_finish(struct mr_prefixes *s);

/** mr_prefixes_are_equal() - both finished */
bool mr_prefixes_are_equal(const struct mr_prefixes *a, const struct mr_prefixes *b);

/** mr_prefixes_free() - leaves an empty one */
void mr_prefixes_free(struct mr_prefixes *s);

#endif
