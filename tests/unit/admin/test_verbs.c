/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_verbs.c - command lines: words, quoting, the verb table, what is said of mistakes
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/verbs.h"

static struct words words;
static struct verb_call call;
static char said[1024];

static bool split(const char *line, const char **why)
{
	return words_split(str_c(line), &words, why);
}

/* Parses a line; what was said is in `said`. */
static bool parse(const char *line)
{
	const char *why = NULL;
	struct sb err;
	bool ok;

	sb_init(&err, said, sizeof(said));
	said[0] = '\0';
	ck_assert_msg(split(line, &why), "%s", why);
	ok = verb_parse(words.w, words.n, &call, &err);
	ck_assert_msg(ok == (err.n == 0), "\"%s\" says \"%s\"", line, said);
	return ok;
}

START_TEST(words_are_parted_and_unquoted)
{
	static const struct { const char *line, *w[4]; unsigned n; } cases[] = {
		{ "", { 0 }, 0 },
		{ "  \t ", { 0 }, 0 },
		{ "show service", { "show", "service" }, 2 },
		{ "a 'b c'  \"d e\"", { "a", "b c", "d e" }, 3 },
		{ "''", { "" }, 1 },
		{ "a\\ b", { "a b" }, 1 },
		{ "'a\\b'", { "a\\b" }, 1 },
		{ "\"a\\\"b\"", { "a\"b" }, 1 },
		{ "x'y'z", { "xyz" }, 1 },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		const char *why = NULL;

		ck_assert(split(cases[i].line, &why));
		ck_assert_uint_eq(words.n, cases[i].n);
		for (unsigned k = 0; k < words.n; k++)
			ck_assert_msg(str_eq(words.w[k], str_c(cases[i].w[k])), "%s: word %u",
				      cases[i].line, k);
	}
}
END_TEST

START_TEST(bad_lines_are_refused)
{
	char line[LINE_MAX_BYTES + 8];
	const char *why = NULL;

	ck_assert(!split("say 'x", &why));
	ck_assert_str_eq(why, "a quote is not closed");
	ck_assert(!split("a\001b", &why));
	ck_assert_str_eq(why, "the line holds bytes that are not text");
	ck_assert(!words_split(str_n("a\0b", 3), &words, &why));
	memset(line, 'a', sizeof(line));
	ck_assert(words_split(str_n(line, LINE_MAX_BYTES - 1), &words, &why));
	ck_assert(!words_split(str_n(line, LINE_MAX_BYTES), &words, &why));
	for (size_t i = 0; i + 1 < 4 * WORDS_MAX; i += 2) {
		line[i] = 'a';
		line[i + 1] = ' ';
	}
	ck_assert(words_split(str_n(line, 2 * WORDS_MAX), &words, &why));
	ck_assert_uint_eq(words.n, WORDS_MAX);
	ck_assert(!words_split(str_n(line, 2 * WORDS_MAX + 2), &words, &why));
	ck_assert_str_eq(why, "too many words");
}
END_TEST

START_TEST(commands_end_at_semicolons_outside_of_quotes)
{
	ck_assert_uint_eq(words_command_end(STR("show stat; show info")), 9);
	ck_assert_uint_eq(words_command_end(STR("a 'x;y' b;c")), 9);
	ck_assert_uint_eq(words_command_end(STR("a \"x;\\\";\";c")), 9);
	ck_assert_uint_eq(words_command_end(STR("a\\;b")), 4);
	ck_assert_uint_eq(words_command_end(STR("")), 0);
}
END_TEST

START_TEST(quoted_words_come_back)
{
	static const char *const cases[] = {
		"plain", "",           "two words",   "a;b",
		"it's",  "say \"hi\"", "back\\slash", "GET http://h/p?q='x';y",
		"\t",
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		const char *why = NULL;
		char mem[256];
		struct sb b;

		sb_init(&b, mem, sizeof(mem));
		words_quote(&b, str_c(cases[i]));
		ck_assert_uint_eq(words_command_end(sb_get(&b)), b.n);
		ck_assert(split(mem, &why));
		ck_assert_uint_eq(words.n, 1);
		ck_assert(str_eq(words.w[0], str_c(cases[i])));
	}
}
END_TEST

