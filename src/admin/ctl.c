/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.c - the control socket: who may speak, lines in, answers out
 *
 * A plain line gets the answer's text, then the connection is closed; commands on it are parted by
 * `;` and end at the first that fails. A line that begins with @text or @json gets `fairlead/1 CODE LENGTH\n` and LENGTH bytes,
 * and the connection stays. CODE is the exit status: 0 done, 1 refused or failed, 2 misused.
 *
 * Lines are at most 4095 bytes of text. A session holds one command at a time; what was sent
 * behind it waits in the kernel. A line has ADMIN_STALL_MS from its first byte, the first line of a
 * connection from its beginning: bytes that come one by one do not hold a session.
 */
#include "config.h"

#include "admin/inside.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"

struct session {
	struct list  link;             /* newest activity last */
	struct conn *c;
	uint32_t     uid, pid;
	struct cmd  *cmd;              /* running */
	bool         framed, closing, eof;
	bool         more;             /* whole lines wait in the conn */
	bool         in_line;          /* its deadline runs */
	unsigned     n_done;           /* plain: commands of the line */
	char         rest[LINE_MAX_BYTES];    /* see n_rest and n_begun */
	size_t       n_rest;           /* plain: commands behind a `;` */
	size_t       n_begun;          /* idle: the beginning of a line, which counts at EOF */
	struct outq  out;
};

static struct {
	struct engine      *e;
	struct admin_view  *v;
	struct engine_watch watch;
	struct list         sessions;
	unsigned            n;
} ctl;

static void next_command(struct session *s);

static void session_free(void *obj)
{
	struct session *s = obj;

	sb_free(&s->out.data);
	env_free(s);
}

static void session_end(struct session *s, bool orderly)
{
	if (!s->c)
		return;
	if (s->cmd) {
		cmd_abandon(s->cmd);
		s->cmd = NULL;
	}
	list_del(&s->link);
	ctl.n--;
	if (orderly)
		conn_close(&s->c);
	else
		conn_abort(&s->c);
	engine_free_later(ctl.e, s, session_free);
}

static bool is_idle(const struct session *s)
{
	return !s->cmd && outq_idle(&s->out);
}

static void push(struct session *s)
{
	int err;

	if (!outq_push(&s->out, s->c, &err)) {
		if (err < 0)
			session_end(s, false);
		else
			conn_deadline(s->c, ADMIN_STALL_MS);
		return;
	}
	if (s->closing || (s->eof && !s->cmd && !s->more)) {
		session_end(s, true);
		return;
	}
	s->in_line = false;
	conn_deadline(s->c, s->cmd ? 0 : ADMIN_IDLE_MS);
	if ((s->more || conn_has_input(s->c) || conn_is_paused(s->c)) && !s->cmd)
		conn_resume(s->c);
}

/* One line of refusal, then the end. */
static void refuse(struct session *s, const char *why)
{
	sb_fmt(&s->out.data, "error: %s\n", why);
	s->closing = true;
	push(s);
}

/* What one command of a line does is often wanted for the next one only when it was done. The verdict
 * of status is no failure. */
static bool goes_on(struct session *s, const struct cmd *c, int code)
{
	if (code == CMD_OK || (c->call.row && c->call.id == VERB_STATUS)) {
		s->n_done++;
		return true;
	}
	sb_fmt(&s->out.data, "error: stopped at this command; done before it: %u, not done: ",
	       s->n_done);
	sb_escape(&s->out.data, str_trim(str_n(s->rest, s->n_rest)), LINE_MAX_BYTES);
	sb_ch(&s->out.data, '\n');
	s->n_rest = 0;
	return false;
}

static void finished(struct cmd *c, int code)
{
	struct session *s = c->owner;
	bool next;

	s->cmd = NULL;
	list_del(&s->link);
	list_append(&ctl.sessions, &s->link);
	if (s->framed) {
		struct sb text;

		sb_init_heap(&text);
		cmd_render(c, code, &text);
		sb_fmt(&s->out.data, "fairlead/1 %d %zu\n", code, text.n);
		sb_str(&s->out.data, sb_get(&text));
		sb_free(&text);
	} else {
		cmd_render(c, code, &s->out.data);
	}
	next = !s->framed && s->n_rest && goes_on(s, c, code);
	cmd_free(c);
	if (s->out.data.over) {
		session_end(s, false);
		return;
	}
	if (next)
		next_command(s);
	else if (!s->framed)
		s->closing = true;
	if (s->c && !s->cmd)
		push(s);
}

static void run(struct session *s, struct str line, bool json)
{
	s->cmd = cmd_new(ctl.v, ctl.e, s->uid, s->pid, finished, s);
	if (!s->cmd) {
		refuse(s, "no memory");
		return;
	}
	conn_deadline(s->c, 0);
	cmd_run(s->cmd, line, json);
}

/* Plain mode: the first command of what is left. */
static void next_command(struct session *s)
{
	char line[LINE_MAX_BYTES];
	size_t end = words_command_end(str_n(s->rest, s->n_rest));
	size_t used = FL_MIN(end + 1, s->n_rest);

	memcpy(line, s->rest, end);
	memmove(s->rest, s->rest + used, s->n_rest - used);
	s->n_rest -= used;
	if (!str_trim(str_n(s->rest, s->n_rest)).n)
		s->n_rest = 0;
	run(s, str_n(line, end), false);
}

