/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1s.h - HTTP/1 towards clients
 */
#ifndef FL_HTTP_H1S_H
#define FL_HTTP_H1S_H

#include "http/http.h"

/* Takes an accepted connection that is not started. Worker only. */
void h1s_accept(struct lb_vserver *vs, struct listener *l, struct conn *c);

#endif
