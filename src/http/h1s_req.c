/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1s_req.c - requests of a client connection: from bytes to a txn
 *
 * A head is parsed where it lies and its text then moves into the exchange's memory. A body goes on
 * in slices while the txn has room; a long one that nobody looks at is moved unseen (pump).
 */
#include "config.h"

#include "base/err.h"
#include "http/answer.h"
#include "http/blocked.h"
#include "http/h1s_inside.h"
#include "http/refuse.h"

#define RATE_GRACE_US 5000000u             /* body-rate is averaged over more than this */
#define REFUSED_LINE_MAX 4096u             /* bytes of a refused head looked at for the log */

/* A new exchange ------------------------------------------------------------------------------ */

static void fill_facts(struct h1s *s, struct txn *t)
{
	t->vs = s->cl.vs;
	t->client = *conn_peer(s->c);
	t->local = *conn_local(s->c);
	t->tls = conn_is_tls(s->c);
	t->t_start_us = s->x->first_byte_us;
	t->t_head_us = room_now_us();
	t->keep_resp = s->cl.vs->log_stream >= 0 && s->cl.vs->log_template;
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
	s->x->resp_head = s->x->resp_chunked = s->x->resp_delimited = s->x->resp_ended = false;
	s->x->blocked = s->x->pump_wanted = s->x->pumping = false;
	s->x->trailers = NULL;
	s->x->body_bytes = 0;
	s->x->body_begin_us = room_now_us();
	s->x->data_written = 0;
	s->x->last_acked = UINT64_MAX;
	stat_inc(s->cl.vs->stat, CTR_VSERVER_REQ_TOT);
	stat_inc(http_room.w.proc, CTR_PROC_HTTP_TXNS);
	stat_inc(s->cl.vs->stat, CTR_VSERVER_REQ_CUR);
	stat_inc(http_room.w.proc, CTR_PROC_HTTP_CUR);
	if (s->n_requests)
		stat_inc(s->cl.vs->stat, CTR_VSERVER_REUSED);
	http_room.n_active++;
	fill_facts(s, t);
}

/* An answer to something that never became a request. */
void h1s_refuse(struct h1s *s, struct txn *t, unsigned status, const char *code, const char *text)
{
	static struct http_head none = { .minor = 1, .scheme = STR("http"), .path = STR("") };

	s->keep = false;
	s->req_ended = true;
	s->x->http10 = false;
	start_exchange(s, t);
	if (!t->req)
		t->req = &none;
	t->reason = code;
	answer_error(t, status, code, text);
}

/* What the log shall say of a head that was refused: its request line, when that much can be read. The
 * target is taken as it came. */
static void take_line(struct txn *t, struct http_head *h, const uint8_t *p, size_t n)
{
	struct str rest = str_n(p, FL_MIN(n, (size_t)REFUSED_LINE_MAX)), line, method, target;

	*h = (struct http_head){ .minor = 1, .scheme = STR("http"), .path = STR("") };
	while (str_starts(rest, STR("\r\n")))
		rest = str_n(rest.p + 2, rest.n - 2);
	line = str_cut(&rest, '\n');
	method = str_cut(&line, ' ');
	target = str_cut(&line, ' ');
	if (!str_starts(line, STR("HTTP/1.")) || !method.n || !target.n)
		return;
	h->minor = line.n > 7 && line.p[7] == '0' ? 0 : 1;
	h->method = http_method_id(method);
	h->method_s = pool_str(t->pool, method);
	h->path = pool_str(t->pool, target);
	if (!h->path.p)
		h->path = STR("");
}

