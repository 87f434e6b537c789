/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target.h - the prober's own records (monitor/ only)
 */
#ifndef FL_MONITOR_TARGET_H
#define FL_MONITOR_TARGET_H

#include "monitor/probe.h"
#include "net/resolver.h"

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
};
struct monitor {
	struct monitor_env env;
	bool               running;
	struct target     *targets;
	unsigned           n_targets;
	bool              *pool_down;         /* by pool: was told to be down */
	struct resolver   *resolver;
	uint64_t           probes;
};

/* Starts asking for the addresses of named services; stops. */
int  monitor_resolve_start(struct monitor *m);
void monitor_resolve_stop(struct monitor *m);
/* The service has an address now: its checks start at once. */
void monitor_target_resolved(struct target *t);
/* Writes the target's record and tells people when the service's state changed. */
void monitor_publish(struct target *t, uint32_t state, const char *reason);

#endif