START_TEST(options_and_names_are_found)
{
	ck_assert(parse("drain service app/a1 --wait 60s --reason 'kernel update'"));
	ck_assert_int_eq(call.id, VERB_DRAIN_SERVICE);
	ck_assert_uint_eq(call.n_pos, 1);
	ck_assert(str_eq(call.pos[0], STR("app/a1")));
	ck_assert(str_eq(verb_opt(&call, "--wait", 0), STR("60s")));
	ck_assert(str_eq(verb_opt(&call, "--reason", 0), STR("kernel update")));
	ck_assert(!call.json);
	ck_assert(parse("--json drain service --wait=5m app/a1"));
	ck_assert(call.json);
	ck_assert(str_eq(verb_opt(&call, "--wait", 0), STR("5m")));
	ck_assert(parse(
		"explain request 'GET http://h/' -H 'A: 1' -H 'B: 2' --from 10.0.0.1 --json"));
	ck_assert(call.json);
	ck_assert(str_eq(verb_opt(&call, "-H", 0), STR("A: 1")));
	ck_assert(str_eq(verb_opt(&call, "-H", 1), STR("B: 2")));
	ck_assert_ptr_null(verb_opt(&call, "-H", 2).p);
	ck_assert(!verb_flag(&call, "--vserver"));
	ck_assert(parse("reload --wait"));
	ck_assert(verb_flag(&call, "--wait"));
	ck_assert(parse("status"));
}
END_TEST

START_TEST(mistakes_are_explained)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{ "", "no command" },
		{ "--json", "no command" },
		{ "shwo service", "did you mean \"show\"?" },
		{ "frobnicate", "unknown command \"frobnicate\"; try: help" },
		{ "show", "show what? one of: vserver pool" },
		{ "show servce", "did you mean \"service\"?" },
		{ "show service a b", "\"b\" is too much; usage: show service [NAME]" },
		{ "show service --wait 5s",
		  "unknown option \"--wait\"; usage: show service [NAME]" },
		{ "drain service", "NAME is missing; usage: drain service NAME [--wait TIME]" },
		{ "drain service x --wait", "--wait needs a value (TIME)" },
		{ "drain service x --wait 1s --wait 2s", "--wait is given twice" },
		{ "reload --wait=5s", "unknown option" },
		{ "explain request 'GET http://h/'", "--from IP is missing" },
		{ "status now", "\"now\" is too much" },
		{ "show service a b c", "is too much" },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		ck_assert_msg(!parse(cases[i].line), "%s", cases[i].line);
		ck_assert_msg(strstr(said, cases[i].says) != NULL, "\"%s\" says \"%s\"",
			      cases[i].line, said);
	}
}
END_TEST

START_TEST(what_is_wrong_is_shown_escaped)
{
	struct str w[] = { STR("sh\x1b[2Jow") };
	struct sb err;

	sb_init(&err, said, sizeof(said));
	ck_assert(!verb_parse(w, 1, &call, &err));
	ck_assert_ptr_null(strchr(said, '\x1b'));
	ck_assert_ptr_nonnull(strstr(said, "\\x1b"));
}
END_TEST

/* What the row says must be what is accepted: each row with exactly its required arguments
 * fits, without them not. */
START_TEST(every_row_takes_what_it_names)
{
	for (unsigned i = 0; i < VERB__COUNT; i++) {
		const struct verb_row *r = &verb_rows[i];
		char line[256], mem[256];
		struct sb b;
		bool needs = false;
		struct str args = str_c(r->args);

		sb_init(&b, line, sizeof(line));
		sb_fmt(&b, "%s %s", r->verb, r->kind);
		while (args.n) {
			struct str word = str_cut(&args, ' ');

			if (word.p[0] == '[') {
				while (args.n && !memchr(word.p, ']', word.n))
					word = str_cut(&args, ' ');
				continue;
			}
			sb_fmt(&b, " " STR_FMT, STR_ARG(word));
			needs = true;
		}
		ck_assert_msg(parse(line), "%s: %s", line, said);
		ck_assert_int_eq(call.id, i);
		snprintf(mem, sizeof(mem), "%s %s", r->verb, r->kind);
		ck_assert_int_eq(parse(mem), !needs);
		ck_assert_msg(r->text[strlen(r->text) - 1] == '.', "%s: a sentence", r->text);
	}
}
END_TEST

