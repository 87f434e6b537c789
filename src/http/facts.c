/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts.c - what an exchange knows for policies: fields of tbl/fields.def from heads, addresses,
 * TLS and the segment
 *
 * The same code answers the data path and explain; only who fills struct http_facts differs. A
 * field that the exchange does not have is absent (no values), not an error. Values are borrowed
 * from the heads, or from scratch memory that lasts for one evaluation.
 */
#include "config.h"

#include "base/err.h"
#include "http/inside.h"

#define LONG_URI (96u * 1024)     /* more than the largest request line and authority together */

struct out {                      /* collects values, paged */
	struct pol_val *v;
	unsigned        n, room, skip;
};

static void put(struct out *o, struct pol_val v)
{
	if (o->skip)
		o->skip--;
	else if (o->n < o->room)
		o->v[o->n++] = v;
}

static void put_str(struct out *o, struct str s)
{
	if (s.p)
		put(o, (struct pol_val){ .type = POL_STR, .s = s });
}

static void put_c(struct out *o, const char *z)
{
	if (z && *z)
		put_str(o, str_c(z));
}

static void put_int(struct out *o, int64_t i)
{
	put(o, (struct pol_val){ .type = POL_INT, .i = i });
}

static void put_bool(struct out *o, bool b)
{
	put(o, (struct pol_val){ .type = POL_BOOL, .b = b });
}

static void put_ip(struct out *o, const struct addr *a)
{
	struct ip ip = addr_ip(a);

	if (ip.family)
		put(o, (struct pol_val){ .type = POL_IP, .ip = ip });
}

static void put_named(struct out *o, const struct http_head *h, struct str name)
{
	enum http_fid id = http_field_id(name);

	for (unsigned i = 0; h && i < h->n_fields; i++)
		if (id != HF_OTHER ? h->fields[i].id == id : str_ieq(h->fields[i].name, name))
			put_str(o, h->fields[i].value);
}

static void put_fid(struct out *o, const struct http_head *h, enum http_fid id)
{
	for (unsigned i = 0; h && i < h->n_fields; i++)
		if (h->fields[i].id == id)
			put_str(o, h->fields[i].value);
}

/* The cookie-pairs of that name in all Cookie fields (RFC 6265 section 4.2.1); quotes around a
 * value are left. */
static void put_cookies(struct out *o, const struct http_head *h, struct str name)
{
	for (unsigned i = 0; h && i < h->n_fields; i++) {
		struct str rest = h->fields[i].value;

		if (h->fields[i].id != HF_COOKIE)
			continue;
		while (rest.n) {
			struct str value = str_trim(str_cut(&rest, ';'));
			struct str key = str_cut(&value, '=');

			if (str_eq(str_trim(key), name))
				put_str(o, value.p ? str_trim(value) : STR(""));
		}
	}
}

/* Memory for a text of n bytes: the scratch's half, or a large one of the process when that is
 * too small. */
static char *text_room(struct http_facts *h, unsigned which, size_t n)
{
	static char large[2][LONG_URI];
	size_t half = sizeof(h->scratch) / 2;

	if (n <= half)
		return h->scratch + which * half;
	return n <= LONG_URI ? large[which] : NULL;
}

static struct str uri(struct http_facts *h)
{
	const struct http_head *r = h->req;
	char *p;

	if (h->uri.p)
		return h->uri;
	if (!r->query.p)
		return r->path;
	if (r->query.p == r->path.p + r->path.n + 1)
		return str_n(r->path.p, r->path.n + 1 + r->query.n);
	p = text_room(h, 0, r->path.n + 1 + r->query.n);
	if (!p)
		return STR_NULL;
	memcpy(p, r->path.p, r->path.n);
	p[r->path.n] = '?';
	memcpy(p + r->path.n + 1, r->query.p, r->query.n);
	h->uri = str_n(p, r->path.n + 1 + r->query.n);
	return h->uri;
}

