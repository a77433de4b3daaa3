/* SPDX-License-Identifier: MIT */
/*
 * Generic netlink: families have names, and numbers that the kernel gives them as it starts. What
 * is asked of it is few: whose queues an interface has, and to be told when that changes.
 */
#ifndef MR_DAEMON_GENETLINK_H
#define MR_DAEMON_GENETLINK_H

#include <stdint.h>

struct mnl_socket;

/**
 * mr_genetlink_family() - the number of a family
 * @group:	name of one of its multicast groups, or NULL
 * @group_id:	out, with @group: its number, 0: the family has none such
 *
 * Return: the family's number, or -errno: -ENOENT, this kernel has none of the name
 */
int mr_genetlink_family(struct mnl_socket *s, const char *family, const char *group,
			uint32_t *group_id);

/**
 * mr_genetlink_rx_queues() - receive queues that an interface has now, as the kernel counts them
 *
 * Drivers may have more than ethtool's channels say: some take pairs of their own for XDP.
 *
 * Return: how many, or -errno: -EOPNOTSUPP before Linux 6.8
 */
int mr_genetlink_rx_queues(uint32_t ifindex);

/**
 * mr_genetlink_channels_socket() - a socket that tells when somebody changed an interface's
 * channels
 *
 * Return: its descriptor, not blocking, the caller's; or -errno
 */
int mr_genetlink_channels_socket(void);

/**
 * mr_genetlink_channels_changed() - is a message of that socket about channels?
 *
 * Return: the interface's index, 0: it is about something else
 */
uint32_t mr_genetlink_channels_changed(const void *message, uint32_t bytes);

#endif
