/* SPDX-License-Identifier: MIT */
/* millrace lane list, lane restart, lane show */
#include <string.h>

#include "user/cli/callbacks.h"
#include "user/cli/client.h"
#include "user/cli/table.h"
#include "user/cli/words.h"

static const char *mode_text(const json_t *lane, char out[MR_VALUE_BYTES])
{
	char a[MR_VALUE_BYTES], b[MR_VALUE_BYTES];

	snprintf(out, MR_VALUE_BYTES, "%.40s, %.40s", mr_value_text_at(lane, "attach", a),
		 mr_value_text_at(lane, "bind", b));
	return out;
}

/* The worker's state, and what is odd about the interface. */
static const char *state_text(const json_t *lane, char out[MR_VALUE_BYTES])
{
	const char *link = json_string_value(mr_value_at(lane, "link"));
	char state[MR_VALUE_BYTES];

	if (!link || !strcmp(link, "up"))
		return mr_value_text_at(lane, "state", out);
	snprintf(out, MR_VALUE_BYTES, "%.40s, link %.40s", mr_value_text_at(lane, "state", state),
		 link);
	return out;
}

static const char *free_text(const json_t *lane, char out[MR_VALUE_BYTES])
{
	char a[MR_VALUE_BYTES], b[MR_VALUE_BYTES];

	snprintf(out, MR_VALUE_BYTES, "%.40s of %.40s", mr_value_text_at(lane, "frames.free", a),
		 mr_value_text_at(lane, "frame_count", b));
	return out;
}

static const char *beat_text(const json_t *lane, char out[MR_VALUE_BYTES])
{
	const json_t *age = mr_value_at(lane, "beat_age_ms");
	char a[MR_VALUE_BYTES];

	if (!json_is_number(age))
		return mr_value_text_at(lane, "beat", out);
	snprintf(out, MR_VALUE_BYTES, "%.40s, %.1f ms", mr_value_text_at(lane, "beat", a),
		 json_number_value(age));
	return out;
}

static const char *interface_text(const json_t *lane, char out[MR_VALUE_BYTES])
{
	const char *bond = json_string_value(mr_value_at(lane, "bond"));
	char name[MR_VALUE_BYTES];

	if (!bond)
		return mr_value_text_at(lane, "interface", out);
	snprintf(out, MR_VALUE_BYTES, "%.40s of %.40s", mr_value_text_at(lane, "interface", name),
		 bond);
	return out;
}

static const struct mr_column columns[] = {
	{ .title = "INTERFACE", .format = interface_text },
	{ .title = "QUEUE", .key = "queue", .right = true },
	{ .title = "PID", .key = "pid", .right = true },
	{ .title = "STATE", .format = state_text },
	{ .title = "MODE", .format = mode_text },
	{ .title = "CONNS", .key = "connections", .right = true },
	{ .title = "HALF-OPEN", .key = "half_open", .right = true },
	{ .title = "FREE FRAMES", .format = free_text, .right = true },
	{ .title = "BEAT", .format = beat_text },
	{ .title = "SLOW", .key = "callbacks.slow", .right = true },
};

enum {
	N_COLUMNS = sizeof(columns) / sizeof(columns[0]),
};

static void print_drops(const json_t *lane)
{
	char out[MR_VALUE_BYTES];
	const char *name;
	json_t *n;

	json_object_foreach(json_object_get(lane, "drops"), name, n)
	{
		if (!json_is_integer(n) || json_integer_value(n) != 0)
			printf("\tdrop: %s: %s  %s\n", name, mr_value_text(n, out),
			       mr_words_find(MR_WORDS_DROPS, name));
	}
}

static void print_drain(const json_t *drain)
{
	char left[MR_VALUE_BYTES], reset[MR_VALUE_BYTES];

	if (!json_is_object(drain))
		return;
	if (json_is_integer(json_object_get(drain, "left_ms")))
		printf("\tdrain: what is open in %s ms is reset\n",
		       mr_value_text_at(drain, "left_ms", left));
	if (mr_value_count(json_object_get(drain, "reset")))
		printf("\tdrain: %s connections were reset at the deadline\n",
		       mr_value_text_at(drain, "reset", reset));
}

/* The lines under a lane: what an operator must not miss. */
static void print_notes(const json_t *lane)
{
	char out[MR_VALUE_BYTES], restarts[MR_VALUE_BYTES];

	if (mr_value_count(mr_value_at(lane, "restarts")))
		printf("\trestarts: %s, last exit: %s\n",
		       mr_value_text_at(lane, "restarts", restarts),
		       mr_value_text_at(lane, "last_exit", out));
	print_drain(json_object_get(lane, "drain"));
	print_drops(lane);
	mr_callbacks_print(json_object_get(lane, "callbacks"), "\t");
}

