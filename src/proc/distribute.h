/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distribute.h - what distribute.c and distribute_rss.c share; nobody else includes it
 */
#ifndef FL_PROC_DISTRIBUTE_H
#define FL_PROC_DISTRIBUTE_H

#include "net/steer.h"
#include "proc/guard.h"
#include "proc/master.h"

struct rss_spread;

struct spread {                 /* of one address */
	uint32_t           attached;    /* serial of the plan, TO_FIRST; 0: none, UINT32_MAX: not known */
	uint32_t           row;
	struct stat_steer  shown;
	struct core_set    cores;       /* of the plan that is attached */
	struct rss_spread *rss;         /* NULL: never asked for */
	struct guard       guard;
	uint64_t           seen[];      /* [cores] */
};
struct distribute {
	struct master    *m;
	struct steer_plan plan;
	uint32_t          serial;       /* of the plan, from 1 */
	bool              usable;       /* each worker has a CPU of its own */
	uint32_t          crew;         /* changes when a worker is another process */
	bool              unable;       /* the kernel refused */
	bool              rss_denied, rss_unable;       /* eBPF; then a classic program does it */
	bool              rss_made;     /* maps that gen does not keep yet */
	unsigned          next, looked; /* listeners that the next step, the next look begins with */
	unsigned          counted;      /* and the next count of buckets */
	uint32_t          busy_crew;
	struct timer      more;
	/* [cores] */
	pid_t            *pid;          /* of the crew */
	int              *cpu;
	bool             *can;          /* has a worker that can accept */
	bool             *may;          /* of one listener, see distribute_may() */
	uint64_t         *busy_seen, *busy;     /* us ever, of the last second (smoothed) */
	uint64_t         *recent;
	uint64_t         *load[2], *price[2];   /* by what counts just now, and by time: see distribute_rss.c */
};

/* distribute.c */
struct sock *distribute_sock(struct master *m, unsigned listen);
/* [cores]: who may get flows of this listener: of the cores that it is bound to those that can; when there are none, all
 * that can. Until the next call. */
const bool *distribute_may(const struct distribute *d, const struct man_listen *l);

/* distribute_rss.c */
/* The group of s as the listener wants it; tree: by a classic program, whose table is made anew for each change.
 * Negated errno; -EBUSY: sockets are in the maps of somebody before us. */
int  rss_spread_apply(struct distribute *d, struct spread *sp, struct sock *s, const struct man_listen *l, bool tree);
void rss_spread_off(struct spread *sp);         /* another program is on the group, or none */
void rss_spread_free(struct spread *sp);
void rss_spread_closed(struct spread *sp, unsigned core);
/* Counts, and moves buckets when all workers are there. */
void rss_spread_second(struct distribute *d, bool all_there);

#endif
