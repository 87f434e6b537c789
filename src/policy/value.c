/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.c - tokens into a tree: fields, names in brackets, slices, functions, literals
 *
 *   value = ( string | word | field | function "(" value { , value } ")" ) { slice }
 *   field = name | name ["key"] | kind ["object"] .name
 *   slice = [ piece { , piece } ]     piece: i  i:n  i-j  i:  :n     (negative: from the end)
 */
#include "config.h"

#include "policy/expr.h"

static struct str tok_text(const struct pol_ctx *c, const struct pol_tok *t)
{
	return str_n(c->src.p + t->off, t->len);
}

static bool planes_ok(struct pol_ctx *c, const struct pol_node *n)
{
	const struct pol_field_row *r = &pol_field_rows[n->field.f];
	unsigned missing = c->opts->planes & ~r->planes;
	char where[128];
	struct sb b;

	if (!missing)
		return true;
	sb_init(&b, where, sizeof(where));
	pol_planes_text(missing, &b);
	pol_fail(c, n->off, n->len, "field \"%s\" is not known at %s", r->name, where);
	sb_init(&b, where, sizeof(where));
	pol_planes_text(r->planes, &b);
	pol_hint(c, "it is known at %s", where);
	return false;
}

static bool finish_field(struct pol_ctx *c, struct pol_node *n)
{
	const struct pol_field_row *r = &pol_field_rows[n->field.f];

	n->type = (uint8_t)r->type;
	c->fields[n->field.f / 64] |= 1ULL << (n->field.f % 64);
	pol_node_close(c, n);
	return planes_ok(c, n);
}

/* kind["object"].name: the key names an object of the configuration. */
static bool object_field(struct pol_ctx *c, struct pol_node *n, const struct pol_tok *kind,
			 const struct pol_tok *key)
{
	struct str k = tok_text(c, kind), rest = tok_text(c, &c->tok);
	char show[POL_SHOW_MAX], z[32];
	char *full = pol_mem(c, k.n + rest.n + 1);
	unsigned f;

	if (!full)
		return false;
	memcpy(full, k.p, k.n);
	memcpy(full + k.n, rest.p, rest.n);
	f = pol_field_find(str_n(full, k.n + rest.n), true);
	if (f == POL_F__COUNT) {
		pol_fail_unknown(c, kind->off, c->tok.off + c->tok.len - kind->off,
				 str_n(full, k.n + rest.n));
		return false;
	}
	n->field.f = f;
	pol_lex_next(c);
	if (!finish_field(c, n))
		return false;
	if (!c->opts->resolve) {
		pol_fail(c, n->off, n->len, "the state of a %s cannot be asked here",
			 pol_show(k, show));
		return false;
	}
	if (k.n >= sizeof(z))
		return false;
	memcpy(z, k.p, k.n);
	z[k.n] = 0;
	n->field.obj = c->opts->resolve(c->opts->resolve_ctx, z, n->field.key);
	if (!n->field.obj) {
		pol_fail(c, key->off, key->len, "there is no %s \"%s\"", z,
			 pol_show(n->field.key, show));
		return false;
	}
	return true;
}

static bool key_ok(struct pol_ctx *c, const struct pol_tok *t, struct str key)
{
	if (key.n && key.n <= POL_KEY_MAX)
		return true;
	if (!key.n)
		pol_fail(c, t->off, t->len, "the name is empty");
	else
		pol_fail(c, t->off, t->len, "the name is too long: at most %u bytes", POL_KEY_MAX);
	return false;
}

/* name["key"]; c->tok is the bracket. */
static struct pol_node *keyed_field(struct pol_ctx *c, struct pol_tok name)
{
	struct pol_node *n = pol_node_new(c, N_FIELD, name.off);
	struct str w = tok_text(c, &name);
	struct pol_tok key;
	unsigned f;

