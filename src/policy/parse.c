/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c - tokens into a tree: logic and comparisons (values are in value.c)
 *
 *   expr       = xor { or xor }
 *   xor        = and { xor and }
 *   and        = unary { and unary }
 *   unary      = not unary | ( expr ) | [ any | all ] comparison
 *   comparison = value [ op value { op value } | [ not ] in set | matches string
 *              | [ strict ] wildcard string ]
 *
 * a < b < c is a < b and b < c. Depth is bounded (pol_enter); chains are lists, so the tree is
 * never deeper than the nesting in the text.
 */
#include "config.h"

#include "policy/expr.h"

struct pol_node *pol_node_new(struct pol_ctx *c, enum pol_kind k, size_t off)
{
	struct pol_node *n = pol_mem(c, sizeof(*n));

	if (!n)
		return NULL;
	n->kind = (uint8_t)k;
	n->off = (uint32_t)off;
	return n;
}

void pol_node_close(struct pol_ctx *c, struct pol_node *n)
{
	n->len = (uint32_t)(c->prev_end - n->off);
}

bool pol_enter(struct pol_ctx *c, size_t off)
{
	if (++c->depth <= POL_DEPTH_MAX)
		return true;
	pol_fail(c, off, 1, "nested too deep: at most %u levels", POL_DEPTH_MAX);
	return false;
}

static void fail_here(struct pol_ctx *c, const char *what)
{
	char show[POL_SHOW_MAX];

	if (c->tok.kind == TK_END)
		pol_fail(c, c->tok.off, 1, "%s expected at the end", what);
	else
		pol_fail(c, c->tok.off, c->tok.len, "%s expected, not \"%s\"", what,
			 pol_show(str_n(c->src.p + c->tok.off, c->tok.len), show));
}

bool pol_expect(struct pol_ctx *c, enum pol_tok_kind k, const char *what)
{
	if (c->failed)
		return false;
	if (c->tok.kind != k) {
		fail_here(c, what);
		return false;
	}
	pol_lex_next(c);
	return !c->failed;
}

static bool is_op(const struct pol_ctx *c, enum pol_op op)
{
	return c->tok.kind == TK_OP && c->tok.op == op;
}

static bool is_comparison(const struct pol_ctx *c)
{
	if (c->tok.kind != TK_OP)
		return false;
	switch (c->tok.op) {
	case POL_OP_EQ: case POL_OP_NE: case POL_OP_ALL_EQ: case POL_OP_ANY_NE:
	case POL_OP_GT: case POL_OP_GE: case POL_OP_LT: case POL_OP_LE:
	case POL_OP_CONTAINS:
		return true;
	default:
		return false;
	}
}

/* A member: value or value..value */
static struct pol_node *parse_member(struct pol_ctx *c)
{
	struct pol_node *lo = pol_parse_value(c), *r;

	if (!lo || c->tok.kind != TK_DOTDOT)
		return lo;
	r = pol_node_new(c, N_RANGE, lo->off);
	if (!r)
		return NULL;
	pol_lex_next(c);
	r->a = lo;
	r->b = pol_parse_value(c);
	if (!r->b)
		return NULL;
	pol_node_close(c, r);
	return r;
}

static struct pol_node *parse_set(struct pol_ctx *c)
{
	struct pol_node *first = NULL, **tail = &first, *m;
	size_t open = c->tok.off;
	unsigned n = 0;

	if (!pol_expect(c, TK_LBRACE, "{ of a set"))
		return NULL;
	if (c->tok.kind == TK_RBRACE) {
		pol_fail(c, open, c->tok.off + 1 - open, "the set is empty");
		return NULL;
	}
	for (;;) {
		m = parse_member(c);
		if (!m)
			return NULL;
		if (++n > POL_SET_MAX) {
			pol_fail(c, m->off, m->len, "too many members: at most %u", POL_SET_MAX);
			return NULL;
		}
		*tail = m;
		tail = &m->next;
		if (c->tok.kind != TK_COMMA)
			break;
		pol_lex_next(c);
	}
	if (c->tok.kind == TK_WORD || c->tok.kind == TK_STRING) {
		fail_here(c, "a comma or }");
		pol_hint(c, "members of a set are separated by commas");
		return NULL;
	}
	return pol_expect(c, TK_RBRACE, "} of the set") ? first : NULL;
}

