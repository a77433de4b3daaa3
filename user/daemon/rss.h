/* SPDX-License-Identifier: MIT */
#ifndef MR_DAEMON_RSS_H
#define MR_DAEMON_RSS_H

#include "shared/mr_worker.h"

/**
 * mr_rss_read() - how the interface spreads flows over its queues, by ethtool's ioctl
 * @socket:	any, for the ioctl
 *
 * @out has no entries when the driver does not say (veth), when it does not use the plain Toeplitz
 * hash, or when its table does not fit.
 */
void mr_rss_read(int socket, const char *name, struct mr_rss_settings *out);

#endif
