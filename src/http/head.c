/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head.c - message heads: field ids, method ids, reason phrases, and changing the list of fields
 *
 * Knows no protocol's syntax except what keeps a message whole: head_add() refuses a name or value
 * that could not be written as one field line, so that no policy or filter can split a message (RFC
 * 9110 section 5).
 */
#include "config.h"

#include "http/head.h"

#include "base/err.h"

/* Indexed by enum http_fid. */
static const struct str field_names[HF__COUNT] = {
	[HF_OTHER] = { "", 0 },
#define N(id, name) [HF_##id] = { (name), sizeof(name) - 1 }
	N(HOST, "host"),
	N(CONTENT_LENGTH, "content-length"),
	N(TRANSFER_ENCODING, "transfer-encoding"),
	N(CONNECTION, "connection"),
	N(UPGRADE, "upgrade"),
	N(EXPECT, "expect"),
	N(TE, "te"),
	N(TRAILER, "trailer"),
	N(KEEP_ALIVE, "keep-alive"),
	N(PROXY_CONNECTION, "proxy-connection"),
	N(VIA, "via"),
	N(X_FORWARDED_FOR, "x-forwarded-for"),
	N(X_FORWARDED_PROTO, "x-forwarded-proto"),
	N(X_FORWARDED_HOST, "x-forwarded-host"),
	N(FORWARDED, "forwarded"),
	N(USER_AGENT, "user-agent"),
	N(REFERER, "referer"),
	N(COOKIE, "cookie"),
	N(CONTENT_TYPE, "content-type"),
	N(DATE, "date"),
	N(SERVER, "server"),
	N(LOCATION, "location"),
	N(ETAG, "etag"),
	N(AUTHORIZATION, "authorization"),
	N(CACHE_CONTROL, "cache-control"),
	N(RANGE, "range"),
	N(ACCEPT_ENCODING, "accept-encoding"),
	N(MAX_FORWARDS, "max-forwards"),
	N(PROXY_AUTHORIZATION, "proxy-authorization"),
	N(PROXY_AUTHENTICATE, "proxy-authenticate"),
	N(SET_COOKIE, "set-cookie"),
#undef N
};

#define SHAPE(len, first) ((unsigned)(len) << 8 | (unsigned char)(first))

/* Length and first letter leave at most one candidate. */
static enum http_fid fid_candidate(size_t n, unsigned char first)
{
	if (n > 19)
		return HF_OTHER;
	switch (SHAPE(n, fl_lower(first))) {
	case SHAPE(4, 'h'): return HF_HOST;
	case SHAPE(14, 'c'): return HF_CONTENT_LENGTH;
	case SHAPE(17, 't'): return HF_TRANSFER_ENCODING;
	case SHAPE(10, 'c'): return HF_CONNECTION;
	case SHAPE(7, 'u'): return HF_UPGRADE;
	case SHAPE(6, 'e'): return HF_EXPECT;
	case SHAPE(2, 't'): return HF_TE;
	case SHAPE(7, 't'): return HF_TRAILER;
	case SHAPE(10, 'k'): return HF_KEEP_ALIVE;
	case SHAPE(16, 'p'): return HF_PROXY_CONNECTION;
	case SHAPE(3, 'v'): return HF_VIA;
	case SHAPE(15, 'x'): return HF_X_FORWARDED_FOR;
	case SHAPE(17, 'x'): return HF_X_FORWARDED_PROTO;
	case SHAPE(16, 'x'): return HF_X_FORWARDED_HOST;
	case SHAPE(9, 'f'): return HF_FORWARDED;
	case SHAPE(10, 'u'): return HF_USER_AGENT;
	case SHAPE(7, 'r'): return HF_REFERER;
	case SHAPE(6, 'c'): return HF_COOKIE;
	case SHAPE(12, 'c'): return HF_CONTENT_TYPE;
	case SHAPE(4, 'd'): return HF_DATE;
	case SHAPE(6, 's'): return HF_SERVER;
	case SHAPE(8, 'l'): return HF_LOCATION;
	case SHAPE(4, 'e'): return HF_ETAG;
	case SHAPE(13, 'a'): return HF_AUTHORIZATION;
	case SHAPE(13, 'c'): return HF_CACHE_CONTROL;
	case SHAPE(5, 'r'): return HF_RANGE;
	case SHAPE(15, 'a'): return HF_ACCEPT_ENCODING;
	case SHAPE(12, 'm'): return HF_MAX_FORWARDS;
	case SHAPE(19, 'p'): return HF_PROXY_AUTHORIZATION;
	case SHAPE(18, 'p'): return HF_PROXY_AUTHENTICATE;
	case SHAPE(10, 's'): return HF_SET_COOKIE;
	default: return HF_OTHER;
	}
}

