/* SPDX-License-Identifier: MIT */
/*
 * Making an AF_XDP socket: the privileged half. The ladder is explicit, zero-copy and then copy,
 * each rung by its own flag, so that the kernel never chooses in silence; what was refused, and
 * why, is said in words.
 */
#define _GNU_SOURCE 1 /* strerrorname_np */

#include "user/port/xsk.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_xdp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BUSY_WAIT_MS = 1000, /* the kernel unbinds a closed socket a little later */
	BUSY_STEP_MS = 5,
	TX_BUDGET = 256, /* frames a sendto(); below the limit of the receiving side's backlog */
};

#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9 /* Linux 6.17, include/uapi/linux/if_xdp.h */
#endif

static const char *errno_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "unknown error";
}

/* Name of the interface's driver, or "the driver" if nobody says. */
static void driver_name(uint32_t ifindex, char name[32])
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq ifr = { .ifr_data = (void *)&info };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(name, "the driver");
	if (fd < 0)
		return;
	if (if_indextoname(ifindex, ifr.ifr_name) && ioctl(fd, SIOCETHTOOL, &ifr) == 0)
		snprintf(name, 32, "%.31s", info.driver);
	close(fd);
}

static void interface_name(uint32_t ifindex, char name[IF_NAMESIZE])
{
	if (!if_indextoname(ifindex, name))
		snprintf(name, IF_NAMESIZE, "#%u", ifindex);
}

/* Words for a failed step before the bind. */
static void explain_setup(struct mr_xsk_setup *s, const char *step, int err)
{
	const char *cure = "";

	if (err == EPERM)
		cure = ": CAP_NET_RAW is needed";
	else if (err == ENOBUFS)
		cure = ": memlock limit too small for the frames, raise it (ulimit -l) or give "
		       "CAP_IPC_LOCK";
	else if (err == EAFNOSUPPORT)
		cure = ": kernel without CONFIG_XDP_SOCKETS";
	else if (err == EINVAL)
		cure = ": frame or ring sizes that the kernel does not take";
	snprintf(s->why, sizeof(s->why), "%s (%s)%s", step, errno_name(err), cure);
}

/* Words for a refused bind. */
static void explain_bind(struct mr_xsk_setup *s, bool zero_copy, int err)
{
	char dev[IF_NAMESIZE], driver[32];

	interface_name(s->ifindex, dev);
	driver_name(s->ifindex, driver);
	if (err == EBUSY)
		snprintf(s->why, sizeof(s->why),
			 "%s queue %u (EBUSY): another AF_XDP socket has it, stop that program",
			 dev, s->queue);
	else if (err == EINVAL && !zero_copy)
		snprintf(s->why, sizeof(s->why),
			 "%s queue %u (EINVAL): no such queue, see ethtool -l %s", dev, s->queue,
			 dev);
	else if (err == ENODEV)
		snprintf(s->why, sizeof(s->why), "interface %s (ENODEV): no such interface here",
			 dev);
	else if (err == ENETDOWN)
		snprintf(s->why, sizeof(s->why), "%s (ENETDOWN): down, ip link set %s up", dev,
			 dev);
	else if (zero_copy && err == EOPNOTSUPP)
		snprintf(s->why, sizeof(s->why),
			 "zero-copy refused by the driver (EOPNOTSUPP): %s has none", driver);
	else if (zero_copy)
		snprintf(s->why, sizeof(s->why),
			 "zero-copy refused by %s (%s): frame size, MTU or queue do not suit it",
			 driver, errno_name(err));
	else
		snprintf(s->why, sizeof(s->why), "bind to %s queue %u (%s)", dev, s->queue,
			 errno_name(err));
}

static int set_size(struct mr_xsk_setup *s, int fd, int option, uint32_t size, const char *step)
{
	if (setsockopt(fd, SOL_XDP, option, &size, sizeof(size)) == 0)
		return 0;
	explain_setup(s, step, errno);
	return -errno;
}

/* In copy mode the kernel takes 32 frames a sendto(); newer ones take more when asked. */
static void widen_budget(const struct mr_xsk_setup *s, int fd)
{
	const uint32_t budget = s->sizes.tx < TX_BUDGET ? s->sizes.tx : TX_BUDGET;

	setsockopt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
}

static int make_rings(struct mr_xsk_setup *s, int fd)
{
	int err = set_size(s, fd, XDP_UMEM_FILL_RING, s->sizes.fill, "fill ring");

	if (err == 0)
		err = set_size(s, fd, XDP_UMEM_COMPLETION_RING, s->sizes.completion,
			       "completion ring");
	if (err == 0)
		err = set_size(s, fd, XDP_RX_RING, s->sizes.rx, "receive ring");
	if (err == 0)
		err = set_size(s, fd, XDP_TX_RING, s->sizes.tx, "transmit ring");
	if (err == 0)
		widen_budget(s, fd);
	return err;
}

static int register_umem(struct mr_xsk_setup *s, int fd)
{
	const struct xdp_umem_reg reg = {
		.addr = (uintptr_t)s->umem,
		.len = s->umem_bytes,
		.chunk_size = s->frame_bytes,
	};

	if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) == 0)
		return 0;
	explain_setup(s, "frame memory", errno);
	return -errno;
}

/* One rung. A queue may be busy for some milliseconds after its last socket was closed. */
static int bind_rung(struct mr_xsk_setup *s, int fd, bool zero_copy)
{
	const struct timespec step = { .tv_nsec = BUSY_STEP_MS * 1000000L };
	const struct sockaddr_xdp sa = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = XDP_USE_NEED_WAKEUP | (zero_copy ? XDP_ZEROCOPY : XDP_COPY),
		.sxdp_ifindex = s->ifindex,
		.sxdp_queue_id = s->queue,
	};
	int err;

	for (int waited_ms = 0;; waited_ms += BUSY_STEP_MS) {
		if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0) {
			s->zero_copy = zero_copy;
			return 0;
		}
		err = errno;
		if (err != EBUSY || waited_ms >= BUSY_WAIT_MS)
			break;
		nanosleep(&step, NULL);
	}
	explain_bind(s, zero_copy, err);
	return -err;
}

/* Would another rung be refused for the same reason? */
static bool is_final(int err)
{
	return err == -EBUSY || err == -ENODEV || err == -ENETDOWN || err == -EPERM;
}

static int bind_ladder(struct mr_xsk_setup *s, int fd)
{
	int err;

	if (s->bind != MR_XSK_COPY) {
		err = bind_rung(s, fd, true);
		if (err == 0 || s->bind == MR_XSK_ZERO_COPY || is_final(err))
			return err;
	}
	return bind_rung(s, fd, false);
}

int mr_xsk_make(struct mr_xsk_setup *s)
{
	int fd, err;

	s->zero_copy = false;
	s->why[0] = '\0';
	fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err = -errno;
		explain_setup(s, "AF_XDP socket", -err);
		return err;
	}
	err = register_umem(s, fd);
	if (err == 0)
		err = make_rings(s, fd);
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

int mr_xsk_bind(int fd, struct mr_xsk_setup *s)
{
	s->zero_copy = false;
	s->why[0] = '\0';
	return bind_ladder(s, fd);
}

int mr_xsk_open(struct mr_xsk_setup *s)
{
	int fd = mr_xsk_make(s), err;

	if (fd < 0)
		return fd;
	err = mr_xsk_bind(fd, s);
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

bool mr_xsk_can_map_bound(int fd)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, XDP_PGOFF_RX_RING);

	if (p == MAP_FAILED)
		return errno != EBUSY;
	munmap(p, page);
	return true;
}
