/* SPDX-License-Identifier: MIT */
/*
 * millraced.yaml(5): what the daemon takes, its defaults, and that each mistake is one line which
 * names the file, the line and the cure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "millrace/tlv.h"
#include "shared/mr_cc.h"
#include "user/daemon/config.h"

/* Lines 1 to 3 of most files here. */
#define TOP                                                                                        \
	"user: nobody\n"                                                                           \
	"interfaces:\n"                                                                            \
	"  - name: eth0\n"
/* Line 4, and the first rule from line 5 on. */
#define RULES TOP "rules:\n"
#define RULE  "  - name: one\n    port: 7000\n    app: echo\n"

static char file[] = "/tmp/mr-config-test-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(file);

	(void)state;
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(file);
}

static int load(const char *text, struct mr_settings *s, char error[MR_CONFIG_ERROR_BYTES])
{
	FILE *out = fopen(file, "w");

	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
	return mr_settings_load(file, s, error);
}

/* The error is one line "FILE:LINE: ..." that holds @words. */
static void refuses(const char *text, unsigned int line, const char *words)
{
	char error[MR_CONFIG_ERROR_BYTES], where[64];
	struct mr_settings s;

	if (load(text, &s, error) == 0)
		fail_msg("taken, though \"%s\" was expected for:\n%s", words, text);
	snprintf(where, sizeof(where), "%s:%u: ", file, line);
	if (strncmp(error, where, strlen(where)) || !strstr(error, words) || strchr(error, '\n'))
		fail_msg("\"%s\" is not line %u with \"%s\" for:\n%s", error, line, words, text);
	assert_null(s.rules);
	assert_null(s.file);
}

static void takes(const char *text, struct mr_settings *s)
{
	char error[MR_CONFIG_ERROR_BYTES];

	if (load(text, s, error) != 0)
		fail_msg("refused: %s", error);
}

static void smallest_file_gets_the_defaults(void **state)
{
	struct mr_settings s;

	(void)state;
	takes(RULES RULE, &s);
	assert_string_equal(s.user, "nobody");
	assert_string_equal(s.run_directory, "/run/millrace");
	assert_string_equal(s.pin_directory, "/sys/fs/bpf/millrace");
	assert_null(s.http);
	assert_int_equal(s.n_interfaces, 1);
	assert_int_equal(s.interfaces[0].queues, 0);
	assert_int_equal(s.interfaces[0].mode, MR_ATTACH_AUTO);
	assert_int_equal(s.interfaces[0].bind, MR_XSK_AUTO);
	assert_false(s.interfaces[0].force);
	assert_int_equal(s.stale_ms, 50);
	assert_int_equal(s.grace_ms, 3000);
	assert_int_equal(s.lanes.frames, 8192);
	assert_int_equal(s.lanes.frame_bytes, 0);
	assert_int_equal(s.lanes.message_bytes, 64 << 20);
	assert_int_equal(s.lanes.port_lo, 61000);
	assert_int_equal(s.lanes.port_hi, 64999);
	assert_true(s.tcp.nagle);
	assert_int_equal(s.tcp.mtu_probing, MR_MTU_PROBING_BLACK_HOLE);
	assert_false(s.tcp.keepalive.enabled);
	assert_int_equal(s.rules[0].lane.cc, MR_CC_CUBIC);
	assert_int_equal(s.rules[0].lane.ecn, MR_ECN_PASSIVE);
	assert_int_equal(s.tcp.open.syn_cookies, MR_SYN_COOKIES_AUTO);
	assert_int_equal(s.tcp.open.overflow, MR_OVERFLOW_DROP);
	assert_int_equal(s.tcp.open.syn_ack_retries, 7);
	assert_int_equal(s.tcp.open.fast_open, 0);
	assert_int_equal(s.tcp.open.fast_open_pending, 128);
	assert_int_equal(s.tcp.open.source_connections, 0);
	assert_int_equal(s.rules[0].lane.backlog, 128);
	assert_int_equal(s.rules[0].lane.any_family, 1);
	assert_int_equal(s.rules[0].lane.vlan, (uint32_t)MR_VLAN_ANY);
	assert_int_equal(s.rules[0].lane.tlv.tag_bytes, 2);
	assert_int_equal(s.rules[0].lane.tlv.length_bytes, 4);
	assert_int_equal(s.rules[0].lane.tlv.max_bytes, 1 << 20);
	assert_int_equal(s.rules[0].lane.tlv.check, MR_TLV_CHECK_NONE);
	assert_int_equal(s.rules[0].lane.heartbeat.partial_ms, 30000);
	assert_int_equal(s.rules[0].lane.directory, -1);
	mr_settings_free(&s);
}

static uint32_t of_the_host(const char *path)
{
	FILE *in = fopen(path, "re");
	unsigned int v = 0;

	if (!in)
		return 0;
	if (fscanf(in, "%u", &v) != 1)
		v = 0;
	fclose(in);
	return v;
}

