/* SPDX-License-Identifier: MIT */
/*
 * From rules to what the program looks up (struct mr_field_key): pure, the caller writes it into
 * maps.
 */
#ifndef MR_DAEMON_CLASSES_H
#define MR_DAEMON_CLASSES_H

#include <linux/types.h>
#include <stdint.h>

#include "shared/mr_maps.h"
#include "user/daemon/match.h"

enum {
	MR_CLASSES_MOST = 1 << 16,
};

struct mr_class_rule {
	const struct mr_match *match;
	uint32_t ifindex; /* of match->interface; 0: there is none such now, nothing fits */
	struct mr_rule rule;
};

struct mr_classes {
	struct mr_field_key *key;
	uint32_t *class_of; /* of each key */
	uint32_t n_keys;
	struct mr_rule_set *set;
	uint32_t n_sets, room;
	struct mr_rule *order;
	uint32_t n_rules;
	uint8_t shapes; /* OR of enum mr_rule_shape, MR_SHAPE_CLASSES among them */
};

/**
 * mr_classes_build() - all that a generation of @rules consists of
 * @c:		out: to be given to mr_classes_free(), after errors too
 * @rules:	sorted in place: mr_match_compare(), then rule_id
 * @n:		at most MR_MAX_RULES
 *
 * Return: 0, -ENOMEM, or -E2BIG: over MR_CLASSES_MOST different sets of rules
 */
int mr_classes_build(struct mr_classes *c, struct mr_class_rule *rules, uint32_t n);

/** mr_class_rules_sort() - into their order */
void mr_class_rules_sort(struct mr_class_rule *rules, uint32_t n);

void mr_classes_free(struct mr_classes *c);

#endif
