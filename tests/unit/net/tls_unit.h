/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_unit.h - TLS in a test: certificates in a folder, profiles from configuration texts, a client and a
 * server conn of one process that face each other
 */
#ifndef FL_TESTS_TLS_UNIT_H
#define FL_TESTS_TLS_UNIT_H

#include "net_unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "conf/conf.h"
#include "net/conn_int.h"
#include "net/tls.h"
#include "net/tls_int.h"
#include "net/tls_mem.h"

static char dir[64];

/* Certificates ---------------------------------------------------------------------------- */

static inline const char *path(const char *name)
{
	static char p[8][128];
	static unsigned at;

	at = (at + 1) % 8;
	snprintf(p[at], sizeof(p[at]), "%s/%s", dir, name);
	return p[at];
}

static EVP_PKEY *ca_key;
static X509 *ca;

static inline X509 *make(EVP_PKEY *key, const char *cn, const char *san, int days, bool is_ca)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509V3_CTX v;
	static long serial = 1;
	X509_EXTENSION *ext[2] = { NULL, NULL };

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(x), -10L * 86400);
	X509_gmtime_adj(X509_getm_notAfter(x), days * 86400L);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(x, ca ? X509_get_subject_name(ca) : name);
	X509_set_pubkey(x, key);
	X509V3_set_ctx(&v, ca ? ca : x, x, NULL, NULL, 0);
	if (san)
		ext[0] = X509V3_EXT_conf_nid(NULL, &v, NID_subject_alt_name, san);
	if (is_ca)
		ext[1] = X509V3_EXT_conf_nid(NULL, &v, NID_basic_constraints, "critical,CA:TRUE");
	for (int i = 0; i < 2; i++)
		if (ext[i]) {
			ck_assert_int_eq(X509_add_ext(x, ext[i], -1), 1);
			X509_EXTENSION_free(ext[i]);
		}
	X509_sign(x, ca_key, EVP_sha256());
	return x;
}

static inline void write_pem(const char *file, X509 *x, EVP_PKEY *key)
{
	FILE *f = fopen(path(file), "w");

	ck_assert_ptr_nonnull(f);
	if (x)
		PEM_write_X509(f, x);
	if (key)
		PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
}

static inline void leaf(const char *file, EVP_PKEY *key, const char *cn, const char *san, int days)
{
	X509 *x = make(key, cn, san, days, false);

	write_pem(file, x, key);
	X509_free(x);
}

