/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sig.c - the signatures of tbl/directives.def as small matchers
 *
 * The mini language is described at the top of the table. A signature is compiled once, at first
 * use; a row that cannot be compiled is a bug in the table. Matching tries every alternative: of
 * those that fit, the one that recognised most fixed words wins (so `off` is the word, not a path);
 * of those that do not, the ones that came furthest say what was expected.
 */
#include "config.h"

#include "conf/inside.h"

static struct sig sigs[D__COUNT];
static struct map *names[32];         /* by bit of the context: name -> row */
static bool        ready;

/* ---------- compiling ---------- */

static const struct { const char *name; enum conf_type type;
} type_names[] = {
	{ "name", CV_NAME }, { "word", CV_WORD },         { "string", CV_STRING },
	{ "path", CV_PATH }, { "addr", CV_ADDR },         { "hostport", CV_HOSTPORT },
	{ "time", CV_TIME }, { "size", CV_SIZE },         { "count", CV_COUNT },
	{ "rate", CV_RATE }, { "bool", CV_BOOL },         { "cidr", CV_CIDR },
	{ "expr", CV_EXPR }, { "template", CV_TEMPLATE }, { "regex", CV_REGEX },
	{ "enum", CV_ENUM }, { "ref", CV_REF },
};

static enum tbl_dir kind_of(struct str name)
{
	for (unsigned i = 1; i < D__COUNT; i++)
		if ((tbl_dirs[i].flags & DF_OBJ) && str_eq(name, str_c(tbl_dirs[i].name)))
			return (enum tbl_dir)i;
	ASSERT(false && "ref() of an unknown kind");
	return D__NONE;
}

static void compile_arg(struct sig_el *el, struct str arg)
{
	uint64_t port;

	switch (el->type) {
	case CV_ENUM:
		while (arg.n) {
			ASSERT(el->n_words < SIG_WORDS);
			el->words[el->n_words++] = str_cut(&arg, '|');
		}
		break;
	case CV_REF:
		el->ref = kind_of(arg);
		break;
	case CV_ADDR:
		ASSERT(str_u64(arg, &port) && port < 65536);
		el->port = (int)port;
		break;
	default:
		ASSERT(false && "type takes no argument in brackets");
	}
}

/* One element at the front of *s. */
static void compile_el(struct sig_el *el, struct str *s)
{
	size_t n = 0;

	*el = (struct sig_el){ .port = -1 };
	if (s->p[0] == '\'') {
		el->type = CV_LITERAL;
		*s = str_n(s->p + 1, s->n - 1);
		el->words[el->n_words++] = str_cut(s, '\'');
	} else {
		bool known = false;

		while (n < s->n && s->p[n] >= 'a' && s->p[n] <= 'z')
			n++;
		for (size_t i = 0; i < FL_ARRAY_LEN(type_names); i++)
			if (str_eq(str_n(s->p, n), str_c(type_names[i].name))) {
				el->type = type_names[i].type;
				known = true;
			}
		ASSERT(known);
		*s = str_n(s->p + n, s->n - n);
		if (s->n && s->p[0] == '(') {
			*s = str_n(s->p + 1, s->n - 1);
			compile_arg(el, str_cut(s, ')'));
		}
	}
	if (str_starts(*s, STR("..."))) {
		el->repeat = true;
		*s = str_n(s->p + 3, s->n - 3);
	}
}

static void compile_alt(struct sig *sig, struct str *s)
{
	struct sig_alt *a = &sig->alt[sig->n++];
	unsigned opened = 0;
	bool in_group = false;

	for (;;) {
		*s = str_trim(*s);
		if (s->n == 0 || s->p[0] == '|')
			break;
		if (s->p[0] == '[') {
			in_group = true;
			opened = a->n;
			*s = str_n(s->p + 1, s->n - 1);
		} else if (s->p[0] == ']') {
			in_group = false;
			a->el[opened].opt_n = a->n - opened;
			*s = str_n(s->p + 1, s->n - 1);
		} else {
			ASSERT(a->n < SIG_ELS);
			compile_el(&a->el[a->n], s);
			sig->has_expr |= a->el[a->n++].type == CV_EXPR;
		}
	}
	ASSERT(!in_group);
}

static void compile(struct sig *sig, struct str s)
{
	do {
		ASSERT(sig->n < SIG_ALTS);
		compile_alt(sig, &s);
		if (s.n)
			s = str_n(s.p + 1, s.n - 1);    /* the bar */
	} while (s.n);
}

