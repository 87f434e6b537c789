/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_int.h - what udp.c (sockets, turns), udp_flow.c (table, sockets to services) and udp_batch.c
 * (messages) share; nobody else includes it
 */
#ifndef FL_NET_UDP_INT_H
#define FL_NET_UDP_INT_H

#include <netinet/in.h>

#include "base/pool.h"
#include "net/udp.h"

/* ---------- messages ---------- */
#define UDP_BATCH      64u
#define UDP_BUF        65536u                /* a train is at most 65,535 bytes with its head */
/* Not a multiple of a page: all heads of the buffers would fall into the same sets of the cache. */
#define UDP_STRIDE     (UDP_BUF + 1088u)
#define UDP_TRAIN_SEGS 64u                   /* of one UDP_SEGMENT message in any kernel */
#define UDP_TRAIN_MAX  65000u                /* bytes of one that we couple ourselves */

union udp_control {
	struct cmsghdr align;
	char           b[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

/* Messages read, each with a buffer of its own. */
struct udp_in {
	unsigned char    *mem;
	struct mmsghdr    mm[UDP_BATCH];
	struct iovec      iov[UDP_BATCH];
	struct addr       from[UDP_BATCH];
	struct ip         local[UDP_BATCH];  /* family 0: not told */
	union udp_control ctl[UDP_BATCH];
	uint32_t          len[UDP_BATCH];
	uint16_t          seg[UDP_BATCH];    /* size of a train's datagrams but the last; 0: just one */
	uint16_t          count[UDP_BATCH];  /* datagrams; 0: cut off, useless */
};
/* names: it is also told who sent them, and (where the socket was opened for it) where to. */
int  udp_in_init(struct udp_in *b, bool names);
void udp_in_fini(struct udp_in *b);
/* Reads messages into at .. at + n - 1. How many, or negated errno. Fewer than n: the socket is
 * empty. */
int  udp_in_read(struct udp_in *b, int fd, unsigned at, unsigned n);
static inline unsigned char *udp_in_data(const struct udp_in *b, unsigned i)
{
	return b->mem + (size_t)i * UDP_STRIDE;
}

/* Messages to send in one call. Their bytes stay where they are. */
struct udp_out {
	unsigned          n, n_iov, n_sealed;
	uint32_t          bytes;             /* of the last message */
	bool              shut;              /* the last message takes no more */
	struct mmsghdr    mm[UDP_BATCH];
	struct iovec      iov[UDP_BATCH];
	union udp_control ctl[UDP_BATCH];
	uint16_t          seg[UDP_BATCH], count[UDP_BATCH];
};
struct udp_sent {
	uint32_t datagrams, drops;
	uint64_t bytes;
	unsigned next;                       /* message to go on with */
	bool     no_trains;                  /* trains are refused on this way */
};
static inline void udp_out_reset(struct udp_out *o) { o->n = o->n_iov = o->n_sealed = 0; }
/* join: it goes where the message before goes, and may be coupled to its train. True: a new message
 * was begun, whose name and source the caller may set. */
bool udp_out_add(struct udp_out *o, void *p, uint32_t len, uint16_t seg, bool join);
/* Source address of the last message. */
void udp_out_from(struct udp_out *o, const struct ip *local);
/* Sends from message s->next on. False: connected sockets only: the network said that nobody is there;
 * s->next was not sent. */
bool udp_out_send(struct udp_out *o, int fd, bool connected, struct udp_sent *s);
bool udp_is_unreachable(int err);

/* ---------- flows ---------- */
struct udp_up {                              /* a socket to a service */
	struct engine_fd    e;
	struct udp_service *svc;
	struct udp_flow    *flow;            /* NULL: resting, and its last client is forgotten */
	struct list         link;            /* svc->resting */
	struct list         more;            /* udp_mod.more: not read to its end */
	uint64_t            since_ms;        /* resting since */
	struct addr         to;
	bool                resting;
	bool                spoiled;         /* more came than asked for: not for others */
};
struct udp_flow {
	struct udp_flow     *next;           /* of its bucket */
	struct timer         idle;
	struct udp_listener *l;
	struct udp_up       *up;
	struct addr          client;         /* as the kernel tells it */
	uint32_t             hash, idle_ms;
	uint32_t             owed;           /* answers, when responses says how many there are */
	uint16_t             responses;
	struct ip            local;
	uint8_t              first, last;    /* its messages in the batch: indexes */
	bool                 queued : 1;     /* it has some */
	bool                 open : 1;
	bool                 refused : 1;    /* the service is unreachable: balance anew */
	bool                 no_trains : 1;
};

struct udp_answer {                          /* goes with a message of udp_mod.ans */
	struct udp_listener *l;              /* NULL: nothing to send */
	struct addr          client;
	struct ip            local;
	bool                 no_trains;
};

struct udp_mod {
	bool                   on, held;
	struct engine         *e;
	const struct udp_host *host;
	struct list            listeners;    /* struct udp_listener_priv */
	struct udp_flow      **bucket;
	size_t                 n_buckets;    /* a power of two */
	unsigned               n_open, n_waiting, max_open;
	struct slab            flows, ups;
	struct list            services;     /* with resting sockets */
	struct timer           sweep;
	struct list            more;
	struct engine_job      go_on;
	struct engine_hook     flush;
	struct udp_in          req, ans;
	struct udp_out         out;
	uint8_t                next_msg[UDP_BATCH];  /* chains of req, by flow */
	struct udp_answer      answer[UDP_BATCH];
	unsigned               n_ans;
};
extern struct udp_mod udp_mod;

static inline uint64_t udp_now_ms(void) { return engine_now_ms(udp_mod.e); }

int  udp_table_init(unsigned max_flows);
void udp_table_fini(void);
/* The open flow of a client, perhaps a new one. NULL: dropped, and counted for n datagrams. */
struct udp_flow *udp_flow_for(struct udp_listener *l, const struct addr *client,
			      const struct ip *local, unsigned n);
/* Balances it anew: its service is no longer good. False: it is gone; counted for n datagrams. */
bool udp_flow_anew(struct udp_flow *f, const struct udp_service *avoid, unsigned n);
enum udp_end {
	UDP_END_REST,                        /* its socket may serve others */
	UDP_END_CLOSE,
};
void udp_flow_end(struct udp_flow *f, enum udp_end how);
void udp_flow_set_owed(struct udp_flow *f, uint32_t owed);
/* All flows of a listener, or (NULL) of everybody. */
void udp_flows_end(const struct udp_listener *l);
void udp_up_close(struct udp_up *up);        /* resting, or its flow ends */
/* The service sent what nobody waits for. */
void udp_service_strayed(struct udp_service *s, uint32_t datagrams);
/* udp.c: the socket has something to read, or an error. */
void udp_up_readable(struct engine_fd *e, unsigned events);

#endif
