/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master.h - the master's own state; for the files of the master only
 *
 * Single-threaded, on one engine; no step takes longer than 5 ms; reads nothing from the network.
 * It owns every listener and the segment, and keeps:
 *
 *	procs        every process it watches, by pidfd and channel
 *	cur          the generation that serves
 *	next         the generation that loads or starts (a reload); NULL: none
 *	old          generations that drain, newest first
 *	socks        listeners by (address, core), kept over reloads
 *	streams      log files by stream id, append-only
 *
 *	master.c     start, signals, stop          generation.c  gen and worker processes of a generation
 *	reload.c     from HUP to the hand-over     supervise.c   ends, heartbeats, back-off, the board
 *	socks.c      listeners, control socket     streams.c     log files
 *	distribute.c which worker gets a new connection      cpus.c    who runs on which CPU
 *	helpers.c    control and logd              calls.c       what control asks for
 *	state.c      everything as text and descriptors   state_take.c  a master made of them: adoption, upgrade
 *	deaths.c     fingerprints of crashes
 *	sums.c       counters into a segment of another layout
 *	notify.c     sd_notify
 */
#ifndef FL_PROC_MASTER_H
#define FL_PROC_MASTER_H

#include "proc/launch.h"
#include "proc/manifest.h"
#include "proc/msg.h"
#include "proc/starved.h"
#include "proc/tickets.h"
#include "stat/stat.h"

enum proc_role { PROC_GEN, PROC_WORKER, PROC_CONTROL, PROC_LOGD };
struct master;
struct generation;

struct proc {
	struct list         link;            /* master.procs */
	struct master      *m;
	enum proc_role      role;
	pid_t               pid;             /* 0: not known yet */
	struct engine_watch end;             /* pidfd; -1 */
	struct chan         chan;
	uint32_t            slot, core, generation;
	struct generation  *g;     /* gen and workers; NULL: adopted, or its generation is gone */
	uint32_t            state;           /* ST_PROC_* */
	/* asked: FORK sent, no answer yet; kill: SIGKILL is due */
	uint64_t            started_ms, asked_ms, kill_ms;
	bool                expected;        /* its end is our will */
	bool                foreign;         /* its slot is of another segment */
	bool                stopped;         /* accepts no more */
	bool                spins;           /* it was silent, and worked all the while */
	struct starved      starved;         /* while it is silent */
};

struct respawn {
	uint64_t due_ms;                     /* 0: nothing to do */
	unsigned fails;                      /* deaths in a row soon after the start */
};
enum gen_phase { PHASE_LOADING, PHASE_STARTING, PHASE_CURRENT, PHASE_DRAINING };
struct generation {
	struct list      link;               /* master.old */
	struct master   *m;
	uint32_t         num;
	enum gen_phase   phase;
	struct manifest *man;                /* NULL until loaded */
	char            *notes;              /* its warnings, for who asked for it; NULL: none */
	int              image, image_public, man_fd;        /* memfds; -1 */
	struct proc     *gen;                /* NULL: none now */
	bool             gen_ready;          /* loaded, has listeners: takes FORK */
	unsigned         n_workers;
	struct proc    **worker;             /* [cores] */
	struct respawn  *respawn;            /* [cores] */
	uint64_t         started_ms, deadline_ms;
};

struct sock {
	struct addr addr;
	bool        v6only, udp;
	char       *device;                  /* NULL: all */
	/* strangers were in the group before us: which index a socket has is not known */
	bool        shared;
	int        *fd;                      /* [cores]; -1. In the order in which they joined the group */
	unsigned    n_held;                  /* sockets that the workers of a committed generation have */
	struct spread *spread;               /* distribute.c's; NULL: not looked at yet */
	int         rss_socks, rss_data;     /* maps of distribute_rss.c; -1: none */
};
struct stream {
	char *path;
	int   fd;                            /* master's own; -1 */
};
struct waiter {                              /* a call of control that is answered later */
	uint64_t call;
	uint32_t generation;                 /* the one that will have read what the caller means */
	bool     drained;                    /* also wait for the old generations */
};

