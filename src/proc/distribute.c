/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distribute.c - which worker gets a new connection: the kernel's hash, the CPU that its SYN was processed on, or a table
 *
 * By CPU: one plan for the appliance says which core's socket belongs to which CPU; the group of each address
 * that steers has it attached (net/steer.h). It is made again when a worker becomes ready, ends or hangs, so a
 * core without one gets nothing new, and every second, as the CPUs of a worker may be changed from outside. What
 * waits in the socket of such a core is for those who adopt it (supervise.c). By table: distribute_rss.c, at the same
 * times.
 *
 * Sockets of an address begin to listen in the order of their cores and are closed together (socks.c), so index
 * and core are the same number. What was attached lives in the kernel: after an adoption nothing is known of it, and all
 * is said again.
 *
 * Many listeners take several turns, as no step of the master may take 5 ms. An index that has no socket yet is
 * never in a plan: a worker is ready after its sockets are there.
 */
#include "config.h"

#include "proc/distribute.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"

#define STEP_US   2000
#define LOOKS_MAX 4096          /* counters read in one step */
#define NO_CPU    (-1)
#define MANY_CPUS (-2)
#define TO_FIRST  (UINT32_MAX - 1)      /* for a serial */
#define UNSURE    UINT32_MAX

/* The plan --------------------------------------------------------------------------------- */

static const struct proc *live_worker(const struct generation *g, unsigned core)
{
	const struct proc *p = core < g->n_workers ? g->worker[core] : NULL;

	return p && p->state == ST_PROC_RUNNING ? p : NULL;
}

/* What the kernel says, not what we meant: pinning may have failed, or a cpuset have shrunk since. */
static int cpu_of(pid_t pid)
{
	cpu_set_t may;

	if (sched_getaffinity(pid, sizeof(may), &may) != 0 || CPU_COUNT(&may) != 1)
		return MANY_CPUS;
	for (size_t c = 0; c < CPU_SETSIZE; c++)
		if (CPU_ISSET(c, &may))
			return (int)c;
	return MANY_CPUS;
}

static unsigned cpus_of_machine(void)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	return n > 0 ? (unsigned)FL_MIN(n, (long)STEER_CPUS) : 1;
}

/* False: no worker is there, so nothing is to be decided. */
static bool make_plan(struct distribute *d)
{
	static struct steer_plan plan;
	struct master *m = d->m;
	bool all_pinned = true, any = false, usable;

	for (unsigned c = 0; c < m->cores; c++) {
		const struct proc *p = live_worker(m->cur, c);
		pid_t pid = p ? p->pid : 0;

		d->can[c] = p != NULL;
		d->cpu[c] = p ? cpu_of(pid) : NO_CPU;
		all_pinned &= d->cpu[c] != MANY_CPUS;
		any |= p != NULL;
		d->crew += pid != d->pid[c];
		d->pid[c] = pid;
	}
	if (!any)
		return false;
	usable = all_pinned && steer_plan_make(&plan, d->cpu, m->cores, cpus_of_machine());
	if (usable && (!d->usable || !steer_plan_eq(&plan, &d->plan))) {
		d->plan = plan;
		d->serial++;
	}
	d->usable = usable;
	return true;
}

/* One listener ----------------------------------------------------------------------------- */

struct sock *distribute_sock(struct master *m, unsigned listen)
{
	const struct man_listen *l = &m->cur->man->listens[listen];

	/* mostly they are in the same order */
	if (listen < m->n_socks && socks_is(&m->socks[listen], &l->addr, l->udp, l->device))
		return &m->socks[listen];
	return socks_find(m, &l->addr, l->udp, l->device);
}

/* A UDP flow is in one worker's table: where it was never asked for anything else, the kernel's hash takes all of
 * it there. */
static bool is_left_alone(const struct man_listen *l, const struct sock *s)
{
	return l->udp && l->distribute < STEER_RSS && l->cores.n == 0 && !s->spread && s->rss_data < 0;
}

