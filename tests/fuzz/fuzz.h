/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share: an input that is read from its front, and a check that ends the
 * program in a way that the fuzzer reports. A target is one file NAME_fuzz.c that defines
 * LLVMFuzzerTestOneInput(); docs/fuzzing.md says how they are run.
 */
#ifndef MR_FUZZ_H
#define MR_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/** fuzz_failed() - say what did not hold, and abort */
_Noreturn void fuzz_failed(const char *file, int line, const char *what);

#define FUZZ_CHECK(cond)                                                                           \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fuzz_failed(__FILE__, __LINE__, #cond);                                    \
	} while (0)

/** struct fuzz_in - the part of the input that was not read yet; an empty one gives zeros */
struct fuzz_in {
	const uint8_t *p;
	size_t len;
};

static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
	if (!in->len)
		return 0;
	in->len--;
	return *in->p++;
}

static inline uint16_t fuzz_u16(struct fuzz_in *in)
{
	uint16_t high = fuzz_u8(in);

	return (uint16_t)(high << 8 | fuzz_u8(in));
}

static inline uint32_t fuzz_u32(struct fuzz_in *in)
{
	uint32_t high = fuzz_u16(in);

	return high << 16 | fuzz_u16(in);
}

/** fuzz_take() - the next bytes, at most @most; *@n of them; they stay the input's */
static inline const uint8_t *fuzz_take(struct fuzz_in *in, size_t most, size_t *n)
{
	const uint8_t *p = in->p;

	*n = in->len < most ? in->len : most;
	in->p += *n;
	in->len -= *n;
	return p;
}

/** fuzz_copy() - @len bytes in memory of exactly that size, to be freed; never NULL */
uint8_t *fuzz_copy(const void *bytes, size_t len);

#endif
