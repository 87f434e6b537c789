/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.c - configuration tree -> pools, services, monitors and the appliance's own settings
 *
 * The tree is checked already (conf/): references resolve, types fit. What can still go wrong here
 * are things that only building finds: certificates, memory.
 */
#include "config.h"

#include "lb/build.h"

#include "base/hash.h"
#include "base/log.h"
#include "http/module.h"
#include "net/tls.h"

void *lb_build_alloc(struct lb_builder *b, size_t n, size_t size)
{
	void *p = pool_array(b->lc->mem, n ? n : 1, size);

	if (!p)
		b->nomem = true;
	return p;
}

void lb_build_register(struct lb_builder *b, const char *kind, const char *name, void *obj)
{
	char *key = pool_fmt(b->lc->mem, "%s %s", kind, name);

	if (!key || map_add(b->lc->by_name, str_c(key), obj) < 0)
		b->nomem = true;
}

void *lb_build_lookup(const struct lb_config *lc, const char *kind, const char *name)
{
	char key[STAT_NAME_MAX + 32];
	struct sb sb;

	sb_init(&sb, key, sizeof(key));
	sb_fmt(&sb, "%s %s", kind, name);
	return sb.over ? NULL : map_get(lc->by_name, sb_get(&sb));
}

int lb_build_log(struct lb_builder *b, const char *path)
{
	struct lb_config *lc = b->lc;
	const char **logs;

	for (unsigned i = 0; i < lc->n_logs; i++)
		if (strcmp(lc->logs[i], path) == 0)
			return (int)i;
	logs = lb_build_alloc(b, lc->n_logs + 1, sizeof(*logs));
	if (!logs)
		return -1;
	if (lc->n_logs)
		memcpy(logs, lc->logs, lc->n_logs * sizeof(*logs));
	logs[lc->n_logs] = path;
	lc->logs = logs;
	return (int)lc->n_logs++;
}

/* The messages of net/ are about TLS, all of them. */
struct tls_client *lb_build_client(const struct conf *c, const struct conf_node *tls, struct conf_diag *d)
{
	struct tls_client *t;

	conf_diag_default(d, "0502");
	t = tls_client_build(c, tls, d);
	conf_diag_default(d, NULL);
	return t;
}

struct tls_server *lb_build_server(const struct conf *c, const struct conf_node *tls, struct conf_diag *d)
{
	struct tls_server *t;

	conf_diag_default(d, "0502");
	t = tls_server_build(c, tls, d);
	conf_diag_default(d, NULL);
	return t;
}

static unsigned count_children(const struct conf_node *n, enum tbl_dir id)
{
	unsigned k = 0;

	CONF_FOREACH(c, n, id)
		k++;
	return k;
}

/* ---------- monitors ---------- */

static void add_status(struct lb_monitor *m, uint64_t lo, uint64_t hi)
{
	if (m->n_status < FL_ARRAY_LEN(m->status)) {
		m->status[m->n_status].lo = (uint16_t)lo;
		m->status[m->n_status++].hi = (uint16_t)hi;
	}
}

static void build_expect(struct lb_monitor *m, const struct conf_node *n)
{
	CONF_FOREACH(e, n, D_MON_EXPECT) {
		if (!str_eq(e->val[0].s, STR("status"))) {
			m->expect = e->val[1].s;
			continue;
		}
		for (unsigned i = 1; i < e->n_val; i++) {
			struct str hi_s = e->val[i].s, lo_s = str_cut(&hi_s, '-');
			uint64_t lo = 0, hi = 0;

			/* conf has checked the form. */
			str_u64(lo_s, &lo);
			if (!hi_s.n || !str_u64(hi_s, &hi))
				hi = lo;
			add_status(m, lo, hi);
		}
	}
	if (!m->n_status)
		add_status(m, 200, 399);
}

