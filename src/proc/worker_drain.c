/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_drain.c - how a worker gives up its place: to a successor at a reload, or to nobody at a shutdown
 *
 * On RETIRE it stops accepting (what it leaves in the queues is the successor's, which has the same
 * sockets), gives up probing, and passes idle clear-text client connections on by SCM_RIGHTS. A connection
 * in use is told with its next answer. UDP flows go over likewise, all at once (http/udp_vs.h). Listeners that the new generation does not have are accepted from for a
 * moment longer, until their queues are empty; STOPPED tells the master that it may close them.
 */
#include "config.h"

#include "proc/worker_inside.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"

#define FLOW_MSGS      8         /* messages with UDP flows in a turn */
#define GONE_MS        100       /* how long a removed listener is still accepted from */
#define DRAIN_FIRST_MS 20
#define DRAIN_LAST_MS  1000
#define LINGER_LAST_MS 500

/* Giving ---------------------------------------------------------------------------------- */

static bool is_gone(const struct worker *w, const char *listen_name)
{
	struct str all = str_c(w->gone);

	while (all.n)
		if (str_eq(str_cut(&all, '\n'), str_c(listen_name)))
			return true;
	return false;
}

/* Takes the descriptor when it went. The successor's socket buffer is the bound: what does not fit now is tried
 * again soon. */
static bool give(void *ctx, int fd, const char *listen_name, const struct addr *peer)
{
	struct worker *w = ctx;
	struct msg m = { .type = MSG_GO };
	char text[ADDR_TEXT_MAX + STAT_NAME_MAX + 2];
	struct sb b;
	int err;

	if (!chan_is_open(&w->to_next) || is_gone(w, listen_name))
		return false;
	sb_init(&b, text, sizeof(text));
	sb_add(&b, peer, sizeof(*peer));
	sb_c(&b, listen_name);
	if (b.over)
		return false;
	err = msg_send(w->to_next.w.fd, &m, b.p, b.n, &fd, 1);
	if (err == -EPIPE)
		chan_close(&w->to_next);     /* it is at its own end */
	if (err)
		return false;
	env_close(fd);
	return true;
}

/* UDP flows: all of them, but not in one turn. What the successor does not take at once waits in the channel,
 * descriptors included: then the flows are in neither process, and answers wait in their sockets. */
static int send_flows(void *ctx, const void *text, size_t n, const int *fd, unsigned n_fd)
{
	struct worker *w = ctx;
	struct msg m = { .type = MSG_FLOWS };
	int err = chan_is_open(&w->to_next) ? chan_send(&w->to_next, &m, text, n, fd, n_fd) : -EPIPE;

	if (!err)
		stat_add(w->proc, CTR_PROC_HANDED_OVER, n_fd);
	return err;
}

static void on_give_flows(struct engine_job *j)
{
	struct worker *w = FL_CONTAINER_OF(j, struct worker, give_flows);

	for (unsigned i = 0; i < FLOW_MSGS; i++)
		if (!udp_vs_give(send_flows, w))
			return;
	engine_defer(w->engine, j);
}

static void to_next_got(struct chan *c, struct msg_in *in)
{
	(void)c;
	(void)in;
}

static void to_next_gone(struct chan *c)
{
	chan_close(c);           /* the successor died: its clients' next request is answered here */
}

/* Taking ---------------------------------------------------------------------------------- */

/* By name, else by address: a vserver may have been renamed. */
static struct listener *find_listener(struct worker *w, struct str name)
{
	struct str addr = name;

	for (unsigned i = 0; i < w->lc->n_listens; i++)
		if (!w->lc->listens[i].udp && str_eq(str_c(w->lc->listens[i].full_name), name))
			return &w->listens[i];
	str_cut(&addr, '/');
	for (unsigned i = 0; i < w->lc->n_listens; i++) {
		struct str other = str_c(w->lc->listens[i].full_name);

		str_cut(&other, '/');
		if (!w->lc->listens[i].udp && str_eq(other, addr))
			return &w->listens[i];
	}
	return NULL;
}

/* One for each predecessor: with fewer workers than before there are several. */
struct inflow {
	struct list    link;
	struct chan    chan;
	struct worker *w;
};

static void from_old_got(struct chan *ch, struct msg_in *in)
{
	struct worker *w = FL_CONTAINER_OF(ch, struct inflow, chan)->w;
	struct addr peer, local;
	socklen_t n = sizeof(local);
	struct listener *l;
	struct conn *c;
	int fd;

	if (in->m.type == MSG_FLOWS) {
		udp_vs_take(in->text, in->n, in->fd, in->n_fd);
		return;
	}
	fd = msg_take_fd(in, 0);
	if (fd < 0)
		return;
	l = in->n > sizeof(peer) ? find_listener(w, str_n(in->text + sizeof(peer), in->n - sizeof(peer))) : NULL;
	if (!l || l->tls || getsockname(fd, &local.sa, &n) != 0) {
		env_close(fd);
		return;
	}
	memcpy(&peer, in->text, sizeof(peer));
	addr_norm(&local);
	c = conn_accept(w->engine, fd, &peer, &local, NULL);
	if (c)
		conn_set_shared(c);      /* with the sender, for a moment */
	if (!c)
		return;
	stat_inc(w->proc, CTR_PROC_TAKEN_OVER);
	l->accepted(l, c);
}

