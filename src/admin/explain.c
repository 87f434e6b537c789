/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - where a request would go, and why: the decision made by the data path's own code,
 * with its traces on
 *
 * The request is put together as HTTP/1.1 text and read by the codec; rules are run by lb_route()
 * and the choice is made by lb_pick(), dry, on the health and figures of this moment. Nothing is
 * decided or evaluated here.
 */
#include "config.h"

#include "admin/explain.h"

#include "base/err.h"
#include "http/h1.h"

/* ---------- the request ---------- */

static const struct { const char *scheme; uint16_t port; bool tls; } schemes[] = {
	{ "http", 80, false }, { "https", 443, true }, { "tcp", 0, false }, { "tls", 0, true },
};

static int bad(struct sb *out, const char *what, struct str word)
{
	sb_fmt(out, "%s \"", what);
	sb_escape(out, word, 200);
	sb_ch(out, '"');
	return CMD_USAGE;
}

/* "host:81" -> 81; false when the port is not a number. */
static bool authority_port(struct str a, uint16_t *port)
{
	size_t i = a.n;
	uint64_t v;

	while (i > 0 && a.p[i - 1] != ':' && a.p[i - 1] != ']')
		i--;
	if (i == 0 || a.p[i - 1] == ']')
		return true;
	if (!str_u64(str_n(a.p + i, a.n - i), &v) || v == 0 || v > 65535)
		return false;
	*port = (uint16_t)v;
	return true;
}

/* "GET https://host:port/path?query", or the URI alone. *target: from the path on. */
static int take_target(struct explain *x, struct str text, struct str *target, struct sb *out)
{
	struct str rest = str_trim(text), word = str_cut(&rest, ' ');
	ptrdiff_t at;
	size_t k;

	rest = str_trim(rest);
	x->method = rest.n ? word : STR("GET");
	if (!rest.n)
		rest = word;
	if (memchr(rest.p, ' ', rest.n))
		return bad(out, "a request is METHOD URI, not", text);
	at = str_find(rest, STR("://"));
	if (at < 0)
		return bad(out,
			   "the URI needs a scheme and a host, such as http://host/path:", rest);
	x->scheme = str_n(rest.p, (size_t)at);
	for (k = 0; k < FL_ARRAY_LEN(schemes) && !str_ieq(x->scheme, str_c(schemes[k].scheme)); k++)
		;
	if (k == FL_ARRAY_LEN(schemes))
		return bad(out, "the scheme is http, https, tcp or tls, not", x->scheme);
	x->tls = schemes[k].tls;
	x->port = schemes[k].port;
	rest = str_n(rest.p + at + 3, rest.n - (size_t)at - 3);
	k = 0;
	while (k < rest.n && rest.p[k] != '/' && rest.p[k] != '?' && rest.p[k] != '#')
		k++;
	x->authority = str_n(rest.p, k);
	*target = str_n(rest.p + k, rest.n - k);
	if (!authority_port(x->authority, &x->port))
		return bad(out, "the port is not one in", x->authority);
	if (!x->port)
		return bad(out, "a port is needed in", x->authority);
	return CMD_OK;
}

/* The text that a client would send, read by the codec that reads clients. */
static int take_head(struct explain *x, struct str target, const struct verb_call *call,
		     struct sb *out)
{
	enum h1_reason why = H1_OK;
	struct sb text;
	size_t seen = 0, off = 0;
	bool has_host = false;
	struct str copy, field;
	ssize_t n;

