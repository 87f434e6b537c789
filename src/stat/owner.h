/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owner.h - which core does for a row what is done once for the whole appliance (doc/decisions/011)
 *
 * The master says who is there: a slot per core (stat_live_slot). The rendezvous hash of an object's name over these
 * cores says who tries, the candidate. It becomes owner by a claim in its own slot: an epoch, one more than any
 * before. Of all claims the newest counts, of two with the same epoch that of the higher slot. So everybody comes to
 * the same result from the same words, and nobody writes what is not his.
 *
 *	free --take--> owned --superseded by a newer claim--> (another's)
 *	                 `-- its process ends: the records stay valid, the candidate takes it
 *
 * take() copies the records of the owner before into the own slot and then stores the claim, so a process killed at
 * any instant leaves a complete record that counts: its predecessor's, or its own.
 */
#ifndef FL_STAT_OWNER_H
#define FL_STAT_OWNER_H

#include "base/cores.h"
#include "stat/stat.h"

struct stat_owner {
	uint32_t slot, core, epoch;
	uint32_t why;                /* ST_OWNER_*: how it came to this owner */
	uint64_t since_us;           /* wall */
	bool     live;               /* the master says that it is there */
};
/* Who has a row; false: nobody ever had. Looks at all slots that ever claimed. */
bool stat_owner_get(const struct stat_seg *s, uint32_t row, struct stat_owner *out);
/* Slot of the live worker that is to have it; STAT_NO_SLOT when none lives or the row is free. among: of these cores (NULL: of
 * all), unless none of them lives. */
uint32_t stat_owner_candidate(const struct stat_seg *s, uint32_t row, const struct core_set *among);
/* Worker: makes this process the owner. The new epoch, and in *why how it came to it: from an older generation always
 * ST_OWNER_RELOAD; `show` says MOVED as well, if another core had it there that still has a worker. 0: no such row. */
uint32_t stat_owner_take(struct stat_seg *s, uint32_t row, uint32_t *why);
/* Is the claim of this process with this epoch still the newest? */
bool stat_owner_mine(const struct stat_seg *s, uint32_t row, uint32_t epoch);
/* Grows when this worker has seen (stat_health_epoch) that rows changed hands. */
uint64_t stat_owner_changes(const struct stat_seg *s);

/* Is what a slot says about a row, under this epoch, worth listening to? */
enum owner_word {
	OWNER_WORD_GOOD,
	OWNER_WORD_STALE,            /* another epoch has begun */
	OWNER_WORD_FOREIGN,          /* it does not own the row, or is not there by the master's word */
};
enum owner_word stat_owner_word(const struct stat_seg *s, uint32_t row, uint32_t slot, uint32_t epoch);

#endif
