/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distribute_rss.c - `distribute rss`, `rules`, `least-load`: who has which bucket, and when it moves
 *
 * net/rss.h has maps and program, buckets.h the rules of moving. Slot and core are the same number, so other
 * sockets in the group, of whomever, do not matter: they get nothing. What changes is stored in the mapped
 * table at once: a core that has no worker that can accept has no buckets a few microseconds after
 * the master noticed. The maps' descriptors are kept with the address (struct sock) and travel with its
 * sockets, so a new master goes on with the same table and key.
 *
 * Without the right to load it, and for `kernel` on named cores, a classic program has the table in its instructions
 * (net/rss_tree.c): slot and index are the same number, a change of the table is another program, nothing is
 * counted, so nothing moves for load. What stands for the table's map is memory of ours then.
 *
 * Load of a core: while none is busy for half of its time, the connections that came to it; else the time that
 * its worker works, and a connection weighs what it cost there. A datagram is no connection: it counts by time only. For least-load it is always the time, and
 * each core has some more, so that nothing moves where all are idle. Every second; each sum costs some
 * microseconds per listener, of which a look takes 2 ms at most.
 */
#include "config.h"

#include "proc/distribute.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "proc/buckets.h"

#define COUNT_US 2000
#define HALF_US  500000         /* of a second */
#define IDLE_US  50000          /* that each core has more for least-load */
#define SCALE    65536          /* of prices in microseconds */

struct rss_spread {
	struct rss      rss;
	struct buckets  buckets;
	bool            on;             /* our program is on the group */
	bool            tree;           /* the classic one, with the table as it was after so many stores */
	uint64_t        stores, has;
	bool            fresh;          /* the table is not stored yet */
	uint32_t        crew;           /* for whom it was made */
	struct rss_opts opts;           /* of the program; its rules: */
	struct cidr     rules[RSS_RULES];
	struct rss_more more[RSS_RULES];
	uint64_t       *got;            /* [cores] connections (udp: datagrams) that were steered there */
	bool            in[];           /* [cores] its socket is in its slot */
};

/* Maps ------------------------------------------------------------------------------------- */

static struct rss_spread *new_spread(const struct master *m)
{
	struct rss_spread *r = env_calloc(1, sizeof(*r) + m->cores * sizeof(r->in[0]));

	if (!r)
		return NULL;
	r->got = env_calloc(m->cores, sizeof(*r->got));
	if (r->got) {
		r->rss.socks_fd = r->rss.data_fd = -1;
		return r;
	}
	env_free(r);
	return NULL;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		env_close(*fd);
	*fd = -1;
}

static void read_hits(const struct rss_spread *r, uint64_t hits[RSS_ENTRIES])
{
	for (unsigned i = 0; i < RSS_ENTRIES; i++)
		hits[i] = rss_hits(&r->rss, i);
}

/* Those of the master before, or new ones. A classic program takes the key and the homes of either kind. */
static int open_maps(struct distribute *d, struct rss_spread *r, struct sock *s, const struct man_listen *l, bool tree)
{
	unsigned workers = d->m->cur->n_workers;
	uint64_t hits[RSS_ENTRIES];
	int err;

	if ((tree || s->rss_socks >= 0) && s->rss_data >= 0) {
		err = rss_take(&r->rss, d->m->cores, s->rss_socks, s->rss_data);
		if (!err) {
			read_hits(r, hits);
			buckets_restore(&r->buckets, workers, &l->cores, r->rss.data->home, hits, r->got);
			return 0;
		}
	}
	err = tree ? rss_open_plain(&r->rss, d->m->cores) : rss_open(&r->rss, d->m->cores);
	if (err)
		return err;      /* what was left to us may do for a classic program */
	close_fd(&s->rss_socks);
	close_fd(&s->rss_data);
	s->rss_socks = r->rss.socks_fd;
	s->rss_data = r->rss.data_fd;
	d->rss_made = true;
	return 0;
}

static int need_maps(struct distribute *d, struct spread *sp, struct sock *s, const struct man_listen *l, bool tree)
{
	struct rss_spread *r;
	int err;

	if (sp->rss && (tree || sp->rss->rss.socks_fd >= 0))
		return 0;
	if (sp->rss) {
		rss_spread_free(sp);    /* with its descriptor */
		s->rss_data = -1;
	}
	r = new_spread(d->m);
	if (!r)
		return -ENOMEM;
	err = open_maps(d, r, s, l, tree);
	if (err) {
		env_free(r->got);
		env_free(r);
		return err;
	}
	r->fresh = true;
	sp->rss = r;
	return 0;
}

