/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_uri.c - one normal form of host, path and query for rules, logs, keys and services
 *
 * RFC 3986 sections 3.2.2, 3.3, 5.2.4, 6.2.2; RFC 9112 section 3.2. What follows from the text of
 * the RFC is rewritten; what servers are known to read in different ways is refused (ROBUSTNESS
 * 6.2):
 *
 *   rewritten  %7e -> ~, %c3 -> %C3, "/./", "/../", leading "//" -> "/", <>"^`{|} encoded,
 *              host in lower case
 *   refused    control characters (%00, %0a), broken %, dot segments above the root, raw
 *              backslash, dot segments beside %2F, %5C or %3B ("..%2f"), dot segments or
 *              nothing before or after ";" ("/..;/", "/;/", "/a;/"), ".." together with an
 *              empty segment ("/a//../b"), overlong UTF-8 (%C0%AF)
 *   kept       "//" inside a path (services may name things so; RFC 3986 sees two different
 *              paths), %2F without dots, other parameters after ";"
 *
 * The query keeps its encoding: what it means is the application's.
 */
#include "config.h"

#include "http/h1_inside.h"

#include "base/addr.h"

static const char hex_upper[] = "0123456789ABCDEF";

/* ---------- path ---------- */

struct path_out {
	char *out;      /* room for 3 bytes per input byte */
	size_t n, seg;  /* written; where the current segment begins (behind its "/") */
	uint8_t before; /* byte before, when it was encoded and >= 0x80, else 0 */
	bool has_empty, has_up;
};

static void put_encoded(struct path_out *o, uint8_t c)
{
	o->out[o->n++] = '%';
	o->out[o->n++] = hex_upper[c >> 4];
	o->out[o->n++] = hex_upper[c & 15];
}

/* UTF-8 sequences that hide an ASCII or shorter character. */
static bool is_overlong(uint8_t lead, uint8_t next)
{
	return ((lead == 0xc0 || lead == 0xc1) && next >= 0x80 && next <= 0xbf) ||
	       (lead == 0xe0 && next >= 0x80 && next <= 0x9f) ||
	       (lead == 0xf0 && next >= 0x80 && next <= 0x8f);
}

/* One "%XX". */
static bool put_escape(struct path_out *o, const char *in, size_t left)
{
	int hi = left > 1 ? h1_hex((uint8_t)in[1]) : -1,
	    lo = left > 2 ? h1_hex((uint8_t)in[2]) : -1;
	uint8_t c;

	if (hi < 0 || lo < 0)
		return false;
	c = (uint8_t)(hi << 4 | lo);
	if (c < 0x20 || c == 0x7f || is_overlong(o->before, c))
		return false;
	o->before = c;
	if (h1_is(c, HC_UNRESERVED))
		o->out[o->n++] = (char)c;
	else
		put_encoded(o, c);
	return true;
}

static bool is_dots(const char *s, size_t n)
{
	return (n == 1 || n == 2) && s[0] == '.' && s[n - 1] == '.';
}

/* What some servers would make of a segment: pieces between %2F, %5C and %3B, each without its
 * parameters. False when that is not what RFC 3986 makes of it. */
static bool segment_is_plain(const char *s, size_t n)
{
	size_t piece = 0, name_end = 0;
	bool split = false, params = false;

	for (size_t i = 0; i <= n; i++) {
		bool sep = i + 2 < n && s[i] == '%' &&
			   (memcmp(s + i, "%2F", 3) == 0 || memcmp(s + i, "%5C", 3) == 0 ||
			    memcmp(s + i, "%3B", 3) == 0);

		if (i < n && s[i] == ';' && !params) {
			params = true;
			name_end = i;
		}
		if (params && i > 0 && s[i - 1] == ';' && (i == n || sep || s[i] == ';'))
			return false; /* an empty parameter */
		if (i < n && !sep)
			continue;
		split |= sep;
		if (!params)
			name_end = i;
		if (params && name_end == piece)
			return false;
		if ((split || params) && is_dots(s + piece, name_end - piece))
			return false;
		if (sep)
			i += 2;
		piece = i + 1;
		params = false;
	}
	return true;
}

