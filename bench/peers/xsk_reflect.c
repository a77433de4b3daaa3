// SPDX-License-Identifier: MIT
/*
 * xsk-reflect: the floor of the benchmarks. Every frame that comes to the port goes back on the
 * same queue: addresses and ports swapped in place, nothing parsed beyond what that needs, nothing
 * kept, nothing copied. No server on this link can be quicker.
 *
 * --answer: so that a client with TCP can be pointed at it, sequence and acknowledgment number are
 * swapped as well, and moved on by the segment's text; a SYN is answered by a SYN-ACK, what has no
 * text is dropped. That is a TCP echo without any state: it holds no byte and repeats none, it
 * works because the client does. The checksum is moved by what the numbers moved.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "bench/xsk.h"

enum {
	FRAMES = 65536,
	FRAME_BYTES = 2048,
	RING = 16384, /* more than connections: nothing is lost here */
	BURST = 64,
	EXIT_USAGE = 2,
};

struct reflector {
	struct bench_xsk xsk;
	uint8_t *frames;
	uint64_t free[FRAMES];
	uint32_t n_free;
	struct mr_span out[RING];
	uint32_t n_out;
	bool answer;
	uint64_t gather_ns, busy_ns;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	stop = sig;
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ----- frames ----- */

static void swap_mac(struct ethhdr *eth)
{
	uint8_t mac[ETH_ALEN];

	memcpy(mac, eth->h_dest, sizeof(mac));
	memcpy(eth->h_dest, eth->h_source, sizeof(mac));
	memcpy(eth->h_source, mac, sizeof(mac));
}

static void swap_ends(struct iphdr *ip, struct tcphdr *tcp)
{
	uint32_t addr = ip->saddr;
	uint16_t port = tcp->source;

	ip->saddr = ip->daddr;
	ip->daddr = addr;
	tcp->source = tcp->dest;
	tcp->dest = port;
}

/* RFC 1624: the checksum after 32 bits changed. */
static void move_checksum(struct tcphdr *tcp, uint32_t from, uint32_t to)
{
	uint32_t sum = (uint16_t)~tcp->check;

	sum += (uint16_t) ~(from & 0xffff) + (uint32_t)(uint16_t) ~(from >> 16);
	sum += (to & 0xffff) + (to >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	tcp->check = (uint16_t)~sum;
}

static void set_flags(struct tcphdr *tcp, bool syn)
{
	uint32_t *word = (uint32_t *)(void *)&tcp->ack_seq + 1, before = *word;

	tcp->syn = syn;
	tcp->ack = 1;
	move_checksum(tcp, before, *word);
}

/* Timestamps change places like addresses: ours is what the client last echoed, which began as 0.
 */
static void swap_timestamps(struct tcphdr *tcp, const uint8_t *end)
{
	uint8_t *p = (uint8_t *)(tcp + 1), stamp[4];
	uint8_t *options_end = (uint8_t *)tcp + tcp->doff * 4u;

	while (p < options_end && p < end && *p != 0) {
		if (*p == 1) {
			p++;
			continue;
		}
		if (p + 2 > end || p[1] < 2)
			return;
		if (*p == 8 && p + 10 <= end) {
			memcpy(stamp, p + 2, 4);
			memcpy(p + 2, p + 6, 4);
			memcpy(p + 6, stamp, 4);
			return;
		}
		p += p[1];
	}
}

/* False: there is nothing to say. */
static bool answer_segment(struct iphdr *ip, struct tcphdr *tcp, const uint8_t *end)
{
	uint32_t text = ntohs(ip->tot_len) - ip->ihl * 4u - tcp->doff * 4u;
	uint32_t seq = tcp->seq, ack;

	if (tcp->rst || (!text && !tcp->syn && !tcp->fin))
		return false;
	ack = htonl(ntohl(seq) + text + tcp->syn + tcp->fin);
	move_checksum(tcp, seq, ack);
	tcp->seq = tcp->ack_seq;
	tcp->ack_seq = ack;
	set_flags(tcp, tcp->syn);
	swap_timestamps(tcp, end);
	return true;
}

static bool reflect(const struct reflector *r, uint8_t *frame, uint32_t len)
{
	struct ethhdr *eth = (struct ethhdr *)(void *)frame;
	struct iphdr *ip = (struct iphdr *)(void *)(eth + 1);
	struct tcphdr *tcp = (struct tcphdr *)(void *)(ip + 1);

	if (len < sizeof(*eth) + sizeof(*ip) + sizeof(*tcp))
		return false;
	if (r->answer && !answer_segment(ip, tcp, frame + len))
		return false;
	swap_mac(eth);
	swap_ends(ip, tcp);
	return true;
}

/* ----- the loop ----- */

static void refill(struct reflector *r)
{
	uint32_t n = r->xsk.port->ops->fill_room(r->xsk.port);

	if (n > r->n_free)
		n = r->n_free;
	n = r->xsk.port->ops->fill(r->xsk.port, r->free + r->n_free - n, n);
	r->n_free -= n;
}

static uint32_t receive(struct reflector *r)
{
	struct mr_span in[BURST];
	uint32_t room = RING - r->n_out;
	uint32_t n = r->xsk.port->ops->receive(r->xsk.port, in, room < BURST ? room : BURST);

	for (uint32_t i = 0; i < n; i++) {
		if (reflect(r, r->frames + in[i].addr, in[i].len))
			r->out[r->n_out++] = in[i];
		else
			r->free[r->n_free++] = in[i].addr / FRAME_BYTES * FRAME_BYTES;
	}
	return n;
}

static void transmit(struct reflector *r)
{
	const struct mr_port_ops *ops = r->xsk.port->ops;
	uint64_t done[BURST];
	uint32_t n;

	bench_xsk_transmit(&r->xsk, r->out, &r->n_out);
	while ((n = ops->complete(r->xsk.port, done, BURST)))
		for (uint32_t i = 0; i < n; i++)
			r->free[r->n_free++] = done[i] / FRAME_BYTES * FRAME_BYTES;
}

/* Waits as a lane does: busy for single frames, gathering for bursts, then asleep. */
static void serve(struct reflector *r)
{
	struct pollfd pfd = { .fd = r->xsk.fd, .events = POLLIN };
	struct timespec gather = { 0, (long)r->gather_ns };
	uint64_t last = clock_ns();
	bool gathered = false;
	uint32_t burst = 64; /* mean of frames a turn that found any, in 1/64 */

	while (!stop) {
		uint32_t n = receive(r);

		if (n || r->n_out || r->xsk.port->ops->needs_kick(r->xsk.port)) {
			transmit(r);
			refill(r);
			if (n)
				burst = (burst * 63 + n * 64) / 64;
			gathered = false;
			last = clock_ns();
			continue;
		}
		if (burst > 80 && gather.tv_nsec && !gathered) {
			gathered = true;
			clock_nanosleep(CLOCK_MONOTONIC, 0, &gather, NULL);
		} else if (burst > 80 || clock_ns() - last >= r->busy_ns) {
			poll(&pfd, 1, 100);
		}
	}
}

/* ----- start ----- */

static _Noreturn void usage(FILE *to, int status)
{
	fputs("usage: xsk-reflect --interface NAME [--port N] [--queue N] [--answer]\n"
	      "                   [--busy-poll US] [--gather US]\n"
	      "\n"
	      "Sends every IPv4 TCP frame to the port (7000) back. --answer: with sequence "
	      "numbers\n"
	      "that a TCP client takes for an echo server's. Prints one line when it is ready.\n",
	      to);
	exit(status);
}

static unsigned long number(const char *text, unsigned long max)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || v > max)
		usage(stderr, EXIT_USAGE);
	return v;
}

