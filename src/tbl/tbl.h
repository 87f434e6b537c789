/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tbl.h - the tables as C: directives, counters, states (fields: policy/policy.h, events:
 * base/log.h)
 *
 * Everything here is constant data made from the .def files of src/tbl/. Any process may read it.
 */
#ifndef FL_TBL_TBL_H
#define FL_TBL_TBL_H

#include "base/str.h"

/* --- directives --- */
enum tbl_ctx {
	CTX_NONE     = 0,
	CTX_TOP      = 1 << 0,
	CTX_ADMIN    = 1 << 1,
	CTX_MONITOR  = 1 << 2,
	CTX_POOL     = 1 << 3,
	CTX_SERVICE  = 1 << 4,
	CTX_VSERVER  = 1 << 5,
	CTX_LISTEN   = 1 << 6,
	CTX_LTLS     = 1 << 7,
	CTX_STLS     = 1 << 8,
	CTX_POLICY   = 1 << 9,
	CTX_LDIST    = 1 << 10,
};
enum tbl_dflag {
	DF_OBJ = 1, DF_NAMED = 2, DF_LIST = 4, DF_ORDER = 8, DF_REQ = 16, DF_SECRET = 32,
};
enum tbl_reload { RELOAD_LIVE, RELOAD_RESTART };
enum tbl_dir {
	D__NONE,
#define D(id, ...) D_##id,
#include "tbl/directives.def"
#undef D
	D__COUNT
};
struct tbl_dir_row {
	enum tbl_dir    id;
	unsigned        ctx;          /* CTX_ bits */
	const char     *name, *sig;
	enum tbl_ctx    opens;
	unsigned        flags;
	const char     *def;
	int64_t         min, max;
	enum tbl_reload reload;
	const char     *since, *text;
};
extern const struct tbl_dir_row tbl_dirs[D__COUNT];     /* by id; [0] is empty */
const char *tbl_ctx_name(enum tbl_ctx ctx);     /* "vserver", "listen tls", ... for messages */

/* --- counters --- */
enum tbl_kind { KIND_NONE, KIND_PROC, KIND_LISTENER, KIND_VSERVER, KIND_POOL, KIND_SERVICE, KIND_POLICY,
		KIND_MESSAGE, KIND_EXCHANGE, KIND_TLS, KIND__COUNT };
enum tbl_fold { FOLD_SUM, FOLD_LEVEL, FOLD_MAX, FOLD_MIN, FOLD_MEDIAN, FOLD_AGE, FOLD_OWNER, FOLD_RATE, FOLD_AVG };
/* Folds that name the counters they are made from: what of the table's column is the fold, what are their ids. */
#define FOLD_RATE(of)       FOLD_RATE
#define FOLD_AVG(sum, n)    FOLD_AVG
#define TBL_SRC_SUM         NULL, NULL
#define TBL_SRC_LEVEL       NULL, NULL
#define TBL_SRC_MAX         NULL, NULL
#define TBL_SRC_MIN         NULL, NULL
#define TBL_SRC_MEDIAN      NULL, NULL
#define TBL_SRC_AGE         NULL, NULL
#define TBL_SRC_OWNER       NULL, NULL
#define TBL_SRC_RATE(of)    #of, NULL
#define TBL_SRC_AVG(sum, n) #sum, #n
#define TBL_CTR_MAX 62
/* CTR_VSERVER_CONN_CUR etc.: index within its kind (0..61), assigned by tbl.c's position tables. */
enum {
#define C(kind, id, fold, unit, metric, text) CTR__ALL_##kind##_##id,
#include "tbl/counters.def"
#undef C
	CTR__ALL_COUNT
};
/* First row of each kind in the flat list; the table keeps the kinds together in this order. */
#define CTR__FIRST_PROC     CTR__ALL_PROC_LOOPS
#define CTR__FIRST_LISTENER CTR__ALL_LISTENER_ACCEPTS
#define CTR__FIRST_VSERVER  CTR__ALL_VSERVER_CONN_CUR
#define CTR__FIRST_POOL     CTR__ALL_POOL_REQ_TOT
#define CTR__FIRST_SERVICE  CTR__ALL_SERVICE_CONN_CUR
#define CTR__FIRST_POLICY   CTR__ALL_POLICY_HITS
#define CTR__FIRST_MESSAGE  CTR__ALL_MESSAGE_H1_BAD_METHOD
#define CTR__FIRST_EXCHANGE CTR__ALL_EXCHANGE_TXN_CLIENT_ABORT
#define CTR__FIRST_TLS      CTR__ALL_TLS_WHY_OTHER
enum {
#define C(kind, id, fold, unit, metric, text) CTR_##kind##_##id = CTR__ALL_##kind##_##id - CTR__FIRST_##kind,
#include "tbl/counters.def"
#undef C
	CTR__END
};
struct tbl_ctr_row {
	enum tbl_kind kind;
	unsigned      idx;            /* CTR_KIND_ID */
	const char   *id;             /* "CONN_CUR" */
	enum tbl_fold fold;
	const char   *unit, *metric, *text;
};
extern const struct tbl_ctr_row tbl_ctrs[CTR__ALL_COUNT];
const char *tbl_kind_name(enum tbl_kind k);     /* "vserver"; "core" for KIND_PROC */
/* Rows of one kind: first index into tbl_ctrs and their number. */
void tbl_kind_range(enum tbl_kind k, unsigned *first, unsigned *n);
const char *tbl_fold_name(enum tbl_fold f);
/* Name of a row's metric family, without _total: "fairlead_core_accepts". Rows of a kind of reasons
 * share one: "fairlead_refusals", the row's own name is the label `reason`. */
void tbl_ctr_family(const struct tbl_ctr_row *r, struct sb *out);

/* --- refusals: the rows that hold counters of reasons, one each for the whole appliance --- */
enum tbl_refusals {
	REFUSED_REQUEST, REFUSED_RESPONSE, REFUSED_EXCHANGE, REFUSED_TLS_CLIENT,
	REFUSED_TLS_SERVICE, REFUSED__COUNT
};
struct tbl_refusals_row {
	const char   *name;           /* "request": the row's object, the label `of` */
	enum tbl_kind kind;           /* whose counters are the reasons */
	const char   *text;
};
extern const struct tbl_refusals_row tbl_refusals[REFUSED__COUNT];
static inline bool tbl_kind_is_reasons(enum tbl_kind k)
{
	return k == KIND_MESSAGE || k == KIND_EXCHANGE || k == KIND_TLS;
}
/* Code of a TLS reason (CTR_TLS_WHY_*): "unknown-sni"; its text. */
const char *tbl_tls_code(unsigned why);
const char *tbl_tls_text(unsigned why);

/* --- states --- */
enum {
#define S(set, id, name, value, text) ST_##set##_##id = value,
#include "tbl/states.def"
#undef S
};
struct tbl_state_row {
	const char *set, *name;
	int         value;
	const char *text;
};
extern const struct tbl_state_row tbl_states[];
extern const unsigned tbl_n_states;
/* "UP" of ("HEALTH", 1); "?" when there is none. */
const char *tbl_state_name(const char *set, int value);

/* Prints a table for `fairlead -x TABLE` (directives counters states events errors): tab separated,
 * header line first. False when there is no such table here. */
bool tbl_dump(const char *table, struct sb *out);

#endif
