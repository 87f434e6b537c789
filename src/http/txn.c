/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn.c - the plumbing of one exchange between a client mux and a service side (see txn.h)
 *
 *   begin --decide--> forwarded --up_head--> responding --up_end--> over
 *              |           |                     |
 *              `-answer----'--up_fail: error     `--up_fail: reset --> over
 *
 * The response decides the end: when it ended or was reset the exchange is over, whatever is
 * missing of the request. Regions are recycled in a small stack, so a request normally costs no
 * malloc.
 */
#include "config.h"

#include "http/txn.h"

#include "base/env.h"
#include "http/answer.h"

#define TXN_MAGIC     0x74786e31u
#define TXN_MEM_MAX   (512u * 1024)     /* of one exchange */
/* enough for the usual exchange: no malloc while requests come and go */
#define TXN_MEM_FIRST 12288u
#define SPARE_POOLS   256

static struct pool *spare[SPARE_POOLS];
static unsigned n_spare;

static const struct {
	unsigned    status;
	const char *name, *text;
} codes[TXN__COUNT] = {
	[TXN_OK] = { 0, "", "" },
#define T(id, status, code, text) [TXN_##id] = { status, code, text },
#include "tbl/txn_codes.def"
#undef T
};

unsigned txn_code_status(enum txn_code c)
{
	return codes[c].status;
}

const char *txn_code_name(enum txn_code c)
{
	return codes[c].name;
}

const char *txn_code_text(enum txn_code c)
{
	return codes[c].text;
}

struct txn *txn_new(const struct txn_host *host, const struct txn_down_ops *ops, void *down)
{
	struct pool *p =
		n_spare ? spare[--n_spare] : pool_new_sized("txn", TXN_MEM_MAX, TXN_MEM_FIRST);
	struct txn *t = p ? pool_zalloc(p, sizeof(*t)) : NULL;

	if (!t) {
		pool_free(&p);
		return NULL;
	}
	t->magic = TXN_MAGIC;
	t->pool = p;
	t->host = host;
	t->down_ops = ops;
	t->down = down;
	return t;
}

void txn_fini(void)
{
	while (n_spare)
		pool_free(&spare[--n_spare]);
}

static void enter(struct txn *t)
{
	ASSERT(t->magic == TXN_MAGIC);
	t->depth++;
}

/* The last one out frees it. */
static void leave(struct txn *t)
{
	struct pool *p = t->pool;

	if (--t->depth || !t->over)
		return;
	t->magic = 0;
	if (n_spare < SPARE_POOLS) {
		pool_reset(p);
		spare[n_spare++] = p;
	} else {
		pool_free(&p);
	}
}

void txn_hold(struct txn *t)
{
	enter(t);
}

void txn_release(struct txn *t)
{
	leave(t);
}

void txn_discard(struct txn **tp)
{
	struct txn *t = *tp;

	*tp = NULL;
	ASSERT(!t->depth && !t->req);
	enter(t);
	t->over = true;
	leave(t);
}

static void drop_up(struct txn *t, enum txn_code why)
{
	if (!t->up_ops || t->up_gone)
		return;
	t->up_gone = true;
	t->up_ops->reset(t, why);
}

static void finish(struct txn *t)
{
	if (t->over)
		return;
	t->over = true;
	drop_up(t, t->code);
	t->host->finished(t);
	for (struct filter *f = t->filters; f; f = f->next)
		if (f->ops->done)
			f->ops->done(f);
	t->down_ops->closed(t);
}

/* Filters --------------------------------------------------------------------------------- */

void txn_add_filter(struct txn *t, struct filter *f)
{
	struct filter **at = &t->filters;

	while (*at)
		at = &(*at)->next;
	f->txn = t;
	f->next = NULL;
	f->need[TXN_REQ] = f->need[TXN_RESP] = FILTER_NONE;
	*at = f;
}

/* The bytes will not be those that the origin meant: a strong validator would lie (RFC 9110
 * 8.8.1). */
static void weaken_etag(struct txn *t, struct http_head *h)
{
	const struct http_field *e = head_get(h, HF_ETAG);
	char *weak;

	if (!e || str_starts(e->value, STR("W/")))
		return;
	weak = pool_fmt(t->pool, "W/" STR_FMT, STR_ARG(e->value));
	if (!weak || head_set(t->pool, h, STR("ETag"), str_c(weak)) < 0)
		head_remove(h, STR("ETag"));
}

