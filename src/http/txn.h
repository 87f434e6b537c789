/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn.h - one exchange: request head, body, trailers, end; response head, body, trailers, end
 *
 *      client mux  --down-->  txn  --up-->  exchange (service side)
 *                  <-------        <-----
 *
 * A txn knows no descriptor, connection or protocol version: both neighbours are vtables.
 * Downward calls (ops) and upward calls (txn_*) are symmetric. Bodies are slices, borrowed for
 * the call, and move only while the receiver has room: room() is how many bytes it takes now,
 * credit() tells that room grew after it was 0. Who decides what happens to a request is behind
 * struct txn_host, so tests run a txn between fakes.
 *
 * Life: txn_new -> txn_begin -> ... -> the response ended or was reset: the host's finished(),
 * then the mux's closed(), after which neither side may use the txn. Calls may finish the txn:
 * both sides clear their pointer in closed() and reset()/after their last call. Memory goes when
 * the outermost call returns.
 */
#ifndef FL_HTTP_TXN_H
#define FL_HTTP_TXN_H

#include "http/filter.h"
#include "http/head.h"
#include "lb/lb.h"

struct module_use;

enum txn_code {
	TXN_OK,
#define T(id, status, code, text) TXN_##id,
#include "tbl/txn_codes.def"
#undef T
	TXN__COUNT
};
unsigned    txn_code_status(enum txn_code c);
const char *txn_code_name(enum txn_code c);      /* "no-service"; "" for TXN_OK */
const char *txn_code_text(enum txn_code c);

/* What a client mux does for a txn. */
struct txn_down_ops {
	/* The final response head. The framing of h is neutral: HB_NONE (only end follows),
	 * HB_LENGTH or HB_CHUNKED. 101 is followed by join(). */
	void   (*head)(struct txn *t, const struct http_head *h);
	/* interim response, not 101 */
	void   (*info)(struct txn *t, const struct http_head *h);
	void   (*data)(struct txn *t, struct str s);
	/* trailers may be NULL */
	void   (*end)(struct txn *t, const struct http_head *trailers);
	/* The response cannot be finished (or must not be begun): the client must see that it is
	 * not whole. */
	void   (*reset)(struct txn *t, enum txn_code why, bool hard);
	size_t (*room)(struct txn *t);            /* response bytes it takes now */
	void   (*credit)(struct txn *t);          /* txn_room() grew from 0 */
	/* sink for moving bytes unseen, for muxes only; NULL: not possible now */
	void  *(*raw)(struct txn *t);
	/* Becomes a tunnel with the service's transport (from yield()), which it takes. It says
	 * txn_tunnel_end() once. */
	void   (*join)(struct txn *t, void *transport);
	void   (*closed)(struct txn *t);          /* the txn is over: forget it */
};
/* What the service side does for a txn. */
struct txn_up_ops {
	/* the request as it shall be sent; lives as long as t */
	void   (*head)(struct txn *t, struct http_head *h);
	void   (*data)(struct txn *t, struct str s);
	void   (*end)(struct txn *t, const struct http_head *trailers);
	size_t (*room)(struct txn *t);
	void   (*credit)(struct txn *t);          /* txn_up_room() grew from 0 */
	void  *(*raw)(struct txn *t);
	/* after 101: gives its transport away; counting goes on until reset() */
	void  *(*yield)(struct txn *t);
	/* forget t; TXN_OK: everything ended as it should */
	void   (*reset)(struct txn *t, enum txn_code why);
};
/* Who decides, and keeps the books. */
struct txn_host {
	/* The request head is final: answer (txn_answer, txn_reset) or forward (txn_forward), at
	 * once. */
	void (*decide)(struct txn *t);
	/* A response head came from the service and goes on to the client: change it as
	 * configured. NULL: nothing. */
	void (*response)(struct txn *t, struct http_head *h);
	/* A message ended with trailers: take out what must not pass. NULL: nothing. */
	void (*trailers)(struct txn *t, enum txn_dir d, struct http_head *trailers);
	void (*finished)(struct txn *t);
};

struct txn_flow {                /* one direction */
	uint64_t bytes;          /* content given to the receiver */
	bool     head, ended;    /* given / complete */
};

