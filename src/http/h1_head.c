/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_head.c - from the lines of a head to a struct http_head: framing, connection options, Host
 *
 * The lexer has checked syntax; here is what fields mean (RFC 9110 sections 7.2, 7.6.1, 7.8,
 * 10.1.1; RFC 9112 sections 3.2, 6, 9), decided strictly: a message whose length two recipients
 * could see differently is refused. Hop-by-hop fields are taken out; what they said stays in flags.
 * All of this happens once, when the head is complete.
 */
#include "config.h"

#include "http/h1.h"

#include "http/h1_inside.h"

#define NOMINATED_MAX 32

const struct h1_limits h1_limits_default = {
	.max_request_line = 8192,
	.max_head = 32768,
	.max_field = 8192,
	.max_fields = 100,
};

struct meaning {
	struct http_head *h;
	size_t off; /* of the value being looked at */
	unsigned n_host, n_cl, n_upgrade;
	bool has_te, chunked;
	bool opt_close, opt_keep_alive, opt_upgrade, opt_te;
	uint64_t length;
	struct str host, upgrade;
	size_t host_off;
	struct str *nominated; /* NOMINATED_MAX of them */
	unsigned n_nominated;
	uint64_t seen; /* ids of fields that were not left out at once */
};

/* ---------- reasons ---------- */

static const struct {
	unsigned status;
	const char *code, *text;
} reasons[H1__COUNT] = {
	[H1_OK] = { 200, "ok", "accepted" },
#define R(id, status, code, text) [H1_##id] = { status, code, text },
#include "tbl/h1_reasons.def"
#undef R
};

unsigned h1_reason_status(enum h1_reason r)
{
	return reasons[r].status;
}
const char *h1_reason_code(enum h1_reason r)
{
	return reasons[r].code;
}
const char *h1_reason_text(enum h1_reason r)
{
	return reasons[r].text;
}

/* ---------- single fields ---------- */

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!h1_is((uint8_t)s.p[i], HC_TOKEN))
			return false;
	return s.n > 0;
}

static enum h1_reason take_length(struct meaning *m, struct str v)
{
	if (m->n_cl++)
		return H1_TWO_CL;
	if (v.n && memchr(v.p, ',', v.n))
		return H1_TWO_CL;
	if (!str_u64(v, &m->length) || m->length > INT64_MAX)
		return H1_BAD_CL;
	return H1_OK;
}

/* All field lines make one list, and that list must be "chunked" (RFC 9112 section 6.1). */
static enum h1_reason take_coding(struct meaning *m, struct str v)
{
	m->has_te = true;
	if (str_ends(v, STR(",")))
		return H1_BAD_TE;
	do {
		struct str params = str_cut(&v, ','), coding;
		bool bare = !params.n || !memchr(params.p, ';', params.n);

		coding = str_trim(str_cut(&params, ';'));
		if (m->chunked || !is_token(coding))
			return H1_BAD_TE;
		if (!str_ieq(coding, STR("chunked")))
			return H1_UNKNOWN_TE;
		if (!bare)
			return H1_BAD_TE;
		m->chunked = true;
	} while (v.n);
	return H1_OK;
}

static enum h1_reason take_connection(struct meaning *m, struct str v)
{
	while (v.n) {
		struct str opt = str_trim(str_cut(&v, ','));

		if (opt.n == 0)
			continue;
		switch (http_field_id(opt)) { /* options but "close" are names of fields */
		case HF_KEEP_ALIVE: m->opt_keep_alive = true; continue;
		case HF_UPGRADE: m->opt_upgrade = true; continue;
		case HF_TE: m->opt_te = true; continue;
		default: break;
		}
		if (str_ieq(opt, STR("close")))
			m->opt_close = true;
		else if (m->n_nominated == NOMINATED_MAX)
			return H1_BAD_CONNECTION;
		else
			m->nominated[m->n_nominated++] = opt;
	}
	return H1_OK;
}

static void take_te(struct meaning *m, struct str v)
{
	while (v.n) {
		struct str coding = str_cut(&v, ',');

		if (str_ieq(str_trim(str_cut(&coding, ';')), STR("trailers")))
			m->h->te_trailers = true;
	}
}

static enum h1_reason take_host(struct meaning *m, struct str v)
{
	if (m->n_host++)
		return H1_TWO_HOSTS;
	m->host = v;
	m->host_off = m->off;
	return H1_OK;
}

