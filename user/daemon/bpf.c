/* SPDX-License-Identifier: MIT */
#include "user/daemon/bpf.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "shared/mr_verdict.h"
#include "user/daemon/adopt.h"
#include "user/daemon/estate.h"
#include "user/daemon/guard.h"
#include "user/daemon/log.h"
#include "user/daemon/pins.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

enum {
	CPUS_MOST = 4096,
};

static const char *const map_names[] = {
#define M(name, text) text,
	MR_MAPS(M)
#undef M
};

/* Only while setting up: what libbpf said last. */
static char words[MR_WORDS];

const char *mr_bpf_map_name(enum mr_map map)
{
	return map_names[map];
}

/* The kernel's own words are better than libbpf's, and the first of these than what follows. */
static int keep_words(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[512];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	mr_debug("%s", line);
	if (level != LIBBPF_WARN)
		return 0;
	if (!strncmp(line, "Kernel error message: ", 22) ||
	    !strncmp(line, "libbpf: Kernel error message: ", 30))
		snprintf(words, sizeof(words), "%s", strstr(line, "message: ") + 9);
	else if (!words[0])
		snprintf(words, sizeof(words), "%.*s", MR_WORDS - 1, line);
	return 0;
}

const char *mr_bpf_words(void)
{
	static char last[MR_WORDS];

	memcpy(last, words, sizeof(last));
	words[0] = '\0';
	return last;
}

bool mr_bpf_inners(struct mr_daemon *d, struct bpf_object *object)
{
	static const enum mr_map needed[] = { MR_MAP_RULES, MR_MAP_FIELD,  MR_MAP_CLASS,
					      MR_MAP_ORDER, MR_MAP_BLOCK4, MR_MAP_BLOCK6 };

	for (unsigned int i = 0; i < MR_MAP_COUNT; i++) {
		struct bpf_map *outer =
			bpf_object__find_map_by_name(object, mr_bpf_map_name((enum mr_map)i));
		struct bpf_map *inner = outer ? bpf_map__inner_map(outer) : NULL;

		if (inner)
			d->bpf.inner[i] = (struct mr_inner){
				.type = bpf_map__type(inner),
				.flags = bpf_map__map_flags(inner),
				.key_bytes = bpf_map__key_size(inner),
				.value_bytes = bpf_map__value_size(inner),
				.key_type = bpf_map__btf_key_type_id(inner),
				.value_type = bpf_map__btf_value_type_id(inner),
			};
	}
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!d->bpf.inner[needed[i]].key_bytes)
			return false;
	return true;
}

static const char *inner_name(enum mr_map map)
{
	switch (map) {
	case MR_MAP_RULES:
		return "mr1_rule_gen";
	case MR_MAP_BLOCK4:
		return "mr1_block4_gen";
	case MR_MAP_BLOCK6:
		return "mr1_block6_gen";
	default:
		return "mr1_gen";
	}
}

int mr_bpf_inner_create(const struct mr_daemon *d, enum mr_map map, uint32_t entries)
{
	const struct mr_inner *inner = &d->bpf.inner[map];
	struct bpf_map_create_opts opts;
	int fd;

	memset(&opts, 0, sizeof(opts)); /* libbpf wants zeros in the padding too */
	opts.sz = sizeof(opts);
	opts.map_flags = inner->flags;
	if (bpf_object__btf_fd(d->bpf.object) >= 0) {
		opts.btf_fd = (uint32_t)bpf_object__btf_fd(d->bpf.object);
		opts.btf_key_type_id = inner->key_type;
		opts.btf_value_type_id = inner->value_type;
	}
	fd = bpf_map_create((enum bpf_map_type)inner->type, inner_name(map), inner->key_bytes,
			    inner->value_bytes, entries ? entries : 1, &opts);
	return fd < 0 ? -errno : fd;
}

