/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c - the life of a byte stream: accept, connect, close (see conn.h, and conn_int.h for the parts)
 *
 * Closing an accepted connection lingers: output, FIN, then late input is swallowed until the
 * peer's FIN. Without that a close with unread input makes the kernel send a reset, which can destroy
 * the answer in the peer's buffers (RFC 9112 section 9.6).
 */
#include "config.h"

#include "net/conn.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "base/work.h"
#include "net/conn_int.h"

#define LINGER_MS     5000     /* without progress */
#define LINGER_ALL_MS 60000    /* in all, for a peer that reads slowly */
#define LINGER_MAX    4096     /* lingering conns; the oldest goes */

struct conn_mod conn_mod;
_Static_assert(sizeof(struct conn) <= 256, "a conn has four cache lines (ENGINE section 8)");

static void on_event(struct engine_fd *f, unsigned events);
static void on_job(struct engine_job *j);
static void on_timer(struct timer *t);
static void tell_work(const void *on, struct sb *out);

/* The process ----------------------------------------------------------------------------- */

int conn_init(struct engine *e)
{
	struct conn_mod *m = &conn_mod;

	ASSERT(!m->e);
	*m = (struct conn_mod){ .e = e, .stat = m->stat };
	list_init(&m->flush);
	list_init(&m->linger);
	m->scratch = env_aligned(4096, SCRATCH_LARGE + 4096);
	m->raw = env_aligned(4096, TLS_RAW);
	m->plain = env_aligned(4096, TLS_PLAIN + 4096);
	if (!m->scratch || !m->raw || !m->plain) {
		conn_fini();
		return FL_ENOMEM_;
	}
	slab_init(&m->conns, "conn", sizeof(struct conn), 64, 0);
	slab_init(&m->queues, "conn queues", sizeof(struct conn_q), 64, 0);
	conn_flush_init();
	conn_owed_init();
	conn_shake_init();
	return 0;
}

void conn_fini(void)
{
	struct conn_mod *m = &conn_mod;

	if (m->e) {
		pump_fini();
		conn_flush_fini();
		conn_owed_fini();
		conn_shake_fini();
		conn_segments_fini();
		slab_fini(&m->conns);
		slab_fini(&m->queues);
	}
	env_free(m->scratch);
	env_free(m->raw);
	env_free(m->plain);
	*m = (struct conn_mod){ 0 };
}

void net_set_stat(struct stat_row *proc)
{
	conn_mod.stat = proc;
}

/* Helpers --------------------------------------------------------------------------------- */

int conn_err_of(ssize_t r)
{
	switch ((int)r) {
	case -ECONNRESET:
	case -EPIPE:        return FL_ERESET_;
	case -ECONNREFUSED: return FL_EREFUSED_;
	case -ETIMEDOUT:    return FL_ETIMEOUT_;
	case -ENOMEM:
	case -ENOBUFS:      return FL_ENOMEM_;
	default:            return (int)r;
	}
}

struct conn_q *conn_queue(struct conn *c)
{
	if (!c->q)
		c->q = slab_get(&conn_mod.queues);
	return c->q;
}

void conn_defer(struct conn *c)
{
	conn_shake_leave(c);
	engine_defer(conn_mod.e, &c->job);
}

void conn_fail(struct conn *c, int err)
{
	if (c->flags & (CF_DEAD | CF_FREED))
		return;
	c->flags |= CF_DEAD;
	c->err = err;
	conn_defer(c);
}

/* At the turn's end: until then an upcall further up the stack may look at kept bytes or TLS facts. */
static void give_back(void *obj)
{
	struct conn *c = obj;

	tls_io_free(&c->tls);
	if (c->q) {
		bufq_clear(&c->q->in);
		bufq_clear(&c->q->out);
		bufq_clear(&c->q->early);
		slab_put(&conn_mod.queues, c->q);
	}
	slab_put(&conn_mod.conns, c);
}

static void forget(struct conn *c)
{
	c->flags |= CF_FREED | CF_DEAD;
	conn_owed_drop(c);
	conn_forget_output(c);
	list_del(&c->flush);
	engine_job_cancel(&c->job);
	timer_stop(&c->timer);
	if (conn_mod.stat)
		stat_dec(conn_mod.stat, CTR_PROC_CONN_CUR);
	engine_free_later(conn_mod.e, c, give_back);
}