/* Are there workers that it is bound to, and others? */
static bool is_bound(const struct distribute *d, const struct man_listen *l)
{
	unsigned workers = d->m->cur->n_workers, named = core_set_below(&l->cores, workers);

	return named > 0 && named < workers;
}

const bool *distribute_may(const struct distribute *d, const struct man_listen *l)
{
	bool any = false;

	if (!is_bound(d, l))
		return d->can;
	for (unsigned c = 0; c < d->m->cores; c++) {
		d->may[c] = d->can[c] && core_set_has(&l->cores, c);
		any |= d->may[c];
	}
	return any ? d->may : d->can;
}

static struct spread *spread_of(struct master *m, struct sock *s)
{
	if (s->spread)
		return s->spread;
	s->spread = env_calloc(1, sizeof(*s->spread) + m->cores * sizeof(s->spread->seen[0]));
	if (s->spread) {
		s->spread->attached = UINT32_MAX;
		s->spread->row = STAT_NO_ROW;
		s->spread->guard.seen = s->spread->seen;
	}
	return s->spread;
}

/* Is the index of each worker's socket the number of its core? */
static bool is_in_order(const struct distribute *d, const struct sock *s)
{
	bool hole = s->shared;

	for (unsigned c = 0; c < d->m->cores; c++) {
		hole |= s->fd[c] < 0;
		if (hole && d->cpu[c] != NO_CPU)
			return false;
	}
	return true;
}

/* The classic way of rss; load is not followed there, so least-load is no more than rss. */
static struct stat_steer decide_tree(const struct distribute *d, const struct man_listen *l, const struct sock *s)
{
	if (d->unable)
		return (struct stat_steer){ .state = d->rss_denied ? ST_STEER_DENIED : ST_STEER_UNABLE };
	if (!is_in_order(d, s))
		return (struct stat_steer){ .state = ST_STEER_SHARED };
	return (struct stat_steer){ .state = ST_STEER_TREE, .a = l->distribute == STEER_RULES, .b = d->rss_unable };
}

static struct stat_steer decide_rss(const struct distribute *d, const struct man_listen *l, const struct sock *s)
{
	static const uint32_t states[] = { ST_STEER_RSS, ST_STEER_RULES, ST_STEER_LEAST_LOAD };
	unsigned workers = d->m->cur->n_workers;

	if (workers < 2)
		return (struct stat_steer){ .state = ST_STEER_ALONE };
	if (workers > RSS_BUCKETS)
		return (struct stat_steer){ .state = ST_STEER_MANY };
	if (d->rss_denied || d->rss_unable)
		return decide_tree(d, l, s);
	return (struct stat_steer){ .state = states[l->distribute - STEER_RSS] };
}

static struct stat_steer decide(const struct distribute *d, const struct man_listen *l, const struct sock *s,
				const struct guard *g)
{
	unsigned workers = d->m->cur->n_workers;

	if (l->distribute == STEER_KERNEL)
		return (struct stat_steer){ .state = ST_STEER_ASKED };
	if (l->distribute >= STEER_RSS)
		return decide_rss(d, l, s);
	if (d->unable)
		return (struct stat_steer){ .state = ST_STEER_UNABLE };
	if (workers < 2)
		return (struct stat_steer){ .state = ST_STEER_ALONE };
	if (l->distribute == STEER_SHARED)
		return (struct stat_steer){ .state = s->shared ? ST_STEER_SHARED : ST_STEER_FIRST_COME };
	if (!d->usable)
		return (struct stat_steer){ .state = ST_STEER_UNPINNED };
	if (!is_in_order(d, s))
		return (struct stat_steer){ .state = ST_STEER_SHARED };
	if (l->distribute == STEER_AUTO && l->queues < workers)
		return (struct stat_steer){ .state = ST_STEER_QUEUES, .a = l->queues, .b = workers };
	if (guard_pauses(g) && !is_bound(d, l))
		return (struct stat_steer){ .state = ST_STEER_GUARD, .a = g->core, .b = g->percent };
	return (struct stat_steer){ .state = ST_STEER_CPU };
}

