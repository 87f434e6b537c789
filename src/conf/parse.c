/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c - statements to nodes, driven by the directive table alone
 *
 * A statement's tokens are collected up to its end or its `{`, then matched: the directive's own
 * arguments, then options in line, then the block. A mistake costs the statement that it is in,
 * never the rest: an object whose arguments are wrong still gets its node, so that references to it
 * and the statements in its block are checked too.
 */
#include "config.h"

#include "conf/inside.h"

#include "base/env.h"

#define OPEN_MAX 8            /* nested objects of one statement */

struct parser {
	struct loader *ld;
	struct lex     lx;
	struct tok     t;                     /* the token that ended the last statement */
	struct tok    *args;
	bool           good;                  /* all tokens of the statement can be used */
	unsigned       n, cap;
	struct {
		struct conf_node *node;
		enum tbl_ctx      ctx;
	} open[OPEN_MAX]; /* objects of this statement whose options may follow */
	unsigned       n_open;
	/* a } stood further left than what it closed: if one is missing, it is there; file NULL: none */
	struct conf_loc suspect;
	const char     *suspect_title;
};

/* An open block. */
struct brace {
	struct tok          t;           /* the { */
	unsigned            col;         /* where its statement begins */
	enum tbl_ctx        ctx;         /* that statement's */
	const struct brace *up;          /* the block that it stands in; NULL: none */
};
static bool parse_block(struct parser *ps, enum tbl_ctx ctx, struct conf_node *parent,
			const struct brace *brace);

static void next(struct parser *ps)
{
	lex_next(&ps->lx, &ps->t);
}

static bool ends_statement(enum tok_kind k)
{
	return k == TK_EOF || k == TK_NL || k == TK_SEMI || k == TK_LBRACE || k == TK_RBRACE;
}

/* Skips to the end of the statement, its block included. */
static void skip_statement(struct parser *ps)
{
	unsigned depth = 0;

	for (;; next(ps)) {
		if (ps->t.kind == TK_EOF)
			return;
		if (ps->t.kind == TK_LBRACE) {
			depth++;
		} else if (ps->t.kind == TK_RBRACE) {
			if (depth == 0)
				return;
			if (--depth == 0) {
				next(ps);
				return;
			}
		} else if (depth == 0 && (ps->t.kind == TK_NL || ps->t.kind == TK_SEMI)) {
			return;
		}
	}
}

static bool push(struct parser *ps)
{
	if (ps->n == ps->cap) {
		unsigned cap = ps->cap ? ps->cap * 2 : 32;
		struct tok *p = env_realloc(ps->args, cap * sizeof(*p));

		if (!p) {
			ps->ld->oom = true;
			return false;
		}
		ps->args = p;
		ps->cap = cap;
	}
	ps->args[ps->n++] = ps->t;
	return true;
}

/* Does an expression follow? The last three words were a directive that takes one, a name, `when`.
 * */
static bool expr_follows(const struct parser *ps)
{
	const struct tok *a = ps->args + ps->n;

	return ps->n >= 3 && a[-1].kind == TK_WORD && str_eq(a[-1].raw, STR("when")) &&
	       a[-3].kind == TK_WORD && sig_expr_directive(a[-3].raw);
}

/* Takes the tokens of one statement; false when there was one that cannot be used (reported). */
static bool collect(struct parser *ps)
{
	bool good = true;

	ps->n = 0;
	while (!ends_statement(ps->t.kind)) {
		if (ps->t.kind == TK_BAD) {
			good = false;
		} else if (ps->t.kind != TK_WORD && ps->t.kind != TK_STRING &&
			   ps->t.kind != TK_RAW) {
			conf_error(
				ps->ld->d, ps->t.loc, 1,
				ps->t.kind == TK_COMMA
					? "in statements the members of a list are separated by blanks"
					: NULL,
				"[E0104] unexpected \"" STR_FMT "\"", STR_ARG(ps->t.raw));
			good = false;
		} else if (!push(ps)) {
			return false;
		} else if (expr_follows(ps)) {
			lex_expr(&ps->lx, &ps->t);
			if (ps->t.kind == TK_BAD)
				good = false;
			else if (ps->t.raw.n && !push(ps))
				return false;
		}
		next(ps);
	}
	for (unsigned i = 0; i < ps->n; i++)
		good &= val_expand(ps->ld, &ps->args[i]);
	return good;
}

