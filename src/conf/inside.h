/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inside.h - what the files of conf/ share; nobody else includes it
 *
 *   source.c  bytes of files, patterns and variables, recorded   image.c  the same, serialised
 *   lex.c     bytes -> tokens, expression spans           sig.c   signatures -> matchers
 *   value.c, number.c, address.c   token + type -> value  parse.c statements -> nodes
 *   load.c    the steps of one load                       resolve.c  references, cycles
 *   check*.c  rules about whole objects                   tree.c  reading; defaults
 *   kept.c    what only a restart applies
 *   dump.c diff.c fmt.c  printing                         diag.c  messages
 */
#ifndef FL_CONF_INSIDE_H
#define FL_CONF_INSIDE_H

#include "base/err.h"
#include "base/map.h"
#include "conf/conf.h"

#define CONF_FILE_MAX    (16u << 20)   /* bytes of one file */
#define CONF_TOTAL_MAX   (64u << 20)   /* of all files of one load */
#define CONF_LINE_MAX    65536u        /* bytes of one line */
#define CONF_DEPTH_MAX   16            /* of includes */
#define CONF_ERRORS_MAX  20
#define CONF_WARN_MAX    100

/* ---------- diag.c ---------- */
/* The source that lines for messages are taken from; it must live while messages are added. */
void diag_set_src(struct conf_diag *d, const struct conf_src *src);
/* True when a further error would only be counted: costly hints can be left out. */
bool diag_full(const struct conf_diag *d);
/* The nearest of a set of words for "did you mean": feed them, then take the best. */
struct near {
	struct str want, best;
	unsigned   dist, max;
};
void near_init(struct near *n, struct str want);
bool near_try(struct near *n, struct str word);      /* true when it is the best so far */

/* ---------- source.c, image.c ---------- */
enum src_kind {
	SRC_FILE = 'F',
	SRC_DATA = 'D',
	SRC_SECRET = 'S',
	SRC_GLOB = 'G',
	SRC_ENV = 'E',
	SRC_NOENV = 'N',
	SRC_KEPT = 'K'
};
struct src_entry {
	enum src_kind kind;
	struct str    key, data;     /* both NUL-terminated */
	unsigned      order;         /* of SRC_FILE: when first read */
	struct str    open;          /* of SRC_SECRET: what everybody may see of it; .p NULL: nothing */
	struct src_entry *next;
};
enum src_mode { SRC_FROM_FILES, SRC_FROM_TEXT, SRC_FROM_IMAGE };
struct conf_src {
	struct pool      *pool;
	struct map       *by_key;    /* kind byte + key -> src_entry */
	struct src_entry *first, *last;
	unsigned          n, n_files;
	enum src_mode     mode;
	const char       *main_name;
	const char       *cwd;       /* what relative names are relative to; absolute */
};
struct conf_src *src_new(enum src_mode mode);
struct src_entry *src_get(const struct conf_src *s, enum src_kind kind, struct str key);
struct src_entry *src_put(struct conf_src *s, enum src_kind kind, struct str key, struct str data,
			  bool copy);
/* The text of a configuration file by its name as messages show it. */
int  src_file(struct conf_src *s, const char *name, struct str *out);
/* Names that a pattern matches, sorted, NUL-separated. */
int  src_glob(struct conf_src *s, const char *pattern, struct str *out);
bool src_env(struct conf_src *s, struct str name, struct str *out);
/* `path` as seen from the file `from`: messages' form (absolute false) or absolute. In pool p. */
char *src_join(const struct conf_src *s, struct pool *p, const char *from, struct str path,
	       bool absolute);

/* ---------- lex.c ---------- */
enum tok_kind {
	TK_EOF, TK_NL, TK_SEMI, TK_LBRACE, TK_RBRACE, TK_LPAREN, TK_RPAREN, TK_COMMA,
	TK_WORD, TK_STRING, TK_RAW, TK_EXPR, TK_BAD,
};
struct tok {
	enum tok_kind   kind;
	struct conf_loc loc;
	unsigned        span;
	struct str      raw;          /* as written */
	struct str text; /* made by value.c: quotes, escapes, ${} done; EXPR: comments blanked */
	bool            expanded, failed, from_file;
	bool plain; /* text is raw without its quotes: offsets in it are columns */
};
struct lex {
	struct conf_diag *d;
	const char       *file, *p, *end;
	unsigned          line, col;
	bool              touching;   /* the last token ended right here */
	struct conf_loc   open_loc;   /* scratch for messages */
};
void lex_init(struct lex *lx, struct conf_diag *d, const char *file, struct str text);
/* Reports bytes that no configuration may hold, too long lines; false when there are any. */
bool lex_vet(struct conf_diag *d, const char *file, struct str text);
void lex_next(struct lex *lx, struct tok *t);
/* From here to the `{` of the block or the end of the statement, as one token; TK_BAD when
 * reported. */
void lex_expr(struct lex *lx, struct tok *t);
/* Line and column `off` bytes into the raw text of a token. */
struct conf_loc lex_locate(const struct tok *t, size_t off);
unsigned lex_columns(struct str s);                   /* code points */
/* Length of the well-formed UTF-8 sequence at p, 0 if none. */
size_t lex_utf8(const unsigned char *p, size_t n);

