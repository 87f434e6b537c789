/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1c.c - the mux towards a service: HTTP/1.1, one exchange at a time on a connection
 *
 *   CONNECTING --> HEAD --final head--> BODY --end--> DONE --release--> IDLE (pool) --> HEAD ...
 *        `-----------`-------------------'---broken--> GONE
 *
 * Strict about what it reads (RFC 9112, ROBUSTNESS 6.2: any fault means 502 and the connection is
 * dropped). A body's end is known by its framing; a connection that ends before makes the response
 * broken, never short. What it does not do: choose, retry, time limits of connecting (exchange.c,
 * conn).
 */
#include "config.h"

#include "http/upstream.h"

#include "base/err.h"
#include "http/refuse.h"

#define COUNT_FROM (64u * 1024)   /* bytes of a request that are told before its end */

/* Life ------------------------------------------------------------------------------------ */

static void start_pump(struct engine_job *j);

struct h1c *h1c_new(struct lb_service *s)
{
	struct h1c *m = slab_get(&http_room.s_h1c);

	if (!m)
		return NULL;
	list_init(&m->link);
	m->service = s;
	m->response_ms = s->pool->response_timeout_ms;
	engine_job_init(&m->job, start_pump);
	return m;
}

/* Bytes since they were last counted go to the service's row. */
void h1c_count_bytes(struct h1c *m)
{
	uint64_t in, out;

	if (!m->c)
		return;
	in = conn_bytes_in(m->c);
	out = conn_bytes_out(m->c);
	stat_add(m->service->stat, CTR_SERVICE_BYTES_OUT, in - m->in_counted);
	stat_add(m->service->stat, CTR_SERVICE_BYTES_IN, out - m->out_counted);
	m->in_counted = in;
	m->out_counted = out;
}

static void give_back(void *obj)
{
	slab_put(&http_room.s_h1c, obj);
}

/* The connection is gone or given away: out of lists and books. */
static void forget(struct h1c *m)
{
	if (m->state == H1C_IDLE) {
		struct upstream *u = m->service->upstream;

		u->n_idle--;
		stat_dec(m->service->stat, CTR_SERVICE_CONN_IDLE);
	}
	list_del(&m->link);
	engine_job_cancel(&m->job);
	stat_dec(m->service->stat, CTR_SERVICE_CONN_CUR);
	m->state = H1C_GONE;
	m->ops = NULL;
	engine_free_later(http_room.w.engine, m, give_back);
}

void h1c_drop(struct h1c *m)
{
	if (m->state == H1C_GONE)
		return;
	h1c_count_bytes(m);
	if (m->state == H1C_IDLE || m->state == H1C_DONE)
		conn_close(&m->c);
	else
		conn_abort(&m->c);
	forget(m);
}

struct conn *h1c_yield(struct h1c *m, size_t *extra)
{
	struct conn *c = m->c;

	h1c_count_bytes(m);
	*extra = m->extra;
	m->c = NULL;
	stat_inc(m->service->stat, CTR_SERVICE_CONN_CUR);       /* forget() takes one away */
	forget(m);
	return c;
}

void h1c_attach(struct h1c *m, const struct h1c_user_ops *ops, void *user)
{
	m->ops = ops;
	m->user = user;
}

static bool can_be_used_again(const struct h1c *m)
{
	const struct upstream *u = m->service->upstream;
	const struct lb_service *s = m->service;

	return m->state == H1C_DONE && m->keepalive && m->sent_all && !m->leftover && !m->eof &&
	       !conn_is_dead(m->c) && !conn_has_input(m->c) && u && u->n_idle < s->pool->idle_max &&
	       !http_room.draining && (s->state == ST_SVC_UP || s->state == ST_SVC_DRAIN);
}

void h1c_release(struct h1c *m)
{
	struct upstream *u = m->service->upstream;

	h1c_count_bytes(m);
	m->ops = NULL;
	m->user = NULL;
	m->pool = NULL;
	m->trailers = NULL;
	if (!can_be_used_again(m)) {
		h1c_drop(m);
		return;
	}
	m->state = H1C_IDLE;
	m->idle_since_ms = room_now_ms();
	list_del(&m->link);
	list_push(&u->idle, &m->link);
	u->n_idle++;
	stat_inc(m->service->stat, CTR_SERVICE_CONN_IDLE);
	conn_deadline(m->c, m->service->pool->idle_timeout_ms);
}

