/* SPDX-License-Identifier: MIT */
/*
 * A lane for tests of applications: it keeps the contract of millrace/app.h over
 * plain buffers, with a clock and a send room that the test moves. One thread, one
 * application; calls that the contract forbids fail the test.
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "millrace/app.h"

enum {
	FAKE_CONNS = 8,
	FAKE_UNLIMITED = 1 << 30,
};

/* How a connection ended. */
enum fake_end {
	FAKE_ALIVE = 0,
	FAKE_CLOSED,  /* mr_close(), nothing unread: FIN */
	FAKE_RESET,   /* mr_close() with unread bytes: RST */
	FAKE_ABORTED, /* mr_abort() */
	FAKE_LOST,    /* by the peer or the network */
};

struct fake_conn {
	mr_conn_id id;
	void *state;
	bool open;
	bool asked_end; /* mr_close() or mr_abort() in the running callback */
	enum fake_end end;
	unsigned int n_closed; /* calls of @closed */

	uint8_t *in; /* received, not consumed */
	size_t in_bytes;
	bool paused;
	bool again;	/* offered and left */
	bool offer_due; /* mr_resume() or mr_pause() in the running callback */
	bool read_shut;
	bool fin, fin_told;

	uint8_t *out; /* everything that was queued */
	size_t out_bytes;
	size_t room;
	bool wants_room;
	bool write_shut;
	size_t reserved;
	unsigned int n_sends; /* mr_send() calls that queued something */

	uint64_t timer_ms; /* absolute, 0 none */
	int nodelay;	   /* -1 as it was, else the last mr_nodelay() */
	unsigned int keepalive[3];
	uint16_t listen_port;
	unsigned int backlog;
	void (*listening)(struct mr_host *h, mr_conn_id c, int error);
	struct sockaddr_storage remote; /* of mr_connect() */
};

struct mr_host {
	const struct mr_app *app;
	void *rule_state;
	uint64_t now_ms;
	unsigned int n_conns;
	struct fake_conn conns[FAKE_CONNS];

	size_t room;		/* of each new connection */
	size_t reserve_most;	/* largest mr_reserve() */
	int connect_error;	/* what mr_connect() returns */
	int listen_error;	/* what mr_listen() returns */
	int send_message_error; /* what mr_send_message() returns, 0: by room */
};

void fake_host_init(struct mr_host *h, const struct mr_app *app);
void fake_host_fini(struct mr_host *h);

struct fake_conn *fake_conn(struct mr_host *h, mr_conn_id c);
enum fake_end fake_end(struct mr_host *h, mr_conn_id c);

/* A handshake from outside. */
mr_conn_id fake_open(struct mr_host *h);

/* A connection of mr_connect(): done, or refused with @reason. */
void fake_established(struct mr_host *h, mr_conn_id c);
void fake_lose(struct mr_host *h, mr_conn_id c, int reason);

void fake_receive(struct mr_host *h, mr_conn_id c, const void *data, size_t len);
void fake_fin(struct mr_host *h, mr_conn_id c);
enum mr_app_verdict fake_message(struct mr_host *h, mr_conn_id c, uint64_t tag, const void *value,
				 size_t len);
void fake_make_room(struct mr_host *h, mr_conn_id c, size_t more);
void fake_advance(struct mr_host *h, unsigned int ms);
void fake_listening(struct mr_host *h, mr_conn_id c, int error);

#endif
