/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold.c - the consolidator: slots into totals
 *
 * Each total is computed afresh from all slots, never adjusted, so a fold that was interrupted,
 * done twice or skipped cannot add or lose anything: the next one is right. Which rows to fold
 * comes from the dirty rings; all rows of a slot are folded when its ring was lapped, when its
 * owner changed, came alive or died, and when the consolidator itself has just started.
 */
#include "config.h"

#include "stat/view.h"

#include "base/env.h"

struct fold_slot {
	uint64_t cursor, head;            /* dirty ring: folded up to; now seen */
	uint64_t epoch;
	bool     live, known;
};

struct fold {
	uint32_t         *active;         /* slots that somebody ever had */
	uint32_t          n_active;
	uint64_t         *todo;           /* bit map of rows */
	struct fold_slot  slot[];         /* [n_slots] */
};

void view_fold_free(struct stat_seg *s)
{
	if (s->fold) {
		env_free(s->fold->active);
		env_free(s->fold->todo);
		env_free(s->fold);
	}
	s->fold = NULL;
}

static bool fold_make(struct stat_seg *s)
{
	size_t words = ((size_t)s->dim.max_objects + 63) / 64;

	if (s->fold)
		return true;
	s->fold = env_calloc(1, sizeof(*s->fold) + s->dim.n_slots * sizeof(struct fold_slot));
	if (!s->fold)
		return false;
	s->fold->active = env_calloc(s->dim.n_slots, sizeof(uint32_t));
	s->fold->todo = env_calloc(words, sizeof(uint64_t));
	if (!s->fold->active || !s->fold->todo) {
		view_fold_free(s);
		return false;
	}
	return true;
}

/* Collecting ------------------------------------------------------------------------------ */

static void todo_all(struct stat_seg *s, uint32_t k)
{
	const uint64_t *used = view_slot_used(s, k);
	size_t words = ((size_t)s->dim.max_objects + 63) / 64;

	for (size_t i = 0; i < words; i++)
		s->fold->todo[i] |= ld64_acq(&used[i]);
}