void rss_spread_free(struct spread *sp)
{
	if (!sp->rss)
		return;
	rss_close(&sp->rss->rss);
	env_free(sp->rss->got);
	env_free(sp->rss);
	sp->rss = NULL;
}

void rss_spread_off(struct spread *sp)
{
	if (sp->rss)
		sp->rss->on = false;
}

void rss_spread_closed(struct spread *sp, unsigned core)
{
	if (!sp->rss)
		return;
	sp->rss->in[core] = false;
	if (sp->rss->tree)       /* whose place another socket may have now */
		sp->rss->on = false;
}

/* The table -------------------------------------------------------------------------------- */

static void count(struct rss_spread *r)
{
	uint64_t hits[RSS_ENTRIES];

	read_hits(r, hits);
	buckets_count(&r->buckets, hits, r->got);
}

static void store(struct rss_spread *r)
{
	const struct buckets *b = &r->buckets;

	for (unsigned i = 0; i < RSS_BUCKETS + b->rules; i++) {
		rss_set(&r->rss, i, b->now[i]);
		r->rss.data->home[i] = b->home[i];
	}
	r->fresh = false;
	r->stores++;
}

/* Who gets what, from now on. What was counted until here belongs to those who had it. The workers of another
 * configuration are another crew. */
static void deal(const struct distribute *d, struct rss_spread *r, const struct man_listen *l)
{
	unsigned workers = d->m->cur->n_workers, spare = 0;
	const bool *may = distribute_may(d, l);

	if (!r->fresh && r->crew == d->crew)
		return;
	r->crew = d->crew;
	count(r);
	buckets_resize(&r->buckets, workers, &l->cores);
	buckets_rules(&r->buckets, l->rule_core, l->rss.n_rules);
	(void)buckets_deal(&r->buckets, may);
	store(r);
	while (spare < workers && !may[spare])
		spare++;
	if (spare < workers)
		rss_set_spare(&r->rss, spare);
}

/* The program ------------------------------------------------------------------------------ */

static bool is_same(const struct rss_opts *a, const struct rss_opts *b)
{
	return a->hash == b->hash && a->tuple == b->tuple && a->n_rules == b->n_rules &&
	       (!a->n_rules || (memcmp(a->rules, b->rules, a->n_rules * sizeof(a->rules[0])) == 0 &&
				memcmp(a->more, b->more, a->n_rules * sizeof(a->more[0])) == 0));
}

static int attach(struct rss_spread *r, int fd, const struct rss_opts *want, bool tree)
{
	int err;

	if (r->on && r->tree == tree && (!tree || r->has == r->stores) && is_same(&r->opts, want))
		return 0;
	err = tree ? rss_attach_tree(&r->rss, fd, want) : rss_attach(&r->rss, fd, want);
	if (err)
		return err;
	r->on = true;
	r->tree = tree;
	r->has = r->stores;
	r->opts = *want;
	r->opts.rules = r->rules;
	r->opts.more = r->more;
	if (want->n_rules) {
		memcpy(r->rules, want->rules, want->n_rules * sizeof(r->rules[0]));
		memcpy(r->more, want->more, want->n_rules * sizeof(r->more[0]));
	}
	return 0;
}

int rss_spread_apply(struct distribute *d, struct spread *sp, struct sock *s, const struct man_listen *l, bool tree)
{
	int err = need_maps(d, sp, s, l, tree);

	if (err)
		return err;
	deal(d, sp->rss, l);
	for (unsigned c = 0; c < d->m->cores && !tree; c++) {
		if (s->fd[c] < 0 || sp->rss->in[c])
			continue;
		err = rss_put(&sp->rss->rss, c, s->fd[c]);
		if (err)
			return err == -EBUSY ? err : -EAGAIN;
		sp->rss->in[c] = true;
	}
	return attach(sp->rss, s->fd[0], &l->rss, tree);
}

/* Load ------------------------------------------------------------------------------------- */

static struct rss_spread *spread_at(struct distribute *d, unsigned listen, bool for_balance)
{
	const struct man_listen *l = &d->m->cur->man->listens[listen];
	const struct sock *s = l->distribute >= STEER_RSS || l->cores.n ? distribute_sock(d->m, listen) : NULL;
	struct rss_spread *r = s && s->spread ? s->spread->rss : NULL;

