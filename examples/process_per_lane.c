/* SPDX-License-Identifier: MIT */
/*
 * A process for each lane (here two), each with a context, a listener on the same port and a
 * reactor of its own. A connection comes to one of them and wakes nobody else. The first process
 * starts one anew that dies.
 */
#include <signal.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common.h"

enum { PROCESSES = 2 };

static void serve(int argc, char **argv)
{
	struct mr_context *x = example_open(argc, argv);

	example_react(x, example_listen(x, argv, SOCK_NONBLOCK));
}

static void start(int argc, char **argv)
{
	pid_t parent = getpid();

	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGTERM); /* they end with their parent */
		if (getppid() == parent)
			serve(argc, argv);
		_exit(1);
	}
}

int main(int argc, char **argv)
{
	int i, status;

	for (i = 0; i < PROCESSES; i++)
		start(argc, argv);
	while (wait(&status) > 0) {
		if (WIFEXITED(status))
			return WEXITSTATUS(status); /* it said why; a new one would, too */
		start(argc, argv);
	}
	return 1;
}