struct txn {
	unsigned                   magic;
	uint16_t                   depth;       /* nested calls */
	bool                       over, answered, tunnel, up_gone, in_begin;
	struct pool               *pool;        /* memory of the exchange */
	const struct txn_host     *host;
	const struct txn_down_ops *down_ops;
	void                      *down;
	const struct txn_up_ops   *up_ops;      /* NULL until forwarded */
	void                      *up;
	struct filter             *filters;
	struct txn_flow            flow[2];
	struct http_head          *req;         /* as received, in canonical form */
	struct http_head          *fwd;         /* as forwarded */
	/* final response; only inside host->response() unless keep_resp */
	const struct http_head    *resp;
	bool                       keep_resp;
	/* of vs, once their request phase began (http/module.h) */
	const struct module_use   *modules;
	unsigned                   n_modules;   /* so many of them saw the request */

	/* the books */
	struct lb_vserver         *vs;          /* where the client came in */
	struct lb_route            route;
	struct lb_service         *service;     /* of the last try */
	struct addr                client, local;
	bool                       tls;
	const char                *sni, *tls_version, *tls_cipher, *tls_alpn, *tls_subject;
	uint16_t                   status;
	enum txn_code              code;
	/* code of a malformed message (h1_reason_code); NULL */
	const char                *reason;
	unsigned                   retries;
	/* loop time; 0: did not happen */
	uint64_t                   t_start_us, t_head_us, t_conn_us, t_first_us, t_end_us;
};

/* A txn with its own region of memory. NULL without memory. */
struct txn *txn_new(const struct txn_host *host, const struct txn_down_ops *ops, void *down);
void txn_add_filter(struct txn *t, struct filter *f);
/* Gives back a txn that was not begun. */
void txn_discard(struct txn **t);
/* Keeps the memory over calls that may finish it; in pairs. */
void txn_hold(struct txn *t);
void txn_release(struct txn *t);
/* Frees recycled memory (process end, tests). */
void txn_fini(void);

/* --- from the client mux --- */
/* h lives in t->pool. ended: no body follows. */
void   txn_begin(struct txn *t, struct http_head *h, bool ended);
void   txn_data(struct txn *t, struct str s);             /* s.n <= txn_room() */
/* trailers may be NULL; they may be changed */
void   txn_end(struct txn *t, struct http_head *trailers);
/* the client is gone, or its message is broken beyond an answer */
void   txn_abort(struct txn *t, enum txn_code why);
void   txn_credit(struct txn *t);                         /* room() grew */
size_t txn_room(struct txn *t);                           /* request bytes that it takes now */
void   txn_tunnel_end(struct txn *t, uint64_t to_service, uint64_t to_client, enum txn_code why);

/* --- from the service side --- */
/* slices borrowed for the call; the struct may be changed */
void   txn_up_head(struct txn *t, struct http_head *h);
void   txn_up_info(struct txn *t, const struct http_head *h);
void   txn_up_data(struct txn *t, struct str s);          /* s.n <= txn_up_room() */
/* as txn_end() */
void   txn_up_end(struct txn *t, struct http_head *trailers);
void   txn_up_fail(struct txn *t, enum txn_code why);     /* t is forgotten by the caller already */
void   txn_up_credit(struct txn *t);
size_t txn_up_room(struct txn *t);

/* --- moving bytes unseen --- */
/* Where bytes of direction d may go without being looked at: the receiving mux's sink, or NULL. */
void  *txn_raw(struct txn *t, enum txn_dir d);
void   txn_moved(struct txn *t, enum txn_dir d, size_t n);

/* --- from the host --- */
void txn_forward(struct txn *t, struct http_head *fwd, const struct txn_up_ops *ops, void *up);
/* A local answer: head and content in memory of the pool or static. h->body and length are set
 * here. */
void txn_answer(struct txn *t, struct http_head *h, struct str body);
/* Ends without an answer: cut (hard: by a reset of the transport). */
void txn_reset(struct txn *t, enum txn_code why, bool hard);
/* Gives up t: the canonical error answer when none was begun, else a cut. */
void txn_fail(struct txn *t, enum txn_code why);

#endif
