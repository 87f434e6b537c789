/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_cert.c - certificates, keys and trust anchors from configured PEM files, with messages for people
 */
#include "config.h"

#include "net/tls_int.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/env.h"
#include "base/err.h"

#define RSA_MIN_BITS 2048
#define CA_FILE_MAX  (16u << 20)

const char *tls_last_error(void)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;

	ERR_clear_error();
	return reason ? reason : "unknown error";
}

bool tls_name_lower(const char *name, size_t n, char out[TLS_NAME_MAX])
{
	if (n && name[n - 1] == '.')
		n--;
	if (n == 0 || n >= TLS_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char ch = fl_lower((unsigned char)name[i]);

		if (ch <= ' ' || ch >= 0x7f || ch == ':' || ch == '/')
			return false;
		out[i] = (char)ch;
	}
	out[n] = '\0';
	return true;
}

/* Reading --------------------------------------------------------------------------------- */

static bool read_value(const struct conf *c, const struct conf_val *v, bool secret,
		       const char *what, struct conf_diag *d, struct str *out)
{
	int err = conf_src_read(c->src, v->s.p, secret, out);

	if (!err)
		return true;
	conf_error(d, v->loc, v->span, NULL, "cannot read %s \"%s\": %s", what, v->s.p,
		   err == -EISDIR ? "it is a directory" : fl_err_text(err));
	return false;
}

/* All certificates in order; empty when there is none. */
static STACK_OF(X509) *read_certs(struct str pem)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	STACK_OF(X509) *all = sk_X509_new_null();
	X509 *x;

	while (b && all && (x = PEM_read_bio_X509(b, NULL, NULL, NULL)))
		if (!sk_X509_push(all, x))
			X509_free(x);
	ERR_clear_error();              /* the last read always finds no start line */
	BIO_free(b);
	return all;
}

static int no_password(char *buf, int size, int rwflag, void *ctx)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	*(bool *)ctx = true;
	return -1;
}

/* OpenSSL 3.0 collects all its decoders anew for each key, 400 us; kept ones need 25 us. NULL: nothing is said
 * about the key, the slow way will. */
static EVP_PKEY *decode_key(const uint8_t *der, size_t n)
{
	static OSSL_DECODER_CTX *decoder;
	static EVP_PKEY *key;                  /* where it puts the result */
	EVP_PKEY *got;

	if (!decoder)
		decoder = OSSL_DECODER_CTX_new_for_pkey(&key, "DER", NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);
	if (decoder && OSSL_DECODER_from_data(decoder, &der, &n) != 1) {
		OSSL_DECODER_CTX_free(decoder);
		decoder = NULL;
	}
	got = key;
	key = NULL;
	return got;
}

/* The first private key, when it is not encrypted. */
static EVP_PKEY *read_key_fast(BIO *b)
{
	EVP_PKEY *key = NULL;
	bool is_key = false;
	char *name, *header;
	unsigned char *der;
	long n;

	while (!is_key && PEM_read_bio(b, &name, &header, &der, &n) == 1) {
		struct str s = str_c(name);

		is_key = str_ends(s, STR("PRIVATE KEY"));
		if (is_key && !*header && !str_starts(s, STR("ENCRYPTED")))
			key = decode_key(der, (size_t)n);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)n);
	}
	ERR_clear_error();
	return key;
}

static EVP_PKEY *read_key(struct str pem, bool *encrypted)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *key = b ? read_key_fast(b) : NULL;

	*encrypted = false;
	if (b && !key && BIO_reset(b) == 1)
		key = PEM_read_bio_PrivateKey(b, NULL, no_password, encrypted);
	BIO_free(b);
	ERR_clear_error();
	return key;
}

static X509 *shared_cert(struct map *seen, struct pool *p, const unsigned char *der, size_t n)
{
	struct str key = str_n((const char *)der, n);
	const unsigned char *at = der;
	X509 *x = map_get(seen, key);

	if (x) {
		X509_up_ref(x);
		return x;
	}
	x = d2i_X509(NULL, &at, (long)n);
	key = pool_str(p, key);
	if (x && key.p && map_add(seen, key, x) == 0)
		X509_up_ref(x);
	return x;
}

