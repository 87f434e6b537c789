/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snmp.c - fairleadctl snmp get|next|bulk|walk: from words to a job of the SNMP manager, and its answer as rows
 *
 * The agent thread works on it; commands of others go on meanwhile. Names of hosts and files with secrets are fairleadctl's
 * to read, since control has neither a resolver nor files: here come addresses and the secrets themselves. Verbs that
 * only read are not logged, so no secret is.
 */
#include "config.h"

#include "admin/inside.h"

#include <inttypes.h>

#include "base/err.h"
#include "snmp/manager.h"

#define PORT           161
#define TIMEOUT_MIN_MS 10u
#define TIMEOUT_MAX_MS 60000u
#define RETRIES_MAX    10u
#define PASS_MIN       8u            /* RFC 3414 section 11.2 */

static struct snmp_home home;

void snmp_verbs_open(int wake_fd)
{
	snmp_home_init(&home, wake_fd);
}

void snmp_verbs_collect(void)
{
	snmp_home_collect(&home);
}

/* ---------- the answer ---------- */

static void print_rows(struct cmd *c, const struct snmp_job *j, struct sb *out)
{
	struct sb text;
	struct grid g;

	grid_init(&g);
	grid_col(&g, "oid", GRID_TEXT);
	grid_col(&g, "type", GRID_TEXT);
	grid_col(&g, "value", c->call.json ? GRID_RAW : GRID_TEXT);
	for (unsigned i = 0; i < j->n; i++) {
		sb_init_heap(&text);
		objid_text(&j->row[i].oid, &text);
		grid_str(&g, sb_get(&text));
		grid_text(&g, snmp_value_type(&j->row[i].value));
		text.n = 0;
		if (c->call.json)
			snmp_value_json(&j->row[i].value, &text);
		else
			snmp_value_text(&j->row[i].value, &text);
		grid_str(&g, sb_get(&text));
		g.over |= text.over;
		sb_free(&text);
	}
	grid_print(&g, c->call.json ? GRID_JSON : 0, out);
	grid_free(&g);
}

/* A question about objects of which none is there has no answer. */
static void judge(struct snmp_job *j)
{
	if (j->reason || j->q.op == SNMP_OP_BULK)
		return;
	for (unsigned i = 0; i < j->n; i++)
		if (snmp_has_value(j->row[i].value.type))
			return;
	if (j->q.op == SNMP_OP_WALK)
		snmp_job_fail(j, "noRows", "there is nothing below that object");
	else if (j->row[0].value.type == SNMP_T_END)
		snmp_job_fail(j, "endOfMibView", "there is nothing behind that object");
	else if (j->row[0].value.type == SNMP_T_NO_INSTANCE)
		snmp_job_fail(j, "noSuchInstance", "the agent has the object, but not this instance of it (a scalar's ends with .0)");
	else
		snmp_job_fail(j, "noSuchObject", "the agent has no such object");
}

static void answer_json(struct cmd *c, const struct snmp_job *j)
{
	struct sb rows;

	sb_init_heap(&rows);
	print_rows(c, j, &rows);
	sb_fmt(&c->out, "{\"ok\": %s", j->reason ? "false" : "true");
	if (j->reason) {
		sb_fmt(&c->out, ", \"reason\": \"%s\", \"error\": ", j->reason);
		sb_json_str(&c->out, str_c(j->why));
	}
	sb_fmt(&c->out, ", \"complete\": %s, \"rows\": " STR_FMT "}\n", j->reason || j->cut ? "false" : "true",
	       STR_ARG(str_trim(sb_get(&rows))));
	c->out.over |= rows.over;
	sb_free(&rows);
	c->is_json = true;
}

static void answer_text(struct cmd *c, const struct snmp_job *j)
{
	if (j->reason) {
		sb_fmt(&c->out, "%s: %s", j->reason, j->why);
		if (j->q.op == SNMP_OP_WALK && j->n)
			sb_fmt(&c->out, " (after %u objects)", j->n);
		return;
	}
	print_rows(c, j, &c->out);
	if (j->cut)
		sb_fmt(&c->out, "there is more behind these %u; --rows takes up to %u\n", j->n, SNMP_ROWS_MAX);
}

