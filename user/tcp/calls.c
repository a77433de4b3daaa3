/* SPDX-License-Identifier: MIT */
/* RFC 9293 3.10.1 to 3.10.5: what the user of a connection may ask. */
#include "user/tcp/internal.h"

#include <errno.h>
#include <string.h>

/* The smallest scale that lets the whole receive buffer be offered (RFC 7323 2.3). */
static uint8_t window_shift(uint32_t receive_buffer)
{
	uint8_t shift = 0;

	while (shift < 14 && (65535u << shift) < receive_buffer)
		shift++;
	return shift;
}

void mr_conn_init(struct mr_tcp *t, struct mr_conn *c, const struct mr_tuple *tuple,
		  const struct mr_link *link)
{
	uint32_t generation = c->generation;

	*c = (struct mr_conn){
		.flags = MR_CONN_TIMESTAMPS | MR_CONN_WINDOW_SCALE | MR_CONN_SACK |
			 (t->config->nagle ? 0 : MR_CONN_NODELAY),
		.rcv_shift = window_shift(t->config->receive_buffer),
		.rx_head = MR_NONE,
		.rx_tail = MR_NONE,
		.ooo_head = MR_NONE,
		.tx_head = MR_NONE,
		.tx_next = MR_NONE,
		.tx_tail = MR_NONE,
		.rto_ms = MR_RTO_INITIAL_MS,
		.ssthresh = UINT32_MAX,
		.wheel_next = MR_NONE,
		.wheel_prev = MR_NONE,
		.ready_next = MR_NONE,
		.session = MR_NONE,
		.active = MR_NONE,
		.app_state = MR_NONE,
		.generation = generation,
		.opened_ms = t->now_ms,
		.heard_ms = t->now_ms,
		.received_ms = t->now_ms,
	};
	c->flags &= ~t->config->options_off;
	if (!(c->flags & MR_CONN_WINDOW_SCALE))
		c->rcv_shift = 0;
	memcpy(c->local, tuple, sizeof(*tuple));
	memcpy(c->peer_mac, link->peer_mac, sizeof(c->peer_mac));
	memcpy(c->vlan, link->vlan, sizeof(c->vlan));
	if (t->config->keepalive)
		mr_tcp_set_keepalive(t, c, t->config->keep_idle_s, t->config->keep_interval_s,
				     t->config->keep_count);
}

/* Text that was queued before: its numbers were counted from 0. */
static void begin_early(struct mr_tcp *t, struct mr_conn *c)
{
	c->flags |= MR_CONN_FAST_OPEN;
	c->snd_una = c->iss + 1;
	for (uint32_t i = c->tx_head; i != MR_NONE; i = t->frames->record[i].next)
		t->frames->record[i].seq += c->snd_una;
}

void mr_tcp_open_call(struct mr_tcp *t, struct mr_conn *c, uint32_t mtu)
{
	c->iss = mr_tcp_isn(t, mr_conn_tuple(c));
	c->snd_una = c->iss;
	c->snd_nxt = c->iss + 1;
	c->recover = c->iss;
	c->cwnd = 1;
	if (c->tx_head != MR_NONE)
		begin_early(t, c);
	mr_tcp_set_mss(t, c, UINT16_MAX, mtu);
	c->rcv_mss = 0;
	c->flags |= MR_CONN_RTT_RUNNING;
	c->rtt_seq = c->iss;
	c->rtt_start_us = (uint32_t)t->now_us;
	t->stats->active_opens++;
	mr_tcp_set_state(t, c, MR_SYN_SENT);
	mr_tcp_send_syn(t, c);
}

int mr_tcp_cannot_send(const struct mr_conn *c)
{
	if (c->flags & MR_CONN_FIN_QUEUED)
		return -EPIPE;
	if (c->state != MR_ESTABLISHED && c->state != MR_CLOSE_WAIT && !mr_conn_is_early(c))
		return -ENOTCONN;
	return 0;
}

