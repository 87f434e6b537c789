/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sandbox.c - what a confined child cannot do any more
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/sandbox.h"

static int run(int (*fn)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(fn());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static int close_others(void)
{
	int keep[3] = { dup(0), -1, dup(0) }, lost = dup(0), high = fcntl(0, F_DUPFD, 300), kept = keep[0], kept2 = keep[2];

	sandbox_close_others(keep, 3);
	if (fcntl(kept, F_GETFD) < 0 || fcntl(kept2, F_GETFD) < 0 || fcntl(1, F_GETFD) < 0)
		return 1;
	return fcntl(lost, F_GETFD) >= 0 || fcntl(high, F_GETFD) >= 0 ? 2 : 0;
}

START_TEST(only_the_list_stays_open)
{
	ck_assert_int_eq(run(close_others), 0);
}
END_TEST

static struct ids ids;

static int worker(void)
{
	char c;
	int s[2], fd;

	if (sandbox_enter(SANDBOX_WORKER, &ids) != 0)
		return 10;
	if (getuid() != ids.uid || getuid() == 0)
		return 11;
	if (setuid(0) == 0)
		return 12;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 13;
#ifdef HAVE_SECCOMP
#ifndef FL_ASAN
	if (fork() >= 0)
		return 14;
	if (kill(getppid(), 0) == 0)
		return 15;
	if (open("/proc/self/status", O_RDONLY) >= 0 && access("/sys/kernel/security", F_OK) == 0)
		return 16;
#endif
#endif
	/* and what it must */
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) != 0 || write(s[0], "x", 1) != 1 || read(s[1], &c, 1) != 1)
		return 20;
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		return 21;
	fd = open("/dev/null", O_RDONLY);
	return fd < 0 ? 22 : 0;
}

START_TEST(worker_is_confined)
{
	bool fallback;

	ck_assert_int_eq(sandbox_ids("no-such-account-here", &ids, &fallback), 0);
	if (getuid() == 0) {
		ck_assert(fallback);
		ck_assert_str_eq(ids.name, "nobody");
	} else {
		ck_assert(!fallback);
		ck_assert_uint_eq(ids.uid, getuid());
	}
	ck_assert_int_eq(run(worker), 0);
}
END_TEST

static void *thread(void *arg)
{
	*(int *)arg = 1;
	return NULL;
}

static int control(void)
{
	pthread_t t;
	int ran = 0, fd;

	if (sandbox_enter(SANDBOX_CONTROL, &ids) != 0)
		return 10;
	if (getuid() != ids.uid || getuid() == 0)
		return 11;
#if defined(HAVE_SECCOMP) && !defined(FL_ASAN)
	if (fork() >= 0)
		return 14;
	if (execl("/bin/true", "true", NULL) == 0 || errno != EPERM)
		return 15;
	if (kill(getppid(), 0) == 0)
		return 16;
#endif
	/* and what it must: threads, and sockets to other machines */
	if (pthread_create(&t, NULL, thread, &ran) != 0 || pthread_join(t, NULL) != 0 || !ran)
		return 20;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	return fd < 0 ? 21 : 0;
}

START_TEST(control_is_confined)
{
	bool fallback;

	ck_assert_int_eq(sandbox_ids("no-such-account-here", &ids, &fallback), 0);
	ck_assert_int_eq(run(control), 0);
}
END_TEST

static int child_signals(void)
{
	struct sigaction sa;

	sandbox_child("fl-test");
	if (sigaction(SIGINT, NULL, &sa) != 0 || sa.sa_handler != SIG_IGN)
		return 1;
	if (sigaction(SIGTERM, NULL, &sa) != 0 || sa.sa_handler != SIG_DFL)
		return 2;
	return getpgrp() == getpid() ? 0 : 3;
}

START_TEST(child_leaves_the_terminal_alone)
{
	ck_assert_int_eq(run(child_signals), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandbox");
	TCase *t = tcase_create("sandbox");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, only_the_list_stays_open);
	tcase_add_test(t, worker_is_confined);
	tcase_add_test(t, control_is_confined);
	tcase_add_test(t, child_leaves_the_terminal_alone);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
