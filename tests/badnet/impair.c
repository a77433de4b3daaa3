/* SPDX-License-Identifier: MIT */
/*
 * mr-impair: a bridge over AF_PACKET that loses, doubles, reorders, delays, damages, cuts, marks
 * and queues frames. It stands in a network namespace between two others:
 *
 *     client  == veth ==  [a] mr-impair [b]  == veth ==  server
 *
 * The decision is fate.c, the bytes mangle.c, the time link.c; here are sockets and the clock.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "options.h"

enum {
	BATCH = 64,
	ROUNDS = 4,	   /* batches from one side before the other has its turn */
	FRAME_ROOM = 9216, /* a longer one is not of a wire: super-packets, counted and lost */
	SOCKET_BUFFER = 32 << 20,
};

struct counts {
	uint64_t frames, bytes, matched, dropped, duplicated, held, corrupted, truncated, ce, sent,
		send_errors, too_long, no_memory, socket_drops, largest;
};

/* One direction: from the socket @in to the socket @out. */
struct direction {
	const struct mr_way *way;
	struct mr_fate_state fate;
	struct mr_link link;
	struct counts count;
	int in, out;
};

struct bridge {
	struct mr_options options;
	struct direction dir[2];
	int fd[2];
	int signals;
	uint8_t (*room)[FRAME_ROOM]; /* BATCH of them */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ----- a frame comes in ----- */

static void damage(struct direction *d, const struct mr_fate *f, struct mr_packet *p)
{
	const struct mr_fate_rules *r = &d->way->fate;

	if (f->corrupt)
		d->count.corrupted +=
			mr_frame_corrupt(p->bytes, p->len, r->where, r->repair, f->salt);
	if (f->ce)
		d->count.ce += mr_frame_mark_ce(p->bytes, p->len);
	if (f->truncate) {
		p->len = (uint32_t)mr_frame_cut(p->len, f->salt);
		d->count.truncated++;
	}
}

static void put_copy(struct direction *d, const struct mr_fate *f, const uint8_t *bytes, size_t len,
		     uint32_t copy, uint64_t now)
{
	struct mr_packet *p = mr_packet_new(bytes, len);

	if (!p) {
		d->count.no_memory++;
		return;
	}
	damage(d, f, p);
	p->salt = mr_fate_mix(f->salt, copy, 0);
	p->hold_ns = (uint64_t)f->hold_ms * 1000000;
	if (mr_link_put(&d->link, p, f->reorder_by, now))
		d->count.no_memory++;
}

static void take_in(struct direction *d, const uint8_t *bytes, size_t len, uint64_t now)
{
	struct mr_fate f = { .copies = 1 };

	d->count.frames++;
	d->count.bytes += len;
	if (len > d->count.largest)
		d->count.largest = len;
	if (mr_frame_matches(d->way->match, bytes, len)) {
		f = mr_fate_next(&d->fate, &d->way->fate);
		d->count.matched++;
	} else {
		f.salt = mr_fate_mix(d->fate.seed, d->count.frames, UINT32_MAX);
	}
	if (f.drop) {
		d->count.dropped++;
		return;
	}
	d->count.duplicated += f.copies - 1;
	d->count.held += f.hold_ms > 0;
	for (uint32_t i = 0; i < f.copies; i++)
		put_copy(d, &f, bytes, len, i, now);
}

/* Everything that waits, within reason; true: there may be more. */
static bool receive(struct bridge *b, struct direction *d)
{
	struct mmsghdr m[BATCH];
	struct iovec v[BATCH];
	uint64_t now;
	int n = BATCH;

	for (int round = 0; round < ROUNDS && n == BATCH; round++) {
		memset(m, 0, sizeof(m));
		for (int i = 0; i < BATCH; i++) {
			v[i] = (struct iovec){ b->room[i], FRAME_ROOM };
			m[i].msg_hdr.msg_iov = &v[i];
			m[i].msg_hdr.msg_iovlen = 1;
		}
		n = recvmmsg(d->in, m, BATCH, MSG_DONTWAIT, NULL);
		now = now_ns();
		for (int i = 0; i < n; i++) {
			if (m[i].msg_hdr.msg_flags & MSG_TRUNC)
				d->count.too_long++;
			else
				take_in(d, b->room[i], m[i].msg_len, now);
		}
	}
	return n == BATCH;
}

/* ----- a frame goes out ----- */

static void send_batch(struct direction *d, struct mr_packet *p[], int n)
{
	struct mmsghdr m[BATCH];
	struct iovec v[BATCH];
	int done = 0;

	memset(m, 0, sizeof(m));
	for (int i = 0; i < n; i++) {
		v[i] = (struct iovec){ p[i]->bytes, p[i]->len };
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	while (done < n) {
		int sent = sendmmsg(d->out, m + done, (unsigned)(n - done), MSG_DONTWAIT);

		if (sent > 0) {
			d->count.sent += (uint64_t)sent;
			done += sent;
		} else if (errno != EINTR) {
			d->count.send_errors++; /* the interface took it not: lost there */
			done++;
		}
	}
	for (int i = 0; i < n; i++)
		free(p[i]);
}

static void emit(struct direction *d)
{
	struct mr_packet *p[BATCH];
	uint64_t now = now_ns();
	int n;

	if (mr_link_expire(&d->link, now))
		d->count.no_memory++;
	do {
		for (n = 0; n < BATCH && (p[n] = mr_link_take(&d->link, now)); n++)
			if (p[n]->ce)
				d->count.ce += mr_frame_mark_ce(p[n]->bytes, p[n]->len);
		if (n)
			send_batch(d, p, n);
	} while (n == BATCH);
}

/* ----- words ----- */

static void count_socket_drops(struct direction *d)
{
	struct tpacket_stats s;
	socklen_t len = sizeof(s);

	if (!getsockopt(d->in, SOL_PACKET, PACKET_STATISTICS, &s, &len))
		d->count.socket_drops += s.tp_drops;
}

static void print_direction(const char *name, struct direction *d)
{
	const struct counts *c = &d->count;
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
		{ "frames", c->frames },
		{ "bytes", c->bytes },
		{ "matched", c->matched },
		{ "dropped", c->dropped },
		{ "duplicated", c->duplicated },
		{ "reordered", d->link.reordered },
		{ "held", c->held },
		{ "corrupted", c->corrupted },
		{ "truncated", c->truncated },
		{ "ce", c->ce },
		{ "queue_drops", d->link.queue_drops },
		{ "backlog_max", d->link.backlog_max },
		{ "sent", c->sent },
		{ "send_errors", c->send_errors },
		{ "socket_drops", c->socket_drops },
		{ "too_long", c->too_long },
		{ "no_memory", c->no_memory },
		{ "largest", c->largest },
	};

	printf("\"%s\": {", name);
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		printf("%s\"%s\": %llu", i ? ", " : "", figures[i].name,
		       (unsigned long long)figures[i].value);
	printf("}");
}

static void print_statistics(struct bridge *b)
{
	printf("{\"seed\": %llu, ", (unsigned long long)b->options.seed);
	for (int i = 0; i < 2; i++) {
		count_socket_drops(&b->dir[i]);
		print_direction(i ? "ba" : "ab", &b->dir[i]);
		printf("%s", i ? "}\n" : ", ");
	}
	fflush(stdout);
}

/* ----- set-up ----- */

static _Noreturn void fail(const char *what, const char *name)
{
	fprintf(stderr, "mr-impair: %s%s%s: %s\n", what, name ? " " : "", name ? name : "",
		strerror(errno));
	exit(1);
}

/* No protocol before bind(): not one frame of another interface is ever in it. */
static int open_socket(const char *interface)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1, size = SOCKET_BUFFER;

