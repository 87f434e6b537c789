/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c - the event loop (see engine.h): libev outside, a private edge-triggered epoll set inside
 *
 * libev has signals, the end of the sleep and one watcher for the inner set. The inner set has every connection,
 * registered once for everything, and the level-triggered watches; its callback takes what is ready by
 * epoll_wait(0) in large batches. What ends a turn (timers, deferred work, writes, frees) is
 * called from engine_run() and not from libev watchers, so its order is plain to see.
 *
 * Under load (turn upon turn) the wait is in the inner set itself, and libev, out of the way, has its turn once in a
 * millisecond or when a signal came: one system call less a turn, and no event has to wake two sets. (UDP flows 4 %,
 * small requests 2 % less CPU; the busier, the fewer turns and the less gain.) A millisecond without an event ends it.
 *
 * An event of a batch may name an object that an earlier event of the same batch closed. So closed
 * objects live until the end of the turn, and a closed descriptor (fd < 0) is skipped.
 */
#include "config.h"

#include "net/engine.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/work.h"

#define BATCH         512      /* events of one epoll_wait */
#define BATCHES       4        /* batches of one turn: timers and signals get their share (R19) */
#define TIMER_BUDGET  2048     /* timer callbacks of one turn */
#define HOT_GAP_US    500      /* turns that are closer than that, */
#define HOT_STREAK    16       /* so many in a row, are load */
#define HOT_WAIT_MS   1
#define LIBEV_US      1000     /* its turn under load */
#define FREE_MIN      1024
#define SIGNALS       65

struct free_ent {
	void *obj;
	void (*fn)(void *obj);
};
struct signal_ent {
	ev_signal w;
	void    (*fn)(void *ctx, int signo);
	void     *ctx;
};
/* A watch is in the inner set, too, but level-triggered; its pointer is marked by WATCH_TAG. So leaving is a
 * true EPOLL_CTL_DEL, which libev would put off: a shared listener must not wake who left it. */
struct watch_ent {
	struct engine_watch *user;           /* NULL: unwatched in this turn */
	uint32_t             mask;           /* 0: not in the set */
};
#define WATCH_TAG ((uintptr_t)1)
struct engine {
	struct ev_loop   *loop;
	struct wheel     *wheel;
	int               inner;           /* the edge-triggered set */
	bool              stop;
	bool              more;            /* work is left over: do not sleep */
	bool              hot;             /* the inner set is not watched by libev: we wait in it */
	unsigned          streak;          /* turns in a row that were close to one another */
	unsigned          n_ready;         /* events of this turn */
	uint64_t          ready_us;        /* the last turn that had any */
	uint64_t          libev_us;        /* libev's last */
	uint64_t          now_us;
	uint64_t          now_ms;
	uint64_t          armed_ms;        /* when the sleep ends at the latest; 0: open */
	unsigned          max_sleep_ms;    /* 0: none */
	unsigned          n_fds;
	struct list       jobs, flush_hooks, turn_hooks;
	struct free_ent  *frees;
	unsigned          n_frees, cap_frees;
	struct engine_watch tick;          /* fd -1: none */
	ev_io             inner_io;
	ev_check          check;
	ev_timer          sleep;
	void            (*tick_fn)(void *ctx);
	void             *tick_ctx;
	uint64_t          turns, busy_us, max_turn_us;
	struct signal_ent *signals[SIGNALS];
	struct epoll_event ready[BATCH];
};

/* Time ------------------------------------------------------------------------------------ */

static void read_clock(struct engine *e)
{
	e->now_us = env_now_us();
	e->now_ms = e->now_us / 1000;
}

/* Runs as the first thing after the wait. */
static void on_check(struct ev_loop *loop, ev_check *w, int revents)
{
	(void)loop;
	(void)revents;
	read_clock(w->data);
}

/* The sleep ended; what is due runs in end_turn(). */
static void on_sleep_end(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct engine *e = w->data;

	(void)loop;
	(void)revents;
	e->armed_ms = 0;
}

/* Moves the end of the sleep only when something is due earlier: one wake-up for nothing now and then
 * is cheaper than a heap operation per turn. */
static void arm_sleep(struct engine *e)
{
	uint64_t next = wheel_next_ms(e->wheel);

	if (e->max_sleep_ms && next > e->now_ms + e->max_sleep_ms)
		next = e->now_ms + e->max_sleep_ms;
	if (next == UINT64_MAX || (e->armed_ms && e->armed_ms <= next))
		return;
	ev_timer_stop(e->loop, &e->sleep);
	ev_timer_set(&e->sleep, next > e->now_ms ? (double)(next - e->now_ms) / 1e3 : 0., 0.);
	ev_timer_start(e->loop, &e->sleep);
	e->armed_ms = next;
}

