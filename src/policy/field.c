/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field.c - names of fields, functions and operators: look-up, what was meant, dumps for -x
 *
 * The rows themselves are in rows.c.
 */
#include "config.h"

#include "policy/expr.h"

/* What people write who come from elsewhere. */
static const struct {
	const char *wrong, *right;
} aliases[] = {
	{ "ip.addr", "ip.src" },
	{ "ip.host", "ip.src" },
	{ "ipv6.src", "ip.src" },
	{ "ipv6.dst", "ip.dst" },
	{ "ipv6.addr", "ip.src" },
	{ "src", "ip.src" },
	{ "client.ip", "ip.src" },
	{ "tcp.port", "tcp.dstport" },
	{ "dst_port", "tcp.dstport" },
	{ "udp.port", "udp.dstport" },
	{ "tls.handshake.extensions_server_name", "tls.sni" },
	{ "sni", "tls.sni" },
	{ "ssl_fc_sni", "tls.sni" },
	{ "tls.handshake.ciphersuite", "tls.cipher" },
	{ "method", "http.request.method" },
	{ "http.method", "http.request.method" },
	{ "host", "http.host" },
	{ "http.request.host", "http.host" },
	{ "uri", "http.request.uri" },
	{ "http.uri", "http.request.uri" },
	{ "url", "http.request.full_uri" },
	{ "path", "http.request.uri.path" },
	{ "http.path", "http.request.uri.path" },
	{ "http.request.path", "http.request.uri.path" },
	{ "query", "http.request.uri.query" },
	{ "http.query", "http.request.uri.query" },
	{ "http.request.query", "http.request.uri.query" },
	{ "http.header", "http.request.headers" },
	{ "http.headers", "http.request.headers" },
	{ "http.cookies", "http.request.cookies" },
	{ "http.status", "http.response.code" },
	{ "http.code", "http.response.code" },
	{ "http.response.status", "http.response.code" },
	{ "status", "http.response.code" },
};

unsigned pol_field_find(struct str name, bool object)
{
	for (unsigned i = 0; i < POL_F__COUNT; i++)
		if (pol_field_rows[i].object_key == object &&
		    str_eq(name, str_c(pol_field_rows[i].name)))
			return i;
	return POL_F__COUNT;
}

/* The nearest of two names so far. */
struct nearest {
	struct str  name;
	unsigned    best;
	const char *found;
};

static struct nearest nearest_start(struct str name)
{
	unsigned limit = (unsigned)FL_MIN(name.n / 3 + 1, 3u);

	return (struct nearest){ name, limit + 1, NULL };
}

static void nearest_try(struct nearest *n, const char *other)
{
	unsigned d;

	if (!*other || n->name.n > 64)
		return;
	d = str_distance(n->name, str_c(other), n->best);
	if (d < n->best) {
		n->best = d;
		n->found = other;
	}
}

const char *pol_field_near(struct str name)
{
	struct nearest n = nearest_start(name);

	for (size_t i = 0; i < FL_ARRAY_LEN(aliases); i++)
		if (str_ieq(name, str_c(aliases[i].wrong)))
			return aliases[i].right;
	for (unsigned i = 0; i < POL_F__COUNT; i++)
		nearest_try(&n, pol_field_rows[i].name);
	if (n.found || name.n < 3)
		return n.found;
	/* the end of a name: "user_agent" */
	for (unsigned i = 0; i < POL_F__COUNT; i++) {
		struct str row = str_c(pol_field_rows[i].name);

		if (row.n > name.n && str_ends(row, name) && row.p[row.n - name.n - 1] == '.')
			return row.p;
	}
	return NULL;
}

void pol_fail_unknown(struct pol_ctx *c, size_t off, size_t len, struct str name)
{
	char show[POL_SHOW_MAX];
	const char *near = pol_field_near(name);

	pol_fail(c, off, len, "unknown field \"%s\"", pol_show(name, show));
	if (near)
		pol_hint(c, "did you mean \"%s\"?", near);
}

