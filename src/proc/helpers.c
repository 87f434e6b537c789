/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helpers.c - control and logd: forked from the master, replaced whenever they end
 */
#include "config.h"

#include "proc/master.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "proc/control.h"
#include "proc/logd.h"

static void got(struct chan *c, struct msg_in *in)
{
	struct proc *p = FL_CONTAINER_OF(c, struct proc, chan);

	if (p->role == PROC_CONTROL && in->m.type == MSG_CALL)
		call_received(p->m, in);
}

static void gone(struct chan *c)
{
	chan_close(c);
}

FL_NORETURN static void child(struct master *m, enum proc_role role, int fd)
{
	struct helper_start s = {
		.seg = m->seg, .ids = m->ids, .chan_fd = fd, .ctl_fd = role == PROC_CONTROL ? m->ctl_fd : -1,
		.wake_fd = role == PROC_CONTROL ? m->wake_control : m->wake_logd, .wake_logd = m->wake_logd,
	};

	log_set_sink(NULL, NULL);
	/* not theirs, and they talk to people */
	explicit_bzero(&m->tickets, sizeof(m->tickets));
	if (m->cur && m->cur->man)
		explicit_bzero(m->cur->man->keys, sizeof(m->cur->man->keys));
	if (role == PROC_CONTROL)
		control_main(&s);
	logd_main(&s);
}

int helper_fork(struct master *m, enum proc_role role)
{
	struct proc *p = proc_new(m, role);
	sigset_t all, before;
	int fd[2], err;
	pid_t pid;

	if (!p)
		return FL_ENOMEM_;
	p->slot = stat_slot_of(m->seg, role == PROC_CONTROL ? STAT_CONTROL : STAT_LOGD);
	err = env_socketpair(SOCK_SEQPACKET, fd);
	if (err < 0) {
		proc_free(p);
		return err;
	}
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	pid = fork();
	if (pid == 0)
		child(m, role, fd[1]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	env_close(fd[1]);
	if (pid < 0 || (err = proc_watch(p, pid)) < 0) {
		err = pid < 0 ? -errno : err;
		env_close(fd[0]);
		proc_free(p);
		return err;
	}
	p->state = ST_PROC_RUNNING;
	stat_proc_set(m->seg, p->slot, ST_PROC_STARTING, (uint32_t)pid, 0, 0);
	stat_proc_set(m->seg, p->slot, ST_PROC_RUNNING, (uint32_t)pid, 0, 0);
	err = chan_open(&p->chan, m->engine, fd[0], got, gone);
	if (role == PROC_CONTROL) {
		m->control = p;
		helper_send_config(m);
	} else {
		m->logd = p;
		streams_send_all(m);
	}
	return err;
}

void helper_send_config(struct master *m)
{
	struct msg msg = { .type = MSG_CONFIG };
	int fd[2];
	char text[32];

	if (!m->control || !m->cur || m->cur->image_public < 0 || m->sums_first)
		return;
	msg.generation = m->cur->num;
	msg.slot = m->http_fd >= 0;
	fd[0] = m->cur->image_public;
	fd[1] = m->http_fd;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)m->cur->man->consolidate_us);
	(void)chan_send(&m->control->chan, &msg, text, strlen(text), fd, 1 + msg.slot);
}

void helper_tick(struct master *m)
{
	if (master_now_ms(m) < m->hold_until_ms)
		return;
	if (!m->control && helper_fork(m, PROC_CONTROL) == 0)
		state_sync(m);
	if (!m->logd && helper_fork(m, PROC_LOGD) == 0)
		state_sync(m);
}
