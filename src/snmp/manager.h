/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager.h - the SNMP manager: asks agents of other machines, without ever waiting for one
 *
 * A job is one question (GET, GETNEXT, GETBULK) or a walk, to one address. Any thread of `control` may post one; the
 * agent thread works on JOBS_ACTIVE at a time and gives each back when it is answered or has failed. Everything of net-snmp
 * happens in that thread (poll.c, varbind.c), since the library keeps users and engines in lists without a lock.
 *
 * Nothing of the machine is read: no snmp.conf, no MIBs, no persistent folder. Addresses are numeric.
 */
#ifndef FL_SNMP_MANAGER_H
#define FL_SNMP_MANAGER_H

#include <pthread.h>

#include "base/addr.h"
#include "base/list.h"
#include "net/engine.h"
#include "snmp/value.h"

#define SNMP_OIDS_MAX    20u
#define SNMP_ROWS_MAX    10000u      /* of one answer or walk */
#define SNMP_BULK_MAX    100u        /* repetitions of one GETBULK */
#define SNMP_ACTIVE_MAX  64u
#define SNMP_WAITING_MAX 256u
#define SNMP_JOB_MS      120000u     /* a walk that is not through by then ends */

enum snmp_op { SNMP_OP_GET, SNMP_OP_NEXT, SNMP_OP_BULK, SNMP_OP_WALK };

struct snmp_query {
	struct addr   to;
	enum snmp_op  op;
	unsigned      version;               /* 1, 2 (v2c), 3 */
	char          community[128];        /* 1 and 2 */
	/* 3: auth and priv NULL or a name out of snmp_auths, snmp_privs; priv needs auth; a passphrase has 8 bytes or more */
	char          user[33];
	const char   *auth, *priv;
	char          auth_pass[128], priv_pass[128];
	uint32_t      timeout_ms;            /* of each message */
	unsigned      retries;
	unsigned      rows;                  /* BULK: repetitions; WALK: at most so many */
	unsigned      n_oids;                /* WALK: 1 */
	struct objid  oid[SNMP_OIDS_MAX];
};

struct snmp_row {
	struct objid      oid;
	struct snmp_value value;
};

struct snmp_home;
struct snmp_job {
	struct list       link;
	struct snmp_query q;
	struct snmp_home *home;              /* who collects it; NULL: done() is called in the agent thread */
	void            (*done)(struct snmp_job *j);     /* frees j */
	void             *ctx;
	bool              cancelled;         /* the manager's */
	/* the answer; reason NULL: it came. Rows may have come before a walk failed. */
	const char       *reason;            /* one word: "timeout", "tooBig", "unknownUserName" ... */
	char              why[256];          /* a sentence for people */
	struct snmp_row  *row;
	unsigned          n, cap;
	bool              cut;               /* WALK: there is more than q.rows */
};

extern const char *const snmp_auths[], *const snmp_privs[];      /* NULL behind the last */
/* The table's own name for a word of people, whatever its case; NULL: none such. */
const char *snmp_known(const char *const *table, struct str word);

/* NULL: no memory. */
struct snmp_job *snmp_job_new(void);
void snmp_job_free(struct snmp_job *j);      /* wipes what is secret */
void snmp_job_fail(struct snmp_job *j, const char *reason, const char *fmt, ...) FL_PRINTF(3, 4);

/* Where another thread gets its answers: a byte is written to wake_fd when there are some. */
struct snmp_home {
	pthread_mutex_t lock;
	struct list     answered;
	int             wake_fd;
};
void snmp_home_init(struct snmp_home *h, int wake_fd);
void snmp_home_collect(struct snmp_home *h);     /* calls done() of each, in the calling thread */

/* True: this build has net-snmp. */
bool snmp_is_built(void);
/* In the agent thread, before its loop; once. */
int  snmp_manager_open(struct engine *e);
/* Any thread; the job is the manager's until it comes back. FL_EDEAD_: there is no agent thread, FL_ELIMIT_: too many
 * wait; then it still is the caller's. */
int  snmp_manager_post(struct snmp_job *j);
/* Nobody wants the answer any more: the job comes back soon, as "cancelled" unless it just was done. Of one that was
 * posted and whose done() was not called yet, so only in the thread that collects it. */
void snmp_manager_cancel(struct snmp_job *j);

#endif
