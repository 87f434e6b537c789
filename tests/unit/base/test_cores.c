/* SPDX-License-Identifier: Apache-2.0 */
/* test_cores.c - sets of cores: what they are written as, and what is none */
#include "config.h"

#include "base/cores.h"

#include "tests/unit/base/unit.h"

START_TEST(words)
{
	static const struct { const char *word; unsigned first, last, n; } good[] = {
		{ "0", 0, 0, 1 }, { "2-3", 2, 3, 2 }, { "7-7", 7, 7, 1 }, { "1023", 1023, 1023, 1 }, { "0-1023", 0, 1023, 1024 },
		{ "63-64", 63, 64, 2 },
	};
	static const char *const bad[] = { "", "-", "1-", "-1", "3-2", "1024", "0-1024", "x", "1x", "1-2-3", "1-x", "1,2", "+1", " 1" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct core_set s = { { 0 } };
		unsigned last = 0, n = 0;

		ck_assert_msg(cores_parse(&s, str_c(good[i].word), &last), "%s", good[i].word);
		ck_assert_uint_eq(last, good[i].last);
		ck_assert_uint_eq(cores_next(&s, 0), good[i].first);
		for (unsigned c = cores_next(&s, 0); c < CORES_MAX; c = cores_next(&s, c + 1))
			n++;
		ck_assert_uint_eq(n, good[i].n);
		ck_assert(!cores_empty(&s));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct core_set s = { { 0 } };

		ck_assert_msg(!cores_parse(&s, str_c(bad[i]), NULL), "\"%s\"", bad[i]);
		ck_assert(cores_empty(&s));
	}
}
END_TEST

START_TEST(words_add_up)
{
	struct core_set a = { { 0 } }, b = { { 0 } }, both;

	ck_assert(cores_parse(&a, STR("0"), NULL) && cores_parse(&a, STR("4-6"), NULL) && cores_parse(&b, STR("5-70"), NULL));
	ck_assert(cores_has(&a, 0) && !cores_has(&a, 1) && cores_has(&a, 5) && !cores_has(&a, 7));
	ck_assert(!cores_has(&a, CORES_MAX) && !cores_has(&a, UINT32_MAX));
	both = cores_both(&a, &b);
	ck_assert_uint_eq(cores_next(&both, 0), 5);
	ck_assert_uint_eq(cores_next(&both, 6), 6);
	ck_assert_uint_eq(cores_next(&both, 7), CORES_MAX);
	ck_assert_uint_eq(cores_next(&b, 2000), CORES_MAX);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/cores");

	UNIT_CASE(s, "words", words);
	UNIT_CASE(s, "words add up", words_add_up);
	return unit_run(s);
}
