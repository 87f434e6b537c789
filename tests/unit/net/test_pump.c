/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pump.c - pumps (copy and splice) and layer-4 relays
 */
#include "net_unit.h"

#include <linux/filter.h>

#include "net/conn_int.h"
#include "net/relay.h"

struct probe {
	unsigned done;
	int      err, side;
	uint64_t moved;
};
static void on_done(struct conn_pump *p, int err, int side)
{
	struct probe *x = p->owner;

	x->done++;
	x->err = err;
	x->side = side;
}
static void on_progress(struct conn_pump *p, size_t n)
{
	((struct probe *)p->owner)->moved += n;
}

/* Feeds the pattern into one raw peer and checks it at the other, a bit per turn. */
struct flow {
	int      in, out;
	uint64_t total, sent, got;
	bool     slow, ended;
	unsigned turn;
};
static void flow_step(struct flow *f)
{
	static uint8_t buf[300000];
	ssize_t n;

	if (f->sent < f->total) {
		size_t want = FL_MIN(sizeof(buf), f->total - f->sent);

		pattern_fill(buf, f->sent, want);
		n = send(f->in, buf, want, MSG_NOSIGNAL);
		f->sent += n > 0 ? (uint64_t)n : 0;
	}
	f->turn++;
	if (f->slow && f->turn % 4)
		return;
	n = recv(f->out, buf, f->slow ? 20000 : sizeof(buf), 0);
	if (n > 0) {
		pattern_check(buf, f->got, (size_t)n);
		f->got += (uint64_t)n;
	} else if (n == 0) {
		f->ended = true;
	}
}

