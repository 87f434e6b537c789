/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_udp.c - flows and their sockets: a host of two services, clients and services driven by hand
 */
#include "../heapcount.h"
#include "net_unit.h"

#include <netinet/udp.h>
#include <sys/resource.h>

#include "net/udp_int.h"

static int fds[2];
static struct udp_listener l;
static struct udp_service svc[2];
static int origin[2];                    /* sockets of the services */
static struct addr at[2];
static bool good[2];
static int refuse_with;                  /* counter that open() says; 0: none */
static unsigned opened, closed, next_svc, responses;
static uint32_t idle_ms;
static bool strange;                     /* the host was told something odd */

static int on_open(struct udp_listener *ll, const struct addr *client, const struct addr *local,
		   const struct udp_service *avoid, struct udp_route *out)
{
	unsigned i = next_svc;

	/* no ck_assert here, which takes memory */
	strange |= ll != &l || client->sa.sa_family != AF_INET || !addr_eq(local, &l.addr);
	if (refuse_with)
		return refuse_with;
	if (avoid == &svc[i] || !good[i])
		i = !i;
	*out = (struct udp_route){ .service = &svc[i],
				   .to = at[i],
				   .idle_ms = idle_ms,
				   .responses = (uint16_t)responses };
	opened++;
	return 0;
}
static void on_adopt(struct udp_listener *ll, struct udp_service *s)
{
	(void)ll;
	(void)s;
	opened++;
}
static void on_close(struct udp_listener *ll, struct udp_service *s)
{
	(void)ll;
	(void)s;
	closed++;
}
static bool on_is_good(const struct udp_service *s)
{
	return good[s - svc];
}
static const struct udp_host host = { on_open, on_adopt, on_close, on_is_good };

static int udp_socket(struct addr *a)
{
	socklen_t n = sizeof(*a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memset(a, 0, sizeof(*a));
	a->in.sin_family = AF_INET;
	a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, &a->sa, sizeof(a->in)), 0);
	ck_assert_int_eq(getsockname(fd, &a->sa, &n), 0);
	return fd;
}

static void start_with(unsigned max_flows)
{
	struct addr a;
	socklen_t n = sizeof(a);

	unit_start();
	ck_assert_int_eq(udp_init(E, &host, max_flows), 0);
	memset(&a, 0, sizeof(a));
	a.in.sin_family = AF_INET;
	a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fds[0] = udp_open(&a, false, NULL);
	ck_assert_int_ge(fds[0], 0);
	ck_assert_int_eq(getsockname(fds[0], &a.sa, &n), 0);
	fds[1] = udp_open(&a, false, NULL);
	ck_assert_int_ge(fds[1], 0);
	l = (struct udp_listener){ .addr = a, .n_fds = 2, .fds = fds };
	ck_assert_int_eq(udp_start(&l), 0);
	for (unsigned i = 0; i < 2; i++) {
		svc[i] = (struct udp_service){ .rest_max = 8, .rest_age_ms = 60000 };
		udp_service_init(&svc[i]);
		origin[i] = udp_socket(&at[i]);
		good[i] = true;
		udp_serve(&l, i, true);
	}
	refuse_with = 0;
	opened = closed = next_svc = responses = 0;
	idle_ms = 60000;
}
static void start(void)
{
	start_with(0);
}
static void end(void)
{
	udp_leave(&l);
	udp_fini();
	ck_assert_uint_eq(opened, closed);
	ck_assert(!strange);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(svc[i].n_resting, 0);
		close(fds[i]);
		if (origin[i] >= 0)
			close(origin[i]);
	}
	unit_end();
}

static int client(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, &l.addr.sa, sizeof(l.addr.in)), 0);
	return fd;
}

