/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_int.h - the inside of a conn, shared by conn*.c only
 *
 *   conn.c        life: accept, connect, start, close and lingering, facts
 *   conn_read.c   from the kernel (and TLS) to the owner's data()
 *   conn_write.c  from conn_write() to the kernel: turn arena, queue, flush
 *   conn_shake.c  whose TLS handshake is next
 *   conn_pump.c   moving without looking: copy or splice
 *   conn_owed.c   output that is not acknowledged: has the peer's host vanished?
 *   conn_segs.c   what is counted in the row of whose it is
 *
 * A conn's states, by flags:
 *
 *   CONNECTING --TCP up--> (HANDSHAKE --TLS up-->) open --conn_close()--> CLOSING --> freed
 *        \------------------\-----------------------\--error--> DEAD --owner closes--> freed
 *
 * Rules that keep it right: a flag of readiness (R, W) is cleared only by what the kernel said (a
 * short read, EAGAIN); upcalls happen from events, jobs and timers, never inside a call of the
 * owner; after each upcall the conn is looked at again (it may be closed, paused or owned by
 * another).
 */
#ifndef FL_NET_CONN_INT_H
#define FL_NET_CONN_INT_H

#include "base/buf.h"
#include "base/pool.h"
#include "net/conn.h"
#include "net/tls_io.h"
#include "stat/stat.h"

/* Macros and not an enum, whose members are signed: ~CF_R shall be a mask. */
#define CF_R          (1u << 0)  /* the kernel may have input */
#define CF_W          (1u << 1)  /* the kernel may take output */
#define CF_HUP        (1u << 2)  /* the peer's end or an error waits behind the input */
#define CF_PAUSED     (1u << 3)
#define CF_CONNECTING (1u << 4)
#define CF_HANDSHAKE  (1u << 5)
#define CF_EOF        (1u << 6)  /* the peer's end was read */
#define CF_EOF_TOLD   (1u << 7)
#define CF_SHUT       (1u << 8)  /* conn_shutdown(): FIN when the queue is empty */
#define CF_SHUT_DONE  (1u << 9)
#define CF_CLOSING    (1u << 10)  /* owner is gone, output or lingering goes on */
#define CF_DEAD       (1u << 11)  /* nothing more is read or written; error() told or due */
#define CF_ERR_TOLD   (1u << 12)
#define CF_FREED      (1u << 13)  /* memory waits for the end of the turn */
#define CF_SERVER     (1u << 14)  /* accepted */
#define CF_DRAIN      (1u << 15)  /* drained() is owed */
#define CF_RESUME     (1u << 16)  /* data() shall see the kept input again */
#define CF_BIG        (1u << 17)  /* much is coming: the large scratch */
#define CF_READY      (1u << 18)  /* ready() is owed */
#define CF_TELL_DRAIN (1u << 19)  /* drained() goes up from the job */
#define CF_EOF_CLEAN  (1u << 20)  /* TLS: close_notify came; clear: FIN */
#define CF_WFAIL      (1u << 21)  /* output failed: err says why; input is read to its end first */
#define CF_NOTIFIED   (1u << 22)  /* TLS close_notify was written */
#define CF_NO_MORE    (1u << 23)  /* the peer said that it sends no more */
#define CF_SHARED     (1u << 24)  /* somebody else may have the descriptor, too */
#define CF_ADDED      (1u << 25)  /* the engine has it */
#define CF_SENT       (1u << 26)  /* something was sent */
#define CF_NODELAY    (1u << 27)  /* TCP_NODELAY is set (accepted ones inherit it) */
#define CF_PROBED     (1u << 28)  /* keep-alive probes are on */
#define CF_LINE       (1u << 29)  /* job.link is in conn_mod.shake: its handshake waits */
#define CF_LATE       (1u << 30)  /* and has waited since an earlier turn */
#define CF_LAST       (1u << 31)  /* conn_close(): nothing but the end comes behind the queue */

