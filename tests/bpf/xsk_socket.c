/* SPDX-License-Identifier: MIT */
#include "tests/bpf/xsk_socket.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FRAME_BYTES = 2048,
	RING = 16, /* entries of each ring, and frames */
};

static int set(int fd, int option, const void *value, socklen_t bytes)
{
	return setsockopt(fd, SOL_XDP, option, value, bytes) < 0 ? -errno : 0;
}

static int set_rings(const struct xsk_socket *x)
{
	const struct xdp_umem_reg umem = { .addr = (uintptr_t)x->frames,
					   .len = RING * FRAME_BYTES,
					   .chunk_size = FRAME_BYTES };
	const int entries = RING;
	int err = set(x->fd, XDP_UMEM_REG, &umem, sizeof(umem));

	if (!err)
		err = set(x->fd, XDP_UMEM_FILL_RING, &entries, sizeof(entries));
	if (!err)
		err = set(x->fd, XDP_UMEM_COMPLETION_RING, &entries, sizeof(entries));
	if (!err)
		err = set(x->fd, XDP_RX_RING, &entries, sizeof(entries));
	return err;
}

static void *map_ring(int fd, size_t bytes, off_t offset)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);

	return p == MAP_FAILED ? NULL : p;
}

static int map_rings(struct xsk_socket *x)
{
	struct xdp_mmap_offsets at;
	socklen_t bytes = sizeof(at);
	uint64_t *fill;

	if (getsockopt(x->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &bytes) < 0)
		return -errno;
	x->fill_bytes = at.fr.desc + RING * sizeof(uint64_t);
	x->rx_bytes = at.rx.desc + RING * sizeof(struct xdp_desc);
	x->fill = map_ring(x->fd, x->fill_bytes, (off_t)XDP_UMEM_PGOFF_FILL_RING);
	x->rx = map_ring(x->fd, x->rx_bytes, XDP_PGOFF_RX_RING);
	if (!x->fill || !x->rx)
		return -errno;
	fill = (uint64_t *)((uint8_t *)x->fill + at.fr.desc);
	for (uint64_t i = 0; i < RING; i++)
		fill[i] = i * FRAME_BYTES;
	/* Release: the kernel reads the entries once it sees the index. */
	__atomic_store_n((uint32_t *)((uint8_t *)x->fill + at.fr.producer), RING, __ATOMIC_RELEASE);
	x->producer = (uint32_t *)((uint8_t *)x->rx + at.rx.producer);
	x->descs = (uint8_t *)x->rx + at.rx.desc;
	return 0;
}

int xsk_socket_open(struct xsk_socket *x, uint32_t ifindex, uint32_t queue)
{
	struct sockaddr_xdp addr = { .sxdp_family = AF_XDP,
				     .sxdp_flags = XDP_COPY,
				     .sxdp_ifindex = ifindex,
				     .sxdp_queue_id = queue };
	int err;

	*x = (struct xsk_socket){ .fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0) };
	if (x->fd < 0)
		return -errno;
	x->frames = mmap(NULL, RING * FRAME_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	err = x->frames == MAP_FAILED ? -errno : set_rings(x);
	if (!err)
		err = map_rings(x);
	if (!err && bind(x->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		err = -errno;
	if (err)
		xsk_socket_close(x);
	return err;
}

int xsk_socket_receive(struct xsk_socket *x, uint8_t *out, int timeout_ms)
{
	struct pollfd p = { .fd = x->fd, .events = POLLIN };
	const struct xdp_desc *d;

	if (x->received == RING)
		return -ENOSPC;
	/* Acquire: pairs with the kernel's release after it wrote the descriptor. */
	if (__atomic_load_n(x->producer, __ATOMIC_ACQUIRE) == x->received)
		poll(&p, 1, timeout_ms);
	if (__atomic_load_n(x->producer, __ATOMIC_ACQUIRE) == x->received)
		return -ETIMEDOUT;
	d = (const struct xdp_desc *)x->descs + x->received++;
	memcpy(out, x->frames + d->addr, d->len);
	return (int)d->len;
}

void xsk_socket_close(struct xsk_socket *x)
{
	if (x->fill)
		munmap(x->fill, x->fill_bytes);
	if (x->rx)
		munmap(x->rx, x->rx_bytes);
	if (x->frames && x->frames != MAP_FAILED)
		munmap(x->frames, RING * FRAME_BYTES);
	close(x->fd);
	*x = (struct xsk_socket){ .fd = -1 };
}
