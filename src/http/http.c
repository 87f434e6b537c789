/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.c - the room of one worker: its client connections, limits, drain and hand-over (DESIGN
 * section 1)
 *
 * Draining: idle clear-text clients are given to the successor at once, and again whenever one
 * becomes idle (a sweep every few milliseconds, since a connection can only move when its last
 * answer has left). Those that cannot move are told with their next answer.
 */
#include "config.h"

#include "http/http.h"

#include <netinet/in.h>
#include <linux/tcp.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "http/h1s.h"
#include "http/inside.h"
#include "http/module.h"
#include "http/refuse.h"
#include "http/upstream.h"

#define SWEEP_MS  20u
#define EVICT_MAX 32u      /* idle clients closed each time descriptors are short */

struct http_room http_room;

/* Descriptors are short: idle clients go, the oldest first. Without a successor to give them to, handing
 * over is closing; while draining the sweep does it. */
static void close_idle(void)
{
	struct http_room *r = &http_room;
	unsigned enough = r->n_clients - FL_MIN(r->n_clients, EVICT_MAX);

	if (r->draining)
		return;
	LIST_FOREACH_SAFE(it, next, &r->clients) {
		struct http_client *cl = LIST_ENTRY(it, struct http_client, link);

		if (cl->ops->hand_over)
			(void)cl->ops->hand_over(cl);
		if (r->n_clients <= enough)
			break;
	}
}

int http_init(struct http_worker *w)
{
	struct http_room *r = &http_room;
	int err;

	ASSERT(!r->on);
	*r = (struct http_room){ .w = *w, .on = true };
	list_init(&r->clients);
	list_init(&r->upstreams);
	list_init(&r->busy);
	r->out = env_malloc(HTTP_HEAD_OUT);
	if (!r->out) {
		r->on = false;
		return FL_ENOMEM_;
	}
	h1s_slab(&r->s_h1s, &r->s_h1x);
	exchange_slab(&r->s_exchange);
	tcp_slab(&r->s_tcp);
	tunnel_slab(&r->s_tunnel);
	slab_init(&r->s_h1c, "h1c", sizeof(struct h1c), 32, 0);
	r->buffer_limit = w->lc ? (size_t)(w->lc->buffer_memory / 10 * 9) : 0;
	listener_on_shortage(close_idle);
	err = module_worker_init(w);
	if (err < 0)
		http_fini();
	return err;
}

void http_fini(void)
{
	struct http_room *r = &http_room;

	if (!r->on)
		return;
	listener_on_shortage(NULL);
	http_cut();
	module_worker_fini();
	upstream_fini();
	timer_stop(&r->drain_timer);
	txn_fini();
	env_free(r->out);
	r->out = NULL;
	r->on = false;
}

bool room_is_full(void)
{
	return http_room.buffer_limit && buf_held() > http_room.buffer_limit;
}

/* What the kernel still holds counts too: its buffers may take seconds to empty. */
bool room_peer_owes(const struct conn *c, uint64_t *acked)
{
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);

	if (env_getsockopt(conn_fd(c), IPPROTO_TCP, TCP_INFO, &ti, &n) < 0)
		return false;
	*acked = ti.tcpi_bytes_acked;
	return conn_pending(c) || ti.tcpi_unacked || ti.tcpi_notsent_bytes;
}

/* "in" of a service is what goes there; of its connections, what comes from there. */
const struct conn_counters room_service_counters = {
	.segs_in = CTR_SERVICE_SEGS_OUT, .segs_out = CTR_SERVICE_SEGS_IN, .wait_in = CTR_SERVICE_PEND_OUT,
	.wait_out = CTR_SERVICE_PEND_IN, .unacked = CTR_SERVICE_PEND_SEGS,
};
const struct conn_counters room_client_counters = {
	.segs_in = CTR_VSERVER_SEGS_IN, .segs_out = CTR_VSERVER_SEGS_OUT, .wait_in = CTR_VSERVER_PEND_IN,
	.wait_out = CTR_VSERVER_PEND_OUT, .unacked = CONN_NOT_COUNTED,
};

