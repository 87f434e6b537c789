/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_errors.c - wrong expressions: where the message points, what it says, what it hints
 */
#include "config.h"

#include "facts.h"

struct error_case {
	const char *text;
	size_t      off, len;
	const char *says, *hints;     /* parts of the message and the hint; NULL = any */
};

#define H(x) "http.request.headers[\"" x "\"]"

static const struct error_case cases[] = {
	/* tokens */
	{ "", 0, 1, "empty", NULL }, { "   ", 0, 1, "empty", NULL },
	{ "http.host == \"abc", 13, 1, "no end", NULL }, { "http.host == `abc", 13, 1, "no end", NULL },
	{ "http.host == r\"abc\\\"", 13, 1, "no end", NULL }, { "http.host == \"a\nb\"", 13, 1, "no end", NULL },
	{ "tcp.dstport = 80", 12, 1, "\"=\"", "==" }, { "ssl & ssl", 4, 1, "\"&\"", "and" }, { "ssl | ssl", 4, 1, "\"|\"", "or" },
	{ "http.host == 'a'", 13, 1, NULL, "double quotes" }, { "ssl and $x", 8, 1, "\"$\"", NULL },
	{ "ssl and \x01", 8, 1, "\\x01", NULL }, { "ssl \xff", 4, 1, "\\xff", NULL },
	{ "http.host == \"a\\qb\"", 15, 2, "escape", "\\\\" }, { "http.host == \"\\x4\"", 14, 2, "escape", NULL },
	{ "http.host == \"\\777\"", 14, 2, "escape", NULL },
	/* grammar */
	{ "tcp.dstport ==", 14, 1, "at the end", NULL }, { "and ssl", 0, 3, "\"and\"", NULL }, { "ssl and", 7, 1, "at the end", NULL },
	{ "ssl or or ssl", 7, 2, "\"or\"", NULL }, { "not", 3, 1, "at the end", NULL }, { "(ssl", 0, 1, "not closed", NULL },
	{ "((ssl)", 0, 1, "not closed", NULL }, { "ssl)", 3, 1, "closes nothing", NULL }, { "()", 1, 1, "\")\"", NULL },
	{ "ssl ssl", 4, 3, "operator", NULL }, { "ssl AND ssl", 4, 3, "operator", "\"and\"" },
	{ "http.host conains \"a\"", 10, 7, "operator", "\"contains\"" }, { "http.host mathces \"a\"", 10, 7, NULL, "\"matches\"" },
	{ "(tcp.dstport) == 80", 14, 2, "operator", "parentheses" }, { "ssl == true == ", 15, 1, "at the end", NULL },
	{ "http.host not contains \"a\"", 14, 8, "\"in\" after \"not\"", "not a contains b" },
	{ "any ssl", 0, 3, "before a comparison", NULL }, { "all (ssl)", 4, 1, NULL, NULL },
	{ "http.host matches", 17, 1, "pattern in quotes", NULL }, { "http.host matches abc", 18, 3, "pattern in quotes", NULL },
	{ "http.host strict \"x\"", 17, 3, "wildcard after strict", NULL },
	{ "tcp.dstport in 80", 15, 2, "{ of a set", NULL }, { "tcp.dstport in {}", 15, 2, "empty", NULL },
	{ "tcp.dstport in {80", 18, 1, "} of the set", NULL }, { "tcp.dstport in {80 443}", 19, 3, "comma", "commas" },
	{ "tcp.dstport in {80,}", 19, 1, "\"}\"", NULL }, { "tcp.dstport in {80..}", 20, 1, "\"}\"", NULL },
	{ "tcp.dstport in {,80}", 16, 1, "\",\"", NULL }, { "{", 0, 1, NULL, NULL }, { "==", 0, 2, NULL, NULL },
	/* names */
	{ "http.hots == \"a\"", 0, 9, "unknown field \"http.hots\"", "\"http.host\"" },
	{ "ssl and tsl.sni", 8, 7, "unknown field \"tsl.sni\"", "\"tls.sni\"" },
	{ "ip.addr == 10.0.0.1", 0, 7, "unknown field", "ip.src" }, { "tcp.port == 80", 0, 8, "unknown field", "tcp.dstport" },
	{ "tls.handshake.extensions_server_name == \"a\"", 0, 36, "unknown field", "tls.sni" },
	{ "user_agent contains \"x\"", 0, 10, "unknown field", "http.user_agent" },
	{ "zzzzzzzzzz == 1", 0, 10, "unknown field", NULL }, { "zzz[\"a\"] == \"b\"", 0, 3, "unknown field \"zzz\"", NULL },
	{ "zzz[0:3] == \"b\"", 0, 3, "unknown field \"zzz\"", NULL }, { "tcp.dstport == tcp.srcprt", 15, 10, "unknown field", "tcp.srcport" },
	{ "http.host == http.hosts", 13, 10, "unknown field", "http.host" }, { "ssl and 80", 8, 2, "is a value", NULL },
	{ "startswith(http.host, \"a\")", 0, 10, "unknown function", "starts_with" }, { "foo(1)", 0, 3, "unknown function \"foo\"", NULL },
	{ "http.request.headers == \"a\"", 0, 20, "needs a name", "[\"name\"]" },
	{ "http.request.headers[0:3] == \"a\"", 0, 20, "needs a name", NULL },
	{ "http.host[\"a\"] == \"a\"", 10, 3, "takes no name", NULL }, { H("") " == \"a\"", 21, 2, "empty", NULL },
	{ "http.request.headers[\"a\" == \"a\"", 25, 2, "] expected", NULL },
	{ "vserver.connections > 1", 0, 19, "unknown field", NULL },
	{ "vserver[\"nope\"].connections > 1", 8, 6, "there is no vserver \"nope\"", NULL },
	{ "service[\"app/zz\"].up", 8, 8, "there is no service \"app/zz\"", NULL },
	{ "vserver[\"web\"].conections > 1", 0, 25, "unknown field", "vserver.connections" },
	{ "vserver[\"web\"] > 1", 0, 7, "unknown field \"vserver\"", NULL },
	{ "http.response.code == 200", 0, 18, "not known at the request", "the response" },
	{ "ssl and len(" "http.response.headers[\"a\"]) > 1", 12, 26, "not known at the request", NULL },
	/* types */
	{ "tcp.dstport == \"80\"", 15, 4, "a number expected", "without quotes" },
	{ "tcp.dstport == eighty", 15, 6, "\"eighty\" is not a number", NULL }, { "tcp.dstport == 80x", 15, 3, "not a number", NULL },
	{ "tcp.dstport == 080", 15, 3, "begin with 0", "0x" }, { "tcp.dstport == 0x", 15, 2, "not a number", NULL },
	{ "tcp.dstport == 9223372036854775808", 15, 19, "too large", NULL },
	{ "tcp.dstport == 99999999999999999999999", 15, 23, "too large", NULL }, { "tcp.dstport == -", 15, 1, "not a number", NULL },
	{ "tcp.dstport == 10.0.0.1", 15, 8, "not a number", NULL }, { "tcp.dstport contains 8", 0, 22, "contains works on text", NULL },
	{ "tcp.dstport matches \"8\"", 0, 23, "matches works on text", NULL }, { "tcp.dstport wildcard \"8\"", 0, 24, "wildcard works", NULL },
	{ "ip.src contains 10", 0, 18, "contains works", NULL }, { "ssl > true", 0, 10, "does not fit", NULL },
	{ "ssl in {true}", 0, 13, "does not fit", NULL }, { "ssl == 2", 7, 1, "not true or false", NULL },
	{ "ssl == \"true\"", 7, 6, "true or false expected", NULL },
	{ "ip.src == \"10.0.0.1\"", 10, 10, "an IP address expected", "without quotes" },
	{ "ip.src == 10.0.0", 10, 6, "not an IP address", NULL }, { "ip.src == 10.0.0.256", 10, 10, "not an IP address", NULL },
	{ "ip.src == 10.0.0.01", 10, 9, "not an IP address", NULL }, { "ip.src == 10.0.0.0/33", 10, 11, "0 to 32", NULL },
	{ "ip.src == 10.0.0.0/", 10, 9, "0 to 32", NULL }, { "ip.src == ::/129", 10, 6, "0 to 128", NULL },
	{ "ip.src == ::ffff:10.0.0.0/90", 10, 18, "96 to 128", NULL }, { "ip.src == 1.2.3.4/8/8", 10, 11, "0 to 32", NULL },
	{ "ip.src == 10.0.0.1:80", 10, 11, "not an IP address", NULL }, { "ip.src > 10.0.0.0/8", 0, 19, "prefix", NULL },
	{ "ip.src in {10.0.0.0/8..11.0.0.0}", 11, 20, "not to a prefix", NULL },
	{ "ip.src in {10.0.0.1..::1}", 11, 13, "IPv4 and IPv6", NULL }, { "ip.src in {10.0.0.2..10.0.0.1}", 11, 18, "ends before", NULL },
	{ "ip.src in {10.0.0.1, \"10.0.0.2\"}", 21, 10, "not text", "without quotes" }, { "ip.src in {ip.dst}", 11, 6, "members", NULL },
	{ "tcp.dstport in {5..1}", 16, 4, "ends before", NULL }, { "tcp.dstport in {1, x}", 19, 1, "not a number", NULL },
	{ "http.host == GET", 13, 3, "quotes", "\"GET\"" }, { "http.host == example.org", 13, 11, "quotes", "\"example.org\"" },
	{ "http.host == 80", 13, 2, "quotes", NULL }, { "http.host in {a}", 14, 1, "quotes", NULL },
	{ "http.host == tcp.dstport", 13, 11, "text expected, not a number", NULL }, { "ip.src == tcp.dstport", 10, 11, "IP address expected", NULL },
	{ "1 == 1", 0, 6, "two constants", NULL }, { "\"a\" == \"a\"", 0, 10, "two constants", NULL }, { "abc == \"a\"", 0, 3, "unknown field", NULL },
	{ "lower(\"A\") == \"a\"", 0, 17, "two constants", NULL }, { "80 in {80}", 0, 2, "a field is needed", NULL }, { "abc in {80}", 0, 3, "unknown field", NULL },
	{ "\"a\" matches \"a\"", 0, 3, "a field is needed", NULL }, { "80", 0, 2, "is a value", NULL }, { "\"abc\"", 0, 5, "alone", NULL },
	{ "http.host[0:3]", 0, 14, "alone", NULL }, { "tcp.dstport[0] == 1", 0, 14, "has no parts", NULL },
	{ "ip.src[0:2] == 1", 0, 11, "has no parts", NULL },
	{ "http.host[a] == \"b\"", 10, 1, "not a slice", "[start:length]" }, { "http.host[] == \"b\"", 10, 1, "not a slice", NULL },
	{ "http.host[1:0] == \"b\"", 10, 3, "not a slice", NULL }, { "http.host[5-2] == \"b\"", 10, 3, "not a slice", NULL },
	{ "http.host[:] == \"b\"", 10, 1, "not a slice", NULL }, { "http.host[1:2:3] == \"b\"", 10, 5, "not a slice", NULL },
	{ "http.host[99999999] == \"b\"", 10, 8, "not a slice", NULL }, { "http.host[0,1,2,3,4,5,6,7,8] == \"b\"", 25, 1, "] expected", NULL },
	{ "http.host[0 == \"b\"", 12, 2, "] expected", NULL }, { "http.host[0:3] == zz", 18, 2, "quotes", NULL },
	/* functions */
	{ "len(http.host)", 0, 14, "gives a number", NULL }, { "lower(http.host)", 0, 16, "gives text", NULL },
	{ "starts_with(http.host) ", 0, 22, "1 argument", "starts_with(field" }, { "lower() == \"a\"", 0, 7, "0 arguments", NULL },
	{ "lower(http.host, http.host) == \"a\"", 0, 27, "2 arguments", NULL }, { "starts_with(\"a\", http.host)", 12, 3, "a field is needed", NULL },
	{ "starts_with(tcp.dstport, \"a\")", 12, 11, "needs text, not a number", NULL }, { "starts_with(http.host, 80)", 23, 2, "is a value", NULL },
	{ "starts_with(http.host, \"a\") == true", 0, 27, "test by itself", NULL }, { "lower(tcp.dstport) == \"a\"", 6, 11, "needs text", NULL },
	{ "lower(starts_with(http.host, \"a\")) == \"a\"", 6, 27, "test by itself", NULL }, { "len(ip.src) == 4", 4, 6, "needs text or bytes", NULL },
	{ "len(http.host) == \"a\"", 18, 3, "a number expected", NULL }, { "cidr(http.host, 8) == 10.0.0.0", 5, 9, "needs an IP address", NULL },
	{ "cidr(ip.src, 33) == 10.0.0.0", 13, 2, "0 to 32", NULL }, { "cidr(ip.src, 24, 129) == 10.0.0.0", 17, 3, "0 to 128", NULL },
	{ "cidr(ip.src, tcp.dstport) == 10.0.0.0", 13, 11, "a number expected", NULL }, { "cidr(ip.src, x) == 10.0.0.0", 13, 1, "not a number", NULL },
	{ "count(lower(http.host)) == 1", 6, 16, "needs a field", NULL }, { "count(1) == 1", 6, 1, "needs a field", NULL },
	{ "hash(http.host, 0) == 1", 16, 1, "1 to", NULL }, { "hash(\"a\") == 1", 0, 14, "two constants", NULL },
	{ "lower(http.host == \"a\"", 16, 2, "comma or )", NULL }, { "lower(http.host", 15, 1, "comma or )", NULL },
	{ "concat(http.host, 5) == \"a\"", 18, 1, "is a value", NULL },
	/* patterns: the place inside of the string */
	{ "http.host matches \"a(b\"", 22, 1, "regular expression", NULL }, { "http.host matches r\"a(b\"", 23, 1, "regular expression", NULL },
	{ "http.host matches `[a`", 21, 1, "regular expression", NULL }, { "http.host matches \"*a\"", 19, 1, "regular expression", NULL },
	{ "http.host matches \"\\\\.\\x41*)\"", 27, 1, "regular expression", NULL }, { "http.host matches \"(*UTF)a\"", 25, 1, "regular", NULL },
	{ "http.host matches \"a\\\\Cb\"", 23, 1, "regular", NULL },
};

