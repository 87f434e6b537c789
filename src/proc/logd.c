/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logd.c - see logd.h
 *
 * A plain loop over poll(): woken by the eventfd that writers kick at most every 50 ms, it then looks again
 * every 5 ms until the rings have been empty for a while.
 */
#include "config.h"

#include "proc/logd.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "proc/msg.h"

#define BUSY_MS    5
#define CALM_MS    200         /* after so long without a line it sleeps */
#define IDLE_MS    1000
#define SAY_MS     10000
#define BATCH      2000        /* lines of one slot before others get their turn */
#define BUF        65536
#define STREAMS    4096

struct out {
	int      fd;                   /* -1: none */
	bool     events, is_socket;
	char    *buf;
	size_t   n;
	char     path[128];
	int      err;                  /* why lines were lost */
	uint64_t lost;                 /* lines since it was said last */
	uint64_t said_ms;
};
static struct out *outs[STREAMS];
static struct stat_seg *seg;
static int chan = -1;
static bool alive = true;              /* the channel is open */
static bool complete;                  /* all streams of before are known: lines may be read */

/* Writing --------------------------------------------------------------------------------- */

static unsigned lines_in(const char *p, size_t n)
{
	unsigned lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += p[i] == '\n';
	return lines;
}

/* Said among the events when the file takes lines again, and every 10 s until then. */
static void say_lost(struct out *o, bool recovered)
{
	struct out *to = outs[0];
	uint64_t now = env_now_us() / 1000;
	char line[256], text[512];
	struct sb b;
	int n;

	if (!o->lost || !to || to->fd < 0 || (!recovered && (o == to || now - o->said_ms < SAY_MS)))
		return;
	n = snprintf(line, sizeof(line), "%s: %llu lines lost: %s", o->path, (unsigned long long)o->lost, fl_err_text(o->err));
	sb_init(&b, text, sizeof(text));
	log_format_line(&b, env_wall_us(), LOG_LVL_WARN, "logd", EV_LOG_DROPPED, line, (size_t)n);
	if (env_write(to->fd, b.p, b.n) != (ssize_t)b.n)
		return;
	o->lost = 0;
	o->said_ms = now;
}

/* What a full disk or a slow reader does not take is dropped. */
static void flush(struct out *o)
{
	size_t done = 0;

	if (o->fd < 0) {
		o->n = 0;
		return;
	}
	while (done < o->n) {
		/* journald's socket cannot be opened anew without waiting, as pipes and terminals are. */
		ssize_t w = o->is_socket ? env_send(o->fd, o->buf + done, o->n - done, MSG_DONTWAIT) :
					   env_write(o->fd, o->buf + done, o->n - done);

		if (w <= 0) {
			o->err = w < 0 ? (int)w : -EIO;
			o->lost += lines_in(o->buf + done, o->n - done);
			break;
		}
		done += (size_t)w;
	}
	say_lost(o, done == o->n);
	o->n = 0;
}

static void put(struct out *o, const struct stat_log_rec *r)
{
	char text[9000], who[40];
	struct stat_proc p = { .role = STAT_READER };
	struct sb b;

	if (o->events) {
		sb_init(&b, text, sizeof(text));
		if (!stat_proc_get(seg, r->slot, &p))
			snprintf(who, sizeof(who), "slot%u", r->slot);
		else if (p.role == STAT_WORKER)
			snprintf(who, sizeof(who), "worker@%u", p.core);
		else
			snprintf(who, sizeof(who), "%s", p.role == STAT_CONTROL ? "control" : p.role == STAT_LOGD ? "logd" : "master");
		log_format_line(&b, r->wall_us, (enum log_level)r->level, who, (enum log_ev)r->ev, r->line.p, r->line.n);
	} else {
		sb_init(&b, text, sizeof(text));
		sb_str(&b, r->line);
		if (b.n == 0 || b.p[b.n - 1] != '\n')
			sb_ch(&b, '\n');
	}
	if (o->n + b.n > BUF)
		flush(o);
	memcpy(o->buf + o->n, b.p, b.n);
	o->n += b.n;
}

/* Messages -------------------------------------------------------------------------------- */

static void set_stream(struct msg_in *in)
{
	uint32_t id = in->m.slot;
	int fd = msg_take_fd(in, 0);
	struct stat st;
	struct out *o;

	if (id == STAT_NO_SLOT) {
		complete = true;
		return;
	}
	if (id < STREAMS && !outs[id]) {
		o = env_calloc(1, sizeof(*o));
		if (o)
			o->buf = env_malloc(BUF);
		if (o && o->buf) {
			o->fd = -1;
			outs[id] = o;
		}
	}
	if (id >= STREAMS || !outs[id]) {
		if (fd >= 0)
			env_close(fd);
		return;
	}
	o = outs[id];
	flush(o);
	if (o->fd >= 0)
		env_close(o->fd);
	o->fd = fd;
	o->is_socket = fd >= 0 && env_fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	o->events = in->m.arg != 0;
	snprintf(o->path, sizeof(o->path), "%.127s", in->text);
}

static void read_channel(void)
{
	static struct msg_in in;
	int r = 0;

	while (alive && (r = msg_recv(chan, &in)) == 1) {
		if (in.m.type == MSG_STREAM)
			set_stream(&in);
		msg_in_done(&in);
	}
	alive = alive && r == -EAGAIN;
}

/* Reading the rings ------------------------------------------------------------------------- */

static unsigned sweep(void)
{
	unsigned n = 0;

	for (uint32_t slot = 0; slot < stat_n_slots(seg); slot++) {
		struct stat_log_rec r;

		for (unsigned i = 0; i < BATCH && stat_log_next(seg, slot, &r); i++) {
			n++;
			if (r.stream >= STREAMS)
				continue;
			if (!outs[r.stream])
				read_channel();      /* the master told us before the line was written */
			if (outs[r.stream])
				put(outs[r.stream], &r);
		}
	}
	for (unsigned i = 0; i < STREAMS; i++)
		if (outs[i] && outs[i]->n)
			flush(outs[i]);
	if (n)
		stat_log_written(seg);
	return n;
}

static void run(const struct helper_start *s)
{
	uint64_t last_line = 0;

	chan = s->chan_fd;
	stat_log_batch(seg);
	while (alive) {
		uint64_t now = env_now_us() / 1000, seen;
		struct pollfd p[2] = {
			{ .fd = s->chan_fd, .events = POLLIN }, { .fd = s->wake_fd, .events = POLLIN },
		};

		stat_heartbeat(seg, now);
		if (poll(p, 2, now - last_line < CALM_MS ? BUSY_MS : IDLE_MS) < 0)
			continue;
		if (p[1].revents & POLLIN)
			(void)!env_read(s->wake_fd, &seen, sizeof(seen));
		if (p[0].revents)
			read_channel();
		if (complete && sweep())
			last_line = env_now_us() / 1000;
	}
	while (complete && sweep())
		;
}

void logd_main(const struct helper_start *s)
{
	int keep[2] = { s->chan_fd, s->wake_fd }, err;

	sandbox_child("fl-logd");
	log_set_who("logd");
	seg = s->seg;
	err = stat_become(seg, STAT_LOGD, stat_slot_of(seg, STAT_LOGD), 0, 0);
	sandbox_close_others(keep, 2);
	if (!err)
		err = sandbox_enter(SANDBOX_LOGD, &s->ids);
	if (err) {
		log_ev(EV_PROCESS_EXIT, "logd cannot start: %s", fl_err_text(err));
		_exit(3);
	}
	run(s);
	_exit(0);
}
