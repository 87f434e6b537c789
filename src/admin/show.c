/* SPDX-License-Identifier: Apache-2.0 */
/*
 * show.c - what the configured things are and in what state: vserver, pool, service, monitor,
 * policy; listeners are in show_listener.c
 *
 * Figures come from figures.c; here is what the configuration says and what follows from it now.
 */
#include "config.h"

#include "admin/inside.h"

#include <inttypes.h>

/* ---------- words ---------- */

static const char *method_word(const struct lb_pool *p)
{
	const struct conf_val *v = conf_opt(p->node, D_POOL_METHOD);

	return v ? v->s.p : "-";
}

uint32_t service_why(const struct admin_view *v, const struct lb_service *s, struct stat_health *h,
		     struct stat_admin *a, struct sb *why)
{
	uint32_t state = lb_service_state(v->lc, s, h, a);

	if (state == ST_SVC_MAINT || state == ST_SVC_DRAIN) {
		if (a->since_us && a->reason[0])
			sb_c(why, a->reason);
		else
			sb_c(why, a->since_us ? "by an operator" : "by the configuration");
	} else if (state == ST_SVC_RESOLVING) {
		struct stat_dns d;

		sb_fmt(why, "%s has no address yet", s->host);
		if (stat_dns_get(v->seg, s->row, &d) && d.text[0])
			sb_fmt(why, ": %s", d.text);
	} else if (h->reason[0]) {
		sb_c(why, h->reason);
	} else if (s->weight == 0) {
		sb_c(why, "weight 0: takes nothing new");
	}
	return state;
}

/* What a rule does when it is true. */
static void act_text(const struct pol_rule *r, struct sb *b)
{
	switch (r->act) {
	case POL_ACT_NONE:        sb_c(b, "modify"); break;
	case POL_ACT_USE_POOL:
		sb_fmt(b, "use %s", ((const struct lb_pool *)r->target)->name);
		break;
	case POL_ACT_USE_VSERVER:
		sb_fmt(b, "use vserver %s", ((const struct lb_vserver *)r->target)->name);
		break;
	case POL_ACT_RESPOND:     sb_fmt(b, "respond %u", r->status); break;
	case POL_ACT_REDIRECT:    sb_fmt(b, "redirect %u", r->status); break;
	case POL_ACT_REJECT:      sb_fmt(b, "reject %u", r->status); break;
	case POL_ACT_DROP:        sb_c(b, "drop"); break;
	case POL_ACT_RESET:       sb_c(b, "reset"); break;
	}
}

/* A cell built in pieces. */
struct piece {
	char      mem[512];
	struct sb b;
};
static struct sb *piece(struct piece *p)
{
	sb_init(&p->b, p->mem, sizeof(p->mem));
	return &p->b;
}

bool show_wanted(const struct cmd *c, const char *name)
{
	return !c->call.n_pos || str_eq(c->call.pos[0], str_c(name));
}

int show_done(struct cmd *c, struct grid *g, enum tbl_kind kind)
{
	if (c->call.n_pos && !g->n_cells) {
		grid_free(g);
		return cmd_no_such(c, kind, c->call.pos[0]);
	}
	return cmd_grid(c, g, c->call.n_pos ? GRID_VERTICAL : 0);
}

void show_place(struct grid *g, const struct conf_node *n)
{
	if (n && n->loc.file)
		grid_fmt(g, "%s:%u", n->loc.file, n->loc.line);
	else
		grid_text(g, NULL);
}

void show_counters(struct cmd *c, struct grid *g, enum tbl_kind kind, uint32_t row)
{
	uint64_t v[TBL_CTR_MAX] = { 0 };
	unsigned first, n;

	if (!c->call.json) {
		grid_text(g, NULL);
		return;
	}
	tbl_kind_range(kind, &first, &n);
	if (row != STAT_NO_ROW)
		(void)stat_total_row(c->v->seg, row, v);
	sb_ch(&g->mem, '{');
	for (unsigned i = 0; i < n; i++)
		sb_fmt(&g->mem, "%s\"%s\": %" PRIu64, i ? ", " : "", tbl_ctrs[first + i].metric,
		       v[i]);
	grid_text(g, "}");
}

