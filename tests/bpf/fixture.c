/* SPDX-License-Identifier: MIT */
#include "tests/bpf/fixture.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bpf/run.h"

enum {
	MAX_CPUS = 1024,
};

/* Heartbeats are set seconds apart from these limits, so that a slow machine changes nothing. */
#define SECOND	       1000000000ull
#define STALE_NS       (2 * SECOND)
#define BEAT_AGE_NS    (5 * SECOND)
#define GRACE_NS       (3600 * SECOND)
#define SHORT_GRACE_NS (3 * SECOND)

const char *const section_names[N_SECTIONS] = { "xdp", "xdp.frags" };

static struct {
	struct bpf_object *object;
	int program[N_SECTIONS];
	enum section section;
	uint32_t ifindex;
	int n_cpus;
	int sockets[N_LANES];
} fx = { .sockets = { -1, -1 } };

static void die(const char *what, int err)
{
	fprintf(stderr, "fixture: %s: %s\n", what, strerror(err));
	exit(EXIT_FAILURE);
}

const char *object_path(void)
{
	const char *path = getenv("MR_BPF_OBJECT");

	return path ? path : "build/millrace.bpf.o";
}

static void program_may_not_run_here(void **state)
{
	(void)state;
	print_message("skip: needs root, for a network namespace and BPF\n");
	skip();
}

void skip_unless_root(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(program_may_not_run_here) };

	if (geteuid() == 0)
		return;
	exit(cmocka_run_group_tests(tests, NULL, NULL));
}

static void open_namespace(void)
{
	skip_unless_root();
	if (unshare(CLONE_NEWNET) < 0)
		die("network namespace of our own", errno);
	if (run_command("ip link add mr0 numrxqueues 4 numtxqueues 4 type veth "
			"peer name mr1 numrxqueues 4 numtxqueues 4"))
		die("veth pair", EIO);
	fx.ifindex = if_nametoindex("mr0");
	if (!fx.ifindex)
		die("mr0", errno);
}

static void load(void)
{
	static const char *const names[N_SECTIONS] = { "mr_xdp", "mr_xdp_frags" };
	struct bpf_map *map;
	int err;

	fx.object = bpf_object__open_file(object_path(), NULL);
	if (!fx.object)
		die(object_path(), errno);
	bpf_object__for_each_map(map, fx.object) bpf_map__set_pin_path(map, NULL);
	err = bpf_object__load(fx.object);
	if (err)
		die("load", -err);
	for (int i = 0; i < N_SECTIONS; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(fx.object, names[i]);

		if (!p || strcmp(bpf_program__section_name(p), section_names[i]))
			die(names[i], ENOENT);
		fx.program[i] = bpf_program__fd(p);
	}
}

void fixture_open(void)
{
	open_namespace();
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	load();
	fx.n_cpus = libbpf_num_possible_cpus();
	if (fx.n_cpus < 1 || fx.n_cpus > MAX_CPUS)
		die("number of CPUs", ERANGE);
	for (int i = 0; i < N_LANES; i++) {
		const int entries = 16;

		fx.sockets[i] = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
		if (fx.sockets[i] < 0)
			die("AF_XDP socket", errno);
		/* Without one Linux 7.2 lets it into no map (ENOBUFS). */
		if (setsockopt(fx.sockets[i], SOL_XDP, XDP_RX_RING, &entries, sizeof(entries)) < 0)
			die("receive ring", errno);
	}
}

void fixture_close(void)
{
	for (int i = 0; i < N_LANES; i++)
		close(fx.sockets[i]);
	bpf_object__close(fx.object);
}

void use_section(enum section s)
{
	fx.section = s;
}

enum section section_in_use(void)
{
	return fx.section;
}

uint32_t test_ifindex(void)
{
	return fx.ifindex;
}

struct bpf_object *test_object(void)
{
	return fx.object;
}

int program_fd(void)
{
	return fx.program[fx.section];
}

int map_fd(const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(fx.object, name);

	if (fd < 0)
		die(name, -fd);
	return fd;
}

void update(const char *map, const void *key, const void *value)
{
	if (bpf_map_update_elem(map_fd(map), key, value, BPF_ANY) < 0)
		die(map, errno);
}

