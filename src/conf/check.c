/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c - rules about whole objects: monitors, pools, and what is the appliance's as a whole
 *
 * A node that is marked broken had a mistake already: what it lacks may be that mistake, so
 * nothing is said of what is missing in it. Vservers and policies: check_vserver.c.
 */
#include "config.h"

#include "conf/inside.h"

#include "base/cores.h"

#include <ctype.h>

static void err_at(struct loader *ld, const struct conf_node *n, const char *hint, const char *text)
{
	conf_error(ld->d, n->loc, n->span, hint, "[E0401] %s", text);
}

/* Options that the table says must be given. */
static void check_required(struct loader *ld, const struct conf_node *n)
{
	if (n->broken)
		return;
	for (unsigned i = 1; i < D__COUNT; i++)
		if ((tbl_dirs[i].ctx & n->dir->opens) && (tbl_dirs[i].flags & DF_REQ) &&
		    !conf_child(n, (enum tbl_dir)i))
			conf_error(ld->d, n->loc, n->span, NULL, "[E0108] \"%s\" needs \"%s\"",
				   tbl_ctx_name(n->dir->opens), tbl_dirs[i].name);
}

/* ---------- monitors ---------- */

enum { MON_PING, MON_TCP, MON_HTTP };

static void check_send(struct loader *ld, const struct conf_node *n)
{
	struct str rest = n->val[0].s, method = str_cut(&rest, ' ');
	bool good = method.n > 0 && rest.n > 0 && (rest.p[0] == '/' || str_eq(rest, STR("*")));

	for (size_t i = 0; i < method.n; i++)
		good &= method.p[i] >= 'A' && method.p[i] <= 'Z';
	for (size_t i = 0; i < rest.n; i++)
		good &= (unsigned char)rest.p[i] > 0x20 && rest.p[i] != 0x7f;
	if (!good)
		conf_error(ld->d, n->val[0].loc, n->val[0].span,
			   "write it as in \"GET /healthz\"; the version is ours",
			   "[E0301] \"send\" of an http monitor is a method and a path");
}

/* It is written into the probe's head as it is. */
static void check_host(struct loader *ld, const struct conf_node *n)
{
	const struct conf_val *v = n && n->n_val ? &n->val[0] : NULL;

	for (size_t i = 0; v && i < v->s.n; i++)
		if ((unsigned char)v->s.p[i] <= 0x20 || v->s.p[i] == 0x7f) {
			conf_error(ld->d, v->loc, v->span, "write it as in app.example or app.example:8080",
				   "[E0301] \"host\" of a monitor holds a blank or control character");
			return;
		}
}

static void check_status_words(struct loader *ld, const struct conf_node *n)
{
	for (unsigned i = 1; i < n->n_val; i++) {
		struct str hi = n->val[i].s, lo = str_cut(&hi, '-');
		bool range = n->val[i].s.n != lo.n;
		uint64_t a = 0, b = 0;

		if (str_u64(lo, &a) && lo.n == 3 && a >= 100 && a <= 599 &&
		    (!range || (str_u64(hi, &b) && hi.n == 3 && b >= a && b <= 599)))
			continue;
		conf_error(ld->d, n->val[i].loc, n->val[i].span, "write it as in 200 or 200-399",
			   "[E0301] \"%.40s\" is no status or range of statuses", n->val[i].s.p);
	}
}

static void check_expect(struct loader *ld, const struct conf_node *n, int64_t type)
{
	bool bytes = n->n_val && str_eq(n->val[0].s, STR("bytes"));

	if (n->n_val < 2)
		return;
	if (type == MON_TCP && !bytes)
		err_at(ld, n, "a tcp monitor has \"expect bytes\"",
		       "\"expect status\" and \"expect body\" are for http monitors");
	else if (type == MON_HTTP && bytes)
		err_at(ld, n, "an http monitor has \"expect body\"",
		       "\"expect bytes\" is for tcp monitors");
	else if (str_eq(n->val[0].s, STR("status")))
		check_status_words(ld, n);
	else if (n->val[1].s.n == 0)
		conf_error(ld->d, n->val[1].loc, n->val[1].span, NULL,
			   "[E0401] every answer holds an empty text");
}

