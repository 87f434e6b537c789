/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel.h - coarse hierarchical timer wheel; time is passed in, so tests run hours in a millisecond
 *
 * A timer holds a deadline. Moving the deadline later is one store: the slot visit re-inserts
 * (ENGINE section 3 rule 6). Granularity 10 ms; a timer never fires early, at most 2 ticks late.
 */
#ifndef FL_BASE_WHEEL_H
#define FL_BASE_WHEEL_H

#include "base/list.h"

struct timer {
	struct list link;
	uint64_t    deadline_ms;      /* loop time; 0 = not set */
	uint64_t    linked_ms;        /* the wheel's: the deadline by which it has its place */
	void      (*fn)(struct timer *t);
};
struct wheel;

struct wheel *wheel_new(uint64_t now_ms);
void wheel_free(struct wheel **w);
void timer_init(struct timer *t, void (*fn)(struct timer *t));
/* Sets or moves; any time may be given; a past one fires at the next advance. */
void timer_set(struct wheel *w, struct timer *t, uint64_t deadline_ms);
void timer_stop(struct timer *t);                      /* safe to repeat; safe inside fn */
static inline bool timer_is_set(const struct timer *t) { return t->deadline_ms != 0; }
/* Fires what is due; at most `budget` callbacks (0 = all); returns how many fired. */
unsigned wheel_advance(struct wheel *w, uint64_t now_ms, unsigned budget);
/* Time of the earliest possible work, UINT64_MAX when empty: the loop sleeps until then. */
uint64_t wheel_next_ms(const struct wheel *w);

#endif
