// SPDX-License-Identifier: MIT
/* TCP_INFO of a socket, from its connection block. */
#include "tests/script/so/so.h"

#include <linux/tcp.h>
#include <string.h>

#include "user/lane/internal.h"
#include "user/tcp/internal.h"

enum {
	LINUX_CLOSE = 7, /* enum of include/net/tcp_states.h */
	LINUX_LISTEN = 10,
	CA_OPEN = 0,
	CA_DISORDER = 1,
	CA_RECOVERY = 3,
	CA_LOSS = 4,
	LINUX_INFINITE_SSTHRESH = 0x7fffffff,
};

static uint8_t linux_state(const struct so_sock *k, const struct mr_conn *c)
{
	static const uint8_t states[MR_TCP_STATE_COUNT] = {
		[MR_CLOSED] = LINUX_CLOSE, [MR_LISTEN] = LINUX_LISTEN, [MR_SYN_SENT] = 2,
		[MR_SYN_RECEIVED] = 3,	   [MR_ESTABLISHED] = 1,       [MR_FIN_WAIT_1] = 4,
		[MR_FIN_WAIT_2] = 5,	   [MR_CLOSE_WAIT] = 8,	       [MR_CLOSING] = 11,
		[MR_LAST_ACK] = 9,	   [MR_TIME_WAIT] = 6,
	};

	if (k->kind == SO_LISTENING)
		return LINUX_LISTEN;
	return c && c->state < MR_TCP_STATE_COUNT ? states[c->state] : LINUX_CLOSE;
}

static uint8_t ca_state(const struct mr_conn *c)
{
	if (c->flags & MR_CONN_RTO_RECOVERY)
		return CA_LOSS;
	if (c->flags & MR_CONN_RECOVERY)
		return CA_RECOVERY;
	return c->dupacks ? CA_DISORDER : CA_OPEN;
}

static uint8_t info_options(const struct so_sock *k, const struct mr_conn *c)
{
	return (uint8_t)((k->syn_text ? TCPI_OPT_SYN_DATA : 0) |
			 (c->flags & MR_CONN_ECN ? TCPI_OPT_ECN : 0) |
			 (c->flags & MR_CONN_TIMESTAMPS ? TCPI_OPT_TIMESTAMPS : 0) |
			 (c->flags & MR_CONN_SACK ? TCPI_OPT_SACK : 0) |
			 (c->flags & MR_CONN_WINDOW_SCALE ? TCPI_OPT_WSCALE : 0));
}

static uint32_t queued_frames(const struct so *s, uint32_t head)
{
	uint32_t n = 0;

	for (uint32_t i = head; i != MR_NONE; i = s->lane->frames.record[i].next)
		n++;
	return n;
}

static uint32_t ms_since(const struct so *s, uint64_t then)
{
	return (uint32_t)((so_now(s) - then) / SO_MS);
}

/* What of the queue was sent: reported, lost, sent again and still on its way; in segments. */
static void count_sent(const struct so *s, const struct mr_conn *c, struct tcp_info *info)
{
	const struct mr_frame *record = s->lane->frames.record;
	bool again;

	for (uint32_t i = c->tx_head; i != MR_NONE && i != c->tx_next; i = record[i].next) {
		info->tcpi_unacked++;
		info->tcpi_sacked += !!(record[i].marks & MR_FRAME_SACKED);
		if (record[i].marks & MR_FRAME_SACKED)
			continue;
		again = record[i].sends > 1 && !(record[i].marks & MR_FRAME_LOST);
		info->tcpi_retrans += again;
		/* Linux counts a lost segment as such until it is there, sent again or not */
		info->tcpi_lost += again || record[i].marks & MR_FRAME_LOST;
	}
	if (c->flags & MR_CONN_FIN_SENT && !mr_conn_fin_is_acked(c))
		info->tcpi_unacked++;
}

static void info_times(const struct so *s, const struct so_sock *k, struct tcp_info *info)
{
	info->tcpi_last_data_sent = ms_since(s, k->text_out_ns);
	info->tcpi_last_data_recv = ms_since(s, k->text_in_ns);
	info->tcpi_last_ack_recv = ms_since(s, k->ack_in_ns);
	info->tcpi_busy_time = k->spent_ns[SO_BUSY] + k->spent_ns[SO_WINDOW] + k->spent_ns[SO_ROOM];
	info->tcpi_busy_time /= SO_US;
	info->tcpi_rwnd_limited = k->spent_ns[SO_WINDOW] / SO_US;
	info->tcpi_sndbuf_limited = k->spent_ns[SO_ROOM] / SO_US;
}

/* What a sender's time goes into, as Linux's enum tcp_chrono. */
static enum so_spent spent_on(const struct so *s, const struct so_sock *k, struct mr_conn *c)
{
	uint32_t flight = mr_conn_flight(&s->lane->tcp, c);

