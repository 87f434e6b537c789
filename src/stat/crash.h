/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash.h - deaths by a fatal signal, and the fingerprints that are blocked for them (ROBUSTNESS R11, F5)
 *
 * A worker that dies writes where, and what it worked on, into its own slot; that is its last act. The master reads it,
 * and keeps the fingerprints in a small table in dir, so that they outlive masters and workers. Workers read the
 * table when the board epoch has moved.
 */
#ifndef FL_STAT_CRASH_H
#define FL_STAT_CRASH_H

#include "stat/stat.h"

#define STAT_CRASHES   64u
#define STAT_WHERE_MAX 64u
#define STAT_WHAT_MAX  200u

struct stat_death {
	uint32_t signal;
	uint32_t asked;                  /* another process sent it: where is no place of ours */
	char     where[STAT_WHERE_MAX];  /* "fairlead+0x1234", "src/http/txn.c:17" */
	char     what[STAT_WHAT_MAX];    /* empty: nothing of anybody's */
};
/* The dying process, from its signal handler: neither allocates nor waits. */
void stat_death_set(struct stat_seg *s, uint32_t pid, const struct stat_death *d);
/* The last words of the process `pid` that had the slot; false: there are none. */
bool stat_death_get(const struct stat_seg *s, uint32_t slot, uint32_t pid, struct stat_death *out);

struct stat_crash {
	uint64_t id;                     /* hash of signal, where and what; not 0 */
	uint64_t last_us;                /* wall, of the last death */
	uint64_t seen_ms[3];             /* monotonic, of the last deaths, newest first; 0: none */
	uint64_t until_ms;               /* blocked until then, monotonic; 0: not blocked */
	uint32_t deaths, signal;
	char     where[STAT_WHERE_MAX], what[STAT_WHAT_MAX];
};
/* Number i of the table, which only the master writes; c NULL: free. */
void stat_crash_set(struct stat_seg *s, unsigned i, const struct stat_crash *c);
/* False: free, or damaged. */
bool stat_crash_get(const struct stat_seg *s, unsigned i, struct stat_crash *out);
uint64_t stat_crash_id(uint32_t signal, const char *where, const char *what);

#endif
