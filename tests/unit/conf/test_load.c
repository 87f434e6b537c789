/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_load.c - what a good configuration becomes: values, defaults, references, includes, images
 */
#include "config.h"

#include "conf_test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tbl/tbl.h"

static const char whole[] =
	"\xef\xbb\xbfworkers 4; consolidate 2.5ms\r\n"
	"admin { http 127.0.0.1:8404 } # a comment\r\n"
	"resolver 10.0.0.53 [::1]:5353\n"
	"monitor m tcp every 2s timeout 500ms { send \"GET /\\x41\\n\\\nx\" \n }\n"
	"pool app {\n\tmethod source-ip-hash; monitor m\n"
	"\tservice a1 10.0.0.11:8080 \\\n\t\tweight 2 backup on\n"
	"\tservice a2 app2.internal:8081\n\ttls { verify off }\n}\n"
	"vserver web {\n\tlisten [::]:443 tls cert /a.pem /b.pem alpn http/1.1 backlog 10\n"
	"\tpolicy one when (http.host in {\"a\", # c\n \"b\"}) and # d ) \n"
	"\t\n\tdefault use app\n}\n";

START_TEST(test_line_end_ends_expression)
{
	struct loaded l = load(
		whole); /* `and` at a line's end is outside of ( ): the rest is another statement */

	ck_assert_int_eq(l.rc, FL_ESYNTAX_);
	must_say(&l, CONF_ERROR, 16, 2, "has no action", NULL);
	unload(&l);
}
END_TEST

static struct loaded load_whole(void)
{
	char text[sizeof(whole) + 100];
	const char *cut = strstr(whole, " and # d"), *rest = strstr(whole, "\tdefault");

	snprintf(text, sizeof(text), "%.*s {use app}\n%s", (int)(cut - whole), whole, rest);
	return load_ok(text);
}

START_TEST(test_values)
{
	struct loaded l = load_whole();
	const struct conf_node *root = l.c->root, *pool = conf_find(l.c, D_POOL, "app"), *n;
	const struct conf_val *v;

	ck_assert_int_eq(conf_opt_int(root, D_WORKERS), 4);
	ck_assert_int_eq(conf_opt_int(root, D_CONSOLIDATE), 2500);
	n = conf_child(root, D_RESOLVER);
	ck_assert_uint_eq(n->n_val, 2);
	ck_assert_uint_eq(addr_port(&n->val[0].addr), 53);
	ck_assert_uint_eq(addr_port(&n->val[1].addr), 5353);
	n = conf_find(l.c, D_MONITOR, "m");
	ck_assert_ptr_nonnull(n);
	ck_assert_str_eq(conf_opt_word(n, D_MON_SEND), "GET /A\nx");
	ck_assert_int_eq(n->val[1].i, 1);
	ck_assert_ptr_nonnull(pool);
	ck_assert_ptr_eq(conf_opt(pool, D_POOL_MONITOR)->ref, n);
	n = conf_find(l.c, D_POOL_SERVICE, "app/a1");
	ck_assert_ptr_nonnull(n);
	ck_assert_int_eq(conf_opt_int(n, D_SVC_WEIGHT), 2);
	ck_assert(conf_opt_bool(n, D_SVC_BACKUP));
	ck_assert_int_eq(n->val[1].addr.sa.sa_family, AF_INET);
	ck_assert_uint_eq(n->loc.line, 9);
	n = conf_same(n);
	v = &n->val[1];
	ck_assert_str_eq(n->full_name, "app/a2");
	ck_assert_int_eq(v->addr.sa.sa_family, 0);
	ck_assert_str_eq(v->s.p, "app2.internal");
	ck_assert_uint_eq(v->port, 8081);
	ck_assert_ptr_null(conf_same(n));
	ck_assert(!conf_opt_bool(conf_child(pool, D_POOL_TLS), D_STLS_VERIFY));
	n = conf_child(conf_find(l.c, D_VSERVER, "web"), D_VS_LISTEN);
	ck_assert_int_eq(conf_opt_int(n, D_LISTEN_BACKLOG), 10);
	ck_assert_uint_eq(conf_child(conf_child(n, D_LISTEN_TLS), D_LTLS_CERT)->n_val, 2);
	n = conf_find(l.c, D_VS_POLICY, "web/one");
	ck_assert_uint_eq(n->n_val, 3);
	ck_assert_int_eq(n->val[2].type, CV_EXPR);
	ck_assert_str_eq(n->val[2].s.p, "(http.host in {\"a\",      \"b\"})");
	unload(&l);
}
END_TEST

