/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp.c - listening sockets, and the two ways of a datagram (see udp.h)
 *
 *	to services: readable listener -> up to 64 messages -> chained by flow -> one call per flow
 *	to clients:  readable sockets -> their messages collect in one batch -> end of the turn: one call
 *	             per listener
 *
 * Listening sockets are level-triggered watches, as those of listener.c: what the budget leaves
 * is found in the next turn. Sockets to services are edge-triggered: they are read until fewer
 * messages came than there was room for; one with more than its budget goes on at the end of the
 * turn.
 */
#include "config.h"

#include "net/udp_int.h"

#include <netinet/udp.h>
#include <string.h>

#include "base/env.h"
#include "base/err.h"

#define ROUNDS   4u                /* batches of one socket in a turn */
/* Wanted for listening sockets: for what waits during a hand-over, or behind a busy turn. */
#define SOCK_BUF (4 << 20)
#define NO_MSG   UINT8_MAX

struct served {
	struct engine_watch  w;
	struct udp_listener *l;
	bool                 on;
};
struct udp_listener_priv {
	struct list   link;
	bool          names;             /* bound to a wildcard: datagrams say where they came to */
	unsigned      n;
	struct served s[];
};

/* The master's part ------------------------------------------------------------------------ */

/* As much as we may: above the system's limit with CAP_NET_ADMIN only. */
static void set_buffer(int fd, int force, int plain)
{
	if (env_setsockopt_int(fd, SOL_SOCKET, force, SOCK_BUF) < 0)
		(void)env_setsockopt_int(fd, SOL_SOCKET, plain, SOCK_BUF);
}

int udp_open(const struct addr *a, bool v6only, const char *device)
{
	bool v6 = a->sa.sa_family == AF_INET6;
	int fd = env_socket(a->sa.sa_family, SOCK_DGRAM, 0);
	int err;

	if (fd < 0)
		return fd;
	err = env_setsockopt_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!err && v6)
		err = env_setsockopt_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6only);
	if (!err && addr_is_any(a))
		err = v6 ? env_setsockopt_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
			 : env_setsockopt_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	env_setsockopt_int(fd, IPPROTO_UDP, UDP_GRO, 1);        /* before Linux 5.0 they come singly */
	if (!err && device)
		err = env_setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device));
	if (!err)
		err = env_bind(fd, &a->sa, addr_len(a));
	if (err) {
		env_close(fd);
		return err;
	}
	return fd;
}

/* To services ------------------------------------------------------------------------------ */

static void count_in(const struct udp_listener *l, uint64_t datagrams, uint64_t bytes)
{
	stat_add(l->stat, CTR_LISTENER_DGRAMS_IN, datagrams);
	stat_add(l->stat, CTR_LISTENER_BYTES_IN, bytes);
	stat_add(l->vs_stat, CTR_VSERVER_DGRAMS_IN, datagrams);
	stat_add(l->vs_stat, CTR_VSERVER_BYTES_IN, bytes);
	stat_add(l->core_stat, CTR_PROC_DGRAMS_IN, datagrams);
	stat_add(l->core_stat, CTR_PROC_UDP_IN, bytes);
}

static unsigned collect(struct udp_flow *f)
{
	struct udp_mod *m = &udp_mod;
	unsigned n = 0;

	udp_out_reset(&m->out);
	for (unsigned i = f->first; i != NO_MSG; i = m->next_msg[i]) {
		(void)udp_out_add(&m->out, udp_in_data(&m->req, i), m->req.len[i], m->req.seg[i],
				  !f->no_trains);
		n += m->req.count[i];
	}
	f->queued = false;
	return n;
}

static void count_sent(struct udp_flow *f, const struct udp_sent *s)
{
	struct stat_row *r = f->up->svc->stat;

	stat_add(r, CTR_SERVICE_DGRAMS_IN, s->datagrams);
	stat_add(r, CTR_SERVICE_BYTES_IN, s->bytes);
	if (s->drops)
		stat_add(r, CTR_SERVICE_DROP_SEND, s->drops);
	f->no_trains |= s->no_trains;
}

/* Who was not asked does not answer. */
static void not_asked(struct udp_flow *f, uint32_t drops)
{
	if (!f->responses || !drops)
		return;
	udp_flow_set_owed(f, f->owed - FL_MIN(f->owed, f->responses * drops));
	if (!f->owed)
		udp_flow_end(f, UDP_END_REST);
}

