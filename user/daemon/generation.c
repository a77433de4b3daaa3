/* SPDX-License-Identifier: MIT */
/*
 * A generation of rules, written into maps of its own and made the active one by a single write.
 * Where every rule is an address or any, one port, and a VLAN or any, all of the same priority, it
 * is a hash of keys (mr1_rules); else classes (classes.h).
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/daemon/bpf.h"
#include "user/daemon/classes.h"

enum {
	BATCH = 65536,
	NOT_SUPPORTED = 524, /* the kernel's ENOTSUPP, which no header has */
};

static const enum mr_map class_maps[] = { MR_MAP_FIELD, MR_MAP_CLASS, MR_MAP_ORDER };

enum {
	N_CLASS_MAPS = sizeof(class_maps) / sizeof(class_maps[0]),
};

struct generation {
	struct mr_class_rule *rule;
	uint32_t n;
	struct mr_match asked[MR_MAX_DYNAMIC]; /* what applications listen on */
	struct mr_net asked_at[MR_MAX_DYNAMIC];
	int rules; /* descriptors; -1: none */
	int classes[N_CLASS_MAPS];
	uint8_t shapes;
};

/* ----- a hash of keys ----- */

static bool is_exact(const struct generation *g)
{
	for (uint32_t i = 0; i < g->n; i++)
		if (!mr_match_is_exact(g->rule[i].match) ||
		    g->rule[i].match->priority != g->rule[0].match->priority)
			return false;
	return true;
}

static uint8_t shape_of(const struct mr_match *m)
{
	bool any_vlan = m->vlan == (uint32_t)MR_VLAN_ANY;

	if (!m->destination.given)
		return any_vlan ? MR_SHAPE_ANY : MR_SHAPE_VLAN;
	return any_vlan ? MR_SHAPE_ADDR : MR_SHAPE_ADDR_VLAN;
}

static int add_key(const struct generation *g, const struct mr_class_rule *r, uint8_t family)
{
	const struct mr_prefixes *to = &r->match->destination;
	struct mr_rule_key key = {
		.vlan = r->match->vlan,
		.port = mr_to_be16(r->match->port_lo),
		.protocol = r->match->protocol,
		.family = family,
	};

	if (to->given)
		memcpy(key.addr, to->list[0].addr, sizeof(key.addr));
	if (bpf_map_update_elem(g->rules, &key, &r->rule, BPF_NOEXIST) == 0)
		return 0;
	/* Of two rules that are gone one is enough. */
	return errno == EEXIST && r->rule.action == MR_ACTION_KEEP ? 0 : -errno;
}

static int write_keys(struct generation *g)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < g->n; i++) {
		const struct mr_prefixes *to = &g->rule[i].match->destination;

		g->shapes |= shape_of(g->rule[i].match);
		err = add_key(g, &g->rule[i], to->given ? to->list[0].family : 4);
		if (!err && !to->given)
			err = add_key(g, &g->rule[i], 6);
	}
	return err;
}

/* ----- classes ----- */

static int write_one_by_one(int fd, const void *keys, size_t key_bytes, const void *values,
			    size_t value_bytes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (bpf_map_update_elem(fd, (const uint8_t *)keys + i * key_bytes,
					(const uint8_t *)values + i * value_bytes, BPF_ANY) < 0)
			return -errno;
	return 0;
}

/* Before 5.17 a trie takes no batch. */
static int write_all(int fd, const void *keys, size_t key_bytes, const void *values,
		     size_t value_bytes, uint32_t n)
{
	for (uint32_t done = 0; done < n;) {
		const uint8_t *key = (const uint8_t *)keys + done * key_bytes;
		const uint8_t *value = (const uint8_t *)values + done * value_bytes;
		uint32_t count = n - done < BATCH ? n - done : BATCH;
		struct bpf_map_batch_opts opts;

		memset(&opts, 0, sizeof(opts));
		opts.sz = sizeof(opts);
		if (bpf_map_update_batch(fd, key, value, &count, &opts) == 0) {
			done += count;
			continue;
		}
		if (errno != NOT_SUPPORTED && errno != EOPNOTSUPP && errno != EINVAL)
			return -errno;
		return write_one_by_one(fd, key, key_bytes, value, value_bytes, n - done);
	}
	return 0;
}

