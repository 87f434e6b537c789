/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_oid.c - object identifiers and values as text
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "base/err.h"
#include "snmp/value.h"

static const char *text_of(const struct objid *o)
{
	static char mem[OID_TEXT_MAX];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	objid_text(o, &b);
	ck_assert(!b.over);
	return mem;
}

START_TEST(oids_are_read_and_written)
{
	static const char *const good[] = { "0.0", "1.39", "2.4294967295", "1.3.6.1.2.1.1.3.0", "1.3.6.1.4.1.4294967295" };
	struct objid o;

	for (size_t i = 0; i < FL_ARRAY_LEN(good); i++) {
		ck_assert_int_eq(objid_parse(str_c(good[i]), &o), 0);
		ck_assert_str_eq(text_of(&o), good[i]);
	}
	ck_assert_int_eq(objid_parse(STR(".1.3.6"), &o), 0);
	ck_assert_str_eq(text_of(&o), "1.3.6");
}
END_TEST

START_TEST(what_is_none_is_refused)
{
	static const struct { const char *text; int err; } bad[] = {
		{ "", FL_ESYNTAX_ }, { ".", FL_ESYNTAX_ }, { "1", FL_ESYNTAX_ }, { "1.", FL_ESYNTAX_ }, { "1..3", FL_ESYNTAX_ },
		{ "..1.3", FL_ESYNTAX_ }, { "1.3.", FL_ESYNTAX_ }, { "1.3.a", FL_ESYNTAX_ }, { "1.-3", FL_ESYNTAX_ },
		{ "1.+3", FL_ESYNTAX_ }, { "1.03", FL_ESYNTAX_ }, { "1. 3", FL_ESYNTAX_ }, { "sysUpTime.0", FL_ESYNTAX_ },
		{ "3.1", FL_ERANGE_ }, { "1.40", FL_ERANGE_ }, { "0.40.1", FL_ERANGE_ }, { "1.3.4294967296", FL_ERANGE_ },
		{ "1.3.99999999999999999999999999", FL_ERANGE_ },
	};
	struct objid o;

	for (size_t i = 0; i < FL_ARRAY_LEN(bad); i++)
		ck_assert_msg(objid_parse(str_c(bad[i].text), &o) == bad[i].err, "\"%s\"", bad[i].text);
}
END_TEST

START_TEST(an_oid_has_128_arcs)
{
	char mem[2 * OID_ARCS_MAX + 8];
	struct objid o;
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	sb_c(&b, "1");
	for (unsigned i = 1; i < OID_ARCS_MAX; i++)
		sb_c(&b, ".3");
	ck_assert_int_eq(objid_parse(sb_get(&b), &o), 0);
	ck_assert_uint_eq(o.n, OID_ARCS_MAX);
	sb_c(&b, ".3");
	ck_assert_int_eq(objid_parse(sb_get(&b), &o), FL_ELIMIT_);
	for (unsigned i = 0; i < OID_ARCS_MAX; i++)
		o.arc[i] = UINT32_MAX;
	o.n = OID_ARCS_MAX;
	ck_assert_uint_lt(strlen(text_of(&o)), OID_TEXT_MAX);
}
END_TEST

START_TEST(order_and_subtrees)
{
	struct objid a, b;

	ck_assert_int_eq(objid_parse(STR("1.3.6.1"), &a), 0);
	ck_assert_int_eq(objid_parse(STR("1.3.6.1.2"), &b), 0);
	ck_assert_int_lt(objid_cmp(&a, &b), 0);
	ck_assert_int_gt(objid_cmp(&b, &a), 0);
	ck_assert_int_eq(objid_cmp(&a, &a), 0);
	ck_assert(objid_is_under(&b, &a) && objid_is_under(&a, &a) && !objid_is_under(&a, &b));
	ck_assert_int_eq(objid_parse(STR("1.3.7"), &a), 0);
	ck_assert_int_gt(objid_cmp(&a, &b), 0);
	ck_assert(!objid_is_under(&a, &b));
}
END_TEST

static void is_text(const struct snmp_value *v, const char *type, const char *text, const char *json)
{
	struct sb b;

	sb_init_heap(&b);
	snmp_value_text(v, &b);
	sb_c(&b, "|");
	snmp_value_json(v, &b);
	sb_fmt(&b, "|%s", snmp_value_type(v));
	ck_assert(!b.over);
	{
		char want[512];

		snprintf(want, sizeof(want), "%s|%s|%s", text, json, type);
		ck_assert_str_eq(b.p, want);
	}
	sb_free(&b);
}

