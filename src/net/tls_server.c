/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_server.c - the profile of a TLS listener: one SSL_CTX, certificates by name (see tls.h)
 *
 * Defaults are Mozilla's "intermediate": TLS 1.2 and 1.3, forward secrecy, AEAD. The default certificate lies in the
 * SSL_CTX; for another name the certificate callback loads that one's chain and key into the connection. Both an RSA
 * and an ECDSA certificate may hold a name; OpenSSL then chooses by the client's signature algorithms.
 *
 * A ticket is good in the profile that gave it only: the session id context is made of the vserver's name and of what
 * decides about client certificates, the same in all workers and over reloads.
 */
#include "config.h"

#include "net/tls_int.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/err.h"
#include "net/tls_io_int.h"

#define CIPHERS_12 "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
		   "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
		   "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES_13  "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CLIENT_CHAIN_MAX   10
#define CLIENT_CHAIN_BYTES (64 * 1024)
#define CLIENT_RSA_BITS    8192

/* Names ----------------------------------------------------------------------------------- */

static const struct tls_name *find_lower(const struct tls_server *t, const char *lower)
{
	const struct tls_name *hit = map_get(t->names, str_c(lower));
	const char *dot = strchr(lower, '.');
	char wild[TLS_NAME_MAX + 1];

	if (hit || !dot || dot == lower)
		return hit;
	wild[0] = '*';
	memcpy(wild + 1, dot, strlen(dot) + 1);
	return map_get(t->names, str_c(wild));
}

const struct tls_name *tls_server_find(const struct tls_server *t, const char *sni)
{
	char lower[TLS_NAME_MAX];

	/* a '*' from the network must not find a wildcard's own key */
	if (!tls_name_lower(sni, strlen(sni), lower) || strchr(lower, '*'))
		return NULL;
	return find_lower(t, lower);
}

struct naming {
	struct tls_server *t;
	struct tls_cert   *cert;
};

static int add_name(void *ctx, struct str name)
{
	struct naming *g = ctx;
	struct tls_name *n = map_get(g->t->names, name);

	if (!n) {
		struct str key = pool_str(g->t->pool, name);

		n = pool_zalloc(g->t->pool, sizeof(*n));
		if (!key.p || !n || map_add(g->t->names, key, n) < 0)
			return FL_ENOMEM_;
	}
	/* the first one written keeps a name */
	if (!n->slot[g->cert->slot])
		n->slot[g->cert->slot] = g->cert;
	return 0;
}

bool tls_server_cert(const struct tls_server *t, unsigned i, struct tls_cert_info *out)
{
	const struct tls_cert *cert = t->certs;

	while (cert && i--)
		cert = cert->next;
	if (!cert)
		return false;
	*out = (struct tls_cert_info){ cert->file, cert->subject, cert->not_after_s };
	return true;
}

/* Deciding ---------------------------------------------------------------------------------- */

/* The certificates for a server name, NULL: the default's. False: the handshake is refused. */
static bool choose_name(const struct tls_server *t, const char *sni, const struct tls_name **name)
{
	*name = sni ? tls_server_find(t, sni) : NULL;
	return *name || !sni || !t->refuse_unknown;
}

/* in: the client's protocols in wire form. False: none in common, which is refused (RFC 7301 section 3.2). */
static bool choose_alpn(const struct tls_server *t, const unsigned char *in, unsigned in_n,
			const unsigned char **out, unsigned char *n)
{
	return SSL_select_next_proto((unsigned char **)(uintptr_t)out, n, t->alpn, t->alpn_n, in,
				     in_n) == OPENSSL_NPN_NEGOTIATED;
}

static void refuse(struct tls_choice *out, unsigned alert, unsigned why)
{
	out->refused = true;
	out->alert = alert;
	out->why = why;
}

void tls_server_choose(const struct tls_server *t, const char *sni, const struct str *offers, unsigned n,
		       struct tls_choice *out)
{
	const struct tls_name *name;
	const unsigned char *picked;
	unsigned char wire[256], picked_n;
	unsigned k = 0, wire_n = 0;