	return r && r->on && !(for_balance && (r->tree || l->udp || !l->rebalance)) ? r : NULL;
}

/* How long each worker worked in the last second. False: not known. */
static bool look_at_cores(struct distribute *d)
{
	struct master *m = d->m;
	bool known = d->busy_crew == d->crew;
	char name[16];

	for (unsigned c = 0; c < m->cur->n_workers; c++) {
		uint64_t us;

		snprintf(name, sizeof(name), "%u", c);
		us = stat_slot_value(m->seg, m->cur->worker[c]->slot, stat_obj_find(m->seg, KIND_PROC, str_c(name)),
				     CTR_PROC_BUSY_US);
		if (known && us >= d->busy_seen[c])
			d->busy[c] = (d->busy[c] + us - d->busy_seen[c]) / 2;
		d->busy_seen[c] = us;
	}
	d->busy_crew = d->crew;
	return known;
}

/* From what came to each core, and how busy it is: what a connection weighs, and all of them. */
static void weigh(struct distribute *d)
{
	unsigned n = d->m->cur->n_workers;
	uint64_t busiest = 0;

	memset(d->recent, 0, n * sizeof(*d->recent));
	for (unsigned i = 0; i < d->m->cur->man->n_listens; i++) {
		const struct rss_spread *r = spread_at(d, i, false);

		if (r && !d->m->cur->man->listens[i].udp)
			buckets_recent(&r->buckets, d->recent);
	}
	for (unsigned c = 0; c < n; c++)
		busiest = FL_MAX(busiest, d->busy[c]);
	for (unsigned c = 0; c < n; c++) {
		bool by_time = busiest >= HALF_US;
		uint64_t time = d->busy[c] * SCALE, price = d->recent[c] ? time / d->recent[c] : 0;

		d->load[0][c] = by_time ? time : d->recent[c];
		d->price[0][c] = by_time ? price : 1;
		d->load[1][c] = time + (uint64_t)IDLE_US * SCALE;
		d->price[1][c] = price;
	}
}

static void count_all(struct distribute *d)
{
	unsigned all = d->m->cur->man->n_listens;
	uint64_t begin = env_now_us();

	for (unsigned n = 0; n < all && env_now_us() - begin < COUNT_US; n++) {
		struct rss_spread *r = spread_at(d, d->counted++ % all, false);

		if (!r)
			continue;
		count(r);
		buckets_second(&r->buckets);
	}
}

void rss_spread_second(struct distribute *d, bool all_there)
{
	const struct manifest *man = d->m->cur->man;

	count_all(d);
	if (!all_there || !look_at_cores(d))
		return;
	weigh(d);
	for (unsigned i = 0; i < man->n_listens; i++) {
		struct rss_spread *r = spread_at(d, i, true);
		const struct man_listen *l = &man->listens[i];
		unsigned by = l->distribute == STEER_LEAST_LOAD;

		if (r && buckets_balance(&r->buckets, distribute_may(d, l), d->recent, d->price[by], d->load[by], l->rebalance))
			store(r);
	}
}

/* For people ------------------------------------------------------------------------------- */

void distribute_tell(struct master *m, uint32_t row, struct sb *out)
{
	for (unsigned i = 0; m->distribute && m->cur && m->cur->man && i < m->cur->man->n_listens; i++) {
		struct rss_spread *r = spread_at(m->distribute, i, false);
		const struct man_listen *l = &m->cur->man->listens[i];
		unsigned n[STAT_MAX_CORES] = { 0 };

		if (!r || distribute_sock(m, i)->spread->row != row)
			continue;
		count(r);
		for (unsigned k = 0; k < RSS_BUCKETS; k++)
			n[r->buckets.now[k]]++;
		sb_fmt(out, "%d %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %d\n",
		       r->tree ? (int)RSS_JHASH : (int)r->opts.hash, r->opts.tuple,
		       r->tree || l->udp ? 0 : l->rebalance, r->buckets.moves, rss_hits(&r->rss, RSS_SPARE),
		       rss_hits(&r->rss, RSS_KERNEL), buckets_largest(&r->buckets), r->tree);
		for (unsigned c = 0; c < m->cur->n_workers; c++)
			sb_fmt(out, "%u %" PRIu64 "\n", n[c], r->got[c]);
		return;
	}
}
