/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_msg.c - messages and channels: descriptors travel, a peer that does not read is not waited for, the end is told
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "proc/msg.h"

static struct msg_in in;

START_TEST(text_and_descriptors_travel)
{
	struct msg m = { .type = MSG_KEEP, .slot = 7, .core = 1, .generation = 9, .arg = 1ull << 40 };
	int s[2], p[2], got, other;
	char c = 0;

	ck_assert_int_eq(env_socketpair(SOCK_SEQPACKET, s), 0);
	ck_assert_int_eq(env_pipe(p, 0), 0);
	ck_assert_int_eq(msg_recv(s[1], &in), -EAGAIN);
	ck_assert_int_eq(msg_send(s[0], &m, "hello", 5, p, 2), 0);
	ck_assert(msg_wait(s[1], 1000));
	ck_assert_int_eq(msg_recv(s[1], &in), 1);
	ck_assert_uint_eq(in.m.type, MSG_KEEP);
	ck_assert_uint_eq(in.m.slot, 7);
	ck_assert_uint_eq(in.m.arg, 1ull << 40);
	ck_assert_str_eq(in.text, "hello");
	ck_assert_uint_eq(in.n_fd, 2);
	got = msg_take_fd(&in, 1);
	other = in.fd[0];
	ck_assert_int_eq(msg_take_fd(&in, 1), -1);
	ck_assert_int_eq(msg_take_fd(&in, 5), -1);
	msg_in_done(&in);
	ck_assert_int_eq(fcntl(other, F_GETFD), -1);      /* what was not taken is closed */
	ck_assert_int_eq(write(got, "x", 1), 1);
	ck_assert_int_eq(read(p[0], &c, 1), 1);
	ck_assert_int_eq(c, 'x');
	ck_assert(fcntl(got, F_GETFD) & FD_CLOEXEC);
	close(s[0]);
	ck_assert_int_eq(msg_recv(s[1], &in), 0);
}
END_TEST

START_TEST(what_is_no_message_is_refused)
{
	struct msg m = { .type = MSG_GO, .version = MSG_VERSION + 1 };
	static char big[MSG_TEXT_MAX + 1];
	int s[2];

	ck_assert_int_eq(env_socketpair(SOCK_SEQPACKET, s), 0);
	ck_assert_int_eq(send(s[0], "short", 5, 0), 5);
	ck_assert_int_eq(msg_recv(s[1], &in), FL_EPROTO_);
	ck_assert_int_eq(send(s[0], &m, sizeof(m), 0), (int)sizeof(m));
	ck_assert_int_eq(msg_recv(s[1], &in), FL_ELAYOUT_);
	ck_assert_int_eq(msg_send(s[0], &m, big, sizeof(big), NULL, 0), -EMSGSIZE);
	ck_assert(!msg_wait(s[1], 10));
	close(s[0]);
	close(s[1]);
}
END_TEST

/* A channel whose peer sleeps: all messages come, in order, with their descriptors, once it reads. */
struct test_side {
	struct chan    chan;
	struct engine *e;
	unsigned       n_got, n_gone, want;
};

static void got(struct chan *c, struct msg_in *m)
{
	struct test_side *t = FL_CONTAINER_OF(c, struct test_side, chan);

	ck_assert_uint_eq(m->m.arg, t->n_got);
	ck_assert_uint_eq(m->n, 50000);
	ck_assert_uint_eq(m->n_fd, 1);
	ck_assert(fcntl(m->fd[0], F_GETFD) >= 0);
	if (++t->n_got == t->want)
		engine_stop(t->e);
}

static void gone(struct chan *c)
{
	struct test_side *t = FL_CONTAINER_OF(c, struct test_side, chan);

	t->n_gone++;
	chan_close(c);
	engine_stop(t->e);
}

START_TEST(slow_peer_is_queued_for)
{
	static struct test_side a, b;
	static char text[50000];
	int s[2], p[2];

	a.e = b.e = engine_new();
	b.want = 64;
	ck_assert_int_eq(env_socketpair(SOCK_SEQPACKET, s), 0);
	ck_assert_int_eq(env_pipe(p, 0), 0);
	ck_assert_int_eq(chan_open(&a.chan, a.e, s[0], got, gone), 0);
	for (unsigned i = 0; i < b.want; i++) {
		struct msg m = { .type = MSG_KEEP, .arg = i };

		ck_assert_int_eq(chan_send(&a.chan, &m, text, sizeof(text), p, 1), 0);
	}
	ck_assert(!list_empty(&a.chan.out));      /* or this tests nothing */
	close(p[0]);
	close(p[1]);                              /* the queue has copies of its own */
	ck_assert_int_eq(chan_open(&b.chan, b.e, s[1], got, gone), 0);
	engine_run(b.e);
	ck_assert_uint_eq(b.n_got, 64);
	ck_assert(list_empty(&a.chan.out));
	ck_assert_uint_eq(a.chan.n_out, 0);
	chan_close(&a.chan);
	engine_run(b.e);
	ck_assert_uint_eq(b.n_gone, 1);
	ck_assert(!chan_is_open(&b.chan));
	ck_assert_int_eq(chan_send_simple(&b.chan, MSG_GO), FL_ECLOSED_);
	engine_free(&a.e);
}
END_TEST

START_TEST(queue_has_a_bound)
{
	static struct test_side a;
	static char text[MSG_TEXT_MAX];
	int s[2], err = 0;
	unsigned n = 0;

	a.e = engine_new();
	ck_assert_int_eq(env_socketpair(SOCK_SEQPACKET, s), 0);
	ck_assert_int_eq(chan_open(&a.chan, a.e, s[0], got, gone), 0);
	for (; n < 4000 && !err; n++) {
		struct msg m = { .type = MSG_KEEP };

		err = chan_send(&a.chan, &m, text, sizeof(text), NULL, 0);
	}
	ck_assert_int_eq(err, FL_ELIMIT_);
	ck_assert_uint_lt(a.chan.n_out, 65u << 20);
	chan_close(&a.chan);
	ck_assert_uint_eq(a.chan.n_out, 0);
	engine_free(&a.e);
	close(s[1]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("msg");
	TCase *t = tcase_create("msg");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, text_and_descriptors_travel);
	tcase_add_test(t, what_is_no_message_is_refused);
	tcase_add_test(t, slow_peer_is_queued_for);
	tcase_add_test(t, queue_has_a_bound);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
