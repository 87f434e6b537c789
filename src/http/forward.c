/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward.c - what a gateway changes in heads that pass: Via, X-Forwarded-*, Forwarded, Date,
 * set-header and its kin
 *
 * RFC 9110 sections 7.6.3 (Via), 6.6.1 (Date); RFC 7239 (Forwarded). What a client says about its
 * own path is believed only from trusted addresses, and removed from all others. Connection-level
 * fields are the codec's, and so are trailers that no message may have; those that would undo what
 * was done to the head are dropped here.
 */
#include "config.h"

#include "base/err.h"
#include "http/answer.h"
#include "http/h1_inside.h"
#include "http/inside.h"

#define VALUE_MAX 8192u

static bool is_trusted(const struct lb_vserver *vs, const struct addr *client)
{
	struct ip ip = addr_ip(client);

	for (unsigned i = 0; i < vs->n_trust; i++)
		if (cidr_has(&vs->trust[i], ip))
			return true;
	return false;
}

static bool is_about_client(const struct http_field *f)
{
	switch (f->id) {
	case HF_FORWARDED:
	case HF_X_FORWARDED_FOR:
	case HF_X_FORWARDED_PROTO:
	case HF_X_FORWARDED_HOST:
		return true;
	case HF_OTHER:
		return h1_name_says(f->name, STR("X-Forwarded-"), false) ||
		       h1_name_says(f->name, STR("X-Real-IP"), true);
	default:
		return false;
	}
}

/* The head with its own list of fields, and room for ours. */
static struct http_head *copy_head(struct txn *t, bool trusted)
{
	const struct http_head *from = t->req;
	struct http_head *h = pool_alloc(t->pool, sizeof(*h));

	if (!h)
		return NULL;
	*h = *from;
	h->n_fields = 0;
	h->cap_fields = from->n_fields + 8;
	h->fields = pool_alloc(t->pool, h->cap_fields * sizeof(*h->fields));
	if (!h->fields)
		return NULL;
	for (unsigned i = 0; i < from->n_fields; i++)
		if (trusted || !is_about_client(&from->fields[i]))
			h->fields[h->n_fields++] = from->fields[i];
	return h;
}

/* All values of that field in one line with `more` behind them; the fields are removed. */
static struct str join(struct txn *t, struct http_head *h, enum http_fid id, struct str name,
		       struct str more)
{
	size_t n = more.n, at = 0;
	char *p;

	for (unsigned i = 0; i < h->n_fields; i++)
		if (h->fields[i].id == id)
			n += h->fields[i].value.n + 2;
	if (n == more.n)
		return more;
	p = pool_alloc(t->pool, n);
	if (!p)
		return STR_NULL;
	for (unsigned i = 0; i < h->n_fields; i++) {
		struct str v = h->fields[i].value;

		if (h->fields[i].id != id || !v.n)
			continue;
		memcpy(p + at, v.p, v.n);
		memcpy(p + at + v.n, ", ", 2);
		at += v.n + 2;
	}
	memcpy(p + at, more.p, more.n);
	head_remove(h, name);
	return str_n(p, at + more.n);
}

static int add_x_forwarded(struct txn *t, struct http_head *h)
{
	char text[ADDR_TEXT_MAX];
	struct str ip = pool_str(t->pool, str_c(ip_text(addr_ip(&t->client), text)));
	struct str all =
		ip.p ? join(t, h, HF_X_FORWARDED_FOR, STR("X-Forwarded-For"), ip) : STR_NULL;
	int r;

	if (!all.p)
		return FL_ENOMEM_;
	r = head_put(t->pool, h, HF_X_FORWARDED_FOR, STR("X-Forwarded-For"), all);
	if (!r && !head_get(h, HF_X_FORWARDED_PROTO))
		r = head_put(t->pool, h, HF_X_FORWARDED_PROTO, STR("X-Forwarded-Proto"),
			     t->tls ? STR("https") : STR("http"));
	if (!r && t->req->authority.n && !head_get(h, HF_X_FORWARDED_HOST))
		r = head_put(t->pool, h, HF_X_FORWARDED_HOST, STR("X-Forwarded-Host"),
			     t->req->authority);
	return r;
}

static int add_forwarded(struct txn *t, struct http_head *h)
{
	char text[ADDR_TEXT_MAX];
	struct ip ip = addr_ip(&t->client);
	bool v6 = ip.family == AF_INET6, host = t->req->authority.n > 0;
	char *mine;
	struct str all;

	ip_text(ip, text);
	mine = pool_fmt(t->pool, "for=%s%s%s;proto=%s%s" STR_FMT "%s", v6 ? "\"[" : "", text,
			v6 ? "]\"" : "", t->tls ? "https" : "http", host ? ";host=\"" : "",
			STR_ARG(t->req->authority), host ? "\"" : "");
	all = mine ? join(t, h, HF_FORWARDED, STR("Forwarded"), str_c(mine)) : STR_NULL;
	return all.p ? head_put(t->pool, h, HF_FORWARDED, STR("Forwarded"), all) : FL_ENOMEM_;
}

