/* SPDX-License-Identifier: Apache-2.0 */
/*
 * figures.c - counters and processes as the segment has them: stat KIND, show core, show process
 *
 * Which numbers there are, what they are called and what they mean comes from tbl/counters.def.
 */
#include "config.h"

#include "admin/inside.h"

#include <inttypes.h>
#include <sched.h>

#include "base/env.h"
#include "stat/reason.h"

#define GENS_MS 1000u

uint64_t view_sum(const struct admin_view *v, enum tbl_kind kind, unsigned ctr)
{
	uint64_t sum = 0;
	uint32_t row = 0;
	struct str name;

	while (view_next_row(v, kind, &row, &name))
		sum += stat_total(v->seg, row - 1, ctr);
	return sum;
}

/* One object: a counter a line, with its meaning. */
static int stat_one(struct cmd *c, enum tbl_kind kind, uint32_t row, struct str name)
{
	uint64_t v[TBL_CTR_MAX] = { 0 };
	unsigned first, n;
	struct grid g;

	(void)stat_total_row(c->v->seg, row, v);
	tbl_kind_range(kind, &first, &n);
	grid_init(&g);
	grid_col(&g, "counter", GRID_TEXT);
	grid_col(&g, "value", GRID_NUM);
	grid_col(&g, "unit", GRID_TEXT);
	grid_col(&g, "text", GRID_TEXT);
	for (unsigned i = 0; i < n; i++) {
		const struct tbl_ctr_row *r = &tbl_ctrs[first + i];

		grid_text(&g, r->metric);
		grid_u64(&g, v[r->idx]);
		grid_text(&g, r->unit);
		grid_text(&g, r->text);
	}
	if (!c->call.json)
		sb_fmt(&c->out, "%s " STR_FMT "\n", tbl_kind_name(kind), STR_ARG(name));
	return cmd_grid(c, &g, 0);
}

static void counters_row(struct cmd *c, struct grid *g, unsigned first, unsigned n, uint32_t row,
			 struct str name)
{
	uint64_t v[TBL_CTR_MAX] = { 0 };

	(void)stat_total_row(c->v->seg, row, v);
	grid_str(g, name);
	for (unsigned i = 0; i < n; i++)
		grid_u64(g, v[tbl_ctrs[first + i].idx]);
}

/* A table, a row for each object; columns that are 0 everywhere are left out unless --all is
 * given. */
static int stat_kind(struct cmd *c, enum tbl_kind kind)
{
	unsigned first, n;
	uint32_t row = 0;
	struct str name;
	struct grid g;

	if (c->call.n_pos && !c->call.json) {
		row = stat_obj_find(c->v->seg, kind, c->call.pos[0]);
		return row == STAT_NO_ROW ? cmd_no_such(c, kind, c->call.pos[0]) :
					    stat_one(c, kind, row, c->call.pos[0]);
	}
	tbl_kind_range(kind, &first, &n);
	grid_init(&g);
	grid_col(&g, "name", GRID_TEXT);
	for (unsigned i = 0; i < n; i++)
		grid_col(&g, tbl_ctrs[first + i].metric, GRID_NUM);
	while (view_next_row(c->v, kind, &row, &name))
		if (!c->call.n_pos || str_eq(name, c->call.pos[0]))
			counters_row(c, &g, first, n, row - 1, name);
	if (c->call.n_pos && !g.n_cells) {
		grid_free(&g);
		return cmd_no_such(c, kind, c->call.pos[0]);
	}
	return cmd_grid(c, &g, verb_flag(&c->call, "--all") ? 0 : GRID_HIDE_ZERO);
}

