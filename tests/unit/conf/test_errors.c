/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_errors.c - wrong configurations: each is refused, with its place, what is wrong and what to
 * write
 */
#include "config.h"

#include "conf_test.h"

#include <sys/stat.h>
#include <unistd.h>

#define P  "pool p { service s 10.0.0.1:80 }\n"
#define V  "vserver v { listen :80; default use p }\n"
#define IN(body) P "vserver v { listen :80\n" body "\n}"
#define TCP(body) P "vserver v { listen :80; protocol tcp\n" body "\n}"

static const struct bad {
	const char *text;
	unsigned    line, col;
	const char *says, *hint;
} bads[] = {
	/* words and strings */
	{ "wrokers 2", 1, 1, "unknown directive \"wrokers\"", "\"workers\"" },
	{ "frobnicate", 1, 1, "unknown directive", "allowed here: workers" },
	{ "every 2s", 1, 1, "unknown directive", "monitor" },
	{ "user \"abc", 1, 6, "string without", NULL },
	{ "user `abc\nx", 1, 6, "string without", NULL },
	{ "user a#b", 1, 7, "\"#\" within", "blank" },
	{ "user \"a\"b", 1, 9, "blank is missing", NULL },
	{ "user \"a\\qb\"", 1, 8, "escape", "\\xHH" },
	{ "user ${X", 1, 6, "closing }", NULL },
	{ "user ${FL_NOT_SET}", 1, 6, "\"FL_NOT_SET\" is not set", ":-" },
	{ "user x${1A}", 1, 7, "malformed", "${NAME}" },
	{ "user x, y", 1, 7, "\",\"", "blanks" },
	{ "user (x)", 1, 6, "\"(\"", NULL },
	{ "user", 1, 1, "lacks an argument", NULL },
	{ "user a b", 1, 8, "too many arguments", NULL },
	{ "user \"\"", 1, 6, "expected a word", NULL },
	{ "user x { }", 1, 8, "takes no block", NULL },
	{ "{ }", 1, 1, "without a directive", NULL },
	{ "}", 1, 1, "} without {", NULL },
	{ "pool a {\nservice s 1.1.1.1:1\n", 1, 8, "not closed", NULL },
	{ "workers 1\n\nworkers 2", 3, 1, "twice", "line 1" },
	{ P "\xc3\xa4\tuser", 2, 1, "unknown directive", NULL },
	{ "user \xff", 1, 6, "0xff is not UTF-8", NULL },
	{ "user \xc3\xa4\x1b", 1, 7, "control character 0x1b", NULL },
	{ "user a\rb", 1, 7, "control character", NULL },
	/* what is written into heads */
	{ IN("via \"a\\r\\nb\""), 3, 5, "expected \"off\" or a word", NULL },
	{ IN("via \"a b\""), 3, 5, "token", NULL },
	{ IN("via a:80"), 3, 5, "token", NULL },
	{ "monitor m http { host \"a\\r\\nX: y\" }", 1, 23, "control character", NULL },
	/* numbers */
	{ "workers 0", 1, 9, "1 to 1024", NULL },
	{ "workers -1", 1, 9, "\"auto\" or a count", NULL },
	{ "workers autp", 1, 9, "\"auto\" or a count", "\"auto\"" },
	{ "consolidate 2", 1, 13, "needs a unit", "5s" },
	{ "consolidate 2sec", 1, 13, "unknown unit", NULL },
	{ "consolidate 10us", 1, 13, "50us to 1s", NULL },
	{ "shutdown-grace 9999999999999d", 1, 16, "too large", NULL },
	{ "shutdown-grace 0.5us", 1, 16, "finer", NULL },
	{ "shutdown-grace 99999999999999999999999s", 1, 16, "too large", NULL },
	{ "shutdown-grace 1.s", 1, 16, "time", NULL },
	{ "buffer-memory 5kb", 1, 15, "unit", "64k" },
	{ "max-objects 1k", 1, 13, "count", "plain numbers" },
	{ "max-objects 99999999999999999999", 1, 13, "too large", NULL },
	/* addresses */
	{ "admin { http 127.0.0.1:0 }", 1, 14, "between 1 and 65535", NULL },
	{ "admin { http 127.0.0.1:65536 }", 1, 14, "between 1 and 65535", NULL },
	{ "admin { http 127.0.0.1 }", 1, 14, "lacks a port", "127.0.0.1:80" },
	{ "admin { http ::1:80 }", 1, 14, "port", "brackets" },
	{ "admin { http localhost:80 }", 1, 14, "address", "number" },
	{ "resolver *:53", 1, 10, "single address", NULL },
	{ "pool p { service s 10.0.0.300:80 }", 1, 20, "address or name", NULL },
	{ "pool p { service s a }", 1, 20, "lacks a port", NULL },
	{ "pool p { service s a..b:80 }", 1, 20, "address or name", NULL },
	{ "pool p { service s *:80 }", 1, 20, "single", NULL },
	{ "pool p { service s a:99999 }", 1, 20, "port", NULL },
	{ IN("default use p; trust-forwarded 10.0.0.1/8"), 3, 32, "bits set", "10.0.0.0/8" },
	/* names, references, circles */
	{ "pool -a { service s 1.1.1.1:1 }", 1, 6, "expected a name", "letters" },
	{ P P V, 2, 6, "defined twice", "line 1" },
	{ "pool p { service s a:1; service s b:2 }", 1, 33, "defined twice", "line 1" },
	{ P "vserver v { listen :80; default use q }", 2, 37,
	  "pool \"q\" is not defined (used by vserver \"v\")", NULL },
	{ "pool apps { service s 10.0.0.1:80 }\nvserver v { listen :80; default use app }", 2, 37,
	  "not defined", "\"apps\" (t.conf:1)" },
	{ "pool a { service s a:1; backup b }\npool b { service s a:1; backup a }\n", 2, 32,
	  "comes back", "a -> b -> a" },
	{ "pool a { service s a:1; backup a }\n", 1, 32, "comes back", "a -> a" },
	{ "vserver a { listen :80; default use vserver b }\nvserver b { policy p { use vserver a } }",
	  2, 36, "comes back", "a -> b -> a" },
	/* in line and in the block */
	{ "pool p { service s a:1 weight 1 weight 2 }", 1, 33, "twice", NULL },
	{ "pool p { service s a:1 weight 1 { weight 2 } }", 1, 35, "twice", NULL },
	{ "pool p { service s a:1 wieght 1 }", 1, 24,
	  "unknown directive \"wieght\" in service \"p/s\"", "weight" },
	{ "monitor m http expect body a { expect body b }", 1, 32, "in line and in the block",
	  NULL },
	/* monitors */
	{ "monitor m htp", 1, 11, "\"ping\", \"tcp\" or \"http\"", "\"http\"" },
	{ "monitor m tcp every 1s timeout 1s", 1, 24, "not below", "timeout 500ms" },
	{ "monitor m tcp every 1s", 1, 15, "not below", "without it" },
	{ "monitor m ping { send x }", 1, 18, "does not fit", NULL },
	{ "monitor m tcp { host x }", 1, 17, "does not fit", NULL },
	{ "monitor m tcp { expect status 200 }", 1, 17, "http monitors", NULL },
	{ "monitor m http { expect bytes x }", 1, 18, "tcp monitors", NULL },
	{ "monitor m http { expect status 20 }", 1, 32, "no status", NULL },
	{ "monitor m http { expect status 300-200 }", 1, 32, "no status", NULL },
	{ "monitor m http { send \"/x\" }", 1, 23, "method and a path", "GET" },
	{ "monitor m http { send \"GET /x HTTP/1.1\" }", 1, 23, "method and a path", "ours" },
	{ "monitor m http { fall 0 }", 1, 23, "1 to 100", NULL },
	/* pools */
	{ "pool p { }", 1, 1, "has no service", NULL },
	{ "pool p", 1, 1, "has no service", NULL },
	{ "monitor m tcp\npool p { service s a:1; monitor none; monitor m }", 2, 25, "none", NULL },
	{ "pool p { service s a:1; tls { verify yes } }", 1, 38, "on or off", "write on" },
	{ "pool p { service s a:1; method least-conn }", 1, 32, "expected",
	  "\"least-connection\"" },
	/* listeners */
	{ P
	  "vserver v { listen 10.0.0.1:80; default use p }\nvserver w { listen 10.0.0.1:80; default use p }",
	  3, 20, "the same address", "t.conf:2:20" },
	{ P "vserver v { listen 10.0.0.1:80; listen [::ffff:10.0.0.1]:80; default use p }", 2, 40,
	  "the same address", NULL },
	{ P "vserver v { listen 0.0.0.0:80; listen :80; default use p }", 2, 39, "overlaps", NULL },
	{ P "vserver v { listen :80; default use p }\nvserver w { listen 127.0.0.1:80; default use p }",
	  3, 20, "\"127.0.0.1:80\" overlaps \":80\" of vserver \"v\"", "t.conf:2:20" },
	{ P "vserver v { listen 127.0.0.1:80; default use p }\nvserver w { listen 0.0.0.0:80; default use p }",
	  3, 20, "overlaps \"127.0.0.1:80\"", "t.conf:2:20" },
	{ P "vserver v { listen [::1]:80; listen [::]:80; default use p }", 2, 37, "overlaps", NULL },
	{ P "vserver v { listen [::]:80; listen [::ffff:127.0.0.1]:80; default use p }", 2, 36, "overlaps", NULL },
	{ P "vserver v { listen [::ffff:0.0.0.0]:80; listen 127.0.0.1:80; default use p }", 2, 48, "overlaps", NULL },
	{ "admin { http :80 }\n" P "vserver v { listen 127.0.0.1:80; default use p }", 3, 20,
	  "overlaps \":80\" of admin http", "t.conf:1:14" },
	{ "admin { http 127.0.0.1:80 }\n" P "vserver v { listen 127.0.0.1:80; default use p }", 3,
	  20, "the same address", NULL },
	{ P "vserver v { listen :80 tls; default use p }", 2, 24, "needs \"cert\"", NULL },
	{ P "vserver v { listen :80 tls { cert /x; client-verify required }; default use p }", 2,
	  24, "client-ca", NULL },
	/* policies */
	{ IN("policy a { }"), 3, 1, "has no action", NULL },
	{ IN("policy a { use p; reject }"), 3, 19, "decides twice", NULL },
	{ IN("policy a when { use p }"), 3, 14, "expected an expression", NULL },
	{ IN("policy a when (x { use p }"), 3, 15, "not closed", NULL },
	{ IN("policy a when x in {1, 2 { use p }"), 3, 20, "not closed", NULL },
	{ IN("policy a when x) { use p }"), 3, 16, "without \"(\"", NULL },
	{ IN("policy a when x == ${HOME} { use p }"), 3, 20, "not replaced in expressions", NULL },
	{ IN("policy a { respond 199 }"), 3, 20, "200 to 599", NULL },
	{ IN("policy a { respond 204 \"x\" }"), 3, 24, "no text", NULL },
	{ IN("policy a { redirect 304 \"x\" }"), 3, 21, "301, 302", NULL },
	{ IN("policy a { redirect 301 }"), 3, 24, "lacks an argument", NULL },
	{ IN("policy a { set-header \"a b\" c }"), 3, 23, "not the name", NULL },
	{ IN("policy a { set-header a: c }"), 3, 23, "not the name", "colon" },
	{ IN("policy a { set-header content-length 1 }"), 3, 23, "framed", NULL },
	{ IN("policy a { remove-header Host }"), 3, 26, "Host", NULL },
	{ IN("policy a { set-response-header Transfer-Encoding 1 }"), 3, 32, "framed", NULL },
	{ IN("default respond 700"), 3, 17, "200 to 599", NULL },
	{ IN("default redirect 200 /x"), 3, 18, "300 to 599", NULL },
	{ TCP("policy a { set-header x y }"), 3, 12, "protocol http", NULL },
	{ TCP("policy a { redirect /x }"), 3, 12, "protocol http", NULL },
	{ TCP("policy a { reject 403 }"), 3, 19, "closed", NULL },
	{ TCP("default respond 200"), 3, 9, "protocol http", NULL },
	{ TCP("max-body 1k"), 3, 1, "protocol http", NULL },
	{ TCP("access-log /var/log/x combined"), 3, 1, "protocol http", NULL },
	{ TCP("via off"), 3, 1, "protocol http", NULL },
	{ P
	  "vserver v { listen :80; default use vserver w }\nvserver w { protocol tcp; default use p }",
	  2, 45, "another protocol", NULL },
	/* include */
	{ "include /nonexistent/x", 1, 9, "cannot read", NULL },
	{ "include", 1, 1, "one path", NULL },
	{ "include /", 1, 9, "cannot read", NULL },
	{ "include t.conf", 1, 9, "includes itself", "t.conf includes t.conf" },
};

