/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lb.h - vservers, pools, services: built from the configuration, asked by the data path
 *
 * lb_build() makes one struct lb_config per generation from the conf tree (in gen, in control, in
 * fairlead -t and explain: the same code); it is immutable but for the run-time parts named so.
 * A worker binds it to the segment with lb_attach(): rows, cached health and admin states,
 * counters.
 *
 * The order of a choice (DESIGN section 6): up and not draining, below limits -> method on
 * consolidated figures -> ties round robin, starting at the worker's slot number. Choosers are pure
 * (struct lb_view in, index out); doing (counters, cursors) is here.
 */
#ifndef FL_LB_LB_H
#define FL_LB_LB_H

#include "base/addr.h"
#include "base/cores.h"
#include "base/map.h"
#include "conf/conf.h"
#include "base/cores.h"
#include "net/rss.h"
#include "net/steer.h"
#include "policy/policy.h"
#include "stat/stat.h"

struct module_use;
struct tls_server;
struct tls_client;
struct lb_index;
struct lb_pool;
struct lb_vserver;

/* Kinds of work that may be given to cores; the words of the directive `function`, in its order. */
enum lb_function { LB_FUNCTION_TLS, LB_FUNCTION_MONITORS, LB_FUNCTION_NAMES, LB_FUNCTION__COUNT };

enum lb_method { LB_ROUND_ROBIN, LB_LEAST_CONNECTION, LB_SOURCE_IP_HASH };

struct lb_service {
	const char      *name, *full_name;     /* "a1", "app/a1" */
	struct lb_pool  *pool;
	const struct conf_node *node;
	unsigned         idx;                  /* in pool->services */
	const char      *host;     /* name to resolve; NULL when the address is numeric */
	uint16_t         port;
	/* numeric, or the answer now in use (run time); family 0: none yet */
	struct addr      addr;
	unsigned         weight;
	bool             backup;
	uint64_t         max_connections;      /* 0 = none */
	uint64_t         max_bandwidth;        /* bytes a second; 0 = none */
	unsigned         conf_admin;           /* ST_ADMIN_* of the file */
	uint64_t         hash_id;              /* stable: hash of full_name */
	const struct core_set *owners;         /* who may own it; NULL: all */
	/* run time (worker) */
	uint32_t         row;
	struct stat_row *stat;
	uint32_t         state;                /* ST_SVC_*: cached, see lb_refresh */
	bool             takes_new;            /* state UP, weight > 0 */
	uint64_t         dns_cursor;           /* rotates over the addresses of a name */
	struct ip        dns[STAT_DNS_MAX];
	unsigned         n_dns;
	int64_t          rr_current;           /* smooth weighted round robin */
	void            *upstream;             /* http/: idle pool of this service in this worker */
	void            *udp;                  /* http/: its UDP sockets in this worker */
};

struct lb_monitor {
	const char *name;
	enum lb_mon_type { LB_MON_PING, LB_MON_TCP, LB_MON_HTTP } type;
	const struct conf_node *node;          /* NULL for the implicit tcp monitor */
	uint64_t    every_us, timeout_us;
	unsigned    rise, fall, port;          /* port 0 = the service's */
	bool        tls;
	struct str  send;                      /* http: "GET /path"; tcp: bytes, may be empty */
	const char *host;
	struct { uint16_t lo, hi; } status[16];
	unsigned    n_status;
	struct str  expect;                    /* body or bytes; empty = any */
};

struct lb_pool {
	const char         *name;
	const struct conf_node *node;
	enum lb_method      method;
	struct lb_service  *services;
	unsigned            n_services;
	struct lb_pool    **backups;           /* other pools, in order */
	unsigned            n_backups;
	struct lb_monitor **monitors;          /* of every service; n 0: monitor none */
	unsigned            n_monitors;
	bool                for_udp, for_others;   /* which vservers lead here, backups included */
	bool                uses_tls;
	struct tls_client  *tls;               /* NULL: clear, or built without TLS */
	const char         *sni;
	uint64_t            connect_timeout_ms, response_timeout_ms, idle_timeout_ms;
	uint64_t            tcp_idle_ms;       /* longest silence of an L4 connection here; 0: the vserver's rules */
	unsigned            idle_max, retries;
	size_t              buffer_response;   /* bytes kept of a response; 0: none */
	const char         *congestion;
	/* run time */
	uint32_t            row;
	struct stat_row    *stat;
	struct lb_config   *lc;
	bool                has_backup_services, has_max_bandwidth;
	unsigned            rr_cursor;         /* where the next scan for ties starts */
	struct lb_index    *index;             /* large pools in a worker; NULL: none */
	struct lb_index    *index_local;       /* the same for `view local`, where that is asked for */
	struct lb_service **scratch;           /* [n_services] for large pools */
	uint64_t           *scratch_value;
	/* services that take new traffic now, backups of the pool included */
	unsigned            n_usable;
};

