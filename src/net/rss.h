/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rss.h - which socket of a reuseport group gets a flow: the one that a table says, by a hash of addresses and ports
 *
 * As a network card spreads flows over its queues, done for sockets (doc/decisions/009-rss.md):
 *
 *	packet -> rule of a prefix, or hash -> bucket -> table -> slot -> socket
 *
 * An eBPF program on the group, assembled here (rss_prog.c) and loaded by bpf(2), does it for each SYN (TCP) or
 * datagram (UDP). Two maps belong to an address: the sockets by slot, and struct rss_data, which is mapped
 * here. So a bucket is moved by one store, which the next packet sees. A slot without a socket: the
 * spare slot; nothing there either: the kernel's hash, counted. Flows of a socket that is closed
 * go where the table says by then, as far as the kernel migrates them (Linux 5.14).
 *
 * Loading needs CAP_BPF. Without it a classic program (rss_tree.c) does the same, but for counts, spare slot and
 * migration: it has the table in its instructions, so a change is a new program, and a slot is the index of its
 * socket in the group (steer.h). The hash is always jhash there.
 *
 * Maps and program live as long as a socket of the group does, whoever made them; a new
 * master that has both descriptors goes on with them. A socket can be in one such map only.
 * Master only; nothing here waits.
 */
#ifndef FL_NET_RSS_H
#define FL_NET_RSS_H

#include <stddef.h>

#include "base/addr.h"
#include "net/flow_hash.h"

#define RSS_BUCKETS  128
#define RSS_RULES    32         /* they follow the buckets in table and counts */
#define RSS_ENTRIES  (RSS_BUCKETS + RSS_RULES)
#define RSS_PROGRAM  4096       /* instructions, at most */

enum rss_hash { RSS_JHASH, RSS_TOEPLITZ };

struct rss_opts {
	enum rss_hash hash;
	unsigned      tuple;            /* 2, 3 or 4 */
	/* clients of prefix i are entry RSS_BUCKETS + i; the first that fits decides */
	struct cidr  *rules;
	struct rss_more *more;          /* [n_rules], what else must fit; NULL: nothing */
	unsigned      n_rules;
};
struct rss_more {
	uint16_t    port_lo, port_hi;   /* of the client; hi 0: any */
	struct cidr to;                 /* our address; family 0: any */
};

#define RSS_MAGIC   0x46527331u         /* changes with struct rss_data */
#define RSS_CELLS   256
#define RSS_SPARE   (RSS_ENTRIES)       /* cells behind those of the entries: went to the spare slot, */
#define RSS_KERNEL  (RSS_ENTRIES + 1)   /* to the kernel's hash */
struct rss_data {
	uint32_t magic, stripes, spare, slots;
	uint8_t  key[TOEPLITZ_KEY];             /* of both hashes; random */
	uint64_t pad;
	uint32_t table[RSS_CELLS];              /* entry -> slot */
	uint32_t home[RSS_CELLS];               /* not the program's: kept here for the next master */
	uint64_t hits[][RSS_CELLS];             /* [stripes], a power of two: CPUs count side by side */
};

struct rss {
	int              socks_fd, data_fd;     /* -1: none */
	struct rss_data *data;
	size_t           size;                  /* of the mapping */
};
/* Negated errno; -EPERM: CAP_BPF is missing. rss_take() takes the descriptors if it succeeds; it fails when they are not
 * of this layout. */
int  rss_open(struct rss *r, unsigned slots);
/* For a classic program: no map of sockets (-1), and memory of this process's in place of the other. rss_take() takes
 * that as well, and either will do for rss_attach_tree(). */
int  rss_open_plain(struct rss *r, unsigned slots);
int  rss_take(struct rss *r, unsigned slots, int socks_fd, int data_fd);
void rss_close(struct rss *r);          /* what is attached stays */
/* Into its slot; 0 as well when it is there already. -EBUSY: it is in another map. */
int  rss_put(struct rss *r, unsigned slot, int fd);
/* Loads the program and puts it on the group that fd is in, in place of any other. */
int  rss_attach(struct rss *r, int fd, const struct rss_opts *o);
int  rss_attach_tree(const struct rss *r, int fd, const struct rss_opts *o);
void rss_set(struct rss *r, unsigned entry, uint32_t slot);
void rss_set_spare(struct rss *r, uint32_t slot);
uint64_t rss_hits(const struct rss *r, unsigned cell);  /* since the maps were made */
/* The rule that is for it; -1: none. */
int rss_rule(const struct rss_opts *o, const struct flow *f);
/* What the program will find, and the classic one. */
unsigned rss_entry(const struct rss *r, const struct rss_opts *o, const struct flow *f);
unsigned rss_tree_entry(const struct rss *r, const struct rss_opts *o, const struct flow *f);

/* rss_prog.c: the program as instructions (<linux/bpf.h>); its length. out has room for RSS_PROGRAM. */
struct bpf_insn;
unsigned rss_program(const struct rss *r, const struct rss_opts *o, struct bpf_insn *out);
/* rss_tree.c: the classic one (<linux/filter.h>). out has room for RSS_TREE. */
#define RSS_TREE 4096
struct sock_filter;
unsigned rss_tree(const struct rss *r, const struct rss_opts *o, struct sock_filter *out);

#endif