static enum h1_reason take_expect(struct meaning *m, struct str v)
{
	if (m->h->expect_continue || !str_ieq(v, STR("100-continue")))
		return H1_BAD_EXPECT;
	m->h->expect_continue = true;
	return H1_OK;
}

#define ID(id) ((uint64_t)1 << HF_##id)
_Static_assert(HF__COUNT <= 64, "sets of field ids need 64 bits");

/* Fields that take_field() has a word about. */
static const uint64_t meaningful = ID(HOST) | ID(CONTENT_LENGTH) | ID(TRANSFER_ENCODING) |
				   ID(CONNECTION) | ID(EXPECT) | ID(UPGRADE) | ID(TE);

static enum h1_reason take_field(struct meaning *m, const struct http_field *f)
{
	bool is_request = !m->h->is_response;

	switch (f->id) {
	case HF_HOST: return is_request ? take_host(m, f->value) : H1_OK;
	case HF_CONTENT_LENGTH: return take_length(m, f->value);
	case HF_TRANSFER_ENCODING: return take_coding(m, f->value);
	case HF_CONNECTION: return take_connection(m, f->value);
	case HF_EXPECT: return is_request ? take_expect(m, f->value) : H1_OK;
	case HF_UPGRADE:
		m->n_upgrade++;
		m->upgrade = f->value;
		return H1_OK;
	case HF_TE:
		if (is_request)
			take_te(m, f->value);
		return H1_OK;
	default: return H1_OK;
	}
}

/* ---------- what stays ---------- */

/* By name what no id stands for. RFC 9110 section 6.5.1: a trailer that frames, routes, modifies the
 * request, authenticates or controls the response would be taken for a part of the head. The rest is
 * what gateways tell services about who the client is. */
static const struct {
	struct str name;
	bool       whole;
} protected_names[] = {
#define N(lit, whole) { { (lit), sizeof(lit) - 1 }, whole }
	N("x-forwarded-", false),
	N("content-", false),
	N("if-", false),
	N("x-original-", false),
	N("x-http-method", false),
	N("x-method-override", true),
	N("x-rewrite-url", true),
	N("x-host", true),
	N("x-real-ip", true),
	N("x-client-ip", true),
	N("x-cluster-client-ip", true),
	N("client-ip", true),
	N("true-client-ip", true),
	N("cf-connecting-ip", true),
	N("client-cert", false),
	N("x-client-cert", false),
	N("x-ssl-", false),
	N("remote-user", true),
	N("x-remote-user", true),
	N("www-authenticate", true),
	N("authentication-info", true),
	N("proxy-authentication-info", true),
	N("age", true),
	N("expires", true),
	N("pragma", true),
	N("retry-after", true),
	N("vary", true),
	N("warning", true),
#undef N
};

bool h1_field_is_protected(struct str name, enum http_fid id)
{
	char dashed[HF_NAME_MAX];

	if (id == HF_OTHER && name.n && name.n <= sizeof(dashed)) {
		for (size_t i = 0; i < name.n; i++)
			dashed[i] = name.p[i] == '_' ? '-' : name.p[i];
		id = http_field_id(str_n(dashed, name.n));
	}
	if (id != HF_OTHER)
		return true;
	for (size_t i = 0; i < FL_ARRAY_LEN(protected_names); i++)
		if (h1_name_says(name, protected_names[i].name, protected_names[i].whole))
			return true;
	return false;
}

static bool is_nominated(const struct meaning *m, const struct http_field *f)
{
	for (unsigned i = 0; i < m->n_nominated; i++)
		if (str_ieq(m->nominated[i], f->name))
			return !h1_field_is_protected(f->name, f->id);
	return false;
}

/* A length that frames nothing still tells something: the answer to HEAD, and 304. */
static bool keeps_length(const struct http_head *h)
{
	return h->is_response && h->body == HB_NONE && h->status >= 200 && h->status != 204;
}

/* Ids of fields that never go on. */
static uint64_t never_stays(const struct http_head *h)
{
	uint64_t ids = ID(TRANSFER_ENCODING) | ID(CONNECTION) | ID(UPGRADE) | ID(TE) |
		       ID(KEEP_ALIVE) | ID(PROXY_CONNECTION);

	return h->is_response ? ids : ids | ID(HOST) | ID(EXPECT);
}

