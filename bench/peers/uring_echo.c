// SPDX-License-Identifier: MIT
/*
 * uring-echo: the benchmarks' peer over io_uring, as fast as one thread makes it: one multishot
 * accept, one multishot receive a connection into a ring of provided buffers, replies sent straight
 * from the buffer that a request came in, one system call for all submissions and the wait. Same
 * format and limit as Millrace's rule: tag 2 bytes, length 4 bytes, big endian, at most 1 MiB.
 *
 * A connection has one send in flight, or answers might overtake each other; what is to be sent
 * meanwhile is a list of buffers. Only a message that is cut off at the end of a buffer is copied,
 * into memory that its connection has until it is sent.
 */
#include <getopt.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/peers/peer.h"

enum {
	ENTRIES = 4096,
	COMPLETIONS = 65536,
	BUFFERS = 8192, /* a power of two */
	BUFFER_BYTES = 4096,
	GROUP = 0,
};

/* What a completion is for: the low bits of its user data. */
enum what {
	WHAT_ACCEPT,
	WHAT_RECEIVE,
	WHAT_SEND,
	WHAT_MASK = 3,
};

/* Bytes to be sent. In a provided buffer, or memory of its own that is freed with it. */
struct chunk {
	struct chunk *next;
	uint8_t *data;
	size_t len;
	int buffer; /* -1: its own memory */
};

struct conn {
	int fd;
	bool receives; /* the multishot receive stands */
	bool closing;
	struct chunk *first, *last; /* first: in flight */
	uint8_t *partial;	    /* the start of a message that is cut off */
	size_t partial_len, partial_size;
};

struct server {
	struct io_uring ring;
	struct io_uring_buf_ring *buffers;
	uint8_t *memory;
	struct chunk chunk[BUFFERS]; /* of the buffer with that number */
	int listener;
};

/* ----- submissions ----- */

static struct io_uring_sqe *next_sqe(struct server *s, void *object, enum what what)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);

	if (!sqe) { /* full: hand over what is there */
		io_uring_submit(&s->ring);
		sqe = io_uring_get_sqe(&s->ring);
	}
	if (sqe)
		sqe->user_data = (uintptr_t)object | what;
	return sqe;
}

static void set_data(struct io_uring_sqe *sqe, void *object, enum what what)
{
	io_uring_sqe_set_data64(sqe, (uintptr_t)object | what);
}

static void accept_more(struct server *s)
{
	struct io_uring_sqe *sqe = next_sqe(s, NULL, WHAT_ACCEPT);

	io_uring_prep_multishot_accept(sqe, s->listener, NULL, NULL, SOCK_CLOEXEC);
	set_data(sqe, NULL, WHAT_ACCEPT);
}

static void receive_more(struct server *s, struct conn *c)
{
	struct io_uring_sqe *sqe = next_sqe(s, c, WHAT_RECEIVE);

	io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	set_data(sqe, c, WHAT_RECEIVE);
	c->receives = true;
}

static void send_first(struct server *s, struct conn *c)
{
	struct io_uring_sqe *sqe = next_sqe(s, c, WHAT_SEND);

	io_uring_prep_send(sqe, c->fd, c->first->data, c->first->len, MSG_NOSIGNAL | MSG_WAITALL);
	set_data(sqe, c, WHAT_SEND);
}

/* ----- buffers and chunks ----- */

