/* SPDX-License-Identifier: Apache-2.0 */
/* test_addr.c - addresses and prefixes, right and wrong texts, prefixes against a naive model */
#include "config.h"

#include "base/addr.h"

#include <arpa/inet.h>

#include "base/err.h"
#include "tests/unit/base/unit.h"

START_TEST(parse_right)
{
	static const struct {
		const char *in;
		int         port;
		const char *out;
	} rows[] = {
		{ "10.0.0.1:80", -1, "10.0.0.1:80" },
		{ "10.0.0.1", 443, "10.0.0.1:443" },
		{ "10.0.0.1", 0, "10.0.0.1:0" },
		{ "0.0.0.0:1", -1, "0.0.0.0:1" },
		{ "255.255.255.255:65535", -1, "255.255.255.255:65535" },
		{ "[::1]:80", -1, "[::1]:80" },
		{ "[::1]", 53, "[::1]:53" },
		{ "::1", 53, "[::1]:53" },
		{ "2001:DB8:0:0::1", 1, "[2001:db8::1]:1" },
		{ "*:80", -1, "[::]:80" },
		{ ":80", -1, "[::]:80" },
		{ "*", 80, "[::]:80" },
		{ "[::ffff:10.1.2.3]:80", -1, "10.1.2.3:80" },
		{ "[fe80::1%2]:80", -1, "[fe80::1%2]:80" },
		{ "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535", -1,
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535" },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct addr a;
		char text[ADDR_TEXT_MAX];
		int err = addr_parse(str_c(rows[i].in), rows[i].port, &a);

		ck_assert_msg(err == 0, "%s: %s", rows[i].in, fl_err_text(err));
		ck_assert_str_eq(addr_text(&a, text), rows[i].out);
	}
}
END_TEST

START_TEST(parse_wrong)
{
	static const struct {
		const char *in;
		int         port, err;
	} rows[] = {
		{ "", 80, FL_ESYNTAX_ },
		{ ":", -1, FL_ESYNTAX_ },
		{ "10.0.0.1", -1, FL_ESYNTAX_ },
		{ "10.0.0.1:", -1, FL_ESYNTAX_ },
		{ "10.0.0.1:0", -1, FL_ERANGE_ },
		{ "10.0.0.1:00", -1, FL_ESYNTAX_ },
		{ "10.0.0.1:080", -1, FL_ESYNTAX_ },
		{ "10.0.0.1:65536", -1, FL_ERANGE_ },
		{ "10.0.0.1:99999999999999999999999", -1, FL_ERANGE_ },
		{ "10.0.0.1:-1", -1, FL_ESYNTAX_ },
		{ "10.0.0.1: 80", -1, FL_ESYNTAX_ },
		{ "10.0.0.1:8o", -1, FL_ESYNTAX_ },
		{ "10.0.0.1", 65536, FL_ERANGE_ },
		{ "010.0.0.1:80", -1, FL_ESYNTAX_ },
		{ "10.0.1:80", -1, FL_ESYNTAX_ },
		{ "256.0.0.1:80", -1, FL_ESYNTAX_ },
		{ "0x7f.0.0.1:80", -1, FL_ESYNTAX_ },
		{ "localhost:80", -1, FL_ESYNTAX_ },
		{ "[10.0.0.1]:80", -1, FL_ESYNTAX_ },
		{ "[]:80", -1, FL_ESYNTAX_ },
		{ "[*]:80", -1, FL_ESYNTAX_ },
		{ "[::1", 80, FL_ESYNTAX_ },
		{ "[::1]80", -1, FL_ESYNTAX_ },
		{ "[::1]:", 80, FL_ESYNTAX_ },
		{ "[::1]:80:81", -1, FL_ESYNTAX_ },
		{ "::1", -1, FL_ESYNTAX_ },
		{ ":::80", 80, FL_ESYNTAX_ },
		{ "[fe80::1%eth0]:80", -1, FL_ESYNTAX_ },
		{ "[fe80::1%]:80", -1, FL_ESYNTAX_ },
		{ "[fe80::1%0]:80", -1, FL_ESYNTAX_ },
		{ "[fe80::1%4294967296]:80", -1, FL_ERANGE_ },
		{ "10.0.0.1%1:80", -1, FL_ESYNTAX_ },
		{ "1:2:3:4:5:6:7:8:9", 80, FL_ESYNTAX_ },
		{ "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]:80", -1, FL_ESYNTAX_ },
		{ " 10.0.0.1:80", -1, FL_ESYNTAX_ },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct addr a;
		int err = addr_parse(str_c(rows[i].in), rows[i].port, &a);

		ck_assert_msg(err == rows[i].err, "%s: %s", rows[i].in, fl_err_name(err));
	}
	ck_assert_int_eq(ip_parse(str_n("1.2.3.4\0", 8), &(struct ip){ 0 }), FL_ESYNTAX_);
	ck_assert_int_eq(ip_parse(STR("[::1]"), &(struct ip){ 0 }), FL_ESYNTAX_);
	ck_assert_int_eq(ip_parse(STR_NULL, &(struct ip){ 0 }), FL_ESYNTAX_);
}
END_TEST

START_TEST(mapped_is_v4)
{
	struct addr a = { .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(80) } }, b;
	struct ip ip;
	char text[ADDR_TEXT_MAX];

	inet_pton(AF_INET6, "::ffff:10.0.0.9", &a.in6.sin6_addr);
	ck_assert_int_eq(addr_ip(&a).family, AF_INET);
	addr_norm(&a);
	ck_assert_uint_eq(addr_len(&a), sizeof(struct sockaddr_in));
	ck_assert_int_eq(addr_parse(STR("10.0.0.9:80"), -1, &b), 0);
	ck_assert(addr_eq(&a, &b));
	addr_set_port(&b, 81);
	ck_assert(!addr_eq(&a, &b));
	ck_assert_int_eq(ip_parse(STR("::ffff:1.2.3.4"), &ip), 0);
	ck_assert_str_eq(ip_text(ip, text), "1.2.3.4");
	addr_norm(&a);
	ck_assert_str_eq(addr_text(&a, text), "10.0.0.9:80");
}
END_TEST