/* Every option of a context, for the hint. */
static void list_options(enum tbl_ctx ctx, struct sb *b)
{
	for (unsigned i = 1; i < D__COUNT; i++)
		if (tbl_dirs[i].ctx & ctx)
			sb_fmt(b, " %s", tbl_dirs[i].name);
}

static void unknown(struct parser *ps, enum tbl_ctx ctx, const struct conf_node *parent,
		    const struct tok *t)
{
	struct str word = t->text;
	struct near near;
	struct sb b;

	if (diag_full(ps->ld->d)) {
		conf_error(ps->ld->d, t->loc, t->span, NULL, "[E0101] unknown directive");
		return;
	}
	sb_init_heap(&b);
	near_init(&near, word);
	for (unsigned i = 1; i < D__COUNT; i++)
		if (tbl_dirs[i].ctx & ctx)
			near_try(&near, str_c(tbl_dirs[i].name));
	if (near.best.n) {
		sb_fmt(&b, "did you mean \"" STR_FMT "\"?", STR_ARG(near.best));
	} else {
		unsigned seen = 0;

		for (unsigned i = 1; i < D__COUNT; i++)
			if (str_eq(word, str_c(tbl_dirs[i].name)))
				for (unsigned c = CTX_TOP; c <= CTX_POLICY; c <<= 1)
					if ((tbl_dirs[i].ctx & c) && !(seen & c)) {
						sb_fmt(&b, "%s%s", seen ? ", " : "it belongs in: ",
						       tbl_ctx_name((enum tbl_ctx)c));
						seen |= c;
					}
	}
	sb_c(&b, b.n ? "\nallowed here:" : "allowed here:");
	list_options(ctx, &b);
	conf_error(ps->ld->d, t->loc, t->span, b.p, "[E0101] unknown directive \"" STR_FMT "\" in %s",
		   (int)FL_MIN(word.n, (size_t)60), word.p ? word.p : "",
		   node_title(ps->ld->pool, parent));
	sb_free(&b);
}

/* Is this word the name of an option that may follow here? Innermost object first. */
static bool option_name(void *ctx, const struct tok *t)
{
	struct parser *ps = ctx;

	if (t->kind != TK_WORD)
		return false;
	for (unsigned k = ps->n_open; k-- > 0;)
		if (sig_lookup(ps->open[k].ctx, t->raw))
			return true;
	return false;
}

static void place(struct conf_loc at, const struct conf_loc *from, struct sb *b)
{
	if (at.file == from->file)
		sb_fmt(b, "line %u", at.line);
	else
		sb_fmt(b, "%s:%u", at.file, at.line);
}

static bool is_duplicate(struct parser *ps, const struct tbl_dir_row *row,
			 const struct conf_node *parent, const struct tok *t)
{
	const struct conf_node *first;
	char hint[200];
	struct sb b;

	if (row->flags & DF_LIST)
		return false;
	first = conf_child(parent, row->id);
	if (!first)
		return false;
	sb_init(&b, hint, sizeof(hint));
	sb_c(&b, "first given in ");
	place(first->loc, &t->loc, &b);
	conf_error(ps->ld->d, t->loc, t->span, hint, "[E0102] \"%s\" is given twice in %s", row->name,
		   node_title(ps->ld->pool, parent));
	return true;
}

/* Options in line and in the block: an option in one place only. */
static bool in_both_places(struct parser *ps, const struct tbl_dir_row *row,
			   const struct conf_node *parent, const struct tok *t)
{
	const struct conf_node *first;

	if (!parent->has_block || !(row->flags & DF_LIST) || !parent->child ||
	    !(first = conf_child(parent, row->id)) || !first->in_line)
		return false;
	conf_error(ps->ld->d, t->loc, t->span, "write it all in the block",
		   "[E0102] \"%s\" is given in line and in the block", row->name);
	return true;
}

/* Gives an object its name and its place in the index. */
static void take_name(struct parser *ps, struct conf_node *n, const struct tok *t)
{
	struct conf_node *first;
	char hint[200];
	struct sb b;

	if (n->n_val == 0 || n->val[0].type != CV_NAME)
		return;
	n->name = n->val[0].s.p;
	n->full_name = (n->dir->flags & DF_OBJ) || !n->parent->full_name ? n->name :
		       pool_fmt(ps->ld->pool, "%s/%s", n->parent->full_name, n->name);
	if (!n->full_name) {
		ps->ld->oom = true;
		return;
	}
	if (tree_index_add(ps->ld, n, &first) != FL_EEXISTS_)
		return;
	sb_init(&b, hint, sizeof(hint));
	sb_c(&b, "the first is in ");
	place(first->loc, &t->loc, &b);
	conf_error(ps->ld->d, n->val[0].loc, n->val[0].span, hint, "[E0201] %s \"%s\" is defined twice%s%s",
		   n->dir->name, n->name, n->dir->flags & DF_OBJ ? "" : " in ",
		   n->dir->flags & DF_OBJ ? "" : node_title(ps->ld->pool, n->parent));
	n->broken = true;
}