static int64_t queue_copy(struct mr_tcp *t, struct mr_conn *c, const void *data, size_t len)
{
	const uint8_t *from = data;
	size_t done = 0;

	while (done < len) {
		uint32_t room;
		uint8_t *to = mr_tcp_reserve(t, c, &room);
		uint32_t n;

		if (!to)
			break;
		n = len - done < room ? (uint32_t)(len - done) : room;
		memcpy(to, from + done, n);
		mr_tcp_commit(t, c, n);
		done += n;
	}
	if (done < len)
		c->flags |= MR_CONN_WANT_WRITE;
	if (done && c->flags & MR_CONN_NODELAY)
		mr_tcp_seal(t, c);
	return (int64_t)done;
}

int64_t mr_tcp_early_call(struct mr_tcp *t, struct mr_conn *c, const void *data, size_t len)
{
	mr_tcp_set_mss(t, c, UINT16_MAX, 0);
	return queue_copy(t, c, data, len);
}

int64_t mr_tcp_send_call(struct mr_tcp *t, struct mr_conn *c, const void *data, size_t len)
{
	int error = mr_tcp_cannot_send(c);

	return error ? error : queue_copy(t, c, data, len);
}

void mr_tcp_shutdown_send(struct mr_tcp *t, struct mr_conn *c)
{
	if (c->flags & MR_CONN_FIN_QUEUED)
		return;
	switch (c->state) {
	case MR_ESTABLISHED:
		c->flags |= MR_CONN_FIN_QUEUED;
		mr_tcp_set_state(t, c, MR_FIN_WAIT_1);
		break;
	case MR_CLOSE_WAIT:
		c->flags |= MR_CONN_FIN_QUEUED;
		mr_tcp_set_state(t, c, MR_LAST_ACK);
		break;
	case MR_SYN_RECEIVED: /* the application does not know the connection yet, or ... */
		if (!mr_conn_is_early(c))
			return;
		c->flags |= MR_CONN_FIN_QUEUED; /* the FIN waits for ESTABLISHED */
		break;
	case MR_CLOSED:
	case MR_LISTEN:
	case MR_SYN_SENT:
	case MR_FIN_WAIT_1:
	case MR_FIN_WAIT_2:
	case MR_CLOSING:
	case MR_LAST_ACK:
	case MR_TIME_WAIT:
		return;
	}
	mr_tcp_drop_reserved(t, c);
	mr_tcp_want_output(t, c);
}

void mr_tcp_shutdown_receive(struct mr_tcp *t, struct mr_conn *c)
{
	c->flags |= MR_CONN_SHUT_RD;
	mr_tcp_consumed(t, c, c->rx_bytes);
}

void mr_tcp_close_call(struct mr_tcp *t, struct mr_conn *c)
{
	c->flags |= MR_CONN_ORPHAN;
	switch (c->state) {
	case MR_SYN_SENT:
	case MR_SYN_RECEIVED:
		if (mr_conn_is_early(c) && !c->rx_bytes)
			break;
		mr_tcp_abort_call(t, c, MR_CLOSE_ABORTED);
		return;
	case MR_ESTABLISHED:
	case MR_CLOSE_WAIT:
	case MR_FIN_WAIT_1:
	case MR_FIN_WAIT_2:
		if (c->rx_bytes) {
			mr_tcp_abort_call(t, c, MR_CLOSE_UNREAD);
			return;
		}
		break;
	case MR_CLOSING: /* the peer has closed too: nobody is left to be told */
	case MR_LAST_ACK:
	case MR_TIME_WAIT:
		mr_tcp_consumed(t, c, c->rx_bytes);
		break;
	case MR_CLOSED:
	case MR_LISTEN:
		break;
	}
	mr_tcp_shutdown_send(t, c);
	if (c->state == MR_FIN_WAIT_2)
		mr_timer_fin_wait(t, c);
}

void mr_tcp_abort_call(struct mr_tcp *t, struct mr_conn *c, enum mr_close_reason reason)
{
	switch (c->state) {
	case MR_SYN_RECEIVED:
	case MR_ESTABLISHED:
	case MR_FIN_WAIT_1:
	case MR_FIN_WAIT_2:
	case MR_CLOSE_WAIT:
		mr_tcp_send_rst(t, c);
		break;
	case MR_CLOSED:
	case MR_LISTEN:
	case MR_SYN_SENT:
	case MR_CLOSING:
	case MR_LAST_ACK:
	case MR_TIME_WAIT:
		break;
	}
	mr_tcp_close_conn(t, c, reason);
}
