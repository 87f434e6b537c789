/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - memory by lifetime: regions (freed as a whole) and slabs (one size, recycled)
 *
 * Region: configuration and transaction lifetimes (HOUSE-STYLE section 7). Allocation is bump
 * pointer in blocks; nothing is freed alone. Not for two threads. With ASan every region
 * allocation is a malloc of its own, so overruns are seen.
 * Slab: fixed-size objects of a worker; freed ones are reused LIFO; never returned to the system.
 */
#ifndef FL_BASE_POOL_H
#define FL_BASE_POOL_H

#include <stdarg.h>

#include "base/str.h"

struct pool;

/* A new region named for diagnostics. `limit` bytes in all, 0 = none. NULL when no memory. */
struct pool *pool_new(const char *name, size_t limit);
/* The same with a first block of `first` bytes (>= 2048), which pool_reset() keeps: for regions
 * that are recycled. */
struct pool *pool_new_sized(const char *name, size_t limit, size_t first);
/* Frees all it gave and the region itself; sets *p to NULL. */
void pool_free(struct pool **p);
/* Makes it empty again, keeping its first block. */
void pool_reset(struct pool *p);
/* 16-byte aligned, not zeroed; NULL at the limit or without memory. */
void *pool_alloc(struct pool *p, size_t n) FL_MUSTCHECK;
void *pool_zalloc(struct pool *p, size_t n) FL_MUSTCHECK;
void *pool_array(struct pool *p, size_t n, size_t size) FL_MUSTCHECK;  /* zeroed, overflow: NULL */
char *pool_strndup(struct pool *p, const char *s, size_t n) FL_MUSTCHECK;   /* NUL added */
struct str pool_str(struct pool *p, struct str s);         /* copy, NUL added; .p NULL: no memory */
char *pool_fmt(struct pool *p, const char *fmt, ...) FL_PRINTF(2, 3);
size_t pool_used(const struct pool *p);

struct slab {
	const char *name;
	size_t      size;       /* of one object, rounded up to 64 when >= 64 */
	unsigned    per_block;
	size_t      limit;      /* objects; 0 = none */
	size_t      live, total;
	void       *free_list, *blocks;
};
void  slab_init(struct slab *s, const char *name, size_t size, unsigned per_block, size_t limit);
void *slab_get(struct slab *s) FL_MUSTCHECK;   /* zeroed; NULL at the limit or without memory */
void  slab_put(struct slab *s, void *obj);     /* NULL is fine */
void  slab_fini(struct slab *s);

#endif
