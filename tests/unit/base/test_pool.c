/* SPDX-License-Identifier: Apache-2.0 */
/* test_pool.c - regions and slabs: alignment, no overlap, limits, reuse */
#include "config.h"

#include "base/pool.h"

#include <stdio.h>

#include "tests/unit/base/unit.h"

#define PIECES 3000

static struct { unsigned char *p; size_t n; unsigned char mark; } pieces[PIECES];

START_TEST(pieces_do_not_overlap)
{
	struct pool *p = pool_new("t", 0);
	uint64_t seed = 1;

	for (int round = 0; round < 3; round++) {
		size_t sum = 0;

		for (int i = 0; i < PIECES; i++) {
			size_t n = unit_rand(&seed) % (i % 50 == 0 ? 100000 : 300);

			pieces[i].p = pool_alloc(p, n);
			pieces[i].n = n;
			pieces[i].mark = (unsigned char)unit_rand(&seed);
			ck_assert_ptr_nonnull(pieces[i].p);
			ck_assert_uint_eq((uintptr_t)pieces[i].p % 16, 0);
			memset(pieces[i].p, pieces[i].mark, n);
			sum += n;
			ck_assert_uint_ge(pool_used(p), sum);
		}
		for (int i = 0; i < PIECES; i++)
			for (size_t k = 0; k < pieces[i].n; k++)
				ck_assert_int_eq(pieces[i].p[k], pieces[i].mark);
		pool_reset(p);
		ck_assert_uint_eq(pool_used(p), 0);
	}
	pool_free(&p);
	ck_assert_ptr_null(p);
	pool_free(&p);
}
END_TEST

START_TEST(limits)
{
	struct pool *p = pool_new("t", 1000);
	int n = 0;

	ck_assert_ptr_null(pool_alloc(p, 1001));
	while (pool_alloc(p, 100))
		n++;
	ck_assert_int_eq(n, 8);       /* 112 bytes each */
	ck_assert_uint_le(pool_used(p), 1000);
	ck_assert_ptr_nonnull(pool_alloc(p, 16));
	pool_reset(p);
	ck_assert_ptr_nonnull(pool_alloc(p, 900));
	pool_free(&p);

	p = pool_new("t", 0);
	ck_assert_ptr_null(pool_alloc(p, SIZE_MAX));
	ck_assert_ptr_null(pool_alloc(p, SIZE_MAX - 15));
	ck_assert_ptr_null(pool_array(p, SIZE_MAX / 2 + 1, 2));
	ck_assert_ptr_null(pool_array(p, SIZE_MAX / 8, 9));
	ck_assert_ptr_null(pool_strndup(p, "x", SIZE_MAX));
	ck_assert_uint_eq(pool_used(p), 0);
	ck_assert_ptr_nonnull(pool_array(p, 0, 8));
	pool_free(&p);
}
END_TEST

START_TEST(texts)
{
	struct pool *p = pool_new("t", 0);
	unsigned char *z = memset(pool_alloc(p, 500), 0xaa, 500);
	struct str s;

	ck_assert_ptr_nonnull(z);
	pool_reset(p);
	z = pool_zalloc(p, 500);
	for (int i = 0; i < 500; i++)
		ck_assert_int_eq(z[i], 0);
	ck_assert_str_eq(pool_strndup(p, "abcdef", 3), "abc");
	ck_assert_str_eq(pool_strndup(p, NULL, 0), "");
	s = pool_str(p, str_n("a\0b", 3));
	ck_assert_uint_eq(s.n, 3);
	ck_assert_int_eq(memcmp(s.p, "a\0b", 4), 0);
	ck_assert_str_eq(pool_fmt(p, "%s-%05d", "x", 42), "x-00042");
	ck_assert_uint_eq(strlen(pool_fmt(p, "%5000d", 1)), 5000);
	pool_free(&p);
	p = pool_new("t", 8);
	ck_assert_ptr_null(pool_str(p, STR("a")).p);
	ck_assert_ptr_null(pool_fmt(p, "%d", 1));
	pool_free(&p);
}
END_TEST

START_TEST(slabs)
{
	static const struct { size_t size, want; } sizes[] = {
		{ 1, 16 }, { 16, 16 }, { 17, 32 }, { 63, 64 }, { 64, 64 }, { 65, 96 }, { 128, 128 }, { 200, 224 },
	};
	struct slab s;

	for (size_t i = 0; i < FL_ARRAY_LEN(sizes); i++) {
		unsigned char *obj[100];
		unsigned char *last;

		slab_init(&s, "t", sizes[i].size, 7, 100);
		ck_assert_uint_eq(s.size, sizes[i].want);
		for (int k = 0; k < 100; k++) {
			obj[k] = slab_get(&s);
			ck_assert_ptr_nonnull(obj[k]);
			ck_assert_uint_eq((uintptr_t)obj[k] % (s.size % 64 == 0 ? 64 : s.size >= 64 ? 32 : 16), 0);
			for (size_t b = 0; b < s.size; b++)
				ck_assert_int_eq(obj[k][b], 0);
			memset(obj[k], k + 1, s.size);
		}
		ck_assert_ptr_null(slab_get(&s));       /* the limit, not a multiple of a block */
		ck_assert_uint_eq(s.live, 100);
		ck_assert_uint_eq(s.total, 100);
		for (int k = 0; k < 100; k++)
			for (size_t b = 0; b < s.size; b++)
				ck_assert_int_eq(obj[k][b], k + 1);
		slab_put(&s, obj[3]);
		slab_put(&s, obj[50]);
		slab_put(&s, NULL);
		ck_assert_uint_eq(s.live, 98);
		last = slab_get(&s);
		ck_assert_ptr_eq(last, obj[50]);        /* the warm one first */
		for (size_t b = 0; b < s.size; b++)
			ck_assert_int_eq(last[b], 0);
		ck_assert_ptr_eq(slab_get(&s), obj[3]);
		slab_fini(&s);
		ck_assert_uint_eq(s.total, 0);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/pool");

	UNIT_CASE(s, "pieces do not overlap", pieces_do_not_overlap);
	UNIT_CASE(s, "limits", limits);
	UNIT_CASE(s, "texts", texts);
	UNIT_CASE(s, "slabs", slabs);
	return unit_run(s);
}
