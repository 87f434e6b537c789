/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_buckets.c - homes and guests, workers that come and go, and what moves when load is uneven
 */
#include "config.h"

#include "proc/buckets.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define CORES 4

static struct buckets b;
static bool can[CORES];
static uint64_t hits[RSS_ENTRIES], got[CORES], load[CORES], price[CORES];
static uint64_t others[CORES];   /* recent of listeners that cannot move */

static void fresh(unsigned cores)
{
	memset(&b, 0, sizeof(b));
	memset(hits, 0, sizeof(hits));
	memset(got, 0, sizeof(got));
	memset(others, 0, sizeof(others));
	for (unsigned c = 0; c < CORES; c++) {
		can[c] = c < cores;
		price[c] = 1;
	}
	buckets_resize(&b, cores, NULL);
	(void)buckets_deal(&b, can);
}

static unsigned n_now(unsigned core)
{
	unsigned n = 0;

	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		n += b.now[i] == core;
	return n;
}

START_TEST(test_even)
{
	for (unsigned cores = 1; cores <= CORES; cores++) {
		fresh(cores);
		for (unsigned c = 0; c < cores; c++) {
			ck_assert_uint_ge(n_now(c), RSS_BUCKETS / cores);
			ck_assert_uint_le(n_now(c), RSS_BUCKETS / cores + 1);
		}
		ck_assert(!buckets_deal(&b, can));
	}
}
END_TEST

START_TEST(test_guests)
{
	uint16_t before[RSS_ENTRIES], away[RSS_ENTRIES];

	fresh(CORES);
	memcpy(before, b.now, sizeof(before));
	can[1] = false;
	ck_assert(buckets_deal(&b, can));
	ck_assert_uint_eq(n_now(1), 0);
	for (unsigned c = 0; c < CORES; c++)
		if (c != 1)
			ck_assert_uint_ge(n_now(c), 42);
	/* what is not of the one that is out stays; and what went to another stays there while a third is out as well */
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		if (before[i] != 1)
			ck_assert_uint_eq(b.now[i], before[i]);
	memcpy(away, b.now, sizeof(away));
	can[2] = false;
	ck_assert(buckets_deal(&b, can));
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		if (away[i] != 2)
			ck_assert_uint_eq(b.now[i], away[i]);
	ck_assert_uint_eq(n_now(0) + n_now(3), RSS_BUCKETS);
	/* nobody: as it was, somebody may come */
	can[0] = can[3] = false;
	memcpy(away, b.now, sizeof(away));
	ck_assert(!buckets_deal(&b, can));
	ck_assert_mem_eq(away, b.now, sizeof(away));
	can[0] = can[1] = can[2] = can[3] = true;
	ck_assert(buckets_deal(&b, can));
	ck_assert_mem_eq(before, b.now, sizeof(before));
}
END_TEST

static unsigned moved(const uint16_t *before)
{
	unsigned n = 0;

	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		n += b.home[i] != before[i];
	return n;
}

START_TEST(test_more_and_fewer)
{
	uint16_t before[RSS_ENTRIES];

	fresh(CORES);
	memcpy(before, b.home, sizeof(before));
	buckets_resize(&b, 3, NULL);
	can[3] = false;
	(void)buckets_deal(&b, can);
	ck_assert_uint_eq(moved(before), 32);            /* those of the one that went, no other */
	for (unsigned c = 0; c < 3; c++)
		ck_assert_uint_ge(n_now(c), 42);
	memcpy(before, b.home, sizeof(before));
	buckets_resize(&b, 4, NULL);
	can[3] = true;
	(void)buckets_deal(&b, can);
	ck_assert_uint_eq(moved(before), 32);
	for (unsigned c = 0; c < CORES; c++)
		ck_assert_uint_eq(n_now(c), 32);
}
END_TEST

