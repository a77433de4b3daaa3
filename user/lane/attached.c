/* SPDX-License-Identifier: MIT */
/*
 * Channels of attached programs: they come and go, their commands are carried out at the beginning
 * of a turn's ready stage, and what became of their connections is told at its end.
 *
 * A program may write whatever it likes into its channel. Everything here is either private to the
 * lane or checked where it is used; what a program gets wrong, its own connections pay for.
 */
#include "user/lane/attached.h"
#include "user/tcp/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ----- events ----- */

/* Room for @n events besides those that are kept for what connections must be told. */
bool attached_has_room(const struct attached_channel *ch, uint32_t n)
{
	return ch->dead ||
	       mr_channel_room(&ch->c) >= (uint64_t)ch->n_conns * ATTACHED_EVENTS_KEPT + n;
}

/* The room was kept, or looked for: only a program that lies about its ring gets less. */
void attached_put(struct attached_channel *ch, const struct mr_attach_record *r)
{
	if (ch->dead)
		return;
	mr_channel_put(&ch->c, r);
	ch->dirty = true;
}

/* A program that sends a buffer twice gets it back once. */
void attached_sent(struct attached_channel *ch, uint32_t buffer)
{
	if (ch->n_sent < ch->c.sizes.send_buffers)
		ch->sent[ch->n_sent++] = buffer;
}

static void tell_sent(struct attached_channel *ch)
{
	while (ch->n_sent && attached_has_room(ch, 1)) {
		struct mr_attach_record r = { .op = MR_ATTACH_SENT };

		while (ch->n_sent && r.n < MR_ATTACH_BATCH) {
			r.buffer[r.n++] = ch->sent[--ch->n_sent];
		}
		attached_put(ch, &r);
		/* behind it: a worker that takes over may give one back twice, but forgets none */
		for (uint32_t k = 0; k < r.n; k++)
			ch->c.send_slot[r.buffer[k]].lent = 0;
	}
}

static void ring(struct attached_channel *ch)
{
	ch->dirty = false;
	/* no flag of the socket's, which the program shares, has a say in whether this blocks */
	if (mr_channel_must_ring(&ch->c) && ch->bell >= 0)
		send(ch->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ----- commands ----- */

static bool may_serve(const struct attached_channel *ch, uint32_t rule)
{
	return !ch->rules || (rule < ch->n_rules && ch->rules[rule / 64] >> rule % 64 & 1);
}

static bool is_ours(const struct lane_rule *r)
{
	return r->app == &lane_attached_app && lane_rule_is_live(r);
}

/* The rule that steers the address: its number, or -errno. */
static int rule_to_listen(struct mr_lane *l, const struct attached_channel *ch,
			  const struct mr_attach_record *r)
{
	int err = -EADDRNOTAVAIL;

	for (uint32_t i = 0; i < l->n_rules; i++) {
		if (!is_ours(&l->rules[i]) || !lane_rule_serves(l, l->rules[i].config, r->end.local,
								mr_be16(r->end.local_port)))
			continue;
		if (may_serve(ch, i))
			return (int)i;
		err = -EACCES;
	}
	return err;
}

static struct attached_listener *free_listener(struct lane_attached *at)
{
	for (uint32_t i = 0; i < ATTACHED_LISTENERS; i++) {
		if (at->listener[i].channel)
			continue;
		if (i >= at->n_listeners)
			at->n_listeners = i + 1;
		return &at->listener[i];
	}
	return NULL;
}

static struct attached_listener *listener_of(struct lane_attached *at,
					     const struct attached_channel *ch, uint64_t user)
{
	for (uint32_t i = 0; i < at->n_listeners; i++)
		if (at->listener[i].channel == ch && at->listener[i].user == user)
			return &at->listener[i];
	return NULL;
}

static int listen_on(struct mr_lane *l, struct attached_channel *ch,
		     const struct mr_attach_record *r)
{
	int rule = rule_to_listen(l, ch, r);
	struct attached_listener *x;

	if (rule < 0)
		return rule;
	if (listener_of(l->attached, ch, r->user))
		return -EADDRINUSE;
	x = free_listener(l->attached);
	if (!x)
		return -ENOSPC;
	*x = (struct attached_listener){
		.channel = ch,
		.user = r->user,
		.rule = (uint32_t)rule,
		.backlog = r->value < UINT16_MAX ? r->value : UINT16_MAX,
		.port = mr_be16(r->end.local_port),
		.family = r->n,
	};
	memcpy(x->addr, r->end.local, sizeof(x->addr));
	l->stats->listeners++;
	return 0;
}

static void run_listen(struct mr_lane *l, struct attached_channel *ch,
		       const struct mr_attach_record *r)
{
	int err = listen_on(l, ch, r);

	attached_put(ch, &(struct mr_attach_record){
				 .op = MR_ATTACH_LISTENING,
				 .user = r->user,
				 .value = (uint32_t)-err,
			 });
}

static void unlisten(struct mr_lane *l, struct attached_listener *x)
{
	x->channel = NULL;
	l->stats->listeners--;
}

static void run_unlisten(struct mr_lane *l, struct attached_channel *ch,
			 const struct mr_attach_record *r)
{
	struct attached_listener *x = listener_of(l->attached, ch, r->user);

	if (x)
		unlisten(l, x);
}

static void run_accepted(struct mr_lane *l, struct attached_channel *ch,
			 const struct mr_attach_record *r)
{
	struct attached_listener *x = listener_of(l->attached, ch, r->user);

	if (x && x->waiting)
		x->waiting--;
}

static const struct sockaddr *address(const uint8_t addr[16], struct mr_be16 port,
				      struct sockaddr_storage *to)
{
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)to;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)to;

	memset(to, 0, sizeof(*to));
	if (mr_is_ipv4(addr)) {
		in->sin_family = AF_INET;
		in->sin_port = port.raw;
		memcpy(&in->sin_addr, addr + 12, 4);
	} else {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = port.raw;
		memcpy(&in6->sin6_addr, addr, 16);
	}
	return (const struct sockaddr *)(const void *)to;
}

