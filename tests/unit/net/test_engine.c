/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_engine.c - the turn: order of its parts, sleeping, ticks, signals, frees under pending events
 */
#include "net_unit.h"

#include <signal.h>

static char order[64];
static size_t order_n;
static void note(char ch)
{
	if (order_n < sizeof(order) - 1)
		order[order_n++] = ch;
	order[order_n] = '\0';
}

static struct engine_job job, again;
static unsigned again_left;
static void on_job(struct engine_job *j) { (void)j; note('j'); }
static void on_again(struct engine_job *j)
{
	note('a');
	if (--again_left)
		engine_defer(E, j);
}
static void on_flush(struct engine_hook *h) { (void)h; note('f'); }
static void on_turn(struct engine_hook *h) { (void)h; note('t'); }
static void on_free(void *obj) { (void)obj; note('x'); }
static void on_timer(struct timer *t)
{
	(void)t;
	note('T');
	engine_defer(E, &job);
	engine_free_later(E, NULL, on_free);
}

START_TEST(test_order_of_a_turn)
{
	struct engine_hook flush = { .fn = on_flush }, turn = { .fn = on_turn };
	struct timer t;

	order_n = 0;
	list_init(&flush.link);
	list_init(&turn.link);
	engine_on_flush(E, &flush);
	engine_on_turn(E, &turn);
	engine_job_init(&job, on_job);
	timer_init(&t, on_timer);
	engine_timer(E, &t, 0);
	RUN(strchr(order, 'T'));
	ck_assert_ptr_nonnull(strstr(order, "Tjfxt"));
	list_del(&flush.link);
	list_del(&turn.link);
}
END_TEST

START_TEST(test_job_that_requeues_leaves_turns_between)
{
	struct engine_hook turn = { .fn = on_turn };

	order_n = 0;
	list_init(&turn.link);
	engine_on_turn(E, &turn);
	engine_job_init(&again, on_again);
	again_left = 3;
	engine_defer(E, &again);
	engine_defer(E, &again);          /* once at a time */
	engine_max_sleep_ms(E, 60000);    /* and without sleeping in between */
	RUN(again_left == 0);
	ck_assert_str_eq(order, "atatat");
	list_del(&turn.link);
}
END_TEST

static void tick(void *ctx) { ++*(unsigned *)ctx; }

START_TEST(test_tick_starts_and_stops)
{
	unsigned n = 0, before;

	engine_max_sleep_ms(E, 20);
	ck_assert_int_eq(engine_tick(E, 2000, 500, tick, &n), 0);
	RUN(n >= 5);
	ck_assert_int_eq(engine_tick(E, 0, 0, NULL, NULL), 0);
	before = n;
	unit_turns(3);
	ck_assert_uint_eq(n, before);
}
END_TEST

static void on_signal(void *ctx, int signo) { *(int *)ctx = signo; }

START_TEST(test_signal_arrives_in_the_loop)
{
	int got = 0;

	ck_assert_int_eq(engine_signal(E, SIGUSR2, on_signal, &got), 0);
	raise(SIGUSR2);
	ck_assert_int_eq(got, 0);
	RUN(got == SIGUSR2);
	ck_assert_int_eq(engine_signal(E, 0, on_signal, &got), -EINVAL);
}
END_TEST

START_TEST(test_idle_engine_sleeps)
{
	uint64_t turns, busy, longest, after;
	struct timer t;

	engine_load(E, &turns, &busy, &longest);
	timer_init(&t, on_timer);
	engine_job_init(&job, on_job);
	engine_max_sleep_ms(E, 0);
	order_n = 0;
	order[0] = '\0';
	engine_timer(E, &t, 300);
	RUN(strchr(order, 'T'));
	engine_load(E, &after, &busy, &longest);
	ck_assert_uint_le(after - turns, 6);      /* 20 a second are allowed */
	engine_max_sleep_ms(E, 1);
	unit_turns(2);
}
END_TEST

/* An event in each turn, until it is told to stop. */
struct mill {
	struct engine_fd f;
	int      peer;
	bool     stop;
	unsigned turned;
};
static void on_mill(struct engine_fd *f, unsigned events)
{
	struct mill *m = FL_CONTAINER_OF(f, struct mill, f);
	char ch;

	if (!(events & ENGINE_READ) || read(f->fd, &ch, 1) != 1)
		return;
	m->turned++;
	if (!m->stop)
		ck_assert_int_eq(write(m->peer, "x", 1), 1);
}
static void on_late(struct timer *t) { (void)t; note('L'); }