static void todo_ring(struct stat_seg *s, uint32_t k, struct fold_slot *f)
{
	const uint32_t *ring = (const void *)(s->slot[k] + s->dim.slot.dirty);
	const uint64_t *head = &view_slot(s, k)->dirty_head;
	uint32_t row, n = s->dim.dirty_n;

	if (f->head - f->cursor >= n) {
		todo_all(s, k);
		return;
	}
	for (uint64_t i = f->cursor; i != f->head; i++) {
		row = ld32(&ring[i & (n - 1)]);
		if (row < s->dim.max_objects)
			s->fold->todo[row / 64] |= UINT64_C(1) << (row % 64);
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (ld64(head) - f->cursor >= n) /* lapped meanwhile: what was read may be newer entries */
		todo_all(s, k);
}

static void look_at_slot(struct stat_seg *s, uint32_t k)
{
	struct fold_slot *f = &s->fold->slot[k];
	const struct seg_slot *sl = view_slot(s, k);
	bool live = view_slot_live(s, k);
	uint64_t epoch = ld64_acq(&sl->epoch);

	f->head = ld64_acq(&sl->dirty_head);
	if (!f->known || f->live != live || f->epoch != epoch)
		todo_all(s, k);
	else if (f->head != f->cursor)
		todo_ring(s, k, f);
	f->known = true;
	f->live = live;
	f->epoch = epoch;
}

static bool slot_ever_used(const struct stat_seg *s, uint32_t k)
{
	return s->fold->slot[k].known || ld32(&view_proc(s, k)->state) != ST_PROC_FREE ||
	       ld64(&view_slot(s, k)->epoch) != 0;
}

/* Folding --------------------------------------------------------------------------------- */

static void add_slot(struct stat_seg *s, const uint64_t *w, uint32_t kind, bool live, uint64_t *sum)
{
	for (unsigned i = 0; i < s->tbl->n[kind]; i++) {
		uint64_t v = ld64(&w[SEG_ROW_CTR + i]);

		switch (s->tbl->fold[kind][i]) {
		case FOLD_SUM:
			sum[i] += v;
			break;
		case FOLD_LEVEL:
			sum[i] += live ? v : 0;
			break;
		case FOLD_MAX:
			sum[i] = FL_MAX(sum[i], v);
			break;
		case FOLD_MIN:
			if (v && (sum[i] == 0 || v < sum[i]))
				sum[i] = v;
			break;
		}
	}
}

static void publish(struct stat_seg *s, uint32_t row, uint64_t tag, const uint64_t *sum,
		    uint64_t cycle)
{
	struct seg_total_row *t =
		(struct seg_total_row *)(void *)(s->totals_rw + s->dim.totals.row) + row;
	uint64_t *used = (uint64_t *)(void *)(s->totals_rw + s->dim.totals.used) + row / 64;
	uint64_t seq = t->seq, *w = t->copy[(seq + 1) & 1];

	__atomic_thread_fence(__ATOMIC_RELEASE);
	st64(&w[SEG_ROW_TAG], tag);
	FP("stat.total.tag");
	st64(&w[SEG_ROW_STAMP], cycle);
	for (unsigned i = 0; i < TBL_CTR_MAX; i++) {
		st64(&w[SEG_ROW_CTR + i], sum[i]);
		FP("stat.total.word");
	}
	st64_rel(&t->seq, seq + 1);
	FP("stat.total.seq");
	if (!(*used >> (row % 64) & 1)) {
		st64_rel(used, *used | UINT64_C(1) << (row % 64));
		FP("stat.total.used");
	}
}

static bool fold_row(struct stat_seg *s, uint32_t row, uint64_t cycle)
{
	uint64_t sum[TBL_CTR_MAX] = { 0 }, tag = view_tag(s, row);
	uint32_t kind = seg_tag_kind(tag);

	if (!tag)
		return false;
	for (uint32_t a = 0; a < s->fold->n_active; a++) {
		uint32_t k = s->fold->active[a];
		const uint64_t *w;

		if (!view_bit(view_slot_used(s, k), row))
			continue;
		w = view_slot_row(s, k, row);
		if (ld64_acq(&w[SEG_ROW_TAG]) == tag)
			add_slot(s, w, kind, s->fold->slot[k].live, sum);
	}
	for (unsigned i = 0; i < s->tbl->n_levels[kind]; i++)
		if ((int64_t)sum[s->tbl->level_ctr[kind][i]] < 0)
			sum[s->tbl->level_ctr[kind][i]] = 0;
	publish(s, row, tag, sum, cycle);
	return true;
}

unsigned stat_consolidate(struct stat_seg *s, uint64_t now_ms)
{
	struct seg_totals *t = (void *)s->totals_rw;
	uint64_t *folded, cycle, bits;
	unsigned n = 0;

	ASSERT(s->totals_rw && view_alive(s));
	if (!fold_make(s))
		return 0;
	cycle = t->cycle + 1;
	folded = (void *)(s->totals_rw + s->dim.totals.folded);
	s->fold->n_active = 0;
	for (uint32_t k = 0; k < s->dim.n_slots; k++) {
		if (!slot_ever_used(s, k))
			continue;
		s->fold->active[s->fold->n_active++] = k;
		look_at_slot(s, k);
	}
	for (size_t i = 0; i < ((size_t)s->dim.max_objects + 63) / 64; i++) {
		for (bits = s->fold->todo[i]; bits; bits &= bits - 1)
			n += fold_row(s, (uint32_t)(i * 64 + (unsigned)__builtin_ctzll(bits)),
				      cycle);
		s->fold->todo[i] = 0;
	}
	for (uint32_t a = 0; a < s->fold->n_active; a++) {
		uint32_t k = s->fold->active[a];

		s->fold->slot[k].cursor = s->fold->slot[k].head;
		if (ld64(&folded[k]) != s->fold->slot[k].head) {
			st64_rel(&folded[k], s->fold->slot[k].head);
			FP("stat.total.folded");
		}
	}
	st64(&t->at_ms, now_ms);
	st64_rel(&t->cycle, cycle);
	FP("stat.total.cycle");
	return n;
}
