/* SPDX-License-Identifier: MIT */
/*
 * AF_XDP on a real interface (Documentation/networking/af_xdp.rst), in a network namespace of this
 * process's own, which ends with it:
 *
 *	peer (AF_PACKET)  ==veth==  near: XDP program -> XSKMAP[0] -> socket of queue 0
 *
 * Frames carry the EtherType for local experiments and a number. Needs root; skipped without.
 */
#define _GNU_SOURCE 1 /* unshare */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/frame/arena.h"
#include "user/port/xsk.h"

enum {
	FRAMES = 1024,
	FRAME_BYTES = 2048,
	RX_FRAMES = 512, /* frames 0 to 511 are for receiving, the others for sending */
	RING = 512,
	ETHERTYPE = 0x88b5,
	WAIT_MS = 2000,
};

static const struct mr_xsk_sizes sizes = { RING, RING, RING, RING };

/* What all tests share: made once, by make_world(). */
static struct world {
	char skip[160]; /* why nothing can be tested here, or "" */
	struct mr_arena arena;
	uint8_t *umem;
	uint32_t near;
	uint32_t peer;
	int map;
	int packet; /* AF_PACKET socket on the peer */
} world;

/* ----- the world ----- */

static int make_links(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY);

	if (fd >= 0) { /* no router solicitations among our frames */
		if (write(fd, "1", 1) < 0)
			perror("disable_ipv6");
		close(fd);
	}
	if (system("ip link add near numrxqueues 1 numtxqueues 1 type veth peer name peer"
		   " numrxqueues 1 numtxqueues 1 && ip link set near up && ip link set peer up") !=
	    0)
		return -1;
	world.near = if_nametoindex("near");
	world.peer = if_nametoindex("peer");
	return world.near && world.peer ? 0 : -1;
}

/* return bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS); */
static int attach_program(void)
{
	struct bpf_insn code[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W,
		  .dst_reg = BPF_REG_2,
		  .src_reg = BPF_REG_1,
		  .off = offsetof(struct xdp_md, rx_queue_index) },
		{ .code = BPF_LD | BPF_DW | BPF_IMM,
		  .dst_reg = BPF_REG_1,
		  .src_reg = BPF_PSEUDO_MAP_FD },
		{ 0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int prog;

	world.map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "xsks", 4, 4, 1, NULL);
	if (world.map < 0)
		return -1;
	code[1].imm = world.map;
	prog = bpf_prog_load(BPF_PROG_TYPE_XDP, "redirect", "MIT", code,
			     sizeof(code) / sizeof(code[0]), NULL);
	if (prog < 0 || bpf_xdp_attach((int)world.near, prog, XDP_FLAGS_DRV_MODE, NULL) < 0)
		return -1;
	close(prog);
	return 0;
}

static int open_packet_socket(void)
{
	const struct sockaddr_ll sa = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETHERTYPE),
		.sll_ifindex = (int)world.peer,
	};
	const int bytes = 8 << 20;

	world.packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHERTYPE));
	if (world.packet < 0)
		return -1;
	setsockopt(world.packet, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	return bind(world.packet, (const struct sockaddr *)&sa, sizeof(sa));
}

static int map_umem(void)
{
	const struct mr_arena_sizes s = {
		.frames = FRAMES,
		.frame_bytes = FRAME_BYTES,
		.conns = 1,
		.half_open = 16,
		.time_wait = 16,
		.sessions = 16,
		.message_bytes = 4096,
	};
	bool huge;
	int fd, err;

	if (mr_arena_create("xsk-test", &s, false, &fd, &huge) < 0)
		return -1;
	err = mr_arena_map(&world.arena, fd, true);
	close(fd);
	world.umem = err == 0 ? mr_arena_area(&world.arena, MR_AREA_FRAMES, NULL) : NULL;
	return err;
}

static int make_world(void **state)
{
	(void)state;
	if (geteuid() != 0)
		snprintf(world.skip, sizeof(world.skip), "not root");
	else if (unshare(CLONE_NEWNET) < 0)
		snprintf(world.skip, sizeof(world.skip), "unshare(CLONE_NEWNET): %s",
			 strerror(errno));
	else if (make_links() < 0)
		snprintf(world.skip, sizeof(world.skip), "no veth pair can be made here");
	else if (attach_program() < 0)
		snprintf(world.skip, sizeof(world.skip), "XDP program: %s", strerror(errno));
	else if (open_packet_socket() < 0)
		snprintf(world.skip, sizeof(world.skip), "AF_PACKET: %s", strerror(errno));
	else if (map_umem() < 0)
		snprintf(world.skip, sizeof(world.skip), "no arena");
	if (world.skip[0])
		print_message("skipped: %s\n", world.skip);
	return 0;
}