	*out = (struct tls_choice){ .verify = t->verify };
	if (!choose_name(t, sni, &name)) {
		refuse(out, SSL_AD_UNRECOGNIZED_NAME, CTR_TLS_WHY_UNKNOWN_SNI);
		return;
	}
	if (!name)
		name = &t->fallback;
	for (unsigned i = TLS_SLOTS; i-- > 0 && k < FL_ARRAY_LEN(out->cert); )
		if (name->slot[i])      /* ECDSA first: it is what modern clients take */
			out->cert[k++] = name->slot[i]->file;
	for (unsigned i = 0; i < n && offers[i].n && wire_n + 1 + offers[i].n <= sizeof(wire); i++) {
		wire[wire_n++] = (unsigned char)offers[i].n;
		memcpy(wire + wire_n, offers[i].p, offers[i].n);
		wire_n += (unsigned)offers[i].n;
	}
	if (!t->alpn_n || !wire_n)
		return;
	if (!choose_alpn(t, wire, wire_n, &picked, &picked_n)) {
		refuse(out, SSL_AD_NO_APPLICATION_PROTOCOL, CTR_TLS_WHY_NO_ALPN);
		return;
	}
	for (unsigned i = 0; i < n; i++)        /* picked lies in t->alpn or in wire, which goes */
		if (str_eq(offers[i], str_n(picked, picked_n)))
			out->alpn = offers[i];
}

/* Callbacks of a handshake ------------------------------------------------------------------ */

static int on_servername(SSL *ssl, int *alert, void *arg)
{
	const struct tls_server *t = arg;
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct tls_io *io = tls_io_of(ssl);
	const struct tls_name *n;

	if (choose_name(t, sni, &n)) {
		if (io)
			io->name = n;
		return n ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
	}
	if (io)
		io->why = CTR_TLS_WHY_UNKNOWN_SNI;
	*alert = SSL_AD_UNRECOGNIZED_NAME;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool use_name(SSL *ssl, SSL_CTX *ctx, const struct tls_name *n)
{
	for (unsigned i = 0; i < TLS_SLOTS; i++) {
		struct tls_cert *cert = n->slot[i];
		X509 *leaf = cert ? tls_cert_leaf(cert) : NULL;
		int ok;

		if (!cert)
			continue;
		if (!leaf)
			return false;
		if (ssl)
			ok = SSL_use_cert_and_key(ssl, leaf, cert->key, cert->chain, 1);
		else
			ok = SSL_CTX_use_cert_and_key(ctx, leaf, cert->key, cert->chain, 1);
		if (ok != 1)
			return false;
	}
	return true;
}

static int on_cert(SSL *ssl, void *arg)
{
	const struct tls_server *t = arg;
	const struct tls_io *io = tls_io_of(ssl);
	const struct tls_name *n = io ? io->name : NULL;

	if (!n || memcmp(n, &t->fallback, sizeof(*n)) == 0 || SSL_session_reused(ssl))
		return 1;
	SSL_certs_clear(ssl);
	return use_name(ssl, NULL, n);
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
		   unsigned in_n, void *arg)
{
	(void)ssl;
	return choose_alpn(arg, in, in_n, out, n) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int on_status(SSL *ssl, void *arg)
{
	const struct tls_server *t = arg;
	int64_t now = (int64_t)(env_wall_us() / 1000000);
	uint8_t *copy;

	if (!t->ocsp.der || (t->ocsp.until_s && t->ocsp.until_s < now) ||
	    SSL_get_certificate(ssl) != t->certs->leaf)
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(t->ocsp.der, t->ocsp.n);
	if (!copy)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)t->ocsp.n);
	return SSL_TLSEXT_ERR_OK;
}

static bool has_nul(const ASN1_STRING *s)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, s);
	bool found = n > 0 && memchr(utf8, 0, (size_t)n);

	OPENSSL_free(utf8);
	return found;
}

/* A name that C code of others would read as a shorter one. */
static bool has_nul_in_name(const X509 *x)
{
	const X509_NAME *subject = X509_get_subject_name(x);
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = 0; i < X509_NAME_entry_count(subject) && !found; i++)
		found = has_nul(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
	for (int i = 0; i < sk_GENERAL_NAME_num(all) && !found; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);

		if (g->type == GEN_DNS || g->type == GEN_EMAIL || g->type == GEN_URI)
			found = memchr(ASN1_STRING_get0_data(g->d.ia5), 0,
				       (size_t)ASN1_STRING_length(g->d.ia5));
	}
	GENERAL_NAMES_free(all);
	return found;
}

