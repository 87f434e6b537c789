/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs.c - the verb table: lookup, fitting words to a row, help
 */
#include "config.h"

#include "admin/verbs.h"

const struct verb_row verb_rows[VERB__COUNT] = {
#define B(i, v, k, a, l, w, t) \
	[VERB_##i] = { \
		.verb = v, .kind = k, .args = a, .level = VERB_##l, .where = VERB_##w, .text = t \
	},
#include "tbl/verbs.def"
#undef B
};

/* ---------- did you mean ---------- */

void guess_init(struct guess *g, struct str what)
{
	*g = (struct guess){ .what = what, .distance = (unsigned)FL_MIN(what.n / 3 + 1, 4u) + 1 };
}

void guess_offer(struct guess *g, struct str candidate)
{
	unsigned d;

	if (g->what.n > 64 || candidate.n > 200)
		return;
	d = str_distance(g->what, candidate, 5);
	/* A beginning, or the part behind the pool's name, is as good as a small slip. */
	if (g->what.n >= 2 &&
	    (str_istarts(candidate, g->what) ||
	     (candidate.n > g->what.n && candidate.p[candidate.n - g->what.n - 1] == '/' &&
	      str_ends(candidate, g->what))))
		d = FL_MIN(d, 1u);
	if (d < g->distance) {
		g->distance = d;
		g->best = candidate;
	}
}

void guess_say(const struct guess *g, struct sb *out)
{
	if (g->best.p)
		sb_fmt(out, "; did you mean \"" STR_FMT "\"?", STR_ARG(g->best));
}

/* ---------- the argument text of a row ---------- */

/* One piece of "NAME [--wait TIME] [-H FIELD]...". */
struct spec {
	struct str option;      /* "--wait"; empty: positional */
	struct str value;       /* "TIME"; empty: a flag */
	bool       required, repeats;
};

static bool spec_next(struct str *args, struct spec *out)
{
	struct str piece;
	size_t end;

	*args = str_trim(*args);
	if (!args->n)
		return false;
	memset(out, 0, sizeof(*out));
	if (args->p[0] == '[') {
		end = 1;
		while (end < args->n && args->p[end] != ']')
			end++;
		piece = str_n(args->p + 1, end - 1);
		*args = str_n(args->p + end + 1, args->n - end - 1);
		if (str_starts(*args, STR("..."))) {
			out->repeats = true;
			*args = str_n(args->p + 3, args->n - 3);
		}
	} else {
		struct str rest = *args;

		out->required = true;
		piece = str_cut(&rest, ' ');
		if (piece.p[0] == '-') {
			struct str value = str_cut(&rest, ' ');

			piece.n = (size_t)(value.p + value.n - piece.p);
		}
		*args = str_n(piece.p + piece.n, args->n - piece.n - (size_t)(piece.p - args->p));
	}
	if (piece.n && piece.p[0] == '-') {
		out->value = piece;
		out->option = str_cut(&out->value, ' ');
		if (out->value.n == 0)
			out->value = STR_NULL;
	} else {
		out->value = piece;
	}
	return true;
}

/* ---------- fitting words to a row ---------- */

static void unknown_verb(struct str w, struct sb *err)
{
	struct guess g;

	guess_init(&g, w);
	for (unsigned i = 0; i < VERB__COUNT; i++)
		guess_offer(&g, str_c(verb_rows[i].verb));
	sb_c(err, "unknown command \"");
	sb_escape(err, w, 64);
	sb_ch(err, '"');
	guess_say(&g, err);
	if (!g.best.p)
		sb_c(err, "; try: help");
}

static void list_kinds(struct str verb, struct sb *err)
{
	for (unsigned i = 0; i < VERB__COUNT; i++)
		if (str_eq(str_c(verb_rows[i].verb), verb))
			sb_fmt(err, " %s", verb_rows[i].kind);
}

static bool find_row(const struct str *w, unsigned n, enum verb_id *id, unsigned *used,
		     struct sb *err)
{
	bool verb_known = false;
	struct guess g;

