/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp.c - a tcp vserver: rules on what a connection knows, a service, a relay
 *
 *   (TLS handshake) --> decide --> CONNECTING --ready--> tunnel --> over
 *                          |           `--failure: another service, pool's retries--'
 *                          `--reject, drop, reset, no service: closed
 *
 * Nothing of the client's bytes is taken before the service is there, so every failed attempt may
 * be repeated.
 */
#include "config.h"

#include "base/err.h"
#include "http/blocked.h"
#include "http/inside.h"
#include "http/refuse.h"
#include "stat/reason.h"

#define AVOID_MAX 8u

struct tcp {
	struct http_client cl;
	struct lb_vserver *vs;
	struct conn       *client, *service;
	struct lb_pool    *pool;
	struct lb_service *s;            /* lb_begin was done */
	const struct lb_service *avoid[AVOID_MAX];
	unsigned           n_avoid, tries;
	uint64_t           t_connect_us;
	struct tunnel     *tunnel;
	enum txn_code      failed;       /* the last try */
	bool               over, gone_early;
};

static const struct conn_ops client_ops, service_ops;
static void try_service(struct tcp *x);

static void give_back(void *obj)
{
	slab_put(&http_room.s_tcp, obj);
}

static void leave_service(struct tcp *x, bool connected)
{
	if (!x->s)
		return;
	if (connected)
		stat_dec(x->s->stat, CTR_SERVICE_CONN_CUR);
	lb_end(x->s);
	x->s = NULL;
}

static void end(struct tcp *x)
{
	if (x->over)
		return;
	x->over = true;
	leave_service(x, false);
	http_room.n_active--;
	stat_dec(http_room.w.proc, CTR_PROC_TCP_CUR);
	room_client_del(&x->cl);
	engine_free_later(http_room.w.engine, x, give_back);
}

static void refuse(struct tcp *x, bool reset)
{
	if (reset)
		conn_abort(&x->client);
	else
		conn_close(&x->client);
	end(x);
}

/* No service took the connection. */
static void give_up(struct tcp *x, enum txn_code why)
{
	stat_inc(x->vs->stat, CTR_VSERVER_NO_SERVICE);
	stat_reason(REFUSED_EXCHANGE, why - 1u);
	refuse(x, false);
}

/* While it goes: a long connection has a rate, too. */
static void relay_moved(void *ctx, uint64_t to_service, uint64_t to_client)
{
	struct tcp *x = ctx;

	stat_add(x->vs->stat, CTR_VSERVER_BYTES_IN, to_service);
	stat_add(x->vs->stat, CTR_VSERVER_BYTES_OUT, to_client);
	stat_add(http_room.w.proc, CTR_PROC_TCP_IN, to_service);
	stat_add(http_room.w.proc, CTR_PROC_TCP_OUT, to_client);
	stat_add(x->s->stat, CTR_SERVICE_BYTES_IN, to_service);
	stat_add(x->s->stat, CTR_SERVICE_BYTES_OUT, to_client);
}

static void relay_over(void *ctx, uint64_t to_service, uint64_t to_client, int err, int side)
{
	struct tcp *x = ctx;

	(void)to_service;
	(void)to_client;
	x->tunnel = NULL;
	if (err == FL_ETLS_ && side == 0)
		stat_inc(x->cl.lrow, CTR_LISTENER_TLS_FAIL);
	if (err && side == 0) {
		stat_inc(x->vs->stat, CTR_VSERVER_ABORT_CLIENT);
		stat_inc(x->s->stat, CTR_SERVICE_ABORT_CLIENT);
	} else if (err && side == 1) {
		stat_inc(x->vs->stat, CTR_VSERVER_ABORT_SERVER);
		stat_inc(x->s->stat, CTR_SERVICE_ABORT_SERVER);
		stat_inc(http_room.w.proc, CTR_PROC_TCP_ERRS);
	}
	leave_service(x, true);
	end(x);
}

static void drop_service(struct tcp *x)
{
	if (!x->service)
		return;
	conn_abort(&x->service);
	leave_service(x, true);
}

