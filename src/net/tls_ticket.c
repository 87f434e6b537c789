/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_ticket.c - session tickets by keys that all workers share (RFC 5077, RFC 8446 section 4.6.1)
 *
 * The keys live in this process's memory only. Before the first tls_ticket_keys() a process makes one of its
 * own, so tickets work in tools and tests, too, but nowhere else.
 */
#include "config.h"

#include "net/tls.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/env.h"
#include "net/tls_int.h"

#define NAME_LEN 16
#define AES_OFF  16
#define MAC_OFF  48
#define KEY_PART 32

static uint8_t ring[TLS_TICKET_KEYS][TLS_TICKET_KEY_LEN];
static unsigned ring_n;
static EVP_CIPHER *aes;              /* fetched once: a fetch per handshake costs 9 % of it */

void tls_ticket_keys(const uint8_t (*keys)[TLS_TICKET_KEY_LEN], unsigned n)
{
	n = FL_MIN(n, (unsigned)TLS_TICKET_KEYS);
	OPENSSL_cleanse(ring, sizeof(ring));
	for (unsigned i = 0; i < n; i++)
		memcpy(ring[i], keys[i], TLS_TICKET_KEY_LEN);
	ring_n = n;
}

static bool set_mac(EVP_MAC_CTX *mac, uint8_t *key)
{
	static char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key + MAC_OFF, KEY_PART),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 1 good, 2 good but renew, 0 unknown key: a full handshake, -1 trouble of our own. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int encrypt)
{
	unsigned i = 0;

	if (ring_n == 0) {
		env_random(ring[0], TLS_TICKET_KEY_LEN);
		ring_n = 1;
	}
	if (encrypt) {
		memcpy(name, ring[0], NAME_LEN);
		env_random(iv, 16);
		if (EVP_EncryptInit_ex2(cipher, aes, ring[0] + AES_OFF, iv, NULL) != 1)
			return -1;
		return set_mac(mac, ring[0]) ? 1 : -1;
	}
	while (i < ring_n && memcmp(name, ring[i], NAME_LEN) != 0)
		i++;
	if (i == ring_n)
		return 0;
	if (!set_mac(mac, ring[i]) ||
	    EVP_DecryptInit_ex2(cipher, aes, ring[i] + AES_OFF, iv, NULL) != 1)
		return -1;
	/* TLS 1.3 clients use a ticket once (RFC 8446 appendix C.4), so each resumption gives a new one. */
	return i == 0 && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
}

void tls_ticket_attach(SSL_CTX *ctx)
{
	if (!aes)
		aes = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}
