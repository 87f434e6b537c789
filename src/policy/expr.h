/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr.h - inside of the policy room: tokens, tree, sets, patterns. Nobody else includes it.
 *
 *   text --lex.c--> tokens --parse.c--> tree --check.c (+ literal.c, set.c, regex.c)--> the same
 *   tree, typed, literals read, sets sorted, patterns compiled --eval.c--> a result
 *
 * Limits that make hostile text harmless: POL_SRC_MAX bytes, POL_DEPTH_MAX nested parts (chains
 * of and, or, xor are flat), POL_SET_MAX members. Everything is allocated from the pool given
 * to the compiler.
 */
#ifndef FL_POLICY_EXPR_H
#define FL_POLICY_EXPR_H

#include "policy/policy.h"

#define POL_SRC_MAX    65536u
#define POL_DEPTH_MAX  100u
#define POL_SET_MAX    16384u
#define POL_SLICE_MAX  8u         /* pieces in one [ ] */
#define POL_KEY_MAX    256u       /* bytes of a name in brackets */
#define POL_GLOB_MAX   256u       /* bytes of a wildcard pattern: bounds the work on one value */
#define POL_FIELD_WORDS (POL_F__COUNT / 64 + 1)

enum pol_op {
	POL_OP_NONE,
#define O(id, sym, word, other, text) POL_OP_##id,
#include "tbl/operators.def"
#undef O
	/* tests that have no operator sign of their own */
	POL_OP_EXISTS,
	POL_OP_STARTS,
	POL_OP_ENDS,
	POL_OP__COUNT
};

struct pol_op_row {
	const char *sym, *word, *other, *text;
};
extern const struct pol_op_row pol_op_rows[POL_OP__COUNT];

enum pol_fn {
#define P(id, name, min, max, result, use, text) POL_FN_##id,
#include "tbl/functions.def"
#undef P
	POL_FN__COUNT
};
struct pol_fn_row {
	const char   *name;
	unsigned      min, max;
	enum pol_type result;
	const char   *use, *text;
};
extern const struct pol_fn_row pol_fn_rows[POL_FN__COUNT];

/* --- tokens (lex.c) --- */
enum pol_tok_kind {
	TK_END, TK_WORD, TK_STRING, TK_OP, TK_LPAREN, TK_RPAREN, TK_LBRACK, TK_RBRACK,
	TK_LBRACE, TK_RBRACE, TK_COMMA, TK_DOTDOT, TK_BAD
};
struct pol_tok {
	enum pol_tok_kind kind;
	enum pol_op       op;        /* of TK_OP */
	size_t            off, len;
};

/* One compilation. The first failure is kept in *err, later ones are ignored. */
struct pol_ctx {
	struct pool                   *pool;
	struct str                     src;
	const struct pol_compile_opts *opts;
	struct pol_error              *err;
	bool                           failed, nomem;
	unsigned                       depth;
	size_t                         pos;      /* of the lexer: after tok */
	size_t                         prev_end; /* end of the token before tok */
	struct pol_tok                 tok;      /* current token */
	uint64_t                       fields[POL_FIELD_WORDS];
	struct pol_regex              *regexes;
};

void pol_ctx_init(struct pol_ctx *c, struct pool *p, struct str src,
		  const struct pol_compile_opts *o, struct pol_error *err);
/* 0, FL_ESYNTAX_ or FL_ENOMEM_, as the compilation went. */
int  pol_ctx_result(const struct pol_ctx *c);
/* Keeps the failure if it is the first. The hint may be set after it. */
void pol_fail(struct pol_ctx *c, size_t off, size_t len, const char *fmt, ...) FL_PRINTF(4, 5);
void pol_hint(struct pol_ctx *c, const char *fmt, ...) FL_PRINTF(2, 3);
void *pol_mem(struct pol_ctx *c, size_t n);      /* zeroed; NULL and failed when there is none */
/* Source text made printable and short, for messages. */
#define POL_SHOW_MAX 96
const char *pol_show(struct str s, char out[POL_SHOW_MAX]);

void pol_lex_next(struct pol_ctx *c); /* moves c->tok on; a bad token fails the compilation */
enum pol_tok_kind pol_lex_peek(struct pol_ctx *c);   /* kind of the token after c->tok */
/* Bytes of a TK_STRING token without quotes and escapes. False: failed. */
bool pol_lex_string(struct pol_ctx *c, const struct pol_tok *t, struct str *out);
/* Where byte `at` of the decoded string stands in the source. */
size_t pol_lex_string_place(struct str src, const struct pol_tok *t, size_t at);

/* --- fields (field.c) --- */
/* Index of a row by name, POL_F__COUNT when there is none. `object`: of the object_key kind. */
unsigned pol_field_find(struct str name, bool object);
/* A name near to the wrong one, or NULL. */
const char *pol_field_near(struct str name);
/* The failure "unknown field", with a hint. */
void pol_fail_unknown(struct pol_ctx *c, size_t off, size_t len, struct str name);
/* Letters first and nothing that only addresses have: meant as a name. */
bool pol_looks_like_field(struct str w);
const char *pol_fn_near(struct str name);
const char *pol_op_near(struct str word);
const char *pol_type_text(enum pol_type t);      /* "a number" */
/* "the TLS hello" for one plane bit; all names of a mask, in words. */
void pol_planes_text(unsigned planes, struct sb *b);

