/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steer.c - the host of every exchange in a worker: rules decide where it goes; the books when it
 * is over
 */
#include "config.h"

#include "base/env.h"
#include "base/err.h"
#include "http/answer.h"
#include "http/exchange.h"
#include "http/inside.h"
#include "http/module.h"
#include "stat/reason.h"

/* OPTIONS and TRACE that have come as far as they may (RFC 9110 section 7.6.2). True: answered or
 * changed for the next hop in *left. */
static bool is_last_hop(const struct txn *t, uint64_t *left)
{
	const struct http_field *f;

	*left = UINT64_MAX;
	if (t->req->method != HM_OPTIONS && t->req->method != HM_TRACE)
		return false;
	f = head_get(t->req, HF_MAX_FORWARDS);
	if (!f || !str_u64(f->value, left))
		return false;
	return (*left)-- == 0;
}

static void forward(struct txn *t, const struct pol_facts *f, uint64_t hops_left)
{
	struct http_head *fwd = forward_request(t, f);

	if (fwd && hops_left != UINT64_MAX) {
		char *text = pool_fmt(t->pool, "%llu", (unsigned long long)hops_left);

		if (!text || head_set(t->pool, fwd, STR("Max-Forwards"), str_c(text)) < 0)
			fwd = NULL;
	}
	if (fwd && module_on_forward(t, fwd) == 0)
		exchange_start(t, t->route.pool, fwd);
	else
		txn_fail(t, TXN_NO_MEMORY);
}

static void decide(struct txn *t)
{
	struct http_facts h FL_UNINIT;
	struct pol_facts f;
	uint64_t hops_left;

	FP_TEXT("request ", t->req->path);
	if (module_on_request(t))
		return;
	if (is_last_hop(t, &hops_left)) {
		answer_last_hop(t);
		return;
	}
	facts_of_txn(&f, &h, t);
	lb_route(t->vs, &f, NULL, NULL, NULL, true, &t->route);
	switch (t->route.v.act) {
	case POL_ACT_USE_POOL:
		forward(t, &f, hops_left);
		break;
	case POL_ACT_REJECT:
		stat_inc(t->vs->stat, CTR_VSERVER_DENIED);
		/* fall through */
	case POL_ACT_RESPOND:
	case POL_ACT_REDIRECT:
		answer_rule(t, t->route.v.final, &f);
		break;
	case POL_ACT_DROP:
	case POL_ACT_RESET:
		stat_inc(t->vs->stat, CTR_VSERVER_DENIED);
		txn_reset(t, TXN_DROPPED, t->route.v.act == POL_ACT_RESET);
		break;
	default:
		txn_fail(t, TXN_NO_ROUTE);
	}
}

static void response(struct txn *t, struct http_head *head)
{
	struct http_facts h FL_UNINIT;
	struct pol_facts f;

	module_on_response(t, head);
	facts_of_txn(&f, &h, t);
	forward_response(t, head, &f);
}

static void count_abort(const struct txn *t, unsigned of_vserver, unsigned of_service)
{
	stat_inc(t->vs->stat, of_vserver);
	if (t->service)
		stat_inc(t->service->stat, of_service);
}

static void finished(struct txn *t)
{
	struct stat_row *row = t->vs->stat;

	t->t_end_us = room_now_us();
	http_room.n_active--;
	stat_dec(row, CTR_VSERVER_REQ_CUR);
	stat_dec(http_room.w.proc, CTR_PROC_HTTP_CUR);
	if (t->status)
		stat_inc(row, status_counter(CTR_VSERVER_R1XX, t->status));
	if (t->t_first_us) {
		uint64_t us = t->t_first_us - t->t_head_us;

		stat_inc(row, CTR_VSERVER_TXNS);
		stat_add(row, CTR_VSERVER_TTFB_US, us);
		stat_max(row, CTR_VSERVER_TTFB_MAX_US, us);
	}
	stat_add(row, CTR_VSERVER_TIME_US, t->t_end_us - t->t_start_us);
	if (t->code)
		stat_reason(REFUSED_EXCHANGE, t->code - 1u);
	if (t->code == TXN_CLIENT_ABORT)
		count_abort(t, CTR_VSERVER_ABORT_CLIENT, CTR_SERVICE_ABORT_CLIENT);
	else if (t->code == TXN_CLIENT_SLOW)
		stat_inc(row, CTR_VSERVER_TIMEOUT_CLIENT);
	else if (t->code && t->code != TXN_CUT && t->flow[TXN_RESP].head && !t->answered)
		count_abort(t, CTR_VSERVER_ABORT_SERVER, CTR_SERVICE_ABORT_SERVER);
	module_on_finished(t);
	access_log_txn(t);
}

const struct txn_host steer_host = {
	.decide = decide,
	.response = response,
	.trailers = forward_trailers,
	.finished = finished,
};
