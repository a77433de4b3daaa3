/* SPDX-License-Identifier: MIT */
/*
 * millrace capture: what the XDP program sees, whatever becomes of it, and what the lanes send,
 * into a pcapng file. The filter is compiled by libpcap and run here on the copies; with a filter
 * whole frames are copied, so that it may look anywhere, and are cut afterwards. The two sources
 * know nothing of each other: frames are held for a moment and written in the order of their times.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "user/cli/capture_file.h"
#include "user/cli/client.h"
#include "user/cli/order.h"
#include "user/cli/sent.h"
#include "user/cli/tap.h"

#define DEFAULT_PINS "/sys/fs/bpf/millrace"

enum {
	LOOK_MS = 50, /* how late a frame may come to the file */
	DEFAULT_RING_MIB = 4,
	FILTER_BYTES = 4096,
	HELD_MOST = 64 << 20, /* bytes of frames that wait for older ones; then none waits */
};

/* How much later than its time a frame may be found: then the other source has older ones. */
#define HOLD_NS 50000000ull

struct capture {
	struct mr_cli *cli;
	const char *path;
	char filter[FILTER_BYTES]; /* "": none */
	bool has_filter;
	struct bpf_program program;
	uint64_t count, seconds; /* 0: no end */
	struct mr_tap_wants wants;
	uint32_t snaplen;
	json_t *status, *rules;
	struct mr_capture_file *file;
	bool in, out;		     /* what is wanted: received, sent frames */
	struct mr_sent_reader *sent; /* NULL: none are to be had */
	struct mr_order order;
	int fd;
	uint64_t seen, written;
};

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

/* ----- arguments ----- */

static int read_filter(struct capture *c, const struct mr_arguments *a)
{
	size_t n = 0;

	for (int i = 0; i < a->n_rest; i++)
		n += (size_t)snprintf(c->filter + n,
				      n < sizeof(c->filter) ? sizeof(c->filter) - n : 0, "%s%s",
				      i ? " " : "", a->rest[i]);
	if (n >= sizeof(c->filter))
		return mr_cli_usage(c->cli, "the filter is longer than %d bytes", FILTER_BYTES - 1);
	c->has_filter = n > 0;
	return MR_CLI_OK;
}

