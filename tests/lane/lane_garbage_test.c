/* SPDX-License-Identifier: MIT */
/*
 * 20,000 random and mutated frames, with a fixed seed, between the segments of living connections:
 * no crash (ASan, UBSan), the connections come through, every drop has its name, no frame is lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/raw.h"
#include "tests/lane/talk.h"

enum {
	CONNS = 20,
	FRAMES = 20000,
	SAMPLES = 64,
	LEN = 30000,
};

/* Frames of the living connections, to be mutated. */
static struct {
	struct {
		uint8_t bytes[1600];
		uint32_t len;
	} sample[SAMPLES];
	uint32_t n;
	uint64_t random;
} wire;

static uint32_t next_random(void)
{
	wire.random = wire.random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(wire.random >> 33);
}

static unsigned int keep_samples(void *arg, unsigned int from, uint8_t *frame, uint32_t *len,
				 uint64_t *delay_ns)
{
	uint32_t i = wire.n++ % SAMPLES;

	(void)arg, (void)delay_ns;
	if (from == PAIR_CLIENT && *len <= sizeof(wire.sample[i].bytes)) {
		memcpy(wire.sample[i].bytes, frame, *len);
		wire.sample[i].len = *len;
	}
	return 1;
}

/* IPv4 and TCP checksums made right again, so that the mutation reaches TCP. */
static void repair(uint8_t *frame, uint32_t len)
{
	uint32_t sum, total = (uint32_t)(frame[16] << 8 | frame[17]);

	if (len < 54 || frame[12] != 8 || frame[13] || frame[14] != 0x45 || total + 14 > len ||
	    total < 40)
		return;
	frame[24] = frame[25] = 0;
	sum = 0;
	for (int i = 14; i < 34; i += 2)
		sum += (uint32_t)(frame[i] << 8 | frame[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	frame[24] = (uint8_t)(~sum >> 8);
	frame[25] = (uint8_t)~sum;
	frame[50] = frame[51] = 0;
	sum = 6 + total - 20;
	for (uint32_t i = 26; i < 14 + total; i++)
		sum += (uint32_t)frame[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	frame[50] = (uint8_t)(~sum >> 8);
	frame[51] = (uint8_t)~sum;
}

static uint32_t random_frame(uint8_t *frame)
{
	uint32_t len = 1 + next_random() % 1514;

	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)next_random();
	if (len > 14 && next_random() % 2) { /* at least it looks like IP */
		frame[0] = 2;
		frame[12] = next_random() % 2 ? 8 : 0x86;
		frame[13] = frame[12] == 8 ? 0 : 0xdd;
		frame[14] = frame[12] == 8 ? 0x45 : 0x60;
	}
	return len;
}

/*
 * A sample with some bits changed. @deep: with checksums that are right again; then only what a
 * blind attacker can do: any flags and lengths, but not both the ports and the sequence number of
 * a living connection.
 */
static uint32_t mutated_frame(uint8_t *frame, bool deep)
{
	uint32_t i = next_random() % SAMPLES;
	uint32_t len = wire.sample[i].len;

	memcpy(frame, wire.sample[i].bytes, len);
	for (uint32_t n = 1 + next_random() % 4; !deep && n--;)
		frame[14 + next_random() % (len - 14)] ^= (uint8_t)(1u << next_random() % 8);
	if (deep && frame[12] == 8) /* a far away sequence number, or another peer's port */
		frame[next_random() % 2 ? 38 : 34] ^= (uint8_t)(0x40 + next_random() % 64);
	if (deep && next_random() % 2)
		frame[46] ^= (uint8_t)(next_random() & 0xf0); /* data offset */
	if (deep)
		frame[47] = (uint8_t)next_random(); /* flags */
	if (next_random() % 4 == 0)
		len = 1 + next_random() % len;
	if (deep)
		repair(frame, len);
	return len;
}

static uint64_t all_drops(const struct mr_lane_stats *s)
{
	const uint64_t *drop = (const uint64_t *)&s->drop;
	uint64_t n = 0;

	for (int i = 0; i < MR_DROP_COUNT; i++)
		n += drop[i];
	return n;
}

static void bombard(struct raw *r, uint32_t n)
{
	uint8_t frame[1600];

	for (uint32_t i = 0; i < n; i++) {
		uint32_t kind = next_random() % 3;
		uint32_t len = kind ? mutated_frame(frame, kind == 2) : random_frame(frame);

		raw_frame(r, frame, len);
		if (i % 16 == 15)
			pair_run(r->pair, 1, NULL, NULL);
	}
}

static void living_connections_survive_garbage(void **state)
{
	uint8_t *data = malloc(LEN);
	struct talk t[CONNS];
	struct pair p;
	struct raw r = { .pair = &p };
	const struct mr_lane_stats *s = &p.end[PAIR_SERVER].stats;
	uint64_t held;

	(void)state;
	wire.random = 42;
	for (int i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i * 3 + (i >> 8));
	talk_start(&p, "echo-bytes", PAIR_OPTIONS);
	mr_memory_set_fate(p.wire, keep_samples, NULL);
	for (int i = 0; i < CONNS; i++) {
		t[i] = (struct talk){ .out = data, .out_len = LEN / 2 };
		talk_begin(&p, &t[i], 7000, i % 2);
		pair_run(&p, 1, NULL, NULL);
	}
	pair_run(&p, 100, NULL, NULL);
	assert_true(wire.n > SAMPLES);
	for (uint32_t i = 0; i < SAMPLES; i++)
		if (!wire.sample[i].len)
			wire.sample[i] = wire.sample[0].len ? wire.sample[0] : wire.sample[1];
	mr_memory_set_fate(p.wire, NULL, NULL);
	bombard(&r, FRAMES);
	assert_true(all_drops(s) > FRAMES / 2);
	assert_true(s->drop.tcp_checksum && s->drop.ip_checksum && s->drop.not_ip &&
		    s->drop.ip_bad && s->drop.tcp_bad && s->drop.tcp_options && s->drop.tcp_flags &&
		    s->drop.tcp_sequence && s->drop.tcp_no_connection && s->drop.eth_short);
	for (int i = 0; i < CONNS; i++) {
		assert_false(t[i].closed);
		t[i].half_close = true;
		talk_say(&t[i], data + LEN / 2, LEN / 2);
	}
	pair_run(&p, 10000, NULL, NULL);
	for (int i = 0; i < CONNS; i++) {
		assert_int_equal(t[i].reason, MR_CLOSE_DONE);
		assert_int_equal(t[i].in_len, LEN);
		assert_int_equal(t[i].in_hash, talk_hash(TALK_HASH_BASIS, data, LEN));
	}
	pair_run(&p, 300000, NULL, NULL); /* half-open records of forged SYNs give up */
	assert_true(pair_frames_are_whole(&p, PAIR_SERVER, &held));
	assert_int_equal(held, 0);
	talk_end(&p);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(living_connections_survive_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
