/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object.c - the table of objects in dir: which row is whose
 *
 * The master writes it, everybody reads it at any time. A row's tag is stored last and cleared
 * first, so a reader who sees the same tag before and after has read one object. The tag's
 * incarnation grows with each new owner of the row and decides which counters and records are the
 * object's. The index only speeds up the search: what it says is always compared with the table.
 */
#include "config.h"

#include "stat/view.h"

#include <stdlib.h>

#include "base/env.h"
#include "base/err.h"
#include "base/hash.h"

static struct seg_obj *obj_rw(struct stat_seg *s, uint32_t row)
{
	return (struct seg_obj *)(void *)(s->dir_rw + s->dim.dir.object) + row;
}

static uint32_t *index_rw(struct stat_seg *s)
{
	return (void *)(s->dir_rw + s->dim.dir.index);
}

static uint64_t name_hash(uint32_t kind, struct str name)
{
	return fl_hash64(name.p, name.n, kind);
}

/* Reading --------------------------------------------------------------------------------- */

static bool obj_is(const struct stat_seg *s, uint32_t row, enum tbl_kind kind, struct str name,
		   uint64_t hash)
{
	const struct seg_obj *o;
	uint64_t tag = view_tag(s, row);
	bool same;

	if (seg_tag_kind(tag) != (uint32_t)kind)
		return false;
	o = view_obj(s, row);
	same = ld64(&o->hash) == hash && ld32(&o->name_len) == name.n &&
	       memcmp(o->name, name.p, name.n) == 0;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return same && ld64(&o->tag) == tag;
}

static bool name_ok(enum tbl_kind kind, struct str name)
{
	return seg_kind_ok(kind) && name.n > 0 && name.n < STAT_NAME_MAX;
}

uint32_t stat_obj_find(const struct stat_seg *s, enum tbl_kind kind, struct str name)
{
	const uint32_t *index = (const void *)(s->dir + s->dim.dir.index);
	uint32_t mask = s->dim.index_n - 1;
	uint64_t hash;

	if (!name_ok(kind, name))
		return STAT_NO_ROW;
	hash = name_hash(kind, name);
	for (uint32_t i = 0; i <= mask; i++) {
		uint32_t e = ld32_acq(&index[(hash + i) & mask]);

		if (e == 0)
			break;
		if (e != SEG_INDEX_DEAD && obj_is(s, e - 1, kind, name, hash))
			return e - 1;
	}
	return STAT_NO_ROW;
}

bool stat_obj_get(const struct stat_seg *s, uint32_t row, enum tbl_kind *kind, struct str *name,
		  bool *current)
{
	uint64_t tag = view_tag(s, row);
	const struct seg_obj *o;
	uint32_t n;

	if (!tag)
		return false;
	o = view_obj(s, row);
	n = ld32(&o->name_len);
	if (kind)
		*kind = (enum tbl_kind)seg_tag_kind(tag);
	if (name)
		*name = str_n(o->name, FL_MIN(n, STAT_NAME_MAX - 1));
	if (current)
		*current = ld32(&o->gen_last) == ld32(&view_dir(s)->newest_gen);
	return true;
}

uint32_t stat_obj_max(const struct stat_seg *s)
{
	return FL_MIN(ld32_acq(&view_dir(s)->rows_high), s->dim.max_objects);
}

/* Index, master's side -------------------------------------------------------------------- */

static void index_add(struct stat_seg *s, uint32_t row, uint64_t hash)
{
	uint32_t *index = index_rw(s), mask = s->dim.index_n - 1;

	for (uint32_t i = 0; i <= mask; i++) {
		uint32_t *e = &index[(hash + i) & mask];

		if (*e == 0 || *e == SEG_INDEX_DEAD || *e > s->dim.max_objects) {
			st32_rel(e, row + 1);
			FP("stat.index.add");
			return;
		}
	}
	ASSERT(false && "index is twice as large as the table");
}

/* Takes a row out. What ends a run of entries needs no marker, nor do the markers before it. */
static void index_drop(struct stat_seg *s, uint32_t row, uint64_t hash)
{
	uint32_t *index = index_rw(s), mask = s->dim.index_n - 1, at;

	for (uint32_t i = 0; i <= mask; i++) {
		at = (uint32_t)((hash + i) & mask);
		if (index[at] == 0)
			return;
		if (index[at] != row + 1)
			continue;
		st32_rel(&index[at], SEG_INDEX_DEAD);
		FP("stat.index.drop");
		if (index[(at + 1) & mask] != 0)
			return;
		while (index[at] == SEG_INDEX_DEAD) {
			st32_rel(&index[at], 0);
			FP("stat.index.clear");
			at = (at - 1) & mask;
		}
		return;
	}
}

void view_index_mend(struct stat_seg *s)
{
	struct seg_dir *d = view_dir_rw(s);

	if (d->rows_high > s->dim.max_objects)
		d->rows_high = s->dim.max_objects;
	for (uint32_t row = 0; row < d->rows_high; row++) {
		const struct seg_obj *o = obj_rw(s, row);
		struct str name = str_n(o->name, FL_MIN(o->name_len, STAT_NAME_MAX - 1));
		enum tbl_kind kind = (enum tbl_kind)seg_tag_kind(view_tag(s, row));

		if (kind != KIND_NONE && o->hash == name_hash(kind, name) &&
		    stat_obj_find(s, kind, name) == STAT_NO_ROW)
			index_add(s, row, o->hash);
	}
}