START_TEST(test_error)
{
	const struct error_case *e = &cases[_i];
	struct pool *p = pool_new("test", 0);
	struct pol_error err;
	struct pol_expr *x = (void *)1;
	size_t n = strlen(e->text);
	char *exact = malloc(n ? n : 1);       /* without NUL: reading past the end is seen */

	memcpy(exact, e->text, n);
	ck_assert_msg(pol_expr_compile(p, str_n(exact, n), &at_request, &x, &err) == FL_ESYNTAX_,
		      "%s: accepted", e->text);
	ck_assert_ptr_null(x);
	ck_assert_msg(err.off == e->off && err.len == e->len, "%s: at %zu+%zu, not %zu+%zu: %s",
		      e->text, err.off, err.len, e->off, e->len, err.text);
	ck_assert_msg(!e->says || strstr(err.text, e->says), "%s: says %s", e->text, err.text);
	ck_assert_msg(!e->hints || strstr(err.hint, e->hints), "%s: says %s, hints %s", e->text,
		      err.text, err.hint);
	ck_assert_msg(err.text[0], "%s: no text", e->text);
	free(exact);
	pool_free(&p);
}
END_TEST

static int compile_text(const char *text, size_t n, const struct pol_compile_opts *o,
			struct pol_error *err)
{
	struct pool *p = pool_new("test", 0);
	struct pol_expr *x;
	int rc = pol_expr_compile(p, str_n(text, n), o, &x, err);

