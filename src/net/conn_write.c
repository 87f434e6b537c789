/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_write.c - output of a conn: conn_write() -> (TLS) -> turn arena -> kernel, else queue
 *
 * What is written in a turn lies in one arena of the process and is sent in the flush hook: all reads of a
 * batch come before all writes (ENGINE section 3 rule 7). Runs above ENTRY_MAX are sent at once, behind
 * what the conn has in the arena. What the kernel refuses goes to the conn's queue; from then on everything
 * goes there until W returns and it is empty. So bytes never overtake each other:
 * queue (older) and arena (newer) are never both in use.
 */
#include "config.h"

#include "net/conn_int.h"

#include <string.h>

#include "base/env.h"
#include "base/err.h"

#define ARENA_SIZE (1024 * 1024)
#define ENTRY_MAX  (8 * 1024)
#define IOV_MAX_   64
#define TLS_CHUNK  (256 * 1024)

struct conn_ent {
	struct conn_ent *next;
	size_t           n;
	uint8_t          mem[];
};

static uint8_t *arena;
static size_t arena_used;

void conn_flush_turn(void)
{
	struct list *n;

	/* conn_flush() unlinks */
	while ((n = list_pop(&conn_mod.flush)))
		conn_flush(LIST_ENTRY(n, struct conn, flush));
	arena_used = 0;
}

static void on_flush(struct engine_hook *h)
{
	(void)h;
	conn_flush_turn();
}

void conn_flush_init(void)
{
	arena = NULL;
	arena_used = 0;
	list_init(&conn_mod.flush_hook.link);
	conn_mod.flush_hook.fn = on_flush;
	engine_on_flush(conn_mod.e, &conn_mod.flush_hook);
}

void conn_flush_fini(void)
{
	list_del(&conn_mod.flush_hook.link);
	env_free(arena);
	arena = NULL;
}

/* Room in the arena, for a run that stands alone or goes on at its end; NULL: no memory. */
static uint8_t *arena_room(struct conn *c, size_t n)
{
	struct conn_ent *last = c->ent_last;
	struct conn_ent *ent;
	size_t need = (sizeof(*ent) + n + 15) & ~(size_t)15;

	if (!arena) {
		arena = env_malloc(ARENA_SIZE);
		if (!arena)
			return NULL;
	}
	if (last && (size_t)(last->mem + last->n - arena) <= arena_used &&
	    arena_used - (size_t)(last->mem + last->n - arena) < 16 &&
	    arena_used + n + 16 <= ARENA_SIZE) {
		uint8_t *at = last->mem + last->n;

		last->n += n;
		arena_used = ((size_t)(at - arena) + n + 15) & ~(size_t)15;
		return at;
	}
	if (arena_used + need > ARENA_SIZE)
		conn_flush_turn();
	ent = (struct conn_ent *)(arena + arena_used);
	arena_used += need;
	*ent = (struct conn_ent){ .n = n };
	if (c->ent)
		c->ent_last->next = ent;
	else
		c->ent = ent;
	c->ent_last = ent;
	return ent->mem;
}

/* A lingering conn's link belongs to the list of those. */
static void leave_flush(struct conn *c)
{
	if (!(c->flags & CF_CLOSING))
		list_del(&c->flush);
}

void conn_forget_output(struct conn *c)
{
	c->ent = c->ent_last = NULL;
	c->ent_len = 0;
	leave_flush(c);
	if (c->q)
		bufq_clear(&c->q->out);
	conn_note(c);
}

void conn_write_failed(struct conn *c, ssize_t err)
{
	conn_forget_output(c);
	c->err = conn_err_of(err);
	c->flags |= CF_WFAIL;
	c->flags &= ~(CF_DRAIN | CF_TELL_DRAIN);
	if (c->flags & (CF_CLOSING | CF_DEAD)) {
		conn_defer(c);
	} else if (c->flags & CF_SERVER) {
		conn_fail(c, c->err);
	} else {
		c->flags |= CF_R | CF_HUP;
		conn_defer(c);
	}
}

struct runs {
	struct iovec iov[IOV_MAX_];
	unsigned     at, n;          /* what is left: iov[at..n) */
};

/*
 * Goes on until EAGAIN, since only that makes the kernel tell when it takes more. False after conn_write_failed().
 * When the end follows at once, one segment has both: the peer is woken once. Whoever sets CF_SHUT or CF_LAST
 * sends the FIN as soon as all was taken, which is what ends the kernel's wait for more. (Not where another process may
 * have the descriptor for a moment more: its close would be the one.)
 */
