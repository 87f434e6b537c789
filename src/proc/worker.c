/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c - see worker.h: birth, the board, figures and logs; draining is in worker_drain.c
 */
#include "config.h"

#include "proc/worker_inside.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "http/blocked.h"
#include "net/tls.h"
#include "net/tls_mem.h"
#include "proc/dying.h"
#include "proc/tickets.h"
#include "stat/owner.h"
#include "stat/reason.h"

#define LOG_KICK_MS    50
#define CONTROL_KICK_MS 20
#define ALONE_MS       10000
#define LOOK_MS        10        /* a look at the words of all cores without a letter: one may have been lost */

static struct worker *self;               /* this process's */

/* Figures and logs ------------------------------------------------------------------------ */

static void kick(int eventfd)
{
	static const uint64_t one = 1;

	if (eventfd >= 0)
		(void)!env_write(eventfd, &one, sizeof(one));
}

static void count_load(struct worker *w)
{
	uint64_t turns, busy, longest;

	engine_load(w->engine, &turns, &busy, &longest);
	stat_add(w->proc, CTR_PROC_LOOPS, turns - w->last_turns);
	stat_add(w->proc, CTR_PROC_BUSY_US, busy - w->last_busy);
	stat_max(w->proc, CTR_PROC_LAG_MAX_US, longest);
	w->last_turns = turns;
	w->last_busy = busy;
}

/* The consolidator sleeps when some folds in a row found nothing, which a late tick of ours can cause at any
 * time: so it is woken behind what was flushed, now and then while we tick, and behind the last. */
static void kick_control(struct worker *w, bool always)
{
	uint64_t now = engine_now_ms(w->engine);

	if (!always && now - w->control_kicked_ms < CONTROL_KICK_MS)
		return;
	w->control_kicked_ms = now;
	kick(w->start->gen->start->wake_control);
}

static void flush(struct worker *w)
{
	count_load(w);
	w->lc->moved_much = false;
	stat_flush(w->seg, engine_now_ms(w->engine));
}

/* Once per consolidation interval while there is something to tell; a clean cycle ends it. */
static void on_tick(void *ctx)
{
	struct worker *w = ctx;

	stat_set(w->proc, CTR_PROC_BUF_BYTES, buf_held());
	if (stat_is_dirty(w->seg)) {
		flush(w);
		kick_control(w, false);
		return;
	}
	w->ticking = false;
	(void)engine_tick(w->engine, 0, 0, NULL, NULL);
	kick_control(w, true);
}

/* A large change is told at once, but at most once more than the clock would. */
static void flush_early(struct worker *w)
{
	uint64_t now = engine_now_us(w->engine);

	if (!w->lc->moved_much || now - w->early_us < w->lc->consolidate_us)
		return;
	w->early_us = now;
	flush(w);
	stat_flush_early(w->seg);
	kick_control(w, true);
}

/* Where in the interval this worker's flush is; the fold is in its middle. */
static uint64_t phase_us(const struct worker *w)
{
	return w->lc->staggered ? w->lc->consolidate_us * w->start->core / w->cores : 0;
}

static void on_flush(struct engine_hook *h)
{
	struct worker *w = FL_CONTAINER_OF(h, struct worker, flush);

	flush_early(w);
	if (w->ticking)
		return;
	/* bytes that wait for a slow peer are nothing that is counted otherwise */
	stat_set(w->proc, CTR_PROC_BUF_BYTES, buf_held());
	if (!stat_is_dirty(w->seg))
		return;
	w->ticking = true;
	(void)engine_tick(w->engine, w->lc->consolidate_us, phase_us(w), on_tick, w);
}

static void put_log(struct worker *w, uint32_t stream, enum log_level lvl, uint32_t ev, const char *line, size_t n)
{
	uint64_t now = env_now_us() / 1000;

	if (!stat_log_put(w->seg, stream, lvl, ev, env_wall_us(), line, n))
		stat_inc(w->proc, CTR_PROC_LOG_DROPPED);
	if (now - w->log_kicked_ms < LOG_KICK_MS)
		return;
	w->log_kicked_ms = now;
	kick(w->start->gen->start->wake_logd);
}

static void log_event(void *ctx, enum log_level lvl, enum log_ev ev, const char *line, size_t n)
{
	put_log(ctx, 0, lvl, ev, line, n);
}

static void log_access(void *ctx, int stream, const char *line, size_t n)
{
	struct worker *w = ctx;

	if (stream >= 0 && (unsigned)stream < w->lc->n_logs)
		put_log(w, w->lc->log_ids[stream], LOG_LVL_INFO, 0, line, n);
}

/* The board ------------------------------------------------------------------------------- */