	pool_free(&p);
	return rc;
}

/* Text made of a part repeated; NUL-terminated, from malloc. */
static char *repeat(const char *head, const char *part, unsigned times, const char *tail)
{
	size_t n = strlen(part);
	char *s = malloc(strlen(head) + n * times + strlen(tail) + 1), *to = s;

	to = stpcpy(to, head);
	for (unsigned i = 0; i < times; i++)
		to = stpcpy(to, part);
	stpcpy(to, tail);
	return s;
}

START_TEST(test_limits)
{
	static const struct {
		const char *head, *part;
		unsigned    times;
		const char *tail;
		bool        fine;
		const char *says;
	} big[] = {
		{ "", "(", 100, "ssl", false, "not closed" }, { "", "(", 101, "ssl", false, "too deep" },
		{ "", "(", 60000, "", false, "too deep" }, { "", "not ", 100, "ssl", true, NULL },
		{ "", "not ", 101, "ssl", false, "too deep" }, { "", "!", 65000, "", false, "too deep" },
		{ "", "lower(", 10000, "", false, "too deep" }, { "http.host", "[0:1]", 100, " == \"a\"", true, NULL },
		{ "http.host", "[0:1]", 101, " == \"a\"", false, "too deep" }, { "ssl", " and ssl", 8000, "", true, NULL },
		{ "ssl", " or ssl", 9000, "", true, NULL }, { "ssl", " xor ssl", 8000, "", true, NULL },
		{ "1 < tcp.dstport", " < 5", 10000, "", false, "two constants" },
		{ "tcp.dstport", " < tcp.dstport", 4000, "", true, NULL }, { "tcp.dstport in {1", ",2", 16383, "}", true, NULL },
		{ "tcp.dstport in {1", ",2", 16384, "}", false, "too many" }, { "ssl", " ", 65533, "", true, NULL },
		{ "ssl", " ", 65534, "", false, "too long" }, { H("a"), "", 1, "", true, NULL },
		{ "http.host wildcard \"", "*", 256, "\"", true, NULL },
		{ "http.host wildcard \"", "*", 257, "\"", false, "pattern is too long" },
	};
	struct pol_error err;

	for (size_t i = 0; i < FL_ARRAY_LEN(big); i++) {
		char *s = repeat(big[i].head, big[i].part, big[i].times, big[i].tail);
		int rc = compile_text(s, strlen(s), &at_request, &err);

		ck_assert_msg((rc == 0) == big[i].fine, "%zu: rc %d %s", i, rc, err.text);
		ck_assert_msg(!big[i].says || strstr(err.text, big[i].says), "%zu: %s", i,
			      err.text);
		free(s);
	}
	{
		char *s = repeat("http.request.headers[\"", "a", 256, "\"]"),
		     *t = repeat("http.request.headers[\"", "a", 257, "\"]");

		ck_assert_int_eq(compile_text(s, strlen(s), &at_request, &err), 0);
		ck_assert_int_eq(compile_text(t, strlen(t), &at_request, &err), FL_ESYNTAX_);
		free(s);
		free(t);
	}
}
END_TEST

