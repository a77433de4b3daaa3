/* SPDX-License-Identifier: MIT */
/* A connection as one line, as two like those of `ss -ti`, or as a line a figure. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "user/cli/conn.h"
#include "user/cli/value.h"

enum {
	LINE_BYTES = 1024,
};

/* ----- cells made of several columns ----- */

/*
 * @text into @out from @at on, as much as there is room for before @most; where it ends. printf()
 * would cost more than all else here.
 */
static size_t join(char out[MR_VALUE_BYTES], size_t at, size_t most, const char *text)
{
	while (*text && at + 1 < most)
		out[at++] = *text++;
	out[at] = '\0';
	return at;
}

static void endpoint(struct mr_rows *r, const char *address, const char *port,
		     char out[MR_VALUE_BYTES])
{
	const char *where = mr_rows_cell(r, address);
	bool is_ipv6 = strchr(where, ':');
	size_t at = join(out, 0, MR_VALUE_BYTES - 16, is_ipv6 ? "[" : "");

	at = join(out, at, MR_VALUE_BYTES - 16, where);
	at = join(out, at, MR_VALUE_BYTES, is_ipv6 ? "]:" : ":");
	join(out, at, MR_VALUE_BYTES, mr_rows_cell(r, port));
}

static void local_text(struct mr_rows *r, char out[MR_VALUE_BYTES])
{
	endpoint(r, "local", "local_port", out);
}

static void remote_text(struct mr_rows *r, char out[MR_VALUE_BYTES])
{
	endpoint(r, "remote", "remote_port", out);
}

static void lane_text(struct mr_rows *r, char out[MR_VALUE_BYTES])
{
	size_t at = join(out, 0, MR_VALUE_BYTES - 64, mr_rows_cell(r, "interface"));
	const char *id;

	at = join(out, at, MR_VALUE_BYTES, ":");
	at = join(out, at, MR_VALUE_BYTES, mr_rows_cell(r, "queue"));
	id = mr_rows_cell(r, "id");
	at = join(out, at, MR_VALUE_BYTES, id[0] == '-' ? "" : "/");
	join(out, at, MR_VALUE_BYTES, id[0] == '-' ? "" : id);
}

/* Whole units: a column is read down, not across. */
static void age_text(struct mr_rows *r, char out[MR_VALUE_BYTES])
{
	static const struct {
		const char *unit;
		unsigned long long ms;
	} units[] = { { "d", 24 * 3600 * 1000 },
		      { "h", 3600 * 1000 },
		      { "m", 60 * 1000 },
		      { "s", 1000 },
		      { "ms", 1 } };
	const char *text = mr_rows_cell(r, "age_ms");
	unsigned long long ms = strtoull(text, NULL, 10);

	snprintf(out, MR_VALUE_BYTES, "%.32s", text);
	for (size_t i = 0; text[0] != '-' && i < sizeof(units) / sizeof(units[0]); i++)
		if (ms >= 2 * units[i].ms || units[i].ms == 1) {
			snprintf(out, MR_VALUE_BYTES, "%llu%s", ms / units[i].ms, units[i].unit);
			return;
		}
}

static void rtt_text(struct mr_rows *r, char out[MR_VALUE_BYTES])
{
	const char *text = mr_rows_cell(r, "srtt_us");
	unsigned long us = strtoul(text, NULL, 10);

	if (text[0] == '-')
		strcpy(out, "-");
	else
		snprintf(out, MR_VALUE_BYTES, "%lu.%03lu", us / 1000, us % 1000);
}

/* ----- tables ----- */

struct column {
	const char *title;
	const char *name; /* of the daemon's column, or */
	void (*text)(struct mr_rows *r, char out[MR_VALUE_BYTES]);
	size_t width; /* at least; no row waits for the longest */
	bool right;
	bool is_short; /* not in a table of --long, whose second lines have it */
};

static const struct column columns[] = {
	{ .title = "State", .name = "state", .width = 12 },
	{ .title = "Recv-Q", .name = "rx_queue_bytes", .width = 7, .right = true },
	{ .title = "Send-Q", .name = "tx_queue_bytes", .width = 7, .right = true },
	{ .title = "Local", .text = local_text, .width = 21 },
	{ .title = "Remote", .text = remote_text, .width = 21 },
	{ .title = "Age", .text = age_text, .width = 6, .right = true, .is_short = true },
	{ .title = "Rtt-ms", .text = rtt_text, .width = 8, .right = true, .is_short = true },
	{ .title = "Retrans", .name = "retransmits", .width = 7, .right = true, .is_short = true },
	{ .title = "Rule", .name = "rule", .width = 10, .is_short = true },
	{ .title = "Lane/Id", .text = lane_text, .is_short = true },
};

