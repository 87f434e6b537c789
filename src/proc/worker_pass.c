/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_pass.c - connections that another core is to serve: handed to it right after they were accepted, and taken
 *
 * Which core: the one that `distribute rules` names for the client, or `rss` with a tuple of 2 or 3 means for it, where the
 * kernel did not steer; for a TLS listener one of `function tls`, in turn. A core that is there by the master's word only; everything else is served by who accepted
 * it. What was taken is never handed on, so nothing goes in circles.
 *
 * A message is good for the generation that wrote it and for all others: the listener is found by its name, what the
 * message says of its number is a guess that is checked. Around a reload the box of a core has readers of two generations
 * for a moment. Who finds a message of a newer one that it cannot place puts it back, and reads no more; one of an older one goes
 * to the predecessor, who still accepts for listeners that are gone (worker_drain.c), as soon as that has opened its
 * channel.
 */
#include "config.h"

#include "proc/worker_inside.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/env.h"
#include "base/err.h"
#include "base/hash.h"

#define AWAIT_BEATS 3u

static struct worker *self;              /* this process's */

/* A connection as a message ----------------------------------------------------------------- */

bool worker_conn_text(struct sb *b, const struct addr *peer, const char *listen_name)
{
	sb_add(b, peer, sizeof(*peer));
	sb_c(b, listen_name);
	return !b->over;
}

bool worker_conn_read(const struct msg_in *in, struct addr *peer, struct str *listen_name)
{
	if (in->n <= sizeof(*peer))
		return false;
	memcpy(peer, in->text, sizeof(*peer));
	*listen_name = str_n(in->text + sizeof(*peer), in->n - sizeof(*peer));
	return peer->sa.sa_family == AF_INET || peer->sa.sa_family == AF_INET6;
}

/* By name, else by address: a vserver may have been renamed. */
struct listener *worker_find_listener(struct worker *w, struct str name)
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

static struct listener *guessed_listener(struct worker *w, uint64_t guess, struct str name)
{
	const struct lb_listen *l = guess < w->lc->n_listens ? &w->lc->listens[guess] : NULL;

	return l && !l->udp && str_eq(str_c(l->full_name), name) ? &w->listens[guess] : worker_find_listener(w, name);
}

/* Which core -------------------------------------------------------------------------------- */

static bool is_there(const struct worker *w, unsigned core)
{
	return stat_live_slot(w->seg, core) != STAT_NO_SLOT;
}

/* The next of them that is there; CORES_MAX: none. */
static unsigned in_turn(struct worker *w, const struct core_set *set)
{
	for (unsigned i = 0; i < w->cores; i++) {
		unsigned core = w->pass_next++ % w->cores;

		if (core_set_has(set, core) && is_there(w, core))
			return core;
	}
	return CORES_MAX;
}

/* Our address is asked for only where a rule looks at it. */
static bool asks_for_address(const struct rss_opts *o)
{
	for (unsigned i = 0; o->more && i < o->n_rules; i++)
		if (o->more[i].to.ip.family)
			return true;
	return false;
}

static unsigned by_rule(const struct lb_listen *l, int fd, const struct addr *peer)
{
	struct ip from = addr_ip(peer), to = { 0 };
	struct flow f = { .v6 = from.family == AF_INET6, .from_port = htons((uint16_t)addr_port(peer)) };
	struct addr local;
	socklen_t n = sizeof(local);
	int rule;

	if (!l->rule_core || !l->rss.n_rules)
		return CORES_MAX;
	if (asks_for_address(&l->rss) && getsockname(fd, &local.sa, &n) == 0) {
		addr_norm(&local);
		to = addr_ip(&local);
	}
	memcpy(f.from, from.b, sizeof(f.from));
	memcpy(f.to, to.b, sizeof(f.to));
	rule = rss_rule(&l->rss, &f);
	return rule < 0 ? CORES_MAX : l->rule_core[rule];
}

