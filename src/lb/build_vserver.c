/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_vserver.c - configuration tree -> vservers, their listeners, rules and defaults
 */
#include "config.h"

#include "lb/build.h"

#include "http/module.h"
#include "net/tls.h"

#define UDP_IDLE_MS 30000u        /* directives.def says so, too */

static const void *resolve_object(void *ctx, const char *kind, struct str name)
{
	const struct lb_builder *b = ctx;
	char text[STAT_NAME_MAX];

	if (name.n >= sizeof(text))
		return NULL;
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	return lb_build_lookup(b->lc, kind, text);
}

static struct pol_tmpl *build_template(struct lb_builder *b, const struct conf_val *v, unsigned planes)
{
	struct pol_compile_opts o = { .planes = planes, .resolve = resolve_object, .resolve_ctx = b };
	struct pol_tmpl *t = NULL;
	struct pol_error e;

	if (pol_tmpl_compile(b->lc->mem, v->s, &o, &t, &e) < 0)
		conf_error(b->d, v->loc, v->span, e.hint[0] ? e.hint : NULL, "[E0404] %s", e.text);
	return t;
}

/* Where templates of a vserver's requests run; fields of a TLS hello are known to every request. */
static unsigned request_plane(const struct lb_vserver *vs)
{
	return vs->http ? POL_REQ : vs->udp ? POL_DGRAM : vs->has_tls ? POL_HELLO : POL_CONN;
}

/* An action of a policy or of `default`: v[0..n) are the values behind the directive's name. */
static void build_use(struct lb_builder *b, struct pol_rule *r, const struct conf_val *v, unsigned n)
{
	const struct conf_val *ref = &v[n - 1];

	r->act = ref->ref->dir->id == D_VSERVER ? POL_ACT_USE_VSERVER : POL_ACT_USE_POOL;
	r->target = lb_build_lookup(b->lc, r->act == POL_ACT_USE_POOL ? "pool" : "vserver", ref->ref->name);
}

static void build_answer(struct lb_builder *b, const struct lb_vserver *vs, struct pol_rule *r, enum pol_act act,
			 unsigned status, const struct conf_val *v, unsigned n)
{
	r->act = act;
	r->status = (uint16_t)status;
	if (n && v->type == CV_COUNT) {
		r->status = (uint16_t)v->i;
		v++;
		n--;
	}
	if (n)
		r->text = build_template(b, v, request_plane(vs));
	r->content_type = "text/plain; charset=utf-8";
}

static void build_mod(struct lb_builder *b, const struct lb_vserver *vs, struct pol_hdr_mod *m, const struct conf_node *n)
{
	m->response = n->dir->id == D_ACT_SET_RESPONSE_HEADER || n->dir->id == D_ACT_REMOVE_RESPONSE_HEADER;
	m->op = n->dir->id == D_ACT_SET_HEADER || n->dir->id == D_ACT_SET_RESPONSE_HEADER ? POL_HDR_SET : POL_HDR_REMOVE;
	m->name = n->val[0].s;
	if (m->op == POL_HDR_SET)
		m->value = build_template(b, &n->val[1], m->response ? POL_RESP : request_plane(vs));
}

static void build_actions(struct lb_builder *b, const struct lb_vserver *vs, struct pol_rule *r, const struct conf_node *n)
{
	unsigned n_mods = 0;
	struct pol_hdr_mod *mods;

	for (const struct conf_node *a = n->child; a; a = a->next)
		n_mods++;
	r->mods = mods = lb_build_alloc(b, n_mods, sizeof(*mods));
	for (const struct conf_node *a = n->child; a && mods; a = a->next) {
		switch (a->dir->id) {
		case D_ACT_USE:
			build_use(b, r, a->val, a->n_val);
			break;
		case D_ACT_RESPOND:
			build_answer(b, vs, r, POL_ACT_RESPOND, 200, a->val, a->n_val);
			break;
		case D_ACT_REDIRECT:
			build_answer(b, vs, r, POL_ACT_REDIRECT, 302, a->val, a->n_val);
			break;
		case D_ACT_REJECT:
			build_answer(b, vs, r, POL_ACT_REJECT, 403, a->val, a->n_val);
			break;
		default:
			build_mod(b, vs, &mods[r->n_mods++], a);
			break;
		}
	}
}

static void build_rule(struct lb_builder *b, const struct lb_vserver *vs, struct pol_rule *r, const struct conf_node *n)
{
	struct pol_compile_opts o = { .planes = request_plane(vs), .resolve = resolve_object, .resolve_ctx = b };
	struct pol_error e;

	r->name = n->name;
	r->file = n->loc.file;
	r->line = n->loc.line;
	if (n->n_val > 2) {
		r->when = n->val[2].s;
		if (pol_expr_compile(b->lc->mem, r->when, &o, &r->expr, &e) < 0)
			conf_error(b->d, n->val[2].loc, n->val[2].span, e.hint[0] ? e.hint : NULL, "[E0404] %s", e.text);
	}
	build_actions(b, vs, r, n);
}

