/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heapcount.h - how often this program asked the C library for memory
 *
 * For tests of paths that must not allocate. Calls are counted, not bytes: memory that is taken and
 * given back at once hides in malloc's caches, and differs with what ran before. Include it in
 * one file of a program. Sanitizers have an allocator of their own; there the count stays 0.
 */
#ifndef TESTS_UNIT_HEAPCOUNT_H
#define TESTS_UNIT_HEAPCOUNT_H

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define HEAPCOUNT_OFF 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEAPCOUNT_OFF 1
#endif
#endif

static unsigned long heapcount_n;

#ifndef HEAPCOUNT_OFF
void *__libc_malloc(size_t n);          /* the C library's, under the names it keeps for this */
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
	heapcount_n++;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	heapcount_n++;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	heapcount_n++;
	return __libc_realloc(p, n);
}
#endif

static inline unsigned long heapcount_taken(void)
{
	return heapcount_n;
}

#endif
