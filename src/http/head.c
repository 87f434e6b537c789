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

/* Length and first letter leave at most one candidate; -Woverride-init sees a second one. */
#define SHAPE(len, first) ((len) << 5 | ((first) & 31))
static const uint8_t candidates[SHAPE(HF_NAME_MAX + 1, 0)] = {
	[SHAPE(4, 'h')] = HF_HOST,
	[SHAPE(14, 'c')] = HF_CONTENT_LENGTH,
	[SHAPE(17, 't')] = HF_TRANSFER_ENCODING,
	[SHAPE(10, 'c')] = HF_CONNECTION,
	[SHAPE(7, 'u')] = HF_UPGRADE,
	[SHAPE(6, 'e')] = HF_EXPECT,
	[SHAPE(2, 't')] = HF_TE,
	[SHAPE(7, 't')] = HF_TRAILER,
	[SHAPE(10, 'k')] = HF_KEEP_ALIVE,
	[SHAPE(16, 'p')] = HF_PROXY_CONNECTION,
	[SHAPE(3, 'v')] = HF_VIA,
	[SHAPE(15, 'x')] = HF_X_FORWARDED_FOR,
	[SHAPE(17, 'x')] = HF_X_FORWARDED_PROTO,
	[SHAPE(16, 'x')] = HF_X_FORWARDED_HOST,
	[SHAPE(9, 'f')] = HF_FORWARDED,
	[SHAPE(10, 'u')] = HF_USER_AGENT,
	[SHAPE(7, 'r')] = HF_REFERER,
	[SHAPE(6, 'c')] = HF_COOKIE,
	[SHAPE(12, 'c')] = HF_CONTENT_TYPE,
	[SHAPE(4, 'd')] = HF_DATE,
	[SHAPE(6, 's')] = HF_SERVER,
	[SHAPE(8, 'l')] = HF_LOCATION,
	[SHAPE(4, 'e')] = HF_ETAG,
	[SHAPE(13, 'a')] = HF_AUTHORIZATION,
	[SHAPE(13, 'c')] = HF_CACHE_CONTROL,
	[SHAPE(5, 'r')] = HF_RANGE,
	[SHAPE(15, 'a')] = HF_ACCEPT_ENCODING,
	[SHAPE(12, 'm')] = HF_MAX_FORWARDS,
	[SHAPE(19, 'p')] = HF_PROXY_AUTHORIZATION,
	[SHAPE(18, 'p')] = HF_PROXY_AUTHENTICATE,
	[SHAPE(10, 's')] = HF_SET_COOKIE,
};

/* Are the N bytes at p the upper or lower case of those at `name`, which are a-z and "-"? Only
 * letters have bit 6, and only in them bit 5 makes no difference. */
#define IS_CASE_OF(type, p, name) \
	({ \
		type p_, name_; \
		memcpy(&p_, (p), sizeof(type)); \
		memcpy(&name_, (name), sizeof(type)); \
		(type)(p_ | (name_ & (type)0x4040404040404040u) >> 1) == name_; \
	})

/* By words, the last two of which may overlap. n >= 2 */
static bool is_name(const char *p, const char *name, size_t n)
{
	if (n >= 8) {
		for (size_t i = 0; i + 8 < n; i += 8)
			if (!IS_CASE_OF(uint64_t, p + i, name + i))
				return false;
		return IS_CASE_OF(uint64_t, p + n - 8, name + n - 8);
	}
	if (n >= 4)
		return IS_CASE_OF(uint32_t, p, name) &&
		       IS_CASE_OF(uint32_t, p + n - 4, name + n - 4);
	return IS_CASE_OF(uint16_t, p, name) && IS_CASE_OF(uint16_t, p + n - 2, name + n - 2);
}

enum http_fid http_field_id(struct str name)
{
	enum http_fid id;

	if (name.n < 2 || name.n > HF_NAME_MAX)
		return HF_OTHER;
	id = candidates[SHAPE(name.n, (unsigned char)name.p[0])];
	return id != HF_OTHER && is_name(name.p, field_names[id].p, name.n) ? id : HF_OTHER;
}

enum http_method http_method_id(struct str m)
{
#define IS(id) (memcmp(m.p, #id, sizeof(#id) - 1) == 0)
	switch (m.n) {
	case 3: return IS(GET) ? HM_GET : IS(PUT) ? HM_PUT : HM_OTHER;
	case 4: return IS(POST) ? HM_POST : IS(HEAD) ? HM_HEAD : HM_OTHER;
	case 5: return IS(PATCH) ? HM_PATCH : IS(TRACE) ? HM_TRACE : HM_OTHER;
	case 6: return IS(DELETE) ? HM_DELETE : HM_OTHER;
	case 7: return IS(OPTIONS) ? HM_OPTIONS : IS(CONNECT) ? HM_CONNECT : HM_OTHER;
	default: return HM_OTHER;
	}
#undef IS
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
	static const char *const classes[] = {
		"", "Informational", "Success", "Redirection", "Client Error", "Server Error",
	};

	switch (status) {
	case 100: return "Continue";
	case 101: return "Switching Protocols";
	case 102: return "Processing";
	case 103: return "Early Hints";
	case 200: return "OK";
	case 201: return "Created";
	case 202: return "Accepted";
	case 203: return "Non-Authoritative Information";
	case 204: return "No Content";
	case 205: return "Reset Content";
	case 206: return "Partial Content";
	case 207: return "Multi-Status";
	case 208: return "Already Reported";
	case 226: return "IM Used";
	case 300: return "Multiple Choices";
	case 301: return "Moved Permanently";
	case 302: return "Found";
	case 303: return "See Other";
	case 304: return "Not Modified";
	case 305: return "Use Proxy";
	case 307: return "Temporary Redirect";
	case 308: return "Permanent Redirect";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 402: return "Payment Required";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 406: return "Not Acceptable";
	case 407: return "Proxy Authentication Required";
	case 408: return "Request Timeout";
	case 409: return "Conflict";
	case 410: return "Gone";
	case 411: return "Length Required";
	case 412: return "Precondition Failed";
	case 413: return "Content Too Large";
	case 414: return "URI Too Long";
	case 415: return "Unsupported Media Type";
	case 416: return "Range Not Satisfiable";
	case 417: return "Expectation Failed";
	case 421: return "Misdirected Request";
	case 422: return "Unprocessable Content";
	case 423: return "Locked";
	case 424: return "Failed Dependency";
	case 425: return "Too Early";
	case 426: return "Upgrade Required";
	case 428: return "Precondition Required";
	case 429: return "Too Many Requests";
	case 431: return "Request Header Fields Too Large";
	case 451: return "Unavailable For Legal Reasons";
	case 500: return "Internal Server Error";
	case 501: return "Not Implemented";
	case 502: return "Bad Gateway";
	case 503: return "Service Unavailable";
	case 504: return "Gateway Timeout";
	case 505: return "HTTP Version Not Supported";
	case 506: return "Variant Also Negotiates";
	case 507: return "Insufficient Storage";
	case 508: return "Loop Detected";
	case 511: return "Network Authentication Required";
	default:
		/* RFC 9110 section 15: what is unknown is as good as the x00 of its class */
		return status >= 100 && status < 600 ? classes[status / 100] : "";
	}
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
