/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - a large pool's services in the order in which they are to be chosen (see index.h)
 *
 * A binary heap of (key, tie); each service knows its place. Keys are fractions with 32 bits behind the point: weights
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
struct lb_index {
	struct ent *ent;
	unsigned    n;
	bool        stale, has_limits;
	uint64_t    ties, read_ms;
};

/* The heap --------------------------------------------------------------------------------- */

static bool before(const struct ent *a, const struct ent *b)
{
	return a->key != b->key ? a->key < b->key : a->tie < b->tie;
}

static void place(struct lb_index *ix, unsigned at, struct ent e)
{
	ix->ent[at] = e;
	e.s->place = at + 1;
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

static bool is_full(const struct lb_service *s)
{
	return s->max_connections && s->active >= s->max_connections;
}

static uint64_t load_of(const struct lb_service *s)
{
	return is_full(s) ? FULL : s->active * ONE / s->weight;
}

static void read_figures(struct lb_pool *p)
{
	for (unsigned i = 0; i < p->n_services; i++)
		p->services[i].active = lb_service_now(p->lc, &p->services[i], CTR_SERVICE_REQ_CUR);
}

/* Who comes back is due now, not for all that it missed. */
static uint64_t turn_of(const struct lb_index *ix, const struct lb_service *s, uint64_t now)
{
	uint64_t turn = s->place && s->place <= ix->n ? ix->ent[s->place - 1].key : now;

	return turn > now ? turn - now : 0;
}

static void rebuild(struct lb_pool *p)
{
	struct lb_index *ix = p->index;
	uint64_t now = ix->n ? ix->ent[0].key : 0;
	bool by_load = p->method == LB_LEAST_CONNECTION;
	unsigned n = 0;

	/* p->scratch_value keeps what is read from the heap that is overwritten */
	for (unsigned i = 0; !by_load && i < p->n_services; i++)
		p->scratch_value[i] = turn_of(ix, &p->services[i], now);
	for (unsigned i = 0; i < p->n_services; i++) {
		struct lb_service *s = &p->services[i];

		s->place = 0;
		if (s->backup || s->state != ST_SVC_UP || s->weight == 0)
			continue;
		place(ix, n++, (struct ent){ by_load ? load_of(s) : p->scratch_value[i], s->chosen, s });
	}
	ix->n = n;
	for (unsigned i = n / 2; i-- > 0;)
		sift_down(ix, i);
	ix->stale = false;
}

static void refresh(struct lb_pool *p)
{
	struct lb_index *ix = p->index;
	bool reads = p->method == LB_LEAST_CONNECTION || ix->has_limits;
	uint64_t cycle, at_ms = 0;

	if (p->lc->seg)
		stat_cycle(p->lc->seg, &cycle, &at_ms);
	if (!ix->stale && (!reads || at_ms - ix->read_ms < FL_MAX(p->n_services / A_MS, 1u)))
		return;
	if (reads) {
		ix->read_ms = at_ms;
		read_figures(p);
	}
	if (ix->stale || p->method == LB_LEAST_CONNECTION)
		rebuild(p);
}

/* For others ------------------------------------------------------------------------------- */

struct lb_index *lb_index_new(struct lb_pool *p, struct pool *mem, unsigned first)
{
	struct lb_index *ix;

	if (p->n_services < LB_INDEX_FROM || (p->method != LB_ROUND_ROBIN && p->method != LB_LEAST_CONNECTION))
		return NULL;
	ix = pool_zalloc(mem, sizeof(*ix));
	if (ix)
		ix->ent = pool_array(mem, p->n_services, sizeof(*ix->ent));
	if (!ix || !ix->ent)
		return NULL;
	for (unsigned i = 0; i < p->n_services; i++) {
		p->services[i].chosen = (i + p->n_services - first % p->n_services) % p->n_services;
		ix->has_limits |= p->services[i].max_connections > 0;
	}
	ix->ties = p->n_services;
	ix->stale = true;
	return ix;
}

void lb_index_stale(struct lb_index *ix)
{
	ix->stale = true;
}

static void choose_again_later(struct lb_index *ix, struct lb_service *s)
{
	struct ent *e = &ix->ent[0];

	e->key += ONE / s->weight;
	e->tie = s->chosen = ++ix->ties;
	ix->stale = e->key > KEY_MAX;
	sift_down(ix, 0);
}

static struct lb_service *next_turn(struct lb_index *ix)
{
	for (unsigned i = 0; i < FL_MIN(ix->n, LOOKS); i++) {
		struct lb_service *s = ix->ent[0].s;

		choose_again_later(ix, s);
		if (!is_full(s))
			return s;
	}
	/* many are full: the one that is due first among those that are not */
	for (unsigned i = 0; i < ix->n; i++)
		if (!is_full(ix->ent[i].s))
			return ix->ent[i].s;
	return NULL;
}

struct lb_service *lb_index_pick(struct lb_pool *p)
{
	struct lb_index *ix = p->index;

	refresh(p);
	if (p->method == LB_ROUND_ROBIN)
		return next_turn(ix);
	return ix->n && ix->ent[0].key != FULL ? ix->ent[0].s : NULL;
}

void lb_index_moved(struct lb_service *s, int by)
{
	struct lb_index *ix = s->pool->index;
	struct ent *e;

	if (by > 0)
		s->active++;
	else if (s->active)
		s->active--;
	if (s->pool->method != LB_LEAST_CONNECTION || !s->place || ix->stale)
		return;
	e = &ix->ent[s->place - 1];
	e->key = load_of(s);
	if (by > 0) {
		e->tie = s->chosen = ++ix->ties;
		sift_down(ix, s->place - 1);
	} else {
		sift_up(ix, s->place - 1);
	}
}
