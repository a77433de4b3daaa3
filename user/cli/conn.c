/* SPDX-License-Identifier: MIT */
/* millrace conn list: what `ss -ti` is for the kernel. The list is asked for page by page. */
#include <ctype.h>
#include <string.h>

#include "shared/mr_arena.h"
#include "user/cli/client.h"
#include "user/cli/table.h"

enum {
	PAGE = 5000, /* connections a request; the API allows 10000 */
	CURSOR_BYTES = 256,
};

/* What is asked for; strings are borrowed. */
struct query {
	char lane[MR_VALUE_BYTES];
	char state[32];
	const char *port;
	uint64_t left; /* still to print; UINT64_MAX: no limit */
	char after[CURSOR_BYTES];
};

/* The three lists of an answer. */
static const char *const kinds[] = { "connections", "half_open", "time_wait" };

enum {
	N_KINDS = sizeof(kinds) / sizeof(kinds[0]),
};

/* ----- one page as text ----- */

static const char *endpoint(const json_t *conn, const char *address, const char *port,
			    char out[MR_VALUE_BYTES])
{
	char a[MR_VALUE_BYTES], p[MR_VALUE_BYTES];
	const char *where = mr_value_text_at(conn, address, a);
	bool is_ipv6 = strchr(where, ':');

	snprintf(out, MR_VALUE_BYTES, "%s%.64s%s:%.16s", is_ipv6 ? "[" : "", where,
		 is_ipv6 ? "]" : "", mr_value_text_at(conn, port, p));
	return out;
}

static const char *local_text(const json_t *conn, char out[MR_VALUE_BYTES])
{
	return endpoint(conn, "local", "local_port", out);
}

static const char *remote_text(const json_t *conn, char out[MR_VALUE_BYTES])
{
	return endpoint(conn, "remote", "remote_port", out);
}

static const struct mr_column columns[] = {
	{ .title = "State", .key = "state", .min = 12 },
	{ .title = "Recv-Q", .key = "rx_queue_bytes", .right = true, .min = 7 },
	{ .title = "Send-Q", .key = "tx_queue_bytes", .right = true, .min = 7 },
	{ .title = "Local", .format = local_text, .min = 21 },
	{ .title = "Remote", .format = remote_text, .min = 21 },
};

static void figure(const char *label, const json_t *conn, const char *key)
{
	char out[MR_VALUE_BYTES];

	printf(" %s:%s", label, mr_value_text_at(conn, key, out));
}

/* As ss does: what is 0 on a healthy connection is shown when it is not. */
static void figure_unless_zero(const char *label, const json_t *conn, const char *key)
{
	const json_t *v = json_object_get(conn, key);

	if (!json_is_integer(v) || json_integer_value(v) != 0)
		figure(label, conn, key);
}

static void flag(const char *label, const json_t *conn, const char *key)
{
	if (json_is_true(json_object_get(conn, key)))
		printf(" %s", label);
}

/* A list of scalars, nothing if it is empty. */
static void figure_list(const char *label, const json_t *conn, const char *key)
{
	const json_t *list = json_object_get(conn, key), *v;
	char out[MR_VALUE_BYTES];
	size_t i;

	if (json_is_array(list) && !json_array_size(list))
		return;
	printf(" %s:%s", label, json_is_array(list) ? "" : "-");
	json_array_foreach((json_t *)list, i, v)
	{
		printf("%s%s", i ? "," : "", mr_value_text(v, out));
	}
}

static void print_rtt(const json_t *conn)
{
	const json_t *srtt = json_object_get(conn, "srtt_us");
	const json_t *rttvar = json_object_get(conn, "rttvar_us");

	if (json_is_number(srtt) && json_is_number(rttvar))
		printf(" rtt:%.3f/%.3f", json_number_value(srtt) / 1000,
		       json_number_value(rttvar) / 1000);
	else
		printf(" rtt:-");
}

static void print_timers(const json_t *conn)
{
	char out[MR_VALUE_BYTES];
	const char *name;
	json_t *left;

	json_object_foreach(json_object_get(conn, "timers"), name, left)
	{
		printf(" timer:(%s,%sms)", name, mr_value_text(left, out));
	}
}

/* interface:queue and the rule, which every kind of entry has */
static void print_place(const json_t *conn)
{
	char interface[MR_VALUE_BYTES], queue[MR_VALUE_BYTES];

	printf("\t lane:%s:%s", mr_value_text_at(conn, "interface", interface),
	       mr_value_text_at(conn, "queue", queue));
}

