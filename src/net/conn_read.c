/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_read.c - input of a conn: kernel -> (TLS) -> data()
 *
 * Edge-triggered (ENGINE section 3): a read that fills less than the buffer has emptied the kernel, so
 * there is no second one; only behind a hang-up we read on to the end. What nobody wants now stays in
 * the kernel, remembered by R. What data() leaves is kept, at most about INPUT_MAX.
 */
#include "config.h"

#include "net/conn_int.h"

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "stat/reason.h"

/* A failpoint may shorten a read, which then says nothing about the kernel's queue. */
#ifdef FL_FAILPOINTS
#define SHORT_READ_IS_LAST 0
#else
#define SHORT_READ_IS_LAST 1
#endif

bool conn_wants_input(const struct conn *c)
{
	if (!conn_up(c) || (c->flags & (CF_CONNECTING | CF_EOF)))
		return false;
	if (c->flags & CF_HANDSHAKE)
		return true;
	if (c->src)
		return pump_wants(c);
	return !(c->flags & CF_PAUSED) && conn_in_len(c) < INPUT_MAX;
}

/* Telling the owner ------------------------------------------------------------------------ */

/* The one place where TLS ends badly, before or behind the end of the handshake. Of clients there is a line,
 * too: services are named by who uses them. p, n: what came last from the wire; shown when it was no TLS. */
static void count_tls_failure(const struct conn *c, const uint8_t *p, size_t n)
{
	unsigned why = tls_io_why(c->tls);
	bool foreign = why == CTR_TLS_WHY_NOT_TLS || why == CTR_TLS_WHY_CLEAR_HTTP;
	char who[ADDR_TEXT_MAX], bytes[260];
	struct sb b;

	stat_reason(c->flags & CF_SERVER ? REFUSED_TLS_CLIENT : REFUSED_TLS_SERVICE, why);
	if (!(c->flags & CF_SERVER))
		return;
	if (conn_mod.stat)
		stat_inc(conn_mod.stat, CTR_PROC_TLS_FAIL);
	sb_init(&b, bytes, sizeof(bytes));
	if (foreign && n)
		sb_escape(&b, str_n(p, n), 64);
	ip_text(addr_ip(&c->peer), who);        /* without the port: one client, one key */
	log_ev_key(EV_TLS_FAIL, str_c(who), "client %s: %s: %s%s" STR_FMT, who, tbl_tls_code(why),
		   tls_io_reason(c->tls), b.n ? ": " : "", STR_ARG(sb_get(&b)));
}

/* The handshake ends without the peer having failed it. */
static void handshake_lost(struct conn *c)
{
	unsigned why = c->err == FL_ETIMEOUT_ ? CTR_TLS_WHY_SLOW :
		       c->err == FL_ENOMEM_   ? CTR_TLS_WHY_OTHER :
						CTR_TLS_WHY_CLOSED;

	if (!tls_io_give_up(c->tls, why))
		return;
	(void)tls_io_output();                  /* nobody is there to read an alert */
	count_tls_failure(c, NULL, 0);
}

void conn_tell_error(struct conn *c)
{
	bool is_source;

	if (c->flags & (CF_ERR_TOLD | CF_CLOSING | CF_FREED))
		return;
	if ((c->flags & (CF_HANDSHAKE | CF_CONNECTING)) == CF_HANDSHAKE)
		handshake_lost(c);
	c->flags |= CF_ERR_TOLD | CF_DEAD;
	timer_stop(&c->timer);
	/* Who pumps into c is not c's owner: the owner is told, too, unless it has closed c by then. */
	is_source = c->src != NULL;
	(void)pump_error(c, c->err);
	if (!is_source && !(c->flags & (CF_CLOSING | CF_FREED)) && c->ops->error)
		c->ops->error(c, c->err);
}

static void fail_now(struct conn *c, int err)
{
	c->flags |= CF_DEAD;
	c->err = err;
	conn_tell_error(c);
}

static void on_eof(struct conn *c, bool clean)
{
	c->flags |= CF_EOF | (clean ? CF_EOF_CLEAN : 0);
	c->flags &= ~CF_R;
	if (c->flags & CF_HANDSHAKE) {
		fail_now(c, FL_ECLOSED_);
		return;
	}
	if (c->src) {
		pump_eof(c);
	} else if (!(c->flags & CF_EOF_TOLD)) {
		c->flags |= CF_EOF_TOLD;
		if (c->ops->eof)
			c->ops->eof(c);
	}
	if (conn_up(c) && (c->flags & CF_WFAIL))
		fail_now(c, c->err);
}