	if (c->tx_next != MR_NONE &&
	    c->snd_wnd < flight + min_u32(c->tx_bytes - flight, c->snd_mss) && c->snd_wnd < c->cwnd)
		return SO_WINDOW;
	if (c->tx_next == MR_NONE && k->no_space)
		return SO_ROOM;
	return c->tx_bytes ? SO_BUSY : SO_IDLE;
}

void so_info_look(struct so *s, struct so_sock *k, struct mr_conn *c)
{
	uint64_t now = so_now(s);

	if (!k->looked_ns) /* established */
		k->text_out_ns = k->text_in_ns = k->ack_in_ns = now;
	else
		k->spent_ns[k->spends] += now - k->looked_ns;
	k->looked_ns = now;
	k->spends = spent_on(s, k, c);
	if (c->snd_nxt != k->seen_snd_nxt)
		k->text_out_ns = now;
	if (c->snd_una != k->seen_snd_una)
		k->ack_in_ns = now;
	if (c->rcv_nxt != k->seen_rcv_nxt)
		k->text_in_ns = now;
	k->seen_snd_nxt = c->snd_nxt;
	k->seen_snd_una = c->snd_una;
}

/* RFC 9768: as long as the connection lives. */
static void info_accurate(const struct so *s, const struct mr_conn *c, struct so_tcp_info *info)
{
	const struct mr_accurate *a = mr_accurate_of(&s->lane->tcp, c);

	if (!a)
		return;
	info->known.tcpi_delivered_ce = a->delivered_ce;
	info->received_ce = a->received_ce;
	memcpy(info->delivered_bytes, a->delivered, sizeof(info->delivered_bytes));
	memcpy(info->received_bytes, a->received, sizeof(info->received_bytes));
}

static void info_known(struct so *s, const struct so_sock *k, struct tcp_info *info)
{
	struct mr_conn *c = so_conn_of(s, k);
	const struct mr_conn *b = c ? c : &k->last;
	uint32_t flight = c ? mr_conn_flight(&s->lane->tcp, c) : 0;

	info->tcpi_state = linux_state(k, c);
	if (k->kind == SO_LISTENING) {
		info->tcpi_unacked = k->n_queue;
		info->tcpi_sacked = k->backlog;
	}
	if (!c && k->kind != SO_DEAD)
		return;
	info->tcpi_ca_state = ca_state(b);
	info->tcpi_retransmits = b->backoff;
	info->tcpi_backoff = b->backoff;
	info->tcpi_probes = b->probes;
	info->tcpi_options = info_options(k, b);
	info->tcpi_snd_wscale = b->snd_shift & 0xf;
	info->tcpi_rcv_wscale = b->rcv_shift & 0xf;
	info->tcpi_rto = mr_rto_backed_off(b) * 1000;
	info->tcpi_ato = s->config.delayed_ack_ms * 1000;
	info->tcpi_snd_mss = b->snd_mss;
	info->tcpi_rcv_mss = b->rcv_mss;
	info->tcpi_rtt = b->srtt_us / 8;
	info->tcpi_rttvar = b->rttvar_us / 4;
	info->tcpi_snd_ssthresh = b->ssthresh == UINT32_MAX ? LINUX_INFINITE_SSTHRESH
							    : b->ssthresh / (b->snd_mss ?: 1);
	info->tcpi_snd_cwnd = b->snd_mss ? b->cwnd / b->snd_mss : 0;
	info->tcpi_advmss = s->config.mtu - (mr_is_ipv4(b->remote) ? 40 : 60);
	info->tcpi_pmtu = s->config.mtu;
	info->tcpi_reordering = MR_DUPACKS;
	info->tcpi_rcv_space = b->rcv_wnd;
	info->tcpi_total_retrans = b->retransmits;
	info->tcpi_bytes_acked = b->snd_una - b->iss - 1;
	info->tcpi_bytes_received = b->rcv_nxt - b->irs - 1;
	if (!c)
		return;
	so_info_look(s, (struct so_sock *)(uintptr_t)k, c);
	info_times(s, k, info);
	count_sent(s, c, info);
	info->tcpi_min_rtt = mr_active_peek(s->lane->tcp.actives, c)
				     ? mr_active_peek(s->lane->tcp.actives, c)->min_rtt_us
				     : 0;
	info->tcpi_delivery_rate_app_limited = c->tx_next == MR_NONE;
	info->tcpi_snd_wnd = c->snd_wnd;
	info->tcpi_notsent_bytes = c->tx_bytes > flight ? c->tx_bytes - flight : 0;
	info->tcpi_rcv_ooopack = queued_frames(s, c->ooo_head);
}

void so_info(struct so *s, const struct so_sock *k, struct so_tcp_info *info)
{
	const struct mr_conn *c = so_conn_of(s, k);

	memset(info, 0, sizeof(*info));
	info_known(s, k, &info->known);
	if (!c)
		return;
	info->rcv_wnd = c->rcv_wnd;
	info_accurate(s, c, info);
}
