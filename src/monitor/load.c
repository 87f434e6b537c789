/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - how much of its limits a service uses, worked out by its owner for all: current_load, connections and
 * bandwidth that are still available
 *
 * The figures are OWNER counters: the consolidator copies them from the owner's slot and never adds them up. They are
 * made of totals, so that it does not matter which core works them out. As the consolidator copies when the owner's
 * word changes, a total that is not what the owner has told (it told the same when it owned the service before) gets
 * its word again, once as not measured and then as it is.
 */
#include "config.h"

#include "monitor/target.h"

#define PER_BEAT 256u            /* services looked at in one turn: three rows of shared memory each */

static bool has_limits(const struct lb_service *s)
{
	return s->max_connections || s->max_bandwidth;
}

static void tell(struct target *t, unsigned ctr, uint64_t v)
{
	struct stat_row *row = t->s->stat;

	if (row && row->v[ctr] == v + 1 && stat_total(t->m->env.seg, t->s->row, ctr) != v)
		stat_set(row, ctr, 0);
	else
		stat_own(row, ctr, v);
}

static uint64_t percent(uint64_t used, uint64_t of)
{
	return !of ? 0 : used > UINT64_MAX / 100 ? UINT64_MAX / of : used * 100 / of;
}

static uint64_t left(uint64_t used, uint64_t of)
{
	return of > used ? of - used : 0;
}

static void measure(struct target *t)
{
	const struct lb_config *lc = t->m->env.lc;
	const struct lb_service *s = t->s;
	uint64_t active = lb_service_now(lc, s, CTR_SERVICE_REQ_CUR, false);
	uint64_t rate = s->max_bandwidth ? lb_service_rate(lc, s) : 0;

	tell(t, CTR_SERVICE_LOAD, FL_MAX(percent(active, s->max_connections), percent(rate, s->max_bandwidth)));
	tell(t, CTR_SERVICE_CONN_FREE, left(active, s->max_connections));
	tell(t, CTR_SERVICE_RATE_FREE, left(rate, s->max_bandwidth));
}

bool monitor_is_measured(const struct stat_seg *seg, const struct lb_service *s)
{
	return has_limits(s) || stat_total(seg, s->row, CTR_SERVICE_LOAD) ||
	       stat_total(seg, s->row, CTR_SERVICE_CONN_FREE) || stat_total(seg, s->row, CTR_SERVICE_RATE_FREE);
}

void monitor_measure_begin(struct target *t)
{
	t->measured = monitor_is_measured(t->m->env.seg, t->s);
}

void monitor_measure(struct monitor *m)
{
	unsigned n = FL_MIN(m->n_targets, PER_BEAT);

	for (; m->running && n; n--) {
		struct target *t = &m->targets[m->measure_at++ % m->n_targets];

		if (!t->epoch || !t->measured)
			continue;
		measure(t);
		t->measured = monitor_is_measured(m->env.seg, t->s);
	}
	m->measure_at %= FL_MAX(m->n_targets, 1u);
}