static void make_ready(void)
{
	if (ready)
		return;
	ready = true;
	for (unsigned i = 1; i < D__COUNT; i++) {
		compile(&sigs[i], str_c(tbl_dirs[i].sig));
		for (unsigned c = 0; c < FL_ARRAY_LEN(names); c++) {
			if (!(tbl_dirs[i].ctx & 1u << c))
				continue;
			if (!names[c])
				names[c] = map_new(NULL, false);
			ASSERT(names[c] &&
			       !map_add(names[c], str_c(tbl_dirs[i].name), (void *)&tbl_dirs[i]));
		}
	}
}

const struct sig *sig_of(enum tbl_dir id)
{
	make_ready();
	return &sigs[id];
}

const struct tbl_dir_row *sig_lookup(enum tbl_ctx ctx, struct str name)
{
	make_ready();
	for (unsigned c = 0; c < FL_ARRAY_LEN(names); c++)
		if (ctx == 1u << c)
			return names[c] ? map_get(names[c], name) : NULL;
	return NULL;
}

bool sig_expr_directive(struct str name)
{
	make_ready();
	for (unsigned i = 1; i < D__COUNT; i++)
		if (sigs[i].has_expr && str_eq(name, str_c(tbl_dirs[i].name)))
			return true;
	return false;
}

/* ---------- matching ---------- */

#define VALS_MAX 256          /* values of one statement */
struct attempt {
	struct conf_val  val[VALS_MAX];
	enum tbl_dir     ref[VALS_MAX];
	unsigned         n_val, used, score;
	unsigned         fail_at;             /* token that did not fit; n: one was missing */
	struct val_fail  fail;
	char             expect[200];
	bool             ok, too_many;
};

static void note_fail(struct attempt *a, unsigned i, const struct sig_el *el,
		      const struct val_fail *f)
{
	struct sb b;

	if (i < a->fail_at)
		return;
	a->fail_at = i;
	a->fail = *f;
	sb_init(&b, a->expect, sizeof(a->expect));
	val_expect(el, &b);
}

static bool ends(const struct match_in *in, unsigned i)
{
	return i >= in->n || (in->stop && in->stop(in->stop_ctx, &in->tok[i]));
}

/* One element on one token. */
static bool try_el(struct loader *ld, const struct match_in *in, struct attempt *a,
		   const struct sig_el *el)
{
	struct val_fail f = { .len = 0 };
	unsigned i = a->used;

	if (i >= in->n || a->n_val >= VALS_MAX ||
	    !val_parse(ld, el, &in->tok[i], &a->val[a->n_val], &f)) {
		note_fail(a, i, el, &f);
		return false;
	}
	a->score += el->type == CV_ENUM || el->type == CV_LITERAL;
	a->ref[a->n_val++] = el->ref;
	a->used++;
	return true;
}

static bool try_alt(struct loader *ld, const struct match_in *in, struct attempt *a,
		    const struct sig_alt *alt)
{
	a->n_val = a->score = a->fail_at = 0;
	a->used = 1;
	a->ok = a->too_many = false;
	a->fail = (struct val_fail){ .len = 0 };
	a->expect[0] = '\0';
	for (unsigned e = 0; e < alt->n; e++) {
		const struct sig_el *el = &alt->el[e];

		if (el->opt_n && ends(in, a->used)) {
			e += el->opt_n - 1;
			continue;
		}
		if (!try_el(ld, in, a, el)) {
			if (!el->opt_n)
				return false;
			e += el->opt_n - 1;
			continue;
		}
		while (el->repeat && !ends(in, a->used) && try_el(ld, in, a, el))
			;
	}
	/* behind an object's arguments its options follow: the parser knows better what is wrong
	 * there */
	if (!ends(in, a->used) && !(in->stop && a->fail_at < a->used)) {
		struct val_fail none = { .len = 0 };

		a->too_many = a->fail_at < a->used;
		if (a->too_many) {
			a->fail_at = a->used;
			a->fail = none;
		}
		return false;
	}
	a->ok = true;
	return true;
}

/* What was expected, in words, of all alternatives that came as far as the furthest. */
static void report(struct loader *ld, const struct match_in *in, const struct attempt *best,
		   struct str expect)
{
	const struct tok *name = &in->tok[0], *t;
	const char *hint = best->fail.hint[0] ? best->fail.hint : NULL;

