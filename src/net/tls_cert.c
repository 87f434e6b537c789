/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_cert.c - certificates, keys and trust anchors from configured PEM files, with messages for people
 */
#include "config.h"

#include "net/tls_int.h"

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

static EVP_PKEY *read_key(struct str pem, bool *encrypted)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *key = NULL;

	*encrypted = false;
	if (b)
		key = PEM_read_bio_PrivateKey(b, NULL, no_password, encrypted);
	BIO_free(b);
	ERR_clear_error();
	return key;
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

static int64_t wall_of(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : 0;
}

static void check_dates(struct tls_cert *cert, const struct conf_val *v, struct conf_diag *d)
{
	int64_t now = (int64_t)(env_wall_us() / 1000000);

	cert->not_after_s = wall_of(X509_get0_notAfter(cert->leaf));
	if (cert->not_after_s && cert->not_after_s < now)
		conf_warn(d, v->loc, v->span, NULL, "certificate \"%s\" expired %lld days ago",
			  v->s.p, (long long)((now - cert->not_after_s) / 86400));
	else if (wall_of(X509_get0_notBefore(cert->leaf)) > now)
		conf_warn(d, v->loc, v->span, NULL, "certificate \"%s\" is not valid yet", v->s.p);
}

static bool check_key(struct tls_cert *cert, const struct conf_val *v, struct conf_diag *d)
{
	int bits = EVP_PKEY_get_bits(cert->key);

	switch (EVP_PKEY_get_base_id(cert->key)) {
	case EVP_PKEY_RSA:
	case EVP_PKEY_RSA_PSS: cert->slot = TLS_SLOT_RSA; break;
	case EVP_PKEY_EC:      cert->slot = TLS_SLOT_EC; break;
	default:               cert->slot = TLS_SLOT_OTHER; break;
	}
	if (X509_check_private_key(cert->leaf, cert->key) != 1) {
		ERR_clear_error();
		conf_error(d, v->loc, v->span,
			   "the file's first certificate must be the one that the key was made for",
			   "the key in \"%s\" does not belong to certificate \"%s\"", v->s.p,
			   cert->file);
		return false;
	}
	if (cert->slot == TLS_SLOT_RSA && bits < RSA_MIN_BITS) {
		conf_error(d, v->loc, v->span, NULL,
			   "the RSA key of certificate \"%s\" has %d bits; at least %d are needed",
			   cert->file, bits, RSA_MIN_BITS);
		return false;
	}
	return true;
}

void tls_cert_drop(struct tls_cert *cert)
{
	X509_free(cert->leaf);
	sk_X509_pop_free(cert->chain, X509_free);
	EVP_PKEY_free(cert->key);
	cert->leaf = NULL;
	cert->chain = NULL;
	cert->key = NULL;
}

struct tls_cert *tls_cert_load(const struct conf *c, const struct conf_node *node, struct pool *p,
			       struct conf_diag *d)
{
	const struct conf_val *cv = &node->val[0];
	const struct conf_val *kv = node->n_val > 1 ? &node->val[1] : cv;
	struct tls_cert *cert = pool_zalloc(p, sizeof(*cert));
	struct str pem, key_pem;
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
	cert->chain = read_certs(pem);
	cert->leaf = cert->chain ? sk_X509_shift(cert->chain) : NULL;
	if (!cert->leaf) {
		conf_error(d, cv->loc, cv->span, NULL, "no certificate in \"%s\" (PEM expected)",
			   cv->s.p);
		goto fail;
	}
	X509_NAME_oneline(X509_get_subject_name(cert->leaf), cert->subject, sizeof(cert->subject));
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
	check_dates(cert, cv, d);
	if (check_key(cert, kv, d))
		return cert;
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
	GENERAL_NAMES *san = X509_get_ext_d2i(cert->leaf, NID_subject_alt_name, NULL, NULL);
	const X509_NAME *subject = X509_get_subject_name(cert->leaf);
	int err = 0, seen = 0, at;

	for (int i = 0; san && !err && i < sk_GENERAL_NAME_num(san); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(san, i);

		if (g->type != GEN_DNS)
			continue;
		seen++;
		err = give_name(g->d.dNSName, fn, ctx);
	}
	GENERAL_NAMES_free(san);
	if (err || seen)
		return err;
	at = X509_NAME_get_index_by_NID((X509_NAME *)(uintptr_t)subject, NID_commonName, -1);
	if (at < 0)
		return 0;
	return give_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), fn, ctx);
}
