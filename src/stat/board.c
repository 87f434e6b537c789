/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board.c - what the master says to all: process entries, serving and live cores, admin states
 *
 * Single words are read as they are; records go through the latch. The board epoch moves after the
 * word that it announces, so who looks at the words after the epoch changed sees them.
 */
#include "config.h"

#include "stat/view.h"

#include "base/env.h"

void view_board_bump(struct stat_seg *s)
{
	struct seg_dir *d = view_dir_rw(s);

	st64_rel(&d->board_epoch, d->board_epoch + 1);
	FP("stat.board.epoch");
}

/* Process slots --------------------------------------------------------------------------- */

static enum stat_role role_of(const struct stat_seg *s, uint32_t slot)
{
	static const enum stat_role extra[SEG_EXTRA_SLOTS] = { STAT_CONTROL, STAT_LOGD,
							       STAT_MASTER };

	return slot < s->dim.n_workers ? STAT_WORKER : extra[slot - s->dim.n_workers];
}

bool stat_proc_get(const struct stat_seg *s, uint32_t slot, struct stat_proc *out)
{
	const struct seg_proc *p;
	const struct seg_slot *sl;

	*out = (struct stat_proc){ .slot = slot };
	if (slot >= s->dim.n_slots)
		return false;
	p = view_proc(s, slot);
	out->state = ld32_acq(&p->state);
	if (out->state == ST_PROC_FREE || out->state > ST_PROC_DEAD)
		return false;
	sl = view_slot(s, slot);
	out->role = role_of(s, slot);
	out->core = ld32(&p->core);
	out->generation = ld32(&p->generation);
	out->pid = ld32(&p->pid);
	out->started_ms = ld64(&p->started_ms);
	out->restarts = ld32(&p->restarts);
	if (out->role == STAT_WORKER && out->core < s->dim.cores) {
		const struct seg_core *c = (const void *)(s->dir + s->dim.dir.core);

		out->restarts = ld32(&c[out->core].restarts);
	}
	if (ld32_acq(&sl->pid) == out->pid)
		out->heartbeat_ms = ld64(&sl->heartbeat_ms);
	out->promise_ms = ld64(&sl->promise_ms);
	out->seen_cycle = ld64_acq(&sl->seen_cycle);
	out->seen_at_ms = ld64(&sl->seen_at_ms);
	out->log_dropped = ld64(&sl->log_dropped);
	return true;
}

/* Totals are read where a decision needs them, so what this process has is the newest there is. */
static void say_seen(const struct stat_seg *s, struct seg_slot *sl)
{
	uint64_t cycle, at_ms;

	stat_cycle(s, &cycle, &at_ms);
	if (cycle == sl->seen_cycle)
		return;
	st64(&sl->seen_at_ms, at_ms);
	FP("stat.seen.at");
	st64_rel(&sl->seen_cycle, cycle);
	FP("stat.seen.cycle");
}

void stat_heartbeat(struct stat_seg *s, uint64_t now_ms)
{
	struct seg_slot *sl = view_own(s);

	if (!sl)
		return;
	st64(&sl->heartbeat_ms, now_ms);
	if (s->role == STAT_WORKER)
		say_seen(s, sl);
}

void stat_promise(struct stat_seg *s, uint64_t at_ms)
{
	struct seg_slot *sl = view_own(s);

	if (!sl || sl->promise_ms == at_ms)
		return;
	st64_rel(&sl->promise_ms, at_ms);
	FP("stat.promise");
}

/* A start is a restart when the core (or the role) already had a process of this generation. */
static void count_start(struct stat_seg *s, struct seg_proc *p, uint32_t slot, uint32_t core,
			uint32_t generation)
{
	struct seg_core *c = (struct seg_core *)(void *)(s->dir_rw + s->dim.dir.core) + core;

	if (role_of(s, slot) != STAT_WORKER) {
		if (p->started_ms)
			st32(&p->restarts, p->restarts + 1);
	} else if (core < s->dim.cores) {
		if (c->last_gen == generation && c->started)
			st32(&c->restarts, c->restarts + 1);
		st32(&c->last_gen, generation);
		st32(&c->started, 1);
	}
	st64(&p->started_ms, env_now_us() / 1000);
}

void stat_proc_set(struct stat_seg *s, uint32_t slot, uint32_t state, uint32_t pid, uint32_t core,
		   uint32_t generation)
{
	struct seg_proc *p;

	ASSERT(view_dir_rw(s) && slot < s->dim.n_slots && state <= ST_PROC_DEAD);
	p = (struct seg_proc *)(void *)(s->dir_rw + s->dim.dir.proc) + slot;
	if (state == ST_PROC_STARTING && p->state != ST_PROC_STARTING)
		count_start(s, p, slot, core, generation);
	st32(&p->core, core);
	st32(&p->generation, generation);
	FP("stat.proc.core");
	st32_rel(&p->pid, pid);
	FP("stat.proc.pid");
	st32_rel(&p->state, state);
	FP("stat.proc.state");
}

/* Who serves, who is there ----------------------------------------------------------------- */

uint32_t stat_serving_core(const struct stat_seg *s, uint32_t core)
{
	const struct seg_core *c = (const void *)(s->dir + s->dim.dir.core);
	uint32_t by;

	if (core >= s->dim.cores)
		return core;
	by = ld32_acq(&c[core].serving);
	return by < s->dim.cores ? by : core;
}

