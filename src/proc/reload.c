/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload.c - from HUP to the last client of the old generation
 *
 *	LOADING: gen reads and builds -> rows, listeners, log files -> STARTING: workers -> all READY
 *	-> commit: new ones serve, old ones retire and hand over -> DRAINING -> gone
 *
 * Until the commit nothing of the running generation is touched, so a failure at any step leaves it as it was.
 * The first generation of a start goes the same way, with nothing to replace.
 */
#include "config.h"

#include "proc/master.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "proc/machine.h"
#include "stat/reason.h"

#define LOAD_MS   60000
#define START_MS  10000
#define CUT_MS    1000        /* from EXIT to SIGKILL */
#define QUEUED_MS 3000        /* how long a caller waits for a place among the old generations */

/* Answers --------------------------------------------------------------------------------- */

/* Those who asked before generation `upto` began to load: a later caller may mean a later file. */
static void answer(struct master *m, uint32_t upto, int rc, const char *text, bool also_drained)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < m->n_waiters; i++) {
		struct waiter w = m->waiters[i];

		if (w.generation > upto || (w.drained && !also_drained && rc == 0))
			m->waiters[kept++] = w;
		else
			call_reply(m, w.call, rc, text, strlen(text));
	}
	m->n_waiters = kept;
}

static void publish(struct master *m, bool ok, const char *error)
{
	struct stat_conf_state *c = &m->conf;

	c->last_ok = ok;
	c->last_reload_us = env_wall_us();
	c->reloads = m->n_reloads;
	c->reload_failures = m->n_failures;
	if (ok) {
		c->generation = m->cur->num;
		c->loaded_us = c->last_reload_us;
		snprintf(c->file, sizeof(c->file), "%s", m->cur->man->file);
	} else {
		snprintf(c->last_error, sizeof(c->last_error), "%s", error);
	}
	stat_conf_set(m->seg, c);
}

/* Failure --------------------------------------------------------------------------------- */

static void start_next(struct master *m);

/* Of what may be many lines, the first that tells of an error: what is logged and shown by status. */
static void first_error(const char *all, char *out, size_t n)
{
	struct str text = str_c(all), first = str_cut(&text, '\n'), line = first;

	while (text.n && str_find(line, STR(": error: ")) < 0)
		line = str_cut(&text, '\n');
	if (str_find(line, STR(": error: ")) < 0)
		line = first;
	snprintf(out, n, STR_FMT, STR_ARG(line));
}

static void failed(struct generation *g, const char *all)
{
	struct master *m = g->m;
	uint32_t num = g->num;
	char line[480], text[1024];

	first_error(all, line, sizeof(line));
	m->next = NULL;
	generation_free(g);
	socks_http_forget(m);
	socks_unwind(m);
	socks_sweep(m);
	/* events may have been told to go to the file of the refused one */
	if (m->cur)
		(void)streams_events(m, m->cur->man->error_log);
	streams_sweep(m);
	if (!m->cur) {
		fprintf(stderr, "%s%s", all, *all && all[strlen(all) - 1] == '\n' ? "" : "\n");
		master_die(m, 1);
		return;
	}
	m->n_failures++;
	sums_wait_no_more(m);
	log_ev(EV_RELOAD_FAILED, "%s; generation %u keeps running", line, m->cur->num);
	publish(m, false, line);
	notify_systemd("READY=1\nSTATUS=reload refused; the old configuration runs");
	snprintf(text, sizeof(text), "reload refused; generation %u keeps running\n", m->cur->num);
	if (m->n_waiters) {
		struct sb b;

		sb_init_heap(&b);
		sb_c(&b, all);
		if (b.n && b.p[b.n - 1] != '\n')
			sb_ch(&b, '\n');
		sb_c(&b, text);
		answer(m, num, 1, b.over ? text : b.p, true);
		sb_free(&b);
	}
	start_next(m);
}

