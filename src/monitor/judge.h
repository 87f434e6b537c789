/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.h - rise and fall: what a row of results says. Pure; no time, no I/O.
 */
#ifndef FL_MONITOR_JUDGE_H
#define FL_MONITOR_JUDGE_H

#include "stat/stat.h"

/* Takes one result into m's runs, history and state. The first result of all decides alone. A failure
 * of our own (m->check is SOCKERR: no descriptor, no memory) says nothing of the service and changes
 * nothing. True when the state changed. */
bool judge_result(struct stat_mon *m, bool ok, unsigned rise, unsigned fall);
/* State of a service from its monitors: DOWN when any is DOWN, UNKNOWN while any is, else UP. */
uint32_t judge_service(const struct stat_mon *mon, unsigned n);

#endif