static void parse_options(struct reflector *r, struct bench_xsk_options *o, int argc, char *argv[])
{
	static const struct option long_options[] = {
		{ "interface", required_argument, NULL, 'i' },
		{ "port", required_argument, NULL, 'p' },
		{ "queue", required_argument, NULL, 'q' },
		{ "answer", no_argument, NULL, 'a' },
		{ "busy-poll", required_argument, NULL, 'b' },
		{ "gather", required_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int letter;

	r->busy_ns = 50000;
	r->gather_ns = 30000;
	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (letter == 'i')
			o->interface = optarg;
		else if (letter == 'p')
			o->port_lo = o->port_hi = (uint16_t)number(optarg, UINT16_MAX);
		else if (letter == 'q')
			o->queue = (uint32_t)number(optarg, 63);
		else if (letter == 'a')
			r->answer = true;
		else if (letter == 'b')
			r->busy_ns = number(optarg, 1000000) * 1000;
		else if (letter == 'g')
			r->gather_ns = number(optarg, 100000) * 1000;
		else if (letter == 'h')
			usage(stdout, EXIT_SUCCESS);
		else
			usage(stderr, EXIT_USAGE);
	}
	if (optind != argc || !o->interface)
		usage(stderr, EXIT_USAGE);
}

int main(int argc, char *argv[])
{
	static struct reflector r;
	struct sigaction sa = { .sa_handler = on_signal };
	struct bench_xsk_options o = {
		.port_lo = 7000,
		.port_hi = 7000,
		.umem_bytes = (uint64_t)FRAMES * FRAME_BYTES,
		.frame_bytes = FRAME_BYTES,
		.ring = RING,
	};

	parse_options(&r, &o, argc, argv);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	prctl(PR_SET_TIMERSLACK, 1);
	r.frames = bench_xsk_frames(FRAMES, FRAME_BYTES);
	o.umem = r.frames;
	if (!r.frames) {
		fprintf(stderr, "xsk-reflect: frames: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	if (bench_xsk_open(&r.xsk, &o, "xsk-reflect") < 0)
		return EXIT_FAILURE;
	for (uint32_t i = 0; i < FRAMES; i++)
		r.free[r.n_free++] = (uint64_t)i * FRAME_BYTES;
	refill(&r);
	printf("xsk-reflect: ready on %s queue %u\n", o.interface, o.queue);
	fflush(stdout);
	serve(&r);
	bench_xsk_close(&r.xsk);
	return EXIT_SUCCESS;
}
