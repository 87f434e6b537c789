/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c - the control socket from the other side: finding it, asking, reading framed answers
 */
#include "config.h"

#include "ctl/ctl.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"

#define ANSWER_MAX (256u * 1024 * 1024)

static void place(struct ctl_places *p, const char *fmt, ...) FL_PRINTF(2, 3);
static void place(struct ctl_places *p, const char *fmt, ...)
{
	struct sb b;
	va_list ap;

	sb_init(&b, p->path[p->n], sizeof(p->path[0]));
	va_start(ap, fmt);
	sb_vfmt(&b, fmt, ap);
	va_end(ap);
	if (!b.over)
		p->n++;
}

void ctl_places(const char *given, const char *env_socket, const char *xdg, const char *tmp,
		unsigned uid, struct ctl_places *out)
{
	out->n = 0;
	if (!given && env_socket && *env_socket)
		given = env_socket;
	if (given) {
		place(out, "%s", given);
		return;
	}
	place(out, "/run/fairlead/ctl.sock");
	if (xdg && *xdg)
		place(out, "%s/fairlead/ctl.sock", xdg);
	place(out, "%s/fairlead-%u/ctl.sock", tmp && *tmp ? tmp : "/tmp", uid);
}

static int connect_to(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd, err;

	if (n >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, n + 1);
	fd = env_socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0)
		return fd;
	err = env_connect(fd, (struct sockaddr *)&sa, (socklen_t)sizeof(sa));
	if (err < 0) {
		env_close(fd);
		return err;
	}
	return fd;
}

static void cannot(const struct ctl_places *p, const int *err)
{
	unsigned best = 0;

	/* One that is there says more than those that are not. */
	for (unsigned i = 0; i < p->n; i++)
		if (err[i] != -ENOENT && err[best] == -ENOENT)
			best = i;
	ctl_say("cannot reach fairlead at %s (%s): is it running?", p->path[best],
		fl_err_text(err[best]));
	for (unsigned i = 0; i < p->n; i++)
		if (i != best)
			ctl_say("  also looked at %s (%s)", p->path[i], fl_err_text(err[i]));
}

static bool try_places(struct ctl_client *c, const struct ctl_places *p, int *err)
{
	c->fd = -1;
	for (unsigned i = 0; i < p->n; i++) {
		err[i] = connect_to(p->path[i]);
		if (err[i] < 0)
			continue;
		c->fd = err[i];
		memcpy(c->found, p->path[i], sizeof(c->found));
		return true;
	}
	return false;
}

int ctl_connect(struct ctl_client *c)
{
	struct ctl_places p;
	int err[FL_ARRAY_LEN(p.path)];

	ctl_places(c->path, getenv("FAIRLEAD_SOCKET"), getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"),
		   (unsigned)geteuid(), &p);
	if (try_places(c, &p, err))
		return CTL_OK;
	if (!p.n)
		ctl_say("the name of the control socket is too long");
	else if (!c->quiet)
		cannot(&p, err);
	return CTL_UNREACHABLE;
}

void ctl_close(struct ctl_client *c)
{
	if (c->fd >= 0)
		env_close(c->fd);
	c->fd = -1;
}

static int lost(struct ctl_client *c, const char *why)
{
	if (!c->quiet)
		ctl_say("%s: %s", c->found, why);
	ctl_close(c);
	return CTL_UNREACHABLE;
}

static bool wait_for(int fd, short events, uint64_t end_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t now = env_now_us() / 1000;
	int left = -1;

	if (end_ms)
		left = end_ms > now ? (int)FL_MIN(end_ms - now, (uint64_t)INT32_MAX) : 0;
	return poll(&p, 1, left) > 0;
}

static bool send_all(int fd, struct str s, uint64_t end_ms)
{
	while (s.n) {
		ssize_t n = env_send(fd, s.p, s.n, 0);

		if (n == -EAGAIN && wait_for(fd, POLLOUT, end_ms))
			continue;
		if (n < 0)
			return false;
		s = str_n(s.p + n, s.n - (size_t)n);
	}
	return true;
}

/* "fairlead/1 CODE LEN\n" at the beginning; 0: not whole yet, negative: something else. */
static int frame_head(struct str s, int *code, uint64_t *len)
{
	const char *nl = s.n ? memchr(s.p, '\n', s.n) : NULL;
	struct str line, word;
	uint64_t v;

	if (!nl)
		return s.n > 64 ? -1 : 0;
	line = str_n(s.p, (size_t)(nl - s.p));
	word = str_cut(&line, ' ');
	if (!str_eq(word, STR("fairlead/1")) || !str_u64(str_cut(&line, ' '), &v) || v > 255 ||
	    !str_u64(line, len) || *len > ANSWER_MAX)
		return -1;
	*code = (int)v;
	return (int)(nl - s.p) + 1;
}

int ctl_ask(struct ctl_client *c, const char *line, bool json, unsigned wait_ms, struct sb *out)
{
	uint64_t end_ms = wait_ms ? env_now_us() / 1000 + wait_ms : 0, len = 0;
	struct sb text, in;
	int head = 0, code = CTL_FAIL;

	sb_init_heap(&text);
	sb_fmt(&text, "@%s %s\n", json ? "json" : "text", line);
	if (text.over || !send_all(c->fd, sb_get(&text), end_ms)) {
		sb_free(&text);
		return lost(c, "the connection was closed");
	}
	sb_free(&text);
	sb_init_heap(&in);
	while (head <= 0 || in.n < (size_t)head + len) {
		char buf[65536];
		ssize_t n = env_recv(c->fd, buf, sizeof(buf), 0);

		if (n == -EAGAIN) {
			if (wait_for(c->fd, POLLIN, end_ms))
				continue;
			sb_free(&in);
			return lost(c, "no answer in time");
		}
		if (n <= 0) {
			/* refused before the first answer: its text is the reason */
			struct str why = str_trim(sb_get(&in));

			while (why.n && why.p[why.n - 1] == '\n')
				why.n--;
			if (why.n && head == 0 && why.n < 400)
				ctl_say(STR_FMT, STR_ARG(why));
			sb_free(&in);
			return lost(c, "the connection was closed");
		}
		sb_add(&in, buf, (size_t)n);
		if (head == 0)
			head = frame_head(sb_get(&in), &code, &len);
		if (head < 0 && !str_starts(sb_get(&in), STR("error"))) {
			sb_free(&in);
			return lost(c, "this is not a control socket of fairlead");
		}
		head = FL_MAX(head, 0);
		if (in.over) {
			sb_free(&in);
			return lost(c, "no memory for the answer");
		}
	}
	sb_add(out, in.p + head, (size_t)len);
	sb_free(&in);
	return code;
}
