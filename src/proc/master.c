/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master.c - start, signals and stop of the master (see master.h)
 *
 * Start: a scout (a gen that only loads) reads the configuration, so that this process never does; what it found
 * says how large the segment is, where the control socket is and under which account to run. Then either the
 * processes of a master that died are adopted or a new segment is made, and the first generation starts like
 * any other.
 */
#include "config.h"

#include "proc/master.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "proc/gen.h"
#include "proc/machine.h"

#define SHORT_GRACE_MS 2000
#define KILL_MS        1000      /* from EXIT to SIGKILL */
#define FAST_MS        10
#define SECOND_EARLY_MS 30       /* five ticks of 200 ms come before a second and a little */
#define LOGD_LAST_MS   1000
#define FILE_MAX       (64 << 20)

/* Log ------------------------------------------------------------------------------------- */

static void to_ring(void *ctx, enum log_level lvl, enum log_ev ev, const char *line, size_t n)
{
	struct master *m = ctx;
	static const uint64_t one = 1;

	(void)stat_log_put(m->seg, 0, lvl, ev, env_wall_us(), line, n);
	(void)!env_write(m->wake_logd, &one, sizeof(one));
}

/* Stop ------------------------------------------------------------------------------------ */

void master_die(struct master *m, int code)
{
	m->exit_code = code;
	m->stopping = true;
	engine_stop(m->engine);
}

static unsigned workers_left(const struct master *m)
{
	unsigned n = 0;

	LIST_FOREACH(it, &m->procs)
		n += LIST_ENTRY(it, struct proc, link)->role == PROC_WORKER;
	return n;
}

static void retire_everybody(struct master *m, uint64_t grace_ms)
{
	struct msg msg = { .type = MSG_RETIRE, .arg = grace_ms };
	struct sb names;

	sb_init_heap(&names);
	for (unsigned i = 0; m->cur && i < m->cur->man->n_listens && names.n + STAT_NAME_MAX < MSG_TEXT_MAX; i++)
		sb_fmt(&names, "%s\n", m->cur->man->listens[i].name);
	LIST_FOREACH(it, &m->procs) {
		struct proc *p = LIST_ENTRY(it, struct proc, link);

		p->expected = true;
		if (p->role == PROC_GEN)
			proc_kill(p, SIGKILL);
		if (p->role != PROC_WORKER)
			continue;
		if (p->state == ST_PROC_STARTING || p->state == ST_PROC_HUNG || !p->pid)
			proc_kill(p, SIGKILL);
		else
			(void)chan_send(&p->chan, &msg, names.p, names.n, NULL, 0);
		p->state = ST_PROC_DRAINING;
	}
	sb_free(&names);
}

static void cut_everybody(struct master *m)
{
	LIST_FOREACH(it, &m->procs) {
		struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (p->role == PROC_WORKER)
			(void)chan_send_simple(&p->chan, MSG_EXIT);
	}
	m->stop_kill_ms = master_now_ms(m) + KILL_MS;
}

void master_stop(struct master *m, uint64_t grace_ms)
{
	uint64_t now = master_now_ms(m);

	if (m->stopping && m->stop_kill_ms)
		return;
	if (!m->stopping) {
		log_ev(EV_STOP, grace_ms ? "stopping; requests in progress are finished" : "stopping at once");
		notify_systemd("STOPPING=1");
		m->stopping = true;
		socks_shut(m);
		retire_everybody(m, grace_ms ? grace_ms : 1);
	}
	m->stop_deadline_ms = grace_ms == UINT64_MAX ? UINT64_MAX : now + grace_ms;
	if (grace_ms == 0)
		cut_everybody(m);
}

static void stop_tick(struct master *m)
{
	uint64_t now = master_now_ms(m);

	if (workers_left(m) == 0) {
		engine_stop(m->engine);
	} else if (m->stop_kill_ms && now > m->stop_kill_ms) {
		LIST_FOREACH(it, &m->procs)
			proc_kill(LIST_ENTRY(it, struct proc, link), SIGKILL);
	} else if (!m->stop_kill_ms && now > m->stop_deadline_ms) {
		cut_everybody(m);
	}
}

