/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - the event loop of a process: descriptors, coarse timers, work at the end of a turn
 *
 * Inside: one libev loop (epoll backend only) that watches, as one descriptor, a private
 * edge-triggered epoll set with the data-path descriptors (ENGINE sections 3 and 11). Nobody else
 * names libev or epoll. A turn: wait -> handle the batch -> timers -> deferred work -> flush hooks
 * (writes) -> free what was closed -> heartbeat. Time is read once a turn. One engine per process
 * or thread.
 */
#ifndef FL_NET_ENGINE_H
#define FL_NET_ENGINE_H

#include "base/list.h"
#include "base/wheel.h"

struct engine;

/* Edge-triggered interest in a descriptor, embedded in its owner. Registered once for read and
 * write; events tell what became possible; the owner remembers (sticky bits). */
#define ENGINE_READ  1u
#define ENGINE_WRITE 2u
#define ENGINE_HUP   4u          /* peer closed its side, or error: read on to the end */
#define ENGINE_ERR   8u          /* with HUP: the descriptor has an error to tell */
/* Of a watch, with READ: others wait for the same socket, and one of them is enough. Where it counts, under load, the
 * loop waits for it itself; an idle one is woken besides. */
#define ENGINE_EXCLUSIVE 16u
struct engine_fd {
	int      fd;
	uint32_t tag;                /* the owner's */
	void   (*fn)(struct engine_fd *f, unsigned events);
};
struct engine *engine_new(void);
void engine_free(struct engine **e);
/* Registers; the struct must live until engine_del and, since events of the same batch may be
 * pending, until the end of the turn (engine_free_later). Negated errno. */
int  engine_add(struct engine *e, struct engine_fd *f);
/* The same without interest in writing: datagram sockets would tell of every datagram that left. */
int  engine_add_reader(struct engine *e, struct engine_fd *f);
/* EPOLL_CTL_DEL; the owner closes the descriptor afterwards. Safe to repeat (f->fd is set to -1 by
 * the owner). */
void engine_del(struct engine *e, struct engine_fd *f);
/* The same for a descriptor that the owner closes now and that nobody else has a copy of: closing takes it out
 * of the set, without a system call for that. */
void engine_close(struct engine *e, struct engine_fd *f);
/* Level-triggered interest for listeners, control sockets, pipes, eventfds: as long as it is ready,
 * fn is called once a turn. Events 0 takes it out of the set and keeps the watch. fn may
 * unwatch. */
struct engine_watch {
	int   fd;
	void (*fn)(struct engine_watch *w, unsigned events);
	void *priv;              /* the engine's */
};
/* again to change events */
int  engine_watch(struct engine *e, struct engine_watch *w, unsigned events);
void engine_unwatch(struct engine *e, struct engine_watch *w);

/* Loop time, constant within a turn. */
uint64_t engine_now_ms(const struct engine *e);
uint64_t engine_now_us(const struct engine *e);
/* Coarse timers (10 ms): timer_init, then this; timer_stop to cancel. */
void engine_timer(struct engine *e, struct timer *t, uint64_t after_ms);

/* Work to run once at the end of this turn (before flushing); an entry may be queued once at a
 * time. */
struct engine_job {
	struct list link;        /* list_init before first use */
	void      (*fn)(struct engine_job *j);
};
void engine_job_init(struct engine_job *j, void (*fn)(struct engine_job *));
void engine_defer(struct engine *e, struct engine_job *j);
void engine_job_cancel(struct engine_job *j);
/* Runs at the end of each turn that did something, after deferred work: batch writes. */
struct engine_hook {
	struct list link;
	void      (*fn)(struct engine_hook *h);
};
void engine_on_flush(struct engine *e, struct engine_hook *h);
/* Runs once per loop turn whatever happened (heartbeat). */
void engine_on_turn(struct engine *e, struct engine_hook *h);
/* A precise periodic tick by timerfd on CLOCK_MONOTONIC (consolidation), at the moments that are `phase_us`
 * behind a multiple of the interval: processes that ask for the same one tick together. NULL fn stops it. */
int  engine_tick(struct engine *e, uint64_t interval_us, uint64_t phase_us, void (*fn)(void *ctx), void *ctx);
/* Frees with `fn` at the end of the turn, when no event of the batch can point to it any more. */
void engine_free_later(struct engine *e, void *obj, void (*fn)(void *obj));
/* Longest sleep without events; default unlimited (timers decide). */
void engine_max_sleep_ms(struct engine *e, unsigned ms);
void engine_run(struct engine *e);           /* until engine_stop */
void engine_stop(struct engine *e);
/* Unix signals, delivered in the loop (not in a signal handler). */
int  engine_signal(struct engine *e, int signo, void (*fn)(void *ctx, int signo), void *ctx);
/* Busy time and turns since start, longest turn since last asked: for counters. */
void engine_load(struct engine *e, uint64_t *turns, uint64_t *busy_us, uint64_t *max_turn_us);

#endif
