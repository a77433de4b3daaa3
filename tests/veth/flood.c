/* SPDX-License-Identifier: MIT */
/*
 * A flood of SYNs from random sources, as fast as one process can: IPv4 and IPv6 in turn, with
 * the options of an ordinary host and right checksums, by sendmmsg() past the queueing discipline.
 *
 *	flood INTERFACE MAC ADDRESS4 ADDRESS6 PORT MILLISECONDS
 *
 * Prints how many were sent.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

enum {
	BATCH = 64,
	TCP_BYTES = 40,
	FRAME_BYTES = 14 + 40 + TCP_BYTES,
};

struct flood {
	int fd;
	uint8_t mac[12]; /* to, from */
	uint8_t to4[4], to6[16];
	uint16_t port;
	uint64_t random;
};

static uint64_t next_random(struct flood *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random;
}

static uint32_t sum(const uint8_t *p, size_t n, uint32_t s)
{
	for (size_t i = 0; i < n; i += 2)
		s += (uint32_t)(p[i] << 8 | p[i + 1]);
	return s;
}

static void put_sum(uint8_t *at, uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	at[0] = (uint8_t)(~s >> 8);
	at[1] = (uint8_t)~s;
}

/* @addresses: source and destination in the IP header, @n bytes */
static void put_tcp(struct flood *f, uint8_t *tcp, const uint8_t *addresses, size_t n)
{
	static const uint8_t options[] = { 2, 4, 5, 180, 4, 2, 8, 10, 0, 0,
					   0, 1, 0, 0,	 0, 0, 1, 3,  3, 7 };
	uint64_t r = next_random(f);

	memset(tcp, 0, 20);
	memcpy(tcp, &r, 2); /* port */
	tcp[0] |= 0x80;
	tcp[2] = (uint8_t)(f->port >> 8);
	tcp[3] = (uint8_t)f->port;
	memcpy(tcp + 4, (uint8_t *)&r + 2, 4); /* sequence number */
	tcp[12] = 10 << 4;
	tcp[13] = 2;
	tcp[14] = 0x40;
	memcpy(tcp + 20, options, sizeof(options));
	put_sum(tcp + 16, sum(addresses, n, sum(tcp, TCP_BYTES, 6 + TCP_BYTES)));
}

static size_t make_ipv4(struct flood *f, uint8_t *p)
{
	const uint8_t ip[20] = { 0x45, 0, 0, 20 + TCP_BYTES, 0, 0, 0x40, 0, 64, 6 };
	uint64_t r = next_random(f);

	p[12] = 8;
	p[13] = 0;
	memcpy(p + 14, ip, sizeof(ip));
	p[26] = 198; /* RFC 2544: 198.18.0.0/15 */
	p[27] = 18 + (r & 1);
	p[28] = (uint8_t)(r >> 8);
	p[29] = (uint8_t)(r >> 16);
	memcpy(p + 30, f->to4, 4);
	put_sum(p + 24, sum(p + 14, 20, 0));
	put_tcp(f, p + 34, p + 26, 8);
	return 34 + TCP_BYTES;
}

static size_t make_ipv6(struct flood *f, uint8_t *p)
{
	const uint8_t ip[8] = { 0x60, 0, 0, 0, 0, TCP_BYTES, 6, 64 };
	uint64_t r = next_random(f);

	p[12] = 0x86;
	p[13] = 0xdd;
	memcpy(p + 14, ip, sizeof(ip));
	memcpy(p + 22, "\x20\x01\x0d\xb8\xff\xff\0\0", 8);
	memcpy(p + 30, &r, 8);
	memcpy(p + 38, f->to6, 16);
	put_tcp(f, p + 54, p + 22, 32);
	return 54 + TCP_BYTES;
}

static long flood(struct flood *f, long ms)
{
	static uint8_t frame[BATCH][FRAME_BYTES];
	struct mmsghdr m[BATCH] = { 0 };
	struct iovec iov[BATCH];
	struct timespec start, now;
	long sent = 0;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		int n;

		for (int i = 0; i < BATCH; i++) {
			memcpy(frame[i], f->mac, sizeof(f->mac));
			iov[i].iov_base = frame[i];
			iov[i].iov_len = i & 1 ? make_ipv6(f, frame[i]) : make_ipv4(f, frame[i]);
			m[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		}
		n = sendmmsg(f->fd, m, BATCH, 0);
		sent += n > 0 ? n : 0;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
	return sent;
}

static int open_socket(struct flood *f, const char *interface)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_ifindex = (int)if_nametoindex(interface) };
	struct ifreq ifr = { 0 };
	int one = 1;

	f->fd = socket(AF_PACKET, SOCK_RAW, 0);
	strncpy(ifr.ifr_name, interface, sizeof(ifr.ifr_name) - 1);
	if (f->fd < 0 || ioctl(f->fd, SIOCGIFHWADDR, &ifr) < 0)
		return -1;
	memcpy(f->mac + 6, ifr.ifr_hwaddr.sa_data, 6);
	setsockopt(f->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	return bind(f->fd, (struct sockaddr *)&a, sizeof(a));
}

int main(int argc, char *argv[])
{
	struct flood f = { .random = 88172645463325252ull };

	if (argc != 7 || open_socket(&f, argv[1]) < 0 ||
	    sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &f.mac[0], &f.mac[1], &f.mac[2],
		   &f.mac[3], &f.mac[4], &f.mac[5]) != 6 ||
	    inet_pton(AF_INET, argv[3], f.to4) != 1 || inet_pton(AF_INET6, argv[4], f.to6) != 1) {
		perror("flood");
		return 1;
	}
	f.port = (uint16_t)atoi(argv[5]);
	printf("%ld\n", flood(&f, atol(argv[6])));
	return 0;
}
