/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.h - does one worker get all the connections of a listener?
 *
 * Steering by CPU follows the interrupts: when all of them arrive on one core, so do all
 * connections. The guard compares what the workers accepted between two looks. When one of them took more
 * than twice its share (with two workers: more than 85 %) in three looks in a row, each at 100
 * connections a second or more, steering pauses: 3 minutes, and twice as long each time it does not hold
 * for as long as the last pause was, up to an hour. So it cannot flap.
 * Pure: the caller brings counts and time. Master only.
 */
#ifndef FL_PROC_GUARD_H
#define FL_PROC_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#define GUARD_LOOK_MS   900     /* a look that comes sooner is none */
#define GUARD_LOOKS     3
#define GUARD_RATE      100     /* connections a second */
#define GUARD_PAUSE_MS  180000
#define GUARD_PAUSE_MAX 3600000

struct guard {
	uint64_t *seen;         /* [n] what each had accepted at the last look; the owner's memory */
	uint64_t  at_ms;        /* of the last look; 0: none yet */
	uint32_t  epoch;        /* of whom it was of */
	unsigned  bad;          /* looks in a row */
	uint64_t  pause_ms;     /* length of the last pause, 0: none yet */
	uint64_t  until_ms;     /* steering pauses until then; 0: it does not */
	uint64_t  since_ms;     /* it steers again since */
	unsigned  core, percent;        /* who took too much, when it began to pause */
};
/* accepted[n]: connections accepted since ever by each worker. epoch: changes whenever one of them
 * is another process; what it then counted is not compared. True: pausing began or ended. */
bool guard_look(struct guard *g, const uint64_t *accepted, unsigned n, uint32_t epoch, uint64_t now_ms);
static inline bool guard_pauses(const struct guard *g) { return g->until_ms != 0; }

#endif
