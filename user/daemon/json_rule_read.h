/* SPDX-License-Identifier: MIT */
/* A rule out of JSON, checked as one of the file. */
#ifndef MR_DAEMON_JSON_RULE_READ_H
#define MR_DAEMON_JSON_RULE_READ_H

#include <jansson.h>

#include "user/daemon/config.h"

/**
 * mr_json_rule_read() - the keys are those of the file, but for the *_file ones
 * @s:		for defaults, interfaces and directories
 * @out:	filled in, to be freed with mr_match_free(); it has no number
 * @words:	out: what is wrong, and the cure
 *
 * Text will do for numbers and booleans, and a list of texts for prefixes.
 *
 * Return: 0, -EINVAL, or -ENOMEM
 */
int mr_json_rule_read(struct mr_settings *s, const json_t *rule, struct mr_settings_rule *out,
		      char words[MR_CONFIG_ERROR_BYTES]);

#endif
