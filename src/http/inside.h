/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inside.h - what the files of the HTTP room share in one worker; nobody else includes it
 *
 *   listener -> h1s.c (client mux) -> txn.c -> steer.c: facts, rules -> answer.c, or
 *               exchange.c (service, retries) -> upstream.c (idle pools) -> h1c.c -> conn
 *   tcp.c stands beside it: listener -> relay. http.c keeps the list of clients for both.
 */
#ifndef FL_HTTP_INSIDE_H
#define FL_HTTP_INSIDE_H

#include "base/list.h"
#include "base/pool.h"
#include "http/http.h"
#include "http/txn.h"
#include "net/conn.h"

/* left of a body from which on it is spliced (ENGINE section 6) */
#define HTTP_SPLICE_MIN   (1024u * 1024)
#define HTTP_WRITE_MAX    CONN_HIGH_WATER       /* queued output above which a sender is stopped */
#define HTTP_HEAD_OUT     (96u * 1024)          /* scratch for heads on their way out */
#define HTTP_INFO_MAX     16u                   /* interim responses per exchange */
/* ROBUSTNESS 6.4; less when head-timeout is */
#define HTTP_TLS_MS       5000u
/* wait for the service's 100 before we give our own */
#define HTTP_CONTINUE_MS  1000u

/* A client connection of either kind, in the list of the room. */
struct http_client {
	struct list        link;
	struct lb_vserver *vs;
	struct stat_row   *lrow;                /* of the listener */
	const struct listener *listener;        /* NULL: none; lives as long as the worker */
	const struct http_client_ops *ops;
};
struct http_client_ops {
	/* Draining: an idle clear one gives its descriptor away. False: not now. NULL: never. */
	bool             (*hand_over)(struct http_client *cl);
	void             (*cut)(struct http_client *cl);
};

struct http_room {
	struct http_worker w;
	bool               on;
	struct list        clients;
	unsigned           n_clients, n_active;
	bool               draining, give_failed;
	bool (*give)(void *ctx, int fd, const char *listen_name, const struct addr *peer);
	void              *give_ctx;
	struct timer       drain_timer;
	size_t             buffer_limit;
	struct list        upstreams;           /* all struct upstream */
	struct list        busy;                /* connections to services that are in use */
	char              *out;                 /* HTTP_HEAD_OUT bytes */
	struct slab        s_h1s, s_h1x, s_h1c, s_exchange, s_tcp, s_tunnel;
};
extern struct http_room http_room;

static inline uint64_t room_now_us(void) { return engine_now_us(http_room.w.engine); }
static inline uint64_t room_now_ms(void) { return engine_now_ms(http_room.w.engine); }
/* Above nine tenths of buffer-memory new requests are refused. */
bool room_is_full(void);
/* Is output on its way to the peer of c that it has not taken? *acked: bytes it ever took, to see
 * progress by. One system call; for time limits only. */
bool room_peer_owes(const struct conn *c, uint64_t *acked);
/* Books of a client connection: limits, counters, list. False: refused (the caller closes it). */
bool room_client_add(struct http_client *cl, struct lb_vserver *vs, struct listener *l);
void room_client_del(struct http_client *cl);
/* How long a new connection may take for its TLS handshake; clear: for the beginning of a request. */
static inline uint64_t room_begin_ms(const struct lb_vserver *vs, const struct conn *c)
{
	return conn_is_tls(c) ? FL_MIN(vs->head_timeout_ms, (uint64_t)HTTP_TLS_MS)
			      : vs->head_timeout_ms;
}
/* Its conn said error(): was it TLS? The listener's books; the process's are the conn's. */
static inline void room_count_tls(struct http_client *cl, const struct conn *c)
{
	const char *why = conn_tls_reason(c);

	if (why && *why)
		stat_inc(cl->lrow, CTR_LISTENER_TLS_FAIL);
}
/* What of a connection is counted in the row of its vserver, of its service. */
extern const struct conn_counters room_client_counters, room_service_counters;
/* The name of the listener's row, for hand-over. */
const char *room_listen_name(const struct listener *l, const struct lb_vserver *vs);

/* steer.c: the host of every txn */
extern const struct txn_host steer_host;

/* forward.c */
/* The request as it goes to the service: fields about the client and the path added, rules'
 * changes made. NULL: no memory or too many fields. */
struct http_head *forward_request(struct txn *t, const struct pol_facts *f);
/* The response as it goes to the client. */
void forward_response(struct txn *t, struct http_head *h, const struct pol_facts *f);
/* Drops the trailers that a rule sets or removes in that direction, and those that repeat a field of
 * the request's head. */
void forward_trailers(struct txn *t, enum txn_dir d, struct http_head *trailers);

/* facts.c */
void facts_of_txn(struct pol_facts *f, struct http_facts *h, const struct txn *t);

/* accesslog.c: the line of a finished exchange, if anybody asked for it */
void access_log_txn(const struct txn *t);
/* When a finished exchange began: "2026-01-31T12:00:00.123456Z"; static memory. */
struct str access_log_time(const struct txn *t);

/* tunnel.c: two transports become a relay; `done` comes once, from the loop, with all that went through; `moved`, NULL:
 * none, tells it while it goes. Takes both. */
struct tunnel;
typedef void (*tunnel_done_fn)(void *ctx, uint64_t to_service, uint64_t to_client, int err, int side);
typedef void (*tunnel_moved_fn)(void *ctx, uint64_t to_service, uint64_t to_client);
struct tunnel *tunnel_start(struct conn *client, struct conn *service, uint64_t idle_ms, tunnel_done_fn done,
			    tunnel_moved_fn moved, void *ctx);
void tunnel_cut(struct tunnel *t);              /* done() is not called */

/* Each file knows the size of its own objects. */
void h1s_slab(struct slab *s, struct slab *x);
void exchange_slab(struct slab *s);
void tcp_slab(struct slab *s);
void tunnel_slab(struct slab *s);

/* Chooses the counter of a status: base is CTR_x_R1XX. */
static inline unsigned status_counter(unsigned base, unsigned status)
{
	unsigned k = status / 100;

	return base + (k >= 1 && k <= 5 ? k - 1 : 4);
}
_Static_assert(CTR_VSERVER_R5XX == CTR_VSERVER_R1XX + 4 && CTR_SERVICE_R5XX == CTR_SERVICE_R1XX + 4,
	       "rows in order");

#endif
