/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold.c - the consolidator: slots into totals (see fold.h)
 *
 * What changed comes from the dirty rings. A slot is looked at as a whole when its ring was lapped, when its
 * owner changed, came alive or died, and when the consolidator itself has just started; but for the first, that is
 * done a part in each cycle, so that neither a reload nor a death makes a cycle late; while there are such parts
 * the next cycle is due at once (stat_consolidate_due_ms()). One more part is looked at in each cycle for no reason: what was stored without its ring
 * entry, or damaged here, is put right in the end.
 */
#include "config.h"

#include "stat/fold.h"

#include "base/env.h"

#define LATER_MAX 256u            /* parts of a cycle that no ring named */
#define RING_MAX  4096u           /* entries of a cycle; the rest, if that is no backlog that grows, is the next one's */
#define AHEAD     4u              /* ring entries whose memory is asked for ahead */
#define LEAST_MS  500u            /* between two folds that only windows need */

static size_t map_words(const struct stat_seg *s)
{
	return ((size_t)s->dim.max_objects + 63) / 64;
}

void view_fold_free(struct stat_seg *s)
{
	struct fold *f = s->fold;

	if (!f)
		return;
	for (uint32_t i = 0; f->row && f->rated && i < f->n_rated; i++)
		window_forget(&f->row[f->rated[i]]);
	for (uint32_t k = 0; k < s->dim.n_slots; k++) {
		env_free(f->slot[k].part);
		env_free(f->slot[k].later);
	}
	env_free(f->active);
	env_free(f->row);
	env_free(f->todo);
	env_free(f->rated);
	env_free(f->medians);
	env_free(f);
	s->fold = NULL;
}

static bool fold_make(struct stat_seg *s)
{
	struct fold *f = s->fold;
	unsigned most = 0;

	if (f)
		return true;
	f = s->fold = env_calloc(1, sizeof(*f) + s->dim.n_slots * sizeof(struct fold_slot));
	if (!f)
		return false;
	for (uint32_t k = 1; k < KIND__COUNT; k++)
		most = FL_MAX(most, (unsigned)s->tbl->n[k]);
	f->stride = (most + 7) & ~7u;
	f->active = env_calloc(s->dim.n_slots, sizeof(*f->active));
	f->medians = env_calloc(s->dim.n_slots, sizeof(*f->medians));
	/* as sparse as the segment: what is never touched takes no memory */
	f->row = env_calloc(s->dim.max_objects, sizeof(*f->row));
	f->todo = env_calloc(s->dim.max_objects, sizeof(*f->todo));
	f->rated = env_calloc(s->dim.max_objects, sizeof(*f->rated));
	if (!f->active || !f->medians || !f->row || !f->todo || !f->rated) {
		view_fold_free(s);
		return false;
	}
	return true;
}

/* Collecting ------------------------------------------------------------------------------ */

/* All rows of the slot, when there is time. False: no memory. */
static bool look_later(struct stat_seg *s, uint32_t k)
{
	struct fold_slot *fs = &s->fold->slot[k];
	const uint64_t *used = view_slot_used(s, k);

	if (!fs->later)
		fs->later = env_calloc(map_words(s), sizeof(uint64_t));
	if (!fs->later)
		return false;
	fs->n_later = 0;
	for (size_t i = 0; i < map_words(s); i++) {
		fs->later[i] |= ld64_acq(&used[i]);
		fs->n_later += (uint32_t)__builtin_popcountll(fs->later[i]);
	}
	return true;
}

/* At most `most` of them; how many it were. */
static unsigned take_later(struct stat_seg *s, uint32_t k, unsigned most, uint64_t now_ms)
{
	struct fold_slot *fs = &s->fold->slot[k];
	unsigned n = 0;

	for (size_t seen = 0; fs->n_later && n < most && seen <= map_words(s); seen++) {
		uint64_t *word = &fs->later[fs->later_at];

		for (; *word && n < most; n++) {
			part_take(s, k, fs->later_at * 64 + (uint32_t)__builtin_ctzll(*word), now_ms);
			*word &= *word - 1;
			fs->n_later--;
		}
		if (!*word)
			fs->later_at = fs->later_at + 1 < map_words(s) ? fs->later_at + 1 : 0;
	}
	return n;
}

