/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cores.c - see cores.h
 */
#include "config.h"

#include "base/cores.h"

bool cores_empty(const struct core_set *s)
{
	return cores_next(s, 0) == CORES_MAX;
}

unsigned cores_next(const struct core_set *s, unsigned from)
{
	while (from < CORES_MAX && !cores_has(s, from))
		from++;
	return FL_MIN(from, CORES_MAX);
}

struct core_set cores_both(const struct core_set *a, const struct core_set *b)
{
	struct core_set both;

	for (size_t i = 0; i < FL_ARRAY_LEN(both.bit); i++)
		both.bit[i] = a->bit[i] & b->bit[i];
	return both;
}

bool cores_parse(struct core_set *s, struct str word, unsigned *last)
{
	struct str rest = word, first = str_cut(&rest, '-');
	bool range = first.n != word.n;
	uint64_t a, b;

	if (!str_u64(first, &a))
		return false;
	b = a;
	if ((range && !str_u64(rest, &b)) || b < a || b >= CORES_MAX)
		return false;
	for (unsigned core = (unsigned)a; core <= b; core++)
		s->bit[core / 64] |= 1ull << (core % 64);
	if (last)
		*last = (unsigned)b;
	return true;
}