START_TEST(help_comes_from_the_table)
{
	struct sb b;

	sb_init_heap(&b);
	ck_assert(verb_help(STR_NULL, STR_NULL, false, &b));
	for (unsigned i = 0; i < VERB__COUNT; i++)
		ck_assert_msg(strstr(b.p, verb_rows[i].text) != NULL, "%s", verb_rows[i].text);
	sb_free(&b);
	sb_init_heap(&b);
	ck_assert(verb_help(STR("drain"), STR_NULL, false, &b));
	ck_assert_ptr_nonnull(strstr(b.p, "drain service NAME"));
	ck_assert_ptr_null(strstr(b.p, "show service"));
	sb_free(&b);
	sb_init_heap(&b);
	ck_assert(!verb_help(STR("drian"), STR_NULL, false, &b));
	ck_assert_ptr_nonnull(strstr(b.p, "did you mean \"drain\"?"));
	sb_free(&b);
}
END_TEST

START_TEST(times_need_units)
{
	uint64_t ms = 0;

	ck_assert(text_duration_ms(STR("60s"), &ms) && ms == 60000);
	ck_assert(text_duration_ms(STR("1500us"), &ms) && ms == 2);
	ck_assert(text_duration_ms(STR("5m"), &ms) && ms == 300000);
	ck_assert(!text_duration_ms(STR("60"), &ms));
	ck_assert(!text_duration_ms(STR("s"), &ms));
	ck_assert(!text_duration_ms(STR("-1s"), &ms));
	ck_assert(!text_duration_ms(STR("1 s"), &ms));
	ck_assert(!text_duration_ms(STR("99999999999999s"), &ms));
}
END_TEST

START_TEST(guesses_know_names_in_pools)
{
	struct guess g;

	guess_init(&g, STR("a1"));
	guess_offer(&g, STR("app/a2"));
	guess_offer(&g, STR("app/a1"));
	ck_assert(str_eq(g.best, STR("app/a1")));
	guess_init(&g, STR("zzzzzz"));
	guess_offer(&g, STR("app/a1"));
	ck_assert_ptr_null(g.best.p);
}
END_TEST

/* man/gen-verbs compares the table with fairleadctl(1) and the completion. */
START_TEST(manual_and_completion_are_the_tables)
{
	const char *top = getenv("srcdir") ? getenv("srcdir") : ".";
	char table[] = "/tmp/fl-verbs-XXXXXX", cmd[600];
	int fd = mkstemp(table), rc;
	struct sb b;

	sb_init_heap(&b);
	verb_dump(&b);
	ck_assert(fd >= 0 && write(fd, b.p, b.n) == (ssize_t)b.n);
	close(fd);
	snprintf(cmd, sizeof(cmd),
		 "PATH=/usr/bin:/bin python3 -B '%s/man/gen-verbs' --check --table %s", top, table);
	rc = system(cmd);
	unlink(table);
	sb_free(&b);
	ck_assert_msg(rc == 0, "manual or completion differ from the table: run man/gen-verbs");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		words_are_parted_and_unquoted,
		bad_lines_are_refused,
		commands_end_at_semicolons_outside_of_quotes,
		quoted_words_come_back,
		options_and_names_are_found,
		mistakes_are_explained,
		what_is_wrong_is_shown_escaped,
		every_row_takes_what_it_names,
		help_comes_from_the_table,
		times_need_units,
		guesses_know_names_in_pools,
		manual_and_completion_are_the_tables,
	};
	Suite *suite = suite_create("admin verbs");
	TCase *tc = tcase_create("all");
	SRunner *sr;
	int failed;

	for (size_t i = 0; i < FL_ARRAY_LEN(tests); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
