/* SPDX-License-Identifier: MIT */
/* Backend "kernel": contexts, the words of their descriptors, and what fork(2) does to them. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "user/api/kernel.h"
#include "user/api/words.h"

static pthread_mutex_t contexts_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t watches_forks = PTHREAD_ONCE_INIT;
static struct kernel_context *contexts;

static _Atomic uint64_t *word_of(struct kernel_context *x, int fd)
{
	_Atomic uint64_t *chunk;

	if (fd < 0 || fd >= KERNEL_CHUNK * KERNEL_CHUNKS)
		return NULL;
	/* Acquire: pairs with the release in make_chunk(). */
	chunk = atomic_load_explicit(&x->words[fd / KERNEL_CHUNK], memory_order_acquire);
	return chunk ? &chunk[fd % KERNEL_CHUNK] : NULL;
}

/* Add @bits to the word of a socket that does not close; *@was: the word before. */
static int mark(_Atomic uint64_t *word, uint64_t bits, uint64_t *was)
{
	if (!word)
		return -EBADF;
	*was = atomic_load_explicit(word, memory_order_relaxed);
	do {
		if (!(*was & KERNEL_OPEN) || (*was & KERNEL_CLOSING))
			return -EBADF;
	} while (!atomic_compare_exchange_weak_explicit(
		word, was, *was + bits, memory_order_acq_rel, memory_order_relaxed));
	return 0;
}

int kernel_hold(struct kernel_context *x, int fd, uint64_t as)
{
	uint64_t was;

	return mark(word_of(x, fd), as, &was);
}

void kernel_release(struct kernel_context *x, int fd, uint64_t as)
{
	_Atomic uint64_t *word = word_of(x, fd);
	uint64_t was = atomic_fetch_sub_explicit(word, as, memory_order_acq_rel);

	if (!(was & KERNEL_CLOSING) || (was & KERNEL_CALLS) != as)
		return;
	pthread_mutex_lock(&x->lock);
	pthread_cond_broadcast(&x->left);
	pthread_mutex_unlock(&x->lock);
}

bool kernel_is_closing(struct kernel_context *x, int fd)
{
	return atomic_load_explicit(word_of(x, fd), memory_order_relaxed) & KERNEL_CLOSING;
}

static int make_chunk(struct kernel_context *x, int fd)
{
	_Atomic uint64_t *chunk;
	int err = 0;

	if (fd >= KERNEL_CHUNK * KERNEL_CHUNKS)
		return -EMFILE;
	pthread_mutex_lock(&x->lock);
	if (!word_of(x, fd)) {
		chunk = calloc(KERNEL_CHUNK, sizeof(*chunk));
		if (chunk)
			/* Release: the words are zero before anybody sees them. */
			atomic_store_explicit(&x->words[fd / KERNEL_CHUNK], chunk,
					      memory_order_release);
		else
			err = -ENOMEM;
	}
	pthread_mutex_unlock(&x->lock);
	return err;
}

int kernel_adopt(struct kernel_context *x, int fd)
{
	int err = word_of(x, fd) ? 0 : make_chunk(x, fd);

	if (err) {
		close(fd);
		return err;
	}
	atomic_store_explicit(word_of(x, fd), KERNEL_OPEN, memory_order_release);
	return fd;
}

/*
 * Wake who sleeps in the kernel on @fd. Shutting the receiving side down says nothing to the peer;
 * a sender that sleeps has a full buffer, so its FIN would come behind all of it, as by close().
 */
static void wake_calls(int fd, uint64_t word)
{
	if (word & KERNEL_READERS)
		shutdown(fd, SHUT_RD);
	if (word & KERNEL_WRITERS)
		shutdown(fd, SHUT_WR);
}

/* Calls that do not sleep leave by themselves; one may be on its way to sleep when it is woken. */
static void wait_for_calls(struct kernel_context *x, int fd, _Atomic uint64_t *word)
{
	const long pause_ns = 1000000;
	struct timespec until;

	pthread_mutex_lock(&x->lock);
	while (atomic_load_explicit(word, memory_order_acquire) & KERNEL_CALLS) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += pause_ns;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		if (pthread_cond_timedwait(&x->left, &x->lock, &until) == ETIMEDOUT)
			wake_calls(fd, atomic_load_explicit(word, memory_order_relaxed));
	}
	pthread_mutex_unlock(&x->lock);
}

