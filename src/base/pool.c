/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - regions and slabs
 *
 * A region is its own first block:
 *
 *   [struct pool][struct block][...first block's bytes...]   [struct block][...]   ...
 *
 * Blocks double up to BLOCK_MAX; a piece larger than a quarter of the next block gets a block of
 * its own behind the current one, so the current one's rest is not lost. With AddressSanitizer each
 * piece is a block of its own, made by malloc, and free slab objects are poisoned.
 */
#include "config.h"

#include "base/pool.h"

#include <stdio.h>
#include <string.h>

#include "base/env.h"

#define POOL_ASAN FL_SEES_MEMORY
#if POOL_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define POOL_MAGIC  0x706f6f6cu
#define POOL_ALIGN  16u
#define BLOCK_FIRST 2048u       /* the first block with its headers */
#define BLOCK_MAX   65536u

/* The bytes follow the header, which is a multiple of POOL_ALIGN long. */
struct block {
	struct block *next;
	size_t        cap, used;
	size_t        pad;
};

struct pool {
	unsigned      magic;
	const char   *name;
	size_t        limit, given;
	struct block *cur;        /* newest block with room; its chain leads to the first */
	size_t        next_cap;
};

_Static_assert(sizeof(struct block) % POOL_ALIGN == 0, "pieces must stay aligned");
#define POOL_HEAD ((sizeof(struct pool) + POOL_ALIGN - 1) / POOL_ALIGN * POOL_ALIGN)

static struct block *first_block(struct pool *p)
{
	return (struct block *)((char *)p + POOL_HEAD);
}

static char *block_bytes(struct block *b)
{
	return (char *)(b + 1);
}

struct pool *pool_new(const char *name, size_t limit)
{
	return pool_new_sized(name, limit, BLOCK_FIRST);
}

struct pool *pool_new_sized(const char *name, size_t limit, size_t first)
{
	size_t whole = POOL_ASAN ? POOL_HEAD + sizeof(struct block) : FL_MAX(first, (size_t)BLOCK_FIRST);
	struct pool *p = env_malloc(whole);

	if (!p)
		return NULL;
	*p = (struct pool){ .magic = POOL_MAGIC, .name = name, .limit = limit };
	*first_block(p) = (struct block){ .cap = whole - POOL_HEAD - sizeof(struct block) };
	p->cur = first_block(p);
	p->next_cap = 2 * BLOCK_FIRST;
	return p;
}

static void free_blocks(struct pool *p)
{
	while (p->cur != first_block(p)) {
		struct block *b = p->cur;

		p->cur = b->next;
		env_free(b);
	}
}

void pool_free(struct pool **pp)
{
	struct pool *p = *pp;

	if (!p)
		return;
	ASSERT(p->magic == POOL_MAGIC);
	free_blocks(p);
	p->magic = 0;
	env_free(p);
	*pp = NULL;
}

void pool_reset(struct pool *p)
{
	ASSERT(p->magic == POOL_MAGIC);
	free_blocks(p);
	first_block(p)->used = 0;
	p->given = 0;
	p->next_cap = 2 * BLOCK_FIRST;
}

static struct block *block_new(size_t cap)
{
	struct block *b = env_malloc(sizeof(*b) + cap);

	if (b)
		*b = (struct block){ .cap = cap };
	return b;
}

/* The piece does not fit into the current block: a new one, or one just for the piece. */
static void *alloc_slow(struct pool *p, size_t n, size_t exact)
{
	struct block *b;

	if (POOL_ASAN || n > p->next_cap / 4) {
		b = block_new(POOL_ASAN ? exact : n);
		if (!b)
			return NULL;
		b->used = b->cap;
		if (p->cur == first_block(p)) {
			b->next = p->cur;      /* the first block must end the chain */
			p->cur = b;
		} else {
			b->next = p->cur->next;
			p->cur->next = b;
		}
		return block_bytes(b);
	}
	b = block_new(p->next_cap - sizeof(*b));
	if (!b)
		return NULL;
	p->next_cap = FL_MIN(p->next_cap * 2, (size_t)BLOCK_MAX);
	b->used = n;
	b->next = p->cur;
	p->cur = b;
	return block_bytes(b);
}

void *pool_alloc(struct pool *p, size_t exact)
{
	struct block *b = p->cur;
	size_t n = (exact + (exact == 0) + POOL_ALIGN - 1) & ~(size_t)(POOL_ALIGN - 1);
	void *mem;

	ASSERT(p->magic == POOL_MAGIC);
	if (n < exact || n > SIZE_MAX / 2 || (p->limit && (n > p->limit || p->given > p->limit - n)))
		return NULL;
	if (!POOL_ASAN && n <= b->cap - b->used) {
		mem = block_bytes(b) + b->used;
		b->used += n;
	} else {
		mem = alloc_slow(p, n, exact);
		if (!mem)
			return NULL;
	}
	p->given += n;
	return mem;
}

void *pool_zalloc(struct pool *p, size_t n)
{
	void *mem = pool_alloc(p, n);

	return mem ? memset(mem, 0, n) : NULL;
}

void *pool_array(struct pool *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return pool_zalloc(p, bytes);
}

char *pool_strndup(struct pool *p, const char *s, size_t n)
{
	char *mem = n < SIZE_MAX ? pool_alloc(p, n + 1) : NULL;

	if (!mem)
		return NULL;
	if (n)
		memcpy(mem, s, n);
	mem[n] = '\0';
	return mem;
}

struct str pool_str(struct pool *p, struct str s)
{
	char *mem = pool_strndup(p, s.p, s.n);

	return mem ? str_n(mem, s.n) : STR_NULL;
}

char *pool_fmt(struct pool *p, const char *fmt, ...)
{
	va_list ap;
	char *mem;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	mem = n < 0 ? NULL : pool_alloc(p, (size_t)n + 1);
	if (!mem)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(mem, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return mem;
}

size_t pool_used(const struct pool *p)
{
	return p->given;
}

/* Slabs ---------------------------------------------------------------------------------- */

/* Each block begins with one cache line that links it to the next; free objects link themselves. */
#define SLAB_HEAD FL_CACHELINE

void slab_init(struct slab *s, const char *name, size_t size, unsigned per_block, size_t limit)
{
	/* half a line: what fills whole ones stays aligned to them, and 96 bytes do not take 128 */
	size_t unit = size >= FL_CACHELINE ? FL_CACHELINE / 2 : POOL_ALIGN;

	ASSERT(size > 0 && size < SIZE_MAX / 2 && per_block > 0);
	*s = (struct slab){
		.name = name,
		.size = (size + unit - 1) / unit * unit,
		.per_block = per_block,
		.limit = limit,
	};
}

static void slab_push(struct slab *s, void *obj)
{
	*(void **)obj = s->free_list;
	s->free_list = obj;
	ASAN_POISON_MEMORY_REGION(obj, s->size);
}

static bool slab_grow(struct slab *s)
{
	size_t n = s->per_block, bytes;
	char *block;

	if (s->limit && n > s->limit - s->total)
		n = s->limit - s->total;
	if (n == 0 || __builtin_mul_overflow(n, s->size, &bytes) || bytes > SIZE_MAX / 2)
		return false;
	block = env_aligned(FL_CACHELINE, SLAB_HEAD + bytes);
	if (!block)
		return false;
	*(void **)block = s->blocks;
	s->blocks = block;
	s->total += n;
	while (n--)      /* backwards, so that objects come out in address order */
		slab_push(s, block + SLAB_HEAD + n * s->size);
	return true;
}

void *slab_get(struct slab *s)
{
	void *obj;

	if (!s->free_list && !slab_grow(s))
		return NULL;
	obj = s->free_list;
	ASAN_UNPOISON_MEMORY_REGION(obj, s->size);
	s->free_list = *(void **)obj;
	s->live++;
	return memset(obj, 0, s->size);
}

void slab_put(struct slab *s, void *obj)
{
	if (!obj)
		return;
	ASSERT(s->live > 0);
	s->live--;
	slab_push(s, obj);
}

void slab_fini(struct slab *s)
{
	while (s->blocks) {
		void *b = s->blocks;

		s->blocks = *(void **)b;
		env_free(b);
	}
	s->free_list = NULL;
	s->live = s->total = 0;
}
