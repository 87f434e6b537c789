/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tickets.c - ticket keys: rotation keeps what workers need, files are read strictly
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "proc/tickets.h"

/* 80 bytes 0, 1, 2 ... in base64, without and with padding */
#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk8"

START_TEST(rotation_keeps_the_previous_and_uses_the_announced_key)
{
	struct tickets t = { 0 }, before;

	tickets_make(&t, 1000);
	ck_assert_uint_eq(t.n, 3);
	ck_assert_mem_ne(t.key[0], t.key[1], TICKET_KEY_LEN);
	before = t;
	tickets_rotate(&t, 5000);
	ck_assert_uint_eq(t.made_ms, 5000);
	ck_assert_mem_eq(t.key[0], before.key[2], TICKET_KEY_LEN);     /* every worker knew it */
	ck_assert_mem_eq(t.key[1], before.key[0], TICKET_KEY_LEN);     /* its tickets are still taken */
	ck_assert_mem_ne(t.key[2], before.key[2], TICKET_KEY_LEN);
}
END_TEST

static const struct {
	const char *name, *text;
	int         err;
	unsigned    n;
} cases[] = {
	{ "one",            KEY "\n", 0, 1 },
	{ "padded",         KEY "=\n", 0, 1 },
	{ "no newline",     KEY, 0, 1 },
	{ "crlf",           KEY "=\r\n" KEY "=\r\n", 0, 2 },
	{ "comments",       "# keys\n\n  " KEY "  \n#\n" KEY "\n" KEY "\n", 0, 3 },
	{ "four",           KEY "\n" KEY "\n" KEY "\n" KEY "\n", FL_ERANGE_, 0 },
	{ "short",          "AAEC\n", FL_ERANGE_, 0 },
	{ "long",           KEY "AAAA\n", FL_ERANGE_, 0 },
	{ "not base64",     "!" KEY "\n", FL_ESYNTAX_, 0 },
	{ "empty",          "", FL_ESYNTAX_, 0 },
	{ "comment only",   "# nothing\n", FL_ESYNTAX_, 0 },
	{ "good then bad",  KEY "\nAA\n", FL_ERANGE_, 0 },
};

START_TEST(file_is_read_strictly)
{
	uint8_t keys[TICKET_KEYS][TICKET_KEY_LEN];
	unsigned n = 99;
	int err = tickets_parse(str_c(cases[_i].text), keys, &n);

	ck_assert_msg(err == cases[_i].err, "%s: %d", cases[_i].name, err);
	if (err)
		return;
	ck_assert_uint_eq(n, cases[_i].n);
	for (unsigned k = 0; k < n; k++)
		for (unsigned i = 0; i < TICKET_KEY_LEN; i++)
			ck_assert_uint_eq(keys[k][i], i);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tickets");
	TCase *t = tcase_create("tickets");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, rotation_keeps_the_previous_and_uses_the_announced_key);
	tcase_add_loop_test(t, file_is_read_strictly, 0, (int)FL_ARRAY_LEN(cases));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