	guess_init(&g, n > 1 ? w[1] : STR_NULL);
	for (unsigned i = 0; i < VERB__COUNT; i++) {
		if (!str_eq(str_c(verb_rows[i].verb), w[0]))
			continue;
		verb_known = true;
		if (verb_rows[i].kind[0] && (n < 2 || !str_eq(str_c(verb_rows[i].kind), w[1]))) {
			guess_offer(&g, str_c(verb_rows[i].kind));
			continue;
		}
		*id = (enum verb_id)i;
		*used = verb_rows[i].kind[0] ? 2 : 1;
		return true;
	}
	if (!verb_known) {
		unknown_verb(w[0], err);
		return false;
	}
	if (n < 2) {
		sb_fmt(err, STR_FMT " what? one of:", STR_ARG(w[0]));
	} else {
		sb_fmt(err, "cannot " STR_FMT " \"", STR_ARG(w[0]));
		sb_escape(err, w[1], 64);
		sb_ch(err, '"');
		guess_say(&g, err);
		sb_c(err, "; one of:");
	}
	list_kinds(w[0], err);
	return false;
}

static bool find_option(const struct verb_row *r, struct str name, struct spec *out)
{
	struct str args = str_c(r->args);

	while (spec_next(&args, out))
		if (out->option.n && str_eq(out->option, name))
			return true;
	return false;
}

static void usage(const struct verb_row *r, struct sb *err)
{
	sb_fmt(err, "; usage: %s%s%s%s%s", r->verb, r->kind[0] ? " " : "", r->kind,
	       r->args[0] ? " " : "", r->args);
}

static bool take_option(struct verb_call *c, const struct str *w, unsigned n, unsigned *i,
			struct sb *err)
{
	struct str name = w[*i], value = STR("");
	struct spec s;

	if (!find_option(c->row, name, &s)) {
		/* --wait=60s */
		struct str rest = name, head = str_cut(&rest, '=');

		if (head.n == name.n || !find_option(c->row, head, &s) || !s.value.n) {
			sb_c(err, "unknown option \"");
			sb_escape(err, name, 64);
			sb_ch(err, '"');
			usage(c->row, err);
			return false;
		}
		name = head;
		value = rest;
	} else if (s.value.n) {
		if (++*i >= n) {
			sb_fmt(err, STR_FMT " needs a value (" STR_FMT ")", STR_ARG(name),
			       STR_ARG(s.value));
			return false;
		}
		value = w[*i];
	}
	for (unsigned k = 0; !s.repeats && k < c->n_opt; k++) {
		if (str_eq(c->opt[k].name, s.option)) {
			sb_fmt(err, STR_FMT " is given twice", STR_ARG(name));
			return false;
		}
	}
	if (c->n_opt == VERB_OPT_MAX) {
		sb_c(err, "too many options");
		return false;
	}
	c->opt[c->n_opt].name = s.option;
	c->opt[c->n_opt++].value = value;
	return true;
}

static bool complete(const struct verb_call *c, struct sb *err)
{
	struct str args = str_c(c->row->args);
	unsigned pos = 0;
	struct spec s;

	while (spec_next(&args, &s)) {
		bool given = false;

		if (!s.option.n) {
			given = pos++ < c->n_pos;
			if (s.repeats)
				pos = VERB_POS_MAX;
		} else {
			for (unsigned k = 0; k < c->n_opt; k++)
				given |= str_eq(c->opt[k].name, s.option);
		}
		if (!s.required || given)
			continue;
		if (s.option.n)
			sb_fmt(err, STR_FMT " " STR_FMT " is missing", STR_ARG(s.option),
			       STR_ARG(s.value));
		else
			sb_fmt(err, STR_FMT " is missing", STR_ARG(s.value));
		usage(c->row, err);
		return false;
	}
	if (c->n_pos > pos) {
		sb_c(err, "\"");
		sb_escape(err, c->pos[pos], 64);
		sb_c(err, "\" is too much");
		usage(c->row, err);
		return false;
	}
	return true;
}

