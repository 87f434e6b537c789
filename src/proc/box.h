/* SPDX-License-Identifier: Apache-2.0 */
/*
 * box.h - how a worker sends a descriptor to another core: a socket pair for each core, which outlives its workers
 *
 *	any worker --message + descriptor--> box of core 2 --> whoever serves core 2
 *
 * The pairs are the master's, made before any fork, and travel as listeners do: through gens, adoption and upgrade.
 * Every worker has both ends of all of them. What lies in a box therefore outlives sender and receiver: it waits for
 * the next worker of the core, or for the one that serves the core meanwhile, as a client in the queue of a listener does.
 * The box is bounded by the buffer of its socket; a full one refuses, and nobody ever waits. Worker only.
 */
#ifndef FL_PROC_BOX_H
#define FL_PROC_BOX_H

#include "proc/msg.h"

#define BOX_READ 0           /* the ends of core c are fd[2 * c + BOX_READ] and the other one */
#define BOX_SEND 1

struct boxes;
struct box {
	struct boxes       *all;
	struct engine_watch w;
	bool                on;              /* read here */
};
struct boxes {
	struct engine *engine;
	const int     *fd;                   /* [2 * n]; borrowed; -1: none */
	unsigned       n;                    /* cores */
	bool           paused;
	struct box    *box;                  /* [n] */
	/* each message that came for a core; NULL: one that is none of ours, or had lost its descriptor */
	void         (*got)(void *ctx, unsigned core, struct msg_in *in);
	void          *ctx;
};
/* Reads nothing yet. FL_ENOMEM_ */
int  boxes_open(struct boxes *b, struct engine *e, const int *fd, unsigned n,
		void (*got)(void *ctx, unsigned core, struct msg_in *in), void *ctx);
void boxes_close(struct boxes *b);
/* Reads the box of a core from now on, or no more. Cores without a box are none. */
void boxes_serve(struct boxes *b, unsigned core, bool on);
/* Leaves everything where it is for a while: there is no descriptor to be had. */
void boxes_pause(struct boxes *b, bool paused);
/* Sends now or not at all: -EAGAIN, it is full; other negated errno. fd stays the caller's. */
int  boxes_put(struct boxes *b, unsigned core, const struct msg *m, const void *text, size_t n, int fd);
/* Takes what is in the boxes served, without waiting; how many messages. */
unsigned boxes_empty(struct boxes *b);

#endif
