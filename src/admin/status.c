/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.c - how the appliance is: the verdict with its reasons, the one-screen summary, show info
 */
#include "config.h"

#include "admin/inside.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/env.h"

struct service_count { unsigned all, up, down, out; };

static struct service_count count_services(const struct admin_view *v)
{
	struct service_count n = { 0 };

	for (unsigned i = 0; v->lc && i < v->lc->n_pools; i++) {
		for (unsigned k = 0; k < v->lc->pools[i].n_services; k++) {
			uint32_t state =
				lb_service_state(v->lc, &v->lc->pools[i].services[k], NULL, NULL);

			n.all++;
			n.up += state == ST_SVC_UP;
			n.down += state == ST_SVC_DOWN || state == ST_SVC_RESOLVING;
			n.out += state == ST_SVC_DRAIN || state == ST_SVC_MAINT;
		}
	}
	return n;
}

/* ---------- the verdict ---------- */

static bool core_runs(const struct admin_view *v, uint32_t core, struct stat_proc *other)
{
	struct stat_proc p;

	memset(other, 0, sizeof(*other));
	for (uint32_t s = 0; s < stat_worker_slots(v->seg); s++) {
		if (!stat_proc_get(v->seg, s, &p) || p.core != core || p.role != STAT_WORKER)
			continue;
		if (p.state == ST_PROC_RUNNING)
			return true;
		if (p.state != ST_PROC_FREE &&
		    (other->state == ST_PROC_FREE || p.generation >= other->generation))
			*other = p;
	}
	return false;
}

static unsigned expected_workers(const struct admin_view *v)
{
	unsigned n = v->lc && v->lc->workers ? v->lc->workers : stat_cores(v->seg);

	return FL_MIN(n, stat_cores(v->seg));
}

static int judge_workers(const struct admin_view *v, struct sb *r)
{
	unsigned want = expected_workers(v), running = 0;

	for (uint32_t core = 0; core < want; core++) {
		struct stat_proc p = { 0 };

		if (core_runs(v, core, &p)) {
			running++;
			continue;
		}
		sb_fmt(r, "core %u: ", core);
		if (p.state == ST_PROC_FREE)
			sb_c(r, "no worker\n");
		else
			sb_fmt(r, "worker %u is %s, %u restarts\n", p.pid,
			       tbl_state_name("PROC", (int)p.state), p.restarts);
	}
	return running == want ? STATUS_OK : running ? STATUS_DEGRADED : STATUS_FAILED;
}

static int judge_services(const struct admin_view *v, struct sb *r)
{
	int worst = STATUS_OK;

	for (unsigned i = 0; v->lc && i < v->lc->n_pools; i++) {
		const struct lb_pool *p = &v->lc->pools[i];

		if (p->n_services && !pool_works(p)) {
			sb_fmt(r, "pool %s: no usable service\n", p->name);
			worst = STATUS_DEGRADED;
		}
		for (unsigned k = 0; k < p->n_services; k++) {
			struct stat_health h;
			struct stat_admin a;
			char mem[256];
			struct sb why;
			uint32_t state;

			sb_init(&why, mem, sizeof(mem));
			state = service_why(v, &p->services[k], &h, &a, &why);
			if (state != ST_SVC_DOWN && state != ST_SVC_RESOLVING)
				continue;
			sb_fmt(r, "service %s: %s%s%s\n", p->services[k].full_name,
			       tbl_state_name("SVC", (int)state), why.n ? ", " : "", mem);
			worst = STATUS_DEGRADED;
		}
	}
	return worst;
}

int status_judge(const struct admin_view *v, struct sb *r)
{
	struct stat_conf_state conf;
	int worst = STATUS_OK, s;

	if (!stat_conf_get(v->seg, &conf) || !conf.generation) {
		sb_c(r, "no configuration is loaded\n");
		worst = STATUS_FAILED;
	} else if (!conf.last_ok) {
		sb_fmt(r, "last reload failed: %s\n",
		       conf.last_error[0] ? conf.last_error : "no reason was kept");
		worst = STATUS_DEGRADED;
	}
	s = judge_workers(v, r);
	worst = FL_MAX(worst, s);
	s = judge_services(v, r);
	return FL_MAX(worst, s);
}

/* ---------- status ---------- */

static const char *const verdicts[] = { "OK", "DEGRADED", "FAILED" };

