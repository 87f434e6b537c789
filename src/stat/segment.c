/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c - sizes, offsets and the identity of the layout (see segment.h)
 *
 * The layout id is the hash of the text that `fairlead -x layout` prints, so two builds with the
 * same id agree on every offset and on the position and fold of every counter.
 */
#include "config.h"

#include "stat/segment.h"

#include "base/hash.h"

static size_t page_up(size_t n)
{
	return (n + SEG_PAGE - 1) & ~(size_t)(SEG_PAGE - 1);
}

/* Gives the offset of an area and moves *at behind it. */
static size_t area(size_t *at, size_t n, size_t each)
{
	size_t off = *at;

	*at = page_up(off + n * each);
	return off;
}

static uint32_t pow2_up(uint32_t n)
{
	uint32_t p = 64;

	while (p < n)
		p *= 2;
	return p;
}

bool seg_dims_make(struct seg_dims *d, uint32_t max_objects, uint32_t cores, uint32_t drain)
{
	size_t at, m = max_objects, words = ((size_t)max_objects + 63) / 64;

	if (max_objects == 0 || max_objects > SEG_OBJ_LIMIT || cores == 0 ||
	    cores > STAT_MAX_CORES || drain > SEG_DRAIN_LIMIT)
		return false;
	*d = (struct seg_dims){ .max_objects = max_objects, .cores = cores, .drain = drain };
	d->n_workers = cores * (1 + drain);
	d->n_slots = d->n_workers + SEG_EXTRA_SLOTS;
	d->dirty_n = pow2_up(max_objects);
	d->index_n = pow2_up(max_objects) * 2;

	at = page_up(sizeof(struct seg_dir));
	d->dir.proc = area(&at, d->n_slots, sizeof(struct seg_proc));
	d->dir.core = area(&at, cores, sizeof(struct seg_core));
	d->dir.object = area(&at, m, sizeof(struct seg_obj));
	d->dir.index = area(&at, d->index_n, sizeof(uint32_t));
	d->dir.admin = area(&at, m, LATCH_SIZE(sizeof(struct stat_admin)));
	d->dir.live = area(&at, cores, sizeof(uint32_t));
	d->dir.crash = area(&at, STAT_CRASHES, LATCH_SIZE(sizeof(struct stat_crash)));
	d->dir.size = at;

	at = page_up(sizeof(struct seg_slot));
	d->slot.used = area(&at, words, sizeof(uint64_t));
	d->slot.row = area(&at, m, SEG_ROW_WORDS * sizeof(uint64_t));
	d->slot.dirty = area(&at, d->dirty_n, sizeof(uint32_t));
	d->slot.hstate = area(&at, m, sizeof(uint32_t));
	d->slot.health = area(&at, m, LATCH_SIZE(sizeof(struct stat_health)));
	d->slot.dns = area(&at, m, LATCH_SIZE(sizeof(struct stat_dns)));
	d->slot.cursor = area(&at, d->n_slots, sizeof(uint64_t));
	d->slot.log = area(&at, SEG_LOG_RING, 1);
	d->slot.claim = area(&at, m, sizeof(struct seg_claim));
	d->slot.mailhead = area(&at, d->n_slots, sizeof(uint64_t));
	d->slot.mailseen = area(&at, d->n_slots, sizeof(uint64_t));
	d->slot.mail = area(&at, d->n_slots, SEG_MAIL_RING * sizeof(struct seg_letter));
	d->slot.death = area(&at, 1, LATCH_SIZE(sizeof(struct stat_death)));
	d->slot.size = at;

	at = page_up(sizeof(struct seg_totals));
	d->totals.folded = area(&at, d->n_slots, sizeof(uint64_t));
	d->totals.used = area(&at, words, sizeof(uint64_t));
	d->totals.row = area(&at, m, sizeof(struct seg_total_row));
	d->totals.size = at;
	return true;
}

size_t seg_file_size(const struct seg_dims *d, enum seg_file file)
{
	return file == SEG_DIR ? d->dir.size : file == SEG_TOTALS ? d->totals.size : d->slot.size;
}

