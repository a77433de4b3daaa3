/* SPDX-License-Identifier: MIT */
/* A report: texts by their names in an archive, masked on their way if that is wanted. */
#ifndef MR_CLI_REPORT_H
#define MR_CLI_REPORT_H

#include <stddef.h>

#include "user/cli/mask.h"

struct mr_report;

/**
 * mr_report_open() - make FILE.tar.gz, readable by its owner alone
 * @mask:	of all text, or NULL; borrowed
 * @why:	out: of 256 bytes, the reason of a failure
 *
 * Return: NULL on error; a file that exists is one
 */
struct mr_report *mr_report_open(const char *file, struct mr_mask *mask, char *why);

/** mr_report_add() - a text as FILE in the archive; errors are kept for mr_report_close() */
void mr_report_add(struct mr_report *r, const char *name, const char *text);

/** mr_report_close() - 0, or -errno: the file is removed then; @n out: how many texts there are */
int mr_report_close(struct mr_report *r, unsigned int *n);

#endif
