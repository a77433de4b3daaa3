/* SPDX-License-Identifier: MIT */
/*
 * RFC 9293 3.7.1 (MUST-16), RFC 6691: whatever the interface, the frames, the family, the options
 * and the peer's MSS are, no packet is larger than the interface takes or than the peer asked for,
 * every segment fits its frame, and as much is used as may be.
 */
#include "tests/unit/rfc_fixture.h"

#include <stdlib.h>
#include <string.h>

static uint8_t text[20 * 4096];

/* The fixture with frames of another size. */
static void begin(struct rfc *f, uint32_t frame_bytes, uint32_t mtu)
{
	for (uint32_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 11 + i / 239);
	rfc_init(f);
	free(f->memory);
	f->memory = calloc(RFC_FRAMES, frame_bytes);
	assert_non_null(f->memory);
	mr_frames_init(&f->frames, f->memory, f->records, RFC_FRAMES, frame_bytes, NULL,
		       (uint64_t *)&f->stats.frames);
	f->config.mtu = mtu;
}

static struct mr_conn *open_conn(struct rfc *f, bool ipv6, uint16_t mss, bool timestamps)
{
	struct mr_conn *c = rfc_conn_fresh(f, ipv6);

	mr_tcp_open_call(&f->tcp, c, 0);
	rfc_arrives(f, c,
		    &(struct rfc_in){ .flags = MR_SYN | MR_ACK,
				      .seq = RFC_IRS,
				      .mss = mss,
				      .has_ts = timestamps,
				      .ts_val = 77 });
	assert_int_equal(c->state, MR_ESTABLISHED);
	return c;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* What a segment may carry, from the RFC's formula and the frame. */
static uint32_t expected(uint32_t frame_bytes, uint32_t mtu, bool ipv6, uint16_t mss,
			 bool timestamps)
{
	uint32_t headers = ipv6 ? 60 : 40;
	uint32_t peer = mss ? mss : ipv6 ? 1220 : 536;
	uint32_t options = timestamps ? 12 : 0;

	if (peer < 64) /* below that the headers are all there is */
		peer = 64;
	return least(least(mtu - headers, peer) - options, frame_bytes - MR_TX_OFFSET);
}

static void check(uint32_t frame_bytes, uint32_t mtu, bool ipv6, uint16_t mss, bool timestamps)
{
	uint32_t want = expected(frame_bytes, mtu, ipv6, mss, timestamps);
	struct mr_conn *c;
	struct rfc f;
	uint16_t offer;

	begin(&f, frame_bytes, mtu);
	c = open_conn(&f, ipv6, mss, timestamps);
	offer = f.sent[0].options.mss;
	assert_int_equal(offer, least(mtu - (ipv6 ? 60 : 40), frame_bytes - 256 - MR_HEADERS_MAX));
	assert_int_equal(c->snd_mss, want);
	if (want <= sizeof(f.sent[0].text)) { /* what the fixture can record */
		c->cwnd = 1 << 20;
		rfc_forget(&f);
		rfc_send(&f, c, text, 5 * want);
		assert_int_equal(f.n_sent, 5);
		for (unsigned int i = 0; i < f.n_sent; i++) {
			uint32_t options = (uint32_t)mr_tcp_options_bytes(&f.sent[i].options);

			assert_int_equal(f.sent[i].len, want);
			assert_true(f.sent[i].len + options + (ipv6 ? 60 : 40) <= mtu);
			assert_memory_equal(f.sent[i].text, text + i * want, want);
		}
	}
	rfc_fini(&f);
}

static void any_interface_frame_and_peer_gives_the_size_of_the_formula(void **state)
{
	static const uint16_t mtus[] = { 1280, 1400, 1500, 9000 };
	static const uint16_t peers[] = { 0, 8, 36, 63, 64, 88, 536, 1360, 1460, 8960, 65535 };
	static const uint16_t frames[] = { 2048, 4096 };

	(void)state;
	for (size_t m = 0; m < 4; m++)
		for (size_t p = 0; p < 11; p++)
			for (size_t i = 0; i < 8; i++)
				check(frames[i & 1], mtus[m], i & 2, peers[p], i & 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_interface_frame_and_peer_gives_the_size_of_the_formula),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
