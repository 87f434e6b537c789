/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - a client that notices everything: each request ends in exactly one class
 *
 *	load --to ADDR:PORT [--seconds S] [--new RATE] [--keep N --think MS] [--tls] [--path PATH] [--host NAME]
 *	     [--timeout MS] [--max-open N] [--seed N] [--post BYTES] [--tunnel] [--per-connection N] [--no-resume]
 *
 * One thread, one epoll. --new: RATE new connections a second with one request each (open loop: a slow server does
 * not slow it down). --keep: N connections that send, read, think (MS on average), and send again. Both at once is a
 * mix. --post: requests have a body of that size, with the id in every byte. --tunnel: the first request of a kept
 * connection asks for an upgrade, after that each "request" is a message (--post BYTES, 20 unless given) that comes
 * back. --per-connection: a kept connection is closed and replaced after N requests, on average. It ends after S seconds or on SIGTERM: begins nothing more, finishes what is under way, prints one JSON object.
 *
 * Classes: ok; refused (connect); unconnected (other connect failures); tls (handshake failed); rst, eof (before any
 * byte of the answer); cut (inside it); wrong_id (a byte of somebody else's answer: origin.c puts the
 * request's id in every byte); bad_status; malformed; timeout. A request that went out on a kept connection and got
 * no answer is failed, however idle the connection was, unless the server had said Connection: close before.
 * A kept connection that ends while it thinks is no failure: idle_closed.
 *
 * TLS offers a ticket on every new connection while it has one (not with --no-resume), and counts what became of it. Failures carry the time of the
 * request and of the failure on CLOCK_MONOTONIC, so that a test can put them beside its kills.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "due.h"
#include "token.h"

#define HEAD_MAX 8192
#define FAIL_MAX 20000
#define GAPS 32
#define SOURCES 64 /* 127.0.0.2 ...: more ports than one address has */
#define TICKETS 1024

enum class {
	OK,
	REFUSED,
	UNCONNECTED,
	TLS,
	RST,
	END,
	CUT,
	WRONG_ID,
	BAD_STATUS,
	MALFORMED,
	TIMEOUT,
	CLASSES
};
static const char *const class_name[CLASSES] = { "ok",        "refused",  "unconnected",
						 "tls",       "rst",      "eof",
						 "cut",       "wrong_id", "bad_status",
						 "malformed", "timeout" };
enum phase { CLOSED, CONNECTING, SHAKING, SENDING, READING, THINKING };

struct client {
	struct due due; /* first: a due item is its client */
	int fd;
	enum phase phase;
	bool keep, reused, told_close, in_body, is_tunnel;
	unsigned watching; /* epoll events */
	uint64_t left;     /* requests before the connection is closed; 0: no limit */
	SSL *ssl;
	uint64_t begun_us;
	char token[TOKEN + 1];
	char out[512];
	size_t n_out, n_in;                 /* head bytes */
	uint64_t sent, body_out, got, body; /* sent: head and body_out; got: bytes of body */
	unsigned status;
	char in[HEAD_MAX];
};

struct failure {
	enum class class;
	bool keep, reused;
	int err;
	unsigned status;
	uint64_t begun_us, at_us;
};

static struct {
	struct sockaddr_in to;
	double seconds, rate;
	unsigned keep, max_open;
	uint64_t think_us, timeout_us, post, per_connection;
	const char *path, *host;
	bool tls, tunnel, no_resume;
} want = { .seconds = 1e9,
	   .think_us = 100000,
	   .timeout_us = 10000000,
	   .max_open = 8000,
	   .path = "/",
	   .host = "test" };

static struct due_heap dues;
static int ep;
static SSL_CTX *ctx;
static SSL_SESSION *ticket[TICKETS]; /* each is used once, as RFC 8446 wishes */
static unsigned n_tickets;
static uint64_t next_id, rng, start_us, end_us, last_ok_us;
static unsigned open_now, open_new;
static struct client **keeper; /* [want.keep] */
static bool stopping;
static volatile sig_atomic_t signalled;

static uint64_t n_class[2][CLASSES], n_idle_closed, n_told_close, n_connects, n_skipped;
static uint64_t n_tls_full, n_tls_resumed, n_tls_refused;
static struct failure *failure;
static size_t n_failures;
static uint64_t latency[64 * 32], latency_max;
static struct {
	uint64_t us, at_us;
} gap[GAPS]; /* longest first */

/* Figures --------------------------------------------------------------------------------- */

static uint64_t random_below(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return n ? rng % n : 0;
}

/* 32 steps per power of two: 3 % apart */
static void latency_add(uint64_t us)
{
	unsigned e = us < 32 ? 0 : 63 - (unsigned)__builtin_clzll(us) - 4;

	latency[e ? e * 32 + ((us >> (e - 1)) & 31) : us]++;
	latency_max = us > latency_max ? us : latency_max;
}

static uint64_t latency_at(double part)
{
	uint64_t all = 0, sum = 0;

	for (size_t i = 0; i < 64 * 32; i++)
		all += latency[i];
	for (size_t i = 0; i < 64 * 32; i++) {
		sum += latency[i];
		if (sum && (double)sum >= part * (double)all)
			return i < 32 ? i : (32 + i % 32) << (i / 32 - 1);
	}
	return 0;
}

static void gap_add(uint64_t us, uint64_t at_us)
{
	size_t i = GAPS - 1;

	if (us <= gap[i].us)
		return;
	for (; i > 0 && gap[i - 1].us < us; i--)
		gap[i] = gap[i - 1];
	gap[i].us = us;
	gap[i].at_us = at_us;
}

static void count(struct client *c, enum class class, int err)
{
	uint64_t now = now_us();

	n_class[c->keep][class]++;
	if (class == OK) {
		latency_add(now - c->begun_us);
		if (last_ok_us && !stopping)
			gap_add(now - last_ok_us, last_ok_us);
		last_ok_us = now;
		return;
	}
	if (n_failures < FAIL_MAX)
		failure[n_failures++] = (struct failure){ class,     c->keep,     c->reused, err,
							  c->status, c->begun_us, now };
}

/* A client's life ------------------------------------------------------------------------- */

static void client_close(struct client *c)
{
	due_del(&dues, &c->due);
	if (c->ssl) {
		SSL_set_quiet_shutdown(c->ssl, 1);
		SSL_shutdown(c->ssl); /* or the session is taken for broken */
		SSL_free(c->ssl);
		ERR_clear_error();
	}
	c->ssl = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	if (c->phase != CLOSED) {
		open_now--;
		open_new -= !c->keep;
	}
	c->phase = CLOSED;
}

static void client_think(struct client *c, uint64_t us)
{
	if (stopping)
		client_close(c);
	else
		due_set(&dues, &c->due, now_us() + us / 2 + random_below(us + 1));
}

/* The request is over, and with it the connection. */
static void client_fail(struct client *c, enum class class, int err)
{
	count(c, class, err);
	client_close(c);
	if (c->keep)
		client_think(c, want.think_us);
	else
		free(c);
}

static void client_done(struct client *c)
{
	count(c, OK, 0);
	if (!c->keep) {
		client_close(c);
		free(c);
		return;
	}
	if (c->told_close || stopping || (c->left && --c->left == 0)) {
		n_told_close += c->told_close;
		client_close(c);
	} else {
		c->phase = THINKING;
	}
	client_think(c, want.think_us);
}

static void watch(struct client *c, unsigned events, int op)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (op == EPOLL_CTL_ADD || c->watching != events)
		epoll_ctl(ep, op, c->fd, &e);
	c->watching = events;
}