int verb_STAT_VSERVER(struct cmd *c) { return stat_kind(c, KIND_VSERVER); }
int verb_STAT_POOL(struct cmd *c) { return stat_kind(c, KIND_POOL); }
int verb_STAT_SERVICE(struct cmd *c) { return stat_kind(c, KIND_SERVICE); }
int verb_STAT_LISTENER(struct cmd *c) { return stat_kind(c, KIND_LISTENER); }
int verb_STAT_POLICY(struct cmd *c) { return stat_kind(c, KIND_POLICY); }
int verb_STAT_CORE(struct cmd *c) { return stat_kind(c, KIND_PROC); }

/* ---------- reasons ---------- */

int verb_SHOW_ERRORS(struct cmd *c)
{
	bool all = verb_flag(&c->call, "--all");
	struct grid g;

	grid_init(&g);
	grid_col(&g, "of", GRID_TEXT);
	grid_col(&g, "reason", GRID_TEXT);
	grid_col(&g, "count", GRID_NUM);
	grid_col(&g, "text", GRID_TEXT);
	for (unsigned of = 0; of < REFUSED__COUNT; of++) {
		unsigned first, n;

		tbl_kind_range(tbl_refusals[of].kind, &first, &n);
		for (unsigned i = 0; i < n; i++) {
			const struct tbl_ctr_row *r = &tbl_ctrs[first + i];
			uint64_t v = stat_reason_total(c->v->seg, (enum tbl_refusals)of, r->idx);

			if (!v && !all)
				continue;
			grid_text(&g, tbl_refusals[of].name);
			grid_text(&g, r->metric);
			grid_u64(&g, v);
			grid_text(&g, r->text);
		}
	}
	return cmd_grid(c, &g, 0);
}

/* ---------- processes ---------- */

unsigned view_workers(const struct admin_view *v, uint32_t state, uint32_t generation)
{
	unsigned n = 0;
	struct stat_proc p;

	for (uint32_t s = 0; s < stat_worker_slots(v->seg); s++)
		n += stat_proc_get(v->seg, s, &p) && p.role == STAT_WORKER && p.state == state &&
		     (!generation || p.generation == generation);
	return n;
}

/* A dead worker is of interest until another one works on its core. */
static bool is_missed(const struct admin_view *v, const struct stat_proc *dead)
{
	struct stat_conf_state conf;
	struct stat_proc p;

	if (!stat_conf_get(v->seg, &conf) || dead->generation != conf.generation)
		return false;
	for (uint32_t s = 0; s < stat_worker_slots(v->seg); s++)
		if (stat_proc_get(v->seg, s, &p) && p.core == dead->core &&
		    p.state != ST_PROC_DEAD && p.state != ST_PROC_FREE &&
		    p.generation == dead->generation)
			return false;
	return true;
}

static bool is_shown(const struct admin_view *v, const struct stat_proc *p)
{
	if (p->state == ST_PROC_FREE)
		return false;
	return p->state != ST_PROC_DEAD || p->role != STAT_WORKER || is_missed(v, p);
}

static void proc_cols(struct grid *g)
{
	grid_col(g, "core", GRID_NUM);
	grid_col(g, "pid", GRID_NUM);
	grid_col(g, "generation", GRID_NUM);
	grid_col(g, "state", GRID_TEXT);
	grid_col(g, "role", GRID_TEXT);
	grid_col(g, "slot", GRID_NUM);
	grid_col(g, "uptime_s", GRID_NUM);
	grid_col(g, "heartbeat_age_ms", GRID_NUM);
	grid_col(g, "restarts", GRID_NUM);
	grid_col(g, "served_by", GRID_NUM);
	grid_col(g, "log_dropped", GRID_NUM);
	grid_col(g, "cpu", GRID_NUM);
	grid_col(g, "shares_cpu_with", GRID_TEXT);
	grid_col(g, "cycle", GRID_NUM);
	grid_col(g, "view_age_ms", GRID_NUM);
	grid_col(g, "functions", GRID_TEXT);
}

