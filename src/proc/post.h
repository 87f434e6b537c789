/* SPDX-License-Identifier: Apache-2.0 */
/*
 * post.h - a worker's letters to the other cores (stat/mail.h), and waking who gets them
 *
 * Each worker slot has an eventfd, made by the master before any fork; all workers have all of them. Letters of one turn
 * are followed by one wake per receiver, at its end. What a letter means is said by the hook of its type.
 */
#ifndef FL_PROC_POST_H
#define FL_PROC_POST_H

#include "net/engine.h"
#include "stat/mail.h"

typedef void post_fn(void *ctx, const struct mail *m);

struct post {
	struct engine      *engine;
	struct stat_seg    *seg;
	struct stat_row    *proc;
	const int          *fd;              /* [n_fd] by slot; borrowed */
	unsigned            n_fd;
	struct engine_watch bell;            /* our own */
	struct engine_hook  flush;
	bool               *wake;            /* [n_fd]: a letter went there in this turn */
	bool                any;
	uint64_t            torn;            /* counted so far */
	struct { post_fn *fn; void *ctx; } hook[MAIL__COUNT];
};
/* n_fd: the worker slots. Old letters to this slot are dropped. Negative on failure. */
int  post_open(struct post *p, struct engine *e, struct stat_seg *seg, struct stat_row *proc, const int *fd,
	       unsigned n_fd);
void post_on(struct post *p, enum mail_type type, post_fn *fn, void *ctx);
/* To the live worker of each other core. A full ring is counted. */
void post_tell(struct post *p, const struct mail *m);

#endif