static int end_world(void **state)
{
	(void)state;
	mr_arena_unmap(&world.arena);
	return 0;
}

/* ----- a socket and its port ----- */

struct fixture {
	int fd;
	struct mr_port *port;
};

static struct mr_xsk_setup setup(uint32_t queue, enum mr_xsk_bind bind)
{
	return (struct mr_xsk_setup){
		.umem = world.umem,
		.umem_bytes = (uint64_t)FRAMES * FRAME_BYTES,
		.frame_bytes = FRAME_BYTES,
		.ifindex = world.near,
		.queue = queue,
		.sizes = sizes,
		.bind = bind,
	};
}

static struct mr_port *attach(int fd)
{
	struct mr_port *p = mr_xsk_attach(fd, &sizes, FRAME_BYTES, (uint64_t)FRAMES * FRAME_BYTES);

	assert_non_null(p);
	return p;
}

static void drain_packets(void)
{
	uint8_t b[FRAME_BYTES];

	while (recv(world.packet, b, sizeof(b), MSG_DONTWAIT) > 0)
		;
}

static void open_socket(struct fixture *x)
{
	struct mr_xsk_setup s = setup(0, MR_XSK_COPY);
	uint32_t key = 0;

	if (world.skip[0])
		skip();
	x->fd = mr_xsk_open(&s);
	if (x->fd < 0)
		fail_msg("%s", s.why);
	assert_string_equal(s.why, "");
	assert_int_equal(bpf_map_update_elem(world.map, &key, &x->fd, BPF_ANY), 0);
	x->port = attach(x->fd);
	drain_packets();
}

static void close_socket(struct fixture *x)
{
	x->port->ops->close(x->port);
	close(x->fd);
}

static void fill(struct mr_port *p, uint32_t first, uint32_t n)
{
	uint64_t addrs[RX_FRAMES];

	for (uint32_t i = 0; i < n; i++)
		addrs[i] = (uint64_t)(first + i) * FRAME_BYTES;
	assert_int_equal(p->ops->fill(p, addrs, n), n);
}

static uint32_t write_frame(uint8_t *b, uint32_t number, uint32_t len)
{
	static const uint8_t header[14] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5 };

	memset(b, (int)number, len);
	memcpy(b, header, sizeof(header));
	memcpy(b + 14, &number, 4);
	return len;
}

static uint32_t number_of(const uint8_t *b, uint32_t len)
{
	uint32_t number;

	assert_true(len >= 60);
	memcpy(&number, b + 14, 4);
	for (uint32_t i = 18; i < len; i++)
		assert_int_equal(b[i], (uint8_t)number);
	return number;
}

static void peer_sends(uint32_t first, uint32_t n)
{
	uint8_t b[1514];

	for (uint32_t i = first; i < first + n; i++) {
		uint32_t len = write_frame(b, i, 60 + i * 13 % 1400);

		assert_int_equal(send(world.packet, b, len, 0), len);
	}
}

static void wait_for(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
}

/* @n frames, in order from number @first; their frames go back to the fill ring. */
static void expect_received(struct mr_port *p, uint32_t first, uint32_t n)
{
	struct mr_span s[64];

	for (uint32_t got = 0; got < n;) {
		uint32_t now = p->ops->receive(p, s, 64);

		for (uint32_t i = 0; i < now; i++, got++) {
			uint64_t addr = s[i].addr / FRAME_BYTES * FRAME_BYTES;

			assert_int_equal(number_of(world.umem + s[i].addr, s[i].len), first + got);
			assert_int_equal(p->ops->fill(p, &addr, 1), 1);
		}
		if (!now)
			wait_for(p->ops->poll_fd(p));
	}
	assert_int_equal(p->ops->receive(p, s, 64), 0);
}

static void transmit(struct mr_port *p, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		uint64_t addr = (uint64_t)(RX_FRAMES + i % RX_FRAMES) * FRAME_BYTES + 128;
		struct mr_span s = { .addr = addr };

		s.len = write_frame(world.umem + addr, i, 60 + i * 7 % 1400);
		assert_int_equal(p->ops->transmit(p, &s, 1), 1);
	}
}

