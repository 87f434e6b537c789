/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_vserver.c - rules about vservers and their policies; expressions and templates go to their
 * hooks
 *
 * Which facts an expression may ask for follows from where it stands: the plane.
 */
#include "config.h"

#include "conf/inside.h"

/* POL_* of policy/policy.h, a higher room that conf may not include; the unit test of the hooks in
 * policy/ would break if they changed. */
#define PLANE_CONN  0x01u
#define PLANE_HELLO 0x02u
#define PLANE_REQ   0x04u
#define PLANE_RESP  0x08u
#define PLANE_DGRAM 0x10u
#define PLANE_LOG   0x20u

enum { PROTO_HTTP, PROTO_TCP, PROTO_UDP };      /* order of the words in directives.def */

static bool is_http(const struct conf_node *vs)
{
	return conf_opt_int(vs, D_VS_PROTOCOL) == PROTO_HTTP;
}

static bool is_udp(const struct conf_node *vs)
{
	return conf_opt_int(vs, D_VS_PROTOCOL) == PROTO_UDP;
}

/* ---------- hooks ---------- */

static void hook_failed(struct loader *ld, const struct conf_val *v,
			const struct conf_expr_error *e)
{
	struct tok t = { .loc = v->loc, .raw = v->raw };
	struct conf_loc loc = v->loc;
	unsigned span = v->span;
	size_t quote =
		v->type == CV_TEMPLATE && v->raw.n && (v->raw.p[0] == '"' || v->raw.p[0] == '`');
	size_t off = FL_MIN(e->off, v->s.n), len = FL_MIN(e->len, v->s.n - off);

	/* offsets count in the text; they are places in the source when both are the same */
	if (v->type == CV_EXPR || (v->raw.n == v->s.n + 2 * quote &&
				   memcmp(v->raw.p + quote, v->s.p, v->s.n) == 0)) {
		loc = lex_locate(&t, off + quote);
		span = FL_MAX(lex_columns(str_n(v->s.p + off, len)), 1u);
	}
	conf_error(ld->d, loc, span, e->hint[0] ? e->hint : NULL, "[E0404] %s", e->text);
}

static void run_hook(struct loader *ld, const struct conf_val *v, unsigned planes)
{
	int (*check)(struct str, unsigned, struct conf_expr_error *) =
		v->type == CV_EXPR ? conf_hooks.check_expr : conf_hooks.check_template;
	struct conf_expr_error e = { .len = 1 };

	if (check && check(v->s, planes, &e) < 0)
		hook_failed(ld, v, &e);
}

void check_templates(struct loader *ld, const struct conf_node *n)
{
	unsigned planes = PLANE_REQ;

	if (n->dir->id == D_ACT_SET_RESPONSE_HEADER)
		planes = PLANE_RESP;
	else if (n->dir->id == D_ACCESS_LOG)
		planes = PLANE_LOG;
	for (unsigned i = 0; i < n->n_val; i++)
		if (n->val[i].type == CV_TEMPLATE)
			run_hook(ld, &n->val[i], planes);
}

/* ---------- actions ---------- */

static bool terminal(enum tbl_dir id)
{
	return id == D_ACT_USE || id == D_ACT_RESPOND || id == D_ACT_REDIRECT || id == D_ACT_REJECT;
}

static void check_redirect_status(struct loader *ld, const struct conf_val *v)
{
	if (v->i != 301 && v->i != 302 && v->i != 303 && v->i != 307 && v->i != 308)
		conf_error(ld->d, v->loc, v->span, NULL,
			   "[E0302] a redirect has status 301, 302, 303, 307 or 308");
}

static void check_respond(struct loader *ld, const struct conf_val *status,
			  const struct conf_val *text)
{
	if (text && (status->i == 204 || status->i == 304) && text->s.n)
		conf_error(ld->d, text->loc, text->span, NULL,
			   "[E0401] a response with status %d has no text", (int)status->i);
}

