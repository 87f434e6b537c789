/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_conn.c - conns over loopback TCP: reading, writing, closing, errors
 */
#include "net_unit.h"

#include <linux/filter.h>
#include <netinet/tcp.h>

#include "net/conn_int.h"

static const char msg[] = "POST /form HTTP/1.1\r\nHost: example.net\r\nContent-Length: 4\r\n\r\nbody";

/* Reading --------------------------------------------------------------------------------- */

START_TEST(test_untaken_is_shown_again_in_front)
{
	struct rec r;
	int peer = rec_open(&r);

	r.take = 5;
	peer_send(peer, "hello world");
	RUN(r.calls == 1);
	ck_assert_uint_eq(r.seen, 11);
	ck_assert(conn_has_input(r.c));
	unit_turns(5);
	ck_assert_uint_eq(r.calls, 1);           /* not again by itself */
	r.take = 0;
	peer_send(peer, "!");
	RUN(r.calls == 2);
	ck_assert_uint_eq(r.seen, 7);            /* " world!" */
	r.take = SIZE_MAX;
	conn_resume(r.c);
	ck_assert_uint_eq(r.calls, 2);           /* never from inside */
	RUN(r.calls == 3);
	ck_assert_uint_eq(r.n, 12);
	ck_assert_mem_eq(r.got, "hello world!", 12);
	ck_assert(!conn_has_input(r.c));
	ck_assert_uint_eq(conn_bytes_in(r.c), 12);
	close(peer);
	RUN(r.eofs == 1);
	rec_close(&r);
}
END_TEST

START_TEST(test_pause_holds_and_resume_goes_on)
{
	struct rec r;
	int peer = rec_open(&r);

	conn_pause(r.c);
	peer_send(peer, "abc");
	unit_turns(5);
	ck_assert_uint_eq(r.calls, 0);
	peer_send(peer, "def");
	shutdown(peer, SHUT_WR);
	unit_turns(5);
	ck_assert_uint_eq(r.calls + r.eofs, 0);
	conn_resume(r.c);
	RUN(r.eofs == 1);
	ck_assert_uint_eq(r.n, 6);
	ck_assert_mem_eq(r.got, "abcdef", 6);
	close(peer);
	rec_close(&r);
}
END_TEST

static void pause_in_data(struct rec *r)
{
	conn_pause(r->c);
}

START_TEST(test_pause_inside_data)
{
	struct rec r;
	int peer = rec_open(&r);

	r.on_data = pause_in_data;
	r.take = 2;
	for (int i = 0; i < 3; i++)
		peer_send(peer, "xy");
	while (r.n < 6) {
		size_t before = r.n;

		RUN(r.n > before);
		ck_assert_uint_eq(r.n, before + 2);
		unit_turns(3);
		ck_assert_uint_eq(r.n, before + 2);
		conn_resume(r.c);
	}
	close(peer);
	rec_close(&r);
}
END_TEST

/* The owner takes a message when it is whole, as a parser does. */
static void take_whole(struct rec *r)
{
	r->take = SIZE_MAX;
}

START_TEST(test_every_split)
{
	size_t len = sizeof(msg) - 1;

	for (size_t cut = 1; cut < len; cut++) {
		struct rec r;
		int peer = rec_open(&r);

		r.take = 0;
		ck_assert_int_eq(send(peer, msg, cut, 0), (ssize_t)cut);
		RUN(r.calls == 1);
		ck_assert_uint_eq(r.seen, cut);
		take_whole(&r);
		ck_assert_int_eq(send(peer, msg + cut, len - cut, 0), (ssize_t)(len - cut));
		RUN(r.calls == 2);
		ck_assert_uint_eq(r.n, len);
		ck_assert_mem_eq(r.got, msg, len);
		close(peer);
		rec_close(&r);
	}
}
END_TEST

