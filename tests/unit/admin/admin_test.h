/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_test.h - an appliance in small: a segment, a configuration and the admin thread in a
 * child, the master here
 *
 * The child is `control`: it folds figures and runs the admin room on a real unix socket and TCP
 * socket. The test is the master: it answers the child's calls while it waits for an answer of the
 * socket.
 */
#ifndef FL_TEST_ADMIN_TEST_H
#define FL_TEST_ADMIN_TEST_H

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "admin/inside.h"
#include "tests/unit/stat/seg_test.h"

static const char test_conf[] =
	"workers 2\n"
	"pool app {\n"
	"\tmethod least-connection\n"
	"\tservice a1 127.0.0.1:9001 weight 2\n"
	"\tservice a2 127.0.0.1:9002 max-connections 3\n"
	"\tservice a3 127.0.0.1:9003 state maint\n"
	"\tbackup sorry\n"
	"}\n"
	"pool sorry { monitor none; service s1 127.0.0.1:9009 }\n"
	"vserver web {\n"
	"\tlisten 127.0.0.1:8080\n"
	"\tpolicy mark when http.user_agent contains \"curl\" { set-header X-Seen \"{http.host}{http.request.uri}\" }\n"
	"\tpolicy admin when starts_with(http.request.uri.path, \"/admin\") and not ip.src in {10.0.0.0/8} { respond 403 \"no\" }\n"
	"\tpolicy hop when http.host == \"inner.example\" { use vserver inner }\n"
	"\tpolicy busy when vserver[\"web\"].connections > 100 { reject 429 }\n"
	"\tdefault use app\n"
	"}\n"
	"vserver inner { policy all { use sorry } }\n"
	"vserver raw { listen 127.0.0.1:8081; protocol tcp; default use app }\n";

struct loaded_conf {
	struct conf_src  *src;
	struct conf_diag *d;
	struct conf      *conf;
	struct lb_config *lc;
};

static inline void load_conf(struct loaded_conf *l, const char *text)
{
	struct sb b;

	l->src = conf_src_text("test.conf", str_c(text));
	l->d = conf_diag_new();
	sb_init_heap(&b);
	if (conf_load(l->src, l->d, &l->conf) == 0)
		l->lc = lb_build(l->conf, false, l->d);
	conf_diag_print(l->d, &b, false);
	ck_assert_msg(l->lc != NULL, "%s", b.p);
	sb_free(&b);
}

static inline void free_conf(struct loaded_conf *l)
{
	lb_free(&l->lc);
	conf_free(&l->conf);
	conf_diag_free(&l->d);
	conf_src_free(&l->src);
}

struct box {
	struct stat_seg   *seg;
	struct loaded_conf cfg;
	int                calls;          /* master's end of the channel */
	int                http_port;
	pid_t              pid;
	char               dir[64], path[96];
	char               called[8][256]; /* what the master was asked */
	unsigned           n_called;
	int                rc;             /* what it answers, with `text` */
	const char        *text;
	unsigned           delay_ms;
};

static inline int stub_call(void *ctx, const char *line, struct sb *reply, unsigned timeout_ms)
{
	int fd = *(int *)ctx;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[512];
	ssize_t n;

	if (send(fd, line, strlen(line), 0) < 0 || poll(&p, 1, (int)timeout_ms) <= 0)
		return FL_ETIMEOUT_;
	n = recv(fd, buf, sizeof(buf) - 1, 0);
	if (n < 1)
		return FL_EDEAD_;
	sb_add(reply, buf + 1, (size_t)n - 1);
	return buf[0] - '0';
}

struct assign { struct stat_seg *seg; uint32_t generation; };
static inline void assign_row(void *ctx, enum tbl_kind kind, const char *name, uint32_t *row)
{
	struct assign *a = ctx;

	ck_assert_int_eq(stat_obj_assign(a->seg, kind, str_c(name), a->generation, row), 0);
}

/* Rows and configuration state of a generation, as the master does at a commit. */
static inline void commit(struct box *b, uint32_t generation)
{
	struct assign a = { b->seg, generation };
	struct stat_conf_state f = { .generation = generation,
				     .last_ok = 1,
				     .loaded_us = 1700000000000000u };
	uint32_t row;

	lb_each_object(b->cfg.lc, assign_row, &a);
	assign_row(&a, KIND_PROC, "0", &row);
	stat_obj_commit(b->seg, generation, generation);
	snprintf(f.file, sizeof(f.file), "test.conf");
	stat_conf_set(b->seg, &f);
}

static inline int memfd_of(const char *p, size_t n)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
	return fd;
}

static inline int listen_unix(struct box *b)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(b->dir, sizeof(b->dir), "%s/admin-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/ctl.sock", b->dir);
	ck_assert_uint_lt(strlen(b->path), sizeof(sa.sun_path));
	memcpy(sa.sun_path, b->path, strlen(b->path) + 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	return fd;
}

static inline int listen_tcp(struct box *b)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	b->http_port = ntohs(sa.sin_port);
	return fd;
}

