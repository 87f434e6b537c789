/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rss.c - see rss.h: maps, loading, attaching
 */
#include "config.h"

#include "net/rss.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/env.h"

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif
#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif
#define NAME        "fairlead_rss"      /* as bpftool shows it */
#define STRIPES_MAX 64u
#define PAGE        4096u

/* Calls ------------------------------------------------------------------------------------ */

static int make_map(enum bpf_map_type type, unsigned value, unsigned entries, unsigned flags)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_type = type;
	a.key_size = sizeof(uint32_t);
	a.value_size = value;
	a.max_entries = entries;
	a.map_flags = flags;
	snprintf(a.map_name, sizeof(a.map_name), "%s", NAME);
	return env_bpf(BPF_MAP_CREATE, &a, sizeof(a));
}

static int map_call(int cmd, int fd, uint32_t key, void *value)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)fd;
	a.key = (uintptr_t)&key;
	a.value = (uintptr_t)value;
	return env_bpf(cmd, &a, sizeof(a));
}

static int load_program(const struct bpf_insn *insn, unsigned n, bool migrate)
{
	static const char license[] = "Apache-2.0";
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_SK_REUSEPORT;
	a.insns = (uintptr_t)insn;
	a.insn_cnt = n;
	a.license = (uintptr_t)license;
	a.expected_attach_type = migrate ? BPF_SK_REUSEPORT_SELECT_OR_MIGRATE : BPF_SK_REUSEPORT_SELECT;
	snprintf(a.prog_name, sizeof(a.prog_name), "%s", NAME);
	return env_bpf(BPF_PROG_LOAD, &a, sizeof(a));
}

/* Maps ------------------------------------------------------------------------------------- */

static size_t data_size(unsigned stripes)
{
	return sizeof(struct rss_data) + stripes * sizeof(((struct rss_data *)0)->hits[0]);
}

static unsigned stripes_wanted(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	unsigned n = 1;

	while ((long)n < cpus && n < STRIPES_MAX)
		n *= 2;
	return n;
}

/* Not for children: what they would write is everybody's. */
static int map_data(struct rss *r, unsigned stripes)
{
	r->size = (data_size(stripes) + PAGE - 1) / PAGE * PAGE;
	r->data = env_mmap(r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->data_fd, 0);
	if (!r->data)
		return -ENOMEM;
	return madvise(r->data, r->size, MADV_DONTFORK) == 0 ? 0 : -errno;
}

static void forget(struct rss *r)
{
	if (r->data)
		env_munmap(r->data, r->size);
	*r = (struct rss){ .socks_fd = -1, .data_fd = -1 };
}

void rss_close(struct rss *r)
{
	if (r->socks_fd >= 0)
		env_close(r->socks_fd);
	if (r->data_fd >= 0)
		env_close(r->data_fd);
	forget(r);
}

static void begin(struct rss *r, unsigned slots, unsigned stripes)
{
	r->data->stripes = stripes;
	r->data->slots = slots;
	env_random(r->data->key, sizeof(r->data->key));
	__atomic_store_n(&r->data->magic, RSS_MAGIC, __ATOMIC_RELEASE);
}

int rss_open(struct rss *r, unsigned slots)
{
	unsigned stripes = stripes_wanted();
	int err;

	*r = (struct rss){ .socks_fd = -1, .data_fd = -1 };
	/* values of 8 bytes: what is read back is the socket's cookie */
	r->socks_fd = make_map(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, sizeof(uint64_t), slots, 0);
	if (r->socks_fd < 0)
		return r->socks_fd;
	r->data_fd = make_map(BPF_MAP_TYPE_ARRAY, (unsigned)data_size(stripes), 1, BPF_F_MMAPABLE);
	err = r->data_fd < 0 ? r->data_fd : map_data(r, stripes);
	if (err) {
		rss_close(r);
		return err;
	}
	begin(r, slots, stripes);
	return 0;
}

int rss_open_plain(struct rss *r, unsigned slots)
{
	int err;

	*r = (struct rss){ .socks_fd = -1, .data_fd = env_memfd(NAME, false) };
	if (r->data_fd < 0)
		return r->data_fd;
	err = env_ftruncate(r->data_fd, (off_t)((data_size(1) + PAGE - 1) / PAGE * PAGE));
	if (!err)
		err = map_data(r, 1);
	if (err) {
		rss_close(r);
		return err;
	}
	begin(r, slots, 1);
	return 0;
}