void reload_failed(struct generation *g, const char *why)
{
	char text[256];

	if (g != g->m->next)
		return;
	snprintf(text, sizeof(text), "the workers of the new generation do not start: %s", why);
	failed(g, text);
}

/* Loading --------------------------------------------------------------------------------- */

static unsigned n_old(const struct master *m)
{
	unsigned n = 0;

	LIST_FOREACH(it, &m->old)
		n++;
	return n;
}

static void begin(struct master *m, int image)
{
	struct generation *g = generation_new(m, m->last_generation + 1, image);
	int err = g ? generation_fork_gen(g) : FL_ENOMEM_;
	char text[96];

	m->last_generation++;
	if (g) {
		m->next = g;
		g->deadline_ms = g->started_ms + LOAD_MS;
	}
	if (!err)
		return;
	snprintf(text, sizeof(text), "no process for the new generation: %s", fl_err_text(err));
	if (g)
		failed(g, text);
}

static void start_next(struct master *m)
{
	if (!m->reload_pending || m->next || m->stopping || n_old(m) >= m->drain_generations)
		return;
	m->reload_pending = false;
	begin(m, -1);
}

void reload_request(struct master *m, const struct waiter *w)
{
	char text[160];

	if (w && m->n_waiters < FL_ARRAY_LEN(m->waiters)) {
		m->waiters[m->n_waiters] = *w;
		m->waiters[m->n_waiters++].generation = m->last_generation + 1;
	} else if (w) {
		call_reply(m, w->call, 1, "too many reloads wait already\n", 30);
	}
	if (!m->reload_pending)
		m->pending_ms = master_now_ms(m);
	m->reload_pending = true;
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, env_now_us());
	notify_systemd(text);
	start_next(m);
}

/* Replaced generations mostly end within milliseconds; nobody is kept waiting for one that does not. */
static void say_queued(struct master *m)
{
	char text[160];

	if (!m->reload_pending || m->next || !m->n_waiters || n_old(m) < m->drain_generations ||
	    master_now_ms(m) - m->pending_ms < QUEUED_MS)
		return;
	snprintf(text, sizeof(text), "queued: %u replaced generations still drain; it is loaded when the oldest ends",
		 n_old(m));
	log_ev(EV_RELOAD, "%s", text);
	answer(m, UINT32_MAX, 0, text, false);
}

void reload_start_first(struct master *m, int image)
{
	begin(m, image);
}

static int assign_rows(struct generation *g)
{
	struct stat_seg *seg = g->m->seg;
	char core[16];
	uint32_t row;
	int err = 0;

	for (unsigned i = 0; !err && i < g->m->cores; i++) {
		snprintf(core, sizeof(core), "%u", i);
		err = stat_obj_assign(seg, KIND_PROC, str_c(core), g->num, &row);
	}
	if (!err)
		err = stat_reasons_assign(seg, g->num);
	for (unsigned i = 0; !err && i < g->man->n_objects; i++)
		err = stat_obj_assign(seg, g->man->objects[i].kind, str_c(g->man->objects[i].name), g->num, &row);
	return err;
}

/* Values that only a restart applies are gen's to keep (conf_src_keep); slots are ours. */
static void limit_workers(struct generation *g, struct sb *notes)
{
	struct master *m = g->m;

	if (g->n_workers <= m->cores)
		return;
	sb_fmt(notes, "%s: warning: workers %u: slots were made for %u at the start; a restart applies it\n", g->man->file,
	       g->n_workers, m->cores);
	g->n_workers = m->cores;
}

