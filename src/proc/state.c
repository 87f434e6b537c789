/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c - the master's state as text lines and descriptors (state_take.c makes a master from them)
 *
 * A line that begins with + has a descriptor, one with - has none:
 *
 *	-master GENERATION RELOADS FAILURES DRAIN-GENERATIONS CORES MAX-OBJECTS
 *	+seg I                        +listen CORE V6ONLY ADDRESS     +http ADDRESS     -shared ADDRESS
 *	                              +udp CORE V6ONLY ADDRESS      +rss-socks UDP ADDRESS   +rss-data UDP ADDRESS
 *	                              each of these ADDRESS (but http's) with " DEVICE" behind it when bound to one
 *	+image GEN  +public GEN  +manifest GEN                        of the current generation
 *	+worker SLOT CORE GEN PID STATE                               our end of its channel
 *	+gen GEN PID   +control PID   +logd PID                       likewise
 *	+ctl PATH  +adopt PATH  +wake-control  +wake-logd  +mail SLOT  +box CORE END  +tickets MADE-MS  -stream ID PATH
 *	+sums   +sums-pending                                         binary upgrade only, see sums.c
 *
 * Two uses: the current gen keeps a copy of all (MSG_KEEP) for the day this process dies, and hands it to the
 * next master through adopt.sock; and a binary upgrade passes it to its own next image through exec. Either way the new
 * master takes the old workers as they are and then reloads, so that they are replaced without loss.
 * Control and logd are replaced at once: nobody waits for them.
 *
 * A segment of another layout is not taken: the workers of before then end in their old one, unseen; what they had counted
 * until exec comes along as text (F35).
 */
#include "config.h"

#include "proc/state.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"

/* Writing --------------------------------------------------------------------------------- */

typedef void line_fn(void *ctx, const char *line, int fd);

static int tickets_fd(const struct master *m)
{
	int fd = env_memfd("fairlead-tickets", false);

	if (fd >= 0 && env_write(fd, m->tickets.key, sizeof(m->tickets.key)) != (ssize_t)sizeof(m->tickets.key)) {
		env_close(fd);
		return -1;
	}
	return fd;
}

static void each_proc(struct master *m, line_fn *fn, void *ctx, bool with_gen)
{
	char line[STATE_LINE_MAX];

	LIST_FOREACH(it, &m->procs) {
		const struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (!p->pid || !chan_is_open(&p->chan))
			continue;
		if (p->role == PROC_WORKER)
			snprintf(line, sizeof(line), "+worker %u %u %u %d %u", p->foreign ? STAT_NO_SLOT : p->slot, p->core,
				 p->generation, (int)p->pid, p->state);
		else if (p->role == PROC_GEN && with_gen && m->cur && p->g == m->cur)
			snprintf(line, sizeof(line), "+gen %u %d", p->generation, (int)p->pid);
		else if (p->role == PROC_CONTROL || p->role == PROC_LOGD)
			snprintf(line, sizeof(line), "+%s %d", p->role == PROC_LOGD ? "logd" : "control", (int)p->pid);
		else
			continue;
		fn(ctx, line, p->chan.w.fd);
	}
}

/* What tells a socket from the others of its protocol: address, and device if it is bound to one. */
static void place_text(const struct sock *s, char *out, size_t n)
{
	char text[ADDR_TEXT_MAX];

	snprintf(out, n, "%s%s%s", addr_text(&s->addr, text), s->device ? " " : "", s->device ? s->device : "");
}

static void each_socket(struct master *m, line_fn *fn, void *ctx)
{
	char line[STATE_LINE_MAX], text[ADDR_TEXT_MAX + 32];

	for (unsigned i = 0; i < m->n_socks; i++) {
		place_text(&m->socks[i], text, sizeof(text));
		for (unsigned c = 0; c < m->cores; c++) {
			if (m->socks[i].fd[c] < 0)
				continue;
			snprintf(line, sizeof(line), "+%s %u %d %s", m->socks[i].udp ? "udp" : "listen", c, m->socks[i].v6only,
				 text);
			fn(ctx, line, m->socks[i].fd[c]);
		}
		snprintf(line, sizeof(line), "+rss-socks %d %s", m->socks[i].udp, text);
		fn(ctx, line, m->socks[i].rss_socks);
		snprintf(line, sizeof(line), "+rss-data %d %s", m->socks[i].udp, text);
		fn(ctx, line, m->socks[i].rss_data);
		snprintf(line, sizeof(line), "-shared %s", text);
		if (m->socks[i].shared && !m->socks[i].udp)
			fn(ctx, line, -1);
	}
	if (m->http_fd >= 0) {
		snprintf(line, sizeof(line), "+http %s", addr_text(&m->http_addr, text));
		fn(ctx, line, m->http_fd);
	}
	snprintf(line, sizeof(line), "+ctl %s", m->ctl_path);
	fn(ctx, line, m->ctl_fd);
	snprintf(line, sizeof(line), "+adopt %s", m->adopt_path);
	fn(ctx, line, m->adopt_fd);
	fn(ctx, "+wake-control", m->wake_control);
	fn(ctx, "+wake-logd", m->wake_logd);
	for (unsigned i = 0; i < m->n_mail; i++) {
		snprintf(line, sizeof(line), "+mail %u", i);
		fn(ctx, line, m->mail_fd[i]);
	}
	for (unsigned i = 0; i < 2 * m->n_box; i++) {
		snprintf(line, sizeof(line), "+box %u %u", i / 2, i % 2);
		fn(ctx, line, m->box_fd[i]);
	}
}

/* Workers of before write to the ids that they were given. */
static void each_streams(struct master *m, line_fn *fn, void *ctx)
{
	char line[STATE_LINE_MAX];

	for (unsigned i = 0; i < m->n_streams; i++) {
		const struct stream *s = &m->streams[i];

		if (s->fd >= 0 && snprintf(line, sizeof(line), "-stream %u %s", i, s->path) < (int)sizeof(line))
			fn(ctx, line, -1);
	}
}

static void each_line(struct master *m, line_fn *fn, void *ctx, bool with_gen, int keys)
{
	const struct generation *g = m->cur;
	char line[STATE_LINE_MAX];

	snprintf(line, sizeof(line), "-master %u %u %u %u %u %u", m->last_generation, m->n_reloads, m->n_failures,
		 m->drain_generations, m->cores, m->max_objects);
	fn(ctx, line, -1);
	for (unsigned i = 0; i < stat_fd_count(m->seg); i++) {
		snprintf(line, sizeof(line), "+seg %u", i);
		fn(ctx, line, stat_fds(m->seg)[i]);
	}
	snprintf(line, sizeof(line), "+image %u", g->num);
	fn(ctx, line, g->image);
	snprintf(line, sizeof(line), "+public %u", g->num);
	fn(ctx, line, g->image_public);
	snprintf(line, sizeof(line), "+manifest %u", g->num);
	fn(ctx, line, g->man_fd);
	each_socket(m, fn, ctx);
	each_streams(m, fn, ctx);
	each_proc(m, fn, ctx, with_gen);
	if (keys >= 0) {
		snprintf(line, sizeof(line), "+tickets %llu", (unsigned long long)m->tickets.made_ms);
		fn(ctx, line, keys);
	}
}

/* Keeping gen up to date ------------------------------------------------------------------- */

struct sync {
	struct master *m;
	struct map    *now;
};

static void sync_line(void *ctx, const char *line, int fd)
{
	struct sync *s = ctx;
	struct msg m = { .type = MSG_KEEP };
	char *known = s->m->kept ? map_get(s->m->kept, str_c(line)) : NULL;

	if (fd < 0 && line[0] == '+')
		return;
	if (known) {
		(void)map_del(s->m->kept, str_c(known));
	} else {
		known = env_strdup(line);
		if (!known)
			return;
		(void)chan_send(&s->m->cur->gen->chan, &m, line, strlen(line), &fd, fd >= 0);
	}
	if (map_add(s->now, str_c(known), known) != 0)
		env_free(known);
}

/* Lines that are not true any more are dropped; NULL forgets what we think gen has. */
static void drop_rest(struct master *m, struct chan *c)
{
	struct msg msg = { .type = MSG_DROP };
	size_t it = 0;
	void *line;

	while (m->kept && map_next(m->kept, &it, NULL, &line)) {
		if (c)
			(void)chan_send(c, &msg, line, strlen(line), NULL, 0);
		env_free(line);
	}
	if (m->kept)
		map_free(&m->kept);
}

void state_forget(struct master *m)
{
	drop_rest(m, NULL);
}

void state_sync(struct master *m)
{
	struct sync s = { .m = m };
	int keys;

	if (!m->cur || !m->cur->gen || !m->cur->gen_ready || m->stopping)
		return;
	s.now = map_new(NULL, false);
	if (!s.now)
		return;
	keys = tickets_fd(m);
	each_line(m, sync_line, &s, false, keys);
	if (keys >= 0)
		env_close(keys);
	drop_rest(m, &m->cur->gen->chan);
	m->kept = s.now;
}

/* Binary upgrade --------------------------------------------------------------------------- */

static void keep_open(void *ctx, const char *line, int fd)
{
	if (fd < 0 && line[0] == '+')
		return;
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, 0);
	sb_fmt(ctx, "%d %s\n", fd, line);
}