static uint32_t first_live(const struct worker *w)
{
	uint32_t slot = STAT_NO_SLOT;

	for (uint32_t core = 0; core < stat_cores(w->seg) && slot == STAT_NO_SLOT; core++)
		slot = stat_live_slot(w->seg, core);
	return slot;
}

/* Certificates are no objects of the segment: the first core watches them. */
static void apply_owners(struct worker *w)
{
	bool on = w->serving && !w->retired;

	monitor_run(w->monitor, on);
	monitor_look(w->monitor);
	cert_watch_run(&w->certs, on && first_live(w) == w->start->slot);
}

static uint32_t board_says(void *ctx, unsigned core)
{
	return stat_serving_core(ctx, core);
}

static bool is_mine(void *ctx, unsigned listen, unsigned core)
{
	const struct worker *w = ctx;

	return core_set_server(&w->lc->listens[listen].cores, w->cores, core, board_says, w->seg) == w->start->core;
}

void worker_apply_board(struct worker *w)
{
	w->seen_board = stat_board_epoch(w->seg);
	blocked_refresh(w->seg);
	apply_owners(w);
	worker_pass_apply(w);
	if (!w->serving || w->retired)
		return;
	/* The board speaks of the newest generation's workers. Who was told that a core has none by now, and not yet that it
	 * has an heir itself, would begin flows that another worker has already. */
	if (stat_newest_generation(w->seg) != w->start->generation)
		return;
	for (unsigned core = 0; core < w->cores; core++) {
		for (unsigned i = 0; i < w->lc->n_listens; i++)
			listener_serve(&w->listens[i], core, is_mine(w, i, core));
		udp_vs_serve(core, is_mine, w);
	}
}

/* It is not as quiet as was promised. */
static void awake(struct worker *w)
{
	if (!w->promised)
		return;
	w->promised = false;
	stat_heartbeat(w->seg, env_now_us() / 1000);
	stat_promise(w->seg, 0);
	engine_timer(w->engine, &w->beat, w->beat_ms);
}

/* What owners have found out, and who they are. */
static void look(struct worker *w, uint64_t now_ms)
{
	w->news = false;
	w->looked_ms = now_ms;
	if (lb_refresh(w->lc)) {
		http_services_changed();
		udp_vs_services_changed();
		monitor_pools(w->monitor);
	}
	if (stat_owner_changes(w->seg) != w->seen_owners) {
		w->seen_owners = stat_owner_changes(w->seg);
		monitor_look(w->monitor);
	}
}

static void on_turn(struct engine_hook *h)
{
	struct worker *w = FL_CONTAINER_OF(h, struct worker, turn);
	bool board = stat_board_epoch(w->seg) != w->seen_board;
	uint64_t now_ms = env_now_us() / 1000;

	w->turns++;
	if (!w->beaten)
		awake(w);
	w->beaten = false;
	stat_heartbeat(w->seg, now_ms);
	if (board || w->news || now_ms - w->looked_ms >= LOOK_MS)
		look(w, now_ms);
	if (board)
		worker_apply_board(w);
	if (w->retired)
		worker_check_done(w);
}

/* Only to have a turn now and then; less often, and saying so, while there is no client and nothing else happens. */
static void on_beat(struct timer *t)
{
	struct worker *w = FL_CONTAINER_OF(t, struct worker, beat);
	bool idle = w->turns == w->beat_turns + 1 && !http_clients();
	uint64_t next = idle ? 2 * w->beat_ms : w->beat_ms;

	worker_pass_beat(w);
	w->beaten = true;
	w->promised = idle;
	w->beat_turns = w->turns;
	monitor_measure(w->monitor);
	listener_look();
	stat_promise(w->seg, idle ? env_now_us() / 1000 + next : 0);
	engine_timer(w->engine, t, next);
}

/* Letters --------------------------------------------------------------------------------- */

/* A letter says that there is something to see. What it is stands in its writer's slot; that only who owns a thing speaks of it
 * is looked at here. */
static void on_letter(void *ctx, const struct mail *m)
{
	struct worker *w = ctx;

	w->news = true;
	if (m->row == STAT_NO_ROW)
		return;
	switch (stat_owner_word(w->seg, m->row, m->from, m->epoch)) {
	case OWNER_WORD_GOOD:
		break;
	case OWNER_WORD_STALE:
		stat_inc(w->proc, CTR_PROC_OWNER_STALE);
		break;
	case OWNER_WORD_FOREIGN:
		stat_inc(w->proc, CTR_PROC_OWNER_FOREIGN);
		break;
	}
}