static void check_times(struct loader *ld, const struct conf_node *m)
{
	const struct conf_node *every = conf_child(m, D_MON_EVERY),
			       *timeout = conf_child(m, D_MON_TIMEOUT), *at;
	int64_t e = conf_opt_int(m, D_MON_EVERY), t = conf_opt_int(m, D_MON_TIMEOUT);
	char mem[200];
	struct sb b;

	if ((every && every->broken) || (timeout && timeout->broken) || t < e)
		return;
	at = timeout ? timeout : every;
	sb_init(&b, mem, sizeof(mem));
	sb_c(&b, "a probe must end before the next begins: write timeout ");
	val_number_text(CV_TIME, e / 2 / 1000 * 1000 > 0 ? e / 2 / 1000 * 1000 : e / 2, &b);
	sb_c(&b, timeout ? "" : "; without it the timeout is ");
	if (!timeout)
		val_number_text(CV_TIME, t, &b);
	conf_error(ld->d, at ? at->loc : m->loc, at ? at->span : m->span, b.p,
		   "[E0401] \"timeout\" of %s is not below \"every\"", node_title(ld->pool, m));
}

static void check_monitor(struct loader *ld, const struct conf_node *m)
{
	static const struct { enum tbl_dir id; unsigned types;
	} fits[] = {
		{ D_MON_SEND, 1 << MON_TCP | 1 << MON_HTTP },
		{ D_MON_EXPECT, 1 << MON_TCP | 1 << MON_HTTP },
		{ D_MON_HOST, 1 << MON_HTTP },
		{ D_MON_PORT, 1 << MON_TCP | 1 << MON_HTTP },
		{ D_MON_TLS, 1 << MON_TCP | 1 << MON_HTTP },
	};
	const struct conf_node *send;
	int64_t type;

	check_times(ld, m);
	if (m->n_val < 2)
		return;
	type = m->val[1].i;
	for (const struct conf_node *n = m->child; n; n = n->next)
		for (size_t i = 0; i < FL_ARRAY_LEN(fits); i++)
			if (n->dir->id == fits[i].id && !(fits[i].types & 1u << type))
				conf_error(ld->d, n->loc, n->span, NULL,
					   "[E0109] \"%s\" does not fit a monitor of type %s", n->dir->name,
					   m->val[1].s.p);
	check_host(ld, conf_child(m, D_MON_HOST));
	send = conf_child(m, D_MON_SEND);
	if (type == MON_HTTP && send && send->n_val)
		check_send(ld, send);
	if (type != MON_PING)
		CONF_FOREACH(n, m, D_MON_EXPECT)
			check_expect(ld, n, type);
}

/* ---------- pools ---------- */

static void check_pool_monitors(struct loader *ld, const struct conf_node *p)
{
	const struct conf_node *first = conf_child(p, D_POOL_MONITOR),
			       *more = first ? conf_same(first) : NULL;

	CONF_FOREACH(n, p, D_POOL_MONITOR)
		if (more && n->n_val && n->val[0].type == CV_ENUM)
			err_at(ld, n, NULL, "\"monitor none\" beside other monitors");
}

static void check_pool(struct loader *ld, const struct conf_node *p)
{
	const struct conf_node *svc = conf_child(p, D_POOL_SERVICE);
	bool weight = false;

	check_pool_monitors(ld, p);
	if (!svc) {
		if (!p->broken)
			conf_error(ld->d, p->loc, p->span,
				   "write it as in: service a1 10.0.0.11:8080", "[E0108] %s has no service",
				   node_title(ld->pool, p));
		return;
	}
	for (const struct conf_node *n = svc; n && !weight; n = conf_same(n))
		weight = n->broken || conf_opt_int(n, D_SVC_WEIGHT) > 0;
	if (!weight)
		conf_warn(ld->d, p->loc, p->span, NULL,
			  "[W0402] every service of %s has weight 0: it takes no traffic",
			  node_title(ld->pool, p));
}

/* ---------- the whole ---------- */

static void check_admin(struct loader *ld, const struct conf_node *a, struct map *listens)
{
	const struct conf_node *sock = conf_child(a, D_ADMIN_SOCKET),
			       *http = conf_child(a, D_ADMIN_HTTP);
	size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (sock && sock->n_val && sock->val[0].s.n > most)
		conf_error(ld->d, sock->val[0].loc, sock->val[0].span, NULL,
			   "[E0302] path is longer than the %u bytes that a socket may have",
			   (unsigned)most);
	if (http && http->n_val)
		check_claim(ld, http, listens);
}

