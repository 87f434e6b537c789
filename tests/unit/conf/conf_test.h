/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_test.h - loading from a text and looking at the result
 */
#ifndef FL_TESTS_CONF_TEST_H
#define FL_TESTS_CONF_TEST_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "base/err.h"
#include "conf/conf.h"

struct loaded {
	struct conf_src  *src;
	struct conf_diag *d;
	struct conf      *c;
	int               rc;
};

static inline struct loaded load_src(struct conf_src *src)
{
	struct loaded l = { .src = src, .d = conf_diag_new() };

	ck_assert_ptr_nonnull(src);
	l.rc = conf_load(src, l.d, &l.c);
	ck_assert_int_eq(l.rc == 0, l.c != NULL);
	ck_assert_int_eq(l.rc == 0, conf_diag_errors(l.d) == 0);
	return l;
}

static inline struct loaded load_n(struct str text)
{
	return load_src(conf_src_text("t.conf", text));
}

static inline struct loaded load(const char *text)
{
	return load_n(str_c(text));
}

static inline void say(const struct loaded *l)
{
	struct sb b;

	sb_init_heap(&b);
	conf_diag_print(l->d, &b, false);
	fprintf(stderr, "%s", b.n ? b.p : "(no message)\n");
	sb_free(&b);
}

static inline struct loaded load_ok(const char *text)
{
	struct loaded l = load(text);

	if (l.rc)
		say(&l);
	ck_assert_int_eq(l.rc, 0);
	return l;
}

static inline void unload(struct loaded *l)
{
	conf_free(&l->c);
	conf_diag_free(&l->d);
	conf_src_free(&l->src);
}

/* Some message at this place holds both texts. */
static inline void must_say(const struct loaded *l, enum conf_sev sev, unsigned line, unsigned col,
			    const char *text, const char *hint)
{
	for (unsigned i = 0; i < conf_diag_count(l->d); i++) {
		const struct conf_diag_msg *m = conf_diag_get(l->d, i);

		if (m->sev == sev && m->loc.line == line && m->loc.col == col &&
		    strstr(m->text, text) && (!hint || (m->hint && strstr(m->hint, hint))))
			return;
	}
	say(l);
	ck_abort_msg("no message at %u:%u with \"%s\" and hint \"%s\"", line, col, text,
		     hint ? hint : "");
}

static inline char *dump_of(const struct conf *c, unsigned flags)
{
	struct sb b;

	sb_init_heap(&b);
	conf_dump(c, NULL, flags, &b);
	ck_assert(!b.over);
	return b.p ? b.p : calloc(1, 1);
}

static inline int run_suite(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
