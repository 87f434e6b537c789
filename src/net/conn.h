/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.h - a byte stream: a TCP connection, optionally under TLS
 *
 * A conn moves bytes and knows nothing of their meaning. Reads go into the engine's shared scratch
 * memory and are pushed up; what the owner does not take is kept by the conn (pooled pages) and
 * shown again, in front of new bytes. Writes of a turn are collected and sent at its end; what the
 * kernel does not take is queued here. No buffer is held while idle. TLS uses memory BIOs, so both
 * kinds behave alike. All upcalls come from the engine's turn, never from inside a down call.
 *
 * A peer whose host has vanished is noticed on outgoing conns within about ten seconds, by keep-alive
 * probes while nothing is owed to it and by missing acknowledgements else: error(FL_ETIMEOUT_). A
 * peer that is there and does not read (closed window) is no error: the owner's deadline judges it.
 *
 * Life: conn_close() and conn_abort() may be called anywhere, once or more; no upcall comes
 * afterwards; the memory goes at the end of the turn.
 */
#ifndef FL_NET_CONN_H
#define FL_NET_CONN_H

#include "base/addr.h"
#include "net/engine.h"

struct conn;
struct tls_server;
struct tls_client;

struct conn_ops {
	/* New bytes (p, n > 0), old untaken ones in front. Returns how many were taken (0..n).
	 * After taking less than n: called again when more bytes come, or after conn_resume(). */
	size_t (*data)(struct conn *c, const uint8_t *p, size_t n);
	/* The peer will send no more (FIN or close_notify); untaken bytes may remain. Writing is
	 * still possible. Once. */
	void   (*eof)(struct conn *c);
	/* Everything queued has been given to the kernel, after it once had to be queued; or a
	 * credit mark was passed (conn_pending() fell below half of CONN_HIGH_WATER). */
	void   (*drained)(struct conn *c);
	/* Outgoing: TCP and TLS are up. Incoming with TLS: the handshake is done. Incoming clear:
	 * called at once by conn_start(). */
	void   (*ready)(struct conn *c);
	/* Broken: reset, refused, TLS failure, unreachable (err negative). The owner must close.
	 * Once, last. Not called when a pump that reads from this conn told it by
	 * done(). */
	void   (*error)(struct conn *c, int err);
	/* The deadline set by conn_deadline() passed. The owner decides. In the TLS handshake of an
	 * accepted one it is error(FL_ETIMEOUT_). */
	void   (*timeout)(struct conn *c);
	/* What it is about, in one line, when the process dies of it (base/work.h). NULL: nothing. */
	void   (*tell)(const struct conn *c, struct sb *out);
};
#define CONN_HIGH_WATER (64 * 1024)     /* owners stop producing above this much pending output */

struct conn_opts {
	const struct tls_client *tls;       /* outgoing: NULL = clear */
	const char *sni;     /* name to send and verify; NULL: the profile's; copied */
	const char *congestion;             /* NULL = system's */
	uint64_t    connect_timeout_ms;     /* TCP and TLS together; error FL_ETIMEOUT_ */
	const struct addr *source;          /* bind to it first; NULL = any */
	/* We send at once when it is up: the last ACK of the handshake waits for that and goes with it. For a peer
	 * that speaks first it would only come late. */
	bool        speaks_first;
};

/* Per-process pools, scratch buffers and the flush hook; once, before any conn. */
int  conn_init(struct engine *e);
void conn_fini(void);
/* Row (kind PROC) for CONN_CUR, TLS_*, ACCEPTS and so on; NULL: not counted (tests). Before or
 * after conn_init. */
struct stat_row;
void net_set_stat(struct stat_row *proc);

/* Takes an accepted descriptor; the conn owns it even on failure. peer and local are normalised.
 * NULL without memory. */
struct conn *conn_accept(struct engine *e, int fd, const struct addr *peer,
			 const struct addr *local,
			 const struct tls_server *tls);
/* Sets the owner and starts reading (and the TLS handshake). */
void conn_start(struct conn *c, const struct conn_ops *ops, void *owner);
/* Starts connecting; outcome by ready() or error(), never from inside. NULL without memory or
 * descriptors (*err says). */
struct conn *conn_connect(struct engine *e, const struct addr *to, const struct conn_opts *o,
			  const struct conn_ops *ops, void *owner, int *err);
/* Changes owner, e.g. when an idle pooled connection is used again. */
void conn_set_owner(struct conn *c, const struct conn_ops *ops, void *owner);
void *conn_owner(const struct conn *c);

/* Queues bytes (copied). 0, or FL_ENOMEM_ / FL_ECLOSED_ (nothing was queued). Never fails because
 * the peer is slow: look at conn_pending(). */
int    conn_write(struct conn *c, const void *p, size_t n);
size_t conn_pending(const struct conn *c);
/* Sends what is queued, then FIN (TLS: close_notify first). Reading goes on. */
void   conn_shutdown(struct conn *c);
/* Stops and resumes data() upcalls (back-pressure: the kernel's window closes by itself). */
void   conn_pause(struct conn *c);
void   conn_resume(struct conn *c);
bool   conn_is_paused(const struct conn *c);
/* What is still expected, e.g. of a body: above 16 KiB data() gets up to 256 KiB at once (clear
 * connections). 0 after it. */