/* The list of clients ------------------------------------------------------------------------ */

const char *room_listen_name(const struct listener *l, const struct lb_vserver *vs)
{
	const struct lb_config *lc = http_room.w.lc;

	for (unsigned i = 0; l && lc && i < lc->n_listens; i++)
		if (lc->listens[i].vserver == vs && addr_eq(&lc->listens[i].addr, &l->addr))
			return lc->listens[i].full_name;
	return "";
}

static bool at_limit(struct http_client *cl, const char *kind, const char *name, uint64_t limit)
{
	stat_inc(cl->lrow, CTR_LISTENER_REFUSED);
	refused_limit(kind, name, "max-connections", limit);
	return false;
}

bool room_client_add(struct http_client *cl, struct lb_vserver *vs, struct listener *l)
{
	struct http_room *r = &http_room;
	uint64_t all = r->w.lc ? r->w.lc->max_connections : 0;

	cl->vs = vs;
	cl->lrow = l ? l->stat : NULL;
	cl->listener = l;
	list_init(&cl->link);
	if (vs->max_connections && vs->n_conns >= vs->max_connections)
		return at_limit(cl, "vserver", vs->name, vs->max_connections);
	if (all && r->n_clients >= all)
		return at_limit(cl, "core", "all vservers", all);
	list_append(&r->clients, &cl->link);
	r->n_clients++;
	vs->n_conns++;
	stat_inc(vs->stat, CTR_VSERVER_CONN_CUR);
	stat_inc(vs->stat, CTR_VSERVER_CONN_TOT);
	stat_inc(cl->lrow, CTR_LISTENER_CONN_CUR);
	return true;
}

void room_client_del(struct http_client *cl)
{
	struct http_room *r = &http_room;

	list_del(&cl->link);
	r->n_clients--;
	cl->vs->n_conns--;
	stat_dec(cl->vs->stat, CTR_VSERVER_CONN_CUR);
	stat_dec(cl->lrow, CTR_LISTENER_CONN_CUR);
}

void http_accept(struct lb_vserver *vs, struct listener *l, struct conn *c)
{
	h1s_accept(vs, l, c);
}

unsigned http_clients(void)
{
	return http_room.n_clients;
}

unsigned http_active(void)
{
	return http_room.n_active;
}

/* Draining ------------------------------------------------------------------------------------- */

static void sweep(struct timer *t)
{
	struct http_room *r = &http_room;
	bool failed = false;

	(void)t;
	if (r->give_failed)
		return;
	LIST_FOREACH_SAFE(it, next, &r->clients) {
		struct http_client *cl = LIST_ENTRY(it, struct http_client, link);

		failed |= cl->ops->hand_over && !cl->ops->hand_over(cl);
	}
	r->give_failed = failed;
	if (r->n_clients)
		engine_timer(r->w.engine, &r->drain_timer, SWEEP_MS);
}

void http_drain(bool (*give)(void *ctx, int fd, const char *listen_name, const struct addr *peer),
		void *ctx)
{
	struct http_room *r = &http_room;

	if (!r->draining)
		timer_init(&r->drain_timer, sweep);
	r->draining = true;
	r->give = give;
	r->give_ctx = ctx;
	r->give_failed = false;
	upstream_trim(true);
	timer_stop(&r->drain_timer);
	sweep(&r->drain_timer);
}

unsigned http_cut(void)
{
	struct http_room *r = &http_room;
	unsigned active = r->n_active;

	LIST_FOREACH_SAFE(it, next, &r->clients) {
		struct http_client *cl = LIST_ENTRY(it, struct http_client, link);

		cl->ops->cut(cl);
	}
	return active;
}

void http_services_changed(void)
{
	upstream_trim(false);
}
