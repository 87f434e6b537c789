/* SPDX-License-Identifier: Apache-2.0 */
/*
 * method_round_robin.c - smooth weighted round robin
 *
 * Each choice adds every candidate's weight to its credit, takes the one with the most credit and
 * charges it the sum of all weights. Over sum(weights) choices each service comes up exactly weight
 * times, spread as evenly as its weight allows. Credits are bounded by the sum of the weights, so nothing overflows.
 */
#include "config.h"

#include "lb/method.h"

unsigned lb_choose_round_robin(struct lb_view *v)
{
	int64_t sum = 0;
	unsigned best = 0;

	for (unsigned i = 0; i < v->n; i++) {
		int64_t credit = v->s[i]->rr_current + v->s[i]->weight;

		sum += v->s[i]->weight;
		if (i == 0 || credit > v->s[best]->rr_current + v->s[best]->weight)
			best = i;
	}
	for (unsigned i = 0; i < v->n; i++) {
		/* Shown to people as "how far from its turn": 0 is the next. */
		v->value[i] = (uint64_t)((v->s[best]->rr_current + v->s[best]->weight) -
					 (v->s[i]->rr_current + v->s[i]->weight));
	}
	if (!v->dry) {
		for (unsigned i = 0; i < v->n; i++)
			v->s[i]->rr_current += v->s[i]->weight;
		v->s[best]->rr_current -= sum;
	}
	return best;
}
