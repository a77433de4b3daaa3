/* SPDX-License-Identifier: MIT */
#include "user/daemon/pulse.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int mr_pulse_make(struct mr_pulse *p)
{
	void *page = mmap(NULL, sizeof(*p->word), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	*p = (struct mr_pulse){ 0 };
	if (page == MAP_FAILED)
		return -ENOMEM;
	p->word = page;
	return 0;
}

void mr_pulse_free(struct mr_pulse *p)
{
	if (p->word)
		munmap(p->word, sizeof(*p->word));
	*p = (struct mr_pulse){ 0 };
}

void mr_pulse_beat(uint64_t *word)
{
	if (word)
		__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
}

void mr_pulse_begin(struct mr_pulse *p, uint64_t now)
{
	p->seen = __atomic_load_n(p->word, __ATOMIC_RELAXED);
	p->looked_ns = now;
	p->silent = 0;
}

/* Now, by a signal; it is not waited for, and stays for others to see. */
static bool is_stopped(pid_t child)
{
	siginfo_t s = { 0 };

	return waitid(P_PID, (id_t)child, &s, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
	       s.si_pid == child && s.si_code == CLD_STOPPED;
}

const char *mr_pulse_look(struct mr_pulse *p, pid_t child, uint64_t now)
{
	uint64_t word = __atomic_load_n(p->word, __ATOMIC_RELAXED);

	if (now - p->looked_ns < MR_PULSE_LOOK_MS * 1000000ull)
		return NULL;
	p->looked_ns = now;
	p->silent = word == p->seen ? p->silent + 1 : 0;
	p->seen = word;
	if (p->silent >= MR_PULSE_SILENT_LOOKS)
		return "it has done nothing for 30 s";
	if (p->silent >= MR_PULSE_STOPPED_LOOKS && is_stopped(child))
		return "it was stopped by a signal";
	return NULL;
}
