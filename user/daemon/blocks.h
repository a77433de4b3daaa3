/* SPDX-License-Identifier: MIT */
/*
 * Block lists as people write them: a prefix a line, "allow" in front of an exception, # for
 * comments. Sorted, each prefix once.
 */
#ifndef MR_DAEMON_BLOCKS_H
#define MR_DAEMON_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

#include "shared/mr_guard.h"

enum {
	MR_BLOCK_ERROR_BYTES = 512,
	MR_BLOCK_TEXT = 56, /* "allow ", an IPv6 address, "/128" */
	MR_BLOCK_NONE =
		0, /* as an action, in a list of changes: the prefix is on the list no more */
};

/* One line. Order of fields is order of the list: IPv4 first, then by address, then by length. */
struct mr_block_item {
	uint8_t family;	  /* 4 or 6 */
	uint8_t addr[16]; /* of IPv4 the first four */
	uint8_t bits;
	uint8_t action; /* enum mr_block_action */
};

struct mr_blocks {
	struct mr_block_item *item;
	uint32_t n, room;
};

/**
 * mr_block_parse() - one line, without its line feed
 * @wrong:	out for -EINVAL: what is wrong with it, and the cure
 *
 * Return: 1, 0 for a line without a prefix, or -EINVAL
 */
int mr_block_parse(const char *line, struct mr_block_item *out, char wrong[MR_BLOCK_ERROR_BYTES]);

/** mr_block_is_valid() - could mr_block_parse() have made it? For what comes from another process
 */
int mr_block_is_valid(const struct mr_block_item *i);

/** mr_block_text() - as a line of a list */
const char *mr_block_text(const struct mr_block_item *i, char out[MR_BLOCK_TEXT]);

/** mr_blocks_put() - append; 0, -ENOMEM, or -E2BIG with MR_MAX_BLOCKS in it */
int mr_blocks_put(struct mr_blocks *b, const struct mr_block_item *i);

/**
 * mr_blocks_parse() - all lines of a text
 * @name:	of the text, for messages
 * @error:	out: "NAME:LINE: what is wrong; cure"
 *
 * Return: 0, or -errno with @b as far as it was read
 */
int mr_blocks_parse(struct mr_blocks *b, const char *name, const char *text, size_t bytes,
		    char error[MR_BLOCK_ERROR_BYTES]);

/** mr_blocks_read() - the same from a file */
int mr_blocks_read(struct mr_blocks *b, const char *file, char error[MR_BLOCK_ERROR_BYTES]);

/** mr_blocks_sort() - each prefix once; of those that stand twice an allow entry stays */
void mr_blocks_sort(struct mr_blocks *b);

/** mr_blocks_is_sorted() - as mr_blocks_sort() leaves it? For what comes from another process */
bool mr_blocks_is_sorted(const struct mr_blocks *b);

/** mr_blocks_is_equal() - two sorted lists */
bool mr_blocks_is_equal(const struct mr_blocks *a, const struct mr_blocks *b);

/** mr_blocks_find() - in a sorted list, whatever its action; NULL: not there */
const struct mr_block_item *mr_blocks_find(const struct mr_blocks *b,
					   const struct mr_block_item *i);

/**
 * mr_blocks_join() - @base as @changes have it
 * @to:		out: sorted; the caller's, empty on error
 * @changes:	sorted; an item stands in place of that of @base with its prefix, which goes without
 *		one where the action is MR_BLOCK_NONE
 *
 * Return: 0, -ENOMEM, or -E2BIG
 */
int mr_blocks_join(struct mr_blocks *to, const struct mr_blocks *base,
		   const struct mr_blocks *changes);

/** mr_blocks_diff() - the changes that make @base to @wanted; otherwise as mr_blocks_join() */
int mr_blocks_diff(struct mr_blocks *changes, const struct mr_blocks *base,
		   const struct mr_blocks *wanted);

/** mr_blocks_copy() - @to is empty; 0 or -ENOMEM */
int mr_blocks_copy(struct mr_blocks *to, const struct mr_blocks *from);

void mr_blocks_free(struct mr_blocks *b);

#endif
