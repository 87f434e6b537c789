/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_box.c - descriptors sent to cores: they arrive once, wait for whoever serves the core, and outlive who died
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "proc/box.h"

#define CORES 3u

static struct engine *E;
static struct engine_hook turn;
static int ends[2 * CORES];
static struct boxes b;
static unsigned n_got, n_bad, got_core[4096];
static uint64_t got_arg[4096];

static void stop(struct engine_hook *h)
{
	(void)h;
	engine_stop(E);
}

/* What was sent is a pipe's writing end: its number is written into it, so who holds the other end sees which one came. */
static void got(void *ctx, unsigned core, struct msg_in *in)
{
	char c;

	ck_assert_ptr_eq(ctx, &b);
	if (!in) {
		n_bad++;
		return;
	}
	c = (char)in->m.arg;
	ck_assert_uint_eq(in->m.type, MSG_CONN);
	ck_assert_uint_eq(in->n_fd, 1);
	ck_assert_str_eq(in->text, "who");
	ck_assert_int_eq(write(in->fd[0], &c, 1), 1);
	got_core[n_got] = core;
	got_arg[n_got++] = in->m.arg;
}

static void start(void)
{
	E = engine_new();
	ck_assert_ptr_nonnull(E);
	engine_max_sleep_ms(E, 1);
	list_init(&turn.link);
	turn.fn = stop;
	engine_on_turn(E, &turn);
	for (unsigned c = 0; c < CORES; c++)
		ck_assert_int_eq(env_socketpair(SOCK_SEQPACKET, ends + 2 * c), 0);
	ck_assert_int_eq(boxes_open(&b, E, ends, CORES, got, &b), 0);
	n_got = 0;
}

static void end(void)
{
	boxes_close(&b);
	engine_run(E);
	engine_free(&E);
	for (unsigned i = 0; i < 2 * CORES; i++)
		close(ends[i]);
}

static void turns(unsigned n)
{
	while (n--)
		engine_run(E);
}

static int put(unsigned core, uint64_t arg, int fd)
{
	struct msg m = { .type = MSG_CONN, .arg = arg };

	return boxes_put(&b, core, &m, "who", 3, fd);
}

START_TEST(each_core_gets_its_own)
{
	int p[2];
	char c;

	ck_assert_int_eq(env_pipe(p, 0), 0);
	for (uint64_t i = 0; i < 6; i++)
		ck_assert_int_eq(put((unsigned)i % CORES, i, p[1]), 0);
	turns(3);
	ck_assert_uint_eq(n_got, 0);                    /* nobody serves any */
	boxes_serve(&b, 1, true);
	boxes_serve(&b, 1, true);
	turns(3);
	ck_assert_uint_eq(n_got, 2);
	ck_assert(got_core[0] == 1 && got_core[1] == 1 && got_arg[0] == 1 && got_arg[1] == 4);
	boxes_serve(&b, 2, true);                       /* adopted */
	turns(3);
	ck_assert_uint_eq(n_got, 4);
	boxes_serve(&b, 2, false);
	ck_assert_int_eq(put(2, 8, p[1]), 0);
	turns(3);
	ck_assert_uint_eq(n_got, 4);
	boxes_serve(&b, 0, true);
	boxes_serve(&b, 2, true);
	ck_assert_uint_eq(boxes_empty(&b), 3);          /* without waiting for the loop */
	ck_assert_uint_eq(boxes_empty(&b), 0);
	ck_assert_uint_eq(n_got, 7);
	close(p[1]);
	for (unsigned i = 0; i < 7; i++)
		ck_assert_int_eq(read(p[0], &c, 1), 1);
	ck_assert_int_eq(read(p[0], &c, 1), 0);         /* no copy is left anywhere */
	close(p[0]);
}
END_TEST

START_TEST(cores_that_are_none)
{
	ck_assert_int_eq(put(CORES, 1, 0), -EBADF);
	ck_assert_int_eq(put(UINT32_MAX, 1, 0), -EBADF);
	boxes_serve(&b, CORES, true);
	boxes_serve(&b, UINT32_MAX, false);
	ck_assert_uint_eq(boxes_empty(&b), 0);
}
END_TEST

