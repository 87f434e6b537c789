/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csv.c - figures in the column order of HAProxy's `show stat`, so that its tools read them
 *
 * vserver = FRONTEND, service = server, pool = BACKEND. Columns are by position for ever, as
 * readers count them; one that we do not know is empty, never 0. Times are in seconds where
 * HAProxy has seconds, in milliseconds where it has these (HAProxy management guide, section 9.1).
 */
#include "config.h"

#include "admin/inside.h"

#include <inttypes.h>

#define COLUMNS(X) \
	X(pxname) X(svname) X(qcur) X(qmax) X(scur) X(smax) X(slim) X(stot) X(bin) X(bout) \
	X(dreq) X(dresp) X(ereq) X(econ) X(eresp) X(wretr) X(wredis) X(status) X(weight) \
	X(act) X(bck) X(chkfail) X(chkdown) X(lastchg) X(downtime) X(qlimit) X(pid) X(iid) \
	X(sid) X(throttle) X(lbtot) X(tracked) X(type) X(rate) X(rate_lim) X(rate_max) \
	X(check_status) X(check_code) X(check_duration) X(hrsp_1xx) X(hrsp_2xx) X(hrsp_3xx) \
	X(hrsp_4xx) X(hrsp_5xx) X(hrsp_other) X(hanafail) X(req_rate) X(req_rate_max) \
	X(req_tot) X(cli_abrt) X(srv_abrt) X(comp_in) X(comp_out) X(comp_byp) X(comp_rsp) \
	X(lastsess) X(last_chk) X(last_agt) X(qtime) X(ctime) X(rtime) X(ttime) \
	X(agent_status) X(agent_code) X(agent_duration) X(check_desc) X(agent_desc) \
	X(check_rise) X(check_fall) X(check_health) X(agent_rise) X(agent_fall) \
	X(agent_health) X(addr) X(cookie) X(mode) X(algo) X(conn_rate) X(conn_rate_max) \
	X(conn_tot) X(intercepted) X(dcon) X(dses) X(wrew) X(connect) X(reuse) \
	X(cache_lookups) X(cache_hits) X(srv_icur) X(src_ilim) X(qtime_max) X(ctime_max) \
	X(rtime_max) X(ttime_max) X(eint) X(idle_conn_cur) X(safe_conn_cur) X(used_conn_cur) \
	X(need_conn_est) X(uweight)

enum column {
#define X(name) COL_##name,
	COLUMNS(X)
#undef X
	COL__COUNT
};
static const char *const column_names[COL__COUNT] = {
#define X(name) [COL_##name] = #name,
	COLUMNS(X)
#undef X
};

/* A line is filled by column, then printed. */
struct line {
	char     mem[1536];
	struct sb b;
	uint16_t at[COL__COUNT], len[COL__COUNT];
};

static void begin(struct line *l)
{
	memset(l->len, 0, sizeof(l->len));
	sb_init(&l->b, l->mem, sizeof(l->mem));
}

/* No comma, quote or line end may be in a cell. */
static void put_text(struct line *l, enum column c, const char *z)
{
	l->at[c] = (uint16_t)l->b.n;
	for (; z && *z; z++)
		sb_ch(&l->b, *z == ',' || *z == '"' || (unsigned char)*z < 0x20 ? ' ' : *z);
	l->len[c] = (uint16_t)(l->b.n - l->at[c]);
}

static void put(struct line *l, enum column c, uint64_t v)
{
	l->at[c] = (uint16_t)l->b.n;
	sb_u64(&l->b, v);
	l->len[c] = (uint16_t)(l->b.n - l->at[c]);
}

static void end(struct line *l, struct sb *out)
{
	for (unsigned i = 0; i < COL__COUNT; i++) {
		sb_add(out, l->mem + l->at[i], l->len[i]);
		sb_ch(out, ',');
	}
	sb_ch(out, '\n');
}

static void counters_of(const struct admin_view *v, uint32_t row, uint64_t out[TBL_CTR_MAX])
{
	memset(out, 0, TBL_CTR_MAX * sizeof(out[0]));
	if (row != STAT_NO_ROW)
		(void)stat_total_row(v->seg, row, out);
}

static void responses(struct line *l, const uint64_t *v, unsigned r1xx)
{
	for (unsigned i = 0; i < 5; i++)
		put(l, (enum column)(COL_hrsp_1xx + i), v[r1xx + i]);
}

static void frontend(const struct admin_view *view, const struct lb_vserver *vs, unsigned iid,
		     struct sb *out)
{
	uint64_t v[TBL_CTR_MAX];
	struct line l;

