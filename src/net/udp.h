/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp.h - datagrams: listening sockets of all cores, flows, sockets to services
 *
 * A flow is what one client address and port sends to one listener, and what is answered. Each
 * has a connected socket of its own towards a service, so the service's answers find their flow
 * by the port that the kernel gave. The master makes the listening sockets (one per address and
 * core, as in listener.h); the kernel spreads clients over them by address and port, so a flow
 * stays with its core. Never is a socket connected on a listening address: it would slow down
 * every datagram of the group (FLOWDIST section 6).
 *
 * Up to 64 messages are read at a time, each one datagram or a train of equal ones (UDP_GRO),
 * sorted by flow, and sent with one call per flow, trains as trains (UDP_SEGMENT). Answers of
 * all flows of a turn collect and leave at its end, one call per listener. Nothing is allocated
 * per datagram. What the system does not take is dropped and counted: no queue is kept behind
 * the kernel's.
 *
 * Who is served where is not decided here: struct udp_host is asked once per flow. One per process;
 * worker only, but for udp_open (master).
 *
 *	           datagram                     all answers came (`responses`)
 *	(nothing) ----------> OPEN -----------------------------------------> DORMANT
 *	                       |  ^------------------ datagram -----------------'  |
 *	                       |                                                   |
 *	                       `-- silence, service gone: closed with its socket    `-- too old, or
 *	                                                           another client takes the socket
 *
 * Sockets and late answers: an answer that comes to a socket goes to whoever has it then. So a
 * socket changes hands only when
 *   - `responses` says how many answers one datagram has, and each datagram sent has had its
 *     answers, none more (a socket whose flow ended in any other way is closed);
 *   - it has been at rest for UDP_REST_MS since, and nothing came meanwhile: what comes to a resting
 *     socket is dropped, counted, and the socket closed. The longest at rest goes first;
 *   - the service has not sent anything that nobody waited for in the last UDP_MISTRUST_MS: who repeats
 *     himself, or counts otherwise than `responses`, may do so late, too.
 * The client that had it last may have it again at once: what is late is its own. What is left
 * is a network that repeats a datagram and holds the copy back for longer than that; the like
 * can happen to any two sockets that get the same port one after the other.
 */
#ifndef FL_NET_UDP_H
#define FL_NET_UDP_H

#include "base/addr.h"
#include "base/list.h"
#include "net/engine.h"
#include "stat/stat.h"

#define UDP_REST_MS     250u
#define UDP_MISTRUST_MS 600000u

/* Master: a reuseport socket bound to a, non-blocking, close-on-exec. Negated errno. */
int udp_open(const struct addr *a, bool v6only, const char *device);     /* NULL: all devices */

/* A service as flows know it; the host's, zeroed but for the first five. */
struct udp_service {
	void            *owner;           /* the host's */
	struct stat_row *stat;            /* kind SERVICE, may be NULL */
	unsigned         rest_max;        /* resting sockets kept */
	uint64_t         rest_age_ms;     /* and for how long */
	unsigned         n_resting;
	uint64_t         mistrust_ms;     /* until then its sockets do not change hands */
	struct list      resting;         /* oldest first */
	struct list      link;            /* services with resting sockets; udp_service_init */
};
void udp_service_init(struct udp_service *s);
/* Closes its resting sockets: its address or state changed. */
void udp_service_trim(struct udp_service *s);

struct udp_listener {
	struct addr      addr;
	unsigned         n_fds;           /* cores */
	int             *fds;             /* by core; -1: none. The owner closes them */
	struct stat_row *stat, *vs_stat;  /* kinds LISTENER and VSERVER, may be NULL */
	struct stat_row *core_stat;       /* kind PROC, may be NULL */
	void            *owner;           /* vserver */
	void            *priv;            /* udp.c's */
};

/* Where a new flow goes. */
struct udp_route {
	struct udp_service *service;
	struct addr         to;
	uint32_t            idle_ms;      /* longest silence; at least 1 */
	uint16_t            responses;    /* answers to one datagram; 0: not known */
};
struct udp_host {
	/* A datagram that no open flow is for. 0: *out says where to, and the flow counts as begun;
	 * else the counter (CTR_VSERVER_*) of why it is dropped. client and local are normal
	 * forms; avoid: the service that just proved unreachable, NULL: none. */
	int  (*open)(struct udp_listener *l, const struct addr *client, const struct addr *local,
		     const struct udp_service *avoid, struct udp_route *out);
	/* A flow that another process had begins here. */
	void (*adopt)(struct udp_listener *l, struct udp_service *s);
	/* Ends what open() or adopt() began. */
	void (*close)(struct udp_listener *l, struct udp_service *s);
	/* May an open flow go on sending there? False: it is balanced anew. */
	bool (*is_good)(const struct udp_service *s);
};

/* max_flows: open ones in this process; 0: three quarters of the descriptors. */
int  udp_init(struct engine *e, const struct udp_host *h, unsigned max_flows);
void udp_fini(void);                      /* closes every flow; listeners must be stopped */

/* Makes it known; nothing is served yet. */
int  udp_start(struct udp_listener *l);
void udp_serve(struct udp_listener *l, unsigned core, bool on);
/* Nothing is read while held: a predecessor's flows are under way. */
void udp_hold(bool on);
/* Takes no more datagrams of clients; flows are answered as long as the sockets are open. */
void udp_stop(struct udp_listener *l);
/* Ends its flows and forgets it. */
void udp_leave(struct udp_listener *l);

unsigned udp_flows(void);                 /* open ones */
unsigned udp_waiting(void);               /* of these, those to which answers are owed */
unsigned udp_cut(void);                   /* closes all; how many were open */

/* ---------- handing flows over ---------- */
/* What the other process must know beside listener and service; a format of this build only. */
struct udp_moved {
	struct addr client, to;
	struct ip   local;                /* that answers come from; family 0: the listener's */
	uint32_t    idle_ms, left_ms, owed;
	uint16_t    responses;
};
struct udp_flow;
/* Up to max open flows, beginning at *at (0 at first), which moves behind them. 0: no more. */
unsigned udp_walk(size_t *at, struct udp_flow **out, unsigned max);
struct udp_listener *udp_flow_listener(const struct udp_flow *f);
struct udp_service  *udp_flow_service(const struct udp_flow *f);
int  udp_flow_fd(const struct udp_flow *f);
void udp_flow_moved(const struct udp_flow *f, struct udp_moved *out);
/* The other process has it: forgets it here without a word to anybody. */
void udp_flow_gone(struct udp_flow *f);
/* The other end: takes fd, also when it fails. A flow of that client that began here meanwhile
 * ends. */
int  udp_adopt(struct udp_listener *l, struct udp_service *s, const struct udp_moved *m, int fd);

#endif