	sb_init_heap(&text);
	sb_fmt(&text, STR_FMT " %s" STR_FMT " HTTP/1.1\r\n", STR_ARG(x->method),
	       target.n && target.p[0] == '/' ? "" : "/", STR_ARG(target));
	for (unsigned i = 0; (field = verb_opt(call, "-H", i)).p; i++) {
		has_host |= str_istarts(field, STR("host:"));
		sb_fmt(&text, STR_FMT "\r\n", STR_ARG(field));
	}
	if (!has_host)
		sb_fmt(&text, "Host: " STR_FMT "\r\n", STR_ARG(x->authority));
	sb_c(&text, "\r\n");
	copy = pool_str(x->mem, sb_get(&text));
	x->nomem |= text.over || !copy.p;
	sb_free(&text);
	if (x->nomem)
		return CMD_OK;
	n = h1_parse_request((const uint8_t *)copy.p, copy.n, &seen, &h1_limits_default, x->tls,
			     x->mem, &x->head, &why, &off);
	if (n > 0) {
		x->has_head = true;
		return CMD_OK;
	}
	sb_fmt(out, "a vserver would refuse this request with %u: %s (%s)", h1_reason_status(why),
	       h1_reason_text(why), h1_reason_code(why));
	return CMD_FAIL;
}

/* ---------- the handshake ---------- */

#define OFFERS_MAX 8u

/* The host of "host:port" as a client asks for it; an address is not asked for (RFC 6066 section 3). */
static struct str host_name(struct str authority)
{
	struct str rest = authority, host = str_cut(&rest, ':');
	struct ip ip;

	if (!host.n || host.p[0] == '[' || ip_parse(host, &ip) == 0)
		return STR_NULL;
	return host;
}

static void shake_hands(struct explain *x, const struct verb_call *call)
{
	struct str offers[OFFERS_MAX], sni = verb_opt(call, "--sni", 0);
	unsigned n = 0;

	if (!x->tls)
		return;
	if (!sni.p)
		sni = host_name(x->authority);
	if (sni.n)
		x->sni = pool_str(x->mem, sni);
	for (struct str one; n < OFFERS_MAX && (one = verb_opt(call, "--alpn", n)).p; n++)
		offers[n] = pool_str(x->mem, one);
	if (!n && x->vs->http)
		offers[n++] = STR("http/1.1");
	if (!x->listen || !x->listen->tls)
		return;
	tls_server_choose(x->listen->tls, x->sni.p, offers, n, &x->handshake);
	x->has_handshake = true;
}

/* ---------- listener and vserver ---------- */

static bool host_is(struct str authority, const struct addr *a)
{
	struct addr named;

	return addr_parse(authority, addr_port(a), &named) == 0 && addr_eq(&named, a);
}

/* How well a listener fits: its address is the request's host > any address > another one. */
static int fit(const struct explain *x, const struct lb_listen *l)
{
	if (addr_port(&l->addr) != x->port || l->uses_tls != x->tls)
		return 0;
	if (host_is(x->authority, &l->addr))
		return 3;
	return addr_is_any(&l->addr) ? 2 : 1;
}

static int no_listener(const struct explain *x, const struct lb_config *lc, struct sb *out)
{
	sb_fmt(out, "nothing listens on port %u %s TLS; there is", x->port,
	       x->tls ? "with" : "without");
	for (unsigned i = 0; i < lc->n_listens; i++) {
		char text[ADDR_TEXT_MAX];

		sb_fmt(out, "%s %s%s (%s)", i ? "," : "", addr_text(&lc->listens[i].addr, text),
		       lc->listens[i].uses_tls ? " tls" : "", lc->listens[i].vserver->name);
	}
	sb_c(out, lc->n_listens ? "; --vserver NAME chooses without"
				: " no listener at all; name a vserver: --vserver NAME");
	return CMD_FAIL;
}

