/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module.c - runs the hooks of modules (see module.h); knows no module by name
 */
#include "config.h"

#include "http/module.h"

#include "base/err.h"

#define STARTED_MAX 64u

/* Modules whose worker_init() ran in this worker, by their place in the list. */
static uint64_t started;

/* The list is short and walked at configuration time only. */
static unsigned count_modules(void)
{
	unsigned n = 0;

	for (; modules[n]; n++)
		ASSERT(modules[n]->abi == MODULE_ABI);
	ASSERT(n <= STARTED_MAX);
	return n;
}

void module_list(struct sb *out)
{
	unsigned n = count_modules();

	for (unsigned i = 0; i < n; i++)
		sb_fmt(out, "  %s: %s\n", modules[i]->name, modules[i]->text);
}

/* Configuration ---------------------------------------------------------------------------- */

int module_config(struct lb_vserver *vs, struct pool *mem, struct conf_diag *d)
{
	const struct module_build b = { .mem = mem, .d = d };
	unsigned n = count_modules(), used = 0;
	struct module_use *uses = NULL;

	for (unsigned i = 0; i < n; i++) {
		void *conf = NULL;
		int r = modules[i]->config ? modules[i]->config(vs, &b, &conf) : 0;

		if (r < 0)
			return r;
		if (!conf)
			continue;
		if (!uses)
			uses = pool_array(mem, n + 1, sizeof(*uses));
		if (!uses) {
			if (modules[i]->config_free)
				modules[i]->config_free(conf);
			return FL_ENOMEM_;
		}
		uses[used++] = (struct module_use){ .m = modules[i], .conf = conf };
		vs->modules = uses;
	}
	return 0;
}

void module_config_free(struct lb_vserver *vs)
{
	for (const struct module_use *u = vs->modules; u && u->m; u++)
		if (u->m->config_free)
			u->m->config_free(u->conf);
	vs->modules = NULL;
}

/* Workers ---------------------------------------------------------------------------------- */

static bool is_used(const struct lb_config *lc, const struct module *m)
{
	for (unsigned i = 0; lc && i < lc->n_vservers; i++)
		for (const struct module_use *u = lc->vservers[i].modules; u && u->m; u++)
			if (u->m == m)
				return true;
	return false;
}

int module_worker_init(const struct http_worker *w)
{
	unsigned n = count_modules();

	started = 0;
	for (unsigned i = 0; i < n; i++) {
		int r;

		if (!is_used(w->lc, modules[i]))
			continue;
		r = modules[i]->worker_init ? modules[i]->worker_init(w) : 0;
		if (r < 0) {
			module_worker_fini();
			return r;
		}
		started |= (uint64_t)1 << i;
	}
	return 0;
}

void module_worker_fini(void)
{
	for (unsigned i = 0; modules[i]; i++)
		if (started & (uint64_t)1 << i && modules[i]->worker_fini)
			modules[i]->worker_fini();
	started = 0;
}

/* Phases ----------------------------------------------------------------------------------- */

bool module_request(struct txn *t)
{
	t->modules = t->vs->modules;
	for (const struct module_use *u = t->modules; u->m; u++) {
		int r;

		t->n_modules++;
		r = u->m->request ? u->m->request(t, u->conf) : 0;
		if (r < 0)
			txn_fail(t, TXN_NO_MEMORY);
		ASSERT(r == 0 || t->over);
		if (r)
			return true;
	}
	return false;
}

int module_forward(struct txn *t, struct http_head *fwd)
{
	for (unsigned i = 0; i < t->n_modules; i++) {
		const struct module_use *u = &t->modules[i];
		int r = u->m->forward ? u->m->forward(t, u->conf, fwd) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

void module_response(struct txn *t, struct http_head *h)
{
	for (unsigned i = 0; i < t->n_modules; i++) {
		const struct module_use *u = &t->modules[i];

		if (u->m->response)
			u->m->response(t, u->conf, h);
	}
}

void module_finished(struct txn *t)
{
	for (unsigned i = 0; i < t->n_modules; i++) {
		const struct module_use *u = &t->modules[i];

		if (u->m->finished)
			u->m->finished(t, u->conf);
	}
}