enum {
	N_COLUMNS = sizeof(columns) / sizeof(columns[0]),
};

/* A line in the making, so that a row is one call of stdio. */
struct line {
	char text[LINE_BYTES];
	size_t len;
};

static void add(struct line *l, const char *text, size_t width, bool right)
{
	size_t n = strlen(text), pad = width > n ? width - n : 0;

	if (n + pad + 3 > sizeof(l->text) - l->len)
		return;
	if (l->len) {
		memset(l->text + l->len, ' ', 2);
		l->len += 2;
	}
	if (right)
		memset(l->text + l->len, ' ', pad);
	memcpy(l->text + l->len + (right ? pad : 0), text, n);
	if (!right)
		memset(l->text + l->len + n, ' ', pad);
	l->len += n + pad;
}

static void end(struct line *l)
{
	while (l->len && l->text[l->len - 1] == ' ')
		l->len--;
	l->text[l->len++] = '\n';
	fwrite(l->text, 1, l->len, stdout);
}

void mr_conn_print_titles(bool is_long)
{
	struct line l = { .len = 0 };

	for (int i = 0; i < N_COLUMNS; i++)
		if (!is_long || !columns[i].is_short)
			add(&l, columns[i].title, columns[i].width, columns[i].right);
	end(&l);
}

static void print_line(struct mr_rows *r, bool is_long)
{
	struct line l;
	char out[MR_VALUE_BYTES];

	l.len = 0;
	for (int i = 0; i < N_COLUMNS; i++) {
		const struct column *c = &columns[i];

		if (is_long && c->is_short)
			continue;
		if (c->text)
			c->text(r, out);
		add(&l, c->text ? out : mr_rows_cell(r, c->name), c->width, c->right);
	}
	end(&l);
}

void mr_conn_print_short(struct mr_rows *r, void *arg)
{
	(void)arg;
	print_line(r, false);
}

/* ----- figures ----- */

enum kind {
	CONN = 1 << 0,
	HALF_OPEN = 1 << 1,
	TIME_WAIT = 1 << 2,
	OPEN = CONN | HALF_OPEN,
	ANY = OPEN | TIME_WAIT,
};

enum shown {
	ALWAYS,
	UNLESS_ZERO, /* as ss does: what is 0 on a healthy connection */
	IF_KNOWN,    /* not as a dash */
	IF_TRUE,     /* the label alone */
};

