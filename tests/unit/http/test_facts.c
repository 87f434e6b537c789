/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_facts.c - what a request head answers to expressions and templates, without any connection
 * (as explain does)
 */
#include "config.h"

#include "tests/unit/base/unit.h"

#include "http/h1.h"
#include "http/http.h"

static struct pool *pool;
static struct http_head req, resp;
static struct http_facts facts;
static struct pol_facts source;

static const char head_text[] =
	"GET /a/%7eb/../c?q=1&r=%20 HTTP/1.1\r\nHost: WWW.Example.ORG:8080\r\nUser-Agent: ua/1\r\n"
	"X-Many: one\r\nx-many: two\r\nCookie: a=1; sid=abc ;b=\"q\"\r\nCookie: sid=second\r\n"
	"X-Forwarded-For: 192.0.2.9\r\nContent-Length: 12\r\n\r\n";

static void setup(void)
{
	enum h1_reason why;
	size_t seen = 0, off;
	struct addr a;

	pool = pool_new("test", 0);
	memset(&req, 0, sizeof(req));
	ck_assert_int_gt(h1_parse_request((const uint8_t *)head_text, sizeof(head_text) - 1, &seen,
					  &h1_limits_default, false, pool, &req, &why, &off),
			 0);
	memset(&resp, 0, sizeof(resp));
	resp.status = 404;
	ck_assert_int_eq(head_add(pool, &resp, STR("Server"), STR("srv")), 0);
	facts = (struct http_facts){ .req = &req };
	ck_assert_int_eq(addr_parse(STR("198.51.100.7:4321"), -1, &a), 0);
	facts.client = a;
	ck_assert_int_eq(addr_parse(STR("203.0.113.1:80"), -1, &a), 0);
	facts.local = a;
	http_facts_init(&source, &facts);
}
static void teardown(void) { pool_free(&pool); }

static enum pol_result ask(const char *text)
{
	struct pol_compile_opts o = { .planes = POL_REQ };
	struct pol_error err;
	struct pol_expr *e;

	if (strstr(text, "response"))
		o.planes = POL_RESP;
	ck_assert_msg(pol_expr_compile(pool, str_c(text), &o, &e, &err) == 0, "%s: %s", text,
		      err.text);
	return pol_eval(e, &source, NULL);
}

static const struct {
	const char     *text;
	enum pol_result want;
} questions[] = {
	{ "http.request.method == \"GET\"", POL_TRUE },
	{ "http.host == \"www.example.org\"", POL_TRUE },
	{ "http.request.uri.path == \"/a/c\"", POL_TRUE },
	{ "http.request.uri.query == \"q=1&r=%20\"", POL_TRUE },
	{ "http.request.uri == \"/a/c?q=1&r=%20\"", POL_TRUE },
	{ "http.request.full_uri == \"http://www.example.org:8080/a/c?q=1&r=%20\"", POL_TRUE },
	{ "http.request.version == \"HTTP/1.1\"", POL_TRUE },
	{ "http.request.headers[\"X-MANY\"] == \"two\"", POL_TRUE },
	{ "http.request.headers[\"x-many\"] == \"three\"", POL_FALSE },
	{ "http.request.headers[\"host\"] == \"www.example.org:8080\"", POL_TRUE },
	{ "http.request.headers[\"none\"]", POL_FALSE },
	{ "http.request.cookies[\"sid\"] == \"abc\"", POL_TRUE },
	{ "http.request.cookies[\"sid\"] == \"second\"", POL_TRUE },
	{ "http.request.cookies[\"b\"] == \"\\\"q\\\"\"", POL_TRUE },
	{ "http.request.cookies[\"SID\"]", POL_FALSE },
	{ "http.user_agent == \"ua/1\"", POL_TRUE },
	{ "http.referer", POL_FALSE },
	{ "http.content_length == 12", POL_TRUE },
	{ "http.x_forwarded_for == \"192.0.2.9\"", POL_TRUE },
	{ "ip.src == 198.51.100.0/24", POL_TRUE },
	{ "ip.dst == 203.0.113.1 and tcp.dstport == 80 and tcp.srcport == 4321", POL_TRUE },
	{ "ssl", POL_FALSE },
	{ "tls.sni", POL_FALSE },
};

START_TEST(fields_of_a_request)
{
	enum pol_result got = ask(questions[_i].text);

	ck_assert_msg(got == questions[_i].want, "%s: got %d", questions[_i].text, (int)got);
}
END_TEST

START_TEST(fields_of_a_response)
{
	ck_assert_int_eq(ask("http.response.code == 404"), POL_FALSE);
	facts.resp = &resp;
	ck_assert_int_eq(ask("http.response.code == 404"), POL_TRUE);
	ck_assert_int_eq(ask("http.response.headers[\"server\"] == \"srv\""), POL_TRUE);
}
END_TEST

START_TEST(tls_facts)
{
	facts.tls = true;
	facts.sni = "a.example";
	facts.tls_version = "TLSv1.3";
	ck_assert_int_eq(ask("ssl and tls.sni == \"a.example\" and tls.version == \"TLSv1.3\""),
			 POL_TRUE);
	ck_assert_int_eq(ask("tls.client.subject"), POL_FALSE);
}
END_TEST

START_TEST(a_long_uri_is_whole)
{
	static char path[6001];
	char mem[8192];
	struct pol_compile_opts o = { .planes = POL_REQ };
	struct pol_error err;
	struct pol_tmpl *t;
	struct sb b;

	memset(path, 'p', sizeof(path) - 1);
	path[0] = '/';
	req.path = str_n(path, sizeof(path) - 1);
	http_facts_init(&source, &facts);
	ck_assert_int_eq(
		pol_tmpl_compile(pool, STR("{http.request.uri}|{http.host}"), &o, &t, &err), 0);
	sb_init(&b, mem, sizeof(mem));
	ck_assert_int_eq(pol_tmpl_run(t, &source, &b), 0);
	ck_assert_uint_eq(b.n, 6000 + 10 + 1 + 15);
	ck_assert(str_ends(sb_get(&b), STR("ppp?q=1&r=%20|www.example.org")));
}
END_TEST

START_TEST(values_are_paged)
{
	struct pol_val v;
	unsigned n = 1;

	ck_assert_int_eq(source.get(source.ctx, POL_F_HTTP_HEADERS, STR("x-many"), NULL, 1, &v, &n),
			 0);
	ck_assert_uint_eq(n, 1);
	ck_str(v.s, STR("two"));
	n = 1;
	ck_assert_int_eq(source.get(source.ctx, POL_F_HTTP_HEADERS, STR("x-many"), NULL, 2, &v, &n),
			 0);
	ck_assert_uint_eq(n, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("facts");
	TCase *t = tcase_create("facts");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, fields_of_a_request, 0, FL_ARRAY_LEN(questions));
	tcase_add_test(t, fields_of_a_response);
	tcase_add_test(t, tls_facts);
	tcase_add_test(t, a_long_uri_is_whole);
	tcase_add_test(t, values_are_paged);
	suite_add_tcase(s, t);
	return unit_run(s);
}