/* RFC 9293 3.8.4, MUST-28: two hours at least, unless the host's administrator said otherwise. */
static void absent_keepalive_takes_the_hosts_or_two_hours(void **state)
{
	uint32_t idle = of_the_host("/proc/sys/net/ipv4/tcp_keepalive_time");
	struct mr_settings s;

	(void)state;
	takes(RULES RULE, &s);
	assert_int_equal(s.tcp.keepalive.idle_s, idle ? idle : 7200);
	mr_settings_free(&s);
	takes("tcp: {keepalive: {idle_s: 9}}\n" RULES RULE, &s);
	assert_int_equal(s.tcp.keepalive.idle_s, 9);
	mr_settings_free(&s);
}

static void every_key_is_taken(void **state)
{
	struct mr_settings s;

	(void)state;
	takes("user: nobody\nrun_directory: /run/x\npin_directory: /sys/fs/bpf/x\nhttp: '[::1]:9'\n"
	      "interfaces:\n  - {name: eth0, queues: 2, mode: native, bind: copy, force: true}\n"
	      "heartbeat: {stale_ms: 20, grace_ms: 100}\n"
	      "lanes: {frames: 5000, frame_bytes: 4096, huge_pages: never, connections: 100,\n"
	      "  half_open: 50, time_wait: 60, message_bytes: 100000, receive_buffer: 5000,\n"
	      "  send_buffer: 6000, busy_poll_us: 0, coalesce_us: 70, cpus: [1, 3], "
	      "capture_directory: /tmp,\n"
	      "  ports: 40000-40999, sockets: renew}\n"
	      "tcp: {nagle: false, user_timeout_ms: 1, time_wait_ms: 2, fin_wait_ms: 3000,\n"
	      "  delayed_ack_ms: 4, mtu_probing: on, keepalive: {enabled: true, idle_s: 5, "
	      "interval_s: 6, count: "
	      "7},\n"
	      "  syn_cookies: always, overflow: reset, syn_ack_retries: 5,\n"
	      "  fast_open: both, fast_open_pending: 1000,\n"
	      "  per_source: {connections: 20, half_open: 3}}\n"
	      "rules:\n"
	      "  - {name: a, protocol: tcp, address: 192.0.2.2, port: 1, vlan: 7, app: store,\n"
	      "     fallback: kernel, backlog: 9, nodelay: true, ttl: 3, dscp: 46, directory: "
	      "/var/lib/a,\n"
	      "     tlv: {tag_bytes: 8, length_bytes: 2, order: little, length_has_header: true,\n"
	      "           max_bytes: 1000, check: crc32c},\n"
	      "     heartbeat: {ping_tag: 0xffffffffffffffff, pong_tag: 2, idle_ms: 3,\n"
	      "           partial_ms: 4, ping_ms: 5, pong_ms: 6, handler_ms: 7, send_ms: 8}}\n"
	      "  - {name: b, address: '2001:db8::2', port: 1, vlan: 0, app: drill}\n",
	      &s);
	assert_int_equal(s.lanes.frames, 8192); /* rounded up */
	assert_int_equal(s.lanes.message_bytes, 131072);
	assert_int_equal(s.lanes.n_cpus, 2);
	assert_int_equal(s.lanes.coalesce_us, 70);
	assert_true(s.lanes.renew_sockets);
	assert_int_equal(s.tcp.mtu_probing, MR_MTU_PROBING_ON);
	assert_int_equal(s.lanes.cpus[1], 3);
	assert_int_equal(s.rules[0].lane.addr[10], 0xff);
	assert_int_equal(s.rules[0].lane.addr[12], 192);
	assert_int_equal(s.rules[0].lane.family, 4);
	assert_int_equal(s.rules[0].lane.vlan, 7);
	assert_int_equal(s.rules[0].fallback, MR_FALLBACK_KERNEL);
	assert_int_equal(s.rules[0].lane.directory, 0);
	assert_string_equal(s.directories[0], "/var/lib/a");
	assert_true(s.rules[0].lane.heartbeat.ping_tag == UINT64_MAX);
	assert_int_equal(s.rules[0].lane.heartbeat.send_ms, 8);
	assert_int_equal(s.rules[0].lane.tlv.max_bytes, 1000);
	assert_int_equal(s.rules[0].lane.tlv.check, MR_TLV_CHECK_CRC32C);
	assert_int_equal(s.rules[1].lane.family, 6);
	assert_int_equal(s.rules[0].lane.ttl, 3);
	assert_int_equal(s.rules[0].lane.dscp, 46);
	assert_int_equal(s.rules[1].lane.vlan, 0);
	assert_int_equal(s.rules[1].lane.ttl, 64);
	assert_int_equal(s.rules[1].lane.rule_id, 1);
	assert_int_equal(s.tcp.keepalive.count, 7);
	assert_int_equal(s.tcp.open.syn_cookies, MR_SYN_COOKIES_ALWAYS);
	assert_int_equal(s.tcp.open.overflow, MR_OVERFLOW_RESET);
	assert_int_equal(s.tcp.open.syn_ack_retries, 5);
	assert_int_equal(s.tcp.open.fast_open, MR_FAST_OPEN_SERVER | MR_FAST_OPEN_CLIENT);
	assert_int_equal(s.tcp.open.fast_open_pending, 1000);
	assert_int_equal(s.tcp.open.source_connections, 20);
	assert_int_equal(s.tcp.open.source_half_open, 3);
	mr_settings_free(&s);
}

