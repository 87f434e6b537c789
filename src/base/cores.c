/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cores.c - see cores.h
 */
#include "config.h"

#include "base/cores.h"

#include "base/compiler.h"

/* LIMIT: cores beyond CORES_MAX are not named. */
static bool is_set(const struct core_set *s, unsigned core)
{
	return core < CORES_MAX && (s->bits[core / 64] >> core % 64 & 1);
}

void core_set_add(struct core_set *s, unsigned core)
{
	ASSERT(core < CORES_MAX);
	s->n += !is_set(s, core);
	s->bits[core / 64] |= (uint64_t)1 << core % 64;
}

bool core_set_read(struct core_set *s, struct str word)
{
	bool open = word.n && word.p[word.n - 1] == '-';         /* str_cut() takes "3-" for "3" */
	struct str from = str_cut(&word, '-');
	uint64_t lo, hi;

	if (open || !str_u64(from, &lo) || lo >= CORES_MAX)
		return false;
	hi = lo;
	if (word.n && (!str_u64(word, &hi) || hi >= CORES_MAX || hi < lo))
		return false;
	for (; lo <= hi; lo++)
		core_set_add(s, (unsigned)lo);
	return true;
}

bool core_set_has(const struct core_set *s, unsigned core)
{
	return s->n == 0 || is_set(s, core);
}

struct core_set core_set_both(const struct core_set *a, const struct core_set *b)
{
	struct core_set both = { .n = 0 };

	for (size_t w = 0; w < FL_ARRAY_LEN(both.bits); w++) {
		both.bits[w] = a->bits[w] & b->bits[w];
		both.n += (unsigned)__builtin_popcountll(both.bits[w]);
	}
	return both;
}

unsigned core_set_below(const struct core_set *s, unsigned cores)
{
	unsigned n = 0, w = 0;

	cores = FL_MIN(cores, (unsigned)CORES_MAX);
	for (; w < cores / 64; w++)
		n += (unsigned)__builtin_popcountll(s->bits[w]);
	if (cores % 64)
		n += (unsigned)__builtin_popcountll(s->bits[w] & (((uint64_t)1 << cores % 64) - 1));
	return n;
}

unsigned core_set_nth(const struct core_set *s, unsigned n)
{
	unsigned w = 0;
	uint64_t rest;

	ASSERT(n < s->n);
	for (; n >= (unsigned)__builtin_popcountll(s->bits[w]); w++)
		n -= (unsigned)__builtin_popcountll(s->bits[w]);
	rest = s->bits[w];
	while (n--)
		rest &= rest - 1;
	return w * 64 + (unsigned)__builtin_ctzll(rest);
}

void core_set_text(const struct core_set *s, struct sb *out)
{
	const char *gap = "";

	for (unsigned c = 0, to; c < CORES_MAX; c = to + 1) {
		to = c;
		if (!is_set(s, c))
			continue;
		while (is_set(s, to + 1))
			to++;
		if (to > c)
			sb_fmt(out, "%s%u-%u", gap, c, to);
		else
			sb_fmt(out, "%s%u", gap, c);
		gap = " ";
	}
}

/* Who serves -------------------------------------------------------------------------------- */

unsigned core_set_server(const struct core_set *s, unsigned cores, unsigned core, core_serving_fn *serving, void *ctx)
{
	unsigned n = s->n ? core_set_below(s, cores) : 0, at, target;

	if (n == 0)
		return serving(ctx, core);
	at = is_set(s, core) ? core_set_below(s, core) : core % n;
	target = core_set_nth(s, at);
	for (unsigned i = 0; i < n; i++) {
		unsigned c = core_set_nth(s, (at + i) % n);

		if (serving(ctx, c) == c)
			return c;
	}
	return serving(ctx, target);
}

bool core_set_is_out(const struct core_set *s, unsigned cores, core_serving_fn *serving, void *ctx)
{
	for (unsigned c = 0; c < FL_MIN(cores, (unsigned)CORES_MAX); c++)
		if (core_set_has(s, c) && serving(ctx, c) == c)
			return false;
	return true;
}
