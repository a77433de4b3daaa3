/* SPDX-License-Identifier: MIT */
/* Contexts over channels: events that came, commands that go, and waiting. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "user/api/lane.h"

enum {
	INDEX_BITS = 26, /* of a connection's name */
};

void lane_lock(struct lane_context *x)
{
	bool held = false;

	__atomic_add_fetch(&x->wanting, 1, __ATOMIC_RELAXED);
	for (int n = 0; !held && n < LANE_LOOKS; n++) {
		held = pthread_mutex_trylock(&x->lock) == 0;
		if (!held)
			sched_yield(); /* calls are short: to sleep would cost more */
	}
	if (!held)
		pthread_mutex_lock(&x->lock);
	__atomic_sub_fetch(&x->wanting, 1, __ATOMIC_RELAXED);
}

/* Does another thread stand before the lock, or is about to? */
bool lane_others_want(const struct lane_context *x)
{
	for (const struct lane_waiter *w = x->waiters; w; w = w->next)
		if (w->woken)
			return true;
	return __atomic_load_n(&x->wanting, __ATOMIC_RELAXED);
}

/*
 * Who is woken finds the lock free. What it waited with is not freed before the context is, so the
 * signal may come late: then somebody is woken in vain, and looks again.
 */
void lane_unlock(struct lane_context *x)
{
	struct lane_waiter *w[LANE_SIGNALS];
	unsigned int n = x->n_signals;

	for (unsigned int i = 0; i < n; i++)
		w[i] = x->signal[i];
	x->n_signals = 0;
	pthread_mutex_unlock(&x->lock);
	for (unsigned int i = 0; i < n; i++)
		sem_post(&w[i]->bell);
}

/* ----- who waits ----- */

static void signal_waiter(struct lane_context *x, struct lane_waiter *w)
{
	if (x->n_signals < LANE_SIGNALS)
		x->signal[x->n_signals++] = w;
	else
		sem_post(&w->bell);
}

static void wake_waiter(struct lane_context *x, struct lane_waiter *w)
{
	w->woken = true;
	signal_waiter(x, w);
}

static struct lane_waiter *waiter_take(struct lane_context *x)
{
	struct lane_waiter *w = x->spare;

	if (w) {
		x->spare = w->next;
		return w;
	}
	w = malloc(sizeof(*w));
	if (w)
		sem_init(&w->bell, 0, 0);
	return w;
}

static void waiter_give(struct lane_context *x, struct lane_waiter *w)
{
	w->next = x->spare;
	x->spare = w;
}

static bool waits_for(const struct lane_waiter *w, const void *on)
{
	return !w->woken && (!w->on || w->on == on);
}

/* Those who wait for @on, or for anything at all; the one at the door is woken by what it sees. */
static void wake_all(struct lane_context *x, const void *on)
{
	for (struct lane_waiter *w = x->waiters; w; w = w->next)
		if (waits_for(w, on))
			wake_waiter(x, w);
	x->changes++;
	if (!x->sleeper || !waits_for(x->sleeper, on))
		return;
	x->sleeper->woken = true;
	if (x->dozes)
		x->door->rouse(x);
}

/* Who waits longest; who is at the door only when there is no other, for somebody has to be. */
void lane_wake_one(struct lane_context *x, const void *on)
{
	struct lane_waiter *w = x->waiters;

	x->changes++;
	while (w && (w->woken || w->on != on))
		w = w->next;
	if (!w) {
		wake_all(x, on);
		return;
	}
	wake_waiter(x, w);
	wake_all(x, NULL); /* who waits for anything */
}

/*
 * @key: what has become possible (EPOLLIN, EPOLLOUT), 0: the socket's state is another one. Sets
 * hear of it as epoll(7) does of the kernel's wake-ups. A connection wakes one of those who accept.
 */
void lane_wake(struct lane_sock *s, uint32_t key)
{
	for (struct lane_entry *e = s->entries; e; e = e->next_of_sock)
		if (!key || e->event.events & key)
			lane_entry_wake(e);
	if (s->state == LANE_LISTENS && key)
		lane_wake_one(s->x, s);
	else
		wake_all(s->x, s);
}

/* ----- buffers ----- */

void lane_returns_flush(struct lane_context *x, struct lane_link *k)
{
	if (!k->back.n)
		return;
	k->back.op = MR_ATTACH_RETURN;
	lane_command(x, k, &k->back);
	k->back.n = 0;
}

