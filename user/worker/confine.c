/* SPDX-License-Identifier: MIT */
/*
 * A lane needs few system calls, and no privilege at all. libseccomp (rather than hand-made
 * filters) because it knows the call numbers of every architecture.
 */
#include "user/worker/worker.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/prctl.h>

static const int allowed[] = {
	/* rings, control socket, doorbells, log */
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(getsockopt),
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	/* files of the store, the capture */
	SCMP_SYS(openat),
	SCMP_SYS(close),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(fcntl),
	/* memory, time, end */
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(tgkill),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(sched_yield),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

int worker_confine(void)
{
	scmp_filter_ctx ctx;
	int error = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && !error; i++)
		error = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!error)
		error = seccomp_load(ctx);
	seccomp_release(ctx);
	return error;
}
