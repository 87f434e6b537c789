/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change.c - what alters the appliance: service states, reload, logs, the end
 *
 * Nothing is altered here: the master is asked (ask.c), then the segment is watched until it shows
 * what was wanted. All may be repeated: asking for what is so already answers the same.
 */
#include "config.h"

#include "admin/inside.h"

#include <inttypes.h>

#include "base/err.h"

#define ASK_MS        10000u
#define RELOAD_MS     180000u        /* reading, certificates, starting workers */
#define TAKE_MS       10000u         /* until control shows the new generation */

/* ---------- asking ---------- */

static int ask_failed(struct cmd *c, const struct ask *a)
{
	if (a->reply.n)
		sb_str(&c->out, sb_get(&a->reply));
	else if (a->rc == FL_ETIMEOUT_)
		sb_c(&c->out, "the master did not answer in time");
	else if (a->rc < 0)
		sb_fmt(&c->out, "the master cannot be asked: %s", fl_err_text(a->rc));
	else
		sb_c(&c->out, "refused by the master");
	return CMD_FAIL;
}

/* The question for `c`; NULL: no memory. */
static struct ask *ask_for(struct cmd *c, void (*done)(struct ask *a), unsigned timeout_ms)
{
	struct ask *a = ask_new(done, c);

	if (!a) {
		sb_c(&c->out, "no memory");
		return NULL;
	}
	a->timeout_ms = timeout_ms;
	return a;
}

static int post(struct cmd *c, struct ask *a)
{
	c->asking = true;
	ask_post(a);
	return CMD_LATER;
}

/* ---------- services ---------- */

/* The same for programs, beside the text. */
static void state_facts(struct cmd *c, const char *now, uint64_t n)
{
	sb_c(&c->facts, "\"service\": ");
	sb_json_str(&c->facts, c->call.pos[0]);
	sb_fmt(&c->facts, ", \"state\": \"%s\", \"was\": \"%s\", \"requests\": %" PRIu64, now,
	       c->was, n);
}

static void say_state(struct cmd *c)
{
	uint64_t n = stat_total(c->v->seg, c->row, CTR_SERVICE_REQ_CUR);
	struct stat_admin a;
	uint32_t now = stat_admin_get(c->v->seg, c->row, &a) ? a.state : ST_ADMIN_READY;

	state_facts(c, tbl_state_name("ADMIN", (int)now), n);
	sb_fmt(&c->out, "service " STR_FMT ": %s", STR_ARG(c->call.pos[0]),
	       tbl_state_name("ADMIN", (int)now));
	sb_fmt(&c->out, " (was %s), %" PRIu64 " request%s in progress\n", c->was, n,
	       n == 1 ? "" : "s");
}

static void on_drain_poll(struct timer *t)
{
	struct cmd *c = FL_CONTAINER_OF(t, struct cmd, timer);
	uint64_t now = engine_now_ms(c->e);
	bool empty = stat_total(c->v->seg, c->row, CTR_SERVICE_REQ_CUR) == 0;

	/* Twice in a row: a worker may have chosen it just before it heard of the new state. */
	c->n_empty = empty ? c->n_empty + 1 : 0;
	if (c->n_empty >= 2) {
		say_state(c);
		cmd_finish(c, CMD_OK);
	} else if (now >= c->deadline_ms) {
		sb_fmt(&c->out,
		       "service " STR_FMT ": not empty in time, %" PRIu64
		       " requests in progress; it stays in DRAIN\n",
		       STR_ARG(c->call.pos[0]), stat_total(c->v->seg, c->row, CTR_SERVICE_REQ_CUR));
		state_facts(c, "DRAIN", stat_total(c->v->seg, c->row, CTR_SERVICE_REQ_CUR));
		cmd_finish(c, CMD_FAIL);
	} else {
		cmd_poll(c, on_drain_poll);
	}
}

static void state_done(struct ask *a)
{
	struct cmd *c = a->ctx;

	c->asking = false;
	if (a->rc != 0) {
		(void)ask_failed(c, a);
		ask_free(a);
		cmd_finish(c, CMD_FAIL);
		return;
	}
	ask_free(a);
	if (!c->deadline_ms || !c->finished) {
		say_state(c);
		cmd_finish(c, CMD_OK);
		return;
	}
	c->deadline_ms += engine_now_ms(c->e);
	cmd_poll(c, on_drain_poll);
}

/* The state that counts now: an operator's word, or the configuration's. */
static const char *admin_word(struct cmd *c, uint32_t row)
{
	char name[STAT_NAME_MAX];
	const struct lb_service *s;
	struct stat_admin a;
	struct sb b;

	if (stat_admin_get(c->v->seg, row, &a) && a.since_us)
		return tbl_state_name("ADMIN", (int)a.state);
	sb_init(&b, name, sizeof(name));
	sb_str(&b, c->call.pos[0]);
	s = c->v->lc && !b.over ? lb_service_find(c->v->lc, name) : NULL;
	return tbl_state_name("ADMIN", s ? (int)s->conf_admin : ST_ADMIN_READY);
}

