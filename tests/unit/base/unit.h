/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit.h - what the tests of this room share: one suite a program, and numbers that repeat
 */
#ifndef FL_TESTS_UNIT_BASE_UNIT_H
#define FL_TESTS_UNIT_BASE_UNIT_H

#include <check.h>
#include <stdlib.h>

#include "base/str.h"

#define UNIT_CASE(suite, name, fn) \
	do { \
		TCase *tc_ = tcase_create(name); \
		tcase_set_timeout(tc_, 60); \
		tcase_add_test(tc_, fn); \
		suite_add_tcase(suite, tc_); \
	} while (0)

static inline int unit_run(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* splitmix64: the same walk at every run, so a failure can be looked at again */
static inline uint64_t unit_rand(uint64_t *s)
{
	uint64_t z = (*s += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

#define ck_str(got, want) \
	do { \
		struct str g_ = (got), w_ = (want); \
		ck_assert_msg(str_eq(g_, w_), "got \"" STR_FMT "\", want \"" STR_FMT "\"", STR_ARG(g_), \
			      STR_ARG(w_)); \
	} while (0)

#endif
