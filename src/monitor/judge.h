/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.h - rise and fall: what a row of results says. Pure; no time, no I/O.
 */
#ifndef FL_MONITOR_JUDGE_H
#define FL_MONITOR_JUDGE_H

#include "stat/stat.h"

#define JUDGE_EARLY_PROBES 20u
#define JUDGE_EARLY_MS     250u

/* Takes one result into m's runs, failures, history and state; m->probes counts it already. The first
 * result of all decides alone, and so does the first that passes: `rise` keeps a service from flapping,
 * and one that never was up has not fallen. A failure of our own (m->check is SOCKERR: no descriptor,
 * no memory) says nothing of the service and changes no state. True when the state changed. */
bool judge_result(struct stat_mon *m, bool ok, unsigned rise, unsigned fall);
/* After a result: must the next probe come JUDGE_EARLY_MS from now, if that is sooner than the
 * interval? While none has passed: the service and we may be starting at the same time. A number of
 * probes, so that neither a change of owner nor a service that stays away prolongs it. */
bool judge_early(const struct stat_mon *m);
/* State of a service from its monitors: DOWN when any is DOWN, UNKNOWN while any is, else UP. */
uint32_t judge_service(const struct stat_mon *mon, unsigned n);

#endif
