/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll.h - one job at work: its session of net-snmp, its socket, its timer. For manager.c only.
 */
#ifndef FL_SNMP_POLL_H
#define FL_SNMP_POLL_H

#include "snmp/manager.h"

struct snmp_poll {
	struct list          link;           /* manager.c's */
	struct engine       *e;
	struct snmp_job     *job;
	void               (*ended)(struct snmp_poll *p);
	void                *sess;           /* the library's */
	struct engine_watch  watch;
	struct timer         timer;
	uint64_t             end_ms, lost_ms;    /* of the job; of this message, at the latest */
	/* what the library told in its callback; step() acts on it when we are out of the library again */
	enum poll_news { POLL_NOTHING, POLL_FOUND, POLL_MORE, POLL_OVER } news;
	bool                 finding;        /* v3: the engine is asked for its id */
	bool                 found;          /* it was told */
	bool                 late;           /* v3: the agent said that our time is wrong */
	uint8_t              engine[32];
	size_t               engine_n;
	unsigned             repetitions;    /* of the next GETBULK of a walk */
	struct objid         at;             /* WALK: where the next request begins */
};

/* NULL: it failed at once, j->reason says why. Else ended() is called once from the loop; it frees. */
struct snmp_poll *snmp_poll_start(struct engine *e, struct snmp_job *j, void (*ended)(struct snmp_poll *p));
/* forget: nobody else uses the user of this job now */
void snmp_poll_free(struct snmp_poll *p, bool forget);

#endif
