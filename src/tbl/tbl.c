/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tbl.c - the tables of tbl/ as constant data, and their printed form for `fairlead -x TABLE`
 *
 * The printed form is what man/gen.py makes the manual, the completion and the vim syntax from,
 * so a row reaches them without being written twice.
 */
#include "config.h"

#include "tbl/tbl.h"

#include "base/err.h"
#include "base/log.h"

/* The words of the contexts and flags columns; only in this file. */
enum {
	TOP = CTX_TOP,
	ADMIN = CTX_ADMIN,
	MONITOR = CTX_MONITOR,
	POOL = CTX_POOL,
	SERVICE = CTX_SERVICE,
	VSERVER = CTX_VSERVER,
	LISTEN = CTX_LISTEN,
	LTLS = CTX_LTLS,
	STLS = CTX_STLS,
	POLICY = CTX_POLICY,
	LDIST = CTX_LDIST,
};
enum {
	OBJ = DF_OBJ,
	NAMED = DF_NAMED,
	LIST = DF_LIST,
	ORDER = DF_ORDER,
	REQ = DF_REQ,
	SECRET = DF_SECRET,
};

const struct tbl_dir_row tbl_dirs[D__COUNT] = {
#define D(i, c, n, s, o, f, d, lo, hi, r, v, t) \
	[D_##i] = { .id = D_##i, \
		    .ctx = (c), \
		    .name = n, \
		    .sig = s, \
		    .opens = CTX_##o, \
		    .flags = (f), \
		    .def = d, \
		    .min = lo, \
		    .max = hi, \
		    .reload = RELOAD_##r, \
		    .since = v, \
		    .text = t },
#include "tbl/directives.def"
#undef D
};

const struct tbl_ctr_row tbl_ctrs[CTR__ALL_COUNT] = {
#define C(k, i, f, u, m, t) \
	[CTR__ALL_##k##_##i] = { .kind = KIND_##k, \
				 .idx = CTR_##k##_##i, \
				 .id = #i, \
				 .fold = FOLD_##f, \
				 .unit = u, \
				 .metric = m, \
				 .text = t },
#include "tbl/counters.def"
#undef C
};

#define C(k, i, f, u, m, t) \
	_Static_assert(CTR_##k##_##i >= 0 && CTR_##k##_##i < TBL_CTR_MAX, \
		       #k "_" #i " is out of its kind's place");
#include "tbl/counters.def"
#undef C

const struct tbl_state_row tbl_states[] = {
#define S(s, i, n, v, t) { .set = #s, .name = n, .value = v, .text = t },
#include "tbl/states.def"
#undef S
};
const unsigned tbl_n_states = FL_ARRAY_LEN(tbl_states);

static const char *const kind_names[KIND__COUNT] = {
	[KIND_NONE] = "none",       [KIND_PROC] = "core", [KIND_LISTENER] = "listener",
	[KIND_VSERVER] = "vserver", [KIND_POOL] = "pool", [KIND_SERVICE] = "service",
	[KIND_POLICY] = "policy",   [KIND_MESSAGE] = "message",
	[KIND_EXCHANGE] = "exchange", [KIND_TLS] = "tls",
};

const struct tbl_refusals_row tbl_refusals[REFUSED__COUNT] = {
	[REFUSED_REQUEST] = { "request", KIND_MESSAGE, "malformed requests of clients" },
	[REFUSED_RESPONSE] = { "response", KIND_MESSAGE, "malformed responses of services" },
	[REFUSED_EXCHANGE] = { "exchange", KIND_EXCHANGE,
			       "exchanges that did not end as their service meant it" },
	[REFUSED_TLS_CLIENT] = { "tls-client", KIND_TLS, "TLS with clients" },
	[REFUSED_TLS_SERVICE] = { "tls-service", KIND_TLS, "TLS with services, probes too" },
};

static const struct ctx_name {
	enum tbl_ctx ctx;
	const char  *name;
} ctx_names[] = {
	{ CTX_TOP, "top" },         { CTX_ADMIN, "admin" },     { CTX_MONITOR, "monitor" },
	{ CTX_POOL, "pool" },       { CTX_SERVICE, "service" }, { CTX_VSERVER, "vserver" },
	{ CTX_LISTEN, "listen" },   { CTX_LTLS, "listen tls" }, { CTX_STLS, "pool tls" },
	{ CTX_POLICY, "policy" },   { CTX_LDIST, "listen distribute" },
};

const char *tbl_ctx_name(enum tbl_ctx ctx)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(ctx_names); i++)
		if (ctx_names[i].ctx == ctx)
			return ctx_names[i].name;
	return "none";
}

const char *tbl_kind_name(enum tbl_kind k)
{
	ASSERT((unsigned)k < KIND__COUNT);
	return kind_names[k];
}

void tbl_kind_range(enum tbl_kind k, unsigned *first, unsigned *n)
{
	*first = *n = 0;
	for (unsigned i = 0; i < CTR__ALL_COUNT; i++)
		if (tbl_ctrs[i].kind == k && (*n)++ == 0)
			*first = i;
}

const char *tbl_fold_name(enum tbl_fold f)
{
	static const char *const names[] = { "sum", "level", "max", "min", "median", "age", "owner", "rate", "avg" };

	ASSERT((unsigned)f < FL_ARRAY_LEN(names));
	return names[f];
}

