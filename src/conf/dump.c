/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump.c - the tree as canonical text and as JSON
 *
 * The text comes back as an equal tree. Values are printed as they were written, so that a variable
 * stays a variable; paths are printed absolute, since the text may be read from elsewhere. Secrets
 * that came from a file are printed as file:PATH, others as "***". JSON: a directive that may be
 * repeated is an array; an object has "name", "args", then its options.
 */
#include "config.h"

#include "conf/inside.h"

#include <inttypes.h>

void expr_print(struct str s, struct sb *b)
{
	bool gap = false;
	char quote = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!quote && (c == ' ' || c == '\t')) {
			gap = true;
			continue;
		}
		if (gap)
			sb_ch(b, ' ');
		gap = false;
		sb_ch(b, c);
		if (quote == '"' && c == '\\' && i + 1 < s.n)
			sb_ch(b, s.p[++i]);
		else if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '"' || c == '`')
			quote = c;
	}
}

void val_print(const struct conf_node *n, const struct conf_val *v, struct sb *b)
{
	if (v->type == CV_EXPR)
		expr_print(v->s, b);
	else if (v->secret && (n->dir->flags & DF_SECRET) && !str_starts(v->raw, STR("file:")))
		sb_c(b, "\"***\"");
	else if (v->type == CV_PATH && v->s.p && v->s.p[0] == '/' && v->raw.p[0] != '/')
		val_quote(v->s, b);
	else
		sb_str(b, v->raw);
}

static void indent(struct sb *b, unsigned depth)
{
	while (depth--)
		sb_ch(b, '\t');
}

static void origin(const struct conf_node *n, unsigned flags, struct sb *b)
{
	if (n->file_says)
		sb_fmt(b, "  # until a restart; the file says %s", n->file_says[0] ? n->file_says : "nothing");
	if ((flags & CONF_DUMP_ORIGIN) && n->loc.file)
		sb_fmt(b, "  # %s:%u", n->loc.file, n->loc.line);
}

/* The options of a context that are not written and have a default. */
static void text_defaults(const struct conf_node *n, enum tbl_ctx ctx, unsigned depth,
			  unsigned flags, struct sb *b)
{
	for (unsigned i = 1; i < D__COUNT; i++) {
		const struct tbl_dir_row *r = &tbl_dirs[i];

		/* a vserver without a log of its own uses the global one: printing `off` would
		 * change it */
		if (!(r->ctx & ctx) || !r->def[0] || (r->id == D_ACCESS_LOG && ctx != CTX_TOP) ||
		    conf_child(n, r->id))
			continue;
		indent(b, depth);
		sb_fmt(b, "%s %s%s\n", r->name, r->def,
		       flags & CONF_DUMP_ORIGIN ? "  # default" : "");
	}
}

static bool takes_defaults(const struct conf_node *n)
{
	const struct conf_val *proto = NULL;

	/* options of rss beside another word would be refused */
	if (n->dir->id == D_LISTEN_DISTRIBUTE)
		return n->n_val && (str_eq(n->val[0].s, STR("rss")) || str_eq(n->val[0].s, STR("rules")) ||
				    str_eq(n->val[0].s, STR("least-load")));
	/* defaults of a tcp vserver, or of listen in a udp one, would name options that may not be there */
	if (n->dir->id == D_VS_LISTEN)
		proto = conf_opt(n->parent, D_VS_PROTOCOL);
	return proto ? !str_eq(proto->s, STR("udp"))
		     : n->dir->id != D_VSERVER || conf_opt_int(n, D_VS_PROTOCOL) == 0;
}

static void text_node(const struct conf_node *n, unsigned depth, unsigned flags, struct sb *b)
{
	bool defaults = (flags & CONF_DUMP_DEFAULTS) && n->dir->opens != CTX_NONE &&
			takes_defaults(n) && n->dir->id != D_MONITOR;

	indent(b, depth);
	sb_c(b, n->dir->name);
	for (unsigned i = 0; i < n->n_val; i++) {
		sb_ch(b, ' ');
		val_print(n, &n->val[i], b);
	}
	if (!n->child && !defaults) {
		origin(n, flags, b);
		sb_ch(b, '\n');
		return;
	}
	sb_c(b, " {");
	origin(n, flags, b);
	sb_ch(b, '\n');
	for (const struct conf_node *c = n->child; c; c = c->next)
		text_node(c, depth + 1, flags, b);
	if (defaults)
		text_defaults(n, n->dir->opens, depth + 1, flags, b);
	indent(b, depth);
	sb_c(b, "}\n");
}

/* ---------- JSON ---------- */

