// SPDX-License-Identifier: MIT
/* The one symbol that packetdrill asks for, and the settings in --so_flags. */
#include "tests/script/so/so.h"
#include "tests/script/so/packetdrill.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/mr_cc.h"
#include "user/lane/internal.h"

/* packetdrill looks this one up by name. */
__attribute__((visibility("default"))) void
packetdrill_interface_init(const char *flags, struct packetdrill_interface *ifc);

/* Our own runner asks how many threads wait inside a call: only then is the next line's turn. */
__attribute__((visibility("default"))) unsigned int mr_packetdrill_waiting(void *u);

/* ----- settings ----- */

struct setting {
	const char *name;
	size_t offset; /* in struct mr_lane_config, a 32-bit field */
};

/* clang-format off */
static const struct setting settings[] = {
	{ "mtu", offsetof(struct mr_lane_config, mtu) },
	{ "rcvbuf", offsetof(struct mr_lane_config, receive_buffer) },
	{ "delack_ms", offsetof(struct mr_lane_config, delayed_ack_ms) },
	{ "time_wait_ms", offsetof(struct mr_lane_config, time_wait_ms) },
	{ "fin_wait_ms", offsetof(struct mr_lane_config, fin_wait_ms) },
	{ "user_timeout_ms", offsetof(struct mr_lane_config, user_timeout_ms) },
	{ "mtu_probing", offsetof(struct mr_lane_config, mtu_probing) },
};
/* clang-format on */

static void complain(const char *what)
{
	fprintf(stderr, "mr-packetdrill: so_flags: cannot use %s\n", what);
	exit(2);
}

static void set_address(struct so *s, const char *text)
{
	if (inet_pton(AF_INET, text, s->local4 + 12) != 1 &&
	    inet_pton(AF_INET6, text, s->local6) != 1)
		complain(text);
}

/* Options of TCP that connections go without when they are 0. */
static uint32_t option_flag(const char *name)
{
	return strcmp(name, "timestamps") == 0 ? MR_CONN_TIMESTAMPS
	       : strcmp(name, "sack") == 0     ? MR_CONN_SACK
	       : strcmp(name, "wscale") == 0   ? MR_CONN_WINDOW_SCALE
					       : 0;
}

static bool set_number(struct so *s, const char *name, const char *value)
{
	char *end;
	unsigned long n = strtoul(value, &end, 0);

	if (!*value || *end || n > UINT32_MAX)
		return false;
	if (strcmp(name, "sndbuf") == 0) {
		s->sndbuf = (uint32_t)n;
		return true;
	}
	if (strcmp(name, "answer_ms") == 0) {
		s->answer_ms = (uint32_t)n;
		return true;
	}
	if (strcmp(name, "syn_linear") == 0) {
		s->syn_linear = (uint32_t)n;
		return true;
	}
	if (strcmp(name, "ecn_option") == 0) {
		s->no_ecn_option = !n;
		return true;
	}
	if (strcmp(name, "ecn_fallback") == 0) {
		s->keep_ect = !n;
		return true;
	}
	if (option_flag(name)) {
		s->options_off = n ? s->options_off & ~option_flag(name)
				   : s->options_off | option_flag(name);
		return true;
	}
	if (strcmp(name, "sysctl") == 0) {
		s->sysctls = n != 0;
		return true;
	}
	if (strcmp(name, "nagle") == 0) {
		s->config.nagle = n != 0;
		return true;
	}
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		uint32_t v = (uint32_t)n;

		if (strcmp(settings[i].name, name) != 0)
			continue;
		memcpy((char *)&s->config + settings[i].offset, &v, sizeof(v));
		return true;
	}
	return false;
}

/* A setting that is one of a table's words: @at gets its index. */
static bool set_word(const char *const *words, const char *value, uint8_t *at)
{
	for (uint8_t i = 0; words[i]; i++)
		if (strcmp(words[i], value) == 0) {
			*at = i;
			return true;
		}
	return false;
}

/* enum mr_syn_cookies */
static const char *const cookie_modes[] = { "off", "auto", "always", NULL };

