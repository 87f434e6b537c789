/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_vs.c - see udp_vs.h
 *
 * A message of the hand-over is a row of records, each: struct udp_moved, then the full names of
 * listener and service, each ended by NUL. Record i owns descriptor i. Both ends are ours;
 * another build's is refused by the size of its records, which stands in front.
 */
#include "config.h"

#include "http/udp_vs.h"

#include <string.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "base/work.h"
#include "http/blocked.h"

#define HOLD_MS   300u     /* the successor waits so long for the predecessor's flows */
#define LAST_MS   500u     /* after the last datagram of a client answers are relayed so long */
#define GIVE_MAX  100u     /* flows in a message: names are at most 199 bytes each */
#define TEXT_MAX_ 59000u   /* below MSG_TEXT_MAX of proc/msg.h */

struct udp_vs {
	struct http_worker  w;
	bool                on, retired;
	struct udp_listener *l;         /* [n_listens]; those of others are not started */
	bool                *gone;      /* [n_listens] */
	struct timer         hold;
	uint64_t             retired_ms;
	size_t               given_to;   /* place in the table */
	bool                 giving, given;
	unsigned             awaited;    /* predecessors that have not given all their flows */
};
static struct udp_vs mod;

static struct udp_service *service_of(struct lb_service *s)
{
	struct udp_service *u = s->udp;

	if (u)
		return u;
	u = env_calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->owner = s;
	u->stat = s->stat;
	u->rest_max = s->pool->idle_max;
	u->rest_age_ms = s->pool->idle_timeout_ms;
	udp_service_init(u);
	s->udp = u;
	return u;
}

/* Deciding --------------------------------------------------------------------------------- */

static int route(struct lb_vserver *vs, const struct addr *client, const struct addr *local,
		 struct lb_pool **pool)
{
	struct http_facts h = { .client = *client, .local = *local, .udp = true, .lc = mod.w.lc };
	struct pol_facts f;
	struct lb_route r;

	http_facts_init(&f, &h);
	lb_route(vs, &f, NULL, NULL, NULL, true, &r);
	*pool = r.pool;
	return r.v.act == POL_ACT_USE_POOL ? 0 : CTR_VSERVER_DENIED;
}

static uint32_t idle_ms(const struct lb_vserver *vs, const struct lb_pool *p)
{
	uint64_t ms =
		p->tcp_idle_ms ? FL_MIN(vs->idle_timeout_ms, p->tcp_idle_ms) : vs->idle_timeout_ms;

	return (uint32_t)FL_MIN(FL_MAX(ms, (uint64_t)1), (uint64_t)UINT32_MAX);
}

static void begin(struct lb_vserver *vs, struct lb_service *s)
{
	vs->n_conns++;
	stat_inc(vs->stat, CTR_VSERVER_CONN_CUR);
	stat_inc(mod.w.proc, CTR_PROC_UDP_CUR);
	stat_inc(s->stat, CTR_SERVICE_SESSIONS);
}

/* The flow that begins just now. */
static struct opening {
	const struct lb_vserver *vs;
	struct addr client;
} opening;

static void tell_opening(const void *on, struct sb *out)
{
	const struct opening *o = on;

	shape_client(o->vs, &o->client, out);
}

static int open_flow(struct udp_listener *l, const struct addr *client, const struct addr *local,
		   const struct udp_service *avoid, struct udp_route *out)
{
	struct lb_vserver *vs = l->owner;
	const struct lb_service *not_that = avoid ? avoid->owner : NULL;
	struct lb_pick_in in = { .client = addr_ip(client),
				 .avoid = &not_that,
				 .n_avoid = avoid != NULL,
				 .again = avoid != NULL,
				 .local = vs->view_local };
	struct lb_pool *pool;
	struct lb_service *s;
	int why;

	if (is_blocked_client(vs, client))
		return CTR_VSERVER_DENIED;
	fp_client(client);

	if (vs->max_connections && vs->n_conns >= vs->max_connections)
		return CTR_VSERVER_DROP_LIMIT;
	why = route(vs, client, local, &pool);
	if (why)
		return why;
	s = lb_pick(pool, &in, false, NULL);
	if (!s || !lb_service_addr(s, &out->to))
		return CTR_VSERVER_NO_SERVICE;
	out->service = service_of(s);
	if (!out->service)
		return CTR_VSERVER_DROP_LIMIT;
	out->idle_ms = idle_ms(vs, pool);
	out->responses = (uint16_t)vs->responses;
	begin(vs, s);
	stat_inc(vs->stat, CTR_VSERVER_CONN_TOT);
	stat_inc(mod.w.proc, CTR_PROC_UDP_FLOWS);
	lb_begin(s);
	stat_max(s->stat, CTR_SERVICE_LAST_MS, engine_now_ms(mod.w.engine));
	return 0;
}