static void want_refs(struct loader *ld, struct conf_node *n, const struct match_out *m)
{
	for (unsigned i = 0; i < m->n_val; i++) {
		struct ref_fix *f;

		if (m->val[i].type != CV_REF)
			continue;
		f = pool_zalloc(ld->pool, sizeof(*f));
		if (!f) {
			ld->oom = true;
			return;
		}
		*f = (struct ref_fix){ .node = n, .val = i, .kind = m->ref[i] };
		*ld->refs_tail = f;
		ld->refs_tail = &f->next;
	}
}

/* Of a statement that cannot be used (reported) the name is kept, so that references to it are
 * good. */
static bool name_only(struct parser *ps, const struct match_in *in, struct match_out *m)
{
	const struct sig_el *el = &sig_of(in->row->id)->alt[0].el[0];
	struct val_fail f;

	*m = (struct match_out){ .used = 0 };
	if (in->n < 2 || el->type != CV_NAME)
		return false;
	m->val = pool_array(ps->ld->pool, 1, sizeof(m->val[0]));
	if (m->val && val_parse(ps->ld, el, &in->tok[1], &m->val[0], &f))
		m->n_val = 1;
	return false;
}

/* The directive at args[i] with its arguments, as a child of parent; returns the tokens used, 0
 * when nothing can be said of the rest of the statement. */
static unsigned parse_option(struct parser *ps, const struct tbl_dir_row *row,
			     struct conf_node *parent, unsigned i)
{
	struct tok *t = &ps->args[i];
	struct match_in in = { .row = row, .tok = t, .n = ps->n - i };
	struct match_out m;
	struct conf_node *n;
	bool good;

	if (is_duplicate(ps, row, parent, t) || in_both_places(ps, row, parent, t)) {
		parent->broken = true;
		return 0;
	}
	n = tree_add(ps->ld, parent, row, t);
	if (!n)
		return 0;
	n->in_line = ps->n_open > 0;
	if (row->opens != CTX_NONE && ps->n_open < OPEN_MAX) {
		ps->open[ps->n_open].node = n;
		ps->open[ps->n_open++].ctx = row->opens;
	}
	if (ps->n_open) {
		in.stop = option_name;
		in.stop_ctx = ps;
	}
	good = ps->good ? sig_match(ps->ld, &in, &m) : name_only(ps, &in, &m);
	n->val = m.val;
	n->n_val = m.n_val;
	for (unsigned k = 0; k < n->n_val; k++)
		n->val[k].secret |= (row->flags & DF_SECRET) != 0;
	if (row->flags & (DF_OBJ | DF_NAMED))
		take_name(ps, n, t);
	if (!good) {
		n->broken = parent->broken = true;
		return 0;
	}
	want_refs(ps->ld, n, &m);
	return m.used;
}

/* ---------- include ---------- */

static void include_one(struct parser *ps, const char *name, const struct tok *t)
{
	struct loader *ld = ps->ld;

	for (unsigned i = 0; i < ld->depth; i++)
		if (strcmp(ld->stack[i], name) == 0) {
			struct sb b;

			sb_init_heap(&b);
			for (unsigned k = i; k < ld->depth; k++)
				sb_fmt(&b, "%s includes ", ld->stack[k]);
			sb_c(&b, name);
			conf_error(ld->d, t->loc, t->span, b.p, "[E0107] \"%s\" includes itself", name);
			sb_free(&b);
			return;
		}
	if (ld->depth == CONF_DEPTH_MAX) {
		conf_error(ld->d, t->loc, t->span, NULL, "[E0107] includes are nested more than %u deep",
			   CONF_DEPTH_MAX);
		return;
	}
	parse_file(ld, name, t);
}

