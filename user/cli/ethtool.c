/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "user/cli/ethtool.h"

static int call(int socket, const char *name, void *command)
{
	struct ifreq request = { .ifr_data = command };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return ioctl(socket, SIOCETHTOOL, &request) < 0 ? -errno : 0;
}

int mr_ethtool_driver(int socket, const char *name, char driver[32], char bus[32])
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	int err = call(socket, name, &info);

	if (err)
		return err;
	snprintf(driver, 32, "%.31s", info.driver);
	snprintf(bus, 32, "%.31s", info.bus_info);
	return 0;
}

int mr_ethtool_queues(int socket, const char *name, uint32_t *rx, uint32_t *most)
{
	struct ethtool_channels c = { .cmd = ETHTOOL_GCHANNELS };
	int err = call(socket, name, &c);

	if (err)
		return err;
	*rx = c.rx_count + c.combined_count;
	*most = c.max_combined > c.max_rx ? c.max_combined : c.max_rx;
	return *rx ? 0 : -EOPNOTSUPP;
}

struct mr_ethtool_features {
	uint32_t n;
	struct ethtool_gstrings *names;
	struct ethtool_gfeatures *blocks; /* 32 features each */
};

static uint32_t count_features(int socket, const char *name)
{
	union {
		struct ethtool_sset_info head;
		uint32_t room[sizeof(struct ethtool_sset_info) / sizeof(uint32_t) + 1];
	} info = { .head = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_FEATURES } };

	if (call(socket, name, &info) < 0 || !info.head.sset_mask)
		return 0;
	return info.head.data[0];
}

static int read_features(int socket, const char *name, struct mr_ethtool_features *f)
{
	uint32_t n_blocks = (f->n + 31) / 32;
	int err;

	f->names = calloc(1, sizeof(*f->names) + (size_t)f->n * ETH_GSTRING_LEN);
	f->blocks = calloc(1, sizeof(*f->blocks) + n_blocks * sizeof(f->blocks->features[0]));
	if (!f->names || !f->blocks)
		return -ENOMEM;
	f->names->cmd = ETHTOOL_GSTRINGS;
	f->names->string_set = ETH_SS_FEATURES;
	f->names->len = f->n;
	err = call(socket, name, f->names);
	if (err)
		return err;
	f->blocks->cmd = ETHTOOL_GFEATURES;
	f->blocks->size = n_blocks;
	return call(socket, name, f->blocks);
}

struct mr_ethtool_features *mr_ethtool_features_new(int socket, const char *name)
{
	struct mr_ethtool_features *f = calloc(1, sizeof(*f));
	int err = -ENOMEM;

	if (!f)
		return NULL;
	f->n = count_features(socket, name);
	err = f->n ? read_features(socket, name, f) : -EOPNOTSUPP;
	if (err) {
		mr_ethtool_features_free(f);
		errno = -err;
		return NULL;
	}
	return f;
}

void mr_ethtool_features_free(struct mr_ethtool_features *f)
{
	if (!f)
		return;
	free(f->names);
	free(f->blocks);
	free(f);
}

/* Number of the feature, or -1. */
static int find(const struct mr_ethtool_features *f, const char *feature)
{
	for (uint32_t i = 0; i < f->n; i++) {
		const char *name = (const char *)f->names->data + (size_t)i * ETH_GSTRING_LEN;

		if (!strncmp(name, feature, ETH_GSTRING_LEN))
			return (int)i;
	}
	return -1;
}

bool mr_ethtool_is_on(const struct mr_ethtool_features *f, const char *feature)
{
	int i = find(f, feature);

	return i >= 0 && f->blocks->features[i / 32].active & (1u << (i % 32));
}

bool mr_ethtool_is_fixed(const struct mr_ethtool_features *f, const char *feature)
{
	int i = find(f, feature);
	const struct ethtool_get_features_block *b;

	if (i < 0)
		return false;
	b = &f->blocks->features[i / 32];
	return b->never_changed & (1u << (i % 32)) || !(b->available & (1u << (i % 32)));
}
