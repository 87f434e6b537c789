/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window.c - what is worked out from a row's past: rates, averages and medians (see fold.h)
 *
 * A window is 14 s, in steps of 2 s: a row keeps what its sources were at the last seven steps, each with its
 * time. Windows of many rows move one after the other, so that no cycle has to move them all. A row whose
 * window holds no change leaves the list; when it comes back its past is what it was, for the whole window.
 */
#include "config.h"

#include "stat/fold.h"

#include <stdlib.h>

#include "base/env.h"

#define MOVES_MORE 256u           /* a cycle catches up with so many */
#define CYCLE_MS   1000u          /* two cycles are not further apart, but after a pause */

void window_forget(struct fold_row *r)
{
	env_free(r->past);
	r->past = NULL;
}

static bool make_past(struct fold_row *r, unsigned n)
{
	if (!r->past)
		r->past = env_calloc(1, sizeof(*r->past) + WINDOW_STEPS * n * sizeof(uint64_t));
	return r->past != NULL;
}

static uint64_t source(const struct stat_seg *s, const struct fold_row *r, unsigned i)
{
	return r->sum[s->tbl->past_ctr[seg_tag_kind(r->tag)][i]];
}

void window_begin(struct stat_seg *s, struct fold_row *r, uint32_t row, uint64_t now_ms)
{
	struct fold *f = s->fold;
	unsigned n = s->tbl->n_past[seg_tag_kind(r->tag)];

	if ((r->rated && r->past) || !n || !make_past(r, n))       /* without memory no rates, but figures */
		return;
	r->past->step = 0;
	for (unsigned k = 0; k < WINDOW_STEPS; k++) {
		uint64_t ago = (uint64_t)(WINDOW_STEPS - 1 - k) * WINDOW_STEP_MS;

		r->past->at_ms[k] = now_ms > ago ? now_ms - ago : 0;
		for (unsigned i = 0; i < n; i++)
			r->past->v[k * n + i] = source(s, r, i);
	}
	if (r->rated)
		return;
	if (!f->n_rated) {
		f->rated_ms = now_ms;
		f->rated_at = f->pass_n = 0;
	}
	f->rated[f->n_rated++] = row;
	r->rated = f->n_rated;
}

void window_sources(const struct stat_seg *s, const struct fold_row *r, uint64_t was[SEG_PAST_MAX])
{
	for (unsigned i = 0; i < s->tbl->n_past[seg_tag_kind(r->tag)]; i++)
		was[i] = source(s, r, i);
}

void window_carry(const struct stat_seg *s, struct fold_row *r, const uint64_t was[SEG_PAST_MAX])
{
	unsigned n = s->tbl->n_past[seg_tag_kind(r->tag)];

	for (unsigned k = 0; r->past && k < WINDOW_STEPS; k++)
		for (unsigned i = 0; i < n; i++)
			r->past->v[k * n + i] += source(s, r, i) - was[i];
}

static void leave(struct fold *f, struct fold_row *r)
{
	uint32_t at = r->rated - 1, last = f->rated[--f->n_rated];

	f->rated[at] = last;
	f->row[last].rated = at + 1;
	r->rated = 0;
	window_forget(r);
}

/* Working out ----------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Over the slots that have one. */
static uint64_t median(struct stat_seg *s, uint32_t row, unsigned c)
{
	struct fold *f = s->fold;
	unsigned n = 0;

	for (uint32_t a = 0; a < f->n_active; a++) {
		uint64_t v = f->slot[f->active[a]].part ? fold_part(f, f->active[a], row)[c] : 0;

		if (v)
			f->medians[n++] = v;
	}
	if (!n)
		return 0;
	qsort(f->medians, n, sizeof(*f->medians), by_size);
	return n % 2 ? f->medians[n / 2] : (f->medians[n / 2 - 1] + f->medians[n / 2]) / 2;
}

/* Sources are sums: they do not fall but where a slot was damaged, and then there is no rate. */
static uint64_t grown(const struct stat_seg *s, const struct fold_row *r, unsigned i, unsigned n)
{
	uint64_t was = r->past->v[r->past->step * n + i], is = source(s, r, i);

	return is > was ? is - was : 0;
}

