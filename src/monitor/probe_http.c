/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe_http.c - one HTTP/1.1 request on a connection of its own; status and, if asked, body decide
 */
#include "config.h"

#include "monitor/probe.h"

#include "base/env.h"
#include "base/err.h"
#include "http/h1.h"
#include "net/conn.h"
#include "net/tls.h"

#define HTTP_LOOK_MAX 65536      /* head and the part of the body that is searched */

struct probe_http {
	struct probe  base;
	struct conn  *c;
	struct pool  *mem;
	bool          connected, has_head;
	char         *buf;
	size_t        n, head_len, seen;
	uint16_t      status;
	enum http_method method;
};

static void http_free(struct probe *p)
{
	struct probe_http *h = FL_CONTAINER_OF(p, struct probe_http, base);

	if (h->c)
		conn_abort(&h->c);
	pool_free(&h->mem);
	env_free(h->buf);
	env_free(h);
}

static void http_end(struct probe_http *h, bool ok, uint32_t check, const char *text)
{
	struct probe_args a = h->base.a;
	uint64_t started = h->base.started_us;
	unsigned status = h->status;

	http_free(&h->base);
	if (status)
		probe_finish(&a, started, ok, check, status, "HTTP %u%s%s", status, *text ? " " : "", text);
	else
		probe_finish(&a, started, ok, check, 0, "%s", text);
}

static bool status_expected(const struct lb_monitor *m, unsigned status)
{
	for (unsigned i = 0; i < m->n_status; i++)
		if (status >= m->status[i].lo && status <= m->status[i].hi)
			return true;
	return false;
}

static void tell_status(struct probe_http *h)
{
	const struct lb_monitor *m = h->base.a.mon;
	char text[64];
	struct sb sb;

	sb_init(&sb, text, sizeof(text));
	sb_c(&sb, "(expected");
	for (unsigned i = 0; i < m->n_status; i++) {
		sb_fmt(&sb, " %u", m->status[i].lo);
		if (m->status[i].hi != m->status[i].lo)
			sb_fmt(&sb, "-%u", m->status[i].hi);
	}
	sb_c(&sb, ")");
	http_end(h, false, ST_CHECK_L7STS, text);
}

/* Looks at what has come so far; true when the probe has ended (and is gone). */
static bool look(struct probe_http *h, bool ended)
{
	const struct lb_monitor *m = h->base.a.mon;
	struct http_head head;
	enum h1_reason why;
	size_t off;
	ssize_t len;

	while (!h->has_head) {
		memset(&head, 0, sizeof(head));
		len = h1_parse_response((const uint8_t *)h->buf + h->head_len, h->n - h->head_len, &h->seen,
					&h1_limits_default, h->method, h->mem, &head, &why, &off);
		if (len < 0) {
			http_end(h, false, ST_CHECK_L7RSP, h1_reason_text(why));
			return true;
		}
		if (len == 0)
			break;
		h->head_len += (size_t)len;
		h->seen = 0;
		h->has_head = head.status >= 200;
		h->status = h->has_head ? head.status : 0;
	}
	if (h->has_head && !status_expected(m, h->status)) {
		tell_status(h);
		return true;
	}
	if (h->has_head &&
	    (!m->expect.n || str_find(str_n(h->buf + h->head_len, h->n - h->head_len), m->expect) >= 0)) {
		http_end(h, true, ST_CHECK_L7OK, "");
		return true;
	}
	if (ended || h->n == HTTP_LOOK_MAX) {
		http_end(h, false, ST_CHECK_L7RSP, h->has_head ? "expected text not in the body" :
			 "closed before a whole response head");
		return true;
	}
	return false;
}

static size_t on_data(struct conn *c, const uint8_t *p, size_t n)
{
	struct probe_http *h = conn_owner(c);
	size_t take = FL_MIN(n, HTTP_LOOK_MAX - h->n);

	memcpy(h->buf + h->n, p, take);
	h->n += take;
	look(h, false);
	return n;
}

static void on_eof(struct conn *c)
{
	look(conn_owner(c), true);
}

static void on_drained(struct conn *c)
{
	(void)c;
}

static void on_ready(struct conn *c)
{
	struct probe_http *h = conn_owner(c);
	const struct probe_args *a = &h->base.a;
	char mem[2048], host[ADDR_TEXT_MAX];
	struct str target = a->mon->send, method = str_cut(&target, ' ');
	struct sb sb;
	int err;

	h->connected = true;
	h->method = http_method_id(method);
	sb_init(&sb, mem, sizeof(mem));
	sb_fmt(&sb, STR_FMT " " STR_FMT " HTTP/1.1\r\nHost: %s\r\nUser-Agent: fairlead-monitor\r\nAccept: */*\r\n"
	       "Connection: close\r\n\r\n", STR_ARG(method), STR_ARG(target.n ? target : STR("/")),
	       a->mon->host ? a->mon->host : a->service->host ? a->service->host : addr_text(&a->to, host));
	err = sb.over ? FL_EPROTO_ : conn_write(c, mem, sb.n);
	if (err < 0) {
		http_end(h, false, probe_error_check(err, true, a->mon->tls), "cannot send the request");
		return;
	}
	conn_deadline(c, a->mon->timeout_us / 1000);
}

static void on_error(struct conn *c, int err)
{
	struct probe_http *h = conn_owner(c);

	h->status = 0;
	http_end(h, false, probe_error_check(err, h->connected, h->base.a.mon->tls), fl_err_text(err));
}

static void on_timeout(struct conn *c)
{
	http_end(conn_owner(c), false, ST_CHECK_L7TOUT, "no answer in time");
}

struct probe *probe_http_start(const struct probe_args *a)
{
	static const struct conn_ops ops = { on_data, on_eof, on_drained, on_ready, on_error, on_timeout, NULL };
	struct probe_http *h = env_calloc(1, sizeof(*h));
	struct conn_opts o = { .connect_timeout_ms = FL_MAX(a->mon->timeout_us / 1000, 1u), .sni = a->mon->host,
			       .speaks_first = true };
	int err = 0;

	if (!h)
		return NULL;
	h->base = (struct probe){ .cancel = http_free, .a = *a, .started_us = env_now_us() };
	if (a->mon->tls)
		o.tls = tls_client_probe();
	h->buf = env_malloc(HTTP_LOOK_MAX);
	h->mem = pool_new("probe", HTTP_LOOK_MAX * 2);
	if (h->buf && h->mem)
		h->c = conn_connect(a->env->engine, &a->to, &o, &ops, h, &err);
	if (h->c)
		return &h->base;
	http_free(&h->base);
	return NULL;
}
