/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diag.c - collects the mistakes of one load, sorted by place, and prints them for people or as
 * JSON
 *
 * The first twenty errors are kept and the rest counted: a broken brace must not scroll the one
 * message that matters off the screen. Columns count characters, so carets stand right below
 * UTF-8 text; tabs of the source line are repeated in the caret line for the same reason.
 */
#include "config.h"

#include "conf/inside.h"

#include "base/env.h"

#define SHOW_MAX 110      /* characters of a source line that are shown */

struct kept {
	struct conf_diag_msg m;
	unsigned             file_order;
};
struct conf_diag {
	struct pool           *pool;
	const struct conf_src *src;
	struct kept            kept[CONF_ERRORS_MAX + CONF_WARN_MAX];
	const char            *code;
	unsigned               n, n_err_kept, n_warn_kept, n_err, n_warn;
};

struct conf_diag *conf_diag_new(void)
{
	struct conf_diag *d = env_calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->pool = pool_new("conf-diag", 0);
	if (!d->pool) {
		env_free(d);
		return NULL;
	}
	return d;
}

void conf_diag_free(struct conf_diag **d)
{
	if (!*d)
		return;
	pool_free(&(*d)->pool);
	env_free(*d);
	*d = NULL;
}

void conf_diag_default(struct conf_diag *d, const char *digits)
{
	d->code = digits;
}

void diag_set_src(struct conf_diag *d, const struct conf_src *src)
{
	d->src = src;
}

bool diag_full(const struct conf_diag *d)
{
	return d->n_err_kept >= CONF_ERRORS_MAX;
}

static const char *find_line(struct conf_diag *d, struct conf_loc loc, unsigned *order)
{
	const struct src_entry *e;
	const char *p, *end, *nl;

	*order = 0;
	if (!d->src || !loc.file)
		return NULL;
	e = src_get(d->src, SRC_FILE, str_c(loc.file));
	if (!e)
		return NULL;
	*order = e->order;
	if (!loc.line)
		return NULL;             /* of the file as a whole */
	p = e->data.p;
	end = p + e->data.n;
	for (unsigned l = 1; l < loc.line; l++) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			return NULL;
		p++;
	}
	if (loc.line == 1 && end - p >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		p += 3;
	nl = memchr(p, '\n', (size_t)(end - p));
	if (!nl)
		nl = end;
	if (nl > p && nl[-1] == '\r')
		nl--;
	return pool_strndup(d->pool, p, (size_t)(nl - p));
}

/* Cuts "[E0101] " off the front; of several the last one knows best. */
static bool cut_code(struct str *text, struct str *code)
{
	if (text->n < 8 || text->p[0] != '[' || !strchr("EW", text->p[1]) || memcmp(text->p + 6, "] ", 2) != 0)
		return false;
	for (int i = 2; i < 6; i++)
		if (text->p[i] < '0' || text->p[i] > '9')
			return false;
	*code = str_n(text->p + 1, 5);
	*text = str_n(text->p + 8, text->n - 8);
	return true;
}

static void take_text(struct conf_diag *d, struct conf_diag_msg *m, struct str text)
{
	struct str code = STR_NULL;

	while (cut_code(&text, &code))
		;
	m->text = pool_strndup(d->pool, text.n ? text.p : "", text.n);
	if (code.n)
		m->code = pool_strndup(d->pool, code.p, code.n);
	else if (d->code)
		m->code = pool_fmt(d->pool, "%c%s", m->sev == CONF_ERROR ? 'E' : 'W', d->code);
}

static bool before(const struct kept *a, const struct kept *b)
{
	if (a->file_order != b->file_order)
		return a->file_order < b->file_order;
	if (a->m.loc.line != b->m.loc.line)
		return a->m.loc.line < b->m.loc.line;
	return a->m.loc.col < b->m.loc.col;
}

static void add(struct conf_diag *d, enum conf_sev sev, struct conf_loc loc, unsigned span,
		const char *hint, const char *fmt, va_list ap) FL_PRINTF(6, 0);
