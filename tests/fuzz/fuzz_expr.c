/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_expr.c - any bytes as an expression and as a template
 *
 * What compiles is evaluated, printed, compiled and evaluated again: the same answer and the
 * same text must come out. What does not must point into the text. The first byte chooses the
 * points where the expression stands.
 */
#include "config.h"

#include <stdlib.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond) do { if (!(cond)) abort(); } while (0)

static const char *const words[] = {
	"GET", "www.example.com", "/a/B?c=d", "", "aaaaaaaaaaaaaaaaaaaaaaaa!", "x", "y", "z", "v",
	"w"
};

static int fuzz_get(void *ctx, enum pol_field f, struct str key, const void *obj, unsigned start,
		    struct pol_val *out, unsigned *n)
{
	const struct pol_field_row *r = &pol_field_rows[f];
	unsigned have = r->multi ? (unsigned)(key.n * 5) % 23 : 1, k = 0;

	(void)ctx, (void)obj;
	CHECK(*n >= 1);
	if (f == POL_F_HTTP_REFERER)
		return -1;
	for (unsigned i = start; i < have && k < *n; i++, k++) {
		memset(&out[k], 0, sizeof(out[k]));
		out[k].type = r->type;
		if (r->type == POL_INT)
			out[k].i = 443;
		else if (r->type == POL_BOOL)
			out[k].b = true;
		else if (r->type == POL_IP)
			CHECK(ip_parse(f == POL_F_IP_SRC ? STR("10.1.2.3") : STR("2001:db8::1"),
				       &out[k].ip) == 0);
		else
			out[k].s = str_c(words[((unsigned)f + i) % FL_ARRAY_LEN(words)]);
	}
	*n = k;
	return 0;
}
static const struct pol_facts facts = { NULL, fuzz_get };

static const void *fuzz_resolve(void *ctx, const char *kind, struct str name)
{
	(void)ctx;
	return name.n % 4 ? kind : NULL;
}

static void leaf(void *ctx, struct str source, enum pol_result r, const struct pol_val *v)
{
	struct str *all = ctx;

	CHECK(source.p >= all->p && source.p + source.n <= all->p + all->n && source.n > 0 &&
	      r <= POL_UNDEF);
	(void)v;
}

static void check_error(struct str src, const struct pol_error *err)
{
	CHECK(err->text[0] && err->len >= 1 && err->off <= src.n);
	CHECK(err->off + err->len <= src.n + 1);
}

static void expression(struct pool *p, struct str src, const struct pol_compile_opts *o)
{
	struct pol_expr *e, *again;
	struct pol_error err;
	struct sb first, second;
	struct pol_trace t = { &src, leaf };
	enum pol_result r;
	int rc = pol_expr_compile(p, src, o, &e, &err);

	if (rc < 0) {
		check_error(src, &err);
		return;
	}
	r = pol_eval(e, &facts, &t);
	sb_init_heap(&first);
	sb_init_heap(&second);
	pol_expr_print(e, &first);
	/* the canonical text can be longer than what may be compiled */
	if (first.n <= 60000 && pol_expr_compile(p, sb_get(&first), o, &again, &err) == 0) {
		CHECK(pol_eval(again, &facts, NULL) == r);
		pol_expr_print(again, &second);
		CHECK(str_eq(sb_get(&first), sb_get(&second)));
	} else {
		CHECK(first.n > 60000);
	}
	sb_free(&first);
	sb_free(&second);
}

static void template(struct pool *p, struct str src, const struct pol_compile_opts *o)
{
	struct pol_tmpl *t;
	struct pol_error err;
	char out[512];
	struct sb b;

	if (pol_tmpl_compile(p, src, o, &t, &err) < 0) {
		check_error(src, &err);
		return;
	}
	sb_init(&b, out, sizeof(out));
	(void)pol_tmpl_run(t, &facts, &b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned points[] = { POL_REQ, POL_RESP, POL_CONN, POL_HELLO };
	struct pol_compile_opts o = { POL_REQ, fuzz_resolve, NULL };
	struct pool *p = pool_new("fuzz", 64u << 20);
	struct str src;

	if (!size || !p) {
		pool_free(&p);
		return 0;
	}
	pol_regex_use_jit(false);
	o.planes = points[data[0] % 4];
	src = str_n(data + 1, size - 1);
	expression(p, src, &o);
	template(p, src, &o);
	pool_free(&p);
	return 0;
}
