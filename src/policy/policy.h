/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - expressions, templates, rules: compiled once at load, evaluated without allocation
 *
 * The language is Wireshark's display-filter language (4.x) extended as in fairlead-policy(7).
 * An expression knows nothing of connections or protocols: it asks a fact source (struct
 * pol_facts) for fields. The data path, explain and the offline tools differ in their fact
 * source only; the evaluator is the same code.
 *
 * Compiled objects are immutable and may be shared by processes after fork. Evaluation is pure
 * but for pol_facts callbacks and the scratch area, which is one per process: one thread of a
 * process evaluates (a callback may evaluate another expression).
 */
#ifndef FL_POLICY_POLICY_H
#define FL_POLICY_POLICY_H

#include "base/addr.h"
#include "base/pool.h"

enum pol_type { POL_NONE, POL_BOOL, POL_INT, POL_STR, POL_BYTES, POL_IP, POL_MAC };

/* Policy points (planes) where a rule may stand; a bit each. */
#define POL_CONN   0x01u
#define POL_HELLO  0x02u
#define POL_REQ    0x04u
#define POL_RESP   0x08u
#define POL_DGRAM  0x10u
#define POL_LOG    0x20u          /* the exchange is over: templates of the access log */

enum pol_field {
#define F(id, name, type, planes, key, multi, text) POL_F_##id,
#include "tbl/fields.def"
#undef F
	POL_F__COUNT
};
struct pol_field_row {
	const char   *name;
	enum pol_type type;
	unsigned      planes;
	bool          needs_key;      /* name["key"] */
	bool          object_key;     /* vserver["v"].connections: the key names an object */
	bool          multi;
	const char   *text;
};
extern const struct pol_field_row pol_field_rows[POL_F__COUNT];

struct pol_val {
	enum pol_type type;
	union {
		bool       b;
		int64_t    i;
		struct str s;         /* STR, BYTES, MAC (6 bytes) */
		struct ip  ip;
	};
};

/* Where the facts come from. */
struct pol_facts {
	void *ctx;
	/* Fills out[0..*n) (in: *n = room, at least 1) with the field's values in order. `start`
	 * values are skipped first, so a caller can page through many. *n = 0: no more values, or
	 * with start 0: the field does not exist in this exchange. `key` is the name in brackets,
	 * `obj` what the resolver gave at compile time for object keys. Values are borrowed until
	 * the evaluation ends. Negative: not known now (the result becomes UNDEF). */
	int (*get)(void *ctx, enum pol_field f, struct str key, const void *obj, unsigned start,
		   struct pol_val *out, unsigned *n);
};

/* A place in the source text of an expression or template, with what is wrong and a hint. */
struct pol_error {
	size_t off, len;              /* span in the source; len >= 1 */
	char   text[256];             /* "unknown field \"http.hots\"" */
	char   hint[160];             /* "did you mean \"http.host\"?"; empty when none */
};

/* Finds the object that an object key names: kind is "vserver" or "service"; NULL = no such. */
typedef const void *(*pol_resolve_fn)(void *ctx, const char *kind, struct str name);

struct pol_compile_opts {
	unsigned       planes;        /* where it will run: each field must be known there */
	pol_resolve_fn resolve;       /* NULL: object keys are a load error */
	void          *resolve_ctx;
};

/* --- expressions --- */
struct pol_expr;
enum pol_result { POL_FALSE = 0, POL_TRUE = 1, POL_UNDEF = 2 };

/* Compiles `src` (must stay valid: spans point into it) from memory of `p`. 0, or FL_ESYNTAX_ with
 * *err, or FL_ENOMEM_. At most 64 KiB of text. */
int  pol_expr_compile(struct pool *p, struct str src, const struct pol_compile_opts *o,
		      struct pol_expr **out, struct pol_error *err);
/* Every comparison or boolean leaf that was evaluated, in order: its source text, result and the
 * value that decided. For explain only; NULL costs nothing. */
struct pol_trace {
	void *ctx;
	void (*leaf)(void *ctx, struct str source, enum pol_result r, const struct pol_val *value);
};
/* UNDEF: a fact was not known, a match limit was hit. An absent field makes its comparison false
 * (as Wireshark does). */
enum pol_result pol_eval(const struct pol_expr *e, const struct pol_facts *f,
			 const struct pol_trace *t);
