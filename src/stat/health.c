/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health.c - health and DNS answers: the prober writes them into its slot, everybody reads
 *
 * The master names the prober with a term, which grows at each change. A new prober takes over the
 * records of the one before and then stores the term in its own slot; until then everybody reads
 * the predecessor's, dead or not, so a change of prober is not a moment without health.
 *
 * hstate holds one word per row: the state, whether records exist, and whose they are; a row whose
 * word is of another object is UNKNOWN and its records are not touched.
 */
#include "config.h"

#include "stat/view.h"

#include "base/env.h"

#define HW_HEALTH 0x40u
#define HW_DNS    0x80u
#define HW_STATE  0x3fu

/* The prober word ------------------------------------------------------------------------- */

static uint32_t prober_now(uint64_t w) { return (uint32_t)(w & SEG_NO_SLOT24); }
static uint32_t prober_prev(uint64_t w) { return (uint32_t)(w >> 24 & SEG_NO_SLOT24); }
static uint64_t prober_term(uint64_t w) { return w >> 48; }

static uint32_t slot_or_none(const struct stat_seg *s, uint32_t slot)
{
	return slot < s->dim.n_slots ? slot : STAT_NO_SLOT;
}

/* Whose records are valid now. */
static uint32_t source_slot(const struct stat_seg *s, uint64_t w)
{
	uint32_t now = slot_or_none(s, prober_now(w)), prev = slot_or_none(s, prober_prev(w));

	if (now == STAT_NO_SLOT)
		return prev;
	if (prev == STAT_NO_SLOT || ld64_acq(&view_slot(s, now)->health_term) == prober_term(w))
		return now;
	return prev;
}

uint32_t stat_prober_slot(const struct stat_seg *s)
{
	return slot_or_none(s, prober_now(ld64_acq(&view_dir(s)->prober)));
}

uint32_t stat_prober_source(const struct stat_seg *s)
{
	return source_slot(s, ld64_acq(&view_dir(s)->prober));
}

void stat_set_prober_slot(struct stat_seg *s, uint32_t slot)
{
	struct seg_dir *d = view_dir_rw(s);
	uint64_t w = d->prober, term = (prober_term(w) + 1) & 0xffff;
	uint32_t prev = source_slot(s, w);

	ASSERT(slot == STAT_NO_SLOT || slot < s->dim.n_slots);
	if (stat_prober_slot(s) == slot)
		return;
	w = (term ? term : 1) << 48 | (uint64_t)(prev & SEG_NO_SLOT24) << 24 |
	    (slot & SEG_NO_SLOT24);
	st64_rel(&d->prober, w);
	FP("stat.board.prober");
	view_board_bump(s);
}

uint64_t stat_health_epoch(const struct stat_seg *s)
{
	uint64_t w = ld64_acq(&view_dir(s)->prober);
	uint32_t k = source_slot(s, w);

	if (k == STAT_NO_SLOT)
		return prober_term(w) << 48;
	return prober_term(w) << 48 ^ (uint64_t)(k + 1) << 36 ^
	       ld64_acq(&view_slot(s, k)->health_epoch);
}

/* Records --------------------------------------------------------------------------------- */

static const void *health_rec(const struct stat_seg *s, uint32_t k, uint32_t row)
{
	return s->slot[k] + s->dim.slot.health +
	       (size_t)row * LATCH_SIZE(sizeof(struct stat_health));
}

static const void *dns_rec(const struct stat_seg *s, uint32_t k, uint32_t row)
{
	return s->slot[k] + s->dim.slot.dns + (size_t)row * LATCH_SIZE(sizeof(struct stat_dns));
}

/* The word of a row in a slot; 0 when it is about another object. */
static uint32_t hword(const struct stat_seg *s, uint32_t k, uint32_t row, uint64_t tag)
{
	uint32_t v;

	if (!tag || k >= s->dim.n_slots)
		return 0;
	v = ld32_acq((const uint32_t *)(const void *)(s->slot[k] + s->dim.slot.hstate) + row);
	return (v >> 8) == (seg_tag_incarnation(tag) & 0xffffff) ? v : 0;
}

static uint32_t state_ok(uint32_t state)
{
	return state <= ST_HEALTH_NOCHECK ? state : ST_HEALTH_UNKNOWN;
}

static bool health_read(const struct stat_seg *s, uint32_t k, uint32_t row, struct stat_health *out)
{
	uint64_t tag = view_tag(s, row);

	if (!(hword(s, k, row, tag) & HW_HEALTH) ||
	    !latch_read(health_rec(s, k, row), tag, out, sizeof(*out)))
		return false;
	out->state = state_ok(out->state);
	out->n_mon = FL_MIN(out->n_mon, STAT_MON_MAX);
	out->reason[sizeof(out->reason) - 1] = 0;
	for (unsigned i = 0; i < STAT_MON_MAX; i++) {
		struct stat_mon *m = &out->mon[i];

		m->state = state_ok(m->state);
		m->check = m->check <= ST_CHECK_L3UNR ? m->check : ST_CHECK_NONE;
		m->name[sizeof(m->name) - 1] = 0;
		m->text[sizeof(m->text) - 1] = 0;
	}
	return true;
}

