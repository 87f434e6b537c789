/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socks.c - every listening socket of the appliance
 *
 * A socket of (address, core) is made once and lives as long as any generation listens on the address: with
 * fewer workers the sockets of the cores without one are served by others, since closing a member of a
 * reuseport group resets what waits in it. A new address is tried without SO_REUSEPORT first, or a
 * second appliance of the same user would silently share the port.
 */
#include "config.h"

#include "proc/master.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"
#include "net/listener.h"
#include "net/udp.h"
#include "proc/machine.h"

bool socks_is(const struct sock *s, const struct addr *a, bool udp, const char *device)
{
	return s->udp == udp && addr_eq(&s->addr, a) && !s->device == !device && (!device || strcmp(s->device, device) == 0);
}

struct sock *socks_find(struct master *m, const struct addr *a, bool udp, const char *device)
{
	for (unsigned i = 0; i < m->n_socks; i++)
		if (socks_is(&m->socks[i], a, udp, device))
			return &m->socks[i];
	return NULL;
}

/* Do we hold the port for all addresses already, or this one on some device? Then a trial bind would find ourselves. */
static bool is_shadowed(struct master *m, const struct addr *a, bool udp)
{
	for (unsigned i = 0; i < m->n_socks; i++)
		if (m->socks[i].udp == udp && addr_port(&m->socks[i].addr) == addr_port(a) &&
		    (addr_is_any(&m->socks[i].addr) || addr_is_any(a) || addr_eq(&m->socks[i].addr, a)))
			return true;
	return false;
}

static int bind_alone(const struct man_listen *l)
{
	int fd, err;

	fd = env_socket(l->addr.sa.sa_family, l->udp ? SOCK_DGRAM : SOCK_STREAM, 0);
	if (fd < 0)
		return fd;
	if (!l->udp)     /* there it would let us share the port */
		env_setsockopt_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (l->addr.sa.sa_family == AF_INET6)
		env_setsockopt_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, l->v6only);
	err = l->device ? env_setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, l->device, (socklen_t)strlen(l->device)) : 0;
	if (!err)
		err = env_bind(fd, &l->addr.sa, addr_len(&l->addr));
	env_close(fd);
	return err;
}

/* Workers whose master and gen both died still listen for a while: their ports are taken over beside them. */
static bool is_inherited_port(const struct master *m)
{
	return m->after_crash && !m->cur;
}

static int trial(struct master *m, const struct man_listen *l)
{
	return is_shadowed(m, &l->addr, l->udp) || is_inherited_port(m) ? 0 : bind_alone(l);
}

static const char *hint_for(int err)
{
	switch (-err) {
	case EADDRINUSE:
		return "another process listens there; `ss -lntup` names it";
	case EACCES:
	case EPERM:
		return "ports below 1024 need root or CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE; "
		       "or setcap cap_net_bind_service=+ep on the binary)";
	case EADDRNOTAVAIL:
		return "the address is not on this machine";
	case ENODEV:
		return "there is no such network device; `ip link` lists them";
	case EAFNOSUPPORT:
		return "this machine does not speak that protocol";
	default:
		return "";
	}
}

static struct sock *add(struct master *m, const struct man_listen *l)
{
	struct sock *p = env_realloc(m->socks, (m->n_socks + 1) * sizeof(*p));
	int *fd = env_malloc(m->cores * sizeof(int));
	char *device = l->device ? env_strdup(l->device) : NULL;

	if (p)
		m->socks = p;
	if (!p || !fd || (l->device && !device)) {
		env_free(fd);
		env_free(device);
		return NULL;
	}
	for (unsigned c = 0; c < m->cores; c++)
		fd[c] = -1;
	p[m->n_socks] = (struct sock){ .addr = l->addr, .v6only = l->v6only, .udp = l->udp, .device = device, .fd = fd,
					   .rss_socks = -1, .rss_data = -1 };
	return &p[m->n_socks++];
}

struct sock *socks_take(struct master *m, const struct man_listen *l)
{
	struct sock *s = socks_find(m, &l->addr, l->udp, l->device);

	return s ? s : add(m, l);
}

/* A socket that will be closed takes no new handshake: SYNs are dropped, so that nobody is in its queue when it goes,
 * to be reset. The client tries again after a second and is refused then. */
static void shut_door(int fd)
{
	static struct sock_filter drop_syn[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),        /* TCP flags */
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),     /* SYN, ACK */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog p = { .len = FL_ARRAY_LEN(drop_syn), .filter = drop_syn };

	(void)env_setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p));
}

