/* SPDX-License-Identifier: Apache-2.0 */
/*
 * method_source_ip_hash.c - the same client address goes to the same service
 *
 * Weighted rendezvous hashing: each service scores hash(client, service) and the best wins, so a service that
 * leaves moves only its own clients, and workers, reloads and restarts agree without sharing anything.
 * Score = -weight / ln(u) with u uniform in (0,1): the share of wins is proportional to the weight.
 */
#include "config.h"

#include <math.h>

#include "base/hash.h"
#include "lb/method.h"

static double score(struct ip client, const struct lb_service *s)
{
	uint8_t key[17] = { client.family == AF_INET ? 4 : 6 };
	uint64_t h;

	memcpy(key + 1, client.b, client.family == AF_INET ? 4 : 16);
	h = fl_hash64(key, sizeof(key), s->hash_id);
	/* 53 bits and half a step: never 0 or 1. */
	return -(double)s->weight / log(((double)(h >> 11) + 0.5) / 9007199254740992.0);
}

unsigned lb_choose_source_ip_hash(struct lb_view *v)
{
	unsigned best = 0;
	double best_score = -1;

	for (unsigned i = 0; i < v->n; i++) {
		double x = score(v->client, v->s[i]);

		v->value[i] = x * 1e6 > 1e18 ? UINT64_MAX : (uint64_t)(x * 1e6);
		if (x > best_score) {
			best = i;
			best_score = x;
		}
	}
	return best;
}
