/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver.c - c-ares on the engine (see resolver.h)
 *
 * c-ares says which sockets it wants watched and when it wants to be woken; both become engine_watch and one
 * coarse timer. Its callbacks may come from inside a call of ours, so answers are put on a list and
 * told from a job. A failure's retry delay has jitter, so that many names of a dead server are not asked
 * in step.
 */
#include "config.h"

#include "net/resolver.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>

#include "base/env.h"
#include "base/err.h"

#define SOCKETS_MAX   64
#define TRY_MS        2000
#define TRIES         3
#define TTL_MAX_S     86400
#define RETRY_S       4            /* after a failure; up to twice as long */

struct watched {
	struct engine_watch w;
	struct resolver    *r;
	bool                used;
};
struct query {
	struct list            link;
	struct resolver       *r;            /* NULL: resolver_free() came first */
	void                 (*cb)(void *ctx, const struct resolver_answer *a);
	void                  *ctx;
	bool                   cancelled, done;
	struct resolver_answer answer;
};
struct resolver {
	struct engine    *e;
	ares_channel      channel;
	struct timer      timer;
	struct engine_job job;
	struct list       queries;
	struct watched    sock[SOCKETS_MAX];
};

static void arm(struct resolver *r);

/* c-ares's sockets and time ----------------------------------------------------------------- */

static void on_socket(struct engine_watch *w, unsigned events)
{
	struct watched *s = FL_CONTAINER_OF(w, struct watched, w);
	struct resolver *r = s->r;
	ares_socket_t fd = w->fd;

	ares_process_fd(r->channel, events & ENGINE_READ ? fd : ARES_SOCKET_BAD,
			events & ENGINE_WRITE ? fd : ARES_SOCKET_BAD);
	arm(r);
}

static void on_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = ctx;
	struct watched *s = NULL, *free_one = NULL;

	for (unsigned i = 0; i < SOCKETS_MAX && !s; i++) {
		if (r->sock[i].used && r->sock[i].w.fd == fd)
			s = &r->sock[i];
		else if (!r->sock[i].used && !free_one)
			free_one = &r->sock[i];
	}
	if (!readable && !writable) {
		if (s) {
			engine_unwatch(r->e, &s->w);
			s->used = false;
		}
		return;
	}
	if (!s) {
		s = free_one;
		if (!s)
			return;          /* that query ends by its timeout */
		*s = (struct watched){ .w = { .fd = fd, .fn = on_socket }, .r = r, .used = true };
	}
	(void)engine_watch(r->e, &s->w,
			   (readable ? ENGINE_READ : 0) | (writable ? ENGINE_WRITE : 0));
}

static void on_time(struct timer *t)
{
	struct resolver *r = FL_CONTAINER_OF(t, struct resolver, timer);

	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(r);
}

static void arm(struct resolver *r)
{
	struct timeval tv, *next = ares_timeout(r->channel, NULL, &tv);

	if (next)
		engine_timer(r->e, &r->timer, (uint64_t)next->tv_sec * 1000 +
						      (uint64_t)next->tv_usec / 1000 + 1);
	else
		timer_stop(&r->timer);
}

/* Answers --------------------------------------------------------------------------------- */

/* Short for a name that does not exist, too: who starts a service names it a moment later. */
static uint32_t retry_delay(void)
{
	return (uint32_t)(RETRY_S + env_random_u64() % RETRY_S);
}

static bool have(const struct resolver_answer *a, struct ip ip)
{
	for (unsigned i = 0; i < a->n; i++)
		if (ip_eq(a->addr[i], ip))
			return true;
	return false;
}

static void take_addresses(struct resolver_answer *a, const struct ares_addrinfo *info)
{
	uint32_t ttl = TTL_MAX_S;

	for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
		struct addr addr = { 0 };
		struct ip ip;

		if (n->ai_family != AF_INET && n->ai_family != AF_INET6)
			continue;
		memcpy(&addr, n->ai_addr, FL_MIN((size_t)n->ai_addrlen, sizeof(addr)));
		addr_norm(&addr);
		ip = addr_ip(&addr);
		ttl = FL_MIN(ttl, (uint32_t)FL_MAX(n->ai_ttl, 1));
		if (a->n < RESOLVER_MAX && !have(a, ip))
			a->addr[a->n++] = ip;
	}
	a->ttl_s = ttl;
}

static int by_ip(const void *x, const void *y)
{
	return ip_cmp(*(const struct ip *)x, *(const struct ip *)y);
}

static void on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
	struct query *q = ctx;
	struct resolver_answer *a = &q->answer;
	struct sb b;

	(void)timeouts;
	sb_init(&b, a->text, sizeof(a->text));
	if (status == ARES_SUCCESS && info)
		take_addresses(a, info);
	if (info)
		ares_freeaddrinfo(info);
	if (a->n) {
		/* servers turn the order round; a stable one keeps "changed" meaningful */
		qsort(a->addr, a->n, sizeof(a->addr[0]), by_ip);
		sb_fmt(&b, "%u address%s", a->n, a->n == 1 ? "" : "es");
	} else {
		a->status = FL_EUNRESOLVED_;
		a->ttl_s = retry_delay();
		sb_c(&b, status == ARES_SUCCESS ? "no address" : ares_strerror(status));
	}
	q->done = true;
	if (q->r)
		engine_defer(q->r->e, &q->r->job);
}

