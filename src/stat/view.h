/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.h - one process's view of the segment; private to src/stat
 *
 * All files are mapped read-only from read-only descriptors (mprotect cannot widen them); what the
 * process may write is mapped once more, read-write. The read-write maps are not inherited over
 * fork: a child that has not called stat_become() can read everything and write nothing.
 */
#ifndef FL_STAT_VIEW_H
#define FL_STAT_VIEW_H

#include <pthread.h>

#include "stat/segment.h"

struct fold;                            /* the consolidator's private state, fold.c */
struct owners;                          /* a worker's private picture of who owns what, owner.c */

struct stat_seg {
	uint32_t          magic;
	enum stat_role    role;
	struct seg_dims   dim;
	const struct seg_tables *tbl;
	uint64_t          set;

	/* read-only maps */
	const char       *dir, *totals;
	const char      **slot;             /* [n_slots] */
	/* read-write maps; NULL where this process is not the writer */
	char             *dir_rw, *totals_rw, *own;
	uint32_t          own_slot;         /* STAT_NO_SLOT */
	uint32_t          core, generation;
	uint32_t         *alive;            /* 0 in a forked child: the read-write maps are gone */

	int              *fd;               /* dir, totals, slots; n_fd 0 when closed */
	unsigned          n_fd;

	/* counting */
	struct stat_row **row;              /* [max_objects], made at the first use */
	struct stat_row  *dirty;

	struct fold      *fold;
	/* master: rows that may be given to other objects, best first; valid until the next
	 * commit */
	uint32_t         *reuse;
	uint32_t          reuse_n, reuse_at;
	bool              reuse_known;

	/* logging */
	pthread_mutex_t   log_lock;         /* threads of this process only */
	bool      log_batch; /* logd: cursors follow only in stat_log_written() */
	uint64_t *log_next; /* logd: read up to here, [n_slots]; the cursor follows */
	char             *log_buf;

	struct owners    *owners;           /* worker; NULL until the first look */
	uint32_t          mail_at;          /* whose letters come next */
	uint64_t          mail_torn;
};
#define SEG_VIEW_MAGIC 0x73746174u

static inline const struct seg_dir *view_dir(const struct stat_seg *s)
{
	return (const void *)s->dir;
}
static inline const struct seg_totals *view_totals(const struct stat_seg *s)
{
	return (const void *)s->totals;
}
static inline const struct seg_slot *view_slot(const struct stat_seg *s, uint32_t k)
{
	return (const void *)s->slot[k];
}
static inline const struct seg_proc *view_proc(const struct stat_seg *s, uint32_t k)
{
	return (const struct seg_proc *)(const void *)(s->dir + s->dim.dir.proc) + k;
}
static inline const struct seg_obj *view_obj(const struct stat_seg *s, uint32_t row)
{
	return (const struct seg_obj *)(const void *)(s->dir + s->dim.dir.object) + row;
}
static inline const uint64_t *view_slot_row(const struct stat_seg *s, uint32_t k, uint32_t row)
{
	return (const uint64_t *)(const void *)(s->slot[k] + s->dim.slot.row) +
	       (size_t)row * SEG_ROW_WORDS;
}
static inline const uint64_t *view_slot_used(const struct stat_seg *s, uint32_t k)
{
	return (const void *)(s->slot[k] + s->dim.slot.used);
}
static inline const struct seg_claim *view_claim(const struct stat_seg *s, uint32_t k, uint32_t row)
{
	return (const struct seg_claim *)(const void *)(s->slot[k] + s->dim.slot.claim) + row;
}
static inline const struct seg_total_row *view_total(const struct stat_seg *s, uint32_t row)
{
	return (const struct seg_total_row *)(const void *)(s->totals + s->dim.totals.row) + row;
}
static inline const uint64_t *view_totals_used(const struct stat_seg *s)
{
	return (const void *)(s->totals + s->dim.totals.used);
}
static inline bool view_bit(const uint64_t *map, uint32_t row)
{
	return ld64_acq(&map[row / 64]) >> (row % 64) & 1;
}
/* The tag of the object in a row; 0 when the row is free, out of range or makes no sense. */
static inline uint64_t view_tag(const struct stat_seg *s, uint32_t row)
{
	uint64_t tag;

	if (row >= s->dim.max_objects || row >= ld32_acq(&view_dir(s)->rows_high))
		return 0;
	tag = ld64_acq(&view_obj(s, row)->tag);
	return seg_kind_ok(seg_tag_kind(tag)) ? tag : 0;
}

/* May this process write? False in a child of the writer and in readers. */
static inline bool view_alive(const struct stat_seg *s) { return s->alive && *s->alive; }
static inline struct seg_slot *view_own(const struct stat_seg *s)
{
	return view_alive(s) ? (struct seg_slot *)(void *)s->own : NULL;
}
/* The master's: a bug when anybody else asks. */
static inline struct seg_dir *view_dir_rw(const struct stat_seg *s)
{
	ASSERT(s->magic == SEG_VIEW_MAGIC && s->dir_rw && view_alive(s));
	return (struct seg_dir *)(void *)s->dir_rw;
}
void view_board_bump(struct stat_seg *s);
/* A slot's process counts as alive: the master says so and the claim is of that process. */
bool view_slot_live(const struct stat_seg *s, uint32_t k);
/* Is the index in dir complete? A new master mends what the old one left half done (object.c). */
void view_index_mend(struct stat_seg *s);
/* Whose records of a row are valid: the slot of the newest claim, whether its process lives or not;
 * STAT_NO_SLOT: nobody's. A worker: as of its last stat_health_epoch(). */
uint32_t view_owner_slot(const struct stat_seg *s, uint32_t row, uint64_t tag);
/* Makes the own records of a row a copy of those of slot `from` (STAT_NO_SLOT: none). Nobody reads them
 * before the claim. */
void view_health_import(struct stat_seg *s, uint32_t row, uint64_t tag, uint32_t from);
void view_owners_look(struct stat_seg *s);
void view_owners_free(struct stat_seg *s);
void view_fold_free(struct stat_seg *s);
void view_rows_free(struct stat_seg *s);

#endif
