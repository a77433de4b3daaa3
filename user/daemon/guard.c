/* SPDX-License-Identifier: MIT */
#include "user/daemon/guard.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/daemon/bpf.h"
#include "user/daemon/guard_keep.h"
#include "user/daemon/log.h"

enum {
	AT_ONCE = 1024, /* entries a system call */
};

/* ----- block lists ----- */

/* The entries of a family, in the kernel's form, @keys of @key_bytes each. */
static int put_entries(int trie, const uint8_t *keys, struct mr_block_entry *values, uint32_t n)
{
	uint32_t done = n;
	struct bpf_map_batch_opts opts;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	if (!n || bpf_map_update_batch(trie, keys, values, &done, &opts) == 0)
		return 0;
	return -errno;
}

static int fill_trie(int trie, const struct mr_blocks *b, uint8_t family)
{
	static uint8_t keys[AT_ONCE * sizeof(struct mr_block6_key)];
	static struct mr_block_entry values[AT_ONCE];
	const size_t addr_bytes = family == 4 ? 4 : 16, key_bytes = 4 + addr_bytes;
	uint32_t n = 0;
	int err = 0;

	for (uint32_t i = 0; !err && i < b->n; i++) {
		uint32_t bits = b->item[i].bits;

		if (b->item[i].family != family)
			continue;
		memcpy(keys + n * key_bytes, &bits, sizeof(bits));
		memcpy(keys + n * key_bytes + 4, b->item[i].addr, addr_bytes);
		values[n++] = (struct mr_block_entry){ .action = b->item[i].action };
		if (n == AT_ONCE) {
			err = put_entries(trie, keys, values, n);
			n = 0;
		}
	}
	return err ? err : put_entries(trie, keys, values, n);
}

static int put_trie(struct mr_daemon *d, enum mr_map map, uint32_t parity, int trie)
{
	return bpf_map_update_elem(d->bpf.map[map], &parity, &trie, BPF_ANY) < 0 ? -errno : 0;
}

static int build_tries(struct mr_daemon *d, const struct mr_blocks *b, int trie[2])
{
	int err;

	trie[0] = mr_bpf_inner_create(d, MR_MAP_BLOCK4, MR_MAX_BLOCKS);
	trie[1] = mr_bpf_inner_create(d, MR_MAP_BLOCK6, MR_MAX_BLOCKS);
	err = trie[0] < 0 ? trie[0] : trie[1] < 0 ? trie[1] : fill_trie(trie[0], b, 4);
	return err ? err : fill_trie(trie[1], b, 6);
}

/*
 * Both tries into the idle slot; from the next word on they count. Whoever calls has ended the runs
 * that may still look there.
 */
static int place_blocks(struct mr_daemon *d, const struct mr_blocks *b)
{
	uint32_t active = !!(d->bpf.generation.promises & MR_GUARD_BLOCK_PARITY);
	int trie[2] = { -1, -1 };
	int err = build_tries(d, b, trie);

	if (!err)
		err = put_trie(d, MR_MAP_BLOCK4, !active, trie[0]);
	if (!err)
		err = put_trie(d, MR_MAP_BLOCK6, !active, trie[1]);
	mr_close_fd(&trie[0]); /* the slots hold them */
	mr_close_fd(&trie[1]);
	if (err)
		return err;
	d->bpf.generation.promises ^= MR_GUARD_BLOCK_PARITY;
	d->bpf.generation.promises &= ~MR_GUARD_BLOCK;
	d->bpf.generation.promises |= b->n ? MR_GUARD_BLOCK : 0;
	return 0;
}

/* The word alone: the rules stay as they are. */
static int write_word(struct mr_daemon *d)
{
	struct mr_config config;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(d->bpf.map[MR_MAP_CFG], &zero, &config) < 0)
		return -errno;
	config.generation = d->bpf.generation;
	return bpf_map_update_elem(d->bpf.map[MR_MAP_CFG], &zero, &config, BPF_ANY) < 0 ? -errno
											: 0;
}

/* ----- SYN cookies ----- */

bool mr_guard_is_veth(const char *interface)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq ifr = { .ifr_data = (char *)&info };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
	err = ioctl(fd, SIOCETHTOOL, &ifr);
	mr_close_fd(&fd);
	return err == 0 && !strcmp(info.driver, "veth");
}

/* ----- limits ----- */

/* Into the idle record; whoever calls has ended the runs that may still look there. */
static int place_limits(struct mr_daemon *d, const struct mr_guard *g)
{
	uint32_t idle = !(d->bpf.generation.promises & MR_GUARD_PARITY);

	if (bpf_map_update_elem(d->bpf.map[MR_MAP_GUARD], &idle, g, BPF_ANY) < 0)
		return -errno;
	d->bpf.generation.promises ^= MR_GUARD_PARITY;
	d->bpf.generation.promises &= ~MR_GUARD_SOURCE;
	d->bpf.generation.promises |= g->n_limits ? MR_GUARD_SOURCE : 0;
	return 0;
}

static uint64_t word_of(struct mr_guard_rate rate)
{
	uint64_t word;

	_Static_assert(sizeof(rate) == sizeof(word), "a rate is one word");
	memcpy(&word, &rate, sizeof(word));
	return word;
}

