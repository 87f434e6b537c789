/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tls.c - TLS of conns: our client against our server in one process, profiles from configuration texts
 */
#include "net_unit.h"

#include <openssl/evp.h>
#include <openssl/ocsp.h>
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

static const char *path(const char *name)
{
	static char p[8][128];
	static unsigned at;

	at = (at + 1) % 8;
	snprintf(p[at], sizeof(p[at]), "%s/%s", dir, name);
	return p[at];
}

static EVP_PKEY *ca_key;
static X509 *ca;

static X509 *make(EVP_PKEY *key, const char *cn, const char *san, int days, bool is_ca)
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

static void write_pem(const char *file, X509 *x, EVP_PKEY *key)
{
	FILE *f = fopen(path(file), "w");

	ck_assert_ptr_nonnull(f);
	if (x)
		PEM_write_X509(f, x);
	if (key)
		PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
}

static void leaf(const char *file, EVP_PKEY *key, const char *cn, const char *san, int days)
{
	X509 *x = make(key, cn, san, days, false);

	write_pem(file, x, key);
	X509_free(x);
}

static void make_files(void)
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

/* An OCSP response about a.pem (or, with other, about b.pem), good from yesterday until `hours` from now. */
static void make_ocsp(const char *file, bool other, int hours, int status)
{
	FILE *f = fopen(path(other ? "b.pem" : "a.pem"), "r");
	X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), x, ca);
	ASN1_TIME *from = X509_gmtime_adj(NULL, -86400), *to = X509_gmtime_adj(NULL, hours * 3600L);
	OCSP_RESPONSE *r;
	unsigned char *der = NULL;
	int n;

	fclose(f);
	OCSP_basic_add1_status(basic, id, status, 0, status == V_OCSP_CERTSTATUS_REVOKED ? from : NULL, from, to);
	ck_assert_int_eq(OCSP_basic_sign(basic, ca, ca_key, EVP_sha256(), NULL, 0), 1);
	r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	n = i2d_OCSP_RESPONSE(r, &der);
	ck_assert_int_gt(n, 0);
	f = fopen(path(file), "w");
	ck_assert_uint_eq(fwrite(der, 1, (size_t)n, f), (size_t)n);
	fclose(f);
	OPENSSL_free(der);
	OCSP_RESPONSE_free(r);
	OCSP_CERTID_free(id);
	OCSP_BASICRESP_free(basic);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	X509_free(x);
}

static void drop_files(void)
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
static struct profile load(const char *name, const char *server, const char *client)
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

static struct profile load_ok(const char *name, const char *server, const char *client)
{
	struct profile p = load(name, server, client);

	ck_assert_msg(p.server && p.client, "%s", p.said);
	return p;
}

static void unload(struct profile *p)
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
static void join(struct link *l, struct tls_server *server, struct tls_client *client, const char *sni)
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

static void part(struct link *l)
{
	rec_close(&l->c);
	rec_close(&l->s);
	unit_turns(3);
}

static void shake(struct link *l, struct profile *s, struct profile *c, const char *sni)
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

static void expect_failure(struct profile *s, struct profile *c, const char *sni, const char *who, const char *why)
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

START_TEST(test_round_trip)
{
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	static uint8_t big[3000000];
	struct link l;

	shake(&l, &p, &p, "a.example");
	ck_assert_str_eq(conn_tls_version(l.s.c), "TLSv1.3");
	ck_assert_str_eq(conn_tls_sni(l.s.c), "a.example");
	ck_assert(!conn_tls_resumed(l.s.c));
	pattern_fill(big, 0, sizeof(big));
	ck_assert_int_eq(conn_write(l.s.c, big, sizeof(big)), 0);
	RUN(l.c.n == sizeof(big) + 1);
	pattern_check((uint8_t *)l.c.got + 1, 0, sizeof(big));
	ck_assert_uint_eq(conn_bytes_out(l.s.c), sizeof(big) + 1);
	ck_assert_uint_eq(conn_bytes_in(l.c.c), sizeof(big) + 1);
	/* half-close, authentic */
	conn_shutdown(l.s.c);
	RUN(l.c.eofs == 1);
	ck_assert(conn_eof_clean(l.c.c));
	conn_write(l.c.c, "late", 4);
	RUN(l.s.n == 5);
	part(&l);
	unload(&p);
}
END_TEST

