/* SPDX-License-Identifier: MIT */
/*
 * System call filters made from tables. A process declares what it calls in one table: a row is a
 * call, what its arguments may be, and what it is for. The filter is made from it, and tests hold
 * docs/security.md to it. Whatever has no row ends the process.
 */
#ifndef MR_CALLS_H
#define MR_CALLS_H

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

struct mr_call {
	int number;
	uint32_t action;
	unsigned int has_argument; /* 0: any arguments; 1: one is compared */
	struct scmp_arg_cmp argument;
};

/* clang-format off */

/* A call with any arguments; @why is for people, as in the rows below. */
#define MR_CALL(name, why) \
	{ SCMP_SYS(name), SCMP_ACT_ALLOW, 0, { 0 } }

/* A call whose argument @n, counted from 0, is @value; or has @value in the bits of @mask. */
#define MR_CALL_IS(name, n, value, why) \
	{ SCMP_SYS(name), SCMP_ACT_ALLOW, 1, { n, SCMP_CMP_EQ, value, 0 } }
#define MR_CALL_IF(name, n, mask, value, why) \
	{ SCMP_SYS(name), SCMP_ACT_ALLOW, 1, { n, SCMP_CMP_MASKED_EQ, mask, value } }

/* A call whose argument @n is @value; otherwise it fails with @error and does nothing. Two rows. */
#define MR_CALL_OR_FAILS(name, n, value, error, why) \
	{ SCMP_SYS(name), SCMP_ACT_ALLOW, 1, { n, SCMP_CMP_EQ, value, 0 } }, \
	{ SCMP_SYS(name), SCMP_ACT_ERRNO(error), 1, { n, SCMP_CMP_NE, value, 0 } }

/* A call that libraries make and can do without: it fails with @error and does nothing. */
#define MR_CALL_FAILS(name, error, why) \
	{ SCMP_SYS(name), SCMP_ACT_ERRNO(error), 0, { 0 } }

/* clang-format on */

/**
 * mr_calls_add() - rows of a table into a filter that is being made
 *
 * Return: 0 or -errno of libseccomp
 */
static inline int mr_calls_add(scmp_filter_ctx filter, const struct mr_call *calls, size_t n)
{
	int err = 0;

	for (size_t i = 0; !err && i < n; i++)
		err = seccomp_rule_add_array(filter, calls[i].action, calls[i].number,
					     calls[i].has_argument, &calls[i].argument);
	return err;
}

/** mr_calls_begin() - a filter that ends the process at the first call, or NULL */
static inline scmp_filter_ctx mr_calls_begin(void)
{
	return seccomp_init(SCMP_ACT_KILL_PROCESS);
}

/**
 * mr_calls_load() - put the filter in force, for good
 * @err:	of mr_calls_add(): loaded only when 0
 *
 * Releases @filter either way. The caller has no_new_privs set, or libseccomp sets it.
 *
 * Return: @err, or 0 or -errno
 */
static inline int mr_calls_load(scmp_filter_ctx filter, int err)
{
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

#endif
