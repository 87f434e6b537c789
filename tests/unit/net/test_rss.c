/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rss.c - hashes against published vectors, and the program in the kernel: where does a flow go?
 *
 * Where this process may not load programs only the hashes are tested, and that it says so.
 */
#include "config.h"

#include "net/rss.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "net/listener.h"
#include "net/udp.h"

#define SOCKETS 4

static const struct rss_opts dflt = { .hash = RSS_JHASH, .tuple = 4 };

/* Hashes ----------------------------------------------------------------------------------- */

/* The key and the flows that Microsoft publishes to check an implementation of RSS. */
static const uint8_t ms_key[TOEPLITZ_KEY] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
	0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static struct flow flow_of(const char *from, unsigned from_port, const char *to, unsigned to_port)
{
	struct flow f = { .v6 = strchr(from, ':') != NULL, .from_port = htons((uint16_t)from_port),
			  .to_port = htons((uint16_t)to_port) };

	ck_assert_int_eq(inet_pton(f.v6 ? AF_INET6 : AF_INET, from, f.from), 1);
	ck_assert_int_eq(inet_pton(f.v6 ? AF_INET6 : AF_INET, to, f.to), 1);
	return f;
}

START_TEST(test_toeplitz_vectors)
{
	static const struct { const char *from, *to; unsigned from_port, to_port; uint32_t four, two; } rows[] = {
		{ "66.9.149.187", "161.142.100.80", 2794, 1766, 0x51ccc178, 0x323e8fc2 },
		{ "199.92.111.2", "65.69.140.83", 14230, 4739, 0xc626b0ea, 0xd718262a },
		{ "24.19.198.95", "12.22.207.184", 12898, 38024, 0x5c2b394a, 0xd2d0a5de },
		{ "3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x40207d3d, 0x2cc18cd5 },
	};
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct flow f = flow_of(rows[i].from, rows[i].from_port, rows[i].to, rows[i].to_port);

		ck_assert_uint_eq(flow_toeplitz(&f, 4, ms_key), rows[i].four);
		ck_assert_uint_eq(flow_toeplitz(&f, 2, ms_key), rows[i].two);
	}
}
END_TEST

START_TEST(test_tuples)
{
	struct flow a = flow_of("10.0.0.1", 1000, "10.0.0.2", 80), b = flow_of("10.0.0.1", 1001, "10.0.0.2", 80);
	struct flow c = flow_of("10.0.0.1", 1000, "10.0.0.2", 81), d = flow_of("10.0.0.3", 1000, "10.0.0.2", 80);

	ck_assert_uint_ne(flow_jhash(&a, 4, 1), flow_jhash(&b, 4, 1));
	ck_assert_uint_ne(flow_toeplitz(&a, 4, ms_key), flow_toeplitz(&b, 4, ms_key));
	ck_assert_uint_eq(flow_jhash(&a, 3, 1), flow_jhash(&b, 3, 1));
	ck_assert_uint_eq(flow_toeplitz(&a, 3, ms_key), flow_toeplitz(&b, 3, ms_key));
	ck_assert_uint_ne(flow_jhash(&a, 3, 1), flow_jhash(&c, 3, 1));
	ck_assert_uint_ne(flow_toeplitz(&a, 3, ms_key), flow_toeplitz(&c, 3, ms_key));
	ck_assert_uint_eq(flow_jhash(&a, 2, 1), flow_jhash(&c, 2, 1));
	ck_assert_uint_eq(flow_toeplitz(&a, 2, ms_key), flow_toeplitz(&c, 2, ms_key));
	ck_assert_uint_ne(flow_jhash(&a, 2, 1), flow_jhash(&d, 2, 1));
	ck_assert_uint_ne(flow_toeplitz(&a, 2, ms_key), flow_toeplitz(&d, 2, ms_key));
	ck_assert_uint_ne(flow_jhash(&a, 4, 1), flow_jhash(&a, 4, 2));
}
END_TEST

/* A group ---------------------------------------------------------------------------------- */

static int fds[SOCKETS];
static struct addr addr;
static struct rss rss;
static bool classic;    /* without any right: the classic program */

static int attach_to(int fd, const struct rss_opts *o)
{
	return classic ? rss_attach_tree(&rss, fd, o) : rss_attach(&rss, fd, o);
}