static uint64_t log_drops(const struct admin_view *v)
{
	struct stat_proc p;
	uint64_t n = 0;

	for (uint32_t s = 0; s < stat_n_slots(v->seg); s++)
		if (stat_proc_get(v->seg, s, &p))
			n += p.log_dropped;
	return n;
}

static uint64_t cycle_age(const struct admin_view *v, struct stat_cycles *c)
{
	stat_cycles(v->seg, c);
	return v->now_ms > c->at_ms ? v->now_ms - c->at_ms : 0;
}

static void conf_line(const struct stat_conf_state *f, struct sb *out)
{
	if (!f->generation) {
		sb_c(out, "configuration  none yet\n");
		return;
	}
	sb_fmt(out, "configuration  generation %u, loaded ", f->generation);
	text_time(out, f->loaded_us);
	if (f->file[0])
		sb_fmt(out, " from %s", f->file);
	sb_c(out, "\nlast reload    ");
	if (!f->reloads && f->last_ok) {
		sb_c(out, "none since the start");
	} else {
		sb_c(out, f->last_ok ? "good " : "FAILED ");
		text_time(out, f->last_reload_us);
		sb_fmt(out, " (%u done, %u refused since the start)", f->reloads, f->reload_failures);
	}
	sb_ch(out, '\n');
}

static void worker_lines(const struct admin_view *v, struct sb *out)
{
	struct stat_proc p;

	for (uint32_t s = 0; s < stat_worker_slots(v->seg); s++) {
		if (!stat_proc_get(v->seg, s, &p) || p.state == ST_PROC_FREE ||
		    p.state == ST_PROC_DEAD)
			continue;
		sb_fmt(out, "worker         core %u pid %u generation %u %s", p.core, p.pid,
		       p.generation, tbl_state_name("PROC", (int)p.state));
		if (p.heartbeat_ms)
			sb_fmt(out, ", heartbeat %" PRIu64 " ms ago",
			       v->now_ms > p.heartbeat_ms ? v->now_ms - p.heartbeat_ms : 0);
		sb_fmt(out, ", %u restarts\n", p.restarts);
	}
}

static void indent_lines(struct str s, struct sb *out)
{
	while (s.n) {
		struct str line = str_cut(&s, '\n');

		sb_fmt(out, "reason         " STR_FMT "\n", STR_ARG(line));
	}
}

static void status_text(struct cmd *c, int verdict, struct str reasons,
			const struct stat_conf_state *f)
{
	const struct admin_view *v = c->v;
	struct service_count n = count_services(v);
	struct stat_cycles cyc;
	uint64_t age = cycle_age(v, &cyc);

	sb_fmt(&c->out, "%s  generation %u  %u/%u workers running  %u/%u services up",
	       verdicts[verdict], f->generation, view_workers(v, ST_PROC_RUNNING, 0),
	       expected_workers(v), n.up, n.all);
	if (n.out)
		sb_fmt(&c->out, " (%u drained or in maintenance)", n.out);
	sb_fmt(&c->out, "  %" PRIu64 " requests, %" PRIu64 " in progress\n",
	       view_sum(v, KIND_VSERVER, CTR_VSERVER_REQ_TOT),
	       view_sum(v, KIND_VSERVER, CTR_VSERVER_REQ_CUR));
	indent_lines(reasons, &c->out);
	conf_line(f, &c->out);
	sb_c(&c->out, "up             ");
	text_age(&c->out, (v->wall_us - FL_MIN(v->wall_us, stat_started_us(v->seg))) / 1000);
	sb_fmt(&c->out, ", fairlead %s\n", PACKAGE_VERSION);
	worker_lines(v, &c->out);
	listeners_fallen_back(v, &c->out);
	sb_fmt(&c->out,
	       "figures        folded %" PRIu64 " ms ago (cycle %" PRIu64 ", %" PRIu64 " missed, %" PRIu64
	       " early; the longest took %" PRIu64 " us)\n",
	       age, cyc.cycle, cyc.missed, cyc.early, cyc.fold_max_us);
	sb_fmt(&c->out, "logs           %" PRIu64 " lines dropped\n", log_drops(v));
}