/* The shortest there is tells the size of all. */
int rss_take(struct rss *r, unsigned slots, int socks_fd, int data_fd)
{
	unsigned stripes = 0;
	int err;

	*r = (struct rss){ .socks_fd = socks_fd, .data_fd = data_fd };
	err = map_data(r, 1);
	if (!err && r->data->magic == RSS_MAGIC && r->data->slots == slots)
		stripes = r->data->stripes;
	forget(r);
	if (err || stripes == 0 || stripes > STRIPES_MAX || (stripes & (stripes - 1)))
		return err ? err : -EINVAL;
	*r = (struct rss){ .socks_fd = socks_fd, .data_fd = data_fd };
	err = map_data(r, stripes);
	if (err)
		forget(r);
	return err;
}

static bool is_there(const struct rss *r, unsigned slot, int fd)
{
	uint64_t there = 0, cookie = 1;
	socklen_t n = sizeof(cookie);

	return map_call(BPF_MAP_LOOKUP_ELEM, r->socks_fd, slot, &there) == 0 &&
	       env_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n) == 0 && there == cookie;
}

int rss_put(struct rss *r, unsigned slot, int fd)
{
	uint64_t value = (uint64_t)fd;
	int err = map_call(BPF_MAP_UPDATE_ELEM, r->socks_fd, slot, &value);

	return err == -EBUSY && is_there(r, slot, fd) ? 0 : err;
}

/* The program ------------------------------------------------------------------------------ */

/* Before Linux 5.14 a program cannot choose for connections that migrate: it is not asked then. */
static int load_any(const struct bpf_insn *insn, unsigned n)
{
	int fd = load_program(insn, n, true);

	return fd == -EINVAL ? load_program(insn, n, false) : fd;
}

int rss_attach(struct rss *r, int fd, const struct rss_opts *o)
{
	static struct bpf_insn insn[RSS_PROGRAM];
	int prog = load_any(insn, rss_program(r, o, insn)), err;

	if (prog < 0)
		return prog;
	err = env_setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &prog, sizeof(prog));
	env_close(prog);
	return err;
}

/* The table -------------------------------------------------------------------------------- */

void rss_set(struct rss *r, unsigned entry, uint32_t slot)
{
	__atomic_store_n(&r->data->table[entry], slot, __ATOMIC_RELEASE);
}

void rss_set_spare(struct rss *r, uint32_t slot)
{
	__atomic_store_n(&r->data->spare, slot, __ATOMIC_RELEASE);
}

uint64_t rss_hits(const struct rss *r, unsigned cell)
{
	uint64_t n = 0;

	for (unsigned s = 0; s < r->data->stripes; s++)
		n += __atomic_load_n(&r->data->hits[s][cell], __ATOMIC_RELAXED);
	return n;
}

static struct ip ip_of(const struct flow *f, const uint8_t *bytes)
{
	struct ip ip = { .family = f->v6 ? AF_INET6 : AF_INET };

	memcpy(ip.b, bytes, f->v6 ? 16 : 4);
	return ip;
}

static bool fits(const struct rss_opts *o, unsigned i, const struct flow *f)
{
	const struct rss_more *m = o->more ? &o->more[i] : NULL;
	unsigned port = ntohs(f->from_port);

	return cidr_has(&o->rules[i], ip_of(f, f->from)) &&
	       (!m || ((m->port_hi == 0 || (port >= m->port_lo && port <= m->port_hi)) &&
		       (m->to.ip.family == 0 || cidr_has(&m->to, ip_of(f, f->to)))));
}

int rss_rule(const struct rss_opts *o, const struct flow *f)
{
	for (unsigned i = 0; i < o->n_rules; i++)
		if (fits(o, i, f))
			return (int)i;
	return -1;
}

static uint32_t seed_of(const struct rss *r)
{
	uint32_t seed;

	memcpy(&seed, r->data->key, sizeof(seed));
	return seed;
}

unsigned rss_entry(const struct rss *r, const struct rss_opts *o, const struct flow *f)
{
	int rule = rss_rule(o, f);

	if (rule >= 0)
		return RSS_BUCKETS + (unsigned)rule;
	return (o->hash == RSS_TOEPLITZ ? flow_toeplitz(f, o->tuple, r->data->key) : flow_jhash(f, o->tuple, seed_of(r))) %
	       RSS_BUCKETS;
}

unsigned rss_tree_entry(const struct rss *r, const struct rss_opts *o, const struct flow *f)
{
	int rule = rss_rule(o, f);

	return rule >= 0 ? RSS_BUCKETS + (unsigned)rule : flow_jhash_numbers(f, o->tuple, seed_of(r)) % RSS_BUCKETS;
}