bool so_set(struct so *s, const char *name, const char *value)
{
	if (strcmp(name, "cc") == 0)
		return set_word(mr_cc_names(), value, &s->cc);
	if (strcmp(name, "ecn") == 0)
		return set_word(mr_ecn_names(), value, &s->ecn);
	if (strcmp(name, "syn_cookies") == 0)
		return set_word(cookie_modes, value, &s->config.open.syn_cookies);
	return set_number(s, name, value);
}

/*
 * "name=value,name=value": addresses by `local`, settings of the kernel by their whole names, the
 * others into the lane's configuration.
 */
static void read_flags(struct so *s, const char *flags)
{
	char *copy = strdup(flags ? flags : "");
	char *rest = copy, *word;

	while (copy && (word = strsep(&rest, ",")) != NULL) {
		char *value = strchr(word, '=');

		word += strspn(word, " ");
		if (!*word)
			continue;
		if (!value)
			complain(word);
		*value++ = '\0';
		if (strcmp(word, "local") == 0)
			set_address(s, value);
		else if (!so_set_sysctl(s, word, value) && !so_set(s, word, value))
			complain(word);
	}
	free(copy);
}

/* ----- the lane ----- */

/* Linux's defaults as packetdrill's common scripts set them: receive buffer up to 15 MiB (window
 * scale 8), Nagle on, two hours of keepalive idle time. */
static void default_config(struct so *s)
{
	s->config = (struct mr_lane_config){
		.version = MR_WORKER_VERSION,
		.n_rules = SO_LISTENERS,
		.isn_secret = { 0x736372697074, 1 },
		.hash_secret = { 0x736372697074, 2 },
		.mtu = 1500,
		.mac = { 2, 0, 0, 0, 0, 2 },
		.nagle = 1,
		.receive_buffer = 15 << 20,
		.send_buffer = 4 << 20,
		.time_wait_ms = 60000,
		.fin_wait_ms = 60000,
		.delayed_ack_ms = 40,
		.beat_ms = 20,
		.keepalive = { 0, 7200, 75, 9 },
		.cpu = -1,
		.open = {
			.syn_cookies = MR_SYN_COOKIES_AUTO,
			.syn_ack_retries = 8,
			.fast_open_secret = { 0x736372697074, 3 },
		},
	};
	s->sndbuf = 4 << 20;
	s->answer_ms = MR_ANSWER_MS;
	s->syn_linear = 4; /* tcp_syn_linear_timeouts */
	s->sysctls = true;
	memcpy(s->local4, (uint8_t[16]){ [10] = 0xff, 0xff, 192, 168, 0, 2 }, 16);
	memcpy(s->local6, (uint8_t[16]){ 0xfd, 0x3d, 0xfa, 0x7b, 0xd1, 0x7d, [15] = 2 }, 16);
}

static void make_rules(struct so *s)
{
	for (unsigned int i = 0; i < SO_LISTENERS; i++) {
		s->rule[i] = (struct mr_lane_rule){
			.app = "script",
			.vlan = (uint32_t)MR_VLAN_ANY,
			.rule_id = (uint16_t)i,
			.protocol = 6,
			.any_family = 1,
			.backlog = SO_ACCEPT_MAX,
			.directory = -1,
			.cc = s->cc,
			.ecn = s->ecn,
		};
		snprintf(s->rule[i].name, sizeof(s->rule[i].name), "%jx",
			 (uintmax_t)(uintptr_t)s); /* app_start() reads it */
	}
}

static uint64_t clock_ns(void *arg)
{
	return so_now(arg);
}

/* No daemon: every listener is a rule, and paths are known before they are asked for. */
static const struct mr_lane_asks no_asks;