/* RFC 9110 section 5.6.2 */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= 0x20 || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
			return false;
	}
	return s.n > 0;
}

/* What may hold anything, fit for a message. */
static const char *shown(const struct conf_val *v, char mem[80])
{
	struct sb b;

	sb_init(&b, mem, 80);
	sb_ch(&b, '"');
	sb_escape(&b, v->s, 60);
	sb_ch(&b, '"');
	return mem;
}

bool conf_check_field_name(struct conf_diag *d, const struct conf_val *v)
{
	static const char *const framing[] = {
		"Content-Length",   "Transfer-Encoding", "Connection", "Keep-Alive",
		"Proxy-Connection", "Upgrade",           "TE",         "Trailer",
	};
	char text[80];

	if (!is_token(v->s)) {
		conf_error(d, v->loc, v->span,
			   v->s.n && v->s.p[v->s.n - 1] == ':' ? "leave the colon off" : NULL,
			   "[E0301] %s is not the name of a header field", shown(v, text));
		return false;
	}
	for (size_t i = 0; i < FL_ARRAY_LEN(framing); i++)
		if (str_ieq(v->s, str_c(framing[i]))) {
			conf_error(
				d, v->loc, v->span, NULL,
				"[E0401] \"%s\" says how messages are framed: it is made by fairlead alone",
				framing[i]);
			return false;
		}
	return true;
}

static void check_header_name(struct loader *ld, const struct conf_node *n)
{
	const struct conf_val *v = &n->val[0];

	if (!n->n_val)
		return;
	(void)conf_check_field_name(ld->d, v);
	if (n->dir->id == D_ACT_REMOVE_HEADER && str_ieq(v->s, STR("Host")))
		conf_error(ld->d, v->loc, v->span, NULL,
			   "[E0401] a request without \"Host\" is no valid request");
}

static void check_use(struct loader *ld, const struct conf_node *vs, const struct conf_node *n)
{
	const struct conf_val *v = n->n_val ? &n->val[n->n_val - 1] : NULL;

	if (!v || v->type != CV_REF || !v->ref || v->ref->broken)
		return;
	if (v->ref->dir->id == D_POOL) {
		if (is_udp(vs) && conf_child(v->ref, D_POOL_TLS))
			conf_error(ld->d, v->loc, v->span, NULL,
				   "[E0401] pool \"%s\" speaks TLS, which does not go over datagrams",
				   v->ref->name);
		return;
	}
	if (conf_opt_int(v->ref, D_VS_PROTOCOL) != conf_opt_int(vs, D_VS_PROTOCOL))
		conf_error(ld->d, v->loc, v->span, NULL,
			   "[E0401] vserver \"%s\" has another protocol than vserver \"%s\"", v->ref->name,
			   vs->name ? vs->name : "");
}

static void need_http(struct loader *ld, const struct conf_loc loc, unsigned span, const char *what)
{
	conf_error(ld->d, loc, span, NULL, "[E0109] \"%s\" needs \"protocol http\"", what);
}

static void check_action(struct loader *ld, const struct conf_node *vs, const struct conf_node *n)
{
	bool http = is_http(vs);
	enum tbl_dir id = n->dir->id;

	if (n->broken)
		return;
	if (!http && id != D_ACT_USE && id != D_ACT_REJECT) {
		need_http(ld, n->loc, n->span, n->dir->name);
		return;
	}
	switch (id) {
	case D_ACT_USE:
		check_use(ld, vs, n);
		break;
	case D_ACT_REJECT:
		if (!http && n->n_val)
			conf_error(
				ld->d, n->val[0].loc, n->val[0].span, NULL,
				"[E0109] a status needs \"protocol http\"; here the %s",
				is_udp(vs) ? "datagram is dropped" : "connection is closed");
		break;
	case D_ACT_REDIRECT:
		if (n->n_val && n->val[0].type == CV_COUNT)
			check_redirect_status(ld, &n->val[0]);
		break;
	case D_ACT_RESPOND:
		check_respond(ld, &n->val[0], n->n_val > 1 ? &n->val[1] : NULL);
		break;
	default:
		check_header_name(ld, n);
		break;
	}
	check_templates(ld, n);
}

