/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff.c - what differs between two configurations, object by object
 *
 * Lines are "+ PATH VALUE", "- PATH VALUE", "~ PATH old -> new", with PATH as in
 * pool.app.service.a1.weight. A new or removed object is one line: its options are part of it.
 * Where written order counts a changed order is a line too. Options that a reload cannot apply are
 * marked.
 */
#include "config.h"

#include "conf/inside.h"

struct differ {
	struct pool *pool;
	struct sb   *out;
	unsigned     lines;
};

/* Values as text; `from` skips the name. */
static const char *values(struct differ *d, const struct conf_node *n, unsigned from)
{
	struct sb b;
	char *z;

	sb_init_heap(&b);
	for (unsigned i = from; i < n->n_val; i++) {
		sb_c(&b, i > from ? " " : "");
		val_print(n, &n->val[i], &b);
	}
	z = pool_strndup(d->pool, b.n ? b.p : "", b.n);
	d->out->over |= b.over || !z;
	sb_free(&b);
	return z ? z : "";
}

/* What tells a node from its siblings: its name, or all that is said of it if it may be repeated.
 * */
static struct str identity(struct differ *d, const struct conf_node *n)
{
	char *z;

	if (n->name)
		z = pool_fmt(d->pool, "%u %s", (unsigned)n->dir->id, n->name);
	else if (n->dir->flags & DF_LIST)
		z = pool_fmt(d->pool, "%u %s", (unsigned)n->dir->id, values(d, n, 0));
	else
		z = pool_fmt(d->pool, "%u", (unsigned)n->dir->id);
	d->out->over |= !z;
	return str_c(z ? z : "");
}

static const char *path_of(struct differ *d, const char *parent, const struct conf_node *n)
{
	const char *dot = *parent ? "." : "", *p;

	if (n->name)
		p = pool_fmt(d->pool, "%s%s%s.%s", parent, dot, n->dir->name, n->name);
	else
		p = pool_fmt(d->pool, "%s%s%s", parent, dot, n->dir->name);
	return p ? p : "";
}

static void line(struct differ *d, char sign, const char *path, const struct conf_node *n,
		 const char *text)
{
	sb_fmt(d->out, "%c %s%s%s%s\n", sign, path, *text ? " " : "", text,
	       n->dir->reload == RELOAD_RESTART ? "  (needs a restart)" : "");
	d->lines++;
}

static struct map *by_identity(struct differ *d, const struct conf_node *n)
{
	struct map *m = map_new(d->pool, false);

	for (const struct conf_node *c = n->child; c && m; c = c->next)
		if (map_add(m, identity(d, c), (void *)c) == FL_ENOMEM_)
			m = NULL;
	return m;
}

static void changed(struct differ *d, const char *path, const struct conf_node *a,
		    const struct conf_node *b)
{
	unsigned from = a->name != NULL;
	const char *old = values(d, a, from), *now = values(d, b, from);
	char *text;

	if (strcmp(old, now) == 0)
		return;
	text = pool_fmt(d->pool, "%s -> %s", *old ? old : "(nothing)", *now ? now : "(nothing)");
	line(d, '~', path, b, text ? text : "");
}

/* The nodes of one directive that are in both, as a text of their order. */
static const char *order_text(struct differ *d, const struct conf_node *first,
			      const struct map *other)
{
	const char *z;
	struct sb b;

	sb_init_heap(&b);
	for (const struct conf_node *n = first; n; n = conf_same(n))
		if (map_get(other, identity(d, n)))
			sb_fmt(&b, "%s%s", b.n ? ", " : "", n->name ? n->name : values(d, n, 0));
	z = pool_strndup(d->pool, b.n ? b.p : "", b.n);
	sb_free(&b);
	return z ? z : "";
}

static void diff_order(struct differ *d, const char *path, const struct conf_node *a,
		       const struct conf_node *b, const struct map *in_a, const struct map *in_b)
{
	for (unsigned i = 1; i < D__COUNT; i++) {
		const struct conf_node *fa, *fb;
		const char *old, *now;

		if (!(tbl_dirs[i].flags & DF_ORDER))
			continue;
		fa = conf_child(a, (enum tbl_dir)i);
		fb = conf_child(b, (enum tbl_dir)i);
		if (!fa || !fb)
			continue;
		old = order_text(d, fa, in_b);
		now = order_text(d, fb, in_a);
		if (strcmp(old, now) != 0) {
			sb_fmt(d->out, "~ %s%s%s order %s -> %s\n", path, *path ? "." : "",
			       tbl_dirs[i].name, old, now);
			d->lines++;
		}
	}
}

/* Depth is bounded by the contexts of the table. */
static void diff_nodes(struct differ *d, const char *path, const struct conf_node *a,
		       const struct conf_node *b)
{
	struct map *in_a = by_identity(d, a), *in_b = by_identity(d, b);

	if (!in_a || !in_b) {
		d->out->over = true;
		return;
	}
	for (const struct conf_node *n = a->child; n; n = n->next)
		if (!map_get(in_b, identity(d, n)))
			line(d, '-', path_of(d, path, n), n, values(d, n, n->name != NULL));
	for (const struct conf_node *n = b->child; n; n = n->next) {
		const struct conf_node *was = map_get(in_a, identity(d, n));
		const char *p = path_of(d, path, n);

		if (!was) {
			line(d, '+', p, n, values(d, n, n->name != NULL));
			continue;
		}
		changed(d, p, was, n);
		/* of repeated ones without a name the value tells which one is meant */
		if ((n->dir->flags & DF_LIST) && !n->name && (n->child || was->child))
			p = pool_fmt(d->pool, "%s.%s", p, values(d, n, 0));
		if (n->child || was->child)
			diff_nodes(d, p ? p : "", was, n);
	}
	diff_order(d, path, a, b, in_a, in_b);
}

unsigned conf_diff(const struct conf *from, const struct conf *to, struct sb *out)
{
	struct differ d = { .pool = pool_new("conf-diff", 0), .out = out };

	if (!d.pool) {
		out->over = true;
		return 0;
	}
	diff_nodes(&d, "", from->root, to->root);
	pool_free(&d.pool);
	return d.lines;
}
