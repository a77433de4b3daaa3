/* SPDX-License-Identifier: MIT */
/*
 * The XDP program in a network namespace of the test's own, run frame by frame by the kernel's
 * BPF_PROG_TEST_RUN, with maps that are pinned nowhere.
 *
 *	this test --TEST_RUN--> mr_xdp or mr_xdp_frags, as if on veth mr0, queue 0 to 3
 *	                          mr1_if[mr0] = slots 8 and 9, so queues 2 and 3 have no lane
 *	                          mr1_xsk[8], mr1_xsk[9] = AF_XDP sockets that nothing is bound to:
 *	                          TEST_RUN stops at XDP_REDIRECT, no frame goes anywhere
 */
#ifndef MR_TEST_FIXTURE_H
#define MR_TEST_FIXTURE_H

/* cmocka.h wants these first. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include "shared/mr_full.h"
#include "shared/mr_guard.h"
#include "shared/mr_maps.h"
#include "shared/mr_verdict.h"
#include "tests/bpf/frames.h"

enum {
	SLOT = 8, /* of queue 0 */
	N_LANES = 2,
	N_QUEUES = 4,
};

enum section {
	SECTION_XDP,
	SECTION_FRAGS,
	N_SECTIONS,
};

extern const char *const section_names[N_SECTIONS];

/* Of one frame. */
struct outcome {
	int error;	  /* TEST_RUN's -errno */
	uint32_t action;  /* enum xdp_action */
	int verdict;	  /* whose counter rose, -1: none */
	uint64_t counted; /* by how much all verdict counters rose */
	uint64_t bytes;	  /* and the bytes */
};

struct run {
	uint32_t ifindex; /* 0: mr0 */
	uint32_t queue;
	uint32_t linear; /* bytes in the first buffer, 0: all */
};

struct rule_spec {
	const char *address; /* NULL: any */
	int vlan;	     /* MR_VLAN_ANY, or as struct mr_rule_key */
	uint16_t port;	     /* 0: TEST_PORT */
	uint8_t protocol;    /* 0: TCP */
	uint8_t family;	     /* 0: 4 */
	struct mr_rule rule;
};

/** skip_unless_root() - anybody else's run ends here, with one skipped test */
void skip_unless_root(void);

/** fixture_open() - namespace, interface and program, or the end of the process */
void fixture_open(void);
void fixture_close(void);

/** object_path() - the object under test */
const char *object_path(void);

/** use_section() - which of the two programs the following runs are for */
void use_section(enum section s);
enum section section_in_use(void);

/** setup_empty(), setup_served() - cmocka set-ups: all maps empty; lanes that live, and rules that
 * give them TCP and UDP of TEST_PORT on any address and VLAN, rule ids 0 to 3
 */
int setup_empty(void **state);
int setup_served(void **state);

/** map_fd() - descriptor of a map of the object */
int map_fd(const char *name);
uint32_t test_ifindex(void);

/** test_object() - what map_fd() looks into, for the daemon's own code */
struct bpf_object *test_object(void);

/** program_fd() - descriptor of the program of the section in use */
int program_fd(void);

/** set_interface() - the test's interface, in both maps as every loader does it */
void set_interface(const struct mr_interface *ifc);

/** set_near() - only what stands in mr1_near at its place */
void set_near(const struct mr_interface *ifc);
void set_config(const struct mr_config *cfg);
struct mr_config get_config(void);

/** set_rules() - a new generation of these, in the map that is not active, made active */
void set_rules(const struct rule_spec *rules, size_t n);
#define RULES(...)                                                                                 \
	set_rules((const struct rule_spec[]){ __VA_ARGS__ },                                       \
		  sizeof((const struct rule_spec[]){ __VA_ARGS__ }) / sizeof(struct rule_spec))

/**
 * make_generation() - an inner map of mr1_rules
 * @typed_map:	descriptor of another map of the object, for its BTF
 * @max_entries: any number
 *
 * Return: a descriptor, which the caller closes
 */
int make_generation(int typed_map, const struct rule_spec *rules, size_t n, uint32_t max_entries);

enum health {
	FRESH,
	STALE,
	GONE,
};

/** set_lane() - condition of the lanes, by the age of their heartbeat */
void set_lane(enum health h);
void set_beat_ns(uint32_t slot, uint64_t ns);
uint64_t monotonic_ns(void);

/** set_socket() - fill, or empty, a slot of mr1_xsk */
void set_socket(uint32_t slot, bool there);

void set_local(const char *address);
bool is_in_kernel_flows(const struct packet *p);
uint64_t kernel_flows_inserted(void);

/** set_guard() - which parts are on (enum mr_guard_part); the rules stay as they are */
void set_guard(uint32_t parts);

/** set_mode() - what becomes of what the rules say */
void set_mode(enum mr_mode mode);

/** update() - write an element of a map, or the end of the process */
void update(const char *map, const void *key, const void *value);

/** map_sum() - a per-CPU struct mr_count, all CPUs */
struct mr_count map_sum(const char *map, uint32_t key);

/** rule_count() - mr1_rstat of a rule, all CPUs */
struct mr_count rule_count(uint32_t rule_id);

struct outcome run_frame(const struct frame *f, const struct run *how);

/** can_run_in_pieces() - whether this kernel's TEST_RUN lets a frame's first buffer be short */
bool can_run_in_pieces(void);

/** verdict_hits() - how often a verdict was seen since the program was loaded */
uint64_t verdict_hits(int verdict);
const char *verdict_name(int verdict);

/** verdict_action() - as the table says */
uint32_t verdict_action(int verdict);

/* One run; its verdict, its action and its count must be those of the table. */
void expect_at(const struct frame *f, const struct run *how, int verdict, const char *file,
	       int line);

/** expect_only_counted() - one run in mode monitor: counted as if it were done, but it passes */
void expect_only_counted(struct frame f, int verdict);

#define EXPECT_ON(how_, frame_, verdict_)                                                          \
	do {                                                                                       \
		struct frame expected_ = (frame_);                                                 \
                                                                                                   \
		expect_at(&expected_, &(const struct run)how_, MR_V_##verdict_, __FILE__,          \
			  __LINE__);                                                               \
	} while (0)
#define EXPECT(frame_, verdict_) EXPECT_ON({ 0 }, frame_, verdict_)

#endif
