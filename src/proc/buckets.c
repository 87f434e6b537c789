/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buckets.c - see buckets.h
 */
#include "config.h"

#include "proc/buckets.h"

#include <string.h>

#include "base/compiler.h"
#include "stat/stat.h"

#define EIGHTHS 8
#define SIGMAS2 9               /* three standard deviations, squared */
#define ENOUGH  64              /* connections */

/* Homes ------------------------------------------------------------------------------------ */

static bool is_home(const struct buckets *b, unsigned core)
{
	return core < b->cores && core_set_has(&b->named, core);
}

/* Of those that can; NULL: of those that buckets are at home at. */
static unsigned least(const struct buckets *b, const unsigned *n, const bool *can)
{
	unsigned best = b->cores;

	for (unsigned c = 0; c < b->cores; c++)
		if ((can ? can[c] : is_home(b, c)) && (best == b->cores || n[c] < n[best]))
			best = c;
	return best;
}

static unsigned most(const struct buckets *b, const unsigned *n)
{
	unsigned best = 0;

	for (unsigned c = 1; c < b->cores; c++)
		if (n[c] > n[best])
			best = c;
	return best;
}

/* New cores take from those that have the most. */
static void fill(struct buckets *b, unsigned *n)
{
	for (;;) {
		unsigned from = most(b, n), to = least(b, n, NULL), i = 0;

		if (n[from] <= n[to] + 1)
			return;
		while (b->home[i] != from)
			i++;
		b->home[i] = (uint16_t)to;
		n[from]--;
		n[to]++;
	}
}

/* True: not the same cores as before. */
static bool take_cores(struct buckets *b, unsigned cores, const struct core_set *named)
{
	struct core_set set = { .n = 0 };
	bool same;

	for (unsigned c = 0; named && named->n && c < cores; c++)
		if (core_set_has(named, c))
			core_set_add(&set, c);
	same = cores == b->cores && memcmp(&set, &b->named, sizeof(set)) == 0;
	b->cores = cores;
	b->named = set;
	return !same;
}

void buckets_resize(struct buckets *b, unsigned cores, const struct core_set *named)
{
	unsigned n[STAT_MAX_CORES] = { 0 }, before = b->cores;
	bool was_named = b->named.n > 0;

	ASSERT(cores > 0 && cores <= STAT_MAX_CORES);
	if (!take_cores(b, cores, named))
		return;
	b->bad = 0;
	b->hold = BUCKETS_HOLD;
	for (unsigned i = 0; i < RSS_BUCKETS && before; i++)
		if (is_home(b, b->home[i]))
			n[b->home[i]]++;
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		if (!before || !is_home(b, b->home[i])) {
			b->home[i] = (uint16_t)least(b, n, NULL);
			if (!before)
				b->now[i] = b->home[i];
			n[b->home[i]]++;
		}
	if (cores > before || was_named || b->named.n)   /* else what was balanced stays */
		fill(b, n);
}

void buckets_restore(struct buckets *b, unsigned cores, const struct core_set *named, const uint32_t *home,
		     const uint64_t *hits, uint64_t *got)
{
	buckets_resize(b, cores, named);
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		if (home[i] < cores && is_home(b, home[i]))
			b->home[i] = b->now[i] = (uint16_t)home[i];
	buckets_count(b, hits, got);
	memset(b->fresh, 0, sizeof(b->fresh));   /* of days, not of this second */
}

void buckets_rules(struct buckets *b, const unsigned *core, unsigned n)
{
	ASSERT(n <= RSS_RULES);
	for (unsigned i = 0; i < n; i++)
		b->home[RSS_BUCKETS + i] = (uint16_t)FL_MIN(core[i], (unsigned)UINT16_MAX);
	b->rules = n;
}

static bool is_able(const struct buckets *b, const bool *can, unsigned core)
{
	return core < b->cores && can[core];
}

bool buckets_deal(struct buckets *b, const bool *can)
{
	unsigned n[STAT_MAX_CORES] = { 0 }, all = RSS_BUCKETS + b->rules;
	uint16_t now[RSS_ENTRIES];
	bool changed;

	if (least(b, n, can) == b->cores)
		return false;
	for (unsigned i = 0; i < all; i++) {
		now[i] = is_able(b, can, b->home[i]) ? b->home[i] : b->now[i];
		if (is_able(b, can, now[i]))
			n[now[i]]++;
	}
	for (unsigned i = 0; i < all; i++)
		if (!is_able(b, can, now[i])) {
			now[i] = (uint16_t)least(b, n, can);
			n[now[i]]++;
		}
	changed = memcmp(b->now, now, all * sizeof(now[0])) != 0;
	memcpy(b->now, now, all * sizeof(now[0]));
	return changed;
}

/* Load ------------------------------------------------------------------------------------- */

