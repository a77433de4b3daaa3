/* SPDX-License-Identifier: MIT */
/* millrace stats show */
#include <string.h>

#include "user/cli/callbacks.h"
#include "user/cli/client.h"
#include "user/cli/value.h"
#include "user/cli/words.h"

static void print_verdicts(const json_t *verdicts, bool all)
{
	char name[MR_VALUE_BYTES], packets[MR_VALUE_BYTES], bytes[MR_VALUE_BYTES];
	char action[MR_VALUE_BYTES], text[MR_VALUE_BYTES];
	bool titled = false;
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)verdicts, i, v)
	{
		const json_t *n = json_object_get(v, "packets");

		if (!all && json_is_integer(n) && json_integer_value(n) == 0)
			continue;
		if (!titled)
			printf("verdicts of the XDP program\n%14s  %-16s %-9s %14s\n", "packets",
			       "verdict", "action", "bytes");
		titled = true;
		printf("%14s  %-16s %-9s %14s  %s\n", mr_value_text(n, packets),
		       mr_value_text_at(v, "name", name), mr_value_text_at(v, "action", action),
		       mr_value_text_at(v, "bytes", bytes), mr_value_text_at(v, "text", text));
	}
}

static void show(const json_t *stats, bool all)
{
	const json_t *flows = json_object_get(stats, "kernel_flows");
	char out[MR_VALUE_BYTES];

	mr_mode_print(stats);
	print_verdicts(json_object_get(stats, "verdicts"), all);
	mr_words_print("\nlevels of all lanes", MR_WORDS_GAUGES, json_object_get(stats, "gauges"),
		       all);
	mr_words_print("\ncounters of all lanes", MR_WORDS_COUNTERS,
		       json_object_get(stats, "counters"), all);
	mr_words_print("\ndrops", MR_WORDS_DROPS, json_object_get(stats, "drops"), all);
	mr_words_print("\nclosed connections", MR_WORDS_CLOSES, json_object_get(stats, "closes"),
		       all);
	mr_words_print("\nframes by state", MR_WORDS_FRAMES, json_object_get(stats, "frames"), all);
	mr_callbacks_print(json_object_get(stats, "callbacks"), "");
	if (all || !json_is_integer(flows) || json_integer_value(flows) != 0)
		printf("flows left to the kernel while a lane was stale: %s\n",
		       mr_value_text(flows, out));
}

int mr_cli_stats_show(struct mr_cli *cli, const struct mr_arguments *a)
{
	json_t *answer = mr_client_get(cli, "/v1/stats");

	if (!answer)
		return MR_CLI_ERROR;
	if (cli->json)
		mr_cli_print_json(answer);
	else
		show(answer, mr_arguments_find(a, "--all") != NULL);
	json_decref(answer);
	return MR_CLI_OK;
}
