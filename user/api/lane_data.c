/* SPDX-License-Identifier: MIT */
/* Sockets over channels: bytes. */
#include <errno.h>
#include <string.h>

#include "user/api/lane.h"

/* ----- sending ----- */

/* As the kernel has it: a third of the buffer is free. */
bool lane_is_writable(const struct lane_sock *s)
{
	return s->state == LANE_OPEN && (uint64_t)s->lent * 3 <= (uint64_t)s->o.send_bytes * 2 &&
	       (s->link->n_free_send || s->corked != MR_NONE);
}

static void send_buffer(struct lane_sock *s, uint32_t i, uint32_t len)
{
	struct mr_attach_record r = { .op = MR_ATTACH_SEND, .conn = s->conn };

	r.part.buffer = i;
	r.part.len = len;
	s->link->send_len[i] = len;
	s->lent += len;
	lane_command(s->x, s->link, &r);
}

/* What was held back for more leaves. A connection that is gone has its buffer back at once. */
void lane_cork_flush(struct lane_sock *s)
{
	uint32_t i = s->corked;

	if (i == MR_NONE)
		return;
	s->corked = MR_NONE;
	if (s->conn) {
		send_buffer(s, i, s->corked_len);
		return;
	}
	s->held--;
	s->link->send_owner[i] = NULL;
	s->link->free_send[s->link->n_free_send++] = i;
}

/*
 * The buffer to write to: the one that is not full yet, or another. No socket may hold more of them
 * than are left, so those of slow peers cannot take all. False: there is no room now.
 */
static bool open_buffer(struct lane_sock *s)
{
	struct lane_link *k = s->link;

	if (s->corked != MR_NONE)
		return true;
	if (s->lent >= (uint32_t)s->o.send_bytes || s->held >= k->n_free_send)
		return false;
	s->corked = k->free_send[--k->n_free_send];
	s->corked_len = 0;
	k->send_owner[s->corked] = s;
	s->held++;
	return true;
}

/* As much of @from as there is room for. */
static size_t put_bytes(struct lane_sock *s, const uint8_t *from, size_t len)
{
	const uint32_t size = s->link->c.sizes.buffer_bytes;
	size_t done = 0;

	while (done < len && open_buffer(s)) {
		size_t n = size - s->corked_len;

		n = n < len - done ? n : len - done;
		memcpy(mr_channel_send_at(&s->link->c, s->corked) + s->corked_len, from + done, n);
		s->corked_len += (uint32_t)n;
		done += n;
		if (s->corked_len == size)
			lane_cork_flush(s);
	}
	return done;
}

/* 0, or why nothing may be sent; an error that waits is told by this. */
static int cannot_send(struct lane_sock *s)
{
	int error = s->error;

	if (s->fd < 0)
		return -EBADF;
	if (error) {
		s->error = 0;
		return -error;
	}
	if (s->shut_write || s->state == LANE_GONE)
		return -EPIPE;
	if (s->state == LANE_CONNECTING)
		return -EAGAIN;
	return s->state == LANE_OPEN ? 0 : -ENOTCONN;
}

/* The next bytes of @iov behind @skip ones. */
static size_t next_bytes(const struct iovec *iov, int n, size_t skip, uint8_t **at)
{
	for (int i = 0; i < n; i++) {
		if (skip < iov[i].iov_len) {
			*at = (uint8_t *)iov[i].iov_base + skip;
			return iov[i].iov_len - skip;
		}
		skip -= iov[i].iov_len;
	}
	return 0;
}

static ssize_t send_all(struct lane_sock *s, const struct iovec *iov, int n, bool blocks)
{
	uint64_t until = lane_until(s->x, &s->o.send_timeout);
	size_t done = 0, len;
	uint8_t *at = NULL;

	for (;;) {
		int err = cannot_send(s);

		if (err && (err != -EAGAIN || !blocks))
			return done ? (ssize_t)done : err;
		while (!err && (len = next_bytes(iov, n, done, &at)) > 0) {
			size_t put = put_bytes(s, at, len);

			done += put;
			if (put < len)
				break;
		}
		if (!err && !next_bytes(iov, n, done, &at))
			return (ssize_t)done;
		s->want_space = true;
		lane_cork_flush(s); /* what stands there brings the room that is waited for */
		if (!blocks || lane_wait(s->x, s, until, -1) < 0)
			return done ? (ssize_t)done : -EAGAIN;
	}
}