/* Connections of programs run under a rule that they may serve: its settings are theirs. */
static int rule_to_connect(struct mr_lane *l, const struct attached_channel *ch)
{
	for (uint32_t i = 0; i < l->n_rules; i++)
		if (is_ours(&l->rules[i]) && may_serve(ch, i))
			return (int)i;
	return -EACCES;
}

static int connect_to(struct mr_lane *l, struct attached_channel *ch,
		      const struct mr_attach_record *r, mr_conn_id *id)
{
	static const uint8_t none[16];
	bool from = memcmp(r->end.local, none, 16) != 0;
	struct sockaddr_storage local, remote;
	int err = rule_to_connect(l, ch);

	if (err < 0)
		return err;
	err = lane_connect(l, (uint32_t)err,
			   from ? address(r->end.local, (struct mr_be16){ 0 }, &local) : NULL,
			   address(r->end.remote, r->end.remote_port, &remote), NULL, NULL, id);
	if (err < 0)
		return err;
	attached_begin(attached_state(l, lane_conn_find(l, *id)), ch);
	ch->n_conns++;
	return 0;
}

static void run_connect(struct mr_lane *l, struct attached_channel *ch,
			const struct mr_attach_record *r)
{
	struct mr_attach_record answer = { .op = MR_ATTACH_OPENING, .user = r->user };
	mr_conn_id id = 0;
	int err = connect_to(l, ch, r, &id);

	answer.conn = id;
	if (err < 0) {
		answer.op = MR_ATTACH_FAILED;
		answer.value = (uint32_t)-err;
	}
	attached_put(ch, &answer);
}

static void run_return(struct attached_channel *ch, const struct mr_attach_record *r)
{
	for (uint32_t k = 0; k < r->n && k < MR_ATTACH_BATCH; k++) {
		uint32_t i = r->buffer[k];

		if (i >= ch->c.sizes.receive_buffers || !ch->c.receive_slot[i].lent ||
		    ch->n_free == ch->c.sizes.receive_buffers)
			continue;
		ch->c.receive_slot[i].lent = 0;
		ch->free[ch->n_free++] = i;
	}
}

static void set_option(struct mr_lane *l, struct mr_conn *c, const struct mr_attach_record *r)
{
	struct mr_host *h = mr_lane_host(l);
	mr_conn_id id = conn_id(l, c);
	uint32_t bytes = r->word[0];

	switch (r->value) {
	case MR_ATTACH_NODELAY:
		mr_nodelay(h, id, r->word[0]);
		break;
	case MR_ATTACH_KEEPALIVE:
		mr_keepalive(h, id, r->word[0], r->word[1], r->word[2]);
		break;
	case MR_ATTACH_USER_TIMEOUT:
		mr_user_timeout(h, id, r->word[0]);
		break;
	case MR_ATTACH_RECEIVE:
		bytes = bytes < MR_ATTACH_CREDIT_LEAST ? MR_ATTACH_CREDIT_LEAST : bytes;
		bytes = bytes > MR_ATTACH_CREDIT_MOST ? MR_ATTACH_CREDIT_MOST : bytes;
		attached_state(l, c)->credit = bytes;
		attached_read(l, c, 0);
		break;
	case MR_ATTACH_QUICK_ACK:
		if (c->segs_unacked || c->deadline[MR_DEADLINE_DELACK])
			c->flags |= MR_CONN_ACK_NOW;
		lane_ready(l, c);
		break;
	case MR_ATTACH_URGE:
		mr_urge(h, id);
		break;
	}
}