/* Everything of a flow that this batch had. An error of before is told at the next send: then the
 * rest goes to another service, but not for ever. */
static void send_flow(struct udp_flow *f)
{
	struct udp_mod *m = &udp_mod;
	unsigned left = collect(f), next = 0;

	engine_timer(m->e, &f->idle, f->idle_ms);
	for (bool again = false;; again = true) {
		struct udp_sent s = { .next = next };
		bool done;

		if (f->responses)
			udp_flow_set_owed(f, f->owed + f->responses * left);
		done = udp_out_send(&m->out, f->up->e.fd, true, &s);
		count_sent(f, &s);
		if (done) {
			not_asked(f, s.drops);
			return;
		}
		left -= s.datagrams + s.drops;
		next = s.next;
		stat_inc(f->up->svc->stat, CTR_SERVICE_UNREACHABLE);
		stat_inc(f->l->core_stat, CTR_PROC_UDP_ERRS);
		if (again) {
			f->refused = true;
			stat_add(f->up->svc->stat, CTR_SERVICE_DROP_SEND, left);
			return;
		}
		if (!udp_flow_anew(f, f->up->svc, left))
			return;
	}
}

static void take_requests(struct served *s, unsigned n)
{
	struct udp_mod *m = &udp_mod;
	struct udp_flow *touched[UDP_BATCH];
	uint64_t datagrams = 0, bytes = 0;
	unsigned n_touched = 0;

	for (unsigned i = 0; i < n; i++) {
		struct udp_flow *f;

		datagrams += m->req.count[i];
		bytes += m->req.len[i];
		if (!m->req.count[i]) {
			stat_inc(s->l->vs_stat, CTR_VSERVER_DROP_TRUNC);
			continue;
		}
		f = udp_flow_for(s->l, &m->req.from[i], &m->req.local[i], m->req.count[i]);
		if (!f)
			continue;
		m->next_msg[i] = NO_MSG;
		if (f->queued) {
			m->next_msg[f->last] = (uint8_t)i;
		} else {
			touched[n_touched++] = f;
			f->first = (uint8_t)i;
			f->queued = true;
		}
		f->last = (uint8_t)i;
	}
	count_in(s->l, datagrams, bytes);
	for (unsigned i = 0; i < n_touched; i++)
		send_flow(touched[i]);
}

static void on_request(struct engine_watch *w, unsigned events)
{
	struct served *s = FL_CONTAINER_OF(w, struct served, w);
	struct udp_listener_priv *p = s->l->priv;

	(void)events;
	for (unsigned round = 0; round < ROUNDS; round++) {
		int n = udp_in_read(&udp_mod.req, w->fd, 0, UDP_BATCH);

		if (n <= 0)
			return;
		if (!p->names)
			for (int i = 0; i < n; i++)
				udp_mod.req.local[i].family = 0;
		take_requests(s, (unsigned)n);
		if (n < (int)UDP_BATCH)
			return;
	}
}

/* To clients ------------------------------------------------------------------------------- */

/* Any socket of the address will do: our core's, or one that we serve for another. */
static int out_fd(const struct udp_listener *l)
{
	const struct udp_listener_priv *p = l->priv;
	int any = -1;

	for (unsigned i = 0; p && i < p->n; i++) {
		if (l->fds[i] >= 0 && p->s[i].on)
			return l->fds[i];
		if (l->fds[i] >= 0)
			any = l->fds[i];
	}
	return any;
}

/* One message of the batch, into the call under way. before: the one added last, NULL: none. */
static void add_answer(struct udp_mod *m, unsigned i, const struct udp_answer *before)
{
	struct udp_answer *a = &m->answer[i];
	bool join = before && !a->no_trains && addr_eq(&before->client, &a->client) &&
		    ip_eq(before->local, a->local);

	if (!udp_out_add(&m->out, udp_in_data(&m->ans, i), m->ans.len[i], m->ans.seg[i], join))
		return;
	m->out.mm[m->out.n - 1].msg_hdr.msg_name = &a->client;
	m->out.mm[m->out.n - 1].msg_hdr.msg_namelen = addr_len(&a->client);
	if (a->local.family)
		udp_out_from(&m->out, &a->local);
}

