/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health.c - health and DNS answers: the owner of a row writes them into its slot, everybody reads
 *
 * Whose records of a row count is owner.c's to say: those of the newest claim, whether its process lives or not. A new
 * owner copies them before it claims, so a change of owner is not a moment without health.
 *
 * hstate holds one word per row: the state, whether records exist, and whose they are; a row whose
 * word is of another object is UNKNOWN and its records are not touched.
 */
#include "config.h"

#include "stat/owner.h"
#include "stat/view.h"

#include "base/env.h"

#define HW_HEALTH 0x40u
#define HW_DNS    0x80u
#define HW_STATE  0x3fu

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
	return health_read(s, view_owner_slot(s, row, view_tag(s, row)), row, out);
}

uint32_t stat_health_state(const struct stat_seg *s, uint32_t row)
{
	uint64_t tag = view_tag(s, row);
	uint32_t v = tag ? hword(s, view_owner_slot(s, row, tag), row, tag) : 0;

	return v & HW_HEALTH ? state_ok(v & HW_STATE) : ST_HEALTH_UNKNOWN;
}

bool stat_dns_get(const struct stat_seg *s, uint32_t row, struct stat_dns *out)
{
	memset(out, 0, sizeof(*out));
	return dns_read(s, view_owner_slot(s, row, view_tag(s, row)), row, out);
}

/* Writing --------------------------------------------------------------------------------- */

static void hword_set(struct stat_seg *s, uint32_t row, uint32_t v)
{
	uint32_t *w = (void *)(s->own + s->dim.slot.hstate);

	st32_rel(&w[row], v);
	FP("stat.health.word");
}

static uint32_t hword_make(uint64_t tag, uint32_t flags)
{
	return (seg_tag_incarnation(tag) & 0xffffff) << 8 | flags;
}

static void epoch_bump(struct seg_slot *sl)
{
	st64_rel(&sl->health_epoch, sl->health_epoch + 1);
	FP("stat.health.epoch");
}

static void health_write(struct stat_seg *s, uint32_t row, uint64_t tag, const struct stat_health *h)
{
	latch_write(s->own + s->dim.slot.health + (size_t)row * LATCH_SIZE(sizeof(*h)), tag, h, sizeof(*h));
}

static void dns_write(struct stat_seg *s, uint32_t row, uint64_t tag, const struct stat_dns *d)
{
	latch_write(s->own + s->dim.slot.dns + (size_t)row * LATCH_SIZE(sizeof(*d)), tag, d, sizeof(*d));
}

void view_health_import(struct stat_seg *s, uint32_t row, uint64_t tag, uint32_t from)
{
	struct stat_health h;
	struct stat_dns d;
	uint32_t flags = 0;

	if (from == s->own_slot)
		return;
	if (dns_read(s, from, row, &d)) {
		dns_write(s, row, tag, &d);
		flags |= HW_DNS;
	}
	if (health_read(s, from, row, &h)) {
		health_write(s, row, tag, &h);
		flags |= HW_HEALTH | (h.state & HW_STATE);
	}
	hword_set(s, row, flags ? hword_make(tag, flags) : 0);
}

/* May this process write about the row? */
static bool is_own(const struct stat_seg *s, uint32_t row, uint64_t tag)
{
	struct stat_owner o;

	return tag && view_own(s) && stat_owner_get(s, row, &o) && o.slot == s->own_slot;
}

/* The record first, then the word that says it is there. */
bool stat_health_set(struct stat_seg *s, uint32_t row, const struct stat_health *h)
{
	uint64_t tag = view_tag(s, row);
	uint32_t old;

	if (!is_own(s, row, tag))
		return false;
	old = hword(s, s->own_slot, row, tag);
	health_write(s, row, tag, h);
	hword_set(s, row, hword_make(tag, (old & HW_DNS) | HW_HEALTH | (h->state & HW_STATE)));
	if (!(old & HW_HEALTH) || (old & HW_STATE) != (h->state & HW_STATE))
		epoch_bump(view_own(s));
	return true;
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

bool stat_dns_set(struct stat_seg *s, uint32_t row, const struct stat_dns *d)
{
	uint64_t tag = view_tag(s, row);
	struct stat_dns old;
	bool same;

	if (d->n > STAT_DNS_MAX || !is_own(s, row, tag))
		return false;
	same = dns_read(s, s->own_slot, row, &old) && dns_same(&old, d);
	dns_write(s, row, tag, d);
	hword_set(s, row, hword_make(tag, (hword(s, s->own_slot, row, tag) & (HW_HEALTH | HW_STATE)) | HW_DNS));
	if (!same)
		epoch_bump(view_own(s));
	return true;
}