static void read_figures(struct mr_lane *l, const struct mr_conn *c, struct mr_attach_figures *f)
{
	(void)l;
	*f = (struct mr_attach_figures){
		.unsent = c->tx_bytes,
		.rtt_us = c->srtt_us / 8,
		.rttvar_us = c->rttvar_us / 4,
		.cwnd_bytes = c->cwnd,
		.snd_mss = c->snd_mss,
		.rto_ms = c->rto_ms,
		.retransmits = c->retransmits,
		.rcv_mss = c->rcv_mss,
		.state = c->state,
		.cc = c->cc,
		.backoff = c->backoff,
		.known = 1,
	};
}

static struct mr_conn *conn_of(struct mr_lane *l, const struct attached_channel *ch, mr_conn_id id)
{
	struct mr_conn *c = lane_conn_find(l, id);
	struct attached_conn *a;

	if (!c || c->state == MR_CLOSED || rule_of(l, c)->app != &lane_attached_app)
		return NULL;
	a = attached_state(l, c);
	return a && a->channel == ch->number + 1 && !a->closing ? c : NULL;
}

static void run_ask(struct mr_lane *l, struct attached_channel *ch,
		    const struct mr_attach_record *r)
{
	struct mr_attach_record answer = {
		.op = MR_ATTACH_FIGURES,
		.conn = r->conn,
		.user = r->user,
	};
	struct mr_conn *c = r->conn ? conn_of(l, ch, r->conn) : NULL;
	struct attached_listener *x = r->conn ? NULL : listener_of(l->attached, ch, r->user);

	if (c)
		read_figures(l, c, &answer.figures);
	if (x) {
		answer.figures.half_open = l->rules[x->rule].half_open;
		answer.figures.known = 1;
	}
	attached_put(ch, &answer);
}

/* A send buffer that does not reach a connection goes back. */
static void run_send(struct mr_lane *l, struct attached_channel *ch, struct mr_conn *c,
		     const struct mr_attach_record *r)
{
	uint32_t n = ch->c.sizes.send_buffers;

	if (c && mr_channel_part_is_inside(&ch->c, n, r->part.buffer, r->part.offset, r->part.len))
		attached_queue(l, c, ch, r);
	else if (r->part.buffer < n)
		attached_sent(ch, r->part.buffer);
}

static void run_on_conn(struct mr_lane *l, struct attached_channel *ch,
			const struct mr_attach_record *r)
{
	struct mr_conn *c = conn_of(l, ch, r->conn);

	if (c)
		lane_hold(l, conn_index(l, c));
	if (r->op == MR_ATTACH_SEND)
		run_send(l, ch, c, r);
	if (!c)
		return;
	if (r->op == MR_ATTACH_READ)
		attached_read(l, c, r->value);
	else if (r->op == MR_ATTACH_SHUTDOWN)
		attached_shutdown(l, c, (int)r->value);
	else if (r->op == MR_ATTACH_CLOSE)
		attached_close(l, c);
	else if (r->op == MR_ATTACH_ABORT)
		mr_abort(mr_lane_host(l), conn_id(l, c));
	else if (r->op == MR_ATTACH_OPTION)
		set_option(l, c, r);
}

static void run_command(struct mr_lane *l, struct attached_channel *ch,
			const struct mr_attach_record *r)
{
	switch (r->op) {
	case MR_ATTACH_LISTEN:
		run_listen(l, ch, r);
		break;
	case MR_ATTACH_UNLISTEN:
		run_unlisten(l, ch, r);
		break;
	case MR_ATTACH_ACCEPTED:
		run_accepted(l, ch, r);
		break;
	case MR_ATTACH_CONNECT:
		run_connect(l, ch, r);
		break;
	case MR_ATTACH_RETURN:
		run_return(ch, r);
		break;
	case MR_ATTACH_ASK:
		run_ask(l, ch, r);
		break;
	default:
		run_on_conn(l, ch, r);
	}
}

static bool wants_answer(const struct mr_attach_record *r)
{
	return r->op == MR_ATTACH_LISTEN || r->op == MR_ATTACH_CONNECT || r->op == MR_ATTACH_ASK;
}

static void detach(struct mr_lane *l, struct attached_channel *ch);

