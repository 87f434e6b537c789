/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_segs.c - what of a connection is counted in the row of whose it is: TCP segments at its end, as the kernel has
 * counted them, and what waits while it lives
 *
 * Segments cost one system call for each connection, none for a request. A connection that somebody else goes on with
 * is counted by whoever ends it, all of it. What waits is looked at where a queue or a pipe has changed, which a
 * connection that is never too fast for its peer does not have. Whose it all is stands in a table by descriptor: a
 * conn has no room left (ENGINE section 8).
 */
#include "config.h"

#include "net/conn_int.h"

#include <linux/tcp.h>
#include <netinet/in.h>

#include "base/env.h"

#define CHUNK     512u            /* descriptors */
#define KINDS_MAX 8u              /* sets of counters; their number stands in the low bits of a row's address */

/* Of what waits: what the row's levels contain of this connection. */
struct waits {
	uint32_t in, out, unacked;
};

/* By descriptor, in pieces, so that what grows is neither copied nor larger than what is open. */
struct chunk {
	uintptr_t     row[CHUNK];         /* with the kind in it; 0: nobody's but the core's */
	struct waits *waits;              /* [CHUNK], when something of these waited; NULL: nothing ever */
};
static struct {
	struct chunk **at;                /* [n] */
	unsigned       n;
} segs;
static const struct conn_counters *kinds[KINDS_MAX];

struct owner {
	struct stat_row            *row;  /* NULL: the core's row only */
	const struct conn_counters *in;
	struct chunk               *chunk;
	unsigned                    i;
};

static uintptr_t kind_of(const struct conn_counters *in)
{
	for (uintptr_t k = 0; k < KINDS_MAX; k++) {
		if (!kinds[k])
			kinds[k] = in;
		if (kinds[k] == in)
			return k;
	}
	return KINDS_MAX;
}

/* Without memory the connection's segments are the core's only. */
static struct chunk *chunk_for(int fd)
{
	unsigned i = (unsigned)fd / CHUNK, n = segs.n;
	struct chunk **at;

	if (fd < 0)
		return NULL;
	if (i >= n) {
		n = i + 1;
		at = env_realloc(segs.at, n * sizeof(struct chunk *));
		if (!at)
			return NULL;
		memset(at + segs.n, 0, (n - segs.n) * sizeof(struct chunk *));
		segs.at = at;
		segs.n = n;
	}
	if (!segs.at[i])
		segs.at[i] = env_calloc(1, sizeof(struct chunk));
	return segs.at[i];
}

void conn_count(struct conn *c, struct stat_row *row, const struct conn_counters *in)
{
	uintptr_t kind = kind_of(in);
	struct chunk *k = row ? chunk_for(c->ev.fd) : NULL;

	ASSERT(kind < KINDS_MAX && ((uintptr_t)row & (KINDS_MAX - 1)) == 0);
	if (k)
		k->row[(unsigned)c->ev.fd % CHUNK] = (uintptr_t)row | kind;
}

/* False: the descriptor has none. */
static bool look_up(const struct conn *c, struct owner *o)
{
	unsigned at = (unsigned)c->ev.fd / CHUNK;
	uintptr_t row;

	if (c->ev.fd < 0 || at >= segs.n || !segs.at[at])
		return false;
	o->chunk = segs.at[at];
	o->i = (unsigned)c->ev.fd % CHUNK;
	row = o->chunk->row[o->i];
	o->row = (struct stat_row *)(row & ~(uintptr_t)(KINDS_MAX - 1));
	o->in = kinds[row & (KINDS_MAX - 1)];
	return row != 0;
}

static void level(const struct owner *o, unsigned ctr, uint32_t *was, uint64_t is)
{
	uint32_t now = (uint32_t)FL_MIN(is, (uint64_t)UINT32_MAX);

	if (*was == now)
		return;
	if (ctr != CONN_NOT_COUNTED)
		stat_add(o->row, ctr, (uint64_t)now - *was);
	*was = now;
}

/* Without memory it is not told that they wait. */
static struct waits *waits_of(const struct owner *o, bool any)
{
	if (!o->chunk->waits && any)
		o->chunk->waits = env_calloc(CHUNK, sizeof(struct waits));
	return o->chunk->waits ? &o->chunk->waits[o->i] : NULL;
}

void conn_note_waiting(const struct conn *c)
{
	uint64_t in, out;
	struct waits *w;
	struct owner o;

	if (!look_up(c, &o))
		return;
	in = conn_in_len(c) + pump_held(c->src);
	out = conn_out_len(c) + (c->q ? c->q->early.len : 0) + pump_held(c->sink);
	w = waits_of(&o, (in | out) != 0);
	if (!w)
		return;
	level(&o, o.in->wait_in, &w->in, in);
	level(&o, o.in->wait_out, &w->out, out);
}

void conn_note_unacked(const struct conn *c, uint32_t segments)
{
	struct waits *w;
	struct owner o;

	if (look_up(c, &o) && (w = waits_of(&o, segments != 0)) != NULL)
		level(&o, o.in->unacked, &w->unacked, segments);
}

static bool take_out(const struct conn *c, struct owner *o)
{
	struct waits *w;

	if (!look_up(c, o))
		return false;
	w = waits_of(o, false);
	if (w) {
		level(o, o->in->wait_in, &w->in, 0);
		level(o, o->in->wait_out, &w->out, 0);
		level(o, o->in->unacked, &w->unacked, 0);
	}
	o->chunk->row[o->i] = 0;
	return true;
}

void conn_not_counted(const struct conn *c)
{
	struct owner o;

	(void)take_out(c, &o);
}

void conn_segments(const struct conn *c)
{
	struct owner o = { 0 };
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);
	bool owned = take_out(c, &o);

	if (!conn_mod.stat || env_getsockopt(c->ev.fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0)
		return;
	stat_add(conn_mod.stat, CTR_PROC_SEGS_IN, ti.tcpi_segs_in);
	stat_add(conn_mod.stat, CTR_PROC_SEGS_OUT, ti.tcpi_segs_out);
	if (!owned)
		return;
	stat_add(o.row, o.in->segs_in, ti.tcpi_segs_in);
	stat_add(o.row, o.in->segs_out, ti.tcpi_segs_out);
}

void conn_segments_fini(void)
{
	for (unsigned i = 0; i < segs.n; i++) {
		if (segs.at[i])
			env_free(segs.at[i]->waits);
		env_free(segs.at[i]);
	}
	env_free(segs.at);
	segs.at = NULL;
	segs.n = 0;
}
