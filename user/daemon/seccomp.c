/* SPDX-License-Identifier: MIT */
/*
 * What the child may ask of the kernel: to read and write what it has open, to wait, to look into
 * maps. It can open no file, start no program, and make no socket but those for syslog and for
 * the list of addresses.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <seccomp.h>
#include <sys/socket.h>

#include "user/daemon/child.h"

static const int plain[] = {
	/* descriptors */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(lseek),
	SCMP_SYS(close),
	SCMP_SYS(dup2),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	/* sockets that stand */
	SCMP_SYS(accept4),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(connect),
	SCMP_SYS(bind),
	/* waiting */
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(futex),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(clock_nanosleep),
	/* memory */
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(mprotect),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	/* itself */
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

static int add_plain(scmp_filter_ctx f)
{
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(plain) / sizeof(plain[0]); i++)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, plain[i], 0);
	return err;
}

/* Allow a call when its first argument is @value. */
static int allow_if(scmp_filter_ctx f, int call, uint64_t value)
{
	struct scmp_arg_cmp first = { .arg = 0, .op = SCMP_CMP_EQ, .datum_a = value };

	return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, call, 1, &first);
}

static int add_narrow(scmp_filter_ctx f)
{
	int err = allow_if(f, SCMP_SYS(bpf), BPF_MAP_LOOKUP_ELEM);

	if (!err)
		err = allow_if(f, SCMP_SYS(socket), AF_UNIX);
	if (!err)
		err = allow_if(f, SCMP_SYS(socket), AF_NETLINK);
	/* libc looks whether standard output is a terminal. */
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl), 0);
	/* Nothing is opened; who tries in vain (time zones) goes on without. */
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOENT), SCMP_SYS(openat), 0);
	return err;
}

int mr_seccomp_child(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err;

	if (!f)
		return -ENOMEM;
	err = add_plain(f);
	if (!err)
		err = add_narrow(f);
	if (!err)
		err = seccomp_load(f);
	seccomp_release(f);
	return err;
}
