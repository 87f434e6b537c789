/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream.c - the idle pools: one per service and worker, last in first out (ENGINE section 8)
 *
 * A connection in the pool is watched like any other: bytes or an end that come uninvited close
 * it at once, so what is found here was open when the loop last looked. Only the race with a
 * close on its way is left (F24): exchange.c repeats what may be repeated, and for the rest asks
 * the kernel once more (check) and takes young connections only.
 */
#include "config.h"

#include "http/upstream.h"

#include "base/env.h"
#include "base/err.h"
#include "base/hash.h"
#include "net/tls.h"

#define LOOK_AT 16          /* idle connections looked at for one with the right TLS name */

struct upstream *upstream_of(struct lb_service *s)
{
	struct upstream *u = s->upstream;

	if (u)
		return u;
	u = env_calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->service = s;
	list_init(&u->idle);
	list_append(&http_room.upstreams, &u->all);
	s->upstream = u;
	return u;
}

static uint64_t sni_key(const struct lb_pool *p, const char *sni)
{
	return p->tls && sni ? fl_hash64(sni, strlen(sni), 1) : 0;
}

static bool is_right_address(const struct h1c *m)
{
	const struct lb_service *s = m->service;

	if (!s->host)
		return true;
	for (unsigned i = 0; i < s->n_dns; i++)
		if (ip_eq(addr_ip(&m->addr), s->dns[i]))
			return true;
	return false;
}

struct h1c *upstream_take(struct lb_service *s, const char *sni, bool check, uint64_t max_age_ms)
{
	struct upstream *u = s->upstream;
	uint64_t key = sni_key(s->pool, sni);
	unsigned looked = 0;

	if (!u)
		return NULL;
	LIST_FOREACH_SAFE(it, next, &u->idle) {
		struct h1c *m = LIST_ENTRY(it, struct h1c, link);

		if (++looked > LOOK_AT)
			break;
		if (m->sni_hash != key)
			continue;
		if (max_age_ms && room_now_ms() - m->idle_since_ms > max_age_ms)
			break;          /* the rest is older */
		if (conn_is_dead(m->c) || conn_has_input(m->c) ||
		    (check && !conn_check_idle(m->c))) {
			h1c_drop(m);
			continue;
		}
		list_del(&m->link);
		u->n_idle--;
		stat_dec(s->stat, CTR_SERVICE_CONN_IDLE);
		list_append(&http_room.busy, &m->link);
		m->reused = true;
		stat_inc(s->stat, CTR_SERVICE_REUSE);
		return m;
	}
	return NULL;
}

struct h1c *upstream_connect(struct lb_service *s, const char *sni, const struct h1c_user_ops *ops,
			     void *user, int *err)
{
	const struct lb_pool *p = s->pool;
	struct conn_opts o = {
		.tls = p->tls,
		.sni = p->tls ? sni : NULL,
		.congestion = p->congestion,
		.connect_timeout_ms = p->connect_timeout_ms,
		.speaks_first = true,
	};
	struct h1c *m;
	struct addr to;

	*err = FL_EUNRESOLVED_;
	if (!lb_service_addr(s, &to))
		return NULL;
	*err = FL_ENOMEM_;
	if (!upstream_of(s))
		return NULL;
	m = h1c_new(s);
	if (!m)
		return NULL;
	m->addr = to;
	m->sni_hash = sni_key(p, sni);
	m->c = conn_connect(http_room.w.engine, &to, &o, &h1c_conn_ops, m, err);
	if (!m->c) {
		slab_put(&http_room.s_h1c, m);
		return NULL;
	}
	conn_count(m->c, s->stat, &room_service_counters);
	h1c_attach(m, ops, user);
	m->state = H1C_CONNECTING;
	m->t_connect_us = room_now_us();
	list_append(&http_room.busy, &m->link);
	stat_inc(s->stat, CTR_SERVICE_CONN_CUR);
	stat_inc(s->stat, CTR_SERVICE_CONN_TOT);
	return m;
}

void upstream_trim(bool all)
{
	LIST_FOREACH(a, &http_room.upstreams) {
		struct upstream *u = LIST_ENTRY(a, struct upstream, all);
		bool usable = u->service->state == ST_SVC_UP || u->service->state == ST_SVC_DRAIN;

		LIST_FOREACH_SAFE(it, next, &u->idle) {
			struct h1c *m = LIST_ENTRY(it, struct h1c, link);

			if (all || !usable || !is_right_address(m))
				h1c_drop(m);
		}
	}
}

void upstream_fini(void)
{
	struct list *it;

	upstream_trim(true);
	while ((it = list_pop(&http_room.upstreams))) {
		struct upstream *u = LIST_ENTRY(it, struct upstream, all);

		u->service->upstream = NULL;
		env_free(u);
	}
}