static void send_answers(struct udp_listener *l, unsigned from)
{
	struct udp_mod *m = &udp_mod;
	const struct udp_answer *before = NULL;
	struct udp_sent s = { 0 };
	int fd = out_fd(l);

	udp_out_reset(&m->out);
	for (unsigned i = from; i < m->n_ans; i++) {
		if (m->answer[i].l != l)
			continue;
		m->answer[i].l = NULL;
		if (fd < 0) {
			s.drops += m->ans.count[i];
			continue;
		}
		add_answer(m, i, before);
		before = &m->answer[i];
	}
	(void)udp_out_send(&m->out, fd, false, &s);
	stat_add(l->stat, CTR_LISTENER_DGRAMS_OUT, s.datagrams);
	stat_add(l->stat, CTR_LISTENER_BYTES_OUT, s.bytes);
	stat_add(l->vs_stat, CTR_VSERVER_DGRAMS_OUT, s.datagrams);
	stat_add(l->vs_stat, CTR_VSERVER_BYTES_OUT, s.bytes);
	stat_add(l->core_stat, CTR_PROC_DGRAMS_OUT, s.datagrams);
	stat_add(l->core_stat, CTR_PROC_UDP_OUT, s.bytes);
	if (s.drops)
		stat_add(l->vs_stat, CTR_VSERVER_DROP_SEND, s.drops);
}

static void flush_answers(void)
{
	struct udp_mod *m = &udp_mod;

	for (unsigned i = 0; i < m->n_ans; i++)
		if (m->answer[i].l)
			send_answers(m->answer[i].l, i);
	m->n_ans = 0;
}

static void on_flush(struct engine_hook *h)
{
	(void)h;
	if (udp_mod.n_ans)
		flush_answers();
}

/* n messages of a socket have been read behind those that wait. */
static void take_answers(struct udp_up *up, unsigned n)
{
	struct udp_mod *m = &udp_mod;
	struct udp_flow *f = up->flow;
	uint32_t datagrams = 0;
	uint64_t bytes = 0;

	for (unsigned i = m->n_ans; i < m->n_ans + n; i++) {
		datagrams += m->ans.count[i];
		bytes += m->ans.len[i];
	}
	stat_add(up->svc->stat, CTR_SERVICE_DGRAMS_OUT, datagrams);
	stat_add(up->svc->stat, CTR_SERVICE_BYTES_OUT, bytes);
	if (up->resting) {
		udp_service_strayed(up->svc, datagrams);
		udp_up_close(up);
		return;
	}
	for (unsigned i = m->n_ans; i < m->n_ans + n; i++)
		m->answer[i] = (struct udp_answer){ .l = m->ans.count[i] ? f->l : NULL,
						    .client = f->client,
						    .local = f->local,
						    .no_trains = f->no_trains };
	m->n_ans += n;
	engine_timer(m->e, &f->idle, f->idle_ms);
	if (!f->responses)
		return;
	if (datagrams > f->owed) {               /* still its own: one of them may be late */
		up->spoiled = true;
		udp_service_strayed(up->svc, datagrams - f->owed);
	}
	udp_flow_set_owed(f, f->owed - FL_MIN(datagrams, f->owed));
}

/* What the socket has been told of datagrams that were sent. */
static void failed(struct udp_up *up, int err)
{
	if (udp_is_unreachable(err))
		stat_inc(up->svc->stat, CTR_SERVICE_UNREACHABLE);
	if (up->resting) {
		udp_up_close(up);
	} else if (udp_is_unreachable(err)) {
		up->flow->refused = true;
		stat_inc(up->flow->l->core_stat, CTR_PROC_UDP_ERRS);
	}
}

/* The socket is empty. Only then is a flow over that has its answers: what else was in it is its own. */
static void is_empty(struct udp_up *up)
{
	if (up->e.fd >= 0 && !up->resting && up->flow->responses && !up->flow->owed)
		udp_flow_end(up->flow, UDP_END_REST);
}

static void read_answers(struct udp_up *up)
{
	struct udp_mod *m = &udp_mod;

	for (unsigned round = 0; round < ROUNDS && up->e.fd >= 0; round++) {
		unsigned room;
		int n;

		if (m->n_ans == UDP_BATCH)
			flush_answers();
		room = UDP_BATCH - m->n_ans;
		n = udp_in_read(&m->ans, up->e.fd, m->n_ans, room);
		if (n > 0)
			take_answers(up, (unsigned)n);
		else if (n != -EAGAIN)
			failed(up, n);          /* told once; what waits behind it can be read */
		if (n == -EAGAIN || (n > 0 && (unsigned)n < room)) {
			is_empty(up);
			return;
		}
	}
	if (up->e.fd >= 0 && list_empty(&up->more)) {
		list_append(&m->more, &up->more);
		engine_defer(m->e, &m->go_on);
	}
}

