/* SPDX-License-Identifier: MIT */
#include "user/daemon/rule_change.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/daemon/bpf.h"
#include "user/daemon/estate.h"
#include "user/daemon/guard.h"
#include "user/daemon/lanes.h"
#include "user/daemon/log.h"
#include "user/daemon/ports.h"
#include "user/daemon/reload.h"
#include "user/daemon/request.h"

/* What the lanes are asked about. */
struct mr_rule_change {
	struct mr_settings next; /* rules and mode alone */
	struct mr_reserved *ports;
	uint32_t n_ports;
	struct mr_settings *file; /* whose guard comes with them, or NULL; then those of before */
};

/* ----- for the next daemon ----- */

static int lay_aside(struct mr_daemon *d, const struct mr_ruleset *f)
{
	int fd = mr_memory_make("mr-rules", sizeof(struct mr_rules_room)), err;
	struct mr_rules_room *room;

	if (fd < 0)
		return fd;
	room = mmap(NULL, sizeof(*room), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (room == MAP_FAILED) {
		err = -errno;
		close(fd);
		return err;
	}
	err = mr_ruleset_lay(room, &d->settings, f);
	munmap(room, sizeof(*room));
	if (err) {
		close(fd);
		return err;
	}
	mr_close_fd(&d->rules_kept);
	d->rules_kept = fd;
	mr_estate_rules_kept(d);
	return 0;
}

int mr_rules_keep(struct mr_daemon *d)
{
	struct mr_ruleset now;
	int err = mr_ruleset_copy(&now, &d->settings, true);

	if (!err)
		err = lay_aside(d, &now);
	mr_ruleset_free(&now);
	if (err)
		mr_warn("rules: not in keeping: %s; a millraced that takes over has those of the "
			"file",
			strerror(-err));
	return 0;
}

/* ----- from the daemon before us ----- */

static bool clashes(const struct mr_ruleset *f, const struct mr_settings_rule *r)
{
	for (unsigned int i = 0; i < f->n; i++)
		if (!strcmp(f->list[i].lane.name, r->lane.name) ||
		    mr_match_is_equal(&f->list[i].match, &r->match))
			return true;
	return false;
}

/*
 * The file is another one: it holds, and what was added keeps its place beside it. What does not is
 * named in @names, of MR_RELOAD_WORDS.
 */
static int add_to_file(struct mr_ruleset *live, const struct mr_ruleset *kept, char *names)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < kept->n; i++) {
		const struct mr_settings_rule *r = &kept->list[i];

		if (!r->added || !mr_rule_is_live(r))
			continue;
		if (!clashes(live, r)) {
			err = mr_ruleset_add(live, r);
			continue;
		}
		mr_warn("rule %s: added at run time, dropped: the file has a rule of its name or "
			"its match",
			r->lane.name);
		snprintf(names + strlen(names), MR_RELOAD_WORDS - strlen(names), "%s%s",
			 names[0] ? ", " : "", r->lane.name);
	}
	return err;
}

static int choose(struct mr_ruleset *live, const struct mr_settings *s,
		  const struct mr_ruleset *kept)
{
	char names[MR_RELOAD_WORDS] = "";
	int err;

	if (kept->file != s->rules_in_file) {
		mr_info("rules: the file's have changed since the millraced before us read them");
		err = mr_ruleset_copy(live, s, false);
		return err ? err : add_to_file(live, kept, names);
	}
	*live = (struct mr_ruleset){ .mode = kept->mode,
				     .last_filter = kept->last_filter,
				     .file = kept->file };
	for (unsigned int i = 0; i < kept->n; i++) {
		err = mr_rule_is_live(&kept->list[i]) ? mr_ruleset_add(live, &kept->list[i]) : 0;
		if (err)
			return err;
	}
	return 0;
}

static void say_adopted(const struct mr_ruleset *live)
{
	unsigned int added = 0;

	for (unsigned int i = 0; i < live->n; i++)
		added += live->list[i].added;
	mr_info("rules: taken up from the millraced before us, %u that steer, pass or drop, of "
		"which %u came while it ran",
		live->n, added);
}

static int adopt(struct mr_daemon *d, const struct mr_rules_room *room)
{
	struct mr_ruleset kept, live = { 0 };
	int err = mr_ruleset_take(room, &d->settings, true, &kept);

	if (!err)
		err = choose(&live, &d->settings, &kept);
	if (!err) {
		say_adopted(&live);
		err = mr_ruleset_number(&live, &kept);
	}
	if (!err)
		err = mr_ruleset_install(&d->settings, &live);
	mr_ruleset_free(&live);
	mr_ruleset_free(&kept);
	return err;
}

