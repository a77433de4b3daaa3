/* SPDX-License-Identifier: MIT */
/*
 * mr-bench-conns SOCKET CONNECTIONS: the daemon's control API, as its child serves it, over the
 * arena of a lane that was filled with made-up connections; ends with its standard input. For
 * timing what reads many of them: millrace -s SOCKET conn list.
 *
 * Every fourth connection has text in flight (a record of the pool of those), every eighth is
 * IPv6, every thousandth has sent segments again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "user/daemon/api.h"
#include "user/frame/arena.h"

static struct {
	struct mr_daemon d;
	struct mr_child c;
	struct mr_link link;
	struct mr_lane lane;
	struct mr_ward ward;
	struct mr_settings_interface interface;
	struct mr_settings_rule rule;
	struct mr_beat beat;
	struct mr_lane_stats stats;
	struct mr_arena arena;
} host;

static void set_address(uint8_t addr[16], uint32_t i, bool is_ipv6)
{
	static const uint8_t v4[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };
	static const uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 };

	memcpy(addr, is_ipv6 ? v6 : v4, 16);
	if (!i)
		return;
	addr[12] = is_ipv6 ? 0 : 10;
	addr[13] = (uint8_t)(i >> 16);
	addr[14] = (uint8_t)(i >> 8);
	addr[15] = (uint8_t)i;
}

static void establish(struct mr_conn *c, uint32_t i)
{
	uint32_t now_ms = (uint32_t)(mr_now_ns() / 1000000);

	c->state = MR_ESTABLISHED;
	set_address(c->local, 0, i % 8 == 7);
	set_address(c->remote, i / 50000 + 1, i % 8 == 7);
	c->local_port = mr_to_be16(7000);
	c->remote_port = mr_to_be16((uint16_t)(10000 + i % 50000));
	c->generation = 1;
	c->flags = MR_CONN_PASSIVE | MR_CONN_TIMESTAMPS | MR_CONN_SACK;
	c->snd_mss = 1448;
	c->cwnd = 14480;
	c->ssthresh = INT32_MAX;
	c->srtt_us = 8 * (100 + i % 1000);
	c->rttvar_us = 4 * 50;
	c->rto_ms = 200;
	c->snd_wnd = c->rcv_wnd = 65535;
	c->rcv_nxt = c->irs + 1 + i % 100000;
	c->snd_una = c->snd_nxt = c->iss + 1 + i % 100000;
	c->opened_ms = now_ms - i % 3600000;
	c->received_ms = now_ms - i % 60000;
	c->retransmits = i % 1000 ? 0 : 3;
	c->rx_head = c->ooo_head = MR_NONE;
	c->session = MR_NONE;
	c->active = i % 4 ? MR_NONE : i / 4;
	c->deadline[MR_DEADLINE_KEEPALIVE] = now_ms + 7200000;
}

static int fill_lane(uint32_t n)
{
	const struct mr_arena_sizes sizes = {
		.frames = 64,
		.frame_bytes = 2048,
		.conns = n,
		.half_open = 16,
		.time_wait = 16,
		.sessions = 16,
		.message_bytes = 1 << 13,
	};
	struct mr_active *active;
	struct mr_conn *conns;
	bool huge;
	int err = mr_arena_create("bench", &sizes, false, &host.lane.arena_reader, &huge);

	if (!err)
		err = mr_arena_map(&host.arena, host.lane.arena_reader, true);
	if (err)
		return err;
	memcpy(&host.lane.layout, host.arena.base, sizeof(host.lane.layout));
	conns = mr_arena_area(&host.arena, MR_AREA_CONNS, NULL);
	active = mr_arena_area(&host.arena, MR_AREA_ACTIVE, NULL);
	for (uint32_t i = 0; i < n; i++) {
		establish(&conns[i], i);
		if (i % 4 == 0)
			active[i / 4] = (struct mr_active){ .owner = i, .min_rtt_us = 90 };
	}
	return 0;
}

static void describe(void)
{
	static char file[] = "bench.yaml", user[] = "nobody", run[] = "/run", pin[] = "/pin";

	host.c.d = &host.d;
	host.c.wards = &host.ward;
	host.ward.state = MR_WORKER_SERVING;
	host.ward.watch.fd = -1;
	snprintf(host.interface.name, sizeof(host.interface.name), "eth0");
	host.link.settings = &host.interface;
	host.link.name = host.interface.name;
	host.link.n_queues = 1;
	host.d.links = &host.link;
	host.d.lanes = &host.lane;
	host.d.n_links = host.d.n_lanes = 1;
	host.d.settings.file = file;
	host.d.settings.user = user;
	host.d.settings.run_directory = run;
	host.d.settings.pin_directory = pin;
	host.d.settings.interfaces = &host.interface;
	host.d.settings.rules = &host.rule;
	host.d.settings.n_interfaces = host.d.settings.n_rules = 1;
	host.d.bpf.beats = &host.beat;
	host.d.bpf.lanes = &host.stats;
	host.d.bpf.n_cpus = 1;
	for (int i = 0; i < MR_MAP_COUNT; i++)
		host.d.bpf.map[i] = host.d.bpf.reader[i] = -1;
	snprintf(host.rule.lane.name, sizeof(host.rule.lane.name), "echo");
	snprintf(host.rule.lane.app, sizeof(host.rule.lane.app), "echo");
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0)
		return -1;
	return fd;
}

static void input_ready(struct mr_child *c, struct mr_watch *w)
{
	char byte;

	if (read(w->fd, &byte, 1) == 0)
		c->stopping = true;
}

static void serve(struct mr_child *c)
{
	struct epoll_event events[8];

	while (!c->stopping) {
		int n = epoll_wait(c->epoll, events, 8, mr_api_timeout(c, 50));

		for (int i = 0; i < n; i++) {
			struct mr_watch *w = events[i].data.ptr;

			w->ready(c, w);
		}
		mr_api_turn(c);
	}
}

int main(int argc, char *argv[])
{
	static struct mr_watch input = { STDIN_FILENO, input_ready };
	uint32_t n = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;

	if (!n || n > 1 << 26) {
		fprintf(stderr, "usage: mr-bench-conns SOCKET CONNECTIONS\n");
		return 2;
	}
	describe();
	host.d.control = listen_at(argv[1]);
	host.c.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (host.d.control < 0 || host.c.epoll < 0 || fill_lane(n) < 0 ||
	    mr_api_open(&host.c) < 0 || mr_child_watch(&host.c, &input) < 0) {
		perror("mr-bench-conns");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	serve(&host.c);
	mr_api_close(&host.c);
	mr_arena_unmap(&host.arena);
	return 0;
}
