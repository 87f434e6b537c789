/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deaths.c - fingerprints of deaths: the third with the same one blocks what it carries (ROBUSTNESS R11, F5)
 *
 * A fingerprint is the signal, the place in the program and what was worked on (stat/crash.h). The table is in the segment:
 * reloads, new workers and new masters find it as it is. When a block has had its time, one more death of it within the next
 * `crash-block` is enough for another. A death of nothing that came from outside is kept for people to see, and
 * blocks nobody. Who was ended from outside counts only if it was silent and worked all the while: a machine that stalls
 * stops all workers, at whatever most clients ask for.
 */
#include "config.h"

#include "proc/master.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/log.h"
#include "stat/crash.h"

static uint64_t window_ms(const struct master *m)
{
	return m->cur && m->cur->man ? m->cur->man->crash_block_us / 1000 : 0;
}

/* The entry of that id, else one for it: free, or what is missed least. */
static unsigned entry_for(const struct master *m, uint64_t id, struct stat_crash *c)
{
	unsigned best = 0;
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < STAT_CRASHES; i++) {
		uint64_t worth = 0;

		if (stat_crash_get(m->seg, i, c)) {
			if (c->id == id)
				return i;
			worth = c->seen_ms[0] + 1 + (c->until_ms ? UINT64_MAX / 2 : 0);
		}
		if (worth < least) {
			least = worth;
			best = i;
		}
	}
	*c = (struct stat_crash){ .id = id };
	return best;
}

static const char *signal_name(uint32_t signo)
{
	const char *name = signo < NSIG ? sigabbrev_np((int)signo) : NULL;

	return name ? name : "?";
}

static void block(struct stat_crash *c, uint64_t window)
{
	c->until_ms = c->seen_ms[0] + window;
	log_ev(EV_BLOCK, "%016" PRIx64 ": refused for %" PRIu64 " s, as %u workers died of it: %s", c->id, window / 1000,
	       c->deaths, c->what);
}

void deaths_take(struct master *m, const struct proc *p)
{
	uint64_t now = master_now_ms(m), window = window_ms(m), id;
	struct stat_death d;
	struct stat_crash c;
	unsigned i;

	if (p->foreign || !stat_death_get(m->seg, p->slot, (uint32_t)p->pid, &d))
		return;
	if (d.asked && !p->spins)                /* stopped, or it waited for the disk: that was no client's doing */
		d.what[0] = '\0';
	id = stat_crash_id(d.signal, d.where, d.what);
	i = entry_for(m, id, &c);
	c.signal = d.signal;
	memcpy(c.where, d.where, sizeof(c.where));
	memcpy(c.what, d.what, sizeof(c.what));
	c.seen_ms[2] = c.seen_ms[1];
	c.seen_ms[1] = c.seen_ms[0];
	c.seen_ms[0] = now;
	c.last_us = env_wall_us();
	c.deaths++;
	log_ev(EV_CRASH, "%016" PRIx64 ": worker@%u pid %d died by SIG%s at %s, working on %s; death %u of that kind", id, p->core,
	       (int)p->pid, signal_name(d.signal), d.where, d.what[0] ? d.what : "nothing of a client's", c.deaths);
	if (window && c.what[0] && c.seen_ms[2] && now - c.seen_ms[2] <= window)
		block(&c, window);
	stat_crash_set(m->seg, i, &c);
	supervise_kick(m);
}

/* Blocks that have had their time. */
void deaths_second(struct master *m)
{
	uint64_t now = master_now_ms(m), window = window_ms(m);
	bool any = false;
	struct stat_crash c;

	if (!m->cur || !m->cur->man)             /* what is configured is not known yet */
		return;
	for (unsigned i = 0; i < STAT_CRASHES; i++) {
		if (!stat_crash_get(m->seg, i, &c) || !c.until_ms || (now < c.until_ms && window))
			continue;
		log_ev(EV_UNBLOCK, "%016" PRIx64 ": no longer refused, %s: %s", c.id, window ? "its time is over" : "crash-block is off",
		       c.what);
		c.until_ms = 0;
		c.seen_ms[0] = c.seen_ms[1] = now;       /* one more is enough */
		c.seen_ms[2] = 0;
		stat_crash_set(m->seg, i, &c);
		any = true;
	}
	if (any)
		supervise_kick(m);
}

unsigned deaths_forget(struct master *m, uint64_t id, uint32_t uid)
{
	struct stat_crash c;
	unsigned n = 0;

	for (unsigned i = 0; i < STAT_CRASHES; i++) {
		if (!stat_crash_get(m->seg, i, &c) || (id && c.id != id))
			continue;
		if (c.until_ms)
			log_ev(EV_UNBLOCK, "%016" PRIx64 ": no longer refused, by uid %u: %s", c.id, uid, c.what);
		stat_crash_set(m->seg, i, NULL);
		n++;
	}
	if (n)
		supervise_kick(m);
	return n;
}
