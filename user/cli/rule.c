/* SPDX-License-Identifier: MIT */
/* millrace rule list */
#include <string.h>

#include "user/cli/client.h"
#include "user/cli/table.h"

/* "tcp any:7000", "tcp [2001:db8::2]:7000 vlan 5 on mrs0:1" */
static const char *match_text(const json_t *rule, char out[MR_VALUE_BYTES])
{
	char protocol[MR_VALUE_BYTES], address[MR_VALUE_BYTES], port[MR_VALUE_BYTES];
	char vlan[MR_VALUE_BYTES], interface[MR_VALUE_BYTES], lane[MR_VALUE_BYTES];
	const char *where = mr_value_text_at(rule, "address", address);
	bool is_ipv6 = strchr(where, ':');
	int n;

	n = snprintf(out, MR_VALUE_BYTES, "%.8s %s%.46s%s:%.8s",
		     mr_value_text_at(rule, "protocol", protocol), is_ipv6 ? "[" : "", where,
		     is_ipv6 ? "]" : "", mr_value_text_at(rule, "port", port));
	if (!mr_value_is(json_object_get(rule, "vlan"), "any"))
		n += snprintf(out + n, MR_VALUE_BYTES - n, " vlan %.8s",
			      mr_value_text_at(rule, "vlan", vlan));
	if (json_is_true(json_object_get(rule, "dynamic")))
		snprintf(out + n, MR_VALUE_BYTES - n, " on %.16s:%.8s",
			 mr_value_text_at(rule, "interface", interface),
			 mr_value_text_at(rule, "lane", lane));
	return out;
}

static const struct mr_column columns[] = {
	{ .title = "ID", .key = "id", .right = true },
	{ .title = "NAME", .key = "name" },
	{ .title = "MATCH", .format = match_text },
	{ .title = "APP", .key = "app" },
	{ .title = "FALLBACK", .key = "fallback" },
	{ .title = "CC", .key = "congestion_control" },
	{ .title = "ECN", .key = "ecn" },
	{ .title = "CONNS", .key = "connections", .right = true },
	{ .title = "PACKETS", .key = "packets", .right = true },
	{ .title = "BYTES", .key = "bytes", .right = true },
};

int mr_cli_rule_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	json_t *answer = mr_client_get(cli, "/v1/rules");

	(void)a;
	if (!answer)
		return MR_CLI_ERROR;
	if (cli->json)
		mr_cli_print_json(answer);
	else
		mr_table_print(columns, sizeof(columns) / sizeof(columns[0]),
			       json_object_get(answer, "rules"), true, NULL);
	json_decref(answer);
	return MR_CLI_OK;
}
