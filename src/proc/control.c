/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c - see control.h
 *
 * Four threads: this one reads the channel to the master; the consolidator folds on a timer of its own; the admin
 * thread (admin/) serves people; the agent thread (agent.c) talks to other machines. While nothing is counted anywhere the
 * consolidator sleeps on the eventfd that a worker kicks with its first dirty row. Workers tell their figures at
 * multiples of the interval, it folds half an interval later, all by one clock (doc/decisions/010-consolidator.md).
 */
#include "config.h"

#include "proc/control.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "proc/agent.h"
#include "proc/msg.h"

#define QUIET_CYCLES 3u       /* folds without a row before it sleeps */
#define IDLE_MS      900      /* below half of what the master waits for */
#define SOON_MS      1        /* to the next fold while there is something left for it */
#define KICK_MS      50
#define SILENT_MS    10000     /* an admin or agent thread that is silent for so long takes the process down */

static struct {
	const struct helper_start *start;
	struct stat_seg *seg;
	_Atomic uint64_t interval_us;
	pthread_mutex_t  lock;             /* of the call below, and of the log */
	pthread_cond_t   answered;
	uint64_t         call;             /* number of the call that waits, 0: none */
	uint64_t         last_call;
	bool             done;
	int              rc;
	struct sb       *reply;
	uint64_t         log_kicked_ms;
} ctl = { .interval_us = 2000, .lock = PTHREAD_MUTEX_INITIALIZER };

/* Consolidator ----------------------------------------------------------------------------- */