/* Homes are at the named ones only; others help out while none of them can. */
START_TEST(test_named)
{
	struct core_set named = { .n = 0 }, nowhere = { .n = 0 };
	uint16_t before[RSS_ENTRIES];

	core_set_add(&named, 1);
	core_set_add(&named, 3);
	core_set_add(&named, 7);         /* is not there */
	memset(&b, 0, sizeof(b));
	memset(can, 0, sizeof(can));
	buckets_resize(&b, CORES, &named);
	can[1] = can[3] = true;
	(void)buckets_deal(&b, can);
	ck_assert_uint_eq(n_now(1), 64);
	ck_assert_uint_eq(n_now(3), 64);
	memcpy(before, b.home, sizeof(before));
	can[1] = false;
	(void)buckets_deal(&b, can);
	ck_assert_uint_eq(n_now(3), RSS_BUCKETS);
	can[3] = false;
	can[0] = can[2] = true;
	(void)buckets_deal(&b, can);
	ck_assert_uint_eq(n_now(0) + n_now(2), RSS_BUCKETS);
	ck_assert_mem_eq(before, b.home, RSS_BUCKETS * sizeof(before[0]));
	/* another list: as few move as can be */
	core_set_add(&named, 0);
	buckets_resize(&b, CORES, &named);
	ck_assert_uint_le(moved(before), 43);
	can[1] = can[3] = true;
	can[2] = false;
	(void)buckets_deal(&b, can);
	ck_assert_uint_eq(n_now(2), 0);
	for (unsigned c = 0; c < CORES; c++)
		ck_assert(c == 2 || n_now(c) >= 42);
	/* all again; and of a list of which none is there */
	core_set_add(&nowhere, 9);
	can[2] = true;
	buckets_resize(&b, CORES, &nowhere);
	(void)buckets_deal(&b, can);
	for (unsigned c = 0; c < CORES; c++)
		ck_assert_uint_eq(n_now(c), 32);
}
END_TEST

START_TEST(test_rules)
{
	static const unsigned core[3] = { 2, 0, 900 };

	fresh(CORES);
	buckets_rules(&b, core, 3);
	(void)buckets_deal(&b, can);
	ck_assert_uint_eq(b.now[RSS_BUCKETS], 2);
	ck_assert_uint_eq(b.now[RSS_BUCKETS + 1], 0);
	ck_assert_uint_lt(b.now[RSS_BUCKETS + 2], CORES);        /* there is no such core */
	can[2] = false;
	(void)buckets_deal(&b, can);
	ck_assert_uint_ne(b.now[RSS_BUCKETS], 2);
	can[2] = true;
	(void)buckets_deal(&b, can);
	ck_assert_uint_eq(b.now[RSS_BUCKETS], 2);
}
END_TEST

START_TEST(test_another_master)
{
	uint32_t home[RSS_BUCKETS];

	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		home[i] = i < 100 ? 3 : i < 120 ? 1 : 77;
	fresh(CORES);
	memset(&b, 0, sizeof(b));
	buckets_restore(&b, CORES, NULL, home, hits, got);
	ck_assert_uint_eq(b.cores, CORES);
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		ck_assert_uint_eq(b.now[i], i < 120 ? home[i] : i % CORES);
}
END_TEST

/* Load ------------------------------------------------------------------------------------- */

/* A second in which bucket i had more[i] connections; true: homes changed. */
static bool second(const unsigned *more, unsigned percent)
{
	uint64_t recent[CORES];

	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		hits[i] += more[i];
	buckets_count(&b, hits, got);
	buckets_second(&b);
	memcpy(recent, others, sizeof(recent));
	buckets_recent(&b, recent);
	for (unsigned c = 0; c < CORES; c++)
		load[c] = recent[c] * price[c];
	return buckets_balance(&b, can, recent, price, load, percent);
}

/* Seconds until nothing more moves for ten of them. */
static unsigned settle(const unsigned *more, unsigned percent)
{
	unsigned s = 0;

	for (unsigned still = 0; still < 10 && s < 200; s++)
		still = second(more, percent) ? 0 : still + 1;
	ck_assert_uint_lt(s, 200);
	return s - 10;
}