static void congestion_control_of_a_rule_or_of_all(void **state)
{
	struct mr_settings s;

	(void)state;
	takes(TOP "tcp: {congestion_control: bbr, ecn: on}\nrules:\n"
		  "  - {name: a, port: 1, app: echo}\n"
		  "  - {name: b, port: 2, app: echo, congestion_control: cubic, ecn: off}\n"
		  "  - {name: d, port: 4, app: echo, congestion_control: cubic, ecn: passive}\n",
	      &s);
	assert_int_equal(s.rules[0].lane.cc, MR_CC_BBR);
	assert_int_equal(s.rules[0].lane.ecn, MR_ECN_ON);
	assert_int_equal(s.rules[1].lane.cc, MR_CC_CUBIC);
	assert_int_equal(s.rules[1].lane.ecn, MR_ECN_OFF);
	assert_int_equal(s.rules[2].lane.cc, MR_CC_CUBIC);
	assert_int_equal(s.rules[2].lane.ecn, MR_ECN_PASSIVE);
	mr_settings_free(&s);
	refuses(RULES "  - name: one\n    port: 1\n    app: echo\n    congestion_control: vegas\n",
		8, "\"vegas\" is none of cubic, newreno, dctcp, bbr");
	refuses(RULES "  - name: one\n    port: 1\n    app: echo\n    ecn: maybe\n", 8,
		"\"maybe\" is none of passive, off, on");
	refuses(TOP "tcp:\n  congestion_control: dctcp\n  ecn: off\nrules: []\n", 6,
		"dctcp lives on ECN");
	refuses(TOP "tcp:\n  congestion_control: reno\nrules: []\n", 5, "none of cubic, newreno");
}

static void particular_rule_beside_a_general_one_is_no_clash(void **state)
{
	struct mr_settings s;

	(void)state;
	takes(RULES RULE "  - {name: two, port: 7000, address: 192.0.2.2, app: sink}\n"
			 "  - {name: three, port: 7000, address: 192.0.2.2, vlan: 0, app: sink}\n",
	      &s);
	assert_int_equal(s.n_rules, 3);
	mr_settings_free(&s);
}

static void file_that_is_not_there(void **state)
{
	char error[MR_CONFIG_ERROR_BYTES];
	struct mr_settings s;

	(void)state;
	assert_int_equal(mr_settings_load("/nowhere/x.yaml", &s, error), -ENOENT);
	assert_non_null(strstr(error, "/nowhere/x.yaml: No such file"));
	assert_int_equal(mr_settings_load("/", &s, error), -EISDIR);
	assert_string_equal(error, "/: Is a directory; name a file with -c");
}

static void yaml_that_is_broken(void **state)
{
	(void)state;
	refuses("", 1, "file is empty");
	refuses("just words\n", 1, "must be a mapping");
	refuses(RULES "  - name: one\n   port: 7000\n", 6, "not YAML");
	refuses(RULES "  - name: [one\n", 6, "not YAML");
	refuses("user: \"no\x01\"\n", 1, "not YAML");
	refuses("user: \"no\\0body\"\n" RULES RULE, 1, "zero byte");
}

static void structure_that_is_wrong(void **state)
{
	(void)state;
	refuses("usr: nobody\n", 1, "unknown key \"usr\"; did you mean \"user\"?");
	refuses("xyz: nobody\n", 1, "unknown key \"xyz\"; the keys here are user, run_directory");
	refuses(RULES "  - name: one\n    port: 7000\n    app: echo\n    prot: tcp\n", 8,
		"did you mean \"protocol\"?");
	refuses(RULES "  - name: one\n    port: 1\n    app: echo\n    tlv:\n      tags: 2\n", 9,
		"did you mean \"tag_bytes\"?");
	refuses(RULES "  - name: one\n    app: echo\n", 5, "key \"port\" is missing");
	refuses(TOP, 1, "key \"rules\" is missing");
	refuses(RULES "  - name: one\n    name: two\n", 6, "stands twice, first in line 5");
	refuses(RULES "  name: one\n", 5, "must be a list");
	refuses(TOP "rules: 5\n", 4, "must be a list");
	refuses(RULES "  - name: one\n    port: [7000]\n", 6, "must be a single value, not a list");
	refuses(RULES "  - name: one\n    port:\n", 6, "has no value");
	refuses(RULES "  - just text\n", 5, "must be a mapping");
	refuses(TOP "tcp: 5\nrules: []\n", 4, "must be a mapping");
	refuses("interfaces: []\nrules: []\nuser: nobody\n", 1, "interfaces: is empty");
}

static void values_of_the_wrong_kind(void **state)
{
	(void)state;
	refuses(RULES "  - name: one\n    port: http\n", 6, "\"http\" is not a number");
	refuses(RULES "  - name: one\n    port: -1\n", 6, "\"-1\" is not a number");
	refuses(RULES "  - name: one\n    port: 08\n", 6, "\"08\" is not a number");
	refuses(RULES "  - name: one\n    port: 99999999999999999999\n", 6, "is not a number");
	refuses(RULES "  - name: one\n    nodelay: maybe\n", 6, "neither true nor false");
	refuses(TOP "lanes:\n  cpus: [0, one]\nrules: []\n", 5, "\"one\" is not a number");
}

