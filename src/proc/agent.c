/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.c - see agent.h
 */
#include "config.h"

#include "proc/agent.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include "base/env.h"
#include "base/err.h"
#include "net/engine.h"
#include "snmp/manager.h"

#define BEAT_MS 2000u

static struct {
	struct engine     *e;
	struct engine_hook turn;
	struct timer       beat;
	pthread_t          thread;
	_Atomic uint64_t   alive_ms;
} agent;

uint64_t agent_heartbeat_ms(void)
{
	return atomic_load(&agent.alive_ms);
}

static void on_turn(struct engine_hook *h)
{
	(void)h;
	atomic_store(&agent.alive_ms, engine_now_ms(agent.e));
}

/* Only to have a turn now and then. */
static void on_beat(struct timer *t)
{
	FP("agent-beat");
	engine_timer(agent.e, t, BEAT_MS);
}

static void *run(void *arg)
{
	(void)arg;
	prctl(PR_SET_NAME, "fl-agent", 0, 0, 0);
	engine_run(agent.e);
	return NULL;
}

int agent_start(void)
{
	sigset_t all, old;
	int err;

	agent.e = engine_new();
	if (!agent.e)
		return FL_ENOMEM_;
	err = snmp_manager_open(agent.e);
	if (err < 0)
		return err;
	list_init(&agent.turn.link);
	agent.turn.fn = on_turn;
	engine_on_turn(agent.e, &agent.turn);
	timer_init(&agent.beat, on_beat);
	engine_timer(agent.e, &agent.beat, BEAT_MS);
	atomic_store(&agent.alive_ms, env_now_us() / 1000);
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&agent.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}
