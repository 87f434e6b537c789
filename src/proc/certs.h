/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certs.h - watches how long the certificates of the listeners are still good (one worker does it for all)
 *
 * A certificate that expires goes on being served: whoever decided not to renew it had a reason, and a
 * listener without one helps nobody. It is said in time instead: an event `cert-expiry` when the watch
 * begins and then once a day from 14 days before on, and at the moment it expires.
 */
#ifndef FL_PROC_CERTS_H
#define FL_PROC_CERTS_H

#include "lb/lb.h"
#include "net/engine.h"

struct cert_watch {
	struct engine          *engine;
	const struct lb_config *lc;
	struct timer            timer;
	int64_t                 said_s;      /* wall: when the last look was that told all */
	int64_t                 looked_s;    /* wall: last look */
	bool                    on;
};
void cert_watch_init(struct cert_watch *w, struct engine *e, const struct lb_config *lc);
/* Starts with a look, or stops. Safe to repeat. */
void cert_watch_run(struct cert_watch *w, bool on);

#endif
