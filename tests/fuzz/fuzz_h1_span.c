/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_h1_span.c - every implementation of h1_span.h gives what the scalar one gives: runs, lines and
 * whole heads
 *
 * The first two bytes choose the limits, what kind of head it is and where it is cut in two. The
 * rest is copied to a block of its size, since libFuzzer's own may have more behind it.
 */
#include "config.h"

#include "http/h1_span.h"
#include "tests/fuzz/h1_fuzz.h"

#define LINES_MAX 32

/* The last one that there is. */
static const struct h1_span *scalar(void)
{
	unsigned k = 0;

	while (h1_span_nth(k + 1))
		k++;
	return h1_span_nth(k);
}

/* All runs of p, one behind the other. */
static void same_runs(h1_run_fn *a, h1_run_fn *b, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i <= n; i++) {
		size_t end = a(p, i, n);

		HOLDS(end >= i && end <= n && end == b(p, i, n));
		i = end;
	}
}

/* From many places on: all near the beginning, fewer behind, so that the cost stays linear. */
static void same_lines(const struct h1_span *a, const struct h1_span *b, const uint8_t *p, size_t n,
		       size_t max_len)
{
	for (size_t i = 0; i <= n; i++) {
		struct h1_line la[LINES_MAX], lb[LINES_MAX];
		size_t ia = i, ib = i;
		unsigned k = a->lines(p, &ia, n, max_len, la, LINES_MAX);

		HOLDS(k == b->lines(p, &ib, n, max_len, lb, LINES_MAX) && ia == ib);
		HOLDS(k == 0 || memcmp(la, lb, k * sizeof(*la)) == 0);
		HOLDS(ia >= i && ia <= n && (k > 0) == (ia > i));
		i = k ? ia : i + i / 8;
	}
}

struct result {
	ssize_t r;
	size_t seen, off;
	enum h1_reason why;
	struct http_head h;
};

static void parse(const struct h1_fuzz *f, const struct h1_span *s, const uint8_t *p, size_t n,
		  size_t cut, struct pool *pool, struct result *o)
{
	*o = (struct result){ .why = H1_OK };
	HOLDS(h1_span_use(s->name));
	o->r = fuzz_parse(f, p, cut, &o->seen, pool, &o->h, &o->why, &o->off);
	if (o->r == 0)
		o->r = fuzz_parse(f, p, n, &o->seen, pool, &o->h, &o->why, &o->off);
	HOLDS(h1_span_use(NULL));
}

static void same_heads(const struct h1_fuzz *f, const struct h1_span *a, const struct h1_span *b,
		       const uint8_t *p, size_t n, size_t cut)
{
	struct pool *pool = pool_new("fuzz", 0);
	struct result ra, rb;

	parse(f, a, p, n, cut, pool, &ra);
	parse(f, b, p, n, cut, pool, &rb);
	HOLDS(ra.r == rb.r && ra.seen == rb.seen && ra.off == rb.off && ra.why == rb.why);
	if (ra.r > 0) {
		fuzz_check_head(&ra.h);
		fuzz_check_same(&ra.h, &rb.h);
		HOLDS(ra.h.keepalive == rb.h.keepalive && ra.h.minor == rb.h.minor);
	}
	pool_free(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct h1_limits small = { 60, 200, 80, 5 };
	struct h1_fuzz f = { .limits = h1_limits_default, .method = HM_GET };
	const struct h1_span *a = scalar(), *b;
	uint8_t *p;
	size_t n;

	if (size < 2)
		return 0;
	n = size - 2;
	if (data[0] & 1)
		f.limits = small;
	f.is_response = (data[0] & 2) != 0;
	p = malloc(n ? n : 1);
	HOLDS(p != NULL);
	memcpy(p, data + 2, n);
	for (unsigned k = 0; (b = h1_span_nth(k)) != NULL; k++) {
		same_runs(a->token, b->token, p, n);
		same_runs(a->target, b->target, p, n);
		same_runs(a->value, b->value, p, n);
		same_runs(a->path, b->path, p, n);
		same_runs(a->query, b->query, p, n);
		same_lines(a, b, p, n, f.limits.max_field);
		same_heads(&f, a, b, p, n, data[1] % (n + 1));
	}
	free(p);
	return 0;
}
