/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunnel.c - two connections that were HTTP become a relay (101, and every connection of a tcp
 * vserver)
 *
 * The relay starts at the end of the turn: both connections may be inside an upcall of their old
 * owner. Until then nothing is taken from them, so what they hold goes to the other side first.
 */
#include "config.h"

#include "http/inside.h"

#include "base/err.h"
#include "net/relay.h"

struct tunnel {
	struct conn      *client, *service;
	struct relay     *relay;
	struct engine_job job;
	uint64_t          idle_ms, to_service, to_client;
	int               err, side;
	bool              over;
	tunnel_done_fn    done;
	tunnel_moved_fn   moved;
	void             *ctx;
};

static size_t hold_data(struct conn *c, const uint8_t *p, size_t n)
{
	(void)c;
	(void)p;
	(void)n;
	return 0;
}

static void hold_error(struct conn *c, int err)
{
	struct tunnel *u = conn_owner(c);

	u->err = err;
	u->side = c == u->service;
}

static const struct conn_ops hold_ops = { .data = hold_data, .error = hold_error };

static void give_back(void *obj)
{
	slab_put(&http_room.s_tunnel, obj);
}

static void finish(struct tunnel *u, int err, int side)
{
	if (u->over)
		return;
	u->over = true;
	engine_free_later(http_room.w.engine, u, give_back);
	u->done(u->ctx, u->to_service, u->to_client, err, side);
}

static void relay_done(void *ctx, int err, int side)
{
	struct tunnel *u = ctx;

	u->relay = NULL;
	finish(u, err, side);
}

static void relay_progress(void *ctx, size_t a_to_b, size_t b_to_a)
{
	struct tunnel *u = ctx;

	u->to_service += a_to_b;
	u->to_client += b_to_a;
	if (u->moved)
		u->moved(u->ctx, a_to_b, b_to_a);
}

static void start(struct engine_job *j)
{
	static const struct relay_cb cb = { .done = relay_done, .progress = relay_progress };
	struct tunnel *u = FL_CONTAINER_OF(j, struct tunnel, job);
	struct conn *a = u->client, *b = u->service;

	u->client = u->service = NULL;
	if (u->err) {
		conn_abort(&a);
		conn_abort(&b);
		finish(u, u->err, u->side);
		return;
	}
	conn_resume(a);
	conn_resume(b);
	u->relay = relay_start(a, b, u->idle_ms, &cb, u);
	if (!u->relay)
		finish(u, FL_ENOMEM_, -1);
}

struct tunnel *tunnel_start(struct conn *client, struct conn *service, uint64_t idle_ms, tunnel_done_fn done,
			    tunnel_moved_fn moved, void *ctx)
{
	struct tunnel *u = slab_get(&http_room.s_tunnel);

	if (!u) {
		stat_inc(http_room.w.proc, CTR_PROC_NOMEM);
		conn_abort(&client);
		conn_abort(&service);
		return NULL;
	}
	u->client = client;
	u->service = service;
	u->idle_ms = idle_ms;
	u->done = done;
	u->moved = moved;
	u->ctx = ctx;
	conn_set_owner(client, &hold_ops, u);
	conn_set_owner(service, &hold_ops, u);
	engine_job_init(&u->job, start);
	engine_defer(http_room.w.engine, &u->job);
	return u;
}

void tunnel_cut(struct tunnel *u)
{
	if (u->over)
		return;
	u->over = true;
	engine_job_cancel(&u->job);
	conn_abort(&u->client);
	conn_abort(&u->service);
	relay_abort(&u->relay);
	engine_free_later(http_room.w.engine, u, give_back);
}

void tunnel_slab(struct slab *s)
{
	slab_init(s, "tunnel", sizeof(struct tunnel), 32, 0);
}
