/* SPDX-License-Identifier: Apache-2.0 */
/*
 * box.c - see box.h
 *
 * The watch is level-triggered, so what the budget leaves is found in the next turn. A box never ends, as every worker
 * and the master hold both of its ends.
 */
#include "config.h"

#include "proc/box.h"

#include "base/env.h"
#include "base/err.h"

#define READS_PER_TURN 32u

/* At most so many; how many there were. */
static unsigned read_box(struct box *x, unsigned most)
{
	static struct msg_in in;         /* too much for a stack */
	struct boxes *b = x->all;
	unsigned n = 0;

	while (n < most && x->on && !b->paused) {
		int r = msg_recv(x->w.fd, &in);

		if (r == -EAGAIN || r == 0)
			break;
		n++;
		/* what cannot be used is out of the box as well */
		b->got(b->ctx, (unsigned)(x - b->box), r == 1 ? &in : NULL);
		if (r == 1)
			msg_in_done(&in);
	}
	return n;
}

static void on_event(struct engine_watch *w, unsigned events)
{
	(void)events;
	(void)read_box(FL_CONTAINER_OF(w, struct box, w), READS_PER_TURN);
}

static void apply(struct box *x)
{
	(void)engine_watch(x->all->engine, &x->w, x->on && !x->all->paused ? ENGINE_READ : 0);
}

void boxes_serve(struct boxes *b, unsigned core, bool on)
{
	struct box *x = core < b->n ? &b->box[core] : NULL;

	if (!x || x->w.fd < 0 || x->on == on)
		return;
	x->on = on;
	apply(x);
}

void boxes_pause(struct boxes *b, bool paused)
{
	if (b->paused == paused)
		return;
	b->paused = paused;
	for (unsigned core = 0; core < b->n; core++)
		if (b->box[core].on)
			apply(&b->box[core]);
}

int boxes_put(struct boxes *b, unsigned core, const struct msg *m, const void *text, size_t n, int fd)
{
	int to = core < b->n ? b->fd[2 * core + BOX_SEND] : -1;

	return to < 0 ? -EBADF : msg_send(to, m, text, n, &fd, 1);
}

unsigned boxes_empty(struct boxes *b)
{
	unsigned n = 0;

	for (unsigned core = 0; core < b->n; core++)
		n += read_box(&b->box[core], UINT32_MAX);
	return n;
}

int boxes_open(struct boxes *b, struct engine *e, const int *fd, unsigned n,
	       void (*got)(void *ctx, unsigned core, struct msg_in *in), void *ctx)
{
	*b = (struct boxes){ .engine = e, .fd = fd, .got = got, .ctx = ctx };
	b->box = env_calloc(n ? n : 1, sizeof(*b->box));
	if (!b->box)
		return FL_ENOMEM_;
	b->n = n;
	for (unsigned core = 0; core < n; core++)
		b->box[core] = (struct box){ .all = b, .w = { .fd = fd[2 * core + BOX_READ], .fn = on_event } };
	return 0;
}

void boxes_close(struct boxes *b)
{
	for (unsigned core = 0; core < b->n; core++)
		engine_unwatch(b->engine, &b->box[core].w);
	env_free(b->box);
	b->box = NULL;
	b->n = 0;
}
