/* SPDX-License-Identifier: MIT */
/*
 * millrace conn: what `ss` is for the kernel. Text is made from rows as they come; of -j the
 * daemon's own bytes are passed on when they are many. Neither holds the list.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/cli/conn.h"

enum {
	HOLD_BYTES = 1 << 20,	/* an answer up to here is checked and indented */
	OUTPUT_BYTES = 1 << 16, /* of stdio */
};

static bool pass_on(void *arg, const char *data, size_t len)
{
	(void)arg;
	return fwrite(data, 1, len, stdout) == len;
}

/* @path has its filters. @one: exactly one connection is meant. */
static int list_json(const struct mr_cli *cli, const char *path, bool one)
{
	struct mr_client_sink sink = { .begins = "{", .hold = HOLD_BYTES, .take = pass_on };
	char why[MR_CLIENT_WORDS];
	json_t *answer;
	int err = mr_client_stream(cli, path, &sink, &answer, why);

	if (err == -ECANCELED)
		return MR_CLI_OK; /* of stdout: close_stdout() says so */
	if (err < 0)
		return mr_cli_error(cli, "%s", why);
	if (one && !json_array_size(json_object_get(answer, "connections")) &&
	    !json_array_size(json_object_get(answer, "half_open")) &&
	    !json_array_size(json_object_get(answer, "time_wait"))) {
		json_decref(answer);
		return mr_cli_error(cli, "no such connection (see: millrace conn list)");
	}
	if (answer)
		mr_cli_print_json(answer);
	if (json_is_string(json_object_get(answer, "next")))
		fprintf(stderr, "millrace: conn list: there are more (raise --limit)\n");
	json_decref(answer);
	return MR_CLI_OK;
}

static int list_rows(const struct mr_cli *cli, const char *path, struct mr_rows *r)
{
	static const char begins[] = "interface\t";
	struct mr_client_sink sink = { begins, sizeof(begins) - 1, mr_rows_take, r, false };
	char why[MR_CLIENT_WORDS];
	json_t *answer;
	int err = mr_client_stream(cli, path, &sink, &answer, why);

	json_decref(answer);
	if (err == -ECANCELED || r->wrong || (!err && sink.streams && !r->ended))
		return mr_cli_error(cli, "the daemon's list makes no sense or was cut off");
	if (err < 0)
		return mr_cli_error(cli, "%s", why);
	if (!sink.streams)
		return mr_cli_error(cli, "the daemon's answer is no list (is it of the same "
					 "release?)");
	return MR_CLI_OK;
}

static void print_titles(void *arg)
{
	mr_conn_print_titles(*(bool *)arg);
}

int mr_cli_conn_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	bool is_long = mr_arguments_find(a, "--long");
	char path[MR_CLIENT_PATH] = "/v1/conns";
	struct mr_rows *r;
	int err;

	if (!cli->json && is_long)
		mr_client_append(path, '?', "format", "tsv");
	else if (!cli->json)
		strcpy(path, "/v1/conns?format=tsv&fields=" MR_CONN_SHORT_FIELDS);
	err = mr_conn_query(cli, a, "all", path);
	if (err)
		return err;
	if (cli->json)
		return list_json(cli, path, false);
	r = calloc(1, sizeof(*r));
	if (!r)
		return mr_cli_error(cli, "out of memory");
	setvbuf(stdout, NULL, _IOFBF, OUTPUT_BYTES);
	r->row = is_long ? mr_conn_print_long : mr_conn_print_short;
	r->arg = &is_long;
	r->names_known = print_titles;
	err = list_rows(cli, path, r);
	if (!err && r->more)
		fprintf(stderr, "millrace: conn list: there are more (raise --limit)\n");
	free(r);
	return err;
}

int mr_cli_conn_show(struct mr_cli *cli, const struct mr_arguments *a)
{
	char path[MR_CLIENT_PATH] = "/v1/conns";
	struct mr_rows *r;
	int err;

	if (!cli->json)
		mr_client_append(path, '?', "format", "tsv");
	err = mr_conn_query_one(cli, mr_arguments_find(a, "CONNECTION"), path);
	if (err)
		return err;
	if (cli->json)
		return list_json(cli, path, true);
	r = calloc(1, sizeof(*r));
	if (!r)
		return mr_cli_error(cli, "out of memory");
	r->row = mr_conn_print_all;
	err = list_rows(cli, path, r);
	if (!err && !r->n)
		err = mr_cli_error(cli, "no such connection (see: millrace conn list)");
	free(r);
	return err;
}
