/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owner.c - claims, and who is owner by them (see owner.h)
 *
 * What decides (take, mine, word) looks at all slots each time. The data path must not: a worker keeps, for each row, whose
 * claim is the newest, and brings that up to date when a live slot has counted a claim (`claims`), or
 * wholly when the master's words about who lives changed. A slot that is not live may make a last claim that this
 * picture misses; the candidate then sees at its next look that it is not owner, and claims again.
 */
#include "config.h"

#include "stat/owner.h"

#include "base/env.h"
#include "base/hash.h"
#include "stat/view.h"

/* A greater epoch can only be damage, as it would take a takeover each millisecond for 24 days. */
#define EPOCH_MAX 0x7fffffffu

struct owners {
	bool      known;
	uint64_t  board;              /* epoch of the board when live[] was read */
	uint32_t  n_live;
	uint32_t *live;               /* [cores]: live slots, then [cores] as they were read */
	uint64_t *claims;             /* [n_workers]: as counted when its claims were read */
	uint64_t  sum;                /* of health epochs */
	uint64_t  changes;
	uint64_t *word;               /* [max_objects]: the newest claim */
	uint32_t *slot;               /* [max_objects]: and whose it is */
};

/* Claims ---------------------------------------------------------------------------------- */

static uint64_t claim_make(uint64_t tag, uint32_t epoch, uint32_t row, uint32_t slot)
{
	uint64_t w = (uint64_t)(seg_tag_incarnation(tag) & 0xffffff) << 40 | (uint64_t)epoch << 8;

	return w | (fl_hash64(&w, sizeof(w), (uint64_t)slot << 32 | row) & 0xff);
}

static uint32_t claim_epoch(uint64_t word) { return (uint32_t)(word >> 8); }

/* A slot's claim to the object of this tag; 0: none. */
static uint64_t claim_read(const struct stat_seg *s, uint32_t k, uint32_t row, uint64_t tag)
{
	uint64_t w = ld64_acq(&view_claim(s, k, row)->word);
	uint32_t epoch = claim_epoch(w);

	return epoch && epoch <= EPOCH_MAX && w == claim_make(tag, epoch, row, k) ? w : 0;
}

static bool has_claimed(const struct stat_seg *s, uint32_t k)
{
	return ld64_acq(&view_slot(s, k)->claims) != 0;
}

/* The newest claim of all; the slots are looked at in their order, so the highest wins among equals. */
static uint64_t newest(const struct stat_seg *s, uint32_t row, uint64_t tag, uint32_t *slot)
{
	uint64_t best = 0;

	*slot = STAT_NO_SLOT;
	for (uint32_t k = 0; tag && k < s->dim.n_workers; k++) {
		uint64_t w = has_claimed(s, k) ? claim_read(s, k, row, tag) : 0;

		if (w && claim_epoch(w) >= claim_epoch(best)) {
			best = w;
			*slot = k;
		}
	}
	return best;
}

static uint32_t core_of(const struct stat_seg *s, uint32_t slot)
{
	return slot / (s->dim.drain + 1);
}

static bool is_live(const struct stat_seg *s, uint32_t slot)
{
	return slot != STAT_NO_SLOT && stat_live_slot(s, core_of(s, slot)) == slot;
}

bool stat_owner_get(const struct stat_seg *s, uint32_t row, struct stat_owner *out)
{
	uint64_t w, since;
	uint32_t slot;

	*out = (struct stat_owner){ .slot = STAT_NO_SLOT };
	w = newest(s, row, view_tag(s, row), &slot);
	if (!w)
		return false;
	since = ld64(&view_claim(s, slot, row)->since);
	*out = (struct stat_owner){
		.slot = slot, .core = core_of(s, slot), .epoch = claim_epoch(w), .since_us = since >> 8,
		.why = FL_MIN((uint32_t)(since & 0xff), (uint32_t)ST_OWNER_MOVED), .live = is_live(s, slot),
	};
	return true;
}

bool stat_owner_mine(const struct stat_seg *s, uint32_t row, uint32_t epoch)
{
	uint32_t slot;
	uint64_t w = newest(s, row, view_tag(s, row), &slot);

	return w && slot == s->own_slot && claim_epoch(w) == epoch;
}

enum owner_word stat_owner_word(const struct stat_seg *s, uint32_t row, uint32_t from, uint32_t epoch)
{
	uint32_t slot;
	uint64_t w = newest(s, row, view_tag(s, row), &slot);