/* `distribute rss` by less than four numbers promises that a client has always the same core. */
static bool is_by_client(const struct lb_listen *l)
{
	return l->distribute >= STEER_RSS && l->rss.tuple < 4;
}

/* Does the kernel keep that promise? Then its table is the master's, and we know nothing of it. */
static bool is_steered(const struct worker *w, const struct lb_listen *l)
{
	struct stat_steer now;

	stat_steer_get(w->seg, l->row, &now);
	return now.state != ST_STEER_DENIED && now.state != ST_STEER_UNABLE && now.state != ST_STEER_ELSEWHERE &&
	       now.state != ST_STEER_MANY && now.state != ST_STEER_SHARED;
}

/* Of these cores the one that is there with the highest hash of client and core, so that one that comes or goes moves only
 * its own. */
static unsigned by_client(const struct worker *w, const struct lb_listen *l, const struct core_set *may, const struct addr *peer)
{
	struct { struct ip ip; uint8_t pad[3]; uint32_t port, core; } key = { .ip = addr_ip(peer) };
	unsigned who = CORES_MAX;
	uint64_t best = 0;

	if (l->rss.tuple == 3)
		key.port = addr_port(&l->addr);
	for (uint32_t core = 0; core < w->cores; core++) {
		uint64_t h;

		key.core = core;
		h = is_there(w, core) && core_set_has(may, core) ? hash_sip(&key, sizeof(key)) : 0;
		if (h > best) {
			best = h;
			who = core;
		}
	}
	return who;
}

/* Those that may serve it: its own, of which `function tls` leaves those in its list. When these have none in common, its
 * own: they were named for this listener. */
static struct core_set may_serve(const struct core_set *tls, const struct lb_listen *l)
{
	struct core_set both;

	if (!tls || !l->cores.n)
		return tls ? *tls : l->cores;
	both = core_set_both(tls, &l->cores);
	return both.n ? both : l->cores;
}

/* Core that is to serve it; CORES_MAX: another one than this, but none of those is there. */
static unsigned right_core(struct worker *w, const struct lb_listen *l, int fd, const struct addr *peer)
{
	const struct core_set *tls = l->uses_tls ? w->lc->function[LB_FUNCTION_TLS] : NULL;
	struct core_set may = may_serve(tls, l);
	unsigned own = w->start->core, rule = by_rule(l, fd, peer);

	if (rule != CORES_MAX && core_set_has(&may, rule))
		return rule == own || is_there(w, rule) ? rule : tls ? in_turn(w, &may) : CORES_MAX;
	if (is_by_client(l) && ((tls && !core_set_has(&may, own)) || !is_steered(w, l)))
		return by_client(w, l, &may, peer);
	if (!tls || core_set_has(&may, own))
		return own;
	return in_turn(w, &may);
}

/* Giving ------------------------------------------------------------------------------------ */

/* Nobody is left to give it to from the moment that a newer generation serves, or that we drain. */
static bool may_give(const struct worker *w)
{
	return !w->retired && stat_newest_generation(w->seg) == w->start->generation;
}

static bool elsewhere(struct listener *l, int fd, const struct addr *peer)
{
	struct worker *w = self;
	unsigned i = (unsigned)(l - w->listens), core = right_core(w, &w->lc->listens[i], fd, peer);
	struct msg m = { .type = MSG_CONN, .slot = w->start->slot, .core = core, .generation = w->start->generation, .arg = i };
	char text[WORKER_CONN_TEXT];
	struct sb b;

	if (core == w->start->core)
		return false;
	sb_init(&b, text, sizeof(text));
	if (core == CORES_MAX || !may_give(w) || !worker_conn_text(&b, peer, w->lc->listens[i].full_name) ||
	    boxes_put(&w->boxes, core, &m, b.p, b.n, fd) != 0) {
		stat_inc(w->proc, CTR_PROC_PASS_KEPT);
		return false;
	}
	env_close(fd);
	stat_inc(w->proc, CTR_PROC_PASSED);
	return true;
}

/* Taking ------------------------------------------------------------------------------------ */

