/* SPDX-License-Identifier: MIT */
/*
 * millrace doctor: everything that a report of a fault should have, in one file: what the daemon
 * says, as far as it answers, and what the machine says without it. Nothing is changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user/cli/client.h"
#include "user/cli/report.h"
#include "user/cli/value.h"

enum {
	TEXT_MOST = 8 << 20, /* of one entry */
	COMMAND_MS = 10000,
};

#define PIN_DIRECTORY "/sys/fs/bpf/millrace"
#define CONFIG_FILE   "/etc/millrace/millraced.yaml"

struct doctor {
	const struct mr_cli *cli;
	struct mr_report *report;
	json_t *status; /* NULL: the daemon does not answer */
	char why[MR_CLIENT_WORDS];
};

/* ----- texts ----- */

/* What comes from @fd within @ms, up to a limit; to be freed. */
static char *read_text(int fd, int ms)
{
	char *text = NULL, part[16384];
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct timespec start, now;
	ssize_t n = 1;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while (out && n > 0 && bytes < TEXT_MOST && poll(&p, 1, ms) > 0) {
		n = read(fd, part, sizeof(part));
		if (n > 0)
			fwrite(part, 1, (size_t)n, out);
		fflush(out);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((now.tv_sec - start.tv_sec) * 1000 > ms)
			break;
	}
	if (out)
		fclose(out);
	/* A byte 0 would end the text: what is behind it matters as much. */
	for (size_t i = 0; text && i < bytes; i++)
		if (!text[i])
			text[i] = '?';
	return text;
}

static void add_file(struct doctor *d, const char *name, const char *path, off_t last)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char words[512], *text;

	if (fd < 0) {
		snprintf(words, sizeof(words), "%s: %s\n", path, strerror(errno));
		mr_report_add(d->report, name, words);
		return;
	}
	if (last && lseek(fd, -last, SEEK_END) < 0)
		lseek(fd, 0, SEEK_SET);
	text = read_text(fd, COMMAND_MS);
	mr_report_add(d->report, name, text ? text : "");
	free(text);
	close(fd);
}

static void run_child(int out, const char *const *command)
{
	int null = open("/dev/null", O_RDONLY);

	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	setenv("LC_ALL", "C", 1);
	execvp(command[0], (char *const *)command);
	dprintf(STDOUT_FILENO, "%s: %s\n", command[0], strerror(errno));
	_exit(127);
}

/* What a command of the system prints, errors and all; it is ended when it takes too long. */
static void add_command(struct doctor *d, const char *name, const char *const *command)
{
	int fds[2], status;
	char *text;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	fflush(NULL);
	pid = fork();
	if (!pid)
		run_child(fds[1], command);
	close(fds[1]);
	text = pid > 0 ? read_text(fds[0], COMMAND_MS) : NULL;
	close(fds[0]);
	if (pid > 0) {
		kill(pid, SIGKILL); /* it has ended, or takes too long */
		waitpid(pid, &status, 0);
	}
	mr_report_add(d->report, name, text ? text : "");
	free(text);
}

/* ----- what the daemon says ----- */

static void add_answer(struct doctor *d, const char *name, const char *path)
{
	char why[MR_CLIENT_WORDS], *text;
	json_t *answer;

	if (mr_client_try(d->cli, path, &answer, why) < 0) {
		strcat(why, "\n");
		mr_report_add(d->report, name, why);
		return;
	}
	text = json_dumps(answer, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
	mr_report_add(d->report, name, text ? text : "");
	free(text);
	json_decref(answer);
}

/* Connections by state, as many as there are: no list of a million in a report. */
static void add_connections(struct doctor *d)
{
	add_answer(d, "api/conns.json", "/v1/conns?limit=1000");
	add_answer(d, "api/conns-retransmitting.json", "/v1/conns?limit=1000&min_retransmits=1");
}

/* What happened to connections that had trouble, and what is noted of those that stand. */
static void add_traces(struct doctor *d)
{
	add_answer(d, "api/traces.json", "/v1/traces?events=yes");
	add_answer(d, "api/traces-live.json", "/v1/traces?live=yes&events=yes&limit=1000");
}

static void add_api(struct doctor *d)
{
	static const char *const pages[] = { "status", "lanes",	   "rules", "stats",
					     "config", "programs", "guard" };
	char name[64], path[64];

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		snprintf(name, sizeof(name), "api/%s.json", pages[i]);
		snprintf(path, sizeof(path), "/v1/%s", pages[i]);
		add_answer(d, name, path);
	}
	add_connections(d);
	add_traces(d);
}

/* ----- what the machine says ----- */

static void add_about(struct doctor *d)
{
	char text[1024], when[64], version[MR_VALUE_BYTES];
	struct utsname u;
	time_t now = time(NULL);
	struct tm tm;

	uname(&u);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	snprintf(text, sizeof(text),
		 "report made %s by uid %d\ndaemon: %s\nversion: %s\n"
		 "kernel: %s %s %s\nhost: %s\ncpus: %ld\npage size: %ld\n",
		 when, (int)getuid(), d->status ? "answers" : d->why,
		 mr_value_text_at(d->status, "version", version), u.release, u.version, u.machine,
		 u.nodename, sysconf(_SC_NPROCESSORS_ONLN), sysconf(_SC_PAGESIZE));
	mr_report_add(d->report, "about.txt", text);
}

