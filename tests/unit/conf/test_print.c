/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_print.c - dump, diff and fmt: what is printed says the same as what was read
 */
#include "config.h"

#include "conf_test.h"

#include "conf/inside.h"

static void same_node(const struct conf_node *a, const struct conf_node *b)
{
	struct sb ta, tb;

	ck_assert_ptr_eq(a->dir, b->dir);
	ck_assert_uint_eq(a->n_val, b->n_val);
	for (unsigned i = 0; i < a->n_val; i++) {
		const struct conf_val *va = &a->val[i], *vb = &b->val[i];

		ck_assert_int_eq(va->type, vb->type);
		sb_init_heap(&ta);
		sb_init_heap(&tb);
		val_print(a, va, &ta);
		val_print(b, vb, &tb);
		ck_assert(str_eq(sb_get(&ta), sb_get(&tb)));
		if (va->type != CV_EXPR)
			ck_assert(str_eq(va->s, vb->s));
		sb_free(&ta);
		sb_free(&tb);
	}
	for (a = a->child, b = b->child; a && b; a = a->next, b = b->next)
		same_node(a, b);
	ck_assert(!a && !b);
}

static void round_trip(struct loaded *l)
{
	char *once = dump_of(l->c, 0), *twice,
	     *full = dump_of(l->c, CONF_DUMP_DEFAULTS | CONF_DUMP_ORIGIN);
	struct loaded again = load_ok(once), filled = load_ok(full);
	struct sb b;

	same_node(l->c->root, again.c->root);
	twice = dump_of(again.c, 0);
	ck_assert_str_eq(once, twice);
	sb_init_heap(&b);
	ck_assert_uint_eq(conf_diff(l->c, again.c, &b), 0);
	sb_free(&b);
	free(once);
	free(twice);
	free(full);
	unload(&again);
	unload(&filled);
}

static void fmt_twice(const char *text)
{
	struct conf_diag *d = conf_diag_new();
	struct sb once, twice;

	sb_init_heap(&once);
	sb_init_heap(&twice);
	ck_assert_int_eq(conf_fmt(str_c(text), "f", d, &once), 0);
	ck_assert_int_eq(conf_fmt(sb_get(&once), "f", d, &twice), 0);
	ck_assert(str_eq(sb_get(&once), sb_get(&twice)));
	if (once.n) {
		struct loaded a = load_ok(text), b = load_ok(once.p);

		same_node(a.c->root, b.c->root);
		unload(&a);
		unload(&b);
	}
	conf_diag_free(&d);
	sb_free(&once);
	sb_free(&twice);
}

START_TEST(test_sample)
{
	const char *top = getenv("srcdir");
	char path[500], *text;
	struct loaded l;
	size_t n;

	snprintf(path, sizeof(path), "%s/etc/fairlead.conf.sample", top ? top : ".");
	l = load_src(conf_src_files(path));
	if (l.rc)
		say(&l);
	ck_assert_int_eq(l.rc, 0);
	ck_assert_uint_eq(conf_diag_count(l.d), 0);
	round_trip(&l);
	unload(&l);
	ck_assert_int_eq(env_read_file(path, 1 << 20, &text, &n), 0);
	fmt_twice(text);
	env_free(text);
}
END_TEST

/* ---------- random configurations ---------- */

static uint64_t seed;

