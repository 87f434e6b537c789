/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_explain.c - explanations without a running appliance: the same rules, the same choice
 */
#include "config.h"

#include "tests/unit/admin/admin_test.h"

static struct loaded_conf cfg;
static struct sb out;

static void up(void)
{
	load_conf(&cfg, test_conf);
}

static void down(void)
{
	sb_free(&out);
	free_conf(&cfg);
}

/* Arguments behind the word explain, parted by `|`. */
static int explain(const char *line, bool json)
{
	static char copy[1024];
	char *argv[16];
	int argc = 0;

	sb_free(&out);
	sb_init_heap(&out);
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *at = copy, *w; (w = next_piece(&at, '|'));)
		argv[argc++] = w;
	return admin_explain_offline(cfg.lc, argc, argv, json, &out);
}

START_TEST(a_rule_that_ends_it_is_shown_with_what_decided)
{
	ck_assert_int_eq(
		explain("request|GET http://127.0.0.1:8080/admin/../admin/x|--from|203.0.113.7",
			false),
		0);
	HAS(out.p, "listener  127.0.0.1:8080\nvserver   web  test.conf:");
	HAS(out.p, "policy    mark  false");
	HAS(out.p, "policy    admin  TRUE");
	HAS(out.p, "  starts_with(http.request.uri.path, \"/admin\")  true  (\"/admin/x\")\n");
	HAS(out.p, "  ip.src in {10.0.0.0/8}  false  (203.0.113.7)\n");
	HAS(out.p,
	    "result    respond 403  (2 policies behind it and the default not evaluated)\nbody      no\n");
	HAS_NOT(out.p, "policy    hop");
	HAS_NOT(out.p, "pool ");
	/* the same from inside goes on */
	ck_assert_int_eq(explain("request|GET http://127.0.0.1:8080/admin|--from|10.9.9.9", false),
			 0);
	HAS(out.p, "policy    admin  false");
	HAS(out.p, "result    use app  (default of web)\n");
}
END_TEST

START_TEST(other_vservers_are_followed)
{
	ck_assert_int_eq(explain("request|http://inner.example:8080/?a=b|--from|1.2.3.4", false),
			 0);
	HAS(out.p, "policy    hop  TRUE");
	HAS(out.p, "vserver   inner  test.conf:");
	HAS(out.p, "policy    all  TRUE");
	HAS(out.p, "            always\n");
	HAS(out.p, "result    use sorry\n");
	HAS(out.p, "sorry/s1  weight 1  0.0000 requests in progress per weight  <- chosen\n");
	HAS(out.p, "service   sorry/s1  127.0.0.1:9009\n");
	HAS(out.p, "request   GET /?a=b HTTP/1.1  Host: inner.example:8080\n");
}
END_TEST

START_TEST(candidates_and_header_changes)
{
	ck_assert_int_eq(
		explain("request|POST http://127.0.0.1:8080/p?q|--from|[::1]:4000|-H|User-Agent: curl/8",
			false),
		0);
	HAS(out.p, "policy    mark  TRUE");
	HAS(out.p, "app/a1  weight 2  0.0000 requests in progress per weight  <- chosen\n");
	HAS(out.p, "app/a3  weight 1  not used: MAINT\n");
	HAS(out.p, "header    set X-Seen: 127.0.0.1/p?q  (mark)\n");
	HAS(out.p, "request   POST /p?q HTTP/1.1");
}
END_TEST

START_TEST(json_says_the_same)
{
	ck_assert_int_eq(
		explain("request|GET http://127.0.0.1:8080/admin|--from|203.0.113.7", true), 0);
	HAS(out.p,
	    "{\"listener\": \"web/127.0.0.1:8080\", \"vserver\": \"web\", \"tls\": null, \"policies\": [{\"name\": \"mark\"");
	HAS(out.p,
	    "{\"test\": \"ip.src in {10.0.0.0/8}\", \"result\": \"false\", \"value\": \"203.0.113.7\"}");
	HAS(out.p,
	    "\"result\": \"respond 403\", \"by_default\": false, \"not_evaluated\": 2, \"decided_by\": \"admin\"");
	ck_assert_int_eq(explain("request|GET http://127.0.0.1:8080/|--from|10.0.0.1", true), 0);
	HAS(out.p, "\"service\": \"app/a1\", \"address\": \"127.0.0.1:9001\"");
	HAS(out.p,
	    "{\"service\": \"app/a3\", \"weight\": 1, \"usable\": false, \"why\": \"MAINT\"}");
}
END_TEST

START_TEST(connections_of_tcp_vservers)
{
	ck_assert_int_eq(explain("request|tcp://127.0.0.1:8081|--from|10.0.0.1", false), 0);
	HAS(out.p, "vserver   raw");
	HAS(out.p, "result    use app  (default of raw)");
	HAS_NOT(out.p, "request ");
}
END_TEST

START_TEST(mistakes_are_told)
{
	static const struct {
		const char *line;
		int code;
		const char *says;
	} cases[] = {
		{ "request|GET http://h:99/|--from|1.2.3.4", 1,
		  "nothing listens on port 99 without TLS; there is 127.0.0.1:8080 (web), 127.0.0.1:8081 (raw)" },
		{ "request|GET https://h:8080/|--from|1.2.3.4", 1,
		  "nothing listens on port 8080 with TLS" },
		{ "request|GET http://h/|--from|1.2.3.4|--vserver|wbe", 1,
		  "no vserver named \"wbe\"; did you mean \"web\"?" },
		{ "request|GET http://h:8080/|--from|1.2.3", 2, "--from needs an address" },
		{ "request|GET /x|--from|1.2.3.4", 2, "the URI needs a scheme and a host" },
		{ "request|GET gopher://h/|--from|1.2.3.4", 2,
		  "the scheme is http, https, tcp or tls, not \"gopher\"" },
		{ "request|GET http://h:x/|--from|1.2.3.4", 2, "the port is not one in" },
		{ "request|GET http://h/ HTTP/1.1|--from|1.2.3.4", 2, "a request is METHOD URI" },
		{ "request|tcp://h|--from|1.2.3.4", 2, "a port is needed" },
		{ "request|GET http://h:8080/|--from|1.2.3.4|-H|Bad : x", 1,
		  "would refuse this request with 400: blank before" },
		{ "request|GET http://h:8080/|--from|1.2.3.4|-H|A: b\r\nC : d", 1,
		  "would refuse this request with 400" },
		{ "request|GET http://h:8080/", 2, "--from IP is missing" },
		{ "requst|GET http://h:8080/", 2, "did you mean \"request\"?" },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		ck_assert_msg(explain(cases[i].line, false) == cases[i].code, "%s: %s",
			      cases[i].line, out.p);
		HAS(out.p, cases[i].says);
		ck_assert_msg(strncmp(out.p, "error: ", 7) == 0, "%s", out.p);
	}
}
END_TEST

START_TEST(a_named_vserver_needs_no_listener)
{
	ck_assert_int_eq(
		explain("request|GET http://anything:99/|--from|1.2.3.4|--vserver|inner", false),
		0);
	HAS(out.p, "listener  none: the vserver was named\nvserver   inner");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_rule_that_ends_it_is_shown_with_what_decided,
		other_vservers_are_followed,
		candidates_and_header_changes,
		json_says_the_same,
		connections_of_tcp_vservers,
		mistakes_are_told,
		a_named_vserver_needs_no_listener,
	};
	Suite *suite = suite_create("explain");
	TCase *tc = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, up, down);
	for (size_t i = 0; i < FL_ARRAY_LEN(tests); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
