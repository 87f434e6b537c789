/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msg.c - see msg.h
 */
#include "config.h"

#include "proc/msg.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "base/env.h"
#include "base/err.h"

#define QUEUE_MAX (64u << 20)
#define READS_PER_TURN 32

int msg_send(int sock, const struct msg *m, const void *text, size_t n, const int *fd, unsigned n_fd)
{
	char buf[sizeof(*m) + MSG_TEXT_MAX];
	struct msg head = *m;
	ssize_t r;

	if (n > MSG_TEXT_MAX || n_fd > MSG_FDS)
		return -EMSGSIZE;
	head.version = MSG_VERSION;
	memcpy(buf, &head, sizeof(head));
	if (n)
		memcpy(buf + sizeof(head), text, n);
	r = env_send_fds(sock, buf, sizeof(head) + n, fd, n_fd);
	return r < 0 ? (int)r : 0;
}

int msg_recv(int sock, struct msg_in *in)
{
	char buf[sizeof(in->m) + MSG_TEXT_MAX];
	ssize_t r;

	in->n_fd = MSG_FDS;
	r = env_recv_fds(sock, buf, sizeof(buf), in->fd, &in->n_fd);
	if (r <= 0)
		return (int)r;
	if ((size_t)r < sizeof(in->m)) {
		msg_in_done(in);
		return FL_EPROTO_;
	}
	memcpy(&in->m, buf, sizeof(in->m));
	in->n = (size_t)r - sizeof(in->m);
	memcpy(in->text, buf + sizeof(in->m), in->n);
	in->text[in->n] = '\0';
	if (in->m.version != MSG_VERSION) {
		msg_in_done(in);
		return FL_ELAYOUT_;
	}
	return 1;
}

int msg_take_fd(struct msg_in *in, unsigned i)
{
	int fd = i < in->n_fd ? in->fd[i] : -1;

	if (fd >= 0)
		in->fd[i] = -1;
	return fd;
}

void msg_in_done(struct msg_in *in)
{
	for (unsigned i = 0; i < in->n_fd; i++)
		if (in->fd[i] >= 0)
			env_close(in->fd[i]);
	in->n_fd = 0;
}

bool msg_wait(int sock, unsigned timeout_ms)
{
	uint64_t end = env_now_us() / 1000 + timeout_ms, now;

	while ((now = env_now_us() / 1000) <= end) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		int r = poll(&p, 1, (int)FL_MIN(end - now, (uint64_t)60000));

		if (r > 0)
			return true;
		if (r == 0 && now >= end)
			return false;
	}
	return false;
}

/* Channels -------------------------------------------------------------------------------- */

struct pending {
	struct list link;
	struct msg  m;
	size_t      n;
	unsigned    n_fd;
	int         fd[MSG_FDS];
	char        text[];
};

static void pending_free(struct chan *c, struct pending *p)
{
	list_del(&p->link);
	for (unsigned i = 0; i < p->n_fd; i++)
		if (p->fd[i] >= 0)
			env_close(p->fd[i]);
	c->n_out -= sizeof(*p) + p->n;
	env_free(p);
}

static int queue(struct chan *c, const struct msg *m, const void *text, size_t n, const int *fd, unsigned n_fd)
{
	struct pending *p;

	if (c->n_out + sizeof(*p) + n > QUEUE_MAX)
		return FL_ELIMIT_;
	p = env_malloc(sizeof(*p) + n);
	if (!p)
		return FL_ENOMEM_;
	list_init(&p->link);
	p->m = *m;
	p->n = n;
	p->n_fd = 0;
	c->n_out += sizeof(*p) + n;
	if (n)
		memcpy(p->text, text, n);
	for (unsigned i = 0; i < n_fd; i++) {
		p->fd[p->n_fd] = fcntl(fd[i], F_DUPFD_CLOEXEC, 3);
		if (p->fd[p->n_fd++] < 0) {
			pending_free(c, p);
			return -EMFILE;
		}
	}
	list_append(&c->out, &p->link);
	return engine_watch(c->engine, &c->w, ENGINE_READ | ENGINE_WRITE);
}

int chan_send(struct chan *c, const struct msg *m, const void *text, size_t n, const int *fd, unsigned n_fd)
{
	int err;

	if (!chan_is_open(c))
		return FL_ECLOSED_;
	if (!list_empty(&c->out))
		return queue(c, m, text, n, fd, n_fd);
	err = msg_send(c->w.fd, m, text, n, fd, n_fd);
	return err == -EAGAIN ? queue(c, m, text, n, fd, n_fd) : err;
}

int chan_send_simple(struct chan *c, enum msg_type type)
{
	struct msg m = { .type = type };

	return chan_send(c, &m, NULL, 0, NULL, 0);
}

static void send_queued(struct chan *c)
{
	while (!list_empty(&c->out)) {
		struct pending *p = LIST_ENTRY(c->out.next, struct pending, link);
		int err = msg_send(c->w.fd, &p->m, p->text, p->n, p->fd, p->n_fd);

		if (err == -EAGAIN)
			return;
		pending_free(c, p);      /* broken: the reading side notices */
	}
	(void)engine_watch(c->engine, &c->w, ENGINE_READ);
}

static void on_event(struct engine_watch *w, unsigned events)
{
	static struct msg_in in;         /* 60 kB: too much for a stack, and one loop per process */
	struct chan *c = FL_CONTAINER_OF(w, struct chan, w);

	if (events & ENGINE_WRITE)
		send_queued(c);
	for (unsigned i = 0; i < READS_PER_TURN && (events & ENGINE_READ); i++) {
		int r = c->w.fd >= 0 ? msg_recv(c->w.fd, &in) : -EAGAIN;

		if (r == -EAGAIN)
			return;
		if (r <= 0) {
			(void)engine_watch(c->engine, &c->w, 0);
			c->gone(c);
			return;
		}
		c->got(c, &in);
		msg_in_done(&in);
	}
}

int chan_open(struct chan *c, struct engine *e, int fd, void (*got)(struct chan *, struct msg_in *),
	      void (*gone)(struct chan *))
{
	c->engine = e;
	c->w = (struct engine_watch){ .fd = fd, .fn = on_event };
	list_init(&c->out);
	c->n_out = 0;
	c->got = got;
	c->gone = gone;
	return engine_watch(e, &c->w, ENGINE_READ);
}

void chan_close(struct chan *c)
{
	if (!chan_is_open(c))
		return;
	while (!list_empty(&c->out))
		pending_free(c, LIST_ENTRY(c->out.next, struct pending, link));
	engine_unwatch(c->engine, &c->w);
	env_close(c->w.fd);
	c->w.fd = -1;
}
