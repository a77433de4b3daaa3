/* SPDX-License-Identifier: MIT */
/* The filters of conn list, and the name of one connection, as parameters of /v1/conns. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mr_arena.h"
#include "user/cli/conn.h"
#include "user/cli/value.h"

static int append(const struct mr_cli *cli, char path[MR_CLIENT_PATH], const char *name,
		  const char *value)
{
	if (mr_client_append(path, strchr(path, '?') ? '&' : '?', name, value))
		return MR_CLI_OK;
	return mr_cli_error(cli, "the request would be too long");
}

/* RFC 9293's names, in any case and with "_" for "-". */
static int add_state(const struct mr_cli *cli, const char *text, char path[MR_CLIENT_PATH])
{
	static const char *const names[MR_TCP_STATE_COUNT] = MR_TCP_STATE_NAMES;
	size_t len = strlen(text);
	char state[32];

	for (size_t i = 0; i <= len && i < sizeof(state); i++)
		state[i] = text[i] == '_' ? '-' : (char)toupper((unsigned char)text[i]);
	for (int i = MR_SYN_SENT; len < sizeof(state) && i < MR_TCP_STATE_COUNT; i++)
		if (!strcmp(state, names[i]))
			return append(cli, path, "state", state);
	return mr_cli_usage(cli,
			    "--state %s: no such state (SYN-SENT, SYN-RECEIVED, ESTABLISHED, "
			    "FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK, TIME-WAIT)",
			    text);
}

/* A queue alone: of the one interface that has it. */
static int find_lane(const struct mr_cli *cli, uint64_t queue, char out[MR_VALUE_BYTES])
{
	json_t *answer = mr_client_get(cli, "/v1/lanes"), *lane;
	int found = 0;
	size_t i;

	if (!answer)
		return MR_CLI_ERROR;
	json_array_foreach(json_object_get(answer, "lanes"), i, lane)
	{
		const json_t *q = json_object_get(lane, "queue");
		const char *interface = json_string_value(json_object_get(lane, "interface"));

		if (!interface || !json_is_integer(q) || mr_value_count(q) != queue)
			continue;
		snprintf(out, MR_VALUE_BYTES, "%.64s:%d", interface, (int)queue);
		found++;
	}
	json_decref(answer);
	if (!found)
		return mr_cli_error(cli, "--lane %d: no such lane (see: millrace lane list)",
				    (int)queue);
	if (found > 1)
		return mr_cli_error(cli, "--lane %d: several interfaces have it (say --lane %s)",
				    (int)queue, out);
	return MR_CLI_OK;
}

static int add_lane(const struct mr_cli *cli, const struct mr_arguments *a,
		    char path[MR_CLIENT_PATH])
{
	const char *text = mr_arguments_find(a, "--lane");
	char lane[MR_VALUE_BYTES];
	uint64_t queue = 0;
	int err;

	if (!strchr(text, ':') && !isdigit((unsigned char)text[0]))
		return mr_cli_usage(cli, "--lane %s: want INTERFACE:QUEUE, or a queue", text);
	if (strlen(text) >= sizeof(lane))
		return mr_cli_usage(cli, "--lane: want INTERFACE:QUEUE");
	if (strchr(text, ':'))
		return append(cli, path, "lane", text);
	err = mr_cli_number(cli, a, "--lane", 0, UINT16_MAX, &queue);
	if (!err)
		err = find_lane(cli, queue, lane);
	return err ? err : append(cli, path, "lane", lane);
}

