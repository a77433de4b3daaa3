/* SPDX-License-Identifier: MIT */
#include "user/cli/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct mr_order_frame {
	struct mr_capture_frame head;
	size_t number; /* of those held: equal times stay as they came */
	uint8_t bytes[];
};

int mr_order_put(struct mr_order *o, const struct mr_capture_frame *frame, const uint8_t *bytes)
{
	struct mr_order_frame *f = malloc(sizeof(*f) + frame->tap.copied);

	if (!f)
		return -ENOMEM;
	if (o->n == o->room) {
		size_t room = o->room ? 2 * o->room : 1024;
		struct mr_order_frame **list =
			realloc(o->list, room * sizeof(struct mr_order_frame *));

		if (!list) {
			free(f);
			return -ENOMEM;
		}
		o->list = list;
		o->room = room;
	}
	f->head = *frame;
	memcpy(f->bytes, bytes, frame->tap.copied);
	f->number = o->n;
	o->list[o->n++] = f;
	o->bytes += frame->tap.copied;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct mr_order_frame *x = *(struct mr_order_frame *const *)a;
	const struct mr_order_frame *y = *(struct mr_order_frame *const *)b;

	if (x->head.tap.time_ns != y->head.tap.time_ns)
		return x->head.tap.time_ns < y->head.tap.time_ns ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

int mr_order_flush(struct mr_order *o, uint64_t until_ns,
		   int (*give)(void *arg, const struct mr_capture_frame *frame,
			       const uint8_t *bytes),
		   void *arg)
{
	size_t given = 0;
	int err = 0;

	if (o->n)
		qsort(o->list, o->n, sizeof(struct mr_order_frame *), compare);
	while (!err && given < o->n && o->list[given]->head.tap.time_ns <= until_ns) {
		struct mr_order_frame *f = o->list[given++];

		err = give(arg, &f->head, f->bytes);
		o->bytes -= f->head.tap.copied;
		free(f);
	}
	o->n -= given;
	if (o->n)
		memmove(o->list, o->list + given, o->n * sizeof(struct mr_order_frame *));
	for (size_t i = 0; i < o->n; i++)
		o->list[i]->number = i;
	return err;
}

void mr_order_free(struct mr_order *o)
{
	for (size_t i = 0; i < o->n; i++)
		free(o->list[i]);
	free(o->list);
	*o = (struct mr_order){ 0 };
}
