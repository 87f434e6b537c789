/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_manifest.c - what gen writes of a configuration is what the master reads; damage is refused
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "conf/conf.h"
#include "lb/lb.h"
#include "proc/launch.h"
#include "proc/manifest.h"

static const char text[] =
	"workers 3\n"
	"control-core 0\n"
	"drain-timeout 7s\n"
	"heartbeat-timeout 300ms\n"
	"error-log \"/var/log/with space.log\" debug\n"
	"access-log /var/log/a.log combined\n"
	"admin { socket /run/x/ctl.sock; http 127.0.0.1:8404 }\n"
	"pool p { service a 127.0.0.1:1; service b [::1]:2 }\n"
	"vserver one { listen 0.0.0.0:81; listen [::1]:83 { backlog 77; congestion reno; distribute cpu }; default use p }\n"
	"vserver two { listen [::]:82; access-log /var/log/b.log json; policy x when http.host == \"h\" { reject }; default use p }\n"
	"vserver three { listen [::]:82; protocol udp; default use p }\n"
	"vserver four {\n"
	"	listen 127.0.0.1:84 { distribute rss hash toeplitz tuple 2 rebalance off }\n"
	"	listen 127.0.0.1:85 { distribute rules { core 1 10.0.0.0/8 2001:db8::/32; core 0 10.1.0.0/16; core 2 0.0.0.0/0 } }\n"
	"	default use p\n"
	"}\n"
	"vserver five { listen [::1]:86 { distribute rss }; protocol udp; default use p }\n";

static struct sb written;
static uint8_t keys[2][80];

static void write_manifest(void)
{
	static const struct ids ids = { .uid = 123, .gid = 456, .name = "somebody" };
	struct conf_diag *d = conf_diag_new();
	struct conf_src *src = conf_src_text("<test>", str_c(text));
	struct conf *c = NULL;
	struct lb_config *lc;
	struct sb say;

	lb_set_conf_hooks();
	sb_init_heap(&say);
	if (conf_load(src, d, &c) != 0) {
		conf_diag_print(d, &say, false);
		ck_abort_msg("%s", say.p);
	}
	lc = lb_build(c, false, d);
	ck_assert_ptr_nonnull(lc);
	for (unsigned i = 0; i < 80; i++) {
		keys[0][i] = (uint8_t)(i * 3);
		keys[1][i] = (uint8_t)(255 - i);
	}
	sb_init_heap(&written);
	ck_assert_int_eq(manifest_write(lc, &ids, 5, (const uint8_t (*)[80])keys, 2, &written), 0);
	lb_free(&lc);
	conf_free(&c);
	conf_src_free(&src);
	conf_diag_free(&d);
	sb_free(&say);
}

static const struct man_listen *listen_named(const struct manifest *m, const char *name)
{
	for (unsigned i = 0; i < m->n_listens; i++)
		if (strcmp(m->listens[i].name, name) == 0)
			return &m->listens[i];
	ck_abort_msg("no listen %s", name);
	return NULL;
}

static bool has_object(const struct manifest *m, enum tbl_kind kind, const char *name)
{
	for (unsigned i = 0; i < m->n_objects; i++)
		if (m->objects[i].kind == kind && strcmp(m->objects[i].name, name) == 0)
			return true;
	return false;
}

START_TEST(rss_and_rules)
{
	static const struct { const char *prefix; unsigned core; } rules[] = {
		{ "2001:db8::/32", 1 }, { "10.1.0.0/16", 0 }, { "10.0.0.0/8", 1 }, { "0.0.0.0/0", 2 },
	};
	struct manifest *m = manifest_read(sb_get(&written));
	const struct man_listen *l = listen_named(m, "four/127.0.0.1:84");
	struct cidr c;

	ck_assert_int_eq(l->distribute, STEER_RSS);
	ck_assert_int_eq(l->rss.hash, RSS_TOEPLITZ);
	ck_assert_uint_eq(l->rss.tuple, 2);
	ck_assert_uint_eq(l->rebalance, 0);
	ck_assert_uint_eq(l->rss.n_rules, 0);
	l = listen_named(m, "four/127.0.0.1:85");
	ck_assert_int_eq(l->distribute, STEER_RULES);
	ck_assert_int_eq(l->rss.hash, RSS_JHASH);
	ck_assert_uint_eq(l->rss.tuple, 4);
	ck_assert_uint_eq(l->rebalance, 10);
	ck_assert_uint_eq(l->rss.n_rules, FL_ARRAY_LEN(rules));
	for (size_t i = 0; i < FL_ARRAY_LEN(rules); i++) {         /* the longest first */
		ck_assert_int_eq(cidr_parse(str_c(rules[i].prefix), &c), 0);
		ck_assert(ip_eq(l->rss.rules[i].ip, c.ip));
		ck_assert_uint_eq(l->rss.rules[i].bits, c.bits);
		ck_assert_uint_eq(l->rule_core[i], rules[i].core);
	}
	l = listen_named(m, "five/[::1]:86");
	ck_assert(l->udp);
	ck_assert_int_eq(l->distribute, STEER_RSS);
	ck_assert_int_eq(listen_named(m, "three/[::]:82")->distribute, STEER_KERNEL);
	manifest_free(&m);
}
END_TEST

