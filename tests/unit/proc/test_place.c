/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_place.c - workers on CPUs: homes, CPUs that are taken away and given back, the control core
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proc/place.h"

static cpu_set_t set_of(const char *text)
{
	cpu_set_t s;

	CPU_ZERO(&s);
	while (*text) {
		char *end;
		unsigned long a = strtoul(text, &end, 10), b = *end == '-' ? strtoul(end + 1, &end, 10) : a;

		for (; a <= b; a++)
			CPU_SET(a, &s);
		text = *end ? end + 1 : end;
	}
	return s;
}

static const char *plan(const char *ever, const char *now, int control, unsigned n)
{
	static char text[256];
	cpu_set_t e = set_of(ever), w = set_of(now);
	int cpu[64];
	struct sb b;

	place_plan(&e, &w, control, n, cpu);
	sb_init(&b, text, sizeof(text));
	for (unsigned i = 0; i < n; i++)
		sb_fmt(&b, i ? " %d" : "%d", cpu[i]);
	return text;
}

START_TEST(each_has_a_home)
{
	ck_assert_str_eq(plan("0-3", "0-3", -1, 4), "0 1 2 3");
	ck_assert_str_eq(plan("0-3", "0-3", -1, 2), "0 1");
	ck_assert_str_eq(plan("0-1", "0-1", -1, 5), "0 1 0 1 0");
	ck_assert_str_eq(plan("2,5,9", "2,5,9", -1, 3), "2 5 9");
}
END_TEST

START_TEST(only_those_move_who_must)
{
	ck_assert_str_eq(plan("0-3", "0,1,3", -1, 4), "0 1 3 3");
	ck_assert_str_eq(plan("0-3", "0,1,3", -1, 3), "0 1 3");          /* one is spare */
	ck_assert_str_eq(plan("0-1", "0", -1, 2), "0 0");
	ck_assert_str_eq(plan("0-1", "1", -1, 2), "1 1");
	ck_assert_str_eq(plan("0-1", "0-1", -1, 2), "0 1");              /* and back */
	ck_assert_str_eq(plan("0-3", "2-3", -1, 4), "2 3 2 3");
	ck_assert_str_eq(plan("0-3", "0-3", -1, 4), "0 1 2 3");
}
END_TEST

START_TEST(the_control_core_is_nobodys)
{
	ck_assert_str_eq(plan("0-3", "0-3", 0, 3), "1 2 3");
	ck_assert_str_eq(plan("0-3", "0-3", 2, 4), "0 1 3 0");
	ck_assert_str_eq(plan("0-1", "0-1", 1, 2), "0 0");
	ck_assert_str_eq(plan("0", "0", 0, 2), "0 0");                   /* it is the only one */
	ck_assert_str_eq(plan("0-3", "0-2", 3, 3), "0 1 2");             /* it is away, and no home meanwhile */
	ck_assert_str_eq(plan("0-3", "0-3", 77, 4), "0 1 2 3");
	ck_assert_str_eq(plan("0-3", "0-3", CPU_SETSIZE, 4), "0 1 2 3");
}
END_TEST

START_TEST(room)
{
	cpu_set_t s = set_of("0-3"), one = set_of("7"), none;

	CPU_ZERO(&none);
	ck_assert_uint_eq(place_room(&s, -1), 4);
	ck_assert_uint_eq(place_room(&s, 3), 3);
	ck_assert_uint_eq(place_room(&s, 9), 4);
	ck_assert_uint_eq(place_room(&one, 7), 1);
	ck_assert_uint_eq(place_room(&none, -1), 1);
	ck_assert_str_eq(plan("0", "", -1, 1), "-1");
}
END_TEST

START_TEST(sets_have_a_text)
{
	static const char *const texts[] = { "", "0", "0-1", "0-2,5", "1,3,5-1023" };

	for (size_t i = 0; i < FL_ARRAY_LEN(texts); i++) {
		cpu_set_t s = set_of(texts[i]);
		char mem[64];
		struct sb b;

		sb_init(&b, mem, sizeof(mem));
		place_text(&s, &b);
		ck_assert_str_eq(mem, texts[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("place");
	TCase *t = tcase_create("place");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, each_has_a_home);
	tcase_add_test(t, only_those_move_who_must);
	tcase_add_test(t, the_control_core_is_nobodys);
	tcase_add_test(t, room);
	tcase_add_test(t, sets_have_a_text);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
