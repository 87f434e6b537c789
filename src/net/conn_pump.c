/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_pump.c - moving bytes from one conn to another without looking at them
 *
 * Copy: the source's reads go to conn_write() of the sink; above CONN_HIGH_WATER the source is not read.
 * Splice: source -> pipe -> sink, bytes stay in the kernel. A pipe belongs to a pump only while it
 * holds bytes: it comes from a small pool and goes back empty, so idle tunnels hold none.
 *
 * A pump of known length splices from the start when it is long enough. One without an end (tunnels) copies
 * until `splice_min` bytes went by without a gap of GAP_MS, and goes back to copying after such a gap: for
 * short messages one recv and one batched send are cheaper than two splices and a pipe.
 *
 * Splicing on edge-triggered descriptors: EAGAIN of the source is believed only while the pipe is empty (it
 * may mean a pipe without free slots), and neither side is left before one of them said EAGAIN.
 */
#include "config.h"

#include "net/conn_int.h"

#include <fcntl.h>

#include "base/env.h"
#include "base/err.h"

#define PIPE_SIZE   (1024 * 1024)
#define PIPES_KEPT  64
#define PIPES_MAX   512         /* in use and kept; above it pumps copy */
#define GAP_MS      1000
#define TURN_BYTES  (1024 * 1024)

struct pump {
	struct conn_pump *p;
	uint64_t          left;         /* UINT64_MAX: until EOF */
	uint64_t          splice_min;
	uint64_t          run;          /* bytes since the last gap */
	uint64_t          last_ms;
	size_t            in_pipe;
	int               pipe[2];      /* -1: none */
	bool              endless, splice;
};

static struct {
	int      fd[PIPES_KEPT][2];
	unsigned kept, all;
} pipes;

/* Pipes ----------------------------------------------------------------------------------- */

static bool pipe_get(struct pump *u)
{
	if (u->pipe[0] >= 0)
		return true;
	if (pipes.kept) {
		pipes.kept--;
		u->pipe[0] = pipes.fd[pipes.kept][0];
		u->pipe[1] = pipes.fd[pipes.kept][1];
		return true;
	}
	if (pipes.all >= PIPES_MAX || env_pipe(u->pipe, O_NONBLOCK | O_CLOEXEC) < 0) {
		u->pipe[0] = u->pipe[1] = -1;
		return false;
	}
	pipes.all++;
	(void)fcntl(u->pipe[1], F_SETPIPE_SZ, PIPE_SIZE);      /* a smaller one does, too */
	return true;
}

static void pipe_close(int fd[2])
{
	env_close(fd[0]);
	env_close(fd[1]);
	pipes.all--;
}

static void pipe_put(struct pump *u)
{
	if (u->pipe[0] < 0)
		return;
	if (u->in_pipe || pipes.kept == PIPES_KEPT) {
		pipe_close(u->pipe);
	} else {
		pipes.fd[pipes.kept][0] = u->pipe[0];
		pipes.fd[pipes.kept][1] = u->pipe[1];
		pipes.kept++;
	}
	u->pipe[0] = u->pipe[1] = -1;
	u->in_pipe = 0;
}

size_t pump_held(const struct pump *u)
{
	return u ? u->in_pipe : 0;
}

void pump_fini(void)
{
	while (pipes.kept)
		pipe_close(pipes.fd[--pipes.kept]);
	slab_fini(&conn_mod.pumps);
}

/* What a pipe holds goes to the sink's queue, so that nothing is lost when splicing ends early. */
static void pipe_empty(struct pump *u)
{
	struct conn *to = u->p->to;
	char part[4096];

	while (u->in_pipe && conn_up(to)) {
		ssize_t n = env_read(u->pipe[0], part, sizeof(part));

		if (n <= 0 || conn_write(to, part, (size_t)n) < 0)
			break;
		u->in_pipe -= (size_t)n;
	}
}

/* Start and end --------------------------------------------------------------------------- */

static void detach(struct pump *u)
{
	struct conn *from = u->p->from, *to = u->p->to;

	if (u->in_pipe)
		pipe_empty(u);
	pipe_put(u);
	from->src = NULL;
	to->sink = NULL;
	conn_note_waiting(from);
	conn_note_waiting(to);
	u->p->priv = NULL;
	if (conn_up(from)) {
		if (conn_in_len(from))
			from->flags |= CF_RESUME;
		conn_defer(from);
	}
	slab_put(&conn_mod.pumps, u);
}