enum http_fid http_field_id(struct str name)
{
	enum http_fid id;

	if (name.n == 0)
		return HF_OTHER;
	id = fid_candidate(name.n, (unsigned char)name.p[0]);
	return id != HF_OTHER && str_ieq(name, field_names[id]) ? id : HF_OTHER;
}

enum http_method http_method_id(struct str m)
{
	static const struct str names[] = {
		[HM_GET] = { "GET", 3 },         [HM_HEAD] = { "HEAD", 4 },
		[HM_POST] = { "POST", 4 },       [HM_PUT] = { "PUT", 3 },
		[HM_DELETE] = { "DELETE", 6 },   [HM_CONNECT] = { "CONNECT", 7 },
		[HM_OPTIONS] = { "OPTIONS", 7 }, [HM_TRACE] = { "TRACE", 5 },
		[HM_PATCH] = { "PATCH", 5 },
	};

	for (unsigned i = HM_GET; i < FL_ARRAY_LEN(names); i++)
		if (str_eq(m, names[i]))
			return (enum http_method)i;
	return HM_OTHER;
}

bool http_method_idempotent(enum http_method m)
{
	switch (m) {
	case HM_GET:
	case HM_HEAD:
	case HM_OPTIONS:
	case HM_TRACE:
	case HM_PUT:
	case HM_DELETE: return true;
	default: return false;
	}
}

/* The IANA registry's phrases. */
const char *http_reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} rows[] = {
		{ 200, "OK" },
		{ 304, "Not Modified" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 404, "Not Found" },
		{ 206, "Partial Content" },
		{ 204, "No Content" },
		{ 100, "Continue" },
		{ 101, "Switching Protocols" },
		{ 102, "Processing" },
		{ 103, "Early Hints" },
		{ 201, "Created" },
		{ 202, "Accepted" },
		{ 203, "Non-Authoritative Information" },
		{ 205, "Reset Content" },
		{ 207, "Multi-Status" },
		{ 208, "Already Reported" },
		{ 226, "IM Used" },
		{ 300, "Multiple Choices" },
		{ 303, "See Other" },
		{ 305, "Use Proxy" },
		{ 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 402, "Payment Required" },
		{ 403, "Forbidden" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 407, "Proxy Authentication Required" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 410, "Gone" },
		{ 411, "Length Required" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 423, "Locked" },
		{ 424, "Failed Dependency" },
		{ 425, "Too Early" },
		{ 426, "Upgrade Required" },
		{ 428, "Precondition Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 451, "Unavailable For Legal Reasons" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 506, "Variant Also Negotiates" },
		{ 507, "Insufficient Storage" },
		{ 508, "Loop Detected" },
		{ 511, "Network Authentication Required" },
	};

	for (unsigned i = 0; i < FL_ARRAY_LEN(rows); i++)
		if (rows[i].status == status)
			return rows[i].text;
	return "";
}

const struct http_field *head_get(const struct http_head *h, enum http_fid id)
{
	if (id == HF_OTHER)
		return NULL;
	for (unsigned i = 0; i < h->n_fields; i++)
		if (h->fields[i].id == id)
			return &h->fields[i];
	return NULL;
}

