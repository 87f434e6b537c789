/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_client.c - fairleadctl's side of the control socket: where it is searched, frames whole
 * and broken
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/ctl.h"

/* What the client says on stderr is main.c's; here it is kept. */
static char said[1024];

void ctl_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said, sizeof(said), fmt, ap);
	va_end(ap);
}

START_TEST(places_in_their_order)
{
	struct ctl_places p;

	ctl_places(NULL, NULL, "/run/user/7", NULL, 7, &p);
	ck_assert_uint_eq(p.n, 3);
	ck_assert_str_eq(p.path[0], "/run/fairlead/ctl.sock");
	ck_assert_str_eq(p.path[1], "/run/user/7/fairlead/ctl.sock");
	ck_assert_str_eq(p.path[2], "/tmp/fairlead-7/ctl.sock");
	ctl_places(NULL, "", "", "/var/tmp", 0, &p);
	ck_assert_uint_eq(p.n, 2);
	ck_assert_str_eq(p.path[1], "/var/tmp/fairlead-0/ctl.sock");
	/* what was named is not looked for elsewhere */
	ctl_places(NULL, "/x/ctl.sock", "/run/user/7", NULL, 7, &p);
	ck_assert_uint_eq(p.n, 1);
	ck_assert_str_eq(p.path[0], "/x/ctl.sock");
	ctl_places("/y", "/x/ctl.sock", NULL, NULL, 7, &p);
	ck_assert_str_eq(p.path[0], "/y");
}
END_TEST

START_TEST(nobody_there)
{
	struct ctl_client c = { .path = "/nonexistent/ctl.sock" };

	ck_assert_int_eq(ctl_connect(&c), CTL_UNREACHABLE);
	ck_assert_ptr_nonnull(strstr(said, "cannot reach fairlead at /nonexistent/ctl.sock"));
	ck_assert_ptr_nonnull(strstr(said, "is it running?"));
}
END_TEST

/* A server that reads one line and writes `answer` in pieces of `piece` bytes. */
static int ask_fake(const char *answer, size_t piece, struct sb *out)
{
	struct ctl_client c = { .found = "fake" };
	int pair[2], code;
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		char line[256];
		size_t n = strlen(answer);

		close(pair[0]);
		if (read(pair[1], line, sizeof(line)) <= 0)
			_exit(1);
		for (size_t at = 0; at < n; at += piece) {
			if (write(pair[1], answer + at, at + piece > n ? n - at : piece) < 0)
				_exit(0);
			usleep(200);
		}
		_exit(0);
	}
	close(pair[1]);
	c.fd = pair[0];
	said[0] = '\0';
	sb_init_heap(out);
	code = ctl_ask(&c, "show info", false, 5000, out);
	ctl_close(&c);
	waitpid(pid, NULL, 0);
	return code;
}

START_TEST(frames_at_every_split)
{
	for (size_t piece = 1; piece < 24; piece++) {
		struct sb out;

		ck_assert_int_eq(ask_fake("fairlead/1 1 6\nhello\n", piece, &out), 1);
		ck_assert_str_eq(out.p, "hello\n");
		sb_free(&out);
	}
}
END_TEST

START_TEST(broken_answers)
{
	static const struct { const char *answer, *says; } cases[] = {
		{ "", "the connection was closed" },
		{ "fairlead/1 0 10\nshort", "the connection was closed" },
		{ "fairlead/2 0 1\nx", "not a control socket" },
		{ "fairlead/1 x 1\nx", "not a control socket" },
		{ "fairlead/1 0 99999999999999\nx", "not a control socket" },
		{ "HTTP/1.1 400 Bad Request\r\n", "not a control socket" },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(cases); i++) {
		struct sb out;

		ck_assert_int_eq(ask_fake(cases[i].answer, 100, &out), CTL_UNREACHABLE);
		ck_assert_msg(strstr(said, cases[i].says) != NULL, "\"%s\" says \"%s\"",
			      cases[i].answer, said);
		sb_free(&out);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { places_in_their_order, nobody_there, frames_at_every_split,
				       broken_answers };
	Suite *suite = suite_create("ctl client");
	TCase *tc = tcase_create("all");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	for (size_t i = 0; i < FL_ARRAY_LEN(tests); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