/* Bytes, 0 at the end of the stream, -EAGAIN, or another error below zero. */
static ssize_t io_result(struct client *c, int n)
{
	int e = SSL_get_error(c->ssl, n);

	if (n > 0)
		return n;
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	if (e == SSL_ERROR_ZERO_RETURN || (e == SSL_ERROR_SYSCALL && !errno))
		return 0;
	return e == SSL_ERROR_SYSCALL ? -errno : -EPROTO;
}

static ssize_t io_read(struct client *c, void *p, size_t n)
{
	ssize_t r;

	errno = 0;
	if (c->ssl)
		return io_result(c, SSL_read(c->ssl, p, (int)n));
	r = recv(c->fd, p, n, 0);
	return r < 0 ? -errno : r;
}

/* As io_read(). */
static ssize_t io_write(struct client *c, const void *p, size_t n)
{
	ssize_t r;

	errno = 0;
	if (c->ssl)
		return io_result(c, SSL_write(c->ssl, p, (int)n));
	r = send(c->fd, p, n, MSG_NOSIGNAL);
	return r < 0 ? -errno : r;
}

/* Once, from the head or from the body behind it. */
static ssize_t send_piece(struct client *c)
{
	static char piece[65536];
	size_t n;

	if (c->sent < c->n_out)
		return io_write(c, c->out + c->sent, c->n_out - (size_t)c->sent);
	n = c->n_out + c->body_out - c->sent < sizeof(piece)
		    ? (size_t)(c->n_out + c->body_out - c->sent)
		    : sizeof(piece);
	token_fill(piece, n, c->token, c->sent - c->n_out);
	return io_write(c, piece, n);
}

