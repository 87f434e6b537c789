/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo.c - `fairlead --demo` and `--from ... --to ...`: configurations without a file
 *
 * The demo's origins are two children of this process with the simplest server there is: one connection at a time, one
 * answer, close. They end when the master does. Nothing else of fairlead speaks their code.
 */
#include "config.h"

#include "proc/launch.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/env.h"
#include "base/err.h"

#define ORIGINS 2u
#define READ_MS 2000

/* Origins --------------------------------------------------------------------------------- */

static void answer(int c, unsigned which)
{
	char in[4096], body[160], out[512];
	size_t n = 0;
	int len;

	/* the head, up to its empty line; what follows is not read */
	while (n < sizeof(in) - 1) {
		ssize_t r = env_recv(c, in + n, sizeof(in) - 1 - n, 0);

		if (r <= 0)
			return;
		n += (size_t)r;
		in[n] = '\0';
		if (strstr(in, "\r\n\r\n"))
			break;
	}
	len = snprintf(body, sizeof(body), "Hello from origin %c, pid %d\n", 'a' + (int)which, (int)getpid());
	len = snprintf(out, sizeof(out),
		       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Origin: %c\r\nContent-Length: %d\r\n"
		       "Connection: close\r\n\r\n%s", 'a' + (int)which, len, strncmp(in, "HEAD ", 5) ? body : "");
	(void)env_send(c, out, (size_t)len, 0);
}

FL_NORETURN static void origin(int listener, unsigned which, pid_t parent)
{
	struct timeval limit = { .tv_sec = READ_MS / 1000 };

	signal(SIGINT, SIG_IGN);
	prctl(PR_SET_NAME, which ? "fl-origin-b" : "fl-origin-a", 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(0);
	for (;;) {
		int c = accept(listener, NULL, NULL);          /* env-ok: it is to block */

		if (c < 0)
			continue;
		(void)env_setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		answer(c, which);
		(void)env_shutdown(c, SHUT_WR);
		env_close(c);
	}
}

/* A blocking listener on this port of loopback, or on a free one when somebody has it. */
static int origin_socket(uint16_t *port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err;   /* env-ok: it is to block */
	struct addr a;
	socklen_t n = sizeof(a);

	if (fd < 0)
		return -errno;
	memset(&a, 0, sizeof(a));
	a.in.sin_family = AF_INET;
	a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.in.sin_port = htons(*port);
	err = env_setsockopt_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!err)
		err = env_bind(fd, &a.sa, sizeof(a.in));
	if (err == -EADDRINUSE) {
		a.in.sin_port = 0;
		err = env_bind(fd, &a.sa, sizeof(a.in));
	}
	if (!err)
		err = env_listen(fd, 128);
	if (!err && getsockname(fd, &a.sa, &n) != 0)
		err = -errno;
	if (err) {
		env_close(fd);
		return err;
	}
	*port = ntohs(a.in.sin_port);
	return fd;
}

static int start_origin(unsigned which, uint16_t *port)
{
	int fd = origin_socket(port);
	pid_t parent = getpid(), pid;

	if (fd < 0)
		return fd;
	pid = fork();
	if (pid == 0)
		origin(fd, which, parent);
	env_close(fd);
	return pid < 0 ? -errno : 0;
}

/* The demo -------------------------------------------------------------------------------- */

static const char demo_conf[] =
	"# fairlead --demo: a proxy in front of two origins, which --demo brings along:\n"
	"# without it put something of yours there, such as python3 -m http.server 9001\n"
	"admin { http 127.0.0.1:8404 }\n"
	"\n"
	"monitor alive http { send \"GET /\"; every 1s; timeout 500ms; rise 1; fall 2 }\n"
	"\n"
	"pool demo {\n"
	"    method  round-robin\n"
	"    monitor alive\n"
	"    service a 127.0.0.1:%u\n"
	"    service b 127.0.0.1:%u\n"
	"}\n"
	"\n"
	"vserver web {\n"
	"    listen  127.0.0.1:8080\n"
	"    policy  about when http.request.uri.path == \"/about\" { respond 200 \"fairlead demo\\n\" }\n"
	"    default use demo\n"
	"}\n";

static const char demo_greeting[] =
	"fairlead " PACKAGE_VERSION " demo: proxy on http://127.0.0.1:8080, admin on http://127.0.0.1:8404\n"
	"Try, in another terminal:\n"
	"    curl http://127.0.0.1:8080/\n"
	"    fairleadctl status\n"
	"    fairleadctl show service\n"
	"Ctrl-C ends it.\n";

int proc_demo(struct launch *l, bool start)
{
	static char text[1024];
	uint16_t port[ORIGINS] = { 9001, 9002 };
	int n;

	for (unsigned i = 0; start && i < ORIGINS; i++) {
		int err = start_origin(i, &port[i]);

		if (err) {
			fprintf(stderr, "fairlead: the demo's origins cannot start: %s\n", fl_err_text(err));
			return 1;
		}
	}
	n = snprintf(text, sizeof(text), demo_conf, port[0], port[1]);
	l->text = str_n(text, (size_t)n);
	l->text_name = "<demo>";
	l->greeting = demo_greeting;
	return 0;
}

/* One-liners ------------------------------------------------------------------------------ */

/* What could end a token or begin another one must not come from the command line. */
static bool is_plain(const char *s)
{
	return *s && strcspn(s, " \t\r\n;{}()#\"`\\,$") == strlen(s);
}

int proc_oneliner(const char *from, char *const *to, unsigned n_to, struct sb *text)
{
	struct addr a;

	if (!is_plain(from) || addr_parse(str_c(from), -1, &a) != 0) {
		fprintf(stderr, "fairlead: --from \"%s\" is no address: ADDRESS:PORT, :PORT or [ADDRESS]:PORT\n", from);
		return 1;
	}
	sb_c(text, "pool quick {\n");
	for (unsigned i = 0; i < n_to; i++) {
		if (!is_plain(to[i]) || strchr(to[i], '/')) {
			fprintf(stderr, "fairlead: --to \"%s\" is no HOST:PORT%s\n", to[i],
				strstr(to[i], "://") ? ": leave the scheme and the path away" : "");
			return 1;
		}
		sb_fmt(text, "    service %u %s\n", i + 1, to[i]);
	}
	sb_fmt(text, "}\n\nvserver quick {\n    listen  %s\n    default use quick\n}\n", from);
	if (text->over) {
		fprintf(stderr, "fairlead: no memory\n");
		return 1;
	}
	return 0;
}