static int on_open(struct udp_listener *l, const struct addr *client, const struct addr *local,
		   const struct udp_service *avoid, struct udp_route *out)
{
	int why;

	opening = (struct opening){ l->owner, *client };
	work_on(tell_opening, &opening);
	why = open_flow(l, client, local, avoid, out);
	work_none();                     /* the next datagram is another's */
	return why;
}

static void on_adopt(struct udp_listener *l, struct udp_service *u)
{
	begin(l->owner, u->owner);
	lb_resume(u->owner);
}

static void on_close(struct udp_listener *l, struct udp_service *u)
{
	struct lb_vserver *vs = l->owner;
	struct lb_service *s = u->owner;

	vs->n_conns--;
	stat_dec(vs->stat, CTR_VSERVER_CONN_CUR);
	stat_dec(mod.w.proc, CTR_PROC_UDP_CUR);
	stat_dec(s->stat, CTR_SERVICE_SESSIONS);
	lb_end(s);
}

static bool takes_traffic(const struct lb_service *s)
{
	return s->state != ST_SVC_DOWN && s->state != ST_SVC_MAINT;
}

static bool on_is_good(const struct udp_service *u)
{
	return takes_traffic(u->owner);
}

static const struct udp_host host = {
	.open = on_open, .adopt = on_adopt, .close = on_close, .is_good = on_is_good,
};

/* Life ------------------------------------------------------------------------------------- */

static void on_hold_end(struct timer *t)
{
	(void)t;
	udp_hold(false);
}

int udp_vs_init(struct http_worker *w, int *fds, unsigned cores)
{
	struct lb_config *lc = w->lc;
	unsigned n_udp = 0;
	int err;

	memset(&mod, 0, sizeof(mod));
	mod.w = *w;
	timer_init(&mod.hold, on_hold_end);
	for (unsigned i = 0; i < lc->n_listens; i++)
		n_udp += lc->listens[i].udp;
	if (!n_udp)
		return 0;
	err = udp_init(w->engine, &host, (unsigned)lc->max_connections);
	if (err)
		return err;
	mod.on = true;
	mod.l = env_calloc(lc->n_listens, sizeof(*mod.l));
	mod.gone = env_calloc(lc->n_listens, sizeof(*mod.gone));
	if (!mod.l || !mod.gone) {
		udp_vs_fini();
		return FL_ENOMEM_;
	}
	for (unsigned i = 0; i < lc->n_listens; i++)
		mod.l[i] = (struct udp_listener){
			.addr = lc->listens[i].addr, .n_fds = cores, .fds = fds + (size_t)i * cores,
			.stat = stat_row_get(w->seg, KIND_LISTENER, lc->listens[i].row),
			.vs_stat = lc->listens[i].vserver->stat, .core_stat = mod.w.proc, .owner = lc->listens[i].vserver,
		};
	return 0;
}

static void leave(unsigned i)
{
	struct udp_listener *l = &mod.l[i];

	if (!l->priv)
		return;
	udp_leave(l);
	for (unsigned core = 0; core < l->n_fds; core++)
		if (l->fds[core] >= 0) {
			env_close(l->fds[core]);
			l->fds[core] = -1;
		}
}

