/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval.c - an expression against the facts: true, false or not known
 *
 * Values of a field are taken page by page, so a field may have any number of them and nothing
 * is allocated. What functions make (lower, concat, slices of several pieces) lies in one
 * scratch area per process, given back page by page; when it is full the result is UNDEF.
 * Logic is three-valued: what is decided by the known side stays decided.
 *
 * Recursion follows the tree, whose depth the parser bounds.
 */
#include "config.h"

#include "base/err.h"
#include "base/hash.h"
#include "policy/expr.h"

#define SCRATCH_BYTES (128u * 1024u)
#define PAGE_VALUES   8u

static struct {
	size_t used;
	char   mem[SCRATCH_BYTES];
} scratch;

struct ev {
	const struct pol_facts *facts;
	const struct pol_trace *trace;
};

/* Some values of a node. `start`: how many of the field's values were asked for before. */
struct page {
	struct pol_val v[PAGE_VALUES];
	unsigned       n, start;
	bool           end;          /* nothing comes after this page */
};

static int page_fill(const struct ev *ev, const struct pol_node *n, struct page *p);

static char *scratch_take(size_t n)
{
	char *p = scratch.mem + scratch.used;

	if (n > SCRATCH_BYTES - scratch.used)
		return NULL;
	scratch.used += n;
	return p;
}

/* --- values --- */

static int fill_const(const struct pol_node *n, struct page *p)
{
	p->v[0] = n->val;
	p->n = 1;
	p->end = true;
	return FL_OK;
}

static int fill_field(const struct ev *ev, const struct pol_node *n, struct page *p)
{
	bool multi = pol_field_rows[n->field.f].multi;
	unsigned room = multi ? PAGE_VALUES : 1;
	int rc;

	p->n = room;
	rc = ev->facts->get(ev->facts->ctx, n->field.f, n->field.key, n->field.obj, p->start, p->v,
			    &p->n);
	if (rc < 0)
		return rc;
	ASSERT(p->n <= room);
	p->start += p->n;
	p->end = !multi || p->n == 0;
	return FL_OK;
}

/* Place and length of one piece in text of n bytes; false when nothing of it is there. */
static bool piece_span(const struct pol_piece *p, size_t n, size_t *from, size_t *len)
{
	int64_t size = (int64_t)n, start = p->start < 0 ? size + p->start : p->start, end;

	if (p->to_end)
		end = size;
	else if (p->to_place)
		end = (p->last < 0 ? size + p->last : p->last) + 1;
	else
		end = start + p->last;
	end = FL_MIN(end, size);
	if (start < 0 || start >= end)
		return false;
	*from = (size_t)start;
	*len = (size_t)(end - start);
	return true;
}

/* 1 = there is a value, 0 = none, negative = error */
static int map_slice(const struct pol_node *n, struct pol_val *v)
{
	size_t from, len, total = 0;
	char *to;

	v->type = n->type;
	if (n->slice.n == 1) {
		if (!piece_span(&n->slice.piece[0], v->s.n, &from, &len))
			return 0;
		v->s = str_n(v->s.p + from, len);
		return 1;
	}
	for (unsigned i = 0; i < n->slice.n; i++)
		if (piece_span(&n->slice.piece[i], v->s.n, &from, &len))
			total += len;
	if (!total)
		return 0;
	to = scratch_take(total);
	if (!to)
		return FL_ELIMIT_;
	total = 0;
	for (unsigned i = 0; i < n->slice.n; i++) {
		if (!piece_span(&n->slice.piece[i], v->s.n, &from, &len))
			continue;
		memcpy(to + total, v->s.p + from, len);
		total += len;
	}
	v->s = str_n(to, total);
	return 1;
}

static int map_case(struct pol_val *v, bool upper)
{
	char a = upper ? 'a' : 'A', z = upper ? 'z' : 'Z', *to;
	size_t i = 0;

	while (i < v->s.n && !(v->s.p[i] >= a && v->s.p[i] <= z))
		i++;
	if (i == v->s.n)
		return 1;
	to = scratch_take(v->s.n);
	if (!to)
		return FL_ELIMIT_;
	for (i = 0; i < v->s.n; i++)
		to[i] = v->s.p[i] >= a && v->s.p[i] <= z ? (char)(v->s.p[i] ^ 0x20) : v->s.p[i];
	v->s.p = to;
	return 1;
}

