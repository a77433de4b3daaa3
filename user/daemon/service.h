/* SPDX-License-Identifier: MIT */
/*
 * The service manager, if there is one (sd_notify(3)): it is told what we are doing, asks for a
 * sign of life, and holds descriptors for the next daemon. Without one each call does nothing.
 */
#ifndef MR_DAEMON_SERVICE_H
#define MR_DAEMON_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "user/daemon/keeper.h"

/** mr_service_ready() - the start is complete; @words: for systemctl status */
void mr_service_ready(const char *words);

/** mr_service_status() - what systemctl status shows from now on */
void mr_service_status(const char *words);

/** mr_service_stopping() - the end has begun */
void mr_service_stopping(void);

/** mr_service_watchdog_ms() - how often a sign of life is to be given, -1: never */
int mr_service_watchdog_ms(void);

/** mr_service_alive() - the sign of life */
void mr_service_alive(void);

/**
 * mr_service_held() - what the manager held for us; @held: MR_HELD_MOST places, or NULL: close it
 *
 * Return: how many
 */
int mr_service_held(struct mr_held *held);

/** mr_service_keep() - have it hold @fd under @name, in place of what it had there */
void mr_service_keep(const char *name, int fd);

/** mr_service_forget() - it is to hold nothing of ours any more */
void mr_service_forget(void);

#endif
