/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep.c - gen as the keeper of what the master holds, for the time when there is none
 *
 * Every line of state.c with its descriptor lies here a second time. As this includes the master's ends of all
 * channels, a worker does not even notice that the master died. Whoever connects to adopt.sock, is root or of our
 * account, and finds us orphaned, gets it all and is the new master.
 */
#include "config.h"

#include "proc/gen.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"

#define BATCH_LINES 200u
#define BATCH_BYTES 40000u

struct gen_keep {
	char *line;
	int   fd;
};

static struct gen_keep *find(struct gen *g, struct str line)
{
	for (unsigned i = 0; i < g->n_keep; i++)
		if (str_eq(str_c(g->keep[i].line), line))
			return &g->keep[i];
	return NULL;
}

void gen_keep_drop(struct gen *g, struct str line)
{
	struct gen_keep *k = find(g, line);

	if (!k)
		return;
	if (k->fd >= 0)
		env_close(k->fd);
	env_free(k->line);
	*k = g->keep[--g->n_keep];
}

void gen_keep_set(struct gen *g, struct msg_in *in)
{
	struct gen_keep *k;

	gen_keep_drop(g, str_n(in->text, in->n));
	if (g->n_keep == g->cap_keep) {
		unsigned cap = g->cap_keep ? g->cap_keep * 2 : 64;
		struct gen_keep *p = env_realloc(g->keep, cap * sizeof(*p));

		if (!p)
			return;
		g->keep = p;
		g->cap_keep = cap;
	}
	k = &g->keep[g->n_keep];
	k->line = env_strdup(in->text);
	k->fd = msg_take_fd(in, 0);
	if (k->line)
		g->n_keep++;
	else if (k->fd >= 0)
		env_close(k->fd);
}

/* Handing over ---------------------------------------------------------------------------- */

struct batch {
	char     text[BATCH_BYTES];
	size_t   n;
	int      fd[BATCH_LINES];
	unsigned n_fd;
};

/* The taker reads at once or it is not worth having: adopt.sock is for masters only. */
static int send_now(int sock, enum msg_type type, const struct batch *b)
{
	struct msg m = { .type = type, .arg = (uint64_t)getppid() };
	int err = -EAGAIN;

	for (unsigned i = 0; err == -EAGAIN && i < 200; i++) {
		err = msg_send(sock, &m, b ? b->text : NULL, b ? b->n : 0, b ? b->fd : NULL, b ? b->n_fd : 0);
		if (err == -EAGAIN)
			env_sleep_us(5000);
	}
	return err;
}

static int add(int sock, struct batch *b, const char *line, int fd)
{
	size_t n = strlen(line);
	int err = 0;

	if (b->n + n + 1 > sizeof(b->text) || b->n_fd == BATCH_LINES) {
		err = send_now(sock, MSG_STATE, b);
		b->n = b->n_fd = 0;
	}
	memcpy(b->text + b->n, line, n);
	b->n += n;
	b->text[b->n++] = '\n';
	if (fd >= 0)
		b->fd[b->n_fd++] = fd;
	return err;
}

/* Everything, and at last our own channel. */
static int give_all(struct gen *g, int sock, int chan)
{
	static struct batch b;
	char line[64];
	int err = 0;

	b.n = b.n_fd = 0;
	for (unsigned i = 0; !err && i < g->n_keep; i++)
		err = add(sock, &b, g->keep[i].line, g->keep[i].fd);
	snprintf(line, sizeof(line), "+gen %u %d", g->start->generation, (int)getpid());
	if (!err)
		err = add(sock, &b, line, chan);
	if (!err)
		err = send_now(sock, MSG_STATE, &b);
	return err ? err : send_now(sock, MSG_STATE_END, NULL);
}

static bool may_adopt(int sock)
{
	struct ucred u;
	socklen_t n = sizeof(u);

	return env_getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &u, &n) == 0 && (u.uid == 0 || u.uid == geteuid());
}

int gen_adopted(struct gen *g)
{
	int sock = env_accept(g->start->adopt_fd, NULL, NULL), fd[2] = { -1, -1 }, err = 0;

	if (sock < 0)
		return -1;
	if (!may_adopt(sock)) {
		err = -EPERM;
	} else if (!g->orphan) {
		(void)send_now(sock, MSG_ALIVE, NULL);
		err = -EBUSY;
	} else {
		err = env_socketpair(SOCK_SEQPACKET, fd);
		if (!err)
			err = give_all(g, sock, fd[1]);
	}
	env_close(sock);
	if (fd[1] >= 0)
		env_close(fd[1]);
	if (err && fd[0] >= 0) {
		log_ev(EV_PROCESS_EXIT, "nobody could adopt: %s", fl_err_text(err));
		env_close(fd[0]);
	}
	return err ? -1 : fd[0];
}
