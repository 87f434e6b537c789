/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.h - byte queues from pooled pages, for what could not be sent or parsed yet
 *
 * Two size classes (4 KiB and 16 KiB) recycled per process; an empty queue holds no memory
 * (ENGINE section 8: no buffer while idle). One thread.
 */
#ifndef FL_BASE_BUF_H
#define FL_BASE_BUF_H

#include <sys/uio.h>

#include "base/str.h"

struct buf_page;
struct bufq {
	struct buf_page *head, *tail;
	size_t           len;          /* bytes queued */
};

void   bufq_init(struct bufq *q);
int    bufq_add(struct bufq *q, const void *p, size_t n) FL_MUSTCHECK;   /* all or FL_ENOMEM_ */
void   bufq_drop(struct bufq *q, size_t n);        /* removes n bytes from the front */
void   bufq_clear(struct bufq *q);
/* The first contiguous run; n = 0 when empty. */
struct str bufq_front(const struct bufq *q);
/* Up to `max` runs as iovecs; returns how many. */
unsigned bufq_iov(const struct bufq *q, struct iovec *iov, unsigned max);
/* Makes the first `n` bytes (<= 96 KiB, <= len) contiguous, returns them; .p NULL: no memory. */
struct str bufq_pull(struct bufq *q, size_t n);
void   bufq_move(struct bufq *to, struct bufq *from);   /* appends all of `from` */

/* Limit on all pages of the process in bytes, recycled ones too (default 256 MiB). */
void   buf_set_limit(size_t bytes);
size_t buf_held(void);                             /* bytes of pages in queues now; for metrics */
void   buf_trim(void);                             /* gives recycled pages back to the system */

#endif
