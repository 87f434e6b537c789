/* SPDX-License-Identifier: Apache-2.0 */
/*
 * count.c - a process's own figures: accumulators, dirty list, flush into its slot
 *
 * Order of a flush, and why a kill between any two stores loses at most what was not flushed yet:
 * words of the row, then its number in the dirty ring, then the ring's head. A word stored without
 * its ring entry is found when the slot changes hands, as the consolidator then folds all its rows.
 */
#include "config.h"

#include "stat/view.h"

#include "base/env.h"

static uint64_t *own_row(struct stat_seg *s, uint32_t row)
{
	return (uint64_t *)(void *)(s->own + s->dim.slot.row) + (size_t)row * SEG_ROW_WORDS;
}

static void row_load(struct stat_seg *s, struct stat_row *r)
{
	const uint64_t *w = own_row(s, r->id);

	r->fresh = true;
	if (!view_bit(view_slot_used(s, s->own_slot), r->id) || ld64(&w[SEG_ROW_TAG]) != r->tag)
		return;
	r->fresh = false;
	for (unsigned i = 0; i < s->tbl->n[r->kind]; i++)
		r->v[i] = r->flushed[i] = ld64(&w[SEG_ROW_CTR + i]);
	for (unsigned i = 0; i < s->tbl->n_levels[r->kind]; i++)
		r->level_in[i] = r->v[s->tbl->level_ctr[r->kind][i]];
}

struct stat_row *stat_row_get(struct stat_seg *s, enum tbl_kind kind, uint32_t row)
{
	struct stat_row *r;
	uint64_t tag;

	if (!s || row >= s->dim.max_objects || !view_own(s))
		return NULL;
	tag = view_tag(s, row);
	r = s->row[row];
	if (seg_tag_kind(tag) != (uint32_t)kind || kind == KIND_NONE)
		return NULL;
	if (r && r->tag == tag)
		return r;
	if (!r) {
		r = env_calloc(1, sizeof(*r));
		if (!r)
			return NULL;
		r->seg = s;
		r->id = row;
		s->row[row] = r;
	} else { /* the row has another object now; only the master and control live that long */
		memset(r->v, 0, sizeof(r->v));
		memset(r->flushed, 0, sizeof(r->flushed));
		memset(r->level_in, 0, sizeof(r->level_in));
		r->touched = 0;
	}
	r->tag = tag;
	r->kind = (uint8_t)kind;
	r->pos = 0;
	row_load(s, r);
	return r;
}

void view_rows_free(struct stat_seg *s)
{
	for (uint32_t i = 0; s->row && i < s->dim.max_objects; i++)
		env_free(s->row[i]);
	env_free(s->row);
	s->row = NULL;
	s->dirty = NULL;
}

void stat_row_mark(struct stat_row *r)
{
	r->dirty = true;
	r->next_dirty = r->seg->dirty;
	r->seg->dirty = r;
}

bool stat_is_dirty(const struct stat_seg *s)
{
	return s->dirty != NULL;
}

/* First count of this object in this slot: what another object left in the row goes. Nobody counts
 * the words while the tag is not the object's. */
static void row_begin(struct stat_seg *s, struct stat_row *r, uint64_t *w)
{
	uint64_t *used = (uint64_t *)(void *)(s->own + s->dim.slot.used) + r->id / 64;

	if (w[SEG_ROW_TAG] != 0) {
		st64_rel(&w[SEG_ROW_TAG], 0);
		FP("stat.flush.tag0");
	}
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (unsigned i = SEG_ROW_MAP; i < SEG_ROW_WORDS; i++) {
		if (w[i] != 0) {
			st64(&w[i], 0);
			FP("stat.flush.zero");
		}
	}
	st64_rel(&w[SEG_ROW_TAG], r->tag);
	FP("stat.flush.tag");
	st64_rel(used, *used | UINT64_C(1) << (r->id % 64));
	FP("stat.flush.used");
	r->fresh = false;
}

static void row_flush(struct stat_seg *s, struct stat_row *r, uint64_t folded, uint64_t pos)
{
	uint64_t *w = own_row(s, r->id), map, touched = r->touched;

	if (r->fresh)
		row_begin(s, r, w);
	/* what the total holds of ours is what was flushed before the last fold, see stat_now() */
	if (folded > r->pos)
		for (unsigned i = 0; i < s->tbl->n_levels[r->kind]; i++)
			r->level_in[i] = r->flushed[s->tbl->level_ctr[r->kind][i]];
	r->pos = pos;
	r->touched = 0;
	map = w[SEG_ROW_MAP];
	for (; touched; touched &= touched - 1) {
		unsigned i = (unsigned)__builtin_ctzll(touched);

		if (r->v[i] == r->flushed[i])
			continue;
		r->flushed[i] = r->v[i];
		st64(&w[SEG_ROW_CTR + i], r->v[i]);
		FP("stat.flush.word");
		map |= UINT64_C(1) << i;
	}
	if (map != w[SEG_ROW_MAP]) {
		st64(&w[SEG_ROW_MAP], map);
		FP("stat.flush.map");
	}
}

bool stat_flush(struct stat_seg *s, uint64_t now_ms)
{
	struct seg_slot *sl = view_own(s);
	uint32_t *ring, mask = s->dim.dirty_n - 1;
	uint64_t folded, head;

	if (!s->dirty || !sl)
		return false;
	folded = ld64_acq((const uint64_t *)(const void *)(s->totals + s->dim.totals.folded) +
			  s->own_slot);
	ring = (void *)(s->own + s->dim.slot.dirty);
	head = sl->dirty_head;
	for (struct stat_row *r = s->dirty, *next; r; r = next) {
		next = r->next_dirty;
		r->dirty = false;
		r->next_dirty = NULL;
		row_flush(s, r, folded, head);
		/* who sees this entry of a lapped ring also sees the head before it */
		__atomic_thread_fence(__ATOMIC_RELEASE);
		st32(&ring[head & mask], r->id);
		FP("stat.flush.ring");
		head++;
		st64_rel(&sl->dirty_head, head);
		FP("stat.flush.head");
	}
	s->dirty = NULL;
	st64(&sl->flush_ms, now_ms);
	st64_rel(&sl->flush_cycle, sl->flush_cycle + 1);
	FP("stat.flush.cycle");
	return true;
}

void stat_flush_early(struct stat_seg *s)
{
	struct seg_slot *sl = view_own(s);

	if (!sl)
		return;
	st64_rel(&sl->early, sl->early + 1);
	FP("stat.flush.early");
}
