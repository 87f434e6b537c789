/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.h - what this process works on just now, for the day it dies of it
 *
 * Whoever is called with something that came from outside says so first, in two stores; the loop forgets it before each
 * call of its own, so that nobody is blamed for what another did. Only a handler of a fatal signal reads it
 * (proc/crash.c): tell() then writes into `out`, which does not grow, and may neither allocate nor wait.
 */
#ifndef FL_BASE_WORK_H
#define FL_BASE_WORK_H

#include "base/str.h"

typedef void work_fn(const void *on, struct sb *out);
struct work_note {
	work_fn    *tell;                /* NULL: nothing of anybody's */
	const void *on;
};
extern struct work_note work_note;
/* "FILE:LINE" of the ASSERT that failed; empty */
extern char work_bug[64];

static inline void work_none(void)
{
	__atomic_store_n(&work_note.tell, NULL, __ATOMIC_RELAXED);
}

/* `on` lives until the loop's next call. */
static inline void work_on(work_fn *tell, const void *on)
{
	__atomic_store_n(&work_note.on, on, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&work_note.tell, tell, __ATOMIC_RELAXED);
}

#endif
