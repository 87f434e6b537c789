/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.c - see guard.h
 */
#include "config.h"

#include "proc/guard.h"

#include <string.h>

#include "base/compiler.h"

#define TWO_PERCENT 85          /* of two workers' connections; twice the share would be all */

/* Too much for one of n? delta: connections in ms. */
static bool is_lopsided(const uint64_t *delta, unsigned n, uint64_t ms, unsigned *core, unsigned *percent)
{
	uint64_t all = 0;
	unsigned most = 0;

	for (unsigned i = 0; i < n; i++) {
		all += delta[i];
		if (delta[i] > delta[most])
			most = i;
	}
	if (n < 2 || all * 1000 < GUARD_RATE * ms)
		return false;
	*core = most;
	*percent = (unsigned)(delta[most] * 100 / all);
	return n == 2 ? delta[most] * 100 > TWO_PERCENT * all : delta[most] * n > 2 * all;
}

static void pause_it(struct guard *g, uint64_t now_ms)
{
	bool held = now_ms - g->since_ms >= g->pause_ms;

	g->pause_ms = !g->pause_ms || held ? GUARD_PAUSE_MS : FL_MIN(g->pause_ms * 2, (uint64_t)GUARD_PAUSE_MAX);
	g->until_ms = now_ms + g->pause_ms;
	g->bad = 0;
}

bool guard_look(struct guard *g, const uint64_t *accepted, unsigned n, uint32_t epoch, uint64_t now_ms)
{
	uint64_t ms = now_ms - g->at_ms;
	bool same = g->at_ms && g->epoch == epoch;

	if (same && ms < GUARD_LOOK_MS)
		return false;
	for (unsigned i = 0; i < n; i++) {       /* seen becomes the difference */
		same = same && accepted[i] >= g->seen[i];
		g->seen[i] = accepted[i] - g->seen[i];
	}
	if (guard_pauses(g) || !same || !is_lopsided(g->seen, n, ms, &g->core, &g->percent))
		g->bad = 0;
	else
		g->bad++;
	memcpy(g->seen, accepted, n * sizeof(*accepted));
	g->at_ms = now_ms;
	g->epoch = epoch;
	if (guard_pauses(g) && now_ms >= g->until_ms) {
		g->until_ms = 0;
		g->since_ms = now_ms;
		return true;
	}
	if (g->bad < GUARD_LOOKS)
		return false;
	pause_it(g, now_ms);
	return true;
}