static void tell(void *ctx, const struct mail *m)
{
	struct worker *w = ctx;

	w->news = true;
	post_tell(&w->post, m);
}

/* Serving --------------------------------------------------------------------------------- */

static void accepted(struct listener *l, struct conn *c)
{
	struct lb_vserver *vs = l->owner;

	awake(self);                     /* before anything of it can go wrong */

	if (vs->http)
		http_accept(vs, l, c);
	else
		tcp_accept(vs, l, c);
}

static int make_listeners(struct worker *w)
{
	const struct gen *g = w->start->gen;

	w->listens = env_calloc(w->lc->n_listens + 1, sizeof(*w->listens));
	if (!w->listens)
		return FL_ENOMEM_;
	for (unsigned i = 0; i < w->lc->n_listens; i++) {
		const struct lb_listen *from = &w->lc->listens[i];

		if (from->udp)
			continue;                /* udp_vs.c has those */
		w->listens[i] = (struct listener){
			.addr = from->addr, .tls = from->tls, .n_fds = w->cores,
			.fds = g->listen_fd + (size_t)i * w->cores, .accepted = accepted, .owner = from->vserver,
			.row = from->row, .shared = from->distribute == STEER_SHARED,
			.others = !core_set_has(&from->cores, w->start->core), .stat = stat_row_get(w->seg, KIND_LISTENER, from->row),
		};
	}
	return 0;
}

static void go(struct worker *w, struct msg_in *in)
{
	int fd = msg_take_fd(in, 0);

	if (fd >= 0)
		worker_take_over(w, fd);
	if (w->serving)
		return;
	w->serving = true;
	w->awaited = (unsigned)in->m.arg;
	udp_vs_go((unsigned)in->m.arg);
	for (unsigned i = 0; i < w->lc->n_listens; i++) {
		int err = w->lc->listens[i].udp ? 0 : listener_start(w->engine, &w->listens[i], w->start->core);

		if (err)
			log_ev(EV_ACCEPT_FAIL, "listener %s: %s", w->lc->listens[i].full_name, fl_err_text(err));
	}
	worker_apply_board(w);
}

/* The channel ------------------------------------------------------------------------------ */

static void on_message(struct chan *c, struct msg_in *in)
{
	struct worker *w = FL_CONTAINER_OF(c, struct worker, chan);

	switch (in->m.type) {
	case MSG_GO:
		go(w, in);
		break;
	case MSG_TICKETS:
		tls_ticket_keys((const uint8_t (*)[TLS_TICKET_KEY_LEN])in->text, (unsigned)(in->n / TICKET_KEY_LEN));
		explicit_bzero(in->text, in->n);
		break;
	case MSG_RETIRE:
		worker_retire(w, in);
		break;
	case MSG_EXIT:
		worker_exit(w, true);
	default:                         /* KICK: the turn is what was wanted */
		break;
	}
}

static void on_alone(struct timer *t)
{
	static struct msg_in in;
	struct worker *w = FL_CONTAINER_OF(t, struct worker, alone);

	in.m = (struct msg){ .type = MSG_RETIRE, .arg = w->lc->drain_timeout_us / 1000 };
	worker_retire(w, &in);
	w->heir = true;          /* no hurry: idle clients are told with their next answer, not closed */
}

static void on_gone(struct chan *c)
{
	struct worker *w = FL_CONTAINER_OF(c, struct worker, chan);

	chan_close(c);
	if (w->retired)
		return;
	if (!w->serving)                 /* nobody waits for us any more */
		worker_exit(w, false);
	log_ev(EV_PROCESS_EXIT, "worker@%u: master and gen are gone; serving on for %u s", w->start->core, ALONE_MS / 1000);
	engine_timer(w->engine, &w->alone, ALONE_MS);
}

/* Birth ----------------------------------------------------------------------------------- */

static void close_others(struct worker *w)
{
	const struct gen *g = w->start->gen;
	size_t n_listen = (size_t)w->lc->n_listens * w->cores;
	int *keep = env_malloc((n_listen + g->start->n_mail + 2 * (size_t)g->start->n_box + 8) * sizeof(int));
	unsigned n = 0;

	if (!keep)
		_exit(3);
	keep[n++] = w->start->chan_fd;
	keep[n++] = g->ping_fd[w->start->core][0];
	keep[n++] = g->ping_fd[w->start->core][1];
	keep[n++] = g->start->wake_control;
	keep[n++] = g->start->wake_logd;
	for (unsigned i = 0; i < g->start->n_mail; i++)
		keep[n++] = g->start->mail_fd[i];
	for (unsigned i = 0; i < 2 * g->start->n_box; i++)
		keep[n++] = g->start->box_fd[i];
	for (size_t i = 0; i < n_listen; i++)
		keep[n++] = g->listen_fd[i];
	sandbox_close_others(keep, n);
	env_free(keep);
}