static void client_send(struct client *c)
{
	while (c->sent < c->n_out + c->body_out) {
		ssize_t n = send_piece(c);

		if (n == -EAGAIN) {
			watch(c, EPOLLOUT, EPOLL_CTL_MOD);
			return;
		}
		if (n <= 0) {
			client_fail(c, n == 0 ? END : RST, (int)-n);
			return;
		}
		c->sent += (uint64_t)n;
	}
	c->phase = READING;
	watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

static size_t request_head(struct client *c, uint64_t id)
{
	size_t room = sizeof(c->out);
	int n = snprintf(c->out, room, "%s %s HTTP/1.1\r\nHost: %s\r\nX-Load-Id: %016llx\r\n",
			 c->body_out ? "POST" : "GET", want.path, want.host,
			 (unsigned long long)id);

	if (want.tunnel)
		n += snprintf(c->out + n, room - (size_t)n,
			      "Connection: Upgrade\r\nUpgrade: websocket\r\n");
	else if (!c->keep)
		n += snprintf(c->out + n, room - (size_t)n, "Connection: close\r\n");
	if (c->body_out)
		n += snprintf(c->out + n, room - (size_t)n, "Content-Length: %llu\r\n",
			      (unsigned long long)c->body_out);
	n += snprintf(c->out + n, room - (size_t)n, "\r\n");
	if ((size_t)n >= room)
		abort(); /* want.path or want.host is too long */
	return (size_t)n;
}

static void client_request(struct client *c)
{
	uint64_t id = ++next_id;

	token_set(c->token, id);
	if (c->is_tunnel) {
		c->n_out = 0;
		c->body = c->body_out = want.post ? want.post : TOKEN;
	} else {
		c->body_out = want.tunnel ? 0 : want.post;
		c->n_out = request_head(c, id);
	}
	c->sent = c->n_in = c->got = 0;
	c->in_body = c->is_tunnel;
	c->status = 0;
	c->phase = SENDING;
	client_send(c);
}

static void client_shake(struct client *c)
{
	int rc;

	errno = 0;
	rc = SSL_connect(c->ssl);
	if (rc == 1) {
		if (SSL_session_reused(c->ssl))
			n_tls_resumed++;
		else if (SSL_get_app_data(c->ssl))
			n_tls_refused++;
		else
			n_tls_full++;
		client_request(c);
		return;
	}
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ: watch(c, EPOLLIN, EPOLL_CTL_MOD); break;
	case SSL_ERROR_WANT_WRITE: watch(c, EPOLLOUT, EPOLL_CTL_MOD); break;
	default: client_fail(c, TLS, errno); break;
	}
}

static void client_connected(struct client *c)
{
	int err = 0;
	socklen_t n = sizeof(err);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n);
	if (err) {
		client_fail(c, err == ECONNREFUSED ? REFUSED : UNCONNECTED, err);
		return;
	}
	if (!want.tls) {
		client_request(c);
		return;
	}
	c->ssl = SSL_new(ctx);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_tlsext_host_name(c->ssl, want.host);
	if (n_tickets && !want.no_resume) {
		SSL_SESSION *t = ticket[--n_tickets];

		SSL_set_session(c->ssl, t);
		SSL_SESSION_free(t);
		SSL_set_app_data(c->ssl, c); /* offered one */
	}
	c->phase = SHAKING;
	client_shake(c);
}