static bool to_predecessor(struct worker *w, const struct msg_in *in, int fd)
{
	LIST_FOREACH(it, &w->inflows) {
		struct inflow *i = LIST_ENTRY(it, struct inflow, link);

		if (chan_is_open(&i->chan) && chan_send(&i->chan, &in->m, in->text, in->n, &fd, 1) == 0)
			return true;
	}
	return false;
}

/* Of a listener that we do not have. Later: its reader is on its way, and we are to go; or who we would give it to is. */
static void not_ours(struct worker *w, unsigned core, const struct msg_in *in, int fd)
{
	bool later = in->m.generation > w->start->generation || (w->awaited && list_empty(&w->inflows));

	if (later ? boxes_put(&w->boxes, core, &in->m, in->text, in->n, fd) != 0 : !to_predecessor(w, in, fd))
		stat_inc(w->proc, CTR_PROC_PASS_LOST);
	env_close(fd);
	if (later)
		boxes_serve(&w->boxes, core, false);
}

/* core: whose box it was in; CORES_MAX: in none, it was given back. in NULL: what came was damaged. */
static void took(struct worker *w, unsigned core, struct msg_in *in)
{
	int fd = in ? msg_take_fd(in, 0) : -1;
	struct listener *l;
	struct str name;
	struct addr peer;

	if (fd < 0 || in->m.type != MSG_CONN || !worker_conn_read(in, &peer, &name)) {
		stat_inc(w->proc, CTR_PROC_PASS_LOST);
		if (fd >= 0)
			env_close(fd);
		return;
	}
	l = guessed_listener(w, in->m.arg, name);
	if (l) {
		stat_inc(w->proc, CTR_PROC_PASS_TAKEN);
		listener_admit(l, fd, &peer);
	} else if (core != CORES_MAX) {
		not_ours(w, core, in, fd);
	} else {
		stat_inc(w->proc, CTR_PROC_PASS_LOST);
		env_close(fd);
	}
}

static void from_box(void *ctx, unsigned core, struct msg_in *in)
{
	took(ctx, core, in);
}

void worker_pass_returned(struct worker *w, struct msg_in *in)
{
	took(w, CORES_MAX, in);
}

/* Life -------------------------------------------------------------------------------------- */

static void on_pause(bool paused)
{
	boxes_pause(&self->boxes, paused);
}

int worker_pass_init(struct worker *w)
{
	const struct gen_start *s = w->start->gen->start;
	bool tls = w->lc->function[LB_FUNCTION_TLS] != NULL;

	self = w;
	w->pass_next = w->start->core;           /* not all of them begin with the same one */
	for (unsigned i = 0; i < w->lc->n_listens; i++) {
		const struct lb_listen *l = &w->lc->listens[i];

		if (!l->udp && ((tls && l->uses_tls) || l->rss.n_rules || is_by_client(l)))
			w->listens[i].elsewhere = elsewhere;
	}
	listener_on_pause(on_pause);
	return boxes_open(&w->boxes, w->engine, s->box_fd, FL_MIN(s->n_box, w->cores), from_box, w);
}

/* Boxes are served as listeners are: the own one, and those of cores without a worker. They are the newest generation's; where
 * there is no newer one and we end, each of us empties all of them. */
void worker_pass_apply(struct worker *w)
{
	bool newest = stat_newest_generation(w->seg) == w->start->generation;

	for (unsigned core = 0; core < w->boxes.n; core++)
		boxes_serve(&w->boxes, core, newest && w->serving &&
						     (w->retired || stat_serving_core(w->seg, core) == w->start->core));
}

/* A predecessor that died, or a master that did, opens no inflow. */
void worker_pass_beat(struct worker *w)
{
	if (!w->awaited || ++w->await_beats < AWAIT_BEATS)
		return;
	w->awaited = 0;
	worker_pass_apply(w);
}

bool worker_pass_is_over(struct worker *w)
{
	return boxes_empty(&w->boxes) == 0;
}