static void delete_all(const char *map)
{
	uint8_t key[64];

	while (bpf_map_get_next_key(map_fd(map), NULL, key) == 0)
		if (bpf_map_delete_elem(map_fd(map), key) < 0)
			die(map, errno);
}

void set_interface(const struct mr_interface *ifc)
{
	struct mr_interface v = *ifc;

	v.ifindex = fx.ifindex;
	update("mr1_if", &fx.ifindex, &v);
	set_near(&v);
}

void set_near(const struct mr_interface *ifc)
{
	update("mr1_near", &(uint32_t){ mr_near(fx.ifindex) }, ifc);
}

void set_config(const struct mr_config *cfg)
{
	update("mr1_cfg", &(uint32_t){ 0 }, cfg);
}

struct mr_config get_config(void)
{
	struct mr_config cfg;

	if (bpf_map_lookup_elem(map_fd("mr1_cfg"), &(uint32_t){ 0 }, &cfg) < 0)
		die("mr1_cfg", errno);
	return cfg;
}

static uint8_t shape_of(const struct rule_spec *r)
{
	if (r->address)
		return r->vlan == MR_VLAN_ANY ? MR_SHAPE_ADDR : MR_SHAPE_ADDR_VLAN;
	return r->vlan == MR_VLAN_ANY ? MR_SHAPE_ANY : MR_SHAPE_VLAN;
}

/* Before 6.2 a kernel puts only a map with types of its fields into mr1_rules, as its template. */
static int create_generation(int typed_map, uint32_t max_entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	struct bpf_map_info info = { 0 };
	uint32_t bytes = sizeof(info);
	struct btf *btf;
	int fd, generation;

	if (bpf_obj_get_info_by_fd(typed_map, &info, &bytes) < 0)
		die("types of the object", errno);
	btf = btf__load_from_kernel_by_id(info.btf_id);
	if (!btf)
		die("types of the object", errno);
	fd = bpf_btf_get_fd_by_id(info.btf_id);
	opts.btf_fd = (uint32_t)fd;
	opts.btf_key_type_id =
		(uint32_t)btf__find_by_name_kind(btf, "mr_rule_key", BTF_KIND_STRUCT);
	opts.btf_value_type_id = (uint32_t)btf__find_by_name_kind(btf, "mr_rule", BTF_KIND_STRUCT);
	btf__free(btf);
	generation = bpf_map_create(BPF_MAP_TYPE_HASH, "mr1_generation", sizeof(struct mr_rule_key),
				    sizeof(struct mr_rule), max_entries, &opts);
	close(fd);
	return generation;
}

int make_generation(int typed_map, const struct rule_spec *rules, size_t n, uint32_t max_entries)
{
	int fd = create_generation(typed_map, max_entries);

	if (fd < 0)
		die("inner map", errno);
	for (size_t i = 0; i < n; i++) {
		struct mr_rule_key key = {
			.vlan = (uint32_t)rules[i].vlan,
			.port = mr_to_be16(rules[i].port ? rules[i].port : TEST_PORT),
			.protocol = rules[i].protocol ? rules[i].protocol : IPPROTO_TCP,
			.family = rules[i].family ? rules[i].family : 4,
		};

		address_bytes(key.addr, rules[i].address);
		if (bpf_map_update_elem(fd, &key, &rules[i].rule, BPF_NOEXIST) < 0)
			die("rule", errno);
	}
	return fd;
}

void set_rules(const struct rule_spec *rules, size_t n)
{
	struct mr_config cfg = get_config();
	uint32_t parity = !cfg.generation.parity;
	int fd = make_generation(map_fd("mr1_cfg"), rules, n, MR_MAX_RULES);

	update("mr1_rules", &parity, &fd);
	close(fd);
	cfg.generation.number++;
	cfg.generation.parity = (uint8_t)parity;
	cfg.generation.promises = MR_PROMISE_NUMBER | MR_PROMISE_NEAR;
	cfg.generation.shapes = 0;
	for (size_t i = 0; i < n; i++)
		cfg.generation.shapes |= shape_of(&rules[i]);
	set_config(&cfg);
}