static int find_vserver(struct explain *x, const struct verb_call *call, struct sb *out)
{
	struct lb_config *lc = x->view->lc;
	struct str name = verb_opt(call, "--vserver", 0);
	int best = 0;
	struct guess g;

	guess_init(&g, name);
	for (unsigned i = 0; name.p && i < lc->n_vservers; i++) {
		guess_offer(&g, str_c(lc->vservers[i].name));
		if (str_eq(name, str_c(lc->vservers[i].name)))
			x->vs = &lc->vservers[i];
	}
	if (name.p && !x->vs) {
		bad(out, "no vserver named", name);
		guess_say(&g, out);
		return CMD_FAIL;
	}
	for (unsigned i = 0; i < lc->n_listens; i++) {
		int f = fit(x, &lc->listens[i]);

		/* a URL is not asked for in datagrams */
		if (!f || (x->vs ? lc->listens[i].vserver != x->vs : lc->listens[i].udp))
			continue;
		x->listen_guess |= x->listen && f < 3 && f == best;
		if (f > best) {
			best = f;
			x->listen = &lc->listens[i];
		}
	}
	if (!x->vs && !x->listen)
		return no_listener(x, lc, out);
	if (!x->vs)
		x->vs = x->listen->vserver;
	return CMD_OK;
}

/* ---------- traces ---------- */

static void on_leaf(void *ctx, struct str source, enum pol_result r, const struct pol_val *value)
{
	struct explain *x = ctx;
	struct ex_leaf *l = pool_zalloc(x->mem, sizeof(*l));
	struct sb text;

	if (!l) {
		x->nomem = true;
		return;
	}
	l->source = source;
	l->result = r;
	if (value && value->type != POL_NONE) {
		sb_init_heap(&text);
		pol_val_print(value, &text);
		l->value = pool_str(x->mem, sb_get(&text));
		x->nomem |= text.over || !l->value.p;
		sb_free(&text);
	}
	if (x->last_leaf)
		x->last_leaf->next = l;
	else
		x->leaf = l;
	x->last_leaf = l;
}

static const struct lb_vserver *vserver_of(const struct lb_config *lc, const struct pol_rule *r)
{
	for (unsigned i = 0; i < lc->n_vservers; i++) {
		const struct pol_ruleset *rs = &lc->vservers[i].rules;

		if (rs->n && r >= rs->rules && r < rs->rules + rs->n)
			return &lc->vservers[i];
	}
	return NULL;
}

static void on_rule(void *ctx, const struct pol_rule *r, enum pol_result res)
{
	struct explain *x = ctx;
	struct ex_rule *e = pool_zalloc(x->mem, sizeof(*e));

	if (!e) {
		x->nomem = true;
		return;
	}
	e->rule = r;
	e->vs = vserver_of(x->view->lc, r);
	e->result = res;
	e->leaf = x->leaf;
	e->last_leaf = x->last_leaf;
	x->leaf = x->last_leaf = NULL;
	if (x->last_rule)
		x->last_rule->next = e;
	else
		x->rules = e;
	x->last_rule = e;
}

static void on_pool(void *ctx, const struct lb_pool *p, const char *why)
{
	struct explain *x = ctx;
	struct ex_pool *e = pool_zalloc(x->mem, sizeof(*e));

	if (!e) {
		x->nomem = true;
		return;
	}
	e->pool = p;
	e->why = why;
	if (x->last_pool)
		x->last_pool->next = e;
	else
		x->pools = e;
	x->last_pool = e;
}

static void on_candidate(void *ctx, const struct lb_candidate *c)
{
	struct explain *x = ctx;
	struct ex_candidate *e = pool_zalloc(x->mem, sizeof(*e));

	if (!e || !x->last_pool) {
		x->nomem |= !e;
		return;
	}
	e->c = *c;
	if (x->last_pool->last)
		x->last_pool->last->next = e;
	else
		x->last_pool->first = e;
	x->last_pool->last = e;
}

/* ---------- the decision ---------- */

static void set_facts(struct explain *x)
{
	x->http.req = x->has_head ? &x->head : NULL;
	x->http.client = x->client;
	if (x->listen)
		x->http.local = x->listen->addr;
	else
		addr_set_port(&x->http.local, x->port);
	x->http.tls = x->tls;
	x->http.udp = x->vs->udp;
	if (x->tls)
		x->http.sni = x->sni.p ? x->sni.p : "";
	if (x->has_handshake)
		x->http.tls_alpn = x->handshake.alpn.n ? x->handshake.alpn.p : "";
	x->http.lc = x->view->lc;
	http_facts_init(&x->facts, &x->http);
}

