/* SPDX-License-Identifier: MIT */
/*
 * The system call filters of the child and of a lane: what each is made for goes on, what it never
 * does ends it. Each case is a process of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/daemon/child.h"
#include "user/worker/worker.h"

enum who {
	CHILD,
	LANE,	       /* without a directory */
	LANE_OF_STORE, /* with one */
	WHO_COUNT,
};

enum {
	OK = 0,	   /* and errors from 1 on */
	DIES = -1, /* by SIGSYS */
	STORE_FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
};

struct attempt {
	const char *what;
	long call[7]; /* its number and arguments */
	int outcome[WHO_COUNT];
};

static char page[4096] __attribute__((aligned(4096)));

#define PAGE	((long)(intptr_t)page)
#define TEXT(s) ((long)(intptr_t)(s))

static const struct attempt attempts[] = {
	{ "no program", { SYS_execve, TEXT("/bin/true"), 0, 0 }, { DIES, DIES, DIES } },
	{ "no program", { SYS_execveat, 3, TEXT(""), 0, 0, AT_EMPTY_PATH }, { DIES, DIES, DIES } },
	{ "no process", { SYS_clone, SIGCHLD, 0, 0, 0, 0 }, { DIES, DIES, DIES } },
	{ "no process", { SYS_clone3, PAGE, 64 }, { DIES, DIES, DIES } },
	{ "no tracing", { SYS_ptrace, PTRACE_ATTACH, 1, 0, 0 }, { DIES, DIES, DIES } },
	{ "no tracing", { SYS_process_vm_readv, 1, 0, 0, 0, 0, 0 }, { DIES, DIES, DIES } },
	{ "no BPF program", { SYS_bpf, BPF_PROG_LOAD, PAGE, 64 }, { DIES, DIES, DIES } },
	{ "no BPF map", { SYS_bpf, BPF_MAP_UPDATE_ELEM, PAGE, 64 }, { DIES, DIES, DIES } },
	{ "no map by id", { SYS_bpf, BPF_MAP_GET_FD_BY_ID, PAGE, 64 }, { DIES, DIES, DIES } },
	{ "no socket", { SYS_socket, AF_INET, SOCK_STREAM, 0 }, { DIES, DIES, DIES } },
	{ "no socket", { SYS_socket, AF_PACKET, SOCK_RAW, 0 }, { DIES, DIES, DIES } },
	{ "syslog", { SYS_socket, AF_UNIX, SOCK_DGRAM, 0 }, { OK, DIES, DIES } },
	{ "addresses", { SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE }, { OK, DIES, DIES } },
	{ "no file to read",
	  { SYS_openat, AT_FDCWD, TEXT("/etc/passwd"), O_RDONLY, 0 },
	  { ENOENT, EACCES, EACCES } },
	{ "no file to write",
	  { SYS_openat, AT_FDCWD, TEXT("/dev/null"), O_WRONLY, 0 },
	  { ENOENT, EACCES, EACCES } },
	{ "the store's files",
	  { SYS_openat, AT_FDCWD, TEXT("/dev/null"), STORE_FLAGS, 0640 },
	  { ENOENT, EACCES, OK } },
	{ "no file by the new call",
	  { SYS_openat2, AT_FDCWD, TEXT("/dev/null"), PAGE, 24 },
	  { DIES, DIES, DIES } },
	{ "no name removed",
	  { SYS_unlinkat, AT_FDCWD, TEXT("/nowhere"), 0 },
	  { DIES, DIES, DIES } },
	{ "no name changed",
	  { SYS_renameat2, AT_FDCWD, TEXT("/nowhere"), AT_FDCWD, TEXT("/no"), 0 },
	  { DIES, DIES, DIES } },
	{ "no mode changed", { SYS_fchmod, 0, 0777 }, { DIES, DIES, DIES } },
	{ "no memory to execute",
	  { SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
	  { DIES, DIES, DIES } },
	{ "no memory to execute",
	  { SYS_mprotect, PAGE, 4096, PROT_READ | PROT_EXEC },
	  { DIES, DIES, DIES } },
	{ "memory",
	  { SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
	  { OK, OK, OK } },
	{ "memory given back", { SYS_madvise, PAGE, 4096, MADV_DONTNEED }, { OK, OK, OK } },
	{ "no other advice", { SYS_madvise, PAGE, 4096, MADV_RANDOM }, { OK, EINVAL, EINVAL } },
	{ "no signals to others", { SYS_kill, 1, 0 }, { DIES, DIES, DIES } },
	{ "no other user", { SYS_setresuid, 0, 0, 0 }, { DIES, DIES, DIES } },
	{ "no namespace", { SYS_unshare, CLONE_NEWUSER }, { DIES, DIES, DIES } },
	{ "no namespace", { SYS_setns, 0, 0 }, { DIES, DIES, DIES } },
	{ "no mount",
	  { SYS_mount, TEXT("a"), TEXT("/"), TEXT("tmpfs"), 0, 0 },
	  { DIES, DIES, DIES } },
	{ "no io_uring", { SYS_io_uring_setup, 1, PAGE }, { DIES, DIES, DIES } },
	{ "no perf", { SYS_perf_event_open, PAGE, 0, -1, -1, 0 }, { DIES, DIES, DIES } },
	{ "no page faults", { SYS_userfaultfd, 0 }, { DIES, DIES, DIES } },
	{ "no keys", { SYS_keyctl, 0, 0, 0, 0, 0 }, { DIES, DIES, DIES } },
	{ "no terminal is asked", { SYS_ioctl, 0, 0x5413, PAGE }, { ENOTTY, ENOTTY, ENOTTY } },
	{ "itself", { SYS_getpid }, { OK, OK, OK } },
};

/* In a process of its own: confined, then the call. Its exit status is the call's errno. The
 * sanitizers' _exit() makes calls of their own. */
static void try(enum who who, const long *c)
{
	int err = who == CHILD ? mr_seccomp_child() : worker_confine(who == LANE_OF_STORE);
	long r;

	if (err)
		_exit(255);
	r = syscall(c[0], c[1], c[2], c[3], c[4], c[5], c[6]);
	syscall(SYS_exit_group, r < 0 ? errno : OK);
}

static int outcome_of(enum who who, const long *c)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		try(who, c);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		assert_int_equal(WTERMSIG(status), SIGSYS);
		return DIES;
	}
	return WEXITSTATUS(status);
}