static bool prepare(struct generation *g, struct sb *why)
{
	struct master *m = g->m;
	const char *hint;
	char text[ADDR_TEXT_MAX];
	uint32_t id;
	int err = assign_rows(g);

	if (err) {
		sb_fmt(why, "the shared segment has no room for %u objects: %s; raise max-objects and restart",
		       g->man->n_objects, fl_err_text(err));
		return false;
	}
	for (unsigned i = 0; i < g->man->n_listens; i++) {
		err = socks_need(m, &g->man->listens[i], g->n_workers, &hint);
		if (err) {
			sb_fmt(why, "%s: error: cannot listen on %s (%s): %s%s%s", g->man->listens[i].place,
			       addr_text(&g->man->listens[i].addr, text), g->man->listens[i].name, fl_err_text(err),
			       *hint ? "\n    = " : "", hint);
			return false;
		}
	}
	err = socks_http(m, &g->man->admin_http);
	if (err) {
		sb_fmt(why, "%s: error: cannot listen on %s (admin http): %s", g->man->admin_http_place,
		       addr_text(&g->man->admin_http, text), fl_err_text(err));
		return false;
	}
	err = streams_events(m, g->man->error_log);
	for (unsigned i = 0; !err && i < g->man->n_logs; i++) {
		err = streams_id(m, g->man->logs[i], &id);
		if (err)
			sb_fmt(why, "error: cannot open the log %s: %s", g->man->logs[i], fl_err_text(err));
	}
	if (err && why->n == 0)
		sb_fmt(why, "error: cannot open the log %s: %s", g->man->error_log, fl_err_text(err));
	return err == 0;
}

static void take_tickets(struct generation *g)
{
	struct tickets *t = &g->m->tickets;

	if (g->man->own_tickets) {
		memcpy(t->key, g->man->keys, sizeof(t->key));
		t->n = g->man->n_keys;
		t->made_ms = master_now_ms(g->m);
	} else if (!t->n || (g->m->cur && g->m->cur->man->own_tickets)) {
		tickets_make(t, master_now_ms(g->m));
	}
}

static void start_workers(struct generation *g)
{
	char text[128];

	g->phase = PHASE_STARTING;
	g->deadline_ms = master_now_ms(g->m) + START_MS;
	take_tickets(g);
	generation_setup_gen(g);
	for (unsigned c = 0; c < g->n_workers; c++) {
		int err = generation_fork_worker(g, c);

		if (err) {
			snprintf(text, sizeof(text), "worker@%u: %s", c, fl_err_text(err));
			reload_failed(g, text);
			return;
		}
	}
}

static void log_warnings(const char *diag)
{
	struct str all = str_c(diag);

	while (all.n) {
		struct str line = str_cut(&all, '\n');

		if (str_find(line, STR(": warning: ")) >= 0)
			log_ev(EV_CONFIG, STR_FMT, STR_ARG(line));
	}
}

/* Warnings go to the log, and to whoever asked for this generation. */
static void take_notes(struct generation *g, const char *diag)
{
	struct sb b;

	sb_init_heap(&b);
	sb_c(&b, diag);
	limit_workers(g, &b);
	log_warnings(b.n ? b.p : "");
	g->notes = b.n ? env_strdup(b.p) : NULL;
	sb_free(&b);
}

/* A gen that replaces one that died loads the same image: only its readiness is news. */
static void loaded_again(struct generation *g, struct msg_in *in)
{
	if (!in->m.arg) {
		log_ev(EV_PROCESS_EXIT, "gen %u cannot load its own image again", g->num);
		return;
	}
	generation_setup_gen(g);
	supervise_tick(g->m);
}

void reload_loaded(struct generation *g, struct msg_in *in)
{
	char *diag, *text, why[1200];
	struct sb b;

	if (g->phase != PHASE_LOADING) {
		loaded_again(g, in);
		return;
	}
	diag = master_read_fd(in->n_fd ? in->fd[0] : -1, NULL);
	if (!in->m.arg) {
		failed(g, diag && *diag ? diag : "the configuration cannot be loaded");
		env_free(diag);
		return;
	}
	text = master_read_fd(in->n_fd > 1 ? in->fd[1] : -1, NULL);
	g->man = text ? manifest_read(str_c(text)) : NULL;
	if (text)
		explicit_bzero(text, strlen(text));
	env_free(text);
	if (g->image >= 0)
		env_close(g->image);
	g->man_fd = msg_take_fd(in, 1);
	g->image = msg_take_fd(in, 2);
	g->image_public = msg_take_fd(in, 3);
	sb_init(&b, why, sizeof(why));
	if (g->man) {
		g->n_workers = cpus_workers(g->man);
		take_notes(g, diag ? diag : "");
	}
	env_free(diag);
	if (!g->man || !prepare(g, &b))
		failed(g, b.n ? b.p : "no memory");
	else
		start_workers(g);
}

