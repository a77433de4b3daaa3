/* SPDX-License-Identifier: MIT */
/*
 * drill: for tests from outside. The first line that a client sends chooses what
 * the server does with that connection; docs/apps.md lists the commands. What
 * follows the line belongs to the command.
 *
 * A connection's life: the line is gathered; its command begins; from then on
 * received bytes go to the command, and push() queues what the connection has to
 * say, in this order: words, then the command's own bytes, then the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "user/apps/apps.h"
#include "user/apps/pattern.h"

enum {
	LINE_MAX_BYTES = 128, /* without its newline */
	TEXT_MAX_BYTES = 32,  /* the longest is H's: 20 digits, a space, 8 digits, a newline */
	WRITE_BYTES = 10,     /* of W and D */
	MS_MAX = 3600000,
	KEEPALIVE_INTERVAL_S = 1,
	KEEPALIVE_COUNT = 3,
};

#define NUMBER_MAX (UINT64_C(1) << 40)

static const uint32_t fnv1a_basis = 2166136261u;
static const uint32_t fnv1a_prime = 16777619u;

/* One connection. */
struct drill {
	uint8_t command;    /* 1 + its place in commands[]; 0: none yet */
	uint8_t line_bytes; /* of line[] */
	uint8_t text_bytes; /* of text[] */
	uint8_t text_sent;  /* of text_bytes */
	uint8_t write_sent; /* of the write of ten bytes in hand */
	bool holding;	    /* reads nothing until the timer */
	bool waiting;	    /* an answer to the first line is still to come */
	bool peer_ended;    /* everything of the peer was read, and its FIN */
	bool shut;	    /* P: our FIN is queued */
	bool closing;	    /* close when everything is queued */
	bool gone;	    /* closed or aborted */
	uint32_t hash;	    /* H: FNV-1a of what was read */
	uint64_t count;	    /* H: bytes read */
	uint64_t left;	    /* bytes or writes still to send */
	uint64_t sent;	    /* pattern bytes sent */
	mr_conn_id owner;   /* A, the new connection: who is told how it went; 0 nobody (more) */
	char line[LINE_MAX_BYTES + 1];
	char text[TEXT_MAX_BYTES];
};

struct arguments {
	uint64_t number;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address;
};

enum argument_kind {
	NO_ARGUMENT,
	NUMBER,
	ADDRESS_PORT,
};

/**
 * struct command - one letter of the first line
 * @least, @most: bounds of the number
 * @begin:	the line was read. NULL: nothing to do
 * @bytes:	received bytes, as in struct mr_app. NULL: read and discarded
 * @push:	queues the command's own bytes; true when none are left. NULL: it has none
 * @ended:	the peer's FIN. NULL: close when everything is queued
 * @timer:	the time it asked for has come
 */
struct command {
	char letter;
	enum argument_kind argument;
	uint64_t least;
	uint64_t most;
	void (*begin)(struct mr_host *h, mr_conn_id c, struct drill *d, const struct arguments *a);
	enum mr_app_verdict (*bytes)(struct mr_host *h, mr_conn_id c, const uint8_t *data,
				     size_t len, size_t *used);
	bool (*push)(struct mr_host *h, mr_conn_id c, struct drill *d);
	void (*ended)(struct mr_host *h, mr_conn_id c, struct drill *d);
	void (*timer)(struct mr_host *h, mr_conn_id c, struct drill *d);
};

static const struct command *command_of(const struct drill *d);
static uint8_t number_of(char letter);

/* Words and the end */

static void finish(struct mr_host *h, mr_conn_id c, struct drill *d)
{
	d->gone = true;
	mr_close(h, c);
}

/* One at a time: no command says a second thing before the first is queued. */
__attribute__((format(printf, 2, 3))) static void say(struct drill *d, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(d->text, sizeof(d->text), format, args);
	va_end(args);
	d->text_bytes = (uint8_t)strlen(d->text);
	d->text_sent = 0;
}

static bool push_text(struct mr_host *h, mr_conn_id c, struct drill *d)
{
	int64_t n;

	if (d->text_sent == d->text_bytes)
		return true;
	n = mr_send(h, c, d->text + d->text_sent, d->text_bytes - d->text_sent);
	if (n > 0)
		d->text_sent += (uint8_t)n;
	return d->text_sent == d->text_bytes;
}

static void push(struct mr_host *h, mr_conn_id c, struct drill *d)
{
	const struct command *cmd = command_of(d);

	if (d->gone || !push_text(h, c, d))
		return;
	if (cmd && cmd->push && !cmd->push(h, c, d))
		return;
	if (d->closing)
		finish(h, c, d);
}

static void complain(struct drill *d)
{
	say(d, "? unknown command\n");
	d->closing = true;
}

