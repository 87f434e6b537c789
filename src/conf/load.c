/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - one load: read, resolve, check; all mistakes in one run, a tree only without any
 */
#include "config.h"

#include "conf/inside.h"

#include "base/env.h"

static int start(struct loader *ld, struct conf_src *src, struct conf_diag *d)
{
	struct pool *p = pool_new("conf", 0);
	struct conf *c = p ? pool_zalloc(p, sizeof(*c)) : NULL;

	if (!c) {
		if (p)
			pool_free(&p);
		return FL_ENOMEM_;
	}
	*ld = (struct loader){ .c = c, .src = src, .d = d, .pool = p };
	ld->refs_tail = &ld->refs;
	c->pool = p;
	c->src = src;
	c->main_file = src->main_name;
	c->root = pool_zalloc(p, sizeof(*c->root));
	c->index = map_new(p, false);
	if (c->root && c->index)
		return 0;
	conf_free(&c);
	return FL_ENOMEM_;
}

int conf_load(struct conf_src *src, struct conf_diag *d, struct conf **out)
{
	return conf_load_all(src, d, NULL, NULL, out);
}

int conf_load_all(struct conf_src *src, struct conf_diag *d, conf_more_fn more, void *ctx, struct conf **out)
{
	unsigned before = conf_diag_errors(d);
	struct loader ld;
	int rc = start(&ld, src, d);

	*out = NULL;
	if (rc) {
		conf_error(d, (struct conf_loc){ src->main_name, 0, 0 }, 1, NULL, "[E0001] out of memory");
		return rc;
	}
	diag_set_src(d, src);
	parse_file(&ld, src->main_name, NULL);
	if (!ld.oom)
		kept_apply(&ld);
	if (!ld.oom)
		resolve_refs(&ld);
	if (!ld.oom)
		resolve_cycles(&ld);
	if (!ld.oom)
		check_all(&ld);
	if (!ld.oom && conf_diag_errors(d) == before) {
		*out = ld.c;
		return 0;
	}
	if (!ld.oom && more)
		more(ctx, ld.c, d);
	if (ld.oom && conf_diag_errors(d) == before)
		conf_error(d, (struct conf_loc){ src->main_name, 0, 0 }, 1, NULL,
			   "[E0001] out of memory while reading");
	conf_free(&ld.c);
	return ld.oom ? FL_ENOMEM_ : FL_ESYNTAX_;
}

void conf_free(struct conf **c)
{
	struct pool *p;

	if (!*c)
		return;
	p = (*c)->pool;
	pool_free(&p);
	*c = NULL;
}