	if (w && epoch < claim_epoch(w))
		return OWNER_WORD_STALE;
	return w && slot == from && epoch == claim_epoch(w) && is_live(s, from) ? OWNER_WORD_GOOD : OWNER_WORD_FOREIGN;
}

/* Highest hash of (object, core): a core that comes or goes moves only what it is to have or had. */
static uint32_t candidate(const struct stat_seg *s, uint32_t row, const struct core_set *among)
{
	uint64_t hash = ld64(&view_obj(s, row)->hash), best = 0;
	uint32_t who = STAT_NO_SLOT;

	for (uint32_t core = 0; core < s->dim.cores; core++) {
		if (among && !core_set_has(among, core))
			continue;
		uint32_t slot = stat_live_slot(s, core);
		uint64_t h = fl_hash64(&core, sizeof(core), hash);

		if (slot != STAT_NO_SLOT && (who == STAT_NO_SLOT || h > best)) {
			best = h;
			who = slot;
		}
	}
	return who;
}

uint32_t stat_owner_candidate(const struct stat_seg *s, uint32_t row, const struct core_set *among)
{
	uint32_t who = STAT_NO_SLOT;

	if (!view_tag(s, row))
		return STAT_NO_SLOT;
	if (among)
		who = candidate(s, row, among);
	return who == STAT_NO_SLOT ? candidate(s, row, NULL) : who;
}

/* Taking ---------------------------------------------------------------------------------- */

static uint32_t why_from(const struct stat_seg *s, uint32_t slot)
{
	if (slot == STAT_NO_SLOT)
		return ST_OWNER_FIRST;
	if (slot == s->own_slot)         /* what a predecessor in this slot left */
		return ST_OWNER_RESPAWN;
	if (is_live(s, slot))
		return ST_OWNER_MOVED;
	if (ld32(&view_proc(s, slot)->generation) != s->generation)
		return ST_OWNER_RELOAD;
	return core_of(s, slot) == s->core ? ST_OWNER_RESPAWN : ST_OWNER_DIED;
}

/* The same for people: with a reload an object may change its core, though the one that had it lives on. */
static uint32_t why_shown(const struct stat_seg *s, uint32_t slot, uint32_t why)
{
	bool moved = why == ST_OWNER_RELOAD && core_of(s, slot) != s->core &&
		     stat_live_slot(s, core_of(s, slot)) != STAT_NO_SLOT;

	return moved ? ST_OWNER_MOVED : why;
}

static void offer(struct stat_seg *s, uint32_t row, uint32_t k);

uint32_t stat_owner_take(struct stat_seg *s, uint32_t row, uint32_t *why)
{
	struct seg_slot *sl = view_own(s);
	uint64_t tag = view_tag(s, row), was;
	struct seg_claim *c;
	uint32_t from, epoch;

	if (!sl || !tag || s->own_slot >= s->dim.n_workers)
		return 0;
	was = newest(s, row, tag, &from);
	epoch = claim_epoch(was) < EPOCH_MAX ? claim_epoch(was) + 1 : EPOCH_MAX;
	*why = why_from(s, from);
	view_health_import(s, row, tag, from);
	c = (struct seg_claim *)(void *)(s->own + s->dim.slot.claim) + row;
	st64(&c->since, env_wall_us() << 8 | why_shown(s, from, *why));
	FP("stat.owner.since");
	if (!sl->claims) {               /* slots that never claimed are not looked at */
		st64_rel(&sl->claims, 1);
		FP("stat.owner.first");
	}
	st64_rel(&c->word, claim_make(tag, epoch, row, s->own_slot));
	FP("stat.owner.claim");
	st64_rel(&sl->claims, sl->claims + 1);
	FP("stat.owner.claims");
	st64_rel(&sl->health_epoch, sl->health_epoch + 1);
	FP("stat.owner.epoch");
	if (s->owners)
		offer(s, row, s->own_slot);
	return epoch;
}

/* A worker's picture ---------------------------------------------------------------------- */

void view_owners_free(struct stat_seg *s)
{
	struct owners *o = s->owners;

	s->owners = NULL;
	if (!o)
		return;
	env_free(o->live);
	env_free(o->claims);
	env_free(o->word);
	env_free(o->slot);
	env_free(o);
}

static struct owners *owners_get(struct stat_seg *s)
{
	struct owners *o = s->owners;