static void buffer_back(struct lane_context *x, struct lane_link *k, uint32_t buffer)
{
	k->held--;
	k->back.buffer[k->back.n++] = buffer;
	if (k->back.n == MR_ATTACH_BATCH)
		lane_returns_flush(x, k);
}

void lane_piece_free(struct lane_context *x, struct lane_link *k, struct lane_piece *p)
{
	if (p->buffer == MR_NONE)
		free(p);
	else
		buffer_back(x, k, p->buffer);
}

/* ----- events ----- */

static uint32_t index_of(uint64_t conn)
{
	return ((uint32_t)conn & ((1u << INDEX_BITS) - 1)) - 1;
}

static struct lane_sock *sock_of(const struct lane_link *k, uint64_t conn)
{
	uint32_t i = index_of(conn);

	return i < k->n_socks && k->sock[i] && k->sock[i]->conn == conn ? k->sock[i] : NULL;
}

static bool remember(struct lane_link *k, struct lane_sock *s, uint64_t conn)
{
	uint32_t i = index_of(conn);

	if (i >= k->n_socks) {
		uint32_t n = i < 512 ? 1024 : i * 2;
		struct lane_sock **more = realloc(k->sock, n * sizeof(struct lane_sock *));

		if (!more)
			return false;
		memset(more + k->n_socks, 0, (n - k->n_socks) * sizeof(struct lane_sock *));
		k->sock = more;
		k->n_socks = n;
	}
	k->sock[i] = s;
	s->conn = conn;
	s->link = k;
	return true;
}

static void abort_conn(struct lane_context *x, struct lane_link *k, uint64_t conn)
{
	lane_command(x, k, &(struct mr_attach_record){ .op = MR_ATTACH_ABORT, .conn = conn });
}

static struct lane_sock *listener_of(struct lane_context *x, uint64_t id)
{
	struct lane_sock *s = x->listeners;

	while (s && s->id != id)
		s = s->next_listener;
	return s;
}

static void on_listening(struct lane_context *x, const struct mr_attach_record *r)
{
	struct lane_sock *s = listener_of(x, r->user);

	if (!s)
		return;
	s->owed--;
	if (r->value)
		s->error = (int)r->value;
	wake_all(x, s);
}

static void on_accept(struct lane_context *x, struct lane_link *k, const struct mr_attach_record *r)
{
	struct lane_sock *listener = listener_of(x, r->user);
	struct lane_sock *s = listener ? lane_sock_new(x, listener->domain) : NULL;

	if (!s || !remember(k, s, r->conn)) {
		free(s);
		abort_conn(x, k, r->conn);
		return;
	}
	s->state = LANE_OPEN;
	s->was_open = true;
	s->end = r->end;
	s->o = listener->o;
	s->o.defer_s = 0;
	s->listener = listener;
	lane_options_apply(s);
	if (!listener->o.defer_s)
		lane_accept_next(s);
}

static void on_opening(struct lane_context *x, struct lane_link *k,
		       const struct mr_attach_record *r)
{
	struct lane_sock *s = (struct lane_sock *)(uintptr_t)r->user;

	s->owed--;
	if (r->op == MR_ATTACH_OPENING && s->fd >= 0 && remember(k, s, r->conn))
		return;
	if (r->op == MR_ATTACH_OPENING) /* closed meanwhile */
		abort_conn(x, k, r->conn);
	s->state = LANE_GONE;
	s->error = r->op == MR_ATTACH_OPENING ? ENOMEM : (int)r->value;
	lane_wake(s, 0);
	lane_sock_done(s);
}

static void on_connected(struct lane_sock *s, const struct mr_attach_record *r)
{
	s->state = LANE_OPEN;
	s->was_open = true;
	s->end = r->end;
	lane_options_apply(s);
	lane_wake(s, 0);
}

/* When few buffers are left with the lane, text moves to the heap: nobody who is slow holds them.
 */
static struct lane_piece *piece_for(struct lane_context *x, struct lane_link *k,
				    const struct mr_attach_record *r)
{
	struct lane_piece *p = &k->piece[r->part.buffer];

	*p = (struct lane_piece){ .buffer = r->part.buffer,
				  .offset = r->part.offset,
				  .len = r->part.len };
	k->held++;
	if (k->held <= k->c.sizes.receive_buffers / 2)
		return p;
	p = malloc(sizeof(*p) + r->part.len);
	if (!p)
		return &k->piece[r->part.buffer];
	*p = (struct lane_piece){ .buffer = MR_NONE, .len = r->part.len };
	memcpy(p->bytes, mr_channel_receive_at(&k->c, r->part.buffer) + r->part.offset,
	       r->part.len);
	buffer_back(x, k, r->part.buffer);
	return p;
}

