/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lex.c - text of an expression into tokens, and the state of one compilation
 *
 * A word is a run of letters, digits and _ . : / - ; it may be a field, a number, an address or
 * a byte string: who asks for it decides. Two dots end a word (10..20). Strings are "escaped",
 * `raw` or r"raw"; in the last, as in Wireshark, \" does not end the string and stays as it is.
 */
#include "config.h"

#include <stdarg.h>

#include "base/err.h"
#include "policy/expr.h"

void pol_ctx_init(struct pol_ctx *c, struct pool *p, struct str src,
		  const struct pol_compile_opts *o, struct pol_error *err)
{
	memset(c, 0, sizeof(*c));
	memset(err, 0, sizeof(*err));
	err->len = 1;
	c->pool = p;
	c->src = src;
	c->opts = o;
	c->err = err;
	c->tok.kind = TK_END;
	if (src.n > POL_SRC_MAX)
		pol_fail(c, POL_SRC_MAX, src.n - POL_SRC_MAX, "too long: at most %u bytes",
			 POL_SRC_MAX);
}

int pol_ctx_result(const struct pol_ctx *c)
{
	if (c->nomem)
		return FL_ENOMEM_;
	return c->failed ? FL_ESYNTAX_ : FL_OK;
}

void pol_fail(struct pol_ctx *c, size_t off, size_t len, const char *fmt, ...)
{
	struct sb b;
	va_list ap;

	if (c->failed)
		return;
	c->failed = true;
	c->err->off = off;
	c->err->len = len ? len : 1;
	sb_init(&b, c->err->text, sizeof(c->err->text));
	va_start(ap, fmt);
	sb_vfmt(&b, fmt, ap);
	va_end(ap);
}

void pol_hint(struct pol_ctx *c, const char *fmt, ...)
{
	struct sb b;
	va_list ap;

	if (c->err->hint[0])
		return;
	sb_init(&b, c->err->hint, sizeof(c->err->hint));
	va_start(ap, fmt);
	sb_vfmt(&b, fmt, ap);
	va_end(ap);
}

void *pol_mem(struct pol_ctx *c, size_t n)
{
	void *p = pool_zalloc(c->pool, n);

	if (!p) {
		c->nomem = true;
		pol_fail(c, 0, 1, "out of memory");
	}
	return p;
}

const char *pol_show(struct str s, char out[POL_SHOW_MAX])
{
	struct sb b;

	sb_init(&b, out, POL_SHOW_MAX);
	sb_escape(&b, s, 40);
	if (s.n > 40 && !b.over)
		sb_c(&b, "...");
	return out;
}

static bool is_space(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
}