/* --- tree --- */
enum pol_kind {
	N_TRUE, N_FALSE,              /* the bare words true and false */
	N_AND, N_OR, N_XOR,           /* list */
	N_NOT,                        /* a */
	N_BARE,                       /* a: a value that stands alone; check.c makes it a test */
	N_TEST,                       /* a OP (b, set, regex or cidr) */
	/* values */
	N_CONST, N_FIELD, N_SLICE, N_FUNC,
	N_WORD,                       /* literal whose type is not known yet */
	N_CIDR,                       /* only as b of == and its kin */
	N_RANGE                       /* a..b, only in the list of a set; gone after check */
};
enum pol_quant { POL_Q_DEFAULT, POL_Q_ANY, POL_Q_ALL };

struct pol_piece {
	int32_t start;                /* negative: from the end */
	int32_t last;                 /* number of bytes, or last place when `to_place` */
	bool    to_place, to_end;
};
struct pol_set;
struct pol_regex;

struct pol_node {
	uint8_t          kind;        /* enum pol_kind */
	uint8_t          op;          /* enum pol_op; of N_TEST */
	uint8_t          quant;       /* enum pol_quant; never DEFAULT after check */
	uint8_t          fn;          /* enum pol_fn; of N_FUNC */
	bool             negated;     /* not in */
	bool             quoted;      /* N_CONST that was a string in the source */
	uint8_t          type;        /* enum pol_type of a value */
	uint32_t         off, len;    /* in the source */
	struct pol_node *a, *b;
	struct pol_node *list, *next; /* operands, arguments, set members */
	union {
		struct pol_val val;
		struct {
			enum pol_field f;
			struct str     key;
			const void    *obj;
		} field;
		struct {
			struct pol_piece *piece;
			unsigned          n;
		} slice;
		struct pol_set   *set;
		struct pol_regex *regex;
		struct cidr       cidr;
	};
};

struct pol_expr {
	struct pol_node  *root;
	struct str        src;
	uint64_t          fields[POL_FIELD_WORDS];
	struct pol_regex *regexes;
};

/* Tree of a whole expression / of one value, from c->tok on; NULL when failed. */
struct pol_node *pol_parse_expr(struct pol_ctx *c);
struct pol_node *pol_parse_value(struct pol_ctx *c);
struct pol_node *pol_node_new(struct pol_ctx *c, enum pol_kind k, size_t off);
void pol_node_close(struct pol_ctx *c, struct pol_node *n);   /* its text ends at the last token */
bool pol_enter(struct pol_ctx *c, size_t off);             /* one level deeper, or failed */
bool pol_expect(struct pol_ctx *c, enum pol_tok_kind k, const char *what);
/* Types of a tree; false when failed. */
bool pol_check_expr(struct pol_ctx *c, struct pol_node *n);
bool pol_check_value(struct pol_ctx *c, struct pol_node *n);
/* What a test means without any or all: != , === and not in are about all values. */
enum pol_quant pol_quant_usual(const struct pol_node *n);

/* --- literals (literal.c) --- */
/* Reads the word in `n` (N_WORD) as a value of the type; it becomes N_CONST or N_CIDR. `bytes_ok`:
 * a byte string is fine for text (slices). */
bool pol_literal_read(struct pol_ctx *c, struct pol_node *n, enum pol_type type, bool bytes_ok);
/* Hex pairs with : - or . between them; count of bytes, or 0 when it is not that. */
size_t pol_bytes_parse(struct str w, uint8_t *out, size_t max);

/* --- values (compare.c) --- */
bool pol_val_eq(const struct pol_val *a, const struct pol_val *b);
/* Order; false when they cannot be ordered (IPv4 against IPv6). */
bool pol_val_cmp(const struct pol_val *a, const struct pol_val *b, int *out);

/* --- sets (set.c) --- */
struct pol_range {
	struct pol_val lo, hi;
};
struct pol_set {
	enum pol_type     type;
	unsigned          n;
	struct pol_range *r;          /* sorted by lo, no two overlap */
};
struct pol_set *pol_set_build(struct pol_ctx *c, struct pol_node *members, enum pol_type type,
			      bool bytes_ok);
bool pol_set_has(const struct pol_set *s, const struct pol_val *v);

/* --- patterns (regex.c) --- */
struct pol_regex *pol_regex_compile(struct pol_ctx *c, const struct pol_node *pattern);
enum pol_result pol_regex_match(const struct pol_regex *r, struct str s);
struct str pol_regex_text(const struct pol_regex *r);
void pol_regex_release(struct pol_regex *r);     /* this and those after it */
bool pol_glob_match(struct str pattern, struct str s, bool fold);

/* --- evaluation of values, for templates (eval.c) --- */
/* Appends the first value of the node as plain text; nothing when there is none. */
void pol_value_text(const struct pol_node *n, const struct pol_facts *f, struct sb *b);

/* --- print.c --- */
void pol_val_plain(const struct pol_val *v, struct sb *b);    /* text as it is, without quotes */
void pol_node_print(const struct pol_node *n, struct sb *b);

#endif
