/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.h - the probe engine: one prober for the whole appliance
 *
 * Runs in the worker that the board names as prober (lowest live core); others hold a stopped
 * engine. Probes every service of every pool with the pool's monitors at their interval (starts are
 * spread over the interval), re-resolves service names at their TTL, and writes results into its
 * own slot (stat_health_set, stat_dns_set), where all workers see them. A new prober imports its
 * predecessor's last results, so that nothing flaps (F56).
 *
 *   UNKNOWN --first probe passes--> UP          UP --fall failures in a row--> DOWN
 *   UNKNOWN --first probe fails---> DOWN        DOWN --rise passes in a row--> UP
 *   DOWN --the first probe that ever passes---> UP
 *   RESOLVING until the name has an address     MAINT: not probed
 * A service is UP when all monitors of its pool pass.
 */
#ifndef FL_MONITOR_MONITOR_H
#define FL_MONITOR_MONITOR_H

#include "lb/lb.h"
#include "net/engine.h"

struct monitor_env {
	struct engine    *engine;
	struct lb_config *lc;               /* attached */
	struct stat_seg  *seg;
	struct stat_row  *proc;
	/* raw ICMP sockets of this core, opened before privileges went; -1: ping ends with SOCKERR (not judged) */
	int               ping4_fd, ping6_fd;
};
struct monitor;
/* Worker, after lb_attach. Does nothing until told. NULL without memory. */
struct monitor *monitor_new(const struct monitor_env *env);
/* Becomes (from_slot: the predecessor's slot or STAT_NO_SLOT) or stops being the prober. Safe to
 * repeat. */
void monitor_run(struct monitor *m, bool on, uint32_t from_slot);
void monitor_free(struct monitor **m);
/* Does any pool use a monitor of type ping? */
bool monitor_has_ping(const struct lb_config *lc);
/* Before privileges are dropped: opens the two ICMP sockets of one core; -1 each when not allowed. */
void monitor_open_ping(int *ping4_fd, int *ping6_fd);
/* Probes sent so far; tests. */
uint64_t monitor_probes(const struct monitor *m);

#endif
