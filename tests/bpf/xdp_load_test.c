/* SPDX-License-Identifier: MIT */
/*
 * The object loads in all the ways that docs/maps.md names, its maps are what
 * include/shared/mr_maps.h says, and on a real interface frames go where the verdict sends them.
 *
 *	packet socket on mr1 ==veth== mr0, XDP program from `ip link`
 *		--TAKE--> AF_XDP socket, queue 0
 *		--PASS--> packet socket on mr0
 *
 * Network and mount namespace, with a bpffs of their own, are the test's and vanish with it.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/mr_lane.h"
#include "tests/bpf/fixture.h"
#include "tests/bpf/run.h"
#include "tests/bpf/xsk_socket.h"

#define BPFFS	 "/sys/fs/bpf"
#define IP_PINS	 BPFFS "/xdp/globals" /* where iproute2 pins maps */
#define OWN_PINS BPFFS "/millrace"

enum {
	WAIT_MS = 3000,
	QUIET_MS = 200,
	MAX_CPUS = 1024,
};

/* The table in include/shared/mr_maps.h. */
static const struct map_layout {
	const char *name;
	uint32_t type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags;
} layouts[] = {
	{ "mr1_abi", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mr_abi), 1, 0 },
	{ "mr1_cfg", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mr_config), 1, 0 },
	{ "mr1_if", BPF_MAP_TYPE_HASH, 4, sizeof(struct mr_interface), MR_MAX_INTERFACES, 0 },
	{ "mr1_near", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mr_interface), MR_NEAR_INTERFACES, 0 },
	{ "mr1_xsk", BPF_MAP_TYPE_XSKMAP, 4, 4, MR_MAX_SLOTS, 0 },
	{ "mr1_beat", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mr_beat), MR_MAX_SLOTS, BPF_F_MMAPABLE },
	{ "mr1_rules", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2, 0 },
	{ "mr1_field", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2, 0 },
	{ "mr1_class", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2, 0 },
	{ "mr1_order", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2, 0 },
	{ "mr1_met", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct mr_met), MR_MAX_MET, 0 },
	{ "mr1_known", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct mr_known), MR_MAX_KNOWN, 0 },
	{ "mr1_local", BPF_MAP_TYPE_HASH, sizeof(struct mr_local_key), sizeof(struct mr_local),
	  MR_MAX_LOCAL, 0 },
	{ "mr1_kflow", BPF_MAP_TYPE_LRU_HASH, sizeof(struct mr_flow_key),
	  sizeof(struct mr_kernel_flow), MR_MAX_KERNEL_FLOWS, 0 },
	{ "mr1_kflows", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mr_kernel_flows), 1, 0 },
	{ "mr1_verdict", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct mr_count), MR_VERDICTS_FIRST,
	  0 },
	{ "mr1_verdict2", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct mr_count), MR_VERDICTS_SECOND,
	  0 },
	{ "mr1_rstat", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct mr_count), MR_MAX_RULES, 0 },
	{ "mr1_lane", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mr_lane_stats), MR_MAX_SLOTS,
	  BPF_F_MMAPABLE },
	{ "mr1_full", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mr_full), MR_MAX_SLOTS, BPF_F_MMAPABLE },
	{ "mr1_tap", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mr_tap), 1, BPF_F_MMAPABLE },
	{ "mr1_tapring", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1, 0 },
	/* the guard's: include/shared/mr_guard.h */
	{ "mr1_block4", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2, 0 },
	{ "mr1_block6", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2, 0 },
	{ "mr1_guard", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mr_guard), 2, 0 },
	{ "mr1_gstate", BPF_MAP_TYPE_LRU_HASH, sizeof(struct mr_guard_source),
	  sizeof(struct mr_guard_state), MR_MAX_GUARD_STATES, 0 },
	{ "mr1_grule", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mr_guard_rule), MR_MAX_RULES,
	  BPF_F_MMAPABLE },
	{ "mr1_gstat", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct mr_count), MR_GUARD_COUNTS, 0 },
	{ "mr1_grstat", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct mr_count), MR_MAX_RULES, 0 },
	{ "mr1_secret", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mr_guard_secret), 1, 0 },
};

enum { N_MAPS = sizeof(layouts) / sizeof(layouts[0]) };

/* ----- set-up ----- */

static int setup_namespaces(void **state)
{
	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("bpffs", BPFFS, "bpf", 0, NULL), 0);
	return 0;
}

