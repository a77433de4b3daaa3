/* SPDX-License-Identifier: MIT */
/*
 * Values as text, in JSON or separated by tabs, into a buffer that its owner sized: for answers of
 * a million rows, where an object a row would cost more than all else. What does not fit is left
 * out and noted, never written beyond the end.
 */
#ifndef MR_DAEMON_OUT_H
#define MR_DAEMON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/**
 * struct mr_out - where text goes
 * @at:		the next byte
 * @end:	behind the last one that may be written
 * @json:	else for columns: strings without quotes, a dash for what is not known or empty
 * @cut:	something did not fit
 */
struct mr_out {
	char *at;
	char *end;
	bool json;
	bool cut;
};

/** mr_out_text() - bytes as they are */
static inline void mr_out_text(struct mr_out *o, const char *text, size_t len)
{
	if ((size_t)(o->end - o->at) < len) {
		o->cut = true;
		return;
	}
	memcpy(o->at, text, len);
	o->at += len;
}

/** mr_out_string() - of JSON with quotes, control characters escaped; of columns as blanks */
void mr_out_string(struct mr_out *o, const char *s);

/** mr_out_number(), mr_out_signed(), mr_out_flag(), mr_out_null(): what their names say */
void mr_out_number(struct mr_out *o, uint64_t v);
void mr_out_signed(struct mr_out *o, int64_t v);
void mr_out_flag(struct mr_out *o, bool v);
void mr_out_null(struct mr_out *o);

/** mr_out_address() - as mr_address_text(), in quotes of JSON */
void mr_out_address(struct mr_out *o, const uint8_t addr[16]);

#endif
