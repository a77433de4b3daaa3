/* SPDX-License-Identifier: MIT */
/* Does the control process go on? Looks of the parent, at times that the test says. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "user/daemon/pulse.h"

static struct mr_pulse p;
static pid_t child;
static uint64_t now;

/* A child that does nothing but wait; the test counts in its place. */
static int set_up(void **state)
{
	(void)state;
	now = 1;
	if (mr_pulse_make(&p) < 0)
		return -1;
	child = fork();
	if (child == 0) {
		for (;;)
			pause();
	}
	mr_pulse_begin(&p, now);
	return child > 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	mr_pulse_free(&p);
	return 0;
}

static const char *look(void)
{
	now += MR_PULSE_LOOK_MS * 1000000ull;
	return mr_pulse_look(&p, child, now);
}

static void stop(void)
{
	siginfo_t s;

	kill(child, SIGSTOP);
	assert_int_equal(waitid(P_PID, (id_t)child, &s, WSTOPPED | WNOWAIT), 0);
}

static void who_turns_is_never_replaced(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * MR_PULSE_SILENT_LOOKS; i++) {
		mr_pulse_beat(p.word);
		assert_null(look());
	}
}

static void who_is_silent_has_time(void **state)
{
	(void)state;
	for (int i = 1; i < MR_PULSE_SILENT_LOOKS; i++)
		assert_null(look());
	assert_non_null(look());
}

static void one_turn_begins_the_time_again(void **state)
{
	(void)state;
	for (int i = 1; i < MR_PULSE_SILENT_LOOKS; i++)
		assert_null(look());
	mr_pulse_beat(p.word);
	for (int i = 0; i < MR_PULSE_SILENT_LOOKS; i++)
		assert_null(look());
	assert_non_null(look());
}

static void who_was_stopped_has_little_of_it(void **state)
{
	(void)state;
	stop();
	for (int i = 1; i < MR_PULSE_STOPPED_LOOKS; i++)
		assert_null(look());
	assert_non_null(look());
}

static void who_goes_on_in_time_is_kept(void **state)
{
	siginfo_t s;

	(void)state;
	stop();
	assert_null(look());
	kill(child, SIGCONT);
	assert_int_equal(waitid(P_PID, (id_t)child, &s, WCONTINUED), 0);
	for (int i = 2; i < MR_PULSE_SILENT_LOOKS; i++)
		assert_null(look());
}

/* The parent was held up itself, or woke often for something else: neither is the child's silence.
 */
static void looks_count_not_time(void **state)
{
	(void)state;
	stop();
	now += 3600 * 1000000000ull;
	assert_null(mr_pulse_look(&p, child, now));
	for (int i = 0; i < 1000; i++)
		assert_null(mr_pulse_look(&p, child, now + (uint64_t)i));
	for (int i = 2; i < MR_PULSE_STOPPED_LOOKS; i++)
		assert_null(look());
	assert_non_null(look());
}

static void another_begins_anew(void **state)
{
	(void)state;
	stop();
	for (int i = 1; i < MR_PULSE_STOPPED_LOOKS; i++)
		assert_null(look());
	mr_pulse_begin(&p, now);
	assert_null(look());
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_turns_is_never_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_is_silent_has_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_turn_begins_the_time_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_was_stopped_has_little_of_it, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(who_goes_on_in_time_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(looks_count_not_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_begins_anew, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("pulse", tests, NULL, NULL);
}
