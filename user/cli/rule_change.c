/* SPDX-License-Identifier: MIT */
/* millrace rule add, replace, del, load, mode: one change each, POSTed to /v1/rules. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/cli/client.h"

enum {
	LINE_BYTES = 256,
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

/* The daemon checks the prefixes; here only comments, blanks and ends of lines go. */
static json_t *read_list(struct mr_cli *cli, const char *path)
{
	FILE *in = fopen(path, "re");
	char line[LINE_BYTES];
	json_t *list;

	if (!in) {
		mr_cli_error(cli, "%s: %s", path, strerror(errno));
		return NULL;
	}
	list = json_array();
	while (fgets(line, sizeof(line), in)) {
		char *text = line + strspn(line, " \t");

		text[strcspn(text, "#; \t\r\n")] = '\0';
		if (text[0] && json_array_append_new(list, json_string(text)) < 0) {
			mr_cli_error(cli, "%s: \"%.32s\" is no text", path, text);
			json_decref(list);
			list = NULL;
			break;
		}
	}
	fclose(in);
	if (list && !json_array_size(list)) {
		mr_cli_error(cli, "%s: names no prefix", path);
		json_decref(list);
		list = NULL;
	}
	return list;
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
	list = read_list(cli, file);
	if (!list)
		return MR_CLI_ERROR;
	json_object_set_new(rule, key, list);
	return MR_CLI_OK;
}

static int change_rule(struct mr_cli *cli, const struct mr_arguments *a, const char *kind)
{
	static const char *const options[] = {
		"protocol", "port", "vlan", "interface", "priority", "comment",
	};
	json_t *rule = json_pack("{s:s, s:s}", "name", mr_arguments_find(a, "NAME"), "action",
				 mr_arguments_find(a, "ACTION"));
	int status;

	if (!rule)
		return mr_cli_usage(cli, "a name and an action are plain text");
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		char option[16];
		const char *value;

		snprintf(option, sizeof(option), "--%s", options[i]);
		value = mr_arguments_find(a, option);
		if (value)
			json_object_set_new(rule, options[i], json_string(value));
	}
	status = put_prefixes(cli, a, rule, "source", "--source", "--source-file");
	if (status == MR_CLI_OK)
		status = put_prefixes(cli, a, rule, "destination", "--destination",
				      "--destination-file");
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
	const char *path = mr_arguments_find(a, "FILE");
	json_error_t error;
	json_t *list = json_load_file(path, 0, &error);

	if (!list)
		return mr_cli_error(cli, "%s:%d: %s", path, error.line, error.text);
	return change(cli, "load", list);
}

int mr_cli_rule_mode(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change(cli, "mode", json_string(mr_arguments_find(a, "MODE")));
}
