/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cores.h - a set of cores, written as "0" and "2-3"
 *
 * Cores are the numbers of workers, from 0; what a machine has of them is not known here. Pure.
 */
#ifndef FL_BASE_CORES_H
#define FL_BASE_CORES_H

#include "base/str.h"

#define CORES_MAX 1024u

struct core_set {
	uint64_t bit[CORES_MAX / 64];
};

static inline bool cores_has(const struct core_set *s, unsigned core)
{
	return core < CORES_MAX && (s->bit[core / 64] >> (core % 64) & 1);
}

bool cores_empty(const struct core_set *s);
/* The next member from `from` on; CORES_MAX: none. */
unsigned cores_next(const struct core_set *s, unsigned from);
/* What both have. */
struct core_set cores_both(const struct core_set *a, const struct core_set *b);
/* Adds what one word says, a number or a range; the highest in *last, unless that is NULL. False: it is neither, or a core is
 * CORES_MAX or more. */
bool cores_parse(struct core_set *s, struct str word, unsigned *last);

#endif