static void take_all(struct stat_seg *s, uint32_t k, uint64_t now_ms)
{
	const uint64_t *used = view_slot_used(s, k);

	for (size_t i = 0; i < map_words(s); i++)
		for (uint64_t bits = ld64_acq(&used[i]); bits; bits &= bits - 1)
			part_take(s, k, (uint32_t)(i * 64 + (unsigned)__builtin_ctzll(bits)), now_ms);
}

#define HOT_WORDS 24u             /* of a row: what is asked for ahead, see counters.def */

/* All at once: one after the other, each miss would cost as much as the work. */
static void ask_for(const void *p, unsigned words)
{
	for (unsigned i = 0; i < words; i += 8)
		__builtin_prefetch((const uint64_t *)p + i);
}

static void ask_ahead(struct stat_seg *s, uint32_t k, uint32_t row)
{
	struct fold *f = s->fold;

	if (row >= s->dim.max_objects)
		return;
	ask_for(view_slot_row(s, k, row), HOT_WORDS);
	ask_for(fold_part(f, k, row), HOT_WORDS);
	ask_for(&f->row[row], HOT_WORDS + 8);
	__builtin_prefetch(view_total(s, row));
}

/* Up to where the ring is taken in this cycle: what a reload or a death makes dirty at once takes some. */
static void bound_ring(struct fold_slot *fs, unsigned *left)
{
	uint64_t n = fs->head - fs->cursor;

	if (n > *left && n <= 4 * RING_MAX) {
		fs->head = fs->cursor + *left;
		n = *left;
	}
	*left -= (unsigned)FL_MIN(n, (uint64_t)*left);
}