static int make_lane(struct so *s, char *error, size_t error_bytes)
{
	static const struct mr_app *const apps[] = { &so_app };
	struct mr_arena_sizes sizes = {
		.frames = SO_FRAMES,
		.frame_bytes = SO_FRAME_BYTES,
		.conns = 4096,
		.half_open = 4096,
		.time_wait = 4096,
		.sessions = 16,
		.message_bytes = 64 << 10,
	};
	bool huge;
	int err = mr_arena_create("mr-packetdrill", &sizes, false, &s->arena_fd, &huge);

	if (!err)
		err = mr_arena_map(&s->arena, s->arena_fd, true);
	if (!err)
		err = so_wire_init(s);
	s->paths = calloc(1, sizeof(*s->paths));
	if (err || !s->paths) {
		snprintf(error, error_bytes, "%s", strerror(err ? -err : ENOMEM));
		return -1;
	}
	s->setup = (struct mr_lane_setup){
		.arena = &s->arena,
		.port = mr_memory_port(s->wire, 0),
		.config = &s->config,
		.rules = s->rule,
		.stats = &s->stats,
		.paths = s->paths,
		.apps = apps,
		.n_apps = 1,
		.asks = &no_asks,
		.clock_ns = clock_ns,
		.clock_arg = s,
		.n_lanes = 1,
		.epoch = 1,
	};
	s->lane = mr_lane_new(&s->setup, error, error_bytes);
	if (!s->lane)
		return -1;
	so_configure_tcp(s);
	return 0;
}

/* ----- calls that are nobody else's ----- */

static void so_free(void *u)
{
	struct so *s = u;

	so_program_fini(s);
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	so_run(s);
	while (s->waiters)
		pthread_cond_wait(&s->changed, &s->lock);
	so_settle(s); /* they still read the clock */
	mr_lane_free(s->lane);
	while (s->socks)
		so_sock_free(s, s->socks);
	so_wire_fini(s);
	mr_arena_unmap(&s->arena);
	close(s->arena_fd);
	free(s->paths);
	pthread_mutex_unlock(&s->lock);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int so_usleep(void *u, useconds_t us)
{
	struct so *s = u;

	so_lock(s);
	so_advance(s, so_now(s) + us * SO_US);
	so_unlock(s);
	return 0;
}

/* The clock moves a little with each reading, so that who spins on it gets on. */
static int so_gettimeofday(void *u, struct timeval *tv, struct timezone *tz)
{
	struct so *s = u;
	uint64_t us;

	(void)tz;
	so_lock(s);
	if (pthread_equal(pthread_self(), s->main_thread))
		so_advance(s, so_now(s) + SO_US);
	us = so_now(s) / SO_US;
	so_read_time(s);
	so_unlock(s);
	tv->tv_sec = (time_t)(us / 1000000);
	tv->tv_usec = (suseconds_t)(us % 1000000);
	return 0;
}

static int so_pipe(void *u, int fds[2])
{
	(void)u;
	return pipe(fds);
}

unsigned int mr_packetdrill_waiting(void *u)
{
	struct so *s = u;
	unsigned int n = 0;

	pthread_mutex_lock(&s->lock);
	for (const struct so_waiter *w = s->waiters; w; w = w->next)
		n += !w->going;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void packetdrill_interface_init(const char *flags, struct packetdrill_interface *ifc)
{
	struct so *s = calloc(1, sizeof(*s));
	char error[256] = "no memory";

	if (!s) {
		complain(error);
		return;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->main_thread = pthread_self();
	default_config(s);
	read_flags(s, flags);
	make_rules(s);
	if (make_lane(s, error, sizeof(error)) < 0) {
		fprintf(stderr, "mr-packetdrill: no lane: %s\n", error);
		exit(2);
	}
	so_run(s);
	so_program_init(s);
	*ifc = (struct packetdrill_interface){
		.userdata = s,
		.free = so_free,
		.socket = so_socket,
		.bind = so_bind,
		.listen = so_listen,
		.accept = so_accept,
		.connect = so_connect,
		.read = so_read,
		.readv = so_readv,
		.recv = so_recv,
		.recvfrom = so_recvfrom,
		.recvmsg = so_recvmsg,
		.write = so_write,
		.writev = so_writev,
		.send = so_send,
		.sendto = so_sendto,
		.sendmsg = so_sendmsg,
		.fcntl = so_fcntl,
		.ioctl = so_ioctl,
		.close = so_close,
		.shutdown = so_shutdown,
		.getsockopt = so_getsockopt,
		.setsockopt = so_setsockopt,
		.poll = so_poll,
		.netdev_send = so_netdev_send,
		.netdev_receive = so_netdev_receive,
		.usleep = so_usleep,
		.gettimeofday = so_gettimeofday,
		.epoll_create = so_epoll_create,
		.epoll_ctl = so_epoll_ctl,
		.epoll_wait = so_epoll_wait,
		.pipe = so_pipe,
		.splice = so_splice,
	};
}
