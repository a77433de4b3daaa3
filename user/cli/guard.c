/* SPDX-License-Identifier: MIT */
/* millrace guard list, millrace guard block list; guard_change.c changes it */
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

/* Only what is not as the configuration has it is said. */
static const char *from_text(const json_t *o, char out[MR_VALUE_BYTES])
{
	snprintf(out, MR_VALUE_BYTES, "%s",
		 mr_value_is(json_object_get(o, "from"), "run time") ? "run time" : "-");
	return out;
}

static const struct mr_column limit_columns[] = {
	{ .title = "IPV4", .key = "ipv4_prefix", .right = true },
	{ .title = "IPV6", .key = "ipv6_prefix", .right = true },
	{ .title = "PACKETS", .format = packets_text },
	{ .title = "CONNECTIONS", .format = connections_text },
	{ .title = "CHANGED", .format = from_text },
};

static const struct mr_column rule_columns[] = {
	{ .title = "RULE", .key = "rule" },
	{ .title = "PACKETS", .format = packets_text },
	{ .title = "CONNECTIONS", .format = connections_text },
	{ .title = "DROPPED", .key = "dropped_packets", .right = true },
	{ .title = "CHANGED", .format = from_text },
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
	{ .title = "CHANGED", .format = from_text },
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
	char a[MR_VALUE_BYTES], b[MR_VALUE_BYTES], c[MR_VALUE_BYTES];

	printf("block list: %s prefixes; at run time %s came, %s of the configuration went\n",
	       mr_value_text_at(answer, "blocks", a),
	       mr_value_text_at(answer, "blocks_run_time", b),
	       mr_value_text_at(answer, "blocks_taken_away", c));
	printf("SYN cookies in XDP: %s, from %s %% of half_open on, until %s s of calm%s\n",
	       mr_value_text_at(answer, "syn_cookies", a),
	       mr_value_text_at(answer, "syn_at_percent", b),
	       mr_value_text_at(answer, "syn_calm_s", c),
	       mr_value_is(json_object_get(answer, "syn_from"), "run time")
		       ? ", changed at run time"
		       : "");
	PRINT(answer, "limits", limit_columns);
	PRINT(answer, "rules", rule_columns);
	PRINT(answer, "lanes", lane_columns);
	PRINT(answer, "counters", counter_columns);
}

int mr_cli_guard_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	(void)a;
	return mr_client_show(cli, mr_client_get(cli, "/v1/guard"), print_guard);
}

static void print_blocks(const json_t *answer)
{
	mr_table_print(block_columns, sizeof(block_columns) / sizeof(block_columns[0]),
		       json_object_get(answer, "blocks"), true, NULL);
}

int mr_cli_guard_block_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	(void)a;
	return mr_client_show(cli, mr_client_get(cli, "/v1/guard/blocks"), print_blocks);
}
