/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervise.c - watching processes: ends, silence, back-off; and what follows for the board
 *
 *	worker:  STARTING --READY--> RUNNING --RETIRE--> DRAINING --> (end)
 *	             |                  |  `--silent--> HUNG --ABRT, 400 ms, KILL--> (end)
 *	             `------ends--------'`-- DEAD: others serve its listeners, a new one is forked
 *
 * The first respawn is immediate. A worker that dies within 5 s again and again by a fault of its own is
 * held back: 100 ms, doubling to 5 s; what somebody killed, or the last core there is, is held back 100 ms at most.
 */
#include "config.h"

#include "proc/master.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"

#define YOUNG_MS       5000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define START_MS       10000      /* a worker that is not ready by then is hung */
#define FORK_MS        1000
#define ABORT_MS       400
#define UNKNOWN_MS     60000      /* silence of a worker whose configuration is not known */
#define STARVED_LIMITS 6          /* times heartbeat-timeout that a worker without CPU is waited for */
#define SOON_MS        20         /* two fast ticks: in time, rather than too late */
#define CONTROL_MS     2000
#define LOGD_MS        5000

/* Processes ------------------------------------------------------------------------------- */

struct proc *proc_new(struct master *m, enum proc_role role)
{
	struct proc *p = env_calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->m = m;
	p->role = role;
	p->end.fd = -1;
	p->chan.w.fd = -1;
	p->slot = STAT_NO_SLOT;
	p->started_ms = master_now_ms(m);
	p->state = ST_PROC_STARTING;
	list_append(&m->procs, &p->link);
	return p;
}

static void free_proc(void *obj)
{
	env_free(obj);
}

void proc_free(struct proc *p)
{
	if (p->end.fd >= 0) {
		engine_unwatch(p->m->engine, &p->end);
		env_close(p->end.fd);
		p->end.fd = -1;
	}
	chan_close(&p->chan);
	list_del(&p->link);
	engine_free_later(p->m->engine, p, free_proc);
}

void proc_kill(struct proc *p, int signo)
{
	if (p->end.fd >= 0)
		(void)syscall(SYS_pidfd_send_signal, p->end.fd, signo, NULL, 0);
}

/* What became of a process; empty when it was not our child (adopted from a master that died). */
static void how_it_ended(struct proc *p, struct sb *b, bool *fault)
{
	siginfo_t si;

	*fault = false;
	memset(&si, 0, sizeof(si));
	if (waitid(P_PIDFD, (id_t)p->end.fd, &si, WEXITED | WNOHANG) != 0 || si.si_pid == 0) {
		sb_c(b, "ended");
		return;
	}
	if (si.si_code == CLD_EXITED) {
		*fault = si.si_status != 0;
		sb_fmt(b, "exit status %d", si.si_status);
	} else {
		*fault = si.si_status != SIGKILL && si.si_status != SIGTERM;
		sb_fmt(b, "signal %d (%s)%s", si.si_status, strsignal(si.si_status),
		       si.si_code == CLD_DUMPED ? ", core dumped" : "");
	}
}

static bool others_live(const struct generation *g, unsigned core)
{
	for (unsigned i = 0; i < g->n_workers; i++)
		if (i != core && g->worker[i] && g->worker[i]->state == ST_PROC_RUNNING)
			return true;
	return false;
}

static uint64_t backoff(struct generation *g, const struct proc *p, bool fault)
{
	struct respawn *r = &g->respawn[p->core];
	uint64_t now = master_now_ms(g->m), wait = 0;

	if (now - p->started_ms >= YOUNG_MS)
		r->fails = 0;
	if (r->fails)
		wait = FL_MIN((uint64_t)BACKOFF_MIN_MS << FL_MIN(r->fails - 1, 6u), (uint64_t)BACKOFF_MAX_MS);
	if (!fault || !others_live(g, p->core))
		wait = fault ? FL_MIN(wait, (uint64_t)BACKOFF_MIN_MS) : 0;
	r->fails++;
	r->due_ms = now + wait;
	return wait;
}

