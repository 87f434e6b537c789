/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part.c - one slot's part of a row, and what a change of it does to the total (see fold.h)
 */
#include "config.h"

#include "stat/fold.h"
#include "stat/owner.h"

/* What the row's total was when the consolidator before this one published it last; false: it never was. */
static bool take_published(const struct stat_seg *s, struct fold_row *r, uint32_t row)
{
	const struct seg_total_row *t = view_total(s, row);
	const uint64_t *w = t->copy[t->seq & 1];

	if (!view_bit(view_totals_used(s), row) || w[SEG_ROW_TAG] != r->tag)
		return false;
	memcpy(r->sum, w + SEG_ROW_CTR, sizeof(r->sum));
	return true;
}

/* Over all parts: where a part that goes back could have been the one that decided. */
static uint64_t extreme(const struct fold *f, uint32_t row, unsigned c, bool most)
{
	uint64_t best = 0;

	for (uint32_t a = 0; a < f->n_active; a++) {
		uint64_t v = f->slot[f->active[a]].part ? fold_part(f, f->active[a], row)[c] : 0;

		if (v && (!best || (most ? v > best : v < best)))
			best = v;
	}
	return best;
}

/* What does not add up. */
static void apply(struct stat_seg *s, struct fold_row *r, uint32_t row, unsigned c, uint64_t was, uint64_t now)
{
	uint64_t *sum = &r->sum[c];

	switch ((enum tbl_fold)s->tbl->fold[seg_tag_kind(r->tag)][c]) {
	case FOLD_MAX:
	case FOLD_AGE:
		*sum = now >= was ? FL_MAX(*sum, now) : extreme(s->fold, row, c, true);
		break;
	case FOLD_MIN:
		*sum = extreme(s->fold, row, c, false);
		break;
	case FOLD_SUM:
	case FOLD_LEVEL:
	case FOLD_OWNER:                         /* copy_owner() */
	case FOLD_MEDIAN:                        /* window.c */
	case FOLD_RATE:
	case FOLD_AVG:
		break;
	}
}

/* Is any of these counters not what the part has? */
static bool differs(const uint64_t *w, const uint64_t *part, uint64_t bits)
{
	for (; bits; bits &= bits - 1) {
		unsigned c = (unsigned)__builtin_ctzll(bits);

		if (ld64(&w[c]) != part[c])
			return true;
	}
	return false;
}

/* Those that add up, without a branch on what they are: nearly all of a busy row. */
static uint64_t take_sums(struct fold_row *r, const uint64_t *w, uint64_t *part, uint64_t bits)
{
	uint64_t changed = 0;

	for (; bits; bits &= bits - 1) {
		unsigned c = (unsigned)__builtin_ctzll(bits);
		uint64_t v = ld64(&w[c]), by = v - part[c];

		part[c] = v;
		r->sum[c] += by;
		changed |= (uint64_t)(by != 0) << c;
	}
	return changed;
}

static uint64_t take_others(struct stat_seg *s, struct fold_row *r, uint32_t row, const uint64_t *w, uint64_t *part,
			    uint64_t bits)
{
	uint64_t changed = 0;

	for (; bits; bits &= bits - 1) {
		unsigned c = (unsigned)__builtin_ctzll(bits);
		uint64_t v = ld64(&w[c]), was = part[c];

		if (v == was)
			continue;
		part[c] = v;
		apply(s, r, row, c, was, v);
		changed |= UINT64_C(1) << c;
	}
	return changed;
}

/* Looks at what the slot has written, which is little of a row, and says what of it changed. */
static uint64_t take(struct stat_seg *s, struct fold_row *r, uint32_t k, uint32_t row, uint64_t now_ms)
{
	static const uint64_t nothing[SEG_ROW_WORDS];
	const uint64_t *w = view_slot_row(s, k, row), *v = w + SEG_ROW_CTR;
	uint64_t *part = fold_part(s->fold, k, row), bits, gone = 0, changed;
	uint32_t kind = seg_tag_kind(r->tag);

	bits = s->tbl->counted[kind];
	if (FL_UNLIKELY(ld64_acq(&w[SEG_ROW_TAG]) != r->tag))
		gone = bits;                     /* the slot has another object, and nothing of this one */
	else if (FL_UNLIKELY(!s->fold->slot[k].live))
		gone = bits & s->tbl->of_process[kind];
	if (gone != bits)
		bits &= ld64(&w[SEG_ROW_MAP]);
	bits &= ~gone;
	if (FL_UNLIKELY(!r->rated) && (differs(v, part, bits) || differs(nothing, part, gone)))
		window_begin(s, r, row, now_ms);
	changed = take_sums(r, v, part, bits & s->tbl->adds[kind]) |
		  take_others(s, r, row, v, part, bits & ~s->tbl->adds[kind]);
	if (FL_UNLIKELY(gone != 0))
		changed |= take_sums(r, nothing, part, gone & s->tbl->adds[kind]) |
			   take_others(s, r, row, nothing, part, gone & ~s->tbl->adds[kind]);
	return changed;
}