bool verb_parse(const struct str *w, unsigned n, struct verb_call *out, struct sb *err)
{
	unsigned at = 0;

	memset(out, 0, sizeof(*out));
	while (at < n && str_eq(w[at], STR("--json"))) {
		out->json = true;
		at++;
	}
	if (at == n) {
		sb_c(err, "no command; try: help");
		return false;
	}
	w += at;
	n -= at;
	if (!find_row(w, n, &out->id, &at, err))
		return false;
	out->row = &verb_rows[out->id];
	for (unsigned i = at; i < n; i++) {
		if (str_eq(w[i], STR("--json"))) {
			out->json = true;
		} else if (w[i].n > 1 && w[i].p[0] == '-') {
			if (!take_option(out, w, n, &i, err))
				return false;
		} else if (out->n_pos < VERB_POS_MAX) {
			out->pos[out->n_pos++] = w[i];
		} else {
			sb_c(err, "\"");
			sb_escape(err, w[i], 64);
			sb_c(err, "\" is too much");
			usage(out->row, err);
			return false;
		}
	}
	return complete(out, err);
}

struct str verb_opt(const struct verb_call *c, const char *name, unsigned k)
{
	for (unsigned i = 0; name && i < c->n_opt; i++)
		if (str_eq(c->opt[i].name, str_c(name)) && k-- == 0)
			return c->opt[i].value;
	return STR_NULL;
}

bool verb_flag(const struct verb_call *c, const char *name)
{
	return verb_opt(c, name, 0).p != NULL;
}

/* ---------- help ---------- */

static void help_row(const struct verb_row *r, struct sb *out)
{
	sb_fmt(out, "%s%s%s%s%s\n    %s\n", r->verb, r->kind[0] ? " " : "", r->kind,
	       r->args[0] ? " " : "", r->args, r->text);
}

static void help_json(const struct verb_row *r, bool first, struct sb *out)
{
	const struct { const char *name, *value; } members[] = {
		{ "verb", r->verb },
		{ "kind", r->kind },
		{ "arguments", r->args },
		{ "level", r->level == VERB_CHANGE ? "change" : "read" },
		{ "text", r->text },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(members); i++) {
		sb_fmt(out, "%s\"%s\": ", i ? ", " : first ? "[\n {" : ",\n {", members[i].name);
		sb_json_str(out, str_c(members[i].value));
	}
	sb_ch(out, '}');
}

bool verb_help(struct str verb, struct str kind, bool json, struct sb *out)
{
	bool any = false;

	for (unsigned i = 0; i < VERB__COUNT; i++) {
		const struct verb_row *r = &verb_rows[i];

		if ((verb.n && !str_eq(str_c(r->verb), verb)) ||
		    (kind.n && !str_eq(str_c(r->kind), kind)))
			continue;
		if (json)
			help_json(r, !any, out);
		else
			help_row(r, out);
		any = true;
	}
	if (any && json)
		sb_c(out, "\n]\n");
	else if (any && !verb.n)
		sb_c(out, "Every command takes --json. Several on one line are parted by `;`.\n");
	if (!any)
		unknown_verb(verb, out);
	return any;
}

void verb_dump(struct sb *out)
{
	sb_c(out, "verb\tkind\targuments\tlevel\twhere\ttext\n");
	for (unsigned i = 0; i < VERB__COUNT; i++) {
		const struct verb_row *r = &verb_rows[i];

		sb_fmt(out, "%s\t%s\t%s\t%s\t%s\t%s\n", r->verb, r->kind, r->args,
		       r->level == VERB_CHANGE ? "change" : "read",
		       r->where == VERB_CTL ? "fairleadctl" : "server", r->text);
	}
}

bool text_duration_ms(struct str s, uint64_t *ms)
{
	static const struct {
		const char *unit;
		uint64_t us;
	} units[] = {
		{ "us", 1 },       { "ms", 1000 },       { "s", 1000000 },
		{ "m", 60000000 }, { "h", 3600000000u }, { "d", 86400000000u },
	};
	size_t digits = 0;
	uint64_t v;

	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	if (!str_u64(str_n(s.p, digits), &v) || v > 1000000000)
		return false;
	for (size_t i = 0; i < FL_ARRAY_LEN(units); i++) {
		if (!str_eq(str_n(s.p + digits, s.n - digits), str_c(units[i].unit)))
			continue;
		*ms = (v * units[i].us + 999) / 1000;
		return true;
	}
	return false;
}
