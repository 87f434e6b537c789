/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_inside.h - what the files of the HTTP/1 codec share: byte classes, the lexer, the target
 * normaliser
 *
 * Private to h1_*.c and their tests.
 */
#ifndef FL_HTTP_H1_INSIDE_H
#define FL_HTTP_H1_INSIDE_H

#include "http/h1.h"
#include "http/h1_span.h"

/* ---------- byte classes (h1_lex.c) ---------- */
enum {
	HC_TOKEN = 1,  /* tchar, RFC 9110 section 5.6.2 */
	HC_VALUE = 2,  /* field-vchar, SP, HTAB */
	HC_TARGET = 4, /* visible ASCII but "#": what a request target is cut out by */
	HC_PATH = 8,   /* pchar and "/" but "%", ".", ";": nothing to do in a path */
	HC_QUERY = 16, /* query characters of RFC 3986 section 3.4, "%" included */
	HC_HOST = 32,  /* a-z 0-9 - _ */
	HC_UNRESERVED = 64,
};
extern const uint8_t h1_class[256];
static inline bool h1_is(uint8_t c, unsigned cls)
{
	return (h1_class[c] & cls) != 0;
}
int h1_hex(uint8_t c); /* 0..15, -1 */

/* ---------- lexer (h1_lex.c) ---------- */
/* Cuts a head into its lines and parts, byte by byte and in order: the first byte that is wrong is
 * the one reported, however the input was split. Knows syntax and limits, not what fields mean. */
struct h1_lex {
	const uint8_t *p;
	size_t n, pos, line; /* pos: next byte to look at; line: where its line began */
	unsigned state, n_lines;
	bool is_response;
	struct h1_limits l;
	enum h1_reason why; /* when refused; pos is where */
	/* Valid when the lexer began at byte 0: */
	size_t start;        /* behind empty lines */
	size_t part1, part2; /* request: method ends, target ends; response: reason begins, ends */
	uint8_t minor;
	uint16_t status;
	struct h1_line *lines; /* l.max_fields of them (h1_span.h) */
};
enum h1_lexed { H1L_MORE, H1L_DONE, H1L_BAD };
void h1_lex_init(struct h1_lex *x, bool is_response, const struct h1_limits *l,
		 struct h1_line *lines);
enum h1_lexed h1_lex_run(struct h1_lex *x, const uint8_t *p, size_t n);
/* The state as one number that a caller keeps between calls (0: the beginning), and back. */
size_t h1_lex_mark(const struct h1_lex *x);
void h1_lex_resume(struct h1_lex *x, size_t mark);

/* ---------- target (h1_uri.c) ---------- */
/* The one normal form of a path: begins with "/", unreserved characters not encoded, upper-case
 * hex, no dot segments, no leading "//". H1_BAD_PATH when two consumers could read it differently.
 * *out is `in` itself when nothing had to be rewritten, else in pool. Normalising twice changes
 * nothing. */
enum h1_reason h1_path_normalise(struct pool *pool, struct str in, struct str *out);
/* Characters that RFC 3986 does not allow are encoded; nothing is decoded. */
enum h1_reason h1_query_normalise(struct pool *pool, struct str in, struct str *out);
/* host [":" port] of Host or an absolute target: lower case, no trailing dot, no default port of
 * `scheme`. */
enum h1_reason h1_authority_normalise(struct pool *pool, struct str in, bool tls, struct str *host,
				      struct str *authority);
/* Splits and normalises the target of `h` (method set) into path, query and, in absolute form, host
 * and authority. */
enum h1_reason h1_target_parse(struct pool *pool, struct str target, bool tls, struct http_head *h);

/* ---------- fields (h1_head.c) ---------- */
/* Fields that a sender can neither have removed by naming them in Connection nor send as a trailer.
 * */
bool h1_field_is_protected(struct str name, enum http_fid id);
/* Is it this name (whole), or does it begin so? Many services take '_' for '-' (RFC 3875 section
 * 4.1.18 turns both into one), so do we wherever a name decides what is kept from them. */
static inline bool h1_name_says(struct str name, struct str what, bool whole)
{
	if (name.n < what.n || (whole && name.n != what.n))
		return false;
	for (size_t i = 0; i < what.n; i++) {
		char a = name.p[i] == '_' ? '-' : name.p[i], b = what.p[i] == '_' ? '-' : what.p[i];

		if (fl_lower((unsigned char)a) != fl_lower((unsigned char)b))
			return false;
	}
	return true;
}

#endif