START_TEST(a_full_box_refuses)
{
	unsigned n = 0;
	int err = 0;

	while (n < 100000 && !err)
		if ((err = put(0, 1, 0)) == 0)
			n++;
	/* by bytes, or, where descriptors on their way are limited, by their number */
	ck_assert_msg(err == -EAGAIN || err == -ETOOMANYREFS, "%d", err);
	ck_assert_uint_ge(n, 16);
	ck_assert_int_eq(put(1, 2, 0) == 0, err == -EAGAIN);    /* the others have room of their own */
}
END_TEST

START_TEST(what_is_no_message_is_dropped)
{
	struct msg m = { .type = MSG_CONN, .version = MSG_VERSION + 1 };
	int p[2];

	ck_assert_int_eq(env_pipe(p, 0), 0);
	ck_assert_int_eq(send(ends[BOX_SEND], "short", 5, 0), 5);
	ck_assert_int_eq(send(ends[BOX_SEND], &m, sizeof(m), 0), (int)sizeof(m));
	ck_assert_int_eq(put(0, 3, p[1]), 0);
	boxes_serve(&b, 0, true);
	turns(3);
	ck_assert_uint_eq(n_got, 1);
	ck_assert_uint_eq(n_bad, 2);
	close(p[0]);
	close(p[1]);
}
END_TEST

START_TEST(pausing_leaves_all_where_it_is)
{
	int p[2];

	ck_assert_int_eq(env_pipe(p, 0), 0);
	boxes_serve(&b, 0, true);
	boxes_pause(&b, true);
	for (uint64_t i = 0; i < 5; i++)
		ck_assert_int_eq(put(0, i, p[1]), 0);
	boxes_serve(&b, 1, true);                       /* while paused */
	ck_assert_int_eq(put(1, 5, p[1]), 0);
	turns(5);
	ck_assert_uint_eq(boxes_empty(&b), 0);
	ck_assert_uint_eq(n_got, 0);
	boxes_pause(&b, false);
	turns(3);
	ck_assert_uint_eq(n_got, 6);
	close(p[0]);
	close(p[1]);
}
END_TEST

/* The reader is killed with messages in its box, some read and some not; the sender is gone as well. */
START_TEST(what_waits_outlives_both)
{
	int p[2], state;
	unsigned n = 0;
	pid_t reader, sender;
	char c;

	ck_assert_int_eq(env_pipe(p, O_NONBLOCK), 0);
	sender = fork();
	if (sender == 0) {
		for (uint64_t i = 0; i < 20; i++)
			if (put(0, i, p[1]) != 0)
				_exit(1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(sender, &state, 0), sender);
	ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
	reader = fork();
	if (reader == 0) {
		static struct msg_in in;

		for (unsigned i = 0; i < 7; i++)
			if (msg_recv(ends[BOX_READ], &in) != 1)
				_exit(1);
		(void)kill(getpid(), SIGKILL);
	}
	ck_assert_int_eq(waitpid(reader, &state, 0), reader);
	ck_assert(WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL);
	boxes_serve(&b, 0, true);
	turns(3);
	ck_assert_uint_eq(n_got, 13);
	ck_assert_uint_eq(got_arg[0], 7);
	while (read(p[0], &c, 1) == 1)
		ck_assert_int_eq(c, (char)(7 + n++));
	ck_assert_uint_eq(n, 13);
	close(p[0]);
	close(p[1]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("box");
	TCase *t = tcase_create("box");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, start, end);
	tcase_add_test(t, each_core_gets_its_own);
	tcase_add_test(t, cores_that_are_none);
	tcase_add_test(t, a_full_box_refuses);
	tcase_add_test(t, what_is_no_message_is_dropped);
	tcase_add_test(t, pausing_leaves_all_where_it_is);
	tcase_add_test(t, what_waits_outlives_both);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