START_TEST(test_bad)
{
	const struct bad *b = &bads[_i];
	struct loaded l = load(b->text);

	ck_assert_msg(l.rc == FL_ESYNTAX_, "accepted: %s", b->text);
	must_say(&l, CONF_ERROR, b->line, b->col, b->says, b->hint);
	unload(&l);
}
END_TEST

static const struct bad warnings[] = {
	{ "pool p { service s a:1 weight 0; service t a:1 weight 0 }\n" V, 1, 1, "weight 0", NULL },
	{ P, 1, 1, "never used", NULL },
	{ P "vserver v { default use p }", 2, 1, "no \"listen\"", "use vserver" },
	{ IN("policy a { use p }\npolicy b { reject }"), 4, 1, "never reached", NULL },
};

START_TEST(test_warning)
{
	const struct bad *b = &warnings[_i];
	struct loaded l = load_ok(b->text);

	must_say(&l, CONF_WARNING, b->line, b->col, b->says, b->hint);
	unload(&l);
}
END_TEST

/* One mistake must not hide or invent another. */
START_TEST(test_all_in_one_run)
{
	struct loaded l = load(
		"workers 0\nmonitor m htp { every 1 }\npool p { mehtod x; service s a; monitor m }\n"
		"vserver v { listen :80; policy a when (x { use p }\n default use q }\nuser a\n");

	must_say(&l, CONF_ERROR, 1, 9, "must be", NULL);
	must_say(&l, CONF_ERROR, 2, 11, "expected", NULL);
	must_say(&l, CONF_ERROR, 2, 23, "unit", NULL);
	must_say(&l, CONF_ERROR, 3, 10, "unknown", NULL);
	must_say(&l, CONF_ERROR, 3, 30, "port", NULL);
	must_say(&l, CONF_ERROR, 4, 39, "not closed", NULL);
	must_say(&l, CONF_ERROR, 5, 14, "\"q\" is not defined", NULL);
	ck_assert_uint_eq(conf_diag_errors(l.d), 7);
	unload(&l);
}
END_TEST

