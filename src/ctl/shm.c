/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shm.c - fairleadctl --shm: reads the shared segment itself, no process of the appliance is asked
 *
 * For when nobody answers: everything may be stopped, or all but one process dead. The files of the segment are found
 * below /proc by their names (fairlead-shm.7): the master has them open, and each gen, which keeps them for the next
 * master. What is read is checked and bounded as everywhere (stat_open). Only what the segment alone can tell is
 * told; names of the configuration, as in `show service`, are not in it.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "admin/grid.h"
#include "base/env.h"
#include "base/err.h"
#include "stat/reason.h"
#include "stat/stat.h"

#define FILES_MAX 65536u         /* of a segment: more slots than there can be */

/* Finding it ------------------------------------------------------------------------------ */

/* The descriptor numbers of one process by place: dir, totals, slots; -1: not there. */
struct found {
	int     *fd;
	unsigned n, cap;
};

static bool remember(struct found *f, unsigned at, int fd)
{
	if (at >= FILES_MAX)
		return true;
	if (at >= f->cap) {
		unsigned cap = FL_MAX(at + 1, f->cap * 2);
		int *more = env_realloc(f->fd, cap * sizeof(*more));

		if (!more)
			return false;
		for (unsigned i = f->cap; i < cap; i++)
			more[i] = -1;
		f->fd = more;
		f->cap = cap;
	}
	f->fd[at] = fd;
	f->n = FL_MAX(f->n, at + 1);
	return true;
}

/* "/memfd:fairlead-slot-7 (deleted)" -> 9; UINT_MAX: another file. */
static unsigned place_of(struct str link)
{
	struct str tail = STR(" (deleted)"), prefix = STR("/memfd:fairlead-"), slot = STR("slot-");
	uint64_t k;

	if (!str_starts(link, prefix))
		return UINT_MAX;
	link = str_n(link.p + prefix.n, link.n - prefix.n);
	if (link.n > tail.n && str_eq(str_n(link.p + link.n - tail.n, tail.n), tail))
		link.n -= tail.n;
	if (str_eq(link, STR("dir")))
		return 0;
	if (str_eq(link, STR("totals")))
		return 1;
	if (!str_starts(link, slot) || !str_u64(str_n(link.p + slot.n, link.n - slot.n), &k) || k >= FILES_MAX)
		return UINT_MAX;
	return (unsigned)k + 2;
}

/* 0, or why the descriptors of the process cannot be looked at. */
static int look(const char *pid, struct found *f)
{
	char path[300], link[256];
	DIR *d;
	int err = 0;

	f->n = 0;
	for (unsigned i = 0; i < f->cap; i++)
		f->fd[i] = -1;
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	if (!d)
		return -errno;
	for (struct dirent *e = readdir(d); e && err == 0; e = readdir(d)) {
		uint64_t fd;
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%s/fd/%.20s", pid, e->d_name);
		if (!str_u64(str_c(e->d_name), &fd) || fd > INT_MAX)
			continue;
		n = readlink(path, link, sizeof(link));
		if (n > 0 && place_of(str_n(link, (size_t)n)) != UINT_MAX &&
		    !remember(f, place_of(str_n(link, (size_t)n)), (int)fd))
			err = FL_ENOMEM_;
	}
	closedir(d);
	return err;
}

static bool is_complete(const struct found *f)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->fd[i] < 0)
			return false;
	return f->n > 2;
}

/* Opens them anew, for reading. */
static struct stat_seg *attach(const char *pid, const struct found *f, int *err)
{
	int *fd = env_calloc(f->n, sizeof(*fd));
	struct stat_seg *s = NULL;
	char path[300];
	unsigned n = 0;

	*err = fd ? 0 : FL_ENOMEM_;
	for (; fd && n < f->n; n++) {
		snprintf(path, sizeof(path), "/proc/%s/fd/%d", pid, f->fd[n]);
		fd[n] = env_open(path, O_RDONLY | O_CLOEXEC, 0);
		if (fd[n] < 0) {
			*err = fd[n];
			break;
		}
	}
	if (*err >= 0)
		s = stat_open(fd, n, err);
	for (unsigned i = 0; !s && i < n; i++)
		env_close(fd[i]);
	env_free(fd);
	return s;
}

static struct stat_seg *of_process(const char *pid)
{
	struct found f = { 0 };
	struct stat_seg *s = NULL;
	int err = look(pid, &f);

	if (err < 0)
		ctl_say("process %.20s: its descriptors cannot be read: %s", pid, fl_err_text(err));
	else if (!is_complete(&f))
		ctl_say("process %.20s has no segment of fairlead open; the master has, and each gen: show process names them", pid);
	else
		s = attach(pid, &f, &err);
	if (!s && is_complete(&f))
		ctl_say("the segment of process %.20s: %s; a fairleadctl of the same version can read it", pid, fl_err_text(err));
	env_free(f.fd);
	return s;
}

