// SPDX-License-Identifier: GPL-2.0
/* What an XDP program costs that does nothing: for the kernel's stack with one attached. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
