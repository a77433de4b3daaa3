/* SPDX-License-Identifier: MIT */
/* docs/apps.md, "store": the record, the files, their limits, and write errors. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/apps/fake_host.h"
#include "user/apps/apps.h"
#include "user/apps/store.h"

struct fixture {
	char path[64];
	int directory;
	struct mr_host h;
};

static void start(struct fixture *fx)
{
	struct mr_app_args args = { .rule_name = "test", .directory = fx->directory };

	fake_host_init(&fx->h, &mr_app_store);
	assert_int_equal(mr_app_store.start(&fx->h, &args, &fx->h.rule_state), 0);
}

static void stop(struct fixture *fx)
{
	mr_app_store.stop(&fx->h, fx->h.rule_state);
	fake_host_fini(&fx->h);
}

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	strcpy(fx->path, "/tmp/millrace-store-XXXXXX");
	if (!mkdtemp(fx->path))
		return -1;
	fx->directory = open(fx->path, O_RDONLY | O_DIRECTORY);
	start(fx);
	*state = fx;
	return fx->directory < 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;
	struct dirent *e;
	DIR *d;

	stop(fx);
	d = fdopendir(fx->directory);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(fx->directory, e->d_name, 0);
	closedir(d);
	rmdir(fx->path);
	free(fx);
	return 0;
}

static const struct mr_store_errors *errors(struct fixture *fx)
{
	return mr_store_errors(fx->h.rule_state);
}

/* The whole file; free() it. */
static uint8_t *contents(struct fixture *fx, const char *name, size_t *len)
{
	int fd = openat(fx->directory, name, O_RDONLY);
	struct stat st;
	uint8_t *p;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	p = malloc((size_t)st.st_size + 1);
	assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
	close(fd);
	*len = (size_t)st.st_size;
	return p;
}

