/* SPDX-License-Identifier: MIT */
/* Words and numbers of the table of close reasons, for applications. */
#include "millrace/app.h"

#include <errno.h>

#include <linux/types.h>
#include "shared/mr_lane.h"

int mr_close_errno(int reason)
{
	static const int errors[] = {
#define R(name, field, error, text) [MR_CLOSE_##name] = error,
		MR_CLOSE_REASONS(R)
#undef R
	};

	return reason >= 0 && reason < MR_CLOSE_REASON_COUNT ? errors[reason] : EIO;
}

const char *mr_close_reason_text(int reason)
{
	static const char *const texts[] = {
#define R(name, field, error, text) [MR_CLOSE_##name] = text,
		MR_CLOSE_REASONS(R)
#undef R
	};

	return reason >= 0 && reason < MR_CLOSE_REASON_COUNT ? texts[reason] : "unknown reason";
}