static void map_cidr(const struct pol_node *n, struct pol_val *v)
{
	const struct pol_node *v4 = n->list->next, *v6 = v4->next;
	bool is4 = v->ip.family == AF_INET;
	unsigned bits = (unsigned)(is4 ? v4->val.i : v6 ? v6->val.i : 128);

	for (unsigned i = 0; i < (is4 ? 4u : 16u); i++) {
		unsigned keep = bits > i * 8 ? FL_MIN(bits - i * 8, 8u) : 0;

		v->ip.b[i] &= (uint8_t)(0xff00u >> keep);
	}
}

static void map_hash(const struct pol_node *n, struct pol_val *v)
{
	const struct pol_node *mod = n->list->next;
	uint8_t raw[8];
	uint64_t h;

	switch (v->type) {
	case POL_INT:
		for (unsigned i = 0; i < 8; i++)
			raw[i] = (uint8_t)((uint64_t)v->i >> (8 * i));
		h = fl_hash64(raw, 8, 0);
		break;
	case POL_IP:
		h = fl_hash64(v->ip.b, v->ip.family == AF_INET ? 4 : 16, 0);
		break;
	case POL_BOOL:
		raw[0] = v->b;
		h = fl_hash64(raw, 1, 0);
		break;
	default:
		h = fl_hash64(v->s.n ? v->s.p : "", v->s.n, 0);
	}
	v->type = POL_INT;
	v->i = (int64_t)(h >> 1);
	if (mod)
		v->i %= mod->val.i;
}

static int map_func(const struct pol_node *n, struct pol_val *v)
{
	switch (n->fn) {
	case POL_FN_LOWER:
	case POL_FN_UPPER:
		return map_case(v, n->fn == POL_FN_UPPER);
	case POL_FN_LEN:
		v->i = (int64_t)v->s.n;
		v->type = POL_INT;
		return 1;
	case POL_FN_CIDR:
		map_cidr(n, v);
		return 1;
	default:
		map_hash(n, v);
		return 1;
	}
}

/* A page of the operand, each value replaced; those that become nothing are left out. */
static int fill_mapped(const struct ev *ev, const struct pol_node *n, struct page *p)
{
	const struct pol_node *of = n->kind == N_SLICE ? n->a : n->list;
	unsigned kept = 0;
	int rc = page_fill(ev, of, p);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < p->n; i++) {
		struct pol_val v = p->v[i];

		rc = n->kind == N_SLICE ? map_slice(n, &v) : map_func(n, &v);
		if (rc < 0)
			return rc;
		if (rc)
			p->v[kept++] = v;
	}
	p->n = kept;
	return FL_OK;
}

static int fill_count(const struct ev *ev, const struct pol_node *n, struct page *p)
{
	int64_t count = 0;
	int rc;

	p->end = false;
	for (p->start = 0; !p->end; count += p->n) {
		rc = page_fill(ev, n->list, p);
		if (rc < 0)
			return rc;
	}
	p->v[0] = (struct pol_val){ .type = POL_INT, .i = count };
	p->n = 1;
	return FL_OK;
}

/* 1 = *out is the first value, 0 = there is none, negative = error */
static int first_value(const struct ev *ev, const struct pol_node *n, struct pol_val *out)
{
	struct page p = { .end = false };
	int rc;

	while (!p.end) {
		rc = page_fill(ev, n, &p);
		if (rc < 0)
			return rc;
		if (p.n) {
			*out = p.v[0];
			return 1;
		}
	}
	return 0;
}

