/* SPDX-License-Identifier: MIT */
/*
 * One caller, one peer: the program sleeps in mr_sock_accept() and mr_sock_recv() and serves its
 * clients one after the other. The others wait in the listener's queue.
 */
#include "common.h"

int main(int argc, char **argv)
{
	struct mr_context *x = example_open(argc, argv);
	int listener = example_listen(x, argv, 0);

	for (;;)
		example_serve(x,
			      example_check(mr_sock_accept(x, listener, NULL, NULL, 0), "accept"));
}