int mr_rules_adopt(struct mr_daemon *d)
{
	const struct mr_rules_room *room = MAP_FAILED;
	struct stat st;
	int fd, err = -ENOENT;

	if (!d->adopting)
		return 0;
	fd = mr_estate_take(d, MR_ESTATE_RULES);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(*room))
		room = mmap(NULL, sizeof(*room), PROT_READ, MAP_SHARED, fd, 0);
	if (room != MAP_FAILED) {
		err = adopt(d, room);
		munmap((void *)(uintptr_t)room, sizeof(*room));
	}
	mr_close_fd(&fd);
	if (err)
		mr_warn("rules: those of the millraced before us are not known: %s; the file's "
			"hold",
			strerror(-err));
	return 0;
}

/* ----- what lanes are told ----- */

static int tell(const struct mr_daemon *d, const struct mr_lane *l, int config)
{
	struct mr_rules_message m = {
		.head = { MR_WORKER_MAGIC, MR_MSG_RULES, sizeof(m) },
		.serial = d->rules_serial,
	};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct iovec iov = { &m, sizeof(m) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (l->pid <= 0 || l->socket < 0)
		return 0;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &config, sizeof(int));
	return sendmsg(l->socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int mr_rules_tell(struct mr_daemon *d, const struct mr_lane *l)
{
	return tell(d, l, l->config);
}

/* The settings' rules, in each lane's configuration. What is not told now is with its next worker.
 */
static void tell_all(struct mr_daemon *d)
{
	d->rules_serial++;
	for (uint32_t i = 0; i < d->n_lanes; i++) {
		struct mr_lane *l = &d->lanes[i];
		int err = l->absent ? 0 : mr_lane_configure(d, l);

		mr_close_fd(&l->next_config);
		if (!err && !l->absent) {
			mr_estate_config(d, l);
			err = tell(d, l, l->config);
		}
		if (err)
			mr_warn("%s queue %u: cannot be told of the rules: %s",
				mr_lane_link(d, l)->name, l->index, strerror(-err));
		d->error[0] = '\0';
	}
}

/* ----- a change ----- */

static void note(struct mr_daemon *d, enum mr_note_type type, int error, const char *words)
{
	struct mr_note n = {
		.type = type,
		.error = error,
		.status = d->change && !d->change->file ? 0 : 1, /* 1: no client asked */
		.cookie = d->rules_serial,
		.generation = d->bpf.generation.number,
	};

	snprintf(n.words, sizeof(n.words), "%s", words);
	mr_note_send(d, &n, -1);
}

static void refuse(struct mr_daemon *d, int error, const char *words)
{
	mr_warn("rules: a change was refused: %s", words);
	note(d, MR_NOTE_RULES, error, words);
	if (d->change && d->change->file)
		mr_reload_ended(d, words);
}

static void forget_change(struct mr_daemon *d)
{
	struct mr_rule_change *x = d->change;

	d->change = NULL;
	if (!x)
		return;
	mr_rules_free(x->next.rules, x->next.n_rules);
	mr_rules_free(x->next.filters, x->next.n_filters);
	if (x->file)
		mr_settings_free(x->file);
	free(x->file);
	free(x);
}

static const struct mr_settings_rule *at(const struct mr_settings *s, unsigned int i)
{
	static const struct mr_settings_rule none = { .lane.state = MR_RULE_FREE };

	return i < s->n_rules ? &s->rules[i] : &none;
}

static bool is_same(const struct mr_settings_rule *a, const struct mr_settings_rule *b)
{
	return !memcmp(&a->lane, &b->lane, sizeof(a->lane)) &&
	       mr_match_is_equal(&a->match, &b->match);
}

/* Is there a rule that the lanes do not know yet, or not as it is to be? */
static bool has_new(const struct mr_settings *now, const struct mr_settings *next)
{
	for (unsigned int i = 0; i < next->n_rules; i++)
		if (mr_rule_is_live(&next->rules[i]) && !is_same(at(now, i), &next->rules[i]))
			return true;
	return false;
}

static bool has_gone(const struct mr_settings *now, const struct mr_settings *next)
{
	for (unsigned int i = 0; i < now->n_rules; i++)
		if (now->rules[i].lane.state != at(next, i)->lane.state)
			return true;
	return false;
}

/* As they are now, and what is new with its number: as if it were about to leave. */
static int lay_ahead(struct mr_daemon *d, const struct mr_settings *next)
{
	struct mr_ruleset f;
	int err = mr_ruleset_copy(&f, &d->settings, true);

	for (unsigned int i = 0; !err && i < next->n_rules; i++) {
		if (!mr_rule_is_live(&next->rules[i]) ||
		    at(&d->settings, i)->lane.state != MR_RULE_FREE)
			continue;
		err = mr_ruleset_add(&f, &next->rules[i]);
		if (!err)
			mr_rule_leave(&f.list[f.n - 1]);
	}
	if (!err)
		err = lay_aside(d, &f);
	mr_ruleset_free(&f);
	return err;
}

/* The next rules, and behind them, still open, those that will leave: until XDP knows. */
static int describe_both(struct mr_daemon *d, struct mr_rule_change *x)
{
	struct mr_settings was = d->settings;
	int err = 0;

	for (unsigned int i = 0; i < x->next.n_rules; i++)
		if (mr_rule_is_live(at(&was, i)) && !mr_rule_is_live(&x->next.rules[i]))
			x->next.rules[i].lane.state = MR_RULE_LIVE;
	mr_ruleset_swap(&d->settings, &x->next);
	for (uint32_t i = 0; !err && i < d->n_lanes; i++) {
		struct mr_lane *l = &d->lanes[i];

		if (l->absent)
			continue;
		l->next_config = mr_lane_describe(d, l);
		err = l->next_config < 0 ? l->next_config : 0;
	}
	mr_ruleset_swap(&d->settings, &x->next);
	for (unsigned int i = 0; i < x->next.n_rules; i++)
		if (x->next.rules[i].match.priority == MR_PRIORITY_LEAVING)
			x->next.rules[i].lane.state = MR_RULE_LEAVING;
	return err;
}

static void close_next_configs(struct mr_daemon *d)
{
	for (uint32_t i = 0; i < d->n_lanes; i++)
		mr_close_fd(&d->lanes[i].next_config);
}

static int ask_lanes(struct mr_daemon *d, struct mr_rule_change *x)
{
	int err = lay_ahead(d, &x->next);

	d->rules_serial++;
	if (!err)
		err = describe_both(d, x);
	if (err) {
		close_next_configs(d);
		mr_rules_keep(d);
		return err;
	}
	for (uint32_t i = 0; i < d->n_lanes; i++)
		tell(d, &d->lanes[i], d->lanes[i].next_config); /* who is not told does not agree */
	note(d, MR_NOTE_RULES_ASKED, 0, "");
	return 0;
}

/* A rule that was not there has counted nothing yet, whoever had its number before. */
static void start_counters(const struct mr_daemon *d, const struct mr_settings *was)
{
	struct mr_count *zero = calloc(d->bpf.n_cpus, sizeof(*zero));
	const struct mr_settings *s = &d->settings;
	uint8_t had[MR_RULES_MOST] = { 0 };

	for (unsigned int i = 0; i < was->n_rules; i++)
		had[i] = was->rules[i].lane.state != MR_RULE_FREE;
	for (unsigned int i = 0; i < was->n_filters; i++)
		had[was->filters[i].lane.rule_id] = 1;
	for (unsigned int i = 0; zero && i < s->n_rules + s->n_filters; i++) {
		uint32_t id = i < s->n_rules ? i : s->filters[i - s->n_rules].lane.rule_id;

		if (!had[id])
			bpf_map_update_elem(d->bpf.map[MR_MAP_RSTAT], &id, zero, BPF_ANY);
	}
	free(zero);
}

/* Of what is no rule, what follows the file; the other way round it is back again. */
static void swap_guards(struct mr_settings *a, struct mr_settings *b)
{
	const struct mr_settings was = *a;

#define TAKE(to, from)                                                                             \
	(to)->guard = (from)->guard;                                                               \
	(to)->tcp.cc = (from)->tcp.cc;                                                             \
	(to)->tcp.ecn = (from)->tcp.ecn;                                                           \
	(to)->tcp.open.syn_answers = (from)->tcp.open.syn_answers;                                 \
	(to)->tcp.open.syn_at_percent = (from)->tcp.open.syn_at_percent;                           \
	(to)->tcp.open.syn_calm_s = (from)->tcp.open.syn_calm_s
	TAKE(a, b);
	TAKE(b, &was);
#undef TAKE
}

/* With the file's guard: its tables, and one word that makes them count. As publish(). */
static int publish_file(struct mr_daemon *d, struct mr_rule_change *x)
{
	int err;

	mr_ruleset_swap(&d->settings, &x->next);
	swap_guards(&d->settings, x->file);
	start_counters(d, &x->next);
	err = mr_guard_apply(d, d->guard_changes);
	if (!err)
		err = mr_rules_publish(d);
	if (!err)
		return 0;
	mr_ruleset_swap(&d->settings, &x->next);
	swap_guards(&d->settings, x->file);
	if (mr_guard_apply(d, d->guard_changes))
		mr_warn("guard: cannot be put back; millrace guard list shows what holds");
	return err;
}

/* Limits by rule go with its name; @x->next has what was then. 0, or -errno with all as before. */
static int publish(struct mr_daemon *d, struct mr_rule_change *x)
{
	size_t bytes = d->settings.guard.n_rules * sizeof(*d->settings.guard.rules);
	struct mr_settings_guard_rule *limits = malloc(bytes + 1);
	unsigned int n_limits = d->settings.guard.n_rules;
	int err;

	if (!limits)
		return -ENOMEM;
	if (bytes)
		memcpy(limits, d->settings.guard.rules, bytes);
	mr_ruleset_swap(&d->settings, &x->next);
	mr_ruleset_follow(&d->settings, &x->next);
	start_counters(d, &x->next);
	err = mr_guard_rules(d);
	if (!err)
		err = mr_rules_publish(d);
	if (err) {
		mr_ruleset_swap(&d->settings, &x->next);
		if (bytes)
			memcpy(d->settings.guard.rules, limits, bytes);
		d->settings.guard.n_rules = n_limits;
		mr_guard_rules(d);
	}
	free(limits);
	return err;
}

static int show(struct mr_daemon *d)
{
	struct mr_ruleset now;
	int err = mr_ruleset_copy(&now, &d->settings, true);

	if (!err)
		err = mr_ruleset_lay(d->rules_shown, &d->settings, &now);
	if (!err)
		err = lay_aside(d, &now);
	mr_ruleset_free(&now);
	return err;
}

/* The generation, then what follows from it. */
static int put_in_force(struct mr_daemon *d, struct mr_rule_change *x)
{
	bool lanes = has_new(&d->settings, &x->next) || has_gone(&d->settings, &x->next);
	int err = x->file ? publish_file(d, x) : publish(d, x);

	if (err)
		return err;
	mr_ports_take(d, x->ports, x->n_ports);
	x->ports = NULL;
	x->n_ports = 0;
	if (lanes || x->file)
		tell_all(d);
	err = show(d);
	if (err)
		mr_warn("rules: in force, but not in keeping: %s", strerror(-err));
	mr_info("rules: generation %u: %u that steer, %u that pass or drop, mode %s",
		d->bpf.generation.number, mr_rules_live(&d->settings), d->settings.n_filters,
		mr_mode_names()[d->settings.mode]);
	note(d, MR_NOTE_RULES, 0, "");
	if (x->file)
		mr_reload_ended(d, "");
	return 0;
}

static const char *reason(int err)
{
	if (err == -ENOSPC)
		return "there are too many; delete some";
	return err == -E2BIG ? "too many different combinations of them" : strerror(-err);
}

static void begin(struct mr_daemon *d, struct mr_rule_change *x)
{
	int err = mr_ports_prepare(d, &x->next, &x->ports, &x->n_ports);

	if (err) {
		refuse(d, err, d->error);
		d->error[0] = '\0';
		forget_change(d);
		return;
	}
	if (has_new(&d->settings, &x->next)) {
		err = ask_lanes(d, x);
		if (!err)
			return;
	} else {
		err = put_in_force(d, x);
	}
	if (err) {
		mr_ports_drop(x->ports, x->n_ports);
		refuse(d, err, reason(err));
	}
	forget_change(d);
}

/* d->change, with the rules that are to be and their numbers; @live is given. */
static int prepare(struct mr_daemon *d, struct mr_ruleset *live)
{
	struct mr_ruleset now = { 0 };
	int err;

	d->change = calloc(1, sizeof(*d->change));
	err = d->change ? mr_ruleset_copy(&now, &d->settings, true) : -ENOMEM;
	if (!err)
		err = mr_ruleset_number(live, &now);
	if (!err)
		err = mr_ruleset_install(&d->change->next, live);
	mr_ruleset_free(&now);
	mr_ruleset_free(live);
	return err;
}

void mr_rules_change(struct mr_daemon *d, struct mr_ruleset *live)
{
	int err;

	if (d->change) {
		mr_ruleset_free(live);
		note(d, MR_NOTE_RULES_BUSY, -EBUSY, "another change is being made; try again");
		return;
	}
	err = prepare(d, live);
	if (!err) {
		begin(d, d->change);
		return;
	}
	refuse(d, err, reason(err));
	forget_change(d);
}

/* All rules that are to be: the file's, and what was added beside them. */
static int live_with_file(const struct mr_daemon *d, const struct mr_settings *file,
			  struct mr_ruleset *live)
{
	struct mr_ruleset now = { 0 };
	int err = mr_ruleset_copy(live, file, false);

	if (!err)
		err = mr_ruleset_copy(&now, &d->settings, false);
	if (!err)
		err = add_to_file(live, &now, d->reload_shown->dropped);
	live->last_filter = d->settings.last_filter;
	mr_ruleset_free(&now);
	if (!err && live->n > MR_RULES_MOST)
		err = -ENOSPC;
	return err;
}

void mr_rules_reload(struct mr_daemon *d, struct mr_settings *file)
{
	struct mr_ruleset live = { 0 };
	int err = live_with_file(d, file, &live);

	if (!err)
		err = prepare(d, &live);
	mr_ruleset_free(&live);
	if (err) {
		mr_reload_ended(d, reason(err));
		mr_settings_free(file);
		free(file);
		forget_change(d);
		return;
	}
	mr_ruleset_follow_file(file, &d->change->next);
	d->change->file = file;
	begin(d, d->change);
}

void mr_rules_agreed(struct mr_daemon *d)
{
	int err = d->change ? put_in_force(d, d->change) : 0;

	if (err)
		mr_rules_refused(d, reason(err));
	else
		forget_change(d);
}

/* The lanes go back to what is in force. */
void mr_rules_refused(struct mr_daemon *d, const char *words)
{
	if (!d->change)
		return;
	mr_ports_drop(d->change->ports, d->change->n_ports);
	tell_all(d);
	mr_rules_keep(d);
	refuse(d, -ECANCELED, words);
	forget_change(d);
}

void mr_rules_ended(struct mr_daemon *d)
{
	struct mr_rule_change x = { 0 };
	struct mr_ruleset f;
	unsigned int n = 0;
	int err;

	if (d->change)
		return;
	err = mr_ruleset_copy(&f, &d->settings, true);
	for (unsigned int i = 0; !err && i < f.n;) {
		const struct mr_settings_rule *r = &f.list[i];
		uint32_t id = r->lane.rule_id;

		if (mr_rule_is_live(r) || !(d->rules_room->ended[id / 64] >> id % 64 & 1)) {
			i++;
			continue;
		}
		mr_match_free(&f.list[i].match);
		f.list[i] = f.list[--f.n];
		n++;
	}
	if (!err && n)
		err = mr_ruleset_install(&x.next, &f);
	if (!err && n)
		err = mr_ports_prepare(d, &x.next, &x.ports, &x.n_ports);
	if (!err && n)
		err = put_in_force(d, &x);
	mr_ports_drop(x.ports, x.n_ports);
	mr_rules_free(x.next.rules, x.next.n_rules);
	mr_rules_free(x.next.filters, x.next.n_filters);
	mr_ruleset_free(&f);
	if (err)
		mr_warn("rules: %u without connections are not forgotten: %s", n, reason(err));
}

void mr_rules_child_ended(struct mr_daemon *d)
{
	mr_rules_refused(d, "the control process ended");
}

void mr_rules_child_started(struct mr_daemon *d)
{
	for (unsigned int i = 0; i < d->settings.n_rules; i++)
		if (d->settings.rules[i].lane.state == MR_RULE_LEAVING) {
			tell_all(d);
			return;
		}
}

void mr_rules_end(struct mr_daemon *d)
{
	if (d->change)
		mr_ports_drop(d->change->ports, d->change->n_ports);
	forget_change(d);
	mr_close_fd(&d->rules_kept);
}