static bool is_named(const struct http_field *f, enum http_fid id, struct str name)
{
	return id != HF_OTHER ? f->id == id : f->id == HF_OTHER && str_ieq(f->name, name);
}

const struct http_field *head_find(const struct http_head *h, struct str name)
{
	enum http_fid id = http_field_id(name);

	for (unsigned i = 0; i < h->n_fields; i++)
		if (is_named(&h->fields[i], id, name))
			return &h->fields[i];
	return NULL;
}

/* RFC 9110 section 5.6.2 */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c >= 0x7f || memchr("\"(),/:;<=>?@[\\]{}", c, 17))
			return false;
	}
	return s.n > 0;
}

static bool is_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static int grow(struct pool *p, struct http_head *h)
{
	unsigned cap = h->cap_fields ? FL_MIN(h->cap_fields * 2, HEAD_FIELDS_MAX) : 16;
	struct http_field *more = pool_array(p, cap, sizeof(*more));

	if (!more)
		return FL_ENOMEM_;
	if (h->n_fields)
		memcpy(more, h->fields, h->n_fields * sizeof(*more));
	h->fields = more;
	h->cap_fields = cap;
	return 0;
}

int head_add(struct pool *p, struct http_head *h, struct str name, struct str value)
{
	value = str_trim(value);
	if (!is_token(name) || !is_value(value))
		return FL_ESYNTAX_;
	return head_put(p, h, http_field_id(name), name, value);
}

int head_put(struct pool *p, struct http_head *h, enum http_fid id, struct str name,
	     struct str value)
{
	if (h->n_fields >= HEAD_FIELDS_MAX)
		return FL_ELIMIT_;
	if (h->n_fields >= h->cap_fields) {
		int rc = grow(p, h);

		if (rc)
			return rc;
	}
	h->fields[h->n_fields++] = (struct http_field){ name, value, id };
	return 0;
}

unsigned head_remove(struct http_head *h, struct str name)
{
	enum http_fid id = http_field_id(name);
	unsigned kept = 0, n = h->n_fields;

	for (unsigned i = 0; i < n; i++)
		if (!is_named(&h->fields[i], id, name))
			h->fields[kept++] = h->fields[i];
	h->n_fields = kept;
	return n - kept;
}

int head_set(struct pool *p, struct http_head *h, struct str name, struct str value)
{
	value = str_trim(value);
	if (!is_token(name) || !is_value(value))
		return FL_ESYNTAX_;
	head_remove(h, name);
	return head_add(p, h, name, value);
}

/* ---------- copies ---------- */

static bool copy_str(struct pool *p, struct str *s)
{
	if (!s->p)
		return true;
	*s = pool_str(p, *s);
	return s->p != NULL;
}

struct http_head *head_copy(struct pool *p, const struct http_head *h)
{
	struct http_head *c = pool_alloc(p, sizeof(*c));

	if (!c)
		return NULL;
	*c = *h;
	if (!copy_str(p, &c->method_s) || !copy_str(p, &c->scheme) || !copy_str(p, &c->host) ||
	    !copy_str(p, &c->authority) || !copy_str(p, &c->path) || !copy_str(p, &c->query) ||
	    !copy_str(p, &c->reason) || !copy_str(p, &c->upgrade_proto))
		return NULL;
	c->fields = NULL;
	c->cap_fields = h->n_fields;
	if (h->n_fields) {
		c->fields = pool_array(p, h->n_fields, sizeof(*c->fields));
		if (!c->fields)
			return NULL;
	}
	for (unsigned i = 0; i < h->n_fields; i++) {
		c->fields[i] = h->fields[i];
		if (!copy_str(p, &c->fields[i].name) || !copy_str(p, &c->fields[i].value))
			return NULL;
	}
	return c;
}
