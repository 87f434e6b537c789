/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe_ping.c - ICMP and ICMPv6 echo (RFC 792, RFC 4443) over raw sockets opened before privileges went
 *
 * Each core has its own, as a reply comes once to each socket; workers of a core inherit them. A reply is matched by
 * identifier (this process), sequence and a random token in the payload, so another ping on the machine
 * or a forged reply does not count.
 */
#include "config.h"

#include "monitor/probe.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>

#include "base/env.h"
#include "base/err.h"
#include "base/list.h"

#define PING_READS_PER_TURN 64

struct probe_ping {
	struct probe base;
	struct list  link;
	struct timer timer;
	uint64_t     token;
	uint16_t     seq;
};
struct echo {                    /* both families: type, code, checksum, identifier, sequence, our token */
	uint8_t  type, code;
	uint16_t sum, id, seq;
	uint64_t token;
};

/* One monitor engine per process; the sockets are the process's as well. */
static struct {
	bool                on;
	struct list         waiting;
	uint16_t            id, seq;
	struct engine_watch w4, w6;
} ping;

static uint16_t checksum(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)b[i] << 8 | b[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void ping_free(struct probe *p)
{
	struct probe_ping *g = FL_CONTAINER_OF(p, struct probe_ping, base);

	timer_stop(&g->timer);
	list_del(&g->link);
	env_free(g);
}

static void ping_end(struct probe_ping *g, bool ok, uint32_t check, const char *text)
{
	struct probe_args a = g->base.a;
	uint64_t started = g->base.started_us;

	ping_free(&g->base);
	probe_finish(&a, started, ok, check, 0, "%s", text);
}

static void ping_timeout(struct timer *t)
{
	ping_end(FL_CONTAINER_OF(t, struct probe_ping, timer), false, ST_CHECK_L3TOUT, "no echo reply");
}

static struct probe_ping *ping_find(const struct echo *e)
{
	LIST_FOREACH(it, &ping.waiting) {
		struct probe_ping *g = LIST_ENTRY(it, struct probe_ping, link);

		if (g->seq == ntohs(e->seq) && (g->token == e->token || e->token == 0))
			return g;
	}
	return NULL;
}

/* An error message quotes the IP header and the first 8 bytes of what we sent. */
static void ping_unreachable(const uint8_t *p, size_t n, bool v6)
{
	size_t hl = v6 ? 40 : n >= 20 ? (size_t)(p[0] & 15) * 4 : 0;
	struct probe_ping *g;
	struct echo e;

	memset(&e, 0, sizeof(e));
	if (hl < 20 || n < hl + 8)
		return;
	memcpy(&e, p + hl, 8);
	if (e.type != (v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO) || ntohs(e.id) != ping.id)
		return;
	g = ping_find(&e);
	if (g)
		ping_end(g, false, ST_CHECK_L3UNR, "destination unreachable");
}

static void ping_message(const uint8_t *p, size_t n, bool v6)
{
	struct probe_ping *g;
	struct echo e;

	if (n < 8)
		return;
	if (p[0] == (v6 ? ICMP6_DST_UNREACH : ICMP_DEST_UNREACH)) {
		ping_unreachable(p + 8, n - 8, v6);
		return;
	}
	if (p[0] != (v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) || n < sizeof(e))
		return;
	memcpy(&e, p, sizeof(e));
	if (ntohs(e.id) != ping.id || e.token == 0)
		return;
	g = ping_find(&e);
	if (g)
		ping_end(g, true, ST_CHECK_L3OK, "echo reply");
}

static void on_readable(struct engine_watch *w, unsigned events)
{
	bool v6 = w == &ping.w6;
	uint8_t buf[2048];

	(void)events;
	for (unsigned i = 0; i < PING_READS_PER_TURN; i++) {
		ssize_t n = env_recv(w->fd, buf, sizeof(buf), MSG_DONTWAIT);
		size_t hl = 0;

		if (n < 0)
			return;
		if (!v6) {              /* raw IPv4 sockets show the IP header */
			hl = n >= 20 ? (size_t)(buf[0] & 15) * 4 : (size_t)n;
			if (hl > (size_t)n)
				continue;
		}
		ping_message(buf + hl, (size_t)n - hl, v6);
	}
}

int probe_ping_listen(const struct monitor_env *env, bool on)
{
	int err = 0;

	if (on == ping.on)
		return 0;
	ping.on = on;
	if (on) {
		list_init(&ping.waiting);
		ping.id = (uint16_t)env_random_u64();
		ping.w4 = (struct engine_watch){ .fd = env->ping4_fd, .fn = on_readable };
		ping.w6 = (struct engine_watch){ .fd = env->ping6_fd, .fn = on_readable };
		if (env->ping4_fd >= 0)
			err = engine_watch(env->engine, &ping.w4, ENGINE_READ);
		if (env->ping6_fd >= 0 && err >= 0)
			err = engine_watch(env->engine, &ping.w6, ENGINE_READ);
		return err;
	}
	if (env->ping4_fd >= 0)
		engine_unwatch(env->engine, &ping.w4);
	if (env->ping6_fd >= 0)
		engine_unwatch(env->engine, &ping.w6);
	return 0;
}

struct probe *probe_ping_start(const struct probe_args *a)
{
	bool v6 = a->to.sa.sa_family == AF_INET6;
	int fd = v6 ? a->env->ping6_fd : a->env->ping4_fd;
	struct probe_ping *g = fd >= 0 && ping.on ? env_calloc(1, sizeof(*g)) : NULL;
	struct addr to = a->to;
	struct echo e;

	if (!g)
		return NULL;
	g->base = (struct probe){ .cancel = ping_free, .a = *a, .started_us = env_now_us() };
	g->token = env_random_u64() | 1;
	g->seq = ++ping.seq;
	memset(&e, 0, sizeof(e));
	e.type = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
	e.id = htons(ping.id);
	e.seq = htons(g->seq);
	e.token = g->token;
	e.sum = v6 ? 0 : checksum(&e, sizeof(e));       /* the kernel makes ICMPv6's */
	addr_set_port(&to, 0);
	list_init(&g->link);
	timer_init(&g->timer, ping_timeout);
	list_append(&ping.waiting, &g->link);
	engine_timer(a->env->engine, &g->timer, FL_MAX(a->mon->timeout_us / 1000, 1u));
	/* A send error (unreachable, no buffer) is the same as silence: the deadline tells. */
	(void)env_sendto(fd, &e, sizeof(e), MSG_DONTWAIT, &to.sa, addr_len(&to));
	return &g->base;
}

bool monitor_has_ping(const struct lb_config *lc)
{
	for (unsigned i = 0; i < lc->n_pools; i++)
		for (unsigned k = 0; k < lc->pools[i].n_monitors; k++)
			if (lc->pools[i].monitors[k]->type == LB_MON_PING)
				return true;
	return false;
}

void monitor_open_ping(int *ping4_fd, int *ping6_fd)
{
	struct icmp6_filter f;

	*ping4_fd = env_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	*ping6_fd = env_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	if (*ping4_fd < 0)
		*ping4_fd = -1;
	if (*ping6_fd < 0) {
		*ping6_fd = -1;
		return;
	}
	ICMP6_FILTER_SETBLOCKALL(&f);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &f);
	ICMP6_FILTER_SETPASS(ICMP6_DST_UNREACH, &f);
	env_setsockopt(*ping6_fd, IPPROTO_ICMPV6, ICMP6_FILTER, &f, sizeof(f));
}