/* False: this process may not. */
static bool open_group(bool udp, const char *at)
{
	struct listener_opts o = { .backlog = 256 };
	socklen_t n = sizeof(addr);
	int err = classic ? rss_open_plain(&rss, SOCKETS) : rss_open(&rss, SOCKETS);

	if (err == -EPERM) {
		printf("NOTE no right to load programs: not tested\n");
		return false;
	}
	ck_assert_int_eq(err, 0);
	memset(&addr, 0, sizeof(addr));
	if (strchr(at, ':')) {
		addr.in6.sin6_family = AF_INET6;
		inet_pton(AF_INET6, at, &addr.in6.sin6_addr);
	} else {
		addr.in.sin_family = AF_INET;
		inet_pton(AF_INET, at, &addr.in.sin_addr);
	}
	for (unsigned i = 0; i < SOCKETS; i++) {
		fds[i] = udp ? udp_open(&addr, false, NULL) : listener_open(&addr, &o);
		ck_assert_int_ge(fds[i], 0);
		ck_assert_int_eq(getsockname(fds[i], &addr.sa, &n), 0);
		if (!classic)
			ck_assert_int_eq(rss_put(&rss, i, fds[i]), 0);
	}
	for (unsigned e = 0; e < RSS_ENTRIES; e++)
		rss_set(&rss, e, e % SOCKETS);
	return true;
}