/* No IPv6, so that the kernel sends nothing of its own. */
static int setup_veth(void **state)
{
	(void)state;
	assert_int_equal(run_command("ip link add mr0 type veth peer name mr1"), 0);
	assert_int_equal(run_command("ip link set dev mr0 addrgenmode none up"), 0);
	assert_int_equal(run_command("ip link set dev mr1 addrgenmode none up"), 0);
	return 0;
}

static int teardown_veth(void **state)
{
	char path[256];

	(void)state;
	assert_int_equal(run_command("ip link del mr0"), 0);
	for (size_t i = 0; i < N_MAPS; i++) {
		snprintf(path, sizeof(path), IP_PINS "/%s", layouts[i].name);
		unlink(path);
	}
	return 0;
}

static void attach(const char *section)
{
	char line[512];

	snprintf(line, sizeof(line), "ip -force link set dev mr0 xdp obj %s sec %s", object_path(),
		 section);
	assert_int_equal(run_command(line), 0);
}

static int pinned_map(const char *directory, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return bpf_obj_get(path);
}

/* ----- what the object is ----- */

static void expect_layout(int fd, const struct map_layout *l)
{
	struct bpf_map_info info = { 0 };
	uint32_t bytes = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &bytes), 0);
	assert_string_equal(info.name, l->name);
	assert_int_equal(info.type, l->type);
	assert_int_equal(info.key_size, l->key_size);
	assert_int_equal(info.value_size, l->value_size);
	assert_int_equal(info.max_entries, l->max_entries);
	assert_int_equal(info.map_flags, l->flags);
	/* bpftool prints fields by their names; the kernel keeps no types of the other two kinds */
	if (l->type != BPF_MAP_TYPE_XSKMAP && l->type != BPF_MAP_TYPE_ARRAY_OF_MAPS) {
		assert_int_not_equal(info.btf_id, 0);
		assert_int_not_equal(info.btf_value_type_id, 0);
	}
}

static void expect_pins(const char *directory)
{
	for (size_t i = 0; i < N_MAPS; i++) {
		int fd = pinned_map(directory, layouts[i].name);

		if (fd < 0)
			print_error("%s/%s is missing\n", directory, layouts[i].name);
		assert_true(fd >= 0);
		expect_layout(fd, &layouts[i]);
		close(fd);
	}
}

static void object_loads_by_libbpf_and_pins_its_maps(void **state)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .pin_root_path = OWN_PINS);
	struct bpf_object *object = bpf_object__open_file(object_path(), &opts);
	struct bpf_map *map;
	size_t n = 0;

	(void)state;
	assert_non_null(object);
	assert_int_equal(bpf_object__load(object), 0);
	expect_pins(OWN_PINS);
	/* no .rodata or .bss: no map beside the table's */
	bpf_object__for_each_map(map, object) n++;
	assert_int_equal(n, N_MAPS);
	bpf_object__unpin_maps(object, NULL);
	bpf_object__close(object);
}

static void inner_map_of_the_object_is_a_rule_generation(void **state)
{
	struct bpf_object *object = bpf_object__open_file(object_path(), NULL);
	struct bpf_map *rules, *inner;

	(void)state;
	assert_non_null(object);
	rules = bpf_object__find_map_by_name(object, "mr1_rules");
	assert_non_null(rules);
	inner = bpf_map__inner_map(rules);
	assert_non_null(inner);
	assert_int_equal(bpf_map__type(inner), BPF_MAP_TYPE_HASH);
	assert_int_equal(bpf_map__key_size(inner), sizeof(struct mr_rule_key));
	assert_int_equal(bpf_map__value_size(inner), sizeof(struct mr_rule));
	assert_int_equal(bpf_map__max_entries(inner), MR_MAX_RULES);
	assert_int_equal(bpf_map__map_flags(inner), 0);
	assert_int_not_equal(bpf_map__btf_key_type_id(inner), 0);
	assert_int_not_equal(bpf_map__btf_value_type_id(inner), 0);
	bpf_object__close(object);
}

/*
 * What is pinned under a name is only taken over if it has the same geometry, so a map that was
 * there in minor 0 keeps it: {key, value, entries}.
 */