struct conn_ent;                          /* a run of bytes in the turn arena */
struct pump;

struct conn_q {                           /* from first need until the conn ends */
	struct bufq in;                   /* untaken input (plain) */
	struct bufq out;                  /* what the kernel did not take (wire) */
	struct bufq early;                /* TLS: written before the handshake was done (plain) */
};
struct conn {
	struct engine_fd       ev;        /* fd -1: closed; tag: 1 + place in conn_mod.owed, 0: not there */
	const struct conn_ops *ops;
	void                  *owner;
	uint32_t               flags;
	int                    err;
	struct conn_q         *q;         /* NULL: nothing was ever kept */
	struct conn_ent       *ent, *ent_last;
	struct list            flush; /* has output of this turn; CLOSING: list of lingering ones */
	struct engine_job      job;
	struct timer           timer;
	struct tls_io         *tls;       /* NULL: clear */
	struct pump           *src, *sink; /* running pumps that read from, write to this */
	uint32_t               ent_len;   /* bytes in the arena */
	/* Low bits of loop time. CLOSING: when that began; else since when output is owed. */
	uint32_t               since_ms;
	uint64_t               bytes_in, bytes_out, started_us;
	struct addr            peer, local;
};

/* conn_segs.c: the descriptor is about to be closed; it goes elsewhere; the worker ends. */
void conn_segments(const struct conn *c);
void conn_not_counted(const struct conn *c);
void conn_segments_fini(void);
/* A queue or the pipe of a pump has changed. */
void conn_note_waiting(const struct conn *c);
void conn_note_unacked(const struct conn *c, uint32_t segments);
static inline void conn_note(const struct conn *c)   /* where queues change only */
{
	if (FL_UNLIKELY(c->q != NULL))
		conn_note_waiting(c);
}

#define SCRATCH_SMALL (16 * 1024)
#define SCRATCH_LARGE (256 * 1024)
#define SCRATCH_SLACK 64                  /* readable bytes behind a scratch, for wide loads */
#define TLS_RAW       (64 * 1024)
#define TLS_PLAIN     (TLS_RAW + 32 * 1024)
/* Untaken input at which reading stops. More than the largest head that owners accept (64 KiB), so
 * that they see that one is too large instead of waiting for its end. */
#define INPUT_MAX     (80 * 1024)
#define UPSTREAM_DEAD_MS 10000            /* unacknowledged and silent: the host has vanished */
#define READ_BUDGET   (256 * 1024)        /* bytes of one conn in one turn (R19) */
#define LINE_MS       1000                /* a handshake that waits in our line is judged again after this */
#define NAGLE_FREE    500                 /* fits into one segment of any path */

struct conn_mod {                         /* one per process */
	struct engine     *e;
	struct slab        conns, queues, pumps;
	uint8_t           *scratch;       /* SCRATCH_LARGE + slack; small reads use its start */
	uint8_t           *raw, *plain;   /* TLS input */
	struct engine_hook flush_hook;
	struct list        flush;         /* conns with output of this turn */
	struct list        linger;        /* oldest first */
	unsigned           n_linger;
	struct conn      **owed;          /* outgoing, output perhaps not acknowledged */
	unsigned           n_owed, owed_cap;
	unsigned           dead_ms;       /* UPSTREAM_DEAD_MS; less in tests */
	struct timer       sweep;
	struct list        shake;         /* whose handshake waits, first come first */
	struct engine_job  shake_job;
	struct conn       *shaking;       /* whose turn it is */
	unsigned           shake_us;      /* of a turn for handshakes; other in tests */
	struct stat_row   *stat;
};
extern struct conn_mod conn_mod;

static inline size_t conn_in_len(const struct conn *c) { return c->q ? c->q->in.len : 0; }
static inline size_t conn_out_len(const struct conn *c) { return c->q ? c->q->out.len : 0; }

