/* SPDX-License-Identifier: MIT */
#include "user/cli/tap.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* Copying goes on so long after the last sign of life of who asked for it. */
#define LEASE_NS 3000000000ull

enum {
	BATCH = 64, /* if fewer frames came at once, let them gather */
	GATHER_NS = 2000000,
};

struct mr_tap_reader {
	char pin[PATH_MAX]; /* of mr1_tap */
	uint32_t map_id;    /* of mr1_tap */
	int map, rings;	    /* mr1_tap, mr1_tapring */
	int ring;	    /* our own */
	struct mr_tap *tap; /* mapped, shared with the program */
	uint64_t owner;
	struct ring_buffer *reader;
	mr_tap_taker take;
	void *arg;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static const char *cure_of(int err)
{
	switch (err) {
	case EPERM:
	case EACCES:
		return " (run as root)";
	case ENOENT:
		return " (is millraced running? --pins says where the maps are; an older program "
		       "has none to capture by)";
	default:
		return "";
	}
}

static int open_pin(const struct mr_tap_wants *w, const char *name, char path[PATH_MAX],
		    char why[MR_TAP_WORDS])
{
	int fd;

	snprintf(path, PATH_MAX, "%s/%s", w->pins, name);
	fd = bpf_obj_get(path);
	if (fd >= 0)
		return fd;
	snprintf(why, MR_TAP_WORDS, "%.100s/%s: %s%s", w->pins, name, strerror(errno),
		 cure_of(errno));
	return -errno;
}

static uint32_t id_of(int map)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(map, &info, &len) < 0 ? 0 : info.id;
}

static int open_maps(struct mr_tap_reader *t, const struct mr_tap_wants *w, char why[MR_TAP_WORDS])
{
	char path[PATH_MAX];
	void *p;

	t->map = open_pin(w, "mr1_tap", t->pin, why);
	if (t->map < 0)
		return t->map;
	t->rings = open_pin(w, "mr1_tapring", path, why);
	if (t->rings < 0)
		return t->rings;
	t->map_id = id_of(t->map);
	p = mmap(NULL, sizeof(*t->tap), PROT_READ | PROT_WRITE, MAP_SHARED, t->map, 0);
	if (p == MAP_FAILED) {
		snprintf(why, MR_TAP_WORDS, "%.100s cannot be mapped: %s", t->pin, strerror(errno));
		return -errno;
	}
	t->tap = p;
	return 0;
}

/* The program made the record; its length is checked all the same. */
static int take_record(void *arg, void *data, size_t size)
{
	struct mr_tap_reader *t = arg;
	const struct mr_tap_frame *head = data;

	if (size < sizeof(*head) || head->copied > size - sizeof(*head))
		return 0;
	return t->take(t->arg, head, (const uint8_t *)(head + 1));
}

static int open_ring(struct mr_tap_reader *t, const struct mr_tap_wants *w, char why[MR_TAP_WORDS])
{
	t->ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "mr1_capture", 0, 0, w->ring_bytes, NULL);
	if (t->ring < 0) {
		snprintf(why, MR_TAP_WORDS, "a ring of %u KiB: %s%s", w->ring_bytes >> 10,
			 strerror(errno), cure_of(errno));
		return -errno;
	}
	t->reader = ring_buffer__new(t->ring, take_record, t, NULL);
	if (t->reader)
		return 0;
	snprintf(why, MR_TAP_WORDS, "the ring cannot be mapped: %s", strerror(errno));
	return -errno;
}