/* Keeps what was not taken. */
static void keep(struct conn *c, const uint8_t *p, size_t n)
{
	struct conn_q *q = conn_queue(c);

	if (!q || bufq_add(&q->in, p, n) < 0) {
		if (conn_mod.stat)
			stat_inc(conn_mod.stat, CTR_PROC_NOMEM);
		fail_now(c, FL_ENOMEM_);
	}
	conn_note(c);
}

/* Offers kept input once: to a pump (which may end by it) or to the owner. */
static void offer(struct conn *c)
{
	bool offered = false;

	c->flags &= ~CF_RESUME;
	while (conn_up(c) && conn_in_len(c)) {
		struct str s;
		size_t taken;
		bool all;

		if (c->src) {
			if (!pump_wants(c))
				return;
			s = bufq_front(&c->q->in);
			taken = pump_data(c, (const uint8_t *)s.p, s.n);
		} else {
			if (offered || (c->flags & CF_PAUSED))
				return;
			all = c->q->in.len <= INPUT_MAX;
			s = bufq_pull(&c->q->in, FL_MIN(c->q->in.len, (size_t)INPUT_MAX));
			if (!s.p) {
				fail_now(c, FL_ENOMEM_);
				return;
			}
			taken = c->ops->data(c, (const uint8_t *)s.p, s.n);
			/* The last read may have gone beyond INPUT_MAX: what was not seen is offered too. */
			offered = all || !taken;
		}
		ASSERT(taken <= s.n);
		if (!(c->flags & (CF_CLOSING | CF_FREED)))
			bufq_drop(&c->q->in, taken);
	}
}

void conn_deliver(struct conn *c)
{
	offer(c);
	conn_note(c);
}

/* New bytes, behind what is kept. The owner sees them once; what it leaves may go to a pump that it started. */
static void push(struct conn *c, const uint8_t *p, size_t n)
{
	bool offered = false;

	c->bytes_in += n;
	if (conn_in_len(c)) {
		keep(c, p, n);
		conn_deliver(c);
		return;
	}
	while (n && conn_up(c)) {
		size_t taken;

		if (c->src) {
			taken = pump_data(c, p, n);
		} else if (offered || (c->flags & CF_PAUSED)) {
			break;
		} else {
			taken = c->ops->data(c, p, n);
			offered = true;
		}
		ASSERT(taken <= n);
		p += taken;
		n -= taken;
	}
	if (n && conn_up(c))
		keep(c, p, n);
}

/* Reading --------------------------------------------------------------------------------- */

/* One recv; handles its end and its errors. 0: nothing came. */
static size_t receive(struct conn *c, uint8_t *buf, size_t size)
{
	ssize_t n = env_recv(c->ev.fd, buf, size, 0);

	if (n > 0) {
		if ((size_t)n < size && SHORT_READ_IS_LAST && !(c->flags & CF_HUP))
			c->flags &= ~CF_R;
		return (size_t)n;
	}
	if (n == -EAGAIN)
		c->flags &= ~CF_R;
	else if (n == 0)
		on_eof(c, !c->tls);
	else
		fail_now(c, conn_err_of(n));
	return 0;
}

static size_t read_clear(struct conn *c)
{
	size_t size = (c->flags & CF_BIG) || c->src ? SCRATCH_LARGE : SCRATCH_SMALL;
	size_t n = receive(c, conn_mod.scratch, size);

	if (n)
		push(c, conn_mod.scratch, n);
	return n;
}

/* Hands on what the last TLS calls left to send. */
static bool tls_output(struct conn *c)
{
	struct str out = tls_io_output();

	if (out.n && conn_wire(c, out.p, out.n) < 0) {
		fail_now(c, FL_ENOMEM_);
		return false;
	}
	return true;
}

static void tls_failed(struct conn *c, int err, size_t n)
{
	count_tls_failure(c, conn_mod.raw, n);
	if (!tls_output(c))
		return;
	conn_flush(c);                         /* the alert */
	fail_now(c, err);
}