START_TEST(test_byte_by_byte)
{
	size_t len = sizeof(msg) - 1;
	struct rec r;
	int peer = rec_open(&r);

	r.take = 0;
	for (size_t i = 0; i < len; i++) {
		if (i + 1 == len)
			r.take = SIZE_MAX;
		ck_assert_int_eq(send(peer, msg + i, 1, 0), 1);
		RUN(r.calls == i + 1);
		ck_assert_uint_eq(r.seen, i + 1);
	}
	ck_assert_mem_eq(r.got, msg, len);
	close(peer);
	rec_close(&r);
}
END_TEST

/* A parser refuses a head above its limit, 64 KiB at most, only when it sees more than that. */
START_TEST(test_more_than_the_largest_head_is_shown)
{
	static uint8_t head[70 * 1024];
	struct rec r;
	int peer = rec_open(&r);
	size_t sent = 0;

	r.take = 0;
	while (sent < sizeof(head)) {
		ssize_t n = send(peer, head + sent, FL_MIN(sizeof(head) - sent, (size_t)8000), MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		unit_turns(1);
	}
	RUN(r.seen > 65536);
	close(peer);
	rec_close(&r);
}
END_TEST

START_TEST(test_untaken_input_is_bounded)
{
	static uint8_t junk[65536];
	struct rec r;
	int peer = rec_open(&r);
	size_t sent = 0;
	ssize_t n;

	r.take = 0;
	for (int i = 0; i < 200; i++) {
		while ((n = send(peer, junk, sizeof(junk), MSG_NOSIGNAL)) > 0)
			sent += (size_t)n;
		unit_turns(1);
	}
	ck_assert_uint_gt(sent, 256 * 1024);
	ck_assert_uint_le(buf_held(), 160 * 1024);
	r.take = SIZE_MAX;
	conn_resume(r.c);
	RUN(r.n == sent);
	ck_assert_uint_eq(buf_held(), 0);
	close(peer);
	rec_close(&r);
}
END_TEST

/* Ends ------------------------------------------------------------------------------------- */

START_TEST(test_half_close_by_peer)
{
	struct rec r;
	int peer = rec_open(&r);
	char buf[16];

	peer_send(peer, "q");
	shutdown(peer, SHUT_WR);
	RUN(r.eofs == 1);
	ck_assert_uint_eq(r.n, 1);
	ck_assert(conn_eof_clean(r.c));
	ck_assert_int_eq(conn_write(r.c, "answer", 6), 0);
	unit_turns(2);
	ck_assert_int_eq(recv(peer, buf, sizeof(buf), 0), 6);
	ck_assert_uint_eq(r.eofs + r.errors, 1);
	rec_close(&r);
	unit_turns(2);
	ck_assert_int_eq(recv(peer, buf, sizeof(buf), 0), 0);
	close(peer);
}
END_TEST

START_TEST(test_half_close_by_us)
{
	struct rec r;
	int peer = rec_open(&r);
	char buf[16];

	conn_write(r.c, "bye", 3);
	conn_shutdown(r.c);
	ck_assert_int_eq(conn_write(r.c, "x", 1), FL_ECLOSED_);
	unit_turns(3);
	ck_assert_int_eq(recv(peer, buf, sizeof(buf), 0), 3);
	ck_assert_int_eq(recv(peer, buf, sizeof(buf), 0), 0);
	peer_send(peer, "late");
	RUN(r.n == 4);
	close(peer);
	RUN(r.eofs == 1);
	rec_close(&r);
}
END_TEST

START_TEST(test_reset_is_an_error_not_an_end)
{
	struct rec r;
	int peer = rec_open(&r);

	peer_reset(peer);
	RUN(r.errors == 1);
	ck_assert_int_eq(r.err, FL_ERESET_);
	ck_assert_uint_eq(r.eofs, 0);
	ck_assert(conn_is_dead(r.c));
	ck_assert_int_eq(conn_write(r.c, "x", 1), FL_ECLOSED_);
	rec_close(&r);
}
END_TEST

START_TEST(test_client_reset_is_told_while_paused)
{
	struct rec r;
	int peer = rec_open(&r);

	conn_pause(r.c);
	peer_send(peer, "x");
	unit_turns(3);
	peer_reset(peer);
	RUN(r.errors == 1);
	ck_assert_int_eq(r.err, FL_ERESET_);
	rec_close(&r);
}
END_TEST

START_TEST(test_service_bytes_before_reset_are_read)
{
	struct rec r;
	int peer = rec_connect(&r);

	conn_write(r.c, "request", 7);
	unit_turns(3);
	conn_pause(r.c);
	peer_send(peer, "HTTP/1.1 413 Too Large\r\n\r\n");
	unit_turns(3);
	peer_reset(peer);              /* with our request unread */
	unit_turns(5);
	ck_assert_uint_eq(r.errors, 0);
	conn_write(r.c, "more", 4);
	unit_turns(3);
	conn_resume(r.c);
	RUN(r.errors == 1);
	ck_assert_uint_eq(r.n, 26);
	ck_assert_int_eq(r.err, FL_ERESET_);
	rec_close(&r);
}
END_TEST

/* The owner waits for a slow client; the service has sent all and resets. */
START_TEST(test_kept_service_bytes_survive_its_reset)
{
	struct rec r;
	int peer = rec_connect(&r);

	conn_write(r.c, "request", 7);
	unit_turns(3);
	r.take = 10;
	r.on_data = pause_in_data;
	peer_send(peer, "a whole answer");
	RUN(r.calls == 1);
	peer_reset(peer);
	unit_turns(5);
	ck_assert_uint_eq(r.errors, 0);
	conn_write(r.c, "more", 4);              /* and a write that fails */
	unit_turns(3);
	ck_assert_uint_eq(r.errors, 0);
	r.take = SIZE_MAX;
	r.on_data = NULL;
	conn_resume(r.c);
	RUN(r.errors == 1);
	ck_assert_uint_eq(r.n, 14);
	ck_assert_mem_eq(r.got, "a whole answer", 14);
	rec_close(&r);
}
END_TEST

START_TEST(test_connect_refused)
{
	struct rec r = { .take = SIZE_MAX };
	struct addr a;
	int l = unit_listen(&a), err;

	close(l);
	r.c = conn_connect(E, &a, NULL, &rec_ops, &r, &err);
	ck_assert_ptr_nonnull(r.c);
	ck_assert_uint_eq(r.errors, 0);
	RUN(r.errors == 1);
	ck_assert_int_eq(r.err, FL_EREFUSED_);
	ck_assert_uint_eq(r.readies, 0);
	rec_close(&r);
}
END_TEST

START_TEST(test_connect_timeout)
{
	struct conn_opts o = { .connect_timeout_ms = 50 };
	struct rec r = { .take = SIZE_MAX };
	struct addr a;
	int l = unit_listen(&a), fill[64], n = 0, err;

	/* a full accept queue: the kernel drops the SYN */
	listen(l, 0);
	for (; n < 8; n++) {
		fill[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fill[n], &a.sa, sizeof(a.in));
	}
	r.c = conn_connect(E, &a, &o, &rec_ops, &r, &err);
	ck_assert_ptr_nonnull(r.c);
	RUN(r.errors == 1);
	ck_assert_int_eq(r.err, FL_ETIMEOUT_);
	rec_close(&r);
	while (n)
		close(fill[--n]);
	close(l);
}
END_TEST

START_TEST(test_deadline)
{
	struct rec r;
	int peer = rec_open(&r);

	conn_deadline(r.c, 30);
	conn_deadline(r.c, 60);
	RUN(r.timeouts == 1);
	conn_deadline(r.c, 20);
	conn_deadline(r.c, 0);
	unit_turns(60);
	ck_assert_uint_eq(r.timeouts, 1);
	rec_close(&r);
	close(peer);
}
END_TEST

START_TEST(test_write_before_connected)
{
	struct rec r = { .take = SIZE_MAX };
	struct addr a;
	char buf[16];
	int l = unit_listen(&a), err, fd;

	r.c = conn_connect(E, &a, NULL, &rec_ops, &r, &err);
	ck_assert_int_eq(conn_write(r.c, "early", 5), 0);
	ck_assert_int_eq(conn_write(r.c, "bird", 4), 0);
	RUN(r.readies == 1);
	unit_turns(3);
	fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
	ck_assert_int_eq(recv(fd, buf, sizeof(buf), 0), 9);
	ck_assert_mem_eq(buf, "earlybird", 9);
	close(fd);
	close(l);
	rec_close(&r);
}
END_TEST

/* Writing ---------------------------------------------------------------------------------- */

START_TEST(test_order_of_mixed_sizes)
{
	static const size_t sizes[] = { 1, 100, 8192, 8193, 3, 70000, 5, 8192, 1 };
	static uint8_t buf[300000];
	struct rec a, b;
	int pa = rec_open(&a), pb = rec_open(&b);
	uint64_t at = 0;
	size_t got = 0;

	/* two conns in turn, so their runs in the arena interleave */
	for (size_t i = 0; i < FL_ARRAY_LEN(sizes); i++) {
		pattern_fill(buf, at, sizes[i]);
		ck_assert_int_eq(conn_write(a.c, buf, sizes[i]), 0);
		ck_assert_int_eq(conn_write(b.c, buf, sizes[i]), 0);
		at += sizes[i];
	}
	ck_assert_uint_gt(conn_pending(a.c), 0);
	unit_turns(5);
	for (int k = 0; k < 2; k++) {
		got = 0;
		while (got < at) {
			ssize_t n = recv(k ? pb : pa, buf, sizeof(buf), 0);

			if (n < 0) {
				ck_assert_int_eq(errno, EAGAIN);
				unit_turns(1);
				continue;
			}
			pattern_check(buf, got, (size_t)n);
			got += (size_t)n;
		}
	}
	ck_assert_uint_eq(conn_bytes_out(a.c), at);
	close(pa);
	close(pb);
	rec_close(&a);
	rec_close(&b);
}
END_TEST

START_TEST(test_arena_overflow_keeps_order)
{
	static uint8_t buf[4 << 20];
	struct rec a;
	int peer = rec_open(&a), big = 8 << 20;
	uint64_t at = 0;
	size_t got = 0;

	setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
	while (at < 3u << 20) {
		pattern_fill(buf, at, 5000);
		ck_assert_int_eq(conn_write(a.c, buf, 5000), 0);
		at += 5000;
	}
	while (got < at) {
		ssize_t n = recv(peer, buf, sizeof(buf), 0);

		if (n > 0) {
			pattern_check(buf, got, (size_t)n);
			got += (size_t)n;
		} else {
			unit_turns(1);
		}
	}
	RUN(conn_pending(a.c) == 0);
	ck_assert_uint_ge(a.drains, 1);
	close(peer);
	rec_close(&a);
}
END_TEST

#define FLOOD (100ull << 20)
static struct {
	struct conn *c;
	uint64_t     sent;
	unsigned     drains;
} flood;

static void flood_more(struct conn *c)
{
	static uint8_t buf[16384];

	while (flood.sent < FLOOD && conn_pending(c) < CONN_HIGH_WATER) {
		pattern_fill(buf, flood.sent, sizeof(buf));
		ck_assert_int_eq(conn_write(c, buf, sizeof(buf)), 0);
		flood.sent += sizeof(buf);
	}
}
static void flood_drained(struct conn *c)
{
	flood.drains++;
	flood_more(c);
}
static const struct conn_ops flood_ops = { .data = rec_data, .drained = flood_drained, .error = rec_error };

START_TEST(test_slow_reader_bounds_memory)
{
	static uint8_t buf[262144];
	struct rec r;
	int peer = rec_open(&r);
	uint64_t got = 0;
	size_t most = 0;

	memset(&flood, 0, sizeof(flood));
	conn_set_owner(r.c, &flood_ops, &r);
	flood_more(r.c);
	while (got < FLOOD) {
		ssize_t n = recv(peer, buf, sizeof(buf), 0);

		most = FL_MAX(most, buf_held());
		if (n > 0) {
			pattern_check(buf, got, FL_MIN((size_t)n, (size_t)512));
			got += (uint64_t)n;
		}
		unit_turns(1);
	}
	ck_assert_uint_eq(got, FLOOD);
	ck_assert_uint_gt(flood.drains, 10);
	ck_assert_uint_le(most, 256 * 1024);
	ck_assert_uint_eq(buf_held(), 0);
	close(peer);
	rec_close(&r);
}
END_TEST

/* The peer's host is gone: packets for it arrive no more. */
static void vanish(int peer)
{
	struct sock_filter none = { BPF_RET | BPF_K, 0, 0, 0 };
	struct sock_fprog prog = { 1, &none };

	ck_assert_int_eq(setsockopt(peer, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)), 0);
}

