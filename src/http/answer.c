/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.c - local answers: errors, respond, redirect, reject (RFC 9110 sections 6.6.1, 10.2, 15)
 */
#include "config.h"

#include "http/answer.h"

#include <stdio.h>
#include <time.h>

#include "base/env.h"
#include "base/err.h"
#include "http/module.h"

static const char day_names[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/* IMF-fixdate; the text changes once a second, the clock is a vDSO read. */
struct str answer_date(void)
{
	static char text[40];
	static size_t len;
	static time_t made = -1;
	time_t now = (time_t)(env_wall_us() / 1000000);
	struct tm tm;
	int n;

	if (now == made)
		return str_n(text, len);
	made = now;
	if (!gmtime_r(&now, &tm))
		tm = (struct tm){ .tm_mday = 1, .tm_year = 70, .tm_wday = 4 };
	n = snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT",
		     day_names[tm.tm_wday % 7], tm.tm_mday, month_names[tm.tm_mon % 12],
		     tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
	len = n > 0 ? FL_MIN((size_t)n, sizeof(text) - 1) : 0;
	return str_n(text, len);
}

/* A response head with Date, or NULL (the exchange is then cut). */
static struct http_head *new_head(struct txn *t, unsigned status)
{
	struct http_head *h = pool_zalloc(t->pool, sizeof(*h));

	if (!h)
		return NULL;
	h->is_response = true;
	h->minor = 1;
	h->keepalive = true;
	h->status = (uint16_t)status;
	h->reason = str_c(http_reason(status));
	if (head_add(t->pool, h, STR("Date"), pool_str(t->pool, answer_date())) < 0)
		return NULL;
	return h;
}

static int add_type(struct txn *t, struct http_head *h, const char *type)
{
	return head_add(t->pool, h, STR("Content-Type"),
			str_c(type ? type : "text/plain; charset=utf-8"));
}

void answer_error(struct txn *t, unsigned status, const char *code, const char *text)
{
	struct http_head *h = new_head(t, status);
	char *body = pool_fmt(t->pool, "%u %s\n%s (%s)\n", status, http_reason(status), text, code);
	int r = 0;

	if (!t->reason && !t->code)
		t->reason = code;
	if (!h || !body || add_type(t, h, NULL) < 0) {
		txn_reset(t, TXN_NO_MEMORY, false);
		return;
	}
	if (status == 503)
		r = head_add(t->pool, h, STR("Retry-After"), STR("1"));
	else if (status == 405)
		r = head_add(t->pool, h, STR("Allow"),
			     STR("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"));
	if (r < 0) {
		txn_reset(t, TXN_NO_MEMORY, false);
		return;
	}
	module_on_response(t, h);
	txn_answer(t, h, str_c(body));
}

/* The text of a template in the exchange's memory. False: it did not fit or there was no memory. */
static bool run_template(struct txn *t, const struct pol_tmpl *tmpl, const struct pol_facts *f,
			 struct str *out)
{
	char mem[ANSWER_MAX];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	if (pol_tmpl_run(tmpl, f, &b) < 0 || b.over)
		return false;
	*out = pool_str(t->pool, sb_get(&b));
	return out->p != NULL;
}

/* What may not stand in a field is percent-encoded: a template may hold a peer's bytes. */
static struct str clean_uri(struct txn *t, struct str s)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = pool_alloc(t->pool, 3 * s.n + 1);
	size_t n = 0;

	if (!out)
		return STR_NULL;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c > 0x20 && c < 0x7f && c != '"' && c != '<' && c != '>' && c != '\\') {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return str_n(out, n);
}

static void add_response_mods(struct txn *t, struct http_head *h)
{
	if (t->host->response)
		t->host->response(t, h);
}

void answer_rule(struct txn *t, const struct pol_rule *r, const struct pol_facts *f)
{
	struct str text = STR_NULL;
	struct http_head *h;

	if (r->act == POL_ACT_REJECT) {
		t->code = TXN_DENIED;
		answer_error(t, r->status ? r->status : 403, txn_code_name(TXN_DENIED),
			     txn_code_text(TXN_DENIED));
		return;
	}
	h = new_head(t, r->status ? r->status : r->act == POL_ACT_REDIRECT ? 302 : 200);
	if (!h || (r->text && !run_template(t, r->text, f, &text))) {
		txn_fail(t, TXN_NO_MEMORY);
		return;
	}
	if (r->act == POL_ACT_REDIRECT) {
		struct str where = clean_uri(t, text);

		text = STR_NULL;
		if (!where.p || head_add(t->pool, h, STR("Location"), where) < 0) {
			txn_fail(t, TXN_NO_MEMORY);
			return;
		}
	} else if (text.n && add_type(t, h, r->content_type) < 0) {
		txn_fail(t, TXN_NO_MEMORY);
		return;
	}
	add_response_mods(t, h);
	txn_answer(t, h, text);
}

void answer_last_hop(struct txn *t)
{
	struct http_head *h;

	if (t->req->method == HM_TRACE) {
		answer_error(t, 405, "trace", "TRACE is not answered here");
		return;
	}
	h = new_head(t, 204);
	if (!h || head_add(t->pool, h, STR("Allow"),
			   STR("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH")) < 0) {
		txn_fail(t, TXN_NO_MEMORY);
		return;
	}
	module_on_response(t, h);
	txn_answer(t, h, STR_NULL);
}
