/* SPDX-License-Identifier: MIT */
#include "user/daemon/json_rule_read.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/config_rule.h"

static int fail(char *words, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int fail(char *words, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(words, MR_CONFIG_ERROR_BYTES, fmt, args);
	va_end(args);
	return -EINVAL;
}

enum kind {
	TEXT,
	NUMBER,
	BOOLEAN,
};

/* A key of the file, and where libcyaml would leave its value. */
struct field {
	const char *key;
	enum kind kind;
	size_t at;
};

#define RULE(key, kind)                                                                            \
	{                                                                                          \
#key, kind, offsetof(struct mr_raw_rule, key)                                      \
	}
static const struct field rule_fields[] = {
	RULE(name, TEXT),	 RULE(action, TEXT),	 RULE(comment, TEXT),
	RULE(protocol, TEXT),	 RULE(address, TEXT),	 RULE(source, TEXT),
	RULE(destination, TEXT), RULE(port, TEXT),	 RULE(vlan, TEXT),
	RULE(interface, TEXT),	 RULE(app, TEXT),	 RULE(fallback, TEXT),
	RULE(directory, TEXT),	 RULE(ecn, TEXT),	 RULE(congestion_control, TEXT),
	RULE(priority, NUMBER),	 RULE(backlog, NUMBER),	 RULE(ttl, NUMBER),
	RULE(dscp, NUMBER),	 RULE(nodelay, BOOLEAN), { 0 },
};

#define TLV(key, kind)                                                                             \
	{                                                                                          \
#key, kind, offsetof(struct mr_raw_tlv, key)                                       \
	}
static const struct field tlv_fields[] = {
	TLV(tag_bytes, NUMBER),
	TLV(length_bytes, NUMBER),
	TLV(order, TEXT),
	TLV(max_bytes, NUMBER),
	TLV(check, TEXT),
	TLV(length_has_header, BOOLEAN),
	{ 0 },
};

#define BEAT(key)                                                                                  \
	{                                                                                          \
#key, NUMBER, offsetof(struct mr_raw_rule_heartbeat, key)                          \
	}
static const struct field heartbeat_fields[] = {
	BEAT(ping_tag),	  BEAT(pong_tag), BEAT(idle_ms),
	BEAT(partial_ms), BEAT(ping_ms),  BEAT(pong_ms),
	BEAT(handler_ms), BEAT(send_ms),  { 0 },
};

/* A copy of what stands in @v as the file would have it: text, a number, a list of prefixes. */
static char *text_of(const json_t *v)
{
	char *text = NULL;
	size_t bytes, i;
	const json_t *one;
	FILE *out;

	if (json_is_string(v))
		return strdup(json_string_value(v));
	if (json_is_boolean(v))
		return strdup(json_is_true(v) ? "true" : "false");
	out = open_memstream(&text, &bytes);
	if (!out)
		return NULL;
	if (json_is_integer(v))
		fprintf(out, "%lld", (long long)json_integer_value(v));
	json_array_foreach(v, i, one)
	{
		fprintf(out, "%s,", json_is_string(one) ? json_string_value(one) : "?");
	}
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static int put_number(void **to, const char *key, const char *text, char *words)
{
	uint64_t *value = malloc(sizeof(*value));
	char *end;

	if (!value)
		return -ENOMEM;
	*to = value;
	errno = 0;
	*value = strtoull(text, &end, 0);
	if (text[0] < '0' || text[0] > '9' || *end || errno)
		return fail(words, "%s: \"%.32s\" is not a number", key, text);
	return 0;
}

static int put_boolean(void **to, const char *key, const char *text, char *words)
{
	bool *value = malloc(sizeof(*value));

	if (!value)
		return -ENOMEM;
	*to = value;
	*value = !strcmp(text, "true");
	if (!*value && strcmp(text, "false"))
		return fail(words, "%s: \"%.32s\" is neither true nor false", key, text);
	return 0;
}

static int put(void *into, const struct field *f, const json_t *v, char *words)
{
	void **to = (void **)(void *)((char *)into + f->at);
	char *text = text_of(v);
	int err;

	if (!text)
		return -ENOMEM;
	if (f->kind == TEXT) {
		*to = text;
		return 0;
	}
	err = f->kind == NUMBER ? put_number(to, f->key, text, words)
				: put_boolean(to, f->key, text, words);
	free(text);
	return err;
}

static void free_values(void *in, const struct field *f)
{
	for (; in && f->key; f++)
		free(*(void **)(void *)((char *)in + f->at));
}

static bool is_value(const json_t *v)
{
	return json_is_string(v) || json_is_integer(v) || json_is_array(v) || json_is_boolean(v);
}

static int read_values(const char *what, const json_t *o, const struct field *fields, void *into,
		       char *words)
{
	const char *key;
	json_t *v;

	if (!json_is_object(o))
		return fail(words, "%s must be an object", what);
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		const struct field *f = fields;
		int err;

		while (f->key && strcmp(f->key, key))
			f++;
		if (!f->key && into && fields == rule_fields &&
		    (!strcmp(key, "tlv") || !strcmp(key, "heartbeat")))
			continue;
		if (!f->key)
			return fail(words, "%s: unknown key \"%.32s\"", what, key);
		if (!is_value(v))
			return fail(words, "%s: %s must be text, a number or a list", what, key);
		err = put(into, f, v, words);
		if (err)
			return err;
	}
	return 0;
}

/* The words of the configuration's check, by the rule's name in place of a place in the file. */
static int fail_as_the_file(char *words, const char *error, const struct mr_raw_rule *raw, int err)
{
	static const char path[] = "rules[0].";
	const char *space = strchr(error, ' ');

	if (!space)
		return fail(words, "%s", strerror(-err));
	if (strncmp(space + 1, path, sizeof(path) - 1) != 0)
		return fail(words, "%s", space + 1);
	return fail(words, "rule %.31s: %s", raw->name, space + sizeof(path));
}

static int check(struct mr_settings *s, const struct mr_raw_rule *raw, struct mr_settings_rule *out,
		 char *words)
{
	char error[MR_CONFIG_ERROR_BYTES] = "";
	struct mr_config_file f = { .name = "", .error = error };
	struct mr_rule_entry e = { .f = &f, .raw = raw, .s = s, .out = out };
	unsigned int directories = s->n_directories;
	int err;

	if (!raw->name || !raw->action)
		return fail(words, "a rule needs a name, and an action: steer, pass or drop");
	if (!raw->name[0])
		return fail(words, "name: is empty; give one");
	err = strcmp(raw->action, "steer") ? mr_config_filter(&e) : mr_config_steer(&e);
	if (s->n_directories > directories) {
		free(s->directories[--s->n_directories]);
		s->directories[s->n_directories] = NULL;
		if (!err)
			return fail(words,
				    "rule %.31s: no rule of the configuration file has directory "
				    "%.128s; name it there and restart millraced",
				    raw->name, raw->directory);
	}
	if (!err)
		return 0;
	return fail_as_the_file(words, error, raw, err);
}

/* A rule as the file would have it, with all that it points to. */
struct parts {
	struct mr_raw_rule rule;
	struct mr_raw_tlv layout;
	struct mr_raw_rule_heartbeat beat;
};

static int read_all(struct mr_settings *s, const json_t *rule, struct parts *p,
		    struct mr_settings_rule *out, char *words)
{
	const json_t *tlv = json_object_get(rule, "tlv");
	const json_t *heartbeat = json_object_get(rule, "heartbeat");
	int err = read_values("rule", rule, rule_fields, &p->rule, words);

	if (!err && tlv) {
		p->rule.tlv = &p->layout;
		err = read_values("tlv", tlv, tlv_fields, &p->layout, words);
	}
	if (!err && heartbeat) {
		p->rule.heartbeat = &p->beat;
		err = read_values("heartbeat", heartbeat, heartbeat_fields, &p->beat, words);
	}
	return err ? err : check(s, &p->rule, out, words);
}

int mr_json_rule_read(struct mr_settings *s, const json_t *rule, struct mr_settings_rule *out,
		      char words[MR_CONFIG_ERROR_BYTES])
{
	struct parts p = { 0 };
	int err;

	*out = (struct mr_settings_rule){ 0 };
	fail(words, "out of memory");
	err = read_all(s, rule, &p, out, words);
	if (err)
		mr_match_free(&out->match);
	out->added = true;
	free_values(&p.layout, tlv_fields);
	free_values(&p.beat, heartbeat_fields);
	free_values(&p.rule, rule_fields);
	return err;
}
