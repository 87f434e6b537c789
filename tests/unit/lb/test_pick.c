/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pick.c - who is chosen: methods, limits, states, backups, avoidance
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "lb/lb.h"

#define N 4

static struct lb_config lc;
static struct lb_pool pool, spare;
static struct lb_service svc[N], spare_svc[1];
static struct stat_row rows[N];
static struct lb_service *scratch[N];
static uint64_t scratch_value[N];
static struct stat_row pool_row;

static void setup_pool(struct lb_pool *p, struct lb_service *s, unsigned n, const char *name)
{
	static char names[16][32];
	static unsigned used;

	memset(p, 0, sizeof(*p));
	memset(s, 0, n * sizeof(*s));
	p->name = name;
	p->services = s;
	p->n_services = n;
	p->lc = &lc;
	p->scratch = scratch;
	p->scratch_value = scratch_value;
	for (unsigned i = 0; i < n; i++) {
		char *full = names[used++ % 16];

		snprintf(full, 32, "%s/s%u", name, i);
		s[i].full_name = s[i].name = full;
		s[i].pool = p;
		s[i].idx = i;
		s[i].weight = 1;
		s[i].state = ST_SVC_UP;
		s[i].hash_id = fl_hash64(full, strlen(full), 0);
	}
}

static void setup(void)
{
	memset(&lc, 0, sizeof(lc));
	memset(rows, 0, sizeof(rows));
	memset(&pool_row, 0, sizeof(pool_row));
	setup_pool(&pool, svc, N, "app");
	setup_pool(&spare, spare_svc, 1, "spare");
	pool_row.dirty = true;          /* no segment behind it: marking is not wanted here */
	pool.stat = &pool_row;
}

static struct ip client(uint32_t i)
{
	struct ip ip = { .family = AF_INET, .b = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };

	return ip;
}

static struct lb_service *pick(uint32_t from)
{
	struct lb_pick_in in = { .client = client(from) };

	return lb_pick(&pool, &in, false, NULL);
}

START_TEST(round_robin_follows_weights)
{
	unsigned seen[N] = { 0 }, run = 0, longest = 0;
	struct lb_service *last = NULL;

	pool.method = LB_ROUND_ROBIN;
	svc[0].weight = 5;
	svc[3].weight = 0;
	for (unsigned i = 0; i < 70; i++) {
		struct lb_service *s = pick(i);

		ck_assert_ptr_nonnull(s);
		seen[s->idx]++;
		run = s == last ? run + 1 : 1;
		longest = FL_MAX(longest, run);
		last = s;
	}
	ck_assert_uint_eq(seen[0], 50);
	ck_assert_uint_eq(seen[1], 10);
	ck_assert_uint_eq(seen[2], 10);
	ck_assert_uint_eq(seen[3], 0);
	/* Smooth: never all five turns of the heavy one in a row with the light ones waiting. */
	ck_assert_uint_le(longest, 4);
}
END_TEST

START_TEST(least_connection_without_figures_goes_round)
{
	unsigned seen[N] = { 0 };

	pool.method = LB_LEAST_CONNECTION;
	for (unsigned i = 0; i < 4 * N; i++)
		seen[pick(i)->idx]++;
	for (unsigned i = 0; i < N; i++)
		ck_assert_uint_eq(seen[i], 4);
}
END_TEST

START_TEST(hash_is_stable_and_moves_little)
{
	struct lb_service *before[1000];
	unsigned seen[N] = { 0 }, moved = 0;

	pool.method = LB_SOURCE_IP_HASH;
	svc[1].weight = 3;
	for (unsigned i = 0; i < 1000; i++) {
		before[i] = pick(i);
		ck_assert_ptr_eq(before[i], pick(i));
		seen[before[i]->idx]++;
	}
	/* weights 1 3 1 1: half of the clients, within 5 standard deviations */
	ck_assert_uint_ge(seen[1], 420);
	ck_assert_uint_le(seen[1], 580);
	svc[2].state = ST_SVC_DOWN;
	for (unsigned i = 0; i < 1000; i++) {
		struct lb_service *now = pick(i);

		ck_assert_ptr_ne(now, &svc[2]);
		if (before[i] != &svc[2])
			moved += now != before[i];
	}
	ck_assert_uint_eq(moved, 0);
}
END_TEST

START_TEST(states_and_limits_exclude)
{
	svc[0].state = ST_SVC_DOWN;
	svc[1].state = ST_SVC_DRAIN;
	svc[2].state = ST_SVC_MAINT;
	for (unsigned m = LB_ROUND_ROBIN; m <= LB_SOURCE_IP_HASH; m++) {
		pool.method = m;
		for (unsigned i = 0; i < 20; i++)
			ck_assert_ptr_eq(pick(i), &svc[3]);
	}
	svc[3].weight = 0;
	ck_assert_ptr_null(pick(1));
	ck_assert_uint_eq(pool_row.v[CTR_POOL_NO_SERVICE], 1);
	ck_assert_uint_eq(pool_row.v[CTR_POOL_REQ_TOT], 61);
}
END_TEST

