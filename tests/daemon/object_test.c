/* SPDX-License-Identifier: MIT */
/* user/daemon/programs.h: the ABI record of an object file, whatever the file is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <linux/types.h>

#include "shared/mr_verdict.h"
#include "user/daemon/programs.h"

static char *bytes;
static size_t len;

static int read_object(void **state)
{
	const char *build = getenv("MR_BUILD");
	char path[512];
	FILE *in;

	(void)state;
	snprintf(path, sizeof(path), "%s/millrace.bpf.o", build ? build : "build");
	in = fopen(path, "re");
	assert_non_null(in);
	bytes = malloc(1 << 20);
	assert_non_null(bytes);
	len = fread(bytes, 1, 1 << 20, in);
	fclose(in);
	return len ? 0 : -1;
}

static int free_object(void **state)
{
	(void)state;
	free(bytes);
	return 0;
}

static void our_object_has_our_abi(void **state)
{
	struct mr_abi abi = { 0 };

	(void)state;
	assert_int_equal(mr_object_abi(bytes, len, &abi), 0);
	assert_int_equal(abi.magic, MR_ABI_MAGIC);
	assert_int_equal(abi.major, MR_ABI_MAJOR);
	assert_int_equal(abi.minor, MR_ABI_MINOR);
	assert_int_equal(abi.n_verdicts, MR_VERDICT_COUNT);
}

/* Each length in a block of its own, so that a byte beyond it is found. */
static void object_cut_anywhere_is_refused_or_whole(void **state)
{
	(void)state;
	for (size_t n = 0; n < len; n += n < 256 ? 1 : 997) {
		char *part = malloc(n ? n : 1);
		struct mr_abi abi;

		assert_non_null(part);
		memcpy(part, bytes, n);
		assert_int_not_equal(mr_object_abi(part, n, &abi), 0);
		free(part);
	}
}

static void noise_is_no_object(void **state)
{
	char noise[64] = "no object, but words that go on for a while, so that it is long";
	struct mr_abi abi;

	(void)state;
	assert_int_equal(mr_object_abi(noise, sizeof(noise), &abi), -ENOEXEC);
}

/* Who may write the file could have root load what he likes. */
static void file_that_others_may_write_is_refused(void **state)
{
	char path[] = "/tmp/mr_object_XXXXXX", words[200] = "";
	int fd = mkstemp(path);
	struct mr_object_file file;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	if (geteuid() == 0) {
		assert_int_equal(fchmod(fd, 0644), 0);
		assert_int_equal(mr_object_read(path, &file, words, sizeof(words)), 0);
		mr_object_free(&file);
	}
	assert_int_equal(fchmod(fd, 0666), 0);
	assert_int_equal(mr_object_read(path, &file, words, sizeof(words)), -EACCES);
	assert_non_null(strstr(words, "chmod go-w"));
	assert_int_equal(mr_object_read("/dev/zero", &file, words, sizeof(words)), -EACCES);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_object_has_our_abi),
		cmocka_unit_test(object_cut_anywhere_is_refused_or_whole),
		cmocka_unit_test(noise_is_no_object),
		cmocka_unit_test(file_that_others_may_write_is_refused),
	};

	return cmocka_run_group_tests(tests, read_object, free_object);
}
