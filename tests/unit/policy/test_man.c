/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_man.c - the lists in fairlead-policy(7) are those of the tables
 *
 * What man/gen-fields makes of each dump must be what stands between the marks in the manual.
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/policy.h"

static const char *srcdir;

static char *read_all(FILE *f)
{
	size_t n = 0, got;
	char *s = malloc(1 << 20);

	ck_assert_ptr_nonnull(s);
	while ((got = fread(s + n, 1, (1 << 20) - 1 - n, f)) > 0)
		n += got;
	s[n] = 0;
	return s;
}

static char *generated(const char *table, const struct sb *dump)
{
	char path[] = "/tmp/fl-man-XXXXXX", command[1024];
	int fd = mkstemp(path);
	FILE *f;
	char *out;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, dump->p, dump->n), (ssize_t)dump->n);
	close(fd);
	snprintf(command, sizeof(command), "sh '%s/man/gen-fields' %s <%s", srcdir, table, path);
	f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	out = read_all(f);
	ck_assert_int_eq(pclose(f), 0);
	unlink(path);
	return out;
}

static void compare(const char *table, void (*dump)(struct sb *))
{
	char path[1024], begin[64], end[64], *page, *want, *from, *to;
	struct sb b;
	FILE *f;

	snprintf(path, sizeof(path), "%s/man/fairlead-policy.7", srcdir);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	page = read_all(f);
	fclose(f);
	snprintf(begin, sizeof(begin), ".\\\" BEGIN %s\n", table);
	snprintf(end, sizeof(end), ".\\\" END %s\n", table);
	from = strstr(page, begin);
	to = strstr(page, end);
	ck_assert_msg(from && to, "marks of %s", table);
	*to = 0;
	sb_init_heap(&b);
	dump(&b);
	want = generated(table, &b);
	ck_assert_uint_gt(strlen(want), 100);
	ck_assert_str_eq(from + strlen(begin), want);
	sb_free(&b);
	free(want);
	free(page);
}

START_TEST(test_fields)
{
	compare("fields", pol_dump_fields);
}
END_TEST

START_TEST(test_operators)
{
	compare("operators", pol_dump_operators);
}
END_TEST

START_TEST(test_functions)
{
	compare("functions", pol_dump_functions);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("policy manual");
	TCase *c = tcase_create("manual");
	SRunner *r;
	int bad;

	srcdir = getenv("srcdir") ? getenv("srcdir") : ".";
	tcase_add_test(c, test_fields);
	tcase_add_test(c, test_operators);
	tcase_add_test(c, test_functions);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_set_fork_status(r, CK_NOFORK);
	srunner_run_all(r, CK_ENV);
	bad = srunner_ntests_failed(r);
	srunner_free(r);
	return bad != 0;
}