/* The brace that is missing is said, and nothing that follows from it. */
static const struct {
	const char *name, *text;
	unsigned    n;
	struct { unsigned line, col; const char *title; } at[2];
} unclosed[] = {
	{ "before a new object", "pool p {\n\tservice s 10.0.0.1:80\n\nvserver v {\n\tlisten :80\n\tdefault use p\n}\n", 1,
	  { { 1, 8, "pool \"p\"" } } },
	{ "of an inner block, by the margin of a later }",
	  "pool p {\n\tservice s 10.0.0.1:80\n\ttls {\n\t\tverify off\n}\nvserver v {\n\tlisten :80\n\tdefault use p\n}\n", 1,
	  { { 3, 6, "tls" } } },
	{ "of an inner block, by what follows in the outer one",
	  P "vserver v {\n\tlisten :80\n\tpolicy a { use p\n\tdefault use p\n}\n", 1, { { 4, 11, "policy \"v/a\"" } } },
	{ "of two", "pool p {\n service s 10.0.0.1:80 {\n  weight 3\nvserver v {\n listen :80\n default use p\n}\n", 2,
	  { { 1, 8, "pool \"p\"" }, { 2, 24, "service \"p/s\"" } } },
	{ "at the end", P "vserver v {\n\tlisten :80\n\tdefault use p\n", 1, { { 2, 11, "vserver \"v\"" } } },
};

