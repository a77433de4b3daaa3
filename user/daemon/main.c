/* SPDX-License-Identifier: MIT */
/* millraced: options, and the way into the background. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/daemon/daemon.h"
#include "user/daemon/estate.h"
#include "user/daemon/log.h"

#define DEFAULT_FILE "/etc/millrace/millraced.yaml"

const char *argp_program_version = "millraced " MR_VERSION;

struct options {
	const char *file;
	bool check;
	bool foreground;
	bool debug;
	bool fresh;
};

static const struct argp_option option_table[] = {
	{ "config", 'c', "FILE", 0, "configuration, default " DEFAULT_FILE, 0 },
	{ "check", 'n', NULL, 0, "check the configuration and stop", 0 },
	{ "foreground", 'f', NULL, 0, "stay in the foreground and log to stderr", 0 },
	{ "fresh", 'F', NULL, 0, "end lanes that an earlier daemon left, do not take them up", 0 },
	{ "debug", 'd', NULL, 0, "log debug lines too", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'c':
		o->file = arg;
		return 0;
	case 'n':
		o->check = true;
		return 0;
	case 'f':
		o->foreground = true;
		return 0;
	case 'F':
		o->fresh = true;
		return 0;
	case 'd':
		o->debug = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_table,
	.parser = parse_option,
	.doc = "Runs the Millrace packet fast path: XDP programs, lanes and their control API.",
};

/* Where libmillrace's other parts lie: beside us, or where they are installed. */
static void find_self(struct mr_daemon *d)
{
	ssize_t n = readlink("/proc/self/exe", d->directory, sizeof(d->directory) - 1);
	char *slash;

	d->directory[n > 0 ? n : 0] = '\0';
	slash = strrchr(d->directory, '/');
	if (slash)
		*slash = '\0';
}

/* For the status that people read elsewhere. */
static void make_absolute(char **file)
{
	char *path = realpath(*file, NULL);

	if (!path)
		return;
	free(*file);
	*file = path;
}

/* The outcome of the start, told to the process that the caller waits for. */
struct outcome {
	int pipe;
};

static void into_background(void *arg)
{
	struct outcome *o = arg;
	int null;

	if (o->pipe < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	mr_log_to_syslog();
	if (chdir("/") < 0)
		mr_warn("/: %s", strerror(errno));
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		close(null);
	}
	if (write(o->pipe, "", 1) != 1)
		mr_warn("start: nobody waits for its outcome");
	mr_close_fd(&o->pipe);
}

/* In the process that was called: exit as the daemon's start ends. */
static void wait_for_outcome(int pipe_read, pid_t daemon)
{
	char byte;
	int status;

	if (read(pipe_read, &byte, 1) == 1)
		_exit(EXIT_SUCCESS);
	waitpid(daemon, &status, 0);
	_exit(EXIT_FAILURE);
}

static int leave_caller(struct outcome *o)
{
	int p[2];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		close(p[1]);
		wait_for_outcome(p[0], pid);
	}
	close(p[0]);
	o->pipe = p[1];
	setsid();
	return 0;
}

static int run(struct mr_daemon *d, struct outcome *o)
{
	int err = mr_daemon_start(d);

	if (!err)
		err = mr_parent_serve(d, into_background, o);
	if ((err && d->adopting) || (!err && mr_estate_hand_over(d)))
		mr_daemon_leave(d);
	else
		mr_daemon_stop(d);
	if (err) {
		mr_error("%s", d->error[0] ? d->error : strerror(-err));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
	static struct mr_daemon d;
	struct options o = { .file = DEFAULT_FILE };
	struct outcome outcome = { .pipe = -1 };
	char error[MR_CONFIG_ERROR_BYTES];
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	mr_log_init(o.debug);
	if (mr_settings_load(o.file, &d.settings, error) < 0) {
		fprintf(stderr, "millraced: %s\n", error);
		return EXIT_FAILURE;
	}
	if (o.check) {
		printf("%s: configuration OK\n", o.file);
		mr_settings_free(&d.settings);
		return EXIT_SUCCESS;
	}
	d.foreground = o.foreground;
	d.fresh = o.fresh;
	find_self(&d);
	make_absolute(&d.settings.file);
	if (!o.foreground) {
		err = leave_caller(&outcome);
		if (err) {
			mr_error("going into the background: %s", strerror(-err));
			return EXIT_FAILURE;
		}
	}
	return run(&d, &outcome);
}