/* Choosing and connecting -------------------------------------------------------------------- */

/* Both the vserver and the pool limit the silence: the shorter one holds. */
static uint64_t idle_ms(const struct tcp *x)
{
	uint64_t vs = x->vs->idle_timeout_ms, pool = x->s->pool->tcp_idle_ms;

	return vs && pool ? FL_MIN(vs, pool) : FL_MAX(vs, pool);
}

static void on_service_ready(struct conn *c)
{
	struct tcp *x = conn_owner(c);
	struct conn *a = x->client, *b = x->service;

	stat_add(x->s->stat, CTR_SERVICE_CONNECT_US, room_now_us() - x->t_connect_us);
	x->client = x->service = NULL;
	x->tunnel = tunnel_start(a, b, idle_ms(x), relay_over, relay_moved, x);
	if (!x->tunnel) {
		leave_service(x, true);
		end(x);
	}
}

static bool start_connect(struct tcp *x)
{
	struct lb_pool *p = x->pool;
	struct conn_opts o = { .tls = p->tls,
			       .sni = p->tls ? p->sni : NULL,
			       .congestion = p->congestion,
			       .connect_timeout_ms = p->connect_timeout_ms };
	struct addr to;
	int err = FL_EUNRESOLVED_;

	if (lb_service_addr(x->s, &to))
		x->service = conn_connect(http_room.w.engine, &to, &o, &service_ops, x, &err);
	if (!x->service) {
		x->failed = refused_connect(x->s, NULL, err);
		return false;
	}
	conn_count(x->service, x->s->stat, &room_service_counters);
	x->t_connect_us = room_now_us();
	stat_inc(x->s->stat, CTR_SERVICE_CONN_CUR);
	stat_inc(x->s->stat, CTR_SERVICE_CONN_TOT);
	return true;
}

/* True: another try is allowed. */
static bool after_failure(struct tcp *x)
{
	stat_inc(x->s->stat, CTR_SERVICE_CONN_FAIL);
	stat_inc(http_room.w.proc, CTR_PROC_TCP_ERRS);
	if (x->tries > x->pool->retries)
		return false;
	stat_inc(x->s->stat, CTR_SERVICE_RETRIES);
	stat_inc(x->pool->stat, CTR_POOL_RETRIES);
	if (x->n_avoid < AVOID_MAX)
		x->avoid[x->n_avoid++] = x->s;
	return true;
}

static void try_service(struct tcp *x)
{
	struct lb_pick_in in = { .client = addr_ip(conn_peer(x->client)), .avoid = x->avoid,
				 .local = x->vs->view_local };
	const struct lb_service *before = x->n_avoid ? x->avoid[x->n_avoid - 1] : NULL;
	bool again;

	do {
		in.n_avoid = x->n_avoid;
		in.again = x->n_avoid > 0;
		x->s = lb_pick(x->pool, &in, false, NULL);
		if (!x->s) {
			give_up(x, TXN_NO_SERVICE);
			return;
		}
		if (before && before != x->s)
			stat_inc(x->pool->stat, CTR_POOL_REDISPATCH);
		before = x->s;
		x->tries++;
		lb_begin(x->s);
		stat_max(x->s->stat, CTR_SERVICE_LAST_MS, room_now_ms());
		if (start_connect(x))
			return;
		again = after_failure(x);
		leave_service(x, false);
	} while (again);
	give_up(x, x->failed);
}

static void on_service_error(struct conn *c, int err)
{
	struct tcp *x = conn_owner(c);
	bool again = after_failure(x);

	x->failed = refused_connect(x->s, c, err);
	drop_service(x);
	if (again) {
		try_service(x);
		return;
	}
	give_up(x, x->failed);
}

static size_t on_data(struct conn *c, const uint8_t *p, size_t n)
{
	(void)c;
	(void)p;
	(void)n;
	return 0;
}

static void tell(const struct conn *c, struct sb *out);

static const struct conn_ops service_ops = {
	.data = on_data,
	.ready = on_service_ready,
	.error = on_service_error,
	.tell = tell,
};

