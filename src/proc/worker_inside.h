/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_inside.h - what worker.c and worker_drain.c share
 */
#ifndef FL_PROC_WORKER_INSIDE_H
#define FL_PROC_WORKER_INSIDE_H

#include "http/http.h"
#include "http/udp_vs.h"
#include "monitor/monitor.h"
#include "net/listener.h"
#include "proc/certs.h"
#include "proc/post.h"
#include "proc/worker.h"

struct worker {
	const struct worker_start *start;
	struct engine     *engine;
	struct lb_config  *lc;
	struct stat_seg   *seg;
	struct stat_row   *proc;
	struct http_worker http;
	struct monitor    *monitor;
	struct post        post;
	struct cert_watch  certs;
	struct listener   *listens;          /* [lc->n_listens] */
	unsigned           cores;
	struct chan        chan;
	struct engine_hook flush, turn;
	struct timer       beat;
	uint64_t           beat_ms;
	bool               beaten, promised; /* this turn is the beat's; the next one comes late */
	uint64_t           turns, beat_turns;
	uint64_t           seen_board, seen_owners, looked_ms;
	uint64_t           last_turns, last_busy;
	uint64_t           log_kicked_ms, control_kicked_ms;
	uint64_t           early_us;         /* of the last flush before its time */
	bool               ticking, serving;
	bool               news;             /* a letter came or went: something changed */
	/* draining */
	bool               retired, stopped;
	bool               heir;             /* there is, or was, a successor on our core */
	uint64_t           answered_ms;      /* since when only lingering connections are left */
	struct timer       drain_tick, cut, alone;
	struct engine_job  give_flows;       /* UDP flows to the successor, a part of them each turn */
	struct chan        to_next;          /* successor of this core */
	struct list        inflows;          /* where predecessors' idle connections come from */
	/* names of listeners that the new generation does not have, one a line */
	char              *gone;
};

void worker_drain_init(struct worker *w);
void worker_retire(struct worker *w, struct msg_in *in);
/* fd: where the predecessor sends its idle connections. Takes it. */
void worker_take_over(struct worker *w, int fd);
/* Cuts what is left, tells, and ends. */
FL_NORETURN void worker_exit(struct worker *w, bool cut);
/* Flushes figures and ends when draining is over. */
void worker_check_done(struct worker *w);
/* Accepting according to the board. */
void worker_apply_board(struct worker *w);

#endif
