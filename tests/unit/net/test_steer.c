/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_steer.c - plans, the programs made of them (run here and by the kernel), and who gets the connection
 */
#include "config.h"

#include "net/steer.h"

#include <check.h>
#include <errno.h>
#include <linux/filter.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "net/listener.h"

static struct steer_plan plan;
static struct sock_filter prog[STEER_PROGRAM];

/* What the kernel would answer on that CPU. */
static uint32_t run(unsigned len, uint32_t cpu)
{
	uint32_t a = 0;

	for (unsigned pc = 0, steps = 0; pc < len; pc++) {
		const struct sock_filter *f = &prog[pc];

		ck_assert_uint_lt(steps++, 64);
		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			ck_assert_uint_eq(f->k, (uint32_t)(SKF_AD_OFF + SKF_AD_CPU));
			a = cpu;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JA:
			pc += f->k;
			break;
		case BPF_ALU | BPF_SUB | BPF_K:
			a -= f->k;
			break;
		case BPF_RET | BPF_A:
			return a;
		default:
			ck_abort_msg("instruction %u: code %#x", pc, f->code);
		}
	}
	ck_abort_msg("fell off the end");
}

/* The program does what the plan says; its length. */
static unsigned check_program(void)
{
	unsigned len = steer_program(&plan, prog);

	ck_assert_uint_le(len, BPF_MAXINSNS);
	for (unsigned c = 0; c < plan.n_cpus; c++)
		ck_assert_uint_eq(run(len, c), plan.index[c]);
	return len;
}

START_TEST(test_plans)
{
	static const int straight[4] = { 0, 1, 2, 3 }, gaps[3] = { 2, 5, 7 }, out[4] = { 0, -1, 2, 3 };
	static const int same[2] = { 1, 1 }, nobody[2] = { -1, -1 }, far[1] = { STEER_CPUS };
	unsigned got[3] = { 0 };

	ck_assert(steer_plan_make(&plan, straight, 4, 4));
	ck_assert_uint_eq(check_program(), 2);                   /* load, return */
	ck_assert(steer_plan_make(&plan, straight, 4, 128));
	for (unsigned c = 0; c < 128; c++)
		ck_assert_uint_eq(plan.index[c], c % 4);
	check_program();
	/* beyond the plan: an index that no socket has, the kernel's hash decides */
	ck_assert(steer_plan_make(&plan, gaps, 3, 6));
	ck_assert_uint_eq(plan.n_cpus, 8);
	ck_assert_uint_eq(run(check_program(), 2), 0);
	for (unsigned c = 0; c < 8; c++)
		got[plan.index[c]]++;
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_ge(got[i], 2);
	/* the one without a worker gets nothing */
	ck_assert(steer_plan_make(&plan, out, 4, 16));
	for (unsigned c = 0; c < 16; c++)
		ck_assert_uint_ne(plan.index[c], 1);
	check_program();
	ck_assert(!steer_plan_make(&plan, same, 2, 4));
	ck_assert(!steer_plan_make(&plan, nobody, 2, 4));
	ck_assert(!steer_plan_make(&plan, far, 1, 4));
}
END_TEST

START_TEST(test_random_plans)
{
	for (unsigned round = 0; round < 200; round++) {
		plan.n_cpus = round ? 1 + (unsigned)rand() % STEER_CPUS : STEER_CPUS;
		for (unsigned c = 0; c < plan.n_cpus; c++)       /* round 0: no two alike, the longest program */
			plan.index[c] = (uint16_t)(round ? rand() % 5 : (int)(c * 7 % 1000));
		check_program();
	}
}
END_TEST

/* Real sockets ----------------------------------------------------------------------------- */

#define SOCKETS 3
static int fds[SOCKETS];
static struct addr addr;

static void open_all(void)
{
	struct listener_opts o = { .backlog = 64 };
	socklen_t n = sizeof(addr);

	memset(&addr, 0, sizeof(addr));
	addr.in.sin_family = AF_INET;
	addr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i < SOCKETS; i++) {
		fds[i] = listener_open(&addr, &o);
		ck_assert_int_ge(fds[i], 0);
		ck_assert_int_eq(getsockname(fds[i], &addr.sa, &n), 0);
	}
}

static void close_all(void)
{
	for (unsigned i = 0; i < SOCKETS; i++)
		close(fds[i]);
}

/* Clients on that CPU; how many each socket got. */
static void clients(int cpu, unsigned n, unsigned got[SOCKETS])
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	memset(got, 0, SOCKETS * sizeof(got[0]));
	while (n--) {
		struct pollfd p[SOCKETS];
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		ck_assert_int_eq(connect(fd, &addr.sa, sizeof(addr.in)), 0);
		for (unsigned i = 0; i < SOCKETS; i++)
			p[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
		ck_assert_int_eq(poll(p, SOCKETS, 5000), 1);
		for (unsigned i = 0; i < SOCKETS; i++) {
			int c = p[i].revents ? env_accept(fds[i], NULL, NULL) : -1;

			got[i] += c >= 0;
			if (c >= 0)
				close(c);
		}
		close(fd);
	}
}

START_TEST(test_sockets)
{
	cpu_set_t may;
	unsigned got[SOCKETS];
	int cpu[SOCKETS];

	open_all();
	ck_assert_int_eq(sched_getaffinity(0, sizeof(may), &may), 0);
	for (int c = 0; c < CPU_SETSIZE && c < STEER_CPUS; c++) {
		if (!CPU_ISSET((size_t)c, &may))
			continue;
		for (unsigned mine = 0; mine < SOCKETS; mine++) {
			for (unsigned i = 0; i < SOCKETS; i++)
				cpu[i] = i == mine ? c : c + 1 + (int)i;
			ck_assert(steer_plan_make(&plan, cpu, SOCKETS, (unsigned)c + 1));
			/* any member will do */
			ck_assert_int_eq(steer_attach(fds[c % SOCKETS], &plan), 0);
			clients(c, 20, got);
			ck_assert_uint_eq(got[mine], 20);
		}
		ck_assert_int_eq(steer_detach(fds[0]), 0);
		ck_assert_int_eq(steer_detach(fds[0]), 0);
		clients(c, 60, got);
		ck_assert_uint_lt(got[SOCKETS - 1], 60);         /* 3^-60: all hashed to it */
	}
	close_all();
	ck_assert_int_eq(steer_attach(-1, &plan), -EBADF);
	ck_assert_int_eq(steer_detach(-1), -EBADF);
}
END_TEST

/* An index beyond the sockets is the kernel's choice, not a refused connection. */
START_TEST(test_no_such_socket)
{
	cpu_set_t may;
	unsigned got[SOCKETS];
	int c = 0;

	open_all();
	ck_assert_int_eq(sched_getaffinity(0, sizeof(may), &may), 0);
	while (!CPU_ISSET((size_t)c, &may))
		c++;
	plan.n_cpus = (unsigned)c + 1;
	for (unsigned i = 0; i < plan.n_cpus; i++)
		plan.index[i] = 500;
	ck_assert_int_eq(steer_attach(fds[0], &plan), 0);
	clients(c, 60, got);
	ck_assert_uint_eq(got[0] + got[1] + got[2], 60);
	ck_assert(got[0] < 60 && got[1] < 60 && got[2] < 60);
	close_all();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("steer");
	TCase *t = tcase_create("steer");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_plans);
	tcase_add_test(t, test_random_plans);
	tcase_add_test(t, test_sockets);
	tcase_add_test(t, test_no_such_socket);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