/* The only one there is. Processes of one appliance have the same files: the same inode of dir says so. */
static bool find_only(char pid[24])
{
	struct found f = { 0 };
	uint64_t inode = 0;
	unsigned appliances = 0;
	bool denied = false;
	DIR *d = opendir("/proc");

	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		char path[64];
		struct stat st;
		uint64_t n;
		int err;

		if (!str_u64(str_c(e->d_name), &n))
			continue;
		err = look(e->d_name, &f);
		denied |= err == -EACCES;
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%d", e->d_name, f.n ? f.fd[0] : -1);
		if (err < 0 || !is_complete(&f) || env_stat(path, &st) < 0 || (appliances && st.st_ino == inode))
			continue;
		appliances++;
		inode = st.st_ino;
		snprintf(pid, 24, "%.20s", e->d_name);
	}
	if (d)
		closedir(d);
	env_free(f.fd);
	if (!appliances)
		ctl_say("no process has a segment of fairlead open%s", denied ? ", of those that you may look at" : "");
	else if (appliances > 1)
		ctl_say("there are several; say which by a process id: --shm PID");
	return appliances == 1;
}

/* Telling --------------------------------------------------------------------------------- */

struct reader {
	struct stat_seg        *seg;
	const struct verb_call *call;
	struct sb               out;
	uint64_t                now_ms;
};

static void put_grid(struct reader *r, struct grid *g, unsigned flags)
{
	grid_print(g, flags | (r->call->json ? GRID_JSON : 0), &r->out);
	grid_free(g);
}

static uint64_t since(const struct reader *r, uint64_t then_ms)
{
	return r->now_ms > then_ms ? r->now_ms - then_ms : 0;
}

static int tell_kind(struct reader *r, enum tbl_kind kind)
{
	struct str wanted = r->call->n_pos ? r->call->pos[0] : STR_NULL, name;
	uint64_t v[TBL_CTR_MAX] = { 0 };
	unsigned first, n, rows = 0;
	enum tbl_kind k;
	struct grid g;
	bool current;

	tbl_kind_range(kind, &first, &n);
	grid_init(&g);
	grid_col(&g, "name", GRID_TEXT);
	for (unsigned i = 0; i < n; i++)
		grid_col(&g, tbl_ctrs[first + i].metric, GRID_NUM);
	for (uint32_t row = 0; row < stat_obj_max(r->seg); row++) {
		if (!stat_obj_get(r->seg, row, &k, &name, &current) || k != kind || !current ||
		    (wanted.p && !str_eq(name, wanted)))
			continue;
		(void)stat_total_row(r->seg, row, v);
		grid_str(&g, name);
		for (unsigned i = 0; i < n; i++)
			grid_u64(&g, v[tbl_ctrs[first + i].idx]);
		rows++;
	}
	if (wanted.p && !rows) {
		grid_free(&g);
		ctl_say("no %s named \"" STR_FMT "\"", tbl_kind_name(kind), STR_ARG(wanted));
		return CTL_FAIL;
	}
	put_grid(r, &g, wanted.p ? GRID_VERTICAL : verb_flag(r->call, "--all") ? 0 : GRID_HIDE_ZERO);
	return CTL_OK;
}

static int tell_errors(struct reader *r)
{
	bool all = verb_flag(r->call, "--all");
	struct grid g;

	grid_init(&g);
	grid_col(&g, "of", GRID_TEXT);
	grid_col(&g, "reason", GRID_TEXT);
	grid_col(&g, "count", GRID_NUM);
	grid_col(&g, "text", GRID_TEXT);
	for (unsigned of = 0; of < REFUSED__COUNT; of++) {
		unsigned first, n;

		tbl_kind_range(tbl_refusals[of].kind, &first, &n);
		for (unsigned i = first; i < first + n; i++) {
			uint64_t v = stat_reason_total(r->seg, (enum tbl_refusals)of, tbl_ctrs[i].idx);

			if (!v && !all)
				continue;
			grid_text(&g, tbl_refusals[of].name);
			grid_text(&g, tbl_ctrs[i].metric);
			grid_u64(&g, v);
			grid_text(&g, tbl_ctrs[i].text);
		}
	}
	put_grid(r, &g, 0);
	return CTL_OK;
}

static const char *role_name(enum stat_role role)
{
	switch (role) {
	case STAT_MASTER:  return "master";
	case STAT_WORKER:  return "worker";
	case STAT_CONTROL: return "control";
	case STAT_LOGD:    return "logd";
	case STAT_READER:  break;
	}
	return "?";
}