START_TEST(test_vanished_service_is_noticed)
{
	struct rec idle, busy;
	int p1 = rec_connect(&idle), p2 = rec_connect(&busy);

	conn_mod.dead_ms = 800;
	conn_write(idle.c, "x", 1);
	conn_write(busy.c, "x", 1);
	RUN(conn_mod.n_owed == 0);               /* both acknowledged */
	vanish(p2);
	conn_write(busy.c, "y", 1);
	RUN(busy.errors == 1);
	ck_assert_int_eq(busy.err, FL_ETIMEOUT_);
	ck_assert_uint_eq(idle.errors, 0);
	ck_assert_uint_eq(conn_mod.n_owed, 0);
	rec_close(&busy);
	rec_close(&idle);
	close(p1);
	close(p2);
}
END_TEST

START_TEST(test_service_that_reads_slowly_lives)
{
	static uint8_t junk[1 << 20], buf[1 << 18];
	struct rec r;
	int peer = rec_connect(&r), limit = -1;
	socklen_t n = sizeof(limit);
	size_t got = 0, want = 0;

	conn_mod.dead_ms = 300;
	ck_assert_int_eq(getsockopt(conn_fd(r.c), IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, &n), 0);
	ck_assert_int_eq(limit, 0);              /* it would count a closed window */
	while (want < 16u << 20 && conn_write(r.c, junk, sizeof(junk)) == 0)
		want += sizeof(junk);
	for (uint64_t until = env_now_us() + 1500000; env_now_us() < until; )
		unit_turns(1);
	ck_assert_uint_gt(conn_pending(r.c), 0); /* the window is closed, and was for long */
	ck_assert_uint_eq(conn_mod.n_owed, 1);
	ck_assert_uint_eq(r.errors, 0);
	while (got < want) {
		ssize_t k = recv(peer, buf, sizeof(buf), 0);

		got += k > 0 ? (size_t)k : 0;
		unit_turns(1);
		ck_assert_uint_eq(r.errors, 0);
	}
	RUN(conn_mod.n_owed == 0);
	rec_close(&r);
	close(peer);
}
END_TEST

