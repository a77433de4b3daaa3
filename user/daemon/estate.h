/* SPDX-License-Identifier: MIT */
/*
 * What a daemon leaves when it is killed, and how the next one takes it up: the descriptors of its
 * lanes and interfaces, held by name in a process of its own (keeper.h) and, under systemd, in the
 * service manager's store; and a record of what they are, in shared memory that is held with them.
 * The lanes notice neither the end nor the beginning. Parent only.
 */
#ifndef MR_DAEMON_ESTATE_H
#define MR_DAEMON_ESTATE_H

#include <stdbool.h>
#include <stdint.h>

struct mr_daemon;
struct mr_lane;
struct mr_link;

/* The name under which the rules are held: struct mr_rules_room. */
#define MR_ESTATE_RULES "rules"

/** mr_estate_take() - what is held under @name: a descriptor, the caller's, or -1 */
int mr_estate_take(struct mr_daemon *d, const char *name);

/**
 * mr_estate_find() - look for what a daemon that died left; d->adopting says that there is some
 *
 * With d->fresh it is let go instead.
 *
 * Return: 0, or -errno with words: another version left it. It stays as it is
 */
int mr_estate_find(struct mr_daemon *d);

/**
 * mr_estate_check() - is it of the interfaces and queues that the configuration names?
 *
 * Of interfaces that are not there any more it is let go: d->adopting becomes false.
 *
 * Return: 0, or -errno with words: the configuration has other lanes. It stays as it is
 */
int mr_estate_check(struct mr_daemon *d);

/** mr_estate_maps() - are the pinned maps those that the lanes write? */
int mr_estate_maps(struct mr_daemon *d);

/** mr_estate_link() - mailbox and path table of an interface, in place of making them */
int mr_estate_link(struct mr_daemon *d, struct mr_link *l);

/** mr_estate_lane() - everything of a lane, in place of making it */
int mr_estate_lane(struct mr_daemon *d, struct mr_lane *l);

/**
 * mr_estate_program() - the program with @id, if the daemon before us had it
 * @name:	out: its name
 *
 * Others may only be looked at with CAP_SYS_ADMIN, which a service need not have.
 *
 * Return: a descriptor, the caller's, or -1
 */
int mr_estate_program(struct mr_daemon *d, uint32_t id, char name[16]);

/** mr_estate_rules() - go on from the generation of rules that is in force */
int mr_estate_rules(struct mr_daemon *d);

/** mr_estate_listeners() - the ports that applications had asked for, reserved again */
int mr_estate_listeners(struct mr_daemon *d);

/** mr_estate_guard() - the memory of mr_guard_keep(), the caller's; -1: there is none */
int mr_estate_guard(struct mr_daemon *d);

/** mr_estate_guard_keep() - d->guard_kept is another */
void mr_estate_guard_keep(struct mr_daemon *d);

/**
 * mr_estate_deposit() - give everything into keeping, to a keeper that is started if there is none
 *
 * Without one a warning says that lanes will not outlive us. Return: 0
 */
int mr_estate_deposit(struct mr_daemon *d);

/** mr_estate_note() - write the record anew, after a change of a lane or a listener */
void mr_estate_note(struct mr_daemon *d);

/** mr_estate_worker() - a lane's new worker and its socket are kept, before it is given anything */
void mr_estate_worker(struct mr_daemon *d, const struct mr_lane *l);

/** mr_estate_rules_kept() - d->rules_kept is another one */
void mr_estate_rules_kept(struct mr_daemon *d);

/** mr_estate_config() - so is a lane's configuration */
void mr_estate_config(struct mr_daemon *d, const struct mr_lane *l);

/** mr_estate_lane_made() - a lane was made anew while we serve */
void mr_estate_lane_made(struct mr_daemon *d, const struct mr_lane *l);

/** mr_estate_programs() - the programs were exchanged */
void mr_estate_programs(struct mr_daemon *d);

/** mr_estate_keeper_spoke() - it never does: it has ended, another is given everything */
void mr_estate_keeper_spoke(struct mr_daemon *d);

/**
 * mr_estate_hand_over() - leave the lanes to the daemon that is started next, if that was asked for
 *
 * What cannot be taken up, because its settings are others, is then ended by that one and begun
 * anew; of a daemon that was killed it would be refused.
 *
 * Return: whether they are left. False: they have to be ended
 */
bool mr_estate_hand_over(struct mr_daemon *d);

/** mr_estate_end() - nothing is to outlive us; safe when nothing was begun */
void mr_estate_end(struct mr_daemon *d);

#endif
