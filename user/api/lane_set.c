/* SPDX-License-Identifier: MIT */
/*
 * Sets over channels, with the semantics of epoll(7): what a socket is ready for is computed from
 * its fields, as the kernel's poll does; a wake-up puts an entry on the list of its set; waiting
 * looks at those on the list, tells what is ready, and puts level-triggered ones on it again.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "user/api/lane.h"

enum {
	ALWAYS = EPOLLERR | EPOLLHUP,
};

#define MODES (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP)
/* what may stand beside EPOLLEXCLUSIVE */
#define EXCLUSIVE_WITH (EPOLLIN | EPOLLOUT | ALWAYS | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

/* As tcp_poll() of Linux has it. */
uint32_t lane_mask(struct lane_sock *s)
{
	bool shut_read = s->eof || s->shut_read || s->state == LANE_GONE;
	uint32_t mask = s->error ? EPOLLERR : 0;

	if (s->state == LANE_LISTENS)
		return s->queue ? EPOLLIN | EPOLLRDNORM : 0;
	if (s->state == LANE_FRESH)
		return mask | EPOLLOUT | EPOLLWRNORM | EPOLLHUP;
	if (s->state == LANE_CONNECTING)
		return mask;
	if (s->state == LANE_GONE || (shut_read && s->shut_write))
		mask |= EPOLLHUP;
	if (shut_read)
		mask |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
	if (s->unread)
		mask |= EPOLLIN | EPOLLRDNORM;
	if (s->shut_write || s->state == LANE_GONE || lane_is_writable(s))
		mask |= EPOLLOUT | EPOLLWRNORM;
	else
		s->want_space = true; /* whoever looked is told when there is room */
	return mask;
}

/* ----- the list of those that may be ready ----- */

static void unready(struct lane_entry *e)
{
	struct lane_set *set = e->set;

	if (!e->ready)
		return;
	e->ready = false;
	if (e->prev_ready)
		e->prev_ready->next_ready = e->next_ready;
	else
		set->ready = e->next_ready;
	if (e->next_ready)
		e->next_ready->prev_ready = e->prev_ready;
	else
		set->ready_last = e->prev_ready;
}

static void put_ready(struct lane_entry *e)
{
	struct lane_set *set = e->set;

	if (e->ready)
		return;
	e->ready = true;
	e->next_ready = NULL;
	e->prev_ready = set->ready_last;
	if (set->ready_last)
		set->ready_last->next_ready = e;
	else
		set->ready = e;
	set->ready_last = e;
}

/* mr_set_fd() is readable while the list is not empty. */
static void ring_bell(struct lane_set *set, bool on)
{
	uint64_t n = 1;
	ssize_t done;

	if (set->bell < 0 || set->rung == on)
		return;
	done = on ? write(set->bell, &n, sizeof(n)) : read(set->bell, &n, sizeof(n));
	set->rung = done > 0 ? on : set->rung;
}

void lane_entry_wake(struct lane_entry *e)
{
	if (!(e->event.events & ~MODES)) /* disarmed */
		return;
	put_ready(e);
	ring_bell(e->set, true);
	lane_wake_one(lane_of(e->set->set.context), e->set);
}

static void look(struct lane_entry *e)
{
	if (lane_mask(e->s) & e->event.events)
		lane_wake(e->s, 0);
}

/* ----- changes ----- */

static struct lane_entry *find(const struct lane_set *set, const struct lane_sock *s)
{
	struct lane_entry *e = s->entries;

	while (e && e->set != set)
		e = e->next_of_sock;
	return e;
}

static void take_out(struct lane_entry *e)
{
	struct lane_entry **at = &e->s->entries;

	unready(e);
	while (*at != e)
		at = &(*at)->next_of_sock;
	*at = e->next_of_sock;
	at = &e->set->entries;
	while (*at != e)
		at = &(*at)->next_of_set;
	*at = e->next_of_set;
	free(e);
}

void lane_entries_drop(struct lane_sock *s)
{
	while (s->entries)
		take_out(s->entries);
}

static int add(struct lane_set *set, struct lane_sock *s, const struct epoll_event *event)
{
	struct lane_entry *e;

	if (find(set, s))
		return -EEXIST;
	if (event->events & EPOLLEXCLUSIVE && event->events & ~EXCLUSIVE_WITH)
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->s = s;
	e->set = set;
	e->event = *event;
	e->event.events |= ALWAYS;
	e->next_of_sock = s->entries;
	s->entries = e;
	e->next_of_set = set->entries;
	set->entries = e;
	look(e);
	return 0;
}

static int modify(struct lane_set *set, struct lane_sock *s, const struct epoll_event *event)
{
	struct lane_entry *e = find(set, s);

	if (!e)
		return -ENOENT;
	if ((e->event.events | event->events) & EPOLLEXCLUSIVE)
		return -EINVAL;
	e->event = *event;
	e->event.events |= ALWAYS;
	look(e);
	return 0;
}

static int change(struct lane_set *set, struct lane_sock *s, int op,
		  const struct epoll_event *event)
{
	struct lane_entry *e;

	switch (op) {
	case EPOLL_CTL_ADD:
		return add(set, s, event);
	case EPOLL_CTL_MOD:
		return modify(set, s, event);
	}
	e = find(set, s);
	if (!e)
		return -ENOENT;
	take_out(e);
	return 0;
}

static int change_kernel(struct lane_set *set, int op, int fd, const struct epoll_event *event)
{
	struct epoll_event copy = *event;

	if (set->kernel < 0)
		set->kernel = epoll_create1(EPOLL_CLOEXEC);
	if (set->kernel < 0 || epoll_ctl(set->kernel, op, fd, &copy) < 0)
		return -errno;
	return 0;
}