START_TEST(test_owed_list_survives_closing)
{
	struct rec r[100];
	int peer[100];

	for (unsigned i = 0; i < 100; i++) {
		peer[i] = rec_connect(&r[i]);
		conn_write(r[i].c, "x", 1);
	}
	unit_turns(1);
	ck_assert_uint_eq(conn_mod.n_owed, 100);
	for (unsigned i = 0; i < 100; i += 3)
		conn_abort(&r[i].c);
	ck_assert_uint_eq(conn_mod.n_owed, 66);
	for (unsigned i = 0; i < conn_mod.n_owed; i++)
		ck_assert_uint_eq(conn_mod.owed[i]->ev.tag, i + 1);
	for (unsigned i = 0; i < 100; i++) {
		rec_close(&r[i]);
		close(peer[i]);
	}
	ck_assert_uint_eq(conn_mod.n_owed, 0);
}
END_TEST

/* Closing ---------------------------------------------------------------------------------- */

START_TEST(test_linger_saves_the_answer)
{
	static uint8_t junk[200000];
	static char answer[100000];
	struct rec r;
	int peer = rec_open(&r);
	char buf[65536];
	size_t got = 0, sent = 0;
	bool ended = false;

	/* the client goes on sending while the answer "413" is under way */
	memset(answer, 'A', sizeof(answer));
	conn_pause(r.c);
	ck_assert_int_gt(send(peer, junk, sizeof(junk), 0), 0);
	unit_turns(3);
	conn_write(r.c, answer, sizeof(answer));
	conn_close(&r.c);
	ck_assert_ptr_null(r.c);
	/* more than all buffers of the kernel hold: somebody swallows it */
	for (uint64_t until = env_now_us() + 10000000; sent < 40u << 20; ) {
		ssize_t n = send(peer, junk, sizeof(junk), MSG_NOSIGNAL);

		ck_assert(n > 0 || errno == EAGAIN);
		ck_assert_uint_lt(env_now_us(), until);
		sent += n > 0 ? (size_t)n : 0;
		unit_turns(1);
	}
	while (!ended) {
		ssize_t n = recv(peer, buf, sizeof(buf), 0);

		if (n < 0) {
			ck_assert_int_eq(errno, EAGAIN);      /* ECONNRESET: the answer was destroyed */
			unit_turns(1);
		} else {
			got += (size_t)n;
			ended = n == 0;
		}
	}
	ck_assert_uint_eq(got, sizeof(answer));
	ck_assert_uint_eq(r.errors + r.eofs, 0);         /* no upcall after close */
	close(peer);
	unit_turns(3);
	free(r.got);
}
END_TEST