/* The segment out[seg..n) is complete; `last`: no "/" follows. Writes that "/" otherwise. */
static bool end_segment(struct path_out *o, bool last)
{
	const char *s = o->out + o->seg;
	size_t n = o->n - o->seg;

	if (is_dots(s, n)) {
		o->n = o->seg;
		if (n == 1)
			return true;
		o->has_up = true;
		if (o->seg == 1)
			return false;
		for (o->n--; o->out[o->n - 1] != '/'; o->n--)
			;
		o->seg = o->n;
		return true;
	}
	if (!segment_is_plain(s, n))
		return false;
	if (last)
		return true;
	if (n == 0) {
		if (o->seg == 1)
			return true; /* leading "//" */
		o->has_empty = true;
	}
	o->out[o->n++] = '/';
	o->seg = o->n;
	return true;
}

static enum h1_reason rewrite_path(struct pool *pool, struct str in, struct str *out)
{
	struct path_out o = { .n = 1, .seg = 1 };

	o.out = pool_alloc(pool, in.n * 3 + 1);
	if (!o.out)
		return H1_NOMEM;
	o.out[0] = '/';
	for (size_t i = 1; i < in.n; i++) {
		uint8_t c = (uint8_t)in.p[i];

		if (c == '%') {
			if (!put_escape(&o, in.p + i, in.n - i))
				return H1_BAD_PATH;
			i += 2;
			continue;
		}
		o.before = 0;
		if (c == '/') {
			if (!end_segment(&o, false))
				return H1_BAD_PATH;
		} else if (h1_is(c, HC_PATH) || c == '.' || c == ';') {
			o.out[o.n++] = (char)c;
		} else if (c == '\\' || !h1_is(c, HC_TARGET)) {
			return H1_BAD_PATH;
		} else {
			put_encoded(&o, c);
		}
	}
	if (!end_segment(&o, true) || (o.has_empty && o.has_up))
		return H1_BAD_PATH;
	if (o.n == in.n && memcmp(o.out, in.p, in.n) == 0)
		*out = in;
	else
		*out = str_n(o.out, o.n);
	return H1_OK;
}

enum h1_reason h1_path_normalise(struct pool *pool, struct str in, struct str *out)
{
	size_t i;

	if (in.n == 0 || in.p[0] != '/')
		return H1_BAD_PATH;
	if (in.n > 1 && in.p[1] == '/')
		return rewrite_path(pool, in, out);
	for (i = 1; i < in.n; i++) {
		i = h1_span->path((const uint8_t *)in.p, i, in.n);
		/* dots within a name, and "//" but the leading one, are fine as they are */
		if (i < in.n && (in.p[i] != '.' || in.p[i - 1] == '/'))
			return rewrite_path(pool, in, out);
	}
	*out = in;
	return H1_OK;
}

enum h1_reason h1_query_normalise(struct pool *pool, struct str in, struct str *out)
{
	size_t extra = 0, n = 0;
	char *q;

	for (size_t i = 0; i < in.n; i++) {
		i = h1_span->query((const uint8_t *)in.p, i, in.n);
		if (i == in.n)
			break;
		if (!h1_is((uint8_t)in.p[i], HC_TARGET))
			return H1_BAD_TARGET;
		extra += 2;
	}
	*out = in;
	if (extra == 0)
		return H1_OK;
	q = pool_alloc(pool, in.n + extra);
	if (!q)
		return H1_NOMEM;
	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = (uint8_t)in.p[i];

		if (h1_is(c, HC_QUERY)) {
			q[n++] = (char)c;
			continue;
		}
		q[n++] = '%';
		q[n++] = hex_upper[c >> 4];
		q[n++] = hex_upper[c & 15];
	}
	*out = str_n(q, n);
	return H1_OK;
}

/* ---------- authority ---------- */

/* Length of the "[...]" at the beginning of s, 0 when it is no IPv6 address. */
static size_t bracket_length(struct str s)
{
	const char *end = memchr(s.p, ']', s.n);
	size_t n = end ? (size_t)(end - s.p) : 0;
	struct ip ip;

	if (n == 0 || !memchr(s.p, ':', n))
		return 0;
	return ip_parse(str_n(s.p + 1, n - 1), &ip) ? 0 : n + 1;
}

static bool is_lower(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			return false;
	return true;
}

