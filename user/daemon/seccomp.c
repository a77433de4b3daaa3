/* SPDX-License-Identifier: MIT */
/*
 * What the child may ask of the kernel: to read and write what it has open, to wait, to look into
 * maps. It can open no file, start no program, and make no socket but those for syslog and for
 * the list of addresses.
 */
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "shared/mr_calls.h"
#include "user/daemon/child.h"

static const struct mr_call calls[] = {
	MR_CALL(read, "the workers' words"),
	MR_CALL(write, "the log"),
	MR_CALL(readv, "the control API"),
	MR_CALL(writev, "the control API, syslog"),
	MR_CALL(pread64, "arenas"),
	MR_CALL(lseek, "libc's streams"),
	MR_CALL(close, "descriptors"),
	MR_CALL(dup2, "into the background"),
	MR_CALL(fcntl, "flags of descriptors"),
	MR_CALL(fstat, "descriptors, as libc asks"),
	MR_CALL(newfstatat, "descriptors, as libc asks"),
	MR_CALL(accept4, "the control API"),
	MR_CALL(recvmsg, "the parent, netlink"),
	MR_CALL(recvfrom, "workers, the control API"),
	MR_CALL(sendmsg, "the parent, the control API"),
	MR_CALL(sendto, "workers, netlink, the control API"),
	MR_CALL(shutdown, "clients whose time is over"),
	MR_CALL(getsockname, "netlink, the control API"),
	MR_CALL(getpeername, "the control API"),
	MR_CALL(getsockopt, "who a client is"),
	MR_CALL(setsockopt, "netlink, the control API"),
	MR_CALL(connect, "syslog"),
	MR_CALL(bind, "netlink"),
	MR_CALL_IS(socket, 0, AF_UNIX, "syslog"),
	MR_CALL_IS(socket, 0, AF_NETLINK, "the list of addresses"),
	MR_CALL_IS(bpf, 0, BPF_MAP_LOOKUP_ELEM, "maps, through descriptors that only read"),
	MR_CALL(epoll_wait, "waits"),
	MR_CALL(epoll_pwait, "waits"),
	MR_CALL(epoll_ctl, "what to wait for"),
	MR_CALL(poll, "waits"),
	MR_CALL(ppoll, "waits"),
	MR_CALL(futex, "locks of libc"),
	MR_CALL(restart_syscall, "after a stop"),
	MR_CALL(clock_gettime, "time, where the vDSO has none"),
	MR_CALL(gettimeofday, "time, where the vDSO has none"),
	MR_CALL(clock_nanosleep, "waits"),
	MR_CALL_IF(mmap, 2, PROT_EXEC, 0, "memory, never to be executed"),
	MR_CALL_IF(mprotect, 2, PROT_EXEC, 0, "memory, never to be executed"),
	MR_CALL(munmap, "memory"),
	MR_CALL(mremap, "memory"),
	MR_CALL(madvise, "memory"),
	MR_CALL(brk, "memory"),
	MR_CALL(sysinfo, "libc's sorting of long lists: how much memory there is"),
	MR_CALL(getpid, "itself"),
	MR_CALL(gettid, "itself"),
	MR_CALL(tgkill, "abort()"),
	MR_CALL(getrandom, "libc's hashes"),
	MR_CALL(rt_sigaction, "abort()"),
	MR_CALL(rt_sigprocmask, "abort()"),
	MR_CALL(rt_sigreturn, "the end of a handler"),
	MR_CALL(exit, "the end"),
	MR_CALL(exit_group, "the end"),
	MR_CALL_FAILS(ioctl, ENOTTY, "libc asks whether standard output is a terminal"),
	MR_CALL_FAILS(openat, ENOENT, "nothing is opened; libc goes on without time zones"),
};

int mr_seccomp_child(void)
{
	scmp_filter_ctx filter = mr_calls_begin();

	if (!filter)
		return -ENOMEM;
	return mr_calls_load(filter, mr_calls_add(filter, calls, sizeof(calls) / sizeof(calls[0])));
}