START_TEST(test_linger_owes_until_all_is_out)
{
	static char answer[8 << 20];
	static char buf[100000];
	struct rec r;
	int peer = rec_open(&r);
	size_t got = 0;

	conn_write(r.c, answer, sizeof(answer));
	conn_close(&r.c);
	while (got < sizeof(answer)) {
		ssize_t n;

		/* more than the kernel's buffers hold is left: a process that ends now cuts it */
		if (sizeof(answer) - got > 7u << 20)
			ck_assert(conn_linger_owes());
		n = recv(peer, buf, sizeof(buf), 0);
		ck_assert_int_ne(n, 0);
		got += n > 0 ? (size_t)n : 0;
		unit_turns(1);
		if (sizeof(answer) - got > 0 && conn_mod.n_linger)
			ck_assert(!list_empty(&conn_mod.linger));
	}
	ck_assert_uint_eq(conn_lingering(), 1);  /* for the peer's end */
	close(peer);
	RUN(conn_lingering() == 0);
	ck_assert(list_empty(&conn_mod.linger));
	free(r.got);
}
END_TEST

/* Segments that have come to fd; its place in struct tcp_info, which the headers of C do not all have. */
static unsigned segments_in(int fd)
{
	uint32_t info[64] = { 0 };
	socklen_t n = sizeof(info);

	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &n), 0);
	return info[35];
}

