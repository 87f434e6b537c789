/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request_id.c - gives each request an id that client, service and access log see alike
 *
 * The id is put into the request head before rules look at it, so that everything which reads
 * request fields (rules, templates, access-log custom) knows it, and the service gets it with the
 * head. The response is given the same. A client's own id is replaced, unless `trust` says to keep
 * one that is well formed.
 *
 * An id of ours is a UUID of version 7 (RFC 9562 section 5.7): sorted by the millisecond in which
 * it was made, with 74 random bits. It is no secret: the random numbers are the fast ones.
 *
 * This is the module to copy: see http/module.h for what each hook may do.
 */
#include "config.h"

#include "base/env.h"
#include "base/err.h"
#include "http/module.h"

#define ID_MAX 128u

extern const struct module module_request_id;

struct request_id {                  /* settings of a vserver */
	struct str field;
	bool       trust;
};

/* Fields with a meaning of their own are not ours to overwrite. */
static void set_field(struct request_id *c, const struct conf_val *v, struct conf_diag *d)
{
	c->field = v->s;
	if (!conf_check_field_name(d, v))
		return;
	if (http_field_id(v->s) != HF_OTHER || str_istarts(v->s, STR("X-Forwarded-")))
		conf_error(d, v->loc, v->span,
			   "use a field that nothing else reads, such as X-Request-ID",
			   "[E0401] \"%.60s\" has a meaning of its own: it cannot hold an id", v->s.p);
}

static int config(const struct lb_vserver *vs, const struct module_build *b, void **conf)
{
	const struct conf_node *n = conf_child(vs->node, D_REQUEST_ID);
	struct request_id *c;

	if (!n)
		return 0;
	if (!vs->http) {
		conf_error(b->d, n->loc, n->span, NULL, "[E0109] \"request-id\" needs \"protocol http\"");
		return 0;
	}
	c = pool_zalloc(b->mem, sizeof(*c));
	if (!c)
		return FL_ENOMEM_;
	c->field = STR("X-Request-ID");
	for (unsigned i = 0; i < n->n_val; i++)
		if (n->val[i].type == CV_LITERAL)
			c->trust = true;
		else
			set_field(c, &n->val[i], b->d);
	*conf = c;
	return 0;
}

/* RFC 9110 section 5.6.2: nothing in it needs quoting, wherever it is put. */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f ||
		    strchr("\"(),/:;<=>?@[\\]{}", s.p[i]))
			return false;
	return s.n > 0;
}

/* One field of that name, with an id that we could have made. */
static bool has_own_id(const struct http_head *h, struct str field)
{
	const struct http_field *own = NULL;

	for (unsigned i = 0; i < h->n_fields; i++) {
		if (!str_ieq(h->fields[i].name, field))
			continue;
		if (own)
			return false;
		own = &h->fields[i];
	}
	return own && own->value.n <= ID_MAX && is_token(own->value);
}

static struct str make_id(struct pool *p)
{
	uint64_t ms = env_wall_us() / 1000, a = env_random_u64(), b = env_random_u64();

	return str_c(pool_fmt(p, "%08x-%04x-7%03x-%04x-%012llx", (unsigned)(ms >> 16),
			      (unsigned)(ms & 0xffff), (unsigned)(a & 0xfff),
			      (unsigned)(0x8000 | (a >> 12 & 0x3fff)),
			      (unsigned long long)(b >> 16)));
}

static int request(struct txn *t, void *conf)
{
	const struct request_id *c = conf;
	struct str id;

	if (c->trust && has_own_id(t->req, c->field)) {
		stat_inc(t->vs->stat, CTR_VSERVER_REQUEST_ID_KEPT);
		return 0;
	}
	id = make_id(t->pool);
	return id.p ? head_set(t->pool, t->req, c->field, id) : FL_ENOMEM_;
}

/* Without memory for one more field the response goes on as it is. */
static void response(struct txn *t, void *conf, struct http_head *h)
{
	const struct request_id *c = conf;
	const struct http_field *id = head_find(t->req, c->field);

	if (id)
		(void)head_set(t->pool, h, c->field, id->value);
}

const struct module module_request_id = {
	.name = "request_id",
	.abi = MODULE_ABI_1,
	.text = "gives each request an id (request-id)",
	.config = config,
	.request = request,
	.response = response,
};
