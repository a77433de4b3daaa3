/* SPDX-License-Identifier: MIT */
#include "user/daemon/rss.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
	TOEPLITZ = 1, /* first of ethtool's hash functions, ETH_RSS_HASH_TOP_BIT */
	KEY_LEAST = 40,
};

static int call(int socket, const char *name, void *command)
{
	struct ifreq request = { .ifr_data = command };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return ioctl(socket, SIOCETHTOOL, &request);
}

/* Are the ports hashed, beside the addresses and nothing else? */
static uint8_t hashes_ports(int socket, const char *name, uint32_t flow)
{
	struct ethtool_rxnfc c = { .cmd = ETHTOOL_GRXFH, .flow_type = flow };
	const uint64_t all = RXH_IP_SRC | RXH_IP_DST | RXH_L4_B_0_1 | RXH_L4_B_2_3;

	return call(socket, name, &c) == 0 && c.data == all;
}

static bool is_usable(const struct ethtool_rxfh *c)
{
	return (!c->hfunc || c->hfunc == TOEPLITZ) && c->indir_size &&
	       c->indir_size <= MR_RSS_ENTRIES && !(c->indir_size & (c->indir_size - 1)) &&
	       c->key_size >= KEY_LEAST && c->key_size <= MR_RSS_KEY_BYTES;
}

/* @c has room for what it says; the table comes first, then the key. */
static void copy(const struct ethtool_rxfh *c, struct mr_rss_settings *out)
{
	for (uint32_t i = 0; i < c->indir_size; i++) {
		if (c->rss_config[i] > UINT8_MAX)
			return;
		out->queue[i] = (uint8_t)c->rss_config[i];
	}
	memcpy(out->key, &c->rss_config[c->indir_size], c->key_size);
	out->key_bytes = (uint16_t)c->key_size;
	out->entries = (uint16_t)c->indir_size;
}

void mr_rss_read(int socket, const char *name, struct mr_rss_settings *out)
{
	struct ethtool_rxfh sizes = { .cmd = ETHTOOL_GRSSH };
	struct ethtool_rxfh *c;

	*out = (struct mr_rss_settings){ 0 };
	if (call(socket, name, &sizes) < 0 || !is_usable(&sizes))
		return;
	c = calloc(1, sizeof(*c) + sizes.indir_size * sizeof(uint32_t) + sizes.key_size);
	if (!c)
		return;
	c->cmd = ETHTOOL_GRSSH;
	c->indir_size = sizes.indir_size;
	c->key_size = sizes.key_size;
	if (call(socket, name, c) == 0 && c->indir_size == sizes.indir_size &&
	    c->key_size == sizes.key_size && is_usable(c))
		copy(c, out);
	out->ipv4_ports = hashes_ports(socket, name, TCP_V4_FLOW);
	out->ipv6_ports = hashes_ports(socket, name, TCP_V6_FLOW);
	free(c);
}