START_TEST(test_under_load_everything_else_has_its_turn)
{
	struct mill m = { .f = { .fn = on_mill } };
	uint64_t turns, busy, longest, after;
	unsigned ticks = 0;
	struct timer t;
	int fd[2], got = 0;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	m.f.fd = fd[0];
	m.peer = fd[1];
	ck_assert_int_eq(engine_add_reader(E, &m.f), 0);
	ck_assert_int_eq(write(m.peer, "x", 1), 1);
	engine_max_sleep_ms(E, 60000);
	RUN(m.turned > 1000);
	order_n = 0;
	order[0] = '\0';
	timer_init(&t, on_late);
	engine_timer(E, &t, 30);
	ck_assert_int_eq(engine_tick(E, 1000, 0, tick, &ticks), 0);
	ck_assert_int_eq(engine_signal(E, SIGUSR2, on_signal, &got), 0);
	raise(SIGUSR2);
	RUN(got == SIGUSR2);
	RUN(ticks > 5 && strchr(order, 'L'));
	engine_job_init(&again, on_again);
	again_left = 3;
	engine_defer(E, &again);
	RUN(again_left == 0);
	ck_assert_int_eq(engine_tick(E, 0, 0, NULL, NULL), 0);
	m.stop = true;
	engine_timer(E, &t, 300);         /* and when it is over it sleeps */
	order_n = 0;
	order[0] = '\0';
	engine_load(E, &turns, &busy, &longest);
	RUN(strchr(order, 'L'));
	engine_load(E, &after, &busy, &longest);
	ck_assert_uint_le(after - turns, 12);
	after = m.turned;
	m.stop = false;
	ck_assert_int_eq(write(m.peer, "x", 1), 1);
	RUN(m.turned > after + 1000);     /* woken by libev again */
	engine_del(E, &m.f);
	close(fd[0]);
	close(fd[1]);
	engine_max_sleep_ms(E, 1);
}
END_TEST

static unsigned watched;
static void on_watch(struct engine_watch *w, unsigned events)
{
	char ch;

	if (events & ENGINE_READ)
		watched++;
	if (watched % 2 == 0 && read(w->fd, &ch, 1) == 1 && ch == 'q')
		engine_unwatch(E, w);
}

START_TEST(test_watch_is_level_triggered)
{
	struct engine_watch w = { .fn = on_watch };
	int fd[2];

	ck_assert_int_eq(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
	w.fd = fd[0];
	watched = 0;
	ck_assert_int_eq(engine_watch(E, &w, ENGINE_READ), 0);
	ck_assert_int_eq(write(fd[1], "a", 1), 1);
	RUN(watched == 2);
	unit_turns(3);
	ck_assert_uint_eq(watched, 2);
	ck_assert_int_eq(engine_watch(E, &w, 0), 0);
	ck_assert_int_eq(write(fd[1], "q", 1), 1);
	unit_turns(3);
	ck_assert_uint_eq(watched, 2);
	ck_assert_int_eq(engine_watch(E, &w, ENGINE_READ), 0);
	RUN(watched == 4);
	ck_assert_ptr_null(w.priv);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

/* Two descriptors are ready in one batch; the first event closes the second one's owner. */
struct twin {
	struct engine_fd f;
	struct twin     *other;
	unsigned         events;
};
static void free_twin(void *obj) { memset(obj, 0x5a, sizeof(struct twin)); free(obj); }
static void on_twin(struct engine_fd *f, unsigned events)
{
	struct twin *t = FL_CONTAINER_OF(f, struct twin, f);

	(void)events;
	t->events++;
	if (t->other) {
		engine_del(E, &t->other->f);
		close(t->other->f.fd);
		t->other->f.fd = -1;
		t->other->other = NULL;
		engine_free_later(E, t->other, free_twin);
		t->other = NULL;
	}
}

START_TEST(test_closed_in_the_same_batch)
{
	for (int round = 0; round < 50; round++) {
		struct twin *t[2];
		int fd[2][2];
		unsigned alive = 0;

		for (int i = 0; i < 2; i++) {
			ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd[i]), 0);
			t[i] = calloc(1, sizeof(*t[i]));
			t[i]->f.fd = fd[i][0];
			t[i]->f.fn = on_twin;
			ck_assert_int_eq(engine_add(E, &t[i]->f), 0);
		}
		t[0]->other = t[1];
		t[1]->other = t[0];
		ck_assert_int_eq(write(fd[0][1], "x", 1) + write(fd[1][1], "x", 1), 2);
		unit_turns(2);
		/* one of both is freed; the descriptor says which */
		for (int i = 0; i < 2; i++)
			if (fcntl(fd[i][0], F_GETFD) >= 0) {
				alive++;
				ck_assert_uint_ge(t[i]->events, 1);
				engine_del(E, &t[i]->f);
				close(fd[i][0]);
				free(t[i]);
			}
		ck_assert_uint_eq(alive, 1);
		close(fd[0][1]);
		close(fd[1][1]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net/engine");
	TCase *t = tcase_create("engine");
	SRunner *sr;
	int bad;

	tcase_add_checked_fixture(t, unit_start, unit_end);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_under_load_everything_else_has_its_turn);
	tcase_add_test(t, test_order_of_a_turn);
	tcase_add_test(t, test_job_that_requeues_leaves_turns_between);
	tcase_add_test(t, test_tick_starts_and_stops);
	tcase_add_test(t, test_signal_arrives_in_the_loop);
	tcase_add_test(t, test_idle_engine_sleeps);
	tcase_add_test(t, test_watch_is_level_triggered);
	tcase_add_test(t, test_closed_in_the_same_batch);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	bad = srunner_ntests_failed(sr);
	srunner_free(sr);
	return bad != 0;
}