static void client_connect(struct client *c)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	int one = 1;

	n_connects++;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->phase = CONNECTING;
	c->reused = c->told_close = c->is_tunnel = false;
	c->left = want.per_connection
			  ? want.per_connection / 2 + random_below(want.per_connection) + 1
			  : 0;
	open_now++;
	open_new += !c->keep;
	if (c->fd < 0) {
		client_fail(c, UNCONNECTED, errno);
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((ntohl(want.to.sin_addr.s_addr) >> 24) == 127) {
		from.sin_addr.s_addr =
			htonl(INADDR_LOOPBACK + 1 + (uint32_t)(n_connects % SOURCES));
		setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		(void)bind(c->fd, (struct sockaddr *)&from, sizeof(from));
	}
	if (connect(c->fd, (struct sockaddr *)&want.to, sizeof(want.to)) != 0 &&
	    errno != EINPROGRESS) {
		client_fail(c, errno == ECONNREFUSED ? REFUSED : UNCONNECTED, errno);
		return;
	}
	watch(c, EPOLLOUT, EPOLL_CTL_ADD);
}

/* What a connection says that thinks: -EAGAIN all is well (with TLS there may have been a ticket), 0 closed,
 * a byte that nobody asked for. */
static ssize_t idle_says(struct client *c)
{
	char byte;

	return io_read(c, &byte, 1);
}

static void client_begin(struct client *c)
{
	c->begun_us = now_us();
	/* as every client does before it uses a connection again: look whether it is still there */
	if (c->phase == THINKING && idle_says(c) != -EAGAIN) {
		n_idle_closed++;
		client_close(c);
	}
	due_set(&dues, &c->due, c->begun_us + want.timeout_us);
	if (c->phase == THINKING) {
		c->reused = true;
		client_request(c);
	} else {
		client_connect(c);
	}
}

/* The answer ------------------------------------------------------------------------------ */

/* Looks at body bytes that came; false: not ours. */
static bool body_is_ours(struct client *c, const char *p, size_t n)
{
	bool ours = token_match(p, n, c->token, c->got);

	c->got += n;
	return ours && c->got <= c->body;
}

/* The head is whole: [0, n) of in. False: the client has failed. */
static bool client_head(struct client *c, size_t n)
{
	const char *length;

	c->in[n - 1] = '\0';
	if (sscanf(c->in, "HTTP/1.1 %3u ", &c->status) != 1 || strlen(c->in) != n - 1) {
		client_fail(c, MALFORMED, 0);
		return false;
	}
	c->told_close = strcasestr(c->in, "\nConnection: close") != NULL;
	if (want.tunnel && c->status == 101) {
		c->is_tunnel = c->in_body = true;
		c->body = 0;
		return true;
	}
	length = strcasestr(c->in, "\nContent-Length:");
	if (c->status != 200 || !length) {
		client_fail(c, c->status != 200 ? BAD_STATUS : MALFORMED, 0);
		return false;
	}
	c->body = strtoull(length + 16, NULL, 10);
	c->in_body = true;
	return true;
}

static void client_ended(struct client *c, ssize_t n)
{
	if (c->n_in || c->in_body)
		client_fail(c, CUT, (int)-n);
	else if (n == -EPROTO)
		client_fail(c, TLS, EPROTO);
	else
		client_fail(c, n == 0 ? END : RST, (int)-n);
}

/* One piece of a body, from the buffer's start; false: over, one way or the other. */
static bool client_piece(struct client *c, const char *p, size_t n)
{
	if (!body_is_ours(c, p, n)) {
		client_fail(c, WRONG_ID, 0);
		return false;
	}
	if (c->got < c->body)
		return true;
	client_done(c);
	return false;
}

static void client_read(struct client *c)
{
	static char piece[65536];

	for (;;) {
		char *to = c->in_body ? piece : c->in + c->n_in, *end;
		ssize_t n = io_read(c, to, c->in_body ? sizeof(piece) : HEAD_MAX - 1 - c->n_in);

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			client_ended(c, n);
			return;
		}
		if (c->in_body) {
			if (!client_piece(c, piece, (size_t)n))
				return;
			continue;
		}
		c->n_in += (size_t)n;
		end = memmem(c->in, c->n_in, "\r\n\r\n", 4);
		if (!end) {
			if (c->n_in >= HEAD_MAX - 1) {
				client_fail(c, MALFORMED, 0);
				return;
			}
			continue;
		}
		end += 4;
		if (!client_head(c, (size_t)(end - c->in)) ||
		    !client_piece(c, end, c->n_in - (size_t)(end - c->in)))
			return;
	}
}

