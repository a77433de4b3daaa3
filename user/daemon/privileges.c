/* SPDX-License-Identifier: MIT */
#include "user/daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/daemon/daemon.h"

enum {
	FILES_MOST = 65536, /* about ten descriptors a lane, and the rules' ports */
};

static const struct {
	int number;
	const char *name;
	const char *purpose;
	int instead; /* another that implies it, 0: none */
} needed[] = {
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN", "attach XDP programs", 0 },
	{ CAP_NET_RAW, "CAP_NET_RAW", "open AF_XDP sockets", 0 },
	{ CAP_BPF, "CAP_BPF", "load BPF programs", 0 },
	{ CAP_PERFMON, "CAP_PERFMON", "load BPF programs that read packets", CAP_SYS_ADMIN },
	{ CAP_SETUID, "CAP_SETUID", "run lanes without privilege", 0 },
	{ CAP_SETGID, "CAP_SETGID", "run lanes without privilege", 0 },
	{ CAP_KILL, "CAP_KILL", "end lanes", 0 },
	{ CAP_CHOWN, "CAP_CHOWN", "give the control socket to its group", 0 },
};

static int read_capabilities(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

int mr_privileges_has(int capability)
{
	struct __user_cap_data_struct data[2] = { 0 };

	if (read_capabilities(data) < 0)
		return 0;
	return data[capability / 32].effective >> (capability % 32) & 1;
}

static int has_low_port(const struct mr_daemon *d)
{
	for (unsigned int i = 0; i < d->settings.n_rules; i++)
		if (mr_rule_is_live(&d->settings.rules[i]) && d->settings.rules[i].lane.port < 1024)
			return 1;
	return 0;
}

int mr_privileges_check(struct mr_daemon *d)
{
	const char *cure = geteuid() ? "run millraced as root"
				     : "add it to the service's CapabilityBoundingSet";

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!mr_privileges_has(needed[i].number) &&
		    !(needed[i].instead && mr_privileges_has(needed[i].instead)))
			return mr_fail(d, -EPERM, "privileges: %s is missing, needed to %s; %s",
				       needed[i].name, needed[i].purpose, cure);
	if (has_low_port(d) && !mr_privileges_has(CAP_NET_BIND_SERVICE))
		return mr_fail(
			d, -EPERM,
			"privileges: CAP_NET_BIND_SERVICE is missing, needed to reserve ports "
			"below 1024; %s",
			cure);
	return 0;
}

/* Nothing can come back, even if a file could give it. With no_new_privs none can, so a parent
 * without CAP_SETPCAP may leave the set as it is. */
static void drop_bounding_set(void)
{
	for (int i = 0; i <= CAP_LAST_CAP; i++)
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && errno != EINVAL)
			return;
}

int mr_privileges_drop(uid_t uid, gid_t gid)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	drop_bounding_set();
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	if (syscall(SYS_capset, &header, none) < 0)
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

static void raise_limit(int which, rlim_t wanted)
{
	struct rlimit r = { wanted, wanted };

	if (setrlimit(which, &r) == 0 || getrlimit(which, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(which, &r);
}

void mr_privileges_raise_limits(void)
{
	raise_limit(RLIMIT_MEMLOCK, RLIM_INFINITY);
	raise_limit(RLIMIT_NOFILE, FILES_MOST);
}
