/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owner.c - show owner: which core probes and resolves a service for all, and how it came to that (stat/owner.h)
 */
#include "config.h"

#include "admin/inside.h"
#include "stat/owner.h"

static const char *mission(const struct lb_service *s)
{
	static const char *const words[] = { NULL,	"measure",	 "resolve",	  "resolve measure",
					     "probe",	"probe measure", "probe resolve", "probe resolve measure" };

	return words[(s->pool->n_monitors ? 4 : 0) + (s->host ? 2 : 0) + (s->max_connections || s->max_bandwidth)];
}

static const char *why_text(uint32_t why)
{
	for (unsigned i = 0; i < tbl_n_states; i++)
		if (strcmp(tbl_states[i].set, "OWNER") == 0 && tbl_states[i].value == (int)why)
			return tbl_states[i].text;
	return "";
}

/* The core in words: a candidate that is not owner yet, or an owner that is gone, are a matter of a moment while its
 * worker turns; longer than heartbeat-timeout they are not. */
static void owner_text(struct grid *g, const struct stat_owner *o, bool owned, const struct stat_proc *cand)
{
	if (!owned)
		sb_c(&g->mem, cand ? "no core has it yet" : "no worker lives");
	else if (!o->live)
		sb_fmt(&g->mem, "the worker of core %u that had it is gone; its records stay in use", o->core);
	else
		sb_c(&g->mem, why_text(o->why));
	if (cand && (!owned || cand->slot != o->slot))
		sb_fmt(&g->mem, "; core %u is to take it", cand->core);
	grid_text(g, NULL);
}

static void owner_row(const struct cmd *c, struct grid *g, const struct lb_service *s)
{
	const struct stat_seg *seg = c->v->seg;
	uint32_t slot = stat_owner_candidate(seg, s->row, s->owners);
	struct stat_proc cand, p;
	struct stat_owner o;
	bool owned = stat_owner_get(seg, s->row, &o), known = slot != STAT_NO_SLOT && stat_proc_get(seg, slot, &cand);

	grid_text(g, s->full_name);
	grid_text(g, mission(s));
	if (known)
		grid_u64(g, cand.core);
	else
		grid_text(g, NULL);
	if (owned)
		grid_u64(g, o.core);
	else
		grid_text(g, NULL);
	if (owned && o.live && stat_proc_get(seg, o.slot, &p))
		grid_u64(g, p.pid);
	else
		grid_text(g, NULL);
	grid_u64(g, o.epoch);
	text_time(&g->mem, o.since_us);
	grid_text(g, NULL);
	grid_text(g, owned ? tbl_state_name("OWNER", (int)o.why) : NULL);
	owner_text(g, &o, owned, known ? &cand : NULL);
}

int verb_SHOW_OWNER(struct cmd *c)
{
	bool idle = false;
	struct grid g;

	if (cmd_needs_config(c))
		return CMD_FAIL;
	grid_init(&g);
	grid_col(&g, "name", GRID_TEXT);
	grid_col(&g, "mission", GRID_TEXT);
	grid_col(&g, "candidate", GRID_NUM);
	grid_col(&g, "core", GRID_NUM);
	grid_col(&g, "pid", GRID_NUM);
	grid_col(&g, "epoch", GRID_NUM);
	grid_col(&g, "since", GRID_TEXT);
	grid_col(&g, "reason", GRID_TEXT);
	grid_col(&g, "text", c->call.json || c->call.n_pos ? GRID_TEXT : GRID_RAW);
	for (unsigned i = 0; i < c->v->lc->n_pools; i++)
		for (unsigned k = 0; k < c->v->lc->pools[i].n_services; k++) {
			const struct lb_service *s = &c->v->lc->pools[i].services[k];

			if (c->call.n_pos && !str_eq(c->call.pos[0], str_c(s->full_name)))
				continue;
			if (mission(s))
				owner_row(c, &g, s);
			else
				idle = true;
		}
	if (c->call.n_pos && !g.n_cells) {
		grid_free(&g);
		if (!idle)
			return cmd_no_such(c, KIND_SERVICE, c->call.pos[0]);
		sb_c(&c->out, "it has neither a monitor nor a name nor a limit, so that nobody has to do anything for it");
		return CMD_FAIL;
	}
	return cmd_grid(c, &g, c->call.n_pos ? GRID_VERTICAL : 0);
}
