/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.c - see manifest.h
 */
#include "config.h"

#include "proc/manifest.h"

#include <string.h>

#include "base/env.h"
#include "base/err.h"
#include "lb/lb.h"
#include "net/queues.h"
#include "proc/place.h"
#include "stat/stat.h"

/* Writing (gen) --------------------------------------------------------------------------- */

struct writer {
	struct sb *out;
	bool       bad;
};

static void put_line(struct writer *w, const char *what, const char *rest)
{
	w->bad |= strpbrk(rest, "\r\n") != NULL;
	sb_fmt(w->out, "%s %s\n", what, rest);
}

static void put_num(struct writer *w, const char *what, uint64_t v)
{
	sb_fmt(w->out, "%s %llu\n", what, (unsigned long long)v);
}

static void put_object(void *ctx, enum tbl_kind kind, const char *name, uint32_t *row)
{
	struct writer *w = ctx;

	(void)row;
	w->bad |= strpbrk(name, "\r\n") != NULL;
	sb_fmt(w->out, "object %d %s\n", (int)kind, name);
}

/* Of the first value of a directive; ends the line. */
static void put_place(struct writer *w, const struct conf_node *n)
{
	const struct conf_loc *at = n && n->n_val ? &n->val[0].loc : NULL;

	w->bad |= at && at->file && strpbrk(at->file, "\r\n");
	if (at && at->file)
		sb_fmt(w->out, "%s:%u:%u\n", at->file, at->line, at->col);
	else
		sb_c(w->out, "-\n");
}

/* [::]:80 serves IPv4 as well: the configuration has no 0.0.0.0:80 beside it. */
static void put_listen(struct writer *w, const struct lb_listen *l, const struct queues *q)
{
	char text[ADDR_TEXT_MAX];

	unsigned queues = 0;

	w->bad |= strpbrk(l->full_name, " \r\n") != NULL || (l->congestion && strpbrk(l->congestion, " \r\n"));
	sb_fmt(w->out, "%s %s %d %d %s %s ", l->udp ? "listen-udp" : "listen", addr_text(&l->addr, text),
	       l->backlog, !addr_is_any(&l->addr), l->congestion ? l->congestion : "-", l->full_name);
	put_place(w, l->node);
	if (l->device)
		queues = queues_of_device(QUEUES_SYSFS, l->device);
	else if (q)
		queues = queues_of(q, &l->addr);
	sb_fmt(w->out, "distribute %d %u %d %u %u\n", (int)l->distribute, queues, (int)l->rss.hash, l->rss.tuple, l->rebalance);
	if (l->device)
		put_line(w, "device", l->device);
	if (l->cores.n) {
		sb_c(w->out, "cores ");
		core_set_text(&l->cores, w->out);
		sb_ch(w->out, '\n');
	}
	for (unsigned i = 0; i < l->rss.n_rules; i++) {
		const struct rss_more *more = &l->rss.more[i];

		sb_fmt(w->out, "rule %u %u %s\n", l->rule_core[i], l->rss.rules[i].bits, ip_text(l->rss.rules[i].ip, text));
		if (more->port_hi || more->to.ip.family)
			sb_fmt(w->out, "rule-more %u %u %u %s\n", more->port_lo, more->port_hi, more->to.bits,
			       more->to.ip.family ? ip_text(more->to.ip, text) : "-");
	}
}

static void put_kept(struct writer *w, const struct conf *c)
{
	struct str rest;
	struct sb b;

	sb_init_heap(&b);
	if (c)
		conf_kept_print(c, &b);
	rest = sb_get(&b);
	while (rest.n) {
		struct str line = str_cut(&rest, '\n');

		sb_fmt(w->out, "kept " STR_FMT "\n", STR_ARG(line));
	}
	sb_free(&b);
}

static void put_key(struct writer *w, const uint8_t *key)
{
	sb_c(w->out, "key ");
	for (unsigned i = 0; i < 80; i++)
		sb_fmt(w->out, "%02x", key[i]);
	sb_ch(w->out, '\n');
}

