/* SPDX-License-Identifier: MIT */
/* millrace trace list, millrace trace show: of the archive, and of connections that stand */
#include <string.h>

#include "user/cli/conn.h"
#include "user/cli/table.h"

static const char *end_text(const json_t *t, const char *which, char out[MR_VALUE_BYTES])
{
	char address[MR_VALUE_BYTES], port[MR_VALUE_BYTES], key[32];
	const char *text = mr_value_text_at(t, which, address);
	bool is_ipv6 = strchr(text, ':');

	snprintf(key, sizeof(key), "%s_port", which);
	snprintf(out, MR_VALUE_BYTES, "%s%.46s%s:%.8s", is_ipv6 ? "[" : "", text,
		 is_ipv6 ? "]" : "", mr_value_text_at(t, key, port));
	return out;
}

static const char *local_text(const json_t *t, char out[MR_VALUE_BYTES])
{
	return end_text(t, "local", out);
}

static const char *remote_text(const json_t *t, char out[MR_VALUE_BYTES])
{
	return end_text(t, "remote", out);
}

static const char *ago_text(const json_t *t, char out[MR_VALUE_BYTES])
{
	return mr_value_duration((double)mr_value_count(json_object_get(t, "last_ago_ms")) * 1e6,
				 out);
}

static const char *connection_text(const json_t *t, char out[MR_VALUE_BYTES])
{
	char interface[MR_VALUE_BYTES], queue[MR_VALUE_BYTES], id[MR_VALUE_BYTES];

	snprintf(out, MR_VALUE_BYTES, "%.32s:%.8s/%.24s",
		 mr_value_text_at(t, "interface", interface), mr_value_text_at(t, "queue", queue),
		 mr_value_text_at(t, "connection", id));
	return out;
}

/* clang-format off */
#define ENDS								\
	{ .title = "LOCAL", .format = local_text },			\
	{ .title = "REMOTE", .format = remote_text },			\
	{ .title = "RULE", .key = "rule" }
#define NUMBERS								\
	{ .title = "AGO", .format = ago_text, .right = true },		\
	{ .title = "EVENTS", .key = "events_total", .right = true }
/* clang-format on */

static const struct mr_column columns[] = {
	{ .title = "ID", .key = "id" },
	ENDS,
	{ .title = "LAST", .key = "last" },
	{ .title = "REASON", .key = "close_reason" },
	NUMBERS,
};

static const struct mr_column live_columns[] = {
	{ .title = "CONNECTION", .format = connection_text },
	ENDS,
	{ .title = "STATE", .key = "state" },
	{ .title = "LAST", .key = "last" },
	NUMBERS,
};

/* The archive has no filters: it is short, and grep(1) has more of them. */
static int list_path(const struct mr_cli *cli, const struct mr_arguments *a,
		     char path[MR_CLIENT_PATH])
{
	if (mr_arguments_find(a, "--live")) {
		strcpy(path, "/v1/traces?live=yes");
		return mr_conn_query(cli, a, "1000", path);
	}
	strcpy(path, "/v1/traces");
	return a->n ? mr_cli_usage(cli,
				   "%.*s: filters are those of connections that stand; say "
				   "--live",
				   (int)a->list[0].name_len, a->list[0].name)
		    : MR_CLI_OK;
}

int mr_cli_trace_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	bool is_live = mr_arguments_find(a, "--live");
	char path[MR_CLIENT_PATH];
	int err = list_path(cli, a, path);
	const json_t *traces;
	json_t *answer;

	if (err)
		return err;
	answer = mr_client_get(cli, path);
	if (!answer)
		return MR_CLI_ERROR;
	traces = json_object_get(answer, "traces");
	if (cli->json)
		mr_cli_print_json(answer);
	else if (is_live)
		mr_table_print(live_columns, sizeof(live_columns) / sizeof(live_columns[0]), traces,
			       true, NULL);
	else
		mr_table_print(columns, sizeof(columns) / sizeof(columns[0]), traces, true, NULL);
	if (json_is_string(json_object_get(answer, "next")))
		fprintf(stderr, "millrace: trace list: there are more (raise --limit)\n");
	json_decref(answer);
	return MR_CLI_OK;
}

/* Members of an event that say more than its name, as name=value. */
static void print_details(const json_t *event)
{
	static const char *const keys[] = { "in_a_row", "rto_ms", "bytes", "reason" };
	char text[MR_VALUE_BYTES];

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const json_t *v = json_object_get(event, keys[i]);

		if (v)
			printf(" %s=%s", keys[i], mr_value_text(v, text));
	}
}