static uint64_t load_be(const uint8_t *p, unsigned int n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static unsigned int n_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void start_without_directory_is_refused(void **state)
{
	struct mr_app_args args = { .rule_name = "test", .directory = -1 };
	void *rule_state = NULL;
	struct mr_host h;

	(void)state;
	fake_host_init(&h, &mr_app_store);
	assert_int_equal(mr_app_store.start(&h, &args, &rule_state), -ENOTDIR);
	assert_null(rule_state);
}

static void messages_become_records_in_the_file_of_their_tag(void **state)
{
	static const uint8_t want[] = { 0,   0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 'a', 'b',
					'c', 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0 };
	struct fixture *fx = *state;
	mr_conn_id c1 = fake_open(&fx->h), c2 = fake_open(&fx->h);
	uint8_t *p;
	size_t len;

	assert_int_equal(fake_message(&fx->h, c1, 7, "abc", 3), MR_APP_DONE);
	assert_int_equal(fake_message(&fx->h, c2, 65535, "z", 1), MR_APP_DONE);
	assert_int_equal(fake_message(&fx->h, c2, 7, "", 0), MR_APP_DONE);

	p = contents(fx, "tag-7.bin", &len);
	assert_int_equal(len, sizeof(want));
	assert_memory_equal(p, want, sizeof(want));
	free(p);
	p = contents(fx, "tag-65535.bin", &len);
	assert_int_equal(len, MR_STORE_RECORD_HEADER + 1);
	free(p);
	assert_int_equal(fx->h.conns[0].out_bytes, 0);
}

static void largest_tag_has_a_file_name(void **state)
{
	struct fixture *fx = *state;
	mr_conn_id c = fake_open(&fx->h);
	uint8_t *p;
	size_t len;

	assert_int_equal(fake_message(&fx->h, c, UINT64_MAX, "abc", 3), MR_APP_DONE);
	p = contents(fx, "tag-18446744073709551615.bin", &len);
	assert_int_equal(len, MR_STORE_RECORD_HEADER + 3);
	free(p);
}

static void records_of_an_earlier_life_are_kept(void **state)
{
	struct fixture *fx = *state;
	uint8_t *p;
	size_t len;

	assert_int_equal(fake_message(&fx->h, fake_open(&fx->h), 1, "abc", 3), MR_APP_DONE);
	stop(fx);
	start(fx);
	assert_int_equal(fake_message(&fx->h, fake_open(&fx->h), 1, "defg", 4), MR_APP_DONE);
	p = contents(fx, "tag-1.bin", &len);
	assert_int_equal(len, 2 * MR_STORE_RECORD_HEADER + 7);
	free(p);
}

static void many_tags_keep_few_descriptors_and_all_records(void **state)
{
	struct fixture *fx = *state;
	mr_conn_id c = fake_open(&fx->h);
	unsigned int before = n_descriptors(), round, tag;
	uint8_t *p;
	size_t len;
	char name[32];

	for (round = 0; round < 3; round++)
		for (tag = 0; tag < 200; tag++)
			assert_int_equal(fake_message(&fx->h, c, tag, "abc", 3), MR_APP_DONE);
	assert_int_equal(n_descriptors(), before + MR_STORE_FILES_OPEN);
	for (tag = 0; tag < 200; tag++) {
		snprintf(name, sizeof(name), "tag-%u.bin", tag);
		p = contents(fx, name, &len);
		assert_int_equal(len, 3 * (MR_STORE_RECORD_HEADER + 3));
		free(p);
	}
}

/* A file that was taken away shows which descriptors are still the old ones. */
static void least_recently_used_file_is_the_one_closed(void **state)
{
	struct fixture *fx = *state;
	mr_conn_id c = fake_open(&fx->h);
	unsigned int tag;

	for (tag = 0; tag < MR_STORE_FILES_OPEN; tag++)
		fake_message(&fx->h, c, tag, "", 0);
	fake_message(&fx->h, c, 0, "", 0); /* now 1 is the oldest */
	fake_message(&fx->h, c, 1000, "", 0);
	unlinkat(fx->directory, "tag-0.bin", 0);
	unlinkat(fx->directory, "tag-1.bin", 0);
	fake_message(&fx->h, c, 0, "", 0);
	fake_message(&fx->h, c, 1, "", 0);
	assert_int_equal(faccessat(fx->directory, "tag-0.bin", F_OK, 0), -1);
	assert_int_equal(faccessat(fx->directory, "tag-1.bin", F_OK, 0), 0);
}

static void link_in_the_directory_is_not_followed(void **state)
{
	struct fixture *fx = *state;
	mr_conn_id c = fake_open(&fx->h);

	assert_int_equal(symlinkat("tag-2.bin", fx->directory, "tag-1.bin"), 0);
	assert_int_equal(fake_message(&fx->h, c, 1, "abc", 3), MR_APP_CLOSED);
	assert_int_equal(fake_end(&fx->h, c), FAKE_ABORTED);
	assert_int_equal(faccessat(fx->directory, "tag-2.bin", F_OK, 0), -1);
	assert_int_equal(errors(fx)->count, 1);
	assert_int_equal(errors(fx)->last, ELOOP);
	assert_int_equal(errors(fx)->last_tag, 1);
}

static void error_of_one_tag_costs_only_its_connection(void **state)
{
	struct fixture *fx = *state;
	mr_conn_id bad = fake_open(&fx->h), good = fake_open(&fx->h);

	assert_int_equal(mkdirat(fx->directory, "tag-1.bin", 0700), 0);
	assert_int_equal(fake_message(&fx->h, bad, 1, "abc", 3), MR_APP_CLOSED);
	assert_int_equal(fake_message(&fx->h, good, 2, "abc", 3), MR_APP_DONE);
	assert_int_equal(fake_end(&fx->h, good), FAKE_ALIVE);
	assert_int_equal(errors(fx)->last, EISDIR);
	unlinkat(fx->directory, "tag-1.bin", AT_REMOVEDIR);
	good = fake_open(&fx->h);
	assert_int_equal(fake_message(&fx->h, good, 1, "abc", 3), MR_APP_DONE);
}

/* A limit on the file's size makes the kernel write a part of a record, as a full disk does. */
static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void record_cut_in_its_value_is_marked_void(void **state)
{
	static const uint8_t want[] = { 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 'a', 'b', 'c',
					0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, '0', '1' };
	struct fixture *fx = *state;
	mr_conn_id c = fake_open(&fx->h);
	uint8_t *p;
	size_t len;

	fake_message(&fx->h, c, 1, "abc", 3);
	limit_file_size(sizeof(want));
	assert_int_equal(fake_message(&fx->h, c, 1, "0123456789", 10), MR_APP_CLOSED);
	limit_file_size(RLIM_INFINITY);
	assert_int_equal(fake_end(&fx->h, c), FAKE_ABORTED);
	assert_int_equal(errors(fx)->count, 1);
	assert_int_equal(errors(fx)->last, ENOSPC);
	assert_int_equal(errors(fx)->torn, 0);

	p = contents(fx, "tag-1.bin", &len);
	assert_int_equal(len, sizeof(want));
	assert_memory_equal(p, want, sizeof(want));
	free(p);

	c = fake_open(&fx->h);
	assert_int_equal(fake_message(&fx->h, c, 1, "abc", 3), MR_APP_DONE);
	p = contents(fx, "tag-1.bin", &len);
	assert_int_equal(len, sizeof(want) + MR_STORE_RECORD_HEADER + 3);
	free(p);
}

static void record_cut_in_its_header_is_cut_off(void **state)
{
	struct fixture *fx = *state;
	mr_conn_id c = fake_open(&fx->h);
	uint8_t *p;
	size_t len;

	fake_message(&fx->h, c, 1, "abc", 3);
	limit_file_size(MR_STORE_RECORD_HEADER + 3 + 5);
	assert_int_equal(fake_message(&fx->h, c, 1, "0123456789", 10), MR_APP_CLOSED);
	limit_file_size(RLIM_INFINITY);
	assert_int_equal(errors(fx)->torn, 0);
	p = contents(fx, "tag-1.bin", &len);
	assert_int_equal(len, MR_STORE_RECORD_HEADER + 3);
	free(p);
}

static void full_file_aborts_and_is_unchanged(void **state)
{
	struct fixture *fx = *state;
	mr_conn_id c = fake_open(&fx->h);
	uint8_t *p;
	size_t len;

	fake_message(&fx->h, c, 1, "abc", 3);
	limit_file_size(MR_STORE_RECORD_HEADER + 3);
	assert_int_equal(fake_message(&fx->h, c, 1, "0123456789", 10), MR_APP_CLOSED);
	limit_file_size(RLIM_INFINITY);
	assert_int_equal(errors(fx)->last, EFBIG);
	p = contents(fx, "tag-1.bin", &len);
	assert_int_equal(len, MR_STORE_RECORD_HEADER + 3);
	free(p);
}

enum {
	WRITERS = 2,
	RECORDS = 2000,
	VALUE_MAX = 9000, /* over two pages, so that a record does not fit one of them */
};

static size_t value_bytes(unsigned int i)
{
	return i * 37 % VALUE_MAX;
}

/* Another process appends RECORDS records, as another lane would. Writer w fills with its byte. */
static pid_t append_in_child(struct fixture *fx, unsigned int writer)
{
	static uint8_t value[VALUE_MAX];
	pid_t pid = fork();
	mr_conn_id c = 0;
	unsigned int i;

	if (pid)
		return pid;
	memset(value, (int)('A' + writer), sizeof(value));
	start(fx);
	while (c < 1 + writer)
		c = fake_open(&fx->h);
	for (i = 0; i < RECORDS; i++)
		if (fake_message(&fx->h, c, 1, value, value_bytes(i)) != MR_APP_DONE)
			_exit(1);
	_exit(0);
}

static void two_lanes_in_one_file_never_mix_records(void **state)
{
	struct fixture *fx = *state;
	unsigned int seen[WRITERS] = { 0 }, w;
	size_t len, at, i, n;
	uint64_t id;
	uint8_t *p;

	for (w = 0; w < WRITERS; w++)
		assert_true(append_in_child(fx, w) > 0);
	for (w = 0; w < WRITERS; w++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	p = contents(fx, "tag-1.bin", &len);
	for (at = 0; at < len; at += MR_STORE_RECORD_HEADER + n) {
		assert_true(len - at >= MR_STORE_RECORD_HEADER);
		id = load_be(p + at, 8);
		n = load_be(p + at + 8, 4);
		assert_in_range(id, 1, WRITERS);
		assert_int_equal(n, value_bytes(seen[id - 1]++));
		assert_true(n <= len - at - MR_STORE_RECORD_HEADER);
		for (i = 0; i < n; i++)
			if (p[at + MR_STORE_RECORD_HEADER + i] != 'A' + id - 1)
				fail_msg("record of %u at %zu: foreign byte", (unsigned int)id, at);
	}
	for (w = 0; w < WRITERS; w++)
		assert_int_equal(seen[w], RECORDS);
	free(p);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_without_directory_is_refused),
		T(messages_become_records_in_the_file_of_their_tag),
		T(largest_tag_has_a_file_name),
		T(records_of_an_earlier_life_are_kept),
		T(many_tags_keep_few_descriptors_and_all_records),
		T(least_recently_used_file_is_the_one_closed),
		T(link_in_the_directory_is_not_followed),
		T(error_of_one_tag_costs_only_its_connection),
		T(record_cut_in_its_value_is_marked_void),
		T(record_cut_in_its_header_is_cut_off),
		T(full_file_aborts_and_is_unchanged),
		T(two_lanes_in_one_file_never_mix_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
