/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_mem.c - cells for OpenSSL (see tls_mem.h)
 *
 *   reserved addresses:  [chunk 0: cells of 48][chunk 1: cells of 7616][chunk 2: empty][...        ]
 *                                                                       ^ made so far, writable
 *
 * A chunk holds cells of one size. Its head lies in a table of its own, not in the chunk, so that heads do not
 * all fall into the same few lines of the cache and an idle chunk stays untouched. A size takes from the
 * chunk that had a cell freed last; a full chunk is in no list. New chunks are touched cell by cell, so a
 * size that is asked for once costs a page and not a chunk.
 */
#include "config.h"

#include "net/tls_mem.h"

#include <openssl/crypto.h>
#include <string.h>
#include <sys/mman.h>

#include "base/env.h"

#define STEP       16u
#define CELL_MAX   (20u * 1024)                /* a record buffer of 16 KiB fits */
#define SIZES      (CELL_MAX / STEP + 1)
#define CHUNK_BITS 16
#define CHUNK      ((size_t)1 << CHUNK_BITS)
#define CHUNKS     ((size_t)256 * 1024)        /* 16 GiB of addresses */
#define MAKE       16u                         /* chunks made writable at a time */
#define WARM_MAX   64u
#define PAGE_MIDDLE 2048u

struct cell {
	struct cell *next;
};
struct chunk {
	struct chunk *next, *prev;      /* of its size, with room; or next of the empty ones */
	struct cell  *freed;
	uint32_t      live, cap;
	uint32_t      untouched;        /* index of the first cell that was never given */
	uint16_t      size;             /* in STEPs */
	uint16_t      begin;            /* where the first cell lies */
};

static struct {
	bool          on;
	char         *base;
	struct chunk *heads;            /* CHUNKS of them, touched as chunks are made */
	size_t        made, begun;      /* writable chunks; chunks that had a cell */
	struct chunk *size[SIZES];
	struct chunk *warm, *cold;      /* without a cell; cold ones are untouched */
	size_t        n_warm, n_cold;
	size_t        cells, steps;
} mem;

static char *bytes_of(const struct chunk *c)
{
	return mem.base + ((size_t)(c - mem.heads) << CHUNK_BITS);
}

/* Chunks ---------------------------------------------------------------------------------- */

static void link_chunk(struct chunk *c)
{
	struct chunk **first = &mem.size[c->size];

	c->prev = NULL;
	c->next = *first;
	if (c->next)
		c->next->prev = c;
	*first = c;
}

static void unlink_chunk(struct chunk *c)
{
	if (c->next)
		c->next->prev = c->prev;
	if (c->prev)
		c->prev->next = c->next;
	else
		mem.size[c->size] = c->next;
}

static struct chunk *pop(struct chunk **list, size_t *n)
{
	struct chunk *c = *list;

	if (c) {
		*list = c->next;
		--*n;
	}
	return c;
}

static struct chunk *new_chunk(uint32_t size)
{
	struct chunk *c = pop(&mem.warm, &mem.n_warm);

	if (!c)
		c = pop(&mem.cold, &mem.n_cold);
	if (!c) {
		if (mem.begun == mem.made) {
			if (mem.made == CHUNKS || mprotect(mem.base + (mem.made << CHUNK_BITS), MAKE * CHUNK,
							   PROT_READ | PROT_WRITE) < 0)
				return NULL;
			mem.made += MAKE;
		}
		c = &mem.heads[mem.begun++];
	}
	*c = (struct chunk){ .size = (uint16_t)size, .cap = (uint32_t)(CHUNK / (size * STEP)) };
	/* What is over goes in front: a copy between two starts of pages is slow (4 KiB aliasing). */
	c->begin = (uint16_t)FL_MIN(CHUNK - c->cap * size * STEP, PAGE_MIDDLE + (size_t)(c - mem.heads) % 16 * 64);
	link_chunk(c);
	return c;
}

