/* SPDX-License-Identifier: MIT */
/* Rules out of a memfd of the daemon: those of the first message, and those that come later. */
#include "user/worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
	RULES_BYTES_MOST = 256 << 20,
};

const struct mr_lane_rule *worker_rules_of(const struct mr_lane_config *c)
{
	return (const void *)(c + 1);
}

const struct mr_net *worker_prefixes_of(const struct mr_lane_config *c)
{
	return (const void *)(worker_rules_of(c) + c->n_rules);
}

/* They come from the daemon, but they are indexes. */
static bool is_sane(const struct mr_lane_rule *r, uint64_t n_prefixes)
{
	return (uint64_t)r->source.first + r->source.n <= n_prefixes &&
	       (uint64_t)r->destination.first + r->destination.n <= n_prefixes &&
	       r->directory >= -1 && r->directory < MR_MAX_DIRECTORIES && r->state <= MR_RULE_FREE;
}

bool worker_rules_fit(const struct mr_lane_config *c, size_t bytes)
{
	const struct mr_lane_rule *r;
	uint64_t need = sizeof(*c);

	if (bytes < need || c->version != MR_WORKER_VERSION || c->n_rules > MR_MAX_RULES)
		return false;
	need += (uint64_t)c->n_rules * sizeof(*r) + (uint64_t)c->n_prefixes * sizeof(struct mr_net);
	if (bytes < need)
		return false;
	r = worker_rules_of(c);
	for (uint32_t i = 0; i < c->n_rules; i++)
		if (!is_sane(&r[i], c->n_prefixes))
			return false;
	return true;
}

void worker_rules_answer(struct worker *w, uint32_t serial, int error, const char *words)
{
	struct mr_rules_answer a = { .serial = serial, .error = error };

	snprintf(a.words, sizeof(a.words), "%s", words);
	worker_send(w, &a, MR_MSG_RULES_ANSWER, sizeof(a));
}

/* Sealed, so that it neither shrinks under the mapping nor changes behind the check. */
static const struct mr_lane_config *map(int fd, size_t *bytes)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_WRITE;
	struct stat st;
	void *p;

	if (fd < 0 || (fcntl(fd, F_GET_SEALS) & seals) != seals || fstat(fd, &st) < 0 ||
	    st.st_size <= 0 || st.st_size > RULES_BYTES_MOST)
		return NULL;
	*bytes = (size_t)st.st_size;
	p = mmap(NULL, *bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (worker_rules_fit(p, *bytes))
		return p;
	munmap(p, *bytes);
	return NULL;
}

static void keep(struct worker *w, const struct mr_lane_config *c, size_t bytes)
{
	if (w->rules)
		munmap((void *)(uintptr_t)w->rules, w->rules_bytes);
	w->rules = c;
	w->rules_bytes = bytes;
}

void worker_rules(struct worker *w, uint32_t serial, int fd)
{
	char words[MR_RULES_WORDS] = "";
	size_t bytes = 0;
	const struct mr_lane_config *c = map(fd, &bytes);
	int err;

	if (!c) {
		worker_rules_answer(w, serial, -EPROTO,
				    "the rules cannot be read (install one build)");
		return;
	}
	err = mr_lane_rules(w->lane, worker_rules_of(c), c->n_rules, worker_prefixes_of(c), words,
			    sizeof(words));
	if (err) {
		munmap((void *)(uintptr_t)c, bytes);
		worker_say(w, "other rules are refused: %s", words);
	} else {
		keep(w, c, bytes);
		w->rules_serial = serial;
	}
	worker_rules_answer(w, serial, err, words);
}
