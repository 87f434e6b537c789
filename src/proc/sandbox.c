/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.c - see sandbox.h
 *
 * Landlock has no wrapper in glibc, so its three calls are made by number. The seccomp list is of what a worker was seen
 * to need, in groups, and control beside it; everything else fails with EPERM instead of killing, so that a forgotten one costs a
 * function and not the service.
 */
#include "config.h"

#include "proc/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef HAVE_LINUX_LANDLOCK_H
#include <linux/landlock.h>
#endif
#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif

#include "base/env.h"
#include "base/err.h"
#include "base/log.h"

int sandbox_ids(const char *user, struct ids *out, bool *fallback)
{
	const struct passwd *pw = NULL;

	*out = (struct ids){ .uid = getuid(), .gid = getgid() };
	*fallback = false;
	if (getuid() != 0) {
		pw = getpwuid(getuid());
	} else {
		pw = getpwnam(user);
		*fallback = !pw;
		if (!pw)
			pw = getpwnam("nobody");
		if (!pw)
			return FL_ENOTFOUND_;
		out->uid = pw->pw_uid;
		out->gid = pw->pw_gid;
	}
	snprintf(out->name, sizeof(out->name), "%s", pw ? pw->pw_name : "-");
	return 0;
}

void sandbox_child(const char *name)
{
	static const int ignored[] = { SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		if (i != SIGKILL && i != SIGSTOP)
			signal(i, SIG_DFL);
	for (size_t i = 0; i < FL_ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	prctl(PR_SET_NAME, name, 0, 0, 0);
}

static int cmp_int(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

void sandbox_close_others(int *keep, unsigned n)
{
	unsigned from = 3;

	qsort(keep, n, sizeof(*keep), cmp_int);
	for (unsigned i = 0; i < n; i++) {
		if (keep[i] < (int)from)
			continue;
		if (keep[i] > (int)from)
			close_range(from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	close_range(from, ~0u, 0);
}

void sandbox_pin(unsigned core, int want)
{
	cpu_set_t may, one;
	unsigned n, seen = 0;

	if (want >= 0 && want < CPU_SETSIZE) {
		CPU_ZERO(&one);
		CPU_SET((size_t)want, &one);
		if (sched_setaffinity(0, sizeof(one), &one) == 0)
			return;
	}
	if (sched_getaffinity(0, sizeof(may), &may) != 0)
		return;
	n = (unsigned)CPU_COUNT(&may);
	if (n == 0)
		return;
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &may) || seen++ != core % n)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one) != 0)
			log_ev(EV_SANDBOX, "not pinned to cpu %u: %s", cpu, strerror(errno));
		return;
	}
}

/* The account ----------------------------------------------------------------------------- */

static int take_account(const struct ids *ids)
{
	if (getuid() != 0)
		return 0;
	if (ids->uid == 0)       /* `user root`: their word */
		return 0;
	if (setgroups(0, NULL) != 0 || setresgid(ids->gid, ids->gid, ids->gid) != 0 ||
	    setresuid(ids->uid, ids->uid, ids->uid) != 0)
		return -errno;
	if (setuid(0) == 0)
		return -EPERM;
	return 0;
}

static void drop_caps(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	memset(d, 0, sizeof(d));
	(void)syscall(SYS_capset, &h, d);
}

/* Files: Landlock -------------------------------------------------------------------------- */

#ifdef HAVE_LINUX_LANDLOCK_H
static void allow_file(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr a = { .allowed_access = access };

	a.parent_fd = env_open(path, O_PATH | O_CLOEXEC, 0);
	if (a.parent_fd < 0)
		return;
	(void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &a, 0);
	env_close(a.parent_fd);
}

/* Version 1 of the interface knows 13 rights; all are taken away. The resolver's files stay readable. */
static void no_files(enum sandbox_kind kind)
{
	static const char *const resolver[] = {
		"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/services",
		"/run/systemd/resolve/stub-resolv.conf",
	};
	struct landlock_ruleset_attr a = { .handled_access_fs = (1u << 13) - 1 };
	int fd = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof(a), 0);

	if (fd < 0) {
		log_ev(EV_DEBUG, "landlock is not available: %s", strerror(errno));
		return;
	}
	if (kind == SANDBOX_WORKER) {
		allow_file(fd, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
		for (size_t i = 0; i < FL_ARRAY_LEN(resolver); i++)
			allow_file(fd, resolver[i], LANDLOCK_ACCESS_FS_READ_FILE);
	}
	if (syscall(SYS_landlock_restrict_self, fd, 0) != 0)
		log_ev(EV_SANDBOX, "landlock: %s", strerror(errno));
	env_close(fd);
}
#else
static void no_files(enum sandbox_kind kind)
{
	(void)kind;
}
#endif

/* System calls: seccomp -------------------------------------------------------------------- */

#if defined(HAVE_SECCOMP) && !defined(FL_ASAN)
static const char *const worker_calls[] = {
	/* memory and time */
	"mmap", "munmap", "mprotect", "mremap", "madvise", "brk", "futex", "clock_gettime", "clock_nanosleep",
	"nanosleep", "gettimeofday", "time", "getrandom", "rseq", "membarrier",
	/* the loop */
	"epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "epoll_create1", "poll", "ppoll", "select", "pselect6",
	"timerfd_create", "timerfd_settime", "timerfd_gettime", "eventfd2", "pipe2",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "sched_yield",
	/* bytes */
	"read", "readv", "pread64", "write", "writev", "splice", "tee", "close", "dup", "dup3", "fcntl", "ioctl", "lseek",
	/* sockets */
	"socket", "socketpair", "bind", "connect", "accept", "accept4", "shutdown", "getsockname", "getpeername",
	"setsockopt", "getsockopt", "sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg",
	/* files, as far as Landlock lets it: /dev/null, resolv.conf */
	"openat", "open", "fstat", "newfstatat", "stat", "lstat", "statx", "access", "faccessat", "faccessat2", "readlink",
	"readlinkat",
	/* itself */
	"getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getppid", "uname", "sysinfo", "sched_getaffinity",
	"getrusage", "prlimit64", "getrlimit", "tgkill", "exit", "exit_group", "prctl",
};

/* Threads, which control has beside; clone() for a process stays refused. What clone3() is to make stands in memory, where a
 * filter cannot look: libc is told that there is none, and takes clone(). */
static int allow_threads(scmp_filter_ctx f)
{
	int err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				   SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));

	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (!err)
		err = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(set_robust_list), 0);
	return err;
}

static void few_calls(enum sandbox_kind kind)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err = f ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < FL_ARRAY_LEN(worker_calls); i++) {
		int nr = seccomp_syscall_resolve_name(worker_calls[i]);

		if (nr != __NR_SCMP_ERROR && nr >= 0)
			err = seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0);
	}
	if (!err && kind == SANDBOX_CONTROL)
		err = allow_threads(f);
	if (!err)
		err = seccomp_load(f);
	if (err)
		log_ev(EV_SANDBOX, "seccomp: %s", fl_err_text(err));
	seccomp_release(f);
}
#else
static void few_calls(enum sandbox_kind kind)
{
	(void)kind;
}
#endif

int sandbox_enter(enum sandbox_kind kind, const struct ids *ids)
{
	int err;

	for (int cap = 0; cap <= 63; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	err = take_account(ids);
	if (err)
		return err;
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* A crash may leave a core only where the administrator can read it anyway: not of keys in memory. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	no_files(kind);
	drop_caps();
	if (kind != SANDBOX_LOGD)
		few_calls(kind);
	return 0;
}
