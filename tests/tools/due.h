/* SPDX-License-Identifier: Apache-2.0 */
/*
 * due.h - a heap of deadlines for the small programs of the tests
 *
 * Times are microseconds of CLOCK_MONOTONIC, the clock of Python's time.monotonic(). An item is a struct due
 * inside its owner; it is in the heap at most once.
 */
#ifndef FL_TESTS_TOOLS_DUE_H
#define FL_TESTS_TOOLS_DUE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct due {
	uint64_t at;
	size_t place; /* 1...; 0: not in the heap */
};

struct due_heap {
	struct due **item; /* [1...n] */
	size_t n, room;
};

static inline uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline void due_put(struct due_heap *h, struct due *d, size_t place)
{
	h->item[place] = d;
	d->place = place;
}

static inline void due_sift(struct due_heap *h, struct due *d, size_t i)
{
	while (i > 1 && h->item[i / 2]->at > d->at) {
		due_put(h, h->item[i / 2], i);
		i /= 2;
	}
	for (;;) {
		size_t c = 2 * i;

		if (c > h->n)
			break;
		if (c < h->n && h->item[c + 1]->at < h->item[c]->at)
			c++;
		if (h->item[c]->at >= d->at)
			break;
		due_put(h, h->item[c], i);
		i = c;
	}
	due_put(h, d, i);
}

static inline void due_del(struct due_heap *h, struct due *d)
{
	size_t place = d->place;
	struct due *last;

	if (!place)
		return;
	d->place = 0;
	last = h->item[h->n--];
	if (last != d)
		due_sift(h, last, place);
}

static inline void due_set(struct due_heap *h, struct due *d, uint64_t at)
{
	due_del(h, d);
	d->at = at;
	if (h->n + 2 > h->room) {
		h->room = h->room ? 2 * h->room : 1024;
		h->item = realloc(h->item, h->room * sizeof(*h->item));
		if (!h->item)
			abort();
	}
	due_sift(h, d, ++h->n);
}

/* The first one when its time has come, taken out; NULL: none. */
static inline struct due *due_pop(struct due_heap *h, uint64_t now)
{
	struct due *d = h->n ? h->item[1] : NULL;

	if (!d || d->at > now)
		return NULL;
	due_del(h, d);
	return d;
}

/* For epoll_wait: milliseconds until the first, at most `most`, rounded up. */
static inline int due_wait_ms(const struct due_heap *h, uint64_t now, int most)
{
	uint64_t us;

	if (!h->n)
		return most;
	if (h->item[1]->at <= now)
		return 0;
	us = h->item[1]->at - now + 999;
	return us / 1000 < (uint64_t)most ? (int)(us / 1000) : most;
}

#endif
