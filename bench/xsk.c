// SPDX-License-Identifier: MIT
#include "bench/xsk.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "steer.skel.h"
#include "user/port/xsk.h"

struct range {
	uint16_t lo, hi;
};

static int complain(const char *who, const char *what, int err)
{
	fprintf(stderr, "%s: %s: %s\n", who, what, strerror(-err));
	return -1;
}

static int attach_steering(struct bench_xsk *x, const struct bench_xsk_options *o, int ifindex,
			   const char *who)
{
	struct range range = { o->port_lo, o->port_hi };
	uint32_t zero = 0;

	x->steer = steer_bpf__open_and_load();
	if (!x->steer)
		return complain(who, "steering program", -errno);
	if (bpf_map__update_elem(x->steer->maps.ports, &zero, sizeof(zero), &range, sizeof(range),
				 BPF_ANY) ||
	    bpf_map__update_elem(x->steer->maps.sockets, &o->queue, sizeof(o->queue), &x->fd,
				 sizeof(x->fd), BPF_ANY))
		return complain(who, "maps of the steering program", -errno);
	x->steer->links.steer = bpf_program__attach_xdp(x->steer->progs.steer, ifindex);
	if (!x->steer->links.steer) {
		fprintf(stderr, "%s: XDP program on %s: %s; is there another one?\n", who,
			o->interface, strerror(errno));
		return -1;
	}
	return 0;
}

static int open_socket(struct bench_xsk *x, const struct bench_xsk_options *o, int ifindex,
		       const char *who)
{
	struct mr_xsk_setup setup = {
		.umem = o->umem,
		.umem_bytes = o->umem_bytes,
		.frame_bytes = o->frame_bytes,
		.ifindex = (uint32_t)ifindex,
		.queue = o->queue,
		.sizes = { .rx = o->ring,
			   .tx = o->ring,
			   .completion = o->ring,
			   .fill = 2 * o->ring },
	};

	x->fd = mr_xsk_open(&setup);
	if (x->fd < 0) {
		fprintf(stderr, "%s: AF_XDP socket: %s\n", who, setup.why);
		return -1;
	}
	x->zero_copy = setup.zero_copy;
	x->port = mr_xsk_attach(x->fd, &setup.sizes, o->frame_bytes, o->umem_bytes);
	if (!x->port)
		return complain(who, "rings of the AF_XDP socket", -errno);
	return 0;
}

int bench_xsk_open(struct bench_xsk *x, const struct bench_xsk_options *o, const char *who)
{
	int ifindex = (int)if_nametoindex(o->interface);

	*x = (struct bench_xsk){ .fd = -1 };
	if (!ifindex)
		return complain(who, o->interface, -errno);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (open_socket(x, o, ifindex, who) < 0 || attach_steering(x, o, ifindex, who) < 0) {
		bench_xsk_close(x);
		return -1;
	}
	return 0;
}

void bench_xsk_close(struct bench_xsk *x)
{
	steer_bpf__destroy(x->steer);
	if (x->port)
		x->port->ops->close(x->port);
	if (x->fd > 0)
		close(x->fd);
	*x = (struct bench_xsk){ .fd = -1 };
}

void bench_xsk_transmit(struct bench_xsk *x, struct mr_span *out, uint32_t *n)
{
	uint32_t taken = x->port->ops->transmit(x->port, out, *n);
	bool again;

	if (taken && taken < *n)
		memmove(out, out + taken, (*n - taken) * sizeof(*out));
	*n -= taken;
	if (x->port->ops->needs_kick(x->port))
		x->port->ops->kick(x->port, &again);
}

void *bench_xsk_frames(uint32_t n, uint32_t frame_bytes)
{
	void *p = mmap(NULL, (size_t)n * frame_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}
