/* SPDX-License-Identifier: MIT */
/*
 * A lane needs few system calls, and no privilege at all. libseccomp (rather than hand-made
 * filters) because it knows the call numbers of every architecture.
 */
#include "user/worker/worker.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "shared/mr_calls.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct mr_call calls[] = {
	MR_CALL(sendto, "wakes the kernel for the rings; tells the daemon"),
	MR_CALL(sendmsg, "tells the daemon"),
	MR_CALL(recvfrom, "hears the daemon"),
	MR_CALL(recvmsg, "hears the daemon"),
	MR_CALL(poll, "sleeps"),
	MR_CALL(ppoll, "sleeps"),
	MR_CALL(getsockopt, "the AF_XDP socket's counters"),
	MR_CALL(read, "doorbells"),
	MR_CALL(write, "doorbells, the log, the capture"),
	MR_CALL(writev, "the capture, files of the store"),
	MR_CALL(pwrite64, "files of the store"),
	MR_CALL(lseek, "files of the store"),
	MR_CALL(ftruncate, "files of the store"),
	MR_CALL(fstat, "files that are open"),
	MR_CALL(newfstatat, "files that are open, as libc asks"),
	MR_CALL(fcntl, "flags of descriptors"),
	MR_CALL(close, "descriptors"),
	MR_CALL_IF(mmap, 2, PROT_EXEC, 0, "memory, never to be executed"),
	MR_CALL(munmap, "memory"),
	MR_CALL(mremap, "memory"),
	/* MADV_REMOVE would part the arena from the pages that the kernel writes frames into */
	MR_CALL_OR_FAILS(madvise, 2, MADV_DONTNEED, EINVAL, "memory that malloc() gives back"),
	MR_CALL(brk, "memory"),
	MR_CALL(clock_gettime, "time, where the vDSO has none"),
	MR_CALL(clock_nanosleep, "lets frames gather"),
	MR_CALL(futex, "locks of libc"),
	MR_CALL(getrandom, "libc's hashes"),
	MR_CALL(getpid, "itself"),
	MR_CALL(gettid, "itself"),
	MR_CALL(tgkill, "abort()"),
	MR_CALL(rt_sigreturn, "the end of SIGTERM's handler"),
	MR_CALL(rt_sigprocmask, "abort()"),
	MR_CALL(rt_sigaction, "abort()"),
	MR_CALL(sigaltstack, "handlers of sanitizers"),
	MR_CALL(restart_syscall, "after a stop"),
	MR_CALL(sched_yield, "gives way"),
	MR_CALL(exit, "the end"),
	MR_CALL(exit_group, "the end"),
	MR_CALL_FAILS(ioctl, ENOTTY, "libc asks whether the log is a terminal"),
	MR_CALL_FAILS(prctl, EPERM, "libc names mappings"),
};

static const struct mr_call calls_without_directory[] = {
	MR_CALL_FAILS(openat, EACCES, "nothing is opened"),
};

/* Files of `store`: below a directory that came with HELLO, made if they are not there. */
static const struct mr_call calls_with_directory[] = {
	MR_CALL_OR_FAILS(openat, 2,
			 O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
			 EACCES, "files of the store, which are no links, to append to"),
};

int worker_confine(bool has_directory)
{
	scmp_filter_ctx filter;
	int err;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	filter = mr_calls_begin();
	if (!filter)
		return -ENOMEM;
	err = mr_calls_add(filter, calls, COUNT(calls));
	if (!err && has_directory)
		err = mr_calls_add(filter, calls_with_directory, COUNT(calls_with_directory));
	else if (!err)
		err = mr_calls_add(filter, calls_without_directory, COUNT(calls_without_directory));
	return mr_calls_load(filter, err);
}
