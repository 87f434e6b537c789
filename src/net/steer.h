/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steer.h - which socket of a reuseport group gets a new connection: the one of the CPU that its SYN
 * was processed on
 *
 * A connection whose worker runs where its packets arrive costs about half (doc/decisions/008-accept.md).
 * A classic BPF program on the group answers with the number of a socket: its index in the order
 * in which the sockets began to listen. So the sockets of cores 0, 1, 2 ... must be made in that order, and
 * none may be closed as long as another one stays. An index that no socket has, or no program,
 * leaves the choice to the kernel's hash of addresses and ports.
 *
 * The program belongs to the group, not to who attached it: it stays until it is replaced, is taken
 * away or the last socket is closed. No privilege is needed. A change is seen by the next SYN.
 * Master only; nothing here waits.
 */
#ifndef FL_NET_STEER_H
#define FL_NET_STEER_H

#include <stdbool.h>
#include <stdint.h>

#define STEER_CPUS 1024         /* CPUs with higher numbers are left to the kernel */

/* What a listener asks for; the words of the directive `distribute`, in its order. From rss on see rss.h. */
enum steer_want { STEER_AUTO, STEER_KERNEL, STEER_CPU, STEER_SHARED, STEER_RSS, STEER_RULES, STEER_LEAST_LOAD };

struct steer_plan {
	unsigned n_cpus;
	uint16_t index[STEER_CPUS];     /* by CPU */
};
/* cpu[i]: the CPU of socket i's worker, -1 when it has none that may get connections. CPUs below
 * n_cpus without a worker are dealt out to all. False: two workers share a CPU, there is no worker at all,
 * or a CPU beyond STEER_CPUS. */
bool steer_plan_make(struct steer_plan *p, const int *cpu, unsigned n, unsigned n_cpus);
bool steer_plan_eq(const struct steer_plan *a, const struct steer_plan *b);

/* The plan as a program (<linux/filter.h>); its length. out has room for STEER_PROGRAM. */
#define STEER_PROGRAM (4 * STEER_CPUS)
struct sock_filter;
unsigned steer_program(const struct steer_plan *p, struct sock_filter *out);
/* The part of it that answers with p->index[accumulator]; for p->n_cpus numbers of whatever kind. */
unsigned steer_answer(const struct steer_plan *p, struct sock_filter *out);

/* On the group that the listening socket fd is in. Negated errno: the kernel cannot do it, or the
 * program is longer than net.core.optmem_max allows; then nothing has changed. */
int steer_attach(int fd, const struct steer_plan *p);
int steer_attach_program(int fd, struct sock_filter *prog, unsigned n);
int steer_attach_first(int fd);         /* everything to the socket with index 0 */
int steer_detach(int fd);       /* back to the kernel's hash; 0 also when there was no program */

#endif
