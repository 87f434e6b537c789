/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fmt.c - a configuration text in house form: one statement a line, tabs by depth, blanks around braces
 *
 * Works on the tokens of the lexer and on what stands between them, so a file that does not load yet can be
 * formatted, and what loads says the same afterwards. Kept as they are: comments, blanks between the words of
 * a line (people align them), `\` at the end of a line, strings, and the line breaks of expressions. Runs
 * of empty lines become one, none at the edges of a block.
 */
#include "config.h"

#include "conf/inside.h"

#define NEST_MAX 256

struct fmt {
	struct lex       lx;
	struct conf_diag *d;
	struct sb       *out;
	const char      *end;             /* behind the last token */
	struct conf_loc  where[NEST_MAX]; /* of the braces that are open */
	unsigned         depth;
	/* the line that is being written: nothing yet; a statement; one that is over, only a comment may follow */
	enum { LINE_EMPTY, LINE_OPEN, LINE_OVER } line;
	bool             gap;             /* an empty line was seen and may be due */
	bool             edge;            /* nothing was written since the last { */
	bool             closed;          /* nothing but its } stands on the line: the grammar wants an end now */
	unsigned         n_words;
	struct tok       word[3];         /* the last ones of the statement, newest last */
	bool             failed;
};

static void fail(struct fmt *f, struct conf_loc loc, const char *text)
{
	conf_error(f->d, loc, 1, NULL, "[E0103] %s", text);
	f->failed = true;
}

static void indent(struct fmt *f, unsigned depth)
{
	while (depth--)
		sb_ch(f->out, '\t');
}

static void end_line(struct fmt *f)
{
	if (f->line != LINE_EMPTY)
		sb_ch(f->out, '\n');
	f->line = LINE_EMPTY;
	f->n_words = 0;
}

static void begin_line(struct fmt *f)
{
	if (f->gap && !f->edge && f->out->n)
		sb_ch(f->out, '\n');
	indent(f, f->depth);
	f->gap = f->edge = false;
}

/* The blanks at the beginning of what stands between two tokens. */
static struct str blanks(struct str between)
{
	size_t n = 0;

	while (n < between.n && (between.p[n] == ' ' || between.p[n] == '\t'))
		n++;
	return str_n(between.p, n);
}

static void comment(struct fmt *f, struct str between)
{
	const char *hash = memchr(between.p, '#', between.n);
	struct str text = str_n(hash, (size_t)(between.p + between.n - hash)), lead = blanks(between);

	while (text.n && strchr(" \t\r", text.p[text.n - 1]))
		text.n--;
	if (f->line == LINE_EMPTY)
		begin_line(f);
	else if (lead.n && lead.p + lead.n == hash)
		sb_str(f->out, lead);
	else
		sb_ch(f->out, ' ');
	sb_str(f->out, text);
	f->line = LINE_OVER;
	f->edge = false;
}

/* Between two tokens of a statement. */
static void separate(struct fmt *f, struct str between)
{
	if (memchr(between.p, '\n', between.n)) {
		sb_c(f->out, " \\\n");
		indent(f, f->depth + 1);
	} else {
		sb_str(f->out, blanks(between));
	}
}

/* An expression may go over lines: they are indented, but for the inside of strings. */
static void put_expr(struct fmt *f, struct str s)
{
	char quote = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (quote ? c == quote : c == '"' || c == '`')
			quote = quote ? 0 : c;
		else if (!quote && c == '#' && i && strchr(" \t\n", s.p[i - 1]))
			while (i + 1 < s.n && s.p[i + 1] != '\n')
				sb_ch(f->out, s.p[i++]);
		c = s.p[i];
		if (quote == '"' && c == '\\' && i + 1 < s.n)
			sb_ch(f->out, s.p[i++]);
		if (quote || s.p[i] != '\n') {
			sb_ch(f->out, s.p[i]);
			continue;
		}
		while (f->out->n && strchr(" \t\r", f->out->p[f->out->n - 1]))
			f->out->n--;
		sb_ch(f->out, '\n');
		while (i + 1 < s.n && strchr(" \t\r\n", s.p[i + 1]))
			i++;
		indent(f, f->depth + (i + 1 < s.n && !strchr(")]}", s.p[i + 1])));
	}
}

static void expression(struct fmt *f)
{
	struct tok t;

	lex_expr(&f->lx, &t);
	if (t.kind == TK_BAD) {
		f->failed = true;
		return;
	}
	if (t.raw.n) {
		separate(f, str_n(f->end, (size_t)(t.raw.p - f->end)));
		put_expr(f, t.raw);
		f->end = t.raw.p + t.raw.n;
	}
}

