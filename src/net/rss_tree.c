/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rss_tree.c - the choice of rss.h as a classic program, for those who may not load another one
 *
 * Rules, hash and table become instructions: the hash is worked out in the program's 16 words of memory, and a
 * binary search over runs of buckets ends in the number of a socket. A table that changes is
 * a new program (steer.h has how numbers and sockets belong together). Nothing is counted.
 *
 *	memory, from 0 on: client's address, ours, both ports (numbers, the first byte highest); then
 *	a, b, c of the hash and one word to work with
 *
 * Headers are found from the start of the network header: what a program of a group gets begins behind
 * TCP's or UDP's own. Behind extension headers of IPv6 the ports are not looked for: addresses only. A load
 * that fails would answer 0; the kernel has seen all of these bytes before it asks.
 */
#include "config.h"

#include "net/rss.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>

#include "base/compiler.h"
#include "base/env.h"
#include "net/steer.h"

#define NET     ((uint32_t)SKF_NET_OFF)
#define A_WORD  12u
#define TMP     15u
#define KERNEL  UINT32_MAX      /* a number that no socket has */

_Static_assert(RSS_BUCKETS <= STEER_CPUS, "buckets as the CPUs of a plan");

struct tree {
	struct sock_filter *out;
	unsigned            n;
};

static void put(struct tree *t, unsigned code, uint32_t k)
{
	ASSERT(t->n < RSS_TREE);
	t->out[t->n++] = (struct sock_filter){ .code = (uint16_t)code, .k = k };
}

static void load(struct tree *t, unsigned word)
{
	put(t, BPF_LD | BPF_MEM, word);
}

static void store(struct tree *t, unsigned word)
{
	put(t, BPF_ST, word);
}

/* The accumulator and a word, by X. */
static void with(struct tree *t, unsigned op, unsigned word)
{
	put(t, BPF_LDX | BPF_MEM, word);
	put(t, BPF_ALU | op | BPF_X, 0);
}

static void load_packet(struct tree *t, unsigned size, unsigned at)
{
	put(t, BPF_LD | size | BPF_ABS, NET + at);
}

/* A jump over what follows until land(). */
static unsigned skip_if(struct tree *t, unsigned op, uint32_t k, bool is)
{
	put(t, BPF_JMP | op | BPF_K, k);
	t->out[t->n - 1].jt = is ? UINT8_MAX : 0;
	t->out[t->n - 1].jf = is ? 0 : UINT8_MAX;
	return t->n - 1;
}

static void land(struct tree *t, unsigned at)
{
	struct sock_filter *j = &t->out[at];
	unsigned far = t->n - at - 1;

	ASSERT(far < UINT8_MAX);
	j->jt = j->jt ? (uint8_t)far : 0;
	j->jf = j->jf ? (uint8_t)far : 0;
}

/* The tuple -------------------------------------------------------------------------------- */

static void mask_ports(struct tree *t, unsigned tuple, unsigned word)
{
	if (tuple < 4)
		put(t, BPF_ALU | BPF_AND | BPF_K, tuple == 3 ? 0xffff : 0);
	store(t, word);
}

static void load_v4(struct tree *t)
{
	load_packet(t, BPF_W, 12);
	store(t, 0);
	load_packet(t, BPF_W, 16);
	store(t, 1);
	put(t, BPF_LDX | BPF_B | BPF_MSH, NET);
	put(t, BPF_LD | BPF_W | BPF_IND, NET);
	store(t, 2);
}

static void load_v6(struct tree *t)
{
	unsigned tcp, udp;

	for (unsigned i = 0; i < 8; i++) {
		load_packet(t, BPF_W, 8 + 4 * i);
		store(t, i);
	}
	load_packet(t, BPF_B, 6);
	tcp = skip_if(t, BPF_JEQ, IPPROTO_TCP, true);
	udp = skip_if(t, BPF_JEQ, IPPROTO_UDP, true);
	put(t, BPF_LD | BPF_IMM, 0);
	store(t, 8);
	put(t, BPF_JMP | BPF_JA, 2);
	land(t, tcp);
	land(t, udp);
	load_packet(t, BPF_W, 40);
	store(t, 8);
}

/* Rules ------------------------------------------------------------------------------------ */

