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
#include <sys/socket.h>
#include <unistd.h>

#include "user/daemon/bpf.h"
#include "user/daemon/log.h"

enum {
	AT_ONCE = 1024, /* entries a system call */
};

/* ----- block lists ----- */

static int make_trie(const struct mr_daemon *d, enum mr_map map)
{
	const bool ipv4 = map == MR_MAP_BLOCK4;
	const struct mr_inner *inner = &d->bpf.inner[map];
	struct bpf_map_create_opts opts;
	int fd;

	memset(&opts, 0, sizeof(opts)); /* libbpf wants zeros in the padding too */
	opts.sz = sizeof(opts);
	opts.map_flags = inner->flags;
	opts.btf_fd = (uint32_t)bpf_object__btf_fd(d->bpf.object);
	opts.btf_key_type_id = inner->key_type;
	opts.btf_value_type_id = inner->value_type;
	fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, ipv4 ? "mr1_block4_gen" : "mr1_block6_gen",
			    ipv4 ? sizeof(struct mr_block4_key) : sizeof(struct mr_block6_key),
			    sizeof(struct mr_block_entry), MR_MAX_BLOCKS, &opts);
	return fd < 0 ? -errno : fd;
}

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

/* Runs that read an older word may not have looked into the slot that is filled next; rules.c. */
static int end_older_runs(struct mr_daemon *d, uint32_t parity)
{
	return d->bpf.blocks[0] < 0 ? 0 : put_trie(d, MR_MAP_BLOCK4, parity, d->bpf.blocks[0]);
}

static int build_tries(struct mr_daemon *d, const struct mr_blocks *b, int trie[2])
{
	int err;

	trie[0] = make_trie(d, MR_MAP_BLOCK4);
	trie[1] = make_trie(d, MR_MAP_BLOCK6);
	err = trie[0] < 0 ? trie[0] : trie[1] < 0 ? trie[1] : fill_trie(trie[0], b, 4);
	return err ? err : fill_trie(trie[1], b, 6);
}

/* Both tries into the idle slot; from the next word on they count. */
static int place_blocks(struct mr_daemon *d, const struct mr_blocks *b)
{
	uint32_t active = !!(d->bpf.generation.promises & MR_GUARD_BLOCK_PARITY);
	int trie[2] = { -1, -1 };
	int err = build_tries(d, b, trie);

	if (!err)
		err = end_older_runs(d, active);
	if (!err)
		err = put_trie(d, MR_MAP_BLOCK4, !active, trie[0]);
	if (!err)
		err = put_trie(d, MR_MAP_BLOCK6, !active, trie[1]);
	if (err) {
		mr_close_fd(&trie[0]);
		mr_close_fd(&trie[1]);
		return err;
	}
	mr_close_fd(&d->bpf.blocks[0]);
	mr_close_fd(&d->bpf.blocks[1]);
	memcpy(d->bpf.blocks, trie, sizeof(trie));
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

int mr_guard_blocks(struct mr_daemon *d, struct mr_blocks *blocks)
{
	struct mr_generation was = d->bpf.generation;
	int err = place_blocks(d, blocks);

	if (!err)
		err = write_word(d);
	if (err) {
		d->bpf.generation = was;
		mr_blocks_free(blocks);
		return err;
	}
	mr_blocks_free(&d->settings.guard.blocks);
	d->settings.guard.blocks = *blocks;
	*blocks = (struct mr_blocks){ 0 };
	mr_info("guard: block list of %u prefixes", d->settings.guard.blocks.n);
	return 0;
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

static int write_limits(struct mr_daemon *d)
{
	const struct mr_guard *g = &d->settings.guard.limits;
	uint32_t zero = 0;

	if (g->n_limits)
		d->bpf.generation.promises |= MR_GUARD_SOURCE;
	return bpf_map_update_elem(d->bpf.map[MR_MAP_GUARD], &zero, g, BPF_ANY) < 0 ? -errno : 0;
}

/* Answers to SYNs have the rule's own TTL and DSCP, limits or none. */
static int write_rules(struct mr_daemon *d)
{
	const struct mr_settings *s = &d->settings;

	for (uint32_t i = 0; i < s->n_rules; i++) {
		struct mr_guard_rule r = {
			.ttl = (uint8_t)s->rules[i].lane.ttl,
			.dscp = (uint8_t)s->rules[i].lane.dscp,
		};
		uint32_t id = s->rules[i].lane.rule_id;

		for (unsigned int k = 0; k < s->guard.n_rules; k++)
			if (s->guard.rules[k].rule == i) {
				r.packets = s->guard.rules[k].packets;
				r.syns = s->guard.rules[k].syns;
			}
		if (bpf_map_update_elem(d->bpf.map[MR_MAP_GRULE], &id, &r, BPF_ANY) < 0)
			return -errno;
	}
	if (s->guard.n_rules)
		d->bpf.generation.promises |= MR_GUARD_RULE;
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

/* Maps that are taken over may have a list in use: the other slot is filled. */
static int find_parity(struct mr_daemon *d)
{
	struct mr_config config;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(d->bpf.map[MR_MAP_CFG], &zero, &config) < 0)
		return -errno;
	d->bpf.generation.promises |= config.generation.promises & MR_GUARD_BLOCK_PARITY;
	return 0;
}

int mr_guard_start(struct mr_daemon *d)
{
	int err = write_secret(d);

	if (!err)
		err = find_parity(d);

	if (!err)
		err = write_limits(d);
	if (!err)
		err = write_rules(d);
	if (!err && d->settings.guard.blocks.n)
		err = place_blocks(d, &d->settings.guard.blocks);
	return err ? mr_fail(d, err, "guard: maps cannot be written: %s", strerror(-err)) : 0;
}

void mr_guard_stop(struct mr_daemon *d)
{
	mr_close_fd(&d->bpf.blocks[0]);
	mr_close_fd(&d->bpf.blocks[1]);
}