static void build_default(struct lb_builder *b, struct lb_vserver *vs)
{
	const struct conf_node *n = conf_child(vs->node, D_VS_DEFAULT);
	struct pol_rule *r = &vs->dflt;
	struct str what;

	if (!n)
		return;
	r->name = "default";
	r->file = n->loc.file;
	r->line = n->loc.line;
	what = n->val[0].s;
	if (str_eq(what, STR("use")))
		build_use(b, r, n->val + 1, n->n_val - 1);
	else if (str_eq(what, STR("respond")))
		build_answer(b, vs, r, POL_ACT_RESPOND, 200, n->val + 1, n->n_val - 1);
	else if (str_eq(what, STR("redirect")))
		build_answer(b, vs, r, POL_ACT_REDIRECT, 302, n->val + 1, n->n_val - 1);
	else
		build_answer(b, vs, r, POL_ACT_REJECT, 403, n->val + 1, n->n_val - 1);
}

static void build_rules(struct lb_builder *b, struct lb_vserver *vs)
{
	unsigned n = 0;

	CONF_FOREACH(p, vs->node, D_VS_POLICY)
		n++;
	vs->rules.rules = lb_build_alloc(b, n, sizeof(*vs->rules.rules));
	vs->rule_rows = lb_build_alloc(b, n, sizeof(*vs->rule_rows));
	vs->rule_names = lb_build_alloc(b, n, sizeof(*vs->rule_names));
	if (b->nomem)
		return;
	CONF_FOREACH(p, vs->node, D_VS_POLICY) {
		vs->rule_rows[vs->rules.n] = STAT_NO_ROW;
		vs->rule_names[vs->rules.n] = p->full_name;
		build_rule(b, vs, &vs->rules.rules[vs->rules.n++], p);
	}
	build_default(b, vs);
}

static void build_access_log(struct lb_builder *b, struct lb_vserver *vs)
{
	const struct conf_node *n = conf_child(vs->node, D_ACCESS_LOG);

	vs->log_stream = -1;
	if (!n)
		n = conf_child(b->lc->conf->root, D_ACCESS_LOG);
	if (!n || n->val[0].type == CV_ENUM)
		return;                         /* off */
	vs->log_stream = lb_build_log(b, n->val[0].s.p);
	if (n->n_val > 2) {
		vs->log_format = LB_LOG_CUSTOM;
		vs->log_template = build_template(b, &n->val[2], POL_LOG);
	} else if (n->n_val > 1 && str_eq(n->val[1].s, STR("json"))) {
		vs->log_format = LB_LOG_JSON;
	}
}

static void build_trust(struct lb_builder *b, struct lb_vserver *vs)
{
	const struct conf_node *n = conf_child(vs->node, D_VS_TRUST_FORWARDED);

	if (!n)
		return;
	vs->trust = lb_build_alloc(b, n->n_val, sizeof(*vs->trust));
	for (unsigned i = 0; vs->trust && i < n->n_val; i++)
		vs->trust[vs->n_trust++] = n->val[i].cidr;
}

static void build_options(struct lb_builder *b, struct lb_vserver *vs)
{
	static const enum lb_forwarded fwd[] = { LB_FWD_OFF, LB_FWD_X, LB_FWD_7239, LB_FWD_BOTH };
	const struct conf_node *n = vs->node;
	const struct conf_val *via = conf_opt(n, D_VS_VIA), *f = conf_opt(n, D_VS_FORWARDED);

	vs->head_timeout_ms = (uint64_t)conf_opt_int(n, D_VS_HEAD_TIMEOUT) / 1000;
	vs->idle_timeout_ms = (uint64_t)conf_opt_int(n, D_VS_IDLE_TIMEOUT) / 1000;
	if (vs->udp && !conf_child(n, D_VS_IDLE_TIMEOUT))
		vs->idle_timeout_ms = UDP_IDLE_MS;
	vs->responses = conf_child(n, D_VS_RESPONSES) ? (unsigned)conf_opt_int(n, D_VS_RESPONSES) : 0;
	vs->body_timeout_ms = (uint64_t)conf_opt_int(n, D_VS_BODY_TIMEOUT) / 1000;
	vs->body_rate = (uint64_t)conf_opt_int(n, D_VS_BODY_RATE);
	vs->max_head = (uint64_t)conf_opt_int(n, D_VS_MAX_HEAD);
	vs->max_request_line = (uint64_t)conf_opt_int(n, D_VS_MAX_REQUEST_LINE);
	vs->max_fields = (unsigned)conf_opt_int(n, D_VS_MAX_FIELDS);
	vs->max_body = (uint64_t)conf_opt_int(n, D_VS_MAX_BODY);
	vs->keepalive_max = (unsigned)conf_opt_int(n, D_VS_KEEPALIVE_MAX);
	vs->max_connections = (unsigned)conf_opt_int(n, D_VS_MAX_CONNECTIONS);
	vs->upgrade = conf_opt_bool(n, D_VS_UPGRADE);
	vs->view_local = conf_opt_int(n, D_VS_VIEW) == 1;
	b->lc->has_local_view |= vs->view_local;
	vs->half_close = conf_opt_int(n, D_VS_HALF_CLOSE) == 1;
	for (unsigned i = 0; via && !str_eq(via->s, STR("off")) && i < FL_ARRAY_LEN(vs->via); i++)
		vs->via[i] = str_c(pool_fmt(b->lc->mem, "1.%u " STR_FMT, i, STR_ARG(via->s)));
	vs->forwarded = f ? fwd[FL_MIN((uint64_t)f->i, 3)] : LB_FWD_X;
	build_trust(b, vs);
	build_access_log(b, vs);
}

