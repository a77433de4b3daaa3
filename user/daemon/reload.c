/* SPDX-License-Identifier: MIT */
#include "user/daemon/reload.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "user/daemon/guard_changes.h"
#include "user/daemon/log.h"
#include "user/daemon/request.h"
#include "user/daemon/rule_change.h"

int mr_reload_room(struct mr_daemon *d)
{
	void *p = mmap(NULL, sizeof(*d->reload_shown), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return mr_fail(d, -ENOMEM, "out of memory");
	d->reload_shown = p;
	return 0;
}

static void tell(struct mr_daemon *d, int error)
{
	struct mr_note n = {
		.type = MR_NOTE_RELOADED,
		.error = error,
		.generation = d->bpf.generation.number,
	};

	mr_note_send(d, &n, -1);
}

void mr_reload_ended(struct mr_daemon *d, const char *words)
{
	struct mr_reload_shown *shown = d->reload_shown;

	snprintf(shown->error, sizeof(shown->error), "%s", words);
	shown->rules = mr_rules_live(&d->settings) + d->settings.n_filters;
	if (words[0]) {
		mr_error("reload: %s; nothing has changed", words);
		tell(d, -EINVAL);
		return;
	}
	mr_info("reload: %s is in force, %u rules", d->settings.file, shown->rules);
	if (shown->left[0])
		mr_warn("reload: left as they are until a restart: %s", shown->left);
	tell(d, 0);
	d->renew_child = true; /* it knows the file as it was */
}

static int refuse(char *words, const struct mr_settings *file, const struct mr_settings_rule *r,
		  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static int refuse(char *words, const struct mr_settings *file, const struct mr_settings_rule *r,
		  const char *fmt, ...)
{
	char why[MR_CONFIG_ERROR_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	snprintf(words, MR_CONFIG_ERROR_BYTES, "%.200s:%u: rule %s: %.240s", file->file, r->line,
		 r->lane.name, why);
	return -EINVAL;
}

static int directory_of(const struct mr_daemon *d, const char *path)
{
	for (unsigned int i = 0; i < d->settings.n_directories; i++)
		if (!strcmp(d->settings.directories[i], path))
			return (int)i;
	return -1;
}

/* What a rule of the file needs that is not of those that change: it must be there already. */
static int fit(const struct mr_daemon *d, const struct mr_settings *file,
	       struct mr_settings_rule *r, char *words)
{
	const struct mr_settings_lanes *l = &d->settings.lanes;
	const struct mr_match *m = &r->match;
	bool there = !m->interface[0];

	for (unsigned int i = 0; i < d->settings.n_interfaces; i++)
		there |= !strcmp(d->settings.interfaces[i].name, m->interface);
	if (!there)
		return refuse(words, file, r, "interface %s has no lanes yet; restart millraced",
			      m->interface);
	if (r->action != MR_ACTION_STEER)
		return 0;
	if (l->port_hi && m->port_lo <= l->port_hi && m->port_hi >= l->port_lo)
		return refuse(words, file, r,
			      "port %u is in the lanes.ports in force; restart millraced",
			      m->port_lo);
	if (r->lane.directory >= 0) {
		const char *path = file->directories[r->lane.directory];

		r->lane.directory = directory_of(d, path);
		if (r->lane.directory < 0)
			return refuse(words, file, r,
				      "directory %.160s is new to the lanes; restart millraced",
				      path);
	}
	return 0;
}

static int fit_all(const struct mr_daemon *d, struct mr_settings *file, char *words)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < file->n_rules; i++)
		err = fit(d, file, &file->rules[i], words);
	for (unsigned int i = 0; !err && i < file->n_filters; i++)
		err = fit(d, file, &file->filters[i], words);
	return err;
}

/* Does the guard of the file take what was changed at run time? */
static int fit_guard(const struct mr_daemon *d, const struct mr_settings *file, char *words)
{
	struct mr_settings_guard merged;
	int err = mr_guard_merge(file, d->guard_changes, &merged);

	if (!err)
		mr_guard_fini(&merged);
	else
		snprintf(words, MR_CONFIG_ERROR_BYTES, "%s",
			 err == -E2BIG ? "guard: what was changed at run time does not fit beside "
					 "the file's; delete some, or millrace guard reset"
				       : "out of memory");
	return err;
}

static void drop(struct mr_settings *file)
{
	if (file)
		mr_settings_free(file);
	free(file);
}

void mr_reload(struct mr_daemon *d)
{
	struct mr_settings *file = calloc(1, sizeof(*file));
	char words[MR_CONFIG_ERROR_BYTES] = "out of memory";
	int err = -ENOMEM;

	memset(d->reload_shown, 0, sizeof(*d->reload_shown));
	if (d->change)
		snprintf(words, sizeof(words), "the rules are being changed; try again");
	else if (file)
		err = mr_settings_load(d->settings.file, file, words);
	if (!err)
		err = fit_all(d, file, words);
	if (!err)
		err = fit_guard(d, file, words);
	if (err) {
		drop(file);
		mr_reload_ended(d, words);
		return;
	}
	mr_reload_differences(&d->settings, file, d->reload_shown->left);
	mr_rules_reload(d, file);
}

void mr_reload_tick(struct mr_daemon *d)
{
	if (!d->reload_wanted || d->change || d->renew_child || d->child <= 0)
		return;
	d->reload_wanted = false;
	mr_reload(d);
}
