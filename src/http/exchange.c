/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.c - one request at its services (see exchange.h)
 *
 * When may a try be repeated (RFC 9110 section 9.2.2, ROBUSTNESS F20, F24)? Never after a byte of
 * the response or of the request's body; then, if no byte of the request went to the kernel, or
 * the method is idempotent. A request that is not idempotent is sent on a pooled connection only
 * when that is younger than FRESH_MS and the kernel says it is open (doc/decisions/005-txn.md): a
 * closed one is the usual way in which a request would be lost without a right to repeat it.
 */
#include "config.h"

#include "http/exchange.h"

#include "base/err.h"
#include "http/blocked.h"
#include "http/refuse.h"
#include "http/respbuf.h"
#include "http/upstream.h"

#define FRESH_MS  1000u
#define AVOID_MAX 8u

struct exchange {
	struct txn        *t;
	struct lb_pool    *pool;
	struct lb_service *service;     /* lb_begin was done, lb_end is due */
	struct h1c        *m;
	struct http_head  *head;
	const char        *sni;
	const struct lb_service *avoid[AVOID_MAX];
	unsigned           n_avoid, retries;
	bool               req_ended;   /* by the client */
	bool               body_used;   /* some of the body went out */
	bool               no_host;     /* the client gave none */
	bool               tunnel;      /* the connection was given away */
	size_t             extra;       /* of it, counted already */
	uint64_t           before[2];   /* content until then */
	bool               head_sent, resp_begun, fresh_only, in_try, waits_continue;
	bool               waiting;     /* counted as such: no byte of a response yet */
	enum txn_code      failed;      /* a try failed inside try_service() */
	struct respbuf     buf;         /* of the response, where the pool asks for it */
	struct timer       wait;        /* for 100 */
};

static const struct h1c_user_ops user_ops;
static void try_service(struct exchange *x);

/* Ends --------------------------------------------------------------------------------------- */

static void wait_over(struct exchange *x)
{
	if (x->waiting)
		stat_dec(x->service->stat, CTR_SERVICE_WAITING);
	x->waiting = false;
}

static void begin_service(struct exchange *x)
{
	struct stat_row *row = x->service->stat;

	lb_begin(x->service);
	stat_max(row, CTR_SERVICE_LAST_MS, room_now_ms());
	stat_inc(row, CTR_SERVICE_WAITING);
	x->waiting = true;
}

static void leave_service(struct exchange *x)
{
	wait_over(x);
	if (x->service)
		lb_end(x->service);
	x->service = NULL;
}

static void free_exchange(struct exchange *x)
{
	timer_stop(&x->wait);
	leave_service(x);
	bufq_clear(&x->buf.kept);
	slab_put(&http_room.s_exchange, x);
}

static void give_up(struct exchange *x, enum txn_code why)
{
	struct txn *t = x->t;

	if (x->m)
		h1c_drop(x->m);
	free_exchange(x);
	txn_up_fail(t, why);
}

/* The service's books of a connection that was given away. */
static void tunnel_over(struct exchange *x)
{
	struct stat_row *row = x->service->stat;
	uint64_t in = x->t->flow[TXN_REQ].bytes - x->before[TXN_REQ];
	uint64_t out = x->t->flow[TXN_RESP].bytes - x->before[TXN_RESP];

	stat_add(row, CTR_SERVICE_BYTES_IN, in);
	stat_add(row, CTR_SERVICE_BYTES_OUT, out - FL_MIN(out, (uint64_t)x->extra));
	stat_dec(row, CTR_SERVICE_CONN_CUR);
}

/* The txn is over. */
static void up_reset(struct txn *t, enum txn_code why)
{
	struct exchange *x = t->up;

	t->up = NULL;
	if (x->tunnel)
		tunnel_over(x);
	if (x->m && why == TXN_OK)
		h1c_release(x->m);
	else if (x->m)
		h1c_drop(x->m);
	free_exchange(x);
}

/* Repeating ---------------------------------------------------------------------------------- */

static bool may_repeat(const struct exchange *x, bool unsent)
{
	return !x->resp_begun && !x->body_used && x->retries < x->pool->retries &&
	       (unsent || http_method_idempotent(x->head->method));
}