int manifest_write(struct lb_config *lc, const struct ids *ids, unsigned n_warnings, const uint8_t (*keys)[80],
		   unsigned n_keys, struct sb *out)
{
	struct writer w = { .out = out };
	char text[ADDR_TEXT_MAX];
	unsigned n_services = 0;
	struct queues *queues;

	for (unsigned i = 0; i < lc->n_pools; i++)
		n_services += lc->pools[i].n_services;
	put_num(&w, "workers", lc->workers);
	put_num(&w, "consolidate", lc->consolidate_us);
	put_num(&w, "grace", lc->shutdown_grace_us);
	put_num(&w, "drain-timeout", lc->drain_timeout_us);
	put_num(&w, "heartbeat", lc->heartbeat_timeout_us);
	put_num(&w, "crash-block", lc->crash_block_us);
	put_num(&w, "max-objects", lc->max_objects);
	put_num(&w, "ticket-lifetime", lc->ticket_lifetime_us);
	put_num(&w, "drain-generations", lc->drain_generations);
	put_num(&w, "control-core", (uint64_t)(lc->control_core + 1));
	put_num(&w, "control-shares", lc->control_shares);
	put_num(&w, "error-level", (uint64_t)lc->error_level);
	put_num(&w, "vservers", lc->n_vservers);
	put_num(&w, "pools", lc->n_pools);
	put_num(&w, "services", n_services);
	put_num(&w, "warnings", n_warnings);
	put_num(&w, "own-tickets", lc->ticket_keys != NULL);
	put_num(&w, "uid", ids->uid);
	put_num(&w, "gid", ids->gid);
	put_line(&w, "user", ids->name);
	put_line(&w, "error-log", lc->error_log ? lc->error_log : "stderr");
	put_line(&w, "file", lc->conf && lc->conf->main_file ? lc->conf->main_file : "-");
	if (lc->admin_socket)
		put_line(&w, "admin-socket", lc->admin_socket);
	if (lc->admin_http.sa.sa_family) {
		put_line(&w, "admin-http", addr_text(&lc->admin_http, text));
		sb_c(out, "admin-http-place ");
		put_place(&w, lc->conf ? conf_child(conf_child(lc->conf->root, D_ADMIN), D_ADMIN_HTTP) : NULL);
	}
	for (unsigned i = 0; i < n_keys; i++)
		put_key(&w, keys[i]);
	put_kept(&w, lc->conf);
	for (unsigned i = 0; i < lc->n_logs; i++)
		put_line(&w, "log", lc->logs[i]);
	queues = queues_read(QUEUES_SYSFS);
	for (unsigned i = 0; i < lc->n_listens; i++)
		put_listen(&w, &lc->listens[i], queues);
	queues_free(&queues);
	lb_each_object(lc, put_object, &w);
	sb_c(out, "end\n");
	return w.bad ? FL_ESYNTAX_ : out->over ? FL_ENOMEM_ : 0;
}

/* Reading (master) ------------------------------------------------------------------------ */

struct counts {
	unsigned objects, listens, logs;
	bool     ended;
};

static struct counts count_lines(struct str text)
{
	struct counts c = { 0 };

	while (text.n) {
		struct str line = str_cut(&text, '\n');

		c.objects += str_starts(line, STR("object "));
		c.listens += str_starts(line, STR("listen ")) || str_starts(line, STR("listen-udp "));
		c.logs += str_starts(line, STR("log "));
		c.ended |= str_eq(line, STR("end"));
	}
	return c;
}

static bool read_number(struct manifest *m, struct str what, struct str rest)
{
	uint64_t v, workers = 0, drain = 0, level = 0, vs = 0, pools = 0, services = 0, warnings = 0, own = 0;
	uint64_t uid = 0, gid = 0, control = 0, shares = 0;
	const struct {
		const char *what;
		uint64_t   *to;
	} rows[] = {
		{ "workers", &workers },                 { "consolidate", &m->consolidate_us },
		{ "grace", &m->grace_us },               { "drain-timeout", &m->drain_timeout_us },
		{ "heartbeat", &m->heartbeat_us },       { "max-objects", &m->max_objects },
		{ "ticket-lifetime", &m->ticket_life_us }, { "drain-generations", &drain },
		{ "error-level", &level },               { "vservers", &vs },
		{ "pools", &pools },                     { "services", &services },
		{ "warnings", &warnings },               { "own-tickets", &own },
		{ "uid", &uid },                         { "gid", &gid },
		{ "control-core", &control },            { "crash-block", &m->crash_block_us },
		{ "control-shares", &shares },
	};

	if (!str_u64(rest, &v))
		return false;
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++)
		if (str_eq(what, str_c(rows[i].what)))
			*rows[i].to = v;
	m->workers += (unsigned)workers;
	m->drain_generations += (unsigned)drain;
	m->control_core += (int)control;         /* from PLACE_SHARED */
	m->control_shares |= shares != 0;
	m->error_level += (int)level;
	m->n_vservers += (unsigned)vs;
	m->n_pools += (unsigned)pools;
	m->n_services += (unsigned)services;
	m->n_warnings += (unsigned)warnings;
	m->own_tickets |= own != 0;
	m->ids.uid += (uid_t)uid;
	m->ids.gid += (gid_t)gid;
	return true;
}