/* The answer and the end are one segment, however the end is said, so the peer is woken once. */
START_TEST(test_end_comes_with_the_answer)
{
	struct rec r;
	int peer = rec_open(&r);
	char buf[64];
	unsigned before;

	peer_send(peer, "q");
	RUN(r.calls == 1);
	unit_turns(2);
	before = segments_in(peer);
	conn_write(r.c, "answer", 6);
	if (_i == 0)
		conn_expect_no_more(r.c);
	if (_i == 2)
		conn_shutdown(r.c);
	else
		conn_close(&r.c);
	unit_turns(2);
	ck_assert_int_eq(recv(peer, buf, sizeof(buf), 0), 6);
	ck_assert_int_eq(recv(peer, buf, sizeof(buf), 0), 0);
	ck_assert_uint_eq(segments_in(peer), before + 1);
	close(peer);
	RUN(conn_lingering() == 0);
	conn_close(&r.c);
	free(r.got);
}
END_TEST

static void close_in_data(struct rec *r)
{
	conn_close(&r->c);
	conn_close(&r->c);
}

START_TEST(test_close_inside_data)
{
	struct rec r;
	int peer = rec_open(&r);
	char buf[4];

	r.on_data = close_in_data;
	r.take = 1;
	peer_send(peer, "abc");
	RUN(r.calls == 1);
	unit_turns(3);
	ck_assert_uint_eq(r.calls, 1);
	ck_assert_int_eq(recv(peer, buf, sizeof(buf), 0), 0);
	close(peer);
	unit_turns(3);
	free(r.got);
}
END_TEST