static void expect_at_peer(uint32_t first, uint32_t n)
{
	uint8_t b[FRAME_BYTES];

	for (uint32_t i = first; i < first + n; i++) {
		ssize_t len;

		wait_for(world.packet);
		len = recv(world.packet, b, sizeof(b), MSG_DONTWAIT);
		assert_int_equal(len, 60 + i * 7 % 1400);
		assert_int_equal(number_of(b, (uint32_t)len), i);
	}
}

/* Each frame once; the kernel frees what it has sent a little later. */
static void expect_completed(struct mr_port *p, uint32_t n)
{
	bool seen[FRAMES] = { false };
	uint64_t addrs[64];
	uint32_t got = 0;

	for (unsigned int ms = 0; got < n && ms < WAIT_MS; ms++) {
		uint32_t now = p->ops->complete(p, addrs, 64);

		for (uint32_t i = 0; i < now; i++, got++) {
			uint64_t frame = addrs[i] / FRAME_BYTES;

			assert_true(frame >= RX_FRAMES && frame < FRAMES && !seen[frame]);
			seen[frame] = true;
		}
		if (!now)
			usleep(1000);
	}
	assert_int_equal(got, n);
	assert_int_equal(p->ops->complete(p, addrs, 64), 0);
}

static void count(void *arg, uint64_t addr)
{
	assert_true(addr < (uint64_t)FRAMES * FRAME_BYTES);
	++*(uint32_t *)arg;
}

static uint32_t standing(struct mr_port *p, enum mr_xsk_ring ring)
{
	uint32_t n = 0;

	mr_xsk_each(p, ring, count, &n);
	return n;
}

/* Frames come by softirq, so a little later on a busy machine. */
static void wait_until_standing(struct mr_port *p, enum mr_xsk_ring ring, uint32_t n)
{
	for (unsigned int ms = 0; standing(p, ring) != n && ms < WAIT_MS; ms++)
		usleep(1000);
	assert_int_equal(standing(p, ring), n);
}

/* ----- both directions ----- */

static void frames_of_the_peer_are_received_in_order(void **state)
{
	struct fixture x;

	(void)state;
	open_socket(&x);
	fill(x.port, 0, RX_FRAMES);
	for (uint32_t i = 0; i < 1200; i += 100) { /* twice around every ring */
		peer_sends(i, 100);
		expect_received(x.port, i, 100);
	}
	assert_int_equal(standing(x.port, MR_XSK_FILL), RX_FRAMES);
	close_socket(&x);
}

static void one_kick_sends_256_frames(void **state)
{
	struct fixture x;
	bool again = true;

	(void)state;
	open_socket(&x);
	assert_false(x.port->ops->needs_kick(x.port));
	assert_int_equal(x.port->ops->kick(x.port, &again), 0);
	assert_false(again);
	for (uint32_t i = 0; i < 4 * 256; i += 256) {
		transmit(x.port, i, 256);
		assert_true(x.port->ops->needs_kick(x.port));
		assert_true(x.port->ops->kick(x.port, &again) >= 1);
		assert_false(again);
		assert_false(x.port->ops->needs_kick(x.port));
		expect_at_peer(i, 256);
		expect_completed(x.port, 256);
		assert_int_equal(x.port->ops->transmit_room(x.port), RING);
	}
	close_socket(&x);
}

/* Nothing is completed, so the completion ring fills and the kernel refuses: no endless loop. */
static void kick_ends_when_the_kernel_takes_no_more(void **state)
{
	struct fixture x;
	bool again = false;
	uint32_t sent = 0;

	(void)state;
	open_socket(&x);
	transmit(x.port, 0, RING);
	x.port->ops->kick(x.port, &again);
	assert_false(again);
	transmit(x.port, RING, 100);
	sent = x.port->ops->kick(x.port, &again);
	assert_true(again);
	assert_in_range(sent, 1, 8);
	expect_at_peer(0, RING);
	expect_completed(x.port, RING);
	x.port->ops->kick(x.port, &again);
	assert_false(again);
	expect_at_peer(RING, 100);
	expect_completed(x.port, 100);
	close_socket(&x);
}

