/* SPDX-License-Identifier: Apache-2.0 */
/* test_h1_uri.c - the one normal form of paths and queries; hosts are in test_h1_request.c */
#include "config.h"

#include "http/h1_inside.h"
#include "tests/unit/http/h1_unit.h"

/* want NULL: refused. */
static const struct {
	struct str in;
	const char *want;
} paths[] = {
#define P(in, want) \
	{ \
		{ in, sizeof(in) - 1 }, want \
	}
	P("/", "/"),
	P("/a/b.c/d-e_f~g", "/a/b.c/d-e_f~g"),
	P("/a:b@c!$&'()*+,=d", "/a:b@c!$&'()*+,=d"),
	P("/.well-known/x", "/.well-known/x"),
	P("/a/.../b", "/a/.../b"),
	P("/a..b/..c/d..", "/a..b/..c/d.."),
	P("/..a", "/..a"),
	/* encoding */
	P("/%41%7a%30%2d%2E%5f%7E", "/Az0-._~"),
	P("/%c3%a4%e2%82%ac", "/%C3%A4%E2%82%AC"),
	P("/a%20b%3fc%23d%25e%40f", "/a%20b%3Fc%23d%25e%40f"),
	P("/a%2fb", "/a%2Fb"),
	P("/a%5cb", "/a%5Cb"),
	P("/a%3bb", "/a%3Bb"),
	P("/a\"<>^`{|}b", "/a%22%3C%3E%5E%60%7B%7C%7Db"),
	P("/%252e%252e/a", "/%252e%252e/a"),
	P("/%E0%A0%80%F0%90%80%80", "/%E0%A0%80%F0%90%80%80"),
	P("/%C0/%AF", "/%C0/%AF"),
	P("/%fc", "/%FC"),
	/* dot segments */
	P("/.", "/"),
	P("/./", "/"),
	P("/a/.", "/a/"),
	P("/a/./b", "/a/b"),
	P("/a/..", "/"),
	P("/a/../", "/"),
	P("/a/b/../c", "/a/c"),
	P("/a/b/../../c", "/c"),
	P("/a/b/..", "/a/"),
	P("/a/%2e%2E/b", "/b"),
	P("/a/.%2e/b", "/b"),
	P("/%2e/b", "/b"),
	P("/a/./../b/./c/../d", "/b/d"),
	P("/..", NULL),
	P("/../", NULL),
	P("/../a", NULL),
	P("/%2e%2e/a", NULL),
	P("/a/../..", NULL),
	P("/a/../../b", NULL),
	P("/./..", NULL),
	/* empty segments */
	P("//", "/"),
	P("//a", "/a"),
	P("///a", "/a"),
	P("/.//a", "/a"),
	P("/a//b", "/a//b"),
	P("/a//", "/a//"),
	P("/a//./b", "/a//b"),
	P("/a//../b", NULL),
	P("/a/../b//c", NULL),
	P("/a/b//../../c", NULL),
	P("//../a", NULL),
	P("//a/../b", "/b"),
	/* encoded separators beside dots */
	P("/a/..%2fb", NULL),
	P("/a/..%2F..%2fb", NULL),
	P("/a%2f..", NULL),
	P("/a%2f../b", NULL),
	P("/a%2f.%2fb", NULL),
	P("/%2e%2e%2fa", NULL),
	P("/a/..%5cb", NULL),
	P("/a%5c..%5cb", NULL),
	P("/a%2f..b", "/a%2F..b"),
	P("/a/...%2fb", "/a/...%2Fb"),
	P("/..%3b/a", NULL),
	P("/a%3b..", NULL),
	P("/..\\a", NULL),
	P("/a\\b", NULL),
	/* parameters */
	P("/a;b=c/d", "/a;b=c/d"),
	P("/a;b;c=d", "/a;b;c=d"),
	P("/a;.", "/a;."),
	P("/..;/a", NULL),
	P("/..;x=y/a", NULL),
	P("/.;/a", NULL),
	P("/a/..;", NULL),
	P("/%2e%2e;x/a", NULL),
	P("/;/a", NULL),
	P("/;x/a", NULL),
	P("/a;/b", NULL),
	P("/a;", NULL),
	P("/a;;b", NULL),
	P("/a;b;/c", NULL),
	P("/a%2f;b", NULL),
	P("/a;b%2f..", NULL),
	P("/a;b%2fc", "/a;b%2Fc"),
	P("/a;b%2f..;c/d", NULL),
	/* broken and controls */
	P("/%", NULL),
	P("/%4", NULL),
	P("/%4g", NULL),
	P("/%g4", NULL),
	P("/%%41", NULL),
	P("/a%00", NULL),
	P("/a%00.jpg", NULL),
	P("/a%0a", NULL),
	P("/a%0D%0a", NULL),
	P("/a%1f", NULL),
	P("/a%7f", NULL),
	P("/a\0b", NULL),
	P("/a b", NULL),
	P("/a\tb", NULL),
	P("/a#b", NULL),
	P("/\xc3\xa4", NULL),
	P("", NULL),
	P("a", NULL),
	P("*", NULL),
	/* overlong forms of "." and "/" */
	P("/%c0%ae%c0%ae/a", NULL),
	P("/%C0%AF", NULL),
	P("/%e0%80%af", NULL),
	P("/%f0%80%80%af", NULL),
#undef P
};

