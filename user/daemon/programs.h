/* SPDX-License-Identifier: MIT */
/*
 * The loaded XDP programs: the current one, and the one before it, for a way back. Both use the
 * same maps, so nothing that was counted and no rule is lost by an exchange, and each interface's
 * program is exchanged by one store in the kernel: a frame meets the one or the other.
 */
#ifndef MR_DAEMON_PROGRAMS_H
#define MR_DAEMON_PROGRAMS_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/mr_maps.h"

struct mr_daemon;

enum {
	MR_PROGRAM_PATH = 320, /* of an object, the zero with it */
	MR_PROGRAM_SECTIONS = 2,
};

/* One build of millrace.bpf.o, for people. */
struct mr_program_facts {
	bool there;
	uint32_t id[MR_PROGRAM_SECTIONS]; /* by enum mr_section */
	char tag[MR_PROGRAM_SECTIONS][17];
	char path[MR_PROGRAM_PATH];
	int64_t loaded; /* seconds since 1970 */
	uint16_t major, minor;
};

/* Written by the parent, in memory that the child reads too. */
struct mr_programs_shown {
	struct mr_program_facts current, previous;
	uint32_t exchanges;
};

/**
 * mr_programs_open() - take the programs of the object that was loaded for the current ones
 *
 * Pinned as program_* beside the maps; previous_* of a daemon before us stay if they use our maps.
 *
 * Return: 0 or -errno with @d->error
 */
int mr_programs_open(struct mr_daemon *d);

/** mr_programs_is_known() - is @id one of those that an exchange could put on an interface? */
bool mr_programs_is_known(const struct mr_programs_shown *p, uint32_t id);

/** mr_programs_close() - unpin and close all; safe when nothing was opened */
void mr_programs_close(struct mr_daemon *d);

/**
 * mr_programs_upgrade() - load another object over the same maps, and exchange the programs
 * @path:	the object; "" is the one the daemon started with. It must be root's alone to write
 * @words:	out: on error, one line with the cure
 *
 * Its ABI record and the layout of all its maps must be as this daemon knows them. All interfaces
 * change or none. The current programs become the previous ones.
 *
 * Return: 0 or -errno, everything as it was
 */
int mr_programs_upgrade(struct mr_daemon *d, const char *path, char *words, size_t room);

/** mr_programs_rollback() - exchange current and previous programs; as mr_programs_upgrade() */
int mr_programs_rollback(struct mr_daemon *d, char *words, size_t room);

/* ----- object.c: an object file before the kernel sees it ----- */

struct mr_object_file {
	void *bytes;
	size_t len;
	struct mr_abi abi;
};

/**
 * mr_object_read() - read an object file and its ABI record
 * @out:	to be freed with mr_object_free() after success
 *
 * Return: 0, or -errno with a line in @words: not a file that only root can write, no object, no
 *	   ABI record, or one of another ABI
 */
int mr_object_read(const char *path, struct mr_object_file *out, char *words, size_t room);

void mr_object_free(struct mr_object_file *o);

/** mr_object_abi() - the ABI record of an ELF file in memory; 0, -ENOEXEC, or -ENOENT: it has none
 */
int mr_object_abi(void *bytes, size_t len, struct mr_abi *out);

#endif
