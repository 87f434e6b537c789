/* SPDX-License-Identifier: Apache-2.0 */
/*
 * datagrams.c - load and origin for UDP, where every byte says whose it is (token.h)
 *
 *	datagrams echo [PORT]      on 127.0.0.1; prints "PORT\n", sends every datagram back until SIGTERM
 *	datagrams load --to ADDR:PORT [--seconds S] [--keep N] [--think MS] [--per-connection N]
 *
 * load: N flows, each a socket that sends a datagram of 20 to 1200 bytes, waits for it to come back, thinks, and goes on;
 * after so many datagrams, on average, a flow gets a new socket. One thread, one epoll. It ends after S seconds or on
 * SIGTERM and prints a JSON object with the fields of load.c that make sense here. A datagram that did not come back
 * within a second is lost, which UDP allows. wrong_id: a datagram that this flow did not send.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "due.h"
#include "token.h"

#define SIZE_MAX_BYTES 1200
#define PATIENCE_US 1000000

struct flow {
	struct due due; /* first: a due item is its flow */
	int fd;
	bool waiting;
	uint64_t number, first_id, id; /* the ids of one socket: first_id ... id */
	uint64_t left;
	size_t size;
};

static struct {
	struct sockaddr_in to;
	double seconds;
	unsigned keep;
	uint64_t think_us, per_connection;
} want = { .seconds = 1e9, .keep = 16, .think_us = 10000 };

static struct due_heap dues;
static int ep;
static uint64_t rng, n_sent, n_ok, n_lost, n_wrong, n_late, n_sockets;
static volatile sig_atomic_t ending;

static uint64_t random_below(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return n ? rng % n : 0;
}

static void on_term(int signo)
{
	(void)signo;
	ending = 1;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Flows ----------------------------------------------------------------------------------- */

static void flow_open(struct flow *f)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = f };

	f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (f->fd < 0 || connect(f->fd, (struct sockaddr *)&want.to, sizeof(want.to)) != 0)
		fail("datagrams");
	epoll_ctl(ep, EPOLL_CTL_ADD, f->fd, &e);
	f->first_id = f->id + 1;
	f->left = want.per_connection
			  ? want.per_connection / 2 + random_below(want.per_connection) + 1
			  : UINT64_MAX;
	n_sockets++;
}

static void flow_think(struct flow *f)
{
	f->waiting = false;
	due_set(&dues, &f->due, now_us() + want.think_us / 2 + random_below(want.think_us + 1));
}

static void flow_send(struct flow *f)
{
	char token[TOKEN + 1], datagram[SIZE_MAX_BYTES];

	if (f->left-- == 0) {
		close(f->fd);
		flow_open(f);
	}
	token_set(token, f->number << 40 | ++f->id);
	f->size = TOKEN + random_below(SIZE_MAX_BYTES - TOKEN + 1);
	token_fill(datagram, f->size, token, 0);
	n_sent++;
	f->waiting = true;
	due_set(&dues, &f->due, now_us() + PATIENCE_US);
	(void)!send(f->fd, datagram, f->size, MSG_NOSIGNAL); /* refused or full: it will be lost */
}

/* A datagram of this socket that had been given up, or was sent twice on its way. */
static bool is_late(const struct flow *f, const char *datagram, size_t n)
{
	char token[TOKEN + 1];
	uint64_t said = n >= TOKEN ? strtoull(datagram + 3, NULL, 16) : 0,
		 id = said & ((1ull << 40) - 1);

	token_set(token, said);
	return said >> 40 == f->number && id >= f->first_id && id <= f->id &&
	       token_match(datagram, n, token, 0);
}

static void flow_event(struct flow *f)
{
	char token[TOKEN + 1], datagram[SIZE_MAX_BYTES + 1];
	ssize_t n;

	token_set(token, f->number << 40 | f->id);
	while ((n = recv(f->fd, datagram, SIZE_MAX_BYTES, 0)) >= 0) {
		datagram[n] = '\0';
		if (f->waiting && (size_t)n == f->size &&
		    token_match(datagram, f->size, token, 0)) {
			n_ok++;
			flow_think(f);
		} else if (is_late(f, datagram, (size_t)n)) {
			n_late++;
		} else {
			n_wrong++;
		}
	}
}

