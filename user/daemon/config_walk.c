/* SPDX-License-Identifier: MIT */
/*
 * The structure of the file, held against libcyaml's schema before libcyaml loads it: libcyaml
 * finds the same mistakes, but its line is that of the last thing it had read, it takes a negative
 * number for a large one, and any word for a true boolean.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/config_raw.h"

enum {
	KEYS_BYTES = 256,
};

int mr_config_fail(struct mr_config_file *f, unsigned int line, const char *fmt, ...)
{
	va_list args;
	int n;

	if (f->error[0])
		return -EINVAL;
	n = snprintf(f->error, MR_CONFIG_ERROR_BYTES, "%s:%u: ", f->name, line);
	if (n < 0 || n >= MR_CONFIG_ERROR_BYTES)
		return -EINVAL;
	va_start(args, fmt);
	vsnprintf(f->error + n, (size_t)(MR_CONFIG_ERROR_BYTES - n), fmt, args);
	va_end(args);
	return -EINVAL;
}

static yaml_node_t *node(struct mr_config_file *f, int index)
{
	return yaml_document_get_node(&f->document, index);
}

static unsigned int line_of(const yaml_node_t *n)
{
	return (unsigned int)n->start_mark.line + 1;
}

static const char *text(const yaml_node_t *n)
{
	return n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : "";
}

static const cyaml_schema_field_t *field_of(const cyaml_schema_value_t *mapping, const char *key)
{
	for (const cyaml_schema_field_t *s = mapping->mapping.fields; s->key; s++)
		if (!strcmp(s->key, key))
			return s;
	return NULL;
}

/* How many leading characters agree: enough to catch a misspelled or cut key. */
static size_t likeness(const char *a, const char *b)
{
	size_t n = 0;

	while (a[n] && a[n] == b[n])
		n++;
	return n;
}

static const char *nearest_key(const cyaml_schema_value_t *mapping, const char *key)
{
	const char *best = NULL;
	size_t most = 1;

	for (const cyaml_schema_field_t *s = mapping->mapping.fields; s->key; s++)
		if (likeness(s->key, key) > most) {
			most = likeness(s->key, key);
			best = s->key;
		}
	return best;
}

static int unknown_key(struct mr_config_file *f, const yaml_node_t *key,
		       const cyaml_schema_value_t *mapping)
{
	const char *near = nearest_key(mapping, text(key));
	char keys[KEYS_BYTES] = "";
	size_t used = 0;

	if (near)
		return mr_config_fail(f, line_of(key), "unknown key \"%s\"; did you mean \"%s\"?",
				      text(key), near);
	for (const cyaml_schema_field_t *s = mapping->mapping.fields; s->key; s++) {
		int n = snprintf(keys + used, sizeof(keys) - used, "%s%s", used ? ", " : "",
				 s->key);

		if (n < 0 || (size_t)n >= sizeof(keys) - used)
			break;
		used += (size_t)n;
	}
	return mr_config_fail(f, line_of(key), "unknown key \"%s\"; the keys here are %s",
			      text(key), keys);
}

/* Decimal without leading zeros, or 0x: what strtoull() with base 0 reads as people do. */
static bool is_number(const char *s)
{
	char *end;

	if (s[0] < '0' || s[0] > '9')
		return false;
	if (s[0] == '0' && s[1] && s[1] != 'x' && s[1] != 'X')
		return false;
	errno = 0;
	strtoull(s, &end, 0);
	return errno == 0 && *end == '\0';
}

static bool is_boolean(const char *s)
{
	static const char *const words[] = { "true", "false", "yes", "no", "on", "off" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(s, words[i]))
			return true;
	return false;
}

static int check_scalar(struct mr_config_file *f, const char *key, const yaml_node_t *n,
			const cyaml_schema_value_t *schema)
{
	const char *s = text(n);

	if (n->type != YAML_SCALAR_NODE)
		return mr_config_fail(f, line_of(n), "%s: must be a single value, not a %s", key,
				      n->type == YAML_SEQUENCE_NODE ? "list" : "mapping");
	if (s[0] == '\0')
		return mr_config_fail(f, line_of(n), "%s: has no value; give one or remove the key",
				      key);
	if (strlen(s) != n->data.scalar.length)
		return mr_config_fail(f, line_of(n), "%s: has a zero byte; remove it", key);
	if (schema->type == CYAML_UINT && !is_number(s))
		return mr_config_fail(f, line_of(n),
				      "%s: \"%s\" is not a number; write digits only", key, s);
	if (schema->type == CYAML_BOOL && !is_boolean(s))
		return mr_config_fail(f, line_of(n), "%s: \"%s\" is neither true nor false", key,
				      s);
	return 0;
}

