/* SPDX-License-Identifier: MIT */
/* The pin directory on a BPF file system: one daemon at a time, and nothing stale in it. */
#ifndef MR_DAEMON_PINS_H
#define MR_DAEMON_PINS_H

#include "user/daemon/daemon.h"

enum {
	MR_PIN_PATH = 160,
};

/** mr_pins_open() - mount bpffs if need be, lock the directory, clear what a crash left there */
int mr_pins_open(struct mr_daemon *d);

/** mr_pins_remove() - our pins, and the directory when it is empty then */
void mr_pins_remove(struct mr_daemon *d);

/** mr_pins_close() - give up the lock */
void mr_pins_close(struct mr_daemon *d);

/** mr_pin_path() - where a map is pinned */
void mr_pin_path(const struct mr_daemon *d, enum mr_map map, char path[MR_PIN_PATH]);

#endif
