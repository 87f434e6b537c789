/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.h - the service side of a txn: choose a service, connect or reuse, send, repeat when
 * that is safe
 */
#ifndef FL_HTTP_EXCHANGE_H
#define FL_HTTP_EXCHANGE_H

#include "http/txn.h"

/* Forwards t with head `fwd` to a service of `pool`. The outcome comes by txn_up_*. */
void exchange_start(struct txn *t, struct lb_pool *pool, struct http_head *fwd);

#endif