static void on_data(struct lane_context *x, struct lane_link *k, const struct mr_attach_record *r)
{
	struct lane_sock *s = sock_of(k, r->conn);
	struct lane_piece *p;

	if (!mr_channel_part_is_inside(&k->c, k->c.sizes.receive_buffers, r->part.buffer,
				       r->part.offset, r->part.len))
		return;
	p = piece_for(x, k, r);
	if (!s || (s->fd < 0 && !s->listener)) { /* closed meanwhile: the lane finds it unread */
		lane_piece_free(x, k, p);
		return;
	}
	*s->last = p;
	s->last = &p->next;
	s->unread += p->len;
	if (s->listener && !s->waiting)
		lane_accept_next(s);
	lane_wake(s, EPOLLIN | EPOLLRDNORM);
}

static void on_sent(struct lane_context *x, struct lane_link *k, const struct mr_attach_record *r)
{
	bool was_empty = !k->n_free_send;

	for (uint32_t n = 0; n < r->n && n < MR_ATTACH_BATCH; n++) {
		uint32_t i = r->buffer[n];
		struct lane_sock *s;

		if (i >= k->c.sizes.send_buffers || k->send_len[i] == UINT32_MAX)
			continue;
		s = k->send_owner[i];
		k->free_send[k->n_free_send++] = i;
		if (s) {
			s->held--;
			s->lent -= k->send_len[i];
		}
		k->send_owner[i] = NULL;
		k->send_len[i] = UINT32_MAX;
		if (s && s->want_space && lane_is_writable(s)) {
			s->want_space = false;
			lane_wake(s, EPOLLOUT | EPOLLWRNORM);
		}
	}
	for (unsigned int i = 0; was_empty && i < x->n_fds; i++) {
		struct lane_sock *s = x->fd[i];

		if (!s || !s->want_space || !lane_is_writable(s))
			continue;
		s->want_space = false;
		lane_wake(s, EPOLLOUT | EPOLLWRNORM);
	}
}

static void on_eof(struct lane_link *k, const struct mr_attach_record *r)
{
	struct lane_sock *s = sock_of(k, r->conn);

	if (!s)
		return;
	s->eof = true;
	if (s->listener && !s->waiting)
		lane_accept_next(s);
	lane_wake(s, 0);
}

static void on_closed(struct lane_link *k, const struct mr_attach_record *r)
{
	struct lane_sock *s = sock_of(k, r->conn);
	int error = (int)r->value;

	if (!s)
		return;
	k->sock[index_of(r->conn)] = NULL;
	s->conn = 0;
	s->state = LANE_GONE;
	if (error == ECONNABORTED) /* we ourselves: for text after shutdown, or the lane ends */
		error = s->shut_read ? 0 : ECONNRESET;
	if (s->eof && error == ECONNRESET) /* as the kernel has it of a peer that had ended */
		error = EPIPE;
	s->error = error;
	if (s->listener) { /* it is not worth being accepted */
		lane_forget(s);
		return;
	}
	lane_wake(s, 0);
	lane_sock_done(s);
}

static void on_figures(struct lane_context *x, const struct mr_attach_record *r)
{
	struct lane_sock *s = (struct lane_sock *)(uintptr_t)r->user;

	if (!r->conn) {
		s = listener_of(x, r->user);
		if (!s)
			return;
		s->half_open += r->figures.half_open;
	}
	s->figures = r->figures;
	s->owed--;
	wake_all(x, s);
	lane_sock_done(s);
}

static void on_event(struct lane_context *x, struct lane_link *k, const struct mr_attach_record *r)
{
	struct lane_sock *s;

	switch (r->op) {
	case MR_ATTACH_LISTENING:
		on_listening(x, r);
		break;
	case MR_ATTACH_ACCEPT:
		on_accept(x, k, r);
		break;
	case MR_ATTACH_OPENING:
	case MR_ATTACH_FAILED:
		on_opening(x, k, r);
		break;
	case MR_ATTACH_CONNECTED:
		s = sock_of(k, r->conn);
		if (s)
			on_connected(s, r);
		break;
	case MR_ATTACH_DATA:
		on_data(x, k, r);
		break;
	case MR_ATTACH_EOF:
		on_eof(k, r);
		break;
	case MR_ATTACH_SENT:
		on_sent(x, k, r);
		break;
	case MR_ATTACH_CLOSED:
		on_closed(k, r);
		break;
	case MR_ATTACH_FIGURES:
		on_figures(x, r);
		break;
	}
}

