/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_unit.h - a head as one line of text, so that a table can say what is expected, and the split
 * test
 *
 *   request    METHOD path[?query] authority BODY FLAGS|Name: value|...
 *   response   STATUS reason BODY FLAGS|Name: value|...
 *   refused    !code@offset
 *   BODY       - none, c chunked, x until close, else the length
 *   FLAGS      0 or 1 the minor version, k keepalive, e expect-continue, t te-trailers,
 *              u=PROTO upgrade
 */
#ifndef FL_TESTS_UNIT_HTTP_H1_UNIT_H
#define FL_TESTS_UNIT_HTTP_H1_UNIT_H

#include <stdio.h>
#include <time.h>

#include "http/h1.h"
#include "http/h1_span.h"
#include "tests/unit/base/unit.h"

static inline void unit_use_nth(unsigned k)
{
	ck_assert(h1_span_use(h1_span_nth(k)->name));
}
static inline void unit_use_0(void)
{
	unit_use_nth(0);
}
static inline void unit_use_1(void)
{
	unit_use_nth(1);
}
static inline void unit_use_2(void)
{
	unit_use_nth(2);
}
static void (*const unit_use[])(void) = { unit_use_0, unit_use_1, unit_use_2 };

/* UNIT_CASE() once with each implementation of h1_span.h that this CPU can run; check tells a
 * setup nothing, so there is one for each. */
#define H1_CASE(suite, what, fn) \
	do { \
		static char names_[FL_ARRAY_LEN(unit_use)][64]; \
		for (unsigned k_ = 0; h1_span_nth(k_); k_++) { \
			TCase *tc_ = tcase_create(names_[k_]); \
			snprintf(names_[k_], sizeof(names_[k_]), "%s, %s", what, \
				 h1_span_nth(k_)->name); \
			tcase_set_timeout(tc_, 60); \
			tcase_add_checked_fixture(tc_, unit_use[k_], NULL); \
			tcase_add_test(tc_, fn); \
			suite_add_tcase(suite, tc_); \
		} \
	} while (0)

struct h1_input {
	bool is_response, tls;
	enum http_method method;        /* of the request that is answered */
	const struct h1_limits *limits; /* NULL: the default */
};

static inline void unit_dump(struct sb *b, const struct http_head *h)
{
	if (h->is_response)
		sb_fmt(b, "%u " STR_FMT, h->status, STR_ARG(h->reason));
	else
		sb_fmt(b, STR_FMT " " STR_FMT "%s" STR_FMT " " STR_FMT, STR_ARG(h->method_s),
		       STR_ARG(h->path), h->query.p ? "?" : "", STR_ARG(h->query),
		       STR_ARG(h->authority));
	if (h->body == HB_LENGTH)
		sb_fmt(b, " %llu ", (unsigned long long)h->length);
	else
		sb_fmt(b, " %s ", h->body == HB_NONE ? "-" : h->body == HB_CHUNKED ? "c" : "x");
	sb_u64(b, h->minor);
	sb_c(b, h->keepalive ? "k" : "");
	sb_c(b, h->expect_continue ? "e" : "");
	sb_c(b, h->te_trailers ? "t" : "");
	if (h->upgrade)
		sb_fmt(b, "u=" STR_FMT, STR_ARG(h->upgrade_proto));
	for (unsigned i = 0; i < h->n_fields; i++)
		sb_fmt(b, "|" STR_FMT ": " STR_FMT, STR_ARG(h->fields[i].name),
		       STR_ARG(h->fields[i].value));
}

/* One call on a copy of exactly n bytes, so that a read past the end is seen by ASan. */
static inline ssize_t unit_parse(const struct h1_input *in, const uint8_t *p, size_t n,
				 size_t *seen, struct pool *pool, struct http_head *h,
				 enum h1_reason *why, size_t *off)
{
	const struct h1_limits *l = in->limits ? in->limits : &h1_limits_default;

	if (in->is_response)
		return h1_parse_response(p, n, seen, l, in->method, pool, h, why, off);
	return h1_parse_request(p, n, seen, l, in->tls, pool, h, why, off);
}

/* The outcome when the input comes as prefixes of `first`, first + step, ... bytes. "" while
 * incomplete. *len: the head's. */