void   conn_read_hint(struct conn *c, uint64_t left);
/* The peer has said that it sends no more (e.g. Connection: close with its last request), so conn_close()
 * need not wait for what else may come. */
void   conn_expect_no_more(struct conn *c);
/* Another process may still have a copy of the descriptor (it was handed over). */
void   conn_set_shared(struct conn *c);
/* Orderly: sends what is queued (bounded by 5 s and while the peer reads), FIN, swallows late input
 * so that no reset destroys the answer (lingering close), then frees. Sets *c to NULL. */
void   conn_close(struct conn **c);
/* At once, by RST. Sets *c to NULL. */
void   conn_abort(struct conn **c);

/* Closed ones that still send or swallow: a process that ends before this is 0 cuts answers. */
unsigned conn_lingering(void);
/* Has one of them output that the kernel has not taken? */
bool conn_linger_owes(void);

/* One deadline per conn, loop time; 0 = none. Moving it later is one store. Ignored while an
 * outgoing conn is not ready: then connect_timeout_ms rules. */
void   conn_deadline(struct conn *c, uint64_t after_ms);

/* --- facts --- */
int    conn_fd(const struct conn *c);
const struct addr *conn_peer(const struct conn *c);
const struct addr *conn_local(const struct conn *c);
struct engine *conn_engine(const struct conn *c);
bool   conn_is_tls(const struct conn *c);
bool   conn_is_dead(const struct conn *c);       /* error() came or it is closed */
/* untaken bytes are kept, or EOF was seen: not reusable when pooled */
bool   conn_has_input(const struct conn *c);
/* untaken bytes that are kept */
size_t conn_kept(const struct conn *c);
/* A pooled connection right before reuse: one non-blocking peek; true when still open and silent.
 * Clear and TLS. */
bool   conn_check_idle(struct conn *c);
/* TLS facts; NULL or empty on clear connections. Valid as long as the conn. */
const char *conn_tls_version(const struct conn *c);
const char *conn_tls_cipher(const struct conn *c);
const char *conn_tls_alpn(const struct conn *c);
const char *conn_tls_sni(const struct conn *c);
const char *conn_tls_client_subject(const struct conn *c);
bool   conn_tls_resumed(const struct conn *c);
/* Why TLS failed, for a log line, after error() of any kind; "" when it did not. NULL on clear
 * connections. An accepted one was logged and counted for the process already. */
const char *conn_tls_reason(const struct conn *c);
/* The same as a code of tbl/tls_reasons.def: "cert-name"; NULL on clear connections and when TLS did
 * not fail. */
const char *conn_tls_why(const struct conn *c);
/* After eof(): the end is authentic: FIN on clear connections, close_notify under TLS (a bare FIN
 * there may be a cut, so a body that ends by closing is then incomplete). */
bool   conn_eof_clean(const struct conn *c);
/* Whose the connection is, until it ends: counters of a row of theirs, all of one kind. Static memory. */
#define CONN_NOT_COUNTED 0xffu
struct conn_counters {
	uint8_t segs_in, segs_out;       /* SUM: TCP segments received and sent, when it ends (and the core's) */
	uint8_t wait_in, wait_out;       /* LEVEL: bytes read that nobody took yet; written that the kernel did not take */
	uint8_t unacked;                 /* LEVEL: segments that the peer did not acknowledge, as conn_owed.c saw last */
};
void     conn_count(struct conn *c, struct stat_row *row, const struct conn_counters *in);
uint64_t conn_bytes_in(const struct conn *c);    /* on the wire's plain side, since start */
uint64_t conn_bytes_out(const struct conn *c);
uint64_t conn_started_us(const struct conn *c);

/* --- moving bytes without looking (splice, ENGINE section 6) --- */
/* Takes over both directions' reading side of `from`: moves exactly `n` bytes (UINT64_MAX: until
 * EOF) from `from` to `to`, by splice when both are clear and n >= splice_min, else by copy.
 * Back-pressure is internal. progress() tells bytes moved (for counters and idle deadlines); done()
 * comes once with 0 (n moved, or EOF when n was UINT64_MAX), FL_ECLOSED_
 * (EOF before n), FL_ERESET_ (EOF that may be a cut, see conn_eof_clean()) or an error of either side (`side` says whose: 0 from, 1 to). Upcalls data/eof of
 * `from` and drained of `to` are withheld meanwhile. Untaken input of `from` goes first. */
struct conn_pump {
	struct conn *from, *to;
	void (*progress)(struct conn_pump *p, size_t n);
	void (*done)(struct conn_pump *p, int err, int side);
	void *owner;
	void *priv;                                  /* conn's */
};
int  conn_pump_start(struct conn_pump *p, uint64_t n, uint64_t splice_min);
void conn_pump_stop(struct conn_pump *p);    /* also by closing either conn; no done() afterwards */

/* --- hand-over of an idle clear connection to another process --- */
/* Takes the descriptor out (no close, no upcalls any more); -1 when TLS, input or output is
 * pending. Frees the conn. */
int  conn_detach(struct conn **c);

#endif