	counters_of(view, vs->row, v);
	begin(&l);
	put_text(&l, COL_pxname, vs->name);
	put_text(&l, COL_svname, "FRONTEND");
	put(&l, COL_scur, v[CTR_VSERVER_CONN_CUR]);
	if (vs->max_connections)
		put(&l, COL_slim, vs->max_connections);
	put(&l, COL_stot, v[CTR_VSERVER_CONN_TOT]);
	put(&l, COL_bin, v[CTR_VSERVER_BYTES_IN]);
	put(&l, COL_bout, v[CTR_VSERVER_BYTES_OUT]);
	put(&l, COL_dreq, v[CTR_VSERVER_DENIED]);
	put(&l, COL_ereq, v[CTR_VSERVER_REQ_BAD] + v[CTR_VSERVER_TIMEOUT_CLIENT]);
	put_text(&l, COL_status, "OPEN");
	put(&l, COL_pid, 1);
	put(&l, COL_iid, iid);
	put(&l, COL_sid, 0);
	put(&l, COL_type, 0);
	put_text(&l, COL_mode, lb_vserver_protocol(vs));
	put(&l, COL_conn_tot, v[CTR_VSERVER_CONN_TOT]);
	put(&l, COL_rate, v[CTR_VSERVER_CONN_RATE]);
	put(&l, COL_conn_rate, v[CTR_VSERVER_CONN_RATE]);
	put(&l, COL_cli_abrt, v[CTR_VSERVER_ABORT_CLIENT]);
	put(&l, COL_srv_abrt, v[CTR_VSERVER_ABORT_SERVER]);
	if (vs->http) {
		responses(&l, v, CTR_VSERVER_R1XX);
		put(&l, COL_req_tot, v[CTR_VSERVER_REQ_TOT]);
		put(&l, COL_req_rate, v[CTR_VSERVER_REQ_RATE]);
	}
	end(&l, out);
}

static uint64_t average_ms(uint64_t sum_us, uint64_t n)
{
	return n ? sum_us / n / 1000 : 0;
}

/* What HAProxy's own words for a server are. */
static const char *server_status(const struct lb_pool *p, uint32_t state)
{
	if (state == ST_SVC_UP && !p->n_monitors)
		return "no check";
	return state == ST_SVC_RESOLVING ? "MAINT (resolution)" : tbl_state_name("SVC", (int)state);
}

static void checks(const struct admin_view *view, struct line *l, const struct lb_pool *p,
		   const struct stat_health *h)
{
	const struct stat_mon *m = NULL;

	/* The one that says most: a failing one before the first. */
	for (unsigned i = 0; i < h->n_mon && i < STAT_MON_MAX; i++)
		if (!m || (m->state != ST_HEALTH_DOWN && h->mon[i].state == ST_HEALTH_DOWN))
			m = &h->mon[i];
	if (h->since_us && h->since_us <= view->wall_us)
		put(l, COL_lastchg, (view->wall_us - h->since_us) / 1000000);
	if (!m)
		return;
	put_text(l, COL_check_status, tbl_state_name("CHECK", (int)m->check));
	if (m->http_status)
		put(l, COL_check_code, m->http_status);
	put(l, COL_check_duration, m->latency_us / 1000);
	put_text(l, COL_last_chk, m->text);
	put(l, COL_check_rise, p->n_monitors ? p->monitors[0]->rise : 0);
	put(l, COL_check_fall, p->n_monitors ? p->monitors[0]->fall : 0);
}

static bool leads_to(const struct pol_rule *r, const struct lb_pool *p)
{
	return r->act == POL_ACT_USE_POOL && r->target == p;
}

static bool is_backup_of(const struct lb_vserver *vs, const struct lb_pool *p, const struct lb_config *lc)
{
	for (unsigned i = 0; i < lc->n_pools; i++) {
		const struct lb_pool *front = &lc->pools[i];
		bool used = leads_to(&vs->dflt, front);

		for (unsigned k = 0; k < vs->rules.n && !used; k++)
			used = leads_to(&vs->rules.rules[k], front);
		for (unsigned k = 0; used && k < front->n_backups; k++)
			if (front->backups[k] == p)
				return true;
	}
	return false;
}

/* A pool has no protocol: it speaks that of the vservers that lead to it; the first counts. */
static const char *mode_of(const struct admin_view *v, const struct lb_pool *p)
{
	for (unsigned i = 0; i < v->lc->n_vservers; i++) {
		const struct lb_vserver *vs = &v->lc->vservers[i];
		bool used = leads_to(&vs->dflt, p);

		for (unsigned k = 0; k < vs->rules.n && !used; k++)
			used = leads_to(&vs->rules.rules[k], p);
		if (used || is_backup_of(vs, p, v->lc))
			return vs->http ? "http" : "tcp";
	}
	return "";
}