struct master {
	const struct launch *launch;
	struct engine       *engine;
	struct stat_seg     *seg;
	unsigned             cores;          /* capacity: slots exist for so many */
	unsigned             drain_generations;
	uint32_t             max_objects;
	char                *frozen;         /* what only a restart changes, as text; NULL: not known yet */
	struct list          procs, old;
	struct generation   *cur, *next;
	struct proc         *control, *logd;
	uint32_t             last_generation;
	uint32_t             n_reloads, n_failures;
	struct stat_conf_state conf;

	struct sock   *socks;
	unsigned       n_socks;
	struct distribute *distribute;       /* distribute.c's */
	struct stream *streams;
	unsigned       n_streams;
	int            ctl_fd, adopt_fd, http_fd;
	int            next_http_fd;         /* of the generation that loads or starts; -1 */
	struct addr    http_addr;
	char           ctl_path[108], adopt_path[108];
	int            wake_control, wake_logd;
	int           *mail_fd;              /* [n_mail]: eventfds by worker slot, for the letters of workers */
	unsigned       n_mail;
	int           *box_fd;               /* [2 * n_box]: by core, for connections that workers hand over (box.h) */
	unsigned       n_box;
	struct ids     ids;
	struct tickets tickets;

	bool           reload_pending;
	uint64_t       pending_ms;           /* since when */
	struct waiter  waiters[64];
	unsigned       n_waiters;
	struct map    *kept;                 /* state lines that the current gen has */
	char          *sums;                 /* counters of a segment that was not taken, until a commit; NULL: none */
	bool           sums_first;           /* control shows nothing before they are there */

	struct timer   tick;
	uint64_t       second_ms;            /* when supervise_second() is due */
	uint64_t       tick_ms, last_tick_ms;
	bool           stopping, serving;
	/* a master was here and did not end regularly, nor could be adopted */
	bool           after_crash;
	bool           fast;                 /* the next tick is soon */
	uint64_t       stop_deadline_ms, stop_kill_ms;
	int            exit_code;
	bool           greeted;
	uint64_t       watchdog_us;
	uint64_t       hold_until_ms;        /* control and logd respawn not before */
};

static inline uint64_t master_now_ms(const struct master *m) { return engine_now_ms(m->engine); }

/* master.c */
/* graceful; again: at once. UINT64_MAX: no limit */
void master_stop(struct master *m, uint64_t grace_ms);
void master_die(struct master *m, int code);                 /* ends the loop now */
char *master_read_fd(int fd, size_t *n);     /* whole file, NUL behind it; env_free; NULL: cannot */
int  master_new_segment(struct master *m);     /* m->cores, m->drain_generations, m->max_objects */
int  master_mail_room(struct master *m);     /* room for the eventfds of m->seg's worker slots, -1 each */
int  master_box_room(struct master *m);     /* and for the boxes of its cores */

/* generation.c */
/* image taken; -1: from the source */
struct generation *generation_new(struct master *m, uint32_t num, int image);
int  generation_fork_gen(struct generation *g);
void generation_setup_gen(struct generation *g);     /* listeners, streams, kept state to its gen */
int  generation_fork_worker(struct generation *g, unsigned core);
void generation_worker_ready(struct proc *p);
void generation_free(struct generation *g);                  /* ends what it still has */
/* Drops workers that its gen was asked for and will not fork any more. */
void generation_forget_asked(struct generation *g);
unsigned generation_live(const struct generation *g);        /* workers that run or start */

/* reload.c */
void reload_request(struct master *m, const struct waiter *w);    /* w NULL: a signal */
void reload_start_first(struct master *m, int image);
void reload_loaded(struct generation *g, struct msg_in *in);      /* its gen reports */
void reload_ready(struct generation *g);                          /* a worker of it is ready */
void reload_failed(struct generation *g, const char *why);
void reload_old_ended(struct master *m);     /* an old generation may be gone */
void reload_tick(struct master *m);

/* supervise.c */
struct proc *proc_new(struct master *m, enum proc_role role);
int  proc_watch(struct proc *p, pid_t pid);                  /* opens the pidfd */
int  proc_open_chan(struct proc *p, int fd);
void proc_kill(struct proc *p, int signo);
void proc_free(struct proc *p);
void supervise_tick(struct master *m);
void supervise_board(struct master *m);                      /* who serves which core, who is there */
void supervise_live(struct master *m);                       /* the second half of it, for who is woken anyway */
void supervise_kick(struct master *m);
void supervise_second(struct master *m);