static int fill_concat(const struct ev *ev, const struct pol_node *n, struct page *p)
{
	struct pol_val part[8];
	unsigned parts = 0;
	struct sb b;
	int rc;

	p->n = 0;
	p->end = true;
	/* the parts first: they may need scratch of their own */
	for (const struct pol_node *a = n->list; a; a = a->next) {
		rc = first_value(ev, a, &part[parts++]);
		if (rc <= 0)
			return rc;
	}
	sb_init(&b, scratch.mem + scratch.used, SCRATCH_BYTES - scratch.used);
	for (unsigned i = 0; i < parts; i++)
		pol_val_plain(&part[i], &b);
	if (b.over || !scratch_take(b.n))
		return FL_ELIMIT_;
	p->v[0] = (struct pol_val){ .type = POL_STR, .s = sb_get(&b) };
	p->n = 1;
	return FL_OK;
}

/* The next values of a node into *p (zeroed before the first); p->n may be 0 in the middle. */
static int page_fill(const struct ev *ev, const struct pol_node *n, struct page *p)
{
	switch (n->kind) {
	case N_CONST:
		return fill_const(n, p);
	case N_FIELD:
		return fill_field(ev, n, p);
	case N_SLICE:
		return fill_mapped(ev, n, p);
	case N_FUNC:
		if (n->fn == POL_FN_COUNT)
			return fill_count(ev, n, p);
		if (n->fn == POL_FN_CONCAT)
			return fill_concat(ev, n, p);
		return fill_mapped(ev, n, p);
	default:
		ASSERT(n->kind == N_FUNC);
		return FL_ESYNTAX_;
	}
}

/* --- tests --- */

static enum pol_result truth(bool b)
{
	return b ? POL_TRUE : POL_FALSE;
}

static bool equal(const struct pol_val *l, const struct pol_val *r, const struct pol_node *n)
{
	return n->b->kind == N_CIDR ? cidr_has(&n->b->cidr, l->ip) : pol_val_eq(l, r);
}

static bool ordered(unsigned op, const struct pol_val *l, const struct pol_val *r)
{
	int c = 0;

	if (!pol_val_cmp(l, r, &c))
		return false;
	switch (op) {
	case POL_OP_GT: return c > 0;
	case POL_OP_GE: return c >= 0;
	case POL_OP_LT: return c < 0;
	default:        return c <= 0;
	}
}

/* One value of the left side (and one of the right side, when there is one). */
static enum pol_result decide(const struct pol_node *n, const struct pol_val *l,
			      const struct pol_val *r)
{
	switch (n->op) {
	case POL_OP_EQ:
	case POL_OP_ALL_EQ:
		return truth(equal(l, r, n));
	case POL_OP_NE:
	case POL_OP_ANY_NE:
		return truth(!equal(l, r, n));
	case POL_OP_CONTAINS:
		return truth(str_find(l->s, r->s) >= 0);
	case POL_OP_STARTS:
		return truth(str_starts(l->s, r->s));
	case POL_OP_ENDS:
		return truth(str_ends(l->s, r->s));
	case POL_OP_MATCHES:
		return pol_regex_match(n->regex, l->s);
	case POL_OP_WILDCARD:
	case POL_OP_STRICT:
		return truth(pol_glob_match(n->b->val.s, l->s, n->op == POL_OP_WILDCARD));
	case POL_OP_IN:
		return truth(pol_set_has(n->set, l) != n->negated);
	case POL_OP_EXISTS:
		return POL_TRUE;
	default:
		return truth(ordered(n->op, l, r));
	}
}

/* Folds the decisions of all pairs: any = one is enough, all = there is one and none is false. */
struct fold {
	bool           all, seen, undef, done;
	enum pol_result result;
	struct pol_val value;         /* the last one looked at */
};

static void fold_add(struct fold *f, enum pol_result r, const struct pol_val *v)
{
	f->seen = true;
	f->value = *v;
	if (r == POL_UNDEF)
		f->undef = true;
	else if ((r == POL_TRUE) != f->all) {
		f->done = true;
		f->result = r;
	}
}

/* The value on the right, when it is always the same one: no pages then. */
static const struct pol_val *fixed_right(const struct pol_node *n, const struct pol_val *l)
{
	if (!n->b || n->op == POL_OP_MATCHES || n->b->kind == N_CIDR)
		return l;
	return n->b->kind == N_CONST ? &n->b->val : NULL;
}

