/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_resolver.c - resolving against a name server that the test plays
 */
#include "net_unit.h"

#include "net/resolver.h"

static int dns;
static struct addr dns_addr;
static unsigned asked;

/* Answers what is waiting: "two.*" has two A (TTL 300 and 7) and one AAAA, "none.*" does not exist, others are ignored. */
static void serve(void)
{
	uint8_t q[512], a[1024];
	struct sockaddr_in from;
	socklen_t fl = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(dns, q, sizeof(q), 0, (struct sockaddr *)&from, &fl)) > 12) {
		size_t end = 12, at;
		uint16_t type;
		uint8_t count = 0;

		asked++;
		while (q[end])
			end += q[end] + 1u;
		type = (uint16_t)(q[end + 1] << 8 | q[end + 2]);
		end += 5;
		if (memcmp(q + 12, "\4hang", 5) == 0)
			continue;
		memcpy(a, q, end);
		a[2] = 0x81;
		a[3] = memcmp(q + 12, "\4none", 5) == 0 ? 0x83 : 0x80;
		memset(a + 6, 0, 6);
		at = end;
		for (int i = 0; a[3] == 0x80 && i < (type == 1 ? 2 : type == 28 ? 1 : 0); i++) {
			uint8_t rr[] = { 0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, i ? 0 : 1, i ? 7 : 44, 0, type == 1 ? 4 : 16 };
			uint8_t v4[4] = { 192, 0, 2, (uint8_t)(2 - i) };
			uint8_t v6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };

			memcpy(a + at, rr, sizeof(rr));
			at += sizeof(rr);
			memcpy(a + at, type == 1 ? v4 : v6, rr[11]);
			at += rr[11];
			count++;
		}
		a[7] = count;
		sendto(dns, a, at, 0, (struct sockaddr *)&from, fl);
	}
}

static struct resolver_answer got;
static unsigned answers;
static void on_answer(void *ctx, const struct resolver_answer *a)
{
	(void)ctx;
	got = *a;
	answers++;
}

static struct resolver *r;
static void start(void)
{
	socklen_t n = sizeof(dns_addr);
	int err;

	unit_start();
	dns = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	memset(&dns_addr, 0, sizeof(dns_addr));
	dns_addr.in.sin_family = AF_INET;
	dns_addr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(dns, &dns_addr.sa, sizeof(dns_addr.in)), 0);
	ck_assert_int_eq(getsockname(dns, &dns_addr.sa, &n), 0);
	r = resolver_new(E, &dns_addr, 1, &err);
	ck_assert_ptr_nonnull(r);
	answers = asked = 0;
}
static void end(void)
{
	resolver_free(&r);
	unit_end();
	close(dns);
}

START_TEST(test_both_families_and_least_ttl)
{
	char text[ADDR_TEXT_MAX];

	ck_assert_int_eq(resolver_query(r, "two.test", on_answer, NULL), 0);
	ck_assert_uint_eq(answers, 0);
	RUN((serve(), answers == 1));
	ck_assert_int_eq(got.status, 0);
	ck_assert_uint_eq(got.n, 3);
	ck_assert_uint_eq(got.ttl_s, 7);
	ck_assert_str_eq(ip_text(got.addr[0], text), "192.0.2.1");      /* sorted: answers rotate */
	ck_assert_str_eq(ip_text(got.addr[1], text), "192.0.2.2");
	ck_assert_str_eq(ip_text(got.addr[2], text), "2001:db8::1");
	ck_assert_str_eq(got.text, "3 addresses");
}
END_TEST

START_TEST(test_missing_name)
{
	ck_assert_int_eq(resolver_query(r, "none.test", on_answer, NULL), 0);
	RUN((serve(), answers == 1));
	ck_assert_int_eq(got.status, FL_EUNRESOLVED_);
	ck_assert_uint_eq(got.n, 0);
	ck_assert_uint_ge(got.ttl_s, 4);
	ck_assert_uint_le(got.ttl_s, 7);
	ck_assert_uint_gt(strlen(got.text), 0);
}
END_TEST

START_TEST(test_hosts_file_and_literal)
{
	ck_assert_int_eq(resolver_query(r, "localhost", on_answer, NULL), 0);
	RUN((serve(), answers == 1));
	ck_assert_int_eq(got.status, 0);
	ck_assert_int_eq(resolver_query(r, "198.51.100.7", on_answer, NULL), 0);
	ck_assert_uint_eq(answers, 1);           /* known at once, told later */
	RUN(answers == 2);
	ck_assert_uint_eq(got.n, 1);
}
END_TEST

START_TEST(test_cancel_and_free)
{
	int mine;

	ck_assert_int_eq(resolver_query(r, "two.test", on_answer, &mine), 0);
	ck_assert_int_eq(resolver_query(r, "hang.test", on_answer, NULL), 0);
	resolver_cancel(r, &mine);
	for (int i = 0; i < 20; i++) {
		unit_turns(1);
		serve();
	}
	ck_assert_uint_gt(asked, 0);
	ck_assert_uint_eq(answers, 0);
	resolver_free(&r);
	ck_assert_ptr_null(r);
	unit_turns(3);
	ck_assert_uint_eq(answers, 0);
}
END_TEST

static void free_inside(void *ctx, const struct resolver_answer *a)
{
	on_answer(ctx, a);
	resolver_free(&r);
}

START_TEST(test_free_inside_a_callback)
{
	ck_assert_int_eq(resolver_query(r, "two.test", free_inside, NULL), 0);
	ck_assert_int_eq(resolver_query(r, "hang.test", on_answer, NULL), 0);
	RUN((serve(), answers == 1));
	unit_turns(3);
	ck_assert_uint_eq(answers, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net/resolver");
	TCase *t = tcase_create("resolver");
	SRunner *sr;
	int bad;

	tcase_add_checked_fixture(t, start, end);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_both_families_and_least_ttl);
	tcase_add_test(t, test_missing_name);
	tcase_add_test(t, test_hosts_file_and_literal);
	tcase_add_test(t, test_cancel_and_free);
	tcase_add_test(t, test_free_inside_a_callback);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	bad = srunner_ntests_failed(sr);
	srunner_free(sr);
	return bad != 0;
}
