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

#define FDS_MIN 256u

struct owner {
	struct stat_row            *row;  /* NULL: the core's row only */
	const struct conn_counters *in;
	/* what the row's levels contain of this connection */
	uint64_t                    wait_in, wait_out;
	uint32_t                    unacked;
};

static struct {
	struct owner *of;                 /* [n], by descriptor */
	unsigned      n;
} segs;

/* Without memory the connection's segments are the core's only. */
static struct owner *owner_of(int fd)
{
	unsigned want = FL_MAX(segs.n, FDS_MIN);
	struct owner *p;

	if (fd < 0)
		return NULL;
	while (want <= (unsigned)fd)
		want *= 2;
	if (want == segs.n)
		return &segs.of[fd];
	p = env_realloc(segs.of, want * sizeof(*p));
	if (!p)
		return NULL;
	memset(p + segs.n, 0, (want - segs.n) * sizeof(*p));
	segs.of = p;
	segs.n = want;
	return &segs.of[fd];
}

void conn_count(struct conn *c, struct stat_row *row, const struct conn_counters *in)
{
	struct owner *o = owner_of(c->ev.fd);

	if (o && row)
		*o = (struct owner){ .row = row, .in = in };
}

/* The descriptor's owner, if it has one. */
static struct owner *look_up(const struct conn *c)
{
	struct owner *o = c->ev.fd >= 0 && (unsigned)c->ev.fd < segs.n ? &segs.of[c->ev.fd] : NULL;

	return o && o->row ? o : NULL;
}

static void level(const struct owner *o, unsigned ctr, uint64_t was, uint64_t is)
{
	if (ctr != CONN_NOT_COUNTED && was != is)
		stat_add(o->row, ctr, is - was);
}

void conn_note_waiting(const struct conn *c)
{
	struct owner *o = look_up(c);
	uint64_t in, out;

	if (!o)
		return;
	in = conn_in_len(c) + pump_held(c->src);
	out = conn_out_len(c) + (c->q ? c->q->early.len : 0) + pump_held(c->sink);
	level(o, o->in->wait_in, o->wait_in, in);
	level(o, o->in->wait_out, o->wait_out, out);
	o->wait_in = in;
	o->wait_out = out;
}

void conn_note_unacked(const struct conn *c, uint32_t segments)
{
	struct owner *o = look_up(c);

	if (!o)
		return;
	level(o, o->in->unacked, o->unacked, segments);
	o->unacked = segments;
}

static struct owner take_out(const struct conn *c)
{
	struct owner *at = look_up(c), o;

	if (!at)
		return (struct owner){ 0 };
	o = *at;
	*at = (struct owner){ 0 };
	level(&o, o.in->wait_in, o.wait_in, 0);
	level(&o, o.in->wait_out, o.wait_out, 0);
	level(&o, o.in->unacked, o.unacked, 0);
	return o;
}

void conn_not_counted(const struct conn *c)
{
	(void)take_out(c);
}

void conn_segments(const struct conn *c)
{
	struct owner o = take_out(c);
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);

	if (!conn_mod.stat || (c->flags & CF_SHARED) ||
	    env_getsockopt(c->ev.fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0)
		return;
	stat_add(conn_mod.stat, CTR_PROC_SEGS_IN, ti.tcpi_segs_in);
	stat_add(conn_mod.stat, CTR_PROC_SEGS_OUT, ti.tcpi_segs_out);
	if (!o.row)
		return;
	stat_add(o.row, o.in->segs_in, ti.tcpi_segs_in);
	stat_add(o.row, o.in->segs_out, ti.tcpi_segs_out);
}

void conn_segments_fini(void)
{
	env_free(segs.of);
	segs.of = NULL;
	segs.n = 0;
}
