/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpus.c - the CPUs of the appliance: the control core, and workers that are pinned again when the set changes
 *
 * Somebody may take CPUs from us or give some at any time: a cpuset, taskset(1) on the master. Once a second the master
 * looks at what it may use; when that changed, all workers are pinned by place.c's plan. What somebody did to one
 * worker by hand stays until then.
 *
 * While the master has no control core it is not pinned, and its own mask is the answer. With one, its mask is that
 * CPU: it asks for all for a moment, and the kernel cuts that down to the cpuset. A limit that it was started with (taskset)
 * is not the kernel's to remember, so it is kept here.
 */
#include "config.h"

#include "proc/master.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "proc/place.h"

#define SETTLE 3u             /* looks after a change in which every mask is checked: the kernel's own changes come one by one */

static struct {
	cpu_set_t limit;             /* of the start */
	bool      limited;
	cpu_set_t now, ever;
	int       control;           /* the master is pinned there; PLACE_SHARED */
	unsigned  settle;
	bool      known;
} cpus = { .control = PLACE_SHARED };

/* What there is ---------------------------------------------------------------------------- */

/* A mask of all is not refused: the kernel takes what the cpuset has of it, and more when that grows. */
static void all_cpus(cpu_set_t *set)
{
	memset(set, 0xff, sizeof(*set));
}

/* The mask of our own that asks for nothing special. */
static void free_mask(cpu_set_t *set)
{
	if (cpus.limited)
		*set = cpus.limit;
	else
		all_cpus(set);
}

/* What there is for us when we are pinned. */
static bool look_around(cpu_set_t *got)
{
	cpu_set_t before, wide;
	bool ok;

	free_mask(&wide);
	if (sched_getaffinity(0, sizeof(before), &before) != 0)
		return false;
	ok = sched_setaffinity(0, sizeof(wide), &wide) == 0 && sched_getaffinity(0, sizeof(*got), got) == 0;
	(void)sched_setaffinity(0, sizeof(before), &before);
	return ok;
}

static void look(cpu_set_t *out)
{
	bool ok = cpus.control == PLACE_SHARED ? sched_getaffinity(0, sizeof(*out), out) == 0 : look_around(out);

	if (!ok || CPU_COUNT(out) == 0)
		*out = cpus.now;
}

void cpus_start(void)
{
	cpu_set_t all, got;

	CPU_ZERO(&cpus.now);
	if (sched_getaffinity(0, sizeof(cpus.now), &cpus.now) != 0)
		CPU_SET(0, &cpus.now);
	cpus.limit = cpus.ever = cpus.now;
	all_cpus(&all);
	if (sched_setaffinity(0, sizeof(all), &all) == 0 && sched_getaffinity(0, sizeof(got), &got) == 0 &&
	    !CPU_EQUAL(&got, &cpus.now)) {
		cpus.limited = true;
		(void)sched_setaffinity(0, sizeof(cpus.limit), &cpus.limit);
	}
	cpus.known = true;
}

/* The CPU that workers keep away from. */
static int kept_free(const struct manifest *man, int control)
{
	return man->control_shares ? PLACE_SHARED : control;
}

unsigned cpus_workers(const struct manifest *man)
{
	return man->workers ? man->workers : place_room(&cpus.now, kept_free(man, man->control_core));
}

int cpus_of_worker(const struct manifest *man, unsigned n_workers, unsigned core)
{
	int cpu[STAT_MAX_CORES];

	if (core >= FL_MIN(n_workers, (unsigned)STAT_MAX_CORES))
		return -1;
	place_plan(&cpus.ever, &cpus.now, kept_free(man, man->control_core), FL_MIN(n_workers, (unsigned)STAT_MAX_CORES), cpu);
	return cpu[core];
}

bool cpus_has(int cpu)
{
	return cpu >= 0 && cpu < CPU_SETSIZE && CPU_ISSET((size_t)cpu, &cpus.now);
}

/* Pinning ---------------------------------------------------------------------------------- */

static void pin(pid_t pid, const cpu_set_t *set)
{
	cpu_set_t is;

	if (sched_getaffinity(pid, sizeof(is), &is) == 0 && CPU_EQUAL(&is, set))
		return;
	if (sched_setaffinity(pid, sizeof(*set), set) != 0 && errno != ESRCH)
		log_ev_key(EV_SANDBOX, STR("pin"), "pid %d cannot be pinned: %s", (int)pid, strerror(errno));
}