/* Giving rows ----------------------------------------------------------------------------- */

struct reuse_key {
	uint32_t gen, row;
};

static int reuse_cmp(const void *a, const void *b)
{
	const struct reuse_key *x = a, *y = b;

	return x->gen != y->gen ? (x->gen < y->gen ? -1 : 1) : x->row < y->row ? -1 : 1;
}

static bool reusable(const struct stat_seg *s, const struct seg_obj *o)
{
	const struct seg_dir *d = view_dir(s);

	if (!seg_kind_ok(seg_tag_kind(o->tag)))
		return true;
	return o->gen_last < d->oldest_gen && o->gen_pending < d->oldest_gen;
}

/* Lists the rows that no live generation uses, the ones unused longest first. */
static int reuse_list(struct stat_seg *s)
{
	struct reuse_key *key = env_malloc(s->dim.max_objects * sizeof(*key));
	uint32_t n = 0;

	if (!s->reuse)
		s->reuse = env_malloc(s->dim.max_objects * sizeof(*s->reuse));
	if (!key || !s->reuse) {
		env_free(key);
		return -ENOMEM;
	}
	for (uint32_t row = 0; row < s->dim.max_objects; row++) {
		const struct seg_obj *o = obj_rw(s, row);

		if (reusable(s, o))
			key[n++] = (struct reuse_key){ o->tag ? o->gen_last : 0, row };
	}
	qsort(key, n, sizeof(*key), reuse_cmp);
	for (uint32_t i = 0; i < n; i++)
		s->reuse[i] = key[i].row;
	env_free(key);
	s->reuse_n = n;
	s->reuse_at = 0;
	s->reuse_known = true;
	return 0;
}

static int row_take(struct stat_seg *s, uint32_t *row)
{
	struct seg_dir *d = view_dir_rw(s);

	if (d->rows_high < s->dim.max_objects) {
		*row = d->rows_high;
		st32_rel(&d->rows_high, *row + 1);
		FP("stat.assign.high");
		return 0;
	}
	if (!s->reuse_known && reuse_list(s) < 0)
		return -ENOMEM;
	while (s->reuse_at < s->reuse_n) {
		*row = s->reuse[s->reuse_at++];
		if (reusable(s, obj_rw(s, *row)))
			return 0;
	}
	return FL_ELIMIT_;
}

static void row_give(struct stat_seg *s, uint32_t row, enum tbl_kind kind, struct str name,
		     uint64_t hash, uint32_t generation)
{
	struct seg_obj *o = obj_rw(s, row);

	st64_rel(&o->tag, 0);
	FP("stat.assign.tag0");
	__atomic_thread_fence(__ATOMIC_RELEASE);
	index_drop(s, row, o->hash);
	st32(&o->incarnation, o->incarnation + 1 ? o->incarnation + 1 : 1);
	FP("stat.assign.incarnation");
	st32(&o->gen_first, generation);
	st32(&o->gen_last, 0);
	st32(&o->gen_pending, generation);
	st64(&o->hash, hash);
	st32(&o->name_len, (uint32_t)name.n);
	memset(o->name, 0, sizeof(o->name));
	memcpy(o->name, name.p, name.n);
	FP("stat.assign.name");
	st64_rel(&o->tag, seg_tag(kind, o->incarnation));
	FP("stat.assign.tag");
	index_add(s, row, hash);
}

int stat_obj_assign(struct stat_seg *s, enum tbl_kind kind, struct str name, uint32_t generation,
		    uint32_t *row)
{
	uint64_t hash;
	int err;

	ASSERT(view_dir_rw(s) != NULL);
	if (!name_ok(kind, name))
		return FL_ERANGE_;
	*row = stat_obj_find(s, kind, name);
	if (*row != STAT_NO_ROW) {
		st32(&obj_rw(s, *row)->gen_pending, generation);
		return 0;
	}
	hash = name_hash(kind, name);
	err = row_take(s, row);
	if (err < 0) {
		*row = STAT_NO_ROW;
		return err;
	}
	row_give(s, *row, kind, name, hash, generation);
	return 0;
}

void stat_obj_commit(struct stat_seg *s, uint32_t generation, uint32_t oldest_live_generation)
{
	struct seg_dir *d = view_dir_rw(s);

	for (uint32_t row = 0, n = stat_obj_max(s); row < n; row++) {
		struct seg_obj *o = obj_rw(s, row);

		if (o->gen_pending == generation) {
			st32(&o->gen_last, generation);
			FP("stat.commit.row");
		}
	}
	st32(&d->newest_gen, generation);
	st32(&d->oldest_gen, oldest_live_generation);
	FP("stat.commit.gen");
	s->reuse_known = false;
}

uint32_t stat_newest_generation(const struct stat_seg *s)
{
	return ld32_acq(&view_dir(s)->newest_gen);
}
