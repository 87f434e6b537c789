/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grid.c - rows and columns that become aligned text or JSON
 *
 * All cells lie one behind the other in one text; ends are kept. A grid is filled and printed by
 * one verb.
 */
#include "config.h"

#include "admin/inside.h"

#include "base/env.h"

void grid_init(struct grid *g)
{
	memset(g, 0, sizeof(*g));
	sb_init_heap(&g->mem);
}

void grid_free(struct grid *g)
{
	sb_free(&g->mem);
	env_free(g->cell);
	g->cell = NULL;
}

void grid_col(struct grid *g, const char *name, enum grid_type type)
{
	ASSERT(g->n_cols < FL_ARRAY_LEN(g->col) && g->n_cells == 0);
	g->col[g->n_cols].name = name;
	g->col[g->n_cols++].type = type;
}

static void end_cell(struct grid *g)
{
	if (g->n_cells == g->cap_cells) {
		unsigned cap = g->cap_cells ? g->cap_cells * 2 : 64;
		size_t *cell = env_realloc(g->cell, cap * sizeof(*cell));

		if (!cell) {
			g->over = true;
			return;
		}
		g->cell = cell;
		g->cap_cells = cap;
	}
	g->cell[g->n_cells++] = g->mem.n;
}

void grid_str(struct grid *g, struct str s)
{
	sb_str(&g->mem, s);
	end_cell(g);
}

void grid_text(struct grid *g, const char *z)
{
	grid_str(g, str_c(z ? z : ""));
}

void grid_u64(struct grid *g, uint64_t v)
{
	sb_u64(&g->mem, v);
	end_cell(g);
}

void grid_bool(struct grid *g, bool v)
{
	grid_text(g, v ? "yes" : "no");
}

void grid_fmt(struct grid *g, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	sb_vfmt(&g->mem, fmt, ap);
	va_end(ap);
	end_cell(g);
}

static struct str cell(const struct grid *g, unsigned i)
{
	size_t from = i ? g->cell[i - 1] : 0;

	return str_n(g->mem.p + from, g->cell[i] - from);
}

/* Columns on a screen: bytes that are not UTF-8 continuations. */
static size_t width(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static void print_json(const struct grid *g, unsigned rows, struct sb *out)
{
	sb_ch(out, '[');
	for (unsigned r = 0; r < rows; r++) {
		sb_c(out, r ? ",\n {" : "\n {");
		for (unsigned k = 0; k < g->n_cols; k++) {
			struct str s = cell(g, r * g->n_cols + k);

			sb_c(out, k ? ", " : "");
			sb_json_str(out, str_c(g->col[k].name));
			sb_c(out, ": ");
			if (!s.n)
				sb_c(out, "null");
			else if (g->col[k].type == GRID_TEXT)
				sb_json_str(out, s);
			else if (g->col[k].type == GRID_BOOL)
				sb_c(out, s.p[0] == 'y' ? "true" : "false");
			else
				sb_str(out, s);
		}
		sb_ch(out, '}');
	}
	sb_c(out, rows ? "\n]\n" : "]\n");
}

static void pad(struct sb *out, size_t n)
{
	while (n--)
		sb_ch(out, ' ');
}

static bool is_shown(const struct grid *g, unsigned k, unsigned rows, unsigned flags)
{
	if (g->col[k].type == GRID_RAW)
		return false;
	if (!(flags & GRID_HIDE_ZERO) || g->col[k].type != GRID_NUM)
		return true;
	for (unsigned r = 0; r < rows; r++)
		if (!str_eq(cell(g, r * g->n_cols + k), STR("0")))
			return true;
	return false;
}

static void print_vertical(const struct grid *g, unsigned rows, unsigned flags, struct sb *out)
{
	size_t w = 0;

	for (unsigned k = 0; k < g->n_cols; k++)
		if (g->col[k].type != GRID_RAW)
			w = FL_MAX(w, strlen(g->col[k].name));
	for (unsigned r = 0; r < rows; r++) {
		sb_c(out, r ? "\n" : "");
		for (unsigned k = 0; k < g->n_cols; k++) {
			struct str s = cell(g, r * g->n_cols + k);

			if (!is_shown(g, k, rows, flags))
				continue;
			sb_c(out, g->col[k].name);
			pad(out, w - strlen(g->col[k].name) + 2);
			sb_str(out, s.n ? s : STR("-"));
			sb_ch(out, '\n');
		}
	}
}

static void print_columns(const struct grid *g, unsigned rows, unsigned flags, struct sb *out)
{
	size_t w[FL_ARRAY_LEN(g->col)];
	bool shown[FL_ARRAY_LEN(g->col)];
	unsigned last = 0;

	for (unsigned k = 0; k < g->n_cols; k++) {
		shown[k] = is_shown(g, k, rows, flags);
		w[k] = strlen(g->col[k].name);
		for (unsigned r = 0; r < rows; r++)
			w[k] = FL_MAX(w[k], width(cell(g, r * g->n_cols + k)));
		if (shown[k])
			last = k;
	}
	for (unsigned r = 0; r <= rows; r++) {
		for (unsigned k = 0; k < g->n_cols; k++) {
			struct str s = r ? cell(g, (r - 1) * g->n_cols + k) : str_c(g->col[k].name);
			bool right = g->col[k].type == GRID_NUM;

			if (!shown[k])
				continue;
			s = s.n ? s : STR("-");
			if (right)
				pad(out, w[k] - FL_MIN(w[k], width(s)));
			sb_str(out, s);
			if (k != last)
				pad(out, 2 + (right ? 0 : w[k] - FL_MIN(w[k], width(s))));
		}
		sb_ch(out, '\n');
	}
}

void grid_print(const struct grid *g, unsigned flags, struct sb *out)
{
	unsigned rows = g->n_cols ? g->n_cells / g->n_cols : 0;

	if (g->over || g->mem.over) {
		out->over = true;
		return;
	}
	ASSERT(g->n_cols && g->n_cells % g->n_cols == 0);
	if (flags & GRID_JSON)
		print_json(g, rows, out);
	else if (flags & GRID_VERTICAL)
		print_vertical(g, rows, flags, out);
	else
		print_columns(g, rows, flags, out);
}

int cmd_grid(struct cmd *c, struct grid *g, unsigned flags)
{
	grid_print(g, flags | (c->call.json ? GRID_JSON : 0), &c->out);
	c->is_json = c->call.json;
	grid_free(g);
	return CMD_OK;
}