void set_guard(uint32_t parts)
{
	struct mr_config cfg = get_config();

	cfg.generation.promises &= (uint8_t)~MR_GUARD_PARTS;
	cfg.generation.promises |= (uint8_t)parts;
	set_config(&cfg);
}

void set_mode(enum mr_mode mode)
{
	struct mr_config cfg = get_config();

	cfg.generation.mode = (uint8_t)mode;
	set_config(&cfg);
}

uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void set_beat_ns(uint32_t slot, uint64_t ns)
{
	struct mr_beat beat = { .beat_ns = ns, .epoch = 1 };

	update("mr1_beat", &slot, &beat);
}

void set_lane(enum health h)
{
	uint64_t now = monotonic_ns();
	uint64_t beat = h == FRESH ? now : now - BEAT_AGE_NS;
	struct mr_config cfg = get_config();

	if (now <= BEAT_AGE_NS)
		die("machine runs since a few seconds only, try again", EAGAIN);
	/* A fresh lane of a test that takes minutes stays fresh. */
	cfg.stale_ns = h == FRESH ? GRACE_NS : STALE_NS;
	cfg.grace_ns = h == GONE ? SHORT_GRACE_NS : GRACE_NS;
	set_config(&cfg);
	for (uint32_t i = 0; i < N_LANES; i++)
		set_beat_ns(SLOT + i, beat);
}

void set_socket(uint32_t slot, bool there)
{
	if (there)
		update("mr1_xsk", &slot, &fx.sockets[slot - SLOT]);
	else if (bpf_map_delete_elem(map_fd("mr1_xsk"), &slot) < 0 && errno != ENOENT)
		die("mr1_xsk", errno);
}

void set_local(const char *address)
{
	struct mr_local local = { .ifindex = fx.ifindex };
	struct mr_local_key key;

	address_bytes(key.addr, address);
	update("mr1_local", &key, &local);
}

bool is_in_kernel_flows(const struct packet *p)
{
	struct mr_flow_key key = {
		.sport = mr_to_be16(p->sport ? p->sport : TEST_PEER_PORT),
		.dport = mr_to_be16(p->dport ? p->dport : TEST_PORT),
		.protocol = IPPROTO_TCP,
	};
	struct mr_kernel_flow value;

	address_bytes(key.saddr, packet_source(p));
	address_bytes(key.daddr, packet_destination(p));
	return bpf_map_lookup_elem(map_fd("mr1_kflow"), &key, &value) == 0;
}

uint64_t kernel_flows_inserted(void)
{
	struct mr_kernel_flows n;

	if (bpf_map_lookup_elem(map_fd("mr1_kflows"), &(uint32_t){ 0 }, &n) < 0)
		die("mr1_kflows", errno);
	return n.inserted;
}

int setup_empty(void **state)
{
	(void)state;
	delete_all("mr1_if");
	set_near(&(struct mr_interface){ 0 });
	delete_all("mr1_local");
	delete_all("mr1_kflow");
	delete_all("mr1_gstate");
	update("mr1_kflows", &(uint32_t){ 0 }, &(struct mr_kernel_flows){ 0 });
	/* numbers of generations never come again */
	set_config(&(struct mr_config){ .generation.number = get_config().generation.number });
	for (uint32_t i = 0; i < 2; i++) {
		bpf_map_delete_elem(map_fd("mr1_rules"), &i);
		bpf_map_delete_elem(map_fd("mr1_block4"), &i);
		bpf_map_delete_elem(map_fd("mr1_block6"), &i);
		bpf_map_delete_elem(map_fd("mr1_field"), &i);
	}
	for (uint32_t i = 0; i < N_LANES; i++) {
		set_beat_ns(SLOT + i, 0);
		set_socket(SLOT + i, false);
	}
	return 0;
}

int setup_served(void **state)
{
	setup_empty(state);
	set_interface(&(struct mr_interface){ .slot_base = SLOT, .n_queues = N_LANES });
	RULES({ .vlan = MR_VLAN_ANY, .rule = { .rule_id = 0 } },
	      { .vlan = MR_VLAN_ANY, .family = 6, .rule = { .rule_id = 1 } },
	      { .vlan = MR_VLAN_ANY, .protocol = IPPROTO_UDP, .rule = { .rule_id = 2 } },
	      { .vlan = MR_VLAN_ANY,
		.protocol = IPPROTO_UDP,
		.family = 6,
		.rule = { .rule_id = 3 } });
	set_lane(FRESH);
	for (uint32_t i = 0; i < N_LANES; i++)
		set_socket(SLOT + i, true);
	return 0;
}