static void values_out_of_range(void **state)
{
	(void)state;
	refuses(RULES "  - name: one\n    port: 65536\n    app: echo\n", 6, "give 1 to 65535");
	refuses(RULES "  - name: one\n    port: 0\n    app: echo\n", 6, "give 1 to 65535");
	refuses(TOP "heartbeat:\n  stale_ms: 1\nrules: []\n", 5, "give 5 to 60000");
	refuses(TOP "heartbeat:\n  stale_ms: 50\n  grace_ms: 50\nrules: []\n", 6, "must be longer");
	refuses(TOP "lanes:\n  frames: 3\nrules: []\n", 5, "give 256 to 1048576");
	refuses(TOP "lanes:\n  frame_bytes: 3000\nrules: []\n", 5, "neither 2048 nor 4096");
	refuses(TOP "lanes:\n  huge_pages: always\nrules: []\n", 5, "none of never, auto");
	refuses(TOP "lanes:\n  sockets: keep\nrules: []\n", 5, "none of auto, renew");
	refuses(TOP "lanes:\n  cpus: [0, 5000]\nrules: []\n", 5, "give 0 to 1023");
	refuses(TOP "lanes:\n  ports: 100-200\nrules: []\n", 5, "is no range");
	refuses(TOP "lanes:\n  ports: 2000-1999\nrules: []\n", 5, "is no range");
	refuses(TOP "lanes:\n  ports: 2000-2999x\nrules: []\n", 5, "is no range");
	refuses(TOP "tcp:\n  keepalive:\n    idle_s: 0\nrules: []\n", 6, "give 1 to 32767");
	refuses("run_directory: here\n" RULES RULE, 1, "does not start with /");
	refuses("http: 10.0.0.1:80\n" RULES RULE, 1, "is not of loopback");
	refuses("http: 0.0.0.0:9270\n" RULES RULE, 1, "is not of loopback");
	refuses("http: '[::]:9270'\n" RULES RULE, 1, "is not of loopback");
	refuses("http: 127.0.0.1\n" RULES RULE, 1, "is no ADDRESS:PORT");
	refuses("http: 127.0.0.1:0\n" RULES RULE, 1, "is no ADDRESS:PORT");
	refuses("http: 127.0.0.1:65536\n" RULES RULE, 1, "is no ADDRESS:PORT");
	refuses("http: '::1:9270'\n" RULES RULE, 1, "is no ADDRESS:PORT");
	refuses("http: ':9270'\n" RULES RULE, 1, "is no ADDRESS:PORT");
	refuses("interfaces:\n  - name: a-name-that-is-too-long\nrules: []\n", 2, "longer than 15");
	refuses("interfaces:\n  - name: a/b\nrules: []\n", 2, "cannot be an interface");
	refuses("interfaces:\n  - name: eth0\n    queues: few\nrules: []\n", 3,
		"neither all nor 1");
	refuses("interfaces:\n  - name: eth0\n    mode: fast\nrules: []\n", 3,
		"none of auto, native, generic");
	refuses("interfaces:\n  - name: e\n    mode: generic\n    bind: zerocopy\nrules: []\n", 4,
		"needs a native program");
	refuses("interfaces:\n  - name: e\n  - name: e\nrules: []\n", 3, "stands twice");
}

static void users_that_cannot_be(void **state)
{
	(void)state;
	refuses("interfaces:\n  - name: e\nrules: []\nuser: nobody-of-that-name\n", 4,
		"does not exist");
	refuses("interfaces:\n  - name: e\nrules: []\nuser: root\n", 4, "is root");
}

static void rules_that_make_no_sense(void **state)
{
	(void)state;
	refuses(RULES "  - name: one two\n    port: 1\n    app: echo\n", 5, "no spaces");
	refuses(RULES "  - name: n\n    port: 1\n    app: ecko\n", 7, "none of echo, sink, store");
	refuses(RULES "  - name: n\n    port: 1\n    app: echo\n    protocol: udp\n", 8,
		"no application takes datagrams yet");
	refuses(RULES "  - name: n\n    port: 1\n    app: echo\n    protocol: sctp\n", 8,
		"is not tcp");
	refuses(RULES "  - name: n\n    port: 1\n    app: echo\n    address: 1.2.3\n", 8,
		"neither any, IPv4 nor IPv6");
	refuses(RULES "  - name: n\n    port: 1\n    app: echo\n    address: 224.0.0.1\n", 8,
		"no connection can go to");
	refuses(RULES "  - name: n\n    port: 1\n    app: echo\n    vlan: 4095\n", 8,
		"neither any, 0 (untagged)");
	refuses(RULES "  - name: n\n    port: 1\n    app: store\n", 7, "add directory: PATH");
	refuses(RULES "  - name: n\n    port: 1\n    app: store\n    directory: here\n", 8,
		"does not start with /");
	refuses(RULES "  - name: n\n    port: 1\n    app: echo\n    fallback: drop\n", 8,
		"none of none, kernel");
	refuses(RULES "  - name: n\n    port: 61000\n    app: echo\n", 5, "lies in lanes.ports");
}

