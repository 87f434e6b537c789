/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_request_id.c - modules/request_id: what it accepts in a file, which ids it keeps and makes
 */
#include "config.h"

#include "tests/unit/conf/conf_test.h"

#include "http/module.h"

struct site {
	struct loaded     l;
	struct lb_config *lc;
};

/* A vserver `web` with that line, built as gen does it. */
static struct site build(const char *line)
{
	char text[512];
	struct site s;

	snprintf(text, sizeof(text),
		 "vserver web {\n listen 127.0.0.1:1\n %s\n default respond 200\n}\n", line);
	s.l = load_ok(text);
	s.lc = lb_build(s.l.c, false, s.l.d);
	return s;
}

static struct site build_ok(const char *line)
{
	struct site s = build(line);

	if (!s.lc)
		say(&s.l);
	ck_assert_ptr_nonnull(s.lc);
	return s;
}

static void drop(struct site *s)
{
	lb_free(&s->lc);
	conf_free(&s->l.c);
	conf_src_free(&s->l.src);
	conf_diag_free(&s->l.d);
}

/* The line is refused, and a message says so. */
static void refused(const char *line, const char *why)
{
	struct site s = build(line);
	struct sb b;

	ck_assert_msg(!s.lc, "accepted: %s", line);
	sb_init_heap(&b);
	conf_diag_print(s.l.d, &b, false);
	ck_assert_msg(str_find(sb_get(&b), str_c(why)) >= 0, "%s: %s", line, b.p);
	ck_assert_msg(str_find(sb_get(&b), STR("t.conf:3:")) >= 0, "no place: %s", b.p);
	sb_free(&b);
	drop(&s);
}

START_TEST(what_a_file_may_say)
{
	struct site s = build_ok("");

	ck_assert_ptr_null(s.lc->vservers[0].modules);
	drop(&s);
	refused("request-id X:Y", "is not the name of a header field");
	refused("request-id Content-Length", "framed");
	refused("request-id Host", "has a meaning of its own");
	refused("request-id x-forwarded-id trust", "has a meaning of its own");
	refused("request-id Cookie", "has a meaning of its own");
}
END_TEST

START_TEST(not_for_tcp)
{
	struct loaded l = load_ok("pool app {\n service a1 127.0.0.1:1\n}\n"
				  "vserver web {\n listen 127.0.0.1:1\n protocol tcp\n"
				  " request-id\n default use app\n}\n");
	struct sb b;

	ck_assert_ptr_null(lb_build(l.c, false, l.d));
	sb_init_heap(&b);
	conf_diag_print(l.d, &b, false);
	ck_assert_msg(str_find(sb_get(&b), STR("needs \"protocol http\"")) >= 0, "%s", b.p);
	sb_free(&b);
	conf_free(&l.c);
	conf_src_free(&l.src);
	conf_diag_free(&l.d);
}
END_TEST

static struct pool *mem;
static struct str to_service, to_client;
static unsigned n_fields;
static uint64_t kept;

/* Runs both phases for a request with up to two fields of that name. */
static void exchange(const char *line, const char *name, const char *own, const char *other)
{
	struct site s = build_ok(line);
	struct stat_row row = { .dirty = true };        /* no segment behind it */
	struct txn t = { .pool = mem, .vs = &s.lc->vservers[0] };
	struct http_head req = { .method = HM_GET }, resp = { .is_response = true, .status = 200 };
	const struct http_field *f;
	struct str field = str_c(name);

	s.lc->vservers[0].stat = &row;
	t.req = &req;
	ck_assert_int_eq(head_add(mem, &req, STR("Accept"), STR("*/*")), 0);
	if (own)
		ck_assert_int_eq(head_add(mem, &req, field, str_c(own)), 0);
	if (other)
		ck_assert_int_eq(head_add(mem, &req, field, str_c(other)), 0);
	/* the service's own id does not reach the client */
	ck_assert_int_eq(head_add(mem, &resp, field, STR("of-the-service")), 0);
	ck_assert(!module_on_request(&t));
	module_on_response(&t, &resp);

	f = head_find(&req, field);
	to_service = f ? pool_str(mem, f->value) : STR_NULL;
	f = head_find(&resp, field);
	to_client = f ? pool_str(mem, f->value) : STR_NULL;
	n_fields = req.n_fields;
	ck_assert_uint_eq(resp.n_fields, 1);
	kept = row.v[CTR_VSERVER_REQUEST_ID_KEPT];
	drop(&s);
}

