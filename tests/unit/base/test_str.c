/* SPDX-License-Identifier: Apache-2.0 */
/* test_str.c - borrowed strings and text builders */
#include "config.h"

#include <limits.h>
#include <stdio.h>

#include "tests/unit/base/unit.h"

START_TEST(compare)
{
	ck_assert(str_eq(STR_NULL, STR("")));
	ck_assert(str_ieq(STR("Content-Length"), STR("cONTENT-lENGTH")));
	ck_assert(!str_ieq(STR("a["), STR("a{")));        /* differ in bit 5 only, no letters */
	ck_assert(!str_ieq(STR("a@"), STR("a`")));
	ck_assert(!str_ieq(STR("ab"), STR("abc")));
	ck_assert(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("ab"), STR("abc")));
	ck_assert(str_starts(STR("abc"), STR_NULL) && str_starts(STR_NULL, STR_NULL));
	ck_assert(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("abc"), STR("ab")));
	ck_assert(str_ends(STR_NULL, STR("")) && !str_ends(STR("c"), STR("bc")));
	ck_assert(str_istarts(STR("HTTP/1.1"), STR("http/")) && !str_istarts(STR("HTT"), STR("http")));
	ck_assert_int_lt(str_cmp(STR("a"), STR("ab")), 0);
	ck_assert_int_gt(str_cmp(STR("b"), STR("ab")), 0);
	ck_assert_int_gt(str_cmp(STR("\xff"), STR("a")), 0);
	ck_assert_int_eq(str_cmp(STR_NULL, STR("")), 0);
}
END_TEST

START_TEST(trim_and_cut)
{
	struct str s = STR("k=v=w"), t = STR("none");

	ck_str(str_trim(STR(" \t a b\t ")), STR("a b"));
	ck_str(str_trim(STR(" \t ")), STR(""));
	ck_str(str_trim(STR("\r\na")), STR("\r\na"));      /* not ours to remove */
	ck_str(str_cut(&s, '='), STR("k"));
	ck_str(str_cut(&s, '='), STR("v"));
	ck_str(str_cut(&s, '='), STR("w"));
	ck_assert_uint_eq(s.n, 0);
	ck_str(str_cut(&t, '='), STR("none"));
	ck_assert_uint_eq(t.n, 0);
	t = STR(",x");
	ck_str(str_cut(&t, ','), STR(""));
	ck_str(t, STR("x"));
	t = STR_NULL;
	ck_assert_uint_eq(str_cut(&t, ',').n, 0);
}
END_TEST

START_TEST(find)
{
	static const struct {
		const char *hay, *needle;
		int at, iat;
	} rows[] = {
		{ "", "", 0, 0 },          { "abc", "", 0, 0 },      { "", "a", -1, -1 },
		{ "abc", "bc", 1, 1 },     { "abc", "BC", -1, 1 },   { "aab", "ab", 1, 1 },
		{ "abc", "abcd", -1, -1 }, { "xaXA", "XA", 2, 0 }, { "abc", "d", -1, -1 },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		ck_assert_int_eq(str_find(str_c(rows[i].hay), str_c(rows[i].needle)), rows[i].at);
		ck_assert_int_eq(str_ifind(str_c(rows[i].hay), str_c(rows[i].needle)), rows[i].iat);
	}
}
END_TEST

START_TEST(numbers)
{
	static const char *const wrong[] = {
		"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "18446744073709551616", "99999999999999999999", "a",
		"1\xb2",
	};
	uint64_t v = 7;

	for (size_t i = 0; i < FL_ARRAY_LEN(wrong); i++) {
		ck_assert_msg(!str_u64(str_c(wrong[i]), &v), "%s was taken", wrong[i]);
		ck_assert_uint_eq(v, 7);
	}
	ck_assert(!str_u64(str_n("1\0", 2), &v));
	ck_assert(str_u64(STR("0"), &v) && v == 0);
	ck_assert(str_u64(STR("007"), &v) && v == 7);
	ck_assert(str_u64(STR("18446744073709551615"), &v) && v == UINT64_MAX);
}
END_TEST

START_TEST(distance)
{
	static const struct {
		const char *a, *b;
		unsigned max, want;
	} rows[] = {
		{ "", "", 3, 0 },           { "abc", "", 5, 3 },     { "Listen", "listen", 3, 0 },
		{ "lisetn", "listen", 3, 1 }, { "kitten", "sitting", 5, 3 }, { "kitten", "sitting", 2, 3 },
		{ "a", "bcdef", 2, 3 },     { "port", "prot", 2, 1 }, { "abcd", "badc", 4, 2 },
	};
	char longer[300];

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		ck_assert_uint_eq(str_distance(str_c(rows[i].a), str_c(rows[i].b), rows[i].max), rows[i].want);
		ck_assert_uint_eq(str_distance(str_c(rows[i].b), str_c(rows[i].a), rows[i].max), rows[i].want);
	}
	memset(longer, 'a', sizeof(longer));
	ck_assert_uint_eq(str_distance(str_n(longer, 300), str_n(longer, 299), 2), 3);
	ck_assert_uint_eq(str_distance(str_n(longer, 300), str_n(longer, 300), 2), 0);
	ck_assert_uint_eq(str_distance(str_n(longer, 127), str_n(longer, 126), 2), 1);
}
END_TEST