static void worker_ended(struct proc *p, const char *how, bool fault)
{
	struct master *m = p->m;
	struct generation *g = p->g;
	uint64_t wait;

	if (!p->foreign)
		stat_proc_set(m->seg, p->slot, ST_PROC_DEAD, 0, p->core, p->generation);
	if (!g) {
		if (!p->expected)
			log_ev(EV_WORKER_EXIT, "worker@%u pid %d: %s", p->core, (int)p->pid, how);
		return;
	}
	if (g->worker[p->core] == p)
		g->worker[p->core] = NULL;
	if (g->phase == PHASE_DRAINING || p->expected) {
		if (fault)
			log_ev(EV_WORKER_EXIT, "worker@%u pid %d of the replaced generation %u: %s", p->core, (int)p->pid,
			       p->generation, how);
		return;
	}
	if (g->phase == PHASE_STARTING) {
		reload_failed(g, how);
		return;
	}
	wait = backoff(g, p, fault || p->kill_ms);
	log_ev(EV_WORKER_EXIT, "worker@%u pid %d: %s; respawn in %llu ms", p->core, (int)p->pid, how,
	       (unsigned long long)wait);
}

static void gen_ended(struct proc *p, const char *how)
{
	struct generation *g = p->g;
	struct master *m = p->m;
	int err;

	if (!g || g->gen != p)
		return;
	g->gen = NULL;
	g->gen_ready = false;
	generation_forget_asked(g);
	if (p->expected)
		return;
	log_ev(EV_PROCESS_EXIT, "gen %u pid %d: %s", g->num, (int)p->pid, how);
	if (g->phase == PHASE_LOADING || g->phase == PHASE_STARTING) {
		reload_failed(g, "its process ended");
		return;
	}
	if (g != m->cur || m->stopping)
		return;
	err = generation_fork_gen(g);
	if (err)
		log_ev(EV_PROCESS_EXIT, "gen %u cannot be forked: %s", g->num, fl_err_text(err));
}

static void helper_ended(struct proc *p, const char *how)
{
	struct master *m = p->m;

	if (p->slot != STAT_NO_SLOT && !p->foreign)
		stat_proc_set(m->seg, p->slot, ST_PROC_DEAD, 0, 0, 0);
	if (m->control == p)
		m->control = NULL;
	if (m->logd == p)
		m->logd = NULL;
	if (p->role == PROC_CONTROL)
		m->n_waiters = 0;
	if (!p->expected)
		log_ev(EV_PROCESS_EXIT, "%s pid %d: %s", p->role == PROC_CONTROL ? "control" : "logd", (int)p->pid, how);
	/* at once, or not more than four times a second */
	m->hold_until_ms = p->expected || master_now_ms(m) - p->started_ms > 1000 ? 0 : master_now_ms(m) + 250;
}

static void on_end(struct engine_watch *w, unsigned events)
{
	struct proc *p = FL_CONTAINER_OF(w, struct proc, end);
	struct master *m = p->m;
	char how[96];
	struct sb b;
	bool fault;

	(void)events;
	sb_init(&b, how, sizeof(how));
	how_it_ended(p, &b, &fault);
	if (chan_is_open(&p->chan))
		p->chan.w.fn(&p->chan.w, ENGINE_READ);     /* its last words */
	switch (p->role) {
	case PROC_WORKER:
		deaths_take(m, p);
		worker_ended(p, how, fault);
		break;
	case PROC_GEN:
		gen_ended(p, how);
		break;
	default:
		helper_ended(p, how);
		break;
	}
	proc_free(p);
	supervise_board(m);
	supervise_tick(m);
	socks_sweep(m);
	reload_old_ended(m);
	state_sync(m);
}

int proc_watch(struct proc *p, pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return -errno;
	p->pid = pid;
	p->end = (struct engine_watch){ .fd = fd, .fn = on_end };
	return engine_watch(p->m->engine, &p->end, ENGINE_READ);
}

/* The board ------------------------------------------------------------------------------- */