/* The CPU that a process is pinned to, as the kernel says; -1: it may run on several, or is gone. */
static int cpu_of(uint32_t pid)
{
	cpu_set_t may;

	if (!pid || sched_getaffinity((pid_t)pid, sizeof(may), &may) != 0 || CPU_COUNT(&may) != 1)
		return -1;
	for (size_t c = 0; c < CPU_SETSIZE; c++)
		if (CPU_ISSET(c, &may))
			return (int)c;
	return -1;
}

/* All slots of a moment and their CPUs, read once: who shares one is asked of all. */
struct crew {
	struct stat_proc *p;
	int              *cpu;           /* -1 also for those who are dead */
	uint32_t          n;
};

static void crew_free(struct crew *w)
{
	env_free(w->p);
	env_free(w->cpu);
}

static bool crew_read(const struct admin_view *v, struct crew *w)
{
	uint32_t n = stat_n_slots(v->seg);

	w->p = env_calloc(n, sizeof(*w->p));
	w->cpu = env_calloc(n, sizeof(*w->cpu));
	w->n = 0;
	if (!w->p || !w->cpu) {
		crew_free(w);
		return false;
	}
	for (uint32_t s = 0; s < n; s++) {
		if (!stat_proc_get(v->seg, s, &w->p[w->n]))
			continue;
		w->cpu[w->n] = w->p[w->n].state == ST_PROC_DEAD ? -1 : cpu_of(w->p[w->n].pid);
		w->n++;
	}
	return true;
}

/* Other workers of the generation (for control: those that serve) and control, as far as they are pinned to the same CPU; the first few. */
static void sharers(const struct crew *w, uint32_t me, struct sb *b)
{
	for (uint32_t i = 0; i < w->n && !b->over; i++) {
		const struct stat_proc *o = &w->p[i];

		if (i == me || w->cpu[i] != w->cpu[me])
			continue;
		if (o->role == STAT_WORKER && (w->p[me].role == STAT_CONTROL ? o->state == ST_PROC_RUNNING :
									       o->generation == w->p[me].generation))
			sb_fmt(b, "%score %u", b->n ? ", " : "", o->core);
		else if (o->role == STAT_CONTROL)
			sb_fmt(b, "%scontrol", b->n ? ", " : "");
	}
}

static void cpu_cells(struct grid *g, const struct crew *w, uint32_t i)
{
	char text[128];
	struct sb b;

	sb_init(&b, text, sizeof(text));
	if (w->cpu[i] < 0) {
		grid_text(g, NULL);
	} else {
		grid_u64(g, (uint64_t)w->cpu[i]);
		if (w->p[i].role == STAT_WORKER || w->p[i].role == STAT_CONTROL)
			sharers(w, i, &b);
	}
	grid_text(g, text);
}

/* What the configuration gives to certain cores; who drains does nothing for others any more. */
static void functions_cell(struct grid *g, const struct admin_view *v, const struct stat_proc *p)
{
	char text[64];
	struct sb b;

	sb_init(&b, text, sizeof(text));
	if (v->lc && p->role == STAT_WORKER && p->state == ST_PROC_RUNNING)
		lb_functions_text(v->lc, p->core, &b);
	grid_text(g, b.n ? text : NULL);
}