/* Commit ---------------------------------------------------------------------------------- */

static void gone_names(const struct generation *old, const struct generation *new, struct sb *out)
{
	for (unsigned i = 0; i < old->man->n_listens; i++) {
		bool kept = false;

		for (unsigned k = 0; k < new->man->n_listens; k++)
			kept |= old->man->listens[i].udp == new->man->listens[k].udp &&
				addr_eq(&old->man->listens[i].addr, &new->man->listens[k].addr);
		if (!kept && out->n + STAT_NAME_MAX < MSG_TEXT_MAX)
			sb_fmt(out, "%s\n", old->man->listens[i].name);
	}
}

/* Who takes over from a worker of that core: with fewer workers the first one does. */
static struct proc *heir_of(const struct generation *g, uint32_t core)
{
	return core < g->n_workers ? g->worker[core] : g->worker[0];
}

static void retire(struct generation *old, struct proc *p, struct proc *heir, const struct sb *gone)
{
	struct msg m = { .type = MSG_RETIRE, .arg = old->man->drain_timeout_us / 1000 };
	struct msg go = { .type = MSG_GO };
	int fd[2] = { -1, -1 };

	if (heir && env_socketpair(SOCK_SEQPACKET, fd) == 0) {
		(void)chan_send(&heir->chan, &go, NULL, 0, &fd[1], 1);
		env_close(fd[1]);
	}
	p->state = ST_PROC_DRAINING;
	if (!p->foreign)
		stat_proc_set(p->m->seg, p->slot, ST_PROC_DRAINING, (uint32_t)p->pid, p->core, p->generation);
	(void)chan_send(&p->chan, &m, gone->p, gone->n, fd, fd[0] >= 0);
	if (fd[0] >= 0)
		env_close(fd[0]);
}

static void retire_all(struct master *m, struct generation *old)
{
	struct sb gone;

	sb_init_heap(&gone);
	gone_names(old, m->cur, &gone);
	socks_shut(m);
	old->phase = PHASE_DRAINING;
	old->deadline_ms = master_now_ms(m) + old->man->drain_timeout_us / 1000 + CUT_MS;
	list_push(&m->old, &old->link);
	if (old->gen) {
		old->gen->expected = true;
		proc_kill(old->gen, SIGKILL);
	}
	LIST_FOREACH(it, &m->procs) {
		struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (p->role != PROC_WORKER || p->g != old)
			continue;
		p->expected = true;
		if (p->state == ST_PROC_RUNNING) {
			retire(old, p, heir_of(m->cur, p->core), &gone);
		} else {
			p->stopped = true;
			proc_kill(p, SIGKILL);      /* not ready, or hung: it serves nobody */
		}
	}
	sb_free(&gone);
}

static uint32_t oldest_live(const struct master *m)
{
	uint32_t n = m->cur->num;

	LIST_FOREACH(it, &m->old)
		n = FL_MIN(n, LIST_ENTRY(it, struct generation, link)->num);
	/* adopted ones that drain have no generation here, but still write to its rows */
	LIST_FOREACH(it, &m->procs) {
		const struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (p->role == PROC_WORKER && !p->g && !p->foreign)
			n = FL_MIN(n, p->generation);
	}
	return n;
}

