/* SPDX-License-Identifier: MIT */
/*
 * millrace rule import-nft: what of the host's firewall rules can say. A rule that drops becomes
 * one that drops, in the firewall's order. One that accepts becomes `pass`, which leaves the frames
 * to the kernel: right where a kernel socket serves, but not for a port that a lane serves; there
 * it is the steering rule that says from whom. All else is named, with the reason.
 */
#include <errno.h>
#include <string.h>

#include "user/cli/client.h"
#include "user/nft/ruleset.h"

enum {
	PRIORITY_MOST = 99, /* 100 is what pass and drop have by themselves, 200 what steer has */
};

struct import {
	const struct mr_cli *cli;
	json_t *rules;	  /* the daemon's, or NULL */
	unsigned int n;	  /* YAML rules so far */
	unsigned int out; /* of nftables rules that cannot be expressed */
};

/* Does a lane serve a port that @r accepts? Without a daemon to ask: perhaps. */
static bool accepts_steered(const struct import *m, const struct mr_nft_rule *r)
{
	const json_t *rule;
	size_t i;

	json_array_foreach(m->rules, i, rule)
	{
		struct mr_nft_ports ports;

		if (mr_nft_steered(rule, &ports) && mr_nft_has_ports(r, ports))
			return true;
	}
	return false;
}

static void print_list(const char *key, const char list[][MR_NFT_NAME], uint32_t n)
{
	if (!n)
		return;
	printf("    %s: \"", key);
	for (uint32_t i = 0; i < n; i++)
		printf("%s%s", i ? ", " : "", list[i]);
	printf("\"\n");
}

static void print_one(struct import *m, const struct mr_nft_rule *r, const struct mr_nft_ports *p)
{
	unsigned int priority = m->n < PRIORITY_MOST ? m->n + 1 : PRIORITY_MOST;

	printf("  - name: nft-%u  # %s\n", ++m->n, r->place);
	printf("    action: %s\n    priority: %u\n", r->verdict == MR_NFT_DROP ? "drop" : "pass",
	       priority);
	printf("    protocol: %s\n", r->names_port ? "tcp" : "any");
	if (p && p->lo == p->hi)
		printf("    port: %u\n", p->lo);
	else if (p)
		printf("    port: %u-%u\n", p->lo, p->hi);
	print_list("source", r->source, r->n_source);
	print_list("destination", r->destination, r->n_destination);
	if (r->interface[0])
		printf("    interface: %s\n", r->interface);
}

static const char *reason(const struct import *m, const struct mr_nft_rule *r)
{
	if (!r->tcp_possible)
		return "it is not about TCP";
	if (r->why[0])
		return r->why;
	if (!strcmp(r->interface, "lo"))
		return "frames of lo are never steered";
	if (r->verdict == MR_NFT_ACCEPT && accepts_steered(m, r))
		return "it accepts what a lane serves: write its source into the steering rule";
	if (!r->names_port && !r->n_source && !r->n_destination && !r->interface[0])
		return "it matches everything";
	if (m->n >= PRIORITY_MOST)
		return "there are more than 99; write its priority by hand";
	return NULL;
}

static void import_rules(struct import *m, const struct mr_nft_ruleset *set)
{
	printf("# From nftables, in its order; rules of a lower priority number come first.\n");
	printf("# What cannot be expressed stands below, and may have decided earlier: read "
	       "both.\n");
	printf("rules:\n");
	for (uint32_t i = 0; i < set->n; i++) {
		const struct mr_nft_rule *r = &set->rule[i];

		if (reason(m, r))
			continue;
		for (uint32_t k = 0; k < r->n_ports; k++)
			print_one(m, r, &r->port[k]);
		if (!r->n_ports)
			print_one(m, r, NULL);
	}
	if (!m->n)
		printf("  []\n");
}

static void name_others(struct import *m, const struct mr_nft_ruleset *set)
{
	struct import fresh = { .cli = m->cli, .rules = m->rules };

	for (uint32_t i = 0; i < set->n; i++) {
		const struct mr_nft_rule *r = &set->rule[i];
		const char *why = reason(&fresh, r);

		if (!why)
			fresh.n += r->n_ports ? r->n_ports : 1;
		else
			printf("%s# %s%s%s%s: not expressed: %s\n", m->out++ ? "" : "\n", r->place,
			       r->comment[0] ? " (" : "", r->comment, r->comment[0] ? ")" : "",
			       why);
	}
}

int mr_cli_rule_import_nft(struct mr_cli *cli, const struct mr_arguments *a)
{
	struct import m = { .cli = cli };
	struct mr_nft_ruleset set;
	char why[MR_CLIENT_WORDS];
	json_t *answer, *rules;
	int err = mr_nft_ask(&answer);

	(void)a;
	if (err)
		return mr_cli_error(cli, "the nftables rules cannot be listed: %s",
				    err == -EPERM ? "run as root" : "this kernel has no nf_tables");
	err = mr_nft_parse(answer, &set);
	json_decref(answer);
	if (err)
		return mr_cli_error(cli, "%s", strerror(-err));
	if (mr_client_try(cli, "/v1/rules", &rules, why) < 0)
		printf("# %s: which ports lanes serve is not known\n", why);
	m.rules = json_object_get(rules, "rules");
	import_rules(&m, &set);
	name_others(&m, &set);
	json_decref(rules);
	mr_nft_free(&set);
	return MR_CLI_OK;
}