/* logd ends by itself when its channel does, after the last line. */
static void end_helpers(struct master *m)
{
	uint64_t end = env_now_us() / 1000 + LOGD_LAST_MS;

	LIST_FOREACH(it, &m->procs) {
		struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (p->role == PROC_LOGD)
			chan_close(&p->chan);
		else
			proc_kill(p, SIGKILL);
	}
	LIST_FOREACH(it, &m->procs) {
		struct proc *p = LIST_ENTRY(it, struct proc, link);
		siginfo_t si;

		while (p->role == PROC_LOGD && p->end.fd >= 0 && env_now_us() / 1000 < end &&
		       !msg_wait(p->end.fd, 100))
			;
		proc_kill(p, SIGKILL);
		if (p->pid)
			(void)waitid(P_PID, (id_t)p->pid, &si, WEXITED);
	}
}

/* Signals and timers ----------------------------------------------------------------------- */

static void on_signal(void *ctx, int signo)
{
	struct master *m = ctx;
	uint64_t grace = m->cur ? m->cur->man->grace_us / 1000 : 0;

	switch (signo) {
	case SIGHUP:
		if (!m->stopping)
			reload_request(m, NULL);
		break;
	case SIGUSR1:
		streams_reopen(m);
		break;
	case SIGUSR2:
		if (!m->stopping && m->cur)
			state_exec(m);
		break;
	case SIGTERM:
		master_stop(m, m->stopping ? 0 : grace);
		break;
	case SIGQUIT:
		master_stop(m, m->stopping ? 0 : UINT64_MAX);
		break;
	case SIGINT:
		master_stop(m, m->stopping ? 0 : FL_MIN(grace, (uint64_t)SHORT_GRACE_MS));
		break;
	default:
		break;
	}
}

static void greet(struct master *m)
{
	char text[ADDR_TEXT_MAX];

	m->greeted = true;
	if (m->launch->greeting) {
		fputs(m->launch->greeting, stdout);
	} else if (isatty(STDOUT_FILENO)) {
		printf("fairlead %s  %u workers  %u vservers, %u pools, %u services\n", PACKAGE_VERSION, m->cur->n_workers,
		       m->cur->man->n_vservers, m->cur->man->n_pools, m->cur->man->n_services);
		for (unsigned i = 0; i < m->cur->man->n_listens; i++)
			printf("  %s  %s\n", addr_text(&m->cur->man->listens[i].addr, text), m->cur->man->listens[i].name);
		printf("  Ctrl-C stops gracefully - try: fairleadctl -s %s status\n", m->ctl_path);
	}
	fflush(stdout);
}

/* With a tick, which would otherwise be a wake-up more. */
static void once_a_second(struct master *m)
{
	uint64_t now = master_now_ms(m);

	if (now < m->second_ms)
		return;
	m->second_ms = now + 1000 - SECOND_EARLY_MS;
	supervise_second(m);
	if (m->watchdog_us)
		notify_systemd("WATCHDOG=1");
}

static void on_tick(struct timer *t)
{
	struct master *m = FL_CONTAINER_OF(t, struct master, tick);
	uint64_t beat = m->cur ? m->cur->man->heartbeat_us * 2 / 5000 : 125;

	m->tick_ms = m->stopping ? 20 : FL_MIN(FL_MAX(beat, (uint64_t)FAST_MS), (uint64_t)250);
	stat_heartbeat(m->seg, env_now_us() / 1000);
	supervise_tick(m);
	if (m->fast)             /* somebody is silent or must be killed: to the point */
		m->tick_ms = FAST_MS;
	engine_timer(m->engine, t, m->tick_ms);
	reload_tick(m);
	once_a_second(m);
	if (m->serving && !m->greeted)
		greet(m);
	if (m->stopping)
		stop_tick(m);
}

/* Start ----------------------------------------------------------------------------------- */

static void raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

char *master_read_fd(int fd, size_t *n)
{
	struct stat st;
	ssize_t r;
	char *p;

	if (fd < 0 || env_fstat(fd, &st) < 0 || st.st_size < 0 || st.st_size > FILE_MAX)
		return NULL;
	p = env_malloc((size_t)st.st_size + 1);
	if (!p)
		return NULL;
	r = env_pread(fd, p, (size_t)st.st_size, 0);
	p[r > 0 ? r : 0] = '\0';
	if (n)
		*n = r > 0 ? (size_t)r : 0;
	return p;
}

/* Loads the configuration in a child. NULL: *why has the diagnostics, unless it is NULL itself. *image: what it read. */
static struct manifest *scout(struct master *m, bool taking_over, int *image, char **why)
{
	static struct msg_in in;
	struct manifest *man = NULL;
	int fd[2], r = 0;
	size_t n = 0;
	char *text;
	pid_t pid;