START_TEST(test_cut_is_not_clean)
{
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct link l;

	shake(&l, &p, &p, "a.example");
	shutdown(conn_fd(l.s.c), SHUT_WR);
	RUN(l.c.eofs == 1);
	ck_assert(!conn_eof_clean(l.c.c));
	part(&l);
	unload(&p);
}
END_TEST

START_TEST(test_pause_and_untaken)
{
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct link l;

	shake(&l, &p, &p, "a.example");
	conn_pause(l.s.c);
	conn_write(l.c.c, "abcdef", 6);
	unit_turns(5);
	ck_assert_uint_eq(l.s.n, 1);
	l.s.take = 2;
	conn_resume(l.s.c);
	RUN(l.s.n == 3);
	l.s.take = SIZE_MAX;
	conn_resume(l.s.c);
	RUN(l.s.n == 7);
	ck_assert_mem_eq(l.s.got, "?abcdef", 7);
	part(&l);
	unload(&p);
}
END_TEST

static bool resumes(struct profile *s, struct profile *c)
{
	struct link l;
	bool yes;

	shake(&l, s, c, "a.example");
	yes = conn_tls_resumed(l.s.c);
	ck_assert_int_eq(conn_tls_resumed(l.c.c), yes);
	part(&l);
	return yes;
}

START_TEST(test_resumption)
{
	static uint8_t keys[3][TLS_TICKET_KEY_LEN];
	struct profile p, worker2, reloaded;

	memset(keys[0], 'a', TLS_TICKET_KEY_LEN);
	tls_ticket_keys(keys, 1);
	p = load_ok("web", "cert @/a.pem", ca_opt);
	ck_assert(!resumes(&p, &p));
	ck_assert(resumes(&p, &p));
	/* another worker: the same keys and configuration, an SSL_CTX of its own */
	worker2 = load_ok("web", "cert @/a.pem", ca_opt);
	ck_assert(resumes(&worker2, &p));
	/* rotated: the old key still decrypts, the ticket is renewed under the new one */
	memcpy(keys[1], keys[0], TLS_TICKET_KEY_LEN);
	memset(keys[0], 'b', TLS_TICKET_KEY_LEN);
	tls_ticket_keys(keys, 2);
	ck_assert(resumes(&worker2, &p));
	tls_ticket_keys(keys, 1);
	ck_assert(resumes(&p, &p));
	/* keys that nobody knows: a full handshake, no failure */
	memset(keys[0], 'c', TLS_TICKET_KEY_LEN);
	tls_ticket_keys(keys, 1);
	ck_assert(!resumes(&p, &p));
	ck_assert(resumes(&p, &p));
	/* what decides about clients changed, or another vserver: a full handshake */
	reloaded = load_ok("other", "cert @/a.pem", ca_opt);
	ck_assert(!resumes(&reloaded, &p));
	unload(&reloaded);
	ck_assert(!resumes(&p, &p));
	reloaded = load_ok("web", "cert @/a.pem; client-verify optional; client-ca @/ca.pem", ca_opt);
	ck_assert(!resumes(&reloaded, &p));
	unload(&reloaded);
	reloaded = load_ok("web", "cert @/a.pem; tickets off", ca_opt);
	ck_assert(!resumes(&reloaded, &p));
	ck_assert(!resumes(&reloaded, &p));
	unload(&reloaded);
	unload(&worker2);
	unload(&p);
}
END_TEST