START_TEST(test_abort_resets)
{
	struct rec r;
	int peer = rec_open(&r);
	char buf[4];

	conn_write(r.c, "lost", 4);
	conn_abort(&r.c);
	conn_abort(&r.c);
	unit_turns(2);
	ck_assert_int_eq(recv(peer, buf, sizeof(buf), 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	close(peer);
}
END_TEST

START_TEST(test_idle_check_and_detach)
{
	struct rec r;
	int peer = rec_connect(&r);
	int fd;

	ck_assert(conn_check_idle(r.c));
	conn_pause(r.c);
	peer_send(peer, "x");
	unit_turns(3);
	ck_assert(!conn_check_idle(r.c));
	conn_resume(r.c);
	RUN(r.n == 1);
	ck_assert(conn_check_idle(r.c));
	fd = conn_detach(&r.c);
	ck_assert_int_ge(fd, 0);
	ck_assert_ptr_null(r.c);
	peer_send(peer, "y");
	unit_turns(3);
	ck_assert_uint_eq(r.n, 1);
	close(fd);
	close(peer);
	free(r.got);

	peer = rec_connect(&r);
	close(peer);
	ck_assert(!conn_check_idle(r.c));
	rec_close(&r);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("net/conn");
	TCase *t = tcase_create("conn");

	tcase_add_checked_fixture(t, unit_start, unit_end);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_untaken_is_shown_again_in_front);
	tcase_add_test(t, test_pause_holds_and_resume_goes_on);
	tcase_add_test(t, test_pause_inside_data);
	tcase_add_test(t, test_every_split);
	tcase_add_test(t, test_byte_by_byte);
	tcase_add_test(t, test_more_than_the_largest_head_is_shown);
	tcase_add_test(t, test_untaken_input_is_bounded);
	tcase_add_test(t, test_half_close_by_peer);
	tcase_add_test(t, test_half_close_by_us);
	tcase_add_test(t, test_reset_is_an_error_not_an_end);
	tcase_add_test(t, test_client_reset_is_told_while_paused);
	tcase_add_test(t, test_service_bytes_before_reset_are_read);
	tcase_add_test(t, test_kept_service_bytes_survive_its_reset);
	tcase_add_test(t, test_connect_refused);
	tcase_add_test(t, test_connect_timeout);
	tcase_add_test(t, test_deadline);
	tcase_add_test(t, test_write_before_connected);
	tcase_add_test(t, test_order_of_mixed_sizes);
	tcase_add_test(t, test_arena_overflow_keeps_order);
	tcase_add_test(t, test_slow_reader_bounds_memory);
	tcase_add_test(t, test_vanished_service_is_noticed);
	tcase_add_test(t, test_service_that_reads_slowly_lives);
	tcase_add_test(t, test_owed_list_survives_closing);
	tcase_add_test(t, test_linger_saves_the_answer);
	tcase_add_test(t, test_linger_owes_until_all_is_out);
	tcase_add_loop_test(t, test_end_comes_with_the_answer, 0, 3);
	tcase_add_test(t, test_close_inside_data);
	tcase_add_test(t, test_abort_resets);
	tcase_add_test(t, test_idle_check_and_detach);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());
	int bad;

	srunner_run_all(sr, CK_ENV);
	bad = srunner_ntests_failed(sr);
	srunner_free(sr);
	return bad != 0;
}