static void count_failure(struct exchange *x, enum txn_code why)
{
	struct stat_row *row = x->service->stat;

	switch (why) {
	case TXN_CONNECT_FAILED:
	case TXN_CONNECT_TIMEOUT:
	case TXN_TLS_FAILED:
		stat_inc(row, CTR_SERVICE_CONN_FAIL);
		break;
	case TXN_SERVICE_BAD:
		stat_inc(row, CTR_SERVICE_RESP_BAD);
		stat_inc(row, CTR_SERVICE_RESP_ERR);
		break;
	case TXN_SERVICE_CUT:
		stat_inc(row, CTR_SERVICE_RESP_CUT);
		stat_inc(row, CTR_SERVICE_RESP_ERR);
		break;
	case TXN_SERVICE_TIMEOUT:
		stat_inc(row, CTR_SERVICE_RESP_LATE);
		stat_inc(row, CTR_SERVICE_RESP_ERR);
		break;
	case TXN_SERVICE_CLOSED:
		stat_inc(row, CTR_SERVICE_RESP_ERR);
		break;
	default:
		return;                          /* our own trouble, or the client's */
	}
	stat_inc(http_room.w.proc, CTR_PROC_HTTP_ERRS);
}

/* The connection failed; m is still there. */
static void try_failed(struct exchange *x, enum txn_code why, const char *reason)
{
	struct h1c *m = x->m;
	bool unsent = !m || !x->head_sent || h1c_unsent(m);
	bool raced = m && m->reused && why == TXN_SERVICE_CLOSED;
	bool again = may_repeat(x, unsent) && !(m && m->t_first_us) && why != TXN_SERVICE_BAD &&
		     why != TXN_SERVICE_TIMEOUT;

	if (!(raced && again))
		count_failure(x, why);
	if (why == TXN_SERVICE_BAD || why == TXN_SERVICE_CUT)
		x->t->reason = reason;
	if (!again) {
		give_up(x, why);
		return;
	}
	x->m = NULL;
	if (m)
		h1c_drop(m);
	x->retries++;
	x->t->retries++;
	stat_inc(x->service->stat, CTR_SERVICE_RETRIES);
	stat_inc(x->pool->stat, CTR_POOL_RETRIES);
	if (!raced && x->n_avoid < AVOID_MAX)
		x->avoid[x->n_avoid++] = x->service;
	x->fresh_only = true;
	x->head_sent = false;
	timer_stop(&x->wait);
	leave_service(x);
	x->failed = why;
	if (!x->in_try)
		try_service(x);
}

/* Trying --------------------------------------------------------------------------------------- */

static void on_wait_over(struct timer *w)
{
	struct exchange *x = FL_CONTAINER_OF(w, struct exchange, wait);
	struct http_head h = { .is_response = true,
			       .minor = 1,
			       .status = 100,
			       .reason = STR("Continue"),
			       .keepalive = true };

	if (x->resp_begun || x->body_used)
		return;
	x->waits_continue = false;
	txn_up_info(x->t, &h);
}

static void send_request(struct exchange *x)
{
	struct txn *t = x->t;
	int r = h1c_send_head(x->m, x->head, t->pool);

	x->head_sent = true;
	if (r == 0 && x->req_ended)
		r = h1c_send_end(x->m, NULL);
	if (r == FL_ECLOSED_) {         /* its end was not told yet; nothing went out */
		try_failed(x, TXN_SERVICE_CLOSED, NULL);
		return;
	}
	if (r < 0) {
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		give_up(x, r == FL_ELIMIT_ ? TXN_HEAD_SIZE : TXN_NO_MEMORY);
		return;
	}
	if (x->waits_continue)
		engine_timer(http_room.w.engine, &x->wait, HTTP_CONTINUE_MS);
	if (!x->req_ended && !x->in_try)
		txn_up_credit(t);
}

static void on_ready(struct h1c *m)
{
	struct exchange *x = m->user;

	x->t->t_conn_us = m->t_connect_us;
	send_request(x);
}

/* The name to ask for in TLS: its pool's, else the request's host without brackets. */
static const char *tls_name(struct txn *t, const struct lb_pool *p, const struct http_head *h)
{
	if (!p->tls)
		return NULL;
	if (p->sni)
		return p->sni;
	return h->host.n && h->host.p[0] != '[' ? pool_strndup(t->pool, h->host.p, h->host.n)
						: NULL;
}

/* HTTP/1.0 may come without a host, HTTP/1.1 may not go without: the service is asked by its own
 * name (RFC 9112 section 3.2). */
static bool name_host(struct exchange *x)
{
	const struct lb_service *s = x->service;
	char text[ADDR_TEXT_MAX];

	if (x->head->authority.n && !x->no_host)
		return true;
	x->no_host = true;
	if (s->host)
		x->head->authority = str_c(pool_fmt(x->t->pool, "%s:%u", s->host, s->port));
	else
		x->head->authority = pool_str(x->t->pool, str_c(addr_text(&s->addr, text)));
	return x->head->authority.n > 0;
}