/* Copied from who owns the object (owner.h). One that has not measured yet does not say so: what was, stays. */
static uint64_t copy_owner(struct stat_seg *s, struct fold_row *r, uint32_t row)
{
	uint32_t kind = seg_tag_kind(r->tag);
	struct stat_owner o;
	uint64_t changed = 0;

	if (!s->tbl->n_owner[kind] || !stat_owner_get(s, row, &o) || !s->fold->slot[o.slot].part)
		return 0;
	for (unsigned i = 0; i < s->tbl->n_owner[kind]; i++) {
		unsigned c = s->tbl->owner_ctr[kind][i];
		uint64_t v = fold_part(s->fold, o.slot, row)[c];

		if (!v || v == r->sum[c])
			continue;
		r->sum[c] = v;
		changed |= UINT64_C(1) << c;
	}
	return changed;
}

/* The master's slot holds what came along from another segment (proc/sums.c): that is counted, but did not happen just now. */
static uint64_t take_slot(struct stat_seg *s, struct fold_row *r, uint32_t k, uint32_t row, bool carried, uint64_t now_ms)
{
	uint64_t was[SEG_PAST_MAX], changed;

	if (carried)
		window_sources(s, r, was);
	changed = take(s, r, k, row, now_ms);
	if (carried)
		window_carry(s, r, was);
	return changed;
}

static bool is_master(const struct stat_seg *s, uint32_t k)
{
	return k == stat_slot_of(s, STAT_MASTER);
}

static void clear_row(struct stat_seg *s, struct fold_row *r, uint32_t row)
{
	struct fold *f = s->fold;
	bool changed = r->changed;
	uint32_t rated = r->rated;

	window_forget(r);
	for (uint32_t k = 0; r->tag && k < s->dim.n_slots; k++)
		if (f->slot[k].part)
			memset(fold_part(f, k, row), 0, f->stride * sizeof(uint64_t));
	*r = (struct fold_row){ .changed = changed, .rated = rated };
}

static bool is_derived(uint32_t fold)
{
	return fold == FOLD_OWNER || fold == FOLD_MEDIAN || fold == FOLD_RATE || fold == FOLD_AVG;
}

/*
 * What parts decide is begun at 0, as the parts are. The window begins with what was published: what has been
 * counted since then is what it sees first.
 */
static void begin_row(struct stat_seg *s, struct fold_row *r, uint32_t row, uint64_t now_ms)
{
	struct fold *f = s->fold;
	uint32_t kind = seg_tag_kind(r->tag);
	bool known = take_published(s, r, row);

	window_begin(s, r, row, now_ms);
	for (unsigned c = 0; c < TBL_CTR_MAX; c++)
		if (c >= s->tbl->n[kind] || !is_derived(s->tbl->fold[kind][c]))
			r->sum[c] = 0;
	for (uint32_t a = 0; a < f->n_active; a++)
		if (f->slot[f->active[a]].part && view_bit(view_slot_used(s, f->active[a]), row))
			(void)take_slot(s, r, f->active[a], row, !known && is_master(s, f->active[a]), now_ms);
	(void)copy_owner(s, r, row);
	part_changed(f, r, row, 0);              /* whole, as it is new */
}

struct fold_row *part_row(struct stat_seg *s, uint32_t row, uint64_t now_ms)
{
	struct fold_row *r = &s->fold->row[row];
	uint64_t tag = view_tag(s, row);

	if (tag && r->tag == tag)
		return r;
	if (r->tag)
		clear_row(s, r, row);
	if (!tag)
		return NULL;
	r->tag = tag;
	begin_row(s, r, row, now_ms);
	return r;
}

void part_take(struct stat_seg *s, uint32_t k, uint32_t row, uint64_t now_ms)
{
	struct fold_row *r = row < s->dim.max_objects ? part_row(s, row, now_ms) : NULL;
	uint64_t changed;

	if (!r || !view_bit(view_slot_used(s, k), row))
		return;
	changed = take_slot(s, r, k, row, is_master(s, k), now_ms);
	if (FL_UNLIKELY(changed & s->tbl->owners[seg_tag_kind(r->tag)]))
		changed |= copy_owner(s, r, row);
	if (changed)
		part_changed(s->fold, r, row, changed);
}