/* The last read finds no further block: any other end is a damaged one. */
static bool at_end(void)
{
	unsigned long e = ERR_peek_last_error();

	return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

struct chain {
	struct str      leaf;             /* DER, from the pool; .p NULL: there is none */
	STACK_OF(X509) *rest;
	bool            damaged;          /* a block cannot be read */
};

/* Thousands of files hold the same few issuers, each 100 us and some KB: with seen those are read once. */
static void add_block(struct chain *c, struct map *seen, struct pool *p, const unsigned char *der, size_t n)
{
	const unsigned char *at = der;
	X509 *x;

	if (!c->leaf.p) {
		c->leaf = pool_str(p, str_n((const char *)der, n));
		c->damaged = !c->leaf.p;
		return;
	}
	x = seen ? shared_cert(seen, p, der, n) : d2i_X509(NULL, &at, (long)n);
	c->damaged = !x || !sk_X509_push(c->rest, x);
	if (x && c->damaged)
		X509_free(x);
}

static struct chain read_chain(struct str pem, struct map *seen, struct pool *p)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	struct chain c = { .rest = sk_X509_new_null() };
	char *name, *header;
	unsigned char *der;
	long n;

	c.damaged = !b || !c.rest;
	while (!c.damaged && PEM_read_bio(b, &name, &header, &der, &n) == 1) {
		if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0)
			add_block(&c, seen, p, der, (size_t)n);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)n);
	}
	c.damaged |= !at_end();
	ERR_clear_error();
	BIO_free(b);
	return c;
}

STACK_OF(X509) *tls_ca_load(const struct conf *c, const struct conf_val *v, struct conf_diag *d,
			    struct str *content)
{
	struct str pem;
	STACK_OF(X509) *all;

	if (!read_value(c, v, false, "CA file", d, &pem))
		return NULL;
	all = read_certs(pem);
	if (all && sk_X509_num(all) == 0) {
		conf_error(d, v->loc, v->span, NULL,
			   "no certificate in CA file \"%s\" (PEM expected)", v->s.p);
		sk_X509_free(all);
		return NULL;
	}
	if (content)
		*content = pem;
	return all;
}

X509_STORE *tls_system_store(void)
{
	static X509_STORE *store;
	const char *files[] = {
		getenv("SSL_CERT_FILE"), X509_get_default_cert_file(),
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
	};

	/* Read now and whole: workers cannot open files, so a folder that is searched later is of no use. */
	for (size_t i = 0; !store && i < FL_ARRAY_LEN(files); i++) {
		STACK_OF(X509) *all;
		char *pem;
		size_t n;

		if (!files[i] || env_read_file(files[i], CA_FILE_MAX, &pem, &n) < 0)
			continue;
		all = read_certs(str_n(pem, n));
		env_free(pem);
		if (all && sk_X509_num(all) > 0)
			store = X509_STORE_new();
		for (int k = 0; store && k < sk_X509_num(all); k++)
			X509_STORE_add_cert(store, sk_X509_value(all, k));
		sk_X509_pop_free(all, X509_free);
		ERR_clear_error();
	}
	return store;
}

/* Checking -------------------------------------------------------------------------------- */

int64_t tls_wall_of(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : 0;
}

static void check_dates(struct tls_cert *cert, const struct conf_val *v, struct conf_diag *d)
{
	int64_t now = (int64_t)(env_wall_us() / 1000000);

	cert->not_after_s = cert->facts.not_after_s;
	if (cert->not_after_s && cert->not_after_s < now)
		conf_warn(d, v->loc, v->span, NULL, "certificate \"%s\" expired %lld days ago",
			  v->s.p, (long long)((now - cert->not_after_s) / 86400));
	else if (cert->facts.not_before_s > now)
		conf_warn(d, v->loc, v->span, NULL, "certificate \"%s\" is not valid yet", v->s.p);
	else if (cert->not_after_s && cert->not_after_s - now < TLS_CERT_WARN_DAYS * 86400)
		conf_warn(d, v->loc, v->span, "renew it, then reload",
			  "certificate \"%s\" expires in %lld days", v->s.p,
			  (long long)((cert->not_after_s - now) / 86400));
}