static void finish(struct pump *u, int err, int side)
{
	struct conn_pump *p = u->p;

	detach(u);
	if (p->done)
		p->done(p, err, side);
}

int conn_pump_start(struct conn_pump *p, uint64_t n, uint64_t splice_min)
{
	struct conn *from = p->from;
	struct pump *u;

	ASSERT(!from->src && !p->to->sink);
	if (!conn_up(from) || !conn_up(p->to))
		return FL_ECLOSED_;
	if (!conn_mod.pumps.size)
		slab_init(&conn_mod.pumps, "pump", sizeof(struct pump), 64, 0);
	u = slab_get(&conn_mod.pumps);
	if (!u)
		return FL_ENOMEM_;
	u->p = p;
	u->left = n;
	u->endless = n == UINT64_MAX;
	u->pipe[0] = u->pipe[1] = -1;
	u->splice_min = from->tls || p->to->tls ? UINT64_MAX : splice_min;
	u->splice = !u->endless && n >= u->splice_min;
	u->last_ms = engine_now_ms(conn_mod.e);
	from->src = p->priv = u;
	p->to->sink = u;
	if (conn_in_len(from))
		from->flags |= CF_RESUME;
	conn_defer(from);
	return 0;
}

void conn_pump_stop(struct conn_pump *p)
{
	if (p->priv)
		detach(p->priv);
}

void pump_detach(struct conn *c)
{
	if (c->src)
		detach(c->src);
	if (c->sink)
		detach(c->sink);
}

bool pump_error(struct conn *c, int err)
{
	bool told = false;

	if (c->src) {
		told = true;
		finish(c->src, err, 0);
	}
	if (c->sink) {
		told = true;
		finish(c->sink, err, 1);
	}
	return told;
}

/* A TLS source ended without close_notify. What came before that goes out, as far as the kernel takes it
 * now; then the owner hears of a cut. */
static bool owes_before_cut(struct pump *u)
{
	struct conn *to = u->p->to;

	conn_flush(to);
	return conn_up(to) && conn_pending(to);
}

/* Done when all is moved, or the source has ended and nothing of it is under way. */
void pump_check(struct conn *c)
{
	struct pump *u = c->src;

	if (u->in_pipe)
		return;
	if (!u->endless && u->left == 0) {
		finish(u, 0, 0);
	} else if ((c->flags & CF_EOF) && conn_in_len(c) == 0) {
		bool cut = u->endless && !(c->flags & CF_EOF_CLEAN);

		if (cut && owes_before_cut(u))
			return;                /* pump_writable() comes back */
		c->flags |= CF_EOF_TOLD;
		finish(u, cut ? FL_ERESET_ : u->endless ? 0 : FL_ECLOSED_, 0);
	}
}

void pump_eof(struct conn *c)
{
	pump_check(c);
}

/* Copy ------------------------------------------------------------------------------------ */

bool pump_splices(const struct conn *c)
{
	return c->src->splice && conn_in_len(c) == 0;
}

bool pump_wants(const struct conn *c)
{
	const struct pump *u = c->src;
	const struct conn *to = u->p->to;

	if (!conn_up(to) || (to->flags & CF_WFAIL))
		return false;
	if (!u->endless && u->left == 0)
		return false;
	if (pump_splices(c))
		return (to->flags & CF_W) || (!u->in_pipe && !conn_pending(to));
	return conn_pending(to) < CONN_HIGH_WATER;
}

/* Books n moved bytes and chooses how to go on. False when the pump ended in progress(). */
static bool moved(struct pump *u, size_t n)
{
	struct conn_pump *p = u->p;
	struct conn *from = p->from;
	uint64_t now = engine_now_ms(conn_mod.e);

	if (now - u->last_ms > GAP_MS)
		u->run = 0;
	u->last_ms = now;
	u->run += n;
	if (u->endless)
		u->splice = u->run >= u->splice_min;
	if (p->progress)
		p->progress(p, n);
	return from->src == u;
}