static void reasons_json(struct str s, struct sb *out)
{
	const char *comma = "";

	sb_ch(out, '[');
	while (s.n) {
		struct str line = str_cut(&s, '\n');

		sb_c(out, comma);
		sb_json_str(out, line);
		comma = ", ";
	}
	sb_ch(out, ']');
}

static void status_json(struct cmd *c, int verdict, struct str reasons,
			const struct stat_conf_state *f)
{
	const struct admin_view *v = c->v;
	struct service_count n = count_services(v);
	struct sb *out = &c->out;
	struct stat_cycles cyc;
	uint64_t age = cycle_age(v, &cyc);

	sb_fmt(out, "{\"status\": \"%s\", \"reasons\": ", verdicts[verdict]);
	reasons_json(reasons, out);
	sb_fmt(out, ", \"version\": \"%s\", \"generation\": %u, \"loaded\": \"", PACKAGE_VERSION,
	       f->generation);
	text_time(out, f->loaded_us);
	sb_fmt(out,
	       "\", \"reloads\": %u, \"reload_failures\": %u, \"last_reload_ok\": %s, \"last_reload\": \"",
	       f->reloads, f->reload_failures, f->last_ok ? "true" : "false");
	text_time(out, f->last_reload_us);
	sb_c(out, "\", \"last_error\": ");
	sb_json_str(out, str_c(f->last_error));
	sb_c(out, ", \"file\": ");
	sb_json_str(out, str_c(f->file));
	sb_fmt(out, ", \"uptime_s\": %" PRIu64 ", \"workers\": %u, \"workers_running\": %u",
	       (v->wall_us - FL_MIN(v->wall_us, stat_started_us(v->seg))) / 1000000,
	       expected_workers(v), view_workers(v, ST_PROC_RUNNING, 0));
	sb_fmt(out,
	       ", \"services\": %u, \"services_up\": %u, \"services_down\": %u, \"services_out\": %u",
	       n.all, n.up, n.down, n.out);
	sb_fmt(out, ", \"requests\": %" PRIu64 ", \"requests_active\": %" PRIu64,
	       view_sum(v, KIND_VSERVER, CTR_VSERVER_REQ_TOT),
	       view_sum(v, KIND_VSERVER, CTR_VSERVER_REQ_CUR));
	sb_fmt(out,
	       ", \"cycle\": %" PRIu64 ", \"cycle_age_ms\": %" PRIu64 ", \"cycles_missed\": %" PRIu64
	       ", \"cycles_early\": %" PRIu64 ", \"fold_us\": %" PRIu64 ", \"fold_max_us\": %" PRIu64
	       ", \"log_dropped\": %" PRIu64 ", \"distribution\": ",
	       cyc.cycle, age, cyc.missed, cyc.early, cyc.fold_us, cyc.fold_max_us, log_drops(v));
	listeners_distribution_json(v, out);
	sb_c(out, "}\n");
	c->is_json = true;
}

/* Before its first probe a service counts as up, in hope: who waits for OK does not want to hear that. */
static bool all_probed(const struct admin_view *v)
{
	for (unsigned i = 0; v->lc && i < v->lc->n_pools; i++) {
		for (unsigned k = 0; k < v->lc->pools[i].n_services; k++) {
			struct stat_health h;
			uint32_t state =
				lb_service_state(v->lc, &v->lc->pools[i].services[k], &h, NULL);

			if (state != ST_SVC_MAINT && h.state == ST_HEALTH_UNKNOWN)
				return false;
		}
	}
	return v->lc != NULL;
}

static void on_status_poll(struct timer *t);

/* The answer, or another look when there is time and it is not yet what is waited for. */
static int status_answer(struct cmd *c)
{
	struct stat_conf_state f;
	struct sb reasons;
	int verdict;

	memset(&f, 0, sizeof(f));
	if (!stat_conf_get(c->v->seg, &f))
		memset(&f, 0, sizeof(f));
	sb_init_heap(&reasons);
	verdict = status_judge(c->v, &reasons);
	if (c->deadline_ms > c->v->now_ms && (verdict != STATUS_OK || !all_probed(c->v))) {
		sb_free(&reasons);
		cmd_poll(c, on_status_poll);
		return CMD_LATER;
	}
	if (c->call.json)
		status_json(c, verdict, sb_get(&reasons), &f);
	else
		status_text(c, verdict, sb_get(&reasons), &f);
	sb_free(&reasons);
	return verdict == STATUS_OK ? CMD_OK : CMD_FAIL;
}

