/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_fuzz.h - what every HTTP/1 head must keep true, whatever bytes it was made from
 *
 * A property that does not hold aborts. Slices are read to their end, so ASan sees one that points
 * elsewhere.
 */
#ifndef FL_TESTS_FUZZ_H1_FUZZ_H
#define FL_TESTS_FUZZ_H1_FUZZ_H

#include <stdlib.h>

#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLDS(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

struct h1_fuzz {
	bool is_response, tls;
	enum http_method method;
	struct h1_limits limits;
};

static inline ssize_t fuzz_parse(const struct h1_fuzz *f, const uint8_t *p, size_t n, size_t *seen,
				 struct pool *pool, struct http_head *h, enum h1_reason *why,
				 size_t *off)
{
	if (f->is_response)
		return h1_parse_response(p, n, seen, &f->limits, f->method, pool, h, why, off);
	return h1_parse_request(p, n, seen, &f->limits, f->tls, pool, h, why, off);
}

/* No byte of a slice can end a line, or is outside of memory that lives. */
static inline void fuzz_check_slice(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		HOLDS(s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\0');
}

static inline void fuzz_check_head(const struct http_head *h)
{
	const struct str parts[] = { h->method_s, h->scheme, h->host,   h->authority,
				     h->path,     h->query,  h->reason, h->upgrade_proto };

	for (size_t i = 0; i < FL_ARRAY_LEN(parts); i++)
		fuzz_check_slice(parts[i]);
	HOLDS(h->n_fields <= h->cap_fields);
	for (unsigned i = 0; i < h->n_fields; i++) {
		fuzz_check_slice(h->fields[i].name);
		fuzz_check_slice(h->fields[i].value);
		HOLDS(h->fields[i].name.n > 0);
		HOLDS(h->fields[i].id == http_field_id(h->fields[i].name));
	}
	HOLDS(h->length <= INT64_MAX);
	HOLDS(h->body == HB_LENGTH || h->length == 0);
	if (!h->is_response) {
		HOLDS(h->body != HB_CLOSE && h->method_s.n > 0);
		HOLDS(h->path.n > 0 && (h->path.p[0] == '/' || h->method == HM_OPTIONS));
	} else {
		HOLDS(h->status >= 100 && h->status <= 599);
	}
}

static inline void fuzz_check_same(const struct http_head *a, const struct http_head *b)
{
	HOLDS(a->method == b->method && str_eq(a->method_s, b->method_s));
	HOLDS(str_eq(a->host, b->host) && str_eq(a->authority, b->authority));
	HOLDS(str_eq(a->path, b->path) && str_eq(a->query, b->query) && !a->query.p == !b->query.p);
	HOLDS(a->status == b->status && a->body == b->body && a->length == b->length);
	HOLDS(a->expect_continue == b->expect_continue && a->te_trailers == b->te_trailers);
	HOLDS(a->upgrade == b->upgrade && str_eq(a->upgrade_proto, b->upgrade_proto));
	HOLDS(a->n_fields == b->n_fields);
	for (unsigned i = 0; i < a->n_fields; i++)
		HOLDS(str_eq(a->fields[i].name, b->fields[i].name) &&
		      str_eq(a->fields[i].value, b->fields[i].value));
}

/* What we write from a head is a head, and the same one. */
static inline void fuzz_check_output(const struct h1_fuzz *f, const struct http_head *h,
				     struct pool *pool)
{
	struct h1_fuzz wide = *f;
	struct http_head again;
	enum h1_reason why = H1_OK;
	size_t seen = 0, off = 0;
	struct sb b;
	ssize_t r;

	wide.limits = (struct h1_limits){ 1 << 20, 1 << 20, 1 << 20, HEAD_FIELDS_MAX };
	sb_init_heap(&b);
	if (f->is_response)
		h1_put_response(&b, h, !h->keepalive, false);
	else
		h1_put_request(&b, h, !h->keepalive);
	r = fuzz_parse(&wide, (const uint8_t *)b.p, b.n, &seen, pool, &again, &why, &off);
	if (!f->is_response && h->authority.n == 0) {
		HOLDS(r < 0 && why == H1_BAD_HOST);
	} else {
		HOLDS(r == (ssize_t)b.n);
		fuzz_check_same(h, &again);
	}
	sb_free(&b);
}

/* The whole, two pieces, and byte by byte give the same head or the same refusal at the same place.
 * */
static inline void fuzz_head(const struct h1_fuzz *f, const uint8_t *p, size_t n, size_t cut)
{
	struct pool *pool = pool_new("fuzz", 0);
	struct http_head h, h2;
	enum h1_reason why = H1_OK, why2 = H1_OK;
	size_t seen = 0, off = 0, off2 = 0;
	ssize_t r = fuzz_parse(f, p, n, &seen, pool, &h, &why, &off), r2;

	HOLDS(r <= (ssize_t)n);
	HOLDS(r >= 0 || (why != H1_OK && off <= n && h1_reason_status(why) >= 400));
	if (r > 0) {
		fuzz_check_head(&h);
		fuzz_check_output(f, &h, pool);
	}
	seen = 0;
	r2 = fuzz_parse(f, p, cut, &seen, pool, &h2, &why2, &off2);
	if (r2 == 0)
		r2 = fuzz_parse(f, p, n, &seen, pool, &h2, &why2, &off2);
	HOLDS(r == r2 && why == why2 && (r >= 0 || off == off2));
	if (r > 0)
		fuzz_check_same(&h, &h2);
	seen = 0;
	r2 = 0;
	for (size_t i = 0; i <= n && r2 == 0; i++)
		r2 = fuzz_parse(f, p, i, &seen, pool, &h2, &why2, &off2);
	HOLDS(r == r2 && why == why2 && (r >= 0 || off == off2));
	pool_free(&pool);
}

#endif