	if (env_socketpair(SOCK_SEQPACKET, fd) < 0)
		return NULL;
	pid = fork();
	if (pid == 0) {
		struct gen_start s = {
			.launch = m->launch, .image_fd = -1, .chan_fd = fd[1], .adopt_fd = -1,
			.wake_control = -1, .wake_logd = -1, .cores = 1, .taking_over = taking_over,
		};

		gen_main(&s);
	}
	env_close(fd[1]);
	*image = -1;
	if (pid > 0 && msg_wait(fd[0], 120000))
		r = msg_recv(fd[0], &in);
	if (r == 1) {
		/* warnings are logged with the first generation */
		if (!in.m.arg && why)
			*why = master_read_fd(in.fd[0], &n);
		text = in.m.arg ? master_read_fd(in.fd[1], &n) : NULL;
		man = text ? manifest_read(str_n(text, n)) : NULL;
		env_free(text);
		*image = msg_take_fd(&in, 2);
		msg_in_done(&in);
	} else if (why) {
		fprintf(stderr, "fairlead: the configuration could not be loaded: its process ended\n");
	}
	env_close(fd[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return man;
}

int master_new_segment(struct master *m)
{
	struct stat_params p = {
		.max_objects = m->max_objects, .cores = m->cores, .drain_generations = m->drain_generations,
	};
	int err = 0;

	m->seg = stat_create(&p, &err);
	if (!m->seg)
		fprintf(stderr, "fairlead: the shared segment cannot be made: %s\n", fl_err_text(err));
	return err;
}

/* What only a start makes anew stood in the way. Is there somebody to take over from, who has it already? */
static struct manifest *adopt_instead(struct master *m, int *image)
{
	struct manifest *man = scout(m, true, image, NULL);

	if (man && socks_adopt(m, man->admin_socket) == 1)
		return man;
	manifest_free(&man);
	return NULL;
}

/* The configuration, or NULL: what was wrong with it is on stderr. Then only one that runs already can go on. */
static struct manifest *look_first(struct master *m, int *image)
{
	char *why = NULL;
	struct manifest *man = scout(m, m->cur != NULL, image, &why);

	if (why)
		fputs(why, stderr);
	if (!man && !m->cur && why)
		man = adopt_instead(m, image);
	env_free(why);
	return man;
}

static int make_engine(struct master *m)
{
	static const int signals[] = { SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGQUIT, SIGINT };
	sigset_t none;
	int err = 0;

	m->engine = engine_new();
	if (!m->engine)
		return FL_ENOMEM_;
	for (size_t i = 0; !err && i < FL_ARRAY_LEN(signals); i++)
		err = engine_signal(m->engine, signals[i], on_signal, m);
	timer_init(&m->tick, on_tick);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);       /* a binary upgrade came with all of them blocked */
	return err;
}

/* n of them, -1 each, unless there is room already. */
static int fd_room(int **fd, unsigned n)
{
	if (*fd)
		return 0;
	*fd = env_malloc(n * sizeof(int));
	for (unsigned i = 0; *fd && i < n; i++)
		(*fd)[i] = -1;
	return *fd ? 0 : FL_ENOMEM_;
}

int master_mail_room(struct master *m)
{
	m->n_mail = stat_worker_slots(m->seg);
	return fd_room(&m->mail_fd, m->n_mail);
}

int master_box_room(struct master *m)
{
	m->n_box = stat_cores(m->seg);
	return fd_room(&m->box_fd, 2 * m->n_box);
}

/* What was not taken over. */
static int make_mail_fds(struct master *m)
{
	int err = master_mail_room(m);

	for (unsigned i = 0; !err && i < m->n_mail; i++) {
		if (m->mail_fd[i] < 0)
			m->mail_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (m->mail_fd[i] < 0)
			err = -errno;
	}
	return err;
}

static void close_box(int *pair)
{
	for (unsigned end = 0; end < 2; end++)
		if (pair[end] >= 0)
			env_close(pair[end]);
}

static int make_boxes(struct master *m)
{
	int err = master_box_room(m);

	for (unsigned core = 0; !err && core < m->n_box; core++) {
		int *pair = m->box_fd + 2 * core;

		if (pair[0] >= 0 && pair[1] >= 0)
			continue;
		close_box(pair);
		err = env_socketpair(SOCK_SEQPACKET, pair);
		if (err)
			pair[0] = pair[1] = -1;
	}
	return err;
}

static int make_wakers(struct master *m)
{
	int err = make_mail_fds(m);

	if (!err)
		err = make_boxes(m);
	if (err || m->wake_control >= 0)
		return err;
	m->wake_control = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->wake_logd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return m->wake_control < 0 || m->wake_logd < 0 ? -EMFILE : 0;
}

static int prepare(struct master *m, const struct manifest *man)
{
	const char *watchdog = getenv("WATCHDOG_USEC"), *kept;
	uint64_t us;
	int err = 0;

	m->ids = man->ids;
	if (watchdog && str_u64(str_c(watchdog), &us))
		m->watchdog_us = us;
	if (!m->seg) {
		m->drain_generations = man->drain_generations;
		m->max_objects = (uint32_t)man->max_objects;
		m->cores = FL_MAX(man->workers, machine_cpus());
		err = socks_control(m, man->admin_socket);
	}
	if (m->cur)                      /* taken over: what runs, runs on */
		m->ids = m->cur->man->ids;
	kept = m->cur ? m->cur->man->kept : man->kept;
	m->frozen = kept ? env_strdup(kept) : NULL;
	if (!err && kept && !m->frozen)
		err = FL_ENOMEM_;
	if (!err && !m->seg)
		err = master_new_segment(m);
	if (!err)
		err = make_wakers(m);
	if (!err) {
		err = streams_events(m, man->error_log);
		if (err)
			fprintf(stderr, "fairlead: cannot open the log %s: %s\n", man->error_log, fl_err_text(err));
	}
	if (err && err != -EADDRINUSE)
		fprintf(stderr, "fairlead: cannot start: %s\n", fl_err_text(err));
	return err;
}

/* image -1: nothing new to load, the adopted generation goes on. */
static void run(struct master *m, const struct manifest *man, int image)
{
	uint32_t slot = stat_slot_of(m->seg, STAT_MASTER);

	stat_proc_set(m->seg, slot, ST_PROC_STARTING, (uint32_t)getpid(), 0, 0);
	stat_proc_set(m->seg, slot, ST_PROC_RUNNING, (uint32_t)getpid(), 0, 0);
	stat_heartbeat(m->seg, env_now_us() / 1000);
	log_set_level((enum log_level)man->error_level);
	log_set_sink(to_ring, m);
	log_ev(EV_START, "fairlead %s, %u workers, %s", PACKAGE_VERSION, cpus_workers(man), man->file);
	if (m->cur)
		log_ev(EV_START, "took over %u workers of generation %u", generation_live(m->cur), m->cur->num);
	engine_timer(m->engine, &m->tick, 1);
	m->second_ms = master_now_ms(m) + 1000;
	if (!m->control)
		(void)helper_fork(m, PROC_CONTROL);
	if (!m->logd)
		(void)helper_fork(m, PROC_LOGD);
	if (image >= 0) {
		reload_start_first(m, image);
	} else {
		sums_wait_no_more(m);
		log_ev(EV_RELOAD_FAILED, "the configuration is refused; generation %u keeps running", m->cur->num);
	}
	if (!m->exit_code)
		engine_run(m->engine);
	if (m->exit_code == 0)
		log_ev(EV_STOP, "stopped");
	end_helpers(m);
	log_set_sink(NULL, NULL);
	socks_close_control(m);
}

int proc_run(const struct launch *l)
{
	static struct master m = {
		.ctl_fd = -1, .adopt_fd = -1, .http_fd = -1, .next_http_fd = -1, .wake_control = -1, .wake_logd = -1, .tick_ms = 125,
	};
	struct manifest *man;
	uint64_t seed[2];
	int image = -1;

	m.launch = l;
	list_init(&m.procs);
	list_init(&m.old);
	log_set_who("master");
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	cpus_start();
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	env_random(seed, sizeof(seed));
	hash_seed(seed[0], seed[1]);
	if (make_engine(&m) != 0 || state_inherit(&m) < 0)
		return 1;
	man = look_first(&m, &image);
	if (!man && !m.cur)
		return 1;
	if (prepare(&m, man ? man : m.cur->man) != 0) {
		manifest_free(&man);
		return 1;
	}
	run(&m, man ? man : m.cur->man, image);
	manifest_free(&man);
	return m.exit_code;
}