/* "0198f3a1-7c2b-7d00-8000-000000000000": version 7, variant 10 (RFC 9562). */
static bool is_made(struct str id)
{
	if (id.n != 36 || id.p[14] != '7' || !strchr("89ab", id.p[19]))
		return false;
	for (size_t i = 0; i < id.n; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? id.p[i] != '-'
							    : !strchr("0123456789abcdef", id.p[i]))
			return false;
	return true;
}

static void made(const char *line, const char *name, const char *own, const char *other)
{
	exchange(line, name, own, other);
	ck_assert_msg(is_made(to_service), STR_FMT, STR_ARG(to_service));
	ck_assert(str_eq(to_service, to_client));
	ck_assert_uint_eq(n_fields, 2);
	ck_assert_uint_eq(kept, 0);
}

START_TEST(makes_an_id)
{
	struct str first;

	made("request-id", "X-Request-ID", NULL, NULL);
	first = to_service;
	made("request-id", "X-Request-ID", NULL, NULL);
	ck_assert(!str_eq(first, to_service));
	made("request-id X-Trace", "X-Trace", NULL, NULL);
	/* a client's own is replaced, whatever its case */
	made("request-id", "x-request-id", "mine", NULL);
	made("request-id", "X-Request-ID", "mine", "mine");
}
END_TEST

START_TEST(ids_sort_by_time)
{
	char hex[13];
	uint64_t ms, now;

	made("request-id", "X-Request-ID", NULL, NULL);
	memcpy(hex, to_service.p, 8);
	memcpy(hex + 8, to_service.p + 9, 4);
	hex[12] = '\0';
	ms = strtoull(hex, NULL, 16);
	now = env_wall_us() / 1000;
	ck_assert_uint_le(ms, now);
	ck_assert_uint_ge(ms, now - 60000);
}
END_TEST

START_TEST(trust_keeps_tokens)
{
	char longest[130];

	memset(longest, 'a', 129);
	longest[128] = '\0';
	exchange("request-id trust", "X-Request-ID", "Client-1.~x", NULL);
	ck_assert(str_eq(to_service, STR("Client-1.~x")) && str_eq(to_client, to_service));
	ck_assert_uint_eq(kept, 1);
	exchange("request-id X-Trace trust", "x-trace", longest, NULL);
	ck_assert_uint_eq(to_client.n, 128);
	ck_assert_uint_eq(kept, 1);

	made("request-id trust", "X-Request-ID", NULL, NULL);
	made("request-id trust", "X-Request-ID", "", NULL);
	made("request-id trust", "X-Request-ID", "a b", NULL);
	made("request-id trust", "X-Request-ID", "a\"b", NULL);
	made("request-id trust", "X-Request-ID", "a,b", NULL);
	made("request-id trust", "X-Request-ID", "caf\xc3\xa9", NULL);
	made("request-id trust", "X-Request-ID", "one", "two");
	longest[128] = 'a';
	longest[129] = '\0';
	made("request-id trust", "X-Request-ID", longest, NULL);
}
END_TEST

START_TEST(modules_of_this_binary)
{
	struct sb b;

	for (unsigned i = 0; modules[i]; i++) {
		ck_assert_uint_eq(modules[i]->abi, MODULE_ABI);
		for (unsigned k = 0; k < i; k++)
			ck_assert_str_ne(modules[i]->name, modules[k]->name);
	}
	sb_init_heap(&b);
	module_list(&b);
	ck_assert_int_ge(str_find(sb_get(&b), STR("  request_id: ")), 0);
	sb_free(&b);
}
END_TEST

static void setup(void)
{
	mem = pool_new("test", 0);
}

static void teardown(void)
{
	pool_free(&mem);
}

int main(void)
{
	Suite *s = suite_create("request_id");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, what_a_file_may_say);
	tcase_add_test(t, not_for_tcp);
	tcase_add_test(t, makes_an_id);
	tcase_add_test(t, ids_sort_by_time);
	tcase_add_test(t, trust_keeps_tokens);
	tcase_add_test(t, modules_of_this_binary);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