static void close_again(void *ctx, const char *line, int fd)
{
	(void)ctx;
	(void)line;
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void state_exec(struct master *m)
{
	sigset_t all, before;
	char number[16];
	struct sb text;
	int fd, keys, sums, pending;

	if (m->next) {
		log_ev(EV_RELOAD_FAILED, "binary upgrade: a reload is under way; try again");
		return;
	}
	/* It is known before anything is given up for it. */
	if (strchr(m->launch->argv[0], '/') && access(m->launch->argv[0], X_OK) != 0) {
		log_ev(EV_RELOAD_FAILED, "binary upgrade: %s: %s; this program goes on", m->launch->argv[0], fl_err_text(-errno));
		return;
	}
	sb_init_heap(&text);
	keys = tickets_fd(m);
	/* The next image replaces it anyhow. Nobody must have seen more than what comes along. */
	if (m->control)
		proc_kill(m->control, SIGKILL);
	sums = sums_export(m);
	pending = sums_pending(m);
	each_line(m, keep_open, &text, true, keys);
	keep_open(&text, "+sums", sums);
	keep_open(&text, "+sums-pending", pending);
	fd = env_memfd("fairlead-state", false);
	if (fd >= 0 && !text.over && env_write(fd, text.p, text.n) == (ssize_t)text.n) {
		(void)fcntl(fd, F_SETFD, 0);
		snprintf(number, sizeof(number), "%d", fd);
		(void)setenv(STATE_ENV, number, 1);
		log_ev(EV_START, "binary upgrade: executing %s", m->launch->argv[0]);
		/* a signal between the two images must wait, not kill */
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, &before);
		cpus_release();
		(void)execvp(m->launch->argv[0], m->launch->argv);
		sigprocmask(SIG_SETMASK, &before, NULL);
		log_ev(EV_RELOAD_FAILED, "binary upgrade: %s: %s; this program goes on", m->launch->argv[0], fl_err_text(-errno));
		(void)unsetenv(STATE_ENV);
	}
	each_line(m, close_again, NULL, true, -1);
	if (keys >= 0)
		env_close(keys);
	if (sums >= 0)
		env_close(sums);
	if (pending >= 0)
		env_close(pending);
	if (fd >= 0)
		env_close(fd);
	sb_free(&text);
}
