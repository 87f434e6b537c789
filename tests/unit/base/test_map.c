/* SPDX-License-Identifier: Apache-2.0 */
/* test_map.c - the string table against an array that is searched from the front */
#include "config.h"

#include "base/map.h"

#include <stdio.h>

#include "base/err.h"
#include "base/hash.h"
#include "tests/unit/base/unit.h"

#define KEYS 400

static char keys[KEYS][16];
static int values[KEYS * 100];

/* The model: what is in, in order of insertion. */
static struct { int key; void *value; } model[KEYS];
static int model_n;

static int model_find(int key)
{
	for (int i = 0; i < model_n; i++)
		if (model[i].key == key)
			return i;
	return -1;
}

static void compare(struct map *m)
{
	size_t it = 0;
	struct str key;
	void *value;
	int i = 0;

	ck_assert_uint_eq(map_count(m), (unsigned)model_n);
	while (map_next(m, &it, &key, &value)) {
		ck_assert_int_lt(i, model_n);
		ck_assert_ptr_eq(key.p, keys[model[i].key]);
		ck_assert_ptr_eq(value, model[i].value);
		i++;
	}
	ck_assert_int_eq(i, model_n);
	for (int k = 0; k < KEYS; k++) {
		int at = model_find(k);

		ck_assert_ptr_eq(map_get(m, str_c(keys[k])), at < 0 ? NULL : model[at].value);
	}
}

static void step(struct map *m, uint64_t *seed, int n, int width, unsigned adds)
{
	int k = (int)(unit_rand(seed) % (unsigned)width), at = model_find(k);
	struct str key = str_c(keys[k]);
	void *v = &values[n];

	if (unit_rand(seed) % 8 < adds) {
		bool set = unit_rand(seed) & 1;
		int err = set ? map_set(m, key, v) : map_add(m, key, v);

		ck_assert_int_eq(err, at >= 0 && !set ? FL_EEXISTS_ : 0);
		if (at < 0) {
			model[model_n].key = k;
			model[model_n++].value = v;
		} else if (set) {
			model[at].value = v;
		}
		return;
	}
	ck_assert_int_eq(map_del(m, key), at >= 0);
	if (at >= 0) {
		memmove(&model[at], &model[at + 1], sizeof(model[0]) * (size_t)(model_n - at - 1));
		model_n--;
	}
}

static void walk(struct pool *p)
{
	static const struct { int width; unsigned adds; } phases[] = {
		{ 10, 4 }, { KEYS, 6 }, { KEYS, 2 }, { KEYS, 7 }, { KEYS, 4 }, { 40, 1 }, { KEYS, 0 },
	};
	uint64_t seed = 99;
	struct map *m = map_new(p, false);

	for (int k = 0; k < KEYS; k++)
		snprintf(keys[k], sizeof(keys[k]), "key-%d", k);
	model_n = 0;
	for (size_t ph = 0; ph < FL_ARRAY_LEN(phases); ph++) {
		for (int n = 0; n < 3000; n++) {
			step(m, &seed, n, phases[ph].width, phases[ph].adds);
			if (n % 97 == 0)
				compare(m);
		}
		compare(m);
	}
	if (!p) {
		map_free(&m);
		ck_assert_ptr_null(m);
	}
}

START_TEST(heap_model)
{
	walk(NULL);
}
END_TEST

START_TEST(pool_model)
{
	struct pool *p = pool_new("map", 0);

	walk(p);
	pool_free(&p);
}
END_TEST

