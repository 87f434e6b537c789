/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_io.c - OpenSSL over memory (see tls_io.h)
 *
 * One BIO of our own for all connections of the process: reads take from the bytes of the last recv of the io that
 * is running, without a copy; writes go to a collector. So a connection has no BIO and no table of its own for our
 * data (300 B of an idle one), and callbacks ask who is running.
 * OpenSSL's error queue is the thread's, so it is emptied before each call: otherwise
 * one failed connection spoils the next one's result.
 */
#include "config.h"

#include "net/tls_io.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/env.h"
#include "base/err.h"
#include "net/tls_io_int.h"

#define COLLECT_MIN      (64 * 1024)
#define UPDATES_A_SECOND 10
#define MESSAGE_MAX      (64 * 1024)   /* of the handshake; OpenSSL takes 128 KiB of ClientHello */
#define HANDSHAKE_MAX    (512 * 1024)  /* all of it: the largest hello in records of one byte */

static struct {
	uint8_t *p;
	size_t   n, cap;
} out;

static BIO *bio;
static struct tls_io *running;       /* whose SSL is being called */

/* The BIO --------------------------------------------------------------------------------- */

static int bio_read(BIO *b, char *p, int n)
{
	struct tls_io *io = running;
	size_t take = io ? FL_MIN((size_t)n, io->in_n) : 0;

	BIO_clear_retry_flags(b);
	if (take == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(p, io->in, take);
	io->in += take;
	io->in_n -= take;
	return (int)take;
}

static bool collect(const void *p, size_t n)
{
	if (out.cap - out.n < n) {
		size_t cap = FL_MAX(out.cap, (size_t)COLLECT_MIN);
		uint8_t *bigger;

		while (cap - out.n < n)
			cap *= 2;
		bigger = env_realloc(out.p, cap);
		if (!bigger)
			return false;
		out.p = bigger;
		out.cap = cap;
	}
	memcpy(out.p + out.n, p, n);
	out.n += n;
	return true;
}

static int bio_write(BIO *b, const char *p, int n)
{
	if (running)
		running->wrote = true;
	BIO_clear_retry_flags(b);
	return collect(p, (size_t)n) ? n : -1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

/* A reference for an SSL, on the BIO that all share. */
static BIO *bio_get(void)
{
	BIO_METHOD *method;

	if (bio)
		return BIO_up_ref(bio) ? bio : NULL;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "turn memory");
	if (!method)
		return NULL;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
	bio = BIO_new(method);
	if (!bio) {
		BIO_meth_free(method);
		return NULL;
	}
	BIO_set_init(bio, 1);
	return BIO_up_ref(bio) ? bio : NULL;
}

struct str tls_io_output(void)
{
	struct str s = str_n(out.p, out.n);

	out.n = 0;
	return s;
}

/* Life ------------------------------------------------------------------------------------ */

/* Each call into OpenSSL that may read, write or call back begins with this. */
static void run(struct tls_io *io)
{
	running = io;
	if (ERR_peek_error())            /* clearing an empty queue costs ten times the look */
		ERR_clear_error();
}

struct tls_io *tls_io_of(const SSL *ssl)
{
	return running && running->ssl == ssl ? running : NULL;
}

/* How long is the message that the peer is at? What its records hold and no message has used up. */
static void measure(struct tls_io *io, int type, const uint8_t *p, size_t n)
{
	if (type == SSL3_RT_HEADER && n == 5 && p[0] == SSL3_RT_HANDSHAKE) {
		io->too_long |= io->unfinished > MESSAGE_MAX;
		io->unfinished += (uint32_t)p[3] << 8 | p[4];
	} else if (type == SSL3_RT_HANDSHAKE) {
		io->too_long |= n > MESSAGE_MAX;
		io->unfinished -= (uint32_t)FL_MIN(n, (size_t)io->unfinished);
	}
}

/* Each KeyUpdate costs us key derivation and an answer: more than a few a second is an attack. */
static void on_message(int writing, int version, int type, const void *p, size_t n, SSL *ssl,
		       void *arg)
{
	struct tls_io *io = tls_io_of(ssl);
	uint64_t now;

	(void)version;
	(void)arg;
	if (!io || writing)
		return;
	if (!io->client && SSL_in_init(ssl))
		measure(io, type, p, n);
	if (type != SSL3_RT_HANDSHAKE || n == 0 ||
	    *(const uint8_t *)p != SSL3_MT_KEY_UPDATE)
		return;
	now = env_now_us() / 1000;
	if (now - io->update_ms >= 1000) {
		io->update_ms = now;
		io->updates = 0;
	}
	io->updates++;
}

static struct tls_io *io_new(SSL_CTX *ctx)
{
	struct tls_io *io = OPENSSL_zalloc(sizeof(*io));
	BIO *b;

	if (!io)
		return NULL;
	ERR_clear_error();
	io->ssl = SSL_new(ctx);
	b = io->ssl ? bio_get() : NULL;
	if (!b) {
		tls_io_free(&io);
		ERR_clear_error();
		return NULL;
	}
	SSL_set_bio(io->ssl, b, b);
	SSL_set_msg_callback(io->ssl, on_message);
	return io;
}

struct tls_io *tls_io_accept(const struct tls_server *t)
{
	struct tls_io *io = io_new(t->ctx);

	if (io)
		SSL_set_accept_state(io->ssl);
	return io;
}

static bool set_peer_name(struct tls_io *io, const char *name, const struct addr *peer)
{
	char text[ADDR_TEXT_MAX];
	struct ip ip;

	if (name && ip_parse(str_c(name), &ip) < 0) {
		if (SSL_set_tlsext_host_name(io->ssl, name) != 1)
			return false;
		if (!io->client->verify)
			return true;
		SSL_set_hostflags(io->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		return SSL_set1_host(io->ssl, name) == 1;
	}
	if (!io->client->verify)
		return true;
	if (!name)
		name = ip_text(addr_ip(peer), text);
	return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(io->ssl), name) == 1;
}

struct tls_io *tls_io_connect(const struct tls_client *tc, const char *name,
			      const struct addr *peer)
{
	struct tls_client *t = (struct tls_client *)(uintptr_t)tc;   /* its sessions are a cache */
	struct tls_io *io = io_new(t->ctx);
	unsigned i;

	if (!io)
		return NULL;
	io->client = t;
	if (t->sni)
		name = t->sni;
	io->session_key = tls_session_key(name, peer);
	SSL_set_connect_state(io->ssl);
	if (!set_peer_name(io, name, peer)) {
		ERR_clear_error();
		tls_io_free(&io);
		return NULL;
	}
	i = io->session_key % TLS_SESSIONS;
	if (t->last[i].s && t->last[i].key == io->session_key)
		SSL_set_session(io->ssl, t->last[i].s);
	return io;
}

void tls_io_free(struct tls_io **iop)
{
	struct tls_io *io = *iop;

	*iop = NULL;
	if (!io)
		return;
	if (running == io)
		running = NULL;
	SSL_free(io->ssl);
	OPENSSL_free(io->subject);
	OPENSSL_free(io);
}

/* Moving ---------------------------------------------------------------------------------- */

void tls_io_feed(struct tls_io *io, const void *p, size_t n)
{
	ASSERT(io->in_n == 0);
	io->in = p;
	io->in_n = n;
	io->used_up = false;
}

static int fail(struct tls_io *io, int err, unsigned why, const char *reason)
{
	io->failed = true;
	io->why = (uint8_t)why;
	io->reason = reason;
	io->in_n = 0;
	return err;
}

static unsigned why_of_error(unsigned long e)
{
	static const struct { int reason; unsigned why; } rows[] = {
		{ SSL_R_WRONG_VERSION_NUMBER, CTR_TLS_WHY_NOT_TLS },
		{ SSL_R_HTTP_REQUEST, CTR_TLS_WHY_CLEAR_HTTP },
		{ SSL_R_UNSUPPORTED_PROTOCOL, CTR_TLS_WHY_VERSION },
		{ SSL_R_NO_PROTOCOLS_AVAILABLE, CTR_TLS_WHY_VERSION },
		{ SSL_R_VERSION_TOO_LOW, CTR_TLS_WHY_VERSION },
		{ SSL_R_VERSION_TOO_HIGH, CTR_TLS_WHY_VERSION },
		{ SSL_R_NO_SHARED_CIPHER, CTR_TLS_WHY_NO_CIPHER },
		{ SSL_R_NO_SUITABLE_GROUPS, CTR_TLS_WHY_NO_CIPHER },
		{ SSL_R_NO_SUITABLE_KEY_SHARE, CTR_TLS_WHY_NO_CIPHER },
		{ SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, CTR_TLS_WHY_NO_CIPHER },
		{ SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, CTR_TLS_WHY_NO_CIPHER },
		{ SSL_R_NO_APPLICATION_PROTOCOL, CTR_TLS_WHY_NO_ALPN },
		{ SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, CTR_TLS_WHY_NO_CERT },
		{ SSL_R_NO_RENEGOTIATION, CTR_TLS_WHY_RENEGOTIATION },
	};
	int reason = ERR_GET_REASON(e);

	if (ERR_GET_LIB(e) != ERR_LIB_SSL)
		return CTR_TLS_WHY_OTHER;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++)
		if (rows[i].reason == reason)
			return rows[i].why;
	return reason > SSL_AD_REASON_OFFSET ? CTR_TLS_WHY_ALERT : CTR_TLS_WHY_OTHER;
}