static void hold(enum who who)
{
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		int outcome = outcome_of(who, attempts[i].call);

		if (outcome != attempts[i].outcome[who])
			fail_msg("%s (call %ld): %d, not %d", attempts[i].what, attempts[i].call[0],
				 outcome, attempts[i].outcome[who]);
	}
}

static void the_child_does_what_its_table_says(void **state)
{
	(void)state;
	hold(CHILD);
}

static void a_lane_does_what_its_table_says(void **state)
{
	(void)state;
	hold(LANE);
}

static void a_lane_with_a_store_opens_its_files_and_no_others(void **state)
{
	(void)state;
	hold(LANE_OF_STORE);
}

static int compare(const void *a, const void *b)
{
	return *(const uint8_t *)a - *(const uint8_t *)b;
}

/* Lists of prefixes that clients send; libc looks at the memory that there is before it sorts. */
static void the_child_sorts_a_long_list(void **state)
{
	static uint8_t list[1 << 20];
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		if (mr_seccomp_child())
			_exit(255);
		qsort(list, sizeof(list), 1, compare);
		syscall(SYS_exit_group, OK);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), OK);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_child_does_what_its_table_says),
		cmocka_unit_test(the_child_sorts_a_long_list),
		cmocka_unit_test(a_lane_does_what_its_table_says),
		cmocka_unit_test(a_lane_with_a_store_opens_its_files_and_no_others),
	};

	return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
