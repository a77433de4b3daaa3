/* SPDX-License-Identifier: MIT */
/* The one place where a connection changes its state (RFC 9293 3.3.2, figure 5). */
#include "user/tcp/internal.h"

const char *mr_tcp_state_name(uint8_t state)
{
	static const char *const names[] = MR_TCP_STATE_NAMES;

	return state < MR_TCP_STATE_COUNT ? names[state] : "?";
}

/* May TCP send an ACK that the peer understands? SYN-SENT and before: no. */
bool mr_conn_is_synchronised(const struct mr_conn *c)
{
	return c->state >= MR_SYN_RECEIVED;
}

void mr_tcp_want_output(struct mr_tcp *t, struct mr_conn *c)
{
	t->ops->ready(t, c);
}

void mr_tcp_set_state(struct mr_tcp *t, struct mr_conn *c, enum mr_tcp_state state)
{
	c->state = (uint8_t)state;
	if (state != MR_CLOSED)
		mr_trace(t, c, MR_TRACE_STATE, 0, 0);
	switch (state) {
	case MR_ESTABLISHED:
		mr_timer_established(t, c);
		t->ops->event(t, c, MR_EVENT_ESTABLISHED);
		break;
	case MR_FIN_WAIT_2:
		mr_timer_fin_wait(t, c);
		break;
	case MR_TIME_WAIT:
		mr_tcp_output(t,
			      c); /* the ACK of the peer's FIN, before the block becomes a record */
		mr_timer_stop_tcp(c);
		t->ops->event(t, c, MR_EVENT_TIME_WAIT);
		break;
	case MR_CLOSED:
		mr_timer_stop_all(c);
		t->ops->event(t, c, MR_EVENT_CLOSED);
		break;
	case MR_LISTEN:
	case MR_SYN_SENT:
	case MR_SYN_RECEIVED:
	case MR_FIN_WAIT_1:
	case MR_CLOSE_WAIT:
	case MR_CLOSING:
	case MR_LAST_ACK:
		break;
	}
}

/* "Enter the CLOSED state, delete the TCB, and return": all queues are flushed. */
void mr_tcp_close_conn(struct mr_tcp *t, struct mr_conn *c, enum mr_close_reason reason)
{
	if (c->close_reason == MR_CLOSE_NONE)
		c->close_reason = (uint8_t)reason;
	mr_trace(t, c, MR_TRACE_CLOSED, c->close_reason, 0);
	mr_tcp_drop_sent(t, c);
	mr_tcp_drop_received(t, c);
	mr_tcp_set_state(t, c, MR_CLOSED);
}
