/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rss_prog.c - the program of rss.h, instruction by instruction
 *
 *	r6  what the kernel passes          r8  struct rss_data
 *	r7  the hash, then the bucket       r9  this CPU's row of counts
 *	stack, down from r10: ports (4 bytes), before them both addresses as in the packet, and below all a word
 *	for the slot
 *
 * Without a tuple (a connection that migrates has no packet; anything but IP) the kernel's own hash of the
 * flow is taken, so the table decides there too. Jumps go forward only.
 *
 * Who has CAP_BPF and not CAP_PERFMON may add to a pointer only what is in one range on all paths to that
 * instruction. Hence the row is found once, at the head, and a rule, whose entry is known here, adds nothing.
 */
#include "config.h"

#include "net/rss.h"

#include <linux/bpf.h>
#include <netinet/in.h>
#include <string.h>

#include "base/compiler.h"

#define ETH_IPV4 0x0800
#define ETH_IPV6 0x86dd
#define AT_SLOT  (-48)
#define ROW_BITS 11

_Static_assert(8 * RSS_CELLS == 1 << ROW_BITS, "a row of counts");

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FP_ };
enum label { TO_V6, TO_HASHED, TO_CHOOSE, TO_KERNEL, TO_DONE };

struct prog {
	struct bpf_insn *insn;
	unsigned         n;
	struct { unsigned at; enum label to; } jump[RSS_RULES + 16];     /* whose labels are still to come */
	unsigned         n_jumps;
};

static void put(struct prog *p, unsigned code, unsigned dst, unsigned src, int off, int32_t imm)
{
	ASSERT(p->n < RSS_PROGRAM);
	p->insn[p->n++] = (struct bpf_insn){
		.code = (uint8_t)code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (int16_t)off, .imm = imm,
	};
}

static void op32(struct prog *p, unsigned op, unsigned dst, unsigned src)
{
	put(p, BPF_ALU | op | BPF_X, dst, src, 0, 0);
}

static void op32_k(struct prog *p, unsigned op, unsigned dst, uint32_t k)
{
	put(p, BPF_ALU | op | BPF_K, dst, 0, 0, (int32_t)k);
}

static void op64(struct prog *p, unsigned op, unsigned dst, unsigned src)
{
	put(p, BPF_ALU64 | op | BPF_X, dst, src, 0, 0);
}

static void op64_k(struct prog *p, unsigned op, unsigned dst, int k)
{
	put(p, BPF_ALU64 | op | BPF_K, dst, 0, 0, k);
}

static void load(struct prog *p, unsigned size, unsigned dst, unsigned src, int off)
{
	put(p, BPF_LDX | size | BPF_MEM, dst, src, off, 0);
}

static void store(struct prog *p, unsigned size, unsigned dst, int off, unsigned src)
{
	put(p, BPF_STX | size | BPF_MEM, dst, src, off, 0);
}

/* A map (kind BPF_PSEUDO_MAP_FD), or a byte of its value (BPF_PSEUDO_MAP_VALUE). */
static void load_map(struct prog *p, unsigned dst, unsigned kind, int fd, int at)
{
	put(p, BPF_LD | BPF_DW | BPF_IMM, dst, kind, 0, fd);
	put(p, 0, 0, 0, 0, at);
}

static void jump(struct prog *p, unsigned code, unsigned dst, unsigned src, uint32_t k, enum label to)
{
	ASSERT(p->n_jumps < FL_ARRAY_LEN(p->jump));
	p->jump[p->n_jumps].at = p->n;
	p->jump[p->n_jumps++].to = to;
	put(p, code, dst, src, 0, (int32_t)k);
}

static void label(struct prog *p, enum label l)
{
	for (unsigned i = 0; i < p->n_jumps;) {
		if (p->jump[i].to != l) {
			i++;
			continue;
		}
		p->insn[p->jump[i].at].off = (int16_t)(p->n - p->jump[i].at - 1);
		p->jump[i] = p->jump[--p->n_jumps];
	}
}

