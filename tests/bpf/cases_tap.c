/* SPDX-License-Identifier: MIT */
/* Copies of frames for who captures (bpf/tap.h): what a record says, and when there is none. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/bpf/cases.h"
#include "tests/bpf/fixture.h"

enum {
	RING_BYTES = 65536,
	RULE = 77,
};

#define LONG_AHEAD_NS 3600000000000ull

/* What came out of the ring last. */
static struct tapped {
	int ring;
	struct ring_buffer *reader;
	unsigned int n;
	struct mr_tap_frame head;
	uint8_t bytes[FRAME_MAX];
} tapped = { .ring = -1 };

static int take(void *arg, void *data, size_t size)
{
	(void)arg;
	assert_true(size >= sizeof(tapped.head));
	memcpy(&tapped.head, data, sizeof(tapped.head));
	assert_true(tapped.head.copied <= size - sizeof(tapped.head));
	assert_true(tapped.head.copied <= sizeof(tapped.bytes));
	memcpy(tapped.bytes, (uint8_t *)data + sizeof(tapped.head), tapped.head.copied);
	tapped.n++;
	return 0;
}

static void set_tap(const struct mr_tap *tap)
{
	uint32_t zero = 0;

	assert_int_equal(bpf_map_update_elem(map_fd("mr1_tap"), &zero, tap, BPF_ANY), 0);
}

static struct mr_tap get_tap(void)
{
	struct mr_tap tap;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(map_fd("mr1_tap"), &zero, &tap), 0);
	return tap;
}

static void switch_on(uint32_t copy_bytes)
{
	set_tap(&(struct mr_tap){
		.until_ns = monotonic_ns() + LONG_AHEAD_NS,
		.copy_bytes = copy_bytes,
		.wake_bytes = RING_BYTES,
	});
}

static int setup_tap(void **state)
{
	uint32_t zero = 0;

	setup_served(state);
	RULES({ .vlan = MR_VLAN_ANY, .rule = { .rule_id = RULE } },
	      { .vlan = MR_VLAN_ANY,
		.port = TEST_PORT + 1,
		.rule = { .rule_id = RULE + 1, .action = MR_ACTION_DROP } });
	tapped.ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "tap_test", 0, 0, RING_BYTES, NULL);
	assert_true(tapped.ring >= 0);
	tapped.reader = ring_buffer__new(tapped.ring, take, NULL, NULL);
	assert_non_null(tapped.reader);
	assert_int_equal(bpf_map_update_elem(map_fd("mr1_tapring"), &zero, &tapped.ring, BPF_ANY),
			 0);
	switch_on(MR_TAP_COPY_MOST);
	return 0;
}

static int teardown_tap(void **state)
{
	uint32_t zero = 0;

	(void)state;
	set_tap(&(struct mr_tap){ 0 });
	bpf_map_delete_elem(map_fd("mr1_tapring"), &zero);
	ring_buffer__free(tapped.reader);
	close(tapped.ring);
	return 0;
}

static unsigned int read_all(void)
{
	tapped.n = 0;
	assert_true(ring_buffer__consume(tapped.reader) >= 0);
	return tapped.n;
}

/* One record came, of this frame, with this beginning of its bytes. */
static void expect_copy(const struct frame *f, uint32_t copied)
{
	assert_int_equal(read_all(), 1);
	assert_int_equal(tapped.head.frame_bytes, f->len);
	assert_int_equal(tapped.head.copied, copied);
	assert_memory_equal(tapped.bytes, f->bytes, copied);
}

static void steered_frame_is_copied_with_its_rule_and_slot(void **state)
{
	struct frame f = FRAME(.payload = 20);
	uint64_t before = monotonic_ns();

	(void)state;
	EXPECT_ON({ .queue = 1 }, f, TAKE);
	expect_copy(&f, (uint32_t)f.len);
	assert_int_equal(tapped.head.verdict, MR_V_TAKE);
	assert_int_equal(tapped.head.action, XDP_REDIRECT);
	assert_int_equal(tapped.head.rule_id, RULE);
	assert_int_equal(tapped.head.slot, SLOT + 1);
	assert_int_equal(tapped.head.queue, 1);
	assert_int_equal(tapped.head.ifindex, test_ifindex());
	assert_in_range(tapped.head.time_ns, before, monotonic_ns());
}

static void dropped_frame_is_copied(void **state)
{
	struct frame f = FRAME(.dport = TEST_PORT + 1);

	(void)state;
	EXPECT(f, RULE_DROP);
	expect_copy(&f, (uint32_t)f.len);
	assert_int_equal(tapped.head.verdict, MR_V_RULE_DROP);
	assert_int_equal(tapped.head.action, XDP_DROP);
	assert_int_equal(tapped.head.rule_id, RULE + 1);
	assert_int_equal(tapped.head.slot, MR_TAP_NONE);
}

