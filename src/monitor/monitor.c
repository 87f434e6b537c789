/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.c - the prober: schedules checks, takes results, publishes health
 *
 * Checks run at a fixed rate (the next start is the last one plus the interval, not plus the answer), so the origin sees
 * exactly one probe per interval whatever the latency. Starts are spread: a new service is looked at within a
 * moment, a known one somewhere in its interval. While none of a service's checks has ever passed the first
 * few are repeated sooner (judge.h).
 */
#include "config.h"

#include "monitor/target.h"

#include "base/env.h"
#include "base/log.h"
#include "monitor/judge.h"

#define FIRST_SPREAD_MS 100      /* services never probed before start within this and 1 ms a service */

static void check_due(struct timer *timer);

static struct stat_mon *check_record(struct check *c)
{
	return &c->t->health.mon[c->idx];
}

static void schedule(struct check *c, uint64_t after_ms)
{
	struct engine *e = c->t->m->env.engine;

	c->due_ms = engine_now_ms(e) + after_ms;
	engine_timer(e, &c->timer, after_ms);
}

/* Keeps the rate; after a long stall (stopped process) it does not catch up probe by probe. */
static void schedule_next(struct check *c)
{
	struct engine *e = c->t->m->env.engine;
	uint64_t now = engine_now_ms(e), every = FL_MAX(c->mon->every_us / 1000, 10u);

	c->due_ms += every;
	if (c->due_ms <= now)
		c->due_ms = now + every;
	engine_timer(e, &c->timer, c->due_ms - now);
}

static unsigned count_usable(const struct monitor *m, const struct lb_pool *p)
{
	unsigned usable = 0;

	for (unsigned i = 0; i < p->n_services; i++) {
		const struct lb_service *s = &p->services[i];

		usable += s->weight && lb_service_state(m->env.lc, s, NULL, NULL) == ST_SVC_UP;
	}
	return usable;
}

/* Says once when the last usable service of a pool goes and when one is back. */
static void tell_pool(struct target *t)
{
	struct lb_pool *p = t->s->pool;
	bool *down = &t->m->pool_down[p - t->m->env.lc->pools];
	unsigned usable = count_usable(t->m, p);

	if ((usable == 0) == *down)
		return;
	*down = usable == 0;
	if (*down)
		log_ev(EV_POOL_DOWN, "pool %s: no service can take traffic%s; see `fairleadctl show service`", p->name,
		       p->n_backups ? ", its backups are used" : "");
	else
		log_ev(EV_POOL_UP, "pool %s: %u of %u services can take traffic", p->name, usable, p->n_services);
}

void monitor_publish(struct target *t, uint32_t state, const char *reason)
{
	struct monitor *m = t->m;
	uint32_t was = t->health.state;
	bool first = t->health.since_us == 0;
	struct sb sb;

	t->health.state = state;
	if (state != was || first) {
		t->health.since_us = env_wall_us();
		sb_init(&sb, t->health.reason, sizeof(t->health.reason));
		sb_c(&sb, reason);
	}
	stat_health_set(m->env.seg, t->s->row, &t->health);
	if (state == was)
		return;
	if (was == ST_HEALTH_UP && state == ST_HEALTH_DOWN)
		stat_inc(t->s->stat, CTR_SERVICE_DOWNS);
	log_ev(state == ST_HEALTH_UP ? EV_SERVICE_UP : EV_SERVICE_STATE, "service %s: %s -> %s: %s", t->s->full_name,
	       tbl_state_name("HEALTH", (int)was), tbl_state_name("HEALTH", (int)state), reason);
	tell_pool(t);
}

static void check_done(void *ctx, const struct probe_result *r)
{
	struct check *c = ctx;
	struct target *t = c->t;
	struct stat_mon *rec = check_record(c);
	struct sb sb;

	c->probe = NULL;
	rec->check = r->check;
	rec->latency_us = r->latency_us;
	rec->http_status = r->http_status;
	rec->last_us = env_wall_us();
	sb_init(&sb, rec->text, sizeof(rec->text));
	sb_c(&sb, r->text);
	if (!r->ok)
		stat_inc(t->s->stat, CTR_SERVICE_PROBE_FAIL);
	judge_result(rec, r->ok, c->mon->rise, c->mon->fall);
	if (judge_early(rec) && c->due_ms > engine_now_ms(t->m->env.engine) + JUDGE_EARLY_MS)
		schedule(c, JUDGE_EARLY_MS);
	monitor_publish(t, judge_service(t->health.mon, t->n_checks), rec->text);
}

static void check_failed_to_start(struct check *c)
{
	struct probe_result r = { .check = ST_CHECK_SOCKERR };
	struct sb sb;

	sb_init(&sb, r.text, sizeof(r.text));
	sb_c(&sb, "no descriptor or memory for the probe");
	check_done(c, &r);
}

static void check_due(struct timer *timer)
{
	struct check *c = FL_CONTAINER_OF(timer, struct check, timer);
	struct target *t = c->t;
	struct monitor *m = t->m;
	struct probe_args a = { .env = &m->env, .mon = c->mon, .service = t->s, .done = check_done, .ctx = c };

	schedule_next(c);
	if (c->probe || t->s->state == ST_SVC_MAINT || !lb_service_addr(t->s, &a.to))
		return;
	if (c->mon->port)
		addr_set_port(&a.to, (uint16_t)c->mon->port);
	m->probes++;
	check_record(c)->probes++;
	stat_inc(t->s->stat, CTR_SERVICE_PROBES);
	stat_inc(m->env.proc, CTR_PROC_PROBES);
	switch (c->mon->type) {
	case LB_MON_PING:
		c->probe = probe_ping_start(&a);
		break;
	case LB_MON_TCP:
		c->probe = probe_tcp_start(&a);
		break;
	case LB_MON_HTTP:
		c->probe = probe_http_start(&a);
		break;
	}
	if (!c->probe)
		check_failed_to_start(c);
}

