/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold.h - the consolidator's private state; private to src/stat
 *
 *	fold.c     which rows of which slots have to be looked at, and the cycle
 *	part.c     one slot's part of a row: what changed in it, and what that does to the total
 *	window.c   what is worked out from a row's past: rates, averages, medians
 *
 * For each slot and row the consolidator keeps what it has last taken from there, its part; a total is the
 * fold of the parts. So a cycle costs what changed, however many slots and rows there are. Nothing of this
 * outlives the thread: the next consolidator takes every part anew, and a part is never given away, so nothing
 * is counted twice or lost.
 */
#ifndef FL_STAT_FOLD_H
#define FL_STAT_FOLD_H

#include "stat/view.h"

#define WINDOW_STEPS   7u
#define WINDOW_STEP_MS 2000u

struct fold_past {                       /* sources of rates and averages at the last steps, window.c */
	unsigned step;                   /* the next to be replaced: the oldest */
	uint64_t at_ms[WINDOW_STEPS];
	uint64_t v[];                    /* [WINDOW_STEPS][n_past of the kind] */
};

struct fold_row {
	uint64_t          tag;           /* whose sums these are; 0: nothing was taken yet */
	struct fold_past *past;
	uint32_t          rated;         /* 1 + place in the list of rows whose window moves, 0: not there */
	bool              changed;       /* is in fold.todo */
	uint8_t           whole;         /* publishes that have been of all words: two, then both copies are ours */
	/* bit c: sum[c] is not in the totals yet; is in one copy of them only */
	uint64_t          dirty, in_one;
	uint64_t          sum[TBL_CTR_MAX];
};

struct fold_slot {
	uint64_t  cursor, head;          /* dirty ring: taken up to; now seen */
	uint64_t  epoch, early;
	bool      live, known;
	bool      all;                   /* look at all of it now */
	uint64_t *part;                  /* [max_objects][fold.stride] */
	/* rows to be looked at for another reason than the ring's, when there is time */
	uint64_t *later;                 /* bit map; NULL: none ever */
	uint32_t  n_later, later_at;     /* bits set; word to go on with */
};

struct fold {
	uint32_t         *active;        /* slots that somebody ever had */
	uint32_t          n_active;
	unsigned          stride;        /* words of a part */
	struct fold_row  *row;           /* [max_objects] */
	uint32_t         *todo;          /* rows to be published */
	uint32_t          n_todo;
	uint32_t         *rated;         /* rows whose window moves */
	uint32_t          n_rated, rated_at;
	uint32_t          pass_n;        /* rows when rated_at was 0 */
	uint64_t          rated_ms;      /* up to when windows were moved */
	uint64_t          window_ms;     /* when they were moved last */
	uint64_t          scrub;         /* the part that is looked at next for no reason at all */
	uint64_t         *medians;       /* [n_slots] */
	struct fold_slot  slot[];        /* [n_slots] */
};

static inline uint64_t *fold_part(const struct fold *f, uint32_t k, uint32_t row)
{
	return f->slot[k].part + (size_t)row * f->stride;
}

/* part.c: the row's private sums, made from all slots when they are not this object's. NULL: no object. */
struct fold_row *part_row(struct stat_seg *s, uint32_t row, uint64_t now_ms);
/* Takes what slot k has of the row; the row is published when that changes anything. */
void part_take(struct stat_seg *s, uint32_t k, uint32_t row, uint64_t now_ms);
/* These counters of the row are published with this cycle. */
static inline void part_changed(struct fold *f, struct fold_row *r, uint32_t row, uint64_t counters)
{
	r->dirty |= counters;
	if (!r->changed) {
		r->changed = true;
		f->todo[f->n_todo++] = row;
	}
}

/* window.c: what is counted of the row begins, or goes on, to change; `sum` is as it was before. */
void window_begin(struct stat_seg *s, struct fold_row *r, uint32_t row, uint64_t now_ms);
/* What of the sums is no growth of just now, but was carried over from another segment: told before and after it is added. */
void window_sources(const struct stat_seg *s, const struct fold_row *r, uint64_t was[SEG_PAST_MAX]);
void window_carry(const struct stat_seg *s, struct fold_row *r, const uint64_t was[SEG_PAST_MAX]);
/* Moves the windows that are due. */
void window_move(struct stat_seg *s, uint64_t now_ms);
void window_forget(struct fold_row *r);

#endif