/* What is wrong with a certificate before anybody verifies it (CTR_TLS_WHY_*); 0: nothing. */
static unsigned refuse_cert(const X509 *x)
{
	EVP_PKEY *key = X509_get0_pubkey(x);

	if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA &&
	    EVP_PKEY_get_bits(key) > CLIENT_RSA_BITS)
		return CTR_TLS_WHY_CERT_KEY;
	return has_nul_in_name(x) ? CTR_TLS_WHY_CERT_NUL : 0;
}

/* Client certificates that cost too much to check or that lie are refused before the check, and all
 * that the peer sent is looked at, not the chain alone that verification makes of it. */
static int on_chain(X509_STORE_CTX *store, void *arg)
{
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_io *io = ssl ? tls_io_of(ssl) : NULL;
	unsigned why = 0;

	(void)arg;
	if (sk_X509_num(sent) > CLIENT_CHAIN_MAX)
		why = CTR_TLS_WHY_CERT_CHAIN;
	for (int i = 0; !why && i < sk_X509_num(sent); i++)
		why = refuse_cert(sk_X509_value(sent, i));
	if (!why)
		return X509_verify_cert(store);
	if (io)
		io->why = (uint8_t)why;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	return 0;
}

/* Building -------------------------------------------------------------------------------- */

static void bad_value(struct conf_diag *d, const struct conf_val *v, const char *what)
{
	conf_error(d, v->loc, v->span, NULL, "%s \"%s\": %s", what, v->s.p, tls_last_error());
}

/* OpenSSL takes or refuses a list as a whole; the name that it does not know is found by asking for each. */
static void bad_groups(struct tls_server *t, struct conf_diag *d, const struct conf_val *v)
{
	struct str rest = v->s;

	ERR_clear_error();
	while (rest.n) {
		struct str one = str_cut(&rest, ':');
		char name[64];
		struct sb b;

		sb_init(&b, name, sizeof(name));
		sb_str(&b, one);
		if (!b.over && one.n && SSL_CTX_set1_groups_list(t->ctx, name) == 1)
			continue;
		ERR_clear_error();
		conf_error(d, v->loc, v->span, "names are parted by colons: X25519:P-256:P-384",
			   "unknown key exchange group \"%s\"", name);
		return;
	}
	conf_error(d, v->loc, v->span, NULL, "this list of key exchange groups is refused (a name twice?)");
}

