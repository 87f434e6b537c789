/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tbl.c - the tables agree with themselves, with the manual and with the sample configuration
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "conf/inside.h"
#include "tbl/tbl.h"

START_TEST(test_directives)
{
	for (unsigned i = 1; i < D__COUNT; i++) {
		const struct tbl_dir_row *r = &tbl_dirs[i];
		size_t n = strlen(r->text);

		ck_assert_uint_eq(r->id, i);
		ck_assert_msg(val_is_name(str_c(r->name)), "%s", r->name);
		ck_assert_msg(n && r->text[n - 1] == '.', "%s: the text is not a sentence",
			      r->name);
		ck_assert_int_le(r->min, r->max);
		ck_assert(r->ctx != CTX_NONE);
		/* compiles (a bad signature aborts) and is found in each of its contexts */
		ck_assert_uint_gt(sig_of(r->id)->n, 0);
		for (unsigned c = CTX_TOP; c <= CTX_POLICY; c <<= 1)
			if (r->ctx & c)
				ck_assert_ptr_eq(sig_lookup((enum tbl_ctx)c, str_c(r->name)), r);
		/* a default comes out of the same reader as files do (a bad one aborts) */
		if (r->def[0])
			ck_assert_ptr_nonnull(conf_opt(NULL, r->id));
		else
			ck_assert_ptr_null(conf_opt(NULL, r->id));
		if (r->flags & (DF_OBJ | DF_NAMED))
			ck_assert_int_eq(sig_of(r->id)->alt[0].el[0].type, CV_NAME);
	}
	ck_assert_ptr_null(sig_lookup(CTX_POOL, STR("vserver")));
	ck_assert_str_eq(tbl_ctx_name(CTX_LTLS), "listen tls");
}
END_TEST

START_TEST(test_counters)
{
	unsigned all = 0;

	for (unsigned k = KIND_PROC; k < KIND__COUNT; k++) {
		unsigned first, n;

		tbl_kind_range((enum tbl_kind)k, &first, &n);
		ck_assert_uint_gt(n, 0);
		ck_assert_uint_le(n, TBL_CTR_MAX);
		ck_assert_uint_eq(first, all);
		for (unsigned i = 0; i < n; i++) {
			ck_assert_uint_eq(tbl_ctrs[first + i].kind, k);
			ck_assert_uint_eq(tbl_ctrs[first + i].idx, i);
			for (unsigned j = 0; j < i; j++)
				ck_assert_str_ne(tbl_ctrs[first + i].metric,
						 tbl_ctrs[first + j].metric);
		}
		all += n;
	}
	ck_assert_uint_eq(all, CTR__ALL_COUNT);
	ck_assert_int_eq(CTR_SERVICE_CONN_CUR, 0);
	ck_assert_str_eq(tbl_kind_name(KIND_PROC), "core");
	ck_assert_str_eq(tbl_tls_code(CTR_TLS_WHY_UNKNOWN_SNI), "unknown-sni");
	for (unsigned i = 0; i < REFUSED__COUNT; i++)
		ck_assert(tbl_kind_is_reasons(tbl_refusals[i].kind));
}
END_TEST

START_TEST(test_states)
{
	ck_assert_str_eq(tbl_state_name("HEALTH", ST_HEALTH_DOWN), "DOWN");
	ck_assert_str_eq(tbl_state_name("SVC", ST_SVC_UP), "UP");
	ck_assert_str_eq(tbl_state_name("HEALTH", 99), "?");
	ck_assert_str_eq(tbl_state_name("NOPE", 0), "?");
	for (unsigned i = 0; i < tbl_n_states; i++)
		ck_assert_str_eq(tbl_state_name(tbl_states[i].set, tbl_states[i].value),
				 tbl_states[i].name);
}
END_TEST

static unsigned lines(const char *table, unsigned columns)
{
	unsigned n = 0;
	struct str rest;
	struct sb b;

	sb_init_heap(&b);
	ck_assert(tbl_dump(table, &b));
	for (rest = sb_get(&b); rest.n; n++) {
		struct str line = str_cut(&rest, '\n');
		unsigned tabs = 0;

		for (size_t i = 0; i < line.n; i++)
			tabs += line.p[i] == '\t';
		ck_assert_msg(tabs + 1 == columns, "%s: " STR_FMT, table, STR_ARG(line));
	}
	sb_free(&b);
	return n;
}

START_TEST(test_dump)
{
	struct sb b;

	sb_init_heap(&b);
	ck_assert_uint_eq(lines("directives", 11), D__COUNT);
	ck_assert_uint_eq(lines("counters", 7), CTR__ALL_COUNT + 1);
	ck_assert_uint_eq(lines("states", 4), tbl_n_states + 1);
	ck_assert_uint_eq(lines("events", 3), EV__COUNT + 1);
	ck_assert_uint_eq(lines("errors", 3), FL_ERR__END - FL_ERR__BASE);
	ck_assert(!tbl_dump("nonsense", &b));
	ck_assert_uint_eq(b.n, 0);
	sb_free(&b);
}
END_TEST

/* man/gen.py compares the table with fairlead.conf(5), the vim syntax and the sample. */
START_TEST(test_manual)
{
	const char *top = getenv("srcdir") ? getenv("srcdir") : ".";
	char table[] = "/tmp/fl-tbl-XXXXXX", cmd[600];
	int fd = mkstemp(table), rc;
	struct sb b;

	sb_init_heap(&b);
	ck_assert(fd >= 0 && tbl_dump("directives", &b));
	ck_assert_int_eq(write(fd, b.p, b.n), (ssize_t)b.n);
	close(fd);
	snprintf(cmd, sizeof(cmd),
		 "PATH=/usr/bin:/bin python3 -B '%s/man/gen.py' --check --table %s", top, table);
	rc = system(cmd);
	unlink(table);
	sb_free(&b);
	ck_assert_msg(rc == 0,
		      "manual, vim syntax or sample differ from the table: run man/gen.py");
}
END_TEST

static void dump_to(const char *dir, const char *table)
{
	char path[80];
	struct sb b;
	FILE *f;

	sb_init_heap(&b);
	snprintf(path, sizeof(path), "%s/%s", dir, table);
	f = fopen(path, "w");
	ck_assert(f && tbl_dump(table, &b));
	ck_assert_uint_eq(fwrite(b.p, 1, b.n, f), b.n);
	fclose(f);
	sb_free(&b);
}

/* man/gen-counters compares counters, reasons, events and states with fairlead-counters(7). */
START_TEST(test_counters_manual)
{
	static const char *const tables[] = { "counters", "events", "states" };
	const char *top = getenv("srcdir") ? getenv("srcdir") : ".";
	char dir[] = "/tmp/fl-tbl-XXXXXX", cmd[600];
	int rc;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (size_t i = 0; i < FL_ARRAY_LEN(tables); i++)
		dump_to(dir, tables[i]);
	snprintf(cmd, sizeof(cmd),
		 "PATH=/usr/bin:/bin python3 -B '%s/man/gen-counters' --check --tables %s", top,
		 dir);
	rc = system(cmd);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	ck_assert_int_eq(system(cmd), 0);
	ck_assert_msg(rc == 0, "the manual differs from the tables: run man/gen-counters");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tbl");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_directives);
	tcase_add_test(t, test_counters);
	tcase_add_test(t, test_states);
	tcase_add_test(t, test_dump);
	tcase_add_test(t, test_manual);
	tcase_add_test(t, test_counters_manual);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
