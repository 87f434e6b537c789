/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c - /metrics: every counter of tbl/counters.def for every object, states,
 * configuration, build
 *
 * OpenMetrics 1.0 text; without the parts that the older Prometheus text format (0.0.4) does not
 * know when that was asked for. Labels are names of configured objects only: their number is the
 * configuration's.
 */
#include "config.h"

#include "admin/inside.h"

#include <inttypes.h>

#include "base/env.h"
#include "stat/reason.h"

struct writer {
	const struct admin_view *v;
	struct sb               *out;
	bool                     open;        /* OpenMetrics */
};

static void text_escaped(struct sb *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' || s.p[i] == '"')
			sb_ch(out, '\\');
		if (s.p[i] == '\n')
			sb_c(out, "\\n");
		else
			sb_ch(out, s.p[i]);
	}
}

static void label(struct writer *w, const char *name, struct str value, char lead)
{
	sb_ch(w->out, lead);
	sb_fmt(w->out, "%s=\"", name);
	text_escaped(w->out, value);
	sb_ch(w->out, '"');
}

/* In OpenMetrics a counter's family has no _total, its samples have; in the older form both
 * have. Info likewise. */
static void family(struct writer *w, const char *name, const char *type, const char *help)
{
	const char *suffix = "";

	if (!w->open && strcmp(type, "counter") == 0) {
		suffix = "_total";
	} else if (!w->open && strcmp(type, "info") == 0) {
		suffix = "_info";
		type = "gauge";
	} else if (!w->open && strcmp(type, "stateset") == 0) {
		type = "gauge";
	}
	sb_fmt(w->out, "# TYPE %s%s %s\n# HELP %s%s ", name, suffix, type, name, suffix);
	text_escaped(w->out, str_c(help));
	sb_ch(w->out, '\n');
}

/* Labels of an object: a service has its pool and its name in the pool, a policy and a
 * listener their vserver. */
static void object_labels(struct writer *w, enum tbl_kind kind, struct str name)
{
	struct str rest = name, head = str_cut(&rest, '/');
	bool parts = rest.p && head.n < name.n;

	switch (kind) {
	case KIND_SERVICE:
		label(w, "pool", head, '{');
		label(w, "service", parts ? rest : name, ',');
		break;
	case KIND_POLICY:
		label(w, "vserver", head, '{');
		label(w, "policy", parts ? rest : name, ',');
		break;
	case KIND_LISTENER:
		label(w, "vserver", head, '{');
		label(w, "listener", parts ? rest : name, ',');
		break;
	default:
		label(w, tbl_kind_name(kind), name, '{');
	}
	sb_ch(w->out, '}');
}

static void sample_name(struct writer *w, const struct tbl_ctr_row *r)
{
	tbl_ctr_family(r, w->out);
	sb_c(w->out, r->fold == FOLD_SUM ? "_total" : "");
}

/* Samples of one family stand together, so rows are read once and kept. */
static void kind_counters(struct writer *w, enum tbl_kind kind)
{
	unsigned first, n, n_rows = 0, cap;
	uint32_t row = 0, *rows;
	struct str name;

	tbl_kind_range(kind, &first, &n);
	while (view_next_row(w->v, kind, &row, &name))
		n_rows++;
	cap = n_rows;
	rows = env_calloc(cap ? cap : 1, sizeof(*rows));
	if (!rows) {
		w->out->over = true;
		return;
	}
	row = n_rows = 0;
	while (n_rows < cap && view_next_row(w->v, kind, &row, &name))
		rows[n_rows++] = row - 1;
	for (unsigned i = 0; i < n; i++) {
		const struct tbl_ctr_row *r = &tbl_ctrs[first + i];
		char family_name[128];
		struct sb b;

		sb_init(&b, family_name, sizeof(family_name));
		tbl_ctr_family(r, &b);
		family(w, family_name, r->fold == FOLD_SUM ? "counter" : "gauge", r->text);
		for (unsigned k = 0; k < n_rows; k++) {
			enum tbl_kind same;
			bool current;

			if (!stat_obj_get(w->v->seg, rows[k], &same, &name, &current) ||
			    same != kind)
				continue;
			sample_name(w, r);
			object_labels(w, kind, name);
			sb_fmt(w->out, " %" PRIu64 "\n", stat_total(w->v->seg, rows[k], r->idx));
		}
	}
	env_free(rows);
}

/* One family for all reasons: who adds them up sees what was refused. */
static void refusals(struct writer *w)
{
	family(w, "fairlead_refusals", "counter",
	       "What was refused or ended by us, by the reason code that the logs give");
	for (unsigned of = 0; of < REFUSED__COUNT; of++) {
		unsigned first, n;

		tbl_kind_range(tbl_refusals[of].kind, &first, &n);
		for (unsigned i = 0; i < n; i++) {
			const struct tbl_ctr_row *r = &tbl_ctrs[first + i];

			sample_name(w, r);
			label(w, "of", str_c(tbl_refusals[of].name), '{');
			label(w, "reason", str_c(r->metric), ',');
			sb_fmt(w->out, "} %" PRIu64 "\n",
			       stat_reason_total(w->v->seg, (enum tbl_refusals)of, r->idx));
		}
	}
}