ssize_t lane_sock_sendv(struct mr_context *context, int fd, const struct iovec *iov, int n,
			int flags)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);
	ssize_t sent;

	if (!s)
		return -EBADF;
	sent = send_all(s, iov, n, s->blocking && !(flags & MSG_DONTWAIT));
	if (s->fd >= 0 && s->corked != MR_NONE && !s->o.cork && !(flags & MSG_MORE))
		lane_cork_flush(s);
	if (sent > 0 && flags & MSG_OOB && s->conn) {
		lane_cork_flush(s);
		lane_command(s->x, s->link,
			     &(struct mr_attach_record){ .op = MR_ATTACH_OPTION,
							 .conn = s->conn,
							 .value = MR_ATTACH_URGE });
	}
	lane_leave(s->x, s, 0);
	return sent;
}

/* ----- receiving ----- */

void lane_tell_read(struct lane_sock *s)
{
	if (s->untold && s->conn)
		lane_command(s->x, s->link,
			     &(struct mr_attach_record){
				     .op = MR_ATTACH_READ, .conn = s->conn, .value = s->untold });
	s->untold = 0;
}

static const uint8_t *bytes_of(const struct lane_sock *s, const struct lane_piece *p)
{
	return (p->buffer == MR_NONE ? p->bytes : mr_channel_receive_at(&s->link->c, p->buffer)) +
	       p->offset;
}

static void drop_first(struct lane_sock *s, size_t n)
{
	struct lane_piece *p = s->first;

	p->offset += (uint32_t)n;
	p->len -= (uint32_t)n;
	s->unread -= n;
	s->untold += (uint32_t)n;
	if (p->len)
		return;
	s->first = p->next;
	if (!s->first)
		s->last = &s->first;
	lane_piece_free(s->x, s->link, p);
}

/* What is there into @iov behind @done bytes. Peeking begins at the first unread one. */
static size_t get_bytes(struct lane_sock *s, const struct iovec *iov, int n, size_t done, bool peek)
{
	struct lane_piece *p = s->first;
	size_t got = done, skip = 0, len;
	uint8_t *at;

	while (p && (len = next_bytes(iov, n, got, &at)) > 0) {
		size_t here = p->len - skip;

		here = here < len ? here : len;
		memcpy(at, bytes_of(s, p) + skip, here);
		got += here;
		skip += here;
		if (!peek) {
			drop_first(s, here);
			p = s->first;
			skip = 0;
		} else if (skip == p->len) {
			p = p->next;
			skip = 0;
		}
	}
	if (s->untold >= (uint32_t)s->o.receive_bytes / 4)
		lane_tell_read(s);
	return got;
}

/* Nothing is there: 1: wait for it, 0: nothing will come, or why. */
static int why_nothing(struct lane_sock *s)
{
	int error = s->error;

	if (s->fd < 0)
		return -EBADF;
	if (s->shut_read || s->eof)
		return 0;
	if (error) {
		s->error = 0;
		return -error;
	}
	if (s->state == LANE_FRESH || s->state == LANE_LISTENS)
		return -ENOTCONN;
	return s->state != LANE_GONE;
}

static ssize_t receive(struct lane_sock *s, const struct iovec *iov, int n, int flags)
{
	uint64_t until = lane_until(s->x, &s->o.receive_timeout);
	bool blocks = s->blocking && !(flags & MSG_DONTWAIT);
	size_t done = 0;
	uint8_t *at;
	int more;

	for (;;) {
		done = get_bytes(s, iov, n, flags & MSG_PEEK ? 0 : done, flags & MSG_PEEK);
		if (!next_bytes(iov, n, done, &at) || (done && !(flags & MSG_WAITALL)))
			return (ssize_t)done;
		more = done && s->error ? 0 : why_nothing(s);
		if (more <= 0)
			return done ? (ssize_t)done : more;
		if (!blocks || lane_wait(s->x, s, until, -1) < 0)
			return done ? (ssize_t)done : -EAGAIN;
	}
}

ssize_t lane_sock_recvv(struct mr_context *context, int fd, const struct iovec *iov, int n,
			int flags)
{
	struct lane_sock *s = lane_enter(lane_of(context), fd);
	ssize_t got;

	if (!s)
		return -EBADF;
	got = flags & MSG_OOB ? -EINVAL : receive(s, iov, n, flags);
	lane_leave(s->x, s, 0);
	return got;
}