/* Only one can: the owner's lease must be over. */
static bool take_over(struct mr_tap_reader *t)
{
	uint64_t was = __atomic_load_n(&t->tap->owner, __ATOMIC_ACQUIRE);

	if (was && __atomic_load_n(&t->tap->until_ns, __ATOMIC_RELAXED) > now_ns())
		return false;
	return __atomic_compare_exchange_n(&t->tap->owner, (__u64 *)&was, t->owner, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static bool is_ours(const struct mr_tap_reader *t)
{
	return __atomic_load_n(&t->tap->owner, __ATOMIC_ACQUIRE) == t->owner;
}

static void switch_off(struct mr_tap_reader *t)
{
	uint32_t zero = 0;

	if (!t->tap || !is_ours(t))
		return;
	__atomic_store_n(&t->tap->until_ns, 0, __ATOMIC_RELEASE);
	bpf_map_delete_elem(t->rings, &zero);
	__atomic_store_n(&t->tap->owner, 0, __ATOMIC_RELEASE);
}

static int switch_on(struct mr_tap_reader *t, const struct mr_tap_wants *w, char why[MR_TAP_WORDS])
{
	struct mr_tap *tap = t->tap;
	uint32_t zero = 0;

	if (!take_over(t)) {
		snprintf(why, MR_TAP_WORDS,
			 "another capture is running, and there can be but one; end that one (one "
			 "that was killed is over after %d s)",
			 (int)(LEASE_NS / 1000000000));
		return -EBUSY;
	}
	if (bpf_map_update_elem(t->rings, &zero, &t->ring, BPF_ANY) < 0) {
		snprintf(why, MR_TAP_WORDS, "mr1_tapring cannot be written: %s%s", strerror(errno),
			 cure_of(errno));
		return -errno;
	}
	tap->ifindex = w->ifindex;
	tap->copy_bytes = w->copy_bytes;
	tap->wake_bytes = w->ring_bytes / 4;
	__atomic_store_n(&tap->lost, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&tap->until_ns, now_ns() + LEASE_NS, __ATOMIC_RELEASE);
	return 0;
}

struct mr_tap_reader *mr_tap_open(const struct mr_tap_wants *w, mr_tap_taker take, void *arg,
				  char why[MR_TAP_WORDS])
{
	struct mr_tap_reader *t = calloc(1, sizeof(*t));

	if (!t) {
		snprintf(why, MR_TAP_WORDS, "out of memory");
		return NULL;
	}
	t->map = t->rings = t->ring = -1;
	t->take = take;
	t->arg = arg;
	while (!t->owner)
		if (getrandom(&t->owner, sizeof(t->owner), 0) < 0)
			t->owner = now_ns();
	if (open_maps(t, w, why) < 0 || open_ring(t, w, why) < 0 || switch_on(t, w, why) < 0) {
		mr_tap_close(t);
		return NULL;
	}
	return t;
}

/* Whether the pin is still the map that we write to: a daemon that starts makes new ones. */
static bool is_pinned(const struct mr_tap_reader *t)
{
	int fd = bpf_obj_get(t->pin);
	bool same = fd >= 0 && id_of(fd) == t->map_id;

	if (fd >= 0)
		close(fd);
	return same;
}

static int stay_on(struct mr_tap_reader *t, char why[MR_TAP_WORDS])
{
	uint64_t now = now_ns(), until = __atomic_load_n(&t->tap->until_ns, __ATOMIC_RELAXED);

	if (until > now + LEASE_NS * 2 / 3)
		return 0;
	if (!is_ours(t)) {
		snprintf(why, MR_TAP_WORDS,
			 "another capture took over: this one was stopped for "
			 "longer than 3 s");
		return -ESTALE;
	}
	if (!is_pinned(t)) {
		snprintf(why, MR_TAP_WORDS, "the maps are gone: millraced ended or was restarted");
		return -ESTALE;
	}
	__atomic_store_n(&t->tap->until_ns, now + LEASE_NS, __ATOMIC_RELEASE);
	return 0;
}

int mr_tap_read(struct mr_tap_reader *t, int wait_ms, char why[MR_TAP_WORDS])
{
	int n = stay_on(t, why);

	if (n < 0)
		return n;
	n = ring_buffer__poll(t->reader, wait_ms);
	if (n == 0) /* the program does not wake us for a few frames */
		n = ring_buffer__consume(t->reader);
	if (n > 0 && n < BATCH)
		nanosleep(&(struct timespec){ .tv_nsec = GATHER_NS }, NULL);
	if (n < 0 && n != -EINTR)
		snprintf(why, MR_TAP_WORDS, "the ring cannot be read: %s", strerror(-n));
	return n < 0 ? n : 0;
}

void mr_tap_stop(struct mr_tap_reader *t)
{
	if (is_ours(t))
		__atomic_store_n(&t->tap->until_ns, 0, __ATOMIC_RELEASE);
}

int mr_tap_drain(struct mr_tap_reader *t)
{
	int n = ring_buffer__consume(t->reader);

	return n < 0 ? n : 0;
}

uint64_t mr_tap_lost(const struct mr_tap_reader *t)
{
	return __atomic_load_n(&t->tap->lost, __ATOMIC_RELAXED);
}

void mr_tap_close(struct mr_tap_reader *t)
{
	if (!t)
		return;
	switch_off(t);
	ring_buffer__free(t->reader);
	if (t->tap)
		munmap(t->tap, sizeof(*t->tap));
	if (t->ring >= 0)
		close(t->ring);
	if (t->rings >= 0)
		close(t->rings);
	if (t->map >= 0)
		close(t->map);
	free(t);
}