/* What A or B waited for: 0 or an errno. */
static void tell(struct mr_host *h, mr_conn_id c, int error)
{
	struct drill *d = mr_conn_state(h, c);

	if (!d)
		return;
	d->waiting = false;
	d->closing = d->peer_ended;
	say(d, "%d\n", error);
	push(h, c, d);
}

/* E, C, R, F, G */

static enum mr_app_verdict echo(struct mr_host *h, mr_conn_id c, const uint8_t *data, size_t len,
				size_t *used)
{
	struct drill *d = mr_conn_state(h, c);
	enum mr_app_verdict v = mr_app_echo_bytes.bytes(h, c, data, len, used);

	d->gone = v == MR_APP_CLOSED;
	return v;
}

static void begin_close(struct mr_host *h, mr_conn_id c, struct drill *d, const struct arguments *a)
{
	(void)a;
	finish(h, c, d);
}

static void begin_abort(struct mr_host *h, mr_conn_id c, struct drill *d, const struct arguments *a)
{
	(void)a;
	d->gone = true;
	mr_abort(h, c);
}

static void begin_send(struct mr_host *h, mr_conn_id c, struct drill *d, const struct arguments *a)
{
	(void)h, (void)c;
	d->left = a->number;
}

static void begin_send_close(struct mr_host *h, mr_conn_id c, struct drill *d,
			     const struct arguments *a)
{
	begin_send(h, c, d, a);
	d->closing = true;
}

static bool push_pattern(struct mr_host *h, mr_conn_id c, struct drill *d)
{
	uint64_t n = mr_pattern_send(h, c, d->sent, d->left);

	d->sent += n;
	d->left -= n;
	return !d->left;
}

/* H, N, U: reading to the end, at once or later */

static enum mr_app_verdict hash(struct mr_host *h, mr_conn_id c, const uint8_t *data, size_t len,
				size_t *used)
{
	struct drill *d = mr_conn_state(h, c);
	uint32_t sum = d->hash;
	size_t i;

	*used = 0;
	if (d->holding)
		return MR_APP_AGAIN;
	for (i = 0; i < len; i++)
		sum = (sum ^ data[i]) * fnv1a_prime;
	d->hash = sum;
	d->count += len;
	*used = len;
	return MR_APP_DONE;
}

static enum mr_app_verdict leave_unread(struct mr_host *h, mr_conn_id c, const uint8_t *data,
					size_t len, size_t *used)
{
	(void)h, (void)c, (void)data, (void)len;
	*used = 0;
	return MR_APP_AGAIN;
}

static void hash_ended(struct mr_host *h, mr_conn_id c, struct drill *d)
{
	(void)h, (void)c;
	if (d->holding)
		return;
	say(d, "%" PRIu64 " %08" PRIx32 "\n", d->count, d->hash);
	d->closing = true;
}

static void begin_hold(struct mr_host *h, mr_conn_id c, struct drill *d, const struct arguments *a)
{
	d->holding = true;
	mr_pause(h, c, true);
	mr_timer(h, c, (unsigned int)a->number);
}

static void begin_hash_later(struct mr_host *h, mr_conn_id c, struct drill *d,
			     const struct arguments *a)
{
	if (a->number)
		begin_hold(h, c, d, a);
}

static void begin_close_later(struct mr_host *h, mr_conn_id c, struct drill *d,
			      const struct arguments *a)
{
	if (a->number)
		begin_hold(h, c, d, a);
	else
		finish(h, c, d);
}

static void hash_now(struct mr_host *h, mr_conn_id c, struct drill *d)
{
	d->holding = false;
	mr_pause(h, c, false);
	if (d->peer_ended && !d->closing)
		hash_ended(h, c, d);
}

static void keep_holding(struct mr_host *h, mr_conn_id c, struct drill *d)
{
	(void)h, (void)c, (void)d;
}

/* W, D: many small writes */

static void begin_writes_nagle(struct mr_host *h, mr_conn_id c, struct drill *d,
			       const struct arguments *a)
{
	mr_nodelay(h, c, false);
	d->left = a->number;
}

static void begin_writes_nodelay(struct mr_host *h, mr_conn_id c, struct drill *d,
				 const struct arguments *a)
{
	mr_nodelay(h, c, true);
	d->left = a->number;
}

static bool push_writes(struct mr_host *h, mr_conn_id c, struct drill *d)
{
	static const char digits[] = "0123456789";

	while (d->left) {
		int64_t n = mr_send(h, c, digits + d->write_sent,
				    (size_t)(WRITE_BYTES - d->write_sent));

		if (n <= 0)
			return false;
		d->write_sent += (uint8_t)n;
		if (d->write_sent < WRITE_BYTES)
			return false;
		d->write_sent = 0;
		d->left--;
	}
	return true;
}

