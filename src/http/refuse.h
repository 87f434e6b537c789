/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refuse.h - the books and the log of what is refused (worker only)
 *
 * Each call counts by the reason's code and writes one line, limited by who is to blame. None is on the
 * way of a good request.
 */
#ifndef FL_HTTP_REFUSE_H
#define FL_HTTP_REFUSE_H

#include "http/h1.h"
#include "http/txn.h"
#include "lb/lb.h"
#include "net/conn.h"

/* A malformed message: p[0..n) is its beginning as far as it is at hand (a body: the part that was
 * read last), off where the fault was noticed. */
void refused_request(const struct lb_vserver *vs, const struct conn *c, enum h1_reason why,
		     const uint8_t *p, size_t n, size_t off);
void refused_response(const struct lb_service *s, enum h1_reason why, const uint8_t *p, size_t n,
		      size_t off);
/* No connection came about, err says why; c NULL: not even a socket. Returns the code for it. Counting is
 * the caller's, who may try again. */
enum txn_code refused_connect(const struct lb_service *s, const struct conn *c, int err);
/* A configured limit was reached: max-connections, buffer-memory. */
void refused_limit(const char *kind, const char *name, const char *limit, uint64_t value);

#endif