static void tlv_settings_that_make_no_sense(void **state)
{
	static const char *const head = RULES "  - name: n\n    port: 1\n    app: echo\n    tlv:\n";
	static const struct {
		const char *line, *words;
	} bad[] = {
		{ "      tag_bytes: 3\n", "none of 1, 2, 4, 8" },
		{ "      length_bytes: 0\n", "none of 1, 2, 4, 8" },
		{ "      order: middle\n", "none of big, little" },
		{ "      max_bytes: 0\n", "give 1 to" },
		{ "      check: crc32\n", "none of none, crc32c" },
		{ "      max_bytes: 67108865\n", "give 1 to 67108864" },
		{ "      {length_bytes: 1, max_bytes: 256}\n", "give 1 to 255" },
		{ "      {length_bytes: 1, length_has_header: true, max_bytes: 255}\n", "to 252" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), "%s%s", head, bad[i].line);
		/* A value in braces has the line of the key before it. */
		refuses(text, 9, bad[i].words);
	}
	refuses(RULES "  - name: n\n    port: 1\n    app: drill\n    tlv: {tag_bytes: 2}\n", 8,
		"takes bytes, not messages");
}

static void heartbeats_that_make_no_sense(void **state)
{
#define HEAD RULES "  - name: n\n    port: 1\n    app: echo\n    heartbeat: "
	(void)state;
	refuses(HEAD "{ping_tag: 1}\n", 8, "belong together");
	refuses(HEAD "{ping_ms: 10}\n", 8, "need ping_tag");
	refuses(HEAD "{ping_tag: 1, pong_tag: 1}\n", 8, "are both 1");
	refuses(HEAD "{ping_tag: 65536, pong_tag: 1}\n", 8, "a tag of 2 bytes cannot hold");
	refuses(HEAD "{ping_tag: 1, pong_tag: 2, pong_ms: 5}\n", 8, "pong_ms needs ping_ms");
	refuses(HEAD "{idle_ms: 86400001}\n", 8, "give 0 to 86400000");
	refuses(RULES "  - name: n\n    port: 1\n    app: drill\n    heartbeat: {idle_ms: 2}\n", 8,
		"takes bytes, not messages");
#undef HEAD
}

static void rules_that_clash(void **state)
{
	(void)state;
	refuses(RULES RULE "  - {name: two, port: 7000, app: sink}\n", 8,
		"rule two clashes with rule one in line 5");
	refuses(RULES RULE "  - {name: one, port: 7001, app: sink}\n", 8,
		"the rule in line 5 has the same name");
	refuses(RULES RULE "  - {name: two, port: 1, address: 192.0.2.2, app: sink}\n"
			   "  - name: three\n    port: 1\n    address: 192.0.2.2\n    app: sink\n",
		9, "rule three clashes with rule two in line 8");
}

static void filters_and_what_they_name(void **state)
{
	static const char list[] = "/tmp/mr-config-list";
	const struct mr_settings_rule *r;
	char error[MR_CONFIG_ERROR_BYTES];
	struct mr_settings s;
	FILE *out = fopen(list, "w");

	(void)state;
	assert_non_null(out);
	fputs("# bad people\n10.0.0.0/8\n  10.1.0.0/16 ; inside\n\n2001:db8::/32\n", out);
	fclose(out);
	assert_int_equal(
		load(RULES "  - {name: bad, action: drop, source_file: /tmp/mr-config-list}\n" RULE
			   "  - {name: some, action: pass, protocol: any, port: 80-90, vlan: 7,\n"
			   "     interface: eth0, destination: '192.0.2.0/24, ::/0', priority: 9,\n"
			   "     comment: for now}\nmode: monitor\n",
		     &s, error),
		0);
	assert_int_equal(s.mode, MR_MODE_MONITOR);
	assert_int_equal(s.n_rules, 1);
	assert_int_equal(s.rules[0].match.priority, MR_PRIORITY_STEER);
	assert_int_equal(s.n_filters, 2);
	r = &s.filters[0];
	assert_int_equal(r->action, MR_ACTION_DROP);
	assert_int_equal(r->match.priority, MR_PRIORITY_FILTER);
	assert_int_equal(r->match.protocol, IPPROTO_TCP);
	assert_int_equal(r->match.port_lo, 0);
	assert_int_equal(r->match.port_hi, 65535);
	assert_int_equal(r->match.source.n, 2); /* one lay in the other */
	assert_int_equal(r->match.source.width, 1 + 32);
	assert_int_equal(r->lane.rule_id, MR_RULES_MOST - 1);
	r = &s.filters[1];
	assert_int_equal(r->match.protocol, 0);
	assert_int_equal(r->match.port_lo, 80);
	assert_int_equal(r->match.port_hi, 90);
	assert_int_equal(r->match.vlan, 7);
	assert_int_equal(r->match.priority, 9);
	assert_string_equal(r->match.interface, "eth0");
	assert_string_equal(r->comment, "for now");
	assert_int_equal(r->match.destination.n, 2);
	mr_settings_free(&s);
	remove(list);
}

