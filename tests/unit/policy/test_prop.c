/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_prop.c - random sets against a chain of comparisons, random globs against a simple matcher
 *
 * x in {a, b..c, ...} must be (x == a or (x >= b and x <= c) or ...), for numbers, addresses and
 * text; x not in must be its opposite, since x exists. The seed is printed on failure.
 */
#include "config.h"

#include "facts.h"

#define ROUNDS 1500

static uint64_t seed;

static unsigned rnd(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % n;
}

static struct pol_val asked;

static int one_value(void *ctx, enum pol_field f, struct str key, const void *obj, unsigned start,
		     struct pol_val *out, unsigned *n)
{
	(void)ctx, (void)f, (void)key, (void)obj;
	*n = start == 0;
	*out = asked;
	return 0;
}
static const struct pol_facts one = { NULL, one_value };

enum { NUMBERS, V4, V6, TEXT, KINDS };

static const char *const field_of[KINDS] = { "tcp.dstport", "ip.src", "ip.src", "http.host" };

/* A few values close to each other, so that they meet. */
static void random_value(unsigned kind, struct sb *b)
{
	if (kind == NUMBERS)
		sb_fmt(b, "%d", (int)rnd(40) - 10);
	else if (kind == V4)
		sb_fmt(b, "10.0.%u.%u", rnd(2), 250 + rnd(6));
	else if (kind == V6)
		sb_fmt(b, "2001:db8::%x:%x", rnd(2), 0xfffa + rnd(6));
	else
		sb_fmt(b, "\"%.*s\"", (int)rnd(4), &"abbaabba"[rnd(5)]);
}

static int compare_text(unsigned kind, const char *a, const char *b)
{
	struct ip x, y;

	if (kind == NUMBERS)
		return atoi(a) - atoi(b);
	if (kind == TEXT)
		return strcmp(a, b);
	ck_assert_int_eq(ip_parse(str_c(a), &x), 0);
	ck_assert_int_eq(ip_parse(str_c(b), &y), 0);
	return memcmp(x.b, y.b, 16);
}

/* The same member into a set and into a chain. */
static void random_member(unsigned kind, struct sb *set, struct sb *chain)
{
	const char *f = field_of[kind];
	char lo[64], hi[64];
	struct sb a, b;

	sb_init(&a, lo, sizeof(lo));
	sb_init(&b, hi, sizeof(hi));
	random_value(kind, &a);
	random_value(kind, &b);
	if (kind != TEXT && kind != NUMBERS && rnd(4) == 0) {
		sb_fmt(&a, "/%u", kind == V4 ? 20 + rnd(13) : 100 + rnd(29));
		sb_c(set, lo);
		sb_fmt(chain, "%s == %s", f, lo);
	} else if (rnd(2) || compare_text(kind, lo, hi) > 0) {
		sb_c(set, lo);
		sb_fmt(chain, "%s == %s", f, lo);
	} else {
		sb_fmt(set, "%s..%s", lo, hi);
		sb_fmt(chain, "(%s >= %s and %s <= %s)", f, lo, f, hi);
	}
}

static struct pol_expr *compile(struct pool *p, const char *text)
{
	struct pol_error err;
	struct pol_expr *e;

	ck_assert_msg(pol_expr_compile(p, str_c(text), &at_request, &e, &err) == 0, "%s: %s", text,
		      err.text);
	return e;
}

static void set_asked(unsigned kind, char text[64])
{
	struct sb b;

	sb_init(&b, text, 64);
	random_value(kind, &b);
	if (kind == NUMBERS)
		asked = (struct pol_val){ .type = POL_INT, .i = atoi(text) };
	else if (kind == TEXT)
		asked = (struct pol_val){ .type = POL_STR, .s = str_n(text + 1, strlen(text) - 2) };
	else
		asked = (struct pol_val){ .type = POL_IP };
	if (asked.type == POL_IP)
		ck_assert_int_eq(ip_parse(str_c(text), &asked.ip), 0);
}