static void refuse_head(struct h1s *s, struct txn *t, struct http_head *h, enum h1_reason why,
			size_t off, const uint8_t *p, size_t n)
{
	refused_request(s->cl.vs, s->c, why, p, n, off);
	take_line(t, h, p, n);
	t->req = h;
	h1s_refuse(s, t, h1_reason_status(why), h1_reason_code(why), h1_reason_text(why));
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
	struct lb_vserver *vs = s->cl.vs;

	h1_body_init(&s->x->body, h);
	s->req_ended = h->body == HB_NONE || (h->body == HB_LENGTH && h->length == 0);
	s->x->http10 = h->minor == 0;
	s->x->said_close = !h->keepalive;
	s->keep = h->keepalive && (!vs->keepalive_max || s->n_requests + 1 < vs->keepalive_max);
	if (s->x->http10 || s->req_ended)
		h->expect_continue = false;
	if (s->x->http10 || !vs->upgrade)
		h->upgrade = false;
	start_exchange(s, t);
	if (is_blocked_request(vs, h)) {
		t->req = h;
		s->keep = false;
		txn_fail(t, TXN_BLOCKED);
	} else if (vs->max_body && h->body == HB_LENGTH && h->length > vs->max_body) {
		t->req = h;
		txn_fail(t, TXN_BODY_SIZE);
	} else if (room_is_full()) {
		t->req = h;
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		refused_limit("vserver", vs->name, "buffer-memory (nine tenths)",
			      http_room.buffer_limit);
		txn_fail(t, TXN_NO_MEMORY);
	} else {
		txn_begin(t, h, s->req_ended);
	}
}

/* One head from p; returns bytes consumed, 0 when it is incomplete or the connection is finished.
 * */
size_t h1s_read_head(struct h1s *s, const uint8_t *p, size_t n)
{
	const struct h1_limits limits = { .max_request_line = s->cl.vs->max_request_line,
					  .max_head = s->cl.vs->max_head,
					  .max_field =
						  FL_MIN((size_t)8192, (size_t)s->cl.vs->max_head),
					  .max_fields = s->cl.vs->max_fields };
	struct txn *t = txn_new(&steer_host, &h1s_down_ops, s);
	struct http_head *h = t ? pool_zalloc(t->pool, sizeof(*h)) : NULL;
	enum h1_reason why = H1_OK;
	size_t off = 0;
	ssize_t r;

	if (!h) {
		if (t)
			txn_discard(&t);
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		h1s_close(s, true);
		return 0;
	}
	r = h1_parse_request(p, n, &s->x->seen, &limits, conn_is_tls(s->c), t->pool, h, &why, &off);
	if (r == 0) {
		txn_discard(&t);
		return 0;
	}
	s->x->seen = 0;
	if (r < 0) {
		refuse_head(s, t, h, why, off, p, n);
		return 0;
	}
	if (!keep_text(t, h, p, (size_t)r))
		h1s_refuse(s, t, 503, txn_code_name(TXN_NO_MEMORY), txn_code_text(TXN_NO_MEMORY));
	else
		begin(s, t, h);
	return (size_t)r;
}

/* Request body ----------------------------------------------------------------------------------
 * */

static void bad_body(struct h1s *s, enum h1_reason why, const uint8_t *p, size_t n)
{
	struct txn *t = s->t;

	refused_request(s->cl.vs, s->c, why, p, n, 0);
	s->keep = false;
	t->reason = h1_reason_code(why);
	s->abandoned = s->x->resp_head;
	if (s->x->resp_head)
		txn_abort(t, TXN_CLIENT_ABORT);
	else
		answer_error(t, h1_reason_status(why), h1_reason_code(why), h1_reason_text(why));
}

static bool is_too_much(struct h1s *s, size_t n)
{
	s->x->body_bytes += n;
	return s->cl.vs->max_body && s->x->body_bytes > s->cl.vs->max_body;
}

static void stop_for_room(struct h1s *s)
{
	if (!s->x->blocked && s->x->body_bytes)
		conn_pause(s->c);
	if (!s->x->blocked)
		s->x->blocked_us = room_now_us();
	s->x->blocked = true;
}

/* Content from p to the exchange; returns bytes taken. */
size_t h1s_feed(struct h1s *s, const uint8_t *p, size_t n)
{
	size_t taken = 0;

	while (s->t && !s->req_ended && !s->x->pump_wanted && taken < n) {
		struct str data = STR_NULL;
		enum h1_reason why = H1_OK;
		size_t used = 0;

		if (txn_room(s->t) == 0) {
			stop_for_room(s);
			return taken;
		}
		if (s->x->body.kind == HB_CHUNKED && !s->x->trailers)
			s->x->trailers = pool_zalloc(s->t->pool, sizeof(*s->x->trailers));
		if (h1_body_next(&s->x->body, p + taken, n - taken, &used, &data, s->t->pool,
				 s->x->trailers, &why) < 0) {
			bad_body(s, why, p + taken, n - taken);
			return n;
		}
		taken += used;
		if (is_too_much(s, data.n)) {
			s->keep = false;
			txn_fail(s->t, TXN_BODY_SIZE);
			return n;
		}
		s->req_ended = s->x->body.done;
		if (data.n)
			txn_data(s->t, data);
		if (s->req_ended && s->t)
			txn_end(s->t, s->x->trailers);
		if (!used && !data.n)
			break;
	}
	return taken;
}