static char got[65536];
static struct addr from;
/* A datagram came to fd: it is in got, and who sent it in from. */
static bool came(int fd)
{
	socklen_t n = sizeof(from);
	ssize_t r = recvfrom(fd, got, sizeof(got) - 1, 0, &from.sa, &n);

	if (r >= 0)
		got[r] = '\0';
	return r >= 0;
}
static void answer(unsigned i, const char *z)
{
	ck_assert_int_eq(sendto(origin[i], z, strlen(z), 0, &from.sa, sizeof(from.in)),
			 (ssize_t)strlen(z));
}
/* One question and its answer. */
static void ask(int c, unsigned i, const char *z)
{
	peer_send(c, z);
	RUN(came(origin[i]));
	ck_assert_str_eq(got, z);
	answer(i, z);
	RUN(came(c));
	ck_assert_str_eq(got, z);
}

START_TEST(test_there_and_back)
{
	int c = client(), d = client();
	uint16_t port;

	ask(c, 0, "one");
	port = addr_port(&from) == addr_port(&l.addr) ? 0 : 1;
	ck_assert_uint_eq(port, 0);              /* the answer came from the listener */
	peer_send(c, "two");
	RUN(came(origin[0]));
	port = addr_port(&from);
	next_svc = 1;
	ask(d, 1, "other");
	peer_send(c, "three");                   /* stays where it is */
	RUN(came(origin[0]));
	ck_assert_uint_eq(addr_port(&from), port);
	ck_assert_uint_eq(opened, 2);
	ck_assert_uint_eq(udp_flows(), 2);
	close(c);
	close(d);
}
END_TEST

START_TEST(test_idle)
{
	int c = client();

	idle_ms = 60;
	for (unsigned i = 0; i < 10; i++) {
		ask(c, 0, "x");
		engine_max_sleep_ms(E, 20);
		unit_turns(1);
	}
	ck_assert_uint_eq(opened, 1);
	RUN(udp_flows() == 0);
	ck_assert_uint_eq(closed, 1);
	ask(c, 0, "again");
	ck_assert_uint_eq(opened, 2);
	close(c);
}
END_TEST

START_TEST(test_limit)
{
	int c[4];

	for (unsigned i = 0; i < 4; i++) {
		c[i] = client();
		peer_send(c[i], "x");
	}
	RUN(udp_flows() == 3);
	unit_turns(5);
	ck_assert_uint_eq(udp_flows(), 3);
	ck_assert_uint_eq(opened, 3);
	for (unsigned i = 0; i < 4; i++)
		close(c[i]);
}
END_TEST

START_TEST(test_refused_by_the_host)
{
	int c = client();

	refuse_with = CTR_VSERVER_DENIED;
	peer_send(c, "no");
	unit_turns(10);
	ck_assert_uint_eq(udp_flows(), 0);
	ck_assert_uint_eq(udp_mod.flows.live, 0);
	refuse_with = 0;
	ask(c, 0, "yes");
	close(c);
}
END_TEST

START_TEST(test_service_gone)
{
	int c = client();

	ask(c, 0, "x");
	good[0] = false;
	ask(c, 1, "y");
	ck_assert_uint_eq(udp_flows(), 1);
	ck_assert_uint_eq(opened, 2);
	ck_assert_uint_eq(closed, 1);
	close(c);
}
END_TEST

START_TEST(test_unreachable)
{
	int c = client();

	ask(c, 0, "x");
	close(origin[0]);
	origin[0] = -1;
	peer_send(c, "lost");
	unit_turns(10);
	ask(c, 1, "anew");
	ck_assert_uint_eq(udp_flows(), 1);
	close(c);
}
END_TEST

/* The error is there before the loop has told of it: what was to be sent goes elsewhere. */
START_TEST(test_unreachable_when_sending)
{
	struct udp_flow *f;
	size_t walk = 0;
	int c = client(), err;

	ask(c, 0, "x");
	ck_assert_uint_eq(udp_walk(&walk, &f, 1), 1);
	close(origin[0]);
	origin[0] = -1;
	err = (int)send(udp_flow_fd(f), "y", 1, 0);
	ck_assert_int_eq(err, 1);                /* now ECONNREFUSED waits in the socket */
	f->up->e.fn = NULL;
	engine_del(E, &f->up->e);                /* and nobody will tell */
	peer_send(c, "z");
	RUN(came(origin[1]));
	ck_assert_str_eq(got, "z");
	ck_assert_uint_eq(udp_flows(), 1);
	close(c);
}
END_TEST