/* The kernel's hash knows all sockets of the group only: on named cores a program stands in for it. Where none can,
 * who serves what (base/cores.h) keeps the other cores out of it. */
static struct stat_steer decide_bound(const struct distribute *d, const struct man_listen *l, const struct sock *s,
				      struct stat_steer v)
{
	bool hash = v.state == ST_STEER_ASKED || v.state == ST_STEER_QUEUES || v.state == ST_STEER_UNPINNED;

	if (!hash || !is_bound(d, l) || d->m->cur->n_workers > RSS_BUCKETS)
		return v;
	if (d->unable)
		return (struct stat_steer){ .state = ST_STEER_UNABLE };
	return (struct stat_steer){ .state = is_in_order(d, s) ? ST_STEER_CORES : ST_STEER_SHARED };
}

/* Will it never do? Anything else (no memory, as for optmem_max) may be better a second later. */
static bool is_for_good(int err)
{
	return err == -ENOPROTOOPT || err == -EPERM || err == -EINVAL;
}

/* The plan, without the CPUs of cores that the listener is not bound to: they are dealt out. */
static int attach_plan(struct distribute *d, const struct sock *s, const struct man_listen *l)
{
	static struct steer_plan plan;
	static int cpu[STAT_MAX_CORES];
	const bool *may = distribute_may(d, l);

	if (!is_bound(d, l))
		return steer_attach(s->fd[0], &d->plan);
	for (unsigned c = 0; c < d->m->cores; c++)
		cpu[c] = may[c] ? d->cpu[c] : NO_CPU;
	return steer_plan_make(&plan, cpu, d->m->cores, cpus_of_machine()) ? steer_attach(s->fd[0], &plan) : -EAGAIN;
}

/* The group as wanted. Negated errno: the kernel refuses to steer. */
static int apply(struct distribute *d, struct spread *sp, const struct sock *s, const struct man_listen *l, uint32_t state)
{
	uint32_t want = state == ST_STEER_CPU ? d->serial : state == ST_STEER_FIRST_COME ? TO_FIRST : 0;
	int err;

	if (sp->attached == want && memcmp(&sp->cores, &l->cores, sizeof(sp->cores)) == 0)
		return 0;
	sp->cores = l->cores;
	if (want == 0)
		err = steer_detach(s->fd[0]);
	else
		err = want == TO_FIRST ? steer_attach_first(s->fd[0]) : attach_plan(d, s, l);
	/* what was there before may still be; a kernel that cannot even take it away has none */
	sp->attached = !err ? want : want ? UNSURE : 0;
	if (want && is_for_good(err))
		log_ev(EV_DISTRIBUTE, "connections cannot be steered: %s; all listeners: kernel", fl_err_text(err));
	return want ? err : 0;
}

/* Of rss: may the next second be better? */
static bool is_passing(int err)
{
	return err == -EBUSY || err == -EAGAIN || err == -ENOMEM || err == -EMFILE || err == -ENFILE;
}

static bool is_rss(const struct stat_steer *v)
{
	return v->state == ST_STEER_RSS || v->state == ST_STEER_RULES || v->state == ST_STEER_LEAST_LOAD;
}

static bool is_tree(const struct stat_steer *v)
{
	return v->state == ST_STEER_TREE || v->state == ST_STEER_CORES;
}

/* What can never be is said once, for all listeners. */
static void give_up(struct distribute *d, int err, bool tree)
{
	if (tree) {
		log_ev(EV_DISTRIBUTE, "distribute: the kernel takes no classic program (%s); all listeners: kernel",
		       fl_err_text(err));
		d->unable = true;
		return;
	}
	log_ev(EV_DISTRIBUTE, "distribute rss: %s; all its listeners: a classic program, so buckets do not follow load",
	       err == -EPERM ? "eBPF needs CAP_BPF" : fl_err_text(err));
	d->rss_denied = err == -EPERM;
	d->rss_unable = err != -EPERM;
}