static bool is_alnum(char ch)
{
	return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

static bool is_word(char ch)
{
	return is_alnum(ch) || ch == '_' || ch == '.' || ch == ':' || ch == '/' || ch == '-';
}

static bool starts_raw(struct str s, size_t at)
{
	return at + 1 < s.n && (s.p[at] == 'r' || s.p[at] == 'R') && s.p[at + 1] == '"';
}

/* The place after the closing quote, 0 when there is none. `at` is the opening quote. */
static size_t string_end(struct str s, size_t at)
{
	char quote = s.p[at];

	for (size_t i = at + 1; i < s.n; i++) {
		if (s.p[i] == quote)
			return i + 1;
		if (s.p[i] == '\\' && quote == '"')
			i++;
		else if (s.p[i] == '\n' && quote == '"')
			return 0;
	}
	return 0;
}

static enum pol_op op_of_word(struct str w)
{
	for (unsigned i = 1; i < POL_OP_EXISTS; i++)
		if ((*pol_op_rows[i].word && str_eq(w, str_c(pol_op_rows[i].word))) ||
		    (*pol_op_rows[i].other && str_eq(w, str_c(pol_op_rows[i].other))))
			return i;
	return POL_OP_NONE;
}

static enum pol_op op_of_symbol(struct str rest)
{
	for (unsigned i = 1; i < POL_OP_EXISTS; i++)
		if (*pol_op_rows[i].sym && str_starts(rest, str_c(pol_op_rows[i].sym)))
			return i;
	return POL_OP_NONE;
}

static enum pol_tok_kind single(char ch)
{
	switch (ch) {
	case '(': return TK_LPAREN;
	case ')': return TK_RPAREN;
	case '[': return TK_LBRACK;
	case ']': return TK_RBRACK;
	case '{': return TK_LBRACE;
	case '}': return TK_RBRACE;
	case ',': return TK_COMMA;
	default:  return TK_BAD;
	}
}

static struct pol_tok scan_word(struct str s, size_t at)
{
	struct pol_tok t = { .kind = TK_WORD, .off = at };
	size_t i = at;

	while (i < s.n && is_word(s.p[i]) && !(s.p[i] == '.' && i + 1 < s.n && s.p[i + 1] == '.'))
		i++;
	t.len = i - at;
	t.op = op_of_word(str_n(s.p + at, t.len));
	if (t.op)
		t.kind = TK_OP;
	return t;
}

/* The token at or after `at`. TK_BAD covers the bytes that fit nothing. */
static struct pol_tok scan(struct str s, size_t at)
{
	struct pol_tok t = { .kind = TK_END };
	struct str rest;
	size_t end;

	while (at < s.n && is_space(s.p[at]))
		at++;
	t.off = at;
	if (at >= s.n)
		return t;
	rest = str_n(s.p + at, s.n - at);
	if (rest.p[0] == '"' || rest.p[0] == '`' || starts_raw(s, at)) {
		end = string_end(s, starts_raw(s, at) ? at + 1 : at);
		t.kind = end ? TK_STRING : TK_BAD;
		t.len = end ? end - at : rest.n;
		return t;
	}
	t.kind = single(rest.p[0]);
	t.len = 1;
	if (t.kind != TK_BAD)
		return t;
	if (str_starts(rest, STR(".."))) {
		t.kind = TK_DOTDOT;
		t.len = 2;
		return t;
	}
	if (is_word(rest.p[0]))
		return scan_word(s, at);
	t.op = op_of_symbol(rest);
	if (t.op) {
		t.kind = TK_OP;
		t.len = strlen(pol_op_rows[t.op].sym);
	}
	return t;
}

static void fail_bad(struct pol_ctx *c, const struct pol_tok *t)
{
	char show[POL_SHOW_MAX], ch = c->src.p[t->off];

	if (ch == '"' || ch == '`' || starts_raw(c->src, t->off)) {
		pol_fail(c, t->off, 1, "string has no end");
		return;
	}
	pol_fail(c, t->off, 1, "unexpected character \"%s\"", pol_show(str_n(&ch, 1), show));
	if (ch == '=')
		pol_hint(c, "equality is ==");
	else if (ch == '&')
		pol_hint(c, "did you mean && (and)?");
	else if (ch == '|')
		pol_hint(c, "did you mean || (or)?");
	else if (ch == '\'')
		pol_hint(c, "text stands in \"double quotes\" or `backquotes`");
}

void pol_lex_next(struct pol_ctx *c)
{
	c->prev_end = c->tok.off + c->tok.len;
	if (c->failed) {
		c->tok = (struct pol_tok){ .kind = TK_END, .off = c->src.n };
		return;
	}
	c->tok = scan(c->src, c->pos);
	c->pos = c->tok.off + c->tok.len;
	if (c->tok.kind == TK_BAD) {
		fail_bad(c, &c->tok);
		c->tok.kind = TK_END;
	}
}

enum pol_tok_kind pol_lex_peek(struct pol_ctx *c)
{
	return scan(c->src, c->pos).kind;
}

static int hex(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* \ooo: up to three octal digits from s.p[at]; bytes taken, value in *out. 0: above 255. */
static size_t octal(struct str s, size_t at, unsigned *out)
{
	size_t i = at;

	*out = 0;
	while (i < s.n && i < at + 3 && s.p[i] >= '0' && s.p[i] <= '7')
		*out = *out * 8 + (unsigned)(s.p[i++] - '0');
	return *out > 255 ? 0 : i - at;
}

/* One escape; s.p[at] is the backslash. Source bytes taken, the byte in *out; 0: no such escape. */
static size_t escape(struct str s, size_t at, char *out)
{
	static const char from[] = "\"'\\abfnrtv", to[] = "\"'\\\a\b\f\n\r\t\v";
	const char *f;
	unsigned v;

	if (at + 1 >= s.n)
		return 0;
	if (s.p[at + 1] == 'x') {
		int hi = at + 2 < s.n ? hex(s.p[at + 2]) : -1;
		int lo = at + 3 < s.n ? hex(s.p[at + 3]) : -1;

		*out = (char)(hi * 16 + lo);
		return hi < 0 || lo < 0 ? 0 : 4;
	}
	if (s.p[at + 1] >= '0' && s.p[at + 1] <= '7') {
		size_t n = octal(s, at + 1, &v);

		*out = (char)v;
		return n ? n + 1 : 0;
	}
	f = s.p[at + 1] ? strchr(from, s.p[at + 1]) : NULL;
	if (!f)
		return 0;
	*out = to[f - from];
	return 2;
}

/* Text between the quotes as it stands in the source, and whether it has escapes. */
static struct str string_inner(struct str src, const struct pol_tok *t, bool *escaped)
{
	size_t skip = src.p[t->off] == '"' || src.p[t->off] == '`' ? 1 : 2;

	*escaped = src.p[t->off] == '"';
	return str_n(src.p + t->off + skip, t->len - skip - 1);
}

bool pol_lex_string(struct pol_ctx *c, const struct pol_tok *t, struct str *out)
{
	bool escaped;
	struct str in = string_inner(c->src, t, &escaped);
	size_t n = 0, took;
	char *to = pol_mem(c, in.n + 1);

	if (!to)
		return false;
	for (size_t i = 0; i < in.n; i += took) {
		took = 1;
		to[n] = in.p[i];
		if (escaped && in.p[i] == '\\') {
			took = escape(in, i, &to[n]);
			if (!took) {
				pol_fail(c, (size_t)(in.p - c->src.p) + i,
					 FL_MIN((size_t)2, in.n - i), "no such escape in a string");
				pol_hint(c, "write \\\\ for a backslash, or use r\"...\"");
				return false;
			}
		}
		n++;
	}
	*out = str_n(to, n);
	return true;
}

size_t pol_lex_string_place(struct str src, const struct pol_tok *t, size_t at)
{
	bool escaped;
	struct str in = string_inner(src, t, &escaped);
	size_t i = 0, took;
	char drop;

	for (size_t n = 0; i < in.n && n < at; n++, i += took) {
		took = 1;
		if (escaped && in.p[i] == '\\')
			took = escape(in, i, &drop);
	}
	return (size_t)(in.p - src.p) + i;
}
