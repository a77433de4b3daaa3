/* SPDX-License-Identifier: MIT */
/* millrace guard block|allow|limit|syn|reset: one change each, POSTed to /v1/guard. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/cli/client.h"

enum {
	PIECE_BYTES = 65536,
	RATE_MOST = 100000000, /* the daemon knows better what goes */
};

static void print(const json_t *answer)
{
	printf("block list: %" JSON_INTEGER_FORMAT " prefixes; limits of %" JSON_INTEGER_FORMAT
	       " prefix lengths and %" JSON_INTEGER_FORMAT " rules\n",
	       json_integer_value(json_object_get(answer, "blocks")),
	       json_integer_value(json_object_get(answer, "limits")),
	       json_integer_value(json_object_get(answer, "rules")));
}

/* @body is given; NULL: there was no memory for it. */
static int change(struct mr_cli *cli, json_t *body)
{
	if (!body)
		return mr_cli_error(cli, "out of memory");
	return mr_client_show(cli, mr_client_send(cli, "/v1/guard", body), print);
}

/* ----- block lists ----- */

static int read_all(FILE *in, FILE *out)
{
	char piece[PIECE_BYTES];
	size_t n;

	while ((n = fread(piece, 1, sizeof(piece), in)) > 0)
		fwrite(piece, 1, n, out);
	return ferror(in) ? -EIO : 0;
}

/* The whole of a file, or "-" of stdin. NULL: it was said why. */
static json_t *read_file(struct mr_cli *cli, const char *path)
{
	bool is_stdin = !strcmp(path, "-");
	FILE *in = is_stdin ? stdin : fopen(path, "re"), *out;
	char *text = NULL;
	size_t bytes = 0;
	json_t *v = NULL;
	int err;

	if (!in) {
		mr_cli_error(cli, "%s: %s", path, strerror(errno));
		return NULL;
	}
	out = open_memstream(&text, &bytes);
	err = out ? read_all(in, out) : -ENOMEM;
	if (out && fclose(out) != 0)
		err = -ENOMEM;
	if (!is_stdin)
		fclose(in);
	if (!err)
		v = json_stringn(text, bytes);
	if (err)
		mr_cli_error(cli, "%s: cannot be read: %s", path, strerror(-err));
	else if (!v || strlen(text) != bytes)
		mr_cli_error(cli, "%s: is no text in UTF-8; a list is text, one prefix a line",
			     path);
	if (err || (v && strlen(text) != bytes)) {
		json_decref(v);
		v = NULL;
	}
	free(text);
	return v;
}

static int change_by_file(struct mr_cli *cli, const char *kind, const char *path)
{
	json_t *text = read_file(cli, path);

	if (!text)
		return MR_CLI_ERROR;
	return change(cli, json_pack("{s:o, s:s}", kind, text, "name", path));
}

static int change_by_words(struct mr_cli *cli, const struct mr_arguments *a, const char *kind,
			   const char *before)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);
	json_t *body;

	for (int i = 0; out && i < a->n_rest; i++)
		fprintf(out, "%s%s\n", before, a->rest[i]);
	if (!out || fclose(out) != 0) {
		free(text);
		return mr_cli_error(cli, "out of memory");
	}
	body = json_pack("{s:s}", kind, text);
	free(text);
	return body ? change(cli, body) : mr_cli_usage(cli, "a prefix is plain text");
}

static int change_list(struct mr_cli *cli, const struct mr_arguments *a, const char *kind,
		       const char *before)
{
	const char *file = mr_arguments_find(a, "--file");

	if (!file == !a->n_rest)
		return mr_cli_usage(cli, file ? "--file and prefixes do not go together"
					      : "name a prefix, as 192.0.2.0/24 or 2001:db8::/32");
	return file ? change_by_file(cli, kind, file) : change_by_words(cli, a, kind, before);
}

int mr_cli_guard_block_add(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change_list(cli, a, "add", "");
}

int mr_cli_guard_block_del(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change_list(cli, a, "delete", "");
}

int mr_cli_guard_block_load(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change_by_file(cli, "load", mr_arguments_find(a, "FILE"));
}

int mr_cli_guard_allow_add(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change_list(cli, a, "add", "allow ");
}

int mr_cli_guard_allow_del(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change_list(cli, a, "delete", "allow ");
}

/* ----- limits and SYNs ----- */

/* The option, a number, as @key of @o. */
static int put_number(struct mr_cli *cli, const struct mr_arguments *a, json_t *o,
		      const char *option, const char *key, uint64_t most)
{
	uint64_t value = 0;
	int status = mr_cli_number(cli, a, option, 0, most, &value);

	if (status == MR_CLI_OK && mr_arguments_find(a, option))
		json_object_set_new(o, key, json_integer((json_int_t)value));
	return status;
}

static int change_limit(struct mr_cli *cli, const struct mr_arguments *a, const char *kind)
{
	static const struct {
		const char *option, *key;
		uint64_t most;
	} numbers[] = {
		{ "--ipv4-prefix", "ipv4_prefix", 32 },
		{ "--ipv6-prefix", "ipv6_prefix", 128 },
		{ "--packets", "packets_per_s", RATE_MOST },
		{ "--packets-burst", "packets_burst", RATE_MOST },
		{ "--connections", "connections_per_s", RATE_MOST },
		{ "--connections-burst", "connections_burst", RATE_MOST },
	};
	const char *rule = mr_arguments_find(a, "--rule");
	json_t *o = json_object();
	int status = MR_CLI_OK;

	if (rule && json_object_set_new(o, "rule", json_string(rule)) < 0)
		status = mr_cli_usage(cli, "--rule: a name is plain text");
	for (size_t i = 0; status == MR_CLI_OK && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		status = put_number(cli, a, o, numbers[i].option, numbers[i].key, numbers[i].most);
	if (status == MR_CLI_OK)
		return change(cli, json_pack("{s:o}", kind, o));
	json_decref(o);
	return status;
}

int mr_cli_guard_limit_set(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change_limit(cli, a, "limit");
}

int mr_cli_guard_limit_del(struct mr_cli *cli, const struct mr_arguments *a)
{
	return change_limit(cli, a, "unlimit");
}

int mr_cli_guard_syn_set(struct mr_cli *cli, const struct mr_arguments *a)
{
	const char *cookies = mr_arguments_find(a, "--cookies");
	json_t *o = json_object();
	int status = MR_CLI_OK;

	if (cookies && json_object_set_new(o, "syn_cookies", json_string(cookies)) < 0)
		status = mr_cli_usage(cli, "--cookies: want auto, on or off");
	if (status == MR_CLI_OK)
		status = put_number(cli, a, o, "--at", "syn_at_percent", 100);
	if (status == MR_CLI_OK)
		status = put_number(cli, a, o, "--calm", "syn_calm_s", RATE_MOST);
	if (status == MR_CLI_OK)
		return change(cli, json_pack("{s:o}", "syn", o));
	json_decref(o);
	return status;
}

int mr_cli_guard_reset(struct mr_cli *cli, const struct mr_arguments *a)
{
	(void)a;
	return change(cli, json_pack("{s:b}", "reset", 1));
}
