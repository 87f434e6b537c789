/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.c - accepting (see listener.h)
 *
 * Each served socket is one level-triggered watch, so what the budget leaves is found in the next turn, after
 * other listeners had theirs. When descriptors or memory are short, all listeners of the process pause
 * and come back after a delay that doubles (10 ms .. 1 s): a level-triggered socket would spin
 * otherwise. The last descriptors are not for clients: the kernel gives the lowest free number, so an
 * accepted one near the limit says that all below are in use. Should the rest run out, too, one more
 * is held to accept and close one waiting client, so that clients hear of the shortage instead of
 * hanging (ROBUSTNESS F14).
 */
#include "config.h"

#include "net/listener.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "base/work.h"
#include "net/conn_int.h"

#define ACCEPTS_A_TURN 64u
#define FULL_TURNS     8u        /* in a row that took all they were to, then one takes twice as many */
#define BACKOFF_MIN_MS 10
#define BACKOFF_MAX_MS 1000
#define CLIENT_KEEPIDLE_S 60
#define RESERVE_MIN 16
#define RESERVE_MAX 256

struct served {
	struct engine_watch w;
	struct listener    *l;
	bool                on;          /* served by this worker */
	bool                own;         /* its own core's, not adopted */
	bool                all;         /* everybody's */
	/* Clients taken a turn. To ask for one too many costs as much as half an accept, so the queue is asked until
	 * it is empty only when it has not been for some turns; what is left there makes the next turn's event. */
	unsigned            burst, full;
};
struct listener_priv {
	struct list   link;              /* all started listeners */
	unsigned      core;
	unsigned      n;
	struct served s[];
};

static struct {
	struct engine *e;
	struct list    all;
	struct timer   back;
	unsigned       backoff_ms;       /* 0: not short of anything */
	bool           waiting;          /* paused by shortage */
	bool           paused;           /* paused by listener_pause_all() */
	int            reserve;          /* -1: none */
	int            edge;             /* descriptors from here on are not for clients */
	void         (*on_shortage)(void);
	void         (*on_pause)(bool paused);
} acc = { .reserve = -1 };

/* The master's part ------------------------------------------------------------------------ */

int listener_open(const struct addr *a, const struct listener_opts *o)
{
	int fd = env_socket(a->sa.sa_family, SOCK_STREAM, 0);
	int err;

	if (fd < 0)
		return fd;
	env_setsockopt_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	err = env_setsockopt_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!err && a->sa.sa_family == AF_INET6)
		err = env_setsockopt_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->v6only);
	/* Accepted sockets inherit these: set once here, not once per connection. */
	env_setsockopt_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	env_setsockopt_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	env_setsockopt_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, CLIENT_KEEPIDLE_S);
	if (!err && o->device)
		err = env_setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o->device, (socklen_t)strlen(o->device));
	if (!err && o->congestion)
		err = env_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, o->congestion,
				     (socklen_t)strlen(o->congestion));
	if (!err)
		err = env_bind(fd, &a->sa, addr_len(a));
	if (!err)
		err = env_listen(fd, o->backlog > 0 ? o->backlog : SOMAXCONN);
	if (err) {
		env_close(fd);
		return err;
	}
	return fd;
}

/* Pausing ---------------------------------------------------------------------------------- */

static void apply(struct served *s)
{
	bool on = s->on && !acc.waiting && !acc.paused;
	unsigned how = ENGINE_READ | (s->all ? ENGINE_EXCLUSIVE : 0);

	if (s->on || s->w.priv)
		(void)engine_watch(acc.e, &s->w, on ? how : 0);
}

static void apply_all(void)
{
	LIST_FOREACH(it, &acc.all) {
		struct listener_priv *p = LIST_ENTRY(it, struct listener_priv, link);

		for (unsigned i = 0; i < p->n; i++)
			apply(&p->s[i]);
	}
	if (acc.on_pause)
		acc.on_pause(acc.waiting || acc.paused);
}

