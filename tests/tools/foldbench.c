/* SPDX-License-Identifier: Apache-2.0 */
/*
 * foldbench.c - what the consolidator costs: services x slots x how many change in a cycle
 *
 *	foldbench [SERVICES SLOTS PERCENT]     one case, or the table of doc/decisions/010-consolidator.md
 *	foldbench flush                        the worker's side only
 *
 * Slots are simulated by one process that stores what flushes of as many workers would store, on another CPU where
 * there is one, as fairlead's workers are elsewhere too. "spread": each service that changes does so in one slot,
 * the next time in another; "all": in every slot. The figure is the thread's CPU time of a fold. "flush" is the
 * worker's side: storing so many changed services of one worker.
 */
#include "config.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"
#include "stat/view.h"

#define CYCLES 1100u
#define WARM   1000u             /* nothing changes: what the first look at all slots left over is done by then */

/* What a proxied request changes of its service. */
static const unsigned hot[] = {
	CTR_SERVICE_REQ_CUR, CTR_SERVICE_REQ_TOT, CTR_SERVICE_REUSE, CTR_SERVICE_BYTES_IN, CTR_SERVICE_BYTES_OUT,
	CTR_SERVICE_R2XX, CTR_SERVICE_TTFB_US, CTR_SERVICE_TXNS, CTR_SERVICE_TTFB_MED_US, CTR_SERVICE_LAST_MS,
};

struct bench {
	struct stat_seg *s;
	unsigned         services, slots, percent;
	bool             all;
	char            *rw[1100];            /* slots as they are written */
	unsigned         at;                  /* spread: the next service, and its slot */
};

struct shared {
	volatile uint32_t turn;               /* 0: writer, 1: fold, 2: over */
	uint64_t          ns[CYCLES], rows;
};

static void die(const char *what)
{
	fprintf(stderr, "foldbench: %s\n", what);
	exit(1);
}