static int compile_filter(struct capture *c)
{
	pcap_t *dead;
	int err = MR_CLI_OK;

	if (!c->has_filter)
		return MR_CLI_OK;
	dead = pcap_open_dead(DLT_EN10MB, MR_TAP_COPY_MOST);
	if (!dead)
		return mr_cli_error(c->cli, "out of memory");
	if (pcap_compile(dead, &c->program, c->filter, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		err = mr_cli_usage(c->cli, "filter \"%s\": %s (see: man pcap-filter)", c->filter,
				   pcap_geterr(dead));
		c->has_filter = false;
	}
	pcap_close(dead);
	return err;
}

static int read_direction(struct capture *c, const struct mr_arguments *a)
{
	const char *text = mr_arguments_find(a, "--direction");

	c->in = !text || !strcmp(text, "both") || !strcmp(text, "in");
	c->out = !text || !strcmp(text, "both") || !strcmp(text, "out");
	return c->in || c->out ? MR_CLI_OK
			       : mr_cli_usage(c->cli, "--direction %s: want in, out or both", text);
}

static int read_arguments(struct capture *c, const struct mr_arguments *a)
{
	uint64_t snaplen = MR_TAP_COPY_MOST, mib = DEFAULT_RING_MIB, bytes = 4096;
	int err = read_filter(c, a);

	if (!err)
		err = read_direction(c, a);
	if (!err)
		err = mr_cli_number(c->cli, a, "-c", 1, UINT64_MAX, &c->count);
	if (!err)
		err = mr_cli_number(c->cli, a, "--seconds", 1, UINT32_MAX, &c->seconds);
	if (!err)
		err = mr_cli_number(c->cli, a, "--snaplen", 14, UINT32_MAX, &snaplen);
	if (!err)
		err = mr_cli_number(c->cli, a, "--buffer", 1, 1024, &mib);
	if (err)
		return err;
	c->path = mr_arguments_find(a, "-w");
	if (!c->path || !c->path[0])
		return mr_cli_usage(c->cli, "say where to: -w FILE, or -w - for stdout");
	if (c->cli->json)
		return mr_cli_usage(c->cli, "-j: the answer is a pcapng file");
	c->snaplen = snaplen < MR_TAP_COPY_MOST ? (uint32_t)snaplen : MR_TAP_COPY_MOST;
	while (bytes < mib << 20)
		bytes *= 2;
	c->wants.ring_bytes = (uint32_t)bytes;
	c->wants.copy_bytes = c->has_filter ? MR_TAP_COPY_MOST : c->snaplen;
	return compile_filter(c);
}

/* ----- what the daemon knows; without one, numbers have to do ----- */

static void ask_daemon(struct capture *c)
{
	char why[MR_CLIENT_WORDS];

	if (mr_client_try(c->cli, "/v1/status", &c->status, why) < 0)
		fprintf(stderr, "millrace: capture: %s; goes on without names\n", why);
	else
		mr_client_try(c->cli, "/v1/rules", &c->rules, why);
}

static int find_interface(struct capture *c, const char *name)
{
	const json_t *one;
	size_t i;

	if (!name)
		return MR_CLI_OK;
	json_array_foreach(json_object_get(c->status, "interfaces"), i, one)
	{
		const char *theirs = json_string_value(json_object_get(one, "name"));

		if (theirs && !strcmp(theirs, name))
			c->wants.ifindex =
				(uint32_t)json_integer_value(json_object_get(one, "ifindex"));
	}
	if (!c->wants.ifindex)
		c->wants.ifindex = if_nametoindex(name);
	if (!c->wants.ifindex)
		return mr_cli_error(c->cli, "-i %s: no such interface (see: millrace lane list)",
				    name);
	return MR_CLI_OK;
}

static void find_pins(struct capture *c, const struct mr_arguments *a)
{
	const char *given = mr_arguments_find(a, "--pins");
	const char *told = json_string_value(json_object_get(c->status, "pin_directory"));

	c->wants.pins = given ? given : told ? told : DEFAULT_PINS;
}

/* ----- capturing ----- */

static bool is_wanted(const struct capture *c, const struct mr_tap_frame *head,
		      const uint8_t *bytes)
{
	const struct pcap_pkthdr h = { .caplen = head->copied, .len = head->frame_bytes };

	return !c->has_filter || pcap_offline_filter(&c->program, &h, bytes) != 0;
}

static int write_frame(void *arg, const struct mr_capture_frame *frame, const uint8_t *bytes)
{
	struct capture *c = arg;
	int err;

	if (c->count && c->written == c->count)
		return -ECANCELED;
	err = mr_capture_file_put(c->file, frame, bytes);
	if (err)
		return err;
	c->written++;
	return c->count && c->written == c->count ? -ECANCELED : 0;
}

static int take(struct capture *c, const struct mr_capture_frame *frame, const uint8_t *bytes)
{
	int err;

	c->seen++;
	if (!is_wanted(c, &frame->tap, bytes))
		return 0;
	err = mr_order_put(&c->order, frame, bytes);
	if (!err && c->order.bytes > HELD_MOST)
		err = mr_order_flush(&c->order, UINT64_MAX, write_frame, c);
	return err;
}

static int take_received(void *arg, const struct mr_tap_frame *head, const uint8_t *bytes)
{
	struct capture *c = arg;
	struct mr_capture_frame frame = { .tap = *head };

	return c->in ? take(c, &frame, bytes) : 0;
}

static int take_sent(void *arg, const struct mr_sent_lane *lane, const struct mr_sent_frame *head,
		     const uint8_t *bytes)
{
	struct mr_capture_frame frame = {
		.tap = {
			.time_ns = head->time_ns,
			.ifindex = lane->ifindex,
			.queue = lane->queue,
			.frame_bytes = head->frame_bytes,
			.copied = head->copied,
			.rule_id = head->rule,
			.slot = lane->slot,
		},
		.sent = true,
		.conn = head->conn,
		.generation = head->generation,
	};

	return take(arg, &frame, bytes);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What the lanes sent; without a daemon the rest goes on. */
static int read_sent(struct capture *c)
{
	char words[MR_CLIENT_WORDS];
	int err = c->sent ? mr_sent_read(c->sent, words) : 0;

	if (err != -EREMOTEIO)
		return err;
	fprintf(stderr, "millrace: capture: frames sent: %s; goes on without\n", words);
	mr_sent_close(c->sent);
	c->sent = NULL;
	return 0;
}

/* One look at both sources, and what is old enough into the file. */
static int look(struct capture *c, struct mr_tap_reader *tap, char why[MR_TAP_WORDS])
{
	uint64_t start = now_ns();
	int err = read_sent(c);

	if (!err)
		err = mr_tap_read(tap, LOOK_MS, why);
	if (err == -EINTR)
		err = 0;
	if (!err)
		err = mr_order_flush(&c->order, c->sent ? start - HOLD_NS : UINT64_MAX, write_frame,
				     c);
	return err ? err : mr_capture_file_flush(c->file);
}

/* 0, or -errno with @why. */
static int capture_all(struct capture *c, struct mr_tap_reader *tap, char why[MR_TAP_WORDS])
{
	uint64_t end_ns = now_ns() + c->seconds * 1000000000;
	int err = 0;

	while (!ended && !err && (!c->seconds || now_ns() < end_ns))
		err = look(c, tap, why);
	mr_tap_stop(tap);
	if (!err)
		err = mr_tap_drain(tap);
	if (!err)
		err = read_sent(c);
	if (!err)
		err = mr_order_flush(&c->order, UINT64_MAX, write_frame, c);
	return err == -ECANCELED ? 0 : err;
}

static int report(struct capture *c, struct mr_tap_reader *tap, int err, const char *why)
{
	uint64_t lost = (c->in ? mr_tap_lost(tap) : 0) + mr_sent_lost(c->sent);
	int end_err = mr_capture_file_end(c->file, c->seen + lost, lost);

	if (!err)
		err = end_err;
	fprintf(stderr,
		"millrace: capture: %" PRIu64 " frames written, %" PRIu64 " seen, %" PRIu64
		" lost%s\n",
		c->written, c->seen, lost,
		lost ? " (a larger --buffer, a smaller --snaplen or a narrower -i helps)" : "");
	if (err == -EPIPE && !strcmp(c->path, "-"))
		return MR_CLI_OK; /* the reader has enough */
	if (err)
		return mr_cli_error(c->cli, "%s", why[0] ? why : strerror(-err));
	return MR_CLI_OK;
}

static int open_file(struct capture *c)
{
	bool is_stdout = !strcmp(c->path, "-");
	int err;

	if (is_stdout && isatty(STDOUT_FILENO))
		return mr_cli_usage(c->cli, "-w -: stdout is a terminal");
	c->fd = is_stdout ? dup(STDOUT_FILENO)
			  : open(c->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (c->fd < 0)
		return mr_cli_error(c->cli, "%s: %s", c->path, strerror(errno));
	c->file = mr_capture_file_new(c->fd, c->status, c->rules, c->snaplen,
				      c->has_filter ? c->filter : NULL);
	if (!c->file)
		return mr_cli_error(c->cli, "out of memory");
	err = mr_capture_file_flush(c->file);
	return err ? mr_cli_error(c->cli, "%s: %s", c->path, strerror(-err)) : MR_CLI_OK;
}

static int open_sent(struct capture *c)
{
	char why[MR_CLIENT_WORDS] = "the daemon does not answer";

	if (!c->out)
		return MR_CLI_OK;
	if (c->status)
		c->sent = mr_sent_open(c->cli, c->status, c->wants.ifindex, c->wants.copy_bytes,
				       take_sent, c, why);
	if (c->sent)
		return MR_CLI_OK;
	if (!c->in)
		return mr_cli_error(c->cli, "frames sent: %s", why);
	fprintf(stderr, "millrace: capture: frames sent: %s; goes on without\n", why);
	return MR_CLI_OK;
}

/* The file is touched once frames come: one that was there is not lost for nothing. */
static int run(struct capture *c)
{
	char why[MR_TAP_WORDS] = "";
	struct mr_tap_reader *tap = mr_tap_open(&c->wants, take_received, c, why);
	int err;

	if (!tap)
		return mr_cli_error(c->cli, "%s", why);
	err = open_sent(c);
	if (!err)
		err = open_file(c);
	if (!err) {
		fprintf(stderr, "millrace: capture: frames go to %s; Ctrl-C ends it\n",
			strcmp(c->path, "-") ? c->path : "stdout");
		err = report(c, tap, capture_all(c, tap, why), why);
	}
	mr_tap_close(tap);
	return err;
}

static void catch_signals(void)
{
	struct sigaction a = { .sa_handler = end };

	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGHUP, &a, NULL);
	a.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &a, NULL);
}

int mr_cli_capture(struct mr_cli *cli, const struct mr_arguments *a)
{
	struct capture c = { .cli = cli, .fd = -1 };
	int err = read_arguments(&c, a);

	if (!err) {
		catch_signals();
		ask_daemon(&c);
		find_pins(&c, a);
		err = find_interface(&c, mr_arguments_find(a, "-i"));
	}
	if (!err)
		err = run(&c);
	if (c.fd >= 0)
		close(c.fd);
	mr_capture_file_free(c.file);
	mr_sent_close(c.sent);
	mr_order_free(&c.order);
	if (c.has_filter)
		pcap_freecode(&c.program);
	json_decref(c.status);
	json_decref(c.rules);
	return err;
}