static void include(struct parser *ps)
{
	struct loader *ld = ps->ld;
	struct tok *t = &ps->args[1];
	char *pattern;
	struct str found;
	int rc;

	if (ps->n != 2) {
		conf_error(ld->d, ps->args[0].loc, ps->args[0].span, NULL,
			   "[E0107] \"include\" takes one path or pattern");
		return;
	}
	pattern = src_join(ld->src, ld->pool, t->loc.file, t->text, false);
	if (!pattern || t->text.n == 0 || memchr(t->text.p, '\0', t->text.n)) {
		conf_error(ld->d, t->loc, t->span, NULL, "[E0107] \"include\": expected a path");
		return;
	}
	if (!strpbrk(t->text.p, "*?[")) {
		include_one(ps, pattern, t);
		return;
	}
	rc = src_glob(ld->src, pattern, &found);
	if (rc < 0) {
		conf_error(ld->d, t->loc, t->span, NULL, "[E0107] cannot look for \"%s\": %s", pattern,
			   fl_err_text(rc));
		return;
	}
	for (size_t i = 0; i < found.n; i += strlen(found.p + i) + 1)
		include_one(ps, found.p + i, t);
}

/* ---------- statements ---------- */

/* Options in line, behind the arguments of the statement's object. */
static bool inline_options(struct parser *ps, unsigned i)
{
	while (i < ps->n) {
		const struct tok *t = &ps->args[i];
		const struct tbl_dir_row *row = NULL;
		unsigned used, k = ps->n_open;

		while (k && !row) {
			k--;
			row = t->kind == TK_WORD ? sig_lookup(ps->open[k].ctx, t->raw) : NULL;
		}
		if (!row) {
			if (ps->n_open)
				unknown(ps, ps->open[ps->n_open - 1].ctx,
					ps->open[ps->n_open - 1].node, t);
			else
				conf_error(ps->ld->d, t->loc, t->span, NULL, "[E0104] unexpected argument");
			for (k = 0; k < ps->n_open; k++)
				ps->open[k].node->broken = true;
			return false;
		}
		ps->n_open = k + 1;
		used = parse_option(ps, row, ps->open[ps->n_open - 1].node, i);
		if (!used)
			return false;
		i += used;
	}
	return true;
}

static void statement_end(struct parser *ps)
{
	if (ps->t.kind == TK_NL || ps->t.kind == TK_SEMI || ps->t.kind == TK_RBRACE ||
	    ps->t.kind == TK_EOF)
		return;
	if (ps->t.kind != TK_BAD)
		conf_error(ps->ld->d, ps->t.loc, ps->t.span,
			   "the next statement begins on a new line or behind ;",
			   "[E0104] unexpected \"" STR_FMT "\" behind }",
			   (int)FL_MIN(ps->t.raw.n, (size_t)60), ps->t.raw.p);
	skip_statement(ps);
}

static void parse_statement(struct parser *ps, enum tbl_ctx ctx, struct conf_node *parent, const struct brace *in)
{
	const struct tbl_dir_row *row;
	struct conf_node *target;
	enum tbl_ctx inner;
	struct brace brace;
	unsigned used;
	bool good = collect(ps);

	ps->good = good;
	ps->n_open = 0;
	if (ps->n == 0) {
		if (good && ps->t.kind == TK_LBRACE)
			conf_error(
				ps->ld->d, ps->t.loc, 1,
				"{ stands on the line of its directive, or behind a \\ at a line's end",
				"[E0103] a block without a directive before it");
		parent->broken = true;
		skip_statement(ps);
		return;
	}
	row = ps->args[0].kind == TK_WORD ? sig_lookup(ctx, ps->args[0].raw) : NULL;
	if (!row) {
		if (!ps->args[0].failed)
			unknown(ps, ctx, parent, &ps->args[0]);
		parent->broken = true;
		skip_statement(ps);
		return;
	}
	if (row->id == D_INCLUDE && good) {
		include(ps);
		used = 0;
	} else {
		used = parse_option(ps, row, parent, 0);
		if (used && used < ps->n)
			inline_options(ps, used);
	}
	if (ps->t.kind != TK_LBRACE) {
		statement_end(ps);
		return;
	}
	if (ps->n_open == 0) {
		if (used)
			conf_error(ps->ld->d, ps->t.loc, 1, NULL, "[E0103] \"%s\" takes no block",
				   row->name);
		parent->broken = true;
		skip_statement(ps);
		return;
	}
	target = ps->open[ps->n_open - 1].node;
	inner = ps->open[ps->n_open - 1].ctx;
	target->has_block = true;
	target->broken |= !good;
	brace = (struct brace){ .t = ps->t, .col = ps->args[0].loc.col, .ctx = ctx, .up = in };
	next(ps);
	if (parse_block(ps, inner, target, &brace))
		statement_end(ps);
}

