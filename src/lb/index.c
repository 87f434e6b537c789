/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - a large pool's services in the order in which they are to be chosen (see index.h)
 *
 * A binary heap of (key, tie), and for each service its place there. Keys are fractions with 32 bits behind the point: weights
 * are at most 100, so n/weight of two services that differ, differ by more than that can hide, and equal ones
 * come out equal.
 */
#include "config.h"

#include "lb/index.h"

#define ONE       (1ull << 32)
#define FULL      UINT64_MAX        /* least-connection: takes no more */
#define KEY_MAX   (1ull << 62)      /* round-robin: time to begin at 0 again */
#define A_MS      256u              /* services whose figures may be read in a millisecond's hundredth */
#define LOOKS     16u               /* full services passed over before the long way is taken */

struct ent {
	uint64_t           key, tie;
	struct lb_service *s;
};
struct spot {
	uint64_t active;          /* requests in progress on the appliance, as last read and counted on */
	uint64_t mine;            /* on this worker, exact */
	uint64_t chosen;          /* when it was taken last */
	uint32_t place;           /* 1 + place in the heap, 0: not there */
	bool     busy;            /* at max-bandwidth, as last read */
};
struct lb_index {
	struct lb_pool *pool;
	struct ent     *ent;
	struct spot    *spot;     /* [n_services] */
	unsigned        n;
	bool            stale, has_limits, local;
	uint64_t        ties, read_ms;
};

static struct spot *spot_of(const struct lb_index *ix, const struct lb_service *s)
{
	return &ix->spot[s->idx];
}

/* The heap --------------------------------------------------------------------------------- */

static bool before(const struct ent *a, const struct ent *b)
{
	return a->key != b->key ? a->key < b->key : a->tie < b->tie;
}

static void place(struct lb_index *ix, unsigned at, struct ent e)
{
	ix->ent[at] = e;
	spot_of(ix, e.s)->place = at + 1;
}
static void sift_down(struct lb_index *ix, unsigned at)
{
	struct ent e = ix->ent[at];

	for (;;) {
		unsigned kid = 2 * at + 1;

		if (kid >= ix->n)
			break;
		if (kid + 1 < ix->n && before(&ix->ent[kid + 1], &ix->ent[kid]))
			kid++;
		if (!before(&ix->ent[kid], &e))
			break;
		place(ix, at, ix->ent[kid]);
		at = kid;
	}
	place(ix, at, e);
}

