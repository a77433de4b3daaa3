/* SPDX-License-Identifier: MIT */
#include "user/lane/sources.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "user/wire/segment.h"

enum {
	PLACES_LEAST = 16,
};

static void prefix_of(const uint8_t addr[16], uint8_t prefix[16])
{
	memcpy(prefix, addr, 16);
	if (!mr_is_ipv4(addr))
		memset(prefix + 8, 0, 8);
}

static bool is_free(const struct mr_source *p)
{
	return !p->count[MR_SOURCE_CONNECTIONS] && !p->count[MR_SOURCE_HALF_OPEN];
}

static uint32_t home_of(const struct mr_sources *s, const uint8_t prefix[16])
{
	return (uint32_t)mr_siphash13(&s->key, prefix, 16) & s->mask;
}

/* Twice the places that are expected to be used; untouched ones cost nothing. */
int mr_sources_init(struct mr_sources *s, uint32_t expected, const struct mr_siphash_key *key)
{
	uint32_t n = PLACES_LEAST;
	void *p;

	while (n < MR_SOURCES_MOST && n / 2 < expected)
		n *= 2;
	p = mmap(NULL, (size_t)n * sizeof(struct mr_source), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	*s = (struct mr_sources){ .place = p, .mask = n - 1, .key = *key };
	return 0;
}

void mr_sources_fini(struct mr_sources *s)
{
	if (s->place)
		munmap(s->place, ((size_t)s->mask + 1) * sizeof(struct mr_source));
	s->place = NULL;
}

/* The source's place, or the free one where it would stand. A quarter always stays free. */
static struct mr_source *find(const struct mr_sources *s, const uint8_t prefix[16])
{
	uint32_t i = home_of(s, prefix);

	while (!is_free(&s->place[i]) && memcmp(s->place[i].prefix, prefix, 16) != 0)
		i = (i + 1) & s->mask;
	return &s->place[i];
}

uint32_t mr_sources_get(const struct mr_sources *s, const uint8_t addr[16],
			enum mr_source_count which)
{
	uint8_t prefix[16];

	if (!s->place)
		return 0;
	prefix_of(addr, prefix);
	return find(s, prefix)->count[which];
}

void mr_sources_add(struct mr_sources *s, const uint8_t addr[16], enum mr_source_count which)
{
	uint8_t prefix[16];
	struct mr_source *p;

	if (!s->place)
		return;
	prefix_of(addr, prefix);
	p = find(s, prefix);
	if (is_free(p)) {
		if (s->used >= s->mask / 4 * 3)
			return;
		s->used++;
		memcpy(p->prefix, prefix, 16);
	}
	p->count[which]++;
}

/* Take a place out: what stands behind it moves up, so that no search ends too early. */
static void close_gap(struct mr_sources *s, uint32_t gap)
{
	uint32_t i = gap;

	s->used--;
	for (;;) {
		uint32_t home;

		i = (i + 1) & s->mask;
		if (is_free(&s->place[i]))
			break;
		home = home_of(s, s->place[i].prefix);
		if (((i - home) & s->mask) < ((i - gap) & s->mask))
			continue; /* its home lies behind the gap */
		s->place[gap] = s->place[i];
		gap = i;
	}
	s->place[gap] = (struct mr_source){ 0 };
}

void mr_sources_sub(struct mr_sources *s, const uint8_t addr[16], enum mr_source_count which)
{
	uint8_t prefix[16];
	struct mr_source *p;

	if (!s->place)
		return;
	prefix_of(addr, prefix);
	p = find(s, prefix);
	if (!p->count[which])
		return;
	p->count[which]--;
	if (is_free(p))
		close_gap(s, (uint32_t)(p - s->place));
}
