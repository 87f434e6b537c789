/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sums.c - counters over a binary upgrade to a program whose segment has another layout
 *
 * The new program cannot read the old segment, and the old one does not know the new layout. So the old one writes its
 * sums as text before exec, by the names that people see, one object a line:
 *
 *	KIND NAME COUNTER VALUE COUNTER VALUE ...
 *
 * The new one adds them to its own slot when the rows of its first generation are there: totals are sums over all slots, and the
 * master's is one like any other. What it has no name for is passed over. Only sums have a meaning without those who
 * counted: levels, least and largest begin anew. What the old workers count between exec and their end is not seen.
 *
 * Sums that still wait for a first generation (its configuration was refused, say) at the next upgrade go on beside those of
 * the segment: objects may stand twice then, and both are added.
 */
#include "config.h"

#include "proc/master.h"

#include "base/env.h"
#include "base/log.h"

/* Writing --------------------------------------------------------------------------------- */

static void put_object(struct sb *b, enum tbl_kind kind, struct str name, const uint64_t *v)
{
	unsigned first, n;
	size_t begin = b->n;
	bool any = false;

	tbl_kind_range(kind, &first, &n);
	sb_fmt(b, "%s " STR_FMT, tbl_kind_name(kind), STR_ARG(name));
	for (unsigned i = 0; i < n; i++) {
		const struct tbl_ctr_row *r = &tbl_ctrs[first + i];

		if (r->fold != FOLD_SUM || !v[r->idx])
			continue;
		sb_fmt(b, " %s %llu", r->id, (unsigned long long)v[r->idx]);
		any = true;
	}
	if (any)
		sb_ch(b, '\n');
	else
		b->n = begin;
}

int sums_export(struct master *m)
{
	uint64_t v[TBL_CTR_MAX] = { 0 };
	enum tbl_kind kind;
	struct str name;
	struct sb b;
	int fd;

	sb_init_heap(&b);
	for (uint32_t row = 0; row < stat_obj_max(m->seg); row++)
		if (stat_obj_get(m->seg, row, &kind, &name, NULL) && !memchr(name.p, ' ', name.n) &&
		    stat_total_row(m->seg, row, v) == 0)
			put_object(&b, kind, name, v);
	fd = b.over ? -1 : env_memfd("fairlead-sums", false);
	if (fd >= 0 && b.n && env_write(fd, b.p, b.n) != (ssize_t)b.n) {
		env_close(fd);
		fd = -1;
	}
	sb_free(&b);
	return fd;
}

int sums_pending(struct master *m)
{
	size_t n = m->sums ? strlen(m->sums) : 0;
	int fd = n ? env_memfd("fairlead-sums", false) : -1;

	if (fd >= 0 && env_write(fd, m->sums, n) != (ssize_t)n) {
		env_close(fd);
		return -1;
	}
	return fd;
}

/* Reading --------------------------------------------------------------------------------- */

static enum tbl_kind kind_of(struct str word)
{
	for (int k = KIND_NONE + 1; k < KIND__COUNT; k++)
		if (str_eq(word, str_c(tbl_kind_name((enum tbl_kind)k))))
			return (enum tbl_kind)k;
	return KIND_NONE;
}

static void add(struct stat_row *r, enum tbl_kind kind, struct str id, uint64_t v)
{
	unsigned first, n;

	tbl_kind_range(kind, &first, &n);
	for (unsigned i = 0; i < n; i++)
		if (tbl_ctrs[first + i].fold == FOLD_SUM && str_eq(id, str_c(tbl_ctrs[first + i].id)))
			stat_add(r, tbl_ctrs[first + i].idx, v);
}

/* True: the object is there. */
static bool take_object(struct master *m, struct str line)
{
	enum tbl_kind kind = kind_of(str_cut(&line, ' '));
	struct str name = str_cut(&line, ' ');
	uint32_t row = kind ? stat_obj_find(m->seg, kind, name) : STAT_NO_ROW;
	struct stat_row *r = row != STAT_NO_ROW ? stat_row_get(m->seg, kind, row) : NULL;

	while (r && line.n) {
		struct str id = str_cut(&line, ' '), value = str_cut(&line, ' ');
		uint64_t v;

		if (str_u64(value, &v))
			add(r, kind, id, v);
	}
	return r != NULL;
}

void sums_import(struct master *m)
{
	static const uint64_t one = 1;
	struct str text = str_c(m->sums);
	unsigned n = 0;

	m->sums_first = false;
	if (!m->sums)
		return;
	while (text.n)
		n += take_object(m, str_cut(&text, '\n'));
	(void)stat_flush(m->seg, env_now_us() / 1000);
	(void)!env_write(m->wake_control, &one, sizeof(one));
	log_ev(EV_SEGMENT, "the counters of %u objects were taken over from the segment of before", n);
	env_free(m->sums);
	m->sums = NULL;
}

void sums_wait_no_more(struct master *m)
{
	if (!m->sums_first)
		return;
	m->sums_first = false;
	helper_send_config(m);
}
