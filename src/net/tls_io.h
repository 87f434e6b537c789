/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_io.h - TLS of one connection over memory: bytes in, bytes out, no descriptor
 *
 * For conn*.c. The caller gives what came from the wire and hands on what shall go to it; nothing
 * here waits or sends. Output collects in one buffer of the process until tls_io_output() is asked,
 * so each call that may make output must be followed by that. One thread per process.
 */
#ifndef FL_NET_TLS_IO_H
#define FL_NET_TLS_IO_H

#include "net/tls.h"

struct tls_io;

/* Server side of a profile. NULL without memory. */
struct tls_io *tls_io_accept(const struct tls_server *t);
/* Client side; name: SNI and the name to verify, NULL: the profile's, else the address is
 * verified. */
struct tls_io *tls_io_connect(const struct tls_client *t, const char *name,
			      const struct addr *peer);
void tls_io_free(struct tls_io **io);
/* Gives the io the bytes of one read; they must stay until the next tls_io_read that says
 * FL_EAGAIN_. */
void tls_io_feed(struct tls_io *io, const void *p, size_t n);
/* Goes on with the handshake: 0 done, FL_EAGAIN_ wants input, FL_ETLS_ or FL_EPROTO_ failed (an
 * alert is in the output). */
int  tls_io_handshake(struct tls_io *io);
/* Ends a handshake that will not be finished, for a reason of the caller's (CTR_TLS_WHY_*); as behind a
 * failed call there may be an alert in the output. False when it failed before, or when a client closed
 * without a byte: not a failure but somebody who looked whether the port is open. */
bool tls_io_give_up(struct tls_io *io, unsigned why);
/* Decrypts: > 0 bytes in p; FL_EAGAIN_ all input used up; FL_ECLOSED_ close_notify; FL_ETLS_
 * failed. */
ssize_t tls_io_read(struct tls_io *io, void *p, size_t n);
/* Encrypts all of p. 0 or FL_ETLS_. At most 256 KiB a call. */
int  tls_io_write(struct tls_io *io, const void *p, size_t n);
void tls_io_close_notify(struct tls_io *io);
/* What must go out; empties the collector. Valid until the next tls_io call. */
struct str tls_io_output(void);
/* Why it failed, for people: "no shared cipher", "certificate has expired"; static or the io's. */
const char *tls_io_reason(const struct tls_io *io);
/* And by its row of tbl/tls_reasons.def (CTR_TLS_WHY_*); meaningful after a failure. */
unsigned tls_io_why(const struct tls_io *io);
bool tls_io_is_server(const struct tls_io *io);

const char *tls_io_version(const struct tls_io *io);
const char *tls_io_cipher(const struct tls_io *io);
const char *tls_io_alpn(const struct tls_io *io);
const char *tls_io_sni(const struct tls_io *io);
const char *tls_io_client_subject(const struct tls_io *io);
bool tls_io_resumed(const struct tls_io *io);

#endif
