/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grid.h - tables of text: aligned columns for people, JSON for programs
 *
 * Pure. Used by what the control socket answers, and by fairleadctl where it reads the segment itself.
 */
#ifndef FL_ADMIN_GRID_H
#define FL_ADMIN_GRID_H

#include "base/str.h"
#include "tbl/tbl.h"

/* BOOL: yes, no; RAW: JSON as it is, only there. */
enum grid_type { GRID_TEXT, GRID_NUM, GRID_BOOL, GRID_RAW };
struct grid {
	struct sb        mem;                 /* all cells, one behind the other */
	size_t          *cell;                /* offsets of cell ends */
	unsigned         n_cells, cap_cells;
	struct { const char *name; enum grid_type type; } col[TBL_CTR_MAX + 16];
	unsigned         n_cols;
	bool             over;
};
void grid_init(struct grid *g);
void grid_free(struct grid *g);
/* All columns first; name is kept. */
void grid_col(struct grid *g, const char *name, enum grid_type type);
/* Cells of a row in the order of columns. */
void grid_text(struct grid *g, const char *z); /* NULL or "": "-" in text, null in JSON */
void grid_str(struct grid *g, struct str s);
void grid_u64(struct grid *g, uint64_t v);
void grid_bool(struct grid *g, bool v);
void grid_fmt(struct grid *g, const char *fmt, ...) FL_PRINTF(2, 3);
enum { GRID_JSON = 1, GRID_VERTICAL = 2, GRID_HIDE_ZERO = 4 };
/* Prints aligned columns (VERTICAL: name and value one below the other; HIDE_ZERO: without columns
 * that are 0 in every row), or a JSON array of objects. */
void grid_print(const struct grid *g, unsigned flags, struct sb *out);

#endif