static uint32_t run_commands(struct mr_lane *l, struct attached_channel *ch, uint32_t most)
{
	struct mr_attach_record r;
	uint32_t n = 0;
	int err = 0;

	ch->stuck = false;
	while (n < most && (err = mr_channel_peek(&ch->c, &r)) > 0) {
		ch->stuck = wants_answer(&r) && !attached_has_room(ch, 1 + ATTACHED_EVENTS_KEPT);
		if (ch->stuck)
			break;
		run_command(l, ch, &r);
		mr_channel_done(&ch->c);
		n++;
	}
	if (err < 0) /* whoever lies about its ring is treated as one that is gone */
		detach(l, ch);
	return n;
}

/* ----- channels come and go ----- */

static void free_channel(struct mr_lane *l, struct attached_channel *ch)
{
	l->attached->channel[ch->number] = NULL;
	l->attached->n_channels--;
	mr_channel_close(&ch->c);
	free(ch->free);
	free(ch->sent);
	free(ch->rules);
	free(ch);
}

/* Buffers whose event was published and that were not returned are the program's. */
static void find_free(struct attached_channel *ch)
{
	for (uint32_t i = ch->c.sizes.receive_buffers; i-- > 0;) {
		struct mr_attach_slot *s = &ch->c.receive_slot[i];

		if (s->lent && (int32_t)(s->next - ch->c.produced) < 0)
			continue;
		s->lent = 0;
		ch->free[ch->n_free++] = i;
	}
}

/* What an earlier worker's connections of this channel have queued; false: nothing sensible. */
static void mark_queue(const struct attached_channel *ch, const struct attached_conn *a,
		       uint8_t *queued)
{
	uint32_t i = a->send_head;

	for (uint32_t n = a->n_sends; n && i < ch->c.sizes.send_buffers && !queued[i]; n--) {
		queued[i] = 1;
		i = ch->c.send_slot[i].next;
	}
}

/* What the application has of connection @i, if that is served over channel @number, or NULL. */
static struct attached_conn *served_over(struct mr_lane *l, uint32_t i, uint32_t number)
{
	struct mr_conn *c = &l->conns[i];
	struct attached_conn *a;

	if (c->state == MR_CLOSED || c->app_state == MR_NONE ||
	    rule_of(l, c)->app != &lane_attached_app)
		return NULL;
	a = attached_state(l, c);
	return a->channel == number + 1 ? a : NULL;
}

/* Connections that an earlier worker served over this channel go on. */
static int take_over(struct mr_lane *l, struct attached_channel *ch)
{
	uint8_t *queued = calloc(ch->c.sizes.send_buffers, 1);

	if (!queued)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->header->conns_used; i++) {
		struct attached_conn *a = served_over(l, i, ch->number);

		if (!a)
			continue;
		a->starved = 0;
		mark_queue(ch, a, queued);
		ch->n_conns++;
		l->conns[i].flags &= ~MR_CONN_BLOCKED;
		lane_ready(l, &l->conns[i]);
	}
	for (uint32_t i = 0; i < ch->c.sizes.send_buffers; i++)
		if (ch->c.send_slot[i].lent && !queued[i])
			attached_sent(ch, i);
	free(queued);
	return 0;
}

static int set_rules(struct attached_channel *ch, const uint16_t *rules, uint32_t n)
{
	if (!rules)
		return 0;
	ch->n_rules = UINT16_MAX + 1;
	ch->rules = calloc(ch->n_rules / 64, sizeof(*ch->rules));
	if (!ch->rules)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		ch->rules[rules[i] / 64] |= 1ull << rules[i] % 64;
	return 0;
}

static int make_channel(struct mr_lane *l, struct attached_channel *ch,
			const struct mr_lane_channel *from)
{
	int err = mr_channel_open(&ch->c, from->memory, MR_CHANNEL_LANE);

	if (err < 0)
		return err;
	ch->free = calloc(ch->c.sizes.receive_buffers, sizeof(*ch->free));
	ch->sent = calloc(ch->c.sizes.send_buffers, sizeof(*ch->sent));
	if (!ch->free || !ch->sent)
		return -ENOMEM;
	err = set_rules(ch, from->rules, from->n_rules);
	if (err < 0)
		return err;
	find_free(ch);
	return take_over(l, ch);
}