/* In the order of printing. A line of the table is a figure of --long and a line of show. */
static const struct figure {
	const char *label;
	const char *name;
	unsigned int of;
	enum shown shown;
	const char *words;
} figures[] = {
	{ "rule", "rule", OPEN, ALWAYS, "rule that took it" },
	{ "app", "app", CONN, ALWAYS, "application that serves it" },
	{ "passive", "passive", CONN, IF_TRUE, "opened by the peer" },
	{ "ts", "timestamps", CONN, IF_TRUE, "timestamps are in use" },
	{ "sack", "sack", CONN, IF_TRUE, "selective acknowledgements are in use" },
	{ "ecn", "ecn", CONN, IF_TRUE, "explicit congestion notification is in use" },
	{ "nodelay", "nodelay", CONN, IF_TRUE, "Nagle's algorithm is off" },
	{ "cc", "congestion_control", CONN, ALWAYS, "congestion control" },
	{ "snd_scale", "snd_scale", CONN, ALWAYS, "window scale for sending" },
	{ "rcv_scale", "rcv_scale", CONN, ALWAYS, "window scale for receiving" },
	{ "rto", "rto_ms", CONN, ALWAYS, "retransmission timeout, ms" },
	{ "srtt", "srtt_us", CONN, ALWAYS, "smoothed round-trip time, us" },
	{ "rttvar", "rttvar_us", CONN, ALWAYS, "its variation, us" },
	{ "minrtt", "min_rtt_us", CONN, IF_KNOWN, "least round-trip time of late, us" },
	{ "mss", "mss", CONN, ALWAYS, "payload bytes of a segment" },
	{ "cwnd", "cwnd", CONN, ALWAYS, "congestion window, bytes" },
	{ "ssthresh", "ssthresh", CONN, ALWAYS, "slow start threshold, bytes; a dash: unlimited" },
	{ "snd_wnd", "snd_wnd", CONN, ALWAYS, "the peer's window, bytes" },
	{ "max_snd_wnd", "max_snd_wnd", CONN, UNLESS_ZERO, "the largest it ever was" },
	{ "rcv_wnd", "rcv_wnd", CONN, ALWAYS, "window offered to the peer, bytes" },
	{ "rcv_limit", "rcv_limit_bytes", CONN, IF_KNOWN, "bytes that may stand unread" },
	{ "limited_by", "limited_by", CONN, ALWAYS,
	  "what holds text back: rwin, cwin (windows), snd (ourselves)" },
	{ "bytes_sent", "bytes_sent", CONN, ALWAYS, "payload acknowledged by the peer so far" },
	{ "bytes_received", "bytes_received", CONN, ALWAYS, "payload received so far" },
	{ "unacked", "tx_unacked_bytes", CONN, ALWAYS, "bytes sent, not acknowledged yet" },
	{ "retrans", "retransmits", CONN, ALWAYS, "segments sent again" },
	{ "backoff", "backoff", CONN, UNLESS_ZERO, "timeouts in a row" },
	{ "probes", "probes", CONN, UNLESS_ZERO, "probes without an answer" },
	{ "dupacks", "dupacks", CONN, UNLESS_ZERO, "duplicate ACKs in a row" },
	{ "sacked", "sacked_bytes", CONN, UNLESS_ZERO, "bytes that the peer has out of order" },
	{ "lost", "lost_bytes", CONN, UNLESS_ZERO, "bytes taken for lost" },
	{ "ooo", "out_of_order_frames", CONN, UNLESS_ZERO, "frames received that wait for a gap" },
	{ "reordering", "reordering", CONN, IF_TRUE, "the path changes the order of segments" },
	{ "partial", "message_partial_ms", CONN, IF_KNOWN,
	  "since when a message is incomplete, ms" },
	{ "handler", "handler_blocked_ms", CONN, IF_KNOWN,
	  "since when the application takes no message, ms" },
	{ "stalled", "send_stalled_ms", CONN, IF_KNOWN, "since when the peer takes nothing, ms" },
	{ "age", "age_ms", CONN, ALWAYS, "since the open, ms" },
	{ "idle", "idle_ms", CONN, ALWAYS, "since the last text of the peer, ms" },
	{ "mac", "peer_mac", CONN, ALWAYS, "next hop on the way to the peer" },
	{ "vlan", "vlan", CONN, IF_KNOWN, "VLAN ids, outer first" },
	{ "flags", "flags", CONN, IF_KNOWN, "what the lane has noted" },
	{ "timers", "timers", CONN, IF_KNOWN, "timers that run, ms left" },
	{ "close_reason", "close_reason", CONN, IF_KNOWN, "why it ends" },
	{ "sends", "sends", HALF_OPEN, ALWAYS, "SYN-ACKs sent" },
	{ "expires", "expires_ms", HALF_OPEN | TIME_WAIT, ALWAYS,
	  "until it is forgotten or tried again, ms" },
};

static unsigned int kind_of(struct mr_rows *r)
{
	if (mr_rows_cell(r, "id")[0] != '-')
		return CONN;
	return mr_rows_cell(r, "sends")[0] != '-' ? HALF_OPEN : TIME_WAIT;
}

static bool is_shown(const struct figure *f, const char *value)
{
	switch (f->shown) {
	case UNLESS_ZERO:
		return strcmp(value, "0") != 0;
	case IF_KNOWN:
		return strcmp(value, "-") != 0 && strcmp(value, "none") != 0;
	case IF_TRUE:
		return !strcmp(value, "yes");
	default:
		return true;
	}
}

void mr_conn_print_long(struct mr_rows *r, void *arg)
{
	unsigned int kind = kind_of(r);
	char lane[MR_VALUE_BYTES];

	(void)arg;
	print_line(r, true);
	lane_text(r, lane);
	printf("\t lane:%s", lane);
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		const struct figure *f = &figures[i];
		const char *value = mr_rows_cell(r, f->name);

		if (!(f->of & kind) || !is_shown(f, value))
			continue;
		if (f->shown == IF_TRUE)
			printf(" %s", f->label);
		else
			printf(" %s:%s", f->label, value);
	}
	putchar('\n');
}

static void print_fact(const char *label, const char *value, const char *words)
{
	printf("  %-16s %-24s %s\n", label, value, words);
}

void mr_conn_print_all(struct mr_rows *r, void *arg)
{
	unsigned int kind = kind_of(r);
	char local[MR_VALUE_BYTES], remote[MR_VALUE_BYTES], lane[MR_VALUE_BYTES];

	(void)arg;
	local_text(r, local);
	remote_text(r, remote);
	lane_text(r, lane);
	printf("%s  %s  %s  %s\n", lane, mr_rows_cell(r, "state"), local, remote);
	if (kind == CONN) {
		print_fact("rx_queue", mr_rows_cell(r, "rx_queue_bytes"),
			   "bytes received, not read yet");
		print_fact("tx_queue", mr_rows_cell(r, "tx_queue_bytes"), "bytes queued");
	}
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		if (figures[i].of & kind)
			print_fact(figures[i].label, mr_rows_cell(r, figures[i].name),
				   figures[i].words);
}