static void frames_without_fill_entries_are_counted(void **state)
{
	struct mr_port_statistics s;
	struct fixture x;

	(void)state;
	open_socket(&x);
	peer_sends(0, 10);
	x.port->ops->statistics(x.port, &s);
	for (unsigned int ms = 0; s.fill_empty == 0 && ms < WAIT_MS; ms++) {
		usleep(1000);
		x.port->ops->statistics(x.port, &s);
	}
	assert_true(s.fill_empty > 0);
	assert_int_equal(x.port->ops->receive(x.port, (struct mr_span[1]){ 0 }, 1), 0);
	close_socket(&x);
}

static void rings_take_their_size_and_no_more(void **state)
{
	uint64_t addrs[RX_FRAMES + 1] = { 0 };
	struct fixture x;

	(void)state;
	open_socket(&x);
	assert_int_equal(x.port->ops->fill_room(x.port), RING);
	assert_int_equal(x.port->ops->fill(x.port, addrs, RX_FRAMES + 1), RING);
	assert_int_equal(x.port->ops->fill_room(x.port), 0);
	assert_int_equal(x.port->ops->transmit_room(x.port), RING);
	transmit(x.port, 0, RING);
	assert_int_equal(x.port->ops->transmit_room(x.port), 0);
	assert_int_equal(x.port->ops->transmit(x.port, (struct mr_span[1]){ { .len = 60 } }, 1), 0);
	close_socket(&x);
}

/* An interface that is down: the frames wait, and leave when it is up again. */
static void frames_wait_while_the_interface_is_down(void **state)
{
	struct fixture x;
	bool again = false;

	(void)state;
	open_socket(&x);
	assert_int_equal(system("ip link set near down"), 0);
	transmit(x.port, 0, 5);
	assert_int_equal(x.port->ops->kick(x.port, &again), 1);
	assert_true(again);
	assert_int_equal(system("ip link set near up"), 0);
	x.port->ops->kick(x.port, &again);
	assert_false(again);
	expect_at_peer(0, 5);
	expect_completed(x.port, 5);
	close_socket(&x);
}

/* Bounds that the lane gives are kept, whatever stands in the ring. */
static void descriptors_outside_the_bounds_are_never_handed_up(void **state)
{
	const uint32_t half = RX_FRAMES / 2;
	struct mr_port_statistics s;
	struct mr_span spans[64];
	struct fixture x;
	struct mr_port *narrow;

	(void)state;
	open_socket(&x);
	fill(x.port, half - 2, 4);
	x.port->ops->close(x.port);
	narrow = mr_xsk_attach(x.fd, &sizes, FRAME_BYTES, (uint64_t)half * FRAME_BYTES);
	assert_non_null(narrow);
	x.port = narrow;
	peer_sends(0, 4);
	wait_until_standing(narrow, MR_XSK_RX, 4);
	assert_int_equal(narrow->ops->receive(narrow, spans, 64), 2);
	assert_int_equal(number_of(world.umem + spans[1].addr, spans[1].len), 1);
	assert_int_equal(narrow->ops->receive(narrow, spans, 64), 0);
	narrow->ops->statistics(narrow, &s);
	assert_int_equal(s.rx_invalid, 2);
	close_socket(&x);
}

/* ----- owners that come and go ----- */

/* Body of a lane that dies with frames in hand, in the receive ring and in the transmit ring. */
static void lane_that_is_killed(int fd)
{
	struct mr_port *p = mr_xsk_attach(fd, &sizes, FRAME_BYTES, (uint64_t)FRAMES * FRAME_BYTES);
	struct mr_span s[8];
	bool again;

	if (!p || p->ops->receive(p, s, 8) != 8)
		_exit(1);
	transmit(p, 0, 4);
	p->ops->kick(p, &again);
	transmit(p, 4, 6);
	kill(getpid(), SIGKILL);
}

