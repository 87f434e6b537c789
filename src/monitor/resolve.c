/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.c - names of services are asked again at their TTL; the last good answer stays in use (F30)
 */
#include "config.h"

#include "monitor/target.h"

#include "base/env.h"
#include "base/log.h"

#define RESOLVE_SPREAD_MS 50
#define TTL_MAX_MS        86400000u

static void answered(void *ctx, const struct resolver_answer *a)
{
	struct target *t = ctx;
	struct monitor *m = t->m;
	struct stat_dns d, old;
	bool known = stat_dns_get(m->env.seg, t->s->row, &old), had = known && old.n > 0;
	bool is_news = !known || a->status != 0 || a->n != old.n || memcmp(a->addr, old.addr, a->n * sizeof(old.addr[0])) != 0;
	struct sb sb;

	t->resolving = false;
	memset(&d, 0, sizeof(d));
	if (had)
		d = old;
	d.status = (uint32_t)-a->status;
	if (a->status == 0) {
		d.n = FL_MIN(a->n, (unsigned)STAT_DNS_MAX);
		memcpy(d.addr, a->addr, d.n * sizeof(d.addr[0]));
		d.resolved_us = env_wall_us();
	}
	d.expires_us = env_wall_us() + (uint64_t)a->ttl_s * 1000000;
	sb_init(&sb, d.text, sizeof(d.text));
	sb_c(&sb, a->text);
	if (!stat_dns_set(m->env.seg, t->s->row, &d)) {
		monitor_target_lost(t);
		return;
	}
	if (is_news)
		monitor_tell(t, MAIL_NEWS);
	/* a name that stays away is asked for every few seconds: the first time says it all */
	if (a->status != 0 && (!known || old.status != d.status || strcmp(old.text, d.text) != 0))
		log_ev_key(EV_RESOLVE, str_c(t->s->full_name), "service %s: %s does not resolve: %s%s", t->s->full_name,
			   t->s->host, a->text, had ? "; the last addresses stay in use" : "");
	else if (a->status == 0 && (!had || old.status != 0))
		log_ev(EV_RESOLVED, "service %s: %s resolved: %s", t->s->full_name, t->s->host, a->text);
	engine_timer(m->env.engine, &t->resolve_timer, (uint64_t)a->ttl_s * 1000);
	if (!had && a->status == 0)
		monitor_target_resolved(t);
}

static void ask(struct timer *timer)
{
	struct target *t = FL_CONTAINER_OF(timer, struct target, resolve_timer);
	struct monitor *m = t->m;

	if (t->resolving || !monitor_target_mine(t))
		return;
	stat_inc(m->env.proc, CTR_PROC_RESOLVES);
	t->resolving = resolver_query(m->resolver, t->s->host, answered, t) == 0;
	if (!t->resolving)
		engine_timer(m->env.engine, &t->resolve_timer, 1000 + env_random_u64() % 1000);
}

/* A new generation may have another name for the service, or other name servers: it asks at once. */
static uint64_t first_ms(const struct target *t, uint32_t why)
{
	uint64_t spread = env_random_u64() % RESOLVE_SPREAD_MS, now = env_wall_us();
	struct stat_dns d;

	if (why == ST_OWNER_FIRST || why == ST_OWNER_RELOAD || !stat_dns_get(t->m->env.seg, t->s->row, &d) ||
	    d.expires_us <= now)
		return spread;
	return FL_MIN((d.expires_us - now) / 1000, (uint64_t)TTL_MAX_MS) + spread;
}

void monitor_resolve_init(struct target *t)
{
	timer_init(&t->resolve_timer, ask);
}

void monitor_resolve_start(struct target *t, uint32_t why)
{
	struct monitor *m = t->m;
	int err;

	if (!t->s->host)
		return;
	if (!m->resolver)
		m->resolver = resolver_new(m->env.engine, m->env.lc->resolvers, m->env.lc->n_resolvers, &err);
	if (m->resolver)
		engine_timer(m->env.engine, &t->resolve_timer, first_ms(t, why));
	else
		log_ev_key(EV_RESOLVE, STR("resolver"), "resolver: cannot start; services with names keep their last addresses");
}

void monitor_resolve_stop(struct target *t)
{
	timer_stop(&t->resolve_timer);
	if (t->resolving && t->m->resolver)
		resolver_cancel(t->m->resolver, t);
	t->resolving = false;
}
