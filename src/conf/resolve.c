/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.c - names to nodes, and the search for references that go in a circle
 *
 * Two kinds of reference may not come back to where they began: `use vserver` (from policies and
 * default) and `backup` of pools. Both are walked without recursion: a chain may be as long
 * as a file allows.
 */
#include "config.h"

#include "conf/inside.h"

/* The object that a reference is written in, for messages. */
static const struct conf_node *user_of(const struct conf_node *n)
{
	while (n->parent && n->parent->dir && !(n->dir->flags & (DF_OBJ | DF_NAMED)))
		n = n->parent;
	return n;
}

static void undefined(struct loader *ld, const struct ref_fix *f)
{
	const struct conf_val *v = &f->node->val[f->val];
	const char *kind = tbl_dirs[f->kind].name;
	const struct conf_node *best = NULL;
	char hint[200];
	struct near near;
	struct sb b;

	sb_init(&b, hint, sizeof(hint));
	near_init(&near, v->s);
	if (!diag_full(ld->d)) {
		CONF_FOREACH(n, ld->c->root, f->kind)
			if (n->name && near_try(&near, str_c(n->name)))
				best = n;
		if (best)
			sb_fmt(&b, "did you mean \"%s\" (%s:%u)?", best->name, best->loc.file,
			       best->loc.line);
	}
	conf_error(ld->d, v->loc, v->span, hint, "[E0203] %s \"%.63s\" is not defined (used by %s)", kind,
		   v->s.p, diag_full(ld->d) ? "" : node_title(ld->pool, user_of(f->node)));
}

void resolve_refs(struct loader *ld)
{
	for (struct ref_fix *f = ld->refs; f; f = f->next) {
		struct conf_val *v = &f->node->val[f->val];

		v->ref = (struct conf_node *)conf_find(ld->c, f->kind, v->s.p);
		if (!v->ref)
			undefined(ld, f);
	}
}

/* ---------- circles ---------- */

struct edge {
	struct vertex         *to;
	const struct conf_val *val;
	struct edge           *next;
};
struct vertex {
	struct conf_node *node;
	struct edge      *edges, *at;
	struct vertex    *from;             /* on the path, where we came from */
	enum { NEW, ON_PATH, DONE } mark;
};

static struct vertex *vertex(struct loader *ld, struct conf_node *n)
{
	struct vertex *v = n->obj;

	if (!v) {
		n->obj = v = pool_zalloc(ld->pool, sizeof(*v));
		if (v)
			v->node = n;
		else
			ld->oom = true;
	}
	return v;
}

static struct conf_node *object_of(struct conf_node *n)
{
	while (n->dir && !(n->dir->flags & DF_OBJ))
		n = n->parent;
	return n;
}

static void add_edge(struct loader *ld, struct conf_node *from, const struct conf_val *val)
{
	struct vertex *a = vertex(ld, from), *b = vertex(ld, val->ref);
	struct edge *e = pool_zalloc(ld->pool, sizeof(*e));

	if (!a || !b || !e) {
		ld->oom = true;
		return;
	}
	*e = (struct edge){ .to = b, .val = val, .next = a->edges };
	a->edges = a->at = e;
}

static void report(struct loader *ld, struct vertex *last, const struct edge *e)
{
	const char *kind = e->to->node->dir->name;
	struct sb b;
	unsigned n = 0;
	struct vertex *v;

	sb_init_heap(&b);
	for (v = last; v != e->to; v = v->from)
		n++;
	sb_fmt(&b, "%s", e->to->node->name);
	for (unsigned k = n; k > 0; k--) {
		if (n > 8 && k < n - 3 && k > 2) {
			if (k == 3)
				sb_c(&b, " -> ...");
			continue;
		}
		v = last;
		for (unsigned i = 1; i < k; i++)
			v = v->from;
		sb_fmt(&b, " -> %s", v->node->name);
	}
	sb_fmt(&b, " -> %s", e->to->node->name);
	conf_error(ld->d, e->val->loc, e->val->span, b.p, "[E0204] %s \"%s\" comes back to itself", kind,
		   e->to->node->name);
	sb_free(&b);
}

static void walk(struct loader *ld, struct vertex *v)
{
	v->mark = ON_PATH;
	while (v) {
		struct edge *e = v->at;

		if (!e) {
			v->mark = DONE;
			v = v->from;
			continue;
		}
		v->at = e->next;
		if (e->to->mark == ON_PATH) {
			report(ld, v, e);
		} else if (e->to->mark == NEW) {
			e->to->from = v;
			e->to->mark = ON_PATH;
			v = e->to;
		}
	}
}

void resolve_cycles(struct loader *ld)
{
	for (struct ref_fix *f = ld->refs; f && !ld->oom; f = f->next) {
		const struct conf_val *v = &f->node->val[f->val];
		struct conf_node *from = object_of(f->node);

		if (v->ref && from->dir &&
		    (f->kind == D_VSERVER || f->node->dir->id == D_POOL_BACKUP))
			add_edge(ld, from, v);
	}
	for (struct conf_node *n = ld->c->root->child; n && !ld->oom; n = n->next)
		if (n->obj && ((struct vertex *)n->obj)->mark == NEW)
			walk(ld, n->obj);
	for (struct conf_node *n = ld->c->root->child; n; n = n->next)
		n->obj = NULL;
}
