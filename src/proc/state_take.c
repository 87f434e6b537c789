/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_take.c - a master made from the lines of another one (state.c draws them): adoption, binary upgrade
 */
#include "config.h"

#include "proc/state.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"

#define ANSWER_MS 3000

/* Reading --------------------------------------------------------------------------------- */

struct entry {
	char line[STATE_LINE_MAX];
	int  fd;
};
struct taken {
	struct entry *e;
	unsigned      n, cap;
};

static void take_line(struct taken *t, struct str line, int fd)
{
	if (t->n == t->cap) {
		unsigned cap = t->cap ? t->cap * 2 : 64;
		struct entry *p = env_realloc(t->e, cap * sizeof(*p));

		if (!p) {
			if (fd >= 0)
				env_close(fd);
			return;
		}
		t->e = p;
		t->cap = cap;
	}
	snprintf(t->e[t->n].line, STATE_LINE_MAX, STR_FMT, STR_ARG(line));
	t->e[t->n++].fd = fd;
}

static int entry_fd(struct entry *e)
{
	int fd = e->fd;

	e->fd = -1;
	return fd;
}

/*
 * The n numbers behind the word of a line. What follows them is left in *rest, unless that is NULL:
 * a later version may say more than we know. False: fewer came, or something else.
 */
static bool read_numbers(const struct entry *e, unsigned *v, unsigned n, struct str *rest)
{
	struct str line = str_c(e->line);
	uint64_t one;

	(void)str_cut(&line, ' ');
	for (unsigned i = 0; i < n; i++) {
		if (!str_u64(str_cut(&line, ' '), &one) || one > UINT_MAX)
			return false;
		v[i] = (unsigned)one;
	}
	if (rest)
		*rest = line;
	return true;
}

static struct entry *find_entry(struct taken *t, const char *word)
{
	for (unsigned i = 0; i < t->n; i++)
		if (str_eq(str_c(word), str_n(t->e[i].line, strcspn(t->e[i].line, " "))))
			return &t->e[i];
	return NULL;
}

static int named_fd(struct taken *t, const char *word)
{
	struct entry *e = find_entry(t, word);

	return e ? entry_fd(e) : -1;
}

static int named_path(struct taken *t, const char *word, char *path, size_t n)
{
	struct entry *e = find_entry(t, word);

	if (!e || !e->line[strlen(word)])
		return -1;
	snprintf(path, n, "%s", e->line + strlen(word) + 1);
	return entry_fd(e);
}

static void take_segment(struct master *m, struct taken *t)
{
	int *fds = env_malloc((t->n + 1) * sizeof(int)), err = FL_ENOMEM_;
	unsigned n = 0, i;

	for (unsigned k = 0; fds && k < t->n; k++)
		if (strncmp(t->e[k].line, "+seg ", 5) == 0 && read_numbers(&t->e[k], &i, 1, NULL) && i < t->n) {
			fds[i] = t->e[k].fd;
			n++;
		}
	if (fds)
		err = env_fp("take-segment");
	if (fds && !err)
		m->seg = stat_adopt(fds, n, &err);
	for (unsigned k = 0; m->seg && k < t->n; k++)
		if (strncmp(t->e[k].line, "+seg ", 5) == 0)
			t->e[k].fd = -1;
	env_free(fds);
	if (m->seg)
		m->cores = stat_cores(m->seg);
	else
		log_ev(EV_SEGMENT, "the segment of before is not taken (%s); a new one is made", fl_err_text(err));
}

static void take_text(struct taken *t, const char *word, struct sb *to)
{
	int fd = named_fd(t, word);
	char *text = master_read_fd(fd, NULL);

	sb_c(to, text);
	env_free(text);
	if (fd >= 0)
		env_close(fd);
}

/* Of a program that wrote them: a crash leaves none. What was pending there is in no segment yet, also not in one that
 * is taken. */
static void take_sums(struct master *m, struct taken *t, bool foreign)
{
	struct sb b;

	sb_init_heap(&b);
	if (foreign)
		take_text(t, "+sums", &b);
	m->sums_first = b.n > 0;
	take_text(t, "+sums-pending", &b);
	if (b.n && !b.over)
		m->sums = env_strdup(b.p);
	sb_free(&b);
	m->sums_first &= m->sums != NULL;
}

