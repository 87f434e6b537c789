/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accesslog.c - one line per finished exchange: combined, JSON or a template (fairlead.conf(5),
 * access-log)
 *
 * Nothing is formatted for a vserver without a log. Peers' bytes are escaped so that a line stays
 * one line and a quoted field stays one field.
 */
#include "config.h"

#include <stdio.h>
#include <time.h>

#include "base/env.h"
#include "http/inside.h"

#define LINE_MAX_ 8192u

/* Largest values, as they are written. Together with what has its length from us they fit into a
 * line, so that none is ever cut inside a quoted value. */
#define TARGET_MAX 3072u
#define PATH_MAX_  2000u
#define FIELD_MAX  1700u
#define NAME_MAX_  256u

/* As sb_escape(), and the double quote too; "-" for nothing. At most `max` bytes. */
static void put_quoted(struct sb *b, struct str s, size_t max)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0, from = 0;

	for (size_t all = 0; n < s.n; n++) {
		unsigned char c = (unsigned char)s.p[n];

		all += c >= 0x20 && c < 0x7f && c != '"' && c != '\\' ? 1 : 4;
		if (all > max)
			break;
	}

	if (!s.n) {
		sb_ch(b, '-');
		return;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char esc[4] = { '\\', 'x', hex[c >> 4], hex[c & 15] };

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
			continue;
		sb_add(b, s.p + from, i - from);
		sb_add(b, esc, 4);
		from = i + 1;
	}
	sb_add(b, s.p + from, n - from);
}

static void put_target(struct sb *b, const struct http_head *r)
{
	put_quoted(b, r->path, PATH_MAX_);
	if (r->query.p) {
		sb_ch(b, '?');
		if (r->query.n)
			put_quoted(b, r->query, PATH_MAX_);
	}
}

static struct str field_of(const struct http_head *h, enum http_fid id)
{
	const struct http_field *f = head_get(h, id);

	return f ? f->value : STR_NULL;
}

static const char *proto_of(const struct http_head *r)
{
	return r->minor == 2 ? "HTTP/2.0" : r->minor ? "HTTP/1.1" : "HTTP/1.0";
}

/* "10/Oct/2026:13:55:36 +0000"; the text changes once a second. */
static const char *clf_time(uint64_t wall_us)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	static time_t made = -1;
	static char text[40];
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;
	struct sb b;

	if (s == made)
		return text;
	made = s;
	if (!gmtime_r(&s, &tm))
		tm = (struct tm){ .tm_mday = 1, .tm_year = 70 };
	/* strftime's %b would follow the locale. */
	sb_init(&b, text, sizeof(text));
	sb_fmt(&b, "%02d/%s/%04d:%02d:%02d:%02d +0000", tm.tm_mday, months[tm.tm_mon % 12],
	       tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	return text;
}

static void put_combined(struct sb *b, const struct txn *t, uint64_t wall_us)
{
	const struct http_head *r = t->req;
	char ip[ADDR_TEXT_MAX];

	sb_c(b, ip_text(addr_ip(&t->client), ip));
	sb_c(b, " - - [");
	sb_c(b, clf_time(wall_us));
	sb_c(b, "] \"");
	put_quoted(b, r->method_s, NAME_MAX_);
	sb_ch(b, ' ');
	put_target(b, r);
	sb_ch(b, ' ');
	sb_c(b, proto_of(r));
	sb_c(b, "\" ");
	sb_u64(b, t->status);
	sb_ch(b, ' ');
	sb_u64(b, t->flow[TXN_RESP].bytes);
	sb_c(b, " \"");
	put_quoted(b, field_of(r, HF_REFERER), FIELD_MAX);
	sb_c(b, "\" \"");
	put_quoted(b, field_of(r, HF_USER_AGENT), FIELD_MAX);
	sb_ch(b, '"');
}

/* Bytes at the start of s that belong together, if it is UTF-8. */
static size_t char_len(struct str s)
{
	size_t n = 1;

	if ((unsigned char)s.p[0] >= 0xc0)
		while (n < s.n && n < 4 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
			n++;
	return n;
}

/* A string of at most `max` bytes between its quotes, cut between characters. */
static void json_str_max(struct sb *b, struct str v, size_t max)
{
	char mem[64];

	if (v.n * 6 <= max) {           /* the longest escape has six */
		sb_json_str(b, v.p ? v : STR(""));
		return;
	}
	sb_ch(b, '"');
	for (size_t at = 0, k; at < v.n; at += k) {
		struct str c = str_n(v.p + at, v.n - at);
		struct sb one;

		k = c.n = char_len(c);
		sb_init(&one, mem, sizeof(mem));
		sb_json_str(&one, c);
		if (one.n - 2 > max)
			break;
		max -= one.n - 2;
		sb_add(b, one.p + 1, one.n - 2);
	}
	sb_ch(b, '"');
}

static void json_value(struct sb *b, const char *name, struct str v, size_t max)
{
	sb_c(b, ",\"");
	sb_c(b, name);
	sb_c(b, "\":");
	json_str_max(b, v, max);
}

static void json_str(struct sb *b, const char *name, struct str v)
{
	json_value(b, name, v, NAME_MAX_);
}

static void json_u64(struct sb *b, const char *name, uint64_t v)
{
	sb_c(b, ",\"");
	sb_c(b, name);
	sb_c(b, "\":");
	sb_u64(b, v);
}

static void put_time(struct sb *b, uint64_t wall_us)
{
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;

	if (!gmtime_r(&s, &tm))
		tm = (struct tm){ .tm_mday = 1, .tm_year = 70 };
	sb_fmt(b, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900, tm.tm_mon + 1,
	       tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_us % 1000000));
}