START_TEST(test_names)
{
	struct profile p = load_ok("web", "cert @/a.pem; cert @/a-rsa.pem; cert @/b.pem; cert @/wild.pem", ca_opt);
	static const char *const good[] = { "a.example", "www.a.example", "A.Example", "b.example", "q.w.example",
					    "x.w.example" };
	static const struct { const char *sni, *file; } picks[] = {
		{ "a.example", "a.pem" }, { "b.example", "b.pem" }, { "B.EXAMPLE.", "b.pem" }, { "z.w.example", "wild.pem" },
		{ "w.example", "a.pem" }, { "z.z.w.example", "a.pem" }, { "*.w.example", "a.pem" }, { NULL, "a.pem" },
		{ "b.example:443", "a.pem" }, { "", "a.pem" },
	};
	struct tls_cert_info info;
	struct link l;

	/* the client verifies the name, so success tells that the right certificate came */
	for (size_t i = 0; i < FL_ARRAY_LEN(good); i++) {
		shake(&l, &p, &p, good[i]);
		part(&l);
	}
	expect_failure(&p, &p, "nobody.example", "c", "mismatch");
	for (size_t i = 0; i < FL_ARRAY_LEN(picks); i++)
		ck_assert_msg(strstr(tls_server_pick(p.server, picks[i].sni), picks[i].file), "%s", picks[i].sni);
	ck_assert(tls_server_cert(p.server, 3, &info));
	ck_assert_ptr_nonnull(strstr(info.file, "wild.pem"));
	ck_assert_int_gt(info.not_after_s, (int64_t)(env_wall_us() / 1000000));
	ck_assert(!tls_server_cert(p.server, 4, &info));
	unload(&p);
}
END_TEST

START_TEST(test_unknown_sni_refused)
{
	struct profile p = load_ok("web", "cert @/a.pem; unknown-sni refuse", ca_opt);
	struct link l;

	expect_failure(&p, &p, "nobody.example", "c", "unrecognized name");
	expect_failure(&p, &p, "nobody.example", "s", "no certificate for this server name");
	ck_assert_ptr_null(tls_server_pick(p.server, "nobody.example"));
	shake(&l, &p, &p, "a.example");
	part(&l);
	unload(&p);
}
END_TEST

START_TEST(test_verification_of_services)
{
	struct profile p = load_ok("web", "cert @/ip.pem", ca_opt);
	struct profile system = load_ok("web", "cert @/a.pem", "");
	struct profile off = load_ok("web", "cert @/old.pem", "verify off");
	char opt[200];
	struct profile fixed;
	struct link l;

	shake(&l, &p, &p, NULL);                 /* no name: the address is verified */
	part(&l);
	expect_failure(&p, &p, "a.example", "c", "mismatch");
	expect_failure(&system, &system, "a.example", "c", "issuer");
	shake(&l, &off, &off, "whatever");
	part(&l);
	expect_failure(&off, &p, "old.example", "c", "expired");
	snprintf(opt, sizeof(opt), "%s; sni a.example", ca_opt);
	fixed = load_ok("web", "cert @/a.pem", opt);
	shake(&l, &fixed, &fixed, "ignored.example");
	ck_assert_str_eq(conn_tls_sni(l.s.c), "a.example");
	part(&l);
	unload(&fixed);
	unload(&off);
	unload(&system);
	unload(&p);
}
END_TEST

START_TEST(test_client_certificates)
{
	char opt[300];
	struct profile must = load_ok("web", "cert @/a.pem; client-verify required; client-ca @/ca.pem", ca_opt);
	struct profile may = load_ok("web", "cert @/a.pem; client-verify optional; client-ca @/ca.pem", ca_opt);
	struct profile with;
	struct link l;

	snprintf(opt, sizeof(opt), "%s; cert %s/client.pem", ca_opt, dir);
	with = load_ok("web", "cert @/a.pem", opt);
	shake(&l, &must, &with, "a.example");
	ck_assert_str_eq(conn_tls_client_subject(l.s.c), "CN=Alice");
	part(&l);
	shake(&l, &must, &with, "a.example");
	ck_assert(conn_tls_resumed(l.s.c));
	ck_assert_str_eq(conn_tls_client_subject(l.s.c), "CN=Alice");
	part(&l);
	shake(&l, &may, &may, "a.example");
	ck_assert_str_eq(conn_tls_client_subject(l.s.c), "");
	part(&l);
	join(&l, must.server, must.client, "a.example");
	RUN(l.s.errors && l.c.errors);
	ck_assert_uint_eq(l.s.readies, 0);
	ck_assert_ptr_nonnull(strstr(conn_tls_reason(l.s.c), "peer did not return a certificate"));
	part(&l);
	unload(&with);
	unload(&may);
	unload(&must);
}
END_TEST