static unsigned pick(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

static void gap(struct sb *b)
{
	static const char *const gaps[] = { "\n", "; ", " # c } {\n", "\n\n\t", ";\n" };

	sb_c(b, gaps[pick(FL_ARRAY_LEN(gaps))]);
}

static void text(struct sb *b)
{
	static const char *const texts[] = {
		"\"a b\"",
		"`raw \"{\\n` ",
		"plain",
		"\"\\x00\\xff\\n\\\"\"",
		"\"# no comment\"",
		"${FL_NONE:-a b}",
		"\"${HOME}/x\"",
		"`two\nlines`",
		"\"joined \\\nline\"",
		"\"\xc3\xa4\"",
		"\"\\${x}\"",
		"\"\"",
	};

	sb_c(b, texts[pick(FL_ARRAY_LEN(texts))]);
}

static void random_pool(struct sb *b, unsigned i)
{
	static const char *const svc[] = {
		"",
		" weight 3",
		" { weight 0; state drain }",
		" backup on max-connections 5",
		" { }",
		" state maint { weight 2 }",
	};

	sb_fmt(b, "pool p%u {", i);
	gap(b);
	for (unsigned k = 0, n = 1 + pick(4); k < n; k++) {
		sb_fmt(b, "service s%u %s:%u%s", k, pick(2) ? "10.0.0.1" : "[2001:db8::1]",
		       1 + pick(65535), svc[pick(FL_ARRAY_LEN(svc))]);
		gap(b);
	}
	if (pick(2))
		sb_c(b, "connect-timeout 1.5s; tls { verify off; ca relative/ca.pem }\n");
	if (i && pick(2))
		sb_fmt(b, "backup p%u\n", pick(i));
	sb_c(b, "}");
	gap(b);
}

static void random_policy(struct sb *b, unsigned i, unsigned pools)
{
	static const char *const exprs[] = {
		"a == b",
		"(a # }\n or\n b)",
		"x in {1,\n 2}  and  y",
		"h[\"a b\"] matches \"\\\"{\"",
		"x \\\n and y",
		"s == `a  b`",
	};

	sb_fmt(b, "policy q%u %s%s {", i, pick(4) ? "when " : "", "");
	if (str_ends(sb_get(b), STR("when  {"))) {
		b->n -= 2;
		sb_c(b, exprs[pick(FL_ARRAY_LEN(exprs))]);
		sb_c(b, "{");
	}
	gap(b);
	for (unsigned k = pick(3); k; k--) {
		sb_c(b, "set-header X-A ");
		text(b);
		gap(b);
	}
	switch (pick(4)) {
	case 0:
		sb_fmt(b, "use p%u", pick(pools));
		break;
	case 1:
		sb_c(b, "respond 200 ");
		text(b);
		break;
	case 2:
		sb_c(b, "reject");
		break;
	default:
		sb_c(b, "redirect 307 /x");
		break;
	}
	sb_c(b, " }");
	gap(b);
}

START_TEST(test_random)
{
	for (unsigned round = 0; round < 300; round++) {
		unsigned pools, policies;
		struct loaded l;
		struct sb b;

		seed = (uint64_t)_i * 1000 + round;
		sb_init_heap(&b);
		pools = 1 + pick(4);
		policies = pick(5);
		for (unsigned i = 0; i < pools; i++)
			random_pool(&b, i);
		sb_c(&b, "vserver v { listen :80\n");
		for (unsigned i = 0; i < policies; i++)
			random_policy(&b, i, pools);
		sb_c(&b, "default respond 200 ");
		text(&b);
		sb_c(&b, "\n}");
		l = load_ok(b.p);
		round_trip(&l);
		unload(&l);
		fmt_twice(b.p);
		sb_free(&b);
	}
}
END_TEST

/* ---------- diff, JSON, secrets, fmt ---------- */

#define A \
	"workers 2\nuser a\npool p {\n service a 1.1.1.1:1 weight 2\n service b 1.1.1.1:2\n}\nvserver v { listen :80; listen :81; default use p }\n"
#define B \
	"workers 3\nuser b\npool p {\n service b 1.1.1.1:3\n service a 1.1.1.1:1\n service c 1.1.1.1:4 weight 9\n}\n" \
	"vserver v { listen :81; listen :82 backlog 3; default use p }\n"

START_TEST(test_diff)
{
	struct loaded a = load_ok(A), b = load_ok(B);
	struct sb out;

	sb_init_heap(&out);
	ck_assert_uint_eq(conf_diff(a.c, b.c, &out), 8);
	ck_assert_str_eq(
		out.p,
		"~ workers 2 -> 3\n~ user a -> b  (needs a restart)\n~ pool.p.service.b 1.1.1.1:2 -> 1.1.1.1:3\n"
		"- pool.p.service.a.weight 2\n+ pool.p.service.c 1.1.1.1:4\n~ pool.p.service order a, b -> b, a\n"
		"- vserver.v.listen :80\n+ vserver.v.listen :82\n");
	sb_free(&out);
	unload(&a);
	unload(&b);
}
END_TEST

START_TEST(test_json)
{
	struct loaded a = load_ok(A);
	char *j = dump_of(a.c, CONF_DUMP_JSON);

	ck_assert_str_eq(
		j,
		"{\"workers\":2,\"user\":\"a\",\"pool\":[{\"name\":\"p\",\"service\":[{\"name\":\"a\","
		"\"args\":[\"1.1.1.1:1\"],\"weight\":2},\n{\"name\":\"b\",\"args\":[\"1.1.1.1:2\"]}]}],"
		"\"vserver\":[{\"name\":\"v\",\"listen\":[{\"args\":[\":80\"]},\n{\"args\":[\":81\"]}],"
		"\"default\":[\"use\",\"p\"]}]}\n");
	free(j);
	unload(&a);
}
END_TEST

/* What stands close is parted, what is one statement stays one. */
static const struct {
	const char *name, *from, *to;
} shapes[] = {
	{ "one line", "pool p{service s 10.0.0.1:80;method round-robin}", "pool p {\n\tservice s 10.0.0.1:80\n\tmethod round-robin\n}\n" },
	{ "nested", "vserver v { listen :80 tls { cert /a; alpn http/1.1 }; default reject }",
	  "vserver v {\n\tlisten :80 tls {\n\t\tcert /a\n\t\talpn http/1.1\n\t}\n\tdefault reject\n}\n" },
	{ "aligned words stay", "user   x\nworkers\t1;  user\ty", "user   x\nworkers\t1\nuser\ty\n" },
	{ "comments stay at what they follow", "pool p { # a\n service s a:1; # b\n# c\n} # d\n# e",
	  "pool p { # a\n\tservice s a:1 # b\n\t# c\n} # d\n# e\n" },
	{ "comment behind ;", "workers 1; user x # y", "workers 1\nuser x # y\n" },
	{ "set in an expression", "vserver v{policy a when ip.src in {10.0.0.0/8,\n  10.1.0.1}{reject}}",
	  "vserver v {\n\tpolicy a when ip.src in {10.0.0.0/8,\n\t\t10.1.0.1} {\n\t\treject\n\t}\n}\n" },
	{ "strings", "user \"a;{}#\" ;user `b\n ;{ `", "user \"a;{}#\"\nuser `b\n ;{ `\n" },
	{ "variables", "user ${A:-b{c}x", "user ${A:-b{c}x\n" },
	{ "empty", "pool p {}\npool q {\n\n}", "pool p { }\npool q {\n}\n" },
	{ "empty lines", "\n\n\nworkers 1\n\n\n\nuser x\npool p {\n\n\nservice s a:1\n\n\n}\n\n\n",
	  "workers 1\n\nuser x\npool p {\n\tservice s a:1\n}\n" },
	{ "no end of line, CRLF, BOM", "\xef\xbb\xbfworkers 1 # a \r\nuser x", "workers 1 # a\nuser x\n" },
	{ "{ behind a \\", "pool p \\\n{ service s a:1 }", "pool p {\n\tservice s a:1\n}\n" },
};

START_TEST(test_fmt_shape)
{
	struct conf_diag *d = conf_diag_new();
	struct sb once, twice;

	sb_init_heap(&once);
	sb_init_heap(&twice);
	ck_assert_int_eq(conf_fmt(str_c(shapes[_i].from), "f", d, &once), 0);
	ck_assert_msg(str_eq(sb_get(&once), str_c(shapes[_i].to)), "%s:\n%s", shapes[_i].name, once.p);
	ck_assert_int_eq(conf_fmt(sb_get(&once), "f", d, &twice), 0);
	ck_assert_msg(str_eq(sb_get(&once), sb_get(&twice)), "%s, again:\n%s", shapes[_i].name, twice.p);
	conf_diag_free(&d);
	sb_free(&once);
	sb_free(&twice);
}
END_TEST

START_TEST(test_fmt)
{
	struct conf_diag *d = conf_diag_new();
	struct sb out;

	sb_init_heap(&out);
	ck_assert_int_eq(
		conf_fmt(
			STR("\n\npool a {   # c {\r\n service s a:1 \\\nweight 2\n\n\n   # }\npolicy x when (a\nor b) { use `\n  x\n` }\n}"),
			"f", d, &out),
		0);
	ck_assert_str_eq(
		out.p,
		"pool a {   # c {\n\tservice s a:1 \\\n\t\tweight 2\n\n\t# }\n\tpolicy x when (a\n"
		"\t\tor b) {\n\t\tuse `\n  x\n`\n\t}\n}\n");
	for (unsigned i = 0; i < 5; i++) {
		static const struct str bad[] = {
			{ "a {", 3 }, { "}", 1 }, { "a {} b", 6 }, { "\"x\n", 3 }, { "`x", 2 }
		};

		ck_assert_int_eq(conf_fmt(bad[i], "f", d, &out), FL_ESYNTAX_);
		ck_assert_uint_eq(conf_diag_errors(d), i + 1);
	}
	conf_diag_free(&d);
	sb_free(&out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf print");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, test_sample);
	tcase_add_loop_test(t, test_random, 0, 3);
	tcase_add_test(t, test_diff);
	tcase_add_test(t, test_json);
	tcase_add_test(t, test_fmt);
	tcase_add_loop_test(t, test_fmt_shape, 0, sizeof(shapes) / sizeof(shapes[0]));
	suite_add_tcase(s, t);
	return run_suite(s);
}