	if (o || s->role != STAT_WORKER)
		return o;
	s->owners = o = env_calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->live = env_calloc(2 * (size_t)s->dim.cores, sizeof(*o->live));
	o->claims = env_calloc(s->dim.n_workers, sizeof(*o->claims));
	o->word = env_calloc(s->dim.max_objects, sizeof(*o->word));
	o->slot = env_calloc(s->dim.max_objects, sizeof(*o->slot));
	if (!o->live || !o->claims || !o->word || !o->slot)
		view_owners_free(s);     /* then each read looks at all slots */
	return s->owners;
}

static bool same_object(uint64_t word, uint64_t tag)
{
	return word >> 40 == (seg_tag_incarnation(tag) & 0xffffff);
}

/* Does slot k have a newer claim to the row than the one known? */
static void offer(struct stat_seg *s, uint32_t row, uint32_t k)
{
	struct owners *o = s->owners;
	uint64_t tag = view_tag(s, row), w = tag ? claim_read(s, k, row, tag) : 0;
	uint32_t known = same_object(o->word[row], tag) ? claim_epoch(o->word[row]) : 0;

	if (w && (claim_epoch(w) > known || (claim_epoch(w) == known && k >= o->slot[row]))) {
		o->word[row] = w;
		o->slot[row] = k;
	}
}

static void read_claims(struct stat_seg *s, uint32_t k)
{
	struct owners *o = s->owners;
	uint32_t rows = stat_obj_max(s);

	o->claims[k] = ld64_acq(&view_slot(s, k)->claims);
	for (uint32_t row = 0; o->claims[k] && row < rows; row++)
		offer(s, row, k);
}

/* Reads who lives; true when it is not as it was. */
static bool read_live(struct stat_seg *s)
{
	struct owners *o = s->owners;
	uint32_t *was = o->live + s->dim.cores;
	bool changed = !o->known;

	o->board = stat_board_epoch(s);
	o->known = true;
	o->n_live = 0;
	for (uint32_t core = 0; core < s->dim.cores; core++) {
		uint32_t slot = stat_live_slot(s, core);

		changed |= was[core] != slot;
		was[core] = slot;
		if (slot != STAT_NO_SLOT)
			o->live[o->n_live++] = slot;
	}
	return changed;
}

static uint64_t sum_epochs(const struct stat_seg *s)
{
	const struct owners *o = s->owners;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < o->n_live; i++)
		sum += ld64_acq(&view_slot(s, o->live[i])->health_epoch);
	return sum;
}

void view_owners_look(struct stat_seg *s)
{
	struct owners *o = owners_get(s);
	uint64_t sum;

	if (!o)
		return;
	if ((!o->known || stat_board_epoch(s) != o->board) && read_live(s)) {
		memset(o->word, 0, stat_obj_max(s) * sizeof(*o->word));
		for (uint32_t k = 0; k < s->dim.n_workers; k++)
			read_claims(s, k);
		o->changes++;
	}
	sum = sum_epochs(s);
	if (sum == o->sum)
		return;
	o->sum = sum;
	for (uint32_t i = 0; i < o->n_live; i++) {
		uint32_t k = o->live[i];

		if (ld64_acq(&view_slot(s, k)->claims) == o->claims[k])
			continue;
		read_claims(s, k);
		o->changes++;
	}
}

uint64_t stat_owner_changes(const struct stat_seg *s)
{
	return s->owners ? s->owners->changes : 0;
}

uint32_t view_owner_slot(const struct stat_seg *s, uint32_t row, uint64_t tag)
{
	const struct owners *o = s->owners;
	uint32_t slot;

	if (!o || !o->known)
		return newest(s, row, tag, &slot) ? slot : STAT_NO_SLOT;
	return tag && o->word[row] && same_object(o->word[row], tag) ? o->slot[row] : STAT_NO_SLOT;
}

/* The sum of counters that only grow changes with each of them; another set of cores makes another number. */
uint64_t stat_health_epoch(struct stat_seg *s)
{
	uint64_t sum = 0;

	view_owners_look(s);
	if (s->owners)
		return s->owners->sum ^ s->owners->changes << 40;
	for (uint32_t core = 0; core < s->dim.cores; core++) {
		uint32_t slot = stat_live_slot(s, core);

		if (slot != STAT_NO_SLOT)
			sum += ld64_acq(&view_slot(s, slot)->health_epoch) ^ (uint64_t)(slot + 1) << 40;
	}
	return sum;
}