START_TEST(test_unclosed)
{
	struct loaded l = load(unclosed[_i].text);

	for (unsigned k = 0; k < unclosed[_i].n; k++)
		must_say(&l, CONF_ERROR, unclosed[_i].at[k].line, unclosed[_i].at[k].col, unclosed[_i].at[k].title, NULL);
	ck_assert_msg(conf_diag_errors(l.d) == unclosed[_i].n, "%s: %u errors", unclosed[_i].name, conf_diag_errors(l.d));
	unload(&l);
}
END_TEST

START_TEST(test_cap)
{
	struct loaded l;
	struct sb b;

	sb_init_heap(&b);
	for (int i = 0; i < 1000; i++)
		sb_c(&b, "nonsense\n");
	l = load(b.p);
	ck_assert_uint_eq(conf_diag_errors(l.d), 1000);
	ck_assert_uint_eq(conf_diag_count(l.d), 20);
	b.n = 0;
	conf_diag_print(l.d, &b, false);
	ck_assert_ptr_nonnull(strstr(b.p, "980 more errors"));
	sb_free(&b);
	unload(&l);
}
END_TEST

START_TEST(test_printed)
{
	struct loaded l = load(
		"pool app {\n\tmehtod\tx\n\tservice s a:1\n}\nvserver v { listen :80; default use app }\n");
	struct sb b;

	sb_init_heap(&b);
	conf_diag_print(l.d, &b, false);
	ck_assert_str_eq(
		b.p,
		"t.conf:2:2: error: unknown directive \"mehtod\" in pool \"app\" [E0101]\n"
		"  2 | \tmehtod\tx\n"
		"    | \t^~~~~~ did you mean \"method\"?\n"
		"    = allowed here: method monitor service backup tls connect-timeout response-timeout idle-timeout "
		"idle-max retries buffer-response congestion\n");
	b.n = 0;
	conf_diag_print(l.d, &b, true);
	ck_assert_ptr_nonnull(strstr(b.p, "\"line\":2,\"column\":2,\"span\":6,\"code\":\"E0101\""));
	sb_free(&b);
	unload(&l);
}
END_TEST

