/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h - a large pool's services in the order in which they are to be chosen
 *
 * The choosers of method.h look at every service, which is right for a few and too dear for a thousand. A pool above
 * LB_INDEX_FROM services has its usable ones (of the normal class) in a heap: by requests in progress per weight
 * (least-connection), or by when each is due (round-robin: being chosen puts a service off by 1/weight). A choice is
 * the top. Ties go to who was not chosen for longest; at first they begin at the worker's slot number.
 *
 * The figures are mine, exact, plus what the others had when they were last read: after a consolidation, but no
 * more often than costs about a hundredth of a core (every 4 ms for 1,000 services, 40 ms for 10,000). Worker only. A
 * retry, which leaves services out, and explain go the long way. A pool that vservers of both views use has an
 * index for each.
 */
#ifndef FL_LB_INDEX_H
#define FL_LB_INDEX_H

#include "lb/lb.h"

#define LB_INDEX_FROM 32

/* From memory of the configuration; NULL: not for this method, too small, or no memory (the long way then). */
struct lb_index *lb_index_new(struct lb_pool *p, struct pool *mem, unsigned first, bool local);
/* States, weights or the set of services changed. NULL is fine. */
void lb_index_stale(struct lb_index *ix);
/* The next service; NULL: none can take more. */
struct lb_service *lb_index_pick(struct lb_index *ix);
/* Requests in progress at s, counted by this worker, changed by `by`: tells the indexes of its pool. */
void lb_index_moved(struct lb_service *s, int by);

#endif