static int attach(struct worker *w)
{
	char name[16];
	uint32_t row;

	snprintf(name, sizeof(name), "%u", w->start->core);
	row = stat_obj_find(w->seg, KIND_PROC, str_c(name));
	w->proc = stat_row_get(w->seg, KIND_PROC, row);
	stat_reasons_attach(w->seg);
	blocked_refresh(w->seg);
	lb_attach(w->lc, w->seg, true);
	buf_set_limit(w->lc->buffer_memory);
	w->http = (struct http_worker){
		.engine = w->engine, .lc = w->lc, .seg = w->seg, .proc = w->proc, .core = w->start->core,
		.access_log = log_access, .log_ctx = w,
	};
	return 0;
}

static int start_rooms(struct worker *w)
{
	const struct gen *g = w->start->gen;
	struct monitor_env me = {
		.engine = w->engine, .lc = w->lc, .seg = w->seg, .proc = w->proc, .tell = tell, .ctx = w,
		.ping4_fd = g->ping_fd[w->start->core][0], .ping6_fd = g->ping_fd[w->start->core][1],
	};
	int err = conn_init(w->engine);

	if (err)
		return err;
	net_set_stat(w->proc);
	err = http_init(&w->http);
	if (!err)
		err = udp_vs_init(&w->http, g->listen_fd, w->cores);
	if (err)
		return err;
	err = post_open(&w->post, w->engine, w->seg, w->proc, g->start->mail_fd, g->start->n_mail);
	if (err)
		return err;
	post_on(&w->post, MAIL_CLAIM, on_letter, w);
	post_on(&w->post, MAIL_NEWS, on_letter, w);
	cert_watch_init(&w->certs, w->engine, w->lc);
	w->monitor = monitor_new(&me);
	err = w->monitor ? make_listeners(w) : FL_ENOMEM_;
	return err ? err : worker_pass_init(w);
}

static int birth(struct worker *w)
{
	const struct worker_start *s = w->start;
	int err;

	/* The key of the hashes stays the master's: gen filled tables with it (names of certificates, sets of policies). */
	err = stat_become(w->seg, STAT_WORKER, s->slot, s->core, s->generation);
	if (err)
		return err;
	dying_words(w->seg);
	(void)tls_mem_cells();
	if (!w->lc->share_full)
		tls_share_init();
	close_others(w);
	sandbox_pin(s->core, s->cpu);
	w->engine = engine_new();
	if (!w->engine)
		return FL_ENOMEM_;
	log_set_sink(log_event, w);
	log_set_level((enum log_level)w->lc->error_level);
	err = attach(w);
	if (!err)
		err = start_rooms(w);
	if (!err)
		err = sandbox_enter(SANDBOX_WORKER, &s->gen->ids);
	if (!err)
		err = chan_open(&w->chan, w->engine, s->chan_fd, on_message, on_gone);
	return err;
}

void worker_main(const struct worker_start *s)
{
	static struct worker w;
	struct msg ready = { .type = MSG_READY };
	char name[16];
	int err;

	snprintf(name, sizeof(name), "fl-worker%u.%u", s->core % 1000, s->generation % 100);
	sandbox_child(name);
	snprintf(name, sizeof(name), "worker@%u", s->core);
	log_set_who(name);
	self = &w;
	w.start = s;
	w.lc = s->gen->lc;
	w.seg = s->gen->start->seg;
	w.cores = s->gen->start->cores;
	w.to_next.w.fd = -1;
	err = birth(&w);
	if (err) {
		log_ev(EV_WORKER_EXIT, "worker@%u cannot start: %s", s->core, fl_err_text(err));
		_exit(3);
	}
	w.flush.fn = on_flush;
	engine_on_flush(w.engine, &w.flush);
	w.turn.fn = on_turn;
	engine_on_turn(w.engine, &w.turn);
	/* Seldom, as each beat wakes an idle core; often enough for the master, who looks closer after half the time. */
	w.beat_ms = FL_MAX(w.lc->heartbeat_timeout_us * 2 / 5000, (uint64_t)10);
	timer_init(&w.beat, on_beat);
	timer_init(&w.alone, on_alone);
	engine_timer(w.engine, &w.beat, w.beat_ms);
	worker_drain_init(&w);
	(void)lb_refresh(w.lc);
	ready.arg = (uint64_t)getpid();
	(void)chan_send(&w.chan, &ready, NULL, 0, NULL, 0);
	engine_run(w.engine);
	worker_exit(&w, false);
}