static inline void unit_feed(const struct h1_input *in, struct str text, size_t first, size_t step,
			     struct sb *out, size_t *len)
{
	size_t seen = 0, n = first;

	out->n = 0;
	out->p[0] = '\0';
	for (*len = 0;; n = FL_MIN(n + step, text.n)) {
		struct pool *pool = pool_new("test", 0);
		uint8_t *copy = malloc(n + 1);
		struct http_head h;
		enum h1_reason why = H1_OK;
		size_t off = 0;
		ssize_t r;

		ck_assert(pool && copy);
		memcpy(copy, text.p, n);
		copy = realloc(copy, n ? n : 1);
		r = unit_parse(in, copy, n, &seen, pool, &h, &why, &off);
		if (r > 0) {
			ck_assert_uint_le((size_t)r, n);
			ck_assert_uint_eq(seen, 0);
			unit_dump(out, &h);
			*len = (size_t)r;
		} else if (r < 0) {
			ck_assert(why != H1_OK);
			ck_assert_uint_le(off, n);
			sb_fmt(out, "!%s@%zu", h1_reason_code(why), off);
		}
		free(copy);
		pool_free(&pool);
		if (r || n == text.n)
			return;
	}
}

/* What the whole gives, every cut in two and byte by byte must give. */
static inline void unit_all_splits(const struct h1_input *in, const char *name, struct str text,
				   struct sb *whole)
{
	static char mem[65536];
	struct sb b;
	size_t len, len2;

	sb_init(&b, mem, sizeof(mem));
	unit_feed(in, text, text.n, 1, whole, &len);
	unit_feed(in, text, 0, 1, &b, &len2);
	ck_assert_msg(str_eq(sb_get(whole), sb_get(&b)) && len == len2,
		      "%s: whole gives \"%s\", byte by byte \"%s\"", name, whole->p, b.p);
	for (size_t cut = 0; cut<text.n; cut += text.n> 2000 ? 97 : 1) {
		unit_feed(in, text, cut, text.n, &b, &len2);
		ck_assert_msg(str_eq(sb_get(whole), sb_get(&b)) && len == len2,
			      "%s: whole gives \"%s\", cut at %zu \"%s\"", name, whole->p, cut,
			      b.p);
	}
}

/* Our own text of the head, parsed again, must be the same head (but for `k` and the version, which
 * are ours). */
static inline void unit_same_again(const struct h1_input *in, const char *name, struct str text)
{
	static char wire[65536], dump1[65536], dump2[65536];
	struct pool *pool = pool_new("test", 0);
	struct sb b, d1, d2;
	struct http_head h, again;
	enum h1_reason why = H1_OK;
	size_t seen = 0, off = 0;
	ssize_t r;

	ck_assert(pool != NULL);
	sb_init(&b, wire, sizeof(wire));
	sb_init(&d1, dump1, sizeof(dump1));
	sb_init(&d2, dump2, sizeof(dump2));
	ck_assert(unit_parse(in, (const uint8_t *)text.p, text.n, &seen, pool, &h, &why, &off) > 0);
	if (in->is_response)
		h1_put_response(&b, &h, !h.keepalive, false);
	else
		h1_put_request(&b, &h, !h.keepalive);
	ck_assert(!b.over);
	r = unit_parse(in, (const uint8_t *)b.p, b.n, &seen, pool, &again, &why, &off);
	if (!in->is_response && h.authority.n == 0) {
		ck_assert_msg(r < 0 && why == H1_BAD_HOST, "%s", name);
		pool_free(&pool);
		return;
	}
	ck_assert_msg(r == (ssize_t)b.n, "%s: own text is refused (%s): %s", name,
		      h1_reason_code(why), b.p);
	h.minor = again.minor;
	if (h.is_response && (h.status < 200 || h.reason.n == 0)) { /* our phrase, no Connection */
		h.keepalive = again.keepalive;
		h.reason = again.reason;
	}
	unit_dump(&d1, &h);
	unit_dump(&d2, &again);
	ck_assert_msg(str_eq(sb_get(&d1), sb_get(&d2)), "%s: \"%s\" became \"%s\"", name, d1.p,
		      d2.p);
	pool_free(&pool);
}

#endif