void conn_handshake_late(struct conn *c)
{
	if (tls_io_give_up(c->tls, CTR_TLS_WHY_SLOW))
		tls_failed(c, FL_ETIMEOUT_, 0);
}

/* True when the handshake is done and input may follow. */
static bool handshake_step(struct conn *c, size_t n)
{
	int err = tls_io_handshake(c->tls);

	if (err < 0 && err != FL_EAGAIN_) {
		tls_failed(c, err, n);
		return false;
	}
	if (!tls_output(c) || err == FL_EAGAIN_)
		return false;
	c->flags &= ~CF_HANDSHAKE;
	c->flags |= CF_READY;
	if (!(c->flags & CF_SERVER)) {
		timer_stop(&c->timer);
	} else if (conn_mod.stat) {
		stat_inc(conn_mod.stat, CTR_PROC_TLS_HS);
		if (tls_io_resumed(c->tls))
			stat_inc(conn_mod.stat, CTR_PROC_TLS_RESUMED);
	}
	return true;
}

/* ready(), and what was written before. */
static void tell_ready(struct conn *c)
{
	c->flags &= ~CF_READY;
	conn_flush_early(c);
	if (conn_up(c) && c->ops->ready)
		c->ops->ready(c);
}

void conn_handshake(struct conn *c)
{
	tls_io_feed(c->tls, NULL, 0);
	if (handshake_step(c, 0))
		tell_ready(c);
}

/* Takes in all of one read: the raw scratch is anybody's afterwards. */
static void tls_input(struct conn *c, size_t n)
{
	size_t have = 0;
	ssize_t r = FL_EAGAIN_;

	tls_io_feed(c->tls, conn_mod.raw, n);
	if ((c->flags & CF_HANDSHAKE) && !handshake_step(c, n))
		return;
	while (have < TLS_PLAIN) {
		r = tls_io_read(c->tls, conn_mod.plain + have, TLS_PLAIN - have);
		if (r <= 0)
			break;
		have += (size_t)r;
	}
	ASSERT(r <= 0);
	if (!tls_output(c))
		return;
	if (c->flags & CF_READY)
		tell_ready(c);
	if (have && conn_up(c))
		push(c, conn_mod.plain, have);
	if (!conn_up(c) || r == FL_EAGAIN_)
		return;
	if (r == FL_ECLOSED_)
		on_eof(c, true);
	else
		tls_failed(c, (int)r, n);
}

static size_t read_tls(struct conn *c)
{
	size_t n = receive(c, conn_mod.raw, TLS_RAW);

	if (n)
		tls_input(c, n);
	return n;
}

void conn_read(struct conn *c)
{
	size_t budget = READ_BUDGET;

	while ((c->flags & CF_R) && conn_wants_input(c)) {
		size_t n;

		if (budget == 0) {
			conn_defer(c);
			return;
		}
		if (c->src && pump_splices(c)) {
			pump_readable(c);
			return;
		}
		if ((c->flags & (CF_HANDSHAKE | CF_SERVER)) == (CF_HANDSHAKE | CF_SERVER) &&
		    !conn_shake_turn(c))
			return;
		n = c->tls ? read_tls(c) : read_clear(c);
		budget -= FL_MIN(n, budget);
	}
}

/* The peer is gone, or a write failed, while input waits that nobody wants now. An accepted peer's reset
 * is told at once; what a service sent before its reset is worth reading first, and what we keep of it is
 * worth delivering: the next read behind that, or on_job(), comes upon the error again. */
void conn_input_stuck(struct conn *c)
{
	uint8_t one;
	ssize_t r;

	if (!(c->flags & CF_SERVER) && conn_in_len(c))
		return;
	if ((c->flags & CF_SERVER) || (c->flags & CF_EOF)) {
		r = env_so_error(c->ev.fd);
		if (r < 0 || (c->flags & CF_WFAIL))
			fail_now(c, r < 0 ? conn_err_of(r) : c->err);
		return;
	}
	r = env_recv(c->ev.fd, &one, 1, MSG_PEEK);
	if (r < 0 && r != -EAGAIN)
		fail_now(c, conn_err_of(r));
	else if (r <= 0 && (c->flags & CF_WFAIL))
		fail_now(c, c->err);
}