void lane_take_events(struct lane_context *x)
{
	struct mr_attach_record r;

	for (unsigned int i = 0; i < x->n_links; i++)
		while (mr_channel_peek(&x->link[i]->c, &r) > 0) {
			mr_channel_done(&x->link[i]->c);
			on_event(x, x->link[i], &r);
		}
}

/* ----- commands ----- */

/* The ring is short for moments only: the lane takes what stands there in its next turn. */
void lane_command(struct lane_context *x, struct lane_link *k, const struct mr_attach_record *r)
{
	while (!mr_channel_put(&k->c, r)) {
		x->door->ring(x, k->number);
		x->door->settle(x);
	}
	if (mr_channel_must_ring(&k->c))
		x->door->ring(x, k->number);
}

/* ----- calls ----- */

/* The socket of a descriptor, which stays until lane_leave(). NULL: -EBADF, and nothing is held. */
struct lane_sock *lane_enter(struct lane_context *x, int fd)
{
	struct lane_sock *s;

	lane_lock(x);
	x->door->settle(x);
	lane_take_events(x);
	s = fd >= 0 && (unsigned int)fd < x->n_fds ? x->fd[fd] : NULL;
	if (s)
		s->calls++;
	else
		lane_unlock(x);
	return s;
}

int lane_leave(struct lane_context *x, struct lane_sock *s, int result)
{
	s->calls--;
	lane_sock_done(s);
	if (x->sleeper) { /* somebody waits, perhaps for what this call began */
		x->door->settle(x);
		lane_take_events(x);
		x->door->rouse(x);
	}
	lane_unlock(x);
	return result;
}

uint64_t lane_until_ms(struct lane_context *x, int timeout_ms)
{
	return timeout_ms < 0 ? LANE_NEVER : x->door->now_ns(x) + (uint64_t)timeout_ms * 1000000u;
}

uint64_t lane_until(struct lane_context *x, const struct timeval *t)
{
	if (!t->tv_sec && !t->tv_usec)
		return LANE_NEVER;
	return x->door->now_ns(x) + (uint64_t)t->tv_sec * 1000000000u +
	       (uint64_t)t->tv_usec * 1000u;
}

/* ----- waiting ----- */

static void enqueue(struct lane_context *x, struct lane_waiter *w)
{
	struct lane_waiter **at = &x->waiters;

	while (*at)
		at = &(*at)->next;
	*at = w;
	if (w->until_ns < x->sleep_until_ns) {
		x->sleep_until_ns = 0; /* sooner than it knows */
		x->door->rouse(x);
	}
}

static void dequeue(struct lane_context *x, struct lane_waiter *w)
{
	struct lane_waiter **at = &x->waiters;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
}

/* Those whose time is over look again, and find it so. Returns when the next one's is. */
static uint64_t wake_late(struct lane_context *x, uint64_t until_ns)
{
	uint64_t now = x->door->now_ns(x);

	for (struct lane_waiter *w = x->waiters; w; w = w->next) {
		if (w->until_ns <= now && !w->woken)
			wake_waiter(x, w);
		else if (w->until_ns < until_ns)
			until_ns = w->until_ns;
	}
	return until_ns;
}

static void stand_at_the_door(struct lane_context *x, struct lane_waiter *w, int kernel_fd)
{
	x->sleeper = w;
	do {
		x->sleep_until_ns = wake_late(x, w->until_ns);
		x->dozes = true;
		x->door->sleep(x, x->sleep_until_ns, kernel_fd);
		x->dozes = false;
		lane_take_events(x);
	} while (!w->woken && kernel_fd < 0 && !x->interrupted && x->door->now_ns(x) < w->until_ns);
	x->sleeper = NULL;
	wake_late(x, LANE_NEVER);
}

/* Another one must stand at the door. */
static void leave_the_door(struct lane_context *x)
{
	struct lane_waiter *w = x->waiters;

	while (w && w->woken)
		w = w->next;
	if (!w || x->sleeper)
		return;
	w->at_the_door = true;
	signal_waiter(x, w);
}

static void wait_for_signal(struct lane_context *x, struct lane_waiter *w)
{
	while (!w->woken && !w->at_the_door) {
		lane_unlock(x);
		while (sem_wait(&w->bell) < 0)
			; /* a signal */
		lane_lock(x);
	}
}