/* A field must be known at every point where the rule stands. */
START_TEST(test_planes)
{
	static const struct {
		const char *text;
		unsigned    planes;
		bool        fine;
	} p[] = {
		{ "ip.src == ::1", POL_CONN | POL_HELLO | POL_REQ | POL_RESP, true }, { "tls.sni", POL_CONN, false },
		{ "tls.sni", POL_HELLO, true }, { "tls.sni", POL_HELLO | POL_CONN, false }, { "http.host", POL_HELLO, false },
		{ "http.host", POL_REQ | POL_RESP, true }, { "http.response.code == 200", POL_RESP, true },
		{ "http.response.code == 200", POL_REQ | POL_RESP, false }, { "ssl", POL_CONN, true },
	};
	struct pol_error err;

	for (size_t i = 0; i < FL_ARRAY_LEN(p); i++) {
		struct pol_compile_opts o = { p[i].planes, NULL, NULL };
		int rc = compile_text(p[i].text, strlen(p[i].text), &o, &err);

		ck_assert_msg((rc == 0) == p[i].fine, "%s at %x: %d %s", p[i].text, p[i].planes, rc,
			      err.text);
	}
	{
		struct pol_compile_opts o = { POL_REQ, NULL, NULL };

		ck_assert_int_eq(compile_text("service[\"a\"].up", 15, &o, &err), FL_ESYNTAX_);
		ck_assert_ptr_nonnull(strstr(err.text, "cannot be asked here"));
	}
}
END_TEST