static void sift_up(struct lb_index *ix, unsigned at)
{
	struct ent e = ix->ent[at];

	while (at && before(&e, &ix->ent[(at - 1) / 2])) {
		place(ix, at, ix->ent[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	place(ix, at, e);
}

/* Reading ---------------------------------------------------------------------------------- */

/* A limit is the service's, whatever the view. */
static bool is_full(const struct lb_index *ix, const struct lb_service *s)
{
	const struct spot *at = spot_of(ix, s);

	return at->busy || (s->max_connections && at->active >= s->max_connections);
}

static uint64_t load_of(const struct lb_index *ix, const struct lb_service *s)
{
	const struct spot *at = spot_of(ix, s);

	return is_full(ix, s) ? FULL : (ix->local ? at->mine : at->active) * ONE / s->weight;
}

static void read_figures(struct lb_index *ix)
{
	struct lb_pool *p = ix->pool;

	for (unsigned i = 0; i < p->n_services; i++) {
		ix->spot[i].active = lb_service_now(p->lc, &p->services[i], CTR_SERVICE_REQ_CUR, false);
		ix->spot[i].mine = lb_service_now(p->lc, &p->services[i], CTR_SERVICE_REQ_CUR, true);
		ix->spot[i].busy = lb_service_is_busy(p->lc, &p->services[i]);
	}
}

/* Who comes back is due now, not for all that it missed. */
static uint64_t turn_of(const struct lb_index *ix, const struct lb_service *s, uint64_t now)
{
	uint32_t at = spot_of(ix, s)->place;
	uint64_t turn = at && at <= ix->n ? ix->ent[at - 1].key : now;

	return turn > now ? turn - now : 0;
}

static void rebuild(struct lb_index *ix)
{
	struct lb_pool *p = ix->pool;
	uint64_t now = ix->n ? ix->ent[0].key : 0;
	bool by_load = p->method == LB_LEAST_CONNECTION;
	unsigned n = 0;

	/* p->scratch_value keeps what is read from the heap that is overwritten */
	for (unsigned i = 0; !by_load && i < p->n_services; i++)
		p->scratch_value[i] = turn_of(ix, &p->services[i], now);
	for (unsigned i = 0; i < p->n_services; i++) {
		struct lb_service *s = &p->services[i];

		ix->spot[i].place = 0;
		if (s->backup || s->state != ST_SVC_UP || s->weight == 0)
			continue;
		place(ix, n++, (struct ent){ by_load ? load_of(ix, s) : p->scratch_value[i],
					      ix->spot[i].chosen, s });
	}
	ix->n = n;
	for (unsigned i = n / 2; i-- > 0;)
		sift_down(ix, i);
	ix->stale = false;
}

static void refresh(struct lb_index *ix)
{
	struct lb_pool *p = ix->pool;
	/* mine is counted along; it is read with the rest, after which nothing is to be made good */
	bool reads = ix->has_limits || (p->method == LB_LEAST_CONNECTION && (!ix->local || ix->stale));
	uint64_t cycle, at_ms = 0;

	if (p->lc->seg)
		stat_cycle(p->lc->seg, &cycle, &at_ms);
	if (!ix->stale && (!reads || at_ms - ix->read_ms < FL_MAX(p->n_services / A_MS, 1u)))
		return;
	if (reads) {
		ix->read_ms = at_ms;
		read_figures(ix);
	}
	if (ix->stale || p->method == LB_LEAST_CONNECTION)
		rebuild(ix);
}

/* For others ------------------------------------------------------------------------------- */

struct lb_index *lb_index_new(struct lb_pool *p, struct pool *mem, unsigned first, bool local)
{
	struct lb_index *ix;

	if (p->n_services < LB_INDEX_FROM || (p->method != LB_ROUND_ROBIN && p->method != LB_LEAST_CONNECTION))
		return NULL;
	ix = pool_zalloc(mem, sizeof(*ix));
	if (ix) {
		ix->ent = pool_array(mem, p->n_services, sizeof(*ix->ent));
		ix->spot = pool_array(mem, p->n_services, sizeof(*ix->spot));
	}
	if (!ix || !ix->ent || !ix->spot)
		return NULL;
	memset(ix->spot, 0, p->n_services * sizeof(*ix->spot));
	ix->pool = p;
	ix->local = local;
	for (unsigned i = 0; i < p->n_services; i++) {
		ix->spot[i].chosen = (i + p->n_services - first % p->n_services) % p->n_services;
		ix->has_limits |= p->services[i].max_connections > 0 || p->services[i].max_bandwidth > 0;
	}
	ix->ties = p->n_services;
	ix->stale = true;
	return ix;
}

void lb_index_stale(struct lb_index *ix)
{
	if (ix)
		ix->stale = true;
}

static void choose_again_later(struct lb_index *ix, struct lb_service *s)
{
	struct ent *e = &ix->ent[0];

	e->key += ONE / s->weight;
	e->tie = spot_of(ix, s)->chosen = ++ix->ties;
	ix->stale = e->key > KEY_MAX;
	sift_down(ix, 0);
}

static struct lb_service *next_turn(struct lb_index *ix)
{
	for (unsigned i = 0; i < FL_MIN(ix->n, LOOKS); i++) {
		struct lb_service *s = ix->ent[0].s;

		choose_again_later(ix, s);
		if (!is_full(ix, s))
			return s;
	}
	/* many are full: the one that is due first among those that are not */
	for (unsigned i = 0; i < ix->n; i++)
		if (!is_full(ix, ix->ent[i].s))
			return ix->ent[i].s;
	return NULL;
}

struct lb_service *lb_index_pick(struct lb_index *ix)
{
	refresh(ix);
	if (ix->pool->method == LB_ROUND_ROBIN)
		return next_turn(ix);
	return ix->n && ix->ent[0].key != FULL ? ix->ent[0].s : NULL;
}

static void moved(struct lb_index *ix, const struct lb_service *s, int by)
{
	struct spot *at = spot_of(ix, s);
	struct ent *e;

	if (by > 0) {
		at->active++;
		at->mine++;
	} else {
		at->active -= at->active > 0;
		at->mine -= at->mine > 0;
	}
	if (ix->pool->method != LB_LEAST_CONNECTION || !at->place || ix->stale)
		return;
	e = &ix->ent[at->place - 1];
	e->key = load_of(ix, s);
	if (by > 0) {
		e->tie = at->chosen = ++ix->ties;
		sift_down(ix, at->place - 1);
	} else {
		sift_up(ix, at->place - 1);
	}
}

void lb_index_moved(struct lb_service *s, int by)
{
	if (s->pool->index)
		moved(s->pool->index, s, by);
	if (s->pool->index_local)
		moved(s->pool->index_local, s, by);
}