/* Predecessors will hand their UDP flows over, as soon as they are told to retire. */
static void send_go(struct proc *p, const struct generation *old)
{
	struct msg m = { .type = MSG_GO };

	for (unsigned c = 0; old && c < old->n_workers; c++)
		m.arg += old->worker[c] && old->worker[c]->state == ST_PROC_RUNNING && heir_of(p->g, c) == p;
	(void)chan_send(&p->chan, &m, NULL, 0, NULL, 0);
}

static void answer_notes(struct generation *g, const char *text)
{
	struct sb b;

	sb_init_heap(&b);
	if (g->notes && strlen(g->notes) < MSG_TEXT_MAX - 1000)
		sb_c(&b, g->notes);
	sb_c(&b, text);
	answer(g->m, g->num, 0, b.over ? text : b.p, list_empty(&g->m->old));
	sb_free(&b);
}

static void commit(struct generation *g)
{
	struct master *m = g->m;
	struct generation *old = m->cur;
	uint64_t took = master_now_ms(m) - g->started_ms;
	char text[160];

	m->next = NULL;
	m->cur = g;
	g->phase = PHASE_CURRENT;
	if (old)
		m->n_reloads++;
	sums_import(m);
	/* first of all: the board is the new ones' from here on, and each worker asks whether it is one */
	stat_obj_commit(m->seg, g->num, old ? FL_MIN(oldest_live(m), old->num) : oldest_live(m));
	/* all of them before the first one looks: it would take what is another's */
	supervise_live(m);
	for (unsigned c = 0; c < g->n_workers; c++)
		if (g->worker[c])
			send_go(g->worker[c], old);
	cpus_commit(m);
	supervise_board(m);
	if (old)
		retire_all(m, old);
	publish(m, true, NULL);
	socks_keep(m);
	socks_http_commit(m, &g->man->admin_http);
	helper_send_config(m);
	state_forget(m);
	state_sync(m);
	socks_sweep(m);
	snprintf(text, sizeof(text), "generation %u serves (%u vservers, %u services), ready after %" PRIu64 " ms\n", g->num,
		 g->man->n_vservers, g->man->n_services, took);
	if (!m->frozen && g->man->kept)       /* what was taken over did not know of it */
		m->frozen = env_strdup(g->man->kept);
	if (old)
		log_ev(EV_RELOAD, "generation %u serves, ready after %" PRIu64 " ms", g->num, took);
	answer_notes(g, text);
	m->serving = true;
	notify_systemd("READY=1\nSTATUS=serving");
	start_next(m);
}

void reload_ready(struct generation *g)
{
	for (unsigned c = 0; c < g->n_workers; c++)
		if (!g->worker[c] || g->worker[c]->state != ST_PROC_RUNNING)
			return;
	commit(g);
}

/* The end of the old ---------------------------------------------------------------------- */

void reload_old_ended(struct master *m)
{
	bool any = false;

	LIST_FOREACH_SAFE(it, next, &m->old) {
		struct generation *g = LIST_ENTRY(it, struct generation, link);

		if (generation_live(g))
			continue;
		generation_free(g);
		any = true;
	}
	if (any && m->cur) {
		stat_obj_commit(m->seg, m->cur->num, oldest_live(m));
		streams_sweep(m);
	}
	if (any && list_empty(&m->old))
		answer(m, m->cur->num, 0, "the replaced workers are gone\n", true);
	start_next(m);
}

void reload_tick(struct master *m)
{
	uint64_t now = master_now_ms(m);

	if (m->next && now > m->next->deadline_ms) {
		bool loading = m->next->phase == PHASE_LOADING;

		reload_failed(m->next, loading ? "the configuration was not loaded within 60 s"
					       : "not all workers were ready within 10 s");
	}
	say_queued(m);
	LIST_FOREACH(it, &m->old) {
		struct generation *g = LIST_ENTRY(it, struct generation, link);

		if (now <= g->deadline_ms)
			continue;
		LIST_FOREACH(jt, &m->procs) {
			struct proc *p = LIST_ENTRY(jt, struct proc, link);

			if (p->g == g)
				proc_kill(p, SIGKILL);
		}
	}
}