/*
 * Until something happened to @on (NULL: to anything), with the lock given up meanwhile. One thread
 * stands at the door for all who wait. Return: 0: look again, or -ETIMEDOUT (no
 * memory to wait with, too).
 */
int lane_wait(struct lane_context *x, const void *on, uint64_t until_ns, int kernel_fd)
{
	struct lane_waiter *w;
	uint64_t seen = x->changes;

	x->door->settle(x);
	lane_take_events(x);
	if (x->changes != seen)
		return 0;
	if (x->door->now_ns(x) >= until_ns)
		return -ETIMEDOUT;
	for (unsigned int i = 0; i < x->n_links; i++)
		lane_returns_flush(x, x->link[i]);
	w = waiter_take(x);
	if (!w)
		return -ETIMEDOUT;
	w->on = on;
	w->until_ns = until_ns;
	w->woken = w->at_the_door = false;
	w->next = NULL;
	if (x->sleeper) {
		enqueue(x, w);
		wait_for_signal(x, w);
		dequeue(x, w);
	}
	if (!w->woken && !x->sleeper)
		stand_at_the_door(x, w, kernel_fd);
	leave_the_door(x);
	waiter_give(x, w);
	return 0;
}

/* ----- making and closing ----- */

int lane_context_init(struct lane_context *x, const struct mr_backend *backend,
		      const struct lane_door *door)
{
	x->context.backend = backend;
	x->door = door;
	x->next_id = 1;
	pthread_mutex_init(&x->lock, NULL);
	return 0;
}

static void link_free(struct lane_link *k)
{
	mr_channel_close(&k->c);
	free(k->piece);
	free(k->free_send);
	free(k->send_owner);
	free(k->send_len);
	free(k->sock);
	free(k);
}

static int link_make(struct lane_link *k, int memory)
{
	int err = mr_channel_open(&k->c, memory, MR_CHANNEL_PROGRAM);
	uint32_t n = k->c.sizes.send_buffers;

	if (err < 0)
		return err;
	k->piece = calloc(k->c.sizes.receive_buffers, sizeof(*k->piece));
	k->free_send = calloc(n, sizeof(*k->free_send));
	k->send_owner = calloc(n, sizeof(struct lane_sock *));
	k->send_len = calloc(n, sizeof(*k->send_len));
	if (!k->piece || !k->free_send || !k->send_owner || !k->send_len)
		return -ENOMEM;
	for (uint32_t i = n; i-- > 0;) {
		k->send_len[i] = UINT32_MAX;
		k->free_send[k->n_free_send++] = i;
	}
	return 0;
}

int lane_context_add(struct lane_context *x, int memory, bool serves, bool connects)
{
	struct lane_link *k = x->n_links < LANE_CHANNELS ? calloc(1, sizeof(*k)) : NULL;
	int err = k ? link_make(k, memory) : -ENOMEM;

	if (err < 0) {
		if (k)
			link_free(k);
		return err;
	}
	k->number = x->n_links;
	k->serves = serves;
	k->connects = connects;
	x->link[x->n_links++] = k;
	return 0;
}

void lane_context_fini(struct lane_context *x)
{
	for (unsigned int i = 0; i < x->n_links; i++)
		link_free(x->link[i]);
	free(x->fd);
	while (x->spare) {
		struct lane_waiter *w = x->spare;

		x->spare = w->next;
		sem_destroy(&w->bell);
		free(w);
	}
	pthread_mutex_destroy(&x->lock);
	x->door->close(x);
}

static void free_left(struct lane_context *x)
{
	for (unsigned int i = 0; i < x->n_links; i++) {
		struct lane_link *k = x->link[i];

		for (uint32_t n = 0; n < k->n_socks; n++) {
			struct lane_sock *s = k->sock[n];

			if (!s)
				continue;
			k->sock[n] = NULL;
			s->conn = 0;
			s->owed = 0;
			s->listener = NULL;
			lane_sock_done(s);
		}
	}
}

void lane_context_close(struct mr_context *context)
{
	struct lane_context *x = lane_of(context);

	lane_lock(x);
	while (x->sets) {
		struct lane_set *set = x->sets;

		lane_unlock(x);
		lane_set_free(&set->set);
		lane_lock(x);
	}
	for (unsigned int i = 0; i < x->n_fds; i++)
		if (x->fd[i])
			lane_close_locked(x->fd[i], false);
	x->door->settle(x);
	lane_take_events(x);
	free_left(x);
	lane_unlock(x);
	lane_context_fini(x);
}