static void build_monitor(struct lb_monitor *m, const struct conf_node *n)
{
	static const enum lb_mon_type types[] = { LB_MON_PING, LB_MON_TCP, LB_MON_HTTP };
	const struct conf_val *send = conf_opt(n, D_MON_SEND);

	m->name = n->name;
	m->type = types[FL_MIN((uint64_t)n->val[1].i, FL_ARRAY_LEN(types) - 1)];
	m->node = n;
	m->every_us = (uint64_t)conf_opt_int(n, D_MON_EVERY);
	m->timeout_us = (uint64_t)conf_opt_int(n, D_MON_TIMEOUT);
	m->rise = (unsigned)conf_opt_int(n, D_MON_RISE);
	m->fall = (unsigned)conf_opt_int(n, D_MON_FALL);
	m->port = (unsigned)conf_opt_int(n, D_MON_PORT);
	m->tls = conf_opt_bool(n, D_MON_TLS);
	m->host = conf_opt_word(n, D_MON_HOST);
	m->send = send ? send->s : m->type == LB_MON_HTTP ? STR("GET /") : STR_NULL;
	build_expect(m, n);
}

static void build_monitors(struct lb_builder *b)
{
	struct lb_config *lc = b->lc;
	const struct conf_node *root = lc->conf->root;
	struct lb_monitor *m;

	/* One more for the tcp monitor of pools that name none. */
	lc->monitors = m = lb_build_alloc(b, count_children(root, D_MONITOR) + 1, sizeof(*m));
	if (!m)
		return;
	m->name = "tcp";
	m->type = LB_MON_TCP;
	m->every_us = 2000000;
	m->timeout_us = 1000000;
	m->rise = 2;
	m->fall = 3;
	lc->n_monitors = 1;
	CONF_FOREACH(n, root, D_MONITOR) {
		m = &lc->monitors[lc->n_monitors++];
		build_monitor(m, n);
		lb_build_register(b, "monitor", m->name, m);
	}
}

/* ---------- pools and services ---------- */

static void build_service(struct lb_builder *b, struct lb_pool *p, struct lb_service *s, const struct conf_node *n)
{
	const struct conf_val *hp = &n->val[1];
	const char *state = conf_opt_word(n, D_SVC_STATE);
	const struct conf_val *rate = conf_opt(n, D_SVC_MAX_BANDWIDTH);

	s->name = n->name;
	s->full_name = n->full_name;
	s->pool = p;
	s->node = n;
	s->port = hp->port;
	s->row = STAT_NO_ROW;
	if (hp->addr.sa.sa_family)
		s->addr = hp->addr;
	else
		s->host = hp->s.p;
	s->weight = (unsigned)conf_opt_int(n, D_SVC_WEIGHT);
	s->backup = conf_opt_bool(n, D_SVC_BACKUP);
	s->max_connections = (uint64_t)conf_opt_int(n, D_SVC_MAX_CONNECTIONS);
	s->max_bandwidth = rate && rate->type == CV_RATE ? ((uint64_t)rate->i + 7) / 8 : 0;
	p->has_max_bandwidth |= s->max_bandwidth > 0;
	s->hash_id = fl_hash64(s->full_name, strlen(s->full_name), 0);
	if (state && strcmp(state, "drain") == 0)
		s->conf_admin = ST_ADMIN_DRAIN;
	else if (state && strcmp(state, "maint") == 0)
		s->conf_admin = ST_ADMIN_MAINT;
	s->state = s->conf_admin == ST_ADMIN_MAINT ? ST_SVC_MAINT : s->conf_admin == ST_ADMIN_DRAIN ? ST_SVC_DRAIN :
		   s->host ? ST_SVC_RESOLVING : ST_SVC_UP;
	s->takes_new = s->state == ST_SVC_UP && s->weight > 0;
	p->has_backup_services |= s->backup;
	lb_build_register(b, "service", s->full_name, s);
}

