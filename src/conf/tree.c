/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.c - making nodes, finding them, and the defaults of the table as parsed values
 */
#include "config.h"

#include "conf/inside.h"

struct conf_hooks conf_hooks;

void conf_set_hooks(const struct conf_hooks *h)
{
	conf_hooks = h ? *h : (struct conf_hooks){ NULL, NULL };
}

/* ---------- making ---------- */

struct conf_node *tree_add(struct loader *ld, struct conf_node *parent,
			   const struct tbl_dir_row *row, const struct tok *at)
{
	struct conf_node *n = pool_zalloc(ld->pool, sizeof(*n));

	if (!n) {
		ld->oom = true;
		return NULL;
	}
	n->dir = row;
	n->loc = at->loc;
	n->span = at->span;
	n->parent = parent;
	if (parent->last_child)
		parent->last_child->next = n;
	else
		parent->child = n;
	parent->last_child = n;
	return n;
}

/* The key: the kind's number and the full name. */
static struct str index_key(char *mem, size_t cap, enum tbl_dir id, const char *full_name)
{
	struct sb b;

	sb_init(&b, mem, cap);
	sb_fmt(&b, "%u:%s", (unsigned)id, full_name);
	return b.over ? STR_NULL : sb_get(&b);
}

int tree_index_add(struct loader *ld, struct conf_node *n, struct conf_node **first)
{
	char mem[160];
	struct str key = index_key(mem, sizeof(mem), n->dir->id, n->full_name);
	int rc;

	*first = map_get(ld->c->index, key);
	if (*first)
		return FL_EEXISTS_;
	key = pool_str(ld->pool, key);
	rc = key.p ? map_add(ld->c->index, key, n) : FL_ENOMEM_;
	ld->oom |= rc != 0;
	return rc;
}

/* ---------- finding ---------- */

const struct conf_node *conf_child(const struct conf_node *n, enum tbl_dir id)
{
	for (const struct conf_node *c = n ? n->child : NULL; c; c = c->next)
		if (c->dir->id == id)
			return c;
	return NULL;
}

const struct conf_node *conf_same(const struct conf_node *n)
{
	for (const struct conf_node *c = n->next; c; c = c->next)
		if (c->dir == n->dir)
			return c;
	return NULL;
}

const struct conf_node *conf_find(const struct conf *c, enum tbl_dir id, const char *full_name)
{
	char mem[160];
	struct str key = index_key(mem, sizeof(mem), id, full_name);

	return key.p ? map_get(c->index, key) : NULL;
}

/* ---------- defaults ---------- */

#define DEF_TOKENS 8
static struct match_out defaults[D__COUNT];

bool tree_values(struct loader *ld, const struct tbl_dir_row *row, struct str text, struct match_out *out)
{
	struct tok tok[DEF_TOKENS];
	struct match_in in = { .row = row, .tok = tok, .n = 1 };
	struct lex lx;

	lex_init(&lx, ld->d, NULL, text);
	tok[0] = (struct tok){ .kind = TK_WORD, .raw = str_c(row->name) };
	while (in.n < DEF_TOKENS) {
		lex_next(&lx, &tok[in.n]);
		if (tok[in.n].kind == TK_EOF)
			break;
		if (!val_expand(ld, &tok[in.n]))
			return false;
		in.n++;
	}
	return sig_match(ld, &in, out);
}

/* The table's defaults go through the same reader as files do; a row that does not pass is a bug.
 * */
static bool make_defaults(void)
{
	static struct pool *pool;      /* lives as long as the process */
	struct conf_diag *d;
	struct loader ld = { .oom = false };

	if (pool)
		return true;
	pool = pool_new("conf-defaults", 0);
	d = conf_diag_new();
	ld.pool = pool;
	ld.d = d;
	for (unsigned i = 1; pool && d && i < D__COUNT; i++)
		if (tbl_dirs[i].def[0])
			ASSERT(tree_values(&ld, &tbl_dirs[i], str_c(tbl_dirs[i].def), &defaults[i]));
	conf_diag_free(&d);
	return pool && !ld.oom;
}

const struct conf_val *conf_opt(const struct conf_node *n, enum tbl_dir id)
{
	const struct conf_node *c = conf_child(n, id);

	if (c)
		return c->n_val ? &c->val[0] : NULL;
	ASSERT(make_defaults());
	return defaults[id].n_val ? &defaults[id].val[0] : NULL;
}

int64_t conf_opt_int(const struct conf_node *n, enum tbl_dir id)
{
	const struct conf_val *v = conf_opt(n, id);

	if (!v)
		return 0;
	switch (v->type) {
	case CV_TIME: case CV_SIZE: case CV_COUNT: case CV_RATE: case CV_BOOL: case CV_ENUM:
		return v->i;
	default:
		return 0;
	}
}

const char *conf_opt_word(const struct conf_node *n, enum tbl_dir id)
{
	const struct conf_val *v = conf_opt(n, id);

	return v ? v->s.p : NULL;
}

bool conf_opt_bool(const struct conf_node *n, enum tbl_dir id)
{
	return conf_opt_int(n, id) != 0;
}

const char *node_title(struct pool *p, const struct conf_node *n)
{
	const char *t;

	if (!n->dir)
		return "the configuration";
	t = n->full_name ? pool_fmt(p, "%s \"%s\"", n->dir->name, n->full_name) : n->dir->name;
	return t ? t : n->dir->name;
}