	if (best->fail_at >= in->n) {
		t = &in->tok[in->n - 1];
		conf_error(ld->d, in->n == 1 ? name->loc : lex_locate(t, t->raw.n),
			   in->n == 1 ? name->span : 1, NULL,
			   "[E0303] \"%s\" lacks an argument: expected " STR_FMT, in->row->name,
			   STR_ARG(expect));
		return;
	}
	t = &in->tok[best->fail_at];
	if (best->too_many) {
		if (best->used == 1)
			conf_error(ld->d, t->loc, t->span, hint, "[E0303] \"%s\" takes no argument",
				   in->row->name);
		else
			conf_error(ld->d, t->loc, t->span, hint, "[E0303] too many arguments to \"%s\"",
				   in->row->name);
	} else if (best->fail.text[0]) {
		struct conf_loc loc = t->loc;
		unsigned span = t->span;

		if (best->fail.len) {
			loc = lex_locate(t, best->fail.off);
			span = (unsigned)best->fail.len;
		}
		conf_error(ld->d, loc, span, hint, "[E0301] %s", best->fail.text);
	} else {
		char shown[80];
		struct sb b;

		sb_init(&b, shown, sizeof(shown));
		sb_escape(&b, t->raw, 60);
		conf_error(ld->d, t->loc, t->span, hint, "[E0301] \"%s\": expected " STR_FMT ", not %s%s%s",
			   in->row->name, STR_ARG(expect), t->kind == TK_WORD ? "\"" : "", shown,
			   t->kind == TK_WORD ? "\"" : "");
	}
}

static bool in_range(struct loader *ld, const struct match_in *in, const struct match_out *out)
{
	const struct tbl_dir_row *r = in->row;

	if (r->min == 0 && r->max == 0)
		return true;
	for (unsigned i = 0; i < out->n_val; i++) {
		const struct conf_val *v = &out->val[i];
		char range[120];
		struct sb b;

		if (v->type != CV_TIME && v->type != CV_SIZE && v->type != CV_COUNT &&
		    v->type != CV_RATE)
			continue;
		if (v->i >= r->min && v->i <= r->max)
			return true;
		sb_init(&b, range, sizeof(range));
		val_number_text(v->type, r->min, &b);
		sb_c(&b, " to ");
		val_number_text(v->type, r->max, &b);
		conf_error(ld->d, v->loc, v->span, NULL, "[E0302] \"%s\" must be %s", r->name, range);
		return false;
	}
	return true;
}

static bool keep(struct loader *ld, const struct attempt *a, struct match_out *out)
{
	out->used = a->used;
	out->n_val = a->n_val;
	out->val = pool_array(ld->pool, a->n_val ? a->n_val : 1, sizeof(out->val[0]));
	out->ref = pool_array(ld->pool, a->n_val ? a->n_val : 1, sizeof(out->ref[0]));
	if (!out->val || !out->ref) {
		ld->oom = true;
		out->n_val = 0;
		return false;
	}
	memcpy(out->val, a->val, a->n_val * sizeof(out->val[0]));
	memcpy(out->ref, a->ref, a->n_val * sizeof(out->ref[0]));
	return true;
}

static bool better(const struct attempt *a, const struct attempt *b)
{
	if (a->ok || b->ok)
		return a->ok && (!b->ok || a->score > b->score);
	return a->fail_at > b->fail_at || (a->fail_at == b->fail_at && b->too_many && !a->too_many);
}

bool sig_match(struct loader *ld, const struct match_in *in, struct match_out *out)
{
	const struct sig *sig = sig_of(in->row->id);
	static struct attempt slots[2];          /* large; one thread */
	struct attempt *cur = &slots[0], *best = &slots[1];
	char expect[600];
	struct sb b;

	*out = (struct match_out){ .used = 1 };
	best->ok = best->too_many = false;
	sb_init(&b, expect, sizeof(expect));
	for (unsigned i = 0; i < sig->n; i++) {
		try_alt(ld, in, cur, &sig->alt[i]);
		if (i == 0 || better(cur, best)) {
			struct attempt *t = best;

			best = cur;
			cur = t;
			b.n = 0;
			sb_c(&b, best->expect);
		} else if (!best->ok && !cur->ok && cur->fail_at == best->fail_at &&
			   !cur->too_many) {
			best->fail.text[0] = '\0'; /* several were possible: say them all instead */
			if (!best->fail.hint[0])
				memcpy(best->fail.hint, cur->fail.hint, sizeof(best->fail.hint));
			if (!str_eq(str_c(cur->expect), sb_get(&b)))
				sb_fmt(&b, " or %s", cur->expect);
		}
	}
	if (!best->ok)
		report(ld, in, best, sb_get(&b));
	return keep(ld, best, out) && best->ok && in_range(ld, in, out);
}
