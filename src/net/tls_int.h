/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_int.h - the inside of TLS profiles, for tls_*.c only; the only header that shows OpenSSL's
 * types
 */
#ifndef FL_NET_TLS_INT_H
#define FL_NET_TLS_INT_H

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/map.h"
#include "base/pool.h"
#include "net/tls.h"

/* No search for a chain in each handshake: what a file holds is what goes out. */
#define TLS_MODES (SSL_MODE_RELEASE_BUFFERS | \
		   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN)
#define TLS_NAME_MAX 256                 /* a host name with NUL fits */

/* What loading asks of a certificate. */
struct tls_leaf {
	X509_NAME     *subject;
	GENERAL_NAMES *san;               /* NULL: none */
	int64_t        not_before_s, not_after_s;
	int            kind;              /* of its key: EVP_PKEY_RSA, ... */
};

/* A certificate with its chain and key. */
struct tls_cert {
	const char     *file;             /* as configured */
	char            subject[256];
	int64_t         not_after_s;      /* wall */
	struct str      der;              /* the certificate itself */
	X509           *leaf;             /* the same once it was needed: tls_cert_leaf() */
	struct tls_leaf facts;            /* while it is being loaded */
	STACK_OF(X509) *chain;            /* without the leaf; may be NULL */
	EVP_PKEY       *key;
	unsigned        slot;             /* TLS_SLOT_*: which kind of signature it makes */
	struct tls_cert *next;
};
enum { TLS_SLOT_RSA, TLS_SLOT_EC, TLS_SLOT_OTHER, TLS_SLOTS };

/* What one name gets: at most one certificate of each kind, the client's signature algorithms
 * choose. */
struct tls_name {
	struct tls_cert *slot[TLS_SLOTS];
};

struct tls_ocsp {
	uint8_t *der;                     /* NULL: nothing to staple */
	size_t   n;
	int64_t  until_s;                 /* nextUpdate, wall; 0: open */
};

struct tls_server {
	struct pool     *pool;
	SSL_CTX         *ctx;
	struct tls_cert *certs;           /* in written order; the first is the default */
	struct tls_name  fallback;
	struct map      *names;           /* lower case; wildcards as "*.rest" -> struct tls_name */
	bool             refuse_unknown;
	enum tls_verify  verify;
	uint8_t          alpn[64];        /* wire form */
	unsigned         alpn_n;
	struct tls_ocsp  ocsp;
};

#define TLS_SESSIONS 64
struct tls_client {
	struct pool *pool;
	SSL_CTX     *ctx;
	const char  *sni;                 /* NULL: the connection's */
	bool         verify;
	struct {
		uint64_t     key;         /* hash of name and address */
		SSL_SESSION *s;
	} last[TLS_SESSIONS];             /* last session of each service, by hash */
};

/* tls_cert.c */
/* Reads a chain and its key; mistakes go to d. NULL then. seen: issuers of other certificates by their bytes, which
 * are used again (tls_seen_drop()); NULL: none. */
struct tls_cert *tls_cert_load(const struct conf *c, const struct conf_node *cert, struct pool *p,
			       struct map *seen, struct conf_diag *d);
void tls_seen_drop(struct map *seen);
/* Without its key and chain, from what everybody may see. NULL when that cannot be read. */
struct tls_cert *tls_cert_load_public(const struct conf *c, const struct conf_node *cert,
				      struct pool *p);
void tls_cert_drop(struct tls_cert *cert);
/* Made when a handshake first needs it, then kept; NULL without memory. Owned by cert. */
X509 *tls_cert_leaf(struct tls_cert *cert);
/* Calls fn for each DNS name of the certificate (SAN, else CN), lower case, from its facts. */
int  tls_cert_names(const struct tls_cert *cert, int (*fn)(void *ctx, struct str name), void *ctx);
/* PEM certificates of a configured file; NULL after a message. *content: the bytes, may be NULL. */
STACK_OF(X509) * tls_ca_load(const struct conf *c, const struct conf_val *v, struct conf_diag *d,
			     struct str *content);
/* A store of the system's certificates, read once per process; NULL when there are none. */
X509_STORE *tls_system_store(void);
/* Lower case into out, without a trailing dot; false when it cannot be a host name. */
bool tls_name_lower(const char *name, size_t n, char out[TLS_NAME_MAX]);
/* The last OpenSSL error as text; empties the queue. Static, each its own. */
const char *tls_last_error(void);

int64_t tls_wall_of(const ASN1_TIME *t);                /* seconds since 1970; 0: unreadable */

/* tls_leaf.c */
/* Facts of a DER certificate whose key this surely is (NULL: which has an RSA or EC key); false: ask
 * OpenSSL, tls_leaf_read(). */
bool tls_leaf_scan(const uint8_t *der, size_t n, const EVP_PKEY *key, struct tls_leaf *leaf);
bool tls_leaf_read(X509 *x, struct tls_leaf *leaf);
void tls_leaf_drop(struct tls_leaf *leaf);

/* tls_ocsp.c */
void tls_ocsp_load(const struct conf *c, const struct conf_val *v, struct tls_cert *cert,
		   struct pool *p, struct tls_ocsp *out, struct conf_diag *d);

/* tls_ciphers.c: names that are unknown or protect nothing go to d */
void tls_check_ciphers(const struct conf_val *v, struct conf_diag *d);
void tls_check_ciphersuites(const struct conf_val *v, struct conf_diag *d);

/* tls_server.c */
const struct tls_name *tls_server_find(const struct tls_server *t, const char *sni);

/* tls_client.c */
uint64_t tls_session_key(const char *name, const struct addr *peer);

/* tls_ticket.c */
void tls_ticket_attach(SSL_CTX *ctx);

/* tls_io.c: the io behind an SSL, for callbacks */
struct tls_io;
struct tls_io *tls_io_of(const SSL *ssl);

#endif
