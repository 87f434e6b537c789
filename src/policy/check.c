/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c - types of a tree; words become values, sets and patterns are compiled
 *
 * Works on the tree in place. A node may stand in two comparisons (a < b < c), so reading a
 * word twice must do no harm: the second time it is a constant with a type.
 */
#include "config.h"

#include "policy/expr.h"

static bool is_const(const struct pol_node *n)
{
	switch (n->kind) {
	case N_CONST: case N_WORD: case N_CIDR:
		return true;
	case N_SLICE:
		return is_const(n->a);
	case N_FUNC:
		for (const struct pol_node *a = n->list; a; a = a->next)
			if (!is_const(a))
				return false;
		return true;
	default:
		return false;
	}
}

static bool fail_word(struct pol_ctx *c, const struct pol_node *n)
{
	struct str w = str_n(c->src.p + n->off, n->len);
	char show[POL_SHOW_MAX];

	if (pol_looks_like_field(w)) {
		pol_fail_unknown(c, n->off, n->len, w);
		return false;
	}
	pol_fail(c, n->off, n->len, "\"%s\" is a value: a field is needed here", pol_show(w, show));
	return false;
}

/* Makes a constant fit the type, or says why not. */
static bool coerce(struct pol_ctx *c, struct pol_node *n, enum pol_type type, bool bytes_ok)
{
	bool bytes = type == POL_BYTES || type == POL_MAC;

	if (n->kind == N_WORD)
		return pol_literal_read(c, n, type, bytes_ok);
	if (n->kind == N_CONST && n->quoted && type == POL_BYTES) {
		n->type = POL_BYTES;
		n->val.type = POL_BYTES;
		return true;
	}
	if (n->type == type || (bytes && (n->type == POL_BYTES || n->type == POL_MAC)))
		return true;
	pol_fail(c, n->off, n->len, "%s expected, not %s", pol_type_text(type),
		 pol_type_text(n->type));
	if (n->quoted && type != POL_MAC)
		pol_hint(c, "write it without quotes");
	return false;
}

static bool check_arg(struct pol_ctx *c, struct pol_node *fn, struct pol_node *arg, unsigned types,
		      const char *what)
{
	if (!pol_check_value(c, arg))
		return false;
	if (types & (1u << arg->type))
		return true;
	pol_fail(c, arg->off, arg->len, "%s() needs %s, not %s", pol_fn_rows[fn->fn].name, what,
		 pol_type_text(arg->type));
	return false;
}

/* A number written in the source, from..to. */
static bool const_arg(struct pol_ctx *c, struct pol_node *n, int64_t from, int64_t to)
{
	if (n->kind != N_WORD) {
		pol_fail(c, n->off, n->len, "a number expected");
		return false;
	}
	if (!pol_literal_read(c, n, POL_INT, false))
		return false;
	if (n->val.i >= from && n->val.i <= to)
		return true;
	pol_fail(c, n->off, n->len, "must be %lld to %lld", (long long)from, (long long)to);
	return false;
}

#define T(x) (1u << POL_##x)

static bool check_concat(struct pol_ctx *c, struct pol_node *n)
{
	for (struct pol_node *a = n->list; a; a = a->next)
		if (!check_arg(c, n, a, T(STR) | T(INT) | T(IP) | T(BOOL), "text or numbers"))
			return false;
	return true;
}

static bool check_cidr(struct pol_ctx *c, struct pol_node *n)
{
	struct pol_node *v4 = n->list->next;

	return check_arg(c, n, n->list, T(IP), "an IP address") && const_arg(c, v4, 0, 32) &&
	       (!v4->next || const_arg(c, v4->next, 0, 128));
}

static bool check_func(struct pol_ctx *c, struct pol_node *n)
{
	struct pol_node *first = n->list;

	switch (n->fn) {
	case POL_FN_STARTS_WITH:
	case POL_FN_ENDS_WITH:
		return check_arg(c, n, first, T(STR), "text") &&
		       check_arg(c, n, first->next, T(STR), "text");
	case POL_FN_LOWER:
	case POL_FN_UPPER:
		return check_arg(c, n, first, T(STR), "text");
	case POL_FN_LEN:
		return check_arg(c, n, first, T(STR) | T(BYTES) | T(MAC), "text or bytes");
	case POL_FN_COUNT:
		if (first->kind == N_FIELD)
			return true;
		pol_fail(c, first->off, first->len, "count() needs a field");
		return false;
	case POL_FN_CONCAT:
		return check_concat(c, n);
	case POL_FN_CIDR:
		return check_cidr(c, n);
	case POL_FN_HASH:
		return check_arg(c, n, first, ~0u, "a field") &&
		       (!first->next || const_arg(c, first->next, 1, 1000000000));
	default:
		ASSERT(n->fn < POL_FN__COUNT);
		return false;
	}
}

