/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queues.c - see queues.h
 */
#include "config.h"

#include "net/queues.h"

#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"

#define DEPTH 4         /* a VLAN on a bridge on a bond on a card */

struct held {
	struct ip ip;
	unsigned  n;            /* queues of its device */
	bool      loopback;
};
struct queues {
	unsigned    n;
	struct held held[];
};

/* Sysfs ------------------------------------------------------------------------------------ */

static unsigned count_entries(const char *folder, const char *prefix)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));)
		n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	return n;
}

static unsigned device(const char *sysfs, const char *name, unsigned depth)
{
	char path[512];
	unsigned n = 0, lower;
	DIR *d;

	if (strchr(name, '/') || snprintf(path, sizeof(path), "%s/%s", sysfs, name) >= (int)sizeof(path))
		return 0;
	d = depth < DEPTH ? opendir(path) : NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (strncmp(e->d_name, "lower_", 6) != 0)
			continue;
		lower = device(sysfs, e->d_name + 6, depth + 1);
		n = n ? FL_MIN(n, lower) : lower;
	}
	if (d)
		closedir(d);
	if (n || snprintf(path, sizeof(path), "%s/%s/queues", sysfs, name) >= (int)sizeof(path))
		return n;
	return count_entries(path, "rx-");
}

unsigned queues_of_device(const char *sysfs, const char *name)
{
	return device(sysfs, name, 0);
}

/* Addresses -------------------------------------------------------------------------------- */

static bool take(struct held *h, const struct ifaddrs *i, const char *sysfs)
{
	struct addr a;
	char name[IF_NAMESIZE];

	if (!i->ifa_addr || (i->ifa_flags & (IFF_UP | IFF_RUNNING)) != (IFF_UP | IFF_RUNNING))
		return false;
	memset(&a, 0, sizeof(a));
	if (i->ifa_addr->sa_family == AF_INET)
		memcpy(&a.in, i->ifa_addr, sizeof(a.in));
	else if (i->ifa_addr->sa_family == AF_INET6)
		memcpy(&a.in6, i->ifa_addr, sizeof(a.in6));
	else
		return false;
	/* an address may have a label instead: eth0:1 */
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(i->ifa_name, ":"), i->ifa_name);
	h->ip = addr_ip(&a);
	h->loopback = i->ifa_flags & IFF_LOOPBACK;
	h->n = h->loopback ? 1 : queues_of_device(sysfs, name);
	return true;
}

struct queues *queues_read(const char *sysfs)
{
	struct ifaddrs *all;
	struct queues *q;
	unsigned n = 0;

	if (getifaddrs(&all) != 0)
		return NULL;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		n++;
	q = env_calloc(1, sizeof(*q) + n * sizeof(q->held[0]));
	for (const struct ifaddrs *i = all; q && i; i = i->ifa_next)
		q->n += take(&q->held[q->n], i, sysfs);
	freeifaddrs(all);
	return q;
}

void queues_free(struct queues **q)
{
	env_free(*q);
	*q = NULL;
}

static bool is_loopback(struct ip ip)
{
	static const uint8_t one[16] = { [15] = 1 };

	return ip.family == AF_INET ? ip.b[0] == 127 : memcmp(ip.b, one, sizeof(one)) == 0;
}

/* An address of a family that a packet for `a` may be of; [::] takes both. */
static bool may_bring(const struct held *h, const struct addr *a)
{
	return !h->loopback && (a->sa.sa_family == AF_INET6 || h->ip.family == a->sa.sa_family);
}

static unsigned least(unsigned n, unsigned with)
{
	return n ? FL_MIN(n, with) : with;
}

unsigned queues_of(const struct queues *q, const struct addr *a)
{
	struct ip ip = addr_ip(a);
	bool any = addr_is_any(a);
	unsigned n = 0, local = 0;

	for (unsigned i = 0; i < q->n; i++) {
		if (!ip_eq(q->held[i].ip, ip) || any)
			continue;
		/* 203.0.113.9 on lo: packets for it come from the network, by any device */
		any |= q->held[i].loopback && !is_loopback(ip);
		n = least(n, q->held[i].n);
	}
	if (!any && is_loopback(ip))     /* 127.0.0.0/8 is all there, with one address shown */
		return 1;
	if (!any)
		return n;
	n = 0;
	for (unsigned i = 0; i < q->n; i++) {
		if (may_bring(&q->held[i], a))
			n = least(n, q->held[i].n);
		else if (q->held[i].loopback)
			local = q->held[i].n;
	}
	return n ? n : local;
}