/* Largest and smallest share, in percent of the mean, of what comes now. */
static unsigned spread(const unsigned *more, unsigned cores)
{
	uint64_t n[CORES] = { 0 }, sum = 0, hi = 0, lo = UINT64_MAX;

	for (unsigned i = 0; i < RSS_BUCKETS; i++) {
		n[b.now[i]] += more[i];
		sum += more[i];
	}
	for (unsigned c = 0; c < cores; c++) {
		hi = FL_MAX(hi, n[c]);
		lo = FL_MIN(lo, n[c]);
	}
	return (unsigned)((hi - lo) * 100 * cores / sum);
}

START_TEST(test_skewed_load_is_evened_out)
{
	unsigned more[RSS_BUCKETS];

	fresh(2);
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		more[i] = i % 2 ? 1 : 9;
	ck_assert_uint_ge(spread(more, 2), 150);
	ck_assert_uint_le(settle(more, 10), 20);
	ck_assert_uint_le(spread(more, 2), 10);
	ck_assert_uint_gt(b.moves, 0);
	ck_assert_uint_le(b.moves, 32);          /* of 64 that are hot */
	/* eight clients, all on one core */
	fresh(CORES);
	memset(more, 0, sizeof(more));
	for (unsigned i = 0; i < 8; i++)
		more[4 * i] = 25;
	(void)settle(more, 10);
	ck_assert_uint_eq(spread(more, CORES), 0);
	ck_assert_uint_eq(b.moves, 6);
}
END_TEST

START_TEST(test_few_moves)
{
	unsigned more[RSS_BUCKETS];

	fresh(2);
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		more[i] = 10;
	more[0] = 400;           /* the cold ones beside it go, not it */
	(void)settle(more, 10);
	ck_assert_uint_le(spread(more, 2), 10);
	ck_assert_uint_eq(b.home[0], 0);
	ck_assert_uint_le(b.moves, 24);
	/* one that is more than half of all: it stays, and nothing moves to and fro */
	fresh(2);
	memset(more, 0, sizeof(more));
	more[3] = 1000;
	(void)settle(more, 10);
	ck_assert_uint_eq(b.moves, 0);
	ck_assert_uint_eq(buckets_largest(&b), 100);
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		more[i] = 2;
	(void)settle(more, 10);
	ck_assert_uint_le(buckets_largest(&b), 80);      /* seconds ago it was all */
	fresh(2);
	ck_assert_uint_eq(buckets_largest(&b), 0);
}
END_TEST

START_TEST(test_chance_moves_nothing)
{
	unsigned more[RSS_BUCKETS];

	srandom(7);
	fresh(CORES);
	for (unsigned s = 0; s < 3600; s++) {
		memset(more, 0, sizeof(more));
		for (unsigned k = 0; k < 100; k++)
			more[(unsigned)random() % RSS_BUCKETS]++;
		(void)second(more, 10);
	}
	ck_assert_uint_le(b.moves, 8);           /* an hour */
}
END_TEST

/* Another listener's connections are uneven and cannot move: this one, whose own are even, makes up for them, no more. */
START_TEST(test_one_listener_makes_up_for_another)
{
	unsigned more[RSS_BUCKETS], s = 0;

	srandom(7);
	fresh(2);
	others[0] = 30 * 8 * 8;          /* 30 a second, for long, in eighths */
	for (; s < 600; s++) {
		memset(more, 0, sizeof(more));
		for (unsigned k = 0; k < 100; k++)
			more[(unsigned)random() % RSS_BUCKETS]++;
		(void)second(more, 10);
		if (s < 30)
			continue;
		ck_assert_uint_ge(n_now(0), 36);
		ck_assert_uint_le(n_now(0), 54);
	}
	ck_assert_uint_le(b.moves, 40);
	/* more than it has: all of its own goes, and nothing to and fro */
	others[0] = 300 * 8 * 8;
	for (s = 0; s < 600; s++)
		(void)second(more, 10);
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		ck_assert(b.now[i] == 1 || !more[i]);
	ck_assert_uint_le(b.moves, 40 + RSS_BUCKETS);
}
END_TEST

