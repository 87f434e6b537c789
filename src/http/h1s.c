/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1s.c - the mux towards clients: HTTP/1.1 and 1.0, one exchange at a time, the next request waits in the conn
 *
 *   IDLE --byte--> HEAD --head--> BUSY --response and request ended--> IDLE
 *     |              |              |--response ended, little is left of the request--> DISCARD --> IDLE
 *     `--- timeout, `-- 408 ---.    |--else, error, Connection: close--> lingering close
 *          close, hand-over     `-->'--101--> tunnel
 *
 * The end of the client's stream inside an exchange is an abort (ROBUSTNESS F27): the service is told within the
 * same turn. The codec proper is h1.h; who may answer what is behind the txn.
 */
#include "config.h"

#include "http/h1s.h"

#include "base/err.h"
#include "base/log.h"
#include "http/answer.h"
#include "http/h1.h"
#include "http/inside.h"

#define DISCARD_MAX   (64u * 1024)     /* rest of a request that we read away to keep a connection */
#define TURN_REQUESTS 64u              /* answered in one go before others have their turn */
#define RATE_GRACE_US 5000000u

enum h1s_state { S_IDLE, S_HEAD, S_BUSY, S_DISCARD, S_GONE };
enum h1s_cut { CUT_NO, CUT_CLOSE, CUT_RESET };

struct h1s {
	struct http_client cl;
	struct conn       *c;
	struct lb_vserver *vs;
	struct txn        *t;
	enum h1s_state     state;
	enum h1s_cut       cut;
	bool               http10, keep, req_ended, blocked, in_data, eof, abandoned;
	bool               resp_head, resp_chunked, resp_delimited, resp_ended;
	unsigned           n_requests;
	size_t             seen;
	struct h1_body     body;
	struct http_head  *trailers;
	uint64_t           first_byte_us;
	uint64_t           body_begin_us, body_bytes;   /* of the request, for body-rate */
	uint64_t           in_counted, written, data_written, last_acked;
	struct engine_job  job, again;
	struct conn_pump   pump;
	bool               pump_wanted, pumping;
	struct tunnel     *tunnel;
};

static const struct txn_down_ops down_ops;
static const struct conn_ops conn_ops;

/* Life ------------------------------------------------------------------------------------ */

static void give_back(void *obj)
{
	slab_put(&http_room.s_h1s, obj);
}

static void count_bytes(struct h1s *s)
{
	uint64_t in = s->c ? conn_bytes_in(s->c) : s->in_counted;

	stat_add(s->vs->stat, CTR_VSERVER_BYTES_IN, in - s->in_counted);
	stat_add(s->vs->stat, CTR_VSERVER_BYTES_OUT, s->written);
	s->in_counted = in;
	s->written = 0;
}

static void gone(struct h1s *s)
{
	if (s->state == S_GONE)
		return;
	s->state = S_GONE;
	engine_job_cancel(&s->job);
	engine_job_cancel(&s->again);
	room_client_del(&s->cl);
	engine_free_later(http_room.w.engine, s, give_back);
}

static void close_client(struct h1s *s, bool reset)
{
	if (s->state == S_GONE)
		return;
	count_bytes(s);
	if (reset)
		conn_abort(&s->c);
	else
		conn_close(&s->c);
	gone(s);
}

/* Between requests --------------------------------------------------------------------------- */

static void next_request(struct h1s *s)
{
	s->state = S_IDLE;
	s->seen = 0;
	conn_deadline(s->c, s->vs->idle_timeout_ms);
	if (!s->in_data && conn_has_input(s->c))
		conn_resume(s->c);
}

static bool is_discardable(const struct h1s *s)
{
	return s->body.kind == HB_LENGTH && s->body.left <= DISCARD_MAX && !s->pump_wanted;
}

static void down_closed(struct txn *t)
{
	struct h1s *s = t->down;

	s->written += t->flow[TXN_RESP].bytes - s->data_written;        /* what was moved unseen */
	s->t = NULL;
	if (s->state == S_GONE)
		return;
	if (s->cut || !s->resp_ended || s->tunnel || s->abandoned) {
		/* A body that only the end delimits looks whole unless the end is a reset. */
		bool torn = s->resp_head && s->resp_delimited && !s->resp_ended;

		close_client(s, s->cut == CUT_RESET || !s->cut || torn);
		return;
	}
	count_bytes(s);
	s->n_requests++;
	if (!s->keep || (!s->req_ended && !is_discardable(s))) {
		close_client(s, false);
	} else if (!s->req_ended) {
		s->state = S_DISCARD;
		conn_deadline(s->c, s->vs->body_timeout_ms);
		if (!s->in_data)
			conn_resume(s->c);
	} else {
		next_request(s);
	}
}

/* A new exchange ------------------------------------------------------------------------------ */

static void fill_facts(struct h1s *s, struct txn *t)
{
	t->vs = s->vs;
	t->client = *conn_peer(s->c);
	t->local = *conn_local(s->c);
	t->tls = conn_is_tls(s->c);
	t->t_start_us = s->first_byte_us;
	t->t_head_us = room_now_us();
	t->keep_resp = s->vs->log_stream >= 0 && s->vs->log_template;
	if (!t->tls)
		return;
	t->sni = conn_tls_sni(s->c);
	t->tls_version = conn_tls_version(s->c);
	t->tls_cipher = conn_tls_cipher(s->c);
	t->tls_alpn = conn_tls_alpn(s->c);
	t->tls_subject = conn_tls_client_subject(s->c);
}

static void start_exchange(struct h1s *s, struct txn *t)
{
	s->t = t;
	s->state = S_BUSY;
	s->cut = CUT_NO;
	s->resp_head = s->resp_chunked = s->resp_delimited = s->resp_ended = false;
	s->blocked = s->pump_wanted = s->pumping = false;
	s->trailers = NULL;
	s->body_bytes = 0;
	s->body_begin_us = room_now_us();
	s->data_written = 0;
	s->last_acked = UINT64_MAX;
	stat_inc(s->vs->stat, CTR_VSERVER_REQ_TOT);
	stat_inc(s->vs->stat, CTR_VSERVER_REQ_CUR);
	if (s->n_requests)
		stat_inc(s->vs->stat, CTR_VSERVER_REUSED);
	http_room.n_active++;
	fill_facts(s, t);
}

/* An answer to something that never became a request. */
static void refuse(struct h1s *s, struct txn *t, unsigned status, const char *code, const char *text)
{
	static struct http_head none = { .minor = 1, .scheme = STR("http"), .path = STR("") };

	s->keep = false;
	s->req_ended = true;
	s->http10 = false;
	start_exchange(s, t);
	t->req = &none;
	t->reason = code;
	answer_error(t, status, code, text);
}

static void refuse_head(struct h1s *s, struct txn *t, enum h1_reason why, size_t off, const uint8_t *p, size_t n)
{
	char peer[ADDR_TEXT_MAX], mem[160];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	off = off > 16 ? off - 16 : 0;
	if (off < n)
		sb_escape(&b, str_n(p + off, n - off), 32);
	ip_text(addr_ip(conn_peer(s->c)), peer);
	log_ev_key(EV_BAD_REQUEST, str_c(peer), "vserver %s: client %s: %s near offset %zu: %s", s->vs->name, peer,
		   h1_reason_code(why), off, mem);
	stat_inc(s->vs->stat, CTR_VSERVER_REQ_BAD);
	refuse(s, t, h1_reason_status(why), h1_reason_code(why), h1_reason_text(why));
}

static void shift(struct str *s, const char *from, size_t n, ptrdiff_t by)
{
	if (s->p >= from && s->p < from + n)
		s->p += by;
}

/* The head's text moves from the reader's scratch into the exchange's memory. */
static bool keep_text(struct txn *t, struct http_head *h, const uint8_t *p, size_t n)
{
	const char *from = (const char *)p;
	char *to = pool_alloc(t->pool, n);
	ptrdiff_t by;

	if (!to)
		return false;
	memcpy(to, from, n);
	by = to - from;
	shift(&h->method_s, from, n, by);
	shift(&h->host, from, n, by);
	shift(&h->authority, from, n, by);
	shift(&h->path, from, n, by);
	shift(&h->query, from, n, by);
	shift(&h->upgrade_proto, from, n, by);
	for (unsigned i = 0; i < h->n_fields; i++) {
		shift(&h->fields[i].name, from, n, by);
		shift(&h->fields[i].value, from, n, by);
	}
	return true;
}

static void begin(struct h1s *s, struct txn *t, struct http_head *h)
{
	struct lb_vserver *vs = s->vs;

	h1_body_init(&s->body, h);
	s->req_ended = h->body == HB_NONE || (h->body == HB_LENGTH && h->length == 0);
	s->http10 = h->minor == 0;
	s->keep = h->keepalive && (!vs->keepalive_max || s->n_requests + 1 < vs->keepalive_max);
	if (s->http10 || s->req_ended)
		h->expect_continue = false;
	if (s->http10 || !vs->upgrade)
		h->upgrade = false;
	start_exchange(s, t);
	if (vs->max_body && h->body == HB_LENGTH && h->length > vs->max_body) {
		t->req = h;
		txn_fail(t, TXN_BODY_SIZE);
	} else if (room_is_full()) {
		t->req = h;
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		txn_fail(t, TXN_NO_MEMORY);
	} else {
		txn_begin(t, h, s->req_ended);
	}
}

/* One head from p; returns bytes consumed, 0 when it is incomplete or the connection is finished. */
static size_t read_head(struct h1s *s, const uint8_t *p, size_t n)
{
	const struct h1_limits limits = { .max_request_line = s->vs->max_request_line, .max_head = s->vs->max_head,
					  .max_field = FL_MIN((size_t)8192, (size_t)s->vs->max_head),
					  .max_fields = s->vs->max_fields };
	struct txn *t = txn_new(&steer_host, &down_ops, s);
	struct http_head *h = t ? pool_zalloc(t->pool, sizeof(*h)) : NULL;
	enum h1_reason why = H1_OK;
	size_t off = 0;
	ssize_t r;

	if (!h) {
		if (t)
			txn_discard(&t);
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		close_client(s, true);
		return 0;
	}
	r = h1_parse_request(p, n, &s->seen, &limits, conn_is_tls(s->c), t->pool, h, &why, &off);
	if (r == 0) {
		txn_discard(&t);
		return 0;
	}
	s->seen = 0;
	if (r < 0) {
		refuse_head(s, t, why, off, p, n);
		return 0;
	}
	if (!keep_text(t, h, p, (size_t)r))
		refuse(s, t, 503, txn_code_name(TXN_NO_MEMORY), txn_code_text(TXN_NO_MEMORY));
	else
		begin(s, t, h);
	return (size_t)r;
}

/* Request body ---------------------------------------------------------------------------------- */

static void bad_body(struct h1s *s, enum h1_reason why)
{
	struct txn *t = s->t;

	stat_inc(s->vs->stat, CTR_VSERVER_REQ_BAD);
	s->keep = false;
	t->reason = h1_reason_code(why);
	s->abandoned = s->resp_head;
	if (s->resp_head)
		txn_abort(t, TXN_CLIENT_ABORT);
	else
		answer_error(t, h1_reason_status(why), h1_reason_code(why), h1_reason_text(why));
}

static bool is_too_much(struct h1s *s, size_t n)
{
	s->body_bytes += n;
	return s->vs->max_body && s->body_bytes > s->vs->max_body;
}

static void stop_for_room(struct h1s *s)
{
	if (!s->blocked && s->body_bytes)
		conn_pause(s->c);
	s->blocked = true;
}

/* Content from p to the exchange; returns bytes taken. */
static size_t feed(struct h1s *s, const uint8_t *p, size_t n)
{
	size_t taken = 0;

	while (s->t && !s->req_ended && !s->pump_wanted && taken < n) {
		struct str data = STR_NULL;
		enum h1_reason why = H1_OK;
		size_t used = 0;

		if (txn_room(s->t) == 0) {
			stop_for_room(s);
			return taken;
		}
		if (s->body.kind == HB_CHUNKED && !s->trailers)
			s->trailers = pool_zalloc(s->t->pool, sizeof(*s->trailers));
		if (h1_body_next(&s->body, p + taken, n - taken, &used, &data, s->t->pool, s->trailers, &why) < 0) {
			bad_body(s, why);
			return n;
		}
		taken += used;
		if (is_too_much(s, data.n)) {
			s->keep = false;
			txn_fail(s->t, TXN_BODY_SIZE);
			return n;
		}
		s->req_ended = s->body.done;
		if (data.n)
			txn_data(s->t, data);
		if (s->req_ended && s->t)
			txn_end(s->t, s->trailers);
		if (!used && !data.n)
			break;
	}
	return taken;
}

static uint64_t body_wait_ms(const struct h1s *s)
{
	/* It may wait for our own 100 before it sends anything. */
	if (s->t && s->t->req->expect_continue && !s->body_bytes)
		return s->vs->body_timeout_ms + HTTP_CONTINUE_MS;
	return s->vs->body_rate ? FL_MIN((uint64_t)1000, s->vs->body_timeout_ms) : s->vs->body_timeout_ms;
}

static void after_feed(struct h1s *s, bool all)
{
	if (!s->t || s->req_ended || s->pump_wanted)
		return;
	if (s->blocked)
		return;
	conn_deadline(s->c, body_wait_ms(s));
	if (!all)
		return;
	if (s->body.kind == HB_LENGTH && s->body.left >= HTTP_SPLICE_MIN && !conn_is_tls(s->c) && !s->vs->body_rate &&
	    txn_raw(s->t, TXN_REQ)) {
		s->pump_wanted = true;
		engine_defer(http_room.w.engine, &s->job);
		return;
	}
	conn_read_hint(s->c, s->body.kind == HB_LENGTH ? s->body.left : 0);
}

/* The rest of a request that was answered already. */
static size_t discard(struct h1s *s, size_t n)
{
	size_t take = FL_MIN((uint64_t)n, s->body.left);

	s->body.left -= take;
	if (s->body.left == 0)
		next_request(s);
	return take;
}

/* From the connection ------------------------------------------------------------------------- */

static size_t take_input(struct h1s *s, const uint8_t *p, size_t n)
{
	size_t done = 0;
	unsigned turns = 0;

	while (done < n) {
		size_t used = 0;

		if (s->state == S_IDLE) {
			if (turns++ == TURN_REQUESTS) {
				engine_defer(http_room.w.engine, &s->again);
				return done;
			}
			s->state = S_HEAD;
			s->first_byte_us = room_now_us();
		}
		if (s->state == S_HEAD) {
			bool waited = s->seen > 0;

			used = read_head(s, p + done, n - done);
			if (s->state == S_HEAD && !waited)
				conn_deadline(s->c, s->vs->head_timeout_ms);
		} else if (s->state == S_BUSY) {
			used = s->req_ended || s->pump_wanted ? 0 : feed(s, p + done, n - done);
		} else if (s->state == S_DISCARD) {
			used = discard(s, n - done);
		}
		if (s->state == S_GONE)
			return n;
		done += used;
		if (!used)
			break;
	}
	if (s->state == S_BUSY)
		after_feed(s, done == n);
	return done;
}

/* What the turn's budget left is in the conn by now. */
static void take_again(struct engine_job *j)
{
	struct h1s *s = FL_CONTAINER_OF(j, struct h1s, again);

	if (s->state != S_GONE && s->c)
		conn_resume(s->c);
}

static size_t on_data(struct conn *c, const uint8_t *p, size_t n)
{
	struct h1s *s = conn_owner(c);
	size_t done;

	if (s->state == S_GONE)
		return n;
	s->in_data = true;
	done = take_input(s, p, n);
	s->in_data = false;
	return done;
}

static void on_eof(struct conn *c)
{
	struct h1s *s = conn_owner(c);

	s->eof = true;
	if (s->state == S_BUSY && s->t)
		txn_abort(s->t, TXN_CLIENT_ABORT);
	else
		close_client(s, false);
}

static void on_error(struct conn *c, int err)
{
	struct h1s *s = conn_owner(c);

	if (err == FL_ETLS_ && !conn_bytes_in(c))
		stat_inc(s->cl.lrow, CTR_LISTENER_TLS_FAIL);
	s->abandoned = true;
	if (s->state == S_BUSY && s->t)
		txn_abort(s->t, TXN_CLIENT_ABORT);
	else
		close_client(s, false);
}

static void on_drained(struct conn *c)
{
	struct h1s *s = conn_owner(c);

	if (s->state == S_BUSY && s->t)
		txn_credit(s->t);
}

static bool is_below_rate(const struct h1s *s)
{
	uint64_t us = room_now_us() - s->body_begin_us;

	return s->vs->body_rate && us > RATE_GRACE_US &&
	       (__uint128_t)s->body_bytes * 1000000 < (__uint128_t)s->vs->body_rate * us;
}

static void busy_timeout(struct h1s *s)
{
	uint64_t acked = 0;
	bool waits_for_body = !s->req_ended && !s->blocked && !s->pump_wanted && txn_room(s->t) > 0;

	if (waits_for_body && (!s->vs->body_rate || is_below_rate(s))) {
		s->keep = false;
		txn_fail(s->t, TXN_CLIENT_SLOW);
	} else if (s->resp_head && room_peer_owes(s->c, &acked) && acked == s->last_acked) {
		txn_abort(s->t, TXN_CLIENT_SLOW);
	} else {
		s->last_acked = acked;
		conn_deadline(s->c, waits_for_body ? body_wait_ms(s) : s->vs->body_timeout_ms);
	}
}

static void on_timeout(struct conn *c)
{
	struct h1s *s = conn_owner(c);
	struct txn *t;

	switch (s->state) {
	case S_HEAD:
		t = txn_new(&steer_host, &down_ops, s);
		if (!t) {
			close_client(s, true);
			return;
		}
		t->code = TXN_CLIENT_SLOW;
		refuse(s, t, 408, txn_code_name(TXN_CLIENT_SLOW), txn_code_text(TXN_CLIENT_SLOW));
		break;
	case S_BUSY:
		if (s->t)
			busy_timeout(s);
		break;
	default:
		close_client(s, false);
	}
}

static void on_ready(struct conn *c)
{
	(void)c;
}

static const struct conn_ops conn_ops = {
	.data = on_data,
	.eof = on_eof,
	.drained = on_drained,
	.ready = on_ready,
	.error = on_error,
	.timeout = on_timeout,
};

/* From the txn ----------------------------------------------------------------------------------- */

static void write_out(struct h1s *s, const void *p, size_t n)
{
	if (s->cut || conn_is_dead(s->c))
		return;
	if (conn_write(s->c, p, n) < 0) {
		s->cut = CUT_RESET;             /* no memory: the answer cannot be finished */
		return;
	}
	s->written += n;
}

static bool will_keep(const struct h1s *s)
{
	bool told = http_room.draining && (conn_is_tls(s->c) || !http_room.give || http_room.give_failed);

	return s->keep && !told && !s->eof && (s->req_ended || (is_discardable(s) && !s->t->req->expect_continue));
}

static void down_head(struct txn *t, const struct http_head *h)
{
	struct h1s *s = t->down;
	struct http_head o = *h;
	struct sb b;

	s->resp_head = true;
	s->keep = will_keep(s);
	if (t->req->method == HM_HEAD || h->body != HB_CHUNKED) {
		s->resp_chunked = false;
	} else if (s->http10) {
		o.body = HB_CLOSE;
		s->resp_delimited = true;
		s->keep = false;
	} else {
		s->resp_chunked = true;
	}
	sb_init(&b, http_room.out, HTTP_HEAD_OUT);
	h1_put_response(&b, &o, !s->keep && h->status != 101, s->http10);
	if (b.over)
		s->cut = CUT_CLOSE;
	else
		write_out(s, b.p, b.n);
}

static void down_info(struct txn *t, const struct http_head *h)
{
	struct h1s *s = t->down;
	struct sb b;

	stat_inc(s->vs->stat, CTR_VSERVER_R1XX);
	if (s->http10)
		return;
	sb_init(&b, http_room.out, HTTP_HEAD_OUT);
	h1_put_response(&b, h, false, false);
	if (!b.over)
		write_out(s, b.p, b.n);
}

static void down_data(struct txn *t, struct str d)
{
	struct h1s *s = t->down;
	char size[20];

	s->data_written += d.n;
	if (s->resp_chunked) {
		write_out(s, size, h1_put_chunk_size(size, d.n));
		write_out(s, d.p, d.n);
		write_out(s, "\r\n", 2);
	} else {
		write_out(s, d.p, d.n);
	}
	if (conn_pending(s->c) >= HTTP_WRITE_MAX)
		conn_deadline(s->c, s->vs->body_timeout_ms);
}

static void down_end(struct txn *t, const struct http_head *trailers)
{
	struct h1s *s = t->down;
	struct sb b;

	if (s->resp_chunked) {
		sb_init(&b, http_room.out, HTTP_HEAD_OUT);
		h1_put_last_chunk(&b, trailers);
		if (b.over)
			s->cut = CUT_CLOSE;
		write_out(s, b.p, b.n);
	}
	s->resp_ended = !s->cut;
}

static void down_reset(struct txn *t, enum txn_code why, bool hard)
{
	struct h1s *s = t->down;

	(void)why;
	s->cut = hard ? CUT_RESET : CUT_CLOSE;
}

static size_t down_room(struct txn *t)
{
	struct h1s *s = t->down;
	size_t pending = s->c ? conn_pending(s->c) : 0;

	return pending < HTTP_WRITE_MAX ? HTTP_WRITE_MAX - pending : 0;
}

static void down_credit(struct txn *t)
{
	struct h1s *s = t->down;

	if (!s->blocked || s->state != S_BUSY)
		return;
	s->blocked = false;
	conn_resume(s->c);
	conn_deadline(s->c, body_wait_ms(s));
}

static void *down_raw(struct txn *t)
{
	struct h1s *s = t->down;

	return s->c && !conn_is_tls(s->c) && !s->resp_chunked && !s->cut && !conn_is_dead(s->c) ? s->c : NULL;
}

static void tunnel_done(void *ctx, uint64_t to_service, uint64_t to_client, int err, int side)
{
	struct h1s *s = ctx;

	s->tunnel = NULL;
	stat_add(s->vs->stat, CTR_VSERVER_BYTES_IN, to_service);
	gone(s);
	txn_tunnel_end(s->t, to_service, to_client,
		       !err ? TXN_OK : side == 0 ? TXN_CLIENT_ABORT : side == 1 ? TXN_SERVICE_CUT : TXN_CUT);
	stat_add(s->vs->stat, CTR_VSERVER_BYTES_OUT, s->written);
}

static void down_join(struct txn *t, void *transport)
{
	struct h1s *s = t->down;
	struct conn *service = transport;

	stat_inc(s->vs->stat, CTR_VSERVER_UPGRADES);
	count_bytes(s);
	if (s->cut) {
		conn_abort(&service);
		txn_abort(t, TXN_NO_MEMORY);
		return;
	}
	s->tunnel = tunnel_start(s->c, service, s->vs->idle_timeout_ms, tunnel_done, s);
	s->c = NULL;
	if (!s->tunnel) {
		gone(s);
		txn_abort(t, TXN_NO_MEMORY);
	}
}

static const struct txn_down_ops down_ops = {
	.head = down_head,
	.info = down_info,
	.data = down_data,
	.end = down_end,
	.reset = down_reset,
	.room = down_room,
	.credit = down_credit,
	.raw = down_raw,
	.join = down_join,
	.closed = down_closed,
};

/* Moving a request body unseen ------------------------------------------------------------------- */

static void pump_progress(struct conn_pump *p, size_t n)
{
	struct h1s *s = p->owner;

	s->body.left -= FL_MIN(s->body.left, (uint64_t)n);
	s->body_bytes += n;
	if (s->state != S_BUSY || !s->t)
		return;
	conn_deadline(s->c, s->vs->body_timeout_ms);
	txn_moved(s->t, TXN_REQ, n);
}

static void pump_done(struct conn_pump *p, int err, int side)
{
	struct h1s *s = p->owner;

	s->pumping = s->pump_wanted = false;
	if (s->state != S_BUSY || !s->t)
		return;
	if (!err) {
		s->req_ended = s->body.done = true;
		txn_end(s->t, NULL);
	} else if (side == 0) {
		txn_abort(s->t, TXN_CLIENT_ABORT);
	} else if (!s->resp_head) {
		s->keep = false;
		s->blocked = true;      /* the service's mux reads on to its answer or its end */
	}
}

static void start_pump(struct engine_job *j)
{
	struct h1s *s = FL_CONTAINER_OF(j, struct h1s, job);
	struct conn *to;

	if (s->state != S_BUSY || !s->t || !s->pump_wanted || s->req_ended)
		return;
	to = txn_raw(s->t, TXN_REQ);
	s->pump = (struct conn_pump){ .from = s->c, .to = to, .progress = pump_progress, .done = pump_done, .owner = s };
	if (to && conn_pump_start(&s->pump, s->body.left, HTTP_SPLICE_MIN) == 0) {
		s->pumping = true;
		return;
	}
	s->pump_wanted = false;
	conn_resume(s->c);
}

/* The list's hooks ------------------------------------------------------------------------------- */

static bool hand_over(struct http_client *cl)
{
	struct h1s *s = FL_CONTAINER_OF(cl, struct h1s, cl);
	struct addr peer, local;
	int fd;

	if (s->state != S_IDLE || conn_is_tls(s->c))
		return true;
	peer = *conn_peer(s->c);
	local = *conn_local(s->c);
	count_bytes(s);
	fd = conn_detach(&s->c);
	if (fd < 0)
		return true;
	if (http_room.give(http_room.give_ctx, fd, cl->listen_name, &peer)) {
		stat_inc(http_room.w.proc, CTR_PROC_HANDED_OVER);
		gone(s);
		return true;
	}
	s->in_counted = 0;
	s->c = conn_accept(http_room.w.engine, fd, &peer, &local, NULL);
	if (!s->c) {
		gone(s);
		return false;
	}
	conn_start(s->c, &conn_ops, s);
	conn_deadline(s->c, s->vs->idle_timeout_ms);
	return false;
}

static void cut(struct http_client *cl)
{
	struct h1s *s = FL_CONTAINER_OF(cl, struct h1s, cl);
	struct txn *t = s->t;

	if (s->tunnel) {
		tunnel_cut(s->tunnel);
		s->tunnel = NULL;
		gone(s);
	}
	if (t)
		txn_abort(t, TXN_CUT);
	else
		close_client(s, false);
}

void h1s_accept(struct lb_vserver *vs, struct listener *l, struct conn *c)
{
	struct h1s *s = slab_get(&http_room.s_h1s);

	if (!s) {
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		conn_abort(&c);
		return;
	}
	s->vs = vs;
	s->c = c;
	s->cl.hand_over = hand_over;
	s->cl.cut = cut;
	engine_job_init(&s->job, start_pump);
	engine_job_init(&s->again, take_again);
	if (!room_client_add(&s->cl, vs, l)) {
		slab_put(&http_room.s_h1s, s);
		conn_abort(&c);
		return;
	}
	conn_start(c, &conn_ops, s);
	conn_deadline(c, vs->head_timeout_ms);
}

void h1s_slab(struct slab *s)
{
	slab_init(s, "h1s", sizeof(struct h1s), 32, 0);
}
