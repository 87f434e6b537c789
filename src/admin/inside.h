/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inside.h - what the files of the admin room share; nobody else includes it (but tests)
 *
 *   admin.c            the thread, its loop, sign of life, a new configuration
 *   ask.c              questions to the master, in a thread of their own: the loop never waits
 *   ctl.c              control socket: sessions and lines
 *   web.c              HTTP admin: connections and requests
 *   out.c              answers on their way out, both kinds
 *   command.c          one command from its words to its answer
 *   verbs.c words.c    the verb table; lines and words
 *   show.c show_listener.c owner.c crash.c figures.c status.c csv.c metrics.c page.c    render struct admin_view as
 *                      text
 *   change.c           what alters the appliance
 *   explain.c explain_print.c    the decision of one request
 *   snmp.c             questions to SNMP agents, which the agent thread asks
 *
 * Everything but ask.c's thread runs in the admin thread.
 */
#ifndef FL_ADMIN_INSIDE_H
#define FL_ADMIN_INSIDE_H

#include "admin/admin.h"
#include "admin/grid.h"
#include "admin/verbs.h"
#include "lb/lb.h"
#include "net/conn.h"

#define ADMIN_SESSIONS_MAX 16u
#define ADMIN_WAIT_MAX_MS  86400000u              /* of --wait */
#define ADMIN_POLL_MS      50u                    /* looks at what is waited for */
#define ADMIN_OUT_MAX      (64u * 1024 * 1024)    /* bytes of one answer */
#define ADMIN_STALL_MS     10000u    /* for a line, and for taking something of an answer */
#define ADMIN_IDLE_MS      300000u                /* a session between commands */

/* What renderers read. lc and conf are NULL until the first configuration came. */
struct admin_view {
	struct stat_seg   *seg;               /* NULL: offline explain */
	struct lb_config  *lc;
	const struct conf *conf;
	uint32_t           generation;
	uint64_t           now_ms, wall_us;   /* taken when a command starts */
};

/* ---------- commands ---------- */
struct cmd;
/* 0 done, 1 refused or failed (text in out says why), 2 misused; CMD_LATER: cmd_finish() comes. */
#define CMD_OK    0
#define CMD_FAIL  1
#define CMD_USAGE 2
#define CMD_LATER (-1)
typedef int (*verb_fn)(struct cmd *c);

struct cmd {
	struct admin_view *v;
	struct verb_call   call;
	struct words       words;
	struct sb          out;               /* text, or JSON when call.json and is_json */
	bool               is_json;           /* what is in out is JSON already */
	struct sb          facts;             /* members of the JSON object beside ok and text */
	uint32_t           uid, pid;
	struct engine     *e;                 /* for waiting */
	void             (*finished)(struct cmd *c, int code);  /* NULL: the client went away */
	void              *owner;
	/* waiting (change.c) */
	struct timer       timer;
	bool               timer_on;
	uint64_t           deadline_ms;
	uint32_t           row, generation;
	const char        *was;               /* state before */
	unsigned           n_empty;
	bool               asking;            /* another has a question of ours: c must live */
	void             (*leave)(struct cmd *c);        /* takes it back when the client goes; NULL: it is answered anyhow */
	void              *question;
};
/* Makes a command from one line. The result belongs to the caller of finished(), which frees
 * it. NULL: no memory. */
struct cmd *cmd_new(struct admin_view *v, struct engine *e, uint32_t uid, uint32_t pid,
		    void (*finished)(struct cmd *c, int code), void *owner);
/* Runs it; finished() is called, now or later. json_wanted: as if --json was given. */
void cmd_run(struct cmd *c, struct str line, bool json_wanted);
void cmd_finish(struct cmd *c, int code);
/* The client is gone: what was asked of the master still happens, nobody is told; what can be taken back is. c is
 * not the caller's any more. */
void cmd_abandon(struct cmd *c);
void cmd_free(struct cmd *c);
/* Takes the option --wait TIME into *ms, 0 without it; false with the answer CMD_USAGE in out. */
bool cmd_wait_option(struct cmd *c, uint64_t *ms);
/* Calls fn with c->timer in ADMIN_POLL_MS; the verb answers CMD_LATER. */
void cmd_poll(struct cmd *c, void (*fn)(struct timer *t));
/* The answer as it goes out: text or JSON, wrapped where the verb has no JSON of its own. */
void cmd_render(struct cmd *c, int code, struct sb *to);
/* "no NOUN named "x"; did you mean ..." for a name that is not in the segment or configuration. */
int cmd_no_such(struct cmd *c, enum tbl_kind kind, struct str name);
/* Rows of a kind used by the newest generation, in row order; false at the end. *row starts at
 * 0. */