static void server(const struct admin_view *view, const struct lb_service *s, unsigned iid,
		   struct sb *out)
{
	uint64_t v[TBL_CTR_MAX];
	char text[ADDR_TEXT_MAX];
	struct stat_health h;
	struct stat_admin a;
	struct line l;
	uint32_t state = lb_service_state(view->lc, s, &h, &a);

	counters_of(view, s->row, v);
	begin(&l);
	put_text(&l, COL_pxname, s->pool->name);
	put_text(&l, COL_svname, s->name);
	put(&l, COL_scur, v[CTR_SERVICE_REQ_CUR]);
	if (s->max_connections)
		put(&l, COL_slim, s->max_connections);
	put(&l, COL_stot, v[CTR_SERVICE_REQ_TOT]);
	put(&l, COL_bin, v[CTR_SERVICE_BYTES_IN]);
	put(&l, COL_bout, v[CTR_SERVICE_BYTES_OUT]);
	put(&l, COL_econ, v[CTR_SERVICE_CONN_FAIL]);
	put(&l, COL_eresp, v[CTR_SERVICE_RESP_ERR]);
	put(&l, COL_wretr, v[CTR_SERVICE_RETRIES]);
	put_text(&l, COL_status, server_status(s->pool, state));
	put(&l, COL_weight, state == ST_SVC_DRAIN ? 0 : s->weight);
	put(&l, COL_uweight, s->weight);
	put(&l, COL_act, !s->backup);
	put(&l, COL_bck, s->backup);
	put(&l, COL_chkfail, v[CTR_SERVICE_PROBE_FAIL]);
	put(&l, COL_chkdown, v[CTR_SERVICE_DOWNS]);
	put(&l, COL_pid, 1);
	put(&l, COL_iid, iid);
	put(&l, COL_sid, s->idx + 1);
	put(&l, COL_lbtot, v[CTR_SERVICE_REQ_TOT]);
	put(&l, COL_type, 2);
	put(&l, COL_rate, v[CTR_SERVICE_REQ_RATE]);
	if (v[CTR_SERVICE_LAST_MS])
		put(&l, COL_lastsess, v[CTR_SERVICE_LAST_MS] / 1000);
	put_text(&l, COL_mode, mode_of(view, s->pool));
	put(&l, COL_cli_abrt, v[CTR_SERVICE_ABORT_CLIENT]);
	put(&l, COL_srv_abrt, v[CTR_SERVICE_ABORT_SERVER]);
	checks(view, &l, s->pool, &h);
	responses(&l, v, CTR_SERVICE_R1XX);
	put(&l, COL_req_tot, v[CTR_SERVICE_REQ_TOT]);
	put(&l, COL_ctime, average_ms(v[CTR_SERVICE_CONNECT_US], v[CTR_SERVICE_CONN_TOT]));
	put(&l, COL_rtime, average_ms(v[CTR_SERVICE_TTFB_US], v[CTR_SERVICE_TXNS]));
	put(&l, COL_rtime_max, v[CTR_SERVICE_TTFB_MAX_US] / 1000);
	if (!s->host || s->n_dns)
		put_text(&l, COL_addr, addr_text(&s->addr, text));
	put(&l, COL_connect, v[CTR_SERVICE_CONN_TOT]);
	put(&l, COL_reuse, v[CTR_SERVICE_REUSE]);
	put(&l, COL_srv_icur, v[CTR_SERVICE_CONN_IDLE]);
	put(&l, COL_idle_conn_cur, v[CTR_SERVICE_CONN_IDLE]);
	put(&l, COL_used_conn_cur,
	    v[CTR_SERVICE_CONN_CUR] - FL_MIN(v[CTR_SERVICE_CONN_CUR], v[CTR_SERVICE_CONN_IDLE]));
	end(&l, out);
}

struct backend_sum { uint64_t v[TBL_CTR_MAX]; unsigned act, bck; uint64_t weight; };

static void add_services(const struct admin_view *view, const struct lb_pool *p,
			 struct backend_sum *sum)
{
	uint64_t v[TBL_CTR_MAX];
	unsigned first, n;

	memset(sum, 0, sizeof(*sum));
	tbl_kind_range(KIND_SERVICE, &first, &n);
	for (unsigned i = 0; i < p->n_services; i++) {
		const struct lb_service *s = &p->services[i];

		counters_of(view, s->row, v);
		for (unsigned k = 0; k < n; k++)
			sum->v[k] += v[k];
		if (!s->takes_new)
			continue;
		sum->act += !s->backup;
		sum->bck += s->backup;
		sum->weight += s->weight;
	}
}

static void backend(const struct admin_view *view, const struct lb_pool *p, unsigned iid,
		    struct sb *out)
{
	const struct conf_val *method = conf_opt(p->node, D_POOL_METHOD);
	struct backend_sum sum;
	uint64_t v[TBL_CTR_MAX];
	struct line l;