static inline void make_files(void)
{
	EVP_PKEY *ec = EVP_EC_gen("P-256"), *rsa = EVP_RSA_gen(2048), *weak = EVP_RSA_gen(1024);
	FILE *f;

	snprintf(dir, sizeof(dir), "/tmp/fl-tls-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ca_key = EVP_EC_gen("P-256");
	ca = make(ca_key, "Test CA", NULL, 30, true);
	write_pem("ca.pem", ca, NULL);
	leaf("a.pem", ec, "a.example", "DNS:a.example,DNS:www.a.example", 30);
	leaf("a-rsa.pem", rsa, "a.example", "DNS:a.example", 30);
	leaf("b.pem", rsa, "B.example", NULL, 30);
	leaf("wild.pem", ec, "w", "DNS:*.w.example,DNS:x.w.example", 30);
	leaf("ip.pem", ec, "ip", "IP:127.0.0.1", 30);
	leaf("old.pem", ec, "old.example", "DNS:old.example", -1);
	leaf("weak.pem", weak, "weak.example", NULL, 30);
	leaf("client.pem", ec, "Alice", NULL, 30);
	write_pem("key-only.pem", NULL, ec);
	write_pem("other.key", NULL, rsa);
	f = fopen(path("cut.pem"), "w");
	PEM_write_PrivateKey(f, ec, NULL, NULL, 0, NULL, NULL);
	PEM_write_X509(f, ca);
	fputs("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", f);
	fclose(f);
	f = fopen(path("junk.pem"), "w");
	fputs("not a certificate\n", f);
	fclose(f);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(weak);
}

static inline void drop_files(void)
{
	static const char *const names[] = { "ca.pem", "a.pem", "a-rsa.pem", "b.pem", "wild.pem", "ip.pem", "old.pem",
		"weak.pem", "client.pem", "key-only.pem", "other.key", "junk.pem", "cut.pem", "ocsp.der" };

	for (size_t i = 0; i < FL_ARRAY_LEN(names); i++)
		unlink(path(names[i]));
	rmdir(dir);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	ca = NULL;
}

/* Profiles -------------------------------------------------------------------------------- */

struct profile {
	struct conf_src   *src;
	struct conf_diag  *d;
	struct conf       *c;
	struct tls_server *server;
	struct tls_client *client;
	char               said[4096];
};

/* "@" in the options stands for the folder of the certificates. */
static inline struct profile load(const char *name, const char *server, const char *client)
{
	struct profile p = { 0 };
	struct sb text, out;
	struct str s;

	sb_init_heap(&text);
	sb_fmt(&text, "pool p { service s 127.0.0.1:1; tls { %s } }\nvserver %s {\n listen 127.0.0.1:1 tls { ",
	       client, name);
	for (const char *z = server; *z; z++)
		if (*z == '@')
			sb_c(&text, dir);
		else
			sb_ch(&text, *z);
	sb_c(&text, " }\n default use p\n}\n");
	for (char *z = text.p; z < text.p + text.n; z++)
		ck_assert_int_ne(*z, '\0');
	p.d = conf_diag_new();
	s = sb_get(&text);
	p.src = conf_src_text("t.conf", s);
	if (conf_load(p.src, p.d, &p.c) == 0) {
		const struct conf_node *vs = conf_find(p.c, D_VSERVER, name);
		const struct conf_node *pool = conf_find(p.c, D_POOL, "p");

		p.server = tls_server_build(p.c, conf_child(conf_child(vs, D_VS_LISTEN), D_LISTEN_TLS), p.d);
		p.client = tls_client_build(p.c, conf_child(pool, D_POOL_TLS), p.d);
	}
	sb_init(&out, p.said, sizeof(p.said));
	conf_diag_print(p.d, &out, false);
	sb_free(&text);
	return p;
}

static inline struct profile load_ok(const char *name, const char *server, const char *client)
{
	struct profile p = load(name, server, client);

	ck_assert_msg(p.server && p.client, "%s", p.said);
	return p;
}

static inline void unload(struct profile *p)
{
	tls_server_free(&p->server);
	tls_client_free(&p->client);
	conf_free(&p->c);
	conf_src_free(&p->src);
	conf_diag_free(&p->d);
}

static char ca_opt[160];

/* Connections ----------------------------------------------------------------------------- */

struct link {
	struct rec s, c;
};

static int listen_fd;
static struct addr listen_addr;

/* Starts a client and a server conn that face each other. All use one listening socket, since the client keeps
 * sessions by address. */
static inline void join(struct link *l, struct tls_server *server, struct tls_client *client, const char *sni)
{
	struct conn_opts o = { .tls = client, .sni = sni };
	struct addr peer = { 0 };
	socklen_t n = sizeof(peer);
	int err, sfd;

	l->s = l->c = (struct rec){ .take = SIZE_MAX };
	l->c.c = conn_connect(E, &listen_addr, &o, &rec_ops, &l->c, &err);
	ck_assert_ptr_nonnull(l->c.c);
	unit_turns(1);
	sfd = accept4(listen_fd, &peer.sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(sfd, 0);
	l->s.c = conn_accept(E, sfd, &peer, &listen_addr, server);
	ck_assert_ptr_nonnull(l->s.c);
	conn_start(l->s.c, &rec_ops, &l->s);
}

static inline void part(struct link *l)
{
	rec_close(&l->c);
	rec_close(&l->s);
	unit_turns(3);
}

static inline void shake(struct link *l, struct profile *s, struct profile *c, const char *sni)
{
	join(l, s->server, c->client, sni);
	RUN((l->s.readies && l->c.readies) || l->s.errors || l->c.errors);
	ck_assert_msg(l->s.readies == 1 && l->c.readies == 1, "server: %s; client: %s",
		      conn_tls_reason(l->s.c), conn_tls_reason(l->c.c));
	/* a byte each way: tickets have arrived then */
	conn_write(l->s.c, "!", 1);
	conn_write(l->c.c, "?", 1);
	RUN(l->s.n == 1 && l->c.n == 1);
}

/* Clear text and rubbish on the TLS port, raw. */
static inline int raw(struct rec *r, struct profile *p)
{
	struct addr peer, local;
	int fd[2];

	unit_pair(fd, &peer, &local);
	*r = (struct rec){ .take = SIZE_MAX };
	r->c = conn_accept(E, fd[0], &peer, &local, p->server);
	conn_start(r->c, &rec_ops, r);
	return fd[1];
}

static inline void expect_failure(struct profile *s, struct profile *c, const char *sni, const char *who, const char *why)
{
	struct link l;
	const char *reason;

	join(&l, s->server, c->client, sni);
	RUN(l.s.errors && l.c.errors);
	ck_assert_uint_eq(l.c.n + l.s.n, 0);
	reason = conn_tls_reason(*who == 's' ? l.s.c : l.c.c);
	ck_assert_msg(strstr(reason, why), "reason: %s", reason);
	ck_assert_int_eq(*who == 's' ? l.s.err : l.c.err, FL_ETLS_);
	part(&l);
}

static inline void tls_start(void)
{
	unit_start();
	(void)tls_mem_cells();           /* as in a worker */
	make_files();
	snprintf(ca_opt, sizeof(ca_opt), "ca %s/ca.pem", dir);
	listen_fd = unit_listen(&listen_addr);
}
static inline void tls_end(void)
{
	unit_end();
	close(listen_fd);
	drop_files();
}

/* The suite's main(); tests: adds them. */
static inline int tls_main(const char *name, void (*tests)(TCase *t))
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create("tls");
	SRunner *sr;
	int bad;

	if (!tls_mem_init())
		return 1;
	tcase_add_checked_fixture(t, tls_start, tls_end);
	tcase_set_timeout(t, 60);
	tests(t);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	bad = srunner_ntests_failed(sr);
	srunner_free(sr);
	return bad != 0;
}

#endif
