/* SPDX-License-Identifier: MIT */
/* The child's ear for `ethtool -L`: rtnetlink says nothing of it, ethtool's own news do. */
#ifndef MR_DAEMON_CHANNELS_H
#define MR_DAEMON_CHANNELS_H

struct mr_child;
struct mr_link;

/** mr_channels_open() - listen; on a kernel that does not tell, a log line. Return: 0 or -errno */
int mr_channels_open(struct mr_child *c);

/** mr_channels_ask() - have the parent count the receive queues of @l again */
void mr_channels_ask(struct mr_child *c, const struct mr_link *l);

#endif