_Static_assert(CONF_RULES_MAX == RSS_RULES, "prefixes of a listener");

/* How narrow it is beside its prefix: ports, then our address. */
static unsigned narrow(const struct rss_more *m)
{
	unsigned ports = m->port_hi ? 65536u - (m->port_hi - m->port_lo) : 0;

	return ports * 256 + (m->to.ip.family ? m->to.bits + 1u : 0);
}

/* Longest prefixes first, of equal ones what has more conditions, so the first that fits is the one that counts; else as
 * written. */
static void add_rule(struct lb_listen *l, const struct cidr *c, const struct rss_more *more, unsigned core)
{
	struct cidr *rule = l->rss.rules;
	struct rss_more *rest = l->rss.more;
	unsigned i = l->rss.n_rules++;

	for (; i > 0 && (rule[i - 1].bits < c->bits ||
			 (rule[i - 1].bits == c->bits && narrow(&rest[i - 1]) < narrow(more))); i--) {
		rule[i] = rule[i - 1];
		rest[i] = rest[i - 1];
		l->rule_core[i] = l->rule_core[i - 1];
	}
	rule[i] = *c;
	rest[i] = *more;
	l->rule_core[i] = core;
}

/* flow CORE from PREFIX [port LOW[-HIGH]] [to PREFIX]; checked by check_flow() */
static void add_flow(struct lb_listen *l, const struct conf_node *n)
{
	struct rss_more more = { .port_lo = 0 };

	for (unsigned i = 3; i + 1 < n->n_val; i += 2) {
		if (str_eq(n->val[i].s, STR("to")))
			more.to = n->val[i + 1].cidr;
		else
			(void)conf_port_range(n->val[i + 1].s, &more.port_lo, &more.port_hi);
	}
	add_rule(l, &n->val[2].cidr, &more, (unsigned)n->val[0].i);
}

static void build_distribute(struct lb_builder *b, struct lb_listen *l)
{
	const struct conf_val *want = conf_opt(l->node, D_LISTEN_DISTRIBUTE);
	const struct conf_node *n = conf_child(l->node, D_LISTEN_DISTRIBUTE);
	const struct conf_val *percent = conf_opt(n, D_LDIST_REBALANCE);

	l->distribute = want ? (enum steer_want)want->i : STEER_AUTO;
	if (l->udp && l->distribute == STEER_AUTO)
		l->distribute = STEER_KERNEL;
	l->rss.hash = conf_opt_int(n, D_LDIST_HASH) == 1 ? RSS_TOEPLITZ : RSS_JHASH;
	l->rss.tuple = 2 + (unsigned)conf_opt_int(n, D_LDIST_TUPLE);
	l->rebalance = percent && percent->type == CV_COUNT ? (unsigned)percent->i : 0;
	if (l->distribute != STEER_RULES)
		return;
	l->rss.rules = pool_array(b->lc->mem, RSS_RULES, sizeof(*l->rss.rules));
	l->rule_core = pool_array(b->lc->mem, RSS_RULES, sizeof(*l->rule_core));
	l->rss.more = pool_array(b->lc->mem, RSS_RULES, sizeof(*l->rss.more));
	if (!l->rss.rules || !l->rule_core || !l->rss.more) {
		b->nomem = true;
		return;
	}
	CONF_FOREACH(c, n, D_LDIST_CORE)
		for (unsigned i = 1; i < c->n_val && l->rss.n_rules < RSS_RULES; i++)
			add_rule(l, &c->val[i].cidr, &(struct rss_more){ .port_lo = 0 }, (unsigned)c->val[0].i);
	CONF_FOREACH(f, n, D_LDIST_FLOW)
		if (l->rss.n_rules < RSS_RULES)
			add_flow(l, f);
}