/* "90", "90s", "1500ms", "2h" as milliseconds. */
static int add_time(const struct mr_cli *cli, const char *option, const char *text,
		    const char *parameter, char path[MR_CLIENT_PATH])
{
	static const struct {
		const char *unit;
		unsigned long long ms;
	} units[] = { { "ms", 1 },	  { "", 1000 },		{ "s", 1000 },
		      { "m", 60 * 1000 }, { "h", 3600 * 1000 }, { "d", 24 * 3600 * 1000 } };
	unsigned long long n;
	char *end, ms[32];

	errno = 0;
	n = strtoull(text, &end, 10);
	for (size_t i = 0; isdigit((unsigned char)text[0]) && i < sizeof(units) / sizeof(units[0]);
	     i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		if (errno || !n || n > INT32_MAX / units[i].ms)
			break;
		snprintf(ms, sizeof(ms), "%llu", n * units[i].ms);
		return append(cli, path, parameter, ms);
	}
	return mr_cli_usage(cli, "%s %s: want a time up to 24d, as 90s, 1500ms, 5m, 2h or 1d",
			    option, text);
}

static int add_number(const struct mr_cli *cli, const struct mr_arguments *a, const char *option,
		      uint64_t min, uint64_t max, const char *parameter, char path[MR_CLIENT_PATH])
{
	uint64_t n = 0;
	int err = mr_cli_number(cli, a, option, min, max, &n);
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	return err ? err : append(cli, path, parameter, text);
}

enum how {
	AS_TEXT,
	AS_TIME,
	AS_PORT,
	AS_COUNT,
};

static const struct {
	const char *option;
	const char *parameter;
	enum how how;
} filters[] = {
	{ "--rule", "rule", AS_TEXT },	      { "--address", "address", AS_TEXT },
	{ "--local", "local", AS_TEXT },      { "--remote", "remote", AS_TEXT },
	{ "--port", "port", AS_PORT },	      { "--remote-port", "remote_port", AS_PORT },
	{ "--older", "min_age_ms", AS_TIME }, { "--younger", "max_age_ms", AS_TIME },
	{ "--idle", "min_idle_ms", AS_TIME }, { "--retransmits", "min_retransmits", AS_COUNT },
};

static int add_filter(const struct mr_cli *cli, const struct mr_arguments *a, size_t i,
		      char path[MR_CLIENT_PATH])
{
	const char *option = filters[i].option, *parameter = filters[i].parameter;
	const char *text = mr_arguments_find(a, option);

	if (!text)
		return MR_CLI_OK;
	switch (filters[i].how) {
	case AS_TIME:
		return add_time(cli, option, text, parameter, path);
	case AS_PORT:
		return add_number(cli, a, option, 1, UINT16_MAX, parameter, path);
	case AS_COUNT:
		return add_number(cli, a, option, 0, UINT16_MAX, parameter, path);
	default:
		return append(cli, path, parameter, text);
	}
}

int mr_conn_query(const struct mr_cli *cli, const struct mr_arguments *a, const char *limit,
		  char path[MR_CLIENT_PATH])
{
	const char *state = mr_arguments_find(a, "--state");
	int err = MR_CLI_OK;

	if (mr_arguments_find(a, "--limit"))
		err = add_number(cli, a, "--limit", 1, UINT32_MAX - 1, "limit", path);
	else
		err = append(cli, path, "limit", limit);
	for (size_t i = 0; !err && i < sizeof(filters) / sizeof(filters[0]); i++)
		err = add_filter(cli, a, i, path);
	if (!err && state)
		err = add_state(cli, state, path);
	if (!err && mr_arguments_find(a, "--lane"))
		err = add_lane(cli, a, path);
	return err;
}

int mr_conn_query_one(const struct mr_cli *cli, const char *text, char path[MR_CLIENT_PATH])
{
	const char *end = strrchr(text, '/');
	char first[MR_VALUE_BYTES];
	const char *second;
	bool is_id = end != NULL;
	size_t len;
	int err;

	if (!is_id)
		end = strrchr(text, ':');
	len = end ? (size_t)(end - text) : 0;
	if (!is_id && len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (!len || len >= sizeof(first) || !end[1])
		return mr_cli_usage(cli,
				    "%s: want LANE/ID as conn list prints them, or the peer's "
				    "ADDRESS:PORT",
				    text);
	memcpy(first, text, len);
	first[len] = '\0';
	second = end + 1;
	err = append(cli, path, is_id ? "lane" : "remote", first);
	return err ? err : append(cli, path, is_id ? "id" : "remote_port", second);
}