static struct pol_node *test_new(struct pol_ctx *c, struct pol_node *a, enum pol_op op,
				 enum pol_quant q)
{
	struct pol_node *t = pol_node_new(c, N_TEST, a->off);

	if (t) {
		t->a = a;
		t->op = (uint8_t)op;
		t->quant = (uint8_t)q;
	}
	return t;
}

static struct pol_node *parse_in(struct pol_ctx *c, struct pol_node *a, enum pol_quant q,
				 bool negated)
{
	struct pol_node *t = test_new(c, a, POL_OP_IN, q);

	pol_lex_next(c);
	if (!t)
		return NULL;
	t->negated = negated;
	t->list = parse_set(c);
	if (!t->list)
		return NULL;
	pol_node_close(c, t);
	return t;
}

/* matches, wildcard, strict wildcard: a string must follow. */
static struct pol_node *parse_pattern(struct pol_ctx *c, struct pol_node *a, enum pol_quant q)
{
	struct pol_node *t = test_new(c, a, c->tok.op, q);

	pol_lex_next(c);
	if (!t)
		return NULL;
	if (t->op == POL_OP_STRICT) {
		if (!is_op(c, POL_OP_WILDCARD)) {
			fail_here(c, "wildcard after strict");
			return NULL;
		}
		pol_lex_next(c);
	}
	if (c->tok.kind != TK_STRING) {
		fail_here(c, "a pattern in quotes");
		return NULL;
	}
	t->b = pol_parse_value(c);
	if (!t->b)
		return NULL;
	pol_node_close(c, t);
	return t;
}

/* a op b, and for a op b op c: the list of both in an N_AND. */
static struct pol_node *parse_relation(struct pol_ctx *c, struct pol_node *a, enum pol_quant q)
{
	struct pol_node *first = NULL, **tail = &first, *t, *all;

	while (is_comparison(c)) {
		t = test_new(c, a, c->tok.op, q);
		pol_lex_next(c);
		if (!t)
			return NULL;
		t->b = pol_parse_value(c);
		if (!t->b)
			return NULL;
		pol_node_close(c, t);
		*tail = t;
		tail = &t->next;
		a = t->b;
	}
	if (!first->next)
		return first;
	all = pol_node_new(c, N_AND, first->off);
	if (all) {
		all->list = first;
		pol_node_close(c, all);
	}
	return all;
}

static struct pol_node *parse_comparison(struct pol_ctx *c)
{
	enum pol_quant q = POL_Q_DEFAULT;
	struct pol_node *a, *n;
	size_t off = c->tok.off;

	if (is_op(c, POL_OP_ANY) || is_op(c, POL_OP_ALL)) {
		q = is_op(c, POL_OP_ANY) ? POL_Q_ANY : POL_Q_ALL;
		pol_lex_next(c);
	}
	a = pol_parse_value(c);
	if (!a)
		return NULL;
	if (is_comparison(c))
		return parse_relation(c, a, q);
	if (is_op(c, POL_OP_IN))
		return parse_in(c, a, q, false);
	if (is_op(c, POL_OP_NOT)) {
		pol_lex_next(c);
		if (!is_op(c, POL_OP_IN)) {
			fail_here(c, "\"in\" after \"not\"");
			pol_hint(c, "\"not\" stands before the whole comparison: not a contains b");
			return NULL;
		}
		return parse_in(c, a, q, true);
	}
	if (is_op(c, POL_OP_MATCHES) || is_op(c, POL_OP_WILDCARD) || is_op(c, POL_OP_STRICT))
		return parse_pattern(c, a, q);
	if (q != POL_Q_DEFAULT) {
		pol_fail(c, off, 3, "\"any\" and \"all\" stand before a comparison");
		return NULL;
	}
	n = pol_node_new(c, N_BARE, a->off);
	if (!n)
		return NULL;
	n->a = a;
	n->len = a->len;
	return n;
}

