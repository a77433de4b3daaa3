/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/*
 * The SYN cookie, for the lanes that make and check it (user/tcp/cookies.c, which says how it is
 * built) and the XDP program that makes it for them (bpf/cookie.h).
 */
#ifndef MR_COOKIE_H
#define MR_COOKIE_H

/*
 * The most that a peer is sent: the default, tunnels, PPPoE and Ethernet, jumbo frames. The lowest
 * is the least that is ever sent (see mr_tcp_set_mss()), so nobody gets more than it asked for.
 */
#define MR_COOKIE_MSS_IPV4(M) M(64) M(536) M(1200) M(1360) M(1400) M(1440) M(1460) M(8960)
#define MR_COOKIE_MSS_IPV6(M) M(64) M(1220) M(1280) M(1340) M(1380) M(1420) M(1440) M(8940)

enum {
	MR_COOKIE_MINUTE_US = 60000000,
	MR_COOKIE_DATA_BITS = 24,
	MR_COOKIE_DATA_MASK = (1 << MR_COOKIE_DATA_BITS) - 1,

	/* in the lowest bits of the timestamp that the peer echoes */
	MR_COOKIE_TS_SHIFT_NONE = 0xf, /* the peer's window shift: none */
	MR_COOKIE_TS_SACK = 1 << 4,
	MR_COOKIE_TS_BITS = 6,
	MR_COOKIE_TS_MASK = (1 << MR_COOKIE_TS_BITS) - 1,
};

#endif
