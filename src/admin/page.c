/* SPDX-License-Identifier: Apache-2.0 */
/*
 * page.c - the read-only page: health, vservers, services, cores, configuration, in one file
 * without scripts
 *
 * States are said by word and colour. Everything that comes from outside (names, reasons) is
 * escaped.
 */
#include "config.h"

#include "admin/inside.h"

#include <inttypes.h>

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"5\">"
	"<meta name=\"viewport\" content=\"width=device-width\"><title>fairlead</title>"
	"<link rel=\"stylesheet\" href=\"/fairlead.css\"></head><body>\n";

/* Beside the page, so that the policy of what it may load needs no exception for inline styles. */
const char page_style[] =
	":root{color-scheme:light dark}body{font:14px/1.45 system-ui,sans-serif;margin:1.5em;max-width:80em}\n"
	"h1{font-size:1.3em}h2{font-size:1.05em;margin:1.4em 0 .3em}table{border-collapse:collapse;width:100%}\n"
	"th,td{text-align:left;padding:.2em .7em .2em 0;border-bottom:1px solid #8884;vertical-align:top}\n"
	"td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\n"
	".s{display:inline-block;padding:0 .5em;border-radius:.3em;color:#fff;font-weight:600}\n"
	".up{background:#1a7f37}.down{background:#c62828}.warn{background:#9a6700}.off{background:#57606a}\n"
	"p.r{margin:.2em 0}\n";

static void html(struct sb *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		switch (s.p[i]) {
		case '<': sb_c(out, "&lt;"); break;
		case '>': sb_c(out, "&gt;"); break;
		case '&': sb_c(out, "&amp;"); break;
		case '"': sb_c(out, "&quot;"); break;
		default:  sb_ch(out, s.p[i]);
		}
	}
}

static void badge(struct sb *out, const char *word)
{
	static const struct {
		const char *word, *class;
	} classes[] = {
		{ "UP", "up" },        { "OK", "up" },      { "running", "up" }, { "DOWN", "down" },
		{ "FAILED", "down" },  { "dead", "down" },  { "hung", "down" },  { "MAINT", "off" },
		{ "draining", "off" }, { "DRAIN", "warn" },
	};
	const char *class = "warn";

	for (size_t i = 0; i < FL_ARRAY_LEN(classes); i++)
		if (strcmp(classes[i].word, word) == 0)
			class = classes[i].class;
	sb_fmt(out, "<span class=\"s %s\">%s</span>", class, word);
}

static void number(struct sb *out, uint64_t v)
{
	sb_fmt(out, "<td class=\"n\">%" PRIu64 "</td>", v);
}

/* The figures that a table shows; their headings are the counters' own texts. */
static const unsigned vserver_figures[] = {
	CTR__ALL_VSERVER_CONN_CUR, CTR__ALL_VSERVER_REQ_CUR, CTR__ALL_VSERVER_REQ_TOT,
	CTR__ALL_VSERVER_R2XX,     CTR__ALL_VSERVER_R4XX,    CTR__ALL_VSERVER_R5XX,
};
static const unsigned service_figures[] = {
	CTR__ALL_SERVICE_REQ_CUR,   CTR__ALL_SERVICE_REQ_TOT, CTR__ALL_SERVICE_CONN_CUR,
	CTR__ALL_SERVICE_CONN_FAIL, CTR__ALL_SERVICE_R5XX,    CTR__ALL_SERVICE_DOWNS,
};

static void headings(struct sb *out, const unsigned *ctr, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		sb_fmt(out, "<th class=\"n\" title=\"%s\">", tbl_ctrs[ctr[i]].text);
		for (const char *p = tbl_ctrs[ctr[i]].metric; *p; p++)
			sb_ch(out, *p == '_' ? ' ' : *p);
		sb_c(out, "</th>");
	}
}

static void figures(const struct admin_view *v, struct sb *out, uint32_t row, const unsigned *ctr,
		    unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		number(out, row == STAT_NO_ROW ? 0 : stat_total(v->seg, row, tbl_ctrs[ctr[i]].idx));
}

static void top(const struct admin_view *v, struct sb *out)
{
	static const char *const words[] = { "OK", "DEGRADED", "FAILED" };
	struct stat_conf_state f;
	struct sb reasons;
	struct str all;

	sb_init_heap(&reasons);
	sb_c(out, "<h1>fairlead ");
	badge(out, words[status_judge(v, &reasons)]);
	sb_c(out, "</h1>\n");
	all = sb_get(&reasons);
	while (all.n) {
		sb_c(out, "<p class=\"r\">");
		html(out, str_cut(&all, '\n'));
		sb_c(out, "</p>\n");
	}
	sb_free(&reasons);
	if (stat_conf_get(v->seg, &f)) {
		sb_fmt(out, "<p>Version %s, generation %u, loaded ", PACKAGE_VERSION, f.generation);
		text_time(out, f.loaded_us);
		if (f.file[0]) {
			sb_c(out, " from ");
			html(out, str_c(f.file));
		}
		sb_fmt(out, ". Reloads: %u, refused: %u. Up ", f.reloads, f.reload_failures);
		text_age(out, (v->wall_us - FL_MIN(v->wall_us, stat_started_us(v->seg))) / 1000);
		sb_c(out, ".</p>\n");
	}
}