/* socks.c */
int  socks_need(struct master *m, const struct man_listen *l, unsigned n_cores, const char **why);
bool socks_is(const struct sock *s, const struct addr *a, bool udp, const char *device);
struct sock *socks_find(struct master *m, const struct addr *a, bool udp, const char *device);
/* found or new, without descriptors */
struct sock *socks_take(struct master *m, const struct man_listen *l);
void socks_keep(struct master *m);     /* a commit: workers have all that there are */
void socks_unwind(struct master *m);     /* a reload failed: closes what it alone added for more cores */
void socks_shut(struct master *m);     /* no new handshakes where nothing listens from now on */
void socks_sweep(struct master *m);     /* closes what no generation listens on */
int  socks_control(struct master *m, const char *configured);     /* message on stderr; negative */
int  socks_adopt(struct master *m, const char *configured);     /* makes nothing; 1 adopted, 0 nobody is there, negative */
int  socks_http(struct master *m, const struct addr *a);     /* opens what is new, changes nothing */
void socks_http_commit(struct master *m, const struct addr *a);
void socks_http_forget(struct master *m);     /* the reload failed */
void socks_close_control(struct master *m);                  /* removes the files */

/* distribute.c */
void distribute_update(struct master *m);     /* workers came, went or hang; a generation is new */
void distribute_second(struct master *m);     /* are connections spread as they should be? */
void distribute_forget(struct sock *s);     /* before its sockets are closed */
void distribute_closed(struct sock *s, unsigned core);     /* one of them is */
/* Of the listener with that row, if it has buckets: "HASH TUPLE REBALANCE MOVES SPARE KERNEL LARGEST", then for each core
 * "BUCKETS FLOWS", one a line, as numbers (net/rss.h, proc/buckets.h). */
void distribute_tell(struct master *m, uint32_t row, struct sb *out);

/* cpus.c */
void cpus_start(void);     /* before anybody is pinned */
unsigned cpus_workers(const struct manifest *man);     /* as configured, or one for each CPU that is not the control core */
int  cpus_of_worker(const struct manifest *man, unsigned n_workers, unsigned core);     /* -1: not known */
bool cpus_has(int cpu);     /* may we use it? */
void cpus_second(struct master *m);     /* were CPUs taken away or given? */
void cpus_commit(struct master *m);     /* the control core of the new generation */
void cpus_release(void);     /* before exec: the next image looks at what we may use */

/* streams.c */
int  streams_id(struct master *m, const char *path, uint32_t *id);
int  streams_events(struct master *m, const char *path);
void streams_take(struct master *m, uint32_t id, const char *path);     /* as a master before had it */
void streams_send_all(struct master *m);
void streams_reopen(struct master *m);
void streams_sweep(struct master *m);     /* lets go of files that nobody writes to */

/* helpers.c */
int  helper_fork(struct master *m, enum proc_role role);
void helper_send_config(struct master *m);
void helper_tick(struct master *m);

/* deaths.c */
void deaths_take(struct master *m, const struct proc *p);     /* a worker ended: had it last words? */
void deaths_second(struct master *m);
unsigned deaths_forget(struct master *m, uint64_t id, uint32_t uid);     /* 0: all. How many there were */

/* calls.c */
void call_received(struct master *m, struct msg_in *in);
void call_reply(struct master *m, uint64_t call, int rc, const char *text, size_t n);

/* state.c */
void state_sync(struct master *m);     /* tells the current gen what to keep */
void state_forget(struct master *m);     /* the gen is a new one: it has nothing yet */
void state_exec(struct master *m);                           /* USR2; returns only on failure */

/* sums.c */
int  sums_export(struct master *m);     /* a memfd; -1: cannot */
int  sums_pending(struct master *m);     /* likewise, of m->sums; -1 also: there are none */
void sums_import(struct master *m);     /* m->sums, if there are some, when their rows are there */
void sums_wait_no_more(struct master *m);     /* they will not be there soon: control gets what runs */

/* state_take.c */
/* 1 adopted, 0 nothing there, negative (message printed) */
int  state_take(struct master *m, const char *path);
int  state_inherit(struct master *m);     /* 1: this process was made by state_exec */

/* notify.c */
void notify_systemd(const char *text);

#endif
