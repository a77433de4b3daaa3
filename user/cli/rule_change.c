/* SPDX-License-Identifier: MIT */
/* millrace rule add, replace, del, load, mode: one change each, POSTed to /v1/rules. */
#include <stdlib.h>
#include <string.h>

#include "user/cli/client.h"
#include "user/cli/rule_file.h"

enum {
	OPTION_BYTES = 32,
};

static void print(const json_t *answer)
{
	printf("generation %" JSON_INTEGER_FORMAT ": %" JSON_INTEGER_FORMAT " rules, mode %s\n",
	       json_integer_value(json_object_get(answer, "generation")),
	       json_integer_value(json_object_get(answer, "rules")),
	       json_string_value(json_object_get(answer, "mode")));
}

/* @what is given; NULL: there was no memory for it. */
static int change(struct mr_cli *cli, const char *kind, json_t *what)
{
	if (!what)
		return mr_cli_error(cli, "out of memory");
	return mr_client_show(cli, mr_client_send(cli, "/v1/rules", json_pack("{s:o}", kind, what)),
			      print);
}

/* --source or --source-file, as @key. Returns MR_CLI_OK or what to exit with. */
static int put_prefixes(struct mr_cli *cli, const struct mr_arguments *a, json_t *rule,
			const char *key, const char *option, const char *file_option)
{
	const char *words = mr_arguments_find(a, option), *file = mr_arguments_find(a, file_option);
	json_t *list;

	if (words && file)
		return mr_cli_usage(cli, "%s and %s do not go together", option, file_option);
	if (words)
		json_object_set_new(rule, key, json_string(words));
	if (!file)
		return MR_CLI_OK;
	list = mr_rule_prefixes_read(cli, file);
	if (!list)
		return MR_CLI_ERROR;
	json_object_set_new(rule, key, list);
	return MR_CLI_OK;
}

/* "--congestion-control" for congestion_control. */
static const char *option_of(const char *key, char out[OPTION_BYTES])
{
	snprintf(out, OPTION_BYTES, "--%s", key);
	for (char *p = out; *p; p++)
		if (*p == '_')
			*p = '-';
	return out;
}

/* --tlv tag_bytes=1,length_bytes=2 as an object. Returns MR_CLI_OK or what to exit with. */
static int put_group(struct mr_cli *cli, const struct mr_arguments *a, json_t *rule,
		     const char *key)
{
	char option[OPTION_BYTES];
	const char *value = mr_arguments_find(a, option_of(key, option));
	char *text = value ? strdup(value) : NULL, *rest = text, *one;
	json_t *group = json_object();

	while (rest && (one = strsep(&rest, ","))) {
		char *equals = strchr(one, '=');

		if (equals)
			*equals = '\0';
		if (!equals || json_object_set_new(group, one, json_string(equals + 1)) < 0) {
			json_decref(group);
			free(text);
			return mr_cli_usage(cli, "%s: give KEY=VALUE,KEY=VALUE", option);
		}
	}
	free(text);
	if (value)
		json_object_set(rule, key, group);
	json_decref(group);
	return MR_CLI_OK;
}

static int put_options(struct mr_cli *cli, const struct mr_arguments *a, json_t *rule)
{
	static const char *const keys[] = {
		"protocol", "port",	 "vlan", "interface", "priority",	    "comment",
		"app",	    "fallback",	 "ttl",	 "backlog",   "congestion_control", "ecn",
		"dscp",	    "directory",
	};
	char option[OPTION_BYTES];
	int status;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *value = mr_arguments_find(a, option_of(keys[i], option));

		if (value && json_object_set_new(rule, keys[i], json_string(value)) < 0)
			return mr_cli_usage(cli, "%s is no text", option);
	}
	if (mr_arguments_find(a, "--nodelay"))
		json_object_set_new(rule, "nodelay", json_true());
	status = put_group(cli, a, rule, "tlv");
	if (status == MR_CLI_OK)
		status = put_group(cli, a, rule, "heartbeat");
	if (status == MR_CLI_OK)
		status = put_prefixes(cli, a, rule, "source", "--source", "--source-file");
	if (status == MR_CLI_OK)
		status = put_prefixes(cli, a, rule, "destination", "--destination",
				      "--destination-file");
	return status;
}

static int change_rule(struct mr_cli *cli, const struct mr_arguments *a, const char *kind)
{
	json_t *rule = json_pack("{s:s, s:s}", "name", mr_arguments_find(a, "NAME"), "action",
				 mr_arguments_find(a, "ACTION"));
	int status;

	if (!rule)
		return mr_cli_usage(cli, "a name and an action are plain text");
	status = put_options(cli, a, rule);
	if (status == MR_CLI_OK)
		return change(cli, kind, rule);
	json_decref(rule);
	return status;
}

int mr_cli_rule_add(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change_rule(cli, a, "add");
}

int mr_cli_rule_replace(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change_rule(cli, a, "replace");
}

int mr_cli_rule_del(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change(cli, "delete", json_string(mr_arguments_find(a, "NAME")));
}

int mr_cli_rule_load(struct mr_cli *cli, const struct mr_arguments *a)
{
	json_t *list = mr_rule_file_read(cli, mr_arguments_find(a, "FILE"));

	return list ? change(cli, "load", list) : MR_CLI_ERROR;
}

int mr_cli_rule_mode(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change(cli, "mode", json_string(mr_arguments_find(a, "MODE")));
}
