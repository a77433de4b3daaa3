/* SPDX-License-Identifier: MIT */
#include "user/daemon/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon/config_raw.h"
#include "user/daemon/ruleset.h"

enum {
	FILE_BYTES_MOST = 1 << 20,
	CYAML_WORDS = 200,
};

/* What libcyaml says first; the rest is its trace. */
struct cyaml_words {
	char first[CYAML_WORDS];
};

static void keep_first(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
	struct cyaml_words *w = ctx;

	if (level < CYAML_LOG_ERROR || w->first[0])
		return;
	vsnprintf(w->first, sizeof(w->first), fmt, args);
	w->first[strcspn(w->first, "\n")] = '\0';
}

static int read_file(const char *name, char **data, size_t *len, char *error)
{
	FILE *in = fopen(name, "re");
	int err = 0;

	if (!in) {
		err = -errno;
		snprintf(error, MR_CONFIG_ERROR_BYTES, "%s: %s; name the configuration with -c",
			 name, strerror(errno));
		return err;
	}
	*data = malloc(FILE_BYTES_MOST + 1);
	if (!*data) {
		fclose(in);
		return -ENOMEM;
	}
	*len = fread(*data, 1, FILE_BYTES_MOST + 1, in);
	if (ferror(in)) {
		err = errno ? -errno : -EIO;
		snprintf(error, MR_CONFIG_ERROR_BYTES, "%s: %s; name a file with -c", name,
			 strerror(-err));
	} else if (*len > FILE_BYTES_MOST) {
		err = -EFBIG;
		snprintf(error, MR_CONFIG_ERROR_BYTES,
			 "%s: %s; a configuration has at most %d bytes", name, strerror(-err),
			 FILE_BYTES_MOST);
	}
	if (err)
		free(*data);
	fclose(in);
	return err;
}

static int parse_document(struct mr_config_file *f, const char *data, size_t len)
{
	yaml_parser_t parser;
	int err = 0;

	if (!yaml_parser_initialize(&parser))
		return mr_config_fail(f, 1, "out of memory");
	yaml_parser_set_input_string(&parser, (const unsigned char *)data, len);
	if (!yaml_parser_load(&parser, &f->document))
		err = mr_config_fail(f, (unsigned int)parser.problem_mark.line + 1,
				     "not YAML: %s; see to indentation (spaces only) and colons",
				     parser.problem ? parser.problem : "cannot be read");
	yaml_parser_delete(&parser);
	return err;
}

static int load_raw(struct mr_config_file *f, const cyaml_config_t *cyaml, const char *data,
		    size_t len, struct mr_raw_config **raw)
{
	struct cyaml_words *words = cyaml->log_ctx;
	cyaml_err_t err;

	err = cyaml_load_data((const uint8_t *)data, len, cyaml, &mr_raw_schema,
			      (cyaml_data_t **)raw, NULL);
	if (err != CYAML_OK)
		return mr_config_fail(f, 1, "cannot be read: %s",
				      words->first[0] ? words->first : cyaml_strerror(err));
	return 0;
}

static int load_data(struct mr_config_file *f, const char *data, size_t len, struct mr_settings *s)
{
	struct cyaml_words words = { 0 };
	cyaml_config_t cyaml = {
		.log_fn = keep_first,
		.log_ctx = &words,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
	};
	struct mr_raw_config *raw = NULL;
	int err;

	err = mr_config_walk(f, &mr_raw_schema);
	if (err)
		return err;
	err = load_raw(f, &cyaml, data, len, &raw);
	if (err)
		return err;
	err = mr_config_check(f, raw, s);
	s->rules_in_file = err ? 0 : mr_ruleset_digest(s);
	cyaml_free(&cyaml, &mr_raw_schema, raw, 0);
	return err;
}

int mr_settings_load(const char *file, struct mr_settings *s, char error[MR_CONFIG_ERROR_BYTES])
{
	struct mr_config_file f = { .name = file, .error = error };
	char *data = NULL;
	size_t len = 0;
	int err;

	*s = (struct mr_settings){ 0 };
	error[0] = '\0';
	err = read_file(file, &data, &len, error);
	if (err)
		return err;
	err = parse_document(&f, data, len);
	if (err)
		goto undo_read;
	s->file = strdup(file);
	err = s->file ? load_data(&f, data, len, s) : -ENOMEM;
	if (err)
		mr_settings_free(s);
	yaml_document_delete(&f.document);
undo_read:
	free(data);
	if (err && !error[0])
		snprintf(error, MR_CONFIG_ERROR_BYTES, "%s: %s", file, strerror(-err));
	return err;
}

void mr_settings_free(struct mr_settings *s)
{
	for (unsigned int i = 0; i < s->n_directories; i++)
		free(s->directories[i]);
	mr_blocks_free(&s->guard.blocks);
	free(s->guard.rules);
	mr_rules_free(s->rules, s->n_rules);
	mr_rules_free(s->filters, s->n_filters);
	free(s->lanes.capture_directory);
	free(s->lanes.cpus);
	free(s->interfaces);
	free(s->pin_directory);
	free(s->http);
	free(s->run_directory);
	free(s->user);
	free(s->file);
	*s = (struct mr_settings){ 0 };
}
