/* SPDX-License-Identifier: MIT */
/*
 * The truth about native mode and zero-copy: try them. The program passes everything and hangs on a
 * BPF link, so that it is gone with this process whatever happens; but drivers restart their queues
 * for it, which may interrupt the link for a moment. So only when it was asked for.
 */
#include <errno.h>
#include <linux/if_xdp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "user/cli/bpf.h"
#include "user/cli/check.h"

enum {
	N_FRAMES = 64, /* and entries of each ring */
	FRAME = 4096,
};

static int set_option(int s, int name, const void *value, socklen_t len)
{
	return setsockopt(s, SOL_XDP, name, value, len) < 0 ? -errno : 0;
}

/* A socket with frames and rings, not yet bound. */
static int prepare_socket(int s, void *umem)
{
	const struct xdp_umem_reg reg = {
		.addr = (uintptr_t)umem,
		.len = N_FRAMES * FRAME,
		.chunk_size = FRAME,
	};
	const int entries = N_FRAMES;
	int err = set_option(s, XDP_UMEM_REG, &reg, sizeof(reg));

	if (!err)
		err = set_option(s, XDP_UMEM_FILL_RING, &entries, sizeof(entries));
	if (!err)
		err = set_option(s, XDP_UMEM_COMPLETION_RING, &entries, sizeof(entries));
	if (!err)
		err = set_option(s, XDP_RX_RING, &entries, sizeof(entries));
	if (!err)
		err = set_option(s, XDP_TX_RING, &entries, sizeof(entries));
	return err;
}

/* Bind to queue 0 in zero-copy mode and let go. Returns 0 or -errno. */
static int try_zero_copy(uint32_t ifindex)
{
	const struct sockaddr_xdp address = {
		.sxdp_family = AF_XDP,
		.sxdp_ifindex = ifindex,
		.sxdp_flags = XDP_ZEROCOPY,
	};
	void *umem = mmap(NULL, N_FRAMES * FRAME, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int s, err;

	if (umem == MAP_FAILED)
		return -errno;
	s = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	err = s < 0 ? -errno : prepare_socket(s, umem);
	if (!err && bind(s, (const struct sockaddr *)&address, sizeof(address)) < 0)
		err = -errno;
	if (s >= 0)
		close(s);
	munmap(umem, N_FRAMES * FRAME);
	return err;
}

/* A program for one buffer, then one for several. Returns the link's descriptor or -errno. */
static int try_native(uint32_t ifindex, bool *frags)
{
	int link = -EINVAL;

	for (int i = 0; i < 2 && link < 0; i++) {
		int program;

		*frags = i == 1;
		program = mr_bpf_load_pass(*frags);
		if (program < 0)
			return i ? link : program;
		link = mr_bpf_attach(program, ifindex);
		close(program);
		if (link == -EPERM || link == -EBUSY || link == -EEXIST)
			break;
	}
	return link;
}

static void report_zero_copy(struct mr_check *c, int err)
{
	if (!err)
		mr_check_fact(c, MR_CHECK_OK, "probe of zero-copy", NULL, "queue 0 bound");
	else
		mr_check_fact(c, c->link.kind[0] ? MR_CHECK_OK : MR_CHECK_WARN,
			      "probe of zero-copy",
			      err == -ENOBUFS ? "raise the limit of locked memory: ulimit -l"
			      : err == -EBUSY ? "another socket has queue 0"
					      : NULL,
			      "queue 0 not bound: %s", strerror(-err));
}

void mr_check_probe(struct mr_check *c)
{
	bool frags = false;
	int link;

	if (!c->probe)
		return;
	if (c->link.xdp_mode) {
		mr_check_fact(c, MR_CHECK_OK, "probe", NULL, "not done: a program is attached");
		return;
	}
	link = try_native(c->link.ifindex, &frags);
	if (link < 0) {
		mr_check_fact(c, MR_CHECK_WARN, "probe of native XDP",
			      link == -EPERM ? "run as root" : NULL, "not attached: %s",
			      strerror(-link));
		return;
	}
	mr_check_fact(c, MR_CHECK_OK, "probe of native XDP", NULL, "attached%s",
		      frags ? ", as a program for several buffers only" : "");
	report_zero_copy(c, try_zero_copy(c->link.ifindex));
	close(link);
}