static bool read_listen(struct manifest *m, struct str rest, bool udp)
{
	struct man_listen *l = &m->listens[m->n_listens];
	struct str addr = str_cut(&rest, ' '), backlog = str_cut(&rest, ' '), v6 = str_cut(&rest, ' ');
	struct str congestion = str_cut(&rest, ' '), name = str_cut(&rest, ' ');
	uint64_t n;

	if (addr_parse(addr, -1, &l->addr) != 0 || !str_u64(backlog, &n) || n > 65535 || name.n == 0)
		return false;
	l->backlog = (int)n;
	l->udp = udp;
	l->v6only = str_eq(v6, STR("1"));
	l->congestion = str_eq(congestion, STR("-")) ? NULL : pool_strndup(m->mem, congestion.p, congestion.n);
	l->name = pool_strndup(m->mem, name.p, name.n);
	l->place = rest.n ? pool_strndup(m->mem, rest.p, rest.n) : "-";
	l->rss.tuple = 4;
	m->n_listens++;
	return l->name && l->place;
}

/* Behind the line of its listener. */
static bool read_distribute(struct manifest *m, struct str rest)
{
	struct man_listen *l = &m->listens[FL_MAX(m->n_listens, 1u) - 1];
	uint64_t want, queues, hash, tuple, percent;

	if (!m->n_listens || !str_u64(str_cut(&rest, ' '), &want) || want > STEER_LEAST_LOAD ||
	    !str_u64(str_cut(&rest, ' '), &queues))
		return false;
	l->distribute = (enum steer_want)want;
	l->queues = (unsigned)FL_MIN(queues, (uint64_t)65535);
	if (!rest.n)             /* of a version that knew no more */
		return true;
	if (!str_u64(str_cut(&rest, ' '), &hash) || hash > RSS_TOEPLITZ || !str_u64(str_cut(&rest, ' '), &tuple) ||
	    tuple < 2 || tuple > 4 || !str_u64(str_cut(&rest, ' '), &percent) || percent > 100)
		return false;
	l->rss.hash = (enum rss_hash)hash;
	l->rss.tuple = (unsigned)tuple;
	l->rebalance = (unsigned)percent;
	return true;
}

/* Behind `distribute`: core, bits and address. */
static bool read_rule(struct manifest *m, struct str rest)
{
	struct man_listen *l = &m->listens[FL_MAX(m->n_listens, 1u) - 1];
	struct cidr c = { 0 };
	uint64_t core, bits;

	if (!m->n_listens || l->rss.n_rules == RSS_RULES || !str_u64(str_cut(&rest, ' '), &core) || core >= STAT_MAX_CORES ||
	    !str_u64(str_cut(&rest, ' '), &bits) || ip_parse(rest, &c.ip) != 0 || bits > (c.ip.family == AF_INET ? 32 : 128))
		return false;
	c.bits = (uint8_t)bits;
	if (!l->rss.rules) {
		l->rss.rules = pool_array(m->mem, RSS_RULES, sizeof(*l->rss.rules));
		l->rule_core = pool_array(m->mem, RSS_RULES, sizeof(*l->rule_core));
		l->rss.more = pool_array(m->mem, RSS_RULES, sizeof(*l->rss.more));
	}
	if (!l->rss.rules || !l->rule_core || !l->rss.more)
		return false;
	l->rss.rules[l->rss.n_rules] = c;
	l->rule_core[l->rss.n_rules++] = (unsigned)core;
	return true;
}

/* Behind the line of its rule: ports from and to, bits and address of ours. */
static bool read_more(struct manifest *m, struct str rest)
{
	struct man_listen *l = &m->listens[FL_MAX(m->n_listens, 1u) - 1];
	struct rss_more more = { .port_lo = 0 };
	uint64_t lo, hi, bits;

	if (!m->n_listens || !l->rss.n_rules || !str_u64(str_cut(&rest, ' '), &lo) || !str_u64(str_cut(&rest, ' '), &hi) ||
	    lo > hi || hi > UINT16_MAX || !str_u64(str_cut(&rest, ' '), &bits))
		return false;
	more.port_lo = (uint16_t)lo;
	more.port_hi = (uint16_t)hi;
	if (!str_eq(rest, STR("-"))) {
		if (ip_parse(rest, &more.to.ip) != 0 || bits > (more.to.ip.family == AF_INET ? 32 : 128))
			return false;
		more.to.bits = (uint8_t)bits;
	}
	l->rss.more[l->rss.n_rules - 1] = more;
	return true;
}