static void add_system(struct doctor *d)
{
	static const struct {
		const char *name;
		const char *command[8];
	} commands[] = {
		{ "system/links.txt", { "ip", "-d", "-s", "link", "show" } },
		{ "system/addresses.txt", { "ip", "address", "show" } },
		{ "system/routes.txt", { "ip", "route", "show", "table", "all" } },
		{ "system/neighbours.txt", { "ip", "neighbour", "show" } },
		{ "system/programs.txt", { "bpftool", "prog", "show" } },
		{ "system/maps.txt", { "bpftool", "map", "show" } },
		{ "system/xdp.txt", { "bpftool", "net", "show" } },
		{ "system/nftables.txt", { "nft", "list", "ruleset" } },
		{ "system/processes.txt",
		  { "ps", "-eo", "pid,ppid,user,stat,psr,pcpu,rss,etime,comm", "--sort=-pcpu" } },
		{ "system/packages.txt",
		  { "dpkg", "-l", "*millrace*", "libbpf*", "libmicrohttpd*" } },
		{ "log/journal.txt",
		  { "journalctl", "-t", "millraced", "-n", "2000", "--no-pager", "-o",
		    "short-precise" } },
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		add_command(d, commands[i].name, commands[i].command);
	add_file(d, "system/os-release.txt", "/etc/os-release", 0);
	add_file(d, "system/memory.txt", "/proc/meminfo", 0);
	add_file(d, "system/interrupts.txt", "/proc/interrupts", 0);
	add_file(d, "system/softirqs.txt", "/proc/softirqs", 0);
	add_file(d, "system/softnet.txt", "/proc/net/softnet_stat", 0);
	add_file(d, "system/snmp.txt", "/proc/net/snmp", 0);
	add_file(d, "system/netstat.txt", "/proc/net/netstat", 0);
}

static void add_interface(struct doctor *d, const char *interface)
{
	static const struct {
		const char *name;
		const char *option;
	} asked[] = { { "driver", "-i" },
		      { "queues", "-l" },
		      { "features", "-k" },
		      { "rings", "-g" },
		      { "counters", "-S" } };
	char name[128];

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		snprintf(name, sizeof(name), "interfaces/%.32s/%s.txt", interface, asked[i].name);
		add_command(d, name,
			    (const char *const[]){ "ethtool", asked[i].option, interface, NULL });
	}
}

/* A name that stands in a path of the archive and on a command line. */
static bool is_interface_name(const char *s)
{
	return s && s[0] && s[0] != '-' && strlen(s) < 16 && !strchr(s, '/');
}

static void add_interfaces(struct doctor *d)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(d->status, "interfaces"), i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));

		if (is_interface_name(name))
			add_interface(d, name);
	}
}

/* The maps that count, which outlive the daemon; none of them holds an address. */
static void add_maps(struct doctor *d)
{
	static const char *const maps[] = { "mr1_abi",	   "mr1_cfg",	"mr1_beat",  "mr1_lane",
					    "mr1_verdict", "mr1_rstat", "mr1_kflows" };
	const char *pins = json_string_value(json_object_get(d->status, "pin_directory"));
	char name[64], path[256];

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		snprintf(name, sizeof(name), "maps/%s.txt", maps[i]);
		snprintf(path, sizeof(path), "%.200s/%s", pins ? pins : PIN_DIRECTORY, maps[i]);
		add_command(d, name,
			    (const char *const[]){ "bpftool", "map", "dump", "pinned", path,
						   NULL });
	}
}

static void add_all(struct doctor *d, const char *log)
{
	const char *config = json_string_value(json_object_get(d->status, "config"));

	add_about(d);
	add_api(d);
	add_file(d, "config.yaml", config ? config : CONFIG_FILE, 0);
	add_maps(d);
	add_interfaces(d);
	add_system(d);
	if (log)
		add_file(d, "log/file.txt", log, 1 << 20);
}

static struct mr_mask *new_mask(void)
{
	struct mr_mask *m = mr_mask_new();
	static struct utsname u;

	if (m && uname(&u) == 0)
		mr_mask_word(m, u.nodename, "this-host");
	return m;
}

int mr_cli_doctor(struct mr_cli *cli, const struct mr_arguments *a)
{
	const char *file = mr_arguments_find(a, "-o");
	bool masked = mr_arguments_find(a, "--mask");
	struct doctor d = { .cli = cli };
	struct mr_mask *mask = masked ? new_mask() : NULL;
	char name[64], why[256];
	time_t now = time(NULL);
	unsigned int n;
	struct tm tm;
	int err;

	strftime(name, sizeof(name), "millrace-doctor-%Y%m%dT%H%M%SZ.tar.gz", gmtime_r(&now, &tm));
	if (masked && !mask)
		return mr_cli_error(cli, "out of memory");
	d.report = mr_report_open(file ? file : name, mask, why);
	if (!d.report) {
		mr_mask_free(mask);
		return mr_cli_error(cli, "%s", why);
	}
	mr_client_try(cli, "/v1/status", &d.status, d.why);
	add_all(&d, mr_arguments_find(a, "--log"));
	err = mr_report_close(d.report, &n);
	if (!err)
		printf("%s: %u files%s%s%s\n", file ? file : name, n,
		       masked ? ", addresses masked" : "", d.status ? "" : "; the daemon: ", d.why);
	json_decref(d.status);
	mr_mask_free(mask);
	return err ? mr_cli_error(cli, "%s: cannot be written: %s", file ? file : name,
				  strerror(-err))
		   : MR_CLI_OK;
}
