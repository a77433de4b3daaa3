/* SPDX-License-Identifier: MIT */
#include "user/daemon/filters.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "user/daemon/bpf.h"

/* What lies in the shared memory; in list[], pointers mean nothing, numbers of prefixes do. */
struct mr_filters_room {
	uint32_t mode;
	uint32_t n;
	struct mr_settings_rule list[MR_RULES_MOST];
	struct mr_net prefix[MR_PREFIXES_MOST];
};

int mr_filters_room(struct mr_daemon *d)
{
	/* Pages that nobody writes cost nothing. */
	void *p = mmap(NULL, sizeof(struct mr_filters_room), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return mr_fail(d, -errno, "rules: no memory to change them: %s", strerror(errno));
	d->filters_room = p;
	return 0;
}

void mr_filters_free(struct mr_filters *f)
{
	mr_rules_free(f->list, f->n);
	*f = (struct mr_filters){ 0 };
}

static int copy_prefixes(struct mr_prefixes *to, const struct mr_net *list, uint32_t n)
{
	to->list = NULL;
	to->room = to->n = 0;
	if (!n)
		return 0;
	to->list = malloc(n * sizeof(*list));
	if (!to->list)
		return -ENOMEM;
	memcpy(to->list, list, n * sizeof(*list));
	to->room = to->n = n;
	return 0;
}

int mr_filters_copy(struct mr_filters *f, const struct mr_settings *s)
{
	int err = 0;

	*f = (struct mr_filters){ .mode = s->mode };
	f->list = calloc(s->n_filters + 1, sizeof(*f->list));
	if (!f->list)
		return -ENOMEM;
	for (unsigned int i = 0; !err && i < s->n_filters; i++) {
		const struct mr_match *from = &s->filters[i].match;
		struct mr_match *to = &f->list[i].match;

		f->list[i] = s->filters[i];
		f->n++;
		err = copy_prefixes(&to->source, from->source.list, from->source.n);
		if (err)
			to->destination = (struct mr_prefixes){ 0 };
		else
			err = copy_prefixes(&to->destination, from->destination.list,
					    from->destination.n);
	}
	if (err)
		mr_filters_free(f);
	return err;
}

void mr_filters_adopt(struct mr_settings *s, struct mr_filters *f)
{
	mr_rules_free(s->filters, s->n_filters);
	s->filters = f->list;
	s->n_filters = f->n;
	s->mode = f->mode;
	*f = (struct mr_filters){ .last_id = f->last_id };
}

/* ----- the child's side ----- */

static bool lay_prefixes(struct mr_filters_room *room, const struct mr_prefixes *s, uint32_t *at)
{
	if (s->n > MR_PREFIXES_MOST - *at)
		return false;
	if (s->n)
		memcpy(room->prefix + *at, s->list, s->n * sizeof(*s->list));
	*at += s->n;
	return true;
}

int mr_filters_lay(struct mr_daemon *d, const struct mr_filters *f)
{
	struct mr_filters_room *room = d->filters_room;
	uint32_t at = 0;

	if (f->n + d->settings.n_rules > MR_RULES_MOST)
		return -E2BIG;
	room->mode = f->mode;
	room->n = f->n;
	for (unsigned int i = 0; i < f->n; i++) {
		room->list[i] = f->list[i];
		if (!lay_prefixes(room, &f->list[i].match.source, &at) ||
		    !lay_prefixes(room, &f->list[i].match.destination, &at))
			return -E2BIG;
	}
	return 0;
}

/* ----- the parent's ----- */

/* One with bits behind its length would lie in its equals, deeper than an address has bits. */
static bool are_sound(const struct mr_prefixes *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (!mr_net_is_sound(&s->list[i]))
			return false;
	return true;
}

/* The copy is finished again, so that whatever was laid is sorted. */
static int take_prefixes(const struct mr_filters_room *room, struct mr_prefixes *s, uint32_t *at)
{
	uint32_t n = s->n;
	int err;

	if (n > MR_PREFIXES_MOST - *at)
		err = -EINVAL;
	else
		err = copy_prefixes(s, room->prefix + *at, n);
	if (err) {
		*s = (struct mr_prefixes){ 0 };
		return err;
	}
	*at += n;
	if (!are_sound(s))
		return -EINVAL;
	mr_prefixes_finish(s);
	return 0;
}

static bool is_terminated(const char *text, size_t bytes)
{
	return memchr(text, '\0', bytes) != NULL;
}

static bool is_sane(const struct mr_daemon *d, const struct mr_settings_rule *r)
{
	const struct mr_match *m = &r->match;

	return (r->action == MR_ACTION_PASS || r->action == MR_ACTION_DROP) &&
	       is_terminated(r->lane.name, sizeof(r->lane.name)) &&
	       is_terminated(r->comment, sizeof(r->comment)) &&
	       is_terminated(m->interface, sizeof(m->interface)) && m->port_lo <= m->port_hi &&
	       m->priority <= MR_PRIORITY_MOST &&
	       (!m->protocol || m->protocol == IPPROTO_TCP || m->protocol == IPPROTO_UDP) &&
	       r->lane.rule_id >= d->settings.n_rules + MR_MAX_DYNAMIC &&
	       r->lane.rule_id < MR_MAX_RULES;
}

static int take_all(const struct mr_daemon *d, struct mr_filters *f)
{
	const struct mr_filters_room *room = d->filters_room;
	uint32_t n = *(const volatile uint32_t *)&room->n;
	uint32_t mode = *(const volatile uint32_t *)&room->mode, at = 0;
	uint8_t used[MR_MAX_RULES] = { 0 };
	int err = 0;

	*f = (struct mr_filters){ .mode = (enum mr_mode)mode };
	if (n > MR_RULES_MOST - d->settings.n_rules || mode > MR_MODE_BYPASS)
		return -EINVAL;
	f->list = calloc(n + 1, sizeof(*f->list));
	if (!f->list)
		return -ENOMEM;
	for (uint32_t i = 0; !err && i < n; i++) {
		struct mr_settings_rule *r = &f->list[i];
		struct mr_match *m = &r->match;

		*r = room->list[i];
		m->source.list = m->destination.list = NULL;
		f->n++;
		err = is_sane(d, r) && !used[r->lane.rule_id]++ ? 0 : -EINVAL;
		if (!err)
			err = take_prefixes(room, &m->source, &at);
		if (!err)
			err = take_prefixes(room, &m->destination, &at);
	}
	return err;
}

/* A filter that was not there has counted nothing yet, whoever had its id before. */
static void start_counters(const struct mr_daemon *d, const struct mr_filters *before)
{
	struct mr_count *zero = calloc(d->bpf.n_cpus, sizeof(*zero));
	uint8_t had[MR_MAX_RULES] = { 0 };

	for (unsigned int i = 0; i < before->n; i++)
		had[before->list[i].lane.rule_id] = 1;
	for (unsigned int i = 0; zero && i < d->settings.n_filters; i++) {
		uint32_t id = d->settings.filters[i].lane.rule_id;

		if (!had[id])
			bpf_map_update_elem(d->bpf.map[MR_MAP_RSTAT], &id, zero, BPF_ANY);
	}
	free(zero);
}

static void swap(struct mr_settings *s, struct mr_filters *f)
{
	struct mr_filters was = { .list = s->filters, .n = s->n_filters, .mode = s->mode };

	s->filters = f->list;
	s->n_filters = f->n;
	s->mode = f->mode;
	*f = was;
}

int mr_filters_take(struct mr_daemon *d)
{
	struct mr_filters f;
	int err = take_all(d, &f);

	if (!err) {
		swap(&d->settings, &f);
		start_counters(d, &f);
		err = mr_rules_publish(d);
		if (err)
			swap(&d->settings, &f);
	}
	mr_filters_free(&f);
	return err;
}
