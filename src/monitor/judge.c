/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c - rise and fall (states drawn in monitor.h)
 */
#include "config.h"

#include "monitor/judge.h"

/* A probe that was cancelled has no result and so looks as if it had passed, which only makes `rise` count. */
bool judge_early(const struct stat_mon *m)
{
	return m->probes < JUDGE_EARLY_PROBES && m->failures >= m->probes;
}

bool judge_result(struct stat_mon *m, bool ok, unsigned rise, unsigned fall)
{
	bool never_passed = m->failures + 1 >= m->probes;     /* before this one */
	uint32_t was = m->state;

	if (!ok && m->check == ST_CHECK_SOCKERR) {
		m->failures++;
		return false;
	}
	m->history = (uint16_t)(m->history << 1 | ok);
	if (ok) {
		m->passed++;
		m->failed = 0;
	} else {
		m->failures++;
		m->failed++;
		m->passed = 0;
	}
	if (was != ST_HEALTH_UP && was != ST_HEALTH_DOWN)
		m->state = ok ? ST_HEALTH_UP : ST_HEALTH_DOWN;
	else if (was == ST_HEALTH_UP && m->failed >= fall)
		m->state = ST_HEALTH_DOWN;
	else if (was == ST_HEALTH_DOWN && ok && (m->passed >= rise || never_passed))
		m->state = ST_HEALTH_UP;
	return m->state != was;
}

uint32_t judge_service(const struct stat_mon *mon, unsigned n)
{
	uint32_t state = ST_HEALTH_UP;

	for (unsigned i = 0; i < n; i++) {
		if (mon[i].state == ST_HEALTH_DOWN)
			return ST_HEALTH_DOWN;
		if (mon[i].state != ST_HEALTH_UP)
			state = ST_HEALTH_UNKNOWN;
	}
	return state;
}