/* Queues without a lane: the connections that come there are the kernel's. */
static void print_unserved(const json_t *answer)
{
	char name[MR_VALUE_BYTES], queues[MR_VALUE_BYTES], lanes[MR_VALUE_BYTES];
	const json_t *u;
	size_t i;

	json_array_foreach(json_object_get(answer, "unserved"), i, u)
	{
		printf("%s: %s of %s receive queues have a lane; connections on the others go to "
		       "the kernel (ethtool -L, or queues: all)\n",
		       mr_value_text_at(u, "interface", name), mr_value_text_at(u, "lanes", lanes),
		       mr_value_text_at(u, "receive_queues", queues));
	}
}

static void print_list(const json_t *answer)
{
	mr_mode_print(answer);
	mr_table_print(columns, N_COLUMNS, json_object_get(answer, "lanes"), true, print_notes);
	print_unserved(answer);
}

int mr_cli_lane_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	(void)a;
	return mr_client_show(cli, mr_client_get(cli, "/v1/lanes"), print_list);
}

int mr_cli_lane_restart(struct mr_cli *cli, const struct mr_arguments *a)
{
	const char *lane = mr_arguments_find(a, "--lane");
	char path[MR_CLIENT_PATH] = "/v1/lanes/restart";

	if (lane && !mr_client_append(path, '?', "lane", lane))
		return mr_cli_error(cli, "%s: no such lane (see: millrace lane list)", lane);
	return mr_client_show(cli, mr_client_post(cli, path), print_list);
}

static json_t *find_lane(const json_t *answer, const char *interface, uint64_t queue)
{
	json_t *lane;
	size_t i;

	json_array_foreach(json_object_get(answer, "lanes"), i, lane)
	{
		const json_t *q = json_object_get(lane, "queue");

		if (json_is_integer(q) && mr_value_count(q) == queue &&
		    mr_value_is(json_object_get(lane, "interface"), interface))
			return lane;
	}
	return NULL;
}

/* What lane show prints first: label and path, in groups that belong together. */
static const struct {
	const char *label;
	const char *path;
} facts[] = {
	{ "interface", "interface" },
	{ "bond", "bond" },
	{ "queue", "queue" },
	{ "lane", "lane" },
	{ "slot", "slot" },
	{ "pid", "pid" },
	{ "state", "state" },
	{ "link", "link" },
	{ "epoch", "epoch" },
	{ "restarts", "restarts" },
	{ "times stale", "stales" },
	{ "last exit", "last_exit" },
	{ "attached", "attach" },
	{ "bound", "bind" },
	{ "why no better mode", "why" },
	{ "need wakeup", "need_wakeup" },
	{ "cpu", "cpu" },
	{ "ports of active opens", "ports" },
	{ "heartbeat", "beat" },
	{ "heartbeat age ms", "beat_age_ms" },
	{ "connections", "connections" },
	{ "half open", "half_open" },
	{ "time wait", "time_wait" },
	{ "accept queue", "accept_queue" },
	{ "message bytes", "message_bytes" },
	{ "listeners", "listeners" },
	{ "arena bytes", "arena_bytes" },
	{ "socket", "socket" },
	{ "huge pages", "huge_pages" },
	{ "frame bytes", "frame_bytes" },
	{ "frames", "frame_count" },
};

static void show(const json_t *lane)
{
	const json_t *callbacks = json_object_get(lane, "callbacks");
	char out[MR_VALUE_BYTES];

	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		printf("%-24s%s\n", facts[i].label, mr_value_text_at(lane, facts[i].path, out));
	mr_words_print("\nframes by state", MR_WORDS_FRAMES, json_object_get(lane, "frames"), true);
	mr_words_print("\ncounters", MR_WORDS_COUNTERS, json_object_get(lane, "counters"), false);
	mr_words_print("\ndrops", MR_WORDS_DROPS, json_object_get(lane, "drops"), false);
	mr_words_print("\nclosed connections", MR_WORDS_CLOSES, json_object_get(lane, "closes"),
		       false);
	if (mr_value_count(json_object_get(callbacks, "calls"))) {
		printf("\n");
		mr_callbacks_print(callbacks, "");
		mr_callbacks_print_histogram(callbacks, "");
	}
}

static void show_json(const json_t *lane)
{
	json_t *answer = json_pack("{s:i, s:O}", "v", 1, "lane", lane);

	mr_cli_print_json(answer);
	json_decref(answer);
}

int mr_cli_lane_show(struct mr_cli *cli, const struct mr_arguments *a)
{
	const char *interface = mr_arguments_find(a, "INTERFACE");
	int status = MR_CLI_OK;
	uint64_t queue = 0;
	json_t *answer, *lane;

	if (mr_cli_number(cli, a, "QUEUE", 0, UINT16_MAX, &queue))
		return MR_CLI_USAGE;
	answer = mr_client_get(cli, "/v1/lanes");
	if (!answer)
		return MR_CLI_ERROR;
	lane = find_lane(answer, interface, queue);
	if (!lane)
		status = mr_cli_error(cli, "%s queue %d: no such lane (see: millrace lane list)",
				      interface, (int)queue);
	else if (cli->json)
		show_json(lane);
	else
		show(lane);
	json_decref(answer);
	return status;
}
