// SPDX-License-Identifier: MIT
/*
 * Settings of the kernel, for the lane. Scripts set a kernel up by sysctl, in commands that
 * packetdrill runs after it has loaded the object and before the first call. What stands there in
 * other than Linux's own defaults is taken over when the first socket is made. Our own runner runs
 * no commands: it gives what they would set as so_flags, and the same table says what they mean.
 */
#include "tests/script/so/so.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/lane/internal.h"

enum {
	TEXT_BYTES = 128,
};

struct sysctl {
	const char *name; /* below net.ipv4 */
	const char *flag; /* of so_flags */
	const char *usual;
	unsigned int word;	     /* of the value, from 0: the one that counts */
	unsigned int factor;	     /* numbers, not 0: the flag's unit */
	const char *const values[7]; /* what 0, 1, 2 are called; more is left alone */
};

/* clang-format off */
static const struct sysctl table[] = {
	{ "tcp_rmem", "rcvbuf", "6291456", .word = 2 },
	{ "tcp_wmem", "sndbuf", "4194304", .word = 2 },
	{ "tcp_ecn", "ecn", "2", .values = { "off", "on", "passive", "accurate", "accurate_on", "accurate_passive" } },
	{ "tcp_congestion_control", "cc", "cubic", .word = 0 },
	{ "tcp_syncookies", "syn_cookies", "1", .values = { "off", "auto", "always" } },
	{ "tcp_fin_timeout", "fin_wait_ms", "60", .factor = 1000 },
	{ "tcp_invalid_ratelimit", "answer_ms", "500", .word = 0 },
	{ "tcp_syn_linear_timeouts", "syn_linear", "4", .word = 0 },
	{ "tcp_ecn_option", "ecn_option", "2", .word = 0 },
	{ "tcp_ecn_fallback", "ecn_fallback", "1", .word = 0 },
	{ "tcp_timestamps", "timestamps", "1", .word = 0 },
	{ "tcp_sack", "sack", "1", .word = 0 },
	{ "tcp_window_scaling", "wscale", "1", .word = 0 },
};
/* clang-format on */

enum { N_TABLE = sizeof(table) / sizeof(table[0]) };

/* The text of a setting below net.ipv4; false: there is none. */
static bool read_text(const char *name, char *text)
{
	char path[96];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, TEXT_BYTES - 1);
		close(fd);
	}
	text[n < 0 ? 0 : n] = '\0';
	return n >= 0;
}

/* Cuts @text down to the word that counts; NULL: it has fewer. */
static const char *cut(const struct sysctl *y, char *text)
{
	char *rest, *word = strtok_r(text, " \t\n", &rest);

	for (unsigned int i = 0; word && i < y->word; i++)
		word = strtok_r(NULL, " \t\n", &rest);
	return word;
}

/* What a lane cannot have stays as it is, as for packetdrill, which does not ask either. */
static void take(struct so *s, const struct sysctl *y, const char *word)
{
	char number[32];
	char *end;
	unsigned long n = strtoul(word, &end, 10);

	if (y->values[0]) {
		if (*end || n >= 7 || !y->values[n])
			return;
		word = y->values[n];
	} else if (y->factor) {
		if (*end || !n || n > UINT32_MAX / y->factor)
			return;
		snprintf(number, sizeof(number), "%lu", n * y->factor);
		word = number;
	} else if (strcmp(word, "reno") == 0) {
		word = "newreno";
	}
	so_set(s, y->flag, word);
}

bool so_set_sysctl(struct so *s, const char *name, const char *value)
{
	static const char prefix[] = "net.ipv4.";
	char text[TEXT_BYTES];

	if (strncmp(name, prefix, strlen(prefix)) != 0)
		return false;
	for (unsigned int i = 0; i < N_TABLE; i++) {
		const char *word;

		if (strcmp(table[i].name, name + strlen(prefix)) != 0)
			continue;
		snprintf(text, sizeof(text), "%s", value);
		word = cut(&table[i], text);
		if (word)
			take(s, &table[i], word);
	}
	return true;
}

/* What is the lane's alone, and no configuration's. */
void so_configure_tcp(struct so *s)
{
	s->lane->tcp_config.options_off = s->options_off;
	s->lane->tcp_config.answer_ms = s->answer_ms;
	s->lane->tcp_config.syn_linear = s->syn_linear;
	s->lane->tcp_config.no_ecn_option = s->no_ecn_option;
	s->lane->tcp_config.keep_ect = s->keep_ect;
}

void so_take_sysctls(struct so *s)
{
	char text[TEXT_BYTES];

	if (!s->sysctls)
		return;
	s->sysctls = false;
	for (unsigned int i = 0; i < N_TABLE; i++) {
		const char *word = read_text(table[i].name, text) ? cut(&table[i], text) : NULL;

		if (word && strcmp(word, table[i].usual) != 0)
			take(s, &table[i], word);
	}
	s->lane->tcp_config.receive_buffer = s->config.receive_buffer;
	s->lane->tcp_config.fin_wait_ms = s->config.fin_wait_ms;
	so_configure_tcp(s);
	for (unsigned int i = 0; i < SO_LISTENERS; i++) {
		s->rule[i].cc = s->cc;
		s->rule[i].ecn = s->ecn;
	}
}
