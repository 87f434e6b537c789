/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module.h - what an optional feature is made of: a const descriptor of hooks
 *
 * A module is a folder modules/NAME/: its rows (directives.def) and its code with one `struct
 * module`. It is entered in the lists of modules/ (modules.c, directives.def, local.mk) and nowhere
 * else: main() knows no module. modules/request_id is the one to copy; HACKING.md says how.
 *
 *   gen     config() for each vserver ------------------------------------------> config_free()
 *   worker     worker_init() -> request -> forward -> response -> finished -> worker_fini()
 *                               (each exchange, modules in the order of the list)
 *
 * A vserver runs the modules that its own block configures; the vserver where the client came in
 * counts, not the one that `use vserver` leads to. A vserver without modules costs one NULL test
 * per phase.
 *
 * Hooks run in the loop of a process of one thread: they never wait, and reach time, random
 * numbers, memory and files through base/env.h only. A hook that is not needed is NULL.
 */
#ifndef FL_HTTP_MODULE_H
#define FL_HTTP_MODULE_H

#include "http/http.h"
#include "http/txn.h"

/* A module says MODULE_ABI_1. When a hook changes its meaning or form that word gives way to
 * MODULE_ABI_2, and a module that was not looked at since does not compile. */
#define MODULE_ABI_1 1u
#define MODULE_ABI   MODULE_ABI_1

struct module_build {                /* what config() may use */
	struct pool      *mem;       /* lives as long as the generation */
	struct conf_diag *d;
};

struct module {
	const char *name;            /* of the folder */
	unsigned    abi;             /* the number of MODULE_ABI that it was written for */
	const char *text;            /* one sentence, for fairlead -V */

	/* Once per vserver and load, in whoever builds the configuration: gen, control, fairlead
	 * -t, explain. Reads the module's rows below vs->node and leaves its settings in *conf,
	 * read-only from then on (workers inherit them by fork); NULL in *conf: this vserver does
	 * not use the module. Mistakes go to conf_error(b->d, ...), and the load fails. Must have
	 * no effect outside of its memory. Returns 0, or FL_ENOMEM_. */
	int  (*config)(const struct lb_vserver *vs, const struct module_build *b, void **conf);
	/* Same processes, when the configuration goes, and only for what config() left in *conf:
	 * for things that are not memory of the generation. */
	void (*config_free)(void *conf);

	/* In each worker before it serves, and after its last exchange; only when some vserver uses
	 * the module. May keep state of the worker (static), timers on w->engine. Below 0: the
	 * worker does not start. */
	int  (*worker_init)(const struct http_worker *w);
	void (*worker_fini)(void);

	/* Worker, per exchange; conf is what config() left. Memory: t->pool. */

	/* The request head is final and no rule has looked at it. May change fields of t->req
	 * (rules, the service and the access log see them), may join with txn_add_filter(). 0: go
	 * on. 1: the module has answered or reset t. Below 0: the client gets 503. Requests that
	 * are refused as malformed or too large come to no module. */
	int  (*request)(struct txn *t, void *conf);
	/* Rules chose a pool: fwd is the request as the service will get it, with the rules'
	 * changes. May change fields of fwd, may join with txn_add_filter(). Repeats on another
	 * connection send the same head. 0; below 0: 503. */
	int  (*forward)(struct txn *t, void *conf, struct http_head *fwd);
	/* A final response head from the service, or of a rule's answer or an error that we answer;
	 * the rules' changes (set-response-header) follow. May change fields of h, which lives as
	 * long as this call. Not called for what a module answers by txn_answer(). */
	void (*response)(struct txn *t, void *conf, struct http_head *h);
	/* The exchange is over, complete or not, and not yet in the access log. Books only. */
	void (*finished)(struct txn *t, void *conf);
};

/* A module in use by a vserver; lists of these end with m NULL. */
struct module_use {
	const struct module *m;
	void                *conf;
};

/* All modules of this binary, ends with NULL (modules/modules.c). */
extern const struct module *const modules[];

/* "  request_id: gives each request an id" per line, for fairlead -V. */
void module_list(struct sb *out);

/* lb/: fills vs->modules from vs->node. 0, or FL_ENOMEM_; mistakes are in d. */
int  module_config(struct lb_vserver *vs, struct pool *mem, struct conf_diag *d);
void module_config_free(struct lb_vserver *vs);
/* http.c: the modules that vservers of w->lc use. Below 0: none of them is left running. */
int  module_worker_init(const struct http_worker *w);
void module_worker_fini(void);

/* The phases with modules. An exchange's later phases run for those modules whose request phase
 * came, even when that ended the exchange; module_request() is true when one has. */
bool module_request(struct txn *t);
int  module_forward(struct txn *t, struct http_head *fwd);
void module_response(struct txn *t, struct http_head *h);
void module_finished(struct txn *t);

static inline bool module_on_request(struct txn *t)
{
	return t->vs->modules && module_request(t);
}
static inline int module_on_forward(struct txn *t, struct http_head *fwd)
{
	return t->modules ? module_forward(t, fwd) : 0;
}
static inline void module_on_response(struct txn *t, struct http_head *h)
{
	if (t->modules)
		module_response(t, h);
}
static inline void module_on_finished(struct txn *t)
{
	if (t->modules)
		module_finished(t);
}

#endif
