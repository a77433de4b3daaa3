/* SPDX-License-Identifier: MIT */
/*
 * A process for each client: accept, fork, and the child serves. Children are reaped as they end.
 * The context and its sockets are the child's, too, so each side closes what is not its own. For
 * backend kernel: on the others a child opens a context of its own.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/wait.h>

#include "common.h"

static void reap(int number)
{
	int before = errno;

	(void)number;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	errno = before;
}

int main(int argc, char **argv)
{
	struct sigaction children = { .sa_handler = reap, .sa_flags = SA_NOCLDSTOP };
	struct mr_context *x = example_open(argc, argv);
	int listener = example_listen(x, argv, 0);

	sigaction(SIGCHLD, &children, NULL);
	for (;;) {
		int fd = example_check(mr_sock_accept(x, listener, NULL, NULL, 0), "accept");
		pid_t child = fork();

		if (!child) {
			mr_sock_close(x, listener);
			example_serve(x, fd);
			_exit(0);
		}
		if (child < 0)
			mr_sock_abort(x, fd); /* no room for one more: say so at once */
		else
			mr_sock_close(x, fd);
	}
}
