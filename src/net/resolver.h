/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver.h - asynchronous name resolution by c-ares on the engine: addresses with TTL
 */
#ifndef FL_NET_RESOLVER_H
#define FL_NET_RESOLVER_H

#include "net/engine.h"
#include "base/addr.h"

#define RESOLVER_MAX 16
struct resolver;
struct resolver_answer {
	int       status;            /* 0 good; FL_EUNRESOLVED_ etc. */
	unsigned  n;
	struct ip addr[RESOLVER_MAX];
	/* least of the set, clamped to 1..86400; on failure the retry delay, 4..7 */
	uint32_t  ttl_s;
	char      text[80];          /* "NXDOMAIN from ...", "2 addresses" */
};
/* servers: NULL/0 = resolv.conf (and /etc/hosts in either case). */
struct resolver *resolver_new(struct engine *e, const struct addr *servers, unsigned n, int *err);
/* running queries are cancelled, their callbacks not called */
void resolver_free(struct resolver **r);
/* A and AAAA. The callback comes from the loop, never from inside. */
int  resolver_query(struct resolver *r, const char *name, void (*cb)(void *ctx,
		    const struct resolver_answer *a), void *ctx);
void resolver_cancel(struct resolver *r, void *ctx);

#endif
