/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.c - string table: entries in insertion order, and an index of entry numbers over them
 *
 * The index is open addressing with linear probing, at most half full, and holds entry number + 1.
 * A removal shifts the entries behind it back, so there are no graves in the index; in the
 * entries it leaves a hole that the next growth closes.
 */
#include "config.h"

#include "base/map.h"

#include "base/env.h"
#include "base/err.h"
#include "base/hash.h"

#define MAP_FIRST 8u           /* entries of a new map; the index has twice as many cells */
#define MAP_MAX   (1u << 30)

struct entry {
	struct str key;
	void      *value;
	uint64_t   hash;
	bool       used;
};

struct map {
	struct pool  *pool;
	struct entry *entries;
	uint32_t     *index;
	uint32_t      cap;         /* entries; a power of two or 0 */
	uint32_t      top;         /* entries ever put in, holes too */
	uint32_t      count;
	bool          fold_case;
};

static void *map_mem(const struct map *m, size_t n, size_t size)
{
	return m->pool ? pool_array(m->pool, n, size) : env_calloc(n, size);
}

struct map *map_new(struct pool *p, bool fold_case)
{
	struct map *m = p ? pool_zalloc(p, sizeof(*m)) : env_calloc(1, sizeof(*m));

	if (m) {
		m->pool = p;
		m->fold_case = fold_case;
	}
	return m;
}

void map_free(struct map **mp)
{
	struct map *m = *mp;

	if (!m)
		return;
	ASSERT(!m->pool);
	env_free(m->entries);
	env_free(m->index);
	env_free(m);
	*mp = NULL;
}

static uint64_t hash_of(const struct map *m, struct str key)
{
	return m->fold_case ? hash_sip_i(key.p, key.n) : hash_sip(key.p, key.n);
}

static uint32_t cell_mask(const struct map *m)
{
	return m->cap * 2 - 1;
}

/* The cell that holds key, or the empty one where it would go. cap must not be 0. */
static uint32_t find_cell(const struct map *m, struct str key, uint64_t hash)
{
	uint32_t mask = cell_mask(m), c = (uint32_t)hash & mask;

	for (; m->index[c]; c = (c + 1) & mask) {
		const struct entry *e = &m->entries[m->index[c] - 1];

		if (e->hash == hash && (m->fold_case ? str_ieq(e->key, key) : str_eq(e->key, key)))
			break;
	}
	return c;
}

/* Twice the room, or the same with the holes closed when these are many. */
static int grow(struct map *m)
{
	uint32_t cap = !m->cap ? MAP_FIRST : m->count > m->cap / 2 ? m->cap * 2 : m->cap;
	struct map next = *m;

	if (cap > MAP_MAX)
		return FL_ENOMEM_;
	next.cap = cap;
	next.top = 0;
	next.entries = map_mem(m, cap, sizeof(*m->entries));
	next.index = map_mem(m, (size_t)cap * 2, sizeof(*m->index));
	if (!next.entries || !next.index) {
		if (!m->pool) {
			env_free(next.entries);
			env_free(next.index);
		}
		return FL_ENOMEM_;
	}
	for (uint32_t i = 0; i < m->top; i++) {
		uint32_t c;

		if (!m->entries[i].used)
			continue;
		c = (uint32_t)m->entries[i].hash & cell_mask(&next);
		while (next.index[c])
			c = (c + 1) & cell_mask(&next);
		next.entries[next.top++] = m->entries[i];
		next.index[c] = next.top;
	}
	if (!m->pool) {
		env_free(m->entries);
		env_free(m->index);
	}
	*m = next;
	return 0;
}

static int put(struct map *m, struct str key, void *value, bool replace)
{
	uint64_t hash = hash_of(m, key);
	uint32_t c;

	if (m->cap) {
		c = find_cell(m, key, hash);
		if (m->index[c]) {
			struct entry *e = &m->entries[m->index[c] - 1];

			if (!replace)
				return FL_EEXISTS_;
			e->key = key;
			e->value = value;
			return 0;
		}
	}
	if (m->top == m->cap) {
		int err = grow(m);

		if (err)
			return err;
	}
	c = find_cell(m, key, hash);
	m->entries[m->top++] = (struct entry){ key, value, hash, true };
	m->index[c] = m->top;
	m->count++;
	return 0;
}

int map_add(struct map *m, struct str key, void *value)
{
	return put(m, key, value, false);
}

int map_set(struct map *m, struct str key, void *value)
{
	return put(m, key, value, true);
}

void *map_get(const struct map *m, struct str key)
{
	uint32_t c;

	if (!m->count)
		return NULL;
	c = find_cell(m, key, hash_of(m, key));
	return m->index[c] ? m->entries[m->index[c] - 1].value : NULL;
}

bool map_del(struct map *m, struct str key)
{
	uint32_t mask, hole, c;

	if (!m->count)
		return false;
	mask = cell_mask(m);
	hole = find_cell(m, key, hash_of(m, key));
	if (!m->index[hole])
		return false;
	m->entries[m->index[hole] - 1] = (struct entry){ 0 };
	m->count--;
	for (c = (hole + 1) & mask; m->index[c]; c = (c + 1) & mask) {
		uint32_t home = (uint32_t)m->entries[m->index[c] - 1].hash & mask;

		/* an entry may go back to the hole when its home is not between hole and it */
		if (((c - home) & mask) >= ((c - hole) & mask)) {
			m->index[hole] = m->index[c];
			hole = c;
		}
	}
	m->index[hole] = 0;
	return true;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

bool map_next(const struct map *m, size_t *it, struct str *key, void **value)
{
	while (*it < m->top) {
		const struct entry *e = &m->entries[(*it)++];

		if (!e->used)
			continue;
		if (key)
			*key = e->key;
		if (value)
			*value = e->value;
		return true;
	}
	return false;
}
