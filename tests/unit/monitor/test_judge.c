/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_judge.c - rise, fall and the sum over monitors
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>

#include "monitor/judge.h"

/* '+' and '-' are results; upper case U and D are the state expected after the result before it. */
static const struct {
	const char *name, *script;
	unsigned rise, fall;
} cases[] = {
	{ "first pass decides alone", "+U", 3, 3 },
	{ "first failure decides alone", "-D", 3, 3 },
	{ "fall needs a row", "+U-U-U-D", 2, 3 },
	{ "a pass breaks the row of failures", "+U-U-U+U-U-U-D", 2, 3 },
	{ "rise needs a row", "+U-D+D+U", 2, 1 },
	{ "a failure breaks the row of passes", "+U-D+D-D+D+U", 2, 1 },
	{ "what never was up needs one pass", "-D-D-D-D+U", 3, 3 },
	{ "however long that takes", "-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D+U", 3, 3 },
	{ "and then follows fall and rise", "-D+U-U-D+D+U", 2, 2 },
	{ "a pass long ago is a pass", "+U-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D-D+D+U", 2, 1 },
	{ "one and one", "+U-D+U-D", 1, 1 },
};

START_TEST(follows_script)
{
	struct stat_mon m = { .state = ST_HEALTH_UNKNOWN };
	const char *s = cases[_i].script;

	for (; *s; s += 2) {
		uint32_t was = m.state, want = s[1] == 'U' ? ST_HEALTH_UP : ST_HEALTH_DOWN;
		bool changed;

		m.probes++;
		changed = judge_result(&m, s[0] == '+', cases[_i].rise, cases[_i].fall);

		ck_assert_msg(m.state == want, "%s at ...%s", cases[_i].name, s);
		ck_assert_int_eq(changed, was != m.state);
		ck_assert_int_eq(m.history & 1, s[0] == '+');
	}
}
END_TEST

START_TEST(early_probes_end)
{
	struct stat_mon m = { .state = ST_HEALTH_UNKNOWN };
	unsigned n = 0;

	do {
		m.probes++;
		judge_result(&m, false, 2, 2);
		n++;
	} while (judge_early(&m) && n < 1000);
	ck_assert_uint_eq(n, JUDGE_EARLY_PROBES);
	m = (struct stat_mon){ .state = ST_HEALTH_UNKNOWN, .probes = 1 };
	judge_result(&m, true, 2, 2);
	ck_assert_msg(!judge_early(&m), "after a pass the interval counts");
	m.probes++;
	judge_result(&m, false, 2, 2);
	ck_assert_msg(!judge_early(&m), "it has passed once");
}
END_TEST

/* We had no descriptor: whatever the state is, it stays, and so do the runs towards another. */
START_TEST(own_failures_are_not_judged)
{
	static const uint32_t states[] = { ST_HEALTH_UNKNOWN, ST_HEALTH_UP, ST_HEALTH_DOWN };
	struct stat_mon m = { .state = states[_i], .check = ST_CHECK_SOCKERR, .passed = 1, .failed = 1, .history = 5 };

	for (int i = 0; i < 5; i++)
		ck_assert(!judge_result(&m, false, 2, 2));
	ck_assert_uint_eq(m.state, states[_i]);
	ck_assert_uint_eq(m.passed, 1);
	ck_assert_uint_eq(m.failed, 1);
	ck_assert_uint_eq(m.history, 5);
	m.check = ST_CHECK_L4CON;
	judge_result(&m, false, 2, 2);
	ck_assert_uint_eq(m.state, ST_HEALTH_DOWN);
}
END_TEST

START_TEST(any_down_is_down_and_unknown_waits)
{
	struct stat_mon m[3] = { { .state = ST_HEALTH_UP }, { .state = ST_HEALTH_UP }, { .state = ST_HEALTH_UP } };

	ck_assert_uint_eq(judge_service(m, 3), ST_HEALTH_UP);
	m[1].state = ST_HEALTH_UNKNOWN;
	ck_assert_uint_eq(judge_service(m, 3), ST_HEALTH_UNKNOWN);
	m[2].state = ST_HEALTH_DOWN;
	ck_assert_uint_eq(judge_service(m, 3), ST_HEALTH_DOWN);
	ck_assert_uint_eq(judge_service(m, 0), ST_HEALTH_UP);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("monitor/judge");
	TCase *tc = tcase_create("judge");
	SRunner *r;
	int failed;

	tcase_add_loop_test(tc, follows_script, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tc, early_probes_end);
	tcase_add_loop_test(tc, own_failures_are_not_judged, 0, 3);
	tcase_add_test(tc, any_down_is_down_and_unknown_waits);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
