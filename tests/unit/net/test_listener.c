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
	unit_turns(50);
	own = taken;
	ck_assert_uint_lt(own, 40);              /* 2^-40: all hashed to ours */
	listener_serve(&l, 1, true);
	listener_serve(&l, 1, true);
	RUN(taken == 40);
	listener_serve(&l, 1, false);
	clients(40);
	unit_turns(50);
	ck_assert_uint_lt(taken, 80);
	ck_assert_uint_gt(taken, 40);
	listener_serve(&l, 1, true);
	RUN(taken == 80);
}
END_TEST

/* One client a turn as long as that is enough; more when they wait. */
START_TEST(test_a_full_queue_is_taken_faster)
{
	unsigned turns = 0;

	ck_assert_int_eq(listener_start(E, &l, 0), 0);
	listener_serve(&l, 1, true);
	clients(60);
	for (; taken < 60 && turns < 1000; turns++)
		unit_turns(1);
	ck_assert_uint_eq(taken, 60);
	ck_assert_uint_lt(turns, 45);
	unit_turns(1);
	ck_assert_uint_eq(taken, 60);
}
END_TEST

/* Without an event: what another worker was woken for, and left. */
START_TEST(test_look_takes_what_is_everybodys)
{
	unsigned before;

	l.shared = true;
	ck_assert_int_eq(listener_start(E, &l, 1), 0);
	clients(40);
	listener_pause_all(true);
	listener_look();
	ck_assert_uint_eq(taken, 0);
	listener_pause_all(false);
	for (int i = 0; i < 100; i++)
		listener_look();
	ck_assert_uint_gt(taken, 0);             /* 2^-40: all hashed to the other socket */
	ck_assert_uint_lt(taken, 40);
	before = taken;
	listener_look();
	ck_assert_uint_eq(taken, before);
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

/* Every other client is another core's: what is taken there is not made a connection here; given back, it is. */
static int passed[40];
static unsigned asked, n_passed, n_told;
static bool last_told;

static bool every_other(struct listener *x, int fd, const struct addr *peer)
{
	ck_assert_ptr_eq(x, &l);
	ck_assert_int_eq(peer->sa.sa_family, AF_INET);
	if (asked++ % 2)
		return false;
	passed[n_passed++] = fd;
	return true;
}

static void on_pause(bool paused)
{
	n_told++;
	last_told = paused;
}

START_TEST(test_another_core_has_it)
{
	struct addr peer = { .in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
	struct rlimit was, few;
	int fd;

	l.elsewhere = every_other;
	ck_assert_int_eq(listener_start(E, &l, 0), 0);
	listener_serve(&l, 1, true);
	clients(40);
	RUN(asked == 40);
	ck_assert_uint_eq(taken, 20);
	ck_assert_uint_eq(n_passed, 20);
	for (unsigned i = 0; i < 19; i++)
		listener_admit(&l, passed[i], &peer);
	ck_assert_uint_eq(taken, 39);
	ck_assert_uint_eq(asked, 40);            /* it is not asked for again */
	/* what is admitted needs a descriptor that is for clients, too */
	listener_on_pause(on_pause);
	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = 400;
	setrlimit(RLIMIT_NOFILE, &few);
	fd = fcntl(passed[19], F_DUPFD_CLOEXEC, 399);
	close(passed[19]);
	listener_stop(&l);
	ck_assert_int_eq(listener_start(E, &l, 0), 0);
	listener_admit(&l, fd, &peer);
	ck_assert_uint_eq(taken, 39);
	ck_assert(n_told == 1 && last_told);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	setrlimit(RLIMIT_NOFILE, &was);
	RUN(n_told == 2 && !last_told);
	listener_on_pause(NULL);
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

static struct conn *kept[64];
static unsigned n_kept, told;
static void on_kept(struct listener *x, struct conn *c)
{
	static const struct conn_ops ops = { 0 };

	(void)x;
	kept[n_kept++] = c;
	conn_start(c, &ops, NULL);
}
static void on_short(void)
{
	told++;
}
/* Closes the oldest, as http does with idle clients. */
static void close_four(void)
{
	told++;
	for (unsigned i = 0; i < 4; i++)
		conn_abort(&kept[i]);
}

/* Clients never get the last descriptors: who owns the rest (checks, services) still finds some. */
START_TEST(test_reserve_is_not_for_clients)
{
	struct rlimit was, few;
	int mine[40], more[64], n = 0, fd;

	for (int i = 0; i < 40; i++)
		mine[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	getrlimit(RLIMIT_NOFILE, &was);
	fd = open("/dev/null", O_RDONLY);
	few = was;
	few.rlim_cur = (rlim_t)fd + 30;
	ck_assert_uint_lt(few.rlim_cur, 320);    /* the reserve is 16 */
	setrlimit(RLIMIT_NOFILE, &few);
	n_kept = told = 0;
	l.accepted = on_kept;
	listener_on_shortage(on_short);
	ck_assert_int_eq(listener_start(E, &l, 0), 0);
	listener_serve(&l, 1, true);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(connect(mine[i], &l.addr.sa, sizeof(l.addr.in)), 0);
	RUN(told >= 3);
	ck_assert_uint_le(n_kept, 14);
	ck_assert_uint_ge(n_kept, 10);
	while (n < 64 && (more[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	ck_assert_int_ge(n, 16);
	while (n)
		close(more[--n]);
	/* room is made: the next get in, as many as were closed */
	fd = (int)n_kept;
	listener_on_shortage(close_four);
	RUN(n_kept == (unsigned)fd + 4);
	listener_on_shortage(NULL);
	setrlimit(RLIMIT_NOFILE, &was);
	for (unsigned i = 0; i < n_kept; i++)
		conn_abort(&kept[i]);
	for (int i = 0; i < 40; i++)
		close(mine[i]);
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
	tcase_add_test(t, test_a_full_queue_is_taken_faster);
	tcase_add_test(t, test_look_takes_what_is_everybodys);
	tcase_add_test(t, test_pause_all);
	tcase_add_test(t, test_another_core_has_it);
	tcase_add_test(t, test_descriptors_run_out);
	tcase_add_test(t, test_reserve_is_not_for_clients);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	bad = srunner_ntests_failed(sr);
	srunner_free(sr);
	return bad != 0;
}
