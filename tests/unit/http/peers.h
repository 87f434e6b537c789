/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.h - a worker of its own with the http room in it, an origin that does what the path says,
 * a client
 *
 * The worker is a child process with a real engine, segment and configuration text; the origin is
 * threads of the test. All on loopback, ports chosen by the kernel. A control socket asks the
 * worker for figures and tells it to drain.
 */
#ifndef FL_TESTS_UNIT_HTTP_PEERS_H
#define FL_TESTS_UNIT_HTTP_PEERS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/env.h"
#include "http/http.h"
#include "tests/unit/base/unit.h"

#define PEERS_LISTENS 3

/* ---------- the worker ---------- */
static struct {
	struct engine    *e;
	struct lb_config *lc;
	struct stat_seg  *seg;
	int               ctl;
	char              log[8192];
	size_t            n_log;
	unsigned          given;
	bool              refuse_gifts;
} host;

static void host_row(void *ctx, enum tbl_kind k, const char *name, uint32_t *row)
{
	(void)ctx;
	if (stat_obj_assign(host.seg, k, str_c(name), 1, row) < 0)
		_exit(41);
}

static void host_http(struct listener *l, struct conn *c) { http_accept(l->owner, l, c); }
static void host_tcp(struct listener *l, struct conn *c) { tcp_accept(l->owner, l, c); }

static void host_log(void *ctx, int stream, const char *p, size_t n)
{
	(void)ctx;
	(void)stream;
	if (host.n_log + n + 1 >= sizeof(host.log))
		host.n_log = 0;
	memcpy(host.log + host.n_log, p, n);
	host.n_log += n;
	host.log[host.n_log++] = '\n';
}

static void host_turn(struct engine_hook *h)
{
	(void)h;
	if (lb_refresh(host.lc))
		http_services_changed();
}

static bool host_give(void *ctx, int fd, const char *name, const struct addr *peer)
{
	(void)ctx;
	(void)peer;
	if (host.refuse_gifts || !*name)
		return false;
	host.given++;
	close(fd);
	return true;
}

static void host_figures(struct sb *b)
{
	for (uint32_t r = 0; r < stat_obj_max(host.seg); r++) {
		enum tbl_kind k;
		struct str name;
		struct stat_row *row;
		unsigned first, n;
		bool current;

		if (!stat_obj_get(host.seg, r, &k, &name, &current))
			continue;
		row = stat_row_get(host.seg, k, r);
		tbl_kind_range(k, &first, &n);
		for (unsigned i = 0; i < n; i++)
			if (row && row->v[i])
				sb_fmt(b, "%s " STR_FMT " %s %lld\n", tbl_kind_name(k),
				       STR_ARG(name), tbl_ctrs[first + i].id, (long long)row->v[i]);
	}
	sb_fmt(b, "host - given %u\nhost - clients %u\nhost - active %u\nhost - held %zu\n",
	       host.given, http_clients(), http_active(), buf_held());
}

static void host_command(struct engine_watch *w, unsigned events)
{
	static char mem[60000];
	char cmd = 0;
	struct sb b;

	(void)events;
	if (recv(w->fd, &cmd, 1, 0) <= 0) {
		engine_stop(host.e);
		return;
	}
	sb_init(&b, mem, sizeof(mem));
	if (cmd == 'f')
		host_figures(&b);
	else if (cmd == 'l')
		sb_add(&b, host.log, host.n_log);
	else if (cmd == 'd' || cmd == 'D') {
		host.refuse_gifts = cmd == 'D';
		http_drain(host_give, NULL);
	} else if (cmd == 'c')
		sb_fmt(&b, "%u", http_cut());
	send(w->fd, b.n ? b.p : "-", b.n ? b.n : 1, 0);
}

