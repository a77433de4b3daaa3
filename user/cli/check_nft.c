/* SPDX-License-Identifier: MIT */
/* The host's firewall, which steered frames pass by. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "user/cli/check.h"
#include "user/cli/client.h"
#include "user/nft/ruleset.h"

/* One fact an nftables rule that looks at ports that @name steers. Returns how many. */
static unsigned int check_ports(struct mr_check *c, const struct mr_nft_ruleset *set,
				const char *name, struct mr_nft_ports ports)
{
	unsigned int n = 0;
	char text[16];

	snprintf(text, sizeof(text), ports.lo == ports.hi ? "%u" : "%u-%u", ports.lo, ports.hi);
	for (uint32_t i = 0; i < set->n; i++) {
		const struct mr_nft_rule *r = &set->rule[i];

		if (!mr_nft_concerns(r, ports))
			continue;
		mr_check_fact(c, MR_CHECK_WARN, "nftables",
			      "millrace rule import-nft shows what rules can say instead",
			      "port %s of rule %.40s passes by %s%s%s", text, name, r->place,
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
		struct mr_nft_ports ports;
		const char *name = json_string_value(json_object_get(rule, "name"));

		if (mr_nft_steered(rule, &ports))
			n += check_ports(c, set, name ? name : "-", ports);
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
