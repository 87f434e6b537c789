/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr.c - an expression as the other rooms see it: compile, fields, text
 */
#include "config.h"

#include "base/err.h"
#include "policy/expr.h"

int pol_expr_compile(struct pool *p, struct str src, const struct pol_compile_opts *o,
		     struct pol_expr **out, struct pol_error *err)
{
	struct pol_ctx c;
	struct pol_expr *e;
	struct pol_node *root;

	*out = NULL;
	pol_ctx_init(&c, p, src, o, err);
	root = c.failed ? NULL : pol_parse_expr(&c);
	if (root)
		pol_check_expr(&c, root);
	e = c.failed ? NULL : pol_mem(&c, sizeof(*e));
	if (!e) {
		pol_regex_release(c.regexes);
		return pol_ctx_result(&c);
	}
	e->root = root;
	e->src = src;
	e->regexes = c.regexes;
	memcpy(e->fields, c.fields, sizeof(e->fields));
	*out = e;
	return FL_OK;
}

void pol_expr_release(struct pol_expr *e)
{
	if (!e)
		return;
	pol_regex_release(e->regexes);
	e->regexes = NULL;
}

void pol_expr_fields(const struct pol_expr *e, uint64_t *mask)
{
	for (size_t i = 0; i < POL_FIELD_WORDS; i++)
		mask[i] |= e->fields[i];
}

void pol_expr_print(const struct pol_expr *e, struct sb *b)
{
	pol_node_print(e->root, b);
}