bool pol_looks_like_field(struct str w)
{
	bool letter = (w.p[0] >= 'a' && w.p[0] <= 'z') || (w.p[0] >= 'A' && w.p[0] <= 'Z') ||
		      w.p[0] == '_';

	return letter && !memchr(w.p, ':', w.n) && !memchr(w.p, '/', w.n);
}

const char *pol_fn_near(struct str name)
{
	struct nearest n = nearest_start(name);

	for (unsigned i = 0; i < POL_FN__COUNT; i++)
		nearest_try(&n, pol_fn_rows[i].name);
	return n.found;
}

const char *pol_op_near(struct str word)
{
	struct nearest n = nearest_start(word);

	for (unsigned i = 1; i < POL_OP_EXISTS; i++) {
		nearest_try(&n, pol_op_rows[i].sym);
		nearest_try(&n, pol_op_rows[i].word);
	}
	return n.found;
}

const char *pol_type_text(enum pol_type t)
{
	switch (t) {
	case POL_BOOL:  return "true or false";
	case POL_INT:   return "a number";
	case POL_STR:   return "text";
	case POL_BYTES: return "bytes";
	case POL_IP:    return "an IP address";
	case POL_MAC:   return "a MAC address";
	case POL_NONE:  break;
	}
	return "nothing";
}

static const char *type_word(enum pol_type t)
{
	static const char *const words[] = { "none", "bool", "int", "str", "bytes", "ip", "mac" };

	return words[t];
}

static const struct {
	unsigned    bit;
	const char *word, *text;
} planes_table[] = {
	{ POL_CONN, "connection", "the connection" },
	{ POL_HELLO, "hello", "the TLS hello" },
	{ POL_REQ, "request", "the request" },
	{ POL_RESP, "response", "the response" },
	{ POL_DGRAM, "datagram", "the datagram" },
	{ POL_LOG, "log", "the access log" },
};

void pol_planes_text(unsigned planes, struct sb *b)
{
	bool first = true;

	for (size_t i = 0; i < FL_ARRAY_LEN(planes_table); i++) {
		if (!(planes & planes_table[i].bit))
			continue;
		if (!first)
			sb_c(b, ", ");
		sb_c(b, planes_table[i].text);
		first = false;
	}
}

/* vserver.connections -> vserver["..."].connections, as it is written */
static void field_use(const struct pol_field_row *r, struct sb *b)
{
	struct str name = str_c(r->name), kind;

	if (!r->object_key) {
		sb_str(b, name);
		if (r->needs_key)
			sb_c(b, "[\"NAME\"]");
		return;
	}
	kind = str_cut(&name, '.');
	sb_str(b, kind);
	sb_c(b, "[\"NAME\"].");
	sb_str(b, name);
}

void pol_dump_fields(struct sb *b)
{
	for (unsigned i = 0; i < POL_F__COUNT; i++) {
		const struct pol_field_row *r = &pol_field_rows[i];
		bool first = true;

		field_use(r, b);
		sb_fmt(b, "\t%s\t", type_word(r->type));
		for (size_t k = 0; k < FL_ARRAY_LEN(planes_table); k++) {
			if (!(r->planes & planes_table[k].bit))
				continue;
			sb_fmt(b, "%s%s", first ? "" : ",", planes_table[k].word);
			first = false;
		}
		sb_fmt(b, "\t%s\t%s\n", r->multi ? "many" : "one", r->text);
	}
}

void pol_dump_operators(struct sb *b)
{
	for (unsigned i = 1; i < POL_OP_EXISTS; i++) {
		const struct pol_op_row *r = &pol_op_rows[i];

		sb_fmt(b, "%s\t%s\t%s\t%s\n", *r->sym ? r->sym : "-", r->word,
		       *r->other ? r->other : "-", r->text);
	}
}

void pol_dump_functions(struct sb *b)
{
	for (unsigned i = 0; i < POL_FN__COUNT; i++)
		sb_fmt(b, "%s\t%s\t%s\n", pol_fn_rows[i].use, type_word(pol_fn_rows[i].result),
		       pol_fn_rows[i].text);
}
