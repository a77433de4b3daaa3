/* SPDX-License-Identifier: MIT */
/* Connections: what is asked for (conn_query.c), and how it is printed (conn_print.c). */
#ifndef MR_CLI_CONN_H
#define MR_CLI_CONN_H

#include "user/cli/client.h"
#include "user/cli/rows.h"

/**
 * mr_conn_query() - append the filters of `conn list` to @path
 * @limit:	when the arguments give none
 *
 * Return: MR_CLI_OK, _ERROR or _USAGE
 */
int mr_conn_query(const struct mr_cli *cli, const struct mr_arguments *a, const char *limit,
		  char path[MR_CLIENT_PATH]);

/** mr_conn_query_one() - the same for one connection, LANE/ID or the peer's ADDRESS:PORT */
int mr_conn_query_one(const struct mr_cli *cli, const char *text, char path[MR_CLIENT_PATH]);

#define MR_CONN_SHORT_FIELDS                                                                       \
	"interface,queue,id,local,local_port,remote,remote_port,state,rule,age_ms,rx_queue_bytes," \
	"tx_queue_bytes,srtt_us,retransmits"

/** mr_conn_print_titles() - the line over a table; @is_long: of conn list --long */
void mr_conn_print_titles(bool is_long);

/** mr_conn_print_short(), _long(), _all(): a row as one line, two lines, a line a figure */
void mr_conn_print_short(struct mr_rows *r, void *arg);
void mr_conn_print_long(struct mr_rows *r, void *arg);
void mr_conn_print_all(struct mr_rows *r, void *arg);

#endif