static uint64_t since(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

static void proc_row(const struct admin_view *v, struct grid *g, const struct crew *w, uint32_t i)
{
	const struct stat_proc *p = &w->p[i];
	static const char *const roles[] = {
		[STAT_MASTER] = "master", [STAT_WORKER] = "worker", [STAT_CONTROL] = "control",
		[STAT_LOGD] = "logd",     [STAT_READER] = "reader",
	};
	bool worker = p->role == STAT_WORKER;

	if (worker)
		grid_u64(g, p->core);
	else
		grid_text(g, NULL);
	grid_u64(g, p->pid);
	grid_u64(g, p->generation);
	grid_text(g, tbl_state_name("PROC", (int)p->state));
	grid_text(g, roles[p->role]);
	grid_u64(g, p->slot);
	grid_u64(g, p->started_ms ? since(v->now_ms, p->started_ms) / 1000 : 0);
	if (p->heartbeat_ms)
		grid_u64(g, since(v->now_ms, p->heartbeat_ms));
	else
		grid_text(g, NULL);
	grid_u64(g, p->restarts);
	if (worker)
		grid_u64(g, stat_serving_core(v->seg, p->core));
	else
		grid_text(g, NULL);
	grid_u64(g, p->log_dropped);
	cpu_cells(g, w, i);
	if (worker && p->seen_cycle) {
		grid_u64(g, p->seen_cycle);
		grid_u64(g, since(v->now_ms, p->seen_at_ms));
	} else {
		grid_text(g, NULL);
		grid_text(g, NULL);
	}
	functions_cell(g, v, p);
}

/* A gen has no slot; the master tells of it: "PID GENERATION STATE UPTIME_MS". */
static void gen_row(struct grid *g, struct str line)
{
	uint64_t v[4];

	for (size_t i = 0; i < FL_ARRAY_LEN(v); i++)
		if (!str_u64(str_cut(&line, ' '), &v[i]))
			return;
	grid_text(g, NULL);
	grid_u64(g, v[0]);
	grid_u64(g, v[1]);
	grid_text(g, tbl_state_name("PROC", (int)v[2]));
	grid_text(g, "gen");
	grid_text(g, NULL);
	grid_u64(g, v[3] / 1000);
	grid_text(g, NULL);
	grid_u64(g, 0);          /* of restarts and lost lines it has no count */
	grid_text(g, NULL);
	grid_u64(g, 0);
	grid_text(g, NULL);
	grid_text(g, NULL);
	grid_text(g, NULL);          /* nor does it decide on figures, or do a function */
	grid_text(g, NULL);
	grid_text(g, NULL);
}

/* With a control core of its own, control stands among the cores; the others do not. */
static bool is_core(const struct crew *w, uint32_t i, bool control_core)
{
	return control_core && w->p[i].role == STAT_CONTROL && w->cpu[i] >= 0;
}

static int show_procs(struct cmd *c, bool all, struct str gens)
{
	bool control_core = c->v->lc && c->v->lc->control_core >= 0;
	struct crew w;
	struct grid g;

	if (!crew_read(c->v, &w)) {
		sb_c(&c->out, "no memory");
		return CMD_FAIL;
	}
	grid_init(&g);
	proc_cols(&g);
	for (uint32_t core = 0; core < stat_cores(c->v->seg); core++)
		for (uint32_t i = 0; i < w.n; i++)
			if (w.p[i].role == STAT_WORKER && w.p[i].core == core && is_shown(c->v, &w.p[i]))
				proc_row(c->v, &g, &w, i);
	for (uint32_t i = 0; i < w.n; i++)
		if (w.p[i].role != STAT_WORKER && is_shown(c->v, &w.p[i]) && (all || is_core(&w, i, control_core)))
			proc_row(c->v, &g, &w, i);
	while (gens.n)
		gen_row(&g, str_cut(&gens, '\n'));
	crew_free(&w);
	return cmd_grid(c, &g, 0);
}

int verb_SHOW_CORE(struct cmd *c) { return show_procs(c, false, STR_NULL); }

/* Without an answer the segment's rows are shown all the same: this is looked at when something hangs. */
static void gens_came(struct ask *a)
{
	struct cmd *c = a->ctx;
	int code;

	c->asking = false;
	view_refresh(c->v);
	code = show_procs(c, true, a->rc == 0 ? sb_get(&a->reply) : STR_NULL);
	ask_free(a);
	cmd_finish(c, code);
}

int verb_SHOW_PROCESS(struct cmd *c)
{
	struct ask *a = ask_new(gens_came, c);

	if (!a)
		return show_procs(c, true, STR_NULL);
	a->timeout_ms = GENS_MS;
	sb_c(&a->line, "gens");
	c->asking = true;
	ask_post(a);
	return CMD_LATER;
}