static struct str full_uri(struct http_facts *h)
{
	struct str u = uri(h), parts[4] = { h->req->scheme, STR("://"), h->req->authority, u };
	size_t n = 0;
	char *p;

	if (h->full_uri.p || !u.p)
		return h->full_uri;
	p = text_room(h, 1, parts[0].n + parts[1].n + parts[2].n + parts[3].n);
	if (!p)
		return STR_NULL;
	for (unsigned i = 0; i < 4; i++) {
		if (parts[i].n)
			memcpy(p + n, parts[i].p, parts[i].n);
		n += parts[i].n;
	}
	h->full_uri = str_n(p, n);
	return h->full_uri;
}

/* Fields of the connection. False: not one of these. */
static bool get_conn(const struct http_facts *h, enum pol_field f, struct out *o)
{
	switch (f) {
	case POL_F_IP_SRC:             put_ip(o, &h->client); return true;
	case POL_F_IP_DST:             put_ip(o, &h->local); return true;
	case POL_F_TCP_SRCPORT:
	case POL_F_UDP_SRCPORT:
		if (h->udp == (f == POL_F_UDP_SRCPORT))
			put_int(o, addr_port(&h->client));
		return true;
	case POL_F_TCP_DSTPORT:
	case POL_F_UDP_DSTPORT:
		if (h->udp == (f == POL_F_UDP_DSTPORT))
			put_int(o, addr_port(&h->local));
		return true;
	case POL_F_TLS_SNI:            put_c(o, h->sni); return true;
	case POL_F_TLS_VERSION:        put_c(o, h->tls_version); return true;
	case POL_F_TLS_CIPHER:         put_c(o, h->tls_cipher); return true;
	case POL_F_TLS_ALPN:           put_c(o, h->tls_alpn); return true;
	case POL_F_TLS_CLIENT_SUBJECT: put_c(o, h->tls_subject); return true;
	case POL_F_SSL:                put_bool(o, h->tls); return true;
	default:                       return false;
	}
}

static void get_object(const struct http_facts *h, enum pol_field f, const void *obj, struct out *o)
{
	const struct lb_vserver *vs = obj;
	const struct lb_service *s = obj;

	if (!obj || !h->lc)
		return;
	if (f == POL_F_SVC_UP)
		put_bool(o, s->state == ST_SVC_UP && s->weight > 0);
	else if (h->lc->seg && vs->stat)
		put_int(o, (int64_t)stat_now(h->lc->seg, vs->stat, CTR_VSERVER_CONN_CUR));
	else if (h->lc->seg)
		put_int(o, (int64_t)stat_total(h->lc->seg, vs->row, CTR_VSERVER_CONN_CUR));
	else
		put_int(o, vs->n_conns);
}

static void get_request(struct http_facts *h, enum pol_field f, struct str key, struct out *o)
{
	const struct http_head *r = h->req;

	switch (f) {
	case POL_F_HTTP_METHOD:   put_str(o, r->method_s); break;
	case POL_F_HTTP_HOST:     put_str(o, r->host); break;
	case POL_F_HTTP_URI:      put_str(o, uri(h)); break;
	case POL_F_HTTP_PATH:     put_str(o, r->path); break;
	case POL_F_HTTP_QUERY:    put_str(o, r->query); break;
	case POL_F_HTTP_FULL_URI: put_str(o, full_uri(h)); break;
	case POL_F_HTTP_VERSION:
		put_str(o, r->minor == 2 ? STR("HTTP/2")
			   : r->minor    ? STR("HTTP/1.1")
					 : STR("HTTP/1.0"));
		break;
	case POL_F_HTTP_HEADERS:
		/* the codec keeps Host apart */
		if (http_field_id(key) == HF_HOST)
			put_str(o, r->authority);
		else
			put_named(o, r, key);
		break;
	case POL_F_HTTP_COOKIES:      put_cookies(o, r, key); break;
	case POL_F_HTTP_USER_AGENT:   put_fid(o, r, HF_USER_AGENT); break;
	case POL_F_HTTP_REFERER:      put_fid(o, r, HF_REFERER); break;
	case POL_F_HTTP_COOKIE:       put_fid(o, r, HF_COOKIE); break;
	case POL_F_HTTP_CONTENT_TYPE: put_fid(o, r, HF_CONTENT_TYPE); break;
	case POL_F_HTTP_X_FORWARDED_FOR: put_fid(o, r, HF_X_FORWARDED_FOR); break;
	case POL_F_HTTP_CONTENT_LENGTH:
		if (r->body == HB_LENGTH)
			put_int(o, (int64_t)r->length);
		break;
	default: break;
	}
}