/* By a table. A try that failed leaves the kernel's hash. */
static int apply_table(struct distribute *d, struct spread *sp, struct sock *s, const struct man_listen *l, bool tree)
{
	int err = rss_spread_apply(d, sp, s, l, tree);

	if (!err) {
		sp->attached = UINT32_MAX;       /* not by CPU, and not nothing */
		return 0;
	}
	(void)steer_detach(s->fd[0]);
	rss_spread_off(sp);
	sp->attached = 0;
	if (!is_passing(err))
		give_up(d, err, tree);
	return err;
}

/* eBPF, else a classic program, else the kernel's hash. */
static struct stat_steer steer_by_table(struct distribute *d, struct spread *sp, struct sock *s, const struct man_listen *l,
					struct stat_steer now)
{
	int err;

	if (is_rss(&now)) {
		err = apply_table(d, sp, s, l, false);
		if (!err)
			return now;
		if (is_passing(err))
			return (struct stat_steer){ .state = err == -EBUSY ? ST_STEER_ELSEWHERE : ST_STEER_UNABLE };
		now = decide_tree(d, l, s);
	}
	if (!is_tree(&now))
		return now;
	err = apply_table(d, sp, s, l, true);
	if (err)
		now = (struct stat_steer){ .state = d->rss_denied && now.state == ST_STEER_TREE ? ST_STEER_DENIED :
						    ST_STEER_UNABLE };
	return now;
}

static struct stat_steer steer(struct distribute *d, struct spread *sp, struct sock *s, const struct man_listen *l)
{
	struct stat_steer now = decide_bound(d, l, s, decide(d, l, s, &sp->guard));
	int err;

	if (is_rss(&now) || is_tree(&now))
		return steer_by_table(d, sp, s, l, now);
	rss_spread_off(sp);
	err = apply(d, sp, s, l, now.state);
	if (err) {
		d->unable |= is_for_good(err);
		now.state = ST_STEER_UNABLE;
	}
	return now;
}

static void say(const struct man_listen *l, const struct spread *sp)
{
	char text[96];
	struct sb b;

	sb_init(&b, text, sizeof(text));
	stat_steer_text(&sp->shown, &b);
	if (sp->shown.state == ST_STEER_GUARD)
		sb_fmt(&b, "; by CPU again in %u min", (unsigned)(sp->guard.pause_ms / 60000));
	log_ev_key(EV_DISTRIBUTE, str_c(l->name), "listener %s: %s", l->name, text);
}

static void show(struct master *m, const struct man_listen *l, struct spread *sp, struct stat_steer now)
{
	uint32_t row = stat_obj_find(m->seg, KIND_LISTENER, str_c(l->name));
	bool first = sp->shown.state == ST_STEER_NONE, news = sp->shown.state != now.state;

	if (!news && row == sp->row && sp->shown.a == now.a && sp->shown.b == now.b)
		return;
	if (row != sp->row)
		sp->guard.at_ms = 0;             /* other counters */
	sp->shown = now;
	sp->row = row;
	stat_steer_set(m->seg, row, &now);
	if (news && !first)
		say(l, sp);
}

static void update_one(struct distribute *d, unsigned listen)
{
	const struct man_listen *l = &d->m->cur->man->listens[listen];
	struct sock *s = distribute_sock(d->m, listen);
	struct spread *sp = s && s->fd[0] >= 0 && !is_left_alone(l, s) ? spread_of(d->m, s) : NULL;

	if (sp)
		show(d->m, l, sp, steer(d, sp, s, l));
}

/* All -------------------------------------------------------------------------------------- */

static void step(struct distribute *d)
{
	struct master *m = d->m;
	uint64_t begin = env_now_us();

	if (!m->cur || !m->cur->man || m->stopping)
		return;
	for (; d->next < m->cur->man->n_listens; d->next++) {
		if (env_now_us() - begin > STEP_US) {
			engine_timer(m->engine, &d->more, 1);
			return;
		}
		update_one(d, d->next);
	}
	if (d->rss_made) {
		d->rss_made = false;
		state_sync(m);
	}
}

