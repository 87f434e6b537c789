/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.c - questions to the master, one at a time, in a thread of their own
 *
 * A reload takes as long as the configuration is large; metrics and status are answered meanwhile.
 * The thread touches nothing but the question it was given. Answers are collected by the admin
 * thread, woken over a pipe.
 */
#include "config.h"

#include "admin/inside.h"

#include <pthread.h>

#include "base/env.h"
#include "base/err.h"

static struct {
	struct admin_env env;
	int              wake_fd;
	pthread_t        thread;
	pthread_mutex_t  lock;
	pthread_cond_t   more;
	struct list      waiting, answered;
} asks = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };

static void *run(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&asks.lock);
	for (;;) {
		struct list *n = list_pop(&asks.waiting);
		struct ask *a;

		if (!n) {
			pthread_cond_wait(&asks.more, &asks.lock);
			continue;
		}
		a = LIST_ENTRY(n, struct ask, link);
		pthread_mutex_unlock(&asks.lock);
		a->rc = a->line.over ? FL_ENOMEM_
				     : asks.env.call(asks.env.call_ctx, a->line.p, &a->reply,
						     a->timeout_ms);
		pthread_mutex_lock(&asks.lock);
		list_append(&asks.answered, &a->link);
		if (env_write(asks.wake_fd, "a", 1) < 0) {
			/* the pipe is full: it wakes the reader anyhow */
		}
	}
	return NULL;
}

int ask_start(const struct admin_env *env, int wake_fd)
{
	list_init(&asks.waiting);
	list_init(&asks.answered);
	asks.env = *env;
	asks.wake_fd = wake_fd;
	return -pthread_create(&asks.thread, NULL, run, NULL);
}

struct ask *ask_new(void (*done)(struct ask *a), void *ctx)
{
	struct ask *a = env_calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	list_init(&a->link);
	sb_init_heap(&a->line);
	sb_init_heap(&a->reply);
	a->done = done;
	a->ctx = ctx;
	return a;
}

void ask_free(struct ask *a)
{
	sb_free(&a->line);
	sb_free(&a->reply);
	env_free(a);
}

void ask_post(struct ask *a)
{
	pthread_mutex_lock(&asks.lock);
	list_append(&asks.waiting, &a->link);
	pthread_cond_signal(&asks.more);
	pthread_mutex_unlock(&asks.lock);
}

void ask_collect(void)
{
	for (;;) {
		struct list *n;

		pthread_mutex_lock(&asks.lock);
		n = list_pop(&asks.answered);
		pthread_mutex_unlock(&asks.lock);
		if (!n)
			return;
		LIST_ENTRY(n, struct ask, link)->done(LIST_ENTRY(n, struct ask, link));
	}
}
