/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.c - addresses, host names with ports, and networks as values
 */
#include "config.h"

#include "conf/inside.h"

#include <ctype.h>
#include <stdio.h>

static bool name_part(struct str s)
{
	struct str rest = s, label = STR_NULL;

	if (s.n == 0 || s.n > 253)
		return false;
	if (rest.p[rest.n - 1] == '.')
		rest.n--;
	while (rest.n) {
		label = str_cut(&rest, '.');
		if (label.n == 0 || label.n > 63)
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!isalnum((unsigned char)label.p[i]) && label.p[i] != '-' &&
			    label.p[i] != '_')
				return false;
	}
	/* 10.0.0.300 is a mistyped address, not a name */
	for (size_t i = 0; i < label.n; i++)
		if (!isdigit((unsigned char)label.p[i]))
			return true;
	return false;
}

/* The part behind the last colon, unless that colon is within [ ] or part of a bare IPv6 address.
 * */
static bool split_port(struct str s, struct str *host, struct str *port)
{
	const char *colon = memrchr(s.p, ':', s.n);

	if (!colon || memchr(colon, ']', s.n - (size_t)(colon - s.p)))
		return false;
	*host = str_n(s.p, (size_t)(colon - s.p));
	*port = str_n(colon + 1, s.n - host->n - 1);
	return s.p[0] == '[' || !memchr(host->p, ':', host->n);
}

static bool good_port(struct str s, uint16_t *out, struct val_fail *f)
{
	uint64_t n;

	if (str_u64(s, &n) && n >= 1 && n <= 65535) {
		*out = (uint16_t)n;
		return true;
	}
	if (s.n && isdigit((unsigned char)s.p[0]))
		VAL_SAY(f, "port \"%.20s\" is not between 1 and 65535", s.p);
	else
		VAL_SAY(f, "\"%.20s\" is not a port number", s.p);
	return false;
}

bool val_address(const struct sig_el *el, struct tok *t, struct conf_val *v, struct val_fail *f)
{
	struct str host, port;
	bool split = split_port(t->text, &host, &port);

	if (split && !good_port(port, &v->port, f))
		return false;
	if (!split && el->port < 0) {
		VAL_SAY(f, "address \"%.60s\" lacks a port", t->text.p);
		if (memchr(t->text.p, ':', t->text.n))
			VAL_HINT(f, "IPv6 addresses stand in brackets: [2001:db8::1]:80");
		else
			VAL_HINT(f, "write %.60s:80", t->text.p);
		return false;
	}
	if (addr_parse(t->text, el->port, &v->addr) < 0) {
		if (split && name_part(host))
			VAL_HINT(f, "a number is needed here, not a name");
		return false;
	}
	v->port = addr_port(&v->addr);
	return true;
}

bool val_hostport(struct tok *t, struct conf_val *v, struct val_fail *f)
{
	struct str host, port;

	if (!split_port(t->text, &host, &port)) {
		VAL_SAY(f, "\"%.60s\" lacks a port", t->text.p);
		VAL_HINT(f, "write it as in 10.0.0.1:80, [2001:db8::1]:80 or name.example:80");
		return false;
	}
	if (!good_port(port, &v->port, f))
		return false;
	memset(&v->addr, 0, sizeof(v->addr));
	if (addr_parse(t->text, -1, &v->addr) == 0) {
		if (!addr_is_any(&v->addr))
			return true;
		VAL_SAY(f, "\"%.60s\" is no single address", t->text.p);
		return false;
	}
	memset(&v->addr, 0, sizeof(v->addr));
	if (!name_part(host))
		return false;
	((char *)v->s.p)[host.n] = '\0';      /* our own copy */
	v->s.n = host.n;
	return true;
}

bool val_prefix(struct tok *t, struct conf_val *v, struct val_fail *f)
{
	char text[ADDR_TEXT_MAX];
	struct str host = t->text, bits;
	struct ip ip;
	uint64_t n;
	int rc = cidr_parse(t->text, &v->cidr);

	if (rc == 0)
		return true;
	bits = host;
	host = str_cut(&bits, '/');
	if (rc == FL_ERANGE_ && ip_parse(host, &ip) == 0 && str_u64(bits, &n) &&
	    n <= (ip.family == AF_INET ? 32 : 128)) {
		for (unsigned i = 0; i < (ip.family == AF_INET ? 32u : 128u); i++)
			if (i >= n)
				ip.b[i / 8] &= (uint8_t)~(0x80u >> i % 8);
		VAL_SAY(f, "\"%.60s\" has bits set behind the prefix", t->text.p);
		VAL_HINT(f, "write %s/%u for the network", ip_text(ip, text), (unsigned)n);
	}
	return false;
}