/* Responses -------------------------------------------------------------------------------- */

START_TEST(test_own_socket_again)
{
	int c = client();
	uint16_t port = 0;

	responses = 1;
	for (unsigned i = 0; i < 20; i++) {
		peer_send(c, "q");
		RUN(came(origin[0]));
		ck_assert(!port || port == addr_port(&from));
		port = addr_port(&from);
		answer(0, "a");
		RUN(came(c));
		ck_assert_uint_eq(udp_flows(), 0);
		ck_assert_uint_eq(svc[0].n_resting, 1);
	}
	ck_assert_uint_eq(opened, 20);
	ck_assert_uint_eq(udp_mod.ups.live, 1);
	ck_assert_uint_eq(udp_mod.flows.live, 1);
	close(c);
}
END_TEST

static void let_rest(void)
{
	for (uint64_t until = env_now_us() + (UDP_REST_MS + 30) * 1000; env_now_us() < until; )
		unit_turns(1);
}

START_TEST(test_socket_changes_hands_after_a_rest)
{
	int c[3] = { client(), client(), client() };

	responses = 1;
	ask(c[0], 0, "0");
	ask(c[1], 0, "1");                       /* too early for the first one's */
	ck_assert_uint_eq(udp_mod.ups.live, 2);
	let_rest();
	ask(c[2], 0, "2");
	ck_assert_uint_eq(udp_mod.ups.live, 2);
	ck_assert_uint_eq(udp_mod.flows.live, 2);        /* the first client is forgotten */
	ask(c[0], 0, "3");
	ck_assert_uint_eq(udp_mod.ups.live, 2);
	for (unsigned i = 0; i < 3; i++)
		close(c[i]);
}
END_TEST

START_TEST(test_stray_closes_a_resting_socket)
{
	int c = client(), d = client();

	responses = 1;
	peer_send(c, "q");
	RUN(came(origin[0]));
	answer(0, "a");
	RUN(svc[0].n_resting == 1);
	answer(0, "late");
	RUN(svc[0].n_resting == 0);
	ck_assert_uint_eq(udp_mod.flows.live, 0);
	RUN(came(c));
	unit_turns(5);
	ck_assert(!came(c));
	ask(d, 0, "mine");
	close(c);
	close(d);
}
END_TEST

/* Who sent a stray once may do it again, and later than a rest takes. */
START_TEST(test_mistrust)
{
	int c[3] = { client(), client(), client() };
	struct addr socket_of_1;

	responses = 1;
	ask(c[0], 0, "0");
	peer_send(c[1], "q");
	RUN(came(origin[0]));
	answer(0, "a");
	socket_of_1 = from;
	RUN(came(c[1]));
	ck_assert_uint_eq(svc[0].n_resting, 2);
	from = socket_of_1;
	answer(0, "again");
	RUN(svc[0].n_resting == 1);
	let_rest();
	ask(c[2], 0, "2");
	ck_assert_uint_eq(udp_mod.ups.live, 2);
	ask(c[0], 0, "3");                       /* its own it may have */
	ck_assert_uint_eq(udp_mod.ups.live, 2);
	svc[0].mistrust_ms = 0;
	let_rest();
	ask(c[1], 0, "4");
	ck_assert_uint_eq(udp_mod.ups.live, 2);
	for (unsigned i = 0; i < 3; i++)
		close(c[i]);
}
END_TEST

/* It came, but the loop has not seen it when the next client wants the socket. */
START_TEST(test_stray_is_looked_for)
{
	int c = client(), d = client();

	responses = 1;
	peer_send(c, "q");
	RUN(came(origin[0]));
	answer(0, "a");
	RUN(svc[0].n_resting == 1);
	let_rest();
	engine_del(E, &LIST_ENTRY(svc[0].resting.next, struct udp_up, link)->e);
	answer(0, "late");
	ask(d, 0, "mine");
	ck_assert(!came(d));
	close(c);
	close(d);
}
END_TEST