static struct h1c *take_idle(struct exchange *x)
{
	bool safe = http_method_idempotent(x->head->method) && x->head->body == HB_NONE &&
		    x->pool->retries > x->retries;

	if (x->fresh_only || x->pool->idle_max == 0)
		return NULL;
	return upstream_take(x->service, x->sni, !safe, safe ? 0 : FRESH_MS);
}

/* One try at one service. Says no by x->failed. */
static void try_once(struct exchange *x)
{
	int err = 0;

	if (!name_host(x)) {
		try_failed(x, TXN_NO_MEMORY, NULL);
		return;
	}
	x->sni = tls_name(x->t, x->service->pool, x->head);
	x->m = take_idle(x);
	if (x->m) {
		h1c_attach(x->m, &user_ops, x);
		send_request(x);
		return;
	}
	x->m = upstream_connect(x->service, x->sni, &user_ops, x, &err);
	if (!x->m)
		try_failed(x, refused_connect(x->service, NULL, err), fl_err_name(err));
}

static void try_service(struct exchange *x)
{
	struct txn *t = x->t;
	struct lb_pick_in in = { .client = addr_ip(&t->client), .avoid = x->avoid, .local = t->vs->view_local };
	const struct lb_service *before = t->service;

	txn_hold(t);
	do {
		in.n_avoid = x->n_avoid;
		in.again = x->retries > 0;
		x->failed = TXN_OK;
		x->service = lb_pick(x->pool, &in, false, NULL);
		if (!x->service) {
			x->in_try = false;
			stat_inc(t->vs->stat, CTR_VSERVER_NO_SERVICE);
			give_up(x, TXN_NO_SERVICE);
			break;
		}
		if (before && before != x->service)
			stat_inc(x->pool->stat, CTR_POOL_REDISPATCH);
		before = t->service = x->service;
		begin_service(x);
		x->in_try = true;
		try_once(x);
		if (t->over || t->up_gone)
			break;          /* x is gone */
		x->in_try = false;
	} while (x->failed);
	txn_release(t);
}

/* From the connection ------------------------------------------------------------------------ */

static void on_info(struct h1c *m, const struct http_head *h)
{
	struct exchange *x = m->user;

	if (h->status == 100)
		timer_stop(&x->wait);
	txn_up_info(x->t, h);
}

static void count_ttfb(struct stat_row *row, uint64_t us)
{
	stat_inc(row, CTR_SERVICE_TXNS);
	stat_add(row, CTR_SERVICE_TTFB_US, us);
	stat_min(row, CTR_SERVICE_TTFB_MIN_US, us);
	stat_max(row, CTR_SERVICE_TTFB_MAX_US, us);
	stat_average(row, CTR_SERVICE_TTFB_MED_US, us);
}

static void on_head(struct h1c *m, struct http_head *h)
{
	struct exchange *x = m->user;
	struct txn *t = x->t;
	struct stat_row *row = x->service->stat;

	x->resp_begun = true;
	timer_stop(&x->wait);
	t->t_first_us = m->t_first_us;
	stat_inc(row, status_counter(CTR_SERVICE_R1XX, h->status));
	wait_over(x);
	count_ttfb(row, m->t_first_us - m->t_sent_us);
	txn_up_head(t, h);
}

static size_t on_room(struct h1c *m)
{
	struct exchange *x = m->user;

	return x->buf.max ? respbuf_room(&x->buf, x->t) : txn_up_room(x->t);
}

static void on_data(struct h1c *m, struct str s)
{
	struct exchange *x = m->user;
	struct txn *t = x->t;

	if (!x->buf.max) {
		txn_up_data(t, s);
		return;
	}
	txn_hold(t);
	if (respbuf_take(&x->buf, t, s) < 0 && !t->over) {
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		give_up(x, TXN_NO_MEMORY);
	}
	txn_release(t);
}

static void on_end(struct h1c *m, struct http_head *trailers)
{
	struct exchange *x = m->user;

	if (!x->buf.kept.len) {
		txn_up_end(x->t, trailers);
		return;
	}
	x->buf.ended = true;
	x->buf.trailers = trailers;
	if (!x->req_ended) {        /* an early answer: it still takes the request */
		conn_deadline(m->c, 0);
		return;
	}
	x->m = NULL;
	h1c_release(m);
	leave_service(x);
}