static int set_state(struct cmd *c, int state)
{
	struct str name = c->call.pos[0], reason = verb_opt(&c->call, "--reason", 0);
	uint32_t row = stat_obj_find(c->v->seg, KIND_SERVICE, name);
	enum tbl_kind kind;
	struct str known;
	bool current;
	struct ask *a;

	if (row == STAT_NO_ROW || !stat_obj_get(c->v->seg, row, &kind, &known, &current) ||
	    !current)
		return cmd_no_such(c, KIND_SERVICE, name);
	if (reason.n >= sizeof(((struct stat_admin *)NULL)->reason)) {
		sb_fmt(&c->out, "the reason is longer than %zu bytes",
		       sizeof(((struct stat_admin *)NULL)->reason) - 1);
		return CMD_USAGE;
	}
	a = ask_for(c, state_done, ASK_MS);
	if (!a)
		return CMD_FAIL;
	c->row = row;
	c->was = admin_word(c, row);
	sb_fmt(&a->line, "admin %u %d %u", row, state, c->uid);
	if (reason.n)
		sb_fmt(&a->line, " " STR_FMT, STR_ARG(reason));
	return post(c, a);
}

int verb_ENABLE_SERVICE(struct cmd *c) { return set_state(c, ST_ADMIN_READY); }
int verb_DISABLE_SERVICE(struct cmd *c) { return set_state(c, ST_ADMIN_MAINT); }

int verb_DRAIN_SERVICE(struct cmd *c)
{
	if (!cmd_wait_option(c, &c->deadline_ms))
		return CMD_USAGE;
	return set_state(c, ST_ADMIN_DRAIN);
}

/* ---------- the whole appliance ---------- */

/* Workers of older generations that are not gone. */
static unsigned old_workers(const struct cmd *c, uint32_t newest)
{
	struct stat_proc p;
	unsigned n = 0;

	for (uint32_t s = 0; s < stat_worker_slots(c->v->seg); s++)
		n += stat_proc_get(c->v->seg, s, &p) && p.state != ST_PROC_FREE &&
		     p.state != ST_PROC_DEAD && p.generation < newest;
	return n;
}

static void on_reload_poll(struct timer *t)
{
	struct cmd *c = FL_CONTAINER_OF(t, struct cmd, timer);
	bool wait = verb_flag(&c->call, "--wait");
	unsigned left = wait ? old_workers(c, c->generation) : 0;

	/* What is shown from now on must be the new generation: ours comes a moment after the
	 * workers'. */
	if (!left && c->v->generation >= c->generation) {
		cmd_finish(c, CMD_OK);
	} else if (engine_now_ms(c->e) >= c->deadline_ms) {
		if (left)
			sb_fmt(&c->out, "%u workers of older generations are still there\n", left);
		else
			sb_c(&c->out, "control has not taken the new generation yet\n");
		cmd_finish(c, left ? CMD_FAIL : CMD_OK);
	} else {
		cmd_poll(c, on_reload_poll);
	}
}

static void reload_done(struct ask *a)
{
	struct cmd *c = a->ctx;
	struct stat_conf_state f;
	bool good = a->rc == 0;

	c->asking = false;
	if (!good)
		(void)ask_failed(c, a);         /* diagnostics, and which generation goes on */
	else if (a->reply.n)
		sb_str(&c->out, sb_get(&a->reply));
	ask_free(a);
	if (c->out.n && c->out.p[c->out.n - 1] != '\n')
		sb_ch(&c->out, '\n');
	if (!stat_conf_get(c->v->seg, &f))
		memset(&f, 0, sizeof(f));
	if (!c->out.n)
		sb_fmt(&c->out, "generation %u runs\n", f.generation);
	c->generation = f.generation;
	sb_fmt(&c->facts, "\"generation\": %u", f.generation);
	if (!good || !c->finished ||
	    (!verb_flag(&c->call, "--wait") && c->v->generation >= c->generation)) {
		cmd_finish(c, good ? CMD_OK : CMD_FAIL);
		return;
	}
	c->deadline_ms = engine_now_ms(c->e) + TAKE_MS;
	if (verb_flag(&c->call, "--wait") && c->v->lc)
		c->deadline_ms += c->v->lc->drain_timeout_us / 1000;
	cmd_poll(c, on_reload_poll);
}

int verb_RELOAD(struct cmd *c)
{
	struct ask *a = ask_for(c, reload_done, RELOAD_MS);

	if (!a)
		return CMD_FAIL;
	sb_c(&a->line, "reload");
	return post(c, a);
}

static void simple_done(struct ask *a)
{
	struct cmd *c = a->ctx;
	int code = CMD_OK;

	c->asking = false;
	if (a->rc != 0)
		code = ask_failed(c, a);
	else
		sb_str(&c->out, a->reply.n ? sb_get(&a->reply) : STR("done"));
	ask_free(a);
	cmd_finish(c, code);
}

static int simple(struct cmd *c, const char *line)
{
	struct ask *a = ask_for(c, simple_done, ASK_MS);

	if (!a)
		return CMD_FAIL;
	sb_c(&a->line, line);
	return post(c, a);
}

int verb_UNBLOCK(struct cmd *c)
{
	bool all = verb_flag(&c->call, "--all");
	struct ask *a;

	if (all == (c->call.n_pos > 0)) {
		sb_c(&c->out, "which one? an ID that show crash lists, or --all");
		return CMD_USAGE;
	}
	a = ask_for(c, simple_done, ASK_MS);
	if (!a)
		return CMD_FAIL;
	sb_fmt(&a->line, "unblock %u ", c->uid);
	sb_str(&a->line, all ? STR("all") : c->call.pos[0]);
	return post(c, a);
}

int verb_REOPEN(struct cmd *c) { return simple(c, "reopen"); }
int verb_SHUTDOWN(struct cmd *c) { return simple(c, "shutdown"); }
int verb_STOP(struct cmd *c) { return simple(c, "stop"); }
