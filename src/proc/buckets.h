/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buckets.h - which core each bucket of a listener belongs to, and which one serves it now
 *
 * home is where a bucket belongs, now is who gets it: home, or another core while home has no worker that can.
 * Behind the buckets stand the prefixes of `distribute rules`, each at home where its rule says. A bucket
 * changes its home when the number of workers changes, as few as can be, and when load is balanced:
 *
 *	every second, of the connections that came in the last seconds (each second weighs 7/8 of the one after
 *	it), times what a connection costs on the core that had it, the buckets that even out the busiest
 *	and the idlest core best go over, until they differ by less than half of what is allowed
 *
 * Nothing moves before two looks in a row see more than is allowed, nor when chance explains it; then a few seconds
 * nothing, so that the cores show what has changed. A single bucket that is most of a core's load stays.
 * Pure: the caller brings counts and stores the table. Master only.
 */
#ifndef FL_PROC_BUCKETS_H
#define FL_PROC_BUCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cores.h"
#include "net/rss.h"

#define BUCKETS_LOOKS 2         /* in a row */
#define BUCKETS_HOLD  3         /* looks after a move without another */
#define BUCKETS_MOVES 16        /* a look */

struct buckets {
	unsigned cores, rules;
	struct core_set named;                  /* homes are here only; none: everywhere */
	uint16_t home[RSS_ENTRIES], now[RSS_ENTRIES];
	uint64_t hits[RSS_ENTRIES];             /* as last counted */
	uint64_t fresh[RSS_ENTRIES];            /* since the last second */
	uint64_t recent[RSS_ENTRIES];           /* of the last seconds, in eighths */
	unsigned bad, hold;
	uint64_t moves;                         /* of homes, for balance, since ever */
};
/* Homes for so many cores, or those named of them (NULL, or none of them is there: all); all homes anew when there
 * were none. Rules keep theirs. */
void buckets_resize(struct buckets *b, unsigned cores, const struct core_set *named);
/* Rule i's core. */
void buckets_rules(struct buckets *b, const unsigned *core, unsigned n);
/* Who gets what, if only these can. A bucket that is away from home stays where it is, as long as it can.
 * True: something changed. Nobody can: nothing changes. */
bool buckets_deal(struct buckets *b, const bool *can);

/* Who gets what, as another master left it; instead of the first buckets_resize(). What was counted until now
 * (see buckets_count()) is in got, but not recent. */
void buckets_restore(struct buckets *b, unsigned cores, const struct core_set *named, const uint32_t *home,
		     const uint64_t *hits, uint64_t *got);

/* hits[RSS_ENTRIES]: since ever. What was added since the last count goes to those who have the buckets now:
 * got[cores]. Before each change of now, and every second. */
void buckets_count(struct buckets *b, const uint64_t *hits, uint64_t *got);
void buckets_second(struct buckets *b);         /* what was counted becomes recent */
/* Adds what came to each core to recent[cores]. */
void buckets_recent(const struct buckets *b, uint64_t *recent);
/* Percent of what came lately that fell into one bucket, the largest; it cannot be split. 0: too few came to
 * tell. */
unsigned buckets_largest(const struct buckets *b);
/* Moves homes as said above. recent[cores], of all listeners, tells what is chance; load[cores] is of all listeners, and
 * afterwards as it should become; price: what one of a core's recent weighs there. percent: allowed difference of busiest
 * and idlest, of their mean. True: homes changed. */
bool buckets_balance(struct buckets *b, const bool *can, const uint64_t *recent, const uint64_t *price, uint64_t *load,
		     unsigned percent);

#endif