static void exact(uint64_t n, uint64_t splice_min, bool slow)
{
	struct rec from, to;
	struct probe x = { 0 };
	struct flow f = { .total = n, .slow = slow };
	struct conn_pump p = { .progress = on_progress, .done = on_done, .owner = &x };
	int small = 65536;
	size_t most = 0;

	f.in = rec_open(&from);
	f.out = rec_open(&to);
	/* so that what is not sent must wait here, not in the kernel */
	setsockopt(f.out, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	setsockopt(conn_fd(to.c), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	p.from = from.c;
	p.to = to.c;
	ck_assert_int_eq(conn_pump_start(&p, n, splice_min), 0);
	ck_assert_uint_eq(x.done, 0);
	while (f.got < n) {
		flow_step(&f);
		unit_turns(1);
		most = FL_MAX(most, buf_held());
	}
	RUN(x.done == 1);
	ck_assert_int_eq(x.err, 0);
	ck_assert_uint_eq(x.moved, n);
	ck_assert_uint_le(most, 512 * 1024);
	ck_assert_uint_eq(from.calls, 0);
	/* what follows is the owner's again */
	peer_send(f.in, "next request");
	RUN(from.n == 12);
	ck_assert_mem_eq(from.got, "next request", 12);
	ck_assert_uint_eq(conn_bytes_in(from.c), n + 12);
	ck_assert_uint_eq(conn_bytes_out(to.c), n);
	close(f.in);
	RUN(from.eofs == 1);
	close(f.out);
	rec_close(&from);
	rec_close(&to);
}

START_TEST(test_exact)
{
	static const uint64_t sizes[] = { 1, 100, 16384, 65536, 262144, 262145, 3000001 };

	for (size_t i = 0; i < FL_ARRAY_LEN(sizes); i++) {
		exact(sizes[i], UINT64_MAX, _i);
		exact(sizes[i], 1, _i);
	}
}
END_TEST

START_TEST(test_surplus_in_the_same_read)
{
	struct rec from, to;
	struct probe x = { 0 };
	struct conn_pump p = { .done = on_done, .owner = &x };
	int in = rec_open(&from), out = rec_open(&to);
	char buf[32];

	from.take = 2;
	peer_send(in, "H:bodyREST");
	RUN(from.calls == 1);
	from.take = SIZE_MAX;
	p.from = from.c;
	p.to = to.c;
	ck_assert_int_eq(conn_pump_start(&p, 4, UINT64_MAX), 0);
	RUN(x.done == 1 && from.n == 6);
	ck_assert_mem_eq(from.got, "H:REST", 6);
	unit_turns(2);
	ck_assert_int_eq(recv(out, buf, sizeof(buf), 0), 4);
	ck_assert_mem_eq(buf, "body", 4);
	close(in);
	close(out);
	rec_close(&from);
	rec_close(&to);
}
END_TEST

START_TEST(test_short_body_and_breaks)
{
	for (int splice = 0; splice < 2; splice++) {
		for (int kind = 0; kind < 3; kind++) {
			struct rec from, to;
			struct probe x = { 0 };
			struct conn_pump p = { .done = on_done, .owner = &x };
			int in = rec_open(&from), out = rec_open(&to);

			p.from = from.c;
			p.to = to.c;
			ck_assert_int_eq(conn_pump_start(&p, 1000, splice ? 1 : UINT64_MAX), 0);
			peer_send(in, "short");
			unit_turns(3);
			if (kind == 0)
				close(in);
			else if (kind == 1)
				peer_reset(in);
			else
				peer_reset(out);
			RUN(x.done == 1);
			ck_assert_int_eq(x.err, kind == 0 ? FL_ECLOSED_ : FL_ERESET_);
			ck_assert_int_eq(x.side, kind == 2);
			ck_assert_uint_eq(from.errors + from.eofs, 0);
			ck_assert_uint_eq(to.errors, kind == 2);       /* its owner is not the pump's */
			rec_close(&from);
			rec_close(&to);
			if (kind == 2)
				close(in);
			else
				close(out);
			unit_turns(3);
		}
	}
}
END_TEST

START_TEST(test_stop_and_close_are_silent)
{
	struct rec from, to;
	struct probe x = { 0 };
	struct conn_pump p = { .done = on_done, .owner = &x };
	int in = rec_open(&from), out = rec_open(&to);

	p.from = from.c;
	p.to = to.c;
	ck_assert_int_eq(conn_pump_start(&p, UINT64_MAX, 1), 0);
	peer_send(in, "abc");
	unit_turns(3);
	conn_pump_stop(&p);
	conn_pump_stop(&p);
	peer_send(in, "def");
	RUN(from.n == 3);
	ck_assert_int_eq(conn_pump_start(&p, UINT64_MAX, 1), 0);
	rec_close(&to);
	peer_send(in, "ghi");
	RUN(from.n == 3);
	ck_assert_uint_eq(x.done, 0);
	close(in);
	close(out);
	rec_close(&from);
}
END_TEST

/* Relays ---------------------------------------------------------------------------------- */

struct ended {
	unsigned n;
	int      err, side;
	uint64_t ab, ba;
};
static void relay_done(void *ctx, int err, int side)
{
	struct ended *x = ctx;

	x->n++;
	x->err = err;
	x->side = side;
}
static void relay_progress(void *ctx, size_t ab, size_t ba)
{
	struct ended *x = ctx;

	x->ab += ab;
	x->ba += ba;
}
static const struct relay_cb relay_cb = { relay_done, relay_progress };

static struct relay *open_relay(int *a, int *b, struct ended *x, uint64_t idle_ms)
{
	struct rec ra, rb;

	*a = rec_open(&ra);
	*b = rec_connect(&rb);
	return relay_start(ra.c, rb.c, idle_ms, &relay_cb, x);
}

START_TEST(test_relay_half_close)
{
	struct ended x = { 0 };
	char buf[16];
	int a, b;

	ck_assert_ptr_nonnull(open_relay(&a, &b, &x, 0));
	peer_send(a, "question");
	shutdown(a, SHUT_WR);
	unit_turns(5);
	ck_assert_int_eq(recv(b, buf, sizeof(buf), 0), 8);
	ck_assert_int_eq(recv(b, buf, sizeof(buf), 0), 0);
	ck_assert_uint_eq(x.n, 0);
	peer_send(b, "answer");
	unit_turns(5);
	ck_assert_int_eq(recv(a, buf, sizeof(buf), 0), 6);
	ck_assert_int_eq(recv(a, buf, sizeof(buf), 0), -1);
	close(b);
	RUN(x.n == 1);
	ck_assert_int_eq(x.err, 0);
	ck_assert_uint_eq(x.ab, 8);
	ck_assert_uint_eq(x.ba, 6);
	unit_turns(2);
	ck_assert_int_eq(recv(a, buf, sizeof(buf), 0), 0);
	close(a);
}
END_TEST

START_TEST(test_relay_both_ways_at_once)
{
	struct ended x = { 0 };
	struct flow up = { .total = 20u << 20 }, down = { .total = 30u << 20, .slow = _i };
	int a, b;

	ck_assert_ptr_nonnull(open_relay(&a, &b, &x, 0));
	up.in = down.out = a;
	up.out = down.in = b;
	if (_i)
		down.total = 5u << 20;
	while (up.got < up.total || down.got < down.total) {
		flow_step(&up);
		flow_step(&down);
		unit_turns(1);
		ck_assert_uint_le(buf_held(), 1u << 20);
	}
	ck_assert_uint_eq(x.ab, up.total);
	ck_assert_uint_eq(x.ba, down.total);
	close(a);
	close(b);
	RUN(x.n == 1);
	ck_assert_uint_eq(buf_held(), 0);
}
END_TEST

START_TEST(test_relay_reset_is_passed_on)
{
	struct ended x = { 0 };
	char buf[4];
	int a, b;

	ck_assert_ptr_nonnull(open_relay(&a, &b, &x, 0));
	unit_turns(2);
	peer_reset(_i ? b : a);
	RUN(x.n == 1);
	ck_assert_int_eq(x.err, FL_ERESET_);
	ck_assert_int_eq(x.side, _i);
	unit_turns(2);
	ck_assert_int_eq(recv(_i ? a : b, buf, sizeof(buf), 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(_i ? a : b);
}
END_TEST

/* A FIN would tell the client that what it has is all. */
START_TEST(test_relay_to_vanished_service_is_reset)
{
	struct sock_filter none = { BPF_RET | BPF_K, 0, 0, 0 };
	struct sock_fprog prog = { 1, &none };
	struct ended x = { 0 };
	char buf[16];
	int a, b;

	conn_mod.dead_ms = 500;
	ck_assert_ptr_nonnull(open_relay(&a, &b, &x, 0));
	peer_send(b, "half of the");
	unit_turns(5);
	ck_assert_int_eq(recv(a, buf, sizeof(buf), 0), 11);
	ck_assert_int_eq(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)), 0);
	peer_send(a, "next");
	RUN(x.n == 1);
	ck_assert_int_eq(x.err, FL_ETIMEOUT_);
	ck_assert_int_eq(x.side, 1);
	unit_turns(2);
	ck_assert_int_eq(recv(a, buf, sizeof(buf), 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(a);
	close(b);
}
END_TEST

START_TEST(test_relay_idle)
{
	struct ended x = { 0 };
	int a, b;

	ck_assert_ptr_nonnull(open_relay(&a, &b, &x, 40));
	RUN(x.n == 1);
	ck_assert_int_eq(x.err, FL_ETIMEOUT_);
	close(a);
	close(b);
	unit_turns(3);
}
END_TEST

START_TEST(test_relay_abort)
{
	struct ended x = { 0 };
	struct relay *r;
	int a, b;

	r = open_relay(&a, &b, &x, 40);
	relay_abort(&r);
	ck_assert_ptr_null(r);
	unit_turns(80);
	ck_assert_uint_eq(x.n, 0);
	close(a);
	close(b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net/pump");
	TCase *t = tcase_create("pump");
	SRunner *sr;
	int bad;

	tcase_add_checked_fixture(t, unit_start, unit_end);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_exact, 0, 2);
	tcase_add_test(t, test_surplus_in_the_same_read);
	tcase_add_test(t, test_short_body_and_breaks);
	tcase_add_test(t, test_stop_and_close_are_silent);
	tcase_add_test(t, test_relay_half_close);
	tcase_add_loop_test(t, test_relay_both_ways_at_once, 0, 2);
	tcase_add_loop_test(t, test_relay_reset_is_passed_on, 0, 2);
	tcase_add_test(t, test_relay_to_vanished_service_is_reset);
	tcase_add_test(t, test_relay_idle);
	tcase_add_test(t, test_relay_abort);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	bad = srunner_ntests_failed(sr);
	srunner_free(sr);
	return bad != 0;
}