/* ---------- vserver, listener ---------- */

static unsigned usable(const struct lb_pool *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->n_services; i++)
		n += p->services[i].takes_new;
	return n;
}

static bool works(const struct lb_pool *p, unsigned depth)
{
	if (usable(p))
		return true;
	for (unsigned i = 0; i < p->n_backups && depth < 8; i++)
		if (works(p->backups[i], depth + 1))
			return true;
	return false;
}

bool pool_works(const struct lb_pool *p)
{
	return works(p, 0);
}

const char *vserver_state(const struct lb_vserver *vs, struct sb *why)
{
	unsigned n = 0, good = 0;
	bool dflt_down = false;

	for (unsigned i = 0; i <= vs->rules.n; i++) {
		const struct pol_rule *r = i < vs->rules.n ? &vs->rules.rules[i] : &vs->dflt;
		const struct lb_pool *p = r->target;

		if (r->act != POL_ACT_USE_POOL)
			continue;
		n++;
		if (pool_works(p)) {
			good++;
			continue;
		}
		sb_fmt(why, "%spool %s has no usable service", why->n ? ", " : "", p->name);
		dflt_down |= r == &vs->dflt;
	}
	if (good == n)
		return "UP";
	return good == 0 || dflt_down ? "DOWN" : "DEGRADED";
}

int verb_SHOW_VSERVER(struct cmd *c)
{
	struct piece p;
	struct grid g;

	if (cmd_needs_config(c))
		return CMD_FAIL;
	grid_init(&g);
	grid_col(&g, "name", GRID_TEXT);
	grid_col(&g, "state", GRID_TEXT);
	grid_col(&g, "protocol", GRID_TEXT);
	grid_col(&g, "listen", GRID_TEXT);
	grid_col(&g, "policies", GRID_NUM);
	grid_col(&g, "default", GRID_TEXT);
	grid_col(&g, "reason", GRID_TEXT);
	grid_col(&g, "origin", GRID_TEXT);
	grid_col(&g, "counters", GRID_RAW);
	for (unsigned i = 0; i < c->v->lc->n_vservers; i++) {
		const struct lb_vserver *vs = &c->v->lc->vservers[i];
		const char *state;

		if (!show_wanted(c, vs->name))
			continue;
		state = vserver_state(vs, piece(&p));
		grid_text(&g, vs->name);
		grid_text(&g, state);
		grid_text(&g, lb_vserver_protocol(vs));
		for (unsigned k = 0, n = 0; k < c->v->lc->n_listens; k++) {
			const struct lb_listen *l = &c->v->lc->listens[k];
			char text[ADDR_TEXT_MAX];

			if (l->vserver == vs)
				sb_fmt(&g.mem, "%s%s%s", n++ ? " " : "", addr_text(&l->addr, text),
				       l->uses_tls ? "+tls" : "");
		}
		grid_text(&g, NULL);
		grid_u64(&g, vs->rules.n);
		if (vs->dflt.act != POL_ACT_NONE)
			act_text(&vs->dflt, &g.mem);
		grid_text(&g, NULL);
		grid_str(&g, sb_get(&p.b));
		show_place(&g, vs->node);
		show_counters(c, &g, KIND_VSERVER, vs->row);
	}
	return show_done(c, &g, KIND_VSERVER);
}

/* ---------- pool, service ---------- */

static const char *pool_state(const struct lb_pool *p)
{
	unsigned up = usable(p);

	if (up == p->n_services)
		return "UP";
	return up ? "DEGRADED" : pool_works(p) ? "BACKUP" : "DOWN";
}

