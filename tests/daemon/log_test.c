/* SPDX-License-Identifier: MIT */
/*
 * The daemon's log on standard error: a line a record, the journal's prefix when it is the
 * journal, and a limit on what others can make it write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/daemon/log.h"

enum {
	TEXT_BYTES = 1 << 18,
};

static time_t now;

int __wrap_clock_gettime(clockid_t id, struct timespec *t);

/* The log's clock is the test's. */
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	(void)id;
	*t = (struct timespec){ .tv_sec = now };
	return 0;
}

/* Standard error is a file now; returns what it was. */
static int divert(FILE *to)
{
	int before = dup(STDERR_FILENO);

	assert_true(before >= 0);
	assert_true(dup2(fileno(to), STDERR_FILENO) >= 0);
	return before;
}

static size_t read_back(FILE *from, int before, char text[TEXT_BYTES])
{
	size_t n;

	dup2(before, STDERR_FILENO);
	close(before);
	rewind(from);
	n = fread(text, 1, TEXT_BYTES - 1, from);
	text[n] = '\0';
	fclose(from);
	return n;
}

static unsigned int lines_of(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void record_is_one_line(void **state)
{
	static char text[TEXT_BYTES];
	FILE *f = tmpfile();
	int before = divert(f);

	(void)state;
	unsetenv("JOURNAL_STREAM");
	mr_log_init(false);
	mr_warn("eth0 queue 3: %s", "two\nlines\x1b[2J");
	mr_debug("not without -d");
	read_back(f, before, text);
	assert_string_equal(text, "millraced: eth0 queue 3: two lines [2J\n");
}

static void journal_gets_priorities(void **state)
{
	static char text[TEXT_BYTES];
	FILE *f = tmpfile();
	char stream[64];
	struct stat st;
	int before;

	(void)state;
	assert_int_equal(fstat(fileno(f), &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	before = divert(f);
	mr_log_init(true);
	mr_error("a");
	mr_warn("b");
	mr_info("c");
	mr_debug("d");
	read_back(f, before, text);
	assert_string_equal(text, "<3>a\n<4>b\n<6>c\n<7>d\n");
}

/* A shell of a service hands the variable on to what has another standard error. */
static void inherited_variable_is_no_journal(void **state)
{
	static const char *const streams[] = { "1:1", "", "x", "1:", "8:1:1" };

	(void)state;
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		static char text[TEXT_BYTES];
		FILE *f = tmpfile();
		int before = divert(f);

		setenv("JOURNAL_STREAM", streams[i], 1);
		mr_log_init(false);
		mr_info("a");
		read_back(f, before, text);
		assert_string_equal(text, "millraced: a\n");
	}
}

static void say(unsigned int n)
{
	while (n--)
		mr_warn("eth0 queue 0: a message that makes no sense");
}

static void flood_of_one_kind_is_counted_not_written(void **state)
{
	static char text[TEXT_BYTES];
	FILE *f = tmpfile();
	int before = divert(f);

	(void)state;
	unsetenv("JOURNAL_STREAM");
	mr_log_init(false);
	now = 1000;
	say(1500);
	mr_info("another kind");
	now = 1010;
	say(1);
	now = 1021;
	say(1);
	read_back(f, before, text);
	assert_int_equal(lines_of(text), 200 + 1 + 2 + 1);
	assert_non_null(strstr(text, "another kind\n"));
	assert_non_null(
		strstr(text, "millraced: log: 1300 lines like the next one were left out\n"));
}

static void errors_are_always_written(void **state)
{
	static char text[TEXT_BYTES];
	FILE *f = tmpfile();
	int before = divert(f);

	(void)state;
	mr_log_init(false);
	for (int i = 0; i < 1000; i++)
		mr_error("cannot do our work");
	read_back(f, before, text);
	assert_int_equal(lines_of(text), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_is_one_line),
		cmocka_unit_test(journal_gets_priorities),
		cmocka_unit_test(inherited_variable_is_no_journal),
		cmocka_unit_test(flood_of_one_kind_is_counted_not_written),
		cmocka_unit_test(errors_are_always_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