/* As the parser sees it: a directive that takes an expression, a name, `when`. */
static bool expr_follows(const struct fmt *f)
{
	return f->n_words >= 3 && f->word[2].kind == TK_WORD && str_eq(f->word[2].raw, STR("when")) &&
	       f->word[0].kind == TK_WORD && sig_expr_directive(f->word[0].raw);
}

/* Putting it on a line of its own would make another text of it, one that means something. */
static bool stands_behind_block(struct fmt *f, const struct tok *t)
{
	if (!f->closed)
		return false;
	conf_error(f->d, t->loc, t->span, "the next statement begins on a new line or behind ;",
		   "[E0104] unexpected \"" STR_FMT "\" behind }", (int)FL_MIN(t->raw.n, (size_t)60), t->raw.p);
	f->failed = true;
	return true;
}

static void word(struct fmt *f, const struct tok *t, struct str between)
{
	if (stands_behind_block(f, t))
		return;
	if (f->line == LINE_OVER)
		end_line(f);
	if (f->line == LINE_EMPTY)
		begin_line(f);
	else
		separate(f, between);
	sb_str(f->out, t->raw);
	f->line = LINE_OPEN;
	f->word[0] = f->word[1];
	f->word[1] = f->word[2];
	f->word[2] = *t;
	f->n_words++;
	f->end = t->raw.p + t->raw.n;
	if (expr_follows(f))
		expression(f);
}

static void open_block(struct fmt *f, const struct tok *t)
{
	if (stands_behind_block(f, t))
		return;
	if (f->depth == NEST_MAX) {
		fail(f, t->loc, "nested too deeply");
		return;
	}
	if (f->line == LINE_OVER)
		end_line(f);
	if (f->line == LINE_EMPTY)
		begin_line(f);
	else
		sb_ch(f->out, ' ');
	sb_ch(f->out, '{');
	f->where[f->depth++] = t->loc;
	f->line = LINE_OVER;
	f->edge = true;
	f->gap = false;
	f->n_words = 0;
}

static void close_block(struct fmt *f, const struct tok *t)
{
	if (f->depth == 0) {
		fail(f, t->loc, "} without {");
		return;
	}
	f->depth--;
	f->gap = false;
	if (f->edge && f->line == LINE_OVER) {
		sb_c(f->out, " }");
	} else {
		end_line(f);
		begin_line(f);
		sb_ch(f->out, '}');
	}
	f->line = LINE_OVER;
	f->edge = false;
	f->closed = true;
	f->n_words = 0;
}

static void token(struct fmt *f, const struct tok *t)
{
	struct str between = str_n(f->end, (size_t)(t->raw.p - f->end));

	if (memchr(between.p, '#', between.n))
		comment(f, between);
	f->end = t->raw.p + t->raw.n;
	switch (t->kind) {
	case TK_NL:
		f->gap |= f->line == LINE_EMPTY;
		end_line(f);
		f->closed = false;
		break;
	case TK_SEMI:
		f->closed = false;
		if (f->line == LINE_OPEN)
			f->line = LINE_OVER;
		f->n_words = 0;
		break;
	case TK_LBRACE:
		open_block(f, t);
		break;
	case TK_RBRACE:
		close_block(f, t);
		break;
	case TK_BAD:
		f->failed = true;        /* the lexer has said it */
		break;
	case TK_EOF:
		end_line(f);
		if (f->depth)
			fail(f, f->where[f->depth - 1], "nothing closes this {");
		break;
	default:
		word(f, t, between);
		break;
	}
}

static void format(struct fmt *f, const char *name, struct str text)
{
	struct tok t;

	lex_init(&f->lx, f->d, name, text);
	f->end = f->lx.p;
	f->edge = true;
	do {
		lex_next(&f->lx, &t);
		token(f, &t);
	} while (!f->failed && t.kind != TK_EOF);
}

int conf_fmt(struct str text, const char *name, struct conf_diag *d, struct sb *out)
{
	struct conf_src *src = conf_src_text(name, text.p ? text : STR(""));
	struct fmt f = { .d = d, .out = out };

	if (!src)
		return FL_ENOMEM_;
	diag_set_src(d, src);            /* for the lines in messages */
	text = src_get(src, SRC_FILE, str_c(name))->data;
	f.failed = !lex_vet(d, name, text);
	if (!f.failed)
		format(&f, name, text);
	diag_set_src(d, NULL);
	conf_src_free(&src);
	return f.failed ? FL_ESYNTAX_ : 0;
}