uint64_t engine_now_ms(const struct engine *e)
{
	return e->now_ms;
}

uint64_t engine_now_us(const struct engine *e)
{
	return e->now_us;
}

void engine_timer(struct engine *e, struct timer *t, uint64_t after_ms)
{
	timer_set(e->wheel, t, e->now_ms + after_ms);
}

void engine_max_sleep_ms(struct engine *e, unsigned ms)
{
	e->max_sleep_ms = ms;
}

/* The inner set --------------------------------------------------------------------------- */

static void dispatch(uintptr_t ptr, uint32_t ev)
{
	unsigned what = 0;

	work_none();
	if (ev & EPOLLIN)
		what |= ENGINE_READ;
	if (ev & EPOLLOUT)
		what |= ENGINE_WRITE;
	if (ev & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		what |= ENGINE_READ | ENGINE_HUP | (ev & EPOLLERR ? ENGINE_ERR : 0u);
	if (ptr & WATCH_TAG) {
		struct watch_ent *ent = (struct watch_ent *)(ptr & ~WATCH_TAG);

		if (ent->user && ent->mask)
			ent->user->fn(ent->user, what);
	} else {
		struct engine_fd *f = (struct engine_fd *)ptr;

		if (f->fd >= 0)
			f->fn(f, what);
	}
}

static void take_ready(struct engine *e, int n)
{
	for (unsigned round = 1;; round++) {
		for (int i = 0; i < n; i++)
			dispatch((uintptr_t)e->ready[i].data.ptr, e->ready[i].events);
		e->n_ready += n > 0 ? (unsigned)n : 0;
		if (n < BATCH || round == BATCHES)
			return;
		n = epoll_wait(e->inner, e->ready, BATCH, 0);
	}
}

static void on_inner(struct ev_loop *loop, ev_io *w, int revents)
{
	struct engine *e = w->data;

	(void)loop;
	(void)revents;
	take_ready(e, epoll_wait(e->inner, e->ready, BATCH, 0));
}

/* Waiting --------------------------------------------------------------------------------- */

static void wait_in_libev(struct engine *e)
{
	if (!e->more && !e->hot)
		arm_sleep(e);
	ev_run(e->loop, e->more || e->hot ? EVRUN_NOWAIT : EVRUN_ONCE);
	e->libev_us = e->now_us;
	if (e->hot) {                    /* a turn looks at everything */
		take_ready(e, epoll_wait(e->inner, e->ready, BATCH, 0));
		return;
	}
	e->streak = e->n_ready && e->now_us - e->ready_us < HOT_GAP_US ? e->streak + 1 : 0;
	if (e->streak < HOT_STREAK)
		return;
	e->hot = true;
	ev_io_stop(e->loop, &e->inner_io);
}

static void wait_in_inner(struct engine *e)
{
	int n = epoll_wait(e->inner, e->ready, BATCH, e->more ? 0 : HOT_WAIT_MS);

	read_clock(e);
	if (n > 0)
		take_ready(e, n);
	else if (n < 0)
		e->libev_us = 0;         /* a signal; libev has it */
	else if (!e->more) {
		e->hot = false;
		e->streak = 0;
		ev_io_start(e->loop, &e->inner_io);
	}
}

static bool reserve_frees(struct engine *e, unsigned want)
{
	unsigned cap = FL_MAX(e->cap_frees, (unsigned)FREE_MIN);
	struct free_ent *p;

	if (want <= e->cap_frees)
		return true;
	while (cap < want)
		cap *= 2;
	p = env_realloc(e->frees, cap * sizeof(*p));
	if (!p)
		return false;
	e->frees = p;
	e->cap_frees = cap;
	return true;
}

static int add_fd(struct engine *e, struct engine_fd *f, uint32_t events)
{
	struct epoll_event ev = { .events = events | EPOLLET };

	/* Room for its end now, since a free that finds no memory has nowhere to go. */
	if (!reserve_frees(e, e->n_frees + e->n_fds + FREE_MIN / 2))
		return FL_ENOMEM_;
	ev.data.ptr = f;
	if (epoll_ctl(e->inner, EPOLL_CTL_ADD, f->fd, &ev) < 0)
		return -errno;
	e->n_fds++;
	return 0;
}

int engine_add(struct engine *e, struct engine_fd *f)
{
	return add_fd(e, f, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
}

int engine_add_reader(struct engine *e, struct engine_fd *f)
{
	return add_fd(e, f, EPOLLIN);
}

void engine_del(struct engine *e, struct engine_fd *f)
{
	if (f->fd >= 0 && epoll_ctl(e->inner, EPOLL_CTL_DEL, f->fd, NULL) == 0)
		e->n_fds--;
}

void engine_close(struct engine *e, struct engine_fd *f)
{
	if (f->fd < 0)
		return;
	env_close(f->fd);
	f->fd = -1;
	e->n_fds--;
}

/* Watches --------------------------------------------------------------------------------- */

int engine_watch(struct engine *e, struct engine_watch *w, unsigned events)
{
	uint32_t mask = (events & ENGINE_READ ? EPOLLIN : 0u) | (events & ENGINE_WRITE ? EPOLLOUT : 0u) |
			(events & ENGINE_EXCLUSIVE ? EPOLLEXCLUSIVE : 0u);
	struct watch_ent *ent = w->priv;
	struct epoll_event ev = { .events = mask };
	int op;

	if (!ent) {
		ent = env_calloc(1, sizeof(*ent));
		if (!ent)
			return FL_ENOMEM_;
		ent->user = w;
		w->priv = ent;
	}
	if (mask == ent->mask)
		return 0;
	op = !mask ? EPOLL_CTL_DEL : ent->mask ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	ASSERT(op != EPOLL_CTL_MOD || !((mask | ent->mask) & EPOLLEXCLUSIVE));   /* the kernel does not */
	ent->mask = mask;
	ev.data.ptr = (void *)((uintptr_t)ent | WATCH_TAG);
	if (epoll_ctl(e->inner, op, w->fd, &ev) < 0) {
		ent->mask = 0;
		return -errno;
	}
	return 0;
}

static void free_watch(void *obj)
{
	env_free(obj);
}

void engine_unwatch(struct engine *e, struct engine_watch *w)
{
	struct watch_ent *ent = w->priv;

	if (!ent)
		return;
	if (ent->mask)
		(void)epoll_ctl(e->inner, EPOLL_CTL_DEL, w->fd, NULL);
	ent->user = NULL;
	w->priv = NULL;
	engine_free_later(e, ent, free_watch);
}

/* The tick -------------------------------------------------------------------------------- */

static void on_tick(struct engine_watch *w, unsigned events)
{
	struct engine *e = FL_CONTAINER_OF(w, struct engine, tick);
	uint64_t missed;

	(void)events;
	if (env_read(w->fd, &missed, sizeof(missed)) == sizeof(missed) && e->tick_fn)
		e->tick_fn(e->tick_ctx);
}

static struct timespec from_us(uint64_t us)
{
	return (struct timespec){ (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };
}

int engine_tick(struct engine *e, uint64_t interval_us, uint64_t phase_us, void (*fn)(void *ctx), void *ctx)
{
	struct itimerspec its = { 0 };
	int err;

	e->tick_fn = fn;
	e->tick_ctx = ctx;
	if (!fn && e->tick.fd < 0)
		return 0;
	if (e->tick.fd < 0) {
		e->tick.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		if (e->tick.fd < 0)
			return -errno;
		e->tick.fn = on_tick;
		err = engine_watch(e, &e->tick, ENGINE_READ);
		if (err) {
			env_close(e->tick.fd);
			e->tick.fd = -1;
			return err;
		}
	}
	if (fn) {
		uint64_t now = env_now_us();

		its.it_interval = from_us(interval_us);
		its.it_value = from_us((now - phase_us % interval_us) / interval_us * interval_us +
				       phase_us % interval_us + interval_us);
	}
	return timerfd_settime(e->tick.fd, TFD_TIMER_ABSTIME, &its, NULL) < 0 ? -errno : 0;
}

/* Jobs, hooks, frees ----------------------------------------------------------------------- */

void engine_job_init(struct engine_job *j, void (*fn)(struct engine_job *))
{
	list_init(&j->link);
	j->fn = fn;
}

void engine_defer(struct engine *e, struct engine_job *j)
{
	if (list_empty(&j->link))
		list_append(&e->jobs, &j->link);
}

void engine_job_cancel(struct engine_job *j)
{
	list_del(&j->link);
}

void engine_on_flush(struct engine *e, struct engine_hook *h)
{
	list_append(&e->flush_hooks, &h->link);
}

void engine_on_turn(struct engine *e, struct engine_hook *h)
{
	list_append(&e->turn_hooks, &h->link);
}

void engine_free_later(struct engine *e, void *obj, void (*fn)(void *obj))
{
	/* Without memory the object is leaked: freeing it now could free it under a pending event. */
	if (!reserve_frees(e, e->n_frees + 1))
		return;
	e->frees[e->n_frees++] = (struct free_ent){ obj, fn };
}

static void run_hooks(struct list *hooks)
{
	LIST_FOREACH_SAFE(it, tmp, hooks) {
		struct engine_hook *h = LIST_ENTRY(it, struct engine_hook, link);

		h->fn(h);
	}
}

/* Jobs that jobs queue wait for the next turn, so that descriptors get their share. */
static void run_jobs(struct engine *e)
{
	struct list now, *n;

	if (list_empty(&e->jobs))
		return;
	now = e->jobs;
	now.next->prev = now.prev->next = &now;
	list_init(&e->jobs);
	while ((n = list_pop(&now))) {
		struct engine_job *j = LIST_ENTRY(n, struct engine_job, link);

		work_none();
		j->fn(j);
	}
}

static void run_frees(struct engine *e)
{
	/* fn may queue more */
	for (unsigned i = 0; i < e->n_frees; i++) {
		struct free_ent f = e->frees[i];

		f.fn(f.obj);
	}
	e->n_frees = 0;
}

static void end_turn(struct engine *e)
{
	unsigned fired = wheel_advance(e->wheel, e->now_ms, TIMER_BUDGET);
	uint64_t end, took;

	run_jobs(e);
	work_none();
	run_hooks(&e->flush_hooks);
	run_frees(e);
	run_hooks(&e->turn_hooks);
	e->more = fired >= TIMER_BUDGET || !list_empty(&e->jobs);
	end = env_now_us();
	took = end - e->now_us;
	e->turns++;
	e->busy_us += took;
	e->max_turn_us = FL_MAX(e->max_turn_us, took);
}

/* Life ------------------------------------------------------------------------------------ */

struct engine *engine_new(void)
{
	struct engine *e = env_calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->tick.fd = -1;
	list_init(&e->jobs);
	list_init(&e->flush_hooks);
	list_init(&e->turn_hooks);
	read_clock(e);
	e->inner = epoll_create1(EPOLL_CLOEXEC);
	e->wheel = wheel_new(e->now_ms);
	/* Named, so that libev never picks a backend of its own (its io_uring one aborts under load). */
	e->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (e->inner < 0 || !e->wheel || !e->loop || !reserve_frees(e, FREE_MIN)) {
		engine_free(&e);
		return NULL;
	}
	ev_io_init(&e->inner_io, on_inner, e->inner, EV_READ);
	e->inner_io.data = e;
	ev_io_start(e->loop, &e->inner_io);
	ev_check_init(&e->check, on_check);
	ev_set_priority(&e->check, EV_MAXPRI);
	e->check.data = e;
	ev_check_start(e->loop, &e->check);
	ev_timer_init(&e->sleep, on_sleep_end, 0., 0.);
	e->sleep.data = e;
	return e;
}

void engine_free(struct engine **ep)
{
	struct engine *e = *ep;

	if (!e)
		return;
	*ep = NULL;
	if (e->tick.fd >= 0) {
		engine_unwatch(e, &e->tick);
		env_close(e->tick.fd);
	}
	run_frees(e);
	for (unsigned i = 0; i < SIGNALS; i++)
		if (e->signals[i]) {
			ev_signal_stop(e->loop, &e->signals[i]->w);
			env_free(e->signals[i]);
		}
	/* Only our copies are closed: after a fork the sets themselves are the parent's, too. */
	if (e->loop)
		ev_loop_destroy(e->loop);
	if (e->inner >= 0)
		env_close(e->inner);
	wheel_free(&e->wheel);
	env_free(e->frees);
	env_free(e);
}

void engine_run(struct engine *e)
{
	e->stop = false;
	e->more = e->more || !list_empty(&e->jobs);
	read_clock(e);
	while (!e->stop) {
		e->n_ready = 0;
		if (e->hot && e->now_us - e->libev_us < LIBEV_US)
			wait_in_inner(e);
		else
			wait_in_libev(e);
		if (e->n_ready)
			e->ready_us = e->now_us;
		end_turn(e);
	}
}

void engine_stop(struct engine *e)
{
	e->stop = true;
}

/* Signals --------------------------------------------------------------------------------- */

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct signal_ent *s = FL_CONTAINER_OF(w, struct signal_ent, w);

	(void)loop;
	(void)revents;
	s->fn(s->ctx, w->signum);
}

int engine_signal(struct engine *e, int signo, void (*fn)(void *ctx, int signo), void *ctx)
{
	struct signal_ent *s;

	if (signo <= 0 || signo >= SIGNALS)
		return -EINVAL;
	s = e->signals[signo];
	if (!s) {
		s = env_calloc(1, sizeof(*s));
		if (!s)
			return FL_ENOMEM_;
		e->signals[signo] = s;
		ev_signal_init(&s->w, on_signal, signo);
		ev_signal_start(e->loop, &s->w);
	}
	s->fn = fn;
	s->ctx = ctx;
	return 0;
}

void engine_load(struct engine *e, uint64_t *turns, uint64_t *busy_us, uint64_t *max_turn_us)
{
	*turns = e->turns;
	*busy_us = e->busy_us;
	*max_turn_us = e->max_turn_us;
	e->max_turn_us = 0;
}