/* P, Q: one direction ends */

static void begin_hello(struct mr_host *h, mr_conn_id c, struct drill *d, const struct arguments *a)
{
	(void)h, (void)c, (void)a;
	say(d, "hello");
}

static bool push_fin(struct mr_host *h, mr_conn_id c, struct drill *d)
{
	if (!d->shut)
		mr_shutdown(h, c, SHUT_WR);
	d->shut = true;
	return true;
}

static void begin_shut_reading(struct mr_host *h, mr_conn_id c, struct drill *d,
			       const struct arguments *a)
{
	(void)d, (void)a;
	mr_shutdown(h, c, SHUT_RD);
}

/* A, B, K */

static void begin_connect(struct mr_host *h, mr_conn_id c, struct drill *d,
			  const struct arguments *a)
{
	struct drill *other;
	mr_conn_id id;
	int err = mr_connect(h, c, &a->address.any, &id);

	if (err) {
		say(d, "%d\n", -err);
		return;
	}
	d->waiting = true;
	other = mr_conn_state(h, id);
	other->command = number_of('E');
	other->owner = c;
}

static void listening(struct mr_host *h, mr_conn_id c, int error)
{
	tell(h, c, -error);
}

static void begin_listen(struct mr_host *h, mr_conn_id c, struct drill *d,
			 const struct arguments *a)
{
	int err = mr_listen(h, c, (uint16_t)a->number, 1, listening);

	if (err)
		say(d, "%d\n", -err);
	else
		d->waiting = true;
}

static void begin_keepalive(struct mr_host *h, mr_conn_id c, struct drill *d,
			    const struct arguments *a)
{
	(void)d;
	mr_keepalive(h, c, (unsigned int)a->number, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT);
}

/* clang-format off */
static const struct command commands[] = {
	{ .letter = 'E', .bytes = echo },
	{ .letter = 'S' },
	{ .letter = 'G', .argument = NUMBER, .most = NUMBER_MAX,
	  .begin = begin_send, .push = push_pattern },
	{ .letter = 'F', .argument = NUMBER, .most = NUMBER_MAX,
	  .begin = begin_send_close, .push = push_pattern },
	{ .letter = 'H', .bytes = hash, .ended = hash_ended },
	{ .letter = 'N', .argument = NUMBER, .most = MS_MAX,
	  .begin = begin_hash_later, .bytes = hash, .ended = hash_ended, .timer = hash_now },
	{ .letter = 'C', .begin = begin_close },
	{ .letter = 'R', .begin = begin_abort },
	{ .letter = 'U', .argument = NUMBER, .most = MS_MAX,
	  .begin = begin_close_later, .bytes = leave_unread, .ended = keep_holding,
	  .timer = finish },
	{ .letter = 'W', .argument = NUMBER, .most = NUMBER_MAX,
	  .begin = begin_writes_nagle, .push = push_writes },
	{ .letter = 'D', .argument = NUMBER, .most = NUMBER_MAX,
	  .begin = begin_writes_nodelay, .push = push_writes },
	{ .letter = 'P', .begin = begin_hello, .push = push_fin },
	{ .letter = 'A', .argument = ADDRESS_PORT, .begin = begin_connect },
	{ .letter = 'Q', .begin = begin_shut_reading, .bytes = leave_unread },
	{ .letter = 'B', .argument = NUMBER, .least = 1, .most = UINT16_MAX,
	  .begin = begin_listen },
	{ .letter = 'K', .argument = NUMBER, .least = 1, .most = INT16_MAX,
	  .begin = begin_keepalive },
};
/* clang-format on */

static const struct command *command_of(const struct drill *d)
{
	return d->command ? &commands[d->command - 1] : NULL;
}

static uint8_t number_of(char letter)
{
	uint8_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].letter == letter)
			return i + 1;
	return 0;
}

/* The first line */

static bool read_number(const char *s, uint64_t least, uint64_t most, uint64_t *out)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > most)
			return false;
	}
	*out = v;
	return v >= least;
}

/* "192.0.2.1 80" or "2001:db8::1 80" */
static bool read_address(const char *s, struct arguments *a)
{
	char ip[INET6_ADDRSTRLEN];
	const char *space = strchr(s, ' ');
	uint64_t port;

	if (!space || space - s >= INET6_ADDRSTRLEN ||
	    !read_number(space + 1, 1, UINT16_MAX, &port))
		return false;
	memcpy(ip, s, (size_t)(space - s));
	ip[space - s] = '\0';
	memset(&a->address, 0, sizeof(a->address));
	if (inet_pton(AF_INET, ip, &a->address.in.sin_addr) == 1) {
		a->address.in.sin_family = AF_INET;
		a->address.in.sin_port = htons((uint16_t)port);
		return true;
	}
	a->address.in6.sin6_family = AF_INET6;
	a->address.in6.sin6_port = htons((uint16_t)port);
	return inet_pton(AF_INET6, ip, &a->address.in6.sin6_addr) == 1;
}

