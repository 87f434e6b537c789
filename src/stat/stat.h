/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat.h - counters, health, admin state and DNS answers in the shared segment, as their users see
 * them
 *
 * Layout and rules: stat/segment.h. In short: every process writes its own slot only and reads all
 * others; a row id means the same object in every slot; the consolidator folds slots into totals.
 * SUM counters of a slot are never reset: the next owner of a slot goes on from the values it
 * finds, so nothing has to be moved when a worker dies and totals never go backward. LEVEL counters
 * count only while their slot is live (ROBUSTNESS R2, R4).
 *
 * Nobody waits on anything here. All readers are bounded.
 */
#ifndef FL_STAT_STAT_H
#define FL_STAT_STAT_H

#include "base/addr.h"
#include "tbl/tbl.h"

#define STAT_NAME_MAX   200          /* full object name, bytes with NUL */
#define STAT_NO_ROW     UINT32_MAX
#define STAT_MAX_CORES  1024
#define STAT_NO_SLOT    UINT32_MAX

struct stat_seg;                     /* this process's view of the segment */

/* ---------- making and attaching (proc) ---------- */
struct stat_params {
	uint32_t max_objects, cores, drain_generations;
};
/* Who a slot is for. Worker slots: core * (1 + drain_generations) + k; after them control, logd,
 * master. */
enum stat_role { STAT_MASTER, STAT_WORKER, STAT_CONTROL, STAT_LOGD, STAT_READER };
/* Master: makes all memfds (sealed against resizing), claims its own slot. NULL and *err on
 * failure. A child forked from it (gen) may read everything and hand the segment on to its own
 * children, but write nothing: the read-write maps do not survive fork, and what writes to its own
 * slot does nothing there. */
struct stat_seg *stat_create(const struct stat_params *p, int *err);
/* A new master takes over the descriptors of an old one (n = stat_fd_count() there); checks seals,
 * magic, layout id, sizes and that all are of one segment: FL_ELAYOUT_ else. On success they are
 * the segment's, on failure the caller's. */
struct stat_seg *stat_adopt(const int *fds, unsigned n, int *err);
unsigned stat_fd_count(const struct stat_seg *s);
/* The descriptors, read-write, in the order that stat_adopt wants. Borrowed. */
const int *stat_fds(const struct stat_seg *s);
/* After fork: maps what the role may write read-write, everything else read-only, closes the
 * descriptors, and (worker, control, logd) claims `slot`. STAT_READER: claims none. Negative on
 * failure; the process should then exit. The slot's LEVELs count from when the master has set this
 * process's pid
 * (stat_proc_set) and the claim is done, whichever is later. */
int  stat_become(struct stat_seg *s, enum stat_role role, uint32_t slot, uint32_t core,
		 uint32_t generation);
/* An outsider (fairleadctl --shm): maps everything read-only from descriptors in stat_fds() order,
 * which may be read-only ones (/proc/PID/fd; the names are fairlead-dir, fairlead-totals,
 * fairlead-slot-K); takes them. */
struct stat_seg *stat_open(const int *fds, unsigned n, int *err);
/* Unmaps and frees everything, closes the descriptors. NULL is fine. */
void stat_free(struct stat_seg *s);
uint32_t stat_n_slots(const struct stat_seg *s);
uint32_t stat_worker_slots(const struct stat_seg *s);
uint32_t stat_slot_of(const struct stat_seg *s, enum stat_role role);    /* control, logd, master */
uint32_t stat_cores(const struct stat_seg *s);
uint32_t stat_own_slot(const struct stat_seg *s);
uint64_t stat_layout_id(void);
void     stat_dump_layout(struct sb *out);            /* fairlead -x layout */

/* ---------- objects (names -> rows); written by the master ---------- */
/* Gives the row of (kind, name): the old one when it was known before, else a new one. FL_ELIMIT_
 * when full. */
int  stat_obj_assign(struct stat_seg *s, enum tbl_kind kind, struct str name, uint32_t generation,
		     uint32_t *row);
/* Marks which objects generation `gen` uses: call begin, assign all, commit. Rows that no live
 * generation uses keep their figures until they are needed for others (least recently used
 * first). */
void stat_obj_commit(struct stat_seg *s, uint32_t generation, uint32_t oldest_live_generation);
/* The newest generation that was committed: any older one is retired, or will be told so in a moment. */
uint32_t stat_newest_generation(const struct stat_seg *s);
/* Any process. STAT_NO_ROW when unknown. */
uint32_t stat_obj_find(const struct stat_seg *s, enum tbl_kind kind, struct str name);
/* Row -> kind and name; false when the row is free. `current`: used by the newest committed
 * generation. */
