/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1s_inside.h - the inside of the mux towards clients, shared by h1s*.c only
 *
 *   h1s.c        life of a client connection, its events, time limits, hand-over
 *   h1s_req.c    heads and bodies of requests, from bytes to the txn
 *   h1s_resp.c   responses, from the txn to bytes; tunnels
 */
#ifndef FL_HTTP_H1S_INSIDE_H
#define FL_HTTP_H1S_INSIDE_H

#include "http/h1.h"
#include "http/inside.h"

/* rest of a request that we read away to keep a connection */
#define H1S_DISCARD_MAX (64u * 1024)

enum h1s_state { S_IDLE, S_HEAD, S_BUSY, S_DISCARD, S_GONE };
enum h1s_cut { CUT_NO, CUT_CLOSE, CUT_RESET };

/* What only a connection with a request needs; from the first byte of a head until it is idle again. */
struct h1x {
	bool               http10, blocked, pump_wanted, pumping;
	bool               said_close;  /* a good request that ends the connection: nothing follows it */
	bool               resp_head, resp_chunked, resp_delimited, resp_ended;
	size_t             seen;
	struct h1_body     body;
	struct http_head  *trailers;
	uint64_t           first_byte_us;
	uint64_t           body_begin_us, body_bytes;   /* of the request, for body-rate */
	uint64_t           blocked_us;                  /* since when we take nothing */
	uint64_t           written, data_written, last_acked;
	struct engine_job  job, again;
	struct conn_pump   pump;
	struct tunnel     *tunnel;
	struct h1s        *s;
};
/* All that an idle connection holds beside its conn. */
struct h1s {
	struct http_client cl;
	struct conn       *c;
	struct txn        *t;
	struct h1x        *x;
	uint64_t           in_counted;
	uint32_t           n_requests;
	uint8_t            state, cut;                  /* enum h1s_state, h1s_cut */
	bool               keep, req_ended, in_data, eof, abandoned;
	bool               stalled;                     /* IDLE: the peer does not take its answers */
};
_Static_assert(sizeof(struct h1s) <= 96, "idle connections are many");

/* h1s.c */
/* the conn and s are gone; not while a txn runs */
void h1s_close(struct h1s *s, bool reset);
/* the same when the conn has been taken away */
void h1s_gone(struct h1s *s);
void h1s_count_bytes(struct h1s *s);
void h1s_next_request(struct h1s *s);
void h1s_closed(struct txn *t);                         /* the txn's closed() */
bool h1s_is_discardable(const struct h1s *s);

/* h1s_req.c */
/* An answer to something that never became a request. Takes t. */
void h1s_refuse(struct h1s *s, struct txn *t, unsigned status, const char *code, const char *text);
/* One head from p; returns bytes consumed, 0 when it is incomplete or the connection is finished.
 * */
size_t h1s_read_head(struct h1s *s, const uint8_t *p, size_t n);
/* Content from p to the exchange; returns bytes taken. */
size_t h1s_feed(struct h1s *s, const uint8_t *p, size_t n);
void h1s_after_feed(struct h1s *s, bool all);           /* all: nothing of the input is left */
/* the rest of a request that was answered already */
size_t h1s_discard(struct h1s *s, size_t n);
uint64_t h1s_body_wait_ms(const struct h1s *s);
void h1s_start_pump(struct engine_job *j);

/* h1s_resp.c */
extern const struct txn_down_ops h1s_down_ops;

#endif
