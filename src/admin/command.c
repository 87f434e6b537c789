/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - one command: from its line to its answer
 *
 * The table says what fits (verbs.c); the functions verb_ID() do it. A command that has to wait
 * (for the master, for a service to finish) returns CMD_LATER and calls cmd_finish() from the
 * loop.
 */
#include "config.h"

#include "admin/inside.h"

#include "base/env.h"
#include "base/log.h"

static const verb_fn verb_fns[VERB__COUNT] = {
#define B(i, v, k, a, l, w, t) [VERB_##i] = verb_##i,
#include "tbl/verbs.def"
#undef B
};

struct cmd *cmd_new(struct admin_view *v, struct engine *e, uint32_t uid, uint32_t pid,
		    void (*finished)(struct cmd *c, int code), void *owner)
{
	struct cmd *c = env_calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->v = v;
	c->e = e;
	c->uid = uid;
	c->pid = pid;
	c->finished = finished;
	c->owner = owner;
	sb_init_heap(&c->out);
	sb_init_heap(&c->facts);
	return c;
}

void cmd_free(struct cmd *c)
{
	if (!c)
		return;
	if (c->timer_on)
		timer_stop(&c->timer);
	sb_free(&c->out);
	sb_free(&c->facts);
	explicit_bzero(&c->words, sizeof(c->words));     /* passphrases of snmp */
	env_free(c);
}

/* A reason or a name may hold what only a quoted form shows. */
static void log_change(const struct cmd *c, struct str line)
{
	char text[512];
	struct sb b;

	sb_init(&b, text, sizeof(text));
	sb_escape(&b, line, 400);
	log_ev(EV_ADMIN_COMMAND, "uid %u pid %u: %s", c->uid, c->pid, text);
}

static int start(struct cmd *c, struct str line, bool json_wanted)
{
	const char *why = NULL;
	bool fits;

	if (!words_split(line, &c->words, &why)) {
		c->call.json = json_wanted;
		sb_c(&c->out, why);
		return CMD_USAGE;
	}
	fits = verb_parse(c->words.w, c->words.n, &c->call, &c->out);
	c->call.json |= json_wanted;
	if (!fits)
		return CMD_USAGE;
	if (c->call.row->where == VERB_CTL) {
		sb_fmt(&c->out, "%s is done by fairleadctl itself", c->call.row->verb);
		return CMD_USAGE;
	}
	if (c->call.row->level == VERB_CHANGE)
		log_change(c, line);
	view_refresh(c->v);
	return verb_fns[c->call.id](c);
}

void cmd_run(struct cmd *c, struct str line, bool json_wanted)
{
	int code = start(c, line, json_wanted);

	if (code != CMD_LATER)
		cmd_finish(c, code);
}

void cmd_finish(struct cmd *c, int code)
{
	if (c->timer_on)
		timer_stop(&c->timer);
	c->timer_on = false;
	if (c->finished)
		c->finished(c, code);
	else
		cmd_free(c);
}

bool cmd_wait_option(struct cmd *c, uint64_t *ms)
{
	struct str wait = verb_opt(&c->call, "--wait", 0);

	*ms = 0;
	if (!wait.p || (text_duration_ms(wait, ms) && *ms && *ms <= ADMIN_WAIT_MAX_MS))
		return true;
	*ms = 0;
	sb_c(&c->out, "--wait needs a time with a unit, at most 1d: 500ms, 60s, 5m");
	return false;
}

void cmd_poll(struct cmd *c, void (*fn)(struct timer *t))
{
	if (!c->timer_on)
		timer_init(&c->timer, fn);
	c->timer_on = true;
	engine_timer(c->e, &c->timer, ADMIN_POLL_MS);
}

void cmd_abandon(struct cmd *c)
{
	c->finished = NULL;
	if (!c->asking)
		cmd_free(c);
	else if (c->leave)
		c->leave(c);
}

void cmd_render(struct cmd *c, int code, struct sb *to)
{
	struct str text = sb_get(&c->out);

	if (c->out.over || c->facts.over || text.n > ADMIN_OUT_MAX) {
		sb_c(to, c->call.json ? "{\"ok\": false, \"error\": \"the answer is too large\"}\n"
				      : "error: the answer is too large\n");
		return;
	}
	while (text.n && text.p[text.n - 1] == '\n')
		text.n--;
	if (c->call.json && !c->is_json) {
		sb_c(to, code == CMD_OK ? "{\"ok\": true, \"text\": " :
					  "{\"ok\": false, \"error\": ");
		sb_json_str(to, text);
		if (c->facts.n)
			sb_fmt(to, ", " STR_FMT, STR_ARG(sb_get(&c->facts)));
		sb_c(to, "}\n");
		return;
	}
	/* the verdict of status is no error; what the master says of a configuration begins
	 * with its own word */
	if (code != CMD_OK && !c->is_json && !(c->call.row && c->call.id == VERB_STATUS) &&
	    !str_starts(text, STR("error:")))
		sb_c(to, "error: ");
	sb_str(to, text);
	sb_ch(to, '\n');
}

bool view_next_row(const struct admin_view *v, enum tbl_kind kind, uint32_t *row, struct str *name)
{
	uint32_t max = stat_obj_max(v->seg);
	enum tbl_kind k;
	bool current;

	for (; *row < max; ++*row) {
		if (!stat_obj_get(v->seg, *row, &k, name, &current) || k != kind || !current)
			continue;
		++*row;
		return true;
	}
	return false;
}

int cmd_no_such(struct cmd *c, enum tbl_kind kind, struct str name)
{
	struct guess g;
	struct str have;
	uint32_t row = 0;
	char copy[STAT_NAME_MAX];

	guess_init(&g, name);
	while (view_next_row(c->v, kind, &row, &have)) {
		unsigned before = g.distance;

		guess_offer(&g, have);
		if (g.distance < before) {
			/* names are borrowed until the next one */
			have.n = FL_MIN(have.n, sizeof(copy));
			memcpy(copy, have.p, have.n);
			g.best = str_n(copy, have.n);
		}
	}
	sb_fmt(&c->out, "no %s named \"", tbl_kind_name(kind));
	sb_escape(&c->out, name, 100);
	sb_ch(&c->out, '"');
	guess_say(&g, &c->out);
	return CMD_FAIL;
}

bool cmd_needs_config(struct cmd *c)
{
	if (c->v->lc)
		return false;
	sb_c(&c->out, "no configuration came from the master yet; try again in a moment");
	return true;
}

void view_refresh(struct admin_view *v)
{
	v->now_ms = env_now_us() / 1000;
	v->wall_us = env_wall_us();
	if (v->lc && v->seg)
		lb_refresh(v->lc);
}

int verb_HELP(struct cmd *c)
{
	struct str verb = c->call.n_pos ? c->call.pos[0] : STR_NULL;
	struct str kind = c->call.n_pos > 1 ? c->call.pos[1] : STR_NULL;

	bool known = verb_help(verb, kind, c->call.json, &c->out);

	c->is_json = c->call.json && known;
	return known ? CMD_OK : CMD_USAGE;
}

/* Rows that fairleadctl does: start() refuses them before. */
int verb_DIFF_CONFIG(struct cmd *c) { (void)c; return CMD_USAGE; }
int verb_FMT(struct cmd *c) { (void)c; return CMD_USAGE; }
int verb_TOP(struct cmd *c) { (void)c; return CMD_USAGE; }