static int write_places(int fd, const void *values, size_t value_bytes, uint32_t n)
{
	uint32_t *place = malloc((n ? n : 1) * sizeof(*place));
	int err;

	if (!place)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		place[i] = i;
	err = write_all(fd, place, sizeof(*place), values, value_bytes, n);
	free(place);
	return err;
}

static int write_classes(const struct mr_daemon *d, struct generation *g)
{
	struct mr_classes c;
	int err = mr_classes_build(&c, g->rule, g->n);
	const uint32_t entries[N_CLASS_MAPS] = { c.n_keys, c.n_sets, c.n_rules };

	g->shapes = c.shapes;
	for (int i = 0; !err && i < N_CLASS_MAPS; i++) {
		g->classes[i] = mr_bpf_inner_create(d, class_maps[i], entries[i]);
		err = g->classes[i] < 0 ? g->classes[i] : 0;
	}
	if (!err)
		err = write_all(g->classes[0], c.key, sizeof(*c.key), c.class_of,
				sizeof(*c.class_of), c.n_keys);
	if (!err)
		err = write_places(g->classes[1], c.set, sizeof(*c.set), c.n_sets);
	if (!err)
		err = write_places(g->classes[2], c.order, sizeof(*c.order), c.n_rules);
	mr_classes_free(&c);
	return err;
}

/* ----- what the rules are ----- */

static uint32_t ifindex_of(const struct mr_daemon *d, const struct mr_match *m)
{
	for (uint32_t i = 0; m->interface[0] && i < d->n_links; i++)
		if (!strcmp(d->links[i].name, m->interface))
			return d->links[i].ifindex;
	return 0;
}

static void add_rule(struct generation *g, const struct mr_daemon *d, const struct mr_match *m,
		     struct mr_rule rule)
{
	g->rule[g->n++] =
		(struct mr_class_rule){ .match = m, .ifindex = ifindex_of(d, m), .rule = rule };
}

static void add_asked(struct generation *g, const struct mr_daemon *d, unsigned int i)
{
	const struct mr_dynamic *y = &d->dynamic[i];
	bool v4 = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)y->addr);

	g->asked_at[i] = (struct mr_net){ .bits = 128, .family = v4 ? 4 : 6 };
	memcpy(g->asked_at[i].addr, y->addr, sizeof(y->addr));
	g->asked[i] = (struct mr_match){
		.priority = MR_PRIORITY_STEER,
		.protocol = IPPROTO_TCP,
		.port_lo = y->port,
		.port_hi = y->port,
		.vlan = (uint32_t)MR_VLAN_ANY,
		.destination = { &g->asked_at[i], 1, 1, true, 1 + 128 },
	};
	add_rule(g, d, &g->asked[i],
		 (struct mr_rule){ .rule_id = y->rule_id, .action = MR_ACTION_STEER });
}

/* Where a rule stands that gives a lane all that one that is gone would. */
static bool is_covered(const struct mr_settings *s, const struct mr_match *gone)
{
	for (unsigned int i = 0; i < s->n_rules; i++) {
		struct mr_match m = s->rules[i].match;

		m.priority = gone->priority;
		if (mr_rule_is_live(&s->rules[i]) && mr_match_is_equal(&m, gone))
			return true;
	}
	return false;
}

static void add_steering(struct generation *g, const struct mr_daemon *d,
			 const struct mr_settings_rule *r)
{
	struct mr_rule rule = { .rule_id = r->lane.rule_id,
				.action = MR_ACTION_STEER,
				.fallback = (uint8_t)r->fallback };

	if (r->lane.state == MR_RULE_FREE)
		return;
	if (!mr_rule_is_live(r))
		rule.action = MR_ACTION_KEEP;
	if (mr_rule_is_live(r) || !is_covered(&d->settings, &r->match))
		add_rule(g, d, &r->match, rule);
}

