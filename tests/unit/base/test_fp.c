/* SPDX-License-Identifier: Apache-2.0 */
/* test_fp.c - failpoints; skipped in builds without them. Each case is a child of its own, as the
 * variable is read once in a process. */
#include "config.h"

#include "base/env.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/base/unit.h"

#ifdef FL_FAILPOINTS

/* Runs fn with the variable set; its result, or -signal. */
static int run(const char *points, int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		for (int sig = 1; sig < 32; sig++)
			signal(sig, SIG_DFL);
		setenv("FAIRLEAD_FAILPOINTS", points, 1);
		if (!freopen("/dev/null", "w", stderr))
			_exit(99);
		_exit(fn());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* A bit for each of eight passes that failed. */
static int which_of_eight(void)
{
	int bits = 0;

	for (int i = 0; i < 8; i++)
		bits |= (env_fp("here") == -ECONNRESET) << i;
	return bits;
}

START_TEST(hits_and_counts)
{
	static const struct { const char *points; int want; } rows[] = {
		{ "", 0 },
		{ "there=errno ECONNRESET", 0 },
		{ "her=errno ECONNRESET,heree=errno ECONNRESET", 0 },
		{ "here=errno ECONNRESET", 0xff },
		{ "here=errno EPIPE", 0 },
		{ "here=errno ECONNRESET:3", 0x04 },
		{ "here=errno ECONNRESET:3:2", 0x0c },
		{ "here=errno ECONNRESET:7:0", 0xc0 },
		{ "here=errno ECONNRESET:9", 0 },
		{ "here=errno ECONNRESET:1, here=errno ECONNRESET:8", 0x81 },
		{ "here=kill:4", -SIGKILL },
		{ "here=segv", -SIGSEGV },
		{ "here=short", 0 },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++)
		ck_assert_msg(run(rows[i].points, which_of_eight) == rows[i].want, "%s: %d", rows[i].points,
			      run(rows[i].points, which_of_eight));
}
END_TEST

START_TEST(mistakes_abort)
{
	static const char *const rows[] = {
		"here", "=kill", "here=", "here=explode", "here=errno", "here=errno ENOSUCH", "here=sleep",
		"here=sleep x", "here=kill now", "here=kill:0", "here=kill:x", "here=kill:1:x", "here=kill:1:2:3",
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++)
		ck_assert_msg(run(rows[i], which_of_eight) == -SIGABRT, "%s", rows[i]);
}
END_TEST

static int io_lengths(void)
{
	int p[2];
	char text[16];
	struct iovec iov[2] = { { text, 4 }, { text, 4 } };

	if (env_pipe(p, 0) != 0)
		return 100;
	if (env_write(p[1], "abcdef", 6) != 1 || env_write(p[1], "abcdef", 6) != 6)
		return 101;
	if (env_writev(p[1], iov, 2) != 1 || env_writev(p[1], iov, 2) != 8)
		return 102;
	return (int)env_read(p[0], text, sizeof(text));
}

static int memory(void)
{
	void *a = env_malloc(1), *b = env_calloc(1, 1), *c = env_aligned(16, 1), *d = env_realloc(NULL, 1);

	return (!a) | (!b) << 1 | (!c) << 2 | (!d) << 3;
}

static int sleeps(void)
{
	uint64_t t = env_now_us();

	FP("nap");
	return env_now_us() - t >= 20000;
}

static int spins(void)
{
	alarm(1);
	FP("here");
	return 0;
}

START_TEST(actions)
{
	ck_assert_int_eq(run("write=short:1,writev=short:1", io_lengths), 16);
	ck_assert_int_eq(run("write=short:1,writev=short:1,read=short", io_lengths), 1);
	ck_assert_int_eq(run("pipe=errno EMFILE", io_lengths), 100);
	ck_assert_int_eq(run("malloc=errno ENOMEM:2:2", memory), 6);
	ck_assert_int_eq(run("nap=sleep 20", sleeps), 1);
	ck_assert_int_eq(run("", sleeps), 0);
	ck_assert_int_eq(run("here=spin", spins), -SIGALRM);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/fp");

	UNIT_CASE(s, "hits and counts", hits_and_counts);
	UNIT_CASE(s, "mistakes abort", mistakes_abort);
	UNIT_CASE(s, "actions", actions);
	return unit_run(s);
}

#else

int main(void)
{
	puts("built without failpoints");
	return 77;
}

#endif