struct lb_listen {
	struct addr         addr;
	const struct conf_node *node;
	bool                udp;
	bool                uses_tls;
	struct tls_server  *tls;               /* NULL: clear; built without TLS: no keys, or NULL */
	int                 backlog;
	const char         *congestion;
	enum steer_want     distribute;
	struct rss_opts     rss;               /* rss, rules */
	unsigned           *rule_core;         /* [rss.n_rules], longest prefix first */
	unsigned            rebalance;         /* percent; 0: off */
	struct core_set     cores;             /* that it is bound to, its vserver's unless it has its own */
	const char         *device;            /* NULL: every one */
	struct lb_vserver  *vserver;
	const char         *full_name;         /* "web/0.0.0.0:80", "web/0.0.0.0:80@eth1": name of its row */
	uint32_t            row;
};

enum lb_forwarded { LB_FWD_OFF, LB_FWD_X, LB_FWD_7239, LB_FWD_BOTH };
enum lb_log_format { LB_LOG_COMBINED, LB_LOG_JSON, LB_LOG_CUSTOM };

struct lb_vserver {
	const char         *name;
	const struct conf_node *node;
	bool                http, udp;         /* neither: tcp */
	struct pol_ruleset  rules;
	struct pol_rule     dflt;              /* act NONE when there is no default */
	uint64_t            head_timeout_ms, idle_timeout_ms, body_timeout_ms;
	uint64_t            body_rate, max_head, max_request_line, max_body;
	unsigned            max_fields, keepalive_max, max_connections;
	unsigned            responses;         /* udp: answers to one datagram; 0: any number */
	struct str          via[2];            /* the Via entry by minor version; n 0: none */
	enum lb_forwarded   forwarded;
	struct cidr        *trust;
	unsigned            n_trust;
	bool                upgrade;
	bool                view_local;    /* methods compare this worker's figures only */
	bool                half_close;    /* requests are served behind the client's FIN */
	int                 log_stream;     /* -1: no access log; else index into lb_config.logs */
	enum lb_log_format  log_format;
	struct pol_tmpl    *log_template;
	/* in use here (http/module.h), ends with m NULL; NULL: none */
	const struct module_use *modules;
	/* run time */
	uint32_t            row;
	bool                has_tls;           /* any listener terminates TLS */
	const char        **rule_names;        /* [rules.n]: "web/admin" */
	uint32_t           *rule_rows;     /* [rules.n]: rows of kind POLICY, named "web/admin" */
	struct stat_row    *stat;
	unsigned            n_conns;
};

static inline const char *lb_vserver_protocol(const struct lb_vserver *vs)
{
	return vs->http ? "http" : vs->udp ? "udp" : "tcp";
}

struct lb_config {
	struct pool        *mem;
	struct map         *by_name;     /* "vserver web", "pool app", "service app/a1" -> object */
	const struct conf  *conf;
	struct lb_vserver  *vservers;  unsigned n_vservers;
	struct lb_pool     *pools;     unsigned n_pools;
	struct lb_monitor  *monitors;  unsigned n_monitors;
	struct lb_listen   *listens;   unsigned n_listens;
	const char        **logs;      unsigned n_logs;        /* paths of access logs */
	uint32_t           *log_ids;  /* run time: stream id of each in the log rings (proc sets) */
	const char         *error_log;
	int                 error_level;       /* enum log_level */
	unsigned            workers;           /* 0 = auto */
	struct core_set    *function[LB_FUNCTION__COUNT];     /* cores that do it; NULL: all */
	int                 control_core;      /* CPU of master and control; -1: none of their own */
	bool                control_shares;    /* a worker has it as well */
	bool                share_full;        /* key shares are checked the long way */
	bool                staggered;         /* workers flush one after the other within consolidate_us */
	unsigned            early_percent;     /* 0: no cycle but those of the clock */
	uint64_t            consolidate_us, shutdown_grace_us, drain_timeout_us, heartbeat_timeout_us;
	uint64_t            crash_block_us;    /* 0: nothing is blocked */
	uint64_t            max_connections, buffer_memory, max_objects, ticket_lifetime_us;
	unsigned            drain_generations;
	const char         *user, *admin_socket, *ticket_keys;
	struct addr         admin_http;        /* family 0: none */
	struct addr        *resolvers; unsigned n_resolvers;
	bool                has_local_view;    /* some vserver says so */
	struct stat_seg    *seg;               /* after lb_attach */
	uint64_t            seen_board, seen_health;
	bool                refreshed;         /* lb_refresh ran once */
	bool                moved_much;        /* early_percent is reached; the worker's to clear */
};

/* ---------- building (gen, control, -t, explain) ---------- */
/* Expressions and templates are checked while a configuration loads; once at program start. */
void lb_set_conf_hooks(void);
/* Functions of a core, as "tls, monitors"; nothing when none was given to certain cores. */
void lb_functions_text(const struct lb_config *lc, unsigned core, struct sb *b);
/* From a checked tree. NULL with messages in d on mistakes that only a build can find. with_tls:
 * also builds TLS profiles (reads certificates and keys); without it listeners know what everybody may
 * see (control), and pools have none. */