static void give_buffer(struct server *s, int number)
{
	io_uring_buf_ring_add(s->buffers, s->memory + (size_t)number * BUFFER_BYTES, BUFFER_BYTES,
			      (unsigned short)number, io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(s->buffers, 1);
}

static void free_chunk(struct server *s, struct chunk *k)
{
	if (k->buffer >= 0) {
		give_buffer(s, k->buffer);
		return;
	}
	free(k->data);
	free(k);
}

static void queue_chunk(struct server *s, struct conn *c, struct chunk *k)
{
	k->next = NULL;
	if (c->first)
		c->last->next = k;
	else
		c->first = k;
	c->last = k;
	if (c->first == k)
		send_first(s, c);
}

/* ----- messages ----- */

static bool grow_partial(struct conn *c, size_t size)
{
	uint8_t *p = size <= c->partial_size ? c->partial : realloc(c->partial, size);

	if (!p)
		return false;
	if (size > c->partial_size)
		c->partial_size = size;
	c->partial = p;
	return true;
}

static bool keep(struct conn *c, const uint8_t *p, size_t len, size_t need)
{
	if (!grow_partial(c, need))
		return false;
	memcpy(c->partial + c->partial_len, p, len);
	c->partial_len += len;
	return true;
}

static bool send_partial(struct server *s, struct conn *c)
{
	struct chunk *k = malloc(sizeof(*k));

	if (!k)
		return false;
	*k = (struct chunk){ .data = c->partial, .len = c->partial_len, .buffer = -1 };
	c->partial = NULL;
	c->partial_len = c->partial_size = 0;
	queue_chunk(s, c, k);
	return true;
}

/* Goes on with the message that is cut off; bytes used, or -1 */
static ssize_t complete(struct server *s, struct conn *c, const uint8_t *p, size_t len)
{
	size_t used = 0;

	while (used < len) {
		size_t need = c->partial_len < PEER_HEADER_BYTES ? (size_t)PEER_HEADER_BYTES
								 : peer_message_bytes(c->partial);
		size_t n = need - c->partial_len;

		if (n > len - used)
			n = len - used;
		if (!need || !keep(c, p + used, n, need))
			return -1;
		used += n;
		if (c->partial_len >= PEER_HEADER_BYTES &&
		    c->partial_len == peer_message_bytes(c->partial))
			return send_partial(s, c) ? (ssize_t)used : -1;
	}
	return (ssize_t)used;
}

/* False: close. The buffer is kept by a chunk, or given back. */
static bool handle_bytes(struct server *s, struct conn *c, int buffer, size_t len)
{
	uint8_t *p = s->memory + (size_t)buffer * BUFFER_BYTES;
	size_t whole, need;
	bool ok = true;

	if (c->partial_len) {
		ssize_t used = complete(s, c, p, len);

		if (used < 0 || (size_t)used == len) {
			give_buffer(s, buffer);
			return used >= 0;
		}
		p += used;
		len -= (size_t)used;
	}
	whole = peer_whole_messages(p, len, &need);
	if (!need)
		ok = false;
	else if (whole < len)
		ok = keep(c, p + whole, len - whole, need);
	if (!whole) {
		give_buffer(s, buffer);
		return ok;
	}
	s->chunk[buffer] = (struct chunk){ .data = p, .len = whole, .buffer = buffer };
	queue_chunk(s, c, &s->chunk[buffer]);
	return ok;
}

/* ----- completions ----- */

static void close_when_done(struct server *s, struct conn *c)
{
	if (!c->closing) {
		c->closing = true;
		shutdown(c->fd, SHUT_RDWR); /* what is in flight ends */
	}
	if (c->receives || c->first)
		return;
	(void)s;
	close(c->fd);
	free(c->partial);
	free(c);
}

static void on_accept(struct server *s, const struct io_uring_cqe *cqe)
{
	struct conn *c;
	int one = 1;

	if (!(cqe->flags & IORING_CQE_F_MORE))
		accept_more(s);
	if (cqe->res < 0)
		return;
	setsockopt(cqe->res, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(cqe->res);
		return;
	}
	c->fd = cqe->res;
	receive_more(s, c);
}

static void on_receive(struct server *s, struct conn *c, const struct io_uring_cqe *cqe)
{
	bool ok = cqe->res > 0 || cqe->res == -ENOBUFS;

	c->receives = cqe->flags & IORING_CQE_F_MORE;
	if (cqe->res > 0) {
		int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

		if (c->closing)
			give_buffer(s, buffer);
		else
			ok = handle_bytes(s, c, buffer, (size_t)cqe->res);
	}
	if (!ok || c->closing)
		close_when_done(s, c);
	else if (!c->receives)
		receive_more(s, c);
}

static void on_send(struct server *s, struct conn *c, const struct io_uring_cqe *cqe)
{
	struct chunk *k = c->first;
	bool ok = cqe->res == (int)k->len;

	c->first = k->next;
	free_chunk(s, k);
	while (!ok && c->first) { /* the others cannot be sent either */
		k = c->first;
		c->first = k->next;
		free_chunk(s, k);
	}
	if (c->first)
		send_first(s, c);
	if (!ok || c->closing)
		close_when_done(s, c);
}

static void handle(struct server *s, const struct io_uring_cqe *cqe)
{
	struct conn *c = (struct conn *)(uintptr_t)(cqe->user_data & ~(uint64_t)WHAT_MASK);

	switch ((enum what)(cqe->user_data & WHAT_MASK)) {
	case WHAT_ACCEPT:
		on_accept(s, cqe);
		return;
	case WHAT_RECEIVE:
		on_receive(s, c, cqe);
		return;
	case WHAT_SEND:
		on_send(s, c, cqe);
		return;
	case WHAT_MASK:
		return;
	}
}

static int run(struct server *s)
{
	accept_more(s);
	for (;;) {
		struct io_uring_cqe *cqe;
		unsigned int head, n = 0;
		int err = io_uring_submit_and_wait(&s->ring, 1);

		if (err < 0 && err != -EINTR)
			return err;
		io_uring_for_each_cqe(&s->ring, head, cqe)
		{
			handle(s, cqe);
			n++;
		}
		io_uring_cq_advance(&s->ring, n);
	}
}

/* ----- start ----- */

static int open_ring(struct server *s)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN,
		.cq_entries = COMPLETIONS,
	};
	struct io_uring_buf_reg reg = { .ring_entries = BUFFERS, .bgid = GROUP };
	void *ring;
	int err = io_uring_queue_init_params(ENTRIES, &s->ring, &p);

	if (err)
		return err;
	ring = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	s->memory = malloc((size_t)BUFFERS * BUFFER_BYTES);
	if (ring == MAP_FAILED || !s->memory)
		return -ENOMEM;
	reg.ring_addr = (uintptr_t)ring;
	err = io_uring_register_buf_ring(&s->ring, &reg, 0);
	if (err)
		return err;
	s->buffers = ring;
	io_uring_buf_ring_init(s->buffers);
	for (int i = 0; i < BUFFERS; i++)
		give_buffer(s, i);
	return 0;
}