/* Without memory the answer is FL_ENOMEM_, at every point where it can run out. */
START_TEST(test_no_memory)
{
	static const char text[] =
		"http.host matches \"^(a|b)+x\" and tcp.dstport in {1,2,3..5} or "
		"lower(http.host)[0:3] == 61:62:63 and service[\"app/a1\"].up";
	struct pol_error err;
	unsigned refused = 0;
	int rc = FL_ENOMEM_;

	for (size_t limit = 64; rc == FL_ENOMEM_ && limit < 1 << 20; limit += 64) {
		struct pool *p = pool_new("small", limit);
		struct pol_expr *x = NULL;

		if (!p)
			continue;
		rc = pol_expr_compile(p, STR(text), &at_request, &x, &err);
		ck_assert_msg(rc == 0 || rc == FL_ENOMEM_, "limit %zu: %d %s", limit, rc, err.text);
		refused += rc != 0;
		pol_expr_release(x);
		pool_free(&p);
	}
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_gt(refused, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("policy errors");
	TCase *c = tcase_create("errors");
	SRunner *r;
	int bad;

	tcase_add_loop_test(c, test_error, 0, FL_ARRAY_LEN(cases));
	tcase_add_test(c, test_limits);
	tcase_add_test(c, test_planes);
	tcase_add_test(c, test_no_memory);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_set_fork_status(r, CK_NOFORK);
	srunner_run_all(r, CK_ENV);
	bad = srunner_ntests_failed(r);
	srunner_free(r);
	return bad != 0;
}