START_TEST(backup_services_then_backup_pools)
{
	struct lb_pool *backups[] = { &spare };

	pool.method = LB_ROUND_ROBIN;
	svc[3].backup = pool.has_backup_services = true;
	pool.backups = backups;
	pool.n_backups = 1;
	for (unsigned i = 0; i < 9; i++)
		ck_assert_ptr_ne(pick(i), &svc[3]);
	svc[0].state = svc[1].state = svc[2].state = ST_SVC_DOWN;
	ck_assert_uint_eq(pool_row.v[CTR_POOL_BACKUP], 0);
	ck_assert_ptr_eq(pick(1), &svc[3]);
	ck_assert_uint_eq(pool_row.v[CTR_POOL_BACKUP], 1);
	svc[3].state = ST_SVC_MAINT;
	ck_assert_ptr_eq(pick(1), &spare_svc[0]);
	ck_assert_uint_eq(pool_row.v[CTR_POOL_BACKUP], 2);
	spare_svc[0].state = ST_SVC_DOWN;
	ck_assert_ptr_null(pick(1));
	ck_assert_uint_eq(pool_row.v[CTR_POOL_BACKUP], 2);
}
END_TEST

START_TEST(avoided_only_while_another_is_usable)
{
	const struct lb_service *avoid[] = { &svc[0], &svc[1] };
	struct lb_pick_in in = { .client = client(1), .avoid = avoid, .n_avoid = 2 };

	pool.method = LB_ROUND_ROBIN;
	for (unsigned i = 0; i < 10; i++) {
		struct lb_service *s = lb_pick(&pool, &in, false, NULL);

		ck_assert(s == &svc[2] || s == &svc[3]);
	}
	svc[2].state = svc[3].state = ST_SVC_DOWN;
	ck_assert(lb_pick(&pool, &in, false, NULL) == &svc[0] || lb_pick(&pool, &in, false, NULL) == &svc[1]);
}
END_TEST

struct told {
	unsigned n, usable;
	const char *why[N];
};

static void tell(void *ctx, const struct lb_candidate *c)
{
	struct told *t = ctx;

	t->why[c->s->idx] = c->why;
	t->usable += c->usable;
	t->n++;
}

static void tell_pool(void *ctx, const struct lb_pool *p, const char *why)
{
	(void)ctx;
	(void)p;
	(void)why;
}

START_TEST(dry_run_explains_and_changes_nothing)
{
	struct told t = { 0 };
	struct lb_pick_trace trace = { &t, tell, tell_pool };
	struct lb_pick_in in = { .client = client(1) };
	struct lb_service *dry, *real;

	pool.method = LB_ROUND_ROBIN;
	svc[1].state = ST_SVC_DOWN;
	dry = lb_pick(&pool, &in, true, &trace);
	ck_assert_uint_eq(t.n, N);
	ck_assert_uint_eq(t.usable, N - 1);
	ck_assert_str_eq(t.why[1], "DOWN");
	ck_assert_ptr_eq(lb_pick(&pool, &in, true, NULL), dry);
	real = lb_pick(&pool, &in, false, NULL);
	ck_assert_ptr_eq(real, dry);
	ck_assert_ptr_ne(lb_pick(&pool, &in, false, NULL), dry);
	ck_assert_uint_eq(pool_row.v[CTR_POOL_REQ_TOT], 2);
}
END_TEST

START_TEST(names_rotate_over_their_addresses)
{
	struct addr a, b;

	svc[0].host = "app.test";
	svc[0].port = 80;
	ck_assert(!lb_service_addr(&svc[0], &a));
	svc[0].dns[0] = client(1);
	svc[0].dns[1] = client(2);
	svc[0].n_dns = 2;
	ck_assert(lb_service_addr(&svc[0], &a) && lb_service_addr(&svc[0], &b));
	ck_assert(!addr_eq(&a, &b));
	ck_assert_uint_eq(addr_port(&a), 80);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lb/pick");
	TCase *tc = tcase_create("pick");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, round_robin_follows_weights);
	tcase_add_test(tc, least_connection_without_figures_goes_round);
	tcase_add_test(tc, hash_is_stable_and_moves_little);
	tcase_add_test(tc, states_and_limits_exclude);
	tcase_add_test(tc, backup_services_then_backup_pools);
	tcase_add_test(tc, avoided_only_while_another_is_usable);
	tcase_add_test(tc, dry_run_explains_and_changes_nothing);
	tcase_add_test(tc, names_rotate_over_their_addresses);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