START_TEST(small_ones)
{
	struct addr a, none = { 0 };
	struct ip v4, v6, z = { 0 };
	char text[ADDR_TEXT_MAX];

	ck_assert_int_eq(addr_parse(STR("*:80"), -1, &a), 0);
	ck_assert(addr_is_any(&a));
	ck_assert_int_eq(addr_parse(STR("0.0.0.0:80"), -1, &a), 0);
	ck_assert(addr_is_any(&a));
	ck_assert_int_eq(addr_parse(STR("0.0.0.1:80"), -1, &a), 0);
	ck_assert(!addr_is_any(&a));
	ck_assert_str_eq(addr_text(&none, text), "-");
	ck_assert(!addr_is_any(&none));
	ck_assert_uint_eq(addr_len(&none), 0);
	ck_assert_int_eq(ip_parse(STR("255.255.255.255"), &v4), 0);
	ck_assert_int_eq(ip_parse(STR("::"), &v6), 0);
	ck_assert_int_lt(ip_cmp(v4, v6), 0);
	ck_assert_int_gt(ip_cmp(v6, v4), 0);
	ck_assert_int_lt(ip_cmp(z, v4), 0);
	ck_assert(ip_eq(v6, v6) && !ip_eq(v4, v6));
	v4.b[7] = 1;       /* bytes beyond the address have no say */
	ck_assert_int_eq(ip_parse(STR("255.255.255.255"), &v6), 0);
	ck_assert(ip_eq(v4, v6));
}
END_TEST