void udp_vs_fini(void)
{
	struct lb_config *lc = mod.w.lc;

	if (!mod.on)
		return;
	for (unsigned i = 0; mod.l && i < lc->n_listens; i++)
		leave(i);
	udp_fini();
	timer_stop(&mod.hold);
	for (unsigned i = 0; i < lc->n_pools; i++)
		for (unsigned k = 0; k < lc->pools[i].n_services; k++) {
			env_free(lc->pools[i].services[k].udp);
			lc->pools[i].services[k].udp = NULL;
		}
	env_free(mod.l);
	env_free(mod.gone);
	mod.on = false;
}

void udp_vs_go(unsigned predecessors)
{
	const struct lb_config *lc = mod.w.lc;

	if (!mod.on)
		return;
	mod.awaited = predecessors;
	if (predecessors) {
		udp_hold(true);
		engine_timer(mod.w.engine, &mod.hold, HOLD_MS);
	}
	for (unsigned i = 0; i < lc->n_listens; i++)
		if (lc->listens[i].udp && udp_start(&mod.l[i]) < 0)
			log_ev(EV_ACCEPT_FAIL, "listener %s: no memory", lc->listens[i].full_name);
}

void udp_vs_serve(unsigned core, bool (*is_mine)(void *ctx, unsigned listen, unsigned core), void *ctx)
{
	for (unsigned i = 0; mod.on && !mod.retired && i < mod.w.lc->n_listens; i++)
		udp_serve(&mod.l[i], core, is_mine(ctx, i, core));
}

void udp_vs_services_changed(void)
{
	struct lb_config *lc = mod.w.lc;

	for (unsigned i = 0; mod.on && i < lc->n_pools; i++)
		for (unsigned k = 0; k < lc->pools[i].n_services; k++) {
			struct lb_service *s = &lc->pools[i].services[k];

			/* a name may have other addresses now; rare enough to begin all anew */
			if (s->udp && (s->host || !takes_traffic(s)))
				udp_service_trim(s->udp);
		}
}

/* Draining --------------------------------------------------------------------------------- */

void udp_vs_retire(bool (*is_gone)(void *ctx, const char *listen_name), void *ctx)
{
	const struct lb_config *lc = mod.w.lc;

	if (!mod.on || mod.retired)
		return;
	mod.retired = true;
	mod.retired_ms = engine_now_ms(mod.w.engine);
	for (unsigned i = 0; i < lc->n_listens; i++) {
		mod.gone[i] = lc->listens[i].udp && is_gone(ctx, lc->listens[i].full_name);
		if (!mod.gone[i])
			udp_stop(&mod.l[i]);
	}
}

void udp_vs_leave_gone(bool close_them)
{
	for (unsigned i = 0; mod.on && i < mod.w.lc->n_listens; i++) {
		if (mod.gone[i] && close_them)
			leave(i);
		else if (mod.gone[i])
			udp_stop(&mod.l[i]);
	}
}

bool udp_vs_is_over(void)
{
	bool late = engine_now_ms(mod.w.engine) - mod.retired_ms >= LAST_MS;

	if (!mod.on)
		return true;
	if (!mod.retired || (mod.giving && !mod.given) || (udp_flows() && !late))
		return false;
	/* connections may keep this process for long yet */
	for (unsigned i = 0; i < mod.w.lc->n_listens; i++)
		if (!mod.gone[i] || late)
			leave(i);
	return true;
}

unsigned udp_vs_cut(void)
{
	return mod.on ? udp_cut() : 0;
}

/* Handing over ----------------------------------------------------------------------------- */

static const struct lb_listen *listen_of(const struct udp_listener *l)
{
	return &mod.w.lc->listens[l - mod.l];
}

static void put(struct sb *b, const struct udp_flow *f)
{
	const struct lb_service *s = udp_flow_service(f)->owner;
	struct udp_moved m;

	udp_flow_moved(f, &m);
	sb_add(b, &m, sizeof(m));
	sb_c(b, listen_of(udp_flow_listener(f))->full_name);
	sb_ch(b, '\0');
	sb_c(b, s->full_name);
	sb_ch(b, '\0');
}

static void put_head(struct sb *b)
{
	uint32_t size = sizeof(struct udp_moved);

	sb_add(b, &size, sizeof(size));
}

