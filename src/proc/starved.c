/* SPDX-License-Identifier: Apache-2.0 */
/*
 * starved.c - see starved.h. /proc/PID/schedstat: nanoseconds on a CPU first; /proc/PID/stat: the state
 * behind the name, which may hold anything and is skipped from the right (proc(5)).
 */
#include "config.h"

#include "proc/starved.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/str.h"

static bool read_proc(pid_t pid, const char *what, char *buf, size_t cap)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	fd = env_open(path, O_RDONLY, 0);
	if (fd < 0)
		return false;
	n = env_read(fd, buf, cap - 1);
	env_close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static bool read_run_ns(pid_t pid, uint64_t *run_ns)
{
	char sched[128];
	struct str rest;

	if (!read_proc(pid, "schedstat", sched, sizeof(sched)))
		return false;
	rest = str_c(sched);
	return str_u64(str_cut(&rest, ' '), run_ns);
}

/* ms * 1e6 / 5 */
static uint64_t fifth_ns(uint64_t ms)
{
	return ms * 200000;
}

bool starved_works(const struct starved *s, pid_t pid, uint64_t now_ms)
{
	uint64_t run_ns;

	return s->at_ms && now_ms > s->at_ms && read_run_ns(pid, &run_ns) &&
	       run_ns - s->run_ns >= fifth_ns(now_ms - s->at_ms);
}

bool starved_look(struct starved *s, pid_t pid, uint64_t now_ms)
{
	const char *behind;
	uint64_t run_ns;
	char stat[512];

	if (!read_run_ns(pid, &run_ns) || !read_proc(pid, "stat", stat, sizeof(stat)))
		return false;
	behind = strrchr(stat, ')');
	if (!behind || behind[1] != ' ')
		return false;
	if (!s->at_ms) {
		s->at_ms = now_ms;
		s->run_ns = run_ns;
		return false;
	}
	return behind[2] == 'R' && now_ms > s->at_ms && run_ns - s->run_ns < fifth_ns(now_ms - s->at_ms);
}