/* ---------- policies ---------- */

static void check_policy(struct loader *ld, const struct conf_node *vs, const struct conf_node *p,
			 unsigned planes)
{
	const struct conf_node *last = NULL;

	for (unsigned i = 0; i < p->n_val; i++)
		if (p->val[i].type == CV_EXPR)
			run_hook(ld, &p->val[i], planes);
	for (const struct conf_node *n = p->child; n; n = n->next) {
		check_action(ld, vs, n);
		if (!terminal(n->dir->id))
			continue;
		if (last)
			conf_error(ld->d, n->loc, n->span, NULL,
				   "[E0401] %s decides twice: \"%s\" (line %u) and \"%s\"",
				   node_title(ld->pool, p), last->dir->name, last->loc.line,
				   n->dir->name);
		last = n;
	}
	if (!p->child && !p->broken)
		conf_error(ld->d, p->loc, p->span,
			   "write it as in: policy p when EXPR { respond 403 }", "[E0401] %s has no action",
			   node_title(ld->pool, p));
}

static void check_reached(struct loader *ld, const struct conf_node *vs)
{
	const struct conf_node *always = NULL;

	CONF_FOREACH(p, vs, D_VS_POLICY) {
		if (always) {
			conf_warn(ld->d, p->loc, p->span, NULL,
				  "[W0403] %s is never reached: policy \"%s\" (line %u) always decides",
				  node_title(ld->pool, p), always->name, always->loc.line);
			return;
		}
		if (p->n_val == 1 && !p->broken && p->name)
			for (const struct conf_node *n = p->child; n; n = n->next)
				if (terminal(n->dir->id))
					always = p;
	}
}

static void check_default(struct loader *ld, const struct conf_node *vs, const struct conf_node *n)
{
	const struct conf_val *v = n->val;
	bool http = is_http(vs);

	if (n->broken || n->n_val == 0)
		return;
	if (str_eq(v[0].s, STR("use"))) {
		check_use(ld, vs, n);
		return;
	}
	if (!http && (n->n_val > 1 || !str_eq(v[0].s, STR("reject")))) {
		need_http(ld, v[0].loc, v[0].span, v[0].s.p);
		return;
	}
	if (n->n_val > 1 && v[1].type == CV_COUNT) {
		int64_t lo = str_eq(v[0].s, STR("reject"))    ? 400
			     : str_eq(v[0].s, STR("respond")) ? 200
							      : 300;

		if (v[1].i < lo || v[1].i > 599)
			conf_error(ld->d, v[1].loc, v[1].span, NULL,
				   "[E0302] the status of \"%s\" must be %d to 599", v[0].s.p, (int)lo);
		else if (lo == 300)
			check_redirect_status(ld, &v[1]);
		else if (lo == 200)
			check_respond(ld, &v[1], n->n_val > 2 ? &v[2] : NULL);
	}
	check_templates(ld, n);
}

/* ---------- listeners ---------- */

static void taken(struct loader *ld, const struct conf_node *l, const struct conf_node *first,
		  bool same)
{
	const struct conf_val *v = &l->val[0];
	char hint[200];
	struct sb b;

	sb_init(&b, hint, sizeof(hint));
	sb_fmt(&b, "the other is in %s:%u:%u", first->val[0].loc.file, first->val[0].loc.line,
	       first->val[0].loc.col);
	conf_error(ld->d, v->loc, v->span, hint, "[E0202] \"%.60s\" %s \"%.60s\" of %s%s", v->s.p,
		   same ? "is the same address as" : "overlaps", first->val[0].s.p,
		   node_title(ld->pool, first->parent),
		   first->dir->id == D_ADMIN_HTTP ? " http" : "");
}