/* The client's side --------------------------------------------------------------------------- */

static void decide(struct tcp *x)
{
	struct http_facts h = { .client = *conn_peer(x->client), .local = *conn_local(x->client),
				.tls = conn_is_tls(x->client), .lc = http_room.w.lc };
	struct pol_facts f;
	struct lb_route route;

	fp_client(&h.client);
	h.sni = conn_tls_sni(x->client);
	h.tls_version = conn_tls_version(x->client);
	h.tls_cipher = conn_tls_cipher(x->client);
	h.tls_alpn = conn_tls_alpn(x->client);
	h.tls_subject = conn_tls_client_subject(x->client);
	http_facts_init(&f, &h);
	lb_route(x->vs, &f, NULL, NULL, NULL, true, &route);
	conn_deadline(x->client, 0);
	if (route.v.act == POL_ACT_USE_POOL) {
		x->pool = route.pool;
		try_service(x);
		return;
	}
	if (route.v.act == POL_ACT_REJECT || route.v.act == POL_ACT_DROP ||
	    route.v.act == POL_ACT_RESET) {
		stat_inc(x->vs->stat, CTR_VSERVER_DENIED);
		stat_reason(REFUSED_EXCHANGE,
			    (route.v.act == POL_ACT_REJECT ? TXN_DENIED : TXN_DROPPED) - 1u);
	} else {
		stat_reason(REFUSED_EXCHANGE, TXN_NO_ROUTE - 1u);
	}
	refuse(x, route.v.act == POL_ACT_RESET);
}

static void on_ready(struct conn *c)
{
	decide(conn_owner(c));
}

static void on_client_error(struct conn *c, int err)
{
	struct tcp *x = conn_owner(c);

	(void)err;
	room_count_tls(&x->cl, c);
	if (x->s) {
		stat_inc(x->vs->stat, CTR_VSERVER_ABORT_CLIENT);
		stat_inc(x->s->stat, CTR_SERVICE_ABORT_CLIENT);
	}
	drop_service(x);
	refuse(x, false);
}

static void on_client_timeout(struct conn *c)
{
	refuse(conn_owner(c), false);
}

static void tell(const struct conn *c, struct sb *out)
{
	const struct tcp *x = conn_owner(c);

	if (x->client)
		shape_client(x->vs, conn_peer(x->client), out);
}

static const struct conn_ops client_ops = {
	.data = on_data,
	.ready = on_ready,
	.error = on_client_error,
	.timeout = on_client_timeout,
	.tell = tell,
};

static void cut(struct http_client *cl)
{
	struct tcp *x = FL_CONTAINER_OF(cl, struct tcp, cl);

	if (x->tunnel) {
		tunnel_cut(x->tunnel);
		x->tunnel = NULL;
		leave_service(x, true);
	}
	drop_service(x);
	refuse(x, true);
}

static const struct http_client_ops client_list_ops = { .cut = cut };

void tcp_slab(struct slab *s)
{
	slab_init(s, "tcp", sizeof(struct tcp), 32, 0);
}

void tcp_accept(struct lb_vserver *vs, struct listener *l, struct conn *c)
{
	struct tcp *x = slab_get(&http_room.s_tcp);

	if (!x) {
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		conn_abort(&c);
		return;
	}
	x->vs = vs;
	x->client = c;
	x->cl.ops = &client_list_ops;
	if (is_blocked_client(vs, conn_peer(c)) || !room_client_add(&x->cl, vs, l)) {
		slab_put(&http_room.s_tcp, x);
		conn_abort(&c);
		return;
	}
	http_room.n_active++;
	stat_inc(http_room.w.proc, CTR_PROC_TCP_CONNS);
	stat_inc(http_room.w.proc, CTR_PROC_TCP_CUR);
	conn_count(c, vs->stat, &room_client_counters);
	if (conn_is_tls(c))
		conn_deadline(c, room_begin_ms(vs, c));
	conn_start(c, &client_ops, x);
}
