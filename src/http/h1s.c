/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1s.c - the mux towards clients: HTTP/1.1 and 1.0, one exchange at a time, the next request
 * waits in the conn
 *
 *   IDLE --byte--> HEAD --head--> BUSY --response and request ended--> IDLE
 *     |              |              |--response ended, request nearly--> DISCARD --> IDLE
 *     `--- timeout, `-- 408 ---.    |--else, error, Connection: close--> lingering close
 *          close, hand-over     `-->'--101--> tunnel
 *
 * The end of the client's stream inside an exchange is an abort (ROBUSTNESS F27): the service is
 * told within the same turn. The codec proper is h1.h; who may answer what is behind the txn.
 */
#include "config.h"

#include "http/h1s.h"

#include "base/err.h"
#include "http/blocked.h"
#include "http/h1s_inside.h"

#define TURN_REQUESTS 64u              /* answered in one go before others have their turn */

static const struct conn_ops conn_ops;

/* Life ------------------------------------------------------------------------------------ */

static void give_back(void *obj)
{
	slab_put(&http_room.s_h1s, obj);
}

static void give_back_x(void *obj)
{
	slab_put(&http_room.s_h1x, obj);
}

/* At the end of the turn: whoever called is still inside it. */
static void drop_x(struct h1s *s)
{
	if (!s->x)
		return;
	engine_job_cancel(&s->x->job);
	engine_job_cancel(&s->x->again);
	engine_free_later(http_room.w.engine, s->x, give_back_x);
}

static void take_again(struct engine_job *j);

static bool need_x(struct h1s *s)
{
	if (s->x)
		return true;
	s->x = slab_get(&http_room.s_h1x);
	if (!s->x) {
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		return false;
	}
	s->x->s = s;
	engine_job_init(&s->x->job, h1s_start_pump);
	engine_job_init(&s->x->again, take_again);
	return true;
}

void h1s_count_bytes(struct h1s *s)
{
	uint64_t in = s->c ? conn_bytes_in(s->c) : s->in_counted;

	stat_add(s->cl.vs->stat, CTR_VSERVER_BYTES_IN, in - s->in_counted);
	stat_add(http_room.w.proc, CTR_PROC_HTTP_IN, in - s->in_counted);
	s->in_counted = in;
	if (!s->x)
		return;
	stat_add(s->cl.vs->stat, CTR_VSERVER_BYTES_OUT, s->x->written);
	stat_add(http_room.w.proc, CTR_PROC_HTTP_OUT, s->x->written);
	s->x->written = 0;
}

void h1s_gone(struct h1s *s)
{
	if (s->state == S_GONE)
		return;
	s->state = S_GONE;
	drop_x(s);
	room_client_del(&s->cl);
	engine_free_later(http_room.w.engine, s, give_back);
}

void h1s_close(struct h1s *s, bool reset)
{
	if (s->state == S_GONE)
		return;
	h1s_count_bytes(s);
	if (reset)
		conn_abort(&s->c);
	else
		conn_close(&s->c);
	h1s_gone(s);
}

/* Between requests --------------------------------------------------------------------------- */

void h1s_next_request(struct h1s *s)
{
	if (FL_UNLIKELY(s->eof) && !s->in_data && !conn_kept(s->c)) {
		h1s_close(s, false);    /* nothing more will come */
		return;
	}
	s->state = S_IDLE;
	drop_x(s);
	s->x = NULL;
	conn_deadline(s->c, s->cl.vs->idle_timeout_ms);
	if (!s->in_data && conn_has_input(s->c))
		conn_resume(s->c);
}

bool h1s_is_discardable(const struct h1s *s)
{
	return s->x->body.kind == HB_LENGTH && s->x->body.left <= H1S_DISCARD_MAX && !s->x->pump_wanted;
}

void h1s_closed(struct txn *t)
{
	struct h1s *s = t->down;

	s->x->written += t->flow[TXN_RESP].bytes - s->x->data_written;        /* what was moved unseen */
	s->t = NULL;
	if (s->state == S_GONE)
		return;
	if (s->cut || !s->x->resp_ended || s->x->tunnel || s->abandoned) {
		/* A body that only the end delimits looks whole unless the end is a reset. */
		bool torn = s->x->resp_head && s->x->resp_delimited && !s->x->resp_ended;

		h1s_close(s, s->cut == CUT_RESET || !s->cut || torn);
		return;
	}
	h1s_count_bytes(s);
	s->n_requests++;
	if (!s->keep && s->req_ended && s->x->said_close)
		conn_expect_no_more(s->c);
	if (!s->keep || (!s->req_ended && !h1s_is_discardable(s))) {
		h1s_close(s, false);
	} else if (!s->req_ended) {
		s->state = S_DISCARD;
		conn_deadline(s->c, s->cl.vs->body_timeout_ms);
		if (!s->in_data)
			conn_resume(s->c);
	} else {
		h1s_next_request(s);
	}
}

/* From the connection ------------------------------------------------------------------------- */

/* Answers wait that the client does not take: no request is begun before it does. */
static void wait_for_peer(struct h1s *s)
{
	s->stalled = true;
	s->x->last_acked = UINT64_MAX;
	conn_pause(s->c);
	conn_deadline(s->c, s->cl.vs->body_timeout_ms);
}

static void stalled_timeout(struct h1s *s)
{
	uint64_t acked = 0;

	if (room_peer_owes(s->c, &acked) && acked == s->x->last_acked) {
		h1s_close(s, true);
		return;
	}
	s->x->last_acked = acked;
	conn_deadline(s->c, s->cl.vs->body_timeout_ms);
}

/* Input that was kept when the client ended its side: what is not whole by now never will be. */
static size_t after_end(struct h1s *s, size_t done, size_t n)
{
	if (s->state != S_BUSY) {
		h1s_close(s, false);
		return n;
	}
	if (s->t && !s->req_ended && done == n) {
		txn_abort(s->t, TXN_CLIENT_ABORT);
		return n;
	}
	return done;
}

static size_t take_input(struct h1s *s, const uint8_t *p, size_t n)
{
	size_t done = 0;
	unsigned turns = 0;

	while (done < n) {
		size_t used = 0;

		if (s->state == S_IDLE && !need_x(s)) {
			h1s_close(s, true);
			return n;
		}
		if (s->state == S_IDLE && conn_pending(s->c) >= HTTP_WRITE_MAX) {
			wait_for_peer(s);
			return done;
		}
		if (s->state == S_IDLE) {
			if (turns++ == TURN_REQUESTS) {
				engine_defer(http_room.w.engine, &s->x->again);
				return done;
			}
			s->state = S_HEAD;
			s->x->first_byte_us = room_now_us();
		}
		if (s->state == S_HEAD) {
			bool waited = s->x->seen > 0;

			used = h1s_read_head(s, p + done, n - done);
			if (s->state == S_HEAD && !waited)
				conn_deadline(s->c, s->cl.vs->head_timeout_ms);
		} else if (s->state == S_BUSY) {
			used = s->req_ended || s->x->pump_wanted ? 0 : h1s_feed(s, p + done, n - done);
		} else if (s->state == S_DISCARD) {
			used = h1s_discard(s, n - done);
		}
		if (s->state == S_GONE)
			return n;
		done += used;
		if (!used)
			break;
	}
	if (FL_UNLIKELY(s->eof))
		return after_end(s, done, n);
	if (s->state == S_BUSY)
		h1s_after_feed(s, done == n);
	return done;
}

/* What the turn's budget left is in the conn by now. */
static void take_again(struct engine_job *j)
{
	struct h1s *s = FL_CONTAINER_OF(j, struct h1x, again)->s;

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

/* half-close serve: is there a whole request, or kept bytes that may be the rest of one? Under TLS a FIN
 * without close_notify is a cut. */
static bool is_served(const struct h1s *s)
{
	if (!conn_eof_clean(s->c))
		return false;
	if (s->state == S_BUSY)
		return s->t && (s->req_ended || conn_kept(s->c));
	return s->state == S_IDLE && conn_kept(s->c);
}

static void on_eof(struct conn *c)
{
	struct h1s *s = conn_owner(c);

	s->eof = true;
	if (s->cl.vs->half_close && is_served(s))
		return;
	if (s->state == S_BUSY && s->t)
		txn_abort(s->t, TXN_CLIENT_ABORT);
	else
		h1s_close(s, false);
}

static void on_error(struct conn *c, int err)
{
	struct h1s *s = conn_owner(c);

	(void)err;
	room_count_tls(&s->cl, c);
	s->abandoned = true;
	if (s->state == S_BUSY && s->t)
		txn_abort(s->t, TXN_CLIENT_ABORT);
	else
		h1s_close(s, false);
}

static void on_drained(struct conn *c)
{
	struct h1s *s = conn_owner(c);

	if (s->state == S_BUSY && s->t) {
		txn_credit(s->t);
	} else if (s->stalled) {
		s->stalled = false;
		conn_deadline(c, s->cl.vs->idle_timeout_ms);
		conn_resume(c);
	}
}

/* Is it the client that the request's body waits for? A service that is slow to take it is a
 * matter of its mux. */
static bool takes_more(const struct h1s *s)
{
	uint64_t acked;

	if (s->x->pumping)
		return s->x->pump.priv && !room_peer_owes(s->x->pump.to, &acked);
	return !s->x->pump_wanted && txn_room(s->t) > 0;
}

static void busy_timeout(struct h1s *s)
{
	uint64_t acked = 0;
	bool waits_for_body = !s->req_ended && !s->x->blocked && takes_more(s);

	if (waits_for_body) {
		s->keep = false;
		txn_fail(s->t, TXN_CLIENT_SLOW);
	} else if (s->x->resp_head && room_peer_owes(s->c, &acked) && acked == s->x->last_acked) {
		txn_abort(s->t, TXN_CLIENT_SLOW);
	} else {
		s->x->last_acked = acked;
		conn_deadline(s->c, s->cl.vs->body_timeout_ms);
	}
}

static void on_timeout(struct conn *c)
{
	struct h1s *s = conn_owner(c);
	struct txn *t;

	switch (s->state) {
	case S_HEAD:
		t = txn_new(&steer_host, &h1s_down_ops, s);
		if (!t) {
			h1s_close(s, true);
			return;
		}
		t->code = TXN_CLIENT_SLOW;
		h1s_refuse(s, t, 408, txn_code_name(TXN_CLIENT_SLOW),
			   txn_code_text(TXN_CLIENT_SLOW));
		break;
	case S_BUSY:
		if (s->t)
			busy_timeout(s);
		break;
	default:
		if (s->stalled)
			stalled_timeout(s);
		else
			h1s_close(s, false);
	}
}

/* Under TLS the handshake had its own deadline, and the request comes behind it. */
static void on_ready(struct conn *c)
{
	const struct h1s *s = conn_owner(c);

	if (conn_is_tls(c))
		conn_deadline(c, s->cl.vs->head_timeout_ms);
}

static void tell(const struct conn *c, struct sb *out)
{
	const struct h1s *s = conn_owner(c);

	if (s->t && s->t->req && s->t->req->method_s.n)
		shape_request(s->cl.vs, s->t->req, out);
	else
		shape_client(s->cl.vs, conn_peer(c), out);
}

static const struct conn_ops conn_ops = {
	.data = on_data,
	.eof = on_eof,
	.drained = on_drained,
	.ready = on_ready,
	.error = on_error,
	.timeout = on_timeout,
	.tell = tell,
};

/* The list's hooks
 * ------------------------------------------------------------------------------- */

static bool hand_over(struct http_client *cl)
{
	struct h1s *s = FL_CONTAINER_OF(cl, struct h1s, cl);
	struct addr peer, local;
	int fd;

	if (s->state != S_IDLE)
		return true;
	if (!http_room.give) {
		if (conn_check_idle(s->c))
			h1s_close(s, false);
		return true;
	}
	if (conn_is_tls(s->c))
		return true;
	peer = *conn_peer(s->c);
	local = *conn_local(s->c);
	h1s_count_bytes(s);
	fd = conn_detach(&s->c);
	if (fd < 0)
		return true;
	if (http_room.give(http_room.give_ctx, fd, room_listen_name(cl->listener, s->cl.vs),
			   &peer)) {
		stat_inc(http_room.w.proc, CTR_PROC_HANDED_OVER);
		h1s_gone(s);
		return true;
	}
	s->in_counted = 0;
	s->c = conn_accept(http_room.w.engine, fd, &peer, &local, NULL);
	if (!s->c) {
		h1s_gone(s);
		return false;
	}
	conn_start(s->c, &conn_ops, s);
	conn_deadline(s->c, s->cl.vs->idle_timeout_ms);
	return false;
}

static void cut(struct http_client *cl)
{
	struct h1s *s = FL_CONTAINER_OF(cl, struct h1s, cl);
	struct txn *t = s->t;

	if (s->x && s->x->tunnel) {
		tunnel_cut(s->x->tunnel);
		s->x->tunnel = NULL;
		h1s_gone(s);
	}
	if (t)
		txn_abort(t, TXN_CUT);
	else
		h1s_close(s, false);
}

static const struct http_client_ops client_list_ops = { .hand_over = hand_over, .cut = cut };

void h1s_accept(struct lb_vserver *vs, struct listener *l, struct conn *c)
{
	struct h1s *s = slab_get(&http_room.s_h1s);

	if (!s) {
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		conn_abort(&c);
		return;
	}
	s->c = c;
	s->cl.ops = &client_list_ops;
	if (is_blocked_client(vs, conn_peer(c)) || !room_client_add(&s->cl, vs, l)) {
		slab_put(&http_room.s_h1s, s);
		conn_abort(&c);
		return;
	}
	conn_count(c, vs->stat, &room_client_counters);
	conn_start(c, &conn_ops, s);
	conn_deadline(c, room_begin_ms(vs, c));
}

void h1s_slab(struct slab *s, struct slab *x)
{
	slab_init(s, "h1s", sizeof(struct h1s), 64, 0);
	slab_init(x, "h1x", sizeof(struct h1x), 32, 0);
}
