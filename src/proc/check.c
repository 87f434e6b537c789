/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c - `fairlead -t`, `explain` and --print-config: the loader, the build and the checks of a real start, in this process
 */
#include "config.h"

#include <stdio.h>

#include "admin/admin.h"
#include "proc/gen.h"
#include "proc/launch.h"
#include "proc/names.h"

struct loaded {
	struct conf_diag *d;
	struct conf_src  *src;
	struct conf      *conf;
	struct lb_config *lc;
};

/* With json nothing is printed here: the diagnostics are part of the answer. */
static bool load(const struct launch *l, enum gen_checks checks, bool json, struct loaded *out)
{
	struct sb text;

	*out = (struct loaded){ .d = conf_diag_new() };
	if (!out->d)
		return false;
	out->lc = gen_load(l, -1, NULL, checks, out->d, &out->src, &out->conf);
	if (out->lc && checks == GEN_TEST)
		names_check(out->lc, out->d);
	sb_init_heap(&text);
	conf_diag_print(out->d, &text, false);
	if (text.n && !json)
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

/* {"ok": ..., "file": ..., "errors": N, "warnings": N, "diagnostics": [...]} */
static void print_json(const struct launch *l, const struct loaded *c, bool ok)
{
	struct sb b;

	sb_init_heap(&b);
	sb_fmt(&b, "{\"ok\": %s, \"file\": ", ok ? "true" : "false");
	sb_json_str(&b, str_c(l->file ? l->file : l->text_name));
	sb_fmt(&b, ", \"errors\": %u, \"warnings\": %u, \"diagnostics\": ",
	       c->d ? conf_diag_errors(c->d) : 1, c->d ? conf_diag_warnings(c->d) : 0);
	if (c->d)
		conf_diag_print(c->d, &b, true);
	else
		sb_c(&b, "[]");
	while (b.n && b.p[b.n - 1] == '\n')
		b.n--;
	sb_c(&b, "}\n");
	if (!b.over)
		fwrite(b.p, 1, b.n, stdout);
	sb_free(&b);
}

int proc_check(const struct launch *l, bool json)
{
	const char *name = l->file ? l->file : l->text_name;
	struct loaded c;
	bool ok = load(l, GEN_TEST, json, &c);

	if (json) {
		print_json(l, &c, ok);
	} else if (ok) {
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

int proc_print(const struct launch *l)
{
	struct loaded c;
	bool ok = load(l, GEN_TREE, false, &c) && fwrite(l->text.p, 1, l->text.n, stdout) == l->text.n;

	unload(&c);
	return ok ? 0 : 1;
}

int proc_explain(const struct launch *l, int argc, char **argv, bool json)
{
	struct loaded c;
	struct sb out;
	int rc = 1;

	if (!load(l, GEN_TREE, json, &c)) {
		if (json)
			print_json(l, &c, false);
	} else {
		sb_init_heap(&out);
		rc = admin_explain_offline(c.lc, argc, argv, json, &out);
		if (out.n)
			fputs(out.p, stdout);
		sb_free(&out);
	}
	unload(&c);
	return rc;
}