static bool check_slice(struct pol_ctx *c, struct pol_node *n)
{
	if (!pol_check_value(c, n->a))
		return false;
	if (n->a->type != POL_STR && n->a->type != POL_BYTES && n->a->type != POL_MAC) {
		pol_fail(c, n->off, n->len,
			 "%s has no parts: slices are of text, bytes and MAC addresses",
			 pol_type_text(n->a->type));
		return false;
	}
	n->type = n->a->type == POL_STR ? POL_STR : POL_BYTES;
	return true;
}

/* A value that may still be an untyped word. */
static bool check_side(struct pol_ctx *c, struct pol_node *n)
{
	if (n->kind == N_WORD)
		return true;
	if (n->kind == N_SLICE)
		return check_slice(c, n);
	if (n->kind != N_FUNC)
		return true;
	if (n->type == POL_BOOL) {
		pol_fail(c, n->off, n->len, "%s() is a test by itself and has no value",
			 pol_fn_rows[n->fn].name);
		return false;
	}
	return check_func(c, n);
}

bool pol_check_value(struct pol_ctx *c, struct pol_node *n)
{
	return n->kind == N_WORD ? fail_word(c, n) : check_side(c, n);
}

enum pol_quant pol_quant_usual(const struct pol_node *n)
{
	if (n->op == POL_OP_NE || n->op == POL_OP_ALL_EQ || (n->op == POL_OP_IN && n->negated))
		return POL_Q_ALL;
	return POL_Q_ANY;
}

static bool equality(unsigned op)
{
	return op == POL_OP_EQ || op == POL_OP_NE || op == POL_OP_ALL_EQ || op == POL_OP_ANY_NE;
}

static bool op_fits(struct pol_ctx *c, const struct pol_node *n, enum pol_type type)
{
	const char *word = pol_op_rows[n->op].word;
	bool text = type == POL_STR || type == POL_BYTES || type == POL_MAC;

	if (equality(n->op))
		return true;
	if (n->op == POL_OP_CONTAINS || n->op == POL_OP_MATCHES || n->op == POL_OP_WILDCARD ||
	    n->op == POL_OP_STRICT) {
		if (text)
			return true;
		pol_fail(c, n->off, n->len, "%s works on text and bytes, not on %s", word,
			 pol_type_text(type));
		return false;
	}
	if (type != POL_BOOL)
		return true;
	pol_fail(c, n->off, n->len, "%s does not fit a field that is true or false", word);
	return false;
}

/* Address prefixes only with == and its kin, on the right side. */
static bool place_cidr(struct pol_ctx *c, struct pol_node *n)
{
	struct pol_node *t = n->a;

	if (n->a->kind != N_CIDR && n->b->kind != N_CIDR)
		return true;
	if (!equality(n->op)) {
		pol_fail(c, n->off, n->len,
			 "a prefix can be compared with == and != or be in a set");
		return false;
	}
	if (n->a->kind == N_CIDR) {
		n->a = n->b;
		n->b = t;
	}
	return true;
}

static bool check_comparison(struct pol_ctx *c, struct pol_node *n)
{
	struct pol_node *typed = n->a, *other = n->b;
	enum pol_type want;

	if (!check_side(c, n->a) || !check_side(c, n->b))
		return false;
	if (is_const(n->a)) {
		if (is_const(n->b)) {
			if (n->a->kind == N_WORD &&
			    pol_looks_like_field(str_n(c->src.p + n->a->off, n->a->len)))
				return fail_word(c, n->a);
			pol_fail(c, n->off, n->len,
				 "two constants are compared: a field is needed");
			return false;
		}
		typed = n->b;
		other = n->a;
	}
	if (!op_fits(c, n, typed->type))
		return false;
	want = typed->type;
	if (n->op == POL_OP_CONTAINS && want == POL_MAC)
		want = POL_BYTES;
	return coerce(c, other, want, typed->kind == N_SLICE) && place_cidr(c, n);
}