static void filters_that_make_no_sense(void **state)
{
#define FILTER RULES "  - {name: f, action: drop, "
	(void)state;
	refuses(RULES "  - {name: f, action: lose}\n", 5, "is none of steer, pass, drop");
	refuses(FILTER "app: echo}\n", 5, "app is for rules that steer");
	refuses(FILTER "port: 9-8}\n", 5, "the lower one first");
	refuses(FILTER "port: 1-65536}\n", 5, "no range");
	refuses(FILTER "priority: 65536}\n", 5, "give 0 to 65535");
	refuses(FILTER "protocol: icmp}\n", 5, "is not tcp, udp or any");
	refuses(FILTER "interface: nope0}\n", 5, "none of those under interfaces");
	refuses(FILTER "source: 10.0.0.0/33}\n", 5, "not 0 to 32");
	refuses(FILTER "source: 10.0.0.1/8}\n", 5, "behind its length");
	refuses(FILTER "source: '::/x'}\n", 5, "not 0 to 128");
	refuses(FILTER "source: 10.0.0.256}\n", 5, "neither an IPv4 nor an IPv6 prefix");
	refuses(FILTER "source: '1.1.1.1', source_file: /x}\n", 5, "do not go together");
	refuses(FILTER "source_file: list}\n", 5, "give the whole path");
	refuses(FILTER "source_file: /dev/null}\n", 5, "not a plain file");
	refuses(FILTER "source_file: /nowhere/at/all}\n", 5, "No such file");
	refuses(FILTER "address: 1.1.1.1, destination: 1.1.1.1}\n", 5, "another word");
	refuses(RULES "  - {name: a, action: drop, source: 10.0.0.0/8}\n"
		      "  - {name: b, action: pass, source: 10.0.0.0/8}\n",
		6, "rule b clashes with rule a in line 5");
#undef FILTER
}

/* No file, however cut, may do worse than be refused. */
/* ----- guard ----- */

/* Line 4; the keys of guard from line 5 on. */
#define GUARD	    TOP "guard:\n"
#define LIMIT(keys) GUARD "  limits:\n    - {" keys "}\nrules:\n" RULE
#define GRULE(keys) GUARD "  rules:\n    - {" keys "}\nrules:\n" RULE
#define LISTS	    GUARD "  block: [%s]\nrules:\n" RULE