static void build_cores(struct lb_listen *l)
{
	const struct conf_node *n = conf_child(l->node, D_LISTEN_CORES);

	if (!n)
		n = conf_child(l->vserver->node, D_VS_CORES);
	for (unsigned i = 0; n && i < n->n_val; i++)
		(void)core_set_read(&l->cores, n->val[i].s);
}

static void build_listens(struct lb_builder *b, struct lb_vserver *vs)
{
	CONF_FOREACH(n, vs->node, D_VS_LISTEN) {
		struct lb_listen *l = &b->lc->listens[b->lc->n_listens++];
		const struct conf_node *tls = conf_child(n, D_LISTEN_TLS);
		char text[ADDR_TEXT_MAX];

		l->addr = n->val[0].addr;
		l->node = n;
		l->vserver = vs;
		l->row = STAT_NO_ROW;
		l->udp = vs->udp;
		l->backlog = (int)conf_opt_int(n, D_LISTEN_BACKLOG);
		l->congestion = conf_opt_word(n, D_POOL_CONGESTION);
		build_distribute(b, l);
		build_cores(l);
		l->device = conf_opt_word(n, D_LISTEN_DEVICE);
		l->full_name = pool_fmt(b->lc->mem, "%s/%s%s%s", vs->name, addr_text(&l->addr, text), l->device ? "@" : "",
					l->device ? l->device : "");
		l->uses_tls = tls != NULL;
		if (tls)
			l->tls = b->with_tls ? lb_build_server(b->lc->conf, tls, b->d) :
					       tls_server_build_public(b->lc->conf, tls);
		if (!l->full_name)
			b->nomem = true;
	}
}

/* Who uses a pool, its backups included; references of pools go round in no circle. */
static void mark_pool(struct lb_pool *p, const struct lb_vserver *vs)
{
	bool *mark = vs->udp ? &p->for_udp : &p->for_others;

	if (*mark)
		return;
	*mark = true;
	for (unsigned i = 0; i < p->n_backups; i++)
		mark_pool(p->backups[i], vs);
}

static void mark_rule(const struct pol_rule *r, const struct lb_vserver *vs)
{
	if (r->act == POL_ACT_USE_POOL && r->target)
		mark_pool(r->target, vs);
}

/* A service that speaks UDP need not take TCP connections: the tcp monitor that pools have when they
 * name none would call it DOWN. */
static void no_tcp_monitor_for_udp(struct lb_config *lc)
{
	for (unsigned i = 0; i < lc->n_vservers; i++) {
		const struct lb_vserver *vs = &lc->vservers[i];

		for (unsigned k = 0; k < vs->rules.n; k++)
			mark_rule(&vs->rules.rules[k], vs);
		mark_rule(&vs->dflt, vs);
	}
	for (unsigned i = 0; i < lc->n_pools; i++) {
		struct lb_pool *p = &lc->pools[i];

		if (p->for_udp && !p->for_others && !conf_child(p->node, D_POOL_MONITOR))
			p->n_monitors = 0;
	}
}

void lb_build_vservers(struct lb_builder *b)
{
	struct lb_config *lc = b->lc;
	unsigned n_vs = 0, n_listen = 0;

	CONF_FOREACH(n, lc->conf->root, D_VSERVER) {
		n_vs++;
		CONF_FOREACH(l, n, D_VS_LISTEN)
			n_listen++;
	}
	lc->vservers = lb_build_alloc(b, n_vs, sizeof(*lc->vservers));
	lc->listens = lb_build_alloc(b, n_listen, sizeof(*lc->listens));
	if (b->nomem)
		return;
	/* All are named before any rule is built: rules refer forward. */
	CONF_FOREACH(n, lc->conf->root, D_VSERVER) {
		struct lb_vserver *vs = &lc->vservers[lc->n_vservers++];
		const char *proto = conf_opt_word(n, D_VS_PROTOCOL);

		vs->name = n->name;
		vs->node = n;
		vs->row = STAT_NO_ROW;
		vs->http = !proto || strcmp(proto, "http") == 0;
		vs->udp = proto && strcmp(proto, "udp") == 0;
		CONF_FOREACH(l, n, D_VS_LISTEN)
			vs->has_tls |= conf_child(l, D_LISTEN_TLS) != NULL;
		lb_build_register(b, "vserver", vs->name, vs);
	}
	for (unsigned i = 0; i < lc->n_vservers && !b->nomem; i++) {
		build_options(b, &lc->vservers[i]);
		build_listens(b, &lc->vservers[i]);
		build_rules(b, &lc->vservers[i]);
		if (module_config(&lc->vservers[i], lc->mem, b->d) < 0)
			b->nomem = true;
	}
	if (!b->nomem)
		no_tcp_monitor_for_udp(lc);
}