/* Behind the segment; those of another segment's workers are theirs. */
static void take_mail(struct master *m, struct entry *e)
{
	unsigned slot;

	if (master_mail_room(m) == 0 && read_numbers(e, &slot, 1, NULL) && slot < m->n_mail && m->mail_fd[slot] < 0)
		m->mail_fd[slot] = entry_fd(e);
}

static void take_box(struct master *m, struct entry *e)
{
	enum { CORE, END, N };
	unsigned v[N];

	if (master_box_room(m) == 0 && read_numbers(e, v, N, NULL) && v[CORE] < m->n_box && v[END] < 2 &&
	    m->box_fd[2 * v[CORE] + v[END]] < 0)
		m->box_fd[2 * v[CORE] + v[END]] = entry_fd(e);
}

/* "ADDRESS" or "ADDRESS DEVICE"; the device is behind the address in the line, so it ends there. */
static bool read_place(struct str place, struct addr *a, const char **device)
{
	struct str address = str_cut(&place, ' ');

	*device = place.n ? place.p : NULL;
	return addr_parse(address, -1, a) == 0;
}

static void take_socket(struct master *m, struct entry *e, bool udp)
{
	struct man_listen l = { .udp = udp };
	struct sock *s;
	enum { CORE, V6ONLY, N };
	unsigned v[N];
	struct str address;

	if (!read_numbers(e, v, N, &address) || v[CORE] >= m->cores || !read_place(address, &l.addr, &l.device))
		return;
	l.v6only = v[V6ONLY] != 0;
	s = socks_take(m, &l);
	if (s && s->fd[v[CORE]] < 0)
		s->fd[v[CORE]] = entry_fd(e);
}

/* Behind the lines of its sockets. */
static void take_shared(struct master *m, struct entry *e)
{
	const char *device;
	struct sock *s;
	struct addr a;

	if (!read_place(str_c(e->line + strlen("-shared ")), &a, &device))
		return;
	s = socks_find(m, &a, false, device);
	if (s)
		s->shared = true;
}

/* Maps of `distribute rss`, when all sockets are known: gen keeps no order. */
static void take_rss(struct master *m, struct entry *e)
{
	bool data = strncmp(e->line, "+rss-data ", 10) == 0;
	const char *device;
	struct str address;
	struct sock *s;
	struct addr a;
	unsigned udp;

	if (strncmp(e->line, "+rss-", 5) != 0 || !read_numbers(e, &udp, 1, &address) || !read_place(address, &a, &device))
		return;
	s = socks_find(m, &a, udp != 0, device);
	if (s && data && s->rss_data < 0)
		s->rss_data = entry_fd(e);
	else if (s && !data && s->rss_socks < 0)
		s->rss_socks = entry_fd(e);
}

static void take_stream(struct master *m, struct entry *e)
{
	struct str path;
	unsigned id;

	if (read_numbers(e, &id, 1, &path) && path.n)
		streams_take(m, id, path.p);
}

static void take_worker(struct master *m, struct entry *e, bool foreign)
{
	enum { SLOT, CORE, GEN, PID, STATE, N };
	unsigned v[N];
	struct proc *p;

	if (!read_numbers(e, v, N, NULL))
		return;
	p = proc_new(m, PROC_WORKER);
	if (!p)
		return;
	p->slot = v[SLOT];
	p->core = v[CORE];
	p->generation = v[GEN];
	p->foreign = foreign || p->slot == STAT_NO_SLOT;
	p->state = v[STATE];
	if (proc_watch(p, (pid_t)v[PID]) < 0) {  /* gone already */
		proc_free(p);
		return;
	}
	(void)proc_open_chan(p, entry_fd(e));
	if (m->cur && p->generation == m->cur->num && p->core < m->cores && p->state != ST_PROC_DRAINING) {
		p->g = m->cur;
		m->cur->worker[p->core] = p;
		m->cur->n_workers = FL_MAX(m->cur->n_workers, p->core + 1);
	} else {
		p->expected = true;
		if (p->state != ST_PROC_DRAINING)        /* of a reload that nobody will end */
			proc_kill(p, SIGKILL);
	}
}

static void take_gen(struct master *m, struct entry *e, bool foreign)
{
	enum { GEN, PID, N };
	unsigned v[N];
	struct proc *p;

	if (!read_numbers(e, v, N, NULL) || !m->cur || v[GEN] != m->cur->num)
		return;
	p = proc_new(m, PROC_GEN);
	if (!p)
		return;
	p->generation = v[GEN];
	if (proc_watch(p, (pid_t)v[PID]) < 0) {
		proc_free(p);
		return;
	}
	if (foreign) {               /* it would fork into the old segment */
		p->expected = true;
		proc_kill(p, SIGKILL);
		return;
	}
	p->g = m->cur;
	m->cur->gen = p;
	m->cur->gen_ready = true;
	(void)proc_open_chan(p, entry_fd(e));
}

