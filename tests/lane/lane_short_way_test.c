/* SPDX-License-Identifier: MIT */
/*
 * What may not come to another end by the short way of usual frames (user/lane/usual.c) than by the
 * long one, and would not be drawn by chance in lane_usual_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lane/talk.h"
#include "user/lane/internal.h"
#include "user/wire/checksum.h"

enum {
	IP = MR_ETH_BYTES,
	TCP = IP + MR_IPV4_BYTES,
	TEXT = TCP + MR_TCP_BYTES + MR_TS_OPTION_BYTES,
	TALKS = 40,
};

static struct {
	struct pair p;
	unsigned int closed; /* calls */
	bool counting;	     /* frames that are in no ring and look as if they were */
	uint32_t most;
} world;

static enum mr_app_verdict serve(struct mr_host *h, mr_conn_id c, uint64_t tag,
				 const uint8_t *value, size_t len)
{
	struct mr_lane *l = world.p.end[PAIR_SERVER].lane;
	uint64_t posted = PAIR_OPTIONS.ring_size - l->port->ops->fill_room(l->port);
	uint64_t lost = l->frames.by_state[MR_FRAME_FILL] - posted;

	if (world.counting && lost > world.most)
		world.most = (uint32_t)lost;
	mr_send_message(h, c, tag, value, len < 100 ? len : 100);
	return MR_APP_DONE;
}

static void closed(struct mr_host *h, mr_conn_id c, int reason)
{
	(void)h, (void)c, (void)reason;
	world.closed++;
}

static const struct mr_app server_app = {
	.name = "server",
	.messages = true,
	.message = serve,
	.closed = closed,
};

static void start(bool zero_copy)
{
	static const struct mr_app *const apps[] = { &talk_app, &server_app };

	memset(&world, 0, sizeof(world));
	pair_init(&world.p, PAIR_OPTIONS);
	pair_rule(&world.p, PAIR_SERVER, "server", 7000);
	pair_rule(&world.p, PAIR_CLIENT, "talk", 9);
	pair_start(&world.p, apps, 2);
	world.p.end[PAIR_SERVER].lane->s.zero_copy = zero_copy;
}

static void greet(struct talk *t)
{
	t->lasting = true;
	talk_begin(&world.p, t, 7000, false);
	pair_run(&world.p, 50, NULL, NULL);
	talk_say(t, "\0\1\0\0\0\0", 6);
	pair_run(&world.p, 50, NULL, NULL);
	assert_int_equal(t->in_len, 6);
}

static void checksum_at(uint8_t *at, const uint8_t *from, size_t len, uint64_t sum)
{
	uint16_t folded;

	memset(at, 0, 2);
	folded = mr_checksum_fold(mr_checksum_partial(from, len, sum));
	memcpy(at, &folded, sizeof(folded));
}

static uint64_t pseudo(const uint8_t source[4], const uint8_t destination[4], uint32_t len)
{
	uint8_t from[16] = { [10] = 0xff, 0xff }, to[16] = { [10] = 0xff, 0xff };

	memcpy(from + 12, source, 4);
	memcpy(to + 12, destination, 4);
	return mr_checksum_pseudo(from, to, 6, len);
}

/* An IPv4 frame that was changed is @len bytes long now. */
static void repair(uint8_t *f, uint32_t len)
{
	f[IP + 2] = (uint8_t)((len - IP) >> 8);
	f[IP + 3] = (uint8_t)(len - IP);
	checksum_at(f + IP + 10, f + IP, MR_IPV4_BYTES, 0);
	checksum_at(f + TCP + 16, f + TCP, len - TCP, pseudo(f + IP + 12, f + IP + 16, len - TCP));
}

/* Of three full segments: the second becomes a SYN without text, the third no message, in its
 * place. */
static unsigned int worsen(void *arg, unsigned int from, uint8_t *f, uint32_t *len,
			   uint64_t *delay_ns)
{
	static uint8_t seq[4];
	unsigned int *n = arg;

	(void)delay_ns;
	if (from != PAIR_CLIENT || *len < 1000)
		return 1;
	switch (++*n) {
	case 2:
		memcpy(seq, f + TCP + 4, sizeof(seq));
		f[TCP + 13] = MR_SYN;
		*len = TEXT;
		repair(f, *len);
		break;
	case 3:
		memcpy(f + TCP + 4, seq, sizeof(seq));
		memset(f + TEXT, 0xff, *len - TEXT);
		repair(f, *len);
		break;
	default:
		break;
	}
	return 1;
}