static int open_object(struct mr_daemon *d)
{
	struct bpf_object_open_opts opts;

	memset(&opts, 0, sizeof(opts)); /* libbpf wants zeros in the padding too */
	opts.sz = sizeof(opts);
	opts.pin_root_path = d->settings.pin_directory;
	d->bpf.object = bpf_object__open_file(d->object_path, &opts);
	if (!d->bpf.object)
		return mr_fail(d, -errno, "%s: cannot be read: %s", d->object_path,
			       strerror(errno));
	if (!mr_bpf_inners(d, d->bpf.object))
		return mr_fail(d, -EINVAL,
			       "%s: has no map of rule generations; it belongs to another version",
			       d->object_path);
	return 0;
}

static int load_object(struct mr_daemon *d)
{
	int err = bpf_object__load(d->bpf.object);

	if (err == -EPERM)
		return mr_fail(
			d, err,
			"%s: the kernel refuses to load it: %s; CAP_BPF and CAP_NET_ADMIN are "
			"needed, and a locked memory limit that lets maps in",
			d->object_path, strerror(-err));
	if (err)
		return mr_fail(d, err, "%s: the kernel refuses to load it: %s (%s)", d->object_path,
			       strerror(-err), mr_bpf_words());
	return 0;
}

static int value_bytes(enum mr_map map)
{
	switch (map) {
	case MR_MAP_ABI:
		return sizeof(struct mr_abi);
	case MR_MAP_CFG:
		return sizeof(struct mr_config);
	case MR_MAP_IF:
	case MR_MAP_NEAR:
		return sizeof(struct mr_interface);
	case MR_MAP_XSK:
	case MR_MAP_RULES:
	case MR_MAP_TAPRING:
	case MR_MAP_FIELD:
	case MR_MAP_CLASS:
	case MR_MAP_ORDER:
		return sizeof(uint32_t);
	case MR_MAP_BEAT:
		return sizeof(struct mr_beat);
	case MR_MAP_MET:
		return sizeof(struct mr_met);
	case MR_MAP_KNOWN:
		return sizeof(struct mr_known);
	case MR_MAP_LOCAL:
		return sizeof(struct mr_local);
	case MR_MAP_KFLOW:
		return sizeof(struct mr_kernel_flow);
	case MR_MAP_KFLOWS:
		return sizeof(struct mr_kernel_flows);
	case MR_MAP_VERDICT:
	case MR_MAP_VERDICT2:
	case MR_MAP_RSTAT:
	case MR_MAP_GSTAT:
	case MR_MAP_GRSTAT:
		return sizeof(struct mr_count);
	case MR_MAP_BLOCK4:
	case MR_MAP_BLOCK6:
		return sizeof(uint32_t);
	case MR_MAP_GUARD:
		return sizeof(struct mr_guard);
	case MR_MAP_GSTATE:
		return sizeof(struct mr_guard_state);
	case MR_MAP_GRULE:
		return sizeof(struct mr_guard_rule);
	case MR_MAP_SECRET:
		return sizeof(struct mr_guard_secret);
	case MR_MAP_LANE:
		return sizeof(struct mr_lane_stats);
	case MR_MAP_FULL:
		return sizeof(struct mr_full);
	case MR_MAP_TAP:
		return sizeof(struct mr_tap);
	case MR_MAP_COUNT:
		break;
	}
	return 0;
}

static int open_maps(struct mr_daemon *d)
{
	struct bpf_obj_get_opts opts;
	char path[MR_PIN_PATH];

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.file_flags = BPF_F_RDONLY;
	for (unsigned int i = 0; i < MR_MAP_COUNT; i++) {
		struct bpf_map *m = bpf_object__find_map_by_name(d->bpf.object,
								 mr_bpf_map_name((enum mr_map)i));

		if (!m || (int)bpf_map__value_size(m) != value_bytes((enum mr_map)i))
			return mr_fail(d, -EINVAL,
				       "%s: map %s is not as this millraced knows it; install both "
				       "from the same build",
				       d->object_path, mr_bpf_map_name((enum mr_map)i));
		d->bpf.map[i] = bpf_map__fd(m);
		mr_pin_path(d, (enum mr_map)i, path);
		if (!bpf_map__is_pinned(m) && bpf_map__pin(m, path) < 0)
			return mr_fail(d, -errno, "%s: cannot be pinned: %s", path,
				       strerror(errno));
		if (i == MR_MAP_SECRET) /* not even to be read by the child */
			continue;
		d->bpf.reader[i] = bpf_obj_get_opts(path, &opts);
		if (d->bpf.reader[i] < 0)
			return mr_fail(d, -errno, "%s: cannot be opened: %s", path,
				       strerror(errno));
	}
	return 0;
}