bool stat_obj_get(const struct stat_seg *s, uint32_t row, enum tbl_kind *kind, struct str *name,
		  bool *current);
uint32_t stat_obj_max(const struct stat_seg *s);      /* highest used row + 1 */

/* ---------- counting (worker, control) ---------- */
#define STAT_LEVEL_MAX 10            /* LEVEL counters of one kind */
struct stat_row {
	/* what this process has counted, on top of what its slot held */
	uint64_t         v[TBL_CTR_MAX];
	uint64_t         flushed[TBL_CTR_MAX]; /* values last written to the slot */
	uint64_t         touched;            /* bit c: v[c] may differ from that */
	uint32_t         id;
	uint8_t          kind;
	bool             dirty;
	bool             fresh;              /* the slot holds nothing of this object yet */
	struct stat_row *next_dirty;
	struct stat_seg *seg;
	uint64_t         tag;                /* of the object, see segment.h */
	uint64_t         pos;                /* dirty ring position of the last flush */
	/* LEVELs as of the last flush known to be folded */
	uint64_t         level_in[STAT_LEVEL_MAX];
};
/* The process's accumulator of a row, good for the life of the process (made on first use). NULL:
 * no memory, STAT_NO_ROW, the row is not of this kind, or the process owns no slot. One thread of a
 * process counts. */
struct stat_row *stat_row_get(struct stat_seg *s, enum tbl_kind kind, uint32_t row);
void stat_row_mark(struct stat_row *r);
static inline void stat_touch(struct stat_row *r, unsigned ctr)
{
	r->touched |= UINT64_C(1) << ctr;
	if (FL_UNLIKELY(!r->dirty))
		stat_row_mark(r);
}
/* r may be NULL (object without a row: tools, tests): nothing is counted. */
static inline void stat_add(struct stat_row *r, unsigned ctr, uint64_t n)
{
	if (FL_LIKELY(r != NULL)) {
		r->v[ctr] += n;
		stat_touch(r, ctr);
	}
}
static inline void stat_inc(struct stat_row *r, unsigned ctr) { stat_add(r, ctr, 1); }
/* LEVEL */
static inline void stat_dec(struct stat_row *r, unsigned ctr) { stat_add(r, ctr, (uint64_t)-1); }
static inline void stat_set(struct stat_row *r, unsigned ctr, uint64_t v)
{
	if (r && v != r->v[ctr]) {
		r->v[ctr] = v;
		stat_touch(r, ctr);
	}
}
static inline void stat_max(struct stat_row *r, unsigned ctr, uint64_t v)
{
	if (r && v > r->v[ctr]) {
		r->v[ctr] = v;
		stat_touch(r, ctr);
	}
}
/* MIN: 0 means that there was none. */
static inline void stat_min(struct stat_row *r, unsigned ctr, uint64_t v)
{
	if (r && (!r->v[ctr] || v < r->v[ctr]))
		stat_set(r, ctr, v ? v : 1);
}
/* OWNER: what the owner has measured, which may be 0. */
static inline void stat_own(struct stat_row *r, unsigned ctr, uint64_t v) { stat_set(r, ctr, v + 1); }
/* A moving average in which a value counts an eighth of what the ones before it do together; MEDIAN. */
static inline void stat_average(struct stat_row *r, unsigned ctr, uint64_t v)
{
	if (r)
		stat_set(r, ctr, r->v[ctr] ? r->v[ctr] - r->v[ctr] / 8 + v / 8 : v ? v : 1);
}
/* The same of an OWNER. */
static inline void stat_own_average(struct stat_row *r, unsigned ctr, uint64_t v)
{
	uint64_t was = r && r->v[ctr] ? r->v[ctr] - 1 : 0;

	stat_own(r, ctr, was ? was - was / 8 + v / 8 : v ? v : 1);
}
/* Writes dirty rows into the slot and publishes; true when anything was dirty. The worker calls it
 * once per consolidation interval; cheap when nothing is dirty. */
bool stat_flush(struct stat_seg *s, uint64_t now_ms);
bool stat_is_dirty(const struct stat_seg *s);
/* What was flushed should be folded before its time; whoever says so also wakes the consolidator. */
void stat_flush_early(struct stat_seg *s);

/* ---------- reading figures (any process) ---------- */
/* The appliance's figure as last consolidated; 0 when the row is empty. */
uint64_t stat_total(const struct stat_seg *s, uint32_t row, unsigned ctr);
/* All of a row at once, consistent (two-slot latch); FL_ETORN_ after bounded retries: out
 * then keeps what it held, so a caller that reads in a loop goes on with its last good copy. */