int mr_lane_attach(struct mr_lane *l, const struct mr_lane_channel *from)
{
	struct attached_channel *ch;
	int err;

	if (from->number >= MR_ATTACH_CHANNELS)
		return -EINVAL;
	if (!l->attached)
		l->attached = calloc(1, sizeof(*l->attached));
	if (!l->attached)
		return -ENOMEM;
	if (l->attached->channel[from->number])
		return -EBUSY;
	ch = calloc(1, sizeof(*ch));
	if (!ch)
		return -ENOMEM;
	ch->number = from->number;
	ch->bell = from->bell;
	ch->starved = (struct fifo){ MR_NONE, MR_NONE };
	l->attached->channel[ch->number] = ch;
	l->attached->n_channels++;
	err = make_channel(l, ch, from);
	if (err < 0)
		free_channel(l, ch);
	return err;
}

static void close_all(struct mr_lane *l, uint32_t number)
{
	for (uint32_t i = 0; i < l->header->conns_used; i++) {
		const struct attached_conn *a = served_over(l, i, number);

		if (!a || a->closing)
			continue;
		lane_hold(l, i);
		attached_close(l, &l->conns[i]);
	}
	lane_hold(l, MR_NONE);
}

static void drop_listeners(struct mr_lane *l, const struct attached_channel *ch)
{
	for (uint32_t i = 0; i < l->attached->n_listeners; i++)
		if (l->attached->listener[i].channel == ch)
			unlisten(l, &l->attached->listener[i]);
}

static void detach(struct mr_lane *l, struct attached_channel *ch)
{
	ch->dead = true;
	ch->bell = -1;
	drop_listeners(l, ch);
	close_all(l, ch->number);
}

void mr_lane_detach(struct mr_lane *l, uint32_t number)
{
	struct attached_channel *ch =
		l->attached && number < MR_ATTACH_CHANNELS ? l->attached->channel[number] : NULL;

	if (!ch) { /* an earlier worker's, that did not come back */
		close_all(l, number);
		return;
	}
	if (!ch->dead) /* what it sent before it ended */
		run_commands(l, ch, ch->c.in_size);
	if (!ch->dead)
		detach(l, ch);
}

bool mr_lane_is_attached(const struct mr_lane *l, uint32_t number)
{
	return l->attached && number < MR_ATTACH_CHANNELS && l->attached->channel[number];
}

/* ----- the turn ----- */

/* What a program that is gone had sent before is carried out, and what it has open is closed. */
static uint32_t bury(struct mr_lane *l, struct attached_channel *ch)
{
	ch->n_sent = 0;
	if (ch->n_conns)
		return 0;
	free_channel(l, ch);
	return 1;
}

unsigned int lane_attached_look(struct mr_lane *l)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < MR_ATTACH_CHANNELS; i++) {
		struct attached_channel *ch = l->attached->channel[i];

		if (!ch)
			continue;
		if (!ch->dead)
			n += run_commands(l, ch, ATTACHED_TURN);
		if (ch->dead) {
			n += bury(l, ch);
			continue;
		}
		attached_feed(l, ch);
	}
	lane_hold(l, MR_NONE);
	return n;
}

void lane_attached_tell(struct mr_lane *l)
{
	for (uint32_t i = 0; i < l->attached->n_listeners; i++)
		l->attached->listener[i].promised = 0; /* opened, or gone before */
	for (uint32_t i = 0; i < MR_ATTACH_CHANNELS; i++) {
		struct attached_channel *ch = l->attached->channel[i];

		if (!ch || ch->dead)
			continue;
		if (ch->n_sent)
			tell_sent(ch);
		if (ch->dirty)
			ring(ch);
	}
}

/* Until a program makes room in its event ring, which rings no bell. */
bool lane_attached_waits(const struct mr_lane *l)
{
	for (uint32_t i = 0; i < MR_ATTACH_CHANNELS; i++) {
		const struct attached_channel *ch = l->attached->channel[i];

		if (ch && (ch->stuck || ch->n_sent || (ch->n_free && ch->starved.head != MR_NONE)))
			return true;
	}
	return false;
}

bool lane_attached_doze(struct mr_lane *l)
{
	bool quiet = true;

	for (uint32_t i = 0; i < MR_ATTACH_CHANNELS; i++) {
		struct attached_channel *ch = l->attached->channel[i];

		if (ch && !ch->dead)
			quiet &= mr_channel_doze(&ch->c) || ch->stuck;
	}
	return quiet;
}

void lane_attached_wake(struct mr_lane *l)
{
	for (uint32_t i = 0; i < MR_ATTACH_CHANNELS; i++)
		if (l->attached->channel[i])
			mr_channel_wake(&l->attached->channel[i]->c);
}

void lane_attached_fini(struct mr_lane *l)
{
	for (uint32_t i = 0; l->attached && i < MR_ATTACH_CHANNELS; i++)
		if (l->attached->channel[i])
			free_channel(l, l->attached->channel[i]);
	free(l->attached);
	l->attached = NULL;
}
