/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/*
 * What a lane counts, and the words for it. One line of a table is a field of
 * struct mr_lane_stats (value of the map mr1_lane), a line of `millrace stats`
 * and a Prometheus metric. The lane writes the record as plain memory; bpftool
 * and the daemon read it. Append only.
 *
 * Includes nothing: define __u8 .. __u64 first.
 */
#ifndef MR_LANE_H
#define MR_LANE_H

/* Events. */
#define MR_LANE_COUNTERS(C)                                                                        \
	C(turns, "turns of the lane that found work")                                              \
	C(sleeps, "times the lane slept in poll")                                                  \
	C(rx_frames, "frames received")                                                            \
	C(rx_bytes, "bytes received, with headers")                                                \
	C(tx_frames, "frames given to the transmit ring")                                          \
	C(tx_bytes, "bytes given to the transmit ring, with headers")                              \
	C(tx_kicks, "system calls that started transmission")                                      \
	C(tx_ring_full, "segments that had to wait for room in the transmit ring")                 \
	C(fill_empty, "refills that found no free frame")                                          \
	C(segments_in, "TCP segments accepted for a connection")                                   \
	C(segments_out, "TCP segments sent")                                                       \
	C(resets_in, "connections reset by the peer")                                              \
	C(resets_out, "RST segments sent")                                                         \
	C(retransmits, "TCP segments sent again")                                                  \
	C(retransmit_timeouts, "retransmission timeouts")                                          \
	C(fast_retransmits, "fast retransmits")                                                    \
	C(window_probes, "zero-window probes sent")                                                \
	C(keepalive_probes, "keepalive probes sent")                                               \
	C(challenge_acks, "challenge ACKs sent")                                                   \
	C(out_of_order, "segments that arrived out of order")                                      \
	C(duplicates, "segments without new data")                                                 \
	C(delayed_acks, "ACKs sent by the delayed-ACK timer")                                      \
	C(syns_in, "SYN segments for a listener")                                                  \
	C(passive_opens, "connections opened by a peer")                                           \
	C(active_opens, "connections opened by an application")                                    \
	C(closes, "connections that ended")                                                        \
	C(half_open_expired, "half-open connections that timed out")                               \
	C(accept_overflow, "SYN or final ACK left unanswered because the accept queue was full")   \
	C(messages_in, "TLV messages given to applications")                                       \
	C(messages_out, "TLV messages queued by applications")                                     \
	C(messages_spanning, "TLV messages that were linearised")                                  \
	C(app_bytes_in, "payload bytes given to applications")                                     \
	C(app_bytes_out, "payload bytes queued by applications")                                   \
	C(pings_in, "heartbeat pings received")                                                    \
	C(pings_out, "heartbeat pings sent")                                                       \
	C(pongs_in, "heartbeat pongs received")                                                    \
	C(pongs_out, "heartbeat pongs sent")                                                       \
	C(callbacks, "application callbacks")                                                      \
	C(callbacks_slow, "application callbacks over 1 ms")                                       \
	C(mail_out, "frames handed to another lane")                                               \
	C(mail_in, "frames handed over by another lane")                                           \
	C(icmp_errors, "ICMP errors about connections of this lane")                               \
	C(paths_asked, "paths asked from the daemon")                                              \
	C(timer_expiries, "timers that fired")                                                     \
	C(xsk_rx_dropped, "XDP_STATISTICS: frames dropped on receive")                             \
	C(xsk_rx_invalid, "XDP_STATISTICS: invalid receive descriptors")                           \
	C(xsk_tx_invalid, "XDP_STATISTICS: invalid transmit descriptors")                          \
	C(xsk_rx_ring_full, "XDP_STATISTICS: receive ring full")                                   \
	C(xsk_fill_empty, "XDP_STATISTICS: fill ring empty")                                       \
	C(xsk_tx_empty, "XDP_STATISTICS: transmit ring empty")                                     \
	C(sacks_in, "segments with SACK blocks received")                                          \
	C(dsacks_in, "duplicates that peers reported by DSACK")                                    \
	C(rack_losses, "segments taken for lost by RACK")                                          \
	C(tlp_probes, "tail loss probes sent")                                                     \
	C(tlp_losses, "losses that a tail loss probe had repaired")                                \
	C(spurious_recoveries, "window reductions undone: nothing had been lost")                  \
	C(frto_spurious, "timeouts that F-RTO found to be spurious")                               \
	C(sack_reneges, "peers that dropped what they had reported by SACK")                       \
	C(ooo_pruned, "out-of-order frames dropped for earlier text")                              \
	C(cookies_sent, "SYN-ACKs sent with a SYN cookie")                                         \
	C(cookies_accepted, "connections opened by the ACK of a SYN cookie")                       \
	C(cookies_failed, "ACKs for a listener with a wrong or old SYN cookie")                    \
	C(accept_resets, "final ACKs answered by RST because the accept queue was full")           \
	C(fast_opens_in, "SYNs whose text was taken (TCP Fast Open)")                              \
	C(fast_opens_out, "SYNs sent with text (TCP Fast Open)")                                   \
	C(fast_open_fallbacks, "SYNs sent with text that the peer did not take")                   \
	C(fast_open_overflow, "SYNs whose text was not taken: too many requests pending")          \
	C(acks_limited, "ACKs not sent: the connection had answered such a segment just before")   \
	C(mtu_lowered, "connections whose segments became smaller")                                \
	C(mtu_probes, "larger segments sent to probe the path")                                    \
	C(mtu_probes_lost, "probes that were lost")                                                \
	C(black_holes, "connections whose full segments never arrived")                            \
	C(taken_over, "connections that went on with a new worker")                                \
	C(rebuild_us, "time that new workers took to rebuild what they took over")