static uint32_t number(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Jumps that are taken when a rule does not fit. */
struct miss {
	unsigned at[10], n;
};

/* The words of memory from `at` on. */
static void match_prefix(struct tree *t, struct miss *m, const struct cidr *c, unsigned at)
{
	for (unsigned w = 0; 32 * w < c->bits; w++) {
		unsigned bits = FL_MIN(c->bits - 32 * w, 32u);
		uint32_t mask = UINT32_MAX << (32 - bits);

		load(t, at + w);
		if (bits < 32)
			put(t, BPF_ALU | BPF_AND | BPF_K, mask);
		m->at[m->n++] = skip_if(t, BPF_JEQ, number(c->ip.b + 4 * w) & mask, false);
	}
}

static void match_more(struct tree *t, struct miss *m, const struct rss_more *more, bool v6)
{
	if (more->port_hi) {
		load(t, v6 ? 8 : 2);
		put(t, BPF_ALU | BPF_RSH | BPF_K, 16);
		m->at[m->n++] = skip_if(t, BPF_JGE, more->port_lo, false);
		m->at[m->n++] = skip_if(t, BPF_JGT, more->port_hi, true);
	}
	if (more->to.ip.family)
		match_prefix(t, m, &more->to, v6 ? 4 : 1);
}

static void rules(struct tree *t, const struct rss *r, const struct rss_opts *o, bool v6)
{
	for (unsigned i = 0; i < o->n_rules; i++) {
		struct miss m = { .n = 0 };

		if ((o->rules[i].ip.family == AF_INET6) != v6)
			continue;
		match_prefix(t, &m, &o->rules[i], 0);
		if (o->more)
			match_more(t, &m, &o->more[i], v6);
		put(t, BPF_RET | BPF_K, r->data->table[RSS_BUCKETS + i]);
		while (m.n--)
			land(t, m.at[m.n]);
	}
}

/* jhash, as in flow_hash.c ------------------------------------------------------------------ */

static void rotate(struct tree *t, unsigned word, unsigned by)
{
	load(t, word);
	put(t, BPF_ALU | BPF_LSH | BPF_K, by);
	store(t, TMP);
	load(t, word);
	put(t, BPF_ALU | BPF_RSH | BPF_K, 32 - by);
	with(t, BPF_OR, TMP);
}

static void mix(struct tree *t)
{
	static const uint8_t by[6] = { 4, 6, 8, 16, 19, 4 };

	for (unsigned i = 0; i < FL_ARRAY_LEN(by); i++) {
		unsigned a = A_WORD + i % 3, b = A_WORD + (i + 1) % 3, c = A_WORD + (i + 2) % 3;

		load(t, a);
		with(t, BPF_SUB, c);
		store(t, a);
		rotate(t, c, by[i]);
		with(t, BPF_XOR, a);
		store(t, a);
		load(t, c);
		with(t, BPF_ADD, b);
		store(t, c);
	}
}

static void finish(struct tree *t)
{
	static const uint8_t by[7] = { 14, 11, 25, 16, 4, 14, 24 };

	for (unsigned i = 0; i < FL_ARRAY_LEN(by); i++) {
		unsigned to = A_WORD + (i + 2) % 3, from = A_WORD + (i + 1) % 3;

		load(t, to);
		with(t, BPF_XOR, from);
		store(t, to);
		rotate(t, from, by[i]);
		put(t, BPF_MISC | BPF_TAX, 0);
		load(t, to);
		put(t, BPF_ALU | BPF_SUB | BPF_X, 0);
		store(t, to);
	}
}

/* The bucket, into the accumulator. */
static void hash(struct tree *t, uint32_t seed, unsigned tuple, unsigned words)
{
	load(t, words - 1);
	mask_ports(t, tuple, words - 1);
	for (unsigned i = 0; i < words; i++) {
		if (i < 3)
			put(t, BPF_LD | BPF_IMM, seed);
		else
			load(t, A_WORD + i % 3);
		with(t, BPF_ADD, i);
		store(t, A_WORD + i % 3);
		if (i % 3 == 2 && i + 1 < words)
			mix(t);
	}
	finish(t);
	load(t, A_WORD + 2);
	put(t, BPF_ALU | BPF_AND | BPF_K, RSS_BUCKETS - 1);
}

/* All -------------------------------------------------------------------------------------- */

static void choose(struct tree *t, const struct rss *r, const struct rss_opts *o, bool v6)
{
	struct steer_plan table = { .n_cpus = RSS_BUCKETS };
	uint32_t seed;

	if (v6)
		load_v6(t);
	else
		load_v4(t);
	rules(t, r, o, v6);
	memcpy(&seed, r->data->key, sizeof(seed));
	hash(t, seed, o->tuple, v6 ? 9 : 3);
	for (unsigned i = 0; i < RSS_BUCKETS; i++)
		table.index[i] = (uint16_t)r->data->table[i];
	ASSERT(t->n + 4 * RSS_BUCKETS <= RSS_TREE);
	t->n += steer_answer(&table, t->out + t->n);
}

unsigned rss_tree(const struct rss *r, const struct rss_opts *o, struct sock_filter *out)
{
	struct tree t = { .out = out };
	unsigned v4, v6, over;

	load_packet(&t, BPF_B, 0);
	put(&t, BPF_ALU | BPF_RSH | BPF_K, 4);
	v4 = skip_if(&t, BPF_JEQ, 4, true);
	v6 = skip_if(&t, BPF_JEQ, 6, true);
	put(&t, BPF_RET | BPF_K, KERNEL);
	land(&t, v6);
	/* too far for a conditional jump */
	over = t.n + 1;
	put(&t, BPF_JMP | BPF_JA, 1);
	land(&t, v4);
	put(&t, BPF_JMP | BPF_JA, 0);
	choose(&t, r, o, true);
	t.out[over].k = t.n - over - 1;
	choose(&t, r, o, false);
	return t.n;
}

int rss_attach_tree(const struct rss *r, int fd, const struct rss_opts *o)
{
	static struct sock_filter prog[RSS_TREE];
	int err = env_fp("rss.tree");

	if (err)
		return err;
	return steer_attach_program(fd, prog, rss_tree(r, o, prog));
}
