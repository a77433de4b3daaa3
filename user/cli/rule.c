/* SPDX-License-Identifier: MIT */
/* millrace rule list */
#include <string.h>
#include <time.h>

#include "user/cli/client.h"
#include "user/cli/table.h"

enum {
	INTERVAL_MOST_S = 3600,
};

/* " from 10.0.0.0/8", " from 100000 prefixes", nothing for any. */
static int put_source(const json_t *rule, char *out, size_t bytes)
{
	json_int_t n = json_integer_value(json_object_get(rule, "source_prefixes"));
	char source[MR_VALUE_BYTES];

	if (mr_value_is(json_object_get(rule, "source"), "list"))
		return snprintf(out, bytes, " from %lld prefixes", (long long)n);
	if (!n)
		return 0;
	return snprintf(out, bytes, " from %.46s", mr_value_text_at(rule, "source", source));
}

static int put_destination(const json_t *rule, char *out, size_t bytes)
{
	json_int_t n = json_integer_value(json_object_get(rule, "destination_prefixes"));
	char protocol[MR_VALUE_BYTES], address[MR_VALUE_BYTES], port[MR_VALUE_BYTES];
	const char *where = mr_value_text_at(rule, "address", address);
	bool is_ipv6 = strchr(where, ':');
	char list[32];

	if (!strcmp(where, "list")) {
		snprintf(list, sizeof(list), "%lld prefixes", (long long)n);
		where = list;
	}
	return snprintf(out, bytes, "%.8s %s%.46s%s:%.11s",
			mr_value_text_at(rule, "protocol", protocol), is_ipv6 ? "[" : "", where,
			is_ipv6 ? "]" : "", mr_value_text_at(rule, "port", port));
}

/* "tcp any:7000", "tcp [2001:db8::2]:7000 from 10.0.0.0/8 vlan 5 on mrs0:1" */
static const char *match_text(const json_t *rule, char out[MR_VALUE_BYTES])
{
	char vlan[MR_VALUE_BYTES], interface[MR_VALUE_BYTES], lane[MR_VALUE_BYTES];
	int n = put_destination(rule, out, MR_VALUE_BYTES);

	n += put_source(rule, out + n, MR_VALUE_BYTES - n);
	if (!mr_value_is(json_object_get(rule, "vlan"), "any"))
		n += snprintf(out + n, MR_VALUE_BYTES - n, " vlan %.8s",
			      mr_value_text_at(rule, "vlan", vlan));
	if (json_is_true(json_object_get(rule, "leaving")))
		n += snprintf(out + n, MR_VALUE_BYTES - n, ", leaving");
	if (json_is_true(json_object_get(rule, "dynamic")))
		snprintf(out + n, MR_VALUE_BYTES - n, " on %.16s:%.8s",
			 mr_value_text_at(rule, "interface", interface),
			 mr_value_text_at(rule, "lane", lane));
	else if (!mr_value_is(json_object_get(rule, "on"), "any"))
		snprintf(out + n, MR_VALUE_BYTES - n, " on %.16s",
			 mr_value_text_at(rule, "on", interface));
	return out;
}

static const struct mr_column columns[] = {
	{ .title = "ID", .key = "id", .right = true },
	{ .title = "NAME", .key = "name" },
	{ .title = "MATCH", .format = match_text },
	{ .title = "PRIO", .key = "priority", .right = true },
	{ .title = "ACTION", .key = "action" },
	{ .title = "APP", .key = "app" },
	{ .title = "FALLBACK", .key = "fallback" },
	{ .title = "CC", .key = "congestion_control" },
	{ .title = "ECN", .key = "ecn" },
	{ .title = "CONNS", .key = "connections", .right = true },
	{ .title = "PACKETS", .key = "packets", .right = true },
	{ .title = "BYTES", .key = "bytes", .right = true },
	{ .title = "COMMENT", .key = "comment" },
};

static const struct mr_column rate_columns[] = {
	{ .title = "ID", .key = "id", .right = true, .min = 4 },
	{ .title = "NAME", .key = "name", .min = 16 },
	{ .title = "ACTION", .key = "action" },
	{ .title = "PACKETS", .key = "packets", .right = true, .min = 12 },
	{ .title = "PACKETS/S", .key = "packets_per_s", .right = true, .min = 12 },
	{ .title = "BITS/S", .key = "bits_per_s", .right = true, .min = 14 },
};

static void show(const struct mr_cli *cli, const json_t *answer, const struct mr_column *c, int n)
{
	if (cli->json) {
		mr_cli_print_json(answer);
		return;
	}
	mr_mode_print(answer);
	mr_table_print(c, n, json_object_get(answer, "rules"), true, NULL);
}

/* What @key of the rule with the id of @rule was. */
static uint64_t before(const json_t *rules, const json_t *rule, const char *key)
{
	const json_t *one;
	size_t i;

	json_array_foreach(
		rules, i,
		one) if (json_equal(json_object_get(one, "id"), json_object_get(rule, "id")) &&
			 json_equal(json_object_get(one, "name"),
				    json_object_get(
					    rule,
					    "name"))) return mr_value_count(json_object_get(one,
											    key));
	return 0;
}

static json_int_t rate(const json_t *rules, const json_t *rule, const char *key, double seconds)
{
	uint64_t now = mr_value_count(json_object_get(rule, key)), was = before(rules, rule, key);

	return now > was ? (json_int_t)((double)(now - was) / seconds + 0.5) : 0;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Until somebody ends it, or the daemon does. */
static int watch(struct mr_cli *cli, json_t *last, uint64_t interval_s)
{
	double then = now_s();

	while (last) {
		json_t *answer, *rule, *rules = json_object_get(last, "rules");
		double now;
		size_t i;

		nanosleep(&(struct timespec){ .tv_sec = (time_t)interval_s }, NULL);
		answer = mr_client_get(cli, "/v1/rules");
		now = now_s();
		json_array_foreach(json_object_get(answer, "rules"), i, rule)
		{
			json_object_set_new(rule, "packets_per_s",
					    json_integer(rate(rules, rule, "packets", now - then)));
			json_object_set_new(
				rule, "bits_per_s",
				json_integer(8 * rate(rules, rule, "bytes", now - then)));
		}
		if (answer)
			show(cli, answer, rate_columns,
			     sizeof(rate_columns) / sizeof(rate_columns[0]));
		fflush(stdout);
		json_decref(last);
		last = answer;
		then = now;
	}
	return MR_CLI_ERROR;
}

int mr_cli_rule_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	uint64_t interval_s = 0;
	int wrong = mr_cli_number(cli, a, "-w", 1, INTERVAL_MOST_S, &interval_s);
	json_t *answer = wrong ? NULL : mr_client_get(cli, "/v1/rules");

	if (wrong)
		return wrong;
	if (!answer)
		return MR_CLI_ERROR;
	if (interval_s)
		return watch(cli, answer, interval_s);
	show(cli, answer, columns, sizeof(columns) / sizeof(columns[0]));
	json_decref(answer);
	return MR_CLI_OK;
}