/* Takes out of the fields that take_lines() left what all of them together decide about. */
static void drop_connection_fields(const struct meaning *m)
{
	struct http_head *h = m->h;
	struct http_field *to = h->fields, *end = to + h->n_fields;
	uint64_t gone = (keeps_length(h) ? 0 : ID(CONTENT_LENGTH)) |
			(h->body == HB_CHUNKED ? 0 : ID(TRAILER));

	if (!(m->seen & gone) && !m->n_nominated)
		return;
	for (const struct http_field *f = to; f < end; f++) {
		if (gone >> f->id & 1 || (m->n_nominated && is_nominated(m, f)))
			continue;
		if (to != f)
			*to = *f;
		to++;
	}
	h->n_fields = (unsigned)(to - h->fields);
}

/* ---------- whole heads ---------- */

/* str_trim(), for values: mostly one blank in front and none behind */
static struct str trim(const char *p, size_t n)
{
	if (n && p[0] == ' ') {
		p++;
		n--;
	}
	if (n == 0 || (uint8_t)p[0] <= ' ' || (uint8_t)p[n - 1] <= ' ')
		return str_trim(str_n(p, n));
	return str_n(p, n);
}

static enum h1_reason take_lines(struct meaning *m, const struct h1_lex *x, struct pool *pool)
{
	struct http_head *h = m->h;
	const struct h1_line *l = x->lines, *end = l + x->n_lines;
	const char *p = (const char *)x->p;
	uint64_t gone = never_stays(h);
	struct http_field *f;

	h->cap_fields = x->n_lines + 8; /* room for what a proxy adds */
	h->fields = f = pool_alloc(pool, h->cap_fields * sizeof(*f));
	if (!f)
		return H1_NOMEM;
	for (; l < end; l++) {
		size_t colon = l->colon;
		struct str name = { p + l->name, colon - l->name };
		enum http_fid id = http_field_id(name);
		enum h1_reason why;

		*f = (struct http_field){ name, trim(p + colon + 1, l->end - colon - 1), id };
		if (meaningful >> id & 1) {
			m->off = colon + 1;
			why = take_field(m, f);
			if (why)
				return why;
		}
		if (gone >> id & 1)
			continue;
		m->seen |= (uint64_t)1 << id;
		f++;
	}
	h->n_fields = (unsigned)(f - h->fields);
	m->off = x->pos;
	return H1_OK;
}

/* RFC 9112 section 6.3, with everything ambiguous refused. */
static enum h1_reason decide_framing(struct meaning *m)
{
	struct http_head *h = m->h;

	if (m->has_te && m->n_cl)
		return H1_TE_AND_CL;
	if (m->has_te && h->minor == 0)
		return H1_TE_HTTP10;
	h->body = HB_NONE;
	if (m->chunked) {
		h->body = HB_CHUNKED;
	} else if (m->n_cl) {
		h->body = HB_LENGTH;
		h->length = m->length;
	} else if (h->is_response) {
		h->body = HB_CLOSE;
	}
	return H1_OK;
}

static void decide_keepalive(struct meaning *m)
{
	struct http_head *h = m->h;

	h->keepalive = !m->opt_close && (h->minor == 1 || m->opt_keep_alive);
	if (h->body == HB_CLOSE)
		h->keepalive = false;
}

/* Only the one protocol that is carried through, and only where no body could be taken for it. */
static void decide_request_upgrade(struct meaning *m)
{
	struct http_head *h = m->h;
	bool no_body = h->body == HB_NONE || (h->body == HB_LENGTH && h->length == 0);

	if (h->minor == 1 && m->opt_upgrade && m->n_upgrade == 1 && no_body &&
	    str_ieq(m->upgrade, STR("websocket"))) {
		h->upgrade = true;
		h->upgrade_proto = m->upgrade;
	}
}

static enum h1_reason make_request(struct meaning *m, const struct h1_lex *x, bool tls,
				   struct pool *pool)
{
	struct http_head *h = m->h;
	const char *p = (const char *)x->p;
	enum h1_reason why;