static void ask_filters(struct txn *t, enum txn_dir d, struct http_head *h)
{
	bool rewrite = false;

	for (struct filter *f = t->filters; f; f = f->next) {
		f->need[d] = f->ops->head ? f->ops->head(f, d, h) : FILTER_NONE;
		rewrite |= f->need[d] == FILTER_REWRITE;
	}
	if (!rewrite || h->body == HB_NONE)
		return;
	h->body = HB_CHUNKED;
	h->length = 0;
	head_remove(h, STR("Content-Length"));
	weaken_etag(t, h);
}

static void deliver(struct txn *t, enum txn_dir d, struct str s)
{
	if (!s.n || t->over)
		return;
	t->flow[d].bytes += s.n;
	if (d == TXN_RESP)
		t->down_ops->data(t, s);
	else if (!t->up_gone)
		t->up_ops->data(t, s);
}

static void run_data(struct txn *t, struct filter *f, enum txn_dir d, struct str s)
{
	for (; f && !t->over; f = f->next)
		switch (f->need[d]) {
		case FILTER_NONE:
		case FILTER_DONE:
			break;
		case FILTER_LENGTH:
			f->ops->data(f, d, str_n(NULL, s.n));
			break;
		case FILTER_READ:
			f->need[d] = f->ops->data(f, d, s);
			break;
		case FILTER_REWRITE:
			/* the rest of the chain runs in filter_emit() */
			f->need[d] = f->ops->data(f, d, s);
			return;
		}
	deliver(t, d, s);
}

void filter_emit(struct filter *f, enum txn_dir d, struct str s)
{
	run_data(f->txn, f->next, d, s);
}

static void run_end(struct txn *t, enum txn_dir d)
{
	for (struct filter *f = t->filters; f && !t->over; f = f->next)
		if (f->ops->end && f->need[d] != FILTER_NONE)
			f->ops->end(f, d);
}

static void check_trailers(struct txn *t, enum txn_dir d, struct http_head *trailers)
{
	if (trailers && trailers->n_fields && t->host->trailers)
		t->host->trailers(t, d, trailers);
}

void *txn_raw(struct txn *t, enum txn_dir d)
{
	if (t->over || t->flow[d].ended)
		return NULL;
	for (struct filter *f = t->filters; f; f = f->next)
		if (f->need[d] == FILTER_READ || f->need[d] == FILTER_REWRITE)
			return NULL;
	if (d == TXN_RESP)
		return t->down_ops->raw ? t->down_ops->raw(t) : NULL;
	return t->up_ops && !t->up_gone && t->up_ops->raw ? t->up_ops->raw(t) : NULL;
}

void txn_moved(struct txn *t, enum txn_dir d, size_t n)
{
	t->flow[d].bytes += n;
	for (struct filter *f = t->filters; f; f = f->next)
		if (f->need[d] == FILTER_LENGTH)
			f->ops->data(f, d, str_n(NULL, n));
}

/* From the client -------------------------------------------------------------------------- */

void txn_begin(struct txn *t, struct http_head *h, bool ended)
{
	enter(t);
	t->req = h;
	t->flow[TXN_REQ].ended = ended;
	t->in_begin = true;
	t->host->decide(t);
	t->in_begin = false;
	ASSERT(t->over || t->up_ops);
	leave(t);
}

size_t txn_room(struct txn *t)
{
	return t->over || !t->up_ops || t->up_gone ? 0 : t->up_ops->room(t);
}

void txn_data(struct txn *t, struct str s)
{
	enter(t);
	if (!t->over && !t->flow[TXN_REQ].ended)
		run_data(t, t->filters, TXN_REQ, s);
	leave(t);
}

void txn_end(struct txn *t, struct http_head *trailers)
{
	enter(t);
	if (!t->over && !t->flow[TXN_REQ].ended) {
		run_end(t, TXN_REQ);
		t->flow[TXN_REQ].ended = true;
		if (!t->over && !t->up_gone) {
			check_trailers(t, TXN_REQ, trailers);
			t->up_ops->end(t, trailers);
		}
	}
	leave(t);
}

void txn_abort(struct txn *t, enum txn_code why)
{
	enter(t);
	if (!t->over) {
		t->code = why;
		finish(t);
	}
	leave(t);
}

void txn_credit(struct txn *t)
{
	enter(t);
	if (!t->over && t->up_ops && !t->up_gone)
		t->up_ops->credit(t);
	leave(t);
}

void txn_tunnel_end(struct txn *t, uint64_t to_service, uint64_t to_client, enum txn_code why)
{
	enter(t);
	t->flow[TXN_REQ].bytes += to_service;
	t->flow[TXN_RESP].bytes += to_client;
	t->code = why;
	finish(t);
	leave(t);
}

/* From the service ------------------------------------------------------------------------- */

