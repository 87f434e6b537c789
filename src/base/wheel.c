/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel.c - hierarchical timer wheel with lazy re-insertion
 *
 * Time is cut into ticks of 10 ms. A tick number is read as digits of six bits; a timer sits on
 * the level of the highest digit in which its tick differs from the current one, in the slot of
 * that digit. So all slots in use lie ahead on their level, the lowest level in use holds
 * the earliest timers, and 11 levels cover every 64-bit time without a special case.
 *
 *   now   = 00 05 12      level 0: ticks of this group of 64, slots 13..63
 *   timer = 00 07 40  ->  level 1, slot 7; when time reaches 00 07 00 it moves to level 0
 *
 * A slot is visited at or before the deadline of everything in it. A visit moves a timer
 * whose deadline is still ahead to its new slot, which is all that a deadline moved later costs. Until
 * then the timer keeps its place, so one that moves to and fro (a connection that is busy, idle, busy)
 * touches no neighbours in the list either: those are cold memory when there are many.
 * Fires in tick order; within one tick in no promised order.
 */
#include "config.h"

#include "base/wheel.h"

#include "base/env.h"
#include "base/work.h"

#define TICK_MS   10u
#define DIGIT     6u
#define SLOTS     64u
#define LEVELS    11u        /* 66 bits of ticks */

struct wheel {
	uint64_t    now_ms;
	uint64_t    tick;             /* everything up to it has been visited */
	uint64_t    used[LEVELS];     /* a bit for each slot; may be set for an empty one (timer_stop) */
	struct list slots[LEVELS][SLOTS];
	struct list due;              /* visited, waiting for their turn (budget) */
	struct list late;             /* set with a time in the past: for the next advance */
};

struct wheel *wheel_new(uint64_t now_ms)
{
	struct wheel *w = env_calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->now_ms = now_ms;
	w->tick = now_ms / TICK_MS;
	for (unsigned l = 0; l < LEVELS; l++)
		for (unsigned s = 0; s < SLOTS; s++)
			list_init(&w->slots[l][s]);
	list_init(&w->due);
	list_init(&w->late);
	return w;
}

static void forget_all(struct list *l)
{
	struct list *n;

	while ((n = list_pop(l)))
		LIST_ENTRY(n, struct timer, link)->deadline_ms = 0;
}

void wheel_free(struct wheel **wp)
{
	struct wheel *w = *wp;

	if (!w)
		return;
	for (unsigned l = 0; l < LEVELS; l++)
		for (unsigned s = 0; s < SLOTS; s++)
			forget_all(&w->slots[l][s]);
	forget_all(&w->due);
	forget_all(&w->late);
	env_free(w);
	*wp = NULL;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	list_init(&t->link);
	t->deadline_ms = 0;
	t->fn = fn;
}

/* The first tick at whose start the deadline has passed. */
static uint64_t tick_of(uint64_t ms)
{
	return ms / TICK_MS + (ms % TICK_MS != 0);
}

static void link_timer(struct wheel *w, struct timer *t)
{
	uint64_t tick = tick_of(t->deadline_ms);
	unsigned level, slot;

	ASSERT(tick > w->tick);
	t->linked_ms = t->deadline_ms;
	level = (63u - (unsigned)__builtin_clzll(tick ^ w->tick)) / DIGIT;
	slot = (unsigned)(tick >> (level * DIGIT)) % SLOTS;
	list_append(&w->slots[level][slot], &t->link);
	w->used[level] |= 1ull << slot;
}

void timer_set(struct wheel *w, struct timer *t, uint64_t deadline_ms)
{
	ASSERT(t->fn);
	if (deadline_ms == 0)
		deadline_ms = 1;
	if (t->deadline_ms && deadline_ms >= t->linked_ms) {
		t->deadline_ms = deadline_ms;      /* its slot comes early enough */
		return;
	}
	if (t->deadline_ms)
		list_del(&t->link);
	t->deadline_ms = deadline_ms;
	if (tick_of(deadline_ms) > w->tick) {
		link_timer(w, t);
	} else {
		t->linked_ms = deadline_ms;
		list_append(&w->late, &t->link);
	}
}

