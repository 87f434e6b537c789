/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own.c - which services this worker owns: takes them, gives them up, tells the others
 */
#include "config.h"

#include "monitor/target.h"

#include "base/log.h"

#define LOOK_PER_TURN 64u        /* services looked at in one turn: taking one copies 4 KiB, at first into new pages, 40 us */

void monitor_tell(const struct target *t, enum mail_type type)
{
	const struct monitor_env *env = &t->m->env;
	struct mail m = { .type = type, .row = t->s->row, .epoch = t->epoch };

	if (env->tell)
		env->tell(env->ctx, &m);
}

/* One letter for many: the receivers look at all claims. */
static void tell_taken(struct monitor *m, const struct target *last, unsigned n)
{
	struct mail all = { .type = MAIL_CLAIM, .row = STAT_NO_ROW };

	if (n == 1)
		monitor_tell(last, MAIL_CLAIM);
	else if (n && m->env.tell)
		m->env.tell(m->env.ctx, &all);
}

static void count_owned(struct monitor *m)
{
	stat_set(m->env.proc, CTR_PROC_OWNED, m->n_owned);
}

static void give_up(struct target *t)
{
	t->epoch = 0;
	t->m->n_owned--;
	count_owned(t->m);
	monitor_target_stop(t);
	monitor_resolve_stop(t);
}

bool monitor_target_mine(struct target *t)
{
	if (t->epoch && stat_owner_mine(t->m->env.seg, t->s->row, t->epoch))
		return true;
	if (t->epoch) {
		give_up(t);
		monitor_look(t->m);
	}
	return false;
}

void monitor_target_lost(struct target *t)
{
	stat_inc(t->m->env.proc, CTR_PROC_OWNER_STALE);
	if (t->epoch)
		give_up(t);
	monitor_look(t->m);
}

static bool take(struct target *t)
{
	struct monitor *m = t->m;
	uint32_t why;

	t->epoch = stat_owner_take(m->env.seg, t->s->row, &why);
	if (!t->epoch)
		return false;
	m->n_owned++;
	m->n_orphans += why == ST_OWNER_DIED;
	stat_inc(m->env.proc, CTR_PROC_TAKEOVERS);
	monitor_target_start(t);
	monitor_measure_begin(t);
	monitor_resolve_start(t, why);
	return true;
}

/* An owner that is not the candidate goes on until the candidate has claimed: nobody's turn never comes. */
static bool look_at(struct target *t)
{
	struct stat_seg *seg = t->m->env.seg;

	if (t->epoch && !stat_owner_mine(seg, t->s->row, t->epoch))
		give_up(t);
	return !t->epoch && stat_owner_candidate(seg, t->s->row, t->s->owners) == stat_own_slot(seg) && take(t);
}

static void looked(struct monitor *m)
{
	m->look_at = 0;
	if (m->n_orphans)
		log_ev(EV_TAKEOVER, "%u services whose core lost its worker are probed by this one", m->n_orphans);
	m->n_orphans = 0;
	if (!m->look_again)
		return;
	m->look_again = false;
	engine_defer(m->env.engine, &m->look);
}

static void on_look(struct engine_job *j)
{
	struct monitor *m = FL_CONTAINER_OF(j, struct monitor, look);
	unsigned end = FL_MIN(m->look_at + LOOK_PER_TURN, m->n_targets), n = 0;
	const struct target *last = NULL;

	for (; m->look_at < end; m->look_at++) {
		if (!look_at(&m->targets[m->look_at]))
			continue;
		last = &m->targets[m->look_at];
		n++;
	}
	count_owned(m);
	tell_taken(m, last, n);
	if (end < m->n_targets)
		engine_defer(m->env.engine, &m->look);
	else
		looked(m);
}

void monitor_look(struct monitor *m)
{
	if (!m->running)
		return;
	if (m->look_at)
		m->look_again = true;
	else
		engine_defer(m->env.engine, &m->look);
}

void monitor_own_init(struct monitor *m)
{
	engine_job_init(&m->look, on_look);
}

void monitor_own_stop(struct monitor *m)
{
	engine_job_cancel(&m->look);
	m->look_at = 0;
	m->look_again = false;
	for (unsigned i = 0; i < m->n_targets; i++)
		if (m->targets[i].epoch)
			give_up(&m->targets[i]);
}