START_TEST(test_an_answer_too_many)
{
	int c = client();

	responses = 1;
	peer_send(c, "q");
	RUN(came(origin[0]));
	answer(0, "a");
	answer(0, "b");                          /* both are there when the socket is read */
	RUN(udp_flows() == 0);
	ck_assert_uint_eq(svc[0].n_resting, 0);
	RUN(came(c));
	RUN(came(c));                            /* still its own */
	close(c);
}
END_TEST

START_TEST(test_answers_that_never_come)
{
	int c = client();

	responses = 2;
	idle_ms = 50;
	peer_send(c, "q");
	RUN(came(origin[0]));
	answer(0, "one of two");
	RUN(came(c));
	ck_assert_uint_eq(udp_waiting(), 1);
	RUN(udp_flows() == 0);
	ck_assert_uint_eq(svc[0].n_resting, 0);
	ck_assert_uint_eq(udp_waiting(), 0);
	close(c);
}
END_TEST

START_TEST(test_no_more_rest_than_allowed)
{
	int c[12];

	responses = 1;
	for (unsigned i = 0; i < 12; i++) {
		c[i] = client();
		ask(c[i], 0, "x");
	}
	ck_assert_uint_eq(svc[0].n_resting, 8);
	ck_assert_uint_eq(udp_mod.flows.live, 8);
	udp_service_trim(&svc[0]);
	ck_assert_uint_eq(udp_mod.flows.live, 0);
	for (unsigned i = 0; i < 12; i++)
		close(c[i]);
}
END_TEST

START_TEST(test_rest_ends)
{
	int c = client();

	responses = 1;
	svc[0].rest_age_ms = 100;
	ask(c, 0, "x");
	ck_assert_uint_eq(svc[0].n_resting, 1);
	RUN(svc[0].n_resting == 0);
	close(c);
}
END_TEST

START_TEST(test_descriptors_run_out)
{
	struct rlimit was, few;
	int c = client(), d = client(), hold[256], n = 0;

	responses = 1;
	ask(c, 0, "x");                          /* one rests */
	next_svc = 1;
	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = 200;
	setrlimit(RLIMIT_NOFILE, &few);
	while (n < 256 && (hold[n] = dup(0)) >= 0)
		n++;
	ask(d, 1, "takes its place");
	ck_assert_uint_eq(svc[0].n_resting, 0);
	responses = 0;
	udp_service_trim(&svc[1]);
	hold[n++] = dup(0);
	peer_send(c, "no room");
	unit_turns(10);
	ck_assert_uint_eq(udp_flows(), 0);
	while (n)
		close(hold[--n]);
	setrlimit(RLIMIT_NOFILE, &was);
	ask(c, 1, "room again");
	close(c);
	close(d);
}
END_TEST

/* Batches ---------------------------------------------------------------------------------- */

