/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen.c - see gen.h
 *
 *	load -> LOADED -> (scout: end) -> LISTENERS, STREAMS, KEEP ... -> FORK -> FORKED ... -> master closes: end
 *	                                                                     `-> master died: orphan, serves adopt.sock
 */
#include "config.h"

#include "proc/gen.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "monitor/monitor.h"
#include "proc/launch.h"
#include "proc/machine.h"
#include "proc/manifest.h"
#include "proc/tickets.h"
#include "proc/worker.h"

/* Loading --------------------------------------------------------------------------------- */

static struct str map_fd(int fd)
{
	struct stat st;
	void *p;

	if (env_fstat(fd, &st) < 0 || st.st_size <= 0)
		return STR_NULL;
	p = env_mmap((size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	return p ? str_n(p, (size_t)st.st_size) : STR_NULL;
}

static void check_refused(void *ctx, const struct conf *c, struct conf_diag *d)
{
	const enum gen_checks *checks = ctx;

	lb_check_tls(c, d);
	if (*checks != GEN_TREE)
		machine_check(c, *checks, d);
}

struct lb_config *gen_load(const struct launch *l, int image_fd, const char *kept, enum gen_checks checks,
			   struct conf_diag *d, struct conf_src **src, struct conf **conf)
{
	unsigned errors = conf_diag_errors(d);
	struct lb_config *lc;

	*conf = NULL;
	if (image_fd >= 0) {
		struct str image = map_fd(image_fd);

		*src = image.p ? conf_src_from_image(image) : NULL;
	} else if (l->file) {
		*src = conf_src_files(l->file);
	} else {
		*src = conf_src_text(l->text_name, l->text);
	}
	if (*src && kept && conf_src_keep(*src, str_c(kept)) != 0)
		conf_src_free(src);
	if (!*src) {
		conf_error(d, (struct conf_loc){ 0 }, 1, NULL, "[E0001] the configuration cannot be read: no memory, or a damaged image");
		return NULL;
	}
	if (conf_load_all(*src, d, check_refused, &checks, conf) != 0)
		return NULL;
	lc = lb_build(*conf, true, d);
	if (checks != GEN_TREE) {
		machine_check(*conf, checks, d);
		machine_check_rows(lc, d);
	}
	if (lc && conf_diag_errors(d) > errors)
		lb_free(&lc);
	return lc;
}

void gen_unload(struct lb_config **lc, struct conf **conf, struct conf_src **src)
{
	if (*lc)
		lb_free(lc);
	if (*conf)
		conf_free(conf);
	if (*src)
		conf_src_free(src);
}

/* A sealed memfd with these bytes; negative errno. */
static int memfd_of(const char *name, const char *p, size_t n)
{
	int fd = env_memfd(name, true);
	size_t done = 0;

	while (fd >= 0 && done < n) {
		ssize_t w = env_write(fd, p + done, n - done);

		if (w < 0) {
			env_close(fd);
			return (int)w;
		}
		done += (size_t)w;
	}
	if (fd >= 0)
		(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return fd;
}

static int image_of(const struct conf_src *src, bool with_secrets)
{
	char *p = NULL;
	size_t n = 0;
	int fd, err = conf_src_image(src, with_secrets, &p, &n);

	if (err < 0)
		return err;
	fd = memfd_of(with_secrets ? "fairlead-image" : "fairlead-image-public", p, n);
	explicit_bzero(p, n);
	env_free(p);
	return fd;
}

static int manifest_fd(struct gen *g, struct conf_diag *d)
{
	uint8_t keys[3][80];
	unsigned n_keys = 0;
	struct sb b;
	int fd, err = 0;

	if (g->lc->ticket_keys)
		err = tickets_read_file(g->src, g->lc->ticket_keys, keys, &n_keys);
	if (err)
		return err;              /* machine_check has said it */
	sb_init_heap(&b);
	err = manifest_write(g->lc, &g->ids, conf_diag_warnings(d), keys, n_keys, &b);
	fd = err ? err : memfd_of("fairlead-manifest", b.p, b.n);
	explicit_bzero(keys, sizeof(keys));
	sb_free(&b);
	return fd;
}

static void send_blocking(int sock, const struct msg *m, const void *text, size_t n, const int *fd, unsigned n_fd)
{
	while (msg_send(sock, m, text, n, fd, n_fd) == -EAGAIN) {
		struct pollfd p = { .fd = sock, .events = POLLOUT };

		(void)poll(&p, 1, 1000);
	}
}

static bool load_and_report(struct gen *g, struct conf_diag *d)
{
	struct msg m = { .type = MSG_LOADED, .generation = g->start->generation };
	int fds[4] = { -1, -1, -1, -1 };
	enum gen_checks checks = g->start->again ? GEN_TREE : g->start->seg || g->start->taking_over ? GEN_MACHINE : GEN_START;
	struct conf_diag *said = conf_diag_new();        /* machine_check has told of the account */
	struct sb text;

	g->lc = gen_load(g->start->launch, g->start->image_fd, g->start->kept, checks, d, &g->src, &g->conf);
	if (g->lc && said && machine_account(g->conf, &g->ids, said)) {
		fds[1] = manifest_fd(g, d);
		fds[2] = image_of(g->src, true);
		fds[3] = image_of(g->src, false);
	}
	m.arg = g->lc && conf_diag_errors(d) == 0 && fds[1] >= 0 && fds[2] >= 0 && fds[3] >= 0;
	sb_init_heap(&text);
	conf_diag_print(d, &text, false);
	fds[0] = memfd_of("fairlead-diagnostics", text.p ? text.p : "", text.n);
	send_blocking(g->chan_fd, &m, NULL, 0, fds, m.arg ? 4 : fds[0] >= 0);
	sb_free(&text);
	conf_diag_free(&said);
	for (unsigned i = 0; i < FL_ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			env_close(fds[i]);
	return m.arg;
}

/* Forking workers ------------------------------------------------------------------------- */

static void worker_of(struct gen *g, const struct msg *m, int chan_fd)
{
	struct worker_start w = {
		.gen = g, .slot = m->slot, .core = m->core, .generation = m->generation, .chan_fd = chan_fd,
		.cpu = (int)m->arg - 1,
	};

	worker_main(&w);
}

/* By an intermediate that ends at once: the worker so becomes the master's child (its subreaper), whom its end
 * is told, and whose pid stays valid until it has looked. */
static pid_t fork_twice(struct gen *g, const struct msg *m, int chan_fd)
{
	pid_t middle, worker = 0;
	int p[2];

	if (env_pipe(p, 0) < 0)
		return 0;
	middle = fork();
	if (middle == 0) {
		worker = fork();
		if (worker == 0) {
			env_close(p[0]);
			env_close(p[1]);
			worker_of(g, m, chan_fd);
		}
		if (env_write(p[1], &worker, sizeof(worker)) != (ssize_t)sizeof(worker))
			_exit(1);
		_exit(0);
	}
	env_close(p[1]);
	if (middle > 0) {
		if (env_read(p[0], &worker, sizeof(worker)) != (ssize_t)sizeof(worker))
			worker = 0;
		while (waitpid(middle, NULL, 0) < 0 && errno == EINTR)
			;
	}
	env_close(p[0]);
	return worker > 0 ? worker : 0;
}

static void on_fork(struct gen *g, struct msg_in *in)
{
	int fd = msg_take_fd(in, 0);
	struct msg m = in->m;

	m.type = MSG_FORKED;
	m.arg = fd >= 0 ? (uint64_t)fork_twice(g, &in->m, fd) : 0;
	if (fd >= 0)
		env_close(fd);
	send_blocking(g->chan_fd, &m, NULL, 0, NULL, 0);
}

/* Messages -------------------------------------------------------------------------------- */

static void on_listeners(struct gen *g, struct msg_in *in)
{
	for (unsigned i = 0; i < in->n_fd; i++) {
		unsigned core = in->m.core + i;

		if (in->m.arg >= g->lc->n_listens || core >= g->start->cores)
			return;
		g->listen_fd[in->m.arg * g->start->cores + core] = msg_take_fd(in, i);
	}
}

static void on_streams(struct gen *g, struct msg_in *in)
{
	struct str text = str_n(in->text, in->n);
	uint64_t id;

	for (unsigned i = 0; i < g->lc->n_logs && str_u64(str_cut(&text, '\n'), &id); i++)
		g->lc->log_ids[i] = (uint32_t)id;
}

static void on_message(struct gen *g, struct msg_in *in)
{
	switch (in->m.type) {
	case MSG_LISTENERS:
		on_listeners(g, in);
		break;
	case MSG_STREAMS:
		on_streams(g, in);
		break;
	case MSG_FORK:
		on_fork(g, in);
		break;
	case MSG_KEEP:
		gen_keep_set(g, in);
		break;
	case MSG_DROP:
		gen_keep_drop(g, str_n(in->text, in->n));
		break;
	default:
		break;
	}
}

static void read_channel(struct gen *g)
{
	static struct msg_in in;
	int r = msg_recv(g->chan_fd, &in);

	if (r == 1) {
		on_message(g, &in);
		msg_in_done(&in);
	} else if (r == 0 || r != -EAGAIN) {
		/* MSG_DROP of everything precedes a regular end: what is left says that the master died. */
		if (g->n_keep == 0 || g->start->adopt_fd < 0)
			_exit(0);
		env_close(g->chan_fd);
		g->chan_fd = -1;
		g->orphan = true;
		log_ev(EV_PROCESS_EXIT, "master is gone: its processes go on; a new one can adopt them");
	}
}

FL_NORETURN static void serve(struct gen *g)
{
	for (;;) {
		struct pollfd p[2] = {
			{ .fd = g->chan_fd, .events = POLLIN }, { .fd = g->start->adopt_fd, .events = POLLIN },
		};

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents)
			read_channel(g);
		if (p[1].revents) {
			int fd = gen_adopted(g);

			if (fd >= 0) {
				g->chan_fd = fd;
				g->orphan = false;
			}
		}
	}
}

static bool make_room(struct gen *g)
{
	size_t n = (size_t)g->lc->n_listens * g->start->cores + 1;

	g->listen_fd = env_malloc(n * sizeof(int));
	g->lc->log_ids = env_calloc(g->lc->n_logs + 1, sizeof(uint32_t));
	for (size_t i = 0; g->listen_fd && i < n; i++)
		g->listen_fd[i] = -1;
	g->ping_fd = env_malloc(g->start->cores * sizeof(g->ping_fd[0]));
	for (unsigned c = 0; g->ping_fd && c < g->start->cores; c++) {
		g->ping_fd[c][0] = g->ping_fd[c][1] = -1;
		if (monitor_has_ping(g->lc))
			monitor_open_ping(&g->ping_fd[c][0], &g->ping_fd[c][1]);
	}
	return g->listen_fd && g->lc->log_ids && g->ping_fd;
}

void gen_main(const struct gen_start *s)
{
	static struct gen g;             /* workers inherit it */
	struct conf_diag *d;
	unsigned n_keep = 0;
	char name[16];
	int *keep, n_seg = s->seg ? (int)stat_fd_count(s->seg) : 0;
	bool good;

	snprintf(name, sizeof(name), "fl-gen %u", s->generation % 1000000);
	sandbox_child(name);
	log_set_who("gen");
	g = (struct gen){ .start = s, .chan_fd = s->chan_fd };
	keep = env_malloc(sizeof(int) * ((size_t)n_seg + s->n_mail + 2 * (size_t)s->n_box + 8));
	if (!keep)
		_exit(1);
	keep[n_keep++] = s->chan_fd;
	keep[n_keep++] = s->adopt_fd;
	keep[n_keep++] = s->image_fd;
	keep[n_keep++] = s->wake_control;
	keep[n_keep++] = s->wake_logd;
	for (int i = 0; i < n_seg; i++)
		keep[n_keep++] = stat_fds(s->seg)[i];
	for (unsigned i = 0; i < s->n_mail; i++)
		keep[n_keep++] = s->mail_fd[i];
	for (unsigned i = 0; i < 2 * s->n_box; i++)
		keep[n_keep++] = s->box_fd[i];
	sandbox_close_others(keep, n_keep);
	env_free(keep);

	d = conf_diag_new();
	good = d && load_and_report(&g, d);
	if (!good || !s->seg || !make_room(&g))
		_exit(good ? 0 : 1);
	conf_diag_free(&d);
	serve(&g);
}