static void on_status_poll(struct timer *t)
{
	struct cmd *c = FL_CONTAINER_OF(t, struct cmd, timer);
	int code;

	view_refresh(c->v);
	code = status_answer(c);
	if (code != CMD_LATER)
		cmd_finish(c, code);
}

int verb_STATUS(struct cmd *c)
{
	if (!cmd_wait_option(c, &c->deadline_ms))
		return CMD_USAGE;
	if (c->deadline_ms)
		c->deadline_ms += c->v->now_ms;
	return status_answer(c);
}

/* ---------- show info ---------- */

static void info_u64(struct cmd *c, const char *name, uint64_t v)
{
	if (c->call.json)
		sb_fmt(&c->out, ", \"%s\": %" PRIu64, name, v);
	else
		sb_fmt(&c->out, "%s: %" PRIu64 "\n", name, v);
}

int verb_SHOW_INFO(struct cmd *c)
{
	const struct admin_view *v = c->v;
	uint64_t up_s = (v->wall_us - FL_MIN(v->wall_us, stat_started_us(v->seg))) / 1000000;
	struct stat_conf_state f;
	struct stat_proc p;

	if (c->call.json)
		sb_fmt(&c->out, "{\"Name\": \"fairlead\", \"Version\": \"%s\"", PACKAGE_VERSION);
	else
		sb_fmt(&c->out, "Name: fairlead\nVersion: %s\n", PACKAGE_VERSION);
	info_u64(c, "Nbproc", view_workers(v, ST_PROC_RUNNING, 0));
	if (stat_proc_get(v->seg, stat_slot_of(v->seg, STAT_MASTER), &p))
		info_u64(c, "Pid", p.pid);
	if (!c->call.json)
		sb_fmt(&c->out, "Uptime: %" PRIu64 "d %" PRIu64 "h%02um%02us\n", up_s / 86400,
		       up_s / 3600 % 24, (unsigned)(up_s / 60 % 60), (unsigned)(up_s % 60));
	info_u64(c, "Uptime_sec", up_s);
	info_u64(c, "Start_time_sec", stat_started_us(v->seg) / 1000000);
	info_u64(c, "CurrConns", view_sum(v, KIND_VSERVER, CTR_VSERVER_CONN_CUR));
	info_u64(c, "CumConns", view_sum(v, KIND_VSERVER, CTR_VSERVER_CONN_TOT));
	info_u64(c, "CumReq", view_sum(v, KIND_VSERVER, CTR_VSERVER_REQ_TOT));
	info_u64(c, "SslFrontendHandshakes", view_sum(v, KIND_PROC, CTR_PROC_TLS_HS));
	info_u64(c, "SslFrontendResumed", view_sum(v, KIND_PROC, CTR_PROC_TLS_RESUMED));
	info_u64(c, "Stopping", view_workers(v, ST_PROC_DRAINING, 0));
	info_u64(c, "DroppedLogs", log_drops(v));
	if (stat_conf_get(v->seg, &f)) {
		info_u64(c, "Generation", f.generation);
		info_u64(c, "Reloads", f.reloads);
		info_u64(c, "FailedReloads", f.reload_failures);
	}
	sb_c(&c->out, c->call.json ? "}\n" : "");
	c->is_json = c->call.json;
	return CMD_OK;
}

/* ---------- this process ---------- */

bool process_figure(unsigned i, struct process_figure *out)
{
	struct rusage ru;
	struct rlimit rl;

	switch (i) {
	case 0:
		if (getrusage(RUSAGE_SELF, &ru) != 0)
			memset(&ru, 0, sizeof(ru));
		*out = (struct process_figure){
			"cpu_seconds", "Processor time of the process that serves this page", true,
			(double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
				(double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6
		};
		return true;
	case 1:
		if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
			rl.rlim_cur = 0;
		*out = (struct process_figure){ "max_fds", "Descriptors that the process may open",
						false, (double)rl.rlim_cur };
		return true;
	case 2:
		if (getrusage(RUSAGE_SELF, &ru) != 0)
			memset(&ru, 0, sizeof(ru));
		*out = (struct process_figure){ "resident_memory_max_bytes",
						"Largest resident memory of the process", false,
						(double)ru.ru_maxrss * 1024.0 };
		return true;
	default:
		return false;
	}
}