static void decide(struct explain *x)
{
	struct pol_trace rules = { .ctx = x, .leaf = on_leaf };
	struct lb_pick_trace picks = { .ctx = x, .candidate = on_candidate, .pool = on_pool };
	struct lb_pick_in in = { .client = addr_ip(&x->client) };

	set_facts(x);
	if (x->handshake.refused)
		return;
	lb_route(x->vs, &x->facts, &rules, on_rule, x, false, &x->route);
	if (!x->route.pool)
		return;
	x->service = lb_pick(x->route.pool, &in, true, &picks);
	if (x->service && !x->service->host)
		x->to = x->service->addr;
	else if (x->service && x->service->n_dns)
		addr_from_ip(&x->to, x->service->dns[x->service->dns_cursor % x->service->n_dns],
			     x->service->port);
}

static int gather(struct explain *x, const struct verb_call *call, struct sb *out)
{
	struct str from = verb_opt(call, "--from", 0), target = STR_NULL;
	struct ip ip;
	int code = take_target(x, call->pos[0], &target, out);

	if (code != CMD_OK)
		return code;
	if (ip_parse(from, &ip) == 0)
		addr_from_ip(&x->client, ip, 0);
	else if (addr_parse(from, -1, &x->client) < 0)
		return bad(out, "--from needs an address, with or without a port, not", from);
	code = find_vserver(x, call, out);
	if (code != CMD_OK)
		return code;
	shake_hands(x, call);
	if (!x->vs->http || x->handshake.refused)
		return CMD_OK;
	return take_head(x, target, call, out);
}

int explain_run(const struct admin_view *v, const struct verb_call *call, bool json, struct sb *out)
{
	struct explain x = { .view = v };
	int code;

	x.mem = pool_new("explain", 8u << 20);
	if (!x.mem) {
		sb_c(out, "no memory");
		return CMD_FAIL;
	}
	code = gather(&x, call, out);
	if (code == CMD_OK && !x.nomem) {
		decide(&x);
		if (!x.nomem && json)
			explain_json(&x, out);
		else if (!x.nomem)
			explain_text(&x, out);
	}
	if (x.nomem) {
		sb_c(out, "no memory for the explanation");
		code = CMD_FAIL;
	}
	pool_free(&x.mem);
	return code;
}

int verb_EXPLAIN_REQUEST(struct cmd *c)
{
	int code;

	if (cmd_needs_config(c))
		return CMD_FAIL;
	code = explain_run(c->v, &c->call, c->call.json, &c->out);
	c->is_json = c->call.json && code == CMD_OK;
	return code;
}

int admin_explain_offline(struct lb_config *lc, int argc, char **argv, bool json, struct sb *out)
{
	struct admin_view v = { .lc = lc, .conf = lc->conf };
	struct verb_call call;
	struct str w[WORDS_MAX];
	struct sb err;
	unsigned n = 0;
	int code;

	w[n++] = STR("explain");
	for (int i = 0; i < argc && n < WORDS_MAX; i++)
		w[n++] = str_c(argv[i]);
	sb_init_heap(&err);
	if (!verb_parse(w, n, &call, &err)) {
		code = CMD_USAGE;
	} else {
		json |= call.json;
		code = explain_run(&v, &call, json, &err);
	}
	if (code == CMD_OK) {
		sb_str(out, sb_get(&err));
	} else if (json) {
		sb_c(out, "{\"ok\": false, \"error\": ");
		sb_json_str(out, sb_get(&err));
		sb_c(out, "}\n");
	} else {
		sb_fmt(out, "error: " STR_FMT "\n", STR_ARG(sb_get(&err)));
	}
	sb_free(&err);
	return code;
}
