/* SPDX-License-Identifier: MIT */
/* millrace trace list, millrace trace show */
#include <string.h>

#include "user/cli/client.h"
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

static const struct mr_column columns[] = {
	{ .title = "ID", .key = "id" },
	{ .title = "LOCAL", .format = local_text },
	{ .title = "REMOTE", .format = remote_text },
	{ .title = "RULE", .key = "rule" },
	{ .title = "LAST", .key = "last" },
	{ .title = "REASON", .key = "close_reason" },
	{ .title = "AGO", .format = ago_text, .right = true },
	{ .title = "EVENTS", .key = "events_total", .right = true },
};

int mr_cli_trace_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	json_t *answer = mr_client_get(cli, "/v1/traces");

	(void)a;
	if (!answer)
		return MR_CLI_ERROR;
	if (cli->json)
		mr_cli_print_json(answer);
	else
		mr_table_print(columns, sizeof(columns) / sizeof(columns[0]),
			       json_object_get(answer, "traces"), true, NULL);
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

int mr_cli_trace_show(struct mr_cli *cli, const struct mr_arguments *a)
{
	char path[MR_CLIENT_PATH] = "/v1/traces";
	const json_t *t;
	json_t *answer;
	size_t i;

	if (!mr_client_append(path, '?', "id", mr_arguments_find(a, "ID")))
		return mr_cli_usage(cli, "ID: want one of millrace trace list");
	answer = mr_client_get(cli, path);
	if (!answer)
		return MR_CLI_ERROR;
	if (cli->json) {
		mr_cli_print_json(answer);
	} else {
		json_array_foreach(json_object_get(answer, "traces"), i, t)
		{
			print_trace(t);
		}
	}
	json_decref(answer);
	return MR_CLI_OK;
}
