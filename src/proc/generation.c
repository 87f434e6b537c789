/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generation.c - the processes of one generation: its gen, and the workers forked from it
 */
#include "config.h"

#include "proc/master.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "proc/gen.h"

struct generation *generation_new(struct master *m, uint32_t num, int image)
{
	struct generation *g = env_calloc(1, sizeof(*g));

	if (!g)
		goto fail;
	list_init(&g->link);
	g->m = m;
	g->num = num;
	g->image = image;
	g->image_public = g->man_fd = -1;
	g->started_ms = master_now_ms(m);
	g->worker = env_calloc(m->cores, sizeof(struct proc *));
	g->respawn = env_calloc(m->cores, sizeof(*g->respawn));
	if (g->worker && g->respawn)
		return g;
	env_free(g->worker);
	env_free(g->respawn);
	env_free(g);
fail:
	if (image >= 0)
		env_close(image);
	return NULL;
}

unsigned generation_live(const struct generation *g)
{
	unsigned n = 0;

	LIST_FOREACH(it, &g->m->procs) {
		const struct proc *p = LIST_ENTRY(it, struct proc, link);

		n += p->role == PROC_WORKER && p->g == g;
	}
	return n;
}

/* A worker that was asked for is known when its gen answers or it says ready itself. One that was forked all the same
 * finds its channel closed, and ends. */
void generation_forget_asked(struct generation *g)
{
	struct master *m = g->m;

	LIST_FOREACH_SAFE(it, next, &m->procs) {
		struct proc *w = LIST_ENTRY(it, struct proc, link);

		if (w->role != PROC_WORKER || w->g != g || w->pid)
			continue;
		if (g->worker[w->core] == w) {
			g->worker[w->core] = NULL;
			g->respawn[w->core].due_ms = master_now_ms(m);
		}
		stat_proc_set(m->seg, w->slot, ST_PROC_DEAD, 0, w->core, g->num);
		proc_free(w);
	}
}

void generation_free(struct generation *g)
{
	struct master *m = g->m;

	generation_forget_asked(g);
	LIST_FOREACH(it, &m->procs) {
		struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (p->g != g)
			continue;
		p->g = NULL;
		p->expected = true;
		proc_kill(p, SIGKILL);
	}
	list_del(&g->link);
	manifest_free(&g->man);
	env_free(g->notes);
	if (g->image >= 0)
		env_close(g->image);
	if (g->image_public >= 0)
		env_close(g->image_public);
	if (g->man_fd >= 0)
		env_close(g->man_fd);
	env_free(g->worker);
	env_free(g->respawn);
	env_free(g);
}

/* gen ------------------------------------------------------------------------------------- */

static void on_forked(struct generation *g, const struct msg *m)
{
	struct proc *p = NULL;

	LIST_FOREACH(it, &g->m->procs) {
		struct proc *q = LIST_ENTRY(it, struct proc, link);

		if (q->role == PROC_WORKER && q->slot == m->slot && q->g == g && q->asked_ms)
			p = q;
	}
	if (!p)
		return;
	p->asked_ms = 0;
	if (m->arg == 0 || proc_watch(p, (pid_t)m->arg) < 0) {
		log_ev(EV_WORKER_EXIT, "worker@%u: cannot be forked; another try in 1 s", p->core);
		if (g->worker[p->core] == p)
			g->worker[p->core] = NULL;
		g->respawn[p->core].due_ms = master_now_ms(g->m) + 1000;
		stat_proc_set(g->m->seg, p->slot, ST_PROC_DEAD, 0, p->core, g->num);
		proc_free(p);
		return;
	}
	stat_proc_set(g->m->seg, p->slot, p->state, (uint32_t)p->pid, p->core, g->num);
}

static void gen_got(struct chan *c, struct msg_in *in)
{
	struct proc *p = FL_CONTAINER_OF(c, struct proc, chan);

	if (!p->g || p->g->gen != p)
		return;
	if (in->m.type == MSG_LOADED)
		reload_loaded(p->g, in);
	else if (in->m.type == MSG_FORKED)
		on_forked(p->g, &in->m);
}