/* Their channels close with ours; control and logd end by that. */
static void take_helper(struct master *m, struct entry *e, enum proc_role role, bool foreign)
{
	struct proc *p;
	unsigned pid;

	if (!read_numbers(e, &pid, 1, NULL))
		return;
	p = proc_new(m, role);
	if (!p)
		return;
	p->expected = true;
	p->foreign = foreign;
	p->slot = stat_slot_of(m->seg, role == PROC_CONTROL ? STAT_CONTROL : STAT_LOGD);
	if (proc_watch(p, (pid_t)pid) < 0) {
		proc_free(p);
		return;
	}
	if (!foreign)                /* the slot has one writer: the next one waits for its end */
		*(role == PROC_CONTROL ? &m->control : &m->logd) = p;
	proc_kill(p, SIGKILL);
}

static void take_generation(struct master *m, struct taken *t)
{
	struct entry *man = find_entry(t, "+manifest");
	unsigned num;
	char *text;

	if (!man || !read_numbers(man, &num, 1, NULL))
		return;
	text = master_read_fd(man->fd, NULL);
	m->cur = generation_new(m, num, named_fd(t, "+image"));
	if (m->cur && text) {
		m->cur->man = manifest_read(str_c(text));
		m->cur->man_fd = entry_fd(man);
		m->cur->image_public = named_fd(t, "+public");
		m->cur->phase = PHASE_CURRENT;
	}
	if (m->cur && !m->cur->man) {
		generation_free(m->cur);
		m->cur = NULL;
	}
	env_free(text);
}

static void take_tickets(struct master *m, struct taken *t)
{
	struct entry *e = find_entry(t, "+tickets");
	struct str made = e ? str_c(e->line) : STR_NULL;
	uint64_t made_ms;

	(void)str_cut(&made, ' ');
	if (!e || !str_u64(str_cut(&made, ' '), &made_ms))
		return;
	if (env_pread(e->fd, m->tickets.key, sizeof(m->tickets.key), 0) == (ssize_t)sizeof(m->tickets.key)) {
		m->tickets.n = TICKET_KEYS;
		m->tickets.made_ms = made_ms;
	}
}

/* Builds the master from the lines. False: too little came. */
static bool build(struct master *m, struct taken *t)
{
	enum { GENERATION, RELOADS, FAILURES, DRAIN, CORES, MAX_OBJECTS, N };
	struct entry *e = find_entry(t, "-master");
	unsigned v[N];
	bool foreign;

	if (!e || !read_numbers(e, v, N, NULL))
		return false;
	m->last_generation = v[GENERATION];
	m->n_reloads = v[RELOADS];
	m->n_failures = v[FAILURES];
	m->drain_generations = v[DRAIN];
	m->cores = v[CORES];
	m->max_objects = v[MAX_OBJECTS];
	m->ctl_fd = named_path(t, "+ctl", m->ctl_path, sizeof(m->ctl_path));
	m->adopt_fd = named_path(t, "+adopt", m->adopt_path, sizeof(m->adopt_path));
	m->wake_control = named_fd(t, "+wake-control");
	m->wake_logd = named_fd(t, "+wake-logd");
	take_segment(m, t);
	foreign = !m->seg;
	if (foreign && master_new_segment(m) != 0)
		return false;
	take_sums(m, t, foreign);
	take_generation(m, t);
	if (!m->cur)
		return false;
	take_tickets(m, t);
	for (unsigned i = 0; i < t->n; i++) {
		e = &t->e[i];
		if (strncmp(e->line, "+listen ", 8) == 0)
			take_socket(m, e, false);
		else if (strncmp(e->line, "+udp ", 5) == 0)
			take_socket(m, e, true);
		else if (strncmp(e->line, "-shared ", 8) == 0)
			take_shared(m, e);
		else if (strncmp(e->line, "-stream ", 8) == 0)
			take_stream(m, e);
		else if (strncmp(e->line, "+mail ", 6) == 0 && !foreign)
			take_mail(m, e);
		else if (strncmp(e->line, "+box ", 5) == 0 && !foreign)
			take_box(m, e);
		else if (strncmp(e->line, "+worker ", 8) == 0)
			take_worker(m, e, foreign);
		else if (strncmp(e->line, "+gen ", 5) == 0)
			take_gen(m, e, foreign);
		else if (strncmp(e->line, "+control ", 9) == 0)
			take_helper(m, e, PROC_CONTROL, foreign);
		else if (strncmp(e->line, "+logd ", 6) == 0)
			take_helper(m, e, PROC_LOGD, foreign);
		else if (strncmp(e->line, "+http ", 6) == 0 && addr_parse(str_c(e->line + 6), -1, &m->http_addr) == 0)
			m->http_fd = entry_fd(e);
	}
	for (unsigned i = 0; i < t->n; i++)
		take_rss(m, &t->e[i]);
	(void)stat_conf_get(m->seg, &m->conf);
	socks_keep(m);
	m->serving = true;
	return true;
}