static void take_ring(struct stat_seg *s, uint32_t k, uint64_t now_ms)
{
	struct fold_slot *fs = &s->fold->slot[k];
	const uint32_t *ring = (const void *)(s->slot[k] + s->dim.slot.dirty);
	uint32_t n = s->dim.dirty_n;

	if (fs->all || fs->head - fs->cursor >= n) {
		fs->all = false;
		take_all(s, k, now_ms);
		return;
	}
	if (fs->head == fs->cursor)
		return;
	for (uint64_t i = fs->cursor; i != fs->head; i++) {
		ask_ahead(s, k, ld32(&ring[(i + AHEAD) & (n - 1)]));
		part_take(s, k, ld32(&ring[i & (n - 1)]), now_ms);
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (ld64(&view_slot(s, k)->dirty_head) - fs->cursor >= n)    /* lapped meanwhile: it may be newer entries */
		take_all(s, k, now_ms);
}

/* False: the slot has to wait, for want of memory. */
static bool slot_ready(struct stat_seg *s, uint32_t k)
{
	struct fold_slot *fs = &s->fold->slot[k];

	if (!fs->part)
		fs->part = env_calloc(s->dim.max_objects, s->fold->stride * sizeof(uint64_t));
	return fs->part != NULL;
}

/* What the one before had folded of the ring, it has published. */
static void first_look(struct stat_seg *s, uint32_t k)
{
	struct fold_slot *fs = &s->fold->slot[k];
	const uint64_t *folded = (const void *)(s->totals + s->dim.totals.folded);

	fs->cursor = ld64(&folded[k]);
	if (fs->cursor > fs->head)
		fs->cursor = fs->head - FL_MIN(fs->head, (uint64_t)s->dim.dirty_n);
	fs->early = ld64(&view_slot(s, k)->early);
}

/* Before anything is taken: what a slot's figures mean depends on who has it. */
static void look_at_slot(struct stat_seg *s, uint32_t k)
{
	struct fold_slot *fs = &s->fold->slot[k];
	const struct seg_slot *sl = view_slot(s, k);
	bool live = view_slot_live(s, k);
	uint64_t epoch = ld64_acq(&sl->epoch);

	fs->head = ld64_acq(&sl->dirty_head);
	if (!fs->known)
		first_look(s, k);
	if (!fs->known || fs->live != live || fs->epoch != epoch) {
		fs->live = live;
		fs->all = !look_later(s, k);
	}
	fs->known = true;
	fs->epoch = epoch;
}

static bool slot_ever_used(const struct stat_seg *s, uint32_t k)
{
	return s->fold->slot[k].known || ld32(&view_proc(s, k)->state) != ST_PROC_FREE ||
	       ld64(&view_slot(s, k)->epoch) != 0;
}

static void look_for_no_reason(struct stat_seg *s, uint64_t now_ms)
{
	struct fold *f = s->fold;
	uint32_t high = FL_MIN(ld32_acq(&view_dir(s)->rows_high), s->dim.max_objects), k, row;

	if (!f->n_active || !high)
		return;
	k = f->active[f->scrub % f->n_active];
	row = (uint32_t)(f->scrub / f->n_active % high);
	f->scrub++;
	if (f->slot[k].part && f->row[row].tag)
		part_take(s, k, row, now_ms);
}

/* Slots that nobody has any more come first: their levels are too much in the totals until they were looked at. */
static void take_laters(struct stat_seg *s, uint64_t now_ms)
{
	struct fold *f = s->fold;
	unsigned left = LATER_MAX;

	for (unsigned live = 0; live < 2; live++)
		for (uint32_t a = 0; a < f->n_active && left; a++) {
			uint32_t k = f->active[(a + f->scrub) % f->n_active];

			if (f->slot[k].live == live)
				left -= take_later(s, k, left, now_ms);
		}
}

static void collect(struct stat_seg *s, uint64_t now_ms)
{
	struct fold *f = s->fold;
	unsigned entries = RING_MAX;

	f->n_active = 0;
	for (uint32_t k = 0; k < s->dim.n_slots; k++)
		if (slot_ever_used(s, k) && slot_ready(s, k))
			f->active[f->n_active++] = k;
	for (uint32_t a = 0; a < f->n_active; a++)
		look_at_slot(s, f->active[a]);
	for (uint32_t a = 0; a < f->n_active; a++) {
		uint32_t k = f->active[(a + f->scrub) % f->n_active];    /* each is the first in its turn */

		if (f->slot[k].head - f->slot[k].cursor < s->dim.dirty_n)
			bound_ring(&f->slot[k], &entries);
		take_ring(s, k, now_ms);
	}
	take_laters(s, now_ms);
	look_for_no_reason(s, now_ms);
}

/* Publishing ------------------------------------------------------------------------------ */

static void publish_word(uint64_t *w, uint64_t v)
{
	if (*w == v)
		return;
	st64(w, v);
	FP("stat.total.word");
}

static void publish(struct stat_seg *s, uint32_t row, uint64_t cycle)
{
	struct seg_total_row *t =
		(struct seg_total_row *)(void *)(s->totals_rw + s->dim.totals.row) + row;
	uint64_t *used = (uint64_t *)(void *)(s->totals_rw + s->dim.totals.used) + row / 64;
	uint64_t seq = t->seq, *w = t->copy[(seq + 1) & 1], bits;
	struct fold_row *r = &s->fold->row[row];
	uint64_t levels = s->tbl->is_level[seg_tag_kind(r->tag)];

	bits = r->whole < 2 ? UINT64_MAX >> (64 - TBL_CTR_MAX) : r->dirty | r->in_one;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	st64(&w[SEG_ROW_TAG], r->tag);
	FP("stat.total.tag");
	st64(&w[SEG_ROW_CYCLE], cycle);
	levels &= bits;
	for (bits &= ~levels; bits; bits &= bits - 1) {
		unsigned c = (unsigned)__builtin_ctzll(bits);

		publish_word(&w[SEG_ROW_CTR + c], r->sum[c]);
	}
	for (; levels; levels &= levels - 1) {
		unsigned c = (unsigned)__builtin_ctzll(levels);

		publish_word(&w[SEG_ROW_CTR + c], (int64_t)r->sum[c] < 0 ? 0 : r->sum[c]);
	}
	st64_rel(&t->seq, seq + 1);
	FP("stat.total.seq");
	r->in_one = r->dirty;
	r->dirty = 0;
	if (r->whole < 2)
		r->whole++;
	if (!(*used >> (row % 64) & 1)) {
		st64_rel(used, *used | UINT64_C(1) << (row % 64));
		FP("stat.total.used");
	}
}

static void publish_all(struct stat_seg *s, uint64_t cycle)
{
	struct fold *f = s->fold;

	for (uint32_t i = 0; i < f->n_todo; i++) {
		uint32_t row = f->todo[i];

		if (i + AHEAD < f->n_todo) {
			const struct seg_total_row *t = view_total(s, f->todo[i + AHEAD]);

			ask_for(t->copy[(t->seq + 1) & 1], HOT_WORDS);
		}
		f->row[row].changed = false;
		if (f->row[row].tag)
			publish(s, row, cycle);
	}
	f->n_todo = 0;
}

/* Up to where the rings are in the totals; behind the totals, see stat_now(). */
static void publish_cursors(struct stat_seg *s)
{
	uint64_t *folded = (void *)(s->totals_rw + s->dim.totals.folded);

	for (uint32_t a = 0; a < s->fold->n_active; a++) {
		uint32_t k = s->fold->active[a];

		s->fold->slot[k].cursor = s->fold->slot[k].head;
		if (ld64(&folded[k]) != s->fold->slot[k].head) {
			st64_rel(&folded[k], s->fold->slot[k].head);
			FP("stat.total.folded");
		}
	}
}

unsigned stat_consolidate(struct stat_seg *s, uint64_t now_ms)
{
	struct seg_totals *t = (void *)s->totals_rw;
	uint64_t cycle, began = env_now_us(), took;
	unsigned n;

	ASSERT(s->totals_rw && view_alive(s));
	if (!fold_make(s))
		return 0;
	cycle = t->cycle + 1;
	collect(s, now_ms);
	n = s->fold->n_todo;
	window_move(s, now_ms);
	publish_all(s, cycle);
	publish_cursors(s);
	took = env_now_us() - began;
	st64(&t->fold_us, took);
	if (took > t->fold_max_us)
		st64(&t->fold_max_us, took);
	st64(&t->at_ms, now_ms);
	st64_rel(&t->cycle, cycle);
	FP("stat.total.cycle");
	return n;
}

uint64_t stat_consolidate_due_ms(const struct stat_seg *s)
{
	const struct fold *f = s->fold;

	if (!f)
		return UINT64_MAX;
	for (uint32_t a = 0; a < f->n_active; a++)
		if (f->slot[f->active[a]].n_later)
			return 0;
	return f->n_rated ? f->rated_ms + FL_MAX(WINDOW_STEP_MS / f->n_rated, LEAST_MS) : UINT64_MAX;
}

bool stat_early_wanted(struct stat_seg *s)
{
	struct seg_totals *t = (void *)s->totals_rw;
	bool any = false;

	for (uint32_t a = 0; s->fold && a < s->fold->n_active; a++) {
		uint32_t k = s->fold->active[a];
		uint64_t now = ld64_acq(&view_slot(s, k)->early);

		any |= now != s->fold->slot[k].early;
		s->fold->slot[k].early = now;
	}
	if (any)
		st64(&t->early, t->early + 1);
	return any;
}

void stat_cycles_missed(struct stat_seg *s, uint64_t missed)
{
	struct seg_totals *t = (void *)s->totals_rw;

	st64(&t->missed, t->missed + missed);
}