bool udp_vs_give(int (*pass)(void *ctx, const void *text, size_t n, const int *fd, unsigned n_fd),
		 void *ctx)
{
	static char text[TEXT_MAX_];
	struct udp_flow *f[GIVE_MAX];
	int fd[GIVE_MAX], err;
	unsigned n, n_fd = 0;
	size_t at = mod.given_to;
	struct sb b;

	mod.giving = true;
	if (mod.given)
		return false;
	sb_init(&b, text, sizeof(text));
	put_head(&b);
	/* the successor waits for a word also when we never had a udp vserver */
	n = mod.on ? udp_walk(&at, f, GIVE_MAX) : 0;
	for (unsigned i = 0; i < n; i++) {
		if (mod.gone[udp_flow_listener(f[i]) - mod.l])
			continue;
		f[n_fd] = f[i];
		fd[n_fd++] = udp_flow_fd(f[i]);
		put(&b, f[i]);
	}
	if (n && !n_fd) {                       /* all of them belong to listeners that end */
		mod.given_to = at;
		return true;
	}
	err = b.over ? FL_ELIMIT_
	      : n_fd ? pass(ctx, b.p, b.n, fd, n_fd)
		     : pass(ctx, "", 0, NULL, 0);
	mod.given |= err != 0 || !n;
	for (unsigned i = 0; !err && i < n_fd; i++)
		udp_flow_gone(f[i]);
	mod.given_to = at;
	return !mod.given;
}

/* By name, else by address: a vserver may have been renamed. */
static struct udp_listener *find_listener(struct str name)
{
	const struct lb_config *lc = mod.w.lc;
	struct str addr = name;

	for (unsigned i = 0; i < lc->n_listens; i++)
		if (lc->listens[i].udp && str_eq(str_c(lc->listens[i].full_name), name))
			return &mod.l[i];
	str_cut(&addr, '/');
	for (unsigned i = 0; i < lc->n_listens; i++) {
		char text[ADDR_TEXT_MAX];

		if (lc->listens[i].udp &&
		    str_eq(str_c(addr_text(&lc->listens[i].addr, text)), addr))
			return &mod.l[i];
	}
	return NULL;
}

/* Is that still one of its addresses? One that has no address yet in a young worker is believed. */
static bool has_address(const struct lb_service *s, const struct addr *to)
{
	struct ip ip = addr_ip(to);

	if (!s->host)
		return addr_eq(&s->addr, to);
	for (unsigned i = 0; i < s->n_dns; i++)
		if (ip_eq(s->dns[i], ip))
			return addr_port(to) == s->port;
	return !s->n_dns;
}

static void take_one(const struct udp_moved *m, struct str listen, const char *service, int fd)
{
	struct udp_listener *l = find_listener(listen);
	struct lb_service *s = lb_service_find(mod.w.lc, service);
	struct udp_service *u =
		s && takes_traffic(s) && has_address(s, &m->to) ? service_of(s) : NULL;

	if (!l || !l->priv || !u)
		env_close(fd);          /* its next datagram is balanced anew */
	else if (udp_adopt(l, u, m, fd) == 0)
		stat_inc(mod.w.proc, CTR_PROC_TAKEN_OVER);
}

void udp_vs_take(const void *text, size_t n, int *fd, unsigned n_fd)
{
	const char *p = text, *end = p + n;
	uint32_t size = 0;

	if (!mod.on)
		return;
	if (n == 0 && mod.awaited && --mod.awaited)
		return;
	if (n == 0) {
		timer_stop(&mod.hold);
		udp_hold(false);
		return;
	}
	if (n < sizeof(size))
		return;
	memcpy(&size, p, sizeof(size));
	p += sizeof(size);
	for (unsigned i = 0; i < n_fd && size == sizeof(struct udp_moved); i++) {
		const char *listen = p + sizeof(struct udp_moved), *service, *last;
		struct udp_moved m;

		service = listen < end ? memchr(listen, '\0', (size_t)(end - listen)) : NULL;
		last = service ? memchr(service + 1, '\0', (size_t)(end - service - 1)) : NULL;
		if (!last)
			return;
		memcpy(&m, p, sizeof(m));
		take_one(&m, str_c(listen), service + 1, fd[i]);
		fd[i] = -1;
		p = last + 1;
	}
}
