/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.c - from a vserver's rules to a pool: follows `use vserver`, falls back to the default
 */
#include "config.h"

#include "lb/lb.h"

#define ROUTE_MAX_HOPS 8          /* loops are refused at load; this bounds what a mistake there could cost */

struct count_ctx {
	pol_rule_fn        seen;
	void              *ctx;
	bool               count;
	struct lb_vserver *vs;
};

static void count_rule(void *ctx, const struct pol_rule *r, enum pol_result res)
{
	struct count_ctx *c = ctx;

	if (c->count && res == POL_TRUE)
		stat_inc(r->stat, CTR_POLICY_HITS);
	if (c->count && res == POL_UNDEF) {
		stat_inc(r->stat, CTR_POLICY_UNDEF);
		stat_inc(c->vs->stat, CTR_VSERVER_POLICY_UNDEF);
	}
	if (c->seen)
		c->seen(c->ctx, r, res);
}

void lb_route(struct lb_vserver *vs, const struct pol_facts *f, const struct pol_trace *t, pol_rule_fn seen, void *ctx,
	      bool count, struct lb_route *out)
{
	out->pool = NULL;
	out->n_matched = 0;
	for (unsigned hop = 0; hop < ROUTE_MAX_HOPS; hop++) {
		struct count_ctx c = { .seen = seen, .ctx = ctx, .count = count, .vs = vs };

		out->vs = vs;
		pol_ruleset_run(&vs->rules, f, t, count_rule, &c, &out->v);
		for (unsigned i = 0; i < out->v.n_matched && out->n_matched < POL_MATCH_MAX; i++)
			out->matched[out->n_matched++] = out->v.matched[i];
		if (out->v.act == POL_ACT_NONE && vs->dflt.act != POL_ACT_NONE) {
			out->v.act = vs->dflt.act;
			out->v.final = &vs->dflt;
		}
		if (out->v.act != POL_ACT_USE_VSERVER)
			break;
		vs = out->v.final->target;
	}
	if (out->v.act == POL_ACT_USE_POOL)
		out->pool = out->v.final->target;
	else if (out->v.act == POL_ACT_USE_VSERVER)
		out->v.act = POL_ACT_NONE;      /* too many hops: as if nothing matched */
}
