/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_hooks.c - lets the loader check expressions and templates with the compiler that will run them
 *
 * conf/ is below policy/ and must not know it; whoever loads a configuration calls lb_set_conf_hooks() once.
 */
#include "config.h"

#include "lb/lb.h"

#include <stdio.h>

static void copy_error(const struct pol_error *from, struct conf_expr_error *to)
{
	to->off = from->off;
	to->len = from->len;
	snprintf(to->text, sizeof(to->text), "%s", from->text);
	snprintf(to->hint, sizeof(to->hint), "%s", from->hint);
}

/* Whether the object exists is found out by the build, which knows all of them. */
static const void *any_object(void *ctx, const char *kind, struct str name)
{
	(void)ctx;
	(void)name;
	return kind;
}

static int check_expr(struct str src, unsigned planes, struct conf_expr_error *e)
{
	struct pool *p = pool_new("check", 0);
	struct pol_compile_opts o = { .planes = planes, .resolve = any_object };
	struct pol_error pe = { 0 };
	struct pol_expr *x;
	int err = p ? pol_expr_compile(p, src, &o, &x, &pe) : -1;

	if (err)
		copy_error(&pe, e);
	if (p)
		pool_free(&p);
	return err;
}

static int check_template(struct str src, unsigned planes, struct conf_expr_error *e)
{
	struct pool *p = pool_new("check", 0);
	struct pol_compile_opts o = { .planes = planes, .resolve = any_object };
	struct pol_error pe = { 0 };
	struct pol_tmpl *t;
	int err = p ? pol_tmpl_compile(p, src, &o, &t, &pe) : -1;

	if (err)
		copy_error(&pe, e);
	if (p)
		pool_free(&p);
	return err;
}

void lb_set_conf_hooks(void)
{
	static const struct conf_hooks hooks = { check_expr, check_template };

	conf_set_hooks(&hooks);
}
