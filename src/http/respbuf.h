/* SPDX-License-Identifier: Apache-2.0 */
/*
 * respbuf.h - response content that the client does not take yet, kept so that the service is free
 * (buffer-response of a pool)
 *
 * Stands between a service's mux and the txn. What the txn takes now goes through untouched; the rest is
 * copied, up to `max` bytes, into pages of buffer-memory. Order: while anything is kept all goes behind it.
 * The txn may end inside each call that gives to it: the caller holds it (txn_hold) and looks at t->over
 * before it touches the buffer again.
 */
#ifndef FL_HTTP_RESPBUF_H
#define FL_HTTP_RESPBUF_H

#include "base/buf.h"
#include "http/txn.h"

struct respbuf {
	size_t                  max;        /* 0: no buffering */
	struct bufq             kept;
	bool                    ended;      /* all is here: the end follows what is kept */
	struct http_head *trailers;   /* in memory of the exchange */
};

/* How many bytes may come now. */
size_t respbuf_room(const struct respbuf *b, struct txn *t);
/* 0, or FL_ENOMEM_: the stream has a hole. */
int  respbuf_take(struct respbuf *b, struct txn *t, struct str s);
/* Gives what is kept as far as the txn has room, and then the end. */
void respbuf_drain(struct respbuf *b, struct txn *t);

#endif
