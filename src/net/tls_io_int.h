/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_io_int.h - the state of TLS on one connection, for tls_io.c and the profiles' callbacks
 *
 * It is OpenSSL's memory, as all that an idle connection keeps: in workers that is packed (tls_mem.h).
 */
#ifndef FL_NET_TLS_IO_INT_H
#define FL_NET_TLS_IO_INT_H

#include "net/tls_int.h"
#include "net/tls_io.h"

struct tls_io {
	SSL               *ssl;
	const uint8_t     *in;            /* bytes of the last read that OpenSSL has not taken */
	size_t             in_n;
	struct tls_client *client;        /* NULL: server side */
	uint64_t           session_key;
	const struct tls_name *name;      /* server side: what the client's SNI gets; NULL: the default */
	uint64_t           update_ms;     /* when this second of counting key updates began */
	unsigned           updates;
	uint32_t           fed;           /* bytes of the handshake so far, server side */
	uint32_t           unfinished;    /* of them, clear handshake records without a whole message */
	bool               begun;         /* the first bytes came */
	bool               wrote;         /* something of ours was sent: perhaps the keys are in use */
	bool               too_long;      /* a message of the handshake is */
	bool               failed;        /* no more calls into OpenSSL */
	bool               used_up;       /* nothing fed is left to read */
	uint8_t            why;           /* CTR_TLS_WHY_*; a callback of ours that refuses says it */
	char               alpn[13];
	const char        *reason;        /* failed: text for it; static */
	char              *subject;       /* OpenSSL's memory */
};

#endif
