/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin.c - a fast HTTP/1.1 origin that says in every byte which request it answers
 *
 *	origin [PORT]          listens on 127.0.0.1, prints "PORT\n", serves until SIGTERM
 *
 * The answer's body says the request's X-Load-Id in every byte (token.h), so that an answer to somebody else's
 * request, or a piece of one, is seen (load.c looks). In the path or query `d=MS` delays the answer and `n=BYTES`
 * sets its length (default one token, 20 bytes). A request may have a body with a Content-Length, which must say
 * the same id. A request with Upgrade gets 101, and from then on every byte back.
 * On SIGTERM it prints one line: {"connections":N,"requests":N,"cut":N,"wrong":N}, cut: clients that left in between,
 * wrong: request bodies with bytes of somebody else's.
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
#include "token.h"

#define HEAD_MAX 16384

enum phase {
	HEAD,      /* of a request, incomplete */
	BODY,      /* of that request */
	DELAYED,   /* until `due` */
	ANSWERING, /* what comes meanwhile is read later */
	ECHO       /* a tunnel; `in` is what is not yet sent back */
};

struct conn {
	struct due due; /* first: a due item is its connection */
	int fd;
	enum phase phase;
	unsigned watching; /* epoll events */
	bool close, bodyless, upgrade, is_wrong;
	char token[TOKEN + 1];
	unsigned long delay;
	size_t n_in;
	uint64_t body_in, body_left;
	size_t head_out, body, sent; /* answer: head and body length, bytes sent of both */
	char in[HEAD_MAX], out[256];
};

static struct due_heap delays;
static int ep;
static unsigned long n_conns, n_requests, n_cut, n_wrong;
static volatile sig_atomic_t ending;

static void on_term(int signo)
{
	(void)signo;
	ending = 1;
}

static void drop(struct conn *c)
{
	n_cut += c->phase != HEAD && c->phase != ECHO;
	due_del(&delays, &c->due);
	close(c->fd);
	free(c);
}

static void watch(struct conn *c, unsigned events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (c->watching != events)
		epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
	c->watching = events;
}

static void forget(struct conn *c, size_t n)
{
	memmove(c->in, c->in + n, c->n_in - n);
	c->n_in -= n;
}

/* 0 when a field is not there */
static unsigned long number_behind(const char *line, const char *end, const char *key)
{
	const char *p = memmem(line, (size_t)(end - line), key, strlen(key));

	return p ? strtoul(p + strlen(key), NULL, 10) : 0;
}

/* Bytes of the answer from `sent` on. */
static size_t fill(const struct conn *c, char *p, size_t room)
{
	size_t n = 0, at = c->sent, body;

	if (at < c->head_out) {
		n = c->head_out - at < room ? c->head_out - at : room;
		memcpy(p, c->out + at, n);
		at += n;
	}
	body = c->head_out + c->body - at;
	body = body < room - n ? body : room - n;
	token_fill(p + n, body, c->token, at - c->head_out);
	return n + body;
}

/* Each of these is false when the connection is gone. */
static bool parse(struct conn *c);
static bool echo(struct conn *c);

static bool answered(struct conn *c)
{
	if (c->upgrade) {
		c->phase = ECHO;
		return echo(c);
	}
	c->phase = HEAD;
	if (c->close) {
		drop(c);
		return false;
	}
	watch(c, EPOLLIN);
	return parse(c);
}

static bool send_answer(struct conn *c)
{
	static char buf[65536];

	for (;;) {
		size_t n = fill(c, buf, sizeof(buf));
		ssize_t w;

		if (n == 0)
			return answered(c);
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
}

static bool begin_answer(struct conn *c)
{
	static const char switched[] = "HTTP/1.1 101 Switching Protocols\r\n"
				       "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

	c->phase = ANSWERING;
	c->sent = 0;
	if (c->upgrade) {
		memcpy(c->out, switched, sizeof(switched));
		c->head_out = sizeof(switched) - 1;
		c->body = 0;
		return send_answer(c);
	}
	c->head_out = (size_t)snprintf(c->out, sizeof(c->out),
				       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
				       "Content-Length: %zu\r\n%s\r\n",
				       c->body, c->close ? "Connection: close\r\n" : "");
	c->body = c->bodyless ? 0 : c->body;
	return send_answer(c);
}

/* The request's body, as far as it is there; behind it the answer is due. */
static bool take_body(struct conn *c)
{
	size_t n = c->n_in < c->body_left ? c->n_in : (size_t)c->body_left;

	c->is_wrong |= !token_match(c->in, n, c->token, c->body_in - c->body_left);
	c->body_left -= n;
	forget(c, n);
	if (c->body_left)
		return true;
	n_wrong += c->is_wrong;
	if (!c->delay)
		return begin_answer(c);
	c->phase = DELAYED;
	due_set(&delays, &c->due, now_us() + c->delay * 1000);
	return true;
}

/* The head is [0, n) of `in`, and a string. */
static void read_head(struct conn *c)
{
	const char *eol = strstr(c->in, "\r\n"), *end = c->in + strlen(c->in), *id, *length;

	eol = eol ? eol : end;
	c->delay = number_behind(c->in, eol, "d=");
	c->body = number_behind(c->in, eol, "n=");
	c->body = c->body ? c->body : TOKEN;
	c->bodyless = strncmp(c->in, "HEAD ", 5) == 0;
	id = strcasestr(c->in, "\r\nX-Load-Id: ");
	token_set(c->token, id ? strtoull(id + 13, NULL, 16) : 0);
	length = strcasestr(c->in, "\r\nContent-Length: ");
	c->body_in = c->body_left = length ? strtoull(length + 18, NULL, 10) : 0;
	c->is_wrong = false;
	c->upgrade = strcasestr(c->in, "\r\nUpgrade: ") != NULL;
	c->close = strcasestr(c->in, "\r\nConnection: close") != NULL ||
		   strstr(c->in, " HTTP/1.0\r\n") != NULL;
}

static bool parse(struct conn *c)
{
	char *end = memmem(c->in, c->n_in, "\r\n\r\n", 4);

	if (!end) {
		if (c->n_in < HEAD_MAX)
			return true;
		drop(c);
		return false;
	}
	n_requests++;
	*end = '\0';
	read_head(c);
	forget(c, (size_t)(end - c->in) + 4);
	c->phase = BODY;
	return take_body(c);
}

static bool echo(struct conn *c)
{
	ssize_t n = c->n_in ? send(c->fd, c->in, c->n_in, MSG_NOSIGNAL) : 0;

	if (n < 0 && errno != EAGAIN) {
		drop(c);
		return false;
	}
	if (n > 0)
		forget(c, (size_t)n);
	watch(c, c->n_in ? EPOLLOUT : EPOLLIN);
	return true;
}

static void on_event(struct conn *c, unsigned events)
{
	ssize_t n;

	if (c->phase == ANSWERING || (c->phase == ECHO && c->n_in)) {
		if (events & (EPOLLHUP | EPOLLERR))
			drop(c);
		else if (c->phase == ECHO)
			echo(c);
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
	switch (c->phase) {
	case HEAD: parse(c); break;
	case BODY: take_body(c); break;
	case ECHO: echo(c); break;
	case DELAYED:
	case ANSWERING: break; /* pipelined */
	}
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
		c->watching = EPOLLIN;
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
	printf("{\"connections\":%lu,\"requests\":%lu,\"cut\":%lu,\"wrong\":%lu}\n", n_conns,
	       n_requests, n_cut, n_wrong);
	fflush(stdout);
	_exit(0);                /* what is open is not given back one by one */
}