void stat_set_serving_core(struct stat_seg *s, uint32_t core, uint32_t by)
{
	struct seg_core *c;

	ASSERT(view_dir_rw(s) && core < s->dim.cores && by < s->dim.cores);
	c = (struct seg_core *)(void *)(s->dir_rw + s->dim.dir.core) + core;
	if (c->serving == by)
		return;
	st32_rel(&c->serving, by);
	FP("stat.board.serving");
	view_board_bump(s);
}

uint32_t stat_live_slot(const struct stat_seg *s, uint32_t core)
{
	const uint32_t *live = (const void *)(s->dir + s->dim.dir.live);
	uint32_t v = core < s->dim.cores ? ld32_acq(&live[core]) : 0;

	return v && v <= s->dim.n_workers ? v - 1 : STAT_NO_SLOT;
}

void stat_set_live_slot(struct stat_seg *s, uint32_t core, uint32_t slot)
{
	uint32_t *live = (uint32_t *)(void *)(s->dir_rw + s->dim.dir.live);

	ASSERT(view_dir_rw(s) && core < s->dim.cores &&
	       (slot == STAT_NO_SLOT || slot < s->dim.n_workers));
	if (stat_live_slot(s, core) == slot)
		return;
	st32_rel(&live[core], slot == STAT_NO_SLOT ? 0 : slot + 1);
	FP("stat.board.live");
	view_board_bump(s);
}

void stat_steer_set(struct stat_seg *s, uint32_t row, const struct stat_steer *v)
{
	uint64_t tag = view_tag(s, row);
	struct seg_obj *o;

	ASSERT(view_dir_rw(s) != NULL);
	if (!tag)
		return;
	o = (struct seg_obj *)(void *)(s->dir_rw + s->dim.dir.object) + row;
	st64_rel(&o->steer, (uint64_t)(seg_tag_incarnation(tag) & 0xffffff) << 40 | (uint64_t)(v->b & 0xffff) << 24 |
				    (uint64_t)(v->a & 0xffff) << 8 | (v->state & 0xff));
	FP("stat.board.steer");
}

void stat_steer_get(const struct stat_seg *s, uint32_t row, struct stat_steer *out)
{
	uint64_t tag = view_tag(s, row), w = tag ? ld64_acq(&view_obj(s, row)->steer) : 0;

	*out = (struct stat_steer){ .state = ST_STEER_NONE };
	if (w >> 40 == (seg_tag_incarnation(tag) & 0xffffff))
		*out = (struct stat_steer){ .state = w & 0xff, .a = w >> 8 & 0xffff, .b = w >> 24 & 0xffff };
}

void stat_steer_text(const struct stat_steer *v, struct sb *out)
{
	const char *name = tbl_state_name("STEER", (int)v->state);

	switch (v->state) {
	case ST_STEER_QUEUES:
		sb_fmt(out, "kernel (queues %u < workers %u)", v->a, v->b);
		break;
	case ST_STEER_GUARD:
		sb_fmt(out, "kernel (guard: core %u took %u %%)", v->a, v->b);
		break;
	case ST_STEER_TREE:
		sb_fmt(out, "%s (classic program: %s)", v->a ? "rules" : "rss",
		       v->b ? "no eBPF here" : "no right to load eBPF");
		break;
	default:
		sb_c(out, name);
		break;
	}
}

uint64_t stat_board_epoch(const struct stat_seg *s)
{
	return ld64_acq(&view_dir(s)->board_epoch);
}

/* Admin states and configuration ----------------------------------------------------------- */

void stat_admin_set(struct stat_seg *s, uint32_t row, const struct stat_admin *a)
{
	uint64_t tag = view_tag(s, row);
	struct seg_obj *o;

	ASSERT(view_dir_rw(s) != NULL);
	if (!tag)
		return;
	o = (struct seg_obj *)(void *)(s->dir_rw + s->dim.dir.object) + row;
	latch_write(s->dir_rw + s->dim.dir.admin + (size_t)row * LATCH_SIZE(sizeof(*a)), tag, a,
		    sizeof(*a));
	st32_rel(&o->admin_inc, seg_tag_incarnation(tag));
	FP("stat.admin.inc");
	view_board_bump(s);
}

bool stat_admin_get(const struct stat_seg *s, uint32_t row, struct stat_admin *out)
{
	uint64_t tag = view_tag(s, row);

	memset(out, 0, sizeof(*out));
	if (!tag || ld32_acq(&view_obj(s, row)->admin_inc) != seg_tag_incarnation(tag))
		return false;
	if (!latch_read(s->dir + s->dim.dir.admin + (size_t)row * LATCH_SIZE(sizeof(*out)), tag,
			out, sizeof(*out)))
		return false;
	out->reason[sizeof(out->reason) - 1] = 0;
	if (out->state > ST_ADMIN_MAINT)
		out->state = ST_ADMIN_READY;
	return true;
}

#define CONF_TAG 1

void stat_conf_set(struct stat_seg *s, const struct stat_conf_state *c)
{
	latch_write(view_dir_rw(s)->conf, CONF_TAG, c, sizeof(*c));
}

bool stat_conf_get(const struct stat_seg *s, struct stat_conf_state *out)
{
	memset(out, 0, sizeof(*out));
	if (!latch_read(view_dir(s)->conf, CONF_TAG, out, sizeof(*out)))
		return false;
	out->file[sizeof(out->file) - 1] = 0;
	out->last_error[sizeof(out->last_error) - 1] = 0;
	return true;
}

uint64_t stat_started_us(const struct stat_seg *s)
{
	return ld64(&view_dir(s)->started_us);
}
