/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream.h - connections to services: the idle ones of this worker, by service, newest first
 *
 * A connection carries one exchange at a time (struct h1c) and goes back only after both messages
 * ended cleanly and nothing was left over (ROBUSTNESS R21). Worker only.
 */
#ifndef FL_HTTP_UPSTREAM_H
#define FL_HTTP_UPSTREAM_H

#include "http/h1.h"
#include "http/inside.h"

struct upstream {                       /* hangs on lb_service.upstream */
	struct lb_service *service;
	struct list        all;         /* in the room's list */
	struct list        idle;
	unsigned           n_idle;
};

/* What the user of a connection (exchange.c) is told. After end, broken and yielding it is not
 * the user any more unless noted. */
struct h1c;
struct h1c_user_ops {
	void   (*ready)(struct h1c *m);                           /* connected */
	void   (*info)(struct h1c *m, const struct http_head *h); /* 1xx but not 101 */
	void   (*head)(struct h1c *m, struct http_head *h);
	size_t (*room)(struct h1c *m);
	void   (*data)(struct h1c *m, struct str s);
	/* the user releases m from here */
	void   (*end)(struct h1c *m, struct http_head *trailers);
	/* the user drops m from here */
	void   (*broken)(struct h1c *m, enum txn_code why, const char *reason);
	void   (*room_grew)(struct h1c *m);
	/* for moving the response's body unseen */
	void  *(*sink)(struct h1c *m);
	void   (*moved)(struct h1c *m, enum txn_dir d, size_t n);
	/* the request, see conn_ops */
	void   (*tell)(const struct h1c *m, struct sb *out);
};
enum h1c_state { H1C_CONNECTING, H1C_IDLE, H1C_HEAD, H1C_BODY, H1C_DONE, H1C_GONE };

struct h1c {
	struct list        link;        /* idle list of its service, or the room's busy list */
	struct conn       *c;
	struct lb_service *service;
	struct addr        addr;
	uint64_t           sni_hash;    /* TLS: name it was made for */
	uint64_t           idle_since_ms;
	uint64_t           response_ms, connect_ms;
	const struct h1c_user_ops *ops; /* NULL: idle */
	void              *user;
	struct pool       *pool;        /* of the exchange */
	enum h1c_state     state;
	enum http_method   method;
	bool upgrade, reused, sent_all, chunked, keepalive, leftover, blocked, eof, in_data,
		counted;
	unsigned           n_info;
	size_t             seen;
	size_t             extra;       /* input behind the head of a 101 */
	struct h1_body     body;
	struct http_head  *trailers;
	uint64_t           in_counted, out_base, out_counted;
	uint64_t           last_acked;  /* by the service, at the last deadline */
	uint64_t           t_connect_us, t_sent_us, t_first_us;
	struct engine_job  job;         /* start of a pump */
	struct conn_pump   pump;
	bool               pump_wanted, pumping;
};

/* made on first use; NULL without memory */
struct upstream *upstream_of(struct lb_service *s);
/* An idle connection, not attached yet, or NULL. `check`: asks the kernel whether it is still
 * open; `max_age_ms` 0: any. */
struct h1c *upstream_take(struct lb_service *s, const char *sni, bool check, uint64_t max_age_ms);
/* A new one, connecting; ready() or broken() come later. NULL: *err. */
struct h1c *upstream_connect(struct lb_service *s, const char *sni, const struct h1c_user_ops *ops,
			     void *user, int *err);
/* Closes what is idle and must not be used any more (state, address, age) or, with all,
 * everything idle. */
void upstream_trim(bool all);
void upstream_fini(void);

/* --- h1c.c --- */
void h1c_attach(struct h1c *m, const struct h1c_user_ops *ops, void *user);
/* Sends the head; body follows by h1c_data/h1c_end when h->body says so. Negative: nothing was
 * queued. */
int  h1c_send_head(struct h1c *m, const struct http_head *h, struct pool *pool);
int  h1c_send_data(struct h1c *m, struct str s);
int  h1c_send_end(struct h1c *m, const struct http_head *trailers);
size_t h1c_room(const struct h1c *m);
/* The response side has room again. */
void h1c_resume(struct h1c *m);
/* True while no byte of the request was given to the kernel. */
bool h1c_unsent(const struct h1c *m);
/* The user is done: into the pool when everything ended cleanly, else closed. */
void h1c_release(struct h1c *m);
/* The user gives up: closed at once. */
void h1c_drop(struct h1c *m);
/* Gives the connection away (tunnel); m is gone afterwards. In the service's books it stays open:
 * the caller counts its further bytes and its end. *extra: bytes behind the head that are counted
 * already. */
struct conn *h1c_yield(struct h1c *m, size_t *extra);
void h1c_count_bytes(struct h1c *m);
struct h1c *h1c_new(struct lb_service *s);
extern const struct conn_ops h1c_conn_ops;

#endif