static struct pol_node *parse_or(struct pol_ctx *c);

static struct pol_node *parse_parens(struct pol_ctx *c)
{
	struct pol_node *n;
	size_t open = c->tok.off;

	if (!pol_enter(c, open))
		return NULL;
	pol_lex_next(c);
	n = parse_or(c);
	c->depth--;
	if (!n || c->failed)
		return NULL;
	if (c->tok.kind == TK_END) {
		pol_fail(c, open, 1, "parenthesis is not closed");
		return NULL;
	}
	return pol_expect(c, TK_RPAREN, ")") ? n : NULL;
}

static struct pol_node *parse_unary(struct pol_ctx *c)
{
	struct pol_node *n, *inner;
	size_t off = c->tok.off;

	if (c->tok.kind == TK_LPAREN)
		return parse_parens(c);
	if (!is_op(c, POL_OP_NOT))
		return parse_comparison(c);
	if (!pol_enter(c, off))
		return NULL;
	pol_lex_next(c);
	inner = parse_unary(c);
	c->depth--;
	n = inner ? pol_node_new(c, N_NOT, off) : NULL;
	if (!n)
		return NULL;
	n->a = inner;
	pol_node_close(c, n);
	return n;
}

/* One level of and / xor / or: operands into a list. */
static struct pol_node *parse_chain(struct pol_ctx *c, enum pol_op op, enum pol_kind kind,
				    struct pol_node *(*operand)(struct pol_ctx *))
{
	size_t off = c->tok.off;
	struct pol_node *first = operand(c), **tail, *n;

	if (!first || !is_op(c, op))
		return first;
	n = pol_node_new(c, kind, off);
	if (!n)
		return NULL;
	n->list = first;
	tail = &first->next;
	while (is_op(c, op)) {
		pol_lex_next(c);
		*tail = operand(c);
		if (!*tail)
			return NULL;
		tail = &(*tail)->next;
	}
	pol_node_close(c, n);
	return n;
}

static struct pol_node *parse_and(struct pol_ctx *c)
{
	return parse_chain(c, POL_OP_AND, N_AND, parse_unary);
}

static struct pol_node *parse_xor(struct pol_ctx *c)
{
	return parse_chain(c, POL_OP_XOR, N_XOR, parse_and);
}

static struct pol_node *parse_or(struct pol_ctx *c)
{
	return parse_chain(c, POL_OP_OR, N_OR, parse_xor);
}

/* Something stands after a complete expression: say what could have been meant. */
static void fail_rest(struct pol_ctx *c)
{
	struct str w = str_n(c->src.p + c->tok.off, c->tok.len);
	char show[POL_SHOW_MAX];
	const char *near = c->tok.kind == TK_WORD ? pol_op_near(w) : NULL;

	if (c->tok.kind == TK_RPAREN) {
		pol_fail(c, c->tok.off, 1, "this ) closes nothing");
		return;
	}
	pol_fail(c, c->tok.off, c->tok.len, "an operator (==, in, and, ...) expected, not \"%s\"",
		 pol_show(w, show));
	if (near)
		pol_hint(c, "did you mean \"%s\"?", near);
	else if (c->tok.kind == TK_OP)
		pol_hint(c, "its left side must be a field or a function, without parentheses");
}

struct pol_node *pol_parse_expr(struct pol_ctx *c)
{
	struct pol_node *n;

	pol_lex_next(c);
	if (!c->failed && c->tok.kind == TK_END) {
		pol_fail(c, 0, 1, "the expression is empty");
		return NULL;
	}
	n = parse_or(c);
	if (!c->failed && c->tok.kind != TK_END)
		fail_rest(c);
	return c->failed ? NULL : n;
}