static void close_group(void)
{
	for (unsigned i = 0; i < SOCKETS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	rss_close(&rss);
}

static void all_to(unsigned slot)
{
	for (unsigned e = 0; e < RSS_ENTRIES; e++)
		rss_set(&rss, e, slot);
}

/* One datagram from there; what it looks like in the packet. */
static struct flow send_one(const char *from)
{
	struct addr me, to = addr;
	socklen_t n = sizeof(me);
	struct flow f;
	int fd;

	memset(&me, 0, sizeof(me));
	me.sa.sa_family = strchr(from, ':') ? AF_INET6 : AF_INET;
	ck_assert_int_eq(inet_pton(me.sa.sa_family, from, me.sa.sa_family == AF_INET6 ? (void *)&me.in6.sin6_addr :
				   (void *)&me.in.sin_addr), 1);
	if (me.sa.sa_family != addr.sa.sa_family) {      /* to a socket of both families */
		memset(&to, 0, sizeof(to));
		to.in.sin_family = AF_INET;
		to.in.sin_port = addr.in6.sin6_port;
		to.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else if (me.sa.sa_family == AF_INET6) {
		to.in6.sin6_addr = in6addr_loopback;
	} else {
		to.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	fd = socket(me.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(fd, &me.sa, addr_len(&me)), 0);
	ck_assert_int_eq(getsockname(fd, &me.sa, &n), 0);
	ck_assert_int_eq(sendto(fd, "x", 1, 0, &to.sa, addr_len(&to)), 1);
	close(fd);
	f = (struct flow){ .v6 = me.sa.sa_family == AF_INET6 };
	if (f.v6) {
		memcpy(f.from, &me.in6.sin6_addr, 16);
		memcpy(f.to, &to.in6.sin6_addr, 16);
		f.from_port = me.in6.sin6_port;
		f.to_port = to.in6.sin6_port;
	} else {
		memcpy(f.from, &me.in.sin_addr, 4);
		memcpy(f.to, &to.in.sin_addr, 4);
		f.from_port = me.in.sin_port;
		f.to_port = to.in.sin_port;
	}
	return f;
}

/* Which socket has something; it is taken. */
static unsigned who_got_it(bool udp)
{
	struct pollfd p[SOCKETS];
	unsigned got = SOCKETS;
	char c;

	for (unsigned i = 0; i < SOCKETS; i++)
		p[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
	ck_assert_int_eq(poll(p, SOCKETS, 10000), 1);
	for (unsigned i = 0; i < SOCKETS; i++)
		if (p[i].revents) {
			int fd = udp ? (int)recv(fds[i], &c, 1, 0) : env_accept(fds[i], NULL, NULL);

			ck_assert_int_ge(fd, udp ? 1 : 0);
			if (!udp)
				close(fd);
			got = i;
		}
	return got;
}

/* The program finds what the C of flow_hash.c finds. */
static void check_same(const struct rss_opts *o, const char *from, unsigned times)
{

	for (unsigned i = 0; i < times; i++) {
		uint64_t before[RSS_CELLS];
		struct flow f;
		unsigned entry;

		for (unsigned c = 0; c < RSS_CELLS; c++)
			before[c] = rss_hits(&rss, c);
		f = send_one(from);
		entry = classic ? rss_tree_entry(&rss, o, &f) : rss_entry(&rss, o, &f);
		ck_assert_msg(who_got_it(true) == entry % SOCKETS, "hash %d, %u-tuple, from %s", (int)o->hash, o->tuple,
			      from);
		before[entry] += !classic;       /* that one counts nothing */
		for (unsigned c = 0; c < RSS_CELLS; c++)
			ck_assert_uint_eq(rss_hits(&rss, c), before[c]);
	}
}

START_TEST(test_program_and_c_agree)
{
	static const char *const from4[] = { "127.0.0.1", "127.9.8.7" };

	classic = _i == 1;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		if (!open_group(true, v6 ? "::" : "0.0.0.0"))
			return;
		for (unsigned hash = RSS_JHASH; hash <= RSS_TOEPLITZ; hash++)
			for (unsigned tuple = 2; tuple <= 4; tuple++) {
				struct rss_opts o = { .hash = (enum rss_hash)hash, .tuple = tuple };

				ck_assert_int_eq(attach_to(fds[tuple % SOCKETS], &o), 0);
				if (v6)
					check_same(&o, "::1", 40);
				for (size_t i = 0; i < FL_ARRAY_LEN(from4); i++)
					check_same(&o, from4[i], 40);
			}
		close_group();
	}
}
END_TEST

START_TEST(test_prefixes)
{
	struct cidr rules[RSS_RULES];
	struct rss_opts o = dflt;

	classic = _i == 1;
	if (!open_group(true, "::"))
		return;
	o.rules = rules;
	ck_assert_int_eq(cidr_parse(STR("127.1.2.3"), &rules[o.n_rules++]), 0);
	ck_assert_int_eq(cidr_parse(STR("::1"), &rules[o.n_rules++]), 0);
	ck_assert_int_eq(cidr_parse(STR("127.1.2.0/25"), &rules[o.n_rules++]), 0);
	ck_assert_int_eq(cidr_parse(STR("127.1.0.0/16"), &rules[o.n_rules++]), 0);
	ck_assert_int_eq(attach_to(fds[0], &o), 0);
	check_same(&o, "127.1.2.3", 5);
	check_same(&o, "127.1.2.4", 5);
	check_same(&o, "127.1.2.129", 5);
	check_same(&o, "127.2.2.3", 20);
	check_same(&o, "::1", 5);
	for (unsigned i = 0; i < 4 && !classic; i++)
		ck_assert_uint_eq(rss_hits(&rss, RSS_BUCKETS + i), 5);
	/* as many as there can be, and everybody */
	for (; o.n_rules < RSS_RULES; o.n_rules++)
		ck_assert_int_eq(cidr_parse(o.n_rules % 2 ? STR("fe80:1:2:3:4:5:6:7") : STR("0.0.0.0/0"), &rules[o.n_rules]), 0);
	ck_assert_int_eq(attach_to(fds[0], &o), 0);
	check_same(&o, "127.2.2.3", 5);
	check_same(&o, "::1", 20);
	close_group();
}
END_TEST

/* Ports of the client and our address, also of a hash that leaves the ports out. */
START_TEST(test_four_tuples)
{
	static const char *const prefix[] = { "127.1.0.0/16", "::1", "127.1.0.0/16", "127.1.0.0/16", "::1" };
	static const char *const to[] = { "127.0.0.1", "::1", "127.0.0.2", NULL, "::/1" };
	struct cidr rules[5];
	struct rss_more more[5];

	classic = _i == 1;
	if (!open_group(true, "::"))
		return;
	memset(more, 0, sizeof(more));
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_int_eq(cidr_parse(str_c(prefix[i]), &rules[i]), 0);
		if (to[i])
			ck_assert_int_eq(cidr_parse(str_c(to[i]), &more[i].to), 0);
	}
	for (unsigned tuple = 2; tuple <= 4; tuple++) {
		for (unsigned low = 0; low < 65536; low += 8192) {
			struct rss_opts o = { .hash = (enum rss_hash)(tuple % 2), .tuple = tuple, .rules = rules, .more = more,
					      .n_rules = 5 };

			for (unsigned i = 0; i < 4; i++) {
				more[i].port_lo = (uint16_t)FL_MAX(low, 1u);
				more[i].port_hi = (uint16_t)(low + 16383 > UINT16_MAX ? UINT16_MAX : low + 16383);
			}
			ck_assert_int_eq(attach_to(fds[0], &o), 0);
			check_same(&o, "127.1.2.3", 20);
			check_same(&o, "127.2.2.3", 5);
			check_same(&o, "::1", 20);
		}
	}
	close_group();
}
END_TEST

/* Shares ----------------------------------------------------------------------------------- */

#define FLOWS 10000

static void check_shares(const struct rss_opts *o, bool many_clients)
{
	unsigned got[SOCKETS] = { 0 };

	ck_assert_int_eq(attach_to(fds[0], o), 0);
	for (unsigned i = 0; i < FLOWS; i++) {
		char from[32];

		snprintf(from, sizeof(from), "127.%u.%u.%u", many_clients ? 1 + i / 65536 : 0, many_clients ? i / 256 % 256 : 0,
			 many_clients ? i % 256 : 1);
		(void)send_one(from);
		got[who_got_it(true)]++;
	}
	/* of four even shares; five standard deviations are 2.2 % */
	for (unsigned i = 0; i < SOCKETS; i++) {
		ck_assert_uint_ge(got[i], FLOWS * 22 / 100);
		ck_assert_uint_le(got[i], FLOWS * 28 / 100);
	}
}

START_TEST(test_shares)
{
	classic = _i == 1;
	if (!open_group(true, "127.0.0.1"))
		return;
	for (unsigned hash = RSS_JHASH; hash <= RSS_TOEPLITZ; hash++)
		check_shares(&(struct rss_opts){ .hash = (enum rss_hash)hash, .tuple = 4 }, false);
	close_group();
	ck_assert(open_group(true, "0.0.0.0"));
	check_shares(&(struct rss_opts){ .hash = RSS_JHASH, .tuple = 2 }, true);
	check_shares(&(struct rss_opts){ .hash = RSS_TOEPLITZ, .tuple = 2 }, true);
	close_group();
}
END_TEST

/* The table -------------------------------------------------------------------------------- */

static int connect_one(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, &addr.sa, addr_len(&addr)), 0);
	return fd;
}