static void on_done(struct snmp_job *j)
{
	struct cmd *c = j->ctx;
	bool failed;

	c->asking = false;
	c->leave = NULL;
	judge(j);
	failed = j->reason != NULL;
	if (c->call.json)
		answer_json(c, j);
	else
		answer_text(c, j);
	snmp_job_free(j);
	cmd_finish(c, failed ? CMD_FAIL : CMD_OK);
}

/* A script that gives up does not keep others from asking. */
static void on_leave(struct cmd *c)
{
	snmp_manager_cancel(c->question);
}

/* ---------- the question ---------- */

static bool refuse(struct cmd *c, const char *text)
{
	sb_c(&c->out, text);
	return false;
}

/* An option's text into mem; false with the reason. */
static bool copy(struct cmd *c, const char *option, char *mem, size_t size)
{
	struct str s = verb_opt(&c->call, option, 0);

	if (!s.p)
		return true;
	if (str_starts(s, STR("file:"))) {
		sb_fmt(&c->out, "%s file:PATH is read by fairleadctl, not here", option);
		return false;
	}
	if (!s.n || s.n >= size) {
		sb_fmt(&c->out, "%s takes 1 to %zu bytes", option, size - 1);
		return false;
	}
	memcpy(mem, s.p, s.n);
	mem[s.n] = '\0';
	return true;
}

static bool number(struct cmd *c, const char *option, unsigned min, unsigned max, unsigned *out)
{
	struct str s = verb_opt(&c->call, option, 0);
	uint64_t v;

	if (!s.p)
		return true;
	if (!str_u64(s, &v) || v < min || v > max) {
		sb_fmt(&c->out, "%s takes a number from %u to %u", option, min, max);
		return false;
	}
	*out = (unsigned)v;
	return true;
}

static bool times(struct cmd *c, struct snmp_query *q)
{
	struct str s = verb_opt(&c->call, "--timeout", 0);
	uint64_t ms = 1000;

	if (s.p && (!text_duration_ms(s, &ms) || ms < TIMEOUT_MIN_MS || ms > TIMEOUT_MAX_MS))
		return refuse(c, "--timeout needs a time with a unit, 10ms to 1m");
	q->timeout_ms = (uint32_t)ms;
	q->retries = 1;
	return number(c, "--retries", 0, RETRIES_MAX, &q->retries);
}

static bool version(struct cmd *c, struct snmp_query *q)
{
	struct str s = verb_opt(&c->call, "--version", 0);
	bool user = verb_opt(&c->call, "--user", 0).p != NULL;

	q->version = user ? 3 : 2;
	if (!s.p)
		return true;
	if (str_eq(s, STR("1")))
		q->version = 1;
	else if (str_eq(s, STR("2c")) || str_eq(s, STR("2")))
		q->version = 2;
	else if (str_eq(s, STR("3")))
		q->version = 3;
	else
		return refuse(c, "--version is 1, 2c or 3");
	if (q->version == 3 && !user)
		return refuse(c, "version 3 needs --user");
	return true;
}

/* A protocol and its passphrase: both or none. */
static bool protocol(struct cmd *c, const char *option, const char *pass_option, const char *const *table,
		     const char **name, char pass[128])
{
	struct str s = verb_opt(&c->call, option, 0);

	if (s.p) {
		*name = snmp_known(table, s);
		if (!*name) {
			sb_fmt(&c->out, "%s is one of", option);
			for (; *table; table++)
				sb_fmt(&c->out, " %s", *table);
			return false;
		}
	}
	if (!copy(c, pass_option, pass, 128))
		return false;
	if ((s.p != NULL) != (pass[0] != '\0')) {
		sb_fmt(&c->out, "%s and %s belong together", option, pass_option);
		return false;
	}
	if (s.p && strlen(pass) < PASS_MIN) {
		sb_fmt(&c->out, "the passphrase of %s is shorter than %u bytes", pass_option, PASS_MIN);
		return false;
	}
	return true;
}