uint64_t h1s_body_wait_ms(const struct h1s *s)
{
	/* It may wait for our own 100 before it sends anything. */
	if (s->t && s->t->req->expect_continue && !s->x->body_bytes)
		return s->cl.vs->body_timeout_ms + HTTP_CONTINUE_MS;
	return s->cl.vs->body_timeout_ms;
}

/* Only looked at when bytes come: silence is body-timeout's. */
static bool is_below_rate(const struct h1s *s)
{
	uint64_t us = room_now_us() - s->x->body_begin_us;

	return s->cl.vs->body_rate && us > RATE_GRACE_US &&
	       (__uint128_t)s->x->body_bytes * 1000000 < (__uint128_t)s->cl.vs->body_rate * us;
}

void h1s_after_feed(struct h1s *s, bool all)
{
	if (!s->t || s->req_ended || s->x->pump_wanted)
		return;
	if (s->x->blocked)
		return;
	if (is_below_rate(s)) {
		s->keep = false;
		txn_fail(s->t, TXN_CLIENT_SLOW);
		return;
	}
	conn_deadline(s->c, h1s_body_wait_ms(s));
	if (!all)
		return;
	if (s->x->body.kind == HB_LENGTH && s->x->body.left >= HTTP_SPLICE_MIN && !conn_is_tls(s->c) &&
	    !s->cl.vs->body_rate && txn_raw(s->t, TXN_REQ)) {
		s->x->pump_wanted = true;
		engine_defer(http_room.w.engine, &s->x->job);
		return;
	}
	conn_read_hint(s->c, s->x->body.kind == HB_LENGTH ? s->x->body.left : 0);
}

/* The rest of a request that was answered already. */
size_t h1s_discard(struct h1s *s, size_t n)
{
	size_t take = FL_MIN((uint64_t)n, s->x->body.left);

	s->x->body.left -= take;
	if (s->x->body.left == 0)
		h1s_next_request(s);
	return take;
}

/* Moving a request body unseen
 * ------------------------------------------------------------------- */

static void pump_progress(struct conn_pump *p, size_t n)
{
	struct h1s *s = p->owner;

	s->x->body.left -= FL_MIN(s->x->body.left, (uint64_t)n);
	s->x->body_bytes += n;
	if (s->state != S_BUSY || !s->t)
		return;
	conn_deadline(s->c, s->cl.vs->body_timeout_ms);
	txn_moved(s->t, TXN_REQ, n);
}

static void pump_done(struct conn_pump *p, int err, int side)
{
	struct h1s *s = p->owner;

	s->x->pumping = s->x->pump_wanted = false;
	if (s->state != S_BUSY || !s->t)
		return;
	if (!err) {
		s->req_ended = s->x->body.done = true;
		txn_end(s->t, NULL);
	} else if (side == 0) {
		txn_abort(s->t, TXN_CLIENT_ABORT);
	} else if (conn_is_dead(p->to)) {
		s->keep = false;
		s->x->blocked = true;      /* the service's mux is told next */
	} else {
		s->keep = false;
		txn_fail(s->t, TXN_NO_MEMORY);
	}
}

void h1s_start_pump(struct engine_job *j)
{
	struct h1s *s = FL_CONTAINER_OF(j, struct h1x, job)->s;
	struct conn *to;

	if (s->state != S_BUSY || !s->t || !s->x->pump_wanted || s->req_ended)
		return;
	to = txn_raw(s->t, TXN_REQ);
	s->x->pump = (struct conn_pump){
		.from = s->c, .to = to, .progress = pump_progress, .done = pump_done, .owner = s
	};
	if (to && conn_pump_start(&s->x->pump, s->x->body.left, HTTP_SPLICE_MIN) == 0) {
		s->x->pumping = true;
		return;
	}
	s->x->pump_wanted = false;
	conn_resume(s->c);
}