	pol_lex_next(c);
	key = c->tok;
	if (!n || !pol_lex_string(c, &key, &n->field.key) || !key_ok(c, &key, n->field.key))
		return NULL;
	pol_lex_next(c);
	if (!pol_expect(c, TK_RBRACK, "]"))
		return NULL;
	if (c->tok.kind == TK_WORD && c->tok.off == c->prev_end && c->src.p[c->tok.off] == '.')
		return object_field(c, n, &name, &key) ? n : NULL;
	f = pol_field_find(w, false);
	if (f == POL_F__COUNT) {
		pol_fail_unknown(c, name.off, name.len, w);
		return NULL;
	}
	if (!pol_field_rows[f].needs_key) {
		pol_fail(c, key.off, key.len, "field \"%s\" takes no name in brackets",
			 pol_field_rows[f].name);
		return NULL;
	}
	n->field.f = f;
	return finish_field(c, n) ? n : NULL;
}

/* A word: a field, else a literal whose type comes from the other side. */
static struct pol_node *plain_word(struct pol_ctx *c, struct pol_tok name)
{
	struct str w = tok_text(c, &name);
	unsigned f = pol_field_find(w, false);
	struct pol_node *n;

	n = pol_node_new(c, f == POL_F__COUNT ? N_WORD : N_FIELD, name.off);
	if (!n)
		return NULL;
	if (f == POL_F__COUNT) {
		n->len = (uint32_t)name.len;
		return n;
	}
	if (pol_field_rows[f].needs_key) {
		pol_fail(c, name.off, name.len, "field \"%s\" needs a name in brackets",
			 pol_field_rows[f].name);
		pol_hint(c, "write %s[\"name\"]", pol_field_rows[f].name);
		return NULL;
	}
	n->field.f = f;
	return finish_field(c, n) ? n : NULL;
}

static struct pol_node *function(struct pol_ctx *c, struct pol_tok name)
{
	struct str w = tok_text(c, &name);
	struct pol_node *n = pol_node_new(c, N_FUNC, name.off), **tail;
	char show[POL_SHOW_MAX];
	const char *near;
	unsigned fn = 0, args = 0;

	while (fn < POL_FN__COUNT && !str_eq(w, str_c(pol_fn_rows[fn].name)))
		fn++;
	if (fn == POL_FN__COUNT) {
		near = pol_fn_near(w);
		pol_fail(c, name.off, name.len, "unknown function \"%s\"", pol_show(w, show));
		if (near)
			pol_hint(c, "did you mean \"%s\"?", near);
		return NULL;
	}
	if (!n || !pol_enter(c, name.off))
		return NULL;
	n->fn = (uint8_t)fn;
	n->type = (uint8_t)pol_fn_rows[fn].result;
	tail = &n->list;
	do {
		pol_lex_next(c);
		if (!args && c->tok.kind == TK_RPAREN)
			break;
		*tail = pol_parse_value(c);
		if (!*tail)
			return NULL;
		tail = &(*tail)->next;
		args++;
	} while (c->tok.kind == TK_COMMA);
	c->depth--;
	if (!pol_expect(c, TK_RPAREN, "a comma or )"))
		return NULL;
	pol_node_close(c, n);
	if (args < pol_fn_rows[fn].min || args > pol_fn_rows[fn].max) {
		pol_fail(c, n->off, n->len, "%s() was given %u argument%s", pol_fn_rows[fn].name,
			 args, args == 1 ? "" : "s");
		pol_hint(c, "write %s", pol_fn_rows[fn].use);
		return NULL;
	}
	return n;
}

/* [-]digits from w at *i; false when there is none or it is absurd. */
static bool place(struct str w, size_t *i, int32_t *out)
{
	bool minus = *i < w.n && w.p[*i] == '-';
	size_t from;
	int32_t v = 0;

	*i += minus;
	from = *i;
	while (*i < w.n && w.p[*i] >= '0' && w.p[*i] <= '9' && *i - from < 7)
		v = v * 10 + (w.p[(*i)++] - '0');
	*out = minus ? -v : v;
	return *i > from;
}

