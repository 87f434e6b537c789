/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.c - see machine.h
 */
#include "config.h"

#include "proc/machine.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "proc/tickets.h"
#include "stat/reason.h"

/* The first value of an option that is written and good; NULL. */
static const struct conf_val *value(const struct conf_node *n)
{
	return n && !n->broken && n->n_val ? &n->val[0] : NULL;
}

/* Account --------------------------------------------------------------------------------- */

bool machine_account(const struct conf *c, struct ids *ids, struct conf_diag *d)
{
	const struct conf_node *n = conf_child(c->root, D_USER);
	const struct conf_val *v = value(n);
	const char *user = v ? v->s.p : conf_opt_word(n ? NULL : c->root, D_USER);
	struct conf_loc loc = v ? v->loc : (struct conf_loc){ c->main_file, 0, 0 };
	/* who names an account means it; the default may be missing */
	bool named = v && strcmp(user, tbl_dirs[D_USER].def) != 0, fallback = false;
	int err = user ? sandbox_ids(user, ids, &fallback) : 0;
	char hint[160];
	struct sb b;

	if (!user)
		return true;             /* it is broken, and that was said */
	sb_init(&b, hint, sizeof(hint));
	sb_fmt(&b, "useradd --system --no-create-home --shell /usr/sbin/nologin %.64s", user);
	if (err)
		conf_error(d, loc, v ? v->span : 1, hint, "[E0503] neither the account \"%s\" nor nobody exists", user);
	else if (fallback && named)
		conf_error(d, loc, v->span, hint, "[E0503] the account \"%s\" does not exist", user);
	else if (fallback)
		conf_warn(d, loc, v ? v->span : 1, hint, "[W0503] the account \"%s\" does not exist: workers run as nobody", user);
	return !err && !(fallback && named);
}

/* Files ----------------------------------------------------------------------------------- */

static void folder_of(const char *path, char *dir, size_t n)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		snprintf(dir, n, ".");
	else
		snprintf(dir, n, "%.*s", (int)FL_MAX(slash - path, 1), path);
}

/* One of the places that are taken when nothing is configured is nobody else's: what a service manager or an older
 * fairlead left open is closed. Any other (a home, /etc/fairlead) is for its owner to decide about. */
static bool is_default_folder(const char *dir)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR"), *tmp = getenv("TMPDIR");
	char name[108];

	if (strcmp(dir, FL_RUNDIR) == 0)
		return true;
	if (xdg && *xdg && snprintf(name, sizeof(name), "%s/fairlead", xdg) < (int)sizeof(name) && strcmp(dir, name) == 0)
		return true;
	return snprintf(name, sizeof(name), "%s/fairlead-%u", tmp && *tmp ? tmp : "/tmp", (unsigned)geteuid()) <
	       (int)sizeof(name) && strcmp(dir, name) == 0;
}

static int may_write(const char *dir)
{
	return faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0 ? 0 : -errno;
}

int machine_socket_folder(const char *path, bool make, const char **why)
{
	char dir[108], above[108];
	struct stat st;
	int err;

	*why = NULL;
	if (!strchr(path, '/'))
		return 0;
	folder_of(path, dir, sizeof(dir));
	if (make) {
		err = env_mkdir(dir, 0700);
		if (err < 0 && err != -EEXIST)
			return err;
	}
	err = env_lstat(dir, &st);
	if (err == -ENOENT && !make) {
		folder_of(dir, above, sizeof(above));
		err = env_stat(above, &st);
		return err < 0 ? err : S_ISDIR(st.st_mode) ? may_write(above) : -ENOTDIR;
	}
	if (err < 0)
		return err;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	*why = "its folder is not ours, or others may write to it";
	if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	*why = NULL;
	if (!make) {
		err = may_write(dir);
		if (err)
			return err;
	}
	if ((st.st_mode & S_IRWXO) && !(is_default_folder(dir) && (!make || env_chmod(dir, 0700) == 0)))
		*why = "its folder is open to others; give it one of its own, with mode 0700";
	return 0;
}

static void check_socket(const struct conf_val *v, struct conf_diag *d)
{
	const char *why = NULL;
	int err = v ? machine_socket_folder(v->s.p, false, &why) : 0;

	if (err)
		conf_error(d, v->loc, v->span, NULL, "[E0503] control socket \"%s\": %s", v->s.p,
			   err == -EPERM && why ? why : fl_err_text(err));
	else if (why)
		conf_warn(d, v->loc, v->span, NULL, "[W0503] control socket \"%s\": %s", v->s.p, why);
}

