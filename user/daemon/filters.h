/* SPDX-License-Identifier: MIT */
/*
 * Filters (rules that pass or drop) and the mode, changed while the daemon runs. The child works
 * out the new set and lays it into memory that both processes see; the parent copies it, checks it
 * as it would any words of the child, and makes it the next generation, or refuses.
 */
#ifndef MR_DAEMON_FILTERS_H
#define MR_DAEMON_FILTERS_H

#include "user/daemon/daemon.h"

/* Filters and the mode, whole. */
struct mr_filters {
	struct mr_settings_rule *list;
	unsigned int n;
	enum mr_mode mode;
	uint16_t last_id; /* that was given; an id is used again as late as can be */
};

/** mr_filters_room() - make the memory, before the child is forked; 0 or -errno */
int mr_filters_room(struct mr_daemon *d);

/** mr_filters_lay() - child: put a set there; 0 or -E2BIG */
int mr_filters_lay(struct mr_daemon *d, const struct mr_filters *f);

/**
 * mr_filters_take() - parent: make what lies there the next generation
 *
 * Return: 0, or -errno with everything as it was: -EINVAL for what the child should not have laid
 */
int mr_filters_take(struct mr_daemon *d);

/** mr_filters_copy() - a copy of the settings' own; 0 or -ENOMEM with @f empty */
int mr_filters_copy(struct mr_filters *f, const struct mr_settings *s);

/** mr_filters_adopt() - @f becomes the settings' own, and is empty then */
void mr_filters_adopt(struct mr_settings *s, struct mr_filters *f);

void mr_filters_free(struct mr_filters *f);

#endif