static void broken(struct h1c *m, enum txn_code why, const char *reason)
{
	const struct h1c_user_ops *ops = m->ops;

	if (!ops) {
		h1c_drop(m);
		return;
	}
	ops->broken(m, why, reason);
}

/* A message that cannot be read: code, counter, line; then as any failure. */
static void malformed(struct h1c *m, enum txn_code code, enum h1_reason why, const uint8_t *p,
		      size_t n, size_t off)
{
	refused_response(m->service, why, p, n, off);
	broken(m, code, h1_reason_code(why));
}

/* Sending --------------------------------------------------------------------------------- */

int h1c_send_head(struct h1c *m, const struct http_head *h, struct pool *pool)
{
	struct sb b;

	sb_init(&b, http_room.out, HTTP_HEAD_OUT);
	h1_put_request(&b, h, m->service->pool->idle_max == 0 && !h->upgrade);
	if (b.over)
		return FL_ELIMIT_;
	m->state = H1C_HEAD;
	m->pool = pool;
	m->method = h->method;
	m->upgrade = h->upgrade;
	m->chunked = h->body == HB_CHUNKED;
	m->sent_all = false;
	m->keepalive = m->leftover = m->blocked = m->pump_wanted = false;
	m->n_info = 0;
	m->seen = 0;
	m->trailers = NULL;
	m->t_first_us = 0;
	m->last_acked = UINT64_MAX;
	m->t_sent_us = room_now_us();
	m->out_base = conn_bytes_out(m->c);
	conn_deadline(m->c, m->response_ms);
	return conn_write(m->c, b.p, b.n);
}

int h1c_send_data(struct h1c *m, struct str s)
{
	char size[20];
	int r;

	if (conn_bytes_out(m->c) - m->out_counted >= COUNT_FROM)
		h1c_count_bytes(m);
	if (!m->chunked)
		return conn_write(m->c, s.p, s.n);
	r = conn_write(m->c, size, h1_put_chunk_size(size, s.n));
	if (!r)
		r = conn_write(m->c, s.p, s.n);
	return r ? r : conn_write(m->c, "\r\n", 2);
}

int h1c_send_end(struct h1c *m, const struct http_head *trailers)
{
	struct sb b;

	m->sent_all = true;
	if (m->state == H1C_HEAD)
		conn_deadline(m->c, m->response_ms);
	if (!m->chunked)
		return 0;
	sb_init(&b, http_room.out, HTTP_HEAD_OUT);
	h1_put_last_chunk(&b, trailers);
	return b.over ? FL_ELIMIT_ : conn_write(m->c, b.p, b.n);
}

size_t h1c_room(const struct h1c *m)
{
	size_t pending = conn_pending(m->c);

	return pending < HTTP_WRITE_MAX ? HTTP_WRITE_MAX - pending : 0;
}

bool h1c_unsent(const struct h1c *m)
{
	return m->state == H1C_CONNECTING || conn_bytes_out(m->c) == m->out_base;
}

void h1c_resume(struct h1c *m)
{
	if (!m->blocked)
		return;
	m->blocked = false;
	conn_resume(m->c);
	conn_deadline(m->c, m->response_ms);
}

/* Receiving ------------------------------------------------------------------------------- */

/* Each returns false when m must not be looked at any more in this upcall. */
static bool is_mine(const struct h1c *m, const void *user)
{
	return m->ops && m->user == user && m->state != H1C_GONE;
}

static bool message_end(struct h1c *m)
{
	m->state = H1C_DONE;
	m->ops->end(m, m->trailers);
	return false;
}

static bool final_head(struct h1c *m, struct http_head *h, size_t left)
{
	void *user = m->user;

	m->keepalive = h->keepalive;
	m->state = H1C_BODY;
	h1_body_init(&m->body, h);
	if (m->body.done)
		m->leftover = left > 0;
	m->ops->head(m, h);
	if (!is_mine(m, user))
		return false;
	return m->body.done ? message_end(m) : true;
}

/* Interim responses are passed on, a few (F25). */
static bool interim(struct h1c *m, const struct http_head *h, const uint8_t *p, size_t n)
{
	void *user = m->user;

	stat_inc(m->service->stat, CTR_SERVICE_R1XX);
	if (++m->n_info > HTTP_INFO_MAX || h->status == 101) {
		malformed(m, TXN_SERVICE_BAD,
			  h->status == 101 ? H1_UNASKED_UPGRADE : H1_INTERIM_FLOOD, p, n, 0);
		return false;
	}
	m->ops->info(m, h);
	return is_mine(m, user);
}