/* Opened as streams.c does, but not made. A FIFO is not opened: its reader would see us come and go, and end. */
static int try_log(const char *path)
{
	char dir[4096];
	struct stat st;
	int fd;

	if (env_stat(path, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
		return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 ? 0 : -errno;
	fd = env_open(path, O_WRONLY | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd >= 0)
		env_close(fd);
	if (fd != -ENOENT)
		return FL_MIN(fd, 0);
	folder_of(path, dir, sizeof(dir));
	fd = env_stat(dir, &st);
	if (fd < 0)
		return fd;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return may_write(dir);
}

static void check_log(const struct conf_node *n, struct conf_diag *d)
{
	const struct conf_val *v = value(n);
	int err;

	if (!v || v->type != CV_PATH || str_eq(v->s, STR("stderr")) || str_eq(v->s, STR("stdout")))
		return;
	err = try_log(v->s.p);
	if (err)
		conf_error(d, v->loc, v->span, NULL, "[E0501] cannot open the log \"%s\": %s", v->s.p, fl_err_text(err));
}

static void check_ticket_keys(const struct conf *c, const struct conf_val *v, struct conf_diag *d)
{
	uint8_t keys[3][80];
	unsigned n = 0;
	int err = v ? tickets_read_file(c->src, v->s.p, keys, &n) : 0;

	explicit_bzero(keys, sizeof(keys));
	if (err)
		conf_error(d, v->loc, v->span,
			   "one to three lines, each 80 bytes in base64: openssl rand -base64 80 | tr -d '\\n'",
			   "[E0501] ticket-keys \"%s\": %s", v->s.p, fl_err_text(err));
}

/* Limits ---------------------------------------------------------------------------------- */

/* A worker takes a descriptor for each client at least; the master raises the soft limit to the hard one. refuse: it is
 * our limit, and no part of the appliance can have as many. */
static void check_connections(const struct conf_val *v, bool refuse, struct conf_diag *d)
{
	static const char hint[] = "raise it (LimitNOFILE= of the unit, ulimit -Hn), or write a smaller number";
	struct rlimit r;

	if (!v || getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_max == RLIM_INFINITY || v->i <= 0 ||
	    (uint64_t)v->i <= r.rlim_max)
		return;
	if (refuse)
		conf_error(d, v->loc, v->span, hint, "[E0504] \"max-connections\" is %lld, and a process may have %llu descriptors",
			   (long long)v->i, (unsigned long long)r.rlim_max);
	else
		conf_warn(d, v->loc, v->span, hint, "[W0504] \"max-connections\" is %lld, and a process may have %llu descriptors",
			  (long long)v->i, (unsigned long long)r.rlim_max);
}

unsigned machine_cpus(void)
{
	cpu_set_t may;

	return sched_getaffinity(0, sizeof(may), &may) == 0 ? (unsigned)FL_MAX(CPU_COUNT(&may), 1) : 1;
}

static void count_one(void *ctx, enum tbl_kind kind, const char *name, uint32_t *row)
{
	uint64_t *n = ctx;

	(void)kind;
	(void)name;
	(void)row;
	++*n;
}

void machine_check_rows(struct lb_config *lc, struct conf_diag *d)
{
	uint64_t have = 0;
	const struct conf_node *n;
	struct conf_loc top = { 0 };

	if (!lc)
		return;
	n = conf_child(lc->conf->root, D_MAX_OBJECTS);
	top.file = lc->conf->main_file;
	/* as master.c makes cores, and reload.c gives out rows */
	have = FL_MAX(lc->workers, machine_cpus()) + REFUSED__COUNT;
	lb_each_object(lc, count_one, &have);
	if (have > lc->max_objects)
		conf_error(d, n ? n->val[0].loc : top, n ? n->val[0].span : 1, NULL,
			   "[E0504] max-objects %llu is less than the %llu vservers, pools, services, listeners, "
			   "policies, workers and reasons that there are", (unsigned long long)lc->max_objects,
			   (unsigned long long)have);
}

/* The network ----------------------------------------------------------------------------- */

static void check_congestion(const struct conf_node *n, struct conf_diag *d)
{
	const struct conf_val *v = value(n);
	int fd = v ? env_socket(AF_INET, SOCK_STREAM, 0) : -1, err;
	char hint[200], known[160];
	ssize_t len = -1;
	struct sb b;

	if (fd < 0)
		return;
	err = env_setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, v->s.p, (socklen_t)v->s.n);
	env_close(fd);
	if (!err)
		return;
	fd = env_open("/proc/sys/net/ipv4/tcp_available_congestion_control", O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		len = env_read(fd, known, sizeof(known));
		env_close(fd);
	}
	sb_init(&b, hint, sizeof(hint));
	if (len > 0)
		sb_fmt(&b, "there are: " STR_FMT, STR_ARG(str_trim(str_n(known, known[len - 1] == '\n' ? (size_t)len - 1 : (size_t)len))));
	if (err == -ENOENT)
		conf_error(d, v->loc, v->span, hint, "[E0505] this kernel has no congestion control \"%.40s\"", v->s.p);
	else
		conf_error(d, v->loc, v->span, hint, "[E0505] congestion control \"%.40s\": %s", v->s.p, fl_err_text(err));
}

/* Port 0: whether somebody listens there already is not asked. */
static void check_address(const struct conf_val *v, struct conf_diag *d)
{
	struct addr a;
	int fd, err;

	if (!v || v->type != CV_ADDR)
		return;
	a = v->addr;
	addr_set_port(&a, 0);
	fd = env_socket(a.sa.sa_family, SOCK_STREAM, 0);
	err = fd < 0 ? fd : env_bind(fd, &a.sa, addr_len(&a));
	if (fd >= 0)
		env_close(fd);
	if (err == -EADDRNOTAVAIL)
		conf_error(d, v->loc, v->span, "`ip address` lists those that are", "[E0505] the address is not on this machine");
	else if (err == -EAFNOSUPPORT)
		conf_error(d, v->loc, v->span, NULL, "[E0505] this machine does not speak that protocol");
}

static void check_device(const struct conf_node *n, struct conf_diag *d)
{
	const struct conf_val *v = value(n);
	int fd = v ? env_socket(AF_INET, SOCK_STREAM, 0) : -1, err;

	if (fd < 0)
		return;
	err = env_setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, v->s.p, (socklen_t)v->s.n);
	env_close(fd);
	if (err == -ENODEV)
		conf_error(d, v->loc, v->span, "`ip link` lists those that are there", "[E0505] there is no network device \"%.40s\"",
			   v->s.p);
}

