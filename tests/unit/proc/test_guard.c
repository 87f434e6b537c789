/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_guard.c - hours of looks in a millisecond: what is too much, when it pauses, when it tries again
 */
#include "config.h"

#include "proc/guard.h"

#include <check.h>
#include <string.h>

#define N 4
static uint64_t seen[N], accepted[N], now;
static struct guard g;

static void fresh(void)
{
	memset(accepted, 0, sizeof(accepted));
	memset(seen, 0, sizeof(seen));
	now = 1000;
	g = (struct guard){ .seen = seen };
}

/* A second in which they accepted so many; true: the guard changed its mind. */
static bool second(unsigned n, const uint64_t *more, uint32_t epoch)
{
	now += 1000;
	for (unsigned i = 0; i < n; i++)
		accepted[i] += more[i];
	return guard_look(&g, accepted, n, epoch, now);
}

/* Seconds until it pauses, 0 when it does not. */
static unsigned pauses_after(unsigned n, const uint64_t *more)
{
	fresh();
	for (unsigned s = 1; s <= 20; s++)
		if (second(n, more, 1))
			return s;
	return 0;
}

START_TEST(test_what_is_too_much)
{
	/* the first look only begins, three bad ones follow */
	ck_assert_uint_eq(pauses_after(2, (uint64_t[]){ 93, 7 }), 4);
	ck_assert_uint_eq(g.core, 0);
	ck_assert_uint_eq(g.percent, 93);
	ck_assert_uint_eq(pauses_after(2, (uint64_t[]){ 0, 5000 }), 4);
	ck_assert_uint_eq(g.core, 1);
	ck_assert_uint_eq(pauses_after(2, (uint64_t[]){ 84, 16 }), 0);
	ck_assert_uint_eq(pauses_after(2, (uint64_t[]){ 99, 0 }), 0);            /* too few to matter */
	ck_assert_uint_eq(pauses_after(3, (uint64_t[]){ 20, 140, 40 }), 4);
	ck_assert_uint_eq(pauses_after(3, (uint64_t[]){ 40, 120, 40 }), 0);
	ck_assert_uint_eq(pauses_after(4, (uint64_t[]){ 100, 110, 300, 70 }), 4);
	ck_assert_uint_eq(g.core, 2);
	ck_assert_uint_eq(pauses_after(4, (uint64_t[]){ 100, 100, 200, 100 }), 0);
	ck_assert_uint_eq(pauses_after(1, (uint64_t[]){ 1000 }), 0);
}
END_TEST

START_TEST(test_in_a_row)
{
	static const uint64_t bad[2] = { 500, 0 }, good[2] = { 250, 250 }, idle[2] = { 0, 0 };

	fresh();
	for (unsigned i = 0; i < 50; i++) {
		ck_assert(!second(2, bad, 1));
		ck_assert(!second(2, bad, 1));
		ck_assert(!second(2, i % 2 ? good : idle, 1));
	}
	/* somebody else counts: not compared */
	for (uint32_t crew = 2; crew < 50; crew++) {
		ck_assert(!second(2, bad, crew));
		ck_assert(!second(2, bad, crew));
	}
	/* twice within a second is one look */
	fresh();
	second(2, bad, 1);
	for (unsigned i = 0; i < 10; i++) {
		accepted[0] += 1000;
		ck_assert(!guard_look(&g, accepted, 2, 1, now + i));
	}
}
END_TEST

/* Seconds that the pause lasted. */
static uint64_t wait_end(const uint64_t *more)
{
	uint64_t from = now;

	ck_assert(guard_pauses(&g));
	while (!second(2, more, 1))
		ck_assert_uint_lt(now - from, 2 * GUARD_PAUSE_MAX);
	ck_assert(!guard_pauses(&g));
	return (now - from) / 1000;
}

static void fall(const uint64_t *bad)
{
	while (!second(2, bad, 1))
		;
	ck_assert(guard_pauses(&g));
}

START_TEST(test_no_flapping)
{
	static const uint64_t bad[2] = { 500, 0 }, good[2] = { 250, 250 };

	fresh();
	fall(bad);
	ck_assert_uint_eq(wait_end(bad), 180);
	fall(bad);
	ck_assert_uint_eq(wait_end(good), 360);
	fall(bad);
	ck_assert_uint_eq(wait_end(good), 720);
	for (unsigned i = 0; i < 3; i++) {
		fall(bad);
		wait_end(good);
	}
	fall(bad);
	ck_assert_uint_eq(wait_end(good), 3600);
	/* it held for as long: forgiven */
	for (unsigned i = 0; i < 3600; i++)
		ck_assert(!second(2, good, 1));
	fall(bad);
	ck_assert_uint_eq(wait_end(good), 180);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("guard");
	TCase *t = tcase_create("guard");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_what_is_too_much);
	tcase_add_test(t, test_in_a_row);
	tcase_add_test(t, test_no_flapping);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
