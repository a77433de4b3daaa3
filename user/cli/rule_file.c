/* SPDX-License-Identifier: MIT */
/* libyaml, as the daemon has it: what stands in a configuration is read alike. */
#include "user/cli/rule_file.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

enum {
	LINE_BYTES = 256,
	DEEPEST = 8,
};

/* The daemon checks the prefixes; here only comments, blanks and ends of lines go. */
json_t *mr_rule_prefixes_read(struct mr_cli *cli, const char *path)
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

/* ----- YAML ----- */

static json_t *value_of(yaml_document_t *doc, int node, unsigned int depth);

static json_t *mapping(yaml_document_t *doc, const yaml_node_t *n, unsigned int depth)
{
	json_t *o = json_object();

	for (const yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
	     p++) {
		const yaml_node_t *key = yaml_document_get_node(doc, p->key);

		if (key->type != YAML_SCALAR_NODE ||
		    json_object_set_new(o, (const char *)key->data.scalar.value,
					value_of(doc, p->value, depth)) < 0) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

static json_t *sequence(yaml_document_t *doc, const yaml_node_t *n, unsigned int depth)
{
	json_t *a = json_array();

	for (const yaml_node_item_t *i = n->data.sequence.items.start;
	     i < n->data.sequence.items.top; i++)
		if (json_array_append_new(a, value_of(doc, *i, depth)) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

/* Scalars as text, which the daemon reads as its own file. NULL: no text, or aliases for ever. */
static json_t *value_of(yaml_document_t *doc, int node, unsigned int depth)
{
	const yaml_node_t *n = yaml_document_get_node(doc, node);

	if (!n || depth == DEEPEST)
		return NULL;
	if (n->type == YAML_MAPPING_NODE)
		return mapping(doc, n, depth + 1);
	if (n->type == YAML_SEQUENCE_NODE)
		return sequence(doc, n, depth + 1);
	return json_string((const char *)n->data.scalar.value);
}

static json_t *read_yaml(struct mr_cli *cli, const char *path, FILE *in)
{
	yaml_document_t doc;
	yaml_parser_t parser;
	json_t *all = NULL;

	if (!yaml_parser_initialize(&parser)) {
		mr_cli_error(cli, "out of memory");
		return NULL;
	}
	yaml_parser_set_input_file(&parser, in);
	if (!yaml_parser_load(&parser, &doc)) {
		mr_cli_error(cli, "%s:%zu: not YAML: %s", path, parser.problem_mark.line + 1,
			     parser.problem ? parser.problem : "cannot be read");
	} else {
		const yaml_node_t *root = yaml_document_get_root_node(&doc);

		all = root ? value_of(&doc, 1, 0) : json_array();
		if (!all)
			mr_cli_error(cli, "%s: has what is no rule", path);
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
	return all;
}

/* ----- a file ----- */

static json_t *read_json(struct mr_cli *cli, const char *path, FILE *in)
{
	json_error_t error;
	json_t *all = json_loadf(in, JSON_REJECT_DUPLICATES, &error);

	if (!all)
		mr_cli_error(cli, "%s:%d: %s", path, error.line, error.text);
	return all;
}

/* "KEY_file: PATH" becomes "KEY: [...]". Returns false after a line on stderr. */
static bool put_list(struct mr_cli *cli, json_t *rule, const char *key, const char *file_key)
{
	const char *path = json_string_value(json_object_get(rule, file_key));
	json_t *list;

	if (!path)
		return true;
	if (json_object_get(rule, key)) {
		mr_cli_error(cli, "%s and %s do not go together", key, file_key);
		return false;
	}
	list = mr_rule_prefixes_read(cli, path);
	if (!list)
		return false;
	json_object_set_new(rule, key, list);
	json_object_del(rule, file_key);
	return true;
}

/* As in the file, a rule that names no action steers. */
static bool complete(struct mr_cli *cli, json_t *rule)
{
	if (json_is_object(rule) && !json_object_get(rule, "action"))
		json_object_set_new(rule, "action", json_string("steer"));
	return put_list(cli, rule, "source", "source_file") &&
	       put_list(cli, rule, "destination", "destination_file");
}

json_t *mr_rule_file_read(struct mr_cli *cli, const char *path)
{
	FILE *in = fopen(path, "re");
	json_t *all, *list, *rule;
	int first;
	size_t i;

	if (!in) {
		mr_cli_error(cli, "%s: %s", path, strerror(errno));
		return NULL;
	}
	first = getc(in);
	ungetc(first, in);
	all = first == '[' || first == '{' ? read_json(cli, path, in) : read_yaml(cli, path, in);
	fclose(in);
	list = json_is_object(all) ? json_object_get(all, "rules") : all;
	if (all && !json_is_array(list))
		mr_cli_error(cli, "%s: is no list of rules, and has none under rules", path);
	list = json_is_array(list) ? json_incref(list) : NULL;
	json_decref(all);
	json_array_foreach(list, i, rule)
	{
		if (complete(cli, rule))
			continue;
		json_decref(list);
		return NULL;
	}
	return list;
}