START_TEST(test_couples)
{
	static const struct {
		const char *name;
		unsigned    n;
		struct { uint32_t len; uint16_t seg; bool join; } in[8];
		unsigned    messages;
		unsigned    count[8];
	} cases[] = {
		{ "alone", 1, { { 100, 0, false } }, 1, { 1 } },
		{ "equal", 3, { { 100, 0, true }, { 100, 0, true }, { 100, 0, true } }, 1, { 3 } },
		{ "shorter ends it",
		  3,
		  { { 100, 0, true }, { 99, 0, true }, { 100, 0, true } },
		  2,
		  { 2, 1 } },
		{ "longer begins anew", 2, { { 100, 0, true }, { 101, 0, true } }, 2, { 1, 1 } },
		{ "empty is alone",
		  3,
		  { { 0, 0, true }, { 0, 0, true }, { 5, 0, true } },
		  3,
		  { 1, 1, 1 } },
		{ "empty after some", 2, { { 5, 0, true }, { 0, 0, true } }, 2, { 1, 1 } },
		{ "another way", 2, { { 100, 0, true }, { 100, 0, false } }, 2, { 1, 1 } },
		{ "trains", 2, { { 1000, 100, true }, { 500, 100, true } }, 1, { 15 } },
		{ "train with a short end",
		  2,
		  { { 950, 100, true }, { 100, 0, true } },
		  2,
		  { 10, 1 } },
		{ "single, then train", 2, { { 100, 0, true }, { 250, 100, true } }, 1, { 4 } },
		{ "single, then another train",
		  2,
		  { { 90, 0, true }, { 250, 100, true } },
		  2,
		  { 1, 3 } },
		{ "too many", 2, { { 6000, 100, true }, { 500, 100, true } }, 2, { 60, 5 } },
		{ "too long", 2, { { 60000, 6000, true }, { 6000, 0, true } }, 2, { 10, 1 } },
	};
	static struct udp_out o;
	static char bytes[UDP_BUF];

	for (size_t k = 0; k < FL_ARRAY_LEN(cases); k++) {
		udp_out_reset(&o);
		for (unsigned i = 0; i < cases[k].n; i++)
			(void)udp_out_add(&o, bytes, cases[k].in[i].len, cases[k].in[i].seg,
					  cases[k].in[i].join);
		ck_assert_msg(o.n == cases[k].messages, "%s: %u messages", cases[k].name, o.n);
		for (unsigned i = 0; i < o.n; i++)
			ck_assert_msg(o.count[i] == cases[k].count[i], "%s: %u in message %u",
				      cases[k].name, o.count[i], i);
	}
}
END_TEST

static unsigned fill(struct udp_out *o, char *p, unsigned n, unsigned len)
{
	udp_out_reset(o);
	for (unsigned i = 0; i < n; i++) {
		memset(p + i * len, 'a' + (int)i, len);
		(void)udp_out_add(o, p + i * len, len, 0, true);
	}
	return o->n;
}

/* A path that is too narrow for one of the train refuses it whole: singly they go as fragments. */
START_TEST(test_train_refused)
{
	static struct udp_out o;
	static char bytes[UDP_BUF];
	struct addr a;
	struct udp_sent s = { 0 };
	int to = udp_socket(&a), fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), no = 1;

	ck_assert_int_eq(connect(fd, &a.sa, sizeof(a.in)), 0);
	/* without checksums the kernel cannot segment: EIO */
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &no, sizeof(no)), 0);
	ck_assert_uint_eq(fill(&o, bytes, 5, 700), 1);
	ck_assert(udp_out_send(&o, fd, true, &s));
	ck_assert(s.no_trains);
	ck_assert_uint_eq(s.datagrams, 5);
	ck_assert_uint_eq(s.bytes, 3500);
	ck_assert_uint_eq(s.drops, 0);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert(came(to));
		ck_assert_uint_eq(strlen(got), 700);
		ck_assert_int_eq(got[699], 'a' + (int)i);
	}
	close(fd);
	close(to);
}
END_TEST

START_TEST(test_system_takes_no_more)
{
	static struct udp_out o;
	static char bytes[UDP_BUF];
	struct udp_sent s = { 0 };
	struct addr a;
	int to = udp_socket(&a), fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	ck_assert_int_eq(connect(fd, &a.sa, sizeof(a.in)), 0);
	udp_out_reset(&o);
	for (unsigned i = 0; i < 3; i++)
		(void)udp_out_add(&o, bytes, 65535, 0,
				  false); /* longer than a datagram can be: EMSGSIZE */
	(void)udp_out_add(&o, bytes, 10, 0, false);
	ck_assert(udp_out_send(&o, fd, true, &s));
	ck_assert_uint_eq(s.drops, 3);
	ck_assert_uint_eq(s.datagrams, 1);
	ck_assert(came(to));
	close(fd);
	close(to);
}
END_TEST

