/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_index.c - the heap of a large pool chooses as a look at every service would
 *
 * No segment stands behind the pool, so figures that are read anew are 0: marking the index stale also clears
 * what is in progress, in the model as in the pool.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>

#include "lb/index.h"

#define N 200

static struct lb_config lc;
static struct lb_pool pool;
static struct lb_service svc[N];
static uint64_t scratch_value[N], model[N];
static struct pool *mem;

static void setup_method(enum lb_method method, unsigned first)
{
	memset(&lc, 0, sizeof(lc));
	memset(&pool, 0, sizeof(pool));
	memset(svc, 0, sizeof(svc));
	memset(model, 0, sizeof(model));
	pool_free(&mem);
	mem = pool_new("test", 0);
	pool = (struct lb_pool){ .services = svc, .n_services = N, .lc = &lc, .method = method,
				 .scratch_value = scratch_value };
	for (unsigned i = 0; i < N; i++)
		svc[i] = (struct lb_service){ .pool = &pool, .idx = i, .weight = 1 + (unsigned)rand() % 100,
					      .state = ST_SVC_UP };
	pool.index = lb_index_new(&pool, mem, first, false);
	ck_assert_ptr_nonnull(pool.index);
}

static bool may_take(unsigned i)
{
	return svc[i].state == ST_SVC_UP && svc[i].weight && !svc[i].backup &&
	       (!svc[i].max_connections || model[i] < svc[i].max_connections);
}

static struct lb_service *pick(void)
{
	struct lb_pick_in in = { .n_avoid = 0 };

	return lb_pick(&pool, &in, false, NULL);
}

/* Is s among the least loaded? */
static void check_least(const struct lb_service *s)
{
	for (unsigned i = 0; i < N; i++)
		if (may_take(i))
			ck_assert_uint_le(model[s->idx] * svc[i].weight, model[i] * s->weight);
}

START_TEST(least_connection_is_the_least)
{
	srand((unsigned)_i);
	setup_method(LB_LEAST_CONNECTION, (unsigned)_i * 7);
	for (unsigned i = 0; i < N; i += 3)
		svc[i].max_connections = 1 + (unsigned)rand() % 5;
	for (unsigned step = 0; step < 20000; step++) {
		unsigned k = (unsigned)rand() % N;

		if (rand() % 500 == 0) {
			svc[k].state = rand() % 2 ? ST_SVC_UP : ST_SVC_DOWN;
			svc[(k + 1) % N].backup = rand() % 4 == 0;
			lb_index_stale(pool.index);
			memset(model, 0, sizeof(model));
		} else if (rand() % 2 && model[k]) {
			model[k]--;
			lb_end(&svc[k]);
		} else {
			struct lb_service *s = pick();

			ck_assert_ptr_nonnull(s);
			ck_assert(may_take(s->idx));
			check_least(s);
			lb_begin(s);
			model[s->idx]++;
		}
	}
}
END_TEST

START_TEST(ties_go_round_from_the_first)
{
	setup_method(LB_LEAST_CONNECTION, 5);
	for (unsigned i = 0; i < N; i++)
		svc[i].weight = 1;
	for (unsigned i = 0; i < 3 * N; i++) {
		struct lb_service *s = pick();

		ck_assert_uint_eq(s->idx, (5 + i) % N);
		lb_begin(s);
		lb_end(s);
	}
}
END_TEST

START_TEST(round_robin_follows_weights)
{
	unsigned seen[N] = { 0 }, sum = 0;

	srand(3);
	setup_method(LB_ROUND_ROBIN, 0);
	for (unsigned i = 0; i < N; i++)
		sum += svc[i].weight;
	for (unsigned i = 0; i < 10 * sum; i++)
		seen[pick()->idx]++;
	for (unsigned i = 0; i < N; i++) {
		ck_assert_uint_ge(seen[i], 10 * svc[i].weight - 2);
		ck_assert_uint_le(seen[i], 10 * svc[i].weight + 2);
	}
}
END_TEST

/* It was away for many rounds: it does not get them all at once. */
START_TEST(round_robin_owes_nothing_to_who_was_down)
{
	unsigned run = 0;

	setup_method(LB_ROUND_ROBIN, 0);
	svc[7].state = ST_SVC_DOWN;
	for (unsigned i = 0; i < 50 * N; i++)
		ck_assert_uint_ne(pick()->idx, 7);
	svc[7].state = ST_SVC_UP;
	lb_index_stale(pool.index);
	for (unsigned i = 0; i < N; i++)
		run += pick()->idx == 7;
	ck_assert_uint_ge(run, 1);
	ck_assert_uint_le(run, 4);
}
END_TEST

START_TEST(full_services_are_passed_over)
{
	struct lb_service *s;

	setup_method(_i ? LB_ROUND_ROBIN : LB_LEAST_CONNECTION, 0);
	for (unsigned i = 0; i < N; i++)
		svc[i].max_connections = 1;
	pool.index = lb_index_new(&pool, mem, 0, false);
	for (unsigned i = 0; i < N; i++) {
		s = pick();
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(model[s->idx]++, 0);
		lb_begin(s);
	}
	ck_assert_ptr_null(pick());
	lb_end(&svc[77]);
	s = pick();
	ck_assert_ptr_eq(s, &svc[77]);
}
END_TEST

START_TEST(nobody_is_up)
{
	setup_method(_i ? LB_ROUND_ROBIN : LB_LEAST_CONNECTION, 0);
	for (unsigned i = 0; i < N; i++)
		svc[i].state = ST_SVC_DOWN;
	lb_index_stale(pool.index);
	ck_assert_ptr_null(pick());
	lb_begin(&svc[3]);      /* a request that was on its way */
	lb_end(&svc[3]);
	svc[9].state = ST_SVC_UP;
	lb_index_stale(pool.index);
	ck_assert_ptr_eq(pick(), &svc[9]);
}
END_TEST

/* Vservers of both views use the pool: each index has its own order, both know of everything that is mine. */
START_TEST(views_have_an_index_each)
{
	struct lb_pick_in in = { .local = true };

	setup_method(LB_LEAST_CONNECTION, 0);
	pool.index_local = lb_index_new(&pool, mem, 0, true);
	for (unsigned i = 0; i < N; i++)
		svc[i].weight = 1;
	(void)pick();                            /* figures are read, see above */
	(void)lb_pick(&pool, &in, false, NULL);
	for (unsigned i = 0; i < 4 * N; i++) {
		struct lb_service *s = i % 3 ? pick() : lb_pick(&pool, &in, false, NULL);

		ck_assert_ptr_nonnull(s);
		check_least(s);
		lb_begin(s);
		model[s->idx]++;
	}
	for (unsigned i = 0; i < N; i++)
		ck_assert_uint_eq(model[i], 4);
	for (unsigned i = 0; i < 3; i++)
		lb_end(&svc[9]);
	for (unsigned i = 0; i < 3; i++) {
		struct lb_service *s = i % 2 ? pick() : lb_pick(&pool, &in, false, NULL);

		ck_assert_ptr_eq(s, &svc[9]);
		lb_begin(s);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lb index");
	TCase *tc = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, least_connection_is_the_least, 0, 5);
	tcase_add_test(tc, ties_go_round_from_the_first);
	tcase_add_test(tc, round_robin_follows_weights);
	tcase_add_test(tc, round_robin_owes_nothing_to_who_was_down);
	tcase_add_loop_test(tc, full_services_are_passed_over, 0, 2);
	tcase_add_loop_test(tc, nobody_is_up, 0, 2);
	tcase_add_test(tc, views_have_an_index_each);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