#define DEVICE_MAX 16u  /* the kernel's, with its end */
#define KEY_MAX (ADDR_TEXT_MAX + 4 + 2 + DEVICE_MAX)
#define SOME_DEVICE "*"

/* An address that is asked for; udp and tcp have ports of their own. Where two are on two devices both may have it. */
struct claim {
	struct addr addr;
	bool udp;
	const char *device;     /* NULL: all */
};

/* The key of an address, or of "some address of this family at this port". */
static struct str key_of(const struct claim *c, bool some, const char *device, char key[KEY_MAX])
{
	char text[ADDR_TEXT_MAX];
	struct sb b;

	sb_init(&b, key, KEY_MAX);
	sb_c(&b, c->udp ? "udp " : "");
	if (some)
		sb_fmt(&b, "%s %u", addr_ip(&c->addr).family == AF_INET ? "4" : "6",
		       addr_port(&c->addr));
	else
		sb_c(&b, addr_text(&c->addr, text));
	if (device)
		sb_fmt(&b, " @%s", device);
	return sb_get(&b);
}

/* On all devices, or on the same; who asks for all meets whoever has one. */
static const struct conf_node *who_has(struct map *listens, const struct claim *c, bool some)
{
	char key[KEY_MAX];
	const struct conf_node *n = map_get(listens, key_of(c, some, NULL, key));

	return n ? n : map_get(listens, key_of(c, some, c->device ? c->device : SOME_DEVICE, key));
}

static void note_as(struct loader *ld, struct map *listens, const struct claim *c, bool some, const char *device,
		    const struct conf_node *l)
{
	char text[KEY_MAX];
	struct str key = pool_str(ld->pool, key_of(c, some, device, text));

	ld->oom |= !key.p || (!map_get(listens, key) &&
			      map_add(listens, key, (void *)(uintptr_t)l) == FL_ENOMEM_);
}

static void note(struct loader *ld, struct map *listens, const struct claim *c, bool some,
		 const struct conf_node *l)
{
	note_as(ld, listens, c, some, c->device, l);
	if (c->device)
		note_as(ld, listens, c, some, SOME_DEVICE, l);
}

/* Who has an address that is not the same but would get some of the connections? "::" serves IPv4,
 * too. The kernel would prefer the closer one, but then two vservers answer for what one promises, and
 * which does depends on whether the other is there (ROBUSTNESS 6.1). */
static const struct conf_node *who_overlaps(struct map *listens, const struct claim *c)
{
	const struct ip any4 = { .family = AF_INET }, any6 = { .family = AF_INET6 };
	bool any = addr_is_any(&c->addr), v4 = addr_ip(&c->addr).family == AF_INET;
	struct claim a4 = { .udp = c->udp, .device = c->device }, a6 = a4;
	const struct conf_node *n;

	addr_from_ip(&a4.addr, any4, addr_port(&c->addr));
	addr_from_ip(&a6.addr, any6, addr_port(&c->addr));
	n = who_has(listens, &a6, false);
	if (!n && (v4 || any))
		n = who_has(listens, &a4, false);
	if (!n && any)
		n = who_has(listens, &a4, true);
	if (!n && any && !v4)
		n = who_has(listens, &a6, true);
	return n;
}

void check_claim(struct loader *ld, const struct conf_node *l, struct map *listens)
{
	struct claim c = { .addr = l->val[0].addr,
			   .udp = l->parent && l->parent->dir->id == D_VSERVER && is_udp(l->parent),
			   .device = conf_opt_word(l, D_LISTEN_DEVICE) };
	const struct conf_node *first;

	addr_norm(&c.addr);
	first = who_has(listens, &c, false);
	if (first) {
		taken(ld, l, first, true);
		return;
	}
	first = who_overlaps(listens, &c);
	if (first)
		taken(ld, l, first, false);
	note(ld, listens, &c, false, l);
	if (!addr_is_any(&c.addr))
		note(ld, listens, &c, true, l);
}

