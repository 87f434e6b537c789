/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_unit.h - an engine in a test: run until a condition holds, raw TCP peers, a recording owner
 *
 * Peers are plain descriptors that the test drives itself, between or inside turns. Nothing waits for a
 * time: RUN() turns the engine until the expression holds and fails the test after ten seconds.
 */
#ifndef FL_TESTS_NET_UNIT_H
#define FL_TESTS_NET_UNIT_H

#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "net/conn.h"

static struct engine *E;
static struct engine_hook unit_hook;

static inline void unit_turn(struct engine_hook *h)
{
	(void)h;
	engine_stop(E);
}

static inline void unit_start(void)
{
	E = engine_new();
	ck_assert_ptr_nonnull(E);
	ck_assert_int_eq(conn_init(E), 0);
	engine_max_sleep_ms(E, 1);
	list_init(&unit_hook.link);
	unit_hook.fn = unit_turn;
	engine_on_turn(E, &unit_hook);
}

static inline void unit_turns(unsigned n)
{
	while (n--)
		engine_run(E);
}

static inline void unit_end(void)
{
	engine_max_sleep_ms(E, 1);        /* whatever the test wanted */
	unit_turns(1);
	conn_fini();
	engine_free(&E);
	buf_trim();
}

/* Turns the engine until the expression holds. */
#define RUN(expr) \
	do { \
		uint64_t until_ = env_now_us() + 10000000; \
		while (!(expr)) { \
			ck_assert_msg(env_now_us() < until_, "never came true: %s", #expr); \
			unit_turns(1); \
		} \
	} while (0)

/* A listening loopback socket and its address. */
static inline int unit_listen(struct addr *a)
{
	socklen_t n = sizeof(*a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memset(a, 0, sizeof(*a));
	a->in.sin_family = AF_INET;
	a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, &a->sa, sizeof(a->in)), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	ck_assert_int_eq(getsockname(fd, &a->sa, &n), 0);
	return fd;
}

/* fd[0] for the conn, fd[1] the raw peer; both non-blocking. */
static inline void unit_pair(int fd[2], struct addr *peer, struct addr *local)
{
	socklen_t n = sizeof(*peer);
	int l = unit_listen(local);

	fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fd[1], &local->sa, sizeof(local->in)), 0);
	ck_assert_int_eq(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0);
	memset(peer, 0, sizeof(*peer));
	fd[0] = accept4(l, &peer->sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(fd[0], 0);
	close(l);
}

/* An owner that writes down what happens. */
struct rec {
	struct conn *c;
	char        *got;            /* taken bytes */
	size_t       n, cap;
	size_t       seen;           /* length of the last data() */
	unsigned     calls, eofs, readies, drains, errors, timeouts;
	int          err;
	size_t       take;           /* how many to take per call; SIZE_MAX: all */
	void       (*on_data)(struct rec *r);
};

static inline size_t rec_data(struct conn *c, const uint8_t *p, size_t n)
{
	struct rec *r = conn_owner(c);
	size_t take = FL_MIN(n, r->take);

	ck_assert_uint_gt(n, 0);
	ck_assert_uint_eq(r->errors, 0);
	if (r->cap - r->n < take) {
		r->cap = (r->n + take) * 2;
		r->got = realloc(r->got, r->cap);
	}
	if (take)
		memcpy(r->got + r->n, p, take);
	r->n += take;
	r->seen = n;
	r->calls++;
	if (r->on_data)
		r->on_data(r);
	return take;
}
static inline void rec_eof(struct conn *c) { ((struct rec *)conn_owner(c))->eofs++; }
static inline void rec_ready(struct conn *c) { ((struct rec *)conn_owner(c))->readies++; }
static inline void rec_drained(struct conn *c) { ((struct rec *)conn_owner(c))->drains++; }
static inline void rec_timeout(struct conn *c) { ((struct rec *)conn_owner(c))->timeouts++; }
static inline void rec_error(struct conn *c, int err)
{
	struct rec *r = conn_owner(c);

	r->errors++;
	r->err = err;
}
static const struct conn_ops rec_ops = {
	.data = rec_data, .eof = rec_eof, .ready = rec_ready, .drained = rec_drained,
	.error = rec_error, .timeout = rec_timeout,
};

/* An accepted conn with a recording owner; returns the raw peer. */
static inline int rec_open(struct rec *r)
{
	struct addr peer, local;
	int fd[2];

	unit_pair(fd, &peer, &local);
	*r = (struct rec){ .take = SIZE_MAX };
	r->c = conn_accept(E, fd[0], &peer, &local, NULL);
	ck_assert_ptr_nonnull(r->c);
	conn_start(r->c, &rec_ops, r);
	ck_assert_uint_eq(r->readies, 1);
	return fd[1];
}
/* An outgoing one; returns the raw peer, which accepted it. */
static inline int rec_connect(struct rec *r)
{
	struct addr a;
	int l = unit_listen(&a), err, fd;

	*r = (struct rec){ .take = SIZE_MAX };
	r->c = conn_connect(E, &a, NULL, &rec_ops, r, &err);
	ck_assert_ptr_nonnull(r->c);
	ck_assert_uint_eq(r->readies, 0);
	RUN(r->readies == 1);
	fd = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	close(l);
	return fd;
}
static inline void rec_close(struct rec *r)
{
	conn_close(&r->c);
	free(r->got);
	*r = (struct rec){ 0 };
}
static inline void peer_send(int fd, const char *z)
{
	ck_assert_int_eq(send(fd, z, strlen(z), MSG_NOSIGNAL), (ssize_t)strlen(z));
}
static inline void peer_reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Bytes that show any loss, repetition or change of order. */
static inline uint8_t pattern(uint64_t at)
{
	return (uint8_t)((at * 2654435761u) >> 13 ^ at >> 8);
}
static inline void pattern_fill(uint8_t *p, uint64_t at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = pattern(at + i);
}
static inline void pattern_check(const uint8_t *p, uint64_t at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != pattern(at + i))
			ck_abort_msg("wrong byte at %llu", (unsigned long long)(at + i));
}

#endif