static void client_idle_event(struct client *c)
{
	ssize_t n = idle_says(c);

	if (n == -EAGAIN)
		return;
	if (n > 0) {
		c->begun_us = now_us();
		client_fail(c, MALFORMED, 0);
		return;
	}
	n_idle_closed++;
	client_close(c);
	client_think(c, want.think_us);
}

static void client_event(struct client *c)
{
	switch (c->phase) {
	case CONNECTING: client_connected(c); break;
	case SHAKING: client_shake(c); break;
	case SENDING: client_send(c); break;
	case READING: client_read(c); break;
	case THINKING: client_idle_event(c); break;
	case CLOSED: break;
	}
}

static void client_due(struct client *c)
{
	if (c->phase != CLOSED && c->phase != THINKING)
		client_fail(c, TIMEOUT, c->phase == CONNECTING ? ETIMEDOUT : 0);
	else if (!stopping)
		client_begin(c);
	else
		client_close(c);
}

/* The run --------------------------------------------------------------------------------- */

static struct client *client_new(bool keep)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->fd = -1;
	c->keep = keep;
	return c;
}

/* Those that are due at the rate; what a stalled machine cannot begin within 50 ms is skipped, and said. */
static void arrivals(uint64_t now)
{
	static uint64_t begun;
	uint64_t due = (uint64_t)((double)(now - start_us) * want.rate / 1e6),
		 most = (uint64_t)(want.rate / 20) + 1;

	if (due > begun + most) {
		n_skipped += due - begun - most;
		begun = due - most;
	}
	for (; begun < due; begun++) {
		if (open_new < want.max_open)
			client_begin(client_new(false));
		else
			n_skipped++;
	}
}

static void run(void)
{
	struct epoll_event ev[512];

	for (unsigned i = 0; i < want.keep; i++) {
		keeper[i] = client_new(true);
		due_set(&dues, &keeper[i]->due, start_us + random_below(want.think_us + 1));
	}
	while (!stopping || open_now) {
		uint64_t now = now_us();
		struct due *d;
		int n;

		if (!stopping && (signalled || now >= end_us)) {
			stopping = true;
			end_us = now;
			for (unsigned i = 0; i < want.keep; i++)
				if (keeper[i]->phase == THINKING || keeper[i]->phase == CLOSED)
					client_close(keeper[i]);
		}
		if (!stopping && want.rate > 0)
			arrivals(now);
		while ((d = due_pop(&dues, now)))
			client_due((struct client *)d);
		n = epoll_wait(ep, ev, 512,
			       due_wait_ms(&dues, now_us(), want.rate > 0 && !stopping ? 1 : 100));
		for (int i = 0; i < n; i++)
			client_event(ev[i].data.ptr);
	}
}

/* Options and report ---------------------------------------------------------------------- */

static void print_class(const char *name, const uint64_t *n)
{
	printf("\"%s\":{", name);
	for (int i = 0; i < CLASSES; i++)
		printf("%s\"%s\":%llu", i ? "," : "", class_name[i], (unsigned long long)n[i]);
	printf("},");
}

static void report(void)
{
	uint64_t ok = n_class[0][OK] + n_class[1][OK], all = 0;

	for (int i = 0; i < CLASSES; i++)
		all += n_class[0][i] + n_class[1][i];
	printf("{\"seconds\":%.3f,\"requests\":%llu,\"ok\":%llu,\"failed\":%llu,\"skipped\":%llu,\"connects\":%llu,"
	       "\"idle_closed\":%llu,\"told_close\":%llu,",
	       (double)(end_us - start_us) / 1e6, (unsigned long long)all, (unsigned long long)ok,
	       (unsigned long long)(all - ok), (unsigned long long)n_skipped,
	       (unsigned long long)n_connects, (unsigned long long)n_idle_closed,
	       (unsigned long long)n_told_close);
	print_class("new", n_class[0]);
	print_class("keep", n_class[1]);
	printf("\"tls\":{\"full\":%llu,\"resumed\":%llu,\"refused\":%llu},",
	       (unsigned long long)n_tls_full, (unsigned long long)n_tls_resumed,
	       (unsigned long long)n_tls_refused);
	printf("\"latency_us\":{\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"p999\":%llu,\"max\":%llu},",
	       (unsigned long long)latency_at(0.5), (unsigned long long)latency_at(0.9),
	       (unsigned long long)latency_at(0.99), (unsigned long long)latency_at(0.999),
	       (unsigned long long)latency_max);
	printf("\"gaps\":[");
	for (int i = 0; i < GAPS && gap[i].us; i++)
		printf("%s[%.6f,%.3f]", i ? "," : "", (double)gap[i].at_us / 1e6,
		       (double)gap[i].us / 1e3);
	printf("],\"failures\":[");
	for (size_t i = 0; i < n_failures; i++) {
		const struct failure *f = &failure[i];

		printf("%s{\"class\":\"%s\",\"mode\":\"%s\",\"reused\":%s,\"begun\":%.6f,\"at\":%.6f,\"status\":%u,"
		       "\"errno\":%d}",
		       i ? "," : "", class_name[f->class], f->keep ? "keep" : "new",
		       f->reused ? "true" : "false", (double)f->begun_us / 1e6,
		       (double)f->at_us / 1e6, f->status, f->err);
	}
	printf("]}\n");
}

