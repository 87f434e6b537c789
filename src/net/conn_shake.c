/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_shake.c - handshakes with clients: a slice of each turn, the rest waits in line
 *
 * A full handshake costs as much as thirty requests, so a thousand that arrive at once would hold up all
 * others for a quarter of a second. Therefore no event handler goes on with one: the conn joins a line, and a
 * job at the end of the turn, behind the requests of that turn and behind their answers, takes from
 * its front until SLICE_US is used up. Whoever is left is first in the next turn, which does not sleep.
 *
 * Handshakes towards services do not wait: we asked for them, a client waits behind each, and a
 * probe that stood in line during a storm would call its service down.
 *
 * The line's link is the conn's job (job.link): a conn is deferred or in line, never both.
 */
#include "config.h"

#include "net/conn_int.h"

#include "base/env.h"

#define SLICE_US 1000

static void on_slice(struct engine_job *j);

void conn_shake_init(void)
{
	list_init(&conn_mod.shake);
	engine_job_init(&conn_mod.shake_job, on_slice);
	conn_mod.shake_us = SLICE_US;
	conn_mod.shaking = NULL;
}

void conn_shake_fini(void)
{
	engine_job_cancel(&conn_mod.shake_job);
}

bool conn_shake_turn(struct conn *c)
{
	struct conn_mod *m = &conn_mod;

	if (m->shaking == c)
		return true;
	if (list_empty(&c->job.link)) {
		c->flags |= CF_LINE;
		list_append(&m->shake, &c->job.link);
		engine_defer(m->e, &m->shake_job);
	}
	return false;
}

void conn_shake_leave(struct conn *c)
{
	if (!(c->flags & CF_LINE))
		return;
	c->flags &= ~(CF_LINE | CF_LATE);
	list_del(&c->job.link);
}

/* Those who joined in this turn stand behind those who were left over before. */
static void count_late(void)
{
	struct list *line = &conn_mod.shake;

	for (struct list *n = line->prev; n != line; n = n->prev) {
		struct conn *c = LIST_ENTRY(n, struct conn, job.link);

		if (c->flags & CF_LATE)
			return;
		c->flags |= CF_LATE;
		if (conn_mod.stat)
			stat_inc(conn_mod.stat, CTR_PROC_TLS_LATE);
	}
}

static void on_slice(struct engine_job *j)
{
	struct conn_mod *m = &conn_mod;
	uint64_t end;

	if (list_empty(&m->shake))
		return;
	conn_flush_turn();
	end = env_now_us() + m->shake_us;
	do {
		struct conn *c = LIST_ENTRY(m->shake.next, struct conn, job.link);
		bool was_late = c->flags & CF_LATE;

		conn_shake_leave(c);
		m->shaking = c;
		c->job.fn(&c->job);
		m->shaking = NULL;
		/* Its own answer takes a round trip, which the wait in line must not have used up. */
		if (was_late && conn_up(c) && (c->flags & CF_HANDSHAKE) && timer_is_set(&c->timer) &&
		    c->timer.deadline_ms < engine_now_ms(m->e) + LINE_MS)
			engine_timer(m->e, &c->timer, LINE_MS);
	} while (!list_empty(&m->shake) && env_now_us() < end);
	if (list_empty(&m->shake))
		return;
	count_late();
	engine_defer(m->e, j);
}