static int add_via(struct txn *t, struct http_head *h, unsigned minor)
{
	struct str v = t->vs->via[minor != 0];

	return v.n ? head_put(t->pool, h, HF_VIA, STR("Via"), v) : 0;
}

/* Rules' changes ------------------------------------------------------------------------------ */

static int apply_mod(struct txn *t, struct http_head *h, const struct pol_hdr_mod *m,
		     const struct pol_facts *f)
{
	char mem[VALUE_MAX] FL_UNINIT;
	struct str v = STR_NULL, host = STR_NULL, authority = STR_NULL;
	struct sb b;
	int r;

	if (m->op == POL_HDR_REMOVE) {
		head_remove(h, m->name);
		return 0;
	}
	sb_init(&b, mem, sizeof(mem));
	if (m->value && pol_tmpl_run(m->value, f, &b) < 0)
		return FL_ELIMIT_;
	v = pool_str(t->pool, sb_get(&b));
	if (!v.p)
		return FL_ENOMEM_;
	if (!h->is_response && http_field_id(m->name) == HF_HOST) {
		/* what is no host is left out, as any other bad value */
		enum h1_reason why = h1_authority_normalise(t->pool, v, t->tls, &host, &authority);

		if (why == H1_NOMEM)
			return FL_ENOMEM_;
		if (why == H1_OK && host.n)
			h->authority = v;
		return 0;
	}
	r = m->op == POL_HDR_SET ? head_set(t->pool, h, m->name, v)
				 : head_add(t->pool, h, m->name, v);
	return r == FL_ESYNTAX_ ? 0 : r;        /* a value that is no field value is left out */
}

static int apply_mods(struct txn *t, struct http_head *h, bool response, const struct pol_facts *f)
{
	for (unsigned i = 0; i < t->route.n_matched; i++) {
		const struct pol_rule *rule = t->route.matched[i];

		for (unsigned k = 0; k < rule->n_mods; k++) {
			int r = rule->mods[k].response == response
					? apply_mod(t, h, &rule->mods[k], f)
					: 0;

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* The two directions
 * ----------------------------------------------------------------------------- */

struct http_head *forward_request(struct txn *t, const struct pol_facts *f)
{
	const struct lb_vserver *vs = t->vs;
	struct http_head *h = copy_head(t, vs->n_trust && is_trusted(vs, &t->client));
	int r = h ? 0 : FL_ENOMEM_;

	if (!r && (vs->forwarded == LB_FWD_X || vs->forwarded == LB_FWD_BOTH))
		r = add_x_forwarded(t, h);
	if (!r && (vs->forwarded == LB_FWD_7239 || vs->forwarded == LB_FWD_BOTH))
		r = add_forwarded(t, h);
	if (!r)
		r = add_via(t, h, t->req->minor);
	if (!r && t->route.n_matched)
		r = apply_mods(t, h, false, f);
	return r ? NULL : h;
}

void forward_response(struct txn *t, struct http_head *h, const struct pol_facts *f)
{
	int r = 0;

	if (!t->answered) {
		if (!head_get(h, HF_DATE))
			r = head_put(t->pool, h, HF_DATE, STR("Date"), answer_date());
		if (!r && h->status != 101)
			r = add_via(t, h, h->minor);
	}
	if (!r && t->route.n_matched)
		r = apply_mods(t, h, true, f);
	/* Too many fields or no memory: it goes on without what did not fit; nothing of its own
	 * was lost. */
	(void)r;
}

/* Trailers ------------------------------------------------------------------------------------ */

static bool is_ruled(const struct txn *t, struct str name, bool response)
{
	for (unsigned i = 0; i < t->route.n_matched; i++) {
		const struct pol_rule *rule = t->route.matched[i];

		for (unsigned k = 0; k < rule->n_mods; k++)
			if (rule->mods[k].response == response && rule->mods[k].op != POL_HDR_ADD &&
			    h1_name_says(name, rule->mods[k].name, true))
				return true;
	}
	return false;
}

/* Rules, modules and this file have looked at each field of a request's head; a second one of the
 * same name that comes behind the body has been seen by nobody. */
static bool is_in_head(const struct http_head *h, struct str name)
{
	for (unsigned i = 0; h && i < h->n_fields; i++)
		if (h1_name_says(name, h->fields[i].name, true))
			return true;
	return false;
}

void forward_trailers(struct txn *t, enum txn_dir d, struct http_head *trailers)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < trailers->n_fields; i++) {
		struct str name = trailers->fields[i].name;

		if (!is_ruled(t, name, d == TXN_RESP) &&
		    !(d == TXN_REQ && is_in_head(t->fwd, name)))
			trailers->fields[kept++] = trailers->fields[i];
	}
	trailers->n_fields = kept;
}
