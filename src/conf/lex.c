/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lex.c - bytes to tokens
 *
 * A token is a run of non-space except { } ( ) ; , # with ${...} taken as part of it, or a string
 * in "..." (escapes) or `...` (raw, may span lines). Newlines are tokens: they end statements.
 * A backslash at the end of a line makes the newline a blank. `#` begins a comment only where a
 * token could begin; within a word it is refused, so that nobody loses half a URI to it.
 * Expressions are not cut into tokens here: lex_expr() finds where one ends and policy/ reads it.
 */
#include "config.h"

#include "conf/inside.h"

void lex_init(struct lex *lx, struct conf_diag *d, const char *file, struct str text)
{
	*lx = (struct lex){
		.d = d, .file = file, .p = text.p, .end = text.p + text.n, .line = 1, .col = 1
	};
	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		lx->p += 3;
}

size_t lex_utf8(const unsigned char *p, size_t n)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	/* RFC 3629 section 4: no overlong forms, no surrogates, nothing above U+10FFFF */
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

unsigned lex_columns(struct str s)
{
	unsigned n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static bool bad_byte(struct conf_diag *d, struct conf_loc loc, const unsigned char *p, size_t n)
{
	size_t len = lex_utf8(p, n);

	if (len == 0)
		conf_error(d, loc, 1, "files are UTF-8; a string may say any byte as \\xHH",
			   "[E0105] byte 0x%02x is not UTF-8", p[0]);
	else if (p[0] == '\0')
		conf_error(d, loc, 1, "is this a text file?", "[E0105] NUL byte");
	else if ((p[0] < 0x20 && p[0] != '\t' && !(p[0] == '\r' && n > 1 && p[1] == '\n')) ||
		 p[0] == 0x7f)
		conf_error(d, loc, 1, NULL, "[E0105] control character 0x%02x", p[0]);
	else
		return false;
	return true;
}

bool lex_vet(struct conf_diag *d, const char *file, struct str text)
{
	const unsigned char *p = (const unsigned char *)text.p, *end = p + text.n, *line = p;
	struct conf_loc loc = { file, 1, 1 };
	bool good = true, long_said = false;

	if (text.n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		line = p += 3;
	while (p < end) {
		if (*p == '\n') {
			line = ++p;
			loc.line++;
			loc.col = 1;
			long_said = false;
			continue;
		}
		if (bad_byte(d, loc, p, (size_t)(end - p)))
			return false;
		if ((size_t)(p - line) >= CONF_LINE_MAX && !long_said) {
			conf_error(d, (struct conf_loc){ file, loc.line, 1 }, 1, NULL,
				   "[E0105] line is longer than %u bytes", CONF_LINE_MAX);
			good = false;
			long_said = true;
		}
		p += lex_utf8(p, (size_t)(end - p));
		loc.col++;
	}
	return good;
}

/* Steps over one byte, keeping the place. */
static void step(struct lex *lx)
{
	unsigned char c = (unsigned char)*lx->p++;

	if (c == '\n') {
		lx->line++;
		lx->col = 1;
	} else if ((c & 0xc0) != 0x80) {
		lx->col++;
	}
}

static int at(const struct lex *lx, size_t i)
{
	return (size_t)(lx->end - lx->p) > i ? (unsigned char)lx->p[i] : -1;
}

/* Bytes of a backslash-newline at p[i], 0 if there is none. */
static size_t joins(const struct lex *lx, size_t i)
{
	if (at(lx, i) != '\\')
		return 0;
	return at(lx, i + 1) == '\n' ? 2 : at(lx, i + 1) == '\r' && at(lx, i + 2) == '\n' ? 3 : 0;
}

static bool blank(int c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool skip_blanks(struct lex *lx)
{
	const char *from = lx->p;
	size_t n;

	for (;;) {
		if (blank(at(lx, 0)))
			step(lx);
		else if ((n = joins(lx, 0)) > 0)
			while (n--)
				step(lx);
		else if (at(lx, 0) == '#' && (lx->p > from || !lx->touching))
			while (at(lx, 0) != '\n' && at(lx, 0) != -1)
				step(lx);
		else
			break;
	}
	return lx->p > from;
}

static void start(const struct lex *lx, struct tok *t, enum tok_kind kind)
{
	*t = (struct tok){ .kind = kind,
			   .loc = { lx->file, lx->line, lx->col },
			   .raw = { lx->p, 0 } };
}

static void finish(const struct lex *lx, struct tok *t)
{
	const char *nl;

	t->raw.n = (size_t)(lx->p - t->raw.p);
	nl = memchr(t->raw.p, '\n', t->raw.n);
	t->span = lex_columns(nl ? str_n(t->raw.p, (size_t)(nl - t->raw.p)) : t->raw);
	if (!t->span)
		t->span = 1;
}

static void skip_line(struct lex *lx)
{
	while (at(lx, 0) != '\n' && at(lx, 0) != -1)
		step(lx);
}

/* Over a string; false (reported) when it does not end. A "..." string stays on its line unless a
 * backslash stands before the newline. */
static bool over_string(struct lex *lx)
{
	struct conf_loc loc = { lx->file, lx->line, lx->col };
	const struct lex opened = *lx;
	char quote = *lx->p;

	step(lx);
	while (at(lx, 0) != quote) {
		size_t n = quote == '"' ? joins(lx, 0) : 0;

		if (at(lx, 0) == -1 || (quote == '"' && at(lx, 0) == '\n')) {
			*lx = opened;
			conf_error(lx->d, loc, 1,
				   quote == '"' ? "strings over several lines are written in `...`"
						: NULL,
				   "[E0105] string without its closing %c", quote);
			skip_line(lx);
			return false;
		}
		if (n == 0 && quote == '"' && at(lx, 0) == '\\' && at(lx, 1) != -1 &&
		    at(lx, 1) != '\n')
			n = 2;
		for (n = n ? n : 1; n; n--)
			step(lx);
	}
	step(lx);
	return true;
}

static bool over_word(struct lex *lx)
{
	while (at(lx, 0) != -1 && !blank(at(lx, 0)) && at(lx, 0) != '\n' && !joins(lx, 0)) {
		if (strchr("{}();,", at(lx, 0)))
			break;
		if (at(lx, 0) == '#') {
			conf_error(lx->d, (struct conf_loc){ lx->file, lx->line, lx->col }, 1,
				   "put a blank before a comment, or the word in quotes",
				   "[E0105] \"#\" within a word");
			skip_line(lx);
			return false;
		}
		if (at(lx, 0) == '$' && at(lx, 1) == '{') {
			struct conf_loc loc = { lx->file, lx->line, lx->col };

			while (at(lx, 0) != '}') {
				if (at(lx, 0) == '\n' || at(lx, 0) == -1) {
					conf_error(lx->d, loc, 2, NULL,
						   "[E0106] \"${\" without its closing }");
					return false;
				}
				step(lx);
			}
		}
		step(lx);
	}
	return true;
}

void lex_next(struct lex *lx, struct tok *t)
{
	static const struct { char c; enum tok_kind kind; } marks[] = {
		{ '\n', TK_NL }, { ';', TK_SEMI }, { '{', TK_LBRACE }, { '}', TK_RBRACE },
		{ '(', TK_LPAREN }, { ')', TK_RPAREN }, { ',', TK_COMMA },
	};
	bool apart = skip_blanks(lx) || !lx->touching;
	int c = at(lx, 0);

	start(lx, t, TK_EOF);
	t->span = 1;
	lx->touching = false;
	if (c == -1)
		return;
	for (size_t i = 0; i < FL_ARRAY_LEN(marks); i++)
		if (c == marks[i].c) {
			t->kind = marks[i].kind;
			step(lx);
			finish(lx, t);
			return;
		}
	if (!apart) {
		conf_error(lx->d, t->loc, 1, NULL, "[E0105] a blank is missing behind the string");
		skip_line(lx);
		t->kind = TK_BAD;
	} else if (c == '"' || c == '`') {
		t->kind = over_string(lx) ? c == '"' ? TK_STRING : TK_RAW : TK_BAD;
		lx->touching = t->kind != TK_BAD;
	} else {
		t->kind = over_word(lx) ? TK_WORD : TK_BAD;
	}
	finish(lx, t);
}

/* ---------- expressions ---------- */

struct expr_scan {
	struct lex     *lx;
	unsigned        depth;
	char            open[64];             /* ( [ { not closed yet, innermost last */
	struct conf_loc where[64];
	const char *last; /* behind the last byte that is not blank or comment */
	bool            fresh;                /* a token could begin here */
	bool            at_in;                /* the last token was `in` */
};

static bool word_byte(int c)
{
	return c == '_' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

static bool expr_fail(struct expr_scan *s, struct conf_loc loc, const char *hint, const char *what)
{
	conf_error(s->lx->d, loc, 1, hint, "[E0105] %s", what);
	return false;
}

static bool expr_open(struct expr_scan *s, char c)
{
	struct conf_loc loc = { s->lx->file, s->lx->line, s->lx->col };

	if (s->depth == sizeof(s->open))
		return expr_fail(s, loc, NULL, "expression is nested too deeply");
	s->where[s->depth] = loc;
	s->open[s->depth++] = c;
	return true;
}

static bool expr_unclosed(struct expr_scan *s)
{
	conf_error(s->lx->d, s->where[s->depth - 1], 1, NULL, "[E0103] \"%c\" is not closed",
		   s->open[s->depth - 1]);
	return false;
}

/* One closing bracket: true when it belongs to the expression. *end: it ends it instead. */
static bool expr_close(struct expr_scan *s, char c, bool *end)
{
	char want = c == ')' ? '(' : c == ']' ? '[' : '{';
	struct conf_loc loc = { s->lx->file, s->lx->line, s->lx->col };

	if (s->depth && s->open[s->depth - 1] == want) {
		s->depth--;
		return true;
	}
	if (s->depth == 0 && c == '}') {
		*end = true;
		return true;
	}
	if (s->depth)
		return expr_unclosed(s);
	return expr_fail(s, loc, NULL, c == ')' ? "\")\" without \"(\"" : "\"]\" without \"[\"");
}

/* One step of the scan: false when reported, *end at the end. */
static bool expr_step(struct expr_scan *s, bool *end)
{
	struct lex *lx = s->lx;
	int c = at(lx, 0);
	size_t n = joins(lx, 0);
	bool in = s->at_in;

	if (c == -1 || (s->depth == 0 && (c == '\n' || c == ';'))) {
		*end = true;
		return s->depth == 0 || expr_unclosed(s);
	}
	if (blank(c) || c == '\n' || n) {
		for (n = n ? n : 1; n; n--)
			step(lx);
		s->fresh = true;
		return true;
	}
	if (c == '#' && s->fresh) {
		skip_line(lx);
		return true;
	}
	s->at_in = false;
	s->fresh = strchr("([{,", c) != NULL;
	if (c == '"' || c == '`')
		return over_string(lx);
	if (c == '(' || c == '[' || (c == '{' && in)) {
		if (!expr_open(s, (char)c))
			return false;
	} else if (c == '$' && at(lx, 1) == '{') {
		while (at(lx, 0) != '}' && at(lx, 0) != '\n' && at(lx, 0) != -1)
			step(lx);
		if (at(lx, 0) != '}')
			return expr_fail(s, (struct conf_loc){ lx->file, lx->line, lx->col }, NULL,
					 "[E0106] \"${\" without its closing }");
	} else if (c == '{') {
		*end = true;
		return s->depth == 0 || expr_unclosed(s);
	} else if (c == ')' || c == ']' || c == '}') {
		if (!expr_close(s, (char)c, end) || *end)
			return *end;
	} else if (word_byte(c)) {
		const char *from = lx->p;

		while (word_byte(at(lx, 0)))
			step(lx);
		s->at_in = lx->p - from == 2 && memcmp(from, "in", 2) == 0;
		return true;
	}
	step(lx);
	return true;
}

void lex_expr(struct lex *lx, struct tok *t)
{
	struct expr_scan s = { .lx = lx, .fresh = true };
	bool end = false;

	skip_blanks(lx);
	start(lx, t, TK_EXPR);
	lx->touching = false;
	while (!end) {
		const char *from = lx->p;
		bool skipped = lx->p < lx->end && (blank(*from) || *from == '\n' || *from == '\\' ||
						   (*from == '#' && s.fresh));

		if (!expr_step(&s, &end)) {
			/* go on behind this statement's head as well as can be guessed */
			while (at(lx, 0) != -1 && at(lx, 0) != '\n' && at(lx, 0) != '{' &&
			       at(lx, 0) != '}')
				step(lx);
			t->kind = TK_BAD;
			break;
		}
		if (!skipped && !end)
			s.last = lx->p;
	}
	finish(lx, t);
	if (t->kind != TK_BAD)       /* blanks and a comment before the end are not part of it */
		t->raw.n = s.last ? (size_t)(s.last - t->raw.p) : 0;
	if (!memchr(t->raw.p, '\n', t->raw.n))
		t->span = FL_MAX(lex_columns(t->raw), 1u);
}

struct conf_loc lex_locate(const struct tok *t, size_t off)
{
	struct conf_loc loc = t->loc;

	for (size_t i = 0; i < off && i < t->raw.n; i++) {
		if (t->raw.p[i] == '\n') {
			loc.line++;
			loc.col = 1;
		} else if (((unsigned char)t->raw.p[i] & 0xc0) != 0x80) {
			loc.col++;
		}
	}
	return loc;
}