void conn_drop_fd(struct conn *c)
{
	if (c->flags & CF_FREED)
		return;
	if (c->ev.fd >= 0) {
		conn_segments(c);
		if ((c->flags & (CF_ADDED | CF_SHARED)) == CF_ADDED) {
			engine_close(conn_mod.e, &c->ev);
		} else {
			engine_del(conn_mod.e, &c->ev);
			env_close(c->ev.fd);
			c->ev.fd = -1;
		}
	}
	if (c->flags & CF_CLOSING)
		conn_mod.n_linger--;
	forget(c);
}

static struct conn *conn_new(int fd, const struct addr *peer)
{
	struct conn *c = slab_get(&conn_mod.conns);

	if (!c)
		return NULL;
	c->ev.fd = fd;
	c->ev.fn = on_event;
	c->peer = *peer;
	c->started_us = engine_now_us(conn_mod.e);
	list_init(&c->flush);
	engine_job_init(&c->job, on_job);
	timer_init(&c->timer, on_timer);
	if (conn_mod.stat)
		stat_inc(conn_mod.stat, CTR_PROC_CONN_CUR);
	return c;
}

/* Incoming -------------------------------------------------------------------------------- */

struct conn *conn_accept(struct engine *e, int fd, const struct addr *peer,
			 const struct addr *local, const struct tls_server *tls)
{
	struct conn *c = conn_new(fd, peer);

	ASSERT(e == conn_mod.e);
	if (!c) {
		env_close(fd);
		return NULL;
	}
	c->local = *local;
	c->flags = CF_SERVER | CF_W;
	if (tls) {
		c->tls = tls_io_accept(tls);
		if (!c->tls) {
			conn_drop_fd(c);
			return NULL;
		}
		c->flags |= CF_HANDSHAKE;
	}
	return c;
}

void conn_start(struct conn *c, const struct conn_ops *ops, void *owner)
{
	int err;

	c->ops = ops;
	c->owner = owner;
	work_on(tell_work, c);           /* one of many that came at once */
	err = engine_add(conn_mod.e, &c->ev);
	if (err) {
		conn_fail(c, conn_err_of(err));
		return;
	}
	c->flags |= CF_ADDED;
	if (!c->tls && ops->ready)
		ops->ready(c);
}

/* Outgoing -------------------------------------------------------------------------------- */

