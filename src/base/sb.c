/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sb.c - text builders over the caller's memory, or over a heap block that grows (see str.h)
 *
 * After the first byte that did not fit nothing more is added, so a cut text is always a true
 * prefix of the whole one.
 */
#include "config.h"

#include "base/str.h"

#include <stdio.h>

#include "base/env.h"

#define SB_HEAP_FIRST 256

void sb_init(struct sb *b, char *mem, size_t cap)
{
	*b = (struct sb){ .p = mem, .cap = cap };
	if (cap)
		mem[0] = '\0';
}

void sb_init_heap(struct sb *b)
{
	*b = (struct sb){ .grows = true };
}

void sb_free(struct sb *b)
{
	if (!b->grows)
		return;
	env_free(b->p);
	sb_init_heap(b);
}

/* Makes room for n bytes and a NUL where it can; returns how many of the n fit. */
static size_t sb_room(struct sb *b, size_t n)
{
	size_t room, want, cap = b->cap ? b->cap : SB_HEAP_FIRST;
	char *p;

	if (b->over)
		return 0;
	room = b->cap ? b->cap - b->n - 1 : 0;
	if (n <= room && b->cap)
		return n;
	if (!b->grows || __builtin_add_overflow(b->n, n, &want) || want > SIZE_MAX / 4) {
		b->over = n > room;
		return FL_MIN(n, room);
	}
	while (cap <= want)
		cap *= 2;
	p = env_realloc(b->p, cap);
	if (!p) {
		b->over = true;
		return room;
	}
	b->p = p;
	b->cap = cap;
	return n;
}

void sb_add_slow(struct sb *b, const void *p, size_t n)
{
	size_t fit = sb_room(b, n);

	if (fit)
		memcpy(b->p + b->n, p, fit);
	b->n += fit;
	if (b->cap)
		b->p[b->n] = '\0';
}

void sb_u64(struct sb *b, uint64_t v)
{
	char text[20];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	sb_add(b, text + at, sizeof(text) - at);
}

void sb_vfmt(struct sb *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t fit;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0) {
		b->over = true;
		return;
	}
	fit = sb_room(b, (size_t)n);
	if (!fit)
		return;
	vsnprintf(b->p + b->n, fit + 1, fmt, ap);
	b->n += fit;
}

void sb_fmt(struct sb *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	sb_vfmt(b, fmt, ap);
	va_end(ap);
}

static const char hex_digits[] = "0123456789abcdef";

void sb_escape(struct sb *b, struct str s, size_t max)
{
	size_t n = FL_MIN(s.n, max);

	for (size_t i = 0; i < n && !b->over; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c >= 0x20 && c < 0x7f && c != '\\')
			sb_ch(b, (char)c);
		else
			sb_add(b, (char[]){ '\\', 'x', hex_digits[c >> 4], hex_digits[c & 15] }, 4);
	}
}

/* Length of the well-formed character at the front of s (RFC 3629 section 4), 0 for none. */
static size_t utf8_len(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (s.n < n)
		return 0;
	/* no overlong forms, no surrogates, nothing above U+10FFFF */
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static void json_ascii(struct sb *b, unsigned char c)
{
	static const char shorts[] = "b\bf\fn\nr\rt\t\"\"\\\\";

	for (size_t i = 0; i + 1 < sizeof(shorts); i += 2)
		if (c == (unsigned char)shorts[i + 1]) {
			sb_add(b, (char[]){ '\\', shorts[i] }, 2);
			return;
		}
	if (c < 0x20)
		sb_add(b, (char[]){ '\\', 'u', '0', '0', hex_digits[c >> 4], hex_digits[c & 15] }, 6);
	else
		sb_ch(b, (char)c);
}

void sb_json_str(struct sb *b, struct str s)
{
	sb_ch(b, '"');
	for (size_t i = 0; i < s.n && !b->over;) {
		size_t n = utf8_len(str_n(s.p + i, s.n - i));

		if (n == 0)
			sb_c(b, "\xef\xbf\xbd");
		else if (n == 1)
			json_ascii(b, (unsigned char)s.p[i]);
		else
			sb_add(b, s.p + i, n);
		i += n ? n : 1;
	}
	sb_ch(b, '"');
}
