/* SPDX-License-Identifier: MIT */
#include "user/daemon/channels.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

#include "user/daemon/child.h"
#include "user/daemon/genetlink.h"
#include "user/daemon/log.h"

enum {
	AT_ONCE = 32,
	MESSAGE_BYTES = 4096, /* more than one about channels has */
};

void mr_channels_ask(struct mr_child *c, const struct mr_link *l)
{
	struct mr_request q = { .type = MR_REQUEST_QUEUES, .lane = l->first_lane };

	mr_child_ask(c, &q);
}

/* 0: any; news were lost. */
static void changed(struct mr_child *c, uint32_t ifindex)
{
	for (uint32_t i = 0; i < c->d->n_links; i++)
		if (!ifindex || c->d->links[i].ifindex == ifindex)
			mr_channels_ask(c, &c->d->links[i]);
}

static void ready(struct mr_child *c, struct mr_watch *w)
{
	char message[MESSAGE_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));

	for (int i = 0; i < AT_ONCE; i++) {
		ssize_t n = recv(w->fd, message, sizeof(message), MSG_DONTWAIT);
		uint32_t ifindex;

		if (n < 0 && errno == ENOBUFS)
			changed(c, 0);
		if (n <= 0)
			return;
		ifindex = mr_genetlink_channels_changed(message, (uint32_t)n);
		if (ifindex)
			changed(c, ifindex);
	}
}

int mr_channels_open(struct mr_child *c)
{
	int fd = mr_genetlink_channels_socket();

	c->channels = (struct mr_watch){ fd, ready };
	if (c->start_reported)
		changed(c, 0); /* the news of between two children were nobody's */
	if (fd >= 0)
		return mr_child_watch(c, &c->channels);
	mr_warn("ethtool's news cannot be had: %s; when the number of an interface's queues "
		"changes, set it down and up",
		strerror(-fd));
	return 0;
}
