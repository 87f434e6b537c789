/* SPDX-License-Identifier: Apache-2.0 */
/*
 * streams.c - log files: opened here, written by logd
 *
 * A stream id is given to a path once in the life of the master and never to another one, so lines of workers of any
 * generation find their file. Id 0 is the events.
 */
#include "config.h"

#include "proc/master.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"

#define STREAMS_MAX 4096u        /* as logd has it */

/* A pipe or terminal that nobody reads must not stop logd, and with it all other logs. Whether writing waits belongs to
 * the opened file, which we share with whoever started us: so it is opened once more. */
static int open_std(int std)
{
	char path[32];
	struct stat st;
	int fd = -ENOTSUP;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", std);
	if (env_fstat(std, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		fd = env_open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0)
		fd = fcntl(std, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

static int open_path(const char *path)
{
	if (strcmp(path, "stderr") == 0 || strcmp(path, "stdout") == 0)
		return open_std(path[3] == 'e' ? STDERR_FILENO : STDOUT_FILENO);
	/* O_NONBLOCK: a FIFO that nobody reads is refused instead of waited for */
	return env_open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0640);
}

static void send_one(struct master *m, uint32_t id)
{
	struct msg msg = { .type = MSG_STREAM, .slot = id, .arg = id == 0 };
	const struct stream *s = &m->streams[id];

	if (m->logd && s->path)
		(void)chan_send(&m->logd->chan, &msg, s->path, strlen(s->path), &s->fd, s->fd >= 0);
}

void streams_send_all(struct master *m)
{
	struct msg end = { .type = MSG_STREAM, .slot = STAT_NO_SLOT };

	for (uint32_t i = 0; i < m->n_streams; i++)
		send_one(m, i);
	if (m->logd)
		(void)chan_send(&m->logd->chan, &end, NULL, 0, NULL, 0);
}

static int set_path(struct master *m, uint32_t id, const char *path)
{
	struct stream *s = &m->streams[id];
	int fd = open_path(path);
	char *copy;

	if (fd < 0)
		return fd;
	copy = env_strdup(path);
	if (!copy) {
		env_close(fd);
		return FL_ENOMEM_;
	}
	if (s->fd >= 0)
		env_close(s->fd);
	env_free(s->path);
	*s = (struct stream){ .path = copy, .fd = fd };
	send_one(m, id);
	return 0;
}

static int add(struct master *m, uint32_t *id)
{
	struct stream *p = env_realloc(m->streams, (m->n_streams + 1) * sizeof(*p));

	if (!p)
		return FL_ENOMEM_;
	m->streams = p;
	*id = m->n_streams++;
	p[*id] = (struct stream){ .fd = -1 };
	return 0;
}

int streams_id(struct master *m, const char *path, uint32_t *id)
{
	int err;

	for (uint32_t i = 1; i < m->n_streams; i++)
		if (m->streams[i].path && strcmp(m->streams[i].path, path) == 0) {
			*id = i;
			return m->streams[i].fd >= 0 ? 0 : set_path(m, i, path);
		}
	if (m->n_streams == 0 && (err = add(m, id)) < 0)       /* 0 is the events' */
		return err;
	err = add(m, id);
	if (err)
		return err;
	err = set_path(m, *id, path);
	if (err)
		m->n_streams--;
	return err;
}

int streams_events(struct master *m, const char *path)
{
	uint32_t id;

	if (m->n_streams == 0 && add(m, &id) < 0)
		return FL_ENOMEM_;
	if (m->streams[0].path && m->streams[0].fd >= 0 && strcmp(m->streams[0].path, path) == 0)
		return 0;
	return set_path(m, 0, path);
}

/* Opened anew: a descriptor that was kept might be of a file that has been renamed since. */
void streams_take(struct master *m, uint32_t id, const char *path)
{
	uint32_t last;

	if (id >= STREAMS_MAX)
		return;
	while (m->n_streams <= id)
		if (add(m, &last) < 0)
			return;
	if (!m->streams[id].path)
		(void)set_path(m, id, path);
}

static bool logs_to(const struct generation *g, const char *path)
{
	for (unsigned i = 0; g && g->man && i < g->man->n_logs; i++)
		if (strcmp(g->man->logs[i], path) == 0)
			return true;
	return false;
}

/* The id stays the path's; the file is let go when no generation writes to it any more. */
void streams_sweep(struct master *m)
{
	for (uint32_t i = 1; i < m->n_streams; i++) {
		struct stream *s = &m->streams[i];
		bool used = s->fd < 0 || logs_to(m->cur, s->path) || logs_to(m->next, s->path);

		LIST_FOREACH(it, &m->old)
			used |= logs_to(LIST_ENTRY(it, struct generation, link), s->path);
		if (used)
			continue;
		env_close(s->fd);
		s->fd = -1;
		send_one(m, i);
	}
}

void streams_reopen(struct master *m)
{
	for (uint32_t i = 0; i < m->n_streams; i++) {
		struct stream *s = &m->streams[i];
		int fd = s->fd >= 0 ? open_path(s->path) : -1;

		if (fd < 0)
			continue;          /* the old one is better than none */
		if (s->fd >= 0)
			env_close(s->fd);
		s->fd = fd;
		send_one(m, i);
	}
}