void supervise_kick(struct master *m)
{
	LIST_FOREACH(it, &m->procs) {
		struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (p->role == PROC_WORKER && chan_is_open(&p->chan) && list_empty(&p->chan.out))
			(void)chan_send_simple(&p->chan, MSG_KICK);
	}
}

static struct proc *live_worker(const struct generation *g, unsigned core)
{
	struct proc *p = core < g->n_workers ? g->worker[core] : NULL;

	return p && p->state == ST_PROC_RUNNING ? p : NULL;
}

void supervise_live(struct master *m)
{
	for (unsigned c = 0; c < m->cores; c++) {
		const struct proc *p = live_worker(m->cur, c);

		stat_set_live_slot(m->seg, c, p && !p->foreign ? p->slot : STAT_NO_SLOT);
	}
}

void supervise_board(struct master *m)
{
	uint64_t before = stat_board_epoch(m->seg);
	struct proc *lowest = NULL;

	if (!m->cur || m->stopping)
		return;
	for (unsigned c = 0; c < m->cores && !lowest; c++)
		lowest = live_worker(m->cur, c);
	for (unsigned c = 0; lowest && c < m->cores; c++) {
		uint32_t by = live_worker(m->cur, c) ? c : lowest->core;

		if (stat_serving_core(m->seg, c) == by)
			continue;
		stat_set_serving_core(m->seg, c, by);
		if (by == c)
			log_ev(EV_ADOPT_END, "core %u serves its own listeners", c);
		else if (c < m->cur->n_workers)          /* a core that is to have none lost none */
			log_ev(EV_ADOPT, "core %u: its listeners are served by worker@%u", c, by);
	}
	supervise_live(m);
	if (stat_board_epoch(m->seg) != before)
		supervise_kick(m);
	distribute_update(m);
}

/* Silence --------------------------------------------------------------------------------- */

static void hung(struct proc *p, uint64_t silent_ms, const char *who)
{
	log_ev(EV_WORKER_HUNG, "%s@%u pid %d: silent for %llu ms", who, p->core, (int)p->pid,
	       (unsigned long long)silent_ms);
	p->kill_ms = master_now_ms(p->m) + ABORT_MS;
	p->state = ST_PROC_HUNG;
	p->spins = starved_works(&p->starved, p->pid, master_now_ms(p->m));
	if (p->role == PROC_WORKER && !p->foreign)
		stat_proc_set(p->m->seg, p->slot, ST_PROC_HUNG, (uint32_t)p->pid, p->core, p->generation);
	proc_kill(p, SIGABRT);
}

/* A worker beats as its own configuration says, also after a reload to a shorter time. */
static uint64_t silence_limit(const struct proc *p)
{
	const struct generation *g = p->g ? p->g : p->m->cur;
	uint64_t limit = g && g->man ? g->man->heartbeat_us / 1000 : 500;

	return p->g ? limit : FL_MAX(limit, (uint64_t)UNKNOWN_MS);
}

/* When it was heard of last; a promise of a worker without work counts as if it had beaten as usual before. */
static uint64_t heard_ms(const struct stat_proc *sp, uint64_t limit)
{
	uint64_t usual = limit * 2 / 5;

	if (sp->promise_ms <= sp->heartbeat_ms + usual)
		return sp->heartbeat_ms;
	return sp->heartbeat_ms + FL_MIN(sp->promise_ms - usual - sp->heartbeat_ms, usual);
}

static void check_worker(struct proc *p, uint64_t now)
{
	uint64_t limit = silence_limit(p), heard;
	struct stat_proc sp;

	if (p->state == ST_PROC_STARTING) {
		if (now - p->started_ms > START_MS && p->pid)
			hung(p, now - p->started_ms, "worker");
		return;
	}
	if (p->foreign || !stat_proc_get(p->m->seg, p->slot, &sp) || !sp.heartbeat_ms)
		return;
	heard = heard_ms(&sp, limit);
	if (now + SOON_MS <= heard + limit / 2) {
		p->starved = (struct starved){ 0 };
		return;
	}
	p->m->fast = true;
	if (now + SOON_MS <= heard + limit)
		(void)starved_look(&p->starved, p->pid, now);
	else if (now > heard + STARVED_LIMITS * limit || !starved_look(&p->starved, p->pid, now))
		hung(p, now - sp.heartbeat_ms, "worker");
}