static bool dns_read(const struct stat_seg *s, uint32_t k, uint32_t row, struct stat_dns *out)
{
	uint64_t tag = view_tag(s, row);

	if (!(hword(s, k, row, tag) & HW_DNS) ||
	    !latch_read(dns_rec(s, k, row), tag, out, sizeof(*out)))
		return false;
	out->n = FL_MIN(out->n, STAT_DNS_MAX);
	out->text[sizeof(out->text) - 1] = 0;
	for (unsigned i = 0; i < STAT_DNS_MAX; i++)
		if (out->addr[i].family != AF_INET && out->addr[i].family != AF_INET6)
			out->addr[i].family = 0;
	return true;
}

bool stat_health_get(const struct stat_seg *s, uint32_t row, struct stat_health *out)
{
	memset(out, 0, sizeof(*out));
	return health_read(s, stat_prober_source(s), row, out);
}

uint32_t stat_health_state(const struct stat_seg *s, uint32_t row)
{
	uint32_t v = hword(s, stat_prober_source(s), row, view_tag(s, row));

	return v & HW_HEALTH ? state_ok(v & HW_STATE) : ST_HEALTH_UNKNOWN;
}

bool stat_dns_get(const struct stat_seg *s, uint32_t row, struct stat_dns *out)
{
	memset(out, 0, sizeof(*out));
	return dns_read(s, stat_prober_source(s), row, out);
}

/* Writing --------------------------------------------------------------------------------- */

static void hword_set(struct stat_seg *s, uint32_t row, uint32_t v)
{
	uint32_t *w = (void *)(s->own + s->dim.slot.hstate);

	st32_rel(&w[row], v);
	FP("stat.health.word");
}

static void epoch_bump(struct seg_slot *sl)
{
	st64_rel(&sl->health_epoch, sl->health_epoch + 1);
	FP("stat.health.epoch");
}

/* The record first, then the word that says it is there. */
static void health_put(struct stat_seg *s, uint32_t row, uint64_t tag, const struct stat_health *h)
{
	uint32_t old = hword(s, s->own_slot, row, tag);

	latch_write((void *)(uintptr_t)(s->own + ((const char *)health_rec(s, s->own_slot, row) -
		    s->slot[s->own_slot])), tag, h, sizeof(*h));
	hword_set(s, row, (seg_tag_incarnation(tag) & 0xffffff) << 8 | (old & HW_DNS) | HW_HEALTH |
		  (h->state & HW_STATE));
}

static void dns_put(struct stat_seg *s, uint32_t row, uint64_t tag, const struct stat_dns *d)
{
	uint32_t old = hword(s, s->own_slot, row, tag);

	latch_write((void *)(uintptr_t)(s->own + ((const char *)dns_rec(s, s->own_slot, row) -
		    s->slot[s->own_slot])), tag, d, sizeof(*d));
	hword_set(s, row,
		  (seg_tag_incarnation(tag) & 0xffffff) << 8 | (old & (HW_HEALTH | HW_STATE)) |
			  HW_DNS);
}

void stat_health_import(struct stat_seg *s, uint32_t from_slot)
{
	struct seg_slot *sl = view_own(s);
	uint64_t w = ld64_acq(&view_dir(s)->prober);
	struct stat_health h;
	struct stat_dns d;
	uint32_t rows = stat_obj_max(s);

	if (!sl)
		return;
	for (uint32_t row = 0; row < rows && from_slot != s->own_slot; row++) {
		uint64_t tag = view_tag(s, row);

		if (hword(s, s->own_slot, row, tag))
			hword_set(s, row, 0);
		if (!hword(s, slot_or_none(s, from_slot), row, tag))
			continue;
		if (dns_read(s, from_slot, row, &d))
			dns_put(s, row, tag, &d);
		if (health_read(s, from_slot, row, &h))
			health_put(s, row, tag, &h);
	}
	epoch_bump(sl);
	if (prober_now(w) == s->own_slot)
		st64_rel(&sl->health_term, prober_term(w));
	FP("stat.health.term");
}

/* A prober that did not import yet does so now; nobody else's records become visible by writing. */
static bool may_write(struct stat_seg *s)
{
	uint64_t w = ld64_acq(&view_dir(s)->prober);
	struct seg_slot *sl = view_own(s);

	if (!sl)
		return false;
	if (prober_now(w) == s->own_slot && sl->health_term != prober_term(w))
		stat_health_import(s, source_slot(s, w));
	return true;
}

void stat_health_set(struct stat_seg *s, uint32_t row, const struct stat_health *h)
{
	uint64_t tag = view_tag(s, row);
	uint32_t old;

	if (!tag || !may_write(s))
		return;
	old = hword(s, s->own_slot, row, tag);
	health_put(s, row, tag, h);
	if (!(old & HW_HEALTH) || (old & HW_STATE) != (h->state & HW_STATE))
		epoch_bump(view_own(s));
}

static bool dns_same(const struct stat_dns *a, const struct stat_dns *b)
{
	if (a->n != b->n || a->status != b->status)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (memcmp(&a->addr[i], &b->addr[i], sizeof(a->addr[i])) != 0)
			return false;
	return true;
}

void stat_dns_set(struct stat_seg *s, uint32_t row, const struct stat_dns *d)
{
	uint64_t tag = view_tag(s, row);
	struct stat_dns old;
	bool same;

	if (!tag || d->n > STAT_DNS_MAX || !may_write(s))
		return;
	same = dns_read(s, s->own_slot, row, &old) && dns_same(&old, d);
	dns_put(s, row, tag, d);
	if (!same)
		epoch_bump(view_own(s));
}