/* The kernel maps no read-only descriptor; but what is mapped for reading can never be written. */
static const void *map_reader(const struct mr_daemon *d, enum mr_map map)
{
	size_t bytes = (size_t)MR_MAX_SLOTS * (size_t)value_bytes(map);
	void *p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, d->bpf.map[map], 0);

	return p == MAP_FAILED ? NULL : p;
}

uint16_t mr_bpf_promises(const char *version)
{
	return strstr(version, "PREEMPT_RT") || strstr(version, "PREEMPT RT")
		       ? MR_PROMISE_NEAR
		       : MR_PROMISE_NEAR | MR_PROMISE_NUMBER;
}

static int write_constants(struct mr_daemon *d)
{
	struct mr_abi abi = {
		.magic = MR_ABI_MAGIC,
		.major = MR_ABI_MAJOR,
		.minor = MR_ABI_MINOR,
		.n_verdicts = MR_VERDICT_COUNT,
	};
	uint32_t zero = 0;
	struct utsname kernel;

	if (uname(&kernel) == 0)
		d->bpf.generation.promises = mr_bpf_promises(kernel.version);
	if (bpf_map_update_elem(d->bpf.map[MR_MAP_ABI], &zero, &abi, BPF_ANY) < 0)
		return mr_fail(d, -errno, "mr1_abi: cannot be written: %s", strerror(errno));
	d->bpf.beats = map_reader(d, MR_MAP_BEAT);
	d->bpf.lanes = map_reader(d, MR_MAP_LANE);
	if (!d->bpf.beats || !d->bpf.lanes)
		return mr_fail(d, -errno, "mr1_beat, mr1_lane: cannot be mapped: %s",
			       strerror(errno));
	d->bpf.n_cpus = (uint32_t)libbpf_num_possible_cpus();
	if (d->bpf.n_cpus > CPUS_MOST)
		return mr_fail(d, -E2BIG, "more than %d CPUs", CPUS_MOST);
	return 0;
}

int mr_bpf_load(struct mr_daemon *d)
{
	static int (*const steps[])(struct mr_daemon *) = {
		open_object,	  mr_adopt_maps,       load_object,	open_maps,
		mr_programs_open, mr_adopt_generation, write_constants, mr_estate_rules,
	};
	int err;

	libbpf_set_print(keep_words);
	if (access(d->object_path, R_OK) < 0)
		return mr_fail(d, -errno, "%s: %s; build it with make, or install millrace",
			       d->object_path, strerror(errno));
	if (access(KERNEL_BTF, R_OK) < 0)
		return mr_fail(d, -ENOENT,
			       "kernel has no BTF (%s is not there); boot one that is built with "
			       "CONFIG_DEBUG_INFO_BTF=y, or mount /sys",
			       KERNEL_BTF);
	err = mr_pins_open(d);
	for (size_t i = 0; !err && i < sizeof(steps) / sizeof(steps[0]); i++)
		err = steps[i](d);
	return err;
}

void mr_bpf_unload(struct mr_daemon *d)
{
	if (d->bpf.pin_lock < 0)
		return;
	mr_programs_close(d);
	mr_pins_remove(d);
	for (unsigned int i = 0; i < MR_MAP_COUNT; i++)
		mr_close_fd(&d->bpf.reader[i]);
	mr_close_fd(&d->bpf.active);
	if (d->bpf.beats)
		munmap((void *)d->bpf.beats, MR_MAX_SLOTS * sizeof(struct mr_beat));
	if (d->bpf.lanes)
		munmap((void *)d->bpf.lanes, MR_MAX_SLOTS * sizeof(struct mr_lane_stats));
	bpf_object__close(d->bpf.object);
	d->bpf.object = NULL;
	d->bpf.beats = NULL;
	d->bpf.lanes = NULL;
	mr_pins_close(d);
}

