/* SPDX-License-Identifier: MIT */
/* millrace lane drain, lane resume */
#include "user/cli/client.h"

enum {
	DEADLINE_MOST_S = 86400,
};

/* Ask, and show the lane list as it is now. */
static int ask(struct mr_cli *cli, const struct mr_arguments *a, const char *verb)
{
	const char *deadline = mr_arguments_find(a, "--deadline");
	char path[MR_CLIENT_PATH];
	json_t *answer;

	snprintf(path, sizeof(path), "/v1/lanes/%s", verb);
	if (!mr_client_append(path, '?', "lane", mr_arguments_find(a, "LANE")) ||
	    (deadline && !mr_client_append(path, '&', "deadline_s", deadline)))
		return mr_cli_usage(cli, "LANE: want INTERFACE:QUEUE, a queue, or all");
	answer = mr_client_post(cli, path);
	if (!answer)
		return MR_CLI_ERROR;
	if (cli->json)
		mr_cli_print_json(answer);
	json_decref(answer);
	return cli->json ? MR_CLI_OK : mr_cli_lane_list(cli, a);
}

int mr_cli_lane_drain(struct mr_cli *cli, const struct mr_arguments *a)
{
	uint64_t seconds;

	if (mr_cli_number(cli, a, "--deadline", 1, DEADLINE_MOST_S, &seconds))
		return MR_CLI_USAGE;
	return ask(cli, a, "drain");
}

int mr_cli_lane_resume(struct mr_cli *cli, const struct mr_arguments *a)
{
	return ask(cli, a, "resume");
}
