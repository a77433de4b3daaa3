// SPDX-License-Identifier: MIT
/*
 * Settings of the kernel, for the lane. Scripts set a kernel up by sysctl, in commands that
 * packetdrill runs after it has loaded the object and before the first call. What stands there in
 * other than Linux's own defaults is taken over when the first socket is made.
 */
#include "tests/script/so/so.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/mr_cc.h"
#include "user/lane/internal.h"

enum { LINUX_RMEM_MAX = 6 << 20, LINUX_WMEM_MAX = 4 << 20, LINUX_FIN_TIMEOUT_S = 60 };

/* The text of a setting below net.ipv4, without its end of line; false: there is none. */
static bool read_text(const char *name, char *text, size_t size)
{
	char path[96] = "/proc/sys/net/ipv4/";
	ssize_t n = -1;
	int fd;

	strncat(path, name, sizeof(path) - strlen(path) - 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, size - 1);
		close(fd);
	}
	if (n < 0)
		return false;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return true;
}

/* Word @at, from 0, of a setting as a number; @none when it is not there. */
static long read_number(const char *name, int at, long none)
{
	char text[128], *p = text;
	long v = none;

	if (!read_text(name, text, sizeof(text)))
		return none;
	for (int i = 0; i <= at; i++) {
		char *end;

		v = strtol(p, &end, 10);
		if (end == p)
			return none;
		p = end;
	}
	return v;
}

static void take_buffers(struct so *s)
{
	long rmem = read_number("tcp_rmem", 2, LINUX_RMEM_MAX);
	long wmem = read_number("tcp_wmem", 2, LINUX_WMEM_MAX);

	if (rmem != LINUX_RMEM_MAX && rmem > 0) {
		s->config.receive_buffer = (uint32_t)rmem;
		s->lane->tcp_config.receive_buffer = (uint32_t)rmem;
	}
	if (wmem != LINUX_WMEM_MAX && wmem > 0)
		s->sndbuf = (uint32_t)wmem;
}

/* 0: neither asks nor agrees; 1: both; 2, the default: agrees. More is Accurate ECN. */
static void take_ecn(struct so *s)
{
	static const char *const modes[] = { "off", "on", "passive" };
	long mode = read_number("tcp_ecn", 0, 2);

	for (uint8_t i = 0; mode >= 0 && mode < 2 && mr_ecn_names()[i]; i++)
		if (strcmp(mr_ecn_names()[i], modes[mode]) == 0)
			s->ecn = i;
}

static void take_congestion(struct so *s)
{
	char text[64];

	if (!read_text("tcp_congestion_control", text, sizeof(text)))
		return;
	if (strcmp(text, "reno") == 0)
		strcpy(text, "newreno");
	for (uint8_t i = 0; mr_cc_names()[i]; i++)
		if (strcmp(mr_cc_names()[i], text) == 0)
			s->cc = i;
}

static void take_options(struct so *s)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} options[] = {
		{ "tcp_timestamps", MR_CONN_TIMESTAMPS },
		{ "tcp_sack", MR_CONN_SACK },
		{ "tcp_window_scaling", MR_CONN_WINDOW_SCALE },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (read_number(options[i].name, 0, 1) == 0)
			s->lane->tcp_config.options_off |= options[i].flag;
}

void so_take_sysctls(struct so *s)
{
	long cookies = read_number("tcp_syncookies", 0, 1);
	long fin_timeout = read_number("tcp_fin_timeout", 0, LINUX_FIN_TIMEOUT_S);

	if (!s->sysctls)
		return;
	s->sysctls = false;
	take_buffers(s);
	take_ecn(s);
	take_congestion(s);
	take_options(s);
	if (cookies == 0)
		s->config.open.syn_cookies = MR_SYN_COOKIES_OFF;
	if (cookies == 2)
		s->config.open.syn_cookies = MR_SYN_COOKIES_ALWAYS;
	if (fin_timeout != LINUX_FIN_TIMEOUT_S && fin_timeout > 0)
		s->lane->tcp_config.fin_wait_ms = (uint32_t)fin_timeout * 1000;
	for (unsigned int i = 0; i < SO_LISTENERS; i++) {
		s->rule[i].cc = s->cc;
		s->rule[i].ecn = s->ecn;
	}
}
