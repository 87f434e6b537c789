/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pick.c - the choice of a service: filter the candidates, let the method choose, go on to backups
 *
 * Order: services without `backup` -> services with it -> backup pools in written order. A service that was tried
 * already in this exchange is left out while another one is usable.
 */
#include "config.h"

#include "lb/index.h"
#include "lb/method.h"

#define PICK_MAX_DEPTH 8          /* backup pools behind backup pools; loops are refused at load */
#define PICK_ON_STACK  128

static bool is_avoided(const struct lb_pick_in *in, const struct lb_service *s)
{
	for (unsigned i = 0; i < in->n_avoid; i++)
		if (in->avoid[i] == s)
			return true;
	return false;
}

/* What of a pool is left out on a walk through it and its backups. */
struct walk {
	bool avoiding;            /* what was tried in this exchange */
	bool any_rate;            /* nothing for its bandwidth: nobody is left who has some to spare */
};

/* Why a service cannot take this request; NULL when it can. */
static const char *why_not(const struct lb_config *lc, const struct lb_service *s, const struct walk *w)
{
	if (s->state != ST_SVC_UP)
		return tbl_state_name("SVC", (int)s->state);
	if (s->weight == 0)
		return "weight 0";
	if (s->max_connections && lb_service_now(lc, s, CTR_SERVICE_REQ_CUR, false) >= s->max_connections)
		return "max-connections";
	if (!w->any_rate && lb_service_is_busy(lc, s))
		return "max-bandwidth";
	return NULL;
}

static unsigned choose(struct lb_view *v)
{
	switch (v->pool->method) {
	case LB_ROUND_ROBIN:
		return lb_choose_round_robin(v);
	case LB_LEAST_CONNECTION:
		return lb_choose_least_connection(v);
	case LB_SOURCE_IP_HASH:
		return lb_choose_source_ip_hash(v);
	}
	return 0;
}

static void tell_candidates(struct lb_view *v, const struct lb_pick_in *in, bool backup, const struct walk *w,
			    const struct lb_pick_trace *t)
{
	for (unsigned i = 0, k = 0; i < v->pool->n_services; i++) {
		struct lb_service *s = &v->pool->services[i];
		struct lb_candidate c = { .s = s };

		if (s->backup != backup)
			continue;
		if (k < v->n && v->s[k] == s) {
			c.usable = true;
			c.value = v->value[k++];
		} else {
			c.why = why_not(v->lc, s, w);
			if (!c.why)
				c.why = w->avoiding && is_avoided(in, s) ? "tried already" : "changed meanwhile";
		}
		t->candidate(t->ctx, &c);
	}
}

/* One class of services (normal or backup) of one pool. */
static struct lb_service *pick_class(struct lb_pool *p, const struct lb_pick_in *in, bool backup,
				     const struct walk *w, bool dry, const struct lb_pick_trace *t)
{
	struct lb_service *on_stack[PICK_ON_STACK] FL_UNINIT, **list = on_stack;
	uint64_t values_on_stack[PICK_ON_STACK] FL_UNINIT, *value = values_on_stack;
	struct lb_view v = { .lc = p->lc, .pool = p, .client = in->client, .dry = dry, .local = in->local };
	struct lb_service *s = NULL;

	if (p->index && !backup && !w->avoiding && !w->any_rate && !dry && !t)
		return lb_index_pick(in->local && p->index_local ? p->index_local : p->index);
	if (p->n_services > PICK_ON_STACK) {
		list = p->scratch;
		value = p->scratch_value;
	}
	for (unsigned i = 0; i < p->n_services; i++) {
		struct lb_service *c = &p->services[i];

		if (c->backup == backup && !why_not(p->lc, c, w) && !(w->avoiding && is_avoided(in, c)))
			list[v.n++] = c;
	}
	v.s = list;
	v.value = value;
	if (v.n)
		s = list[choose(&v)];
	if (t)
		tell_candidates(&v, in, backup, w, t);
	return s;
}

