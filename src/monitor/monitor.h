/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.h - the probe engine: each service has one worker that probes and resolves it for all
 *
 * Which one is for stat/owner.h to say. A worker takes the services whose candidate it is, probes them with the
 * pool's monitors at their interval, re-resolves their names at their TTL, and writes results into its own slot
 * (stat_health_set, stat_dns_set), where all workers see them; a letter wakes those that sleep. It begins with what
 * the owner before knew, at that one's pace, so that nothing flaps and no origin sees more probes (F56). It goes on
 * until another has claimed the service: before each probe it looks whether that has happened.
 *
 *   UNKNOWN --first probe passes--> UP          UP --fall failures in a row--> DOWN
 *   UNKNOWN --first probe fails---> DOWN        DOWN --rise passes in a row--> UP
 *   DOWN --the first probe that ever passes---> UP
 *   RESOLVING until the name has an address     MAINT: not probed
 * A service is UP when all monitors of its pool pass.
 *
 * A service with limits has an owner even if nobody probes it: how much of them is used is worked out once for all.
 */
#ifndef FL_MONITOR_MONITOR_H
#define FL_MONITOR_MONITOR_H

#include "lb/lb.h"
#include "net/engine.h"
#include "stat/mail.h"

struct monitor_env {
	struct engine    *engine;
	struct lb_config *lc;               /* attached */
	struct stat_seg  *seg;
	struct stat_row  *proc;
	/* to the other cores; NULL: they find it by themselves */
	void            (*tell)(void *ctx, const struct mail *m);
	void             *ctx;
	/* raw ICMP sockets of this core, opened before privileges went; -1: ping ends with SOCKERR (not judged) */
	int               ping4_fd, ping6_fd;
};
struct monitor;
/* Worker, after lb_attach. Does nothing until told. NULL without memory. */
struct monitor *monitor_new(const struct monitor_env *env);
/* May own services from now on, or gives all up. Safe to repeat. */
void monitor_run(struct monitor *m, bool on);
/* Cores came or went, or services changed hands: takes what is its own, leaves what is another's. At the end of this turn, and
 * if there is much, of the next ones. */
void monitor_look(struct monitor *m);
/* After lb_refresh() has found changes: says when a pool has lost its last usable service, or has one again. One core says
 * it for all. */
void monitor_pools(struct monitor *m);
/* Works out current_load and what is still available of the services that this worker owns, a part of them each time. At
 * each heartbeat. */
void monitor_measure(struct monitor *m);
void monitor_free(struct monitor **m);
/* Does any pool use a monitor of type ping? */
bool monitor_has_ping(const struct lb_config *lc);
/* Before privileges are dropped: opens the two ICMP sockets of one core; -1 each when not allowed. */
void monitor_open_ping(int *ping4_fd, int *ping6_fd);
/* Probes sent so far; tests. */
uint64_t monitor_probes(const struct monitor *m);

#endif