/* The last chunk of a size stays its own: else one cell that comes and goes would drag a chunk along. */
static void retire_chunk(struct chunk *c)
{
	if (!c->next && !c->prev)
		return;
	unlink_chunk(c);
	if (mem.n_warm < WARM_MAX) {
		c->next = mem.warm;
		mem.warm = c;
		mem.n_warm++;
		return;
	}
	(void)madvise(bytes_of(c), CHUNK, MADV_DONTNEED);
	c->next = mem.cold;
	mem.cold = c;
	mem.n_cold++;
}

/* Cells ----------------------------------------------------------------------------------- */

/* NULL: malloc's. */
static inline struct chunk *chunk_of(const void *p)
{
	size_t at = (size_t)((uintptr_t)p - (uintptr_t)mem.base);

	return mem.on && at < CHUNKS << CHUNK_BITS ? &mem.heads[at >> CHUNK_BITS] : NULL;
}

static void *cell_get(size_t n)
{
	uint32_t size = (uint32_t)((n + STEP - 1) / STEP);
	struct chunk *c = mem.size[size];
	struct cell *cell;

	if (FL_UNLIKELY(!c)) {
		c = new_chunk(size);
		if (!c)
			return NULL;
	}
	cell = c->freed;
	if (cell)
		c->freed = cell->next;
	else
		cell = (struct cell *)(bytes_of(c) + c->begin + (size_t)c->untouched++ * size * STEP);
	if (++c->live == c->cap)
		unlink_chunk(c);
	mem.cells++;
	mem.steps += size;
	return cell;
}

static void cell_put(struct chunk *c, void *p)
{
	struct cell *cell = p;

	ASSERT(c->live > 0);
	cell->next = c->freed;
	c->freed = cell;
	mem.cells--;
	mem.steps -= c->size;
	if (c->live-- == c->cap)
		link_chunk(c);
	if (c->live == 0)
		retire_chunk(c);
}

/* What OpenSSL calls ------------------------------------------------------------------------ */

static void *take(size_t n, const char *file, int line)
{
	void *p = NULL;

	(void)file;
	(void)line;
	if (n == 0 || env_fp("tls_malloc"))
		return NULL;
	if (mem.on && n <= CELL_MAX)
		p = cell_get(n);
	return p ? p : env_malloc(n);
}

static void give(void *p, const char *file, int line)
{
	struct chunk *c = chunk_of(p);

	(void)file;
	(void)line;
	if (c)
		cell_put(c, p);
	else
		env_free(p);
}

static void *change(void *p, size_t n, const char *file, int line)
{
	struct chunk *c = chunk_of(p);
	void *other;

	if (!p)
		return take(n, file, line);
	if (n == 0) {
		give(p, file, line);
		return NULL;
	}
	if (!c)
		return env_fp("tls_malloc") ? NULL : env_realloc(p, n);
	if ((n + STEP - 1) / STEP == c->size)
		return p;
	other = take(n, file, line);
	if (other) {
		memcpy(other, p, FL_MIN(n, (size_t)c->size * STEP));
		give(p, file, line);
	}
	return other;
}

/* Life ------------------------------------------------------------------------------------ */

bool tls_mem_init(void)
{
	return CRYPTO_set_mem_functions(take, change, give) == 1;
}

bool tls_mem_cells(void)
{
	CRYPTO_malloc_fn ours;
	char *base;

	CRYPTO_get_mem_functions(&ours, NULL, NULL);
	if (FL_SEES_MEMORY || sizeof(size_t) < 8 || ours != take)      /* 32 bits have no 16 GiB */
		return false;
	if (mem.on)
		return true;
	base = env_mmap(CHUNKS << CHUNK_BITS, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	mem.heads = env_mmap(CHUNKS * sizeof(*mem.heads), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!base || !mem.heads) {
		if (base)
			env_munmap(base, CHUNKS << CHUNK_BITS);
		return false;
	}
	mem.base = base;
	mem.on = true;
	return true;
}

struct tls_mem_figures tls_mem_figures(void)
{
	return (struct tls_mem_figures){
		.cells = mem.cells, .bytes = mem.steps * STEP, .chunks = mem.begun,
		.empty = mem.n_warm + mem.n_cold, .warm = mem.n_warm,
	};
}