static void check_vserver(const struct conf_node *vs, bool at_start, struct conf_diag *d)
{
	check_log(conf_child(vs, D_ACCESS_LOG), d);
	check_connections(value(conf_child(vs, D_VS_MAX_CONNECTIONS)), false, d);
	CONF_FOREACH(l, vs, D_VS_LISTEN) {
		check_congestion(conf_child(l, D_POOL_CONGESTION), d);
		check_device(conf_child(l, D_LISTEN_DEVICE), d);
		if (at_start && l->n_val)
			check_address(&l->val[0], d);
	}
}

/* Whether we may use it now is looked at when it runs: a set of CPUs changes. */
static void check_control_core(const struct conf_val *v, struct conf_diag *d)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	if (v && v->type == CV_COUNT && n > 0 && v->i >= n)
		conf_error(d, v->loc, v->span, "they are numbered from 0", "[E0505] this machine has %ld CPUs: none of them is %lld",
			   n, (long long)v->i);
}

/* Of `workers auto`: there may be more workers at another time. */
static void check_function(const struct conf *c, const struct conf_node *n, struct conf_diag *d)
{
	const struct conf_val *workers = conf_opt(c->root, D_WORKERS);
	unsigned have = machine_cpus();

	if (workers && workers->type == CV_COUNT)
		return;
	for (unsigned i = 2; i < n->n_val; i++) {
		struct core_set set = { .n = 0 };
		unsigned last = core_set_read(&set, n->val[i].s) ? core_set_nth(&set, set.n - 1) : 0;

		if (last >= have)
			conf_warn(d, n->val[i].loc, n->val[i].span, "they are numbered from 0",
				  "[W0402] core %u: this machine has room for %u workers now", last, have);
	}
}

void machine_check(const struct conf *c, enum gen_checks checks, struct conf_diag *d)
{
	bool at_start = checks == GEN_START || checks == GEN_TEST;
	const struct conf_node *root = c->root, *admin = conf_child(root, D_ADMIN);
	struct ids ids;

	(void)machine_account(c, &ids, d);
	check_log(conf_child(root, D_LOG_ERROR), d);
	check_log(conf_child(root, D_ACCESS_LOG), d);
	check_ticket_keys(c, value(conf_child(root, D_TICKET_KEYS)), d);
	check_control_core(value(conf_child(root, D_CONTROL_CORE)), d);
	check_connections(value(conf_child(root, D_MAX_CONNECTIONS)), checks != GEN_TEST, d);
	if (at_start) {
		check_socket(value(conf_child(admin, D_ADMIN_SOCKET)), d);
		check_address(value(conf_child(admin, D_ADMIN_HTTP)), d);
	}
	CONF_FOREACH(n, root, D_FUNCTION)
		check_function(c, n, d);
	CONF_FOREACH(p, root, D_POOL)
		check_congestion(conf_child(p, D_POOL_CONGESTION), d);
	CONF_FOREACH(vs, root, D_VSERVER)
		check_vserver(vs, at_start, d);
}