START_TEST(cidr_texts)
{
	static const struct {
		const char *in;
		int         err, bits, family;
	} rows[] = {
		{ "10.0.0.0/8", 0, 8, AF_INET },       { "0.0.0.0/0", 0, 0, AF_INET },
		{ "10.1.2.3", 0, 32, AF_INET },        { "10.1.2.3/32", 0, 32, AF_INET },
		{ "::/0", 0, 0, AF_INET6 },            { "2001:db8::/32", 0, 32, AF_INET6 },
		{ "::1", 0, 128, AF_INET6 },           { "::ffff:10.0.0.0/104", 0, 8, AF_INET },
		{ "::ffff:0.0.0.0/96", 0, 0, AF_INET }, { "10.0.0.128/25", 0, 25, AF_INET },
		{ "10.0.0.1/8", FL_ERANGE_, 0, 0 },    { "10.0.0.0/33", FL_ERANGE_, 0, 0 },
		{ "10.0.0.1/31", FL_ERANGE_, 0, 0 },   { "::1/127", FL_ERANGE_, 0, 0 },
		{ "::/129", FL_ERANGE_, 0, 0 },        { "10.0.0.192/25", FL_ERANGE_, 0, 0 },
		{ "10.0.0.0/", FL_ESYNTAX_, 0, 0 },    { "10.0.0.0/08", FL_ESYNTAX_, 0, 0 },
		{ "10.0.0.0/+8", FL_ESYNTAX_, 0, 0 },  { "10/8", FL_ESYNTAX_, 0, 0 },
		{ "/8", FL_ESYNTAX_, 0, 0 },           { "", FL_ESYNTAX_, 0, 0 },
		{ "10.0.0.0/8/8", FL_ESYNTAX_, 0, 0 }, { "::ffff:10.0.0.0/8", FL_ERANGE_, 0, 0 },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct cidr c = { 0 };
		int err = cidr_parse(str_c(rows[i].in), &c);

		ck_assert_msg(err == rows[i].err, "%s: %s", rows[i].in, fl_err_name(err));
		ck_assert_int_eq(c.bits, rows[i].bits);
		ck_assert_int_eq(c.ip.family, rows[i].family);
	}
}
END_TEST

static bool naive_has(const struct cidr *c, const struct ip *ip)
{
	for (unsigned i = 0; i < c->bits; i++)
		if ((c->ip.b[i / 8] ^ ip->b[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

START_TEST(cidr_model)
{
	uint64_t seed = 4;
	unsigned hits = 0;

	for (int round = 0; round < 20000; round++) {
		bool v4 = unit_rand(&seed) & 1;
		unsigned width = v4 ? 32 : 128, flip;
		struct cidr c = { .ip.family = v4 ? AF_INET : AF_INET6,
				  .bits = (uint8_t)(unit_rand(&seed) % (width + 1)) };
		struct ip ip = c.ip;
		bool want;

		for (unsigned i = 0; i < width / 8; i++)
			ip.b[i] = (uint8_t)unit_rand(&seed);
		c.ip = ip;
		for (unsigned i = c.bits; i < width; i++)
			c.ip.b[i / 8] &= (uint8_t)~(0x80 >> i % 8);
		flip = (unsigned)(unit_rand(&seed) % (2 * width));       /* one bit off, or none */
		if (flip < width)
			ip.b[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
		want = naive_has(&c, &ip);
		hits += want;
		ck_assert_int_eq(cidr_has(&c, ip), want);
		ip.family = v4 ? AF_INET6 : AF_INET;
		ck_assert(!cidr_has(&c, ip));
	}
	ck_assert_uint_gt(hits, 5000);
	ck_assert(!cidr_has(&(struct cidr){ 0 }, (struct ip){ 0 }));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("base/addr");

	UNIT_CASE(s, "right texts", parse_right);
	UNIT_CASE(s, "wrong texts", parse_wrong);
	UNIT_CASE(s, "mapped is IPv4", mapped_is_v4);
	UNIT_CASE(s, "small ones", small_ones);
	UNIT_CASE(s, "prefix texts", cidr_texts);
	UNIT_CASE(s, "prefix model", cidr_model);
	return unit_run(s);
}
