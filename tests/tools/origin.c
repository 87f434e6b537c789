/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin.c - a fast HTTP/1.1 origin that says in every byte which request it answers
 *
 *	origin [PORT]          listens on 127.0.0.1, prints "PORT\n", serves until SIGTERM
 *
 * The body is "id=NNNNNNNNNNNNNNNN;" again and again, NNN being the request's X-Load-Id, so that an answer to
 * somebody else's request, or a piece of one, is seen (load.c looks). In the path or query `d=MS` delays the
 * answer and `n=BYTES` sets its length (default one token, 20 bytes). Requests have no body here.
 * On SIGTERM it prints one line: {"connections":N,"requests":N,"cut":N}, cut: clients that left in between.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "due.h"

#define HEAD_MAX 16384
#define TOKEN 20

struct conn {
	struct due due; /* first: a due item is its connection */
	int fd;
	size_t n_in, head; /* bytes in `in`; length of the head being answered */
	bool waiting, close, bodyless;
	char token[TOKEN + 1];
	size_t head_out, body, sent; /* answer: head and body length, bytes sent of both */
	size_t body_asked;
	char in[HEAD_MAX], out[256];
};

static struct due_heap delays;
static int ep;
static unsigned long n_conns, n_requests, n_cut;
static volatile sig_atomic_t ending;

static void on_term(int signo)
{
	(void)signo;
	ending = 1;
}

static void drop(struct conn *c)
{
	n_cut += c->head != 0;
	due_del(&delays, &c->due);
	close(c->fd);
	free(c);
}

static void watch(struct conn *c, unsigned events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

static unsigned long number_behind(const char *line, const char *end, const char *key)
{
	const char *p = memmem(line, (size_t)(end - line), key, strlen(key));

	return p ? strtoul(p + strlen(key), NULL, 10) : 0;
}

/* Bytes of the answer from `at` on. */
static size_t fill(const struct conn *c, size_t at, char *p, size_t room)
{
	size_t n = 0;

	for (; at < c->head_out && n < room; at++)
		p[n++] = c->out[at];
	for (; at < c->head_out + c->body && n < room; at++)
		p[n++] = c->token[(at - c->head_out) % TOKEN];
	return n;
}

static bool parse(struct conn *c);

/* False: the connection is gone. */
static bool send_answer(struct conn *c)
{
	static char buf[65536];

	for (;;) {
		size_t n = fill(c, c->sent, buf, sizeof(buf));
		ssize_t w;

		if (n == 0)
			break;
		w = send(c->fd, buf, n, MSG_NOSIGNAL);
		if (w < 0 && errno == EAGAIN) {
			watch(c, EPOLLOUT);
			return true;
		}
		if (w < 0) {
			drop(c);
			return false;
		}
		c->sent += (size_t)w;
	}
	memmove(c->in, c->in + c->head, c->n_in - c->head);
	c->n_in -= c->head;
	c->head = 0;
	if (c->close) {
		drop(c);
		return false;
	}
	watch(c, EPOLLIN);
	return parse(c);
}

static bool begin_answer(struct conn *c)
{
	c->waiting = false;
	c->sent = 0;
	c->body = c->bodyless ? 0 : c->body_asked;
	c->head_out = (size_t)snprintf(c->out, sizeof(c->out),
				       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
				       "Content-Length: %zu\r\n%s\r\n",
				       c->body_asked, c->close ? "Connection: close\r\n" : "");
	return send_answer(c);
}

static bool parse(struct conn *c)
{
	char *end = memmem(c->in, c->n_in, "\r\n\r\n", 4), *eol, *id;
	unsigned long delay;

	if (!end) {
		if (c->n_in < HEAD_MAX)
			return true;
		drop(c);
		return false;
	}
	n_requests++;
	c->head = (size_t)(end - c->in) + 4;
	*end = '\0';
	eol = strstr(c->in, "\r\n");
	eol = eol ? eol : end;
	delay = number_behind(c->in, eol, "d=");
	c->body_asked = number_behind(c->in, eol, "n=");
	c->body_asked = c->body_asked ? c->body_asked : TOKEN;
	c->bodyless = strncmp(c->in, "HEAD ", 5) == 0;
	id = strcasestr(c->in, "\r\nX-Load-Id: ");
	snprintf(c->token, sizeof(c->token), "id=%016llx;",
		 id ? strtoull(id + 13, NULL, 16) : 0ull);
	c->close = strcasestr(c->in, "\r\nConnection: close") != NULL ||
		   strstr(c->in, " HTTP/1.0\r\n") != NULL;
	if (!delay)
		return begin_answer(c);
	c->waiting = true;
	due_set(&delays, &c->due, now_us() + delay * 1000);
	return true;
}

static void on_event(struct conn *c, unsigned events)
{
	ssize_t n;

	if (c->head && !c->waiting) {
		if (events & (EPOLLHUP | EPOLLERR))
			drop(c);
		else
			send_answer(c);
		return;
	}
	n = recv(c->fd, c->in + c->n_in, HEAD_MAX - c->n_in, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		drop(c);
		return;
	}
	c->n_in += (size_t)n;
	if (!c->waiting)
		parse(c);
}

static void on_accept(int lfd)
{
	int fd, one = 1;

	while ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

		if (!c)
			abort();
		n_conns++;
		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	}
}

static int listen_on(unsigned port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, n) != 0 || listen(fd, 4096) != 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &n) != 0) {
		perror("origin");
		exit(1);
	}
	printf("%u\n", ntohs(sa.sin_port));
	fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	struct epoll_event ev[256];
	struct sigaction sa = { .sa_handler = on_term };
	int lfd = listen_on(argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0);
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };

	if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	ep = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &e);
	while (!ending) {
		int n = epoll_wait(ep, ev, 256, due_wait_ms(&delays, now_us(), 1000));
		struct due *d;

		/* one event a connection: what an event frees has no other one in this batch */
		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr)
				on_event(ev[i].data.ptr, ev[i].events);
			else
				on_accept(lfd);
		}
		while ((d = due_pop(&delays, now_us())))
			begin_answer((struct conn *)d);
	}
	printf("{\"connections\":%lu,\"requests\":%lu,\"cut\":%lu}\n", n_conns, n_requests, n_cut);
	fflush(stdout);
	_exit(0);                /* what is open is not given back one by one */
}