int kernel_take(struct kernel_context *x, int fd)
{
	_Atomic uint64_t *word = word_of(x, fd);
	uint64_t was;
	int err = mark(word, KERNEL_CLOSING, &was);

	if (err)
		return err;
	if (was & KERNEL_CALLS)
		wait_for_calls(x, fd, word);
	if (atomic_load_explicit(&x->forked, memory_order_relaxed))
		kernel_sets_forget(x, fd);
	atomic_store_explicit(word, 0, memory_order_release);
	return 0;
}

static void init_locks(struct kernel_context *x)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&x->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&x->left, &attr);
	pthread_condattr_destroy(&attr);
}

static void before_fork(void)
{
	pthread_mutex_lock(&contexts_lock);
}

static void after_fork_in_parent(void)
{
	struct kernel_context *x;

	for (x = contexts; x; x = x->next)
		atomic_store_explicit(&x->forked, true, memory_order_relaxed);
	pthread_mutex_unlock(&contexts_lock);
}

/* Only the thread that forked is here: the calls and locks of the others are not. */
static void after_fork_in_child(void)
{
	struct kernel_context *x;
	struct kernel_set *s;
	int i, fd;

	for (x = contexts; x; x = x->next) {
		init_locks(x);
		atomic_store_explicit(&x->forked, true, memory_order_relaxed);
		for (s = x->sets; s; s = s->next)
			s->inherited = true;
		for (i = 0; i < KERNEL_CHUNKS; i++)
			for (fd = 0; x->words[i] && fd < KERNEL_CHUNK; fd++)
				x->words[i][fd] &= ~KERNEL_CALLS;
	}
	pthread_mutex_unlock(&contexts_lock);
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static int kernel_open(const char *where, struct mr_context **out, char *error, size_t error_bytes)
{
	struct kernel_context *x;

	if (where)
		return mr_api_words(error, error_bytes, -EINVAL,
				    "backend kernel:%.64s: nothing stands behind a colon; "
				    "write kernel",
				    where);
	x = calloc(1, sizeof(*x));
	if (!x)
		return mr_api_words(error, error_bytes, -ENOMEM, "backend kernel: out of memory");
	x->context.backend = &mr_backend_kernel;
	init_locks(x);
	pthread_once(&watches_forks, watch_forks);
	pthread_mutex_lock(&contexts_lock);
	x->next = contexts;
	contexts = x;
	pthread_mutex_unlock(&contexts_lock);
	*out = &x->context;
	return 0;
}

static void leave_list(struct kernel_context *x)
{
	struct kernel_context **at;

	pthread_mutex_lock(&contexts_lock);
	for (at = &contexts; *at != x; at = &(*at)->next)
		;
	*at = x->next;
	pthread_mutex_unlock(&contexts_lock);
}

static void kernel_close(struct mr_context *context)
{
	struct kernel_context *x = kernel_of(context);
	int i, fd;

	for (i = 0; i < KERNEL_CHUNKS; i++) {
		for (fd = 0; x->words[i] && fd < KERNEL_CHUNK; fd++)
			if (x->words[i][fd] & KERNEL_OPEN)
				kernel_sock_close(context, i * KERNEL_CHUNK + fd);
	}
	while (x->sets)
		kernel_set_free(&x->sets->set);
	leave_list(x);
	for (i = 0; i < KERNEL_CHUNKS; i++)
		free((void *)(uintptr_t)x->words[i]);
	pthread_cond_destroy(&x->left);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

const struct mr_backend mr_backend_kernel = {
	.name = "kernel",
	.open = kernel_open,
	.close = kernel_close,
	.sock_open = kernel_sock_open,
	.sock_bind = kernel_sock_bind,
	.sock_listen = kernel_sock_listen,
	.sock_accept = kernel_sock_accept,
	.sock_connect = kernel_sock_connect,
	.sock_sendv = kernel_sock_sendv,
	.sock_recvv = kernel_sock_recvv,
	.sock_shutdown = kernel_sock_shutdown,
	.sock_close = kernel_sock_close,
	.sock_abort = kernel_sock_abort,
	.sock_blocking = kernel_sock_blocking,
	.sock_set_option = kernel_sock_set_option,
	.sock_option = kernel_sock_option,
	.sock_name = kernel_sock_name,
	.sock_peer = kernel_sock_peer,
	.sock_queues = kernel_sock_queues,
	.set_new = kernel_set_new,
	.set_free = kernel_set_free,
	.set_change = kernel_set_change,
	.set_wait = kernel_set_wait,
	.set_fd = kernel_set_fd,
	.poll = kernel_poll,
};
