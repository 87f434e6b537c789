/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_owed.c - outgoing conns whose output the peer has not acknowledged: has its host vanished?
 *
 * TCP_USER_TIMEOUT would tell, but it also ends a connection whose peer is well and merely reads slowly: it
 * counts a closed window as silence. So what is sent puts the conn on a list, and a sweep asks the
 * kernel: all acknowledged: off the list; retransmissions or window probes and no acknowledgement of any kind
 * for UPSTREAM_DEAD_MS: FL_ETIMEOUT_. A peer with a closed window answers the probes and lives.
 *
 * Connections that owe nothing are the keep-alive's business. An idle one is on no list. The sweep also switches
 * keep-alive on, for those that have lived until it came by: four system calls that short connections need not pay.
 */
#include "config.h"

#include "net/conn_int.h"

#include <linux/tcp.h>
#include <netinet/in.h>

#include "base/env.h"
#include "base/err.h"

#define SWEEPS        5          /* in UPSTREAM_DEAD_MS */
#define UNANSWERED    2          /* one lost packet is no silence */

static void on_sweep(struct timer *t);

void conn_owed_init(void)
{
	conn_mod.dead_ms = UPSTREAM_DEAD_MS;
	timer_init(&conn_mod.sweep, on_sweep);
}

void conn_owed_fini(void)
{
	timer_stop(&conn_mod.sweep);
	env_free(conn_mod.owed);
	conn_mod.owed = NULL;
	conn_mod.n_owed = conn_mod.owed_cap = 0;
}

/* Without memory for the list the owner's deadline has to do. */
void conn_owed_add(struct conn *c)
{
	struct conn_mod *m = &conn_mod;

	if (m->n_owed == m->owed_cap) {
		unsigned cap = m->owed_cap ? m->owed_cap * 2 : 64;
		struct conn **more = env_realloc(m->owed, cap * sizeof(*more));

		if (!more)
			return;
		m->owed = more;
		m->owed_cap = cap;
	}
	m->owed[m->n_owed++] = c;
	c->ev.tag = m->n_owed;
	c->since_ms = (uint32_t)engine_now_ms(m->e);
	if (m->n_owed == 1)
		engine_timer(m->e, &m->sweep, FL_MAX(m->dead_ms / SWEEPS, 1u));
}

void conn_owed_drop(struct conn *c)
{
	struct conn_mod *m = &conn_mod;
	struct conn *last;

	if (!c->ev.tag)
		return;
	last = m->owed[--m->n_owed];
	m->owed[c->ev.tag - 1] = last;
	last->ev.tag = c->ev.tag;
	c->ev.tag = 0;
	conn_note_unacked(c, 0);
}

/* What it takes to notice within about ten seconds that the host of a silent peer has vanished. */
static void set_probes(struct conn *c)
{
	c->flags |= CF_PROBED;
	env_setsockopt_int(c->ev.fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	env_setsockopt_int(c->ev.fd, IPPROTO_TCP, TCP_KEEPIDLE, 4);
	env_setsockopt_int(c->ev.fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
	env_setsockopt_int(c->ev.fd, IPPROTO_TCP, TCP_KEEPCNT, 2);
}

/* Sent and not acknowledged, and what the kernel still has to send. */
static uint32_t segments_owed(const struct tcp_info *i)
{
	uint32_t mss = FL_MAX(i->tcpi_snd_mss, 1u);

	return i->tcpi_unacked + i->tcpi_notsent_bytes / mss + (i->tcpi_notsent_bytes % mss != 0);
}

/* since_ms guards a conn that was idle for long: its last acknowledgement is older than what it owes. */
static void look(struct conn *c)
{
	struct tcp_info i = { 0 };
	socklen_t n = sizeof(i);

	if (conn_up(c) && !(c->flags & CF_PROBED))
		set_probes(c);
	if (!conn_up(c) || env_getsockopt(c->ev.fd, IPPROTO_TCP, TCP_INFO, &i, &n) < 0 ||
	    (i.tcpi_unacked == 0 && i.tcpi_probes == 0 && (c->flags & CF_W))) {
		conn_owed_drop(c);
		return;
	}
	conn_note_unacked(c, segments_owed(&i));
	if ((i.tcpi_retransmits >= UNANSWERED || i.tcpi_probes >= UNANSWERED) &&
	    i.tcpi_last_ack_recv >= conn_mod.dead_ms &&
	    (uint32_t)engine_now_ms(conn_mod.e) - c->since_ms >= conn_mod.dead_ms) {
		conn_owed_drop(c);
		conn_fail(c, FL_ETIMEOUT_);
	}
}

static void on_sweep(struct timer *t)
{
	struct conn_mod *m = &conn_mod;

	/* downwards: a dropped one's place is taken by the last */
	for (unsigned i = m->n_owed; i > 0; i--)
		look(m->owed[i - 1]);
	if (m->n_owed)
		engine_timer(m->e, t, FL_MAX(m->dead_ms / SWEEPS, 1u));
}
