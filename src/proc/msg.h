/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msg.h - messages between our own processes, with descriptors, over SOCK_SEQPACKET socket pairs
 *
 * A message is a fixed head, text or bytes behind it, and up to MSG_FDS descriptors. Both ends are
 * ours and of the same build, but for a binary upgrade and an adoption: there MSG_VERSION must
 * agree, and of the messages below the line only those marked * are used. What a message means is
 * at its type; "text" is what stands behind the head.
 */
#ifndef FL_PROC_MSG_H
#define FL_PROC_MSG_H

#include "base/list.h"
#include "net/engine.h"

#define MSG_VERSION  1u
#define MSG_FDS      250u
#define MSG_TEXT_MAX 60000u

enum msg_type {
	MSG_NONE,
	/* gen -> master */
	/* arg: 1 good; fds: diagnostics, and when good: manifest, image with, image without
	 * secrets */
	MSG_LOADED,
	MSG_FORKED,          /* * slot, pid in arg (0: fork failed) */
	/* master -> gen */
	MSG_LISTENERS,       /* arg: number of the listen; core; fds: one per core from `core` on */
	MSG_STREAMS,    /* text: log stream ids, one decimal a line, in the order of the manifest */
	/* * slot, core, generation; arg: wall start; fd: the worker's end of its channel */
	MSG_FORK,
	/* * text: a state line (state.h), fd: what it is about; replaces one with the same key */
	MSG_KEEP,
	MSG_DROP,            /* * text: key of a line to forget */
	/* worker -> master */
	MSG_READY,           /* * pid in arg */
	MSG_STOPPED,         /* * accepts no more, listeners are closed */
	MSG_CUT,             /* * arg: exchanges cut at the end of draining */
	/* master -> worker */
	/* serve; fd: predecessor's connections come here (optional); arg: how many predecessors will
	 * hand over UDP flows */
	MSG_GO,
	MSG_TICKETS,         /* * text: n keys of TLS_TICKET_KEY_LEN bytes */
	MSG_RETIRE,          /* * stop accepting; arg: ms until the rest is cut, UINT64_MAX: never; fd: successor (optional);
	                      * text: full names of listeners that are gone, one a line */
	MSG_EXIT,            /* * cut what is left, end */
	MSG_KICK,            /* the board changed: look */
	/* control <-> master */
	MSG_CALL,            /* arg: number of the call; text: command line */
	MSG_REPLY,           /* arg: number of the call; core: 0 or 1; text */
	/* generation; text: interval us; fds: image without secrets, and HTTP listener when slot is
	 * 1 */
	MSG_CONFIG,
	/* master -> logd */
	/* slot: stream id; arg: 1 events; text: its path; fd: where to write (none: stop); slot
	 * STAT_NO_SLOT: these were all */
	MSG_STREAM,
	/* orphaned gen <-> new master */
	MSG_ALIVE,           /* arg: pid of the master that lives */
	MSG_STATE,           /* text: state lines, fds in their order */
	MSG_STATE_END,
	/* worker -> its successor */
	MSG_FLOWS,           /* text: UDP flows (http/udp_vs.h); fds: their sockets; no text: these were all */
	/* worker -> another core (box.h), or a predecessor that it came from; generation: the writer's; arg: number of the
	 * listen there; text: peer, full name of the listen; fd: a connection that was accepted and not touched */
	MSG_CONN,
};
struct msg {
	uint32_t type, version;
	uint32_t slot, core, generation, pad;
	uint64_t arg;
};
struct msg_in {     /* one received; descriptors not taken (set to -1) are closed by msg_in_done */
	struct msg m;
	char       text[MSG_TEXT_MAX + 1];     /* NUL behind it */
	size_t     n;
	int        fd[MSG_FDS];
	unsigned   n_fd;
};

/* Sends at once or fails (-EAGAIN: the peer does not read). The descriptors stay the caller's. */
int  msg_send(int sock, const struct msg *m, const void *text, size_t n, const int *fd,
	      unsigned n_fd);
/* 1: a message; 0: the peer is gone; negative: -EAGAIN, or broken. */
int  msg_recv(int sock, struct msg_in *in);
/* Takes descriptor i out; -1 when there is none. */
int  msg_take_fd(struct msg_in *in, unsigned i);
void msg_in_done(struct msg_in *in);
/* Waits until the socket is readable; false after timeout_ms. For processes without a loop. */
bool msg_wait(int sock, unsigned timeout_ms);

/* A channel on an engine, with a queue for what the peer does not take yet. */
struct chan {
	struct engine      *engine;
	struct engine_watch w;               /* w.fd -1: closed */
	struct list         out;
	size_t              n_out;           /* bytes queued */
	void (*got)(struct chan *c, struct msg_in *in);
	/* the peer closed, or the channel broke; close it or leave it */
	void (*gone)(struct chan *c);
};
/* Takes fd. */
int  chan_open(struct chan *c, struct engine *e, int fd, void (*got)(struct chan *,
	       struct msg_in *),
	       void (*gone)(struct chan *));
/* Queues when it must (at most 64 MiB); descriptors are duplicated then. */
int  chan_send(struct chan *c, const struct msg *m, const void *text, size_t n, const int *fd,
	       unsigned n_fd);
int  chan_send_simple(struct chan *c, enum msg_type type);
void chan_close(struct chan *c);
static inline bool chan_is_open(const struct chan *c) { return c->engine && c->w.fd >= 0; }

#endif
