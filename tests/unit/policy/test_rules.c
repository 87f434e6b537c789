/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rules.c - templates, and the order of rules
 */
#include "config.h"

#include "facts.h"

#define H(x) "{http.request.headers[\"" x "\"]}"

static const struct {
	const char *text, *want;
	bool        constant;
} texts[] = {
	{ "", "", true }, { "plain", "plain", true }, { "a {{b}} c", "a {b} c", true }, { "{{{{", "{{", true },
	{ "}}", "}", true }, { "{{{http.host}}}", "{www.example.com}", false },
	{ "https://{http.host}{http.request.uri}", "https://www.example.com/Admin/x?id=7", false },
	{ "{ http.host }", "www.example.com", false }, { "{tcp.dstport}", "443", false }, { "{ip.src}", "10.1.2.3", false },
	{ "[{ip.dst}]", "[2001:db8::1]", false }, { "{ssl}", "true", false }, { "a{tls.sni}b", "ab", false },
	{ H("x-one"), "AbC", false }, { H("x-multi"), "one", false }, { H("x-none") "!", "!", false },
	{ "{http.request.headers[\"a}b\"]}.", ".", false }, { "{http.x_forwarded_for}x", "x", false },
	{ "{lower(http.request.method)}", "get", false }, { "{http.host[0:3]}", "www", false }, { "{len(http.host)}", "15", false },
	{ "{vserver[\"web\"].connections}", "50", false },
};

START_TEST(test_text)
{
	struct pool *p = pool_new("test", 0);
	struct pol_error err;
	struct pol_tmpl *t;
	char out[256];
	struct sb b;

	sb_init(&b, out, sizeof(out));
	ck_assert_msg(pol_tmpl_compile(p, str_c(texts[_i].text), &at_request, &t, &err) == 0,
		      "%s: %s", texts[_i].text, err.text);
	ck_assert_int_eq(pol_tmpl_run(t, &facts, &b), 0);
	ck_assert_str_eq(out, texts[_i].want);
	ck_assert_int_eq(pol_tmpl_is_const(t), texts[_i].constant);
	pool_free(&p);
}
END_TEST

static const struct {
	const char *text;
	size_t      off, len;
	const char *says;
} wrong[] = {
	{ "a{", 1, 1, "not closed" }, { "a}", 1, 1, "closes nothing" }, { "a}b", 1, 1, "closes nothing" },
	{ "{}", 0, 1, "missing" }, { "{ }", 0, 1, "missing" }, { "ab{http.host", 12, 1, "} expected" },
	{ "{http.hots}", 1, 9, "unknown field" }, { "{http.host }}", 12, 1, "closes nothing" }, { "{http.host x}", 11, 1, "} expected" },
	{ "x{http.response.code}", 2, 18, "not known" }, { "{starts_with(http.host, \"a\")}", 1, 27, "test by itself" },
	{ "{80}", 1, 2, "is a value" }, { "{http.host == \"a\"}", 11, 2, "} expected" }, { "{http.request.headers}", 1, 20, "needs a name" },
	{ "{http.request.headers[\"a}", 22, 1, "no end" },
};

START_TEST(test_wrong)
{
	struct pool *p = pool_new("test", 0);
	struct pol_error err;
	struct pol_tmpl *t;

	ck_assert_int_eq(pol_tmpl_compile(p, str_c(wrong[_i].text), &at_request, &t, &err),
			 FL_ESYNTAX_);
	ck_assert_ptr_null(t);
	ck_assert_msg(err.off == wrong[_i].off && err.len == wrong[_i].len, "%s: %zu+%zu %s",
		      wrong[_i].text, err.off, err.len, err.text);
	ck_assert_msg(strstr(err.text, wrong[_i].says) != NULL, "%s: %s", wrong[_i].text, err.text);
	pool_free(&p);
}
END_TEST

START_TEST(test_room)
{
	struct pool *p = pool_new("test", 0);
	struct pol_error err;
	struct pol_tmpl *t;
	char out[16];
	struct sb b;

	ck_assert_int_eq(pol_tmpl_compile(p, STR("{http.host}"), &at_request, &t, &err), 0);
	sb_init(&b, out, 16);
	ck_assert_int_eq(pol_tmpl_run(t, &facts, &b), FL_OK);
	sb_init(&b, out, 15);
	ck_assert_int_eq(pol_tmpl_run(t, &facts, &b), FL_ELIMIT_);
	pool_free(&p);
}
END_TEST

