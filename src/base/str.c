/* SPDX-License-Identifier: Apache-2.0 */
/*
 * str.c - comparisons, searches and small parsers over borrowed bytes
 *
 * Pure functions; the text builders are in sb.c. A str with n = 0 may have p = NULL, so no
 * function hands such a pointer to memcmp and the like.
 */
#include "config.h"

#include "base/str.h"

static bool bytes_ieq(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fl_lower((unsigned char)a[i]) != fl_lower((unsigned char)b[i]))
			return false;
	return true;
}

bool str_ieq(struct str a, struct str b)
{
	return a.n == b.n && bytes_ieq(a.p, b.p, a.n);
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_n(s.p, prefix.n), prefix);
}

bool str_istarts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && bytes_ieq(s.p, prefix.p, prefix.n);
}

bool str_ends(struct str s, struct str suffix)
{
	if (s.n < suffix.n || suffix.n == 0)
		return suffix.n == 0;
	return memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0;
}

int str_cmp(struct str a, struct str b)
{
	size_t n = FL_MIN(a.n, b.n);
	int r = n ? memcmp(a.p, b.p, n) : 0;

	return r ? r : (a.n > b.n) - (a.n < b.n);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	while (s.n && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

ptrdiff_t str_find(struct str hay, struct str needle)
{
	const char *at;

	if (needle.n == 0)
		return 0;
	if (hay.n < needle.n)
		return -1;
	at = memmem(hay.p, hay.n, needle.p, needle.n);
	return at ? at - hay.p : -1;
}

ptrdiff_t str_ifind(struct str hay, struct str needle)
{
	if (needle.n == 0)
		return 0;
	for (size_t i = 0; i + needle.n <= hay.n; i++)
		if (bytes_ieq(hay.p + i, needle.p, needle.n))
			return (ptrdiff_t)i;
	return -1;
}

bool str_u64(struct str s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned)(unsigned char)s.p[i] - '0';

		if (d > 9 || __builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, d, &v))
			return false;
	}
	*out = v;
	return true;
}

struct str str_cut(struct str *s, char sep)
{
	const char *at = s->n ? memchr(s->p, sep, s->n) : NULL;
	struct str head = *s;

	if (!at) {
		*s = s->p ? str_n(s->p + s->n, 0) : STR_NULL;
		return head;
	}
	head.n = (size_t)(at - s->p);
	*s = str_n(at + 1, s->n - head.n - 1);
	return head;
}

/* Levenshtein's distance with swapped neighbours as one edit. Names longer than the rows are
 * never near enough to anything. */
#define DISTANCE_MAX 127

unsigned str_distance(struct str a, struct str b, unsigned max)
{
	unsigned rows[3][DISTANCE_MAX + 1];
	unsigned *before = rows[0], *prev = rows[1], *cur = rows[2];
	size_t gap = a.n > b.n ? a.n - b.n : b.n - a.n;

	if (a.n > DISTANCE_MAX || b.n > DISTANCE_MAX)
		return str_ieq(a, b) ? 0 : max + 1;
	if (gap > max)
		return max + 1;
	for (size_t j = 0; j <= b.n; j++)
		prev[j] = (unsigned)j;
	memset(before, 0, sizeof(rows[0]));
	for (size_t i = 1; i <= a.n; i++) {
		unsigned *t = before;
		unsigned char ca = fl_lower((unsigned char)a.p[i - 1]);

		cur[0] = (unsigned)i;
		for (size_t j = 1; j <= b.n; j++) {
			unsigned char cb = fl_lower((unsigned char)b.p[j - 1]);
			unsigned d = prev[j - 1] + (ca != cb);

			d = FL_MIN(d, prev[j] + 1);
			d = FL_MIN(d, cur[j - 1] + 1);
			if (i > 1 && j > 1 && ca == fl_lower((unsigned char)b.p[j - 2]) &&
			    cb == fl_lower((unsigned char)a.p[i - 2]))
				d = FL_MIN(d, before[j - 2] + 1);
			cur[j] = d;
		}
		before = prev;
		prev = cur;
		cur = t;
	}
	return FL_MIN(prev[b.n], max + 1);
}