static bool piece_read(struct str w, struct pol_piece *p)
{
	size_t i = 0;

	memset(p, 0, sizeof(*p));
	if (w.p[0] == ':') {
		i = 1;
		return place(w, &i, &p->last) && i == w.n && p->last > 0;
	}
	if (!place(w, &i, &p->start))
		return false;
	p->last = 1;
	if (i == w.n)
		return true;
	if (w.p[i] == ':' && i + 1 == w.n) {
		p->to_end = true;
		return true;
	}
	p->to_place = w.p[i] == '-';
	if (w.p[i] != ':' && w.p[i] != '-')
		return false;
	i++;
	if (!place(w, &i, &p->last) || i != w.n)
		return false;
	/* a range whose two ends count from the same side must not be empty */
	if (p->to_place)
		return (p->start < 0) != (p->last < 0) || p->start <= p->last;
	return p->last > 0;
}

/* [ pieces ]; c->tok is the bracket. */
static struct pol_node *slice(struct pol_ctx *c, struct pol_node *of)
{
	struct pol_node *n = pol_node_new(c, N_SLICE, of->off);
	char show[POL_SHOW_MAX];

	if (!n)
		return NULL;
	n->a = of;
	n->slice.piece = pol_mem(c, POL_SLICE_MAX * sizeof(struct pol_piece));
	if (!n->slice.piece)
		return NULL;
	do {
		pol_lex_next(c);
		if (c->failed)
			return NULL;
		if (c->tok.kind != TK_WORD ||
		    !piece_read(tok_text(c, &c->tok), &n->slice.piece[n->slice.n])) {
			pol_fail(c, c->tok.off, c->tok.len, "\"%s\" is not a slice",
				 pol_show(tok_text(c, &c->tok), show));
			pol_hint(c, "[start:length], [first-last], [place], [:length], [start:]");
			return NULL;
		}
		n->slice.n++;
		pol_lex_next(c);
	} while (c->tok.kind == TK_COMMA && n->slice.n < POL_SLICE_MAX);
	if (!pol_expect(c, TK_RBRACK, "]"))
		return NULL;
	pol_node_close(c, n);
	return n;
}

static struct pol_node *parse_string(struct pol_ctx *c)
{
	struct pol_node *n = pol_node_new(c, N_CONST, c->tok.off);

	if (!n || !pol_lex_string(c, &c->tok, &n->val.s))
		return NULL;
	n->type = POL_STR;
	n->val.type = POL_STR;
	n->quoted = true;
	pol_lex_next(c);
	pol_node_close(c, n);
	return n;
}

static struct pol_node *parse_word(struct pol_ctx *c)
{
	struct pol_tok name = c->tok;
	bool keyed;

	keyed = pol_lex_peek(c) == TK_LBRACK;
	pol_lex_next(c);
	if (c->failed)
		return NULL;
	if (c->tok.kind == TK_LPAREN)
		return function(c, name);
	if (keyed && pol_lex_peek(c) == TK_STRING)
		return keyed_field(c, name);
	if (keyed && pol_lex_peek(c) == TK_BAD) {
		pol_lex_next(c);
		return NULL;
	}
	if (keyed && pol_field_find(tok_text(c, &name), false) == POL_F__COUNT &&
	    pol_looks_like_field(tok_text(c, &name))) {
		pol_fail_unknown(c, name.off, name.len, tok_text(c, &name));
		return NULL;
	}
	return plain_word(c, name);
}

struct pol_node *pol_parse_value(struct pol_ctx *c)
{
	struct pol_node *n;
	char show[POL_SHOW_MAX];
	size_t depth = c->depth;

	if (c->failed)
		return NULL;
	if (c->tok.kind == TK_STRING) {
		n = parse_string(c);
	} else if (c->tok.kind == TK_WORD) {
		n = parse_word(c);
	} else {
		if (c->tok.kind == TK_END)
			pol_fail(c, c->tok.off, 1, "a field or value expected at the end");
		else
			pol_fail(c, c->tok.off, c->tok.len, "a field or value expected, not \"%s\"",
				 pol_show(tok_text(c, &c->tok), show));
		return NULL;
	}
	while (n && c->tok.kind == TK_LBRACK) {
		if (!pol_enter(c, c->tok.off))
			return NULL;
		n = slice(c, n);
	}
	c->depth = (unsigned)depth;
	return c->failed ? NULL : n;
}