/* Control characters of a file never reach the terminal; a long line is cut around the mistake. */
START_TEST(test_printed_safely)
{
	char text[3000];
	struct loaded l;
	struct sb b;

	sb_init_heap(&b);
	l = load("user \x1b[2J");
	conf_diag_print(l.d, &b, false);
	ck_assert_ptr_null(strchr(b.p, 0x1b));
	unload(&l);
	memset(text, ' ', sizeof(text));
	memcpy(text + 2000, "bad", 3);
	l = load_n(str_n(text, sizeof(text)));
	b.n = 0;
	conf_diag_print(l.d, &b, false);
	ck_assert_ptr_nonnull(strstr(b.p, "bad"));
	for (struct str rest = sb_get(&b); rest.n;)
		ck_assert_uint_lt(str_cut(&rest, '\n').n, 500);
	unload(&l);
	sb_free(&b);
}
END_TEST

START_TEST(test_huge)
{
	size_t n = 1 << 20;
	char *p = malloc(n);
	struct loaded l;

	memset(p, 'a', n);
	l = load_n(str_n(p, n));
	must_say(&l, CONF_ERROR, 1, 1, "longer than", NULL);
	unload(&l);
	l = load_n(str_n("user a\0b", 8));
	must_say(&l, CONF_ERROR, 1, 7, "NUL", NULL);
	unload(&l);
	free(p);
}
END_TEST