static int gather(struct generation *g, const struct mr_daemon *d)
{
	const struct mr_settings *s = &d->settings;

	g->rule = calloc(s->n_rules + s->n_filters + MR_MAX_DYNAMIC, sizeof(*g->rule));
	if (!g->rule)
		return -ENOMEM;
	for (unsigned int i = 0; i < s->n_rules; i++)
		add_steering(g, d, &s->rules[i]);
	for (unsigned int i = 0; i < s->n_filters; i++)
		add_rule(g, d, &s->filters[i].match,
			 (struct mr_rule){ .rule_id = s->filters[i].lane.rule_id,
					   .action = (uint8_t)s->filters[i].action });
	for (unsigned int i = 0; i < MR_MAX_DYNAMIC; i++)
		if (d->dynamic[i].used)
			add_asked(g, d, i);
	return 0;
}

static int build(struct generation *g, const struct mr_daemon *d)
{
	int err = gather(g, d);
	bool exact = !err && is_exact(g);

	if (err)
		return err;
	g->rules = mr_bpf_inner_create(d, MR_MAP_RULES, exact ? 2 * g->n : 1);
	if (g->rules < 0)
		return g->rules;
	return exact ? write_keys(g) : write_classes(d, g);
}

/* ----- into the slots ----- */

/*
 * A run of the program that read the generation before the last one may not have looked into its
 * maps yet, whose slots are filled next. Once the kernel has changed a map of maps, it waits until
 * all runs are over; so putting the active map where it already is ends those.
 */
int mr_rules_end_runs(const struct mr_daemon *d)
{
	uint32_t parity = d->bpf.generation.parity;

	if (d->bpf.active < 0)
		return 0;
	return bpf_map_update_elem(d->bpf.map[MR_MAP_RULES], &parity, &d->bpf.active, BPF_ANY) < 0
		       ? -errno
		       : 0;
}

static int put(const struct mr_daemon *d, enum mr_map map, uint32_t parity, int fd)
{
	return bpf_map_update_elem(d->bpf.map[map], &parity, &fd, BPF_ANY) < 0 ? -errno : 0;
}

/* What lies in a slot of the generation before the last one goes, or is replaced. */
static int fill_slots(struct mr_daemon *d, const struct generation *g, uint32_t parity)
{
	bool has_classes = g->classes[0] >= 0;
	int err = put(d, MR_MAP_RULES, parity, g->rules);

	for (int i = 0; !err && i < N_CLASS_MAPS; i++) {
		if (has_classes)
			err = put(d, class_maps[i], parity, g->classes[i]);
		else if (d->bpf.has_classes[parity])
			bpf_map_delete_elem(d->bpf.map[class_maps[i]], &parity);
	}
	d->bpf.has_classes[parity] = has_classes;
	return err;
}

static int activate(struct mr_daemon *d, const struct generation *g)
{
	struct mr_config config = {
		.generation = d->bpf.generation,
		.stale_ns = d->settings.stale_ms * 1000000ull,
		.grace_ns = d->settings.grace_ms * 1000000ull,
	};
	uint32_t parity = !config.generation.parity, zero = 0;
	int err;

	config.generation.number++;
	config.generation.parity = (uint8_t)parity;
	config.generation.shapes = g->shapes;
	config.generation.mode = (uint8_t)d->settings.mode;
	err = mr_rules_end_runs(d);
	if (!err)
		err = fill_slots(d, g, parity);
	if (!err && bpf_map_update_elem(d->bpf.map[MR_MAP_CFG], &zero, &config, BPF_ANY) < 0)
		err = -errno;
	if (!err)
		d->bpf.generation = config.generation;
	return err;
}

int mr_rules_publish(struct mr_daemon *d)
{
	struct generation *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	g->rules = -1;
	for (int i = 0; i < N_CLASS_MAPS; i++)
		g->classes[i] = -1;
	err = build(g, d);
	if (!err)
		err = activate(d, g);
	if (!err) {
		mr_close_fd(&d->bpf.active);
		d->bpf.active = g->rules;
		g->rules = -1;
	}
	mr_close_fd(&g->rules);
	for (int i = 0; i < N_CLASS_MAPS; i++)
		mr_close_fd(&g->classes[i]);
	free(g->rule);
	free(g);
	return err;
}