void timer_stop(struct timer *t)
{
	if (!t->deadline_ms)
		return;
	list_del(&t->link);
	t->deadline_ms = 0;
}

/* The start of the earliest slot in use, and which one; false when there is none. Clears the bits
 * of slots that timer_stop() emptied. */
static bool next_slot(struct wheel *w, uint64_t *tick, unsigned *level, unsigned *slot)
{
	for (unsigned l = 0; l < LEVELS; l++) {
		while (w->used[l]) {
			unsigned s = (unsigned)__builtin_ctzll(w->used[l]);
			unsigned shift = l * DIGIT;

			if (list_empty(&w->slots[l][s])) {
				w->used[l] &= ~(1ull << s);
				continue;
			}
			/* digits above the level are those of the current tick, below are zero */
			*tick = shift + DIGIT < 64 ? w->tick >> (shift + DIGIT) << (shift + DIGIT) : 0;
			*tick |= (uint64_t)s << shift;
			*level = l;
			*slot = s;
			return true;
		}
	}
	return false;
}

static void move_all(struct list *to, struct list *from)
{
	struct list *n;

	while ((n = list_pop(from)))
		list_append(to, n);
}

/* Puts a visited timer where its deadline says now. */
static void sort_timer(struct wheel *w, struct timer *t)
{
	if (tick_of(t->deadline_ms) > w->tick)
		link_timer(w, t);
	else
		list_append(&w->due, &t->link);
}

/* Brings w->tick to `to`, slot by slot in order of time. */
static void visit_until(struct wheel *w, uint64_t to)
{
	uint64_t tick;
	unsigned level, slot;

	while (next_slot(w, &tick, &level, &slot) && tick <= to) {
		struct list all, *n;

		w->tick = tick;
		w->used[level] &= ~(1ull << slot);
		list_init(&all);
		move_all(&all, &w->slots[level][slot]);
		while ((n = list_pop(&all)))
			sort_timer(w, LIST_ENTRY(n, struct timer, link));
	}
	w->tick = to;
}

unsigned wheel_advance(struct wheel *w, uint64_t now_ms, unsigned budget)
{
	unsigned fired = 0;
	struct list *n;

	if (now_ms > w->now_ms)
		w->now_ms = now_ms;
	move_all(&w->due, &w->late);
	if (w->now_ms / TICK_MS > w->tick)
		visit_until(w, w->now_ms / TICK_MS);
	while ((budget == 0 || fired < budget) && (n = list_pop(&w->due))) {
		struct timer *t = LIST_ENTRY(n, struct timer, link);

		if (tick_of(t->deadline_ms) > w->tick) {
			link_timer(w, t);      /* moved later while it waited */
			continue;
		}
		t->deadline_ms = 0;
		fired++;
		work_none();
		t->fn(t);
	}
	return fired;
}

#define LOOK_AT 3u           /* timers of a slot that are looked at one by one: they may be cold memory */

/* The start of a slot above the lowest level is early for what is in it: an idle process would wake up only to
 * move its one timer. Where there are few, their own time; a later slot begins behind this one. */
static uint64_t first_of(const struct wheel *w, unsigned level, unsigned slot, uint64_t tick)
{
	uint64_t first = tick + (UINT64_C(1) << (level * DIGIT));
	unsigned n = 0;

	LIST_FOREACH(it, &w->slots[level][slot]) {
		const struct timer *t = LIST_ENTRY(it, struct timer, link);

		if (++n > LOOK_AT)
			return tick;
		first = FL_MIN(first, tick_of(t->deadline_ms));
	}
	return first;
}

uint64_t wheel_next_ms(const struct wheel *w)
{
	uint64_t tick;
	unsigned level, slot;

	if (!list_empty(&w->due) || !list_empty(&w->late))
		return w->now_ms;
	/* clearing stale bits changes nothing that can be seen; every wheel is from wheel_new() */
	if (!next_slot((struct wheel *)(uintptr_t)w, &tick, &level, &slot))
		return UINT64_MAX;
	if (level && level < LEVELS - 1)
		tick = first_of(w, level, slot, tick);
	return tick > UINT64_MAX / TICK_MS ? UINT64_MAX : tick * TICK_MS;
}
