/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash.c - see crash.h
 */
#include "config.h"

#include "stat/crash.h"

#include "base/env.h"
#include "base/hash.h"
#include "stat/view.h"

#define USED 1u                          /* tag of an entry */

void stat_death_set(struct stat_seg *s, uint32_t pid, const struct stat_death *d)
{
	if (view_own(s))
		latch_write(s->own + s->dim.slot.death, pid, d, sizeof(*d));
}

static bool is_text(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!p[i])
			return true;
		if (p[i] < ' ' || p[i] > '~')
			return false;
	}
	return false;
}

bool stat_death_get(const struct stat_seg *s, uint32_t slot, uint32_t pid, struct stat_death *out)
{
	struct stat_death d;

	if (slot >= s->dim.n_slots || !pid || !latch_read(s->slot[slot] + s->dim.slot.death, pid, &d, sizeof(d)) ||
	    !is_text(d.where, sizeof(d.where)) || !is_text(d.what, sizeof(d.what)))
		return false;
	*out = d;
	return true;
}

void stat_crash_set(struct stat_seg *s, unsigned i, const struct stat_crash *c)
{
	static const struct stat_crash none;

	ASSERT(view_dir_rw(s) != NULL && i < STAT_CRASHES);
	latch_write(s->dir_rw + s->dim.dir.crash + i * LATCH_SIZE(sizeof(*c)), c ? USED : 0, c ? c : &none, sizeof(*c));
	view_board_bump(s);
}

bool stat_crash_get(const struct stat_seg *s, unsigned i, struct stat_crash *out)
{
	struct stat_crash c;

	if (i >= STAT_CRASHES ||
	    !latch_read(s->dir + s->dim.dir.crash + i * LATCH_SIZE(sizeof(c)), USED, &c, sizeof(c)) ||
	    !is_text(c.where, sizeof(c.where)) || !is_text(c.what, sizeof(c.what)))
		return false;
	*out = c;
	return true;
}

uint64_t stat_crash_id(uint32_t signal, const char *where, const char *what)
{
	uint64_t h = fl_hash64(what, strlen(what), fl_hash64(where, strlen(where), signal));

	return h ? h : 1;
}