static void is_octets(const void *p, size_t n, const char *type, const char *text, const char *json)
{
	struct snmp_value v = { .type = SNMP_T_OCTETS };

	v.bytes.n = n;
	v.bytes.p = env_malloc(n + 1);
	ck_assert_ptr_nonnull(v.bytes.p);
	memcpy(v.bytes.p, p, n);
	is_text(&v, type, text, json);
	snmp_value_clear(&v);
	ck_assert_int_eq(v.type, SNMP_T_NULL);
}

START_TEST(values_have_a_text)
{
	struct snmp_value v = { .type = SNMP_T_INTEGER, .i = -5 };

	is_text(&v, "integer", "-5", "-5");
	v = (struct snmp_value){ .type = SNMP_T_COUNTER64, .u = UINT64_MAX };
	is_text(&v, "counter64", "18446744073709551615", "18446744073709551615");
	v = (struct snmp_value){ .type = SNMP_T_GAUGE32, .u = 7 };
	is_text(&v, "gauge32", "7", "7");
	v = (struct snmp_value){ .type = SNMP_T_IP, .ip = { 10, 0, 0, 255 } };
	is_text(&v, "ip", "10.0.0.255", "\"10.0.0.255\"");
	v = (struct snmp_value){ .type = SNMP_T_OBJID };
	ck_assert_int_eq(objid_parse(STR("1.3.6"), &v.oid), 0);
	is_text(&v, "oid", "1.3.6", "\"1.3.6\"");
	v = (struct snmp_value){ .type = SNMP_T_FLOAT, .d = 0.5 };
	is_text(&v, "float", "0.5", "0.5");
	v.d = __builtin_inf();
	is_text(&v, "float", "inf", "null");
	v = (struct snmp_value){ .type = SNMP_T_NO_INSTANCE };
	is_text(&v, "noSuchInstance", "-", "null");
	ck_assert(!snmp_has_value(v.type) && !snmp_has_value(SNMP_T_END) && snmp_has_value(SNMP_T_NULL));
}
END_TEST

START_TEST(ticks_are_hundredths)
{
	struct snmp_value v = { .type = SNMP_T_TIMETICKS, .u = 305 };

	is_text(&v, "timeticks", "305 (3.05s)", "305");
	v.u = 6000;
	is_text(&v, "timeticks", "6000 (1m0.00s)", "6000");
	v.u = 8640000;
	is_text(&v, "timeticks", "8640000 (1d0h0m0.00s)", "8640000");
}
END_TEST

START_TEST(octets_are_text_where_they_can_be)
{
	is_octets("", 0, "octets", "", "\"\"");
	is_octets("eth0", 4, "octets", "eth0", "\"eth0\"");
	is_octets("J\xc3\xbcrgen \"x\"", 11, "octets", "J\xc3\xbcrgen \"x\"", "\"J\xc3\xbcrgen \\\"x\\\"\"");
	is_octets("\x00\x1b\x21\xff", 4, "hex", "00:1b:21:ff", "\"00:1b:21:ff\"");
	is_octets("a\nb", 3, "hex", "61:0a:62", "\"61:0a:62\"");
	is_octets("a\x1b[2J", 5, "hex", "61:1b:5b:32:4a", "\"61:1b:5b:32:4a\"");
	is_octets("\xc2\x9b", 2, "hex", "c2:9b", "\"c2:9b\"");          /* a control character as UTF-8 */
	is_octets("\xc0\xaf", 2, "hex", "c0:af", "\"c0:af\"");          /* overlong */
	is_octets("\xed\xa0\x80", 3, "hex", "ed:a0:80", "\"ed:a0:80\""); /* a surrogate */
	is_octets("\xe2\x82", 2, "hex", "e2:82", "\"e2:82\"");          /* cut short */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("oid");
	TCase *t = tcase_create("oid");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, oids_are_read_and_written);
	tcase_add_test(t, what_is_none_is_refused);
	tcase_add_test(t, an_oid_has_128_arcs);
	tcase_add_test(t, order_and_subtrees);
	tcase_add_test(t, values_have_a_text);
	tcase_add_test(t, ticks_are_hundredths);
	tcase_add_test(t, octets_are_text_where_they_can_be);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
