/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf.h - the configuration as a checked tree
 *
 * Sources (files, or a captured image of them) -> lexer -> parser driven by tbl/directives.def ->
 * tree of nodes -> reference resolution -> checks of whole objects. All mistakes are reported in
 * one run. The tree is immutable afterwards; other rooms build their run-time objects
 * from it, and dump, diff, fmt and JSON walk it generically. Nothing here knows what a directive
 * does.
 *
 * Used by gen (loading), control (image), fairlead -t and fairleadctl (files). One thread.
 */
#ifndef FL_CONF_CONF_H
#define FL_CONF_CONF_H

#include "base/addr.h"
#include "base/pool.h"
#include "tbl/tbl.h"

struct conf_loc {
	const char *file;            /* NULL: from a table default */
	unsigned    line, col;       /* 1-based */
};

/* ---------- diagnostics ---------- */
enum conf_sev { CONF_ERROR, CONF_WARNING };
struct conf_diag_msg {
	enum conf_sev   sev;
	const char     *code;        /* "E0101", a row of tbl/diags.def; NULL: none */
	struct conf_loc loc;
	unsigned        span;        /* columns under the caret line, >= 1 */
	const char     *text;        /* "unknown directive \"mehtod\" in pool \"app\"" */
	const char     *hint;        /* "did you mean \"method\"?"; NULL when none */
	const char     *src_line;    /* the source line; NULL when unknown */
};
struct conf_diag;                /* collects messages; 20 errors are kept, the rest counted */
/* A text begins with its code in brackets, "[E0101] unknown ...", which comes to its end in print. */
struct map;
struct conf_diag *conf_diag_new(void);
void conf_diag_free(struct conf_diag **d);
void conf_error(struct conf_diag *d, struct conf_loc loc, unsigned span, const char *hint,
		const char *fmt, ...)
	FL_PRINTF(5, 6);
void conf_warn(struct conf_diag *d, struct conf_loc loc, unsigned span, const char *hint,
		const char *fmt, ...)
	FL_PRINTF(5, 6);
/* Code of messages from now on that do not begin with one, without its letter ("0502"); NULL: none. */
void conf_diag_default(struct conf_diag *d, const char *digits);
unsigned conf_diag_errors(const struct conf_diag *d);
unsigned conf_diag_warnings(const struct conf_diag *d);
unsigned conf_diag_count(const struct conf_diag *d);
const struct conf_diag_msg *conf_diag_get(const struct conf_diag *d, unsigned i);
/* Everything as people read it: file:line:col: error: text / source line / caret and hint; sorted
 * by place; no summary line. With json: a JSON array. */
void conf_diag_print(const struct conf_diag *d, struct sb *out, bool json);

/* ---------- sources ---------- */
/* Where file contents come from, and what was read: an image that can be sent to another
 * process. */
struct conf_src;
/* From the file system; `path` is the main file. Reads through env; records all it reads. */
struct conf_src *conf_src_files(const char *path);
/* From text in memory under a name ("<demo>", "<one-liner>"); includes relative to the working
 * directory. */
struct conf_src *conf_src_text(const char *name, struct str text);
/* From an image made by conf_src_image(); never touches the file system. Bytes must stay valid. */
struct conf_src *conf_src_from_image(struct str image);
void conf_src_free(struct conf_src **s);
/* Everything read so far, serialised (checksummed). with_secrets: also what conf_src_read(…,
 * secret) read (keys); else these are left out. Heap memory in *out (env_free). */
int  conf_src_image(const struct conf_src *s, bool with_secrets, char **out, size_t *len);
/* Reads a file that the configuration names (certificate, key, body), through the image; at most
 * 16 MiB. Content is owned by the source. Negated errno, -ENOENT from an image without it. */
int  conf_src_read(struct conf_src *s, const char *path, bool secret, struct str *out);
/* What runs and only a restart changes: `lines` is what conf_kept_print() made of the tree that the
 * appliance started with. A load of `s` keeps those values, warns where the files say other ones, and so
 * does a load of its image. Once, before the load; 0 or FL_ENOMEM_. */
int  conf_src_keep(struct conf_src *s, struct str lines);
/* What of a file that was read as secret everybody may see, e.g. the certificate in front of a key: an
 * image without secrets has this text in the file's place, to be read as not secret. Copied. */
void conf_src_open(struct conf_src *s, const char *path, struct str text);

/* "80" or "1024-2047", ports from 1 on. False: it is neither. */
bool conf_port_range(struct str word, uint16_t *lo, uint16_t *hi);
#define CONF_RULES_MAX 32u              /* prefixes of one `distribute rules` */

