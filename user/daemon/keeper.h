/* SPDX-License-Identifier: MIT */
/*
 * The keeper: a process of ours that does nothing but hold descriptors by name, so that they
 * outlive a daemon that is killed. It listens on the socket `keeper` in the run directory, and by
 * name for when that was removed; it talks to
 * its own user alone, and ends when it is told to, by SIGTERM, or when nobody asks for what it
 * holds and no worker is left that could go on with it.
 */
#ifndef MR_DAEMON_KEEPER_H
#define MR_DAEMON_KEEPER_H

#include <stddef.h>

enum {
	MR_HELD_NAME = 32,
	MR_HELD_MOST = 8192,
};

/* The end of a name whose descriptor is a pidfd: of a worker. */
#define MR_HELD_PIDFD ".pidfd"

struct mr_held {
	char name[MR_HELD_NAME];
	int fd; /* -1: taken */
};

/**
 * mr_keeper_connect() - reach the keeper of a run directory
 *
 * Its user must be ours: nobody else's descriptors are taken. If its socket is not there, because
 * somebody removed the directory, it is found by a name in the network namespace, unless another
 * daemon is with it.
 *
 * Return: a socket for the calls below; -ENOENT or -ECONNREFUSED: there is none; -EPERM: it is
 *	   another user's; -errno
 */
int mr_keeper_connect(const char *directory);

/**
 * mr_keeper_start() - start a keeper that holds nothing, in place of one that is gone
 *
 * Call it only with the run directory's lock. Its process is a child of the caller, in a session
 * of its own, with no descriptor of the caller's.
 *
 * Return: a socket as mr_keeper_connect(), or -errno with nothing left
 */
int mr_keeper_start(const char *directory);

/**
 * mr_keeper_put() - have it hold @fd under @name, in place of what it had there
 *
 * Once this returns 0 the descriptor outlives the caller. @fd stays the caller's.
 *
 * Return: 0, or -errno: the keeper does not hear, and is of no use any more
 */
int mr_keeper_put(int keeper, const char *name, int fd);

/**
 * mr_keeper_fetch() - descriptors of all that it holds; it goes on holding them
 * @held:	out: MR_HELD_MOST places
 *
 * Return: how many, or -errno with none open; -ETIMEDOUT: it stands still, and holds all of it
 */
int mr_keeper_fetch(int keeper, struct mr_held *held);

/**
 * mr_keeper_end() - it lets go of everything and ends; waits for that, at most a second
 *
 * One that does not (it was stopped) is killed.
 */
void mr_keeper_end(int keeper);

/** mr_keeper_kill() - of one that does not hear: @keeper stays open, and reads its end then */
void mr_keeper_kill(int keeper);

#endif