/*
 * Once more where the program looks first. Who came first keeps the place: a record is never
 * changed into another interface's while the program may be reading it.
 */
static int write_near(struct mr_daemon *d, const struct mr_interface *v)
{
	int fd = d->bpf.map[MR_MAP_NEAR];
	uint32_t place = mr_near(v->ifindex);
	struct mr_interface there;

	if (bpf_map_lookup_elem(fd, &place, &there) < 0)
		return -errno;
	if (there.ifindex && there.ifindex != v->ifindex)
		return 0;
	return bpf_map_update_elem(fd, &place, v, BPF_ANY) < 0 ? -errno : 0;
}

int mr_bpf_interface(struct mr_daemon *d, const struct mr_link *l)
{
	struct mr_interface v = {
		.slot_base = l->slot_base,
		.n_queues = (uint16_t)l->n_queues,
		.port_lo = d->settings.lanes.port_lo,
		.port_hi = d->settings.lanes.port_hi,
		.ifindex = l->ifindex,
	};
	int err;

	if (l->backup) {
		mr_bpf_interface_forget(d, l);
		return 0;
	}
	if (bpf_map_update_elem(d->bpf.map[MR_MAP_IF], &l->ifindex, &v, BPF_ANY) < 0)
		return mr_fail(d, -errno, "%s: mr1_if cannot be written: %s", l->name,
			       strerror(errno));
	err = write_near(d, &v);
	if (err)
		return mr_fail(d, err, "%s: mr1_near cannot be written: %s", l->name,
			       strerror(-err));
	return 0;
}

void mr_bpf_interface_forget(struct mr_daemon *d, const struct mr_link *l)
{
	struct mr_interface there, nobody = { 0 };
	uint32_t place = mr_near(l->ifindex);

	if (bpf_map_lookup_elem(d->bpf.map[MR_MAP_NEAR], &place, &there) == 0 &&
	    there.ifindex == l->ifindex)
		bpf_map_update_elem(d->bpf.map[MR_MAP_NEAR], &place, &nobody, BPF_ANY);
	bpf_map_delete_elem(d->bpf.map[MR_MAP_IF], &l->ifindex);
}

int mr_bpf_local(struct mr_daemon *d, const uint8_t addr[16], uint32_t ifindex, bool add)
{
	struct mr_local v = { .ifindex = ifindex };
	struct mr_local_key key;
	struct mr_local now;

	memcpy(key.addr, addr, sizeof(key.addr));
	if (add)
		return bpf_map_update_elem(d->bpf.map[MR_MAP_LOCAL], &key, &v, BPF_ANY);
	/* It may have come to another interface before it left this one. */
	if (bpf_map_lookup_elem(d->bpf.map[MR_MAP_LOCAL], &key, &now) < 0 || now.ifindex != ifindex)
		return -ENOENT;
	return bpf_map_delete_elem(d->bpf.map[MR_MAP_LOCAL], &key);
}

int mr_bpf_socket(struct mr_daemon *d, const struct mr_lane *l)
{
	if (bpf_map_update_elem(d->bpf.map[MR_MAP_XSK], &l->slot, &l->xsk, BPF_ANY) < 0)
		return mr_fail(d, -errno, "%s queue %u: mr1_xsk cannot be written: %s",
			       mr_lane_link(d, l)->name, l->index, strerror(errno));
	return 0;
}

struct mr_count mr_bpf_sum(const struct mr_daemon *d, enum mr_map map, uint32_t key)
{
	struct mr_count each[CPUS_MOST], sum = { 0 };

	if (bpf_map_lookup_elem(d->bpf.reader[map], &key, each) < 0)
		return sum;
	for (uint32_t i = 0; i < d->bpf.n_cpus; i++) {
		sum.packets += each[i].packets;
		sum.bytes += each[i].bytes;
	}
	return sum;
}

struct mr_count mr_bpf_verdict(const struct mr_daemon *d, uint32_t verdict)
{
	return verdict < MR_VERDICTS_FIRST
		       ? mr_bpf_sum(d, MR_MAP_VERDICT, verdict)
		       : mr_bpf_sum(d, MR_MAP_VERDICT2, verdict - MR_VERDICTS_FIRST);
}