/* Behind the line of its listener. */
static bool read_cores(struct manifest *m, struct str rest)
{
	bool good = m->n_listens > 0;

	while (good && rest.n)
		good = core_set_read(&m->listens[m->n_listens - 1].cores, str_cut(&rest, ' '));
	return good;
}

static bool read_object(struct manifest *m, struct str rest)
{
	struct man_object *o = &m->objects[m->n_objects];
	struct str kind = str_cut(&rest, ' ');
	uint64_t k;

	if (!str_u64(kind, &k) || k == 0 || k >= KIND__COUNT || rest.n == 0)
		return false;
	o->kind = (enum tbl_kind)k;
	o->name = pool_strndup(m->mem, rest.p, rest.n);
	m->n_objects++;
	return o->name != NULL;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_key(struct manifest *m, struct str rest)
{
	if (m->n_keys >= FL_ARRAY_LEN(m->keys) || rest.n != 2 * sizeof(m->keys[0]))
		return false;
	for (size_t i = 0; i < sizeof(m->keys[0]); i++) {
		int hi = hex(rest.p[2 * i]), lo = hex(rest.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		m->keys[m->n_keys][i] = (uint8_t)(hi << 4 | lo);
	}
	m->n_keys++;
	return true;
}

static bool read_line(struct manifest *m, struct str line)
{
	struct str rest = line, what = str_cut(&rest, ' ');
	char *copy;

	if (str_eq(what, STR("end")))
		return true;
	if (str_eq(what, STR("object")))
		return read_object(m, rest);
	if (str_eq(what, STR("listen")))
		return read_listen(m, rest, false);
	if (str_eq(what, STR("listen-udp")))
		return read_listen(m, rest, true);
	if (str_eq(what, STR("distribute")))
		return read_distribute(m, rest);
	if (str_eq(what, STR("rule-more")))
		return read_more(m, rest);
	if (str_eq(what, STR("cores")))
		return read_cores(m, rest);
	if (str_eq(what, STR("device")))
		return m->n_listens && (m->listens[m->n_listens - 1].device = pool_strndup(m->mem, rest.p, rest.n)) != NULL;
	if (str_eq(what, STR("rule")))
		return read_rule(m, rest);
	if (str_eq(what, STR("key")))
		return read_key(m, rest);
	if (str_eq(what, STR("admin-http")))
		return addr_parse(rest, -1, &m->admin_http) == 0;
	copy = pool_strndup(m->mem, rest.p, rest.n);
	if (!copy)
		return false;
	if (str_eq(what, STR("user")))
		memcpy(m->ids.name, copy, FL_MIN(rest.n, sizeof(m->ids.name) - 1));
	else if (str_eq(what, STR("error-log")))
		m->error_log = copy;
	else if (str_eq(what, STR("file")))
		m->file = copy;
	else if (str_eq(what, STR("admin-http-place")))
		m->admin_http_place = copy;
	else if (str_eq(what, STR("admin-socket")))
		m->admin_socket = copy;
	else if (str_eq(what, STR("kept")))
		return (m->kept = pool_fmt(m->mem, "%s%s\n", m->kept ? m->kept : "", copy)) != NULL;
	else if (str_eq(what, STR("log")))
		m->logs[m->n_logs++] = copy;
	else
		return read_number(m, what, rest);
	return true;
}

struct manifest *manifest_read(struct str text)
{
	struct counts c = count_lines(text);
	struct manifest *m = env_calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->control_core = PLACE_SHARED;
	m->mem = pool_new("manifest", 0);
	if (!m->mem)
		goto fail;
	m->objects = pool_array(m->mem, c.objects + 1, sizeof(*m->objects));
	m->listens = pool_array(m->mem, c.listens + 1, sizeof(*m->listens));
	m->logs = pool_array(m->mem, c.logs + 1, sizeof(*m->logs));
	if (!m->objects || !m->listens || !m->logs || !c.ended)
		goto fail;
	while (text.n)
		if (!read_line(m, str_cut(&text, '\n')))
			goto fail;
	if (!m->error_log || !m->file || !m->max_objects)
		goto fail;
	return m;
fail:
	manifest_free(&m);
	return NULL;
}

void manifest_free(struct manifest **mp)
{
	struct manifest *m = *mp;

	if (!m)
		return;
	*mp = NULL;
	memset(m->keys, 0, sizeof(m->keys));
	pool_free(&m->mem);
	env_free(m);
}
