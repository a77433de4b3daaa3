/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The maps; include/shared/mr_maps.h says what their records mean, docs/maps.md shows them to
 * people. All are pinned by name, under the directory that the loader chooses. Only these: no
 * static data, because iproute2 would make a new copy of it at each load.
 */
#ifndef MR_BPF_MAPS_H
#define MR_BPF_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "shared/mr_verdict.h"
#include "shared/mr_maps.h"
#include "shared/mr_full.h"
#include "shared/mr_lane.h"
#include "shared/mr_guard.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mr_abi);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_abi SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mr_config);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_cfg SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MR_MAX_INTERFACES);
	__type(key, __u32);
	__type(value, struct mr_interface);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_if SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MR_NEAR_INTERFACES);
	__type(key, __u32);
	__type(value, struct mr_interface);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_near SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MR_MAX_SLOTS);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_xsk SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MR_MAX_SLOTS);
	__type(key, __u32);
	__type(value, struct mr_beat);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_beat SEC(".maps");

/*
 * Both slots are empty at load. The kernel takes inner maps of any size, but only of these flags
 * and, before 6.2, only with types of their fields (BTF) as this template has them.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_HASH);
			__uint(max_entries, MR_MAX_RULES);
			__type(key, struct mr_rule_key);
			__type(value, struct mr_rule);
		});
} mr1_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_LPM_TRIE);
			__uint(map_flags, BPF_F_NO_PREALLOC);
			__uint(max_entries, 1);
			__type(key, struct mr_field_key);
			__type(value, __u32);
		});
} mr1_field SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_INNER_MAP);
			__uint(max_entries, 1);
			__type(key, __u32);
			__type(value, struct mr_rule_set);
		});
} mr1_class SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_INNER_MAP);
			__uint(max_entries, 1);
			__type(key, __u32);
			__type(value, struct mr_rule);
		});
} mr1_order SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MR_MAX_MET);
	__type(key, __u32);
	__type(value, struct mr_met);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_met SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MR_MAX_KNOWN);
	__type(key, __u32);
	__type(value, struct mr_known);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_known SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MR_MAX_LOCAL);
	__type(key, struct mr_local_key);
	__type(value, struct mr_local);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_local SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MR_MAX_KERNEL_FLOWS);
	__type(key, struct mr_flow_key);
	__type(value, struct mr_kernel_flow);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_kflow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mr_kernel_flows);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_kflows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MR_VERDICTS_FIRST);
	__type(key, __u32);
	__type(value, struct mr_count);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_verdict SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MR_VERDICTS_SECOND);
	__type(key, __u32);
	__type(value, struct mr_count);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_verdict2 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MR_MAX_RULES);
	__type(key, __u32);
	__type(value, struct mr_count);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_rstat SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MR_MAX_SLOTS);
	__type(key, __u32);
	__type(value, struct mr_lane_stats);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_lane SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MR_MAX_SLOTS);
	__type(key, __u32);
	__type(value, struct mr_full);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_full SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mr_tap);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_tap SEC(".maps");

/* Empty but while somebody captures: no memory is held for it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_RINGBUF);
			__uint(max_entries, MR_TAP_RING_TEMPLATE);
		});
} mr1_tapring SEC(".maps");

/* The guard's; include/shared/mr_guard.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_LPM_TRIE);
			__uint(map_flags, BPF_F_NO_PREALLOC);
			__uint(max_entries, MR_MAX_BLOCKS);
			__type(key, struct mr_block4_key);
			__type(value, struct mr_block_entry);
		});
} mr1_block4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_LPM_TRIE);
			__uint(map_flags, BPF_F_NO_PREALLOC);
			__uint(max_entries, MR_MAX_BLOCKS);
			__type(key, struct mr_block6_key);
			__type(value, struct mr_block_entry);
		});
} mr1_block6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct mr_guard);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_guard SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MR_MAX_GUARD_STATES);
	__type(key, struct mr_guard_source);
	__type(value, struct mr_guard_state);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_gstate SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MR_MAX_RULES);
	__type(key, __u32);
	__type(value, struct mr_guard_rule);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_grule SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MR_GUARD_COUNTS);
	__type(key, __u32);
	__type(value, struct mr_count);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_gstat SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MR_MAX_RULES);
	__type(key, __u32);
	__type(value, struct mr_count);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_grstat SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mr_guard_secret);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} mr1_secret SEC(".maps");

#endif
