/* SPDX-License-Identifier: MIT */
/* Start and stop of the privileged parent, in reading order. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/daemon/attach.h"
#include "user/daemon/attach_way.h"
#include "user/daemon/bpf.h"
#include "user/daemon/daemon.h"
#include "user/daemon/estate.h"
#include "user/daemon/guard.h"
#include "user/daemon/guard_keep.h"
#include "user/daemon/lanes.h"
#include "user/daemon/links.h"
#include "user/daemon/log.h"
#include "user/daemon/nft_hint.h"
#include "user/daemon/ports.h"
#include "user/daemon/reload.h"
#include "user/daemon/rule_change.h"
#include "user/daemon/ruleset.h"
#include "user/daemon/privileges.h"
#include "user/daemon/run_directory.h"
#include "user/daemon/web.h"

#define INSTALLED_WORKER "/usr/libexec/millrace/millrace-worker"
#define INSTALLED_OBJECT "/usr/lib/millrace/millrace.bpf.o"

int mr_fail(struct mr_daemon *d, int err, const char *fmt, ...)
{
	va_list args;

	if (d->error[0])
		return err;
	va_start(args, fmt);
	vsnprintf(d->error, sizeof(d->error), fmt, args);
	va_end(args);
	return err;
}

uint64_t mr_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

void mr_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Nothing is open yet: so mr_daemon_stop() is safe from here on. */
static int prepare(struct mr_daemon *d)
{
	sigset_t mask;

	/* A signal during the start waits for mr_parent_serve(), so that nothing is left behind. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of write(), in lanes too */
	umask(022); /* whatever the caller's is: the group has to reach the control socket */
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGUSR2);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	d->bpf.pin_lock = d->bpf.active = d->lock = d->control = d->http = d->child_socket = -1;
	d->keeper = d->record_fd = d->guard_kept = d->rules_kept = -1;
	d->rules_serial =
		(uint32_t)(mr_now_ns() / 1000000); /* beyond those of a daemon before us */
	d->worker_log[0] = d->worker_log[1] = -1;
	d->bpf.program[0] = d->bpf.program[1] = d->bpf.previous[0] = d->bpf.previous[1] = -1;
	for (unsigned int i = 0; i < MR_MAP_COUNT; i++)
		d->bpf.map[i] = d->bpf.reader[i] = -1;
	for (unsigned int i = 0; i < MR_MAX_DIRECTORIES; i++)
		d->directories[i] = -1;
	d->parent = getpid();
	d->started_ns = mr_now_ns();
	d->started_wall = time(NULL);
	return 0;
}

/* Beside our own executable (a build directory), or where make install puts them. */
static int find_parts(struct mr_daemon *d)
{
	snprintf(d->worker_path, sizeof(d->worker_path), "%s/millrace-worker", d->directory);
	if (access(d->worker_path, X_OK) < 0)
		snprintf(d->worker_path, sizeof(d->worker_path),
			 "%s/../libexec/millrace/millrace-worker", d->directory);
	if (access(d->worker_path, X_OK) < 0)
		snprintf(d->worker_path, sizeof(d->worker_path), INSTALLED_WORKER);
	if (access(d->worker_path, X_OK) < 0)
		return mr_fail(d, -ENOENT,
			       "millrace-worker is neither in %s nor in /usr/libexec/millrace; "
			       "build it with make, or install millrace",
			       d->directory);
	snprintf(d->object_path, sizeof(d->object_path), "%s/millrace.bpf.o", d->directory);
	if (access(d->object_path, R_OK) < 0)
		snprintf(d->object_path, sizeof(d->object_path),
			 "%s/../lib/millrace/millrace.bpf.o", d->directory);
	if (access(d->object_path, R_OK) < 0)
		snprintf(d->object_path, sizeof(d->object_path), INSTALLED_OBJECT);
	return 0;
}

static int clear_leftovers(struct mr_daemon *d)
{
	if (!d->adopting)
		mr_leftovers_end(d);
	mr_privileges_raise_limits();
	return 0;
}

/* In the background the workers' words go to syslog by way of the child. */
static int open_worker_log(struct mr_daemon *d)
{
	if (d->foreground || d->worker_log[0] >= 0)
		return 0;
	/* Workers write there too: a control process that stands still must not hold them up. */
	if (pipe2(d->worker_log, O_CLOEXEC | O_NONBLOCK) < 0)
		return mr_fail(d, -errno, "pipe: %s", strerror(errno));
	return 0;
}

static int attach_all(struct mr_daemon *d)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < d->n_links; i++)
		err = mr_attach(d, &d->links[i]);
	if (!err)
		mr_attach_sweep_links(d);
	return err;
}

/* The last step: from here on frames are taken, as soon as a lane beats. */
static int fill_maps(struct mr_daemon *d)
{
	int err = mr_links_locals(d);

	for (uint32_t i = 0; !err && i < d->n_links; i++)
		err = mr_bpf_interface(d, &d->links[i]);
	if (err)
		return err;
	err = mr_guard_start(d);
	if (err)
		return err;
	err = mr_rules_publish(d);
	if (err)
		return mr_fail(d, err, "rules: cannot be written: %s", strerror(-err));
	return 0;
}

int mr_daemon_start(struct mr_daemon *d)
{
	static int (*const steps[])(struct mr_daemon *) = {
		prepare,	   mr_privileges_check, find_parts,	 mr_run_directory_open,
		mr_estate_find,	   mr_links_find,	mr_estate_check, mr_rules_adopt,
		clear_leftovers,   mr_lanes_prepare,	mr_bpf_load,	 attach_all,
		mr_ports_reserve,  mr_estate_listeners, mr_lanes_open,	 mr_ruleset_room,
		mr_reload_room,	   mr_guard_keep_open,	fill_maps,	 open_worker_log,
		mr_control_listen, mr_web_listen,	mr_rules_keep,	 mr_estate_deposit,
		mr_nft_hint,
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(steps) / sizeof(steps[0]); i++)
		err = steps[i](d);
	return err;
}

/* What the lanes have is in keeping; what is only ours ends with us. */
void mr_daemon_leave(struct mr_daemon *d)
{
	mr_control_unlink(d);
	mr_settings_free(&d->settings);
}

void mr_daemon_stop(struct mr_daemon *d)
{
	mr_workers_end(d);
	mr_estate_end(d);
	mr_lanes_close(d); /* first, for to detach takes a descriptor, and there may be none left */
	for (uint32_t i = 0; i < d->n_links; i++)
		mr_detach(d, &d->links[i]);
	mr_guard_keep_close(d);
	mr_bpf_unload(d);
	mr_ports_release(d);
	mr_rules_end(d);
	mr_close_fd(&d->http);
	mr_close_fd(&d->worker_log[0]);
	mr_close_fd(&d->worker_log[1]);
	mr_run_directory_close(d);
	free(d->lanes);
	free(d->links);
	d->lanes = NULL;
	d->links = NULL;
	d->n_lanes = d->n_links = 0;
	mr_settings_free(&d->settings);
}
