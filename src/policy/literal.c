/* SPDX-License-Identifier: Apache-2.0 */
/*
 * literal.c - unquoted words read as the type that the other side of the comparison has
 *
 * Numbers are decimal or 0x; a leading zero is refused, since people disagree whether it means
 * octal. Addresses are read strictly (base/addr.h); host bits of a prefix are ignored, as
 * Wireshark does. ip_parse() turns IPv4-mapped IPv6 into IPv4, as the facts are.
 */
#include "config.h"

#include <limits.h>

#include "policy/expr.h"

static int hex(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

size_t pol_bytes_parse(struct str w, uint8_t *out, size_t max)
{
	size_t n = 0, i = 0;
	bool plain = str_istarts(w, STR("0x"));
	char sep = 0;

	if (plain)
		i = 2;
	while (n < max && i + 1 < w.n && hex(w.p[i]) >= 0 && hex(w.p[i + 1]) >= 0) {
		out[n++] = (uint8_t)(hex(w.p[i]) * 16 + hex(w.p[i + 1]));
		i += 2;
		if (i == w.n)
			return n == 1 || plain || sep ? n : 0;
		if (plain || (hex(w.p[i]) >= 0 && (!sep || sep == '.')))
			continue;
		if ((w.p[i] != ':' && w.p[i] != '-' && w.p[i] != '.') || (sep && sep != w.p[i]))
			return 0;
		sep = w.p[i++];
	}
	return 0;
}

static void not_a(struct pol_ctx *c, const struct pol_node *n, struct str w, const char *what)
{
	char show[POL_SHOW_MAX];

	if (pol_looks_like_field(w) && pol_field_near(w)) {
		pol_fail_unknown(c, n->off, n->len, w);
		return;
	}
	pol_fail(c, n->off, n->len, "\"%s\" is not %s", pol_show(w, show), what);
}

/* Digits of base 10 or 16 into *out; 0, -1 not a number, -2 too large. */
static int digits(struct str w, unsigned base, uint64_t *out)
{
	uint64_t v = 0;

	if (!w.n)
		return -1;
	for (size_t i = 0; i < w.n; i++) {
		int d = hex(w.p[i]);

		if (d < 0 || (unsigned)d >= base)
			return -1;
		if (v > (UINT64_MAX - (unsigned)d) / base)
			return -2;
		v = v * base + (unsigned)d;
	}
	*out = v;
	return 0;
}

static bool read_int(struct pol_ctx *c, struct pol_node *n, struct str w)
{
	struct str d = w;
	bool minus = d.n && d.p[0] == '-', is_hex;
	uint64_t v = 0;
	int rc;

	if (minus)
		d = str_n(d.p + 1, d.n - 1);
	is_hex = str_istarts(d, STR("0x"));
	if (is_hex)
		d = str_n(d.p + 2, d.n - 2);
	rc = digits(d, is_hex ? 16 : 10, &v);
	if (rc == -1) {
		not_a(c, n, w, "a number");
		return false;
	}
	if (rc == -2 || v > (uint64_t)INT64_MAX) {
		pol_fail(c, n->off, n->len, "the number is too large");
		return false;
	}
	if (!is_hex && d.n > 1 && d.p[0] == '0') {
		pol_fail(c, n->off, n->len, "a number must not begin with 0");
		pol_hint(c, "decimal without leading zeros, or 0x...");
		return false;
	}
	n->val.type = POL_INT;
	n->val.i = minus ? -(int64_t)v : (int64_t)v;
	return true;
}

static bool read_bool(struct pol_ctx *c, struct pol_node *n, struct str w)
{
	bool yes = str_ieq(w, STR("true")) || str_eq(w, STR("1"));

	if (!yes && !str_ieq(w, STR("false")) && !str_eq(w, STR("0"))) {
		not_a(c, n, w, "true or false");
		return false;
	}
	n->val.type = POL_BOOL;
	n->val.b = yes;
	return true;
}

static void clear_host(struct cidr *p)
{
	unsigned bytes = p->ip.family == AF_INET ? 4 : 16;

	for (unsigned i = 0; i < bytes; i++) {
		unsigned keep = p->bits > i * 8 ? FL_MIN(p->bits - i * 8, 8u) : 0;

		p->ip.b[i] &= (uint8_t)(0xff00u >> keep);
	}
}

static bool read_cidr(struct pol_ctx *c, struct pol_node *n, struct str w)
{
	struct str rest = w, addr = str_cut(&rest, '/');
	struct cidr p = { .bits = 0 };
	uint64_t bits = 0;
	unsigned min = 0, max = 32;

	if (ip_parse(addr, &p.ip)) {
		not_a(c, n, w, "an IP address or prefix");
		return false;
	}
	if (memchr(addr.p, ':', addr.n)) {
		/* ::ffff:10.0.0.0/104 was read as 10.0.0.0; shorter ones cover more than IPv4 */
		min = p.ip.family == AF_INET ? 96 : 0;
		max = 128;
	}
	if (!str_u64(rest, &bits) || bits < min || bits > max) {
		pol_fail(c, n->off, n->len, "the prefix length must be %u to %u", min, max);
		return false;
	}
	p.bits = (uint8_t)(bits - min);
	clear_host(&p);
	n->kind = N_CIDR;
	n->cidr = p;
	return true;
}

static bool read_ip(struct pol_ctx *c, struct pol_node *n, struct str w)
{
	struct ip ip;

	if (memchr(w.p, '/', w.n))
		return read_cidr(c, n, w);
	if (ip_parse(w, &ip)) {
		not_a(c, n, w, "an IP address");
		return false;
	}
	n->val.type = POL_IP;
	n->val.ip = ip;
	return true;
}

static bool read_bytes(struct pol_ctx *c, struct pol_node *n, struct str w, enum pol_type type)
{
	uint8_t raw[256];
	size_t len = pol_bytes_parse(w, raw, sizeof(raw));
	char *copy;

	if (!len) {
		not_a(c, n, w, type == POL_MAC ? "a MAC address" : "a byte string");
		pol_hint(c, "bytes are written 02:00:5e");
		return false;
	}
	if (type == POL_MAC && len != 6) {
		pol_fail(c, n->off, n->len, "a MAC address has 6 bytes, not %zu", len);
		pol_hint(c, "compare a slice [0:%zu] with the first bytes, or use a set", len);
		return false;
	}
	copy = pol_mem(c, len);
	if (!copy)
		return false;
	memcpy(copy, raw, len);
	n->val.type = type;
	n->val.s = str_n(copy, len);
	return true;
}

static bool read_text(struct pol_ctx *c, struct pol_node *n, struct str w, bool bytes_ok)
{
	uint8_t raw[256];
	char show[POL_SHOW_MAX];

	if (bytes_ok && pol_bytes_parse(w, raw, sizeof(raw)))
		return read_bytes(c, n, w, POL_STR);
	if (pol_looks_like_field(w) && memchr(w.p, '.', w.n) && pol_field_near(w)) {
		pol_fail_unknown(c, n->off, n->len, w);
		return false;
	}
	pol_fail(c, n->off, n->len, "text must stand in quotes");
	pol_hint(c, "write \"%s\"", pol_show(w, show));
	return false;
}

bool pol_literal_read(struct pol_ctx *c, struct pol_node *n, enum pol_type type, bool bytes_ok)
{
	struct str w = str_n(c->src.p + n->off, n->len);
	bool ok = false;

	n->kind = N_CONST;
	n->type = (uint8_t)type;
	switch (type) {
	case POL_INT:   ok = read_int(c, n, w); break;
	case POL_BOOL:  ok = read_bool(c, n, w); break;
	case POL_IP:    ok = read_ip(c, n, w); break;
	case POL_MAC:
	case POL_BYTES: ok = read_bytes(c, n, w, type); break;
	case POL_STR:   ok = read_text(c, n, w, bytes_ok); break;
	case POL_NONE:  ASSERT(type != POL_NONE);
	}
	return ok;
}