static struct query *next_done(struct resolver *r)
{
	LIST_FOREACH(it, &r->queries) {
		struct query *q = LIST_ENTRY(it, struct query, link);

		if (q->done)
			return q;
	}
	return NULL;
}

/* One a turn: a callback may cancel others, or free the resolver. */
static void on_job(struct engine_job *j)
{
	struct resolver *r = FL_CONTAINER_OF(j, struct resolver, job);
	struct query *q = next_done(r);

	if (!q)
		return;
	list_del(&q->link);
	if (next_done(r))
		engine_defer(r->e, &r->job);
	if (!q->cancelled)
		q->cb(q->ctx, &q->answer);
	env_free(q);
}

/* Life ------------------------------------------------------------------------------------ */

static int set_servers(struct resolver *r, const struct addr *servers, unsigned n)
{
	struct ares_addr_port_node *nodes = env_calloc(n, sizeof(*nodes));
	int status;

	if (!nodes)
		return FL_ENOMEM_;
	for (unsigned i = 0; i < n; i++) {
		struct ip ip = addr_ip(&servers[i]);

		nodes[i].next = i + 1 < n ? &nodes[i + 1] : NULL;
		nodes[i].family = ip.family;
		nodes[i].udp_port = nodes[i].tcp_port = addr_port(&servers[i]);
		memcpy(&nodes[i].addr, ip.b, ip.family == AF_INET ? 4 : 16);
	}
	status = ares_set_servers_ports(r->channel, nodes);
	env_free(nodes);
	return status == ARES_SUCCESS ? 0 : FL_EUNRESOLVED_;
}

struct resolver *resolver_new(struct engine *e, const struct addr *servers, unsigned n, int *err)
{
	struct ares_options o = { .timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_state };
	struct resolver *r = env_calloc(1, sizeof(*r));

	*err = FL_ENOMEM_;
	if (!r)
		return NULL;
	r->e = e;
	list_init(&r->queries);
	timer_init(&r->timer, on_time);
	engine_job_init(&r->job, on_job);
	o.sock_state_cb_data = r;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		env_free(r);
		return NULL;
	}
	if (ares_init_options(&r->channel, &o,
			      ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) !=
	    ARES_SUCCESS) {
		ares_library_cleanup();
		env_free(r);
		return NULL;
	}
	*err = n ? set_servers(r, servers, n) : 0;
	if (*err)
		resolver_free(&r);
	return r;
}

static void free_resolver(void *obj)
{
	env_free(obj);
}

void resolver_free(struct resolver **rp)
{
	struct resolver *r = *rp;
	struct list *n;

	*rp = NULL;
	if (!r)
		return;
	LIST_FOREACH(it, &r->queries)
		LIST_ENTRY(it, struct query, link)->r = NULL;
	ares_destroy(r->channel);            /* every open query gets its callback: done = true */
	while ((n = list_pop(&r->queries)))
		env_free(LIST_ENTRY(n, struct query, link));
	ares_library_cleanup();
	timer_stop(&r->timer);
	engine_job_cancel(&r->job);
	for (unsigned i = 0; i < SOCKETS_MAX; i++)
		if (r->sock[i].used)
			engine_unwatch(r->e, &r->sock[i].w);
	engine_free_later(r->e, r, free_resolver);
}

static void answer_literal(struct query *q, struct ip ip)
{
	struct sb b;

	q->answer.addr[0] = ip;
	q->answer.n = 1;
	q->answer.ttl_s = TTL_MAX_S;
	sb_init(&b, q->answer.text, sizeof(q->answer.text));
	sb_c(&b, "an address");
	q->done = true;
	engine_defer(q->r->e, &q->r->job);
}

int resolver_query(struct resolver *r, const char *name,
		   void (*cb)(void *ctx, const struct resolver_answer *a), void *ctx)
{
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NOSORT };
	struct query *q = env_calloc(1, sizeof(*q));
	struct ip ip;

	if (!q)
		return FL_ENOMEM_;
	q->r = r;
	q->cb = cb;
	q->ctx = ctx;
	list_append(&r->queries, &q->link);
	/* c-ares 1.18 asks servers for an IPv4 literal */
	if (ip_parse(str_c(name), &ip) == 0) {
		answer_literal(q, ip);
		return 0;
	}
	ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, q);
	arm(r);
	return 0;
}

void resolver_cancel(struct resolver *r, void *ctx)
{
	LIST_FOREACH(it, &r->queries) {
		struct query *q = LIST_ENTRY(it, struct query, link);

		if (q->ctx == ctx)
			q->cancelled = true;
	}
}
