/* SPDX-License-Identifier: Apache-2.0 */
/*
 * method.h - choosers: which of the usable candidates a method takes
 *
 * A chooser gets the usable candidates in configuration order (n >= 1, weights > 0) and returns an
 * index into them. Values compared are left in value[] for explain (scaled by 10000/weight where
 * lower is better). Pure but for the round-robin state that lives in the services; `dry` leaves
 * that alone.
 */
#ifndef FL_LB_METHOD_H
#define FL_LB_METHOD_H

#include "lb/lb.h"

struct lb_view {
	const struct lb_config *lc;
	struct lb_pool     *pool;
	struct lb_service **s;
	uint64_t           *value;       /* [n], filled by the chooser */
	unsigned            n;
	struct ip           client;
	bool                dry;
	bool                local;       /* this worker's figures, not the appliance's */
};

unsigned lb_choose_round_robin(struct lb_view *v);
unsigned lb_choose_least_connection(struct lb_view *v);
unsigned lb_choose_source_ip_hash(struct lb_view *v);

#endif