static bool check_set(struct pol_ctx *c, struct pol_node *n)
{
	if (!op_fits(c, n, n->a->type))
		return false;
	n->set = pol_set_build(c, n->list, n->a->type, n->a->kind == N_SLICE);
	n->list = NULL;
	return n->set != NULL;
}

static bool check_test(struct pol_ctx *c, struct pol_node *n)
{
	if (n->quant == POL_Q_DEFAULT)
		n->quant = (uint8_t)pol_quant_usual(n);
	if (n->op != POL_OP_IN && n->op != POL_OP_MATCHES && n->op != POL_OP_WILDCARD &&
	    n->op != POL_OP_STRICT)
		return check_comparison(c, n);
	if (!pol_check_value(c, n->a))
		return false;
	if (is_const(n->a)) {
		pol_fail(c, n->a->off, n->a->len, "a field is needed on the left of %s",
			 pol_op_rows[n->op].word);
		return false;
	}
	if (n->op == POL_OP_IN)
		return check_set(c, n);
	if (!op_fits(c, n, n->a->type))
		return false;
	if (!n->b->quoted) {
		pol_fail(c, n->b->off, n->b->len, "a pattern in quotes expected");
		return false;
	}
	if (n->op == POL_OP_MATCHES)
		n->regex = pol_regex_compile(c, n->b);
	else if (n->b->val.s.n > POL_GLOB_MAX)
		pol_fail(c, n->b->off, n->b->len, "the pattern is too long: at most %u bytes",
			 POL_GLOB_MAX);
	return !c->failed;
}

/* starts_with(a, b) as a test */
static bool bare_func(struct pol_ctx *c, struct pol_node *n, struct pol_node *fn)
{
	if (fn->type != POL_BOOL) {
		pol_fail(c, fn->off, fn->len, "%s() gives %s: compare it with something",
			 pol_fn_rows[fn->fn].name, pol_type_text(fn->type));
		return false;
	}
	if (!check_func(c, fn))
		return false;
	if (is_const(fn->list)) {
		pol_fail(c, fn->list->off, fn->list->len, "a field is needed here");
		return false;
	}
	n->kind = N_TEST;
	n->quant = POL_Q_ANY;
	n->op = fn->fn == POL_FN_STARTS_WITH ? POL_OP_STARTS : POL_OP_ENDS;
	n->a = fn->list;
	n->b = fn->list->next;
	return true;
}

static bool bare_field(struct pol_ctx *c, struct pol_node *n)
{
	n->kind = N_TEST;
	n->quant = POL_Q_ANY;
	n->op = POL_OP_EXISTS;
	if (n->a->type != POL_BOOL)
		return true;
	n->b = pol_node_new(c, N_CONST, n->off);
	if (!n->b)
		return false;
	n->op = POL_OP_EQ;
	n->b->type = POL_BOOL;
	n->b->val = (struct pol_val){ .type = POL_BOOL, .b = true };
	return true;
}

static bool check_bare(struct pol_ctx *c, struct pol_node *n)
{
	struct str w = str_n(c->src.p + n->a->off, n->a->len);

	switch (n->a->kind) {
	case N_FIELD:
		return bare_field(c, n);
	case N_FUNC:
		return bare_func(c, n, n->a);
	case N_WORD:
		if (!str_eq(w, STR("true")) && !str_eq(w, STR("false")))
			return fail_word(c, n->a);
		n->kind = str_eq(w, STR("true")) ? N_TRUE : N_FALSE;
		return true;
	default:
		pol_fail(c, n->off, n->len,
			 "a value alone is not a test: compare it with something");
		return false;
	}
}

bool pol_check_expr(struct pol_ctx *c, struct pol_node *n)
{
	switch (n->kind) {
	case N_AND: case N_OR: case N_XOR:
		for (struct pol_node *k = n->list; k; k = k->next)
			if (!pol_check_expr(c, k))
				return false;
		return true;
	case N_NOT:
		return pol_check_expr(c, n->a);
	case N_BARE:
		return check_bare(c, n);
	case N_TEST:
		return check_test(c, n);
	default:
		ASSERT(n->kind == N_TEST);
		return false;
	}
}