static void become_tunnel(struct txn *t)
{
	void *transport = t->up_ops->yield ? t->up_ops->yield(t) : NULL;

	if (!transport || !t->down_ops->join) {
		t->code = TXN_SERVICE_BAD;
		t->down_ops->reset(t, t->code, false);
		finish(t);
		return;
	}
	t->tunnel = true;
	t->down_ops->join(t, transport);
}

static void respond(struct txn *t, struct http_head *h)
{
	t->flow[TXN_RESP].head = true;
	t->status = h->status;
	if (h->body == HB_CLOSE)
		h->body = HB_CHUNKED;
	t->resp = h;
	if (t->host->response)
		t->host->response(t, h);
	ask_filters(t, TXN_RESP, h);
	if (t->keep_resp)
		t->resp = head_copy(t->pool, h);
	else
		t->resp = NULL;
	t->down_ops->head(t, h);
}

void txn_up_head(struct txn *t, struct http_head *h)
{
	enter(t);
	if (!t->over && !t->flow[TXN_RESP].head) {
		respond(t, h);
		if (h->status == 101 && !t->over)
			become_tunnel(t);
	}
	leave(t);
}

void txn_up_info(struct txn *t, const struct http_head *h)
{
	enter(t);
	if (!t->over && !t->flow[TXN_RESP].head)
		t->down_ops->info(t, h);
	leave(t);
}

size_t txn_up_room(struct txn *t)
{
	return t->over ? 0 : t->down_ops->room(t);
}

void txn_up_data(struct txn *t, struct str s)
{
	enter(t);
	if (!t->over)
		run_data(t, t->filters, TXN_RESP, s);
	leave(t);
}

void txn_up_end(struct txn *t, struct http_head *trailers)
{
	enter(t);
	if (!t->over) {
		run_end(t, TXN_RESP);
		t->flow[TXN_RESP].ended = true;
	}
	if (!t->over) {
		check_trailers(t, TXN_RESP, trailers);
		t->down_ops->end(t, trailers);
		finish(t);
	}
	leave(t);
}

void txn_up_fail(struct txn *t, enum txn_code why)
{
	enter(t);
	t->up_gone = true;
	if (!t->over)
		txn_fail(t, why);
	leave(t);
}

void txn_up_credit(struct txn *t)
{
	enter(t);
	if (!t->over && !t->flow[TXN_REQ].ended)
		t->down_ops->credit(t);
	leave(t);
}

/* From the host ---------------------------------------------------------------------------- */

void txn_forward(struct txn *t, struct http_head *fwd, const struct txn_up_ops *ops, void *up)
{
	enter(t);
	ASSERT(!t->up_ops && !t->over);
	t->up_ops = ops;
	t->up = up;
	t->fwd = fwd;
	ask_filters(t, TXN_REQ, fwd);
	t->flow[TXN_REQ].head = true;
	ops->head(t, fwd);
	if (!t->over && !t->up_gone && t->flow[TXN_REQ].ended) {
		run_end(t, TXN_REQ);
		ops->end(t, NULL);
	}
	leave(t);
}

void txn_answer(struct txn *t, struct http_head *h, struct str body)
{
	enter(t);
	ASSERT(!t->flow[TXN_RESP].head);
	if (!t->over) {
		bool content = h->status >= 200 && h->status != 204 && h->status != 304;

		t->answered = true;
		t->flow[TXN_RESP].head = true;
		t->status = h->status;
		drop_up(t, t->code ? t->code : TXN_DENIED);
		h->is_response = true;
		h->body = content ? HB_LENGTH : HB_NONE;
		h->length = content ? body.n : 0;
		if (t->keep_resp)
			t->resp = h;
		t->down_ops->head(t, h);
		if (content && t->req->method != HM_HEAD)
			deliver(t, TXN_RESP, body);
		if (!t->over) {
			t->flow[TXN_RESP].ended = true;
			t->down_ops->end(t, NULL);
		}
		finish(t);
	}
	leave(t);
}

void txn_reset(struct txn *t, enum txn_code why, bool hard)
{
	enter(t);
	if (!t->over) {
		t->code = why;
		t->down_ops->reset(t, why, hard);
		finish(t);
	}
	leave(t);
}

void txn_fail(struct txn *t, enum txn_code why)
{
	enter(t);
	if (!t->over) {
		t->code = why;
		if (t->flow[TXN_RESP].head || !codes[why].status) {
			t->down_ops->reset(t, why, false);
			finish(t);
		} else {
			answer_error(t, codes[why].status, codes[why].name, codes[why].text);
		}
	}
	leave(t);
}
