/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_mac.c - MAC addresses and bytes, which no field of fields.def has yet
 *
 * Three rows of the table are given other names and types here: the file brings its own rows,
 * so the library's are not linked.
 */
#include "config.h"

#include "facts.h"

enum {
	CONN = POL_CONN,
	HELLO = POL_HELLO,
	REQ = POL_REQ,
	RESP = POL_RESP | POL_LOG,
	DGRAM = POL_DGRAM,
	LOG = POL_LOG,
};

#pragma GCC diagnostic push
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#else
#pragma GCC diagnostic ignored "-Woverride-init"
#endif
const struct pol_field_row pol_field_rows[POL_F__COUNT] = {
#define F(id, fname, ftype, fplanes, fkey, fmulti, ftext) \
	[POL_F_##id] = { .name = fname, .type = POL_##ftype, .planes = fplanes },
#include "tbl/fields.def"
#undef F
	[POL_F_TLS_SNI] = { .name = "eth.src", .type = POL_MAC, .planes = REQ },
	[POL_F_TLS_VERSION] = { .name = "eth.dst", .type = POL_MAC, .planes = REQ },
	[POL_F_TLS_CIPHER] = { .name = "data", .type = POL_BYTES, .planes = REQ },
};
#pragma GCC diagnostic pop

static int mac_get(void *ctx, enum pol_field f, struct str key, const void *obj, unsigned start,
		   struct pol_val *out, unsigned *n)
{
	(void)ctx, (void)key, (void)obj;
	*n = start == 0;
	if (f == POL_F_TLS_CIPHER)
		*out = (struct pol_val){ .type = POL_BYTES, .s = STR("\x01\x02 GET \xff\x00\x03") };
	else
		*out = (struct pol_val){ .type = POL_MAC,
					 .s = f == POL_F_TLS_SNI
						      ? STR("\x02\x00\x00\xab\xcd\xef")
						      : STR("\x02\x00\x00\x00\x00\x01") };
	return 0;
}
static const struct pol_facts mac_facts = { NULL, mac_get };

static const struct {
	const char *text;
	int         want;             /* -1: refused */
} cases[] = {
	{ "eth.src == 02:00:00:ab:cd:ef", 1 }, { "eth.src == 02-00-00-AB-CD-EF", 1 }, { "eth.src == 0200.00ab.cdef", 1 },
	{ "eth.src == 02:00:00:ab:cd:ee", 0 }, { "eth.src != 02:00:00:ab:cd:ee", 1 }, { "eth.src === 02:00:00:ab:cd:ef", 1 },
	{ "eth.src !== 02:00:00:ab:cd:ef", 0 }, { "eth.src > 02:00:00:00:00:00", 1 }, { "eth.src < 02:00:00:00:00:00", 0 },
	{ "eth.src >= eth.dst", 1 }, { "eth.src <= eth.dst", 0 }, { "eth.src == eth.dst", 0 },
	{ "eth.src[0:3] == 02:00:00", 1 }, { "eth.src[0:3] == 02:00:01", 0 }, { "eth.src[0] == 02", 1 }, { "eth.src[0] == 0x02", 1 },
	{ "eth.src[0:3] == eth.dst[0:3]", 1 }, { "eth.src[3:] == ab:cd:ef", 1 }, { "eth.src[-1] == ef", 1 }, { "eth.src[0,3] == 02:ab", 1 },
	{ "eth.src[1-2] == 00:00", 1 }, { "eth.src[0:3] in {00:11:22, 02:00:00}", 1 }, { "eth.src[3] in {a0..af}", 1 },
	{ "eth.src[3] in {a0..aa}", 0 }, { "eth.src contains 00:ab", 1 }, { "eth.src contains ab:00", 0 }, { "eth.src contains \"\\xcd\"", 1 },
	{ "eth.src in {02:00:00}", 1 }, { "eth.src in {02:00:01}", 0 }, { "eth.src in {02:00:00:00:00:00/24}", 1 },
	{ "eth.src in {02:00:00:a0:00:00/28}", 1 }, { "eth.src in {02:00:00:b0:00:00/28}", 0 }, { "eth.src in {02:00/7}", 1 },
	{ "eth.src in {00:00:00:00:00:00/0}", 1 }, { "eth.src in {02:00:00:ab:cd:ef}", 1 }, { "eth.src not in {02:00:00}", 0 },
	{ "eth.src in {02:00:00:00:00:00..02:00:00:ff:ff:ff}", 1 }, { "eth.src in {00:11:22, 33:44:55}", 0 }, { "len(eth.src) == 6", 1 },
	{ "eth.src == 02:00:00", -1 }, { "eth.src == \"abcdef\"", -1 }, { "eth.src == 02:00-00:ab:cd:ef", -1 }, { "eth.src == 2:0:0:a:c:e", -1 },
	{ "eth.src in {02:00:00/25}", -1 }, { "eth.src in {02:00:00:00:00:00:00}", -1 }, { "eth.src in {zz}", -1 }, { "eth.src in {02:00/}", -1 },
	{ "eth.src matches \"^\\x02\"", 1 }, { "eth.src == 020000abcdef", -1 }, { "eth.src == 5", -1 }, { "eth.src contains 80x", -1 },
	{ "data contains \"GET\"", 1 }, { "data contains 47:45:54", 1 }, { "data contains 474554", -1 }, { "data[0:2] == 01:02", 1 },
	{ "data[-1] == 03", 1 }, { "data == \"x\"", 0 }, { "data == 01:02:20:47:45:54:20:ff:00:03", 1 }, { "data matches \"get\"", 1 },
	{ "data matches r\"\\xff\\x00\"", 1 }, { "data in {01:02, \"abc\"}", 0 }, { "data in {01..02}", 1 }, { "len(data) == 10", 1 },
	{ "data > 01", 1 }, { "data > 01:02:20", 1 }, { "data < 01:03", 1 }, { "data[3:3] == \"GET\"", 1 }, { "data == eth.src", 0 },
	{ "data wildcard \"*get*\"", 1 }, { "data[20] == 00", 0 }, { "data", 1 }, { "lower(data) == \"x\"", -1 },
};

START_TEST(test_mac)
{
	struct pool *p = pool_new("test", 0);
	struct pol_error err;
	struct pol_expr *e;
	char out[1024];
	struct sb b;
	int rc = pol_expr_compile(p, str_c(cases[_i].text), &at_request, &e, &err);

	ck_assert_msg((rc < 0) == (cases[_i].want < 0), "%s: rc %d %s", cases[_i].text, rc,
		      rc ? err.text : "");
	if (!rc) {
		ck_assert_msg((int)pol_eval(e, &mac_facts, NULL) == cases[_i].want, "%s",
			      cases[_i].text);
		sb_init(&b, out, sizeof(out));
		pol_expr_print(e, &b);
		ck_assert_msg(pol_expr_compile(p, str_c(out), &at_request, &e, &err) == 0, "%s: %s",
			      out, err.text);
		ck_assert_msg((int)pol_eval(e, &mac_facts, NULL) == cases[_i].want, "%s", out);
	}
	pool_free(&p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("policy mac");
	TCase *c = tcase_create("mac");
	SRunner *r;
	int bad;

	(void)facts;
	tcase_add_loop_test(c, test_mac, 0, FL_ARRAY_LEN(cases));
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_set_fork_status(r, CK_NOFORK);
	srunner_run_all(r, CK_ENV);
	bad = srunner_ntests_failed(r);
	srunner_free(r);
	return bad != 0;
}
