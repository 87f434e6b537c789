/* SPDX-License-Identifier: Apache-2.0 */
/* test_head.c - field ids, methods and the list of fields */
#include "config.h"

#include "base/err.h"
#include "http/head.h"
#include "tests/unit/base/unit.h"

/* One byte of a name changed: the same field when it is the same letter in the other case. */
static void check_near_names(const char *name, enum http_fid id)
{
	size_t n = strlen(name);

	for (size_t at = 0; at < n; at++)
		for (unsigned c = 0; c < 256; c++) {
			char *near = malloc(n); /* of this size: ASan sees what is read behind */
			enum http_fid want = HF_OTHER, got;

			ck_assert_ptr_nonnull(near);
			memcpy(near, name, n);
			near[at] = (char)c;
			if (fl_lower((unsigned char)c) == fl_lower((unsigned char)name[at]))
				want = id;
			got = http_field_id(str_n(near, n));
			ck_assert_msg(got == want, "%s with %02x at %zu: %d", name, c, at, got);
			free(near);
		}
}

START_TEST(field_ids)
{
	static const struct {
		const char *name;
		enum http_fid id;
	} rows[] = {
		{ "Host", HF_HOST },
		{ "CONTENT-LENGTH", HF_CONTENT_LENGTH },
		{ "transfer-encoding", HF_TRANSFER_ENCODING },
		{ "Connection", HF_CONNECTION },
		{ "Upgrade", HF_UPGRADE },
		{ "Expect", HF_EXPECT },
		{ "te", HF_TE },
		{ "Trailer", HF_TRAILER },
		{ "Keep-Alive", HF_KEEP_ALIVE },
		{ "Proxy-Connection", HF_PROXY_CONNECTION },
		{ "Via", HF_VIA },
		{ "X-Forwarded-For", HF_X_FORWARDED_FOR },
		{ "X-Forwarded-Proto", HF_X_FORWARDED_PROTO },
		{ "X-Forwarded-Host", HF_X_FORWARDED_HOST },
		{ "Forwarded", HF_FORWARDED },
		{ "User-Agent", HF_USER_AGENT },
		{ "Referer", HF_REFERER },
		{ "Cookie", HF_COOKIE },
		{ "Content-Type", HF_CONTENT_TYPE },
		{ "Date", HF_DATE },
		{ "Server", HF_SERVER },
		{ "Location", HF_LOCATION },
		{ "ETag", HF_ETAG },
		{ "Authorization", HF_AUTHORIZATION },
		{ "Cache-Control", HF_CACHE_CONTROL },
		{ "Range", HF_RANGE },
		{ "Accept-Encoding", HF_ACCEPT_ENCODING },
		{ "Max-Forwards", HF_MAX_FORWARDS },
		{ "Proxy-Authorization", HF_PROXY_AUTHORIZATION },
		{ "Proxy-Authenticate", HF_PROXY_AUTHENTICATE },
		{ "Set-Cookie", HF_SET_COOKIE },
		{ "", HF_OTHER },
		{ "Hos", HF_OTHER },
		{ "Hosts", HF_OTHER },
		{ "Hose", HF_OTHER },
		{ "Content_Length", HF_OTHER },
		{ "Accept", HF_OTHER },
		{ "X-Forwarded-For-And-A-Very-Long-Name", HF_OTHER },
	};
	unsigned seen[HF__COUNT] = { 0 };

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		ck_assert_msg(http_field_id(str_c(rows[i].name)) == rows[i].id, "%s", rows[i].name);
		seen[rows[i].id]++;
	}
	for (int id = 0; id < HF__COUNT; id++)
		ck_assert_msg(seen[id], "field %d has no row in this test", id);
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++)
		if (rows[i].id != HF_OTHER)
			check_near_names(rows[i].name, rows[i].id);
}
END_TEST

START_TEST(methods)
{
	static const struct {
		const char *name;
		enum http_method m;
		bool idempotent;
	} rows[] = {
		{ "GET", HM_GET, true },         { "HEAD", HM_HEAD, true },
		{ "POST", HM_POST, false },      { "PUT", HM_PUT, true },
		{ "DELETE", HM_DELETE, true },   { "CONNECT", HM_CONNECT, false },
		{ "OPTIONS", HM_OPTIONS, true }, { "TRACE", HM_TRACE, true },
		{ "PATCH", HM_PATCH, false },    { "get", HM_OTHER, false },
		{ "GETS", HM_OTHER, false },     { "", HM_OTHER, false },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		ck_assert_int_eq(http_method_id(str_c(rows[i].name)), rows[i].m);
		ck_assert_int_eq(http_method_idempotent(rows[i].m), rows[i].idempotent);
	}
}
END_TEST

START_TEST(reasons)
{
	ck_assert_str_eq(http_reason(200), "OK");
	ck_assert_str_eq(http_reason(404), "Not Found");
	ck_assert_str_eq(http_reason(431), "Request Header Fields Too Large");
	ck_assert_str_eq(http_reason(299), "Success");
	ck_assert_str_eq(http_reason(0), "");
	ck_assert_str_eq(http_reason(100), "Continue");
	ck_assert_str_eq(http_reason(511), "Network Authentication Required");
	ck_assert_str_eq(http_reason(99), "");
	ck_assert_str_eq(http_reason(512), "Server Error");
}
END_TEST