/* `at`: the directive that cannot stand in the block, NULL at the end of the file. */
static void not_closed(struct parser *ps, struct conf_node *parent, const struct brace *brace, const struct tok *at)
{
	bool other = ps->suspect.file != NULL;
	char hint[160];
	struct sb b;

	sb_init(&b, hint, sizeof(hint));
	if (at)
		sb_fmt(&b, "\"" STR_FMT "\" in line %u begins something new", (int)FL_MIN(at->raw.n, (size_t)40),
		       at->raw.p, at->loc.line);
	conf_error(ps->ld->d, other ? ps->suspect : brace->t.loc, 1, b.n ? hint : NULL, "[E0103] { of %s is not closed",
		   other ? ps->suspect_title : node_title(ps->ld->pool, parent));
	ps->suspect.file = NULL;
	parent->broken = true;
}

/* A directive that may not stand in this block, but in one around it, and no further right than where this one's
 * statement began: that was meant to have ended. */
static bool begins_anew(const struct parser *ps, enum tbl_ctx ctx, const struct brace *brace)
{
	bool around = false;

	if (!brace || ps->t.kind != TK_WORD || ps->t.loc.col > brace->col || ps->t.loc.line == brace->t.loc.line ||
	    sig_lookup(ctx, ps->t.raw))
		return false;
	for (const struct brace *b = brace; b; b = b->up)
		around |= sig_lookup(b->ctx, ps->t.raw) != NULL;
	return around;
}

static void look_at_margin(struct parser *ps, const struct conf_node *parent, const struct brace *brace,
			   const struct tok *t)
{
	if (ps->suspect.file || t->loc.line == brace->t.loc.line || t->loc.col >= brace->col)
		return;
	ps->suspect = brace->t.loc;
	ps->suspect_title = node_title(ps->ld->pool, parent);
}

/* brace NULL: the file as a whole. False: the block has no end (reported). */
static bool parse_block(struct parser *ps, enum tbl_ctx ctx, struct conf_node *parent,
			const struct brace *brace)
{
	while (!ps->ld->oom) {
		struct tok t = ps->t;

		if (t.kind == TK_NL || t.kind == TK_SEMI) {
			next(ps);
		} else if (t.kind == TK_EOF) {
			if (brace)
				not_closed(ps, parent, brace, NULL);
			return false;
		} else if (t.kind == TK_RBRACE) {
			next(ps);
			if (brace) {
				look_at_margin(ps, parent, brace, &t);
				return true;
			}
			conf_error(ps->ld->d, t.loc, 1, NULL, "[E0103] } without {");
		} else if (begins_anew(ps, ctx, brace)) {
			not_closed(ps, parent, brace, &t);
			return false;
		} else {
			if (!brace)
				ps->suspect.file = NULL;
			parse_statement(ps, ctx, parent, brace);
		}
	}
	return false;
}

void parse_file(struct loader *ld, const char *name, const struct tok *at)
{
	struct parser ps = { .ld = ld };
	struct str text;
	int rc = src_file(ld->src, name, &text);

	if (rc < 0) {
		const char *why = rc == -EFBIG ? "larger than 16 MiB" : fl_err_text(rc);

		if (at)
			conf_error(ld->d, at->loc, at->span, NULL, "[E0107] cannot read \"%s\": %s", name,
				   why);
		else
			conf_error(ld->d, (struct conf_loc){ name, 0, 0 }, 1, NULL,
				   "[E0501] cannot read: %s", why);
		return;
	}
	ld->bytes += text.n + 1000;
	if (ld->bytes > CONF_TOTAL_MAX) {
		if (ld->bytes - text.n - 1000 <= CONF_TOTAL_MAX)
			conf_error(ld->d, at ? at->loc : (struct conf_loc){ name, 1, 1 },
				   at ? at->span : 1, NULL,
				   "[E0107] all files together are larger than %u MiB",
				   CONF_TOTAL_MAX >> 20);
		return;
	}
	/* messages and the tree keep this name as long as the source lives */
	name = src_get(ld->src, SRC_FILE, str_c(name))->key.p;
	if (!lex_vet(ld->d, name, text))
		return;
	ld->stack[ld->depth++] = name;
	lex_init(&ps.lx, ld->d, name, text);
	next(&ps);
	(void)parse_block(&ps, CTX_TOP, ld->c->root, NULL);
	env_free(ps.args);
	ld->depth--;
}