static void maps_of_minor_0_keep_their_geometry(void **state)
{
	static const struct map_layout minor_0[] = {
		{ "mr1_abi", BPF_MAP_TYPE_ARRAY, 4, 16, 1, 0 },
		{ "mr1_cfg", BPF_MAP_TYPE_ARRAY, 4, 24, 1, 0 },
		{ "mr1_if", BPF_MAP_TYPE_HASH, 4, 16, 64, 0 },
		{ "mr1_xsk", BPF_MAP_TYPE_XSKMAP, 4, 4, 1024, 0 },
		{ "mr1_beat", BPF_MAP_TYPE_ARRAY, 4, 64, 1024, BPF_F_MMAPABLE },
		{ "mr1_rules", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2, 0 },
		{ "mr1_local", BPF_MAP_TYPE_HASH, 16, 8, 1024, 0 },
		{ "mr1_kflow", BPF_MAP_TYPE_LRU_HASH, 40, 16, 65536, 0 },
		{ "mr1_kflows", BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0 },
		{ "mr1_verdict", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 16, 32, 0 },
		{ "mr1_rstat", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 16, 4096, 0 },
	};
	struct bpf_object *object = bpf_object__open_file(object_path(), NULL);

	(void)state;
	assert_non_null(object);
	for (size_t i = 0; i < sizeof(minor_0) / sizeof(minor_0[0]); i++) {
		const struct map_layout *l = &minor_0[i];
		const struct bpf_map *map = bpf_object__find_map_by_name(object, l->name);

		assert_non_null(map);
		assert_int_equal(bpf_map__type(map), l->type);
		assert_int_equal(bpf_map__key_size(map), l->key_size);
		assert_int_equal(bpf_map__value_size(map), l->value_size);
		assert_int_equal(bpf_map__max_entries(map), l->max_entries);
		assert_int_equal(bpf_map__map_flags(map), l->flags);
	}
	bpf_object__close(object);
}

/* ----- ip link ----- */

static void expect_attached(const char *name)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct bpf_prog_info info = { 0 };
	uint32_t bytes = sizeof(info);
	int fd;

	assert_int_equal(bpf_xdp_query((int)if_nametoindex("mr0"), 0, &query), 0);
	assert_int_equal(query.attach_mode, XDP_ATTACHED_DRV);
	fd = bpf_prog_get_fd_by_id(query.drv_prog_id);
	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &bytes), 0);
	assert_string_equal(info.name, name);
	close(fd);
}

static void section_xdp_attaches_by_ip_link(void **state)
{
	(void)state;
	attach("xdp");
	expect_attached("mr_xdp");
	expect_pins(IP_PINS);
}

static void section_xdp_frags_attaches_by_ip_link(void **state)
{
	(void)state;
	attach("xdp.frags");
	expect_attached("mr_xdp_frags");
	expect_pins(IP_PINS);
}

/* ----- frames on the wire ----- */

static int packet_socket(const char *name)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(ETH_P_ALL),
				    .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void send_frame(const struct frame *f)
{
	int fd = packet_socket("mr1");

	assert_int_equal(send(fd, f->bytes, f->len, 0), f->len);
	close(fd);
}

static bool is_same(const struct frame *f, const uint8_t *bytes, ssize_t len)
{
	return len == (ssize_t)f->len && memcmp(bytes, f->bytes, f->len) == 0;
}

/* Whether the frame came to the kernel's stack within the time. */
static bool reaches_kernel(int fd, const struct frame *f, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t bytes[FRAME_MAX];

	while (poll(&p, 1, timeout_ms) == 1)
		if (is_same(f, bytes, recv(fd, bytes, sizeof(bytes), 0)))
			return true;
	return false;
}

static uint64_t pinned_verdicts(int verdict)
{
	int fd = pinned_map(IP_PINS, "mr1_verdict"), n = libbpf_num_possible_cpus();
	struct mr_count each[MAX_CPUS];
	uint64_t sum = 0;

	assert_true(fd >= 0);
	assert_in_range(n, 1, MAX_CPUS);
	assert_int_equal(bpf_map_lookup_elem(fd, &verdict, each), 0);
	close(fd);
	for (int i = 0; i < n; i++)
		sum += each[i].packets;
	return sum;
}

static void empty_maps_let_frames_through(void **state)
{
	struct frame f = FRAME(.payload = 10);
	uint64_t before;
	int fd;

	(void)state;
	attach("xdp");
	fd = packet_socket("mr0");
	before = pinned_verdicts(MR_V_NO_INTERFACE);
	send_frame(&f);
	assert_true(reaches_kernel(fd, &f, WAIT_MS));
	assert_true(pinned_verdicts(MR_V_NO_INTERFACE) > before);
	close(fd);
}