static char dir[] = "/tmp/fl-conf-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

START_TEST(test_files)
{
	char path[200];
	struct loaded l;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	put("main.conf", "include sub.conf\n");
	put("sub.conf", "include main.conf\nuser \"x\n");
	snprintf(path, sizeof(path), "%s/main.conf", dir);
	l = load_src(conf_src_files(path));
	must_say(&l, CONF_ERROR, 1, 9, "includes itself", "sub.conf includes");
	must_say(&l, CONF_ERROR, 2, 6, "string without", NULL);
	unload(&l);
	/* a folder, a file that is missing, one that is too large */
	l = load_src(conf_src_files(dir));
	must_say(&l, CONF_ERROR, 0, 0, "cannot read", NULL);
	unload(&l);
	l = load_src(conf_src_files("/nonexistent/fairlead.conf"));
	must_say(&l, CONF_ERROR, 0, 0, "No such file", NULL);
	unload(&l);
	ck_assert_int_eq(truncate(path, 100 << 20), 0);
	l = load_src(conf_src_files(path));
	must_say(&l, CONF_ERROR, 0, 0, "16 MiB", NULL);
	unload(&l);
	unlink(path);
	snprintf(path, sizeof(path), "%s/sub.conf", dir);
	unlink(path);
	rmdir(dir);
}
END_TEST

/* Positions of expression and template mistakes, over lines and comments. */
static int refuse_bad(struct str src, unsigned planes, struct conf_expr_error *e)
{
	ptrdiff_t at = str_find(src, STR("BAD"));

	if (at < 0 && planes != 0x02)
		return 0;
	e->off = at < 0 ? 0 : (size_t)at;
	e->len = 3;
	snprintf(e->text, sizeof(e->text), "planes %u", planes);
	return FL_ESYNTAX_;
}

START_TEST(test_hooks)
{
	static const struct conf_hooks hooks = { refuse_bad, refuse_bad };
	struct loaded l;

	conf_set_hooks(&hooks);
	l = load(IN(
		"policy a when (x == \"\xc3\xa4\" # BAD in a comment\n and   BAD) { set-header a \"1BAD\"\n"
		"set-response-header b `\xc3\xa4"
		"BAD`; use p }\n policy b when BAD { redirect \"\\x41 BAD\" }"));
	must_say(&l, CONF_ERROR, 4, 8, "planes 4", NULL);
	must_say(&l, CONF_ERROR, 4, 30, "planes 4", NULL);
	must_say(&l, CONF_ERROR, 5, 25, "planes 8", NULL);
	must_say(&l, CONF_ERROR, 6, 16, "planes 4", NULL);
	must_say(&l, CONF_ERROR, 6, 31, "planes 4", NULL);     /* escapes: the token as a whole */
	ck_assert_uint_eq(conf_diag_errors(l.d), 5);
	unload(&l);
	l = load(TCP("policy a when BAD { use p }"));
	must_say(&l, CONF_ERROR, 3, 15, "planes 1", NULL);
	unload(&l);
	l = load(
		P
		"vserver v { protocol tcp; listen :80 tls { cert /x }; policy a when x { use p } }");
	must_say(&l, CONF_ERROR, 2, 69, "planes 2", NULL);
	unload(&l);
	conf_set_hooks(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf errors");
	TCase *t = tcase_create("all");

	tcase_add_loop_test(t, test_bad, 0, FL_ARRAY_LEN(bads));
	tcase_add_loop_test(t, test_warning, 0, FL_ARRAY_LEN(warnings));
	tcase_add_test(t, test_all_in_one_run);
	tcase_add_loop_test(t, test_unclosed, 0, sizeof(unclosed) / sizeof(unclosed[0]));
	tcase_add_test(t, test_cap);
	tcase_add_test(t, test_printed);
	tcase_add_test(t, test_printed_safely);
	tcase_add_test(t, test_huge);
	tcase_add_test(t, test_files);
	tcase_add_test(t, test_hooks);
	suite_add_tcase(s, t);
	return run_suite(s);
}
