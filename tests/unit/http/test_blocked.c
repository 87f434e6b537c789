/* SPDX-License-Identifier: Apache-2.0 */
/* test_blocked.c - shapes of requests and clients, and which are refused */
#include "config.h"

#include "http/blocked.h"
#include "stat/crash.h"
#include "tests/unit/base/unit.h"

static struct lb_vserver vs = { .name = "web" };

static void shape(const char *method, const char *host, struct str path, char out[STAT_WHAT_MAX])
{
	struct http_head h = { .method_s = str_c(method), .host = str_c(host), .path = path };
	struct sb b;

	sb_init(&b, out, STAT_WHAT_MAX);
	shape_request(&vs, &h, &b);
	ck_assert(!b.over);
	ck_assert_uint_lt(strlen(out), STAT_WHAT_MAX);
	for (const char *p = out; *p; p++)
		ck_assert(*p >= ' ' && *p <= '~');
}

START_TEST(requests)
{
	char a[STAT_WHAT_MAX], b[STAT_WHAT_MAX], path[4000];

	shape("GET", "example.com", STR("/a"), a);
	ck_assert_str_eq(a, "request web GET example.com /a");
	shape("PROPFIND", "", STR("/a"), a);
	ck_assert_str_eq(a, "request web PROPFIND - /a");
	memset(path, 'p', sizeof(path));
	for (size_t n = 0; n < sizeof(path); n += n < 300 ? 1 : 97) {
		shape("GET", "x", str_n(path, n), a);
		shape("GET", "x", str_n(path, n + 1), b);
		ck_assert_str_ne(a, b);
	}
	/* what cannot be shown still makes a difference */
	shape("GET", "x", STR("/\001"), a);
	shape("GET", "x", STR("/\002"), b);
	ck_assert_str_ne(a, b);
	ck_assert(strncmp(a, "request web GET x /?#", 21) == 0);
	memset(path, 'h', sizeof(path));
	path[3999] = 0;
	shape(path, path, str_c(path), a);
}
END_TEST

static void client(const char *text, const char *want)
{
	char out[STAT_WHAT_MAX];
	struct addr a;
	struct sb b;

	ck_assert_int_eq(addr_parse(str_c(text), -1, &a), 0);
	sb_init(&b, out, sizeof(out));
	shape_client(&vs, &a, &b);
	ck_assert_str_eq(out, want);
}

START_TEST(clients)
{
	client("192.0.2.7:80", "client web 192.0.2.7");
	client("[::ffff:192.0.2.7]:80", "client web 192.0.2.7");
	client("[2001:db8:1:2:3:4:5:6]:80", "client web 2001:db8:1:2::");
}
END_TEST

START_TEST(refused)
{
	static const struct stat_params p = { .max_objects = 64, .cores = 1, .drain_generations = 1 };
	struct http_head h = { .method_s = STR("GET"), .host = STR("x"), .path = STR("/bad"), .query = STR("q=1") };
	struct stat_crash c = { .id = 1, .until_ms = 1, .what = "request web GET x /bad" };
	struct stat_seg *s;
	struct addr a;
	int err;

	s = stat_create(&p, &err);
	ck_assert_ptr_nonnull(s);
	ck_assert_int_eq(addr_parse(STR("192.0.2.7:80"), -1, &a), 0);
	blocked_refresh(s);
	ck_assert(!is_blocked_request(&vs, &h));
	stat_crash_set(s, 9, &c);
	ck_assert(!is_blocked_request(&vs, &h));         /* not read yet */
	blocked_refresh(s);
	ck_assert(is_blocked_request(&vs, &h));
	ck_assert(!is_blocked_client(&vs, &a));
	h.path = STR("/bad2");
	ck_assert(!is_blocked_request(&vs, &h));
	memcpy(c.what, "client web 192.0.2.7", 21);
	stat_crash_set(s, 63, &c);
	c.until_ms = 0;                                  /* known, and not blocked */
	memcpy(c.what, "client web 192.0.2.8", 21);
	stat_crash_set(s, 5, &c);
	blocked_refresh(s);
	ck_assert(is_blocked_client(&vs, &a));
	ck_assert_int_eq(addr_parse(STR("192.0.2.8:80"), -1, &a), 0);
	ck_assert(!is_blocked_client(&vs, &a));
	for (unsigned i = 0; i < STAT_CRASHES; i++)
		stat_crash_set(s, i, NULL);
	blocked_refresh(s);
	ck_assert_uint_eq(blocked_n, 0);
	stat_free(s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http/blocked");

	UNIT_CASE(s, "requests", requests);
	UNIT_CASE(s, "clients", clients);
	UNIT_CASE(s, "refused", refused);
	return unit_run(s);
}
