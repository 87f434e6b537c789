/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_chunked.c - chunked bodies: content, trailers, end and refusal do not depend on the split
 *
 * The first byte is the size of the pieces of the second run. Data that came out is written again
 * as chunks and must decode to itself.
 */
#include "config.h"

#include "tests/fuzz/h1_fuzz.h"

struct outcome {
	struct sb data;
	struct http_head trailers;
	size_t at;
	int rc;
	bool done;
	enum h1_reason why;
};

static void decode(struct outcome *o, const uint8_t *p, size_t n, size_t step, struct pool *pool)
{
	static const struct http_head chunked = { .body = HB_CHUNKED };
	struct h1_body b;

	*o = (struct outcome){ 0 };
	sb_init_heap(&o->data);
	h1_body_init(&b, &chunked);
	for (size_t end = FL_MIN(step, n); !b.done && o->rc == 0;) {
		struct str data;
		size_t used;

		o->rc = h1_body_next(&b, p + o->at, end - o->at, &used, &data, pool, &o->trailers,
				     &o->why);
		HOLDS(used <= end - o->at);
		HOLDS(data.n == 0 || (data.p >= (const char *)p + o->at &&
				      data.p + data.n <= (const char *)p + o->at + used));
		sb_str(&o->data, data);
		o->at += used;
		if (used == 0 && o->rc == 0 && !b.done) {
			HOLDS(o->at == end);
			if (end == n)
				break;
			end = FL_MIN(end + step, n);
		}
	}
	o->done = b.done;
	for (unsigned i = 0; i < o->trailers.n_fields; i++) {
		fuzz_check_slice(o->trailers.fields[i].name);
		fuzz_check_slice(o->trailers.fields[i].value);
	}
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
	HOLDS(a->rc == b->rc && a->done == b->done && a->at == b->at && a->why == b->why);
	HOLDS(str_eq(sb_get(&a->data), sb_get(&b->data)));
	HOLDS(a->trailers.n_fields == b->trailers.n_fields);
	for (unsigned i = 0; i < a->trailers.n_fields; i++)
		HOLDS(str_eq(a->trailers.fields[i].name, b->trailers.fields[i].name) &&
		      str_eq(a->trailers.fields[i].value, b->trailers.fields[i].value));
}

static void check_output(const struct outcome *o, size_t step, struct pool *pool)
{
	struct outcome again;
	struct sb b;
	char size[20];

	sb_init_heap(&b);
	for (size_t i = 0; i < o->data.n; i += step) {
		size_t n = FL_MIN(step, o->data.n - i);

		sb_add(&b, size, h1_put_chunk_size(size, n));
		sb_add(&b, o->data.p + i, n);
		sb_add(&b, "\r\n", 2);
	}
	h1_put_last_chunk(&b, &o->trailers);
	decode(&again, (const uint8_t *)b.p, b.n, b.n, pool);
	HOLDS(again.rc == 0 && again.done && again.at == b.n);
	again.at = o->at;
	check_same(o, &again);
	sb_free(&again.data);
	sb_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool *pool = pool_new("fuzz", 0);
	struct outcome whole, pieces, bytes;

	if (size < 1) {
		pool_free(&pool);
		return 0;
	}
	decode(&whole, data + 1, size - 1, size, pool);
	decode(&pieces, data + 1, size - 1, data[0] % 64u + 1, pool);
	decode(&bytes, data + 1, size - 1, 1, pool);
	check_same(&whole, &pieces);
	check_same(&whole, &bytes);
	if (whole.rc == 0 && whole.done)
		check_output(&whole, data[0] % 64u + 1, pool);
	sb_free(&whole.data);
	sb_free(&pieces.data);
	sb_free(&bytes.data);
	pool_free(&pool);
	return 0;
}