START_TEST(test_a_store_is_seen_at_once)
{
	classic = _i == 1;
	for (unsigned udp = 0; udp < 2; udp++) {
		if (!open_group(udp, "127.0.0.1"))
			return;
		ck_assert_int_eq(attach_to(fds[0], &dflt), 0);
		for (unsigned i = 0; i < 300; i++) {
			unsigned to = i * 7 % SOCKETS;

			all_to(to);
			if (classic)     /* a change is another program */
				ck_assert_int_eq(attach_to(fds[i % SOCKETS], &dflt), 0);
			if (udp)
				(void)send_one("127.0.0.1");
			else
				close(connect_one());
			ck_assert_uint_eq(who_got_it(udp), to);
		}
		ck_assert_uint_eq(rss_hits(&rss, RSS_SPARE), 0);
		close_group();
	}
}
END_TEST

START_TEST(test_spare_and_kernel)
{
	unsigned got[SOCKETS] = { 0 };

	if (!open_group(true, "127.0.0.1"))
		return;
	ck_assert_int_eq(rss_attach(&rss, fds[0], &dflt), 0);
	all_to(SOCKETS);                 /* no such slot */
	rss_set_spare(&rss, 2);
	for (unsigned i = 0; i < 50; i++) {
		(void)send_one("127.0.0.1");
		ck_assert_uint_eq(who_got_it(true), 2);
	}
	ck_assert_uint_eq(rss_hits(&rss, RSS_SPARE), 50);
	ck_assert_uint_eq(rss_hits(&rss, RSS_KERNEL), 0);
	rss_set_spare(&rss, SOCKETS);
	for (unsigned i = 0; i < 100; i++) {
		(void)send_one("127.0.0.1");
		got[who_got_it(true)]++;
	}
	ck_assert_uint_eq(rss_hits(&rss, RSS_KERNEL), 100);
	ck_assert_uint_lt(got[0], 100);
	/* one that is closed leaves its slot */
	all_to(1);
	rss_set_spare(&rss, 3);
	close(fds[1]);
	fds[1] = -1;
	(void)send_one("127.0.0.1");
	ck_assert_uint_eq(who_got_it(true), 3);
	close_group();
}
END_TEST