/* A block list of @text, and the file that names it, in @out. */
static const char *with_list(const char *text, char out[512])
{
	char list[64];
	FILE *f;

	snprintf(list, sizeof(list), "%s.list", file);
	f = fopen(list, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	snprintf(out, 512, LISTS, list);
	return out;
}

static void remove_list(void)
{
	char list[64];

	snprintf(list, sizeof(list), "%s.list", file);
	unlink(list);
}

static void guard_is_off_but_for_cookies_by_default(void **state)
{
	struct mr_settings s;

	(void)state;
	takes(RULES RULE, &s);
	assert_int_equal(s.guard.blocks.n, 0);
	assert_int_equal(s.guard.limits.n_limits, 0);
	assert_int_equal(s.guard.n_rules, 0);
	assert_int_equal(s.tcp.open.syn_answers, MR_SYN_ANSWERS_AUTO);
	assert_int_equal(s.tcp.open.syn_at_percent, 50);
	assert_int_equal(s.tcp.open.syn_calm_s, 3);
	mr_settings_free(&s);
}

static void every_key_of_guard_is_taken(void **state)
{
	const struct mr_guard_limit *l;
	struct mr_settings s;

	(void)state;
	takes(GUARD "  syn_cookies: \"on\"\n  syn_at_percent: 100\n  syn_calm_s: 3600\n"
		    "  limits:\n"
		    "    - {packets_per_s: 1000}\n"
		    "    - {connections_per_s: 5, ipv4_prefix: 0, ipv6_prefix: 128}\n"
		    "    - {packets_per_s: 100000000, packets_burst: 16777216,\n"
		    "       connections_per_s: 1, connections_burst: 1, ipv4_prefix: 24,\n"
		    "       ipv6_prefix: 0}\n"
		    "  rules:\n"
		    "    - {rule: one, packets_per_s: 20, connections_per_s: 10}\n"
		    "rules:\n" RULE,
	      &s);
	assert_int_equal(s.tcp.open.syn_answers, MR_SYN_ANSWERS_ON);
	assert_int_equal(s.tcp.open.syn_at_percent, 100);
	assert_int_equal(s.tcp.open.syn_calm_s, 3600);
	assert_int_equal(s.guard.limits.n_limits, 3);
	l = s.guard.limits.limit;
	assert_int_equal(l[0].packets.interval_ns, 1000000);
	assert_int_equal(l[0].packets.burst, 100); /* a tenth of a second's */
	assert_int_equal(l[0].syns.interval_ns, 0);
	assert_int_equal(l[0].ipv4_bits, 32);
	assert_int_equal(l[0].ipv6_bits, 64);
	assert_int_equal(l[1].packets.interval_ns, 0);
	assert_int_equal(l[1].syns.interval_ns, 200000000);
	assert_int_equal(l[1].syns.burst, 1); /* one at least */
	assert_int_equal(l[1].ipv4_bits, 0);
	assert_int_equal(l[1].ipv6_bits, 128);
	assert_int_equal(l[2].packets.interval_ns, 10);
	assert_int_equal(l[2].packets.burst, 1 << 24);
	assert_int_equal(l[2].syns.interval_ns, 1000000000);
	assert_int_equal(l[2].ipv4_bits, 24);
	assert_int_equal(l[2].ipv6_bits, 0);
	assert_int_equal(s.guard.n_rules, 1);
	assert_int_equal(s.guard.rules[0].rule, 0);
	assert_int_equal(s.guard.rules[0].packets.burst, 2);
	assert_int_equal(s.guard.rules[0].syns.interval_ns, 100000000);
	mr_settings_free(&s);
	takes(GUARD "  syn_cookies: \"off\"\nrules:\n" RULE, &s);
	assert_int_equal(s.tcp.open.syn_answers, MR_SYN_ANSWERS_OFF);
	mr_settings_free(&s);
}

static void guard_that_makes_no_sense(void **state)
{
	(void)state;
	refuses(GUARD "  blocks: []\nrules:\n" RULE, 5, "blocks");
	refuses(GUARD "  syn_cookies: often\nrules:\n" RULE, 5,
		"guard.syn_cookies: \"often\" is none of off, auto, on");
	refuses(GUARD "  syn_at_percent: 0\nrules:\n" RULE, 5,
		"guard.syn_at_percent: 0 is out of range; give 1 to 100");
	refuses(GUARD "  syn_at_percent: 101\nrules:\n" RULE, 5, "give 1 to 100");
	refuses(GUARD "  syn_calm_s: 0\nrules:\n" RULE, 5,
		"guard.syn_calm_s: 0 is out of range; give 1 to 3600");
	refuses(GUARD "  syn_calm_s: 3601\nrules:\n" RULE, 5, "give 1 to 3600");
	refuses(GUARD "  syn_cookies: \"on\"\ntcp: {syn_cookies: \"off\"}\nrules:\n" RULE, 5,
		"guard.syn_cookies: lanes take no cookies; remove tcp.syn_cookies: off");
}

static void limits_of_sources_that_make_no_sense(void **state)
{
	(void)state;
	refuses(LIMIT(""), 6,
		"guard.limits[0]: limits nothing; add packets_per_s or connections_per_s");
	refuses(LIMIT("ipv4_prefix: 24"), 6, "limits nothing");
	refuses(LIMIT("packets_per_s: 0"), 6,
		"guard.limits[0].packets_per_s: 0 is out of range; give 1 to 100000000");
	refuses(LIMIT("packets_per_s: 100000001"), 6, "give 1 to 100000000");
	refuses(LIMIT("connections_per_s: 0"), 6,
		"guard.limits[0].connections_per_s: 0 is out of range; give 1 to 100000000");
	refuses(LIMIT("packets_per_s: 5, packets_burst: 0"), 6,
		"guard.limits[0].packets_burst: 0 is out of range; give 1 to 16777216");
	refuses(LIMIT("packets_per_s: 5, packets_burst: 16777217"), 6, "give 1 to 16777216");
	refuses(LIMIT("packets_burst: 5"), 6,
		"guard.limits[0].packets_burst: a burst of no rate; add packets_per_s");
	refuses(LIMIT("packets_per_s: 5, connections_burst: 5"), 6,
		"guard.limits[0].connections_burst: a burst of no rate; add connections_per_s");
	refuses(LIMIT("packets_per_s: 5, ipv4_prefix: 33"), 6,
		"guard.limits[0].ipv4_prefix: 33 is out of range; give 0 to 32");
	refuses(LIMIT("packets_per_s: 5, ipv6_prefix: 129"), 6,
		"guard.limits[0].ipv6_prefix: 129 is out of range; give 0 to 128");
	refuses(LIMIT("packets_per_s: many"), 6, "packets_per_s");
	refuses(LIMIT("packets_per_s: -5"), 6, "packets_per_s");
	refuses(LIMIT("rate: 5"), 6, "rate");
	refuses(GUARD
		"  limits:\n    - {packets_per_s: 1}\n    - {packets_per_s: 0}\nrules:\n" RULE,
		7, "guard.limits[1].packets_per_s");
	refuses(GUARD "  limits: [{packets_per_s: 1}, {packets_per_s: 1}, {packets_per_s: 1},\n"
		      "    {packets_per_s: 1}, {packets_per_s: 1}]\nrules:\n" RULE,
		5, "guard.limits: 5 are too many; 4 prefix lengths at most");
}

static void limits_of_rules_that_make_no_sense(void **state)
{
	(void)state;
	refuses(GRULE("packets_per_s: 5"), 6, "rule");
	refuses(GRULE("rule: two, packets_per_s: 5"), 6,
		"guard.rules[0].rule: there is no rule \"two\"; give a name from rules");
	refuses(GRULE("rule: one"), 6,
		"guard.rules[0]: limits nothing; add packets_per_s or connections_per_s");
	refuses(GRULE("rule: one, connections_per_s: 0"), 6,
		"guard.rules[0].connections_per_s: 0 is out of range; give 1 to 100000000");
	refuses(GRULE("rule: one, packets_per_s: 5, ipv4_prefix: 24"), 6, "ipv4_prefix");
	refuses(GUARD "  rules:\n    - {rule: one, packets_per_s: 5}\n"
		      "    - {rule: one, packets_per_s: 5}\nrules:\n" RULE,
		7, "guard.rules[1].rule: \"one\" has limits already; remove one");
}

static void block_lists_are_read_sorted_each_prefix_once(void **state)
{
	char text[512], words[MR_BLOCK_TEXT];
	struct mr_settings s;

	(void)state;
	takes(with_list("# all\n2001:db8::/32\n\n  allow 192.0.2.7 # us\n192.0.2.0/24\r\n"
			"block 10.0.0.0/8\n192.0.2.0/24\n0.0.0.0/0\n::1\n192.0.2.7",
			text),
	      &s);
	assert_int_equal(s.guard.blocks.n, 6);
	assert_string_equal(mr_block_text(&s.guard.blocks.item[0], words), "0.0.0.0/0");
	assert_string_equal(mr_block_text(&s.guard.blocks.item[1], words), "10.0.0.0/8");
	assert_string_equal(mr_block_text(&s.guard.blocks.item[2], words), "192.0.2.0/24");
	assert_string_equal(mr_block_text(&s.guard.blocks.item[3], words), "192.0.2.7/32");
	assert_int_equal(s.guard.blocks.item[3].action, MR_BLOCK_ALLOW);
	assert_string_equal(mr_block_text(&s.guard.blocks.item[5], words), "2001:db8::/32");
	mr_settings_free(&s);
	takes(with_list("", text), &s);
	assert_int_equal(s.guard.blocks.n, 0);
	mr_settings_free(&s);
	remove_list();
}

/* The line of the configuration that names the list, the line of the list, and what is wrong. */
static void block_lists_that_make_no_sense(void **state)
{
	static const struct {
		const char *text, *words;
	} wrong[] = {
		{ "10.0.0.0/8\n10.0.0\n",
		  ".list:2: \"10.0.0\": is no address; write 192.0.2.0/24 or 2001:db8::/32" },
		{ "10.0.0.0/33\n", ".list:1: \"10.0.0.0/33\": a length is 0 to 32" },
		{ "2001:db8::/129\n", "a length is 0 to 128" },
		{ "10.0.0.0/\n", "has no length behind the slash; write /24" },
		{ "10.0.0.0/8x\n", "a length is 0 to 32" },
		{ "10.0.0.1/8\n", "has bits behind its length; write 10.0.0.0/8" },
		{ "10.0.0.0/8 10.0.0.0/9\n", "one prefix a line, with allow in front at most" },
		{ "deny 10.0.0.0/8\n", "one prefix a line, with allow in front at most" },
		{ "allow\n", "is no address" },
	};
	char text[512], longest[400];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refuses(with_list(wrong[i].text, text), 5, wrong[i].words);
	memset(longest, '1', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	refuses(with_list(longest, text), 5, "line too long; one prefix a line");
	remove_list();
	snprintf(text, sizeof(text), LISTS, "/nowhere/list");
	refuses(text, 5, "guard.block[0]: /nowhere/list: No such file or directory");
	snprintf(text, sizeof(text), LISTS, "lists/bad");
	refuses(text, 5, "guard.block[0]: \"lists/bad\" is not a whole path; begin it with /");
	snprintf(text, sizeof(text), LISTS, "/");
	refuses(text, 5, "guard.block[0]: /: Is a directory");
}

static void every_cut_of_a_file_is_taken_or_refused(void **state)
{
	static const char whole[] = RULES RULE
		"    tlv: {tag_bytes: 2, order: little}\n    heartbeat: {idle_ms: 4}\n"
		"lanes: {cpus: [1, 2], ports: 40000-40999}\ntcp: {keepalive: {count: 3}}\n";
	char text[sizeof(whole)];

	(void)state;
	for (size_t n = 0; n < sizeof(whole); n++) {
		char error[MR_CONFIG_ERROR_BYTES];
		struct mr_settings s;

		memcpy(text, whole, n);
		text[n] = '\0';
		if (load(text, &s, error) != 0)
			assert_int_not_equal(error[0], '\0');
		mr_settings_free(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smallest_file_gets_the_defaults),
		cmocka_unit_test(absent_keepalive_takes_the_hosts_or_two_hours),
		cmocka_unit_test(every_key_is_taken),
		cmocka_unit_test(congestion_control_of_a_rule_or_of_all),
		cmocka_unit_test(particular_rule_beside_a_general_one_is_no_clash),
		cmocka_unit_test(file_that_is_not_there),
		cmocka_unit_test(yaml_that_is_broken),
		cmocka_unit_test(structure_that_is_wrong),
		cmocka_unit_test(values_of_the_wrong_kind),
		cmocka_unit_test(values_out_of_range),
		cmocka_unit_test(users_that_cannot_be),
		cmocka_unit_test(rules_that_make_no_sense),
		cmocka_unit_test(tlv_settings_that_make_no_sense),
		cmocka_unit_test(heartbeats_that_make_no_sense),
		cmocka_unit_test(rules_that_clash),
		cmocka_unit_test(filters_and_what_they_name),
		cmocka_unit_test(filters_that_make_no_sense),
		cmocka_unit_test(guard_is_off_but_for_cookies_by_default),
		cmocka_unit_test(every_key_of_guard_is_taken),
		cmocka_unit_test(guard_that_makes_no_sense),
		cmocka_unit_test(limits_of_sources_that_make_no_sense),
		cmocka_unit_test(limits_of_rules_that_make_no_sense),
		cmocka_unit_test(block_lists_are_read_sorted_each_prefix_once),
		cmocka_unit_test(block_lists_that_make_no_sense),
		cmocka_unit_test(every_cut_of_a_file_is_taken_or_refused),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