static void open_door(int fd)
{
	(void)env_setsockopt_int(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
}

/* A socket is bound to the device that had the name then. */
static bool is_of_another(const struct sock *s)
{
	int index = 0;
	socklen_t n = sizeof(index);

	return s->device && s->fd[0] >= 0 && env_getsockopt(s->fd[0], SOL_SOCKET, SO_BINDTOIFINDEX, &index, &n) == 0 &&
	       (unsigned)index != if_nametoindex(s->device);
}

int socks_need(struct master *m, const struct man_listen *l, unsigned n_cores, const char **why)
{
	struct listener_opts o = { .backlog = l->backlog, .congestion = l->congestion, .v6only = l->v6only,
				   .device = l->device };
	struct sock *s = socks_find(m, &l->addr, l->udp, l->device);
	int err = s ? 0 : trial(m, l);

	if (s && is_of_another(s)) {
		*why = "the device was made anew since this socket was bound to it: only a restart binds to the new one";
		return -ENODEV;
	}
	if (!err && !s) {
		bool shared = is_inherited_port(m) && bind_alone(l) != 0;

		s = add(m, l);
		if (s)
			s->shared = shared;
		else
			err = FL_ENOMEM_;
	}
	for (unsigned c = 0; !err && c < n_cores; c++) {
		int fd;

		if (s->fd[c] >= 0 && l->udp)
			continue;
		if (s->fd[c] >= 0) {
			open_door(s->fd[c]);
			(void)env_listen(s->fd[c], l->backlog);     /* a changed backlog */
			continue;
		}
		fd = l->udp ? udp_open(&l->addr, l->v6only, l->device) : listener_open(&l->addr, &o);
		if (fd < 0)
			err = fd;
		else
			s->fd[c] = fd;
	}
	*why = hint_for(err);
	return err;
}

void socks_keep(struct master *m)
{
	for (unsigned i = 0; i < m->n_socks; i++)
		for (unsigned c = 0; c < m->cores; c++)
			if (m->socks[i].fd[c] >= 0)
				m->socks[i].n_held = FL_MAX(m->socks[i].n_held, c + 1);
}

/* No worker has these sockets, and the kernel would go on giving them connections. They joined last, so the
 * others keep their index. */
void socks_unwind(struct master *m)
{
	for (unsigned i = 0; i < m->n_socks; i++) {
		struct sock *s = &m->socks[i];

		for (unsigned c = m->cores; s->n_held && c-- > s->n_held;) {
			if (s->fd[c] < 0)
				continue;
			if (!s->udp)
				(void)env_shutdown(s->fd[c], SHUT_RDWR);
			env_close(s->fd[c]);
			s->fd[c] = -1;
			distribute_closed(s, c);
		}
	}
}

static bool is_listened(const struct generation *g, const struct sock *s)
{
	for (unsigned i = 0; g && g->man && i < g->man->n_listens; i++)
		if (socks_is(s, &g->man->listens[i].addr, g->man->listens[i].udp, g->man->listens[i].device))
			return true;
	return false;
}

void socks_shut(struct master *m)
{
	for (unsigned i = 0; i < m->n_socks; i++)
		for (unsigned c = 0; c < m->cores; c++)
			if (m->socks[i].fd[c] >= 0 && !m->socks[i].udp &&
			    (m->stopping || !is_listened(m->cur, &m->socks[i])))
				shut_door(m->socks[i].fd[c]);
}

/* As long as an old worker still empties its queues nothing is closed. */
void socks_sweep(struct master *m)
{
	bool closed = false;

	LIST_FOREACH(it, &m->procs) {
		const struct proc *p = LIST_ENTRY(it, struct proc, link);

		if (p->role == PROC_WORKER && p->state == ST_PROC_DRAINING && !p->stopped)
			return;
	}
	for (unsigned i = 0; m->cur && m->cur->man && i < m->n_socks; i++) {
		struct sock *s = &m->socks[i];

		if (!m->stopping && (is_listened(m->cur, s) || is_listened(m->next, s)))
			continue;
		for (unsigned c = 0; c < m->cores; c++) {
			if (s->fd[c] < 0)
				continue;
			/* for every copy that some process still has: what comes now is refused, not kept waiting */
			if (!s->udp)
				(void)env_shutdown(s->fd[c], SHUT_RDWR);
			env_close(s->fd[c]);
		}
		distribute_forget(s);
		env_free(s->fd);
		env_free(s->device);
		*s = m->socks[--m->n_socks];
		i--;
		closed = true;
	}
	if (closed)
		state_sync(m);
}

int socks_http(struct master *m, const struct addr *a)
{
	struct listener_opts o = { .backlog = 128, .v6only = !addr_is_any(a) };
	struct man_listen l = { .addr = *a, .v6only = o.v6only };
	int fd = 0;

	if (a->sa.sa_family == 0 || (m->http_fd >= 0 && addr_eq(a, &m->http_addr)))
		return 0;
	/* our own on the same port may be among what a trial would find */
	if (m->http_fd < 0 || addr_port(a) != addr_port(&m->http_addr))
		fd = trial(m, &l);
	if (fd == 0)
		fd = listener_open(a, &o);
	if (fd < 0)
		return fd;
	m->next_http_fd = fd;
	return 0;
}

void socks_http_commit(struct master *m, const struct addr *a)
{
	bool stays = a->sa.sa_family && m->next_http_fd < 0;

	if (stays)
		return;
	if (m->http_fd >= 0)
		env_close(m->http_fd);
	m->http_fd = m->next_http_fd;
	m->next_http_fd = -1;
	m->http_addr = *a;
}

void socks_http_forget(struct master *m)
{
	if (m->next_http_fd >= 0)
		env_close(m->next_http_fd);
	m->next_http_fd = -1;
}

/* The control socket ------------------------------------------------------------------------ */

static int unix_listen(const char *path, int type)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = env_socket(AF_UNIX, type, 0), err;
	struct stat st;
	mode_t mask;

	if (fd < 0)
		return fd;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	/* what a crash left goes; anything else there is not ours to remove: bind says so */
	if (env_lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)env_unlink(path);
	mask = umask(0177);
	err = env_bind(fd, (struct sockaddr *)&un, sizeof(un));
	umask(mask);
	if (!err)
		err = env_listen(fd, 128);
	if (err) {
		env_close(fd);
		return err;
	}
	return fd;
}