/* What waits in a listener that is shut goes where the table says. */
START_TEST(test_migration)
{
	int fd[20];

	if (!open_group(false, "127.0.0.1"))
		return;
	ck_assert_int_eq(rss_attach(&rss, fds[0], &dflt), 0);
	all_to(1);
	for (unsigned i = 0; i < 20; i++)
		fd[i] = connect_one();
	all_to(3);
	ck_assert_int_eq(shutdown(fds[1], SHUT_RDWR), 0);
	close(fds[1]);
	fds[1] = -1;
	for (unsigned i = 0; i < 20; i++)
		ck_assert_uint_eq(who_got_it(false), 3);
	for (unsigned i = 0; i < 20; i++)
		close(fd[i]);
	close_group();
}
END_TEST

START_TEST(test_maps)
{
	struct rss other, next;
	uint64_t hits;
	unsigned entry;
	struct flow f;

	if (!open_group(true, "127.0.0.1"))
		return;
	ck_assert_int_eq(rss_put(&rss, 1, fds[1]), 0);           /* it is there already */
	ck_assert_int_eq(rss_put(&rss, 2, fds[1]), -EBUSY);
	ck_assert_int_eq(rss_open(&other, SOCKETS), 0);
	ck_assert_int_eq(rss_put(&other, 1, fds[1]), -EBUSY);
	ck_assert_int_eq(rss_attach(&rss, fds[0], &dflt), 0);
	/* another master goes on with them: same key, same table, same counts */
	ck_assert_int_eq(rss_take(&next, SOCKETS + 1, dup(rss.socks_fd), dup(rss.data_fd)), -EINVAL);
	ck_assert_int_lt(rss_take(&next, SOCKETS, dup(rss.socks_fd), dup(rss.socks_fd)), 0);
	ck_assert_int_lt(rss_take(&next, SOCKETS, dup(rss.socks_fd), dup(fds[0])), 0);
	ck_assert_int_eq(rss_take(&next, SOCKETS, dup(rss.socks_fd), dup(rss.data_fd)), 0);
	rss_close(&rss);
	ck_assert_int_eq(rss_put(&next, 1, fds[1]), 0);
	f = send_one("127.0.0.1");
	entry = rss_entry(&next, &dflt, &f);
	ck_assert_uint_eq(who_got_it(true), entry % SOCKETS);
	hits = rss_hits(&next, entry);
	ck_assert_int_eq(rss_attach(&next, fds[0], &dflt), 0);
	rss = next;
	ck_assert_uint_eq(rss_hits(&rss, entry), hits);
	check_same(&dflt, "127.0.0.1", 20);
	rss_close(&other);
	ck_assert_int_eq(rss_attach(&rss, -1, &dflt), -EBADF);
	close_group();
}
END_TEST

/* Rights ----------------------------------------------------------------------------------- */

/* In a child with this capability only, or none (-1): the result of making and attaching it all. */
static int try_with(int cap, const struct rss_opts *o)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct d[2];
		struct rss r;
		int err;

		memset(d, 0, sizeof(d));
		if (cap >= 0)
			d[cap / 32].effective = d[cap / 32].permitted = 1u << cap % 32;
		if (syscall(SYS_capset, &h, d) != 0)
			_exit(100);
		err = rss_open(&r, SOCKETS);
		if (!err)
			err = rss_attach(&r, fds[0], o);
		_exit(-err);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(test_rights)
{
	struct cidr rules[3];
	struct rss_opts o = { .hash = RSS_TOEPLITZ, .tuple = 3, .rules = rules, .n_rules = 3 };

	ck_assert_int_eq(cidr_parse(STR("10.0.0.0/8"), &rules[0]), 0);
	ck_assert_int_eq(cidr_parse(STR("2001:db8::/33"), &rules[1]), 0);
	ck_assert_int_eq(cidr_parse(STR("0.0.0.0/0"), &rules[2]), 0);
	if (!open_group(false, "127.0.0.1"))
		return;
	ck_assert_int_eq(try_with(-1, &dflt), EPERM);
	ck_assert_int_eq(try_with(CAP_BPF, &dflt), 0);
	ck_assert_int_eq(try_with(CAP_BPF, &o), 0);
	close_group();
}
END_TEST

