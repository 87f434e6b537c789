/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fmt.c - re-indents a configuration text, keeping comments, line breaks and what it says
 *
 * Works on the text alone, so a file that does not load yet can be formatted. Each line is
 * indented by the brackets that are open where it begins; runs of empty lines become one. The
 * inside of `...` strings that span lines is not touched.
 */
#include "config.h"

#include "conf/inside.h"

#define NEST_MAX 256

struct fmt {
	struct conf_diag *d;
	const char       *name;
	char              open[NEST_MAX];
	struct conf_loc   where[NEST_MAX];
	unsigned          depth, line;
	char              quote;            /* in a string of this kind */
	struct conf_loc   quoted;
	bool              joined, failed;
};

static void fail(struct fmt *f, struct conf_loc loc, const char *text, char c)
{
	conf_error(f->d, loc, 1, NULL, "[E0103] %s%c%s", text, c, *text == 's' ? "" : "\"");
	f->failed = true;
}

static void bracket(struct fmt *f, char c, struct conf_loc loc)
{
	static const char opens[] = "{([", closes[] = "})]";
	const char *o = strchr(opens, c), *k = strchr(closes, c);

	if (o) {
		if (f->depth == NEST_MAX) {
			fail(f, loc, "nested too deeply at \"", c);
			return;
		}
		f->where[f->depth] = loc;
		f->open[f->depth++] = c;
	} else if (k) {
		if (f->depth == 0 || f->open[f->depth - 1] != opens[k - closes])
			fail(f, loc, "unexpected \"", c);
		else
			f->depth--;
	}
}

/* Within a word a quote is a letter, but in expressions strings stand close to what is before them.
 * */
static bool begins_string(struct str s, size_t i)
{
	if (i == 0)
		return true;
	return strchr("[(,=<>~!&|^", s.p[i - 1]) ||
	       (s.p[i - 1] == 'r' && (i == 1 || strchr(" \t(,{", s.p[i - 2])));
}

/* Takes note of what a line opens and closes. */
static void scan(struct fmt *f, struct str s)
{
	bool fresh = true, word = false;     /* a token may begin; within a plain word */

	for (size_t i = 0; i < s.n && !f->failed; i++) {
		struct conf_loc loc = { f->name, f->line, lex_columns(str_n(s.p, i)) + 1 };
		char c = s.p[i];

		if (f->quote) {
			if (f->quote == '"' && c == '\\')
				i++;
			else if (c == f->quote)
				f->quote = 0;
			fresh = word = false;
			continue;
		}
		if (c == '#' && fresh)
			return;
		if (c == '$' && i + 1 < s.n && s.p[i + 1] == '{') {
			while (i < s.n && s.p[i] != '}')
				i++;
			fresh = false;
			word = true;
			continue;
		}
		if ((c == '"' || c == '`') && (!word || begins_string(s, i))) {
			f->quote = c;
			f->quoted = loc;
			continue;
		}
		/* [ ] nest only where an expression may be: addresses have their own */
		if (strchr("{}()", c))
			bracket(f, c, loc);
		fresh = strchr(" \t{}();,", c) != NULL;
		word = !fresh;
	}
	if (f->quote == '"' && (s.n == 0 || s.p[s.n - 1] != '\\'))
		fail(f, f->quoted, "string without its closing ", '"');
}

static void fmt_line(struct fmt *f, struct str s, struct sb *out, bool *empty)
{
	bool in_raw = f->quote != 0;
	struct str body = s;
	unsigned depth;

	while (body.n && strchr(" \t\r", body.p[body.n - 1]))
		body.n--;
	while (!in_raw && body.n && (*body.p == ' ' || *body.p == '\t'))
		body = str_n(body.p + 1, body.n - 1);
	if (in_raw) {
		scan(f, s);
		if (f->quote)                        /* nothing of it is ours to change */
			body = s;
		sb_str(out, body);
	} else if (body.n == 0) {
		*empty = out->n > 0;
		f->joined = false;
		return;
	} else {
		if (*empty)
			sb_ch(out, '\n');
		depth = f->depth + f->joined;
		for (size_t i = 0; i < body.n && strchr("})", body.p[i]) && depth; i++)
			depth--;
		scan(f, body);
		while (depth--)
			sb_ch(out, '\t');
		sb_str(out, f->quote == '`' ? str_n(body.p, (size_t)(s.p + s.n - body.p)) : body);
	}
	f->joined = body.n && body.p[body.n - 1] == '\\';
	*empty = false;
	sb_ch(out, '\n');
}

int conf_fmt(struct str text, const char *name, struct conf_diag *d, struct sb *out)
{
	struct fmt f = { .d = d, .name = name, .line = 1 };
	bool empty = false;

	if (!text.p)
		text = STR("");
	if (!lex_vet(d, name, text))
		return FL_ESYNTAX_;
	if (str_starts(text, STR("\xef\xbb\xbf")))
		text = str_n(text.p + 3, text.n - 3);
	while (text.n && !f.failed) {
		fmt_line(&f, str_cut(&text, '\n'), out, &empty);
		f.line++;
	}
	if (!f.failed && f.quote)
		fail(&f, f.quoted, "string without its closing ", f.quote);
	if (!f.failed && f.depth)
		fail(&f, f.where[f.depth - 1], "nothing closes this \"", f.open[f.depth - 1]);
	return f.failed ? FL_ESYNTAX_ : 0;
}
