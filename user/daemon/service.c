/* SPDX-License-Identifier: MIT */
#include "user/daemon/service.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* Names that the manager holds something under. */
static struct {
	char name[MR_HELD_MOST][MR_HELD_NAME];
	int n;
} stored;

static bool has_manager(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

void mr_service_ready(const char *words)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s\nMAINPID=%d", words, (int)getpid());
}

void mr_service_status(const char *words)
{
	sd_notifyf(0, "STATUS=%s", words);
}

void mr_service_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=stopping");
}

int mr_service_watchdog_ms(void)
{
	uint64_t usec;

	/* The variable names the process that was started: the parent, also in the background. */
	if (sd_watchdog_enabled(0, &usec) <= 0)
		return -1;
	return usec / 2000 > 1 ? (int)(usec / 2000) : 1;
}

void mr_service_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}

static void note_stored(const char *name)
{
	for (int i = 0; i < stored.n; i++)
		if (!strcmp(stored.name[i], name))
			return;
	if (stored.n < MR_HELD_MOST)
		snprintf(stored.name[stored.n++], MR_HELD_NAME, "%s", name);
}

static void remove_stored(const char *name)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

int mr_service_held(struct mr_held *held)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names), kept = 0;

	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		fcntl(fd, F_SETFD, FD_CLOEXEC);
		note_stored(names[i]);
		if (!held || kept == MR_HELD_MOST || strlen(names[i]) >= MR_HELD_NAME) {
			close(fd);
		} else {
			snprintf(held[kept].name, MR_HELD_NAME, "%s", names[i]);
			held[kept++].fd = fd;
		}
		free(names[i]);
	}
	free(names);
	return kept;
}

/* FDPOLL=0: a socket whose other end is gone is ours to find out about. */
void mr_service_keep(const char *name, int fd)
{
	char state[MR_HELD_NAME + 64];

	if (!has_manager())
		return;
	remove_stored(name);
	snprintf(state, sizeof(state), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	sd_pid_notify_with_fds(0, 0, state, &fd, 1);
	note_stored(name);
}

void mr_service_forget(void)
{
	for (int i = 0; i < stored.n; i++)
		remove_stored(stored.name[i]);
	stored.n = 0;
}
