/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/control.h"

#include <stdio.h>

#include "tests/fuzz/fuzz.h"
#include "user/daemon/guard_changes.h"

static void fill_lane(struct control *k, uint32_t i)
{
	static const struct mr_arena_sizes sizes = {
		.frames = 64,
		.frame_bytes = 2048,
		.conns = CONTROL_CONNS,
		.half_open = 16,
		.time_wait = 16,
		.sessions = 16,
		.message_bytes = 1 << 13,
	};
	struct mr_lane *l = &k->lanes[i];
	bool huge;

	*l = (struct mr_lane){
		.index = i, .slot = i, .cpu = -1, .xsk = -1, .go = -1, .config = -1, .socket = -1
	};
	FUZZ_CHECK(!mr_arena_create("fuzz", &sizes, false, &l->arena_reader, &huge));
	FUZZ_CHECK(!mr_arena_map(&k->arena[i], l->arena_reader, true));
	memcpy(&l->layout, k->arena[i].base, sizeof(l->layout));
	k->wards[i].lane = i;
	k->wards[i].watch.fd = -1;
}

void control_init(struct control *k)
{
	static char file[] = "fuzz.yaml", user[] = "nobody", run[] = "/run/fuzz", pin[] = "/pin";

	static struct mr_guard_changes none;

	memset(k, 0, sizeof(*k));
	k->c.d = &k->d;
	k->d.guard_changes = &none;
	k->c.wards = k->wards;
	snprintf(k->interface.name, sizeof(k->interface.name), "fuzz0");
	k->link.settings = &k->interface;
	k->link.name = k->interface.name;
	k->link.n_queues = CONTROL_LANES;
	k->d.links = &k->link;
	k->d.n_links = 1;
	k->d.lanes = k->lanes;
	k->d.n_lanes = CONTROL_LANES;
	k->d.settings.file = file;
	k->d.settings.user = user;
	k->d.settings.run_directory = run;
	k->d.settings.pin_directory = pin;
	k->d.settings.interfaces = &k->interface;
	k->d.settings.n_interfaces = 1;
	k->d.settings.rules = k->rules;
	k->d.settings.n_rules = 2;
	k->d.http = -1;
	k->d.settings.stale_ms = 50;
	k->d.settings.grace_ms = 3000;
	k->d.bpf.beats = k->beats;
	k->d.bpf.lanes = k->stats;
	k->d.bpf.n_cpus = 1;
	for (int i = 0; i < MR_MAP_COUNT; i++)
		k->d.bpf.map[i] = k->d.bpf.reader[i] = -1;
	for (uint32_t i = 0; i < 2; i++) {
		k->rules[i].lane.rule_id = (uint16_t)i;
		k->rules[i].lane.port = (uint16_t)(7000 + i);
		k->rules[i].lane.any_family = 1;
		snprintf(k->rules[i].lane.name, sizeof(k->rules[i].lane.name), "rule-%u", i);
		snprintf(k->rules[i].lane.app, sizeof(k->rules[i].lane.app), i ? "drill" : "echo");
	}
	for (uint32_t i = 0; i < CONTROL_LANES; i++)
		fill_lane(k, i);
}