/* The fields that it asks for: adds one bit each to mask[POL_F__COUNT/64+1], which the caller
 * zeroed; lets callers skip work. */
void pol_expr_fields(const struct pol_expr *e, uint64_t *mask);
/* Gives back what lies outside of the pool: machine code of patterns. Call before the pool is
 * freed where expressions come and go in one process; at the end of a process it is not needed. */
void pol_expr_release(struct pol_expr *e);
/* Machine code for patterns that are compiled from now on (default on); off for one-shot checks. */
void pol_regex_use_jit(bool on);
/* Canonical text (for show config and tests); appended to b. Compiles to the same expression. */
void pol_expr_print(const struct pol_expr *e, struct sb *b);
/* A value for people: addresses plain, strings quoted and escaped. */
void pol_val_print(const struct pol_val *v, struct sb *b);

/* --- templates: "https://{http.host}{http.request.uri}"; {{ and }} are literal braces; a string
 * or number field, header ["x"] forms too; an absent field gives the empty string --- */
struct pol_tmpl;
int  pol_tmpl_compile(struct pool *p, struct str src, const struct pol_compile_opts *o,
		      struct pol_tmpl **out, struct pol_error *err);
/* Appends the text; FL_OK, or FL_ELIMIT_ when b overflowed. */
int  pol_tmpl_run(const struct pol_tmpl *t, const struct pol_facts *f, struct sb *b);
bool pol_tmpl_is_const(const struct pol_tmpl *t);
void pol_tmpl_fields(const struct pol_tmpl *t, uint64_t *mask);   /* as pol_expr_fields */

/* --- rules: `policy NAME when EXPR { actions }` in written order --- */
enum pol_act {
	POL_ACT_NONE,          /* no terminal action: modifications only, evaluation goes on */
	POL_ACT_USE_POOL, POL_ACT_USE_VSERVER, POL_ACT_RESPOND, POL_ACT_REDIRECT,
	POL_ACT_REJECT, POL_ACT_DROP, POL_ACT_RESET,
};
enum pol_hdr_op { POL_HDR_SET, POL_HDR_ADD, POL_HDR_REMOVE };
struct pol_hdr_mod {
	enum pol_hdr_op    op;
	bool               response;   /* of the response; else of the request to the service */
	struct str         name;       /* as written */
	struct pol_tmpl   *value;      /* NULL for REMOVE */
};
struct pol_rule {
	const char        *name;
	const char        *file;       /* place of the rule, for explain */
	unsigned           line;
	struct str         when;       /* source text; empty: always */
	struct pol_expr   *expr;       /* NULL: always */
	enum pol_act       act;
	void              *target;     /* of USE_*: struct lb_pool * or struct lb_vserver * */
	uint16_t           status;     /* RESPOND, REDIRECT, REJECT */
	struct pol_tmpl   *text;       /* body of RESPOND (may be NULL), location of REDIRECT */
	const char        *content_type;
	const struct pol_hdr_mod *mods;
	unsigned           n_mods;
	void              *stat;       /* struct stat_row * of kind POLICY; the caller counts */
};
struct pol_ruleset {
	struct pol_rule *rules;
	unsigned         n;
};
/* What a run decided. `matched` lists the rules that were true, in order (at most POL_MATCH_MAX are
 * kept; the last is the one that ended it): their mods apply in that order. */
#define POL_MATCH_MAX 16
struct pol_verdict {
	enum pol_act           act;
	const struct pol_rule *final;           /* NULL when none ended it */
	const struct pol_rule *matched[POL_MATCH_MAX];
	unsigned               n_matched;
	unsigned               n_undef;
};
/* Called for each rule tried (explain, counters): NULL to skip. */
typedef void (*pol_rule_fn)(void *ctx, const struct pol_rule *r, enum pol_result res);
/* First rule with a terminal action that is true ends it. UNDEF counts as false. */
void pol_ruleset_run(const struct pol_ruleset *rs, const struct pol_facts *f,
		     const struct pol_trace *t, pol_rule_fn seen, void *seen_ctx,
		     struct pol_verdict *v);

/* --- tables, one row a line, columns separated by tabs (fairlead -x) --- */
void pol_dump_fields(struct sb *b);       /* field, type, points, one|many, text */
void pol_dump_operators(struct sb *b);    /* symbol, word, other word, text; - = none */
void pol_dump_functions(struct sb *b);    /* use, type, text */

#endif