/* As ask(); but each ck_assert takes memory. False: no answer for too long. */
static bool quiet_ask(int c, unsigned i)
{
	unsigned turns = 0;

	if (send(c, "x", 1, 0) != 1)
		return false;
	while (!came(origin[i]) && turns++ < 1000)
		unit_turns(1);
	if (sendto(origin[i], "y", 1, 0, &from.sa, sizeof(from.in)) != 1)
		return false;
	while (!came(c) && turns++ < 1000)
		unit_turns(1);
	return turns < 1000;
}
static bool quiet_asks(int c, unsigned i)
{
	for (unsigned k = 0; k < 100; k++)
		if (!quiet_ask(c, i))
			return false;
	return true;
}

/* Many datagrams, no memory. */
START_TEST(test_no_allocation_per_datagram)
{
	int c = client();
	unsigned long before, after;
	bool all;

	ck_assert(quiet_asks(c, 0));             /* what the loop takes once */
	before = heapcount_taken();
	all = quiet_asks(c, 0);
	after = heapcount_taken();
	ck_assert(all);
	ck_assert_uint_eq(after, before);
	responses = 1;
	good[0] = false;
	ck_assert(quiet_asks(c, 1));
	before = heapcount_taken();
	all = quiet_asks(c, 1);
	after = heapcount_taken();
	ck_assert(all);
	ck_assert_uint_eq(after, before);
	close(c);
}
END_TEST

/* Handing over ----------------------------------------------------------------------------- */

START_TEST(test_hold)
{
	int c = client();

	udp_hold(true);
	peer_send(c, "x");
	unit_turns(10);
	ck_assert_uint_eq(opened, 0);
	udp_hold(false);
	RUN(came(origin[0]));
	close(c);
}
END_TEST

START_TEST(test_moved)
{
	struct udp_flow *f[4];
	struct udp_moved m;
	size_t walk = 0;
	int c = client(), fd;
	uint16_t port;

	responses = 3;
	peer_send(c, "q");
	RUN(came(origin[0]));
	port = addr_port(&from);
	ck_assert_uint_eq(udp_walk(&walk, f, 4), 1);
	ck_assert_uint_eq(udp_walk(&walk, f + 1, 3), 0);
	ck_assert_ptr_eq(udp_flow_listener(f[0]), &l);
	ck_assert_ptr_eq(udp_flow_service(f[0]), &svc[0]);
	udp_flow_moved(f[0], &m);
	ck_assert_uint_eq(m.owed, 3);
	fd = dup(udp_flow_fd(f[0]));             /* as SCM_RIGHTS does */
	answer(0, "under way");
	udp_flow_gone(f[0]);
	ck_assert_uint_eq(udp_flows(), 0);
	next_svc = 1;
	ask(c, 1, "began here meanwhile");
	ck_assert_int_eq(udp_adopt(&l, &svc[0], &m, fd), 0);
	ck_assert_uint_eq(udp_flows(), 1);
	ck_assert_uint_eq(udp_waiting(), 1);
	RUN(came(c));
	ck_assert_str_eq(got, "under way");
	peer_send(c, "on");
	RUN(came(origin[0]));
	ck_assert_uint_eq(addr_port(&from), port);       /* the service sees no change */
	close(c);
}
END_TEST

START_TEST(test_walk_in_parts)
{
	struct udp_flow *f[7];
	unsigned n, all = 0;
	size_t walk = 0;
	int c[50];

	for (unsigned i = 0; i < 50; i++) {
		c[i] = client();
		peer_send(c[i], "x");
	}
	RUN(udp_flows() == 50);
	while ((n = udp_walk(&walk, f, 7)) > 0) {
		ck_assert_uint_le(n, 7);
		all += n;
		while (n)
			udp_flow_gone(f[--n]);
	}
	ck_assert_uint_eq(all, 50);
	ck_assert_uint_eq(udp_flows(), 0);
	for (unsigned i = 0; i < 50; i++)
		close(c[i]);
}
END_TEST

