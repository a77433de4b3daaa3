/* SPDX-License-Identifier: MIT */
/* millrace guard list, millrace guard block list */
#include <string.h>

#include "user/cli/client.h"
#include "user/cli/table.h"

/* "1000/s, burst 100" of an object, or "-" */
static void rate_text(const json_t *rate, char *out, size_t bytes)
{
	char per_s[MR_VALUE_BYTES], burst[MR_VALUE_BYTES];

	if (!json_is_object(rate))
		snprintf(out, bytes, "-");
	else
		snprintf(out, bytes, "%.12s/s, burst %.12s", mr_value_text_at(rate, "per_s", per_s),
			 mr_value_text_at(rate, "burst", burst));
}

static const char *packets_text(const json_t *o, char out[MR_VALUE_BYTES])
{
	rate_text(json_object_get(o, "packets"), out, MR_VALUE_BYTES);
	return out;
}

static const char *connections_text(const json_t *o, char out[MR_VALUE_BYTES])
{
	rate_text(json_object_get(o, "connections"), out, MR_VALUE_BYTES);
	return out;
}

static const char *on_text(const json_t *o, char out[MR_VALUE_BYTES])
{
	snprintf(out, MR_VALUE_BYTES, "%s",
		 json_is_true(json_object_get(o, "on")) ? "answering" : "off");
	return out;
}

static const struct mr_column limit_columns[] = {
	{ .title = "IPV4", .key = "ipv4_prefix", .right = true },
	{ .title = "IPV6", .key = "ipv6_prefix", .right = true },
	{ .title = "PACKETS", .format = packets_text },
	{ .title = "CONNECTIONS", .format = connections_text },
};

static const struct mr_column rule_columns[] = {
	{ .title = "RULE", .key = "rule" },
	{ .title = "PACKETS", .format = packets_text },
	{ .title = "CONNECTIONS", .format = connections_text },
	{ .title = "DROPPED", .key = "dropped_packets", .right = true },
};

static const struct mr_column lane_columns[] = {
	{ .title = "INTERFACE", .key = "interface" },
	{ .title = "QUEUE", .key = "queue", .right = true },
	{ .title = "SYN-COOKIES", .format = on_text },
	{ .title = "ROUNDS", .key = "rounds", .right = true },
	{ .title = "ANSWERED", .key = "answered", .right = true },
};

static const struct mr_column counter_columns[] = {
	{ .title = "PACKETS", .key = "packets", .right = true },
	{ .title = "BYTES", .key = "bytes", .right = true },
	{ .title = "WHAT", .key = "text" },
};

static const struct mr_column block_columns[] = {
	{ .title = "ACTION", .key = "action" },
	{ .title = "PREFIX", .key = "prefix" },
};

static void print_part(const json_t *answer, const char *key, const struct mr_column *columns,
		       size_t n)
{
	const json_t *list = json_object_get(answer, key);

	if (!json_array_size(list))
		return;
	putchar('\n');
	mr_table_print(columns, n, list, true, NULL);
}
#define PRINT(answer, key, columns)                                                                \
	print_part(answer, key, columns, sizeof(columns) / sizeof((columns)[0]))

static void print_guard(const json_t *answer)
{
	char blocks[MR_VALUE_BYTES], cookies[MR_VALUE_BYTES];

	printf("block list: %s prefixes; SYN cookies in XDP: %s\n",
	       mr_value_text_at(answer, "blocks", blocks),
	       mr_value_text_at(answer, "syn_cookies", cookies));
	PRINT(answer, "limits", limit_columns);
	PRINT(answer, "rules", rule_columns);
	PRINT(answer, "lanes", lane_columns);
	PRINT(answer, "counters", counter_columns);
}

int mr_cli_guard_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	json_t *answer = mr_client_get(cli, "/v1/guard");

	(void)a;
	if (!answer)
		return MR_CLI_ERROR;
	if (cli->json)
		mr_cli_print_json(answer);
	else
		print_guard(answer);
	json_decref(answer);
	return MR_CLI_OK;
}

int mr_cli_guard_block_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	json_t *answer = mr_client_get(cli, "/v1/guard/blocks");

	(void)a;
	if (!answer)
		return MR_CLI_ERROR;
	if (cli->json)
		mr_cli_print_json(answer);
	else
		mr_table_print(block_columns, sizeof(block_columns) / sizeof(block_columns[0]),
			       json_object_get(answer, "blocks"), true, NULL);
	json_decref(answer);
	return MR_CLI_OK;
}