static void add(struct conf_diag *d, enum conf_sev sev, struct conf_loc loc, unsigned span,
		const char *hint, const char *fmt, va_list ap)
{
	struct kept k = { .m = { .sev = sev, .loc = loc, .span = span ? span : 1 } };
	unsigned at, *count = sev == CONF_ERROR ? &d->n_err_kept : &d->n_warn_kept;
	struct sb b;

	*(sev == CONF_ERROR ? &d->n_err : &d->n_warn) += 1;
	if (*count >= (sev == CONF_ERROR ? CONF_ERRORS_MAX : CONF_WARN_MAX))
		return;
	sb_init_heap(&b);
	sb_vfmt(&b, fmt, ap);
	take_text(d, &k.m, sb_get(&b));
	sb_free(&b);
	k.m.hint = hint && *hint ? pool_strndup(d->pool, hint, strlen(hint)) : NULL;
	k.m.src_line = find_line(d, loc, &k.file_order);
	if (!k.m.text)
		k.m.text = "out of memory";
	if (loc.file)
		k.m.loc.file = pool_strndup(d->pool, loc.file, strlen(loc.file));
	for (at = d->n; at > 0 && before(&k, &d->kept[at - 1]); at--)
		d->kept[at] = d->kept[at - 1];
	d->kept[at] = k;
	d->n++;
	*count += 1;
}

void conf_error(struct conf_diag *d, struct conf_loc loc, unsigned span, const char *hint,
		const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(d, CONF_ERROR, loc, span, hint, fmt, ap);
	va_end(ap);
}

void conf_warn(struct conf_diag *d, struct conf_loc loc, unsigned span, const char *hint,
	       const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(d, CONF_WARNING, loc, span, hint, fmt, ap);
	va_end(ap);
}

unsigned conf_diag_errors(const struct conf_diag *d) { return d->n_err; }
unsigned conf_diag_warnings(const struct conf_diag *d) { return d->n_warn; }
unsigned conf_diag_count(const struct conf_diag *d) { return d->n; }

const struct conf_diag_msg *conf_diag_get(const struct conf_diag *d, unsigned i)
{
	return i < d->n ? &d->kept[i].m : NULL;
}

/* ---------- printing ---------- */