struct lb_config *lb_build(const struct conf *c, bool with_tls, struct conf_diag *d);
/* Of a tree that was refused (conf_load_all): the mistakes that a build would find in its certificates,
 * ciphers and trusted files, as far as they can be told. */
void lb_check_tls(const struct conf *c, struct conf_diag *d);
void lb_free(struct lb_config **lc);
struct lb_vserver *lb_vserver_find(const struct lb_config *lc, const char *name);
struct lb_pool    *lb_pool_find(const struct lb_config *lc, const char *name);
struct lb_service *lb_service_find(const struct lb_config *lc, const char *full_name);
/* Every (kind, full name) that needs a row, in a fixed order; `row` points to where its id goes
 * (may be NULL'ed later). */
void lb_each_object(struct lb_config *lc, void (*fn)(void *ctx, enum tbl_kind kind,
		    const char *name, uint32_t *row), void *ctx);

/* ---------- run time (worker; control for display) ---------- */
/* Looks up rows by name and makes the accumulators (with_counters) of this process. */
void lb_attach(struct lb_config *lc, struct stat_seg *seg, bool with_counters);
/* Re-reads health, admin states and DNS answers when their epochs changed; cheap otherwise. Once
 * per loop turn. True when any service changed its state or address. */
bool lb_refresh(struct lb_config *lc);
/* Effective state (ST_SVC_*) from health and admin, and why. */
uint32_t lb_service_state(const struct lb_config *lc, const struct lb_service *s,
			  struct stat_health *h, struct stat_admin *a);

/* ---------- the decision ---------- */
/* Runs the rules of vs, following `use vserver` (at most 8 hops), then the default. `seen` as in
 * pol_ruleset_run. */
struct lb_route {
	/* of the vserver that decided; act NONE: nothing matched and no default */
	struct pol_verdict  v;
	const struct lb_vserver *vs;       /* where it was decided */
	struct lb_pool     *pool;          /* act USE_POOL */
	/* all modifications on the way, in order */
	const struct pol_rule *matched[POL_MATCH_MAX];
	unsigned            n_matched;
};
void lb_route(struct lb_vserver *vs, const struct pol_facts *f, const struct pol_trace *t,
	      pol_rule_fn seen, void *ctx,
	      bool count, struct lb_route *out);

struct lb_pick_in {
	struct ip   client;
	const struct lb_service *const *avoid;   /* tried already in this exchange */
	unsigned    n_avoid;
	bool        again;                 /* a retry: the pool has counted this request already */
	bool        local;                 /* the method compares this worker's figures; limits never do */
};
/* One candidate as the chooser saw it, for explain. */
struct lb_candidate {
	const struct lb_service *s;
	bool        usable;
	const char *why;     /* "DOWN", "DRAIN", "max-connections", "max-bandwidth", "weight 0"; NULL when usable */
	uint64_t    value;                 /* what the method compared (x 10000/weight) */
};
struct lb_pick_trace {
	void *ctx;
	void (*candidate)(void *ctx, const struct lb_candidate *c);
	/* pool or backup looked at */
	void (*pool)(void *ctx, const struct lb_pool *p, const char *why);
};
/* Chooses a service of the pool or, when none is usable, of its backups. NULL: none. Counts in
 * `pool` rows unless dry. When all usable ones are in `avoid`, an avoided one is chosen again
 * rather than none; so is, behind all backups, one that is at its max-bandwidth. */
struct lb_service *lb_pick(struct lb_pool *p, const struct lb_pick_in *in, bool dry,
			   const struct lb_pick_trace *t);
/* Address to connect to for the next connection (rotates over DNS answers); false: none now. */
bool lb_service_addr(struct lb_service *s, struct addr *out);
/* A figure of a service as decisions use it; the appliance's total where this process does not
 * count (explain). local: what this worker alone has of it. */
uint64_t lb_service_now(const struct lb_config *lc, const struct lb_service *s, unsigned ctr, bool local);
/* Bytes a second that the appliance exchanges with it, both directions, over the window of rates. */
uint64_t lb_service_rate(const struct lb_config *lc, const struct lb_service *s);
/* Is that at max-bandwidth? */
static inline bool lb_service_is_busy(const struct lb_config *lc, const struct lb_service *s)
{
	return s->max_bandwidth && lb_service_rate(lc, s) >= s->max_bandwidth;
}
/* A request (or L4 connection) begins and ends on a service: keeps REQ_CUR, REQ_TOT. */
void lb_begin(struct lb_service *s);
void lb_end(struct lb_service *s);
/* As lb_begin() for what another process began and counted in REQ_TOT. */
void lb_resume(struct lb_service *s);

#endif
