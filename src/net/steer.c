/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steer.c - see steer.h
 *
 * The program loads the CPU's number and finds the run of CPUs that it is in by binary search. In a run
 * the index is the CPU's number less a constant, so the usual case (worker i on CPU i) is two instructions,
 * and 128 CPUs for 8 workers are 16 runs.
 */
#include "config.h"

#include "net/steer.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "base/env.h"

#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif
#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

bool steer_plan_make(struct steer_plan *p, const int *cpu, unsigned n, unsigned n_cpus)
{
	bool taken[STEER_CPUS] = { false };
	unsigned next = 0, live = 0;

	p->n_cpus = FL_MIN(n_cpus, (unsigned)STEER_CPUS);
	for (unsigned i = 0; i < n; i++) {
		if (cpu[i] < 0)
			continue;
		if (cpu[i] >= STEER_CPUS || taken[cpu[i]])
			return false;
		taken[cpu[i]] = true;
		p->index[cpu[i]] = (uint16_t)i;
		p->n_cpus = FL_MAX(p->n_cpus, (unsigned)cpu[i] + 1);
		live++;
	}
	for (unsigned c = 0; live && c < p->n_cpus; c++) {
		if (taken[c])
			continue;
		while (cpu[next % n] < 0)
			next++;
		p->index[c] = (uint16_t)(next++ % n);
	}
	return live > 0;
}

bool steer_plan_eq(const struct steer_plan *a, const struct steer_plan *b)
{
	return a->n_cpus == b->n_cpus && memcmp(a->index, b->index, a->n_cpus * sizeof(a->index[0])) == 0;
}

/* The program ------------------------------------------------------------------------------ */

struct run {
	uint16_t from;
	uint32_t less;          /* index = CPU - less, modulo 2^32 */
};

static unsigned find_runs(const struct steer_plan *p, struct run *runs)
{
	unsigned n = 0;

	for (unsigned c = 0; c < p->n_cpus; c++) {
		uint32_t less = (uint32_t)c - p->index[c];

		if (n == 0 || runs[n - 1].less != less)
			runs[n++] = (struct run){ .from = (uint16_t)c, .less = less };
	}
	return n;
}

/* Conditional jumps reach 255 instructions only: each is followed by an unconditional one. */
static unsigned search(const struct run *runs, unsigned n, struct sock_filter *out)
{
	unsigned left;

	if (n == 1) {
		unsigned len = 0;

		if (runs[0].less)
			out[len++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, runs[0].less);
		out[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
		return len;
	}
	left = search(runs, n / 2, out + 2);
	out[0] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, runs[n / 2].from, 0, 1);
	out[1] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, left);
	return 2 + left + search(runs + n / 2, n - n / 2, out + 2 + left);
}

unsigned steer_answer(const struct steer_plan *p, struct sock_filter *out)
{
	struct run runs[STEER_CPUS];

	return search(runs, find_runs(p, runs), out);
}

unsigned steer_program(const struct steer_plan *p, struct sock_filter *out)
{
	out[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_CPU));
	return 1 + steer_answer(p, out + 1);
}

/* The kernel ------------------------------------------------------------------------------- */

int steer_attach_program(int fd, struct sock_filter *prog, unsigned n)
{
	struct sock_fprog p = { .len = (unsigned short)n, .filter = prog };

	return env_setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &p, sizeof(p));
}

int steer_attach(int fd, const struct steer_plan *p)
{
	static struct sock_filter prog[STEER_PROGRAM];

	return steer_attach_program(fd, prog, steer_program(p, prog));
}

int steer_attach_first(int fd)
{
	static struct sock_filter first[] = { BPF_STMT(BPF_RET | BPF_K, 0) };

	return steer_attach_program(fd, first, FL_ARRAY_LEN(first));
}

int steer_detach(int fd)
{
	static struct sock_filter nobody[] = { BPF_STMT(BPF_RET | BPF_K, UINT32_MAX) };
	int err = env_setsockopt_int(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0);

	if (err == 0 || err == -ENOENT)
		return 0;
	/* before Linux 5.3: a program that names no socket does as much */
	return steer_attach_program(fd, nobody, FL_ARRAY_LEN(nobody));
}
