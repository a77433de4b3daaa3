/* SPDX-License-Identifier: MIT */
/*
 * attach: adopt. The operator attached millrace.bpf.o by `ip link set dev X xdp obj ...`; the
 * daemon takes over the maps that the program uses, with what they have counted, and leaves the
 * program where it stands when it ends. Parent only.
 */
#ifndef MR_DAEMON_ADOPT_H
#define MR_DAEMON_ADOPT_H

#include <stdint.h>

struct mr_daemon;
struct mr_link;

enum {
	MR_PROGRAM_MAPS = 64, /* most maps of a program that are looked at */
};

/**
 * mr_adopt_maps() - make the object that is open use the maps of the programs to be adopted
 *
 * Between opening and loading the object. All of these programs must share their maps, and those
 * must be laid out as ours. Nothing happens without an interface of `attach: adopt`.
 *
 * Return: 0 or -errno with @d->error, no map changed
 */
int mr_adopt_maps(struct mr_daemon *d);

/** mr_adopt_generation() - go on counting generations where the adopted maps stand; after loading
 */
int mr_adopt_generation(struct mr_daemon *d);

/** mr_program_maps() - ids of the maps of program @fd; returns their number, or -errno */
int mr_program_maps(int fd, char name[16], uint32_t ids[MR_PROGRAM_MAPS]);

#endif