/* Copies one character, harmless for a terminal; returns its bytes. */
static size_t show_char(struct sb *out, const char *p, size_t n)
{
	size_t len = lex_utf8((const unsigned char *)p, n);

	if (len == 0 || (len == 1 && *p != '\t' && ((unsigned char)*p < 0x20 || *p == 0x7f))) {
		sb_ch(out, '?');
		return 1;
	}
	if (len == 2 && (unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0) {
		sb_ch(out, '?');       /* C1 controls */
		return 2;
	}
	sb_add(out, p, len);
	return len;
}

static size_t skip_columns(const char *line, size_t n, unsigned cols)
{
	size_t at = 0;

	for (; cols && at < n; cols--) {
		size_t len = lex_utf8((const unsigned char *)line + at, n - at);

		at += len ? len : 1;
	}
	return at;
}

static void print_source(const struct conf_diag_msg *m, struct sb *out)
{
	size_t n = strlen(m->src_line), at;
	unsigned first =
		m->loc.col > SHOW_MAX - 30 ? m->loc.col - 40 : 1; /* column that is shown first */
	unsigned shown = 0, span, caret = m->loc.col;

	sb_fmt(out, "%3u | %s", m->loc.line, first > 1 ? "..." : "");
	for (at = skip_columns(m->src_line, n, first - 1); at < n && shown < SHOW_MAX; shown++)
		at += show_char(out, m->src_line + at, n - at);
	sb_fmt(out, "%s\n    | %s", at < n ? "..." : "", first > 1 ? "   " : "");
	at = skip_columns(m->src_line, n, first - 1);
	for (unsigned c = first; c < caret; c++) {
		sb_ch(out, at < n && m->src_line[at] == '\t' ? '\t' : ' ');
		at += skip_columns(m->src_line + at, n - at, 1);
	}
	sb_ch(out, '^');
	span = FL_MIN(m->span, (unsigned)SHOW_MAX);
	for (unsigned c = 1; c < span && (at += skip_columns(m->src_line + at, n - at, 1)) < n; c++)
		sb_ch(out, '~');
}

/* The first line of a hint stands behind the caret, further lines on their own. */
static void print_hint(const struct conf_diag_msg *m, struct sb *out)
{
	struct str rest = str_c(m->hint), line;
	bool caret = m->src_line != NULL;

	while (rest.n) {
		line = str_cut(&rest, '\n');
		if (caret)
			sb_ch(out, ' ');
		else
			sb_c(out, "    = ");
		sb_str(out, line);
		sb_ch(out, '\n');
		caret = false;
	}
}

static void print_text(const struct conf_diag_msg *m, struct sb *out)
{
	if (m->loc.file) {
		sb_c(out, m->loc.file);
		if (m->loc.line)
			sb_fmt(out, ":%u:%u", m->loc.line, m->loc.col);
		sb_c(out, ": ");
	}
	sb_fmt(out, "%s: %s", m->sev == CONF_ERROR ? "error" : "warning", m->text);
	if (m->code)
		sb_fmt(out, " [%s]", m->code);
	sb_ch(out, '\n');
	if (m->src_line && m->loc.line)
		print_source(m, out);
	if (m->hint)
		print_hint(m, out);
	else if (m->src_line)
		sb_ch(out, '\n');
}

static void print_json(const struct conf_diag_msg *m, struct sb *out)
{
	sb_fmt(out, "{\"severity\":\"%s\"", m->sev == CONF_ERROR ? "error" : "warning");
	if (m->loc.file) {
		sb_c(out, ",\"file\":");
		sb_json_str(out, str_c(m->loc.file));
		sb_fmt(out, ",\"line\":%u,\"column\":%u,\"span\":%u", m->loc.line, m->loc.col,
		       m->span);
	}
	if (m->code)
		sb_fmt(out, ",\"code\":\"%s\"", m->code);
	sb_c(out, ",\"text\":");
	sb_json_str(out, str_c(m->text));
	if (m->hint) {
		sb_c(out, ",\"hint\":");
		sb_json_str(out, str_c(m->hint));
	}
	if (m->src_line) {
		size_t n = strlen(m->src_line);

		sb_c(out, ",\"source\":");
		sb_json_str(out,
			    str_n(m->src_line, n > 1000 ? skip_columns(m->src_line, n, 500) : n));
	}
	sb_ch(out, '}');
}

void conf_diag_print(const struct conf_diag *d, struct sb *out, bool json)
{
	if (json) {
		sb_ch(out, '[');
		for (unsigned i = 0; i < d->n; i++) {
			sb_c(out, i ? ",\n" : "");
			print_json(&d->kept[i].m, out);
		}
		sb_c(out, "]\n");
		return;
	}
	for (unsigned i = 0; i < d->n; i++)
		print_text(&d->kept[i].m, out);
	if (d->n_err > d->n_err_kept)
		sb_fmt(out, "... and %u more error%s\n", d->n_err - d->n_err_kept,
		       d->n_err - d->n_err_kept == 1 ? "" : "s");
	if (d->n_warn > d->n_warn_kept)
		sb_fmt(out, "... and %u more warning%s\n", d->n_warn - d->n_warn_kept,
		       d->n_warn - d->n_warn_kept == 1 ? "" : "s");
}

/* ---------- did you mean ---------- */

void near_init(struct near *n, struct str want)
{
	/* a third of the letters may be wrong, never all of a short word */
	*n = (struct near){ .want = want, .max = want.n < 3 ? 1 : want.n < 6 ? 2 : 3 };
	n->dist = n->max + 1;
}

bool near_try(struct near *n, struct str word)
{
	unsigned dist;

	if (n->want.n >= 3 && n->dist > 1 && word.n > n->want.n && str_starts(word, n->want)) {
		n->dist = 1;                     /* an abbreviation */
		n->best = word;
		return true;
	}
	if (n->want.n > word.n + n->max || word.n > n->want.n + n->max || n->want.n > 64)
		return false;
	dist = str_distance(n->want, word, n->max);
	if (dist >= n->dist || dist >= word.n)
		return false;
	n->dist = dist;
	n->best = word;
	return true;
}