static _Noreturn void usage(FILE *to, int status)
{
	fputs("usage: uring-echo [--port N]\n"
	      "\n"
	      "TLV echo over io_uring, IPv4 and IPv6, on port 7000 or --port.\n"
	      "Prints one line when it listens; ends on SIGTERM.\n",
	      to);
	exit(status);
}

static uint16_t parse_options(int argc, char *argv[])
{
	static const struct option long_options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	long port = 7000;
	int letter;

	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (letter == 'h')
			usage(stdout, EXIT_SUCCESS);
		if (letter != 'p')
			usage(stderr, PEER_EXIT_USAGE);
		port = peer_number("uring-echo", "port", optarg, 1, UINT16_MAX);
	}
	if (optind != argc)
		usage(stderr, PEER_EXIT_USAGE);
	return (uint16_t)port;
}

int main(int argc, char *argv[])
{
	static struct server s;
	uint16_t port = parse_options(argc, argv);
	int err;

	peer_allow_many_descriptors();
	err = open_ring(&s);
	if (!err)
		err = s.listener = peer_listen(port, 0);
	if (err < 0) {
		fprintf(stderr, "uring-echo: start on port %u: %s\n", port, strerror(-err));
		return EXIT_FAILURE;
	}
	printf("uring-echo: ready on port %u\n", port);
	fflush(stdout);
	err = run(&s);
	fprintf(stderr, "uring-echo: %s\n", strerror(-err));
	return EXIT_FAILURE;
}
