/* SPDX-License-Identifier: MIT */
/*
 * millrace check: facts about an interface and this machine, each with its level and its cure, in
 * the order in which they are found. One file a subject; check.c calls them in turn.
 */
#ifndef MR_CLI_CHECK_H
#define MR_CLI_CHECK_H

#include "user/cli/cli.h"
#include "user/cli/netlink.h"

enum mr_check_level {
	MR_CHECK_OK,
	MR_CHECK_WARN, /* serves, but slower or less than it could */
	MR_CHECK_FAIL, /* millraced cannot serve so */
};

/* What is known so far; each subject fills in its own part. */
struct mr_check {
	const struct mr_cli *cli;
	struct mr_netlink_link link;
	int socket; /* any socket of this namespace, for ioctl */
	bool probe; /* --probe was given */

	char driver[32];    /* "" if nobody knows */
	uint32_t rx_queues; /* in use; 0: unknown */
	int features_error; /* of mr_netlink_xdp_features() */
	uint64_t features;  /* MR_XDP_* */

	int daemon_error;      /* of asking for its status; 0: it answered */
	json_t *daemon_status; /* /v1/status */
	const json_t *served;  /* the interface's part of it, or NULL */

	json_t *facts; /* printed so far, for -j */
	bool failed;
};

/**
 * mr_check_fact() - one fact: a line on stdout, or a member of the JSON
 * @fact:	what it is about, short
 * @cure:	what to do about it, or "" or NULL
 */
void mr_check_fact(struct mr_check *c, enum mr_check_level level, const char *fact,
		   const char *cure, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** mr_check_bond() - is it a bond, or the slave of one? */
void mr_check_bond(struct mr_check *c);

/** mr_check_interface() - link state, MTU, driver, queues. Fills in driver, rx_queues */
void mr_check_interface(struct mr_check *c);

/** mr_check_xdp() - native mode, zero-copy, attached program. Fills in features */
void mr_check_xdp(struct mr_check *c);

/** mr_check_probe() - attach a program and bind a socket for real, for a moment; on --probe only */
void mr_check_probe(struct mr_check *c);

/** mr_check_offloads() - those that take from frames what lanes need */
void mr_check_offloads(struct mr_check *c);

/** mr_check_veth() - checksum offload of the peer; says nothing about other devices */
void mr_check_veth(struct mr_check *c);

/** mr_check_system() - kernel, BTF, bpffs, memory lock limit, capabilities */
void mr_check_system(struct mr_check *c);

/** mr_check_nft() - nftables rules that steered ports pass by */
void mr_check_nft(struct mr_check *c);

/** mr_check_daemon_ask() - ask a running daemon about the interface; prints nothing */
void mr_check_daemon_ask(struct mr_check *c);

/** mr_check_daemon() - what the daemon obtained, and why no more */
void mr_check_daemon(struct mr_check *c);

#endif