int  stat_total_row(const struct stat_seg *s, uint32_t row, uint64_t out[TBL_CTR_MAX]);
/* What decisions use: others' figure (total less what it contains of mine) plus my own exact one
 * now. Mine stays exact also while the consolidator stands still; LEVELs never fall below 0. */
uint64_t stat_now(const struct stat_seg *s, const struct stat_row *r, unsigned ctr);
/* One slot's own figure (per core displays). */
uint64_t stat_slot_value(const struct stat_seg *s, uint32_t slot, uint32_t row, unsigned ctr);
/* Cycle number last folded and when (monotonic ms); for status. */
void stat_cycle(const struct stat_seg *s, uint64_t *cycle, uint64_t *at_ms);
struct stat_cycles {
	uint64_t cycle, at_ms;
	uint64_t missed;              /* moments of the clock at which no fold began, as the one before was late */
	uint64_t early;               /* folds before their time */
	uint64_t fold_us, fold_max_us;        /* what the last one and the longest took */
};
void stat_cycles(const struct stat_seg *s, struct stat_cycles *out);

/* ---------- consolidator (control's thread) ---------- */
/* One fold: takes the dirty rings of all slots, folds changed rows by their fold kind, publishes.
 * Also notices slots that came or went: what only that changes is folded a part in each cycle, so that no
 * cycle is late for it. Returns the rows that changed, those of which a window moved on apart. Single caller,
 * the process attached as STAT_CONTROL. */
unsigned stat_consolidate(struct stat_seg *s, uint64_t now_ms);
/* Until when (monotonic ms) a fold is needed though nothing is counted: rates fall, or something is left over.
 * UINT64_MAX: never. */
uint64_t stat_consolidate_due_ms(const struct stat_seg *s);
/* Has anybody asked for a fold before its time since this was asked last? */
bool stat_early_wanted(struct stat_seg *s);
/* For status: `missed` cycles of the clock, one that came before its time. */
void stat_cycles_missed(struct stat_seg *s, uint64_t missed);

/* ---------- process slots ---------- */
struct stat_proc {                    /* one consistent-enough copy of a slot's head */
	uint32_t slot, core, generation, pid, state;      /* ST_PROC_* */
	enum stat_role role;
	uint64_t heartbeat_ms, started_ms;                /* monotonic */
	uint64_t promise_ms;                              /* no beat is due before; 0: as usual */
	uint64_t seen_cycle, seen_at_ms;                  /* of the totals that it decides on; workers */
	uint64_t log_dropped;
	uint32_t restarts;                                /* of this core's worker since start */
};
/* False for a slot that nobody ever had. heartbeat_ms is 0 until the process has claimed the
 * slot. */
bool stat_proc_get(const struct stat_seg *s, uint32_t slot, struct stat_proc *out);
/* Owner, once per loop turn; a worker also says which cycle of the totals it has now. */
void stat_heartbeat(struct stat_seg *s, uint64_t now_ms);
/* Owner: there is nothing to do, and the next beat comes at `at_ms`, later than usual; 0: that was before. */
void stat_promise(struct stat_seg *s, uint64_t at_ms);
/* Master only: state and pid of a slot as the master knows them. pid: the process's own getpid(),
 * as its LEVELs and heartbeat count by it (0 until known). Going to STARTING is a restart when the
 * core already had a worker of this generation (control, logd: when there was one before). */
void stat_proc_set(struct stat_seg *s, uint32_t slot, uint32_t state, uint32_t pid, uint32_t core,
		   uint32_t generation);

/* ---------- words that the master writes for all ---------- */
/* Which core's worker serves the listeners of `core`: core itself normally, another while its
 * worker is dead, hung or backing off. Workers look when stat_board_epoch changed. */
uint32_t stat_serving_core(const struct stat_seg *s, uint32_t core);
void     stat_set_serving_core(struct stat_seg *s, uint32_t core, uint32_t by);
/* The slot of a core's worker that may own things (owner.h): it runs and is of the newest generation.
 * STAT_NO_SLOT while there is none. */
uint32_t stat_live_slot(const struct stat_seg *s, uint32_t core);
void     stat_set_live_slot(struct stat_seg *s, uint32_t core, uint32_t slot);
/* How the connections of a listener find their worker; row of the listener. Says nothing to workers, so
 * the board epoch does not change. */
struct stat_steer {
	uint32_t state;               /* ST_STEER_* */
	uint32_t a, b;                /* what the state is about, at most 65535; see stat_steer_text() */
};
void stat_steer_set(struct stat_seg *s, uint32_t row, const struct stat_steer *v);      /* master */
void stat_steer_get(const struct stat_seg *s, uint32_t row, struct stat_steer *out);
/* "cpu", "kernel (queues 1 < workers 4)", "kernel (guard: core 0 took 93 %)" */
void stat_steer_text(const struct stat_steer *v, struct sb *out);
/* Changes whenever serving cores, live slots or admin states change. */
uint64_t stat_board_epoch(const struct stat_seg *s);