/* The classic program ------------------------------------------------------------------------ */

START_TEST(test_classic_needs_no_right)
{
	pid_t pid;
	int status;

	classic = true;
	ck_assert(open_group(true, "127.0.0.1"));
	pid = fork();
	if (pid == 0) {
		struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct d[2];

		memset(d, 0, sizeof(d));
		if (syscall(SYS_capset, &h, d) != 0)
			_exit(100);
		/* memory of its own: that of the master is not for children */
		if (rss_open_plain(&rss, SOCKETS) != 0)
			_exit(101);
		_exit(-attach_to(fds[0], &dflt));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	close_group();
}
END_TEST

/* The largest there are fit: kernels take 4096 instructions of a classic one. */
START_TEST(test_longest_programs)
{
	static struct bpf_insn insn[RSS_PROGRAM];
	static struct sock_filter prog[RSS_TREE];
	struct cidr rules[RSS_RULES];
	struct rss_more more[RSS_RULES];
	struct rss_opts o = { .tuple = 3, .rules = rules, .more = more };

	ck_assert_int_eq(rss_open_plain(&rss, RSS_BUCKETS), 0);
	for (; o.n_rules < RSS_RULES; o.n_rules++) {
		ck_assert_int_eq(cidr_parse(STR("fe80:1:2:3:4:5:6:7"), &rules[o.n_rules]), 0);
		more[o.n_rules] = (struct rss_more){ .port_lo = 1, .port_hi = 2, .to = rules[o.n_rules] };
	}
	for (unsigned e = 0; e < RSS_ENTRIES; e++)
		rss_set(&rss, e, e * 37 % RSS_BUCKETS);  /* no runs */
	ck_assert_uint_lt(rss_tree(&rss, &o, prog), RSS_TREE * 3 / 4);
	o.hash = RSS_TOEPLITZ;
	o.tuple = 4;
	ck_assert_uint_lt(rss_program(&rss, &o, insn), RSS_PROGRAM);
	rss_close(&rss);
}
END_TEST

START_TEST(test_classic_is_handed_on)
{
	struct rss next;
	struct flow f;
	unsigned entry;

	classic = true;
	ck_assert(open_group(true, "127.0.0.1"));
	ck_assert_int_eq(rss_take(&next, SOCKETS + 1, -1, dup(rss.data_fd)), -EINVAL);
	ck_assert_int_eq(rss_take(&next, SOCKETS, -1, dup(rss.data_fd)), 0);
	f = send_one("127.0.0.1");
	entry = rss_tree_entry(&rss, &dflt, &f);
	ck_assert_uint_eq(rss_tree_entry(&next, &dflt, &f), entry);
	rss_close(&rss);
	rss = next;
	close_group();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rss");
	TCase *t = tcase_create("rss");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_toeplitz_vectors);
	tcase_add_test(t, test_tuples);
	for (int i = 0; i < 2; i++) {
		tcase_add_loop_test(t, test_program_and_c_agree, i, i + 1);
		tcase_add_loop_test(t, test_prefixes, i, i + 1);
		tcase_add_loop_test(t, test_four_tuples, i, i + 1);
		tcase_add_loop_test(t, test_shares, i, i + 1);
		tcase_add_loop_test(t, test_a_store_is_seen_at_once, i, i + 1);
	}
	tcase_add_test(t, test_classic_needs_no_right);
	tcase_add_test(t, test_longest_programs);
	tcase_add_test(t, test_classic_is_handed_on);
	tcase_add_test(t, test_spare_and_kernel);
	tcase_add_test(t, test_migration);
	tcase_add_test(t, test_maps);
	tcase_add_test(t, test_rights);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