static uint64_t rate(uint64_t by, uint64_t ms)
{
	if (!ms)
		return 0;
	return by > UINT64_MAX / 2000 ? by / ms * 1000 : (by * 1000 + ms / 2) / ms;
}

static uint64_t work_out(struct stat_seg *s, const struct fold_row *r, uint32_t row, unsigned c, uint64_t now_ms)
{
	uint32_t kind = seg_tag_kind(r->tag);
	unsigned n = s->tbl->n_past[kind];
	const uint8_t *src = s->tbl->src[kind][c];
	uint64_t by, of;

	switch ((enum tbl_fold)s->tbl->fold[kind][c]) {
	case FOLD_MEDIAN:
		return median(s, row, c);
	case FOLD_RATE:
		return rate(grown(s, r, src[0], n), now_ms - r->past->at_ms[r->past->step]);
	case FOLD_AVG:
		by = grown(s, r, src[0], n);
		of = grown(s, r, src[1], n);
		return of ? by / of : 0;
	default:
		return r->sum[c];
	}
}

/* Does nothing of the window differ from now? Then every rate is 0 this time, and stays so. */
static bool is_still(const struct stat_seg *s, const struct fold_row *r, unsigned n)
{
	for (unsigned k = 0; k < WINDOW_STEPS; k++)
		for (unsigned i = 0; i < n; i++)
			if (r->past->v[k * n + i] != source(s, r, i))
				return false;
	return true;
}

static void move(struct stat_seg *s, struct fold_row *r, uint32_t row, uint64_t now_ms)
{
	uint32_t kind = seg_tag_kind(r->tag);
	unsigned n = s->tbl->n_past[kind];
	struct fold_past *p = r->past;
	bool still = is_still(s, r, n);

	for (unsigned c = 0; c < s->tbl->n[kind]; c++) {
		uint64_t v = work_out(s, r, row, c, now_ms);

		if (v == r->sum[c])
			continue;
		r->sum[c] = v;
		part_changed(s->fold, r, row, UINT64_C(1) << c);
	}
	p->at_ms[p->step] = now_ms;
	for (unsigned i = 0; i < n; i++)
		p->v[p->step * n + i] = source(s, r, i);
	p->step = (p->step + 1) % WINDOW_STEPS;
	if (still)
		leave(s->fold, r);
}

/* Rows a step: those that leave in a pass do not slow it down for the others. */
static uint64_t pace(const struct fold *f)
{
	return FL_MAX(f->n_rated, f->pass_n);
}

/* What a cycle moves at most: what fell due since the one before, and some of what that one left. */
static uint64_t moves_max(const struct fold *f, uint64_t now_ms)
{
	uint64_t since = FL_MIN(now_ms - FL_MIN(now_ms, f->window_ms), (uint64_t)CYCLE_MS);

	return pace(f) * since / WINDOW_STEP_MS + MOVES_MORE;
}

static void move_next(struct stat_seg *s, uint64_t now_ms)
{
	struct fold *f = s->fold;
	uint32_t row, before = f->n_rated;
	struct fold_row *r;

	if (f->rated_at >= f->n_rated) {
		f->rated_at = 0;
		f->pass_n = f->n_rated;
	}
	row = f->rated[f->rated_at];
	r = &f->row[row];
	if (!r->tag || !r->past)
		leave(f, r);
	else
		move(s, r, row, now_ms);
	f->rated_at += f->n_rated == before;     /* who left was replaced by the last of the list */
}

/* As many rows as bring each its turn once in a step. What is due and not moved is the next cycle's. */
void window_move(struct stat_seg *s, uint64_t now_ms)
{
	struct fold *f = s->fold;
	uint64_t due, most = moves_max(f, now_ms), n = pace(f);

	f->window_ms = now_ms;
	due = n * (now_ms > f->rated_ms ? now_ms - f->rated_ms : 0) / WINDOW_STEP_MS;
	if (due > n) {                           /* nobody has more than one turn to come */
		due = n;
		f->rated_ms = now_ms - WINDOW_STEP_MS;
	}
	due = FL_MIN(due, most);
	if (!due)
		return;
	f->rated_ms += due * WINDOW_STEP_MS / n;
	for (; due && f->n_rated; due--)
		move_next(s, now_ms);
}