/* All its threads: a mask is a thread's. */
static void pin_threads(pid_t pid, const cpu_set_t *set)
{
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	if (!d) {
		pin(pid, set);
		return;
	}
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		uint64_t tid;

		if (str_u64(str_c(e->d_name), &tid) && tid <= INT32_MAX)
			pin((pid_t)tid, set);
	}
	closedir(d);
}

static void pin_workers(struct master *m, bool say)
{
	static int cpu[STAT_MAX_CORES], home[STAT_MAX_CORES];
	unsigned n = FL_MIN(m->cur->n_workers, (unsigned)STAT_MAX_CORES);
	int control = kept_free(m->cur->man, cpus.control);
	char text[512];
	struct sb b;

	sb_init(&b, text, sizeof(text));
	sb_c(&b, "CPUs that may be used now: ");
	place_text(&cpus.now, &b);
	place_plan(&cpus.ever, &cpus.now, control, n, cpu);
	place_plan(&cpus.ever, &cpus.ever, control, n, home);
	LIST_FOREACH(it, &m->procs) {
		const struct proc *p = LIST_ENTRY(it, struct proc, link);
		cpu_set_t one;

		if (p->role != PROC_WORKER || !p->pid || p->core >= n || cpu[p->core] < 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET((size_t)cpu[p->core], &one);
		pin(p->pid, &one);
		if (p->g == m->cur && cpu[p->core] != home[p->core])
			sb_fmt(&b, "; worker@%u runs on CPU %d instead of %d", p->core, cpu[p->core], home[p->core]);
	}
	if (say)
		log_ev(EV_CPUS, "%s", text);
}

static void pin_control(struct master *m)
{
	cpu_set_t set;

	free_mask(&set);
	if (cpus.control != PLACE_SHARED) {
		CPU_ZERO(&set);
		CPU_SET((size_t)cpus.control, &set);
	}
	pin(0, &set);
	LIST_FOREACH(it, &m->procs) {
		const struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (p->role != PROC_WORKER && p->pid)
			pin_threads(p->pid, &set);
	}
}

/* The control core as configured, as long as it is one of ours. */
static int wanted_control(const struct master *m)
{
	int want = m->cur->man->control_core;

	return want != PLACE_SHARED && cpus_has(want) ? want : PLACE_SHARED;
}

static void say_control_is_away(int cpu)
{
	log_ev(EV_CPUS, "control-core: CPU %d is not one of those that may be used; master and control run where there is room",
	       cpu);
}

static void set_control(struct master *m)
{
	int want = wanted_control(m), configured = m->cur->man->control_core;

	if (want == cpus.control)
		return;
	cpus.control = want;
	pin_control(m);
	if (want != PLACE_SHARED)
		log_ev(EV_CPUS, "master, gen, control and logd run on CPU %d", want);
	else if (configured != PLACE_SHARED)
		say_control_is_away(configured);
	else
		log_ev(EV_CPUS, "master and control have no core of their own any more");
}

void cpus_second(struct master *m)
{
	cpu_set_t now;

	if (!cpus.known || !m->cur || !m->cur->man || m->stopping)
		return;
	look(&now);
	if (!CPU_EQUAL(&now, &cpus.now)) {
		cpus.now = now;
		CPU_OR(&cpus.ever, &cpus.ever, &now);
		cpus.settle = SETTLE;
		set_control(m);
		pin_workers(m, true);
		return;
	}
	set_control(m);
	if (!cpus.settle)
		return;
	cpus.settle--;
	if (cpus.control != PLACE_SHARED)
		pin_control(m);
	pin_workers(m, false);
}

void cpus_commit(struct master *m)
{
	if (!cpus.known || !m->cur || !m->cur->man)
		return;
	set_control(m);
	if (m->cur->man->control_core != PLACE_SHARED && !cpus_has(m->cur->man->control_core))
		say_control_is_away(m->cur->man->control_core);
	pin_workers(m, false);
}

void cpus_release(void)
{
	cpu_set_t set;

	if (cpus.control == PLACE_SHARED)
		return;
	cpus.control = PLACE_SHARED;             /* a second later it is set again, should exec fail */
	free_mask(&set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}
