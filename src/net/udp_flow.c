/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_flow.c - the flow table of a worker, and its sockets to services (see udp.h)
 *
 * The table has a bucket for each flow that there may be: its memory is reserved at the start
 * and used as it fills, so it never has to be made again while traffic waits. A flow takes 128
 * bytes, its socket as much (and about 1 KiB in the kernel).
 *
 * Idle time: each flow has a timer of the engine's wheel; traffic moves the deadline, which is a
 * store.
 */
#include "config.h"

#include "net/udp_int.h"

#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/env.h"
#include "base/err.h"
#include "base/hash.h"

#define MAX_FLOWS (1u << 20)
#define SWEEP_MS  1000u

_Static_assert(sizeof(struct udp_flow) <= 128, "see above");

struct udp_mod udp_mod;

/* The table -------------------------------------------------------------------------------- */

static unsigned flows_allowed(unsigned wanted)
{
	struct rlimit r;
	rlim_t most = MAX_FLOWS;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < (rlim_t)MAX_FLOWS)
		most = FL_MAX(r.rlim_cur / 4 * 3, (rlim_t)1);
	return wanted ? (unsigned)FL_MIN((rlim_t)wanted, most) : (unsigned)most;
}

int udp_table_init(unsigned max_flows)
{
	struct udp_mod *m = &udp_mod;

	m->max_open = flows_allowed(max_flows);
	for (m->n_buckets = 64; m->n_buckets < m->max_open; )
		m->n_buckets *= 2;
	m->bucket = env_mmap(m->n_buckets * sizeof(*m->bucket), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	slab_init(&m->flows, "udp_flow", sizeof(struct udp_flow), 32, 0);
	slab_init(&m->ups, "udp_up", sizeof(struct udp_up), 32, 0);
	return m->bucket ? 0 : FL_ENOMEM_;
}

void udp_table_fini(void)
{
	struct udp_mod *m = &udp_mod;

	if (m->bucket)
		(void)env_munmap(m->bucket, m->n_buckets * sizeof(*m->bucket));
	m->bucket = NULL;
}

static uint32_t hash_of(const struct udp_listener *l, const struct addr *client)
{
	/* keyed: clients choose their ports */
	return (uint32_t)(hash_sip(client, addr_len(client)) ^ ((uintptr_t)l >> 4) * 0x9e3779b1u);
}

static struct udp_flow **slot_of(uint32_t hash)
{
	return &udp_mod.bucket[hash & (udp_mod.n_buckets - 1)];
}

static bool same_client(const struct udp_flow *f, const struct udp_listener *l,
			const struct addr *client)
{
	return f->l == l && memcmp(&f->client, client, addr_len(client)) == 0;
}

static struct udp_flow *find(const struct udp_listener *l, const struct addr *client, uint32_t hash)
{
	struct udp_flow *f = *slot_of(hash);

	while (f && (f->hash != hash || !same_client(f, l, client)))
		f = f->next;
	return f;
}

/* Out of the table; nothing else. */
static void forget(struct udp_flow *f)
{
	struct udp_flow **at = slot_of(f->hash);

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	slab_put(&udp_mod.flows, f);
}

/* Sockets to services ---------------------------------------------------------------------- */

void udp_service_init(struct udp_service *s)
{
	list_init(&s->resting);
	list_init(&s->link);
	s->n_resting = 0;
}

static void unrest(struct udp_up *up)
{
	struct udp_service *s = up->svc;

	list_del(&up->link);
	up->resting = false;
	s->n_resting--;
	stat_dec(s->stat, CTR_SERVICE_CONN_IDLE);
	if (!s->n_resting)
		list_del(&s->link);
}

static void free_up(void *obj)
{
	slab_put(&udp_mod.ups, obj);
}

/* Its descriptor is somebody else's from now on, or closed. */
static void leave_up(struct udp_up *up, bool close_it)
{
	int fd = up->e.fd;

	if (up->resting)
		unrest(up);
	list_del(&up->more);
	engine_del(udp_mod.e, &up->e);
	up->e.fd = -1;          /* an event of this turn may still point here */
	if (close_it)
		env_close(fd);
	stat_dec(up->svc->stat, CTR_SERVICE_CONN_CUR);
	engine_free_later(udp_mod.e, up, free_up);
}

void udp_up_close(struct udp_up *up)
{
	if (up->flow) {
		up->flow->up = NULL;
		if (!up->flow->open)
			forget(up->flow);
	}
	leave_up(up, true);
}

void udp_service_trim(struct udp_service *s)
{
	while (s->n_resting)
		udp_up_close(LIST_ENTRY(s->resting.next, struct udp_up, link));
}

static void trim_all(void)
{
	while (!list_empty(&udp_mod.services))
		udp_service_trim(LIST_ENTRY(udp_mod.services.next, struct udp_service, link));
}

/* Those that nobody wanted for long. */
static void on_sweep(struct timer *t)
{
	LIST_FOREACH_SAFE(it, tmp, &udp_mod.services) {
		struct udp_service *s = LIST_ENTRY(it, struct udp_service, link);

		while (s->n_resting) {
			struct udp_up *up = LIST_ENTRY(s->resting.next, struct udp_up, link);

			if (udp_now_ms() - up->since_ms < s->rest_age_ms)
				break;
			udp_up_close(up);
		}
	}
	if (!list_empty(&udp_mod.services))
		engine_timer(udp_mod.e, t, SWEEP_MS);
}

/* False: it may not serve others, or there are enough. */
static bool rest(struct udp_up *up)
{
	struct udp_service *s = up->svc;

	if (up->spoiled || s->n_resting >= s->rest_max)
		return false;
	if (!timer_is_set(&udp_mod.sweep)) {
		timer_init(&udp_mod.sweep, on_sweep);
		engine_timer(udp_mod.e, &udp_mod.sweep, SWEEP_MS);
	}
	if (!s->n_resting++)
		list_append(&udp_mod.services, &s->link);
	list_append(&s->resting, &up->link);
	up->resting = true;
	up->since_ms = udp_now_ms();
	stat_inc(s->stat, CTR_SERVICE_CONN_IDLE);
	return true;
}

void udp_service_strayed(struct udp_service *s, uint32_t datagrams)
{
	stat_add(s->stat, CTR_SERVICE_STRAYS, datagrams);
	s->mistrust_ms = udp_now_ms() + UDP_MISTRUST_MS;
}

/* Nothing came to it that the loop has not told of yet. */
static bool is_silent(const struct udp_up *up)
{
	char c;
	ssize_t n = env_recv(up->e.fd, &c, sizeof(c), MSG_TRUNC);

	if (n >= 0)
		udp_service_strayed(up->svc, 1);
	return n == -EAGAIN;
}

/* The one that rested longest, of another client or of nobody; NULL: none may be had yet. */
static struct udp_up *take_resting(struct udp_service *s, const struct addr *to)
{
	while (s->n_resting && udp_now_ms() >= s->mistrust_ms) {
		struct udp_up *up = LIST_ENTRY(s->resting.next, struct udp_up, link);

		if (udp_now_ms() - up->since_ms < UDP_REST_MS)
			return NULL;
		if (!addr_eq(&up->to, to) || !is_silent(up)) {
			udp_up_close(up);
			continue;
		}
		if (up->flow)
			forget(up->flow);
		up->flow = NULL;
		unrest(up);
		return up;
	}
	return NULL;
}

/* An up around a descriptor; takes it. */
static struct udp_up *new_up(struct udp_service *s, const struct addr *to, int fd)
{
	struct udp_up *up = slab_get(&udp_mod.ups);

	if (up) {
		up->e = (struct engine_fd){ .fd = fd, .fn = udp_up_readable };
		up->svc = s;
		up->to = *to;
		list_init(&up->link);
		list_init(&up->more);
		if (engine_add_reader(udp_mod.e, &up->e) == 0) {
			stat_inc(s->stat, CTR_SERVICE_CONN_CUR);
			return up;
		}
		slab_put(&udp_mod.ups, up);
	}
	env_close(fd);
	return NULL;
}

static int open_socket(const struct addr *to)
{
	int fd = env_socket(to->sa.sa_family, SOCK_DGRAM, 0), err;

	if (fd == -EMFILE || fd == -ENFILE) {
		trim_all();
		fd = env_socket(to->sa.sa_family, SOCK_DGRAM, 0);
	}
	if (fd < 0)
		return fd;
	env_setsockopt_int(fd, IPPROTO_UDP, UDP_GRO, 1);
	err = env_connect(fd, &to->sa, addr_len(to));
	if (err) {
		env_close(fd);
		return err;
	}
	return fd;
}

static int connect_up(struct udp_service *s, const struct addr *to, struct udp_up **out)
{
	int fd = open_socket(to);

	if (fd < 0) {
		stat_inc(s->stat, CTR_SERVICE_CONN_FAIL);
		if (udp_is_unreachable(fd))
			stat_inc(s->stat, CTR_SERVICE_UNREACHABLE);
		return fd;
	}
	*out = new_up(s, to, fd);
	if (!*out)
		return FL_ENOMEM_;
	stat_inc(s->stat, CTR_SERVICE_CONN_TOT);
	return 0;
}

/* The socket for a flow: its own of before, one that rested, a new one. */
static int give_up(struct udp_flow *f, const struct udp_route *r)
{
	struct udp_up *up = f->up;
	int err = 0;

	if (up && up->svc == r->service && addr_eq(&up->to, &r->to)) {
		unrest(up);
		stat_inc(up->svc->stat, CTR_SERVICE_REUSE);
		return 0;
	}
	if (up)
		up->flow = NULL;
	up = take_resting(r->service, &r->to);
	if (up)
		stat_inc(up->svc->stat, CTR_SERVICE_REUSE);
	else
		err = connect_up(r->service, &r->to, &up);
	f->up = up;
	if (up)
		up->flow = f;
	return err;
}

/* Flows ------------------------------------------------------------------------------------ */

static void on_idle(struct timer *t)
{
	udp_flow_end(FL_CONTAINER_OF(t, struct udp_flow, idle), UDP_END_CLOSE);
}

void udp_flow_set_owed(struct udp_flow *f, uint32_t owed)
{
	if (owed && !f->owed)
		udp_mod.n_waiting++;
	else if (!owed && f->owed)
		udp_mod.n_waiting--;
	f->owed = owed;
}

static void count_drops(const struct udp_listener *l, unsigned why, unsigned n)
{
	stat_add(l->vs_stat, why, n);
	if (why == CTR_VSERVER_DROP_LIMIT)
		stat_add(l->stat, CTR_LISTENER_REFUSED, n);
}

/* What open and adopted flows have in common. */
static void begin(struct udp_flow *f, const struct udp_route *r)
{
	f->idle_ms = r->idle_ms;
	f->responses = r->responses;
	f->open = true;
	f->refused = f->no_trains = false;
	udp_mod.n_open++;
	stat_inc(f->l->stat, CTR_LISTENER_CONN_CUR);
	engine_timer(udp_mod.e, &f->idle, f->idle_ms);
}

static void normal_forms(const struct udp_flow *f, struct addr *client, struct addr *local)
{
	*client = f->client;
	addr_norm(client);
	if (f->local.family)
		addr_from_ip(local, f->local, addr_port(&f->l->addr));
	else
		*local = f->l->addr;
	addr_norm(local);
}

/* Asks where to, and gets a socket there; the second try avoids where none could be had. */
static bool balance(struct udp_flow *f, const struct udp_service *avoid, unsigned n)
{
	const struct udp_host *h = udp_mod.host;
	struct addr client, local;
	struct udp_route r;
	int err = 0;

	normal_forms(f, &client, &local);
	for (unsigned try = 0; try < 2; try++) {
		int why = h->open(f->l, &client, &local, avoid, &r);

		if (why) {
			count_drops(f->l, (unsigned)why, n);
			return false;
		}
		err = give_up(f, &r);
		if (!err) {
			begin(f, &r);
			stat_inc(f->l->stat, CTR_LISTENER_ACCEPTS);
			return true;
		}
		h->close(f->l, r.service);
		stat_inc(f->l->core_stat, CTR_PROC_UDP_ERRS);
		avoid = r.service;
	}
	count_drops(f->l, udp_is_unreachable(err) ? CTR_VSERVER_NO_SERVICE : CTR_VSERVER_DROP_LIMIT,
		    n);
	return false;
}

static struct udp_flow *add(struct udp_listener *l, const struct addr *client, uint32_t hash)
{
	struct udp_flow *f = slab_get(&udp_mod.flows), **at = slot_of(hash);

	if (!f)
		return NULL;
	f->l = l;
	memcpy(&f->client, client, addr_len(client));
	f->hash = hash;
	timer_init(&f->idle, on_idle);
	f->next = *at;
	*at = f;
	return f;
}

/* Not open, and no socket of its own: nothing to keep. */
static struct udp_flow *fail(struct udp_flow *f)
{
	if (f->up)
		f->up->flow = NULL;
	forget(f);
	return NULL;
}

struct udp_flow *udp_flow_for(struct udp_listener *l, const struct addr *client,
			      const struct ip *local, unsigned n)
{
	uint32_t hash = hash_of(l, client);
	struct udp_flow *f = find(l, client, hash);

	if (f && f->open) {
		if (FL_LIKELY(!f->refused && udp_mod.host->is_good(f->up->svc)))
			return f;
		return udp_flow_anew(f, f->refused ? f->up->svc : NULL, n) ? f : NULL;
	}
	if (udp_mod.n_open >= udp_mod.max_open || (!f && !(f = add(l, client, hash)))) {
		count_drops(l, CTR_VSERVER_DROP_LIMIT, n);
		return NULL;
	}
	f->local = *local;
	return balance(f, NULL, n) ? f : fail(f);
}

/* Books only: sockets and the table are the caller's. */
static void end_books(struct udp_flow *f)
{
	udp_mod.host->close(f->l, f->up->svc);
	udp_mod.n_open--;
	stat_dec(f->l->stat, CTR_LISTENER_CONN_CUR);
	udp_flow_set_owed(f, 0);
	timer_stop(&f->idle);
	f->open = false;
}

bool udp_flow_anew(struct udp_flow *f, const struct udp_service *avoid, unsigned n)
{
	struct udp_up *up = f->up;

	end_books(f);
	up->flow = NULL;
	f->up = NULL;
	udp_up_close(up);
	if (balance(f, avoid, n))
		return true;
	(void)fail(f);
	return false;
}

void udp_flow_end(struct udp_flow *f, enum udp_end how)
{
	struct udp_up *up = f->up;

	end_books(f);
	if (how == UDP_END_REST && rest(up))
		return;                 /* dormant */
	udp_up_close(up);               /* forgets the flow, too */
}

void udp_flows_end(const struct udp_listener *l)
{
	for (size_t i = 0; udp_mod.bucket && i < udp_mod.n_buckets; i++) {
		struct udp_flow *f = udp_mod.bucket[i], *next;

		for (; f; f = next) {
			next = f->next;
			if (l && f->l != l)
				continue;
			if (f->open)
				udp_flow_end(f, UDP_END_CLOSE);
			else
				udp_up_close(f->up);
		}
	}
}

/* Handing over ----------------------------------------------------------------------------- */

unsigned udp_walk(size_t *at, struct udp_flow **out, unsigned max)
{
	unsigned n = 0;

	for (; *at < udp_mod.n_buckets; ++*at) {
		unsigned before = n;

		for (struct udp_flow *f = udp_mod.bucket[*at]; f; f = f->next) {
			if (!f->open)
				continue;
			if (n == max) {
				/* not half of a bucket; of one that alone is too much the rest is lost */
				*at += !before;
				return before ? before : n;
			}
			out[n++] = f;
		}
	}
	return n;
}

struct udp_listener *udp_flow_listener(const struct udp_flow *f)
{
	return f->l;
}

struct udp_service *udp_flow_service(const struct udp_flow *f)
{
	return f->up->svc;
}

int udp_flow_fd(const struct udp_flow *f)
{
	return f->up->e.fd;
}

void udp_flow_moved(const struct udp_flow *f, struct udp_moved *out)
{
	uint64_t now = udp_now_ms(), end = f->idle.deadline_ms;

	memset(out, 0, sizeof(*out));
	out->client = f->client;
	out->to = f->up->to;
	out->local = f->local;
	out->idle_ms = f->idle_ms;
	out->left_ms = end > now ? (uint32_t)(end - now) : 1;
	out->owed = f->owed;
	out->responses = f->responses;
}

void udp_flow_gone(struct udp_flow *f)
{
	struct udp_up *up = f->up;

	end_books(f);
	udp_up_close(up);               /* our copy of the descriptor */
}

int udp_adopt(struct udp_listener *l, struct udp_service *s, const struct udp_moved *m, int fd)
{
	struct udp_route r = {
		.service = s, .to = m->to, .idle_ms = m->idle_ms, .responses = m->responses
	};
	uint32_t hash = hash_of(l, &m->client);
	struct udp_flow *f = find(l, &m->client, hash);
	struct udp_up *up;

	if (udp_mod.n_open >= udp_mod.max_open) {
		env_close(fd);
		return FL_ELIMIT_;
	}
	up = new_up(s, &m->to, fd);
	if (!up)
		return FL_ENOMEM_;
	if (f && f->open)
		udp_flow_end(f, UDP_END_CLOSE);
	else if (f)
		udp_up_close(f->up);
	f = add(l, &m->client, hash);
	if (!f) {
		leave_up(up, true);
		return FL_ENOMEM_;
	}
	f->local = m->local;
	f->up = up;
	up->flow = f;
	udp_mod.host->adopt(l, s);
	begin(f, &r);
	udp_flow_set_owed(f, m->owed);
	timer_stop(&f->idle);
	engine_timer(udp_mod.e, &f->idle, m->left_ms);
	return 0;
}