START_TEST(test_defaults)
{
	struct loaded l = load_whole();

	ck_assert_int_eq(conf_opt_int(l.c->root, D_SHUTDOWN_GRACE), 10000000);
	ck_assert_int_eq(conf_opt_int(NULL, D_MAX_OBJECTS), 65536);
	ck_assert_str_eq(conf_opt_word(l.c->root, D_LOG_ERROR), "stderr");
	ck_assert_str_eq(conf_opt_word(l.c->root, D_ACCESS_LOG), "off");
	ck_assert_int_eq(conf_opt(l.c->root, D_ACCESS_LOG)->type, CV_ENUM);
	ck_assert_ptr_null(conf_opt(l.c->root, D_TICKET_KEYS));
	ck_assert_ptr_null(conf_opt_word(NULL, D_ADMIN_SOCKET));
	ck_assert_int_eq(conf_opt_int(NULL, D_VS_MAX_HEAD), 32768);
	unload(&l);
}
END_TEST

static char dir[64];

static void put(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void remove_all(void)
{
	char cmd[100];

	snprintf(cmd, sizeof(cmd), "rm -rf -- '%s'", dir);
	ck_assert_int_eq(system(cmd), 0);
}

static struct conf_src *make_files(void)
{
	char path[200];

	snprintf(dir, sizeof(dir), "/tmp/fl-conf-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/conf.d", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	put("main.conf",
	    "include conf.d/*.conf\ninclude none*.x\nuser ${FL_TEST_USER:-nobody}\n"
	    "shutdown-grace ${FL_TEST_GRACE}\nmonitor m http { host file:secret }\nticket-keys conf.d/keys\n");
	put("conf.d/b.conf", "pool b { service s 10.0.0.2:80 }\n");
	put("conf.d/a.conf",
	    "include ../rest\npool a { service s 10.0.0.1:80; tls { ca ca.pem } }\n");
	put("rest",
	    "vserver v { listen :80; default use a }\nvserver w { listen :81; default use b }\n");
	put("secret", "s3cret.example\n");
	snprintf(path, sizeof(path), "%s/main.conf", dir);
	return conf_src_files(path);
}

/* An image gives the same tree when files and environment are gone, also without the secrets'
 * files. */
START_TEST(test_image)
{
	struct loaded a, b;
	char *image, *da, *db, path[200];
	size_t len;
	struct str data;

	setenv("FL_TEST_GRACE", "7s", 1);
	unsetenv("FL_TEST_USER");
	a = load_src(make_files());
	if (a.rc)
		say(&a);
	ck_assert_int_eq(a.rc, 0);
	ck_assert_str_eq(conf_opt_word(a.c->root, D_USER), "nobody");
	ck_assert_str_eq(conf_child(a.c->root, D_POOL)->name, "a");
	snprintf(path, sizeof(path), "%s/conf.d/keys", dir);
	ck_assert_str_eq(conf_opt_word(a.c->root, D_TICKET_KEYS), path);
	snprintf(path, sizeof(path), "%s/conf.d/ca.pem", dir);
	ck_assert_str_eq(
		conf_opt_word(conf_child(conf_child(a.c->root, D_POOL), D_POOL_TLS), D_STLS_CA),
		path);
	ck_assert_int_eq(conf_opt_int(a.c->root, D_SHUTDOWN_GRACE), 7000000);
	ck_assert(conf_opt(conf_find(a.c, D_MONITOR, "m"), D_MON_HOST)->secret);
	ck_assert_str_eq(conf_opt_word(conf_find(a.c, D_MONITOR, "m"), D_MON_HOST),
			 "s3cret.example");
	snprintf(path, sizeof(path), "%s/rest", dir);
	ck_assert_int_eq(conf_src_read(a.src, path, false, &data), 0);
	ck_assert_int_eq(conf_src_image(a.src, true, &image, &len), 0);
	da = dump_of(a.c, CONF_DUMP_ORIGIN);
	ck_assert_ptr_null(strstr(da, "s3cret"));
	remove_all();
	setenv("FL_TEST_GRACE", "9s", 1);
	setenv("FL_TEST_USER", "root", 1);
	b = load_src(conf_src_from_image(str_n(image, len)));
	if (b.rc)
		say(&b);
	ck_assert_int_eq(b.rc, 0);
	db = dump_of(b.c, CONF_DUMP_ORIGIN);
	ck_assert_str_eq(da, db);
	ck_assert_str_eq(conf_opt_word(b.c->root, D_USER), "nobody");
	ck_assert_int_eq(conf_opt_int(b.c->root, D_SHUTDOWN_GRACE), 7000000);
	ck_assert_int_eq(conf_src_read(b.src, path, false, &data), 0);
	ck_assert_int_eq(conf_src_read(b.src, "/etc/passwd", false, &data), -ENOENT);
	unload(&b);
	env_free(image);
	ck_assert_int_eq(conf_src_image(a.src, false, &image, &len), 0);
	ck_assert(memmem(image, len, "s3cret.example", 14) == NULL);
	b = load_src(conf_src_from_image(str_n(image, len)));
	ck_assert_int_eq(b.rc, 0);
	ck_assert_str_eq(conf_opt_word(conf_find(b.c, D_MONITOR, "m"), D_MON_HOST), "***");
	free(db);
	db = dump_of(b.c, CONF_DUMP_ORIGIN);
	ck_assert_str_eq(da, db);
	unload(&b);
	/* any changed or missing byte is noticed */
	for (size_t i = 0; i < len; i += 7) {
		image[i] ^= 0x20;
		ck_assert_ptr_null(conf_src_from_image(str_n(image, len)));
		image[i] ^= 0x20;
		ck_assert_ptr_null(conf_src_from_image(str_n(image, i)));
	}
	env_free(image);
	free(da);
	free(db);
	unload(&a);
}
END_TEST

/* No step is quadratic: a hundred times the work of a file that takes 2 ms would be seen. */
START_TEST(test_many)
{
	struct loaded l;
	struct sb b;
	uint64_t t;

	sb_init_heap(&b);
	sb_c(&b, "pool app {\n");
	for (unsigned i = 0; i < 10000; i++)
		sb_fmt(&b, "service s%u 10.0.%u.%u:80 weight 2\n", i, i >> 8, i & 255);
	sb_c(&b, "}\n");
	for (unsigned i = 0; i < 10000; i++)
		sb_fmt(&b, "pool p%u { service a 10.0.0.1:80; backup p%u }\n", i, i + 1);
	sb_c(&b,
	     "pool p10000 { service a 10.0.0.1:80 }\nvserver v { listen :80; default use app }\n");
	t = env_now_us();
	l = load_ok(b.p);
	ck_assert_msg(env_now_us() - t < 5000000, "a load took %u ms",
		      (unsigned)((env_now_us() - t) / 1000));
	ck_assert_ptr_nonnull(conf_find(l.c, D_POOL_SERVICE, "app/s9999"));
	unload(&l);
	sb_free(&b);
}
END_TEST

/* Each row that only a restart applies: kept from one load to the next, in any notation, and said where it differs. */
START_TEST(test_kept)
{
	static const char was[] = "user nobody\nmax-objects 1000\n", *same = "user \"nobody\"\nmax-objects 1000\n";
	struct loaded a = load_ok(was), b;
	struct sb kept, dump;

	sb_init_heap(&kept);
	conf_kept_print(a.c, &kept);
	for (unsigned i = 1; i < D__COUNT; i++)
		if (tbl_dirs[i].reload == RELOAD_RESTART)
			ck_assert_msg(strstr(kept.p, tbl_dirs[i].name) != NULL, "%s is not kept", tbl_dirs[i].name);
	unload(&a);

	a.src = conf_src_text("t.conf", str_c(same));
	ck_assert_int_eq(conf_src_keep(a.src, sb_get(&kept)), 0);
	a = load_src(a.src);
	ck_assert_uint_eq(conf_diag_count(a.d), 0);
	unload(&a);

	b.src = conf_src_text("t.conf", STR("max-objects 2000\nadmin { socket /tmp/x.sock }\ndrain-generations 9\n"));
	ck_assert_int_eq(conf_src_keep(b.src, sb_get(&kept)), 0);
	b = load_src(b.src);
	ck_assert_int_eq(b.rc, 0);
	ck_assert_uint_eq(conf_diag_warnings(b.d), 4);
	must_say(&b, CONF_WARNING, 1, 1, "\"max-objects\" stays 1000: only a restart applies 2000", NULL);
	must_say(&b, CONF_WARNING, 2, 9, "\"socket\" stays unset: only a restart applies /tmp/x.sock", NULL);
	must_say(&b, CONF_WARNING, 3, 1, "stays 4", NULL);
	must_say(&b, CONF_WARNING, 0, 0, "\"user\" stays nobody", NULL);
	ck_assert_int_eq(conf_opt_int(b.c->root, D_MAX_OBJECTS), 1000);
	ck_assert_int_eq(conf_opt_int(b.c->root, D_DRAIN_GENERATIONS), 4);
	ck_assert_str_eq(conf_opt_word(b.c->root, D_USER), "nobody");
	ck_assert_ptr_null(conf_opt_word(conf_child(b.c->root, D_ADMIN), D_ADMIN_SOCKET));
	sb_init_heap(&dump);
	conf_dump(b.c, NULL, 0, &dump);
	ck_assert_ptr_nonnull(strstr(dump.p, "max-objects 1000  # until a restart; the file says 2000\n"));
	sb_free(&dump);
	sb_free(&kept);
	unload(&b);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf load");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_line_end_ends_expression);
	tcase_add_test(t, test_values);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_image);
	tcase_add_test(t, test_many);
	tcase_add_test(t, test_kept);
	suite_add_tcase(s, t);
	return run_suite(s);
}