START_TEST(path_table)
{
	for (size_t i = 0; i < FL_ARRAY_LEN(paths); i++) {
		struct pool *pool = pool_new("test", 0);
		struct str out = STR_NULL, again;
		enum h1_reason why = h1_path_normalise(pool, paths[i].in, &out);

		if (!paths[i].want) {
			ck_assert_msg(why == H1_BAD_PATH, "%s became " STR_FMT, paths[i].in.p,
				      STR_ARG(out));
		} else {
			ck_assert_msg(why == H1_OK, "%s is refused", paths[i].in.p);
			ck_str(out, str_c(paths[i].want));
			if (str_eq(out, paths[i].in))
				ck_assert_ptr_eq(out.p, paths[i].in.p);
			ck_assert_int_eq(h1_path_normalise(pool, out, &again), H1_OK);
			ck_str(again, out);
		}
		pool_free(&pool);
	}
}
END_TEST

/* Every path over a small alphabet up to 7 letters: what is accepted is in normal form, has no dot
 * segment however it is decoded once more, and does not leave the root. */
START_TEST(all_short_paths)
{
	static const char *const letters[] = { "a", "/", ".", "%2e", "%2f", ";", "%5c" };
	size_t n_letters = FL_ARRAY_LEN(letters);
	struct pool *pool = pool_new("test", 0);

	for (unsigned long code = 0; code < 823543; code++) {
		char mem[64], plain[64];
		struct str out, again;
		struct sb in;
		size_t n = 0;

		sb_init(&in, mem, sizeof(mem));
		sb_ch(&in, '/');
		for (unsigned long c = code, k = 0; k < 7 && c; k++, c /= n_letters)
			sb_c(&in, letters[c % n_letters]);
		if (h1_path_normalise(pool, sb_get(&in), &out) != H1_OK)
			goto next;
		ck_assert_msg(h1_path_normalise(pool, out, &again) == H1_OK && str_eq(out, again),
			      "%s", mem);
		ck_assert_msg(out.p[0] == '/' && !(out.n > 1 && out.p[1] == '/'), "%s", mem);
		/* what a careless server makes of it: decodes %2F and %5C, drops parameters */
		for (size_t i = 0; i < out.n; i++) {
			if (out.p[i] == '%') {
				plain[n++] = '/';
				i += 2;
			} else if (out.p[i] == ';') {
				while (i + 1 < out.n && out.p[i + 1] != '/' && out.p[i + 1] != '%')
					i++;
			} else {
				plain[n++] = out.p[i];
			}
		}
		plain[n++] = '/';
		plain[n] = '\0';
		ck_assert_msg(!strstr(plain, "/../") && !strstr(plain, "/./"), "%s became " STR_FMT,
			      mem, STR_ARG(out));
	next:
		if (code % 1000 == 0)
			pool_reset(pool);
	}
	pool_free(&pool);
}
END_TEST

START_TEST(queries)
{
	struct pool *pool = pool_new("test", 0);
	struct str out, in = STR("a=b&c=%zz/?:@!$'()*+,;");

	ck_assert_int_eq(h1_query_normalise(pool, in, &out), H1_OK);
	ck_assert_ptr_eq(out.p, in.p);
	ck_str(out, in);
	ck_assert_int_eq(h1_query_normalise(pool, STR("a[0]=\"b\""), &out), H1_OK);
	ck_str(out, STR("a%5B0%5D=%22b%22"));
	ck_assert_int_eq(h1_query_normalise(pool, STR(""), &out), H1_OK);
	ck_assert(out.p != NULL && out.n == 0);
	ck_assert_int_eq(h1_query_normalise(pool, STR("a b"), &out), H1_BAD_TARGET);
	ck_assert_int_eq(h1_query_normalise(pool, STR("a#b"), &out), H1_BAD_TARGET);
	ck_assert_int_eq(h1_query_normalise(pool, STR("a\r\nb"), &out), H1_BAD_TARGET);
	ck_assert_int_eq(h1_query_normalise(pool, STR("a\xff"), &out), H1_BAD_TARGET);
	pool_free(&pool);
}
END_TEST

START_TEST(no_memory)
{
	struct pool *pool = pool_new("test", 1);
	struct str out, out2;

	ck_assert_int_eq(h1_path_normalise(pool, STR("/%41"), &out), H1_NOMEM);
	ck_assert_int_eq(h1_query_normalise(pool, STR("\""), &out), H1_NOMEM);
	ck_assert_int_eq(h1_authority_normalise(pool, STR("A"), false, &out, &out2), H1_NOMEM);
	pool_free(&pool);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http/h1_uri");

	H1_CASE(s, "paths", path_table);
	H1_CASE(s, "all short paths", all_short_paths);
	H1_CASE(s, "queries", queries);
	H1_CASE(s, "no memory", no_memory);
	return unit_run(s);
}
