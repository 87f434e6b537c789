/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash.c - show crash: what workers died of, and what is refused for it; lifting it is change.c's
 */
#include "config.h"

#include "admin/inside.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "stat/crash.h"

static void row(const struct cmd *c, struct grid *g, const struct stat_crash *x)
{
	const char *name = x->signal < NSIG ? sigabbrev_np((int)x->signal) : NULL;
	bool blocked = x->until_ms != 0, yet = x->until_ms > c->v->now_ms;

	grid_fmt(g, "%016" PRIx64, x->id);
	grid_u64(g, x->deaths);
	grid_bool(g, blocked);
	grid_u64(g, yet ? (x->until_ms - c->v->now_ms + 999) / 1000 : 0);
	text_time(&g->mem, x->last_us);
	grid_text(g, NULL);
	grid_fmt(g, "SIG%s", name ? name : "?");
	grid_text(g, x->where);
	grid_text(g, x->what);
}

int verb_SHOW_CRASH(struct cmd *c)
{
	struct stat_crash x;
	struct grid g;

	grid_init(&g);
	grid_col(&g, "id", GRID_TEXT);
	grid_col(&g, "deaths", GRID_NUM);
	grid_col(&g, "blocked", GRID_BOOL);
	grid_col(&g, "seconds", GRID_NUM);
	grid_col(&g, "last", GRID_TEXT);
	grid_col(&g, "signal", GRID_TEXT);
	grid_col(&g, "where", GRID_TEXT);
	grid_col(&g, "what", GRID_TEXT);
	for (unsigned i = 0; i < STAT_CRASHES; i++)
		if (stat_crash_get(c->v->seg, i, &x))
			row(c, &g, &x);
	return cmd_grid(c, &g, 0);
}