/* A pin of the same geometry is taken over: replacing the program loses no count. */
static void counters_survive_another_program(void **state)
{
	struct frame f = FRAME();
	uint64_t count;
	int fd;

	(void)state;
	attach("xdp");
	fd = packet_socket("mr0");
	send_frame(&f);
	assert_true(reaches_kernel(fd, &f, WAIT_MS));
	count = pinned_verdicts(MR_V_NO_INTERFACE);
	assert_true(count > 0);
	attach("xdp.frags");
	expect_attached("mr_xdp_frags");
	assert_true(pinned_verdicts(MR_V_NO_INTERFACE) >= count);
	close(fd);
}

static void update_pinned(const char *name, uint32_t key, const void *value)
{
	int fd = pinned_map(IP_PINS, name);

	assert_true(fd >= 0);
	assert_int_equal(bpf_map_update_elem(fd, &key, value, BPF_ANY), 0);
	close(fd);
}

/* One lane: queue 0 of mr0 is slot 0. */
static void write_maps(const struct xsk_socket *x)
{
	const struct rule_spec rule = { .vlan = MR_VLAN_ANY };
	int cfg = pinned_map(IP_PINS, "mr1_cfg");
	int inner = make_generation(cfg, &rule, 1, MR_MAX_RULES);

	update_pinned("mr1_xsk", 0, &x->fd);
	update_pinned("mr1_beat", 0, &(struct mr_beat){ .beat_ns = monotonic_ns() });
	update_pinned("mr1_if", if_nametoindex("mr0"), &(struct mr_interface){ .n_queues = 1 });
	update_pinned("mr1_rules", 1, &inner);
	update_pinned("mr1_cfg", 0,
		      &(struct mr_config){ .generation = { .parity = 1, .shapes = MR_SHAPE_ANY },
					   .stale_ns = 60000000000,
					   .grace_ns = 60000000000 });
	close(inner);
	close(cfg);
}

static void expect_steering(const char *section)
{
	struct frame steered = FRAME(.payload = 100), other = FRAME(.dport = 80, .payload = 100);
	uint8_t bytes[FRAME_MAX];
	struct xsk_socket x;
	int fd;

	attach(section);
	assert_int_equal(xsk_socket_open(&x, if_nametoindex("mr0"), 0), 0);
	write_maps(&x);
	fd = packet_socket("mr0");
	send_frame(&other);
	assert_true(reaches_kernel(fd, &other, WAIT_MS));
	send_frame(&steered);
	assert_true(is_same(&steered, bytes, xsk_socket_receive(&x, bytes, WAIT_MS)));
	assert_false(reaches_kernel(fd, &steered, QUIET_MS));
	assert_int_equal(xsk_socket_receive(&x, bytes, 0), -ETIMEDOUT);
	assert_int_equal(pinned_verdicts(MR_V_TAKE), 1);
	update_pinned("mr1_beat", 0, &(struct mr_beat){ 0 });
	send_frame(&steered);
	assert_true(reaches_kernel(fd, &steered, WAIT_MS));
	assert_int_equal(pinned_verdicts(MR_V_GONE), 1);
	close(fd);
	xsk_socket_close(&x);
}

static void section_xdp_steers_into_the_socket(void **state)
{
	(void)state;
	expect_steering("xdp");
}

static void section_xdp_frags_steers_into_the_socket(void **state)
{
	(void)state;
	expect_steering("xdp.frags");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(object_loads_by_libbpf_and_pins_its_maps),
		cmocka_unit_test(inner_map_of_the_object_is_a_rule_generation),
		cmocka_unit_test(maps_of_minor_0_keep_their_geometry),
		cmocka_unit_test_setup_teardown(section_xdp_attaches_by_ip_link, setup_veth,
						teardown_veth),
		cmocka_unit_test_setup_teardown(section_xdp_frags_attaches_by_ip_link, setup_veth,
						teardown_veth),
		cmocka_unit_test_setup_teardown(empty_maps_let_frames_through, setup_veth,
						teardown_veth),
		cmocka_unit_test_setup_teardown(counters_survive_another_program, setup_veth,
						teardown_veth),
		cmocka_unit_test_setup_teardown(section_xdp_steers_into_the_socket, setup_veth,
						teardown_veth),
		cmocka_unit_test_setup_teardown(section_xdp_frags_steers_into_the_socket,
						setup_veth, teardown_veth),
	};

	skip_unless_root();
	return cmocka_run_group_tests(tests, setup_namespaces, NULL);
}
