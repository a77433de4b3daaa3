/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "user/cli/check.h"

enum {
	KERNEL_NEEDED = 5 * 1000 + 10, /* rule generations: BPF_F_INNER_MAP */
	MEMLOCK_WANTED = 64 << 20,     /* a few lanes of 16 MiB frames */
};

/* What the daemon's privileged parent needs, and what it can do without for most. */
static const struct {
	int number;
	bool needed;
	const char *name;
} capabilities[] = {
	{ CAP_NET_ADMIN, true, "net_admin" },
	{ CAP_NET_RAW, true, "net_raw" },
	{ CAP_BPF, true, "bpf" },
	{ CAP_SETUID, true, "setuid" },
	{ CAP_SETGID, true, "setgid" },
	{ CAP_KILL, true, "kill" },
	{ CAP_CHOWN, true, "chown" },
	{ CAP_SYS_ADMIN, false, "sys_admin (to know programs that are attached)" },
	{ CAP_NET_BIND_SERVICE, false, "net_bind_service (for ports below 1024)" },
};

static uint64_t effective_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return 0;
	return data[0].effective | (uint64_t)data[1].effective << 32;
}

static void check_kernel(struct mr_check *c)
{
	int version = KERNEL_NEEDED, minor;
	struct utsname u;

	if (uname(&u) < 0)
		return;
	if (sscanf(u.release, "%d.%d", &version, &minor) == 2)
		version = version * 1000 + minor;
	if (version < KERNEL_NEEDED)
		mr_check_fact(c, MR_CHECK_FAIL, "kernel", "use 5.10 or later", "%s", u.release);
	else
		mr_check_fact(c, MR_CHECK_OK, "kernel", NULL, "%s", u.release);
}

/* The family is looked up before the permission is. */
static void check_af_xdp(struct mr_check *c)
{
	int s = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (s < 0 && errno == EAFNOSUPPORT)
		mr_check_fact(c, MR_CHECK_FAIL, "AF_XDP", "use a kernel with CONFIG_XDP_SOCKETS",
			      "not in this kernel");
	else
		mr_check_fact(c, MR_CHECK_OK, "AF_XDP", NULL, "yes");
	if (s >= 0)
		close(s);
}

static void check_btf(struct mr_check *c)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		mr_check_fact(c, MR_CHECK_OK, "BTF", NULL, "/sys/kernel/btf/vmlinux");
	else
		mr_check_fact(c, MR_CHECK_FAIL, "BTF", "use a kernel with CONFIG_DEBUG_INFO_BTF",
			      "/sys/kernel/btf/vmlinux: %s", strerror(errno));
}

static void check_bpffs(struct mr_check *c)
{
	struct statfs fs;

	if (statfs("/sys/fs/bpf", &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC)
		mr_check_fact(c, MR_CHECK_OK, "bpffs", NULL, "/sys/fs/bpf");
	else
		mr_check_fact(c, MR_CHECK_FAIL, "bpffs",
			      "mount -t bpf bpf /sys/fs/bpf; `ip netns exec` hides it: use "
			      "nsenter --net=/run/netns/NAME",
			      "not mounted on /sys/fs/bpf");
}

/* A compiler that is off makes the program several times slower. Root alone may read it. */
static void check_jit(struct mr_check *c)
{
	FILE *f = fopen("/proc/sys/net/core/bpf_jit_enable", "re");
	int on = 1;

	if (!f)
		return;
	if (fscanf(f, "%d", &on) == 1 && !on)
		mr_check_fact(c, MR_CHECK_WARN, "BPF compiler", "sysctl net.core.bpf_jit_enable=1",
			      "off: the XDP program is interpreted");
	fclose(f);
}

/* The daemon raises its own limit to the hard one. */
static void check_memlock(struct mr_check *c, uint64_t caps)
{
	const uint64_t unlimited = 1ull << CAP_IPC_LOCK | 1ull << CAP_SYS_RESOURCE;
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (caps & unlimited || limit.rlim_max == RLIM_INFINITY)
		mr_check_fact(c, MR_CHECK_OK, "locked memory", NULL, "no limit");
	else if (limit.rlim_max >= MEMLOCK_WANTED)
		mr_check_fact(c, MR_CHECK_OK, "locked memory", NULL, "at most %llu KiB",
			      (unsigned long long)limit.rlim_max >> 10);
	else
		mr_check_fact(c, MR_CHECK_WARN, "locked memory",
			      "start millraced with CAP_IPC_LOCK, or LimitMEMLOCK=infinity",
			      "at most %llu KiB for who runs this; a lane of 8192 frames needs "
			      "16 or 32 MiB",
			      (unsigned long long)limit.rlim_max >> 10);
}

/* Lacking as root (a container) cannot be cured by becoming root. */
static void check_capabilities(struct mr_check *c, uint64_t caps)
{
	bool is_root = geteuid() == 0, lacks_needed = false;
	char lacking[256] = "";
	size_t len = 0;

	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		if (caps & 1ull << capabilities[i].number)
			continue;
		lacks_needed |= capabilities[i].needed;
		len += (size_t)snprintf(lacking + len, sizeof(lacking) - len, "%s cap_%s",
					len ? "," : "", capabilities[i].name);
	}
	if (!len)
		mr_check_fact(c, MR_CHECK_OK, "capabilities", NULL, "all that millraced uses");
	else
		mr_check_fact(c, is_root && lacks_needed ? MR_CHECK_FAIL : MR_CHECK_WARN,
			      "capabilities",
			      is_root ? "give them to the container or the unit"
				      : "start millraced as root",
			      "who runs this lacks%s", lacking);
}

void mr_check_system(struct mr_check *c)
{
	uint64_t caps = effective_capabilities();

	check_kernel(c);
	check_af_xdp(c);
	check_btf(c);
	check_bpffs(c);
	check_jit(c);
	check_memlock(c, caps);
	check_capabilities(c, caps);
}
