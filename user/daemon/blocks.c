/* SPDX-License-Identifier: MIT */
#include "user/daemon/blocks.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LINE_BYTES = 256,
	KEY_BYTES = offsetof(struct mr_block_item, action),
};

static unsigned int bits_of(uint8_t family)
{
	return family == 4 ? 32 : 128;
}

/* Whether nothing stands behind the prefix; it is cut off in any case. */
static bool cut(uint8_t addr[16], unsigned int bits)
{
	bool was_clean = true;

	for (unsigned int i = 0; i < 16; i++) {
		unsigned int kept = bits > 8 * i ? bits - 8 * i : 0;
		uint8_t mask = kept >= 8 ? 0xff : (uint8_t)(0xff00 >> kept);

		was_clean = was_clean && !(addr[i] & ~mask);
		addr[i] &= mask;
	}
	return was_clean;
}

static int wrong_line(char wrong[MR_BLOCK_ERROR_BYTES], const char *text, const char *what)
{
	snprintf(wrong, MR_BLOCK_ERROR_BYTES, "\"%.60s\": %s", text, what);
	return -EINVAL;
}

static int parse_prefix(const char *text, struct mr_block_item *out,
			char wrong[MR_BLOCK_ERROR_BYTES])
{
	char address[LINE_BYTES], written[MR_BLOCK_TEXT], cure[96];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long bits;
	char *end;

	memcpy(address, text, len);
	address[len] = '\0';
	out->family = strchr(address, ':') ? 6 : 4;
	if (inet_pton(out->family == 4 ? AF_INET : AF_INET6, address, out->addr) != 1)
		return wrong_line(wrong, text,
				  "is no address; write 192.0.2.0/24 or 2001:db8::/32");
	bits = bits_of(out->family);
	if (slash) {
		if (!isdigit((unsigned char)slash[1]))
			return wrong_line(wrong, text, "has no length behind the slash; write /24");
		bits = strtoul(slash + 1, &end, 10);
		if (*end || bits > bits_of(out->family))
			return wrong_line(wrong, text,
					  out->family == 4 ? "a length is 0 to 32"
							   : "a length is 0 to 128");
	}
	out->bits = (uint8_t)bits;
	if (cut(out->addr, out->bits))
		return 1;
	snprintf(cure, sizeof(cure), "has bits behind its length; write %s",
		 mr_block_text(out, written));
	return wrong_line(wrong, text, cure);
}

int mr_block_parse(const char *line, struct mr_block_item *out, char wrong[MR_BLOCK_ERROR_BYTES])
{
	char text[LINE_BYTES];
	char *word, *second, *rest = NULL;

	*out = (struct mr_block_item){ .action = MR_BLOCK_DROP };
	if (strlen(line) >= sizeof(text))
		return wrong_line(wrong, line, "line too long; one prefix a line");
	strcpy(text, line);
	text[strcspn(text, "#")] = '\0';
	word = strtok_r(text, " \t\r\n", &rest);
	if (!word)
		return 0;
	second = strtok_r(NULL, " \t\r\n", &rest);
	if (second && (!strcmp(word, "allow") || !strcmp(word, "block"))) {
		out->action = word[0] == 'a' ? MR_BLOCK_ALLOW : MR_BLOCK_DROP;
		word = second;
		second = strtok_r(NULL, " \t\r\n", &rest);
	}
	if (second)
		return wrong_line(wrong, line, "one prefix a line, with allow in front at most");
	return parse_prefix(word, out, wrong);
}

int mr_block_is_valid(const struct mr_block_item *i)
{
	struct mr_block_item copy = *i;

	return (i->family == 4 || i->family == 6) && i->bits <= bits_of(i->family) &&
	       (i->action == MR_BLOCK_DROP || i->action == MR_BLOCK_ALLOW) &&
	       cut(copy.addr, i->bits);
}

const char *mr_block_text(const struct mr_block_item *i, char out[MR_BLOCK_TEXT])
{
	char address[INET6_ADDRSTRLEN];

	inet_ntop(i->family == 4 ? AF_INET : AF_INET6, i->addr, address, sizeof(address));
	snprintf(out, MR_BLOCK_TEXT, "%s/%u", address, i->bits);
	return out;
}

int mr_blocks_put(struct mr_blocks *b, const struct mr_block_item *i)
{
	if (b->n == MR_MAX_BLOCKS)
		return -E2BIG;
	if (b->n == b->room) {
		uint32_t room = b->room ? 2 * b->room : 64;
		void *p = realloc(b->item, room * sizeof(*b->item));

		if (!p)
			return -ENOMEM;
		b->item = p;
		b->room = room;
	}
	b->item[b->n++] = *i;
	return 0;
}

/* One line of a text at @at; where the next one begins. */
static int parse_line(struct mr_blocks *b, const char *at, size_t len,
		      char wrong[MR_BLOCK_ERROR_BYTES])
{
	struct mr_block_item item;
	char line[LINE_BYTES + 1];
	int found;

	if (memchr(at, '\0', len))
		return wrong_line(wrong, "", "has a zero byte; a list is text");
	snprintf(line, sizeof(line), "%.*s", (int)(len < LINE_BYTES ? len : LINE_BYTES), at);
	found = mr_block_parse(line, &item, wrong);
	if (found <= 0)
		return found;
	found = mr_blocks_put(b, &item);
	if (found == -E2BIG)
		snprintf(wrong, MR_BLOCK_ERROR_BYTES,
			 "more than %u prefixes; sum them up to shorter ones",
			 (unsigned int)MR_MAX_BLOCKS);
	else if (found)
		snprintf(wrong, MR_BLOCK_ERROR_BYTES, "out of memory");
	return found;
}

