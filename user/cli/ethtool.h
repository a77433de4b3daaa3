/* SPDX-License-Identifier: MIT */
/*
 * What ethtool(8) shows, by ioctl(2), that needs no privilege. Each function takes a socket of the
 * network namespace that the interface is in.
 */
#ifndef MR_CLI_ETHTOOL_H
#define MR_CLI_ETHTOOL_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** mr_ethtool_driver() - name of the driver and where its device is ("" if nowhere); or -errno */
int mr_ethtool_driver(int socket, const char *name, char driver[32], char bus[32]);

/**
 * mr_ethtool_queues() - channels in use to receive
 * @most:	out: how many there may be
 *
 * Return: 0, or -errno when the driver does not say
 */
int mr_ethtool_queues(int socket, const char *name, uint32_t *rx, uint32_t *most);

/* The features of an interface: names and which of them are on. */
struct mr_ethtool_features;

/** mr_ethtool_features_new() - read them all; NULL with errno. mr_ethtool_features_free() them */
struct mr_ethtool_features *mr_ethtool_features_new(int socket, const char *name);

void mr_ethtool_features_free(struct mr_ethtool_features *f);

/** mr_ethtool_is_on() - is the feature of this name ("rx-vlan-hw-parse") on? false: off, unknown */
bool mr_ethtool_is_on(const struct mr_ethtool_features *f, const char *feature);

/** mr_ethtool_is_fixed() - can nobody change it? */
bool mr_ethtool_is_fixed(const struct mr_ethtool_features *f, const char *feature);

#endif