START_TEST(test_sets)
{
	static char set[8192], chain[16384];
	unsigned kind = (unsigned)_i, yes = 0, no = 0;
	char text[64];

	seed = 7 + kind;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct pool *p = pool_new("test", 0);
		unsigned members = 1 + rnd(12);
		struct pol_expr *in, *out, *or;
		struct sb s, c;

		sb_init(&s, set, sizeof(set));
		sb_init(&c, chain, sizeof(chain));
		sb_fmt(&s, "%s in {", field_of[kind]);
		for (unsigned m = 0; m < members; m++) {
			if (m) {
				sb_c(&s, ",");
				sb_c(&c, " or ");
			}
			random_member(kind, &s, &c);
		}
		sb_c(&s, "}");
		in = compile(p, set);
		or = compile(p, chain);
		memmove(set + strlen(field_of[kind]) + 4, set + strlen(field_of[kind]),
			strlen(set) - strlen(field_of[kind]) + 1);
		memcpy(set + strlen(field_of[kind]), " not", 4);
		out = compile(p, set);
		for (unsigned k = 0; k < 10; k++) {
			enum pol_result r;

			set_asked(kind, text);
			r = pol_eval(or, &one, NULL);
			ck_assert_msg(pol_eval(in, &one, NULL) == r,
				      "%s: %s, set and chain differ (%s)", text, set, chain);
			ck_assert_msg(pol_eval(out, &one, NULL) != r, "%s: %s: not in", text, set);
			yes += r == POL_TRUE;
			no += r == POL_FALSE;
		}
		pool_free(&p);
	}
	ck_assert_uint_gt(yes, ROUNDS);
	ck_assert_uint_gt(no, ROUNDS);
}
END_TEST

static bool simple_glob(const char *p, const char *s)
{
	if (*p == '*')
		return simple_glob(p + 1, s) || (*s && simple_glob(p, s + 1));
	return *p == *s && (!*p || simple_glob(p + 1, s + 1));
}

START_TEST(test_globs)
{
	char pattern[12], subject[12], text[128];
	unsigned yes = 0;

	seed = 11;
	for (unsigned round = 0; round < 10000; round++) {
		struct pool *p = pool_new("test", 0);
		unsigned n = rnd(7), m = rnd(9);
		struct pol_expr *e;
		bool want;

		for (unsigned i = 0; i < n; i++)
			pattern[i] = "ab**"[rnd(4)];
		for (unsigned i = 0; i < m; i++)
			subject[i] = "ab"[rnd(2)];
		pattern[n] = subject[m] = 0;
		snprintf(text, sizeof(text), "http.host strict wildcard \"%s\"", pattern);
		e = compile(p, text);
		asked = (struct pol_val){ .type = POL_STR, .s = str_c(subject) };
		want = simple_glob(pattern, subject);
		ck_assert_msg((pol_eval(e, &one, NULL) == POL_TRUE) == want, "%s on %s", pattern,
			      subject);
		yes += want;
		pool_free(&p);
	}
	ck_assert_uint_gt(yes, 1000);
}
END_TEST

/* 16,384 members: each is found, what is between is not. */
START_TEST(test_large_set)
{
	struct pool *p = pool_new("test", 0);
	struct pol_expr *e;
	struct sb b;

	sb_init_heap(&b);
	sb_c(&b, "tcp.dstport in {");
	for (unsigned i = 0; i < 12000; i++)
		sb_fmt(&b, "%s%u", i ? "," : "", (i * 7919) % 12000 * 2);
	sb_c(&b, "}");
	ck_assert_uint_lt(b.n, 65536 + 20000);
	if (b.n > 65536) {
		b.n = 65000;
		while (b.p[b.n - 1] != ',')
			b.n--;
		b.p[b.n - 1] = '}';
		b.p[b.n] = 0;
	}
	e = compile(p, b.p);
	for (unsigned i = 0; i < 5000; i++) {
		asked = (struct pol_val){ .type = POL_INT, .i = (i * 7919) % 12000 * 2 };
		ck_assert_int_eq(pol_eval(e, &one, NULL), POL_TRUE);
		asked.i++;
		ck_assert_int_eq(pol_eval(e, &one, NULL), POL_FALSE);
	}
	sb_free(&b);
	pool_free(&p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("policy properties");
	TCase *c = tcase_create("properties");
	SRunner *r;
	int bad;

	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, test_sets, 0, KINDS);
	tcase_add_test(c, test_globs);
	tcase_add_test(c, test_large_set);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_set_fork_status(r, CK_NOFORK);
	srunner_run_all(r, CK_ENV);
	bad = srunner_ntests_failed(r);
	srunner_free(r);
	return bad != 0;
}