/* A line an event: how long ago, what, in which state, how far the peer had acknowledged. */
static void print_trace(const json_t *t)
{
	char local[MR_VALUE_BYTES], remote[MR_VALUE_BYTES], text[MR_VALUE_BYTES];
	char state[MR_VALUE_BYTES], acked[MR_VALUE_BYTES], ago[MR_VALUE_BYTES];
	const json_t *events = json_object_get(t, "events"), *e;
	size_t i;

	printf("%s %s", local_text(t, local), remote_text(t, remote));
	printf(" connection %s", mr_value_text_at(t, "connection", text));
	if (json_is_string(json_object_get(t, "state")))
		printf(" %s", mr_value_text_at(t, "state", state));
	printf(" rule %s, the last %zu events of %s\n", mr_value_text_at(t, "rule", text),
	       json_array_size(events), mr_value_text_at(t, "events_total", state));
	json_array_foreach(events, i, e)
	{
		double ns = (double)mr_value_count(json_object_get(e, "ago_ms")) * 1e6;

		printf("%10s ago  %-14s %-12s acknowledged=%s", mr_value_duration(ns, ago),
		       mr_value_text_at(e, "event", text), mr_value_text_at(e, "state", state),
		       mr_value_text_at(e, "bytes_acknowledged", acked));
		print_details(e);
		putchar('\n');
	}
}

/* "INTERFACE:QUEUE:NUMBER". An address with a port looks otherwise: it has dots or more colons. */
static bool is_archived(const char *id)
{
	size_t n = strcspn(id, ":/.");

	for (int i = 0; i < 2; i++) {
		if (!n || id[n] != ':')
			return false;
		id += n + 1;
		n = strspn(id, "0123456789");
	}
	return n && !id[n];
}

static void print_traces(const json_t *traces)
{
	const json_t *t;
	size_t i;

	json_array_foreach(traces, i, t)
	{
		print_trace(t);
		if (!mr_value_count(json_object_get(t, "events_total")))
			puts("  nothing out of the ordinary is noted");
	}
}

static bool is_same(const json_t *a, const json_t *b)
{
	static const char *const keys[] = { "interface", "queue", "connection" };
	bool same = true;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		same = same && json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i]));
	return same;
}

/* What is noted of a connection goes when it is idle for long; what was archived before stays. */
static void add_archived(const struct mr_cli *cli, json_t *answer)
{
	json_t *traces = json_object_get(answer, "traces"), *all, *one;
	const json_t *t = json_array_get(traces, 0);
	char why[MR_CLIENT_WORDS];
	size_t i;

	if (json_array_size(traces) != 1 || mr_value_count(json_object_get(t, "events_total")) ||
	    mr_client_try(cli, "/v1/traces?events=yes", &all, why) < 0)
		return;
	json_array_foreach(json_object_get(all, "traces"), i, one)
	{
		if (is_same(one, t))
			json_array_append(traces, one);
	}
	json_decref(all);
}

static int show_path(const struct mr_cli *cli, const char *id, char path[MR_CLIENT_PATH])
{
	if (is_archived(id)) {
		strcpy(path, "/v1/traces");
		return mr_client_append(path, '?', "id", id)
			       ? MR_CLI_OK
			       : mr_cli_usage(cli, "ID: want one of millrace trace list");
	}
	strcpy(path, "/v1/traces?live=yes&events=yes&min_events=0");
	return mr_conn_query_one(cli, id, path);
}

int mr_cli_trace_show(struct mr_cli *cli, const struct mr_arguments *a)
{
	const char *id = mr_arguments_find(a, "ID");
	char path[MR_CLIENT_PATH];
	json_t *answer;
	int err = show_path(cli, id, path);

	if (err)
		return err;
	answer = mr_client_get(cli, path);
	if (!answer)
		return MR_CLI_ERROR;
	if (!json_array_size(json_object_get(answer, "traces"))) {
		json_decref(answer);
		return mr_cli_error(cli, "no such connection (see: millrace conn list; of those "
					 "that are closed: millrace trace list)");
	}
	if (!is_archived(id))
		add_archived(cli, answer);
	if (cli->json)
		mr_cli_print_json(answer);
	else
		print_traces(json_object_get(answer, "traces"));
	json_decref(answer);
	return MR_CLI_OK;
}
