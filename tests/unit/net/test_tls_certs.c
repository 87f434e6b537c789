/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tls_certs.c - certificates of TLS profiles: by name, taken apart, many, stapled, and mistakes
 */
#include "tls_unit.h"

#include <openssl/ocsp.h>

static const char *file_for(const struct tls_server *t, const char *sni)
{
	struct tls_choice c;

	tls_server_choose(t, sni, NULL, 0, &c);
	return c.cert[0];
}

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
		ck_assert_msg(strstr(file_for(p.server, picks[i].sni), picks[i].file), "%s", picks[i].sni);
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
	const struct str h2 = STR("h2"), h1 = STR("http/1.1");
	struct tls_choice c;
	struct link l;

	expect_failure(&p, &p, "nobody.example", "c", "unrecognized name");
	expect_failure(&p, &p, "nobody.example", "s", "no certificate for this server name");
	tls_server_choose(p.server, "nobody.example", NULL, 0, &c);
	ck_assert(c.refused && c.alert == 112 && c.why == CTR_TLS_WHY_UNKNOWN_SNI);
	tls_server_choose(p.server, "a.example", &h2, 1, &c);
	ck_assert(c.refused && c.alert == 120 && c.why == CTR_TLS_WHY_NO_ALPN);
	tls_server_choose(p.server, NULL, &h1, 1, &c);
	ck_assert(!c.refused && str_eq(c.alpn, h1) && c.verify == TLS_VERIFY_OFF);
	shake(&l, &p, &p, "a.example");
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
	ck_assert_int_eq(fast.kind, slow.kind);
	tls_leaf_drop(&fast);
	ck_assert(tls_leaf_scan(der, (size_t)n, NULL, &fast));         /* without its key */
	ck_assert_int_eq(fast.kind, slow.kind);
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
		ck_assert_ptr_nonnull(strstr(file_for(p.server, name), san));
		snprintf(name, sizeof(name), "www.n%d.example", i);
		ck_assert_ptr_nonnull(strstr(file_for(p.server, name), san));
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
	{ "cert @/a.pem; ciphers \"ECDHE-RSA-AES128-GCM-SHA256 NOPE\"", "^~~~ openssl ciphers", false },
	{ "cert @/a.pem; ciphers \"aNULL\"", "cipher \"aNULL\" is without", false },
	{ "cert @/a.pem; ciphers \"AES128-GCM-SHA256:NULL\"", "cipher \"NULL\" is without", false },
	{ "cert @/a.pem; ciphers NULL-SHA256", "is without authentication", false },
	{ "cert @/a.pem; ciphers \"AES:!AES\"", "cipher list \"AES:!AES\": ", false },
	{ "cert @/a.pem; ciphers HIGH", "without authentication or encryption", true },
	{ "cert @/a.pem; ciphersuites TLS_MAGIC", "unknown TLS 1.3 cipher suite \"TLS_MAGIC\"", false },
	{ "cert @/a.pem; ciphersuites \"TLS_AES_128_GCM_SHA256:NOPE\"", "cipher suite \"NOPE\"", false },
	{ "cert @/a.pem; groups X25519:P-1", "unknown key exchange group \"P-1\"", false },
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

static void tests(TCase *t)
{
	tcase_add_test(t, test_names);
	tcase_add_test(t, test_unknown_sni_refused);
	tcase_add_test(t, test_stapling);
	tcase_add_loop_test(t, test_leaf, 0, (int)FL_ARRAY_LEN(leaves));
	tcase_add_test(t, test_many_certificates);
	tcase_add_loop_test(t, test_mistakes, 0, (int)FL_ARRAY_LEN(mistakes));
}

int main(void)
{
	return tls_main("net/tls_certs", tests);
}
