/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.h - what the master needs to know of a configuration, without reading it itself
 *
 * gen writes it as text from the built configuration, the master reads the text: one fact a line,
 * words parted by a space, the last one to the end of the line. So nothing of the grammar, of
 * certificates or of expressions is ever parsed in the master (DESIGN section 1).
 */
#ifndef FL_PROC_MANIFEST_H
#define FL_PROC_MANIFEST_H

#include "base/addr.h"
#include "base/pool.h"
#include "base/cores.h"
#include "net/rss.h"
#include "net/steer.h"
#include "proc/sandbox.h"
#include "tbl/tbl.h"

struct lb_config;

struct man_object {
	enum tbl_kind kind;
	const char   *name;
};
struct man_listen {
	struct addr  addr;
	int          backlog;
	bool         v6only, udp;
	const char  *congestion;        /* NULL: the system's */
	const char  *name;
	/* what a gen before these were written leaves: auto, 0 */
	enum steer_want distribute;
	struct rss_opts rss;
	unsigned    *rule_core;         /* [rss.n_rules] */
	unsigned     rebalance;         /* percent; 0: off */
	struct core_set cores;          /* that it is bound to */
	const char  *device;            /* that it is bound to; NULL: every one */
	unsigned     queues;            /* receive queues for this address, see net/queues.h */
	const char  *place;             /* FILE:LINE:COLUMN, for messages */
};
struct manifest {
	struct pool       *mem;
	unsigned           workers;             /* 0: one per core */
	uint64_t           consolidate_us, grace_us, drain_timeout_us, heartbeat_us, max_objects, ticket_life_us;
	uint64_t           crash_block_us;      /* 0: nothing is blocked */
	unsigned           drain_generations;
	int                control_core;        /* a CPU, or PLACE_SHARED */
	bool               control_shares;      /* workers need not keep away from it */
	int                error_level;
	unsigned           n_vservers, n_pools, n_services, n_warnings;
	struct addr        admin_http;          /* family 0: none */
	const char        *admin_http_place;    /* FILE:LINE:COLUMN; NULL: none */
	struct ids         ids;                 /* who workers, control and logd are */
	const char        *admin_socket, *error_log, *file;   /* admin_socket NULL: default place */
	char              *kept;                /* lines of conf_kept_print(); NULL: none */
	bool               own_tickets;         /* `ticket-keys` is given: keys */
	unsigned           n_keys;
	uint8_t            keys[3][80];
	struct man_object *objects;
	struct man_listen *listens;
	const char       **logs;
	unsigned           n_objects, n_listens, n_logs;
};

/* gen: writes lc; keys: n_keys ticket keys of the file, or none. FL_ESYNTAX_: a name holds a
 * newline. */
int  manifest_write(struct lb_config *lc, const struct ids *ids, unsigned n_warnings,
		    const uint8_t (*keys)[80],
		    unsigned n_keys, struct sb *out);
/* NULL: damaged or no memory. Everything is in m->mem. */
struct manifest *manifest_read(struct str text);
void manifest_free(struct manifest **m);

#endif