X509 *tls_cert_leaf(struct tls_cert *cert)
{
	const unsigned char *at = (const unsigned char *)cert->der.p;

	if (!cert->leaf)
		cert->leaf = d2i_X509(NULL, &at, (long)cert->der.n);
	return cert->leaf;
}

/* The facts, and that the key is the certificate's: at once, or by OpenSSL's own way. */
static bool check_leaf(struct tls_cert *cert, const struct conf_val *cv, const struct conf_val *kv,
		       struct conf_diag *d)
{
	if (tls_leaf_scan((const uint8_t *)cert->der.p, cert->der.n, cert->key, &cert->facts))
		return true;
	if (!tls_cert_leaf(cert) || !tls_leaf_read(cert->leaf, &cert->facts)) {
		conf_error(d, cv->loc, cv->span, NULL, "the certificate in \"%s\" is damaged: %s", cv->s.p,
			   tls_last_error());
		return false;
	}
	if (X509_check_private_key(cert->leaf, cert->key) == 1)
		return true;
	ERR_clear_error();
	conf_error(d, kv->loc, kv->span,
		   "the file's first certificate must be the one that the key was made for",
		   "the key in \"%s\" does not belong to certificate \"%s\"", kv->s.p, cert->file);
	return false;
}

static unsigned slot_of(int kind)
{
	switch (kind) {
	case EVP_PKEY_RSA:
	case EVP_PKEY_RSA_PSS: return TLS_SLOT_RSA;
	case EVP_PKEY_EC:      return TLS_SLOT_EC;
	default:               return TLS_SLOT_OTHER;
	}
}

static bool check_key(struct tls_cert *cert, const struct conf_val *v, struct conf_diag *d)
{
	int bits = EVP_PKEY_get_bits(cert->key);

	cert->slot = slot_of(EVP_PKEY_get_base_id(cert->key));
	if (cert->slot == TLS_SLOT_RSA && bits < RSA_MIN_BITS) {
		conf_error(d, v->loc, v->span, NULL,
			   "the RSA key of certificate \"%s\" has %d bits; at least %d are needed",
			   cert->file, bits, RSA_MIN_BITS);
		return false;
	}
	return true;
}

/* Who uses one of them has a reference. */
void tls_seen_drop(struct map *seen)
{
	struct str key;
	void *x;

	for (size_t it = 0; map_next(seen, &it, &key, &x); )
		X509_free(x);
}

void tls_cert_drop(struct tls_cert *cert)
{
	tls_leaf_drop(&cert->facts);
	X509_free(cert->leaf);
	sk_X509_pop_free(cert->chain, X509_free);
	EVP_PKEY_free(cert->key);
	cert->leaf = NULL;
	cert->chain = NULL;
	cert->key = NULL;
}

/* A file with a key is secret; its certificate is not. */
static void open_cert(const struct conf *c, const struct conf_val *v, const struct tls_cert *cert)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text;
	long n;

	if (b && PEM_write_bio(b, PEM_STRING_X509, "", (const unsigned char *)cert->der.p,
			       (long)cert->der.n) > 0) {
		n = BIO_get_mem_data(b, &text);
		if (n > 0)
			conf_src_open(c->src, v->s.p, str_n(text, (size_t)n));
	}
	BIO_free(b);
	ERR_clear_error();
}

/* The first certificate (DER, from the pool); .p NULL: there is none. */
static struct str first_cert(struct str pem, struct pool *p)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	struct str found = STR_NULL;
	char *name, *header;
	unsigned char *der;
	long n;

	while (b && !found.p && PEM_read_bio(b, &name, &header, &der, &n) == 1) {
		if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0)
			found = pool_str(p, str_n((const char *)der, (size_t)n));
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)n);
	}
	ERR_clear_error();
	BIO_free(b);
	return found;
}

struct tls_cert *tls_cert_load_public(const struct conf *c, const struct conf_node *node,
				      struct pool *p)
{
	const struct conf_val *v = &node->val[0];
	struct tls_cert *cert = pool_zalloc(p, sizeof(*cert));
	struct str pem;
	bool ok;