static void build_pool_monitors(struct lb_builder *b, struct lb_pool *p, const struct conf_node *n)
{
	unsigned want = 0;

	CONF_FOREACH(m, n, D_POOL_MONITOR)
		want += m->n_val;
	p->monitors = lb_build_alloc(b, want ? want : 1, sizeof(*p->monitors));
	if (!p->monitors)
		return;
	if (!want)
		p->monitors[p->n_monitors++] = &b->lc->monitors[0];
	CONF_FOREACH(m, n, D_POOL_MONITOR) {
		for (unsigned i = 0; i < m->n_val; i++) {
			struct lb_monitor *mon;

			if (m->val[i].type != CV_REF)
				continue;               /* `none` */
			mon = lb_build_lookup(b->lc, "monitor", m->val[i].ref->name);
			if (mon)
				p->monitors[p->n_monitors++] = mon;
		}
	}
}

static void build_pool(struct lb_builder *b, struct lb_pool *p, const struct conf_node *n)
{
	static const enum lb_method methods[] = { LB_ROUND_ROBIN, LB_LEAST_CONNECTION, LB_SOURCE_IP_HASH };
	const struct conf_val *method = conf_opt(n, D_POOL_METHOD);
	const struct conf_node *tls = conf_child(n, D_POOL_TLS);
	unsigned i = 0;

	p->name = n->name;
	p->node = n;
	p->lc = b->lc;
	p->row = STAT_NO_ROW;
	p->method = methods[FL_MIN((uint64_t)method->i, FL_ARRAY_LEN(methods) - 1)];
	p->connect_timeout_ms = (uint64_t)conf_opt_int(n, D_POOL_CONNECT_TIMEOUT) / 1000;
	p->response_timeout_ms = (uint64_t)conf_opt_int(n, D_POOL_RESPONSE_TIMEOUT) / 1000;
	/* Only when it is written: the default is about pooled connections and would be short for a relay. */
	p->tcp_idle_ms = conf_child(n, D_POOL_IDLE_TIMEOUT) ? (uint64_t)conf_opt_int(n, D_POOL_IDLE_TIMEOUT) / 1000 : 0;
	p->idle_timeout_ms = (uint64_t)conf_opt_int(n, D_POOL_IDLE_TIMEOUT) / 1000;
	p->idle_max = (unsigned)conf_opt_int(n, D_POOL_IDLE_MAX);
	p->retries = (unsigned)conf_opt_int(n, D_POOL_RETRIES);
	p->congestion = conf_opt_word(n, D_POOL_CONGESTION);
	p->buffer_response = (size_t)conf_opt_int(n, D_POOL_BUFFER_RESPONSE);
	if (tls) {
		p->sni = conf_opt_word(tls, D_STLS_SNI);
		p->uses_tls = true;
		if (b->with_tls)
			p->tls = lb_build_client(b->lc->conf, tls, b->d);
	}
	p->services = lb_build_alloc(b, count_children(n, D_POOL_SERVICE), sizeof(*p->services));
	p->scratch = lb_build_alloc(b, count_children(n, D_POOL_SERVICE), sizeof(*p->scratch));
	p->scratch_value = lb_build_alloc(b, count_children(n, D_POOL_SERVICE), sizeof(*p->scratch_value));
	if (b->nomem)
		return;
	CONF_FOREACH(s, n, D_POOL_SERVICE) {
		p->services[i].idx = i;
		build_service(b, p, &p->services[i++], s);
	}
	p->n_services = i;
	build_pool_monitors(b, p, n);
	lb_build_register(b, "pool", p->name, p);
}

static void build_backups(struct lb_builder *b, struct lb_pool *p)
{
	p->backups = lb_build_alloc(b, count_children(p->node, D_POOL_BACKUP), sizeof(*p->backups));
	if (!p->backups)
		return;
	CONF_FOREACH(n, p->node, D_POOL_BACKUP) {
		struct lb_pool *other = lb_build_lookup(b->lc, "pool", n->val[0].ref->name);

		if (other)
			p->backups[p->n_backups++] = other;
	}
}