static bool send_runs(struct conn *c, struct runs *v)
{
	int how = (c->flags & (CF_SHUT | CF_LAST)) && !(c->flags & (CF_HANDSHAKE | CF_SHARED)) ? MSG_MORE : 0;

	while (v->at < v->n && (c->flags & CF_W)) {
		struct iovec *first = &v->iov[v->at];
		struct msghdr m = { .msg_iov = first, .msg_iovlen = v->n - v->at };
		ssize_t r;

		conn_sends(c, m.msg_iovlen == 1 ? first->iov_len : SIZE_MAX);
		r = m.msg_iovlen == 1 ? env_send(c->ev.fd, first->iov_base, first->iov_len, how)
				      : env_sendmsg(c->ev.fd, &m, how);
		if (r == -EAGAIN) {
			c->flags &= ~CF_W;
			break;
		}
		if (r < 0) {
			conn_write_failed(c, r);
			return false;
		}
		conn_owes(c);
		for (; v->at < v->n && (size_t)r >= v->iov[v->at].iov_len; v->at++)
			r -= (ssize_t)v->iov[v->at].iov_len;
		if (v->at < v->n) {
			first = &v->iov[v->at];
			first->iov_base = (char *)first->iov_base + r;
			first->iov_len -= (size_t)r;
		}
	}
	return true;
}

/* The usual case: one run, and nothing older. What is left of it is queued; 0, or why the stream has ended. */
static int queue(struct conn *c, const void *p, size_t n);
static int send_one(struct conn *c, const void *p, size_t n)
{
	struct runs v FL_UNINIT;
	int err;

	v.at = 0;
	v.n = 1;
	v.iov[0] = (struct iovec){ (void *)(uintptr_t)p, n };
	if (!send_runs(c, &v) || v.at == v.n)
		return 0;              /* broken: error() says so later */
	err = queue(c, v.iov[0].iov_base, v.iov[0].iov_len);
	if (err)
		conn_fail(c, err);
	return err;
}

static int queue(struct conn *c, const void *p, size_t n)
{
	struct conn_q *q = conn_queue(c);

	if (!q || bufq_add(&q->out, p, n) < 0) {
		if (conn_mod.stat)
			stat_inc(conn_mod.stat, CTR_PROC_NOMEM);
		return FL_ENOMEM_;
	}
	c->flags |= CF_DRAIN;
	conn_note(c);
	return 0;
}

/* Sends what the arena has of c and then p. What the kernel leaves is queued; without memory for that the
 * stream has a hole and ends. */
static int send_or_queue(struct conn *c, const void *p, size_t n)
{
	struct conn_ent *ent = c->ent;

	c->ent = c->ent_last = NULL;
	c->ent_len = 0;
	leave_flush(c);
	if (!conn_out_len(c) && ent && !ent->next && !n)
		return send_one(c, ent->mem, ent->n);
	while (ent || n) {
		struct runs v FL_UNINIT;

		v.at = v.n = 0;

		for (; ent && v.n < IOV_MAX_; ent = ent->next)
			v.iov[v.n++] = (struct iovec){ ent->mem, ent->n };
		if (!ent && n && v.n < IOV_MAX_) {
			v.iov[v.n++] = (struct iovec){ (void *)(uintptr_t)p, n };
			n = 0;
		}
		if (!conn_out_len(c) && !send_runs(c, &v))
			return 0;              /* broken: error() says so later */
		for (; v.at < v.n; v.at++) {
			int err = queue(c, v.iov[v.at].iov_base, v.iov[v.at].iov_len);

			if (err) {
				conn_fail(c, err);
				return err;
			}
		}
	}
	return 0;
}

static void send_queue(struct conn *c)
{
	while (conn_out_len(c) && (c->flags & CF_W)) {
		struct runs v FL_UNINIT;
		size_t all = 0, left = 0;

		v.at = 0;
		v.n = bufq_iov(&c->q->out, v.iov, IOV_MAX_);
		for (unsigned i = 0; i < v.n; i++)
			all += v.iov[i].iov_len;
		if (!send_runs(c, &v))
			return;
		for (; v.at < v.n; v.at++)
			left += v.iov[v.at].iov_len;
		bufq_drop(&c->q->out, all - left);
	}
}

void conn_flush(struct conn *c)
{
	size_t before = conn_pending(c);

	leave_flush(c);
	if (c->ev.fd < 0 || (c->flags & (CF_CONNECTING | CF_FREED | CF_WFAIL)))
		return;
	if (c->ent)
		(void)send_or_queue(c, NULL, 0);
	send_queue(c);
	conn_note(c);
	if (c->flags & CF_WFAIL)
		return;
	if (conn_pending(c) == 0 &&
	    (c->flags & (CF_SHUT | CF_SHUT_DONE | CF_HANDSHAKE)) == CF_SHUT) {
		c->flags |= CF_SHUT_DONE;
		env_shutdown(c->ev.fd, SHUT_WR);
	}
	if ((c->flags & CF_DRAIN) && conn_up(c) &&
	    (conn_pending(c) == 0 ||
	     (before >= CONN_HIGH_WATER / 2 && conn_pending(c) < CONN_HIGH_WATER / 2))) {
		if (conn_pending(c) == 0)
			c->flags &= ~CF_DRAIN;
		c->flags |= CF_TELL_DRAIN;
		conn_defer(c);
	}
}