	if (!cert || conf_src_read(c->src, v->s.p, false, &pem) < 0)
		return NULL;
	cert->file = pool_strndup(p, v->s.p, v->s.n);
	cert->der = first_cert(pem, p);
	if (!cert->file || !cert->der.p)
		return NULL;
	ok = tls_leaf_scan((const uint8_t *)cert->der.p, cert->der.n, NULL, &cert->facts) ||
	     (tls_cert_leaf(cert) && tls_leaf_read(cert->leaf, &cert->facts));
	ERR_clear_error();
	X509_free(cert->leaf);                  /* no handshake will want it */
	cert->leaf = NULL;
	if (!ok)
		return NULL;
	X509_NAME_oneline(cert->facts.subject, cert->subject, sizeof(cert->subject));
	cert->not_after_s = cert->facts.not_after_s;
	cert->slot = slot_of(cert->facts.kind);
	return cert;
}

struct tls_cert *tls_cert_load(const struct conf *c, const struct conf_node *node, struct pool *p,
			       struct map *seen, struct conf_diag *d)
{
	const struct conf_val *cv = &node->val[0];
	const struct conf_val *kv = node->n_val > 1 ? &node->val[1] : cv;
	struct tls_cert *cert = pool_zalloc(p, sizeof(*cert));
	struct str pem, key_pem;
	struct chain chain;
	bool encrypted;

	if (!cert) {
		conf_error(d, node->loc, node->span, NULL, "out of memory");
		return NULL;
	}
	cert->file = pool_strndup(p, cv->s.p, cv->s.n);
	if (!cert->file || !read_value(c, cv, cv == kv, "certificate", d, &pem))
		return NULL;
	key_pem = pem;
	if (cv != kv && !read_value(c, kv, true, "key", d, &key_pem))
		return NULL;
	chain = read_chain(pem, seen, p);
	cert->der = chain.leaf;
	cert->chain = chain.rest;
	if (!cert->der.p || chain.damaged) {
		conf_error(d, cv->loc, cv->span, NULL,
			   chain.damaged ? "\"%s\" is damaged: a certificate or key in it cannot be read"
					 : "no certificate in \"%s\" (PEM expected)",
			   cv->s.p);
		goto fail;
	}
	cert->key = read_key(key_pem, &encrypted);
	if (!cert->key) {
		conf_error(
			d, kv->loc, kv->span,
			cv == kv
				? "give the key's file as the second argument, or put both in one file"
				: NULL,
			encrypted
				? "the key in \"%s\" is encrypted; a server needs it without a passphrase"
				: "no private key in \"%s\" (PEM expected)",
			kv->s.p);
		goto fail;
	}
	if (check_leaf(cert, cv, kv, d) && check_key(cert, kv, d)) {
		check_dates(cert, cv, d);
		if (cv == kv)
			open_cert(c, cv, cert);
		X509_NAME_oneline(cert->facts.subject, cert->subject, sizeof(cert->subject));
		return cert;
	}
fail:
	tls_cert_drop(cert);
	return NULL;
}

/* Names ----------------------------------------------------------------------------------- */

static int give_name(const ASN1_STRING *s, int (*fn)(void *, struct str), void *ctx)
{
	char lower[TLS_NAME_MAX];
	const char *z = (const char *)ASN1_STRING_get0_data(s);
	int n = ASN1_STRING_length(s);

	/* also keeps out names with a NUL inside */
	if (n <= 0 || !tls_name_lower(z, (size_t)n, lower))
		return 0;
	return fn(ctx, str_c(lower));
}

int tls_cert_names(const struct tls_cert *cert, int (*fn)(void *, struct str), void *ctx)
{
	const GENERAL_NAMES *san = cert->facts.san;
	const X509_NAME *subject = cert->facts.subject;
	int err = 0, seen = 0, at;

	for (int i = 0; san && !err && i < sk_GENERAL_NAME_num(san); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(san, i);

		if (g->type != GEN_DNS)
			continue;
		seen++;
		err = give_name(g->d.dNSName, fn, ctx);
	}
	if (err || seen)
		return err;
	at = X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)subject, NID_commonName, -1);
	if (at < 0)
		return 0;
	return give_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), fn, ctx);
}