static void vservers(const struct admin_view *v, struct sb *out)
{
	sb_c(out,
	     "<h2>Virtual servers</h2>\n<table><tr><th>name</th><th>state</th><th>listen</th>");
	headings(out, vserver_figures, FL_ARRAY_LEN(vserver_figures));
	sb_c(out, "</tr>\n");
	for (unsigned i = 0; i < v->lc->n_vservers; i++) {
		const struct lb_vserver *vs = &v->lc->vservers[i];
		char text[ADDR_TEXT_MAX], mem[512];
		struct sb why;

		sb_init(&why, mem, sizeof(mem));
		sb_fmt(out, "<tr><td>%s</td><td>", vs->name);
		badge(out, vserver_state(vs, &why));
		if (why.n) {
			sb_c(out, " ");
			html(out, sb_get(&why));
		}
		sb_c(out, "</td><td>");
		for (unsigned k = 0; k < v->lc->n_listens; k++)
			if (v->lc->listens[k].vserver == vs)
				sb_fmt(out, "%s%s ", addr_text(&v->lc->listens[k].addr, text),
				       v->lc->listens[k].uses_tls ? " TLS" : "");
		sb_c(out, "</td>");
		figures(v, out, vs->row, vserver_figures, FL_ARRAY_LEN(vserver_figures));
		sb_c(out, "</tr>\n");
	}
	sb_c(out, "</table>\n");
}

static void service(const struct admin_view *v, struct sb *out, const struct lb_service *s)
{
	struct stat_health h;
	struct stat_admin a;
	char mem[256], text[ADDR_TEXT_MAX];
	struct sb why;

	sb_init(&why, mem, sizeof(mem));
	sb_fmt(out, "<tr><td>%s</td><td>", s->full_name);
	badge(out, tbl_state_name("SVC", (int)service_why(v, s, &h, &a, &why)));
	sb_fmt(out, "</td><td>%s", addr_text(&s->addr, text));
	if (s->host) {
		sb_c(out, " (");
		html(out, str_c(s->host));
		sb_c(out, ")");
	}
	sb_c(out, "</td>");
	figures(v, out, s->row, service_figures, FL_ARRAY_LEN(service_figures));
	sb_c(out, "<td>");
	html(out, sb_get(&why));
	sb_c(out, "</td></tr>\n");
}

static void pools(const struct admin_view *v, struct sb *out)
{
	for (unsigned i = 0; i < v->lc->n_pools; i++) {
		const struct lb_pool *p = &v->lc->pools[i];

		sb_fmt(out,
		       "<h2>Pool %s</h2>\n<table><tr><th>service</th><th>state</th><th>address</th>",
		       p->name);
		headings(out, service_figures, FL_ARRAY_LEN(service_figures));
		sb_c(out, "<th>reason</th></tr>\n");
		for (unsigned k = 0; k < p->n_services; k++)
			service(v, out, &p->services[k]);
		sb_c(out, "</table>\n");
	}
}

static void cores(const struct admin_view *v, struct sb *out)
{
	struct stat_proc p;

	sb_c(out,
	     "<h2>Workers</h2>\n<table><tr><th class=\"n\">core</th><th class=\"n\">pid</th><th class=\"n\">generation</th>"
	     "<th>state</th><th class=\"n\">heartbeat age ms</th><th class=\"n\">restarts</th></tr>\n");
	for (uint32_t s = 0; s < stat_worker_slots(v->seg); s++) {
		if (!stat_proc_get(v->seg, s, &p) || p.state == ST_PROC_FREE ||
		    p.state == ST_PROC_DEAD)
			continue;
		sb_c(out, "<tr>");
		number(out, p.core);
		number(out, p.pid);
		number(out, p.generation);
		sb_c(out, "<td>");
		badge(out, tbl_state_name("PROC", (int)p.state));
		sb_c(out, "</td>");
		number(out, v->now_ms > p.heartbeat_ms && p.heartbeat_ms
				    ? v->now_ms - p.heartbeat_ms
				    : 0);
		number(out, p.restarts);
		sb_c(out, "</tr>\n");
	}
	sb_c(out, "</table>\n");
}

void page_print(const struct admin_view *v, struct sb *out)
{
	sb_c(out, head);
	top(v, out);
	if (v->lc) {
		vservers(v, out);
		pools(v, out);
	}
	cores(v, out);
	sb_c(out, "<p><a href=\"/metrics\">/metrics</a> <a href=\"/ready\">/ready</a> "
		  "<a href=\"/stats;csv\">/stats;csv</a></p>\n</body></html>\n");
}