static void on_broken(struct h1c *m, enum txn_code why, const char *reason)
{
	struct exchange *x = m->user;

	if (why == TXN_CLIENT_ABORT) {
		txn_abort(x->t, why);
	} else if (x->buf.ended) {      /* the answer is here; what broke is the rest of the request */
		x->m = NULL;
		h1c_drop(m);
		leave_service(x);
		txn_up_credit(x->t);
	} else {
		try_failed(x, why, reason);
	}
}

static void on_room_grew(struct h1c *m)
{
	struct exchange *x = m->user;

	if (x->head_sent && !x->req_ended)
		txn_up_credit(x->t);
}

static void *on_sink(struct h1c *m)
{
	struct exchange *x = m->user;

	return x->buf.max ? NULL : txn_raw(x->t, TXN_RESP);
}

static void on_moved(struct h1c *m, enum txn_dir d, size_t n)
{
	struct exchange *x = m->user;

	txn_moved(x->t, d, n);
}

static void on_tell(const struct h1c *m, struct sb *out)
{
	const struct exchange *x = m->user;

	shape_request(x->t->vs, x->t->req, out);
}

static const struct h1c_user_ops user_ops = {
	.ready = on_ready,
	.info = on_info,
	.head = on_head,
	.room = on_room,
	.data = on_data,
	.end = on_end,
	.broken = on_broken,
	.room_grew = on_room_grew,
	.sink = on_sink,
	.moved = on_moved,
	.tell = on_tell,
};

/* From the txn -------------------------------------------------------------------------------- */

static void up_head(struct txn *t, struct http_head *h)
{
	struct exchange *x = t->up;

	x->head = h;
	x->req_ended = h->body == HB_NONE || (h->body == HB_LENGTH && h->length == 0);
	x->waits_continue = h->expect_continue && !x->req_ended;
	try_service(x);
}

/* A service that takes no more may have said why: its answer or its end comes from the mux. */
static void sent(struct exchange *x, int r)
{
	if (r < 0 && r != FL_ECLOSED_)
		give_up(x, TXN_NO_MEMORY);
}

static void up_data(struct txn *t, struct str s)
{
	struct exchange *x = t->up;

	x->body_used = true;
	timer_stop(&x->wait);
	if (x->m)
		sent(x, h1c_send_data(x->m, s));
}

static void up_end(struct txn *t, const struct http_head *trailers)
{
	struct exchange *x = t->up;

	if (x->req_ended)
		return;
	x->req_ended = true;
	if (!x->head_sent)
		return;             /* an empty body: told when the head goes out */
	x->body_used = true;
	if (x->m)
		sent(x, h1c_send_end(x->m, trailers));
}

static size_t up_room(struct txn *t)
{
	struct exchange *x = t->up;

	if (!x->m && x->buf.ended)
		return HTTP_WRITE_MAX;      /* nobody is left to read it */
	return x->m && x->head_sent ? h1c_room(x->m) : 0;
}

static void up_credit(struct txn *t)
{
	struct exchange *x = t->up;

	if (!x->resp_begun)
		return;
	txn_hold(t);
	if (x->buf.max)
		respbuf_drain(&x->buf, t);
	if (!t->over && x->m)
		h1c_resume(x->m);
	txn_release(t);
}

static void *up_raw(struct txn *t)
{
	struct exchange *x = t->up;

	/* Only behind a part that came this way: it is what forbids repeating and our own 100. */
	return x->m && x->body_used && !x->m->chunked && !conn_is_tls(x->m->c) ? x->m->c : NULL;
}

static void *up_yield(struct txn *t)
{
	struct exchange *x = t->up;
	struct conn *c = x->m ? h1c_yield(x->m, &x->extra) : NULL;

	x->m = NULL;
	x->tunnel = c != NULL;
	x->before[TXN_REQ] = t->flow[TXN_REQ].bytes;
	x->before[TXN_RESP] = t->flow[TXN_RESP].bytes;
	return c;
}

static const struct txn_up_ops up_ops = {
	.head = up_head,
	.data = up_data,
	.end = up_end,
	.room = up_room,
	.credit = up_credit,
	.raw = up_raw,
	.yield = up_yield,
	.reset = up_reset,
};

void exchange_start(struct txn *t, struct lb_pool *pool, struct http_head *fwd)
{
	struct exchange *x = slab_get(&http_room.s_exchange);

	if (!x) {
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		txn_fail(t, TXN_NO_MEMORY);
		return;
	}
	x->t = t;
	x->pool = pool;
	x->buf.max = pool->buffer_response;
	timer_init(&x->wait, on_wait_over);
	txn_forward(t, fwd, &up_ops, x);
}

void exchange_slab(struct slab *s)
{
	slab_init(s, "exchange", sizeof(struct exchange), 32, 0);
}