int verb_SHOW_POOL(struct cmd *c)
{
	struct grid g;

	if (cmd_needs_config(c))
		return CMD_FAIL;
	grid_init(&g);
	grid_col(&g, "name", GRID_TEXT);
	grid_col(&g, "state", GRID_TEXT);
	grid_col(&g, "method", GRID_TEXT);
	grid_col(&g, "services", GRID_NUM);
	grid_col(&g, "usable", GRID_NUM);
	grid_col(&g, "monitors", GRID_TEXT);
	grid_col(&g, "backups", GRID_TEXT);
	grid_col(&g, "tls", GRID_BOOL);
	grid_col(&g, "origin", GRID_TEXT);
	grid_col(&g, "counters", GRID_RAW);
	for (unsigned i = 0; i < c->v->lc->n_pools; i++) {
		const struct lb_pool *p = &c->v->lc->pools[i];

		if (!show_wanted(c, p->name))
			continue;
		grid_text(&g, p->name);
		grid_text(&g, pool_state(p));
		grid_text(&g, method_word(p));
		grid_u64(&g, p->n_services);
		grid_u64(&g, usable(p));
		for (unsigned k = 0; k < p->n_monitors; k++)
			sb_fmt(&g.mem, "%s%s", k ? " " : "", p->monitors[k]->name);
		grid_text(&g, p->n_monitors ? "" : "none");
		for (unsigned k = 0; k < p->n_backups; k++)
			sb_fmt(&g.mem, "%s%s", k ? " " : "", p->backups[k]->name);
		grid_text(&g, NULL);
		grid_bool(&g, p->uses_tls);
		show_place(&g, p->node);
		show_counters(c, &g, KIND_POOL, p->row);
	}
	return show_done(c, &g, KIND_POOL);
}

static void history_text(uint16_t h, uint64_t probes, struct sb *b)
{
	unsigned n = (unsigned)FL_MIN(probes, (uint64_t)16);

	for (unsigned i = n; i-- > 0;)
		sb_ch(b, h >> i & 1 ? '+' : '-');
}

static void monitors_json(const struct stat_health *h, struct sb *b)
{
	sb_ch(b, '[');
	for (unsigned i = 0; i < h->n_mon && i < STAT_MON_MAX; i++) {
		const struct stat_mon *m = &h->mon[i];

		sb_fmt(b, "%s{\"name\": ", i ? ", " : "");
		sb_json_str(b, str_c(m->name));
		sb_fmt(b,
		       ", \"state\": \"%s\", \"check\": \"%s\", \"latency_us\": %u, \"http_status\": %u, ",
		       tbl_state_name("HEALTH", (int)m->state),
		       tbl_state_name("CHECK", (int)m->check), m->latency_us, m->http_status);
		sb_fmt(b,
		       "\"passed\": %u, \"failed\": %u, \"probes\": %" PRIu64
		       ", \"failures\": %" PRIu64 ", \"last\": \"",
		       m->passed, m->failed, m->probes, m->failures);
		text_time(b, m->last_us);
		sb_c(b, "\", \"history\": \"");
		history_text(m->history, m->probes, b);
		sb_c(b, "\", \"text\": ");
		sb_json_str(b, str_c(m->text));
		sb_ch(b, '}');
	}
	sb_ch(b, ']');
}

static void monitors_text(const struct cmd *c, const struct stat_health *h, struct sb *out)
{
	for (unsigned i = 0; i < h->n_mon && i < STAT_MON_MAX; i++) {
		const struct stat_mon *m = &h->mon[i];

		sb_fmt(out, "monitor %s: %s %s, %u.%03u ms", m->name,
		       tbl_state_name("HEALTH", (int)m->state),
		       tbl_state_name("CHECK", (int)m->check), m->latency_us / 1000,
		       m->latency_us % 1000);
		if (m->http_status)
			sb_fmt(out, ", status %u", m->http_status);
		sb_fmt(out, "; %" PRIu64 " probes, %" PRIu64 " failed", m->probes, m->failures);
		if (m->last_us && m->last_us <= c->v->wall_us) {
			sb_c(out, ", last ");
			text_age(out, (c->v->wall_us - m->last_us) / 1000);
			sb_c(out, " ago");
		}
		sb_c(out, "; oldest to newest ");
		history_text(m->history, m->probes, out);
		if (m->text[0])
			sb_fmt(out, "\n    %s", m->text);
		sb_ch(out, '\n');
	}
}

static void service_row(struct cmd *c, struct grid *g, const struct lb_service *s,
			struct stat_health *h)
{
	struct stat_admin a;
	struct piece p;
	uint32_t state = service_why(c->v, s, h, &a, piece(&p));
	char text[ADDR_TEXT_MAX];

