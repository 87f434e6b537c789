/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr.h - socket addresses and prefixes
 *
 * IPv4-mapped IPv6 addresses are turned into IPv4 by addr_norm(), which everything that
 * comes from the kernel passes through, so rules and logs see one form.
 */
#ifndef FL_BASE_ADDR_H
#define FL_BASE_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"

struct addr {
	union {
		struct sockaddr     sa;
		struct sockaddr_in  in;
		struct sockaddr_in6 in6;
	};
};
#define ADDR_TEXT_MAX 64     /* "[ffff:...%scope]:65535" and NUL */

struct ip {                  /* an address without port; AF_INET uses 4 bytes, the rest is zero */
	uint8_t family;      /* AF_INET, AF_INET6, 0 = none */
	uint8_t b[16];
};
struct cidr {
	struct ip ip;        /* host bits are zero */
	uint8_t   bits;
};

/* "10.0.0.1:80", "[::1]:80", "*:80", ":80" (both: IPv6 any, dual stack), "10.0.0.1" with
 * default_port (0..65535; -1: a port must be given). Without a port IPv6 may stand bare or in
 * brackets. Numeric only, strict (no octal, no short forms, port 1..65535, scope as a number:
 * "[fe80::1%2]:80"). Mapped IPv6 comes out as IPv4. 0 or FL_ESYNTAX_/FL_ERANGE_. */
int  addr_parse(struct str s, int default_port, struct addr *out);
bool addr_eq(const struct addr *a, const struct addr *b);          /* family, address, port */
void addr_norm(struct addr *a);
socklen_t addr_len(const struct addr *a);
uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
bool addr_is_any(const struct addr *a);
struct ip addr_ip(const struct addr *a);           /* mapped IPv6 as IPv4 */
void addr_from_ip(struct addr *out, struct ip ip, uint16_t port);
/* With the port; "-" for no address. Both return `out`. */
const char *addr_text(const struct addr *a, char out[ADDR_TEXT_MAX]);
const char *ip_text(struct ip ip, char out[ADDR_TEXT_MAX]);
int  ip_parse(struct str s, struct ip *out);       /* no brackets, no scope; mapped IPv6 as IPv4 */
bool ip_eq(struct ip a, struct ip b);
int  ip_cmp(struct ip a, struct ip b);             /* v4 before v6, then numeric */
/* "10.0.0.0/8"; a plain address is a host; host bits set: FL_ERANGE_. */
int  cidr_parse(struct str s, struct cidr *out);
bool cidr_has(const struct cidr *c, struct ip ip);

#endif