static unsigned why_of_verify(long v)
{
	switch (v) {
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return CTR_TLS_WHY_CERT_DATE;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return CTR_TLS_WHY_CERT_NAME;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		return CTR_TLS_WHY_CERT_CA;
	default:
		return CTR_TLS_WHY_CERT_BAD;
	}
}

/* As long as nothing is encrypted an alert of our own is a record like any other (RFC 8446 section 6);
 * afterwards only OpenSSL could make one. It makes none where it cannot tell what the peer speaks,
 * and has no call for the rest. */
static bool may_alert(const struct tls_io *io)
{
	return !io->client && (!io->wrote || SSL_get_state(io->ssl) == TLS_ST_SR_CLNT_HELLO);
}

static void alert(uint8_t what)
{
	const uint8_t record[] = { SSL3_RT_ALERT, 3, 3, 0, 2, SSL3_AL_FATAL, what };

	(void)collect(record, sizeof(record));
}

static uint8_t alert_for(int reason)
{
	switch (reason) {
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_UNSUPPORTED_PROTOCOL:  return SSL_AD_PROTOCOL_VERSION;
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_DATA_LENGTH_TOO_LONG:  return SSL_AD_RECORD_OVERFLOW;
	case ERR_R_MALLOC_FAILURE:        return SSL_AD_INTERNAL_ERROR;
	default:                          return SSL_AD_DECODE_ERROR;
	}
}