static void on_term(int signo)
{
	(void)signo;
	signalled = 1;
}

static int on_ticket(SSL *ssl, SSL_SESSION *s)
{
	(void)ssl;
	if (n_tickets == TICKETS)
		return 0;
	ticket[n_tickets++] = s;
	return 1;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: load --to ADDR:PORT [--seconds S] [--new RATE] [--keep N --think MS] [--tls]\n"
		"            [--path PATH] [--host NAME] [--timeout MS] [--max-open N] [--seed N]\n"
		"            [--post BYTES] [--tunnel] [--per-connection N] [--no-resume]\n");
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
		{ "to", 1, NULL, 't' },        { "seconds", 1, NULL, 's' },
		{ "new", 1, NULL, 'n' },       { "keep", 1, NULL, 'k' },
		{ "think", 1, NULL, 'i' },     { "tls", 0, NULL, 'T' },
		{ "path", 1, NULL, 'p' },      { "host", 1, NULL, 'h' },
		{ "timeout", 1, NULL, 'o' },   { "max-open", 1, NULL, 'm' },
		{ "seed", 1, NULL, 'S' },      { "post", 1, NULL, 'b' },
		{ "tunnel", 0, NULL, 'u' },    { "per-connection", 1, NULL, 'c' },
		{ "no-resume", 0, NULL, 'f' }, { NULL, 0, NULL, 0 },
	};
	int o;

	rng = now_us() | 1;
	while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (o) {
		case 't': set_target(optarg); break;
		case 's': want.seconds = strtod(optarg, NULL); break;
		case 'n': want.rate = strtod(optarg, NULL); break;
		case 'k': want.keep = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'i': want.think_us = (uint64_t)(strtod(optarg, NULL) * 1000); break;
		case 'T': want.tls = true; break;
		case 'p': want.path = optarg; break;
		case 'h': want.host = optarg; break;
		case 'o': want.timeout_us = (uint64_t)(strtod(optarg, NULL) * 1000); break;
		case 'm': want.max_open = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'b': want.post = strtoull(optarg, NULL, 10); break;
		case 'c': want.per_connection = strtoull(optarg, NULL, 10); break;
		case 'u': want.tunnel = true; break;
		case 'f': want.no_resume = true; break;
		case 'S': rng = strtoull(optarg, NULL, 10) * 2654435761u + 1; break;
		default: usage();
		}
	}
	if (!want.to.sin_port || optind != argc || (want.rate <= 0 && !want.keep))
		usage();
}

static void tls_setup(void)
{
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		abort();
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_ticket);
	SSL_CTX_set_options(ctx,
			    SSL_OP_IGNORE_UNEXPECTED_EOF); /* Content-Length says what is cut */
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };
	struct sigaction sa = { .sa_handler = on_term };

	options(argc, argv);
	if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	failure = calloc(FAIL_MAX, sizeof(*failure));
	keeper = calloc(want.keep + 1, sizeof(struct client *));
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (!failure || !keeper || ep < 0)
		abort();
	if (want.tls)
		tls_setup();
	start_us = now_us();
	end_us = start_us + (uint64_t)(want.seconds * 1e6);
	run();
	report();
	return 0;
}