void tbl_ctr_family(const struct tbl_ctr_row *r, struct sb *out)
{
	if (tbl_kind_is_reasons(r->kind))
		sb_c(out, "fairlead_refusals");
	else
		sb_fmt(out, "fairlead_%s_%s", tbl_kind_name(r->kind), r->metric);
}

const char *tbl_tls_code(unsigned why)
{
	ASSERT(why < CTR__ALL_COUNT - CTR__FIRST_TLS);
	return tbl_ctrs[CTR__FIRST_TLS + why].metric;
}

const char *tbl_tls_text(unsigned why)
{
	ASSERT(why < CTR__ALL_COUNT - CTR__FIRST_TLS);
	return tbl_ctrs[CTR__FIRST_TLS + why].text;
}

const char *tbl_state_name(const char *set, int value)
{
	for (unsigned i = 0; i < tbl_n_states; i++)
		if (tbl_states[i].value == value && strcmp(tbl_states[i].set, set) == 0)
			return tbl_states[i].name;
	return "?";
}

static void dump_flags(struct sb *out, unsigned flags)
{
	static const char *const names[] = { "obj", "named", "list", "order", "req", "secret" };
	bool any = false;

	for (unsigned i = 0; i < FL_ARRAY_LEN(names); i++)
		if (flags & 1u << i) {
			sb_fmt(out, "%s%s", any ? "|" : "", names[i]);
			any = true;
		}
	if (!any)
		sb_c(out, "-");
}

static void dump_directives(struct sb *out)
{
	sb_c(out,
	     "contexts\tname\tsignature\topens\tflags\tdefault\tmin\tmax\treload\tsince\ttext\n");
	for (unsigned i = 1; i < D__COUNT; i++) {
		const struct tbl_dir_row *r = &tbl_dirs[i];
		bool any = false;

		for (size_t c = 0; c < FL_ARRAY_LEN(ctx_names); c++)
			if (r->ctx & ctx_names[c].ctx) {
				sb_fmt(out, "%s%s", any ? "|" : "", ctx_names[c].name);
				any = true;
			}
		sb_fmt(out, "\t%s\t%s\t%s\t", r->name, r->sig, tbl_ctx_name(r->opens));
		dump_flags(out, r->flags);
		sb_fmt(out, "\t%s\t%lld\t%lld\t%s\t%s\t%s\n", r->def, (long long)r->min,
		       (long long)r->max, r->reload == RELOAD_LIVE ? "live" : "restart", r->since,
		       r->text);
	}
}

static void dump_counters(struct sb *out)
{
	sb_c(out, "kind\tindex\tid\tfold\tunit\tmetric\ttext\n");
	for (unsigned i = 0; i < CTR__ALL_COUNT; i++) {
		const struct tbl_ctr_row *r = &tbl_ctrs[i];

		sb_fmt(out, "%s\t%u\t%s\t%s\t%s\t", tbl_kind_name(r->kind), r->idx, r->id,
		       tbl_fold_name(r->fold), r->unit);
		tbl_ctr_family(r, out);
		sb_c(out, r->fold == FOLD_SUM ? "_total" : "");
		if (tbl_kind_is_reasons(r->kind))
			sb_fmt(out, "{reason=\"%s\"}", r->metric);
		sb_fmt(out, "\t%s\n", r->text);
	}
}

static void dump_states(struct sb *out)
{
	sb_c(out, "set\tname\tvalue\ttext\n");
	for (unsigned i = 0; i < tbl_n_states; i++)
		sb_fmt(out, "%s\t%s\t%d\t%s\n", tbl_states[i].set, tbl_states[i].name,
		       tbl_states[i].value, tbl_states[i].text);
}

static void dump_events(struct sb *out)
{
	sb_c(out, "name\tlevel\tfields\n");
	for (unsigned i = 0; i < EV__COUNT; i++)
		sb_fmt(out, "%s\t%s\t%s\n", log_event_rows[i].name,
		       log_level_name(log_event_rows[i].level), log_event_rows[i].fields);
}

static void dump_errors(struct sb *out)
{
	sb_c(out, "name\tcode\ttext\n");
	for (int e = FL_ERR__BASE + 1; e < FL_ERR__END; e++)
		sb_fmt(out, "%s\t%d\t%s\n", fl_err_name(e), e, fl_err_text(e));
}

static void dump_diags(struct sb *out)
{
	static const struct {
		const char *code, *text;
	} rows[] = {
#define G(code, text) { #code, text },
#include "tbl/diags.def"
#undef G
	};

	sb_c(out, "code\ttext\n");
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++)
		sb_fmt(out, "%s\t%s\n", rows[i].code, rows[i].text);
}

bool tbl_dump(const char *table, struct sb *out)
{
	static const struct {
		const char *name;
		void      (*dump)(struct sb *out);
	} tables[] = {
		{ "directives", dump_directives }, { "counters", dump_counters },
		{ "states", dump_states },         { "events", dump_events },
		{ "errors", dump_errors },         { "diagnostics", dump_diags },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(tables); i++)
		if (strcmp(table, tables[i].name) == 0) {
			tables[i].dump(out);
			return true;
		}
	return false;
}
