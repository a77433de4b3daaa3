/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/cli/check.h"

static const char *const level_names[] = { "ok", "warn", "fail" };

void mr_check_fact(struct mr_check *c, enum mr_check_level level, const char *fact,
		   const char *cure, const char *fmt, ...)
{
	char value[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	c->failed |= level == MR_CHECK_FAIL;
	if (c->cli->json) {
		json_t *cure_json = cure && *cure ? json_string(cure) : json_null();
		json_t *fact_json = json_pack("{s:s, s:s, s:s, s:o}", "level", level_names[level],
					      "fact", fact, "value", value, "cure", cure_json);

		json_array_append_new(c->facts, fact_json);
		return;
	}
	printf("%-5s %s: %s", level_names[level], fact, value);
	if (cure && *cure)
		printf(" (%s)", cure);
	putchar('\n');
}

static void run(struct mr_check *c, const char *name)
{
	int err = mr_netlink_link(name, &c->link);

	if (err) {
		mr_check_fact(
			c, MR_CHECK_FAIL, "interface",
			err == -ENODEV ? "see: ip link; is it in another network namespace?" : NULL,
			"%s: %s", name, err == -ENODEV ? "does not exist here" : strerror(-err));
		mr_check_system(c);
		return;
	}
	mr_check_daemon_ask(c);
	mr_check_interface(c);
	mr_check_xdp(c);
	mr_check_probe(c);
	mr_check_offloads(c);
	mr_check_veth(c);
	mr_check_system(c);
	mr_check_nft(c);
	mr_check_daemon(c);
}

int mr_cli_check(struct mr_cli *cli, const struct mr_arguments *a)
{
	struct mr_check c = {
		.cli = cli,
		.probe = mr_arguments_find(a, "--probe") != NULL,
		.facts = json_array(),
		.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	};
	const char *name = mr_arguments_find(a, "INTERFACE");

	run(&c, name);
	if (cli->json) {
		json_t *answer = json_pack("{s:i, s:s, s:b, s:O}", "v", 1, "interface", name, "ok",
					   !c.failed, "facts", c.facts);

		mr_cli_print_json(answer);
		json_decref(answer);
	}
	json_decref(c.facts);
	json_decref(c.daemon_status);
	if (c.socket >= 0)
		close(c.socket);
	return c.failed ? MR_CLI_ERROR : MR_CLI_OK;
}