static void taken_free(struct taken *t)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->e[i].fd >= 0)
			env_close(t->e[i].fd);
	env_free(t->e);
}

/* Adoption --------------------------------------------------------------------------------- */

static void take_message(struct taken *t, struct msg_in *in)
{
	struct str text = str_n(in->text, in->n);
	unsigned fd = 0;

	while (text.n) {
		struct str line = str_cut(&text, '\n');

		take_line(t, line, line.n && line.p[0] == '+' ? msg_take_fd(in, fd++) : -1);
	}
}

static int receive(int sock, struct taken *t, struct master *m)
{
	static struct msg_in in;

	for (;;) {
		int r = msg_wait(sock, ANSWER_MS) ? msg_recv(sock, &in) : FL_ETIMEOUT_;
		enum msg_type type = r == 1 ? (enum msg_type)in.m.type : MSG_NONE;

		if (r == 1 && type == MSG_STATE)
			take_message(t, &in);
		if (r == 1)
			msg_in_done(&in);
		if (type == MSG_STATE_END)
			return 1;
		if (type == MSG_ALIVE) {
			fprintf(stderr, "fairlead: already running: master pid %llu; control socket %s\n",
				(unsigned long long)in.m.arg, m->ctl_path);
			return -EADDRINUSE;
		}
		if (type != MSG_STATE)
			return r == 0 ? 0 : r;
	}
}

int state_take(struct master *m, const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct taken t = { 0 };
	int sock = env_socket(AF_UNIX, SOCK_SEQPACKET, 0), r;

	if (sock < 0)
		return sock;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	r = env_connect(sock, (struct sockaddr *)&un, sizeof(un));
	if (r < 0) {
		env_close(sock);
		m->after_crash = r == -ECONNREFUSED;     /* a regular end removes the socket */
		return 0;                /* nobody there */
	}
	r = receive(sock, &t, m);
	env_close(sock);
	if (r == 1 && !build(m, &t))
		r = FL_EPROTO_;
	taken_free(&t);
	if (r == FL_ETIMEOUT_) {
		fprintf(stderr, "fairlead: another master holds %s and does not answer: it is stopping, or starts just now; "
			"try again when it is gone\n", path);
		return -EADDRINUSE;
	}
	if (r < 0 && r != -EADDRINUSE)
		fprintf(stderr, "fairlead: %s: what is there cannot be adopted: %s\n", path, fl_err_text(r));
	return r;
}

/* Binary upgrade --------------------------------------------------------------------------- */

int state_inherit(struct master *m)
{
	const char *number = getenv(STATE_ENV);
	struct taken t = { 0 };
	struct str all, line;
	uint64_t fd;
	char *text;
	size_t n;
	bool ok;

	if (!number || !str_u64(str_c(number), &fd))
		return 0;
	(void)unsetenv(STATE_ENV);
	text = master_read_fd((int)fd, &n);
	env_close((int)fd);
	if (!text)
		return 0;
	for (all = str_n(text, n); all.n;) {
		long one;
		char *end;

		line = str_cut(&all, '\n');
		one = strtol(line.p, &end, 10);
		if (one >= 0)
			(void)fcntl((int)one, F_SETFD, FD_CLOEXEC);
		take_line(&t, str_n(end + 1, line.n - (size_t)(end + 1 - line.p)), (int)one);
	}
	ok = build(m, &t);
	taken_free(&t);
	env_free(text);
	return ok ? 1 : FL_EPROTO_;
}
