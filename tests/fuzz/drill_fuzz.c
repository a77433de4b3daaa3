/* SPDX-License-Identifier: MIT */
/*
 * The commands of the drill application, from clients that say anything, in any pieces, with room
 * to send that comes and goes, and answers that come late or never.
 */
#include "tests/apps/fake_host.h"
#include "tests/fuzz/fuzz.h"
#include "user/apps/apps.h"

enum {
	CLIENTS = 4, /* each may open one connection more */
	ROOM = 300,
};

static struct fake_conn *living(struct mr_host *h, uint8_t which)
{
	struct fake_conn *c = h->n_conns ? &h->conns[which % h->n_conns] : NULL;

	return c && !c->end ? c : NULL;
}

static void receive(struct mr_host *h, struct fake_conn *c, struct fuzz_in *in)
{
	size_t len;
	const uint8_t *bytes = fuzz_take(in, fuzz_u8(in), &len);

	if (c->open && !c->fin)
		fake_receive(h, c->id, bytes, len);
}

/* What happens to a connection from outside. */
static void happen(struct mr_host *h, struct fake_conn *c, uint8_t what, struct fuzz_in *in)
{
	switch (what % 8) {
	case 0:
	case 1:
		receive(h, c, in);
		break;
	case 2:
		if (c->open)
			fake_fin(h, c->id);
		break;
	case 3:
		if (c->room < 1 << 16)
			fake_make_room(h, c->id, fuzz_u16(in) % 5000);
		break;
	case 4:
		fake_advance(h, fuzz_u16(in) * 60u);
		break;
	case 5:
		if (!c->open)
			fake_established(h, c->id);
		break;
	case 6:
		fake_lose(h, c->id, fuzz_u8(in));
		break;
	default:
		if (c->listening) {
			fake_listening(h, c->id, what & 8 ? -98 : 0);
			c->listening = NULL; /* asked and answered once */
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_in in = { data, len };
	struct mr_host h;
	unsigned int clients = 0;

	fake_host_init(&h, &mr_app_drill);
	h.room = ROOM;
	while (in.len) {
		uint8_t what = fuzz_u8(&in);
		struct fake_conn *c = living(&h, what >> 4);

		if (clients < CLIENTS && (!c || what % 16 == 15)) {
			fake_open(&h);
			clients++;
		} else if (c) {
			happen(&h, c, what % 16, &in);
		}
	}
	for (unsigned int i = 0; i < h.n_conns; i++) {
		FUZZ_CHECK(h.conns[i].n_closed == (h.conns[i].end != FAKE_ALIVE));
		if (!h.conns[i].end)
			fake_lose(&h, h.conns[i].id, 104);
	}
	fake_host_fini(&h);
	return 0;
}