static int walk(struct mr_config_file *f, const char *key, const yaml_node_t *n,
		const cyaml_schema_value_t *schema);

static int check_missing(struct mr_config_file *f, const char *where, const yaml_node_t *n,
			 const cyaml_schema_value_t *schema)
{
	for (const cyaml_schema_field_t *s = schema->mapping.fields; s->key; s++) {
		bool found = s->value.flags & CYAML_FLAG_OPTIONAL;

		for (yaml_node_pair_t *p = n->data.mapping.pairs.start;
		     !found && p < n->data.mapping.pairs.top; p++)
			found = !strcmp(text(node(f, p->key)), s->key);
		if (!found)
			return mr_config_fail(f, line_of(n), "%s: key \"%s\" is missing; add it",
					      where, s->key);
	}
	return 0;
}

static int walk_mapping(struct mr_config_file *f, const char *where, const yaml_node_t *n,
			const cyaml_schema_value_t *schema)
{
	if (n->type != YAML_MAPPING_NODE)
		return mr_config_fail(f, line_of(n), "%s: must be a mapping of keys to values",
				      where);
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
	     p++) {
		const yaml_node_t *key = node(f, p->key);
		const cyaml_schema_field_t *field = field_of(schema, text(key));
		int err;

		if (!field)
			return unknown_key(f, key, schema);
		for (yaml_node_pair_t *q = n->data.mapping.pairs.start; q < p; q++)
			if (!strcmp(text(node(f, q->key)), field->key))
				return mr_config_fail(
					f, line_of(key),
					"%s: stands twice, first in line %u; remove one",
					field->key, line_of(node(f, q->key)));
		err = walk(f, field->key, node(f, p->value), &field->value);
		if (err)
			return err;
	}
	return check_missing(f, where, n, schema);
}

static int walk_sequence(struct mr_config_file *f, const char *key, const yaml_node_t *n,
			 const cyaml_schema_value_t *schema)
{
	int err = 0;

	if (n->type != YAML_SEQUENCE_NODE)
		return mr_config_fail(f, line_of(n), "%s: must be a list; start its entries with -",
				      key);
	for (yaml_node_item_t *i = n->data.sequence.items.start;
	     !err && i < n->data.sequence.items.top; i++)
		err = walk(f, key, node(f, *i), schema->sequence.entry);
	return err;
}

static int walk(struct mr_config_file *f, const char *key, const yaml_node_t *n,
		const cyaml_schema_value_t *schema)
{
	if (schema->type == CYAML_MAPPING)
		return walk_mapping(f, key, n, schema);
	if (schema->type == CYAML_SEQUENCE)
		return walk_sequence(f, key, n, schema);
	return check_scalar(f, key, n, schema);
}

int mr_config_walk(struct mr_config_file *f, const cyaml_schema_value_t *schema)
{
	yaml_node_t *root = yaml_document_get_root_node(&f->document);

	if (!root)
		return mr_config_fail(f, 1,
				      "file is empty; it needs at least interfaces and rules");
	return walk_mapping(f, "file", root, schema);
}

/* The value of a key, with the line where the key stands. */
static const yaml_node_t *child_by_key(struct mr_config_file *f, const yaml_node_t *n,
				       const char *key, size_t len, unsigned int *line)
{
	if (n->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
	     p++) {
		const yaml_node_t *k = node(f, p->key);

		if (strlen(text(k)) == len && !memcmp(text(k), key, len)) {
			*line = line_of(k);
			return node(f, p->value);
		}
	}
	return NULL;
}

static const yaml_node_t *child_by_index(struct mr_config_file *f, const yaml_node_t *n, long index,
					 unsigned int *line)
{
	if (n->type != YAML_SEQUENCE_NODE || index < 0 ||
	    index >= n->data.sequence.items.top - n->data.sequence.items.start)
		return NULL;
	n = node(f, n->data.sequence.items.start[index]);
	*line = line_of(n);
	return n;
}

unsigned int mr_config_line(struct mr_config_file *f, const char *path)
{
	const yaml_node_t *n = yaml_document_get_root_node(&f->document);
	unsigned int line = 1;

	while (n && *path) {
		if (*path == '[') {
			char *end;

			n = child_by_index(f, n, strtol(path + 1, &end, 10), &line);
			path = *end ? end + 1 : end;
		} else {
			size_t len = strcspn(path, ".[");

			n = child_by_key(f, n, path, len, &line);
			path += len;
		}
		path += *path == '.';
	}
	return line;
}
