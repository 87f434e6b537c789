/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener.h - accepting: inherited sockets of all cores, this core's served, others adopted on
 * demand
 *
 * The master makes the sockets (one per address and core) and workers inherit all of them. A worker
 * accepts on its core's and on those of cores that the board says it serves (DESIGN section 1).
 * Worker only, but for listener_open (master).
 */
#ifndef FL_NET_LISTENER_H
#define FL_NET_LISTENER_H

#include "net/conn.h"

struct listener_opts {
	int         backlog;
	const char *congestion;         /* NULL = system's */
	bool        v6only;
	const char *device;             /* NULL: all */
};
/* Master: a listening reuseport socket, non-blocking, close-on-exec. Negated errno. */
int  listener_open(const struct addr *a, const struct listener_opts *o);

struct listener {
	struct addr              addr;
	const struct tls_server *tls;   /* NULL: clear */
	bool                     others;        /* other cores serve the own socket: it is not served until asked for */
	bool                     shared;        /* the socket of core 0 is everybody's, besides the own one */
	unsigned                 n_fds; /* cores */
	int                     *fds;   /* by core; -1: none */
	/* Asked for each accepted socket before anything is made of it: true when another core has it now. NULL: none has. */
	bool                   (*elsewhere)(struct listener *l, int fd, const struct addr *peer);
	/* Called for each connection, which is not started yet; takes it. */
	void                   (*accepted)(struct listener *l, struct conn *c);
	void                    *owner; /* vserver */
	uint32_t                 row;   /* STAT_NO_ROW or its row (kind LISTENER) */
	struct stat_row         *stat;
	void                    *priv;  /* listener.c's */
};
/* Starts accepting on fds[core]; at most 64 accepts a turn per socket, fair between listeners.
 * EMFILE/ENFILE/ENOMEM and below the reserve: pauses with back-off, counts, answers later. */
int  listener_start(struct engine *e, struct listener *l, unsigned core);
void listener_serve(struct listener *l, unsigned core, bool on);      /* adopt, give back */
void listener_stop(struct listener *l);     /* EPOLL_CTL_DEL everywhere; fds stay open */
/* Now and then: a socket of everybody's wakes one worker for a client, and if that one pauses just then, nobody hears of it. */
void listener_look(void);
void listener_pause_all(bool on);     /* connection limit of the process */
/* Serves what another core accepted there; takes fd. Also after listener_stop(). */
void listener_admit(struct listener *l, int fd, const struct addr *peer);
/* fn is told whenever accepting pauses, and when it goes on: what is admitted should pause as well. One per process. */
void listener_on_pause(void (*fn)(bool paused));
/* Accepting stops while fewer than a reserve of descriptors is free (5 % of RLIMIT_NOFILE, 16..256), so
 * that checks, connections to services and files still get theirs. fn (NULL: none) is told each time,
 * from the loop: it may close idle clients. One per process. */
void listener_on_shortage(void (*fn)(void));

#endif