static void check_distribute(struct loader *ld, const struct conf_node *n)
{
	static const enum tbl_dir options[] = { D_LDIST_HASH, D_LDIST_TUPLE, D_LDIST_REBALANCE, D_LDIST_CORE,
						D_LDIST_FLOW };
	struct str how = n->n_val ? n->val[0].s : STR_NULL;
	bool rules = str_eq(how, STR("rules")), least = str_eq(how, STR("least-load"));
	const struct conf_node *off = least ? conf_child(n, D_LDIST_REBALANCE) : NULL;
	unsigned prefixes = 0;

	for (size_t i = 0; i < FL_ARRAY_LEN(options); i++) {
		const struct conf_node *o = conf_child(n, options[i]);

		bool rule = options[i] == D_LDIST_CORE || options[i] == D_LDIST_FLOW;

		if (o && !rules && (rule || !(least || str_eq(how, STR("rss")))))
			conf_error(ld->d, o->loc, o->span, NULL, "[E0109] \"%s\" needs \"distribute %s\"", o->dir->name,
				   rule ? "rules" : "rss");
	}
	CONF_FOREACH(c, n, D_LDIST_CORE)
		prefixes += c->n_val ? c->n_val - 1 : 0;
	CONF_FOREACH(f, n, D_LDIST_FLOW) {
		check_flow(ld, f);
		prefixes++;
	}
	if (rules && !prefixes)
		conf_error(ld->d, n->loc, n->span, "e.g. distribute rules { core 0 10.0.0.0/8 }",
			   "[E0108] \"distribute rules\" has no rule");
	if (off && off->n_val && off->val[0].type != CV_COUNT)
		conf_error(ld->d, off->loc, off->span, "distribute rss { rebalance off }",
			   "[E0401] \"distribute least-load\" is to rebalance, \"rebalance off\" forbids it");
	if (prefixes > CONF_RULES_MAX)
		conf_error(ld->d, n->loc, n->span, NULL, "[E0302] %u prefixes: a listener may have %u", prefixes,
			   CONF_RULES_MAX);
}

/* What the kernel takes as the name of a device. False: reported. */
static bool check_device(struct loader *ld, const struct conf_node *l)
{
	const struct conf_val *v = conf_opt(l, D_LISTEN_DEVICE);
	bool good = !v || (v->s.n > 0 && v->s.n < DEVICE_MAX && !str_eq(v->s, STR(".")) && !str_eq(v->s, STR("..")));

	for (size_t i = 0; v && i < v->s.n; i++)
		good &= v->s.p[i] > ' ' && v->s.p[i] < 0x7f && !strchr("/:*@", v->s.p[i]);
	if (!good)
		conf_error(ld->d, v->loc, v->span, "`ip link` lists them",
			   "[E0301] \"%.60s\" is no name of a network device", v->s.p);
	return good;
}

static void check_listen(struct loader *ld, const struct conf_node *l, struct map *listens)
{
	const struct conf_node *distribute = conf_child(l, D_LISTEN_DISTRIBUTE);
	const struct conf_node *tls = conf_child(l, D_LISTEN_TLS);

	if (tls && !tls->broken && conf_opt_int(tls, D_LTLS_CLIENT_VERIFY) > 0 &&
	    !conf_child(tls, D_LTLS_CLIENT_CA))
		conf_error(ld->d, tls->loc, tls->span, NULL,
			   "[E0108] \"client-verify\" needs \"client-ca\"");
	if (tls && !tls->broken && conf_opt_int(tls, D_LTLS_CLIENT_VERIFY) == 0 &&
	    conf_child(tls, D_LTLS_CLIENT_CA))
		conf_warn(ld->d, tls->loc, tls->span, "write client-verify optional or required",
			  "[W0402] \"client-ca\" without \"client-verify\": no certificate is asked for");
	if (distribute && !distribute->broken)
		check_distribute(ld, distribute);
	if (check_device(ld, l) && l->n_val)
		check_claim(ld, l, listens);
}

