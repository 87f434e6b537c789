/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h - one probe under way: a small state machine per protocol
 *
 * start -> (connect -> send -> receive) -> done(result), or cancel. done() is called once, from the
 * loop, never from inside start; the probe frees itself before. No wait is without a deadline.
 */
#ifndef FL_MONITOR_PROBE_H
#define FL_MONITOR_PROBE_H

#include "monitor/monitor.h"

struct probe_result {
	bool     ok;
	uint32_t check;              /* ST_CHECK_* */
	uint32_t latency_us;
	uint32_t http_status;        /* 0 when none */
	char     text[80];           /* "HTTP 503 (expected 200-399)" */
};
typedef void (*probe_done_fn)(void *ctx, const struct probe_result *r);

struct probe;
struct probe_args {
	const struct monitor_env *env;
	const struct lb_monitor  *mon;
	const struct lb_service  *service;
	struct addr               to;
	probe_done_fn             done;
	void                     *ctx;
};
/* NULL without memory or descriptors; nothing was sent then. */
struct probe *probe_ping_start(const struct probe_args *a);
struct probe *probe_tcp_start(const struct probe_args *a);
struct probe *probe_http_start(const struct probe_args *a);
/* Ends it without done(). */
void probe_cancel(struct probe **p);

/* What every kind begins with; `cancel` frees. */
struct probe {
	void            (*cancel)(struct probe *p);
	struct probe_args a;
	uint64_t          started_us;
};
/* Fills latency and text and calls done; the probe must have been taken apart already. */
void probe_finish(const struct probe_args *a, uint64_t started_us, bool ok, uint32_t check,
		  uint32_t http_status,
		  const char *fmt, ...) FL_PRINTF(6, 7);
/* The check code of a connection error; connected says whether TCP was up. SOCKERR when the error is
 * ours (memory, descriptors, ports), not the service's. */
uint32_t probe_error_check(int err, bool connected, bool tls);

/* ping: replies arrive on shared sockets; the engine starts and stops listening to them. */
int  probe_ping_listen(const struct monitor_env *env, bool on);

#endif
