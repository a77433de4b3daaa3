/* SPDX-License-Identifier: MIT */
/*
 * Rule generations, and the listeners that applications add to them. The active inner map is
 * never changed: a change builds the other one and flips the generation word.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "user/daemon/bpf.h"
#include "user/daemon/log.h"
#include "user/daemon/ports.h"

static int create_inner(const struct mr_daemon *d)
{
	struct bpf_map_create_opts opts;
	int fd;

	memset(&opts, 0, sizeof(opts)); /* libbpf wants zeros in the padding too */
	opts.sz = sizeof(opts);
	opts.map_flags = d->bpf.inner[MR_MAP_RULES].flags;
	opts.btf_fd = (uint32_t)bpf_object__btf_fd(d->bpf.object);
	opts.btf_key_type_id = d->bpf.inner_key_type;
	opts.btf_value_type_id = d->bpf.inner_value_type;
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "mr1_rule_gen", sizeof(struct mr_rule_key),
			    sizeof(struct mr_rule), MR_MAX_RULES, &opts);
	return fd < 0 ? -errno : fd;
}

static uint8_t shape_of(bool any_address, uint32_t vlan)
{
	if (any_address)
		return vlan == (uint32_t)MR_VLAN_ANY ? MR_SHAPE_ANY : MR_SHAPE_VLAN;
	return vlan == (uint32_t)MR_VLAN_ANY ? MR_SHAPE_ADDR : MR_SHAPE_ADDR_VLAN;
}

static int add_key(int inner, const uint8_t addr[16], uint8_t family, uint16_t port, uint32_t vlan,
		   const struct mr_rule *rule)
{
	struct mr_rule_key key = {
		.vlan = vlan,
		.port = mr_to_be16(port),
		.protocol = IPPROTO_TCP,
		.family = family,
	};

	memcpy(key.addr, addr, sizeof(key.addr));
	return bpf_map_update_elem(inner, &key, rule, BPF_NOEXIST) < 0 ? -errno : 0;
}

static int add_rule(int inner, const struct mr_settings_rule *s, uint8_t *shapes)
{
	const struct mr_lane_rule *l = &s->lane;
	struct mr_rule rule = {
		.rule_id = l->rule_id,
		.action = MR_ACTION_STEER,
		.fallback = (uint8_t)s->fallback,
	};
	int err;

	*shapes |= shape_of(l->any_family, l->vlan);
	if (!l->any_family)
		return add_key(inner, l->addr, l->family, l->port, l->vlan, &rule);
	err = add_key(inner, l->addr, 4, l->port, l->vlan, &rule);
	return err ? err : add_key(inner, l->addr, 6, l->port, l->vlan, &rule);
}

static int family_of(const uint8_t addr[16])
{
	return IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)addr) ? 4 : 6;
}

static int fill(const struct mr_daemon *d, int inner, uint8_t *shapes)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < d->settings.n_rules; i++)
		err = add_rule(inner, &d->settings.rules[i], shapes);
	for (unsigned int i = 0; !err && i < MR_MAX_DYNAMIC; i++) {
		const struct mr_dynamic *y = &d->dynamic[i];
		struct mr_rule rule = { .rule_id = y->rule_id, .action = MR_ACTION_STEER };

		if (!y->used)
			continue;
		*shapes |= MR_SHAPE_ADDR;
		err = add_key(inner, y->addr, (uint8_t)family_of(y->addr), y->port,
			      (uint32_t)MR_VLAN_ANY, &rule);
	}
	return err;
}

/*
 * A run of the program that read the generation before the last one may not have looked into its
 * map yet, whose slot is filled next. Once the kernel has changed a map of maps, it waits until all
 * runs are over; so putting the active map where it already is ends those.
 */