static void on_more(struct timer *t)
{
	step(FL_CONTAINER_OF(t, struct distribute, more));
}

static struct distribute *new_distribute(struct master *m)
{
	struct distribute *d = env_calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->m = m;
	d->pid = env_calloc(m->cores, sizeof(*d->pid));
	d->cpu = env_calloc(m->cores, sizeof(*d->cpu));
	d->can = env_calloc(m->cores, 2 * sizeof(*d->can));
	d->busy_seen = env_calloc(m->cores, 7 * sizeof(*d->busy_seen));
	timer_init(&d->more, on_more);
	if (d->pid && d->cpu && d->can && d->busy_seen) {
		d->may = d->can + m->cores;
		d->busy = d->busy_seen + m->cores;
		d->recent = d->busy + m->cores;
		for (unsigned i = 0; i < 2; i++) {
			d->load[i] = d->recent + (1 + 2 * i) * m->cores;
			d->price[i] = d->load[i] + m->cores;
		}
		return d;
	}
	env_free(d->pid);
	env_free(d->cpu);
	env_free(d->can);
	env_free(d->busy_seen);
	env_free(d);
	return NULL;
}

void distribute_update(struct master *m)
{
	if (!m->cur || !m->cur->man || m->stopping)
		return;
	if (!m->distribute)
		m->distribute = new_distribute(m);
	if (!m->distribute || !make_plan(m->distribute))
		return;
	m->distribute->next = 0;
	step(m->distribute);
}

void distribute_forget(struct sock *s)
{
	bool mapped = s->spread && s->spread->rss;

	if (mapped)
		rss_spread_free(s->spread);     /* with its descriptors */
	if (!mapped && s->rss_socks >= 0)
		env_close(s->rss_socks);
	if (!mapped && s->rss_data >= 0)
		env_close(s->rss_data);
	s->rss_socks = s->rss_data = -1;
	env_free(s->spread);
	s->spread = NULL;
}

void distribute_closed(struct sock *s, unsigned core)
{
	if (s->spread)
		rss_spread_closed(s->spread, core);
}

/* The guard -------------------------------------------------------------------------------- */

static void look(struct distribute *d, unsigned listen, uint64_t *accepted)
{
	struct master *m = d->m;
	const struct sock *s = distribute_sock(m, listen);
	struct spread *sp = s ? s->spread : NULL;

	if (!sp || (sp->shown.state != ST_STEER_CPU && sp->shown.state != ST_STEER_GUARD))
		return;
	if (is_bound(d, &m->cur->man->listens[listen]))  /* shares are uneven there on purpose */
		return;
	for (unsigned c = 0; c < m->cur->n_workers; c++)
		accepted[c] = stat_slot_value(m->seg, m->cur->worker[c]->slot, sp->row, CTR_LISTENER_ACCEPTS);
	(void)guard_look(&sp->guard, accepted, m->cur->n_workers, d->crew, master_now_ms(m));
}

/* While one is missing the others have more than their share, and that is right. */
static bool all_there(const struct master *m)
{
	for (unsigned c = 0; c < m->cur->n_workers; c++) {
		const struct proc *p = live_worker(m->cur, c);

		if (!p || p->foreign)
			return false;
	}
	return m->cur->n_workers > 1;
}

void distribute_second(struct master *m)
{
	static uint64_t accepted[STAT_MAX_CORES];
	struct distribute *d = m->distribute;
	unsigned n, all;
	bool whole;

	if (!d || !m->cur || !m->cur->man || m->stopping)
		return;
	all = m->cur->man->n_listens;
	n = FL_MIN(all, LOOKS_MAX / FL_MAX(m->cur->n_workers, 1u));
	whole = all_there(m);
	for (; whole && n > 0; n--)
		look(d, d->looked++ % all, accepted);
	rss_spread_second(d, whole);
	distribute_update(m);
}
