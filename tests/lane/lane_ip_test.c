/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 MUST-48, MUST-49: a rule's TTL and DSCP stand in every packet of its connections: SYN,
 * SYN-ACK, text, FIN and RST.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"

enum {
	ETHERNET = 14,
	TTL = 5,
	DSCP = 46,
};

struct seen {
	uint32_t frames;
	uint32_t others; /* packets of the server that say something else */
	uint8_t flags;	 /* TCP flags seen, all together */
};

static unsigned int look(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
			 uint64_t *delay_ns)
{
	const uint8_t *ip = frame + ETHERNET;
	bool v6 = ip[0] >> 4 == 6;
	uint8_t ttl = v6 ? ip[7] : ip[8];
	uint8_t class = v6 ? (uint8_t)(ip[0] << 4 | ip[1] >> 4) : ip[1];
	struct seen *seen = arg;

	(void)len;
	(void)delay_ns;
	if (from != PAIR_SERVER)
		return 1;
	seen->frames++;
	seen->others += ttl != TTL || class >> 2 != DSCP;
	seen->flags |= ip[(v6 ? 40 : 20) + 13];
	return 1;
}

static void talk_over(bool ipv6, const char *line)
{
	struct seen seen = { 0 };
	struct talk t = { .out = line, .out_len = strlen(line) };
	struct mr_lane_rule *rule;
	struct pair p;

	pair_init(&p, PAIR_OPTIONS);
	rule = pair_rule(&p, PAIR_SERVER, "drill", 7000);
	rule->ttl = TTL;
	rule->dscp = DSCP;
	talk_serve(&p);
	mr_memory_set_fate(p.wire, look, &seen);
	talk_begin(&p, &t, 7000, ipv6);
	assert_true(pair_run(&p, 5000, talk_is_closed, &t));
	assert_true(seen.frames >= 2);
	assert_int_equal(seen.others, 0);
	assert_true(seen.flags & 0x02); /* SYN-ACK */
	assert_true(seen.flags & (line[0] == 'R' ? 0x04 : 0x01));
	talk_end(&p);
}

static void rule_gives_ttl_and_dscp_to_every_segment(void **state)
{
	(void)state;
	talk_over(false, "F 5000\n");
	talk_over(true, "F 5000\n");
	talk_over(false, "R\n");
	talk_over(true, "R\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_gives_ttl_and_dscp_to_every_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
