/* SPDX-License-Identifier: MIT */
/*
 * One thread and one set: it sleeps in mr_set_wait() and serves whatever is ready. The loop is
 * example_react() in common.c, for other models have it, too.
 */
#include "common.h"

int main(int argc, char **argv)
{
	struct mr_context *x = example_open(argc, argv);

	example_react(x, example_listen(x, argv, SOCK_NONBLOCK));
}