/* ---------- the tree ---------- */
enum conf_type {
	CV_WORD, CV_NAME, CV_STRING, CV_PATH, CV_ADDR, CV_HOSTPORT, CV_TIME, CV_SIZE, CV_COUNT,
	CV_RATE, CV_BOOL, CV_CIDR, CV_EXPR, CV_TEMPLATE, CV_REGEX, CV_ENUM, CV_REF, CV_LITERAL,
};
struct conf_val {
	enum conf_type  type;
	struct conf_loc loc;
	unsigned        span;            /* columns of the token */
	struct str      raw;             /* as written, quotes and ${} included: what dump prints */
	struct str      s;               /* the text after quotes, escapes and substitution, NUL-
	                                  * terminated; enum and literal words; EXPR: source text */
	bool            secret;          /* came from file: or a SECRET row */
	union {
		int64_t           i;  /* TIME us, SIZE bytes, COUNT, RATE bit/s, BOOL, ENUM index */
		struct addr       addr;  /* ADDR; HOSTPORT (family 0: a name, in .s without port) */
		struct cidr       cidr;
		struct conf_node *ref;   /* REF: the node referred to */
	};
	uint16_t        port;            /* ADDR, HOSTPORT */
};
struct conf_node {
	const struct tbl_dir_row *dir;   /* NULL for the root */
	struct conf_loc   loc;
	unsigned          span;          /* of the directive's name */
	const char       *name;          /* OBJ and NAMED rows; NULL for others */
	const char       *full_name;     /* "app", "app/a1", "web/admin": unique per kind */
	unsigned          n_val;
	struct conf_val  *val;           /* by position, name (CV_NAME) and literals included */
	struct conf_node *parent, *child, *last_child, *next;   /* children in written order */
	bool              has_block;     /* written with { } */
	bool              in_line;       /* written in line, behind its object's arguments */
	bool              broken;        /* something in it was refused; never in a tree that was not */
	/* these values run until a restart, the files say this ("" nothing); NULL: they are the files' */
	const char       *file_says;
	void             *obj;           /* run-time object of the room that built it, or NULL */
};
struct conf {
	struct pool      *pool;          /* owns all */
	struct conf_node *root;
	const char       *main_file;
	struct conf_src  *src;           /* borrowed; must outlive the tree: raw texts are its */
	struct map       *index;         /* for conf_find() */
};

/* Checks of values that conf cannot make itself, set once at program start by main (NULL: skipped).
 * Return 0, or FL_ESYNTAX_ with offset, length, text and hint. `planes` is POL_* as the row's
 * context says. */
struct conf_expr_error {
	size_t off, len;
	char   text[256], hint[160];
};
struct conf_hooks {
	int (*check_expr)(struct str src, unsigned planes, struct conf_expr_error *e);
	int (*check_template)(struct str src, unsigned planes, struct conf_expr_error *e);
};
void conf_set_hooks(const struct conf_hooks *h);

/* Reads, checks, resolves. Returns 0 with *out (free with conf_free), or FL_ESYNTAX_ when there was
 * any error; messages in d either way (warnings do not fail). */
int  conf_load(struct conf_src *src, struct conf_diag *d, struct conf **out);
/* The same; a tree that is refused is shown to `more` before it goes, so that what does not depend on its
 * mistakes is checked in the same run. Nodes in it may be broken, values missing, references NULL. */
typedef void (*conf_more_fn)(void *ctx, const struct conf *c, struct conf_diag *d);
int  conf_load_all(struct conf_src *src, struct conf_diag *d, conf_more_fn more, void *ctx,
		   struct conf **out);
void conf_free(struct conf **c);
/* For rows whose argument names a header field to set: a token (RFC 9110 section 5.6.2), none of
 * the codec's own. False with a message in d. */
bool conf_check_field_name(struct conf_diag *d, const struct conf_val *v);

/* --- reading the tree --- */
/* First child with this directive, NULL when not written. */
const struct conf_node *conf_child(const struct conf_node *n, enum tbl_dir id);
/* Next sibling with the same directive as n. */
const struct conf_node *conf_same(const struct conf_node *n);
#define CONF_FOREACH(it, parent, id) \
	for (const struct conf_node *it = conf_child(parent, id); it; it = conf_same(it))
/* Child's first value, or the row's default (parsed once at start); NULL when neither. Values of
 * further positions: conf_child(n, id)->val[k]. */
const struct conf_val *conf_opt(const struct conf_node *n, enum tbl_dir id);
int64_t     conf_opt_int(const struct conf_node *n, enum tbl_dir id);  /* 0 when none */
const char *conf_opt_word(const struct conf_node *n, enum tbl_dir id); /* NULL when none */
bool        conf_opt_bool(const struct conf_node *n, enum tbl_dir id);
/* Finds an object by kind directive and full name. */
const struct conf_node *conf_find(const struct conf *c, enum tbl_dir id, const char *full_name);

/* --- printing --- */
enum conf_dump_flags { CONF_DUMP_DEFAULTS = 1, CONF_DUMP_ORIGIN = 2, CONF_DUMP_JSON = 4 };
/* Canonical text (or JSON) of the whole or of one node. Parsing the text gives an equal tree.
 * Secrets are printed as "***" or as their file: form. */
void conf_dump(const struct conf *c, const struct conf_node *n, unsigned flags, struct sb *out);
/* One line "PATH VALUES" for each row that only a restart applies, for conf_src_keep(). */
void conf_kept_print(const struct conf *c, struct sb *out);
/* Object-level difference, one line each: "+ pool.app.service.a3 10.0.0.3:80", "- ...", "~ path old
 * -> new". Returns the number of lines. */
unsigned conf_diff(const struct conf *from, const struct conf *to, struct sb *out);
/* A file's text in house form: one statement a line, tabs by depth, blanks around braces; comments are kept,
 * and so is what it says. FL_ESYNTAX_ when its braces or strings are broken (d says). */
int  conf_fmt(struct str text, const char *name, struct conf_diag *d, struct sb *out);

#endif