void monitor_target_resolved(struct target *t)
{
	for (unsigned i = 0; i < t->n_checks; i++)
		if (check_record(&t->checks[i])->probes == 0)
			schedule(&t->checks[i], 0);
}

/* What an earlier prober knew of this service's monitors, by name; a monitor that is new starts unknown. */
static void import_records(struct target *t)
{
	struct stat_health old;

	memset(&t->health, 0, sizeof(t->health));
	if (!stat_health_get(t->m->env.seg, t->s->row, &old))
		memset(&old, 0, sizeof(old));
	t->health.n_mon = t->n_checks;
	t->health.since_us = old.since_us;
	memcpy(t->health.reason, old.reason, sizeof(t->health.reason));
	for (unsigned i = 0; i < t->n_checks; i++) {
		struct stat_mon *rec = &t->health.mon[i];
		struct sb sb;

		for (unsigned k = 0; k < old.n_mon && k < STAT_MON_MAX; k++)
			if (strncmp(old.mon[k].name, t->checks[i].mon->name, sizeof(rec->name) - 1) == 0)
				*rec = old.mon[k];
		sb_init(&sb, rec->name, sizeof(rec->name));
		sb_c(&sb, t->checks[i].mon->name);
	}
	t->health.state = judge_service(t->health.mon, t->n_checks);
}

static void target_start(struct target *t, unsigned n_targets)
{
	import_records(t);
	stat_health_set(t->m->env.seg, t->s->row, &t->health);
	for (unsigned i = 0; i < t->n_checks; i++) {
		struct check *c = &t->checks[i];
		uint64_t spread = check_record(c)->probes ? c->mon->every_us / 1000 : FIRST_SPREAD_MS + n_targets;

		schedule(c, env_random_u64() % FL_MAX(FL_MIN(spread, c->mon->every_us / 1000), 1u));
	}
}

static void target_stop(struct target *t)
{
	for (unsigned i = 0; i < t->n_checks; i++) {
		timer_stop(&t->checks[i].timer);
		probe_cancel(&t->checks[i].probe);
	}
}

void monitor_run(struct monitor *m, bool on, uint32_t from_slot)
{
	if (on == m->running)
		return;
	m->running = on;
	if (!on) {
		monitor_resolve_stop(m);
		for (unsigned i = 0; i < m->n_targets; i++)
			target_stop(&m->targets[i]);
		probe_ping_listen(&m->env, false);
		return;
	}
	if (from_slot != STAT_NO_SLOT && from_slot != stat_own_slot(m->env.seg))
		stat_health_import(m->env.seg, from_slot);
	lb_refresh(m->env.lc);
	probe_ping_listen(&m->env, true);
	for (unsigned i = 0; i < m->env.lc->n_pools; i++)
		m->pool_down[i] = count_usable(m, &m->env.lc->pools[i]) == 0;
	for (unsigned i = 0; i < m->n_targets; i++)
		target_start(&m->targets[i], m->n_targets);
	if (monitor_resolve_start(m) < 0)
		log_ev(EV_RESOLVE, "resolver: cannot start; services with names keep their last addresses");
}

static bool target_init(struct monitor *m, struct target *t, struct lb_service *s)
{
	unsigned n = FL_MIN(s->pool->n_monitors, (unsigned)STAT_MON_MAX);

	t->m = m;
	t->s = s;
	t->checks = n ? env_calloc(n, sizeof(*t->checks)) : NULL;
	if (n && !t->checks)
		return false;
	t->n_checks = n;
	for (unsigned i = 0; i < n; i++) {
		t->checks[i].t = t;
		t->checks[i].mon = s->pool->monitors[i];
		t->checks[i].idx = i;
		timer_init(&t->checks[i].timer, check_due);
	}
	return true;
}

struct monitor *monitor_new(const struct monitor_env *env)
{
	struct monitor *m = env_calloc(1, sizeof(*m));
	unsigned n = 0;

	if (!m)
		return NULL;
	m->env = *env;
	for (unsigned i = 0; i < env->lc->n_pools; i++)
		n += env->lc->pools[i].n_services;
	m->targets = env_calloc(n ? n : 1, sizeof(*m->targets));
	m->pool_down = env_calloc(env->lc->n_pools ? env->lc->n_pools : 1, sizeof(*m->pool_down));
	for (unsigned i = 0; m->targets && m->pool_down && i < env->lc->n_pools; i++) {
		struct lb_pool *p = &env->lc->pools[i];

		for (unsigned k = 0; k < p->n_services; k++) {
			if ((p->n_monitors || p->services[k].host) &&
			    !target_init(m, &m->targets[m->n_targets++], &p->services[k])) {
				monitor_free(&m);
				return NULL;
			}
		}
	}
	if (!m->targets || !m->pool_down)
		monitor_free(&m);
	return m;
}

void monitor_free(struct monitor **mp)
{
	struct monitor *m = *mp;

	*mp = NULL;
	if (!m)
		return;
	monitor_run(m, false, STAT_NO_SLOT);
	for (unsigned i = 0; i < m->n_targets; i++)
		env_free(m->targets[i].checks);
	env_free(m->targets);
	env_free(m->pool_down);
	env_free(m);
}

uint64_t monitor_probes(const struct monitor *m)
{
	return m->probes;
}
