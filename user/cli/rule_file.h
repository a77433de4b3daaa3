/* SPDX-License-Identifier: MIT */
/* Rules out of a file, as the control API takes them. */
#ifndef MR_CLI_RULE_FILE_H
#define MR_CLI_RULE_FILE_H

#include "user/cli/cli.h"

/**
 * mr_rule_file_read() - a list of rules: JSON, or YAML as `rules` of a configuration has it
 *
 * A source_file or destination_file is read here. What the rules say is the daemon's to check.
 *
 * Return: the list, or NULL after a line on stderr
 */
json_t *mr_rule_file_read(struct mr_cli *cli, const char *path);

/** mr_rule_prefixes_read() - the prefixes of a list file, one a line; NULL after a line on stderr
 */
json_t *mr_rule_prefixes_read(struct mr_cli *cli, const char *path);

#endif
