/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fate.h"

/* What a random number is for: each question about a frame has one of its own. */
enum purpose { DROP, BURST, BURST_DROP, DUPLICATE, REORDER, CORRUPT, TRUNCATE, CE, SALT };

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014. */
static uint64_t finalise(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t mr_fate_mix(uint64_t seed, uint64_t number, uint64_t purpose)
{
	uint64_t z = finalise(seed + 0x9e3779b97f4a7c15ull);

	z = finalise(z ^ number * 0x9e3779b97f4a7c15ull);
	return finalise(z + purpose * 0xd1b54a32d192ed03ull);
}

double mr_fate_unit(uint64_t bits)
{
	return (double)(bits >> 11) * 0x1p-53;
}

void mr_fate_init(struct mr_fate_state *s, uint64_t seed, unsigned direction)
{
	*s = (struct mr_fate_state){ .seed = finalise(seed * 2 + direction) };
}

static bool draw(const struct mr_fate_state *s, enum purpose purpose, double probability)
{
	return mr_fate_unit(mr_fate_mix(s->seed, s->number, purpose)) < probability;
}

/* Gilbert-Elliott: the chain moves with every frame, then the state decides. */
static bool burst_drops(struct mr_fate_state *s, const struct mr_fate_rules *r)
{
	if (draw(s, BURST, s->bad ? r->burst_leave : r->burst_enter))
		s->bad = !s->bad;
	return s->bad && draw(s, BURST_DROP, r->burst_drop);
}

static void apply_entry(struct mr_fate *f, const struct mr_fate_entry *e)
{
	switch (e->what) {
	case 'd':
		f->drop = true;
		break;
	case 'x':
		f->copies = e->value;
		break;
	case 'r':
		f->reorder_by = e->value;
		break;
	case 'h':
		f->hold_ms = e->value;
		break;
	case 'c':
		f->corrupt = true;
		break;
	case 't':
		f->truncate = true;
		break;
	case 'e':
		f->ce = true;
		break;
	}
}

struct mr_fate mr_fate_next(struct mr_fate_state *s, const struct mr_fate_rules *r)
{
	struct mr_fate f = { .number = ++s->number, .copies = 1 };
	bool burst = burst_drops(s, r);

	f.drop = draw(s, DROP, r->drop) || burst;
	f.copies += draw(s, DUPLICATE, r->duplicate);
	f.reorder_by = draw(s, REORDER, r->reorder) ? r->reorder_by : 0;
	f.corrupt = draw(s, CORRUPT, r->corrupt);
	f.truncate = draw(s, TRUNCATE, r->truncate);
	f.ce = draw(s, CE, r->ce);
	f.salt = mr_fate_mix(s->seed, s->number, SALT);
	for (uint32_t i = 0; i < r->n_list; i++)
		if (f.number >= r->list[i].first && f.number <= r->list[i].last)
			apply_entry(&f, &r->list[i]);
	return f;
}

/* ----- scripted lists ----- */

static int read_number(const char **p, uint64_t least, uint64_t most, uint64_t *out)
{
	char *end;

	if (**p < '0' || **p > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(*p, &end, 10);
	if (errno || *out < least || *out > most)
		return -EINVAL;
	*p = end;
	return 0;
}

/* N or N-M */
static int read_range(const char **p, struct mr_fate_entry *e)
{
	int err = read_number(p, 1, UINT64_MAX, &e->first);

	e->last = e->first;
	if (err || **p != '-')
		return err;
	++*p;
	return read_number(p, e->first, UINT64_MAX, &e->last);
}

static int read_copies(const char **p, struct mr_fate_entry *e)
{
	uint64_t copies;

	if (read_number(p, 1, MR_FATE_COPIES_MAX, &copies) || **p != 'x')
		return -EINVAL;
	++*p;
	e->what = 'x';
	e->value = (uint32_t)copies;
	return read_range(p, e);
}

static int read_entry(const char **p, struct mr_fate_entry *e)
{
	uint64_t value;

	*e = (struct mr_fate_entry){ 0 };
	if (**p >= '0' && **p <= '9')
		return read_copies(p, e);
	if (!**p || !strchr("drhcte", **p))
		return -EINVAL;
	e->what = *(*p)++;
	if (read_range(p, e))
		return -EINVAL;
	if (e->what != 'r' && e->what != 'h')
		return 0;
	if (*(*p)++ != ':' || read_number(p, 1, 3600000, &value))
		return -EINVAL;
	e->value = (uint32_t)value;
	return 0;
}

int mr_fate_list_parse(struct mr_fate_rules *r, const char *text)
{
	uint32_t n = r->n_list;
	const char *p = text;

	for (;;) {
		if (n == MR_FATE_LIST_MAX)
			return -E2BIG;
		if (read_entry(&p, &r->list[n]))
			return -EINVAL;
		n++;
		if (!*p)
			break;
		if (*p++ != ',')
			return -EINVAL;
	}
	r->n_list = n;
	return 0;
}