/* --- rules --- */

static char seen_text[1024];

static void seen_rule(void *ctx, const struct pol_rule *r, enum pol_result res)
{
	sb_fmt(ctx, "%s=%d ", r->name, res);
}

static struct pol_rule rule(struct pool *p, const char *name, const char *when, enum pol_act act)
{
	struct pol_rule r = { .name = name, .act = act };
	struct pol_error err;

	if (when)
		ck_assert_int_eq(pol_expr_compile(p, str_c(when), &at_request, &r.expr, &err), 0);
	return r;
}

START_TEST(test_order)
{
	struct pool *p = pool_new("test", 0);
	struct pol_rule rules[] = {
		rule(p, "mods", "ssl", POL_ACT_NONE),
		rule(p, "no", "http.host == \"x\"", POL_ACT_DROP),
		rule(p, "unknown", "http.x_forwarded_for", POL_ACT_DROP),
		rule(p, "first", "tcp.dstport == 443", POL_ACT_REDIRECT),
		rule(p, "second", NULL, POL_ACT_RESET),
	};
	struct pol_ruleset rs = { rules, FL_ARRAY_LEN(rules) };
	struct pol_verdict v;
	struct sb b;

	sb_init(&b, seen_text, sizeof(seen_text));
	pol_ruleset_run(&rs, &facts, NULL, seen_rule, &b, &v);
	ck_assert_str_eq(seen_text, "mods=1 no=0 unknown=2 first=1 ");
	ck_assert_int_eq(v.act, POL_ACT_REDIRECT);
	ck_assert_ptr_eq(v.final, &rules[3]);
	ck_assert_uint_eq(v.n_matched, 2);
	ck_assert_ptr_eq(v.matched[0], &rules[0]);
	ck_assert_ptr_eq(v.matched[1], &rules[3]);
	ck_assert_uint_eq(v.n_undef, 1);
	/* without a rule that ends it, and without a watcher */
	rs.n = 3;
	pol_ruleset_run(&rs, &facts, NULL, NULL, NULL, &v);
	ck_assert_int_eq(v.act, POL_ACT_NONE);
	ck_assert_ptr_null(v.final);
	ck_assert_uint_eq(v.n_matched, 1);
	/* a rule without expression is always true; no rules at all */
	rs = (struct pol_ruleset){ &rules[4], 1 };
	pol_ruleset_run(&rs, &facts, NULL, NULL, NULL, &v);
	ck_assert_int_eq(v.act, POL_ACT_RESET);
	rs.n = 0;
	pol_ruleset_run(&rs, &facts, NULL, NULL, NULL, &v);
	ck_assert_uint_eq(v.n_matched, 0);
	pool_free(&p);
}
END_TEST

/* More true rules than places: the one that ends the run is always the last. */
START_TEST(test_many_matches)
{
	struct pol_rule rules[40] = { 0 };
	struct pol_ruleset rs = { rules, 40 };
	struct pol_verdict v;

	for (unsigned i = 0; i < 40; i++)
		rules[i].name = "m";
	rules[39].act = POL_ACT_REJECT;
	pol_ruleset_run(&rs, &facts, NULL, NULL, NULL, &v);
	ck_assert_uint_eq(v.n_matched, POL_MATCH_MAX);
	ck_assert_ptr_eq(v.matched[0], &rules[0]);
	ck_assert_ptr_eq(v.matched[POL_MATCH_MAX - 2], &rules[POL_MATCH_MAX - 2]);
	ck_assert_ptr_eq(v.matched[POL_MATCH_MAX - 1], &rules[39]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("policy rules");
	TCase *c = tcase_create("rules");
	SRunner *r;
	int bad;

	tcase_add_loop_test(c, test_text, 0, FL_ARRAY_LEN(texts));
	tcase_add_loop_test(c, test_wrong, 0, FL_ARRAY_LEN(wrong));
	tcase_add_test(c, test_room);
	tcase_add_test(c, test_order);
	tcase_add_test(c, test_many_matches);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_set_fork_status(r, CK_NOFORK);
	srunner_run_all(r, CK_ENV);
	bad = srunner_ntests_failed(r);
	srunner_free(r);
	return bad != 0;
}
