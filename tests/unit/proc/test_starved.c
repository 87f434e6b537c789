/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_starved.c - stopped, asleep, spinning, and runnable without a CPU are told apart
 */
#include "config.h"

#include <check.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "proc/starved.h"

enum kind { ASLEEP, STOPPED, SPINNING, WITHOUT_CPU };

static void stay_on_first_cpu(void)
{
	cpu_set_t all, one;

	CPU_ZERO(&one);
	sched_getaffinity(0, sizeof(all), &all);
	for (size_t i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &all)) {
			CPU_SET(i, &one);
			break;
		}
	}
	sched_setaffinity(0, sizeof(one), &one);
}

static pid_t child(enum kind k)
{
	static const struct sched_param none;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid)
		return pid;
	if (k == ASLEEP)
		for (;;)
			pause();
	if (k == WITHOUT_CPU) {
		stay_on_first_cpu();
		sched_setscheduler(0, SCHED_IDLE, &none);
	}
	for (volatile unsigned i = 0;; i++)
		;
}

static pid_t hog(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid)
		return pid;
	stay_on_first_cpu();
	for (volatile unsigned i = 0;; i++)
		;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* The answers over `rounds` looks, 50 ms apart: how many said yes. */
static unsigned looks(pid_t pid, unsigned rounds)
{
	struct starved s = { 0 };
	unsigned yes = 0;

	ck_assert(!starved_look(&s, pid, env_now_us() / 1000));
	for (unsigned i = 0; i < rounds; i++) {
		env_sleep_us(50000);
		yes += starved_look(&s, pid, env_now_us() / 1000);
	}
	return yes;
}

START_TEST(asleep_and_stopped_are_not_starved)
{
	pid_t asleep = child(ASLEEP), stopped = child(SPINNING);

	kill(stopped, SIGSTOP);
	env_sleep_us(20000);
	ck_assert_uint_eq(looks(asleep, 4), 0);
	ck_assert_uint_eq(looks(stopped, 4), 0);
	end(asleep);
	end(stopped);
}
END_TEST

START_TEST(an_endless_loop_is_not_starved)
{
	pid_t pid = child(SPINNING);
	unsigned yes = looks(pid, 10);

	end(pid);
	/* Other work on the machine may take its core for a moment. */
	ck_assert_uint_le(yes, 3);
}
END_TEST

START_TEST(runnable_without_cpu_is_starved)
{
	pid_t h1 = hog(), h2 = hog(), pid = child(WITHOUT_CPU);
	unsigned yes = looks(pid, 10);

	end(pid);
	end(h1);
	end(h2);
	ck_assert_uint_ge(yes, 7);
}
END_TEST

START_TEST(nobody_is_not_starved)
{
	struct starved s = { 0 };

	ck_assert(!starved_look(&s, 0x7ffffff0, 1));
	ck_assert_uint_eq(s.at_ms, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proc/starved");
	TCase *tc = tcase_create("starved");
	SRunner *r;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, asleep_and_stopped_are_not_starved);
	tcase_add_test(tc, an_endless_loop_is_not_starved);
	tcase_add_test(tc, runnable_without_cpu_is_starved);
	tcase_add_test(tc, nobody_is_not_starved);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