static void json_time(struct sb *b, uint64_t wall_us)
{
	sb_c(b, "{\"ts\":\"");
	put_time(b, wall_us);
	sb_ch(b, '"');
}

static uint64_t since(uint64_t from, uint64_t to)
{
	return from && to > from ? to - from : 0;
}

static uint64_t begin_wall_us(const struct txn *t)
{
	return env_wall_us() - since(t->t_start_us, t->t_end_us);
}

struct str access_log_time(const struct txn *t)
{
	static char text[32];
	struct sb b;

	sb_init(&b, text, sizeof(text));
	put_time(&b, begin_wall_us(t));
	return sb_get(&b);
}

static void put_json(struct sb *b, const struct txn *t, uint64_t wall_us)
{
	const struct http_head *r = t->req;
	const struct pol_rule *rule = t->route.v.final;
	char ip[ADDR_TEXT_MAX], target_mem[TARGET_MAX] FL_UNINIT;
	struct sb target;

	sb_init(&target, target_mem, sizeof(target_mem));
	sb_str(&target, str_n(r->path.p, FL_MIN(r->path.n, (size_t)TARGET_MAX - 2)));
	if (r->query.p) {
		sb_ch(&target, '?');
		sb_str(&target, str_n(r->query.p,
				      FL_MIN(r->query.n, (size_t)TARGET_MAX - 1 - target.n)));
	}
	json_time(b, wall_us);
	json_str(b, "client", str_c(addr_text(&t->client, ip)));
	json_str(b, "vserver", str_c(t->vs->name));
	json_str(b, "policy", str_c(rule && rule != &t->vs->dflt ? rule->name : NULL));
	json_str(b, "pool", str_c(t->route.pool ? t->route.pool->name : NULL));
	json_str(b, "service", str_c(t->service ? t->service->full_name : NULL));
	json_str(b, "method", r->method_s);
	json_str(b, "host", r->host);
	json_value(b, "path", sb_get(&target), TARGET_MAX);
	json_str(b, "proto", str_c(proto_of(r)));
	json_u64(b, "status", t->status);
	json_u64(b, "bytes", t->flow[TXN_RESP].bytes);
	json_u64(b, "bytes_in", t->flow[TXN_REQ].bytes);
	json_u64(b, "t_connect", t->t_conn_us);
	json_u64(b, "t_first", since(t->t_head_us, t->t_first_us));
	json_u64(b, "t_total", since(t->t_start_us, t->t_end_us));
	json_u64(b, "retries", t->retries);
	json_str(b, "tls", str_c(t->tls_version));
	json_value(b, "user_agent", field_of(r, HF_USER_AGENT), FIELD_MAX);
	json_str(b, "reason", str_c(t->reason ? t->reason : txn_code_name(t->code)));
	sb_ch(b, '}');
}

static void put_custom(struct sb *b, const struct txn *t)
{
	char mem[LINE_MAX_] FL_UNINIT;
	struct http_facts h FL_UNINIT;
	struct pol_facts f;
	struct sb raw;

	sb_init(&raw, mem, sizeof(mem));
	facts_of_txn(&f, &h, t);
	(void)pol_tmpl_run(t->vs->log_template, &f, &raw);
	sb_escape(b, sb_get(&raw), LINE_MAX_);
}

void access_log_txn(const struct txn *t)
{
	const struct http_worker *w = &http_room.w;
	const struct lb_vserver *vs = t->vs;
	char line[LINE_MAX_] FL_UNINIT;
	uint64_t wall_us;
	struct sb b;

	if (vs->log_stream < 0 || !w->access_log)
		return;
	sb_init(&b, line, sizeof(line));
	wall_us = begin_wall_us(t);
	if (vs->log_format == LB_LOG_JSON)
		put_json(&b, t, wall_us);
	else if (vs->log_format == LB_LOG_CUSTOM && vs->log_template)
		put_custom(&b, t);
	else
		put_combined(&b, t, wall_us);
	w->access_log(w->log_ctx, vs->log_stream, b.p, b.n);
}