struct mr_count map_sum(const char *map, uint32_t key)
{
	static struct mr_count each[MAX_CPUS];
	struct mr_count all = { 0 };

	if (bpf_map_lookup_elem(map_fd(map), &key, each) < 0)
		die(map, errno);
	for (int i = 0; i < fx.n_cpus; i++) {
		all.packets += each[i].packets;
		all.bytes += each[i].bytes;
	}
	return all;
}

struct mr_count rule_count(uint32_t rule_id)
{
	return map_sum("mr1_rstat", rule_id);
}

static struct mr_count verdict_sum(uint32_t verdict)
{
	return verdict < MR_VERDICTS_FIRST ? map_sum("mr1_verdict", verdict)
					   : map_sum("mr1_verdict2", verdict - MR_VERDICTS_FIRST);
}

uint64_t verdict_hits(int verdict)
{
	return verdict_sum((uint32_t)verdict).packets;
}

const char *verdict_name(int verdict)
{
	static const char *const names[] = {
#define V(name, action, text) #name,
		MR_VERDICTS(V)
#undef V
	};

	return verdict < 0 || verdict >= MR_VERDICT_COUNT ? "no verdict" : names[verdict];
}

uint32_t verdict_action(int verdict)
{
	static const uint32_t actions[] = {
#define V(name, action, text) action,
		MR_VERDICTS(V)
#undef V
	};

	return actions[verdict];
}

struct outcome run_frame(const struct frame *f, const struct run *how)
{
	struct xdp_md ctx = {
		.data_end = how->linear ? how->linear : (uint32_t)f->len,
		.ingress_ifindex = how->ifindex ? how->ifindex : fx.ifindex,
		.rx_queue_index = how->queue,
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->bytes, .data_size_in = (uint32_t)f->len,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);
	struct mr_count before[MR_VERDICT_COUNT];
	struct outcome o = { .verdict = -1 };

	for (uint32_t v = 0; v < MR_VERDICT_COUNT; v++)
		before[v] = verdict_sum(v);
	if (bpf_prog_test_run_opts(fx.program[fx.section], &opts) < 0)
		o.error = -errno;
	o.action = opts.retval;
	for (uint32_t v = 0; v < MR_VERDICT_COUNT; v++) {
		struct mr_count after = verdict_sum(v);

		if (after.packets != before[v].packets)
			o.verdict = (int)v;
		o.counted += after.packets - before[v].packets;
		o.bytes += after.bytes - before[v].bytes;
	}
	return o;
}

bool can_run_in_pieces(void)
{
	enum section section = fx.section;
	struct frame f = FRAME(.payload = 200);
	int error;

	fx.section = SECTION_FRAGS;
	error = run_frame(&f, &(struct run){ .linear = 64 }).error;
	fx.section = section;
	return error != -EINVAL;
}

void expect_at(const struct frame *f, const struct run *how, int verdict, const char *file,
	       int line)
{
	struct outcome o = run_frame(f, how);

	if (o.error || o.verdict != verdict || o.counted != 1 || o.bytes != f->len ||
	    o.action != verdict_action(verdict)) {
		print_error("%s: want %s, got %s: error %d, action %u, %llu counted, %llu bytes\n",
			    section_names[fx.section], verdict_name(verdict),
			    verdict_name(o.verdict), o.error, o.action,
			    (unsigned long long)o.counted, (unsigned long long)o.bytes);
		_fail(file, line);
	}
}

void expect_only_counted(struct frame f, int verdict)
{
	struct outcome o = run_frame(&f, &(struct run){ 0 });

	assert_int_equal(o.error, 0);
	assert_string_equal(verdict_name(o.verdict), verdict_name(verdict));
	assert_int_equal(o.counted, 1);
	assert_int_equal(o.action, XDP_PASS);
}
