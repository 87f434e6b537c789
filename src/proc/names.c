/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.c - do the names of services resolve now? A warning each, for `fairlead -t`
 *
 * A start does not ask: it serves what it can, and its workers ask for the rest (state RESOLVING). All names are asked for
 * at once by the resolver that workers use, and what has not come within NAMES_MS is said to be missing.
 */
#include "config.h"

#include "proc/names.h"

#include "base/env.h"
#include "base/err.h"
#include "net/engine.h"
#include "net/resolver.h"

#define NAMES_MS 3000u

struct asked {
	struct names            *all;
	const struct lb_service *s;
	bool                     done;
};
struct names {
	struct engine    *e;
	struct resolver  *r;
	struct timer      end;
	struct asked     *ask;
	unsigned          n, left;
	struct conf_diag *d;
};

static void warn(struct names *all, const struct lb_service *s, const char *why)
{
	const struct conf_val *v = &s->node->val[1];

	conf_warn(all->d, v->loc, v->span, NULL, "[W0410] \"%s\" does not resolve now (%s); the service starts as RESOLVING",
		  s->host, why);
}

static void answered(void *ctx, const struct resolver_answer *a)
{
	struct asked *q = ctx;

	q->done = true;
	if (a->status)
		warn(q->all, q->s, a->text);
	if (--q->all->left == 0)
		engine_stop(q->all->e);
}

static void on_end(struct timer *t)
{
	engine_stop(FL_CONTAINER_OF(t, struct names, end)->e);
}

static void ask_all(struct names *all, const struct lb_config *lc)
{
	for (unsigned i = 0; i < lc->n_pools; i++) {
		for (unsigned k = 0; k < lc->pools[i].n_services; k++) {
			struct asked *q = &all->ask[all->n];

			if (!lc->pools[i].services[k].host)
				continue;
			*q = (struct asked){ .all = all, .s = &lc->pools[i].services[k] };
			all->n++;
			if (resolver_query(all->r, q->s->host, answered, q) == 0)
				all->left++;
		}
	}
}

void names_check(const struct lb_config *lc, struct conf_diag *d)
{
	struct names all = { .d = d };
	unsigned n = 0;
	int err = 0;

	for (unsigned i = 0; i < lc->n_pools; i++)
		for (unsigned k = 0; k < lc->pools[i].n_services; k++)
			n += lc->pools[i].services[k].host != NULL;
	if (!n)
		return;
	all.ask = env_calloc(n, sizeof(*all.ask));
	all.e = engine_new();
	if (all.ask && all.e)
		all.r = resolver_new(all.e, lc->resolvers, lc->n_resolvers, &err);
	if (all.r) {
		ask_all(&all, lc);
		timer_init(&all.end, on_end);
		engine_timer(all.e, &all.end, NAMES_MS);
		if (all.left)
			engine_run(all.e);
		resolver_free(&all.r);
		for (unsigned i = 0; i < all.n; i++)
			if (!all.ask[i].done)
				warn(&all, all.ask[i].s, "no answer within 3s");
	}
	env_free(all.ask);
	if (all.e)
		engine_free(&all.e);
}