FL_NORETURN static inline void child(struct box *b, int ctl_fd, int http_fd, int chan,
				     bool with_config)
{
	struct admin_env env = {
		.seg = b->seg, .ctl_fd = ctl_fd, .call = stub_call, .call_ctx = &chan
	};
	char *image = NULL;
	size_t n = 0;

	if (stat_become(b->seg, STAT_CONTROL, stat_slot_of(b->seg, STAT_CONTROL), 0, 0) != 0)
		_exit(3);
	if (admin_start(&env) != 0)
		_exit(4);
	if (with_config && conf_src_image(b->cfg.src, false, &image, &n) != 0)
		_exit(5);
	admin_set_config(with_config ? memfd_of(image, n) : -1, 1, http_fd);
	for (;;) {
		stat_consolidate(b->seg, env_now_us() / 1000);
		usleep(2000);
		if (env_now_us() / 1000 > admin_heartbeat_ms() + 5000)
			_exit(6);
	}
}

static inline void box_open(struct box *b, bool with_config)
{
	int pair[2], ctl_fd, http_fd;

	memset(b, 0, sizeof(*b));
	b->text = "";
	b->seg = seg_make(512, 2, 1);
	load_conf(&b->cfg, test_conf);
	commit(b, 1);
	ctl_fd = listen_unix(b);
	http_fd = listen_tcp(b);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fflush(NULL);
	b->pid = fork();
	if (b->pid == 0) {
		close(pair[0]);
		child(b, ctl_fd, http_fd, pair[1], with_config);
	}
	ck_assert_int_gt(b->pid, 0);
	stat_proc_set(b->seg, stat_slot_of(b->seg, STAT_CONTROL), ST_PROC_RUNNING, (uint32_t)b->pid,
		      0, 0);
	close(pair[1]);
	close(ctl_fd);
	close(http_fd);
	b->calls = pair[0];
}

/* The child must still live: a crash of the thread is a failure of the test. */
static inline void box_close(struct box *b)
{
	int st = 0;

	ck_assert_msg(waitpid(b->pid, &st, WNOHANG) == 0, "control ended: wait status %#x", st);
	kill(b->pid, SIGKILL);
	waitpid(b->pid, &st, 0);
	close(b->calls);
	unlink(b->path);
	rmdir(b->dir);
	free_conf(&b->cfg);
	stat_free(b->seg);
}

/* The master's answer to a call of the child, if there is one. */
static inline void serve_call(struct box *b)
{
	char line[512], reply[512];
	unsigned row, state, uid;
	int used = 0;
	ssize_t n = recv(b->calls, line, sizeof(line) - 1, MSG_DONTWAIT);

	if (n <= 0)
		return;
	line[n] = '\0';
	if (b->n_called < 8)
		snprintf(b->called[b->n_called++], sizeof(b->called[0]), "%.255s", line);
	if (b->rc == 0 && sscanf(line, "admin %u %u %u%n", &row, &state, &uid, &used) == 3) {
		struct stat_admin a = { .state = state, .uid = uid, .since_us = 1 };

		snprintf(a.reason, sizeof(a.reason), "%.100s", line[used] ? line + used + 1 : "");
		stat_admin_set(b->seg, row, &a);
	}
	if (b->delay_ms)
		usleep(b->delay_ms * 1000);
	used = snprintf(reply, sizeof(reply), "%d%s", b->rc, b->text);
	ck_assert_int_eq(send(b->calls, reply, (size_t)used, 0), used);
}

static inline int dial(struct box *b)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(sa.sun_path, b->path, strlen(b->path) + 1);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static inline int dial_http(struct box *b)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons((uint16_t)b->http_port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static inline void say(int fd, const char *p, size_t n)
{
	ck_assert_int_eq(send(fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Reads until EOF, or until `stop` is in the text; serves the master's side meanwhile. Fails
 * after 20 s. */
static inline void hear(struct box *b, int fd, const char *stop, struct sb *out)
{
	uint64_t end = env_now_us() + 20000000;

	while (!stop || !out->n || !strstr(out->p, stop)) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
				       { .fd = b->calls, .events = POLLIN } };
		char buf[65536];
		ssize_t n;

		ck_assert_msg(env_now_us() < end, "no answer; so far: %s", out->n ? out->p : "");
		if (poll(p, 2, 100) < 0)
			continue;
		if (p[1].revents & POLLIN)
			serve_call(b);
		if (!p[0].revents)
			continue;
		n = recv(fd, buf, sizeof(buf), 0);
		if (n <= 0)
			return;
		sb_add(out, buf, (size_t)n);
	}
}

/* One plain line; the whole answer, valid until the next call. */
static inline const char *plain_ask(struct box *b, const char *line)
{
	static char *last;
	struct sb out;
	int fd = dial(b);

	free(last);
	sb_init_heap(&out);
	say(fd, line, strlen(line));
	say(fd, "\n", 1);
	hear(b, fd, NULL, &out);
	close(fd);
	last = strdup(out.n ? out.p : "");
	sb_free(&out);
	return last;
}

/* The next piece of *at up to `sep`, ended in place; NULL at the end. */
static inline char *next_piece(char **at, char sep)
{
	char *p = *at, *end;

	if (!p || !*p)
		return NULL;
	end = strchr(p, sep);
	*at = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	return p;
}

#define HAS(text, part) \
	ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in:\n%s", part, text)
#define HAS_NOT(text, part) \
	ck_assert_msg(strstr(text, part) == NULL, "\"%s\" is in:\n%s", part, text)

#endif