static void build_pools(struct lb_builder *b)
{
	struct lb_config *lc = b->lc;

	lc->pools = lb_build_alloc(b, count_children(lc->conf->root, D_POOL), sizeof(*lc->pools));
	if (!lc->pools)
		return;
	CONF_FOREACH(n, lc->conf->root, D_POOL)
		build_pool(b, &lc->pools[lc->n_pools++], n);
	for (unsigned i = 0; i < lc->n_pools && !b->nomem; i++)
		build_backups(b, &lc->pools[i]);
}

/* ---------- the appliance ---------- */

/* consolidate TIME [aligned|staggered] [early PERCENT] */
static void build_cycle(struct lb_config *lc, const struct conf_node *n)
{
	lc->consolidate_us = (uint64_t)conf_opt_int(lc->conf->root, D_CONSOLIDATE);
	for (unsigned i = 1; n && i < n->n_val; i++) {
		if (n->val[i].type == CV_ENUM)
			lc->staggered = n->val[i].i == 1;
		else if (n->val[i].type == CV_COUNT)
			lc->early_percent = (unsigned)n->val[i].i;
	}
}

static void build_settings(struct lb_builder *b)
{
	struct lb_config *lc = b->lc;
	const struct conf_node *root = lc->conf->root, *admin = conf_child(root, D_ADMIN);
	const struct conf_node *err = conf_child(root, D_LOG_ERROR), *res = conf_child(root, D_RESOLVER);
	const struct conf_val *workers = conf_opt(root, D_WORKERS), *control = conf_opt(root, D_CONTROL_CORE), *http;
	static const int levels[] = { LOG_LVL_ERR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

	lc->workers = workers && workers->type == CV_COUNT ? (unsigned)workers->i : 0;
	lc->control_core = control && control->type == CV_COUNT ? (int)control->i : -1;
	lc->control_shares = control && control->type == CV_COUNT && conf_child(root, D_CONTROL_CORE)->n_val > 1;
	lc->share_full = conf_opt_int(root, D_SHARE_CHECK) == 1;
	build_cycle(lc, conf_child(root, D_CONSOLIDATE));
	lc->shutdown_grace_us = (uint64_t)conf_opt_int(root, D_SHUTDOWN_GRACE);
	lc->drain_timeout_us = (uint64_t)conf_opt_int(root, D_DRAIN_TIMEOUT);
	lc->heartbeat_timeout_us = (uint64_t)conf_opt_int(root, D_HEARTBEAT_TIMEOUT);
	lc->crash_block_us = (uint64_t)conf_opt_int(root, D_CRASH_BLOCK);
	lc->max_connections = (uint64_t)conf_opt_int(root, D_MAX_CONNECTIONS);
	lc->buffer_memory = (uint64_t)conf_opt_int(root, D_BUFFER_MEMORY);
	lc->max_objects = (uint64_t)conf_opt_int(root, D_MAX_OBJECTS);
	lc->ticket_lifetime_us = (uint64_t)conf_opt_int(root, D_TICKET_LIFETIME);
	lc->drain_generations = (unsigned)conf_opt_int(root, D_DRAIN_GENERATIONS);
	lc->user = conf_opt_word(root, D_USER);
	lc->ticket_keys = conf_opt_word(root, D_TICKET_KEYS);
	lc->error_log = err ? err->val[0].s.p : "stderr";
	lc->error_level = err && err->n_val > 1 ? levels[FL_MIN((uint64_t)err->val[1].i, 3)] : LOG_LVL_INFO;
	if (admin) {
		lc->admin_socket = conf_opt_word(admin, D_ADMIN_SOCKET);
		http = conf_opt(admin, D_ADMIN_HTTP);
		if (http)
			lc->admin_http = http->addr;
	}
	if (res) {
		lc->resolvers = lb_build_alloc(b, res->n_val, sizeof(*lc->resolvers));
		for (unsigned i = 0; lc->resolvers && i < res->n_val; i++)
			lc->resolvers[lc->n_resolvers++] = res->val[i].addr;
	}
}

/* ---------- functions of cores ---------- */

static void build_functions(struct lb_builder *b)
{
	CONF_FOREACH(n, b->lc->conf->root, D_FUNCTION) {
		struct core_set *set = lb_build_alloc(b, 1, sizeof(*set));

		/* check.c has looked at all words */
		for (unsigned i = 2; set && i < n->n_val; i++)
			(void)core_set_read(set, n->val[i].s);
		b->lc->function[FL_MIN((uint64_t)n->val[0].i, (uint64_t)LB_FUNCTION__COUNT - 1)] = set;
	}
}

/* One core probes a service and resolves its name. */
static void set_owners(struct lb_builder *b, struct lb_service *s, const struct core_set *both)
{
	const struct core_set *probe = s->pool->n_monitors ? b->lc->function[LB_FUNCTION_MONITORS] : NULL;
	const struct core_set *resolve = s->host ? b->lc->function[LB_FUNCTION_NAMES] : NULL;

	s->owners = probe && resolve ? both : probe ? probe : resolve;
	if (probe && resolve && both->n == 0)
		conf_error(b->d, s->node->loc, s->node->span, "give \"function monitors\" and \"function names\" a core in common",
			   "[E0401] service %s is probed and has a name: one core does both, and no core may", s->full_name);
}

/* `function tls` and `cores` of a listener that have nothing in common: its own are meant. */
static void check_tls_cores(struct lb_builder *b)
{
	const struct core_set *tls = b->lc->function[LB_FUNCTION_TLS];

	for (unsigned i = 0; tls && i < b->lc->n_listens; i++) {
		const struct lb_listen *l = &b->lc->listens[i];

		if (l->uses_tls && l->cores.n && core_set_both(tls, &l->cores).n == 0)
			conf_warn(b->d, l->node->loc, l->node->span, "give both lists a core in common",
				  "[W0402] listener %s: no core of \"function tls\" is one of its cores: its cores do TLS themselves", l->full_name);
	}
}

static void build_owners(struct lb_builder *b)
{
	const struct lb_config *lc = b->lc;
	const struct core_set *m = lc->function[LB_FUNCTION_MONITORS], *r = lc->function[LB_FUNCTION_NAMES];
	struct core_set *both = m && r ? lb_build_alloc(b, 1, sizeof(*both)) : NULL;

	if (both)
		*both = core_set_both(m, r);
	for (unsigned i = 0; i < lc->n_pools && !b->nomem; i++)
		for (unsigned k = 0; k < lc->pools[i].n_services; k++)
			set_owners(b, &lc->pools[i].services[k], both);
}

void lb_functions_text(const struct lb_config *lc, unsigned core, struct sb *b)
{
	static const char *const names[LB_FUNCTION__COUNT] = { "tls", "monitors", "names" };
	const char *comma = "";

	for (unsigned i = 0; i < LB_FUNCTION__COUNT; i++) {
		if (!lc->function[i] || !core_set_has(lc->function[i], core))
			continue;
		sb_fmt(b, "%s%s", comma, names[i]);
		comma = ", ";
	}
}

struct lb_config *lb_build(const struct conf *c, bool with_tls, struct conf_diag *d)
{
	struct pool *mem = pool_new("lb", 0);
	struct lb_config *lc = mem ? pool_zalloc(mem, sizeof(*lc)) : NULL;
	unsigned errors = conf_diag_errors(d);
	struct lb_builder b = { .lc = lc, .d = d, .with_tls = with_tls };

	if (!lc) {
		pool_free(&mem);
		return NULL;
	}
	lc->mem = mem;
	lc->conf = c;
	lc->by_name = map_new(mem, false);
	if (!lc->by_name)
		b.nomem = true;
	if (!b.nomem)
		build_settings(&b);
	if (!b.nomem)
		build_monitors(&b);
	if (!b.nomem)
		build_pools(&b);
	if (!b.nomem)
		build_functions(&b);
	if (!b.nomem)
		build_owners(&b);
	if (!b.nomem)
		lb_build_vservers(&b);
	if (!b.nomem)
		check_tls_cores(&b);
	if (!b.nomem)
		lc->log_ids = lb_build_alloc(&b, lc->n_logs, sizeof(*lc->log_ids));
	if (b.nomem)
		conf_error(d, (struct conf_loc){ 0 }, 1, NULL, "[E0001] not enough memory for this configuration");
	if (conf_diag_errors(d) > errors)
		lb_free(&lc);
	return lc;
}

/* Every option of it was understood; what it lacks may be what was not. */
static bool can_build(const struct conf_node *tls)
{
	for (const struct conf_node *n = tls->child; n; n = n->next)
		if (n->broken)
			return false;
	return true;
}

void lb_check_tls(const struct conf *c, struct conf_diag *d)
{
	CONF_FOREACH(p, c->root, D_POOL) {
		const struct conf_node *tls = conf_child(p, D_POOL_TLS);
		struct tls_client *t = tls && can_build(tls) ? lb_build_client(c, tls, d) : NULL;

		tls_client_free(&t);
	}
	CONF_FOREACH(vs, c->root, D_VSERVER)
		CONF_FOREACH(l, vs, D_VS_LISTEN) {
			const struct conf_node *tls = conf_child(l, D_LISTEN_TLS);
			struct tls_server *t = NULL;

			if (tls && can_build(tls) && conf_child(tls, D_LTLS_CERT))
				t = lb_build_server(c, tls, d);
			tls_server_free(&t);
		}
}

void lb_free(struct lb_config **lcp)
{
	struct lb_config *lc = *lcp;
	struct pool *mem;

	*lcp = NULL;
	if (!lc)
		return;
	for (unsigned i = 0; i < lc->n_pools; i++)
		tls_client_free(&lc->pools[i].tls);
	for (unsigned i = 0; i < lc->n_listens; i++)
		tls_server_free(&lc->listens[i].tls);
	for (unsigned i = 0; i < lc->n_vservers; i++)
		module_config_free(&lc->vservers[i]);
	mem = lc->mem;                  /* lc lives in it */
	pool_free(&mem);
}

struct lb_vserver *lb_vserver_find(const struct lb_config *lc, const char *name)
{
	return lb_build_lookup(lc, "vserver", name);
}

struct lb_pool *lb_pool_find(const struct lb_config *lc, const char *name)
{
	return lb_build_lookup(lc, "pool", name);
}

struct lb_service *lb_service_find(const struct lb_config *lc, const char *full_name)
{
	return lb_build_lookup(lc, "service", full_name);
}

void lb_each_object(struct lb_config *lc, void (*fn)(void *ctx, enum tbl_kind kind, const char *name, uint32_t *row),
		    void *ctx)
{
	for (unsigned i = 0; i < lc->n_vservers; i++) {
		struct lb_vserver *vs = &lc->vservers[i];

		fn(ctx, KIND_VSERVER, vs->name, &vs->row);
		for (unsigned k = 0; k < vs->rules.n; k++)
			fn(ctx, KIND_POLICY, vs->rule_names[k], &vs->rule_rows[k]);
	}
	for (unsigned i = 0; i < lc->n_listens; i++)
		fn(ctx, KIND_LISTENER, lc->listens[i].full_name, &lc->listens[i].row);
	for (unsigned i = 0; i < lc->n_pools; i++) {
		struct lb_pool *p = &lc->pools[i];

		fn(ctx, KIND_POOL, p->name, &p->row);
		for (unsigned k = 0; k < p->n_services; k++)
			fn(ctx, KIND_SERVICE, p->services[k].full_name, &p->services[k].row);
	}
}