static void call(struct prog *p, int helper)
{
	put(p, BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}

/* Counts ----------------------------------------------------------------------------------- */

static void count(struct prog *p, unsigned cell)
{
	op64_k(p, BPF_MOV, R1, 1);
	put(p, BPF_STX | BPF_DW | BPF_ATOMIC, R9, R1, (int)(offsetof(struct rss_data, hits) + 8 * cell), BPF_ADD);
}

/* r9: the row of this CPU. */
static void find_row(struct prog *p, unsigned stripes)
{
	call(p, BPF_FUNC_get_smp_processor_id);
	op64_k(p, BPF_AND, R0, (int)stripes - 1);
	op64_k(p, BPF_LSH, R0, ROW_BITS);
	op64(p, BPF_MOV, R9, R8);
	op64(p, BPF_ADD, R9, R0);
}

/* The tuple -------------------------------------------------------------------------------- */

static void load_ports(struct prog *p)
{
	load(p, BPF_DW, R2, R6, offsetof(struct sk_reuseport_md, data));
	load(p, BPF_DW, R3, R6, offsetof(struct sk_reuseport_md, data_end));
	op64(p, BPF_MOV, R1, R2);
	op64_k(p, BPF_ADD, R1, 4);
	jump(p, BPF_JMP | BPF_JGT | BPF_X, R1, R3, 0, TO_KERNEL);
	load(p, BPF_W, R1, R2, 0);
	store(p, BPF_W, FP_, -4, R1);
}

/* What is not hashed of them; rules have seen it by then. */
static void mask_ports(struct prog *p, unsigned tuple)
{
	if (tuple == 4)
		return;
	load(p, BPF_W, R1, FP_, -4);
	op32_k(p, BPF_AND, R1, flow_port_mask(tuple));
	store(p, BPF_W, FP_, -4, R1);
}

/* From the IP header to the stack, before the ports. */
static void load_addresses(struct prog *p, int from, int n)
{
	op64(p, BPF_MOV, R1, R6);
	op64_k(p, BPF_MOV, R2, from);
	op64(p, BPF_MOV, R3, FP_);
	op64_k(p, BPF_ADD, R3, -4 - n);
	op64_k(p, BPF_MOV, R4, n);
	op64_k(p, BPF_MOV, R5, BPF_HDR_START_NET);
	call(p, BPF_FUNC_skb_load_bytes_relative);
	jump(p, BPF_JMP | BPF_JNE | BPF_K, R0, 0, 0, TO_KERNEL);
}

/* Jumps that are taken when a rule does not fit. */
struct miss {
	unsigned at[10], n;
};

static void miss_if(struct prog *p, struct miss *m, unsigned op, uint32_t k)
{
	ASSERT(m->n < FL_ARRAY_LEN(m->at));
	m->at[m->n++] = p->n;
	put(p, BPF_JMP32 | op | BPF_K, R1, 0, 0, (int32_t)k);
}

/* always: a prefix of 0 bits compares as well, what follows it must look reachable */
static void match_prefix(struct prog *p, struct miss *m, const struct cidr *c, int at, bool always)
{
	for (unsigned w = 0; (always && w == 0) || 32 * w < c->bits; w++) {
		unsigned bits = FL_MIN(c->bits - 32 * w, 32u);
		uint32_t mask = bits ? htonl(UINT32_MAX << (32 - bits)) : 0, want;

		memcpy(&want, c->ip.b + 4 * w, sizeof(want));
		load(p, BPF_W, R1, FP_, at + 4 * (int)w);
		op32_k(p, BPF_AND, R1, mask);
		miss_if(p, m, BPF_JNE, want);
	}
}

static void match_more(struct prog *p, struct miss *m, const struct rss_more *more, int to_at)
{
	if (more->port_hi) {
		load(p, BPF_H, R1, FP_, -4);
		put(p, BPF_ALU | BPF_END | BPF_TO_BE, R1, 0, 0, 16);
		miss_if(p, m, BPF_JLT, more->port_lo);
		miss_if(p, m, BPF_JGT, more->port_hi);
	}
	if (more->to.ip.family)
		match_prefix(p, m, &more->to, to_at, false);
}

static void rules(struct prog *p, const struct rss_opts *o, bool v6, int at)
{
	for (unsigned i = 0; i < o->n_rules; i++) {
		const struct cidr *c = &o->rules[i];
		struct miss m = { .n = 0 };

		if ((c->ip.family == AF_INET6) != v6)
			continue;
		match_prefix(p, &m, c, at, true);
		if (o->more)
			match_more(p, &m, &o->more[i], at + (v6 ? 16 : 4));
		count(p, RSS_BUCKETS + i);
		load(p, BPF_W, R2, R8, (int)(offsetof(struct rss_data, table) + 4 * (RSS_BUCKETS + i)));
		jump(p, BPF_JMP | BPF_JA, 0, 0, 0, TO_CHOOSE);
		while (m.n--)
			p->insn[m.at[m.n]].off = (int16_t)(p->n - m.at[m.n] - 1);
	}
}

/* jhash: r1, r2, r3 are a, b, c ------------------------------------------------------------- */

static void rotate(struct prog *p, unsigned from, unsigned by)     /* into r4 */
{
	op32(p, BPF_MOV, R4, from);
	op32(p, BPF_MOV, R5, from);
	op32_k(p, BPF_LSH, R4, by);
	op32_k(p, BPF_RSH, R5, 32 - by);
	op32(p, BPF_OR, R4, R5);
}

static void jhash_mix(struct prog *p)
{
	static const uint8_t by[6] = { 4, 6, 8, 16, 19, 4 };

	for (unsigned i = 0; i < FL_ARRAY_LEN(by); i++) {
		unsigned a = R1 + i % 3, b = R1 + (i + 1) % 3, c = R1 + (i + 2) % 3;

		op32(p, BPF_SUB, a, c);
		rotate(p, c, by[i]);
		op32(p, BPF_XOR, a, R4);
		op32(p, BPF_ADD, c, b);
	}
}

static void jhash_finish(struct prog *p)
{
	static const uint8_t by[7] = { 14, 11, 25, 16, 4, 14, 24 };

	for (unsigned i = 0; i < FL_ARRAY_LEN(by); i++) {
		unsigned to = R1 + (i + 2) % 3, with = R1 + (i + 1) % 3;

		op32(p, BPF_XOR, to, with);
		rotate(p, with, by[i]);
		op32(p, BPF_SUB, to, R4);
	}
}

static void jhash(struct prog *p, int at, unsigned words)
{
	for (unsigned r = R1; r <= R3; r++)
		load(p, BPF_W, r, R8, offsetof(struct rss_data, key));
	for (unsigned i = 0; i < words; i++) {
		load(p, BPF_W, R4, FP_, at + 4 * (int)i);
		op32(p, BPF_ADD, R1 + i % 3, R4);
		if (i % 3 == 2 && i + 1 < words)
			jhash_mix(p);
	}
	jhash_finish(p);
	op32(p, BPF_MOV, R7, R3);
}

/* By multiplication with each bit: a table of words would be faster by some ns, but needs CAP_PERFMON as well. */
static void toeplitz_byte(struct prog *p, const uint8_t *key, int at, unsigned i)
{
	load(p, BPF_B, R2, FP_, at + (int)i);
	for (unsigned bit = 0; bit < 8; bit++) {
		op32(p, BPF_MOV, R3, R2);
		op32_k(p, BPF_RSH, R3, 7 - bit);
		op32_k(p, BPF_AND, R3, 1);
		op32_k(p, BPF_MUL, R3, toeplitz_window(key, 8 * i + bit));
		op32(p, BPF_XOR, R7, R3);
	}
}

static void toeplitz(struct prog *p, const uint8_t *key, unsigned tuple, int at, unsigned bytes)
{
	unsigned ports = bytes - 4;

	op32_k(p, BPF_MOV, R7, 0);
	for (unsigned i = 0; i < bytes; i++)     /* without those that are 0 */
		if (i < ports || tuple == 4 || (tuple == 3 && i >= ports + 2))
			toeplitz_byte(p, key, at, i);
}

/* Addresses of n bytes each at that place of the IP header. */
static void hash_tuple(struct prog *p, const struct rss *r, const struct rss_opts *o, int from, int n)
{
	int at = -4 - 2 * n;
	unsigned bytes = (unsigned)(2 * n + 4);

	load_addresses(p, from, 2 * n);
	rules(p, o, n == 16, at);
	mask_ports(p, o->tuple);
	if (o->hash == RSS_TOEPLITZ)
		toeplitz(p, r->data->key, o->tuple, at, bytes);
	else
		jhash(p, at, bytes / 4);
}

/* The choice ------------------------------------------------------------------------------- */

/* The slot is in r2. r0: 0 when its socket was chosen. */
static void choose(struct prog *p, int socks_fd)
{
	store(p, BPF_W, FP_, AT_SLOT, R2);
	op64(p, BPF_MOV, R1, R6);
	load_map(p, R2, BPF_PSEUDO_MAP_FD, socks_fd, 0);
	op64(p, BPF_MOV, R3, FP_);
	op64_k(p, BPF_ADD, R3, AT_SLOT);
	op64_k(p, BPF_MOV, R4, 0);
	call(p, BPF_FUNC_sk_select_reuseport);
}

/* The bucket is in r7. Its slot, into r2. */
static void look_up(struct prog *p)
{
	op64(p, BPF_MOV, R2, R7);
	op64_k(p, BPF_LSH, R2, 3);
	op64(p, BPF_ADD, R2, R9);
	op64_k(p, BPF_MOV, R1, 1);
	put(p, BPF_STX | BPF_DW | BPF_ATOMIC, R2, R1, offsetof(struct rss_data, hits), BPF_ADD);
	op64(p, BPF_MOV, R1, R7);
	op64_k(p, BPF_LSH, R1, 2);
	op64(p, BPF_ADD, R1, R8);
	load(p, BPF_W, R2, R1, offsetof(struct rss_data, table));
}

static void choose_any(struct prog *p, int socks_fd)
{
	choose(p, socks_fd);
	jump(p, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0, TO_DONE);
	count(p, RSS_SPARE);
	load(p, BPF_W, R2, R8, offsetof(struct rss_data, spare));
	choose(p, socks_fd);
	jump(p, BPF_JMP | BPF_JEQ | BPF_K, R0, 0, 0, TO_DONE);
	count(p, RSS_KERNEL);
	label(p, TO_DONE);
	op64_k(p, BPF_MOV, R0, SK_PASS);
	put(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

unsigned rss_program(const struct rss *r, const struct rss_opts *o, struct bpf_insn *out)
{
	struct prog p = { .insn = out };

	op64(&p, BPF_MOV, R6, R1);
	load_map(&p, R8, BPF_PSEUDO_MAP_VALUE, r->data_fd, 0);
	find_row(&p, r->data->stripes);
	load_ports(&p);
	load(&p, BPF_W, R1, R6, offsetof(struct sk_reuseport_md, eth_protocol));
	jump(&p, BPF_JMP | BPF_JEQ | BPF_K, R1, 0, htons(ETH_IPV6), TO_V6);
	jump(&p, BPF_JMP | BPF_JNE | BPF_K, R1, 0, htons(ETH_IPV4), TO_KERNEL);
	hash_tuple(&p, r, o, 12, 4);
	jump(&p, BPF_JMP | BPF_JA, 0, 0, 0, TO_HASHED);
	label(&p, TO_V6);
	hash_tuple(&p, r, o, 8, 16);
	jump(&p, BPF_JMP | BPF_JA, 0, 0, 0, TO_HASHED);
	label(&p, TO_KERNEL);
	load(&p, BPF_W, R7, R6, offsetof(struct sk_reuseport_md, hash));
	label(&p, TO_HASHED);
	op64_k(&p, BPF_AND, R7, RSS_BUCKETS - 1);
	look_up(&p);
	label(&p, TO_CHOOSE);
	choose_any(&p, r->socks_fd);
	return p.n;
}
