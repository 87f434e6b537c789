/* SPDX-License-Identifier: Apache-2.0 */
/*
 * method_least_connection.c - fewest requests (http) or connections (tcp) in progress per weight
 *
 * The figure is the whole appliance's: what the others had at the last consolidation plus what this worker
 * has now; or, for a vserver with `view local`, this worker's alone. Ratios are compared by cross multiplication (counts are far below 2^56, weights <= 100: no
 * overflow). Ties go round robin: the scan starts one place further each time.
 */
#include "config.h"

#include "lb/method.h"

unsigned lb_choose_least_connection(struct lb_view *v)
{
	unsigned start = v->pool->rr_cursor % v->n, best = start;
	uint64_t best_n = 0;

	for (unsigned k = 0; k < v->n; k++) {
		unsigned i = (start + k) % v->n;
		struct lb_service *s = v->s[i];
		uint64_t n = lb_service_now(v->lc, s, CTR_SERVICE_REQ_CUR, v->local);

		v->value[i] = n * 10000 / s->weight;
		if (k == 0 || n * v->s[best]->weight < best_n * s->weight) {
			best = i;
			best_n = n;
		}
	}
	if (!v->dry)
		v->pool->rr_cursor++;
	return best;
}