static void passed_frame_is_copied_without_rule(void **state)
{
	struct frame f = FRAME(.dport = 80), arp = FRAME(.ethertype = 0x0806);

	(void)state;
	EXPECT(f, NO_RULE);
	expect_copy(&f, (uint32_t)f.len);
	assert_int_equal(tapped.head.action, XDP_PASS);
	assert_int_equal(tapped.head.rule_id, MR_TAP_NONE);
	assert_int_equal(tapped.head.slot, MR_TAP_NONE);
	EXPECT(arp, NOT_IP);
	expect_copy(&arp, (uint32_t)arp.len);
	assert_int_equal(tapped.head.verdict, MR_V_NOT_IP);
}

/* Records come in three sizes; no byte is lost at their borders. */
static void frames_of_all_lengths_are_copied_whole(void **state)
{
	static const uint16_t lengths[] = { 207, 208, 209, 1999, 2000, 2001, 2500 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct frame f = FRAME(.payload = (uint16_t)(lengths[i] - 54));

		for (size_t at = f.transport + 20; at < f.len; at++)
			f.bytes[at] = (uint8_t)(at * 7);
		assert_int_equal(f.len, lengths[i]);
		EXPECT(f, TAKE);
		expect_copy(&f, lengths[i]);
	}
}

static void no_more_is_copied_than_was_asked_for(void **state)
{
	struct frame f = FRAME(.payload = 1000);

	(void)state;
	switch_on(100);
	EXPECT(f, TAKE);
	expect_copy(&f, 100);
}

static void frame_in_pieces_is_copied_whole(void **state)
{
	struct frame f = FRAME(.payload = 1400);

	(void)state;
	for (size_t at = f.transport + 20; at < f.len; at++)
		f.bytes[at] = (uint8_t)(at * 3);
	if (section_in_use() != SECTION_FRAGS || !can_run_in_pieces())
		return;
	read_all(); /* what the question just asked has left */
	EXPECT_ON({ .linear = 256 }, f, TAKE);
	expect_copy(&f, (uint32_t)f.len);
}

static void other_interface_is_left_out(void **state)
{
	struct mr_tap tap = get_tap();

	(void)state;
	tap.ifindex = test_ifindex() + 1;
	set_tap(&tap);
	EXPECT(FRAME(), TAKE);
	assert_int_equal(read_all(), 0);
	tap.ifindex = test_ifindex();
	set_tap(&tap);
	EXPECT(FRAME(), TAKE);
	assert_int_equal(read_all(), 1);
}

static void off_copies_nothing(void **state)
{
	struct mr_tap tap = get_tap();

	(void)state;
	tap.until_ns = 0;
	set_tap(&tap);
	EXPECT(FRAME(), TAKE);
	assert_int_equal(read_all(), 0);
	assert_int_equal(get_tap().lost, 0);
}

/* A capturer that died does not cost the frames anything for long. */
static void lease_that_is_over_switches_itself_off(void **state)
{
	struct mr_tap tap = get_tap();

	(void)state;
	tap.until_ns = monotonic_ns() - 1;
	tap.owner = 5;
	set_tap(&tap);
	EXPECT(FRAME(), TAKE);
	assert_int_equal(read_all(), 0);
	assert_int_equal(get_tap().until_ns, 0);
	assert_int_equal(get_tap().owner, 5);
}

static void frame_without_room_is_counted_and_goes_its_way(void **state)
{
	struct frame f = FRAME();
	unsigned int lost = 0;

	(void)state;
	for (int i = 0; i < RING_BYTES / 256; i++)
		EXPECT(f, TAKE);
	lost = (unsigned int)get_tap().lost;
	assert_in_range(lost, 1, RING_BYTES / 256 - 1);
	assert_int_equal(read_all() + lost, RING_BYTES / 256);
	EXPECT(f, TAKE);
	expect_copy(&f, (uint32_t)f.len);
}

static void switched_on_without_a_ring_harms_nothing(void **state)
{
	uint32_t zero = 0;

	(void)state;
	assert_int_equal(bpf_map_delete_elem(map_fd("mr1_tapring"), &zero), 0);
	EXPECT(FRAME(), TAKE);
	assert_int_equal(read_all(), 0);
}

int run_tap_cases(const char *name)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup_tap, teardown_tap)
	const struct CMUnitTest tests[] = {
		T(steered_frame_is_copied_with_its_rule_and_slot),
		T(dropped_frame_is_copied),
		T(passed_frame_is_copied_without_rule),
		T(frames_of_all_lengths_are_copied_whole),
		T(no_more_is_copied_than_was_asked_for),
		T(frame_in_pieces_is_copied_whole),
		T(other_interface_is_left_out),
		T(off_copies_nothing),
		T(lease_that_is_over_switches_itself_off),
		T(frame_without_room_is_counted_and_goes_its_way),
		T(switched_on_without_a_ring_harms_nothing),
	};
#undef T

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}
