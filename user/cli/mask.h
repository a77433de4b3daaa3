/* SPDX-License-Identifier: MIT */
/* Addresses out of text: each becomes a name of its own, the same wherever it stands. */
#ifndef MR_CLI_MASK_H
#define MR_CLI_MASK_H

#include <stddef.h>

/* The names given so far. */
struct mr_mask;

/** mr_mask_new() - no names yet; NULL when memory is short */
struct mr_mask *mr_mask_new(void);

void mr_mask_free(struct mr_mask *m);

/**
 * mr_mask_word() - a word that is to be replaced wherever it stands alone, as the host's name
 * @name:	what stands for it; borrowed
 */
void mr_mask_word(struct mr_mask *m, const char *word, const char *name);

/**
 * mr_mask_text() - @text with IPv4, IPv6 and MAC addresses as ipv4-1, ipv6-1, mac-1 and so on
 *
 * Loopback and unspecified addresses stay. Return: new text, to be freed; NULL when memory is short
 */
char *mr_mask_text(struct mr_mask *m, const char *text);

#endif