void conn_nodelay(struct conn *c)
{
	c->flags |= CF_NODELAY;
	env_setsockopt_int(c->ev.fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

/* Other options wait until the connection has lived for a moment (conn_owed.c): many do not. */
static void set_upstream_options(int fd, const struct conn_opts *o)
{
	if (o && o->congestion)
		env_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, o->congestion,
			       (socklen_t)strlen(o->congestion));
	if (o && (o->speaks_first || o->tls))
		env_setsockopt_int(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
}

/* 0 or a negated errno that belongs to the destination, thus told by error(). */
static int begin_connect(struct conn *c, const struct conn_opts *o)
{
	int fd = c->ev.fd;
	int err;

	set_upstream_options(fd, o);
	if (o && o->source) {
		env_setsockopt_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
		err = env_bind(fd, &o->source->sa, addr_len(o->source));
		if (err)
			return err;
	}
	err = env_connect(fd, &c->peer.sa, addr_len(&c->peer));
	return err == -EINPROGRESS ? 0 : err;
}

struct conn *conn_connect(struct engine *e, const struct addr *to, const struct conn_opts *o,
			  const struct conn_ops *ops, void *owner, int *err)
{
	int fd = env_socket(to->sa.sa_family, SOCK_STREAM, 0);
	struct conn *c;

	ASSERT(e == conn_mod.e);
	*err = fd < 0 ? fd : FL_ENOMEM_;
	if (fd < 0)
		return NULL;
	c = conn_new(fd, to);
	if (!c) {
		env_close(fd);
		return NULL;
	}
	c->ops = ops;
	c->owner = owner;
	c->flags = CF_CONNECTING;
	if (o && o->tls) {
		c->tls = tls_io_connect(o->tls, o->sni, to);
		if (!c->tls)
			goto fail;
		c->flags |= CF_HANDSHAKE;
	}
	*err = begin_connect(c, o);
	/* Only now: a socket without a connection would report a hang-up at once. */
	if (*err == 0) {
		*err = engine_add(conn_mod.e, &c->ev);
		if (*err)
			goto fail;
		c->flags |= CF_ADDED;
	} else {
		conn_fail(c, conn_err_of(*err));
	}
	if (o && o->connect_timeout_ms)
		engine_timer(e, &c->timer, o->connect_timeout_ms);
	*err = 0;
	return c;
fail:
	conn_drop_fd(c);
	return NULL;
}

static void on_connected(struct conn *c, unsigned events)
{
	int err = 0;

	if (events & ENGINE_HUP)
		err = env_so_error(c->ev.fd);
	if (err < 0) {
		c->flags |= CF_DEAD;
		c->err = conn_err_of(err);
		conn_tell_error(c);
		return;
	}
	if (!(events & ENGINE_WRITE))
		return;
	c->flags &= ~CF_CONNECTING;
	c->started_us = engine_now_us(conn_mod.e);
	conn_owes(c);
	if (c->flags & CF_HANDSHAKE) {
		conn_handshake(c);
		return;
	}
	timer_stop(&c->timer);
	if (c->ops->ready)
		c->ops->ready(c);
	if (conn_up(c) && conn_out_len(c))
		conn_flush(c);
}

/* Events, jobs, timers -------------------------------------------------------------------- */

static void tell_work(const void *on, struct sb *out)
{
	const struct conn *c = on;

	if (!(c->flags & (CF_CLOSING | CF_FREED)) && c->ops && c->ops->tell)
		c->ops->tell(c, out);
}

static void on_event(struct engine_fd *f, unsigned events)
{
	struct conn *c = FL_CONTAINER_OF(f, struct conn, ev);

	work_on(tell_work, c);
	if (events & ENGINE_READ)
		c->flags |= CF_R;
	if (events & ENGINE_WRITE)
		c->flags |= CF_W;
	if (c->flags & CF_CONNECTING) {
		on_connected(c, events);
		if (!conn_up(c) || (c->flags & CF_CONNECTING))
			return;
	}
	if (events & ENGINE_HUP)
		c->flags |= CF_HUP;
	if (c->flags & CF_CLOSING) {
		conn_linger_step(c);
		return;
	}
	if (!conn_up(c))
		return;
	if (events & ENGINE_WRITE)
		conn_writable(c);
	if (c->flags & CF_R)
		conn_read(c);
	if ((events & ENGINE_ERR) && conn_up(c) && !conn_wants_input(c))
		conn_input_stuck(c);
}

static void on_job(struct engine_job *j)
{
	struct conn *c = FL_CONTAINER_OF(j, struct conn, job);

	work_on(tell_work, c);
	if (c->flags & CF_FREED)
		return;
	if (c->flags & CF_CLOSING) {
		conn_linger_step(c);
		return;
	}
	if (c->flags & CF_DEAD) {
		conn_tell_error(c);
		return;
	}
	if (c->flags & CF_TELL_DRAIN)
		conn_writable(c);       /* clears it */
	if (conn_up(c) && (c->flags & CF_RESUME))
		conn_deliver(c);
	if (conn_up(c))
		conn_read(c);
	if (conn_up(c) && (c->flags & CF_WFAIL))
		conn_input_stuck(c);
	if (conn_up(c) && c->src)
		pump_check(c);
}

static void on_timer(struct timer *t)
{
	struct conn *c = FL_CONTAINER_OF(t, struct conn, timer);

	work_on(tell_work, c);
	if (c->flags & CF_CLOSING) {
		conn_drop_fd(c);
	} else if (!conn_up(c)) {
		return;
	} else if (!(c->flags & CF_SERVER) && (c->flags & (CF_CONNECTING | CF_HANDSHAKE))) {
		c->flags |= CF_DEAD;
		c->err = FL_ETIMEOUT_;
		conn_tell_error(c);
	} else if (c->flags & CF_LINE) {
		/* it waits for us: that is no fault of the peer's */
		engine_timer(conn_mod.e, &c->timer, LINE_MS);
	} else if (c->flags & CF_HANDSHAKE) {
		conn_handshake_late(c);
	} else if (c->ops->timeout) {
		c->ops->timeout(c);
	}
}

void conn_deadline(struct conn *c, uint64_t after_ms)
{
	if (!conn_up(c) || (!(c->flags & CF_SERVER) && (c->flags & (CF_CONNECTING | CF_HANDSHAKE))))
		return;
	if (after_ms)
		engine_timer(conn_mod.e, &c->timer, after_ms);
	else
		timer_stop(&c->timer);
}

void conn_set_owner(struct conn *c, const struct conn_ops *ops, void *owner)
{
	c->ops = ops;
	c->owner = owner;
}

/* Back-pressure --------------------------------------------------------------------------- */

void conn_pause(struct conn *c)
{
	c->flags |= CF_PAUSED;
}

void conn_resume(struct conn *c)
{
	c->flags &= ~CF_PAUSED;
	if (!conn_up(c))
		return;
	if (conn_in_len(c))
		c->flags |= CF_RESUME;
	if (c->flags & (CF_RESUME | CF_R | CF_WFAIL))
		conn_defer(c);
}

void conn_read_hint(struct conn *c, uint64_t left)
{
	if (left > SCRATCH_SMALL)
		c->flags |= CF_BIG;
	else
		c->flags &= ~CF_BIG;
}

/* Closing --------------------------------------------------------------------------------- */

/* All is out, and nothing can come in that would turn the close into a reset. */
static bool is_finished(const struct conn *c)
{
	if (conn_pending(c) || (c->flags & CF_WFAIL))
		return false;
	if (!(c->flags & CF_SERVER) || (c->flags & CF_EOF))
		return true;
	return (c->flags & (CF_NO_MORE | CF_R)) == CF_NO_MORE && !conn_in_len(c);
}

void conn_expect_no_more(struct conn *c)
{
	if (!c->tls)            /* under TLS a close_notify is still to come */
		c->flags |= CF_NO_MORE;
}

void conn_set_shared(struct conn *c)
{
	c->flags |= CF_SHARED;
}

void conn_linger_step(struct conn *c)
{
	size_t before = conn_pending(c);
	size_t budget = READ_BUDGET;

	if ((c->flags & CF_W) && before)
		conn_flush(c);
	if (c->flags & (CF_DEAD | CF_WFAIL)) {
		conn_drop_fd(c);
		return;
	}
	if (before && conn_pending(c) < before &&
	    (uint32_t)engine_now_ms(conn_mod.e) - c->since_ms < LINGER_ALL_MS)
		engine_timer(conn_mod.e, &c->timer, LINGER_MS);
	while ((c->flags & CF_R) && !(c->flags & CF_EOF)) {
		ssize_t n = env_recv(c->ev.fd, conn_mod.scratch, SCRATCH_LARGE, MSG_TRUNC);

		if (n == -EAGAIN) {
			c->flags &= ~CF_R;
		} else if (n < 0) {
			conn_drop_fd(c);
			return;
		} else if (n == 0) {
			c->flags |= CF_EOF;
		} else if ((size_t)n >= budget) {
			conn_defer(c);
			return;
		} else {
			budget -= (size_t)n;
		}
	}
	if (is_finished(c))
		conn_drop_fd(c);
}

static void begin_linger(struct conn *c)
{
	struct conn_mod *m = &conn_mod;

	conn_owed_drop(c);
	c->flags |= CF_CLOSING;
	c->since_ms = (uint32_t)engine_now_ms(m->e);
	if (++m->n_linger > LINGER_MAX && !list_empty(&m->linger))
		conn_drop_fd(LIST_ENTRY(m->linger.next, struct conn, flush));
	list_append(&m->linger, &c->flush);
	engine_timer(m->e, &c->timer, LINGER_MS);
	/* What is in the kernel is swallowed later: the owner may still look at the scratch. */
	conn_defer(c);
}

unsigned conn_lingering(void)
{
	return conn_mod.n_linger;
}

bool conn_linger_owes(void)
{
	LIST_FOREACH(it, &conn_mod.linger)
		if (conn_pending(LIST_ENTRY(it, struct conn, flush)))
			return true;
	return false;
}

/* Is the transport still good for what is queued, e.g. a TLS alert behind an error? */
static bool can_linger(const struct conn *c)
{
	if (c->ev.fd < 0 || (c->flags & (CF_CONNECTING | CF_WFAIL)))
		return false;
	if (c->flags & CF_DEAD)
		return c->err == FL_ETLS_ || c->err == FL_EPROTO_;
	return true;
}

void conn_close(struct conn **cp)
{
	struct conn *c = *cp;

	*cp = NULL;
	if (!c || (c->flags & (CF_CLOSING | CF_FREED)))
		return;
	pump_detach(c);
	timer_stop(&c->timer);
	c->ops = NULL;
	if (!can_linger(c)) {
		conn_drop_fd(c);
		return;
	}
	c->flags &= ~CF_DEAD;
	c->flags |= CF_LAST;
	if (c->tls && !(c->flags & CF_HANDSHAKE))
		conn_shutdown_tls(c);
	conn_flush(c);
	/* An alert of a failed handshake is no byte of the stream, but it was sent. */
	if (is_finished(c) || (c->bytes_in == 0 && conn_pending(c) == 0 &&
			       !(c->flags & (CF_WFAIL | CF_SENT)))) {
		conn_drop_fd(c);        /* close() says FIN */
		return;
	}
	c->flags |= CF_SHUT;
	c->flags &= ~CF_HANDSHAKE;      /* it failed: the FIN waits for nothing */
	conn_flush(c);
	begin_linger(c);
}

void conn_abort(struct conn **cp)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	struct conn *c = *cp;

	*cp = NULL;
	if (!c || (c->flags & CF_FREED))
		return;
	pump_detach(c);
	if (c->ev.fd >= 0)
		env_setsockopt(c->ev.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	conn_drop_fd(c);
}

int conn_detach(struct conn **cp)
{
	struct conn *c = *cp;
	int fd = c->ev.fd;

	if (c->tls || fd < 0 || !conn_up(c) || conn_pending(c) || conn_has_input(c) || c->src ||
	    c->sink || (c->flags & (CF_CONNECTING | CF_SHUT | CF_WFAIL)))
		return -1;
	*cp = NULL;
	conn_not_counted(c);
	engine_del(conn_mod.e, &c->ev);
	c->ev.fd = -1;
	forget(c);
	return fd;
}

/* Facts ----------------------------------------------------------------------------------- */

void *conn_owner(const struct conn *c) { return c->owner; }
int conn_fd(const struct conn *c) { return c->ev.fd; }
const struct addr *conn_peer(const struct conn *c) { return &c->peer; }
struct engine *conn_engine(const struct conn *c) { (void)c; return conn_mod.e; }
bool conn_is_tls(const struct conn *c) { return c->tls != NULL; }
bool conn_is_dead(const struct conn *c) { return !conn_up(c); }
bool conn_is_paused(const struct conn *c) { return c->flags & CF_PAUSED; }
bool conn_eof_clean(const struct conn *c) { return c->flags & CF_EOF_CLEAN; }
uint64_t conn_bytes_in(const struct conn *c) { return c->bytes_in; }
uint64_t conn_bytes_out(const struct conn *c) { return c->bytes_out; }
uint64_t conn_started_us(const struct conn *c) { return c->started_us; }

/* Asked of the kernel when somebody wants to know and the listener's address does not say. */
const struct addr *conn_local(const struct conn *c)
{
	struct conn *w = (struct conn *)(uintptr_t)c;
	socklen_t n = sizeof(w->local);

	if (c->ev.fd >= 0 && !(c->flags & CF_CONNECTING) &&
	    (c->local.sa.sa_family == 0 || addr_is_any(&c->local))) {
		(void)getsockname(c->ev.fd, &w->local.sa, &n);
		addr_norm(&w->local);
	}
	return &c->local;
}

bool conn_has_input(const struct conn *c)
{
	return conn_in_len(c) || (c->flags & CF_EOF);
}

size_t conn_kept(const struct conn *c) { return conn_in_len(c); }

bool conn_check_idle(struct conn *c)
{
	uint8_t one;

	if (!conn_up(c) || conn_has_input(c) || conn_pending(c) ||
	    (c->flags & (CF_CONNECTING | CF_HANDSHAKE | CF_HUP | CF_WFAIL | CF_SHUT)))
		return false;
	return env_recv(c->ev.fd, &one, 1, MSG_PEEK) == -EAGAIN;
}

const char *conn_tls_version(const struct conn *c)
{
	return c->tls ? tls_io_version(c->tls) : NULL;
}
const char *conn_tls_cipher(const struct conn *c) { return c->tls ? tls_io_cipher(c->tls) : NULL; }
const char *conn_tls_alpn(const struct conn *c) { return c->tls ? tls_io_alpn(c->tls) : NULL; }
const char *conn_tls_sni(const struct conn *c) { return c->tls ? tls_io_sni(c->tls) : NULL; }
const char *conn_tls_reason(const struct conn *c) { return c->tls ? tls_io_reason(c->tls) : NULL; }
const char *conn_tls_why(const struct conn *c)
{
	return c->tls && *tls_io_reason(c->tls) ? tbl_tls_code(tls_io_why(c->tls)) : NULL;
}
bool conn_tls_resumed(const struct conn *c) { return c->tls && tls_io_resumed(c->tls); }
const char *conn_tls_client_subject(const struct conn *c)
{
	return c->tls ? tls_io_client_subject(c->tls) : NULL;
}
