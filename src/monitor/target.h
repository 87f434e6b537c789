/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target.h - what a worker knows of the services that it may own (monitor/ only)
 */
#ifndef FL_MONITOR_TARGET_H
#define FL_MONITOR_TARGET_H

#include "monitor/probe.h"
#include "net/resolver.h"
#include "stat/owner.h"

struct target;

/* One monitor of one service. */
struct check {
	struct target           *t;
	const struct lb_monitor *mon;
	unsigned                 idx;         /* in t->health.mon */
	struct timer             timer;       /* next start */
	uint64_t                 due_ms;
	struct probe            *probe;       /* under way */
};
/* One service. */
struct target {
	struct monitor    *m;
	struct lb_service *s;
	struct check      *checks;
	unsigned           n_checks;
	struct stat_health health;
	struct timer       resolve_timer;
	bool               resolving;         /* a query is under way */
	uint32_t           epoch;             /* of our claim; 0: not ours */
	bool               measured;          /* it has limits, or had some, of which figures are still told */
};
struct monitor {
	struct monitor_env env;
	bool               running;
	struct target     *targets;
	unsigned           n_targets;
	bool              *pool_down;         /* by pool: nothing was usable when it was last looked at */
	struct resolver   *resolver;
	uint64_t           probes;
	/* the look that is under way */
	struct engine_job  look;
	unsigned           look_at;           /* target that comes next */
	bool               look_again;        /* from the start, when it is through */
	unsigned           n_owned, n_orphans;
	unsigned           measure_at;        /* target whose load is worked out next */
};

/* own.c */
void monitor_own_init(struct monitor *m);
/* Is it still ours? If not, everything about it is stopped. */
bool monitor_target_mine(struct target *t);
/* What we wanted to write about it was refused: another owns it. */
void monitor_target_lost(struct target *t);
void monitor_tell(const struct target *t, enum mail_type type);
void monitor_own_stop(struct monitor *m);
/* monitor.c: begins with what the owner before knew; ends */
void monitor_target_start(struct target *t);
void monitor_target_stop(struct target *t);

/* load.c: has it limits, or figures of some that a reload took away? It became ours. */
bool monitor_is_measured(const struct stat_seg *seg, const struct lb_service *s);
void monitor_measure_begin(struct target *t);

/* resolve.c: asks for the addresses of a named service; how it became ours says whether at once */
void monitor_resolve_init(struct target *t);
void monitor_resolve_start(struct target *t, uint32_t why);
void monitor_resolve_stop(struct target *t);
/* The service has an address now: its checks start at once. */
void monitor_target_resolved(struct target *t);
/* Writes the target's record and tells people when the service's state changed. */
void monitor_publish(struct target *t, uint32_t state, const char *reason);

#endif