static const struct {
	uint8_t     kind, ctr, fold;
	const char *kind_id, *id, *src[2];
} ctr_rows[] = {
#define C(kind, id, fold, ...) \
	{ KIND_##kind, CTR_##kind##_##id, FOLD_##fold, #kind, #id, { TBL_SRC_##fold } },
#include "tbl/counters.def"
#undef C
};

/* The number among the past of the counter that a rate or an average names. */
static uint8_t past_of(struct seg_tables *t, unsigned kind, const char *id)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(ctr_rows); i++) {
		unsigned n = 0;

		if (ctr_rows[i].kind != kind || strcmp(ctr_rows[i].id, id) != 0)
			continue;
		ASSERT(ctr_rows[i].fold == FOLD_SUM);
		while (n < t->n_past[kind] && t->past_ctr[kind][n] != ctr_rows[i].ctr)
			n++;
		ASSERT(n < SEG_PAST_MAX);
		t->past_ctr[kind][n] = ctr_rows[i].ctr;
		t->n_past[kind] = (uint8_t)FL_MAX(t->n_past[kind], n + 1);
		return (uint8_t)n;
	}
	ASSERT(false);                   /* a source that is no counter of its kind */
	return 0;
}

const struct seg_tables *seg_tables(void)
{
	static struct seg_tables t;

	if (t.n[KIND_PROC])
		return &t;
	memset(t.level, SEG_NO_LEVEL, sizeof(t.level));
	for (size_t i = 0; i < FL_ARRAY_LEN(ctr_rows); i++) {
		unsigned k = ctr_rows[i].kind, c = ctr_rows[i].ctr;

		ASSERT(k < KIND__COUNT && c < TBL_CTR_MAX);
		t.fold[k][c] = ctr_rows[i].fold;
		if (ctr_rows[i].fold == FOLD_OWNER) {
			ASSERT(t.n_owner[k] < SEG_OWNER_MAX);
			t.owner_ctr[k][t.n_owner[k]++] = (uint8_t)c;
			t.owners[k] |= UINT64_C(1) << c;
		}
		if (ctr_rows[i].fold == FOLD_LEVEL) {
			ASSERT(t.n_levels[k] < SEG_LEVEL_MAX);
			t.level_ctr[k][t.n_levels[k]] = (uint8_t)c;
			t.level[k][c] = t.n_levels[k]++;
		}
		for (unsigned j = 0; j < 2 && ctr_rows[i].src[j]; j++)
			t.src[k][c][j] = past_of(&t, k, ctr_rows[i].src[j]);
		if (!ctr_rows[i].src[0])
			t.counted[k] |= UINT64_C(1) << c;
		if (ctr_rows[i].fold == FOLD_SUM || ctr_rows[i].fold == FOLD_LEVEL)
			t.adds[k] |= UINT64_C(1) << c;
		if (ctr_rows[i].fold == FOLD_LEVEL || ctr_rows[i].fold == FOLD_MEDIAN)
			t.of_process[k] |= UINT64_C(1) << c;
		if (ctr_rows[i].fold == FOLD_LEVEL)
			t.is_level[k] |= UINT64_C(1) << c;
		t.n[k] = (uint8_t)FL_MAX(t.n[k], c + 1);
	}
	return &t;
}

/* Identity and dump ---------------------------------------------------------------------- */

static void dump_sizes(struct sb *out)
{
	static const struct {
		const char *name;
		size_t      size;
	} rows[] = {
		{ "head", sizeof(struct seg_head) },
		{ "dir", sizeof(struct seg_dir) },
		{ "proc", sizeof(struct seg_proc) },
		{ "core", sizeof(struct seg_core) },
		{ "object", sizeof(struct seg_obj) },
		{ "slot", sizeof(struct seg_slot) },
		{ "totals", sizeof(struct seg_totals) },
		{ "total-row", sizeof(struct seg_total_row) },
		{ "health", sizeof(struct stat_health) },
		{ "monitor", sizeof(struct stat_mon) },
		{ "dns", sizeof(struct stat_dns) },
		{ "admin", sizeof(struct stat_admin) },
		{ "conf", sizeof(struct stat_conf_state) },
		{ "log-record", sizeof(struct seg_log_rec) },
		{ "log-ring", SEG_LOG_RING },
		{ "row", SEG_ROW_WORDS * sizeof(uint64_t) },
		{ "claim", sizeof(struct seg_claim) },
		{ "letter", sizeof(struct seg_letter) },
		{ "mail-ring", SEG_MAIL_RING },
		{ "crash", sizeof(struct stat_crash) },
		{ "death", sizeof(struct stat_death) },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++)
		sb_fmt(out, "size\t%s\t%zu\n", rows[i].name, rows[i].size);
}