/* Length of the host at the beginning of s, 0 when it is none. *lower: it has no capitals. */
static size_t host_length(struct str s, bool *lower)
{
	size_t i;

	if (s.n && s.p[0] == '[') {
		i = bracket_length(s);
		*lower = is_lower(s.p, i);
		return i;
	}
	*lower = true;
	for (i = 0; i < s.n; i++) {
		uint8_t c = (uint8_t)s.p[i];

		if (h1_is(c, HC_HOST))
			continue;
		if (c == ':')
			break;
		if (c == '.') {
			if (i == 0 || s.p[i - 1] == '.')
				return 0;
		} else if (c >= 'A' && c <= 'Z') {
			*lower = false;
		} else {
			return 0;
		}
	}
	return i <= 255 ? i : 0;
}

/* 1..65535 without leading zeros; 0: malformed. */
static unsigned port_number(struct str s)
{
	unsigned v = 0;

	if (s.n == 0 || s.n > 5 || s.p[0] == '0')
		return 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned)(unsigned char)s.p[i] - '0';

		if (d > 9)
			return 0;
		v = v * 10 + d;
	}
	return v <= 65535 ? v : 0;
}

enum h1_reason h1_authority_normalise(struct pool *pool, struct str in, bool tls, struct str *host,
				      struct str *authority)
{
	bool lower;
	size_t n = host_length(in, &lower), text;
	struct str port = STR_NULL;
	char *copy;

	if (n == 0)
		return H1_BAD_HOST;
	if (n < in.n) {
		unsigned number;

		if (in.p[n] != ':')
			return H1_BAD_HOST;
		port = str_n(in.p + n + 1, in.n - n - 1);
		number = port_number(port);
		if (number == 0)
			return H1_BAD_HOST;
		if (number == (tls ? 443u : 80u))
			port = STR_NULL;
	}
	text = in.p[n - 1] == '.' ? n - 1 : n;
	if (lower && (text == n || !port.n)) {
		*host = str_n(in.p, text);
		*authority = str_n(in.p, port.n ? in.n : text);
		return H1_OK;
	}
	copy = pool_alloc(pool, text + 1 + port.n);
	if (!copy)
		return H1_NOMEM;
	for (size_t i = 0; i < text; i++)
		copy[i] = (char)fl_lower((unsigned char)in.p[i]);
	*host = *authority = str_n(copy, text);
	if (port.n) {
		copy[text] = ':';
		memcpy(copy + text + 1, port.p, port.n);
		authority->n += 1 + port.n;
	}
	return H1_OK;
}

/* ---------- target ---------- */

static enum h1_reason parse_origin_form(struct pool *pool, struct str t, struct http_head *h)
{
	const char *mark = memchr(t.p, '?', t.n);
	struct str path = t;
	enum h1_reason why;

	if (mark)
		path.n = (size_t)(mark - t.p);
	why = h1_path_normalise(pool, path, &h->path);
	if (why || !mark)
		return why;
	return h1_query_normalise(pool, str_n(mark + 1, t.n - path.n - 1), &h->query);
}

/* "http://host:port/path?query"; its authority wins over Host (RFC 9112 section 3.2.2). */
static enum h1_reason parse_absolute_form(struct pool *pool, struct str t, bool tls,
					  struct http_head *h)
{
	size_t skip, n;
	enum h1_reason why;

	if (str_istarts(t, STR("http://")))
		skip = 7;
	else if (str_istarts(t, STR("https://")))
		skip = 8;
	else
		return H1_BAD_TARGET;
	t = str_n(t.p + skip, t.n - skip);
	for (n = 0; n < t.n && t.p[n] != '/' && t.p[n] != '?'; n++)
		;
	why = h1_authority_normalise(pool, str_n(t.p, n), tls, &h->host, &h->authority);
	if (why)
		return why;
	t = str_n(t.p + n, t.n - n);
	if (t.n && t.p[0] == '/')
		return parse_origin_form(pool, t, h);
	if (t.n) {
		h->path = STR("/");
		return h1_query_normalise(pool, str_n(t.p + 1, t.n - 1), &h->query);
	}
	h->path = h->method == HM_OPTIONS ? STR("*") : STR("/"); /* RFC 9112 section 3.2.4 */
	return H1_OK;
}

enum h1_reason h1_target_parse(struct pool *pool, struct str t, bool tls, struct http_head *h)
{
	if (t.n == 0)
		return H1_BAD_TARGET;
	if (t.p[0] == '/')
		return parse_origin_form(pool, t, h);
	if (t.n == 1 && t.p[0] == '*' && h->method == HM_OPTIONS) {
		h->path = t;
		return H1_OK;
	}
	return parse_absolute_form(pool, t, tls, h);
}
