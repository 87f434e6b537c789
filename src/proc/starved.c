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

bool starved_look(struct starved *s, pid_t pid, uint64_t now_ms)
{
	char stat[512], sched[128];
	struct str rest, first;
	const char *behind;
	uint64_t run_ns;

	if (!read_proc(pid, "schedstat", sched, sizeof(sched)) || !read_proc(pid, "stat", stat, sizeof(stat)))
		return false;
	rest = str_c(sched);
	first = str_cut(&rest, ' ');
	behind = strrchr(stat, ')');
	if (!str_u64(first, &run_ns) || !behind || behind[1] != ' ')
		return false;
	if (!s->at_ms) {
		s->at_ms = now_ms;
		s->run_ns = run_ns;
		return false;
	}
	/* A fifth of the time that has passed: ms * 1e6 / 5. */
	return behind[2] == 'R' && now_ms > s->at_ms && run_ns - s->run_ns < (now_ms - s->at_ms) * 200000;
}