static void json_val(const struct conf_node *n, const struct conf_val *v, struct sb *b)
{
	struct sb t;

	if (v->type == CV_COUNT) {
		sb_fmt(b, "%" PRId64, v->i);
		return;
	}
	if (v->type == CV_BOOL) {
		sb_c(b, v->i ? "true" : "false");
		return;
	}
	sb_init_heap(&t);
	if (v->type == CV_EXPR || v->secret) {
		val_print(n, v, &t);
		if (v->secret && str_eq(sb_get(&t), STR("\"***\"")))
			sb_c(b, "\"***\"");
		else
			sb_json_str(b, t.n ? sb_get(&t) : STR(""));
	} else if (v->type == CV_HOSTPORT && v->addr.sa.sa_family == 0) {
		sb_fmt(&t, STR_FMT ":%u", STR_ARG(v->s), v->port);
		sb_json_str(b, sb_get(&t));
	} else {
		sb_json_str(b, v->s);
	}
	b->over |= t.over;
	sb_free(&t);
}

static void json_vals(const struct conf_node *n, unsigned from, struct sb *b)
{
	if (n->n_val - from == 1) {
		json_val(n, &n->val[from], b);
		return;
	}
	sb_ch(b, '[');
	for (unsigned i = from; i < n->n_val; i++) {
		sb_c(b, i > from ? "," : "");
		json_val(n, &n->val[i], b);
	}
	sb_ch(b, ']');
}

static void json_node(const struct conf_node *n, unsigned flags, struct sb *b);

/* Children by directive, in the order of their first appearance. */
static void json_options(const struct conf_node *n, bool comma, unsigned flags, struct sb *b)
{
	bool done[D__COUNT] = { false };

	for (const struct conf_node *c = n->child; c; c = c->next) {
		bool list = c->dir->flags & DF_LIST;

		if (done[c->dir->id])
			continue;
		done[c->dir->id] = true;
		sb_fmt(b, "%s\"%s\":%s", comma ? "," : "", c->dir->name, list ? "[" : "");
		comma = true;
		json_node(c, flags, b);
		for (const struct conf_node *s = conf_same(c); list && s; s = conf_same(s)) {
			sb_c(b, ",\n");
			json_node(s, flags, b);
		}
		sb_c(b, list ? "]" : "");
	}
	if (!(flags & CONF_DUMP_DEFAULTS))
		return;
	for (unsigned i = 1; i < D__COUNT; i++) {
		const struct conf_val *v;
		struct conf_node row = { .dir = &tbl_dirs[i] };

		if (done[i] || !(tbl_dirs[i].ctx & (n->dir ? n->dir->opens : CTX_TOP)) ||
		    !tbl_dirs[i].def[0])
			continue;
		v = conf_opt(n, (enum tbl_dir)i);
		sb_fmt(b, "%s\"%s\":", comma ? "," : "", tbl_dirs[i].name);
		json_val(&row, v, b);
		comma = true;
	}
}

static void json_node(const struct conf_node *n, unsigned flags, struct sb *b)
{
	unsigned from = n->name != NULL;

	if (n->dir->opens == CTX_NONE) {
		json_vals(n, 0, b);
		return;
	}
	sb_ch(b, '{');
	if (n->name) {
		sb_c(b, "\"name\":");
		sb_json_str(b, str_c(n->name));
	}
	if (n->n_val > from) {
		sb_fmt(b, "%s\"args\":[", from ? "," : "");
		for (unsigned i = from; i < n->n_val; i++) {
			sb_c(b, i > from ? "," : "");
			json_val(n, &n->val[i], b);
		}
		sb_ch(b, ']');
	}
	if ((flags & CONF_DUMP_ORIGIN) && n->loc.file) {
		sb_fmt(b, "%s\"origin\":", n->n_val ? "," : "");
		sb_json_str(b, str_c(n->loc.file));
		sb_fmt(b, ",\"line\":%u", n->loc.line);
	}
	json_options(n, n->n_val || (flags & CONF_DUMP_ORIGIN), flags, b);
	sb_ch(b, '}');
}

void conf_dump(const struct conf *c, const struct conf_node *n, unsigned flags, struct sb *out)
{
	bool whole = !n || !n->dir;

	if (whole)
		n = c->root;
	if (flags & CONF_DUMP_JSON) {
		if (whole) {
			sb_ch(out, '{');
			json_options(n, false, flags, out);
			sb_ch(out, '}');
		} else {
			json_node(n, flags, out);
		}
		sb_ch(out, '\n');
		return;
	}
	if (!whole) {
		text_node(n, 0, flags, out);
		return;
	}
	for (const struct conf_node *k = n->child; k; k = k->next)
		text_node(k, 0, flags, out);
	if (flags & CONF_DUMP_DEFAULTS)
		text_defaults(n, CTX_TOP, 0, flags, out);
}
