/* SPDX-License-Identifier: MIT */
/* The host's firewall, which steered frames pass by. */
#include <errno.h>
#include <string.h>

#include "user/cli/check.h"
#include "user/cli/client.h"
#include "user/nft/ruleset.h"

enum {
	PORT_MOST = 65535,
};

/* One fact an nftables rule that looks at a steered port. Returns how many. */
static unsigned int check_port(struct mr_check *c, const struct mr_nft_ruleset *set,
			       const char *name, uint16_t port)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < set->n; i++) {
		const struct mr_nft_rule *r = &set->rule[i];

		if (!mr_nft_concerns(r, port))
			continue;
		mr_check_fact(c, MR_CHECK_WARN, "nftables",
			      "millrace rule import-nft shows what rules can say instead",
			      "port %u of rule %.40s passes by %s%s%s", port, name, r->place,
			      r->comment[0] ? ": " : "", r->comment);
		n++;
	}
	return n;
}

static unsigned int check_rules(struct mr_check *c, const struct mr_nft_ruleset *set)
{
	char why[MR_CLIENT_WORDS];
	json_t *answer, *rule;
	unsigned int n = 0;
	size_t i;

	if (mr_client_try(c->cli, "/v1/rules", &answer, why) < 0)
		return 0;
	json_array_foreach(json_object_get(answer, "rules"), i, rule)
	{
		json_int_t port = json_integer_value(json_object_get(rule, "port"));
		const char *name = json_string_value(json_object_get(rule, "name"));

		if (port > 0 && port <= PORT_MOST)
			n += check_port(c, set, name ? name : "-", (uint16_t)port);
	}
	json_decref(answer);
	return n;
}

void mr_check_nft(struct mr_check *c)
{
	struct mr_nft_ruleset set;
	json_t *answer;
	int err = mr_nft_ask(&answer);

	if (err == -EPERM) {
		mr_check_fact(c, MR_CHECK_OK, "nftables", "ask as root",
			      "may not be looked at: steered frames pass by what rules there are");
		return;
	}
	if (err || mr_nft_parse(answer, &set) < 0) {
		json_decref(answer);
		return; /* the kernel has none */
	}
	if (!check_rules(c, &set))
		mr_check_fact(c, MR_CHECK_OK, "nftables", NULL, "%u rules%s", set.n,
			      set.n ? ", none of which looks at a steered port" : "");
	mr_nft_free(&set);
	json_decref(answer);
}
