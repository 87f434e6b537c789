/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_segs.c - TCP segments of a connection, as the kernel has counted them, at its end
 *
 * One system call for each connection, none for a request. A connection that somebody else goes on with is
 * counted by whoever ends it, all of it. Whose segments they are stands in a table by descriptor: a conn has no
 * room left (ENGINE section 8).
 */
#include "config.h"

#include "net/conn_int.h"

#include <linux/tcp.h>
#include <netinet/in.h>

#include "base/env.h"

#define FDS_MIN 256u

struct owner {
	struct stat_row *row;             /* NULL: the core's row only */
	uint8_t          received, sent;
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

void conn_count_segments(struct conn *c, struct stat_row *row, unsigned received, unsigned sent)
{
	struct owner *o = owner_of(c->ev.fd);

	if (o)
		*o = (struct owner){ row, (uint8_t)received, (uint8_t)sent };
}

void conn_segments(const struct conn *c)
{
	struct owner o = { 0 };
	struct tcp_info ti = { 0 };
	socklen_t n = sizeof(ti);

	if ((unsigned)c->ev.fd < segs.n) {
		o = segs.of[c->ev.fd];
		segs.of[c->ev.fd] = (struct owner){ 0 };
	}
	if (!conn_mod.stat || (c->flags & CF_SHARED) ||
	    env_getsockopt(c->ev.fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0)
		return;
	stat_add(conn_mod.stat, CTR_PROC_SEGS_IN, ti.tcpi_segs_in);
	stat_add(conn_mod.stat, CTR_PROC_SEGS_OUT, ti.tcpi_segs_out);
	stat_add(o.row, o.received, ti.tcpi_segs_in);
	stat_add(o.row, o.sent, ti.tcpi_segs_out);
}

void conn_segments_fini(void)
{
	env_free(segs.of);
	segs.of = NULL;
	segs.n = 0;
}