	grid_text(g, s->full_name);
	grid_text(g, tbl_state_name("SVC", (int)state));
	grid_text(g, tbl_state_name("HEALTH", (int)h->state));
	grid_text(g, tbl_state_name("ADMIN", (int)a.state));
	if (s->host)
		sb_fmt(&g->mem, "%s:%u", s->host, s->port);
	grid_text(g, s->host ? "" : addr_text(&s->addr, text));
	for (unsigned i = 0; s->host && i < s->n_dns; i++)
		sb_fmt(&g->mem, "%s%s", i ? " " : "", ip_text(s->dns[i], text));
	grid_text(g, NULL);
	grid_u64(g, s->weight);
	grid_bool(g, s->backup);
	grid_u64(g, s->row == STAT_NO_ROW ? 0 : stat_total(c->v->seg, s->row, CTR_SERVICE_REQ_CUR));
	text_time(&g->mem, h->since_us);
	grid_text(g, NULL);
	grid_str(g, sb_get(&p.b));
	show_place(g, s->node);
	if (c->call.json)
		monitors_json(h, &g->mem);
	grid_text(g, NULL);
	show_counters(c, g, KIND_SERVICE, s->row);
}

int verb_SHOW_SERVICE(struct cmd *c)
{
	struct stat_health h;
	struct grid g;
	int code;

	if (cmd_needs_config(c))
		return CMD_FAIL;
	memset(&h, 0, sizeof(h));
	grid_init(&g);
	grid_col(&g, "name", GRID_TEXT);
	grid_col(&g, "state", GRID_TEXT);
	grid_col(&g, "health", GRID_TEXT);
	grid_col(&g, "admin", GRID_TEXT);
	grid_col(&g, "address", GRID_TEXT);
	grid_col(&g, "resolved", GRID_TEXT);
	grid_col(&g, "weight", GRID_NUM);
	grid_col(&g, "backup", GRID_BOOL);
	grid_col(&g, tbl_ctrs[CTR__ALL_SERVICE_REQ_CUR].metric, GRID_NUM);
	grid_col(&g, "since", GRID_TEXT);
	grid_col(&g, "reason", GRID_TEXT);
	grid_col(&g, "origin", c->call.json || c->call.n_pos ? GRID_TEXT : GRID_RAW);
	grid_col(&g, "monitors", GRID_RAW);
	grid_col(&g, "counters", GRID_RAW);
	for (unsigned i = 0; i < c->v->lc->n_pools; i++)
		for (unsigned k = 0; k < c->v->lc->pools[i].n_services; k++)
			if (show_wanted(c, c->v->lc->pools[i].services[k].full_name))
				service_row(c, &g, &c->v->lc->pools[i].services[k], &h);
	code = show_done(c, &g, KIND_SERVICE);
	if (code == CMD_OK && c->call.n_pos && !c->call.json)
		monitors_text(c, &h, &c->out);
	return code;
}

/* ---------- monitor ---------- */

static void monitor_name_guess(struct cmd *c)
{
	struct guess g;

	guess_init(&g, c->call.pos[0]);
	for (unsigned i = 0; i < c->v->lc->n_monitors; i++)
		guess_offer(&g, str_c(c->v->lc->monitors[i].name));
	sb_c(&c->out, "no monitor named \"");
	sb_escape(&c->out, c->call.pos[0], 100);
	sb_ch(&c->out, '"');
	guess_say(&g, &c->out);
}

/* Services it is used for, and how many of these it says UP of. */
static void monitor_count(const struct admin_view *v, const struct lb_monitor *m, unsigned *uses,
			  unsigned *up)
{
	struct stat_health h;

	*uses = *up = 0;
	for (unsigned i = 0; i < v->lc->n_pools; i++) {
		const struct lb_pool *p = &v->lc->pools[i];

		for (unsigned k = 0; k < p->n_monitors; k++) {
			if (p->monitors[k] != m)
				continue;
			*uses += p->n_services;
			for (unsigned s = 0; s < p->n_services; s++)
				if (p->services[s].row != STAT_NO_ROW &&
				    stat_health_get(v->seg, p->services[s].row, &h) &&
				    k < h.n_mon && h.mon[k].state == ST_HEALTH_UP)
					++*up;
		}
	}
}

