/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe_tcp.c - connect, optionally send bytes and wait for bytes; also what all probes share
 */
#include "config.h"

#include "monitor/probe.h"

#include <errno.h>

#include "base/env.h"
#include "base/err.h"
#include "net/conn.h"
#include "net/tls.h"

#define TCP_LOOK_MAX 16384       /* bytes of an answer that are searched */

struct probe_tcp {
	struct probe  base;
	struct conn  *c;
	bool          connected;
	char         *seen;          /* answer so far, only when something is expected */
	size_t        n_seen;
};

void probe_finish(const struct probe_args *a, uint64_t started_us, bool ok, uint32_t check, uint32_t http_status,
		  const char *fmt, ...)
{
	struct probe_result r = { .ok = ok, .check = check, .http_status = http_status };
	uint64_t us = env_now_us() - started_us;
	struct sb sb;
	va_list ap;

	r.latency_us = (uint32_t)FL_MIN(us, UINT32_MAX);
	sb_init(&sb, r.text, sizeof(r.text));
	va_start(ap, fmt);
	sb_vfmt(&sb, fmt, ap);
	va_end(ap);
	if (us < 10000)
		sb_fmt(&sb, " after %u.%u ms", r.latency_us / 1000, r.latency_us / 100 % 10);
	else
		sb_fmt(&sb, " after %u ms", r.latency_us / 1000);
	a->done(a->ctx, &r);
}

uint32_t probe_error_check(int err, bool connected, bool tls)
{
	if (err == FL_ENOMEM_ || err == -EMFILE || err == -ENFILE || err == -EADDRNOTAVAIL)
		return ST_CHECK_SOCKERR;
	if (err == FL_ETLS_)
		return ST_CHECK_L6RSP;
	if (err == FL_ETIMEOUT_)
		return connected ? ST_CHECK_L7TOUT : tls ? ST_CHECK_L6TOUT : ST_CHECK_L4TOUT;
	return connected ? ST_CHECK_L7RSP : ST_CHECK_L4CON;
}

void probe_cancel(struct probe **p)
{
	if (*p)
		(*p)->cancel(*p);
	*p = NULL;
}

static void tcp_free(struct probe *p)
{
	struct probe_tcp *t = FL_CONTAINER_OF(p, struct probe_tcp, base);

	if (t->c)
		conn_abort(&t->c);
	env_free(t->seen);
	env_free(t);
}

static void tcp_end(struct probe_tcp *t, bool ok, uint32_t check, const char *text)
{
	struct probe_args a = t->base.a;
	uint64_t started = t->base.started_us;

	tcp_free(&t->base);
	probe_finish(&a, started, ok, check, 0, "%s", text);
}

static bool found(const struct probe_tcp *t)
{
	return str_find(str_n(t->seen, t->n_seen), t->base.a.mon->expect) >= 0;
}

static size_t on_data(struct conn *c, const uint8_t *p, size_t n)
{
	struct probe_tcp *t = conn_owner(c);
	size_t room = TCP_LOOK_MAX - t->n_seen;

	if (!t->seen)
		return n;
	memcpy(t->seen + t->n_seen, p, FL_MIN(n, room));
	t->n_seen += FL_MIN(n, room);
	if (found(t))
		tcp_end(t, true, ST_CHECK_L7OK, "expected bytes came");
	else if (t->n_seen == TCP_LOOK_MAX)
		tcp_end(t, false, ST_CHECK_L7RSP, "expected bytes not in the first 16 KiB");
	return n;
}

static void on_eof(struct conn *c)
{
	tcp_end(conn_owner(c), false, ST_CHECK_L7RSP, "closed before the expected bytes");
}

static void on_drained(struct conn *c)
{
	(void)c;
}

static void on_ready(struct conn *c)
{
	struct probe_tcp *t = conn_owner(c);
	const struct lb_monitor *m = t->base.a.mon;
	int err;

	t->connected = true;
	err = m->send.n ? conn_write(c, m->send.p, m->send.n) : 0;
	if (err < 0) {
		tcp_end(t, false, probe_error_check(err, true, m->tls), "cannot send");
		return;
	}
	if (!m->expect.n)
		tcp_end(t, true, m->tls ? ST_CHECK_L6OK : ST_CHECK_L4OK, m->tls ? "TLS established" : "connected");
	else
		conn_deadline(c, m->timeout_us / 1000);
}

static void on_error(struct conn *c, int err)
{
	struct probe_tcp *t = conn_owner(c);

	tcp_end(t, false, probe_error_check(err, t->connected, t->base.a.mon->tls), fl_err_text(err));
}

static void on_timeout(struct conn *c)
{
	struct probe_tcp *t = conn_owner(c);

	tcp_end(t, false, t->connected ? ST_CHECK_L7TOUT : ST_CHECK_L4TOUT, "no answer in time");
}

struct probe *probe_tcp_start(const struct probe_args *a)
{
	static const struct conn_ops ops = { on_data, on_eof, on_drained, on_ready, on_error, on_timeout, NULL };
	struct probe_tcp *t = env_calloc(1, sizeof(*t));
	struct conn_opts o = { .connect_timeout_ms = FL_MAX(a->mon->timeout_us / 1000, 1u) };
	int err = 0;

	if (!t)
		return NULL;
	t->base = (struct probe){ .cancel = tcp_free, .a = *a, .started_us = env_now_us() };
	if (a->mon->tls)
		o.tls = tls_client_probe();
	if (a->mon->expect.n)
		t->seen = env_malloc(TCP_LOOK_MAX);
	if (!a->mon->expect.n || t->seen)
		t->c = conn_connect(a->env->engine, &a->to, &o, &ops, t, &err);
	if (t->c)
		return &t->base;
	tcp_free(&t->base);
	return NULL;
}