static struct timespec from_us(uint64_t us)
{
	return (struct timespec){ (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };
}

/* At odd halves of the interval: the flushes of the workers are at its multiples. */
static void arm(int timer, uint64_t interval_us)
{
	uint64_t now = env_now_us(), half = interval_us / 2;
	struct itimerspec its = {
		.it_interval = from_us(interval_us),
		.it_value = from_us((now - half) / interval_us * interval_us + half + interval_us),
	};

	(void)timerfd_settime(timer, TFD_TIMER_ABSTIME, &its, NULL);
}

static void drain(int fd)
{
	uint64_t seen;

	(void)!env_read(fd, &seen, sizeof(seen));
}

/* Nothing changes: until somebody counts, or until rates have to fall. */
static void sleep_until_kicked(void)
{
	struct pollfd p = { .fd = ctl.start->wake_fd, .events = POLLIN };
	uint64_t now = env_now_us() / 1000, due = stat_consolidate_due_ms(ctl.seg);
	int wait = due > now ? (int)FL_MIN(due - now, (uint64_t)IDLE_MS) : SOON_MS;

	if (poll(&p, 1, wait) > 0)
		drain(p.fd);
}

/* Until the clock says so, or a worker wants a fold before, or what is left of a slot that went must not wait. */
static void wait_tick(int timer)
{
	struct pollfd p[2] = { { .fd = timer, .events = POLLIN }, { .fd = ctl.start->wake_fd, .events = POLLIN } };
	int wait = stat_consolidate_due_ms(ctl.seg) ? IDLE_MS : SOON_MS;
	uint64_t ticks = 0;

	while (poll(p, 2, wait) > 0) {
		if (p[0].revents) {
			if (env_read(timer, &ticks, sizeof(ticks)) == sizeof(ticks) && ticks > 1)
				stat_cycles_missed(ctl.seg, ticks - 1);
			return;
		}
		drain(p[1].fd);
		if (stat_early_wanted(ctl.seg))
			return;
	}
}

static void *consolidate(void *arg)
{
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	uint64_t armed = 0;
	unsigned quiet = 0;

	(void)arg;
	prctl(PR_SET_NAME, "fl-consolidate", 0, 0, 0);
	for (;;) {
		uint64_t now = env_now_us() / 1000, interval = ctl.interval_us;

		stat_heartbeat(ctl.seg, now);
		quiet = stat_consolidate(ctl.seg, now) ? 0 : quiet + 1;
		if (quiet > QUIET_CYCLES || timer < 0) {
			sleep_until_kicked();
			armed = 0;
			continue;
		}
		if (armed != interval)
			arm(timer, interval);
		armed = interval;
		wait_tick(timer);
	}
	return NULL;
}

/* Calls to the master ---------------------------------------------------------------------- */

/* In the admin thread; one at a time. */
static int call_master(void *ctx, const char *line, struct sb *reply, unsigned timeout_ms)
{
	struct msg m = { .type = MSG_CALL };
	uint64_t end_ns = env_now_ns() + (uint64_t)timeout_ms * 1000000;
	struct timespec until = { (time_t)(end_ns / 1000000000), (long)(end_ns % 1000000000) };
	int rc = FL_ETIMEOUT_;

	(void)ctx;
	pthread_mutex_lock(&ctl.lock);
	m.arg = ctl.call = ++ctl.last_call;
	ctl.done = false;
	ctl.reply = reply;
	if (msg_send(ctl.start->chan_fd, &m, line, strlen(line), NULL, 0) != 0)
		rc = FL_EDEAD_;
	else
		while (!ctl.done && pthread_cond_timedwait(&ctl.answered, &ctl.lock, &until) == 0)
			;
	if (ctl.done)
		rc = ctl.rc;
	ctl.call = 0;
	ctl.reply = NULL;
	pthread_mutex_unlock(&ctl.lock);
	return rc;
}

static void on_reply(const struct msg_in *in)
{
	pthread_mutex_lock(&ctl.lock);
	if (ctl.call && in->m.arg == ctl.call) {
		if (ctl.reply)
			sb_add(ctl.reply, in->text, in->n);
		ctl.rc = (int)in->m.core;
		ctl.done = true;
		pthread_cond_signal(&ctl.answered);
	}
	pthread_mutex_unlock(&ctl.lock);
}

static void on_config(struct msg_in *in)
{
	int image = msg_take_fd(in, 0), http = in->m.slot ? msg_take_fd(in, 1) : -1;
	uint64_t us;

	if (str_u64(str_n(in->text, in->n), &us) && us >= 50)
		ctl.interval_us = us;
	admin_set_config(image, in->m.generation, http);
}

/* The channel ------------------------------------------------------------------------------ */

static void log_line(void *ctx, enum log_level lvl, enum log_ev ev, const char *line, size_t n)
{
	static const uint64_t one = 1;
	uint64_t now = env_now_us() / 1000;

	(void)ctx;
	(void)stat_log_put(ctl.seg, 0, lvl, ev, env_wall_us(), line, n);
	if (now - ctl.log_kicked_ms < KICK_MS)
		return;
	ctl.log_kicked_ms = now;
	(void)!env_write(ctl.start->wake_logd, &one, sizeof(one));
}

/* A thread that hangs cannot be replaced alone: the master starts another process. */
static void watch_thread(const char *name, uint64_t beat_ms)
{
	uint64_t now = env_now_us() / 1000;

	if (!beat_ms || now <= beat_ms + SILENT_MS)
		return;
	log_ev(EV_PROCESS_EXIT, "control ends: its thread %s is silent for %llu ms", name,
	       (unsigned long long)(now - beat_ms));
	_exit(4);
}

FL_NORETURN static void serve(int chan)
{
	static struct msg_in in;

	for (;;) {
		int r;

		watch_thread("admin", admin_heartbeat_ms());
		watch_thread("agent", agent_heartbeat_ms());
		if (!msg_wait(chan, 1000))
			continue;
		r = msg_recv(chan, &in);
		if (r == 0 || (r < 0 && r != -EAGAIN))
			_exit(0);
		if (r != 1)
			continue;
		if (in.m.type == MSG_REPLY)
			on_reply(&in);
		else if (in.m.type == MSG_CONFIG)
			on_config(&in);
		msg_in_done(&in);
	}
}

void control_main(const struct helper_start *s)
{
	int keep[4] = { s->chan_fd, s->ctl_fd, s->wake_fd, s->wake_logd };
	struct admin_env env = { .ctl_fd = s->ctl_fd, .call = call_master };
	pthread_condattr_t attr;
	pthread_t t;
	int err;

	sandbox_child("fl-control");
	log_set_who("control");
	ctl.start = s;
	ctl.seg = env.seg = s->seg;
	err = stat_become(ctl.seg, STAT_CONTROL, stat_slot_of(ctl.seg, STAT_CONTROL), 0, 0);
	sandbox_close_others(keep, 4);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ctl.answered, &attr);
	if (!err)
		err = sandbox_enter(SANDBOX_CONTROL, &s->ids);
	log_set_sink(log_line, NULL);
	if (!err && pthread_create(&t, NULL, consolidate, NULL) != 0)
		err = FL_ENOMEM_;
	if (!err)
		err = agent_start();
	if (!err)
		err = admin_start(&env);
	if (err) {
		log_ev(EV_PROCESS_EXIT, "control cannot start: %s", fl_err_text(err));
		_exit(3);
	}
	serve(s->chan_fd);
}
