/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/*
 * One line is one verdict of the XDP program: its name, what XDP does with the
 * frame, and the words that the tools print. BPF and user space read the same
 * table, so a counter can never lose its meaning. Append only: the number of a
 * verdict is its key in the map mr1_verdict; the first ones filled it, the others stand in
 * mr1_verdict2, so that a map that was pinned once is taken over for ever.
 *
 * Whatever cannot be parsed is passed: the kernel has counters of its own for
 * it, and a program with empty maps must be harmless.
 */
#ifndef MR_VERDICT_H
#define MR_VERDICT_H

#define MR_VERDICTS(V)                                                                             \
	V(TAKE, XDP_REDIRECT, "taken by the fast path")                                            \
	V(TAKE_ACTIVE, XDP_REDIRECT, "taken: reply to a connection that a lane opened")            \
	V(TAKE_ICMP, XDP_REDIRECT, "taken: ICMP error about a steered flow")                       \
	V(TAKE_STALE, XDP_REDIRECT, "taken though the lane's heartbeat is stale")                  \
	V(NO_INTERFACE, XDP_PASS, "interface has no lanes, left to the kernel")                    \
	V(NO_RULES, XDP_PASS, "no rules in force, left to the kernel")                             \
	V(NO_RULE, XDP_PASS, "no rule names it, left to the kernel")                               \
	V(RULE_PASS, XDP_PASS, "a rule leaves it to the kernel")                                   \
	V(RULE_DROP, XDP_DROP, "a rule drops it")                                                  \
	V(NO_QUEUE, XDP_PASS, "receive queue without a lane, left to the kernel")                  \
	V(NO_SOCKET, XDP_PASS, "lane without a socket, left to the kernel")                        \
	V(STALE_NEW, XDP_PASS, "lane stale: new connection left to the kernel")                    \
	V(KERNEL_FLOW, XDP_PASS, "flow that the kernel took over while a lane was stale")          \
	V(GONE, XDP_PASS, "lane gone: left to the kernel")                                         \
	V(ETH_SHORT, XDP_PASS, "frame ends in the Ethernet header, left to the kernel")            \
	V(VLAN_SHORT, XDP_PASS, "frame ends in a VLAN tag, left to the kernel")                    \
	V(VLAN_DEEP, XDP_PASS, "more than two VLAN tags, left to the kernel")                      \
	V(NOT_IP, XDP_PASS, "neither IPv4 nor IPv6, left to the kernel")                           \
	V(IPV4_SHORT, XDP_PASS, "frame ends in the IPv4 header, left to the kernel")               \
	V(IPV4_BAD, XDP_PASS, "IPv4 header with impossible lengths, left to the kernel")           \
	V(IPV6_SHORT, XDP_PASS, "frame ends in the IPv6 header, left to the kernel")               \
	V(IPV6_BAD, XDP_PASS, "IPv6 header with impossible lengths, left to the kernel")           \
	V(IPV6_EXT_SHORT, XDP_PASS, "frame ends in an IPv6 extension header, left to the kernel")  \
	V(IPV6_EXT_DEEP, XDP_PASS, "too many IPv6 extension headers, left to the kernel")          \
	V(FRAGMENT, XDP_PASS, "fragment, left to the kernel")                                      \
	V(FRAGMENT_STEERED, XDP_DROP, "first fragment of a steered flow, dropped")                 \
	V(NOT_L4, XDP_PASS, "neither TCP, UDP nor an ICMP error, left to the kernel")              \
	V(TCP_SHORT, XDP_PASS, "frame ends in the TCP header, left to the kernel")                 \
	V(TCP_BAD, XDP_PASS, "TCP header with an impossible length, left to the kernel")           \
	V(UDP_SHORT, XDP_PASS, "frame ends in the UDP header, left to the kernel")                 \
	V(ICMP_SHORT, XDP_PASS, "ICMP error that quotes too little, left to the kernel")           \
	V(ICMP_OTHER, XDP_PASS, "ICMP that is no error about a steered flow, left to the kernel")  \
	V(GUARD_BLOCK, XDP_DROP, "source is on a block list")                                      \
	V(GUARD_SOURCE, XDP_DROP, "source is over its limit")                                      \
	V(GUARD_RULE, XDP_DROP, "more than the limit of its rule")                                 \
	V(SYN_COOKIE, XDP_TX, "SYN answered by a cookie, lane busy with SYNs")                     \
	V(SYN_ODD, XDP_DROP, "SYN with IP options or extension headers, lane busy with SYNs")      \
	V(SOURCE_FULL, XDP_DROP, "SYN of a source with as many connections as it may have")

enum mr_verdict {
#define V(name, action, text) MR_V_##name,
	MR_VERDICTS(V)
#undef V
		MR_VERDICT_COUNT
};

enum {
	MR_VERDICTS_FIRST = 32,
	MR_VERDICTS_SECOND = 32,
};

#endif
