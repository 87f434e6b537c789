/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_vs.h - udp vservers in a worker: rules, balancing and books for the flows of net/udp.h
 *
 * A flow is balanced once, when its first datagram comes: the rules of the vserver decide on
 * addresses and ports, the pool's method chooses, and the flow counts as one connection of the
 * service until it ends (net/udp.h says when). It is balanced anew by its next datagram when its
 * service became DOWN or MAINT, or the network said that it is unreachable; DRAIN leaves flows
 * where they are.
 *
 * Hand-over at a reload. The successor serves nothing until the predecessor's flows are there
 * (or 300 ms have passed): what clients send meanwhile waits in the sockets, which are the same.
 * A flow goes over with its socket, so the service sees no change and answers under way arrive.
 * Not handed over: flows whose service or listener the new configuration does not have (they are
 * balanced anew), sockets at rest.
 */
#ifndef FL_HTTP_UDP_VS_H
#define FL_HTTP_UDP_VS_H

#include "http/http.h"
#include "net/udp.h"

/* fds: [n_listens][cores], -1: none; they stay the caller's memory. Nothing when no vserver is udp. */
int  udp_vs_init(struct http_worker *w, int *fds, unsigned cores);
void udp_vs_fini(void);
/* Flows of so many predecessors will come. */
void udp_vs_go(unsigned predecessors);
/* The socket of `core` of each listener, if it is this worker's to serve. */
void udp_vs_serve(unsigned core, bool (*is_mine)(void *ctx, unsigned listen, unsigned core), void *ctx);
/* Health, states or addresses of services changed. */
void udp_vs_services_changed(void);

/* Draining: takes no more datagrams, but for listeners of which is_gone says true, until
 * udp_vs_leave_gone(): these are closed then, and their flows end. Not so at a shutdown: close_them is
 * false, and flows are answered to the end. */
void udp_vs_retire(bool (*is_gone)(void *ctx, const char *listen_name), void *ctx);
void udp_vs_leave_gone(bool close_them);
/* Passes flows on: `pass` takes some of them as text and descriptors (which stay ours), or fails for
 * ever. False: all that could go are gone. n_fd 0: these were all. */
bool udp_vs_give(int (*pass)(void *ctx, const void *text, size_t n, const int *fd, unsigned n_fd),
		 void *ctx);
/* The other end: one such message; takes fds[0..n_fd), sets them to -1. */
void udp_vs_take(const void *text, size_t n, int *fd, unsigned n_fd);
/* Retired, and nobody waits for an answer that we would bring: no flow is open, or all had half a second. Closes
 * the listening sockets then: one that a draining process still has would get datagrams that nobody reads, when
 * its address was removed and came again. To be asked each turn. */
bool udp_vs_is_over(void);
unsigned udp_vs_cut(void);             /* flows that were cut */

#endif
