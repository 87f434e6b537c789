/* SPDX-License-Identifier: Apache-2.0 */
/* test_buf.c - byte queues against a flat array; limits and recycling */
#include "config.h"

#include "base/buf.h"

#include "base/err.h"
#include "tests/unit/base/unit.h"

#define FLAT (1u << 20)

static unsigned char flat[2][FLAT];
static size_t flat_n[2];
static unsigned char next_byte;

static void add(struct bufq *q, int i, size_t n)
{
	unsigned char *at = flat[i] + flat_n[i];

	for (size_t k = 0; k < n; k++)
		at[k] = (unsigned char)(next_byte++ * 31);
	ck_assert_int_eq(bufq_add(q, at, n), 0);
	flat_n[i] += n;
}

static void flat_drop(int i, size_t n)
{
	flat_n[i] -= n;
	memmove(flat[i], flat[i] + n, flat_n[i]);
}

static void compare(const struct bufq *q, int i)
{
	struct iovec iov[512];
	unsigned n = bufq_iov(q, iov, FL_ARRAY_LEN(iov));
	struct str front = bufq_front(q);
	size_t at = 0;

	ck_assert_uint_eq(q->len, flat_n[i]);
	ck_assert_int_eq(n == 0, q->len == 0);
	ck_assert_uint_eq(front.n, n ? iov[0].iov_len : 0);
	for (unsigned k = 0; k < n; k++) {
		ck_assert_uint_gt(iov[k].iov_len, 0);
		ck_assert_uint_le(at + iov[k].iov_len, flat_n[i]);
		ck_assert_int_eq(memcmp(iov[k].iov_base, flat[i] + at, iov[k].iov_len), 0);
		at += iov[k].iov_len;
	}
	ck_assert_uint_eq(at, q->len);
}

START_TEST(model)
{
	static const size_t sizes[] = { 1, 100, 4000, 4096, 5000, 16384, 70000 };
	struct bufq q[2];
	uint64_t seed = 3;

	bufq_init(&q[0]);
	bufq_init(&q[1]);
	for (int step = 0; step < 20000; step++) {
		int i = (int)(unit_rand(&seed) & 1);
		size_t n = unit_rand(&seed) % sizes[unit_rand(&seed) % FL_ARRAY_LEN(sizes)];
		struct str s;

		switch (unit_rand(&seed) % 8) {
		case 0: case 1: case 2:
			if (flat_n[i] + n < FLAT / 2)
				add(&q[i], i, n);
			break;
		case 3: case 4: case 5:
			n = FL_MIN(n, flat_n[i]);
			bufq_drop(&q[i], n);
			flat_drop(i, n);
			break;
		case 6:
			n = FL_MIN(FL_MIN(n, (size_t)65536), flat_n[i]);
			s = bufq_pull(&q[i], n);
			ck_assert_ptr_nonnull(s.p);
			ck_assert_uint_eq(s.n, n);
			ck_assert_int_eq(memcmp(s.p, flat[i], n), 0);
			break;
		default:
			if (flat_n[0] + flat_n[1] >= FLAT / 2)
				break;
			memcpy(flat[i] + flat_n[i], flat[!i], flat_n[!i]);
			flat_n[i] += flat_n[!i];
			flat_n[!i] = 0;
			bufq_move(&q[i], &q[!i]);
		}
		compare(&q[0], 0);
		compare(&q[1], 1);
	}
	bufq_clear(&q[0]);
	bufq_clear(&q[1]);
	ck_assert_uint_eq(buf_held(), 0);
	buf_trim();
}
END_TEST

START_TEST(pull_borders)
{
	static const size_t sizes[] = { 1, 4071, 4072, 4073, 4096, 16359, 16360, 16361, 16384,
					65535, 65536 };

	for (size_t i = 0; i < FL_ARRAY_LEN(sizes); i++)
		for (size_t part = 1; part <= 4096; part = part * 8 - 1) {
			struct bufq q;
			struct str s;

			bufq_init(&q);
			flat_n[0] = 0;
			while (flat_n[0] < sizes[i] + 10)
				add(&q, 0, part);
			s = bufq_pull(&q, sizes[i]);
			ck_assert_ptr_nonnull(s.p);
			ck_assert_int_eq(memcmp(s.p, flat[0], sizes[i]), 0);
			compare(&q, 0);
			add(&q, 0, 77);       /* the tail is right, too */
			compare(&q, 0);
			bufq_clear(&q);
			ck_assert_ptr_null(q.head);
			ck_assert_ptr_null(q.tail);
		}
	ck_assert_uint_eq(buf_held(), 0);
	buf_trim();
}
END_TEST

START_TEST(limit_is_whole_or_nothing)
{
	struct bufq q;
	size_t held;

	bufq_init(&q);
	buf_set_limit(60 * 1024);
	flat_n[0] = 0;
	add(&q, 0, 30000);
	held = buf_held();
	ck_assert(held >= 30000 && held <= 60 * 1024);
	ck_assert_int_eq(bufq_add(&q, flat[1], 60000), FL_ENOMEM_);
	ck_assert_uint_eq(buf_held(), held);
	compare(&q, 0);
	ck_assert_ptr_nonnull(bufq_pull(&q, 10000).p);
	ck_assert_ptr_null(bufq_pull(&q, 30000).p);       /* a copy of that size would break the limit */
	compare(&q, 0);
	bufq_clear(&q);

	/* spare pages of one class give way to the other */
	for (int i = 0; i < 3; i++) {
		flat_n[0] = 0;
		add(&q, 0, 40000);
		bufq_clear(&q);
		for (int k = 0; k < 30; k++)
			add(&q, 0, 1000);
		bufq_clear(&q);
	}
	ck_assert_uint_eq(buf_held(), 0);
	buf_trim();
	buf_set_limit(0);
	ck_assert_int_eq(bufq_add(&q, "x", 1), FL_ENOMEM_);
	ck_assert_int_eq(bufq_add(&q, "x", 0), 0);
	ck_assert_uint_eq(bufq_front(&q).n, 0);
}
END_TEST

START_TEST(small_pages_for_small_queues)
{
	struct bufq q;
	struct str s;

	bufq_init(&q);
	flat_n[0] = 0;
	ck_assert_uint_eq(bufq_iov(&q, NULL, 0), 0);
	s = bufq_pull(&q, 0);
	ck_assert_ptr_nonnull(s.p);
	bufq_drop(&q, 0);
	add(&q, 0, 100);
	ck_assert_uint_eq(buf_held(), 4096);
	bufq_drop(&q, 100);
	ck_assert_uint_eq(buf_held(), 0);
	buf_trim();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/buf");

	UNIT_CASE(s, "model", model);
	UNIT_CASE(s, "pull at the borders", pull_borders);
	UNIT_CASE(s, "limit", limit_is_whole_or_nothing);
	UNIT_CASE(s, "small pages", small_pages_for_small_queues);
	return unit_run(s);
}
