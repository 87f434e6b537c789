/* SPDX-License-Identifier: Apache-2.0 */
/*
 * total.c - reading figures: totals, what decisions use, one slot's own
 *
 * Readers never wait: a total is one of two copies, and the copy that is valid changes at most
 * once per cycle of the consolidator. A row that nobody counted is never touched, so that reading
 * all of a sparse segment does not fill it.
 */
#include "config.h"

#include "stat/view.h"

#include "base/env.h"
#include "base/err.h"

/* One word of a row's total; 0 when there is none for this object. */
static uint64_t total_word(const struct stat_seg *s, uint32_t row, uint64_t tag, unsigned word)
{
	const struct seg_total_row *t;
	uint64_t v = 0, got = 0;

	if (!tag || !view_bit(view_totals_used(s), row))
		return 0;
	t = view_total(s, row);
	for (int try = 0; try < LATCH_TRIES; try++) {
		uint64_t seq = ld64_acq(&t->seq);

		got = ld64(&t->copy[seq & 1][SEG_ROW_TAG]);
		v = ld64(&t->copy[seq & 1][word]);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (FL_LIKELY(ld64(&t->seq) == seq))
			break;
	}
	return got == tag ? v : 0;
}

/* An AGE is kept as the time of the event, and is told as how long ago that was: at least 1 ms, as 0 is never. An OWNER
 * is kept as one more, so that one who has measured nothing yet is told from one who has measured 0. */
static uint64_t as_told(const struct stat_seg *s, uint64_t tag, unsigned ctr, uint64_t v)
{
	uint8_t fold = s->tbl->fold[seg_tag_kind(tag)][ctr];
	uint64_t now;

	if (v && fold == FOLD_OWNER)
		return v - 1;
	if (!v || fold != FOLD_AGE)
		return v;
	now = env_now_us() / 1000;
	return now > v ? now - v : 1;
}

uint64_t stat_total(const struct stat_seg *s, uint32_t row, unsigned ctr)
{
	uint64_t tag = view_tag(s, row);

	return ctr < TBL_CTR_MAX && tag ? as_told(s, tag, ctr, total_word(s, row, tag, SEG_ROW_CTR + ctr)) : 0;
}

int stat_total_row(const struct stat_seg *s, uint32_t row, uint64_t out[TBL_CTR_MAX])
{
	uint64_t tag = view_tag(s, row), tmp[SEG_ROW_WORDS];
	const struct seg_total_row *t;

	if (!tag || !view_bit(view_totals_used(s), row)) {
		memset(out, 0, TBL_CTR_MAX * sizeof(out[0]));
		return 0;
	}
	t = view_total(s, row);
	for (int try = 0; try < LATCH_TRIES; try++) {
		uint64_t seq = ld64_acq(&t->seq);

		for (unsigned i = 0; i < SEG_ROW_WORDS; i++)
			tmp[i] = ld64(&t->copy[seq & 1][i]);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (ld64(&t->seq) != seq)
			continue;
		for (unsigned i = 0; i < TBL_CTR_MAX; i++)
			out[i] = tmp[SEG_ROW_TAG] == tag ? as_told(s, tag, i, tmp[SEG_ROW_CTR + i]) : 0;
		return 0;
	}
	return FL_ETORN_;
}

/*
 * Others' part of a LEVEL is the total less what the total contains of mine. That is what I flushed
 * last, or, until the consolidator has folded that flush, what I had flushed when it last folded
 * one: with a consolidator that stands still the others' part stands still too, and mine is exact.
 */
uint64_t stat_now(const struct stat_seg *s, const struct stat_row *r, unsigned ctr)
{
	uint64_t mine, folded, total;
	int64_t sum;
	unsigned level;

	if (!r || ctr >= TBL_CTR_MAX)
		return 0;
	folded = ld64_acq((const uint64_t *)(const void *)(s->totals + s->dim.totals.folded) +
			  s->own_slot);
	total = total_word(s, r->id, r->tag, SEG_ROW_CTR + ctr);
	switch (s->tbl->fold[r->kind][ctr]) {
	case FOLD_MAX:
		return FL_MAX(total, r->v[ctr]);
	case FOLD_MIN:
		return total && (!r->v[ctr] || total < r->v[ctr]) ? total : r->v[ctr];
	case FOLD_SUM:
		return total > r->flushed[ctr] ? total - r->flushed[ctr] + r->v[ctr] : r->v[ctr];
	case FOLD_LEVEL:
		break;
	default:                         /* only the consolidator has it */
		return as_told(s, r->tag, ctr, total);
	}
	level = s->tbl->level[r->kind][ctr];
	mine = folded > r->pos || level >= SEG_LEVEL_MAX ? r->flushed[ctr] : r->level_in[level];
	sum = (int64_t)(total > mine ? total - mine : 0) + (int64_t)r->v[ctr];
	return sum > 0 ? (uint64_t)sum : 0;
}

uint64_t stat_slot_value(const struct stat_seg *s, uint32_t slot, uint32_t row, unsigned ctr)
{
	uint64_t tag = view_tag(s, row);
	const uint64_t *w;

	if (slot >= s->dim.n_slots || ctr >= TBL_CTR_MAX || !tag ||
	    !view_bit(view_slot_used(s, slot), row))
		return 0;
	w = view_slot_row(s, slot, row);
	if (ld64_acq(&w[SEG_ROW_TAG]) != tag)
		return 0;
	if (s->tbl->fold[seg_tag_kind(tag)][ctr] == FOLD_LEVEL && !view_slot_live(s, slot))
		return 0;
	return as_told(s, tag, ctr, ld64(&w[SEG_ROW_CTR + ctr]));
}

void stat_cycle(const struct stat_seg *s, uint64_t *cycle, uint64_t *at_ms)
{
	*cycle = ld64_acq(&view_totals(s)->cycle);
	*at_ms = ld64(&view_totals(s)->at_ms);
}

void stat_cycles(const struct stat_seg *s, struct stat_cycles *out)
{
	const struct seg_totals *t = view_totals(s);

	stat_cycle(s, &out->cycle, &out->at_ms);
	out->missed = ld64(&t->missed);
	out->early = ld64(&t->early);
	out->fold_us = ld64(&t->fold_us);
	out->fold_max_us = ld64(&t->fold_max_us);
}
