/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.c - schedules the checks of the services that this worker owns, takes results, publishes health
 *
 * Checks run at a fixed rate (the next start is the last one plus the interval, not plus the answer), so the origin sees
 * exactly one probe per interval whatever the latency. A new service is looked at within a moment; one that had another
 * owner when that one would have. While none of a service's checks has ever passed the first few are repeated
 * sooner (judge.h).
 */
#include "config.h"

#include "monitor/target.h"

#include "base/env.h"
#include "base/log.h"
#include "monitor/judge.h"

#define FIRST_SPREAD_MS 100      /* services never probed before start within this and 1 ms a service */
#define RESOLVED_MS     20       /* two ticks of the wheel: the end of this turn gives the service its address */

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

/* By the figures of lb_refresh(); the candidate of the pool's row says it, so one core does. */
void monitor_pools(struct monitor *m)
{
	for (unsigned i = 0; i < m->env.lc->n_pools; i++) {
		const struct lb_pool *p = &m->env.lc->pools[i];
		bool down = p->n_usable == 0;

		if (down == m->pool_down[i])
			continue;
		m->pool_down[i] = down;
		if (!m->running || stat_owner_candidate(m->env.seg, p->row, NULL) != stat_own_slot(m->env.seg))
			continue;
		if (down)
			log_ev(EV_POOL_DOWN, "pool %s: no service can take traffic%s; see `fairleadctl show service`", p->name,
			       p->n_backups ? ", its backups are used" : "");
		else
			log_ev(EV_POOL_UP, "pool %s: %u of %u services can take traffic", p->name, p->n_usable,
			       p->n_services);
	}
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
	if (!stat_health_set(m->env.seg, t->s->row, &t->health)) {
		monitor_target_lost(t);
		return;
	}
	if (state == was)
		return;
	monitor_tell(t, MAIL_NEWS);
	if (was == ST_HEALTH_UP && state == ST_HEALTH_DOWN)
		stat_inc(t->s->stat, CTR_SERVICE_DOWNS);
	log_ev(state == ST_HEALTH_UP ? EV_SERVICE_UP : EV_SERVICE_STATE, "service %s: %s -> %s: %s", t->s->full_name,
	       tbl_state_name("HEALTH", (int)was), tbl_state_name("HEALTH", (int)state), reason);
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
	else
		stat_own_average(t->s->stat, CTR_SERVICE_LRTM_US, r->latency_us);
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

	if (!monitor_target_mine(t))
		return;
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
			schedule(&t->checks[i], RESOLVED_MS);
}

/* What the owner before knew of this service's monitors, by name; a monitor that is new starts unknown. */
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

/* When the owner before would have started it. What is overdue, as when nobody was there for a while, is spread. */
static uint64_t first_ms(struct check *c)
{
	const struct stat_mon *rec = check_record(c);
	uint64_t every = FL_MAX(c->mon->every_us / 1000, 1u), now = env_wall_us(), ran;
	uint64_t spread = env_random_u64() % FL_MIN(every, FIRST_SPREAD_MS + (uint64_t)c->t->m->n_targets);

	if (rec->probes == 0 || rec->last_us == 0)
		return spread;
	ran = now > rec->last_us ? (now - rec->last_us + rec->latency_us) / 1000 : 0;
	if (ran >= every)
		return spread;
	return judge_early(rec) ? FL_MIN(every - ran, (uint64_t)JUDGE_EARLY_MS) : every - ran;
}

void monitor_target_start(struct target *t)
{
	uint64_t lrtm;

	import_records(t);
	/* the average goes on from what the owner before said, not from what was when this one had it last */
	lrtm = stat_total(t->m->env.seg, t->s->row, CTR_SERVICE_LRTM_US);
	if (lrtm)
		stat_own(t->s->stat, CTR_SERVICE_LRTM_US, lrtm);
	else
		stat_set(t->s->stat, CTR_SERVICE_LRTM_US, 0);
	(void)stat_health_set(t->m->env.seg, t->s->row, &t->health);
	for (unsigned i = 0; i < t->n_checks; i++)
		schedule(&t->checks[i], first_ms(&t->checks[i]));
}

void monitor_target_stop(struct target *t)
{
	for (unsigned i = 0; i < t->n_checks; i++) {
		timer_stop(&t->checks[i].timer);
		if (t->checks[i].probe)
			probe_cancel(&t->checks[i].probe);
	}
}

void monitor_run(struct monitor *m, bool on)
{
	if (on == m->running)
		return;
	m->running = on;
	if (!on) {
		monitor_own_stop(m);
		resolver_free(&m->resolver);
		(void)probe_ping_listen(&m->env, false);
		return;
	}
	for (unsigned i = 0; i < m->env.lc->n_pools; i++)
		m->pool_down[i] = m->env.lc->pools[i].n_usable == 0;
	(void)probe_ping_listen(&m->env, true);
	monitor_look(m);
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
	monitor_resolve_init(t);
	return true;
}

/* Is there anything to do for it? */
static bool is_owned(const struct monitor_env *env, const struct lb_service *s)
{
	return s->pool->n_monitors || s->host || monitor_is_measured(env->seg, s);
}

struct monitor *monitor_new(const struct monitor_env *env)
{
	struct monitor *m = env_calloc(1, sizeof(*m));
	unsigned n = 0;

	if (!m)
		return NULL;
	m->env = *env;
	monitor_own_init(m);
	for (unsigned i = 0; i < env->lc->n_pools; i++)
		n += env->lc->pools[i].n_services;
	m->targets = env_calloc(n ? n : 1, sizeof(*m->targets));
	m->pool_down = env_calloc(env->lc->n_pools ? env->lc->n_pools : 1, sizeof(*m->pool_down));
	for (unsigned i = 0; m->targets && m->pool_down && i < env->lc->n_pools; i++) {
		struct lb_pool *p = &env->lc->pools[i];

		for (unsigned k = 0; k < p->n_services; k++) {
			if (is_owned(env, &p->services[k]) &&
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
	monitor_run(m, false);
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