void conn_writable(struct conn *c)
{
	if (conn_out_len(c) || c->ent)
		conn_flush(c);
	if (!conn_up(c) || (c->flags & CF_HANDSHAKE))
		return;
	if (c->sink) {
		c->flags &= ~CF_TELL_DRAIN;
		pump_writable(c);
	} else if (c->flags & CF_TELL_DRAIN) {
		c->flags &= ~CF_TELL_DRAIN;
		if (c->ops->drained)
			c->ops->drained(c);
	}
}

int conn_wire(struct conn *c, const void *p, size_t n)
{
	uint8_t *room;

	if (conn_out_len(c) || (c->flags & (CF_CONNECTING | CF_W)) != CF_W) {
		if (c->ent && send_or_queue(c, NULL, 0) < 0)
			return FL_ENOMEM_;
		return queue(c, p, n);
	}
	if (n > ENTRY_MAX)
		return send_or_queue(c, p, n);
	room = arena_room(c, n);
	if (!room)
		return FL_ENOMEM_;
	memcpy(room, p, n);
	c->ent_len += (uint32_t)n;
	if (c->ent_len >= CONN_HIGH_WATER / 2)
		c->flags |= CF_DRAIN;
	if (list_empty(&c->flush))
		list_append(&conn_mod.flush, &c->flush);
	return 0;
}

/* TLS: the records of all of p, handed on. A record that finds no memory leaves a hole, so the stream ends. */
static int write_tls(struct conn *c, const uint8_t *p, size_t n)
{
	while (n) {
		size_t part = FL_MIN(n, (size_t)TLS_CHUNK);
		int err = tls_io_write(c->tls, p, part);
		struct str out = tls_io_output();

		if (!err && out.n)
			err = conn_wire(c, out.p, out.n);
		if (err) {
			conn_fail(c, err);
			return err;
		}
		p += part;
		n -= part;
	}
	return 0;
}

int conn_write(struct conn *c, const void *p, size_t n)
{
	int err;

	if (c->flags & (CF_DEAD | CF_WFAIL | CF_CLOSING | CF_FREED | CF_SHUT))
		return FL_ECLOSED_;
	if (n == 0)
		return 0;
	if (!c->tls) {
		err = conn_wire(c, p, n);
	} else if (c->flags & CF_HANDSHAKE) {
		struct conn_q *q = conn_queue(c);

		err = q ? bufq_add(&q->early, p, n) : FL_ENOMEM_;
		conn_note(c);
	} else {
		err = write_tls(c, p, n);
	}
	if (!err)
		c->bytes_out += n;
	return err;
}

void conn_flush_early(struct conn *c)
{
	bool shut = c->flags & CF_SHUT;

	while (c->q && c->q->early.len && conn_up(c)) {
		struct str s = bufq_front(&c->q->early);

		if (write_tls(c, (const uint8_t *)s.p, s.n) < 0)
			return;
		bufq_drop(&c->q->early, s.n);
		c->flags |= CF_DRAIN;
	}
	conn_note(c);
	if (shut)
		conn_shutdown_tls(c);
	if (list_empty(&c->flush))
		list_append(&conn_mod.flush, &c->flush);
}

size_t conn_pending(const struct conn *c)
{
	return conn_out_len(c) + c->ent_len + (c->q ? c->q->early.len : 0);
}

void conn_shutdown_tls(struct conn *c)
{
	struct str out;

	if (c->flags & CF_NOTIFIED)
		return;
	c->flags |= CF_NOTIFIED;
	tls_io_close_notify(c->tls);
	out = tls_io_output();
	if (out.n)
		(void)conn_wire(c, out.p, out.n);
}

void conn_shutdown(struct conn *c)
{
	if (c->flags & (CF_DEAD | CF_CLOSING | CF_FREED | CF_SHUT | CF_WFAIL))
		return;
	c->flags |= CF_SHUT;
	if (c->tls && !(c->flags & (CF_HANDSHAKE | CF_CONNECTING)))
		conn_shutdown_tls(c);
	/* the FIN goes with the flush of this turn */
	if (!(c->flags & CF_CONNECTING) && list_empty(&c->flush))
		list_append(&conn_mod.flush, &c->flush);
}
