/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.h - what was found out about one request, between explain.c (asks) and explain_print.c
 * (says)
 *
 * Everything lies in `mem` and goes with it.
 */
#ifndef FL_ADMIN_EXPLAIN_H
#define FL_ADMIN_EXPLAIN_H

#include "admin/inside.h"
#include "http/http.h"
#include "net/tls.h"

struct ex_leaf {                      /* a comparison that was evaluated */
	struct ex_leaf *next;
	struct str      source, value;  /* value .p NULL: none */
	enum pol_result result;
};
struct ex_rule {                      /* a policy that was tried */
	struct ex_rule        *next;
	const struct pol_rule *rule;
	const struct lb_vserver *vs;
	enum pol_result        result;
	struct ex_leaf        *leaf, *last_leaf;
};
struct ex_candidate {
	struct ex_candidate *next;
	struct lb_candidate  c;
};
struct ex_pool {                      /* a pool or backup that was looked at */
	struct ex_pool       *next;
	const struct lb_pool *pool;
	const char           *why;
	struct ex_candidate  *first, *last;
};
struct explain {
	struct pool        *mem;
	const struct admin_view *view;
	/* the request */
	struct str          method, scheme, authority;
	uint16_t            port;
	bool                tls;
	struct str          sni;            /* what the client asks for; .p NULL: nothing */
	struct tls_choice   handshake;      /* what it gets */
	bool                has_handshake;
	struct addr         client;
	struct http_head    head;
	bool                has_head;
	/* the way */
	const struct lb_listen *listen;     /* NULL: named by --vserver */
	bool                listen_guess;   /* others have this port too */
	struct lb_vserver  *vs;
	struct ex_rule     *rules, *last_rule;
	struct ex_leaf     *leaf, *last_leaf;   /* of the rule being tried */
	struct lb_route     route;
	struct ex_pool     *pools, *last_pool;
	struct lb_service  *service;
	struct addr         to;             /* family 0: no address */
	struct pol_facts    facts;
	struct http_facts   http;
	bool                nomem;
};

void explain_text(struct explain *x, struct sb *out);
void explain_json(struct explain *x, struct sb *out);

#endif