	if (fd < 0)
		fail("socket", NULL);
	address.sll_ifindex = (int)if_nametoindex(interface);
	if (!address.sll_ifindex)
		fail("interface", interface);
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		fail("socket option of", interface);
	/* Larger buffers are a kindness: without them some frames may be lost, and are counted. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("bind", interface);
	return fd;
}

static void set_up(struct bridge *b)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	b->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	b->room = calloc(BATCH, sizeof(*b->room));
	if (b->signals < 0 || !b->room)
		fail("start", NULL);
	for (int i = 0; i < 2; i++)
		b->fd[i] = open_socket(b->options.interface[i]);
	for (int i = 0; i < 2; i++) {
		struct direction *d = &b->dir[i];

		d->way = &b->options.way[i];
		d->link.rules = d->way->link;
		d->in = b->fd[i];
		d->out = b->fd[!i];
		mr_fate_init(&d->fate, b->options.seed, (unsigned)i);
	}
	/* Release times are kept as well as the scheduler lets us. */
	prctl(PR_SET_TIMERSLACK, 1ul);
	setpriority(PRIO_PROCESS, 0, -10);
}

/* ----- the loop ----- */

static void wait_for_work(struct bridge *b)
{
	struct pollfd fds[3] = { { b->fd[0], POLLIN, 0 },
				 { b->fd[1], POLLIN, 0 },
				 { b->signals, POLLIN, 0 } };
	uint64_t next = mr_link_next_ns(&b->dir[0].link), other = mr_link_next_ns(&b->dir[1].link);
	uint64_t now = now_ns();
	struct timespec t;

	next = other < next ? other : next;
	next = next > now ? next - now : 0;
	if (next > 1000000000)
		next = 1000000000;
	t.tv_sec = (time_t)(next / 1000000000);
	t.tv_nsec = (long)(next % 1000000000);
	ppoll(fds, 3, &t, NULL);
}

/* false: to end */
static bool obey_signals(struct bridge *b)
{
	struct signalfd_siginfo s;

	while (read(b->signals, &s, sizeof(s)) == sizeof(s)) {
		if (s.ssi_signo != SIGUSR1)
			return false;
		print_statistics(b);
	}
	return true;
}

int main(int argc, char *argv[])
{
	static struct bridge b;
	bool more = false;

	mr_options_read(&b.options, argc, argv);
	set_up(&b);
	fputs("ready\n", stderr);
	while (obey_signals(&b)) {
		if (!more)
			wait_for_work(&b);
		more = false;
		for (int i = 0; i < 2; i++) {
			more |= receive(&b, &b.dir[i]);
			emit(&b.dir[i]);
		}
	}
	print_statistics(&b);
	for (int i = 0; i < 2; i++) {
		mr_link_clear(&b.dir[i].link);
		close(b.fd[i]);
	}
	free(b.room);
	close(b.signals);
	return 0;
}