/* Offsets for one choice of M, C, drain: they follow from the sizes alone, so one choice says
 * all. */
static void dump_offsets(struct sb *out)
{
	struct seg_dims d;

	ASSERT(seg_dims_make(&d, 65536, 2, 4));
#define OFF(file, what) sb_fmt(out, "offset\t" #file "." #what "\t%zu\n", d.file.what)
	OFF(dir, proc);
	OFF(dir, core);
	OFF(dir, object);
	OFF(dir, index);
	OFF(dir, admin);
	OFF(dir, live);
	OFF(dir, crash);
	OFF(slot, used);
	OFF(slot, row);
	OFF(slot, dirty);
	OFF(slot, hstate);
	OFF(slot, health);
	OFF(slot, dns);
	OFF(slot, cursor);
	OFF(slot, log);
	OFF(slot, claim);
	OFF(slot, mailhead);
	OFF(slot, mailseen);
	OFF(slot, mail);
	OFF(slot, death);
	OFF(totals, folded);
	OFF(totals, used);
	OFF(totals, row);
#undef OFF
#define FIELD(s, f) sb_fmt(out, "field\t" #s "." #f "\t%zu\n", offsetof(struct s, f))
	FIELD(seg_dir, board_epoch);
	FIELD(seg_dir, rows_high);
	FIELD(seg_dir, conf);
	FIELD(seg_obj, admin_inc);
	FIELD(seg_obj, name);
	FIELD(seg_slot, epoch);
	FIELD(seg_slot, claims);
	FIELD(seg_slot, health_epoch);
	FIELD(seg_slot, heartbeat_ms);
	FIELD(seg_slot, seen_cycle);
	FIELD(seg_slot, early);
	FIELD(seg_slot, promise_ms);
	FIELD(seg_slot, dirty_head);
	FIELD(seg_slot, log_head);
	FIELD(seg_totals, missed);
	FIELD(seg_totals, fold_us);
	FIELD(stat_health, mon);
	FIELD(stat_mon, text);
	FIELD(stat_dns, addr);
	FIELD(stat_dns, text);
	FIELD(stat_admin, reason);
	FIELD(stat_conf_state, last_error);
	FIELD(stat_crash, where);
	FIELD(stat_crash, what);
	FIELD(stat_death, what);
#undef FIELD
}

static void dump_body(struct sb *out)
{
	static const char *const folds[] = {
		[FOLD_SUM] = "SUM",     [FOLD_LEVEL] = "LEVEL", [FOLD_MAX] = "MAX",
		[FOLD_MIN] = "MIN",     [FOLD_MEDIAN] = "MEDIAN", [FOLD_AGE] = "AGE",
		[FOLD_OWNER] = "OWNER", [FOLD_RATE] = "RATE",   [FOLD_AVG] = "AVG",
	};

	dump_sizes(out);
	dump_offsets(out);
	for (size_t i = 0; i < FL_ARRAY_LEN(ctr_rows); i++)
		sb_fmt(out, "counter\t%s.%s\t%u\t%s\n", ctr_rows[i].kind_id, ctr_rows[i].id,
		       ctr_rows[i].ctr, folds[ctr_rows[i].fold]);
}

uint64_t stat_layout_id(void)
{
	static uint64_t id;
	char text[16384];
	struct sb b;

	if (!id) {
		sb_init(&b, text, sizeof(text));
		dump_body(&b);
		ASSERT(!b.over);
		id = fl_hash64(b.p, b.n, SEG_MAGIC);
	}
	return id;
}

void stat_dump_layout(struct sb *out)
{
	sb_fmt(out, "layout\t%016llx\n", (unsigned long long)stat_layout_id());
	dump_body(out);
}