void udp_up_readable(struct engine_fd *e, unsigned events)
{
	(void)events;
	read_answers(FL_CONTAINER_OF(e, struct udp_up, e));
}

static void on_go_on(struct engine_job *j)
{
	struct list now, *n;

	(void)j;
	list_init(&now);
	while ((n = list_pop(&udp_mod.more)))
		list_append(&now, n);
	while ((n = list_pop(&now)))
		read_answers(LIST_ENTRY(n, struct udp_up, more));
}

/* Life ------------------------------------------------------------------------------------- */

int udp_init(struct engine *e, const struct udp_host *h, unsigned max_flows)
{
	struct udp_mod *m = &udp_mod;
	int err;

	ASSERT(!m->on);
	memset(m, 0, sizeof(*m));
	m->e = e;
	m->host = h;
	list_init(&m->listeners);
	list_init(&m->services);
	list_init(&m->more);
	engine_job_init(&m->go_on, on_go_on);
	list_init(&m->flush.link);
	m->flush.fn = on_flush;
	err = udp_table_init(max_flows);
	if (!err)
		err = udp_in_init(&m->req, true);
	if (!err)
		err = udp_in_init(&m->ans, false);
	m->on = true;
	if (err)
		udp_fini();
	else
		engine_on_flush(e, &m->flush);
	return err;
}

void udp_fini(void)
{
	struct udp_mod *m = &udp_mod;

	if (!m->on)
		return;
	udp_flows_end(NULL);
	while (!list_empty(&m->services))
		udp_service_trim(LIST_ENTRY(m->services.next, struct udp_service, link));
	timer_stop(&m->sweep);
	engine_job_cancel(&m->go_on);
	list_del(&m->flush.link);
	udp_table_fini();
	udp_in_fini(&m->req);
	udp_in_fini(&m->ans);
	m->n_ans = 0;
	m->on = false;
}

static void apply(struct served *s)
{
	if (s->on && !udp_mod.held)
		(void)engine_watch(udp_mod.e, &s->w, ENGINE_READ);
	else
		engine_unwatch(udp_mod.e, &s->w);
}

int udp_start(struct udp_listener *l)
{
	struct udp_listener_priv *p = env_calloc(1, sizeof(*p) + l->n_fds * sizeof(p->s[0]));

	if (!p)
		return FL_ENOMEM_;
	p->n = l->n_fds;
	p->names = addr_is_any(&l->addr);
	for (unsigned i = 0; i < p->n; i++) {
		p->s[i].w = (struct engine_watch){ .fd = l->fds[i], .fn = on_request };
		p->s[i].l = l;
	}
	l->priv = p;
	list_append(&udp_mod.listeners, &p->link);
	return 0;
}

void udp_serve(struct udp_listener *l, unsigned core, bool on)
{
	struct udp_listener_priv *p = l->priv;

	if (!p || core >= p->n || p->s[core].w.fd < 0 || p->s[core].on == on)
		return;
	p->s[core].on = on;
	apply(&p->s[core]);
}

void udp_hold(bool on)
{
	if (udp_mod.held == on)
		return;
	udp_mod.held = on;
	LIST_FOREACH(it, &udp_mod.listeners) {
		struct udp_listener_priv *p = LIST_ENTRY(it, struct udp_listener_priv, link);

		for (unsigned i = 0; i < p->n; i++)
			apply(&p->s[i]);
	}
}

void udp_stop(struct udp_listener *l)
{
	struct udp_listener_priv *p = l->priv;

	for (unsigned i = 0; p && i < p->n; i++)
		udp_serve(l, i, false);
}

static void free_priv(void *obj)
{
	env_free(obj);
}

void udp_leave(struct udp_listener *l)
{
	struct udp_listener_priv *p = l->priv;

	if (!p)
		return;
	flush_answers();
	udp_flows_end(l);
	udp_stop(l);
	list_del(&p->link);
	l->priv = NULL;
	engine_free_later(udp_mod.e, p, free_priv);
}

unsigned udp_flows(void)
{
	return udp_mod.n_open;
}

unsigned udp_waiting(void)
{
	return udp_mod.n_waiting;
}

unsigned udp_cut(void)
{
	unsigned n = udp_mod.n_open;

	if (udp_mod.on)
		udp_flows_end(NULL);
	return n;
}
