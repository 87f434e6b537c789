/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1s_resp.c - responses to a client: from the txn to bytes, framed as the client understands it
 *
 * HTTP/1.1 clients get chunks where the length is not known, HTTP/1.0 ones a body that the end of
 * the connection delimits. 101 makes the connection a tunnel.
 */
#include "config.h"

#include "base/err.h"
#include "http/h1s_inside.h"

/* From the txn
 * ----------------------------------------------------------------------------------- */

static void write_out(struct h1s *s, const void *p, size_t n)
{
	if (s->cut || conn_is_dead(s->c))
		return;
	if (conn_write(s->c, p, n) < 0) {
		s->cut = CUT_RESET;             /* no memory: the answer cannot be finished */
		return;
	}
	s->x->written += n;
}

static bool will_keep(const struct h1s *s)
{
	bool told = http_room.draining &&
		    (conn_is_tls(s->c) || !http_room.give || http_room.give_failed);

	return s->keep && !told && (!s->eof || conn_kept(s->c)) &&
	       (s->req_ended || (h1s_is_discardable(s) && !s->t->req->expect_continue));
}

static void down_head(struct txn *t, const struct http_head *h)
{
	struct h1s *s = t->down;
	struct http_head o = *h;
	struct sb b;

	s->x->resp_head = true;
	s->keep = will_keep(s);
	if (t->req->method == HM_HEAD || h->body != HB_CHUNKED) {
		s->x->resp_chunked = false;
	} else if (s->x->http10) {
		o.body = HB_CLOSE;
		s->x->resp_delimited = true;
		s->keep = false;
	} else {
		s->x->resp_chunked = true;
	}
	sb_init(&b, http_room.out, HTTP_HEAD_OUT);
	h1_put_response(&b, &o, !s->keep && h->status != 101, s->x->http10);
	if (b.over)
		s->cut = CUT_CLOSE;
	else
		write_out(s, b.p, b.n);
}

static void down_info(struct txn *t, const struct http_head *h)
{
	struct h1s *s = t->down;
	struct sb b;

	stat_inc(s->cl.vs->stat, CTR_VSERVER_R1XX);
	if (s->x->http10)
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

	s->x->data_written += d.n;
	if (s->x->resp_chunked) {
		write_out(s, size, h1_put_chunk_size(size, d.n));
		write_out(s, d.p, d.n);
		write_out(s, "\r\n", 2);
	} else {
		write_out(s, d.p, d.n);
	}
	if (conn_pending(s->c) >= HTTP_WRITE_MAX)
		conn_deadline(s->c, s->cl.vs->body_timeout_ms);
}

static void down_end(struct txn *t, const struct http_head *trailers)
{
	struct h1s *s = t->down;
	struct sb b;

	if (s->x->resp_chunked) {
		sb_init(&b, http_room.out, HTTP_HEAD_OUT);
		h1_put_last_chunk(&b, trailers);
		if (b.over)
			s->cut = CUT_CLOSE;
		write_out(s, b.p, b.n);
	}
	s->x->resp_ended = !s->cut;
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

	if (!s->x->blocked || s->state != S_BUSY)
		return;
	s->x->blocked = false;
	s->x->body_begin_us += room_now_us() - s->x->blocked_us;      /* our wait is not the client's rate */
	conn_resume(s->c);
	conn_deadline(s->c, h1s_body_wait_ms(s));
}

static void *down_raw(struct txn *t)
{
	struct h1s *s = t->down;

	if (!s->c || conn_is_tls(s->c) || s->x->resp_chunked || s->cut || conn_is_dead(s->c))
		return NULL;
	/* What is spliced passes unseen: from now on the deadline asks whether the client takes it. */
	conn_deadline(s->c, s->cl.vs->body_timeout_ms);
	return s->c;
}

static void tunnel_done(void *ctx, uint64_t to_service, uint64_t to_client, int err, int side)
{
	struct h1s *s = ctx;

	s->x->tunnel = NULL;
	stat_add(s->cl.vs->stat, CTR_VSERVER_BYTES_IN, to_service);
	stat_add(http_room.w.proc, CTR_PROC_HTTP_IN, to_service);
	if (err == FL_ETLS_ && side == 0)
		stat_inc(s->cl.lrow, CTR_LISTENER_TLS_FAIL);
	h1s_gone(s);
	txn_tunnel_end(s->t, to_service, to_client,
		       !err        ? TXN_OK
		       : side == 0 ? TXN_CLIENT_ABORT
		       : side == 1 ? TXN_SERVICE_CUT
				   : TXN_CUT);
	stat_add(s->cl.vs->stat, CTR_VSERVER_BYTES_OUT, s->x->written);
	stat_add(http_room.w.proc, CTR_PROC_HTTP_OUT, s->x->written);
}

static void down_join(struct txn *t, void *transport)
{
	struct h1s *s = t->down;
	struct conn *service = transport;

	stat_inc(s->cl.vs->stat, CTR_VSERVER_UPGRADES);
	h1s_count_bytes(s);
	if (s->cut) {
		conn_abort(&service);
		txn_abort(t, TXN_NO_MEMORY);
		return;
	}
	s->x->tunnel = tunnel_start(s->c, service, s->cl.vs->idle_timeout_ms, tunnel_done, NULL, s);
	s->c = NULL;
	if (!s->x->tunnel) {
		h1s_gone(s);
		txn_abort(t, TXN_NO_MEMORY);
	}
}

const struct txn_down_ops h1s_down_ops = {
	.head = down_head,
	.info = down_info,
	.data = down_data,
	.end = down_end,
	.reset = down_reset,
	.room = down_room,
	.credit = down_credit,
	.raw = down_raw,
	.join = down_join,
	.closed = h1s_closed,
};