static void print_figures(const json_t *conn)
{
	char snd[MR_VALUE_BYTES], rcv[MR_VALUE_BYTES];

	print_place(conn);
	figure("id", conn, "id");
	figure("rule", conn, "rule");
	figure("app", conn, "app");
	flag("passive", conn, "passive");
	flag("ts", conn, "timestamps");
	flag("sack", conn, "sack");
	flag("ecn", conn, "ecn");
	flag("nodelay", conn, "nodelay");
	figure("cc", conn, "congestion_control");
	printf(" wscale:%s,%s", mr_value_text_at(conn, "snd_scale", snd),
	       mr_value_text_at(conn, "rcv_scale", rcv));
	figure("rto", conn, "rto_ms");
	print_rtt(conn);
	figure("mss", conn, "mss");
	figure("cwnd", conn, "cwnd");
	figure("ssthresh", conn, "ssthresh");
	figure("snd_wnd", conn, "snd_wnd");
	figure("rcv_wnd", conn, "rcv_wnd");
	figure("bytes_sent", conn, "bytes_sent");
	figure("bytes_received", conn, "bytes_received");
	figure("unacked", conn, "tx_unacked_bytes");
	figure("retrans", conn, "retransmits");
	figure_unless_zero("backoff", conn, "backoff");
	figure_unless_zero("probes", conn, "probes");
	figure_unless_zero("dupacks", conn, "dupacks");
	figure_unless_zero("sacked", conn, "sacked_bytes");
	figure_unless_zero("lost", conn, "lost_bytes");
	flag("reordering", conn, "reordering");
	figure("age", conn, "age_ms");
	figure("idle", conn, "idle_ms");
	figure("mac", conn, "peer_mac");
	figure_list("vlan", conn, "vlan");
	figure_list("flags", conn, "flags");
	print_timers(conn);
	if (!mr_value_is(json_object_get(conn, "close_reason"), "none"))
		figure("close_reason", conn, "close_reason");
	putchar('\n');
}

static void print_half_open(const json_t *conn)
{
	print_place(conn);
	figure("rule", conn, "rule");
	figure("sends", conn, "sends");
	figure("expires", conn, "expires_ms");
	putchar('\n');
}

static void print_time_wait(const json_t *conn)
{
	print_place(conn);
	figure("expires", conn, "expires_ms");
	putchar('\n');
}

static void print_page(const json_t *page, bool first)
{
	static void (*const figures[N_KINDS])(const json_t *) = { print_figures, print_half_open,
								  print_time_wait };

	for (int i = 0; i < N_KINDS; i++)
		mr_table_print(columns, sizeof(columns) / sizeof(columns[0]),
			       json_object_get(page, kinds[i]), first && i == 0, figures[i]);
}

/* ----- asking ----- */

static json_t *get_page(const struct mr_cli *cli, const struct query *q)
{
	uint64_t limit = q->left < PAGE ? q->left : PAGE;
	char path[MR_CLIENT_PATH] = "/v1/conns", number[32];
	bool fits;

	snprintf(number, sizeof(number), "%d", (int)limit);
	fits = mr_client_append(path, '?', "limit", number);
	if (q->lane[0])
		fits &= mr_client_append(path, '&', "lane", q->lane);
	if (q->state[0])
		fits &= mr_client_append(path, '&', "state", q->state);
	if (q->port)
		fits &= mr_client_append(path, '&', "port", q->port);
	if (q->after[0])
		fits &= mr_client_append(path, '&', "after", q->after);
	if (!fits) {
		mr_cli_error(cli, "the request would be too long");
		return NULL;
	}
	return mr_client_get(cli, path);
}

static size_t entries_of(const json_t *page)
{
	size_t n = 0;

	for (int i = 0; i < N_KINDS; i++)
		n += json_array_size(json_object_get(page, kinds[i]));
	return n;
}

/* Take the cursor of @page. Returns 1: another page follows, 0: this was the last, or -1: nonsense
 * that would have us ask for ever. */
static int go_on(struct query *q, const json_t *page)
{
	const json_t *next = json_object_get(page, "next");
	size_t n = entries_of(page);
	char number[MR_VALUE_BYTES];
	const char *after;

	if (!next || json_is_null(next))
		return 0;
	after = mr_value_text(next, number);
	if (!n || strlen(after) >= sizeof(q->after) || !strcmp(after, q->after))
		return -1;
	strcpy(q->after, after);
	if (q->left != UINT64_MAX)
		q->left -= n < q->left ? n : q->left;
	return 1;
}

/* Append the lists of @page to those of @all; its cursor replaces the one there. */
static void merge(json_t *all, json_t *page)
{
	for (int i = 0; i < N_KINDS; i++) {
		json_t *list = json_object_get(all, kinds[i]);

		if (json_is_array(list))
			json_array_extend(list, json_object_get(page, kinds[i]));
	}
	if (json_object_set(all, "next", json_object_get(page, "next")) < 0)
		json_object_set_new(all, "next", json_null());
}

