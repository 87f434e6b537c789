/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls.h - TLS profiles (OpenSSL 3): one SSL_CTX per profile, certificates by SNI, tickets by the
 * master's keys
 *
 * Built by gen from the configuration (certificates and keys are read through the configuration
 * source), used by workers after fork. Tickets only: no session cache. OpenSSL's errors are
 * translated and its queue drained here.
 */
#ifndef FL_NET_TLS_H
#define FL_NET_TLS_H

#include "conf/conf.h"

struct tls_server;
struct tls_client;

/* From a `tls` node of a listen. Mistakes (unreadable, mismatch, expired = warning, weak, unknown
 * cipher) go to d with the place of the value. NULL when there was an error. Memory is freed with
 * tls_server_free. */
struct tls_server *tls_server_build(const struct conf *c, const struct conf_node *tls,
				    struct conf_diag *d);
struct tls_client *tls_client_build(const struct conf *c, const struct conf_node *tls,
				    struct conf_diag *d);
/* A shared profile that checks nothing, for probes; NULL without memory. Owned by tls. */
const struct tls_client *tls_client_probe(void);
void tls_server_free(struct tls_server **t);
void tls_client_free(struct tls_client **t);
/* So long before its end a certificate is warned about, at load and while it is served. */
#define TLS_CERT_WARN_DAYS 14
/* Certificates for show and metrics: names, expiry (wall s), file. false at the end. */
struct tls_cert_info {
	const char *file, *subject;
	int64_t     not_after_s;
};
bool tls_server_cert(const struct tls_server *t, unsigned i, struct tls_cert_info *out);
/* The same profile for a process that may see no keys (control): it shakes no hands and says what
 * tls_server_choose() does. Mistakes were told by who loaded it with keys: here the result is NULL. */
struct tls_server *tls_server_build_public(const struct conf *c, const struct conf_node *tls);

/* What a handshake decides about a client hello: the callbacks of a connection and explain ask here. */
enum tls_verify { TLS_VERIFY_OFF, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRED };
struct tls_choice {
	const char *cert[2];         /* files; [1]: of another kind of key, the client's algorithms choose */
	struct str  alpn;            /* .n 0: none */
	enum tls_verify verify;      /* of a client certificate */
	bool        refused;         /* with this alert (RFC 8446 section 6.2), for this CTR_TLS_WHY_* */
	unsigned    alert, why;
};
/* sni NULL: none was sent. offers: protocols that the client offers, n = 0: none. */
void tls_server_choose(const struct tls_server *t, const char *sni, const struct str *offers, unsigned n,
		       struct tls_choice *out);

/* Ticket keys, process-wide: [0] encrypts, all decrypt. 80 bytes each: 16 name, 32 AES-256, 32
 * HMAC-SHA-256. May be called at any time; wipes what it replaces. */
#define TLS_TICKET_KEY_LEN 80
#define TLS_TICKET_KEYS    3
void tls_ticket_keys(const uint8_t (*keys)[TLS_TICKET_KEY_LEN], unsigned n);

/* From here on key shares on P-256, P-384 and P-521 are checked as RFC 8446 section 4.2.8.2 wants it, without the
 * multiplication by the group's order that OpenSSL 3 adds. One thread only; not called: `key-share-check full`. */
void tls_share_init(void);
uint64_t tls_share_quick(void);      /* shares that were checked so, for tests */

/* Has the running kernel TLS on sockets (kTLS)? For fairlead -V; nothing uses it. */
bool tls_kernel_offers(void);

/* TLS 1.2+ on an in-memory pipe, for conn.c; declared in net/tls_io.h. */

#endif
