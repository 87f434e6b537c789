/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocked.h - the shape of what a worker works on, and which shapes are refused since workers died of them
 *
 * A shape is one line: "request VSERVER METHOD HOST PATH" once a head is read (without the query), before that, and for
 * tcp and udp, "client VSERVER ADDRESS" (IPv6: the /64). It is made when a worker dies, and while anything is blocked.
 */
#ifndef FL_HTTP_BLOCKED_H
#define FL_HTTP_BLOCKED_H

#include "base/env.h"
#include "http/head.h"
#include "lb/lb.h"

/* Fit for a signal handler. At most STAT_WHAT_MAX - 1 printable bytes: a hash stands for what is left out. */
void shape_request(const struct lb_vserver *vs, const struct http_head *h, struct sb *out);
void shape_client(const struct lb_vserver *vs, const struct addr *client, struct sb *out);

/* Reads the table again. */
void blocked_refresh(const struct stat_seg *seg);
extern unsigned blocked_n;
bool blocked_has_request(const struct lb_vserver *vs, const struct http_head *h);
bool blocked_has_client(const struct lb_vserver *vs, const struct addr *client);
static inline bool is_blocked_request(const struct lb_vserver *vs, const struct http_head *h)
{
	return FL_UNLIKELY(blocked_n != 0) && blocked_has_request(vs, h);
}
/* Counts and logs it, too: there will be no answer that says so. */
static inline bool is_blocked_client(const struct lb_vserver *vs, const struct addr *client)
{
	return FL_UNLIKELY(blocked_n != 0) && blocked_has_client(vs, client);
}

/* A test's failpoint "client ADDRESS". */
static inline void fp_client(const struct addr *a)
{
#ifdef FL_FAILPOINTS
	char text[ADDR_TEXT_MAX];

	FP_TEXT("client ", str_c(ip_text(addr_ip(a), text)));
#else
	(void)a;
#endif
}

#endif