static int list(const struct mr_cli *cli, struct query *q)
{
	json_t *all = NULL, *page;
	int more = 1, status = MR_CLI_OK;

	for (int i = 0; more > 0 && q->left; i++) {
		page = get_page(cli, q);
		if (!page) {
			json_decref(all);
			return MR_CLI_ERROR;
		}
		more = go_on(q, page);
		if (!cli->json)
			print_page(page, i == 0);
		else if (all)
			merge(all, page);
		else
			all = json_incref(page);
		json_decref(page);
	}
	if (all)
		mr_cli_print_json(all);
	json_decref(all);
	if (more < 0)
		status = mr_cli_error(cli, "the daemon's list does not end");
	else if (more)
		fprintf(stderr, "millrace: conn list: there are more (raise --limit)\n");
	return status;
}

/* ----- arguments ----- */

/* RFC 9293's names, in any case and with "_" for "-". */
static int read_state(const struct mr_cli *cli, const char *text, char *state, size_t size)
{
	static const char *const names[MR_TCP_STATE_COUNT] = MR_TCP_STATE_NAMES;
	size_t len = strlen(text);

	for (size_t i = 0; i <= len && i < size; i++)
		state[i] = text[i] == '_' ? '-' : (char)toupper((unsigned char)text[i]);
	for (int i = MR_SYN_SENT; len < size && i < MR_TCP_STATE_COUNT; i++)
		if (!strcmp(state, names[i]))
			return MR_CLI_OK;
	return mr_cli_usage(cli,
			    "--state %s: no such state (SYN-SENT, SYN-RECEIVED, ESTABLISHED, "
			    "FIN-WAIT-1, FIN-WAIT-2, CLOSE-WAIT, CLOSING, LAST-ACK, TIME-WAIT)",
			    text);
}

/* A queue alone: of the one interface that has it. */
static int find_lane(const struct mr_cli *cli, uint64_t queue, char out[MR_VALUE_BYTES])
{
	json_t *answer = mr_client_get(cli, "/v1/lanes"), *lane;
	int found = 0;
	size_t i;

	if (!answer)
		return MR_CLI_ERROR;
	json_array_foreach(json_object_get(answer, "lanes"), i, lane)
	{
		const json_t *q = json_object_get(lane, "queue");
		const char *interface = json_string_value(json_object_get(lane, "interface"));

		if (!interface || !json_is_integer(q) || mr_value_count(q) != queue)
			continue;
		snprintf(out, MR_VALUE_BYTES, "%.64s:%d", interface, (int)queue);
		found++;
	}
	json_decref(answer);
	if (!found)
		return mr_cli_error(cli, "--lane %d: no such lane (see: millrace lane list)",
				    (int)queue);
	if (found > 1)
		return mr_cli_error(cli, "--lane %d: several interfaces have it (say --lane %s)",
				    (int)queue, out);
	return MR_CLI_OK;
}

static int read_lane(const struct mr_cli *cli, const struct mr_arguments *a,
		     char out[MR_VALUE_BYTES])
{
	const char *text = mr_arguments_find(a, "--lane");
	uint64_t queue = 0;

	if (!text)
		return MR_CLI_OK;
	if (!strchr(text, ':') && !isdigit((unsigned char)text[0]))
		return mr_cli_usage(cli, "--lane %s: want INTERFACE:QUEUE, or a queue", text);
	if (!strchr(text, ':')) {
		int err = mr_cli_number(cli, a, "--lane", 0, UINT16_MAX, &queue);

		return err ? err : find_lane(cli, queue, out);
	}
	if (strlen(text) >= MR_VALUE_BYTES)
		return mr_cli_usage(cli, "--lane: want INTERFACE:QUEUE");
	strcpy(out, text);
	return MR_CLI_OK;
}

int mr_cli_conn_list(struct mr_cli *cli, const struct mr_arguments *a)
{
	const char *state = mr_arguments_find(a, "--state");
	struct query q = { .left = UINT64_MAX, .port = mr_arguments_find(a, "--port") };
	uint64_t port = 0;
	int err;

	err = mr_cli_number(cli, a, "--limit", 1, UINT32_MAX, &q.left);
	if (!err)
		err = mr_cli_number(cli, a, "--port", 1, UINT16_MAX, &port);
	if (!err && state)
		err = read_state(cli, state, q.state, sizeof(q.state));
	if (!err)
		err = read_lane(cli, a, q.lane);
	return err ? err : list(cli, &q);
}