START_TEST(fields)
{
	struct pool *p = pool_new("test", 0);
	struct http_head h = { 0 };

	ck_assert_ptr_null(head_get(&h, HF_COOKIE));
	ck_assert_ptr_null(head_find(&h, STR("x")));
	ck_assert_int_eq(head_add(p, &h, STR("X-A"), STR(" 1\t")), 0);
	ck_assert_int_eq(head_add(p, &h, STR("cookie"), STR("2")), 0);
	ck_assert_int_eq(head_add(p, &h, STR("x-a"), STR("3")), 0);
	ck_str(head_find(&h, STR("X-a"))->value, STR("1"));
	ck_str(head_get(&h, HF_COOKIE)->value, STR("2"));
	ck_assert_ptr_eq(head_find(&h, STR("COOKIE")), head_get(&h, HF_COOKIE));
	ck_assert_ptr_null(head_get(&h, HF_OTHER));
	ck_assert_int_eq(head_set(p, &h, STR("X-A"), STR("4")), 0);
	ck_assert_uint_eq(h.n_fields, 2);
	ck_str(h.fields[0].name, STR("cookie"));
	ck_str(h.fields[1].value, STR("4"));
	ck_assert_uint_eq(head_remove(&h, STR("nothing")), 0);
	ck_assert_uint_eq(head_remove(&h, STR("Cookie")), 1);
	ck_assert_uint_eq(head_remove(&h, STR("Cookie")), 0);
	ck_assert_uint_eq(h.n_fields, 1);
	pool_free(&p);
}
END_TEST

/* Nothing that could end a line or a head gets in, and a refused set changes nothing. */
START_TEST(no_splitting)
{
	static const struct {
		struct str name, value;
	} rows[] = {
#define R(n, v) \
	{ \
		{ n, sizeof(n) - 1 }, \
		{ \
			v, sizeof(v) - 1 \
		} \
	}
		R("A", "b\r\nC: d"), R("A", "b\nc"),   R("A", "b\rc"), R("A", "b\0c"),
		R("A", "\x7f"),      R("A\r\nB", "c"), R("", "a"),     R("A:", "b"),
		R("A ", "b"),        R("A(", "b"),     R("A\0", "b"),  R("\xff", "b"),
#undef R
	};
	struct pool *p = pool_new("test", 0);
	struct http_head h = { 0 };

	ck_assert_int_eq(head_add(p, &h, STR("A"), STR("kept")), 0);
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		ck_assert_int_eq(head_add(p, &h, rows[i].name, rows[i].value), FL_ESYNTAX_);
		ck_assert_int_eq(head_set(p, &h, rows[i].name, rows[i].value), FL_ESYNTAX_);
	}
	ck_assert_uint_eq(h.n_fields, 1);
	ck_str(h.fields[0].value, STR("kept"));
	ck_assert_int_eq(head_add(p, &h, STR("A"), STR("\ttab\tand \xff\t")), 0);
	pool_free(&p);
}
END_TEST

START_TEST(limits)
{
	struct pool *p = pool_new("test", 0), *small = pool_new("small", 1);
	struct http_head h = { 0 };

	ck_assert_int_eq(head_add(small, &h, STR("A"), STR("b")), FL_ENOMEM_);
	ck_assert_uint_eq(h.n_fields, 0);
	for (unsigned i = 0; i < HEAD_FIELDS_MAX; i++)
		ck_assert_int_eq(head_add(p, &h, STR("A"), STR("b")), 0);
	ck_assert_int_eq(head_add(p, &h, STR("A"), STR("b")), FL_ELIMIT_);
	ck_assert_uint_eq(h.n_fields, HEAD_FIELDS_MAX);
	ck_assert_uint_eq(head_remove(&h, STR("a")), HEAD_FIELDS_MAX);
	pool_free(&p);
	pool_free(&small);
}
END_TEST

START_TEST(copy)
{
	struct pool *a = pool_new("a", 0), *b = pool_new("b", 0);
	struct http_head h = { .method = HM_PUT,
			       .method_s = pool_str(a, STR("PUT")),
			       .path = pool_str(a, STR("/x")),
			       .host = pool_str(a, STR("h")),
			       .body = HB_LENGTH,
			       .length = 7 };
	struct http_head *c;

	ck_assert_int_eq(head_add(a, &h, pool_str(a, STR("N")), pool_str(a, STR("v"))), 0);
	c = head_copy(b, &h);
	pool_free(&a); /* poisoned or freed: a borrowed slice shows under ASan */
	ck_assert_ptr_nonnull(c);
	ck_str(c->method_s, STR("PUT"));
	ck_str(c->path, STR("/x"));
	ck_assert_ptr_null(c->query.p);
	ck_assert_uint_eq(c->length, 7);
	ck_str(head_find(c, STR("n"))->value, STR("v"));
	ck_assert_int_eq(head_add(b, c, STR("M"), STR("w")), 0);
	ck_assert_uint_eq(c->n_fields, 2);
	pool_free(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http/head");

	UNIT_CASE(s, "field ids", field_ids);
	UNIT_CASE(s, "methods", methods);
	UNIT_CASE(s, "reasons", reasons);
	UNIT_CASE(s, "fields", fields);
	UNIT_CASE(s, "no splitting", no_splitting);
	UNIT_CASE(s, "limits", limits);
	UNIT_CASE(s, "copy", copy);
	return unit_run(s);
}