void buckets_count(struct buckets *b, const uint64_t *hits, uint64_t *got)
{
	for (unsigned i = 0; i < RSS_ENTRIES; i++) {
		/* fewer than before: the maps are new */
		uint64_t more = hits[i] >= b->hits[i] ? hits[i] - b->hits[i] : hits[i];

		b->hits[i] = hits[i];
		b->fresh[i] += more;
		if (i < RSS_BUCKETS + b->rules && b->now[i] < b->cores)
			got[b->now[i]] += more;
	}
}

void buckets_second(struct buckets *b)
{
	for (unsigned i = 0; i < RSS_ENTRIES; i++) {
		b->recent[i] = b->recent[i] * (EIGHTHS - 1) / EIGHTHS + b->fresh[i] * EIGHTHS;
		b->fresh[i] = 0;
	}
}

void buckets_recent(const struct buckets *b, uint64_t *recent)
{
	for (unsigned i = 0; i < RSS_BUCKETS + b->rules; i++)
		if (b->now[i] < b->cores)
			recent[b->now[i]] += b->recent[i];
}

unsigned buckets_largest(const struct buckets *b)
{
	uint64_t sum = 0, most_of = 0;

	for (unsigned i = 0; i < RSS_BUCKETS + b->rules; i++) {
		sum += b->recent[i];
		if (i < RSS_BUCKETS)
			most_of = FL_MAX(most_of, b->recent[i]);
	}
	/* what is left of a burst is rounded down in each bucket, till the largest is all */
	return sum >= ENOUGH * EIGHTHS ? (unsigned)(most_of * 100 / sum) : 0;
}

/* Of those that can, the one with the most and the one with the least; false: there are no two. */
static bool find_ends(const struct buckets *b, const bool *can, const uint64_t *load, unsigned *hi, unsigned *lo,
		      uint64_t *mean)
{
	uint64_t sum = 0;
	unsigned n = 0;

	for (unsigned c = 0; c < b->cores; c++) {
		if (!can[c])
			continue;
		if (n == 0 || load[c] > load[*hi])
			*hi = c;
		if (n == 0 || load[c] < load[*lo])
			*lo = c;
		sum += load[c];
		n++;
	}
	*mean = n ? sum / n : 0;
	return n > 1 && *hi != *lo;
}

/* The bucket of `hi` whose weight comes nearest to half of the difference; RSS_BUCKETS: none makes it less. */
static unsigned best_move(const struct buckets *b, unsigned hi, uint64_t price, uint64_t diff)
{
	unsigned best = RSS_BUCKETS;
	uint64_t best_off = diff / 2;

	for (unsigned i = 0; i < RSS_BUCKETS; i++) {
		uint64_t weight = b->recent[i] * price, half = diff / 2;
		uint64_t off = weight > half ? weight - half : half - weight;

		/* guests go home when their core is back: they are not ours to give */
		if (b->now[i] != hi || b->home[i] != hi || !weight || off >= best_off)
			continue;
		best = i;
		best_off = off;
	}
	return best;
}

/* Could even shares differ by as much? Counts of n chances each lie within some sqrt(n) of it. Where
 * connections have a price of their own, there need only be enough to know it. Judged by the same connections as
 * the load, those of all listeners: one that is even itself makes up for another that cannot move. */
static bool is_chance(const uint64_t *recent, const uint64_t *price, unsigned hi, unsigned lo)
{
	uint64_t a = recent[hi] / EIGHTHS, b = recent[lo] / EIGHTHS;

	if (price[hi] != price[lo])
		return a + b < ENOUGH;
	return a <= b || (a - b) * (a - b) < SIGMAS2 * (a + b);
}

static unsigned move_some(struct buckets *b, const bool *can, const uint64_t *price, uint64_t *load, unsigned percent)
{
	unsigned moves = 0, hi = 0, lo = 0, i;
	uint64_t mean;

	while (moves < BUCKETS_MOVES && find_ends(b, can, load, &hi, &lo, &mean)) {
		if ((load[hi] - load[lo]) * 200 <= (uint64_t)percent * mean)
			break;
		i = best_move(b, hi, price[hi], load[hi] - load[lo]);
		if (i == RSS_BUCKETS)
			break;
		load[hi] -= FL_MIN(load[hi], b->recent[i] * price[hi]);
		load[lo] += b->recent[i] * price[hi];
		b->home[i] = b->now[i] = (uint16_t)lo;
		moves++;
	}
	return moves;
}

bool buckets_balance(struct buckets *b, const bool *can, const uint64_t *recent, const uint64_t *price, uint64_t *load,
		     unsigned percent)
{
	unsigned hi = 0, lo = 0, moves;
	uint64_t mean;

	if (b->hold) {
		b->hold--;
		return false;
	}
	if (!find_ends(b, can, load, &hi, &lo, &mean) || (load[hi] - load[lo]) * 100 <= (uint64_t)percent * mean ||
	    is_chance(recent, price, hi, lo)) {
		b->bad = 0;
		return false;
	}
	if (++b->bad < BUCKETS_LOOKS)
		return false;
	moves = move_some(b, can, price, load, percent);
	b->bad = 0;
	b->hold = moves ? BUCKETS_HOLD : 0;
	b->moves += moves;
	return moves > 0;
}
