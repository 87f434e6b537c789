/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reason.c - see reason.h
 */
#include "config.h"

#include "stat/reason.h"

static struct stat_row *rows[REFUSED__COUNT];

int stat_reasons_assign(struct stat_seg *s, uint32_t generation)
{
	uint32_t row;
	int err = 0;

	for (unsigned i = 0; !err && i < REFUSED__COUNT; i++)
		err = stat_obj_assign(s, tbl_refusals[i].kind, str_c(tbl_refusals[i].name),
				      generation, &row);
	return err;
}

void stat_reasons_attach(struct stat_seg *s)
{
	for (unsigned i = 0; i < REFUSED__COUNT; i++) {
		const struct tbl_refusals_row *r = &tbl_refusals[i];

		rows[i] = s ? stat_row_get(s, r->kind, stat_obj_find(s, r->kind, str_c(r->name)))
			    : NULL;
	}
}

void stat_reason(enum tbl_refusals of, unsigned reason)
{
	ASSERT((unsigned)of < REFUSED__COUNT && reason < TBL_CTR_MAX);
	stat_inc(rows[of], reason);
}

uint64_t stat_reason_total(const struct stat_seg *s, enum tbl_refusals of, unsigned reason)
{
	const struct tbl_refusals_row *r = &tbl_refusals[of];
	uint32_t row = stat_obj_find(s, r->kind, str_c(r->name));

	return row == STAT_NO_ROW ? 0 : stat_total(s, row, reason);
}
