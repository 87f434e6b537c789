/* SPDX-License-Identifier: Apache-2.0 */
/*
 * post.c - see post.h
 */
#include "config.h"

#include "proc/post.h"

#include "base/env.h"
#include "base/err.h"

#define LETTERS_PER_TURN 1024u        /* the bell rings on while there are more */

static void ring(int eventfd)
{
	static const uint64_t one = 1;

	if (eventfd >= 0)
		(void)!env_write(eventfd, &one, sizeof(one));
}

static void on_bell(struct engine_watch *w, unsigned events)
{
	struct post *p = FL_CONTAINER_OF(w, struct post, bell);
	struct mail m;
	uint64_t rung;
	unsigned n = 0;

	(void)events;
	(void)!env_read(w->fd, &rung, sizeof(rung));
	while (n < LETTERS_PER_TURN && mail_next(p->seg, &m)) {
		n++;
		if (p->hook[m.type].fn)
			p->hook[m.type].fn(p->hook[m.type].ctx, &m);
	}
	stat_add(p->proc, CTR_PROC_MAIL_RCVD, n);
	stat_add(p->proc, CTR_PROC_MAIL_TORN, mail_torn(p->seg) - p->torn);
	p->torn = mail_torn(p->seg);
	if (n == LETTERS_PER_TURN)
		ring(w->fd);
}

static void on_flush(struct engine_hook *h)
{
	struct post *p = FL_CONTAINER_OF(h, struct post, flush);

	if (!p->any)
		return;
	p->any = false;
	for (unsigned slot = 0; slot < p->n_fd; slot++) {
		if (p->wake[slot])
			ring(p->fd[slot]);
		p->wake[slot] = false;
	}
}

void post_tell(struct post *p, const struct mail *m)
{
	for (uint32_t core = 0; core < stat_cores(p->seg); core++) {
		uint32_t to = stat_live_slot(p->seg, core);

		if (to >= p->n_fd || to == stat_own_slot(p->seg))
			continue;
		if (mail_put(p->seg, to, m) == 0)
			stat_inc(p->proc, CTR_PROC_MAIL_SENT);
		else
			stat_inc(p->proc, CTR_PROC_MAIL_DROPPED);
		p->wake[to] = p->any = true;     /* also when it is full: there is something to read */
	}
}

void post_on(struct post *p, enum mail_type type, post_fn *fn, void *ctx)
{
	p->hook[type].fn = fn;
	p->hook[type].ctx = ctx;
}

int post_open(struct post *p, struct engine *e, struct stat_seg *seg, struct stat_row *proc, const int *fd,
	      unsigned n_fd)
{
	uint32_t slot = stat_own_slot(seg);

	*p = (struct post){ .engine = e, .seg = seg, .proc = proc, .fd = fd, .n_fd = n_fd };
	p->wake = env_calloc(n_fd + 1, sizeof(bool));
	if (!p->wake)
		return FL_ENOMEM_;
	mail_forget(seg);
	p->torn = mail_torn(seg);
	p->flush.fn = on_flush;
	engine_on_flush(e, &p->flush);
	p->bell = (struct engine_watch){ .fd = slot < n_fd ? fd[slot] : -1, .fn = on_bell };
	return p->bell.fd >= 0 ? engine_watch(e, &p->bell, ENGINE_READ) : 0;
}
