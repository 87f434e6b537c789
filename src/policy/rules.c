/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.c - rules in written order; the first true one with a final action ends the run
 */
#include "config.h"

#include "policy/policy.h"

/* The place of the last entry is kept for the rule that ends the run. */
static void keep(struct pol_verdict *v, const struct pol_rule *r)
{
	bool final = r->act != POL_ACT_NONE;

	if (v->n_matched < POL_MATCH_MAX - 1u || (final && v->n_matched < POL_MATCH_MAX))
		v->matched[v->n_matched++] = r;
}

void pol_ruleset_run(const struct pol_ruleset *rs, const struct pol_facts *f,
		     const struct pol_trace *t, pol_rule_fn seen, void *seen_ctx,
		     struct pol_verdict *v)
{
	memset(v, 0, sizeof(*v));
	for (unsigned i = 0; i < rs->n; i++) {
		const struct pol_rule *r = &rs->rules[i];
		enum pol_result res = r->expr ? pol_eval(r->expr, f, t) : POL_TRUE;

		if (seen)
			seen(seen_ctx, r, res);
		v->n_undef += res == POL_UNDEF;
		if (res != POL_TRUE)
			continue;
		keep(v, r);
		if (r->act != POL_ACT_NONE) {
			v->act = r->act;
			v->final = r;
			return;
		}
	}
}