/* Levels, now. */
#define MR_LANE_GAUGES(C)                                                                          \
	C(connections, "connections that stand")                                                   \
	C(half_open, "half-open connections")                                                      \
	C(time_wait, "connections in TIME-WAIT")                                                   \
	C(accept_queue, "connections that wait for accept")                                        \
	C(message_bytes, "bytes of the message store in use")                                      \
	C(listeners, "listening ports")

/* Why a frame or a segment was dropped; each ends there and nowhere else. */
#define MR_DROPS(D)                                                                                \
	D(ETH_SHORT, eth_short, "frame ends in the Ethernet or VLAN header")                       \
	D(NOT_IP, not_ip, "neither IPv4 nor IPv6")                                                 \
	D(IP_SHORT, ip_short, "frame ends in the IP header")                                       \
	D(IP_BAD, ip_bad, "IP header with impossible lengths or version")                          \
	D(IP_CHECKSUM, ip_checksum, "wrong IPv4 header checksum")                                  \
	D(IP_FRAGMENT, ip_fragment, "fragment")                                                    \
	D(IP_SOURCE, ip_source, "source address that nobody may have")                             \
	D(IP_DESTINATION, ip_destination, "destination is broadcast or multicast")                 \
	D(NOT_TCP, not_tcp, "neither TCP nor an ICMP error")                                       \
	D(TCP_SHORT, tcp_short, "frame ends in the TCP header")                                    \
	D(TCP_BAD, tcp_bad, "TCP data offset below 5 or beyond the segment")                       \
	D(TCP_CHECKSUM, tcp_checksum, "wrong TCP checksum")                                        \
	D(TCP_OPTIONS, tcp_options, "malformed TCP options")                                       \
	D(TCP_FLAGS, tcp_flags, "impossible combination of TCP flags")                             \
	D(TCP_SEQUENCE, tcp_sequence, "outside the receive window")                                \
	D(TCP_PAWS, tcp_paws, "timestamp from the past (PAWS)")                                    \
	D(TCP_ACK, tcp_ack, "acknowledges what was never sent, or too old")                        \
	D(TCP_NO_ACK, tcp_no_ack, "no ACK bit on a synchronised connection")                       \
	D(TCP_NO_CONNECTION, tcp_no_connection, "no connection and no listener: answered by RST")  \
	D(TCP_RST_UNKNOWN, tcp_rst_unknown, "RST for no connection")                               \
	D(TCP_AFTER_SHUTDOWN, tcp_after_shutdown, "data after the application shut reading down")  \
	D(ICMP_BAD, icmp_bad, "ICMP error that quotes too little or has a wrong checksum")         \
	D(ICMP_UNKNOWN, icmp_unknown, "ICMP error about no connection of ours")                    \
	D(HALF_OPEN_FULL, half_open_full, "half-open table full")                                  \
	D(ACCEPT_FULL, accept_full, "accept queue full")                                           \
	D(NO_CONN, no_conn, "no free connection block")                                            \
	D(NO_FRAME, no_frame, "no free frame")                                                     \
	D(OOO_LIMIT, ooo_limit, "out-of-order data beyond the frames a connection may hold")       \
	D(RX_LIMIT, rx_limit, "data beyond what may be buffered")                                  \
	D(MAIL_FULL, mail_full, "mailbox of the other lane full")                                  \
	D(MAIL_HOPS, mail_hops, "handed over and still nobody's")                                  \
	D(FRAME_BAD, frame_bad, "receive descriptor outside the frame area")                       \
	D(SOURCE_LIMIT, source_limit, "source has as many connections as it may")                  \
	D(TCP_LATE, tcp_late, "of a connection that ended in order a moment ago, with other lanes")