struct stat_admin {                   /* an operator's word about a service; row of the service */
	uint32_t state;               /* ST_ADMIN_* */
	uint32_t uid;
	uint64_t since_us;            /* wall; 0: nobody ever said anything */
	char     reason[120];
};
void stat_admin_set(struct stat_seg *s, uint32_t row, const struct stat_admin *a);      /* master */
bool stat_admin_get(const struct stat_seg *s, uint32_t row, struct stat_admin *out);

/* The state of the configuration, for status (master writes; latched). */
struct stat_conf_state {
	uint32_t generation;                      /* newest committed */
	uint32_t reloads, reload_failures;
	uint64_t loaded_us, last_reload_us;       /* wall */
	uint32_t last_ok;                         /* 1: last reload was good */
	char     file[256];
	char     last_error[512];     /* first error and count of the last failed reload */
};
void stat_conf_set(struct stat_seg *s, const struct stat_conf_state *c);
bool stat_conf_get(const struct stat_seg *s, struct stat_conf_state *out);
uint64_t stat_started_us(const struct stat_seg *s);       /* wall time of the appliance's start */

/* ---------- health and DNS: each row's owner writes them into its own slot (owner.h) ---------- */
#define STAT_MON_MAX 6
struct stat_health {
	uint32_t state;                           /* ST_HEALTH_* */
	uint32_t n_mon;
	uint64_t since_us;                        /* wall: last change of state */
	char     reason[96];                      /* "HTTP 503 (expected 200-399) after 12 ms" */
	struct stat_mon {
		char     name[40];                /* monitor's name */
		uint32_t state, check;            /* ST_HEALTH_*, ST_CHECK_* */
		uint32_t latency_us, http_status;
		uint32_t passed, failed;          /* in a row */
		uint64_t probes, failures, last_us;  /* wall */
		uint16_t history;                 /* last 16 results, bit 0 newest, 1 = passed */
		char     text[80];
	} mon[STAT_MON_MAX];
};
#define STAT_DNS_MAX 16
struct stat_dns {
	/* 0 = good; else c-ares status; addresses then are the last good ones */
	uint32_t  n, status;
	uint64_t  resolved_us, expires_us;        /* wall */
	struct ip addr[STAT_DNS_MAX];
	char      text[80];
};
/* False, and nothing written: the row is not this process's (any more). */
bool stat_health_set(struct stat_seg *s, uint32_t row, const struct stat_health *h);
/* What the owner says, or the last one said; false: nobody ever did. Workers read by the owners that they knew at
 * their last stat_health_epoch(). */
bool stat_health_get(const struct stat_seg *s, uint32_t row, struct stat_health *out);
/* The state alone, cheap enough for a refresh loop over all services. */
uint32_t stat_health_state(const struct stat_seg *s, uint32_t row);
bool stat_dns_set(struct stat_seg *s, uint32_t row, const struct stat_dns *d);
bool stat_dns_get(const struct stat_seg *s, uint32_t row, struct stat_dns *out);
/* Changes whenever health or DNS answers change (or owners do): the signal to refresh caches. A load for each live
 * core; a worker need not ask before a letter says so (mail.h), or some time has passed. */
uint64_t stat_health_epoch(struct stat_seg *s);

/* ---------- log rings: this process -> logd ---------- */
/* Queues one line for logd; `stream` 0 = events, else an access log number of the generation. Never
 * waits; false and counted when the ring is full. n <= 8192. */
bool stat_log_put(struct stat_seg *s, uint32_t stream, uint32_t level, uint32_t ev,
		  uint64_t wall_us, const char *p, size_t n);
struct stat_log_rec {
	uint32_t slot, stream, level, ev, generation;
	uint64_t wall_us;
	struct str line;                          /* valid until the next call */
};
/* logd: next line of a slot's ring; false when empty. Skips what is damaged and counts it. The
 * line's room is given back by the next call for the same slot: a logd killed in between reads it
 * again. */
bool stat_log_next(struct stat_seg *s, uint32_t slot, struct stat_log_rec *out);
/* logd collects lines before it writes them: after stat_log_batch() the room of what was read is given back
 * only by stat_log_written(), so that a reader killed in between reads lines again rather than losing them. */
void stat_log_batch(struct stat_seg *s);
void stat_log_written(struct stat_seg *s);
/* logd: wakes up by itself every few ms while there is work; this tells whether any ring has
 * lines. */
bool stat_log_pending(const struct stat_seg *s);
uint64_t stat_log_torn(const struct stat_seg *s);     /* damaged records and rings, since start */

#endif
