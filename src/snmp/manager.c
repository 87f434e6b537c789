/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager.c - see manager.h: jobs on their way in and out; the work itself is poll.c's
 */
#include "config.h"

#include "snmp/manager.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/env.h"
#include "base/err.h"
#include "snmp/poll.h"

static struct {
	struct engine      *e;
	int                 wake[2];
	struct engine_watch watch;
	struct list         active;          /* struct snmp_poll; the agent thread's */
	unsigned            n_active;
	/* shared */
	pthread_mutex_t     lock;
	bool                is_open;
	struct list         waiting;         /* struct snmp_job */
	unsigned            n_waiting;
} mgr = { .wake = { -1, -1 }, .lock = PTHREAD_MUTEX_INITIALIZER };

const char *const snmp_auths[] = { "MD5", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512", NULL };
const char *const snmp_privs[] = { "DES", "AES", "AES-192", "AES-256", NULL };

const char *snmp_known(const char *const *table, struct str word)
{
	for (; *table; table++)
		if (str_ieq(str_c(*table), word))
			return *table;
	return NULL;
}

/* Jobs ------------------------------------------------------------------------------------- */

struct snmp_job *snmp_job_new(void)
{
	struct snmp_job *j = env_calloc(1, sizeof(*j));

	if (j)
		list_init(&j->link);
	return j;
}

void snmp_job_free(struct snmp_job *j)
{
	if (!j)
		return;
	for (unsigned i = 0; i < j->n; i++)
		snmp_value_clear(&j->row[i].value);
	env_free(j->row);
	explicit_bzero(&j->q, sizeof(j->q));
	env_free(j);
}

void snmp_job_fail(struct snmp_job *j, const char *reason, const char *fmt, ...)
{
	va_list ap;

	if (j->reason)                   /* the first one is the cause */
		return;
	j->reason = reason;
	va_start(ap, fmt);
	(void)vsnprintf(j->why, sizeof(j->why), fmt, ap);
	va_end(ap);
}

/* Answers ---------------------------------------------------------------------------------- */

void snmp_home_init(struct snmp_home *h, int wake_fd)
{
	pthread_mutex_init(&h->lock, NULL);
	list_init(&h->answered);
	h->wake_fd = wake_fd;
}

void snmp_home_collect(struct snmp_home *h)
{
	for (;;) {
		struct list *n;

		pthread_mutex_lock(&h->lock);
		n = list_pop(&h->answered);
		pthread_mutex_unlock(&h->lock);
		if (!n)
			return;
		LIST_ENTRY(n, struct snmp_job, link)->done(LIST_ENTRY(n, struct snmp_job, link));
	}
}

static void give_back(struct snmp_job *j)
{
	struct snmp_home *h = j->home;

	if (!h) {
		j->done(j);
		return;
	}
	pthread_mutex_lock(&h->lock);
	list_append(&h->answered, &j->link);
	pthread_mutex_unlock(&h->lock);
	if (env_write(h->wake_fd, "s", 1) < 0) {
		/* the pipe is full: a byte that wakes its reader is in it */
	}
}

/* Work ------------------------------------------------------------------------------------- */

/* The library knows one set of keys for a user of an engine: other keys for the same name wait until it is free, as which
 * engine answers at an address is known too late. */
static bool must_wait(const struct snmp_query *q)
{
	LIST_FOREACH(it, &mgr.active) {
		const struct snmp_query *a = &LIST_ENTRY(it, struct snmp_poll, link)->job->q;

		if (q->version == 3 && a->version == 3 && strcmp(q->user, a->user) == 0 &&
		    (q->auth != a->auth || q->priv != a->priv || strcmp(q->auth_pass, a->auth_pass) != 0 ||
		     strcmp(q->priv_pass, a->priv_pass) != 0))
			return true;
	}
	return false;
}

/* The next one that may begin; those that must wait keep their place. */
static struct snmp_job *next_job(void)
{
	struct snmp_job *found = NULL;

	pthread_mutex_lock(&mgr.lock);
	LIST_FOREACH(it, &mgr.waiting) {
		struct snmp_job *j = LIST_ENTRY(it, struct snmp_job, link);

		if (must_wait(&j->q))
			continue;
		found = j;
		list_del(&j->link);
		mgr.n_waiting--;
		break;
	}
	pthread_mutex_unlock(&mgr.lock);
	return found;
}

static void on_ended(struct snmp_poll *p);

static void start_waiting(void)
{
	struct snmp_job *j;

	while (mgr.n_active < SNMP_ACTIVE_MAX && (j = next_job()) != NULL) {
		struct snmp_poll *p = snmp_poll_start(mgr.e, j, on_ended);

		if (!p) {
			give_back(j);
			continue;
		}
		list_append(&mgr.active, &p->link);
		mgr.n_active++;
	}
}

/* The library's user is one of an engine: another poll uses it that has found the same engine. Who still looks for
 * his makes the user himself then. */
static bool user_is_busy(const struct snmp_poll *p)
{
	LIST_FOREACH(it, &mgr.active) {
		const struct snmp_poll *a = LIST_ENTRY(it, struct snmp_poll, link);

		if (a->found && strcmp(a->job->q.user, p->job->q.user) == 0 && a->engine_n == p->engine_n &&
		    memcmp(a->engine, p->engine, p->engine_n) == 0)
			return true;
	}
	return false;
}

static void end(struct snmp_poll *p)
{
	struct snmp_job *j = p->job;

	list_del(&p->link);
	mgr.n_active--;
	snmp_poll_free(p, !user_is_busy(p));
	give_back(j);
}

static void on_ended(struct snmp_poll *p)
{
	end(p);
	start_waiting();
}

static void fail_cancelled(struct snmp_job *j)
{
	snmp_job_fail(j, "cancelled", "nobody waits for the answer any more");
}

/* Those of askers that left take no place, neither in the line nor at work. */
static void drop_waiting(void)
{
	struct list dropped, *n;
	struct snmp_job *j;

	list_init(&dropped);
	pthread_mutex_lock(&mgr.lock);
	LIST_FOREACH_SAFE(it, next, &mgr.waiting) {
		if (!LIST_ENTRY(it, struct snmp_job, link)->cancelled)
			continue;
		list_del(it);
		list_append(&dropped, it);
		mgr.n_waiting--;
	}
	pthread_mutex_unlock(&mgr.lock);
	while ((n = list_pop(&dropped)) != NULL) {
		j = LIST_ENTRY(n, struct snmp_job, link);
		fail_cancelled(j);
		give_back(j);
	}
}

static void drop_active(void)
{
	LIST_FOREACH_SAFE(it, next, &mgr.active) {
		struct snmp_poll *p = LIST_ENTRY(it, struct snmp_poll, link);
		bool cancelled;

		pthread_mutex_lock(&mgr.lock);
		cancelled = p->job->cancelled;
		pthread_mutex_unlock(&mgr.lock);
		if (!cancelled)
			continue;
		fail_cancelled(p->job);
		end(p);
	}
}

static void on_wake(struct engine_watch *w, unsigned events)
{
	char drop[64];

	(void)events;
	while (env_read(w->fd, drop, sizeof(drop)) == (ssize_t)sizeof(drop))
		;
	drop_waiting();
	drop_active();
	start_waiting();
}

int snmp_manager_open(struct engine *e)
{
	int err = env_pipe(mgr.wake, O_NONBLOCK);

	if (err < 0)
		return err;
	mgr.e = e;
	list_init(&mgr.active);
	mgr.watch = (struct engine_watch){ .fd = mgr.wake[0], .fn = on_wake };
	err = engine_watch(e, &mgr.watch, ENGINE_READ);
	if (err < 0)
		return err;
	pthread_mutex_lock(&mgr.lock);
	list_init(&mgr.waiting);
	mgr.is_open = true;
	pthread_mutex_unlock(&mgr.lock);
	return 0;
}

static void wake(void)
{
	if (env_write(mgr.wake[1], "j", 1) < 0) {
		/* full: it wakes the reader anyhow */
	}
}

int snmp_manager_post(struct snmp_job *j)
{
	int err = 0;

	pthread_mutex_lock(&mgr.lock);
	if (!mgr.is_open) {
		err = FL_EDEAD_;
	} else if (mgr.n_waiting == SNMP_WAITING_MAX) {
		err = FL_ELIMIT_;
	} else {
		list_append(&mgr.waiting, &j->link);
		mgr.n_waiting++;
	}
	pthread_mutex_unlock(&mgr.lock);
	if (!err)
		wake();
	return err;
}

void snmp_manager_cancel(struct snmp_job *j)
{
	pthread_mutex_lock(&mgr.lock);
	j->cancelled = true;
	pthread_mutex_unlock(&mgr.lock);
	wake();
}