static void gen_gone(struct chan *c)
{
	chan_close(c);           /* its pidfd tells the rest */
}

/* Nothing of this process's loop may be touched in the child; gen closes what it does not need. */
static void gen_child(struct generation *g, int chan_fd)
{
	struct gen_start *s = env_calloc(1, sizeof(*s));

	if (!s)
		_exit(1);
	*s = (struct gen_start){
		.launch = g->m->launch, .image_fd = g->image, .kept = g->m->frozen, .seg = g->m->seg, .generation = g->num,
		.again = g->man != NULL, .cores = g->m->cores, .chan_fd = chan_fd, .adopt_fd = g->m->adopt_fd,
		.wake_control = g->m->wake_control, .wake_logd = g->m->wake_logd,
		.mail_fd = g->m->mail_fd, .n_mail = g->m->n_mail, .box_fd = g->m->box_fd, .n_box = g->m->n_box,
	};
	log_set_sink(NULL, NULL);
	gen_main(s);
}

int generation_fork_gen(struct generation *g)
{
	struct proc *p = proc_new(g->m, PROC_GEN);
	sigset_t all, before;
	int fd[2], err;
	pid_t pid;

	if (!p)
		return FL_ENOMEM_;
	err = env_socketpair(SOCK_SEQPACKET, fd);
	if (err < 0) {
		proc_free(p);
		return err;
	}
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	pid = fork();
	if (pid == 0)
		gen_child(g, fd[1]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	env_close(fd[1]);
	if (pid < 0) {
		err = -errno;
		env_close(fd[0]);
		proc_free(p);
		return err;
	}
	p->g = g;
	p->generation = g->num;
	g->gen = p;
	g->gen_ready = false;
	err = proc_watch(p, pid);
	if (!err)
		err = chan_open(&p->chan, g->m->engine, fd[0], gen_got, gen_gone);
	return err;
}

/* The order of listens in the manifest is that of gen's configuration. */
static void send_listeners(struct generation *g)
{
	for (unsigned i = 0; i < g->man->n_listens; i++) {
		const struct man_listen *l = &g->man->listens[i];
		const struct sock *s = socks_find(g->m, &l->addr, l->udp, l->device);
		struct msg m = { .type = MSG_LISTENERS, .arg = i };

		for (unsigned core = 0; s && core < g->m->cores; core++) {
			if (s->fd[core] < 0)
				continue;
			m.core = core;
			(void)chan_send(&g->gen->chan, &m, NULL, 0, &s->fd[core], 1);
		}
	}
}

static void send_streams(struct generation *g)
{
	struct msg m = { .type = MSG_STREAMS };
	struct sb b;
	uint32_t id;

	sb_init_heap(&b);
	for (unsigned i = 0; i < g->man->n_logs; i++) {
		if (streams_id(g->m, g->man->logs[i], &id) < 0)
			id = 0;
		sb_fmt(&b, "%u\n", (unsigned)id);
	}
	(void)chan_send(&g->gen->chan, &m, b.p, b.n, NULL, 0);
	sb_free(&b);
}

void generation_setup_gen(struct generation *g)
{
	if (!g->gen)
		return;
	send_listeners(g);
	send_streams(g);
	g->gen_ready = true;
	if (g == g->m->cur) {
		state_forget(g->m);
		state_sync(g->m);
	}
}

/* Workers --------------------------------------------------------------------------------- */

static void worker_got(struct chan *c, struct msg_in *in)
{
	struct proc *p = FL_CONTAINER_OF(c, struct proc, chan);

	switch (in->m.type) {
	case MSG_READY:
		if (!p->pid && proc_watch(p, (pid_t)in->m.arg) == 0)
			p->asked_ms = 0;         /* gen's own answer is still on its way */
		generation_worker_ready(p);
		break;
	case MSG_STOPPED:
		p->stopped = true;
		socks_sweep(p->m);
		break;
	case MSG_CUT:
		if (in->m.arg)
			log_ev(EV_DRAIN_CUT, "generation %u: worker@%u cut %llu exchanges at the end of its time",
			       p->generation, p->core, (unsigned long long)in->m.arg);
		break;
	default:
		break;
	}
}

static void worker_gone(struct chan *c)
{
	chan_close(c);
}

int proc_open_chan(struct proc *p, int fd)
{
	return chan_open(&p->chan, p->m->engine, fd, p->role == PROC_GEN ? gen_got : worker_got,
			 p->role == PROC_GEN ? gen_gone : worker_gone);
}

static bool slot_is_free(const struct master *m, uint32_t slot)
{
	LIST_FOREACH(it, &m->procs) {
		const struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (p->role == PROC_WORKER && !p->foreign && p->slot == slot)
			return false;
	}
	return true;
}

static uint32_t find_slot(const struct master *m, unsigned core)
{
	uint32_t per_core = stat_worker_slots(m->seg) / stat_cores(m->seg);

	for (uint32_t k = 0; k < per_core; k++)
		if (slot_is_free(m, core * per_core + k))
			return core * per_core + k;
	return STAT_NO_SLOT;
}

static void send_tickets(struct proc *p)
{
	struct tickets *t = &p->m->tickets;
	struct msg m = { .type = MSG_TICKETS };

	if (t->n)
		(void)chan_send(&p->chan, &m, t->key, (size_t)t->n * TICKET_KEY_LEN, NULL, 0);
}

int generation_fork_worker(struct generation *g, unsigned core)
{
	uint32_t slot = find_slot(g->m, core);
	struct msg m = { .type = MSG_FORK, .slot = slot, .core = core, .generation = g->num,
			 .arg = (uint64_t)(cpus_of_worker(g->man, g->n_workers, core) + 1) };
	struct proc *p;
	int fd[2], err;

	if (!g->gen || !g->gen_ready)
		return FL_EDEAD_;
	if (slot == STAT_NO_SLOT)
		return FL_ELIMIT_;
	p = proc_new(g->m, PROC_WORKER);
	if (!p)
		return FL_ENOMEM_;
	err = env_socketpair(SOCK_SEQPACKET, fd);
	if (err < 0) {
		proc_free(p);
		return err;
	}
	p->g = g;
	p->generation = g->num;
	p->core = core;
	p->slot = slot;
	p->state = ST_PROC_STARTING;
	p->asked_ms = master_now_ms(g->m);
	g->worker[core] = p;
	g->respawn[core].due_ms = 0;
	stat_proc_set(g->m->seg, slot, ST_PROC_STARTING, 0, core, g->num);
	err = proc_open_chan(p, fd[0]);
	if (!err)
		err = chan_send(&g->gen->chan, &m, NULL, 0, &fd[1], 1);
	env_close(fd[1]);
	if (!err)
		send_tickets(p);
	return err;
}

void generation_worker_ready(struct proc *p)
{
	struct generation *g = p->g;

	/* forked just before its time was over: nobody will tell it to serve, or to retire */
	if (p->m->stopping || !g || g->phase == PHASE_DRAINING) {
		p->expected = true;
		proc_kill(p, SIGKILL);
		return;
	}
	p->state = ST_PROC_RUNNING;
	if (!p->foreign)
		stat_proc_set(p->m->seg, p->slot, ST_PROC_RUNNING, (uint32_t)p->pid, p->core, p->generation);
	log_ev(EV_WORKER_READY, "worker@%u pid %d generation %u", p->core, (int)p->pid, p->generation);
	if (g->phase == PHASE_CURRENT) {
		(void)chan_send_simple(&p->chan, MSG_GO);
		supervise_board(p->m);
		state_sync(p->m);
	} else if (g->phase == PHASE_STARTING) {
		reload_ready(g);
	}
}
