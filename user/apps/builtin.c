/* SPDX-License-Identifier: MIT */
#include "user/apps/apps.h"

/* clang-format off */
static const struct mr_app *const apps[] = {
	&mr_app_echo,
	&mr_app_sink,
	&mr_app_store,
	&mr_app_echo_bytes,
	&mr_app_discard_bytes,
	&mr_app_source_bytes,
	&mr_app_drill,
};
/* clang-format on */

const struct mr_app *const *mr_builtin_apps(unsigned int *n)
{
	*n = sizeof(apps) / sizeof(apps[0]);
	return apps;
}