bool view_next_row(const struct admin_view *v, enum tbl_kind kind, uint32_t *row, struct str *name);
/* "show config" and so on answer this until the first configuration came. */
bool cmd_needs_config(struct cmd *c);

#define B(id, verb, kind, args, level, where, text) int verb_##id(struct cmd *c);
#include "tbl/verbs.def"
#undef B

/* ---------- tables of text: grid.h ---------- */
/* Prints into the command's answer and frees. Returns CMD_OK. */
int  cmd_grid(struct cmd *c, struct grid *g, unsigned flags);

/* ---------- small texts ---------- */
void text_time(struct sb *b, uint64_t wall_us);              /* 2026-01-31T12:00:00Z; "-" for 0 */
void text_http_date(struct sb *b, uint64_t wall_us);         /* Sat, 31 Jan 2026 12:00:00 GMT */
void text_age(struct sb *b, uint64_t ms);                    /* 3m12s */
/* State of a service and what a person should know about it. */
uint32_t service_why(const struct admin_view *v, const struct lb_service *s, struct stat_health *h,
		     struct stat_admin *a, struct sb *why);
/* show.c: is it what was asked for, or were all? */
bool show_wanted(const struct cmd *c, const char *name);
/* show_listener.c: lines of those whose wish is not fulfilled here, and an array of all: what was wanted and what is in force. */
void listeners_fallen_back(const struct admin_view *v, struct sb *out);
void listeners_distribution_json(const struct admin_view *v, struct sb *out);
/* Where it is configured; the counters of a row as a JSON object, for a RAW column. */
void show_place(struct grid *g, const struct conf_node *n);
void show_counters(struct cmd *c, struct grid *g, enum tbl_kind kind, uint32_t row);
/* With a name that nothing has: an error; else the table, one below the other when a name was
 * given. */
int  show_done(struct cmd *c, struct grid *g, enum tbl_kind kind);
/* UP, DEGRADED (pools of policies only) or DOWN, and which pools have nothing that can take
 * traffic. */
const char *vserver_state(const struct lb_vserver *vs, struct sb *why);
bool pool_works(const struct lb_pool *p);       /* it or a backup can take traffic */
/* Sum of a counter over the current rows of a kind. */
uint64_t view_sum(const struct admin_view *v, enum tbl_kind kind, unsigned ctr);
/* Workers in a state; generation 0: of any. */
unsigned view_workers(const struct admin_view *v, uint32_t state, uint32_t generation);

/* ---------- what both command and HTTP render ---------- */
void csv_print(const struct admin_view *v, struct sb *out);
void metrics_print(const struct admin_view *v, bool openmetrics, struct sb *out);
void page_print(const struct admin_view *v, struct sb *out);
extern const char page_style[];
enum { STATUS_OK, STATUS_DEGRADED, STATUS_FAILED };
/* The verdict and its reasons, one a line ("" when OK). */
int  status_judge(const struct admin_view *v, struct sb *reasons);
/* Figures of this process (control): name without prefix, unit, value; false at the end. */
struct process_figure {
	const char *name, *text;
	bool        counter;
	double      value;
};
bool process_figure(unsigned i, struct process_figure *out);

/* explain.c: the request in words; `now` is not read from anywhere else. */
int explain_run(const struct admin_view *v, const struct verb_call *call, bool json,
		struct sb *out);

/* ---------- output ---------- */
struct outq {
	struct sb data;
	size_t    off;
};
/* Gives the conn what it may take. True when all is given. Negative through *err when the conn
 * failed. */
bool outq_push(struct outq *q, struct conn *c, int *err);
void outq_clear(struct outq *q);
static inline bool outq_idle(const struct outq *q) { return q->off == q->data.n; }

/* ---------- asking the master ---------- */
struct ask {
	struct list  link;
	struct sb    line, reply;
	unsigned     timeout_ms;
	int          rc;
	void       (*done)(struct ask *a);    /* admin thread; frees a */
	void        *ctx;
};
int  ask_start(const struct admin_env *env, int wake_fd);
struct ask *ask_new(void (*done)(struct ask *a), void *ctx);
void ask_post(struct ask *a);
void ask_collect(void);                   /* admin thread: calls done() of what is answered */
void ask_free(struct ask *a);

/* ---------- asking SNMP agents ---------- */
void snmp_verbs_open(int wake_fd);
void snmp_verbs_collect(void);            /* admin thread: what is answered */

/* ---------- sessions ---------- */
/* Prepares; who connects waits in the kernel until ctl_serve(), which may be repeated. */
int  ctl_open(struct engine *e, struct admin_view *v, int fd);
int  ctl_serve(void);
void web_open(struct engine *e, struct admin_view *v,
	      int fd); /* takes fd; -1 closes what was open */
/* Makes figures and cached states of the view current. */
void view_refresh(struct admin_view *v);

#endif
