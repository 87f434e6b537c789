/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.c - layer 4: two endless pumps (see relay.h)
 *
 *   both open --EOF of one side--> FIN to the other, half open --EOF of that--> closed (0)
 *        \--error----------------------------------------------------------> reset (err)
 *        \--idle timeout---------------------------------------------------> closed (err)
 *
 * Whatever breaks one side becomes a reset of both: a FIN would tell that the stream is whole. So does a
 * TLS stream that ends without close_notify. An idle relay owes nothing and ends in order.
 */
#include "config.h"

#include "net/relay.h"

#include "base/env.h"
#include "base/err.h"

#define SPLICE_FROM (1024 * 1024)

struct relay {
	struct conn_pump ab, ba;
	struct conn     *a, *b;
	bool             ab_done, ba_done;
	uint64_t         idle_ms;
	struct timer     idle;
	struct relay_cb  cb;
	void            *ctx;
	struct engine   *e;
};

static void free_relay(void *obj)
{
	env_free(obj);
}

static void end(struct relay *r, int err, int side, bool broken)
{
	void (*done)(void *, int, int) = r->cb.done;

	timer_stop(&r->idle);
	if (broken) {
		conn_abort(&r->a);
		conn_abort(&r->b);
	} else {
		conn_close(&r->a);
		conn_close(&r->b);
	}
	engine_free_later(r->e, r, free_relay);
	if (done)
		done(r->ctx, err, side);
}

static void on_done(struct conn_pump *p, int err, int side)
{
	struct relay *r = p->owner;
	bool is_ab = p == &r->ab;

	if (err < 0) {
		/* side counts from the pump's source */
		end(r, err, is_ab ? side : 1 - side, true);
		return;
	}
	if (is_ab)
		r->ab_done = true;
	else
		r->ba_done = true;
	if (r->ab_done && r->ba_done)
		end(r, 0, -1, false);
	else
		conn_shutdown(p->to);
}

static void on_progress(struct conn_pump *p, size_t n)
{
	struct relay *r = p->owner;

	if (r->idle_ms)
		engine_timer(r->e, &r->idle, r->idle_ms);
	if (r->cb.progress)
		r->cb.progress(r->ctx, p == &r->ab ? n : 0, p == &r->ba ? n : 0);
}

static void on_idle(struct timer *t)
{
	end(FL_CONTAINER_OF(t, struct relay, idle), FL_ETIMEOUT_, -1, false);
}

/* Direct upcalls come only when no pump is left to tell: one direction is done and its conn breaks. */
static void on_error(struct conn *c, int err)
{
	struct relay *r = conn_owner(c);

	end(r, err, c == r->b, true);
}

static size_t on_data(struct conn *c, const uint8_t *p, size_t n)
{
	(void)c;
	(void)p;
	(void)n;
	return 0;
}

static const struct conn_ops relay_ops = { .data = on_data, .error = on_error };

struct relay *relay_start(struct conn *a, struct conn *b, uint64_t idle_ms,
			  const struct relay_cb *cb, void *ctx)
{
	struct relay *r = env_calloc(1, sizeof(*r));

	if (!r) {
		conn_close(&a);
		conn_close(&b);
		return NULL;
	}
	*r = (struct relay){
		.ab = { .from = a, .to = b, .progress = on_progress, .done = on_done, .owner = r },
		.ba = { .from = b, .to = a, .progress = on_progress, .done = on_done, .owner = r },
		.a = a, .b = b, .idle_ms = idle_ms, .cb = *cb, .ctx = ctx, .e = conn_engine(a),
	};
	timer_init(&r->idle, on_idle);
	conn_set_owner(a, &relay_ops, r);
	conn_set_owner(b, &relay_ops, r);
	conn_deadline(a, 0);
	conn_deadline(b, 0);
	if (conn_pump_start(&r->ab, UINT64_MAX, SPLICE_FROM) < 0 ||
	    conn_pump_start(&r->ba, UINT64_MAX, SPLICE_FROM) < 0) {
		conn_close(&r->a);
		conn_close(&r->b);
		env_free(r);
		return NULL;
	}
	if (idle_ms)
		engine_timer(r->e, &r->idle, idle_ms);
	return r;
}

void relay_abort(struct relay **rp)
{
	struct relay *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	timer_stop(&r->idle);
	conn_abort(&r->a);
	conn_abort(&r->b);
	engine_free_later(r->e, r, free_relay);
}