/* How a connection ended. The first column's text is for people, errno as kernel sockets report. */
#define MR_CLOSE_REASONS(R)                                                                        \
	R(NONE, none, 0, "not closed")                                                             \
	R(DONE, done, 0, "both sides closed")                                                      \
	R(RESET_BY_PEER, reset_by_peer, ECONNRESET, "reset by the peer")                           \
	R(REFUSED, refused, ECONNREFUSED, "connection refused")                                    \
	R(ABORTED, aborted, ECONNABORTED, "aborted by the application")                            \
	R(UNREAD, unread, ECONNABORTED, "closed with unread bytes")                                \
	R(TIMEOUT, timeout, ETIMEDOUT, "retransmissions unanswered")                               \
	R(USER_TIMEOUT, user_timeout, ETIMEDOUT, "user timeout")                                   \
	R(KEEPALIVE, keepalive, ETIMEDOUT, "keepalive probes unanswered")                          \
	R(OPEN_TIMEOUT, open_timeout, ETIMEDOUT, "handshake unanswered")                           \
	R(UNREACHABLE, unreachable, EHOSTUNREACH, "no path to the peer")                           \
	R(NO_PORT, no_port, EADDRNOTAVAIL, "no port for an active open")                           \
	R(FIN_WAIT, fin_wait, ETIMEDOUT, "peer never closed after we did")                         \
	R(TLV_TOO_LONG, tlv_too_long, EMSGSIZE, "TLV length over the limit")                       \
	R(TLV_BAD, tlv_bad, EBADMSG, "malformed TLV")                                              \
	R(TLV_MEMORY, tlv_memory, ENOBUFS, "no memory for a TLV over several segments")            \
	R(TLV_CUT, tlv_cut, EBADMSG, "peer closed within a TLV")                                   \
	R(HEARTBEAT_IDLE, heartbeat_idle, ETIMEDOUT, "heartbeat: idle limit")                      \
	R(HEARTBEAT_PARTIAL, heartbeat_partial, ETIMEDOUT, "heartbeat: message not completed")     \
	R(HEARTBEAT_PONG, heartbeat_pong, ETIMEDOUT, "heartbeat: no pong")                         \
	R(HEARTBEAT_HANDLER, heartbeat_handler, EBUSY, "heartbeat: handler blocked")               \
	R(HEARTBEAT_SEND, heartbeat_send, ETIMEDOUT, "heartbeat: peer does not read")              \
	R(WORKER_DIED, worker_died, ECONNRESET, "worker replaced")                                 \
	R(SHUTDOWN, shutdown, ECONNABORTED, "lane stopped")                                        \
	R(TLV_CHECK, tlv_check, EBADMSG, "wrong checksum of a TLV")

/* Where a frame is. */
#define MR_FRAME_STATES(F)                                                                         \
	F(FREE, free, "free")                                                                      \
	F(FILL, fill, "posted for receiving, or just received")                                    \
	F(HAND, hand, "in hand in this turn")                                                      \
	F(RX, rx, "received, not yet consumed")                                                    \
	F(OOO, ooo, "received out of order")                                                       \
	F(TX, tx, "queued, not yet sent")                                                          \
	F(SENT, sent, "sent, not yet acknowledged")                                                \
	F(CTL, ctl, "control segment with the kernel")

enum mr_drop {
#define D(name, field, text) MR_DROP_##name,
	MR_DROPS(D)
#undef D
		MR_DROP_COUNT,
	MR_DROP_NONE = -1,
};

enum mr_close_reason {
#define R(name, field, error, text) MR_CLOSE_##name,
	MR_CLOSE_REASONS(R)
#undef R
		MR_CLOSE_REASON_COUNT
};

enum mr_frame_state {
#define F(name, field, text) MR_FRAME_##name,
	MR_FRAME_STATES(F)
#undef F
		MR_FRAME_STATE_COUNT
};

enum {
	MR_CALLBACK_BUCKETS =
		24,	   /* bucket i: 2^i to 2^(i+1) - 1 ns spent in a callback; last: more */
	MR_LANE_APPS = 16, /* applications with slow-call counters of their own */
};

enum mr_lane_state {
	MR_LANE_OFF = 0,
	MR_LANE_STARTING = 1,
	MR_LANE_SERVING = 2,
	MR_LANE_STOPPING = 3,
};

/* Value of the map mr1_lane, key: slot. Written by the lane alone. */
struct mr_lane_stats {
	__u32 state; /* enum mr_lane_state */
	__u32 epoch; /* worker generation */
	__u64 started_ns;
#define C(field, text) __u64 field;
	MR_LANE_COUNTERS(C)
	MR_LANE_GAUGES(C)
#undef C
	struct {
#define D(name, field, text) __u64 field;
		MR_DROPS(D)
#undef D
	} drop;
	struct {
#define R(name, field, error, text) __u64 field;
		MR_CLOSE_REASONS(R)
#undef R
	} closed;
	struct {
#define F(name, field, text) __u64 field;
		MR_FRAME_STATES(F)
#undef F
	} frames;
	__u64 callback_ns[MR_CALLBACK_BUCKETS];
	__u64 app_slow[MR_LANE_APPS]; /* calls over 1 ms by application index */
};

#endif