static void next_owner_goes_on_without_loss(void **state)
{
	struct fixture x;
	struct mr_port *next;
	bool again;
	int status;
	pid_t pid;

	(void)state;
	open_socket(&x);
	fill(x.port, 0, 100);
	peer_sends(0, 20);
	wait_until_standing(x.port, MR_XSK_RX, 20);
	x.port->ops->close(x.port);
	pid = fork();
	if (pid == 0)
		lane_that_is_killed(x.fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	next = attach(x.fd);
	x.port = next;
	assert_int_equal(standing(next, MR_XSK_RX), 20);
	assert_int_equal(standing(next, MR_XSK_TX), 6);
	assert_int_equal(standing(next, MR_XSK_FILL), 80);
	wait_until_standing(next, MR_XSK_COMPLETION, 4);
	expect_received(next, 0, 20);
	assert_true(next->ops->needs_kick(next));
	next->ops->kick(next, &again);
	assert_false(again);
	expect_at_peer(0, 10);
	expect_completed(next, 10);
	peer_sends(20, 100);
	expect_received(next, 20, 100);
	assert_int_equal(standing(next, MR_XSK_FILL), 100);
	close_socket(&x);
}

/* As Linux before 6.4 wants it: mapped first, bound then; what comes before that is dropped. */
static void socket_mapped_before_its_bind_serves(void **state)
{
	struct mr_xsk_setup s = setup(0, MR_XSK_COPY);
	uint32_t key = 0;
	struct fixture x;
	bool again;

	(void)state;
	if (world.skip[0])
		skip();
	x.fd = mr_xsk_make(&s);
	assert_true(x.fd >= 0);
	x.port = attach(x.fd);
	assert_int_equal(bpf_map_update_elem(world.map, &key, &x.fd, BPF_ANY), 0);
	drain_packets();
	fill(x.port, 0, 64);
	peer_sends(100, 5);
	assert_int_equal(mr_xsk_bind(x.fd, &s), 0);
	mr_xsk_bound(x.port);
	peer_sends(0, 20);
	expect_received(x.port, 0, 20);
	transmit(x.port, 0, 10);
	x.port->ops->kick(x.port, &again);
	expect_at_peer(0, 10);
	expect_completed(x.port, 10);
	close_socket(&x);
}

/* Given back by the next receive() or fill(), so that a frame never stands in two rings. */
static void batch_in_hand_stands_in_the_ring_until_the_next_call(void **state)
{
	struct mr_span s[4];
	struct fixture x;

	(void)state;
	open_socket(&x);
	fill(x.port, 0, 16);
	peer_sends(0, 8);
	wait_until_standing(x.port, MR_XSK_RX, 8);
	assert_int_equal(x.port->ops->receive(x.port, s, 4), 4);
	assert_int_equal(standing(x.port, MR_XSK_RX), 8);
	assert_int_equal(x.port->ops->receive(x.port, s, 4), 4);
	assert_int_equal(standing(x.port, MR_XSK_RX), 4);
	fill(x.port, 100, 1);
	assert_int_equal(standing(x.port, MR_XSK_RX), 0);
	close_socket(&x);
}

/* ----- refusals, in words ----- */

static void expect_refused(struct mr_xsk_setup *s, int err, const char *words)
{
	if (world.skip[0])
		skip();
	assert_int_equal(mr_xsk_open(s), err);
	if (!strstr(s->why, words))
		fail_msg("\"%s\" does not say \"%s\"", s->why, words);
}

static void queue_that_does_not_exist_is_named(void **state)
{
	struct mr_xsk_setup s = setup(7, MR_XSK_AUTO);

	(void)state;
	expect_refused(&s, -EINVAL, "near queue 7 (EINVAL): no such queue");
}

static void interface_that_does_not_exist_is_named(void **state)
{
	struct mr_xsk_setup s = setup(0, MR_XSK_AUTO);

	(void)state;
	s.ifindex = 4711;
	expect_refused(&s, -ENODEV, "interface #4711 (ENODEV)");
}

static void second_socket_of_a_queue_is_refused(void **state)
{
	struct mr_xsk_setup s;
	struct fixture x;

	(void)state;
	open_socket(&x);
	s = setup(0, MR_XSK_AUTO);
	expect_refused(&s, -EBUSY, "near queue 0 (EBUSY): another AF_XDP socket has it");
	fill(x.port, 0, 8);
	peer_sends(0, 8); /* the first one goes on */
	expect_received(x.port, 0, 8);
	close_socket(&x);
}

static void zero_copy_alone_is_refused_with_the_drivers_name(void **state)
{
	struct mr_xsk_setup s = setup(0, MR_XSK_ZERO_COPY);

	(void)state;
	expect_refused(&s, -EOPNOTSUPP,
		       "zero-copy refused by the driver (EOPNOTSUPP): veth has none");
	assert_false(s.zero_copy);
}

static void ladder_falls_to_copy_and_says_why(void **state)
{
	struct mr_xsk_setup s = setup(0, MR_XSK_AUTO);
	int fd;

	(void)state;
	if (world.skip[0])
		skip();
	fd = mr_xsk_open(&s);
	assert_true(fd >= 0);
	assert_false(s.zero_copy);
	assert_string_equal(s.why, "zero-copy refused by the driver (EOPNOTSUPP): veth has none");
	close(fd);
}

static void sizes_the_kernel_does_not_take_are_refused(void **state)
{
	struct mr_xsk_setup s = setup(0, MR_XSK_COPY);

	(void)state;
	s.sizes.tx = 300;
	expect_refused(&s, -EINVAL, "transmit ring (EINVAL)");
	s = setup(0, MR_XSK_COPY);
	s.frame_bytes = 1000;
	expect_refused(&s, -EINVAL, "frame memory (EINVAL)");
}

static void drop_capability(unsigned int capability)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		_exit(2);
	data[capability / 32].effective &= ~(1u << capability % 32);
	data[capability / 32].permitted &= ~(1u << capability % 32);
	if (syscall(SYS_capset, &head, data) < 0)
		_exit(2);
}