static void host_run(const char *text, const int *fds, int ctl)
{
	struct stat_params sp = { .max_objects = 256, .cores = 1, .drain_generations = 1 };
	static struct engine_hook turn = { .fn = host_turn };
	static struct engine_watch watch = { .fn = host_command };
	static struct listener ls[PEERS_LISTENS];
	static int own[PEERS_LISTENS];
	struct conf_diag *d = conf_diag_new();
	struct conf *c = NULL;
	struct http_worker w;
	uint32_t row;
	int err = 0;

	if (conf_load(conf_src_text("test", str_c(text)), d, &c) == 0)
		host.lc = lb_build(c, true, d);
	if (!host.lc) {
		struct sb b;

		sb_init_heap(&b);
		conf_diag_print(d, &b, false);
		fprintf(stderr, STR_FMT, STR_ARG(sb_get(&b)));
		_exit(40);
	}
	host.seg = stat_create(&sp, &err);
	if (!host.seg)
		_exit(42);
	lb_each_object(host.lc, host_row, NULL);
	host_row(NULL, KIND_PROC, "worker@0", &row);
	stat_obj_commit(host.seg, 1, 1);
	if (stat_become(host.seg, STAT_WORKER, 0, 0, 1) < 0)
		_exit(43);
	host.e = engine_new();
	if (!host.e || conn_init(host.e) < 0)
		_exit(44);
	buf_set_limit(host.lc->buffer_memory);
	lb_attach(host.lc, host.seg, true);
	lb_refresh(host.lc);
	w = (struct http_worker){ .engine = host.e,
				  .lc = host.lc,
				  .seg = host.seg,
				  .access_log = host_log,
				  .proc = stat_row_get(host.seg, KIND_PROC, row) };
	net_set_stat(w.proc);
	if (http_init(&w) < 0)
		_exit(45);
	for (unsigned i = 0; i < host.lc->n_listens && i < PEERS_LISTENS; i++) {
		struct lb_listen *l = &host.lc->listens[i];

		own[i] = fds[i];
		ls[i] = (struct listener){ .addr = l->addr,
					   .tls = l->tls,
					   .n_fds = 1,
					   .fds = &own[i],
					   .owner = l->vserver,
					   .row = l->row,
					   .stat = stat_row_get(host.seg, KIND_LISTENER, l->row),
					   .accepted = l->vserver->http ? host_http : host_tcp };
		if (listener_start(host.e, &ls[i], 0) < 0)
			_exit(46);
	}
	list_init(&turn.link);
	engine_on_turn(host.e, &turn);
	watch.fd = ctl;
	if (engine_watch(host.e, &watch, ENGINE_READ) < 0)
		_exit(47);
	engine_run(host.e);
	http_fini();
	_exit(0);
}

/* ---------- the test's side ---------- */
static struct {
	pid_t    pid;
	int      ctl;
	uint16_t port[PEERS_LISTENS], origin_port;
	int      origin_fd;
	unsigned requests, aborted;     /* at the origin */
} peers;

static int bound_socket(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(fd, 128), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static void *origin_accept(void *arg);

/* text: a configuration in which @0 @1 @2 are our ports, @o the origin's, @x one where nobody
 * listens. */
static void peers_start(const char *text)
{
	int fds[PEERS_LISTENS], ctl[2], unused;
	uint16_t closed_port;
	pthread_t t;
	char conf[8192];
	struct sb b;

	signal(SIGPIPE, SIG_IGN);
	peers.origin_fd = bound_socket(&peers.origin_port);
	for (unsigned i = 0; i < PEERS_LISTENS; i++) {
		fds[i] = bound_socket(&peers.port[i]);
		fcntl(fds[i], F_SETFL, O_NONBLOCK);
	}
	unused = bound_socket(&closed_port);
	close(unused);
	sb_init(&b, conf, sizeof(conf));
	for (const char *p = text; *p; p++)
		if (*p == '@' && p[1])
			sb_u64(&b, *++p == 'o' ? peers.origin_port
				   : *p == 'x' ? closed_port
					       : peers.port[*p - '0']);
		else
			sb_ch(&b, *p);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ctl), 0);
	peers.pid = fork();
	if (peers.pid == 0) {
		close(ctl[0]);
		close(peers.origin_fd);
		host_run(conf, fds, ctl[1]);
	}
	close(ctl[1]);
	for (unsigned i = 0; i < PEERS_LISTENS; i++)
		close(fds[i]);
	peers.ctl = ctl[0];
	ck_assert_int_eq(pthread_create(&t, NULL, origin_accept, NULL), 0);
	pthread_detach(t);
}

static void peers_stop(void)
{
	int status;

	close(peers.ctl);
	ck_assert_int_eq(waitpid(peers.pid, &status, 0), peers.pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "the worker ended with status %#x", (unsigned)status);
}

static char *host_ask(char cmd)
{
	static char mem[60001];
	ssize_t n;

	ck_assert_int_eq(send(peers.ctl, &cmd, 1, 0), 1);
	n = recv(peers.ctl, mem, sizeof(mem) - 1, 0);
	ck_assert_int_gt(n, 0);
	mem[n] = '\0';
	return mem;
}

/* "vserver web REQ_TOT" */
static long long figure(const char *name)
{
	char *text = host_ask('f'), want[160];
	char *at;

	snprintf(want, sizeof(want), "%s ", name);
	at = strstr(text, want);
	return at ? strtoll(at + strlen(want), NULL, 10) : 0;
}

/* Waits up to 5 s for a figure. */
static void wait_figure(const char *name, long long want)
{
	long long got = 0;

	for (unsigned i = 0; i < 500; i++) {
		got = figure(name);
		if (got == want)
			return;
		usleep(10000);
	}
	ck_abort_msg("%s is %lld, not %lld", name, got, want);
}

/* ---------- a client ---------- */
struct client {
	int    fd;
	char  *buf;
	size_t n, cap;
	/* of the last answer */
	unsigned status, interim;
	char   head[8192];
	char  *body;
	size_t n_body;
	bool   whole;
};

