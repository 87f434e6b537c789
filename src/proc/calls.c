/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls.c - what control asks the master for (admin/admin.h names the commands)
 *
 * Nothing here waits: a reload is answered when it is over. A caller that gave up meanwhile drops the answer.
 */
#include "config.h"

#include "proc/master.h"

#include <inttypes.h>
#include <string.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"

void call_reply(struct master *m, uint64_t call, int rc, const char *text, size_t n)
{
	struct msg msg = { .type = MSG_REPLY, .arg = call, .core = (uint32_t)rc };

	if (m->control)
		(void)chan_send(&m->control->chan, &msg, text, FL_MIN(n, (size_t)MSG_TEXT_MAX), NULL, 0);
}

static void say(struct master *m, uint64_t call, int rc, const char *text)
{
	call_reply(m, call, rc, text, strlen(text));
}

/* "ROW STATE UID REASON..." */
static void set_admin(struct master *m, uint64_t call, struct str args)
{
	struct str row = str_cut(&args, ' '), state = str_cut(&args, ' '), uid = str_cut(&args, ' ');
	struct stat_admin a = { .since_us = env_wall_us() };
	uint64_t r, s, u;
	enum tbl_kind kind;
	struct str name;

	if (!str_u64(row, &r) || !str_u64(state, &s) || !str_u64(uid, &u) || s > ST_ADMIN_MAINT || r > UINT32_MAX) {
		say(m, call, 1, "malformed\n");
		return;
	}
	if (!stat_obj_get(m->seg, (uint32_t)r, &kind, &name, NULL) || kind != KIND_SERVICE) {
		say(m, call, 1, "no such service\n");
		return;
	}
	a.state = (uint32_t)s;
	a.uid = (uint32_t)u;
	memcpy(a.reason, args.p, FL_MIN(args.n, sizeof(a.reason) - 1));
	stat_admin_set(m->seg, (uint32_t)r, &a);
	supervise_kick(m);
	log_ev(EV_SERVICE_ADMIN, "service " STR_FMT ": %s by uid %u%s" STR_FMT, STR_ARG(name),
	       tbl_state_name("ADMIN", (int)s), (unsigned)u, args.n ? ": " : "", STR_ARG(args));
	say(m, call, 0, "");
}

/* One line each: "PID GENERATION STATE UPTIME_MS". They have no slot in the segment: they count nothing. */
static void say_gens(struct master *m, uint64_t call)
{
	struct sb b;

	sb_init_heap(&b);
	LIST_FOREACH(it, &m->procs) {
		const struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (p->role == PROC_GEN && p->pid)
			sb_fmt(&b, "%d %u %d %" PRIu64 "\n", (int)p->pid, p->generation,
			       p->expected ? ST_PROC_DRAINING : p->g && p->g->gen_ready ? ST_PROC_RUNNING : ST_PROC_STARTING,
			       master_now_ms(m) - p->started_ms);
	}
	call_reply(m, call, b.over ? 1 : 0, b.n ? b.p : "", b.n);
	sb_free(&b);
}

/* "ROW": see distribute_tell() */
static void say_steering(struct master *m, uint64_t call, struct str row)
{
	uint64_t r;
	struct sb b;

	sb_init_heap(&b);
	if (str_u64(row, &r) && r <= UINT32_MAX)
		distribute_tell(m, (uint32_t)r, &b);
	call_reply(m, call, b.over ? 1 : 0, b.n ? b.p : "", b.n);
	sb_free(&b);
}

static bool read_hex(struct str s, uint64_t *out)
{
	static const char digits[] = "0123456789abcdef";

	*out = 0;
	for (size_t i = 0; i < s.n; i++) {
		const char *at = memchr(digits, s.p[i], 16);

		if (!at)
			return false;
		*out = *out << 4 | (uint64_t)(at - digits);
	}
	return s.n > 0 && s.n <= 16;
}

/* "UID ID" or "UID all" */
static void unblock(struct master *m, uint64_t call, struct str args)
{
	struct str who = str_cut(&args, ' ');
	uint64_t uid, id = 0;
	bool all = str_eq(args, STR("all"));

	if (!str_u64(who, &uid) || (!all && (!read_hex(args, &id) || !id)) || (!deaths_forget(m, id, (uint32_t)uid) && !all))
		say(m, call, 1, "no such fingerprint; see: show crash\n");
	else
		say(m, call, 0, "");
}

void call_received(struct master *m, struct msg_in *in)
{
	struct str line = str_n(in->text, in->n), verb = str_cut(&line, ' ');
	struct waiter w = { .call = in->m.arg, .drained = str_eq(verb, STR("reload-wait")) };

	if (str_eq(verb, STR("ping"))) {
		say(m, w.call, 0, "pong\n");
	} else if (str_eq(verb, STR("gens"))) {
		say_gens(m, w.call);
	} else if (str_eq(verb, STR("steering"))) {
		say_steering(m, w.call, line);
	} else if (m->stopping) {
		say(m, w.call, 1, "shutting down\n");
	} else if (str_eq(verb, STR("reload")) || w.drained) {
		reload_request(m, &w);
	} else if (str_eq(verb, STR("admin"))) {
		set_admin(m, w.call, line);
	} else if (str_eq(verb, STR("unblock"))) {
		unblock(m, w.call, line);
	} else if (str_eq(verb, STR("reopen"))) {
		streams_reopen(m);
		say(m, w.call, 0, "");
	} else if (str_eq(verb, STR("shutdown"))) {
		say(m, w.call, 0, "");
		master_stop(m, m->cur ? m->cur->man->grace_us / 1000 : 0);
	} else if (str_eq(verb, STR("stop"))) {
		say(m, w.call, 0, "");
		master_stop(m, 0);
	} else {
		say(m, w.call, 1, "unknown command\n");
	}
}