static void set_crypto(struct tls_server *t, const struct conf_node *tls, struct conf_diag *d)
{
	const struct conf_val *v = conf_opt(tls, D_LTLS_CIPHERS);
	const char *version = conf_opt_word(tls, D_LTLS_VERSION);

	SSL_CTX_set_min_proto_version(
		t->ctx, version && strcmp(version, "1.3") == 0 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(t->ctx, CIPHERS_12);
	SSL_CTX_set_ciphersuites(t->ctx, SUITES_13);
	if (v && v->s.n) {
		tls_check_ciphers(v, d);
		if (SSL_CTX_set_cipher_list(t->ctx, v->s.p) != 1)
			ERR_clear_error();
	}
	v = conf_opt(tls, D_LTLS_CIPHERSUITES);
	if (v && v->s.n) {
		tls_check_ciphersuites(v, d);
		if (SSL_CTX_set_ciphersuites(t->ctx, v->s.p) != 1)
			ERR_clear_error();
	}
	v = conf_opt(tls, D_LTLS_GROUPS);
	if (v && v->s.n && SSL_CTX_set1_groups_list(t->ctx, v->s.p) != 1)
		bad_groups(t, d, v);
	ERR_clear_error();
}

/* The default: the first certificate, and its twin of another kind for the same name. */
static void set_fallback(struct tls_server *t)
{
	struct str key;
	void *val;

	t->fallback.slot[t->certs->slot] = t->certs;
	for (size_t it = 0; map_next(t->names, &it, &key, &val);) {
		const struct tls_name *n = val;

		if (n->slot[t->certs->slot] == t->certs) {
			t->fallback = *n;
			return;
		}
	}
}

/* All certificates with their names. d NULL: without keys. False: one cannot be had. */
static bool load_certs(struct tls_server *t, const struct conf *c, const struct conf_node *tls,
		       struct conf_diag *d)
{
	struct map *seen = d ? map_new(t->pool, false) : NULL;
	struct tls_cert **tail = &t->certs;
	bool all = true;

	CONF_FOREACH(node, tls, D_LTLS_CERT) {
		struct tls_cert *cert = !d   ? tls_cert_load_public(c, node, t->pool) :
					seen ? tls_cert_load(c, node, t->pool, seen, d) :
					       NULL;
		struct naming g = { t, cert };

		if (!cert) {
			all = false;
			continue;
		}
		*tail = cert;
		tail = &cert->next;
		if (tls_cert_names(cert, add_name, &g) < 0) {
			all = false;
			if (d)
				conf_error(d, node->loc, node->span, NULL, "out of memory");
		}
		tls_leaf_drop(&cert->facts);
	}
	if (seen)
		tls_seen_drop(seen);
	if (t->certs)
		set_fallback(t);
	return all && t->certs;
}

static void set_certs(struct tls_server *t, const struct conf *c, const struct conf_node *tls,
		      struct conf_diag *d)
{
	const struct conf_val *v;

	(void)load_certs(t, c, tls, d);
	if (!t->certs)
		return;
	if (!use_name(NULL, t->ctx, &t->fallback)) {
		const struct conf_node *node = conf_child(tls, D_LTLS_CERT);

		bad_value(d, &node->val[0], "certificate");
	}
	v = conf_opt(tls, D_LTLS_OCSP);
	if (v && v->s.n) {
		tls_ocsp_load(c, v, t->certs, t->pool, &t->ocsp, d);
		SSL_CTX_set_tlsext_status_cb(t->ctx, on_status);
		SSL_CTX_set_tlsext_status_arg(t->ctx, t);
	}
}

/* Fills *ca with the bytes of the CA file, for the session id context. */
static void set_client_auth(struct tls_server *t, const struct conf *c, const struct conf_node *tls,
			    struct conf_diag *d, struct str *ca)
{
	const struct conf_val *v = conf_opt(tls, D_LTLS_CLIENT_CA);
	STACK_OF(X509) *all;
	X509_STORE *store;

	if (t->verify == TLS_VERIFY_OFF)
		return;
	if (!v || !v->s.n) {
		const struct conf_node *node = conf_child(tls, D_LTLS_CLIENT_VERIFY);

		conf_error(d, node->loc, node->span, "add client-ca FILE",
			   "client-verify needs client-ca to verify against");
		return;
	}
	all = tls_ca_load(c, v, d, ca);
	store = all ? X509_STORE_new() : NULL;
	for (int i = 0; store && i < sk_X509_num(all); i++) {
		X509_STORE_add_cert(store, sk_X509_value(all, i));
		SSL_CTX_add_client_CA(t->ctx, sk_X509_value(all, i));
	}
	if (store)
		SSL_CTX_set1_verify_cert_store(t->ctx, store);
	X509_STORE_free(store);
	sk_X509_pop_free(all, X509_free);
	SSL_CTX_set_verify(
		t->ctx,
		SSL_VERIFY_PEER |
			(t->verify == TLS_VERIFY_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
		NULL);
	SSL_CTX_set_cert_verify_callback(t->ctx, on_chain, NULL);
	SSL_CTX_set_verify_depth(t->ctx, CLIENT_CHAIN_MAX);
	SSL_CTX_set_max_cert_list(t->ctx, CLIENT_CHAIN_BYTES);
	ERR_clear_error();
}

static const struct conf_node *vserver_of(const struct conf_node *tls)
{
	while (tls && (!tls->dir || tls->dir->id != D_VSERVER))
		tls = tls->parent;
	return tls;
}

/* What tls_server_choose() goes by besides the certificates. */
static void set_choices(struct tls_server *t, const struct conf_node *tls)
{
	const char *unknown = conf_opt_word(tls, D_LTLS_UNKNOWN_SNI);
	const char *verify = conf_opt_word(tls, D_LTLS_CLIENT_VERIFY);
	const struct conf_node *vs = vserver_of(tls);
	const struct conf_node *node = conf_child(tls, D_LTLS_ALPN);
	const char *protocol = vs ? conf_opt_word(vs, D_VS_PROTOCOL) : NULL;

	t->refuse_unknown = unknown && strcmp(unknown, "refuse") == 0;
	if (verify && strcmp(verify, "off") != 0)
		t->verify = strcmp(verify, "required") == 0 ? TLS_VERIFY_REQUIRED :
							      TLS_VERIFY_OPTIONAL;
	/* A tcp vserver does not know what its clients speak: nothing is offered unless written. */
	if (!node && protocol && strcmp(protocol, "tcp") == 0)
		return;
	for (unsigned i = 0; i < (node ? node->n_val : 1); i++) {
		struct str name = node ? node->val[i].s : STR("http/1.1");

		if (t->alpn_n + name.n + 1 > sizeof(t->alpn))
			break;
		t->alpn[t->alpn_n++] = (uint8_t)name.n;
		memcpy(t->alpn + t->alpn_n, name.p, name.n);
		t->alpn_n += (unsigned)name.n;
	}
}

static void set_sessions(struct tls_server *t, const struct conf *c, const struct conf_node *tls,
			 struct str ca)
{
	const struct conf_node *vs = vserver_of(tls);
	const char *verify = conf_opt_word(tls, D_LTLS_CLIENT_VERIFY);
	bool tickets = conf_opt_bool(tls, D_LTLS_TICKETS);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t id[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1) {
		const char *name = vs && vs->full_name ? vs->full_name : "";

		EVP_DigestUpdate(md, name, strlen(name) + 1);
		EVP_DigestUpdate(md, verify ? verify : "", verify ? strlen(verify) + 1 : 1);
		EVP_DigestUpdate(md, ca.p, ca.n);
		EVP_DigestFinal_ex(md, id, &n);
	}
	EVP_MD_CTX_free(md);
	SSL_CTX_set_session_id_context(t->ctx, id, FL_MIN(n, (unsigned)SSL_MAX_SID_CTX_LENGTH));
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(t->ctx, tickets ? 1 : 0);
	SSL_CTX_set_timeout(t->ctx, (long)(conf_opt_int(c->root, D_TICKET_LIFETIME) / 1000000));
	if (tickets)
		tls_ticket_attach(t->ctx);
	else
		SSL_CTX_set_options(t->ctx, SSL_OP_NO_TICKET);
}

struct tls_server *tls_server_build(const struct conf *c, const struct conf_node *tls,
				    struct conf_diag *d)
{
	unsigned before = conf_diag_errors(d);
	struct pool *p = pool_new("tls listener", 0);
	struct tls_server *t = p ? pool_zalloc(p, sizeof(*t)) : NULL;
	struct str ca = STR("");

	if (t) {
		t->pool = p;
		t->names = map_new(p, false);
		t->ctx = SSL_CTX_new(TLS_server_method());
	}
	if (!t || !t->names || !t->ctx) {
		conf_error(d, tls->loc, tls->span, NULL, "out of memory");
		if (t)
			tls_server_free(&t);
		else
			pool_free(&p);
		return NULL;
	}
	SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(t->ctx, TLS_MODES);
	set_choices(t, tls);
	set_crypto(t, tls, d);
	set_certs(t, c, tls, d);
	set_client_auth(t, c, tls, d, &ca);
	if (t->alpn_n)
		SSL_CTX_set_alpn_select_cb(t->ctx, on_alpn, t);
	set_sessions(t, c, tls, ca);
	SSL_CTX_set_tlsext_servername_callback(t->ctx, on_servername);
	SSL_CTX_set_tlsext_servername_arg(t->ctx, t);
	SSL_CTX_set_cert_cb(t->ctx, on_cert, t);
	if (conf_diag_errors(d) > before)
		tls_server_free(&t);
	return t;
}

struct tls_server *tls_server_build_public(const struct conf *c, const struct conf_node *tls)
{
	struct pool *p = pool_new("tls listener", 0);
	struct tls_server *t = p ? pool_zalloc(p, sizeof(*t)) : NULL;

	if (!t) {
		pool_free(&p);
		return NULL;
	}
	t->pool = p;
	t->names = map_new(p, false);
	set_choices(t, tls);
	if (!t->names || !load_certs(t, c, tls, NULL))
		tls_server_free(&t);
	return t;
}

void tls_server_free(struct tls_server **tp)
{
	struct tls_server *t = *tp;
	struct pool *p;

	*tp = NULL;
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	for (struct tls_cert *cert = t->certs; cert; cert = cert->next)
		tls_cert_drop(cert);
	p = t->pool;
	pool_free(&p);
}
