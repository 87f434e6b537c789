/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.h - string -> pointer table (open addressing, SipHash, keys borrowed)
 *
 * The key bytes must outlive the entry. Insertion order is kept for iteration.
 */
#ifndef FL_BASE_MAP_H
#define FL_BASE_MAP_H

#include "base/pool.h"

struct map;

struct map *map_new(struct pool *p, bool fold_case);   /* p NULL: heap, freed by map_free */
void  map_free(struct map **m);                        /* heap maps only; sets NULL */
/* 0, FL_EEXISTS_ (old value kept) or FL_ENOMEM_. map_set replaces value and key bytes. */
int   map_add(struct map *m, struct str key, void *value);
int   map_set(struct map *m, struct str key, void *value);
void *map_get(const struct map *m, struct str key);    /* NULL when absent */
bool  map_del(struct map *m, struct str key);
size_t map_count(const struct map *m);
/* Iterates in insertion order: *it starts at 0; false at the end; key and value may be NULL.
 * Entries may be removed meanwhile, not added. */
bool  map_next(const struct map *m, size_t *it, struct str *key, void **value);

#endif