/* In every size of memory a cut text is a prefix of the whole one, and `over` is true just then. */
START_TEST(sb_every_cap)
{
	static const char whole[] = "ab12345-x 18446744073709551615z";
	char mem[64];

	for (size_t cap = 0; cap <= sizeof(whole) + 1; cap++) {
		struct sb b;

		memset(mem, '#', sizeof(mem));
		sb_init(&b, mem, cap);
		sb_c(&b, "ab");
		sb_fmt(&b, "%d-%s ", 12345, "x");
		sb_u64(&b, UINT64_MAX);
		sb_ch(&b, 'z');
		ck_assert_int_eq(b.over, cap < sizeof(whole));
		ck_assert_uint_eq(b.n, cap ? FL_MIN(cap - 1, sizeof(whole) - 1) : 0);
		ck_assert_int_eq(memcmp(mem, whole, b.n), 0);
		if (cap)
			ck_assert_int_eq(mem[b.n], '\0');
		ck_assert_int_eq(mem[FL_MAX(cap, b.n + (cap != 0))], '#');
	}
}
END_TEST

START_TEST(sb_is_sticky)
{
	char mem[4];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	sb_c(&b, "abcdef");
	sb_c(&b, "");
	sb_ch(&b, 'x');
	sb_fmt(&b, "%d", 1);
	ck_str(sb_get(&b), STR("abc"));
	ck_assert(b.over);
	sb_init(&b, mem, sizeof(mem));
	sb_c(&b, "abc");
	ck_assert(!b.over);
	sb_free(&b);
	ck_str(sb_get(&b), STR("abc"));
}
END_TEST

START_TEST(sb_heap)
{
	struct sb b;

	sb_init_heap(&b);
	for (int i = 0; i < 10000; i++)
		sb_fmt(&b, "%d,", i % 10);
	ck_assert(!b.over);
	ck_assert_uint_eq(b.n, 20000);
	ck_assert_uint_eq(strlen(b.p), 20000);
	for (int i = 0; i < 10000; i++)
		ck_assert_int_eq(b.p[2 * i], '0' + i % 10);
	sb_free(&b);
	ck_assert_ptr_null(b.p);
	sb_c(&b, "again");
	ck_str(sb_get(&b), STR("again"));
	sb_free(&b);
}
END_TEST

START_TEST(escape)
{
	char mem[64];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	sb_escape(&b, str_n("a~\x7f\0\n\xff\\\"", 8), 100);
	ck_str(sb_get(&b), STR("a~\\x7f\\x00\\x0a\\xff\\x5c\""));
	sb_init(&b, mem, sizeof(mem));
	sb_escape(&b, STR("abcdef"), 3);
	ck_str(sb_get(&b), STR("abc"));
	sb_init(&b, mem, sizeof(mem));
	sb_escape(&b, STR_NULL, 3);
	ck_assert_uint_eq(b.n, 0);
}
END_TEST

START_TEST(json)
{
#define BAD "\xef\xbf\xbd"
	static const struct {
		const char *in;
		size_t      n;
		const char *want;
	} rows[] = {
		{ "", 0, "\"\"" },
		{ "a\"b\\c/", 6, "\"a\\\"b\\\\c/\"" },
		{ "\b\f\n\r\t\0\x1f", 7, "\"\\b\\f\\n\\r\\t\\u0000\\u001f\"" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ "\xc3", 1, "\"" BAD "\"" },                          /* cut short */
		{ "\xc3z", 2, "\"" BAD "z\"" },
		{ "\xc0\x80", 2, "\"" BAD BAD "\"" },                  /* overlong */
		{ "\xe0\x9f\xbf", 3, "\"" BAD BAD BAD "\"" },
		{ "\xed\xa0\x80", 3, "\"" BAD BAD BAD "\"" },          /* surrogate */
		{ "\xed\x9f\xbf", 3, "\"\xed\x9f\xbf\"" },
		{ "\xf4\x90\x80\x80", 4, "\"" BAD BAD BAD BAD "\"" },  /* above U+10FFFF */
		{ "\xf4\x8f\xbf\xbf", 4, "\"\xf4\x8f\xbf\xbf\"" },
		{ "\xf0\x8f\xbf\xbf", 4, "\"" BAD BAD BAD BAD "\"" },
		{ "\x80\xff", 2, "\"" BAD BAD "\"" },
	};
	char mem[128];

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct sb b;
		char *exact = malloc(rows[i].n + 1);      /* an overrun of the input shows */

		memcpy(exact, rows[i].in, rows[i].n);
		exact = realloc(exact, rows[i].n ? rows[i].n : 1);
		sb_init(&b, mem, sizeof(mem));
		sb_json_str(&b, str_n(exact, rows[i].n));
		ck_str(sb_get(&b), str_c(rows[i].want));
		free(exact);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/str");

	UNIT_CASE(s, "compare", compare);
	UNIT_CASE(s, "trim and cut", trim_and_cut);
	UNIT_CASE(s, "find", find);
	UNIT_CASE(s, "numbers", numbers);
	UNIT_CASE(s, "distance", distance);
	UNIT_CASE(s, "sb in every size", sb_every_cap);
	UNIT_CASE(s, "sb is sticky", sb_is_sticky);
	UNIT_CASE(s, "sb on the heap", sb_heap);
	UNIT_CASE(s, "escape", escape);
	UNIT_CASE(s, "json", json);
	return unit_run(s);
}
