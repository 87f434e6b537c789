/* SPDX-License-Identifier: Apache-2.0 */
/*
 * web.c - HTTP admin: /metrics, /ready, /stats;csv, a read-only page
 *
 * GET and HEAD only; nothing is changed over HTTP. Requests are read by the codec of the data
 * path. Keep-alive, one request at a time; request bodies are refused. It is meant for loopback:
 * there is no authentication.
 */
#include "config.h"

#include "admin/inside.h"

#include <fcntl.h>

#include "base/env.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "http/h1.h"

#define WEB_MAX      64u
#define WEB_IDLE_MS  30000u
#define HEAD_OUT_MAX 2048u

static const struct h1_limits limits = {
	.max_request_line = 4096, .max_head = 16384, .max_field = 8192, .max_fields = 64,
};

struct web {
	struct list  link;
	struct conn *c;
	struct pool *pool;             /* of the request */
	size_t       seen;
	bool         closing, eof;
	struct outq  out;
};

static struct {
	struct engine      *e;
	struct admin_view  *v;
	struct engine_watch watch;
	bool                open;
	struct list         all;
	unsigned            n;
} room = { .all = { &room.all, &room.all } };

/* ---------- answers ---------- */

struct answer {
	unsigned    status;
	const char *type;
	struct sb   body;
};

static void plain(struct answer *a, unsigned status, const char *text)
{
	a->status = status;
	a->type = "text/plain; charset=utf-8";
	sb_fmt(&a->body, "%s\n", text);
}

static void get_metrics(struct answer *a, const struct http_head *h)
{
	const struct http_field *accept = head_find(h, STR("Accept"));
	bool open = accept && str_ifind(accept->value, STR("application/openmetrics-text")) >= 0;

	a->type = open ? "application/openmetrics-text; version=1.0.0; charset=utf-8" :
			 "text/plain; version=0.0.4; charset=utf-8";
	metrics_print(room.v, open, &a->body);
}

/* For load balancers in front and for orchestrators: may traffic come? */
static void get_ready(struct answer *a, const struct http_head *h)
{
	struct stat_conf_state f;

	(void)h;
	if (!stat_conf_get(room.v->seg, &f) || !f.generation)
		plain(a, 503, "not ready: no configuration is loaded");
	else if (!view_workers(room.v, ST_PROC_RUNNING, 0))
		plain(a, 503, "not ready: no worker runs");
	else
		plain(a, 200, "ready");
}

static void get_csv(struct answer *a, const struct http_head *h)
{
	(void)h;
	a->type = "text/plain; charset=utf-8";
	csv_print(room.v, &a->body);
}

static void get_page(struct answer *a, const struct http_head *h)
{
	(void)h;
	a->type = "text/html; charset=utf-8";
	page_print(room.v, &a->body);
}

static void get_style(struct answer *a, const struct http_head *h)
{
	(void)h;
	a->type = "text/css; charset=utf-8";
	sb_c(&a->body, page_style);
}

static const struct route {
	const char *path;
	void      (*get)(struct answer *a, const struct http_head *h);
} routes[] = {
	{ "/", get_page },          { "/metrics", get_metrics },   { "/ready", get_ready },
	{ "/stats;csv", get_csv },  { "/stats", get_page },        { "/fairlead.css", get_style },
};

static void choose(struct answer *a, const struct http_head *h)
{
	if (h->method != HM_GET && h->method != HM_HEAD) {
		plain(a, 405, "GET and HEAD only");
		return;
	}
	for (size_t i = 0; i < FL_ARRAY_LEN(routes); i++) {
		if (!str_eq(h->path, str_c(routes[i].path)))
			continue;
		view_refresh(room.v);
		a->status = 200;
		routes[i].get(a, h);
		return;
	}
	plain(a, 404, "there are: / /metrics /ready /stats;csv");
}

/* ---------- connections ---------- */

static void web_free(void *obj)
{
	struct web *w = obj;

	sb_free(&w->out.data);
	pool_free(&w->pool);
	env_free(w);
}

static void web_end(struct web *w, bool orderly)
{
	if (!w->c)
		return;
	list_del(&w->link);
	room.n--;
	if (orderly)
		conn_close(&w->c);
	else
		conn_abort(&w->c);
	engine_free_later(room.e, w, web_free);
}

static void push(struct web *w)
{
	int err;

	if (!outq_push(&w->out, w->c, &err)) {
		if (err < 0)
			web_end(w, false);
		else
			conn_deadline(w->c, ADMIN_STALL_MS);
		return;
	}
	if (w->closing || w->eof) {
		web_end(w, true);
		return;
	}
	conn_deadline(w->c, WEB_IDLE_MS);
	conn_resume(w->c);
}

static int put_head(struct web *w, const struct answer *a, bool close)
{
	static const char policy[] =
		"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
		"frame-ancestors 'none'";
	struct http_head h = { .is_response = true,
			       .minor = 1,
			       .status = (uint16_t)a->status,
			       .reason = str_c(http_reason(a->status)),
			       .body = HB_LENGTH,
			       .length = a->body.n,
			       .keepalive = !close };
	char mem[HEAD_OUT_MAX], date_mem[40];
	struct sb text, date;
	int err = head_add(w->pool, &h, STR("Content-Type"), str_c(a->type));

	sb_init(&date, date_mem, sizeof(date_mem));
	text_http_date(&date, env_wall_us());
	if (!err)
		err = head_add(w->pool, &h, STR("Date"), sb_get(&date));
	if (!err)
		err = head_add(w->pool, &h, STR("Cache-Control"), STR("no-store"));
	if (!err)
		err = head_add(w->pool, &h, STR("X-Content-Type-Options"), STR("nosniff"));
	if (!err)
		err = head_add(w->pool, &h, STR("Referrer-Policy"), STR("no-referrer"));
	if (!err)
		err = head_add(w->pool, &h, STR("Content-Security-Policy"), str_c(policy));
	if (!err && a->status == 405)
		err = head_add(w->pool, &h, STR("Allow"), STR("GET, HEAD"));
	if (err < 0)
		return err;
	sb_init(&text, mem, sizeof(mem));
	h1_put_response(&text, &h, close, false);
	if (text.over)
		return FL_ELIMIT_;
	sb_str(&w->out.data, sb_get(&text));
	return w->out.data.over ? FL_ENOMEM_ : 0;
}