static bool read_arguments(const struct command *cmd, const char *s, struct arguments *a)
{
	switch (cmd->argument) {
	case NO_ARGUMENT:
		return !*s;
	case NUMBER:
		return *s == ' ' && read_number(s + 1, cmd->least, cmd->most, &a->number);
	case ADDRESS_PORT:
		return *s == ' ' && read_address(s + 1, a);
	}
	return false;
}

static void begin_command(struct mr_host *h, mr_conn_id c, struct drill *d)
{
	const struct command *cmd;
	struct arguments a = { 0 };

	d->line[d->line_bytes] = '\0';
	d->hash = fnv1a_basis;
	d->command = number_of(d->line[0]);
	cmd = command_of(d);
	if (!cmd || strlen(d->line) != d->line_bytes || !read_arguments(cmd, d->line + 1, &a)) {
		d->command = 0;
		complain(d);
		return;
	}
	if (cmd->begin)
		cmd->begin(h, c, d, &a);
}

/* Returns bytes taken: up to the newline, with it. */
static size_t read_line(struct mr_host *h, mr_conn_id c, struct drill *d, const uint8_t *data,
			size_t len)
{
	size_t most = LINE_MAX_BYTES + 1u - d->line_bytes;
	size_t n = len < most ? len : most;
	const uint8_t *newline = memchr(data, '\n', n);

	if (!newline && n == most) {
		complain(d);
		return n;
	}
	if (newline)
		n = (size_t)(newline - data);
	memcpy(d->line + d->line_bytes, data, n);
	d->line_bytes += (uint8_t)n;
	if (!newline)
		return n;
	begin_command(h, c, d);
	return n + 1;
}

/* What the lane calls */

static size_t give_command(struct mr_host *h, mr_conn_id c, struct drill *d, const uint8_t *data,
			   size_t len)
{
	const struct command *cmd = command_of(d);
	size_t used = len;

	if (cmd && cmd->bytes)
		cmd->bytes(h, c, data, len, &used);
	return used;
}

static enum mr_app_verdict drill_bytes(struct mr_host *h, mr_conn_id c, const uint8_t *data,
				       size_t len, size_t *used)
{
	struct drill *d = mr_conn_state(h, c);

	*used = 0;
	if (!d->command && !d->closing)
		*used = read_line(h, c, d, data, len);
	if (!d->gone && *used < len && (d->command || d->closing))
		*used += give_command(h, c, d, data + *used, len - *used);
	push(h, c, d);
	if (d->gone)
		return MR_APP_CLOSED;
	return *used < len ? MR_APP_AGAIN : MR_APP_DONE;
}

static void drill_open(struct mr_host *h, mr_conn_id c)
{
	struct drill *d = mr_conn_state(h, c);
	mr_conn_id owner = d->owner;

	d->owner = 0;
	if (owner)
		tell(h, owner, 0);
}

static void drill_closed(struct mr_host *h, mr_conn_id c, int reason)
{
	struct drill *d = mr_conn_state(h, c);
	int error = mr_close_errno(reason);

	d->gone = true;
	if (d->owner) /* never opened */
		tell(h, d->owner, error ? error : ECONNABORTED);
}

static void drill_writable(struct mr_host *h, mr_conn_id c)
{
	push(h, c, mr_conn_state(h, c));
}

static void drill_peer_shutdown(struct mr_host *h, mr_conn_id c)
{
	struct drill *d = mr_conn_state(h, c);
	const struct command *cmd = command_of(d);

	d->peer_ended = true;
	if (!cmd && d->line_bytes && !d->closing)
		complain(d); /* the line never ended */
	else if (cmd && cmd->ended)
		cmd->ended(h, c, d);
	else if (!d->waiting)
		d->closing = true;
	push(h, c, d);
}

static void drill_timer(struct mr_host *h, mr_conn_id c)
{
	struct drill *d = mr_conn_state(h, c);
	const struct command *cmd = command_of(d);

	if (d->gone || !cmd || !cmd->timer)
		return;
	cmd->timer(h, c, d);
	push(h, c, d);
}

const struct mr_app mr_app_drill = {
	.name = "drill",
	.conn_bytes = sizeof(struct drill),
	.open = drill_open,
	.bytes = drill_bytes,
	.writable = drill_writable,
	.peer_shutdown = drill_peer_shutdown,
	.timer = drill_timer,
	.closed = drill_closed,
};