/* Pools and vservers that nothing leads to. */
static void check_unused(struct loader *ld)
{
	static int used;

	for (const struct ref_fix *f = ld->refs; f; f = f->next) {
		struct conf_node *to = f->node->val[f->val].ref;

		if (to)
			to->obj = &used;
	}
	for (struct conf_node *n = ld->c->root->child; n; n = n->next) {
		bool unused = !n->obj && !n->broken;

		n->obj = NULL;
		if (!unused)
			continue;
		if (n->dir->id == D_POOL && !ld->c->root->broken)
			conf_warn(ld->d, n->loc, n->span, NULL, "[W0403] %s is never used",
				  node_title(ld->pool, n));
		else if (n->dir->id == D_VSERVER && !conf_child(n, D_VS_LISTEN))
			conf_warn(ld->d, n->loc, n->span,
				  "give it a \"listen\", or go to it with \"use vserver\"",
				  "[W0403] %s has no \"listen\" and is never used",
				  node_title(ld->pool, n));
	}
}

static void check_resolvers(struct loader *ld, const struct conf_node *r)
{
	for (unsigned i = 0; i < r->n_val; i++)
		if (addr_is_any(&r->val[i].addr))
			conf_error(ld->d, r->val[i].loc, r->val[i].span, NULL,
				   "[E0301] \"%.60s\" is no single address", r->val[i].s.p);
}

static void check_cycle(struct loader *ld, const struct conf_node *n)
{
	for (unsigned i = 1; i < n->n_val; i++)
		if (n->val[i].type == CV_COUNT && (n->val[i].i < 1 || n->val[i].i > 1000))
			conf_error(ld->d, n->val[i].loc, n->val[i].span, "write it as in early 20",
				   "[E0301] \"early\" of \"consolidate\" is a percentage, 1 to 1000");
}

/* Without a number of workers the machine is asked (proc/machine.c). */
static void check_function_cores(struct loader *ld, const struct conf_node *n, const struct conf_val *workers)
{
	int64_t most = workers && workers->type == CV_COUNT ? workers->i : CORES_MAX;
	for (unsigned i = 2; i < n->n_val; i++) {
		const struct conf_val *v = &n->val[i];
		struct core_set set = { .n = 0 };
		bool good = core_set_read(&set, v->s);
		unsigned last = good ? core_set_nth(&set, set.n - 1) : 0;

		if (!good)
			conf_error(ld->d, v->loc, v->span, "write it as in: cores 0 2-3",
				   "[E0301] \"%.40s\" is no core or range of cores", v->s.p);
		else if (last >= most)
			conf_error(ld->d, v->loc, v->span, "they are numbered from 0",
				   "[E0302] core %u: there are %lld workers", last, (long long)most);
	}
}

static void check_function(struct loader *ld, const struct conf_node *n)
{
	const struct conf_node *first = conf_child(ld->c->root, D_FUNCTION);

	if (n->broken || n->n_val < 3)
		return;
	check_function_cores(ld, n, conf_opt(ld->c->root, D_WORKERS));
	while (first->broken || first->val[0].i != n->val[0].i)
		first = conf_same(first);
	if (first != n)
		conf_error(ld->d, n->loc, n->span, "write all its cores in one line",
			   "[E0102] \"function " STR_FMT "\" is given twice", STR_ARG(n->val[0].s));
}

static void check_deep(struct loader *ld, const struct conf_node *n)
{
	for (const struct conf_node *c = n->child; c; c = c->next)
		if (c->dir->opens != CTX_NONE) {
			check_required(ld, c);
			if (c->child)
				check_deep(ld, c);
		}
}

void check_all(struct loader *ld)
{
	struct map *listens = map_new(ld->pool, false);
	const struct conf_node *admin = conf_child(ld->c->root, D_ADMIN);

	if (!listens) {
		ld->oom = true;
		return;
	}
	if (admin)
		check_admin(ld, admin, listens);
	check_deep(ld, ld->c->root);
	for (const struct conf_node *n = ld->c->root->child; n && !ld->oom; n = n->next)
		switch (n->dir->id) {
		case D_MONITOR:
			check_monitor(ld, n);
			break;
		case D_POOL:
			check_pool(ld, n);
			break;
		case D_VSERVER:
			check_vserver(ld, n, listens);
			break;
		case D_CONSOLIDATE:
			check_cycle(ld, n);
			break;
		case D_FUNCTION:
			check_function(ld, n);
			break;
		case D_RESOLVER:
			check_resolvers(ld, n);
			break;
		case D_ACCESS_LOG:
			check_templates(ld, n);
			break;
		default:
			break;
		}
	check_unused(ld);
}