static int tell_processes(struct reader *r, bool workers_only)
{
	struct stat_proc p;
	struct grid g;

	grid_init(&g);
	grid_col(&g, "core", GRID_NUM);
	grid_col(&g, "pid", GRID_NUM);
	grid_col(&g, "generation", GRID_NUM);
	grid_col(&g, "state", GRID_TEXT);
	grid_col(&g, "role", GRID_TEXT);
	grid_col(&g, "slot", GRID_NUM);
	grid_col(&g, "heartbeat_age_ms", GRID_NUM);
	grid_col(&g, "restarts", GRID_NUM);
	grid_col(&g, "cycle", GRID_NUM);
	for (uint32_t k = 0; k < stat_n_slots(r->seg); k++) {
		bool worker;

		if (!stat_proc_get(r->seg, k, &p) || p.state == ST_PROC_FREE)
			continue;
		worker = p.role == STAT_WORKER;
		if (workers_only && !worker)
			continue;
		if (worker)
			grid_u64(&g, p.core);
		else
			grid_text(&g, NULL);
		grid_u64(&g, p.pid);
		grid_u64(&g, p.generation);
		grid_text(&g, tbl_state_name("PROC", (int)p.state));
		grid_text(&g, role_name(p.role));
		grid_u64(&g, p.slot);
		if (p.heartbeat_ms)
			grid_u64(&g, since(r, p.heartbeat_ms));
		else
			grid_text(&g, NULL);
		grid_u64(&g, p.restarts);
		grid_u64(&g, p.seen_cycle);
	}
	put_grid(r, &g, 0);
	return CTL_OK;
}

static int tell_status(struct reader *r)
{
	struct stat_conf_state conf = { 0 };
	struct stat_cycles cy;
	struct grid g;

	stat_cycles(r->seg, &cy);
	(void)stat_conf_get(r->seg, &conf);
	conf.file[sizeof(conf.file) - 1] = '\0';
	grid_init(&g);
	grid_col(&g, "layout", GRID_TEXT);
	grid_col(&g, "generation", GRID_NUM);
	grid_col(&g, "file", GRID_TEXT);
	grid_col(&g, "reloads", GRID_NUM);
	grid_col(&g, "reload_failures", GRID_NUM);
	grid_col(&g, "cycle", GRID_NUM);
	grid_col(&g, "cycle_age_ms", GRID_NUM);
	grid_col(&g, "cycles_missed", GRID_NUM);
	grid_col(&g, "fold_us", GRID_NUM);
	grid_fmt(&g, "%016llx", (unsigned long long)stat_layout_id());
	grid_u64(&g, conf.generation);
	grid_text(&g, conf.file);
	grid_u64(&g, conf.reloads);
	grid_u64(&g, conf.reload_failures);
	grid_u64(&g, cy.cycle);
	grid_u64(&g, since(r, cy.at_ms));
	grid_u64(&g, cy.missed);
	grid_u64(&g, cy.fold_us);
	put_grid(r, &g, GRID_VERTICAL);
	return CTL_OK;
}

static int tell(struct reader *r)
{
	switch (r->call->id) {
	case VERB_STAT_VSERVER:  return tell_kind(r, KIND_VSERVER);
	case VERB_STAT_POOL:     return tell_kind(r, KIND_POOL);
	case VERB_STAT_SERVICE:  return tell_kind(r, KIND_SERVICE);
	case VERB_STAT_LISTENER: return tell_kind(r, KIND_LISTENER);
	case VERB_STAT_POLICY:   return tell_kind(r, KIND_POLICY);
	case VERB_STAT_CORE:     return tell_kind(r, KIND_PROC);
	case VERB_SHOW_ERRORS:   return tell_errors(r);
	case VERB_SHOW_CORE:     return tell_processes(r, true);
	case VERB_SHOW_PROCESS:  return tell_processes(r, false);
	case VERB_STATUS:        return tell_status(r);
	default:
		ctl_say("--shm knows status, stat KIND, show core, show process and show errors; the rest needs somebody "
			"who answers");
		return CTL_USAGE;
	}
}

int ctl_shm(const char *which, const struct verb_call *call)
{
	struct reader r = { .call = call, .now_ms = env_now_us() / 1000 };
	char pid[24];
	uint64_t n;
	int code;

	if (strcmp(which, "any") != 0 && (!str_u64(str_c(which), &n) || n > INT_MAX)) {
		ctl_say("--shm needs the id of a process, or any");
		return CTL_USAGE;
	}
	snprintf(pid, sizeof(pid), "%.20s", which);
	if (strcmp(which, "any") == 0 && !find_only(pid))
		return CTL_UNREACHABLE;
	r.seg = of_process(pid);
	if (!r.seg)
		return CTL_UNREACHABLE;
	sb_init_heap(&r.out);
	code = tell(&r);
	if (code == CTL_OK && r.out.n && r.out.p[r.out.n - 1] != '\n')
		sb_ch(&r.out, '\n');
	(void)ctl_put(STDOUT_FILENO, sb_get(&r.out));
	sb_free(&r.out);
	stat_free(r.seg);
	return code;
}
