/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr.c - socket addresses and prefixes as text and as values
 *
 * Text forms follow RFC 3986 section 3.2.2 (brackets) and RFC 5952 (output). Nothing here asks a
 * resolver; inet_pton() and inet_ntop() are pure. A scope is a number (RFC 4007 section 11.2).
 */
#include "config.h"

#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/err.h"

static bool is_v4_mapped(const uint8_t b[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(b, prefix, sizeof(prefix)) == 0;
}

/* Addresses ------------------------------------------------------------------------------ */

/* A literal as it stands: a mapped IPv6 address stays IPv6. */
static int ip_parse_raw(struct str s, struct ip *out)
{
	char text[INET6_ADDRSTRLEN];
	struct ip ip = { 0 };

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
		return FL_ESYNTAX_;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	ip.family = memchr(text, ':', s.n) ? AF_INET6 : AF_INET;
	if (inet_pton(ip.family, text, ip.b) != 1)
		return FL_ESYNTAX_;
	*out = ip;
	return 0;
}

static struct ip ip_norm(struct ip ip)
{
	struct ip v4 = { .family = AF_INET };

	if (ip.family != AF_INET6 || !is_v4_mapped(ip.b))
		return ip;
	memcpy(v4.b, ip.b + 12, 4);
	return v4;
}

int ip_parse(struct str s, struct ip *out)
{
	struct ip ip;
	int err = ip_parse_raw(s, &ip);

	if (!err)
		*out = ip_norm(ip);
	return err;
}

static size_t ip_len(const struct ip *ip)
{
	return ip->family == AF_INET ? 4 : ip->family == AF_INET6 ? 16 : 0;
}

int ip_cmp(struct ip a, struct ip b)
{
	if (a.family != b.family)
		return ip_len(&a) < ip_len(&b) ? -1 : 1;
	return memcmp(a.b, b.b, ip_len(&a));
}

bool ip_eq(struct ip a, struct ip b)
{
	return ip_cmp(a, b) == 0;
}

/* inet_ntop() goes through printf: on the request path that is felt. */
static const char *ip4_text(const uint8_t b[4], char *out)
{
	char *at = out;

	for (unsigned i = 0; i < 4; i++) {
		if (b[i] >= 100)
			*at++ = (char)('0' + b[i] / 100);
		if (b[i] >= 10)
			*at++ = (char)('0' + b[i] / 10 % 10);
		*at++ = (char)('0' + b[i] % 10);
		*at++ = i < 3 ? '.' : '\0';
	}
	return out;
}

const char *ip_text(struct ip ip, char out[ADDR_TEXT_MAX])
{
	if (ip.family == AF_INET)
		return ip4_text(ip.b, out);
	if (!ip_len(&ip) || !inet_ntop(ip.family, ip.b, out, ADDR_TEXT_MAX))
		snprintf(out, ADDR_TEXT_MAX, "-");
	return out;
}

/* Prefixes ------------------------------------------------------------------------------- */

static bool has_host_bits(const struct ip *ip, unsigned bits)
{
	size_t n = ip_len(ip), i = bits / 8;

	if (i < n && (ip->b[i] & (0xff >> bits % 8)))
		return true;
	for (i++; i < n; i++)
		if (ip->b[i])
			return true;
	return false;
}

int cidr_parse(struct str s, struct cidr *out)
{
	struct str rest = s, addr = str_cut(&rest, '/');
	bool has_bits = addr.n < s.n;
	uint64_t bits;
	struct ip ip;
	int err = ip_parse_raw(addr, &ip);

	if (err)
		return err;
	bits = ip_len(&ip) * 8;
	if (has_bits) {
		if (rest.n == 0 || (rest.n > 1 && rest.p[0] == '0') || !str_u64(rest, &bits))
			return FL_ESYNTAX_;
		if (bits > ip_len(&ip) * 8 || has_host_bits(&ip, (unsigned)bits))
			return FL_ERANGE_;
	}
	if (ip.family == AF_INET6 && bits >= 96 && is_v4_mapped(ip.b)) {
		ip = ip_norm(ip);
		bits -= 96;
	}
	*out = (struct cidr){ ip, (uint8_t)bits };
	return 0;
}

bool cidr_has(const struct cidr *c, struct ip ip)
{
	unsigned whole = c->bits / 8, rest = c->bits % 8;

	ip = ip_norm(ip);
	if (c->ip.family == 0 || c->ip.family != ip.family)
		return false;
	if (memcmp(c->ip.b, ip.b, whole) != 0)
		return false;
	return rest == 0 || ((c->ip.b[whole] ^ ip.b[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

/* Socket addresses ------------------------------------------------------------------------- */

static int port_parse(struct str s, uint16_t *out)
{
	uint64_t v;

	if (s.n == 0 || (s.n > 1 && s.p[0] == '0'))
		return FL_ESYNTAX_;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return FL_ESYNTAX_;
	if (!str_u64(s, &v) || v == 0 || v > 65535)
		return FL_ERANGE_;
	*out = (uint16_t)v;
	return 0;
}

/* Splits "host", "host:port", "[host]", "[host]:port"; a bare IPv6 literal is all host. */
static int split_port(struct str s, struct str *host, struct str *port, bool *has_port,
		      bool *bracket)
{
	ptrdiff_t at;

	*has_port = *bracket = false;
	*port = STR_NULL;
	if (s.n && s.p[0] == '[') {
		at = str_find(s, STR("]"));
		if (at < 0)
			return FL_ESYNTAX_;
		*bracket = true;
		*host = str_n(s.p + 1, (size_t)at - 1);
		s = str_n(s.p + at + 1, s.n - (size_t)at - 1);
		if (s.n == 0)
			return 0;
		if (s.p[0] != ':')
			return FL_ESYNTAX_;
		at = 0;
	} else {
		*host = s;
		at = str_find(s, STR(":"));
		if (at < 0)
			return 0;
		if (memchr(s.p + at + 1, ':', s.n - (size_t)at - 1))
			return 0;      /* two colons: an IPv6 literal, no port */
		host->n = (size_t)at;
	}
	*port = str_n(s.p + at + 1, s.n - (size_t)at - 1);
	*has_port = true;
	return 0;
}

static int scope_cut(struct str *host, uint32_t *scope)
{
	struct str rest = *host, head = str_cut(&rest, '%');
	uint64_t v;

	*scope = 0;
	if (head.n == host->n)
		return 0;
	if (!str_u64(rest, &v) || v == 0)
		return FL_ESYNTAX_;
	if (v > UINT32_MAX)
		return FL_ERANGE_;
	*host = head;
	*scope = (uint32_t)v;
	return 0;
}

int addr_parse(struct str s, int default_port, struct addr *out)
{
	struct str host, port_text;
	bool has_port, bracket;
	uint16_t port = 0;
	uint32_t scope = 0;
	struct ip ip = { .family = AF_INET6 };
	int err = split_port(s, &host, &port_text, &has_port, &bracket);

	if (err)
		return err;
	if (has_port)
		err = port_parse(port_text, &port);
	else if (default_port < 0 || s.n == 0)
		err = FL_ESYNTAX_;
	else if (default_port > 65535)
		err = FL_ERANGE_;
	else
		port = (uint16_t)default_port;
	if (err)
		return err;
	if (bracket || (host.n && !str_eq(host, STR("*")))) {
		err = scope_cut(&host, &scope);
		if (!err)
			err = ip_parse_raw(host, &ip);
		if (!err && ip.family == AF_INET && (bracket || scope))
			err = FL_ESYNTAX_;
		if (err)
			return err;
	}
	addr_from_ip(out, ip_norm(ip), port);
	if (out->sa.sa_family == AF_INET6)
		out->in6.sin6_scope_id = scope;
	return 0;
}

void addr_from_ip(struct addr *out, struct ip ip, uint16_t port)
{
	memset(out, 0, sizeof(*out));
	out->sa.sa_family = ip.family;
	if (ip.family == AF_INET)
		memcpy(&out->in.sin_addr, ip.b, 4);
	else if (ip.family == AF_INET6)
		memcpy(&out->in6.sin6_addr, ip.b, 16);
	addr_set_port(out, port);
}

/* The address as it stands. */
static struct ip addr_ip_raw(const struct addr *a)
{
	struct ip ip = { 0 };

	if (a->sa.sa_family == AF_INET)
		memcpy(ip.b, &a->in.sin_addr, 4);
	else if (a->sa.sa_family == AF_INET6)
		memcpy(ip.b, &a->in6.sin6_addr, 16);
	else
		return ip;
	ip.family = (uint8_t)a->sa.sa_family;
	return ip;
}

struct ip addr_ip(const struct addr *a)
{
	return ip_norm(addr_ip_raw(a));
}

void addr_norm(struct addr *a)
{
	struct ip ip = addr_ip(a);

	if (a->sa.sa_family == AF_INET6 && ip.family == AF_INET)
		addr_from_ip(a, ip, addr_port(a));
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family || addr_port(a) != addr_port(b))
		return false;
	if (a->sa.sa_family == AF_INET6 && a->in6.sin6_scope_id != b->in6.sin6_scope_id)
		return false;
	return ip_eq(addr_ip_raw(a), addr_ip_raw(b));
}

socklen_t addr_len(const struct addr *a)
{
	return a->sa.sa_family == AF_INET    ? (socklen_t)sizeof(a->in)
	       : a->sa.sa_family == AF_INET6 ? (socklen_t)sizeof(a->in6)
					     : 0;
}

uint16_t addr_port(const struct addr *a)
{
	return a->sa.sa_family == AF_INET    ? ntohs(a->in.sin_port)
	       : a->sa.sa_family == AF_INET6 ? ntohs(a->in6.sin6_port)
					     : 0;
}

void addr_set_port(struct addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET)
		a->in.sin_port = htons(port);
	else if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons(port);
}

bool addr_is_any(const struct addr *a)
{
	static const uint8_t zero[16];
	struct ip ip = addr_ip_raw(a);

	return ip.family != 0 && memcmp(ip.b, zero, ip_len(&ip)) == 0;
}

const char *addr_text(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	char host[ADDR_TEXT_MAX];
	struct ip ip = addr_ip_raw(a);
	struct sb b;

	ip_text(ip, host);
	sb_init(&b, out, ADDR_TEXT_MAX);
	if (ip.family == AF_INET6 && a->in6.sin6_scope_id)
		sb_fmt(&b, "[%s%%%u]:%u", host, (unsigned)a->in6.sin6_scope_id, addr_port(a));
	else if (ip.family)
		sb_fmt(&b, ip.family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, addr_port(a));
	else
		sb_c(&b, host);
	return out;
}