static int end_older_runs(const struct mr_daemon *d)
{
	uint32_t parity = d->bpf.generation.parity;

	if (d->bpf.active < 0)
		return 0;
	return bpf_map_update_elem(d->bpf.map[MR_MAP_RULES], &parity, &d->bpf.active, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

int mr_rules_publish(struct mr_daemon *d)
{
	struct mr_config config = {
		.generation = d->bpf.generation,
		.stale_ns = d->settings.stale_ms * 1000000ull,
		.grace_ns = d->settings.grace_ms * 1000000ull,
	};
	uint32_t parity = !config.generation.parity, zero = 0;
	int inner, err;

	config.generation.number++;
	config.generation.parity = (uint8_t)parity;
	config.generation.shapes = 0;
	inner = create_inner(d);
	if (inner < 0)
		return inner;
	err = fill(d, inner, &config.generation.shapes);
	if (!err)
		err = end_older_runs(d);
	if (!err && bpf_map_update_elem(d->bpf.map[MR_MAP_RULES], &parity, &inner, BPF_ANY) < 0)
		err = -errno;
	if (!err && bpf_map_update_elem(d->bpf.map[MR_MAP_CFG], &zero, &config, BPF_ANY) < 0)
		err = -errno;
	if (err) {
		close(inner);
		return err;
	}
	mr_close_fd(&d->bpf.active);
	d->bpf.active = inner;
	d->bpf.generation = config.generation;
	return 0;
}

static struct mr_dynamic *find(struct mr_daemon *d, const uint8_t addr[16], uint16_t port)
{
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++) {
		struct mr_dynamic *y = &d->dynamic[i];

		if (y->used && y->port == port && !memcmp(y->addr, addr, sizeof(y->addr)))
			return y;
	}
	return NULL;
}

static bool is_taken(struct mr_daemon *d, const uint8_t addr[16], uint16_t port)
{
	const struct mr_settings_lanes *l = &d->settings.lanes;

	if (port >= l->port_lo && port <= l->port_hi)
		return true;
	for (unsigned int i = 0; i < d->settings.n_rules; i++)
		if (d->settings.rules[i].lane.port == port)
			return true;
	return find(d, addr, port) != NULL;
}

int mr_dynamic_open(struct mr_daemon *d, uint32_t lane, const uint8_t addr[16], uint16_t port,
		    uint16_t *rule_id)
{
	struct mr_dynamic *y = NULL;
	unsigned int i;
	int err;

	if (is_taken(d, addr, port))
		return -EADDRINUSE;
	for (i = 0; i < MR_MAX_DYNAMIC && !y; i++)
		if (!d->dynamic[i].used)
			y = &d->dynamic[i];
	if (!y)
		return -ENOBUFS;
	*y = (struct mr_dynamic){ .lane = lane, .port = port };
	memcpy(y->addr, addr, sizeof(y->addr));
	y->rule_id = (uint16_t)(d->settings.n_rules + (unsigned int)(y - d->dynamic));
	y->reserved = mr_port_reserve(addr, port);
	if (y->reserved < 0)
		return y->reserved;
	y->used = true;
	err = mr_rules_publish(d);
	if (err) {
		y->used = false;
		mr_close_fd(&y->reserved);
		return err;
	}
	*rule_id = y->rule_id;
	return 0;
}

static void close_one(struct mr_daemon *d, struct mr_dynamic *y)
{
	int err;

	y->used = false;
	err = mr_rules_publish(d);
	if (err)
		mr_warn("rules: port %u stays steered until the next change: %s", y->port,
			strerror(-err));
	mr_close_fd(&y->reserved);
}

int mr_dynamic_close(struct mr_daemon *d, uint32_t lane, const uint8_t addr[16], uint16_t port)
{
	struct mr_dynamic *y = find(d, addr, port);

	if (!y || y->lane != lane)
		return -ENOENT;
	close_one(d, y);
	return 0;
}

void mr_dynamic_close_lane(struct mr_daemon *d, uint32_t lane,
			   void (*told)(struct mr_daemon *d, const struct mr_dynamic *y))
{
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++) {
		struct mr_dynamic *y = &d->dynamic[i];

		if (!y->used || y->lane != lane)
			continue;
		close_one(d, y);
		told(d, y);
	}
}