/* The places that are tried when nothing is configured, in this order. */
static bool default_path(unsigned i, char *out, size_t n)
{
	const char *dir;
	struct stat st;

	switch (i) {
	case 0:
		dir = getenv("FAIRLEAD_SOCKET");
		return dir && *dir && snprintf(out, n, "%s", dir) < (int)n;
	case 1:
		/* made by the service manager or by root; nobody else can */
		return (geteuid() == 0 || (env_lstat(FL_RUNDIR, &st) == 0 && st.st_uid == geteuid())) &&
		       snprintf(out, n, "%s/ctl.sock", FL_RUNDIR) < (int)n;
	case 2:
		dir = getenv("XDG_RUNTIME_DIR");
		return dir && *dir && snprintf(out, n, "%s/fairlead/ctl.sock", dir) < (int)n;
	default:
		dir = getenv("TMPDIR");
		return snprintf(out, n, "%s/fairlead-%u/ctl.sock", dir && *dir ? dir : "/tmp", (unsigned)geteuid()) < (int)n;
	}
}

static int choose_path(struct master *m, const char *configured, bool make, const char **why)
{
	int err = -ENOENT;

	if (configured) {
		if (strlen(configured) + 8 > sizeof(m->ctl_path))
			return -ENAMETOOLONG;
		snprintf(m->ctl_path, sizeof(m->ctl_path), "%s", configured);
		return machine_socket_folder(m->ctl_path, make, why);
	}
	for (unsigned i = 0; i < 4; i++) {
		if (!default_path(i, m->ctl_path, sizeof(m->ctl_path) - 8))
			continue;
		err = machine_socket_folder(m->ctl_path, make, why);
		if (!err || i == 0)
			return err;
		if (make)
			fprintf(stderr, "fairlead: control socket %s: %s\n", m->ctl_path,
				*why ? *why : fl_err_text(err));
	}
	return err;
}

static void name_adopt(struct master *m)
{
	const char *slash = strrchr(m->ctl_path, '/');

	if (slash && strcmp(slash, "/ctl.sock") == 0)
		snprintf(m->adopt_path, sizeof(m->adopt_path), "%.*s/adopt.sock", (int)(slash - m->ctl_path), m->ctl_path);
	else
		snprintf(m->adopt_path, sizeof(m->adopt_path), "%.100s.adopt", m->ctl_path);
}

int socks_adopt(struct master *m, const char *configured)
{
	const char *why = NULL;
	int err = choose_path(m, configured, false, &why);

	if (err)
		return err;
	name_adopt(m);
	return state_take(m, m->adopt_path);
}

/* Two sockets side by side: what people use, and what a new master uses when this one died. */
int socks_control(struct master *m, const char *configured)
{
	const char *why = NULL;
	int err = choose_path(m, configured, true, &why);

	if (err) {
		fprintf(stderr, "fairlead: control socket %s: %s\n", m->ctl_path,
			why ? why : fl_err_text(err));
		return err;
	}
	if (why)
		fprintf(stderr, "fairlead: control socket %s: warning: %s\n", m->ctl_path, why);
	name_adopt(m);
	err = state_take(m, m->adopt_path);
	if (err)
		return err < 0 ? err : 0;
	m->adopt_fd = unix_listen(m->adopt_path, SOCK_SEQPACKET);
	m->ctl_fd = m->adopt_fd < 0 ? m->adopt_fd : unix_listen(m->ctl_path, SOCK_STREAM);
	if (m->ctl_fd < 0)
		fprintf(stderr, "fairlead: control socket %s: %s\n", m->ctl_path, fl_err_text(m->ctl_fd));
	return FL_MIN(m->ctl_fd, 0);
}

void socks_close_control(struct master *m)
{
	if (m->ctl_fd >= 0)
		(void)env_unlink(m->ctl_path);
	if (m->adopt_fd >= 0)
		(void)env_unlink(m->adopt_path);
}
