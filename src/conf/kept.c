/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.c - what only a restart applies stays as it is, whatever the files say by now
 *
 * The rows are the table's: each with RELOAD_RESTART. The values that run are text, one line a row, "PATH VALUES..."
 * with PATH as in `diff` ("admin.socket") and no values where nothing was written and there is no default. The master
 * holds that text from the start; a load that is given it has those values in its tree, so that all who read the tree
 * (build, manifest, show config) see what is true, and a warning where a file says something else.
 */
#include "config.h"

#include "conf/inside.h"

/* The row of an option's block, itself at the top; NULL when the row is at the top. */
static const struct tbl_dir_row *block_of(const struct tbl_dir_row *row)
{
	for (unsigned i = 1; i < D__COUNT; i++)
		if ((tbl_dirs[i].ctx & CTX_TOP) && tbl_dirs[i].opens != CTX_NONE && (tbl_dirs[i].opens & row->ctx))
			return &tbl_dirs[i];
	return NULL;
}

static bool is_kept(const struct tbl_dir_row *row)
{
	return row->reload == RELOAD_RESTART && !(row->flags & (DF_SECRET | DF_LIST));
}

static void path_of(const struct tbl_dir_row *row, struct sb *b)
{
	const struct tbl_dir_row *block = row->ctx & CTX_TOP ? NULL : block_of(row);

	sb_fmt(b, "%s%s%s", block ? block->name : "", block ? "." : "", row->name);
}

static const struct conf_node *parent_of(const struct conf_node *root, const struct tbl_dir_row *row)
{
	const struct tbl_dir_row *block = row->ctx & CTX_TOP ? NULL : block_of(row);

	return block ? conf_child(root, block->id) : root;
}

/* Expanded: a variable may have another value by then. */
static void values_text(const struct conf_val *v, unsigned n, struct sb *b)
{
	for (unsigned i = 0; i < n; i++) {
		sb_c(b, i ? " " : "");
		val_quote(v[i].s, b);
	}
}

static void row_text(const struct conf_node *root, const struct tbl_dir_row *row, struct sb *b)
{
	const struct conf_node *parent = parent_of(root, row), *n = parent ? conf_child(parent, row->id) : NULL;

	if (n)
		values_text(n->val, n->n_val, b);
	else
		sb_c(b, row->def);
}

void conf_kept_print(const struct conf *c, struct sb *out)
{
	for (unsigned i = 1; i < D__COUNT; i++) {
		if (!is_kept(&tbl_dirs[i]))
			continue;
		path_of(&tbl_dirs[i], out);
		sb_ch(out, ' ');
		row_text(c->root, &tbl_dirs[i], out);
		sb_ch(out, '\n');
	}
}

int conf_src_keep(struct conf_src *s, struct str lines)
{
	if (src_get(s, SRC_KEPT, STR("")))
		return 0;                /* an image of a load that was told */
	return src_put(s, SRC_KEPT, STR(""), lines, true) ? 0 : FL_ENOMEM_;
}

static bool kept_line(struct str lines, const struct tbl_dir_row *row, struct str *out)
{
	char mem[120];
	struct sb path;

	sb_init(&path, mem, sizeof(mem));
	path_of(row, &path);
	while (lines.n) {
		*out = str_cut(&lines, '\n');
		if (str_eq(str_cut(out, ' '), sb_get(&path)))
			return true;
	}
	return false;
}

static bool same_values(const struct conf_node *n, const struct match_out *m)
{
	if (!n || n->n_val != m->n_val)
		return false;
	for (unsigned i = 0; i < m->n_val; i++) {
		const struct conf_val *a = &n->val[i], *b = &m->val[i];
		bool number = a->type == CV_TIME || a->type == CV_SIZE || a->type == CV_COUNT || a->type == CV_RATE ||
			      a->type == CV_BOOL;

		if (a->type != b->type || (number ? a->i != b->i : !str_eq(a->s, b->s)))
			return false;
	}
	return true;
}

static void unlink_node(struct conf_node *parent, const struct conf_node *n)
{
	struct conf_node **at = &parent->child, *last = NULL;

	while (*at != n) {
		last = *at;
		at = &(*at)->next;
	}
	*at = n->next;
	if (parent->last_child == n)
		parent->last_child = last;
}

static void warn(struct loader *ld, const struct tbl_dir_row *row, const struct conf_node *n, struct str kept,
		 const char *now)
{
	struct conf_loc loc = n ? n->loc : (struct conf_loc){ ld->src->main_name, 0, 0 };

	conf_warn(ld->d, loc, n ? n->span : 1, NULL, "[W0601] \"%s\" stays " STR_FMT ": only a restart applies %s", row->name,
		  STR_ARG(kept.n ? kept : STR("unset")), *now ? now : "that it is not set");
}

/* The node that holds the kept values, in its place or in a new one. */
static struct conf_node *make_node(struct loader *ld, const struct tbl_dir_row *row, struct conf_node *n)
{
	struct conf_node *parent = (struct conf_node *)parent_of(ld->c->root, row);
	const struct tok nowhere = { .kind = TK_WORD };

	if (n)
		return n;
	if (!parent)
		parent = tree_add(ld, ld->c->root, block_of(row), &nowhere);
	return parent ? tree_add(ld, parent, row, &nowhere) : NULL;
}

static void keep_row(struct loader *ld, const struct tbl_dir_row *row, struct str kept)
{
	const struct conf_node *parent = parent_of(ld->c->root, row);
	struct conf_node *n = (struct conf_node *)(parent ? conf_child(parent, row->id) : NULL);
	struct match_out m = { .n_val = 0 };
	char *now;
	struct sb b;

	if ((n && n->broken) || (kept.n && !tree_values(ld, row, pool_str(ld->pool, kept), &m)))
		return;
	if (n ? same_values(n, &m) : str_eq(kept, str_c(row->def)))
		return;
	sb_init_heap(&b);
	row_text(ld->c->root, row, &b);
	now = pool_strndup(ld->pool, b.n ? b.p : "", b.n);
	sb_free(&b);
	if (!now) {
		ld->oom = true;
		return;
	}
	warn(ld, row, n, kept, now);
	if (!kept.n) {
		if (n)
			unlink_node(n->parent, n);
		return;
	}
	n = make_node(ld, row, n);
	if (!n)
		return;
	n->val = m.val;
	n->n_val = m.n_val;
	n->file_says = now;
}

void kept_apply(struct loader *ld)
{
	const struct src_entry *e = src_get(ld->src, SRC_KEPT, STR(""));
	struct str kept;

	for (unsigned i = 1; e && i < D__COUNT && !ld->oom; i++)
		if (is_kept(&tbl_dirs[i]) && kept_line(e->data, &tbl_dirs[i], &kept))
			keep_row(ld, &tbl_dirs[i], kept);
}
