/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - responses that we make ourselves
 *
 * All end the exchange. Text bodies are bounded (ANSWER_MAX); Date is there, framing and
 * Connection are the codec's. Worker only.
 */
#ifndef FL_HTTP_ANSWER_H
#define FL_HTTP_ANSWER_H

#include "http/txn.h"

#define ANSWER_MAX 16384u

/* "404 Not Found" and why, as text/plain. `code` goes into the log. 503 gets Retry-After: 1, 405
 * Allow. */
void answer_error(struct txn *t, unsigned status, const char *code, const char *text);
/* The actions respond, redirect and reject of a rule (or of the default, a rule too). */
void answer_rule(struct txn *t, const struct pol_rule *r, const struct pol_facts *f);
/* The answer to OPTIONS or TRACE that goes no further (Max-Forwards: 0). */
void answer_last_hop(struct txn *t);
/* The Date field's value now; made once a second. */
struct str answer_date(void);

#endif
