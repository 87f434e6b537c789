/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_client.c - the profile of TLS towards services (see tls.h)
 *
 * Verification is on unless switched off. The last session of each service (by name and address) is kept in
 * a small table of the process for resumption.
 */
#include "config.h"

#include "net/tls_int.h"

#include <openssl/err.h>
#include <string.h>

#include "base/env.h"
#include "base/err.h"
#include "base/hash.h"
#include "net/tls_io_int.h"

uint64_t tls_session_key(const char *name, const struct addr *peer)
{
	struct ip ip = addr_ip(peer);
	uint64_t h = fl_hash64(ip.b, sizeof(ip.b), addr_port(peer));

	h = fl_hash64(name ? name : "", name ? strlen(name) : 0, h);
	return h ? h : 1;
}

/* A new session or, in TLS 1.3, each new ticket. 1: the reference is ours. */
static int on_session(SSL *ssl, SSL_SESSION *s)
{
	struct tls_io *io = tls_io_of(ssl);
	struct tls_client *t = io ? io->client : NULL;
	unsigned i;

	if (!t)
		return 0;
	i = io->session_key % TLS_SESSIONS;
	SSL_SESSION_free(t->last[i].s);
	t->last[i].s = s;
	t->last[i].key = io->session_key;
	return 1;
}

static void set_trust(struct tls_client *t, const struct conf *c, const struct conf_node *tls,
		      struct conf_diag *d)
{
	const struct conf_val *v = conf_opt(tls, D_STLS_CA);
	X509_STORE *store = NULL;

	t->verify = conf_opt_bool(tls, D_STLS_VERIFY);
	if (!t->verify) {
		if (v && v->s.n)
			conf_warn(d, v->loc, v->span, NULL, "ca has no effect with verify off");
		return;
	}
	if (v && v->s.n) {
		STACK_OF(X509) *all = tls_ca_load(c, v, d, NULL);

		store = all ? X509_STORE_new() : NULL;
		for (int i = 0; store && i < sk_X509_num(all); i++)
			X509_STORE_add_cert(store, sk_X509_value(all, i));
		sk_X509_pop_free(all, X509_free);
		if (store)
			SSL_CTX_set1_verify_cert_store(t->ctx, store);
		X509_STORE_free(store);
	} else {
		store = tls_system_store();
		if (store)
			SSL_CTX_set1_verify_cert_store(t->ctx, store);
		else
			conf_warn(
				d, tls->loc, tls->span,
				"install ca-certificates, or name a file with ca",
				"this system has no trusted certificates: no service can be verified");
	}
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
	ERR_clear_error();
}

static void set_own_cert(struct tls_client *t, const struct conf *c, const struct conf_node *tls,
			 struct conf_diag *d)
{
	const struct conf_node *node = conf_child(tls, D_STLS_CERT);
	struct tls_cert *cert = node ? tls_cert_load(c, node, t->pool, NULL, d) : NULL;

	if (!cert)
		return;
	if (SSL_CTX_use_cert_and_key(t->ctx, tls_cert_leaf(cert), cert->key, cert->chain, 1) != 1)
		conf_error(d, node->loc, node->span, NULL, "certificate \"%s\": %s", cert->file,
			   tls_last_error());
	tls_cert_drop(cert);              /* the SSL_CTX has its own references */
}

struct tls_client *tls_client_build(const struct conf *c, const struct conf_node *tls,
				    struct conf_diag *d)
{
	unsigned before = d ? conf_diag_errors(d) : 0;
	struct pool *p = pool_new("tls service", 0);
	struct tls_client *t = p ? pool_zalloc(p, sizeof(*t)) : NULL;

	if (t) {
		t->pool = p;
		t->ctx = SSL_CTX_new(TLS_client_method());
	}
	if (!t || !t->ctx) {
		if (tls)
			conf_error(d, tls->loc, tls->span, NULL, "out of memory");
		pool_free(&p);
		return NULL;
	}
	SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(t->ctx, TLS_MODES);
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	SSL_CTX_set1_groups_list(t->ctx, "X25519:P-256:P-384");
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(t->ctx, on_session);
	if (tls) {
		const struct conf_val *v = conf_opt(tls, D_STLS_SNI);

		t->sni = v && v->s.n ? pool_strndup(p, v->s.p, v->s.n) : NULL;
		set_trust(t, c, tls, d);
		set_own_cert(t, c, tls, d);
		if (conf_diag_errors(d) > before)
			tls_client_free(&t);
	}
	return t;
}

void tls_client_free(struct tls_client **tp)
{
	struct tls_client *t = *tp;
	struct pool *p;

	*tp = NULL;
	if (!t)
		return;
	for (unsigned i = 0; i < TLS_SESSIONS; i++)
		SSL_SESSION_free(t->last[i].s);
	SSL_CTX_free(t->ctx);
	p = t->pool;
	pool_free(&p);
}

const struct tls_client *tls_client_probe(void)
{
	static struct tls_client *shared;     /* lives as long as the process */

	if (!shared)
		shared = tls_client_build(NULL, NULL, NULL);
	return shared;
}
