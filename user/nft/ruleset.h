/* SPDX-License-Identifier: MIT */
/*
 * The host's nftables rules, as far as they concern what a lane serves: steered frames never reach
 * them. The kernel's list comes through libnftables, as JSON (libnftables-json(5)); here it becomes
 * a list of rules with what Millrace can express, and the reason where it cannot.
 */
#ifndef MR_NFT_RULESET_H
#define MR_NFT_RULESET_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	MR_NFT_PORTS = 32,    /* ranges of one rule */
	MR_NFT_PREFIXES = 32, /* of one rule, each way */
	MR_NFT_WORDS = 160,
	MR_NFT_NAME = 64,
};

enum mr_nft_verdict {
	MR_NFT_OTHER, /* reject, jump, redirect, a limit: the reason says it */
	MR_NFT_ACCEPT,
	MR_NFT_DROP,
};

struct mr_nft_ports {
	uint16_t lo, hi;
};

struct mr_nft_rule {
	char place[3 * MR_NFT_NAME]; /* "inet fw input handle 6", for people */
	char comment[MR_NFT_NAME];
	bool inbound; /* of a chain that frames meet on their way in */
	enum mr_nft_verdict verdict;
	bool tcp_possible; /* may match TCP at all */
	bool names_port;
	uint32_t n_ports, n_source, n_destination; /* 0: any */
	struct mr_nft_ports port[MR_NFT_PORTS];	   /* destination ports of TCP */
	char source[MR_NFT_PREFIXES][MR_NFT_NAME]; /* as nft writes them */
	char destination[MR_NFT_PREFIXES][MR_NFT_NAME];
	char interface[MR_NFT_NAME]; /* "": any */
	char why[MR_NFT_WORDS];	     /* what of it cannot be expressed; "": nothing */
};

struct mr_nft_ruleset {
	struct mr_nft_rule *rule;
	uint32_t n;
};

/**
 * mr_nft_ask() - the kernel's whole ruleset, of this network namespace
 * @out:	the caller's to json_decref()
 *
 * Needs CAP_NET_ADMIN. libnftables ends the process when memory is short.
 *
 * Return: 0, -EPERM, -EOPNOTSUPP (no nf_tables in the kernel), -EBADMSG
 */
int mr_nft_ask(json_t **out);

/**
 * mr_nft_parse() - rules of the chains that frames meet on their way in, in the kernel's order
 * @answer:	as of mr_nft_ask(); what is malformed in it is left out
 *
 * A base chain whose policy is drop is a rule of its own, the last of its chain.
 *
 * Return: 0 with @out, to be freed with mr_nft_free(), or -ENOMEM
 */
int mr_nft_parse(const json_t *answer, struct mr_nft_ruleset *out);

void mr_nft_free(struct mr_nft_ruleset *r);

/**
 * mr_nft_concerns() - would @r look at TCP to one of these ports, and do more than let it through?
 *
 * Rules for all ports do if they do not just accept; rules that name one of them do.
 */
bool mr_nft_concerns(const struct mr_nft_rule *r, struct mr_nft_ports ports);

/** mr_nft_has_ports() - does @r match TCP to one of these ports, as far as ports go? */
bool mr_nft_has_ports(const struct mr_nft_rule *r, struct mr_nft_ports ports);

/**
 * mr_nft_steered() - the ports of one of the daemon's rules (GET /v1/rules), if it steers
 *
 * Return: false when it does not, or says none
 */
bool mr_nft_steered(const json_t *rule, struct mr_nft_ports *ports);

#endif
