/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1.h - the HTTP/1.x codec: pure functions from bytes to events and back
 *
 * No I/O, no allocation but from the pool given, no length pass apart from the copy pass: state and
 * bytes in, consumed bytes and events out (R16). Strict in, canonical out (R17): RFC 9112,
 * ROBUSTNESS 6.2. What is parsed is the same for every split of the input.
 */
#ifndef FL_HTTP_H1_H
#define FL_HTTP_H1_H

#include <sys/types.h>

#include "http/head.h"

/* Why a message was refused; rows: R(id, status, "code", "text") in tbl/h1_reasons.def. `status` is
 * the answer to a client; from a service any of them means 502. */
enum h1_reason {
	H1_OK,
#define R(id, status, code, text) H1_##id,
#include "tbl/h1_reasons.def"
#undef R
	H1__COUNT
};
unsigned    h1_reason_status(enum h1_reason r);
const char *h1_reason_code(enum h1_reason r);             /* "te-and-cl": logs, counters */
const char *h1_reason_text(enum h1_reason r);

struct h1_limits {
	size_t   max_request_line, max_head, max_field;   /* bytes */
	unsigned max_fields;
};
extern const struct h1_limits h1_limits_default;

/* ---------- heads ---------- */
/* Parses a whole request head from p[0..n). `seen` is a mark of how far an earlier call on the same
 * beginning (same bytes first, n not smaller, same limits) came: 0 at first, else what that call
 * left there, not a length; a head that comes in pieces so costs linear time. 0 again when the head
 * is complete. Returns:
 *   > 0  length of the head, blank line included; *h is filled (fields array from `pool`; slices point into
 *        p, and into pool where text had to be rewritten)
 *   0    incomplete
 *   < 0  refused: *why, and *off = offset of the byte where it was noticed
 * Leading empty lines (at most 2 CRLF) before a request line are skipped and counted in the length.
 * `tls`: scheme https. */
ssize_t h1_parse_request(const uint8_t *p, size_t n, size_t *seen, const struct h1_limits *l,
			 bool tls, struct pool *pool,
			 struct http_head *h, enum h1_reason *why, size_t *off);
/* The same for a response to a request of method `m` (HEAD, CONNECT decide framing). */
ssize_t h1_parse_response(const uint8_t *p, size_t n, size_t *seen, const struct h1_limits *l,
			  enum http_method m,
			  struct pool *pool, struct http_head *h, enum h1_reason *why, size_t *off);

/* ---------- bodies ---------- */
/* Decoder of a message body's framing, by head->body. Zero-copy: tells which part of the input is
 * content. */
struct h1_body {
	enum http_body kind;
	uint8_t        state;
	bool           done;
	uint64_t       left;             /* of the length or the chunk */
	uint32_t       line, ext_total, trailer_bytes, n_trailers;
	uint32_t       text_cap;         /* of text */
	/* private to the decoder: the trailer line so far, in the pool given */
	char          *text;
};
void h1_body_init(struct h1_body *b, const struct http_head *h);
/* Looks at p[0..n): consumes *used bytes, of which data (may be empty) is content. done when the
 * message ended (the rest of the input is the next message). Call again while *used > 0 or data is
 * non-empty. Returns 0, or -1 with *why and *used = offset of the byte that is wrong. The same pool
 * and trailers until done. Without them trailers are skipped. Trailer field lines are collected
 * whole into trailers (fields array and text from pool; framing, routing and authentication fields
 * are dropped); trailers may be NULL: skipped. */
int  h1_body_next(struct h1_body *b, const uint8_t *p, size_t n, size_t *used, struct str *data,
		  struct pool *pool,
		  struct http_head *trailers, enum h1_reason *why);

/* ---------- output ---------- */
/* Canonical head text. Framing fields are written from h->body/length, Connection from `close`,
 * `upgrade`; other connection-level fields never appear. A head without authority (HTTP/1.0 without
 * Host) gets an empty Host. Chunked becomes close-delimited for to_http10. Appends to b; b->over
 * when it did not fit. */
void h1_put_request(struct sb *b, const struct http_head *h, bool close);
void h1_put_response(struct sb *b, const struct http_head *h, bool close, bool to_http10);
/* "1a2b\r\n" before n bytes of content (the CRLF after them is the caller's), and the end
 * "0\r\n[trailers]\r\n". */
unsigned h1_put_chunk_size(char out[20], size_t n);
void h1_put_last_chunk(struct sb *b, const struct http_head *trailers);

#endif