int verb_SHOW_MONITOR(struct cmd *c)
{
	static const char *const types[] = {
		[LB_MON_PING] = "ping", [LB_MON_TCP] = "tcp", [LB_MON_HTTP] = "http"
	};
	struct grid g;

	if (cmd_needs_config(c))
		return CMD_FAIL;
	grid_init(&g);
	grid_col(&g, "name", GRID_TEXT);
	grid_col(&g, "type", GRID_TEXT);
	grid_col(&g, "every_ms", GRID_NUM);
	grid_col(&g, "timeout_ms", GRID_NUM);
	grid_col(&g, "rise", GRID_NUM);
	grid_col(&g, "fall", GRID_NUM);
	grid_col(&g, "services", GRID_NUM);
	grid_col(&g, "up", GRID_NUM);
	grid_col(&g, "origin", GRID_TEXT);
	for (unsigned i = 0; i < c->v->lc->n_monitors; i++) {
		const struct lb_monitor *m = &c->v->lc->monitors[i];
		unsigned uses, up;

		monitor_count(c->v, m, &uses, &up);
		if (!show_wanted(c, m->name) || (!m->node && !uses))
			continue;
		grid_text(&g, m->name);
		grid_text(&g, types[m->type]);
		grid_u64(&g, m->every_us / 1000);
		grid_u64(&g, m->timeout_us / 1000);
		grid_u64(&g, m->rise);
		grid_u64(&g, m->fall);
		grid_u64(&g, uses);
		grid_u64(&g, up);
		show_place(&g, m->node);
	}
	if (c->call.n_pos && !g.n_cells) {
		grid_free(&g);
		monitor_name_guess(c);
		return CMD_FAIL;
	}
	return cmd_grid(c, &g, c->call.n_pos ? GRID_VERTICAL : 0);
}

/* ---------- policy, config ---------- */

int verb_SHOW_POLICY(struct cmd *c)
{
	struct grid g;

	if (cmd_needs_config(c))
		return CMD_FAIL;
	grid_init(&g);
	grid_col(&g, "name", GRID_TEXT);
	grid_col(&g, "action", GRID_TEXT);
	grid_col(&g, tbl_ctrs[CTR__ALL_POLICY_HITS].metric, GRID_NUM);
	grid_col(&g, tbl_ctrs[CTR__ALL_POLICY_UNDEF].metric, GRID_NUM);
	grid_col(&g, "when", GRID_TEXT);
	grid_col(&g, "origin", GRID_TEXT);
	for (unsigned i = 0; i < c->v->lc->n_vservers; i++) {
		const struct lb_vserver *vs = &c->v->lc->vservers[i];

		for (unsigned k = 0; k < vs->rules.n; k++) {
			const struct pol_rule *r = &vs->rules.rules[k];
			uint32_t row = vs->rule_rows[k];

			if (!show_wanted(c, vs->rule_names[k]))
				continue;
			grid_text(&g, vs->rule_names[k]);
			act_text(r, &g.mem);
			grid_text(&g, NULL);
			grid_u64(&g, row == STAT_NO_ROW
					     ? 0
					     : stat_total(c->v->seg, row, CTR_POLICY_HITS));
			grid_u64(&g, row == STAT_NO_ROW
					     ? 0
					     : stat_total(c->v->seg, row, CTR_POLICY_UNDEF));
			grid_str(&g, r->when.n ? r->when : STR("always"));
			grid_fmt(&g, "%s:%u", r->file ? r->file : "-", r->line);
		}
	}
	return show_done(c, &g, KIND_POLICY);
}

int verb_SHOW_CONFIG(struct cmd *c)
{
	unsigned flags = 0;

	if (cmd_needs_config(c))
		return CMD_FAIL;
	if (verb_flag(&c->call, "--defaults"))
		flags |= CONF_DUMP_DEFAULTS;
	if (verb_flag(&c->call, "--origin"))
		flags |= CONF_DUMP_ORIGIN;
	if (c->call.json)
		flags |= CONF_DUMP_JSON;
	conf_dump(c->v->conf, NULL, flags, &c->out);
	c->is_json = c->call.json;
	return CMD_OK;
}
