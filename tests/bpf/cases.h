/* SPDX-License-Identifier: MIT */
/* Groups of tests for the section in use (fixture.h); each returns how many of them failed. */
#ifndef MR_TEST_CASES_H
#define MR_TEST_CASES_H

int run_parse_cases(const char *name);
int run_buffer_cases(const char *name); /* of xdp.frags only */
int run_icmp_cases(const char *name);
int run_rule_cases(const char *name);
int run_lane_cases(const char *name);
int run_tap_cases(const char *name);
int run_guard_cases(const char *name);

#endif