static void answer(struct web *w, struct answer *a, bool close, bool head_only)
{
	int err;

	if (a->body.over || a->body.n > ADMIN_OUT_MAX) {
		sb_free(&a->body);
		sb_init_heap(&a->body);
		plain(a, 503, "the answer is too large");
	}
	err = put_head(w, a, close);
	if (!err && !head_only)
		sb_str(&w->out.data, sb_get(&a->body));
	sb_free(&a->body);
	w->closing = close;
	if (err < 0 || w->out.data.over)
		web_end(w, false);
	else
		push(w);
}

static void request(struct web *w, const struct http_head *h)
{
	bool close = !h->keepalive || h->body != HB_NONE;
	struct answer a = { .status = 200 };

	sb_init_heap(&a.body);
	if (h->body != HB_NONE && (h->body != HB_LENGTH || h->length))
		plain(&a, 413, "no request bodies here");
	else
		choose(&a, h);
	answer(w, &a, close, h->method == HM_HEAD);
}

static void refuse(struct web *w, unsigned status, const char *text)
{
	struct answer a = { .status = status };

	sb_init_heap(&a.body);
	plain(&a, status, text);
	answer(w, &a, true, false);
}

static size_t on_data(struct conn *c, const uint8_t *p, size_t n)
{
	struct web *w = conn_owner(c);
	size_t used = 0;

	while (used < n && w->c && !w->closing && outq_idle(&w->out)) {
		enum h1_reason why = H1_OK;
		struct http_head h;
		size_t off;
		ssize_t r;

		memset(&h, 0, sizeof(h));
		r = h1_parse_request(p + used, n - used, &w->seen, &limits, false, w->pool, &h,
				     &why, &off);
		if (r < 0) {
			refuse(w, h1_reason_status(why), h1_reason_text(why));
			return n;
		}
		if (r == 0) {
			conn_deadline(c, ADMIN_STALL_MS);
			break;
		}
		w->seen = 0;
		used += (size_t)r;
		request(w, &h);
		if (w->c && !w->closing)
			pool_reset(w->pool);
	}
	if (!w->c || w->closing)
		return n;
	if (!outq_idle(&w->out))
		conn_pause(c);
	return used;
}

static void on_eof(struct conn *c)
{
	struct web *w = conn_owner(c);

	w->eof = true;
	if (outq_idle(&w->out))
		web_end(w, true);
}

static void on_drained(struct conn *c)
{
	push(conn_owner(c));
}

static void on_error(struct conn *c, int err)
{
	(void)err;
	web_end(conn_owner(c), false);
}

static void on_timeout(struct conn *c)
{
	web_end(conn_owner(c), outq_idle(&((struct web *)conn_owner(c))->out));
}

static const struct conn_ops web_ops = {
	.data = on_data,
	.eof = on_eof,
	.drained = on_drained,
	.error = on_error,
	.timeout = on_timeout,
};

static void open_web(int fd)
{
	static const struct addr none;
	struct web *w = env_calloc(1, sizeof(*w));

	if (w)
		w->pool = pool_new("admin-http", 1u << 20);
	if (!w || !w->pool) {
		env_free(w);
		env_close(fd);
		return;
	}
	sb_init_heap(&w->out.data);
	w->c = conn_accept(room.e, fd, &none, &none, NULL);
	if (!w->c) {
		web_free(w);
		return;
	}
	list_init(&w->link);
	list_append(&room.all, &w->link);
	room.n++;
	conn_start(w->c, &web_ops, w);
	conn_deadline(w->c, ADMIN_STALL_MS);
}

static void on_accept(struct engine_watch *watch, unsigned events)
{
	(void)events;
	for (unsigned i = 0; i < 16; i++) {
		int fd = env_accept(watch->fd, NULL, NULL);

		if (fd < 0) {
			if (fd != -EAGAIN && fd != -ECONNABORTED)
				log_ev_key(EV_ACCEPT_FAIL, STR("web"), "HTTP admin: %s",
					   fl_err_text(fd));
			return;
		}
		/* The one that has been there longest gives way: a scraper that hangs must not
		 * keep others out. */
		if (room.n >= WEB_MAX && !list_empty(&room.all))
			web_end(LIST_ENTRY(room.all.next, struct web, link), false);
		open_web(fd);
	}
}

void web_open(struct engine *e, struct admin_view *v, int fd)
{
	int flags;

	room.e = e;
	room.v = v;
	if (room.open) {
		engine_unwatch(e, &room.watch);
		env_close(room.watch.fd);
		room.open = false;
	}
	if (fd < 0)
		return;
	flags = fcntl(fd, F_GETFL);
	room.watch = (struct engine_watch){ .fd = fd, .fn = on_accept };
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    engine_watch(e, &room.watch, ENGINE_READ) < 0) {
		log_ev(EV_ACCEPT_FAIL, "HTTP admin: the listening socket cannot be used");
		env_close(fd);
		return;
	}
	room.open = true;
}