static int failed(struct tls_io *io)
{
	long v = SSL_get_verify_result(io->ssl);
	unsigned long e = ERR_peek_last_error();
	unsigned why = why_of_error(e);
	const char *reason = tls_last_error();

	/* nothing behind the peer's own alert */
	if (may_alert(io) && !out.n && ERR_GET_REASON(e) < SSL_AD_REASON_OFFSET)
		alert(alert_for(ERR_GET_REASON(e)));
	if (v != X509_V_OK && (!SSL_is_init_finished(io->ssl))) {
		reason = X509_verify_cert_error_string(v);
		why = why_of_verify(v);
	}
	if (io->why) {
		why = io->why;
		reason = tbl_tls_text(why);
	}
	return fail(io, FL_ETLS_, why, reason);
}

static int fail_for(struct tls_io *io, int err, unsigned why)
{
	return fail(io, err, why, tbl_tls_text(why));
}

bool tls_io_give_up(struct tls_io *io, unsigned why)
{
	if (io->failed || (!io->client && !io->begun && why == CTR_TLS_WHY_CLOSED))
		return false;
	if (io->begun && may_alert(io))
		alert(SSL_AD_HANDSHAKE_FAILURE);
	(void)fail_for(io, FL_ETLS_, why);
	return true;
}

/* FL_EAGAIN_, FL_ECLOSED_ or the failure behind a result <= 0 of an SSL call. */
static int result(struct tls_io *io, int r)
{
	switch (SSL_get_error(io->ssl, r)) {
	case SSL_ERROR_WANT_READ:   return FL_EAGAIN_;
	case SSL_ERROR_ZERO_RETURN: return FL_ECLOSED_;
	default:                    return failed(io);
	}
}

/* Does it begin as a request line does, with a token (RFC 9110 section 5.6.2)? No TLS record does:
 * their first byte is a control character. However the bytes came and whatever method it is, a browser
 * that was told http:// gets a sentence instead of an alert that it cannot read. */
static bool is_clear_http(const struct tls_io *io)
{
	for (size_t i = 0; i < io->in_n; i++) {
		unsigned char c = io->in[i];

		if (c == ' ' && i > 0)
			return true;
		if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
			return false;
	}
	return true;
}

static void answer_clear_http(void)
{
	static const char text[] = "This port speaks HTTPS; the request came without TLS.\n";
	char answer[256];
	struct sb b;

	sb_init(&b, answer, sizeof(answer));
	sb_fmt(&b, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
		   "Connection: close\r\n\r\n%s", sizeof(text) - 1, text);
	(void)collect(b.p, b.n);
}

static void empty(EVP_PKEY *key)
{
	(void)EVP_PKEY_set_type(key, EVP_PKEY_X25519);     /* frees what it holds */
	EVP_PKEY_free(key);
}

/* OpenSSL keeps both key shares of TLS 1.3 as long as the connection, with P-256 2.6 KB. Nothing asks for
 * them again, and a secret that is gone cannot leak; so the keys stay, empty. (SSL_set_session(NULL) would free
 * 1 KB more, but also sets the version back to "any": such a connection breaks.) */
static void forget_shares(struct tls_io *io)
{
	EVP_PKEY *key;

	if (SSL_version(io->ssl) != TLS1_3_VERSION)
		return;
	if (SSL_get_tmp_key(io->ssl, &key) == 1 && key)
		empty(key);
	if (SSL_get_peer_tmp_key(io->ssl, &key) == 1 && key)
		empty(key);
}

