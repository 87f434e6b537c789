/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach.c - binds a built configuration to the segment: rows, counters, cached health and addresses
 */
#include "config.h"

#include "lb/index.h"

static void find_row(void *ctx, enum tbl_kind kind, const char *name, uint32_t *row)
{
	*row = stat_obj_find(ctx, kind, str_c(name));
}

void lb_attach(struct lb_config *lc, struct stat_seg *seg, bool with_counters)
{
	lc->seg = seg;
	lc->refreshed = false;
	lb_each_object(lc, find_row, seg);
	for (unsigned i = 0; i < lc->n_vservers; i++) {
		struct lb_vserver *vs = &lc->vservers[i];

		vs->stat = with_counters ? stat_row_get(seg, KIND_VSERVER, vs->row) : NULL;
		for (unsigned k = 0; k < vs->rules.n; k++)
			vs->rules.rules[k].stat =
				with_counters ? stat_row_get(seg, KIND_POLICY, vs->rule_rows[k]) : NULL;
	}
	for (unsigned i = 0; i < lc->n_pools; i++) {
		struct lb_pool *p = &lc->pools[i];
		uint32_t slot = stat_own_slot(seg);

		p->stat = with_counters ? stat_row_get(seg, KIND_POOL, p->row) : NULL;
		/* Workers start at different places, so that equal figures do not send them all to one service. */
		p->rr_cursor = slot == STAT_NO_SLOT ? 0 : slot;
		for (unsigned k = 0; k < p->n_services; k++) {
			struct lb_service *s = &p->services[k];

			s->stat = with_counters ? stat_row_get(seg, KIND_SERVICE, s->row) : NULL;
			s->rr_current = p->n_services && k == p->rr_cursor % p->n_services ? 1 : 0;
		}
		p->index = with_counters ? lb_index_new(p, lc->mem, p->rr_cursor, false) : NULL;
		/* turns are the same in both views */
		p->index_local = p->index && lc->has_local_view && p->method == LB_LEAST_CONNECTION ?
					 lb_index_new(p, lc->mem, p->rr_cursor, true) : NULL;
	}
}

uint32_t lb_service_state(const struct lb_config *lc, const struct lb_service *s, struct stat_health *h,
			  struct stat_admin *a)
{
	struct stat_health hh;
	struct stat_admin aa;
	uint32_t health = s->pool->n_monitors ? ST_HEALTH_UNKNOWN : ST_HEALTH_NOCHECK, admin = s->conf_admin;

	h = h ? h : &hh;
	a = a ? a : &aa;
	memset(h, 0, sizeof(*h));
	memset(a, 0, sizeof(*a));
	if (lc->seg && s->row != STAT_NO_ROW) {
		if (s->pool->n_monitors && stat_health_get(lc->seg, s->row, h))
			health = h->state;
		if (stat_admin_get(lc->seg, s->row, a) && a->since_us)
			admin = a->state;
	}
	h->state = health;
	a->state = admin;
	if (admin == ST_ADMIN_MAINT)
		return ST_SVC_MAINT;
	if (health == ST_HEALTH_DOWN)
		return ST_SVC_DOWN;
	if (s->host && !s->n_dns)
		return ST_SVC_RESOLVING;
	return admin == ST_ADMIN_DRAIN ? ST_SVC_DRAIN : ST_SVC_UP;
}

static bool refresh_dns(const struct lb_config *lc, struct lb_service *s)
{
	struct stat_dns d;
	bool changed;

	if (!s->host || !stat_dns_get(lc->seg, s->row, &d) || d.n == 0)
		return false;           /* a failed lookup keeps the last good answer */
	d.n = FL_MIN(d.n, (uint32_t)STAT_DNS_MAX);
	changed = d.n != s->n_dns;
	for (unsigned i = 0; i < d.n; i++) {
		changed |= !changed && !ip_eq(d.addr[i], s->dns[i]);
		s->dns[i] = d.addr[i];
	}
	s->n_dns = d.n;
	addr_from_ip(&s->addr, s->dns[0], s->port);
	return changed;
}

bool lb_refresh(struct lb_config *lc)
{
	uint64_t board = stat_board_epoch(lc->seg), health = stat_health_epoch(lc->seg);
	bool changed = false;

	if (lc->refreshed && board == lc->seen_board && health == lc->seen_health)
		return false;
	lc->seen_board = board;
	lc->seen_health = health;
	lc->refreshed = true;
	for (unsigned i = 0; i < lc->n_pools; i++) {
		struct lb_pool *p = &lc->pools[i];

		p->n_usable = 0;
		lb_index_stale(p->index);
		lb_index_stale(p->index_local);
		for (unsigned k = 0; k < p->n_services; k++) {
			struct lb_service *s = &p->services[k];
			uint32_t state;

			changed |= refresh_dns(lc, s);
			state = lb_service_state(lc, s, NULL, NULL);
			changed |= state != s->state;
			s->state = state;
			s->takes_new = state == ST_SVC_UP && s->weight > 0;
			p->n_usable += s->takes_new;
		}
	}
	return changed;
}