static void put_rate(struct mr_guard_rate *at, struct mr_guard_rate rate)
{
	__atomic_store_n((uint64_t *)at, word_of(rate), __ATOMIC_RELAXED);
}

/*
 * As plain memory: each rate is one store, and the program's own state beside it stays. Answers to
 * SYNs have the rule's own TTL and DSCP, limits or none.
 */
static int write_rules(struct mr_daemon *d, const struct mr_settings_guard *g)
{
	const size_t bytes = MR_MAX_RULES * sizeof(struct mr_guard_rule);
	const struct mr_settings *s = &d->settings;
	struct mr_guard_rule *map =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, d->bpf.map[MR_MAP_GRULE], 0);

	if (map == MAP_FAILED)
		return -errno;
	for (uint32_t i = 0; i < s->n_rules; i++) {
		const struct mr_lane_rule *lane = &s->rules[i].lane;
		struct mr_guard_rule *r = &map[lane->rule_id];
		struct mr_guard_rate packets = { 0 }, syns = { 0 };

		for (unsigned int k = 0; k < g->n_rules; k++)
			if (g->rules[k].rule == i) {
				packets = g->rules[k].packets;
				syns = g->rules[k].syns;
			}
		put_rate(&r->packets, packets);
		put_rate(&r->syns, syns);
		__atomic_store_n(&r->ttl, (uint8_t)lane->ttl, __ATOMIC_RELAXED);
		__atomic_store_n(&r->dscp, (uint8_t)lane->dscp, __ATOMIC_RELAXED);
	}
	munmap(map, bytes);
	d->bpf.generation.promises &= ~MR_GUARD_RULE;
	d->bpf.generation.promises |= g->n_rules ? MR_GUARD_RULE : 0;
	return 0;
}

static int write_secret(struct mr_daemon *d)
{
	struct mr_guard_secret secret = { .key = { d->isn_secret[0], d->isn_secret[1] } };
	uint32_t zero = 0;
	int err = 0;

	if (bpf_map_update_elem(d->bpf.map[MR_MAP_SECRET], &zero, &secret, BPF_ANY) < 0)
		err = -errno;
	explicit_bzero(&secret, sizeof(secret));
	return err;
}

/* Maps that are taken over may be in use: the other slots and records are filled. */
static int find_parity(struct mr_daemon *d)
{
	struct mr_config config;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(d->bpf.map[MR_MAP_CFG], &zero, &config) < 0)
		return -errno;
	d->bpf.generation.promises |= config.generation.promises &
				      (MR_GUARD_BLOCK_PARITY | MR_GUARD_PARITY);
	return 0;
}

int mr_guard_start(struct mr_daemon *d)
{
	int err = mr_guard_merge(&d->settings, d->guard_changes, &d->guard);

	if (err)
		return mr_fail(d, err,
			       "guard: what was changed at run time does not fit the configuration "
			       "any more; start without it by millraced --fresh");
	err = write_secret(d);
	if (!err)
		err = find_parity(d);
	if (!err)
		err = place_limits(d, &d->guard.limits);
	if (!err)
		err = write_rules(d, &d->guard);
	if (!err && d->guard.blocks.n)
		err = place_blocks(d, &d->guard.blocks);
	return err ? mr_fail(d, err, "guard: maps cannot be written: %s", strerror(-err)) : 0;
}

/* What holds now, into idle places, then one word that makes it count. */
static int place(struct mr_daemon *d, const struct mr_settings_guard *next)
{
	int err = mr_rules_end_runs(d);

	if (!err && !mr_blocks_is_equal(&next->blocks, &d->guard.blocks))
		err = place_blocks(d, &next->blocks);
	if (!err)
		err = place_limits(d, &next->limits);
	if (!err)
		err = write_rules(d, next);
	return err ? err : write_word(d);
}

int mr_guard_rules(struct mr_daemon *d)
{
	struct mr_settings_guard next;
	int err = mr_guard_merge(&d->settings, d->guard_changes, &next);

	if (err)
		return err;
	err = write_rules(d, &next);
	if (err) {
		mr_guard_fini(&next);
		return err;
	}
	mr_guard_fini(&d->guard);
	d->guard = next;
	return 0;
}

int mr_guard_apply(struct mr_daemon *d, struct mr_guard_changes *changes)
{
	struct mr_generation was = d->bpf.generation;
	struct mr_settings_guard next;
	int err = mr_guard_merge(&d->settings, changes, &next);

	if (err)
		return err;
	err = place(d, &next);
	if (err) {
		write_rules(d, &d->guard);
		d->bpf.generation = was;
		mr_guard_fini(&next);
		return err;
	}
	mr_guard_fini(&d->guard);
	d->guard = next;
	if (changes != d->guard_changes) {
		mr_guard_changes_free(d->guard_changes);
		*d->guard_changes = *changes;
		memset(changes, 0, sizeof(*changes));
	}
	mr_guard_keep(d);
	mr_info("guard: %u prefixes, %u limits of sources, %u rules with limits", d->guard.blocks.n,
		d->guard.limits.n_limits, d->guard.n_rules);
	return 0;
}
