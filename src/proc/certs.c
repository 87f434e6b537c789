/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certs.c - see certs.h
 */
#include "config.h"

#include "proc/certs.h"

#include "base/env.h"
#include "base/log.h"
#include "net/tls.h"

#define LOOK_S  3600            /* the longest sleep: the wall clock may be set meanwhile */
#define DAY_S   86400

static void say(const struct lb_listen *l, const struct tls_cert_info *c, int64_t now)
{
	int64_t left = c->not_after_s - now;

	if (left >= 0)
		log_ev(EV_CERT_EXPIRY, "listener %s: certificate %s expires in %lld days: renew it and reload",
		       l->full_name, c->file, (long long)(left / DAY_S));
	else
		log_ev(EV_CERT_EXPIRY,
		       "listener %s: certificate %s has expired and is still served: renew it and reload",
		       l->full_name, c->file);
}

/* Says what is due; seconds until something may be due again. */
static int64_t look(struct cert_watch *w, int64_t now)
{
	bool all = now - w->said_s >= DAY_S || now < w->said_s;
	int64_t next = LOOK_S;

	for (unsigned i = 0; i < w->lc->n_listens; i++) {
		const struct lb_listen *l = &w->lc->listens[i];
		struct tls_cert_info c;

		for (unsigned k = 0; l->tls && tls_server_cert(l->tls, k, &c); k++) {
			bool expired = c.not_after_s < now;

			if (!c.not_after_s || c.not_after_s - now > TLS_CERT_WARN_DAYS * DAY_S)
				continue;
			if (all || (expired && c.not_after_s >= w->looked_s))
				say(l, &c, now);
			if (!expired)
				next = FL_MIN(next, c.not_after_s - now + 1);
		}
	}
	if (all)
		w->said_s = now;
	w->looked_s = now;
	return next;
}

static void on_timer(struct timer *t)
{
	struct cert_watch *w = FL_CONTAINER_OF(t, struct cert_watch, timer);

	engine_timer(w->engine, t, (uint64_t)look(w, (int64_t)(env_wall_us() / 1000000)) * 1000);
}

void cert_watch_init(struct cert_watch *w, struct engine *e, const struct lb_config *lc)
{
	*w = (struct cert_watch){ .engine = e, .lc = lc };
	timer_init(&w->timer, on_timer);
}

void cert_watch_run(struct cert_watch *w, bool on)
{
	if (on == w->on)
		return;
	w->on = on;
	timer_stop(&w->timer);
	if (on)
		on_timer(&w->timer);
}