/* Read twice in one batch, and ended by what was read last: it ends once. */
static void two_texts_of_one_batch_end_the_connection_once(void **state)
{
	static uint8_t out[3 * 1448] = { 0, 1, 0, 0, 1442 >> 8, 1442 & 255 };
	struct talk t = { 0 }, later[3] = { { 0 } };
	unsigned int n = 0;

	(void)state;
	start(false);
	greet(&t);
	mr_memory_set_fate(world.p.wire, worsen, &n);
	talk_say(&t, out, sizeof(out));
	pair_run(&world.p, 50, NULL, NULL);
	mr_memory_set_fate(world.p.wire, NULL, NULL);
	assert_true(n >= 3);
	assert_true(t.closed);
	assert_int_equal(world.closed, 1);
	assert_int_equal(world.p.end[PAIR_SERVER].stats.connections, 0);
	for (int i = 0; i < 3; i++)
		greet(&later[i]);
	assert_int_equal(world.p.end[PAIR_SERVER].stats.connections, 3);
	for (int i = 0; i < 3; i++)
		talk_close(&later[i]);
	talk_end(&world.p);
}

/* The client's IPv4 frames with text leave as IPv6, from and to mapped addresses. */
static unsigned int map(void *arg, unsigned int from, uint8_t *f, uint32_t *len, uint64_t *delay_ns)
{
	const uint32_t tcp_len = *len - TCP - 20; /* twenty bytes less, to stay within the frame */
	unsigned int *n = arg;
	uint8_t v6[2048] = { 0 };

	(void)delay_ns;
	if (from != PAIR_CLIENT || *len < TEXT + 20)
		return 1;
	memcpy(v6, f, 12);
	v6[12] = 0x86;
	v6[13] = 0xdd;
	v6[IP] = 0x60;
	v6[IP + 4] = (uint8_t)(tcp_len >> 8);
	v6[IP + 5] = (uint8_t)tcp_len;
	v6[IP + 6] = 6;
	v6[IP + 7] = 64;
	for (int i = 0; i < 2; i++) {
		uint8_t *address = v6 + IP + 8 + 16 * i;

		address[10] = address[11] = 0xff;
		memcpy(address + 12, f + IP + 12 + 4 * i, 4);
	}
	memcpy(v6 + IP + 40, f + TCP, tcp_len);
	checksum_at(v6 + IP + 40 + 16, v6 + IP + 40, tcp_len,
		    pseudo(f + IP + 12, f + IP + 16, tcp_len));
	*len = IP + 40 + tcp_len;
	memcpy(f, v6, *len);
	++*n;
	return 1;
}

/* RFC 4291 2.5.5.2: an IPv4 node's address as IPv6 software writes it; on the wire nobody has it.
 */
static void mapped_addresses_on_ipv6_are_not_the_ipv4_connections(void **state)
{
	const uint8_t out[46] = { 0, 1, 0, 0, 0, 20 };
	struct talk t = { 0 };
	unsigned int n = 0;
	uint64_t read;

	(void)state;
	start(false);
	greet(&t);
	read = world.p.end[PAIR_SERVER].stats.app_bytes_in;
	mr_memory_set_fate(world.p.wire, map, &n);
	talk_say(&t, out, sizeof(out));
	pair_run(&world.p, 10, NULL, NULL);
	mr_memory_set_fate(world.p.wire, NULL, NULL);
	assert_true(n > 0);
	assert_int_equal(world.p.end[PAIR_SERVER].stats.app_bytes_in, read);
	assert_int_equal(world.p.end[PAIR_SERVER].stats.drop.ip_source, n);
	talk_abort(&t);
	talk_end(&world.p);
}

/*
 * A worker that takes over believes of frames in state FILL, which are in no ring, that a zero-copy
 * driver has them: an application that crashes may leave none.
 */
static void zero_copy_frames_in_hand_are_not_taken_for_posted(void **state)
{
	struct talk t[TALKS] = { { 0 } };

	(void)state;
	start(true);
	for (int i = 0; i < TALKS; i++)
		greet(&t[i]);
	world.counting = true;
	for (int i = 0; i < TALKS; i++)
		talk_say(&t[i], "\0\1\0\0\0\0", 6);
	pair_run(&world.p, 50, NULL, NULL);
	assert_int_equal(t[TALKS - 1].in_len, 12);
	assert_int_equal(world.most, 0);
	for (int i = 0; i < TALKS; i++)
		talk_close(&t[i]);
	talk_end(&world.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_texts_of_one_batch_end_the_connection_once),
		cmocka_unit_test(mapped_addresses_on_ipv6_are_not_the_ipv4_connections),
		cmocka_unit_test(zero_copy_frames_in_hand_are_not_taken_for_posted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
