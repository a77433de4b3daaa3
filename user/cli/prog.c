/* SPDX-License-Identifier: MIT */
/* millrace prog list, prog upgrade, prog rollback */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/cli/client.h"
#include "user/cli/table.h"

static const char *interfaces_text(const json_t *program, char out[MR_VALUE_BYTES])
{
	const json_t *name;
	size_t at = 0, i;

	snprintf(out, MR_VALUE_BYTES, "-");
	json_array_foreach(json_object_get(program, "interfaces"), i, name)
	{
		int n = snprintf(out + at, MR_VALUE_BYTES - at, "%s%s", i ? ", " : "",
				 json_is_string(name) ? json_string_value(name) : "-");

		if (n < 0 || (size_t)n >= MR_VALUE_BYTES - at)
			break;
		at += (size_t)n;
	}
	return out;
}

static const struct mr_column columns[] = {
	{ .title = "ROLE", .key = "role" },
	{ .title = "ID", .key = "id", .right = true },
	{ .title = "SECTION", .key = "section" },
	{ .title = "TAG", .key = "tag" },
	{ .title = "ABI", .key = "abi" },
	{ .title = "LOADED", .key = "loaded" },
	{ .title = "INTERFACES", .format = interfaces_text },
	{ .title = "OBJECT", .key = "object" },
};

static void print(const json_t *answer)
{
	mr_table_print(columns, sizeof(columns) / sizeof(columns[0]),
		       json_object_get(answer, "programs"), true, NULL);
}

int mr_cli_prog_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	(void)a;
	return mr_client_show(cli, mr_client_get(cli, "/v1/programs"), print);
}

int mr_cli_prog_upgrade(struct mr_cli *cli, const struct mr_arguments *a)
{
	const char *file = mr_arguments_find(a, "--object");
	char path[MR_CLIENT_PATH] = "/v1/programs/upgrade";
	char *whole;
	bool fits;

	if (!file)
		return mr_client_show(cli, mr_client_post(cli, path), print);
	whole = realpath(file, NULL);
	if (!whole)
		return mr_cli_error(cli, "%s: %s", file, strerror(errno));
	fits = mr_client_append(path, '?', "object", whole);
	free(whole);
	if (!fits)
		return mr_cli_error(cli, "%s: its path is too long", file);
	return mr_client_show(cli, mr_client_post(cli, path), print);
}

int mr_cli_prog_rollback(struct mr_cli *cli, const struct mr_arguments *a)
{
	(void)a;
	return mr_client_show(cli, mr_client_post(cli, "/v1/programs/rollback"), print);
}
