/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts.h - one made-up exchange that the tests of the policy room ask
 *
 * A request GET https://www.example.com/Admin/x?id=7 from 10.1.2.3. Unknown (get fails):
 * http.x_forwarded_for, http.request.headers["x-late"]. Absent: tls.sni, http.referer and
 * every header that is not named here. x-many has 20 values v0 .. v19.
 */
#ifndef TESTS_POLICY_FACTS_H
#define TESTS_POLICY_FACTS_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "policy/policy.h"

static unsigned facts_calls;

static int facts_text(struct pol_val *out, unsigned *n, unsigned start, const char *const *list,
		      unsigned count)
{
	unsigned k = 0;

	for (unsigned i = start; i < count && k < *n; i++)
		out[k++] = (struct pol_val){ .type = POL_STR, .s = str_c(list[i]) };
	*n = k;
	return 0;
}

static int facts_header(struct str key, unsigned start, struct pol_val *out, unsigned *n)
{
	static const char *const multi[] = { "one", "two", "Three" };
	static const char *const one[] = { "AbC" };
	static const char *const empty[] = { "" };
	static const char *const slow[] = {
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"
	};
	static const char *const many[] = { "v0",  "v1",  "v2",  "v3",  "v4",  "v5",  "v6",
					    "v7",  "v8",  "v9",  "v10", "v11", "v12", "v13",
					    "v14", "v15", "v16", "v17", "v18", "v19" };

	if (str_ieq(key, STR("x-late")))
		return FL_EAGAIN_;
	if (str_ieq(key, STR("x-multi")))
		return facts_text(out, n, start, multi, 3);
	if (str_ieq(key, STR("x-many")))
		return facts_text(out, n, start, many, 20);
	if (str_ieq(key, STR("x-one")))
		return facts_text(out, n, start, one, 1);
	if (str_ieq(key, STR("x-empty")))
		return facts_text(out, n, start, empty, 1);
	if (str_ieq(key, STR("x-slow")))
		return facts_text(out, n, start, slow, 1);
	*n = 0;
	return 0;
}

static char facts_long[100001];

static const char *facts_plain(enum pol_field f)
{
	switch (f) {
	case POL_F_HTTP_HOST:       return "www.example.com";
	case POL_F_HTTP_METHOD:     return "GET";
	case POL_F_HTTP_URI:        return "/Admin/x?id=7";
	case POL_F_HTTP_PATH:       return "/Admin/x";
	case POL_F_HTTP_QUERY:      return "id=7";
	case POL_F_HTTP_USER_AGENT: return "Mozilla/5.0 (X11)";
	case POL_F_HTTP_COOKIE:     return facts_long;
	case POL_F_TLS_VERSION:     return "TLSv1.3";
	default:                    return NULL;
	}
}

static int facts_get(void *ctx, enum pol_field f, struct str key, const void *obj, unsigned start,
		     struct pol_val *out, unsigned *n)
{
	static const char *const srv[] = { "a1" };
	const char *plain = facts_plain(f);

	(void)ctx;
	facts_calls++;
	ASSERT(*n >= 1);        /* not check's: those allocate, and test_eval counts */
	if (f == POL_F_HTTP_HEADERS)
		return facts_header(key, start, out, n);
	if (f == POL_F_HTTP_COOKIES && str_eq(key, STR("SRV")))
		return facts_text(out, n, start, srv, 1);
	if (f == POL_F_HTTP_X_FORWARDED_FOR)
		return FL_EAGAIN_;
	if (!facts_long[0])
		memset(facts_long, 'A', sizeof(facts_long) - 1);
	*n = start ? 0 : 1;
	if (start)
		return 0;
	if (plain) {
		*out = (struct pol_val){ .type = POL_STR, .s = str_c(plain) };
		return 0;
	}
	out->type = POL_INT;
	switch (f) {
	case POL_F_IP_SRC:
	case POL_F_IP_DST:
		out->type = POL_IP;
		return ip_parse(f == POL_F_IP_SRC ? STR("10.1.2.3") : STR("2001:db8::1"), &out->ip);
	case POL_F_TCP_SRCPORT: out->i = 40000; break;
	case POL_F_TCP_DSTPORT: out->i = 443; break;
	case POL_F_HTTP_CONTENT_LENGTH: out->i = 1234; break;
	case POL_F_VS_CONNS: out->i = *(const int *)obj; break;
	case POL_F_SSL: *out = (struct pol_val){ .type = POL_BOOL, .b = true }; break;
	case POL_F_SVC_UP:
		*out = (struct pol_val){ .type = POL_BOOL, .b = *(const int *)obj != 0 };
		break;
	default: *n = 0;
	}
	return 0;
}

static const void *facts_resolve(void *ctx, const char *kind, struct str name)
{
	static const int fifty = 50, up = 1, down = 0;

	(void)ctx;
	if (!strcmp(kind, "vserver"))
		return str_eq(name, STR("web")) ? &fifty : NULL;
	ASSERT(!strcmp(kind, "service"));
	if (str_eq(name, STR("app/a1")))
		return &up;
	return str_eq(name, STR("app/a2")) ? &down : NULL;
}

static const struct pol_facts facts = { NULL, facts_get };
static const struct pol_compile_opts at_request = { POL_REQ, facts_resolve, NULL };

#endif