/* Parses one head from p. *used 0: incomplete. */
static bool read_head(struct h1c *m, const uint8_t *p, size_t n, size_t *used)
{
	static const struct h1_limits limits = {
		.max_request_line = 8192, .max_head = 65536, .max_field = 32768, .max_fields = 200
	};
	struct http_head h = { 0 };
	enum h1_reason why = H1_OK;
	size_t off = 0;
	ssize_t r;

	*used = 0;
	if (!m->t_first_us)
		m->t_first_us = room_now_us();
	r = h1_parse_response(p, n, &m->seen, &limits, m->method, m->pool, &h, &why, &off);
	if (r == 0)
		return true;
	if (r < 0) {
		malformed(m, TXN_SERVICE_BAD, why, p, n, off);
		return false;
	}
	*used = (size_t)r;
	m->seen = 0;
	/* The only protocol we ask for, see decide_request_upgrade(). */
	if (h.status == 101 && m->upgrade && h.upgrade &&
	    str_ieq(h.upgrade_proto, STR("websocket"))) {
		m->extra = n - (size_t)r;
		m->ops->head(m, &h);
		return false;
	}
	if (h.status < 200)
		return interim(m, &h, p, n);
	return final_head(m, &h, n - (size_t)r);
}

/* Content from p. Stops when the receiver has no room. */
static bool read_body(struct h1c *m, const uint8_t *p, size_t n, size_t *taken)
{
	void *user = m->user;

	*taken = 0;
	while (!m->body.done && *taken < n) {
		struct str data = STR_NULL;
		enum h1_reason why = H1_OK;
		size_t used = 0;

		if (m->ops->room(m) == 0) {
			m->blocked = true;
			conn_pause(m->c);
			return true;
		}
		if (m->body.kind == HB_CHUNKED && !m->trailers)
			m->trailers = pool_zalloc(m->pool, sizeof(*m->trailers));
		if (h1_body_next(&m->body, p + *taken, n - *taken, &used, &data, m->pool,
				 m->trailers, &why) < 0) {
			malformed(m, TXN_SERVICE_CUT, why, p + *taken, n - *taken, 0);
			return false;
		}
		*taken += used;
		if (m->body.done)
			m->leftover = *taken < n;
		if (data.n) {
			m->ops->data(m, data);
			if (!is_mine(m, user))
				return false;
		}
		if (!used && !data.n)
			break;
	}
	return true;
}

/* From here on nobody needs to see the rest of the body. */
static bool wants_pump(struct h1c *m)
{
	return m->body.kind == HB_LENGTH && m->body.left >= HTTP_SPLICE_MIN && !conn_is_tls(m->c) &&
	       m->ops->sink(m);
}

static void on_eof(struct conn *c);

static size_t on_data(struct conn *c, const uint8_t *p, size_t n)
{
	struct h1c *m = conn_owner(c);
	size_t done = 0, used;

	if (m->state == H1C_GONE || m->state == H1C_DONE)
		return n;
	if (!m->ops) {              /* idle: nothing was asked for */
		h1c_drop(m);
		return n;
	}
	if (m->pump_wanted)
		return 0;
	while (m->state == H1C_HEAD && done < n) {
		if (!read_head(m, p + done, n - done, &used))
			return done + used;
		if (!used)
			return done;
		done += used;
	}
	if (m->state != H1C_BODY)
		return done;
	if (!read_body(m, p + done, n - done, &used))
		return n;
	done += used;
	if (m->body.done) {
		message_end(m);
		return done;
	}
	if (done == n && m->eof) {
		on_eof(c);
	} else if (done == n && wants_pump(m)) {
		m->pump_wanted = true;
		engine_defer(http_room.w.engine, &m->job);
	} else if (!m->blocked) {
		h1c_count_bytes(m);      /* a long answer has a rate, too */
		conn_deadline(c, m->response_ms);
		conn_read_hint(c, m->body.kind == HB_LENGTH ? m->body.left : 0);
	}
	return done;
}

static void on_eof(struct conn *c)
{
	struct h1c *m = conn_owner(c);

	m->eof = true;
	if (m->state == H1C_GONE || m->state == H1C_DONE)
		return;
	if (!m->ops) {
		h1c_drop(m);
	} else if (m->state == H1C_BODY && m->blocked) {
		return;             /* first what is still kept */
	} else if (m->state == H1C_BODY && m->body.kind == HB_CLOSE && conn_eof_clean(c)) {
		message_end(m);
	} else {
		broken(m, m->state == H1C_BODY ? TXN_SERVICE_CUT : TXN_SERVICE_CLOSED, NULL);
	}
}