/* Clear text and rubbish on the TLS port, raw. */
static int raw(struct rec *r, struct profile *p)
{
	struct addr peer, local;
	int fd[2];

	unit_pair(fd, &peer, &local);
	*r = (struct rec){ .take = SIZE_MAX };
	r->c = conn_accept(E, fd[0], &peer, &local, p->server);
	conn_start(r->c, &rec_ops, r);
	return fd[1];
}

START_TEST(test_wrong_bytes)
{
	static const char *const junk[] = { "\x80\x2e\x01\x03\x01", "EHLO mail.example\r\n", "\x16\x03\x01\xff\xff aaaaaaa",
					    "\x17\x03\x03\xf0\x10zz" };
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	char buf[512];
	struct rec r;
	ssize_t n;
	int peer = raw(&r, &p);

	peer_send(peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	RUN(r.errors == 1);
	ck_assert_int_eq(r.err, FL_EPROTO_);
	rec_close(&r);
	unit_turns(2);
	n = recv(peer, buf, sizeof(buf) - 1, 0);
	ck_assert_int_gt(n, 0);
	buf[n] = '\0';
	ck_assert_ptr_nonnull(strstr(buf, "HTTP/1.1 400 "));
	ck_assert_ptr_nonnull(strstr(buf, "Content-Length: 54\r\n"));
	ck_assert_uint_eq(strlen(strstr(buf, "\r\n\r\n") + 4), 54);
	ck_assert_int_eq(recv(peer, buf, sizeof(buf), 0), 0);
	close(peer);
	for (size_t i = 0; i < FL_ARRAY_LEN(junk); i++) {
		peer = raw(&r, &p);
		peer_send(peer, junk[i]);
		peer_send(peer, "                                                                ");
		RUN(r.errors == 1);
		ck_assert_int_eq(r.err, FL_ETLS_);
		ck_assert_str_ne(conn_tls_reason(r.c), "");
		rec_close(&r);
		close(peer);
		unit_turns(2);
	}
	/* gone in the middle of the handshake */
	peer = raw(&r, &p);
	peer_send(peer, "\x16\x03\x01");
	close(peer);
	RUN(r.errors == 1);
	ck_assert_int_eq(r.err, FL_ECLOSED_);
	rec_close(&r);
	unload(&p);
}
END_TEST

START_TEST(test_one_bad_peer_does_not_spoil_others)
{
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct link l;

	shake(&l, &p, &p, "a.example");
	for (int i = 0; i < 20; i++) {
		struct rec r;
		int peer = raw(&r, &p);

		peer_send(peer, "\x16\x03\x01\xff\xff hello");
		conn_write(l.s.c, "x", 1);
		conn_write(l.c.c, "y", 1);
		RUN(r.errors == 1 && l.c.n == 2u + (unsigned)i && l.s.n == 2u + (unsigned)i);
		rec_close(&r);
		close(peer);
	}
	part(&l);
	unload(&p);
}
END_TEST

/* A storm of handshakes, one step a turn: who was there before is served meanwhile. */
START_TEST(test_handshakes_take_turns)
{
	enum { STORM = 24 };
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct link l, storm[STORM];
	unsigned served = 0, done = 0, turns = 0;

	shake(&l, &p, &p, "a.example");
	conn_mod.shake_us = 0;
	for (int i = 0; i < STORM; i++)
		join(&storm[i], p.server, p.client, "a.example");
	for (int i = 0; i < STORM; i++)
		done += storm[i].s.readies;        /* joining takes turns */
	conn_write(l.c.c, "ping", 4);
	while (done < STORM) {
		unsigned before = done;

		unit_turns(1);
		ck_assert_uint_lt(turns++, 100 * STORM);
		done = 0;
		for (int i = 0; i < STORM; i++)
			done += storm[i].s.readies;
		ck_assert_uint_le(done - before, 1);
		if (l.s.n == 1 + 4 * (served + 1)) {
			served++;
			conn_write(l.c.c, "ping", 4);
		}
	}
	/* a request was served every other turn */
	ck_assert_uint_ge(turns, STORM);
	ck_assert_uint_ge(served, turns / 3);
	for (int i = 0; i < STORM; i++)
		part(&storm[i]);
	part(&l);
	unload(&p);
}
END_TEST

/* Who goes, or is closed, or says junk while it waits in line. */
START_TEST(test_leaving_the_line)
{
	enum { N = 12 };
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct rec r[N];
	struct link l;
	int peer[N];

	conn_mod.shake_us = 0;
	for (int i = 0; i < N; i++) {
		peer[i] = raw(&r[i], &p);
		peer_send(peer[i], "\x16\x03\x01");
	}
	unit_turns(2);
	ck_assert(!list_empty(&conn_mod.shake));
	for (int i = 0; i < N; i += 3) {
		close(peer[i]);
		rec_close(&r[i + 1]);
		peer_send(peer[i + 2], "\xff\xff hello hello");
	}
	for (int i = 0; i < N; i += 3) {
		RUN(r[i].errors == 1 && r[i + 2].errors == 1);
		ck_assert_int_eq(r[i].err, FL_ECLOSED_);
		ck_assert_int_eq(r[i + 2].err, FL_ETLS_);
	}
	for (int i = 0; i < N; i++) {
		rec_close(&r[i]);
		if (i % 3)
			close(peer[i]);
	}
	shake(&l, &p, &p, "a.example");
	ck_assert(list_empty(&conn_mod.shake));
	part(&l);
	unload(&p);
}
END_TEST

/* Certificates are taken apart by our own code: it must agree with OpenSSL's, and take nothing that OpenSSL
 * would refuse when a handshake needs it. */
static X509 *pem_of(const char *file, EVP_PKEY **key)
{
	FILE *f = fopen(path(file), "r");
	X509 *x = PEM_read_X509(f, NULL, NULL, NULL);

	*key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	fclose(f);
	ck_assert(x && *key);
	return x;
}

static const char *const leaves[] = { "a.pem", "a-rsa.pem", "wild.pem", "ip.pem" };

START_TEST(test_leaf)
{
	EVP_PKEY *key, *other;
	X509 *x = pem_of(leaves[_i], &key);
	struct tls_leaf fast, slow;
	unsigned char *der = NULL;
	int n = i2d_X509(x, &der);

	X509_free(pem_of(_i == 1 ? "a.pem" : "a-rsa.pem", &other));
	ck_assert(tls_leaf_scan(der, (size_t)n, key, &fast));
	ck_assert(tls_leaf_read(x, &slow));
	ck_assert_int_eq(fast.not_before_s, slow.not_before_s);
	ck_assert_int_eq(fast.not_after_s, slow.not_after_s);
	ck_assert_int_eq(X509_NAME_cmp(fast.subject, slow.subject), 0);
	ck_assert_int_eq(sk_GENERAL_NAME_num(fast.san), sk_GENERAL_NAME_num(slow.san));
	tls_leaf_drop(&fast);
	tls_leaf_drop(&slow);
	ck_assert(!tls_leaf_scan(der, (size_t)n, other, &fast));
	ck_assert_ptr_null(fast.subject);
	for (int cut = 0; cut < n; cut++) {
		uint8_t *exact = malloc((size_t)cut + 1);      /* so that ASan sees reads beyond */

		memcpy(exact, der, (size_t)cut);
		ck_assert(!tls_leaf_scan(exact, (size_t)cut, key, &fast));
		free(exact);
	}
	for (int i = 0; i < n * 8; i++) {
		const unsigned char *at = der;
		X509 *read;

		der[i / 8] ^= (unsigned char)(1 << i % 8);
		if (tls_leaf_scan(der, (size_t)n, key, &fast)) {
			read = d2i_X509(NULL, &at, n);
			ck_assert_msg(read && X509_check_private_key(read, key) == 1, "bit %d", i);
			X509_free(read);
			tls_leaf_drop(&fast);
		}
		der[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	OPENSSL_free(der);
	X509_free(x);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}
END_TEST

/* Names of hundreds of certificates, whose X509 is made when a client asks for it; issuers are shared. */
START_TEST(test_many_certificates)
{
	enum { N = 300 };
	struct sb opt;
	struct profile p;
	char name[64], san[160];
	struct tls_cert *first, *second;
	struct link l;
	unsigned made = 0;

	sb_init_heap(&opt);
	for (int i = 0; i < N; i++) {
		EVP_PKEY *key = EVP_EC_gen("P-256");
		FILE *f;

		snprintf(name, sizeof(name), "n%d.pem", i);
		snprintf(san, sizeof(san), "DNS:n%d.example,DNS:*.n%d.example", i, i);
		leaf(name, key, "n", san, 30);
		f = fopen(path(name), "a");
		PEM_write_X509(f, ca);
		fclose(f);
		sb_fmt(&opt, "cert @/%s;", name);
		EVP_PKEY_free(key);
	}
	p = load_ok("web", opt.p, ca_opt);
	for (int i = 0; i < N; i++) {
		snprintf(san, sizeof(san), "/n%d.pem", i);
		snprintf(name, sizeof(name), "N%d.example", i);
		ck_assert_ptr_nonnull(strstr(tls_server_pick(p.server, name), san));
		snprintf(name, sizeof(name), "www.n%d.example", i);
		ck_assert_ptr_nonnull(strstr(tls_server_pick(p.server, name), san));
	}
	shake(&l, &p, &p, "n250.example");
	part(&l);
	shake(&l, &p, &p, "x.n120.example");
	part(&l);
	for (struct tls_cert *c = p.server->certs; c; c = c->next)
		made += c->leaf != NULL;
	ck_assert_uint_eq(made, 3);              /* the default and those two */
	first = p.server->certs;
	second = first->next;
	ck_assert_int_eq(sk_X509_num(second->chain), 1);
	ck_assert_ptr_eq(sk_X509_value(first->chain, 0), sk_X509_value(second->chain, 0));
	unload(&p);
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "n%d.pem", i);
		unlink(path(name));
	}
	sb_free(&opt);
}
END_TEST

/* What the server staples, as a client of OpenSSL's own sees it. */
static long stapled_seen;
static int on_stapled(SSL *ssl, void *arg)
{
	const unsigned char *p;

	(void)arg;
	stapled_seen = SSL_get_tlsext_status_ocsp_resp(ssl, &p);
	return 1;
}

static long stapled(struct profile *p, const char *sni)
{
	struct link l;

	stapled_seen = -2;
	SSL_CTX_set_tlsext_status_type(p->client->ctx, TLSEXT_STATUSTYPE_ocsp);
	SSL_CTX_set_tlsext_status_cb(p->client->ctx, on_stapled);
	shake(&l, p, p, sni);
	part(&l);
	return stapled_seen;
}

START_TEST(test_stapling)
{
	struct profile p;

	make_ocsp("ocsp.der", false, 24, V_OCSP_CERTSTATUS_GOOD);
	p = load_ok("web", "cert @/a.pem; cert @/b.pem; ocsp @/ocsp.der", ca_opt);
	ck_assert_int_gt(stapled(&p, "a.example"), 100);
	ck_assert_int_le(stapled(&p, "b.example"), 0);           /* only for the first certificate */
	p.server->ocsp.until_s = 1;                              /* went stale while running */
	ck_assert_int_le(stapled(&p, "www.a.example"), 0);
	unload(&p);
	make_ocsp("ocsp.der", false, -1, V_OCSP_CERTSTATUS_GOOD);
	p = load_ok("web", "cert @/a.pem; ocsp @/ocsp.der", ca_opt);
	ck_assert_ptr_nonnull(strstr(p.said, "is stale"));
	ck_assert_int_le(stapled(&p, "a.example"), 0);
	unload(&p);
	make_ocsp("ocsp.der", true, 24, V_OCSP_CERTSTATUS_GOOD);
	p = load("web", "cert @/a.pem; ocsp @/ocsp.der", ca_opt);
	ck_assert_ptr_null(p.server);
	ck_assert_ptr_nonnull(strstr(p.said, "about another certificate"));
	unload(&p);
	make_ocsp("ocsp.der", false, 24, V_OCSP_CERTSTATUS_REVOKED);
	p = load("web", "cert @/a.pem; ocsp @/ocsp.der", ca_opt);
	ck_assert_ptr_null(p.server);
	ck_assert_ptr_nonnull(strstr(p.said, "revoked"));
	unload(&p);
}
END_TEST

/* Configuration mistakes -------------------------------------------------------------------- */

static const struct { const char *server, *says; bool warns; } mistakes[] = {
	{ "cert @/nothing.pem", "cannot read certificate", false },
	{ "cert @", "is a directory", false },
	{ "cert @/junk.pem", "no certificate in", false },
	{ "cert @/cut.pem", "cut.pem\" is damaged", false },
	{ "cert @/key-only.pem", "no certificate in", false },
	{ "cert @/ca.pem", "no private key in", false },
	{ "cert @/a.pem @/other.key", "does not belong to certificate", false },
	{ "cert @/a.pem @/nothing.key", "cannot read key", false },
	{ "cert @/weak.pem", "1024 bits", false },
	{ "cert @/old.pem", "expired", true },
	{ "cert @/a.pem; ciphers ECDHE-RSA-AES128-GCM-SHA256:AES-MAGIC", "unknown cipher \"AES-MAGIC\"", false },
	{ "cert @/a.pem; ciphersuites TLS_MAGIC", "cipher suites", false },
	{ "cert @/a.pem; groups X25519:P-1", "unknown group", false },
	{ "cert @/a.pem; client-verify required", "client-ca\"", false },
	{ "cert @/a.pem; client-verify required; client-ca @/junk.pem", "no certificate in CA file", false },
	{ "cert @/a.pem; ocsp @/junk.pem", "not an OCSP response", false },
};

START_TEST(test_mistakes)
{
	struct profile p = load("web", mistakes[_i].server, ca_opt);

	ck_assert_msg(strstr(p.said, mistakes[_i].says), "%s", p.said);
	ck_assert_msg(strstr(p.said, "t.conf:3:"), "%s", p.said);
	ck_assert_int_eq(p.server != NULL, mistakes[_i].warns);
	unload(&p);
}
END_TEST

static void start(void)
{
	unit_start();
	(void)tls_mem_cells();           /* as in a worker */
	make_files();
	snprintf(ca_opt, sizeof(ca_opt), "ca %s/ca.pem", dir);
	listen_fd = unit_listen(&listen_addr);
}
static void end(void)
{
	unit_end();
	close(listen_fd);
	drop_files();
}

int main(void)
{
	Suite *s = suite_create("net/tls");
	TCase *t = tcase_create("tls");
	SRunner *sr;
	int bad;

	if (!tls_mem_init())
		return 1;
	tcase_add_checked_fixture(t, start, end);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_round_trip);
	tcase_add_test(t, test_cut_is_not_clean);
	tcase_add_test(t, test_pause_and_untaken);
	tcase_add_test(t, test_resumption);
	tcase_add_test(t, test_names);
	tcase_add_test(t, test_unknown_sni_refused);
	tcase_add_test(t, test_verification_of_services);
	tcase_add_test(t, test_client_certificates);
	tcase_add_test(t, test_stapling);
	tcase_add_test(t, test_wrong_bytes);
	tcase_add_test(t, test_one_bad_peer_does_not_spoil_others);
	tcase_add_test(t, test_handshakes_take_turns);
	tcase_add_loop_test(t, test_leaf, 0, (int)FL_ARRAY_LEN(leaves));
	tcase_add_test(t, test_many_certificates);
	tcase_add_test(t, test_leaving_the_line);
	tcase_add_loop_test(t, test_mistakes, 0, (int)FL_ARRAY_LEN(mistakes));
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	bad = srunner_ntests_failed(sr);
	srunner_free(sr);
	return bad != 0;
}
