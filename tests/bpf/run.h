/* SPDX-License-Identifier: MIT */
/* Commands of a system under test. */
#ifndef MR_TEST_RUN_H
#define MR_TEST_RUN_H

/**
 * run_command() - run a command line, its words parted by single blanks
 * @line:	no quoting; the first word is looked up in PATH
 *
 * Return: its exit status, 127 if it could not be run, 128 and more after a signal
 */
int run_command(const char *line);

#endif
