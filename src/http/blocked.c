/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocked.c - see blocked.h
 *
 * The whole line is compared, not only its hash: who could make two paths with one hash could have a stranger's path
 * blocked. Only of a line too long to keep whole does the hash speak for the rest.
 */
#include "config.h"

#include "http/blocked.h"

#include "base/hash.h"
#include "base/log.h"
#include "http/txn.h"
#include "stat/crash.h"
#include "stat/reason.h"

#define HASH_TEXT 17u                    /* "#" and 16 digits */
#define KEEP      (STAT_WHAT_MAX - 1 - HASH_TEXT - 8)     /* and the blanks between parts */

unsigned blocked_n;
static char lines[STAT_CRASHES][STAT_WHAT_MAX];

/* Shapes ---------------------------------------------------------------------------------- */

struct shape {
	char     text[STAT_WHAT_MAX];
	size_t   n;
	bool     lost;
	uint64_t hash;
};

static void add(struct shape *s, struct str part)
{
	if (s->n)
		s->text[s->n++] = ' ';
	s->hash = fl_hash64(part.p, part.n, s->hash);
	for (size_t i = 0; i < part.n; i++) {
		bool plain = part.p[i] > ' ' && part.p[i] <= '~';

		s->lost |= !plain || s->n >= KEEP;
		if (s->n >= KEEP)
			return;
		s->text[s->n++] = plain ? part.p[i] : '?';
	}
}

static void finish(struct shape *s, struct sb *out)
{
	static const char digits[] = "0123456789abcdef";

	sb_add(out, s->text, s->n);
	if (!s->lost)
		return;
	sb_ch(out, '#');
	for (int shift = 60; shift >= 0; shift -= 4)
		sb_ch(out, digits[s->hash >> shift & 15]);
}

void shape_request(const struct lb_vserver *vs, const struct http_head *h, struct sb *out)
{
	struct shape s = { .n = 0 };

	add(&s, STR("request"));
	add(&s, str_c(vs->name));
	add(&s, h->method_s);
	add(&s, h->host.n ? h->host : STR("-"));
	add(&s, h->path);
	finish(&s, out);
}

void shape_client(const struct lb_vserver *vs, const struct addr *client, struct sb *out)
{
	char text[ADDR_TEXT_MAX];
	struct ip ip = addr_ip(client);
	struct shape s = { .n = 0 };

	if (ip.family == AF_INET6)
		memset(ip.b + 8, 0, 8);
	add(&s, STR("client"));
	add(&s, str_c(vs->name));
	add(&s, str_c(ip_text(ip, text)));
	finish(&s, out);
}

/* Blocked ---------------------------------------------------------------------------------- */

void blocked_refresh(const struct stat_seg *seg)
{
	struct stat_crash c;

	blocked_n = 0;
	for (unsigned i = 0; i < STAT_CRASHES; i++)
		if (stat_crash_get(seg, i, &c) && c.until_ms && c.what[0])
			memcpy(lines[blocked_n++], c.what, STAT_WHAT_MAX);
}

static bool is_there(const struct sb *b)
{
	for (unsigned i = 0; i < blocked_n; i++)
		if (str_eq(sb_get(b), str_c(lines[i])))
			return true;
	return false;
}

static void say(const struct lb_vserver *vs, const struct sb *b)
{
	log_ev_key(EV_BLOCKED, str_c(vs->name), STR_FMT ": refused, as workers died of it (fairleadctl show crash)",
		   STR_ARG(sb_get(b)));
}

bool blocked_has_request(const struct lb_vserver *vs, const struct http_head *h)
{
	char mem[STAT_WHAT_MAX];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	shape_request(vs, h, &b);
	if (!is_there(&b))
		return false;
	say(vs, &b);
	return true;
}

bool blocked_has_client(const struct lb_vserver *vs, const struct addr *client)
{
	char mem[STAT_WHAT_MAX];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	shape_client(vs, client, &b);
	if (!is_there(&b))
		return false;
	stat_reason(REFUSED_EXCHANGE, TXN_BLOCKED - 1u);
	say(vs, &b);
	return true;
}