/* What belongs to connections. */
static void check_udp_options(struct loader *ld, const struct conf_node *vs)
{
	static const enum tbl_dir listen_tcp[] = { D_LISTEN_TLS, D_LISTEN_BACKLOG, D_POOL_CONGESTION };
	const struct conf_node *n = conf_child(vs, D_VS_HEAD_TIMEOUT);

	if (n)
		need_http(ld, n->loc, n->span, n->dir->name);
	CONF_FOREACH(l, vs, D_VS_LISTEN) {
		for (size_t i = 0; i < FL_ARRAY_LEN(listen_tcp); i++) {
			n = conf_child(l, listen_tcp[i]);
			if (n)
				conf_error(ld->d, n->loc, n->span, NULL,
					   "[E0109] \"%s\" is for connections: it does not fit \"protocol udp\"",
					   n->dir->name);
		}
		n = conf_child(l, D_LISTEN_DISTRIBUTE);
		if (n && n->n_val && (str_eq(n->val[0].s, STR("cpu")) || str_eq(n->val[0].s, STR("shared")) ||
				      str_eq(n->val[0].s, STR("least-load"))))
			conf_error(ld->d, n->val[0].loc, n->val[0].span, "kernel, rss or rules",
				   "[E0109] \"distribute " STR_FMT "\" does not fit \"protocol udp\": a flow would be in one worker's "
				   "table and its datagrams would come to others", STR_ARG(n->val[0].s));
	}
}

/* It is written into heads as it is. */
static void check_via(struct loader *ld, const struct conf_node *n)
{
	char text[80];

	if (n && n->n_val && !is_token(n->val[0].s))
		conf_error(ld->d, n->val[0].loc, n->val[0].span, "letters, digits and -._~ among others, no blank",
			   "[E0301] %s is no pseudonym for Via: it is a token (RFC 9110)", shown(&n->val[0], text));
}

void check_vserver(struct loader *ld, const struct conf_node *vs, struct map *listens)
{
	static const enum tbl_dir http_only[] = {
		D_VS_BODY_TIMEOUT, D_VS_BODY_RATE,       D_VS_MAX_HEAD,      D_VS_MAX_REQUEST_LINE,
		D_VS_MAX_FIELDS,   D_VS_MAX_BODY,        D_VS_KEEPALIVE_MAX, D_VS_VIA,
		D_VS_FORWARDED,    D_VS_TRUST_FORWARDED, D_VS_UPGRADE,       D_ACCESS_LOG,
		D_VS_HALF_CLOSE,
	};
	const struct conf_node *def = conf_child(vs, D_VS_DEFAULT);
	const struct conf_node *responses = conf_child(vs, D_VS_RESPONSES);
	bool http = is_http(vs), tls = false;
	unsigned planes;

	CONF_FOREACH(l, vs, D_VS_LISTEN) {
		check_listen(ld, l, listens);
		tls |= conf_child(l, D_LISTEN_TLS) != NULL;
	}
	planes = http ? PLANE_REQ : is_udp(vs) ? PLANE_DGRAM : tls ? PLANE_HELLO : PLANE_CONN;
	if (is_udp(vs))
		check_udp_options(ld, vs);
	else if (responses)
		conf_error(ld->d, responses->loc, responses->span, NULL,
			   "[E0109] \"responses\" needs \"protocol udp\"");
	for (size_t i = 0; i < FL_ARRAY_LEN(http_only) && !http; i++) {
		const struct conf_node *n = conf_child(vs, http_only[i]);

		if (n)
			need_http(ld, n->loc, n->span, n->dir->name);
	}
	CONF_FOREACH(p, vs, D_VS_POLICY)
		check_policy(ld, vs, p, planes);
	check_reached(ld, vs);
	check_cores(ld, vs);
	if (def)
		check_default(ld, vs, def);
	CONF_FOREACH(n, vs, D_ACCESS_LOG)
		check_templates(ld, n);
	check_via(ld, conf_child(vs, D_VS_VIA));
}