	counters_of(view, p->row, v);
	add_services(view, p, &sum);
	begin(&l);
	put_text(&l, COL_pxname, p->name);
	put_text(&l, COL_svname, "BACKEND");
	put(&l, COL_scur, sum.v[CTR_SERVICE_REQ_CUR]);
	put(&l, COL_stot, v[CTR_POOL_REQ_TOT]);
	put(&l, COL_bin, sum.v[CTR_SERVICE_BYTES_IN]);
	put(&l, COL_bout, sum.v[CTR_SERVICE_BYTES_OUT]);
	put(&l, COL_econ, sum.v[CTR_SERVICE_CONN_FAIL] + v[CTR_POOL_NO_SERVICE]);
	put(&l, COL_eresp, sum.v[CTR_SERVICE_RESP_ERR]);
	put(&l, COL_wretr, v[CTR_POOL_RETRIES]);
	put(&l, COL_wredis, v[CTR_POOL_REDISPATCH]);
	put_text(&l, COL_status, sum.act + sum.bck ? "UP" : "DOWN");
	put(&l, COL_weight, sum.weight);
	put(&l, COL_act, sum.act);
	put(&l, COL_bck, sum.bck);
	put(&l, COL_chkdown, sum.v[CTR_SERVICE_DOWNS]);
	put(&l, COL_pid, 1);
	put(&l, COL_iid, iid);
	put(&l, COL_sid, 0);
	put(&l, COL_lbtot, sum.v[CTR_SERVICE_REQ_TOT]);
	put(&l, COL_type, 1);
	put(&l, COL_rate, v[CTR_POOL_REQ_RATE]);
	put_text(&l, COL_mode, mode_of(view, p));
	put(&l, COL_cli_abrt, sum.v[CTR_SERVICE_ABORT_CLIENT]);
	put(&l, COL_srv_abrt, sum.v[CTR_SERVICE_ABORT_SERVER]);
	responses(&l, sum.v, CTR_SERVICE_R1XX);
	put(&l, COL_req_tot, sum.v[CTR_SERVICE_REQ_TOT]);
	put(&l, COL_ctime, average_ms(sum.v[CTR_SERVICE_CONNECT_US], sum.v[CTR_SERVICE_CONN_TOT]));
	put(&l, COL_rtime, average_ms(sum.v[CTR_SERVICE_TTFB_US], sum.v[CTR_SERVICE_TXNS]));
	put_text(&l, COL_algo, method ? method->s.p : "");
	put(&l, COL_connect, sum.v[CTR_SERVICE_CONN_TOT]);
	put(&l, COL_reuse, sum.v[CTR_SERVICE_REUSE]);
	end(&l, out);
}

void csv_print(const struct admin_view *v, struct sb *out)
{
	unsigned iid = 0;

	sb_c(out, "# ");
	for (unsigned i = 0; i < COL__COUNT; i++)
		sb_fmt(out, "%s,", column_names[i]);
	sb_ch(out, '\n');
	if (!v->lc)
		return;
	for (unsigned i = 0; i < v->lc->n_vservers; i++)
		frontend(v, &v->lc->vservers[i], ++iid, out);
	for (unsigned i = 0; i < v->lc->n_pools; i++) {
		const struct lb_pool *p = &v->lc->pools[i];

		iid++;
		for (unsigned k = 0; k < p->n_services; k++)
			server(v, &p->services[k], iid, out);
		backend(v, p, iid, out);
	}
}

/* One object for each line, keyed by the columns that have a value. */
static void csv_json(struct str text, struct sb *out)
{
	const char *comma = "\n";

	(void)str_cut(&text, '\n');
	sb_ch(out, '[');
	while (text.n) {
		struct str line = str_cut(&text, '\n');
		const char *sep = "";

		sb_fmt(out, "%s {", comma);
		for (unsigned i = 0; i < COL__COUNT; i++) {
			struct str cell = str_cut(&line, ',');
			uint64_t num;

			if (!cell.n)
				continue;
			sb_fmt(out, "%s\"%s\": ", sep, column_names[i]);
			if (str_u64(cell, &num) && i != COL_pxname && i != COL_svname)
				sb_u64(out, num);
			else
				sb_json_str(out, cell);
			sep = ", ";
		}
		sb_ch(out, '}');
		comma = ",\n";
	}
	sb_c(out, "\n]\n");
}

int verb_SHOW_STAT(struct cmd *c)
{
	struct sb text;

	if (!c->call.json) {
		csv_print(c->v, &c->out);
		return CMD_OK;
	}
	sb_init_heap(&text);
	csv_print(c->v, &text);
	csv_json(sb_get(&text), &c->out);
	c->out.over |= text.over;
	sb_free(&text);
	c->is_json = true;
	return CMD_OK;
}