static void take_line(struct session *s, struct str line)
{
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	line = str_trim(line);
	if (str_starts(line, STR("@json ")) || str_starts(line, STR("@text "))) {
		s->framed = true;
		run(s, str_n(line.p + 6, line.n - 6), line.p[1] == 'j');
		return;
	}
	if (!line.n && s->framed)
		return;
	if (!line.n) {
		refuse(s, "an empty line; try: help");
		return;
	}
	s->framed = false;
	s->n_done = 0;
	memcpy(s->rest, line.p, line.n);
	s->n_rest = line.n;
	next_command(s);
}

static size_t on_data(struct conn *c, const uint8_t *p, size_t n)
{
	struct session *s = conn_owner(c);
	size_t used = 0;

	s->more = false;
	s->n_begun = 0;
	while (used < n && s->c && !s->closing) {
		const uint8_t *nl = memchr(p + used, '\n', n - used);
		size_t len = nl ? (size_t)(nl - (p + used)) : n - used;

		if (!is_idle(s)) {
			s->more = nl != NULL;
			break;
		}
		if (len >= LINE_MAX_BYTES) {
			refuse(s, "the line is longer than 4095 bytes");
			break;
		}
		if (!nl) {
			memcpy(s->rest, p + used, len);
			s->n_begun = len;
			break;
		}
		take_line(s, str_n(p + used, len));
		used += len + 1;
	}
	if (!s->c || s->closing)
		return n;
	if (!is_idle(s) && n - used > LINE_MAX_BYTES) {
		conn_pause(c);                          /* the rest waits in the kernel */
	} else if (s->n_begun && !s->in_line) {
		s->in_line = true;
		conn_deadline(c, ADMIN_STALL_MS);
	}
	return used;
}

/* Both directions are closed: nobody is there to hear the answer (one may close its own and
 * wait). */
static bool is_gone(const struct conn *c)
{
	struct pollfd p = { .fd = conn_fd(c) };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void on_eof(struct conn *c)
{
	struct session *s = conn_owner(c);
	char line[LINE_MAX_BYTES];
	size_t n = s->n_begun;

	s->eof = true;
	if (s->cmd && is_gone(c)) {
		session_end(s, false);
		return;
	}
	if (!is_idle(s) || s->more)
		return;                                 /* push() ends it */
	if (!n) {
		session_end(s, true);
		return;
	}
	/* A last line without its newline counts. */
	memcpy(line, s->rest, n);
	s->n_begun = 0;
	take_line(s, str_n(line, n));
	if (s->c && is_idle(s))
		session_end(s, true);
}

static void on_drained(struct conn *c)
{
	push(conn_owner(c));
}

static void on_error(struct conn *c, int err)
{
	(void)err;
	session_end(conn_owner(c), false);
}

static void on_timeout(struct conn *c)
{
	struct session *s = conn_owner(c);

	if (!is_idle(s))
		session_end(s, false);
	else
		refuse(s, "nothing complete came in time");
}

static const struct conn_ops session_ops = {
	.data = on_data,
	.eof = on_eof,
	.drained = on_drained,
	.error = on_error,
	.timeout = on_timeout,
};

/* ---------- accepting ---------- */

static bool make_room(void)
{
	if (ctl.n < ADMIN_SESSIONS_MAX)
		return true;
	LIST_FOREACH(n, &ctl.sessions) {
		struct session *s = LIST_ENTRY(n, struct session, link);

		if (is_idle(s)) {
			session_end(s, true);
			return true;
		}
	}
	return false;
}

static void say_and_close(int fd, const char *text)
{
	if (env_send(fd, text, strlen(text), MSG_DONTWAIT) < 0) {
		/* the peer will see the end without the reason */
	}
	env_close(fd);
}

static void open_session(int fd, const struct ucred *who)
{
	static const struct addr none;
	struct session *s = env_calloc(1, sizeof(*s));

	if (!s) {
		say_and_close(fd, "error: no memory\n");
		return;
	}
	s->uid = (uint32_t)who->uid;
	s->pid = (uint32_t)who->pid;
	sb_init_heap(&s->out.data);
	s->c = conn_accept(ctl.e, fd, &none, &none, NULL);
	if (!s->c) {
		session_free(s);
		return;
	}
	list_init(&s->link);
	list_append(&ctl.sessions, &s->link);
	ctl.n++;
	conn_start(s->c, &session_ops, s);
	s->in_line = true;
	conn_deadline(s->c, ADMIN_STALL_MS);
}

static void on_accept(struct engine_watch *w, unsigned events)
{
	(void)events;
	for (unsigned i = 0; i < 8; i++) {
		struct ucred who = { 0 };
		socklen_t n = sizeof(who);
		int fd = env_accept(w->fd, NULL, NULL);

		if (fd < 0) {
			if (fd != -EAGAIN && fd != -ECONNABORTED)
				log_ev_key(EV_ACCEPT_FAIL, STR("ctl"), "control socket: %s",
					   fl_err_text(fd));
			return;
		}
		if (env_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 ||
		    (who.uid != 0 && who.uid != geteuid())) {
			log_ev_key(EV_ADMIN_COMMAND, STR("refused"), "uid %u pid %u: refused",
				   (unsigned)who.uid, (unsigned)who.pid);
			say_and_close(
				fd,
				"error: only root and the user that fairlead runs as may speak here\n");
		} else if (!make_room()) {
			say_and_close(fd, "error: too many sessions are busy\n");
		} else {
			open_session(fd, &who);
		}
	}
}

int ctl_open(struct engine *e, struct admin_view *v, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	ctl.e = e;
	ctl.v = v;
	list_init(&ctl.sessions);
	ctl.watch = (struct engine_watch){ .fd = fd, .fn = on_accept };
	return 0;
}

int ctl_serve(void)
{
	return ctl.e ? engine_watch(ctl.e, &ctl.watch, ENGINE_READ) : 0;
}