int lane_set_change(struct mr_set *s, int op, int fd, bool kernel, const struct epoll_event *event)
{
	struct lane_set *set = (struct lane_set *)(void *)s;
	struct lane_context *x = lane_of(s->context);
	struct lane_sock *sock;
	int err;

	if (kernel) {
		lane_lock(x);
		err = change_kernel(set, op, fd, event);
		lane_unlock(x);
		return err;
	}
	sock = lane_enter(x, fd);
	return sock ? lane_leave(x, sock, change(set, sock, op, event)) : -EBADF;
}

/* ----- waiting ----- */

/* Returns whether @e is told in @out; then it is disarmed or stands on the list again, or neither.
 */
static bool tell(struct lane_entry *e, struct epoll_event *out)
{
	uint32_t mask = lane_mask(e->s) & e->event.events;

	unready(e);
	if (!mask)
		return false;
	*out = (struct epoll_event){ .events = mask, .data = e->event.data };
	if (e->event.events & EPOLLONESHOT)
		e->event.events &= MODES;
	else if (!(e->event.events & EPOLLET))
		put_ready(e);
	return true;
}

static int harvest(struct lane_set *set, struct epoll_event *events, int most)
{
	struct lane_entry *last = set->ready_last, *e = NULL;
	int n = 0, more;

	while (n < most && set->ready && e != last) {
		e = set->ready;
		n += tell(e, &events[n]);
	}
	if (set->kernel < 0 || n == most)
		return n;
	more = epoll_wait(set->kernel, events + n, most - n, 0);
	return more > 0 ? n + more : n;
}

int lane_set_wait(struct mr_set *s, struct epoll_event *events, int most, int timeout_ms)
{
	struct lane_set *set = (struct lane_set *)(void *)s;
	struct lane_context *x = lane_of(s->context);
	uint64_t until;
	int n;

	if (most > INT_MAX / (int)sizeof(*events))
		return -EINVAL;
	lane_lock(x);
	x->interrupted = false;
	until = lane_until_ms(x, timeout_ms);
	do {
		x->door->settle(x);
		lane_take_events(x);
		n = harvest(set, events, most);
	} while (!n && timeout_ms && !x->interrupted && lane_wait(x, set, until, set->kernel) == 0);
	if (!set->ready)
		ring_bell(set, false);
	else if (n) /* what is left is for others who wait */
		lane_wake_one(x, set);
	if (!n && x->interrupted)
		n = -EINTR;
	x->interrupted = false;
	lane_unlock(x);
	return n;
}

int lane_poll(struct mr_context *context, struct pollfd *fds, nfds_t n, int timeout_ms)
{
	struct lane_context *x = lane_of(context);
	uint64_t until;
	int ready;

	lane_lock(x);
	x->interrupted = false;
	until = lane_until_ms(x, timeout_ms);
	do {
		x->door->settle(x);
		lane_take_events(x);
		ready = 0;
		for (nfds_t i = 0; i < n; i++) {
			int fd = fds[i].fd;

			fds[i].revents = 0;
			if (fd < 0)
				continue;
			if ((unsigned int)fd >= x->n_fds || !x->fd[fd])
				fds[i].revents = POLLNVAL;
			else
				fds[i].revents = (short)(lane_mask(x->fd[fd]) &
							 ((uint16_t)fds[i].events | ALWAYS));
			ready += fds[i].revents != 0;
		}
	} while (!ready && timeout_ms && !x->interrupted && lane_wait(x, NULL, until, -1) == 0);
	if (!ready && x->interrupted)
		ready = -EINTR;
	x->interrupted = false;
	lane_unlock(x);
	return ready;
}

/* ----- sets ----- */

int lane_set_new(struct mr_context *context, struct mr_set **out)
{
	struct lane_context *x = lane_of(context);
	struct lane_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->set.context = context;
	set->kernel = -1;
	set->watch = set->bell = -1;
	lane_lock(x);
	set->next = x->sets;
	x->sets = set;
	lane_unlock(x);
	*out = &set->set;
	return 0;
}

void lane_set_free(struct mr_set *s)
{
	struct lane_set *set = (struct lane_set *)(void *)s, **at;
	struct lane_context *x = lane_of(s->context);

	lane_lock(x);
	while (set->entries)
		take_out(set->entries);
	for (at = &x->sets; *at != set;)
		at = &(*at)->next;
	*at = set->next;
	lane_unlock(x);
	if (set->kernel >= 0)
		close(set->kernel);
	if (set->watch >= 0)
		close(set->watch);
	if (set->bell >= 0)
		close(set->bell);
	free(set);
}

static int watch(struct lane_set *set, int fd)
{
	struct epoll_event e = { .events = EPOLLIN };

	return epoll_ctl(set->watch, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static int make_watch(struct lane_set *set)
{
	int err;

	set->watch = epoll_create1(EPOLL_CLOEXEC);
	set->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (set->kernel < 0)
		set->kernel = epoll_create1(EPOLL_CLOEXEC);
	if (set->watch < 0 || set->bell < 0 || set->kernel < 0)
		return -errno;
	err = watch(set, set->bell);
	if (!err)
		err = watch(set, set->kernel);
	ring_bell(set, set->ready != NULL);
	return err;
}

int lane_set_fd(struct mr_set *s)
{
	struct lane_set *set = (struct lane_set *)(void *)s;
	struct lane_context *x = lane_of(s->context);
	int err = 0;

	lane_lock(x);
	if (set->watch < 0)
		err = make_watch(set);
	lane_unlock(x);
	return err ? err : set->watch;
}