/* What is known when the exchange is over. False: not one of these. */
static bool get_end(const struct txn *t, enum pol_field f, struct out *o)
{
	const struct pol_rule *rule = t->route.v.final;

	switch (f) {
	case POL_F_FRAME_TIME:    put_str(o, access_log_time(t)); return true;
	case POL_F_TXN_BYTES_IN:  put_int(o, (int64_t)t->flow[TXN_REQ].bytes); return true;
	case POL_F_TXN_BYTES_OUT: put_int(o, (int64_t)t->flow[TXN_RESP].bytes); return true;
	case POL_F_TXN_DURATION:  put_int(o, (int64_t)(t->t_end_us - t->t_start_us)); return true;
	case POL_F_TXN_TIME_CONNECT:
		if (t->t_conn_us)
			put_int(o, (int64_t)t->t_conn_us);
		return true;
	case POL_F_TXN_TIME_FIRST:
		if (t->t_first_us)
			put_int(o, (int64_t)(t->t_first_us - t->t_head_us));
		return true;
	case POL_F_TXN_RETRIES: put_int(o, t->retries); return true;
	case POL_F_TXN_REASON:
		put_c(o, t->reason ? t->reason : txn_code_name(t->code));
		return true;
	case POL_F_LB_VSERVER: put_c(o, t->vs->name); return true;
	case POL_F_LB_POLICY:  put_c(o, rule && rule != &t->vs->dflt ? rule->name : NULL); return true;
	case POL_F_LB_POOL:    put_c(o, t->route.pool ? t->route.pool->name : NULL); return true;
	case POL_F_LB_SERVICE: put_c(o, t->service ? t->service->full_name : NULL); return true;
	case POL_F_HTTP_CODE:
		if (t->status)
			put_int(o, t->status);
		return true;
	default: return false;
	}
}

static int get(void *ctx, enum pol_field f, struct str key, const void *obj, unsigned start,
	       struct pol_val *out, unsigned *n)
{
	struct http_facts *h = ctx;
	struct out o = { .v = out, .room = *n, .skip = start };

	if (get_conn(h, f, &o) || (h->over && get_end(h->over, f, &o))) {
		;
	} else if (f == POL_F_VS_CONNS || f == POL_F_SVC_UP) {
		get_object(h, f, obj, &o);
	} else if (f == POL_F_HTTP_CODE) {
		if (h->resp)
			put_int(&o, h->resp->status);
	} else if (f == POL_F_HTTP_RHEADERS) {
		put_named(&o, h->resp, key);
	} else if (h->req) {
		get_request(h, f, key, &o);
	}
	*n = o.n;
	return 0;
}

void http_facts_init(struct pol_facts *f, struct http_facts *h)
{
	h->uri = h->full_uri = STR_NULL;
	*f = (struct pol_facts){ .ctx = h, .get = get };
}

void facts_of_txn(struct pol_facts *f, struct http_facts *h, const struct txn *t)
{
	h->req = t->req;
	h->resp = t->resp;
	h->client = t->client;
	h->local = t->local;
	h->tls = t->tls;
	h->udp = false;
	h->sni = t->sni;
	h->tls_version = t->tls_version;
	h->tls_cipher = t->tls_cipher;
	h->tls_alpn = t->tls_alpn;
	h->tls_subject = t->tls_subject;
	h->lc = http_room.w.lc;
	h->over = t->t_end_us ? t : NULL;
	http_facts_init(f, h);
}
