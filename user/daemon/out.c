/* SPDX-License-Identifier: MIT */
#include "user/daemon/out.h"

#include <stdio.h>
#include <string.h>

#include "user/daemon/daemon.h"

static const uint8_t v4_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* What names are made of, in both formats as it is. */
static const bool is_plain[256] = {
	['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true,
	['_'] = true,	      ['.'] = true,	    [':'] = true,
};

static void literal(struct mr_out *o, const char *text)
{
	mr_out_text(o, text, strlen(text));
}

/* One character of a string: as it is, or what stands for it. */
static void put_char(struct mr_out *o, char c)
{
	char escaped[8];

	if (o->json && (c == '"' || c == '\\')) {
		mr_out_text(o, (char[]){ '\\', c }, 2);
	} else if ((unsigned char)c >= ' ' && (unsigned char)c < 0x7f) {
		mr_out_text(o, &c, 1);
	} else if (o->json) {
		/* Not of UTF-8 for certain, so no byte above 0x7f goes out as it is. */
		snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned char)c);
		literal(o, escaped);
	} else {
		mr_out_text(o, " ", 1);
	}
}

void mr_out_string(struct mr_out *o, const char *s)
{
	size_t plain = 0;

	if (!*s && !o->json) {
		mr_out_null(o);
		return;
	}
	while (is_plain[(unsigned char)s[plain]])
		plain++;
	mr_out_text(o, "\"", o->json);
	mr_out_text(o, s, plain);
	for (s += plain; *s; s++)
		put_char(o, *s);
	mr_out_text(o, "\"", o->json);
}

void mr_out_number(struct mr_out *o, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	mr_out_text(o, digits + i, sizeof(digits) - i);
}

void mr_out_signed(struct mr_out *o, int64_t v)
{
	if (v < 0)
		mr_out_text(o, "-", 1);
	mr_out_number(o, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void mr_out_flag(struct mr_out *o, bool v)
{
	if (o->json)
		literal(o, v ? "true" : "false");
	else
		literal(o, v ? "yes" : "no");
}

void mr_out_null(struct mr_out *o)
{
	literal(o, o->json ? "null" : "-");
}

void mr_out_address(struct mr_out *o, const uint8_t addr[16])
{
	char text[64];

	if (memcmp(addr, v4_mapped, sizeof(v4_mapped)) != 0) {
		mr_out_string(o, mr_address_text(addr, text));
		return;
	}
	if (o->json)
		mr_out_text(o, "\"", 1);
	for (int i = 12; i < 16; i++) {
		mr_out_number(o, addr[i]);
		if (i < 15)
			mr_out_text(o, ".", 1);
	}
	if (o->json)
		mr_out_text(o, "\"", 1);
}