size_t pump_data(struct conn *c, const uint8_t *p, size_t n)
{
	struct pump *u = c->src;
	struct conn *to = u->p->to;
	size_t take = u->endless ? n : (size_t)FL_MIN((uint64_t)n, u->left);
	int err = take ? conn_write(to, p, take) : 0;

	if (err) {
		/* when the sink itself broke, its own error comes */
		if (conn_up(to) && !(to->flags & CF_WFAIL))
			finish(u, err, 1);
		return take;
	}
	if (!u->endless)
		u->left -= take;
	if (moved(u, take) && !u->endless && u->left == 0)
		finish(u, 0, 0);
	return take;
}

/* Splice ---------------------------------------------------------------------------------- */

/* Source to pipe. False: nothing more can be had now. */
static bool fill(struct pump *u, struct conn *from)
{
	size_t want = u->endless ? PIPE_SIZE : (size_t)FL_MIN((uint64_t)PIPE_SIZE, u->left);
	ssize_t n;

	if (!(from->flags & CF_R) || (from->flags & CF_EOF) || want == 0)
		return false;
	n = env_splice(from->ev.fd, u->pipe[1], want, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n > 0) {
		u->in_pipe += (size_t)n;
		from->bytes_in += (uint64_t)n;
		if (!u->endless)
			u->left -= (uint64_t)n;
		return true;
	}
	if (n == -EAGAIN) {
		from->flags &= ~CF_R;
	} else if (n == 0) {
		from->flags |= CF_EOF | CF_EOF_CLEAN;
		from->flags &= ~CF_R;
	} else {
		from->flags &= ~CF_R;
		conn_fail(from, conn_err_of(n));
	}
	return false;
}

/* Pipe to sink. False: the sink takes no more now, or is broken, or the pump ended. */
static bool drain(struct pump *u, struct conn *to)
{
	while (u->in_pipe) {
		ssize_t n;

		if (!(to->flags & CF_W))
			return false;
		conn_sends(to, u->in_pipe);
		n = env_splice(u->pipe[0], to->ev.fd, u->in_pipe,
			       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n == -EAGAIN) {
			to->flags &= ~CF_W;
			return false;
		}
		if (n <= 0) {
			conn_write_failed(to, n < 0 ? n : -EPIPE);
			return false;
		}
		u->in_pipe -= (size_t)n;
		to->bytes_out += (uint64_t)n;
		conn_owes(to);
		if (!moved(u, (size_t)n))
			return false;
	}
	return true;
}

static void splice_on(struct conn *from)
{
	struct pump *u = from->src;
	struct conn *to = u->p->to;
	size_t budget = TURN_BYTES;

	/* What was written before goes first. */
	if (conn_pending(to) && (to->flags & CF_W))
		conn_flush(to);
	if (conn_pending(to) || !conn_up(to) || (to->flags & CF_WFAIL))
		return;
	if (!pipe_get(u)) {
		u->splice = false;
		u->splice_min = UINT64_MAX;
		conn_defer(from);
		return;
	}
	do {
		size_t held;

		if (!drain(u, to))
			return;            /* the sink's W comes, or it is over */
		if (!u->splice || !fill(u, from))
			break;
		held = u->in_pipe;
		budget -= FL_MIN(budget, held);
	} while (budget);
	if (u->in_pipe && !drain(u, to))
		return;
	pipe_put(u);
	if (!(from->flags & CF_DEAD))
		pump_check(from);
	if (from->src == u && (from->flags & CF_R))
		conn_defer(from);
}

void pump_readable(struct conn *from)
{
	struct conn *to = from->src->p->to;

	splice_on(from);
	conn_note_waiting(from);
	conn_note_waiting(to);
}

void pump_writable(struct conn *to)
{
	struct pump *u = to->sink;
	struct conn *from = u->p->from;

	if (!conn_up(from))
		return;
	if (u->in_pipe) {
		pump_readable(from);
		return;
	}
	if (conn_pending(to) >= CONN_HIGH_WATER / 2)
		return;
	if (conn_in_len(from))
		conn_deliver(from);
	if (conn_up(from) && from->src == u) {
		conn_read(from);
		if (conn_up(from) && from->src == u)
			pump_check(from);
	}
}