/* One sample for each state, 1 for the one that holds. */
static void service_states(struct writer *w)
{
	const struct lb_config *lc = w->v->lc;

	family(w, "fairlead_service_state", "stateset",
	       "State of the service for traffic; 1 for the one that holds");
	for (unsigned i = 0; lc && i < lc->n_pools; i++) {
		for (unsigned k = 0; k < lc->pools[i].n_services; k++) {
			const struct lb_service *s = &lc->pools[i].services[k];
			uint32_t state = lb_service_state(lc, s, NULL, NULL);

			for (unsigned t = 0; t < tbl_n_states; t++) {
				if (strcmp(tbl_states[t].set, "SVC") != 0)
					continue;
				sb_c(w->out, "fairlead_service_state");
				label(w, "pool", str_c(s->pool->name), '{');
				label(w, "service", str_c(s->name), ',');
				label(w, "fairlead_service_state", str_c(tbl_states[t].name), ',');
				sb_fmt(w->out, "} %d\n", tbl_states[t].value == (int)state);
			}
		}
	}
}

static void probe_latency(struct writer *w)
{
	const struct lb_config *lc = w->v->lc;
	struct stat_health h;

	family(w, "fairlead_service_probe_latency_seconds", "gauge",
	       "How long the last probe took");
	for (unsigned i = 0; lc && i < lc->n_pools; i++) {
		for (unsigned k = 0; k < lc->pools[i].n_services; k++) {
			const struct lb_service *s = &lc->pools[i].services[k];

			if (s->row == STAT_NO_ROW || !stat_health_get(w->v->seg, s->row, &h))
				continue;
			for (unsigned m = 0; m < h.n_mon && m < STAT_MON_MAX; m++) {
				sb_c(w->out, "fairlead_service_probe_latency_seconds");
				label(w, "pool", str_c(s->pool->name), '{');
				label(w, "service", str_c(s->name), ',');
				label(w, "monitor", str_c(h.mon[m].name), ',');
				sb_fmt(w->out, "} %u.%06u\n", h.mon[m].latency_us / 1000000,
				       h.mon[m].latency_us % 1000000);
			}
		}
	}
}

static void one(struct writer *w, const char *name, const char *type, const char *help,
		uint64_t value)
{
	family(w, name, type, help);
	sb_fmt(w->out, "%s%s %" PRIu64 "\n", name, strcmp(type, "counter") == 0 ? "_total" : "",
	       value);
}

static void seconds(struct writer *w, const char *name, const char *help, uint64_t wall_us)
{
	family(w, name, "gauge", help);
	sb_fmt(w->out, "%s %" PRIu64 ".%06u\n", name, wall_us / 1000000,
	       (unsigned)(wall_us % 1000000));
}

static void appliance(struct writer *w)
{
	struct stat_conf_state f;
	struct stat_cycles cyc;

	family(w, "fairlead_build", "info", "Version of the program");
	sb_fmt(w->out, "fairlead_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	if (stat_conf_get(w->v->seg, &f)) {
		one(w, "fairlead_config_generation", "gauge",
		    "Number of the running configuration generation", f.generation);
		one(w, "fairlead_config_last_reload_success", "gauge",
		    "1 when the last reload was good", f.last_ok);
		seconds(w, "fairlead_config_last_reload_time_seconds",
			"When the last reload was tried, since 1970", f.last_reload_us);
		one(w, "fairlead_config_reloads", "counter", "Reloads since start", f.reloads);
		one(w, "fairlead_config_reload_failures", "counter", "Reloads that were refused",
		    f.reload_failures);
	}
	one(w, "fairlead_workers_running", "gauge", "Workers that serve",
	    view_workers(w->v, ST_PROC_RUNNING, 0));
	one(w, "fairlead_workers_draining", "gauge",
	    "Workers that a reload has replaced and that finish what they have",
	    view_workers(w->v, ST_PROC_DRAINING, 0));
	stat_cycles(w->v->seg, &cyc);
	one(w, "fairlead_consolidation_cycle", "gauge", "Number of the last fold of the figures",
	    cyc.cycle);
	one(w, "fairlead_consolidation_missed", "counter",
	    "Cycles that were left out because the one before them was late", cyc.missed);
	one(w, "fairlead_consolidation_early", "counter", "Cycles before their time, after a large change",
	    cyc.early);
	one(w, "fairlead_consolidation_fold_max_us", "gauge", "Longest fold of the figures, in microseconds",
	    cyc.fold_max_us);
	seconds(w, "fairlead_start_time_seconds", "When the appliance was started, since 1970",
		stat_started_us(w->v->seg));
}

static void process(struct writer *w)
{
	struct process_figure f;
	char name[64];

	seconds(w, "process_start_time_seconds", "When the appliance was started, since 1970",
		stat_started_us(w->v->seg));
	for (unsigned i = 0; process_figure(i, &f); i++) {
		struct sb b;

		sb_init(&b, name, sizeof(name));
		sb_fmt(&b, "process_%s", f.name);
		family(w, name, f.counter ? "counter" : "gauge", f.text);
		sb_fmt(w->out, "%s%s %.6g\n", name, f.counter ? "_total" : "", f.value);
	}
}

void metrics_print(const struct admin_view *v, bool openmetrics, struct sb *out)
{
	struct writer w = { .v = v, .out = out, .open = openmetrics };

	appliance(&w);
	for (enum tbl_kind k = KIND_PROC; k < KIND__COUNT; k++)
		if (!tbl_kind_is_reasons(k))
			kind_counters(&w, k);
	refusals(&w);
	service_states(&w);
	probe_latency(&w);
	process(&w);
	sb_c(out, "# EOF\n");
}