static void on_cpu(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void flush_one(struct bench *b, unsigned k, uint32_t row)
{
	struct seg_slot *sl = (void *)b->rw[k];
	uint64_t *w = (uint64_t *)(void *)(b->rw[k] + b->s->dim.slot.row) + (size_t)row * SEG_ROW_WORDS;
	uint64_t *used = (uint64_t *)(void *)(b->rw[k] + b->s->dim.slot.used) + row / 64;
	uint32_t *ring = (void *)(b->rw[k] + b->s->dim.slot.dirty);

	w[SEG_ROW_TAG] = seg_tag(KIND_SERVICE, view_obj(b->s, row)->incarnation);
	for (size_t i = 0; i < FL_ARRAY_LEN(hot); i++) {
		st64(&w[SEG_ROW_CTR + hot[i]], w[SEG_ROW_CTR + hot[i]] + i + 1);
		w[SEG_ROW_MAP] |= UINT64_C(1) << hot[i];
	}
	*used |= UINT64_C(1) << (row % 64);
	ring[sl->dirty_head & (b->s->dim.dirty_n - 1)] = row;
	st64_rel(&sl->dirty_head, sl->dirty_head + 1);
}

static void flush_cycle(struct bench *b, unsigned cycle)
{
	bool first = cycle == 0;
	unsigned n = first ? b->services : b->services * b->percent / 100;

	if (!first && cycle < WARM - 10)
		return;
	for (unsigned i = 0; i < n; i++, b->at++)
		for (unsigned k = 0; k < b->slots; k++)
			if (first || b->all || k == (b->at / b->services + b->at) % b->slots)
				flush_one(b, k, b->at % b->services);
}

static void fold_side(struct bench *b, struct shared *sh)
{
	uint64_t from;

	on_cpu(0);
	if (stat_become(b->s, STAT_CONTROL, stat_slot_of(b->s, STAT_CONTROL), 0, 1) != 0)
		_exit(1);
	for (unsigned i = 0; i < CYCLES; i++) {
		while (sh->turn != 1)
			sched_yield();
		from = cpu_ns();
		sh->rows = stat_consolidate(b->s, 1000 + (i < WARM ? i * 50 : WARM * 50 + i * 5));
		sh->ns[i] = cpu_ns() - from;
		sh->turn = 0;
	}
	_exit(0);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void objects(struct bench *b)
{
	char name[24];
	uint32_t row;

	for (unsigned i = 0; i < b->services; i++) {
		snprintf(name, sizeof(name), "p/%u", i);
		if (stat_obj_assign(b->s, KIND_SERVICE, str_c(name), 1, &row) != 0 || row != i)
			die("no row");
	}
	stat_obj_commit(b->s, 1, 1);
}

static void run(unsigned services, unsigned slots, unsigned percent, bool all)
{
	struct stat_params p = { .max_objects = FL_MAX(services, 256u), .cores = slots };
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct bench b = { .services = services, .slots = slots, .percent = percent, .all = all };
	int err = 0, st = 0;
	pid_t pid;

	b.s = stat_create(&p, &err);
	if (!b.s || sh == MAP_FAILED)
		die("no memory");
	objects(&b);
	for (unsigned k = 0; k < slots; k++) {
		b.rw[k] = mmap(NULL, b.s->dim.slot.size, PROT_READ | PROT_WRITE, MAP_SHARED, b.s->fd[k + 2], 0);
		if (b.rw[k] == MAP_FAILED)
			die("no slot");
		((struct seg_slot *)(void *)b.rw[k])->pid = (uint32_t)getpid();
		((struct seg_slot *)(void *)b.rw[k])->epoch = 1;
		stat_proc_set(b.s, k, ST_PROC_RUNNING, (uint32_t)getpid(), k, 1);
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		fold_side(&b, sh);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		on_cpu(1);
	for (unsigned i = 0; i < CYCLES && waitpid(pid, &st, WNOHANG) == 0; i++) {
		flush_cycle(&b, i);
		sh->turn = 1;
		while (sh->turn == 1 && waitpid(pid, &st, WNOHANG) == 0)
			sched_yield();
	}
	(void)waitpid(pid, &st, 0);
	qsort(sh->ns + WARM, CYCLES - WARM, sizeof(sh->ns[0]), by_size);
	printf("%8u %5u %5u%% %6s %9llu %9.1f %8.2f%% %8.2f%%\n", services, slots, percent, all ? "all" : "spread",
	       (unsigned long long)sh->rows, (double)sh->ns[(CYCLES + WARM) / 2] / 1e3,
	       (double)sh->ns[(CYCLES + WARM) / 2] / 2e6 * 100, (double)sh->ns[(CYCLES + WARM) / 2] / 5e6 * 100);
	for (unsigned k = 0; k < slots; k++)
		munmap(b.rw[k], b.s->dim.slot.size);
	munmap(sh, sizeof(*sh));
	stat_free(b.s);
}

static void flush_side(unsigned services)
{
	struct stat_params p = { .max_objects = FL_MAX(services, 256u), .cores = 1 };
	struct bench b = { .services = services };
	uint64_t ns[CYCLES], from;
	int err = 0;

	b.s = stat_create(&p, &err);
	if (!b.s)
		die("no memory");
	objects(&b);
	if (stat_become(b.s, STAT_WORKER, 0, 0, 1) != 0)
		die("no slot");
	for (unsigned c = 0; c < CYCLES; c++) {
		for (unsigned i = 0; i < services; i++)
			for (size_t k = 0; k < FL_ARRAY_LEN(hot); k++)
				stat_inc(stat_row_get(b.s, KIND_SERVICE, i), hot[k]);
		from = cpu_ns();
		stat_flush(b.s, c);
		ns[c] = cpu_ns() - from;
	}
	qsort(ns + WARM, CYCLES - WARM, sizeof(ns[0]), by_size);
	printf("flush of %5u changed services: %8.1f us, %6.0f ns each\n", services,
	       (double)ns[(CYCLES + WARM) / 2] / 1e3, (double)ns[(CYCLES + WARM) / 2] / services);
	stat_free(b.s);
}

int main(int argc, char **argv)
{
	static const unsigned services[] = { 100, 1000, 10000 }, slots[] = { 2, 16, 64 };
	static const unsigned percent[] = { 0, 10, 100 };
	bool flush_only = argc == 2 && strcmp(argv[1], "flush") == 0;

	if (argc > 1 && argc != 4 && !flush_only)
		die("[SERVICES SLOTS PERCENT | flush]");
	if (!flush_only)
		printf("%8s %5s %6s %6s %9s %9s %9s %9s\n", "services", "slots", "dirty", "how", "rows", "us/fold", "at 2ms",
		       "at 5ms");
	if (argc == 4) {
		unsigned a = (unsigned)strtoul(argv[1], NULL, 10), b = (unsigned)strtoul(argv[2], NULL, 10),
			 c = (unsigned)strtoul(argv[3], NULL, 10);

		if (!a || !b || b > 1000)
			die("SERVICES SLOTS PERCENT");
		run(a, b, c, false);
		run(a, b, c, true);
		return 0;
	}
	for (size_t i = 0; i < 3 && argc == 1; i++)
		for (size_t k = 0; k < 3; k++)
			for (size_t j = 0; j < 3; j++) {
				run(services[i], slots[k], percent[j], false);
				if (percent[j])
					run(services[i], slots[k], percent[j], true);
			}
	for (unsigned n = 1; n <= 10000; n *= 10)
		flush_side(n);
	return 0;
}