static void fold_right(const struct ev *ev, const struct pol_node *n, const struct pol_val *l,
		       struct fold *f)
{
	const struct pol_val *r = fixed_right(n, l);
	size_t mark = scratch.used;
	struct page p = { .end = false };

	if (r) {
		fold_add(f, decide(n, l, r), l);
		return;
	}
	while (!p.end && !f->done) {
		scratch.used = mark;
		if (page_fill(ev, n->b, &p) < 0) {
			f->undef = true;
			return;
		}
		for (unsigned i = 0; i < p.n && !f->done; i++)
			fold_add(f, decide(n, l, &p.v[i]), l);
	}
}

static void fold_left(const struct ev *ev, const struct pol_node *n, struct fold *f)
{
	size_t mark = scratch.used;
	struct page p = { .end = false };

	while (!p.end && !f->done) {
		scratch.used = mark;
		if (page_fill(ev, n->a, &p) < 0) {
			f->undef = true;
			return;
		}
		for (unsigned i = 0; i < p.n && !f->done; i++)
			fold_right(ev, n, &p.v[i], f);
	}
}

static enum pol_result eval_test(const struct ev *ev, struct str src, const struct pol_node *n)
{
	struct fold f = { .all = n->quant == POL_Q_ALL };
	size_t mark = scratch.used;

	fold_left(ev, n, &f);
	if (!f.done)
		f.result = f.undef ? POL_UNDEF : truth(f.all && f.seen);
	if (ev->trace)
		ev->trace->leaf(ev->trace->ctx, str_n(src.p + n->off, n->len), f.result,
				f.seen ? &f.value : NULL);
	scratch.used = mark;
	return f.result;
}

static enum pol_result eval_node(const struct ev *ev, struct str src, const struct pol_node *n);

/* and: stop at false; or: stop at true */
static enum pol_result eval_list(const struct ev *ev, struct str src, const struct pol_node *n)
{
	enum pol_result stop = n->kind == N_AND ? POL_FALSE : POL_TRUE;
	enum pol_result all = n->kind == N_AND ? POL_TRUE : POL_FALSE;

	for (const struct pol_node *k = n->list; k; k = k->next) {
		enum pol_result r = eval_node(ev, src, k);

		if (r == stop)
			return r;
		if (r == POL_UNDEF)
			all = POL_UNDEF;
	}
	return all;
}

static enum pol_result eval_xor(const struct ev *ev, struct str src, const struct pol_node *n)
{
	bool odd = false;

	for (const struct pol_node *k = n->list; k; k = k->next) {
		enum pol_result r = eval_node(ev, src, k);

		if (r == POL_UNDEF)
			return POL_UNDEF;
		odd ^= r == POL_TRUE;
	}
	return truth(odd);
}

static enum pol_result eval_node(const struct ev *ev, struct str src, const struct pol_node *n)
{
	enum pol_result r;

	switch (n->kind) {
	case N_TRUE:
		return POL_TRUE;
	case N_FALSE:
		return POL_FALSE;
	case N_AND:
	case N_OR:
		return eval_list(ev, src, n);
	case N_XOR:
		return eval_xor(ev, src, n);
	case N_NOT:
		r = eval_node(ev, src, n->a);
		return r == POL_UNDEF ? r : truth(r == POL_FALSE);
	default:
		ASSERT(n->kind == N_TEST);
		return eval_test(ev, src, n);
	}
}

enum pol_result pol_eval(const struct pol_expr *e, const struct pol_facts *f,
			 const struct pol_trace *t)
{
	struct ev ev = { f, t };

	return eval_node(&ev, e->src, e->root);
}

void pol_value_text(const struct pol_node *n, const struct pol_facts *f, struct sb *b)
{
	struct ev ev = { f, NULL };
	size_t mark = scratch.used;
	struct pol_val v;

	if (first_value(&ev, n, &v) > 0)
		pol_val_plain(&v, b);
	scratch.used = mark;
}