static void find_edge(void)
{
	struct rlimit r;
	rlim_t keep;

	acc.edge = INT_MAX;
	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur > INT_MAX)
		return;
	keep = r.rlim_cur / 20;
	keep = FL_MIN(FL_MAX(keep, (rlim_t)RESERVE_MIN), (rlim_t)RESERVE_MAX);
	acc.edge = (int)(r.rlim_cur - FL_MIN(keep, r.rlim_cur / 2));
}

void listener_on_shortage(void (*fn)(void))
{
	acc.on_shortage = fn;
}

void listener_on_pause(void (*fn)(bool paused))
{
	acc.on_pause = fn;
}

static void on_back(struct timer *t)
{
	(void)t;
	find_edge();
	acc.waiting = false;
	apply_all();
}

static void refuse(int c)
{
	struct linger now = { .l_onoff = 1 };

	env_setsockopt(c, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	env_close(c);
}

/* One client is accepted with the reserved descriptor and reset, so that it can go elsewhere. */
static void refuse_one(int fd)
{
	int c;

	if (acc.reserve < 0)
		return;
	env_close(acc.reserve);
	c = env_accept(fd, NULL, NULL);
	if (c >= 0)
		refuse(c);
	acc.reserve = env_open("/dev/null", O_RDONLY | O_CLOEXEC, 0);
}

/* fd: where one waiting client shall be refused; -1: one was. */
static void shortage(struct listener *l, int fd, int err)
{
	char text[ADDR_TEXT_MAX];
	const char *where = addr_text(&l->addr, text);

	if (conn_mod.stat)
		stat_inc(conn_mod.stat, CTR_PROC_ACCEPT_ERRS);
	if (fd >= 0 && (err == -EMFILE || err == -ENFILE))
		refuse_one(fd);
	acc.backoff_ms = acc.backoff_ms ? FL_MIN(acc.backoff_ms * 2, (unsigned)BACKOFF_MAX_MS)
					: BACKOFF_MIN_MS;
	acc.waiting = true;
	log_ev_key(EV_ACCEPT_FAIL, str_c(where), "listener %s: %s; accepting pauses for %u ms",
		   where, fl_err_text(err), acc.backoff_ms);
	apply_all();
	engine_timer(acc.e, &acc.back, acc.backoff_ms);
	if (err != -ENOMEM && acc.on_shortage)
		acc.on_shortage();
}

void listener_pause_all(bool on)
{
	if (acc.paused == on)
		return;
	acc.paused = on;
	if (acc.e)
		apply_all();
}

/* Accepting -------------------------------------------------------------------------------- */

/* Errors of the connection, not of this process: accept(2) tells what the network said of it. */
static bool is_the_peers(int err)
{
	switch (-err) {
	case ECONNABORTED:
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case EPERM:
		return true;
	default:
		return false;
	}
}

static void count_accept(const struct served *s)
{
	stat_inc(s->l->stat, CTR_LISTENER_ACCEPTS);
	if (!conn_mod.stat)
		return;
	stat_inc(conn_mod.stat, CTR_PROC_ACCEPTS);
	if (!s->own)
		stat_inc(conn_mod.stat, CTR_PROC_ADOPTED);
}

static struct conn *make_conn(const struct listener *l, int fd, const struct addr *peer)
{
	struct conn *c = conn_accept(conn_mod.e, fd, peer, &l->addr, l->tls);

	if (!c && conn_mod.stat)
		stat_inc(conn_mod.stat, CTR_PROC_NOMEM);
	return c;
}

static void take(struct served *s, int fd, struct addr *peer)
{
	struct listener *l = s->l;
	struct conn *c;

	work_none();                     /* it is not the doing of the one before */
	acc.backoff_ms = 0;
	addr_norm(peer);
	if (l->elsewhere && l->elsewhere(l, fd, peer)) {
		count_accept(s);
		return;
	}
	c = make_conn(l, fd, peer);
	if (!c)
		return;
	count_accept(s);
	l->accepted(l, c);
}

void listener_admit(struct listener *l, int fd, const struct addr *peer)
{
	struct conn *c;

	work_none();
	if (acc.e && fd >= acc.edge) {
		refuse(fd);
		shortage(l, -1, -EMFILE);
		return;
	}
	c = make_conn(l, fd, peer);
	if (!c)
		return;
	conn_set_shared(c);      /* with who accepted it, for a moment */
	l->accepted(l, c);
}

static void on_acceptable(struct engine_watch *w, unsigned events)
{
	struct served *s = FL_CONTAINER_OF(w, struct served, w);

	(void)events;
	for (unsigned i = 0; i < s->burst && !acc.paused && !acc.waiting && w->priv; i++) {
		struct addr peer;
		socklen_t n = sizeof(peer);
		int fd = env_accept(w->fd, &peer.sa, &n);

		if (fd == -EAGAIN) {
			s->burst = FL_MAX(i, 1u);
			s->full = 0;
			return;
		}
		if (fd >= acc.edge) {
			refuse(fd);
			shortage(s->l, -1, -EMFILE);
		} else if (fd >= 0) {
			take(s, fd, &peer);
		} else if (!is_the_peers(fd)) {
			shortage(s->l, w->fd, fd);
		}
	}
	if (!w->priv || ++s->full < FULL_TURNS)
		return;
	s->full = 0;
	s->burst = FL_MIN(2 * s->burst, ACCEPTS_A_TURN);
}

void listener_look(void)
{
	if (!acc.e)
		return;
	LIST_FOREACH_SAFE(it, next, &acc.all) {
		struct listener_priv *p = LIST_ENTRY(it, struct listener_priv, link);

		if (p->n && p->s[0].all && p->s[0].on && p->s[0].w.priv)
			on_acceptable(&p->s[0].w, 0);
	}
}

/* Life ------------------------------------------------------------------------------------- */

int listener_start(struct engine *e, struct listener *l, unsigned core)
{
	struct listener_priv *p = env_calloc(1, sizeof(*p) + l->n_fds * sizeof(p->s[0]));

	if (!p)
		return FL_ENOMEM_;
	if (acc.e != e) {
		acc.e = e;
		list_init(&acc.all);
		timer_init(&acc.back, on_back);
		acc.waiting = acc.paused = false;
		acc.backoff_ms = 0;
	}
	find_edge();
	if (acc.reserve < 0)
		acc.reserve = env_open("/dev/null", O_RDONLY | O_CLOEXEC, 0);
	p->core = core;
	p->n = l->n_fds;
	for (unsigned i = 0; i < p->n; i++) {
		p->s[i].w = (struct engine_watch){ .fd = l->fds[i], .fn = on_acceptable };
		p->s[i].l = l;
		p->s[i].burst = 1;
		p->s[i].all = l->shared && !l->others && i == 0;
		p->s[i].own = i == core || p->s[i].all;
	}
	l->priv = p;
	list_append(&acc.all, &p->link);
	if (l->others)
		return 0;
	listener_serve(l, core, true);
	if (l->shared)
		listener_serve(l, 0, true);
	if (core < p->n && p->s[core].w.fd >= 0 && !p->s[core].w.priv) {
		listener_stop(l);
		return FL_ENOMEM_;
	}
	return 0;
}

void listener_serve(struct listener *l, unsigned core, bool on)
{
	struct listener_priv *p = l->priv;

	if (!p || core >= p->n || p->s[core].w.fd < 0 || p->s[core].on == on || (p->s[core].all && !on))
		return;
	p->s[core].on = on;
	apply(&p->s[core]);
	/* a worker that no longer serves a socket must not stay in its wake-up list */
	if (!on)
		engine_unwatch(acc.e, &p->s[core].w);
}

static void free_priv(void *obj)
{
	env_free(obj);
}

void listener_stop(struct listener *l)
{
	struct listener_priv *p = l->priv;

	if (!p)
		return;
	for (unsigned i = 0; i < p->n; i++) {
		p->s[i].on = false;
		engine_unwatch(acc.e, &p->s[i].w);
	}
	list_del(&p->link);
	l->priv = NULL;
	engine_free_later(acc.e, p, free_priv);
	if (list_empty(&acc.all)) {
		timer_stop(&acc.back);
		if (acc.waiting && acc.on_pause)
			acc.on_pause(acc.paused);
		acc.waiting = false;
	}
}
