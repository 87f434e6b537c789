/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c - `fairlead -t` and `fairlead explain`: the loader and the build of a real start, in this process
 */
#include "config.h"

#include <stdio.h>

#include "admin/admin.h"
#include "proc/gen.h"
#include "proc/launch.h"

struct loaded {
	struct conf_diag *d;
	struct conf_src  *src;
	struct conf      *conf;
	struct lb_config *lc;
};

static bool load(const struct launch *l, struct loaded *out)
{
	struct sb text;

	*out = (struct loaded){ .d = conf_diag_new() };
	if (!out->d)
		return false;
	out->lc = gen_load(l, -1, out->d, &out->src, &out->conf);
	sb_init_heap(&text);
	conf_diag_print(out->d, &text, false);
	if (text.n)
		fputs(text.p, stderr);
	sb_free(&text);
	return out->lc && conf_diag_errors(out->d) == 0;
}

static void unload(struct loaded *l)
{
	gen_unload(&l->lc, &l->conf, &l->src);
	if (l->d)
		conf_diag_free(&l->d);
}

static const char *plural(unsigned n)
{
	return n == 1 ? "" : "s";
}

int proc_check(const struct launch *l)
{
	const char *name = l->file ? l->file : l->text_name;
	struct loaded c;
	bool ok = load(l, &c);

	if (ok) {
		unsigned services = 0, warnings = conf_diag_warnings(c.d);

		for (unsigned i = 0; i < c.lc->n_pools; i++)
			services += c.lc->pools[i].n_services;
		printf("%s: OK  (%u vserver%s, %u pool%s, %u service%s, %u warning%s)\n", name, c.lc->n_vservers,
		       plural(c.lc->n_vservers), c.lc->n_pools, plural(c.lc->n_pools), services, plural(services), warnings,
		       plural(warnings));
	} else {
		unsigned errors = c.d ? conf_diag_errors(c.d) : 1;

		fprintf(stderr, "%s: %u error%s\n", name, errors, plural(errors));
	}
	unload(&c);
	return ok ? 0 : 1;
}

int proc_explain(const struct launch *l, int argc, char **argv, bool json)
{
	struct loaded c;
	struct sb out;
	int rc = 1;

	if (load(l, &c)) {
		sb_init_heap(&out);
		rc = admin_explain_offline(c.lc, argc, argv, json, &out);
		if (out.n)
			fputs(out.p, stdout);
		sb_free(&out);
	}
	unload(&c);
	return rc;
}