static void free_inflow(void *obj)
{
	env_free(obj);
}

static void from_old_gone(struct chan *c)
{
	struct inflow *i = FL_CONTAINER_OF(c, struct inflow, chan);

	chan_close(c);
	list_del(&i->link);
	engine_free_later(i->w->engine, i, free_inflow);
}

void worker_take_over(struct worker *w, int fd)
{
	struct inflow *i = env_calloc(1, sizeof(*i));

	if (!i || chan_open(&i->chan, w->engine, fd, from_old_got, from_old_gone) != 0) {
		env_close(fd);
		env_free(i);
		return;
	}
	i->w = w;
	list_append(&w->inflows, &i->link);
}

/* No more of them; what is under way still comes. False: not all of it is here yet. */
static bool inflows_are_over(struct worker *w)
{
	LIST_FOREACH(it, &w->inflows)
		(void)env_shutdown(LIST_ENTRY(it, struct inflow, link)->chan.w.fd, SHUT_RD);
	return list_empty(&w->inflows);
}

/* Draining -------------------------------------------------------------------------------- */

/* No watch, and no descriptor: the socket ends when the master closes its own. */
static void leave_listener(struct worker *w, unsigned i)
{
	struct listener *l = &w->listens[i];

	if (!l->fds)
		return;
	listener_stop(l);
	for (unsigned core = 0; core < l->n_fds; core++)
		if (l->fds[core] >= 0) {
			env_close(l->fds[core]);
			l->fds[core] = -1;
		}
}

static void stop_accepting(struct worker *w)
{
	if (w->stopped)
		return;
	w->stopped = true;
	udp_vs_leave_gone(w->heir);
	for (unsigned i = 0; i < w->lc->n_listens; i++)
		leave_listener(w, i);
	(void)chan_send_simple(&w->chan, MSG_STOPPED);
}

static void on_drain_tick(struct timer *t)
{
	struct worker *w = FL_CONTAINER_OF(t, struct worker, drain_tick);

	stop_accepting(w);
	http_drain(w->heir ? give : NULL, w);
	engine_timer(w->engine, t, http_clients() > http_active() && chan_is_open(&w->to_next) ? DRAIN_FIRST_MS
										       : DRAIN_LAST_MS);
}

static void on_cut(struct timer *t)
{
	worker_exit(FL_CONTAINER_OF(t, struct worker, cut), true);
}

void worker_drain_init(struct worker *w)
{
	list_init(&w->inflows);
	engine_job_init(&w->give_flows, on_give_flows);
	timer_init(&w->drain_tick, on_drain_tick);
	timer_init(&w->cut, on_cut);
}

static bool udp_is_gone(void *ctx, const char *listen_name)
{
	return is_gone(ctx, listen_name);
}

/* Also a second time, with less time: a shutdown that became urgent. */
void worker_retire(struct worker *w, struct msg_in *in)
{
	int fd = msg_take_fd(in, 0);

	if (in->m.arg != UINT64_MAX)
		engine_timer(w->engine, &w->cut, in->m.arg);
	if (w->retired) {
		if (fd >= 0)
			env_close(fd);
		return;
	}
	w->gone = in->n ? env_strdup(in->text) : NULL;
	if (fd >= 0 && chan_open(&w->to_next, w->engine, fd, to_next_got, to_next_gone) != 0)
		env_close(fd);
	w->heir = fd >= 0;
	w->retired = true;
	worker_apply_board(w);
	udp_vs_retire(udp_is_gone, w);
	if (w->heir)
		on_give_flows(&w->give_flows);
	for (unsigned i = 0; i < w->lc->n_listens; i++)
		if (!is_gone(w, w->lc->listens[i].full_name))
			leave_listener(w, i);
	http_drain(give, w);
	if (!w->gone)
		stop_accepting(w);
	engine_timer(w->engine, &w->drain_tick, w->gone ? GONE_MS : DRAIN_FIRST_MS);
}

/* Clients that were answered and do not close are left alone at a shutdown: the answer is theirs by now. */
static bool lingering_is_over(struct worker *w)
{
	uint64_t now = engine_now_ms(w->engine);

	if (conn_lingering() == 0)
		return true;
	if (w->heir || conn_linger_owes())
		return false;
	if (!w->answered_ms)
		w->answered_ms = now;
	return now - w->answered_ms >= LINGER_LAST_MS;
}

void worker_check_done(struct worker *w)
{
	bool udp_is_over = udp_vs_is_over();

	if (w->stopped && http_clients() == 0 && udp_is_over &&
	    (!chan_is_open(&w->to_next) || w->to_next.n_out == 0) && lingering_is_over(w) && inflows_are_over(w))
		worker_exit(w, false);
}

void worker_exit(struct worker *w, bool cut)
{
	struct msg m = { .type = MSG_CUT };

	if (cut) {
		m.arg = http_cut() + udp_vs_cut();
		if (chan_is_open(&w->chan))
			(void)chan_send(&w->chan, &m, NULL, 0, NULL, 0);
	}
	/* LEVELs of what was cut vanish with the slot's owner; the sums must be told. */
	stat_flush(w->seg, env_now_us() / 1000);
	_exit(0);
}