static void check_helper(struct proc *p, uint64_t now)
{
	uint64_t limit = p->role == PROC_CONTROL ? CONTROL_MS : LOGD_MS;
	struct stat_proc sp;

	if (p->slot == STAT_NO_SLOT || p->foreign || !stat_proc_get(p->m->seg, p->slot, &sp))
		return;
	if (sp.heartbeat_ms < p->started_ms && now - p->started_ms < START_MS)
		return;                  /* it has not said anything yet */
	if (now > sp.heartbeat_ms + limit)
		hung(p, now - sp.heartbeat_ms, p->role == PROC_CONTROL ? "control" : "logd");
}

static void check_gen(struct proc *p, uint64_t now)
{
	LIST_FOREACH(it, &p->m->procs) {
		const struct proc *w = LIST_ENTRY(it, struct proc, link);

		if (w->role == PROC_WORKER && w->g && w->g == p->g && w->asked_ms && now - w->asked_ms > FORK_MS) {
			hung(p, now - w->asked_ms, "gen");
			return;
		}
	}
}

static void respawn_due(struct generation *g, uint64_t now)
{
	for (unsigned c = 0; c < g->n_workers; c++)
		if (!g->worker[c] && g->respawn[c].due_ms && now >= g->respawn[c].due_ms && g->gen_ready) {
			int err = generation_fork_worker(g, c);

			if (err)
				g->respawn[c].due_ms = now + BACKOFF_MIN_MS;
		}
}

void supervise_tick(struct master *m)
{
	uint64_t now = env_now_us() / 1000;
	bool late = m->last_tick_ms && now - m->last_tick_ms > 2 * m->tick_ms + 100;
	bool changed = false;

	m->last_tick_ms = now;
	m->fast = false;
	LIST_FOREACH(it, &m->procs) {
		struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (p->kill_ms) {
			if (now >= p->kill_ms)
				proc_kill(p, SIGKILL);
			m->fast = true;
			continue;
		}
		if (late)          /* we slept ourselves: their silence says nothing (F32) */
			continue;
		if (p->role == PROC_WORKER)
			check_worker(p, now);
		else if (p->role == PROC_GEN)
			check_gen(p, now);
		else
			check_helper(p, now);
		changed |= p->kill_ms != 0;
	}
	if (changed)
		supervise_board(m);
	if (m->cur && !m->stopping)
		respawn_due(m->cur, now);
	if (!m->stopping)
		helper_tick(m);
}

/* Children that ended before anybody knew them: an intermediate of a gen that died, a worker without a pid. */
static void reap_strangers(struct master *m)
{
	for (unsigned i = 0; i < 16; i++) {
		siginfo_t si;
		bool ours = false;

		memset(&si, 0, sizeof(si));
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) != 0 || si.si_pid == 0)
			return;
		LIST_FOREACH(it, &m->procs)
			ours |= LIST_ENTRY(it, struct proc, link)->pid == si.si_pid;
		if (ours)
			return;
		waitid(P_PID, (id_t)si.si_pid, &si, WEXITED | WNOHANG);
	}
}

void supervise_second(struct master *m)
{
	reap_strangers(m);
	cpus_second(m);
	deaths_second(m);
	distribute_second(m);
	if (!m->cur || m->cur->man->own_tickets || !m->tickets.n ||
	    master_now_ms(m) - m->tickets.made_ms < m->cur->man->ticket_life_us / 1000)
		return;
	tickets_rotate(&m->tickets, master_now_ms(m));
	LIST_FOREACH(it, &m->procs) {
		struct proc *p = LIST_ENTRY(it, struct proc, link);
		struct msg msg = { .type = MSG_TICKETS };

		if (p->role == PROC_WORKER && chan_is_open(&p->chan))
			(void)chan_send(&p->chan, &msg, m->tickets.key, sizeof(m->tickets.key), NULL, 0);
	}
	state_sync(m);
}
