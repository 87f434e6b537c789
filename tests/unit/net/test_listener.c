/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_listener.c - serving sockets of several cores, adoption, pausing, shortage of descriptors
 */
#include "net_unit.h"

#include <sys/resource.h>

#include "net/listener.h"
#include "stat/stat.h"

static unsigned taken;
static void on_accepted(struct listener *l, struct conn *c)
{
	(void)l;
	taken++;
	conn_abort(&c);
}

static int fds[2];
static struct listener l;

static void start(void)
{
	struct addr a;
	struct listener_opts o = { .backlog = 64 };
	socklen_t n = sizeof(a);

	unit_start();
	memset(&a, 0, sizeof(a));
	a.in.sin_family = AF_INET;
	a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fds[0] = listener_open(&a, &o);
	ck_assert_int_ge(fds[0], 0);
	ck_assert_int_eq(getsockname(fds[0], &a.sa, &n), 0);
	fds[1] = listener_open(&a, &o);
	ck_assert_int_ge(fds[1], 0);
	l = (struct listener){ .addr = a, .n_fds = 2, .fds = fds, .accepted = on_accepted, .row = STAT_NO_ROW };
	taken = 0;
}
static void end(void)
{
	listener_stop(&l);
	close(fds[0]);
	close(fds[1]);
	unit_end();
}

/* Connects n clients and leaves them; the kernel spreads them over both sockets. */
static void clients(unsigned n)
{
	while (n--) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		ck_assert_int_eq(connect(fd, &l.addr.sa, sizeof(l.addr.in)), 0);
		close(fd);
	}
}

START_TEST(test_adoption)
{
	unsigned own;

	ck_assert_int_eq(listener_start(E, &l, 0), 0);
	clients(40);
	RUN(taken > 0);
	unit_turns(5);
	own = taken;
	ck_assert_uint_lt(own, 40);              /* 2^-40: all hashed to ours */
	listener_serve(&l, 1, true);
	listener_serve(&l, 1, true);
	RUN(taken == 40);
	listener_serve(&l, 1, false);
	clients(40);
	unit_turns(10);
	ck_assert_uint_lt(taken, 80);
	ck_assert_uint_gt(taken, 40);
	listener_serve(&l, 1, true);
	RUN(taken == 80);
}
END_TEST

START_TEST(test_pause_all)
{
	ck_assert_int_eq(listener_start(E, &l, 0), 0);
	listener_serve(&l, 1, true);
	listener_pause_all(true);
	clients(10);
	unit_turns(10);
	ck_assert_uint_eq(taken, 0);
	listener_pause_all(false);
	RUN(taken == 10);
}
END_TEST

START_TEST(test_descriptors_run_out)
{
	struct rlimit was, few;
	uint64_t turns0, turns1, x;
	int hold[64], n = 0, fd;

	ck_assert_int_eq(listener_start(E, &l, 0), 0);
	listener_serve(&l, 1, true);
	clients(20);
	getrlimit(RLIMIT_NOFILE, &was);
	fd = open("/dev/null", O_RDONLY);
	few = was;
	few.rlim_cur = (rlim_t)fd + 8;
	setrlimit(RLIMIT_NOFILE, &few);
	while (n < 64 && (hold[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	unit_turns(5);
	ck_assert_uint_eq(taken, 0);
	/* it backs off instead of spinning: with a sleep of its own choice, few turns pass */
	engine_load(E, &turns0, &x, &x);
	engine_max_sleep_ms(E, 100);
	for (uint64_t until = env_now_us() + 300000; env_now_us() < until; )
		unit_turns(1);
	engine_load(E, &turns1, &x, &x);
	ck_assert_uint_le(turns1 - turns0, 40);
	while (n)
		close(hold[--n]);
	setrlimit(RLIMIT_NOFILE, &was);
	close(fd);
	/* some were turned away with the reserved descriptor, the rest is served */
	RUN(taken >= 5);
	clients(3);
	x = taken;
	RUN(taken >= x + 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net/listener");
	TCase *t = tcase_create("listener");
	SRunner *sr;
	int bad;

	tcase_add_checked_fixture(t, start, end);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_adoption);
	tcase_add_test(t, test_pause_all);
	tcase_add_test(t, test_descriptors_run_out);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	bad = srunner_ntests_failed(sr);
	srunner_free(sr);
	return bad != 0;
}
