/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/cli/mask.h"

enum {
	TEXT_BYTES = INET6_ADDRSTRLEN, /* of an address */
	MAC_CHARS = 17,
	NAME_BYTES = 32,
};

enum kind {
	NONE,
	IPV4,
	IPV6,
	MAC,
	N_KINDS,
};

/* One address, in the form in which equal ones are equal. */
struct entry {
	enum kind kind;
	unsigned char bytes[16];
	unsigned int number;
};

struct mr_mask {
	struct entry *list;
	size_t n, room;
	unsigned int last[N_KINDS];
	char word[256];
	const char *word_name;
};

struct mr_mask *mr_mask_new(void)
{
	return calloc(1, sizeof(struct mr_mask));
}

void mr_mask_free(struct mr_mask *m)
{
	if (m)
		free(m->list);
	free(m);
}

void mr_mask_word(struct mr_mask *m, const char *word, const char *name)
{
	snprintf(m->word, sizeof(m->word), "%s", word);
	m->word_name = name;
}

static bool is_address_char(char c)
{
	return isxdigit((unsigned char)c) || c == ':' || c == '.';
}

static bool is_word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool parse_mac(const char *text, unsigned char bytes[16])
{
	for (int i = 0; i < MAC_CHARS; i++)
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
	for (int i = 0; i < 6; i++)
		bytes[i] = (unsigned char)strtoul(text + 3 * i, NULL, 16);
	return text[MAC_CHARS] == '\0';
}

/* What the @len characters at @text are. */
static enum kind parse(const char *text, size_t len, unsigned char bytes[16])
{
	char copy[TEXT_BYTES + 1];

	if (len > TEXT_BYTES)
		return NONE;
	memcpy(copy, text, len);
	copy[len] = '\0';
	memset(bytes, 0, 16);
	if (parse_mac(copy, bytes))
		return MAC;
	if (inet_pton(AF_INET, copy, bytes) == 1)
		return IPV4;
	return inet_pton(AF_INET6, copy, bytes) == 1 ? IPV6 : NONE;
}

static bool is_of_everybody(enum kind kind, const unsigned char bytes[16])
{
	static const unsigned char zero[16];

	if (kind == IPV4)
		return bytes[0] == 127 || !memcmp(bytes, zero, 4);
	return !memcmp(bytes, zero, 15) && bytes[15] <= (kind == IPV6);
}

/* An IPv4 address is the same when it is written as a mapped one. */
static enum kind unmap(enum kind kind, unsigned char bytes[16])
{
	if (kind != IPV6 || !IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)bytes))
		return kind;
	memmove(bytes, bytes + 12, 4);
	memset(bytes + 4, 0, 12);
	return IPV4;
}

/* The number of an address, given at its first sight; 0 when memory is short. */
static unsigned int number_of(struct mr_mask *m, enum kind kind, const unsigned char bytes[16])
{
	for (size_t i = 0; i < m->n; i++)
		if (m->list[i].kind == kind && !memcmp(m->list[i].bytes, bytes, 16))
			return m->list[i].number;
	if (m->n == m->room) {
		size_t room = m->room ? 2 * m->room : 64;
		struct entry *list = realloc(m->list, room * sizeof(*list));

		if (!list)
			return 0;
		m->list = list;
		m->room = room;
	}
	m->list[m->n].kind = kind;
	memcpy(m->list[m->n].bytes, bytes, 16);
	m->list[m->n].number = ++m->last[kind];
	return m->list[m->n++].number;
}

/*
 * The address that begins at @text, which is the beginning of a word: the longest one, so that a
 * port or a full stop behind it is not taken for a part. Returns its length, 0: there is none.
 */
static size_t find(const char *text, enum kind *kind, unsigned char bytes[16])
{
	size_t len = 0;

	while (len <= TEXT_BYTES && is_address_char(text[len]))
		len++;
	for (; len >= 2; len--) {
		if (is_word_char(text[len]) && is_word_char(text[len - 1]))
			continue;
		*kind = parse(text, len, bytes);
		if (*kind != NONE)
			return len;
	}
	return 0;
}

/* What stands at @text, if it is to be replaced: its length, and @name for it. */
static size_t replace(struct mr_mask *m, const char *text, char name[NAME_BYTES])
{
	static const char *const names[N_KINDS] = { "", "ipv4", "ipv6", "mac" };
	size_t word = strlen(m->word), len;
	unsigned char bytes[16];
	enum kind kind;

	if (word && !strncmp(text, m->word, word) && !is_word_char(text[word])) {
		snprintf(name, NAME_BYTES, "%s", m->word_name);
		return word;
	}
	len = find(text, &kind, bytes);
	if (!len || is_of_everybody(kind, bytes))
		return 0;
	kind = unmap(kind, bytes);
	snprintf(name, NAME_BYTES, "%s-%u", names[kind], number_of(m, kind, bytes));
	return len;
}

char *mr_mask_text(struct mr_mask *m, const char *text)
{
	char *out = NULL, name[NAME_BYTES], before = ' ';
	size_t bytes;
	FILE *f = open_memstream(&out, &bytes);

	if (!f)
		return NULL;
	while (*text) {
		size_t len = is_word_char(before) ? 0 : replace(m, text, name);

		if (len) {
			fputs(name, f);
			text += len;
			before = 'x';
			continue;
		}
		before = *text;
		/* behind a character of an address, none begins: 1.2.3.4.5 is none */
		if (before == '.')
			before = 'x';
		putc(*text++, f);
	}
	if (fclose(f) != 0) {
		free(out);
		return NULL;
	}
	return out;
}
