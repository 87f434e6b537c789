/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpl.c - texts with fields in braces: "https://{http.host}{http.request.uri}"
 *
 * Between the braces stands any value of the expression language. {{ and }} are literal braces.
 * Only the first value of a field is used; an absent or unknown one is the empty string.
 */
#include "config.h"

#include "base/err.h"
#include "policy/expr.h"

struct part {
	struct str       text;        /* when node is NULL */
	struct pol_node *node;
	struct part     *next;
};

struct pol_tmpl {
	struct part *parts;
	uint64_t     fields[POL_FIELD_WORDS];
};

static struct part *part_add(struct pol_ctx *c, struct part ***tail)
{
	struct part *p = pol_mem(c, sizeof(*p));

	if (p) {
		**tail = p;
		*tail = &p->next;
	}
	return p;
}

/* Text up to the next { of a field; the doubled braces become single ones. False: failed. */
static bool take_text(struct pol_ctx *c, struct part ***tail)
{
	struct str s = c->src;
	size_t i = c->pos, n = 0, end = i;
	struct part *p;
	char *to;

	while (end < s.n && !(s.p[end] == '{' && !(end + 1 < s.n && s.p[end + 1] == '{')))
		end += s.p[end] == '{' ? 2 : 1;
	c->pos = end;
	if (end == i)
		return true;
	p = part_add(c, tail);
	to = p ? pol_mem(c, end - i) : NULL;
	if (!to)
		return false;
	while (i < end) {
		if (s.p[i] == '}' && (i + 1 >= end || s.p[i + 1] != '}')) {
			pol_fail(c, i, 1, "this } closes nothing");
			pol_hint(c, "write }} for a brace in the text");
			return false;
		}
		to[n++] = s.p[i];
		i += s.p[i] == '{' || s.p[i] == '}' ? 2 : 1;
	}
	p->text = str_n(to, n);
	return true;
}

/* { value }; c->pos is at the brace */
static bool take_field(struct pol_ctx *c, struct part ***tail)
{
	size_t open = c->pos++;
	struct part *p = part_add(c, tail);

	if (!p)
		return false;
	pol_lex_next(c);
	if (c->tok.kind == TK_RBRACE || c->tok.kind == TK_END) {
		pol_fail(c, open, 1,
			 c->tok.kind == TK_END ? "this { is not closed"
					       : "a field is missing in { }");
		pol_hint(c, "write {{ for a brace in the text");
		return false;
	}
	p->node = pol_parse_value(c);
	if (!p->node || !pol_check_value(c, p->node))
		return false;
	if (c->tok.kind != TK_RBRACE) {
		pol_fail(c, c->tok.off, c->tok.len, "} expected after the field");
		return false;
	}
	c->pos = c->tok.off + 1;
	return true;
}

int pol_tmpl_compile(struct pool *p, struct str src, const struct pol_compile_opts *o,
		     struct pol_tmpl **out, struct pol_error *err)
{
	struct part *parts = NULL, **tail = &parts;
	struct pol_tmpl *t;
	struct pol_ctx c;

	*out = NULL;
	pol_ctx_init(&c, p, src, o, err);
	while (!c.failed && c.pos < src.n)
		if (take_text(&c, &tail) && c.pos < src.n)
			take_field(&c, &tail);
	t = c.failed ? NULL : pol_mem(&c, sizeof(*t));
	if (!t)
		return pol_ctx_result(&c);
	t->parts = parts;
	memcpy(t->fields, c.fields, sizeof(t->fields));
	*out = t;
	return FL_OK;
}

int pol_tmpl_run(const struct pol_tmpl *t, const struct pol_facts *f, struct sb *b)
{
	for (const struct part *p = t->parts; p; p = p->next) {
		if (p->node)
			pol_value_text(p->node, f, b);
		else
			sb_str(b, p->text);
	}
	return b->over ? FL_ELIMIT_ : FL_OK;
}

bool pol_tmpl_is_const(const struct pol_tmpl *t)
{
	for (const struct part *p = t->parts; p; p = p->next)
		if (p->node)
			return false;
	return true;
}

void pol_tmpl_fields(const struct pol_tmpl *t, uint64_t *mask)
{
	for (size_t i = 0; i < POL_FIELD_WORDS; i++)
		mask[i] |= t->fields[i];
}