/* The first bytes: do they speak another protocol? */
static int greet(struct tls_io *io)
{
	io->begun = true;
	if (!is_clear_http(io))
		return 0;
	answer_clear_http();
	return fail_for(io, FL_EPROTO_, CTR_TLS_WHY_CLEAR_HTTP);
}

int tls_io_handshake(struct tls_io *io)
{
	bool clear = may_alert(io);
	int r;

	if (io->failed)
		return FL_ETLS_;
	if (!io->begun && io->in_n && !io->client && greet(io) < 0)
		return FL_EPROTO_;
	io->fed += (uint32_t)io->in_n;
	run(io);
	r = SSL_do_handshake(io->ssl);
	if (!io->client && (io->too_long || (r != 1 && io->fed > HANDSHAKE_MAX))) {
		ERR_clear_error();
		out.n = 0;              /* what OpenSSL had to say to it */
		if (clear)
			alert(SSL_AD_DECODE_ERROR);
		return fail_for(io, FL_ETLS_, CTR_TLS_WHY_TOO_LONG);
	}
	if (r == 1) {
		forget_shares(io);
		return 0;
	}
	r = result(io, r);
	return r == FL_ECLOSED_ ? fail_for(io, FL_ETLS_, CTR_TLS_WHY_CLOSED) : r;
}

ssize_t tls_io_read(struct tls_io *io, void *p, size_t n)
{
	int r;

	if (io->failed)
		return FL_ETLS_;
	if (io->used_up)
		return FL_EAGAIN_;
	run(io);
	r = SSL_read(io->ssl, p, (int)FL_MIN(n, (size_t)INT32_MAX));
	if (io->updates > UPDATES_A_SECOND) {
		tls_io_close_notify(io);        /* the only alert that OpenSSL lets us send here */
		return fail_for(io, FL_ETLS_, CTR_TLS_WHY_KEY_UPDATES);
	}
	if (r <= 0)
		return result(io, r);
	/* To be told so by another SSL_read costs its read buffer, made and given back. */
	io->used_up = io->in_n == 0 && !SSL_has_pending(io->ssl);
	return r;
}

int tls_io_write(struct tls_io *io, const void *p, size_t n)
{
	const uint8_t *at = p;

	if (io->failed)
		return FL_ETLS_;
	while (n) {
		int r;

		run(io);
		r = SSL_write(io->ssl, at, (int)n);
		if (r <= 0) {
			(void)failed(io);
			return FL_ETLS_;
		}
		at += r;
		n -= (size_t)r;
	}
	return 0;
}

void tls_io_close_notify(struct tls_io *io)
{
	if (io->failed)
		return;
	run(io);
	(void)SSL_shutdown(io->ssl);
	ERR_clear_error();
}

/* Facts ----------------------------------------------------------------------------------- */

const char *tls_io_reason(const struct tls_io *io) { return io->reason ? io->reason : ""; }
unsigned tls_io_why(const struct tls_io *io) { return io->why; }

bool tls_io_is_server(const struct tls_io *io) { return !io->client; }
const char *tls_io_version(const struct tls_io *io) { return SSL_get_version(io->ssl); }
const char *tls_io_cipher(const struct tls_io *io) { return SSL_get_cipher_name(io->ssl); }
bool tls_io_resumed(const struct tls_io *io) { return SSL_session_reused(io->ssl); }

const char *tls_io_sni(const struct tls_io *io)
{
	const char *sni = SSL_get_servername(io->ssl, TLSEXT_NAMETYPE_host_name);

	return sni ? sni : "";
}

const char *tls_io_alpn(const struct tls_io *cio)
{
	struct tls_io *io = (struct tls_io *)(uintptr_t)cio;
	const unsigned char *p;
	unsigned n;

	SSL_get0_alpn_selected(io->ssl, &p, &n);
	n = FL_MIN(n, (unsigned)sizeof(io->alpn) - 1);
	if (n)
		memcpy(io->alpn, p, n);
	io->alpn[n] = '\0';
	return io->alpn;
}

const char *tls_io_client_subject(const struct tls_io *cio)
{
	struct tls_io *io = (struct tls_io *)(uintptr_t)cio;
	X509 *x = io->client ? NULL : SSL_get0_peer_certificate(io->ssl);
	BIO *b;
	char *text;
	long n;

	if (io->subject)
		return io->subject;
	if (!x || SSL_get_verify_result(io->ssl) != X509_V_OK)
		return "";
	b = BIO_new(BIO_s_mem());
	if (!b)
		return "";
	X509_NAME_print_ex(b, X509_get_subject_name(x), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	n = BIO_get_mem_data(b, &text);
	io->subject = n > 0 ? OPENSSL_strndup(text, (size_t)n) : NULL;
	BIO_free(b);
	return io->subject ? io->subject : "";
}
