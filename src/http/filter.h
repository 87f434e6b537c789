/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - code that looks at or changes what passes through an exchange
 *
 * A filter joins a txn while its request is decided (txn_add_filter). When a head is final, each
 * filter answers once for that direction what it needs of the body; the sum of the answers says
 * whether bytes must be shown at all (DESIGN section 3). Filters run in the order in which they
 * joined, in both directions. They know nothing of connections or protocols. Worker only; memory
 * from the txn's pool.
 */
#ifndef FL_HTTP_FILTER_H
#define FL_HTTP_FILTER_H

#include "http/head.h"

enum txn_dir { TXN_REQ, TXN_RESP };

enum filter_need {
	FILTER_NONE,        /* nothing */
	FILTER_LENGTH,      /* how many bytes passed, not which */
	FILTER_READ,        /* every byte, unchanged */
	/* every byte, and other bytes go on: Content-Length is dropped, the ETag weakened */
	FILTER_REWRITE,
	/* later answer of READ and REWRITE: the rest passes unseen and unchanged */
	FILTER_DONE,
};

struct filter;
struct txn;
struct filter_ops {
	const char *name;
	/* The final head of a direction; fields may be changed. NULL: FILTER_NONE in both. */
	enum filter_need (*head)(struct filter *f, enum txn_dir d, struct http_head *h);
	/* Content. LENGTH: s.p is NULL. REWRITE: nothing goes on but what is given to
	 * filter_emit(). Returns the need from here on: the same as before, or FILTER_DONE. */
	enum filter_need (*data)(struct filter *f, enum txn_dir d, struct str s);
	/* The body is complete (never called for one that was cut); REWRITE may emit its last
	 * bytes. May be NULL. */
	void (*end)(struct filter *f, enum txn_dir d);
	/* The txn is over, complete or not. May be NULL. */
	void (*done)(struct filter *f);
};
struct filter {
	const struct filter_ops *ops;
	struct txn              *txn;
	struct filter           *next;
	enum filter_need         need[2];
};
/* From data() or end() of a REWRITE filter: bytes that go on. Borrowed until it returns. */
void filter_emit(struct filter *f, enum txn_dir d, struct str s);

#endif
