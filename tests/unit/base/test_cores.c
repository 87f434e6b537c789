/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cores.c - lists of cores, and who serves the sockets of a listener that is bound to some
 */
#include "config.h"

#include "base/cores.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define CORES 6

static struct core_set list(const char *text)
{
	struct core_set s = { .n = 0 };
	struct str rest = str_c(text);

	while (rest.n)
		ck_assert_msg(core_set_read(&s, str_cut(&rest, ' ')), "%s", text);
	return s;
}

START_TEST(test_read)
{
	static const char *const bad[] = { "", "-", "a", "1-", "-1", "3-2", "1-2-3", "1024", "0-1024", "1,2", "0x1",
					   "99999999999999999999" };
	static const struct { const char *in, *out; unsigned n; } good[] = {
		{ "0", "0", 1 }, { "2-5", "2-5", 4 }, { "5 0 3-4", "0 3-5", 4 }, { "1 1 1-1", "1", 1 },
		{ "63 64 127-129", "63-64 127-129", 5 }, { "0-1023", "0-1023", 1024 },
	};
	for (size_t i = 0; i < FL_ARRAY_LEN(bad); i++) {
		struct core_set s = { .n = 0 };

		ck_assert_msg(!core_set_read(&s, str_c(bad[i])), "%s", bad[i]);
		ck_assert_uint_eq(s.n, 0);
	}
	for (size_t i = 0; i < FL_ARRAY_LEN(good); i++) {
		struct core_set s = list(good[i].in);
		char text[64];
		struct sb b;

		sb_init(&b, text, sizeof(text));
		core_set_text(&s, &b);
		ck_assert_str_eq(text, good[i].out);
		ck_assert_uint_eq(s.n, good[i].n);
		ck_assert_uint_eq(core_set_below(&s, CORES_MAX), s.n);
		for (unsigned k = 0; k < s.n; k++) {
			ck_assert(core_set_has(&s, core_set_nth(&s, k)));
			ck_assert_uint_eq(core_set_below(&s, core_set_nth(&s, k)), k);
		}
	}
}
END_TEST

START_TEST(test_both)
{
	struct core_set a = list("0 4-6 64"), b = list("5-70"), none = list("7"), both = core_set_both(&a, &b);
	char text[64];
	struct sb out;

	sb_init(&out, text, sizeof(text));
	core_set_text(&both, &out);
	ck_assert_str_eq(text, "5-6 64");
	ck_assert_uint_eq(both.n, 3);
	ck_assert_uint_eq(core_set_both(&a, &none).n, 0);
}
END_TEST

static bool lives[CORES];

/* As the master writes the board. */
static uint32_t board(void *ctx, unsigned core)
{
	unsigned lowest = 0;

	(void)ctx;
	while (lowest < CORES - 1 && !lives[lowest])
		lowest++;
	return core < CORES && lives[core] ? core : lowest;
}

static unsigned server(const struct core_set *s, unsigned core)
{
	return core_set_server(s, CORES, core, board, NULL);
}

/* Whoever lives: a named core serves when one can, itself when it can; else somebody who lives. */
START_TEST(test_every_socket_has_one_that_serves)
{
	static const char *const lists[] = { "", "0", "3", "1 4", "2-5", "0-5", "4 9", "9" };

	for (size_t i = 0; i < FL_ARRAY_LEN(lists); i++) {
		struct core_set s = list(lists[i]);

		for (unsigned who = 1; who < 1u << CORES; who++) {
			bool any = false;

			for (unsigned c = 0; c < CORES; c++) {
				lives[c] = who >> c & 1;
				any |= lives[c] && core_set_has(&s, c);
			}
			ck_assert(core_set_is_out(&s, CORES, board, NULL) == !any);
			for (unsigned c = 0; c < CORES; c++) {
				unsigned by = server(&s, c);

				ck_assert(by < CORES && lives[by]);
				ck_assert(!any || core_set_has(&s, by));
				ck_assert(!lives[c] || !core_set_has(&s, c) || by == c);
			}
		}
	}
}
END_TEST

/* Sockets of others are dealt out over the named ones. */
START_TEST(test_dealt_out)
{
	struct core_set s = list("1 4");
	unsigned n[CORES] = { 0 };

	memset(lives, 1, sizeof(lives));
	for (unsigned c = 0; c < CORES; c++)
		n[server(&s, c)]++;
	ck_assert_uint_eq(n[1], 3);
	ck_assert_uint_eq(n[4], 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cores");
	TCase *t = tcase_create("cores");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_read);
	tcase_add_test(t, test_both);
	tcase_add_test(t, test_every_socket_has_one_that_serves);
	tcase_add_test(t, test_dealt_out);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