/* conn.c */
struct conn_q *conn_queue(struct conn *c);           /* NULL without memory */
int  conn_err_of(ssize_t r);                         /* a negated errno as error() tells it */
void conn_fail(struct conn *c, int err);             /* error() goes up from the job */
void conn_defer(struct conn *c);                     /* runs conn_job at the end of the turn */
void conn_drop_fd(struct conn *c);    /* unregisters, closes, gives memory back at the turn's end */
void conn_linger_step(struct conn *c);     /* CLOSING: the output or the input got further */
static inline bool conn_up(const struct conn *c)     /* the owner may be called */
{
	return !(c->flags & (CF_CLOSING | CF_DEAD | CF_FREED));
}

/* conn_read.c */
void conn_read(struct conn *c);     /* while R is set, the owner wants and the budget lasts */
void conn_deliver(struct conn *c);                   /* kept input to data() once more */
void conn_tell_error(struct conn *c);
bool conn_wants_input(const struct conn *c);
void conn_input_stuck(struct conn *c);               /* HUP while nobody reads: is it broken? */
void conn_handshake(struct conn *c);                 /* first step of a client's, or goes on */
void conn_handshake_late(struct conn *c);            /* accepted: the deadline passed before */

/* conn_shake.c */
void conn_shake_init(void);
void conn_shake_fini(void);
/* May the handshake of an accepted conn go on now? If not it stands in line, and on_job() comes. */
bool conn_shake_turn(struct conn *c);
void conn_shake_leave(struct conn *c);               /* something else has to be done for it first */

/* conn_write.c */
void conn_write_failed(struct conn *c, ssize_t err);
/* queues bytes as they go out; 0 or FL_ENOMEM_ */
int  conn_wire(struct conn *c, const void *p, size_t n);
void conn_flush_turn(void);                          /* what all wrote in this turn so far */
void conn_flush(struct conn *c);     /* what is queued to the kernel, as far as it takes */
void conn_writable(struct conn *c);                  /* W came: flush, tell drained() */
void conn_flush_early(struct conn *c);               /* TLS: what was written before it was up */
void conn_shutdown_tls(struct conn *c);              /* close_notify, once */
void conn_flush_init(void);
void conn_flush_fini(void);
void conn_forget_output(struct conn *c);

/* conn_owed.c */
void conn_owed_init(void);
void conn_owed_fini(void);
void conn_owed_add(struct conn *c);
void conn_owed_drop(struct conn *c);
static inline void conn_owes(struct conn *c)         /* the kernel took output */
{
	if (!c->ev.tag && !(c->flags & (CF_SERVER | CF_CLOSING)))
		conn_owed_add(c);
}
void conn_nodelay(struct conn *c);
/* Before n bytes go to the kernel: Nagle's algorithm holds back what follows unacknowledged bytes, so a first small
 * write, often the only one, need not pay for switching it off. */
static inline void conn_sends(struct conn *c, size_t n)
{
	if (FL_UNLIKELY(!(c->flags & (CF_SERVER | CF_NODELAY)) && ((c->flags & CF_SENT) || n > NAGLE_FREE)))
		conn_nodelay(c);
	c->flags |= CF_SENT;
}

/* conn_pump.c */
void pump_fini(void);
size_t pump_held(const struct pump *u);              /* bytes in its pipe; NULL: 0 */
/* source side, copy: how many it took */
size_t pump_data(struct conn *c, const uint8_t *p, size_t n);
bool pump_wants(const struct conn *c);               /* source side: reading makes sense now */
void pump_readable(struct conn *c);                  /* splice: moves; copy: not called */
bool pump_splices(const struct conn *c);
void pump_eof(struct conn *c);
void pump_check(struct conn *c);                     /* source side: is it at its end? */
void pump_writable(struct conn *c);                  /* sink side */
bool pump_error(struct conn *c, int err);            /* true: told by done() */
void pump_detach(struct conn *c);                    /* c is being closed */

#endif