START_TEST(test_what_a_connection_costs)
{
	unsigned more[RSS_BUCKETS];

	fresh(2);
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		more[i] = 10;
	price[0] = 300;          /* as many of them, three times the work */
	price[1] = 100;
	(void)second(more, 10);
	(void)second(more, 10);
	for (unsigned s = 0; s < 5 && !b.moves; s++)
		(void)second(more, 10);
	ck_assert_uint_eq(b.moves, 16);
	ck_assert_uint_eq(n_now(0), 48);
	/* a few connections tell no price */
	fresh(2);
	memset(more, 0, sizeof(more));
	more[2] = 1;
	for (unsigned s = 0; s < 20; s++)
		(void)second(more, 10);
	ck_assert_uint_eq(b.moves, 0);
}
END_TEST

START_TEST(test_new_maps_count_from_zero)
{
	unsigned more[RSS_BUCKETS] = { 50 };

	fresh(2);
	(void)second(more, 10);
	ck_assert_uint_eq(got[0], 50);
	memset(hits, 0, sizeof(hits));
	more[0] = 20;
	(void)second(more, 10);
	ck_assert_uint_eq(got[0], 70);
	ck_assert_uint_eq(got[1], 0);
}
END_TEST

/* What came before it was there is neither load nor a reason to move. */
START_TEST(test_another_master_has_not_seen_the_load)
{
	static const unsigned more[RSS_BUCKETS];
	uint64_t recent[CORES] = { 0 };
	uint32_t home[RSS_BUCKETS];

	fresh(2);
	for (unsigned i = 0; i < RSS_BUCKETS; i++) {
		home[i] = i % 2;
		hits[i] = i % 2 ? 1000 : 9000;
	}
	memset(&b, 0, sizeof(b));
	buckets_restore(&b, 2, NULL, home, hits, got);
	ck_assert_uint_eq(got[0], 64 * 9000);
	ck_assert_uint_eq(got[1], 64 * 1000);
	for (unsigned s = 0; s < 10; s++)
		ck_assert(!second(more, 10));
	buckets_recent(&b, recent);
	ck_assert_uint_eq(recent[0] + recent[1], 0);
	ck_assert_uint_eq(b.moves, 0);
	ck_assert_uint_eq(got[0], 64 * 9000);
	hits[1] += 50;
	(void)second(more, 10);
	ck_assert_uint_eq(got[1], 64 * 1000 + 50);
}
END_TEST

/* A burst fades away; the bucket that had the most of it does not become all of it. */
START_TEST(test_largest_is_not_what_is_left)
{
	unsigned more[RSS_BUCKETS];

	fresh(2);
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		more[i] = i ? 2 : 60;
	(void)second(more, 10);
	ck_assert_uint_eq(buckets_largest(&b), 6000 / (60 + 2 * 127));
	memset(more, 0, sizeof(more));
	for (unsigned s = 0; s < 100; s++) {
		(void)second(more, 10);
		ck_assert_uint_le(buckets_largest(&b), 40);
	}
	ck_assert_uint_eq(buckets_largest(&b), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("buckets");
	TCase *t = tcase_create("buckets");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_even);
	tcase_add_test(t, test_guests);
	tcase_add_test(t, test_more_and_fewer);
	tcase_add_test(t, test_named);
	tcase_add_test(t, test_rules);
	tcase_add_test(t, test_another_master);
	tcase_add_test(t, test_another_master_has_not_seen_the_load);
	tcase_add_test(t, test_largest_is_not_what_is_left);
	tcase_add_test(t, test_skewed_load_is_evened_out);
	tcase_add_test(t, test_few_moves);
	tcase_add_test(t, test_chance_moves_nothing);
	tcase_add_test(t, test_one_listener_makes_up_for_another);
	tcase_add_test(t, test_what_a_connection_costs);
	tcase_add_test(t, test_new_maps_count_from_zero);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
