/* SPDX-License-Identifier: MIT */
/*
 * millrace, the tool: a client of the daemon's control API (docs/control-api.md). The grammar is
 * the table in main.c; each verb is one function here. One thread, runs once and ends.
 */
#ifndef MR_CLI_H
#define MR_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
	MR_CLI_OK = 0,
	MR_CLI_ERROR = 1,
	MR_CLI_USAGE = 2,

	MR_CLI_ARGUMENTS = 32, /* most that one verb takes */
	MR_CLI_REST = 64,      /* most words of an argument that is written NAME... */
};

/* What holds for the whole call. Strings are borrowed from argv and the environment. */
struct mr_cli {
	const char *socket;
	char verb[32];	   /* "lane list", for messages; "" before it is known */
	bool socket_given; /* by -s or MILLRACE_CONTROL */
	bool json;
};

/* The arguments of a verb by the names that its line of the grammar gives them. */
struct mr_arguments {
	int n;
	struct {
		const char *name; /* "INTERFACE", "--limit" */
		size_t name_len;
		const char *value; /* "" for an option without a value */
	} list[MR_CLI_ARGUMENTS];
	int n_rest; /* words of the argument that is written [NAME...] */
	const char *rest[MR_CLI_REST];
};

/** mr_arguments_find() - value of argument @name, or NULL if it was not given */
const char *mr_arguments_find(const struct mr_arguments *a, const char *name);

/**
 * mr_cli_error() - say on stderr what was tried and why it failed, one line
 *
 * Return: MR_CLI_ERROR, for "return mr_cli_error(...)"
 */
int mr_cli_error(const struct mr_cli *cli, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** mr_cli_usage() - as mr_cli_error(), for an argument that makes no sense; returns MR_CLI_USAGE */
int mr_cli_usage(const struct mr_cli *cli, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * mr_cli_number() - read an argument that is a decimal number
 * @name:	as in the grammar
 * @value:	out; unchanged when the argument was not given or is wrong
 *
 * Return: MR_CLI_OK, or MR_CLI_USAGE after a line on stderr
 */
int mr_cli_number(const struct mr_cli *cli, const struct mr_arguments *a, const char *name,
		  uint64_t min, uint64_t max, uint64_t *value);

/** mr_cli_print_json() - @answer on stdout, as -j wants it; returns MR_CLI_OK */
int mr_cli_print_json(const json_t *answer);

/* ----- the verbs; each returns MR_CLI_OK, MR_CLI_ERROR or MR_CLI_USAGE ----- */

int mr_cli_lane_drain(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_lane_resume(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_lane_list(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_lane_restart(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_lane_show(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_rule_import_nft(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_rule_list(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_guard_list(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_guard_block_list(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_rule_add(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_rule_replace(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_rule_del(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_rule_load(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_rule_mode(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_guard_block_add(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_guard_block_del(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_guard_block_load(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_guard_allow_add(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_guard_allow_del(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_guard_limit_set(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_guard_limit_del(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_guard_syn_set(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_guard_reset(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_conn_list(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_conn_show(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_doctor(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_top(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_prog_list(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_prog_upgrade(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_prog_rollback(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_stats_show(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_config_reload(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_config_show(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_config_check(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_check(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_trace_list(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_trace_show(struct mr_cli *cli, const struct mr_arguments *a);
int mr_cli_capture(struct mr_cli *cli, const struct mr_arguments *a);

#endif