/* What the system does not take (ROBUSTNESS F19) ------------------------------------------- */

#ifdef FL_FAILPOINTS
static void start_fp(const char *points)
{
	setenv("FAIRLEAD_FAILPOINTS", points, 1);        /* before the first call of this process */
	start();
}
static void start_eperm(void)
{
	start_fp("send=errno EPERM:2,sendmmsg=errno EPERM:3");
}
static void start_enobufs(void)
{
	start_fp("send=errno ENOBUFS:2,sendmmsg=errno ENOBUFS:3");
}

/* The second question and the third answer are lost; the flow goes on. */
START_TEST(test_drops)
{
	int c = client();

	ask(c, 0, "1");
	peer_send(c, "lost");
	unit_turns(10);
	ck_assert(!came(origin[0]));
	ask(c, 0, "2");
	peer_send(c, "3");
	RUN(came(origin[0]));
	answer(0, "lost");
	unit_turns(10);
	ck_assert(!came(c));
	ask(c, 0, "4");
	ck_assert_uint_eq(opened, 1);
	close(c);
}
END_TEST

/* A question that did not leave is not waited for. */
START_TEST(test_drops_owe_nothing)
{
	int c = client();

	responses = 1;
	ask(c, 0, "1");
	peer_send(c, "lost");
	unit_turns(10);
	ck_assert(!came(origin[0]));
	ck_assert_uint_eq(opened, 2);
	ck_assert_uint_eq(udp_flows(), 0);
	ck_assert_uint_eq(udp_waiting(), 0);
	ck_assert_uint_eq(svc[0].n_resting, 1);
	close(c);
}
END_TEST

static void add_failpoints(Suite *s)
{
	TCase *a = tcase_create("EPERM"), *b = tcase_create("ENOBUFS");

	tcase_add_checked_fixture(a, start_eperm, end);
	tcase_add_test(a, test_drops);
	tcase_add_test(a, test_drops_owe_nothing);
	suite_add_tcase(s, a);
	tcase_add_checked_fixture(b, start_enobufs, end);
	tcase_add_test(b, test_drops);
	tcase_add_test(b, test_drops_owe_nothing);
	suite_add_tcase(s, b);
}
#else
static void add_failpoints(Suite *s)
{
	(void)s;
}
#endif

static void start_3(void)
{
	start_with(3);
}

int main(void)
{
	Suite *s = suite_create("udp");
	TCase *t = tcase_create("flows"), *few = tcase_create("limit"),
	      *b = tcase_create("batches");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, start, end);
	tcase_add_test(t, test_there_and_back);
	tcase_add_test(t, test_idle);
	tcase_add_test(t, test_refused_by_the_host);
	tcase_add_test(t, test_service_gone);
	tcase_add_test(t, test_unreachable);
	tcase_add_test(t, test_unreachable_when_sending);
	tcase_add_test(t, test_own_socket_again);
	tcase_add_test(t, test_socket_changes_hands_after_a_rest);
	tcase_add_test(t, test_stray_closes_a_resting_socket);
	tcase_add_test(t, test_mistrust);
	tcase_add_test(t, test_stray_is_looked_for);
	tcase_add_test(t, test_an_answer_too_many);
	tcase_add_test(t, test_answers_that_never_come);
	tcase_add_test(t, test_no_more_rest_than_allowed);
	tcase_add_test(t, test_rest_ends);
	tcase_add_test(t, test_descriptors_run_out);
	tcase_add_test(t, test_no_allocation_per_datagram);
	tcase_add_test(t, test_hold);
	tcase_add_test(t, test_moved);
	tcase_add_test(t, test_walk_in_parts);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(few, start_3, end);
	tcase_add_test(few, test_limit);
	suite_add_tcase(s, few);
	tcase_add_test(b, test_couples);
	tcase_add_test(b, test_train_refused);
	tcase_add_test(b, test_system_takes_no_more);
	suite_add_tcase(s, b);
	add_failpoints(s);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