START_TEST(case_folding)
{
	struct map *m = map_new(NULL, true), *exact = map_new(NULL, false);
	int a, b;

	ck_assert_int_eq(map_add(m, STR("Content-Length"), &a), 0);
	ck_assert_ptr_eq(map_get(m, STR("content-lENGTH")), &a);
	ck_assert_int_eq(map_add(m, STR("CONTENT-LENGTH"), &b), FL_EEXISTS_);
	ck_assert_ptr_null(map_get(m, STR("content_length")));
	ck_assert(map_del(m, STR("content-length")));
	ck_assert_ptr_null(map_get(m, STR("Content-Length")));
	ck_assert_int_eq(map_add(exact, STR("a"), &a), 0);
	ck_assert_int_eq(map_add(exact, STR("A"), &b), 0);
	ck_assert_ptr_eq(map_get(exact, STR("A")), &b);
	map_free(&m);
	map_free(&exact);
}
END_TEST

START_TEST(odd_keys)
{
	struct map *m = map_new(NULL, false), *none = NULL;
	int a, b;
	size_t it = 0;

	ck_assert_ptr_null(map_get(m, STR("x")));
	ck_assert(!map_del(m, STR("x")));
	ck_assert(!map_next(m, &it, NULL, NULL));
	ck_assert_int_eq(map_add(m, STR_NULL, &a), 0);
	ck_assert_ptr_eq(map_get(m, STR("")), &a);
	ck_assert_int_eq(map_add(m, str_n("a\0b", 3), &b), 0);
	ck_assert_ptr_null(map_get(m, STR("a")));
	ck_assert_ptr_eq(map_get(m, str_n("a\0b", 3)), &b);
	map_free(&m);
	map_free(&none);
}
END_TEST

START_TEST(removal_while_walking)
{
	struct map *m = map_new(NULL, false);
	struct str key;
	size_t it = 0;
	int seen = 0;

	for (int k = 0; k < 100; k++) {
		snprintf(keys[k], sizeof(keys[k]), "%d", k);
		ck_assert_int_eq(map_add(m, str_c(keys[k]), &values[k]), 0);
	}
	while (map_next(m, &it, &key, NULL)) {
		seen++;
		ck_assert(map_del(m, key));
	}
	ck_assert_int_eq(seen, 100);
	ck_assert_uint_eq(map_count(m), 0);
	map_free(&m);
}
END_TEST

START_TEST(set_takes_the_new_key)
{
	struct map *m = map_new(NULL, false);
	char one[] = "k", two[] = "k";
	struct str key;
	size_t it = 0;

	ck_assert_int_eq(map_add(m, str_c(one), one), 0);
	ck_assert_int_eq(map_set(m, str_c(two), two), 0);
	one[0] = 'x';       /* the old key's owner is gone */
	ck_assert_ptr_eq(map_get(m, STR("k")), two);
	ck_assert(map_next(m, &it, &key, NULL));
	ck_assert_ptr_eq(key.p, two);
	map_free(&m);
}
END_TEST

START_TEST(no_memory)
{
	struct pool *p = pool_new("small", 2000);
	struct map *m = map_new(p, false);
	int n = 0, err = 0;

	for (; n < 100 && !err; n++) {
		snprintf(keys[n], sizeof(keys[n]), "%d", n);
		err = map_add(m, str_c(keys[n]), &values[n]);
	}
	n--;
	ck_assert_int_eq(err, FL_ENOMEM_);
	ck_assert_uint_eq(map_count(m), (unsigned)n);
	ck_assert_int_gt(n, 4);
	for (int k = 0; k < n; k++)
		ck_assert_ptr_eq(map_get(m, str_c(keys[k])), &values[k]);
	ck_assert(map_del(m, str_c(keys[0])));
	pool_free(&p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/map");

	UNIT_CASE(s, "model on the heap", heap_model);
	UNIT_CASE(s, "model in a pool", pool_model);
	UNIT_CASE(s, "case folding", case_folding);
	UNIT_CASE(s, "odd keys", odd_keys);
	UNIT_CASE(s, "removal while walking", removal_while_walking);
	UNIT_CASE(s, "set takes the new key", set_takes_the_new_key);
	UNIT_CASE(s, "no memory", no_memory);
	return unit_run(s);
}