int mr_blocks_parse(struct mr_blocks *b, const char *name, const char *text, size_t bytes,
		    char error[MR_BLOCK_ERROR_BYTES])
{
	char wrong[MR_BLOCK_ERROR_BYTES];
	unsigned int line = 1;
	size_t at = 0;

	while (at < bytes) {
		const char *feed = memchr(text + at, '\n', bytes - at);
		size_t len = feed ? (size_t)(feed - text) - at : bytes - at;
		int err = parse_line(b, text + at, len, wrong);

		if (err < 0) {
			snprintf(error, MR_BLOCK_ERROR_BYTES, "%.200s:%u: %.250s", name, line,
				 wrong);
			return err;
		}
		at += len + 1;
		line++;
	}
	return 0;
}

int mr_blocks_read(struct mr_blocks *b, const char *file, char error[MR_BLOCK_ERROR_BYTES])
{
	FILE *in = fopen(file, "re");
	size_t bytes = 0, most = 0;
	char *text = NULL, *more;
	int err = in ? 0 : -errno;

	while (!err && bytes == most) {
		most = most ? 2 * most : 65536;
		more = realloc(text, most);
		err = more ? 0 : -ENOMEM;
		text = more ? more : text;
		if (!err)
			bytes += fread(text + bytes, 1, most - bytes, in);
		if (!err && ferror(in))
			err = errno ? -errno : -EIO;
	}
	if (err)
		snprintf(error, MR_BLOCK_ERROR_BYTES, "%.300s: %s", file, strerror(-err));
	else
		err = mr_blocks_parse(b, file, text, bytes, error);
	free(text);
	if (in)
		fclose(in);
	return err;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, KEY_BYTES);
}

static int compare_with_action(const void *a, const void *b)
{
	const struct mr_block_item *x = a, *y = b;
	int order = compare(a, b);

	return order ? order : (int)y->action - (int)x->action; /* allow first */
}

void mr_blocks_sort(struct mr_blocks *b)
{
	uint32_t n = 0;

	if (!b->n)
		return;
	qsort(b->item, b->n, sizeof(*b->item), compare_with_action);
	for (uint32_t i = 1; i < b->n; i++)
		if (compare(&b->item[n], &b->item[i]))
			b->item[++n] = b->item[i];
	b->n = n + 1;
}

bool mr_blocks_is_sorted(const struct mr_blocks *b)
{
	for (uint32_t i = 1; i < b->n; i++)
		if (compare(&b->item[i - 1], &b->item[i]) >= 0)
			return false;
	return true;
}

bool mr_blocks_is_equal(const struct mr_blocks *a, const struct mr_blocks *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (compare_with_action(&a->item[i], &b->item[i]))
			return false;
	return true;
}

const struct mr_block_item *mr_blocks_find(const struct mr_blocks *b, const struct mr_block_item *i)
{
	return b->n ? bsearch(i, b->item, b->n, sizeof(*b->item), compare) : NULL;
}

/* Which of two sorted lists goes on: below 0 only @a has the prefix, above only @b, 0 both. */
static int next_of(const struct mr_blocks *a, uint32_t i, const struct mr_blocks *b, uint32_t k)
{
	if (i == a->n)
		return 1;
	return k == b->n ? -1 : compare(&a->item[i], &b->item[k]);
}

int mr_blocks_join(struct mr_blocks *to, const struct mr_blocks *base,
		   const struct mr_blocks *changes)
{
	uint32_t i = 0, k = 0;
	int err = 0;

	*to = (struct mr_blocks){ 0 };
	while (!err && (i < base->n || k < changes->n)) {
		int order = next_of(base, i, changes, k);

		if (order < 0)
			err = mr_blocks_put(to, &base->item[i]);
		else if (changes->item[k].action != MR_BLOCK_NONE)
			err = mr_blocks_put(to, &changes->item[k]);
		i += order <= 0;
		k += order >= 0;
	}
	if (err)
		mr_blocks_free(to);
	return err;
}

int mr_blocks_diff(struct mr_blocks *changes, const struct mr_blocks *base,
		   const struct mr_blocks *wanted)
{
	uint32_t i = 0, k = 0;
	int err = 0;

	*changes = (struct mr_blocks){ 0 };
	while (!err && (i < base->n || k < wanted->n)) {
		int order = next_of(base, i, wanted, k);
		struct mr_block_item item = order < 0 ? base->item[i] : wanted->item[k];

		if (order < 0)
			item.action = MR_BLOCK_NONE;
		if (order || base->item[i].action != item.action)
			err = mr_blocks_put(changes, &item);
		i += order <= 0;
		k += order >= 0;
	}
	if (err)
		mr_blocks_free(changes);
	return err;
}

int mr_blocks_copy(struct mr_blocks *to, const struct mr_blocks *from)
{
	*to = (struct mr_blocks){ 0 };
	if (!from->n)
		return 0;
	to->item = malloc(from->n * sizeof(*to->item));
	if (!to->item)
		return -ENOMEM;
	memcpy(to->item, from->item, from->n * sizeof(*to->item));
	to->n = to->room = from->n;
	return 0;
}

void mr_blocks_free(struct mr_blocks *b)
{
	free(b->item);
	*b = (struct mr_blocks){ 0 };
}