static void client_open(struct client *c, unsigned k)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(peers.port[k]) };
	struct timeval tv = { .tv_sec = 10 };

	memset(c, 0, sizeof(*c));
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	ck_assert_int_eq(connect(c->fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

static void client_close(struct client *c)
{
	close(c->fd);
	free(c->buf);
	free(c->body);
	memset(c, 0, sizeof(*c));
}

static void client_send(struct client *c, const char *text)
{
	ck_assert_int_eq(send(c->fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* More bytes; 0 at the end, -1 on a reset. */
static ssize_t client_more(struct client *c)
{
	ssize_t n;

	if (c->cap - c->n < 65536) {
		c->cap = c->cap * 2 + 131072;
		c->buf = realloc(c->buf, c->cap);
		ck_assert_ptr_nonnull(c->buf);
	}
	n = recv(c->fd, c->buf + c->n, c->cap - c->n - 1, 0);
	ck_assert_msg(n >= 0 || errno == ECONNRESET, "client: %s", strerror(errno));
	if (n > 0)
		c->n += (size_t)n;
	c->buf[c->n] = '\0';
	return n;
}

static void client_drop(struct client *c, size_t n)
{
	memmove(c->buf, c->buf + n, c->n - n + 1);
	c->n -= n;
}

static bool client_closed(struct client *c)
{
	return c->n == 0 && client_more(c) <= 0;
}

static bool head_has(const struct client *c, const char *line)
{
	return strcasestr(c->head, line) != NULL;
}

static bool client_need(struct client *c, size_t n)
{
	while (c->n < n)
		if (client_more(c) <= 0)
			return false;
	return true;
}

static void take_body(struct client *c, size_t n)
{
	c->body = realloc(c->body, c->n_body + n + 1);
	ck_assert_ptr_nonnull(c->body);
	memcpy(c->body + c->n_body, c->buf, n);
	c->n_body += n;
	c->body[c->n_body] = '\0';
	client_drop(c, n);
}

static bool read_chunks(struct client *c)
{
	for (;;) {
		char *eol, *end;
		size_t size, line;

		while (!c->n || !(eol = strstr(c->buf, "\r\n")))
			if (client_more(c) <= 0)
				return false;
		size = strtoul(c->buf, &end, 16);
		line = (size_t)(eol - c->buf) + 2;
		client_drop(c, line);
		if (size == 0) {
			while (!(c->n >= 2 &&
				 (memcmp(c->buf, "\r\n", 2) == 0 || strstr(c->buf, "\r\n\r\n"))))
				if (client_more(c) <= 0)
					return false;
			line = memcmp(c->buf, "\r\n", 2) == 0
				       ? 2
				       : (size_t)(strstr(c->buf, "\r\n\r\n") - c->buf) + 4;
			snprintf(c->head + strlen(c->head), sizeof(c->head) - strlen(c->head),
				 "%.*s", (int)line, c->buf);
			client_drop(c, line);
			return true;
		}
		if (!client_need(c, size + 2))
			return false;
		take_body(c, size);
		client_drop(c, 2);
	}
}

/* Reads one final answer (status 0: none came). `head`: it answers HEAD. */
static void client_read(struct client *c, bool head)
{
	char *end, *at;

	c->status = c->interim = 0;
	c->n_body = 0;
	free(c->body);
	c->body = strdup("");
	c->whole = false;
	do {
		while (!c->n || !(end = strstr(c->buf, "\r\n\r\n")))
			if (client_more(c) <= 0)
				return;
		snprintf(c->head, sizeof(c->head), "%.*s", (int)(end - c->buf + 4), c->buf);
		client_drop(c, (size_t)(end - c->buf) + 4);
		c->status = (unsigned)strtoul(c->head + 9, NULL, 10);
		c->interim += c->status < 200 && c->status != 101;
	} while (c->status < 200 && c->status != 101);
	c->whole = true;
	if (head || c->status == 204 || c->status == 304 || c->status == 101)
		return;
	at = strcasestr(c->head, "\r\nContent-Length: ");
	if (strcasestr(c->head, "\r\nTransfer-Encoding: chunked")) {
		c->whole = read_chunks(c);
	} else if (at) {
		size_t n = strtoul(at + 18, NULL, 10);

		c->whole = client_need(c, n);
		take_body(c, FL_MIN(n, c->n));
	} else {
		ssize_t r;

		while ((r = client_more(c)) > 0)
			;
		c->whole = r == 0;
		take_body(c, c->n);
	}
}

static void client_get(struct client *c, const char *method, const char *path, const char *more)
{
	char text[4096];

	snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: test\r\n%s\r\n", method, path, more);
	client_send(c, text);
	client_read(c, strcmp(method, "HEAD") == 0);
}

#endif