static struct lb_service *pick_pool(struct lb_pool *p, const struct lb_pick_in *in, const struct walk *w, bool dry,
				    const struct lb_pick_trace *t, unsigned depth)
{
	struct lb_service *s;

	if (t)
		t->pool(t->ctx, p, depth ? "backup pool" : "pool");
	s = pick_class(p, in, false, w, dry, t);
	if (s)
		return s;
	s = p->has_backup_services ? pick_class(p, in, true, w, dry, t) : NULL;
	for (unsigned i = 0; !s && i < p->n_backups && depth < PICK_MAX_DEPTH; i++)
		s = pick_pool(p->backups[i], in, w, dry, t, depth + 1);
	if (s && !dry)
		stat_inc(p->stat, CTR_POOL_BACKUP);
	return s;
}

/* Behind this pool is a service that may have been left out for its bandwidth alone. */
static bool limits_bandwidth(const struct lb_pool *p, unsigned depth)
{
	bool yes = p->has_max_bandwidth;

	for (unsigned i = 0; !yes && i < p->n_backups && depth < PICK_MAX_DEPTH; i++)
		yes = limits_bandwidth(p->backups[i], depth + 1);
	return yes;
}

struct lb_service *lb_pick(struct lb_pool *p, const struct lb_pick_in *in, bool dry, const struct lb_pick_trace *t)
{
	struct walk w = { .avoiding = in->n_avoid > 0 };
	struct lb_service *s = pick_pool(p, in, &w, dry, t, 0);

	if (!s && limits_bandwidth(p, 0)) {
		w.any_rate = true;
		s = pick_pool(p, in, &w, dry, t, 0);
	}
	if (!s && in->n_avoid) {
		w.avoiding = false;
		s = pick_pool(p, in, &w, dry, t, 0);
	}
	if (!dry) {
		if (!in->again)
			stat_inc(p->stat, CTR_POOL_REQ_TOT);
		if (!s)
			stat_inc(p->stat, CTR_POOL_NO_SERVICE);
	}
	return s;
}

bool lb_service_addr(struct lb_service *s, struct addr *out)
{
	if (!s->host) {
		*out = s->addr;
		return true;
	}
	if (!s->n_dns)
		return false;
	addr_from_ip(out, s->dns[s->dns_cursor++ % s->n_dns], s->port);
	return true;
}

uint64_t lb_service_now(const struct lb_config *lc, const struct lb_service *s, unsigned ctr, bool local)
{
	if (s->stat && local)
		return s->stat->v[ctr];
	if (s->stat)
		return stat_now(lc->seg, s->stat, ctr);
	return lc->seg && s->row != STAT_NO_ROW ? stat_total(lc->seg, s->row, ctr) : 0;
}

uint64_t lb_service_rate(const struct lb_config *lc, const struct lb_service *s)
{
	if (!lc->seg || s->row == STAT_NO_ROW)
		return 0;
	return stat_total(lc->seg, s->row, CTR_SERVICE_IN_RATE) + stat_total(lc->seg, s->row, CTR_SERVICE_OUT_RATE);
}

#define EARLY_LEAST 8u            /* requests: below that a percentage says nothing */

/* Has what this worker has in progress here moved far from what it last told the others? */
static void watch_change(const struct lb_service *s)
{
	struct lb_config *lc = s->pool->lc;
	uint64_t now, told, by;

	if (FL_LIKELY(!lc->early_percent) || lc->moved_much || !s->stat)
		return;
	now = s->stat->v[CTR_SERVICE_REQ_CUR];
	told = s->stat->flushed[CTR_SERVICE_REQ_CUR];
	by = now > told ? now - told : told - now;
	lc->moved_much = by >= EARLY_LEAST &&
			 by * 100 >= lc->early_percent * stat_total(lc->seg, s->row, CTR_SERVICE_REQ_CUR);
}

void lb_resume(struct lb_service *s)
{
	stat_inc(s->stat, CTR_SERVICE_REQ_CUR);
	watch_change(s);
	lb_index_moved(s, 1);
}

void lb_begin(struct lb_service *s)
{
	stat_inc(s->stat, CTR_SERVICE_REQ_TOT);
	lb_resume(s);
}

void lb_end(struct lb_service *s)
{
	stat_dec(s->stat, CTR_SERVICE_REQ_CUR);
	watch_change(s);
	lb_index_moved(s, -1);
}