	h->method_s = str_n(p + x->start, x->part1 - x->start);
	h->method = http_method_id(h->method_s);
	h->scheme = tls ? STR("https") : STR("http");
	m->off = x->start;
	if (h->method == HM_CONNECT)
		return H1_CONNECT;
	why = take_lines(m, x, pool);
	if (!why)
		why = decide_framing(m);
	if (why)
		return why;
	if (m->n_host == 0 && h->minor == 1)
		return H1_NO_HOST;
	if (m->n_host) {
		m->off = m->host_off;
		why = h1_authority_normalise(pool, m->host, tls, &h->host, &h->authority);
		if (why)
			return why;
	}
	m->off = x->part1 + 1;
	why = h1_target_parse(pool, str_n(p + x->part1 + 1, x->part2 - x->part1 - 1), tls, h);
	if (why)
		return why;
	decide_keepalive(m);
	decide_request_upgrade(m);
	h->te_trailers = h->te_trailers && m->opt_te && h->minor == 1;
	h->expect_continue = h->expect_continue && h->minor == 1 && h->body != HB_NONE &&
			     !(h->body == HB_LENGTH && h->length == 0);
	drop_connection_fields(m);
	return H1_OK;
}

static enum h1_reason make_response(struct meaning *m, const struct h1_lex *x,
				    enum http_method method, struct pool *pool)
{
	struct http_head *h = m->h;
	enum h1_reason why;

	h->is_response = true;
	h->status = x->status;
	h->reason = str_trim(str_n((const char *)x->p + x->part1, x->part2 - x->part1));
	why = take_lines(m, x, pool);
	if (!why)
		why = decide_framing(m);
	if (why)
		return why;
	if (h->status < 200 || h->status == 204 || h->status == 304 || method == HM_HEAD ||
	    (method == HM_CONNECT && h->status < 300)) {
		/* It may well send the content that 204 cannot have: in front of the next answer. */
		if (h->status == 204 &&
		    (h->body == HB_CHUNKED || (h->body == HB_LENGTH && h->length)))
			m->opt_close = true;
		h->body = HB_NONE;
		h->length = 0;
	}
	decide_keepalive(m);
	if (h->status == 101 && h->minor == 1 && m->opt_upgrade && m->n_upgrade == 1 &&
	    m->upgrade.n) {
		h->upgrade = true;
		h->upgrade_proto = m->upgrade;
	}
	drop_connection_fields(m);
	return H1_OK;
}

/* Runs the lexer from where the last call stopped; when the head came in pieces its lines are cut
 * again, once. */
static enum h1_lexed lex(struct h1_lex *x, bool is_response, const uint8_t *p, size_t n,
			 size_t *seen, const struct h1_limits *l, struct h1_line *lines)
{
	enum h1_lexed r;

	h1_lex_init(x, is_response, l, lines);
	h1_lex_resume(x, *seen);
	r = h1_lex_run(x, p, n);
	if (r == H1L_MORE)
		*seen = h1_lex_mark(x);
	if (r == H1L_DONE && *seen) {
		h1_lex_init(x, is_response, l, lines);
		r = h1_lex_run(x, p, n);
		ASSERT(r == H1L_DONE);
	}
	return r;
}

static ssize_t parse(bool is_response, enum http_method method, bool tls, const uint8_t *p,
		     size_t n, size_t *seen, const struct h1_limits *l, struct pool *pool,
		     struct http_head *h, enum h1_reason *why, size_t *off)
{
	struct h1_line lines[HEAD_FIELDS_MAX] FL_UNINIT;
	struct str nominated[NOMINATED_MAX] FL_UNINIT;
	struct meaning m = { .h = h, .nominated = nominated };
	struct h1_lex x;

	switch (lex(&x, is_response, p, n, seen, l, lines)) {
	case H1L_MORE: return 0;
	case H1L_BAD:
		*why = x.why;
		*off = x.pos;
		return -1;
	case H1L_DONE: break;
	}
	*h = (struct http_head){ .minor = x.minor };
	*why = is_response ? make_response(&m, &x, method, pool) : make_request(&m, &x, tls, pool);
	*off = m.off;
	if (*why)
		return -1;
	*seen = 0;
	return (ssize_t)x.pos;
}

ssize_t h1_parse_request(const uint8_t *p, size_t n, size_t *seen, const struct h1_limits *l,
			 bool tls, struct pool *pool, struct http_head *h, enum h1_reason *why,
			 size_t *off)
{
	return parse(false, HM_OTHER, tls, p, n, seen, l, pool, h, why, off);
}

ssize_t h1_parse_response(const uint8_t *p, size_t n, size_t *seen, const struct h1_limits *l,
			  enum http_method m, struct pool *pool, struct http_head *h,
			  enum h1_reason *why, size_t *off)
{
	return parse(true, m, false, p, n, seen, l, pool, h, why, off);
}