START_TEST(what_is_written_is_read)
{
	struct manifest *m = manifest_read(sb_get(&written));
	const struct man_listen *l;
	char addr[ADDR_TEXT_MAX];

	ck_assert_ptr_nonnull(m);
	ck_assert_uint_eq(m->workers, 3);
	ck_assert_int_eq(m->control_core, 0);
	ck_assert_uint_eq(m->drain_timeout_us, 7000000);
	ck_assert_uint_eq(m->heartbeat_us, 300000);
	ck_assert_uint_eq(m->drain_generations, 4);
	ck_assert_uint_eq(m->ids.uid, 123);
	ck_assert_uint_eq(m->ids.gid, 456);
	ck_assert_str_eq(m->ids.name, "somebody");
	ck_assert_str_eq(m->error_log, "/var/log/with space.log");
	ck_assert_str_eq(m->admin_socket, "/run/x/ctl.sock");
	ck_assert_str_eq(addr_text(&m->admin_http, addr), "127.0.0.1:8404");
	ck_assert_uint_eq(m->n_vservers, 5);
	ck_assert_uint_eq(m->n_services, 2);
	ck_assert_uint_eq(m->n_warnings, 5);
	ck_assert_uint_eq(m->n_keys, 2);
	ck_assert_mem_eq(m->keys[0], keys[0], 80);
	ck_assert_mem_eq(m->keys[1], keys[1], 80);
	ck_assert_uint_eq(m->n_logs, 2);
	ck_assert_uint_eq(m->n_listens, 7);
	ck_assert(listen_named(m, "three/[::]:82")->udp);
	ck_assert(!listen_named(m, "two/[::]:82")->udp);
	l = listen_named(m, "one/[::1]:83");
	ck_assert_int_eq(l->backlog, 77);
	ck_assert_str_eq(l->congestion, "reno");
	ck_assert(l->v6only);
	ck_assert_int_eq(l->distribute, STEER_CPU);
	ck_assert_uint_eq(l->queues, 1);                           /* loopback's */
	ck_assert_int_eq(listen_named(m, "two/[::]:82")->distribute, STEER_AUTO);
	ck_assert(!listen_named(m, "two/[::]:82")->v6only);        /* both families */
	ck_assert(has_object(m, KIND_SERVICE, "p/b"));
	ck_assert(has_object(m, KIND_POLICY, "two/x"));
	ck_assert(has_object(m, KIND_LISTENER, "one/0.0.0.0:81"));
	manifest_free(&m);
	ck_assert_ptr_null(m);
}
END_TEST

/* Cut anywhere it lacks its last line. */
START_TEST(cut_is_refused)
{
	for (size_t n = 0; n + 1 < written.n; n++) {
		struct manifest *m = manifest_read(str_n(written.p, n));

		if (m && n < written.n - 1)
			ck_abort_msg("accepted %zu of %zu bytes", n, written.n);
	}
}
END_TEST

static const char *const damaged[] = {
	"object 99 x\n", "object 3 \n", "object x y\n", "listen nowhere 1 0 - x\n", "listen 1.2.3.4:5 70000 0 - x\n",
	"rule 1 8 10.0.0.0\n", "listen 1.2.3.4:5 1 0 - x\nrule 1 33 10.0.0.0\n", "listen 1.2.3.4:5 1 0 - x\nrule 5000 8 10.0.0.0\n",
	"listen 1.2.3.4:5 1 0 - x\ndistribute 7 1 0 4 10\n", "listen 1.2.3.4:5 1 0 - x\ndistribute 4 1 2 4 10\n",
	"listen 1.2.3.4:5 1 0 - x\ndistribute 4 1 0 5 10\n", "listen 1.2.3.4:5 1 0 - x\ndistribute 4 1 0 4\n",
	"listen 1.2.3.4:5 1 0 -\n", "listen-udp 1.2.3.4 1 0 - x\n", "key 00\n", "key zz\n", "workers many\n", "admin-http here\n", "nonsense\n",
};

START_TEST(damage_is_refused)
{
	struct manifest *m;
	struct sb b;

	sb_init_heap(&b);
	sb_c(&b, damaged[_i]);
	sb_str(&b, sb_get(&written));
	m = manifest_read(sb_get(&b));
	ck_assert_msg(m == NULL, "accepted: %s", damaged[_i]);
	sb_free(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("manifest");
	TCase *t = tcase_create("manifest");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, write_manifest, NULL);
	tcase_add_test(t, what_is_written_is_read);
	tcase_add_test(t, rss_and_rules);
	tcase_add_test(t, cut_is_refused);
	tcase_add_loop_test(t, damage_is_refused, 0, (int)FL_ARRAY_LEN(damaged));
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