static void flow_due(struct flow *f)
{
	n_lost += f->waiting;
	flow_send(f);
}

static void load(void)
{
	struct flow *flow = calloc(want.keep, sizeof(*flow));
	struct epoll_event ev[256];
	uint64_t begun = now_us(), end = begun + (uint64_t)(want.seconds * 1e6);
	struct due *d;

	if (!flow)
		abort();
	for (unsigned i = 0; i < want.keep; i++) {
		flow[i].number = i + 1;
		flow_open(&flow[i]);
		flow_think(&flow[i]);
	}
	while (!ending && now_us() < end) {
		int n = epoll_wait(ep, ev, 256, due_wait_ms(&dues, now_us(), 100));

		for (int i = 0; i < n; i++)
			flow_event(ev[i].data.ptr);
		while ((d = due_pop(&dues, now_us())))
			flow_due((struct flow *)d);
	}
	printf("{\"seconds\":%.3f,\"requests\":%llu,\"ok\":%llu,\"failed\":%llu,\"lost\":%llu,\"late\":%llu,"
	       "\"connects\":%llu,\"new\":{\"ok\":0,\"wrong_id\":0},\"keep\":{\"ok\":%llu,\"wrong_id\":%llu},"
	       "\"failures\":[]}\n",
	       (double)(now_us() - begun) / 1e6, (unsigned long long)n_sent,
	       (unsigned long long)n_ok, (unsigned long long)n_wrong, (unsigned long long)n_lost,
	       (unsigned long long)n_late, (unsigned long long)n_sockets, (unsigned long long)n_ok,
	       (unsigned long long)n_wrong);
}

/* The origin ------------------------------------------------------------------------------ */

static void echo(unsigned port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char datagram[65536];
	unsigned long n_back = 0;

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) != 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
		fail("datagrams");
	printf("%u\n", ntohs(sa.sin_port));
	fflush(stdout);
	while (!ending) {
		ssize_t n;

		len = sizeof(sa);
		n = recvfrom(fd, datagram, sizeof(datagram), 0, (struct sockaddr *)&sa, &len);
		if (n >= 0)
			n_back += sendto(fd, datagram, (size_t)n, MSG_NOSIGNAL,
					 (struct sockaddr *)&sa, len) == n;
	}
	printf("{\"datagrams\":%lu}\n", n_back);
}

/* Options --------------------------------------------------------------------------------- */

static void usage(void)
{
	fprintf(stderr,
		"usage: datagrams echo [PORT]\n"
		"       datagrams load --to ADDR:PORT [--seconds S] [--keep N] [--think MS] "
		"[--per-connection N]\n");
	exit(2);
}

static void set_target(char *text)
{
	char *colon = strrchr(text, ':');

	if (colon)
		*colon = '\0';
	want.to.sin_family = AF_INET;
	if (!colon || inet_pton(AF_INET, text, &want.to.sin_addr) != 1)
		usage();
	want.to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
}

static void options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "to", 1, NULL, 't' },
		{ "seconds", 1, NULL, 's' },
		{ "keep", 1, NULL, 'k' },
		{ "think", 1, NULL, 'i' },
		{ "per-connection", 1, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (o) {
		case 't': set_target(optarg); break;
		case 's': want.seconds = strtod(optarg, NULL); break;
		case 'k': want.keep = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'i': want.think_us = (uint64_t)(strtod(optarg, NULL) * 1000); break;
		case 'c': want.per_connection = strtoull(optarg, NULL, 10); break;
		default: usage();
		}
	}
	if (!want.to.sin_port || optind != argc || !want.keep)
		usage();
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	if (argc >= 2 && strcmp(argv[1], "echo") == 0) {
		echo(argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0);
		return 0;
	}
	if (argc < 2 || strcmp(argv[1], "load") != 0)
		usage();
	options(argc - 1, argv + 1);
	rng = now_us() | 1;
	ep = epoll_create1(EPOLL_CLOEXEC);
	load();
	return 0;
}