static void on_drained(struct conn *c)
{
	struct h1c *m = conn_owner(c);

	if (m->ops && m->state != H1C_GONE)
		m->ops->room_grew(m);
}

static void on_ready(struct conn *c)
{
	struct h1c *m = conn_owner(c);
	uint64_t us = room_now_us() - m->t_connect_us;

	if (m->state != H1C_CONNECTING)
		return;
	stat_add(m->service->stat, CTR_SERVICE_CONNECT_US, us);
	m->t_connect_us = us;
	if (m->ops)
		m->ops->ready(m);
	else
		h1c_drop(m);
}

static void on_error(struct conn *c, int err)
{
	struct h1c *m = conn_owner(c);

	if (m->state == H1C_GONE)
		return;
	if (m->state == H1C_CONNECTING) {
		broken(m, refused_connect(m->service, c, err), fl_err_name(err));
	} else {
		if (err == FL_ETLS_)    /* TLS 1.3: our certificate is refused behind the handshake */
			(void)refused_connect(m->service, c, err);
		broken(m, m->state == H1C_BODY ? TXN_SERVICE_CUT : TXN_SERVICE_CLOSED,
		       fl_err_name(err));
	}
}

/* The request is still on its way: is it the service that takes nothing of it? */
static bool is_client_slow(struct h1c *m)
{
	uint64_t acked = 0;
	bool moves;

	if (m->pumping)
		return m->pump.to && room_peer_owes(m->pump.to, &acked);
	if (m->blocked)
		return true;
	if (m->state != H1C_HEAD || m->sent_all)
		return false;
	moves = !room_peer_owes(m->c, &acked) || acked != m->last_acked;
	m->last_acked = acked;
	return moves;
}

static void on_timeout(struct conn *c)
{
	struct h1c *m = conn_owner(c);

	if (!m->ops) {
		h1c_drop(m);
	} else if (is_client_slow(m)) {
		/* the client is the slow one; its own limits hold */
		conn_deadline(c, m->response_ms);
	} else {
		broken(m, m->state == H1C_BODY ? TXN_SERVICE_CUT : TXN_SERVICE_TIMEOUT, "timeout");
	}
}

static void tell(const struct conn *c, struct sb *out)
{
	const struct h1c *m = conn_owner(c);

	if (m->state != H1C_GONE && m->ops)
		m->ops->tell(m, out);
}

const struct conn_ops h1c_conn_ops = {
	.data = on_data,
	.eof = on_eof,
	.drained = on_drained,
	.ready = on_ready,
	.error = on_error,
	.timeout = on_timeout,
	.tell = tell,
};

/* Moving a body unseen --------------------------------------------------------------------- */

static void pump_progress(struct conn_pump *p, size_t n)
{
	struct h1c *m = p->owner;

	m->body.left -= FL_MIN(m->body.left, (uint64_t)n);
	h1c_count_bytes(m);
	conn_deadline(m->c, m->response_ms);
	if (m->ops)
		m->ops->moved(m, TXN_RESP, n);
}

static void pump_done(struct conn_pump *p, int err, int side)
{
	struct h1c *m = p->owner;

	m->pumping = m->pump_wanted = false;
	if (m->state == H1C_GONE || !m->ops)
		return;
	if (err) {
		broken(m, side == 1 ? TXN_CLIENT_ABORT : TXN_SERVICE_CUT, fl_err_name(err));
		return;
	}
	m->body.done = true;
	m->leftover = conn_has_input(m->c);
	message_end(m);
}

static void start_pump(struct engine_job *j)
{
	struct h1c *m = FL_CONTAINER_OF(j, struct h1c, job);
	struct conn *to;

	if (m->state != H1C_BODY || !m->ops || !m->pump_wanted)
		return;
	to = m->ops->sink(m);
	m->pump = (struct conn_pump){
		.from = m->c, .to = to, .progress = pump_progress, .done = pump_done, .owner = m
	};
	if (to && conn_pump_start(&m->pump, m->body.left, HTTP_SPLICE_MIN) == 0) {
		m->pumping = true;
		return;
	}
	m->pump_wanted = false;
	conn_resume(m->c);
}