/* In a child, as what it gives up is gone for good; exit status 0: refused as expected. */
static void expect_refused_without(unsigned int capability, int err, const char *words)
{
	int status;
	pid_t pid;

	if (world.skip[0])
		skip();
	pid = fork();
	if (pid == 0) {
		const struct rlimit small = { 65536, 65536 };
		struct mr_xsk_setup s = setup(0, MR_XSK_COPY);

		setrlimit(RLIMIT_MEMLOCK, &small);
		drop_capability(capability);
		_exit(mr_xsk_open(&s) == err && strstr(s.why, words) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void frames_beyond_the_memlock_limit_get_advice(void **state)
{
	(void)state;
	expect_refused_without(CAP_IPC_LOCK, -ENOBUFS, "memlock limit too small");
}

static void missing_privilege_is_named(void **state)
{
	(void)state;
	expect_refused_without(CAP_NET_RAW, -EPERM, "CAP_NET_RAW");
}

static void descriptors_that_are_no_bound_socket_cannot_be_attached(void **state)
{
	const uint64_t bytes = (uint64_t)FRAMES * FRAME_BYTES;
	const struct mr_xsk_sizes odd = { 512, 500, 512, 512 };
	struct fixture x;

	(void)state;
	open_socket(&x);
	assert_null(mr_xsk_attach(x.fd, &odd, FRAME_BYTES, bytes));
	assert_int_equal(errno, EINVAL);
	assert_null(mr_xsk_attach(x.fd, &sizes, FRAME_BYTES, bytes + 1));
	assert_int_equal(errno, EINVAL);
	assert_null(mr_xsk_attach(-1, &sizes, FRAME_BYTES, bytes));
	assert_int_equal(errno, EBADF);
	assert_null(mr_xsk_attach(world.packet, &sizes, FRAME_BYTES, bytes));
	assert_int_equal(errno, ENOPROTOOPT);
	close_socket(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_the_peer_are_received_in_order),
		cmocka_unit_test(one_kick_sends_256_frames),
		cmocka_unit_test(kick_ends_when_the_kernel_takes_no_more),
		cmocka_unit_test(frames_without_fill_entries_are_counted),
		cmocka_unit_test(rings_take_their_size_and_no_more),
		cmocka_unit_test(frames_wait_while_the_interface_is_down),
		cmocka_unit_test(descriptors_outside_the_bounds_are_never_handed_up),
		cmocka_unit_test(next_owner_goes_on_without_loss),
		cmocka_unit_test(socket_mapped_before_its_bind_serves),
		cmocka_unit_test(batch_in_hand_stands_in_the_ring_until_the_next_call),
		cmocka_unit_test(queue_that_does_not_exist_is_named),
		cmocka_unit_test(interface_that_does_not_exist_is_named),
		cmocka_unit_test(second_socket_of_a_queue_is_refused),
		cmocka_unit_test(zero_copy_alone_is_refused_with_the_drivers_name),
		cmocka_unit_test(ladder_falls_to_copy_and_says_why),
		cmocka_unit_test(sizes_the_kernel_does_not_take_are_refused),
		cmocka_unit_test(frames_beyond_the_memlock_limit_get_advice),
		cmocka_unit_test(missing_privilege_is_named),
		cmocka_unit_test(descriptors_that_are_no_bound_socket_cannot_be_attached),
	};

	return cmocka_run_group_tests(tests, make_world, end_world);
}