static bool who(struct cmd *c, struct snmp_query *q)
{
	static const char *const v3[] = { "--user", "--auth", "--auth-pass", "--priv", "--priv-pass" };

	if (!version(c, q))
		return false;
	if (q->version == 3) {
		if (verb_opt(&c->call, "--community", 0).p)
			return refuse(c, "version 3 has users, no --community");
		if (!copy(c, "--user", q->user, sizeof(q->user)) ||
		    !protocol(c, "--auth", "--auth-pass", snmp_auths, &q->auth, q->auth_pass) ||
		    !protocol(c, "--priv", "--priv-pass", snmp_privs, &q->priv, q->priv_pass))
			return false;
		return q->auth || !q->priv ? true : refuse(c, "--priv needs --auth");
	}
	for (size_t i = 0; i < FL_ARRAY_LEN(v3); i++)
		if (verb_opt(&c->call, v3[i], 0).p) {
			sb_fmt(&c->out, "%s belongs to version 3", v3[i]);
			return false;
		}
	memcpy(q->community, "public", sizeof("public"));
	return copy(c, "--community", q->community, sizeof(q->community));
}

static bool objects(struct cmd *c, struct snmp_query *q)
{
	for (unsigned i = 1; i < c->call.n_pos; i++) {
		int err = objid_parse(c->call.pos[i], &q->oid[q->n_oids++]);

		if (!err)
			continue;
		sb_c(&c->out, "\"");
		sb_escape(&c->out, c->call.pos[i], 64);
		sb_fmt(&c->out, "\" is no object identifier (%s); they are numeric here, as 1.3.6.1.2.1.1.3.0",
		       fl_err_text(err));
		return false;
	}
	return true;
}

static bool where(struct cmd *c, struct snmp_query *q)
{
	if (addr_parse(c->call.pos[0], PORT, &q->to) == 0 && !addr_is_any(&q->to))
		return true;
	sb_c(&c->out, "\"");
	sb_escape(&c->out, c->call.pos[0], 64);
	sb_c(&c->out, "\" is no address (names are looked up by fairleadctl)");
	return false;
}

static int ask(struct cmd *c, enum snmp_op op)
{
	struct snmp_job *j = snmp_job_new();
	struct snmp_query *q;
	int err;

	if (!j) {
		sb_c(&c->out, "no memory");
		return CMD_FAIL;
	}
	q = &j->q;
	q->op = op;
	q->rows = op == SNMP_OP_BULK ? 10 : 1000;
	if (!where(c, q) || !objects(c, q) || !who(c, q) || !times(c, q) ||
	    !number(c, "--rows", 1, op == SNMP_OP_BULK ? SNMP_BULK_MAX : SNMP_ROWS_MAX, &q->rows) ||
	    (op == SNMP_OP_BULK && q->version == 1 && !refuse(c, "version 1 has no GETBULK"))) {
		snmp_job_free(j);
		return CMD_USAGE;
	}
	j->home = &home;
	j->done = on_done;
	j->ctx = c;
	c->asking = true;
	c->leave = on_leave;
	c->question = j;
	err = snmp_manager_post(j);
	if (!err)
		return CMD_LATER;
	c->asking = false;
	c->leave = NULL;
	snmp_job_free(j);
	sb_fmt(&c->out, "the agent thread does not take it: %s", fl_err_text(err));
	return CMD_FAIL;
}

int verb_SNMP_GET(struct cmd *c) { return ask(c, SNMP_OP_GET); }
int verb_SNMP_NEXT(struct cmd *c) { return ask(c, SNMP_OP_NEXT); }
int verb_SNMP_BULK(struct cmd *c) { return ask(c, SNMP_OP_BULK); }
int verb_SNMP_WALK(struct cmd *c) { return ask(c, SNMP_OP_WALK); }
