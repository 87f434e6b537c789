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
#include "proc/box.h"
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
	struct boxes       boxes;            /* worker_pass.c */
	unsigned           pass_next;        /* core that the next one may go to */
	/* predecessors that were announced and have opened no inflow yet; how many beats they are waited for */
	unsigned           awaited, await_beats;
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

/* One for each predecessor: with fewer workers than before there are several. */
struct inflow {
	struct list    link;
	struct chan    chan;
	struct worker *w;
};

/* worker_drain.c */
void worker_drain_init(struct worker *w);
void worker_retire(struct worker *w, struct msg_in *in);
/* fd: where the predecessor sends its idle connections. Takes it. */
void worker_take_over(struct worker *w, int fd);
/* Cuts what is left, tells, and ends. */
FL_NORETURN void worker_exit(struct worker *w, bool cut);
/* Flushes figures and ends when draining is over. */
void worker_check_done(struct worker *w);
/* worker.c: accepting according to the board. */
void worker_apply_board(struct worker *w);

/* worker_pass.c */
int  worker_pass_init(struct worker *w);     /* behind the listeners */
void worker_pass_apply(struct worker *w);    /* the board, or what we are, changed */
bool worker_pass_is_over(struct worker *w);  /* at the end: false when something had come, which is served now */
void worker_pass_beat(struct worker *w);     /* now and then */
void worker_pass_returned(struct worker *w, struct msg_in *in);     /* a successor cannot place it */
/* A client connection in a message: who it is, and the full name of its listener. False: it does not fit, or is none. */
#define WORKER_CONN_TEXT (sizeof(struct addr) + STAT_NAME_MAX + 2)
bool worker_conn_text(struct sb *b, const struct addr *peer, const char *listen_name);
bool worker_conn_read(const struct msg_in *in, struct addr *peer, struct str *listen_name);
struct listener *worker_find_listener(struct worker *w, struct str name);

#endif