/* ---------- sig.c ---------- */
#define SIG_ALTS  6
#define SIG_ELS   8
#define SIG_WORDS 8
struct sig_el {
	enum conf_type type;
	unsigned       opt_n;         /* elements of the optional group that begins here */
	bool           repeat;
	unsigned       n_words;
	struct str     words[SIG_WORDS];   /* ENUM, LITERAL */
	enum tbl_dir   ref;           /* REF: kind */
	int            port;          /* ADDR: default port, -1 none */
};
struct sig_alt {
	unsigned      n;
	struct sig_el el[SIG_ELS];
};
struct sig {
	unsigned       n;
	struct sig_alt alt[SIG_ALTS];
	bool           has_expr;
};
const struct sig *sig_of(enum tbl_dir id);
/* The row of a directive name in a context, NULL when unknown there. */
const struct tbl_dir_row *sig_lookup(enum tbl_ctx ctx, struct str name);
bool sig_expr_directive(struct str name);             /* some row of that name takes `when EXPR` */

/* ---------- parse.c ---------- */
struct ref_fix {
	struct conf_node *node;
	unsigned          val;
	enum tbl_dir      kind;
	struct ref_fix   *next;
};
struct loader {
	struct conf      *c;
	struct conf_src  *src;
	struct conf_diag *d;
	struct pool      *pool;
	struct ref_fix   *refs, **refs_tail;
	const char       *stack[CONF_DEPTH_MAX];   /* files being read */
	unsigned          depth;
	size_t            bytes;
	bool              oom;
};
/* Reads one file into the tree under root. `at`: the include that asks for it, NULL for the main
 * file. */
void parse_file(struct loader *ld, const char *name, const struct tok *at);
struct match_in {
	const struct tbl_dir_row *row;
	struct tok               *tok;        /* tok[0] is the directive's name */
	unsigned                  n;          /* tokens in all */
	bool (*stop)(void *ctx, const struct tok *t); /* is it the next option's name? */
	void                     *stop_ctx;
};
struct match_out {
	struct conf_val *val;         /* in the pool */
	enum tbl_dir    *ref;         /* kinds of the REF values, by position */
	unsigned         n_val, used; /* tokens used, name included */
};
/* Matches the arguments of a directive; false when reported. */
bool sig_match(struct loader *ld, const struct match_in *in, struct match_out *out);

/* ---------- value.c ---------- */
struct val_fail {
	char text[300], hint[200];    /* text empty: only "expected ..." */
	size_t off, len;              /* in the token's text, when len > 0 */
};
#define VAL_SAY(f, ...)  snprintf((f)->text, sizeof((f)->text), __VA_ARGS__)
#define VAL_HINT(f, ...) snprintf((f)->hint, sizeof((f)->hint), __VA_ARGS__)
bool val_expand(struct loader *ld, struct tok *t);    /* false when reported */
bool val_parse(struct loader *ld, const struct sig_el *el, struct tok *t, struct conf_val *v,
	       struct val_fail *f);
void val_expect(const struct sig_el *el, struct sb *b);       /* "a time such as 5s" */
void val_number_text(enum conf_type type, int64_t v, struct sb *b);   /* "5s", "64k" */
/* Quotes when the bare form would not come back as the same token. */
void val_quote(struct str s, struct sb *b);
bool val_is_name(struct str s);

/* ---------- number.c, address.c ---------- */
bool val_number(enum conf_type type, struct tok *t, struct conf_val *v, struct val_fail *f);
bool val_address(const struct sig_el *el, struct tok *t, struct conf_val *v, struct val_fail *f);
bool val_hostport(struct tok *t, struct conf_val *v, struct val_fail *f);
bool val_prefix(struct tok *t, struct conf_val *v, struct val_fail *f);

/* ---------- load.c, tree.c, resolve.c, check*.c ---------- */
extern struct conf_hooks conf_hooks;
struct conf_node *tree_add(struct loader *ld, struct conf_node *parent,
			   const struct tbl_dir_row *row, const struct tok *at);
struct map *conf_index(const struct conf *c);
int  tree_index_add(struct loader *ld, struct conf_node *n, struct conf_node **first);
/* Arguments of a row from a text of ours, as if a file said them; false when they do not fit it. */
bool tree_values(struct loader *ld, const struct tbl_dir_row *row, struct str text, struct match_out *out);
void kept_apply(struct loader *ld);                   /* kept.c */
void resolve_refs(struct loader *ld);
void resolve_cycles(struct loader *ld);
void check_all(struct loader *ld);
/* Takes the address of a `listen` or `http`, or says who has it or a part of it. */
void check_claim(struct loader *ld, const struct conf_node *l, struct map *listens);
void check_flow(struct loader *ld, const struct conf_node *flow);
void check_cores(struct loader *ld, const struct conf_node *vs);
void check_vserver(struct loader *ld, const struct conf_node *vs, struct map *listens);
void check_templates(struct loader *ld, const struct conf_node *n);
/* "pool \"app\"", "service \"app/a1\"", "the configuration" */
const char *node_title(struct pool *p, const struct conf_node *n);
/* An expression with runs of blanks outside strings as one space: what is compared and printed. */
void expr_print(struct str s, struct sb *b);
/* One value as dump prints it. */
void val_print(const struct conf_node *n, const struct conf_val *v, struct sb *b);

#endif
